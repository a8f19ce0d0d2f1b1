"""Draw what a detector found."""

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator

from plotting.comparison import share_text
from plotting.legend import LINE, LONG, dash_of
from plotting.stack import divide
from plotting.style import BAND, FONT, INK, NO_CAPTION, QUIET, add_caption, styled
from plotting.yields import with_error

# Okabe and Ito, of whom yellow is too pale for lines.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES = ("--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 3)))  # of simple cuts
GREYS = ListedColormap(colormaps["Greys"](np.linspace(0.08, 0.55, 256)))  # below coloured points
ENTRIES = 3  # of the legend side by side


@styled
def draw_curves(curves, *, detectors=1, colours=None, title="", caption=NO_CAPTION):
    """Draw ROC and significance improvement of a signal; the first has bands of 68 %.

    curves: {label: Curve}, the detector shown first
    detectors: so many curves are of detectors, drawn solid, the others of simple cuts
    colours: {label: number of its colour}, so that a label looks the same in several plots
    title: the signal, LaTeX
    Curves end where fewer than ten effective background events are left. Returns the Figure.
    """
    places = colours or {label: place for place, label in enumerate(curves)}
    rows = -(-(len(curves) + 1) // ENTRIES)
    height = 4.45 + 0.21 * rows
    figure = Figure(figsize=(9.6, height))
    roc, improvement = figure.subplots(1, 2)
    bottom = (0.66 + 0.21 * rows) / height
    figure.subplots_adjust(0.075, bottom, 0.985, 1 - 0.37 / height, wspace=0.2)
    low_x = min([curve.reach for curve in curves.values()], default=1e-3)
    highest = 1.0
    for place, (label, curve) in enumerate(curves.items()):
        style = {
            "color": COLOURS[places[label] % len(COLOURS)],
            "linestyle": DASHES[(place - detectors) % len(DASHES)] if place >= detectors else "-",
            "linewidth": 2.6 if place == 0 else 1.5,
            "zorder": 3 if place == 0 else 2,
        }
        shown = curve.background >= curve.reach
        x = curve.background[shown]
        middle, low, high = curve.improvement[:, shown]
        if place == 0:
            band = {"color": style["color"], "alpha": 0.25, "linewidth": 0}
            roc.fill_between(x, curve.low[shown], curve.high[shown], **band)
            improvement.fill_between(x, low, high, **band)
        area = share_text(curve.auc, curve.auc_error, curve.effective, "±")
        roc.plot(x, curve.signal[shown], label=f"{label}: AUC {area}", **style)
        improvement.plot(x, middle, **style)
        reached = high if place == 0 else middle
        highest = max(highest, float(np.nanmax(reached, initial=1)))
    chance = np.logspace(np.log10(low_x), 0, 100)
    roc.plot(chance, chance, color=QUIET, linewidth=0.8, label="by chance")
    improvement.axhline(1, color=QUIET, linewidth=0.8)
    for axes in (roc, improvement):
        axes.set_xscale("log")
        axes.set_xlim(low_x, 1)
        axes.set_xlabel("Background efficiency", fontsize=FONT + 1)
    roc.set_ylim(0, 1.05)
    roc.set_yticks(np.arange(0, 1.01, 0.2))
    roc.set_ylabel("Signal efficiency", fontsize=FONT + 1)
    improvement.set_ylim(0, 1.08 * highest)
    improvement.set_ylabel(r"$\varepsilon_S\,/\,\sqrt{\varepsilon_B}$", fontsize=FONT + 1)
    handles, labels = roc.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="lower center",
        ncols=ENTRIES,
        fontsize=FONT - 2,
        handlelength=2.6,
        columnspacing=1.2,
        borderaxespad=0.5,
    )
    add_caption(roc, caption, title)
    improvement.text(
        1, 1.015, "cuts chosen on background", transform=improvement.transAxes, ha="right"
    )
    return figure


@styled
def draw_survival(survivals, labels, colours, *, title="", caption=NO_CAPTION):
    """Draw signals and data over background against the survival probability, per detector.

    survivals: at most six Survival, see plotting/scores.py; labels, colours: {process: ...}
    Signals are scaled to as many events as the background has: their lines tell how many times
    more often than background they are there. Below them data over background, with exact Poisson
    errors and the statistical error of the simulation as band; arrows stand for points beyond the
    axis. Returns the Figure.
    """
    columns = min(3, len(survivals))
    rows = -(-len(survivals) // columns)
    with_data = any(one.data is not None for one in survivals)
    each = 3.1 if with_data else 2.3
    entries = len({name for one in survivals for name in one.signals}) + 2 * with_data
    below = 0.8 + 0.2 * -(-entries // columns)  # inches, for label and legend
    size = (1.1 + 3.1 * columns, 0.4 + below + each * rows)
    figure = Figure(figsize=size)
    right = 1 - 0.15 / size[0]
    ends = {"left": 0.85 / size[0], "bottom": below / size[1], "top": 1 - 0.4 / size[1]}
    outer = figure.add_gridspec(rows, columns, right=right, wspace=0.06, hspace=0.1, **ends)
    handles, highest, panels = {}, 2.0, []
    for place, one in enumerate(survivals):
        parts = outer[place // columns, place % columns].subgridspec(
            1 + with_data, 1, height_ratios=(2, 1)[: 1 + with_data], hspace=0.06
        )
        pair = [figure.add_subplot(part) for part in parts]
        panels.append(pair)
        highest = max(highest, draw_signal_shares(pair[0], one, labels, colours, handles))
        if with_data:
            draw_data_share(pair[1], one, handles)
    start = min(one.edges[0] for one in survivals)
    for place, pair in enumerate(panels):
        above = pair[0]
        above.set_yscale("log")
        # Room for what stands in each panel
        above.set_ylim(0.2, 0.2 * (highest / 0.2) ** 1.3)
        above.yaxis.set_major_locator(LogLocator(numticks=5))
        above.yaxis.set_major_formatter("{x:g}")
        for axes in pair:
            axes.set_xscale("log")
            axes.set_xlim(start, 1)
            lowest = axes is pair[-1] and place + columns >= len(survivals)
            axes.tick_params(labelbottom=lowest, labelleft=place % columns == 0)
        if place % columns == 0:
            above.set_ylabel("Signal / bkg.", loc="center")
            above.yaxis.set_label_coords(-0.17, 0.5)
            if with_data:
                pair[1].set_ylabel("Data / bkg.", loc="center")
                pair[1].yaxis.set_label_coords(-0.17, 0.5)
    label = "Survival probability of the background"
    figure.text(right, (below - 0.45) / size[1], label, ha="right", fontsize=FONT + 1)
    figure.legend(
        list(handles.values()),
        list(handles),
        loc="lower center",
        ncols=columns,
        fontsize=FONT - 2,
        handlelength=LONG,
        borderaxespad=0.3,
        columnspacing=1.2,
    )
    add_caption(panels[0][0], caption, title, until=panels[columns - 1][0])
    return figure


def choose_colours(names, known):
    """{name: number of its colour}: those that it has in other plots, but none twice.

    names: at most as many as there are COLOURS; known: {name: number}, to which new ones are added
    """
    chosen = {}
    for name in names:
        free = [n for n in range(len(COLOURS)) if n not in chosen.values()]
        own = {known.get(other) for other in names}
        best = [n for n in free if n not in own] or free
        chosen[name] = known[name] if known.get(name) in free else best[0]
        known.setdefault(name, chosen[name])
    return chosen


def draw_signal_shares(axes, one, labels, colours, handles):
    """Draw the signals of a Survival over the background; returns the largest value."""
    flat = one.background / one.background.sum()
    axes.axhline(1, color=INK, linewidth=0.8)
    highest = 1.0
    for place, (process, shares) in enumerate(one.signals.items()):
        ratio = divide(shares, flat)
        style = {"color": colours[process], "linestyle": dash_of(place), "linewidth": LINE}
        line = axes.stairs(np.maximum(ratio, 0.01), one.edges, baseline=None, **style)
        handles.setdefault(labels[process], line)
        highest = max(highest, float(np.nanmax(ratio, initial=0)))
    axes.text(
        0.96,
        0.94,
        first_bin_text(one),
        transform=axes.transAxes,
        ha="right",
        va="top",
        fontsize=FONT - 2,
        linespacing=1.35,
    )
    return highest


def draw_data_share(axes, one, handles):
    """Draw the data of a Survival over the background, in 0 to 2."""
    expected, good = one.background, one.background > 0
    relative = np.divide(one.background_error, expected, out=np.zeros(len(good)), where=good)
    axes.axhline(1, color=INK, linewidth=0.8)
    band = axes.stairs(1 + relative, one.edges, baseline=1 - relative, fill=True, **BAND)
    axes.set_ylim(0, 2)
    axes.set_yticks((0.5, 1, 1.5))
    if one.data is not None:
        low, high = one.data_interval[:, good] / expected[good]
        ratio, x = one.data[good] / expected[good], np.sqrt(one.edges[1:] * one.edges[:-1])[good]
        errors = np.stack([ratio - low, high - ratio])
        points = axes.errorbar(x, ratio, errors, fmt="o", color=INK, markersize=3.5, linewidth=1)
        handles.setdefault("Data", points)
        above = ratio > 2
        axes.plot(x[above], np.full(above.sum(), 1.92), "^", color=INK, markersize=4)
    handles.setdefault("Stat. unc. of the background", band)


def first_bin_text(one):
    """What the most anomalous bin of a Survival holds."""
    expected = with_error(one.background[0], one.background_error[0], "±")
    seen = "" if one.data is None else f"{one.data[0]:.0f} seen, "
    return f"{one.detector}\n$p$ < {one.edges[1]:.2g}: {seen}{expected} expected"


@styled
def draw_training(curves, *, title="", caption=NO_CAPTION):
    """Draw training and validation loss against the epoch.

    curves: list of {loss: (epochs,), val_loss: (epochs,), best: epoch from 1}, one per fold
    Dots mark the epochs whose weights were kept. Returns the Figure.
    """
    figure = Figure()
    axes = figure.add_axes((0.125, 0.115, 0.84, 0.825))
    for curve in curves:
        epochs = np.arange(1, len(curve["loss"]) + 1)
        axes.plot(epochs, curve["loss"], "--", color=COLOURS[1], linewidth=1.2)
        axes.plot(epochs, curve["val_loss"], color=COLOURS[0], linewidth=1.2)
        axes.plot(curve["best"], curve["val_loss"][curve["best"] - 1], "o", color=COLOURS[0])
    longest = max([len(curve["loss"]) for curve in curves], default=1)
    axes.set_xlim(0.5, longest + 0.5)
    losses = [np.concatenate([curve["loss"], curve["val_loss"]]) for curve in curves]
    values = np.concatenate(losses) if losses else np.ones(1)
    if values.min() > 0:
        axes.set_yscale("log")
        narrow = values.max() < 30 * values.min()
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}" if narrow else NullFormatter())
        axes.tick_params(axis="y", which="minor", labelsize=FONT - 2)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("Epoch", fontsize=FONT + 2)
    axes.set_ylabel("Loss", fontsize=FONT + 2)
    folds = f" ({len(curves)} folds)" if len(curves) > 1 else ""
    axes.legend(
        handles=[
            Line2D([], [], color=COLOURS[1], linestyle="--", label=f"Training{folds}"),
            Line2D([], [], color=COLOURS[0], label=f"Validation{folds}"),
            Line2D([], [], color=COLOURS[0], marker="o", linestyle="", label="Kept"),
        ],
        loc="upper right",
    )
    add_caption(axes, caption, title)
    return figure


@styled
def draw_latent(background, weights, overlays, axis_labels, *, title="", caption=NO_CAPTION):
    """Draw the latent plane: simulated background as density, signals and data as points.

    background: (events, 2); weights: (events,)
    overlays: list of (label, colour, (events, 2)), each drawn in a panel of its own; at most 400
        evenly spaced events are shown
    axis_labels: of the two axes. Returns the Figure.
    """
    panels = max(1, len(overlays))
    columns = min(3, panels)
    rows = -(-panels // columns)
    size = (1.1 + 3.6 * columns, 0.9 + 3.4 * rows)
    figure = Figure(figsize=size)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    figure.subplots_adjust(
        0.85 / size[0], 0.65 / size[1], 1 - 1.0 / size[0], 1 - 0.4 / size[1], 0.08, 0.16
    )
    everything = np.concatenate([background, *(points for *_, points in overlays)])
    low, high = np.quantile(everything, [0.001, 0.999], axis=0)
    room = np.maximum(0.05 * (high - low), 1e-6)
    edges = [np.linspace(*ends, 51) for ends in zip(low - room, high + room, strict=True)]
    density, *_ = np.histogram2d(*background.T, bins=edges, weights=weights)
    positive = density[density > 0]
    top = float(positive.max()) if len(positive) else 1.0
    for place, axes in enumerate(grid.flat):
        if place >= panels:
            axes.set_visible(False)
            continue
        mesh = axes.pcolormesh(
            *edges,
            np.ma.masked_less_equal(density.T, 0),
            cmap=GREYS,
            norm=LogNorm(max(top * 1e-4, float(positive.min(initial=top))), top * 1.01),
            linewidth=0,
            rasterized=True,
        )
        if overlays:
            label, colour, points = overlays[place]
            points = points[:: -(-len(points) // 400) or 1]
            axes.plot(
                *points.T,
                "o",
                color=colour,
                markersize=3.2,
                markeredgecolor="white",
                markeredgewidth=0.35,
                label=label,
            )
            axes.legend(loc="upper right", fontsize=FONT, markerscale=1.6, handletextpad=0.1)
        axes.set_xlim(edges[0][0], edges[0][-1])
        axes.set_ylim(edges[1][0], edges[1][-1])
        if place >= panels - columns:
            axes.tick_params(labelbottom=True)
            axes.set_xlabel(axis_labels[0], fontsize=FONT)
    for line in grid[:, 0]:
        line.set_ylabel(axis_labels[1], fontsize=FONT)
    bar_axes = figure.add_axes(
        (1 - 0.9 / size[0], 0.65 / size[1], 0.16 / size[0], 1 - 1.05 / size[1])
    )
    bar = figure.colorbar(mesh, cax=bar_axes)
    bar.set_label("Background events", fontsize=FONT)
    bar_axes.tick_params(labelsize=FONT - 2)
    add_caption(grid[0, 0], caption, title)
    return figure


@styled
def draw_ranking(
    labels, values, *, points=None, axis="", shown=20, names=("", ""), title="", caption=NO_CAPTION
):
    """Draw the largest of many numbers as bars, largest absolute value first.

    labels: (n,) LaTeX; values: (n,), NaN is left out
    points: (n,) numbers drawn as dots beside the bars, or None
    axis: label of the axis; names: legend of bars and points. Returns the Figure.
    """
    values = np.asarray(values, float)
    order = np.argsort(-np.abs(np.nan_to_num(values)), kind="stable")
    order = order[np.isfinite(values[order])][:shown]
    height = 1.2 + 0.23 * max(len(order), 4)
    figure = Figure(figsize=(6.4, height))
    axes = figure.add_axes((0.2, 0.62 / height, 0.765, 1 - 1.02 / height))
    y = np.arange(len(order))
    axes.barh(y, values[order], color=COLOURS[0], height=0.7, label=names[0])
    if points is not None:
        axes.plot(np.asarray(points)[order], y, "o", color=INK, markersize=3.5, label=names[1])
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_yticks(y, [labels[place] for place in order], fontsize=FONT - 1)
    axes.tick_params(axis="y", which="both", left=False, right=False)
    axes.set_ylim(max(len(order), 1) - 0.4, -0.6)
    axes.set_xlabel(axis, fontsize=FONT + 1)
    if names[0]:
        axes.legend(loc="lower right", fontsize=FONT - 1)
    add_caption(axes, caption, title)
    return figure
