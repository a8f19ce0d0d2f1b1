"""Batch systems: each sends the pieces of a submission and says which of them are queued.

A backend is a class with the attributes `commands`, programs that must be there, `foreground`,
whether it runs the jobs itself, `resubmits`, whether it takes some of the pieces again, and the
methods of `Backend`.
"""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path

from analysis.batch.submission import RUNNING, WAITING, is_alive, read_line
from analysis.errors import BatchError, OutputError, positive_integer
from analysis.files import write_file

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


class Local(Backend):
    """The jobs as processes of this machine."""

    foreground = True

    @staticmethod
    def add_options(make):
        make.add_argument(
            "-j",
            "--jobs",
            type=positive_integer,
            metavar="N",
            help="jobs at once (default: all cores)",
        )

    def send(self, names):
        return ""

    def run(self, names, show):
        """Run the jobs, some at once, until all have ended; `show` is called now and then."""
        todo, running = list(reversed(names)), []
        write_file(self.jobs / "local", f"{socket.gethostname()} {os.getpid()}\n")
        cores = len(os.sched_getaffinity(0))
        at_once = self.options["jobs"] or max(1, cores // self.options["cores"])
        try:
            while todo or running:
                while todo and len(running) < at_once:
                    running.append(self.start(todo.pop()))
                time.sleep(0.2)
                running = [job for job in running if job.poll() is None]
                show()
        finally:
            for job in running:
                job.send_signal(signal.SIGTERM)
            for job in running:
                job.wait()
            (self.jobs / "local").unlink()

    def queue(self):
        """What the process that runs the jobs has not done, None where there is no such process."""
        mark = read_line(self.jobs / "local")
        if not mark or not is_alive(mark):
            return None
        found = set(os.listdir(self.submission.results))
        return {
            piece.name: (RUNNING if f"{piece.name}.started" in found else WAITING, "")
            for piece in self.submission.pieces
            if f"{piece.name}.failed" not in found
        }

    def start(self, name):
        with open(self.jobs / "logs" / f"{name}.txt", "w") as log:
            return subprocess.Popen(
                ["bash", self.jobs / "job.sh", name],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for this process, which ends them in order
            )


SLURM = """\
#!/bin/bash
#SBATCH --time={minutes}
#SBATCH --mem={memory}M
#SBATCH --cpus-per-task={cores}
{extra}"""

# A second script for each task, so that it gets a time limit's signal and the array its numbers.
SLURM_JOBS = """\
#SBATCH --signal=B:TERM@30
exec bash {job} "$(printf %0{width}d $((SLURM_ARRAY_TASK_ID + $1)))"
"""

USUAL = ("None", "Priority", "Resources", "JobArrayTaskLimit")  # reasons to wait

ARRAY = 1000  # tasks in an array; a site's MaxArraySize is 1001 where it is not set


class Slurm(Backend):
    """An array job and a merge job that depends on it."""

    commands = ("sbatch", "squeue", "scancel")
    needs = "Slurm brings"

    @staticmethod
    def add_options(make):
        add_limits(make, "a line of sbatch options, --partition=short for example")

    def send(self, names):
        extra = "".join(f"#SBATCH {line}\n" for line in self.options["extra"])
        head = SLURM.format(
            minutes=self.options["minutes"],
            memory=self.options["memory"],
            cores=self.options["cores"],
            extra=extra,
        )
        width = len(names[0])
        job = shlex.quote(str(self.jobs / "job.sh"))
        array, merge = self.jobs / "jobs.slurm", self.jobs / "merge.slurm"
        array.write_text(head + SLURM_JOBS.format(job=job, width=width))
        merge.write_text(f"{head}exec bash {shlex.quote(str(self.jobs / 'merge.sh'))}\n")
        ids = []
        try:
            for offset, tasks in self.arrays(names).items():
                name = f"--job-name={self.name(offset)}"
                words = (name, f"--array={ranges(tasks)}", array, offset)
                ids.append(self.sbatch(*words))
            after = f"--dependency=afterok:{':'.join(ids)}"
            name = f"--job-name={self.name('merge')}"
            merging = self.sbatch(name, after, "--kill-on-invalid-dep=yes", merge)
        except BaseException:
            if ids:
                call("scancel", *ids)
            raise
        return f"sent as array job {', '.join(ids)}; job {merging} merges"

    def sbatch(self, *words):
        output = f"--output={self.jobs}/logs/%x_%a.txt"
        return call("sbatch", "--parsable", output, *words).strip().split(";")[0]

    def name(self, part):
        return f"m3l-{self.submission.id}-{part}"

    def arrays(self, names):
        """{offset: numbers of tasks} of the arrays that hold these pieces."""
        arrays = {}
        for number in sorted(map(int, names)):
            arrays.setdefault(number // ARRAY * ARRAY, []).append(number % ARRAY)
        return arrays

    def queue(self):
        if not shutil.which("squeue"):
            return None
        names = [piece.name for piece in self.submission.pieces]
        jobs = ",".join(self.name(offset) for offset in self.arrays(names))
        listed = call("squeue", "--noheader", "--array", f"--name={jobs}", "--format=%j %K %T %r")
        queue = {}
        for line in listed.splitlines():
            job, task, state, reason = line.split(maxsplit=3)
            name = f"{int(job.rpartition('-')[2]) + int(task):0{len(names[0])}}"
            if state in ("RUNNING", "COMPLETING"):
                queue[name] = RUNNING, ""
            else:
                queue[name] = WAITING, "" if reason in USUAL else reason
        return queue


def ranges(numbers):
    """Sorted numbers as Slurm writes them: 0-4,7."""
    parts = []
    for number in numbers:
        if parts and parts[-1][1] == number - 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(f"{a}-{b}" if a != b else f"{a}" for a, b in parts)


CONDOR = """\
universe = vanilla
executable = {executable}
transfer_executable = {carried}
should_transfer_files = YES
when_to_transfer_output = ON_EXIT
request_memory = {memory}
request_cpus = {cores}
{limit}
job_batch_name = m3l-{id}
+M3LSubmission = "{id}"
log = {logs}/condor.log
output = {logs}/$(piece).out
error = {logs}/$(piece).err
{extra}"""

# Jobs that see the output folder, and those that carry everything with them.
CONDOR_SHARED = """\
arguments = {arguments}
transfer_output_files = ""
"""
CONDOR_CARRIED = """\
arguments = "$(piece)"
initialdir = {jobs}/pieces
transfer_input_files = {jobs}/carried.tar.gz
transfer_output_files = $(piece).tar
"""

CONDOR_QUEUE = """\
+M3LPiece = "$(piece)"
queue piece from {list}
"""

CONDOR_MERGE = """\
piece = merge
queue
"""

# DAGMan would remove all jobs of a cluster when one fails: job.sh always ends with 0 here, and the
# merge refuses where pieces are missing.
DAG = """\
JOB pieces {folder}/jobs.sub
JOB merge {folder}/merge.sub
PARENT pieces CHILD merge
"""

RUNS, ENDED, HELD = "2", "4", "5"  # JobStatus


class Condor(Backend):
    """HTCondor: a DAG of a cluster of jobs and a job that merges."""

    commands = ("condor_submit", "condor_submit_dag", "condor_q")
    needs = "HTCondor brings"
    exit_status = "0"

    @staticmethod
    def add_options(make):
        add_limits(make, "a line of the submit description, +AccountingGroup = ... for example")
        make.add_argument("--flavour", metavar="NAME", help="JobFlavour, instead of --minutes")
        make.add_argument(
            "--logs",
            metavar="DIR",
            help="for submit files and logs, on lxplus in AFS (default: OUT/jobs/logs)",
        )
        make.add_argument(
            "--spool",
            action="store_true",
            help="no shared file system: jobs carry what they need, condor_transfer_data fetches",
        )

    @classmethod
    def check(cls, options):
        super().check(options)
        logs = Path(options["logs"] or Path(options["output"]) / "jobs").resolve()
        if logs.is_relative_to("/eos") and not options["spool"]:
            raise BatchError(
                "HTCondor cannot write logs to EOS: give a folder in AFS, --logs ~/m3l-logs"
            )
        if re.search(r"\s", str(logs)):
            raise BatchError(f"HTCondor takes no spaces in '{logs}': give another folder, --logs")
        if options["spool"] and options["model"]:
            raise BatchError("--model needs a file system that the jobs share, not --spool")

    def send(self, names):
        folder = attempt_folder(self.options["logs"] or self.jobs / "logs", self.submission.id)
        pieces = folder / "pieces.txt"
        pieces.write_text("\n".join(names) + "\n")
        jobs, merge = folder / "jobs.sub", folder / "merge.sub"
        queue = CONDOR_QUEUE.format(list=pieces)
        if self.options["spool"]:
            executable = self.jobs / "carried.sh"
            executable.write_text(CARRIED_SH)
            executable.chmod(0o755)
            pack(self.jobs)
            head = self.description(folder, executable, "true")
            jobs.write_text(head + CONDOR_CARRIED.format(jobs=self.jobs) + queue)
            call("condor_submit", "-spool", jobs)
            return "sent; condor_transfer_data fetches what has ended"
        head = self.description(folder, "/bin/bash", "false")
        jobs.write_text(head + self.shared("job.sh", "$(piece)") + queue)
        merge.write_text(head + self.shared("merge.sh") + CONDOR_MERGE)
        (folder / "jobs.dag").write_text(DAG.format(folder=folder))
        mark = f'+M3LSubmission="{self.submission.id}"'
        call("condor_submit_dag", "-append", mark, folder / "jobs.dag")
        return f"sent as {folder}/jobs.dag, which merges at the end"

    def description(self, folder, executable, carried):
        """What the submit descriptions have in common."""
        limit = f"+MaxRuntime = {60 * self.options['minutes']}"
        if self.options["flavour"]:
            limit = f'+JobFlavour = "{self.options["flavour"]}"'
        return CONDOR.format(
            id=self.submission.id,
            executable=executable,
            carried=carried,
            memory=self.options["memory"],
            cores=self.options["cores"],
            limit=limit,
            logs=folder,
            extra="".join(f"{line}\n" for line in self.options["extra"]),
        )

    def shared(self, script, *words):
        arguments = " ".join(["'" + str(self.jobs / script).replace("'", "''") + "'", *words])
        return CONDOR_SHARED.format(arguments=f'"{arguments}"')

    def queue(self):
        if not shutil.which("condor_q"):
            return None
        mine = f'M3LSubmission == "{self.submission.id}"'
        words = ("-af", "M3LPiece", "JobStatus", "HoldReason")
        queue, alive = {}, False
        for line in call("condor_q", "-constraint", mine, *words).splitlines():
            piece, state, reason = line.split(maxsplit=2)
            alive = True
            if state == HELD:
                queue[piece] = WAITING, f"held: {reason}"
            elif state == ENDED:
                queue[piece] = WAITING, "has ended: condor_transfer_data fetches it"
            else:
                queue[piece] = RUNNING if state == RUNS else WAITING, ""
        queue.pop("undefined", None)  # DAGMan and the merge
        if alive and not queue:  # DAGMan has not sent the jobs yet
            return {piece.name: (WAITING, "") for piece in self.submission.pieces}
        return queue


# Runs a piece where nothing is shared, on a machine with the same Python.
CARRIED_SH = """\
#!/bin/bash
# Unpacks what a piece needs, runs it and packs what it made: a file that is always there.
mkdir -p jobs/pieces
if tar xzf carried.tar.gz; then
    bash jobs/job.sh "$1"
else
    echo "carried.tar.gz cannot be unpacked (on $HOSTNAME)" >"jobs/pieces/$1.failed"
fi
tar cf "$1.tar" -C jobs/pieces .
exit 0
"""


def pack(jobs, *more):
    """Make jobs/carried.tar.gz, what a job needs to run elsewhere; returns its path."""
    path = jobs / "carried.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name in ("submission.json", "job.sh", "environment.sh", "code", "cache", *more):
            archive.add(jobs / name, f"jobs/{name}")
    return path


VIEWS = "/cvmfs/sft.cern.ch/lcg/views"

# Compiles the helpers once, on a grid node, for all jobs.
GRID_BUILD_SH = """\
#!/bin/bash
jobs="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$jobs/environment.sh"
python3 -m helpers
"""

# Runs files of a sample: grid.sh SAMPLE FILE,FILE. The piece is named after the files.
GRID_SH = """\
#!/bin/bash
piece="$1-$(echo "$2" | md5sum | cut -c 1-12)"
files=
for file in ${2//,/ }; do
    case "$file" in *://* | /*) ;; *) file="$PWD/$file" ;; esac
    files="$files${files:+,}$file"
done
mkdir -p jobs/pieces
bash jobs/job.sh "$piece" "$files"
tar cf piece.tar -C jobs/pieces .
exit 0
"""


class Grid(Backend):
    """The grid through PanDA: a task for each sample, whose files are rucio://SCOPE:DATASET."""

    commands = ("prun", "rucio")
    needs = "'lsetup panda rucio' brings"
    resubmits = False
    python = "python3"

    @staticmethod
    def add_options(make):
        add = make.add_argument
        add("--out-ds", required=True, metavar="user.NICK.NAME", help="begin of the output names")
        view = os.environ.get("ROOTSYS", "")
        view = view.removeprefix(f"{VIEWS}/") if view.startswith(VIEWS) else None
        add("--view", default=view, metavar="LCG", help=f"below {VIEWS} (default: this one)")
        add("--memory", type=positive_integer, default=2000, metavar="MB", help="of a core")
        add("--extra", action="append", default=[], metavar="OPTION", help="an option of prun")

    @classmethod
    def check(cls, options):
        super().check(options)
        problems = []
        if not re.fullmatch(r"(user|group)\.[\w-]+(\.[\w-]+)+", options["out_ds"], re.ASCII):
            problems.append(
                f"--out-ds {options['out_ds']}: must be user.NICKNAME.NAME, of letters, digits, "
                "'_', '-' and '.'"
            )
        if not options["view"]:
            problems.append(
                "give the LCG view that the jobs shall use: "
                "--view LCG_107/x86_64-el9-gcc13-opt for example"
            )
        for name in ("events_per_job", "entries"):
            if options[name]:
                problems.append(f"--{name.replace('_', '-')} is not for the grid: --files-per-job")
        if options["model"]:
            problems.append("--model needs a file system that the jobs share, not the grid")
        if problems:
            raise BatchError(*problems)

    def environment(self):
        return f". {VIEWS}/{shlex.quote(self.options['view'])}/setup.sh"

    def send(self, names):
        (self.jobs / "grid.sh").write_text(GRID_SH)
        (self.jobs / "build.sh").write_text(GRID_BUILD_SH)
        tarball = pack(self.jobs, "grid.sh", "build.sh")
        commands = [self.command(sample, tarball) for sample in self.submission.run["samples"]]
        (self.jobs / "prun.txt").write_text("\n".join(map(shlex.join, commands)) + "\n")
        for sent, command in enumerate(commands):
            try:
                call(*command, folder=self.jobs)
            except BatchError as error:
                if not sent:
                    raise
                # What was sent cannot be taken back here.
                left = f"paste the lines from the {sent + 1}. on of {self.jobs}/prun.txt"
                return f"{error}\n{sent} of {len(commands)} tasks were sent: {left}"
        return f"sent as {len(commands)} tasks\n{self.advice()}"

    def advice(self):
        """How the user gets the pieces."""
        out = self.options["out_ds"]
        scope = ".".join(out.split(".")[:2])
        return (
            "pbook shows the tasks and retries what failed; fetch what has ended with\n"
            f"rucio download --dir {self.submission.results} '{scope}:{out}.*_piece.tar'"
        )

    def command(self, sample, tarball):
        """The prun command of a sample. Raises BatchError for a name that is too long."""
        out = f"{self.options['out_ds']}.{sample['name']}"
        out = re.sub(r"[^\w.-]", "_", out)
        # PanDA appends the name of the file and a slash to make a container.
        if len(out) + len("_piece.tar/") > 132:
            raise BatchError(f"output dataset {out}_piece.tar/ has more than 132 characters")
        datasets = ",".join(url.partition(":")[2].strip("/") for url in sample["files"])
        words = ["prun", "--exec", f"bash jobs/grid.sh {sample['name']} %IN"]
        words += ["--bexec", "bash jobs/build.sh", "--inTarBall", str(tarball)]
        words += ["--inDS", datasets, "--outDS", out, "--outputs", "piece.tar"]
        words += ["--nFilesPerJob", str(self.options["files_per_job"] or 10)]
        words += ["--memory", str(self.options["memory"])]
        if self.options["cores"] > 1:
            words += ["--nCore", str(self.options["cores"])]
        return [*words, *self.options["extra"]]


def files_of(dataset):
    """Names of the files of a rucio://SCOPE:NAME dataset. Raises BatchError."""
    name = dataset.partition("://")[2].strip("/")
    listed = call("rucio", "list-files", "--csv", name)
    found = re.findall(r"^\W*[\w.-]+:([^,\s|]+)", listed, re.M)
    if not found:
        raise BatchError(f"dataset {name} has no files")
    return found


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


BACKENDS = {"local": Local, "slurm": Slurm, "condor": Condor, "grid": Grid}


def ask(backend):
    """The queue of a backend, and a line if it does not answer."""
    try:
        return backend.queue(), ""
    except BatchError as error:
        return None, f"{error}; what is queued is not known"


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
