"""How well a number tells signal from background: ROC, area, improvement, cuts, significance.

Larger numbers are more signal-like, and an event passes a cut if its number is at least the cut's.
Cuts are chosen on simulated background alone. Negative weights count as they are: a sum that passes
can then fall where a cut is loosened, and the first cut from above that reaches a sum is taken.
"""

import zlib
from dataclasses import dataclass

import numpy as np

REPLICAS = 200  # of the bootstrap
EXPERIMENTS = 100  # sets of pseudo-data
LEAST = 10  # effective background events that must pass a cut
WORKING_POINTS = (0.1, 0.01, 0.001)  # background efficiencies
COMPARED = WORKING_POINTS[-1]  # that at which detectors are compared
UNCERTAINTY = 0.1  # of the background, relative, where nothing else is known
ONE_SIGMA = (0.1587, 0.8413)  # quantiles between which 68 % of the replicas are
GRID = np.concatenate([np.logspace(-4, -1, 91), np.linspace(0.11, 1, 90)])
ROUNDING = 1e-9  # relative, of a sum of weights


@dataclass(frozen=True)
class Curve:
    """Signal efficiency at given background efficiencies; bands hold 68 % of the replicas."""

    background: np.ndarray  # (points,) efficiency, GRID
    signal: np.ndarray  # (points,) efficiency
    low: np.ndarray  # (points,)
    high: np.ndarray  # (points,)
    auc: float  # area under the curve
    auc_error: float  # NaN without replicas, as are `low` and `high`
    reach: float  # smallest background efficiency with LEAST effective events
    effective: float  # events of the smaller of background and signal

    @property
    def improvement(self):
        """(3, points) signal efficiency over the root of the background's, its low and high end.

        By this factor a cut improves s / sqrt(b).
        """
        return np.stack([self.signal, self.low, self.high]) / np.sqrt(self.background)


@dataclass(frozen=True)
class Cut:
    """A cut that was chosen on the background alone."""

    asked: float  # background efficiency that must not be exceeded
    supported: bool  # False: too few events pass there; it is the tightest cut that LEAST pass
    threshold: float
    efficiency: float  # of the background
    background: float  # sum of weights that pass
    background_error: float  # statistical error of the simulation
    events: int  # simulated background events that pass
    effective: float  # (sum of weights)^2 / sum of squared weights of these


@dataclass(frozen=True)
class Passed:
    """What a Cut lets pass of a signal."""

    cut: Cut
    signal: float  # sum of weights that pass
    events: int  # simulated signal events that pass
    efficiency: float
    efficiency_error: float  # statistical
    improvement: float  # efficiency over the root of the background's
    improvement_low: float  # end of an interval of 68 %, in which the cut is chosen anew
    improvement_high: float
    significance: float  # see `significance`; with the error of the background as it was given


@dataclass(frozen=True)
class Performance:
    """How well a number tells one signal from the background."""

    auc: float
    auc_low: float  # ends of an interval of 68 %
    auc_high: float
    points: tuple[Passed, ...]  # one for each background efficiency asked for
    replicas: np.ndarray  # (replicas, points) improvements of the bootstrap


def effective_events(weight):
    """Events of equal weight that would have the same relative error; 0 where there are none."""
    squares = float(np.sum(np.square(weight)))
    return float(np.sum(weight)) ** 2 / squares if squares > 0 else 0.0


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


def bin_significance(n, b, error):
    """Standard deviations of n events where b +- error are expected, with sign; 0 for b <= 0.

    Deficits are as likely as excesses of the same size on the logarithm of the likelihood ratio: G.
    Cowan (2012), see `significance`.
    """
    if b <= 0:
        return 0.0
    if n >= b:
        return significance(n - b, b, error)
    v = error**2
    first = n * np.log(n * (b + v) / (b**2 + n * v)) if n > 0 else 0.0
    second = b**2 / v * np.log1p(v * (n - b) / (b * (b + v))) if v > 0 else n - b
    return -float(np.sqrt(max(0.0, 2 * (first - second))))


def survival(values, background, weight):
    """(events,) share of the background's sum of weights with at least each value.

    values: (events,); background: (background events,) with their weights, whose sum is above 0
    """
    order = np.argsort(background, kind="stable")
    above = np.concatenate([np.cumsum(weight[order][::-1])[::-1], [0.0]])
    return above[np.searchsorted(background[order], values, side="left")] / above[0]


class Ranked:
    """The possible cuts on a number of background events, tightest first."""

    def __init__(self, value, weight):
        """value, weight: (events,); the sum of the weights must be above 0."""
        order = np.argsort(-value, kind="stable")
        self.ends = np.flatnonzero(np.append(np.diff(value[order]) != 0, len(value) > 0))
        self.order, self.weight = order, weight
        self.thresholds = value[order][self.ends]  # (cuts,) falling
        self.passed = self.sums(weight)  # (cuts,)
        self.squares = self.sums(np.square(weight))

    def sums(self, weight):
        """(cuts,) what passes each cut of the (events,) weights."""
        return np.cumsum(weight[self.order])[self.ends]

    @staticmethod
    def nearest(passed, efficiencies):
        """Positions of the cuts that let pass shares of the sum that are nearest to these.

        passed: (cuts,) sums of weights
        """
        highest, places = np.maximum.accumulate(passed), []
        for wanted in np.asarray(efficiencies) * passed[-1]:
            place = min(int(np.searchsorted(highest, wanted)), len(passed) - 1)
            closer = place > 0 and wanted - highest[place - 1] < highest[place] - wanted
            places.append(place - 1 if closer else place)
        return places

    @staticmethod
    def last_below(passed, efficiency):
        """Position of the loosest cut that lets at most this share of the sum pass; -1 for none.

        passed: (cuts,) sums of weights
        """
        most = efficiency * passed[-1] * (1 + ROUNDING)
        return int(np.searchsorted(np.maximum.accumulate(passed), most, side="right")) - 1

    def effective(self):
        """(cuts,) effective events that pass; 0 where a sum of weights is not above 0."""
        with np.errstate(all="ignore"):
            return np.where(self.passed > 0, self.passed**2 / self.squares, 0.0)

    def cut(self, efficiency):
        """The Cut for a background efficiency; None where LEAST events are not there at all."""
        place = self.last_below(self.passed, efficiency)
        enough = self.effective() >= LEAST * (1 - ROUNDING)
        supported = place >= 0 and bool(enough[place])
        if not supported:
            later = np.flatnonzero(enough[place + 1 :])
            if not len(later):
                return None
            place += 1 + int(later[0])
        return Cut(
            asked=efficiency,
            supported=supported,
            threshold=float(self.thresholds[place]),
            efficiency=float(self.passed[place] / self.passed[-1]),
            background=float(self.passed[place]),
            background_error=float(np.sqrt(self.squares[place])),
            events=int(self.ends[place]) + 1,
            effective=float(self.effective()[place]),
        )


def choose_cuts(background, weight, points=WORKING_POINTS):
    """The Cuts for background efficiencies, from (events,) numbers and weights.

    A cut is the loosest that lets at most that share pass. Where fewer than LEAST effective events
    pass it, the tightest cut that LEAST pass takes its place; none where there are not so many.
    """
    if not len(background) or not np.sum(weight) > 0:
        return []
    ranked = Ranked(background, weight)
    return [cut for cut in map(ranked.cut, points) if cut is not None]


def judge(background, weight, signals, **options):
    """How well a number tells each signal from the background: {name: Performance}.

    background, weight: (events,) numbers and weights
    signals: {name: (numbers, weights)}; those whose sum of weights is not above 0 are left out, and
        all are where that of the background is not
    options: see `judge_all`
    """
    return judge_all([(background, weight, signals)], **options)[0]


def judge_all(numbers, *, points=WORKING_POINTS, relative=0.0, seed=1, replicas=0):
    """As `judge`, of several numbers at once: a list of {name: Performance}.

    numbers: [(background, weight, signals)], see `judge`
    relative: uncertainty of the background beside that of the simulation, as a share of it
    seed, replicas: of the bootstrap. Each replica gives every event a factor drawn from a Poisson
        distribution with mean 1 (B. Efron, Ann. Stat. 7 (1979) 1), background and signal alike,
        and chooses its cut anew: the one whose background efficiency is nearest. Factors depend
        on the seed and an event's place only, so that those of several numbers for the same events
        can be compared replica by replica.
    """
    judged = [_Judged(*number, points, replicas) for number in numbers]
    for replica in range(replicas):
        drawn = {}  # once for numbers of as many events

        def factors(events, name=None, drawn=drawn, replica=replica):
            if (name, events) not in drawn:
                key = (
                    [seed, replica] if name is None else [seed, replica, zlib.crc32(name.encode())]
                )
                drawn[name, events] = np.random.default_rng(key).poisson(1.0, events)
            return drawn[name, events]

        for one in judged:
            one.repeat(replica, factors)
    return [one.performance(relative) for one in judged]


class _Judged:
    """A number that is judged, replica by replica."""

    def __init__(self, background, weight, signals, points, replicas):
        self.weight, self.cuts, self.signals = weight, [], {}
        if np.sum(weight) > 0:
            self.ranked = Ranked(background, weight)
            self.cuts = [cut for cut in map(self.ranked.cut, points) if cut is not None]
            for name, (value, w) in signals.items():
                if np.sum(w) > 0:
                    self.signals[name] = _Signal(self.ranked, value, w)
        shape = replicas, len(self.cuts)
        self.improvements = {name: np.full(shape, np.nan) for name in self.signals}
        self.areas = {name: np.full(replicas, np.nan) for name in self.signals}

    def repeat(self, replica, factors):
        """Judge with a replica's factors to the weights, of `factors(events, signal or None)`."""
        if not self.signals:
            return
        passed = self.ranked.sums(factors(len(self.weight)) * self.weight)
        if not passed[-1] > 0:
            return
        places = self.ranked.nearest(passed, [cut.efficiency for cut in self.cuts])
        for name, signal in self.signals.items():
            own = factors(len(signal.weight), name)
            at_least = signal.sums(own * signal.weight)
            if not at_least[-1] > 0:
                continue
            self.areas[name][replica] = signal.area(passed, own)
            for number, place in enumerate(places):
                if passed[place] > 0:
                    b, s = passed[place] / passed[-1], at_least[place] / at_least[-1]
                    self.improvements[name][replica, number] = s / np.sqrt(b)

    def performance(self, relative):
        """{name: Performance} of the signals."""
        return {
            name: _performance(
                signal, self.cuts, self.ranked, relative, self.areas[name], self.improvements[name]
            )
            for name, signal in self.signals.items()
        }


class _Signal:
    """A signal at the cuts of a Ranked background."""

    def __init__(self, ranked, value, weight):
        self.value, self.weight = value, weight
        rising = -ranked.thresholds
        self.within = np.searchsorted(rising, -value, side="left")  # cuts that are above the event
        self.beyond = np.searchsorted(rising, -value, side="right")  # and those that are not below
        self.cuts = len(rising)

    def sums(self, weight):
        """(cuts + 1,) what passes each cut of the (events,) weights, and the sum of all."""
        return np.cumsum(np.bincount(self.within, weight, self.cuts + 1))

    def area(self, passed, factors=1.0):
        """The area under the ROC curve with factors to the weights and (cuts,) `passed`."""
        above = np.concatenate([[0.0], passed])
        below = passed[-1] - (above[self.within] + above[self.beyond]) / 2
        weight = factors * self.weight
        return float(np.sum(weight * below) / (weight.sum() * passed[-1]))


def _performance(signal, cuts, ranked, relative, areas, improvements):
    """The Performance of a _Signal."""
    points = []
    for cut, drawn in zip(cuts, improvements.T, strict=True):
        weight, passing = signal.weight, signal.value >= cut.threshold
        s, total = float(weight[passing].sum()), float(weight.sum())
        share = s / total
        # Weighted binomial error: both passing and failing events fluctuate.
        spread = (1 - share) ** 2 * np.sum(weight[passing] ** 2)
        spread += share**2 * np.sum(weight[~passing] ** 2)
        low, high = _interval(drawn)
        error = np.hypot(cut.background_error, relative * cut.background)
        points.append(
            Passed(
                cut=cut,
                signal=s,
                events=int(passing.sum()),
                efficiency=share,
                efficiency_error=float(np.sqrt(spread) / total),
                improvement=share / float(np.sqrt(cut.efficiency)),
                improvement_low=low,
                improvement_high=high,
                significance=significance(s, cut.background, float(error)),
            )
        )
    return Performance(signal.area(ranked.passed), *_interval(areas), tuple(points), improvements)


def _interval(values):
    """Ends of the central 68 %; NaN without values."""
    values = values[np.isfinite(values)]
    return tuple(map(float, np.quantile(values, ONE_SIGMA))) if len(values) else (np.nan, np.nan)


def make_curve(background, background_weight, signal, signal_weight, seed, replicas=REPLICAS):
    """Compute a Curve for a number that is larger for signal.

    background, signal: (events,) values; with (events,) weights
    seed, replicas: of the bootstrap, see `judge_all`
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
    low, high, error = *np.full((2, len(GRID)), np.nan), np.nan
    if replicas:
        drawn = [efficiencies(random.poisson(1.0, len(weights))) for _ in range(replicas)]
        curves, areas = np.array([c for c, _ in drawn]), np.array([a for _, a in drawn])
        low, high = np.nanquantile(curves, ONE_SIGMA, axis=0)
        error = float(np.nanstd(areas))
    tightest = choose_cuts(background, background_weight, (0.0,))
    reach = max(tightest[0].efficiency if tightest else 1.0, GRID[0])
    effective = min(map(effective_events, (background_weight, signal_weight)))
    return Curve(GRID, central, low, high, auc, error, reach, effective)
