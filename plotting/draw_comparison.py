"""Draw how good detectors are beside simple cuts and the supervised bound."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from plotting.style import FONT, NO_CAPTION, QUIET, add_caption, styled

LOOKS = {  # kind: colour, marker, name
    "detector": ("#0072b2", "o", "Detector"),
    "rival": ("#d55e00", "s", "Simple cut"),
    "supervised": ("#5a5a5a", "D", "Shown the signal"),
}


@styled
def draw_comparison(improvements, asked, *, title="", caption=NO_CAPTION):
    """Draw significance improvements as points with intervals, one below the other.

    improvements: list of comparison.Improvement, from the top; asked: background efficiency
    Open points are of looser cuts, with their efficiency beside them: fewer than ten effective
    background events pass the one that was asked for. Lines mark the best simple cut and what no
    cut can exceed. Returns the Figure.
    """
    height = 1.25 + 0.27 * max(len(improvements), 3)
    figure = Figure(figsize=(6.4, height))
    axes = figure.add_axes((0.3, 0.62 / height, 0.66, 1 - 1.2 / height))
    y = np.arange(len(improvements))
    for place, one in enumerate(improvements):
        colour, marker, _ = LOOKS[one.kind]
        low, high = one.low, one.high
        if None not in (low, high):
            axes.plot([low, high], [place, place], color=colour, linewidth=1.6)
        face = colour if one.efficiency is None else "white"
        axes.plot(
            one.value,
            place,
            marker,
            color=colour,
            markersize=6,
            markerfacecolor=face,
            clip_on=False,
            zorder=3,
        )
        if one.efficiency is not None:
            end = max(one.value, one.value if high is None else high)
            axes.annotate(
                f"at {100 * one.efficiency:.2g} %",
                (end, place),
                xytext=(7, 0),
                textcoords="offset points",
                va="center",
                fontsize=FONT - 3,
                color=QUIET,
            )
    lines = {}
    rivals = [one.value for one in improvements if one.kind == "rival"]
    if rivals:
        style = {"color": LOOKS["rival"][0], "linewidth": 0.9, "linestyle": "--"}
        lines["Best of them"] = axes.axvline(max(rivals), zorder=0, **style)
    ends = [x for one in improvements for x in (one.value, one.high) if x is not None]
    best = 1 / np.sqrt(asked)
    # Room for what stands beside a point
    room = 1.12 if all(one.efficiency is None for one in improvements) else 1.22
    axes.set_xlim(0, room * max([1.0, *ends]))
    if axes.get_xlim()[1] > best:
        style = {"color": QUIET, "linewidth": 0.9, "linestyle": ":"}
        lines["Limit"] = axes.axvline(best, zorder=0, **style)
    axes.set_ylim(max(len(improvements), 1) - 0.4, -0.6)
    axes.set_yticks(y, [one.label for one in improvements], fontsize=FONT - 1)
    axes.tick_params(axis="y", which="both", left=False, right=False)
    axes.set_xlabel(
        rf"$\varepsilon_S\,/\,\sqrt{{\varepsilon_B}}$ at {100 * asked:g} % background",
        fontsize=FONT + 1,
    )
    handles = {
        name: Line2D([], [], color=colour, marker=marker)
        for kind, (colour, marker, name) in LOOKS.items()
        if any(one.kind == kind for one in improvements)
    }
    handles |= lines
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="upper right",
        ncols=len(handles),
        columnspacing=1.2,
        fontsize=FONT - 2,
        bbox_to_anchor=(0.97, 1.0),
        borderaxespad=0.2,
    )
    add_caption(axes, caption, title)
    return figure
