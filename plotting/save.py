"""Pictures as files: complete or not there, and the same bytes for the same picture."""

import io
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.files import write_file
from plotting.renderers import draw_once
from plotting.style import DPI, drawing

FORMATS = ("pdf", "png")
NUMBERS = "csv"  # format of the numbers of a picture


@dataclass(frozen=True)
class Drawn:
    """A picture of a page or a command."""

    name: str  # of its file
    title: str  # on the page, text or HTML as Markup
    figure: Figure
    text: str = ""  # for those who do not see it, if not the title
    group: str = ""  # part of the page
    told: dict | None = None  # of an event, what explained.json says
    numbers: pd.DataFrame | None = None  # what is drawn, a row per bin, cell, bar or point

    def __repr__(self):
        return f"picture {self.name}: {self.text or self.title}"

    def _repr_png_(self):
        """What a notebook shows."""
        return figure_as_png(self.figure)


def save_drawn(drawn, folder, formats=FORMATS):
    """Write a Drawn below a folder, see `save`."""
    return save(drawn.figure, folder / drawn.name, formats, drawn.numbers)


def save(figure, path, formats=FORMATS, numbers=None):
    """Write a figure as `path` plus the ending of each format; returns the files.

    numbers: DataFrame of what is drawn, for the format "csv"
    Raises OutputError where a file cannot be written.
    """
    with drawing():
        made = draw_once(figure, [ending for ending in formats if ending != NUMBERS])
    if NUMBERS in formats and numbers is not None:
        made[NUMBERS] = as_csv(numbers)
    written = []
    for ending in formats:
        if ending in made:
            written.append(Path(f"{path}.{ending}"))
            content = made[ending]
            write_file(written[-1], as_png(content) if ending == "png" else content)
    return written


def figure_as_png(figure):
    """The bytes of a PNG file of a Figure."""
    with drawing():
        return as_png(draw_once(figure, ["png"])["png"])


def as_png(image):
    """The bytes of a PNG file of an Image."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", compress_level=3, dpi=(DPI, DPI))
    return buffer.getvalue()


def as_csv(numbers):
    """The bytes of a CSV file of a DataFrame."""
    return numbers.to_csv(index=False).encode()
