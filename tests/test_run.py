"""The command line from end to end: the same rows whatever the way, and what bad input gets."""

import filecmp
import json
import shutil

import ntuples
import numpy as np
import pandas as pd
import pytest
import reference
import uproot
from conftest import DEMO, read_json, read_table, run_program, table_path
from ntuples import Event, Jet, Lepton, three_leptons

from analysis import selection

DEMO_SAMPLES = "WZ ZZ Zee Zmm Ztt ttbar VH ttZ HNL150 HNL450 data".split()


def histograms(folder):
    """{key: (values with flow, sums of squares with flow)} of histograms.root."""
    with uproot.open(folder / "histograms.root") as file:
        return {
            key: (h.values(flow=True), h.variances(flow=True))
            for key, h in file.items(filter_classname="TH1D", cycle=False)
        }


def assert_same_tables(one, other):
    names = sorted(path.name for path in (one / "hdf5").iterdir())
    assert names == sorted(path.name for path in (other / "hdf5").iterdir())
    different = [n for n in names if not filecmp.cmp(one / "hdf5" / n, other / "hdf5" / n, False)]
    assert different == []


def assert_same_results(one, other):
    """Byte-identical tables, equal histograms and cutflow."""
    assert_same_tables(one, other)
    assert read_json(one / "cutflow.json") == read_json(other / "cutflow.json")
    if filecmp.cmp(one / "histograms.root", other / "histograms.root", False):
        return  # reading thousands of histograms takes minutes
    expected, found = histograms(one), histograms(other)
    assert expected.keys() == found.keys()
    for key, (values, variances) in expected.items():
        np.testing.assert_array_equal(found[key][0], values, err_msg=key)
        np.testing.assert_array_equal(found[key][1], variances, err_msg=key)


# --- the demo ---------------------------------------------------------------------------------


def test_demo_makes_every_product(demo_output):
    assert sorted(path.name for path in demo_output.iterdir()) == [
        "cutflow.json",
        "hdf5",
        "histograms.root",
        "run.json",
    ]
    assert sorted(path.name for path in (demo_output / "hdf5").iterdir()) == sorted(
        table_path(demo_output, sample).name for sample in DEMO_SAMPLES
    )


@pytest.fixture(scope="module")
def normalisations(demo_output):
    """Luminosity in pb^-1 times cross-section over sum of weights, from the declarations."""
    import tomllib

    declared = tomllib.loads((DEMO / "samples.toml").read_text())
    result = {}
    for sample in declared["sample"]:
        if sample["kind"] == "data":
            result[sample["name"]] = None
            continue
        total = sample.get("sum_of_weights")
        if total is None:
            with uproot.open(DEMO / sample["files"][0]) as file:
                total = float(file["meta/sumw"].array(library="np").sum())
        factors = sample.get("k_factor", 1.0) * sample.get("filter_efficiency", 1.0)
        scale = 1000 * declared["luminosity_ifb"] * sample["xsec_pb"] * factors
        result[sample["name"]] = scale / total
    return result


@pytest.mark.parametrize("sample", DEMO_SAMPLES)
def test_demo_agrees_with_numpy(demo_output, normalisations, sample):
    """Cutflow and every column of every row, from the files, a second time in numpy."""
    events = reference.read_susy(DEMO / f"{sample}.root")
    constant = normalisations[sample]
    weights = np.ones(len(events.met)) if constant is None else constant * events.own_weight
    cuts = [("all", np.ones(len(weights), bool)), *reference.selected(events, "SR3L")]
    cutflow = read_json(demo_output / "cutflow.json")["SR3L"][sample]
    for row, (name, mask) in zip(cutflow, cuts, strict=True):
        assert (row["cut"], row["entries"]) == (name, mask.sum())
        assert row["sumw"] == pytest.approx(weights[mask].sum(), rel=1e-12)
        assert row["sumw2"] == pytest.approx((weights[mask] ** 2).sum(), rel=1e-12)
    expected = reference.table(events, cuts[-1][1], normalisation=constant)
    found = read_table(demo_output, sample)
    assert set(found.columns) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=2e-4, err_msg=name)


def test_demo_has_background_signal_and_data_in_the_region(demo_output):
    cutflow = read_json(demo_output / "cutflow.json")["SR3L"]
    last = {name: rows[-1]["entries"] for name, rows in cutflow.items()}
    assert list(last) == DEMO_SAMPLES
    assert last["WZ"] > 1000 and last["HNL150"] > 300 and last["data"] > 300


def test_two_threads_give_the_files_of_one(demo_output, tmp_path):
    outcome = run_program("-j", "2", "-o", tmp_path)
    assert (outcome.status, outcome.err) == (0, "")
    assert read_json(tmp_path / "run.json")["threads"] == 2
    assert_same_results(demo_output, tmp_path)


@pytest.mark.slow
def test_chain_as_it_is_gives_the_files_of_the_compiled_one(demo_output, run_here, tmp_path):
    assert run_here("-o", tmp_path, "--plain").status == 0
    assert_same_results(demo_output, tmp_path)


def test_rerun_from_the_record_gives_the_same_files(demo_output, run_here, tmp_path):
    outcome = run_here("--rerun", demo_output / "run.json", "-o", tmp_path)
    assert (outcome.status, outcome.err) == (0, "")
    assert_same_results(demo_output, tmp_path)


def test_rows_spilled_to_disk_give_the_same_files(demo_output, run_here, tmp_path, monkeypatch):
    import analysis.loops

    monkeypatch.setattr(analysis.loops, "ROW_MEMORY", 100_000)  # about 90 rows
    assert run_here("-o", tmp_path).status == 0
    assert_same_results(demo_output, tmp_path)


def test_summary_says_what_was_read_and_written(run_here, tmp_path):
    outcome = run_here("-s", "WZ", "ttZ", "-o", tmp_path)
    assert (outcome.status, outcome.err) == (0, "")
    entries = [len(reference.read_susy(DEMO / f"{name}.root").met) for name in ("WZ", "ttZ")]
    assert f"{sum(entries)} events of 2 samples in " in outcome.out
    written = f"written to {tmp_path}: cutflow.json, hdf5/ (2 tables), histograms.root, run.json"
    assert written in outcome.out
    (row,) = [line.split() for line in outcome.out.splitlines() if line.startswith("WZ ")]
    cutflow = read_json(tmp_path / "cutflow.json")["SR3L"]["WZ"]
    assert row[1:] == [*(f"{r['sumw']:.2f}" for r in cutflow), str(cutflow[-1]["entries"])]


def test_chosen_samples_only_and_the_same_tables(demo_output, run_here, tmp_path):
    assert run_here("-s", "data", "HNL150", "-o", tmp_path).status == 0
    assert [s["name"] for s in read_json(tmp_path / "run.json")["samples"]] == ["HNL150", "data"]
    for sample in ("HNL150", "data"):
        assert filecmp.cmp(table_path(tmp_path, sample), table_path(demo_output, sample), False)
    assert len(list((tmp_path / "hdf5").iterdir())) == 2


def test_first_events_are_those_of_the_file(run_here, tmp_path):
    assert run_here("-s", "WZ", "-n", "1000", "-o", tmp_path).status == 0
    events = reference.read_susy(DEMO / "WZ.root")
    first = np.arange(len(events.met)) < 1000
    mask = reference.selected(events, "SR3L")[-1][1] & first
    cutflow = read_json(tmp_path / "cutflow.json")["SR3L"]["WZ"]
    assert (cutflow[0]["entries"], cutflow[-1]["entries"]) == (1000, mask.sum())
    numbers = np.sort(events.identity[mask][:, 2])
    np.testing.assert_array_equal(np.sort(read_table(tmp_path, "WZ").EventNumber), numbers)


def test_more_events_than_the_sample_has_means_all(run_here, tmp_path):
    assert run_here("-s", "Ztt", "-n", "100000000", "-o", tmp_path).status == 0
    entries = len(reference.read_susy(DEMO / "Ztt.root").met)
    assert read_json(tmp_path / "cutflow.json")["SR3L"]["Ztt"][0]["entries"] == entries


def test_region_sr2l(run_here, tmp_path):
    outcome = run_here("-s", "ZZ", "-r", "SR2L", "-o", tmp_path, "--plain")
    assert (outcome.status, outcome.err) == (0, "")
    assert list(read_json(tmp_path / "cutflow.json")) == ["SR2L"]
    events = reference.read_susy(DEMO / "ZZ.root")
    cuts = reference.selected(events, "SR2L")
    cutflow = read_json(tmp_path / "cutflow.json")["SR2L"]["ZZ"]
    found = [(row["cut"], row["entries"]) for row in cutflow[1:]]
    assert found == [(name, mask.sum()) for name, mask in cuts]
    constant = read_json(tmp_path / "run.json")["samples"][0]["normalisation"]["constant"]
    expected = reference.table(events, cuts[-1][1], normalisation=constant)
    rows = read_table(tmp_path, "ZZ", "2lep")
    assert (rows.flcomp == -1).any() and (rows.flcomp >= 0).any()
    for name, values in expected.items():
        np.testing.assert_allclose(rows[name], values, rtol=1e-4, atol=2e-4, err_msg=name)


def test_layout_t4n5(run_here, tmp_path):
    outcome = run_here("-s", "ttbar", "--layout", "T4N5", "-o", tmp_path)
    assert (outcome.status, outcome.err) == (0, "")
    events = reference.read_susy(DEMO / "ttbar.root")
    keep = reference.selected(events, "SR3L")[-1][1]
    constant = read_json(tmp_path / "run.json")["samples"][0]["normalisation"]["constant"]
    expected = reference.table(events, keep, "T4N5", constant)
    rows = read_table(tmp_path, "ttbar")
    assert "n_ljet" in rows and (rows.n_ljet + rows.n_bjet == rows.n_jet).all()
    assert rows.n_bjet.sum() > 0
    for name, values in expected.items():
        np.testing.assert_allclose(rows[name], values, rtol=1e-4, atol=2e-4, err_msg=name)


def test_arrays_may_hold_doubles_beside_floats(run_here, tmp_path):
    doubles = {"lepPt", "lepM", "jetEta"}
    for name, wide in (("float", set()), ("double", doubles)):
        branches = {
            n: ("double" if n in wide else kind, value) for n, (kind, value) in ntuples.SUSY.items()
        }
        events = [three_leptons(number=k, jets=(Jet(50.0 + k, 1.1),)) for k in range(3)]
        ntuples.write(tmp_path / f"{name}.root", events, branches)
        samples = ntuples.samples_file(
            tmp_path / f"{name}.toml", {"name": "made", "files": [f"{name}.root"]}
        )
        outcome = run_here("--samples", samples, "-o", tmp_path / name)
        assert (outcome.status, outcome.err) == (0, "")
    one, other = (read_table(tmp_path / name, "made") for name in ("float", "double"))
    assert len(one) == 3 and list(one) == list(other)
    np.testing.assert_allclose(other, one, rtol=1e-5)


def test_two_regions_at_once_are_the_two_alone(demo_output, run_here, tmp_path):
    assert run_here("-s", "ZZ", "-r", "SR3L", "SR2L", "-o", tmp_path, "--plain").status == 0
    one = table_path(tmp_path, "ZZ")
    assert filecmp.cmp(one, table_path(demo_output, "ZZ"), shallow=False)
    cutflow = read_json(tmp_path / "cutflow.json")
    assert list(cutflow) == ["SR3L", "SR2L"]
    assert cutflow["SR3L"]["ZZ"] == read_json(demo_output / "cutflow.json")["SR3L"]["ZZ"]
    assert len(read_table(tmp_path, "ZZ", "2lep")) == cutflow["SR2L"]["ZZ"][-1]["entries"] > 0
    assert {key.split("/")[0] for key in histograms(tmp_path)} == {"SR3L", "SR2L"}


@pytest.mark.slow
def test_more_regions_than_a_word_has_bits(run_here, tmp_path, monkeypatch):
    cuts = {f"R{k}": selection.Cut("MET", f"met_Et > {3 * k}") for k in range(70)}
    regions = tuple(selection.Region(name, (cut,), tag=name) for name, cut in cuts.items())
    monkeypatch.setattr(selection, "REGIONS", regions)
    words = ("-s", "ttZ", "-n", "200", "-r", *cuts, "-o", tmp_path, "--plain")
    assert run_here(*words).status == 0
    cutflow = read_json(tmp_path / "cutflow.json")
    (sample,) = read_json(tmp_path / "run.json")["samples"]
    passed = {name: cutflow[name]["ttZ"][-1]["entries"] for name in cuts}
    assert sample["rows"] == passed
    assert len(set(passed.values())) > 30


def test_second_run_replaces_the_first(run_here, tmp_path):
    for events in (500, 1000):
        assert run_here("-s", "WZ", "-n", events, "-o", tmp_path).status == 0
        assert read_json(tmp_path / "cutflow.json")["SR3L"]["WZ"][0]["entries"] == events
    assert [p.name for p in tmp_path.glob(".*")] == []


# --- own ntuples ------------------------------------------------------------------------------


@pytest.fixture
def run_events(run_here, tmp_path):
    """Run over events made for a test; returns the table."""

    def call(events, *words, write=None, **sample):
        ntuples.write(tmp_path / "made.root", events, **(write or {}))
        declared = {"name": "made", "files": ["made.root"]} | sample
        samples = ntuples.samples_file(tmp_path / "made.toml", declared)
        outcome = run_here("--samples", samples, "-o", tmp_path / "out", *words)
        assert (outcome.status, outcome.err) == (0, ""), outcome
        return read_table(tmp_path / "out", "made")

    return call


def test_leptons_are_ranked_by_pt_and_not_by_their_place_in_the_file(run_events):
    ordered = three_leptons()
    shuffled = Event(ordered.leptons[::-1], ordered.jets, number=2)
    rows = run_events([ordered, shuffled]).drop(columns="EventNumber")
    pd.testing.assert_series_equal(rows.iloc[0], rows.iloc[1], check_names=False)
    assert rows.lepPt_0[0] == 60.0
    assert rows.flcomp[0] == 4  # leading mu, one more mu, one e


def test_charges_and_flavours_are_those_of_the_selected_leptons(run_events):
    """A lepton that is not selected comes first in the file."""
    lost = Lepton(90.0, 1, -1, isolated=False, z0_sin_theta=0.9)
    rows = run_events([three_leptons(leptons=(lost, *three_leptons().leptons))])
    assert rows.loc[0, ["lepCharge_0", "lepCharge_1", "lepCharge_2"]].tolist() == [1, -1, -1]
    assert rows.flcomp[0] == 4
    assert (rows.n_ele[0], rows.n_muo[0]) == (1, 2)
    assert rows.lepPt_0[0] == 60.0


def test_jet_vertex_cut_removes_soft_central_jets_that_fail_it(run_events):
    jets = (
        Jet(61.0, 0.0, jvt=0.0),  # hard: kept
        Jet(59.0, 1.0, jvt=0.0),  # fails
        Jet(58.0, 2.5, jvt=0.0),  # forward: kept
        Jet(57.0, 2.0, jvt=0.6),  # passes
        Jet(56.0, 2.0, jvt=0.58),  # fails
        Jet(55.0, 2.9),  # too far forward
        Jet(19.0, 0.0),  # too soft
    )
    rows = run_events([three_leptons(jets=jets)])
    assert rows.n_jet[0] == 3
    assert rows.ht_jet[0] == pytest.approx(61 + 58 + 57)


def test_no_jet_is_lost_between_two_b_tags(run_here, tmp_path):
    jets = tuple(Jet(100.0 - k, 0.1 * k, dl1r=d) for k, d in enumerate((9.0, 2.196, 2.194, -5.0)))
    ntuples.write(tmp_path / "made.root", [three_leptons(jets=jets)])
    samples = ntuples.samples_file(tmp_path / "made.toml", {"name": "made", "files": ["made.root"]})
    words = ("--samples", samples, "-o", tmp_path / "out", "--layout", "T4N5")
    assert run_here(*words).status == 0
    rows = read_table(tmp_path / "out", "made")
    assert (rows.n_bjet[0], rows.n_ljet[0], rows.n_jet[0]) == (2, 2, 4)
    assert (rows.e_T_bjet_0[0], rows.e_T_ljet_0[0]) == (100.0, 98.0)


@pytest.mark.parametrize(
    "change, kept",
    [
        ({}, True),
        ({"eta": 2.46}, True),
        ({"eta": -2.48}, False),
        ({"z0_sin_theta": 0.49}, True),
        ({"z0_sin_theta": -0.51}, False),
        ({"d0_significance": 4.9}, True),
        ({"d0_significance": -5.1}, False),
        ({"overlap_free": False}, False),
        ({"loose": False}, True),  # electrons have no such requirement
        ({"tight": False}, False),
        ({"isolated": False}, False),
        ({"flavour": 2, "eta": 2.69}, True),
        ({"flavour": 2, "eta": 2.71}, False),
        ({"flavour": 2, "z0_sin_theta": 0.51}, False),
        ({"flavour": 2, "d0_significance": 2.9}, True),
        ({"flavour": 2, "d0_significance": -3.1}, False),
        ({"flavour": 2, "overlap_free": False}, False),
        ({"flavour": 2, "loose": False}, False),
        ({"flavour": 2, "tight": False}, True),
        ({"flavour": 2, "isolated": False}, False),
    ],
)
def test_each_lepton_cut_at_its_threshold(run_events, change, kept):
    changed = Lepton(**{"pt": 35.0, "flavour": 1, **change})
    rows = run_events([three_leptons(leptons=(*three_leptons().leptons[:2], changed))])
    assert len(rows) == kept


def test_exactly_three_leptons_two_of_them_above_20(run_events):
    def leptons(*pts):
        return tuple(Lepton(pt, 2, (-1) ** k, 0.1 * k, k) for k, pt in enumerate(pts))

    cases = [(50, 20.5, 10), (50, 19.5, 10), (50, 40, 30, 10), (50, 40), (21, 21, 21)]
    events = [three_leptons(leptons=leptons(*pts), number=k) for k, pts in enumerate(cases)]
    assert run_events(events).EventNumber.tolist() == [0, 4]


def test_event_with_a_fourth_baseline_lepton_is_not_selected(run_events):
    fourth = Lepton(25.0, 2, isolated=False)
    assert len(run_events([three_leptons(leptons=(*three_leptons().leptons, fourth))])) == 0


def test_weight_is_the_product_of_all_weights_and_the_normalisation(run_events):
    names = ntuples.WEIGHTS.split()
    weights = {name: 1.0 + 0.125 * (k + 1) for k, name in enumerate(names)}
    rows = run_events(
        [three_leptons(weights=weights)], k_factor=1.5, filter_efficiency=0.5, xsec_pb=4.0
    )
    expected = np.prod([*weights.values()]) * 1000 * 4.0 * 1.5 * 0.5 / 1000
    assert rows.wgt_SG[0] == pytest.approx(expected, rel=1e-12)


def test_sum_of_weights_is_read_from_the_ntuple_where_it_is_not_declared(run_events):
    rows = run_events([three_leptons()], write={"sum_of_weights": 250.0}, sum_of_weights=None)
    assert rows.wgt_SG[0] == pytest.approx(1000 / 250, rel=1e-12)


def test_sums_of_weights_of_several_files_are_added(run_here, tmp_path):
    for number in (1, 2, 3):
        ntuples.write(
            tmp_path / f"part{number}.root", [three_leptons(number=number)], sum_of_weights=100.0
        )
    sample = {"name": "made", "files": ["part*.root"], "sum_of_weights": None}
    samples = ntuples.samples_file(tmp_path / "made.toml", sample)
    assert run_here("--samples", samples, "-o", tmp_path / "out").status == 0
    rows = read_table(tmp_path / "out", "made")
    assert rows.EventNumber.tolist() == [1, 2, 3]
    np.testing.assert_allclose(rows.wgt_SG, 1000 / 300, rtol=1e-12)


def test_data_has_weight_one_whatever_its_weight_columns_hold(run_events):
    weights = [dict.fromkeys(ntuples.WEIGHTS.split(), value) for value in (0.0, 7.0, float("nan"))]
    events = [three_leptons(number=k, weights=w) for k, w in enumerate(weights)]
    rows = run_events(events, kind="data", process="data", xsec_pb=None, sum_of_weights=None)
    assert rows.wgt_SG.tolist() == [1.0, 1.0, 1.0]


def test_negative_weights_count_as_they_are(run_events, tmp_path):
    events = [three_leptons(number=k, weights={"genWeight": w}) for k, w in enumerate((3, -1, -1))]
    assert run_events(events).wgt_SG.tolist() == [3.0, -1.0, -1.0]
    last = read_json(tmp_path / "out" / "cutflow.json")["SR3L"]["made"][-1]
    assert (last["entries"], last["sumw"], last["sumw2"]) == (3, 1.0, 11.0)
    values, variances = histograms(tmp_path / "out")["SR3L/h_flcomp_made"]
    assert (values[5], variances[5]) == (1.0, 11.0)


def test_luminosity_of_run_2_is_that_of_the_campaign(run_here, tmp_path):
    runs = (284500, 340000, 360000)
    ntuples.write(
        tmp_path / "made.root", [three_leptons(number=k, random_run=r) for k, r in enumerate(runs)]
    )
    sample = {"name": "made", "files": ["made.root"]}
    samples = ntuples.samples_file(tmp_path / "made.toml", sample, luminosity="run2")
    outcome = run_here("--samples", samples, "-o", tmp_path / "out", "--plain")
    assert outcome.status == 0
    expected = [36207.65 / 1000, 44307.4 / 1000, 58450.1 / 1000]
    np.testing.assert_allclose(read_table(tmp_path / "out", "made").wgt_SG, expected, rtol=1e-12)


def test_folder_of_ntuples_is_weighted_by_the_luminosity_alone(run_here, tmp_path):
    source = tmp_path / "in" / "deep"
    source.mkdir(parents=True)
    weights = {"genWeight": 0.25}
    for name, tree in (("ttbar", "ttbar_NoSys"), ("MyN", "MyN_NoSys"), ("data15", "data15")):
        ntuples.write(
            source / f"{name}_merged_processed.root", [three_leptons(weights=weights)], tree=tree
        )
    words = ("--input", tmp_path / "in", "--schema", "susy", "-o", tmp_path / "out", "--plain")
    outcome = run_here(*words)
    assert (outcome.status, outcome.err) == (0, "")
    kinds = {s["name"]: s["kind"] for s in read_json(tmp_path / "out" / "run.json")["samples"]}
    assert kinds == {"MyN": "signal", "data15": "data", "ttbar": "background"}
    assert read_table(tmp_path / "out", "ttbar").wgt_SG[0] == pytest.approx(0.25 * 36207.65)
    assert read_table(tmp_path / "out", "data15").wgt_SG[0] == 1.0


def test_sample_in_several_files_is_the_sample_in_one(demo_output, ROOT, run_here, tmp_path):
    """Also beside a file without entries."""
    with uproot.open(DEMO / "ZZ.root") as file:
        entries = file["nominal"].num_entries
    for number, (begin, end) in enumerate(((entries // 3, entries), (0, entries // 3), (0, 0))):
        source = ROOT.TFile(str(DEMO / "ZZ.root"))
        tree = source.Get("nominal")
        part = ROOT.TFile(str(tmp_path / f"ZZ{number}.root"), "RECREATE")
        copy = tree.CopyTree("", "", end - begin, begin) if end else tree.CloneTree(0)
        copy.Write()
        part.Close()
        source.Close()
    declared = (DEMO / "samples.toml").read_text().split("[[sample]]")
    zz = next(block for block in declared if '"ZZ"' in block).replace("ZZ.root", "ZZ?.root")
    (tmp_path / "samples.toml").write_text(f"{declared[0]}\n[[sample]]\n{zz}")
    outcome = run_here("--samples", tmp_path / "samples.toml", "-o", tmp_path / "out")
    assert (outcome.status, outcome.err) == (0, "")
    assert filecmp.cmp(table_path(tmp_path / "out", "ZZ"), table_path(demo_output, "ZZ"), False)
    inputs = read_json(tmp_path / "out" / "run.json")["samples"][0]["inputs"]
    assert [file["entries"] for file in inputs] == [entries - entries // 3, entries // 3, 0]


@pytest.mark.slow
def test_rntuple_gives_the_rows_of_the_tree(demo_output, ROOT, tmp_path):
    options = ROOT.RDF.RSnapshotOptions()
    options.fOutputFormat = ROOT.RDF.ESnapshotOutputFormat.kRNTuple
    ROOT.RDataFrame("nominal", str(DEMO / "VH.root")).Snapshot(
        "nominal", str(tmp_path / "VH.root"), "", options
    )
    declared = (DEMO / "samples.toml").read_text().split("[[sample]]")
    block = next(block for block in declared if '"VH"' in block)
    (tmp_path / "samples.toml").write_text(f"{declared[0]}\n[[sample]]\n{block}")
    words = ("--samples", tmp_path / "samples.toml", "-o", tmp_path / "out", "--plain")
    outcome = run_program(*words, "-j", "1")
    assert (outcome.status, outcome.err) == (0, "")
    assert filecmp.cmp(table_path(tmp_path / "out", "VH"), table_path(demo_output, "VH"), False)


# --- blinding ---------------------------------------------------------------------------------


@pytest.fixture
def blind_region(monkeypatch):
    """SR3L, blind."""
    from dataclasses import replace

    regions = tuple(replace(r, blind=r.name == "SR3L") for r in selection.REGIONS)
    monkeypatch.setattr(selection, "REGIONS", regions)


def test_data_in_a_blind_region_is_not_booked(blind_region, run_here, tmp_path):
    outcome = run_here("-s", "ttZ", "data", "-o", tmp_path, "--plain")
    assert (outcome.status, outcome.err) == (0, "")
    assert "blind: data not looked at, --unblind does" in outcome.out
    assert [path.name for path in (tmp_path / "hdf5").iterdir()] == [
        table_path(tmp_path, "ttZ").name
    ]
    assert list(read_json(tmp_path / "cutflow.json")["SR3L"]) == ["ttZ"]
    assert not any(key.endswith("_data") for key in histograms(tmp_path))


def test_unblind_looks_at_the_data(blind_region, demo_output, run_here, tmp_path):
    assert run_here("-s", "data", "--unblind", "-o", tmp_path).status == 0
    assert filecmp.cmp(table_path(tmp_path, "data"), table_path(demo_output, "data"), False)
    assert read_json(tmp_path / "run.json")["unblind"] is True


# --- formats ----------------------------------------------------------------------------------


def awkward_events():
    """A few events that exercise every cut, unordered."""
    rng = np.random.default_rng(10)
    events = []
    for number in range(60):
        leptons = tuple(
            Lepton(
                float(rng.exponential(30) + 10),
                int(rng.integers(1, 3)),
                int(rng.choice((-1, 1))),
                float(rng.uniform(-2.6, 2.6)),
                float(rng.uniform(-3, 3)),
                0.105,
                d0_significance=float(rng.normal(0, 1.5)),
                z0_sin_theta=float(rng.normal(0, 0.15)),
                tight=bool(rng.random() < 0.95),
                isolated=bool(rng.random() < 0.95),
            )
            for _ in range(rng.integers(2, 5))
        )
        jets = tuple(
            Jet(
                float(rng.exponential(40) + 15),
                float(rng.uniform(-3, 3)),
                float(rng.uniform(-3, 3)),
                float(rng.uniform(2, 10)),
                float(rng.choice((0.1, 0.9))),
                float(rng.choice((-3, 5))),
            )
            for _ in range(rng.integers(0, 6))
        )
        met, phi = float(rng.exponential(40)), float(rng.uniform(-3, 3))
        events.append(Event(leptons, jets, met, phi, number=number))
    return events


@pytest.mark.parametrize("year", [2020, 2025])
def test_open_data_gives_the_rows_of_the_same_events_in_the_susy_format(run_here, tmp_path, year):
    events = awkward_events()
    ntuples.write(tmp_path / "susy.root", events)
    tree = {2020: "mini", 2025: "analysis"}[year]
    ntuples.write(tmp_path / "open.root", events, ntuples.opendata(year), tree)
    samples = ntuples.samples_file(tmp_path / "a.toml", {"name": "a", "files": ["susy.root"]})
    assert run_here("--samples", samples, "-o", tmp_path / "one").status == 0
    declared = {"name": "a", "files": ["open.root"], "schema": f"opendata{year}", "tree": None}
    samples = ntuples.samples_file(tmp_path / "b.toml", declared)
    outcome = run_here("--samples", samples, "-o", tmp_path / "two", "--plain")
    assert (outcome.status, outcome.err) == (0, "")
    one, two = read_table(tmp_path / "one", "a"), read_table(tmp_path / "two", "a")
    assert len(one) > 10
    assert set(one) - set(two) == {"met_significance"} and set(two) <= set(one)
    for name in two:
        # Masses made from energies in single precision are good to about 0.1 GeV.
        atol = 0.3 if name.startswith(("m_", "lepM_", "jetM_")) else 1e-3
        if name != "wgt_SG":
            np.testing.assert_allclose(two[name], one[name], rtol=1e-3, atol=atol, err_msg=name)


NORMALISATION = {
    2020: ({"XSection": 2.0, "SumWeights": 400.0}, 2.0 / 400),
    2025: (
        {"xsec": 2.0, "kfac": 1.5, "filteff": 0.5, "sum_of_weights": 400.0},
        2.0 * 1.5 * 0.5 / 400,
    ),
}


@pytest.mark.parametrize("year", [2020, 2025])
def test_open_data_simulation_carries_its_normalisation(run_here, tmp_path, year):
    names = ntuples.OPENDATA_WEIGHTS[year].split()
    weights = {name: 1.0 + 0.125 * (k + 1) for k, name in enumerate(names)}
    columns, scale = NORMALISATION[year]
    event = three_leptons(weights=weights | columns)
    tree = {2020: "mini", 2025: "analysis"}[year]
    ntuples.write(tmp_path / "made.root", [event], ntuples.opendata(year), tree)
    declared = {"name": "a", "files": ["made.root"], "schema": f"opendata{year}", "tree": None}
    samples = ntuples.samples_file(tmp_path / "a.toml", declared, luminosity=2.0)
    assert run_here("--samples", samples, "-o", tmp_path / "out", "--plain").status == 0
    expected = np.prod([*weights.values()]) * 1000 * 2.0 * scale
    assert read_table(tmp_path / "out", "a").wgt_SG[0] == pytest.approx(expected, rel=1e-6)


# --- the record -------------------------------------------------------------------------------


def test_record_says_what_was_run(demo_output):
    record = read_json(demo_output / "run.json")
    assert record["command"][0] == "run_rdf.py" and "-j" in record["command"]
    assert record["threads"] == 1 and record["entries"] is None
    sample = next(s for s in record["samples"] if s["name"] == "WZ")
    size = (DEMO / "WZ.root").stat().st_size
    assert sample["inputs"][0]["size"] == size
    assert sample["rows"] == {"SR3L": len(read_table(demo_output, "WZ"))}
    assert (demo_output / sample["tables"]["SR3L"]).is_file()
    assert {"python", "ROOT", "numpy", "pandas", "tables"} <= set(record["versions"])
    assert [region["name"] for region in record["regions"]] == ["SR3L"]
    assert record["layout"]["name"] == "T3N5"
    assert set(record["timings_s"]) >= {"prepare", "event loop", "write"}
    columns = set(read_table(demo_output, "WZ"))
    assert {feature["name"] for feature in record["features"]} <= columns


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 1}', "not json"])
def test_file_that_is_no_record_is_refused(run_here, tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    outcome = run_here("--rerun", tmp_path / "run.json", "-o", tmp_path / "out")
    assert outcome.status == 1
    assert outcome.lines[0].startswith(f"m3l: {tmp_path}/run.json is not a run.json")
    assert len(outcome.lines) == 1


def test_record_of_another_format_is_refused(demo_output, run_here, tmp_path):
    record = read_json(demo_output / "run.json") | {"format": 999}
    (tmp_path / "run.json").write_text(json.dumps(record))
    outcome = run_here("--rerun", tmp_path / "run.json", "-o", tmp_path / "out")
    assert (outcome.status, outcome.lines) == (
        1,
        [
            f"m3l: {tmp_path}/run.json has format 999, this version reads 1 and 2: "
            "write it again with run_rdf.py"
        ],
    )


def test_rerun_says_which_file_has_changed(run_here, tmp_path):
    shutil.copy(DEMO / "ttZ.root", tmp_path / "ttZ.root")
    samples = ntuples.samples_file(tmp_path / "a.toml", {"name": "a", "files": ["ttZ.root"]})
    assert run_here("--samples", samples, "-o", tmp_path / "out").status == 0
    size = (tmp_path / "ttZ.root").stat().st_size
    shutil.copy(DEMO / "VH.root", tmp_path / "ttZ.root")
    outcome = run_here("--rerun", tmp_path / "out" / "run.json", "-o", tmp_path / "again")
    message = f"m3l: {tmp_path}/ttZ.root has changed since the run (it had {size} bytes)"
    assert (outcome.status, outcome.lines) == (1, [message])
    assert not (tmp_path / "again").exists()


# --- other commands ---------------------------------------------------------------------------


def test_list_prints_what_is_declared(run_here):
    outcome = run_here("--list")
    assert outcome.status == 0
    for text in ("  WZ  ", "region SR3L, default", "region SR2L", "T3N5   15 x 15", "jet_SG"):
        assert text in outcome.out


def test_check_reads_no_events_and_says_what_is_left_out(run_here, tmp_path):
    ntuples.write(tmp_path / "a.root", [three_leptons()], without=("lepD0Sig", "jvtWeight"))
    samples = ntuples.samples_file(tmp_path / "a.toml", {"name": "a", "files": ["a.root"]})
    outcome = run_here("--samples", samples, "--check", "--plain")
    assert (outcome.status, outcome.err) == (0, "")
    lines = outcome.out.splitlines()
    assert lines[0] == "a: 1 entries in 1 file, normalisation 1"
    left_out = "  not in these files, left out: "
    assert [line.removeprefix(left_out) for line in lines if line.startswith(left_out)] == [
        "ele_SG: abs(lepD0Sig) <= 5",
        "muo_SG: abs(lepD0Sig) <= 3",
        "wgt_SG: jvtWeight",
    ]
