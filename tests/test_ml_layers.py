"""The losses are what their docstrings say."""

import numpy as np
import pytest

from ml import models
from ml.backend import keras, seed
from ml.layers import NegativeElbo, Sampling, SquaredError

# Keras 3.15 with numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def test_absent_cells_count_neither_above_nor_below():
    y = np.array([[1.0, np.nan, 3.0], [1.0, 2.0, 3.0]], "f4")
    prediction = np.array([[2.0, 99.0, 5.0], [1.0, 2.0, 6.0]], "f4")
    assert SquaredError(3).call(y, prediction).numpy() == pytest.approx([2.5, 3.0])


def test_absent_cells_have_no_gradient():
    import tensorflow as tf

    y = tf.constant([[1.0, np.nan]])
    prediction = tf.Variable([[2.0, 5.0]])
    with tf.GradientTape() as tape:
        loss = SquaredError(2)(y, prediction)
    assert tape.gradient(loss, prediction).numpy().tolist() == [[2.0, 0.0]]


def test_elbo_is_the_textbook_one():
    random = np.random.default_rng(0)
    n, latent, sigma = 5, 2, 0.3
    y, reconstruction = random.normal(size=(2, 4, n))
    mean, log_variance = random.normal(size=(2, 4, latent))
    divergence = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(1)
    elbo = -((y - reconstruction) ** 2).sum(1) / (2 * sigma**2) - divergence
    packed = np.concatenate([reconstruction, mean, log_variance], 1).astype("f4")
    loss = NegativeElbo(n, sigma).call(y.astype("f4"), packed)
    np.testing.assert_allclose(loss, -elbo * 2 * sigma**2 / n, rtol=1e-5)


def test_balance_of_the_elbo_does_not_depend_on_the_batch():
    config = models.MODELS["vae_small"]
    seed(1)
    network = models.training_model(config, models.build(config, 8))
    x = np.random.default_rng(0).random((64, 8), "f4")
    weight = np.linspace(0, 2, 64, dtype="f4")
    losses = [
        network.evaluate(x, x, sample_weight=weight, batch_size=batch, verbose=0)[0]
        for batch in (64, 16, 1)
    ]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)
    per_event = network.loss.call(x, network(x)).numpy()
    assert losses[0] == pytest.approx(np.mean(weight * per_event), rel=1e-5)


def test_noise_only_in_training():
    mean, log_variance = np.full((1000, 2), 3.0, "f4"), np.full((1000, 2), np.log(4.0), "f4")
    layer = Sampling(seed=1)
    assert np.array_equal(layer([mean, log_variance]), mean)
    noisy = keras.ops.convert_to_numpy(layer([mean, log_variance], training=True))
    assert noisy.mean() == pytest.approx(3, abs=0.2) and noisy.std() == pytest.approx(2, abs=0.2)
