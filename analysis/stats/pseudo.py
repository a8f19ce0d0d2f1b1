"""Pseudo-experiments: data and expectation as another try of nature and of the simulation.

An Experiment says how often each event of a Pool is observed, and with which weight it is part of
the expectation. The real one counts data once and takes the simulation as it is. In a
pseudo-experiment, data are drawn from the simulated background, each event a Poisson number of
times with its weight as mean, and the simulation is drawn again too (bootstrap: each event a
Poisson number of times with mean 1). So the difference of both varies as that of real data and of a
simulation of this size, and events that stand in both do no harm.

The true values of the systematic uncertainties are drawn from their constraints in each.

Poisson numbers with a negative mean do not exist. The events of a sample with negative weights are
not drawn, those with positive ones have weights scaled to the yield of all, and the bootstrap
varies them as much as the errors of the sample say.
"""

from dataclasses import dataclass

import numpy as np

from analysis.stats.nuisances import factors


@dataclass(frozen=True)
class Experiment:
    """Data and expectation, as numbers of each event of a Pool."""

    counts: np.ndarray  # (events,) how often it is observed
    reference: np.ndarray  # (events,) its weight in the expectation
    variance: np.ndarray  # (events,) what it adds to the squared error of the expectation


@dataclass(frozen=True)
class Intensity:
    """What pseudo-experiments are drawn from, for each event of a Pool."""

    mean: np.ndarray  # (events,) expected number, 0 of what is no background
    spread: np.ndarray  # (events,) variance of its number in the bootstrap, 1 or more


def intensity_of(pool):
    """The Intensity of the simulated background of a Pool."""
    mean = np.where(pool.of("background"), np.maximum(pool.weight, 0.0), 0.0)
    spread = np.ones(len(mean))
    for number in range(len(pool.samples)):
        events = pool.sample == number
        total, positive = pool.weight[events].sum(), mean[events].sum()
        if positive > 0:
            mean[events] *= max(total, 0.0) / positive
        squares = np.sum(mean[events] ** 2)
        if squares > 0:
            spread[events] = max(1.0, np.sum(pool.weight[events] ** 2) / squares)
    return Intensity(mean, spread)


def observe(pool):
    """The real Experiment."""
    background = pool.of("background")
    weight = np.where(background, pool.weight, 0.0)
    return Experiment(pool.of("data").astype(float), weight, weight**2)


def draw(pool, intensity, nuisances, random, signals=None, taken=False):
    """A pseudo-experiment.

    signals: {sample: expected number of its events} that are added to the pseudo-data
    taken: whether the simulation is one from which data have been taken, see `take_out`
    """
    truth = factors(nuisances, random.normal(size=len(nuisances.names)))
    counts = random.poisson(intensity.mean * truth).astype(float)
    for name, number in (signals or {}).items():
        counts += _signal(pool, name, number, random)
    left = 1.0 - intensity.mean if taken else 1.0
    times = random.poisson(left / intensity.spread) * intensity.spread / left
    reference = intensity.mean * times
    return Experiment(counts, reference, reference * intensity.mean * intensity.spread / left)


def thin(intensity):
    """(Intensity, share) at a share of the luminosity at which no event weighs more than half.

    Half an event of data, that is, as `take_out` wants it.
    """
    share = min(1.0, 0.5 / max(intensity.mean.max(initial=0.0), 1e-300))
    return Intensity(intensity.mean * share, intensity.spread), share


def take_out(intensity, nuisances, random):
    """An Experiment with data and expectation of different events, by which others are tested.

    Each simulated event becomes one of the data with the probability that is its weight, else it
    stays in the simulation, and weighs more instead. The parts of a Poisson process are independent
    of each other, so both are as if they were made apart.

    intensity: of at most a half, see `thin`
    """
    truth = factors(nuisances, random.normal(size=len(nuisances.names)))
    probability = np.minimum(intensity.mean * truth, 0.9)
    gone = random.random(len(probability)) < probability
    weight = np.where(gone, 0.0, intensity.mean / (1.0 - probability))
    return Experiment(gone.astype(float), weight, weight**2 * intensity.spread)


def _signal(pool, name, number, random):
    """(events,) how often the events of a signal are drawn, `number` of them on average."""
    events = np.flatnonzero(pool.of("signal") & (pool.sample == pool.samples.index(name)))
    weight = np.maximum(pool.weight[events], 0.0)
    counts = np.zeros(len(pool.weight))
    counts[events] = random.poisson(number * weight / weight.sum())
    return counts
