"""Training is reproducible and heeds the weights; saved models are whole or refused."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import ml_tables
import numpy as np
import pytest
from conftest import slow

from analysis.errors import M3LError, OutputError
from analysis.files import checksum
from ml import autoencoder, backend, models
from ml.autoencoder import RunAE, RunVAE
from ml.dataset import Dataset
from ml.training_set import TrainingConfig

# Keras 3.15 with numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ROOT = Path(__file__).parent.parent
TRAINING = TrainingConfig(epochs=3, batch=100)
FILES = ("autoencoder.keras", "model.json", "network.json", "network.bin", "log.csv")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return Dataset.open(ml_tables.write_output(tmp_path_factory.mktemp("ae") / "output"))


@pytest.fixture(scope="module")
def trained(dataset):
    return RunAE(dataset, dataset.folder / "models" / "small", training=TRAINING).fit().save()


@pytest.fixture
def copy(trained, tmp_path):
    """The folder of a trained model, to damage."""
    shutil.copytree(trained.path, tmp_path / "copy")
    return tmp_path / "copy"


def weights(model):
    return np.concatenate([w.ravel() for w in model.model_.get_weights()])


def test_the_same_training_gives_the_same_bytes(dataset, trained, tmp_path):
    again = RunAE(dataset, tmp_path / "small", training=TRAINING).fit().save()
    for name in FILES:
        assert checksum(again.path / name) == checksum(trained.path / name), name
    assert sorted(os.listdir(again.path)) == sorted(FILES)
    other = RunAE(dataset, tmp_path / "seed", training=replace(TRAINING, seed=2)).fit()
    assert not np.array_equal(weights(other), weights(again))


def test_it_learns(trained):
    history = trained.record_.history
    assert history["val_loss"][-1] < 0.9 * history["val_loss"][0]
    assert trained.record_.best_epoch == 1 + np.argmin(history["val_loss"])


@pytest.mark.slow
@pytest.mark.parametrize("network", ["small", "vae_small"])
def test_training_as_on_a_gpu(dataset, tmp_path, monkeypatch, network):
    """Compiled by XLA, with many steps in a call: the same but for rounding, and other noise."""

    def trained(name):
        config = models.find_network(network)
        return RunAE(dataset, tmp_path / name, config, TRAINING).fit()

    plain = trained("plain")
    monkeypatch.setattr(backend, "accelerated", lambda: True)
    compiled = trained("compiled")
    losses, expected = (model.record_.history["val_loss"] for model in (compiled, plain))
    assert losses == pytest.approx(expected, rel=0.1 if network == "vae_small" else 1e-3)
    assert not np.array_equal(weights(compiled), weights(plain))


def reweighted(tmp_path, name, change):
    folder = ml_tables.write_output(tmp_path / name, ml_tables.SAMPLES, change)
    return RunAE(Dataset.open(folder), tmp_path / f"model_{name}", training=TRAINING).fit()


def test_weights_matter(trained, tmp_path):
    def both(name, frame):
        return frame.assign(wgt_SG=2 * frame["wgt_SG"])

    def one(name, frame):
        return both(name, frame) if name == "ttbar" else frame

    def unit(name, frame):
        return frame.assign(wgt_SG=1.0)

    # A common factor, like the luminosity, changes nothing at all; anything else does.
    assert np.array_equal(weights(reweighted(tmp_path, "both", both)), weights(trained))
    for name, change in (("one", one), ("unit", unit)):
        assert not np.allclose(weights(reweighted(tmp_path, name, change)), weights(trained))


def test_signal_and_data_are_not_looked_at(trained, tmp_path):
    def spoil(name, frame):
        return frame * 0 if name in ("N_500", "data") else frame

    assert np.array_equal(weights(reweighted(tmp_path, "spoilt", spoil)), weights(trained))


def test_killed_training_goes_on_to_the_same_model(dataset, trained, tmp_path, monkeypatch):
    def killed(self, epoch, logs=None):
        on_epoch_end(self, epoch, logs)
        if epoch == 1:
            raise KeyboardInterrupt

    on_epoch_end = autoencoder.Checkpoint.on_epoch_end
    model = RunAE(dataset, tmp_path / "small", training=TRAINING)
    with monkeypatch.context() as patch:
        patch.setattr(autoencoder.Checkpoint, "on_epoch_end", killed)
        with pytest.raises(KeyboardInterrupt):
            model.fit()
    fitted = []
    plain = autoencoder.Checkpoint.on_epoch_end
    monkeypatch.setattr(
        autoencoder.Checkpoint,
        "on_epoch_end",
        lambda self, epoch, logs: (fitted.append(epoch), plain(self, epoch, logs)),
    )
    model.fit().save()
    assert fitted == [2]
    for name in FILES:
        assert checksum(model.path / name) == checksum(trained.path / name), name
    assert os.listdir(tmp_path) == ["small"]


def test_resumed_callbacks_stop_where_they_would_have(dataset, tmp_path, monkeypatch):
    """Patience and learning rate go on counting; the noise of a variational model, too."""
    training = replace(TRAINING, epochs=9, patience=2, plateau=1, batch=500)
    config = replace(models.MODELS["vae_small"], learning_rate=1.0)
    whole = RunVAE(dataset, tmp_path / "whole", config, training).fit()
    assert len(whole.record_.history["loss"]) < 9  # stopped early
    plain = autoencoder.Checkpoint.on_epoch_end

    def killed(self, epoch, logs=None):
        plain(self, epoch, logs)
        raise KeyboardInterrupt

    monkeypatch.setattr(autoencoder.Checkpoint, "on_epoch_end", killed)
    pieces = RunVAE(dataset, tmp_path / "pieces", config, training)
    for _ in whole.record_.history["loss"]:
        with pytest.raises(KeyboardInterrupt):
            pieces.fit()
    pieces.fit()  # nothing left to train
    assert pieces.record_.history == whole.record_.history
    assert np.array_equal(weights(pieces), weights(whole))


def test_checkpoint_of_another_training_is_not_used(dataset, trained, tmp_path, monkeypatch):
    path = tmp_path / "small"
    with monkeypatch.context() as patch:
        patch.setattr(RunAE, "_adopt", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            RunAE(dataset, path, training=replace(TRAINING, seed=5)).fit()
    assert (tmp_path / ".small.training" / "checkpoint.npz").exists()
    model = RunAE(dataset, path, training=TRAINING).fit()
    assert np.array_equal(weights(model), weights(trained))


def test_divergence_is_reported(dataset, tmp_path):
    config = replace(models.MODELS["small"], learning_rate=1e30)
    with pytest.raises(M3LError, match="diverged in epoch 1.*--learning-rate"):
        RunAE(dataset, tmp_path / "small", config, TRAINING).fit()


def test_streamed_training_learns_as_well(dataset, trained, tmp_path):
    model = RunAE(dataset, tmp_path / "s", training=replace(TRAINING, memory_gib=0.0)).fit()
    loss, streamed = trained.record_.history["val_loss"][-1], model.record_.history["val_loss"][-1]
    assert streamed == pytest.approx(loss, rel=0.05)


def test_scores_do_not_depend_on_company(dataset, trained):
    events = dataset.load()
    scores = trained.score(events)
    order = np.random.default_rng(0).permutation(len(events))
    np.testing.assert_array_equal(trained.score(events[order]), scores[order])
    for rows in (slice(0, 1), slice(17, 18), slice(100, 350), slice(0, 0)):
        np.testing.assert_array_equal(trained.score(events[rows]), scores[rows])
    np.testing.assert_array_equal(trained.score(), scores)


def test_outputs_fit_together(dataset, trained):
    events = dataset.load()[::7]
    record = trained.record_
    errors = trained.errors(events)
    np.testing.assert_allclose(
        trained.score(events), np.log10(errors.mean(1)), rtol=1e-4, atol=1e-5
    )
    scaled = record.scaling.transform(events.columns(record.names))
    np.testing.assert_allclose(trained.encode(events), trained.encoder_(scaled), atol=1e-5)
    again = record.scaling.transform(trained.reconstruct(events))
    np.testing.assert_allclose((again - scaled) ** 2, errors, atol=2e-2, rtol=1e-2)


def test_features_are_found_by_name(dataset, trained):
    events = dataset.load()[:50]
    turned = dataset.with_features(dataset.names[::-1]).load()[:50]
    np.testing.assert_array_equal(trained.score(turned), trained.score(events))


def test_keras_alone_takes_raw_features(dataset, trained):
    """With our layers known, the file needs nothing else: no scaler, no list of columns."""
    events = dataset.load()[:50]
    model = keras.models.load_model(trained.path / "autoencoder.keras")
    names = json.loads((trained.path / "model.json").read_text())["features"]
    x = events.columns([feature["name"] for feature in names])
    np.testing.assert_allclose(model(x)["score"], trained.score(events), rtol=1e-5)
    assert {"encoder", "decoder"} <= {layer.name for layer in model.layers}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", ["small", slow("vae_big")])
def test_loading_gives_the_same_model(dataset, tmp_path, name, masked):
    config = models.MODELS[name]
    training = replace(TRAINING, epochs=1, mask_absent=masked)
    kind = autoencoder.runner(config)
    model = kind(dataset, tmp_path / name, config, training).fit().save()
    loaded = RunAE.load(tmp_path / name, dataset)
    assert type(loaded) is kind is (RunVAE if name == "vae_big" else RunAE)
    events = dataset.load()[:500]
    np.testing.assert_array_equal(loaded.score(events), model.score(events))
    assert loaded.record_.to_dict() == model.record_.to_dict()
    np.testing.assert_array_equal(model.score(events), model.score(events))  # no noise
    if masked:
        none = replace(events, counts=events.counts * 0)
        absent = [f.name.startswith("e_T_miss") or not f.objects for f in model.record_.features]
        errors = model.errors(none)
        assert not errors[:, ~np.array(absent)].any() and errors[:, absent].all()
    loaded.path = tmp_path / "again"
    loaded.save()
    assert checksum(tmp_path / "again" / "network.bin") == checksum(tmp_path / name / "network.bin")


def test_record_tells_all(dataset, trained):
    record = json.loads((trained.path / "model.json").read_text())
    assert record["inputs"]["WZ"]["sha256"] == checksum(dataset.named(["WZ"])[0].path)
    assert set(record["inputs"]) == {"WZ", "ttbar", "empty"}
    assert record["features"][0]["name"] == "e_T_miss" and record["features"][0]["unit"] == "GeV"
    assert "m_ele_4_muo_4" in record["dropped"]
    assert record["training"]["weights"] == "absolute" and record["scaler"] == "standard"
    assert record["split"] == {"folds": 5, "validation": 0, "test": None}
    assert len(record["history"]["val_loss"]) == 3 and "keras" in record["versions"]
    curve = (trained.path / "log.csv").read_text().splitlines()
    assert curve[0].startswith("epoch,") and len(curve) == 4


def test_failed_save_leaves_the_previous_model(trained, copy, monkeypatch):
    before = {name: checksum(copy / name) for name in FILES}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(autoencoder, "write_network", full)
    monkeypatch.setattr(trained, "path", copy)
    with pytest.raises(OutputError, match="No space"):
        trained.save()
    assert {name: checksum(copy / name) for name in os.listdir(copy)} == before
    assert os.listdir(copy.parent) == ["copy"]


def refused(path, dataset=None):
    with pytest.raises(M3LError) as caught:
        RunAE.load(path, dataset)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_damaged_models_are_refused(copy):
    keras_file = copy / "autoencoder.keras"
    content = keras_file.read_bytes()
    keras_file.write_bytes(content[:-100])
    assert "autoencoder.keras is damaged" in refused(copy)
    keras_file.unlink()
    assert "autoencoder.keras is missing" in refused(copy)
    record = json.loads((copy / "model.json").read_text())
    (copy / "model.json").write_text(json.dumps(record)[:-10])
    assert "not valid JSON" in refused(copy)
    del record["split"]
    (copy / "model.json").write_text(json.dumps(record))
    assert "not complete" in refused(copy)
    shutil.rmtree(copy)
    assert "no model.json" in refused(copy)


def test_unreadable_keras_file_with_the_right_checksum(copy):
    keras_file = copy / "autoencoder.keras"
    keras_file.write_bytes(b"something else")
    record = json.loads((copy / "model.json").read_text())
    record["files"]["autoencoder.keras"] = checksum(keras_file)
    (copy / "model.json").write_text(json.dumps(record))
    assert "cannot be loaded by Keras" in refused(copy)


def test_other_features_are_refused_by_name(dataset, copy):
    without = dataset.with_features([n for n in dataset.names if n not in ("m_3l", "e_T_miss")])
    assert "lacks e_T_miss, m_3l" in refused(copy, without)
    first = replace(dataset.features[0], name="new_feature")
    assert "does not know new_feature" in refused(
        copy, replace(dataset, features=(*dataset.features, first))
    )
    unit = (replace(dataset.features[0], unit="TeV"), *dataset.features[1:])
    assert "unit differs for e_T_miss" in refused(copy, replace(dataset, features=unit))
    assert "object types" in refused(copy, replace(dataset, types=("jet", "muo", "ele")))


def test_untrained_model_says_so(dataset, tmp_path):
    for use in (RunAE.score, RunAE.encode, RunAE.save):
        with pytest.raises(M3LError, match="not trained yet"):
            use(RunAE(dataset, tmp_path / "small"))


TWO_DEVICES = """
import sys
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from ml import autoencoder
from ml.dataset import Dataset
from ml.training_set import TrainingConfig
both = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
assert both.num_replicas_in_sync == 2
autoencoder.backend.strategy = lambda: both
training = TrainingConfig(epochs=3, batch=100)
autoencoder.RunAE(Dataset.open(sys.argv[1]), sys.argv[2], training=training).fit().save()
"""


@pytest.mark.slow
def test_several_devices_train_together(dataset, trained, tmp_path):
    """Two virtual devices of one CPU stand for two GPUs: the batch is shared out, not doubled."""
    command = [sys.executable, "-c", TWO_DEVICES, dataset.folder, tmp_path / "two"]
    subprocess.run(command, check=True, cwd=ROOT)
    two = RunAE.load(tmp_path / "two").record_.history
    assert two["val_loss"] == pytest.approx(trained.record_.history["val_loss"], rel=1e-3)
