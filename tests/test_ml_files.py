"""Files and folders appear complete or not at all."""

import os

import pytest

from ml import files
from ml.errors import MLError, listed


def test_file_is_replaced_only_on_success(tmp_path):
    path = tmp_path / "model.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(OSError), files.replaced(path) as temporary:
        temporary.write_text("half")
        raise OSError("disk full")
    assert files.read_json(path, "") == {"a": 1}
    assert os.listdir(tmp_path) == ["model.json"]


def test_folder_is_replaced_only_on_success(tmp_path):
    path = tmp_path / "small"
    with files.replaced_folder(path) as folder:
        (folder / "a").write_text("first")
    with pytest.raises(KeyboardInterrupt), files.replaced_folder(path) as folder:
        (folder / "a").write_text("second")
        raise KeyboardInterrupt
    assert (path / "a").read_text() == "first"
    with files.replaced_folder(path) as folder:
        (folder / "b").write_text("third")
    assert os.listdir(path) == ["b"]
    assert os.listdir(tmp_path) == ["small"]


def test_kill_between_the_renames_is_undone(tmp_path):
    (tmp_path / ".small.old").mkdir()
    (tmp_path / ".small.old" / "a").write_text("old")
    assert (files.recovered(tmp_path / "small") / "a").read_text() == "old"


def test_only_one_process_may_write(tmp_path):
    with files.locked(tmp_path / "small"):
        with pytest.raises(MLError, match="being written by another process"):
            with files.locked(tmp_path / "small"):
                pass
    with files.locked(tmp_path / "small"):
        pass


@pytest.mark.parametrize("text", ["{", "[1]", "\udcff"])
def test_bad_json_is_named(tmp_path, text):
    path = tmp_path / "run.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(MLError, match="run.json.*do this"):
        files.read_json(path, "do this")


def test_listed_counts_the_rest():
    assert listed(["a", "b", "c"], 2) == "a, b (and 1 more)"
    assert listed([]) == ""
