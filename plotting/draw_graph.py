"""Draw a computation graph."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Patch, PathPatch
from matplotlib.path import Path

from plotting.style import FONT, INK, NO_CAPTION, add_caption, styled

COLOURS = {
    "column": "#e8e8e8",
    "object": "#ffd58a",
    "variable": "#fff2b3",
    "weight": "#e3c9ea",
    "matrix": "#a9d3f5",
    "feature": "#c9e6f5",
    "cut": "#f5b8a9",
}
LINES = {
    "column": "#a0a0a0",
    "object": "#c77f00",
    "variable": "#9a8a00",
    "feature": "#2f7fb0",
}
ROW = 0.27  # inches


@styled
def draw_graph(nodes, places, *, title="", caption=NO_CAPTION):
    """Draw nodes as boxes in columns, from what is read on the left to what comes out on the right.

    nodes: tuple of graph.Node; places: {name: (level, row)}
    Lines have the colour of what they come from; cuts of a region follow each other downwards.
    Returns the Figure.
    """
    levels = 1 + max(level for level, _ in places.values())
    tallest = max(2 * abs(row) for _, row in places.values()) + 1
    height = ROW * tallest + 1.1
    width = max(8.0, 2.05 * levels + 0.6)
    figure = Figure(figsize=(width, height))
    axes = figure.add_axes((0.01, 0.55 / height, 0.98, 1 - 0.95 / height))
    axes.set_axis_off()
    boxes = {}
    longest = [0] * levels
    for node in nodes:
        longest[node.level] = max(longest[node.level], len(node.text))
    sizes = [0.3 + 0.078 * letters for letters in longest]
    gap = (0.98 * width - sum(sizes)) / max(levels - 1, 1)
    starts = np.cumsum([0, *(size + gap for size in sizes[:-1])])
    counts = {}
    for node in nodes:
        counts[node.level] = counts.get(node.level, 0) + 1
    for node in nodes:
        level, row = places[node.name]
        # Short columns are spread over the height.
        stretch = min(4.0, tallest / (counts[level] + 1))
        y = -(row + 0.5) * stretch * ROW
        boxes[node.name] = (starts[level], y, sizes[level])
    by_name = {node.name: node for node in nodes}
    for node in nodes:
        left, y, _ = boxes[node.name]
        for need in node.needs:
            start, y_from, size = boxes[need]
            x_from = start + size
            middle = (left - x_from) * 0.5
            curve = Path(
                [(x_from, y_from), (x_from + middle, y_from), (left - middle, y), (left, y)],
                [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4],
            )
            colour = LINES.get(by_name[need].kind, INK)
            axes.add_patch(
                PathPatch(curve, facecolor="none", edgecolor=colour, linewidth=0.7, alpha=0.6)
            )
    previous = None
    for node in nodes:
        left, y, size = boxes[node.name]
        box = FancyBboxPatch(
            (left, y - 0.34 * ROW),
            size,
            0.68 * ROW,
            boxstyle="round,pad=0,rounding_size=0.05",
            facecolor=COLOURS[node.kind],
            edgecolor=INK,
            linewidth=0.6,
        )
        axes.add_patch(box)
        axes.text(left + size / 2, y, node.text, ha="center", va="center", fontsize=FONT - 2)
        if node.kind == "cut":
            region = node.text.split(":")[0]
            if previous and previous[0] == region:
                axes.annotate(
                    "",
                    (left + size / 2, y + 0.34 * ROW),
                    (left + size / 2, previous[1] - 0.34 * ROW),
                    arrowprops={"arrowstyle": "-|>", "color": INK, "shrinkA": 0, "shrinkB": 0},
                )
            previous = (region, y)
    axes.set_xlim(-0.03 * width * 0.2, 0.985 * width)
    extent = [y for _, y, _ in boxes.values()]
    axes.set_ylim(min(extent) - 0.6 * ROW, max(extent) + 0.6 * ROW)
    kinds = [kind for kind in COLOURS if any(node.kind == kind for node in nodes)]
    figure.legend(
        handles=[
            Patch(facecolor=COLOURS[kind], edgecolor=INK, linewidth=0.6, label=kind)
            for kind in kinds
        ],
        loc="lower center",
        ncols=len(kinds),
        fontsize=FONT - 1,
        borderpad=0.3,
        handlelength=1.4,
    )
    add_caption(axes, caption, title)
    return figure
