"""Pictures as files: complete or not there, and the same bytes for the same picture."""

import io
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from analysis.files import write_file
from plotting.style import DPI, drawing

# Without the time and the version of matplotlib.
METADATA = {
    "png": {"Software": None},
    "pdf": {"Creator": None, "Producer": None, "CreationDate": None},
    "svg": {"Date": None, "Creator": None},
}
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


def save_drawn(drawn, folder, formats=FORMATS):
    """Write a Drawn below a folder, see `save`."""
    return save(drawn.figure, folder / drawn.name, formats, drawn.numbers)


def save(figure, path, formats=FORMATS, numbers=None):
    """Write a figure as `path` plus the ending of each format; returns the files.

    numbers: DataFrame of what is drawn, for the format "csv"
    Raises OutputError where a file cannot be written.
    """
    written = []
    for ending in formats:
        target = Path(f"{path}.{ending}")
        if ending == NUMBERS:
            if numbers is not None:
                write_file(target, numbers.to_csv(index=False))
                written.append(target)
            continue
        buffer = io.BytesIO()
        with drawing():
            more = {"pil_kwargs": {"compress_level": 3}} if ending == "png" else {}
            figure.savefig(buffer, format=ending, dpi=DPI, metadata=METADATA[ending], **more)
        write_file(target, buffer.getvalue())
        written.append(target)
    return written
