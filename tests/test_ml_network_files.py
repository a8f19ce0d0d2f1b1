"""The plain description gives the score of Keras, and so does ONNX."""

import json

import ml_tables
import numpy as np
import pytest

from analysis.files import checksum
from ml import autoencoder, models
from ml.dataset import Dataset
from ml.network_files import write_onnx
from ml.training_set import TrainingConfig

# Keras 3.15 with numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CASES = [("small", "log", False), ("big", "standard", True), ("vae_big", "minmax", True)]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: case[0])
def model(request, tmp_path_factory):
    name, scaler, masked = request.param
    folder = tmp_path_factory.mktemp("export")
    dataset = Dataset.open(ml_tables.write_output(folder / "output"))
    config = models.replace(models.MODELS[name], scaler=scaler)
    training = TrainingConfig(epochs=1, batch=500, mask_absent=masked)
    return autoencoder.runner(config)(dataset, folder / name, config, training).fit().save()


ACTIVATIONS = {
    "linear": lambda x, slope: x,
    "relu": lambda x, slope: np.maximum(x, 0),
    "tanh": lambda x, slope: np.tanh(x),
    "sigmoid": lambda x, slope: 1 / (1 + np.exp(-x)),
    "leaky_relu": lambda x, slope: np.where(x < 0, slope * x, x),
}


def evaluate(folder, x, counts):
    """(score, latent) by the formula in `ml.network_files`, from the two files alone."""
    network = json.loads((folder / "network.json").read_text())
    numbers = np.fromfile(folder / "network.bin", "<f4")
    assert network["format"] == 1 and network["sha256"] == checksum(folder / "network.bin")
    n = len(network["features"])
    shift, factor, numbers = numbers[:n], numbers[n : 2 * n], numbers[2 * n :]
    scaled = np.where(network["log"], np.sign(x) * np.log1p(np.abs(x)), x)
    r = scaled = (scaled - shift) * factor
    for number, layer in enumerate(network["layers"]):
        size = layer["inputs"] * layer["units"]
        weight = numbers[:size].reshape(layer["inputs"], layer["units"])
        bias, numbers = numbers[size : size + layer["units"]], numbers[size + layer["units"] :]
        r = ACTIVATIONS[layer["activation"]](r @ weight + bias, layer["slope"])
        if number == network["latent_layer"]:
            latent = r
    assert not len(numbers)
    used = np.ones(x.shape, bool)
    if network["mask_absent"]:
        used = (counts[:, None, :] >= np.array(network["least"])).all(axis=2)
    mse = ((scaled - r) ** 2 * used).sum(1) / np.maximum(used.sum(1), 1)
    return np.log10(np.maximum(mse, network["smallest_error"])), latent


def test_plain_numbers_give_the_score(model):
    events = model.data.load()
    names = json.loads((model.path / "network.json").read_text())["features"]
    score, latent = evaluate(model.path, events.columns(names).astype("f8"), events.counts)
    assert np.abs(score - model.score(events)).max() < 1e-5
    np.testing.assert_allclose(latent, model.encode(events), atol=1e-4)


def test_onnx_gives_the_score(model):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    path = model.path / "autoencoder.onnx"
    assert write_onnx(model.model_, path) < 1e-5
    events = model.data.load()[::10]
    inputs = {"features": events.columns(model.record_.names)}
    if model.record_.training.mask_absent:
        inputs["counts"] = events.counts.astype("f4")
    score, latent = onnxruntime.InferenceSession(path).run(["score", "latent"], inputs)
    assert np.abs(score - model.score(events)).max() < 1e-5
    np.testing.assert_allclose(latent, model.encode(events), atol=1e-4)
