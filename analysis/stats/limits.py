"""Upper limits on the strength of a signal, at 95 % confidence level by CLs."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from analysis.errors import InputError
from analysis.stats.hypotheses import ADVICE

ALPHA = 0.05
FEW = 5.0  # background events where signals are sought, below which formulas are not trusted
TOYS = 1000  # of each hypothesis and strength
POINTS = 12  # strengths at which toys are made
GRID = 30  # strengths of the scan by the formulas
SEED = 1
LARGEST = 1e12  # strength at which the search for a limit ends


@dataclass(frozen=True)
class Limit:
    """Upper limits in units of the signal's yield in the workspace, and the scan they are from."""

    observed: float
    expected: np.ndarray  # (5,) at -2, -1, 0, 1, 2 standard deviations of the background
    method: str  # asymptotic or toys
    strengths: np.ndarray  # (points,)
    cls_observed: np.ndarray  # (points,)
    cls_expected: np.ndarray  # (points, 5)
    sensitive: float  # background events in the bins that decide


def upper_limit(hypotheses, toys=None, seed=SEED):
    """The Limit of Hypotheses.

    toys: number of each hypothesis; 0: formulas; None: TOYS where there are FEW events, else 0
    Raises InputError where there is none.
    """
    limit = asymptotic_limit(hypotheses)
    number = toys if toys is not None else TOYS * (limit.sensitive < FEW)
    return toy_limit(hypotheses, limit, number, seed) if number else limit


def asymptotic_limit(hypotheses):
    """The Limit by the formulas."""

    def curves(strengths):
        seen, expected = hypotheses.cls(strengths)
        return np.column_stack([seen, expected])

    low = high = max(hypotheses.strength, 1.0)
    while np.any(curves(high) > ALPHA / 2):
        high *= 4
        if high > LARGEST:
            raise InputError(
                f"{hypotheses.name} excludes no strength of the signal up to {LARGEST:g}: it has "
                f"no events where background is low enough; {ADVICE}"
            )
    while np.any(curves(low) < ALPHA) and low > 1 / LARGEST:
        low /= 4
    grid = np.geomspace(low, high, GRID)
    scan = curves(grid)
    roots = []
    for number, values in enumerate(scan.T):
        place = int(np.flatnonzero(values > ALPHA)[-1])

        def excess(strength, number=number):
            return np.log(curves(strength)[0, number] / ALPHA)

        roots.append(brentq(excess, grid[place], grid[place + 1], rtol=1e-6))
    observed, *expected = roots
    sensitive = background_that_decides(hypotheses, expected[2])
    return Limit(
        observed, np.array(expected), "asymptotic", grid, scan[:, 0], scan[:, 1:], sensitive
    )


def background_that_decides(hypotheses, strength):
    """Background events in the bins that hold half of the information on a signal.

    strength: of the signal
    """
    likelihood = hypotheses.likelihood
    parameters = np.repeat(hypotheses.null.parameters, 2, axis=0)
    parameters[:, likelihood.poi] = 0.0, strength
    background, both = likelihood.expected(parameters)
    signal = np.maximum(both - background, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = np.nan_to_num(signal - background * np.log1p(signal / background), nan=0.0)
    order = np.argsort(-gain)
    enough = np.searchsorted(np.cumsum(gain[order]), gain.sum() / 2) + 1
    return float(background[order[:enough]].sum())


def toy_limit(hypotheses, guess, number, seed=SEED):
    """The Limit from `number` toys of each hypothesis around a guess, the Limit by the formulas."""
    random = np.random.default_rng(seed)
    every = [guess.observed, *guess.expected]
    strengths = np.geomspace(min(every) / 1.5, max(every) * 2, POINTS)
    seen, expected, _ = hypotheses.toy_cls(strengths, number, random)
    for _ in range(4):
        if max(seen[-1], *expected[-1]) < ALPHA:
            break
        more = strengths[-1] * np.array([1.4, 2.0])
        again = hypotheses.toy_cls(more, number, random)
        strengths = np.concatenate([strengths, more])
        seen, expected = np.concatenate([seen, again[0]]), np.concatenate([expected, again[1]])
    else:
        raise InputError(
            f"toys of {hypotheses.name} exclude no strength of the signal up to "
            f"{strengths[-1]:.3g}: {ADVICE}"
        )
    curves = np.column_stack([seen, expected])
    roots = [crossing(strengths, values, 0.1 / number) for values in curves.T]
    return Limit(
        roots[0],
        np.array(roots[1:]),
        "toys",
        strengths,
        seen,
        expected,
        guess.sensitive,
    )


def crossing(strengths, values, least):
    """Where CLs from toys goes below ALPHA.

    Between (points,) strengths, its logarithm is interpolated; values below `least` are not known.
    """
    falling = np.minimum.accumulate(np.log(np.maximum(values, least)))
    if falling[0] <= np.log(ALPHA):
        return float(strengths[0])
    return float(np.exp(np.interp(-np.log(ALPHA), -falling, np.log(strengths))))
