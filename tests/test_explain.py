"""One event explained: the numbers are those of the chain, on a page that fits a terminal."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import ntuples
import pytest
from conftest import REPOSITORY, SAFETY_NET, read_table, root_program, run_program, slow
from ntuples import Event, Jet, Lepton, three_leptons
from test_anomaly import write_network

from analysis import selection
from analysis.errors import InputError
from analysis.options import EventName
from analysis.selection import Cut, Region

ELECTRON, MUON = Lepton(50, 1, 1, 0.3, 0.4), Lepton(40, 2, -1, -0.7, 2.0, 0.105)

# Each differs in what happens to it.
EVENTS = (
    three_leptons(number=10, weights={"genWeight": -0.5}),
    three_leptons(number=11, leptons=(ELECTRON, MUON, replace(MUON, pt=15, d0_significance=4.0))),
    three_leptons(number=12, leptons=(ELECTRON, MUON)),
    three_leptons(number=13, leptons=(ELECTRON, replace(ELECTRON, pt=30, charge=-1), MUON)),
    three_leptons(number=14, leptons=(ELECTRON, replace(MUON, pt=12), replace(MUON, pt=11))),
    three_leptons(number=15, jets=tuple(Jet(70 - k, 0.1 * k, k, 5.0) for k in range(7))),
    Event(number=16),
)

FORMATS = {
    "susy": (ntuples.SUSY, "nominal"),
    "opendata2020": (ntuples.opendata(2020), "mini"),
    "opendata2025": (ntuples.opendata(2025), "analysis"),
    "nanoaod": (ntuples.nanoaod(), "Events"),
}


def write(folder, events=EVENTS, schema="susy", kind="background", files=1):
    """A sample `made` of these events; returns its samples file."""
    branches, tree = FORMATS[schema]
    for k in range(files):
        part = events[k * len(events) // files : (k + 1) * len(events) // files]
        ntuples.write(folder / f"made_{k}.root", part, branches, tree)
    declared = {"name": "made", "files": ["made_*.root"], "tree": tree, "kind": kind}
    if schema != "susy":
        declared |= {"schema": schema}
    if schema == "nanoaod":
        declared |= {"xsec_pb": 1.0, "sum_of_weights": 1000.0}
    return ntuples.samples_file(folder / "made.toml", declared, luminosity=2.0)


def frames_of(samples, *words):
    """The dataframes of the sample `made` at the prompt."""
    import run_rdf

    return run_rdf.main(["--check", "--plain", "--samples", str(samples), *words])["made"]


@pytest.fixture
def explained(ROOT, tmp_path):
    """Explain the only event, or that of a number."""
    from analysis.explain import explain

    def call(*events, event=None, words=(), **more):
        frames = frames_of(write(tmp_path, events, **more), *words)
        return explain(frames, event=events[0].number if event is None else event)

    return call


@pytest.mark.parametrize("schema", [s if s == "susy" else slow(s) for s in FORMATS])
def test_numbers_are_those_of_the_table(run_here, tmp_path, schema):
    from analysis.explain import explain

    samples = write(tmp_path, schema=schema, files=2)
    assert run_here("--samples", samples, "-o", tmp_path / "out", "--plain").status == 0
    table = read_table(tmp_path / "out", "made").set_index("EventNumber")
    frames = frames_of(samples)
    for position, event in enumerate(EVENTS):
        told = explain(frames, event=event.number)
        assert told.selected("SR3L") == (event.number in table.index)
        assert str(explain(frames, position=position)) == str(told)
        assert told.position == position
        assert Path(told.file).name == ("made_0.root" if position < 3 else "made_1.root")
        assert told.entry == (position if position < 3 else position - 3)
        product = math.prod(told.factors.values())
        assert product == pytest.approx(told.weight, rel=1e-12)
        if not told.selected("SR3L"):
            continue
        row = table.loc[event.number]
        assert told.weight == row.wgt_SG
        for name, value in told.features.items():
            assert value == pytest.approx(row[name], rel=1e-7), name
        assert told.matrix.loc["met", "met"] == row.e_T_miss
        assert told.matrix.loc["met", "muo_0"] == row.m_T_muo_0
        assert told.matrix.loc["muo_0", "met"] == row.h_L_muo_0
        assert told.matrix.loc["jet_0", "ele_0"] == row.m_jet_0_ele_0
        assert told.matrix.loc["ele_0", "jet_0"] == row.h_ele_0_jet_0


def test_demo_events_are_explained_as_the_chain_selects_them(ROOT, demo_output):
    import run_rdf
    from analysis.explain import explain

    dataframes = run_rdf.main(["--check", "--plain", "-s", "Ztt"])
    frames = dataframes["Ztt"]
    table = read_table(demo_output, "Ztt")
    selected = set(table.EventNumber)
    numbers = frames["all"].AsNumpy(["EventNumber"])["EventNumber"].tolist()
    for number in numbers[:: len(numbers) // 8]:
        told = explain(frames, number)
        assert told.selected("SR3L") == (number in selected)
    told = explain(frames, int(table.EventNumber[0]))
    assert told.selected("SR3L") and told.weight == table.wgt_SG[0]
    with pytest.raises(TypeError, match="of one sample"):
        explain(dataframes, 1)


@pytest.mark.parametrize(
    "lepton, fate",
    [
        (ELECTRON, "ele_0"),
        (replace(ELECTRON, eta=2.61), "not ele_BL: abs(lepEta) <= 2.47 (2.61)"),
        (replace(ELECTRON, overlap_free=False, tight=False), "not ele_BL: lepPassOR (0)"),
        (replace(ELECTRON, tight=False), "ele_BL, not ele_SG: lepTight (0)"),
        (replace(ELECTRON, d0_significance=-5.5), "ele_BL, not ele_SG: abs(lepD0Sig) <= 5 (5.5)"),
        (replace(MUON, loose=False), "not muo_BL: lepLoose (0)"),
        (replace(MUON, eta=2.61), "muo_0"),
        (replace(MUON, d0_significance=4.0), "muo_BL, not muo_SG: abs(lepD0Sig) <= 3 (4)"),
        (replace(MUON, isolated=False), "muo_BL, not muo_SG: lepIsoLoose_VarRad (0)"),
    ],
)
def test_first_cut_that_a_lepton_fails(explained, lepton, fate):
    told = explained(Event((lepton,)))
    assert list(told.objects["lep"].fate) == [fate]
    assert " ".join(fate.split()) in " ".join(str(told).split())


def test_jets_that_fail_and_that_are_beyond_the_matrix(explained):
    low, soft, forward = Jet(30, 1.0, jvt=0.25), Jet(15), Jet(40, 3.0)
    good = tuple(Jet(100 - k, 0.1 * k, k) for k in range(5))
    told = explained(Event(jets=(*good, forward, low, soft)))
    assert list(told.objects["jet"].fate) == [
        *(f"jet_{k}" for k in range(4)),
        "jet_4, beyond the matrix",
        "not jet_SG: abs(jetEta) <= 2.8 (3)",
        "not jet_SG: jetPt >= 60 || abs(jetEta) >= 2.4 || jetJVT > 0.59 "
        "(jetPt 30, jetEta 1, jetJVT 0.25)",
        "not jet_SG: jetPt >= 20 (15)",
    ]


def test_objects_of_another_layout(explained):
    jets = (Jet(80, dl1r=3.0), Jet(60))
    told = explained(three_leptons(jets=jets), words=("--layout", "T4N5"))
    assert list(told.objects["jet"].fate) == ["bjet_0", "ljet_0"]
    assert list(told.matrix) == ["met", "ljet_0", "bjet_0", "ele_0", "muo_0", "muo_1"]
    assert told.matrix.loc["ljet_0", "ljet_0"] == 60.0


def test_cut_that_the_format_does_not_carry_is_left_out(explained):
    told = explained(Event((replace(ELECTRON, loose=False),)), schema="opendata2025")
    assert list(told.objects["lep"].fate) == ["ele_0"]
    assert "ele_BL: lepPassOR" in told.left_out and "not in these files: ele_BL:" in str(told)


def test_cuts_with_both_sides(explained):
    told = explained(EVENTS[2], words=("-r", "SR3L", "SR2L"))
    first, second, third = told.regions["SR3L"]
    assert (first.name, first.reached, first.passed) == ("3 baseline", True, False)
    assert first.values == {"n_lep_BL": 2, "3": 3}
    assert (second.reached, second.passed) == (False, False)
    assert (third.reached, third.passed) == (False, True)
    assert list(third.values.values()) == [2, 2]
    assert told.selected("SR2L") and "SR3L: fails '3 baseline'" in str(told)
    for line in (
        "FAIL    3 baseline      2 == 3  n_lep_BL == 3",
        "(pass)  2 with pT > 20  2 >= 2  Sum(lepPt[lep_SG] > 20) >= 2",
        f"pass    m(2 leading) > 70    {told.matrix.loc['ele_0', 'muo_0']:.5g} > 70  leptonMass(",
    ):
        assert line in str(told)


def test_score_of_a_model(explained, tmp_path):
    write_network(tmp_path / "model", 3, features=("e_T_miss", "lepPt_0"))
    for event in EVENTS[0], EVENTS[2]:
        told = explained(event, words=("--model", str(tmp_path / "model")))
        assert math.isfinite(told.features["anomaly_score"])


def test_values_close_to_a_cut_are_told_apart():
    from analysis.event_page import shown_values

    assert shown_values("x <= y", {"x": 2.4700001, "y": 2.47}) == "2.4700001 <= 2.47"


def declare(monkeypatch, **regions):
    declared = [Region(name, tuple(cuts), name.lower()) for name, cuts in regions.items()]
    monkeypatch.setattr(selection, "REGIONS", tuple(declared))


def test_element_that_is_not_there_is_not_looked_at(explained, monkeypatch):
    declare(
        monkeypatch,
        R=[
            Cut("3", "n_lep_SG == 3"),
            Cut("third", "lepPt[leptons[2]] > 5"),
            Cut("met", "met_Et > 1"),
        ],
    )
    _, third, met = explained(EVENTS[2], words=("-r", "R")).regions["R"]
    assert (third.passed, third.values) == (None, {}) and met.passed
    _, third, _ = explained(EVENTS[0], words=("-r", "R")).regions["R"]
    assert third.passed and third.values == {"lepPt[leptons[2]]": 30, "5": 5}


def test_cuts_that_are_no_comparison(explained, monkeypatch):
    cuts = [
        Cut("both", "met_Et > 1 && n_lep_SG > 2"),
        Cut("statements", "const auto n = Sum(lep_SG); return n == 3;"),
    ]
    declare(monkeypatch, R=cuts)
    told = explained(EVENTS[0], words=("-r", "R"))
    both, statements = told.regions["R"]
    assert both.values == {"met_Et": 50, "n_lep_SG": 3} and both.passed and statements.passed
    assert "met_Et 50, n_lep_SG 3  met_Et > 1 && n_lep_SG > 2" in str(told)


@pytest.mark.parametrize(
    "expression, sides",
    [
        ("n_lep_BL == 3", ("n_lep_BL", "==", "3")),
        ("Sum(lepPt[lep_SG] > 20) >= 2", ("Sum(lepPt[lep_SG] > 20)", ">=", "2")),
        ("a < b + c", ("a", "<", "b + c")),
        ("a << 2 != b", ("a << 2", "!=", "b")),
        ("static_cast<int>(x) <= 1", ("static_cast<int>(x)", "<=", "1")),
        ('name == "a > b"', ("name", "==", '"a > b"')),
        ("std::abs(x) < p->q", ("std::abs(x)", "<", "p->q")),
        ("a > 1 && b > 2", None),
        ("a > 1 || flag", None),
        ("1 < a < 2", None),
        ("a ? b : c > 2", None),
        ("return a > 2;", None),
        ("(a > 2)", None),
        ("flag", None),
        ("!flag", None),
    ],
)
def test_sides_of_a_comparison(ROOT, expression, sides):
    from analysis.event_page import comparison

    assert comparison(expression) == sides


# --- which event ------------------------------------------------------------------------------


def test_several_events_of_one_number(explained, tmp_path):
    from analysis.explain import explain

    events = [replace(EVENTS[0], run=run) for run in (300001, 300002, 300002)]
    matches = explained(*events)
    assert list(matches.identities) == [0, 1, 2] and matches.regions[2] == ("SR3L",)
    assert "made:300001:10  or made@0" in str(matches)
    frames = frames_of(tmp_path / "made.toml")
    assert explain(frames, 10, run=300001).position == 0
    assert list(explain(frames, 10, run=300002).identities) == [1, 2]
    with pytest.raises(InputError, match="is event 10 of run 5"):
        explain(frames, 10, run=5)


def test_large_event_number(explained):
    number = 2**60 + 1
    told = explained(three_leptons(number=number - 1), three_leptons(number=number), event=number)
    assert told.identity["EventNumber"] == number and told.position == 1


def test_negative_event_number(explained):
    told = explained(
        three_leptons(number=5), three_leptons(number=-5), event=-5, schema="opendata2020"
    )
    assert told.identity["EventNumber"] == -5 and told.position == 1


def test_first_events_only_and_threads(ROOT, tmp_path):
    from analysis.explain import explain

    frames = frames_of(write(tmp_path, files=3), "-n", "3")
    ROOT.EnableImplicitMT(2)
    try:
        assert explain(frames, event=12).position == 2
        assert ROOT.GetThreadPoolSize() == 2
    finally:
        ROOT.DisableImplicitMT()
    with pytest.raises(InputError, match="none of its 3 entries is event 13"):
        explain(frames, event=13)
    with pytest.raises(InputError, match="no entry 3, only 0 to 2"):
        explain(frames, position=3)


def test_entries_of_an_rntuple(ROOT, tmp_path):
    from analysis.explain import explain

    write(tmp_path)
    options = ROOT.RDF.RSnapshotOptions()
    options.fOutputFormat = ROOT.RDF.ESnapshotOutputFormat.kRNTuple
    tree = ROOT.RDataFrame("nominal", str(tmp_path / "made_0.root"))
    tree.Snapshot("nominal", str(tmp_path / "made_0.ntuple.root"), "", options)
    declared = {"name": "made", "files": ["made_0.ntuple.root"]}
    frames = frames_of(ntuples.samples_file(tmp_path / "n.toml", declared))
    assert explain(frames, event=13).position == 3
    assert explain(frames, position=3).identity["EventNumber"] == 13


@pytest.mark.parametrize(
    "text, name",
    [
        ("WZ:12345", EventName("WZ", None, 12345)),
        ("t-t.1+x:300000:7", EventName("t-t.1+x", 300000, 7)),
        ("WZ:-3", EventName("WZ", None, -3)),
        ("WZ@0", EventName("WZ", position=0)),
    ],
)
def test_name_of_an_event(text, name):
    assert EventName.parse(text) == name


@pytest.mark.parametrize(
    "text", ["WZ", "WZ:", ":1", "WZ:x", "WZ:--1", "WZ@", "WZ@-1", "WZ:1:2:3", "WZ:1@2"]
)
def test_malformed_name_is_wrong_usage(run_here, text):
    outcome = run_here("--event", text)
    assert outcome.status == 2 and f"not '{text}'" in outcome.lines[-1]


@pytest.mark.parametrize(
    "text, line",
    [
        ("mad:10", "no sample is called 'mad', did you mean 'made'? (known: made)"),
        ("made:9", "sample 'made': none of its 7 entries is event 9"),
        ("made:4:10", "sample 'made': none of its 7 entries is event 10 of run 4"),
        ("made@7", "sample 'made' has no entry 7, only 0 to 6"),
    ],
)
def test_event_that_is_not_there(run_here, tmp_path, text, line):
    outcome = run_here("--samples", write(tmp_path), "--event", text)
    assert (outcome.status, outcome.lines) == (1, [f"m3l: {line}"])


# --- what is printed --------------------------------------------------------------------------


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("layout", ["T3N5", "T4N5"])
def test_page_fits(explained, monkeypatch, width, layout):
    monkeypatch.setenv("COLUMNS", str(width))
    jets = (*EVENTS[5].jets[:4], Jet(30, jvt=0.1), Jet(21, 2.9))
    told = explained(
        replace(EVENTS[5], jets=jets), words=("-r", "SR3L", "SR2L", "--layout", layout)
    )
    lines = [line for line in str(told).splitlines() if told.file not in line]
    assert max(map(len, lines)) <= width
    if layout == "T3N5" and width == 80:
        assert len(lines) <= 60
    assert repr(told) == str(told)


def test_blind_data_is_not_looked_at(explained, monkeypatch, tmp_path):
    blind = replace(selection.REGIONS[0], blind=True)
    monkeypatch.setattr(selection, "REGIONS", (blind, selection.REGIONS[1]))
    told = explained(EVENTS[0], kind="data")
    assert (told.regions, told.features, told.matrix, told.blind) == ({}, {}, None, ("SR3L",))
    assert "SR3L is blind: data is not looked at without --unblind" in str(told)
    told = explained(EVENTS[0], kind="data", words=("--unblind",))
    assert told.selected("SR3L") and told.weight == 1.0 and "weight 1, data" in str(told)
    told = explained(EVENTS[0], kind="data", words=("-r", "SR2L", "SR3L"))
    assert set(told.regions) == {"SR2L"} and told.blind == ("SR3L",)


@pytest.mark.slow
def test_command_and_prompt(tmp_path):
    outcome = run_program("--event", "WZ@17", "-r", "SR2L")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith("WZ: run 300000, event 18, ") and "SR2L: selected" in outcome.out
    done = subprocess.run(
        [sys.executable, "-i", "run_rdf.py", "--check", "--plain", "-s", "WZ"],
        input="explain(dataframes['WZ'], event=18)\n",
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=SAFETY_NET,
    )
    assert "WZ: run 300000, event 18, " in done.stdout and "of analysis/demo/WZ.root" in done.stdout


@pytest.mark.slow
def test_root_prompt_explains():
    call = 'explain("WZ:18", "-r SR2L")'
    done = subprocess.run(
        [root_program(), "-l", "-b", "-q", "helpers/rootlogon.C", "-e", call],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=SAFETY_NET,
    )
    assert "WZ: run 300000, event 18, " in done.stdout and "SR2L: selected" in done.stdout
