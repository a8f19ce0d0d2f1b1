"""What all detectors have in common: from which events they learn, and how they are kept.

What a detector has learned is a number of arrays with names, so it is saved as plain numbers in
`numbers.npz`, beside its record `detector.json`. Nothing is pickled. docs/formats.md has the names
of the arrays; analysis/detector_scores.py computes the same scores in the event loop.
"""

import platform
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from analysis.detector_files import NUMBERS, read_detector
from analysis.errors import InputError, M3LError, listed
from analysis.files import atomic_folder, checksum, digest, write_json
from analysis.output import DETECTOR_RECORD, RETRAIN
from ml.training_set import Split, TrainingConfig, event_weight

LIBRARIES = ("numpy", "scikit-learn", "lightgbm", "keras")


@dataclass(frozen=True)
class DetectorRecord:
    """The content of `detector.json`."""

    kind: str
    config: dict  # fields of the declaration
    seed: int
    weights: str  # policy for negative weights, see ml.training_set.event_weight
    split: Split
    region: str
    names: tuple[str, ...]  # features that it needs
    inputs: dict[str, dict]  # sample: process, rows and sha256 of the table it was trained on
    versions: dict[str, str]
    signature: str  # equal for trainings of the same choices and tables

    @classmethod
    def read(cls, folder):
        """The record in a folder, a Path, and {name: array} learned. Raises InputError."""
        content, numbers = read_detector(folder)
        values = {field.name: content[field.name] for field in fields(cls)}
        values |= {"split": Split(**values["split"]), "names": tuple(values["names"])}
        return cls(**values), numbers

    def to_dict(self):
        """As plain values for `detector.json`."""
        return {"format": 1} | asdict(self)


@dataclass(frozen=True)
class Learned:
    """Events that a detector may learn from."""

    events: object  # ml.dataset.Events
    weight: np.ndarray  # (events,) not negative, mean 1


@lru_cache(maxsize=2)
def load_kind(dataset, kind):
    """All Events of a kind of a Dataset, and the tables that they come from. Raises InputError."""
    samples = dataset.of_kind(kind)
    events = dataset.load(samples)
    if not len(events):
        raise InputError(
            f"no {kind} events in {dataset.folder}, region {dataset.region}: declare a sample of "
            f"kind {kind} in the samples file"
        )
    rows = np.bincount(events.source, minlength=len(dataset.samples))
    inputs = {
        sample.name: {
            "process": sample.process,
            "rows": int(rows[dataset.samples.index(sample)]),
            "sha256": sample.sha256 or checksum(sample.path),
        }
        for sample in samples
    }
    return events, inputs


class Detector:
    """A detector of the background in `data_structure`, kept in the folder `path`.

    Children define `kind`, `learn`, `evaluate` and, where they can, `contributions`. After `fit` or
    `load`: `numbers_` is {name: array}, `record_` the DetectorRecord.
    """

    kind = ""
    learns_from = ("background",)  # kinds of samples

    def __init__(self, data_structure, path, config, training=None, fold=None):
        """Nothing is read or trained yet.

        data_structure: Dataset; None for a detector that is loaded and given its events
        path: folder of the detector; None: it is not saved
        config: its declaration, see `declared`
        training: TrainingConfig, of which seed, weights and folds count; None: the defaults
        fold: this is model number `fold` of `training.folds`; None: a single model
        """
        self.data = data_structure
        self.path = path if path is None else Path(path)
        self.config = config
        self.training = training or TrainingConfig()
        self.fold = fold
        self.network_seconds = 0.0

    # ---- of each kind

    def names(self):
        """Names of the features that it needs."""
        return self.config.features

    def learn(self, background):
        """Return {name: array}, what is to be known for `evaluate`, from the Learned background."""
        raise NotImplementedError

    def evaluate(self, x):
        """(events,) scores, larger for more anomalous, of (events, names) features."""
        raise NotImplementedError

    def contributions(self, x):
        """(events, names) by how much each feature makes the score larger."""
        raise InputError(f"a detector of kind {self.kind} cannot tell which features drive it")

    # ---- training

    def fit(self, data=None, progress=False):
        """Learn from the events of the other folds; the same choices and tables give the same.

        data: Dataset to learn from, None: that of the constructor
        progress: whether a bar is shown
        Raises `InputError` without events or for tables that lack features.
        """
        from ml.detectors.declared import json_form

        self.data, self._progress = data or self.data, progress
        self._check_features()
        inputs = self._inputs()
        self.numbers_ = self.learn(self.chosen(load_kind(self.data, "background")[0]))
        self.record_ = DetectorRecord(
            kind=self.kind,
            config=json_form(self.config),
            seed=self.training.seed,
            weights=self.training.weights,
            split=self.split,
            region=self.data.region,
            names=tuple(self.names()),
            inputs=inputs,
            versions={"python": platform.python_version()} | _versions(),
            signature=self._signature(inputs),
        )
        return self

    @property
    def split(self):
        """Which fold is not looked at."""
        if self.fold is None:
            return Split(self.training.folds, 0)
        return Split.of_model(self.fold, self.training.folds)

    @property
    def seed(self):
        """Of everything that is random in the training."""
        return [self.training.seed % 2**32, self.fold or 0]

    @property
    def left_out(self):
        """The fold that is not looked at."""
        return self.split.validation if self.fold is None else self.split.test

    def _inputs(self):
        """The tables that are learned from, see `load_kind`."""
        tables = {}
        for kind in self.learns_from:
            tables |= load_kind(self.data, kind)[1]
        return tables

    def chosen(self, events):
        """The Learned events: those outside the fold that is not looked at. Raises InputError."""
        if self.training.weights == "keep" and (events.weight < 0).any():
            raise InputError(
                f"detector {self.config.name} cannot keep negative weights: train with "
                "--weights absolute or zero"
            )
        fold = events.fold(self.split.folds)
        weight = event_weight(events.weight, self.training.weights)
        rows = (fold != self.left_out) & (weight != 0)
        if not rows.any() or not weight[rows].sum() > 0:
            raise InputError(
                f"no events with weight outside fold {self.left_out} in {self.data.folder}: "
                "simulate more background"
            )
        return Learned(events[rows], weight[rows] / weight[rows].mean())

    def _signature(self, inputs):
        from ml.detectors.declared import json_form

        return digest(
            [
                self.kind,
                json_form(self.config),
                [self.training.seed, self.training.weights, self.training.folds, self.fold],
                inputs,
                list(self.names()),
            ]
        )

    def resume(self):
        """The detector in `path` if it is what `fit` would give, else None."""
        if not (self.path / DETECTOR_RECORD).exists():
            return None
        try:
            found = load_detector(self.path, self.data)
        except M3LError:
            return None
        return found if found.record_.signature == self._signature(self._inputs()) else None

    # ---- use

    def score(self, events=None):
        """(events,) float32, larger for more anomalous; all events of the dataset if None."""
        events = self.data.load() if events is None else events
        self._check_fitted()
        return np.asarray(self.evaluate(self.columns(events)), np.float32)

    def explain(self, events):
        """Names of the features, and (events, features) by how much each raises the score."""
        self._check_fitted()
        return tuple(self.names()), self.contributions(self.columns(events))

    def columns(self, events):
        """(events, names) float64 features that it needs."""
        return events.columns(self.names()).astype(float)

    def _check_fitted(self):
        if not hasattr(self, "numbers_"):
            raise InputError(f"the detector {self.path} is not trained yet: call fit() or load()")

    def _check_features(self):
        if self.data is None:
            return
        missing = [name for name in self.names() if name not in self.data.names]
        if missing:
            raise InputError(
                f"{self.data.folder} lacks the features {listed(missing)} of detector "
                f"{self.config.name}: run run_rdf.py again, and train again"
            )

    # ---- files

    def save(self):
        """Write the folder `path`; one that was there is replaced when the new one is complete."""
        self._check_fitted()
        with atomic_folder(self.path) as folder:
            np.savez(folder / NUMBERS, **dict(sorted(self.numbers_.items())))
            content = self.record_.to_dict() | {"numbers": checksum(folder / NUMBERS)}
            write_json(folder / DETECTOR_RECORD, content)
        return self

    @classmethod
    def load(cls, path, data_structure=None):
        """The detector in the folder `path`, as the class that wrote it. Raises InputError."""
        return load_detector(path, data_structure)

    def adopt(self, numbers):
        """Take what was learned before; returns self. Raises InputError where it cannot be."""
        self.numbers_ = numbers
        return self


def load_detector(path, data_structure=None):
    """The detector in a folder, checked. Raises InputError."""
    from ml.detectors.declared import detector_of

    path = Path(path)
    record, numbers = DetectorRecord.read(path)
    training = TrainingConfig(seed=record.seed, weights=record.weights, folds=record.split.folds)
    try:
        found = detector_of(record, data_structure, path, training).adopt(numbers)
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise InputError(f"{path} holds no detector of this version ({error}): {RETRAIN}") from None
    found.record_ = record
    found._check_features()
    return found


def resampled(learned, number, random):
    """(number,) positions of Learned events, drawn by their weight, for what takes no weights."""
    return random.choice(len(learned.weight), number, p=learned.weight / learned.weight.sum())


def library(name):
    """A module that is needed for some detectors alone. Raises M3LError where it is not there."""
    try:
        return import_module(name)
    except ImportError:
        wheel = {"lightgbm": "LightGBM", "sklearn": "scikit-learn"}[name.partition(".")[0]]
        raise M3LError(
            f"{wheel} is needed for this detector: pip install '.[ml]', or choose another"
        ) from None


def _versions():
    found = {}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found
