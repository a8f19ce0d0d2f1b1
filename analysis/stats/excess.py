"""Counting: how many events are above a threshold on a score, and how many are expected.

Thresholds are chosen on the expectation alone, as the share of it that passes.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, gammainc, ndtri

from analysis.stats.nuisances import gradient

SHARES = (0.1, 0.01, 0.001)
LEAST_EVENTS = 10.0  # effective simulated events above a threshold, fewer support none
SMALLEST = 1e-300  # of p-values that are compared


@dataclass(frozen=True)
class Count:
    """Events of a region above a threshold."""

    region: str
    detector: str | None  # None: no threshold
    share: float  # of the expectation that was asked for
    threshold: float | None
    data: float
    background: float
    error: float  # of the background
    local_p: float


@dataclass(frozen=True)
class Ranking:
    """The events of a region in the order of a score, highest first."""

    events: np.ndarray  # (events,) places in the Pool
    ends: np.ndarray  # (values,) number of events at and above each value of the score
    values: np.ndarray  # (values,) the score, falling


def rank(pool, region, score):
    """The Ranking of a region (its place) by (events,) scores."""
    events = np.flatnonzero(pool.inside[region])
    events = events[np.argsort(-score[events], kind="stable")]
    ordered = score[events]
    last = np.append(ordered[1:] != ordered[:-1], True)[: len(ordered)]
    return Ranking(events, np.flatnonzero(last) + 1, ordered[last])


def p_value(data, background, error):
    """The probability of as many events or more, of a Poisson number whose mean is uncertain.

    The mean is Gamma distributed with mean `background` and standard deviation `error` (which
    makes the number negative binomial). It is 1 without background: see `supported`. All (...).
    """
    data, background, error = np.broadcast_arrays(*np.atleast_1d(data, background, error))
    result = np.ones(data.shape)
    possible = (data > 0) & (background > 0)
    n, b, variance = data[possible], background[possible], error[possible] ** 2
    ratio = variance / b
    small = ratio < 1e-9
    uncertain = betainc(n, b / np.maximum(ratio, 1e-9), ratio / (1.0 + ratio))
    result[possible] = np.where(small, gammainc(n, b), uncertain)
    return np.maximum(result, SMALLEST)


def z_value(p):
    """Standard deviations of a one-sided p-value; negative for p above a half."""
    return -ndtri(np.asarray(p, float))


def supported(background, error, typical):
    """Expectation and error where fewer than one simulated event is expected: that of one event.

    No simulated event does not mean that none is expected, and a negative sum of weights neither.

    typical: the weight of a simulated event
    """
    return np.maximum(background, typical), np.where(
        background < typical, np.maximum(error, typical), error
    )


def passing(ranking, experiment, share):
    """Number of values of a Ranking's score at which `share` of the expectation is above, or None.

    None where so few simulated events are above that they support no threshold, and where so many
    scores are equal that more than twice the share is above it.
    """
    above = np.cumsum(experiment.reference[ranking.events])[ranking.ends - 1]
    if not above[-1] > 0:
        return None
    reached = int(np.argmax(above >= share * above[-1]))
    first = ranking.ends[reached]
    squares = experiment.variance[ranking.events[:first]].sum()
    if above[reached] ** 2 < LEAST_EVENTS * squares or above[reached] > 2 * share * above[-1]:
        return None
    return reached


def count(search, experiment, fit, events):
    """(data, background, error) of some events of a Pool (places), after the Fit.

    search: what has the Nuisances, such as a Search
    """
    factor = fit.factor[events]
    change = gradient(search.nuisances, experiment.reference, events)
    variance = change @ fit.covariance @ change + experiment.variance[events] @ factor**2
    background = experiment.reference[events] @ factor
    return experiment.counts[events].sum(), background, float(np.sqrt(max(variance, 0.0)))


def typical_weight(experiment, events):
    """The weight of a simulated event among some, 0 without any."""
    total = experiment.reference[events].sum()
    return experiment.variance[events].sum() / total if total > 0 else 0.0


def count_all(search, experiment, fit):
    """[Count] of all regions of a Search without a threshold, and above each of the thresholds."""
    pool, result = search.pool, []
    for number, region in enumerate(pool.regions):
        inside = np.flatnonzero(pool.inside[number])
        result.append(_counted(search, experiment, fit, region, None, 1.0, None, inside, inside))
    for (number, name), ranking in search.counted.items():
        inside = ranking.events
        for share in search.shares:
            place = passing(ranking, experiment, share)
            if place is None:
                continue
            events, region = inside[: ranking.ends[place]], pool.regions[number]
            threshold = float(ranking.values[place])
            result.append(
                _counted(search, experiment, fit, region, name, share, threshold, events, inside)
            )
    return result


def _counted(search, experiment, fit, region, name, share, threshold, events, inside):
    data, background, error = count(search, experiment, fit, events)
    background, error = supported(background, error, typical_weight(experiment, inside))
    p = float(p_value(data, background, error)[0])
    return Count(region, name, share, threshold, float(data), float(background), float(error), p)
