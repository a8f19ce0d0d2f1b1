"""One model, or one per fold, and who may score which event.

A network knows the events it was trained on better than others, so their scores say nothing. With
one model, events of its training folds are marked as such. With one per fold, each event is scored
by the model that left its fold alone. That holds for signal and data too, though no model has seen
them: a mean over the models would fluctuate less than the scores of the background, so that fewer
events would reach its tail.
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from analysis.errors import DeclarationError, InputError, listed, near_miss
from analysis.files import replace_folder, restore_folder, write_json
from analysis.output import DETECTOR_RECORD, MODEL_FOLDS, RETRAIN, single_models
from ml.detectors.base import load_detector
from ml.detectors.declared import DETECTORS, detector_for
from ml.models import MODELS, ModelConfig
from ml.training_set import Split


@dataclass(frozen=True)
class Scored:
    """Scores of some events."""

    score: np.ndarray  # (events,) float32, larger is more anomalous
    fold: np.ndarray  # (events,) int8, of the event, see ml.dataset.fold_of
    trained_on: np.ndarray  # (events,) bool, a model that gave the score has learned this event
    errors: dict | None  # {name: (events,) float32} as of `explain`; NaN: a model lacks it


@dataclass(frozen=True)
class Ensemble:
    """Models to score with: a single one, or model k for the events of fold k."""

    path: Path
    models: tuple  # of RunAE or Detector

    @classmethod
    def load(cls, path, dataset=None):
        """The model or models in the folder `path`; raises `InputError` as `load` does."""
        path = restore_folder(Path(path))
        models = tuple(load(folder, dataset) for folder in single_models(path))
        splits = [model.record_.split for model in models]
        number = len(models)
        if number > 1 and splits != [Split.of_model(k, number) for k in range(number)]:
            raise InputError(f"{path} has not one model for each of its folds: {RETRAIN}")
        return cls(path, models)

    @property
    def features(self):
        """Names of the features that any of the models uses, in the order of the first."""
        return tuple(dict.fromkeys(name for m in self.models for name in m.record_.names))

    @property
    def network_seconds(self):
        """Time spent inside the networks so far."""
        return sum(model.network_seconds for model in self.models)

    def score(self, events, errors=False):
        """Score `events`, each with the model that may; `errors`: per feature too."""
        split = self.models[0].record_.split
        fold = events.fold(split.folds)
        parts = self._parts(fold)
        if len(self.models) == 1:
            known = np.isin(events.sample, list(self.models[0].record_.inputs))
            trained_on = known & split.training(fold)
        else:
            trained_on = np.zeros(len(events), bool)
        scores = np.full(len(events), np.nan, np.float32)
        for rows, model in zip(parts, self.models, strict=True):
            scores[rows] = model.score(events[rows])
        return Scored(
            score=scores,
            fold=fold,
            trained_on=trained_on,
            errors=self._errors(events, parts) if errors else None,
        )

    def encode(self, events):
        """(events, latent) float32, by the model of the event's fold: latent spaces do not mix."""
        if not hasattr(self.models[0], "encode"):
            raise InputError(f"{self.path} has no latent space: it is no autoencoder")
        fold = events.fold(self.models[0].record_.split.folds)
        latent = [model.model_.output["latent"].shape[1] for model in self.models]
        values = np.full((len(events), max(latent)), np.nan, np.float32)
        for k, model in enumerate(self.models):
            rows = fold == k if len(self.models) > 1 else slice(None)
            values[rows, : latent[k]] = model.encode(events[rows])
        return values

    def opinions(self, events):
        """{name: (events,)} what each member and part of a portfolio says; {} of other models."""
        if not hasattr(self.models[0], "opinions"):
            return {}
        found = {}
        parts = self._parts(events.fold(self.models[0].record_.split.folds))
        for rows, model in zip(parts, self.models, strict=True):
            for name, values in model.opinions(events[rows]).items():
                found.setdefault(name, np.full(len(events), np.nan))[rows] = values
        return found

    def _parts(self, fold):
        """For each model which of the events, of (events,) folds, are its own to score."""
        if len(self.models) == 1:
            return [np.ones(len(fold), bool)]
        return [fold == model.record_.split.test for model in self.models]

    def _errors(self, events, parts):
        errors = {}
        for rows, model in zip(parts, self.models, strict=True):
            names, values = model.explain(events[rows])
            for name, column in zip(names, values.T, strict=True):
                nothing = np.full(len(events), np.nan, np.float32)
                errors.setdefault(name, nothing)[rows] = column
        return errors


def load(folder, dataset=None):
    """The autoencoder or other detector in a folder, a Path. Raises InputError."""
    if (folder / DETECTOR_RECORD).exists():
        return load_detector(folder, dataset)
    from ml.autoencoder import RunAE  # TensorFlow takes seconds

    return RunAE.load(folder, dataset)


def find_declared(name):
    """The declared detector or network of this name; `DeclarationError` names the nearest."""
    if name in DETECTORS:
        return DETECTORS[name]
    if name in MODELS:
        return MODELS[name]
    known = [*DETECTORS, *MODELS]
    choice = near_miss(name, known) or f": choose from {listed(known, 30)}"
    raise DeclarationError(f"unknown detector '{name}'{choice}")


def class_of(config):
    """The class that trains a ModelConfig or the declaration of another detector."""
    if not isinstance(config, ModelConfig):
        return detector_for(config)
    from ml.autoencoder import runner

    return runner(config)


def learn_in_folds(dataset, config, training):
    """The Ensemble of a declared detector, no network, that is nowhere saved."""
    models = [
        class_of(config)(dataset, None, config, training, k).fit() for k in range(training.folds)
    ]
    return Ensemble(Path(config.name), tuple(models))


def train(dataset, path, config, training, folds, progress=False):
    """Train and save `path`, a Path: one model, or (`folds`) one per fold.

    dataset: Dataset; config: ModelConfig or another declaration; training: TrainingConfig
    Models of folds that a killed run had finished are taken over if they were trained with the same
    choices on the same tables. `progress` shows a bar per model. Returns the Ensemble.
    """
    kind = class_of(config)
    restore_folder(path)
    if not folds:
        model = kind(dataset, path, config, training).fit(progress=progress).save()
        return Ensemble(path, (model,))
    if training.folds < 3:
        raise DeclarationError(
            f"--folds {training.folds}: at least 3 are needed, to train, to stop and to score"
        )
    workshop = path.with_name(f".{path.name}.folds")
    models = []
    # Networks show bars of their own.
    quiet = None if progress and not isinstance(config, ModelConfig) else True
    for k in tqdm(range(training.folds), path.name, unit="fold", leave=False, disable=quiet):
        model = kind(dataset, workshop / f"fold_{k}", config, training, k)
        models.append(model.resume() or model.fit(progress=progress).save())
    wanted = {model.path.name for model in models}
    for other in workshop.iterdir():
        if other.name not in wanted:
            shutil.rmtree(other) if other.is_dir() else os.unlink(other)
    # Model k is that of fold k: the order of the alphabet would put 10 before 2.
    names = [model.path.name for model in models]
    write_json(workshop / MODEL_FOLDS, {"format": 1, "models": names})
    replace_folder(workshop, path)
    for model in models:
        model.path = path / model.path.name
    return Ensemble(path, tuple(models))
