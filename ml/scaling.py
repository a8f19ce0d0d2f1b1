"""Bring features of GeV and of order one to a common scale, and back.

Every scaler ends as the same four arrays, so that Keras, C++ and numpy can apply it alike::

    scaled = (L(x) - shift) * factor,   L(x) = sign(x) log(1 + |x|) where `log`, else x

The numbers come from scikit-learn, fed with event weights and in blocks of bounded memory.
"""

import warnings
from dataclasses import dataclass

import numpy as np

from analysis.errors import DeclarationError, listed
from analysis.records import SCALERS

NOTHING = {"mean_": 0.0, "var_": 0.0, "data_min_": np.inf, "data_max_": -np.inf}
SUBSAMPLE = 200_000  # events at most from which "robust" takes its quartiles


@dataclass(frozen=True)
class Scaling:
    """A fitted scaler; arrays have shape (features,)."""

    kind: str
    log: np.ndarray  # bool, the logarithm is taken first
    shift: np.ndarray  # float32, GeV, or log GeV where `log`
    factor: np.ndarray  # float32, the inverse of the same unit

    def transform(self, x):
        """(events, features) in GeV to scaled, float32."""
        x = np.array(x, np.float32)
        x[:, self.log] = signed_log(x[:, self.log])
        x -= self.shift
        x *= self.factor
        return x

    def inverse(self, scaled):
        """(events, features) scaled to GeV, float32."""
        x = np.asarray(scaled, np.float32) / self.factor + self.shift
        x[:, self.log] = np.copysign(np.expm1(np.abs(x[:, self.log])), x[:, self.log])
        return x

    def __getitem__(self, columns):
        """The same scaler for some of the features."""
        return Scaling(self.kind, self.log[columns], self.shift[columns], self.factor[columns])


def signed_log(x):
    """sign(x) log(1 + |x|): the logarithm for energies, defined and monotonic everywhere."""
    return np.copysign(np.log1p(np.abs(x)), x)


class ScalingFit:
    """Learns a `Scaling` block by block; NaN marks a value that must not be learned from.

    - `standard`: weighted mean and variance (`StandardScaler`).
    - `log`: the same after the logarithm, for features in GeV; the others as in `standard`.
    - `minmax`: smallest and largest value (`MinMaxScaler`); a weight cannot matter.
    - `robust`: weighted median and interquartile range of at most 200 000 evenly spaced events
      (scikit-learn's `RobustScaler` knows no weights); where the quartiles coincide, because most
      events lack the object, the standard deviation.
    """

    def __init__(self, kind, units, events):
        from sklearn.preprocessing import MinMaxScaler, StandardScaler  # takes a second

        if kind not in SCALERS:
            raise DeclarationError(f"unknown scaler '{kind}': choose from {listed(SCALERS)}")
        self.kind = kind
        self.log = np.array([kind == "log" and unit == "GeV" for unit in units])
        self.every = -(-events // SUBSAMPLE)  # ceiling
        self._seen = 0
        self._kept = []
        self._standard = StandardScaler()
        self._range = MinMaxScaler()

    def partial_fit(self, x, weight):
        """Learn from (events, features) values in GeV and (events,) weights."""
        if not len(x):
            return self
        x = np.array(x, np.float64)
        x[:, self.log] = signed_log(x[:, self.log])
        if self.kind == "minmax":
            _learn(self._range, x[weight != 0])
        else:
            _learn(self._standard, x, sample_weight=weight)
        if self.kind == "robust":
            if weight.min() < 0:
                raise DeclarationError(
                    "the robust scaler needs weights that are not negative: "
                    "train with --weights absolute or --weights zero"
                )
            rows = slice((-self._seen) % self.every, None, self.every)
            self._kept.append((x[rows].astype(np.float32), weight[rows]))
            self._seen += len(x)
        return self

    def result(self):
        """The scaler learned so far."""
        if self.kind == "minmax":
            shift = self._range.data_min_
            scale = self._range.data_max_ - shift
        else:
            shift, scale = self._standard.mean_, np.sqrt(self._standard.var_)
        if self.kind == "robust":
            x = np.concatenate([block for block, _ in self._kept])
            weight = np.concatenate([block for _, block in self._kept])
            low, shift, high = self._quartiles(x, weight)
            scale = np.where(high > low, high - low, scale)
        # A feature without spread is dropped by the caller; here it only must not divide by 0.
        scale = np.where(np.isfinite(scale) & (scale > 0), scale, 1.0)
        shift = np.where(np.isfinite(shift), shift, 0.0)
        return Scaling(
            self.kind, self.log, shift.astype(np.float32), (1 / scale).astype(np.float32)
        )

    @staticmethod
    def _quartiles(x, weight):
        """(3, features) weighted quartiles, leaving out NaN."""
        quartiles = np.zeros((3, x.shape[1]))
        for column, values in enumerate(x.T):
            known = np.isfinite(values) & (weight > 0)
            if known.any():
                quartiles[:, column] = np.quantile(
                    values[known], [0.25, 0.5, 0.75], weights=weight[known], method="inverted_cdf"
                )
        return quartiles


def _learn(scaler, x, **weights):
    """`scaler.partial_fit`, but a column of which this block tells nothing stays as it was.

    scikit-learn (1.9) lets such a column forget all earlier and later blocks and become NaN.
    """
    if not len(x):
        return
    silent = np.isnan(x).all(axis=0)
    before = {name: getattr(scaler, name, np.full(x.shape[1], NOTHING[name])) for name in NOTHING}
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN slice")
        scaler.partial_fit(x, **weights)
    for name, values in before.items():
        if hasattr(scaler, name):
            getattr(scaler, name)[silent] = values[silent]
