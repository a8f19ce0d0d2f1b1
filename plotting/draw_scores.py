"""Draw what a detector found."""

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from plotting.style import FONT, INK, NO_CAPTION, QUIET, add_caption, styled

# Okabe and Ito, of whom yellow is too pale for lines, and two more.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6b4c9a", "#7a5c3d")
DASHES = ("--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 3)))  # of simple cuts
ENTRIES = 3  # of the legend side by side


@styled
def draw_curves(curves, *, detectors=1, title="", caption=NO_CAPTION):
    """Draw ROC and significance improvement of a signal; the first has bands of 68 %.

    curves: {label: Curve}, the detector shown first
    detectors: so many curves are of detectors, drawn solid, the others of simple cuts
    title: the signal, LaTeX
    Curves end where fewer than ten effective background events are left. Returns the Figure.
    """
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
            "color": COLOURS[place % len(COLOURS)],
            "linestyle": DASHES[(place - detectors) % len(DASHES)] if place >= detectors else "-",
            "linewidth": 2.2 if place == 0 else 1.4,
            "zorder": 3 if place == 0 else 2,
        }
        shown = curve.background >= curve.reach
        x = curve.background[shown]
        middle, low, high = curve.improvement[:, shown]
        if place == 0:
            band = {"color": style["color"], "alpha": 0.25, "linewidth": 0}
            roc.fill_between(x, curve.low[shown], curve.high[shown], **band)
            improvement.fill_between(x, low, high, **band)
        legend = f"{label}: AUC {curve.auc:.3f} ± {curve.auc_error:.3f}"
        roc.plot(x, curve.signal[shown], label=legend, **style)
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
    if losses and np.concatenate(losses).min() > 0:
        axes.set_yscale("log")
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
            cmap="Greys",
            norm=LogNorm(max(top * 1e-4, float(positive.min(initial=top))), top * 3),
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
                markersize=2.2,
                alpha=0.7,
                markeredgewidth=0,
                label=label,
            )
            axes.legend(loc="upper right", fontsize=FONT, markerscale=2, handletextpad=0.1)
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
