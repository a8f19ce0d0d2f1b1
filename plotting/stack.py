"""Data against stacked simulation: the numbers behind a plot of one feature in one region."""

from dataclasses import dataclass, replace

import numpy as np

from analysis.results import Histogram
from analysis.shifts import combine
from plotting.intervals import poisson_interval

FLAVOURS = {
    "flcomp": ("$eee$", r"$ee\mu$", r"$e\mu\mu$", r"$\mu\mu\mu$", r"$\mu\mu e$", r"$\mu ee$")
}


@dataclass(frozen=True)
class Layer:
    """A process of the stack, or an overlaid signal."""

    label: str  # for the legend, LaTeX allowed
    colour: str
    sumw: np.ndarray  # (bins,) sum of weights
    sumw2: np.ndarray  # (bins,) sum of squared weights
    total: float  # sum of weights of all events, whatever their value
    factor: float = 1.0  # by which a drawing multiplies a signal


@dataclass(frozen=True)
class Stack:
    """Everything in a plot of data against simulation.

    Events beyond the last edge are in the last bin, those below the first edge in the first.
    """

    region: str
    feature: str  # name
    label: str  # of the axis, LaTeX
    unit: str
    edges: np.ndarray  # (bins + 1,)
    layers: tuple[Layer, ...]  # backgrounds, the first is drawn on top
    signals: tuple[Layer, ...]
    data: np.ndarray | None  # (bins,) events; None: no data sample, or blind
    events: float = 0.0  # of data, for the legend
    blind: bool = False
    ticks: tuple[str, ...] = ()  # one per bin for a feature that is a code
    systematic: np.ndarray | None = None  # (2, bins) of `total`, downwards and upwards
    notes: tuple[str, ...] = ()  # what a reader must know about the bins
    data_label: str = "Data"  # for the legend
    band_label: str = ""  # likewise; empty: which errors it holds

    @property
    def total(self):
        """(bins,) sum of weights of all backgrounds."""
        return sum((layer.sumw for layer in self.layers), np.zeros(len(self.edges) - 1))

    @property
    def statistical(self):
        """(bins,) error of `total`: root of the sum of squared weights."""
        sumw2 = sum((layer.sumw2 for layer in self.layers), np.zeros(len(self.edges) - 1))
        return np.sqrt(sumw2)

    @property
    def error(self):
        """(2, bins) statistical and systematic error of `total` downwards and upwards."""
        if self.systematic is None:
            return np.stack([self.statistical] * 2)
        return np.hypot(self.statistical, self.systematic)

    @property
    def band(self):
        """(2, bins) lower and upper end of `total` with its errors."""
        low, high = self.error
        return np.stack([self.total - low, self.total + high])

    @property
    def data_interval(self):
        """(2, bins) lower and upper end of the exact central 68.3 % Poisson interval."""
        return poisson_interval(self.data)

    @property
    def ratio(self):
        """(bins,) data over total background; NaN where there is no background."""
        return divide(self.data, self.total)

    @property
    def ratio_interval(self):
        """(2, bins) `data_interval` over total background."""
        return divide(self.data_interval, self.total)

    @property
    def ratio_band(self):
        """(2, bins) `band` over total background."""
        return divide(self.band, self.total)


def divide(numerator, denominator):
    """The ratio where the denominator is positive, else NaN."""
    numerator = np.asarray(numerator, float)
    result = np.full(numerator.shape, np.nan)
    return np.divide(numerator, denominator, out=result, where=denominator > 0)


def fold_flow(values, categories):
    """(bins,) from (bins + 2,): what lies beyond the axis is put into the first and last bin.

    categories: a code below the first bin has no bin, so it gets one of its own at the front
    """
    inside = values[1:-1].copy()
    inside[-1] += values[-1]
    if categories:
        return np.concatenate([values[:1], inside])
    inside[0] += values[0]
    return inside


def make_stack(results, region, feature, histograms, **options):
    """The Stack of a feature of a run from its histograms {sample: Histogram}; see `stack_of`.

    region, feature: names
    """
    declared = results.features[feature]
    return stack_of(
        results,
        region,
        histograms,
        label=declared.label,
        unit=declared.unit,
        name=feature,
        ticks=FLAVOURS.get(feature, ()),
        empty_is_zero=declared.cell not in (None, (0, 0)),
        **options,
    )


def stack_of(
    results,
    region,
    histograms,
    *,
    label,
    unit="",
    name="",
    ticks=(),
    empty_is_zero=False,
    signal_scale=None,
    relative_errors=None,
    shifts=(),
):
    """Sum histograms {sample: Histogram} of some quantity to the Stack of a region.

    label, unit: of the axis; name: of the feature; ticks: a text per bin, for codes
    empty_is_zero: events without the object are at 0, as in the cells of the matrix
    signal_scale: factor of all signals; None: see `signal_factor`
    relative_errors: {process or "all": relative error of its yield}, each fully correlated
        between bins, independent of each other
    shifts: Shifts of the sums of weights of the background, with flow
    Processes come in the order of analysis/processes.py.
    """
    edges = next(iter(histograms.values())).edges
    merged = {}
    for sample in results.visible(region):
        if sample.name in histograms:
            before = merged.get(sample.process, Histogram.empty(edges))
            merged[sample.process] = before + histograms[sample.name]
    outside = bool(ticks) and any(h.sumw2[0] > 0 for h in merged.values())
    if outside:
        ticks = ("other", *ticks)
        edges = np.concatenate([[2 * edges[0] - edges[1]], edges])
    layers, signals, data = {}, {}, None
    for process in results.processes:
        if process.name not in merged:
            continue
        histogram = merged[process.name]
        sumw, sumw2 = (fold_flow(v, outside) for v in (histogram.sumw, histogram.sumw2))
        if process.kind == "data":
            data = sumw if data is None else data + sumw
        else:
            layer = Layer(process.label, process.colour, sumw, sumw2, float(histogram.sumw.sum()))
            (signals if process.kind == "signal" else layers)[process.name] = layer
    background = sum(layer.total for layer in layers.values())
    moved = [(fold_flow(s.up, outside), fold_flow(s.down, outside)) for s in shifts]
    total = sum((layer.sumw for layer in layers.values()), np.zeros(len(edges) - 1))
    for process, error in (relative_errors or {}).items():
        change = error * (layers[process].sumw if process in layers else total * (process == "all"))
        moved.append((change, -change))
    return Stack(
        region=region,
        feature=name,
        label=label,
        unit=unit,
        edges=edges,
        layers=tuple(layers.values()),
        signals=tuple(
            replace(layer, factor=signal_scale or signal_factor(layer.total, background))
            for layer in signals.values()
        ),
        data=data,
        events=0.0 if data is None else float(data.sum()),
        blind=results.regions[region].blind,
        ticks=ticks,
        systematic=combine(moved) if moved else None,
        notes=notes(merged.values(), ticks, empty_is_zero),
    )


def notes(histograms, ticks, empty_is_zero):
    """What the bins hold beside the events between their edges."""
    said = []
    if not ticks and any(h.sumw2[-1] > 0 for h in histograms):
        said.append("Last bin includes overflow")
    if not ticks and any(h.sumw2[0] > 0 for h in histograms):
        said.append("First bin includes underflow")
    if empty_is_zero:
        said.append("0 where an object is missing")
    return tuple(said)


def signal_factor(signal, background):
    """The largest of 1, 2, 5, 10, 20, ... with factor x signal <= background / 5, at least 1."""
    if signal <= 0 or background <= 0:
        return 1.0
    limit = background / (5 * signal)
    if limit < 1:
        return 1.0
    power = 10.0 ** np.floor(np.log10(limit) + 1e-9)
    return float(max(step * power for step in (1, 2, 5) if step * power <= limit * (1 + 1e-9)))
