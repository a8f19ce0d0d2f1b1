"""What the networks need beyond Keras: scaling, presence of cells, sampling, and the losses."""

import numpy as np

from ml.backend import keras, tf

ops = keras.ops
SMALLEST_ERROR = 1e-30  # a perfect reconstruction scores -30 instead of minus infinity


@keras.saving.register_keras_serializable(package="m3l")
class Scale(keras.layers.Layer):
    """`ml.scaling.Scaling` inside a model: (events, features) in GeV to the same, scaled."""

    def __init__(self, log, shift, factor, **kwargs):
        super().__init__(**kwargs)
        self.log, self.shift, self.factor = list(log), list(shift), list(factor)

    def call(self, x):
        # log(1 + x), not log1p, which ONNX lacks; 6e-8 is the largest difference
        x = ops.where(np.array(self.log), ops.sign(x) * ops.log(1.0 + ops.abs(x)), x)
        return (x - np.array(self.shift, "float32")) * np.array(self.factor, "float32")

    def get_config(self):
        return super().get_config() | {
            "log": self.log,
            "shift": self.shift,
            "factor": self.factor,
        }


@keras.saving.register_keras_serializable(package="m3l")
class Present(keras.layers.Layer):
    """(events, types) object counts to (events, features) of 1 and 0: the cell's objects exist.

    `objects` lists for each feature the (type, rank from 0) pairs it is made of.
    """

    def __init__(self, objects, types, **kwargs):
        super().__init__(**kwargs)
        self.objects = [[list(pair) for pair in pairs] for pairs in objects]
        self.types = types
        # least[t, f]: how many objects of type t feature f needs; a higher rank implies the lower
        least = np.zeros((types, len(objects)), "float32")
        for feature, pairs in enumerate(objects):
            for kind, rank in pairs:
                least[kind, feature] = max(least[kind, feature], rank + 1)
        self._least = least

    def call(self, counts):
        enough = ops.expand_dims(counts, -1) >= self._least
        return ops.cast(ops.all(enough, axis=1), "float32")

    def get_config(self):
        return super().get_config() | {"objects": self.objects, "types": self.types}


@keras.saving.register_keras_serializable(package="m3l")
class Sampling(keras.layers.Layer):
    """z = mean + exp(log variance / 2) * normal noise (arXiv:1312.6114, section 2.4)."""

    def __init__(self, seed=None, **kwargs):
        super().__init__(dtype="float32", **kwargs)
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, inputs, training=False):
        mean, log_variance = inputs
        if not training:  # validation, too, is done with the mean, so that it does not fluctuate
            return mean
        noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(0.5 * log_variance) * noise


class SquaredError(keras.losses.Loss):
    """Mean over the features of (x - reconstruction)^2, per event.

    Keras multiplies it with the event weights and takes the mean over the batch. NaN in `y_true`
    marks an absent cell: it counts neither in the sum nor in the number of features.
    """

    def __init__(self, features):
        super().__init__(name="squared_error")
        self.features = features

    def call(self, y_true, y_pred):
        squares, present = _squares(y_true, y_pred[:, : self.features])
        return ops.sum(squares, axis=-1) / ops.maximum(ops.sum(present, axis=-1), 1.0)


class NegativeElbo(keras.losses.Loss):
    """2 sigma^2 / n times the negative evidence lower bound, per event (arXiv:1312.6114, eq. 10).

    With a Gaussian decoder of width `sigma` and a standard normal prior, up to a constant,
    -ELBO = sum_f (x_f - reconstruction_f)^2 / (2 sigma^2) + KL, with
    KL = 1/2 sum_l (mean_l^2 + variance_l - 1 - log variance_l).
    The common factor turns the first term into the mean squared error over the n features (absent
    cells add nothing to its sum) and changes no minimum. Every term belongs to one event, so the
    batch size cannot change the balance between them, and the event weight multiplies both.
    """

    def __init__(self, features, sigma):
        super().__init__(name="negative_elbo")
        self.features, self.sigma = features, sigma

    def call(self, y_true, y_pred):
        n = self.features
        squares, _ = _squares(y_true, y_pred[:, :n])
        mean, log_variance = ops.split(y_pred[:, n:], 2, axis=-1)
        divergence = 0.5 * ops.sum(
            ops.square(mean) + ops.exp(log_variance) - 1.0 - log_variance, axis=-1
        )
        return (ops.sum(squares, axis=-1) + 2.0 * self.sigma**2 * divergence) / n


def squared_error_metric(features):
    """`SquaredError` as a weighted metric "mse": free of regularisers and KL, to compare models."""
    return keras.metrics.MeanMetricWrapper(SquaredError(features).call, name="mse")


class Network(keras.Model):
    """A functional model that is fed with what a feed (`ml.feed`) provides.

    Looking events up by their number inside the compiled step keeps the data where the network is:
    on an accelerator only a few numbers per step travel.
    """

    training_rows = None  # element of the feed -> (x, y, weight)
    validation_rows = None
    absent_as_nan = True  # the loss understands it; else it is given what the network sees
    xla = False  # whether XLA compiles the steps; Keras's `jit_compile` refuses to when
    # operations have to be deterministic, as some have no such form, none of which is used here

    def train_step(self, data):
        return self._compiled(super().train_step)(self._rows(data, self.training_rows))

    def test_step(self, data):
        return self._compiled(super().test_step)(self._rows(data, self.validation_rows))

    def _compiled(self, step):
        return tf.function(step, jit_compile=True) if self.xla else step

    def _rows(self, data, rows):
        x, y, weight = rows(data) if rows else data
        return x, y if self.absent_as_nan else x, weight


def _squares(y_true, reconstruction):
    present = ops.logical_not(ops.isnan(y_true))
    squares = ops.square(ops.where(present, y_true, 0.0) - reconstruction)
    present = ops.cast(present, squares.dtype)
    return squares * present, present
