"""Draw data against stacked simulation."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import TICKDOWN, TICKLEFT, TICKRIGHT, TICKUP, Line2D
from matplotlib.patches import StepPatch
from matplotlib.ticker import AutoMinorLocator, LogLocator, MaxNLocator

from plotting.style import (
    BAND,
    FONT,
    INK,
    NO_CAPTION,
    QUIET,
    STYLE,
    add_caption,
    axis_title,
    number,
    styled,
)

LEFT, RIGHT, BOTTOM, MIDDLE, TOP = 0.125, 0.965, 0.115, 0.315, 0.94  # of the figure
GAP = 0.02
MOST_LETTERS = 62  # that fit below a plot
SIGNAL_DASHES = ("--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))


@styled
def draw_stack(stack, *, log=True, caption=NO_CAPTION, ratio_range=None, canvas=None):
    """Draw data against stacked simulation with their ratio.

    stack: Stack
    log: logarithmic axis of events; bins without positive sum are then left out of the drawing
    caption: Caption above the plot
    ratio_range: (low, high) of the ratio; None: 0.5 to 1.5, or 0 to 2 where points are outside.
        Arrows stand for points beyond it. Without data there is no ratio.
    canvas: StackCanvas to draw on, which makes many plots faster; its Figure is drawn over
    Data points have exact Poisson errors; bins without data have no point.
    Returns the Figure.
    """
    canvas = canvas or StackCanvas()
    return canvas.draw(stack, log, caption, ratio_range)


class StackCanvas:
    """A figure with axes whose ticks are made once and used for many plots."""

    def __init__(self):
        self.figure = None

    def draw(self, stack, log, caption, ratio_range):
        """See `draw_stack`; returns the Figure, which the next call changes."""
        if self.figure is None:
            self.prepare()
        for artist in self.artists:
            artist.remove()
        self.artists = []
        self.handles = []
        edges = stack.edges
        main, ratio = self.main, self.ratio
        with_ratio = stack.data is not None
        ratio.set_visible(with_ratio)
        low = MIDDLE + GAP if with_ratio else BOTTOM
        main.set_position((LEFT, low, RIGHT - LEFT, TOP - low))
        bottom, top = self.limits(stack, log)
        main.set_yscale("log" if log else "linear")
        if log:
            main.yaxis.set_major_locator(LogLocator(numticks=8))
            between = LogLocator(subs=np.arange(2, 10), numticks=8)
        else:
            main.yaxis.set_major_locator(MaxNLocator(6))
            between = AutoMinorLocator()
        main.set_ylim(bottom, top)
        main.set_xlim(edges[0], edges[-1])
        self.artists += minor_ticks(main.yaxis, between)
        self.draw_simulation(stack, bottom if log else None)
        if with_ratio:
            self.draw_data(stack)
            self.draw_ratio(stack, ratio_range)
        self.set_labels(stack, with_ratio)
        note = f"{stack.region}, blind: data not drawn" if stack.blind else stack.region
        self.artists += add_caption(main, caption, note)
        self.add_legend(stack)
        return self.figure

    def prepare(self):
        """Make what all pictures have in common."""
        self.figure = Figure()
        # A canvas that stays keeps what it knows about texts from plot to plot.
        FigureCanvasAgg(self.figure)
        self.ratio = self.figure.add_axes((LEFT, BOTTOM, RIGHT - LEFT, MIDDLE - BOTTOM))
        self.main = self.figure.add_axes((LEFT, MIDDLE, RIGHT - LEFT, TOP - MIDDLE))
        self.artists = []
        for axes in (self.main, self.ratio):
            axes.minorticks_off()  # see minor_ticks

    def limits(self, stack, log):
        """Limits of the axis of events, with room for the legend."""
        heights = [stack.band[1]]
        heights += [signal.sumw * signal.factor for signal in stack.signals]
        if stack.data is not None:
            heights.append(stack.data_interval[1] * (stack.data > 0))
        highest = max(float(h.max(initial=0)) for h in heights)
        rows = self.legend_rows(stack)
        if not log:
            lowest = min(0.0, float(stack.total.min(initial=0)) * 1.1)
            return lowest, (highest or 1.0) * (1.15 + 0.085 * rows)
        positive = stack.total[stack.total > 0]
        floor = float(positive.min()) / 3 if len(positive) else 0.1
        highest = highest if highest > 0 else 1.0
        floor = max(min(floor, 0.5, highest / 30), highest * 1e-6)
        # The legend takes the same part of the axis whatever the number of decades.
        share = 0.10 + 0.058 * rows
        return floor, floor * (highest / floor) ** (1 / (1 - min(share, 0.6)))

    @staticmethod
    def legend_rows(stack):
        """Number of rows of the legend."""
        entries = len(stack.layers) + len(stack.signals) + 1 + (stack.data is not None)
        return -(-entries // columns(entries))

    def draw_simulation(self, stack, floor):
        """Draw layers, band and signals; floor: where bars begin, None: at 0."""
        main, edges = self.main, stack.edges
        base = np.zeros(len(edges) - 1)
        drawn = []
        for layer in reversed(stack.layers):
            top = base + layer.sumw
            ends = [base, top] if floor is None else np.maximum([base, top], floor / 10)
            drawn.append(
                steps(
                    main,
                    ends[1],
                    edges,
                    ends[0],
                    fill=True,
                    facecolor=layer.colour,
                    edgecolor=layer.colour,
                    linewidth=0.3,
                )
            )
            base = top
        self.artists += drawn
        for layer, artist in zip(stack.layers, reversed(drawn), strict=True):
            self.handles.append((artist, f"{layer.label}  {number(layer.total)}"))
        total, (low, high) = stack.total, stack.band
        if floor is not None:
            low, high = np.maximum(low, floor / 10), np.maximum(high, floor / 10)
        outline = total if floor is None else np.maximum(total, floor / 10)
        line = steps(main, outline, edges, None, edgecolor=INK, linewidth=0.8, fill=False)
        band = steps(main, high, edges, low, fill=True, **BAND)
        self.artists += [line, band]
        words = "Stat. unc." if stack.systematic is None else "Stat. + syst. unc."
        self.band = (band, stack.band_label or words)
        for layer, dash in zip(stack.signals, SIGNAL_DASHES * len(stack.signals), strict=False):
            height = layer.sumw * layer.factor
            if floor is not None:
                height = np.maximum(height, floor / 10)
            style = {"edgecolor": layer.colour, "linestyle": dash, "linewidth": 1.8, "fill": False}
            outline = steps(main, height, edges, None, **style)
            self.artists.append(outline)
            factor = f" (×{layer.factor:g})" if layer.factor != 1 else ""
            self.handles.append((outline, f"{layer.label}  {number(layer.total)}{factor}"))

    def draw_data(self, stack):
        """Draw the points of the data."""
        filled = stack.data > 0
        centres = (stack.edges[1:] + stack.edges[:-1]) / 2
        low, high = stack.data_interval
        points, bars = errorbars(
            self.main, centres[filled], stack.data[filled], low[filled], high[filled]
        )
        self.artists += [points, bars]
        events = f"{stack.events:.0f}" if stack.events % 1 == 0 else number(stack.events)
        self.handles.insert(0, (points, f"{stack.data_label}  {events}"))

    def draw_ratio(self, stack, ratio_range):
        """Draw data over simulation, with arrows for points outside."""
        axes, edges = self.ratio, stack.edges
        centres = (edges[1:] + edges[:-1]) / 2
        shown = (stack.data > 0) & np.isfinite(stack.ratio)
        ratio, (low, high) = stack.ratio[shown], stack.ratio_interval[:, shown]
        if ratio_range is None:
            narrow = len(ratio) == 0 or ((ratio > 0.5) & (ratio < 1.5)).all()
            ratio_range = (0.5, 1.5) if narrow else (0.0, 2.0)
        axes.set_ylim(*ratio_range)
        step = (ratio_range[1] - ratio_range[0]) / 4
        axes.set_yticks(np.arange(ratio_range[0] + step, ratio_range[1], step))
        self.artists += minor_ticks(axes.yaxis, AutoMinorLocator())
        axes.set_xlim(edges[0], edges[-1])
        below, above = np.nan_to_num(stack.ratio_band, nan=1.0)
        self.artists.append(axes.stairs(above, edges, baseline=below, fill=True, **BAND))
        self.artists.append(axes.axhline(1, color=INK, linewidth=0.8))
        self.artists += errorbars(axes, centres[shown], ratio, low, high)
        room = 0.04 * (ratio_range[1] - ratio_range[0])
        for outside, marker, place in (
            (ratio > ratio_range[1], "^", ratio_range[1] - room),
            (ratio < ratio_range[0], "v", ratio_range[0] + room),
        ):
            if outside.any():
                x = centres[shown][outside]
                self.artists += axes.plot(
                    x, np.full(len(x), place), marker, color=INK, markersize=4, clip_on=False
                )

    def set_labels(self, stack, with_ratio):
        """Name the axes and tick codes."""
        main, ratio = self.main, self.ratio
        lowest = ratio if with_ratio else main
        widths = np.diff(stack.edges)
        counts = not stack.unit and widths[0] == 1
        equal = np.allclose(widths, widths[0])
        width = f"{widths[0]:.3g}" if equal else "bin"
        per_bin = "" if stack.ticks or counts and equal else f" / {width}"
        unit = f" {stack.unit}" if stack.unit and per_bin and equal else ""
        main.set_ylabel(f"Events{per_bin}{unit}")
        main.yaxis.set_label_coords(-0.095, 1)
        for axes in (main, ratio):
            axes.set_xlabel("")
            if stack.ticks:
                # Many or long names become smaller; those of a plot before stay as they are.
                size = min(FONT, 0.9 * FONT * MOST_LETTERS / len("  ".join(stack.ticks)))
                axes.set_xticks((stack.edges[1:] + stack.edges[:-1]) / 2, stack.ticks)
                axes.tick_params(axis="x", length=0, labelsize=size)
            else:
                axes.xaxis.set_major_locator(MaxNLocator(6, min_n_ticks=3))
                axes.xaxis.set_major_formatter("{x:g}")
                axes.tick_params(axis="x", length=7, labelsize=STYLE["xtick.labelsize"])
                self.artists += minor_ticks(axes.xaxis, AutoMinorLocator())
        main.tick_params(labelbottom=not with_ratio)
        if with_ratio:
            ratio.set_ylabel("Data / sim.", loc="center")
            ratio.yaxis.set_label_coords(-0.095, 0.5)
        lowest.set_xlabel(axis_title(stack.label, stack.unit), fontsize=FONT + 2)
        lowest.xaxis.set_label_coords(1, -0.075 if not with_ratio else -0.25)

    def add_legend(self, stack):
        """Add the legend and the notes."""
        main = self.main
        handles = [*self.handles, self.band]
        legend = main.legend(
            [handle for handle, _ in handles],
            [label for _, label in handles],
            ncols=columns(len(handles)),
            fontsize=FONT - 2,
            loc="upper right",
            bbox_to_anchor=(0.982, 0.995),
            borderpad=0.2,
            labelspacing=0.35,
            columnspacing=1.0,
            handlelength=1.5,
            handletextpad=0.5,
        )
        self.artists.append(legend)
        if stack.notes:
            self.artists.append(
                main.text(
                    0.975,
                    0.965 - 0.058 * (self.legend_rows(stack) + 0.3),
                    "\n".join(stack.notes),
                    transform=main.transAxes,
                    ha="right",
                    va="top",
                    fontsize=FONT - 3.5,
                    color=QUIET,
                )
            )


def minor_ticks(axis, locator):
    """Draw the minor ticks of an axis on both sides, as two rows of markers.

    That looks like those of the axis, which draws each by itself, in a third of the plot's time.
    Returns the artists.
    """
    axes = axis.axes
    locator.set_axis(axis)
    low, high = sorted(axis.get_view_interval())
    places = np.array([place for place in locator() if low < place < high])
    style = {
        "color": INK,
        "linestyle": "",
        "markersize": STYLE[f"{axis.axis_name}tick.minor.size"],
        "markeredgewidth": 0.6,
        "zorder": 2.5,
        "clip_on": False,
    }
    lower, upper = np.zeros(len(places)), np.ones(len(places))
    if axis.axis_name == "x":
        across = axes.get_xaxis_transform()
        rows = [(places, lower, TICKUP), (places, upper, TICKDOWN)]
    else:
        across = axes.get_yaxis_transform()
        rows = [(lower, places, TICKRIGHT), (upper, places, TICKLEFT)]
    lines = [Line2D(x, y, marker=marker, transform=across, **style) for x, y, marker in rows]
    return [axes.add_artist(line) for line in lines]


def columns(entries):
    """Columns of a legend."""
    return 3 if entries > 8 else 2


def steps(axes, values, edges, baseline, **style):
    """As axes.stairs, but without looking for the limits of the axes, which takes longer."""
    return axes.add_artist(StepPatch(values, edges, baseline=baseline, **style))


def errorbars(axes, x, y, low, high):
    """Points with bars from `low` to `high`; returns the two artists."""
    (points,) = axes.plot(x, y, "o", color=INK, markersize=3.6, zorder=5)
    bars = axes.vlines(x, low, high, color=INK, linewidth=1.0, zorder=5)
    return points, bars
