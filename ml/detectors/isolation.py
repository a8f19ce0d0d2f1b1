"""Isolation forest: how few random cuts it takes to separate an event from all others.

F. T. Liu, K. M. Ting, Z.-H. Zhou, ICDM 2008.
"""

from dataclasses import dataclass

import numpy as np

from ml.detectors.base import Detector, library, resampled
from ml.detectors.forest import Forest
from ml.detectors.twin import LEPTONS


@dataclass(frozen=True)
class Isolation:
    """Declaration."""

    name: str
    features: tuple[str, ...] = (*LEPTONS, "ht_jet", "n_jet", "n_bjet")
    trees: int = 200
    sample: int = 256  # events that grow a tree


class IsolationDetector(Detector):
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
        trees = [each.tree_ for each in grown.estimators_]
        forest = join([_depths(tree) for tree in trees])
        return forest.numbers("") | {"normal": np.array(average_path(self.config.sample))}

    def evaluate(self, x):
        """See `Detector.evaluate`."""
        forest = Forest.of(self.numbers_, "")
        # The trees compare numbers of 32 bits.
        depth = forest.predict(x.astype(np.float32).astype(float))[:, 0] / len(forest.roots)
        return 2.0 ** (-depth / self.numbers_["normal"])

    def contributions(self, x):
        """By how much the cuts on each feature shorten the path."""
        forest = Forest.of(self.numbers_, "")
        return -forest.contributions(x.astype(np.float32).astype(float)) / len(forest.roots)

    def adopt(self, numbers):
        """See `Detector.adopt`."""
        super().adopt(numbers)
        Forest.of(numbers, "").check(len(self.config.features))
        return self


def average_path(events):
    """Average number of cuts that an unsuccessful search takes in a tree of so many events."""
    n = np.asarray(events, float)
    harmonic = np.log(np.maximum(n - 1, 1)) + np.euler_gamma
    return np.where(n > 2, 2 * harmonic - 2 * (n - 1) / np.maximum(n, 1), np.where(n == 2, 1.0, 0))


def _depths(tree):
    """The arrays of one tree, whose value is the expected number of cuts that end there."""
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
    return np.where(leaf, 0, tree.feature), tree.threshold * ~leaf, left, right, value


def join(trees):
    """The Forest of (feature, threshold, left, right, value) arrays."""
    starts = np.cumsum([0, *(len(tree[0]) for tree in trees)])
    shifted = [
        (f, t, left + start, right + start, v)
        for (f, t, left, right, v), start in zip(trees, starts, strict=False)
    ]
    feature, threshold, left, right, value = map(np.concatenate, zip(*shifted, strict=True))
    return Forest(
        feature.astype(np.int32),
        threshold.astype(float),
        left.astype(np.int32),
        right.astype(np.int32),
        value.astype(float),
        starts[:-1].astype(np.int32),
        np.zeros(len(trees), np.int32),
    )
