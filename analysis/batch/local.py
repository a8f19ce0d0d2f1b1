"""Pieces as processes of this machine."""

import os
import signal
import socket
import subprocess
import time

from analysis.batch.submission import RUNNING, WAITING, is_alive, read_line
from analysis.batch.system import Backend
from analysis.errors import positive_integer
from analysis.files import write_file


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

    def run(self, names, draw):
        """Run the jobs, some at once, until all have ended; `draw` is called now and then."""
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
                draw()
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
