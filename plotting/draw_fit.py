"""Draw what a fit did to its parameters."""

import numpy as np
from matplotlib.figure import Figure

from plotting.draw_scores import COLOURS
from plotting.style import FONT, INK, NO_CAPTION, QUIET, add_caption, make_room, styled

NUMBERED = 16  # parameters whose correlations are written as numbers
GREY = ("#d9d9d9", "#efefef")  # bands of one and two standard deviations


@styled
def draw_pulls(labels, pulls, constraints, *, title="", caption=NO_CAPTION):
    """Draw pulls of systematic uncertainties with their errors after the fit, from the top.

    labels: (parameters,) LaTeX; pulls: (parameters,) distance from the value before the fit in its
    standard deviations; constraints: (parameters,) error after the fit over that before
    Bands are of one and two standard deviations before the fit. Returns the Figure.
    """
    figure, axes, y = _rows(len(labels), 0.36)
    for width, colour in zip((2, 1), reversed(GREY), strict=True):
        axes.axvspan(-width, width, color=colour, linewidth=0, zorder=0)
    axes.axvline(0, color=QUIET, linewidth=0.8, linestyle="--", zorder=1)
    axes.errorbar(pulls, y, xerr=constraints, **POINT)
    reach = max([2.2, *(abs(p) + c for p, c in zip(pulls, constraints, strict=True))])
    axes.set_xlim(-1.05 * reach, 1.05 * reach)
    axes.set_yticks(y, labels, fontsize=FONT - 1)
    axes.set_xlabel(r"$(\hat{\theta} - \theta_0)\,/\,\sigma_0$", fontsize=FONT + 1)
    make_room(figure, axes)
    add_caption(axes, caption, title)
    return figure


@styled
def draw_factors(labels, values, errors, *, title="", caption=NO_CAPTION):
    """Draw normalisation factors with errors, and the numbers beside them.

    labels: (factors,) LaTeX; values, errors: (factors,). Returns the Figure.
    """
    figure, axes, y = _rows(len(labels), 0.2)
    axes.axvline(1, color=QUIET, linewidth=0.8, linestyle="--")
    axes.errorbar(values, y, xerr=errors, **POINT)
    ends = [1.0, *(v - e for v, e in zip(values, errors, strict=True))]
    low, high = min(ends), max([1.0, *(v + e for v, e in zip(values, errors, strict=True))])
    room = max(high - low, 0.1)
    axes.set_xlim(low - 0.1 * room, high + 0.55 * room)
    for place, value, error in zip(y, values, errors, strict=True):
        text = f"{value:.2f} ± {error:.2f}"
        axes.text(0.975, place, text, va="center", ha="right", transform=_row_places(axes))
    axes.set_yticks(y, labels, fontsize=FONT)
    axes.set_xlabel("Fitted / predicted yield", fontsize=FONT + 1)
    make_room(figure, axes)
    add_caption(axes, caption, title)
    return figure


@styled
def draw_correlations(labels, matrix, *, title="", caption=NO_CAPTION):
    """Draw correlation coefficients of parameters, with numbers in per cent where there is room.

    labels: (parameters,) LaTeX; matrix: (parameters, parameters). Returns the Figure.
    """
    number = len(labels)
    inside = max(0.34 * number, 2.4)  # inches
    size = np.array([inside + 3.3, inside + 2.6])
    figure = Figure(figsize=size)
    axes = figure.add_axes((2.2 / size[0], 2.2 / size[1], inside / size[0], inside / size[1]))
    bar_axes = figure.add_axes(
        ((2.35 + inside) / size[0], 2.2 / size[1], 0.16 / size[0], inside / size[1])
    )
    # Row by row from the top, as the matrix is written.
    mesh = axes.imshow(matrix, cmap="RdBu_r", vmin=-1, vmax=1, interpolation="none")
    places = np.arange(number)
    axes.set_xticks(
        places, labels, rotation=45, ha="right", rotation_mode="anchor", fontsize=FONT - 2
    )
    axes.set_yticks(places, labels, fontsize=FONT - 2)
    axes.tick_params(which="both", length=0)
    axes.minorticks_off()
    if number <= NUMBERED:
        for row, column in np.ndindex(number, number):
            value = matrix[row][column]
            colour = "white" if abs(value) > 0.6 else INK
            text = (
                f"{100 * value:.0f}".replace("-0", "0") if value > -0.005 else f"{100 * value:.0f}"
            )
            axes.text(
                column, row, text, ha="center", va="center", fontsize=FONT - 3.5, color=colour
            )
    bar = figure.colorbar(mesh, cax=bar_axes)
    bar.set_label("Correlation" + (", numbers in %" if number <= NUMBERED else ""), fontsize=FONT)
    bar_axes.tick_params(labelsize=FONT - 2)
    add_caption(axes, caption, title, until=bar_axes)
    return figure


POINT = {
    "fmt": "o",
    "color": COLOURS[0],
    "markersize": 4.5,
    "linewidth": 1.5,
    "capsize": 0,
    "zorder": 3,
}


def _row_places(axes):
    """Coordinates for text: part of the width of the axes, and number of the row."""
    return axes.get_yaxis_transform()


def _rows(number, left):
    """A Figure with axes that have a row for each entry, from the top, and (rows,) their places."""
    height = 1.25 + 0.27 * max(number, 3)
    figure = Figure(figsize=(6.4, height))
    axes = figure.add_axes((left, 0.66 / height, 0.965 - left, 1 - 1.05 / height))
    axes.set_ylim(max(number, 1) - 0.4, -0.6)
    axes.tick_params(axis="y", which="both", left=False, right=False)
    return figure, axes, np.arange(number)
