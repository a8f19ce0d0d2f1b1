"""The output folder: one writer, all products or none, and what a killed run leaves is used."""

import errno
import json
import os
import shutil
from pathlib import Path

import pytest
from conftest import DEMO, run_program

from analysis import files
from analysis.errors import OutputError
from analysis.output import PARTIAL
from analysis.products import Output

NAMES = ["hdf5/a", "hdf5/b", "histograms.root", "run.json"]
GONE = ["parquet/a", "parquet/none"]  # of an old run, as far as they are there


def fill(folder, text):
    """Files of these names with a text."""
    for name in NAMES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text} {name}")
    return {name: folder / name for name in NAMES}


def fill_old(folder):
    """An output folder with old products, one of which the new run does not have."""
    fill(folder, "old")
    (folder / "parquet").mkdir()
    (folder / GONE[0]).write_text("old")
    return folder


def content(folder):
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file() and PARTIAL not in path.parts
    }


@pytest.fixture
def folders(tmp_path):
    """An output folder with old products, and complete new ones."""
    out = fill_old(tmp_path / "out")
    (out / "hdf5" / "b").unlink()  # the new run has one more
    return out, fill(out / PARTIAL / "new", "new")


def test_all_are_put_in_place(folders):
    out, new = folders
    files.put_all_in_place(new, out, out / PARTIAL, GONE)
    assert content(out) == {name: f"new {name}" for name in NAMES}
    assert list((out / PARTIAL).glob("*")) == [out / PARTIAL / "new"]


@pytest.mark.parametrize("fatal", [False, True], ids=["fails", "killed"])
@pytest.mark.parametrize("call", ["replace", "fsync"])
def test_wherever_it_stops_all_or_none_are_there(tmp_path, monkeypatch, call, fatal):
    """The n-th call fails, for every n; or nothing is called after it, as if killed."""
    really = getattr(os, call)
    stopped = 0
    for n in range(1, 100):
        out = fill_old(tmp_path / f"out{n}")
        new, before = fill(out / PARTIAL / "new", "new"), content(out)
        calls = [0]

        def stop(*words, calls=calls, n=n):
            calls[0] += 1
            if calls[0] == n or (fatal and calls[0] > n):
                raise OSError(5, "Input/output error")
            return really(*words)

        monkeypatch.setattr(os, call, stop)
        try:
            files.put_all_in_place(new, out, out / PARTIAL, GONE)
            done = True
        except (OSError, OutputError):
            done = False
        monkeypatch.setattr(os, call, really)
        if not done and fatal:
            whole = content(out)
            # A reader finds all of one kind, or no run.json.
            assert len({text.split()[0] for text in whole.values()}) == 1 or "run.json" not in whole
        files.take_back(out / PARTIAL, out)
        after = content(out)
        assert after in (before, {name: f"new {name}" for name in NAMES}), n
        if after == before:  # the new ones are not lost
            assert all(path.read_text().startswith("new") for path in new.values())
        stopped += not done
        if done:
            break
    assert done and stopped > 3


@pytest.mark.parametrize(
    "names",
    [
        {"new": {"../../secret": "stolen", "run.json": "x"}},
        {"new": {"run.json": "x"}, "gone": ["../../secret"]},
    ],
)
def test_journal_from_elsewhere_moves_no_other_files(tmp_path, names):
    partial = tmp_path / "out" / PARTIAL
    partial.mkdir(parents=True)
    journal = {**names, "last": ""}
    (partial / files.JOURNAL).write_text(json.dumps(journal))
    (tmp_path / "secret").write_text("mine")
    with pytest.raises(OutputError, match="names ../../secret"):
        files.take_back(partial, tmp_path / "out")
    assert (tmp_path / "secret").read_text() == "mine"


def test_two_runs_into_one_folder_are_refused(tmp_path):
    with files.lock(tmp_path / "output", shown=tmp_path):
        outcome = run_program("-s", "Ztt", "-o", tmp_path)
    assert outcome.status == 1
    assert outcome.lines == [
        f"m3l: output folder {tmp_path} is in use by another process: wait for it"
    ]


def test_reason_is_one_line_without_temporary_names(tmp_path):
    path = tmp_path / ".partial" / "x"
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path), None, path)
    with pytest.raises(OutputError) as raised, Output(tmp_path):
        raise error
    advice = "No space left on device; free disk space and run again"
    assert str(raised.value) == f"output folder {tmp_path} cannot be written: {advice}"


def test_lock_that_cannot_be_closed_is_no_error(tmp_path):
    with files.lock(tmp_path / "output"):
        (name,) = tmp_path.glob(".*")
        for link in Path("/proc/self/fd").iterdir():
            if link.is_symlink() and os.readlink(link) == str(name):
                os.close(int(link.name))
    with files.lock(tmp_path / "output"):
        pass


def test_readers_share_a_folder_and_keep_writers_out(tmp_path):
    with files.lock(tmp_path / "output", shared=True), files.lock(tmp_path / "output", shared=True):
        with pytest.raises(OutputError), files.lock(tmp_path / "output"):
            pass
    with files.lock(tmp_path / "output"):
        pass
    assert list(tmp_path.iterdir()) == []


# --- runs -------------------------------------------------------------------------------------


def same_products(one, other):
    """Whether two output folders hold the same, but for the circumstances in run.json."""
    names = [{str(p.relative_to(f)) for p in f.rglob("*") if p.is_file()} for f in (one, other)]
    return names[0] == names[1] and all(
        (one / name).read_bytes() == (other / name).read_bytes() for name in names[0] - {"run.json"}
    )


@pytest.fixture
def run(run_here, tmp_path):
    """Run two samples of the demo into tmp_path/out; returns what was printed."""

    def call(*words, folder="out"):
        outcome = run_here("-s", "Ztt", "VH", *words, "-o", tmp_path / folder)
        assert outcome.status == 0, outcome.err
        return outcome.out

    return call


def test_nothing_is_done_twice(run, tmp_path):
    run()
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")}
    assert f"{tmp_path}/out is up to date" in run()
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*")} == before
    assert "written to" in run("--force")


def test_only_what_is_damaged_or_new_is_made_again(run, run_here, tmp_path):
    run()
    run(folder="whole")
    table = next((tmp_path / "out" / "hdf5").glob("VH*"))
    table.write_bytes(table.read_bytes()[:-1])
    assert "1 of 2 samples" in run()
    assert same_products(tmp_path / "out", tmp_path / "whole")
    outcome = run_here("-s", "Ztt", "VH", "ttZ", "-o", tmp_path / "out")
    assert "2 of 3 samples" in outcome.out
    run_here("-s", "Ztt", "VH", "ttZ", "-o", tmp_path / "three")
    assert same_products(tmp_path / "out", tmp_path / "three")


def test_other_declarations_make_it_again(run):
    run()
    assert "have not changed" not in run("-n", "50")
    assert "have not changed" not in run("--layout", "T4N5")


def test_file_with_another_time_is_read_and_another_content_is_seen(run_here, tmp_path):
    declared = (DEMO / "samples.toml").read_text().split("[[sample]]")
    block = next(block for block in declared if '"VH"' in block)
    (tmp_path / "samples.toml").write_text(f"{declared[0]}\n[[sample]]\n{block}")
    path = tmp_path / "VH.root"
    shutil.copy(DEMO / "VH.root", path)
    words = ("--samples", tmp_path / "samples.toml", "-o", tmp_path / "out")
    run_here(*words)
    os.utime(path, ns=(1, 1))
    assert "have not changed" in run_here(*words).out
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    outcome = run_here(*words)
    assert "have not changed" not in outcome.out
    assert f"sample 'VH' is made again: {path} has another content" in outcome.err


def test_finished_samples_of_a_killed_run_are_taken(
    run, run_here, tmp_path, monkeypatch, does_not_exit
):
    from analysis.products import Output

    def stop(*_):
        raise KeyboardInterrupt

    run(folder="whole")
    monkeypatch.setattr(Output, "publish", stop)
    outcome = run_here("-s", "Ztt", "VH", "-o", tmp_path / "out")
    assert outcome.status == 130
    assert outcome.lines == ["m3l: interrupted, what is complete is kept: the same command goes on"]
    monkeypatch.undo()
    assert "2 of 2 samples" in run()
    assert same_products(tmp_path / "out", tmp_path / "whole")
