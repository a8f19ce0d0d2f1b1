"""Data against stacked simulation: the numbers behind a plot of one feature in one region."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from analysis.performance import bin_significance
from analysis.records import KINDS
from analysis.results import Histogram
from analysis.shifts import combine
from plotting.intervals import event_weight, poisson_interval

FLAVOURS = {
    "flcomp": ("$eee$", r"$ee\mu$", r"$e\mu\mu$", r"$\mu\mu\mu$", r"$\mu\mu e$", r"$\mu ee$")
}
NO_PAIR = "no same-flavour opposite-sign pair"
WITHOUT = {  # feature: its value in events without what it is a property of, and why
    "m_sfos": (0.0, NO_PAIR),
    "m_ossf_z": (91.1876, NO_PAIR),
    "m_T_unpaired": (0.0, NO_PAIR),
    "m_same_sign": (0.0, "no pair of equal charges"),
    "m_pair_min": (0.0, "no pair"),
    "m_pair_max": (0.0, "no pair"),
    "m_3l": (0.0, "no third lepton"),
    **{f"lep{what}_{n}": (0.0, "no such lepton") for what in ("Pt", "Charge") for n in range(3)},
}
PAIRS = "n_ossf"  # feature: the number of pairs that NO_PAIR is about

LEAST = 1.0  # expected events that support a bin
SPREAD = 0.5  # relative statistical error of the simulation up to which it supports a bin
MOST = 5.0  # expected events of a bin that joins no bin without support
OTHER = "#bcbcbc"  # colour of several small backgrounds


@dataclass(frozen=True)
class Layer:
    """A process of the stack, or an overlaid signal."""

    label: str  # for the legend, LaTeX allowed
    colour: str
    sumw: np.ndarray  # (bins,) sum of weights
    sumw2: np.ndarray  # (bins,) sum of squared weights
    total: float  # sum of weights of all events, whatever their value
    factor: float = 1.0  # by which a drawing multiplies a signal
    name: str = ""  # of the process


@dataclass(frozen=True)
class Tail:
    """What is in the last bins of an axis, or the first, joined until simulation supports them.

    Which bins these are is chosen on the simulation alone.
    """

    place: str  # "> 380"
    observed: float  # events
    expected: float  # sum of weights
    error: float  # of it, statistical and systematic; the larger one of down and up
    supported: bool  # False: expected and error have one more simulated event of typical weight

    @property
    def significance(self):
        """Standard deviations with sign; without support an excess is at least that large."""
        return bin_significance(self.observed, self.expected, self.error)

    def sentence(self, label, unit="", sign="±", sigma=r"$\,\sigma$"):
        """What is known about it, as a line that begins with the label of the quantity.

        sign, sigma: how a plot writes them
        """
        place = f"{label} {self.place}{unit and f' {unit}'}"
        decimals = 0 if self.error >= 10 else 1 if self.error >= 1 else 2
        few = "" if self.supported else "at most "
        expected = f"{few}{self.expected:.{decimals}f} {sign} {self.error:.{decimals}f} expected"
        size = f"{self.significance:+.1f}{sigma}"
        return f"{place}: {self.observed:.0f} observed, {expected}, {size}"


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
    changes: tuple = ()  # pairs of (bins,) up and down that make up `systematic`, where known
    groups: tuple[tuple[int, int], ...] = ()  # joined bins: first and one after the last; or none

    @cached_property
    def total(self):
        """(bins,) sum of weights of all backgrounds."""
        return sum((layer.sumw for layer in self.layers), np.zeros(len(self.edges) - 1))

    @cached_property
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

    @cached_property
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

    @property
    def unexpected(self):
        """(bins,) whether there are data where the simulation is empty, or not above 0."""
        return (self.data > 0) & (self.total <= 0) & bool(self.layers)

    @property
    def bins(self):
        """Bins of the ratio: pairs of the first bin and the one after the last."""
        return self.groups or tuple((place, place + 1) for place in range(len(self.edges) - 1))

    @cached_property
    def coarse(self):
        """The Stack with joined bins, in which the ratio is taken."""
        if len(self.bins) == len(self.edges) - 1:
            return self
        starts = [start for start, _ in self.bins]

        def joined(values):
            return values if values is None else np.add.reduceat(values, starts, axis=-1)

        def in_groups(layer):
            return replace(layer, sumw=joined(layer.sumw), sumw2=joined(layer.sumw2))

        changes = tuple((joined(up), joined(down)) for up, down in self.changes)
        return replace(
            self,
            edges=np.append(self.edges[starts], self.edges[-1]),
            layers=tuple(map(in_groups, self.layers)),
            signals=tuple(map(in_groups, self.signals)),
            data=joined(self.data),
            # What is known of no single uncertainty is taken as fully correlated.
            systematic=combine(changes) if changes else joined(self.systematic),
            changes=changes,
            groups=(),
        )

    @cached_property
    def tails(self):
        """The Tails of several bins, the upper one first; none without data."""
        if self.data is None or not self.layers or not self.groups:
            return ()
        one = max(event_weight(x.sumw.sum(), x.sumw2.sum()) for x in self.layers)
        coarse, found = self.coarse, []
        for place in (-1, 0)[: len(self.groups)]:
            start, stop = self.groups[place]
            total, error = float(coarse.total[place]), float(coarse.error[:, place].max())
            known = supported(total, coarse.statistical[place])
            if known and stop - start == 1 or not coarse.data[place] + abs(total):
                continue
            if not known:
                total, error = max(total, 0.0) + one, float(np.hypot(error, one))
            edge, half = self.edges[start if place else stop], self.counts / 2
            signs = (">", "≥") if place else ("<", "≤")
            words = f"{signs[self.counts]} {edge + (half if place else -half):g}"
            found.append(Tail(words, float(coarse.data[place]), total, error, known))
        return tuple(found)

    @property
    def counts(self):
        """Whether each bin is a whole number."""
        first, second = self.edges[:2]
        return bool(not self.unit and first % 1 == 0.5 and second - first == 1)

    def folded(self, share):
        """The Stack in which backgrounds below a share of the total are one, if they are several.

        share: of the sum of all backgrounds; 0: as it is
        """
        whole = sum(layer.total for layer in self.layers)
        small = [layer for layer in self.layers if layer.total < share * whole]
        if len(small) < 2:
            return self
        sums = (sum(getattr(x, of) for x in small) for of in ("sumw", "sumw2", "total"))
        other = Layer(f"Other ({len(small)})", OTHER, *sums, name="other")
        kept = tuple(layer for layer in self.layers if layer not in small)
        return replace(self, layers=(*kept, other))

    @property
    def numbers(self):
        """What is drawn, as a DataFrame with a row per bin: signals are not scaled.

        Columns: low and high edge, or category; for each process its sum of weights and the
        statistical error; total, stat, syst_down, syst_up; where there are data these with the ends
        of their interval, the ratio, and the edges of the bin of the ratio.
        """
        edges = np.array([float(f"{edge:.12g}") for edge in self.edges])
        made = {"low": edges[:-1], "high": edges[1:]}
        if self.ticks:
            made = {"category": list(self.ticks)}
        for layer in (*self.layers, *self.signals):
            name = layer.name or layer.label
            made |= {name: layer.sumw, f"{name}_error": np.sqrt(layer.sumw2)}
        made |= {"total": self.total, "stat": self.statistical}
        if self.systematic is not None:
            made |= dict(zip(("syst_down", "syst_up"), self.systematic, strict=True))
        if self.data is not None:
            made["data"] = self.data
            made |= dict(zip(("data_low", "data_high"), self.data_interval, strict=True))
            groups = np.array(self.bins)
            sizes = groups[:, 1] - groups[:, 0]
            made["ratio"] = np.repeat(self.coarse.ratio, sizes)
            if not self.ticks:
                ends = zip(("ratio_from", "ratio_to"), groups.T, strict=True)
                made |= {name: np.repeat(edges[end], sizes) for name, end in ends}
        return pd.DataFrame(made)


def supported(total, statistical):
    """Whether so many expected events, with their statistical error, support a bin."""
    return bool(total >= LEAST and statistical <= SPREAD * total)


def join_bins(total, statistical):
    """Bins joined from the ends until simulation supports them: pairs of first and one after last.

    total, statistical: (bins,) expected events and their statistical error
    From the right, a bin joins the one on its left until LEAST events are expected with a relative
    error of at most SPREAD; what is left at the left end joins the bin on its right. Bins with more
    than MOST expected events join none without support, so that they drown no excess beside them.
    Empty bins between supported ones stay by themselves.
    """
    alone = [supported(*pair) for pair in zip(total, statistical, strict=True)]
    variance = np.square(statistical)

    def supports(start, stop):
        return supported(total[start:stop].sum(), np.sqrt(variance[start:stop].sum()))

    groups, stop, bins = [], len(total), len(total)
    while stop > 0:
        start = stop - 1
        while not supports(start, stop) and start > 0 and total[start - 1] <= MOST:
            if alone[start - 1] and stop < bins and not variance[start:stop].any():
                break
            start -= 1
        if stop < bins and not variance[start:stop].any():
            groups += [(place, place + 1) for place in reversed(range(start, stop))]
        else:
            groups.append((start, stop))
        stop = start
    groups.reverse()
    while len(groups) > 1 and not supports(*groups[0]):
        (start, middle), (_, stop) = groups[:2]
        if total[middle:stop].max() > MOST:
            break
        groups[:2] = [(start, stop)]
    return tuple(groups)


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
    made = stack_of(
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
    return replace(made, notes=(*made.notes, *missing(results, region, feature, histograms)))


def missing(results, region, feature, histograms):
    """A note about events without what a feature is a property of; none where there are none."""
    if feature not in WITHOUT:
        return ()
    value, why = WITHOUT[feature]
    edges = next(iter(histograms.values())).edges
    place = int(np.searchsorted(edges, value, side="right"))
    here, beside = (sum(h.sumw2[n] for h in histograms.values()) for n in (place, place + 1))
    if here <= (0 if why == NO_PAIR else beside):  # else they are small values, no missing ones
        return ()
    said = f"{value:.3g} where there is {why}"
    if why == NO_PAIR and PAIRS in results.features:
        counts = results.histograms(region, PAIRS)
        none = {name: h.sumw[np.searchsorted(h.edges, 0.0)] for name, h in counts.items()}
        kinds = {sample.name: sample.kind for sample in results.visible(region)}
        sums = {kind: sum(v for s, v in none.items() if kinds[s] == kind) for kind in KINDS}
        if not any(none.values()):
            return ()
        said += f": {sums['background']:.3g} expected"
        if "data" in kinds.values():
            said += f", {sums['data']:.0f} observed"
    return (said,)


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
            whole = float(histogram.sumw.sum())
            layer = Layer(process.label, process.colour, sumw, sumw2, whole, name=process.name)
            (signals if process.kind == "signal" else layers)[process.name] = layer
    background = sum(layer.total for layer in layers.values())
    moved = [(fold_flow(s.up, outside), fold_flow(s.down, outside)) for s in shifts]
    total = sum((layer.sumw for layer in layers.values()), np.zeros(len(edges) - 1))
    for process, error in (relative_errors or {}).items():
        change = error * (layers[process].sumw if process in layers else total * (process == "all"))
        moved.append((change, -change))
    squares = sum((layer.sumw2 for layer in layers.values()), np.zeros(len(edges) - 1))
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
        changes=tuple(moved),
        groups=() if ticks or data is None else join_bins(total, np.sqrt(squares)),
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
