"""Children that make their own networks, as the thesis's programs did, train and are saved."""

import json
import os
from dataclasses import replace

import keras
import ml_tables
import numpy as np
import pytest
import tensorflow as tf
from conftest import slow

from analysis.errors import M3LError
from analysis.files import checksum
from ml import own_network
from ml.autoencoder import HyperParameterTuning, RunAE
from ml.dataset import Dataset
from ml.training_set import TrainingConfig

# Keras 3.15 with numpy 2, and keras-tuner 1.4.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning",
    "ignore:currentThread:DeprecationWarning",
    "ignore:getName:DeprecationWarning",
)
TRAINING = TrainingConfig(epochs=2, batch=500)
FEATURES = ("e_T_miss", *(f"e_T_{kind}_0" for kind in ("jet", "ele", "muo")), "m_3l", "m_T_ele_0")


class ThesisTuning(HyperParameterTuning):
    """The class of the drafts, word by word but for its smallest sizes."""

    def __init__(self, data_structure: object, path: str) -> None:
        super().__init__(data_structure, path)

    def AE_model_builder(self, hp):  # noqa: N802
        ker_choice = hp.Choice("Kernel_reg", values=[0.5, 0.1, 0.05, 0.01])
        act_choice = hp.Choice("Atc_reg", values=[0.5, 0.1, 0.05, 0.01])
        hp.Choice("alpha", values=[1.0, 0.5, 0.1, 0.05, 0.01])
        activations = {
            "relu": tf.nn.relu,
            "tanh": tf.nn.tanh,
            "leakyrelu": "leaky_relu",
            "linear": tf.keras.activations.linear,
        }
        names = ["relu", "tanh", "leakyrelu", "linear"]

        inputs = tf.keras.layers.Input(shape=self.data_shape, name="encoder_input")
        x = tf.keras.layers.Dense(
            units=hp.Int("num_of_neurons1", min_value=4, max_value=self.data_shape - 1, step=1),
            activation=activations.get(hp.Choice("l_act", names)),
            kernel_regularizer=tf.keras.regularizers.L1(ker_choice),
            activity_regularizer=tf.keras.regularizers.L2(act_choice),
        )(inputs)
        x_ = tf.keras.layers.Dense(
            units=hp.Int("num_of_neurons2", min_value=3, max_value=5, step=1),
            activation=activations.get(hp.Choice("2_act", names)),
        )(x)
        val = hp.Int("lat_num", min_value=1, max_value=3, step=1)
        x2 = tf.keras.layers.Dense(
            units=val, activation=activations.get(hp.Choice("4_act", names))
        )(x_)
        encoder = tf.keras.Model(inputs, x2, name="encoder")

        latent_input = tf.keras.layers.Input(shape=val, name="decoder_input")
        x = tf.keras.layers.Dense(
            units=hp.Int("num_of_neurons5", min_value=3, max_value=5, step=1),
            activation=activations.get(hp.Choice("5_act", names)),
            kernel_regularizer=tf.keras.regularizers.L1(ker_choice),
            activity_regularizer=tf.keras.regularizers.L2(act_choice),
        )(latent_input)
        output = tf.keras.layers.Dense(
            self.data_shape, activation=activations.get(hp.Choice("8_act", names))
        )(x)
        decoder = tf.keras.Model(latent_input, output, name="decoder")
        outputs = decoder(encoder(inputs))
        AE_model = tf.keras.Model(inputs, outputs, name="AE_model")  # noqa: N806
        hp_learning_rate = hp.Choice("learning_rate", values=[9e-2, 9.5e-2, 1e-3, 1.5e-3])
        optimizer = tf.keras.optimizers.Adam(hp_learning_rate)
        AE_model.compile(loss="mse", optimizer=optimizer, metrics=["mse"])
        return AE_model


def plain(size, loss="mse", skip=False):
    """A functional model without sub-models."""
    inputs = keras.Input((size,))
    x = keras.layers.Dense(5, activation="tanh")(inputs)
    x = keras.layers.Dense(2)(x)
    x = keras.layers.LeakyReLU(negative_slope=0.1)(x)
    x = keras.layers.Dropout(0.1)(x)
    x = keras.layers.Dense(4, activation="relu", use_bias=False)(x)
    if skip:
        x = keras.layers.Concatenate()([x, inputs])
    model = keras.Model(inputs, keras.layers.Dense(size)(x))
    model.compile(loss=loss, optimizer=keras.optimizers.Adam(1e-2))
    return model


class Plain(RunAE):
    """Without anything to draw."""

    def AE_model_builder(self):  # noqa: N802
        return plain(self.data_shape)


class Skipping(RunAE):
    """With a connection that passes by the latent layer, and another loss."""

    def AE_model_builder(self, hp):  # noqa: N802
        return plain(self.data_shape, hp.Choice("loss", ["mae", "mse"]), skip=True)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    whole = Dataset.open(ml_tables.write_output(tmp_path_factory.mktemp("own") / "output"))
    return whole.with_features(FEATURES)


def made(kind, dataset, path, training=TRAINING):
    model = kind(dataset, path)
    model.training = training
    return model


def by_hand(network, x):
    """What a network.json says, computed with numpy alone: (events, features) scaled."""
    content = json.loads((network / "network.json").read_text())
    numbers = np.fromfile(network / "network.bin", "<f4")
    n = len(content["features"])
    numbers = numbers[2 * n :]
    for layer in content["layers"]:
        i, u = layer["inputs"], layer["units"]
        x = x @ numbers[: i * u].reshape(i, u) + numbers[i * u : (i + 1) * u]
        numbers = numbers[(i + 1) * u :]
        slope = layer["slope"] if layer["activation"] == "leaky_relu" else 0.0
        if layer["activation"] in ("relu", "leaky_relu"):
            x = np.where(x > 0, x, slope * x)
        elif layer["activation"] == "tanh":
            x = np.tanh(x)
        else:
            assert layer["activation"] == "linear"
    assert not len(numbers)
    return x


@pytest.mark.parametrize(
    ("kind", "masked"),
    [slow(ThesisTuning, False), (Plain, True), slow(Skipping, False), slow(Skipping, True)],
)
def test_children_are_trained_scored_saved_and_loaded(dataset, tmp_path, kind, masked):
    training = replace(TRAINING, mask_absent=masked)
    model = made(kind, dataset, tmp_path / "mine", training)
    assert model.data_shape == len(FEATURES)
    model.fit().save()
    assert model.record_.own == kind.__name__
    assert model.record_.history["val_loss"][-1] < model.record_.history["val_loss"][0]
    events = dataset.load()[::5]
    latent = {ThesisTuning: 1}.get(kind, 2)
    assert model.encode(events).shape == (len(events), latent)
    loaded = kind.load(tmp_path / "mine", dataset)
    assert type(loaded) is kind and loaded.data_shape == len(FEATURES)
    assert type(RunAE.load(tmp_path / "mine")) is RunAE
    for use in ("score", "errors", "encode", "reconstruct"):
        found = getattr(loaded, use)(events)
        np.testing.assert_array_equal(found, getattr(model, use)(events))
    present = dataset.present(events.counts) if masked else np.ones((len(events), 1), bool)
    mean = model.errors(events).sum(1) / np.broadcast_to(present, (len(events), 6)).sum(1)
    np.testing.assert_allclose(model.score(events), np.log10(mean), rtol=1e-4, atol=1e-5)
    again = made(kind, dataset, tmp_path / "again", training).fit().save()
    for name in os.listdir(tmp_path / "mine"):
        assert checksum(tmp_path / "mine" / name) == checksum(again.path / name), name
    assert (tmp_path / "mine" / "network.bin").exists() == (kind is not Skipping)
    if kind is not Skipping:
        scaled = model.record_.scaling.transform(events.columns(model.record_.names))
        rebuilt = model.record_.scaling.transform(model.reconstruct(events))
        np.testing.assert_allclose(by_hand(again.path, scaled), rebuilt, rtol=1e-2, atol=1e-2)
    loaded.path = tmp_path / "third"
    assert loaded.save().resume() is not None
    other = made(kind, dataset, tmp_path / "third", replace(training, seed=3))
    assert other.resume() is None


@pytest.mark.slow
def test_a_childs_search(dataset, tmp_path):
    model = made(ThesisTuning, dataset, tmp_path / "tuned")
    model.runHpSearch("random", trials=3, epochs=1).save()
    best = model.search_["trials"][0]
    assert best["val_mse"] == min(trial["val_mse"] for trial in model.search_["trials"])
    assert model.config.latent.units == best["lat_num"]
    assert [layer.units for layer in model.config.encoder] == [
        best["num_of_neurons1"],
        best["num_of_neurons2"],
    ]
    loaded = ThesisTuning.load(tmp_path / "tuned", dataset)
    assert loaded.search_["trials"] == model.search_["trials"] and loaded.search_["space"] is None
    assert os.listdir(tmp_path) == ["tuned"]


@pytest.mark.slow
def test_a_killed_child_goes_on(dataset, tmp_path):
    model = made(Plain, dataset, tmp_path / "a", replace(TRAINING, epochs=1))
    model.fit()  # not saved: its checkpoint is still there
    model.training = TRAINING
    model.fit().save()
    whole = made(Plain, dataset, tmp_path / "b").fit().save()
    assert len(whole.record_.history["loss"]) == 2
    assert checksum(model.path / "network.bin") == checksum(whole.path / "network.bin")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda n: None, "no functional keras.Model"),
        (lambda n: keras.Sequential([keras.layers.Dense(3)]), "no functional keras.Model"),
        (lambda n: plain(n + 1), "data_shape = 6 numbers"),
        (lambda n: keras.Model(i := keras.Input((n,)), keras.layers.Dense(n)(i)), "no hidden"),
        (
            lambda n: keras.Model(
                i := keras.Input((n,)), keras.layers.Dense(n, activation=lambda x: x)(i)
            ),
            "lambda as activation",
        ),
    ],
)
def test_wrong_networks_are_refused_in_a_line(dataset, tmp_path, build, message):
    class Child(RunAE):
        def AE_model_builder(self, hp):  # noqa: N802
            return build(int(self.data_shape))

    with pytest.raises(M3LError, match=message):
        made(Child, dataset, tmp_path / "x").fit()


def test_sizes_are_numbers_and_shapes():
    size = own_network.Size(7)
    assert size - 1 == 6 and size == 7 and keras.Input(shape=size).shape == (None, 7)
    assert json.dumps(size) == "7"
