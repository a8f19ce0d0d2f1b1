"""Searches for tests: events of two processes, made with numpy, as a Pool without files."""

import numpy as np

from analysis.stats.event_pool import Pool
from analysis.stats.excess import SHARES, rank
from analysis.stats.nuisances import DEFAULT_SIZE, OVERALL, Nuisances
from analysis.stats.pseudo import intensity_of
from analysis.stats.search import Search
from analysis.stats.two_sample import classifier_of
from analysis.stats.windows import mass_of

PROCESSES = ("peak", "tail")
FEATURES = ("mass", "angle", "momentum")
YIELDS = (700.0, 300.0)
WEIGHT = 0.3
EDGES = np.linspace(0.0, 400.0, 41)
SIGNAL_MASS = 250.0


def simulate(random, process, number):
    """(events, FEATURES) of a process: 0, 1 or, a signal, 2."""
    if process == 2:
        mass, momentum = random.normal(SIGNAL_MASS, 8.0, number), random.exponential(80, number)
    elif process == 1:
        mass, momentum = random.exponential(120.0, number), random.exponential(50.0, number)
    else:
        mass, momentum = random.normal(91.0, 15.0, number), random.exponential(30.0, number)
    angle = random.normal(0.5 * process, 1.0, number)
    return np.stack([np.abs(mass), angle, momentum], axis=1)


def make_pool(random, factors=(1.0, 1.0), signal=0.0, weight=WEIGHT, negative=0.0):
    """A Pool of independent simulation and data, and 500 events of a signal.

    factors: of the yields of the processes in data; signal: mean number of its events in data
    negative: share of the simulated events with a negative weight
    """
    parts = []
    for process, true in enumerate(YIELDS):
        number = random.poisson(true / weight / (1 - 2 * negative))
        sign = np.where(random.random(number) < negative, -1.0, 1.0)
        parts.append(("background", process, process, sign * weight, number))
    parts += [("data", 2, 0, 1.0, random.poisson(YIELDS[0] * factors[0]))]
    parts += [("data", 2, 1, 1.0, random.poisson(YIELDS[1] * factors[1]))]
    parts += [("data", 2, 2, 1.0, random.poisson(signal))]
    parts += [("signal", 3, 2, 0.1, 500)]
    sizes = [part[-1] for part in parts]
    values = np.concatenate([simulate(random, of, size) for _, _, of, _, size in parts])
    number = len(values)
    columns = dict(zip(FEATURES, values.T, strict=True))
    kind = np.repeat([part[0] for part in parts], sizes)
    process = np.repeat([part[2] for part in parts], sizes)
    identity = np.stack([np.ones(number), np.ones(number), random.permutation(number)], axis=1)
    inside = np.stack([np.ones(number, bool), columns["angle"] > 0])
    return Pool(
        ("all", "half"),
        ("peak", "tail", "data", "signal"),
        PROCESSES,
        kind,
        np.repeat([part[1] for part in parts], sizes),
        np.where(kind == "background", process, -1),
        np.concatenate([np.broadcast_to(part[3], part[4]) for part in parts]),
        identity.astype(np.int64),
        inside,
        np.where(inside, np.arange(number), -1),
        {"score": columns["momentum"] + 10 * random.normal(size=number)},
        {"score": "Score"},
        columns,
    )


def mass_in(pool, edges=EDGES):
    """The declared mass of a Pool."""
    return mass_of(Axis("mass", edges), pool.columns["mass"])


class Axis:
    """Name and edges, all that `mass_of` wants of a feature."""

    def __init__(self, name, edges):
        self.name, self.edges = name, edges


def nuisances(pool, size=DEFAULT_SIZE):
    """Each process, and all together."""
    background = pool.of("background")
    effects = np.stack([(pool.process == n) * size for n in range(2)] + [background * size])
    return Nuisances((*PROCESSES, OVERALL), effects.astype(float))


def make_search(pool, tests=("shape", "tail", "excess", "bump"), uncertain=None):
    """All tests of a Pool; uncertain: Nuisances that are not those of `nuisances`."""
    counted = {(n, "score"): rank(pool, n, pool.scores["score"]) for n in range(2)}
    hunted = {(0, None): rank(pool, 0, pool.weight), (0, "score"): counted[0, "score"]}
    trees = {"shape", "tail"} & set(tests)
    return Search(
        pool,
        intensity_of(pool),
        uncertain or nuisances(pool),
        np.searchsorted([70.0, 90.0, 110.0, 200.0], pool.columns["mass"]),
        counted,
        hunted,
        (mass_in(pool),),
        SHARES,
        None,
        classifier_of(pool, FEATURES) if trees else None,
        tuple(tests),
    )
