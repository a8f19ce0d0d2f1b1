"""The supervised bound: what trees reach that are shown the signal, which no search can do."""

from importlib.util import find_spec

import numpy as np

from analysis.errors import InputError
from ml.dataset import concatenate
from ml.detectors.forest import FIXED

FOLDS = 5
ROUNDS = 100
TREES = FIXED | {
    "objective": "binary",
    "learning_rate": 0.1,
    "num_leaves": 15,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.3,
    "max_bin": 63,
}
CODES = {"flcomp": 6}  # columns that are codes, with their number of values from 0


def is_possible():
    """Whether LightGBM is installed."""
    return find_spec("lightgbm") is not None


def inputs_of(events):
    """(events, inputs) float32: the features, one input per value of those that are codes."""
    columns = []
    for name, column in zip(events.names, events.features.T, strict=True):
        if name in CODES:
            columns += [column == value for value in range(CODES[name])]
        else:
            columns.append(column)
    return np.stack(columns, axis=1).astype(np.float32)


def supervised_scores(background, signal, seed, folds=FOLDS, rounds=ROUNDS):
    """Scores of weighted background and signal by trees that tell them apart.

    background, signal: Events. Returns (background events,) and (signal events,) log-odds; each
    event is scored by trees that were grown without its fold. Weights count with their size, and
    both classes as much. Raises InputError where a class has no events to learn from.
    """
    import lightgbm

    events = concatenate([background, signal])
    target = np.repeat([0.0, 1.0], [len(background), len(signal)])
    x, fold = inputs_of(events), events.fold(folds)
    x = x[:, x.min(axis=0, initial=np.inf) < x.max(axis=0, initial=-np.inf)]
    scores = np.empty(len(events))
    for k in range(folds):
        learned, scored = fold != k, fold == k
        if not scored.any():
            continue
        weight = np.abs(events.weight)
        for kind in (0.0, 1.0):
            here = learned & (target == kind)
            if not weight[here].sum() > 0:
                raise InputError(
                    f"no supervised bound: no {'signal' if kind else 'background'} events outside "
                    f"fold {k} of {folds}"
                )
            weight[here] *= learned.sum() / 2 / weight[here].sum()
        data = lightgbm.Dataset(x[learned], target[learned], weight=weight[learned])
        trees = lightgbm.train(TREES | {"seed": seed}, data, rounds)
        scores[scored] = trees.predict(x[scored], raw_score=True)
    return scores[: len(background)], scores[len(background) :]
