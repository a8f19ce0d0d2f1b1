"""Systematic variations: equal to runs over input shifted by hand, however they are run."""

import json
import math
import shutil
from dataclasses import replace

import ntuples
import numpy as np
import pandas as pd
import pytest
import uproot
from conftest import DEMO, read_json, slow, table_path

from analysis import declarations, systematics
from analysis.systematics import Systematic, rescaled, smeared, weighted

TAG = "df_forML_bkg_signal_fromRDF.hdf5"
EVENTS = tuple(
    ntuples.three_leptons(
        number=k,
        met=30.0 + 1.3 * k,
        met_phi=0.3 * k - 3,
        leptons=(
            ntuples.Lepton(60 - 0.37 * k, 2, +1, 0.1, 0.2 + 0.01 * k, 0.105),
            ntuples.Lepton(40, 2, -1, -0.4, 2.5, 0.105),
            ntuples.Lepton(19.5 + 0.05 * k, 1, -1, 1.2, -1.0),
        ),
        jets=(
            ntuples.Jet(80 - 3.3 * k, 0.5, 1.0, 6.0, 1.0, 3.0 if k % 3 == 0 else -3.0),
            ntuples.Jet(19.6 + 0.03 * k, -1.0, 2.0, 4.0),
        ),
        weights={"leptonWeight": 0.9 + 0.01 * k},
    )
    for k in range(20)
)
REGIONS = ("SR3L", "CR_WZ")

DECLARED = (
    Systematic("lumi", "Luminosity", size=0.0083),
    Systematic("jets", "Jets", rescaled("jet", "1.03f"), rescaled("jet", "0.97f")),
    Systematic("electrons", "Electrons", rescaled("lep", "1 + 0.02f * (lepFlavor == 1)")),
    Systematic("smear", "Smeared jets", smeared("jet", "0.1f")),
    Systematic("wz_only", "WZ", weighted("1.1"), weighted("0.9"), processes=("diboson3L",)),
    Systematic("id", "Identification", {"leptonWeight": "leptonWeight * 1.25f"}),
    Systematic("tag", "Tagging", weighted("1 + 0.5 * n_bjet")),
)


@pytest.fixture(scope="module", autouse=True)
def declared():
    """The systematics of these tests in place of those of the demo."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(declarations, "SYSTEMATICS", DECLARED)
        patch.setattr(systematics, "SYSTEMATICS", DECLARED)
        yield


def run(samples, out, *words):
    import run_rdf

    run_rdf.main(["--samples", str(samples), "-o", str(out), "-j", "1", "-r", *REGIONS, *words])
    return out


def write_samples(folder, events=EVENTS, name="samples", others=()):
    """A samples file with WZ of these events, and perhaps other samples."""
    ntuples.write(folder / f"{name}.root", events)
    return ntuples.samples_file(
        folder / f"{name}.toml", {"name": "WZ", "files": [f"{name}.root"]}, *others
    )


@pytest.fixture(scope="module")
def folder(ROOT, tmp_path_factory):
    return tmp_path_factory.mktemp("systematics")


@pytest.fixture(scope="module")
def samples(folder):
    """WZ, ttbar of the same events, and data."""
    ntuples.write(folder / "data.root", EVENTS[:5])
    ntuples.write(folder / "ttbar.root", EVENTS[5:])
    return write_samples(
        folder,
        others=(
            {"name": "ttbar", "process": "ttbar", "files": ["ttbar.root"]},
            {"name": "data", "process": "data", "kind": "data", "files": ["data.root"]},
        ),
    )


@pytest.fixture(scope="module")
def varied(folder, samples):
    """The output of a run with all variations and their tables."""
    return run(samples, folder / "varied", "--vary", "--vary-tables")


def variations_of(folder, sample):
    """The variations of a sample in run.json."""
    (found,) = (s for s in read_json(folder / "run.json")["samples"] if s["name"] == sample)
    return found["variations"]


# --- what is made -----------------------------------------------------------------------------


def test_record_has_declarations_and_products(varied):
    record = read_json(varied / "run.json")
    assert [s["name"] for s in record["systematics"]] == [s.name for s in DECLARED]
    kinds = {name: v["kind"] for name, v in variations_of(varied, "WZ").items()}
    assert kinds == {
        "jets_up": "object",
        "jets_down": "object",
        "electrons_up": "object",
        "smear_up": "object",
        "wz_only_up": "weight",
        "wz_only_down": "weight",
        "id_up": "weight",
        "tag_up": "weight",
    }


def test_variation_of_a_process_is_that_of_its_samples_only(varied):
    assert "wz_only_up" not in variations_of(varied, "ttbar")
    assert "tag_up" in variations_of(varied, "ttbar")


def test_data_is_not_varied(varied):
    assert variations_of(varied, "data") == {}
    cutflow = read_json(varied / "cutflow.json")
    assert [name for name in cutflow["SR3L"] if name.startswith("data")] == ["data"]


def test_each_region_has_histograms_of_each_variation(varied):
    keys = {key.split(";")[0] for key in uproot.open(varied / "histograms.root").keys()}
    for region in REGIONS:
        for name in variations_of(varied, "WZ"):
            assert f"{region}/h_ht_lep_WZ__{name}" in keys


def test_without_vary_nothing_is_varied_and_the_rest_is_the_same(varied, samples, tmp_path):
    plain = run(samples, tmp_path / "out")
    assert variations_of(plain, "WZ") == {}
    assert read_json(plain / "run.json")["systematics"] == []
    nominal = read_json(plain / "cutflow.json")
    for region, found in read_json(varied / "cutflow.json").items():
        assert {name: rows for name, rows in found.items() if "__" not in name} == nominal[region]
    one, two = (pd.read_hdf(table_path(f, "ttbar"), "mini") for f in (plain, varied))
    pd.testing.assert_frame_equal(one, two[one.columns])


# --- shifted by hand --------------------------------------------------------------------------


def f4(value):
    return float(np.float32(value))


def balanced(event, objects, factors):
    """The missing momentum after momenta of objects are multiplied, as floats."""
    x = f4(event.met) * math.cos(f4(event.met_phi))
    y = f4(event.met) * math.sin(f4(event.met_phi))
    for each, factor in zip(objects, factors, strict=True):
        gain = f4(np.float32(each.pt) * np.float32(factor)) - f4(each.pt)
        x -= gain * math.cos(f4(each.phi))
        y -= gain * math.sin(f4(each.phi))
    return math.sqrt(x * x + y * y), math.atan2(y, x)


def scaled(event, kind, factors):
    """An event whose jets or leptons are multiplied by factors."""
    objects = getattr(event, kind)
    changed = tuple(
        replace(
            each,
            pt=f4(np.float32(each.pt) * np.float32(factor)),
            m=f4(np.float32(each.m) * np.float32(factor)),
        )
        for each, factor in zip(objects, factors, strict=True)
    )
    same = all(factor == 1 for factor in factors)
    met, phi = (event.met, event.met_phi) if same else balanced(event, objects, factors)
    return replace(event, **{kind: changed}, met=met, met_phi=phi)


def with_weight(event, name, factor):
    """An event with another weight."""
    value = np.float32(event.weights.get(name, 1.0)) * np.float32(factor)
    return replace(event, weights={**event.weights, name: float(value)})


def smearing(event):
    """What the C++ multiplies the jets of an event by; tested by itself in test_variations.py."""
    import ROOT

    pt = ROOT.RVecF([jet.pt for jet in event.jets])
    return [
        float(x) for x in ROOT.m3l.smearing(pt, float(np.float32(0.1)), event.run, event.number)
    ]


BY_HAND = {
    "jets_up": lambda e: scaled(e, "jets", [1.03] * len(e.jets)),
    "jets_down": lambda e: scaled(e, "jets", [0.97] * len(e.jets)),
    "electrons_up": lambda e: scaled(
        e,
        "leptons",
        [np.float32(1) + np.float32(0.02) * np.float32(x.flavour == 1) for x in e.leptons],
    ),
    "smear_up": lambda e: scaled(e, "jets", smearing(e)),
    "id_up": lambda e: with_weight(e, "leptonWeight", 1.25),
}


@pytest.mark.parametrize("variation", BY_HAND)
def test_variation_is_the_run_over_shifted_input_to_the_bit(varied, tmp_path, variation):
    shifted = tuple(map(BY_HAND[variation], EVENTS))
    assert shifted != EVENTS
    by_hand = run(write_samples(tmp_path, shifted), tmp_path / "out")
    cutflow, expected = (read_json(f / "cutflow.json") for f in (varied, by_hand))
    ours, theirs = (uproot.open(f / "histograms.root") for f in (varied, by_hand))
    kind = variations_of(varied, "WZ")[variation]["kind"]
    for region, tag in zip(REGIONS, ("3lep", "CR_WZ"), strict=True):
        assert cutflow[region][f"WZ__{variation}"] == expected[region]["WZ"]
        right = pd.read_hdf(table_path(by_hand, "WZ", tag), "mini")
        if kind == "weight":
            left = pd.read_hdf(table_path(varied, "WZ", tag), "mini")
            assert left[f"wgt_SG__{variation}"].tolist() == right["wgt_SG"].tolist()
        else:
            left = pd.read_hdf(table_path(varied, f"WZ__{variation}", tag), "mini")
            pd.testing.assert_frame_equal(left, right)
        names = [k.split(";")[0] for k in theirs[region].keys()]
        assert len(names) > 200
        for name in names:
            one, two = ours[region][f"{name}__{variation}"], theirs[region][name]
            assert np.array_equal(one.values(flow=True), two.values(flow=True)), name
            assert np.array_equal(one.variances(flow=True), two.variances(flow=True)), name
            for moment in ("fEntries", "fTsumw", "fTsumw2", "fTsumwx", "fTsumwx2"):
                assert one.member(moment) == two.member(moment), (name, moment)


def test_variations_select_other_events(varied):
    """Else the tests above would show little."""
    last = {k: v[-1]["entries"] for k, v in read_json(varied / "cutflow.json")["CR_WZ"].items()}
    assert len({last["WZ"], last["WZ__jets_up"], last["WZ__jets_down"]}) > 1


def test_weight_of_an_expression_is_that_of_numpy(varied):
    table = pd.read_hdf(table_path(varied, "WZ"), "mini")
    assert set(table["n_bjet"]) == {0, 1}
    expected = table["wgt_SG"] * (1 + 0.5 * table["n_bjet"])
    assert table["wgt_SG__tag_up"].tolist() == expected.tolist()


# --- however it is run ------------------------------------------------------------------------


def files_of(folder):
    """{name: content} of the products."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if "jobs" not in path.parts
        if path.suffix in (".root", ".hdf5") or path.name == "cutflow.json"
    }


@pytest.mark.parametrize("words", [slow(("--plain",)), ("-j", "3")])
def test_chain_as_it_is_and_threads_give_the_same_bytes(varied, samples, tmp_path, words):
    other = run(samples, tmp_path / "out", "--vary", "--vary-tables", *words)
    assert files_of(other) == files_of(varied)


@pytest.mark.slow
def test_columns_that_a_format_computes_are_varied(tmp_path):
    """Momenta in MeV and energies instead of masses: varied is what they become."""
    ntuples.write(tmp_path / "od.root", EVENTS, ntuples.opendata(2020), tree="mini")
    sample = {"name": "WZ", "files": ["od.root"], "schema": "opendata2020", "tree": "mini"}
    listed = ntuples.samples_file(tmp_path / "od.toml", sample)
    one, two = (
        run(listed, tmp_path / f"out{n}", "--vary", "jets", "smear", "--vary-tables", *words)
        for n, words in enumerate(((), ("--plain",)))
    )
    assert files_of(one) == files_of(two)
    nominal, up = (pd.read_hdf(table_path(one, n), "mini") for n in ("WZ", "WZ__jets_up"))
    assert up["jetPt_0"].tolist() == (nominal["jetPt_0"] * np.float32(1.03)).tolist()


@pytest.mark.slow
def test_batch_jobs_and_merge_give_the_same_bytes(varied, samples, submit_here, tmp_path):
    out = tmp_path / "out"
    words = ("--samples", samples, "-o", out, "-r", *REGIONS, "--vary", "--vary-tables")
    # Jobs read the declarations of their own copy of the program.
    before = submit_here("local", *words, "--events-per-job", 6)
    if before.status == 0:
        assert submit_here("merge", out).status == 0
        assert files_of(out) == files_of(varied)
    else:
        pytest.fail(before.err)


def test_histogram_of_the_chain_at_the_prompt_has_the_variations(ROOT, varied, samples):
    import run_rdf

    frames = run_rdf.dataframes("--samples", samples, "-r", *REGIONS, "--vary")
    model = ("h", "", 60, 0.0, 1500.0)
    booked = frames["WZ"]["SR3L"].Histo1D(model, "lt_met", "wgt_SG")
    found = ROOT.RDF.Experimental.VariationsFor(booked)
    keys = {str(key) for key in found.GetKeys()}
    assert {"nominal", "jets:up", "jets:down", "tag:up"} <= keys
    file = uproot.open(varied / "histograms.root")
    for key in keys - {"nominal"}:
        values = [found[key].GetBinContent(b) for b in range(62)]
        stored = file[f"SR3L/h_lt_met_WZ__{key.replace(':', '_')}"].values(flow=True)
        assert values == pytest.approx(stored.tolist(), rel=1e-12)


def test_printed_chain_varies(samples, capsys):
    import run_rdf

    run_rdf.main(["--samples", str(samples), "--chain", "WZ", "--vary", "jets"])
    printed = capsys.readouterr().out
    vary = "df = df.Vary('jetPt', 'alternatives(jetPt, jetPt * (1.03f), jetPt * (0.97f))', "
    assert vary + "['up', 'down'], 'jets')" in printed
    run_rdf.main(["--samples", str(samples), "--chain", "WZ", "--vary", "jets", "--cpp"])
    assert '{"up", "down"}, "jets");' in capsys.readouterr().out


@pytest.mark.slow
def test_same_command_again_makes_nothing_and_other_variations_are_made(samples, tmp_path):
    import run_rdf

    words = ["--samples", str(samples), "-o", str(tmp_path / "out"), "-j", "1", "-s", "WZ"]

    def made():
        run_rdf.main([*words, "--vary", "tag", "jets"])
        return (tmp_path / "out" / "run.json").stat().st_mtime_ns

    first = made()
    assert made() == first
    run_rdf.main([*words, "--vary", "tag"])
    assert set(variations_of(tmp_path / "out", "WZ")) == {"tag_up"}


def test_run_is_done_again_from_its_record(varied, tmp_path, capsys):
    import run_rdf

    out = tmp_path / "again"
    run_rdf.main(["--rerun", str(varied / "run.json"), "-o", str(out)])
    assert "same result" in capsys.readouterr().out
    assert files_of(out) == files_of(varied)


# --- bad input --------------------------------------------------------------------------------


def test_rerun_tells_that_a_variation_differs(varied, tmp_path, capfd):
    import run_rdf

    shutil.copytree(varied, tmp_path / "out")
    path = tmp_path / "out" / "cutflow.json"
    content = read_json(path)
    content["CR_WZ"]["WZ__tag_up"][-1]["sumw"] += 1
    path.write_text(json.dumps(content))
    with pytest.raises(SystemExit):
        run_rdf.main(["--rerun", str(tmp_path / "out/run.json"), "-o", str(tmp_path / "again")])
    assert "cutflow of WZ__tag_up in CR_WZ" in capfd.readouterr().err


def refusal(monkeypatch, capsys, samples, tmp_path, *declared, words=("--vary",)):
    """The only line that a run with other systematics says."""
    monkeypatch.setattr(declarations, "SYSTEMATICS", declared)
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        run(samples, tmp_path / "out", "-s", "WZ", *words)
    assert end.value.code != 0
    assert not (tmp_path / "out" / "run.json").exists()
    lines = capsys.readouterr().err.splitlines()
    assert all("Traceback" not in line for line in lines)
    return lines[-1]


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        (Systematic("s", "", {"jetPtt": "1.f"}), "unknown column 'jetPtt'"),
        (Systematic("s", "", weighted("n_jets")), "unknown column 'n_jets'"),
        (Systematic("s", "", weighted("1 +")), "systematic 's'"),
        (Systematic("s", ""), "systematic 's' needs `up`"),
        (Systematic("s", "", weighted("2"), size=0.1), "systematic 's' needs `up`"),
        (Systematic("s", "", {"jetPt": "jetPt * n_jet"}), "varies 'jetPt' with 'n_jet'"),
        (Systematic("s", "", weighted("sqrt(-1 - 0 * n_jet)")), "no finite number"),
        (Systematic("s", "", {"met_Et": "float(met_Et / 0)"}), "variation 's_up'"),
        (Systematic("s t", "", weighted("2")), "systematic 's t'"),
    ],
)
@pytest.mark.parametrize("plain", [(), slow(("--plain",))])
def test_wrong_declaration_is_a_line(monkeypatch, capsys, samples, tmp_path, wrong, line, plain):
    said = refusal(monkeypatch, capsys, samples, tmp_path, wrong, words=("--vary", *plain))
    assert line in said


def test_declared_twice_is_a_line(monkeypatch, capsys, samples, tmp_path):
    twice = (Systematic("s", "", weighted("2")),) * 2
    line = refusal(monkeypatch, capsys, samples, tmp_path, *twice)
    assert "'s' is declared twice as a systematic" in line


def test_unknown_name_is_a_line(monkeypatch, capsys, samples, tmp_path):
    line = refusal(monkeypatch, capsys, samples, tmp_path, *DECLARED, words=("--vary", "jet"))
    assert "no systematic is called 'jet', did you mean 'jets'?" in line


@pytest.mark.slow
def test_variation_that_files_cannot_have_is_left_out_and_told(folder, tmp_path, capsys):
    import run_rdf

    ntuples.write(tmp_path / "few.root", EVENTS, without=("leptonWeight",))
    listed = ntuples.samples_file(tmp_path / "few.toml", {"name": "WZ", "files": ["few.root"]})
    run_rdf.main(["--samples", str(listed), "--vary", "id", "tag", "--check"])
    assert "left out: id_up: needs leptonWeight" in capsys.readouterr().out
    out = run(listed, tmp_path / "out", "--vary", "id", "tag")
    assert set(variations_of(out, "WZ")) == {"tag_up"}


def test_clusters_are_refused_with_what_to_do(capsys, samples, tmp_path):
    import run_rdf

    with pytest.raises(SystemExit):
        run_rdf.main(["--samples", str(samples), "--vary", "--dask", "local:1"])
    assert "python -m analysis.submit does it" in capsys.readouterr().err


def test_foreign_variation_needs_trust(varied, tmp_path, capsys):
    import run_rdf

    record = read_json(varied / "run.json")
    record["systematics"][1]["up"]["jetPt"] = "jetPt * 7"
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(SystemExit):
        run_rdf.main(["--rerun", str(tmp_path / "run.json"), "-o", str(tmp_path / "out")])
    assert "'jetPt' of variation 'jets_up': jetPt * 7" in capsys.readouterr().err


# --- with a detector --------------------------------------------------------------------------


@pytest.mark.slow
def test_scores_are_those_of_the_varied_events(monkeypatch, tmp_path):
    """In the event loop and by ml, which scores the tables of variations."""
    from ml.__main__ import main as ml

    out, again = str(tmp_path / "out"), tmp_path / "again"
    shutil.copy(DEMO / "WZ.root", tmp_path)
    listed = ntuples.samples_file(tmp_path / "demo.toml", {"name": "WZ", "files": ["WZ.root"]})
    words = ("-n", "1500", "--vary", "jets", "id", "--vary-tables")
    run(listed, out, *words)
    ml(["train", out, "--detector", "tail", "--folds", "3", "--region", "SR3L"])
    ml(["score", out])
    run(listed, again, *words, "--model", f"{out}/models/tail")
    assert not (tmp_path / "out" / "scores" / "tail" / "WZ__id_up.hdf5").exists()
    found = {}
    for name in ("WZ", "WZ__jets_up", "WZ__jets_down"):
        scores = pd.read_hdf(f"{out}/scores/tail/{name}.hdf5")
        table = pd.read_hdf(table_path(again, name), "mini")
        assert scores["EventNumber"].tolist() == table["EventNumber"].tolist()
        expected = scores["score"].to_numpy("f4")
        assert table["anomaly_score"].to_numpy() == pytest.approx(expected, rel=1e-6)
        found[name] = expected[:400]
    assert len({tuple(values) for values in found.values()}) == 3
    keys = uproot.open(again / "histograms.root")["SR3L"].keys()
    assert "h_anomaly_score_WZ__jets_up;1" in keys and "h_anomaly_score_WZ__id_up;1" in keys


def test_declared_variations_of_the_demo_run(monkeypatch, tmp_path):
    """Those that the repository ships, over a sample of the demo."""
    monkeypatch.setattr(declarations, "SYSTEMATICS", SHIPPED)
    shutil.copy(DEMO / "ttZ.root", tmp_path)
    listed = ntuples.samples_file(
        tmp_path / "demo.toml", {"name": "ttZ", "process": "topOther", "files": ["ttZ.root"]}
    )
    out = run(listed, tmp_path / "out", "--vary", "-n", "300")
    found = variations_of(out, "ttZ")
    assert {name for name, v in found.items() if v["kind"] == "weight"} == {
        *("lepton_id_up", "lepton_id_down", "b_tag_up", "b_tag_down"),
    }
    assert "jet_resolution_up" in found and "jet_resolution_down" not in found


SHIPPED = systematics.SYSTEMATICS
