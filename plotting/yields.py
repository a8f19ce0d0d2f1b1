"""Cutflow and yields: the table as text, LaTeX and HTML, and the numbers of its plot."""

import re
from dataclasses import dataclass, replace
from html import escape
from math import floor, log10

import numpy as np
import pandas as pd

from analysis import console
from analysis.errors import InputError
from analysis.output import varied_name
from analysis.results import AGAIN
from analysis.shifts import combine, make_shifts
from plotting.intervals import event_weight, poisson_interval
from plotting.stack import Layer, Stack, signal_factor
from plotting.style import number

NONE = "none"  # of a yield without any simulated event


@dataclass(frozen=True)
class Row:
    """A process or sample, the sum of backgrounds, or data, after each cut."""

    name: str
    label: str  # LaTeX
    kind: str  # background, total, signal or data
    entries: np.ndarray  # (cuts,) events
    sumw: np.ndarray  # (cuts,)
    sumw2: np.ndarray  # (cuts,)
    systematic: np.ndarray | None = None  # (2, cuts) of `sumw`, downwards and upwards

    @property
    def error(self):
        """(cuts,) statistical error of `sumw`."""
        return np.sqrt(self.sumw2)

    def efficiency(self, of):
        """(2, cuts) share that passes each cut, and its statistical error; NaN of nothing.

        of: (cuts,) the place of the cut after which all is counted, such as 0

        Those that pass and those that do not are independent, also with weights: the error is the
        binomial one where all are 1.
        """
        whole, squares = self.sumw[of], self.sumw2[of]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.where(whole > 0, self.sumw / whole, np.nan)
            variance = (1 - share) ** 2 * self.sumw2 + share**2 * (squares - self.sumw2)
            return np.stack([share, np.sqrt(np.maximum(variance, 0)) / whole])

    @property
    def bound(self):
        """(cuts,) upper bound of the yield where no simulated event is left, NaN elsewhere.

        It is the upper end of the 68.3 % interval of no event, 1.84, times the typical weight of an
        event after the last cut that has some; NaN where there has been none.
        """
        bounds, weight = np.full(len(self.sumw), np.nan), 0.0
        for place, sums in enumerate(zip(self.sumw, self.sumw2, strict=True)):
            if sums[1] > 0:
                weight = event_weight(*sums)
            elif weight > 0:
                bounds[place] = poisson_interval(0)[1] * weight
        return bounds


@dataclass(frozen=True)
class Cutflow:
    """The cutflow of a region, cut by cut; the first column holds all events read."""

    region: str
    cuts: tuple[str, ...]
    rows: tuple[Row, ...]  # backgrounds, their sum, signals, data
    blind: bool

    def __repr__(self):
        return "\n".join(as_text(self, console.width()))

    def _repr_html_(self):
        """What a notebook shows."""
        return as_html(self)

    def rows_of(self, kind):
        """The rows of a kind."""
        return [row for row in self.rows if row.kind == kind]


def make_cutflow(results, region, by_sample=False):
    """The Cutflow of a region, whose samples are summed over each process. Raises InputError.

    by_sample: give each sample a row of its own
    """
    cuts, merged, nominal = None, {}, {}
    for sample in results.visible(region):
        names, numbers = read_flow(results, region, sample.name)
        if cuts not in (None, names):
            raise no_cutflow(results, region, sample.name)
        cuts = names
        nominal[sample.name] = numbers[1]
        name = sample.name if by_sample else sample.process
        merged[name] = merged.get(name, 0) + numbers
    known = [(process.name, process.label, process.kind) for process in results.processes]
    if by_sample:
        known = [(sample.name, latex_text(sample.name), sample.kind) for sample in results.samples]
    rows = {kind: [] for kind in ("background", "total", "signal", "data")}
    for name, label, kind in known:
        if name in merged:
            rows[kind].append(Row(name, label, kind, *merged[name]))
    if rows["background"]:
        sums = sum(merged[row.name] for row in rows["background"])
        row = Row("total background", "Total background", "total", *sums)
        rows["total"].append(replace(row, systematic=total_systematic(results, region, nominal)))
    return Cutflow(
        region,
        cuts or (),
        tuple(row for group in rows.values() for row in group),
        results.regions[region].blind,
    )


def read_flow(results, region, name):
    """Names of the cuts and (3, cuts) entries, sums of weights and of squares, for a sample."""
    entries = results.cutflow[region][name]
    try:
        names = tuple(entry["cut"] for entry in entries)
        numbers = np.array([[e["entries"], e["sumw"], e["sumw2"]] for e in entries], float).T
    except (KeyError, TypeError, ValueError):
        numbers = np.empty(0)
    if numbers.shape != (3, len(entries)) or not len(entries):
        raise no_cutflow(results, region, name)
    return names, numbers


def no_cutflow(results, region, name):
    """The InputError for a cutflow that does not fit the others."""
    return InputError(
        f"{results.folder / 'cutflow.json'} holds no cutflow of sample '{name}' in region "
        f"'{region}' with the cuts of the others: {AGAIN}"
    )


def total_systematic(results, region, nominal):
    """(2, cuts) systematic error of the background, None where the run has none.

    nominal: {sample: (cuts,) sums of weights}
    """

    def varied(sample, variation):
        name = varied_name(sample, variation)
        numbers = read_flow(results, region, name)[1]
        if len(numbers[1]) != len(nominal[sample]):
            raise no_cutflow(results, region, name)
        return numbers[1]

    samples = results.visible(region, "background")
    shifts = make_shifts(results.systematics, samples, nominal, varied)
    return combine([(shift.up, shift.down) for shift in shifts]) if shifts else None


def as_text(cutflow, most=None):
    """The table as lines of at most so many letters, None: any number."""
    rows = [(row.name, *entries_of(row, "+-")) for row in cutflow.rows]
    lines = console.table(("", *cutflow.cuts), rows, most)
    return [f"{cutflow.region}{', blind: no data' if cutflow.blind else ''}", *lines]


def entries_of(row, sign):
    """Yields with errors, as text; whole numbers for data.

    Systematic errors, where there are some, are the larger of down and up. Where no simulated event
    is left, there is an upper bound instead, see `Row.bound`, and NONE where there was none at all.
    """
    if row.kind == "data":
        return [f"{value:.0f}" for value in row.sumw]
    errors = [row.error] if row.systematic is None else [row.error, np.max(row.systematic, axis=0)]
    columns = zip(row.sumw2 > 0, row.sumw, row.bound, *errors, strict=True)
    return [
        f"< {number(bound)}" if bound > 0 else with_errors(value, errors, sign) if some else NONE
        for some, value, bound, *errors in columns
    ]


def with_error(value, error, sign="+-"):
    """A number with two significant digits of its error, and as many decimals itself."""
    return with_errors(value, [error], sign)


def with_errors(value, errors, sign="+-"):
    """As `with_error`, with several errors; the largest decides on the decimals."""
    decimals = decimals_of(max(errors))
    parts = [f"{number:.{decimals}f}" for number in (value, *errors)]
    return f" {sign} ".join(parts)


def decimals_of(error):
    """Decimals that show two significant digits of an error."""
    return 0 if error <= 0 else max(0, 1 - floor(log10(float(f"{error:.1e}"))))


def efficiencies_of(row, sign):
    """Shares of all events that pass each cut, with errors, as text; NONE where none passes."""
    shares = row.efficiency(np.zeros(len(row.sumw), int)).T
    return [
        NONE if not some else with_error(share, error, sign) if error > 0 else f"{share:.4g}"
        for some, (share, error) in zip(row.sumw2 > 0, shares, strict=True)
    ]


def as_latex(cutflow, entries=entries_of):
    """The table as a LaTeX tabular, which needs the package booktabs.

    entries: what stands in its cells, `entries_of` or `efficiencies_of`
    """
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
        cells = [text if text == NONE else f"${text}$" for text in entries(row, r"\pm")]
        lines.append(" & ".join([row.label, *cells]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def latex_text(text):
    """Plain text with LaTeX's own characters protected."""
    for character in "#$%&_{}":
        text = text.replace(character, "\\" + character)
    for character in "<>|":
        text = text.replace(character, f"${character}$")
    for character, code in (("^", r"\textasciicircum{}"), ("~", r"\textasciitilde{}")):
        text = text.replace(character, code)
    return text


def as_html(cutflow):
    """The table as an HTML table with a row per process."""
    head = "".join(f'<th scope="col">{escape(cut)}</th>' for cut in cutflow.cuts)
    lines = [f'<table class="numbers"><thead><tr><td></td>{head}</tr></thead><tbody>']
    for row in cutflow.rows:
        cells = "".join(f"<td>{escape(text)}</td>" for text in entries_of(row, "±"))
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
        text = re.sub(r"(?<!\\)_(?:\{([^{}]*)\}|(\w))", r"<sub>\1\2</sub>", text)
    text = re.sub(r"\^(?:\{([^{}]*)\}|(\w))", r"<sup>\1\2</sup>", text)
    return text.replace("{", "").replace("}", "").replace("\\", "")


def plain_text(latex):
    """A LaTeX label as plain text, for a terminal."""
    return re.sub(r"<[^>]*>", "", plain(latex))


def as_stack(cutflow, results):
    """The cutflow as a Stack with a bin per cut, for `draw_stack`."""
    colours = {process.name: process.colour for process in results.processes}
    total = cutflow.rows_of("total")
    background = total[0].sumw[-1] if total else 0.0
    layers, signals = [], []
    for row in cutflow.rows:
        if row.kind in ("background", "signal"):
            last = float(row.sumw[-1])
            factor = signal_factor(last, background) if row.kind == "signal" else 1.0
            layer = Layer(row.label, colours[row.name], row.sumw, row.sumw2, last, factor, row.name)
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
        systematic=total[0].systematic if total else None,
    )


def numbers(cutflow):
    """A Cutflow as a DataFrame with a row per process and cut.

    Columns: process, kind, cut, entries, events (their sum of weights) and its error, upper_bound
    (of `Row.bound`), syst_down and syst_up of the total background; efficiency, of all events, and
    efficiency_of_cut, of those that pass the cut before, with statistical errors.
    """
    places = np.arange(len(cutflow.cuts))
    rows = []
    for row in cutflow.rows:
        down, up = np.full((2, len(row.sumw)), np.nan) if row.systematic is None else row.systematic
        columns = (row.entries, row.sumw, row.error, row.bound, down, up)
        columns += (*row.efficiency(0 * places), *row.efficiency(np.maximum(places - 1, 0)))
        for cut, *values in zip(cutflow.cuts, *columns, strict=True):
            rows.append((row.name, row.kind, cut, *values))
    names = "process kind cut entries events error upper_bound syst_down syst_up"
    for name in ("efficiency", "efficiency_of_cut"):
        names += f" {name} {name}_error"
    return pd.DataFrame(rows, columns=names.split()).astype({"entries": int})
