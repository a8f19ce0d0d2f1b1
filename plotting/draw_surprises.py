"""Draw what a search for anything found: bumps, surprises, and how often chance does the same."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy.stats import beta, norm

from plotting.draw_scores import COLOURS
from plotting.draw_stack import steps
from plotting.intervals import poisson_interval
from plotting.style import (
    BAND,
    FONT,
    INK,
    NO_CAPTION,
    QUIET,
    add_caption,
    axis_title,
    make_room,
    styled,
)

WINDOW = "#f3e27a"
FILL = "#c3ccd9"  # of all background together: the colour of no process


@styled
def draw_bump(mass, significances, *, log=True, title="", note="", caption=NO_CAPTION):
    """Draw a mass spectrum with the most significant window, and the significance of each bin.

    mass: what bump.json says of a mass; significances: (bins,) standard deviations with sign
    log: logarithmic axis of events; note: lines about the window. Returns the Figure.
    """
    edges = np.asarray(mass["edges"], float)
    widths, centres = np.diff(edges), (edges[1:] + edges[:-1]) / 2
    data, background = (np.asarray(mass[key], float) for key in ("data", "background"))
    error = np.asarray(mass["error"], float)
    figure = Figure(figsize=(6.4, 5.6))
    main = figure.add_axes((0.125, 0.335, 0.84, 0.605))
    below = figure.add_axes((0.125, 0.115, 0.84, 0.2))
    equal = np.allclose(widths, widths[0])
    scale = np.ones_like(widths) if equal else 1 / widths
    low, high = poisson_interval(data) * scale
    fill = {"facecolor": FILL, "edgecolor": FILL, "fill": True}
    handles = [
        steps(main, background * scale, edges, 0, **fill),
        steps(
            main,
            (background + error) * scale,
            edges,
            (background - error) * scale,
            fill=True,
            **BAND,
        ),
    ]
    shown = data > 0
    handles.insert(
        0, main.plot(centres[shown], (data * scale)[shown], "o", color=INK, markersize=4)[0]
    )
    main.vlines(centres[shown], low[shown], high[shown], color=INK, linewidth=1.1)
    names = ["Data", "Background", "Uncertainty"]
    if mass["window"]:
        for axes, top in ((main, 0.77), (below, 1)):
            patch = axes.axvspan(*mass["window"], 0, top, color=WINDOW, linewidth=0, zorder=0.5)
        handles.append(patch)
        names.append("Window")
    heights = np.concatenate([(high * shown), (background + error) * scale])
    top = float(heights.max(initial=0)) or 1.0
    positive = np.concatenate([(low * shown), background * scale])
    positive = positive[positive > 0]
    if log and len(positive):
        floor = max(0.5 * float(positive.min()), 1e-6 * top)
        main.set_yscale("log")
        main.set_ylim(floor, floor * (top / floor) ** 1.55)
    else:
        main.set_ylim(0, 1.6 * top)
    unit = mass["unit"]
    per = f" {widths[0]:.3g}" if equal else "" if unit else " unit"
    main.set_ylabel(f"Events /{per} {unit}".rstrip(), fontsize=FONT + 2)
    main.tick_params(labelbottom=False)
    main.legend(handles, names, loc="upper right", ncols=2, fontsize=FONT - 1)
    if note:
        main.text(
            0.03, 0.95, note, transform=main.transAxes, va="top", fontsize=FONT - 1, linespacing=1.4
        )
    below.bar(
        centres,
        significances,
        widths,
        color=np.where(np.asarray(significances) < 0, COLOURS[0], COLOURS[1]),
    )
    below.axhline(0, color=INK, linewidth=0.8)
    reach = max(2.0, 1.15 * float(np.max(np.abs(significances), initial=0)))
    below.set_ylim(-reach, reach)
    below.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    below.set_ylabel(r"Local $\sigma$", loc="center", fontsize=FONT)
    for axes in (main, below):
        axes.set_xlim(edges[0], edges[-1])
        axes.yaxis.set_label_coords(-0.095, 1 if axes is main else 0.5)
    below.set_xlabel(axis_title(mass["label"], unit), fontsize=FONT + 2)
    add_caption(main, caption, title)
    return figure


@styled
def draw_statistic(distribution, observed, words, *, axis, title="", caption=NO_CAPTION):
    """Draw a statistic in pseudo-experiments without signal, and what was observed.

    distribution: edges and counts; observed: the statistic; words: about its probability
    axis: label of the statistic. Returns the Figure.
    """
    edges, counts = (np.asarray(distribution[key], float) for key in ("edges", "counts"))
    figure = Figure(figsize=(6.4, 4.6))
    axes = figure.add_axes((0.125, 0.14, 0.84, 0.79))
    steps(
        axes,
        counts,
        edges,
        0,
        facecolor=FILL,
        edgecolor=COLOURS[0],
        fill=True,
        label="Pseudo-experiments",
    )
    beyond = np.where(edges[:-1] >= observed, counts, 0)
    steps(axes, beyond, edges, 0, facecolor=COLOURS[0], edgecolor=COLOURS[0], fill=True)
    # Below the legend
    axes.axvline(observed, 0, 0.82, color=COLOURS[1], linewidth=2, label=f"Observed, {words}")
    low, high = min(edges[0], observed), max(edges[-1], observed)
    room = 0.03 * (high - low)
    axes.set_xlim(low - room * (observed <= edges[0]), high + room * (observed >= edges[-1]))
    positive = counts[counts > 0]
    if len(positive) and counts.max() > 50:
        axes.set_yscale("log")
        axes.set_ylim(0.5, counts.max() ** 1.35 * 2)
    else:
        axes.set_ylim(0, 1.4 * max(counts.max(), 1))
    axes.set_xlabel(axis, fontsize=FONT + 2)
    axes.set_ylabel("Pseudo-experiments", fontsize=FONT + 2)
    axes.legend(loc="upper right", fontsize=FONT - 1)
    add_caption(axes, caption, title)
    return figure


@styled
def draw_p_values(labels, p_values, marks, *, title="", caption=NO_CAPTION):
    """Draw p-values of tests, one row each, from the top, with lines at standard deviations.

    labels: (tests,) LaTeX; p_values: (tests,) above 0; marks: (tests,) whether it is the answer
    Returns the Figure.
    """
    number = len(labels)
    height = 1.4 + 0.32 * max(number, 3)
    figure = Figure(figsize=(6.4, height))
    axes = figure.add_axes((0.4, 0.66 / height, 0.56, 1 - 1.0 / height))
    y = np.arange(number)
    size = -np.log10(np.maximum(p_values, 1e-300))
    colours = [COLOURS[1] if mark else COLOURS[0] for mark in marks]
    axes.barh(y, size, color=colours, height=0.62)
    end = 1.25 * max(1.5, float(size.max(initial=0)))
    for place, (p, length) in enumerate(zip(p_values, size, strict=True)):
        axes.text(length + 0.015 * end, place, f"{p:.2g}", va="center", fontsize=FONT - 1)
    axes.set_xlim(0, end)
    axes.set_ylim(max(number, 1) - 0.4, -1.2)
    axes.set_yticks(y, labels, fontsize=FONT)
    axes.tick_params(axis="y", which="both", left=False, right=False)
    axes.tick_params(axis="x", which="both", top=False)
    axes.set_xlabel(r"$-\log_{10}\,p$", fontsize=FONT + 1)
    for sigma in range(1, 7):
        place = -np.log10(norm.sf(sigma))
        if place < end:
            axes.axvline(place, color=QUIET, linewidth=0.8, linestyle=":", zorder=0)
            style = {"ha": "left", "va": "center", "fontsize": FONT - 2, "color": QUIET}
            axes.text(place, -0.85, rf" {sigma}$\,\sigma$", **style)
    make_room(figure, axes)
    add_caption(axes, caption, title)
    return figure


@styled
def draw_calibration(p_values, labels, uniform, *, title="", caption=NO_CAPTION):
    """Draw p-values of data without signal against those that are uniform.

    p_values: {test: (data sets,)}; labels: {test: text}; uniform: {test: p-value of that, or None}
    The grey band holds 95 % of what uniform ones are, at each place by itself. Returns the Figure.
    """
    panels = len(p_values)
    columns = min(3, panels)
    rows = -(-panels // columns)
    size = (0.75 + 2.75 * columns, 0.95 + 2.75 * rows)
    figure = Figure(figsize=size)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    figure.subplots_adjust(
        0.75 / size[0], 0.6 / size[1], 1 - 0.15 / size[0], 1 - 0.4 / size[1], 0.1, 0.1
    )
    for place, axes in enumerate(grid.flat):
        if place >= panels:
            axes.set_visible(False)
            continue
        name = list(p_values)[place]
        found = np.sort(np.asarray(p_values[name], float))
        number = len(found)
        rank = np.arange(1, number + 1)
        expected = (rank - 0.5) / number
        low, high = (beta.ppf(q, rank, number + 1 - rank) for q in (0.025, 0.975))
        axes.fill_between(expected, low, high, color="#d9d9d9", linewidth=0)
        axes.plot([0, 1], [0, 1], color=QUIET, linewidth=0.8)
        axes.plot(expected, found, "o", color=COLOURS[0], markersize=2.8)
        said = labels[name]
        if uniform.get(name) is not None:
            said += f"\nuniform: p = {uniform[name]:.2g}"
        axes.text(
            0.05, 0.95, said, transform=axes.transAxes, va="top", fontsize=FONT - 1, linespacing=1.3
        )
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
        if place >= panels - columns:
            axes.tick_params(labelbottom=True)
    figure.supxlabel("Uniform quantile", fontsize=FONT + 1, y=0.1 / size[1], va="bottom")
    figure.supylabel("p-value", fontsize=FONT + 1, x=0.1 / size[0], ha="left")
    add_caption(grid[0, 0], caption, title, until=grid[0, -1])
    return figure
