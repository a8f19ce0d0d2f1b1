"""Detectors side by side: areas, tables, survival probabilities, the few curves of a plot."""

import dataclasses
import json

import numpy as np
import pandas as pd
import plot_inputs
import pytest
from plot_inputs import MODEL

from analysis.performance import LEAST, REPLICAS, judge, judge_all, make_curve
from analysis.results import Results
from analysis.rivals import RIVALS
from analysis.study_files import read_study
from plotting import comparison, score_numbers, score_pictures, scores
from plotting.draw_scores import choose_colours, draw_survival
from plotting.settings import Options


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = plot_inputs.write_run(tmp_path_factory.mktemp("run") / "out")
    plot_inputs.write_scores(made, detector="big", errors=False)
    return plot_inputs.write_scores(made)


@pytest.fixture(scope="module")
def compared(folder):
    results = Results(folder)
    return [scores.read_scores(results, name) for name in (MODEL, "big")]


def scored(sample, process, kind, score, weight=None, rivals=1):
    """A Scored of these scores, with rivals that are the negative score."""
    score = np.asarray(score, float)
    weight = np.ones(len(score)) if weight is None else np.asarray(weight, float)
    identity = np.stack([np.arange(len(score))] * 3, axis=1)
    columns = np.repeat(-score[:, None], rivals, axis=1)
    rows = np.arange(len(score))
    return scores.Scored(sample, process, kind, score, weight, columns, identity, rows)


def some_scores(*samples, name="x"):
    return scores.Scores("SR3L", name, samples, RIVALS[:1], 1.0)


def test_a_share_has_two_digits_of_its_error_or_a_bound():
    assert comparison.share_text(0.99912, 0.00031, 500) == "0.99912 +- 0.00031"
    assert comparison.share_text(0.85, 0.021, 500, "±") == "0.850 ± 0.021"
    assert comparison.share_text(1.0, 0.0, 400) == "> 0.9975"
    assert comparison.share_text(1.0, 0.0, 3781) == "> 0.99973"  # not rounded upwards
    assert comparison.share_text(0.0, 0.0, 400) == "< 0.0025"
    assert comparison.share_text(0.5, 0.0, 400) == "0.5000"
    assert comparison.share_text(0.98765, None, 400) == "0.9877"


def test_numbers_that_are_judged_together_are_as_alone():
    random = np.random.default_rng(5)
    weight = random.normal(1, 0.5, 900)
    numbers = [
        (random.normal(size=900), weight, {"a": (random.normal(2, 1, 200), np.ones(200))})
        for _ in range(2)
    ]
    together = judge_all([*numbers, (numbers[0][0][:50], weight[:50], {})], replicas=9)
    for (value, w, signals), found in zip(numbers, together, strict=False):
        alone = judge(value, w, signals, replicas=9)["a"]
        assert np.array_equal(alone.replicas, found["a"].replicas, equal_nan=True)
        assert (alone.auc, alone.auc_low) == (found["a"].auc, found["a"].auc_low)
        assert alone.points == found["a"].points
    assert together[2] == {}


def test_a_curve_without_replicas_has_no_band():
    b, s = np.arange(100.0), np.arange(100.0) + 50
    curve = make_curve(b, np.ones(100), s, np.full(100, 2.0), 1, replicas=0)
    assert np.isnan(curve.low).all() and np.isnan(curve.auc_error)
    assert curve.auc == pytest.approx(make_curve(b, np.ones(100), s, np.ones(100), 7).auc)
    assert curve.effective == pytest.approx(100)


def test_survival_is_flat_for_the_background():
    background = scored("b", "b", "background", np.arange(10_000) / 1e4, np.full(10_000, 0.5))
    data = scored("d", "data", "data", [0.99995, 2.0, 0.5])
    signal = scored("s", "s", "signal", [2.0, 2.0, 0.95, 0.0])
    made = scores.survival_of(some_scores(background, data, signal))
    assert made.edges[-1] == 1 and np.allclose(np.diff(np.log10(made.edges)), 1 / 3)
    # 10 effective events are a thousandth, and the first bin holds what is below its upper edge
    assert made.edges[1] == pytest.approx(1e-3)
    width = made.edges[1:] - np.array([0, *made.edges[1:-1]])
    assert made.background == pytest.approx(5000 * width, abs=0.51)
    assert made.background_error == pytest.approx(0.5 * np.sqrt(2 * made.background))
    assert made.background.sum() == pytest.approx(5000)
    assert made.data[0] == 2 and made.data.sum() == 3
    assert made.signals["s"][0] == 0.5 and made.signals["s"][-1] == 0.25
    place = np.searchsorted(made.edges, 0.05) - 1  # 5 % of the background have at least 0.95
    assert made.signals["s"][place] == 0.25
    numbers = score_numbers.survival_numbers([made])
    assert numbers["low"][0] == 0 and numbers["data"].sum() == 3
    assert (numbers["data_low"] <= numbers["data"]).all()
    assert scores.survival_of(some_scores(background, signal)).data is None


def test_panels_without_data_have_no_ratio():
    background = scored("b", "b", "background", np.linspace(0, 1, 500))
    signal = scored("s", "s", "signal", np.linspace(0.5, 2, 50))
    data = scored("d", "data", "data", np.linspace(0, 1.1, 500))
    for samples, axes in (((background, signal), 1), ((background, signal, data), 2)):
        made = scores.survival_of(some_scores(*samples))
        figure = draw_survival([made, made], {"s": "S"}, {"s": "#d55e00"})
        assert len(figure.axes) == 2 * axes
        labels = [text.get_text() for text in figure.legends[0].get_texts()]
        assert labels[0] == "S" and ("Data" in labels) == (axes == 2)
        figure.canvas.draw()
        lowest = min(one.get_tightbbox().y0 for one in figure.axes)
        assert figure.legends[0].get_window_extent().y1 < lowest


def test_the_best_few_are_shown(compared, folder):
    judged = comparison.judge_detectors(Results(folder), compared, replicas=5)
    assert list(judged["scores"]) == [MODEL, "big", "met", "lt_met", "m_eff"]
    value = {n: comparison.improvement_of(judged, s, "HNL450", 0.001)
             for n, s in judged["scores"].items()}  # fmt: skip
    names = [name for name, _ in comparison.ranked(judged, "HNL450")]
    assert [value[name] for name in names] == sorted(value.values(), reverse=True)
    best = max(("met", "lt_met", "m_eff"), key=value.get)
    assert comparison.best_rival(judged, "HNL450") == best
    shown = comparison.shown_curves(judged, "HNL450", "big")
    assert shown[:2] == ["big", MODEL] and best == shown[2]
    several = {f"d{n}": judged["scores"]["big"] for n in range(5)} | {
        f"r{n}": judged["scores"]["met"] for n in range(4)
    }
    judged["scores"] |= several
    shown = comparison.shown_curves(judged, "HNL450", "d4")
    kinds = [judged["scores"][name]["kind"] for name in shown]
    assert shown[0] == "d4" and kinds == ["detector"] * 3 + ["rival"] * 3 and best in shown
    lines = list(comparison.table_lines(judged))
    assert max(map(len, lines)) <= 80
    assert sum(line.startswith(f"* {best} ") for line in lines) == 1
    frame = comparison.table_frame(judged)
    assert len(frame) == sum(len(s["signals"]["HNL450"]["points"])
                             for s in judged["scores"].values())  # fmt: skip
    assert set(frame[frame["best_simple_cut"]]["score"]) == {best}
    latex = comparison.as_latex(judged)
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 1
    assert latex.count(r"\\") == 1 + len(judged["scores"])


def test_no_colour_is_twice_in_a_plot():
    known = {}
    assert list(choose_colours("abcdef", known).values()) == list(range(6))
    assert choose_colours("acghij", known) == dict(zip("acghij", (0, 2, 1, 3, 4, 5), strict=True))
    last = choose_colours("bgahcd", known)  # b and g had the same, h and d as well
    assert last["b"] == 1 and last["a"] == 0 and len(set(last.values())) == 6


def test_intervals_of_a_study_of_the_same_scores_are_taken(compared, folder):
    results = Results(folder)
    judged = comparison.judge_detectors(results, compared, replicas=3)
    study = json.loads(json.dumps(judged | {"replicas": REPLICAS}))
    study["scores"]["big"]["signals"]["HNL450"]["points"][0]["improvement_low"] = -1.0
    assert comparison.same_scores(study, judged)
    found = comparison.judge_or_look_up(results, compared, study)
    assert found["scores"]["big"]["signals"]["HNL450"]["points"][0]["improvement_low"] == -1
    study["scores"]["big"]["signals"]["HNL450"]["auc"] += 1e-6
    assert not comparison.same_scores(study, judged)
    found = comparison.judge_or_look_up(results, compared, study)
    assert found["scores"]["big"]["signals"]["HNL450"]["points"][0]["improvement_low"] > 0
    assert not comparison.same_scores(study | {"region": "SR4L"}, judged)


def test_cuts_that_nothing_distinguishes_are_told_once():
    few = scored("b", "b", "background", np.linspace(0, 1, LEAST + 10))
    sure = scored("s", "s", "signal", np.full(40, 5.0))
    results = dataclasses.make_dataclass("R", ["processes"])(
        [plot_inputs.processes.process("s", "signal")]
    )
    judged = comparison.judge_detectors(results, [some_scores(few, sure)], replicas=20)
    header, cut, note = comparison.cut_lines(judged, "s", "x")
    assert "(> 0.975)" in cut and "1 expected" not in cut
    assert note == "  fewer than 10 effective background events pass a tighter cut"
    table = "\n".join(comparison.signal_lines(judged, "s"))
    assert "same cut" in table and table.count("> 0.950") == 1 and "0 +- 0" not in table
    assert f"< {1 / 40 / np.sqrt(0.5):.2g} @50%" in table  # no event passes the cut on the rival


@pytest.mark.slow
def test_tables_of_the_study_are_written(tmp_path, capsys):
    run = plot_inputs.write_scores(plot_inputs.write_run(tmp_path / "out"), errors=False)
    options = Options(str(run), run / "plots", formats=("csv",), processes=1)
    written = {path.name for path in score_pictures.score(options)}
    assert "comparison_HNL450.csv" in written and "study.txt" not in written
    plot_inputs.write_study(run)
    assert "study.json is not of these scores" not in capsys.readouterr().out
    written = {path.name for path in score_pictures.score(options)}
    assert {"study.txt", "study.csv", "study.tex", "study_HNL450.csv"} <= written
    said = capsys.readouterr().out
    assert "study.json is not of these scores: python -m ml study" in said
    study = read_study(run)
    assert "\n".join(comparison.table_lines(study)) in said
    frame = pd.read_csv(run / "plots" / "score" / "study.csv")
    assert frame.set_index(["score", "asked"])["improvement"]["small", 0.001] == 3.0


def test_events_say_what_drives_them(tmp_path):
    run = plot_inputs.write_scores(plot_inputs.write_run(tmp_path / "out"), errors=False)
    plot_inputs.write_explained(run, number=8)
    options, said = Options(str(run), run / "plots", processes=1), []
    found = scores.read_scores(options.results, MODEL)
    pictures = list(score_pictures.event_pictures(options, found, said.append))
    assert len(pictures) == 8 and sum(line[0].isdigit() for line in said) == 6
    score = max(s.score.max() for s in found.of("data"))
    assert said[0].startswith("1. data, run 284500") and said[0].endswith(f"score {score:.4g}")
    assert said[1] == "   p < 0.002, the share of the background that is as anomalous"
    assert said[2] == "   e_T_miss           300 GeV, usually 40 (20 to –), adds 2.5"
    texts = [text.get_text() for text in pictures[0].figure.texts]
    assert {"300 GeV", "40 (20 to –)", "flcomp=2"} <= set(texts)
    numbers = pictures[0].numbers
    assert numbers["object"].iloc[-1] == "missing momentum" and (numbers["e_t"] > 0).all()


def test_the_score_plot_says_which_events_it_shows(folder):
    options, said = Options(str(folder), folder / "plots", processes=1), []
    drawn = next(score_pictures.score_pictures(options, (MODEL,), said.append))
    texts = [text.get_text() for text in drawn.figure.axes[-1].texts]
    note = "Background: the 40% that did not train, scaled to all"
    assert any(note in text for text in texts) and note in said
    everything = some_scores(scored("b", "b", "background", [1.0]))
    assert "did not train" in score_pictures.held_out_text(everything)
