"""Cutflow and yields: the table as text, LaTeX and HTML, and the numbers of its plot."""

import re
from dataclasses import dataclass
from html import escape
from math import floor, log10

import numpy as np

from analysis.errors import InputError
from analysis.results import AGAIN
from plotting.stack import Layer, Stack, signal_factor


@dataclass(frozen=True)
class Row:
    """A process, the sum of backgrounds, or data, after each cut."""

    name: str
    label: str  # LaTeX
    kind: str  # background, total, signal or data
    entries: np.ndarray  # (cuts,) events
    sumw: np.ndarray  # (cuts,)
    sumw2: np.ndarray  # (cuts,)

    @property
    def error(self):
        """(cuts,) statistical error of `sumw`."""
        return np.sqrt(self.sumw2)


@dataclass(frozen=True)
class Cutflow:
    """The cutflow of a region, cut by cut; the first column holds all events read."""

    region: str
    cuts: tuple[str, ...]
    rows: tuple[Row, ...]  # backgrounds, their sum, signals, data
    blind: bool

    def rows_of(self, kind):
        """The rows of a kind."""
        return [row for row in self.rows if row.kind == kind]


def make_cutflow(results, region):
    """Sum the cutflow of a region over the samples of each process. Raises InputError."""
    cuts, merged = None, {}
    for sample in results.visible(region):
        entries = results.cutflow[region][sample.name]
        try:
            names = tuple(entry["cut"] for entry in entries)
            numbers = np.array([[e["entries"], e["sumw"], e["sumw2"]] for e in entries], float).T
        except (KeyError, TypeError, ValueError):
            numbers = np.empty(0)
        if numbers.shape != (3, len(entries)) or not len(entries) or cuts not in (None, names):
            raise InputError(
                f"{results.folder / 'cutflow.json'} holds no cutflow of sample '{sample.name}' in "
                f"region '{region}' with the cuts of the others: {AGAIN}"
            )
        cuts = names
        merged[sample.process] = merged.get(sample.process, 0) + numbers
    rows = {kind: [] for kind in ("background", "total", "signal", "data")}
    for process in results.processes:
        if process.name in merged:
            row = Row(process.name, process.label, process.kind, *merged[process.name])
            rows[process.kind].append(row)
    if rows["background"]:
        sums = sum(merged[row.name] for row in rows["background"])
        rows["total"].append(Row("total background", "Total background", "total", *sums))
    return Cutflow(
        region,
        cuts or (),
        tuple(row for group in rows.values() for row in group),
        results.regions[region].blind,
    )


def as_text(cutflow):
    """The table as lines for a terminal."""
    cells = [["", *cutflow.cuts]]
    for row in cutflow.rows:
        cells.append([row.name, *entries_of(row, "+-")])
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    lines = []
    for line in cells:
        first, *others = line
        columns = (f"{text:>{width}}" for text, width in zip(others, widths[1:], strict=True))
        lines.append(f"{first:<{widths[0]}}  " + "  ".join(columns))
    return [f"{cutflow.region}{', blind: no data' if cutflow.blind else ''}", *lines]


def entries_of(row, sign):
    """Yields with errors, as text; whole numbers for data."""
    if row.kind == "data":
        return [f"{value:.0f}" for value in row.sumw]
    return [with_error(*pair, sign) for pair in zip(row.sumw, row.error, strict=True)]


def with_error(value, error, sign="+-"):
    """A number with two significant digits of its error, and as many decimals itself."""
    decimals = 0 if error <= 0 else max(0, 1 - floor(log10(float(f"{error:.1e}"))))
    return f"{value:.{decimals}f} {sign} {error:.{decimals}f}"


def as_latex(cutflow):
    """The table as a LaTeX tabular, which needs the package booktabs."""
    protected = [latex_text(cut) for cut in cutflow.cuts]
    lines = [
        rf"\begin{{tabular}}{{l{'r' * len(cutflow.cuts)}}}",
        r"\toprule",
        " & ".join(["", *protected]) + r" \\",
        r"\midrule",
    ]
    before = None
    for row in cutflow.rows:
        if before is not None and row.kind != before:
            lines.append(r"\midrule")
        before = row.kind
        cells = [f"${text}$" for text in entries_of(row, r"\pm")]
        lines.append(" & ".join([row.label, *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def latex_text(text):
    """Plain text with LaTeX's own characters protected."""
    for character in "#$%&_{}":
        text = text.replace(character, "\\" + character)
    for character, code in (("<", "$<$"), (">", "$>$"), ("^", r"\textasciicircum{}")):
        text = text.replace(character, code)
    return text


def as_html(cutflow):
    """The table as an HTML table with a row per process."""
    head = "".join(f'<th scope="col">{escape(cut)}</th>' for cut in cutflow.cuts)
    lines = [f'<table class="numbers"><thead><tr><td></td>{head}</tr></thead><tbody>']
    for row in cutflow.rows:
        cells = "".join(f"<td>{text}</td>" for text in entries_of(row, "±"))
        lines.append(f'<tr class="{row.kind}"><th scope="row">{plain(row.label)}</th>{cells}</tr>')
    return "".join([*lines, "</tbody></table>"])


SYMBOLS = {
    r"\mu": "μ",
    r"\tau": "τ",
    r"\ell": "ℓ",
    r"\gamma": "γ",
    r"\delta": "δ",
    r"\nu": "ν",
    r"\bar{t}": "t̄",
    r"\ ": " ",
}


def plain(latex):
    """A LaTeX label as HTML with subscripts and superscripts, for tables and lists."""
    text = escape(latex, quote=False).replace("$", "")
    text = re.sub(r"\\(?:mathrm|text)\{([^{}]*)\}", r"\1", text)
    for command, symbol in SYMBOLS.items():
        text = text.replace(command, symbol)
    for _ in range(2):  # a subscript may have one of its own
        text = re.sub(r"_(?:\{([^{}]*)\}|(\w))", r"<sub>\1\2</sub>", text)
    text = re.sub(r"\^(?:\{([^{}]*)\}|(\w))", r"<sup>\1\2</sup>", text)
    return text.replace("{", "").replace("}", "").replace("\\", "")


def plain_text(latex):
    """A LaTeX label as plain text, for a terminal."""
    return re.sub(r"<[^>]*>", "", plain(latex))


def as_stack(cutflow, results):
    """The cutflow as a Stack with a bin per cut, for `draw_stack`."""
    colours = {process.name: process.colour for process in results.processes}
    background = cutflow.rows_of("total")[0].sumw[-1] if cutflow.rows_of("total") else 0.0
    layers, signals = [], []
    for row in cutflow.rows:
        if row.kind in ("background", "signal"):
            last = float(row.sumw[-1])
            factor = signal_factor(last, background) if row.kind == "signal" else 1.0
            layer = Layer(row.label, colours[row.name], row.sumw, row.sumw2, last, factor)
            (signals if row.kind == "signal" else layers).append(layer)
    data = [row.sumw for row in cutflow.rows_of("data")]
    return Stack(
        region=cutflow.region,
        feature="cutflow",
        label="",
        unit="",
        edges=np.arange(len(cutflow.cuts) + 1) - 0.5,
        layers=tuple(layers),
        signals=tuple(signals),
        data=sum(data) if data else None,
        events=float(sum(data)[-1]) if data else 0.0,
        blind=cutflow.blind,
        ticks=cutflow.cuts,
    )
