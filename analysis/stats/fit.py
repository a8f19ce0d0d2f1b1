"""The simultaneous fit of regions: normalisations, pulls, and what regions are expected to hold.

Minuit finds the minimum and the errors, from where `Likelihood` has found it, with its derivatives.
"""

from dataclasses import dataclass

import iminuit
import numpy as np
from scipy.stats import chi2

from analysis.errors import InputError
from analysis.stats.hypotheses import ADVICE
from analysis.stats.likelihoods import Likelihood

AT_BOUND = 1e-3  # of the range of a parameter: nearer than this to a bound is at it
STRATEGIES = (1, 2)  # of Minuit, the second with more care


@dataclass(frozen=True)
class Parameter:
    """A fitted parameter."""

    name: str
    kind: str  # mu, norm, systematic or staterror
    value: float
    error: float | None  # None: fixed
    pull: float | None  # shift in units of the error before the fit; None for free ones
    constraint: float | None  # error in those units


@dataclass(frozen=True)
class Prediction:
    """What a channel is expected to hold, before or after a fit."""

    samples: dict[str, np.ndarray]  # {process: (bins,)}
    total: np.ndarray  # (bins,)
    error: np.ndarray  # (bins,)
    sum_error: float  # of all bins together


@dataclass(frozen=True)
class Goodness:
    """Against the saturated model, which describes every bin exactly."""

    chi2: float
    ndof: int
    p: float | None  # None without degrees of freedom


@dataclass(frozen=True)
class Fitted:
    """A fit that has converged."""

    parameters: tuple[Parameter, ...]
    covariance: np.ndarray  # (parameters, parameters), 0 for fixed ones
    goodness: Goodness
    at_bounds: tuple[str, ...]  # names of parameters whose errors mean little

    @property
    def correlation(self):
        """(names, (names, names) correlation) of the parameters but those of simulation's size."""
        kept = [
            number
            for number, parameter in enumerate(self.parameters)
            if parameter.kind != "staterror" and self.covariance[number, number] > 0
        ]
        part = self.covariance[np.ix_(kept, kept)]
        width = np.sqrt(np.diag(part))
        return [self.parameters[k].name for k in kept], part / np.outer(width, width)


def fit(model, data, name):
    """The Fitted of a pyhf.Model to its data. name: for messages. Raises InputError."""
    likelihood = Likelihood(model)
    data = np.asarray(data, float)
    names = [str(label) for label in model.config.par_names]
    values, covariance = minimise(likelihood, data, names, name)
    errors = np.sqrt(np.diag(covariance))
    nominal = np.array(model.config.suggested_init(), float)
    parameters = []
    for number, label in enumerate(names):
        kind, width = kind_of(model, number), likelihood.prefit[number]
        fixed = likelihood.fixed[number]
        free = width == 0 or fixed
        parameters.append(
            Parameter(
                label,
                kind,
                float(values[number]),
                None if fixed else float(errors[number]),
                None if free else float((values[number] - nominal[number]) / width),
                None if free else float(errors[number] / width),
            )
        )
    bounds = np.array([likelihood.low, likelihood.high])
    reach = np.where(np.isfinite(np.ptp(bounds, axis=0)), np.ptp(bounds, axis=0), 1.0)
    near = np.abs(values - bounds).min(axis=0) < AT_BOUND * reach
    return Fitted(
        tuple(parameters),
        covariance,
        goodness(likelihood, values, data),
        tuple(label for label, at in zip(names, near & ~likelihood.fixed, strict=True) if at),
    )


def minimise(likelihood, data, names, name):
    """(parameters,) best values and their covariance, by Minuit. Raises InputError.

    data: (data,)
    names: of the parameters; name: of what is fitted
    """
    first = likelihood.fit([data]).parameters[0]
    width = np.sqrt(np.diag(likelihood.covariance(first, data)))

    def value(parameters):
        return likelihood.nll(parameters[None], data[None])[0]

    def slope(parameters):
        return likelihood.slope(parameters, data)

    minuit = iminuit.Minuit(value, first, grad=slope, name=names)
    minuit.errordef = iminuit.Minuit.LIKELIHOOD
    minuit.errors = np.where(width > 0, width, 0.1)
    minuit.fixed = likelihood.fixed
    minuit.limits = list(zip(likelihood.low, likelihood.high, strict=True))
    for strategy in STRATEGIES:
        minuit.strategy = strategy
        minuit.migrad()
        minuit.hesse()
        if minuit.valid and minuit.accurate and np.all(np.isfinite(minuit.values)):
            covariance = np.array(minuit.covariance, float)
            covariance[likelihood.fixed] = covariance[:, likelihood.fixed] = 0.0
            return np.array(minuit.values), covariance
    reason = "its matrix of errors is not positive" if minuit.valid else "there is no minimum"
    raise InputError(f"the fit of {name} does not converge ({reason}): {ADVICE}")


def kind_of(model, number):
    """The kind of a parameter: mu, norm, systematic or staterror."""
    if number == model.config.poi_index:
        return "mu"
    config = model.config
    name = next(
        name
        for name in config.par_order
        if config.par_slice(name).start <= number < config.par_slice(name).stop
    )
    if not config.param_set(name).constrained:
        return "norm"
    kinds = {kind for modifier, kind in config.modifiers if modifier == name}
    return "staterror" if kinds & {"staterror", "shapesys"} else "systematic"


def goodness(likelihood, values, data):
    """The Goodness of (parameters,) values that were fitted to (data,)."""
    distance = 2 * likelihood.nll(values[None], data[None])[0]
    free = np.ones(len(values), bool)
    free[likelihood.constrained] = False
    ndof = int(likelihood.bins - np.sum(free & ~likelihood.fixed))
    distance = max(0.0, float(distance))
    return Goodness(distance, ndof, float(chi2.sf(distance, ndof)) if ndof > 0 else None)


def predict(model, fitted=None):
    """{channel: Prediction} of a pyhf.Model, which may have more channels than a Fitted.

    fitted: None: before any fit. Parameters that it has not are as before.
    """
    likelihood = Likelihood(model)
    values, covariance = likelihood.start.copy(), np.diag(likelihood.prefit**2)
    if fitted is not None:
        places = {str(name): number for number, name in enumerate(model.config.par_names)}
        known = [(n, places[p.name]) for n, p in enumerate(fitted.parameters) if p.name in places]
        source, target = map(list, zip(*known, strict=True))
        values[target] = [fitted.parameters[number].value for number in source]
        covariance[np.ix_(target, target)] = fitted.covariance[np.ix_(source, source)]
    total, slopes = likelihood.expected(values[None], derivatives=True)
    spread = slopes[0] @ covariance @ slopes[0].T
    by_sample = np.asarray(model.main_model.expected_data(values, return_by_sample=True))
    inside = {c["name"]: {s["name"] for s in c["samples"]} for c in model.spec["channels"]}
    found = {}
    for channel, at in model.config.channel_slices.items():
        samples = {
            name: row[at]
            for name, row in zip(model.config.samples, by_sample, strict=True)
            if name in inside[channel]
        }
        part = spread[at, at]
        found[channel] = Prediction(
            samples,
            total[0, at],
            np.sqrt(np.maximum(np.diag(part), 0.0)),
            float(np.sqrt(max(part.sum(), 0.0))),
        )
    return found
