"""Background against its structureless twin.

Boosted trees learn to tell the weighted background from pseudo-events, within each group of
topologies. Their log-odds estimate p(pseudo-event) / p(background): large where the background is
not (data-directed search by distortion, arXiv:2406.18469; anomaly-aware augmentations,
arXiv:2301.04660). The trees see only features that a recipe keeps physical, since a twin on all
features learns the artefacts of its own making.
"""

from dataclasses import dataclass

import numpy as np

from analysis import topology
from ml.detectors.base import Detector
from ml.detectors.forest import Forest, grow
from ml.detectors.recipes import pseudo_events

LEPTONS = (
    *("lepPt_0", "lepPt_1", "lepPt_2", "ht_lep", "e_T_miss", "lt_met", "n_ele"),
    *("n_ossf", "m_sfos", "m_ossf_z", "m_same_sign", "charge_sum", "m_pair_min", "m_pair_max"),
    *("m_T_unpaired", "m_T_min", "m_T_max", "m_3l", "m_T_3l", "pt_3l"),
)
LEAST = 30  # background events, and pseudo-events, that a group must have to be learned


@dataclass(frozen=True)
class Twin:
    """Declaration of a twin.

    The sizes are those with the smallest loss on held-out background and pseudo-events.
    """

    name: str
    recipe: str  # of ml.detectors.recipes
    features: tuple[str, ...] = LEPTONS  # that the trees see
    pseudo_events: int = 240_000  # to try
    most: int = 60_000  # pseudo-events of a group that are learned
    rounds: int = 300  # trees
    leaves: int = 5
    learning_rate: float = 0.05
    least_in_leaf: int = 20  # events


class TwinDetector(Detector):
    """Trees for each group of topologies."""

    kind = "twin"

    def names(self):
        """The features of the trees, and those that tell the topology."""
        return tuple(dict.fromkeys((*self.config.features, *topology.FEATURES)))

    def learn(self, background):
        """See `Detector.learn`."""
        config, numbers = self.config, {}
        made, fold = pseudo_events(
            self.data,
            config.recipe,
            config.pseudo_events,
            self.training.seed,
            self.training.weights,
            self.training.folds,
        )
        made = made[fold != self.left_out]
        groups = [self.group(events) for events in (background.events, made)]
        for number, group in enumerate(topology.GROUPS):
            rows = np.flatnonzero(groups[0] == number)
            others = np.flatnonzero(groups[1] == number)[: config.most]
            weight = background.weight[rows]
            if len(rows) < LEAST or len(others) < LEAST or not weight.sum() > 0:
                continue
            parts = [background.events[rows], made[others]]
            x = np.concatenate([part.columns(config.features) for part in parts])
            # Both classes count as much.
            weight = np.concatenate(
                [weight * (len(rows) / weight.sum()), np.full(len(others), len(rows) / len(others))]
            )
            target = np.repeat([0.0, 1.0], [len(rows), len(others)])
            forest = grow(
                x, target, weight, self.parameters(), config.rounds, int(self.training.seed)
            )
            numbers |= forest.numbers(f"{group}.")
        return numbers

    def parameters(self):
        """Of LightGBM."""
        return {
            "objective": "binary",
            "learning_rate": self.config.learning_rate,
            "num_leaves": self.config.leaves,
            "min_data_in_leaf": self.config.least_in_leaf,
            "min_sum_hessian_in_leaf": 1.0,
            "feature_fraction": 0.7,
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "max_bin": 127,
        }

    def group(self, events):
        """(events,) place in topology.GROUPS."""
        return topology.group_of(events.columns(topology.FEATURES))

    def adopt(self, numbers):
        """See `Detector.adopt`."""
        super().adopt(numbers)
        for forest in self._forests().values():
            forest.check(len(self.config.features))
        return self

    def _forests(self):
        """{place in GROUPS: Forest} of the groups that had events."""
        return {
            number: Forest.of(self.numbers_, f"{group}.")
            for number, group in enumerate(topology.GROUPS)
            if f"{group}.roots" in self.numbers_
        }

    def evaluate(self, x):
        """Log-odds; 0 in a group without background, of which nothing is known."""
        return self._in_groups(x, np.zeros(len(x)), lambda forest, y: forest.predict(y)[:, 0])

    def contributions(self, x):
        """See `Forest.contributions`."""
        width = len(self.config.features)
        found = self._in_groups(
            x, np.zeros((len(x), width)), lambda forest, y: forest.contributions(y)
        )
        return np.pad(found, ((0, 0), (0, x.shape[1] - width)))

    def _in_groups(self, x, result, function):
        names = self.names()
        group = topology.group_of(x[:, [names.index(name) for name in topology.FEATURES]])
        for number, forest in self._forests().items():
            rows = group == number
            if rows.any():
                result[rows] = function(forest, x[rows, : len(self.config.features)])
        return result
