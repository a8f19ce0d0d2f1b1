"""Draw data against stacked simulation."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import PathPatch, StepPatch
from matplotlib.path import Path
from matplotlib.ticker import AutoMinorLocator, LogLocator, MaxNLocator

from plotting.legend import LINE, Entry, arrange, dash_of, draw_legend, text_width
from plotting.style import (
    BAND,
    FONT,
    INK,
    NO_CAPTION,
    QUIET,
    STYLE,
    add_caption,
    axis_title,
    count,
    number,
    styled,
)

LEFT, RIGHT, BOTTOM, MIDDLE, TOP = 0.125, 0.965, 0.115, 0.315, 0.94  # of the figure
GAP = 0.02
MOST_LETTERS = 62  # that fit below a plot
DECADES = 6  # of a logarithmic axis, at most; more only so that data are seen
NOTE = FONT - 3  # size of notes, points
EDGE = 10  # between texts and the sides of the plot, where the ticks are, points
HALO = 1.4  # width of the white edge of a signal's line on each side, points
POINT = {"marker": "o", "color": INK, "linestyle": "", "markersize": 3.6}
# Around a point, and at the upper edge of the ratio: data where there is no simulation.
RING = POINT | {"markersize": 8.0, "markerfacecolor": "none", "markeredgewidth": 1.1}


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
        edges = stack.edges
        main, ratio = self.main, self.ratio
        with_ratio = stack.data is not None and bool(stack.layers)
        ratio.set_visible(with_ratio)
        low = MIDDLE + GAP if with_ratio else BOTTOM
        main.set_position((LEFT, low, RIGHT - LEFT, TOP - low))
        wide, high = self.figure.get_size_inches() * 72
        self.size = (RIGHT - LEFT) * wide, (TOP - low) * high
        self.legend = arrange(entries_of(stack), self.size[0] - 2 * EDGE)
        self.notes = [tail.sentence(stack.label, stack.unit) for tail in stack.tails]
        bottom, top = self.limits(stack, log)
        if main.get_yscale() != ("log" if log else "linear"):
            main.set_yscale("log" if log else "linear")
            main.minorticks_off()
        if log:
            locators = LogLocator(numticks=8), LogLocator(subs=np.arange(2, 10), numticks=8)
        else:
            locators = MaxNLocator(6), AutoMinorLocator()
        main.yaxis.set_major_locator(locators[0])
        main.set_ylim(bottom, top)
        main.set_xlim(edges[0], edges[-1])
        if with_ratio:
            self.set_ratio(stack, ratio_range)
        self.set_labels(stack, with_ratio)
        between = None if stack.ticks else AutoMinorLocator()
        self.artists += tick_marks(main, between, locators[1])
        self.draw_simulation(stack, bottom if log else None)
        if stack.data is not None:
            self.draw_data(stack)
        if with_ratio:
            self.artists += tick_marks(ratio, between, AutoMinorLocator())
            self.draw_ratio(stack)
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
            axes.minorticks_off()
            sides = dict.fromkeys(("left", "right", "top", "bottom"), False)
            axes.tick_params(**sides, labelright=False, labeltop=False)  # see tick_marks
            axes.yaxis.set_label_coords(-0.095, 1)
        self.ratio.yaxis.set_label_coords(-0.095, 0.5)

    def limits(self, stack, log):
        """Limits of the axis of events, with room for the legend."""
        heights = [stack.band[1]]
        heights += [signal.sumw * signal.factor for signal in stack.signals]
        if stack.data is not None:
            heights.append(stack.data_interval[1] * (stack.data > 0))
        highest = max(float(h.max(initial=0)) for h in heights)
        # The legend takes the same part of the axis whatever the number of decades.
        taken = self.legend.height + 1.4 * NOTE * (len(self.notes) + len(stack.notes)) + 12
        share = min(taken / self.size[1], 0.7)
        highest = highest or 1.0
        if not log:
            lowest = min(0.0, float(stack.total.min(initial=0)) * 1.1)
            return lowest, lowest + (highest - lowest) / (1 - share)
        least = float(stack.total[stack.total > 0].min(initial=highest)) / 3
        floor = max(min(least, 0.5, highest / 30), highest / 10 ** (DECADES * (1 - share)))
        if stack.data is not None:  # of these all are seen
            floor = min(floor, float(stack.data[stack.data > 0].min(initial=highest)) / 2)
        floor = max(floor, highest / 10**DECADES)
        return floor, floor * (highest / floor) ** (1 / (1 - share))

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
        total, (low, high) = stack.total, stack.band
        if floor is not None:
            low, high = np.maximum(low, floor / 10), np.maximum(high, floor / 10)
        outline = total if floor is None else np.maximum(total, floor / 10)
        line = steps(main, outline, edges, None, edgecolor=INK, linewidth=0.8, fill=False)
        band = steps(main, high, edges, low, fill=True, **BAND)
        self.artists += [line, band]
        for place, layer in enumerate(stack.signals):
            height = layer.sumw * layer.factor
            if floor is not None:
                height = np.maximum(height, floor / 10)
            # The white line below makes it stand on every fill.
            for colour, dash, width in (
                ("white", "-", LINE + 2 * HALO),
                (layer.colour, dash_of(place), LINE),
            ):
                style = {"edgecolor": colour, "linestyle": dash, "linewidth": width, "fill": False}
                self.artists.append(steps(main, height, edges, None, **style))

    def draw_data(self, stack):
        """Draw the points of the data."""
        filled = stack.data > 0
        centres = (stack.edges[1:] + stack.edges[:-1]) / 2
        low, high = stack.data_interval
        self.artists += errorbars(
            self.main, centres[filled], stack.data[filled], low[filled], high[filled]
        )
        lonely = stack.unexpected
        if lonely.any():
            self.artists.append(points(self.main, centres[lonely], stack.data[lonely], **RING))

    def set_ratio(self, stack, ratio_range):
        """Set the limits and ticks of the ratio."""
        axes, coarse = self.ratio, stack.coarse
        ratio = coarse.ratio[(coarse.data > 0) & np.isfinite(coarse.ratio)]
        if ratio_range is None:
            narrow = len(ratio) == 0 or ((ratio > 0.5) & (ratio < 1.5)).all()
            ratio_range = (0.5, 1.5) if narrow else (0.0, 2.0)
        axes.set_ylim(*ratio_range)
        axes.set_xlim(stack.edges[0], stack.edges[-1])
        step = (ratio_range[1] - ratio_range[0]) / 4
        axes.set_yticks(np.arange(ratio_range[0] + step, ratio_range[1], step))

    def draw_ratio(self, stack):
        """Draw data over simulation, with arrows for points outside; see Stack.coarse."""
        axes, coarse = self.ratio, stack.coarse
        edges = coarse.edges
        centres = (edges[1:] + edges[:-1]) / 2
        shown = (coarse.data > 0) & np.isfinite(coarse.ratio)
        ratio, (low, high) = coarse.ratio[shown], coarse.ratio_interval[:, shown]
        below, above = np.nan_to_num(coarse.ratio_band, nan=1.0)
        self.artists.append(steps(axes, above, edges, below, fill=True, **BAND))
        self.artists.append(axes.axhline(1, color=INK, linewidth=0.8))
        self.artists += errorbars(axes, centres[shown], ratio, low, high)
        start, end = axes.get_ylim()
        room = 0.04 * (end - start)
        joined = shown.copy()
        joined[[stop - start == 1 for start, stop in stack.bins]] = False
        if joined.any():
            y = np.clip(coarse.ratio[joined], start + room, end - room)
            left, right = edges[:-1][joined], edges[1:][joined]
            ends = [((a, b), (c, b)) for a, b, c in zip(left, y, right, strict=True)]
            self.artists.append(bars(axes, ends))
        lonely = (stack.edges[1:] + stack.edges[:-1])[stack.unexpected] / 2
        for x, style, place in (
            (centres[shown][ratio > end], {"marker": "^", "markersize": 4}, end - room),
            (centres[shown][ratio < start], {"marker": "v", "markersize": 4}, start + room),
            (lonely, RING | {"markersize": 5.5}, end - 1.6 * room),
        ):
            if len(x):
                y = np.full(len(x), place)
                self.artists.append(points(axes, x, y, zorder=6, **style))

    def set_labels(self, stack, with_ratio):
        """Name the axes and tick codes."""
        main, ratio = self.main, self.ratio
        lowest = ratio if with_ratio else main
        widths = np.diff(stack.edges)
        counts = stack.counts
        equal = np.allclose(widths, widths[0])
        width = f"{widths[0]:.3g}" if equal else "bin"
        per_bin = "" if stack.ticks or counts and equal else f" / {width}"
        unit = f" {stack.unit}" if stack.unit and per_bin and equal else ""
        main.set_ylabel(f"Events{per_bin}{unit}")
        for axes in (main, ratio):
            axes.set_xlabel("")
            if stack.ticks:
                # Many or long names become smaller; those of a plot before stay as they are.
                size = min(FONT, 0.9 * FONT * MOST_LETTERS / len("  ".join(stack.ticks)))
                axes.set_xticks((stack.edges[1:] + stack.edges[:-1]) / 2, stack.ticks)
                axes.tick_params(axis="x", labelsize=size)
            else:
                axes.xaxis.set_major_locator(MaxNLocator(6, min_n_ticks=3, integer=counts))
                axes.xaxis.set_major_formatter("{x:g}")
                axes.tick_params(axis="x", labelsize=STYLE["xtick.labelsize"])
        main.xaxis.set_visible(not with_ratio)  # its ticks are among tick_marks
        if with_ratio:
            ratio.set_ylabel("Data / sim.", loc="center")
        lowest.set_xlabel(axis_title(stack.label, stack.unit), fontsize=FONT + 2)
        lowest.xaxis.set_label_coords(1, -0.075 if not with_ratio else -0.25)

    def add_legend(self, stack):
        """Add the legend, and below it notes: first what is in the tails."""
        main, (width, height) = self.main, self.size
        right, top = width - EDGE, height - 7
        self.artists += draw_legend(main, self.legend, self.size, (right, top))
        top -= self.legend.height + 0.4 * NOTE
        for lines, colour in ((self.notes, INK), (stack.notes, QUIET)):
            for line in lines:
                place = right / width, top / height
                fits = min(1.0, (width - 3 * EDGE) / text_width(line, NOTE))
                style = {"ha": "right", "va": "top", "fontsize": NOTE * fits, "color": colour}
                style |= {"transform": main.transAxes, "zorder": 6}
                self.artists.append(main.text(*place, line, **style))
                top -= 1.4 * NOTE


def entries_of(stack):
    """The Entries of the legend of a Stack."""
    made = []
    if stack.data is not None:
        made.append(Entry(f"{stack.data_label}  {count(stack.events)}", "point", style=POINT))
    for layer in stack.layers:
        made.append(Entry(f"{layer.label}  {number(layer.total)}", "area", layer.colour))
    for place, layer in enumerate(stack.signals):
        factor = f" (×{layer.factor:g})" if layer.factor != 1 else ""
        label = f"{layer.label}  {number(layer.total)}{factor}"
        made.append(Entry(label, "line", layer.colour, dash_of(place)))
    if stack.layers:
        words = "Stat. unc." if stack.systematic is None else "Stat. + syst. unc."
        made.append(Entry(stack.band_label or words, "band"))
    if stack.data is not None and stack.unexpected.any():
        events = count(float(stack.data[stack.unexpected].sum()))
        made.append(Entry(f"Data without simulation  {events}", "point", style=RING))
    return made


def tick_marks(axes, x_between, y_between):
    """Draw the ticks of axes on all sides, as one path of the major and one of the minor ones.

    x_between, y_between: locators of the minor ticks; None: a code, which has no ticks
    That looks like those of the axes, which draw each by itself, in a third of the plot's time.
    Returns the artists.
    """
    points = axes.get_position().size * axes.figure.get_size_inches() * 72
    to_axes = axes.transScale + axes.transLimits
    lines = {"major": [], "minor": []}
    for which, (axis, locator) in enumerate(((axes.xaxis, x_between), (axes.yaxis, y_between))):
        if locator is None:
            continue
        locator.set_axis(axis)
        low, high = sorted(axis.get_view_interval())
        major = np.asarray(axis.get_major_locator()())
        minor = np.setdiff1d(locator(), major)
        for kind, found in (("major", major), ("minor", minor)):
            found = found[(found > low) & (found < high)]
            at = np.tile([axes.get_xlim()[0], axes.get_ylim()[0]], (len(found), 1))
            at[:, which] = found
            place = to_axes.transform(at)[:, which]
            length = STYLE[f"{'xy'[which]}tick.{kind}.size"] / points[1 - which]
            for start, end in ((0, length), (1, 1 - length)):
                ends = np.empty((len(place), 2, 2))
                ends[:, :, which] = place[:, None]
                ends[:, :, 1 - which] = start, end
                lines[kind].append(ends.reshape(-1, 2))
    made = []
    for kind, width in (("major", STYLE["axes.linewidth"]), ("minor", 0.6)):
        vertices = np.concatenate(lines[kind])
        codes = np.tile([Path.MOVETO, Path.LINETO], len(vertices) // 2)
        style = {"edgecolor": INK, "linewidth": width, "capstyle": "butt", "fill": False}
        style |= {"transform": axes.transAxes, "zorder": 2.5, "clip_on": False}
        made.append(axes.add_artist(PathPatch(Path(vertices, codes), **style)))
    return made


def steps(axes, values, edges, baseline, **style):
    """As axes.stairs, but without looking for the limits of the axes, which takes longer."""
    return axes.add_artist(StepPatch(values, edges, baseline=baseline, **style))


def errorbars(axes, x, y, low, high):
    """Points with bars from `low` to `high`; returns the two artists."""
    return points(axes, x, y), bars(
        axes, [((a, b), (a, c)) for a, b, c in zip(x, low, high, strict=True)]
    )


def points(axes, x, y, **style):
    """As axes.plot with the look of POINT, see `steps`."""
    return axes.add_artist(Line2D(x, y, **{**POINT, "zorder": 5, **style}))


def bars(axes, segments):
    """Lines between pairs of points, see `steps`."""
    return axes.add_artist(LineCollection(segments, colors=INK, linewidths=1.0, zorder=5))
