"""Do data and simulation come from the same distribution? A classifier tries to tell them apart.

Boosted trees learn data against the expectation in folds, and each event is judged by trees that
have not seen it. What they find counts twice: how well the expectation times their likelihood ratio
describes the data (which sees small changes of the bulk), and how many events there are where data
prevail most (which sees small signals). Copies of an event are in the same fold.
"""

from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError
from analysis.stats.excess import LEAST_EVENTS, SMALLEST, p_value

FOLDS = 3
ROUNDS = 30
# Little is to be learned from few data: small trees. Equal results for any number of threads.
TREES = {
    "objective": "binary",
    "num_threads": 1,
    "num_leaves": 8,
    "learning_rate": 0.1,
    "min_data_in_leaf": 1,
    "min_sum_hessian_in_leaf": 5.0,
    "max_bin": 63,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
TAILS = (0.1, 0.01, 0.001)  # shares of the expectation


@dataclass(frozen=True)
class Classifier:
    """What trees are shown of the events of a Pool."""

    names: tuple[str, ...]  # of features
    values: np.ndarray  # (events, features) float32
    fold: np.ndarray  # (events,)
    binned: object  # a LightGBM dataset, from which bins are taken


@dataclass(frozen=True)
class Verdict:
    """What trees say about an Experiment."""

    ratio: np.ndarray  # (events,) logarithm of data over expectation by trees that did not see it
    shape: float  # statistic: twice the gain in log-likelihood by the ratio
    tail: float  # statistic: -log of the smallest p-value above the thresholds
    gains: np.ndarray  # (features,) share of each in what the trees learned


def classifier_of(pool, names):
    """The Classifier of the events of a Pool, by features (names). Raises InputError."""
    try:
        import lightgbm
    except ModuleNotFoundError:
        raise InputError("LightGBM is not installed: pip install -e '.[stats]'") from None
    if not names:
        raise InputError("the run has no features that trees could look at")
    values = np.stack([pool.columns[name] for name in names], axis=1).astype(np.float32)
    # By what tells events apart, not by their order: the same for any choice of samples.
    mixed = pool.identity[:, 2].astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    fold = (mixed >> np.uint64(40)).astype(np.int64) % FOLDS
    background = values[pool.of("background")]
    binned = lightgbm.Dataset(background, params=TREES, free_raw_data=False).construct()
    return Classifier(tuple(names), values, fold, binned)


def judge(classifier, experiment, fit):
    """The Verdict on an Experiment, its normalisations fitted."""
    import lightgbm

    factor = fit.factor
    reference = experiment.reference * factor
    counts = experiment.counts
    ratio = np.zeros(len(counts))
    gains = np.zeros(len(classifier.names))
    for fold in range(FOLDS):
        learned = classifier.fold != fold
        observed = np.flatnonzero(learned & (counts > 0))
        # Trees cannot learn from negative weights; the statistics below count them.
        expected = np.flatnonzero(learned & (reference > 0))
        if not len(observed) or not len(expected):
            continue
        weight = np.concatenate([counts[observed], reference[expected]])
        rows = np.concatenate([observed, expected])
        data = lightgbm.Dataset(
            classifier.values[rows],
            np.repeat([1.0, 0.0], [len(observed), len(expected)]),
            weight=weight,
            params=TREES,
            reference=classifier.binned,
        )
        trees = lightgbm.train(TREES, data, ROUNDS)
        judged = np.flatnonzero(~learned & ((counts > 0) | (reference != 0)))
        if len(judged):
            ratio[judged] = trees.predict(classifier.values[judged], raw_score=True, num_threads=1)
        gains += trees.feature_importance("gain")
    shape = 2 * (counts @ ratio - reference @ np.expm1(ratio))
    tail = _tail(classifier, experiment, reference, factor, ratio)
    return Verdict(ratio, float(shape), tail, gains / max(gains.sum(), 1e-300))


def _tail(classifier, experiment, reference, factor, ratio):
    """-log of the smallest p-value of the events with the largest ratios of each fold together."""
    folds = [np.flatnonzero(classifier.fold == fold) for fold in range(FOLDS)]
    orders = [events[np.argsort(-ratio[events], kind="stable")] for events in folds]
    variance = experiment.variance * factor**2
    smallest = 1.0
    for share in TAILS:
        totals = np.zeros(3)
        for order in orders:
            above = np.cumsum(reference[order])
            if not len(order) or not above[-1] > 0:
                continue
            value = ratio[order[np.argmax(above >= share * above[-1])]]
            top = order[: int(np.sum(ratio[order] >= value))]
            totals += [experiment.counts[top].sum(), reference[top].sum(), variance[top].sum()]
        data, background, square = totals
        if background**2 >= LEAST_EVENTS * square:
            smallest = min(smallest, float(p_value(data, background, np.sqrt(square))[0]))
    return float(-np.log(max(smallest, SMALLEST)))
