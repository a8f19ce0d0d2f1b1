"""What has become of the pieces of a submission, from the files alone and with a queue."""

import os
import shutil
import socket
import tarfile

import pytest
from conftest import read_json, run_code

from analysis.batch.submission import DONE, FAILED, MISSING, RUNNING, WAITING, Submission, is_alive
from analysis.errors import InputError


def states(folder, queue=None):
    found = Submission(folder).states(queue)
    return {s.piece.name: (s.state, s.problem) for s in found if s.state != DONE}


@pytest.fixture
def results(pieces):
    """Folder of the pieces, of which 0001 is not done."""
    shutil.rmtree(pieces / "jobs/pieces/0001")
    return pieces / "jobs/pieces"


def test_states_from_files(pieces, results):
    assert states(pieces) == {"0001": (MISSING, "")}
    (results / "0001.started").write_text("another-machine 1\n")
    assert states(pieces) == {"0001": (RUNNING, "")}
    (results / "0001.failed").write_text("no such file (on node1)\nmore\n")
    assert states(pieces) == {"0001": (FAILED, "no such file (on node1)")}


def test_process_of_this_machine_that_is_gone(pieces, results):
    (results / "0001.started").write_text(f"{socket.gethostname()} 999999999\n")
    word = "ended without a word (killed, or its machine failed)"
    assert states(pieces) == {"0001": (MISSING, word)}
    (results / "0001.started").write_text(f"{socket.gethostname()} {os.getpid()}\n")
    assert states(pieces) == {"0001": (RUNNING, "")}


def test_queue_knows_better_than_what_an_attempt_before_has_left(pieces, results):
    (results / "0001.failed").write_text("no such file\n")
    assert states(pieces, {"0001": (WAITING, "held")}) == {"0001": (WAITING, "held")}
    assert states(pieces, {}) == {"0001": (FAILED, "no such file")}
    (results / "0001.failed").unlink()
    (results / "0001.started").write_text("another-machine 1\n")
    assert states(pieces, {})["0001"][0] == MISSING


def test_done_is_done_whatever_the_queue_says(pieces):
    assert states(pieces, {"0000": (RUNNING, "")}) == {}


def test_hidden_folder_of_a_killed_copy_is_no_piece(pieces, results):
    (results / ".0001-node1-77").mkdir()
    (results / ".0001-node1-77" / "manifest.json").write_text("{}")
    assert states(pieces) == {"0001": (MISSING, "")}


def test_forgotten_failure(pieces, results):
    (results / "0001.failed").write_text("no such file\n")
    Submission(pieces).forget(["0000", "0001"])
    assert states(pieces) == {"0001": (MISSING, "")}


def test_transferred_pieces_are_unpacked(pieces, results):
    piece = results / "0002"
    (results / "downloaded").mkdir()
    archive = results / "downloaded" / "0002.tar"
    with tarfile.open(archive, "w") as file:
        file.add(piece, "./0002")
    expected = {path.name: path.read_bytes() for path in piece.iterdir()}
    shutil.rmtree(piece)
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])  # the transfer is under way
    assert states(pieces) == {"0001": (MISSING, ""), "0002": (MISSING, "")}
    archive.write_bytes(whole)
    assert states(pieces) == {"0001": (MISSING, "")}
    assert {path.name: path.read_bytes() for path in piece.iterdir()} == expected
    assert not archive.exists()


def test_archive_cannot_write_elsewhere(pieces, results):
    (pieces / "bad").write_text("bad")
    with tarfile.open(results / "0001.tar", "w") as file:
        file.add(pieces / "bad", "../bad.failed")
    states(pieces)
    assert not (results.parent / "bad.failed").exists()


def test_folder_without_a_submission(tmp_path):
    with pytest.raises(InputError, match="has no submission"):
        Submission(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 1}'])
def test_file_that_is_no_record(tmp_path, text):
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/submission.json").write_text(text)
    with pytest.raises(InputError, match="is no record of a submission"):
        Submission(tmp_path)


def test_record_of_another_format(tmp_path):
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs/submission.json").write_text('{"format": 99}')
    with pytest.raises(InputError, match="has format 99, not 1"):
        Submission(tmp_path)


def test_processes():
    assert is_alive("another-machine 1") and is_alive("")
    assert is_alive(f"{socket.gethostname()} {os.getpid()}")
    assert not is_alive(f"{socket.gethostname()} 999999999")


def test_status_loads_neither_root_nor_numpy(pieces):
    code = (
        f"import sys; from analysis import submit; submit.main(['status', {str(pieces)!r}]); "
        "print(*sorted({'ROOT', 'numpy', 'pandas', 'tables'} & set(sys.modules)))"
    )
    done = run_code(code)
    *table, modules = done.stdout.splitlines()
    assert modules == "" and done.stderr == ""
    assert table[0].split() == ["pieces", "done", "running", "waiting", "failed", "missing"]
    assert table[1].split() == ["WZ", "3", "-", "-", "-", "-"]
    assert table[-1] == f"python -m analysis.submit merge {pieces} makes the output"


def test_pieces_carry_what_was_promised(finished):
    record = read_json(finished / "jobs/submission.json")
    entries = {s["name"]: s["entries_read"] for s in record["run"]["samples"]}
    for piece in record["pieces"]:
        entries[piece["sample"]] -= piece["entries"]
        manifest = read_json(finished / "jobs/pieces" / piece["name"] / "manifest.json")
        assert manifest["piece"] == piece
        assert manifest["entries_read"] == piece["entries"]
        assert {"host", "versions", "helpers", "began", "seconds"} <= set(manifest)
    assert set(entries.values()) == {0}
