"""Many backgrounds: a classifier that tells them apart knows what none of them is.

An event that looks like no process has no large output: minus the largest one before the softmax is
the score (max-logit; arXiv:2401.08777).
"""

from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError
from ml.detectors.forest import TreesDetector, grow
from ml.detectors.twin import LEPTONS

LEAST = 30  # events that a process must have; smaller ones are left out


@dataclass(frozen=True)
class Processes:
    """Declaration."""

    name: str
    features: tuple[str, ...] = (*LEPTONS, "ht_jet", "n_jet", "n_bjet", "pt_3l_met")
    rounds: int = 60  # trees for each process
    leaves: int = 15
    learning_rate: float = 0.1


class ProcessesDetector(TreesDetector):
    """Minus the largest output, each process with the same sum of weights."""

    kind = "processes"

    def learn(self, background):
        """See `Detector.learn`. Raises InputError where fewer than two processes have events."""
        names, process = np.unique(background.events.process, return_inverse=True)
        events = np.bincount(process, minlength=len(names))
        sums = np.bincount(process, background.weight, minlength=len(names))
        kept = np.flatnonzero((events >= LEAST) & (sums > 0))
        if len(kept) < 2:
            raise InputError(
                f"detector {self.config.name} tells processes apart, but {len(kept)} in "
                f"{self.data.folder} have {LEAST} events or more"
            )
        rows = np.isin(process, kept)
        target = np.searchsorted(kept, process[rows])
        weight = background.weight[rows] / sums[process[rows]]
        forest = grow(
            self.columns(background.events[rows]),
            target,
            weight * (rows.sum() / weight.sum()),
            {
                "objective": "multiclass",
                "num_class": len(kept),
                "learning_rate": self.config.learning_rate,
                "num_leaves": self.config.leaves,
                "feature_fraction": 0.7,
                "min_data_in_leaf": 20,
                "max_bin": 127,
            },
            self.config.rounds,
            int(self.training.seed),
        )
        return forest.numbers("")

    def evaluate(self, x):
        """See `Detector.evaluate`."""
        return -self.forest.predict(x).max(axis=1)

    def contributions(self, x):
        """Those to the largest output, turned around."""
        forest = self.forest
        largest = forest.predict(x).argmax(axis=1)
        result = np.zeros(x.shape)
        for output in np.unique(largest):
            rows = largest == output
            result[rows] = -forest.contributions(x[rows], output)
        return result
