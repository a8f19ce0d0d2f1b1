"""Faults that are injected into a program, one call to the operating system at a time.

    with Program("plotting", "plotting.__main__", work=tmp_path) as program:
        for run in sweep(program, ["hist", out], out, errno.ENOSPC, prepare):
            assert_clear(run)

failing.c counts the calls that change files below a folder. What a run did is a list of Event; a
Fault lets the n-th call fail, or kills the process before it. `lose_power` makes of what a run has
left what a crash of the machine would have left.

A Program is imported once and forks for each run, so that a sweep takes little time.
"""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from conftest import REPOSITORY, SAFETY_NET, Outcome

HERE = Path(__file__).parent
KILL = 0  # in place of an errno
KILLED = -signal.SIGKILL  # the status of the run then


@dataclass(frozen=True)
class Fault:
    """What shall happen to which call."""

    at: int  # number of the call, from 1
    error: int  # errno, or KILL
    calls: str = ""  # kinds that count: write open close sync rename unlink mkdir link; "" for all
    goes_on: bool = False  # all later calls that need space fail as well: a full disk


@dataclass(frozen=True)
class Event:
    """A call that changed files."""

    number: int  # of those that count, 0 for others
    kind: str  # write, sync, close, create, truncate, open, rename, unlink, rmdir, mkdir, link
    inode: int
    path: Path
    other: Path | None = None  # new name of a rename
    kept: Path | None = None  # what a rename or removal has hidden


@dataclass(frozen=True)
class Run:
    """What a run of a program left behind."""

    outcome: Outcome
    events: list[Event]
    calls: int  # that counted
    fault: Fault | None = None

    @classmethod
    def of(cls, outcome, work, fault):
        """What happened in the run whose files are in `work`."""
        calls = int.from_bytes((work / "count").read_bytes(), sys.byteorder)
        return cls(outcome, read_events(work / "log"), calls, fault)

    @property
    def struck(self):
        """Whether the fault has happened."""
        return any(event.kind in ("failed", "killed") for event in self.events)


def failing_library(folder):
    """Compile failing.c; skips the test where that is not possible."""
    library = folder / "failing.so"
    if not library.exists():
        compiler = shutil.which("cc")
        if not compiler or not sys.platform.startswith("linux"):
            pytest.skip("there is no C compiler for Linux here")
        words = [compiler, "-std=gnu11", "-O1", "-shared", "-fPIC", "-fno-builtin", "-o", library]
        subprocess.run([*words, HERE / "failing.c", "-ldl"], check=True)
    return library


def folder_for_faults(work):
    """Where the files of failing.c are, in a folder that is not that of the program."""
    work = work / "faults"
    work.mkdir(exist_ok=True)
    return work


def environment(work, below, fault=None):
    """The variables of failing.c, and fresh files for it in the folder `work`."""
    for name in ("log", "count"):
        (work / name).write_bytes(bytes(8) if name == "count" else b"")
    stash = work / "stash"
    shutil.rmtree(stash, ignore_errors=True)
    stash.mkdir()
    variables = {
        "M3L_FAULT_FOLDER": str(Path(below).resolve()),
        "M3L_FAULT_LOG": str(work / "log"),
        "M3L_FAULT_COUNT": str(work / "count"),
        "M3L_FAULT_STASH": str(stash),
    }
    if fault:
        variables |= {"M3L_FAULT_AT": str(fault.at), "M3L_FAULT_ERROR": str(fault.error)}
        variables |= {"M3L_FAULT_CALLS": fault.calls} if fault.calls else {}
        variables |= {"M3L_FAULT_ON": "1"} if fault.goes_on else {}
    return variables


def read_events(log):
    """The events of a log, in order."""
    events = []
    for line in log.read_text(errors="surrogateescape").splitlines():
        number, kind, inode, path, *rest = line.split("\t")
        other, kept = rest if kind == "rename" else (None, rest[0])
        events.append(
            Event(
                int(number),
                kind,
                int(inode),
                Path(path),
                other and Path(other),
                None if kept == "-" else Path(kept),
            )
        )
    return events


def run_once(words, below, work, fault=None, **more):
    """Run any command; a Program is quicker for many."""
    work = folder_for_faults(work)
    done = subprocess.run(
        [str(word) for word in words],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "LD_PRELOAD": str(failing_library(work)),
            **environment(work, below, fault),
            **more,
        },
        capture_output=True,
        text=True,
        timeout=SAFETY_NET,
    )
    return Run.of(Outcome(done.returncode, done.stdout, done.stderr), work, fault)


class Program:
    """A module with a `__main__` whose imports are done; each run is a fork of it."""

    def __init__(self, module, *imports, work, **variables):
        """imports: modules that it needs; work: a folder for files of ours, outside of all others

        variables: for its environment
        """
        self.work = work = folder_for_faults(work)
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(HERE / "forking.py"), module, *imports],
            cwd=REPOSITORY,
            env={
                **os.environ,
                "LD_PRELOAD": str(failing_library(work)),
                "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{HERE.parent}",
                **variables,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with self.process:  # closes its pipes, which ends it
            pass

    def run(self, words, below, fault=None):
        """Run it with these words; counted is what happens below a folder."""
        out, err = self.work / "out", self.work / "err"
        order = {
            "words": [str(word) for word in words],
            "environment": environment(self.work, below, fault),
            "out": str(out),
            "err": str(err),
        }
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        status = int(self.process.stdout.readline())
        outcome = Outcome(status, out.read_text(), err.read_text())
        return Run.of(outcome, self.work, fault)


def numbers(run, most=None):
    """Numbers of the calls of a run to let fail: of each kind on each file, first and last.

    most: at most so many, from 2, evenly spread over these; None: all calls there are
    """
    if most is None:
        return list(range(1, run.calls + 1))
    places = {}
    for event in run.events:
        if event.number:
            name = re.sub(r"\d+|\.[0-9a-z_]{8}\b", "#", str(event.other or event.path))
            places.setdefault((event.kind, name), []).append(event.number)
    found = sorted({number for same in places.values() for number in (same[0], same[-1])})
    if len(found) <= most:
        return found
    return sorted({found[place * (len(found) - 1) // (most - 1)] for place in range(most)})


def sweep(program, words, below, error, prepare, most=None, calls="", goes_on=False):
    """Yield the Run of a program with each of its calls failing in turn.

    prepare: called before each, makes the folder `below` what it shall be
    most: as in `numbers`; None: all, until a run has no n-th call any more
    """
    prepare()
    counted = Fault(0, error, calls, goes_on)
    undisturbed = program.run(words, below, counted)
    assert undisturbed.outcome.status == 0, undisturbed.outcome
    assert undisturbed.calls, "nothing was written"
    for number in numbers(undisturbed, most):
        prepare()
        yield program.run(words, below, replace(counted, at=number))


def kill_at_random(program, words, below, prepare, times, seed=0):
    """Yield the Run of a program that is killed at a random one of its calls."""
    prepare()
    calls = program.run(words, below).calls
    draw = random.Random(seed)
    for _ in range(times):
        prepare()
        yield program.run(words, below, Fault(draw.randint(1, calls), KILL))


def assert_clear(run, lines=1):
    """A program has said in one line, or a few, what is wrong, and ended with status 1."""
    outcome = run.outcome
    assert outcome.status == 1, (run.fault, outcome)
    assert "Traceback" not in outcome.err, (run.fault, outcome.err)
    said = outcome.err.splitlines()
    assert 0 < len(said) <= lines, (run.fault, outcome.err)
    assert all(line.startswith("m3l: ") for line in said), (run.fault, outcome.err)


def contents(folder, ignore=()):
    """{name: bytes} of the files in a folder, without hidden ones and those in hidden folders.

    ignore: patterns of names that do not count either
    """
    paths = [path.relative_to(folder) for path in Path(folder).rglob("*") if path.is_file()]
    return {
        str(path): (folder / path).read_bytes()
        for path in sorted(paths)
        if not any(part.startswith(".") for part in path.parts)
        and not any(path.match(pattern) for pattern in ignore)
    }


# --- the machine crashes ----------------------------------------------------------------------


def lose_power(folder, events, names=True, kept=0.0):
    """Change a folder, in which a run has just done this, as a crash of the machine may change it.

    Content that was not synced is lost. Names in folders that were not synced are the new ones, or
    (names=False) what they were before.

    kept: part of a file's size that survives if its content was not synced
    """
    lost = set()  # inodes
    undone = []  # what may be undone, in order
    for event in events:
        if event.kind in ("create", "sync"):
            lost.discard(event.inode)
        if event.kind in ("write", "truncate"):
            lost.add(event.inode)
        if event.kind == "sync":
            undone = [one for one in undone if event.path not in folders(one)]
        if event.kind in ("create", "mkdir", "rename", "unlink", "rmdir", "link"):
            undone.append(event)
    if not names:
        for event in reversed(undone):
            undo(event)
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and path.stat().st_ino in lost:
            os.truncate(path, int(kept * path.stat().st_size))


def folders(event):
    """The folders whose content an event changed."""
    return {path.parent for path in (event.path, event.other) if path}


def undo(event):
    """Bring the names back that were there before an event."""
    target = event.other or event.path
    if event.kind == "rename":
        if target.exists():
            event.path.parent.mkdir(parents=True, exist_ok=True)
            os.rename(target, event.path)
    elif event.kind in ("create", "link"):
        target.unlink(missing_ok=True)
    elif event.kind == "mkdir":
        shutil.rmtree(target, ignore_errors=True)
    elif event.kind == "rmdir":
        target.mkdir(parents=True, exist_ok=True)
    if event.kept and event.kept.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        os.link(event.kept, target)
