"""A legend whose places are computed once per picture, in a fifth of matplotlib's time.

Handles of lines are so long that they show two periods of each dash pattern of `SIGNAL_DASHES`.
"""

from dataclasses import dataclass
from functools import lru_cache

from matplotlib.collections import PolyCollection
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.textpath import text_to_path

from plotting.style import BAND, FONT, INK

SIZES = (
    FONT - 2,
    FONT - 2.5,
    FONT - 3,
    FONT - 3.5,
)  # of letters, points; the smaller ones for many entries
MOST_ROWS = 4  # that ask for no smaller letters
SHORT, LONG = 1.5, 3.3  # handles of areas and lines, in letters
ROW, GAP = 1.4, 1.0  # height of a row and space between columns, likewise
# On and off in widths of the line; no two of them have the same rhythm.
SIGNAL_DASHES = (
    (0, (3, 1.2)),
    (0, (3.6, 1, 1, 1)),
    (0, (1, 1)),
    (0, (3, 0.9, 0.9, 0.9, 0.9, 0.9)),
    "-",
    (0, (6, 1.8)),
    (0, (1, 2.6)),
    (0, (4.4, 1, 1.8, 1)),
)
LINE = 1.8  # width of a signal's line, points


def dash_of(place):
    """Dash pattern of the signal at a place; after the last they come in another order."""
    number = len(SIGNAL_DASHES)
    return SIGNAL_DASHES[(place + place // number) % number]


@dataclass(frozen=True)
class Entry:
    """A line of a legend."""

    label: str  # LaTeX allowed
    kind: str  # area, band, line or point
    colour: str = INK
    style: object = None  # dashes of a line, or what Line2D is told about a point


@dataclass(frozen=True)
class Layout:
    """Entries in columns, in points from the upper right corner of a place for them."""

    size: float  # of letters
    columns: tuple[tuple[Entry, ...], ...]
    handles: tuple[float, ...]  # width of those of each column
    widths: tuple[float, ...]  # of each column with its handles

    @property
    def width(self):
        """Of everything."""
        return sum(self.widths) + GAP * self.size * (len(self.columns) - 1)

    @property
    def height(self):
        """Of everything."""
        return ROW * self.size * max(map(len, self.columns), default=0)


@lru_cache(2000)
def text_width(text, size):
    """Width of a text of one line in points."""
    font = FontProperties(size=size)
    is_math = Text(0, 0, text)._preprocess_math(text)
    return text_to_path.get_text_width_height_descent(*is_math[:1], font, is_math[1])[0]


def in_columns(entries, number, size):
    """The Layout of entries in so many columns."""
    rows = -(-len(entries) // number)
    parts = [tuple(entries[at : at + rows]) for at in range(0, len(entries), rows)]
    handles = [size * max(LONG if e.kind == "line" else SHORT for e in part) for part in parts]
    widths = [
        handle + 0.5 * size + max(text_width(e.label, size) for e in part)
        for handle, part in zip(handles, parts, strict=True)
    ]
    return Layout(size, tuple(parts), tuple(handles), tuple(widths))


def arrange(entries, width):
    """The Layout of entries that fits into a width in points: few rows, then large letters."""
    found = None
    for size in SIZES:
        for number in (2, 3, 4):
            made = in_columns(entries, number, size)
            if made.width > width:
                break
            if len(made.columns[0]) <= MOST_ROWS:
                return made
            if found is None or made.height < found.height:
                found = made
    if found is None:  # one label is longer than the axes
        share = width / in_columns(entries, 1, SIZES[-1]).width
        found = in_columns(entries, 1, max(SIZES[-1] * min(share, 1), 2.0))
    return found


def draw_legend(axes, layout, size, corner):
    """Draw a Layout in axes; returns the artists.

    size: width and height of the axes in points; corner: upper right one of the legend, likewise
    """
    width, height = size
    right, top = corner
    left, row = right - layout.width, ROW * layout.size
    areas, colours, artists = [], [], []
    everywhere = {"transform": axes.transAxes, "zorder": 6}
    for entries, handle, wide in zip(layout.columns, layout.handles, layout.widths, strict=True):
        for place, entry in enumerate(entries):
            middle = (top - (place + 0.5) * row) / height
            own = handle if entry.kind == "line" else SHORT * layout.size
            x, y = (left + handle - own) / width, middle - 0.35 * layout.size / height
            w, h = own / width, 0.7 * layout.size / height
            if entry.kind == "area":
                areas.append([(x, y), (x + w, y), (x + w, y + h), (x, y + h)])
                colours.append(entry.colour)
            elif entry.kind == "band":
                artists.append(Rectangle((x, y), w, h, **BAND, **everywhere))
            elif entry.kind == "line":
                style = {"color": entry.colour, "linestyle": entry.style, "linewidth": LINE}
                artists.append(Line2D([x, x + w], [middle, middle], **style, **everywhere))
            else:
                artists.append(Line2D([x + w / 2], [middle], **entry.style, **everywhere))
            artists.append(
                Text(
                    x + w + 0.5 * layout.size / width,
                    middle,
                    entry.label,
                    fontsize=layout.size,
                    va="center_baseline",
                    label="legend",
                    **everywhere,
                )
            )
        left += wide + GAP * layout.size
    artists.append(PolyCollection(areas, facecolors=colours, linewidths=0, **everywhere))
    return [axes.add_artist(artist) for artist in artists]
