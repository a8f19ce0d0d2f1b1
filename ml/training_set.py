"""The background events that a network learns from: split, weighted, scaled, ready to be fed.

Signals and collision data never get here. Everything learned from events (which features vary, the
scaler, the normalisation of the weights) is learned from the training folds alone.
"""

import argparse
from dataclasses import asdict, dataclass, field

import numpy as np

from analysis.errors import DeclarationError, InputError, listed, positive_integer
from analysis.files import checksum
from ml.dataset import BLOCK, Dataset, Sample
from ml.feed import STREAM_BLOCK, MemoryFeed, Rows, StreamFeed
from ml.scaling import Scaling, ScalingFit

WEIGHTS = ("keep", "absolute", "zero")


def option(default, help, **how):
    """A field that is an option of the command line, too; `how` as for `add_argument`."""
    shown = "" if default is None or isinstance(default, bool) else " (%(default)s)"
    return field(default=default, metadata={"help": help + shown, **how})


@dataclass(frozen=True)
class TrainingConfig:
    """The choices of a training; with the tables, they determine the model."""

    epochs: int = option(300, "at most", type=positive_integer)
    batch: int = option(256, "events a step", type=positive_integer)
    patience: int = option(
        10, "stop after so many epochs without a better validation loss", type=positive_integer
    )
    plateau: int = 4  # epochs without one before the learning rate is halved
    least_gain: float = 1e-3  # share of the validation loss that makes an epoch a better one
    weights: str = option(  # see event_weight
        "absolute",
        "what negative event weights become in training; in yields they always count as they are",
        choices=WEIGHTS,
    )
    mask_absent: bool = option(
        False,
        "leave the cells of missing objects out of scaler, loss and score",
        action="store_true",
    )
    folds: int = 5  # the events are split into this many
    seed: int = option(1, "of initial weights, order of events and noise", type=int)
    precision: str = option(
        "float32", "of the arithmetic in training", choices=("float32", "mixed_bfloat16")
    )
    jit: bool | None = option(
        None, "compile with XLA (default: on a GPU)", action=argparse.BooleanOptionalAction
    )
    steps_per_call: int | None = option(
        None,
        "training steps without return to Python (default: up to 8, on a GPU up to 64)",
        type=positive_integer,
        metavar="N",
    )
    memory_gib: float = option(
        4.0, "stream larger training sets from the tables", type=float, metavar="GIB"
    )
    tensorboard: bool = option(False, "also write logs for TensorBoard", action="store_true")

    def to_dict(self):
        """As plain values for a JSON file."""
        return asdict(self)


@dataclass(frozen=True)
class Split:
    """Which folds of the background are for what; the rest is trained on."""

    folds: int
    validation: int  # decides when to stop
    test: int | None = None  # not looked at in any way

    @classmethod
    def of_model(cls, number, folds):
        """The split of one of `folds` models, or (None) of a single one with one validation fold.

        Model k leaves fold k alone altogether and stops by the next one: an event that chose when
        to stop has been seen.
        """
        if number is None:
            return cls(folds, 0)
        return cls(folds, (number + 1) % folds, number)

    def training(self, fold):
        """(events,) bool: events of the training folds."""
        return (fold != self.validation) & (fold != (-1 if self.test is None else self.test))


def is_better(loss, best, gain):
    """Whether a validation loss is smaller than the best one by the share `gain` of its size."""
    return best is None or loss < best - gain * abs(best)


def kept_epoch(losses, gain):
    """The epoch, from 1, whose weights early stopping keeps, of a list of validation losses."""
    best, kept = None, 1
    for epoch, loss in enumerate(losses, 1):
        if is_better(loss, best, gain):
            best, kept = loss, epoch
    return kept


def event_weight(weight, policy):
    """Weights in training of events with (events,) generator `weight`.

    - `absolute`: |w|. Stable, and every event teaches; regions with many negative weights count
      more than they should.
    - `zero`: events with negative weight are left out; the same bias, from fewer events.
    - `keep`: w. Right on average, but the loss has no lower bound where the negative weights
      win, so look at the training curve.
    """
    if policy == "absolute":
        return np.abs(weight)
    if policy == "zero":
        return np.maximum(weight, 0.0)
    if policy == "keep":
        return weight
    raise DeclarationError(
        f"unknown treatment of negative weights '{policy}': choose {listed(WEIGHTS)}"
    )


@dataclass(frozen=True)
class Part:
    """Size of the training or validation events."""

    events: int  # with a training weight other than 0
    sum_of_weights: float  # of the training weights


@dataclass(frozen=True)
class TrainingSet:
    """The background of one split, with all that was learned from its training events."""

    dataset: Dataset  # restricted to the features that vary
    samples: tuple[Sample, ...]
    config: TrainingConfig
    split: Split
    scaling: Scaling
    dropped: tuple[str, ...]  # features that never vary
    train: Part
    validation: Part
    inputs: dict[str, dict]  # sample: process, rows and sha256 of its table

    @property
    def fill(self):
        """(features,) what the network sees for the cell of a missing object: 0, scaled."""
        return self.scaling.transform(np.zeros((1, len(self.dataset.features))))[0]

    def training_blocks(self):
        """Yield the Events that are trained on, in GeV, and their (events,) weights, in blocks."""
        for events in self.dataset.blocks(self.samples):
            yield _chosen(events, self.split, self.config, True)

    def feeds(self):
        """Feeds of training and validation events, in memory if they fit."""
        need = (self.train.events + self.validation.events) * 4 * len(self.dataset.features)
        if need > self.config.memory_gib * 2**30:
            return self._stream(True), self._stream(False)
        batch, seed = self.config.batch, self.config.seed
        return tuple(MemoryFeed(rows, self.fill, batch, seed) for rows in self._load())

    def _load(self):
        features = len(self.dataset.features)
        both = [
            Rows(np.empty((part.events, features), np.float32), np.empty(part.events, np.float32))
            for part in (self.train, self.validation)
        ]
        filled = [0, 0]
        for events in self.dataset.blocks(self.samples):
            for which, training in enumerate((True, False)):
                rows = self._prepare(events, training)
                here = slice(filled[which], filled[which] + len(rows))
                both[which].x[here], both[which].weight[here] = rows.x, rows.weight
                filled[which] = here.stop
        return both[0], both[1]

    def _stream(self, training):
        blocks = [
            (sample, start, min(start + STREAM_BLOCK, rows))
            for sample in self.samples
            for rows in [self.inputs[sample.name]["rows"]]
            for start in range(0, rows, STREAM_BLOCK)
        ]

        def read(block):
            sample, start, stop = block
            with sample.open() as table:
                return self._prepare(self.dataset.read(table, sample, start, stop), training)

        part = self.train if training else self.validation
        return StreamFeed(blocks, read, part.events, self.fill, self.config.batch, self.config.seed)

    def _prepare(self, events, training):
        """The training (or validation) rows among `events`, scaled, weights of mean 1."""
        part = self.train if training else self.validation
        events, weight = _chosen(events, self.split, self.config, training)
        x = self.scaling.transform(events.features)
        if self.config.mask_absent:
            x[~self.dataset.present(events.counts)] = np.nan
        return Rows(x, (weight * (part.events / part.sum_of_weights)).astype(np.float32))


def learn(dataset, config, split, scaler):
    """Go once through the background of `dataset` and learn what training needs to know.

    Raises `InputError` if there is no background, fewer training events than a batch, no validation
    event, or a feature or weight that is not finite.
    """
    samples = dataset.of_kind("background")
    if not samples:
        raise InputError(
            f"no sample of kind background in {dataset.folder}: a network learns from simulated "
            "background; declare one in the samples file"
        )
    rows = {sample.name: dataset.rows(sample) for sample in samples}
    fit = ScalingFit(
        scaler, tuple(feature.unit for feature in dataset.features), sum(rows.values())
    )
    low = np.full(len(dataset.features), np.inf)
    high = -low
    parts = {True: Part(0, 0.0), False: Part(0, 0.0)}
    for events in dataset.blocks(samples, BLOCK):
        for training, part in parts.items():
            chosen, weight = _chosen(events, split, config, training)
            parts[training] = Part(part.events + len(weight), part.sum_of_weights + weight.sum())
            if training and len(weight):
                x = chosen.features
                if config.mask_absent:
                    x = np.where(dataset.present(chosen.counts), x, np.nan)
                low, high = np.fmin(low, np.fmin.reduce(x)), np.fmax(high, np.fmax.reduce(x))
                fit.partial_fit(x, weight)
    _enough(parts, config, dataset)
    varies = high > low
    if not varies.any():
        raise InputError(
            f"no feature of {dataset.folder} varies in its background: nothing to learn"
        )
    kept = [name for name, keep in zip(dataset.names, varies, strict=True) if keep]
    return TrainingSet(
        dataset=dataset.with_features(kept),
        samples=samples,
        config=config,
        split=split,
        scaling=fit.result()[varies],
        dropped=tuple(name for name in dataset.names if name not in kept),
        train=parts[True],
        validation=parts[False],
        inputs={
            s.name: {"process": s.process, "rows": rows[s.name], "sha256": checksum(s.path)}
            for s in samples
        },
    )


def _chosen(events, split, config, training):
    """The events of one part that count, and their training weights."""
    fold = events.fold(split.folds)
    weight = event_weight(events.weight, config.weights)
    rows = split.training(fold) if training else fold == split.validation
    rows &= weight != 0
    return events[rows], weight[rows]


def _enough(parts, config, dataset):
    for training, name in ((True, "training"), (False, "validation")):
        part = parts[training]
        least = config.batch if training else 1
        if part.events < least:
            raise InputError(
                f"{part.events} {name} events in {dataset.folder}, fewer than "
                f"{'a batch of ' if training else ''}{least}: "
                + ("choose a smaller --batch, or " if training and part.events else "")
                + "simulate more background"
            )
        if not part.sum_of_weights > 0:
            raise InputError(
                f"the weights of the {name} events in {dataset.folder} add up to "
                f"{part.sum_of_weights:.3g}: train with --weights absolute"
            )
