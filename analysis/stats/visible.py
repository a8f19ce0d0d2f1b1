"""Limits on whatever adds events to a region: S95 and the visible cross-section."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from analysis.errors import InputError
from analysis.stats.expectation import Channel, yields_in
from analysis.stats.hypotheses import Hypotheses
from analysis.stats.limits import TOYS, upper_limit
from analysis.stats.workspaces import quiet


@dataclass(frozen=True)
class Background:
    """Events expected without signal in one count."""

    events: float
    error: float  # of the simulation and of systematics together


@dataclass(frozen=True)
class Visible:
    """What one count says."""

    observed: float | None  # events; None: blind
    background: Background
    s95_observed: float | None  # events of signal
    s95_expected: np.ndarray  # (5,)
    p0: float | None
    z: float | None
    method: str


def counted(results, channel, place, systematics, factors, note):
    """The Background of the simulation in bin `place` of a Channel. Raises InputError.

    systematics: Systematics; a process is shifted by each as a whole, different ones are added in
        quadrature
    factors: {process: factor}; note: see `yields_in`
    """
    events, variance, shifts = 0.0, 0.0, {}
    for process in results.processes:
        if process.kind != "background":
            continue
        factor = factors.get(process.name, 1.0)
        found = yields_in(results, channel, process.name, systematics, factor, note)
        events += found.nominal[place]
        variance += found.variance[place]
        for name, (up, down) in found.varied.items():
            shifts[name] = shifts.get(name, 0.0) + (up - down)[place] / 2
    variance += sum(shift**2 for shift in shifts.values())
    return Background(float(events), float(np.sqrt(variance)))


def threshold_channel(region, role, observable, threshold, asimov):
    """A Channel whose second bin counts the events from a threshold on; None: all events."""
    around = (threshold - 1, threshold, threshold + 1) if threshold is not None else (0.0, 1.0)
    return Channel(region, role, observable, np.array(around, float), asimov)


def visible(background, observed, name, toys=None):
    """The Visible of one count; observed: events, None: blind. name: for messages.

    toys: as in `upper_limit`. Raises InputError.
    """
    import pyhf

    if not background.events > 0:
        seen = "" if observed is None else f", but {observed:.0f} events of data"
        raise InputError(
            f"{name} has no simulated background{seen}: lower the threshold, or choose another "
            "region"
        )
    pyhf.set_backend("numpy")
    # An error of 0 would leave the model without its parameter.
    error = max(background.error, 1e-3 * background.events)
    with quiet():
        model = pyhf.simplemodels.uncorrelated_background([1.0], [background.events], [error])
    seen = background.events if observed is None else observed
    hypotheses = Hypotheses(model, [seen, *model.config.auxdata], name)
    limit = upper_limit(hypotheses, toys)
    if observed is None:
        return Visible(None, background, None, limit.expected, None, None, limit.method)
    z = hypotheses.significance()
    p0 = float(norm.sf(z))
    if limit.method == "toys":
        random = np.random.default_rng(1)
        q = hypotheses.toy_q0(0.0, 20 * (toys or TOYS), random)
        above = float(np.mean(q >= z**2 - 1e-9)) if z > 0 else 0.5
        if above * len(q) >= 10:
            p0, z = above, max(0.0, float(norm.isf(above)))
    return Visible(observed, background, limit.observed, limit.expected, p0, z, limit.method)
