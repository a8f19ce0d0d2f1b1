"""Draw what is excluded, and what could be found."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter

from analysis.stats_files import LIMIT
from plotting.draw_scores import COLOURS
from plotting.style import (
    FONT,
    INK,
    NO_CAPTION,
    QUIET,
    add_caption,
    legend_above,
    make_room,
    styled,
)

# Green and yellow as ever, in the hues of Okabe and Ito, which differ in brightness as well.
ONE, TWO = "#39b185", "#f3e27a"
THEORY = COLOURS[1]
BELOW = 0.66  # inches below a panel, for the numbers and the label of its axis
HIGHEST = 10  # significance that is drawn at its place
EXPECTED = {"color": INK, "linestyle": "--", "linewidth": 1.3}
OBSERVED = {"color": INK, "linewidth": 1.5}
ASIMOV = {"color": QUIET, "markerfacecolor": "white"}  # no real data
SEEN = "Observed"


def observed_style(seen):
    """How observed limits are drawn; seen: what the data are called."""
    return OBSERVED if seen == SEEN else OBSERVED | ASIMOV


@styled
def draw_scan(mu, expected, observed, limits, *, seen=SEEN, title="", caption=NO_CAPTION):
    """Draw CLs against the signal strength, with what is expected without signal.

    mu: (values,); expected: (5, values) CLs at -2 to 2 standard deviations; observed: (values,) or
    None; limits: expected and observed limit on mu, None where there is none
    seen: what the data are called. Returns the Figure.
    """
    figure = Figure()
    axes = figure.add_axes((0.125, 0.115, 0.84, 0.825))
    lowest, low, median, high, highest = expected
    axes.fill_between(mu, lowest, highest, color=TWO, linewidth=0)
    axes.fill_between(mu, low, high, color=ONE, linewidth=0)
    axes.plot(mu, median, **EXPECTED)
    if observed is not None:
        axes.plot(mu, observed, **observed_style(seen))
    axes.axhline(LIMIT, color=THEORY, linewidth=1.0)
    axes.text(
        0.985,
        LIMIT + 0.01,
        "95 % CL",
        color=THEORY,
        ha="right",
        transform=axes.get_yaxis_transform(),
    )
    for limit, style in zip(limits, (EXPECTED, observed_style(seen)), strict=True):
        if limit is not None and limit <= mu[-1]:
            axes.plot([limit, limit], [0, LIMIT], **{**style, "linewidth": 0.9})
    # Where something happens
    below = np.flatnonzero(np.nan_to_num(highest) > LIMIT / 10)
    end = below[-1] + 1 if len(below) else len(mu) - 1
    axes.set_xlim(mu[0], mu[min(end, len(mu) - 1)])
    axes.set_ylim(0, 1.05)
    axes.set_xlabel(r"Signal strength $\mu$", fontsize=FONT + 2)
    axes.set_ylabel(r"$\mathrm{CL_s}$", fontsize=FONT + 2)
    handles, labels = _band_legend(observed is not None, seen)
    axes.legend(handles, labels, loc="upper right", fontsize=FONT)
    add_caption(axes, caption, title)
    return figure


@styled
def draw_limits(labels, panels, *, seen=SEEN, title="", caption=NO_CAPTION):
    """Draw upper limits of several signals or regions below each other, one row each.

    labels: (rows,) LaTeX; panels: list of (label of the axis, rows, marks, name of the marks):
        rows: (rows,) pairs of the five expected limits, None where there is none, and the observed
        one or None; marks: (rows,) reference values or None
    seen: what the data are called. Returns the Figure.
    """
    number = len(labels)
    inside = 0.42 * max(number, 2)  # inches of a panel
    height = 0.72 + len(panels) * (inside + BELOW)
    figure = Figure(figsize=(6.4, height))
    everything = [Line2D([], [])]
    for place, (axis, rows, marks, mark_name) in enumerate(panels):
        low = BELOW + (len(panels) - 1 - place) * (inside + BELOW)
        axes = figure.add_axes((0.25, low / height, 0.715, inside / height))
        ends = _limit_rows(axes, rows, marks, seen)
        axes.set_xscale("log")
        low, high = min(ends, default=0.5), max(ends, default=2.0)
        axes.set_xlim(low / 1.6, high * 1.6)
        _tick_powers(axes.xaxis, low, high)
        axes.set_xlabel(axis, fontsize=FONT + 1)
        axes.set_ylim(max(number, 1) - 0.4, -0.6)
        axes.set_yticks(np.arange(number), labels, fontsize=FONT)
        axes.tick_params(axis="y", which="both", left=False, right=False)
        if place == 0:
            first = axes
        if any(mark is not None for mark in marks):
            everything.append((Line2D([], [], color=THEORY, linewidth=2), mark_name))
    observed = any(row[1] is not None for _, rows, *_ in panels for row in rows)
    handles, names = _band_legend(observed, seen, marker=True)
    for handle, name in everything[1:]:
        if name not in names:
            handles, names = [*handles, handle], [*names, name]
    figure.legend(
        handles,
        names,
        loc="upper right",
        ncols=len(handles),
        fontsize=FONT - 1,
        columnspacing=1.1,
        handlelength=1.5,
        bbox_to_anchor=(0.98, 1.0),
        borderaxespad=0.25,
    )
    make_room(figure, first)
    add_caption(first, caption, title)
    return figure


def _tick_powers(axis, low, high):
    """Number the ticks of a logarithmic axis: 1, 2, 5 where few powers of ten are shown."""
    decades = np.log10(high / low)
    subs = (1, 2, 5) if decades < 1.3 else (1, 3) if decades < 2.5 else (1,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=8))
    axis.set_minor_formatter(NullFormatter())
    if 1e-3 <= low and high <= 1e4:
        axis.set_major_formatter("{x:g}")
    else:
        axis.set_major_formatter(LogFormatterSciNotation(minor_thresholds=(np.inf, np.inf)))
    axis.set_tick_params(labelsize=FONT - 1)


def _limit_rows(axes, rows, marks, seen):
    """Draw the rows of a panel of `draw_limits`; returns all their numbers."""
    ends = []
    for place, ((expected, observed), mark) in enumerate(zip(rows, marks, strict=True)):
        lowest, low, median, high, highest = expected
        for first, last, colour in ((lowest, highest, TWO), (low, high, ONE)):
            if first is not None and last is not None:
                axes.fill_betweenx(
                    [place - 0.3, place + 0.3], first, last, color=colour, linewidth=0
                )
        if median is not None:
            axes.plot([median] * 2, [place - 0.3, place + 0.3], **EXPECTED)
        if observed is not None:
            axes.plot(observed, place, "o", markersize=5, zorder=4, **observed_style(seen))
        if mark is not None:
            axes.plot([mark] * 2, [place - 0.42, place + 0.42], color=THEORY, linewidth=2, zorder=3)
        ends += [x for x in (*expected, observed, mark) if x is not None]
    return ends


def _band_legend(observed, seen, marker=False):
    """Handles and names of observed limit, expected limit and its bands."""
    style = observed_style(seen)
    if marker:
        style = style | {"marker": "o", "linestyle": ""}
    entries = [(Line2D([], [], **style), seen)] if observed else []
    entries += [
        (Line2D([], [], **EXPECTED), "Expected"),
        (Patch(color=ONE, linewidth=0), r"$\pm 1\,\sigma$"),
        (Patch(color=TWO, linewidth=0), r"$\pm 2\,\sigma$"),
    ]
    return [list(column) for column in zip(*entries, strict=True)]


@styled
def draw_significance(labels, expected, observed, *, seen=SEEN, title="", caption=NO_CAPTION):
    """Draw discovery significances of signals, one row each, from the top; arrows above HIGHEST.

    labels: (signals,) LaTeX; expected, observed: (signals,) standard deviations, None where unknown
    seen: what the data are called. Returns the Figure.
    """
    number = len(labels)
    height = 1.35 + 0.36 * max(number, 2)
    figure = Figure(figsize=(6.4, height))
    axes = figure.add_axes((0.25, 0.66 / height, 0.715, 1 - 1.3 / height))
    y = np.arange(number)
    known = [v for v in (*expected, *observed) if v is not None]
    has_data = any(v is not None for v in observed)
    high = min(max([3.4, *known]), HIGHEST)
    for values, style, shift in (
        (expected, {"color": COLOURS[0], "markerfacecolor": "white", "label": "Expected"}, -0.12),
        (observed, {**observed_style(seen), "label": seen}, 0.12),
    )[: 1 + has_data]:
        shown = [(v, place + shift) for v, place in zip(values, y, strict=True) if v is not None]
        inside = [pair for pair in shown if pair[0] <= HIGHEST]
        style |= {"linestyle": "", "markersize": 6, "clip_on": False, "zorder": 3}
        axes.plot(*(zip(*inside, strict=True) if inside else ([], [])), marker="o", **style)
        for value, place in [pair for pair in shown if pair[0] > HIGHEST]:
            axes.plot(HIGHEST, place, marker=">", **{**style, "label": None})
            axes.annotate(
                f"{value:.3g}",
                (HIGHEST, place),
                (-8, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize=FONT - 1,
            )
    for line in (3, 5):
        if line < 1.08 * high:
            axes.axvline(line, color=QUIET, linewidth=0.9, linestyle=":")
    axes.axvline(0, color=QUIET, linewidth=0.8)
    axes.set_xlim(max(min([0.0, *known]), -HIGHEST) - 0.3, 1.08 * high)
    axes.set_ylim(max(number, 1) - 0.4, -0.6)
    axes.set_yticks(y, labels, fontsize=FONT)
    axes.tick_params(axis="y", which="both", left=False, right=False)
    axes.set_xlabel(r"Significance [$\sigma$]", fontsize=FONT + 1)
    legend_above(figure, axes, 0.97)
    make_room(figure, axes)
    add_caption(axes, caption, title)
    return figure


@styled
def draw_plane(points, grid, axis_labels, *, seen=SEEN, title="", caption=NO_CAPTION):
    """Draw which part of a plane of masses is excluded at 95 %.

    points: list of (x, y, whether it is excluded) of the simulated signals
    grid: (x values, y values, observed (y, x) or None, expected (5, y, x)) upper limits of the
        signal strength, NaN where there is none; None: points alone
    seen: what the data are called. Returns the Figure.
    """
    figure = Figure()
    axes = figure.add_axes((0.135, 0.12, 0.83, 0.82))
    handles = []
    if grid is not None:
        x, y, observed, expected = grid
        with np.errstate(invalid="ignore", divide="ignore"):
            log = np.log(np.asarray(expected, float))
        middle = log[2] if observed is None else np.log(np.asarray(observed, float))
        filled = {"colors": [COLOURS[5]], "alpha": 0.35}
        if _crosses(middle, below=True):
            axes.contourf(x, y, middle, levels=[-np.inf, 0.0], **filled)
            name = "Excluded" if observed is not None else "Expected to be excluded"
            handles.append((Patch(color=COLOURS[5], alpha=0.35, linewidth=0), name))
        for values, style in ((log[1], (":", 1.1)), (log[3], (":", 1.1)), (log[2], ("--", 1.6))):
            _contour(axes, x, y, values, COLOURS[0], *style)
        handles += [
            (Line2D([], [], color=COLOURS[0], linestyle="--", linewidth=1.6), "Expected limit"),
            (Line2D([], [], color=COLOURS[0], linestyle=":"), r"Expected $\pm 1\,\sigma$"),
        ]
        if observed is not None:
            _contour(axes, x, y, middle, COLOURS[1], "-", 1.8)
            handles.append((Line2D([], [], color=COLOURS[1], linewidth=1.8), f"{seen} limit"))
    for px, py, excluded in points:
        face = INK if excluded else "white"
        axes.plot(
            px, py, "o", color=INK, markerfacecolor=face, markersize=5, zorder=4, clip_on=False
        )
    for face, name in ((INK, "Signal, excluded"), ("white", "Signal, not excluded")):
        if any((face == INK) == bool(excluded) for *_, excluded in points):
            style = {"marker": "o", "linestyle": "", "color": INK, "markerfacecolor": face}
            handles.append((Line2D([], [], **style), name))
    xs, ys = ([point[axis] for point in points] for axis in (0, 1))
    if grid is not None:
        xs, ys = [*xs, x[0], x[-1]], [*ys, y[0], y[-1]]
    axes.set_xlim(*_roomy(xs))
    low, high = _roomy(ys)
    rows = -(-len(handles) // 2)
    axes.set_ylim(low, high + (high - low) * (0.075 * rows + 0.03))
    axes.set_xlabel(axis_labels[0], fontsize=FONT + 2)
    axes.set_ylabel(axis_labels[1], fontsize=FONT + 2)
    axes.legend(*zip(*handles, strict=True), loc="upper left", ncols=2, fontsize=FONT - 1)
    add_caption(axes, caption, title)
    return figure


def _crosses(log, below=False):
    """Whether limits, as logarithms, are somewhere below 1, or cross it."""
    known = log[np.isfinite(log)]
    return bool((known < 0).any()) and (below or bool((known >= 0).any()))


def _contour(axes, x, y, log, colour, dash, width):
    """Draw where a limit, as logarithm, is 1."""
    if _crosses(log):
        axes.contour(x, y, log, levels=[0.0], colors=[colour], linestyles=[dash], linewidths=width)


def _roomy(values):
    """Limits of an axis that has room around some values."""
    low, high = min(values), max(values)
    room = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - room, high + room


@styled
def draw_mass_limits(x, rows, theory, axis_labels, *, seen=SEEN, title="", caption=NO_CAPTION):
    """Draw upper limits against a mass, with what theory predicts.

    x: (points,) rising; rows: (points,) pairs of five expected limits and the observed one, as in
    `draw_limits`; theory: (points,) predictions; axis_labels: of both axes
    seen: what the data are called. Returns the Figure.
    """
    figure = Figure()
    axes = figure.add_axes((0.135, 0.12, 0.83, 0.82))
    expected = np.array([row[0] for row in rows], float).T
    observed = np.array([row[1] for row in rows], float)
    lowest, low, median, high, highest = expected
    axes.fill_between(x, lowest, highest, color=TWO, linewidth=0)
    axes.fill_between(x, low, high, color=ONE, linewidth=0)
    axes.plot(x, median, marker="o", markersize=3.5, markerfacecolor="white", **EXPECTED)
    has_data = bool(np.isfinite(observed).any())
    if has_data:
        axes.plot(x, observed, marker="o", markersize=4.5, **observed_style(seen))
    axes.plot(x, theory, color=THEORY, linewidth=1.8)
    axes.set_yscale("log")
    known = np.concatenate([expected.ravel(), observed, theory])
    known = known[np.isfinite(known)]
    axes.set_ylim(known.min() / 2, known.max() * (known.max() / known.min()) ** 0.4 * 2)
    axes.set_xlim(*(x[0], x[-1]) if len(x) > 1 else _roomy(x))
    axes.set_xlabel(axis_labels[0], fontsize=FONT + 2)
    axes.set_ylabel(axis_labels[1], fontsize=FONT + 2)
    handles, names = _band_legend(has_data, seen)
    handles.append(Line2D([], [], color=THEORY, linewidth=1.8))
    axes.legend(handles, [*names, "Prediction"], loc="upper right", fontsize=FONT)
    add_caption(axes, caption, title)
    return figure
