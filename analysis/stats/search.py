"""A search: tests of an Experiment, repeated on pseudo-experiments, and what they say together."""

import multiprocessing
import signal
from dataclasses import dataclass

import numpy as np

from analysis.stats.event_pool import Pool
from analysis.stats.excess import Count, Ranking, count_all
from analysis.stats.nuisances import Fit, Nuisances, fit
from analysis.stats.pseudo import Intensity, draw, observe, take_out
from analysis.stats.two_sample import Classifier, Verdict, judge
from analysis.stats.windows import Bump, Mass, hunt_all

TESTS = {
    "shape": "likelihood ratio of a classifier",
    "tail": "where a classifier says data",
    "excess": "counts above thresholds",
    "bump": "bumps in masses",
}

# What random numbers are for.
STREAMS = ("pseudo", "taken", "injected")

# Part of the pseudo-experiments that is the tail of a statistic.
TAIL = 0.1


@dataclass(frozen=True)
class Search:
    """All that is done with an Experiment."""

    pool: Pool
    intensity: Intensity
    nuisances: Nuisances
    cells: np.ndarray  # (events,) in which normalisations are fitted
    counted: dict[tuple[int, str], Ranking]  # in which events are counted above thresholds
    hunted: dict[tuple[int, str | None], Ranking]  # in which bumps are searched
    masses: tuple[Mass, ...]
    shares: tuple[float, ...]
    threshold: float | None  # of the hunt, instead of shares
    classifier: Classifier | None
    tests: tuple[str, ...]  # of TESTS


@dataclass(frozen=True)
class Outcome:
    """What the tests say about an Experiment."""

    statistics: np.ndarray  # (tests,) the larger the more anomalous
    fit: Fit
    counts: tuple[Count, ...]
    bumps: tuple[Bump, ...]
    verdict: Verdict | None


@dataclass(frozen=True)
class Combined:
    """Tests of an observed Experiment among pseudo-experiments."""

    p_values: np.ndarray  # (tests,) of each test
    statistic: float  # -log of the smallest of them
    pseudo: np.ndarray  # (pseudo-experiments,) the same of those
    p_value: float  # of the statistic
    is_limit: bool  # no pseudo-experiment was as extreme: p_value is an upper limit


def evaluate(search, experiment):
    """The Outcome of an Experiment."""
    fitted = fit(search.nuisances, experiment, search.cells)
    counts, bumps, verdict, statistics = (), (), None, []
    if "excess" in search.tests:
        counts = tuple(count_all(search, experiment, fitted))
    if "bump" in search.tests:
        bumps = tuple(hunt_all(search, experiment, fitted))
    if search.classifier is not None:
        verdict = judge(search.classifier, experiment, fitted)
    for test in search.tests:
        if test in ("shape", "tail"):
            statistics.append(getattr(verdict, test))
        else:
            found = counts if test == "excess" else bumps
            statistics.append(-np.log(min((each.local_p for each in found), default=1.0)))
    return Outcome(np.array(statistics), fitted, counts, bumps, verdict)


def observed(search, signals, seed):
    """The Experiment that is judged: the data or, with signals, pseudo-data that hold them.

    signals: {sample: expected number of events}, empty: none
    """
    pool = search.pool
    if not signals:
        return observe(pool)
    random = random_of(seed, 0, "injected")
    return draw(pool, search.intensity, search.nuisances, random, signals)


def random_of(seed, number, stream):
    """The random numbers of one pseudo-experiment: no other has them, whoever makes it.

    stream: one of STREAMS
    """
    return np.random.default_rng([seed, number, STREAMS.index(stream)])


def pseudo_statistics(search, number, seed, processes=1, taken=False):
    """(pseudo-experiments, tests) statistics of `number` pseudo-experiments.

    processes: that share the work; the result does not depend on it
    taken: they are those of a simulation from which data are taken, see `take_out`
    """
    return _shared(_pseudo_statistics, (search, seed, taken), range(number), processes)


def taken_statistics(search, number, seed, processes=1):
    """As `pseudo_statistics`, of data that are taken out of the simulation by `take_out`."""
    return _shared(_taken_statistics, (search, seed), range(number), processes)


def _pseudo_statistics(search, seed, taken, number):
    random = random_of(seed, number, "pseudo")
    made = draw(search.pool, search.intensity, search.nuisances, random, taken=taken)
    return evaluate(search, made).statistics


def _taken_statistics(search, seed, number):
    random = random_of(seed, number, "taken")
    return evaluate(search, take_out(search.intensity, search.nuisances, random)).statistics


_task = None  # what a process of its own does: function and first arguments


def _shared(function, arguments, numbers, processes):
    """Rows of function(*arguments, number) for all numbers."""
    if processes == 1 or len(numbers) < 2:
        return np.array([function(*arguments, number) for number in numbers])
    # Forked, so that the events need not be sent.
    context = multiprocessing.get_context("fork")
    with context.Pool(processes, _remember, (function, arguments)) as workers:
        return np.array(workers.map(_do, numbers, chunksize=1))


def _remember(function, arguments):
    global _task
    # Who ends the program ends its processes, which have nothing to say about that.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _task = function, arguments


def _do(number):
    function, arguments = _task
    return function(*arguments, number)


def combine(observed, pseudo):
    """The Combined of (tests,) observed and (pseudo-experiments, tests) statistics.

    Each test's p-value is its rank among all, beyond the TAIL largest that of an exponential
    through them, so that the most extreme do not all have the same. The smallest p-value of an
    experiment is ranked again. All are treated alike, the observed one as well, so the result has
    the right distribution whatever the statistics are.
    """
    everything = np.vstack([observed, pseudo])
    p_values = np.stack([_p_values(column) for column in everything.T], axis=1)
    smallest = p_values.min(axis=1)
    # Ranked up to rounding: equal statistics have equal p-values.
    as_extreme = int(np.sum(smallest[1:] <= smallest[0] * (1 + 1e-9)))
    logarithms = -np.log(smallest)
    return Combined(
        p_values[0],
        float(logarithms[0]),
        logarithms[1:],
        (1 + as_extreme) / len(everything),
        as_extreme == 0,
    )


def _p_values(statistics):
    """(experiments,) p-values of statistics among themselves."""
    ordered = np.sort(statistics)
    rank = len(ordered) - np.searchsorted(ordered, statistics, side="left")
    p = rank / len(ordered)
    start, middle = np.quantile(ordered, [1 - TAIL, 1 - TAIL / 4])
    scale = (middle - start) / np.log(4.0)
    if scale > 0:
        beyond = statistics > start
        tail = TAIL * np.exp(-np.clip((statistics - start) / scale, 0.0, 600.0))
        p = np.where(beyond, np.minimum(tail, p[~beyond].min(initial=1.0)), p)
    return p


def global_error(p_value, number):
    """The statistical error of a p-value of `number` pseudo-experiments."""
    return float(np.sqrt(p_value * (1 - p_value) / (number + 1)))


def histogram(values, bins=40):
    """{"edges", "counts"} of numbers, for pictures."""
    low, high = float(np.min(values)), float(np.max(values))
    counts, edges = np.histogram(values, bins, (low, high if high > low else low + 1.0))
    return {"edges": edges.tolist(), "counts": counts.tolist()}
