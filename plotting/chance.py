"""What chance does to a test: probabilities from pseudo-experiments.

In each pseudo-experiment data and simulation fluctuate, and everything is repeated: bins are merged
anew, the systematic uncertainties are fitted anew. It is a parametric bootstrap (B. Efron and
R. Tibshirani, An Introduction to the Bootstrap, 6.5) with these rates:

- A sample with few effective events N has empty bins where its true rate is not zero. So of its
  shape only the part N / (N + bins) is its own. The rest is that of the whole background and, since
  the sample may have another, to a share FLAT the same in all bins.
- The simulation of a bin is a sum of Poisson variables with weights. Those of samples with weights
  up to one, and those of the others, each become one scaled Poisson variable of the same mean,
  variance and skewness (G. Bohm and G. Zech, NIM A 748 (2014) 1).
- The true size of either group is as uncertain as its N effective events say: gamma distributed
  with N + 1, as it is after N events were counted.
- Data are Poisson around the rates, moved by each systematic uncertainty times a normal variable.
  What an uncertainty changes fluctuates with the simulation, of whose events it is made.

A probability is (1 + pseudo-experiments at least as extreme) / (1 + all) and so never 0 (A. Davison
and D. Hinkley, Bootstrap Methods, 4.2). There are more of them while FEW or less are as extreme,
up to MOST; what is beyond all by FAR standard deviations is not followed further and gets the
smallest probability. The seed is made of the histograms.

Limits: simulated events are taken to be independent of the data. Where data were drawn from the
very simulation that is tested, only the data fluctuate and probabilities are too large. A sample
that no simulated event represents is not there at all.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from plotting.bin_tests import statistics
from plotting.scores import seed_of

STEPS = (1000, 4000, 20_000)  # pseudo-experiments after which to look
MOST = STEPS[-1]
FEW = 20
FAR = 6.0
FLAT = 0.25  # with less, heavy events of another shape make probabilities too small
LEAST = 1 / (1 + MOST)  # the smallest probability; twice that for the smaller one of two


@dataclass(frozen=True)
class Rates:
    """What pseudo-experiments are drawn from."""

    sumw: np.ndarray  # (bins,) of the simulation, as it is
    truth: np.ndarray  # (groups, bins) events
    variance: np.ndarray  # (groups, bins) of the simulation
    weight: np.ndarray  # (groups, bins) effective weight of simulated events
    effective: np.ndarray  # (groups,) simulated events, at least 1


def rates_of(samples):
    """The Rates of a sum of samples.

    samples: (sumw, sumw2) of each, (bins,) arrays, of which one at least has events
    """
    sumw, sumw2 = (np.array(values, float) for values in zip(*samples, strict=True))
    filled = sumw2.sum(axis=1) > 0
    sumw, sumw2 = sumw[filled], sumw2[filled]
    total, squares = sumw.sum(axis=1, keepdims=True), sumw2.sum(axis=1, keepdims=True)
    effective = total**2 / squares
    inside = np.flatnonzero(sumw2.any(axis=0))
    own = effective / (effective + len(inside))
    shape = np.maximum((own * sumw).sum(axis=0), 0.0)
    shape = (1 - FLAT) * (shape / shape.sum() if shape.any() else sumw2.sum(axis=0) / sumw2.sum())
    shape[inside[0] : inside[-1] + 1] += FLAT / (inside[-1] + 1 - inside[0])
    truth = own * sumw + (1 - own) * total * shape
    variance = own * sumw2 + (1 - own) * squares * shape
    # A bin counts as one event of its effective weight, at most the root of its squared weights.
    single = np.sqrt(sumw2)
    ratio = np.divide(sumw2, np.abs(sumw), out=single.copy(), where=sumw != 0)
    single = np.minimum(ratio, single)
    weight = (single**3).sum(axis=1, keepdims=True) / (single**2).sum(axis=1, keepdims=True)
    heavy = (weight > 1).ravel()
    groups = [which for which in (~heavy, heavy) if which.any()]

    def grouped(values):
        return np.array([values[which].sum(axis=0) for which in groups])

    second, third = grouped(variance), grouped(weight * variance)
    return Rates(
        sumw.sum(axis=0),
        grouped(truth),
        second,
        np.divide(third, second, out=np.ones_like(second), where=second > 0),
        np.maximum(grouped(total) ** 2 / grouped(squares), 1.0).ravel(),
    )


def draw(rates, shifts, scale, number, random):
    """Pseudo-experiments: data, sums of weights and of squared weights, (bins, number), and shifts.

    shifts: (uncertainties, bins); scale: of the data, to the simulation
    """
    truth = np.zeros((len(rates.sumw), number))
    sumw, sumw2 = truth.copy(), truth.copy()
    for mean, variance, weight, effective in zip(
        rates.truth, rates.variance, rates.weight, rates.effective, strict=True
    ):
        size = random.gamma(1 + effective, size=number) / effective
        truth += mean[:, None] * size
        expected = (variance / weight**2)[:, None] * size
        counts = random.poisson(expected)
        sumw += weight[:, None] * (counts - expected)
        sumw2 += weight[:, None] ** 2 * counts
    sumw += truth
    expected = np.maximum(truth, 0.0)
    if len(shifts):
        relative = np.divide(shifts, rates.sumw, out=np.zeros_like(shifts), where=rates.sumw > 0)
        relative = np.clip(relative, -1, 1)[..., None]
        fixed = shifts[..., None] - relative * rates.sumw[:, None]
        normal = random.normal(size=(len(shifts), 1, number))
        moved = np.sum(normal * (fixed + relative * truth), axis=0)
        expected = np.maximum(truth + moved, 0.0)
        shifts = fixed + relative * sumw
    return random.poisson(scale * expected), sumw, sumw2, shifts


@dataclass(frozen=True)
class Chance:
    """Probabilities of a result."""

    chi2: float
    distance: float  # of Kolmogorov-Smirnov
    both: float  # of the smaller one of the two
    number: int  # of pseudo-experiments


def probabilities(observed, data, samples, shifts=(), *, shape=False, bulk=False, steps=STEPS):
    """The Chance of the observed Statistics of data and samples.

    data: (bins,) events; samples, shifts: see `rates_of` and `draw`
    shape, bulk: as in `bin_tests.statistics`
    steps: numbers of pseudo-experiments after which to look
    """
    rates = rates_of(samples)
    shifts = np.reshape(np.asarray(shifts, float), (-1, len(data)))
    scale = np.sum(data) / rates.sumw.sum() if shape else 1.0
    random = np.random.default_rng(seed_of(data, *map(np.array, samples), shifts))
    seen, scores = observed.scores[:, 0], np.empty((2, 0))
    for before, until in pairwise((0, *steps)):
        for _ in range(before, until, STEPS[0]):
            drawn = statistics(*draw(rates, shifts, scale, STEPS[0], random), shape, bulk)
            scores = np.hstack([scores, drawn.scores[:, drawn.ndof > 0]])
        found = among(seen, scores)
        if found.both * (1 + found.number) > FEW or not found.number:
            break
        far = seen - scores.mean(axis=1) > FAR * scores.std(axis=1)
        if far.any():
            ends = np.where(far, LEAST, [found.chi2, found.distance])
            return Chance(*ends.tolist(), 2 * LEAST, found.number)
    return found


def among(seen, scores):
    """The Chance of two scores, (2,), among those of pseudo-experiments, (2, number)."""
    number = scores.shape[1]
    every = np.column_stack([seen, scores])
    as_extreme = [1 + number - np.searchsorted(np.sort(row), row) for row in every]
    smaller = np.min(as_extreme, axis=0)
    counts = *(row[0] for row in as_extreme), np.count_nonzero(smaller <= smaller[0])
    return Chance(*(float(count / (1 + number)) for count in counts), number)
