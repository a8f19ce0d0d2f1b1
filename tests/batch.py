"""Submissions for tests: a finished one to take apart, and stand-ins for batch systems."""

import os
import subprocess
import sys
from pathlib import Path

from conftest import REPOSITORY, SAFETY_NET, Outcome

SAMPLES = ("WZ", "ttZ", "data")
WORDS = ("-s", *SAMPLES, "--events-per-job", "3000")  # WZ has three pieces, data two


def submit_program(*words, timeout=SAFETY_NET, **environment):
    """Run analysis.submit in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "analysis.submit", *map(str, words)],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def stand_in(folder, **scripts):
    """Programs that stand for those of a batch system; returns PATH with them."""
    folder.mkdir(exist_ok=True)
    for name, text in scripts.items():
        path = folder / name
        path.write_text(f"#!/bin/bash\n{text}\n")
        path.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def piece_names(folder):
    return sorted(path.name for path in Path(folder, "jobs", "pieces").iterdir())
