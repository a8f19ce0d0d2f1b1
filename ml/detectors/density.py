"""The density of events: that of their topology, times that of the kinematics within it.

Any density depends on the coordinates (arXiv:2012.03808), so they are declared: each number becomes
the normal quantile of its weighted rank in the background of its group of topologies, and a
Gaussian mixture describes them together.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp, ndtri

from analysis import topology
from ml.detectors.base import Detector, library, resampled

COORDINATES = (
    *("lepPt_0", "lepPt_1", "lepPt_2", "e_T_miss", "m_3l", "m_T_3l", "m_pair_min", "m_pair_max"),
    *("pt_3l", "m_T_min", "m_T_max", "ht_jet"),
)
KNOTS = 200  # of the transformation of a coordinate
LEAST = 100  # events of a group without which nothing is known about it


@dataclass(frozen=True)
class Density:
    """Declaration of a mixture."""

    name: str
    features: tuple[str, ...] = COORDINATES
    components: int = 8
    events: int = 20_000  # that are drawn by weight for each group


class DensityDetector(Detector):
    """Minus the logarithm of the density."""

    kind = "density"

    def names(self):
        """The coordinates, and the features that tell the topology."""
        return (*self.config.features, *topology.FEATURES)

    def learn(self, background):
        """See `Detector.learn`."""
        mixtures, exceptions = library("sklearn.mixture"), library("sklearn.exceptions")
        x, numbers = self.columns(background.events), {}
        size = len(self.config.features)
        random = np.random.default_rng(self.seed)
        where = topology.topology_of(x[:, size:])
        share = np.bincount(where, background.weight, minlength=len(topology.TOPOLOGIES))
        # One event more in each: what was never seen is rare, not impossible.
        numbers["share"] = (share + 1) / (share + 1).sum()
        for number, group in enumerate(topology.GROUPS):
            rows = np.flatnonzero(where // 2 == number)
            if len(rows) < LEAST:
                continue
            chosen = type(background)(None, background.weight[rows])
            drawn = rows[resampled(chosen, self.config.events, random)]
            knots = np.stack([_knots(column) for column in x[drawn, :size].T])
            numbers[f"{group}.knots"] = knots
            z = _normal(x[drawn, :size], knots)
            mixture = mixtures.GaussianMixture(
                self.config.components, reg_covar=1e-3, random_state=int(self.training.seed) % 2**32
            )
            with warnings.catch_warnings():
                warnings.simplefilter(
                    "ignore", exceptions.ConvergenceWarning
                )  # any mixture is a density
                mixture.fit(z)
            numbers[f"{group}.means"] = mixture.means_
            numbers[f"{group}.whitening"] = mixture.precisions_cholesky_
            numbers[f"{group}.shares"] = mixture.weights_
        return numbers

    def evaluate(self, x):
        """See `Detector.evaluate`; in a group without events, the share of the topology alone."""
        size = len(self.config.features)
        where = topology.topology_of(x[:, size:])
        result = -np.log(self.numbers_["share"][where])
        for number, group in enumerate(topology.GROUPS):
            rows = where // 2 == number
            if f"{group}.means" not in self.numbers_ or not rows.any():
                continue
            result[rows] += self._minus_log(x[rows, :size], f"{group}.")
        return result

    def _minus_log(self, x, prefix):
        z = _normal(x, self.numbers_[f"{prefix}knots"])
        parts = []
        for mean, whitening, share in zip(
            *(self.numbers_[f"{prefix}{name}"] for name in ("means", "whitening", "shares")),
            strict=True,
        ):
            white = (z - mean) @ whitening
            volume = np.log(np.diagonal(whitening)).sum() - 0.5 * z.shape[1] * np.log(2 * np.pi)
            parts.append(np.log(share) + volume - 0.5 * (white**2).sum(axis=1))
        return -logsumexp(parts, axis=0)


def _knots(column):
    """(KNOTS,) values of a coordinate at evenly spaced normal quantiles."""
    edges = (np.arange(KNOTS) + 0.5) / KNOTS
    # Equal values, as zeros are, must rise for an interpolation.
    return np.quantile(column, edges) + 1e-6 * np.arange(KNOTS)


def _normal(x, knots):
    """(events, n) normal quantiles; beyond the last knots, the last slope goes on."""
    y = ndtri((np.arange(KNOTS) + 0.5) / KNOTS)
    z = np.empty(x.shape)
    for place, (column, at) in enumerate(zip(x.T, knots, strict=True)):
        # An interval of a tenth of the events has a slope that does not depend on single ones.
        tenth = KNOTS // 10
        up = (y[-1] - y[-1 - tenth]) / max(at[-1] - at[-1 - tenth], 1e-9)
        down = (y[tenth] - y[0]) / max(at[tenth] - at[0], 1e-9)
        z[:, place] = np.interp(column, at, y)
        z[:, place] += np.maximum(column - at[-1], 0) * up + np.minimum(column - at[0], 0) * down
    return z
