"""Test statistics of binned data and simulation, of one experiment or of many at once.

Arrays are (bins, experiments). Chi-squared, with the errors of simulation::

    chi2 = sum over bins i, j of (n - m)_i (C^-1)_ij (n - m)_j
    C_ij = (m_i + v_i) delta_ij + sum over systematic uncertainties of d_i d_j

n: events of data, m: sum of weights of the background, v: its sum of squared weights, d: half of
the difference that an uncertainty makes between up and down, fully correlated between bins. Without
systematic uncertainties it is Pearson's statistic (Particle Data Group, Statistics,
"Goodness-of-fit tests") with the variance of the simulation added to the Poisson variance m, since
both n and m fluctuate and are independent. With them it is the smallest value of::

    sum over bins (n - m - sum of t d)^2 / (m + v) + sum of t^2

over the pulls t of the uncertainties (D. Stump et al., Phys. Rev. D 65 (2001) 014012). The pulls
are no free parameters, so the number of degrees of freedom is the number of bins; with `shape` the
simulation and its variations are first scaled to the data, which takes one. Neighbours are merged
until each bin expects MIN_EXPECTED events (the rule of Cochran, Biometrics 10 (1954) 417) and holds
MIN_EFFECTIVE effective simulated ones.

Kolmogorov-Smirnov: D is the largest distance of the two cumulative distributions, both normalised
to one, at the edges of the bins; the simulation is first moved by the pulls of the chi-squared.

What values chance gives to both is another matter, see chance.py.
"""

from dataclasses import dataclass

import numpy as np

MIN_EXPECTED = 5.0  # background events in a merged bin
MIN_EFFECTIVE = 10.0  # effective simulated events in a merged bin
BULK = 0.95  # of the background, in as few merged bins as possible


@dataclass(frozen=True)
class Merged:
    """Data and simulation in merged bins, each padded with empty ones to the same number."""

    labels: np.ndarray  # (bins, experiments) merged bin of each bin, the last is 0
    number: np.ndarray  # (experiments,) of merged bins
    data: np.ndarray  # (merged, experiments) events
    sumw: np.ndarray  # likewise, sums of weights
    sumw2: np.ndarray  # and of squared weights
    shifts: np.ndarray  # (merged, uncertainties, experiments)

    def of(self, chosen):
        """The same where `chosen`, (merged, experiments), and nothing elsewhere."""
        return Merged(
            self.labels,
            chosen.sum(axis=0),
            *(np.where(chosen, values, 0) for values in (self.data, self.sumw, self.sumw2)),
            np.where(chosen[:, None], self.shifts, 0),
        )


def merge_bins(sumw, sumw2, expected=MIN_EXPECTED, effective=MIN_EFFECTIVE):
    """Merge neighbouring bins, from the last to the first, until each holds enough.

    sumw, sumw2: (bins, experiments) sums of weights and squared weights of the simulation
    Returns (bins, experiments) numbers of the merged bins, from the last, 0, to the first, and
    (experiments,) how many there are; 0 where all bins together do not hold enough. What is left
    over at the front joins its neighbour.
    """
    bins, experiments = sumw.shape
    labels = np.empty((bins, experiments), int)
    number = np.zeros(experiments, int)
    weight, squares = np.zeros(experiments), np.zeros(experiments)
    for place in range(bins - 1, -1, -1):
        weight += sumw[place]
        squares += sumw2[place]
        labels[place] = number
        full = (weight >= expected) & (weight * weight >= effective * squares)
        number += full
        weight[full] = 0.0
        squares[full] = 0.0
    return np.clip(labels, 0, np.maximum(number - 1, 0)), number


def merge(data, sumw, sumw2, shifts):
    """The Merged of (bins, experiments) arrays; shifts: (uncertainties, bins, experiments)."""
    labels, number = merge_bins(sumw, sumw2)
    experiments = len(number)
    size = max(int(number.max(initial=0)), 1)
    where = (labels * experiments + np.arange(experiments)).ravel()

    def summed(values):
        values = np.broadcast_to(values, labels.shape)
        return np.bincount(where, values.ravel(), size * experiments).reshape(size, experiments)

    merged = [summed(values) for values in (data, sumw, sumw2)]
    moved = np.zeros((size, len(shifts), experiments))
    for place, shift in enumerate(shifts):
        moved[:, place] = summed(shift)
    return Merged(labels, number, *merged, moved)


def scale_to(data, sumw, sumw2, shifts):
    """The simulation with the sum of the data, to first order also where it is shifted.

    data, sumw, sumw2: (bins, experiments); shifts: (uncertainties, bins, experiments)
    """
    total = sumw.sum(axis=0)
    scale = np.divide(data.sum(axis=0), total, out=np.zeros_like(total), where=total > 0)
    share = np.divide(sumw, total, out=np.zeros_like(sumw), where=total > 0)
    shifts = shifts - shifts.sum(axis=1, keepdims=True) * share
    return sumw * scale, sumw2 * scale**2, shifts * scale


def chi2_of(merged):
    """(experiments,) chi-squared of a Merged, and the (uncertainties, experiments) pulls."""
    variance = merged.sumw + merged.sumw2
    weight = np.divide(1.0, variance, out=np.zeros_like(variance), where=variance > 0)
    difference = merged.data - merged.sumw
    value = np.sum(weight * difference**2, axis=0)
    shifts = merged.shifts
    uncertainties = shifts.shape[1]
    if not uncertainties:
        return value, np.zeros((0, len(value)))
    # M. Woodbury: the inverse of C needs that of a matrix of uncertainties alone.
    weighted = np.moveaxis(shifts * weight[:, None], 2, 0)
    slope = np.einsum("ebs,be->es", weighted, difference)
    curvature = np.eye(uncertainties) + weighted.transpose(0, 2, 1) @ np.moveaxis(shifts, 2, 0)
    pulls = np.linalg.solve(curvature, slope[..., None])[..., 0]
    return value - np.sum(slope * pulls, axis=1), pulls.T


def distances(data, sumw):
    """(experiments,) largest distance of the cumulative distributions, and its bin."""
    ends = []
    for values in (data, sumw):
        cumulative = np.cumsum(values, axis=0)
        total = cumulative[-1]
        ends.append(np.divide(cumulative, total, out=np.zeros_like(cumulative), where=total > 0))
    difference = np.abs(ends[0] - ends[1])
    return difference.max(axis=0), difference.argmax(axis=0)


def in_bulk(merged, share=BULK):
    """(merged, experiments) bool: the fullest bins that together hold a share of the background."""
    order = np.argsort(-merged.sumw, axis=0, kind="stable")
    ordered = np.take_along_axis(merged.sumw, order, axis=0)
    before = np.cumsum(ordered, axis=0) - ordered
    chosen = (before < share * ordered.sum(axis=0)) & (ordered > 0)
    result = np.empty_like(chosen)
    np.put_along_axis(result, order, chosen, axis=0)
    return result


@dataclass(frozen=True)
class Statistics:
    """What is tested, (experiments,); without degrees of freedom where there are too few bins."""

    chi2: np.ndarray
    ndof: np.ndarray
    distance: np.ndarray  # Kolmogorov-Smirnov
    place: np.ndarray  # bin after which the distance is largest
    effective: np.ndarray  # n1 n2 / (n1 + n2) of the effective numbers of events
    pulls: np.ndarray  # (uncertainties, experiments)
    merged: Merged

    @property
    def scores(self):
        """(2, experiments) both, comparable for different numbers of bins and of events.

        The chi-squared as a normal variable (E. Wilson and M. Hilferty, PNAS 17 (1931) 684), the
        distance as that of many events (M. Stephens, J. R. Stat. Soc. B 32 (1970) 115).
        """
        ndof = np.maximum(self.ndof, 1)
        width = 2 / (9 * ndof)
        normal = (np.cbrt(np.maximum(self.chi2, 0) / ndof) - 1 + width) / np.sqrt(width)
        root = np.sqrt(np.maximum(self.effective, 1e-9))
        scores = [normal, self.distance * (root + 0.12 + 0.11 / root)]
        return np.where(self.ndof > 0, scores, -np.inf)


def statistics(data, sumw, sumw2, shifts=(), shape=False, bulk=False):
    """The Statistics of experiments.

    data, sumw, sumw2: (bins, experiments) events, sums of weights and of squared weights
    shifts: (uncertainties, bins) or (uncertainties, bins, experiments) changes of `sumw` by one
        standard deviation of each
    shape: scale the simulation to the data first
    bulk: test only the fullest merged bins, see `in_bulk`; with `shape` scaled there again
    """
    data, sumw, sumw2 = (np.asarray(values, float) for values in (data, sumw, sumw2))
    shifts = np.asarray(shifts, float)
    shifts = shifts if shifts.ndim == 3 else np.reshape(shifts, (-1, len(sumw), 1))
    if shape:
        sumw, sumw2, shifts = scale_to(data, sumw, sumw2, shifts)
    merged = merge(data, sumw, sumw2, shifts)
    tested = merged.number >= 2
    if bulk:
        chosen = in_bulk(merged)
        merged = merged.of(chosen)
        inside = np.take_along_axis(chosen, merged.labels, axis=0)
        data, sumw, sumw2 = (np.where(inside, values, 0.0) for values in (data, sumw, sumw2))
        shifts = np.where(inside, shifts, 0.0)
        if shape:
            sumw, sumw2, shifts = scale_to(data, sumw, sumw2, shifts)
            merged = rescaled(merged)
    chi2, pulls = chi2_of(merged)
    moved = sumw
    for pull, shift in zip(pulls, shifts, strict=True):
        moved = moved + pull * shift
    distance, place = distances(data, moved)
    events, weights, squares = data.sum(axis=0), sumw.sum(axis=0), sumw2.sum(axis=0)
    simulated = np.divide(weights**2, squares, out=np.zeros_like(weights), where=squares > 0)
    either = events + simulated
    effective = np.divide(events * simulated, either, out=np.zeros_like(either), where=either > 0)
    ndof = np.where(tested, merged.number - bool(shape), 0)
    return Statistics(chi2, ndof, distance, place, effective, pulls, merged)


def rescaled(merged):
    """A Merged whose simulation is scaled to its data."""
    shifts = np.moveaxis(merged.shifts, 1, 0)
    sumw, sumw2, shifts = scale_to(merged.data, merged.sumw, merged.sumw2, shifts)
    return Merged(merged.labels, merged.number, merged.data, sumw, sumw2, np.moveaxis(shifts, 0, 1))
