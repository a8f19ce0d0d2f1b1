"""With one model per fold, no background event is scored by a model that has seen it."""

import json
import os

import ml_tables
import numpy as np
import pytest

from analysis.errors import M3LError
from ml import autoencoder, ensemble
from ml.dataset import Dataset
from ml.models import MODELS
from ml.training_set import TrainingConfig

# Keras 3.15 with numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TRAINING = TrainingConfig(epochs=1, batch=200, folds=3)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return Dataset.open(ml_tables.write_output(tmp_path_factory.mktemp("folds") / "output"))


@pytest.fixture(scope="module")
def trained(dataset):
    path = dataset.folder / "models" / "small"
    return ensemble.train(dataset, path, MODELS["small"], TRAINING, folds=True)


def test_each_event_by_the_model_that_never_saw_its_fold(dataset, trained):
    events = dataset.load()
    scored = ensemble.Ensemble.load(trained.path, dataset).score(events, errors=True)
    fold = events.fold(3)
    alone = np.stack([model.score(events) for model in trained.models])
    background = events.kind == "background"
    for k, model in enumerate(trained.models):
        rows = background & (fold == k)
        assert rows.any() and not model.record_.split.training(fold[rows]).any()
        assert model.record_.split.validation != k
        np.testing.assert_array_equal(scored.score[rows], alone[k, rows])
    np.testing.assert_array_equal(scored.score, alone[fold, np.arange(len(fold))])
    assert not scored.trained_on.any()
    np.testing.assert_array_equal(scored.fold, fold)
    row = np.flatnonzero(background & (fold == 1))[:5]
    expected = trained.models[1].errors(events[row])
    for name, column in zip(trained.models[1].record_.names, expected.T, strict=True):
        np.testing.assert_array_equal(scored.errors[name][row], column)


def test_latent_vectors_come_from_the_model_of_the_fold(dataset, trained):
    events = dataset.load()[:100]
    latent = trained.encode(events)
    rows = events.fold(3) == 2
    expected = trained.models[2].encode(events[rows])
    np.testing.assert_array_equal(latent[rows, : expected.shape[1]], expected)


def test_single_model_marks_its_training_events(dataset, trained):
    model = trained.models[0]
    single = ensemble.Ensemble(trained.path, (model,))
    events = dataset.load()
    expected = (events.kind == "background") & model.record_.split.training(events.fold(3))
    np.testing.assert_array_equal(single.score(events).trained_on, expected)


@pytest.mark.slow
def test_finished_folds_of_a_killed_run_are_kept(dataset, trained, tmp_path, monkeypatch):
    plain, calls = autoencoder.RunAE.fit, []

    def fit(self, data=None, progress=False):
        calls.append(self.fold)
        if calls == [0, 1]:
            raise KeyboardInterrupt
        return plain(self, progress)

    monkeypatch.setattr(autoencoder.RunAE, "fit", fit)
    path = tmp_path / "small"
    with pytest.raises(KeyboardInterrupt):
        ensemble.train(dataset, path, MODELS["small"], TRAINING, folds=True)
    assert not path.exists()
    again = ensemble.train(dataset, path, MODELS["small"], TRAINING, folds=True)
    assert calls == [0, 1, 1, 2]
    assert os.listdir(tmp_path) == ["small"]
    for one, other in zip(again.models, trained.models, strict=True):
        assert one.record_.to_dict() == other.record_.to_dict()


def test_too_few_folds(dataset, tmp_path):
    with pytest.raises(M3LError, match="--folds 2.*at least 3"):
        config = TrainingConfig(folds=2)
        ensemble.train(dataset, tmp_path / "small", MODELS["small"], config, folds=True)


def test_models_are_listed_in_the_order_of_their_folds(tmp_path, monkeypatch):
    """The event loop takes model k for fold k; the alphabet would put fold_10 before fold_2."""

    class Trained:
        def __init__(self, dataset, path, config, training, fold):
            self.path = path

        def resume(self):
            self.path.mkdir(parents=True)
            return self

    monkeypatch.setattr(ensemble, "class_of", lambda config: Trained)
    ensemble.train(None, tmp_path / "model", None, TrainingConfig(folds=12), True)
    content = json.loads((tmp_path / "model" / "folds.json").read_text())
    assert content["models"] == [f"fold_{k}" for k in range(12)]
