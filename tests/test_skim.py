"""Skims: the tables, cutflow and normalisation of a run on the original, to the last byte."""

import tomllib
from dataclasses import replace

import ntuples
import pytest
from conftest import DEMO, REPOSITORY, read_json, run_program, slow
from ntuples import Jet, Lepton, three_leptons
from test_anomaly import write_network
from test_run import assert_same_results, assert_same_tables

from analysis import selection
from analysis.features import Feature
from analysis.selection import Cut

SHARED = REPOSITORY.parent / "shared" / "data" / "atlas13_2020"
SOME = ("-s", "WZ", "Ztt", "data")


def skim_name(folder):
    return folder / "samples.toml"


@pytest.fixture(scope="module")
def demo_skim(tmp_path_factory):
    """The samples file of a skim of three samples of the demo; not to be changed."""
    folder = tmp_path_factory.mktemp("skim") / "out"
    outcome = run_program("--skim", folder, *SOME, "-j", "2")
    assert (outcome.status, outcome.err) == (0, "")
    return skim_name(folder)


def entries(samples):
    """{file: entries} of a skim."""
    import uproot

    return {
        path.stem: uproot.open(path)["nominal"].num_entries
        for path in sorted(samples.parent.glob("*.root"))
    }


# --- the same results -------------------------------------------------------------------------


def test_whole_demo(demo_output, tmp_path):
    outcome = run_program("--skim", tmp_path / "skim", "-j", "2")
    assert (outcome.status, outcome.err) == (0, "")
    assert sorted(path.name for path in (tmp_path / "skim").iterdir()) == sorted(
        [*(path.name for path in DEMO.glob("*.root")), "samples.toml"]
    )
    cutflow = read_json(demo_output / "cutflow.json")["SR3L"]
    assert entries(skim_name(tmp_path / "skim")) == {
        name: rows[-1]["entries"] for name, rows in cutflow.items()
    }
    words = ("--samples", skim_name(tmp_path / "skim"), "-j", "2")
    outcome = run_program(*words, "-o", tmp_path / "run")
    assert (outcome.status, outcome.err) == (0, "")
    assert_same_results(demo_output, tmp_path / "run")
    for name in ("cutflow.json", *(path.relative_to(demo_output) for path in tables(demo_output))):
        assert (demo_output / name).read_bytes() == (tmp_path / "run" / name).read_bytes()
    before, after = (
        {sample["name"]: sample for sample in read_json(folder / "run.json")["samples"]}
        for folder in (demo_output, tmp_path / "run")
    )
    for name, sample in after.items():
        assert sample["normalisation"] == before[name]["normalisation"]
        assert sample["entries_read"] == cutflow[name][-1]["entries"]
        assert sample["rejected_events"] + sample["entries_read"] == cutflow[name][0]["entries"]


def tables(folder):
    return sorted((folder / "hdf5").iterdir())


@pytest.mark.parametrize("columns", ["declared", slow("all")])
@pytest.mark.parametrize("kind", ["rntuple", slow("ttree")])
def test_formats_and_columns_with_variations(skims, runs, kind, columns):
    words = ("-s", "WZ", "Ztt", "-r", "SR3L", "CR_WZ", "--vary")
    skim = skims(*words, "--columns", columns, "--skim-format", kind)
    for more in (words, (*words[:5], "--vary"), words[:5]):
        assert_same_bytes(runs("--samples", skim, *more), runs(*more))
    # Some events are selected in a variation only.
    (rows,) = read_json(runs("-s", "WZ") / "cutflow.json")["SR3L"].values()
    assert entries(skim)["WZ"] > rows[-1]["entries"]


def assert_same_bytes(one, other):
    assert_same_results(one, other)
    for path in (one / "cutflow.json", *tables(one)):
        assert path.read_bytes() == (other / path.relative_to(one)).read_bytes()


def test_without_compiler_or_with_roots_reading_the_cutflow_is_complete(demo_skim, runs):
    assert_same_bytes(runs("--samples", demo_skim, "--plain"), runs(*SOME))


def test_skim_of_a_skim(demo_skim, skims, runs, monkeypatch):
    again = skims("--samples", demo_skim, "-s", "WZ", "--skim-format", "ttree")
    expected = runs("-s", "WZ")
    assert_same_bytes(runs("--samples", again), expected)
    # One that is harder: both leave events out, which are counted at the cuts they failed.
    add_cut(monkeypatch, Cut("ETmiss > 60", "met_Et > 60"))
    harder, expected = skims("--samples", again), runs("-s", "WZ")
    assert 0 < entries(harder)["WZ"] < entries(again)["WZ"]
    assert_same_bytes(runs("--samples", harder), expected)
    assert_same_bytes(runs("--samples", again), expected)


def add_cut(monkeypatch, cut, place=None):
    """Add a cut to SR3L."""
    first, *others = selection.REGIONS
    cuts = [*first.cuts]
    cuts.insert(len(cuts) if place is None else place, cut)
    monkeypatch.setattr(selection, "REGIONS", (replace(first, cuts=tuple(cuts)), *others))


def test_other_features_layout_and_luminosity(demo_skim, runs, tmp_path, monkeypatch):
    words = ("--layout", "T3N5")
    assert_same_bytes(runs("--samples", demo_skim, *words), runs(*SOME, *words))
    # Sums of rejected events are scaled, and rounded once.
    text = demo_skim.read_text().replace("luminosity_ifb = 3.2", "luminosity_ifb = 7.0")
    other = demo_skim.with_name("other.toml")
    other.write_text(text)
    original = tmp_path / "original.toml"
    declared = (
        (DEMO / "samples.toml").read_text().replace("luminosity_ifb = 3.2", "luminosity_ifb = 7")
    )
    original.write_text(declared.replace('files = ["', f'files = ["{DEMO}/'))
    found, expected = runs("--samples", other), runs("--samples", original, *SOME)
    assert_same_tables(found, expected)
    for sample, rows in read_json(expected / "cutflow.json")["SR3L"].items():
        for row, same in zip(rows, read_json(found / "cutflow.json")["SR3L"][sample], strict=True):
            assert row["entries"] == same["entries"]
            assert row["sumw"] == pytest.approx(same["sumw"], rel=1e-14)
            assert row["sumw2"] == pytest.approx(same["sumw2"], rel=1e-14)


@pytest.mark.slow
def test_score_becomes_a_branch(skims, runs, tmp_path, monkeypatch):
    write_network(tmp_path / "model", 3)
    model = ("--model", tmp_path / "model")
    skim = skims("-s", "WZ", *model)
    expected = runs("-s", "WZ", *model)
    assert_same_bytes(runs("--samples", skim, *model), expected)
    assert_same_bytes(runs("--samples", skim), runs("-s", "WZ"))
    # A declaration may use it, without the model.
    scalars = selection_features(monkeypatch, Feature("kept", "anomaly_score", "", "", None))
    assert scalars[-1].name == "kept"
    add_cut(monkeypatch, Cut("odd", "anomaly_score > 1"))
    found, expected = (runs(*words, "-s", "WZ") for words in (("--samples", skim), model))
    assert_same_tables_but_score(found, expected)
    assert (found / "cutflow.json").read_bytes() == (expected / "cutflow.json").read_bytes()
    again = skims("--samples", skim)
    assert_same_tables(runs("--samples", again), found)


def selection_features(monkeypatch, feature):
    from analysis import features

    monkeypatch.setattr(features, "FEATURES", (*features.FEATURES, feature))
    return features.FEATURES


def assert_same_tables_but_score(one, other):
    from conftest import read_table

    found, expected = read_table(one, "WZ"), read_table(other, "WZ")
    assert len(found) > 10
    assert found.equals(expected[found.columns])
    assert set(expected.columns) - set(found.columns) == {"anomaly_score"}


@pytest.mark.parametrize("year", [2020, 2025])
@pytest.mark.parametrize("kind", ["rntuple", slow("ttree")])
def test_open_data_with_normalisation_in_the_ntuple(ROOT, skims, runs, tmp_path, year, kind):
    events = [
        three_leptons(number=1, weights={"mcWeight": 0.3}),
        three_leptons(number=2, leptons=(Lepton(30), Lepton(20)), weights={"mcWeight": -0.7}),
        three_leptons(number=3, jets=(Jet(70, dl1r=3.0), Jet(30)), weights={"mcWeight": 1e-3}),
    ]
    schema = f"opendata{year}"
    tree = {2020: "mini", 2025: "analysis"}[year]
    ntuples.write(tmp_path / "a.root", events, ntuples.opendata(year), tree)
    original = ntuples.samples_file(
        tmp_path / "a.toml",
        {"name": "a", "files": ["a.root"], "schema": schema, "tree": tree},
    )
    skim = skims("--samples", original, "--skim-format", kind)
    assert_same_bytes(runs("--samples", skim), runs("--samples", original))


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the files of ../shared/data are not here")
def test_real_collisions(tmp_path):
    words = ("-r", "SR3L", "SR2L", "-j", "2", "--samples")
    skim = skim_name(tmp_path / "skim")
    for more in (
        (SHARED / "samples.toml", "--skim", skim.parent),
        (SHARED / "samples.toml", "-o", tmp_path / "original"),
        (skim, "-o", tmp_path / "found"),
    ):
        outcome = run_program(*words, *more)
        assert outcome.status == 0, outcome.err
    assert_same_bytes(tmp_path / "found", tmp_path / "original")


def test_metadata_become_a_number(ROOT, skims, runs, tmp_path):
    for k, total in enumerate((1 / 3, 0.1)):
        events = [three_leptons(number=10 * k + n, leptons=(Lepton(30),) * n) for n in range(4)]
        ntuples.write(
            tmp_path / f"a{k}.root",
            [*events, three_leptons(number=10 * k + 9)],
            sum_of_weights=total,
        )
    declared = {
        "name": "a",
        "files": ["a*.root"],
        "sum_of_weights": None,
        "xsec_pb": 0.1,
        "k_factor": 1.1,
        "filter_efficiency": 0.7,
    }
    original = ntuples.samples_file(tmp_path / "a.toml", declared, luminosity=36.2)
    skim = skims("--samples", original)
    (sample,) = tomllib.loads(skim.read_text())["sample"]
    assert sample["sum_of_weights"] == 1 / 3 + 0.1
    assert_same_bytes(runs("--samples", skim), runs("--samples", original))


@pytest.mark.slow
def test_no_event_is_selected(ROOT, skims, run_here, tmp_path):
    events = [three_leptons(number=n, leptons=(Lepton(30),) * n) for n in range(3)]
    ntuples.write(tmp_path / "a.root", events)
    ntuples.write(tmp_path / "none.root", [])
    original = ntuples.samples_file(
        tmp_path / "a.toml",
        {"name": "a", "files": ["a.root"]},
        {"name": "none", "files": ["none.root"]},
    )
    for kind in ("rntuple", "ttree"):
        folder = tmp_path / kind
        words = ("--samples", original, "--skim-format", kind)
        assert run_here("--skim", folder, *words).status == 0
        assert run_here("-o", folder / "run", "--samples", skim_name(folder)).status == 0
        assert run_here("-o", tmp_path / "out", "--samples", original).status == 0
        assert_same_bytes(folder / "run", tmp_path / "out")
        rows = read_json(folder / "run" / "cutflow.json")["SR3L"]["a"]
        assert [row["entries"] for row in rows] == [3, 0, 0, 0]


@pytest.mark.slow
def test_every_kind_of_number_survives_both_formats(ROOT, skims, runs, tmp_path):
    kinds = {
        "unsigned_long_long": "unsigned long long",
        "long_long": "long long",
        "unsigned_long": "unsigned long",
        "unsigned_short": "unsigned short",
        "flag": "bool",
        "precise": "double",
    }
    values = [[0, 1, 1], [], [1, 0]]
    branches = {
        f"all_{name}": (kind, lambda e: values[e.number % 3]) for name, kind in kinds.items()
    }
    branches["big"] = ("l", lambda e: 2**63 + e.number)
    events = [three_leptons(number=k) for k in range(5)]
    ntuples.write(tmp_path / "a.root", events, {**ntuples.SUSY, **branches})
    original = ntuples.samples_file(tmp_path / "a.toml", {"name": "a", "files": ["a.root"]})
    made = original
    for kind in ("rntuple", "ttree", "rntuple", "ttree"):
        made = skims("--samples", made, "--columns", "all", "--skim-format", kind)
    frames = [ROOT.RDataFrame("nominal", str(f.with_name("a.root"))) for f in (original, made)]
    for name in branches:
        one, other = (frame.Take[frame.GetColumnType(name)](name) for frame in frames)
        assert [*map(plain, one)] == [*map(plain, other)]
    assert_same_bytes(runs("--samples", made), runs("--samples", original))


def test_what_a_skim_cannot_hold(ROOT, run_here, tmp_path):
    """ROOT crashes over arrays of signed char in trees, and over some objects."""
    small = {"small": ("signed char", lambda e: [1, -1])}
    ntuples.write(tmp_path / "a.root", [three_leptons()], {**ntuples.SUSY, **small})
    frame = ROOT.RDataFrame("nominal", str(tmp_path / "a.root")).Define("p", "TLorentzVector()")
    frame.Snapshot("nominal", str(tmp_path / "b.root"), ["p", *map(str, ntuples.SUSY)])
    for name, left_out in (("a", "small"), ("b", "p")):
        original = ntuples.samples_file(
            tmp_path / "a.toml", {"name": "a", "files": [f"{name}.root"]}
        )
        words = ("--samples", original, "--columns", "all", "--skim-format", "ttree")
        outcome = run_here("--skim", tmp_path / name, *words)
        assert outcome.status == 0
        assert outcome.lines == [
            f"m3l: warning: sample 'a': {left_out} are left out of the skim, which holds numbers"
        ]


def plain(value):
    """A value of an event as a number or a list."""
    return [*map(int, value)] if hasattr(value, "size") else int(value)


def test_files_of_different_kinds(ROOT, skims, runs, tmp_path):
    """They are read one by one, and so there is a file for each; only the first counts others."""
    events = [three_leptons(number=1), three_leptons(number=2, leptons=(Lepton(30),))]
    ntuples.write(tmp_path / "a.root", events)
    frame = ROOT.RDataFrame("nominal", str(tmp_path / "a.root"))
    frame = frame.Redefine("EventNumber", "EventNumber + 2")
    frame.Snapshot("nominal", str(tmp_path / "b.root"))
    original = ntuples.samples_file(tmp_path / "a.toml", {"name": "a", "files": ["[ab].root"]})
    skim = skims("--samples", original)
    assert entries(skim) == {"a": 1, "a_part2": 1}
    assert_same_bytes(runs("--samples", skim), runs("--samples", original))
