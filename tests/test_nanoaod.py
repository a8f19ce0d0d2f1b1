"""CMS NanoAOD: its columns stand in for ours, so that the same events give the same rows."""

from dataclasses import replace

import ntuples
import numpy as np
import pytest
from conftest import read_json, read_table
from ntuples import Event, Jet, Lepton, three_leptons
from test_run import assert_same_results

DRAWN = 300
RUNS = ("Runs", "genEventSumw")
REGIONS = ("-r", "SR3L", "SR2L")


def drawn_events():
    """Random events around the thresholds, with a meaning in both formats.

    Jets between 50 and 60 GeV would differ by the pile-up identification.
    """
    draw = np.random.default_rng(16)
    for number in range(DRAWN):
        leptons = [
            Lepton(
                pt=float(draw.exponential(30) + 8),
                flavour=int(draw.integers(1, 3)),
                charge=int(draw.choice([-1, 1])),
                eta=float(draw.uniform(-2.8, 2.8)),
                phi=float(draw.uniform(-np.pi, np.pi)),
                m=float(draw.uniform(0, 0.2)),
                d0_significance=float(draw.normal(0, 2)),
                z0_sin_theta=float(draw.normal(0, 0.2)),
                tight=bool(draw.random() < 0.9),
                isolated=bool(draw.random() < 0.9),
            )
            for _ in range(draw.integers(0, 6))
        ]
        jets = [
            Jet(
                pt=float(draw.choice([draw.uniform(15, 50), draw.uniform(60, 200)])),
                eta=float(draw.uniform(-3, 3)),
                phi=float(draw.uniform(-np.pi, np.pi)),
                m=5.0,
                jvt=float(draw.random()),
                dl1r=float(draw.normal(1, 2)),
            )
            for _ in range(draw.integers(0, 7))
        ]
        leptons.sort(key=lambda lepton: -lepton.pt)
        yield Event(
            tuple(leptons),
            tuple(sorted(jets, key=lambda jet: -jet.pt)),
            met=float(draw.exponential(40)),
            met_phi=float(draw.uniform(-np.pi, np.pi)),
            met_significance=float(draw.exponential(3)),
            number=number,
            run=1,
            weights={"genWeight": float(draw.normal(1, 1)), "eventWeight": float(draw.random())},
        )


def declared(path, kind="background", **more):
    """A samples file with a sample of that file of NanoAOD."""
    sample = {"name": "made", "files": [path], "schema": "nanoaod", "tree": None, "kind": kind}
    if kind != "data":
        sample["xsec_pb"] = 1.0
    return ntuples.samples_file(path.with_suffix(".toml"), sample | more, luminosity=2.0)


def write(path, events, version=9, **more):
    """A file of NanoAOD with these events and 1000 as their sum of weights."""
    more = {"sum_of_weights": 1000.0, "metadata": RUNS} | more
    return ntuples.write(path, events, ntuples.nanoaod(version), "Events", **more)


@pytest.fixture(scope="module")
def both(ROOT, tmp_path_factory):
    """Samples files of the same events as NanoAOD and as `susy`."""
    folder = tmp_path_factory.mktemp("both")
    events = [*drawn_events()]
    ntuples.write(folder / "susy.root", events, sum_of_weights=1000.0)
    sample = {"name": "made", "files": [folder / "susy.root"], "sum_of_weights": None}
    susy = ntuples.samples_file(folder / "susy.toml", sample, luminosity=2.0)
    return declared(write(folder / "nano.root", events)), susy


def test_same_events_give_the_rows_of_susy(both, run_here, tmp_path):
    for samples, name in zip(both, ("nano", "susy"), strict=True):
        outcome = run_here("--samples", samples, *REGIONS, "-o", tmp_path / name)
        assert (outcome.status, outcome.err) == (0, ""), outcome
    for region, tag in (("SR3L", "3lep"), ("SR2L", "2lep")):
        nano, susy = (
            read_table(tmp_path / n, "made", tag).set_index("EventNumber") for n in ("nano", "susy")
        )
        assert len(nano) > 10 and nano.index.tolist() == susy.index.tolist()
        assert nano.pop("LumiBlock").tolist() == [number % 1000 + 1 for number in nano.index]
        assert list(nano) == list(susy)
        assert set(nano.DatasetNumber) == {0} and set(nano.RunNumber) == {1}
        for name in nano.columns.drop("DatasetNumber"):
            np.testing.assert_allclose(nano[name], susy[name], rtol=1e-6, err_msg=name)
        flows = [read_json(tmp_path / name / "cutflow.json") for name in ("nano", "susy")]
        (first, second) = (flow[region]["made"] for flow in flows)
        for row, other in zip(first, second, strict=True):
            assert (row["cut"], row["entries"]) == (other["cut"], other["entries"])
            assert row["sumw"] == pytest.approx(other["sumw"], rel=1e-6)


@pytest.mark.slow
def test_compiled_and_plain_give_the_same_bytes(both, run_here, tmp_path):
    nano, _ = both
    for name, words in (("one", ()), ("two", ("--plain",))):
        words = ("--samples", nano, *REGIONS, *words)
        assert run_here(*words, "-o", tmp_path / name).status == 0
    assert_same_results(tmp_path / "one", tmp_path / "two")


def test_check_says_what_the_format_lacks(both, run_here):
    outcome = run_here("--samples", both[0], "--check")
    assert outcome.status == 0, outcome
    left_out = [line.strip() for line in outcome.out.splitlines() if "left out:" in line]
    assert left_out == [
        f"not in these files, left out: {name}: lepPassOR" for name in ("ele_BL", "muo_BL")
    ]


@pytest.mark.slow
def test_small_integers_of_later_versions_are_read_alike(both, run_here, tmp_path):
    """Their jets have no pile-up identification: none is cut by it."""
    events = [
        replace(event, jets=tuple(replace(jet, jvt=1.0) for jet in event.jets))
        for event in drawn_events()
    ]
    tables = []
    for version in (9, 12):
        samples = declared(write(tmp_path / f"v{version}.root", events, version))
        outcome = run_here("--samples", samples, *REGIONS, "-o", tmp_path / "out", "--force")
        assert outcome.status == 0, outcome
        tables.append(read_table(tmp_path / "out", "made"))
    assert len(tables[0]) > 10 and tables[0].equals(tables[1])


def test_lepton_that_is_a_jet_counts_once(run_here, tmp_path):
    """A lepton that is not good leaves its jet; one that is takes it away."""
    bad = Lepton(25, 2, eta=2.0, isolated=False)
    branches = ntuples.nanoaod()
    kind, indices = branches["Jet_muonIdx1"]
    # The jet of the test's event is what the muon in it is found in.
    branches["Jet_muonIdx1"] = kind, lambda e: [2 if i == -1 else i for i in indices(e)]
    for name, muon in (("inside", bad), ("alone", replace(bad, isolated=True))):
        event = three_leptons()
        event = replace(event, leptons=(*event.leptons[:2], muon, event.leptons[2]))
        path = tmp_path / f"{name}.root"
        ntuples.write(path, [event], branches, "Events", 1000.0, metadata=RUNS)
        samples = declared(path)
        outcome = run_here("--samples", samples, *REGIONS, "-o", tmp_path / name)
        assert outcome.status == 0, outcome
        (jets,) = read_table(tmp_path / name, "made", "2lep").n_jet
        assert jets == (1 if name == "inside" else 0)


def test_sum_of_weights_is_that_of_all_files(run_here, tmp_path):
    """Of all entries of the tree Runs: an event has the weight 1000 * 2 * 1 / 2000."""
    for number in range(2):
        write(tmp_path / f"part{number}.root", [three_leptons(number=number)])
    samples = declared(tmp_path / "part0.root", files=["part*.root"])
    assert run_here("--samples", samples, *REGIONS, "-o", tmp_path / "out").status == 0
    assert read_table(tmp_path / "out", "made").wgt_SG.tolist() == [1.0, 1.0]


def test_data_needs_no_weights(run_here, tmp_path):
    simulated = ("genWeight", "L1PreFiringWeight_Nom")
    path = write(
        tmp_path / "data.root",
        [three_leptons(run=281613, number=2**40)],
        sum_of_weights=None,
        without=simulated,
    )
    outcome = run_here("--samples", declared(path, "data"), *REGIONS, "-o", tmp_path / "out")
    assert (outcome.status, outcome.err) == (0, ""), outcome
    (row,) = read_table(tmp_path / "out", "made").to_dict("records")
    assert (row["wgt_SG"], row["RunNumber"], row["EventNumber"]) == (1.0, 281613, 2**40)


def test_simulation_without_the_tree_runs_is_one_line(run_here, tmp_path):
    path = write(tmp_path / "made.root", [three_leptons()], sum_of_weights=None)
    outcome = run_here("--samples", declared(path), *REGIONS, "-o", tmp_path / "out")
    assert outcome.status == 1
    (line,) = outcome.lines
    assert "sample 'made'" in line and "Runs" in line and "sum_of_weights" in line


def test_missing_branch_is_one_line(run_here, tmp_path):
    path = write(tmp_path / "made.root", [three_leptons()], without=("Muon_mass",))
    outcome = run_here("--samples", declared(path), *REGIONS, "-o", tmp_path / "out")
    assert outcome.status == 1
    (line,) = outcome.lines
    assert "no branch 'Muon_mass', which schema 'nanoaod' needs for lepM" in line
