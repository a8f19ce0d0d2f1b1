"""Damaged files: looked at before, blamed when a loop fails, left out on purpose; others go on."""

import math
import os
import shutil

import ntuples
import pytest
from conftest import DEMO, read_json, read_table
from ntuples import three_leptons


def events(first, number):
    return [three_leptons(number=n) for n in range(first, first + number)]


@pytest.fixture
def samples(tmp_path):
    """Two samples of two files each; returns the samples file."""
    for name, first in (("a", 0), ("b", 100), ("c", 200), ("d", 300)):
        ntuples.write(tmp_path / f"{name}.root", events(first, 4), sum_of_weights=8.0)
    ntuples.samples_file(
        tmp_path / "my.toml",
        {"name": "one", "files": ["a.root", "b.root"], "sum_of_weights": None},
        {"name": "two", "files": ["c.root", "d.root"], "sum_of_weights": None},
    )
    return tmp_path / "my.toml"


@pytest.fixture
def run(run_here, samples, tmp_path):
    """Run the samples."""
    return lambda *words: run_here("--samples", samples, "-o", tmp_path / "out", *words)


@pytest.fixture
def breaks(ROOT, monkeypatch):
    """Make event loops that read a file of this name end in some way."""
    from analysis.loops import CompiledLoop

    really = CompiledLoop.fill_from

    def call(name, end):
        def fill_from(self, files, begin, stop, progress):
            if any(file.path.endswith(name) for file in files):
                return end()
            return really(self, files, begin, stop, progress)

        monkeypatch.setattr(CompiledLoop, "fill_from", fill_from)

    return call


# --- before the loop --------------------------------------------------------------------------


@pytest.mark.parametrize("make", [os.link, shutil.copy], ids=["link", "copy"])
@pytest.mark.parametrize("taken", ["b", "d"], ids=["in the sample", "in another"])
def test_file_that_is_there_twice(run, tmp_path, make, taken):
    (tmp_path / f"{taken}.root").unlink()
    make(tmp_path / "a.root", tmp_path / f"{taken}.root")
    outcome = run("--check")
    assert outcome.status == 1
    (line,) = outcome.lines
    assert f"{taken}.root is the same file as {tmp_path}/a.root of sample 'one'" in line


@pytest.mark.parametrize(
    "make, words",
    [(os.mkfifo, "is no regular file"), (os.mkdir, "is a directory")],
    ids=["pipe", "folder"],
)
def test_what_is_no_file(run, tmp_path, make, words):
    (tmp_path / "b.root").unlink()
    make(tmp_path / "b.root")
    outcome = run()
    assert outcome.status == 1
    assert outcome.lines == [f"m3l: {tmp_path}/my.toml: sample 'one': {tmp_path}/b.root: {words}"]


def test_file_that_crashes_root_when_it_is_looked_at(run, monkeypatch):
    from analysis import looks

    really = looks.look_at_one

    def look(sample, path):
        if path.endswith("c.root"):
            os.abort()
        return really(sample, path)

    monkeypatch.setattr(looks, "look_at_one", look)
    outcome = run("--check")
    assert outcome.status == 1
    (line,) = outcome.lines
    assert "c.root cannot be read: ROOT crashed (Aborted) while looking at it" in line


def test_looks_are_remembered_until_a_file_changes(run, samples, tmp_path, monkeypatch):
    from analysis import looks

    monkeypatch.setattr(looks, "SETTLED", 0)
    assert run("--check").status == 0
    looked = tmp_path / "looked"
    really = looks.look_at_one

    def look(sample, path):
        with looked.open("a") as file:
            file.write(os.path.basename(path))
        return really(sample, path)

    monkeypatch.setattr(looks, "look_at_one", look)
    assert run("--check").status == 0
    assert not looked.exists()
    ntuples.write(tmp_path / "b.root", events(100, 3), sum_of_weights=8.0)
    assert "one: 7 entries" in run("--check").out
    assert looked.read_text() == "b.root"


def test_check_shows_what_protects_a_file(run, tmp_path):
    (tmp_path / "b.root.md5").write_text("0" * 32 + "\n")
    lines = [line.split() for line in run("--check").out.splitlines()]
    assert ["a.root", "4", "0.0", "none", "none"] in lines  # few events are not compressed
    assert ["b.root", "4", "0.0", "none", "md5"] in lines
    shutil.copy(DEMO / "VH.root", tmp_path / "b.root")
    lines = [line.split() for line in run("--check").out.splitlines()]
    assert ["b.root", "637", "0.1", "zstd", "md5"] in lines


# --- in the loop ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "end, words",
    [
        (os.abort, "d.root: ROOT crashed (Aborted)"),
        (lambda: os._exit(0), "d.root: ROOT ended the process (status 0)"),
        (lambda: "basket", "d.root: basket"),
    ],
    ids=["crash", "exit", "problem"],
)
def test_other_samples_finish(run, breaks, tmp_path, monkeypatch, end, words):
    breaks("d.root", end)
    outcome = run()
    assert outcome.status == 1
    assert outcome.lines == [f"m3l: sample 'two': {tmp_path}/{words}"]
    assert "failed, not among the products: two" in outcome.out
    record = read_json(tmp_path / "out" / "run.json")
    assert [sample["name"] for sample in record["samples"]] == ["one"]
    assert list(record["failed"]) == ["two"]
    assert len(read_table(tmp_path / "out", "one")) == 8
    monkeypatch.undo()
    outcome = run()
    assert outcome.status == 0 and "1 of 2 samples have not changed" in outcome.out
    assert read_json(tmp_path / "out" / "run.json")["failed"] == {}


def test_complete_run_is_not_replaced_by_a_part(run, breaks, tmp_path):
    run()
    before = (tmp_path / "out" / "run.json").read_bytes()
    breaks("d.root", lambda: "basket")
    outcome = run("--force")
    assert outcome.status == 1 and "keeps its earlier, complete run" in outcome.out
    assert (tmp_path / "out" / "run.json").read_bytes() == before


def test_file_that_changes_while_it_is_read(run, tmp_path, monkeypatch):
    from analysis.loops import CompiledLoop

    really = CompiledLoop.fill_from

    def fill_from(self, *words):
        ntuples.write(tmp_path / "b.root", events(500, 4), sum_of_weights=8.0)
        return really(self, *words)

    monkeypatch.setattr(CompiledLoop, "fill_from", fill_from)
    outcome = run("-s", "one")
    assert outcome.status == 1
    assert "b.root has changed since it was looked at" in outcome.err


def test_checksum_beside_a_file_is_compared(run, tmp_path):
    (tmp_path / "d.root.sha256").write_text("0" * 64 + "  d.root\n")
    outcome = run()
    assert outcome.status == 1
    (line,) = outcome.lines
    assert line.startswith(f"m3l: sample 'two': {tmp_path}/d.root: is damaged or another file")
    assert [s["name"] for s in read_json(tmp_path / "out" / "run.json")["samples"]] == ["one"]


def test_killed_loop_blames_no_file(run, breaks):
    breaks("d.root", lambda: os.kill(os.getpid(), 9))
    outcome = run("--skip-bad-files")
    assert outcome.status == 1
    assert "was killed: with too little memory" in outcome.err and "d.root" not in outcome.err


# --- bad files left out -----------------------------------------------------------------------


def truncate(path):
    path.write_bytes(path.read_bytes()[:1000])


def test_bad_files_can_be_left_out(run, tmp_path):
    truncate(tmp_path / "b.root")
    assert run().status == 1
    outcome = run("--skip-bad-files")
    assert outcome.status == 0, outcome.err
    (warning,) = outcome.lines
    assert "b.root is left out" in warning and "sample 'one'" in warning
    (one, two) = read_json(tmp_path / "out" / "run.json")["samples"]
    assert one["entries_read"] == 4 and two["skipped"] == []
    assert [f["path"] for f in one["skipped"]] == [f"{tmp_path}/b.root"]
    # By the sum of weights of the files that are left.
    constants = [sample["normalisation"]["constant"] for sample in (one, two)]
    assert constants[0] == pytest.approx(2 * constants[1])


def test_file_found_bad_in_the_loop_is_left_out(run, breaks, tmp_path):
    breaks("b.root", os.abort)
    outcome = run("--skip-bad-files")
    assert outcome.status == 0, outcome.err
    (one, two) = read_json(tmp_path / "out" / "run.json")["samples"]
    assert [(f["path"], f["entries"]) for f in one["skipped"]] == [(f"{tmp_path}/b.root", 4)]
    assert one["normalisation"]["constant"] == pytest.approx(2 * two["normalisation"]["constant"])
    assert len(read_table(tmp_path / "out", "one")) == 4


def test_declared_sum_of_weights_is_corrected_where_that_is_possible(
    run_here, breaks, tmp_path, samples
):
    declared = {"name": "one", "files": ["a.root", "b.root"], "sum_of_weights": 100.0}
    ntuples.samples_file(samples, declared)
    words = ("--samples", samples, "-o", tmp_path / "out")
    run_here(*words)
    whole = math.fsum(read_table(tmp_path / "out", "one").wgt_SG)
    breaks("b.root", os.abort)
    assert run_here(*words, "--skip-bad-files", "--force").status == 0
    assert math.fsum(read_table(tmp_path / "out", "one").wgt_SG) == pytest.approx(whole)


def test_unknown_loss_cannot_be_corrected(run_here, tmp_path, samples):
    (tmp_path / "b.root").write_text("no ROOT file")
    declared = {"name": "one", "files": ["a.root", "b.root"], "sum_of_weights": 100.0}
    ntuples.samples_file(samples, declared)
    outcome = run_here("--samples", samples, "-o", tmp_path / "out", "--skip-bad-files")
    assert outcome.status == 1
    assert "nobody knows how many entries its bad files hold" in outcome.err


# --- data -------------------------------------------------------------------------------------


def test_repeated_data_events_are_told(run_here, tmp_path):
    for name, first in (("a", 0), ("b", 2)):
        ntuples.write(tmp_path / f"{name}.root", events(first, 4))
    data = {"kind": "data", "sum_of_weights": None}
    ntuples.samples_file(
        tmp_path / "my.toml",
        {"name": "A", "files": ["a.root"], **data},
        {"name": "B", "files": ["b.root"], **data},
    )
    outcome = run_here("--samples", tmp_path / "my.toml", "-o", tmp_path / "out")
    assert outcome.status == 0
    (line,) = outcome.lines
    assert "2 data events of SR3L are there more than once (samples A, B)" in line
    assert "event 2 of run 300000" in line
    assert read_json(tmp_path / "out" / "run.json")["repeated_data_events"] == {"SR3L": 2}
