"""A run that is done again: which options it obeys, and whether it says that the result differs."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import ntuples
import pytest
from conftest import DEMO, read_json

from analysis.hdf5 import Frame
from analysis.hdf5_writer import FrameWriter

RECORD = "run.json"


@pytest.fixture(scope="module")
def first(ROOT, tmp_path_factory):
    """Output folder of a run of two samples in two regions; not to be changed."""
    import run_rdf

    folder = tmp_path_factory.mktemp("first")
    for name in ("ttZ", "VH"):
        shutil.copy(DEMO / f"{name}.root", folder)
    samples = ntuples.samples_file(
        folder / "a.toml",
        {"name": "a", "files": ["ttZ.root"]},
        {"name": "b", "files": ["VH.root"]},
    )
    words = ["--samples", samples, "-o", folder / "out", "-r", "SR3L", "SR2L", "-j", "1"]
    run_rdf.main([*map(str, words)])
    return folder / "out"


@pytest.fixture
def done(first, tmp_path):
    """A copy of that run, to change."""
    shutil.copytree(first, tmp_path / "out")
    return tmp_path / "out"


# --- options ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (("--samples", "a"), "--samples"),
        (("--input", ".", "--schema", "susy"), "--input"),
        (("--schema", "susy"), "--schema"),
        (("--layout", "T3N5"), "--layout"),
        (("--model", "m"), "--model"),
        (("--unblind",), "--unblind"),
        (("--plain",), "--plain"),
        (("--list",), "--list"),
        (("--plain", "--unblind"), "--unblind, --plain"),
    ],
)
def test_options_that_a_record_decides_are_refused(capsys, words, option):
    import run_rdf

    with pytest.raises(SystemExit) as exit:
        run_rdf.main(["--rerun", "run.json", *words])
    assert exit.value.code == 2
    assert option in capsys.readouterr().err.splitlines()[-1]


def test_trust_is_for_reruns(capsys):
    import run_rdf

    with pytest.raises(SystemExit) as exit:
        run_rdf.main(["--trust"])
    assert exit.value.code == 2 and "--trust is for --rerun" in capsys.readouterr().err


def test_every_option_is_obeyed_or_refused():
    """Whoever adds an option decides what it means for a run that is done again."""
    import run_rdf
    from analysis.options import REPEATED

    unset = vars(run_rdf.parser().parse_args([]))
    refused = {"samples", "input", "schema", "layout", "model", "unblind", "plain", "list"}
    refused |= {"force", "skip_bad_files", "drop_bad_events", "vary", "vary_tables"}
    refused |= {"skim", "columns", "skim_format", "all", "fast", "detector"}
    assert set(unset) == {*REPEATED, *refused}


def test_part_of_a_record(first, run_here, tmp_path):
    words = ("-s", "b", "-r", "SR2L", "-o", tmp_path / "part")
    outcome = run_here("--rerun", first / RECORD, *words)
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.splitlines()[-1] == f"same result as {first / RECORD}"
    again = read_json(tmp_path / "part/run.json")
    assert [list(sample["tables"]) for sample in again["samples"]] == [["SR2L"]]
    assert [sample["name"] for sample in again["samples"]] == ["b"]
    cutflow = read_json(first / "cutflow.json")["SR2L"]["b"]
    assert read_json(tmp_path / "part/cutflow.json") == {"SR2L": {"b": cutflow}}


def test_unknown_part_of_a_record(first, run_here, tmp_path):
    outcome = run_here("--rerun", first / RECORD, "-s", "WZ", "-o", tmp_path / "part")
    assert outcome.lines == ["m3l: no sample of this record is called 'WZ' (known: a, b)"]
    outcome = run_here("--rerun", first / RECORD, "-r", "SR3", "-o", tmp_path / "part")
    assert outcome.lines[0].startswith("m3l: no region of this record is called 'SR3', did you")


def test_fewer_entries_are_not_compared(first, run_here, tmp_path):
    outcome = run_here("--rerun", first / RECORD, "-n", "100", "-o", tmp_path / "few")
    assert outcome.status == 0
    assert [s["entries_read"] for s in read_json(tmp_path / "few/run.json")["samples"]] == [100] * 2
    last = outcome.out.splitlines()[-1]
    assert last == f"not compared with {first / RECORD}: other numbers of entries"


def test_columns_of_one_sample_are_those_of_the_run(run_here, tmp_path):
    """The other sample lacks a column, so that the run has no feature of it."""
    pytest.importorskip("awkward")
    for name, without in (("a", ("met_Sign",)), ("b", ())):
        ntuples.write(tmp_path / f"{name}.root", [ntuples.three_leptons()], without=without)
    samples = ntuples.samples_file(
        tmp_path / "s.toml",
        {"name": "a", "files": ["a.root"]},
        {"name": "b", "files": ["b.root"]},
    )
    assert run_here("--samples", samples, "-o", tmp_path / "out").status == 0
    words = ("-s", "b", "-o", tmp_path / "again")
    outcome = run_here("--rerun", tmp_path / "out/run.json", *words)
    assert (outcome.status, outcome.err) == (0, "")
    old, new = (read_json(tmp_path / f / "run.json")["features"] for f in ("out", "again"))
    assert old == new


# --- comparison -------------------------------------------------------------------------------


def test_same_result_is_said(first, run_here, tmp_path):
    outcome = run_here("--rerun", first / RECORD, "-o", tmp_path / "again")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.splitlines()[-1] == f"same result as {first / RECORD}"


def test_record_that_is_replaced_is_compared_with_what_was_there(done, run_here):
    outcome = run_here("--rerun", done / RECORD, "-o", done)
    assert outcome.out.splitlines()[-1] == f"same result as {done / RECORD}"
    change(done, "cutflow.json", lambda flow: flow["SR3L"]["a"][1].update(sumw=1.0))
    outcome = run_here("--rerun", done / RECORD, "-o", done)
    message = f"m3l: result differs from {done / RECORD}: cutflow of a in SR3L"
    assert (outcome.status, outcome.lines) == (1, [message])


def change(folder, name, how):
    content = read_json(folder / name)
    how(content)
    (folder / name).write_text(json.dumps(content))


def test_each_difference_is_a_line(done, run_here, tmp_path):
    change(done, "cutflow.json", lambda flow: flow["SR2L"]["b"][0].update(entries=1))
    (table,) = (done / "hdf5").glob("a_3lep*")
    table.write_bytes(table.read_bytes()[:-1])
    change(done, RECORD, lambda r: r["samples"][0].pop("checksums", None))
    outcome = run_here("--rerun", done / RECORD, "-o", tmp_path / "again")
    start = f"m3l: result differs from {done / RECORD}: "
    assert outcome.status == 1
    assert outcome.lines == [start + "table of a in SR3L", start + "cutflow of b in SR2L"]
    assert (tmp_path / "again/run.json").is_file()


def test_tables_packed_in_another_way_are_no_difference(done, run_here, tmp_path):
    """As those of another version may be; numbers that differ are."""
    (path,) = (done / "hdf5").glob("a_3lep*")
    with Frame(path, "mini", "") as table:
        columns, types = table.read_columns(), table.types
    again = ("--rerun", done / RECORD, "-o", tmp_path / "again")
    change(done, RECORD, lambda r: r["samples"][0].pop("checksums"))
    for wrong in (False, True):
        columns["e_T_miss"][-1] += wrong
        with FrameWriter(path, "mini", types) as table:
            table.append(columns)
        outcome = run_here(*again)
        assert (outcome.status, "table of a in SR3L" in outcome.err) == (wrong, wrong)


def test_other_versions_explain_a_difference(done, run_here, tmp_path):
    change(done, "cutflow.json", lambda flow: flow["SR2L"]["b"][0].update(entries=1))
    change(done, RECORD, lambda record: record["versions"].update(ROOT="6.30.02"))
    outcome = run_here("--rerun", done / RECORD, "-o", tmp_path / "again")
    assert outcome.status == 0
    first, second = outcome.lines
    start = f"m3l: warning: result differs from {done / RECORD}: "
    assert first == start + "cutflow of b in SR2L"
    assert second.startswith("m3l: warning: the reason may be: ROOT 6.")
    assert second.endswith(" instead of 6.30.02")


def test_other_versions_with_the_same_result_are_no_difference(done, run_here, tmp_path):
    change(done, RECORD, lambda record: record["versions"].update(ROOT="6.30.02"))
    outcome = run_here("--rerun", done / RECORD, "-o", tmp_path / "again")
    assert (outcome.status, outcome.err) == (0, "")


def test_without_tables_the_rows_are_compared(done, run_here, tmp_path):
    shutil.rmtree(done / "hdf5")
    (done / "cutflow.json").unlink()
    change(done, RECORD, lambda r: [s.pop("checksums", None) for s in r["samples"]])
    assert run_here("--rerun", done / RECORD, "-o", tmp_path / "again").status == 0
    change(done, RECORD, lambda record: record["samples"][1]["rows"].update(SR2L=3))
    outcome = run_here("--rerun", done / RECORD, "-o", tmp_path / "again")
    assert outcome.status == 1 and "instead of 3 rows of b in SR2L" in outcome.lines[0]


def test_checksums_of_the_record_stand_for_its_tables():
    from analysis.repeat import Product, differences, products

    record = {
        "samples": [
            {"name": "a", "tables": {"R": "hdf5/none"}, "rows": {"R": 3}, "checksums": {"R": "0"}}
        ]
    }
    found = products("/nowhere", record)
    assert found == {("a", "R"): Product(3, "0", None, Path("/nowhere/hdf5/none"))}
    other = {("a", "R"): replace(found["a", "R"], checksum="1")}
    assert list(differences(found, other)) == ["table of a in R"]
    assert list(differences(found, found)) == []
    assert list(differences(found, {})) == ["only one of them has a table of a in R"]
