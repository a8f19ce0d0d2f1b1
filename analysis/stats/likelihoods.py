"""The likelihood of a pyhf model, for thousands of sets of data at once.

pyhf computes one set of data after the other, with derivatives by finite differences; pseudo-
experiments would take hours. Here all are fitted together by damped Newton steps with the exact
first derivatives. The likelihood is that of pyhf, with its interpolation codes 4 and 4p.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import xlogy

MOST_STEPS = 300
TOLERANCE = 1e-10  # of the logarithm of the likelihood, estimated
ROUNDING = 1e-13
RESCUED = 10  # fits at once that are tried in another way
AGREED = 1e-4  # relative difference between two ways, of the logarithm of the likelihood
MOST_DAMPED = 1e12
SCALING = ("normfactor", "lumi", "shapefactor", "shapesys", "staterror")  # modifiers that multiply


@dataclass(frozen=True)
class Fits:
    """The best fits to several sets of data."""

    parameters: np.ndarray  # (sets, parameters)
    nll: np.ndarray  # (sets,) minus the logarithm of the likelihood, 0 where all is as measured
    converged: np.ndarray  # (sets,) bool


class Likelihood:
    """That of a pyhf.Model; data and parameters are in the order that pyhf has.

    Attributes:
        poi: position of the parameter of interest among the parameters, None without one
        start, low, high, fixed: (parameters,) first values, bounds, and what is never fitted
    """

    def __init__(self, model, unseen=()):
        """Raises ValueError for a kind of modifier that it does not know.

        unseen: names of channels whose data does not count
        """
        config = model.config
        self.poi = config.poi_index
        self.start = np.array(config.suggested_init(), float)
        self.low, self.high = np.array(config.suggested_bounds(), float).T
        self.fixed = np.array(config.suggested_fixed(), bool)
        if self.poi is not None:
            self.high[self.poi] = np.inf
        self._constraints(config)
        self._templates(model, unseen)

    def _constraints(self, config):
        place, width, factor = [], [], []
        for name in config.auxdata_order:
            known, at = config.param_set(name), config.par_slice(name)
            place += range(at.start, at.stop)
            poisson = known.pdf_type == "poisson"
            number = at.stop - at.start
            width += [np.nan] * number if poisson else list(known.width())
            factor += list(known.factors) if poisson else [1.0] * number
        self.constrained = np.array(place, int)
        self.width, self.factor = np.array(width, float), np.array(factor, float)
        self.poisson = np.isnan(self.width)
        self.prefit = np.zeros(len(self.start))  # (parameters,) errors, 0 for free ones
        self.prefit[self.constrained] = np.where(self.poisson, self.factor**-0.5, self.width)

    def _templates(self, model, unseen):
        config = model.config
        slices = config.channel_slices
        shape = len(config.samples), sum(config.channel_nbins.values())
        one = len(self.start)  # behind the parameters stands the number 1
        self.bins = shape[1]
        self.seen = np.ones(self.bins)  # 0 for bins whose data does not count
        for name in unseen:
            self.seen[slices[name]] = 0.0
        self.nominal, self.layers = np.zeros(shape), []
        factors, changes = {}, {}
        for channel in model.spec["channels"]:
            for sample in channel["samples"]:
                at = config.samples.index(sample["name"]), slices[channel["name"]]
                nominal = np.array(sample["data"], float)
                self.nominal[at] = nominal
                layer = 0
                for modifier in sample["modifiers"]:
                    name, kind, data = modifier["name"], modifier["type"], modifier["data"]
                    where = config.par_slice(name)
                    if kind == "normsys":
                        ways = factors.setdefault(where.start, np.ones((2, *shape)))
                        ways[0][at], ways[1][at] = data["hi"], data["lo"]
                    elif kind == "histosys":
                        ways = changes.setdefault(where.start, np.zeros((2, *shape)))
                        ways[0][at] = np.array(data["hi_data"]) - nominal
                        ways[1][at] = nominal - np.array(data["lo_data"])
                    elif kind in SCALING:
                        if layer == len(self.layers):
                            self.layers.append(np.full(shape, one))
                        self.layers[layer][at] = np.arange(where.start, where.stop)
                        layer += 1
                    else:
                        raise ValueError(f"modifiers of type {kind} are not known")
        self._factors = [(place, *exponential(*ways)) for place, ways in factors.items()]
        self._changes = list(changes.items())

    def expected(self, parameters, derivatives=False):
        """(sets, bins) expected events of (sets, parameters), and their derivatives, if asked for.

        Derivatives are (sets, bins, parameters).
        """
        sets, number = parameters.shape
        with_one = np.column_stack([parameters, np.ones(sets)])
        base = np.broadcast_to(self.nominal, (sets, *self.nominal.shape)).copy()
        slopes = []
        for place, (up, down) in self._changes:
            value, slope = linear(parameters[:, place, None, None], up, down)
            base += value
            slopes.append((place, slope))
        scale = np.ones_like(base)
        relative = []
        for place, logs, coefficients in self._factors:
            value, slope = power(parameters[:, place, None, None], logs, coefficients)
            scale *= value
            relative.append((place, slope / value))
        scales = [with_one[:, layer] for layer in self.layers]
        product = scale
        for each in scales:
            product = product * each
        rates = base * product
        if not derivatives:
            return rates.sum(axis=1)
        found = np.zeros((sets, self.bins, number + 1))
        for place, slope in slopes:
            found[:, :, place] += (product * slope).sum(axis=1)
        for place, slope in relative:
            found[:, :, place] += (rates * slope).sum(axis=1)
        bins = np.arange(self.bins)
        for which, layer in enumerate(self.layers):
            others = base * scale
            for other, each in enumerate(scales):
                others = others if other == which else others * each
            for sample, places in enumerate(layer):
                found[:, bins, places] += others[:, sample]
        return rates.sum(axis=1), found[:, :, :-1]

    def split(self, data):
        """(..., bins) events and (..., constraints) auxiliary data of (..., data)."""
        return data[..., : self.bins], data[..., self.bins :]

    def nll(self, parameters, data):
        """(sets,) minus the logarithm of the likelihood, less that of the saturated model.

        Twice this number is the chi2 of the fit.
        """
        events, auxiliary = self.split(data)
        return self._nll(parameters, self.expected(parameters), events, auxiliary)

    def _nll(self, parameters, expected, events, auxiliary):
        values = parameters[:, self.constrained]
        with np.errstate(all="ignore"):
            total = np.sum(self.seen * half_deviance(events, expected), axis=1)
            poisson = half_deviance(auxiliary, self.factor * values)
            gauss = 0.5 * ((auxiliary - values) / self.width) ** 2
            total = total + np.sum(np.where(self.poisson, poisson, gauss), axis=1)
            good = np.isfinite(total) & np.all(expected >= 0, axis=1)
        return np.where(good, total, np.inf)

    def asimov(self, parameters):
        """(data,) that is expected for (parameters,)."""
        mean = parameters[self.constrained]
        events = self.expected(parameters[None])[0]
        return np.concatenate([events, np.where(self.poisson, self.factor * mean, mean)])

    def sample(self, parameters, number, random):
        """(number, data) pseudo-data of (parameters,), auxiliary data included."""
        mean = self.asimov(parameters)
        events = random.poisson(mean[: self.bins], (number, self.bins))
        shape = number, len(self.width)
        gauss = random.normal(mean[self.bins :], np.where(self.poisson, 1.0, self.width), shape)
        counts = random.poisson(np.where(self.poisson, mean[self.bins :], 1.0), shape)
        return np.concatenate([events, np.where(self.poisson, counts, gauss)], axis=1)

    def fit(self, data, strength=None, start=None):
        """The Fits to (sets, data).

        strength: that of the signal, one or (sets,); None: fitted, from 0
        start: (parameters,) or (sets, parameters) first values
        """
        data = np.atleast_2d(np.asarray(data, float))
        events, auxiliary = self.split(data)
        shape = len(data), len(self.start)
        values = np.broadcast_to(self.start if start is None else start, shape).copy()
        values = np.clip(values, self.low, self.high)
        held = self.fixed.copy()
        if strength is not None:
            values[:, self.poi], held[self.poi] = strength, True
        nll, done = np.full(len(data), np.inf), np.zeros(len(data), bool)
        damping, promised = np.full(len(data), 1e-3), np.full(len(data), np.inf)
        trial, todo = values.copy(), np.arange(len(data))
        gradient, curvature = np.zeros(shape), np.zeros((*shape, shape[1]))
        for _ in range(MOST_STEPS):
            expected, slopes = self.expected(trial[todo], derivatives=True)
            new = self._nll(trial[todo], expected, events[todo], auxiliary[todo])
            # Where the step was good, it is taken; elsewhere a shorter one is tried.
            good = (new <= nll[todo] + ROUNDING * (1 + np.abs(new))) & np.isfinite(new)
            # Poor gains, too, ask for shorter ones: second derivatives of yields are left out.
            with np.errstate(invalid="ignore"):
                gain = (nll[todo] - new) / promised[todo]
            change = np.where(gain > 0.75, 0.1, np.where(gain < 0.25, 3.0, 1.0))
            damping[todo] *= np.where(good, np.where(np.isfinite(gain), change, 0.1), 10.0)
            taken = todo[good]
            values[taken], nll[taken] = trial[taken], new[good]
            gradient[taken], curvature[taken] = self._derivatives(
                values[taken], expected[good], slopes[good], events[taken], auxiliary[taken]
            )
            todo = todo[damping[todo] < MOST_DAMPED]
            if not len(todo):
                break
            step, promised[todo] = self._step(values, gradient, curvature, damping, held, todo)
            trial[todo] = np.clip(values[todo] + step, self.low, self.high)
            ready = (promised[todo] < TOLERANCE) & np.isfinite(nll[todo]) & (damping[todo] < 10)
            done[todo[ready]] = True
            todo = todo[~ready]
            if not len(todo):
                break
        for place in np.flatnonzero(~done)[:RESCUED]:
            found = self._rescued(data[place], values[place], held)
            if found is not None:
                (values[place], nll[place]), done[place] = found, True
        return Fits(values, nll, done)

    def _rescued(self, data, values, held):
        """((parameters,), nll) of a fit whose Newton steps did not end, None if there is none.

        Far from all data the yields have kinks, and some are at their ends. Two descents, from
        where the steps ended and from the start, must agree.
        """
        free = ~held

        def falling(x):
            at = values.copy()
            at[free] = x
            with np.errstate(all="ignore"):
                nll, slope = self.nll(at[None], data[None])[0], self.slope(at, data)[free]
            good = np.isfinite(nll) and np.all(np.isfinite(slope))
            return (nll, slope) if good else (1e300, np.zeros_like(x))

        bounds = list(zip(self.low[free], self.high[free], strict=True))
        options = {"maxiter": 5000, "maxfun": 20_000, "ftol": 1e-14, "gtol": 1e-7}
        ends = [
            minimize(
                falling, begin[free], jac=True, method="L-BFGS-B", bounds=bounds, options=options
            )
            for begin in (values, self.start)
        ]
        low, high = sorted(float(end.fun) for end in ends)
        if high - low > AGREED * max(1.0, abs(low)) or high >= 1e300:
            return None
        at = values.copy()
        at[free] = min(ends, key=lambda end: end.fun).x
        return at, low

    def slope(self, parameters, data):
        """(parameters,) derivatives of `nll` for (parameters,) and (data,)."""
        expected, slopes = self.expected(parameters[None], derivatives=True)
        events, auxiliary = self.split(data[None])
        return self._derivatives(parameters[None], expected, slopes, events, auxiliary)[0][0]

    def covariance(self, parameters, data):
        """(parameters, parameters) of (parameters,), the best fit to (data,); 0 for fixed ones."""
        expected, slopes = self.expected(parameters[None], derivatives=True)
        events, auxiliary = self.split(data[None])
        matrix = self._derivatives(parameters[None], expected, slopes, events, auxiliary)[1][0]
        found, free = np.zeros_like(matrix), np.flatnonzero(~self.fixed)
        found[np.ix_(free, free)] = np.linalg.pinv(matrix[np.ix_(free, free)], hermitian=True)
        return found

    def _derivatives(self, values, expected, slopes, events, auxiliary):
        """The gradient, and the matrix of second derivatives without those of the yields."""
        expected = np.maximum(expected, 1e-300)
        gradient = np.einsum("tbp,tb->tp", slopes, self.seen * (1 - events / expected))
        weight = self.seen * np.maximum(events, 1e-3 * expected) / expected**2
        curvature = np.matmul((slopes * weight[:, :, None]).transpose(0, 2, 1), slopes)
        at = values[:, self.constrained]
        poisson = self.factor - auxiliary / np.maximum(at, 1e-300)
        variance = np.where(self.poisson, 1.0, self.width) ** 2
        gradient[:, self.constrained] += np.where(
            self.poisson, poisson, (at - auxiliary) / variance
        )
        more = np.where(
            self.poisson,
            np.maximum(auxiliary, 1e-3) / np.maximum(at, 1e-6) ** 2,
            1 / variance,
        )
        curvature[:, self.constrained, self.constrained] += more
        return gradient, curvature

    def _step(self, values, gradient, curvature, damping, held, todo):
        """The Newton step of the sets `todo` inside the bounds, and what it should gain."""
        slope, matrix = gradient[todo].copy(), curvature[todo].copy()
        at = values[todo]
        stuck = held | ((at <= self.low) & (slope > 0)) | ((at >= self.high) & (slope < 0))
        slope[stuck] = 0.0
        free = ~stuck
        matrix *= free[:, :, None] & free[:, None, :]
        diagonal = np.arange(matrix.shape[1])
        scale = matrix[:, diagonal, diagonal]
        scale = np.where(stuck | (scale <= 0), 1.0, scale)
        matrix[:, diagonal, diagonal] = scale * (1 + np.maximum(damping[todo], 1e-12)[:, None])
        step = -np.linalg.solve(matrix, slope[:, :, None])[:, :, 0]
        return step, 0.5 * np.abs(np.sum(step * slope, axis=1))


def half_deviance(counts, mean):
    """Minus the logarithm of a Poisson probability, less what it is where the mean is the count."""
    return mean - counts - xlogy(counts, mean / np.where(counts > 0, counts, 1.0))


def linear(alpha, up, down):
    """Code 4p: linear outside of -1 to 1, a polynomial within; value and derivative.

    alpha: (sets, 1, 1); up, down: (samples, bins) changes
    """
    half, bend = (up + down) / 2, (up - down) / 16
    square = alpha**2
    value = alpha * half + bend * square * (15 + square * (3 * square - 10))
    slope = half + bend * alpha * (30 + square * (18 * square - 40))
    above, below = alpha > 1, alpha < -1
    value = np.where(above, alpha * up, np.where(below, alpha * down, value))
    return value, np.where(above, up, np.where(below, down, slope))


def exponential(up, down):
    """What `power` needs for (samples, bins) factors up and down, which are positive."""
    logs = np.log(up), np.log(down)
    order = np.arange(1, 7)
    sign = (-1.0) ** order
    second = order * (order - 1)
    matrix = np.array([np.ones(6), sign, order, -order * sign, second, second * sign])
    right = np.stack(
        [
            up - 1,
            down - 1,
            up * logs[0],
            -down * logs[1],
            up * logs[0] ** 2,
            down * logs[1] ** 2,
        ]
    )
    return logs, np.tensordot(np.linalg.inv(matrix), right, axes=1)


def power(alpha, logs, coefficients):
    """Code 4: exponential outside of -1 to 1, a polynomial within; value and derivative.

    alpha: (sets, 1, 1); logs, coefficients: of `exponential`
    """
    value, slope = np.ones_like(alpha * logs[0]), 0.0
    for order in range(6, 0, -1):
        slope = slope * alpha + order * coefficients[order - 1]
    polynomial = 0.0
    for order in range(6, 0, -1):
        polynomial = (polynomial + coefficients[order - 1]) * alpha
    value = value * (1 + polynomial)
    above, below = alpha > 1, alpha < -1
    if np.any(above | below):
        up, down = (
            np.exp(np.clip(alpha, 0, None) * logs[0]),
            np.exp(np.clip(-alpha, 0, None) * logs[1]),
        )
        value = np.where(above, up, np.where(below, down, value))
        slope = np.where(above, up * logs[0], np.where(below, -down * logs[1], slope))
    return value, slope
