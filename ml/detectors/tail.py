"""The tail of one number within each topology."""

from dataclasses import dataclass

import numpy as np

from analysis import topology
from ml.detectors.base import Detector
from ml.detectors.survival import learn_survival, minus_log_survival


@dataclass(frozen=True)
class Tail:
    """Declaration of a tail."""

    name: str
    feature: str = "lt_met"


class TailDetector(Detector):
    """Minus the logarithm of the background's survival probability in the event's topology."""

    kind = "tail"

    def names(self):
        """The number, and the features that tell the topology."""
        return (self.config.feature, *topology.FEATURES)

    def learn(self, background):
        """See `Detector.learn`."""
        x = self.columns(background.events)
        where, numbers = topology.topology_of(x[:, 1:]), {}
        for number, name in enumerate(topology.TOPOLOGIES):
            rows = where == number
            found = learn_survival(x[rows, 0], background.weight[rows])
            numbers |= {f"{name}.{key}": values for key, values in found.items()}
        return numbers

    def evaluate(self, x):
        """See `Detector.evaluate`."""
        where, result = topology.topology_of(x[:, 1:]), np.zeros(len(x))
        for number, name in enumerate(topology.TOPOLOGIES):
            rows = where == number
            result[rows] = minus_log_survival(x[rows, 0], self.numbers_, f"{name}.")
        return result

    def contributions(self, x):
        """All of it is of the one number."""
        return np.pad(self.evaluate(x)[:, None], ((0, 0), (0, x.shape[1] - 1)))
