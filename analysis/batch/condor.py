"""Pieces as jobs of HTCondor, at CERN for example."""

import re
import shutil
from pathlib import Path

from analysis.batch.submission import RUNNING, WAITING
from analysis.batch.system import Backend, add_limits, attempt_folder, call, pack
from analysis.errors import BatchError

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
