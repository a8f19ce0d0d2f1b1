"""Systematic uncertainties of a search: fitted before anything is compared.

So a cross-section, a luminosity or an efficiency that is a little wrong is no discovery. Each has a
parameter, normal around 0, which changes the weights of the simulated events in proportion: all
those of a process, or, where the run has tables of varied weights, each event by itself.
"""

from dataclasses import dataclass

import numpy as np

from analysis.errors import listed
from analysis.output import WEIGHT

DEFAULT_SIZE = 0.10  # of the yield of a process about which the run says nothing
OVERALL = "overall"
LEAST = 0.05  # factor of a weight


@dataclass(frozen=True)
class Nuisances:
    """What may be wrong with the weights of the events of a Pool."""

    names: tuple[str, ...]
    effects: np.ndarray  # (parameters, events) relative change of a weight by one sigma


@dataclass(frozen=True)
class Fit:
    """Fitted parameters, and what they make of the weights."""

    values: np.ndarray  # (parameters,)
    covariance: np.ndarray  # (parameters, parameters)
    factor: np.ndarray  # (events,)


def nuisances_of(results, pool):
    """(Nuisances, notes) of a Pool: lines about systematics of the run that are not in them.

    A process that has no size of its own gets DEFAULT_SIZE, and so do all together where none is of
    all.
    """
    systematics = results.systematics
    sizes = [
        (s.name, s.size * np.array([s.concerns(p, "background") for p in pool.processes]))
        for s in systematics
        if s.size
    ]
    own = [s for s in systematics if s.size and s.processes]
    for number, process in enumerate(pool.processes):
        if not any(s.concerns(process, "background") for s in own):
            sizes.append((process, DEFAULT_SIZE * (np.arange(len(pool.processes)) == number)))
    if not any(s.size and not s.processes for s in systematics):
        sizes.append((OVERALL, np.full(len(pool.processes), DEFAULT_SIZE)))
    background = pool.of("background")
    rows = [(n, np.where(background, size[pool.process], 0.0)) for n, size in sizes if np.any(size)]
    left_out = []
    for systematic in systematics:
        if not systematic.size:
            effect = _event_effects(results, pool, systematic)
            if effect is None:
                left_out.append(systematic.name)
            else:
                rows.append((systematic.name, effect))
    notes = []
    if left_out:
        notes.append(
            f"not considered, since there are no tables of varied weights: {listed(left_out)}"
        )
    return Nuisances(tuple(n for n, _ in rows), np.array([effect for _, effect in rows])), notes


def _event_effects(results, pool, systematic):
    """(events,) relative change of each weight for one sigma; None where no sample knows it."""
    effect, known = np.zeros(len(pool.weight)), False
    directions = [name.name for name in systematic.variations]
    for number, name in enumerate(pool.samples):
        varied = results.sample(name).variations
        if not all(d in varied and varied[d].kind == "weight" for d in directions):
            continue
        for region, rows in zip(pool.regions, pool.row, strict=True):
            events = np.flatnonzero((pool.sample == number) & (rows >= 0))
            if not all(region in varied[d].tables for d in directions) or not len(events):
                continue
            known = True
            tables = [results.table(region, name, [WEIGHT], d)[WEIGHT] for d in (None, *directions)]
            nominal, *shifted = (t.to_numpy(float)[rows[events]] for t in tables)
            shift = shifted[0] - (shifted[1] if len(shifted) > 1 else nominal)
            shift = shift / len(shifted)
            effect[events] = np.divide(
                shift, nominal, out=np.zeros(len(events)), where=nominal != 0
            )
    return effect if known else None


def factors(nuisances, values):
    """(events,) factors of the weights for (parameters,) values."""
    return np.maximum(1.0 + values @ nuisances.effects, LEAST)


def fit(nuisances, experiment, cells):
    """The Fit to an Experiment, by weighted least squares with constraints.

    cells: (events,) in which events are counted; the variance of a count is what is expected, first
    before and then after the fit, and that of the simulation.
    """
    number = int(cells.max(initial=0)) + 1

    def counted(weights):
        return np.bincount(cells, weights, minlength=number)

    data, total = counted(experiment.counts), counted(experiment.reference)
    variance = counted(experiment.variance)
    responses = np.stack([counted(experiment.reference * e) for e in nuisances.effects], axis=1)
    used = (total > 0) & (total**2 > variance)
    values = np.zeros(len(nuisances.names))
    for _ in range(3):
        spread = np.maximum(total + responses @ values, 1e-9)[used] + variance[used]
        scaled = responses[used] / spread[:, None]
        curvature = scaled.T @ responses[used] + np.eye(len(values))
        values = np.linalg.solve(curvature, scaled.T @ (data - total)[used])
    return Fit(values, np.linalg.inv(curvature), factors(nuisances, values))


def gradient(nuisances, weight, events=slice(None)):
    """(parameters,) change of the yield of some events (places) by one sigma of each.

    weight: (events of the Pool,)
    """
    return nuisances.effects[:, events] @ weight[events]
