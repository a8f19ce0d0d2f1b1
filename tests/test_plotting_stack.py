"""Data against simulation: sums, errors, ratios, and what is drawn of them."""

import io
import json

import numpy as np
import plot_inputs
import pytest
from matplotlib.colors import to_hex
from matplotlib.mathtext import MathTextParser
from matplotlib.patches import StepPatch
from scipy.stats import poisson

from analysis.errors import InputError
from analysis.results import Histogram, Results
from plotting import style
from plotting.draw_stack import StackCanvas, draw_stack
from plotting.intervals import ONE_SIGMA, poisson_interval
from plotting.save import save
from plotting.stack import make_stack, signal_factor, stack_of
from plotting.style import Caption, number


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return Results(plot_inputs.write_run(tmp_path_factory.mktemp("run") / "out"))


def stacked(results, feature, **options):
    return make_stack(results, "SR3L", feature, results.histograms("SR3L", feature), **options)


def drawn(figure):
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return figure.axes


def texts(figure):
    (legend,) = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    return [text.get_text() for text in legend.get_texts()]


def test_poisson_intervals_are_those_of_garwood():
    low, high = poisson_interval(np.array([0, 1, 5, 100]))
    tail = (1 - ONE_SIGMA) / 2
    assert low[0] == 0
    assert poisson.cdf([0, 1, 5, 100], high) == pytest.approx(tail)
    assert poisson.sf([0, 4, 99], low[1:]) == pytest.approx(tail)
    # Particle Data Group, table "Poisson": 0 and 1 events.
    assert high[:2] == pytest.approx([1.841, 3.300], abs=5e-4)


def test_stack_is_what_the_tables_hold(results):
    stack = stacked(results, "m_3l")
    edges = results.features["m_3l"].edges
    tables = {s.name: results.table("SR3L", s.name) for s in results.samples}
    background = [tables[name] for name in ("WZ", "ZZ", "ttbar")]
    inside = [np.clip(t["m_3l"].astype(float), edges[0], edges[-1] - 1e-6) for t in background]
    pairs = list(zip(inside, (t["wgt_SG"] for t in background), strict=True))
    total = sum(np.histogram(x, edges, weights=w)[0] for x, w in pairs)
    squares = sum(np.histogram(x, edges, weights=w**2)[0] for x, w in pairs)
    data = np.histogram(np.clip(tables["data"]["m_3l"], edges[0], edges[-1] - 1e-6), edges)[0]
    assert stack.total == pytest.approx(total)
    assert stack.error == pytest.approx(np.sqrt([squares, squares]))
    assert stack.data == pytest.approx(data)
    filled = total > 0
    assert stack.ratio[filled] == pytest.approx(data[filled] / total[filled])
    assert np.isnan(stack.ratio[~filled]).all()
    relative = np.sqrt(squares[filled]) / total[filled]
    assert stack.ratio_band[:, filled] == pytest.approx(np.stack([1 - relative, 1 + relative]))
    assert [layer.label for layer in stack.layers] == ["$WZ$", "$ZZ$", r"$t\bar{t}$"]


def test_systematic_errors_add_in_quadrature(results):
    plain = stacked(results, "n_jet")
    stack = stacked(results, "n_jet", relative_errors={"diboson3L": 0.1, "all": 0.02})
    expected = np.sqrt(
        plain.error**2 + (0.1 * plain.layers[0].sumw) ** 2 + (0.02 * plain.total) ** 2
    )
    assert stack.error == pytest.approx(expected)
    assert "Stat. + syst. unc." in texts(draw_stack(stack))


def test_signal_factor():
    assert signal_factor(1, 1000) == 200
    assert signal_factor(1, 4.9) == 1
    assert signal_factor(1, 10) == 2
    assert signal_factor(0, 10) == 1
    assert signal_factor(1e-3, 5) == 1000


def test_drawn_heights_are_the_numbers(results):
    stack = stacked(results, "m_3l")
    figure = draw_stack(stack, log=False)
    main, ratio = (next(a for a in figure.axes if a.get_ylabel().startswith(y)) for y in "ED")
    steps = [p for p in main.get_children() if isinstance(p, StepPatch)]
    heights = [p.get_data().values for p in steps]
    assert heights[0] == pytest.approx(stack.layers[-1].sumw)
    assert heights[2] == pytest.approx(stack.total)
    assert steps[2].get_data().edges == pytest.approx(stack.edges)
    assert to_hex(steps[2].get_facecolor()) == "#3f90da"
    band = next(p for p in steps if p.get_hatch())
    assert band.get_data().values == pytest.approx(stack.total + stack.error[1])
    assert band.get_data().baseline == pytest.approx(stack.total - stack.error[0])
    signal = steps[-1].get_data().values
    assert signal == pytest.approx(stack.signals[0].sumw * stack.signals[0].factor)
    points = next(line for line in main.lines if line.get_marker() == "o")
    filled = stack.data > 0
    assert points.get_ydata() == pytest.approx(stack.data[filled])
    bars = main.collections[0].get_segments()
    assert np.array([bar[:, 1] for bar in bars]).T == pytest.approx(stack.data_interval[:, filled])
    shown = next(line for line in ratio.lines if line.get_marker() == "o")
    good = filled & (stack.total > 0)
    assert shown.get_ydata() == pytest.approx(stack.ratio[good])
    assert main.get_ylim()[1] > 1.2 * max(stack.total.max(), stack.data_interval[1][filled].max())


def test_legend_has_yields_and_factor(results):
    stack = stacked(results, "m_3l")
    signal = stack.signals[0]
    assert texts(draw_stack(stack)) == [
        f"Data  {stack.data.sum():.0f}",
        *(f"{layer.label}  {number(layer.total)}" for layer in stack.layers),
        f"{signal.label}  {number(signal.total)} (×{signal.factor:g})",
        "Stat. unc.",
    ]


def test_flavours_are_ticks_and_other_codes_have_a_bin(results):
    axes = drawn(draw_stack(stacked(results, "flcomp")))[0]
    assert [t.get_text() for t in axes.get_xticklabels()][0] == "$eee$"
    edges = results.features["flcomp"].edges
    histograms = {"WZ": Histogram.of(np.array([-1.0, -1, 2]), np.ones(3), edges)}
    stack = stack_of(results, "SR3L", histograms, label="", ticks=tuple("abcdef"))
    assert stack.ticks[0] == "other"
    assert stack.total == pytest.approx([2, 0, 0, 1, 0, 0, 0])


def test_nothing_is_claimed_by_default(results):
    figure = draw_stack(stacked(results, "m_3l"))
    said = " ".join(t.get_text() for axes in figure.axes for t in axes.texts)
    assert "ATLAS" not in said and "TeV" not in said and "fb" not in said
    caption = Caption("ATLAS", "Internal", 13.0, 36.1)
    figure = draw_stack(stacked(results, "m_3l"), caption=caption)
    said = " ".join(t.get_text() for axes in figure.axes for t in axes.texts)
    assert all(word in said for word in ("ATLAS", "Internal", "13$ TeV", "36.1 fb"))


def test_blind_region_has_no_data(tmp_path):
    results = Results(plot_inputs.write_run(tmp_path / "out", blind=("SR3L",)))
    stack = stacked(results, "m_3l")
    assert stack.blind and stack.data is None
    figure = draw_stack(stack)
    assert not any("Data" in text for text in texts(figure))
    assert any("blind" in t.get_text() for axes in figure.axes for t in axes.texts)


def test_data_of_a_blind_region_is_never_read_even_if_it_is_there(tmp_path):
    folder = plot_inputs.write_run(tmp_path / "out")
    record = json.loads((folder / "run.json").read_text())
    record["regions"][0]["blind"] = True
    (folder / "run.json").write_text(json.dumps(record))
    results = Results(folder)
    assert "data" not in results.histograms("SR3L", "m_3l")
    assert "data" not in results.cutflow["SR3L"]
    assert stacked(results, "m_3l").data is None


@pytest.mark.parametrize("log", [True, False])
@pytest.mark.parametrize(
    "values, weights",
    [
        ([], []),
        ([50.0], [1.0]),
        ([50.0, 150.0], [0.0, 0.0]),
        ([50.0, 150.0, 150.0], [2.0, -1.0, 0.5]),
        ([50.0, 150.0], [-1.0, -2.0]),
        ([np.nan, 1e9, -1e9], [1.0, 1.0, 1.0]),
    ],
)
def test_strange_bins_can_be_drawn(results, values, weights, log):
    edges = np.linspace(0, 500, 11)
    simulated = Histogram.of(np.array(values), np.array(weights), edges)
    data = Histogram.of(np.array([55.0, 450.0]), np.ones(2), edges)
    stack = stack_of(results, "SR3L", {"WZ": simulated, "data": data}, label="x")
    for axes in drawn(draw_stack(stack, log=log)):
        assert np.isfinite([*axes.get_xlim(), *axes.get_ylim()]).all()


def test_equal_pictures_are_equal_files_whatever_was_drawn_before(results, tmp_path):
    canvas = StackCanvas()
    for feature in ("flcomp", "m_3l", "e_T_miss"):
        figure = draw_stack(stacked(results, feature), canvas=canvas)
        save(figure, tmp_path / "used" / feature, ("png", "pdf", "svg"))
    for feature in ("e_T_miss", "flcomp"):
        figure = draw_stack(stacked(results, feature))
        for path in save(figure, tmp_path / "new" / feature, ("png", "pdf", "svg")):
            assert path.read_bytes() == (tmp_path / "used" / path.name).read_bytes(), path.name


def test_what_is_missing_is_named(tmp_path):
    folder = plot_inputs.write_run(tmp_path / "out")
    results = Results(folder)
    with pytest.raises(InputError, match="lacks SR3L/h_m_3l_nothing"):
        results.histogram("SR3L", "m_3l", "nothing")
    (folder / "histograms.root").write_bytes((folder / "histograms.root").read_bytes()[:3000])
    with pytest.raises(InputError, match="histograms.root"):
        Results(folder).histograms("SR3L", "m_3l")


def test_what_others_draw_is_parsed_as_ever(results):
    """Labels are parsed once for all our pictures, but matplotlib is its own outside of them."""
    before = {name: MathTextParser.__dict__.get(name) for name in ("_parse_cached", "__eq__")}
    known = []
    for _ in range(2):
        figure = draw_stack(stacked(results, "m_3l"))
        with style.drawing():
            figure.canvas.draw()
        known.append(style.parse_label.cache_info().misses)
    assert known[0] == known[1] > 0
    assert {name: MathTextParser.__dict__.get(name) for name in before} == before
