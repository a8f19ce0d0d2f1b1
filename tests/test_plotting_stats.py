"""Pictures, tables and page of statistical results: numbers that are drawn, and what is missing."""

import re
from copy import deepcopy
from dataclasses import replace

import numpy as np
import plot_inputs
import pytest
import result_inputs
from matplotlib.collections import QuadMesh
from matplotlib.colors import same_color, to_rgb
from matplotlib.patches import StepPatch
from scipy.stats import poisson
from test_plotting_main import call, files, one_line  # noqa: F401

from analysis.stats_files import KINDS, read_statistics
from plotting import report, stat_pictures, stat_tables
from plotting.draw_limits import ONE, TWO
from plotting.settings import Options, open_results
from plotting.stat_pictures import bin_significance, fit_stack
from plotting.style import drawing

FEW = [(n, process, kind, 40, *rest) for n, process, kind, _, *rest in plot_inputs.SAMPLES]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with results of every kind."""
    folder = plot_inputs.write_run(tmp_path_factory.mktemp("run") / "out", FEW)
    return result_inputs.write_statistics(folder)


@pytest.fixture
def options(run, tmp_path):
    return Options(str(run), tmp_path, formats=("png",))


def pictures(options, **contents):
    """{name of the file: Figure} of contents without headers, drawn."""
    made = {p.name: p for p in stat_pictures.stat_pictures(options, "search", contents)}
    for one in made.values():
        with drawing():
            one.figure.canvas.draw()
        for axes in one.figure.axes:
            assert np.isfinite([*axes.get_xlim(), *axes.get_ylim()]).all(), one.name
        assert one.title and one.text and "\n" not in one.text
    return {name: one.figure for name, one in made.items()}


def numbers(options, **contents):
    """{name of the file: DataFrame} of contents without headers."""
    made = stat_pictures.stat_pictures(options, "search", contents)
    return {one.name: one.numbers for one in made}


# --- numbers ----------------------------------------------------------------------------------


def test_every_picture_has_its_numbers(options, run):
    contents, _ = read_statistics(run, "search")
    found = numbers(options, **contents)
    assert len(found) > 25
    for name, table in found.items():
        assert len(table) and table.columns.is_unique, name
        assert not table.isna().all(axis=None), name


def test_numbers_of_a_fit(options):
    fit = result_inputs.fit()
    fit["channels"][1]["data"] = None
    found = numbers(options, fit=fit)
    table, channel = found["fit_SR_search_postfit"], fit["channels"][-1]
    assert table.low.tolist() == channel["edges"][:-1] and table.high.tolist()[-1] == 800
    for key in ("total", "error"):
        assert table[key].tolist() == pytest.approx(channel["postfit"][key])
    assert table.diboson3L.tolist() == pytest.approx(channel["samples"]["diboson3L"]["postfit"])
    assert table.data.tolist() == channel["data"]
    assert (table.data_low <= table.data).all() and (table.data_high > table.data).all()
    together = found["fit_yields_prefit"]
    assert together.bin.tolist() == ["CR_WZ", "CR_ttbar", "VR_WZ"]
    assert together.data.tolist() == pytest.approx([66, np.nan, 198], nan_ok=True)  # blind
    assert together.data_high.isna().tolist() == [False, True, False]
    pulls = found["fit_pulls"].set_index("parameter").pull
    for parameter in fit["parameters"]:
        if parameter["kind"] == "systematic":
            assert pulls[parameter["name"]] == parameter["pull"]
    matrix = found["fit_correlations"].set_index("parameter")
    assert matrix.to_numpy() == pytest.approx(np.array(fit["correlation"]["matrix"]))


def test_numbers_of_limits(options):
    limit = result_inputs.contents()["limit"]
    found = numbers(options, limit=limit)
    table = found["limits"].set_index("signal")
    for name, one in limit["signals"].items():
        row = table.loc[name]
        assert list(row.filter(like="mu_expected")) == one["expected"]
        assert row.mu_observed == one["observed"]
        size = one["cross_section_pb"]
        assert row.pb_expected_median == pytest.approx(size * one["expected"][2])
        assert row.pb_prediction == size
        scan = found[f"limit_{name}"]
        assert scan.mu.tolist() == one["scan"]["mu"]
        assert scan.cls_expected_minus_2_sigma.tolist() == one["scan"]["cls_expected"][0]
        assert scan.cls_observed.tolist() == one["scan"]["cls_observed"]


def test_bands_differ_in_brightness():
    """For greyscale prints, and for those who cannot tell green from yellow."""
    grey = [np.dot(to_rgb(colour), (0.299, 0.587, 0.114)) for colour in (ONE, TWO, "white")]
    assert np.diff(grey).min() > 0.1 and grey[1] - grey[0] > 0.3


@pytest.mark.parametrize("asimov, face", [(False, "k"), (True, "w")])
def test_asimov_limits_have_open_points(options, asimov, face):
    limit = result_inputs.contents()["limit"]
    for one in limit["signals"].values():
        one["asimov"] = asimov
    axes = pictures(options, limit=limit)["limits"].axes[0]
    faces = [line.get_markerfacecolor() for line in axes.lines if line.get_marker() == "o"]
    assert faces and all(same_color(one, face) for one in faces)


def test_limits_stand_below_each_other_in_the_width_of_other_pictures(options):
    figure = pictures(options, limit=result_inputs.contents()["limit"])["limits"]
    first, second = figure.axes
    assert first.get_position().y0 > second.get_position().y1
    assert figure.get_figwidth() < 8


def test_significance_of_a_bin():
    # Without error that of the likelihood ratio of two Poisson distributions.
    for n, b in ((20, 10.0), (4, 10.0), (1, 0.3)):
        ratio = 2 * (poisson.logpmf(n, n) - poisson.logpmf(n, b))
        assert bin_significance(n, b, 0.0) == pytest.approx(np.sign(n - b) * np.sqrt(ratio))
    assert bin_significance(0, 8.0, 0.0) == pytest.approx(-4)
    assert bin_significance(10, 10.0, 2.0) == bin_significance(5, 0.0, 0.0) == 0
    # An error that is large beside the fluctuations is what counts.
    assert bin_significance(11000, 1e4, 1000.0) == pytest.approx(1, rel=0.1)
    assert bin_significance(9000, 1e4, 1000.0) == pytest.approx(-1, rel=0.1)
    assert abs(bin_significance(0, 8.0, 3.0)) < 4


def test_stack_of_a_fit(run):
    results, fit = open_results(str(run)), result_inputs.fit()
    channel = fit["channels"][-1]
    stack = fit_stack(results, [channel], "postfit")
    assert stack.total == pytest.approx(channel["postfit"]["total"])
    assert stack.error == pytest.approx(np.array([channel["postfit"]["error"]] * 2))
    assert stack.data == pytest.approx(channel["data"])
    assert stack.edges == pytest.approx(channel["edges"]) and stack.ticks == ()
    assert sorted(layer.label for layer in stack.layers) == ["$WZ$", r"$t\bar{t}$"]
    together = fit_stack(results, fit["channels"][:3], "prefit")
    assert together.total == pytest.approx([60, 120, 180])
    assert together.ticks == ("CR_WZ", "CR_ttbar", "VR_WZ")
    assert together.layers[0].sumw == pytest.approx([42, 84, 126])


def test_signal_is_stacked_where_the_model_has_it(run):
    results, channel = open_results(str(run)), result_inputs.fit()["channels"][-1]
    signal = [0.0, 1.0, 2.0, 4.0]
    channel["samples"]["HNL450"] = {"prefit": signal, "postfit": signal}
    apart = fit_stack(results, [channel], "prefit")
    assert [layer.label for layer in apart.signals] == ["$N$(450 GeV)"]
    assert apart.total == pytest.approx(channel["prefit"]["total"])
    total = np.add(channel["prefit"]["total"], signal)
    channel["prefit"]["total"] = list(total)
    stacked = fit_stack(results, [channel], "prefit")
    assert stacked.signals == () and stacked.layers[0].label == "$N$(450 GeV)"
    assert stacked.total == pytest.approx(total)


def test_blind_and_asimov_channels(options):
    fit = result_inputs.fit()
    fit["channels"][-1] |= {"asimov": True}
    figure = pictures(options, fit=fit)["fit_SR_search_postfit"]
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert any(text.startswith("Asimov data") for text in said)
    fit["channels"][-1] |= {"data": None}
    figure = pictures(options, fit=fit)["fit_SR_search_postfit"]
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert not any(text.startswith(("Data", "Asimov")) for text in said)
    assert "SR_search, after the fit, blind: data not drawn" in said
    fit["channels"][1] |= {"data": None}
    figure = pictures(options, fit=fit)["fit_yields_postfit"]
    said = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert "CR_ttbar: data not drawn" in said
    points = next(line for axes in figure.axes for line in axes.lines if line.get_marker() == "o")
    assert len(points.get_ydata()) == 2


def test_pulls_and_factors_are_the_numbers(options):
    fit = result_inputs.fit()
    made = pictures(options, fit=fit)
    (axes,) = made["fit_pulls"].axes
    pulled = [p for p in fit["parameters"] if p["kind"] == "systematic"]
    segments = axes.collections[0].get_segments()
    assert [s[1][0] - s[0][0] for s in segments] == pytest.approx(
        [2 * p["constraint"] for p in pulled]
    )
    assert axes.lines[1].get_xdata() == pytest.approx([p["pull"] for p in pulled])
    (axes,) = made["fit_normalisation"].axes
    assert axes.lines[1].get_xdata() == pytest.approx([1.12, 0.93])
    assert "1.12 ± 0.08" in [text.get_text() for text in axes.texts]
    axes = made["fit_correlations"].axes[0]
    matrix = np.array(fit["correlation"]["matrix"])
    assert np.asarray(axes.images[0].get_array()) == pytest.approx(matrix)
    assert f"{100 * matrix[0, 1]:.0f}" in [text.get_text() for text in axes.texts]


def test_many_parameters_and_channels(options):
    names = [f"systematic_number_{n}" for n in range(90)]
    fit = result_inputs.fit([f"VR_{n}" for n in range(12)], names)
    made = pictures(options, fit=fit)
    assert {"fit_pulls", "fit_pulls_2", "fit_pulls_3", "fit_yields_prefit"} < set(made)
    assert made["fit_correlations"].axes[0].images[0].get_array().shape == (30, 30)
    widths = [
        label.get_window_extent().width
        for label in made["fit_yields_prefit"].axes[0].get_xticklabels()
    ]
    assert sum(widths) < made["fit_yields_prefit"].bbox.width


def test_limits_are_the_numbers(options):
    limits = {"signals": {"HNL450": result_inputs.limit(0.002, 1.2)}}
    made = pictures(options, limit=limits)
    strength, size = made["limits"].axes
    for axes, factor in ((strength, 1.0), (size, 0.002)):
        ends = [c.get_paths()[0].get_extents() for c in axes.collections]
        spans = [(round(e.x0 / factor, 9), round(e.x1 / factor, 9)) for e in ends]
        assert spans == [(0.6, 2.4), (0.84, 1.68)]
        drawn = sorted(line.get_xdata()[0] / factor for line in axes.lines)
        assert drawn == pytest.approx([1.0, 1.2, 1.38])
    (axes,) = made["limit_HNL450"].axes
    scan = limits["signals"]["HNL450"]["scan"]
    assert axes.lines[0].get_ydata() == pytest.approx(scan["cls_expected"][2])
    assert axes.lines[1].get_ydata() == pytest.approx(scan["cls_observed"])
    assert axes.lines[2].get_ydata() == pytest.approx([0.05, 0.05])


def test_limits_that_are_not_known(options):
    limit = result_inputs.limit(None, 1.0) | {"observed": None, "scan": None, "asimov": True}
    limit["expected"] = [None, 0.7, 1.0, None, None]
    made = pictures(options, limit={"signals": {"unknown_1": limit}})
    assert list(made) == ["limits"] and len(made["limits"].axes) == 1
    assert pictures(options, limit={"signals": {}}) == {}


def test_significances_above_ten_are_arrows(options):
    signals = {"HNL450": result_inputs.significance(1.7), "WR": result_inputs.significance(90.6)}
    (axes,) = pictures(options, significance={"signals": signals})["significance"].axes
    points = [line.get_xdata()[0] for line in axes.lines if line.get_marker() in "o>"]
    assert points == pytest.approx([1.7, 10, 0.85, 10])
    assert [text.get_text() for text in axes.texts if "." in text.get_text()] == ["90.6", "45.3"]


def test_long_labels_have_room(options):
    name = "SR_search_of_a_very_long_name_that_somebody_gave_it"
    region = {name: result_inputs.visible()}
    short = pictures(options, visible={"regions": {"SR": result_inputs.visible()}})["visible"]
    figure = pictures(options, visible={"regions": region})["visible"]
    (label,) = figure.axes[0].get_yticklabels()
    with drawing():
        assert label.get_text() == name and label.get_window_extent().x0 >= 0
    widths = [f.axes[0].get_window_extent().width for f in (short, figure)]
    assert widths[0] == pytest.approx(widths[1])


def test_what_was_injected_is_said(options, run):
    bump = result_inputs.bump() | {"injected": {"HNL450": 60.0}}
    figure = pictures(options, bump=bump)["bump_m_3l"]
    assert "SR_search, with 60 of HNL450 injected" in [t.get_text() for t in figure.axes[0].texts]
    assert "with 60 of HNL450 injected" in " ".join(table_text(run, "bump", bump).split())
    anything = result_inputs.anything() | {"injected": {"HNL450": 60.0}}
    assert "p = 0.43, with 60 of HNL450 injected" in table_text(run, "anything", anything)


def test_excluded_plane(options, run):
    plane = result_inputs.plane()
    (figure,) = pictures(options, plane=plane).values()
    (axes,) = figure.axes
    # The observed limit is 1 on a straight line: x = 1600 - 350 (ln 1.2 + (y - 600) / 900).
    lines = [c for c in axes.collections if c.get_paths() and not c.get_facecolor().size]
    ends = np.concatenate([path.vertices for path in lines[-1].get_paths()])
    expected = 1600 - 350 * (np.log(1.2) + (ends[:, 1] - 600) / 900)
    assert ends[:, 0] == pytest.approx(expected, abs=2)
    excluded = [p for p in plane["points"] if p["observed"] < 1]
    filled = [line for line in axes.lines if line.get_markerfacecolor() == "#000000"]
    assert len(filled) == len(excluded) > 2
    for values in (plane["grid"]["observed"], *plane["grid"]["expected"]):
        values[0][0] = None  # where nothing can be interpolated
    pictures(options, plane=plane)
    plane["grid"] = None
    pictures(options, plane=plane)
    for values in (1e-3, 1e3):  # everything or nothing is excluded
        plane = result_inputs.plane()
        shape = np.shape(plane["grid"]["observed"])
        plane["grid"] |= {
            "observed": np.full(shape, values).tolist(),
            "expected": np.full((5, *shape), values).tolist(),
        }
        pictures(options, plane=plane)
    plane["grid"]["observed"] = None
    pictures(options, plane=plane)


def test_limits_against_one_mass(options):
    plane = result_inputs.plane(one_dimension=True)
    (axes,) = pictures(options, plane=plane)["plane"].axes
    assert axes.get_ylabel() == r"Upper limit on $\mu$"
    assert axes.lines[0].get_ydata() == pytest.approx([p["expected"][2] for p in plane["points"]])
    sizes = {p["signal"]: 1 / p["x"] for p in plane["points"]}
    limits = {"signals": {name: result_inputs.limit(size, 1.0) for name, size in sizes.items()}}
    (axes,) = pictures(options, plane=plane, limit=limits)["plane"].axes
    assert axes.get_ylabel() == r"Upper limit on $\sigma$ [pb]"
    assert axes.lines[-1].get_ydata() == pytest.approx(list(sizes.values()))
    plane["points"] = plane["points"][:1]
    pictures(options, plane=plane)


def test_bump_is_the_numbers(options):
    bump = result_inputs.bump()
    made = pictures(options, bump=bump)
    mass = bump["masses"]["m_3l"]
    main, below = made["bump_m_3l"].axes
    widths = np.diff(mass["edges"])
    steps = [p for p in main.get_children() if isinstance(p, StepPatch)]
    assert steps[0].get_data().values == pytest.approx(np.array(mass["background"]) / widths)
    assert main.lines[0].get_ydata() == pytest.approx(np.array(mass["data"]) / widths)
    heights = [bar.get_height() for bar in below.patches if bar.get_height() != 1]
    expected = [
        bin_significance(*each)
        for each in zip(mass["data"], mass["background"], mass["error"], strict=True)
    ]
    assert [h for h in heights if h in expected] == expected
    (axes,) = made["bump_statistic"].axes
    assert axes.lines[0].get_xdata()[0] == bump["statistic"]
    assert "global p = 0.031" in axes.get_legend().get_texts()[1].get_text()


def test_nothing_could_be_hunted(options, run):
    nothing = result_inputs.bump() | {"masses": {}, "best": None, "nuisances": {}}
    assert list(pictures(options, bump=nothing)) == ["bump_statistic", "bump_normalisation"]
    result_inputs.write_result(run, "empty", "bump", nothing)
    assert read_statistics(run, "empty")[0]["bump"]["best"] is None
    assert "global p 0.031" in table_text(run, "bump", nothing)


@pytest.mark.parametrize("change", ["no data", "no background", "no window", "one bin"])
def test_strange_spectra_can_be_drawn(options, change):
    bump = result_inputs.bump()
    mass = bump["masses"]["m_3l"]
    zeros = [0.0] * len(mass["data"])
    mass |= {
        "no data": {"data": zeros},
        "no background": {"background": zeros, "error": zeros},
        "no window": {"window": None, "window_data": None, "share": None},
        "one bin": {"edges": [0.0, 1.0]}
        | {k: mass[k][:1] for k in ("data", "background", "error")},
    }[change]
    pictures(replace(options, log=change == "no data"), bump=bump)


def test_p_values_and_calibration(options):
    content = result_inputs.anything()
    made = pictures(options, anything=content, anything_calibration=result_inputs.calibration(9))
    axes = made["anything"].axes[0]
    p = [*(test["p"] for test in content["tests"].values()), content["global_p"]]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx(-np.log10(p))
    first = made["anything_calibration"].axes[0]
    assert first.lines[1].get_ydata() == pytest.approx(
        np.sort(result_inputs.calibration(9)["p_values"]["shape"])
    )
    assert first.lines[1].get_xdata() == pytest.approx((np.arange(9) + 0.5) / 9)
    content |= {"two_sample": None, "excess": [], "bump": {}, "events": []}
    content["tests"]["tail"] |= {"p": 0.0, "z": None}
    assert "anything_classifier" not in pictures(options, anything=content)


def test_corners(options):
    content = result_inputs.abcd()
    made = pictures(options, abcd=content)
    axes = made["abcd_plane"].axes[0]
    (mesh,) = [c for c in axes.collections if isinstance(c, QuadMesh)]
    drawn = np.asarray(mesh.get_array())
    assert drawn == pytest.approx(np.array(content["plane"]["background"]).T)
    said = {text.get_text().split("\n")[0]: text for text in axes.texts}
    assert r"$\bf{A}$" in said and "data hidden" in said[r"$\bf{A}$"].get_text()
    assert said[r"$\bf{A}$"].get_position() == (0.975, 0.975)
    assert said[r"$\bf{C}$"].get_position() == (0.025, 0.975)
    content["x"]["side"] = "low"
    content["observed"] = {"data": 14, "expected": 13.7, "z": 0.1, "p0": 0.46}
    made = pictures(options, abcd=content)
    said = {t.get_text().split("\n")[0]: t for t in made["abcd_plane"].axes[0].texts}
    assert said[r"$\bf{A}$"].get_position() == (0.025, 0.975)
    axes = made["abcd_closure"].axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()][:2] == ["A", "A, simulation"]
    value, *_ = axes.lines[1].get_xdata()
    assert value == pytest.approx(14 / 13.7)


# --- tables -----------------------------------------------------------------------------------


def table_text(run, kind, content):
    tables = stat_tables.make_tables(open_results(str(run)), {kind: content})
    return "\n".join(line for table in tables for line in stat_tables.as_text(table))


def test_tables_say_the_numbers(run):
    contents, _ = read_statistics(run, "search")
    expected = {
        "fit": (
            "WZ       1.120 ± 0.080",
            "CR_WZ",
            "66.0 ± 3.0",
            "Signal strength of N(450 GeV): 1.00",
        ),
        "limit": ("N(450 GeV)", "0.84 to 1.68", "1.38", "0.0024", "asymptotic"),
        "significance": ("1.7 (0.045)", "0.85 (0.2)", "0.003"),
        "plane": ("WR800 N200", "0.0652"),
        "visible": ("SR_search", "9.5 ± 1.2", "10.1", "0.28", "0.7 (0.24)"),
        "abcd": ("11.7 +1.9 −1.7", "hidden", "B + D", "Signal in B"),
        "bump": ("top 1 % of Score of small", "150 to 190 GeV", "global p 0.031", "CR_fake has"),
        "anything": ("nothing: global p = 0.43", "μ⁻ 210", "b-jet 99", "123456789", "284500"),
        "anything_calibration": ("60 sets of pseudo-data", "0.6"),
    }
    assert set(expected) == set(KINDS)
    for kind, words in expected.items():
        text = table_text(run, kind, contents[kind])
        for word in words:
            assert word in text, (kind, word, text)


def test_what_is_not_known_has_a_sign(run):
    limit = result_inputs.limit(None, 1.0) | {"observed": None}
    limit["expected"] = [None] * 5
    assert "– to –" in table_text(run, "limit", {"signals": {"new_signal": limit}})
    fit = result_inputs.fit() | {"goodness": None, "converged": False}
    fit["channels"][-1]["data"] = None
    fit["channels"][-1]["postfit"]["sum_error"] = 4.2
    text = table_text(run, "fit", fit)
    assert "did not converge" in text and "blind" in text and "65.5 ± 4.2" in text
    significance = result_inputs.significance(1.0) | {"observed": None, "asimov_z": None}
    assert "–" in table_text(run, "significance", {"signals": {"HNL450": significance}})
    plane = result_inputs.plane(one_dimension=True)
    assert "expected limit is the prediction at 1600." in table_text(run, "plane", plane)
    bump = result_inputs.bump() | {"global_p_is_limit": True}
    assert "global p < 0.031" in table_text(run, "bump", bump)


# --- commands and page ------------------------------------------------------------------------


def test_equal_results_are_equal_files(run, call, tmp_path):  # noqa: F811
    words = ("--format", "png", "svg", "--only", "fit", "plane", "abcd", "bump")
    for place in ("one", "two"):
        status, out, err = call("stats", run, "-o", tmp_path / place, *words)
        assert (status, err) == (0, "")
    assert "Yields in the fit" in out
    names = files(tmp_path / "one")
    assert len(names) == 2 * 15 and "stats/search/fit_pulls.png" in names
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_some_kinds(run, call, tmp_path):  # noqa: F811
    words = (run, "-o", tmp_path, "--format", "png")
    assert call("limit", *words)[0] == 0
    names = ("limit_HNL150", "limit_HNL450", "limits", "plane", "significance", "visible")
    assert files(tmp_path) == [f"stats/search/{name}.png" for name in names]
    assert call("stats", *words, "--only", "abcd")[0] == 0
    assert len(files(tmp_path)) == 8
    assert call("stats", *words, "--only", "abc")[0] == 2


def test_what_is_missing_is_a_line(tmp_path, call):  # noqa: F811
    folder = plot_inputs.write_run(tmp_path / "out", FEW)
    one_line(call("limit", folder), "no statistical analysis 'search'", "python -m analysis.stats")
    result_inputs.write_result(folder, "search", "fit", result_inputs.fit())
    one_line(call("limit", folder), "no limit, significance, plane or visible")
    one_line(call("stats", folder, "--name", "serch"), "there are search")
    (folder / "run.json").write_text((folder / "run.json").read_text() + "\n")
    status, out, err = call("stats", folder)
    assert status == 1 and "is of another run" in out and "holds no" in err


@pytest.fixture
def page(monkeypatch):
    """Makes the page of a run without features and matrices, and gives its text."""
    monkeypatch.setattr(report, "features_of", lambda _: [])
    monkeypatch.setattr(report, "matrix_drawings", lambda *_: ())

    def made(folder):
        open_results.cache_clear()
        options = Options(str(folder), folder / "plots", processes=1)
        (path,) = report.make_report(options, ["SR3L"])
        return path.read_text()

    return made


def test_page_tells_statistics(tmp_path, page):
    folder = plot_inputs.write_run(tmp_path / "out", FEW)
    text = page(folder)
    assert 'id="statistics"' not in text and 'href="#statistics"' not in text
    result_inputs.write_statistics(folder)
    result_inputs.write_statistics(folder, "alone", **dict.fromkeys(set(KINDS) - {"fit"}))
    text = page(folder)
    assert 'href="#statistics"' in text
    section = text.split('<section id="statistics">')[1].split("</section>")[0]
    assert section.count("Fit of the backgrounds") == 2
    assert section.count("<figure") == 33 + 7
    assert not re.search(r'alt=""', section)
    for words in ("nothing: global p = 0.43", '<th scope="row">SR_search</th>', "0.84 to 1.68"):
        assert words in section, words
    assert section.count('<th scope="col">') > 40
    (folder / "run.json").write_text((folder / "run.json").read_text() + "\n")
    text = page(folder)
    assert text.count("is of another run") == len(KINDS) + 1


def test_free_text_of_results_is_text_on_the_page(tmp_path, page):
    markup = "<script>alert(1)</script>"
    folder = plot_inputs.write_run(tmp_path / "out", FEW)
    anything = deepcopy(result_inputs.anything()) | {"answer": markup, "notes": [markup]}
    anything["labels"]["small"] = anything["tests"]["tail"]["label"] = markup
    anything["events"][0]["cells"][0]["label"] = markup
    anything["bump"]["m_3l"] |= {"label": markup, "unit": markup[:40]}
    result_inputs.write_result(folder, "search", "anything", anything)
    text = page(folder)
    assert text.count("<script") == 1 and "&lt;script&gt;alert(1)" in text
