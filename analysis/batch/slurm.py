"""Pieces as jobs of Slurm."""

import shlex
import shutil

from analysis.batch.submission import RUNNING, WAITING
from analysis.batch.system import Backend, add_limits, call

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
