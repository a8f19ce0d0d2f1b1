"""Rank correlation of two numbers of events with weights: 1 or -1 where one follows the other."""

import numpy as np

REPLICAS = 200  # of the bootstrap


def weighted_ranks(values, weights):
    """(events,) weight below each value plus half of that at it, less the weighted mean."""
    _, place = np.unique(values, return_inverse=True)
    return _ranks(place, weights)


def correlation_of_ranks(one, other, weights):
    """The correlation of (events,) weighted ranks; NaN where one of them never varies."""
    size = np.sqrt(np.sum(weights * one**2) * np.sum(weights * other**2))
    return float(np.sum(weights * one * other) / size) if size > 0 else np.nan


def rank_correlation(one, other, weights, seed=1):
    """Spearman's rank correlation of (events,) numbers, and its statistical error, by bootstrap.

    Negative weights count as they are. NaN where there is none.
    """
    places = [np.unique(values, return_inverse=True)[1] for values in (one, other)]

    def correlate(weights):
        return correlation_of_ranks(*(_ranks(place, weights) for place in places), weights)

    if not len(weights) or not np.sum(weights) > 0:
        return np.nan, np.nan
    random = np.random.default_rng(seed)
    replicas = [correlate(weights * random.poisson(1.0, len(weights))) for _ in range(REPLICAS)]
    finite = [value for value in replicas if np.isfinite(value)]
    return correlate(weights), float(np.std(finite)) if finite else np.nan


def _ranks(place, weights):
    total = np.sum(weights)
    if not total:
        return np.full(len(place), np.nan)
    at = np.bincount(place, weights)
    ranks = (np.cumsum(at) - at / 2)[place]
    return ranks - np.sum(weights * ranks) / total
