"""What all tests share: the option --slow, the helpers, and ways to run the program."""

import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
DEMO = REPOSITORY / "analysis" / "demo"

# Seconds after which a program that hangs fails its test: no measure of speed, machines are busy.
SAFETY_NET = 1800


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="run also the tests that take long")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--slow"):
        skip = pytest.mark.skip(reason="takes long, --slow runs it")
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(skip)


def slow(*values, **options):
    """A parameter of a test that only runs with --slow; options: as those of pytest.param."""
    return pytest.param(*values, marks=pytest.mark.slow, **options)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Of `pytest -n`: the tests of a file stay together, since they share what they have made."""
    from xdist.scheduler import LoadFileScheduling

    return LoadFileScheduling(config, log)


@pytest.fixture(scope="session")
def ROOT():  # noqa: N802
    """ROOT with the helpers loaded."""
    import ROOT

    import helpers

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        helpers.load_engine()
    return ROOT


@dataclass(frozen=True)
class Outcome:
    """What a run of the program left behind."""

    status: int
    out: str
    err: str

    @property
    def lines(self):
        """Lines on stderr."""
        return self.err.splitlines()

    @classmethod
    def of(cls, status, out, err):
        """Without the lines that a run prints every ten seconds on a slow machine."""
        return cls(status, out, re.sub(r"^.+ (events|files), .+/s, .+\n", "", err, flags=re.M))


@pytest.fixture
def run_here(ROOT, capfd):
    """Call run_rdf.py's main in this process, one thread: quick."""
    import run_rdf

    def call(*words):
        capfd.readouterr()
        status = 0
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            try:
                run_rdf.main([*map(str, words), "-j", "1"])
            except SystemExit as exit:
                status = exit.code
        # Chains that were only checked wait for the interpreter: else it would compile them in each
        # child process of later runs.
        ROOT.RDataFrame(1).Count().GetValue()
        return Outcome.of(status, *capfd.readouterr())

    return call


@pytest.fixture
def does_not_exit(monkeypatch):
    """Let os._exit do nothing in this process, where others would be gone; children do end."""
    here, leave = os.getpid(), os._exit
    monkeypatch.setattr(os, "_exit", lambda status: os.getpid() == here or leave(status))


def made_by(run_here, tmp_path, option):
    """Function that runs into a new folder, which an option takes, and returns it."""

    def call(*words):
        folder = tmp_path / f"{option.strip('-')}{len([*tmp_path.iterdir()])}"
        outcome = run_here(option, folder, *words)
        assert (outcome.status, outcome.err) == (0, ""), outcome
        return folder

    return call


@pytest.fixture
def runs(run_here, tmp_path):
    """Run into a new folder; returns it."""
    return made_by(run_here, tmp_path, "-o")


@pytest.fixture
def skims(run_here, tmp_path):
    """Make a skim in a new folder; returns its samples file."""
    make = made_by(run_here, tmp_path, "--skim")
    return lambda *words: make(*words) / "samples.toml"


@pytest.fixture
def complaints(run_here, tmp_path):
    """Run on a skim; returns the lines of the complaint."""

    def call(*words):
        outcome = run_here("-o", tmp_path / "refused", *words)
        assert outcome.status == 1, outcome
        assert not (tmp_path / "refused" / "run.json").exists()
        return outcome.lines

    return call


def run_program(
    *words, folder=REPOSITORY, python=(sys.executable,), timeout=SAFETY_NET, **environment
):
    """Run run_rdf.py in a process of its own."""
    done = subprocess.run(
        [*python, str(folder / "run_rdf.py"), *map(str, words)],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    return Outcome.of(done.returncode, done.stdout, done.stderr)


def run_code(code):
    """Run Python code in a process of its own, in the checkout."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=SAFETY_NET,
    )


def root_program():
    """Path of the program `root`, which need not be in PATH."""
    import ROOT

    return str(ROOT.TROOT.GetBinDir()) + "/root.exe"


def at_prompt(file, *lines, folder=REPOSITORY, **environment):
    """Start ROOT with a file, without Python, and type lines."""
    words = [root_program(), "-l", "-b", "-q", str(file)]
    for line in lines:
        words += ["-e", line]
    return subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=SAFETY_NET,
    )


@pytest.fixture(scope="session")
def demo_output(tmp_path_factory):
    """Output folder of `python run_rdf.py -j 1`: the whole demo, one thread, compiled."""
    folder = tmp_path_factory.mktemp("demo") / "out"
    outcome = run_program("-j", "1", "-o", folder)
    assert outcome.status == 0, outcome.err
    return folder


@pytest.fixture
def submit_here(ROOT, capfd):
    """Call the main of analysis.submit in this process."""
    from analysis import submit

    def call(*words):
        capfd.readouterr()
        status = 0
        try:
            submit.main([*map(str, words)])
        except SystemExit as exit:
            status = exit.code
        return Outcome.of(status, *capfd.readouterr())

    return call


@pytest.fixture
def stats_here(capsys):
    """Call the main of analysis.stats in this process; gives status, stdout and stderr."""
    from analysis.stats.__main__ import main

    def call(*words):
        capsys.readouterr()
        status = 0
        try:
            main([str(word) for word in words])
        except SystemExit as exit:
            status = exit.code
        return status, *capsys.readouterr()

    return call


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """Output folder of a submission whose pieces are done; not to be changed."""
    import batch

    folder = tmp_path_factory.mktemp("finished") / "out"
    outcome = batch.submit_program("local", *batch.WORDS, "-o", folder)
    assert outcome.status == 0, outcome.err
    return folder


@pytest.fixture
def pieces(finished, tmp_path):
    """A copy of a submission whose pieces are done, not yet merged."""
    shutil.copytree(finished / "jobs", tmp_path / "out" / "jobs")
    return tmp_path / "out"


def table_path(folder, sample, tag="3lep"):
    return folder / "hdf5" / f"{sample}_{tag}_df_forML_bkg_signal_fromRDF.hdf5"


def read_table(folder, sample, tag="3lep"):
    import pandas as pd

    return pd.read_hdf(table_path(folder, sample, tag), "mini")


def read_json(path):
    return json.loads(Path(path).read_text())


def assert_nothing_left(folder):
    """No product, complete or not, is in an output folder."""
    left = sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))
    assert left in ([], ["hdf5"]), left


def add_row(store, slot, identity, weight, cells, scalars, integers):
    """Add a row to a RowStore; weight: one, or those of a row with several."""
    import ROOT

    # Each with a value too many, since an empty array has no address.
    arrays = [np.array([*v, 0], "f4") for v in (cells, scalars)]
    values = np.zeros(len(integers) + 1, "i4")
    made = ROOT.m3l.Integers(values)
    for integer in integers:
        made.add(float(integer))
    store.add(
        slot, np.array(identity), np.atleast_1d(weight), arrays[0], len(cells), arrays[1], made
    )
