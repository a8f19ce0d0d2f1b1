"""Normalisations of processes: constrained by what is known, fitted before anything is compared.

So a cross-section or a luminosity that is a little wrong is no discovery. The constraints are the
sizes of the declared systematic uncertainties of the run; a process that has none of its own gets
DEFAULT_SIZE.
"""

from dataclasses import dataclass

import numpy as np

DEFAULT_SIZE = 0.10
OVERALL = "all processes"
LEAST = 0.05  # factor of a process


@dataclass(frozen=True)
class Nuisances:
    """Relative uncertainties of the yields of processes; each parameter is normal around 0."""

    names: tuple[str, ...]
    sizes: np.ndarray  # (parameters,)
    effects: np.ndarray  # (parameters, processes) change of a process's factor for one sigma


@dataclass(frozen=True)
class Fit:
    """Fitted factors of the processes."""

    factors: np.ndarray  # (processes,)
    covariance: np.ndarray  # (processes, processes)


def nuisances_of(systematics, processes):
    """The Nuisances of processes (names), from the Systematics of a run.

    There is one for all processes in any case.
    """
    sized = [s for s in systematics if s.size]
    rows = [(s.name, s.size, [s.concerns(p, "background") for p in processes]) for s in sized]
    own = [any(s.processes and s.concerns(p, "background") for s in sized) for p in processes]
    for number, (process, known) in enumerate(zip(processes, own, strict=True)):
        if not known:
            rows.append((process, DEFAULT_SIZE, np.arange(len(processes)) == number))
    if not any(not s.processes for s in sized):
        rows.append((OVERALL, DEFAULT_SIZE, np.ones(len(processes), bool)))
    rows = [row for row in rows if np.any(row[2])]
    sizes = np.array([size for _, size, _ in rows])
    effects = np.array([size * np.asarray(which, float) for _, size, which in rows])
    return Nuisances(tuple(name for name, *_ in rows), sizes, effects)


def factors(nuisances, values):
    """(processes,) factors of the yields for (parameters,) values."""
    return np.maximum(1.0 + values @ nuisances.effects, LEAST)


def fit(nuisances, data, expected, variance):
    """The Fit of the processes' factors to counts, by weighted least squares with constraints.

    data: (cells,); expected: (cells, processes)
    variance: (cells,) squared error of the expectation
    The variance of the data is what is expected, first before and then after the fit.
    """
    responses = expected @ nuisances.effects.T
    total = expected.sum(axis=1)
    used = (total > 0) & (total**2 > variance)
    result = np.ones(expected.shape[1])
    for _ in range(3):
        spread = np.maximum((expected @ result)[used], 1e-9) + variance[used]
        scaled = responses[used] / spread[:, None]
        curvature = scaled.T @ responses[used] + np.eye(len(nuisances.sizes))
        values = np.linalg.solve(curvature, scaled.T @ (data - total)[used])
        result = factors(nuisances, values)
    covariance = nuisances.effects.T @ np.linalg.inv(curvature) @ nuisances.effects
    return Fit(result, covariance)
