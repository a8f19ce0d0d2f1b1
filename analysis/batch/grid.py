"""Pieces as jobs on the grid, through PanDA."""

import os
import re
import shlex

from analysis.batch.system import Backend, call, pack
from analysis.errors import BatchError, positive_integer

VIEWS = "/cvmfs/sft.cern.ch/lcg/views"

# Compiles the helpers once, on a grid node, for all jobs.
GRID_BUILD_SH = """\
#!/bin/bash
jobs="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$jobs/environment.sh"
M3L_CACHE="$(mktemp -d)" python3 -m helpers "$jobs/cache"
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
