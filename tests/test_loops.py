"""Threads, progress and problems of the loop. What it computes is tested in test_run.py."""

import io
import os
import pty
import subprocess
import sys
import termios

import pytest
from conftest import REPOSITORY, SAFETY_NET, read_json, run_code


@pytest.fixture
def loops(ROOT):
    from analysis import loops

    return loops


def test_plain_progress_is_a_line_now_and_then(monkeypatch):
    from analysis import headway

    now = 100.0
    monkeypatch.setattr(headway.time, "monotonic", lambda: now)
    terminal = io.StringIO()
    with headway.Progress("WZ", 30000, terminal) as told:
        for seconds, entries in ((5, 1000), (11, 10000), (12, 11000), (22, 20000)):
            now = 100.0 + seconds
            told(entries)
    assert terminal.getvalue().splitlines() == [
        "WZ: 10000 of 30000 events, 1 k/s, 22 s left",
        "WZ: 20000 of 30000 events, 1 k/s, 11 s left",
    ]


def test_inspection_tells_its_progress_in_files(monkeypatch):
    from analysis import headway

    now = 0.0
    monkeypatch.setattr(headway.time, "monotonic", lambda: now)
    elsewhere = io.StringIO()
    with headway.Progress("inputs", 5000, elsewhere, "files", delay=1) as told:
        for seconds, files in ((9, 0), (11, 0), (21.5, 1075)):
            now = seconds
            told(files)
    assert elsewhere.getvalue().splitlines() == [
        "inputs: 0 of 5000 files, 0/s, no file yet",
        "inputs: 1075 of 5000 files, 50/s, 78 s left",
    ]


def test_terminal_gets_a_progress_bar(tmp_path):
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    process = subprocess.Popen(
        [sys.executable, "run_rdf.py", "-s", "WZ", "-j", "1", "-o", str(tmp_path)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    printed = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        printed += part
    os.close(ours)
    process.communicate(timeout=SAFETY_NET)
    assert process.returncode == 0
    text = printed.decode()
    assert "WZ:" in text and "events" in text and "\r" in text


def test_exception_in_the_loop_becomes_a_message(loops):
    class Broken:
        def __call__(self, argument):
            raise ValueError(f"no {argument}")

    assert loops.in_thread(Broken(), ("good",), lambda: None) == "no good"


def test_number_of_threads_is_that_of_the_cores_the_process_may_use(tmp_path):
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
        "import run_rdf; run_rdf.main(['-s', 'Ztt', '-o', 'OUT'])".replace("OUT", str(tmp_path))
    )
    done = run_code(code)
    assert done.returncode == 0, done.stderr
    assert read_json(tmp_path / "run.json")["threads"] == 1
