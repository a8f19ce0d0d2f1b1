"""Files and folders appear complete and on disk, or not at all."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY

from analysis import files
from analysis.errors import InputError, OutputError


@pytest.fixture
def calls(monkeypatch):
    """What is synced and renamed, in order, by name; a descriptor is looked up."""
    done = []

    def fsync(descriptor):
        done.append(("sync", Path(os.readlink(f"/proc/self/fd/{descriptor}")).name))

    def replace(old, new, really=os.replace):
        done.append(("rename", Path(old).name, Path(new).name))
        really(old, new)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    return done


def test_file_is_on_disk_before_it_has_its_name(tmp_path, calls):
    path = tmp_path / "run.json"
    new = files.aside(path).name
    files.write_json(path, {"a": 1})
    assert calls == [("sync", new), ("rename", new, "run.json"), ("sync", tmp_path.name)]


def test_folder_is_on_disk_before_the_old_one_goes(tmp_path, calls):
    path = tmp_path / "small"
    path.mkdir()
    with files.atomic_folder(path) as new:
        (new / "inside").mkdir()
        (new / "inside" / "a").write_text("")
    synced = {name for what, name, *_ in calls[:3] if what == "sync"}
    assert synced == {".small.new", "inside", "a"}
    assert calls[3:] == [
        ("rename", "small", ".small.old"),
        ("rename", ".small.new", "small"),
        ("sync", tmp_path.name),
    ]


def test_file_is_replaced_only_on_success(tmp_path):
    path = tmp_path / "model.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(ZeroDivisionError), files.atomic_file(path) as new:
        new.write_text("half")
        raise ZeroDivisionError
    assert files.read_json(path, "") == {"a": 1}
    assert os.listdir(tmp_path) == ["model.json"]


def test_full_disk_is_named_with_advice(tmp_path):
    path = tmp_path / "a"
    with pytest.raises(OutputError, match=f"{path} cannot be written: .*; free disk space"):
        with files.atomic_file(path):
            raise OSError(files.FULL[0], "No space left on device")
    (tmp_path / "a").write_text("")
    with pytest.raises(OutputError, match="b cannot be written: File exists$"):
        files.write_file(tmp_path / "a" / "b", "")


def test_writers_in_several_processes_do_not_meet(tmp_path):
    """Each writes a name of its own; the last to finish wins, and the file is whole."""
    path = tmp_path / "a"
    with files.atomic_file(path) as new:
        new.write_text("ours")
        code = (
            f"import pathlib, analysis.files as f; f.write_file(pathlib.Path('{path}'), 'theirs')"
        )
        subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)
        assert path.read_text() == "theirs"
    assert path.read_text() == "ours"
    assert os.listdir(tmp_path) == ["a"]


def test_folder_is_replaced_only_on_success(tmp_path):
    path = tmp_path / "small"
    with files.atomic_folder(path) as folder:
        (folder / "a").write_text("first")
    with pytest.raises(KeyboardInterrupt), files.atomic_folder(path) as folder:
        (folder / "a").write_text("second")
        raise KeyboardInterrupt
    assert (path / "a").read_text() == "first"
    with files.atomic_folder(path) as folder:
        (folder / "b").write_text("third")
    assert os.listdir(path) == ["b"]
    assert os.listdir(tmp_path) == ["small"]


def test_kill_between_the_renames_is_undone(tmp_path):
    (tmp_path / ".small.old").mkdir()
    (tmp_path / ".small.old" / "a").write_text("old")
    assert (files.restore_folder(tmp_path / "small") / "a").read_text() == "old"


def test_only_one_process_may_write(tmp_path):
    with files.lock(tmp_path / "small"):
        with pytest.raises(OutputError, match="in use by another process"):
            with files.lock(tmp_path / "small"):
                pass
    with files.lock(tmp_path / "small"):
        pass


@pytest.mark.parametrize("text", ["{", "[1]", "\udcff"])
def test_bad_json_is_named(tmp_path, text):
    path = tmp_path / "run.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match="run.json.*do this"):
        files.read_json(path, "do this")


def test_checksums_are_those_of_sha256sum(tmp_path):
    (tmp_path / "a").write_text('{"a": 1, "b": 2}')
    expected = subprocess.check_output(["sha256sum", tmp_path / "a"], text=True).split()[0]
    assert files.checksum(tmp_path / "a") == files.digest({"b": 2, "a": 1}) == expected
