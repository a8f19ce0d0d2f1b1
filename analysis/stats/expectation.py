"""Yields of the processes in the bins of a region, nominal and varied."""

from dataclasses import dataclass, field

import numpy as np

from analysis.errors import InputError, listed
from analysis.samples import choose
from analysis.stats.binning import (
    FINEST,
    bin_sums,
    checked_edges,
    default_edges,
    quantile_edges,
)
from analysis.stats.observable import Observable, values_of
from analysis.systematics import SYSTEMATICS

ONE_BIN = np.array([0.0, 1.0])


@dataclass(frozen=True)
class Channel:
    """A region in bins of an observable."""

    region: str
    role: str  # signal, control or validation
    observable: Observable
    edges: np.ndarray  # (bins + 1,), finite; the outer bins take what is beyond them
    asimov: bool  # its data is the expectation

    @property
    def bins(self):
        """The number of bins."""
        return len(self.edges) - 1


@dataclass(frozen=True)
class Yields:
    """Expected events of a process in the bins of a channel."""

    nominal: np.ndarray  # (bins,)
    variance: np.ndarray  # (bins,) of the simulation, sums of squared weights
    # {systematic: ((bins,) yields up, (bins,) yields down)}
    varied: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """How the bins of an observable are chosen, by the first of these that is there."""

    edges: tuple[float, ...] | None = None
    bins: int | None = None  # equal background

    def edges_of(self, results, region, observable):
        """(bins + 1,) edges for a region. Raises InputError."""
        if observable.kind == "count":
            return ONE_BIN
        if self.edges is not None:
            return checked_edges(self.edges)
        samples = results.visible(region, "background")
        found = [values_of(results, region, s.name, observable)[:2] for s in samples]
        if not found or not sum(len(values) for values, _ in found):
            raise InputError(
                f"region '{region}' has no simulated background to choose bins on: leave it out, "
                "or give --edges or --count"
            )
        values, weights = map(np.concatenate, zip(*found, strict=True))
        declared = None
        if observable.kind == "feature":  # variations are histograms: with edges they have
            declared = results.features[observable.name].edges
        if self.bins:
            return quantile_edges(values, weights, self.bins, declared)
        if declared is None:
            declared = quantile_edges(values, np.abs(weights), FINEST)
        return default_edges(values, weights, declared)


def data_in(results, channel):
    """(bins,) events of data, None where the run has none for this region."""
    samples = results.visible(channel.region, "data")
    if not samples:
        return None
    counts = np.zeros(channel.bins)
    for sample in samples:
        values, weights, _ = values_of(results, channel.region, sample.name, channel.observable)
        counts += bin_sums(values, weights, channel.edges)[0]
    return counts


def yields_in(results, channel, process, systematics, factor=1.0, note=print):
    """The Yields of a process, its samples summed, in a channel.

    systematics: Systematics, of which those are taken that concern the process
    factor: that multiplies all of it
    note: is told what was not as it should be
    """
    bins = channel.bins
    samples = [s for s in results.visible(channel.region) if s.process == process]
    total, squares = np.zeros(bins), np.zeros(bins)
    varied = {}
    for sample in samples:
        values, weights, _ = values_of(results, channel.region, sample.name, channel.observable)
        sums = bin_sums(values, weights * factor, channel.edges)
        total, squares = total + sums[0], squares + sums[1]
        for systematic in systematics:
            if not systematic.concerns(process, sample.kind):
                continue
            for direction, yields in shifted(
                results, channel, sample, systematic, sums[0], factor, note
            ).items():
                both = varied.setdefault(systematic.name, {})
                both[direction] = both.get(direction, 0.0) + yields
    pairs = {
        name: (both["up"], both.get("down", 2 * total - both["up"]))
        for name, both in varied.items()
    }
    return Yields(total, squares, pairs)


def shifted(results, channel, sample, systematic, nominal, factor, note):
    """{direction: (bins,) yields} of a Sample under a Systematic; one-sided ones only go up.

    nominal: (bins,) yields, which are taken where the run lacks the variation
    """
    if not systematic.up:
        return {"up": nominal * (1 + systematic.size), "down": nominal * (1 - systematic.size)}
    found = {}
    for variation in systematic.variations:
        direction = variation.name.rpartition("_")[2]
        if variation.name not in sample.variations:
            note(f"sample '{sample.name}' lacks the variation '{variation.name}': nominal is taken")
            found[direction] = nominal
        elif channel.region in sample.variations[variation.name].tables:
            values, weights, _ = values_of(
                results, channel.region, sample.name, channel.observable, variation.name
            )
            found[direction] = bin_sums(values, weights * factor, channel.edges)[0]
        else:
            found[direction] = factor * from_histogram(results, channel, sample, variation.name)
    return found


def from_histogram(results, channel, sample, variation):
    """(bins,) yields of a variation from its histogram, bins merged. Raises InputError."""
    where = f"variation '{variation}' of '{sample.name}' in '{channel.region}'"
    if channel.observable.kind == "detector":
        raise InputError(
            f"{where} has no table to be scored: run_rdf.py --vary with --vary-tables, or leave "
            "it out with --systematic"
        )
    feature = channel.observable.name
    if channel.observable.kind == "count":
        feature = next(iter(results.features))
        histogram = results.histogram(channel.region, feature, sample.name, variation)
        return np.array([histogram.sumw.sum()])
    histogram = results.histogram(channel.region, feature, sample.name, variation)
    inner = channel.edges[1:-1]
    places = np.abs(histogram.edges[:, None] - inner).argmin(axis=0)
    far = ~np.isclose(histogram.edges[places], inner, rtol=1e-9, atol=1e-9)
    if far.any():
        raise InputError(
            f"{where} is a histogram of {feature} in other bins, without an edge at "
            f"{listed([f'{x:g}' for x in inner[far]])}: choose --edges among "
            f"{listed([f'{x:g}' for x in histogram.edges])}, or run run_rdf.py --vary with "
            "--vary-tables"
        )
    # Entry k of sumw is below edge k: the flow goes to the outer bins.
    return np.add.reduceat(histogram.sumw, [0, *(places + 1)])


def known_systematics(results, names=None):
    """The Systematics that a model has: all, or those of these names, () for none.

    Known are those of the run, and those declared that are sizes and need nothing of a run.
    Raises DeclarationError for a name that is not there.
    """
    known = {s.name: s for s in (*filter(lambda s: s.size, SYSTEMATICS), *results.systematics)}
    if names == ():
        return ()
    return tuple(known[name] for name in choose(names or (), known, "systematic"))
