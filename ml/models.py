"""The networks: sizes and activations as declarations, and how Keras builds them.

To add a network, add one entry to `MODELS`. n is the number of features.

Sources: `small`, `big`, `vae_small` and `vae_big` are the networks of the thesis, made for the 529
cells of a 23 x 23 matrix; `deep` has the architecture of the thesis drafts' hyperparameter search;
`published` is the network of ATLAS, Phys. Rev. Lett. 132 (2024) 081801, arXiv:2307.01612, made for
36 x 36 = 1296 cells; `likelihood` is that of `ml.likelihood`.
An autoencoder whose layers are wider than its input can copy the input and learns nothing of it.
So sizes are used as published unless a hidden one is larger than n; then every hidden size is
multiplied by n over the number of features the network was made for, which keeps the proportions.
The latent size says how many numbers an event is described by, which does not change with the
number of cells it is measured in: it stays as declared, and no hidden layer is scaled below it.
Only where it would not be smaller than n it becomes half of n.
"""

from dataclasses import asdict, dataclass, fields, replace

from analysis.errors import DeclarationError, listed, near_miss
from analysis.records import ACTIVATIONS

ALL = 0  # as a size: as many units as there are features
# What the strengths of regularisers multiply: the mean size of a weight and the mean square of an
# output, as the loss is a mean; or their sums, as in Keras and the thesis drafts. Summed over ten
# thousand weights, even the weakest strength there outweighs a mean squared error of 1, which is
# what a network has that gives up.
PENALTIES = ("mean", "sum")


@dataclass(frozen=True)
class Layer:
    """One dense layer."""

    units: int  # ALL for the number of features
    activation: str


@dataclass(frozen=True)
class ModelConfig:
    """A dense autoencoder. Everything needed to build it, given the number of features."""

    name: str
    encoder: tuple[Layer, ...]
    latent: Layer
    decoder: tuple[Layer, ...]
    output: str  # activation of the last layer, which has one unit per feature
    made_for: int = 529  # features; see the head of this file
    scaler: str = "standard"  # standard, minmax, robust or log
    learning_rate: float = 1.5e-3  # of Adam
    slope: float = 0.3  # of leaky_relu below 0
    kernel_l1: float = 0.0  # on the first and third layer of the encoder, mirrored in the decoder
    activity_l2: float = 0.0  # on the same layers
    likelihood: bool = False  # each column has the distribution of its type, see ml.likelihood
    categories: int = 0  # likelihood: number of values of whole numbers and categories
    penalty: str = "mean"  # what the two multiply, see PENALTIES
    variational: bool = False  # the latent layer gives a mean and a log variance
    sigma: float = 1.0  # variational: assumed spread of a scaled feature around its reconstruction

    def sized(self, features):
        """The same network with numbers in place of every size, for `features` inputs."""
        widest = max((layer.units for layer in (*self.encoder, *self.decoder)), default=ALL)
        ratio = features / self.made_for if widest > features else 1.0
        latent = self.latent.units or features
        if latent >= features and self.made_for != features:
            latent = max(1, features // 2)

        def number(layer):
            if layer.units == ALL:
                return replace(layer, units=features)
            if ratio == 1.0:
                return layer
            return replace(layer, units=max(latent, round(layer.units * ratio)))

        return replace(
            self,
            encoder=tuple(map(number, self.encoder)),
            latent=replace(self.latent, units=latent),
            decoder=tuple(map(number, self.decoder)),
            made_for=features,
        )

    def sizes(self, features):
        """Units from the input to the output, both included."""
        sized = self.sized(features)
        layers = [*sized.encoder, sized.latent, *sized.decoder]
        return [features, *(layer.units for layer in layers), features]

    def to_dict(self):
        """As plain values for a JSON file; `from_dict` reads it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values):
        """The inverse of `to_dict`."""
        values = {"penalty": "sum"} | values  # older records do not have it
        if unknown := set(values) - {field.name for field in fields(cls)}:
            raise DeclarationError(f"unknown fields of a network: {listed(sorted(unknown))}")
        for part in ("encoder", "decoder"):
            values[part] = tuple(Layer(**layer) for layer in values[part])
        values["latent"] = Layer(**values["latent"])
        return cls(**values)


def _layers(*pairs):
    return tuple(Layer(units, activation) for units, activation in pairs)


MODELS = {
    model.name: model
    for model in (
        ModelConfig(
            "small",
            encoder=_layers((ALL, "tanh")),
            latent=Layer(150, "leaky_relu"),
            decoder=(),
            output="leaky_relu",
        ),
        ModelConfig(
            "big",
            encoder=_layers((ALL, "tanh"), (450, "tanh"), (300, "leaky_relu"), (200, "relu")),
            latent=Layer(150, "leaky_relu"),
            decoder=_layers((200, "relu"), (350, "leaky_relu"), (450, "tanh")),
            output="leaky_relu",
        ),
        ModelConfig(
            "deep",
            encoder=_layers((150, "tanh"), (45, "leaky_relu"), (20, "leaky_relu")),
            latent=Layer(6, "linear"),
            decoder=_layers((20, "leaky_relu"), (45, "leaky_relu"), (150, "tanh")),
            output="linear",
            learning_rate=1e-3,
        ),
        ModelConfig(
            "published",
            encoder=_layers((800, "leaky_relu"), (400, "leaky_relu")),
            latent=Layer(200, "leaky_relu"),
            decoder=_layers((400, "leaky_relu"), (800, "leaky_relu")),
            output="linear",
            made_for=1296,
            learning_rate=1e-3,
        ),
        ModelConfig(
            "likelihood",
            encoder=_layers((128, "leaky_relu"), (64, "leaky_relu")),
            latent=Layer(12, "linear"),
            decoder=_layers((64, "leaky_relu"), (128, "leaky_relu")),
            output="linear",
            made_for=241,
            learning_rate=1e-3,
            likelihood=True,
        ),
        ModelConfig(
            "vae_small",
            encoder=_layers((ALL, "relu")),
            latent=Layer(150, "linear"),
            decoder=(),
            output="sigmoid",
            scaler="minmax",  # a sigmoid reaches 0 to 1 and nothing else
            learning_rate=1e-3,
            variational=True,
            sigma=0.05,
        ),
        ModelConfig(
            "vae_big",
            encoder=_layers((400, "tanh"), (300, "relu"), (200, "leaky_relu")),
            latent=Layer(150, "linear"),
            decoder=_layers((200, "leaky_relu"), (300, "relu"), (400, "tanh")),
            output="sigmoid",
            scaler="minmax",
            learning_rate=1e-3,
            variational=True,
            sigma=0.05,
        ),
    )
}


def find_network(name):
    """The declared network of this name; `DeclarationError` names the nearest for others."""
    if name in MODELS:
        return MODELS[name]
    hint = near_miss(name, MODELS) or f": choose from {listed(MODELS, 12)}"
    raise DeclarationError(f"unknown network '{name}'{hint}")


@dataclass(frozen=True)
class Parts:
    """The sub-models of an autoencoder, in scaled features."""

    encoder: object  # keras.Model (events, features) -> latent, or [mean, log variance]
    decoder: object  # keras.Model latent -> (events, features); None: see `whole`
    whole: object = None  # keras.Model (events, features) -> [latent, (events, features)]


def build(config, features, dtype="float32"):
    """Build encoder and decoder of `config` for `features` inputs.

    `dtype` is a Keras policy ("mixed_bfloat16" computes in 16 bits); the outputs are float32.
    """
    from ml.backend import keras

    config = config.sized(features)

    if config.penalty not in PENALTIES:
        raise DeclarationError(f"unknown penalty '{config.penalty}': choose {listed(PENALTIES)}")

    def dense(layer, x, name, regularised=False, dtype=dtype):
        activation = layer.activation
        if activation not in ACTIVATIONS:
            raise DeclarationError(
                f"unknown activation '{activation}': choose from {listed(ACTIVATIONS, 5)}"
            )
        if activation == "leaky_relu":
            activation = keras.layers.LeakyReLU(negative_slope=config.slope)
        mean = config.penalty == "mean"
        l1 = config.kernel_l1 / (x.shape[-1] * layer.units if mean else 1)
        l2 = config.activity_l2 / (layer.units if mean else 1)
        return keras.layers.Dense(
            layer.units,
            activation=activation,
            kernel_regularizer=keras.regularizers.L1(l1) if regularised and l1 else None,
            activity_regularizer=keras.regularizers.L2(l2) if regularised and l2 else None,
            dtype=dtype,
            name=name,
        )(x)

    inputs = keras.Input((features,), name="scaled")
    x = inputs
    for i, layer in enumerate(config.encoder, 1):
        x = dense(layer, x, f"encoder_{i}", i in (1, 3))
    outputs = dense(config.latent, x, "latent", dtype="float32")
    if config.variational:
        spread = Layer(config.latent.units, "linear")
        outputs = [outputs, dense(spread, x, "latent_log_variance", dtype="float32")]
    encoder = keras.Model(inputs, outputs, name="encoder")

    latent = keras.Input((config.latent.units,), name="latent")
    x = latent
    hidden = len(config.decoder)
    for i, layer in enumerate(config.decoder, 1):
        x = dense(layer, x, f"decoder_{i}", hidden - i in (0, 2))
    x = dense(Layer(features, config.output), x, "reconstruction", dtype="float32")
    return Parts(encoder, keras.Model(latent, x, name="decoder"))


def training_model(config, parts):
    """The compiled model to fit, scaled features in and out; see `ml.layers` for the losses.

    Its outputs are (events, features), followed for a variational model by latent mean and
    log variance in the same row.
    """
    from ml import layers
    from ml.backend import keras

    features = parts.encoder.input_shape[-1]
    inputs = keras.Input((features,), name="scaled")
    if config.variational:
        mean, log_variance = parts.encoder(inputs)
        sample = layers.Sampling(name="sample")([mean, log_variance])
        outputs = keras.layers.Concatenate(name="output")(
            [parts.decoder(sample), mean, log_variance]
        )
        loss = layers.NegativeElbo(features, config.sigma)
    else:
        outputs = parts.decoder(parts.encoder(inputs))
        loss = layers.SquaredError(features)
    model = layers.Network(inputs, outputs, name="training")
    model.compile(
        optimizer=keras.optimizers.Adam(config.learning_rate),
        loss=loss,
        weighted_metrics=[layers.squared_error_metric(features)],
    )
    return model


def inference_model(parts, scaling, objects=None, types=0):
    """The model that is saved: raw features in GeV in, scores out.

    Inputs: `features` (events, features) and, if `objects` is given, `counts`
    (events, types), the number of objects of each type. `objects` lists for each feature the
    (type, rank) pairs it needs; absent cells are then left out of error and score.
    Outputs: `score` (events,) log10 of the mean squared error; `error` (events, features)
    squared errors in scaled units, 0 for absent cells; `reconstruction` (events, features)
    scaled; `latent` (events, latent), the mean for a variational model.
    """
    from ml import layers
    from ml.backend import keras

    ops = keras.ops
    features = keras.Input((len(scaling.shift),), name="features")
    scaled = layers.Scale(
        scaling.log.tolist(), scaling.shift.tolist(), scaling.factor.tolist(), name="scale"
    )(features)
    if parts.whole:
        latent, reconstruction = parts.whole(scaled)
    else:
        latent = parts.encoder(scaled)
        if isinstance(latent, list):
            latent = latent[0]
        reconstruction = parts.decoder(latent)
    error = ops.square(scaled - reconstruction)
    inputs = features
    if objects is None:
        mean = ops.mean(error, axis=-1)
    else:
        counts = keras.Input((types,), name="counts")
        inputs = [features, counts]
        present = layers.Present(objects, types, name="present")(counts)
        error = error * present
        mean = ops.sum(error, axis=-1) / ops.maximum(ops.sum(present, axis=-1), 1.0)
    outputs = {
        "score": ops.log10(ops.maximum(mean, layers.SMALLEST_ERROR)),
        "error": error,
        "reconstruction": reconstruction,
        "latent": latent,
    }
    return keras.Model(inputs, outputs, name="autoencoder")
