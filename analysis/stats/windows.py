"""Bumps: the window of a mass in which data exceed the expectation most, by pyBumpHunter.

Bins of the mass are those of its feature, merged from below until simulated events support each.
"""

import contextlib
import io
from dataclasses import dataclass

import numpy as np

from analysis.stats.excess import SMALLEST, passing

# Relative statistical error of the expectation in a bin at most.
LARGEST_ERROR = 0.3


@dataclass(frozen=True)
class Mass:
    """A feature in which bumps are searched, of the events of a Pool."""

    name: str
    edges: np.ndarray  # (bins + 1,)
    bins: np.ndarray  # (events,) place of each event, -1 outside of the axis or without the mass


@dataclass(frozen=True)
class Bump:
    """The largest excess in a mass."""

    mass: str
    region: str
    detector: str | None
    share: float | None  # of the expectation above the threshold
    threshold: float | None
    edges: np.ndarray  # (bins + 1,) of merged bins
    data: np.ndarray  # (bins,)
    background: np.ndarray  # (bins,)
    error: np.ndarray  # (bins,) of the background
    first: int  # bin of the window
    last: int  # the first bin behind it; as `first` where there is no excess
    local_p: float

    @property
    def window(self):
        """Edges of the window, None where there is no excess anywhere."""
        if self.first == self.last:
            return None
        return float(self.edges[self.first]), float(self.edges[self.last])


def mass_of(feature, values):
    """The Mass of a Feature of the run; values: (events,).

    The value 0 says that an event lacks the objects, it is no mass.
    """
    bins = np.searchsorted(feature.edges, values, side="right") - 1
    bins[(values >= feature.edges[-1]) | (values < feature.edges[0]) | (values == 0)] = -1
    return Mass(feature.name, feature.edges, bins)


def merge(sums, squares):
    """(bins,) first bins of merged ones whose relative error is LARGEST_ERROR at most.

    sums, squares: (bins,) sums of weights and of squared weights. What is left over at the end
    belongs to the last merged bin; none is returned where all together are not enough.
    """
    starts, start, total, square = [], 0, 0.0, 0.0
    for place, (one, its_square) in enumerate(zip(sums, squares, strict=True)):
        total, square = total + one, square + its_square
        if total > 0 and square <= (LARGEST_ERROR * total) ** 2:
            starts.append(start)
            start, total, square = place + 1, 0.0, 0.0
    return np.array(starts, int)


def scan(data, background, variance):
    """(p, first, last) of the window with the smallest Poisson p-value, by pyBumpHunter.

    pyBumpHunter takes the expectation as exact. So counts and expectation of a bin are both
    multiplied by b / (b + variance), after which their difference, in units of the Poisson error of
    the expectation, is what it is with the error of the simulation.

    data, background, variance: (bins,). `last` is the first bin behind the window; without excess
    p is 1.
    """
    from pyBumpHunter import BumpHunter1D

    known = np.divide(
        background, background + variance, where=background > 0, out=np.zeros(len(data))
    )
    data, background = data * known, np.maximum(background, 0.0) * known

    bins = len(background)
    if not bins or not np.any(background > 0):
        return 1.0, 0, 0
    hunter = BumpHunter1D(
        width_min=1,
        width_max=max(1, bins // 2),
        bins=np.arange(bins + 1.0),
        rang=(0, bins),
        npe=0,
        nworker=1,
    )
    with contextlib.redirect_stdout(io.StringIO()):  # it prints what it does
        # What may divide by zero is only the logarithm of p, which is not used.
        with np.errstate(divide="ignore"):
            hunter.bump_scan(data, background, is_hist=True, do_pseudo=False)
    p = float(hunter.min_Pval_ar[0])
    if p >= 1.0:
        return 1.0, 0, 0
    first = int(hunter.min_loc_ar[0])
    return max(p, SMALLEST), first, first + int(hunter.min_width_ar[0])


def hunt(experiment, fit, mass, events):
    """The largest excess in a Mass among some events (places): fields of a Bump from `edges` on."""
    bins = mass.bins[events]
    events, bins = events[bins >= 0], bins[bins >= 0]
    number, factor = len(mass.edges) - 1, fit.factor[events]
    sums = np.bincount(bins, experiment.reference[events] * factor, minlength=number)
    squares = np.bincount(bins, experiment.variance[events] * factor**2, minlength=number)
    counts = np.bincount(bins, experiment.counts[events], minlength=number)
    starts = merge(sums, squares)
    edges = (
        np.append(mass.edges[:-1][starts], mass.edges[-1:]) if len(starts) else mass.edges[[0, -1]]
    )
    if not len(starts):
        whole = (np.sum(counts, keepdims=True), np.sum(sums, keepdims=True))
        return edges, *whole, np.sqrt(np.sum(squares, keepdims=True)), 0, 0, 1.0
    counts, sums, squares = (np.add.reduceat(v, starts) for v in (counts, sums, squares))
    p, first, last = scan(counts, sums, squares)
    return edges, counts, sums, np.sqrt(squares), first, last, p


def hunt_all(search, experiment, fit):
    """[Bump] of all masses of a Search above all its thresholds."""
    pool, result = search.pool, []
    for (number, name), ranking in search.hunted.items():
        for share, value, events in _above(search, ranking, experiment, name):
            for mass in search.masses:
                found = hunt(experiment, fit, mass, events)
                result.append(Bump(mass.name, pool.regions[number], name, share, value, *found))
    return result


def _above(search, ranking, experiment, name):
    """Yield (share, threshold, events) above thresholds."""
    if name is None:
        yield None, None, ranking.events
    elif search.threshold is not None:
        passed = int(np.sum(ranking.values >= search.threshold))
        yield None, search.threshold, ranking.events[: ranking.ends[passed - 1] if passed else 0]
    else:
        for share in search.shares:
            place = passing(ranking, experiment, share)
            if place is not None:
                yield share, float(ranking.values[place]), ranking.events[: ranking.ends[place]]
