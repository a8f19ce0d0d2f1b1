"""Data against simulation: sums, errors, ratios, and what is drawn of them."""

import io
import json
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pandas as pd
import plot_inputs
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.mathtext import MathTextParser
from matplotlib.patches import StepPatch
from scipy.stats import poisson

from analysis import features
from analysis.errors import InputError
from analysis.performance import bin_significance
from analysis.processes import PROCESSES, coloured, process
from analysis.records import KINDS
from analysis.results import Histogram, Results
from analysis.shifts import Shift
from plotting import settings, stack_pictures, style, yields
from plotting.draw_stack import StackCanvas, draw_stack
from plotting.intervals import ONE_SIGMA, event_weight, poisson_interval
from plotting.legend import LINE, Entry, arrange, dash_of
from plotting.save import save
from plotting.stack import OTHER, Layer, join_bins, make_stack, signal_factor, stack_of
from plotting.style import Caption, count, number


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return Results(plot_inputs.write_run(tmp_path_factory.mktemp("run") / "out"))


def stacked(results, feature, **options):
    return make_stack(results, "SR3L", feature, results.histograms("SR3L", feature), **options)


def drawn(figure):
    with style.drawing():
        figure.savefig(io.BytesIO(), format="png")
    return figure.axes


def texts(figure):
    """Labels of the legend."""
    found = [text for axes in figure.axes for text in axes.texts if text.get_label() == "legend"]
    return [text.get_text() for text in found]


def said(figure):
    """All texts of a figure beside its axes."""
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def simple(results, expected, observed=None, weight=0.1, edges=None, signals=(), **options):
    """The Stack of a background of so many events in each bin, each of a weight, and of data."""
    expected = np.asarray(expected, float)
    edges = np.arange(len(expected) + 1.0) * 10 if edges is None else edges
    flow = np.pad(expected, 1)
    histograms = {"WZ": Histogram(edges, flow, np.abs(flow) * weight)}
    if observed is not None:
        flow = np.pad(np.asarray(observed, float), 1)
        histograms["data"] = Histogram(edges, flow, flow)
    return stack_of(results, "SR3L", histograms, label="x", unit="GeV", **options)


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
    coarse = stack.coarse
    assert 10 < len(coarse.edges) < len(stack.edges)
    good = (coarse.data > 0) & (coarse.total > 0)
    assert shown.get_ydata() == pytest.approx(coarse.ratio[good])
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
    words = " ".join(said(figure))
    assert "ATLAS" not in words and "TeV" not in words and "fb" not in words
    caption = Caption("ATLAS", "Internal", 13.0, 36.1)
    figure = draw_stack(stacked(results, "m_3l"), caption=caption)
    words = " ".join(said(figure))
    assert all(word in words for word in ("ATLAS", "Internal", "13$ TeV", "36.1 fb"))


def test_blind_region_has_no_data(tmp_path):
    results = Results(plot_inputs.write_run(tmp_path / "out", blind=("SR3L",)))
    stack = stacked(results, "m_3l")
    assert stack.blind and stack.data is None
    figure = draw_stack(stack)
    assert not any("Data" in text for text in texts(figure))
    assert any("blind" in text for text in said(figure))
    assert stack.tails == () and not any("observed" in text for text in said(figure))
    assert not any(name.startswith(("data", "ratio")) for name in stack.numbers)


def test_data_without_any_simulation_have_no_ratio(tmp_path):
    results = Results(plot_inputs.write_run(tmp_path / "out", plot_inputs.SAMPLES[-1:]))
    figure = draw_stack(stacked(results, "m_3l"))
    ratio, main = figure.axes
    assert not ratio.get_visible() and main.get_xlabel()
    assert not any("unc." in text for text in said(figure))


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


# --- data where simulation is empty, and tails ------------------------------------------------


def test_bins_join_from_the_ends_until_simulation_supports_them():
    def joined(total, weight=0.1):
        return join_bins(np.array(total), np.sqrt(np.abs(total) * weight))

    assert joined([5.0, 4, 3, 2]) == ((0, 1), (1, 2), (2, 3), (3, 4))
    # 0.7 + 0.2 < 1 <= 3 + 0.7 + 0.2
    assert joined([9.0, 3, 0.7, 0.2, 0]) == ((0, 1), (1, 5))
    # Three events of weight 2 have an error of 58 %, four of 50 %.
    assert joined([10.0, 8, 2, 2, 2, 2], 2) == ((0, 1), (1, 2), (2, 6))
    assert joined([0.0, 0.5, 2, 8]) == ((0, 3), (3, 4))
    # A full bin beside an empty one would drown what is in that.
    assert joined([900.0, 100, 0, 0]) == ((0, 1), (1, 2), (2, 4))
    assert joined([0, 0, 100.0, 900]) == ((0, 2), (2, 3), (3, 4))
    # Between supported bins an empty one is no tail.
    assert joined([4.0, 0, 7, 0, 4]) == tuple((n, n + 1) for n in range(5))
    assert joined([0.1, 0.1, 0.1]) == ((0, 3),)
    assert joined([-1.0, 3, -0.5, 2, -0.1, 0]) == ((0, 3), (3, 6))


def test_tail_is_told_in_numbers(results):
    expected = [90, 60, 40, 8, 0.9, 0.3, 0.0, 0.1]
    observed = [95, 55, 40, 9, 2, 0, 10, 1]
    stack = simple(results, expected, observed, weight=0.1, relative_errors={"all": 0.1})
    assert stack.groups[-1] == (4, 8)
    (tail,) = stack.tails
    assert (tail.place, tail.observed) == ("> 40", 13)
    assert tail.expected == pytest.approx(1.3)
    assert tail.error == pytest.approx(np.hypot(np.sqrt(0.13), 0.13))
    assert tail.significance == pytest.approx(
        bin_significance(13, 1.3, np.hypot(np.sqrt(0.13), 0.13))
    )
    # 12 events on 1.3: with a known background sqrt(2 (13 ln 10 - 11.7)) = 6.0
    assert 4.5 < tail.significance < 6.0
    line = "x > 40 GeV: 13 observed, 1.30 ± 0.38 expected, +"
    line += f"{tail.significance:.1f}" + r"$\,\sigma$"
    assert line in said(draw_stack(stack))
    # Nothing about the tail depends on the data but what is observed.
    other = simple(results, expected, np.zeros(8), relative_errors={"all": 0.1})
    assert other.groups == stack.groups and other.tails[0].expected == tail.expected
    assert other.tails[0].significance < 0


def test_excess_beside_a_full_bin_is_not_drowned(results):
    stack = simple(results, [5000, 3000, 0, 0, 0], [5000, 3000, 20, 60, 40], weight=0.5)
    (tail,) = stack.tails
    assert tail.place == "> 20" and tail.observed == 120 and not tail.supported
    # One event more than are simulated.
    assert (tail.expected, tail.error) == pytest.approx((0.5, 0.5))
    assert tail.significance > 8
    assert "at most 0.50 +- 0.50 expected" in tail.sentence("x", "GeV", "+-", " sigma")


def test_both_ends_and_whole_numbers(results):
    edges = np.arange(8) - 0.5
    stack = simple(results, [0, 0.4, 4, 50, 4, 0.3, 0.2], [1, 0, 9, 50, 9, 0, 2], edges=edges)
    stack = replace(stack, unit="")
    upper, lower = stack.tails
    assert (upper.place, upper.observed) == ("≥ 4", 11)
    assert (lower.place, lower.observed) == ("≤ 2", 10)


def test_little_or_no_simulation(results):
    (tail,) = simple(results, [0.1, 0.1, 0.1], [1, 0, 0]).tails
    assert tail.place == "> 0" and not tail.supported
    data = {"data": Histogram(np.arange(3.0), np.ones(4), np.ones(4))}
    alone = stack_of(results, "SR3L", data, label="x")
    assert not alone.unexpected.any() and alone.tails == ()


def test_shifts_of_joined_bins_are_added_before_they_are_combined(results):
    up = np.pad([3.0, 1, -0.4, 0.3], 1)
    stack = simple(results, [90, 8, 0.5, 0.5], [90, 8, 1, 0], shifts=(Shift("s", "s", up, -up),))
    assert stack.coarse.edges == pytest.approx([0, 10, 20, 40])
    assert stack.systematic[1] == pytest.approx([3, 1, 0.4, 0.3])
    assert stack.coarse.systematic[1] == pytest.approx([3, 1, 0.1])
    unknown = replace(stack, changes=())
    assert unknown.coarse.systematic[1] == pytest.approx([3, 1, 0.7])
    assert stack.coarse.data == pytest.approx([90, 8, 1])


def test_data_without_simulation_have_rings(results):
    expected, observed = [50, 20, 4, 0, 4, -0.5, 0], [50, 20, 3, 7, 4, 2, 1]
    stack = simple(results, expected, observed)
    assert list(np.flatnonzero(stack.unexpected)) == [3, 5, 6]
    figure = draw_stack(stack)
    ratio, main = figure.axes
    assert "Data without simulation  10" in texts(figure)
    rings = [
        line for line in main.lines if line.get_markersize() == 8 and len(line.get_xdata()) > 1
    ]
    assert rings[0].get_xdata() == pytest.approx([35, 55, 65])
    assert rings[0].get_ydata() == pytest.approx([7, 2, 1])
    (marks,) = [line for line in ratio.lines if line.get_markerfacecolor() == "none"]
    assert marks.get_xdata() == pytest.approx([35, 55, 65])
    assert 0.8 * ratio.get_ylim()[1] < marks.get_ydata()[0] < ratio.get_ylim()[1]
    # One wide point with a bar over the bins that are joined: 40 to 70
    wide = ratio.collections[-1].get_segments()
    assert [segment[:, 0].tolist() for segment in wide] == [[40, 70]]
    assert len(main.collections[0].get_segments()) == 7
    plain = simple(results, [50, 20, 4], [50, 20, 4], edges=np.array([0.0, 1, 10, 100]))
    quiet = draw_stack(plain)
    assert len(quiet.axes[0].collections) == 1
    assert not any("without simulation" in text for text in texts(quiet))
    assert not any(line.get_markerfacecolor() == "none" for a in quiet.axes for line in a.lines)


def test_unusual_tails_are_told_on_the_terminal(tmp_path, capsys):
    def excess(region, sample, table):
        return (
            table.assign(m_3l=np.where(table.index < 40, 990.0, 150)) if sample == "data" else table
        )

    folder = plot_inputs.write_run(tmp_path / "out", edit=excess)
    Options = settings.Options
    stack_pictures.hist(Options(str(folder), tmp_path / "p", ("csv",)), ["SR3L"], ["m_3l", "n_jet"])
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("SR3L: m_3l > ") and "40 observed" in line and " sigma" in line
    many = [(float(n), f"tail {n}") for n in range(-20, 20)]
    lines = stack_pictures.told(many)
    assert lines[:2] == ["tail -20", "tail -19"] and lines[-1] == "and 25 more tails beyond 3 sigma"


# --- numbers and small processes --------------------------------------------------------------


def test_numbers_are_what_is_drawn(results):
    stack = stacked(results, "m_3l", relative_errors={"all": 0.1})
    table = pd.read_csv(io.StringIO(stack.numbers.to_csv(index=False)))
    assert table["low"].to_numpy() == pytest.approx(stack.edges[:-1])
    assert table["diboson3L"].to_numpy() == pytest.approx(stack.layers[0].sumw)
    assert table["HNL450"].to_numpy() == pytest.approx(stack.signals[0].sumw)
    assert table["ttbar_error"].to_numpy() == pytest.approx(np.sqrt(stack.layers[2].sumw2))
    assert table["syst_up"].to_numpy() == pytest.approx(0.1 * np.abs(stack.total))
    assert table["data"].sum() == 400 and table["data_high"][0] == pytest.approx(
        poisson_interval(stack.data[0])[1]
    )
    last = table.iloc[-1]
    inside = table["low"] >= last["ratio_from"]
    assert inside.sum() > 1 and last["ratio_to"] == 1000
    assert last["ratio"] == pytest.approx(
        table["data"][inside].sum() / table["total"][inside].sum(), nan_ok=True
    )
    codes = stacked(results, "flcomp").numbers
    assert list(codes["category"])[0] == "$eee$" and "low" not in codes


def test_small_backgrounds_are_one_layer_on_request(results):
    stack = stacked(results, "m_3l")
    shares = [layer.total / stack.total.sum() for layer in stack.layers]
    assert shares[0] > 0.5 and max(shares[1:]) < 0.3
    folded = stack.folded(0.3)
    assert [layer.label for layer in folded.layers] == ["$WZ$", "Other (2)"]
    assert folded.total == pytest.approx(stack.total)
    assert folded.error == pytest.approx(stack.error)
    assert any(text.startswith("Other (2)  ") for text in texts(draw_stack(folded)))
    # One alone keeps its name.
    assert stack.folded(min(shares[1:]) * 1.01) is stack and stack.folded(0) is stack


def test_typical_weight_of_an_event():
    assert event_weight(10.0, 5.0) == 0.5  # 20 events of 0.5
    assert event_weight(0.5, 0.25) == 0.5
    assert event_weight(0.1, 0.5) == pytest.approx(np.sqrt(0.5))  # 0.55 - 0.45: not 5
    assert event_weight(0.0, 0.0) == 0


def test_yield_without_simulated_events_has_a_bound():
    sums = np.array([10.0, 4.0, 0.0, 0.0]), np.array([5.0, 1.0, 0.0, 0.0])
    row = yields.Row("ttbar", "t", "background", np.array([20, 16, 0, 0]), *sums)
    # 1.841 events (see above) of 0.25
    assert row.bound == pytest.approx([np.nan, np.nan, 0.4603, 0.4603], abs=1e-4, nan_ok=True)
    assert yields.entries_of(row, "+-")[1:] == ["4.0 +- 1.0", "< 0.46", "< 0.46"]
    flow = yields.Cutflow("SR", tuple("abcd"), (row,), False)
    assert "&lt; 0.46" in yields.as_html(flow) and "$< 0.46$" in yields.as_latex(flow)
    table = yields.numbers(flow)
    assert list(table["cut"]) == list("abcd") and list(table["events"]) == [10, 4, 0, 0]
    assert table["upper_bound"][3] == pytest.approx(0.4603, abs=1e-4)
    never = yields.Row("x", "x", "background", np.zeros(2), np.zeros(2), np.zeros(2))
    assert np.isnan(never.bound).all() and yields.entries_of(never, "+-") == ["none", "none"]
    assert "none & none" in yields.as_latex(yields.Cutflow("SR", ("a", "b"), (never,), False))


def test_counts_have_no_decimals():
    assert count(19.0) == count(19 + 3e-6) == "19"
    assert count(18.999998) == "19"
    assert count(18.5) == "18.5"


# --- axes and notes ---------------------------------------------------------------------------


def test_logarithmic_axis_shows_data_and_bulk_over_few_decades(results):
    expected = [9e3, 2e3, 100, 1, 1e-3, 1e-6, 1e-9]
    figure = draw_stack(simple(results, expected, [9e3, 2e3, 90, 1, 0, 0, 0], weight=1e-9))
    bottom, top = figure.axes[1].get_ylim()
    assert bottom < 0.9 and np.log10(top / bottom) < 7
    rare = draw_stack(simple(results, [9e4, 1, 1], [9e4, 2, 1]))
    assert rare.axes[1].get_ylim()[0] < 0.9
    alone = draw_stack(simple(results, [1e9, 1e-9], weight=1e-9))
    bottom, top = alone.axes[1].get_ylim()
    assert np.log10(top / bottom) < 7


def test_legend_is_above_everything_and_inside(results):
    layers = [Layer(f"Process {n}", "#3f90da", np.ones(5), np.ones(5), 1e4) for n in range(13)]
    lines = [Layer(f"Signal {n}", "#009977", np.ones(5), np.ones(5), 5.0, 10) for n in range(8)]
    stack = simple(results, np.ones(5), [90, 9, 1, 0, 3])
    stack = replace(stack, layers=tuple(layers), signals=tuple(lines), notes=("one " * 33, "two"))
    for log in (True, False):
        figure = draw_stack(stack, log=log)
        main = drawn(figure)[1]
        boxes = [text.get_window_extent() for text in main.texts if text.get_label() == "legend"]
        assert len(boxes) == 23 + ("Data without" in "".join(texts(figure)))
        frame = main.get_window_extent()
        assert all(frame.x0 < box.x0 and box.x1 < frame.x1 and box.y1 < frame.y1 for box in boxes)
        for n, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[n + 1 :])
        notes = [t.get_window_extent() for t in main.texts if t.get_text() in stack.notes]
        assert len(notes) == 2 and notes[0].x0 > frame.x0
        highest = main.transData.transform((0, stack.data_interval[1].max()))[1]
        assert highest < notes[1].y0 < notes[0].y0 < min(box.y0 for box in boxes)


def test_events_without_a_pair_are_told(tmp_path):
    declared = [f for f in features.FEATURES if f.name in ("m_sfos", "n_ossf")]

    def without(region, sample, table):
        pairs = np.arange(len(table)) % 4 > 0
        return table.assign(n_ossf=pairs.astype(int), m_sfos=np.where(pairs, 91.0, 0.0))

    folder = plot_inputs.write_run(tmp_path / "out", edit=without, declared=declared)
    results = Results(folder)
    note = "0 where there is no same-flavour opposite-sign pair: 114 expected, 100 observed"
    # (1500 x 0.25 + 400 x 0.2 + 600 x 0.1) / 4 = 128.75
    found = stacked(results, "m_sfos").notes
    tables = [results.table("SR3L", name) for name in ("WZ", "ZZ", "ttbar")]
    expected = sum(t["wgt_SG"][t["n_ossf"] == 0].sum() for t in tables)
    assert note.replace("114", f"{expected:.3g}") in found
    everywhere = stacked(results, "n_ossf").notes
    assert not any("pair" in line for line in everywhere)


def test_small_values_are_not_missing_ones(tmp_path, results):
    assert results.histograms("SR3L", "m_3l")["WZ"].sumw2[1] > 0
    assert not any("lepton" in line for line in stacked(results, "m_3l").notes)
    declared = [f for f in features.FEATURES if f.name in ("m_sfos", "n_ossf")]
    folder = plot_inputs.write_run(
        tmp_path / "out",
        edit=lambda region, sample, table: table.assign(n_ossf=1, m_sfos=1.0),
        declared=declared,
    )
    assert not any("pair" in line for line in stacked(Results(folder), "m_sfos").notes)


def test_legend_fits_into_its_width():
    entries = [Entry(f"A label that is long {n}", "area") for n in range(9)]
    for width in (600.0, 300.0, 60.0):
        with style.drawing():
            layout = arrange(entries, width)
        assert layout.width <= width * 1.01
        assert sum(map(len, layout.columns)) == 9


# --- colours ----------------------------------------------------------------------------------

# G. Machado, M. Oliveira, L. Fernandes, IEEE Trans. Vis. Comput. Graph. 15 (2009) 1291, severity 1
VISIONS = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(colour, vision):
    """CIELAB of an sRGB colour (D65), as an eye sees it."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(VISIONS[vision]) @ linear, 0, 1)
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750]]
    to_xyz.append([0.0193339, 0.1191920, 0.9503041])
    xyz = np.array(to_xyz) @ seen / [0.95047, 1, 1.08883]
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return 116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])


def ciede2000(first, second):
    """CIE 142-2001, from two colours in CIELAB."""
    (l1, a1, b1), (l2, a2, b2) = first, second
    mean = (np.hypot(a1, b1) + np.hypot(a2, b2)) / 2
    g = 1.5 - 0.5 * np.sqrt(mean**7 / (mean**7 + 25**7))
    c1, c2 = np.hypot(g * a1, b1), np.hypot(g * a2, b2)
    h1, h2 = np.degrees(np.arctan2(b1, g * a1)) % 360, np.degrees(np.arctan2(b2, g * a2)) % 360
    turn = (h2 - h1 + 180) % 360 - 180 if c1 * c2 else 0.0
    hue = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    h = (h1 + turn / 2) % 360 if c1 * c2 else h1 + h2
    light, c = (l1 + l2) / 2, (c1 + c2) / 2
    waves = ((-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.2, 4, -63))
    t = 1 + sum(size * np.cos(np.radians(n * h + start)) for size, n, start in waves)
    sl = 1 + 0.015 * (light - 50) ** 2 / np.sqrt(20 + (light - 50) ** 2)
    sc, sh = 1 + 0.045 * c, 1 + 0.015 * c * t
    bend = np.sin(np.radians(60 * np.exp(-(((h - 275) / 25) ** 2))))
    x, y, z = (l2 - l1) / sl, (c2 - c1) / sc, hue / sh
    return np.sqrt(x * x + y * y + z * z - 2 * np.sqrt(c**7 / (c**7 + 25**7)) * bend * y * z)


def distance(first, second):
    """The smallest CIEDE2000 of two colours over all VISIONS."""
    return min(ciede2000(lab(first, eye), lab(second, eye)) for eye in VISIONS)


def nearest(colours, others=None):
    """The smallest distance of colours among each other, or to others."""
    pairs = combinations(colours, 2) if others is None else product(colours, others)
    return min(distance(*pair) for pair in pairs)


def test_colour_distance_is_that_of_the_standard():
    """Pairs 1, 7 and 17 of G. Sharma et al., Color Res. Appl. 30 (2005) 21, table 1."""
    for first, second, expected in (
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 0, 0), (50, -1, 2), 2.3669),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ):
        assert ciede2000(first, second) == pytest.approx(expected, abs=1e-4)


def undeclared(backgrounds, signals):
    """Processes of a run that declares none of these."""
    names = [(f"background {n}", "background") for n in range(backgrounds)]
    names += [(f"signal {n}", "signal") for n in range(signals)]
    return coloured(process(*name) for name in names)


def test_declared_and_spare_colours_differ_for_all_eyes():
    declared = {kind: [p.colour for p in PROCESSES if p.kind == kind] for kind in KINDS}
    spare = [p.colour for p in undeclared(8, 0)]
    fills = [*declared["background"], *spare]
    assert nearest(declared["background"]) >= 8
    assert nearest(spare) >= 9.5 and nearest(spare, declared["background"]) >= 9.5
    assert nearest(fills, [OTHER]) >= 7 and nearest([OTHER, *fills], ["white", "black"]) >= 8
    with_declared = coloured([*(p for p in PROCESSES if p.kind == "signal"), *undeclared(0, 5)])
    for signals in (undeclared(0, 8), with_declared):
        lines = [p.colour for p in signals]
        assert len(set(lines)) == 8 and nearest(lines) >= 12.5
        assert nearest(lines, fills) >= 7.5 and nearest(lines, ["white", "black"]) >= 12


def test_each_signal_has_a_rhythm_of_its_own_and_the_legend_shows_two_periods(results):
    assert len(set(map(dash_of, range(8)))) == 8
    # Beyond eight, colour and rhythm come in other pairs.
    assert len({(n % 8, dash_of(n)) for n in range(64)}) == 64
    lines = tuple(Layer(p.label, p.colour, *np.ones((2, 5)), 5.0) for p in undeclared(0, 8))
    figure = draw_stack(replace(simple(results, np.ones(5), np.ones(5)), signals=lines))
    main = drawn(figure)[1]
    handles = [line for line in main.lines if line.get_color() in [s.colour for s in lines]]
    assert len(handles) == 8
    for handle, place in zip(handles, range(8), strict=True):
        ends = handle.get_transform().transform(handle.get_xydata())
        length = (ends[1] - ends[0])[0] * 72 / figure.dpi
        period = 0 if dash_of(place) == "-" else sum(dash_of(place)[1]) * handle.get_linewidth()
        assert length >= 2 * period
    steps = [p for p in main.patches if isinstance(p, StepPatch)]
    halos = [p for p in steps if to_hex(p.get_edgecolor()) == "#ffffff"]
    assert len(halos) == 8 and all(p.get_linewidth() > 2 * LINE / 1.5 for p in halos)


def test_colours_that_a_run_recorded_do_not_collide(tmp_path):
    samples = [("WZ", "diboson3L", "background", 20, 40.0, 1.0)]
    samples += [(f"b{n}", f"back{n}", "background", 20, 40.0, 1.0) for n in range(3)]
    samples += [(f"s{n}", f"sig{n}", "signal", 20, 40.0, 1.0) for n in range(3)]
    folder = plot_inputs.write_run(tmp_path / "out", samples)
    record = json.loads((folder / "run.json").read_text())
    for one in record["processes"]:
        one["colour"] = "#3f90da"
    (folder / "run.json").write_text(json.dumps(record))
    colours = [p.colour for p in Results(folder).processes]
    assert colours[0] == "#3f90da" and nearest(colours) >= 7.5
