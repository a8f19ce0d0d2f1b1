"""Merged pieces are the output of one run, and what does not fit is refused."""

import json
import shutil
from fractions import Fraction

import numpy as np
import pytest
from batch import SAMPLES
from conftest import read_json, run_program
from test_run import assert_same_results

from analysis import files
from analysis.batch.submission import digest
from analysis.output import PARTIAL


@pytest.fixture(scope="session")
def one_run(tmp_path_factory):
    """The same samples on one machine, in two threads."""
    folder = tmp_path_factory.mktemp("one") / "out"
    assert run_program("-s", *SAMPLES, "-j", "2", "-o", folder).status == 0
    return folder


def test_result_is_that_of_one_run(finished, one_run):
    assert_same_results(one_run, finished)
    merged, alone = read_json(finished / "run.json"), read_json(one_run / "run.json")
    different = {key for key in alone if merged[key] != alone[key]}
    # That of histograms.root: ROOT notes the classes in it in the order in which it met them.
    different -= {"checksums"}
    assert different <= {"command", "threads", "timings_s", "bytes_read", "samples"}
    for one, other in zip(merged["samples"], alone["samples"], strict=True):
        different = {key for key in other if one[key] != other[key]}
        assert different <= {"key", "bytes_read"}
    assert merged["submission"]["pieces"] == 6


def test_merged_output_can_be_run_again(finished, run_here, tmp_path):
    assert run_here("--rerun", finished / "run.json", "-o", tmp_path / "again").status == 0
    assert_same_results(finished, tmp_path / "again")


def test_exact_sums_are_those_of_fractions(ROOT):
    draw = np.random.default_rng(1)
    numbers = draw.normal(size=500) * 10.0 ** draw.integers(-300, 150, 500)
    counter = ROOT.m3l.CutflowCounter(1)
    for number in numbers:
        counter.add(0, number)
    count = counter.count()
    exact = sum(Fraction(number) for number in numbers.tolist())
    squares = sum(Fraction(number) for number in (numbers * numbers).tolist())
    assert Fraction(int(str(count.exactSumw), 16), 2**1074) == exact
    assert Fraction(int(str(count.exactSumw2), 16), 2**1074) == squares
    assert int(str(count.exactSumw), 16) / (1 << 1074) == count.sumw


def test_exact_sum_of_nothing(ROOT):
    assert int(str(ROOT.m3l.CutflowCounter(1).count().exactSumw), 16) == 0


# --- refused ----------------------------------------------------------------------------------


def problems(outcome, folder):
    """The lines of a merge that was refused and wrote nothing."""
    assert outcome.status == 1
    assert sorted(path.name for path in folder.iterdir()) == ["jobs"]
    assert all(line.startswith("m3l: ") for line in outcome.lines), outcome.err
    return [line.removeprefix("m3l: ") for line in outcome.lines]


def change(path, sign=True, **values):
    """Change a manifest; its own checksum is made anew unless sign is False."""
    manifest = json.loads(path.read_text()) | values
    del manifest["sha256"]
    good = digest(manifest) if sign else "0" * 64
    path.write_text(json.dumps({**manifest, "sha256": good}))


def test_missing_and_failed_pieces(submit_here, pieces):
    shutil.rmtree(pieces / "jobs/pieces/0001")
    shutil.rmtree(pieces / "jobs/pieces/0003")
    (pieces / "jobs/pieces/0003.failed").write_text("the disk is full (on node7)\n")
    assert problems(submit_here("merge", pieces), pieces) == [
        f"2 of 6 pieces are not done (1 failed, 1 missing): python -m analysis.submit status "
        f"{pieces} shows them, resubmit {pieces} sends failed and missing ones again"
    ]


def test_running_pieces(submit_here, pieces):
    shutil.rmtree(pieces / "jobs/pieces/0005")
    (pieces / "jobs/pieces/0005.started").write_text("another-machine 12\n")
    (line,) = problems(submit_here("merge", pieces), pieces)
    assert line.startswith("1 of 6 pieces are not done (1 running): ")


def test_piece_with_a_changed_byte(submit_here, pieces):
    (table,) = (pieces / "jobs/pieces/0002").glob("*.hdf5")
    content = bytearray(table.read_bytes())
    content[len(content) // 2] ^= 1
    table.write_bytes(content)
    piece = table.parent
    assert problems(submit_here("merge", pieces), pieces) == [
        f"piece 0002 is damaged: {table} is not as it was written; remove {piece}, resubmit"
    ]


def test_piece_that_was_cut_off_and_one_that_lost_its_table(submit_here, pieces):
    (short,) = (pieces / "jobs/pieces/0000").glob("*.hdf5")
    short.write_bytes(short.read_bytes()[:-1])
    (lost,) = (pieces / "jobs/pieces/0004").glob("*.hdf5")
    lost.unlink()
    lines = problems(submit_here("merge", pieces), pieces)
    assert [line.split(":")[0] for line in lines] == [
        "piece 0000 is damaged",
        "piece 0004 is damaged",
    ]


@pytest.mark.parametrize("text", ["", "{}", "not json", None])
def test_damaged_manifest(submit_here, pieces, text):
    path = pieces / "jobs/pieces/0001/manifest.json"
    if text is None:
        change(path, sign=False, entries_read=1)
    else:
        path.write_text(text)
    assert problems(submit_here("merge", pieces), pieces) == [
        f"piece 0001 is damaged: {path} is not as it was written; remove {path.parent}, resubmit"
    ]


def test_copied_piece(submit_here, pieces):
    shutil.rmtree(pieces / "jobs/pieces/0001")
    shutil.copytree(pieces / "jobs/pieces/0000", pieces / "jobs/pieces/0001")
    lines = problems(submit_here("merge", pieces), pieces)
    assert lines[0] == "piece 0001 is a copy of piece 0000"


def test_piece_of_another_submission_and_of_other_helpers(submit_here, pieces):
    change(pieces / "jobs/pieces/0003/manifest.json", submission="12345678")
    change(pieces / "jobs/pieces/0004/manifest.json", helpers="0")
    assert problems(submit_here("merge", pieces), pieces) == [
        "piece 0003 belongs to another submission",
        "piece 0004 was made with other helpers than were submitted",
    ]


def test_mixed_versions(submit_here, pieces):
    path = pieces / "jobs/pieces/0003/manifest.json"
    versions = read_json(path)["versions"]
    change(path, versions={**versions, "ROOT": "6.28/04"})
    (line,) = problems(submit_here("merge", pieces), pieces)
    assert line == (
        f"the pieces were made with different versions of ROOT: {versions['ROOT']} "
        "(5 pieces, 0000), 6.28/04 (1 pieces, 0003)"
    )


def test_other_columns(submit_here, pieces):
    path = pieces / "jobs/pieces/0003/manifest.json"
    change(path, features=read_json(path)["features"][1:])
    assert problems(submit_here("merge", pieces), pieces) == [
        "piece 0003 has other columns than were submitted"
    ]


def test_entries_and_sums_of_weights_that_do_not_add_up(submit_here, pieces):
    path = pieces / "jobs/pieces/0000/manifest.json"
    manifest = read_json(path)
    change(path, entries_read=manifest["entries_read"] - 1)
    other = pieces / "jobs/pieces/0001/manifest.json"
    sample = read_json(other)["sample"]
    normalisation = {**sample["normalisation"], "constant": 1.0}
    change(other, sample={**sample, "normalisation": normalisation})
    entries = manifest["entries_read"]
    lines = problems(submit_here("merge", pieces), pieces)
    assert lines[0] == f"piece 0000 has {entries - 1} of {entries} entries"
    assert lines[1] == "piece 0001 is normalised with another sum of weights than was submitted"
    assert lines[2].startswith("sample 'WZ': the pieces have ")


def test_file_that_changed_between_two_pieces(submit_here, pieces):
    path = pieces / "jobs/pieces/0003/manifest.json"
    sample = read_json(path)["sample"]
    (file,) = sample["inputs"]
    change(path, sample={**sample, "inputs": [{**file, "entries": 1}]})
    assert problems(submit_here("merge", pieces), pieces) == [
        f"piece 0003 has read another {file['path']} than was submitted"
    ]


def test_two_merges_at_once(submit_here, pieces):
    with files.lock(pieces / "output"):
        outcome = submit_here("merge", pieces)
    assert problems(outcome, pieces) == [
        f"output folder {pieces} is in use by another process: wait for it"
    ]


def test_merge_that_was_killed_is_done_again(submit_here, pieces, finished):
    left = pieces / PARTIAL / "samples" / ".WZ"
    left.mkdir(parents=True)
    (left / "histograms.root").write_text("half")
    outcome = submit_here("merge", pieces)
    assert (outcome.status, outcome.err) == (0, "")
    assert_same_results(finished, pieces)
    assert not (pieces / PARTIAL).exists()
