"""Scores, curves and cuts, matrices, events, cutflow and graph: numbers and pictures."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import plot_inputs
import pytest
from plot_inputs import MODEL

from analysis.errors import InputError, M3LError
from analysis.output import DEFAULT_DETECTOR
from analysis.performance import make_curve
from analysis.results import Results
from analysis.study_files import read_explained, read_study
from plotting import comparison, event, graph, matrix, score_pictures, scores, yields
from plotting.draw_event import draw_event
from plotting.draw_graph import draw_graph
from plotting.draw_matrix import draw_matrix
from plotting.draw_scores import draw_curves, draw_latent, draw_ranking, draw_training
from plotting.draw_stack import draw_stack
from plotting.save import as_csv
from plotting.settings import Options
from plotting.style import MISSING


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = plot_inputs.write_run(tmp_path_factory.mktemp("run") / "out")
    return Results(plot_inputs.write_scores(folder))


def rendered(figure):
    figure.savefig(io.BytesIO(), format="png")
    return figure


def test_only_events_that_were_not_trained_on_count(results):
    found = scores.read_scores(results, MODEL)
    assert found.held_out == pytest.approx(0.4)
    for scored in found.samples:
        table = results.table("SR3L", scored.sample)
        assert scored.weight.sum() == pytest.approx(table["wgt_SG"].sum())
        share = 0.4 if scored.kind == "background" else 1.0
        assert len(scored.score) == pytest.approx(share * len(table))
        assert scored.rivals[:, 0] == pytest.approx(table["e_T_miss"].to_numpy()[scored.rows])


def test_scores_of_other_events_are_refused(tmp_path):
    folder = plot_inputs.write_scores(plot_inputs.write_run(tmp_path / "out"))
    other = plot_inputs.write_scores(
        plot_inputs.write_run(
            tmp_path / "other", edit=lambda _, __, table: table.assign(RunNumber=7)
        )
    )
    (other / "scores" / MODEL / "WZ.hdf5").replace(folder / "scores" / MODEL / "WZ.hdf5")
    with pytest.raises(InputError, match="other events than the table"):
        scores.read_scores(Results(folder), MODEL)
    (folder / "scores" / MODEL / "WZ.hdf5").unlink()
    with pytest.raises(InputError, match="lacks sample 'WZ'"):
        scores.read_scores(Results(folder), MODEL)


def test_detectors_stand_side_by_side(tmp_path):
    folder = plot_inputs.write_run(tmp_path / "out")
    assert scores.detectors(Results(folder)) == ()
    with pytest.raises(InputError, match="no scores in .*python -m ml score"):
        scores.choose_detectors(Results(folder))
    for number, name in enumerate(("twin", "big", "small")):
        plot_inputs.write_scores(folder, errors=False, detector=name, network=name == "big")
        for path in (folder / "scores" / name).iterdir():
            os.utime(path, (number, number))
    results = Results(folder)
    assert scores.detectors(results) == ("small", "big", "twin")  # the newest first
    assert scores.choose_detectors(results, ["twin", "big"]) == ("twin", "big")
    with pytest.raises(M3LError, match="did you mean 'small'"):
        scores.choose_detectors(results, ["smal"])
    plot_inputs.write_scores(folder, errors=False, detector=DEFAULT_DETECTOR, network=False)
    for path in (folder / "scores" / DEFAULT_DETECTOR).iterdir():
        os.utime(path, (0, 0))
    assert scores.detectors(results) == (DEFAULT_DETECTOR, "big", "small", "twin")

    said = []
    (folder / "scores" / "twin" / "WZ.hdf5").unlink()
    options = Options(str(folder), folder / "plots", processes=1)
    names = scores.choose_detectors(results)
    pictures = {p.name: p for p in score_pictures.score_pictures(options, names, said.append)}
    assert not any("encode" in line for line in said)  # a portfolio has no latent space
    labels = {axes.get_xlabel() for axes in pictures["score"].figure.axes}
    assert f"Anomaly score, {DEFAULT_DETECTOR}" in labels
    assert scores.shares_of(results, "big") == scores.shares_of(results, "gone") == []
    assert scores.shares_of(results, DEFAULT_DETECTOR) == [
        "40% of the background for twin + tail in no_ossf",
        "60% of the background for tail in off_z, on_z",
    ]
    with pytest.raises(InputError, match="no autoencoder 'portfolio'"):
        matrix.model_scaling(results, "SR3L", DEFAULT_DETECTOR)
    assert "training" not in pictures and "latent" not in pictures
    assert any("twin is left out" in line and "WZ" in line for line in said)
    figure = rendered(pictures["curves_HNL450"].figure)
    legend = [t.get_text().split(":")[0] for t in figure.legends[0].get_texts()]
    rivals = {rival.label for rival in scores.read_scores(results, "small").rivals}
    assert legend[0] == DEFAULT_DETECTOR and set(legend[1:3]) == {"big", "small"}
    assert set(legend[3:-1]) <= rivals and len(legend) == comparison.SHOWN + 1
    solid = [line.get_linestyle() for line in figure.axes[0].lines]
    assert solid[:3] == ["-"] * 3 and "-" not in solid[3:-1]
    panels = [axes for axes in pictures["detectors"].figure.axes if axes.texts]
    named = [axes.texts[0].get_text().splitlines()[0] for axes in panels]
    assert named[0] == DEFAULT_DETECTOR and set(named[1:]) == {"big", "small"}
    numbers = pictures["detectors"].numbers
    assert list(dict.fromkeys(numbers["detector"])) == named
    assert all(len(line) <= 80 for line in said if "python -m" not in line)
    assert {"training", "latent"} <= {
        p.name for p in score_pictures.score_pictures(options, ("big",), said.append)
    }
    figure.canvas.draw()
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    assert not any(box.overlaps(figure.legends[0].get_window_extent()) for box in boxes)
    assert figure.bbox.contains(*figure.legends[0].get_window_extent().min)
    assert figure.bbox.contains(*figure.legends[0].get_window_extent().max)


def test_explained_events_are_shown_if_they_are_of_these_scores(tmp_path):
    folder = plot_inputs.write_scores(plot_inputs.write_run(tmp_path / "out"), errors=False)
    options = Options(str(folder), folder / "plots", processes=1)
    found, said = scores.read_scores(Results(folder), MODEL), []

    def shown_events(found):
        return score_pictures.shown_events(options, found, read_explained(folder), said.append)

    first = shown_events(found)
    assert len(first) == score_pictures.TOP_EVENTS and {told for *_, told in first} == {None}
    assert "python -m ml explain" in said.pop()
    plot_inputs.write_explained(folder, number=9)
    shown = shown_events(found)
    assert said == [] and len(shown) == 9
    for (one, place, told), (same, also, _) in zip(shown, first, strict=False):
        assert (one.sample, place) == (same.sample, also)
        assert told["EventNumber"] == one.identity[place][2]
    plot_inputs.write_scores(folder, errors=False, detector="big")
    big = scores.read_scores(Results(folder), "big")
    assert shown_events(big)[0][2] is None
    assert "explained are events of small in SR3L: python -m ml explain" in said.pop()
    path = folder / "study" / "explained.json"
    content = json.loads(path.read_text())
    content["events"][0]["scores"][MODEL]["score"] += 1
    path.write_text(json.dumps(content))
    assert shown_events(found)[0][2] is None
    assert "with other scores" in said.pop()
    path.write_text(json.dumps(content | {"kind": "noise"}))
    with pytest.raises(InputError, match="explained.json: kind must be one of"):
        list(score_pictures.event_pictures(options, found, said.append))


def test_a_signal_without_positive_weights_has_no_curves(tmp_path):
    samples = [(*s[:5], -s[5]) if s[2] == "signal" else s for s in plot_inputs.SAMPLES]
    folder = plot_inputs.write_scores(plot_inputs.write_run(tmp_path / "out", samples))
    options, said = Options(str(folder), folder / "plots", processes=1), []
    names = [p.name for p in score_pictures.score_pictures(options, (MODEL,), said.append)]
    assert "HNL450 has no events in SR3L: no curves" in said
    assert "score" in names and "curves_HNL450" not in names


def test_study_is_a_picture_and_tables(tmp_path):
    folder = plot_inputs.write_run(tmp_path / "out")
    options = Options(str(folder), folder / "plots", processes=1)
    assert list(score_pictures.study_pictures(options)) == []
    study = read_study(plot_inputs.write_study(folder))
    (drawn,) = score_pictures.study_pictures(options)
    assert drawn.name == "study_HNL450"
    axes = rendered(drawn.figure).axes[0]
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == ["small", "deep", r"$E_T^{\mathrm{miss}}$", "supervised bound"]
    points = [line for line in axes.lines if line.get_marker() not in (None, "None", "")]
    values = [float(np.ravel(line.get_xdata())[0]) for line in points]
    assert values == [plot_inputs.IMPROVEMENTS[n] for n in ("small", "deep", "met", "supervised")]
    assert [line.get_markerfacecolor() == "white" for line in points] == [False, True, False, False]
    assert [text.get_text() for text in axes.texts if "at" in text.get_text()] == ["at 2 %"]
    rows = comparison.signal_rows(study, "HNL450")
    assert rows[1].cells == (
        *("0.900 ± 0.075", "0.25 (0.23 to 0.28) at 2 %", "0.50 (0.45 to 0.55) at 2 %"),
        *("12 / 2", "1.50", "no"),
    )
    assert comparison.ratio_rows(study)[0].cells == ("1.50", "1.50", "1.50", "on 2026-01-31")
    del study["scores"]["deep"]["signals"]["HNL450"]
    study["scores"]["small"]["signals"]["HNL450"]["points"].pop()
    assert len(comparison.improvements(study, "HNL450")) == 2
    assert comparison.signal_rows(study, "HNL450")[0].cells[-3:-1] == ("–", "–")
    content = json.loads((folder / "study" / "study.json").read_text())
    (folder / "study" / "study.json").write_text(json.dumps(content | {"seed": "x"}))
    with pytest.raises(InputError, match="study.json: seed must be.*python -m ml study"):
        read_study(folder)


def test_shares_of_the_score_count_what_adds_to_it(tmp_path):
    folder = plot_inputs.write_scores(plot_inputs.write_run(tmp_path / "out"))
    results = Results(folder)
    found = scores.read_scores(results, MODEL)
    path = folder / "scores" / MODEL / "WZ.hdf5"
    table = pd.read_hdf(path, "scores").rename(columns={"error_e_T_miss": "x"})
    table = table[["DatasetNumber", "RunNumber", "EventNumber", "wgt_SG", "score"]]
    table = table.assign(error_a=-1.0, error_b=1.0, error_c=3.0)
    plot_inputs.store(path, "scores", dict(table.items()), scores.origin(path))
    wz = [s for s in found.samples if s.sample == "WZ"]
    names, shares = scores.mean_errors(results, found, wz)
    assert names == ["a", "b", "c"] and shares == pytest.approx([0, 25, 75])


def test_correlations_are_weighted_ranks(results):
    names, found, events = scores.correlations(
        results, scores.read_scores(results, MODEL), "background"
    )
    assert events == 1000
    assert found[names.index("e_T_miss")] > 0.8
    x = np.array([1.0, 1, 2, 3])
    ranks = scores.weighted_ranks(x, np.array([1.0, 1, 2, 1]))
    assert ranks == pytest.approx(np.array([1, 1, 3, 4.5]) - (1 + 1 + 6 + 4.5) / 5)


def test_everything_about_scores_is_drawn(results):
    found = scores.read_scores(results, MODEL)
    b, w = found.joined(found.of("background"))
    s, v = found.joined(found.of("signal"))
    made = {
        name: make_curve(b[:, n], w, s[:, n], v, 1, replicas=20)
        for n, name in enumerate((found.detector, *(rival.label for rival in found.rivals)))
    }
    figure = rendered(draw_curves(made, title="x"))
    legend = [t.get_text() for t in figure.legends[0].get_texts()]
    assert [line.split(":")[0] for line in legend[: len(made)]] == list(made)
    assert "AUC" in legend[0]
    training = scores.training_curves(results, found.detector)
    kept = rendered(draw_training(training)).axes[0].lines[2]
    assert (kept.get_xdata(), kept.get_ydata()) == ([2], [2.2])
    vectors, weights, labels = scores.latent_plane(results, found)
    assert vectors["WZ"].shape == (1500, 2) and len(labels) == 2
    rendered(draw_latent(vectors["WZ"], weights["WZ"], [("x", "k", vectors["data"])], labels))
    names, shares = scores.mean_errors(results, found, found.of("data"))
    assert shares.sum() == pytest.approx(100) and "e_T_miss" in names
    axes = rendered(draw_ranking(["a", "b", "c"], [1.0, -3.0, np.nan])).axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["b", "a"]


def test_matrix_has_grey_cells_where_objects_are_missing(results):
    values, number = matrix.event_matrix(results, "SR3L", "WZ")
    table = results.table("SR3L", "WZ")
    assert number == table["EventNumber"].iloc[0]
    present = 1 + np.minimum(results.counts(table)[0], [4, 5, 5]).sum()
    assert np.isfinite(values).sum() == present**2
    objects, _ = results.objects
    energies = np.ones_like(values, bool)
    figure = rendered(draw_matrix(values, objects=objects, blocks=(1, 4, 5, 5), energies=energies))
    axes = figure.axes[0]
    assert axes.get_facecolor() == pytest.approx((*(int(MISSING[1:3], 16) / 255,) * 3, 1))
    assert [t.get_text() for t in axes.get_xticklabels()] == objects
    assert sorted(line.get_ydata()[0] for line in axes.lines[::2]) == [1, 5, 10]
    with pytest.raises(InputError, match="no event 3"):
        matrix.event_matrix(results, "SR3L", "WZ", 3)


def test_objects_that_the_format_does_not_carry_are_missing(tmp_path):
    folder = plot_inputs.write_run(tmp_path / "out")
    record = json.loads((folder / "run.json").read_text())
    record["features"] = [f for f in record["features"] if f["name"] != "n_muo"]
    (folder / "run.json").write_text(json.dumps(record))
    results = Results(folder)
    table = results.table("SR3L", "WZ").drop(columns="n_muo")
    assert np.isnan(matrix.cell_values(results, table)[:, 10:]).all()
    assert "muo_SG" not in next(n for n in graph.make_graph(results) if n.kind == "matrix").needs


def test_mean_in_gev_is_over_the_events_with_the_object(results):
    mean = matrix.mean_of(results, "SR3L", ["WZ"]).mean
    table = results.table("SR3L", "WZ")
    has = table["n_jet"] > 0
    expected = np.average(table["e_T_jet_0"][has], weights=table["wgt_SG"][has])
    assert mean[1, 1] == pytest.approx(expected)
    scaling = matrix.model_scaling(results, "SR3L")
    scaled = matrix.mean_of(results, "SR3L", ["WZ"], scaling).mean
    everything = np.average(table["e_T_jet_0"], weights=table["wgt_SG"])
    assert scaled[1, 1] == pytest.approx((everything - 1.0) * 0.5)
    assert scaling.source == "scaled for model 'small'"


def test_scaling_without_a_model_is_that_of_the_background(results, tmp_path):
    plain = Results(plot_inputs.write_run(tmp_path / "out"))
    scaling = matrix.model_scaling(plain, "SR3L")
    background = [s.name for s in plain.visible("SR3L", "background")]
    mean = matrix.mean_of(plain, "SR3L", background, scaling)
    seen = np.isfinite(mean.mean)
    assert mean.mean[seen] == pytest.approx(0, abs=1e-6)
    assert mean.spread[seen] == pytest.approx(1, abs=1e-6)
    with pytest.raises(InputError, match="no autoencoder 'x'"):
        matrix.model_scaling(plain, "SR3L", "x")


def test_directions_are_found_again_from_masses():
    random = np.random.default_rng(7)
    for _ in range(20):
        pt = np.sort(random.uniform(20, 200, 5))[::-1]
        y, phi = random.normal(0, 1, 5), random.uniform(-np.pi, np.pi, 5)
        met, size = 80.0, 6
        values = np.zeros((size, size))
        values[0, 0] = met
        for i in range(5):
            values[0, i + 1] = np.sqrt(2 * pt[i] * met * (1 - np.cos(phi[i])))
            step = (pt[i - 1] - pt[i]) / (pt[i - 1] + pt[i]) if i else pt[0]
            values[i + 1, i + 1] = step
            for j in range(i + 1, 5):
                dy, dphi = y[i] - y[j], phi[i] - phi[j]
                mass = np.sqrt(2 * pt[i] * pt[j] * (np.cosh(dy) - np.cos(dphi)))
                values[i + 1, j + 1] = mass
                values[j + 1, i + 1] = event.C * (np.cosh(dy / 2) - 1)
        owners = [None, *((0, n) for n in range(5))]
        seen = event.momenta(values, list("xabcde"), owners)
        assert seen.e_t == pytest.approx(pt)
        turned = [np.abs(np.exp(1j * sign * seen.phi) - np.exp(1j * phi)) for sign in (1, -1)]
        assert min(max(t) for t in turned) < 1e-3
    figure = rendered(draw_event(seen.labels, seen.types, seen.e_t, seen.phi, met))
    assert len(figure.axes[0].texts) >= 6
    rendered(draw_event((), (), (), (), 0.0))


def test_cutflow_table_and_bars(results):
    made = yields.make_cutflow(results, "SR3L")
    (total,) = made.rows_of("total")
    assert total.sumw == pytest.approx(sum(row.sumw for row in made.rows_of("background")))
    assert total.sumw2 == pytest.approx(sum(row.sumw2 for row in made.rows_of("background")))
    assert yields.with_error(802.79, 11.48) == "803 +- 11"
    assert yields.with_error(0.3172, 0.00958) == "0.3172 +- 0.0096"
    assert yields.with_error(5.0, 0.0) == "5 +- 0"
    assert yields.with_error(1302.4, 996.0) == "1302 +- 996"
    text = "\n".join(yields.as_text(made))
    assert "total background" in text and "3 signal" in text
    latex = yields.as_latex(made)
    assert latex.count(r"\\") == 7 and latex.startswith(r"\begin{tabular}{lrr}")
    assert "<sub>" not in yields.as_html(made) and "t̄" in yields.as_html(made)
    axes = rendered(draw_stack(yields.as_stack(made, results))).axes
    assert axes[0].get_xlim() == (-0.5, 1.5)
    assert yields.plain(r"$E_T^{\mathrm{miss}}$") == "E<sub>T</sub><sup>miss</sup>"
    assert yields.plain(r"$m(j_{1}, \mu_{2})$") == "m(j<sub>1</sub>, μ<sub>2</sub>)"


def row_of(weights, kind="background", name="a"):
    """A Row of which some events pass each cut: lists of their weights."""
    arrays = [np.array(each, float) for each in weights]
    sums = [np.array([f(a) for a in arrays]) for f in (len, np.sum, lambda a: np.sum(a**2))]
    return yields.Row(name, name, kind, *sums)


def test_efficiencies_are_those_of_hand():
    counted = row_of([[1] * 100, [1] * 80, [1] * 20, []], "data")
    share, error = counted.efficiency(np.zeros(4, int))
    assert share == pytest.approx([1, 0.8, 0.2, 0])
    assert error == pytest.approx([0, 0.04, 0.04, 0])  # binomial
    assert yields.efficiencies_of(counted, "+-")[:3] == ["1", "0.800 +- 0.040", "0.200 +- 0.040"]
    assert yields.efficiencies_of(counted, "+-")[3] == yields.NONE
    share, _ = counted.efficiency(np.array([0, 0, 1, 2]))
    assert share == pytest.approx([1, 0.8, 0.25, 0])
    # With weights: 3 of 5 pass, sums of squares are 5 of 9; (0.4^2 5 + 0.6^2 4) / 5^2
    weighted = row_of([[2, 1, 2], [2, 1]])
    share, error = weighted.efficiency(np.zeros(2, int))
    assert share[1] == pytest.approx(0.6) and error[1] == pytest.approx(np.sqrt(2.24) / 5)
    nothing = row_of([[], []])
    assert np.isnan(nothing.efficiency(np.zeros(2, int))).all()
    assert yields.efficiencies_of(nothing, "+-") == [yields.NONE] * 2


def test_table_of_samples_has_the_numbers_of_the_run(results):
    table = yields.numbers(yields.make_cutflow(results, "SR3L", by_sample=True))
    read = list(csv.DictReader(io.StringIO(as_csv(table).decode())))
    written = results.cutflow["SR3L"]
    assert {row["process"] for row in read} == {*written, "total background"}
    for name, rows in written.items():
        found = [row for row in read if row["process"] == name]
        for of, row in zip(found, rows, strict=True):
            assert (of["cut"], int(of["entries"])) == (row["cut"], row["entries"])
            assert float(of["events"]) == row["sumw"]
            assert float(of["error"]) == np.sqrt(row["sumw2"])
            assert float(of["efficiency"]) == pytest.approx(row["sumw"] / rows[0]["sumw"])


HARD = r"a_b % of {x} & y # $z ~ ^2 |m| < 3 > 1"


def test_latex_of_any_names(tmp_path):
    rows = (row_of([[1, 2], [2]]), row_of([[1], []], "signal"), row_of([[1], [1]], "data"))
    rows = tuple(replace(row, label=yields.latex_text(HARD)) for row in rows)
    flow = yields.Cutflow("SR", ("all", HARD), rows, False)
    tables = [yields.as_latex(flow), yields.as_latex(flow, yields.efficiencies_of)]
    for table in tables:
        lines = table.splitlines()
        assert lines[0] == r"\begin{tabular}{lrr}" and lines[-1] == r"\end{tabular}"
        assert [line for line in lines if line.endswith("rule")] == [
            *(r"\toprule", r"\midrule", r"\midrule", r"\midrule", r"\bottomrule")
        ]
        for line in lines:
            if line.endswith(r" \\"):
                assert len(re.findall(r"(?<!\\)&", line)) == 2
                assert len(re.findall(r"(?<!\\)\$", line)) % 2 == 0
                assert not re.search(r"(?<!\\)[#%_]|(?<!\\)[~^]", line)
    if program := shutil.which("pdflatex"):
        text = "\n".join(tables)
        head = r"\documentclass{article}\usepackage{booktabs}\begin{document}"
        (tmp_path / "t.tex").write_text(f"{head}\n{text}\n" + r"\end{document}")
        words = [program, "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
        subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)


def test_names_of_samples_have_no_indices_on_the_page():
    assert yields.plain(yields.latex_text("HNL_150")) == "HNL_150"
    assert yields.plain("$m_T$") == "m<sub>T</sub>"


def test_graph_has_what_is_needed_in_order(results):
    nodes = graph.make_graph(results)
    place = {node.name: number for number, node in enumerate(nodes)}
    level = {node.name: node.level for node in nodes}
    for node in nodes:
        for need in node.needs:
            assert place[need] < place[node.name] and level[need] < level[node.name]
    by_name = {node.name: node for node in nodes}
    assert set(by_name["ele_SG"].needs) == {"ele_BL", "lepIsoLoose_VarRad", "lepTight", "lepD0Sig"}
    assert by_name["feature flcomp"].needs == ("lepFlavor", "leptons")
    assert "ele_SG" in by_name["matrix"].needs and "pho_SG" not in by_name
    assert by_name["met_Phi"].kind == "column"
    figure = rendered(draw_graph(nodes, graph.places(nodes)))
    said = [t.get_text() for t in figure.axes[0].texts]
    assert "T3N5 matrix, 15 x 15" in said and "SR3L: 3 signal" in said


def test_a_feature_in_a_cut_is_no_column_of_the_ntuple(tmp_path):
    folder = plot_inputs.write_run(tmp_path / "out")
    record = json.loads((folder / "run.json").read_text())
    record["regions"][0]["cuts"].append({"name": "off", "expression": "m_3l > 100"})
    (folder / "run.json").write_text(json.dumps(record))
    by_name = {node.name: node for node in graph.make_graph(Results(folder))}
    assert by_name["m_3l"].kind == "feature" and "feature m_3l" not in by_name
    assert by_name["m_3l"].needs == ("three",) and by_name["cut SR3L off"].needs == ("m_3l",)
    assert by_name["cut SR3L off"].level > by_name["m_3l"].level > 0


def test_graph_of_declarations_that_need_themselves(tmp_path):
    folder = plot_inputs.write_run(tmp_path / "out")
    record = json.loads((folder / "run.json").read_text())
    (variable,) = [v for v in record["variables"] if v["name"] == "leptons"]
    variable["expression"] = "leptons + 1"
    (folder / "run.json").write_text(json.dumps(record))
    graph.make_graph(Results(folder))
