"""How well data agree with a strength of a signal: CLs and p0, from formulas or from toys.

Formulas: G. Cowan, K. Cranmer, E. Gross, O. Vitells, arXiv:1007.1727. CLs: A. Read, J. Phys. G 28
(2002) 2693. The definitions are those of pyhf.infer.hypotest with test_stat "qtilde" and "q0".
"""

from functools import cached_property

import numpy as np
from scipy.stats import norm

from analysis.errors import InputError
from analysis.stats.likelihoods import Likelihood

BANDS = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])  # standard deviations of the expected results
MOST_LOST = 0.01  # share of the toys whose fits may fail
ADVICE = (
    "try fewer bins (--bins, --edges, --count), fewer systematics (--systematic), or without "
    "regions of few events"
)


class Hypotheses:
    """Tests of the strength of a signal with one set of data.

    Attributes:
        likelihood: its Likelihood
        data: (data,) as pyhf has it, auxiliary data included
    """

    def __init__(self, model, data, name, blind=(), free=()):
        """Raises InputError.

        model: a pyhf.Model
        name: of the workspace, for messages
        blind: names of channels whose data is what the others predict without signal
        free: names of channels that do not measure their own background, see `background`
        """
        self.name = name
        try:
            self.likelihood = Likelihood(model)
        except ValueError as error:
            raise InputError(f"{name} cannot be fitted: {error}") from None
        self.data = np.array(data, float)
        channels = set(model.config.channel_nbins)
        self._others = Likelihood(model, {*blind, *free} & channels)
        # (bins,) where the signal is sought: everywhere if nothing is said.
        self.sought = self._others.seen == 0
        if not self.sought.any():
            self.sought[:] = True
        if {*blind} < channels:
            predicted = self.predicted[0]
            for channel in blind:
                at = model.config.channel_slices[channel]
                self.data[at] = predicted[at]

    def fit(self, data, strength=None, start=None):
        """The Fits to sets of data. Raises InputError where one does not converge."""
        found = self.likelihood.fit(data, strength, start)
        if not found.converged.all():
            at = "" if strength is None else f" at a signal strength of {np.max(strength):.3g}"
            raise InputError(f"the fit of {self.name}{at} does not converge: {ADVICE}")
        return found

    @cached_property
    def predicted(self):
        """(bins,) background that other channels predict in each, and (bins,) its uncertainty.

        Other channels than those that are `blind` or `free`; of the simulation, if these are all.
        """
        others = self._others
        fitted = others.fit([self.data], 0.0)
        if not fitted.converged.all():
            raise InputError(f"the fit of {self.name} without signal does not converge: {ADVICE}")
        parameters = fitted.parameters[0]
        expected, slopes = others.expected(parameters[None], derivatives=True)
        covariance = others.covariance(parameters, self.data)
        covariance[others.poi] = covariance[:, others.poi] = 0.0
        variance = np.einsum("bp,pq,bq->b", slopes[0], covariance, slopes[0])
        return expected[0], np.sqrt(np.maximum(variance, 0.0))

    @cached_property
    def free(self):
        """The Fits to the data, strength from 0."""
        return self.fit([self.data])

    @cached_property
    def null(self):
        """The Fits to the data without signal."""
        return self.fit([self.data], 0.0)

    @cached_property
    def strength(self):
        """The best strength, from 0."""
        return float(self.free.parameters[0, self.likelihood.poi])

    @cached_property
    def asimov(self):
        """(data,) expected without signal."""
        return self.likelihood.asimov(self.null.parameters[0])

    @cached_property
    def _asimov_nll(self):
        parameters = self.null.parameters[0].copy()
        parameters[self.likelihood.poi] = 0.0
        return self.likelihood.nll(parameters[None], self.asimov[None])[0]

    # --- limits -------------------------------------------------------------------------------

    def cls(self, strengths):
        """CLs of strengths by the formulas: (strengths,) of the data, (strengths, 5) expected.

        Expected are those at -2, -1, 0, 1, 2 standard deviations of the background.
        """
        strengths = np.atleast_1d(np.asarray(strengths, float))
        both = np.repeat([self.data, self.asimov], len(strengths), axis=0)
        nll = self.fit(both, np.tile(strengths, 2), self.null.parameters[0]).nll
        seen, expected = np.split(nll, 2)
        q = np.where(self.strength > strengths, 0.0, 2 * (seen - self.free.nll[0]))
        return asymptotic_cls(q, 2 * (expected - self._asimov_nll))

    def toy_cls(self, strengths, number, random):
        """As `cls`, from `number` toys of each hypothesis; then the errors of the first."""
        likelihood, poi = self.likelihood, self.likelihood.poi
        background = likelihood.sample(self.null.parameters[0], number, random)
        free = likelihood.fit(background, None, self.null.parameters[0])
        cls, expected, errors = [], [], []
        for strength in strengths:
            held = self.fit([self.data], strength)
            q = max(0.0, 2 * (held.nll - self.free.nll)[0]) if self.strength <= strength else 0.0
            with_signal = likelihood.sample(held.parameters[0], number, random)
            both = []
            for toys, fits in (
                (with_signal, likelihood.fit(with_signal, None, held.parameters[0])),
                (background, free),
            ):
                fixed = likelihood.fit(toys, strength, fits.parameters)
                good = fixed.converged & fits.converged
                require_most(good, self.name)
                above = fits.parameters[:, poi] > strength
                both.append(np.where(above, 0.0, 2 * (fixed.nll - fits.nll)).clip(0)[good])
            signal_q, background_q = map(np.sort, both)
            clsb, clb = survival(signal_q, q), survival(background_q, q)
            cls.append(clsb / clb if clb else 0.0)
            errors.append(np.sqrt(max(clsb * (1 - clsb), 1 / number) / number) / max(clb, 1e-9))
            each = survival(signal_q, background_q) / survival(background_q, background_q)
            expected.append(np.quantile(each, norm.cdf(BANDS)))
        return np.array(cls), np.array(expected), np.array(errors)

    # --- discovery ----------------------------------------------------------------------------

    def significance(self, data=None):
        """Z of an excess in (data,), by default the data: the root of q0."""
        if data is None:
            return discovery(self.null.nll[0], self.free.nll[0])
        with_signal = self.fit([data])
        return discovery(self.fit([data], 0.0).nll[0], with_signal.nll[0])

    def expected_significance(self, strength=1.0):
        """Z that a signal of this strength is expected to have, the rest as the data say."""
        fitted = self.fit([self.data], strength).parameters[0]
        return self.significance(self.likelihood.asimov(fitted))

    def toy_q0(self, strength, number, random):
        """(toys,) q0 of at most `number` toys with a signal of this strength."""
        fitted = self.fit([self.data], strength).parameters[0]
        toys = self.likelihood.sample(fitted, number, random)
        free = self.likelihood.fit(toys, None, fitted)
        null = self.likelihood.fit(toys, 0.0, fitted)
        good = free.converged & null.converged
        require_most(good, self.name)
        return (2 * (null.nll - free.nll)).clip(0)[good]


def asymptotic_cls(q, q_asimov):
    """CLs of (n,) q-tilde, and (n, 5) expected ones, of q-tilde of the Asimov data."""
    root, asimov = np.sqrt(np.maximum(q, 0)), np.sqrt(np.maximum(q_asimov, 1e-300))
    shift = np.where(root <= asimov, root - asimov, (q - q_asimov) / (2 * asimov))
    cls = norm.sf(shift + asimov) / norm.sf(shift)
    expected = norm.sf(asimov[:, None] - BANDS) / norm.cdf(BANDS)
    return cls, np.minimum(expected, 1.0)


def discovery(null, free):
    """Z of two minus logarithms of likelihoods, without and with signal."""
    return float(np.sqrt(max(0.0, 2 * (null - free))))


def survival(ordered, values):
    """The share of (toys,) ordered numbers that are not below values."""
    values = np.asarray(values) * (1 - 1e-9) - 1e-9  # equal ones count, whatever the rounding
    return 1 - np.searchsorted(ordered, values, side="left") / len(ordered)


def require_most(good, name):
    """Raise InputError where too many toys could not be fitted."""
    lost = 1 - np.mean(good)
    if lost > MOST_LOST:
        raise InputError(f"{lost:.0%} of the toys of {name} cannot be fitted: {ADVICE}")
