"""Trees as plain numbers: grown by LightGBM or scikit-learn, evaluated without them.

A node sends an event to the left if its feature is at most the threshold. Nodes of all trees stand
in one row of arrays; a leaf is its own child.
"""

from dataclasses import dataclass

import numpy as np

from analysis.detector_files import trees_end
from analysis.errors import InputError
from ml.detectors.base import Detector, library

# Equal results for equal input, with any number of threads of one build of LightGBM. One is
# fastest: where others want the cores, too, threads that wait for each other took ten times as much
# processor time.
FIXED = {
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


@dataclass(frozen=True)
class Forest:
    """Trees; the value of an event is the sum over those of an output."""

    feature: np.ndarray  # (nodes,) int32 column that is looked at; 0 in leaves
    threshold: np.ndarray  # (nodes,) float64
    left: np.ndarray  # (nodes,) int32 node
    right: np.ndarray  # (nodes,) int32
    value: np.ndarray  # (nodes,) float64 of the tree if it ended there
    roots: np.ndarray  # (trees,) int32
    output: np.ndarray  # (trees,) int32 that the tree adds to

    @classmethod
    def of(cls, numbers, prefix):
        """The forest whose arrays have names with this prefix."""
        return cls(*(numbers[f"{prefix}{name}"] for name in cls.__dataclass_fields__))

    def numbers(self, prefix):
        """{name: array}, the inverse of `of`."""
        return {f"{prefix}{name}": getattr(self, name) for name in self.__dataclass_fields__}

    def check(self, features):
        """Raise InputError unless every path through the trees ends."""
        if not trees_end(**vars(self), features=features):
            raise InputError("a tree leads nowhere")

    @property
    def outputs(self):
        """Number of outputs."""
        return int(self.output.max()) + 1 if len(self.output) else 1

    def predict(self, x):
        """(events, outputs) sums, of (events, features)."""
        sums = np.zeros((len(x), self.outputs))
        for root, output in zip(self.roots, self.output, strict=True):
            sums[:, output] += self.value[self._walk(x, root)]
        return sums

    def contributions(self, x, output=0):
        """(events, features) by how much the decisions on each feature change an output.

        The change of the tree's value at every decision counts for the feature that is looked at
        (A. Saabas, 2014); with the trees' values without any decision they add up to the output.
        """
        changes = np.zeros(x.shape)
        rows = np.arange(len(x))
        for root in self.roots[self.output == output]:
            node = np.full(len(x), root)
            while (active := self.left[node] != node).any():
                here, at = node[active], rows[active]
                feature = self.feature[here]
                left = x[at, feature] <= self.threshold[here]
                child = np.where(left, self.left[here], self.right[here])
                changes[at, feature] += self.value[child] - self.value[here]
                node[active] = child
        return changes

    def _walk(self, x, root):
        """(events,) leaf of each event in a tree."""
        node = np.full(len(x), root)
        rows = np.arange(len(x))
        while len(rows):
            here = node[rows]
            left = x[rows, self.feature[here]] <= self.threshold[here]
            child = np.where(left, self.left[here], self.right[here])
            node[rows] = child
            rows = rows[child != self.left[child]]
        return node


class TreesDetector(Detector):
    """A detector whose arrays are one Forest; its only output is the score."""

    @property
    def forest(self):
        """What was learned."""
        return Forest.of(self.numbers_, "")

    def evaluate(self, x):
        """See `Detector.evaluate`."""
        return self.forest.predict(x)[:, 0]

    def contributions(self, x):
        """See `Forest.contributions`."""
        return self.forest.contributions(x)

    def adopt(self, numbers):
        """See `Detector.adopt`."""
        super().adopt(numbers)
        self.forest.check(len(self.config.features))
        return self


def join(forests):
    """The Forest of all trees of several."""
    starts = np.cumsum([0, *(len(forest.feature) for forest in forests)])

    def together(name, shift=0):
        parts = [getattr(forest, name) for forest in forests]
        moved = [part + shift * start for part, start in zip(parts, starts, strict=False)]
        return np.concatenate(moved).astype(parts[0].dtype)

    nodes = {name: together(name, shift=1) for name in ("left", "right", "roots")}
    others = {name: together(name) for name in ("feature", "threshold", "value", "output")}
    return Forest(**nodes, **others)


def grow(x, target, weight, parameters, rounds, seed):
    """Boosted trees of LightGBM for (events, features), targets and weights, as a Forest.

    parameters: of LightGBM, beside FIXED. Raises M3LError where it is not installed.
    """
    lightgbm = library("lightgbm")
    data = lightgbm.Dataset(np.asarray(x, np.float32), target, weight=weight)
    booster = lightgbm.train(FIXED | parameters | {"seed": seed}, data, rounds)
    return forest_of(booster.dump_model())


def forest_of(model):
    """The Forest of what LightGBM dumps."""
    trees = model["tree_info"]
    outputs = model["num_tree_per_iteration"]
    columns = {name: [] for name in ("feature", "threshold", "left", "right", "value")}

    def add(node):
        place = len(columns["feature"])
        inner = "split_index" in node
        columns["feature"].append(node["split_feature"] if inner else 0)
        columns["threshold"].append(float(node["threshold"]) if inner else 0.0)
        columns["value"].append(float(node["internal_value" if inner else "leaf_value"]))
        columns["left"].append(place)
        columns["right"].append(place)
        if inner:
            columns["left"][place] = add(node["left_child"])
            columns["right"][place] = add(node["right_child"])
        return place

    roots = [add(tree["tree_structure"]) for tree in trees]
    kinds = {"threshold": np.float64, "value": np.float64}
    return Forest(
        **{name: np.array(c, kinds.get(name, np.int32)) for name, c in columns.items()},
        roots=np.array(roots, np.int32),
        output=np.array([number % outputs for number in range(len(trees))], np.int32),
    )
