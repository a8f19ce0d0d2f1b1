"""Studies of detectors: numbers against plain numpy, tables, frozen choices, bad input."""

import importlib.util
import json
import shutil

import ml_tables
import numpy as np
import pandas as pd
import pytest
import score_inputs

from analysis import console
from analysis.errors import InputError
from analysis.performance import judge
from analysis.rivals import RIVALS
from ml import supervised
from ml.__main__ import main
from ml.dataset import Dataset
from ml.study import BOUND, Material, judge_all, without_nan
from ml.study_tables import as_latex, as_text

QUICK = {"bound": False, "replicas": 5, "say": lambda line: None}
with_trees = pytest.mark.skipif(not supervised.is_possible(), reason="there is no LightGBM")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return score_inputs.write_scored(tmp_path_factory.mktemp("study") / "out")


@pytest.fixture(scope="module")
def content(folder):
    return judge_all(Material(folder), **QUICK)


def tables(folder, *names):
    return pd.concat([pd.read_hdf(folder / ml_tables.TABLE.format(n), "mini") for n in names])


def test_numbers_are_those_of_tables_and_scores(folder, content):
    b, s = tables(folder, "WZ", "ttbar"), tables(folder, "N_500")
    values = [score_inputs.scores_of("good", t).astype("f4").astype(float) for t in (b, s)]
    for point in content["scores"]["good"]["signals"]["neutrino"]["points"]:
        above = [v >= point["threshold"] for v in values]
        passed = b["wgt_SG"][above[0]]
        assert point["background_events"] == above[0].sum()
        assert point["background"] == pytest.approx(passed.sum())
        assert point["background_effective"] == pytest.approx(passed.sum() ** 2 / (passed**2).sum())
        efficiency = passed.sum() / b["wgt_SG"].sum()
        share = s["wgt_SG"][above[1]].sum() / s["wgt_SG"].sum()
        assert point["background_efficiency"] == pytest.approx(efficiency)
        assert point["improvement"] == pytest.approx(share / np.sqrt(efficiency))
        none = (s["m_sfos"] == 0) & above[1]
        assert point["share_without_pair"] == pytest.approx(
            s["wgt_SG"][none].sum() / s["wgt_SG"][above[1]].sum()
        )
        pair = s["m_sfos"] > 0
        with_pair = s["wgt_SG"][pair & above[1]].sum() / s["wgt_SG"][pair].sum()
        assert point["improvement_with_pair"] == pytest.approx(with_pair / np.sqrt(efficiency))
        assert point["improvement_low"] <= point["improvement_high"]
    names = [name for name, score in content["scores"].items() if score["kind"] == "rival"]
    assert names == [rival.name for rival in RIVALS]
    about = content["signals"]["neutrino"]
    assert about["samples"] == ["N_500"] and about["events"] == 600


def test_detectors_are_compared_with_the_best_rival(content):
    best = content["best_rival"]["neutrino"]
    improvements = {
        name: score["signals"]["neutrino"]["points"][-1]["improvement"]
        for name, score in content["scores"].items()
    }
    rivals = [rival.name for rival in RIVALS]
    assert best["improvement"] == max(improvements[name] for name in rivals)
    for name, found in content["against_best_rival"].items():
        ratio = improvements[name] / best["improvement"]
        assert found["minimum"] == pytest.approx(ratio)
        assert found["geometric_mean"] == pytest.approx(max(ratio, 0))
        assert found["worst_signal"] == "neutrino"


def test_thresholds_do_not_depend_on_signals(folder, content, tmp_path):
    other = shutil.copytree(folder, tmp_path / "out")
    table = tables(folder, "N_500")
    sample = ("N_500", "neutrino", "signal")
    score_inputs.write_scores(other, "good", sample, table, 5 + np.zeros(len(table)))
    shutil.rmtree(other / "scores" / "useless")
    changed = judge_all(Material(other), **QUICK)
    for one, two in zip(
        *(c["scores"]["good"]["signals"]["neutrino"]["points"] for c in (content, changed)),
        strict=True,
    ):
        assert one["threshold"] == two["threshold"]
        assert two["signal_efficiency"] == 1


def test_events_that_were_trained_on_are_left_out(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "out")
    for name, process, kind in (("WZ", "diboson3L", "background"), ("ttbar", "top", "background")):
        table = tables(folder, name)
        score = score_inputs.scores_of("good", table)
        known = np.arange(len(table)) % 2 == 0
        score_inputs.write_scores(other, "good", (name, process, kind), table, score, known)
    numbers = Material(other).of_detector("good", None, ["neutrino"])
    assert len(numbers.background[0]) == 2500
    assert numbers.background[1].sum() == pytest.approx(
        tables(folder, "WZ", "ttbar")["wgt_SG"].sum()
    )


def test_tables_fit(content):
    lines = list(as_text(content))
    assert max(map(len, lines)) <= console.width()
    text = "\n".join(lines)
    for word in ("neutrino", "good", "z_veto", "NOT FROZEN", "geometric mean", "raw/eff"):
        assert word in text
    latex = as_latex(content)
    assert latex.startswith(r"\begin{tabular}{lrrr}") and latex.count(r"\\") == 9  # and pca
    assert latex.count("{") == latex.count("}")


def test_command(folder, tmp_path, capsys):
    out = shutil.copytree(folder, tmp_path / "out")
    main(["study", str(out), "--no-supervised", "--replicas", "3", "--detector", "good"])
    text = capsys.readouterr().out
    assert "good" in text and "useless" not in text
    first = (out / "study" / "study.json").read_bytes()
    assert json.loads(first)["format"] == 1
    main(["study", str(out), "--no-supervised", "--replicas", "3", "--detector", "good"])
    assert (out / "study" / "study.json").read_bytes() == first
    assert (out / "study" / "study.tex").read_text().endswith("\n")


@with_trees
def test_bound_is_that_of_events_that_trees_never_saw(folder):
    data = Dataset.open(folder)
    background, signal = data.load(data.of_kind("background")), data.load(data.named(["N_500"]))
    found = supervised.supervised_scores(background, signal, 1, folds=3, rounds=5)
    again = supervised.supervised_scores(background, signal, 1, folds=3, rounds=5)
    assert all(np.array_equal(one, two) for one, two in zip(found, again, strict=True))
    # Half of the background called signal: what was not seen cannot be told apart.
    half = np.arange(len(background)) % 2 == 0
    b, s = background[half], background[~half]
    values = supervised.supervised_scores(b, s, 1, folds=3, rounds=30)
    area = judge(values[0], np.ones(len(b)), {"x": (values[1], np.ones(len(s)))})["x"].auc
    assert area == pytest.approx(0.5, abs=0.03)


@with_trees
def test_bound_is_beside_the_others(folder, monkeypatch):
    monkeypatch.setattr(supervised, "ROUNDS", 5)
    content = judge_all(Material(folder), replicas=2, say=lambda line: None)
    bound = content["scores"][BOUND]
    assert (
        bound["signals"]["neutrino"]["auc"]
        > content["scores"]["useless"]["signals"]["neutrino"]["auc"]
    )
    assert "supervised" in "\n".join(as_text(content))


def test_codes_become_one_input_each():
    events = ml_tables_events(("flcomp", "x"), np.array([[0, 7.0], [5, 8.0]], "f4"))
    assert supervised.inputs_of(events).tolist() == [[1, 0, 0, 0, 0, 0, 7], [0, 0, 0, 0, 0, 1, 8]]


def ml_tables_events(names, features):
    from ml.dataset import Events

    size = len(features)
    return Events(
        features,
        np.ones(size),
        np.zeros((size, 1), "i4"),
        np.zeros((size, 3), "i8"),
        np.zeros(size, "i2"),
        (),
        names,
    )


# --- bad input --------------------------------------------------------------------------------


def test_without_lightgbm_the_rest_works(folder, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(supervised, "find_spec", lambda name: None)
    lines = []
    content = judge_all(Material(folder), replicas=2, say=lines.append)
    assert BOUND not in content["scores"] and "LightGBM is not installed" in lines[-1]


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (ml_tables.SAMPLES[:2], "no sample of kind signal"),
        (ml_tables.SAMPLES[2:4], "no sample of kind background"),
        (
            (*ml_tables.SAMPLES[:2], ("N_500", "neutrino", "signal", 0, 180.0, 0.01)),
            "no signal in .* has an event",
        ),
        ((ml_tables.SAMPLES[4], ml_tables.SAMPLES[2]), "add up to nothing"),
    ],
)
def test_missing_samples_are_one_line(tmp_path, samples, words):
    out = score_inputs.write_scored(tmp_path / "out", samples)
    with pytest.raises(InputError, match=words):
        judge_all(Material(out), **QUICK)


def test_without_data_it_works(tmp_path):
    out = score_inputs.write_scored(tmp_path / "out", ml_tables.SAMPLES[:3])
    assert judge_all(Material(out), **QUICK)["scores"]["good"]["frozen"]["frozen"] is False


def test_small_samples(tmp_path):
    """A process with three events, a signal with one, all scores equal, no event without a pair."""

    def edit(name, table):
        return table.assign(m_sfos=np.float32(80.0))

    samples = (
        ml_tables.SAMPLES[0],
        ("rare", "rare", "background", 3, 60.0, 0.2),
        ("N_500", "neutrino", "signal", 1, 180.0, 1.0),
        ("N_900", "heavy", "signal", 30, 300.0, 0.01),
    )
    out = score_inputs.write_scored(tmp_path / "out", samples, ("equal",), edit)
    content = judge_all(Material(out), **QUICK)
    json.dumps(content, allow_nan=False)
    points = content["scores"]["equal"]["signals"]["heavy"]["points"]
    assert {p["background_efficiency"] for p in points} == {1.0}
    assert {p["supported"] for p in points} == {False}
    assert {p["share_without_pair"] for p in points} == {0.0}
    assert max(map(len, as_text(content))) <= console.width()
    as_latex(content)


def test_old_tables_have_the_rivals_that_they_can(folder, tmp_path):
    out = ml_tables.write_output(tmp_path / "out")
    shutil.copytree(folder / "scores", out / "scores")
    content = judge_all(Material(out), **QUICK)
    assert "met" in content["scores"] and "z_veto" not in content["scores"]
    assert content["signals"]["neutrino"]["share_without_pair"] is None
    assert max(map(len, as_text(content))) <= console.width()


def test_scores_that_do_not_fit(folder, tmp_path):
    out = shutil.copytree(folder, tmp_path / "out")
    table = tables(folder, "WZ").assign(RunNumber=7)
    sample = ("WZ", "diboson3L", "background")
    score_inputs.write_scores(out, "useless", sample, table, np.zeros(len(table)))
    lines = []
    found = judge_all(Material(out), **(QUICK | {"say": lines.append}))
    assert "useless" not in found["scores"] and "other events than the table" in lines[0]
    assert found["notes"] == lines
    with pytest.raises(InputError, match="other events than the table"):
        judge_all(Material(out), detectors=["useless"], **QUICK)
    table = tables(folder, "WZ")
    for values, words in ((np.nan, "3000 scores that are not finite"), (0.0, "trained on all")):
        score_inputs.write_scores(
            out, "useless", sample, table, np.full(3000, values), np.full(3000, values == 0)
        )
        with pytest.raises(InputError, match=words):
            judge_all(Material(out), detectors=["useless"], **QUICK)
    (out / "scores" / "useless" / "N_500.hdf5").unlink()
    score_inputs.write_scores(out, "useless", sample, table, np.zeros(3000))
    with pytest.raises(InputError, match="lacks sample 'N_500'"):
        judge_all(Material(out), detectors=["useless"], **QUICK)
    shutil.rmtree(out / "scores")
    with pytest.raises(InputError, match="no scores in"):
        judge_all(Material(out), **QUICK)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--detector", "x"], 1, "no scores of x"),
        (["--signal", "x"], 1, "no signal x"),
        (["--region", "SR9"], 1, "no tables of region"),
        (["--uncertainty", "-1"], 2, "a number from 0 to 10"),
        (["--seed", "-1"], 2, "a whole number from 0"),
    ],
)
def test_wrong_options(folder, arguments, status, words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["study", str(folder), *arguments])
    assert ended.value.code == status
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


@pytest.mark.parametrize("command", ["study", "freeze", "protocol"])
def test_nothing_is_written_where_nothing_is(command, tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([command, str(tmp_path / "nowhere")])
    assert "nowhere" in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()


def test_what_is_not_finite_becomes_null():
    assert without_nan({"a": [np.nan, 1.0, (np.inf,)]}) == {"a": [None, 1.0, [None]]}
