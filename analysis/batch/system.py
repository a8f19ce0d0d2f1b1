"""What the batch systems have in common.

A backend sends the pieces of a submission and says which of them are queued. It is a class with the
attributes `commands`, programs that must be there, `foreground`, whether it runs the jobs itself,
`resubmits`, whether it takes some of the pieces again, and the methods of `Backend`.
"""

import os
import shlex
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from analysis.errors import BatchError, OutputError, positive_integer

# What makes the Python of the submission work in a job as well (virtual environments, LCG views,
# conda, a system's ROOT).
ENVIRONMENT = (
    "PATH LD_LIBRARY_PATH PYTHONPATH PYTHONHOME VIRTUAL_ENV CONDA_PREFIX ROOTSYS ROOT_INCLUDE_PATH "
    "CPLUS_INCLUDE_PATH CLING_STANDARD_PCH"
).split()

ENVIRONMENT_SH = """\
# The environment of the jobs.
{environment}
export M3L_CACHE="$jobs/cache" HDF5_USE_FILE_LOCKING=FALSE
export TMPDIR="${{TMPDIR:-${{_CONDOR_SCRATCH_DIR:-/tmp}}}}"
cd "$jobs/code" || exit 1
"""

JOB_SH = """\
#!/bin/bash
# Runs a piece: job.sh PIECE. Leaves pieces/PIECE/ or a line in pieces/PIECE.failed.
jobs="$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)"
. "$jobs/environment.sh"
piece="$jobs/pieces/$1"
mkdir -p "$jobs/pieces"
echo "$HOSTNAME $$" >"$piece.started"
rm -f "$piece.failed"

{python} -m analysis.batch.worker "$jobs/.." "$@" &
child=$!
trap 'kill -TERM $child' TERM INT HUP XCPU
while wait $child; status=$?; kill -0 $child 2>/dev/null; do :; done

if [ $status != 0 ] && [ ! -e "$piece" ] && [ ! -e "$piece.failed" ]; then
    echo "ended with status $status, killed? out of memory? (on $HOSTNAME)" >"$piece.failed-$$" &&
        mv -f "$piece.failed-$$" "$piece.failed"
fi
rm -f "$piece.started"
exit {status}
"""

MERGE_SH = """\
#!/bin/bash
# Merges the pieces.
jobs="$(cd "$(dirname "${{BASH_SOURCE[0]}}")" && pwd)"
. "$jobs/environment.sh"
exec {python} -m analysis.submit merge "$jobs/.."
"""


def write_scripts(backend):
    """Write the scripts that run a piece and that merge into a submission's folder."""
    jobs, python = backend.jobs, shlex.quote(backend.python)
    environment = ENVIRONMENT_SH.format(environment=backend.environment())
    (jobs / "environment.sh").write_text(environment)
    (jobs / "job.sh").write_text(JOB_SH.format(python=python, status=backend.exit_status))
    (jobs / "merge.sh").write_text(MERGE_SH.format(python=python))


class Backend:
    """What the batch systems have in common.

    Attributes:
        submission: the Submission
        options: dict of the options it was made with
    """

    commands = ()
    foreground = False
    resubmits = True
    python = sys.executable
    exit_status = "$status"  # of job.sh

    def __init__(self, submission):
        self.submission = submission
        self.options = submission.record["options"]
        self.jobs = submission.jobs

    @staticmethod
    def add_options(make):
        """Add the options of this batch system to a parser."""

    @classmethod
    def check(cls, options):
        """Raise BatchError if a command is missing or an option cannot be.

        options: dict
        """
        for command in cls.commands:
            if not shutil.which(command):
                raise BatchError(f"there is no command {command} here, which {cls.needs}")

    def environment(self):
        """Shell lines that make the Python of the jobs work: the environment of this process."""
        return "\n".join(
            f"export {name}={shlex.quote(os.environ[name])}"
            for name in ENVIRONMENT
            if name in os.environ
        )

    def send(self, names):
        """Send these pieces, all or none; returns a line for the user. Raises BatchError."""
        raise NotImplementedError

    def queue(self):
        """{name of a queued piece: (RUNNING or WAITING, remark)}, None if that is not known."""
        return None


def call(*words, folder=None):
    """Run a command of a batch system; returns what it prints. Raises BatchError."""
    done = subprocess.run(
        [str(word) for word in words],
        capture_output=True,
        text=True,
        errors="replace",
        cwd=folder,
    )
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise BatchError(f"{words[0]} refuses: {lines[-1] if lines else 'without a word'}")
    return done.stdout


def add_limits(make, extra):
    """Add the options with which batch systems choose a machine."""
    make.add_argument(
        "--minutes", type=positive_integer, default=240, help="time limit of a job (default: 240)"
    )
    make.add_argument(
        "--memory",
        type=positive_integer,
        default=2000,
        metavar="MB",
        help="of a job (default: 2000)",
    )
    make.add_argument("--extra", action="append", default=[], metavar="LINE", help=extra)


def ask(backend):
    """The queue of a backend, and a line if it does not answer."""
    try:
        return backend.queue(), ""
    except BatchError as error:
        return None, f"{error}; what is queued is not known"


def pack(jobs, *more):
    """Make jobs/carried.tar.gz, what a job needs to run elsewhere; returns its path."""
    path = jobs / "carried.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in ("submission.json", "job.sh", "environment.sh", "code", "cache", *more):
            archive.add(jobs / name, f"jobs/{name}")
    return path


def attempt_folder(folder, submission):
    """Make a folder for the files of one sending."""
    folder = Path(folder).expanduser().resolve() / submission
    try:
        number = 1 + sum(1 for path in folder.glob("*") if path.name.isdecimal())
        made = folder / str(number)
        made.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be written: {error.strerror}") from None
    return made
