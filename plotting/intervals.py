"""Errors of counted events."""

import numpy as np
from scipy.stats import gamma, norm

ONE_SIGMA = norm.cdf(1) - norm.cdf(-1)  # 0.6827


def poisson_interval(counts, level=ONE_SIGMA):
    """Exact central interval of the mean for counted events: F. Garwood, Biometrika 28 (1936) 437.

    counts: (bins,) events, not negative
    Returns (2, bins) lower and upper end; the lower end for 0 events is 0.
    """
    counts = np.asarray(counts, float)
    tail = (1 - level) / 2
    with np.errstate(invalid="ignore"):
        low = np.where(counts > 0, gamma.ppf(tail, counts), 0.0)
    return np.stack([low, gamma.isf(tail, counts + 1)])


def event_weight(sumw, sumw2):
    """Typical weight of one event, from sums of weights and of their squares; 0 without events.

    It is that of equal events with the same sums, and never more than all have together.
    """
    size = max(abs(sumw), float(np.sqrt(sumw2)))
    return float(sumw2) / size if size > 0 else 0.0
