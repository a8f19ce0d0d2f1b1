"""Does simulation describe the data? A verdict for each feature.

The statistics are those of bin_tests.py, a chi-squared and the distance of Kolmogorov and Smirnov;
their probabilities, and that of the smaller one of both, come from the pseudo-experiments of
chance.py. Where a feature is unlikely, the same is asked of its bulk alone, the fullest bins that
hold BULK of the background. So a simulation that is wrong differs from a few events in a tail,
which may be what one looks for.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control

from plotting.bin_tests import statistics
from plotting.chance import STEPS, probabilities

FALSE_DISCOVERIES = 0.05  # expected share of good features among those called bad
BULK_LEVEL = 0.02  # a bulk that chance makes as bad more often agrees
NAMED = 3  # bins at most that are named
STRIKING = 2.0  # least pull of those beside the largest
DISAGREES, TAIL, AGREES = "disagrees", "tail", "agrees"
UNTESTED = ("constant", "too few events", "no simulation", "blind", "no data")
VERDICTS = (DISAGREES, TAIL, AGREES, *UNTESTED)


@dataclass(frozen=True)
class Bin:
    """A merged bin in which data and simulation differ."""

    low: float
    high: float
    data: float  # events
    expected: float  # with the pulls of systematic uncertainties; with `shape` scaled to the data
    pull: float  # their difference in standard deviations


@dataclass(frozen=True)
class Agreement:
    """Data against simulation for one feature in one region; NaN where there is no test."""

    region: str
    feature: str
    unit: str = ""
    chi2: float = np.nan
    ndof: int = 0
    p_chi2: float = np.nan
    distance: float = np.nan  # Kolmogorov-Smirnov
    distance_at: float = np.nan  # value of the feature where it is largest
    p_ks: float = np.nan
    p: float = np.nan  # of the smaller one of the two probabilities
    p_bulk: float = np.nan  # likewise of the bulk; only where p < FALSE_DISCOVERIES
    pseudo_experiments: int = 0
    data: float = 0.0  # events
    expected: float = 0.0  # sum of weights of the background
    verdict: str = ""  # one of VERDICTS
    bins: tuple[Bin, ...] = ()  # with the largest pulls; only where p < FALSE_DISCOVERIES

    @property
    def tested(self):
        """Whether there was enough to test."""
        return not np.isnan(self.p)


def compare(region, feature, data, samples, *, unit="", shifts=(), blind=False, shape=False):
    """The Agreement of one feature; a tested one has no verdict, which depends on the others.

    data: Histogram or None; samples: Histograms of the background
    shifts: (uncertainties, bins + 2) changes of the sums of weights of the background
    shape: scale the simulation to the data first
    """
    background = sum(samples[1:], samples[0]) if samples else None
    found = Agreement(
        region,
        feature,
        unit,
        data=0.0 if data is None else float(data.sumw.sum()),
        expected=float(background.sumw.sum()) if samples else 0.0,
    )
    if data is None:
        return replace(found, verdict="blind" if blind else "no data")
    if background is None or (found.data > 0 and not background.sumw2.any()):
        return replace(found, verdict="no simulation")
    if np.count_nonzero((background.sumw2 > 0) | (data.sumw2 > 0)) < 2:
        # Objects that never occur; a test of one bin would repeat the yield.
        return replace(found, verdict="constant")
    shifts = np.reshape(shifts, (-1, len(data.sumw)))
    one = [values[:, None] for values in (data.sumw, background.sumw, background.sumw2)]
    observed = statistics(*one, shifts, shape)
    if not observed.ndof[0]:
        return replace(found, verdict="too few events")
    parts = [(sample.sumw, sample.sumw2) for sample in samples]
    chance = probabilities(observed, data.sumw, parts, shifts, shape=shape)
    found = replace(
        found,
        chi2=float(observed.chi2[0]),
        ndof=int(observed.ndof[0]),
        p_chi2=chance.chi2,
        distance=float(observed.distance[0]),
        distance_at=float(data.edges[min(observed.place[0], len(data.edges) - 1)]),
        p_ks=chance.distance,
        p=chance.both,
        pseudo_experiments=chance.number,
    )
    if found.p >= FALSE_DISCOVERIES:
        return found
    bulk = statistics(*one, shifts, shape, bulk=True)
    again = {"shape": shape, "bulk": True, "steps": STEPS[:1]}
    chance = probabilities(bulk, data.sumw, parts, shifts, **again)
    return replace(found, p_bulk=chance.both, bins=striking_bins(observed, data.edges))


def striking_bins(observed, edges):
    """The Bins of one experiment that pull most, the largest pull first."""
    merged, labels = observed.merged, observed.merged.labels[:, 0]
    data, sumw, sumw2 = (v[:, 0] for v in (merged.data, merged.sumw, merged.sumw2))
    expected = sumw + merged.shifts[:, :, 0] @ observed.pulls[:, 0]
    pulls = (data - expected) / np.sqrt(sumw + sumw2)
    ends = np.concatenate([[-np.inf], edges, [np.inf]])
    order = np.argsort(-np.abs(pulls), kind="stable")[:NAMED]
    named = [place for place in order if place == order[0] or abs(pulls[place]) >= STRIKING]
    bins = []
    for place in named:
        inside = np.flatnonzero(labels == place)
        low, high = ends[inside[0]], ends[inside[-1] + 1]
        numbers = (low, high, data[place], expected[place], pulls[place])
        bins.append(Bin(*map(float, numbers)))
    return tuple(bins)


def judge(agreements):
    """Give tested features a verdict and sort all, the worst first.

    Among many features some look bad by chance, so those are said to disagree whose probability
    survives the procedure of Y. Benjamini and Y. Hochberg (J. R. Stat. Soc. B 57 (1995) 289) with
    FALSE_DISCOVERIES, for all features of a region together. Of these, the ones whose bulk agrees
    have the verdict TAIL.
    """
    result = []
    for region in dict.fromkeys(a.region for a in agreements):
        tested = [a for a in agreements if a.region == region and a.tested]
        rest = [a for a in agreements if a.region == region and not a.tested]
        if tested:
            bad = false_discovery_control([a.p for a in tested]) < FALSE_DISCOVERIES
            tested = [replace(a, verdict=verdict(a, b)) for a, b in zip(tested, bad, strict=True)]
        tested.sort(key=lambda a: (a.p, -a.chi2 / a.ndof))
        result += tested + rest
    return result


def verdict(tested, bad):
    """The verdict of a tested Agreement."""
    if not bad:
        return AGREES
    return DISAGREES if tested.p_bulk < BULK_LEVEL else TAIL


def parts(results, region, histograms):
    """Data, a Histogram or None, and [Histogram] of the background samples that may be looked at.

    histograms: {sample: Histogram} of a feature
    """
    data, samples = (
        [histograms[sample.name] for sample in results.visible(region, kind)]
        for kind in ("data", "background")
    )
    return sum(data[1:], data[0]) if data else None, samples


def p_texts(found):
    """Texts of the probabilities of chi-squared, KS and both; "<" where they are not counted."""
    least = 1 / (1 + found.pseudo_experiments)
    return tuple(
        f"< {p:.0e}" if p <= tests * least * (1 + 1e-9) else f"{p:.2g}"
        for p, tests in ((found.p_chi2, 1), (found.p_ks, 1), (found.p, 2))
    )


def bin_text(one, unit):
    """A Bin in words."""
    unit = f" {unit}" if unit else ""
    if one.low == -np.inf:
        where = f"below {one.high:.4g}{unit}"
    elif one.high == np.inf:
        where = f"above {one.low:.4g}{unit}"
    else:
        where = f"{one.low:.4g} to {one.high:.4g}{unit}"
    return f"{where}: {one.data:.0f} seen, {one.expected:.1f} expected ({one.pull:+.1f} sigma)"


def reasons(found):
    """Texts of what makes a feature unlikely; none where it is likely."""
    texts = [bin_text(one, found.unit) for one in found.bins]
    if texts and found.p_ks < found.p_chi2:
        unit = f" {found.unit}" if found.unit else ""
        texts.insert(0, f"furthest apart at {found.distance_at:.4g}{unit}")
    return texts


def numbers_line(found):
    """The result of the tests in one line of text, empty where there are none."""
    if not found.tested:
        return ""
    p_chi2, p_ks, p = (text if text[0] == "<" else f"= {text}" for text in p_texts(found))
    ratio = f"χ²/ndof {found.chi2:.1f}/{found.ndof}"
    line = f"{ratio}, p {p_chi2}; KS p {p_ks}; both p {p}"
    return "; ".join([line, *reasons(found)])


def table_lines(agreements, number=None):
    """The agreements, or the first of them, as lines of text of at most 80 columns."""
    head = f"{'feature':<20} {'chi2/ndof':>11} {'p(chi2)':>8} {'D(KS)':>6} {'p(KS)':>8} {'p':>8}"
    lines = [f"{head}  verdict"]
    for a in agreements[:number]:
        numbers = f"{'':>11} {'':>8} {'':>6} {'':>8} {'':>8}"
        if a.tested:
            p_chi2, p_ks, p = p_texts(a)
            ratio = f"{a.chi2:.1f}/{a.ndof}"
            numbers = f"{ratio:>11} {p_chi2:>8} {a.distance:>6.3f} {p_ks:>8} {p:>8}"
        lines.append(f"{a.feature:<20} {numbers}  {a.verdict}")
        lines += [f"    {text}" for text in reasons(a)]
    return lines


def summary(agreements):
    """How many features have which verdict, in one line."""
    verdicts = [a.verdict for a in agreements]
    counts = {name: verdicts.count(name) for name in VERDICTS if name in verdicts}
    return ", ".join(f"{name}: {count}" for name, count in counts.items())


def as_frame(agreements):
    """The agreements as a DataFrame, a row each, with the bins that pull most in columns."""
    rows = []
    for found in agreements:
        row = {name: value for name, value in vars(found).items() if name != "bins"}
        for place in range(NAMED):
            one = found.bins[place] if place < len(found.bins) else Bin(*[np.nan] * 5)
            row |= {f"bin{place + 1}_{name}": value for name, value in vars(one).items()}
        rows.append(row)
    return pd.DataFrame(rows)
