"""Studies of altered events: made as promised, judged by plain numpy, with inputs left alone."""

import json
import shutil

import ml_tables
import numpy as np
import pandas as pd
import pytest
from conftest import slow

from analysis import console
from analysis.errors import InputError
from analysis.files import checksum
from analysis.performance import LEAST
from ml import altered, blind, challenges, retrained
from ml.__main__ import main
from ml.challenges import Choices, Judge
from ml.dataset import Dataset
from ml.protocol import halves
from ml.recompute import read_objects

# Keras 3.15 with numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TRAIN = ("--folds", "3", "--epochs", "1", "--batch", "16", "--quiet")
QUICK = ("--detector", "small", "--events", "500", "--replicas", "3")
CHOICES = Choices(("small",), seed=1, events=2000, replicas=3)
LEARNING = ("leave-out top", "small-sample --share 0.1", "data")
STUDIES = ("shuffle", "noise", "blind", *LEARNING)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An output folder with codes as categories, and a tiny network."""
    made = ml_tables.write_output(tmp_path_factory.mktemp("challenges") / "out")
    record = json.loads((made / "run.json").read_text())
    (code,) = [feature for feature in record["features"] if feature["name"] == "flcomp"]
    code |= {"network": True, "categories": [0, 1, 2, 3]}
    (made / "run.json").write_text(json.dumps(record))
    main(["train", str(made), "--detector", "small", *TRAIN])
    return made


@pytest.fixture(scope="module")
def dataset(folder):
    return Dataset.open(folder)


@pytest.fixture(scope="module")
def background(dataset):
    return challenges.load_background(dataset)


def column(events, name):
    return events.columns([name])[:, 0]


def weighted_mean(events, name):
    return np.average(column(events, name), weights=np.maximum(events.weight, 0))


def pearson(events, one, two):
    rows = (column(events, one) > 0) & (column(events, two) > 0)
    return np.corrcoef(column(events, one)[rows], column(events, two)[rows])[0, 1]


# --- how events are altered -------------------------------------------------------------------


def test_shuffled_columns_stay_in_their_fold_and_keep_their_distribution(dataset, background):
    (made,) = altered.shuffled(dataset, background, 3, 4000, 1)
    events, fold = made.events, background.fold(3)
    assert len(events) == made.tried == 4000 and (events.weight == 1).all()
    for name in ("e_T_miss", "m_3l", "m_T_jet_0", "h_L_ele_1"):
        for k in range(3):
            here = column(events, name)[events.fold(3) == k]
            assert np.isin(here, column(background, name)[fold == k]).all()
        spread = column(background, name).std() / np.sqrt(4000)
        difference = weighted_mean(events, name) - weighted_mean(background, name)
        assert abs(difference) < 5 * spread
    assert pearson(background, "m_T_jet_0", "e_T_miss") > 0.3
    assert abs(pearson(events, "m_T_jet_0", "e_T_miss")) < 0.15


def test_categories_and_numbers_of_objects_are_shuffled_as_one_column(dataset, background):
    (made,) = altered.shuffled(dataset, background, 3, 1000, 1)
    flavours = made.events.columns([f"flcomp={k}" for k in range(4)])
    assert (flavours.sum(axis=1) == 1).all()
    electrons = flavours.argmax(axis=1)
    assert (electrons != made.events.counts[:, 1]).mean() > 0.5  # n_ele is another column


def test_noise_is_where_the_background_is(dataset, background):
    uniform, normal = altered.noise(dataset, background, 4000, 1)
    for made in (uniform, normal):
        assert (made.events.columns([f"flcomp={k}" for k in range(4)]).sum(axis=1) == 1).all()
        assert (made.events.counts >= 0).all()
        assert made.events.counts.max() <= background.counts.max()
        for name in ("e_T_miss", "m_3l"):
            low, high = column(background, name).min(), column(background, name).max()
            assert column(made.events, name).min() >= low * (1 - 1e-6)
            assert column(made.events, name).max() <= high * (1 + 1e-6)
    low, high = column(background, "m_3l").min(), column(background, "m_3l").max()
    assert column(uniform.events, "m_3l").mean() == pytest.approx((low + high) / 2, rel=0.03)
    mean = weighted_mean(background, "m_3l")
    assert column(normal.events, "m_3l").mean() == pytest.approx(mean, rel=0.1)
    # Columns know nothing of each other.
    assert abs(np.corrcoef(*uniform.events.columns(["e_T_miss", "m_3l"]).T)[0, 1]) < 0.05


def test_seeds_decide(dataset, background):
    one, same, other = (altered.noise(dataset, background, 50, seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.events.features, same.events.features)
    assert (one.events.features != other.events.features).any()


@pytest.fixture(scope="module")
def demo(demo_output):
    return Dataset.open(demo_output)


def test_momenta_are_scaled_and_all_else_follows(demo):
    background = challenges.load_background(demo)
    control, one, three = altered.scaled(demo, background, (1, 3), (5.0,), 300, 1)
    assert [made.name for made in (control, one, three)] == [
        "unchanged",
        "lepton 1 x 5",
        "leptons 1-3 x 5",
    ]
    known = {tuple(identity): row for row, identity in enumerate(background.identity.tolist())}
    for made, factors in ((control, (1, 1, 1)), (one, (5, 1, 1)), (three, (5, 5, 5))):
        assert len(made.events) == made.tried == 300
        origin = background[[known[tuple(i)] for i in made.events.identity.tolist()]]
        np.testing.assert_array_equal(made.events.weight, origin.weight)
        np.testing.assert_array_equal(made.events.sample, origin.sample)
        momenta = [factor * column(origin, f"lepPt_{k}") for k, factor in enumerate(factors)]
        for k in range(3):
            np.testing.assert_allclose(column(made.events, f"lepPt_{k}"), momenta[k], rtol=1e-5)
        np.testing.assert_allclose(column(made.events, "ht_lep"), sum(momenta), rtol=1e-5)
        for name in ("e_T_miss", "ht_jet", "m_T_jet_0", "flcomp=1"):
            np.testing.assert_allclose(
                column(made.events, name), column(origin, name), rtol=1e-5, atol=1e-5
            )
    np.testing.assert_allclose(
        column(three.events, "m_3l"), 5 * column(control.events, "m_3l"), rtol=1e-3
    )


def test_exchanged_objects(demo):
    background = challenges.load_background(demo)
    control, flavours, momenta = altered.exchanged(demo, background, 400, 1)
    known = {tuple(identity): row for row, identity in enumerate(background.identity.tolist())}

    def origin(made):
        return background[[known[tuple(i)] for i in made.events.identity.tolist()]]

    assert len(control.events) == 400 and len(flavours.events) > 300
    before, after = origin(flavours), flavours.events
    n_ele, n_muo = (demo.types.index(name) for name in ("ele", "muo"))
    np.testing.assert_array_equal(after.counts[:, n_ele], before.counts[:, n_muo])
    for name in ("lepPt_0", "lepCharge_1", "e_T_miss", "m_sfos"):
        np.testing.assert_allclose(column(after, name), column(before, name), rtol=2e-3, atol=0.01)
    np.testing.assert_allclose(
        column(after, "e_T_ele_0"), column(before, "e_T_muo_0"), rtol=1e-3, atol=1e-3
    )
    # The leptons have the momenta of jets, where there are any.
    objects = read_objects(demo, demo.of_kind("background"))
    rows = [known[tuple(i)] for i in momenta.events.identity.tolist()]
    assert (objects["jetPt_0"][rows] > 0).all() and 20 < len(rows) <= momenta.tried < 400
    new = np.stack(
        [
            np.where(objects[f"jetPt_{k}"] > 0, objects[f"jetPt_{k}"], objects[f"lepPt_{k}"])[rows]
            for k in range(3)
        ]
    )
    np.testing.assert_allclose(column(momenta.events, "ht_lep"), new.sum(axis=0), rtol=1e-4)


# --- how they are judged ----------------------------------------------------------------------


def area(background, weight, values, weights):
    """The area under the ROC curve, pair by pair."""
    wins = (values[:, None] > background) + (values[:, None] == background) / 2
    return (weights[:, None] * weight * wins).sum() / (weights.sum() * weight.sum())


def test_numbers_are_those_of_events_that_were_never_learned(dataset, background):
    (made,) = altered.shuffled(dataset, background, 3, 1000, 1)

    def look(events):
        return column(events, "m_3l").astype(float), events.fold(3) == 1

    judge = Judge("m_3l", "detector", "on nothing", ("a",), 3, look)
    found = challenges.judge_one(judge, background, [made], CHOICES)
    kept, others = background.fold(3) != 1, made.events.fold(3) != 1
    assert found["background_events"] == kept.sum()
    one = found["altered"]["shuffled"]
    assert one["events"] == others.sum()
    value, weight = column(background, "m_3l")[kept].astype(float), background.weight[kept]
    values, weights = column(made.events, "m_3l")[others].astype(float), np.ones(others.sum())
    assert one["auc"] == pytest.approx(area(value, weight, values, weights))
    assert one["auc_low"] <= one["auc_high"]
    for point in one["points"]:
        passed = weight[value >= point["threshold"]]
        efficiency = passed.sum() / weight.sum()
        assert point["background_effective"] >= LEAST * (1 - 1e-6)
        assert not point["supported"] or efficiency <= point["asked"] * (1 + 1e-6)
        assert point["background_efficiency"] == pytest.approx(efficiency)
        share = (values >= point["threshold"]).mean()
        assert point["improvement"] == pytest.approx(share / np.sqrt(efficiency))


def test_events_without_a_finite_score(dataset, background):
    (made,) = altered.shuffled(dataset, background, 3, 100, 1)

    def look(bad):
        return lambda events: (
            np.full(len(events), np.nan if len(events) == bad else 1.0),
            np.zeros(len(events), bool),
        )

    judge = Judge("x", "detector", "", (), 3, look(100))
    found = challenges.judge_one(judge, background, [made], CHOICES)
    assert found["altered"]["shuffled"]["auc"] == pytest.approx(0)
    judge = Judge("x", "detector", "", (), 3, look(len(background)))
    with pytest.raises(InputError, match="no finite score"):
        challenges.judge_one(judge, background, [made], CHOICES)


# --- commands ---------------------------------------------------------------------------------


def inputs(folder):
    """Checksums of all files beside the studies."""
    return {
        path: checksum(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "study" not in path.parts and not path.name.endswith(".lock")
    }


def written(folder):
    """The files that a study has left, but for logs with times."""
    return {
        path.relative_to(folder): checksum(path)
        for path in sorted((folder / "study").rglob("*"))
        if path.is_file() and "models" not in path.parts
    }


@pytest.mark.parametrize("study", [STUDIES[0], *map(slow, STUDIES[1:])])
def test_same_seed_gives_same_bytes_and_inputs_stay(folder, study, capsys):
    before, results = inputs(folder), []
    for _ in range(1 if study in LEARNING[1:] else 2):  # a training takes seconds
        shutil.rmtree(folder / "study", ignore_errors=True)
        words = (*study.split(), *QUICK, *(TRAIN if study in LEARNING else ()))
        main(["challenge", str(folder), *words])
        results.append(written(folder))
        text = capsys.readouterr().out
    assert results[0] == results[-1]
    assert inputs(folder) == before
    lines = text.splitlines()
    path = folder / "study" / f"{'_'.join(study.split(' --')[0].split()).replace('-', '_')}.json"
    assert lines[-1] == f"wrote {path}"
    assert max(map(len, lines[:-1])) <= console.width()
    content = json.loads(path.read_text(), parse_constant=pytest.fail)
    assert content["format"] == 1 and content["seed"] == 1
    assert "small" in [score["name"] for score in content["scores"]]


def test_left_out_process_trains_nothing(folder, dataset, capsys):
    left_out, rest = retrained.without_process(dataset, "top")
    assert [sample.name for sample in left_out] == ["ttbar"]
    assert [(s.name, s.kind) for s in rest.samples] == [
        ("WZ", "background"),
        ("data", "data"),
        ("empty", "background"),
    ]
    main(["challenge", str(folder), "leave-out", "top", *QUICK, *TRAIN])
    content = json.loads((folder / "study" / "leave_out_top.json").read_text())
    first, second, *_ = content["scores"]
    assert (first["trained"], second["trained"]) == ("without top", "on all background")
    assert first["background_events"] == 3000 and list(first["altered"]) == ["top"]
    assert first["altered"]["top"]["events"] == 2000
    record = folder / "study" / "leave_out_top" / "models" / "small" / "fold_0" / "model.json"
    assert "ttbar" not in json.loads(record.read_text())["inputs"]


def test_share_of_the_events(dataset):
    few = retrained.on_share(dataset, 0.01, 1)
    assert {s.name: few.rows(s) for s in few.samples} == {
        "WZ": 30,
        "ttbar": 20,
        "data": 5,
        "empty": 0,
    }
    every = dataset.load(dataset.of_kind("background"))
    some = few.load(few.of_kind("background"))
    known = {tuple(row) for row in every.identity.tolist()}
    assert all(tuple(row) in known for row in some.identity.tolist())
    assert np.abs(some.weight).sum() == pytest.approx(np.abs(every.weight).sum())
    other = retrained.on_share(dataset, 0.01, 2)
    assert (other.load(other.of_kind("background")).identity != some.identity).any()


def test_data_is_what_is_learned(dataset):
    made = retrained.on_data(dataset)
    assert [(s.name, s.kind) for s in made.samples] == [("data", "background")]


# --- the blind test ---------------------------------------------------------------------------


def seed_with(dataset, hidden):
    """The first seed that hides a signal, or none, and its contents."""
    for seed in range(1, 20):
        choices = Choices(("small",), seed, 500, 3)
        result, answer = blind.blind(dataset, choices)
        if (answer["signal"] is not None) == hidden:
            return seed, result, answer
    raise AssertionError("no such seed")


def test_hidden_events_are_those_of_the_answer(folder, dataset):
    _, result, answer = seed_with(dataset, True)
    table = pd.read_hdf(folder / "study" / blind.PSEUDO_DATA, "mini")
    assert len(table) == result["events"] and (table["wgt_SG"] == 1).all()
    assert (table[["DatasetNumber", "RunNumber"]] == 0).all(axis=None)
    signal = pd.read_hdf(folder / ml_tables.TABLE.format("N_500"), "mini")
    is_signal = table["m_3l"].isin(signal["m_3l"])
    assert is_signal.sum() == answer["events"] > 0 and answer["signal"] == "neutrino"
    assert answer["fraction"] == pytest.approx(answer["events"] / len(table), rel=0.5)
    met = next(score for score in result["scores"] if score["name"] == "met")
    for point, passed in zip(met["points"], answer["passed"]["met"], strict=True):
        above = table["e_T_miss"].astype(float) >= point["threshold"]
        assert above.sum() == point["observed"]
        assert (above & is_signal).sum() == passed["events"]
        expected, error = point["expected"], point["expected_error"]
        assert abs(point["observed"] - passed["events"] - expected) < 6 * (error + expected**0.5)
    assert "signal" not in result


def test_significances_without_a_signal_are_normal():
    found = {}
    for seed in range(80):
        random = np.random.default_rng(seed)
        value, weight = random.normal(0, 1, 20_000), random.uniform(0.1, 0.5, 20_000)
        first, calibration, drawn = halves(weight, random)
        assert calibration.sum() == pytest.approx(weight.sum())
        taken = np.repeat(np.arange(len(weight)), random.poisson(drawn))
        for point in blind._points(value, first, calibration, drawn, taken, np.empty(0)):
            found.setdefault(point["asked"], []).append(point["significance"])
    assert len(found) == 3
    for values in found.values():
        assert abs(np.mean(values)) < 0.35 and 0.75 < np.std(values) < 1.25


def test_nothing_may_be_hidden(folder, dataset):
    _, result, answer = seed_with(dataset, False)
    assert answer["events"] == 0 and answer["fraction"] == 0
    assert "no signal" in "".join(blind.answer_as_text(answer))
    assert result["events"] == len(pd.read_hdf(folder / "study" / blind.PSEUDO_DATA, "mini"))


def test_answer_is_told_on_request_only(folder, dataset, capsys):
    seed, *_ = seed_with(dataset, True)
    main(["challenge", str(folder), "blind", *QUICK, "--seed", str(seed)])
    assert "neutrino" not in capsys.readouterr().out
    assert "neutrino" not in (folder / "study" / "blind.json").read_text()
    before = checksum(folder / "study" / "blind.json")
    main(["challenge", str(folder), "blind", "--open"])
    text = capsys.readouterr().out
    assert f"hidden with seed {seed}:" in text and "of neutrino" in text
    assert max(map(len, text.splitlines())) <= console.width()
    assert checksum(folder / "study" / "blind.json") == before


def test_answer_to_another_test_is_refused(folder, dataset, tmp_path):
    seed, *_ = seed_with(dataset, True)
    main(["challenge", str(folder), "blind", *QUICK, "--seed", str(seed)])
    (tmp_path / "study").mkdir()
    for name in (blind.RESULT, blind.ANSWER):
        shutil.copy(folder / "study" / name, tmp_path / "study")
    answer = tmp_path / "study" / blind.ANSWER
    content = json.loads(answer.read_text())
    answer.write_text(json.dumps(content | {"pseudo_data": "0" * 64}))
    with pytest.raises(InputError, match="answer to another test"):
        blind.read_answer(tmp_path)
    answer.write_text(json.dumps(content | {"events": -1}))
    with pytest.raises(InputError, match=r"events.*make a new blind test"):
        blind.read_answer(tmp_path)


# --- bad input --------------------------------------------------------------------------------


def said(capsys, *words):
    """The one line that a command ends with."""
    with pytest.raises(SystemExit) as error:
        main(["challenge", *map(str, words)])
    lines = capsys.readouterr().err.strip().splitlines()
    assert error.value.code in (1, 2) and len(lines) == 1, lines
    return lines[0]


def test_mistakes_are_told_in_one_line(folder, capsys):
    assert "no folder" in said(capsys, folder / "nowhere", "shuffle")
    assert "no model portfolio" in said(capsys, folder, "shuffle")
    assert "no model smal " in said(capsys, folder, "noise", "--detector", "smal")
    assert "no background process 'WW'" in said(capsys, folder, "leave-out", "WW", *QUICK)
    assert "plain folder name" in said(capsys, folder, "noise", "--detector", "../x")
    assert "number above 0" in said(capsys, folder, "momenta", "--factor", "0")
    assert "from 0 to 1" in said(capsys, folder, "small-sample", "--share", "2")
    assert "invalid choice" in said(capsys, folder, "shufle")
    unknown = said(capsys, folder, "data", "--detector", "smal", *TRAIN)
    assert "did you mean 'small'" in unknown
    assert "fewer than a batch of 256" in said(capsys, folder, "small-sample", *QUICK, "--quiet")


@pytest.mark.parametrize("study", ["momenta", "exchange"])
def test_tables_without_objects_are_told(folder, study, capsys):
    assert "run run_rdf.py again" in said(capsys, folder, study, *QUICK)


def test_what_is_not_there_is_told(folder, tmp_path, capsys):
    few = ("WW", "WW", "background", 3, 40.0, 1.0)
    samples = [sample for sample in ml_tables.SAMPLES if sample[2] == "background"]
    out = ml_tables.write_output(tmp_path / "out", [*samples, few])
    shutil.copytree(folder / "models", out / "models")
    record = json.loads((out / "run.json").read_text())
    record["features"] = json.loads((folder / "run.json").read_text())["features"]
    (out / "run.json").write_text(json.dumps(record))
    assert "no data in" in said(capsys, out, "data", *QUICK, *TRAIN)
    assert "no signal in" in said(capsys, out, "blind", *QUICK)
    assert "WW has 3 events" in said(capsys, out, "leave-out", "WW", *QUICK, *TRAIN)
    main(["challenge", str(out), "small-sample", "--share", "0.2", *QUICK, *TRAIN])
    content = json.loads((out / "study" / "small_sample.json").read_text())
    assert [one["name"] for one in content["altered"]] == ["shuffled"]
    one = ml_tables.write_output(tmp_path / "one", samples[:1])
    assert "nothing to train on" in said(capsys, one, "leave-out", "WZ", *QUICK, *TRAIN)
    none = ml_tables.write_output(tmp_path / "none", [ml_tables.SAMPLES[2]])
    assert "no sample of kind background" in said(capsys, none, "shuffle", *QUICK)


def test_a_model_that_knows_all_folds_leaves_some_events(folder, tmp_path, capsys):
    """A single model is judged on what it was validated on."""
    out = shutil.copytree(folder, tmp_path / "out", symlinks=True)
    single = ("--epochs", "1", "--batch", "200", "--quiet", "--name", "single")
    main(["train", str(out), "--detector", "small", *single])
    both = said(capsys, out, "shuffle", *QUICK, "--detector", "single")
    assert "into 3, 5 folds: study them one by one" in both
    main(["challenge", str(out), "shuffle", "--detector", "single", *QUICK[2:]])
    content = json.loads((out / "study" / "shuffle.json").read_text())
    first = content["scores"][0]
    assert first["name"] == "single" and 800 < first["background_events"] < 1200
    assert 60 < first["altered"]["shuffled"]["events"] < 140
