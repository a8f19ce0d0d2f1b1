"""Frozen choices: what changes them, what a study says about them, files from elsewhere."""

import json
import shutil

import pytest
import score_inputs

from analysis.errors import InputError
from ml import frozen
from ml.__main__ import main
from ml.dataset import Dataset
from ml.frozen import freeze, read_frozen, state_of_detector, state_of_rivals
from ml.study import Material, judge_all
from ml.study_tables import as_text


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    folder = score_inputs.write_scored(tmp_path_factory.mktemp("frozen") / "out")
    for name in ("good", "useless"):
        model = folder / "models" / name / "fold_0"
        model.mkdir(parents=True)
        (model / "model.json").write_text(json.dumps({"signature": score_inputs.SIGNATURE}))
        (model / "log.csv").write_text("1 s")
    return folder


@pytest.fixture
def folder(plain, tmp_path):
    return shutil.copytree(plain, tmp_path / "out")


def state(folder, name="good"):
    return state_of_detector(read_frozen(folder), Dataset.open(folder), name)


def test_nothing_is_frozen_at_first(folder):
    assert read_frozen(folder) is None
    assert not state(folder).frozen and not state_of_rivals(None).frozen


def test_what_is_frozen_stays_so(folder):
    content = freeze(Dataset.open(folder), ["good"])
    assert list(content["detectors"]) == ["good"]
    found = state(folder)
    assert found.frozen and found.date == content["detectors"]["good"]["date"]
    assert found.reason == "after signals were scored: N_500"
    assert not state(folder, "useless").frozen
    (folder / "models" / "good" / "fold_0" / "log.csv").write_text("2 s")
    assert state(folder).frozen
    assert state_of_rivals(content).frozen


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("model", "the model has changed"),
        ("new file", "the model has changed"),
        ("scores", "the scores are of another model"),
        ("features", "other features"),
        ("table", "other tables"),
    ],
)
def test_changes_are_noticed(folder, change, words):
    freeze(Dataset.open(folder))
    model = folder / "models" / "good" / "fold_0"
    if change == "model":
        (model / "model.json").write_text("{}")
    elif change == "new file":
        (model / "trees.txt").write_text("")
    elif change == "scores":
        table = score_inputs.pd.read_hdf(folder / score_inputs.TABLE.format("WZ"), "mini")
        sample = ("WZ", "diboson3L", "background")
        score = table["m_3l"]
        score_inputs.write_scores(folder, "good", sample, table, score, None, "6" * 64)
    elif change == "features":
        run = json.loads((folder / "run.json").read_text())
        run["features"] = [f for f in run["features"] if f["name"] != "m_3l"]
        (folder / "run.json").write_text(json.dumps(run))
    else:
        path = folder / score_inputs.TABLE.format("WZ")
        score_inputs.pd.read_hdf(path, "mini")[:-1].to_hdf(path, key="mini", format="fixed")
    found = state(folder)
    assert not found.frozen and words in found.reason


def test_frozen_again_keeps_the_dates_of_what_is_the_same(folder, monkeypatch):
    first = freeze(Dataset.open(folder))
    content = json.loads((folder / "study" / "frozen.json").read_text())
    for entry in content["detectors"].values():
        entry["date"] = "2020-01-01T00:00:00+00:00"
    (folder / "study" / "frozen.json").write_text(json.dumps(content))
    (folder / "models" / "useless" / "fold_0" / "model.json").write_text("{}")
    second = freeze(Dataset.open(folder))
    assert second["detectors"]["good"]["date"] == "2020-01-01T00:00:00+00:00"
    assert second["detectors"]["useless"]["date"] >= first["detectors"]["useless"]["date"]
    monkeypatch.setattr(frozen, "rivals_sha256", lambda: "7" * 64)
    assert not state_of_rivals(second).frozen


def test_study_says_what_is_frozen(folder, capsys):
    main(["freeze", str(folder), "--detector", "good"])
    assert "good" in capsys.readouterr().out
    content = judge_all(Material(folder), bound=False, replicas=2)
    assert content["scores"]["good"]["frozen"]["frozen"] is True
    assert content["scores"]["useless"]["frozen"] == {
        "frozen": False,
        "date": None,
        "reason": "not frozen",
    }
    text = "\n".join(as_text(content))
    assert "NOT FROZEN (not frozen): useless" in text
    date = content["scores"]["good"]["frozen"]["date"]
    assert f"frozen on {date}, after signals were scored: N_500: good" in text


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda c: c.update(format=2), "format must be"),
        (lambda c: c.update(date="yesterday"), "date must be a date"),
        (lambda c: c.pop("rivals"), "rivals is missing"),
        (lambda c: c.update(surprise=1), "unknown key 'surprise'"),
        (lambda c: c["detectors"].update({"../x": {}}), "a key of detectors"),
        (lambda c: c["detectors"]["good"]["files"].update({"../../x": "5" * 64}), "the path of"),
        (lambda c: c["tables"].update(WZ="5"), "64 hexadecimal digits"),
    ],
)
def test_a_file_from_elsewhere_is_checked(folder, edit, words):
    content = freeze(Dataset.open(folder))
    edit(content)
    (folder / "study" / "frozen.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="frozen.json") as error:
        read_frozen(folder)
    assert words in str(error.value)


def test_without_a_model_there_is_nothing_to_freeze(folder):
    with pytest.raises(InputError, match="no model x in"):
        freeze(Dataset.open(folder), ["x"])
    shutil.rmtree(folder / "models")
    with pytest.raises(InputError, match="no model in"):
        freeze(Dataset.open(folder))
