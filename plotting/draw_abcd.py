"""Draw an estimate of background from data in four corners of a plane."""

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from plotting.draw_scores import COLOURS
from plotting.style import (
    FONT,
    INK,
    NO_CAPTION,
    QUIET,
    add_caption,
    axis_title,
    legend_above,
    make_room,
    number,
    styled,
)


@styled
def draw_corners(content, *, title="", caption=NO_CAPTION):
    """Draw the plane with its four corners: background as colour, data as numbers.

    content: of abcd.json. Returns the Figure.
    """
    plane, estimate = content["plane"], content["estimate"]
    x, y = (np.asarray(plane[key], float) for key in ("x_edges", "y_edges"))
    background = np.array(plane["background"], float).T
    figure = Figure(figsize=(7.2, 5.6))
    axes = figure.add_axes((0.12, 0.12, 0.7, 0.82))
    bar_axes = figure.add_axes((0.84, 0.12, 0.025, 0.82))
    positive = background[background > 0]
    high = float(positive.max(initial=1e-9))
    low = max(float(positive.min(initial=high)), 1e-4 * high)
    mesh = axes.pcolormesh(
        x,
        y,
        np.ma.masked_where(~(background > 0), background),
        cmap="Greys",
        norm=LogNorm(low, 20 * max(high, low * 1.01)),
        linewidth=0,
        rasterized=True,
    )
    axes.axvline(content["x"]["cut"], color=COLOURS[1], linewidth=1.8)
    axes.axhline(content["y"]["cut"], color=COLOURS[1], linewidth=1.8)
    for corner, (right, top) in places(content).items():
        found = content["corners"][corner]
        lines = [rf"$\bf{{{corner}}}$"]
        if found["data"] is not None:
            word = "Asimov" if content["asimov"] else "data"
            lines.append(f"{word} {found['data']:.5g}")
        elif corner == "A":
            lines.append("data hidden")
        lines.append(f"sim. {number(found['background'] + found['subtracted'])}")
        if corner == "A":
            down, up = estimate["total"]
            value = estimate["value"]
            lines.append(rf"estimate ${number(value)}^{{+{number(up)}}}_{{-{number(down)}}}$")
        axes.text(
            0.975 if right else 0.025,
            0.975 if top else 0.025,
            "\n".join(lines),
            transform=axes.transAxes,
            ha="right" if right else "left",
            va="top" if top else "bottom",
            fontsize=FONT,
            linespacing=1.35,
            bbox={"facecolor": "white", "edgecolor": QUIET, "alpha": 0.88, "linewidth": 0.6},
        )
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(y[0], y[-1])
    for set_label, about in ((axes.set_xlabel, "x"), (axes.set_ylabel, "y")):
        set_label(axis_title(content[about]["label"], content[about]["unit"]), fontsize=FONT + 2)
    bar = figure.colorbar(mesh, cax=bar_axes)
    bar.set_label("Simulated background events", fontsize=FONT)
    bar_axes.tick_params(labelsize=FONT - 2)
    add_caption(axes, caption, title, until=bar_axes)
    return figure


def places(content):
    """{corner: (whether it is on the right, whether it is at the top)}."""
    right, top = (content[axis]["side"] == "high" for axis in ("x", "y"))
    return {
        "A": (right, top),
        "B": (right, not top),
        "C": (not right, top),
        "D": (not right, not top),
    }


@styled
def draw_closure(labels, ratios, simulated, *, title="", caption=NO_CAPTION):
    """Draw how well the estimate predicts where it can be tested, one row each, from the top.

    labels: (rows,) text; ratios: (rows,) (value, error down, error up) of data over estimate, or
    None; simulated: (rows,) (value, error) of simulation over its own estimate, or None
    Returns the Figure.
    """
    rows = len(labels)
    height = 1.5 + 0.36 * max(rows, 3)
    figure = Figure(figsize=(6.8, height))
    axes = figure.add_axes((0.4, 0.66 / height, 0.565, 1 - 1.36 / height))
    axes.axvline(1, color=QUIET, linewidth=0.9, linestyle="--", zorder=0)
    ends = [0.6, 1.4]
    points = {
        "Data / estimate": ([(p, r) for p, r in enumerate(ratios) if r], "o", INK, -0.12),
        "Simulation": ([(p, (v, e, e)) for p, (v, e) in _known(simulated)], "s", COLOURS[0], 0.12),
    }
    for name, (found, marker, colour, shift) in points.items():
        if not found:
            continue
        value, down, up = np.array([r for _, r in found], float).T
        y = [place + shift for place, _ in found]
        style = {"color": colour, "markersize": 5, "linewidth": 1.4, "label": name}
        axes.errorbar(value, y, xerr=[down, up], fmt=marker, **style)
        ends += [*(value - down), *(value + up)]
    low, high = max(min(ends), -0.5), min(max(ends), 4.0)
    room = 0.06 * (high - low)
    axes.set_xlim(low - room, high + room)
    axes.set_ylim(max(rows, 1) - 0.4, -0.6)
    axes.set_yticks(np.arange(rows), labels, fontsize=FONT - 1)
    axes.tick_params(axis="y", which="both", left=False, right=False)
    axes.set_xlabel("Observed / estimated", fontsize=FONT + 1)
    legend_above(figure, axes, 0.98)
    make_room(figure, axes)
    add_caption(axes, caption, title)
    return figure


def _known(values):
    return [(place, value) for place, value in enumerate(values) if value]
