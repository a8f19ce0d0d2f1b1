"""Good-run lists: how they are read, what they cut, and what is said of the data."""

import json
from dataclasses import replace

import ntuples
import pytest
from conftest import read_json, read_table
from hypothesis import given, settings, strategies
from ntuples import SUSY, three_leptons

from analysis import good_runs
from analysis.errors import DeclarationError
from analysis.samples import Sample, read_samples

XML = """<?xml version="1.0" ?>
<!DOCTYPE LumiRangeCollection SYSTEM "LumiRangeCollection.dtd">
<LumiRangeCollection>
  <NamedLumiRange>
    <Name>PHYS_StandardGRL_All_Good</Name>
    <Metadata Name="RunList">284500,284501</Metadata>
    <LumiBlockCollection>
      <Run>284501</Run>
      <LBRange Start="7" End="9"/>
    </LumiBlockCollection>
    <LumiBlockCollection>
      <Run PrescaledLumi="1">284500</Run>
      <LBRange Start="1" End="20"/>
      <LBRange Start="25" End="25"/>
    </LumiBlockCollection>
  </NamedLumiRange>
</LumiRangeCollection>
"""
TEXT = "284500:1-20,25;284501:7-9"

BRILCALC = """#Data tag : 19v3 , Norm tag: onlineresult
#run:fill,ls,time,beamstatus,E(GeV),delivered(/{unit}),recorded(/{unit}),avgpu,source
284500:4000,1:1,10/08/15 12:00:00,STABLE BEAMS,6500,9.0,4.0,10.5,HFOC
284500:4000,2:0,10/08/15 12:00:23,STABLE BEAMS,6500,9.0,0.5,10.5,HFOC
284501:4001,7:7,10/08/15 13:00:00,STABLE BEAMS,6500,9.0,2.0,10.5,HFOC
#Summary:
#+-------+------+-----+------+
#nfill,nrun,nls,ncms,totdelivered(/{unit}),totrecorded(/{unit})
#2,2,3,3,27.0,6.5
"""


@pytest.fixture
def listed(tmp_path):
    """Function that writes a list and reads it; returns the list as text, or what is wrong."""

    def call(content, name="list"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        try:
            return good_runs.read_lists([path])
        except DeclarationError as error:
            return [line.removeprefix(f"good-run list {path} ") for line in error.problems]

    return call


# --- lists ------------------------------------------------------------------------------------


def test_lists_of_both_experiments(listed):
    assert listed(XML) == TEXT
    assert listed('{"284501": [[7, 9]], "284500": [[25, 25], [1, 12], [13, 20]]}') == TEXT
    assert listed('\n {"7": [[1, 1]]}') == "7:1"


def test_several_files_are_one_list(tmp_path):
    for name, content in (("a", '{"2": [[1, 3]]}'), ("b", '{"1": [[5, 5]], "2": [[4, 4]]}')):
        (tmp_path / name).write_text(content)
    assert good_runs.read_lists([tmp_path / "a", tmp_path / "b"]) == "1:5;2:1-4"
    (tmp_path / "b").write_text('{"2": [[3, 4]]}')
    with pytest.raises(DeclarationError, match="blocks 1-3 and 3-4 of run 2 overlap") as raised:
        good_runs.read_lists([tmp_path / "a", tmp_path / "b"])
    assert f"{tmp_path}/a and {tmp_path}/b" in str(raised.value)


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "cannot be read: it is neither XML nor JSON, Expecting value"),
        (b"\xff\xfe", "cannot be read: 'utf-8' codec"),
        ("<html></html>", "cannot be read: it is XML of a <html>, not of a <LumiRangeCollection>"),
        (XML[:400], "cannot be read: no valid XML, "),
        (XML.replace("<!DOCTYPE", '<!DOCTYPE x [<!ENTITY a "b">]><!--'), "it declares entities"),
        (XML.replace('End="25"', 'End="24"'), "blocks 25 to 24 of run 284500 end before they"),
        (XML.replace('End="25"', ""), "End of run 284500 is null, not a whole number"),
        (XML.replace('Start="25"', 'Start="20"'), "blocks 1-20 and 20-25 of run 284500 overlap"),
        (XML.replace("284501</Run>", "</Run>"), 'a <Run> is "", not a whole number'),
        (XML.replace('<LBRange Start="7" End="9"/>', ""), "run 284501 has no <LBRange>"),
        ("<LumiRangeCollection/>", "cannot be read: it has no blocks"),
        ("{}", "cannot be read: it has no blocks"),
        ("[1]", "cannot be read: it is no object"),
        ('{"a": [[1, 2]]}', 'a run is "a", not a whole number'),
        ('{"1": [[1, 2.5]]}', "a block of run 1 is 2.5, not a whole number"),
        ('{"1": [[1, true]]}', "a block of run 1 is true, not a whole number"),
        ('{"1": [[1]]}', "run 1 has [1], not [first, last]"),
        ('{"1": 7}', "run 1 has no list of blocks"),
        ('{"1": [[2, 1]]}', "blocks 2 to 1 of run 1 end before they begin"),
        ('{"1": [[-3, 1]]}', "run 1, blocks -3 to 1: there are no such numbers"),
        ('{"1": [[1, 99999999999]]}', "there are no such numbers"),
        ('{"1": [[1, 5], [3, 9]]}', "blocks 1-5 and 3-9 of run 1 overlap"),
        ("[" * 100_000, "too deeply nested"),
    ],
)
def test_lists_that_make_no_sense(listed, content, message):
    (line,) = listed(content)
    assert message in line and "\n" not in line and len(line) < 300


def test_a_list_that_is_not_there(tmp_path):
    for path, reason in ((tmp_path / "no", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(DeclarationError, match=reason):
            good_runs.read_lists([path])


RANGES = strategies.dictionaries(
    strategies.integers(1, 4),
    strategies.lists(
        strategies.tuples(strategies.integers(0, 30), strategies.integers(0, 5)), min_size=1
    ),
)


def blocks(ranges):
    return {(run, n) for run, found in ranges.items() for a, b in found for n in range(a, b + 1)}


@settings(deadline=None, derandomize=True, database=None)
@given(RANGES, RANGES)
def test_lists_are_sets_of_blocks(one, other):
    one, other = (
        {run: good_runs.joined((a, a + n) for a, n in found) for run, found in each.items()}
        for each in (one, other)
    )
    text = good_runs.written(one)
    assert good_runs.is_list(text) and good_runs.read_text(text) == one
    assert good_runs.size(one) == len(blocks(one))
    assert blocks(good_runs.common(one, other)) == blocks(one) & blocks(other)
    assert blocks(good_runs.without(one, other)) == blocks(one) - blocks(other)
    assert blocks(good_runs.union([text, good_runs.written(other)])) == blocks(one) | blocks(other)


@settings(deadline=None, derandomize=True, database=None, max_examples=30)
@given(RANGES)
def test_compiled_lists_know_the_same_blocks(ROOT, ranges):
    text = good_runs.written({r: [(a, a + n) for a, n in found] for r, found in ranges.items()})
    found = ROOT.m3l.GoodRuns(text)
    known = blocks(good_runs.read_text(text))
    for run in range(6):
        for block in range(-1, 40):
            assert found.contains(run, block) == ((run, block) in known)


@pytest.mark.parametrize("text", ["1", "1:", "1:2-", "1:2,", "a:1", "1:2 3"])
def test_what_is_no_list(ROOT, text):
    assert not good_runs.is_list(text)
    with pytest.raises(Exception, match="no good-run list"):
        ROOT.m3l.GoodRuns(text)


@pytest.mark.parametrize("text", ['1:2"', "1:2\n", "1:2); f(", "1:2;", "1:2;;", None, 7])
def test_what_a_record_may_not_hold(text):
    assert not good_runs.is_list(text)


# --- luminosity -------------------------------------------------------------------------------


@pytest.fixture
def samples_with(tmp_path):
    """Function that reads a samples file with some lines at its beginning."""
    (tmp_path / "list.json").write_text('{"284500": [[1, 1]], "284501": [[7, 7]]}')
    (tmp_path / "a.root").touch()

    def call(*lines, kind="data", luminosity=None, **more):
        sample = {"name": "a", "files": ["a.root"], "kind": kind, "process": kind}
        path = ntuples.samples_file(tmp_path / "s.toml", sample | more, luminosity=luminosity)
        path.write_text("\n".join((*lines, path.read_text())))
        try:
            return read_samples(path)
        except DeclarationError as error:
            return [line.removeprefix(f"{path}: ") for line in error.problems]

    return call


LIST = 'good_runs = "list.json"'
TABLE = 'luminosity_of_sections = "lumi.csv"'


@pytest.mark.parametrize("unit, size", [("ub", 1e-9), ("pb", 1e-3), ("fb", 1.0)])
@pytest.mark.parametrize("begin", ["#run:fill,ls,", "Run:Fill,LS,"])  # of today, of Run 1
def test_luminosity_of_sections(samples_with, tmp_path, unit, size, begin):
    table = BRILCALC.format(unit=unit).replace("#run:fill,ls,", begin)
    (tmp_path / "lumi.csv").write_text(table)
    found = samples_with(LIST, TABLE)
    assert found.luminosity_ifb == pytest.approx(6.0 * size)
    assert found.samples[0].good_runs == found.good_runs == "284500:1;284501:7"
    assert samples_with(LIST, TABLE, luminosity=6.02 * size).luminosity_ifb == 6.02 * size
    assert samples_with(LIST, TABLE, luminosity="run2").luminosity_ifb == "run2"
    (line,) = samples_with(LIST, TABLE, luminosity=6.1 * size)
    assert f"the good-run list has {6 * size:.6g} fb^-1 there, luminosity_ifb is" in line


def test_sections_without_luminosity_are_told(samples_with, tmp_path):
    (tmp_path / "lumi.csv").write_text(BRILCALC.format(unit="pb"))
    (tmp_path / "list.json").write_text('{"284500": [[1, 5]]}')
    with pytest.warns(UserWarning, match="3 of 5 luminosity blocks of the good-run list are not"):
        assert samples_with(LIST, TABLE).luminosity_ifb == pytest.approx(4.5e-3)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("#run:fill", "#fill", "no line that begins with #run:fill says what its columns are"),
        ("recorded", "seen", "its header has no ls or no recorded(...)"),
        ("recorded(/ub)", "recorded(/kb)", "its unit is '/kb', none of /b, /mb, /ub"),
        (",4.0,", ",four,", "line 3 is no section with its luminosity"),
        (",4.0,", ",-4.0,", "line 3 has a luminosity of -4.0"),
        (",4.0,", ",nan,", "line 3 has a luminosity of nan"),
        ("284500:4000,2:0", "284500:4000,1:1", "line 4: section 1 of run 284500 stands twice"),
        ("284500:4000,1:1,", "", "line 3 is no section"),
    ],
)
def test_tables_that_make_no_sense(samples_with, tmp_path, old, new, message):
    (tmp_path / "lumi.csv").write_text(BRILCALC.format(unit="ub").replace(old, new, 1))
    (line,) = samples_with(LIST, TABLE)
    assert line.startswith(f"luminosities {tmp_path}/lumi.csv cannot be read: ")
    assert message in line


def test_keys_that_make_no_sense(samples_with):
    assert samples_with(TABLE) == [
        "luminosity_of_sections needs good_runs, whose luminosity it has"
    ]
    assert samples_with(LIST, kind="background", luminosity=1.0) == [
        "good_runs is for data, and no sample is data"
    ]
    assert samples_with("good_runs = 3")[0].startswith("good_runs must be the name of a file or a")
    assert samples_with("good_runs = []") == ["good_runs is empty"]
    assert "list.jsn cannot be read: No such file" in samples_with('good_runs = "list.jsn"')[0]
    (line,) = samples_with(good_runs="list.json")
    assert "unknown key 'good_runs'" in line


# --- runs -------------------------------------------------------------------------------------

WITH_BLOCKS = SUSY | {"LumiBlock": ("I", lambda e: e.random_run)}
EVENTS = [
    three_leptons(number=n, run=run, random_run=block)
    for n, (run, block) in enumerate([(5, 1), (5, 2), (5, 3), (6, 1), (7, 1)])
]


@pytest.fixture
def made(ROOT, tmp_path):
    """A samples file of data and simulation with a list of blocks 5:1-2 and 6:1-3."""
    ntuples.write(tmp_path / "d.root", EVENTS, WITH_BLOCKS)
    ntuples.write(tmp_path / "m.root", EVENTS, WITH_BLOCKS)
    (tmp_path / "list.json").write_text('{"5": [[1, 2]], "6": [[1, 3]]}')
    path = ntuples.samples_file(
        tmp_path / "samples.toml",
        {"name": "d", "files": ["d.root"], "kind": "data", "process": "data"},
        {"name": "m", "files": ["m.root"]},
    )
    path.write_text(f"{LIST}\n{path.read_text()}")
    return path


MISSING = "m3l: warning: 2 of 5 luminosity blocks of the good-run list have no event in the data"


def counts(folder, sample):
    rows = read_json(folder / "cutflow.json")["SR3L"][sample]
    return [(row["cut"], row["entries"]) for row in rows[:3]]


def test_a_run_with_a_list(made, run_here, tmp_path):
    out = tmp_path / "out"
    outcome = run_here("--samples", made, "-o", out)
    assert outcome.status == 0
    assert outcome.err == f"{MISSING} (6:2-3 for example): is luminosity lost?\n"
    assert counts(out, "d") == [("all", 5), ("good runs", 3), ("3 baseline", 3)]
    assert counts(out, "m") == [("all", 5), ("good runs", 5), ("3 baseline", 5)]
    table = read_table(out, "d")
    assert table[["RunNumber", "LumiBlock"]].values.tolist() == [[5, 1], [5, 2], [6, 1]]
    assert str(table.LumiBlock.dtype) == "int32"
    record = read_json(out / "run.json")
    assert record["good_runs"] == {
        "runs": 2,
        "blocks": 5,
        "runs_seen": 2,
        "blocks_seen": 3,
        "missing": "6:2-3",
    }
    assert [s["good_runs"] for s in record["samples"]] == ["5:1-2;6:1-3", ""]
    assert "good runs" in outcome.out

    # Done again without the list, and again where the list has changed.
    (tmp_path / "list.json").unlink()
    outcome = run_here("--rerun", out / "run.json", "-o", tmp_path / "again")
    assert outcome.status == 0 and "same result as" in outcome.out
    (tmp_path / "list.json").write_text('{"5": [[1, 1], [2, 2]], "6": [[1, 3]]}')
    assert "2 of 2 samples have not changed" in run_here("--samples", made, "-o", out).out
    (tmp_path / "list.json").write_text('{"5": [[1, 3]]}')
    outcome = run_here("--samples", made, "-o", out)
    assert "1 of 2 samples have not changed" in outcome.out and outcome.err == ""
    assert counts(out, "d")[1] == ("good runs", 3)


def test_what_is_printed(made, run_here):
    outcome = run_here("--samples", made, "--list")
    assert "good runs: 2, with 5 luminosity blocks\n" in outcome.out
    assert "  good runs            isGoodRun\n  3 baseline " in outcome.out
    outcome = run_here("--samples", made, "--check")
    assert "good runs: 2 of 2 runs and 3 of 5 luminosity blocks of the list" in outcome.out
    outcome = run_here("--samples", made, "--chain", "d")
    assert 'static const GoodRuns goodRuns("5:1-2;6:1-3")' in outcome.out
    assert "SR3L = df.Filter('isGoodRun', 'good runs')" in outcome.out
    outcome = run_here("--samples", made, "--event", "d:2")
    assert "SR3L: fails 'good runs'" in outcome.out


def test_the_chain_as_it_is_cuts_the_same(made, run_here, tmp_path):
    for words in ((), ("--plain",)):
        assert run_here("--samples", made, "-s", "d", "-o", tmp_path / "o", *words).status == 0
        assert counts(tmp_path / "o", "d")[1] == ("good runs", 3)
        assert len(read_table(tmp_path / "o", "d")) == 3


def test_skims_keep_the_list(made, run_here, tmp_path):
    assert run_here("--samples", made, "-o", tmp_path / "out").status == 0
    skim = tmp_path / "skim"
    assert run_here("--samples", made, "--skim", skim).status == 0
    assert json.loads((skim / "good_runs.json").read_text()) == {"5": [[1, 2]], "6": [[1, 3]]}
    outcome = run_here("--samples", skim / "samples.toml", "-o", tmp_path / "again")
    assert (outcome.status, outcome.err) == (0, "")
    for name in ("cutflow.json", "hdf5/d_3lep_df_forML_bkg_signal_fromRDF.hdf5"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    (skim / "good_runs.json").write_text('{"5": [[1, 1]]}')
    outcome = run_here("--samples", skim / "samples.toml", "-o", tmp_path / "again")
    assert outcome.status == 1
    assert "it has another good-run list" in outcome.lines[0] and len(outcome.lines) == 1


def test_a_list_of_another_year(made, run_here, tmp_path):
    (tmp_path / "list.json").write_text('{"9": [[1, 3]], "5": [[8, 9]]}')
    outcome = run_here("--samples", made, "--check")
    assert (outcome.status, outcome.lines) == (
        1,
        [
            "m3l: sample 'd': its good-run list has none of its events, is it that of another "
            "year? The list has the runs 5, 9, the files 5, 6, 7"
        ],
    )


def test_files_without_luminosity_blocks(made, run_here, tmp_path):
    ntuples.write(tmp_path / "d.root", EVENTS)
    outcome = run_here("--samples", made, "--check")
    assert (outcome.status, outcome.lines) == (
        1,
        [
            "m3l: sample 'd': good_runs needs the luminosity block of each event, which its files "
            "do not carry (column LumiBlock of schema 'susy')"
        ],
    )


@pytest.mark.parametrize(
    "schema, branches",
    [
        ("susy", ("RunNumber", "LumiBlock")),
        ("nanoaod", ("run", "luminosityBlock")),
        ("opendata2020", ("runNumber", "")),
    ],
)
def test_branches_of_the_formats(schema, branches):
    from analysis.looks import run_and_block

    sample = Sample("d", "data", "data", schema, ("d.root",), "t", good_runs="1:1")
    assert run_and_block(sample) == branches
    assert run_and_block(replace(sample, good_runs="")) == ("", "")
