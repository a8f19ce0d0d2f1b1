"""Tables of statistical results for a terminal of 80 columns."""

import numpy as np


def number(value, digits=3):
    """A number in few characters; "-" for one that is not known."""
    return "-" if value is None else f"{value:.{digits}g}"


def count(value):
    """A yield: digits that matter, in at most nine characters."""
    if value is None:
        return "-"
    return f"{value:.1f}" if 10 <= abs(value) < 1e6 else f"{value:.3g}"


def columns(rows, header):
    """Rows of words as lines: the first column to the left, others to the right."""
    every = [header, *rows]
    widths = [max(len(row[n]) for row in every) for n in range(len(header))]
    return "\n".join(
        "  ".join(
            word.ljust(width) if n == 0 else word.rjust(width)
            for n, (word, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in every
    )


def yields_table(model):
    """The yields of a Model before any fit, a row per region and process."""
    rows = []
    for channel in model.channels:
        region = channel.region
        for process, yields in model.yields[region].items():
            error = np.sqrt(yields.variance.sum())
            rows.append((f"{region} {process}", count(yields.nominal.sum()), count(error)))
        background = model.backgrounds(region).values()
        error = np.sqrt(sum(y.variance.sum() for y in background))
        rows.append((f"{region} background", count(model.background(region).sum()), count(error)))
        seen = "blind" if channel.asimov else f"{model.data[region].sum():.0f}"
        rows.append((f"{region} data", seen, ""))
    return columns(rows, ("region, process", "events", "simulation's error"))
