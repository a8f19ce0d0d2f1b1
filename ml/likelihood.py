"""An autoencoder whose score is a likelihood: how improbable is each cell, given the latent vector?

A squared error treats a charge like an energy, and a missing object like a small one. Here each
column has the distribution of its type, whose parameters the decoder gives:

| column | distribution |
|---|---|
| one input per value of a category (`flcomp=2`) | categorical, over the inputs of the category |
| whole number without unit or object (counts, charges) | categorical, over the values of training |
| energy, mass, rapidity: what is never negative | is it there? Bernoulli; if so, log-normal |
| relative difference of energies (`delta_...`) | is it there? Bernoulli; if so, logit-normal |
| any other number | normal, after sign(x) log(1 + abs(x)) |

Cells of a missing object are 0 and have no density. Whether an object is there counts once, not in
each of its cells. The logarithm starts at a tenth of the column's mean, so that small values are no
anomalies. Densities are those of the column itself, per GeV where it has that unit: a density of
the logarithm would be another definition of what is rare. Its unit is a constant of the column.

The score of an event is the sum of the negative logarithms over the columns, plus that of the
density of its latent vector, a Gaussian mixture of the training events'.
"""

import warnings
from dataclasses import asdict, dataclass, replace

import numpy as np

from analysis.errors import InputError
from ml.autoencoder import RunAE
from ml.backend import keras
from ml.layers import Network
from ml.models import Parts
from ml.scaling import Scaling

ops = keras.ops
POSITIVE, SHARE, REAL, WHOLE, CATEGORY = range(5)  # types of columns
LEVELS = 24  # most values of a whole number that get a probability of their own
EDGE = 0.01  # shares are kept this far from 0 and 1
LEAST_SPREAD, MOST_SPREAD = -3.0, 2.0  # log of the width of a cell, in standard deviations
COMPONENTS = 8  # of the mixture
LATENT_EVENTS = 20_000  # that the mixture learns from, at most
HALF_LOG_2PI = 0.5 * float(np.log(2 * np.pi))
SMALLEST = LEAST_SPREAD + HALF_LOG_2PI  # negative logarithm of the largest density of a cell


@dataclass(frozen=True)
class Columns:
    """What is known about the n columns before the network learns; lists, to be saved by Keras."""

    kinds: list[int]  # (n,) type
    start: list[float]  # (n,) of POSITIVE: what is added before the logarithm
    mean: list[float]  # (n,) of the coordinate, over the events that have it
    spread: list[float]  # (n,) its standard deviation
    counted: list[int]  # (n,) 1: whether it is there has a probability of its own
    low: list[int]  # (n,) of WHOLE: smallest value
    first: list[int]  # (n,) of WHOLE: place of its smallest value; of CATEGORY: its place
    size: list[int]  # (n,) of WHOLE: number of values
    groups: list[list[int]]  # places of the values of each WHOLE and category, (start, stop)

    @property
    def logits(self):
        """Number of probabilities of values."""
        return self.groups[-1][1] if self.groups else 0


def coordinate(x, kinds, start, xp=np):
    """(events, n) what is normally distributed, not yet scaled; xp: numpy or keras.ops."""
    kinds, start = np.asarray(kinds), np.asarray(start, np.float32)
    positive = xp.log(xp.maximum(x, 0.0) + np.where(kinds == POSITIVE, start, 1.0))
    share = EDGE + (1 - 2 * EDGE) * xp.clip(x, 0.0, 1.0)
    real = xp.sign(x) * xp.log(1.0 + xp.abs(x))
    value = xp.where(kinds == SHARE, xp.log(share / (1.0 - share)), real)
    return xp.where(kinds == POSITIVE, positive, value)


def learn_columns(features, blocks):
    """The Columns of Features; blocks(): yields (events, n) values and (events,) weights."""
    n = len(features)
    low, high = np.full(n, np.inf), np.full(n, -np.inf)
    whole, total, sums = np.ones(n, bool), np.zeros(n), np.zeros(n)
    for x, weight in blocks():
        if not len(x):
            continue
        low, high = np.minimum(low, x.min(0)), np.maximum(high, x.max(0))
        whole &= (x == np.round(x)).all(0)
        there = (x != 0) * weight[:, None]
        total, sums = total + there.sum(0), sums + (there * x).sum(0)
    kinds = np.full(n, REAL)
    kinds[low >= 0] = POSITIVE
    for place, feature in enumerate(features):
        if "=" in feature.name:
            kinds[place] = CATEGORY
        elif feature.name.startswith("delta_") and low[place] >= 0 and high[place] <= 1:
            kinds[place] = SHARE
        elif not feature.unit and not feature.objects and whole[place]:
            kinds[place] = WHOLE if high[place] - low[place] < LEVELS else kinds[place]
    average = np.divide(sums, total, out=np.ones(n), where=total > 0)
    start = np.where(kinds == POSITIVE, np.maximum(0.1 * average, 1e-6), 1.0)
    moments = np.zeros((2, n))
    total = np.zeros(n)
    for x, weight in blocks():
        there = ((x != 0) | (kinds == REAL)) * weight[:, None]
        u = coordinate(x.astype(float), kinds, start)
        total += there.sum(0)
        moments += [(there * u).sum(0), (there * u**2).sum(0)]
    mean, square = np.divide(moments, total, out=np.zeros((2, n)), where=total > 0)
    spread = np.sqrt(np.maximum(square - mean**2, 1e-6))
    return Columns(
        kinds=kinds.tolist(),
        start=start.astype(np.float32).tolist(),
        mean=mean.astype(np.float32).tolist(),
        spread=spread.astype(np.float32).tolist(),
        counted=_counted(features, kinds),
        **_places(features, kinds, low, high),
    )


def _counted(features, kinds):
    """(n,) 1 for one column of each object, and for each column that is of no object."""
    counted = np.isin(kinds, (POSITIVE, SHARE)).astype(int)
    cells = [place for place, feature in enumerate(features) if counted[place] and feature.objects]
    single = {features[place].objects for place in cells if len(features[place].objects) == 1}
    seen = set()
    for place in cells:
        objects = features[place].objects
        # A cell of two objects is there where both are.
        known = len(objects) > 1 and {(each,) for each in objects} <= single
        counted[place] = not known and objects not in seen
        seen.add(objects)
    return counted.tolist()


def _places(features, kinds, low, high):
    first, size, groups, stop = [0] * len(kinds), [1] * len(kinds), [], 0
    for place, kind in enumerate(kinds):
        if kind == WHOLE:
            first[place], size[place] = stop, int(high[place] - low[place]) + 1
            stop += size[place]
            groups.append([first[place], stop])
    categories = {}
    for place, kind in enumerate(kinds):
        if kind == CATEGORY:
            categories.setdefault(features[place].name.split("=")[0], []).append(place)
    for members in categories.values():
        groups.append([stop, stop + len(members) + 1])  # the last: none of these values
        for place in members:
            first[place] = stop
            stop += 1
        stop += 1
    smallest = np.where(np.isfinite(low), low, 0).astype(int).tolist()
    return {"low": smallest, "first": first, "size": size, "groups": groups}


@keras.saving.register_keras_serializable(package="m3l")
class Cells(keras.layers.Layer):
    """(events, n) values in GeV to what the encoder sees: coordinates, presence and values.

    Coordinates are scaled, 0 where the object is missing; values of whole numbers and categories
    are 1 at their place.
    """

    def __init__(self, columns, **kwargs):
        super().__init__(**kwargs)
        self.columns = columns if isinstance(columns, Columns) else Columns(**columns)

    def call(self, x):
        scaled, there = scaled_cells(x, self.columns)
        number = np.isin(self.columns.kinds, (POSITIVE, SHARE, REAL))
        counted = np.flatnonzero(self.columns.counted)
        seen = [ops.take(ops.clip(scaled, -8.0, 8.0), np.flatnonzero(number), axis=1)]
        seen.append(ops.take(there, counted, axis=1))
        if self.columns.logits:
            seen.append(values_at(x, self.columns))
        return ops.concatenate(seen, axis=1)

    def get_config(self):
        return super().get_config() | {"columns": asdict(self.columns)}


def scaled_cells(x, columns):
    """(events, n) scaled coordinates, 0 where absent, and (events, n) 1 where they are there."""
    kinds = np.array(columns.kinds)
    mean, spread = np.array(columns.mean, "f4"), np.array(columns.spread, "f4")
    there = ops.cast(ops.logical_or(x != 0, kinds == REAL), "float32")
    there = there * np.isin(kinds, (POSITIVE, SHARE, REAL)).astype("f4")
    u = (coordinate(x, kinds, columns.start, ops) - mean) / spread
    return u * there, there


def stretch(x, columns):
    """(events, n) logarithm of how much of the column a step of its coordinate covers.

    In units of the column's typical step, as a factor of all events changes no order.
    """
    kinds = np.array(columns.kinds)
    share = EDGE + (1 - 2 * EDGE) * ops.clip(x, 0.0, 1.0)
    u = coordinate(x, kinds, columns.start, ops) - np.array(columns.mean, "f4")
    real = ops.log(1.0 + ops.abs(x))
    value = ops.where(kinds == SHARE, ops.log(4.0 * share * (1.0 - share)), real)
    return ops.where(kinds == POSITIVE, u, value)


def values_at(x, columns):
    """(events, logits) 1 at the place of the value of each whole number and category."""
    kinds = np.array(columns.kinds)
    parts = {}
    for place in np.flatnonzero(kinds == WHOLE):
        level = ops.clip(x[:, place] - columns.low[place], 0, columns.size[place] - 1)
        hot = ops.one_hot(ops.cast(level, "int32"), columns.size[place])
        parts[columns.first[place]] = hot
    for start, stop in columns.groups:
        if start in parts:
            continue
        places = [
            int(p) for p in np.flatnonzero(kinds == CATEGORY) if start <= columns.first[p] < stop
        ]
        hot = ops.cast(ops.take(x, places, axis=1) > 0.5, "float32")
        none = ops.maximum(1.0 - ops.sum(hot, axis=1, keepdims=True), 0.0)
        parts[start] = ops.concatenate([hot, none], axis=1)
    return ops.concatenate([parts[start] for start in sorted(parts)], axis=1)


def negative_logs(x, outputs, columns):
    """(events, n) negative logarithm of the likelihood of each column.

    x: (events, n) in GeV; outputs: (events, 3 n + logits) of the decoder: means, log widths and
    log odds to be there, and log odds of values. The value of a category counts at its column;
    a category with none of the known values, at its first column. Densities are those of the scaled
    coordinates; `stretch` leads from there to those of the columns.
    """
    n = len(columns.kinds)
    kinds = np.array(columns.kinds)
    mean, width, odds = outputs[:, :n], outputs[:, n : 2 * n], outputs[:, 2 * n : 3 * n]
    scaled, there = scaled_cells(x, columns)
    width = ops.clip(width, LEAST_SPREAD, MOST_SPREAD)
    pull = ops.clip((scaled - mean) * ops.exp(-width), -1e4, 1e4)
    result = there * (0.5 * ops.square(pull) + width + HALF_LOG_2PI)
    odds = ops.clip(odds, -15.0, 15.0)
    counted = np.array(columns.counted, "f4")
    result = result + counted * (ops.softplus(odds) - there * odds)
    if not columns.logits:
        return result
    hot, logits = values_at(x, columns), ops.clip(outputs[:, 3 * n :], -15.0, 15.0)
    spread = np.zeros((columns.logits, n), "f4")  # of the places of values over the columns
    surprise = []
    for start, stop in columns.groups:
        own = ops.log_softmax(logits[:, start:stop], axis=1)
        surprise.append(-own * hot[:, start:stop])
        members = [
            p
            for p in range(n)
            if kinds[p] in (WHOLE, CATEGORY) and start <= columns.first[p] < stop
        ]
        for place in range(start, stop):
            exact = [p for p in members if kinds[p] == CATEGORY and columns.first[p] == place]
            spread[place, (exact or members)[0]] = 1.0
    return result + ops.matmul(ops.concatenate(surprise, axis=1), spread)


@keras.saving.register_keras_serializable(package="m3l")
class CellLikelihood(keras.layers.Layer):
    """Negative logarithms of the likelihoods of columns, (events, n).

    Inputs: [(events, n) values, (events, 3 n + logits) outputs of the decoder].
    """

    def __init__(self, columns, **kwargs):
        super().__init__(**kwargs)
        self.columns = columns if isinstance(columns, Columns) else Columns(**columns)

    def call(self, inputs):
        x, outputs = inputs
        _, there = scaled_cells(x, self.columns)
        return negative_logs(x, outputs, self.columns) + there * stretch(x, self.columns)

    def get_config(self):
        return super().get_config() | {"columns": asdict(self.columns)}


@keras.saving.register_keras_serializable(package="m3l")
class LatentDensity(keras.layers.Layer):
    """(events, latent) to the (events,) negative logarithm of the density of a Gaussian mixture.

    weights: (k,); means: (k, latent); factors: (k, latent, latent), F with F F^T the inverse of
    the covariance.
    """

    def __init__(self, weights, means, factors, **kwargs):
        super().__init__(**kwargs)
        self.weights_, self.means_, self.factors_ = weights, means, factors
        w, m, f = (np.array(each, np.float64) for each in (weights, means, factors))
        half = np.log(np.abs(np.diagonal(f, axis1=1, axis2=2))).sum(1)
        self._constant = (np.log(w) + half - m.shape[1] * HALF_LOG_2PI).astype("f4")
        self._shift = np.einsum("kl,klj->kj", m, f).astype("f4")
        self._factors = f.astype("f4")

    def call(self, z):
        y = ops.einsum("el,klj->ekj", z, self._factors) - self._shift
        return -ops.logsumexp(self._constant - 0.5 * ops.sum(ops.square(y), axis=2), axis=1)

    def get_config(self):
        numbers = {"weights": self.weights_, "means": self.means_, "factors": self.factors_}
        return super().get_config() | numbers


class NegativeLogLikelihood(keras.losses.Loss):
    """Mean of `negative_logs` over the columns, per event, less the smallest possible one.

    So it is never negative, and early stopping may look at shares of it.
    """

    def __init__(self, columns):
        super().__init__(name="negative_log_likelihood")
        self.columns = columns

    def call(self, y_true, y_pred):
        _, there = scaled_cells(y_true, self.columns)
        above = negative_logs(y_true, y_pred, self.columns) - there * SMALLEST
        return ops.mean(above, axis=-1)


class LikelihoodAE(RunAE):
    """The autoencoder of this module; used as any other, but its score is no squared error.

    `errors` are the negative log likelihoods of the columns, `score` their sum and that of the
    latent vector. A reconstruction is the median of each column, 0 for what is rather not there.
    """

    default = "likelihood"
    _known = None  # tables and choices, and the Columns that they gave

    def explain(self, events=None):
        """(names, (events, names) contributions), which add up to the score."""
        cells = self.errors(events)
        latent = self.score(events) - cells.sum(axis=1)
        return (*self.record_.names, "latent"), np.column_stack([cells, latent])

    def _prepared(self):
        """As `RunAE`; the columns reach the network in GeV."""
        prepared = super()._prepared()
        n = len(prepared.dataset.features)
        plain = Scaling("standard", np.zeros(n, bool), np.zeros(n, "f4"), np.ones(n, "f4"))
        return replace(prepared, scaling=plain)

    def _columns(self, prepared):
        """The Columns of a TrainingSet, learned once."""

        def blocks():
            for events, weight in prepared.training_blocks():
                yield events.features, weight

        question = (self._learned[0], prepared.inputs)
        if self._known is None or self._known[0] != question:
            self._known = (question, learn_columns(prepared.dataset.features, blocks))
        return self._known[1]

    def _network(self, drawn=None):
        columns = self._columns(self._prepared())
        self.config = replace(self.config.sized(len(columns.kinds)), categories=columns.logits)
        parts = build(self.config, columns)
        inputs = keras.Input((len(columns.kinds),), name="scaled")
        outputs = keras.layers.Concatenate(name="output")(parts.decoder(parts.encoder(inputs)))
        model = Network(inputs, outputs, name="training")
        model.compile(
            optimizer=keras.optimizers.Adam(self.config.learning_rate, clipnorm=1.0),
            loss=NegativeLogLikelihood(columns),
            weighted_metrics=[],
        )
        model.absent_as_nan = False
        return model

    def _bare_parts(self, trained):
        parts = build(self.config, self._columns(self._prepared()))
        parts.encoder.set_weights(trained.get_layer("encoder").get_weights())
        parts.decoder.set_weights(trained.get_layer("decoder").get_weights())
        return parts

    def _inference(self):
        columns = self._columns(self._prepared())
        density = self._density()
        features = keras.Input((len(columns.kinds),), name="features")
        inputs = [features]
        if self.training.mask_absent:  # such a model is given the counts, too
            inputs.append(keras.Input((len(self.record_.types),), name="counts"))
        latent = self._parts.encoder(features)
        found = keras.layers.Concatenate(name="output")(self._parts.decoder(latent))
        error = CellLikelihood(columns, name="cells")([features, found])
        outputs = {
            "score": ops.sum(error, axis=1) + density(latent),
            "error": error,
            "reconstruction": Median(columns, name="median")(found),
            "latent": latent,
        }
        if len(inputs) > 1:  # Keras wants every input to lead somewhere
            outputs["score"] = outputs["score"] + 0.0 * ops.sum(inputs[1], axis=1)
        return keras.Model(inputs if len(inputs) > 1 else features, outputs, name="autoencoder")

    def _density(self):
        """The LatentDensity of the training events, drawn with their weights."""
        from sklearn.mixture import GaussianMixture  # takes a second

        prepared = self._prepared()
        every = max(1, prepared.train.events // LATENT_EVENTS)
        vectors, weights, seen = [], [], 0
        for events, weight in prepared.training_blocks():
            rows = slice(-seen % every, None, every)
            seen += len(events)
            if len(weight[rows]):
                vectors.append(self._parts.encoder(events.features[rows]).numpy())
                weights.append(np.abs(weight[rows]))
        z, weight = np.concatenate(vectors).astype(float), np.concatenate(weights)
        random = np.random.default_rng(self.training.seed)
        z = z[random.choice(len(z), len(z), p=weight / weight.sum())]
        if not np.isfinite(z).all():
            raise InputError(f"the latent vectors of {self.path} are not finite: train again")
        mixture = GaussianMixture(
            max(1, min(COMPONENTS, len(z) // 100)),
            reg_covar=1e-4 * max(float(z.var()), 1e-12),
            random_state=int(self.training.seed) % 2**32,
            init_params="random_from_data",
            max_iter=200,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it could go on: good enough
            mixture.fit(z)
        return LatentDensity(
            mixture.weights_.tolist(),
            mixture.means_.tolist(),
            mixture.precisions_cholesky_.tolist(),
            name="latent_density",
        )


@keras.saving.register_keras_serializable(package="m3l")
class Median(keras.layers.Layer):
    """The most probable values or medians in GeV, (events, n), from outputs of the decoder."""

    def __init__(self, columns, **kwargs):
        super().__init__(**kwargs)
        self.columns = columns if isinstance(columns, Columns) else Columns(**columns)

    def call(self, outputs):
        c = self.columns
        n, kinds = len(c.kinds), np.array(c.kinds)
        u = outputs[:, :n] * np.array(c.spread, "f4") + np.array(c.mean, "f4")
        positive = ops.maximum(ops.exp(ops.clip(u, -50.0, 50.0)) - np.array(c.start, "f4"), 0.0)
        share = ops.clip((ops.sigmoid(u) - EDGE) / (1 - 2 * EDGE), 0.0, 1.0)
        real = ops.sign(u) * (ops.exp(ops.minimum(ops.abs(u), 50.0)) - 1.0)
        value = ops.where(kinds == SHARE, share, real)
        value = ops.where(kinds == POSITIVE, positive, value)
        likely = ops.cast(outputs[:, 2 * n : 3 * n] > 0, "float32")
        value = ops.where(np.array(c.counted, bool), value * likely, value)
        if not c.logits:
            return value
        columns = [value[:, place] for place in range(n)]
        for start, stop in c.groups:
            best = ops.cast(ops.argmax(outputs[:, 3 * n + start : 3 * n + stop], axis=1), "float32")
            for place in range(n):
                if start <= c.first[place] < stop and kinds[place] == WHOLE:
                    columns[place] = best + c.low[place]
                elif start <= c.first[place] < stop and kinds[place] == CATEGORY:
                    columns[place] = ops.cast(best == c.first[place] - start, "float32")
        return ops.stack(columns, axis=1)

    def get_config(self):
        return super().get_config() | {"columns": asdict(self.columns)}


def build(config, columns):
    """The Parts of a ModelConfig, with sizes, for Columns; the decoder has several outputs."""
    n = len(columns.kinds)

    def dense(layer, name, x):
        activation = layer.activation
        if activation == "leaky_relu":
            activation = keras.layers.LeakyReLU(negative_slope=config.slope)
        return keras.layers.Dense(layer.units, activation=activation, name=name)(x)

    inputs = keras.Input((n,), name="scaled")
    x = Cells(columns, name="cells")(inputs)
    for i, layer in enumerate(config.encoder, 1):
        x = dense(layer, f"encoder_{i}", x)
    encoder = keras.Model(inputs, dense(config.latent, "latent", x), name="encoder")
    x = latent = keras.Input((config.latent.units,), name="latent")
    for i, layer in enumerate(config.decoder, 1):
        x = dense(layer, f"decoder_{i}", x)
    outputs = [
        keras.layers.Dense(n, kernel_initializer="zeros", name=name)(x)
        for name in ("mean", "log_width", "log_odds")
    ]
    if columns.logits:
        outputs.append(keras.layers.Dense(columns.logits, name="values")(x))
    return Parts(encoder, keras.Model(latent, outputs, name="decoder"))
