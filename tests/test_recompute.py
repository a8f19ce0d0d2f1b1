"""Events are computed again from the objects that travel with them, by the same C++."""

import json
import shutil

import numpy as np
import pytest
import reference
from conftest import REPOSITORY, read_json, run_program

from analysis.errors import M3LError
from ml.dataset import Dataset
from ml.recompute import read_objects, recompute

SIMULATION = REPOSITORY.parent / "shared" / "data" / "simulation" / "samples.toml"


@pytest.fixture(scope="module")
def demo(demo_output):
    return Dataset.open(demo_output)


@pytest.fixture(scope="module")
def some(demo):
    """A few events and their objects."""
    samples = demo.named(["ttZ", "VH"])
    return demo.load(samples), read_objects(demo, samples)


def travels(events):
    """Whether all objects of an event are among those that travel."""
    number = dict(zip(("jet", "ele", "muo"), events.counts.T, strict=False))
    return (number["jet"] <= 10) & (number["ele"] + number["muo"] <= 3)


def assert_same(events, made):
    """All features are those of the tables."""
    assert made.names == events.names
    np.testing.assert_allclose(made.features, events.features, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(made.counts, events.counts)
    whole = [n for n in events.names if n.startswith(("flcomp", "n_", "charge", "lepCharge"))]
    assert len(whole) > 10
    np.testing.assert_array_equal(made.columns(whole), events.columns(whole))


def test_unchanged_events_come_back(demo):
    events = demo.load()
    made = recompute(demo, read_objects(demo))
    np.testing.assert_array_equal(made.positions, np.arange(len(events)))
    kept = travels(events)
    assert kept.mean() > 0.99
    assert_same(events[kept], made.events[kept])
    assert (made.events.weight == 1).all()
    again = made.of(events)
    np.testing.assert_array_equal(again.weight, events.weight)
    np.testing.assert_array_equal(again.sample, events.sample)


@pytest.mark.slow
def test_unchanged_events_of_another_region_and_layout_come_back(ROOT, tmp_path):
    """With photons, which the format does not have, and events of two leptons."""
    words = ("-s", "ttZ", "-r", "SR2L", "--layout", "T5N10", "-j", "1", "-o", tmp_path)
    assert run_program(*words).status == 0
    dataset = Dataset.open(tmp_path)
    events, objects = dataset.load(), read_objects(dataset)
    assert "phoPt_4" in objects and not objects["phoPt_0"].any()
    made = recompute(dataset, objects)
    np.testing.assert_array_equal(made.positions, np.arange(len(events)))
    assert (events.columns(["lepPt_2"]) == 0).any()
    kept = (events.columns(["n_ele", "n_muo"]).sum(axis=1) <= 3) & (
        events.columns(["n_jet"])[:, 0] <= 10
    )
    assert_same(events[kept], made.events[kept])


@pytest.mark.skipif(not SIMULATION.exists(), reason="no simulation here")
def test_unchanged_events_of_the_simulation_come_back(ROOT, tmp_path):
    words = ("--samples", SIMULATION, "-s", "HNL450", "-s", "ttZ", "-j", "1", "-o", tmp_path)
    assert run_program(*words).status == 0
    dataset = Dataset.open(tmp_path)
    events = dataset.load()
    made = recompute(dataset, read_objects(dataset))
    np.testing.assert_array_equal(made.positions, np.arange(len(events)))
    assert_same(events[travels(events)], made.events[travels(events)])


def test_changed_leptons_change_what_depends_on_them(demo, some):
    events, objects = some
    changed = {**objects, "lepPt_0": 3 * objects["lepPt_0"]}
    made = recompute(demo, changed).events

    def column(name, of=made):
        return of.columns([name])[:, 0]

    np.testing.assert_allclose(column("lepPt_0"), 3 * column("lepPt_0", events), rtol=1e-6)
    more = 2 * objects["lepPt_0"]
    np.testing.assert_allclose(column("ht_lep"), column("ht_lep", events) + more, rtol=1e-5)
    np.testing.assert_allclose(column("m_eff"), column("m_eff", events) + more, rtol=1e-5)
    leptons = reference.Objects(
        *(
            np.stack([changed[f"lep{what}_{k}"] for k in range(3)], 1).astype(float)
            for what in ("Pt", "Eta", "Phi", "M")
        )
    )
    flavour, charge = (
        np.stack([changed[f"lep{what}_{k}"] for k in range(3)], 1) for what in ("Flavor", "Charge")
    )
    met, met_phi = (changed[name].astype(float) for name in ("e_T_miss", "met_Phi"))
    for name, values in reference.of_leptons(leptons, flavour, charge, met, met_phi).items():
        np.testing.assert_allclose(column(name), values, rtol=1e-4, atol=1e-2, err_msg=name)
    leading = objects["lepFlavor_0"] == 1
    et = np.hypot(changed["lepPt_0"], changed["lepM_0"])
    np.testing.assert_allclose(column("e_T_ele_0")[leading], et[leading], rtol=1e-6)
    np.testing.assert_array_equal(column("ht_jet"), column("ht_jet", events))


def test_leptons_are_ordered_anew(demo, some):
    events, objects = some
    swapped = dict(objects)
    for what in ("Pt", "Eta", "Phi", "M", "Flavor", "Charge"):
        swapped[f"lep{what}_0"] = objects[f"lep{what}_2"]
        swapped[f"lep{what}_2"] = objects[f"lep{what}_0"]
    kept = objects["lepPt_0"] > objects["lepPt_1"]
    kept &= objects["lepPt_1"] > objects["lepPt_2"]
    made = recompute(demo, swapped)
    assert_same(events[kept], made.events[kept])


def test_events_that_fail_the_region_are_left_out(demo, some):
    events, objects = some
    lost = np.arange(len(events)) % 3 == 1
    changed = {**objects, "lepPt_1": np.where(lost, 0, objects["lepPt_1"])}
    made = recompute(demo, changed)
    np.testing.assert_array_equal(made.positions, np.flatnonzero(~lost))
    assert_same(events[~lost], made.events)
    assert_same(events[~lost], made.of(events))
    nothing = recompute(demo, {name: values[:0] for name, values in objects.items()})
    assert len(nothing.events) == len(nothing.positions) == 0


def test_features_of_a_part_of_the_dataset(demo, some):
    events, objects = some
    names = ("flcomp=1", "m_T_3l", "m_T_jet_0")
    made = recompute(demo.with_features(names), objects).events
    np.testing.assert_allclose(made.features, events.columns(names), rtol=1e-5)


def problem(dataset, columns):
    with pytest.raises(M3LError) as error:
        recompute(dataset, columns)
    assert all("\n" not in line for line in error.value.problems)
    return "; ".join(error.value.problems)


def test_bad_columns_are_told(demo, some):
    _, objects = some
    less = {name: values for name, values in objects.items() if name != "lepM_1"}
    assert "without lepM_1" in problem(demo, less)
    assert "lepX cannot be given" in problem(demo, {**objects, "lepX": objects["lepM_0"]})
    assert "differ in length" in problem(demo, {**objects, "lepM_1": np.zeros(2)})
    bad = np.where(np.arange(len(objects["lepM_1"])) == 3, np.nan, objects["lepM_1"])
    assert "NaN or infinite values" in problem(demo, {**objects, "lepM_1": bad})


def test_tables_without_objects_are_told(tmp_path):
    import ml_tables

    old = Dataset.open(ml_tables.write_output(tmp_path / "old", [ml_tables.SAMPLES[2]]))
    assert "run run_rdf.py again" in problem(old, {})
    with pytest.raises(M3LError, match=r"run run_rdf\.py again"):
        read_objects(old)


def test_expressions_of_others_do_not_run(demo_output, some, tmp_path):
    folder = tmp_path / "theirs"
    shutil.copytree(demo_output, folder)
    record = read_json(folder / "run.json")
    (cut,) = [c for c in record["regions"][0]["cuts"] if c["name"] == "3 signal"]
    cut["expression"] = 'n_lep_SG == 3 && system("true") == 0'
    (folder / "run.json").write_text(json.dumps(record))
    said = problem(Dataset.open(folder), some[1])
    assert "does not declare: run run_rdf.py again" in said and "Traceback" not in said


def test_a_machine_without_root_says_so(demo, some, tmp_path, monkeypatch):
    (tmp_path / "ROOT.py").write_text("raise ModuleNotFoundError('no ROOT', name='ROOT')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert problem(demo, some[1]) == "Python finds no ROOT: source setup.sh first"
