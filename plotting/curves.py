"""How well a number tells signal from background: ROC, area, improvement, working points."""

from dataclasses import dataclass

import numpy as np

REPLICAS = 200  # of the bootstrap
LEAST = 10  # simulated background events that must pass a cut for its efficiency to be shown
WORKING_POINTS = (0.1, 0.01, 0.001)  # background efficiencies
GRID = np.concatenate([np.logspace(-4, -1, 91), np.linspace(0.11, 1, 90)])


@dataclass(frozen=True)
class Curve:
    """Signal efficiency at given background efficiencies; bands hold 68 % of the replicas."""

    background: np.ndarray  # (points,) efficiency, GRID
    signal: np.ndarray  # (points,) efficiency
    low: np.ndarray  # (points,)
    high: np.ndarray  # (points,)
    auc: float  # area under the curve
    auc_error: float
    reach: float  # smallest background efficiency with LEAST simulated events

    @property
    def improvement(self):
        """(3, points) signal efficiency over the root of the background's, its low and high end.

        By this factor a cut improves s / sqrt(b).
        """
        return np.stack([self.signal, self.low, self.high]) / np.sqrt(self.background)


@dataclass(frozen=True)
class WorkingPoint:
    """A cut that was chosen on the background alone."""

    efficiency: float  # of the background, as asked for
    threshold: float
    background: float  # sum of weights that pass
    background_error: float
    signal: float  # sum of weights that pass
    signal_efficiency: float
    signal_efficiency_error: float
    significance: float  # see `significance`


def make_curve(background, background_weight, signal, signal_weight, seed, replicas=REPLICAS):
    """Compute a Curve for a number that is larger for signal.

    background, signal: (events,) values; with (events,) weights, negative ones as they are
    seed: of the bootstrap: each replica gives every event a weight drawn from a Poisson
        distribution with mean 1 (B. Efron, Ann. Stat. 7 (1979) 1), background and signal alike
    An event counts at a cut if its value is at least the cut's.
    """
    values = np.concatenate([background, signal])
    order = np.argsort(-values, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(values[order]) != 0, True))
    is_signal = np.repeat([False, True], [len(background), len(signal)])[order]
    weights = np.concatenate([background_weight, signal_weight])[order]
    random = np.random.default_rng(seed)

    def efficiencies(factors):
        w = weights * factors
        passed_b = np.cumsum(np.where(is_signal, 0, w))[ends]
        passed_s = np.cumsum(np.where(is_signal, w, 0))[ends]
        if passed_b[-1] <= 0 or passed_s[-1] <= 0:
            return np.full(len(GRID), np.nan), np.nan
        b = np.concatenate([[0.0], passed_b / passed_b[-1]])
        s = np.concatenate([[0.0], passed_s / passed_s[-1]])
        area = float(np.sum((b[1:] - b[:-1]) * (s[1:] + s[:-1]) / 2))
        # Negative weights can make efficiencies fall where a cut is loosened.
        return np.interp(GRID, np.maximum.accumulate(b), s), area

    central, auc = efficiencies(1.0)
    drawn = [efficiencies(random.poisson(1.0, len(weights))) for _ in range(replicas)]
    curves, areas = np.array([c for c, _ in drawn]), np.array([a for _, a in drawn])
    low, high = np.nanquantile(curves, [0.1587, 0.8413], axis=0)
    background_order = np.sort(background)[::-1]
    reach = 1.0
    if len(background) >= LEAST and background_weight.sum() > 0:
        passing = background >= background_order[LEAST - 1]
        reach = float(background_weight[passing].sum() / background_weight.sum())
    return Curve(GRID, central, low, high, auc, float(np.nanstd(areas)), max(reach, GRID[0]))


def working_points(background, background_weight, signal, signal_weight):
    """Cuts that let WORKING_POINTS of the background pass, and what they let pass of a signal.

    The cut is chosen on the background alone. Those that fewer than LEAST simulated background
    events pass are left out.
    """
    order = np.argsort(-background, kind="stable")
    passed = np.cumsum(background_weight[order])
    total = passed[-1] if len(passed) else 0.0
    points = []
    for efficiency in WORKING_POINTS:
        if total <= 0:
            break
        number = int(np.searchsorted(np.maximum.accumulate(passed), efficiency * total)) + 1
        if number < LEAST or number > len(order):
            continue
        threshold = float(background[order[number - 1]])
        b = background_weight[background >= threshold]
        s = signal_weight[signal >= threshold]
        all_signal = signal_weight.sum()
        share = s.sum() / all_signal if all_signal > 0 else np.nan
        # Weighted binomial error: both passing and failing events fluctuate.
        failing = signal_weight[signal < threshold]
        spread = (1 - share) ** 2 * np.sum(s**2) + share**2 * np.sum(failing**2)
        error = float(np.sqrt(np.sum(b**2)))
        points.append(
            WorkingPoint(
                efficiency,
                threshold,
                float(b.sum()),
                error,
                float(s.sum()),
                float(share),
                float(np.sqrt(spread) / all_signal) if all_signal > 0 else np.nan,
                significance(float(s.sum()), float(b.sum()), error),
            )
        )
    return points


def significance(s, b, error):
    """Median expected significance of s events on b +- error: G. Cowan, "Discovery sensitivity for
    a counting experiment with background uncertainty" (2012), equation 20. NaN for b <= 0.
    """
    if b <= 0 or s < 0:
        return np.nan
    if error == 0:
        return float(np.sqrt(2 * ((s + b) * np.log1p(s / b) - s)))
    v = error**2
    first = (s + b) * np.log((s + b) * (b + v) / (b**2 + (s + b) * v))
    second = b**2 / v * np.log1p(v * s / (b * (b + v)))
    return float(np.sqrt(max(0.0, 2 * (first - second))))
