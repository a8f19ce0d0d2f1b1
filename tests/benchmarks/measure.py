"""Running commands, what they cost, and tables of it."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TIMEOUT = 3600  # seconds for one command
FIRST = "first events read at"  # begins a line that first.py prints


class CommandError(Exception):
    """A command failed; the text is the command and what it printed last."""


@dataclass(frozen=True)
class Cost:
    """What one run of a command took."""

    wall: float  # seconds
    cpu: float  # seconds, user and system
    memory: float  # MB, peak resident size
    out: str  # what it printed


def run(*words):
    """Run a command in the repository; returns its Cost. Raises CommandError.

    Linux counts the memory of the process that starts a command as the command's own, so that this
    one has to stay small: what imports ROOT or pandas is a command, too.
    """
    words = list(map(str, words))
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "ignore"}
    with tempfile.TemporaryFile("w+") as out:
        begin = time.perf_counter()
        process = subprocess.Popen(words, cwd=REPOSITORY, env=environment, stdout=out, stderr=out)
        killer = threading.Timer(TIMEOUT, process.kill)
        killer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        finally:
            killer.cancel()
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read()
    if process.returncode != 0:
        lines = "\n".join(text.splitlines()[-20:])
        raise CommandError(f"{' '.join(words)}\nended with {process.returncode}:\n{lines}")
    for line in text.splitlines():
        if line.startswith("m3l: warning"):
            note(line)
    memory = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return Cost(wall, usage.ru_utime + usage.ru_stime, memory, text)


def python(*words):
    """Run a module or script with this interpreter."""
    return run(sys.executable, *words)


def note(text):
    """Say what is going on, apart from the tables."""
    print(text, file=sys.stderr, flush=True)


def table(head, rows):
    """A Markdown table with aligned columns; the first column is text, the others numbers."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    lines = []
    for first, *rest in (head, rule, *rows):
        cells = [first.ljust(widths[0]), *map(str.rjust, rest, widths[1:])]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
