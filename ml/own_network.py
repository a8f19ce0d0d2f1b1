"""Networks that a child of `ml.autoencoder.RunAE` makes itself, as plain functional Keras models.

Such a model has `data_shape` scaled features in and out. It is trained with the weights of the
events by its own optimiser and loss, split at its latent layer, and described for `model.json`.
"""

import inspect
import json

import numpy as np

from analysis.errors import DeclarationError
from analysis.records import ACTIVATIONS, OTHER_ACTIVATION
from ml import layers
from ml.backend import keras
from ml.models import Layer, ModelConfig, Parts

SQUARED = ("mse", "mean_squared_error", "MSE")
IDENTITIES = (  # what does nothing to an event that is scored
    keras.layers.Dropout,
    keras.layers.GaussianNoise,
    keras.layers.GaussianDropout,
    keras.layers.ActivityRegularization,
)


class Size(int):
    """A number of units that Keras also takes as a shape, as the thesis's programs do."""

    def __iter__(self):
        yield int(self)


class Sizes:
    """`keras_tuner.HyperParameters` whose whole numbers are `Size`s."""

    def __init__(self, drawn):
        self._drawn = drawn

    def __getattr__(self, name):
        return getattr(self._drawn, name)

    def Int(self, *args, **kwargs):  # noqa: N802, the name that keras_tuner gave it
        """As `HyperParameters.Int`."""
        return Size(self._drawn.Int(*args, **kwargs))


def build(builder, drawn=None):
    """What `builder` makes of `drawn`, HyperParameters; None: the default of each choice.

    The builder of a child without choices may take no argument.
    """
    if not inspect.signature(builder).parameters:
        return builder()
    if drawn is None:
        import keras_tuner  # takes a second

        drawn = keras_tuner.HyperParameters()
    return builder(Sizes(drawn))


def trainable(built, features, learning_rate):
    """The model `built` as a network that a feed can train.

    built: a functional keras.Model, compiled or not; learning_rate: of Adam if it is not
    Absent cells are left out of the loss if that is the mean squared error; any other loss sees
    them as the network does, as the cell of a missing object.
    Raises DeclarationError if it is no such model or has another number of inputs or outputs.
    """
    name = f"the network '{getattr(built, 'name', built)}' of AE_model_builder"
    if not isinstance(built, keras.Model) or not hasattr(built, "inputs"):
        raise DeclarationError(f"{name} is no functional keras.Model")
    shapes = [tuple(tensor.shape) for tensor in (*built.inputs, *built.outputs)]
    if shapes != [(None, features)] * 2:
        raise DeclarationError(
            f"{name} must have one input and one output of data_shape = {features} numbers per "
            f"event, not the shapes {', '.join(map(str, shapes))}"
        )
    for layer in built._flatten_layers():
        if getattr(getattr(layer, "activation", None), "__name__", "") == "<lambda>":
            raise DeclarationError(
                f"{name}: layer '{layer.name}' has a lambda as activation, which cannot be saved: "
                "use a name, a function of keras.activations or a layer of Keras"
            )
    loss = built.loss if built.compiled else None
    squared = loss is None or loss in SQUARED or isinstance(loss, keras.losses.MeanSquaredError)
    model = layers.Network(built.inputs[0], built.outputs[0], name="training")
    model.compile(
        optimizer=(built.compiled and built.optimizer) or keras.optimizers.Adam(learning_rate),
        loss=layers.SquaredError(features) if squared else loss,
        weighted_metrics=[layers.squared_error_metric(features)],
    )
    model.absent_as_nan = squared
    model.described = [built.to_json(), json.dumps(built.get_compile_config(), default=str)]
    return model


def split(model):
    """The Parts of a functional `model`, of whose variables they are made.

    The latent vector is that of a sub-model or layer of the name "encoder" or "latent", else the
    output of the narrowest hidden layer, with the activation that may follow it, the first if there
    are several. If the rest of the network needs more than the latent vector, the Parts have
    `whole` and no decoder.
    """
    hidden = [layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)]
    if [layer.name for layer in hidden] == ["encoder", "decoder"]:
        return Parts(*hidden)
    vectors = [layer for layer in hidden[:-1] if _is_vector(layer.output)]
    named = [layer for layer in vectors if layer.name in ("encoder", "latent")]
    if not vectors:
        raise DeclarationError("the network of AE_model_builder has no hidden layer of vectors")
    latent = named[0].output if named else _narrowest(vectors)
    encoder = keras.Model(model.inputs[0], latent, name="encoder")
    x = np.random.default_rng(0).normal(size=(4, model.input_shape[-1])).astype(np.float32)
    try:
        decoder = keras.Model(latent, model.outputs[0], name="decoder")
        if np.allclose(decoder(encoder(x)), model(x), rtol=1e-4, atol=1e-5):
            return Parts(encoder, decoder)
    except (ValueError, KeyError):  # a connection that passes by the latent layer
        pass
    whole = keras.Model(model.inputs[0], [latent, model.outputs[0]], name="network")
    return Parts(encoder, None, whole)


def _narrowest(layers):
    """The output of the first of the narrowest layers and the activation behind it."""
    width = min(layer.output.shape[-1] for layer in layers)
    place = next(n for n, layer in enumerate(layers) if layer.output.shape[-1] == width)
    for after in range(place + 1, len(layers)):
        if not isinstance(
            layers[after], (keras.layers.LeakyReLU, keras.layers.ReLU, keras.layers.Activation)
        ):
            break
        place = after
    return layers[place].output


def describe(parts, name, config):
    """The ModelConfig that says what a network of a child's making consists of.

    parts: its Parts; name: of the class; config: ModelConfig with the scaler
    Layers without a size, and activations that no declared network has, are only hinted at.
    """
    features, latent = parts.encoder.input_shape[-1], parts.encoder.output_shape[-1]
    before = [_layer(layer) for layer in _dense(parts.encoder)]
    model = parts.whole or parts.decoder
    after = [_layer(layer) for layer in _dense(model)]
    after = after[len(before) :] if parts.whole else after
    if before and before[-1].units == latent:
        *before, middle = before
    else:
        middle = Layer(latent, OTHER_ACTIVATION)
    if after and after[-1].units == features:
        *after, last = after
    else:
        last = Layer(features, OTHER_ACTIVATION)
    return ModelConfig(
        name,
        encoder=tuple(before),
        latent=middle,
        decoder=tuple(after),
        output=last.activation,
        made_for=features,
        scaler=config.scaler,
        learning_rate=config.learning_rate,
        slope=config.slope,
    )


def plain_layers(parts):
    """[(weights, biases, activation, slope)] of an autoencoder that is a chain of dense layers.

    Also the number of layers of the encoder. None if it is anything else.
    """
    if parts.decoder is None:
        return None
    encoder, decoder = _chain(parts.encoder), _chain(parts.decoder)
    if encoder is None or decoder is None:
        return None
    return encoder + decoder, len(encoder)


def _chain(model):
    if not _is_sequence(model):
        return None
    steps = []
    for layer in model.layers:
        if isinstance(layer, (keras.layers.InputLayer, *IDENTITIES)):
            continue
        if type(layer) is keras.layers.Dense:
            kernel, *bias = layer.get_weights()
            steps.append([kernel, *(bias or [np.zeros(kernel.shape[1], np.float32)])])
            activation = layer.activation
        elif steps and steps[-1][2:] == ["linear", 0.0]:
            activation = getattr(layer, "activation", layer)
        else:
            return None
        if (known := _activation(activation)) is None:
            return None
        steps[-1][2:] = known
    return [tuple(step) for step in steps]


def _is_sequence(model):
    """Whether each layer of a functional model takes the output of the one before, and no other."""
    first, *others = model.get_config()["layers"]
    before = first["name"]
    for layer in others:
        sources = [
            tensor["config"]["keras_history"][0]
            for node in layer["inbound_nodes"]
            for tensor in node["args"]
            if isinstance(tensor, dict) and "keras_history" in tensor.get("config", {})
        ]
        if sources != [before] or len(layer["inbound_nodes"]) != 1:
            return False
        before = layer["name"]
    return model.output_names == [before]


def _activation(activation):
    """(name, slope) of an activation that programs without Keras know, else None."""
    if isinstance(activation, keras.layers.LeakyReLU):
        return "leaky_relu", float(activation.negative_slope)
    if isinstance(activation, keras.layers.ReLU):
        plain = activation.max_value is None and not activation.threshold
        return ("leaky_relu", float(activation.negative_slope)) if plain else None
    name = getattr(activation, "__name__", "")
    if name not in ACTIVATIONS:
        return None
    return name, 0.2 if name == "leaky_relu" else 0.0


def _dense(model):
    """The layers with units, those of sub-models included, in order."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _dense(layer)
        elif hasattr(layer, "units"):
            yield layer


def _layer(layer):
    known = _activation(getattr(layer, "activation", None))
    return Layer(layer.units, known[0] if known else OTHER_ACTIVATION)


def _is_vector(tensor):
    return not isinstance(tensor, (list, tuple)) and len(tensor.shape) == 2
