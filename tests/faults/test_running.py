"""The main job and the merge: the n-th call fails or kills, the machine crashes, for all n."""

import errno
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from batch import submit_program
from conftest import REPOSITORY, read_json, run_program, slow
from faults.inject import (
    KILL,
    KILLED,
    Fault,
    Program,
    assert_clear,
    contents,
    kill_at_random,
    lose_power,
    sweep,
)

from analysis.files import checksum

SAMPLES = ("Ztt", "VH")
MODULES = ("faults.warm", "analysis.run", "analysis.repeat", "analysis.summary")
MERGING = ("faults.warm", "analysis.batch.merge", "analysis.summary")
FAULTS = pytest.mark.parametrize(
    "error, goes_on",
    [(errno.EIO, False), (errno.ENOSPC, True)],
    ids=["broken", "full"],
)


class Work:
    """A program whose products are compared.

    Attributes:
        out: the folder; made: what is copied there before
        words: for the program
        expected: what it makes of it
    """

    def __init__(self, program, out, made, words, others=()):
        self.program, self.out, self.made = program, out, made
        self.words = words
        self.allowed = {(), SAMPLES, others}
        self.prepare()
        outcome = self.run().outcome
        assert outcome.status == 0, outcome
        self.expected = self.products()

    def prepare(self):
        """Make the folder what it was before."""
        shutil.rmtree(self.out, ignore_errors=True)
        if self.made:
            shutil.copytree(self.made, self.out)

    def run(self, fault=None):
        return self.program.run(self.words, self.out, fault)

    def products(self):
        """The files, without what differs between equal runs."""
        return contents(self.out, ("run.json", "jobs/**"))

    def assert_whole(self):
        """The products that are there belong together."""
        path = self.out / "run.json"
        record = read_json(path) if path.exists() else {"samples": [], "checksums": {}}
        sums = dict(record["checksums"])
        for sample in record["samples"]:
            sums |= {name: sample["checksums"][r] for r, name in sample["tables"].items()}
        assert tuple(sample["name"] for sample in record["samples"]) in self.allowed
        assert {name: checksum(self.out / name) for name in sums} == sums

    def assert_goes_on(self, run):
        """After this run, the same command makes all and leaves nothing else."""
        self.assert_whole()
        outcome = self.run().outcome
        assert (outcome.status, outcome.err) == (0, ""), (run.fault, outcome)
        assert self.products() == self.expected, run.fault
        hidden = [path.name for path in self.out.rglob(".*")]
        assert not hidden, (run.fault, hidden)


@pytest.fixture(scope="module")
def works(tmp_path_factory):
    """{name: function that makes a Work}."""
    work = tmp_path_factory.mktemp("running")
    with ExitStack() as stack:
        running = stack.enter_context(Program("run_rdf", *MODULES, work=work))

        def words(out, samples):
            return ["-s", *samples, "-j", "1", "-o", out]

        def fresh():
            return Work(running, work / "fresh", None, words(work / "fresh", SAMPLES))

        def again():
            others = ("ZZ", "Ztt")
            made = work / "made"
            assert running.run(words(made, others), made).outcome.status == 0
            return Work(running, work / "again", made, words(work / "again", SAMPLES), others)

        def merge():
            out, made = work / "merge", work / "pieces"
            sent = submit_program("local", *words(out, SAMPLES), "--events-per-job", "500")
            assert sent.status == 0, sent
            (made / "jobs").parent.mkdir()
            shutil.copytree(out / "jobs", made / "jobs")
            (work / "merging").mkdir()
            merging = Program("analysis.submit", *MERGING, work=work / "merging")
            return Work(stack.enter_context(merging), out, made, ["merge", out])

        made = {}
        makers = {"fresh": fresh, "again": again, "merge": merge}
        yield lambda name: made.get(name) or made.setdefault(name, makers[name]())


WORKS = pytest.mark.parametrize("name", ["fresh", slow("again"), slow("merge")])


@WORKS
@FAULTS
def test_products_are_whole_whatever_fails(works, name, error, goes_on, at_most):
    it = works(name)
    for run in sweep(it.program, it.words, it.out, error, it.prepare, at_most(2), goes_on=goes_on):
        it.assert_whole()
        if run.outcome.status == 0:
            assert (it.products(), run.outcome.err) == (it.expected, ""), run.fault
        else:
            assert_clear(run)
            assert "PosixPath" not in run.outcome.err and "[Errno" not in run.outcome.err
        it.assert_goes_on(run)


def test_publishing_is_all_or_nothing_whenever_the_machine_crashes(works, request):
    it = works("again")
    it.prepare()
    events = [event for event in it.run().events if event.number]
    journal = next(event.number for event in events if "publishing" in str(event.path))
    last = max(event.number for event in events if event.kind == "rename")
    step = 1 if request.config.getoption("--slow") else 6
    for number in range(journal, last + 4, step):
        it.prepare()
        run = it.run(Fault(number, KILL))
        assert run.outcome.status == KILLED
        lose_power(it.out, run.events, names=number % 4 < 2, kept=0.5)
        it.assert_goes_on(run)


@WORKS
def test_killed_run_goes_on_to_the_same_products(works, name, request):
    it = works(name)
    times = 50 if request.config.getoption("--slow") else 2
    for run in kill_at_random(it.program, it.words, it.out, it.prepare, times, seed=os.getpid()):
        assert run.outcome.status in (KILLED, 1), run.fault  # 1: a child of it was killed
        it.assert_goes_on(run)


def test_new_folder_is_on_disk(works):
    it = works("fresh")
    it.prepare()
    run = it.program.run(it.words, it.out.parent)
    lose_power(it.out, run.events, names=False)
    assert it.products() == it.expected


ENDING = """
import atexit, os, runpy, signal, sys
for number in (signal.SIGINT, signal.SIGTERM):
    atexit.register(os.kill, os.getpid(), number)
sys.argv = ["run_rdf.py", "--list"]
runpy.run_path("run_rdf.py", run_name="__main__")
"""


def test_signal_after_the_end_is_nothing(tmp_path):
    words = [sys.executable, "-c", ENDING]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("content", ["[1]", "[" * 100_000])
def test_other_run_json_is_replaced(works, content):
    it = works("fresh")
    it.prepare()
    it.out.mkdir()
    (it.out / "run.json").write_text(content)
    assert it.run().outcome.status == 0
    assert it.products() == it.expected


def test_pipe_for_run_json_is_named(works):
    it = works("fresh")
    it.prepare()
    it.out.mkdir()
    os.mkfifo(it.out / "run.json")
    run = it.run()
    assert_clear(run)
    assert "run.json cannot be read: is no regular file" in run.outcome.err


@pytest.mark.parametrize("kilobytes", [slow(10), 90])
def test_limit_of_a_file_size_is_one_line(tmp_path, kilobytes):
    out = tmp_path / "out"
    limit = ("bash", "-c", f'ulimit -f {kilobytes}; exec "$0" "$@"', sys.executable)
    outcome = run_program("-s", "VH", "-j", "1", "-o", out, python=limit)
    assert (outcome.status, len(outcome.lines)) == (1, 1), outcome
    assert "File too large" in outcome.err and not Path(out, "run.json").exists()
