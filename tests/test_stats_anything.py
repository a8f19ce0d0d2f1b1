"""One answer for a set of data: nothing where there is nothing, and a hidden signal is found."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from plot_inputs import write_explained, write_run, write_scores
from scipy import stats
from search_inputs import DEFAULT_SIZE, make_pool, make_search, nuisances
from test_stats_bump import changed, fails

from analysis.stats.__main__ import main
from analysis.stats.anything import EVIDENCE, answer, area, object_words
from analysis.stats.nuisances import Nuisances
from analysis.stats.odd_events import CARRIED, objects
from analysis.stats.pseudo import observe
from analysis.stats.search import TESTS, combine, evaluate, pseudo_statistics
from analysis.stats.two_sample import FOLDS, classifier_of, judge

QUICK = ("--pseudo", "6", "--processes", "1", "--top", "3")


def p_values(pool, pseudo, seed, tests=tuple(TESTS)):
    """p-values of the tests and the global one for the data of a Pool."""
    search = make_search(pool, tests)
    found = evaluate(search, observe(pool)).statistics
    combined = combine(found, pseudo_statistics(search, pseudo, seed))
    return np.append(combined.p_values, combined.p_value)


# --- the classifier ---------------------------------------------------------------------------


def test_area_is_the_probability_that_one_is_larger():
    random = np.random.default_rng(1)
    values = random.integers(0, 5, 60).astype(float)
    positive, negative = random.random((2, 60))
    larger = (values[:, None] > values) + 0.5 * (values[:, None] == values)
    expected = positive @ larger @ negative / positive.sum() / negative.sum()
    assert area(values, positive, negative) == pytest.approx(expected)


def test_copies_of_an_event_are_in_the_same_fold():
    pool = make_pool(np.random.default_rng(2))
    fold = classifier_of(pool, ("mass", "angle")).fold
    assert set(fold) == set(range(FOLDS))
    shares = np.bincount(fold) / len(fold)
    assert shares == pytest.approx(np.full(FOLDS, 1 / FOLDS), abs=0.05)
    turned = pool.identity[::-1]
    again = classifier_of(type(pool)(**vars(pool) | {"identity": turned}), ("mass", "angle")).fold
    assert np.array_equal(again[::-1], fold)


def test_trees_tell_what_is_different_and_by_what():
    pool = make_pool(np.random.default_rng(3))
    moved = pool.columns["angle"] + np.where(pool.of("data"), 1.0, 0.0)
    changed = type(pool)(**vars(pool) | {"columns": pool.columns | {"angle": moved}})
    verdicts = []
    for each in (pool, changed):
        search = make_search(each)
        experiment = observe(each)
        outcome = evaluate(search, experiment)
        verdicts.append(judge(search.classifier, experiment, outcome.fit))
    assert verdicts[0].shape < 10 < 100 < verdicts[1].shape
    assert verdicts[0].tail < 10 < verdicts[1].tail
    assert np.argmax(verdicts[1].gains) == 1 and verdicts[1].gains.sum() == pytest.approx(1)


# --- no discovery, and one --------------------------------------------------------------------


def test_wrong_normalisations_alone_are_no_discovery():
    sizes = 1 + 2 * DEFAULT_SIZE, 1 - DEFAULT_SIZE
    pool = make_pool(np.random.default_rng(4), factors=sizes)
    assert p_values(pool, 24, 1)[-1] > 0.1


def test_wrong_shapes_within_their_uncertainty_are_no_discovery():
    """Data have more events at positive angles, which is what one of the uncertainties is about."""
    random = np.random.default_rng(8)
    pool = make_pool(random, factors=(1.6, 1.6))
    tilt = 0.4 * np.tanh(pool.columns["angle"])
    data = pool.of("data")
    kept = ~data | (random.random(len(data)) < (1 + 1.5 * tilt) / 1.6)
    pool = type(pool)(
        **vars(pool)
        | {k: getattr(pool, k)[kept] for k in ("kind", "sample", "process", "weight", "identity")}
        | {"inside": pool.inside[:, kept], "row": pool.row[:, kept]}
        | {"scores": {k: v[kept] for k, v in pool.scores.items()}}
        | {"columns": {k: v[kept] for k, v in pool.columns.items()}}
    )
    tilt = np.where(pool.of("background"), tilt[kept], 0.0)
    without = nuisances(pool)
    uncertain = Nuisances((*without.names, "tilt"), np.vstack([without.effects, tilt]))
    cells = 2 * make_search(pool, ["excess"]).cells + pool.inside[1]
    found = []
    for each in (without, uncertain):
        search = replace(make_search(pool, uncertain=each), cells=cells)
        outcome = evaluate(search, observe(pool))
        combined = combine(outcome.statistics, pseudo_statistics(search, 19, 1))
        found.append(combined.p_value)
    assert found[0] == pytest.approx(1 / 20) and found[1] > 0.1


def test_hidden_signal_is_found():
    pool = make_pool(np.random.default_rng(5), signal=70)
    found = dict(zip([*TESTS, "global"], p_values(pool, 24, 1), strict=True))
    assert found["global"] == pytest.approx(1 / 25)
    assert found["bump"] < 0.02 and found["excess"] < 0.2


@pytest.mark.slow
@pytest.mark.parametrize("tests", [("shape", "tail"), ("excess", "bump")])
def test_p_values_are_uniform_without_signal(tests):
    """Over data and simulations that are all independent, with normalisations that vary."""
    found = []
    for number in range(100):
        random = np.random.default_rng([6, number])
        each, together = DEFAULT_SIZE * random.normal(size=2), DEFAULT_SIZE * random.normal()
        pool = make_pool(random, factors=1 + each + together)
        # p-values of 29 pseudo-experiments are multiples of 1/30.
        found.append(p_values(pool, 29, number, tests) - np.append([0, 0], random.random() / 30))
    for column in np.array(found).T:
        assert stats.kstest(column, "uniform").pvalue > 0.01


@pytest.mark.slow
def test_global_p_value_falls_with_the_signal():
    means = []
    for signal in (0, 25, 60):
        pools = (make_pool(np.random.default_rng([7, n]), signal=signal) for n in range(12))
        means.append(np.mean([p_values(pool, 19, 1)[-1] for pool in pools]))
    assert means[0] > 0.3 > means[1] > means[2] and means[2] < 0.1


# --- the command ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """SR2L has events that nobody has scored."""

    def other(region, _, table):
        return table if region == "SR3L" else table.assign(EventNumber=table["EventNumber"] + 10**6)

    folder = tmp_path_factory.mktemp("anything") / "out"
    return write_scores(write_run(folder, regions=("SR3L", "SR2L"), edit=other))


def anything(folder, *words):
    main(["anything", str(folder), *QUICK, *words])
    return json.loads((folder / "stats" / "search" / "anything.json").read_text())


@pytest.fixture(scope="module")
def found(run):
    return anything(run, "-r", "SR3L")


def test_everything_is_told(run, capsys):
    found = anything(run, "-r", "SR3L")
    printed = capsys.readouterr().out
    assert list(found["tests"]) == list(TESTS)
    assert found["detectors"] == ["small", "met", "lt_met", "m_eff"]
    assert found["masses"] == ["m_3l"]
    assert found["trials"] == {"two_sample": 2, "excess": 13, "bump": 4}
    assert sum(found["pseudo_statistic"]["counts"]) == found["pseudo"] == 6
    assert 1 / 7 <= found["global_p"] <= 1
    assert printed.rstrip().endswith(found["answer"])
    assert max(len(line) for line in printed.split("written to")[0].splitlines()) <= 80


def test_named_scores_alone_are_looked_at(run):
    found = anything(run, "-r", "SR3L", "--detector", "met")
    assert found["detectors"] == ["met"] == list(found["events"][0]["scores"])
    table = pd.read_hdf(run / "hdf5" / "data_SR3L.hdf5")
    score = found["events"][0]["scores"]["met"]["score"]
    assert score == pytest.approx(table["e_T_miss"].max())


def test_most_anomalous_events_are_those_of_the_tables(run, found):
    scores = pd.read_hdf(run / "scores" / "small" / "data.hdf5")
    simulated = [
        pd.read_hdf(run / "scores" / "small" / f"{name}.hdf5") for name in ("WZ", "ZZ", "ttbar")
    ]
    top = scores.nlargest(3, "score")
    assert [event["EventNumber"] for event in found["events"]] == top["EventNumber"].tolist()
    norm = [found["normalisation"][p]["value"] for p in ("diboson3L", "diboson4L", "ttbar")]
    for event in found["events"]:
        value = event["scores"]["small"]
        above = total = events = 0.0
        for table, factor in zip(simulated, norm, strict=True):
            kept = ~table["trained_on"].to_numpy(bool)
            weight = table["wgt_SG"].to_numpy()
            scaled = weight[kept] * weight.sum() / weight[kept].sum() * factor
            over = table["score"].to_numpy(float)[kept] >= value["score"]
            above, total = above + scaled[over].sum(), total + scaled.sum()
            events += over.sum()
        assert value["background"] == pytest.approx(above, abs=1e-9)
        assert value["p"] == pytest.approx(max(above, 0) / total, abs=1e-12)
        assert value["events"] == events


def test_rarest_features_of_an_event_are_told(run, found):
    event = found["events"][0]
    assert event["cells_from"] == "quantiles"
    p = [cell["p"] for cell in event["cells"]]
    assert p == sorted(p) and all(0 <= each <= 1 for each in p)
    table = pd.read_hdf(run / "hdf5" / "data_SR3L.hdf5")
    row = table[table["EventNumber"] == event["EventNumber"]].iloc[0]
    for cell in event["cells"]:
        assert cell["value"] == pytest.approx(float(row[cell["name"]]))


def test_explained_cells_are_taken_where_there_are_some(run):
    write_explained(run)
    event = anything(run, "-r", "SR3L")["events"][0]
    (run / "study" / "explained.json").unlink()
    assert event["cells_from"] == "explained"
    assert [cell["name"] for cell in event["cells"]] == ["e_T_miss", "flcomp=2"]
    assert event["cells"][0]["contribution"] == 2.5


def test_pseudo_data_with_a_signal_show_it(run):
    found = anything(run, "-r", "SR3L", "--inject", "HNL450=200")
    assert found["global_p_is_limit"] and found["answer"].startswith("too few pseudo-exp")
    assert found["events"] == []


def test_calibration_lists_p_values(run, tmp_path):
    regions = json.loads((run / "run.json").read_text())["regions"]
    regions[0]["blind"] = True  # no data are needed
    folder = changed(run, tmp_path / "out", regions=regions)
    main(["anything", str(folder), *QUICK, "-r", "SR3L", "--calibrate", "4"])
    path = folder / "stats" / "search" / "anything_calibration.json"
    found = json.loads(path.read_text())
    assert set(found["p_values"]) == {*TESTS, "global"} == set(found["uniform_p"])
    assert all(len(values) == 4 for values in found["p_values"].values())
    assert 0 < found["luminosity_share"] <= 1


def test_answer_is_one_sentence():
    content = {"tests": {"shape": {"p": 0.001}, "tail": {"p": 0.2}}, "excess": [], "bump": {}}
    content |= {"global_p": 0.43, "global_z": 0.2, "global_p_is_limit": False}
    assert answer(content) == "nothing: global p = 0.43"
    content |= {"global_p": EVIDENCE / 2, "global_z": 3.2}
    assert answer(content) == "data differ from the simulation: global p = 0.00068"
    content |= {"global_p": 0.005, "global_z": 2.6}
    assert answer(content) == "a hint, data differ from the simulation: global p = 0.005"
    content |= {"global_p_is_limit": True}
    assert answer(content) == "data differ from the simulation: global p < 0.005"
    content |= {"global_p": 0.1}
    assert answer(content) == "too few pseudo-experiments to tell (--pseudo): global p < 0.1"


# --- mistakes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-r", "SR3l"), "did you mean 'SR3L'"),
        (("-r", "SR3L", "--mass", "m_3"), "did you mean 'm_3l'"),
        (("-r", "SR3L", "--detector", "smal"), "did you mean 'small'"),
        (("-r", "SR3L", "--inject", "WZ=3"), "no signal of this run is called 'WZ'"),
        (("-r", "SR3L", "--top", "0"), "from 1"),
        (("-r", "SR3L", "SR2L"), "have no score"),
    ],
)
def test_mistakes_are_one_line(run, capsys, words, said):
    assert said in fails(capsys, "anything", run, *words)


def test_blind_regions_are_left_out_or_refused(run, tmp_path, capsys):
    regions = json.loads((run / "run.json").read_text())["regions"]
    regions[1]["blind"] = True
    folder = changed(run, tmp_path / "out", regions=regions)
    assert "run_rdf.py --unblind" in fails(capsys, "anything", folder, "-r", "SR2L")
    found = anything(folder)
    assert found["regions"] == ["SR3L"]
    assert found["notes"] == ["not looked at, since blind: SR2L (--unblind)"]


def test_without_data_nothing_is_searched(run, tmp_path, capsys):
    folder = changed(run, tmp_path / "out", ("WZ", "HNL450"))
    assert "has no data" in fails(capsys, "anything", folder, "-r", "SR3L")


def test_without_scores_there_are_the_simple_cuts(run, tmp_path):
    folder = changed(run, tmp_path / "out")
    shutil.rmtree(folder / "scores")
    found = anything(folder)
    assert found["regions"] == ["SR3L", "SR2L"]
    assert found["detectors"] == ["met", "lt_met", "m_eff"]
    assert found["notes"] == ["no detector has scored the run: only the simple cuts are looked at"]


def test_objects_are_told_where_they_travel():
    row = pd.Series(dict.fromkeys(CARRIED, 0.0))
    row["e_T_miss"] = 0.1
    row["lepPt_0"], row["lepEta_0"], row["lepFlavor_0"], row["lepCharge_0"] = 50.0, -1.5, 2, -1
    row["jetPt_0"], row["jetEta_0"], row["jetBTag_0"] = 30.0, 2.0, 1
    assert objects(row.drop("lepEta_0"), 1000.0) is None
    found = objects(row, 1000.0)
    assert found == {
        "leptons": [{"flavour": "mu", "charge": -1, "pt": 50.0, "eta": -1.5}],
        "jets": [{"pt": 30.0, "eta": 2.0, "b": True}],
        "met": 100.0,
    }
    assert object_words(found) == "mu-(50), 1 jets (1 b), ETmiss 100 GeV"
