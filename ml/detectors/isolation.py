"""Isolation forest: how few random cuts it takes to separate an event from all others.

F. T. Liu, K. M. Ting, Z.-H. Zhou, ICDM 2008.
"""

from dataclasses import dataclass

import numpy as np

from ml.detectors.base import library, resampled
from ml.detectors.forest import Forest, TreesDetector, join
from ml.detectors.twin import LEPTONS


@dataclass(frozen=True)
class Isolation:
    """Declaration."""

    name: str
    features: tuple[str, ...] = (*LEPTONS, "ht_jet", "n_jet", "n_bjet")
    trees: int = 200
    sample: int = 256  # events that grow a tree


class IsolationDetector(TreesDetector):
    """The score of the paper, between 0 and 1."""

    kind = "isolation"

    def learn(self, background):
        """See `Detector.learn`."""
        random = np.random.default_rng(self.seed)
        drawn = resampled(background, self.config.trees * self.config.sample, random)
        x = self.columns(background.events)[drawn]
        grown = (
            library("sklearn.ensemble")
            .IsolationForest(
                n_estimators=self.config.trees,
                max_samples=self.config.sample,
                random_state=int(self.training.seed) % 2**32,
            )
            .fit(x)
        )
        forest = join([_depths(each.tree_) for each in grown.estimators_])
        return forest.numbers("") | {"normal": np.array(average_path(self.config.sample))}

    def evaluate(self, x):
        """See `Detector.evaluate`."""
        # The trees compare numbers of 32 bits.
        depth = super().evaluate(x.astype(np.float32).astype(float)) / len(self.forest.roots)
        return 2.0 ** (-depth / self.numbers_["normal"])

    def contributions(self, x):
        """By how much the cuts on each feature shorten the path."""
        found = super().contributions(x.astype(np.float32).astype(float))
        return -found / len(self.forest.roots)


def average_path(events):
    """Average number of cuts that an unsuccessful search takes in a tree of so many events."""
    n = np.asarray(events, float)
    harmonic = np.log(np.maximum(n - 1, 1)) + np.euler_gamma
    return np.where(n > 2, 2 * harmonic - 2 * (n - 1) / np.maximum(n, 1), np.where(n == 2, 1.0, 0))


def _depths(tree):
    """The Forest of one tree, whose value is the expected number of cuts that end there."""
    nodes = tree.node_count
    places = np.arange(nodes)
    leaf = tree.children_left < 0
    left = np.where(leaf, places, tree.children_left)
    right = np.where(leaf, places, tree.children_right)
    depth = np.zeros(nodes)
    for node in places:  # children stand behind their parents
        if not leaf[node]:
            depth[[left[node], right[node]]] = depth[node] + 1
    value = depth + average_path(tree.n_node_samples)
    for node in places[::-1]:
        if not leaf[node]:
            share = tree.n_node_samples[[left[node], right[node]]] / tree.n_node_samples[node]
            value[node] = share @ value[[left[node], right[node]]]
    return Forest(
        feature=np.where(leaf, 0, tree.feature).astype(np.int32),
        threshold=tree.threshold * ~leaf,
        left=left.astype(np.int32),
        right=right.astype(np.int32),
        value=value,
        roots=np.zeros(1, np.int32),
        output=np.zeros(1, np.int32),
    )
