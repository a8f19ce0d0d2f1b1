"""Draw a rapidity-mass matrix."""

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullFormatter

from plotting.style import FONT, INK, MISSING, NO_CAPTION, QUIET, add_caption, styled

GUIDE = (
    r"row 1: $m_T$    column 1: $h_L$    diagonal: $E_T^{\mathrm{miss}}$, $e_T$, $\delta e_T$"
    r"    above: $m$    below: $h$"
)


@styled
def draw_matrix(
    values,
    *,
    objects,
    blocks,
    energies=None,
    span=None,
    sequential=False,
    chance=None,
    title="",
    bar_label="",
    numbers=None,
    caption=NO_CAPTION,
):
    """Draw a matrix with the objects on both axes and lines between their types.

    values: (size, size), NaN where an object is missing: grey
    objects: (size,) labels, LaTeX
    blocks: rows of each type: (1, 4, 5, 5) for missing momentum, jets, electrons, muons
    energies: (size, size) bool, cells in GeV, which then get a logarithmic colour scale of their
        own, and the others (rapidities, imbalances) a linear one; None: all cells are numbers
        around 0 on one diverging scale, red above and blue below
    span: largest absolute value of the one scale; None: the largest of the matrix
    sequential: the one scale begins at 0, for values that are never negative
    chance: (size, size) bool, cells whose value is within two standard errors of 0, which have
        a dot; None: none
    title: above the matrix on the left; bar_label: of the one scale
    numbers: write the values into the cells; None: if there are at most 16 rows
    Returns the Figure.
    """
    values = np.asarray(values, float)
    size = len(values)
    numbers = size <= 16 if numbers is None else numbers
    figure = Figure(figsize=(7.6, 6.7))
    axes = figure.add_axes((0.075, 0.09, 0.735, 0.834))
    missing = np.isnan(values)
    texts = np.full(values.shape, "", dtype=object)
    bright = np.zeros(values.shape, bool)
    axes.set_facecolor(MISSING)
    if energies is None:
        limit = span if span is not None else float(np.nanmax(np.abs(values), initial=0)) or 1.0
        colours, start = ("cividis", 0.0) if sequential else ("RdBu_r", -limit)
        form = "{:.1f}" if limit >= 1 else "{:.2f}"
        shown = [(~missing, colours, Normalize(start, limit), bar_label, form)]
    else:
        positive = values[energies & (values > 0)]
        low, high = (positive.min(), positive.max()) if len(positive) else (1.0, 10.0)
        low = max(low, high * 1e-3)
        other = values[~energies & ~missing]
        top = float(other.max(initial=0)) or 1.0
        bottom = min(0.0, float(other.min(initial=0)))
        shown = [
            (~missing & energies, "viridis", LogNorm(low, max(high, 1.01 * low)), "GeV", "{:.0f}"),
            (~missing & ~energies, "magma", Normalize(bottom, top), "dimensionless", "{:.2f}"),
        ]
    for place, (chosen, colours, norm, label, form) in enumerate(shown):
        drawn = np.ma.masked_where(~chosen, values)
        if isinstance(norm, LogNorm):
            drawn = np.ma.maximum(drawn, norm.vmin)
        mesh = axes.pcolormesh(drawn, cmap=colours, norm=norm, rasterized=False)
        height = 0.834 if len(shown) == 1 else 0.39
        bar_axes = figure.add_axes((0.83, 0.09 + (0.444 if place else 0), 0.025, height))
        inside = values[chosen]
        beyond = {
            (False, False): "neither",
            (True, False): "min",
            (False, True): "max",
            (True, True): "both",
        }[bool((inside < norm.vmin).any()), bool((inside > norm.vmax).any())]
        bar = figure.colorbar(mesh, cax=bar_axes, extend=beyond)
        if beyond != "neither" and not isinstance(norm, LogNorm):
            label += f" (from {inside.min():.2g} to {inside.max():.2g})"
        bar.set_label(label, fontsize=FONT if len(label) < 70 else FONT - 2)
        bar_axes.tick_params(labelsize=FONT - 2)
        if isinstance(norm, LogNorm):
            bar.ax.yaxis.set_major_formatter("{x:g}")
            decades = np.log10(norm.vmax / norm.vmin)
            bar.ax.yaxis.set_minor_formatter("{x:g}" if decades < 1.3 else NullFormatter())
        red, green, blue, _ = np.moveaxis(colormaps[colours](norm(drawn)), -1, 0)
        bright |= chosen & (0.299 * red + 0.587 * green + 0.114 * blue > 0.5)
        for cell in zip(*np.nonzero(chosen), strict=True):
            text = form.format(values[cell])
            texts[cell] = text if float(text) else text.lstrip("-")
    marked = np.zeros(values.shape, bool) if chance is None else chance & ~missing
    if marked.any():
        rows, columns = np.nonzero(marked)
        colours = np.where(bright[marked], INK, "#ffffff")
        # In a corner beside a number, else in the middle
        x, y, width = (0.85, 0.84, 45 / size) if numbers else (0.5, 0.5, 75 / size)
        axes.scatter(columns + x, rows + y, s=width**2, c=colours, linewidths=0)
    if numbers:
        for row, column in zip(*np.nonzero(~missing), strict=True):
            axes.text(
                column + 0.5,
                row + 0.5,
                texts[row, column],
                ha="center",
                va="center",
                fontsize=min(6.5, 95 / size),
                color=INK if bright[row, column] else "#ffffff",
            )
    for edge in np.cumsum(blocks)[:-1]:
        axes.axhline(edge, color=INK, linewidth=1.2)
        axes.axvline(edge, color=INK, linewidth=1.2)
    font = FONT - 1 if size <= 16 else (FONT - 3 if size <= 24 else FONT - 4)
    axes.set_xticks(np.arange(size) + 0.5, objects, fontsize=font)
    axes.set_yticks(np.arange(size) + 0.5, objects, fontsize=font)
    axes.tick_params(which="both", length=0)
    axes.set_xlim(0, size)
    axes.set_ylim(size, 0)
    if size > 24:
        axes.tick_params(axis="x", rotation=90)
    axes.minorticks_off()
    figure.text(0.075, 0.022, GUIDE, fontsize=FONT - 2, color=QUIET)
    handles = []
    if marked.any():
        dot = {"color": INK, "marker": "o", "linestyle": "", "markersize": 3}
        handles.append(Line2D([], [], label="less than 2 std. errors from 0", **dot))
    if missing.any():
        handles.append(Patch(facecolor=MISSING, edgecolor=QUIET, linewidth=0.5, label="missing"))
    if handles:
        figure.legend(
            handles=handles,
            ncols=len(handles),
            columnspacing=1.0,
            handletextpad=0.4,
            loc="lower right",
            bbox_to_anchor=(0.995, 0.005),
            fontsize=FONT - 2,
            borderpad=0.2,
            handlelength=1.2,
        )
    add_caption(axes, caption, title)
    return figure
