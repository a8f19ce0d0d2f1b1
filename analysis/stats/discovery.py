"""How significant an excess is, or would be, and which cross-section would be seen."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from analysis.errors import InputError
from analysis.stats.hypotheses import ADVICE
from analysis.stats.limits import FEW, LARGEST, SEED, background_that_decides

TOYS = 10_000  # without signal
LEAST_ABOVE = 10  # toys above, that a p-value is taken from them


@dataclass(frozen=True)
class Discovery:
    """Significances in standard deviations, and strengths that have 3 and 5."""

    observed: float  # Z
    expected: float  # Z of the signal as the workspace has it
    p0_observed: float
    p0_expected: float
    asimov: float  # Z by the formula with an uncertain background, bins in quadrature
    strength_3_sigma: float
    strength_5_sigma: float
    method: str  # of p0 and Z: asymptotic or toys
    sensitive: float  # background events in the bins that decide


def discover(hypotheses, toys=None, seed=SEED):
    """The Discovery of Hypotheses.

    toys: number without signal, 0: formulas, None: TOYS where there are FEW events
    Raises InputError.
    """
    observed, expected = hypotheses.significance(), hypotheses.expected_significance()
    p_observed, p_expected = norm.sf([observed, expected])
    sensitive = background_that_decides(hypotheses, 1.0)
    number = toys if toys is not None else TOYS * (sensitive < FEW)
    method = "asymptotic"
    if number:
        random = np.random.default_rng(seed)
        background = np.sort(hypotheses.toy_q0(0.0, number, random))
        typical = np.median(hypotheses.toy_q0(1.0, max(number // 5, 100), random))
        shares = [above(background, q) for q in (observed**2, typical)]
        if min(shares) >= LEAST_ABOVE / len(background):
            method = "toys"
            p_observed, p_expected = shares
            observed, expected = (max(0.0, float(norm.isf(share))) for share in shares)
    return Discovery(
        observed,
        expected,
        float(p_observed),
        float(p_expected),
        asimov_significance(hypotheses),
        *(needed_strength(hypotheses, sigma) for sigma in (3.0, 5.0)),
        method,
        sensitive,
    )


def above(ordered, q):
    """The share of (toys,) ordered q0 that are not below q; half of them where it is 0."""
    if q <= 1e-6:
        return 0.5
    return 1 - np.searchsorted(ordered, q * (1 - 1e-6), side="left") / len(ordered)


def needed_strength(hypotheses, sigma):
    """The smallest strength that is expected to have a significance. Raises InputError."""
    high = 1.0
    while hypotheses.expected_significance(high) < sigma:
        high *= 2
        if high > LARGEST:
            raise InputError(
                f"{hypotheses.name}: no strength of the signal up to {LARGEST:g} would have "
                f"{sigma:g} sigma; {ADVICE}"
            )
    low = high / 2
    while hypotheses.expected_significance(low) > sigma:
        low /= 2
    return float(
        brentq(lambda mu: hypotheses.expected_significance(mu) - sigma, low, high, rtol=1e-6)
    )


def asimov_significance(hypotheses):
    """Z of the signal at strength 1 by `significance_formula`, bins in quadrature."""
    background, error = hypotheses.predicted
    likelihood = hypotheses.likelihood
    parameters = np.repeat(hypotheses.null.parameters, 2, axis=0)
    parameters[:, likelihood.poi] = 0.0, 1.0
    without, both = likelihood.expected(parameters)
    signal = np.maximum(both - without, 0.0)
    z = significance_formula(signal, background, error)
    return float(np.sqrt(np.sum(z[hypotheses.sought] ** 2)))


def significance_formula(signal, background, error):
    """Median Z of (bins,) signal over background known with an error; 0 without background.

    G. Cowan, Discovery sensitivity for a counting experiment with background uncertainty (2012).
    """
    s, b, v = (np.asarray(x, float) for x in (signal, background, np.square(error)))
    with np.errstate(all="ignore"):
        known = (s + b) * np.log1p(s / b) - s
        total = s + b
        unknown = total * np.log(total * (b + v) / (b**2 + total * v))
        unknown = unknown - b**2 / v * np.log1p(v * s / (b * (b + v)))
        z = np.sqrt(2 * np.maximum(np.where(v > 1e-9 * b**2, unknown, known), 0))
    return np.where((b > 0) & (s > 0), z, 0.0)
