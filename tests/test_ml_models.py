"""Networks have the declared sizes and activations, and say so when they cannot be built."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.errors import M3LError
from ml import models
from ml.models import MODELS, Layer, ModelConfig
from ml.scaling import Scaling

# Keras 3.15 with numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def dense(model):
    return [layer for layer in model.layers if hasattr(layer, "units")]


@pytest.mark.parametrize(
    ("name", "features", "sizes"),
    [
        ("small", 529, [529, 529, 150, 529]),
        ("small", 225, [225, 225, 150, 225]),
        ("small", 110, [110, 110, 55, 110]),
        ("big", 529, [529, 529, 450, 300, 200, 150, 200, 350, 450, 529]),
        ("big", 225, [225, 225, 191, 150, 150, 150, 150, 150, 191, 225]),
        ("deep", 225, [225, 150, 45, 20, 6, 20, 45, 150, 225]),
        ("deep", 100, [100, 28, 9, 6, 6, 6, 9, 28, 100]),
        ("deep", 5, [5, 2, 2, 2, 2, 2, 2, 2, 5]),
        ("published", 225, [225, 200, 200, 200, 200, 200, 225]),
        ("published", 1296, [1296, 800, 400, 200, 400, 800, 1296]),
        ("vae_big", 529, [529, 400, 300, 200, 150, 200, 300, 400, 529]),
    ],
)
def test_sizes(name, features, sizes):
    assert MODELS[name].sizes(features) == sizes


@pytest.mark.parametrize("name", MODELS)
def test_a_latent_size_does_not_scale(name):
    wanted = MODELS[name].latent.units
    for features in (1, 2, 5, 39, 150, 151, 225, 529, 1296):
        latent = MODELS[name].sized(features).latent.units
        assert latent == wanted if wanted < features else latent < max(features, 2)
    assert replace(MODELS[name], latent=Layer(models.ALL, "linear")).sized(9).latent.units < 9


@pytest.mark.parametrize("name", MODELS)
def test_built_as_declared(name):
    config = MODELS[name].sized(60)
    parts = models.build(MODELS[name], 60)
    assert parts.encoder.name == "encoder" and parts.decoder.name == "decoder"
    encoder, decoder = dense(parts.encoder), dense(parts.decoder)
    declared = [*config.encoder, config.latent]
    assert [layer.units for layer in encoder][: len(declared)] == [d.units for d in declared]
    assert len(encoder) == len(declared) + config.variational
    built = [*encoder[: len(declared)], *decoder]
    declared = [*declared, *config.decoder, Layer(60, config.output)]
    for layer, wanted in zip(built, declared, strict=True):
        activation = layer.activation
        found = getattr(activation, "__name__", activation.__class__.__name__)
        assert found == {"leaky_relu": "LeakyReLU"}.get(wanted.activation, wanted.activation)
    slopes = [layer.activation for layer in built if "LeakyReLU" in str(layer.activation)]
    assert {float(activation.negative_slope) for activation in slopes} <= {config.slope}
    output = models.training_model(config, parts)(np.zeros((2, 60), "f4"))
    assert output.shape == (2, 60 + 2 * config.latent.units * config.variational)


def test_regularisers_are_on_first_and_third_layer():
    config = replace(MODELS["deep"], kernel_l1=0.1, activity_l2=0.2)
    parts = models.build(config, 225)
    for model in (parts.encoder, parts.decoder):
        names = [layer.name for layer in dense(model) if layer.kernel_regularizer is not None]
        assert names == [f"{model.name}_1", f"{model.name}_3"]


def test_regularisers_multiply_means_or_sums():
    x, weight = np.full((4, 225), 2.0, "f4"), 0.25
    for penalty in ("mean", "sum"):
        config = replace(MODELS["deep"], penalty=penalty, kernel_l1=0.1, activity_l2=0.2)
        first = models.build(config, 225).encoder.get_layer("encoder_1")
        first.set_weights([np.full((225, 150), weight, "f4"), np.zeros(150, "f4")])
        penalties = [0.1 * weight, 0.2 * np.mean(np.asarray(first(x)) ** 2)]
        if penalty == "sum":
            penalties = [penalties[0] * 225 * 150, penalties[1] * 150]
        assert sorted(map(float, first.losses)) == pytest.approx(sorted(penalties), rel=1e-4)
    with pytest.raises(M3LError, match="unknown penalty 'most'"):
        models.build(replace(MODELS["deep"], penalty="most"), 225)


def test_config_survives_json():
    for config in MODELS.values():
        assert ModelConfig.from_dict(config.to_dict()) == config
    with pytest.raises(M3LError, match="unknown fields of a network: depth"):
        ModelConfig.from_dict({"depth": 3})


def test_unknown_names():
    with pytest.raises(M3LError, match="did you mean 'vae_big'"):
        models.find_network("vae_bigg")
    with pytest.raises(M3LError, match="unknown activation 'swoosh'"):
        models.build(replace(MODELS["small"], output="swoosh"), 5)


@pytest.mark.parametrize("masked", [False, True])
def test_inference_model_is_the_formula(masked):
    n = 3
    scaling = Scaling(
        "log",
        np.array([True, False, True]),
        np.array([1.0, 2.0, 3.0], "f4"),
        np.array([0.5, 2.0, 1.0], "f4"),
    )
    objects = [(), ((0, 0),), ((0, 1), (1, 0))]
    parts = models.build(MODELS["small"], n)
    model = models.inference_model(parts, scaling, objects if masked else None, 2)
    x = np.array([[10, 3, 40], [5, 0, 0], [7, 1, 0]], "f4")
    counts = np.array([[2, 1], [0, 3], [1, 5]], "f4")
    out = {k: v.numpy() for k, v in model([x, counts] if masked else x).items()}
    scaled = scaling.transform(x)
    np.testing.assert_allclose(out["latent"], parts.encoder(scaled), rtol=1e-5)
    error = (scaled - out["reconstruction"]) ** 2
    present = np.ones((3, 3))
    if masked:
        present = np.array([[1, 1, 1], [1, 0, 0], [1, 1, 0]])
    np.testing.assert_allclose(out["error"], error * present, rtol=1e-4)
    mean = (error * present).sum(1) / present.sum(1)
    np.testing.assert_allclose(out["score"], np.log10(mean), rtol=1e-4, atol=1e-5)
