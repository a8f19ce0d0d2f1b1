"""Weak supervision: data against simulation (CWoLa, arXiv:1708.02949; attribute bagging,
arXiv:2309.13111).

It finds what data has and the simulation has not, signals inside the bulk included, and is limited
by how well the simulation describes data. Data outside the event's fold is learned from.
"""

from dataclasses import dataclass, replace

import numpy as np

from ml.detectors.base import load_kind
from ml.detectors.forest import TreesDetector, grow, join
from ml.detectors.twin import LEPTONS


@dataclass(frozen=True)
class Weak:
    """Declaration."""

    name: str
    features: tuple[str, ...] = (*LEPTONS, "ht_jet", "n_jet", "n_bjet")
    bags: int = 10  # forests, each of which sees a part of the features
    seen: float = 0.5  # the part
    rounds: int = 40
    leaves: int = 15
    learning_rate: float = 0.05


class WeakDetector(TreesDetector):
    """Log-odds of data against simulation, the mean of the bags."""

    kind = "weak"
    learns_from = ("background", "data")

    def learn(self, background):
        """See `Detector.learn`. Raises InputError where there is no data."""
        data = self.chosen(load_kind(self.data, "data")[0])
        x = np.concatenate([self.columns(part.events) for part in (background, data)])
        target = np.repeat([0.0, 1.0], [len(background.weight), len(data.weight)])
        weight = np.concatenate(
            [part.weight * (len(x) / 2 / part.weight.sum()) for part in (background, data)]
        )
        number = len(self.config.features)
        random = np.random.default_rng(self.seed)
        parameters = {
            "objective": "binary",
            "learning_rate": self.config.learning_rate,
            "num_leaves": self.config.leaves,
            "min_data_in_leaf": 50,
            "bagging_fraction": 0.5,
            "bagging_freq": 1,
            "max_bin": 63,
        }
        trees = []
        for bag in range(self.config.bags):
            seen = random.choice(number, max(1, round(self.config.seen * number)), replace=False)
            seen.sort()
            grown = grow(
                x[:, seen], target, weight, parameters, self.config.rounds, self.training.seed + bag
            )
            feature = seen[grown.feature].astype(np.int32)
            trees.append(replace(grown, feature=feature, value=grown.value / self.config.bags))
        return join(trees).numbers("")
