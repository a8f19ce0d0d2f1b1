"""How pictures look: mplhep's ROOT style at journal size, and the labels above a plot."""

from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, wraps

import mplhep
from matplotlib import pyplot, rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.mathtext import MathTextParser

from analysis.content import shown
from analysis.errors import InputError

FONT = 11  # points
DPI = 150  # of PNG files

STYLE = {
    **mplhep.style.ROOT,
    "figure.figsize": (6.4, 5.6),
    "figure.dpi": DPI,
    "font.size": FONT,
    # The sans-serif letters of the style have no root sign.
    "mathtext.fallback": "stixsans",
    "axes.linewidth": 1.0,
    "xtick.major.size": 7,
    "xtick.minor.size": 3.5,
    "xtick.major.pad": 5,
    "ytick.major.size": 7,
    "ytick.minor.size": 3.5,
    "lines.linewidth": 1.4,
    "hatch.linewidth": 0.6,
    "svg.hashsalt": "m3l",  # otherwise names inside the file are random
}

BAND = {"facecolor": "none", "edgecolor": "#404040", "hatch": "//////", "linewidth": 0}
MISSING = "#c4c4c4"  # cells of the matrix without a value
INK = "#000000"
QUIET = "#5a5a5a"


@dataclass(frozen=True)
class Caption:
    """What stands above a plot; empty by default, since not every plot is a collaboration's."""

    experiment: str = ""  # bold, "ATLAS"
    status: str = ""  # after it, "Internal"
    energy_tev: float | None = None
    luminosity_ifb: float | None = None

    @property
    def right(self):
        """Energy and luminosity as LaTeX."""
        parts = []
        if self.energy_tev:
            parts.append(rf"$\sqrt{{s}} = {self.energy_tev:g}$ TeV")
        if self.luminosity_ifb:
            parts.append(rf"{self.luminosity_ifb:.4g} fb$^{{-1}}$")
        return ", ".join(parts)


NO_CAPTION = Caption()


PARSERS = {"vector": MathTextParser("path"), "raster": MathTextParser("agg")}
PARSE = MathTextParser._parse_cached.__wrapped__


@lru_cache(2000)
def parse_label(kind, *label):
    """What matplotlib's parser of a kind makes of the LaTeX of a label. Raises InputError."""
    try:
        return PARSE(PARSERS[kind], *label)
    except (ValueError, RecursionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[-1]
        raise InputError(f"matplotlib cannot draw the label {shown(label[0])}: {reason}") from None


@contextmanager
def drawing():
    """Draw in the style of this module, and parse each label once.

    Parsing LaTeX is half of the time of a plot, and matplotlib forgets what it has parsed with each
    picture: its cache belongs to a parser, and each picture has a new one. Parsers of one kind give
    equal results, so they share one while we draw; what others draw stays as it was.
    """
    own = MathTextParser._parse_cached
    MathTextParser._parse_cached = lambda parser, *label: parse_label(parser._output_type, *label)
    try:
        with rc_context(STYLE):
            yield
    finally:
        MathTextParser._parse_cached = own


def styled(draw):
    """Decorator: the function draws in the style of this module."""

    @wraps(draw)
    def draw_in_style(*arguments, **options):
        with drawing():
            return draw(*arguments, **options)

    return draw_in_style


def add_caption(axes, caption, left="", until=None):
    """Write experiment and status above `axes` on the left, energy and luminosity on the right.

    left: plain text, for the left side where it is free or after the status
    until: axes to whose right end the texts may reach, if not the same
    Texts that would meet become smaller. Returns the artists.
    """
    until = until or axes
    labelled = caption.experiment or caption.status
    right = ",  ".join(part for part in (left if labelled else "", caption.right) if part)
    size, artists = FONT, []
    for _ in range(2):
        artists = []
        if labelled:
            before = pyplot.get_fignums()
            made = mplhep.label.exp_text(
                exp=caption.experiment, text=caption.status, loc=0, ax=axes, fontsize=size + 2
            )
            # mplhep may have made one, which a notebook would show.
            for made_number in set(pyplot.get_fignums()) - set(before):
                pyplot.close(made_number)
            artists += [text for text in made if text is not None]
        elif left:
            artists.append(write_above(axes, left, 0, "left", size))
        if right:
            artists.append(write_above(until, right, 1, "right", size))
        if len(artists) < 2 or not right:
            break
        share = share_of_width(artists, axes, until)
        if share <= 1 or size < FONT:
            break
        for artist in artists:
            artist.remove()
        size = max(FONT / share, 4)
    return artists


def share_of_width(texts, axes, until):
    """How much of the width from one axes to another some texts above them need, with a gap."""
    figure = axes.figure
    canvas = figure.canvas if hasattr(figure.canvas, "get_renderer") else FigureCanvasAgg(figure)
    renderer = canvas.get_renderer()
    width = sum(text.get_window_extent(renderer).width for text in texts) + 0.15 * figure.dpi
    return width / (until.get_window_extent(renderer).x1 - axes.get_window_extent(renderer).x0)


def write_above(axes, text, place, side, size=FONT):
    """Write a line above `axes`, from a place of its width to a side; returns the artist."""
    return axes.annotate(
        text,
        (place, 1),
        (0, 4),
        xycoords="axes fraction",
        textcoords="offset points",
        ha=side,
        fontsize=size,
        annotation_clip=False,
    )


def legend_above(figure, axes, right):
    """A legend of two entries above `axes` that ends at `right`, a share of the figure."""
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="upper right",
        ncols=2,
        fontsize=FONT - 1,
        bbox_to_anchor=(right, 1.0),
        borderaxespad=0.25,
    )


def make_room(figure, axes):
    """Widen a figure to the left where the labels of the y axis of `axes` need it."""
    canvas = FigureCanvasAgg(figure)
    labels = [label.get_window_extent(canvas.get_renderer()) for label in axes.get_yticklabels()]
    width, height = figure.get_size_inches()
    needed = max((label.width for label in labels), default=0) / figure.dpi + 0.2
    more = needed - axes.get_position().x0 * width
    if more <= 0:
        return
    figure.set_size_inches(width + more, height)
    for one in figure.axes:
        x, y, w, h = one.get_position().bounds
        one.set_position(((x * width + more) / (width + more), y, w * width / (width + more), h))


def axis_title(label, unit):
    """Label and unit of a quantity as an axis shows them."""
    return f"{label} [{unit}]" if unit else label


def number(value):
    """A yield with three or more significant digits, without exponent."""
    size = abs(value)
    if size >= 100 or value == 0:
        return f"{value:.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if size >= 0.1 else f"{value:.2g}"


def count(events):
    """A number of events: a whole one without decimals, even if a sum of weights is a bit off."""
    return f"{events:.0f}" if abs(events - round(events)) < 1e-3 else number(events)
