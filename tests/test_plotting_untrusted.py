"""What a record of a run from someone else says is text in pictures and on the page, or refused."""

import json
import re
from dataclasses import replace
from functools import partial

import mutations
import plot_inputs
import pytest
from conftest import read_json
from mutations import bear, record_with, refused


def test_plotting_bears_any_record(tmp_path):
    from analysis.results import Results

    samples = [("WZ", "diboson3L", "background", 9, 40.0, 1.0)]
    folder = plot_inputs.write_run(tmp_path / "out", samples)

    def read(content):
        mutations.write(folder / "run.json", content)
        results = Results(folder)
        _ = results.cutflow, results.cells, results.objects
        for region in results.regions:
            results.histograms(region, next(iter(results.features)))

    bear(read, mutations.mutations(read_json(folder / "run.json"), most=1))
    content = read_json(folder / "cutflow.json")
    whole = read_json(folder / "run.json")

    def read_flow(content):
        mutations.write(folder / "cutflow.json", content)
        read(whole)

    bear(read_flow, mutations.mutations(content))


def test_plotting_bears_any_study(tmp_path):
    from analysis.study_files import read_explained, read_study
    from plotting import comparison, score_pictures
    from plotting.scores import explained_events, read_scores
    from plotting.settings import Options, open_results

    samples = [s for s in plot_inputs.SAMPLES if s[3] < 601]
    folder = plot_inputs.write_scores(
        plot_inputs.write_run(tmp_path / "out", samples), errors=False
    )
    plot_inputs.write_study(plot_inputs.write_explained(folder))
    options = Options(str(folder), folder / "plots", processes=1)
    scores = read_scores(open_results(str(folder)), plot_inputs.MODEL)
    study, explained = (folder / "study" / name for name in ("study.json", "explained.json"))

    def read_one(content):
        mutations.write(study, content)
        found = read_study(folder)
        comparison.ratio_rows(found)
        for signal in found["signals"]:
            comparison.signal_rows(found, signal)
            comparison.improvements(found, signal)

    def read_other(content):
        mutations.write(explained, content)
        explained_events(scores, read_explained(folder))

    content = read_json(study)
    values = (None, "x", float("nan"), [])
    bear(read_one, mutations.mutations(content, values, most=1))
    bear(read_other, mutations.mutations(read_json(explained), values, most=1))
    score = content["scores"]["small"]["signals"]["HNL450"]["points"][1]
    for value in (-1e3, 0.0, 1e8):
        score |= {"improvement": value, "improvement_low": value, "improvement_high": value}
        mutations.write(study, content)
        for drawn in score_pictures.study_pictures(options):
            drawn.figure.canvas.draw()
    score |= {"improvement": 1e300}
    mutations.write(study, content)
    refused(lambda _: read_study(folder), None)


MARKUP = "<script>alert(1)</script><img src=x onerror=alert(1)>'\"&"


@pytest.mark.slow
def test_free_text_of_a_record_is_text_on_the_page(tmp_path, monkeypatch):
    from analysis.results import Results
    from plotting import report, score_pictures, stack_pictures
    from plotting.settings import Options, open_results

    folder = plot_inputs.write_run(tmp_path / "out", [s for s in plot_inputs.SAMPLES if s[3] < 601])
    plot_inputs.write_scores(folder, errors=True)
    record = read_json(folder / "run.json")
    text = MARKUP[:45]  # as long as a unit may be
    for place in (("samples", 0, "inputs", 0, "path"), ("regions", 0, "cuts", 0, "expression")):
        record = record_with(record, *place, value=MARKUP)
    for feature in record["features"][:30] + record["features"][-5:]:
        feature["label"], feature["unit"] = MARKUP, text
    for process in record["processes"]:
        process["label"] = MARKUP
    for kind in record["layout"]["types"]:  # in the middle of a formula
        kind["label"] = MARKUP[:25]
    record |= {"command": [MARKUP], "source": MARKUP, "git": MARKUP}
    record["versions"], record["timings_s"] = {MARKUP: MARKUP}, {MARKUP: 1.0}
    mutations.write(folder / "run.json", record)
    flow = json.dumps(read_json(folder / "cutflow.json"))
    flow = flow.replace("3 signal", MARKUP.replace('"', ""))
    (folder / "cutflow.json").write_text(flow)
    options = Options(str(folder), folder / "plots", processes=1)
    names = [f["name"] for f in record["features"][:2]]
    monkeypatch.setattr(report, "features_of", lambda _: names)
    monkeypatch.setattr(score_pictures, "TOP_EVENTS", 0)
    open_results.cache_clear()
    (page,) = report.make_report(options, ["SR3L"])
    written = page.read_text()
    assert written.count("<script") == 1 and "&lt;script&gt;alert(1)" in written
    assert not re.search(r"<[^>]*\sonerror", written)
    # The one without a picture is filled by the page's own script.
    assert {*re.findall(r'<img (?:src="data:|id="large-image")?', written)} <= {
        *('<img src="data:', '<img id="large-image"')
    }
    stack_pictures.make_cutflow(options, ["SR3L"])
    stack_pictures.hist(replace(options, formats=("svg",)), ["SR3L"], names[:1])
    made = [*folder.rglob("*.svg"), *folder.rglob("cutflow/*.html")]
    assert len(made) > 20  # those of the page as well
    for path in made:
        assert "<script" not in path.read_text() and "<img" not in path.read_text()
    mutations.write(folder / "run.json", record_with(record, "samples", 0, "name", value=text))
    assert "must be a name" in refused(Results, folder)


@pytest.mark.parametrize("label", [r"$\frac{$", r"$\nonsense$", r"$x^{$", "$" + "{" * 400 + "$"])
def test_label_that_matplotlib_cannot_draw_is_a_line(tmp_path, label):
    from plotting import stack_pictures
    from plotting.settings import Options, open_results

    samples = [("WZ", "diboson3L", "background", 9, 40.0, 1.0)]
    folder = plot_inputs.write_run(tmp_path / "out", samples)
    record = read_json(folder / "run.json")
    name = record["features"][0]["name"]
    for place in (("features", 0, "label"), ("processes", 0, "label")):
        mutations.write(folder / "run.json", record_with(record, *place, value=label))
        open_results.cache_clear()
        options = Options(str(folder), folder / "plots", processes=1)
        line = refused(partial(stack_pictures.hist, regions=["SR3L"], features=[name]), options)
        assert line.startswith("matplotlib cannot draw the label ") and "\n" not in line
    assert not (folder / "plots").exists()


def test_colour_that_is_none_is_a_line(tmp_path, monkeypatch):
    from analysis import processes
    from plotting.settings import open_results

    samples = [("WZ", "diboson3L", "background", 9, 40.0, 1.0)]
    folder = plot_inputs.write_run(tmp_path / "out", samples)
    declared = processes.Process("diboson3L", "$WZ$", "bleu", "background")
    monkeypatch.setattr(processes, "PROCESSES", (declared,))
    assert "has no colour 'bleu'" in refused(open_results, folder)


@pytest.mark.parametrize("missing", ["git", "command", "timings_s", "source"])
def test_page_of_a_record_that_lacks_what_it_shows_is_a_line(tmp_path, monkeypatch, missing):
    from plotting import report
    from plotting.settings import Options, open_results

    samples = [("WZ", "diboson3L", "background", 9, 40.0, 1.0)]
    folder = plot_inputs.write_run(tmp_path / "out", samples)
    record = read_json(folder / "run.json")
    del record[missing]
    mutations.write(folder / "run.json", record)
    open_results.cache_clear()
    monkeypatch.setattr(report, "features_of", lambda _: [])
    monkeypatch.setattr(report, "matrix_drawings", lambda *_: ())
    options = Options(str(folder), folder / "plots", processes=1)
    line = refused(partial(report.make_report, regions=["SR3L"]), options)
    assert "run.json is not complete" in line and missing in line


def test_scores_cannot_name_a_model_elsewhere(tmp_path):
    from analysis.results import Results
    from plotting.scores import origin, training_curves

    folder = plot_inputs.write_run(tmp_path / "out", plot_inputs.SAMPLES[:1])
    plot_inputs.write_scores(folder, errors=False)
    about = {"sample": "WZ", "region": "SR3L", "model": "../../elsewhere"}
    plot_inputs.store(folder / "scores/small/WZ.hdf5", "scores", {"score": [1.0]}, about)
    assert "model must be a name" in refused(origin, folder / "scores/small/WZ.hdf5")
    content = read_json(folder / "models/small/model.json") | {"best_epoch": True}
    (folder / "models/small/model.json").write_text(json.dumps(content))
    assert "best_epoch" in refused(partial(training_curves, detector="small"), Results(folder))
