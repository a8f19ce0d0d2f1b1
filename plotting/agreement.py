"""Does simulation describe the data? Test statistics of histograms.

Chi-squared, with the errors of simulation::

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
simulation and its variations are first scaled to the data, which takes one. The statistic follows a
chi-squared distribution where bins hold many events, so neighbours are merged until each expects
MIN_EXPECTED events (the rule of Cochran, Biometrics 10 (1954) 417) and holds MIN_EFFECTIVE
effective simulated ones.

Kolmogorov-Smirnov: D is the largest distance of the two cumulative distributions, both normalised
to one, at the edges of the bins. Its probability is the asymptotic one of sqrt(n) D with M.
Stephens' correction (J. R. Stat. Soc. B 32 (1970) 115; Numerical Recipes, 14.3.3), where
n = n1 n2 / (n1 + n2) of the effective numbers of events (sum w)^2 / sum w^2. Binning makes D
smaller, so the true probability is at most the one given. Where there are systematic uncertainties
the simulation is first moved by the pulls of the chi-squared, which makes D smaller once more.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2 as chi2_distribution
from scipy.stats import false_discovery_control, kstwobign

MIN_EXPECTED = 5.0  # background events in a merged bin
MIN_EFFECTIVE = 10.0  # effective simulated events in a merged bin
FALSE_DISCOVERIES = 0.05  # expected share of good features among those called bad
VERDICTS = ("disagrees", "agrees", "constant", "too few events", "blind", "no data")


@dataclass(frozen=True)
class Agreement:
    """Data against simulation for one feature in one region; NaN where there is no test."""

    region: str
    feature: str
    chi2: float
    ndof: int
    p_chi2: float
    distance: float  # Kolmogorov-Smirnov
    p_ks: float
    data: float  # events
    expected: float  # sum of weights of the background
    verdict: str = ""  # one of VERDICTS

    @property
    def p(self):
        """The smaller probability of the two tests, doubled since there are two; at most 1."""
        return min(1.0, 2 * np.nanmin([self.p_chi2, self.p_ks])) if self.tested else np.nan

    @property
    def tested(self):
        """Whether there was enough to test."""
        return not np.isnan(self.p_chi2)


def merge_bins(sumw, sumw2, expected=MIN_EXPECTED, effective=MIN_EFFECTIVE):
    """Merge neighbouring bins, from the last to the first, until each holds enough.

    sumw, sumw2: (bins,) sums of weights and squared weights of the simulation
    Returns (merged,) positions of the first bin of each merged bin; empty if all bins together do
    not hold enough. What is left over at the front joins its neighbour.
    """
    starts, weight, squares = [], 0.0, 0.0
    for place in range(len(sumw) - 1, -1, -1):
        weight, squares = weight + sumw[place], squares + sumw2[place]
        if weight >= expected and weight**2 >= effective * squares:
            starts.append(place)
            weight = squares = 0.0
    if starts:
        starts[-1] = 0
    return np.array(starts[::-1], int)


def chi2_test(data, sumw, sumw2, *, shifts=(), shape=False):
    """Chi-squared of data and simulation, see the module.

    data, sumw, sumw2: (bins,) events, sums of weights and of squared weights
    shifts: (uncertainties, bins) changes of `sumw` by one standard deviation of each
    shape: scale the simulation to the data first
    Returns (chi2, degrees of freedom, probability, (uncertainties,) pulls), or (NaN, 0, NaN, zeros)
    with fewer than two bins.
    """
    data, sumw, sumw2 = (np.asarray(values, float) for values in (data, sumw, sumw2))
    shifts = np.reshape(shifts, (-1, len(sumw)))
    if shape:
        sumw, sumw2, shifts = scale_to(data, sumw, sumw2, shifts)
    starts = merge_bins(sumw, sumw2)
    if len(starts) < 2:
        return np.nan, 0, np.nan, np.zeros(len(shifts))
    n, m, v = (np.add.reduceat(values, starts) for values in (data, sumw, sumw2))
    d = np.add.reduceat(shifts, starts, axis=1)
    weighted = np.linalg.solve(np.diag(m + v) + d.T @ d, n - m)
    value = float((n - m) @ weighted)
    ndof = len(starts) - bool(shape)
    return value, ndof, float(chi2_distribution.sf(value, ndof)), d @ weighted


def scale_to(data, sumw, sumw2, shifts):
    """The simulation with the sum of the data, to first order also where it is shifted."""
    total = sumw.sum()
    scale = data.sum() / total if total > 0 else 0.0
    if total > 0:
        shifts = shifts - np.outer(shifts.sum(axis=1) / total, sumw)
    return sumw * scale, sumw2 * scale**2, shifts * scale


def ks_test(data, sumw, sumw2):
    """Kolmogorov-Smirnov test of binned data and simulation, see the module.

    data, sumw, sumw2: (bins,) events, sums of weights and of squared weights, with flow
    Returns (D, probability); NaN without events.
    """
    data, sumw = np.asarray(data, float), np.asarray(sumw, float)
    squares = float(np.sum(sumw2))
    if data.sum() <= 0 or sumw.sum() <= 0 or squares <= 0:
        return np.nan, np.nan
    distance = np.max(np.abs(np.cumsum(data) / data.sum() - np.cumsum(sumw) / sumw.sum()))
    first, second = data.sum(), sumw.sum() ** 2 / squares
    root = np.sqrt(first * second / (first + second))
    return float(distance), float(kstwobign.sf(distance * (root + 0.12 + 0.11 / root)))


def compare(region, feature, data, background, *, shifts=(), blind=False, shape=False):
    """The Agreement of one feature, without a verdict that depends on the others.

    data, background: Histogram or None
    shifts: (uncertainties, bins + 2) changes of the sums of weights of the background
    """
    expected = float(background.sumw.sum()) if background else 0.0
    nothing = (np.nan, 0, np.nan, np.nan, np.nan)
    if data is None or background is None:
        verdict = "blind" if blind else "no data" if data is None else "too few events"
        return Agreement(region, feature, *nothing, 0.0, expected, verdict)
    events = float(data.sumw.sum())
    if np.count_nonzero((background.sumw2 > 0) | (data.sumw2 > 0)) < 2:
        # Objects that never occur; a test of one bin would repeat the yield.
        return Agreement(region, feature, *nothing, events, expected, "constant")
    simulated = background.sumw, background.sumw2
    shifts = np.reshape(shifts, (-1, len(background.sumw)))
    *chi2, pulls = chi2_test(data.sumw, *simulated, shifts=shifts, shape=shape)
    if not chi2[1]:
        return Agreement(region, feature, *nothing, events, expected, "too few events")
    if shape:
        *simulated, shifts = scale_to(data.sumw, *simulated, shifts)
    ks = ks_test(data.sumw, simulated[0] + pulls @ shifts, simulated[1])
    return Agreement(region, feature, *chi2, *ks, events, expected)


def judge(agreements):
    """Give tested features a verdict and sort all, the worst first.

    Among many features some look bad by chance, so those are said to disagree whose probability
    survives the procedure of Y. Benjamini and Y. Hochberg (J. R. Stat. Soc. B 57 (1995) 289) with
    FALSE_DISCOVERIES, for all features of a region together.
    """
    result = []
    for region in dict.fromkeys(a.region for a in agreements):
        tested = [a for a in agreements if a.region == region and a.tested]
        rest = [a for a in agreements if a.region == region and not a.tested]
        if tested:
            bad = false_discovery_control([a.p for a in tested]) < FALSE_DISCOVERIES
            tested = [
                Agreement(**{**vars(a), "verdict": VERDICTS[0] if is_bad else VERDICTS[1]})
                for a, is_bad in zip(tested, bad, strict=True)
            ]
        tested.sort(key=lambda a: (a.p, -a.chi2 / a.ndof))
        result += tested + rest
    return result


def totals(results, region, histograms):
    """Data and total background, as Histogram, from {sample: Histogram} of a feature.

    Either is None where there are no such samples, or none that may be looked at.
    """
    sums = []
    for kind in ("data", "background"):
        found = [histograms[sample.name] for sample in results.visible(region, kind)]
        sums.append(sum(found[1:], found[0]) if found else None)
    return sums


def table_lines(agreements):
    """The agreements as lines of text."""
    head = f"{'feature':<20} {'chi2/ndof':>14} {'p(chi2)':>9} {'D(KS)':>7} {'p(KS)':>9}  verdict"
    lines = [head]
    for a in agreements:
        numbers = f"{'':>14} {'':>9} {'':>7} {'':>9}"
        if a.tested:
            ratio = f"{a.chi2:.1f}/{a.ndof}"
            numbers = f"{ratio:>14} {a.p_chi2:>9.2g} {a.distance:>7.3f} {a.p_ks:>9.2g}"
        lines.append(f"{a.feature:<20} {numbers}  {a.verdict}")
    return lines


def summary(agreements):
    """How many features have which verdict, in one line."""
    verdicts = [a.verdict for a in agreements]
    counts = {verdict: verdicts.count(verdict) for verdict in VERDICTS if verdict in verdicts}
    return ", ".join(f"{verdict}: {count}" for verdict, count in counts.items())
