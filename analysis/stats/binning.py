"""Bins of an observable, chosen on simulated background alone."""

import numpy as np

from analysis.errors import InputError

LEAST_EFFECTIVE = 5.0  # simulated background events in a bin, (sum w)^2 / sum w^2
DOUBLING = 2.0  # growth of that number from bin to bin, away from the end where signals are
FINEST = 200  # candidates of bins of a score


def bin_sums(values, weights, edges):
    """(bins,) sums of weights and of squared weights; the first and last bin take the flow.

    values, weights: (events,); edges: (bins + 1,)
    """
    place = np.searchsorted(edges[1:-1], values, side="right")
    bins = len(edges) - 1
    return np.bincount(place, weights, bins), np.bincount(place, weights**2, bins)


def quantile_edges(values, weights, bins, among=None):
    """(at most bins + 1,) edges of bins with equal sums of weights.

    among: edges that may be taken, else any. Raises InputError where there are too few values.
    """
    order = np.argsort(values, kind="stable")
    values = values[order]
    below = np.maximum.accumulate(np.cumsum(weights[order]))
    if not len(values) or below[-1] <= 0:
        raise InputError("no simulated background to choose bins on: give --edges, or --count")
    places = np.searchsorted(below, below[-1] * np.arange(1, bins) / bins)
    inner = values[places]
    if among is not None:
        inner = among[1:-1][np.abs(among[1:-1][:, None] - inner).argmin(axis=0)]
        return np.unique([among[0], *inner, among[-1]])
    low, high = values[0], values[-1]
    return np.unique([low, *inner, high if high > low else low + 1])


def default_edges(values, weights, candidates):
    """Some of the (n,) candidates, merged from the upper end, where signals are.

    The last bin has at least LEAST_EFFECTIVE effective events, each one before it at least
    DOUBLING times as many as the one behind it, and all have a positive sum of weights.
    """
    sums, squares = bin_sums(values, weights, candidates)
    kept, need, total, square = [len(sums)], LEAST_EFFECTIVE, 0.0, 0.0
    for place in range(len(sums) - 1, -1, -1):
        total, square = total + sums[place], square + squares[place]
        if total > 0 and total**2 >= need * square:
            kept.append(place)
            need, total, square = need * DOUBLING, 0.0, 0.0
    if kept[-1] != 0:  # what is left at the lower end goes to the bin above it
        kept = [*kept[:-1], 0] if len(kept) > 1 else [*kept, 0]
    return candidates[kept[::-1]]


def checked_edges(edges):
    """(bins + 1,) edges from a command line. Raises InputError."""
    found = np.asarray(edges, float)
    if len(found) < 2 or not np.all(np.isfinite(found)) or np.any(np.diff(found) <= 0):
        raise InputError("--edges must be at least two finite numbers, each larger than the last")
    return found
