"""Explained events: numbers against plain numpy, neighbours, bad input."""

import json
import shutil

import ml_tables
import numpy as np
import pandas as pd
import pytest
import score_inputs
from explained_inputs import declare, learn, write_explainable

from analysis import console, topology
from analysis.errors import InputError
from analysis.study_files import EXPLAINED_RULE, read_explained
from ml import explained
from ml.__main__ import main
from ml.dataset import Dataset
from ml.detectors.pca import Pca
from ml.detectors.svdd import Svdd, SvddDetector


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_explainable(tmp_path_factory.mktemp("explained") / "out")


@pytest.fixture(scope="module")
def content(folder):
    return explained.explain_events(folder, number=4, say=lambda line: None)


def table_of(folder, name):
    table = pd.read_hdf(folder / ml_tables.TABLE.format(name), "mini")
    scores = {
        d: pd.read_hdf(folder / "scores" / d / f"{name}.hdf5")["score"]
        for d in ("portfolio", "pca")
    }
    return table.assign(**scores)


def place_of(x):
    return topology.topology_of(x[list(topology.FEATURES)].to_numpy(float))


def test_the_most_anomalous_events_of_data_are_told(folder, content):
    assert list(EXPLAINED_RULE.problems(content, "")) == []
    assert (content["detector"], content["kind"]) == ("portfolio", "data")
    data = table_of(folder, "data").sort_values("portfolio", ascending=False, kind="stable")
    background = pd.concat([table_of(folder, name) for name in ("WZ", "ttbar")])
    assert content["background"]["pca"]["events"] == len(background)
    for event, (_, row) in zip(content["events"], data.iterrows(), strict=False):
        assert event["EventNumber"] == row["EventNumber"] and event["sample"] == "data"
        assert event["topology"] == topology.TOPOLOGIES[place_of(row.to_frame().T)[0]]
        for name in ("portfolio", "pca"):
            above = background[name] >= row[name]
            share = background["wgt_SG"][above].sum() / background["wgt_SG"].sum()
            assert event["scores"][name]["score"] == row[name]
            assert event["scores"][name]["background_above"] == above.sum()
            assert event["scores"][name]["p_value"] == pytest.approx(max(share, 0))
        lepton = event["objects"]["leptons"][0]
        assert (lepton["flavour"], lepton["charge"], lepton["pt"]) == ("e", -1, 90.0)
        assert len(event["objects"]["jets"]) == min(row["n_jet"], 10)
        assert event["objects"]["met"]["pt"] == pytest.approx(row["e_T_miss"])


def test_a_portfolio_tells_opinions_and_features(folder, content):
    background = pd.concat([table_of(folder, name) for name in ("WZ", "ttbar")])
    where = place_of(background)
    for event in content["events"]:
        said = {one["name"]: one["value"] for one in event["opinions"]}
        assert set(said) == {"tail", "part 1", "part 2"}
        heard = [v for n, v in said.items() if n.startswith("part") and v is not None]
        assert heard == [pytest.approx(event["scores"]["portfolio"]["score"], rel=1e-5)]
        (feature,) = event["features"]  # a tail has one
        alike = background[where == topology.TOPOLOGIES.index(event["topology"])]
        assert feature["name"] == "lt_met" and feature["contribution"] > 0
        values, weight = alike["lt_met"].to_numpy(), alike["wgt_SG"].clip(lower=0).to_numpy()
        for name, share in (("low", 0.1587), ("median", 0.5), ("high", 0.8413)):
            below = weight[values < feature[name]].sum() / weight.sum()
            assert below < share <= below + weight[values == feature[name]].sum() / weight.sum()


def test_neighbours_are_the_nearest_ordinary_events(folder):
    content = explained.explain_events(folder, "pca", 2, say=lambda line: None)
    names = Dataset.open(folder).names
    parts = [table_of(folder, name).assign(sample=name) for name in ("WZ", "ttbar")]
    background = pd.concat(parts, ignore_index=True)
    weight, score = background["wgt_SG"], background["pca"]
    data = table_of(folder, "data").set_index("EventNumber")
    for event in content["events"]:
        row = data.loc[event["EventNumber"]]
        alike = background[place_of(background) == place_of(row.to_frame().T)[0]]
        distance = np.zeros(len(alike))
        for name in names:
            column = alike[name].to_numpy("f4")
            ranks = [
                (np.mean(column < v) + np.mean(column <= v)) / 2 for v in [np.float32(row[name])]
            ]
            ordered = np.sort(column)
            others = np.searchsorted(ordered, column) + np.searchsorted(ordered, column, "right")
            distance += (others / 2 / len(column) - ranks[0]) ** 2 / len(names)
        p = np.array([weight[score >= s].sum() / weight.sum() for s in alike["pca"]])
        ordinary = np.flatnonzero(p >= explained.ORDINARY)
        nearest = ordinary[np.argsort(distance[ordinary])][: explained.NEIGHBOURS]
        assert [one["EventNumber"] for one in event["neighbours"]] == list(
            alike["EventNumber"].iloc[nearest]
        )
        found = [one["distance"] for one in event["neighbours"]]
        assert found == pytest.approx(np.sqrt(distance[nearest]), rel=1e-3)
        assert len(event["features"]) == explained.FEATURES


def test_command_writes_and_tells(folder, tmp_path, capsys):
    out = shutil.copytree(folder, tmp_path / "out")
    main(["explain", str(out), "-n", "3"])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[:-1])) <= console.width()  # without the path
    assert any(line.startswith(" 3. data, dataset") for line in lines)
    assert any("75% of the background for tail in off_z" in line for line in lines)
    first = (out / "study" / "explained.json").read_bytes()
    main(["explain", str(out), "-n", "3"])
    assert (out / "study" / "explained.json").read_bytes() == first
    assert len(read_explained(out)["events"]) == 3


@pytest.mark.parametrize("case", ["blind", "no data"])
def test_background_where_data_may_not_be_seen(folder, tmp_path, case):
    out = shutil.copytree(folder, tmp_path / "out")
    if case == "blind":
        declare(out, blind=True)
    else:
        run = json.loads((out / "run.json").read_text())
        run["samples"] = [s for s in run["samples"] if s["kind"] != "data"]
        (out / "run.json").write_text(json.dumps(run))
    content = explained.explain_events(out, number=2, say=lambda line: None)
    assert content["kind"] == "background"
    for event in content["events"]:
        assert event["scores"]["portfolio"]["background_above"] >= 1  # itself
        identity = event["sample"], event["EventNumber"]
        assert identity not in [(n["sample"], n["EventNumber"]) for n in event["neighbours"]]


def test_old_tables_have_neither_objects_nor_topologies(tmp_path):
    out = ml_tables.write_output(tmp_path / "out")
    learn(out, Pca("pca"))
    lines = []
    content = explained.explain_events(out, number=1, say=lines.append)
    (event,) = content["events"]
    assert event["objects"] is None and event["topology"] is None and event["opinions"] == []
    assert len(event["neighbours"]) == explained.NEIGHBOURS
    assert "do not tell topologies" in lines[0] and content["notes"] == lines
    assert max(map(len, explained.as_text(content))) <= console.width()


def test_a_detector_that_gives_no_reasons(folder, tmp_path, monkeypatch):
    out = shutil.copytree(folder, tmp_path / "out")
    monkeypatch.setattr(SvddDetector, "learn", lambda self, background: {"x": np.zeros(1)})
    monkeypatch.setattr(SvddDetector, "evaluate", lambda self, x: x[:, 0])
    learn(out, Svdd("svdd", features=("lt_met", "e_T_miss")))
    lines = []
    content = explained.explain_events(out, "svdd", 1, say=lines.append)
    assert content["events"][0]["features"] == [] and content["events"][0]["neighbours"]
    assert "cannot tell which features drive it" in lines[0]


def test_what_does_not_fit_is_one_line(folder, tmp_path, capsys):
    out = shutil.copytree(folder, tmp_path / "out")
    quiet = {"say": lambda line: None}
    with pytest.raises(InputError, match="no scores of x"):
        explained.explain_events(out, "x", **quiet)
    sample, table = ("WZ", "diboson3L", "background"), table_of(folder, "WZ")
    score_inputs.write_scores(out, "pca", sample, table.assign(RunNumber=1), table["pca"])
    lines = []
    content = explained.explain_events(out, number=1, say=lines.append)
    assert set(content["events"][0]["scores"]) == {"portfolio"}
    assert lines[0].startswith("pca is left out") and "other events" in lines[0]
    with pytest.raises(InputError, match="other events than the table"):
        explained.explain_events(out, "pca", **quiet)
    for name in ("WZ", "ttbar", "data", "N_500", "empty"):
        path = out / "scores" / "portfolio" / f"{name}.hdf5"
        path.unlink()
        sample = (name, *[s[1:3] for s in ml_tables.SAMPLES if s[0] == name][0])
        table = pd.read_hdf(out / ml_tables.TABLE.format(name), "mini")
        score_inputs.write_scores(out, "portfolio", sample, table, np.zeros(len(table)))
    with pytest.raises(InputError, match="of another model than .*python -m ml score"):
        explained.explain_events(out, "portfolio", **quiet)
    shutil.rmtree(out / "models" / "portfolio")
    with pytest.raises(InputError, match="no model .*portfolio"):
        explained.explain_events(out, "portfolio", **quiet)
    with pytest.raises(SystemExit):
        main(["explain", str(tmp_path / "nowhere")])
    assert "nowhere" in capsys.readouterr().err and not (tmp_path / "nowhere").exists()
