"""A trained model for programs without Keras: as plain numbers, and as ONNX.

`network.json` and `network.bin` hold all that is needed to score an event. `network.json`:

- `format`: 1
- `features`: names of the n inputs, in order, values as in the tables (GeV)
- `log`: n times 0 or 1
- `types`: names of the object types; the count of type t is the column `n_<type>`
- `mask_absent`: whether cells of missing objects are left out of the score
- `least`: for each feature the number of objects of each type that it needs, n x types
- `layers`: in order, each with `inputs`, `units`, `activation` (linear, relu, tanh,
  sigmoid or leaky_relu) and `slope` (of leaky_relu below 0)
- `latent_layer`: number, from 0, of the layer whose output is the latent vector
- `smallest_error`: the mean squared error is raised to at least this
- `sha256`: checksum of `network.bin`

`network.bin` holds little-endian 32-bit floats without anything between them: shift (n),
factor (n), then for each layer the weights (inputs x units, row by row: the weight from input i to
unit j is at i * units + j) and the biases (units).

The score of an event with features x and object counts c::

    s_f = ((log_f ? sign(x_f) * log1p(|x_f|) : x_f) - shift_f) * factor_f
    r = s; for each layer: r_j = activation(bias_j + sum_i r_i * weight_ij)
    used_f = not mask_absent, or c_t >= least_ft for every type t
    mse = sum over used f of (s_f - r_f)^2 / max(1, number of used f)
    score = log10(max(mse, smallest_error))

With a variational model the layers lead through the latent mean; nothing is drawn at random.

Readers take nothing else: `records.NETWORK` and `records.network_contradictions` in `analysis` say
what each value may be, and numbers that are not finite are refused.
"""

import warnings

import numpy as np

from analysis.errors import M3LError, OutputError
from analysis.files import atomic_file, checksum, write_file, write_json
from ml.layers import SMALLEST_ERROR
from ml.own_network import plain_layers

TOLERANCE = 1e-5  # between ONNX and Keras, in the score


def write_network(folder, record, parts):
    """Write `network.json` and `network.bin` of the `ml.models.Parts` of a trained model.

    Nothing is written for a network of a child's making that is no chain of dense layers, nor for
    one whose score is no squared error.
    """
    if record.network.likelihood:
        return
    if record.own:
        found = plain_layers(parts)
        if found is None:
            return
        steps, before = found
    else:
        steps, before = _declared_layers(record.network, parts)
    numbers = [record.scaling.shift, record.scaling.factor]
    described = []
    for kernel, bias, activation, slope in steps:
        numbers += [kernel, bias]
        described.append(
            {
                "inputs": kernel.shape[0],
                "units": kernel.shape[1],
                "activation": activation,
                "slope": slope,
            }
        )
    plain = b"".join(np.ascontiguousarray(array, "<f4").tobytes() for array in numbers)
    write_file(folder / "network.bin", plain)
    least = np.zeros((len(record.features), len(record.types)), int)
    for number, feature in enumerate(record.features):
        for kind, rank in feature.objects:
            least[number, kind] = max(least[number, kind], rank + 1)
    write_json(
        folder / "network.json",
        {
            "format": 1,
            "features": list(record.names),
            "log": [int(flag) for flag in record.scaling.log],
            "types": list(record.types),
            "mask_absent": record.training.mask_absent,
            "least": least.tolist(),
            "layers": described,
            "latent_layer": before - 1,
            "smallest_error": SMALLEST_ERROR,
            "sha256": checksum(folder / "network.bin"),
        },
    )


def _declared_layers(config, parts):
    """As `plain_layers`, of a network of `ml.models`."""
    encoder = [f"encoder_{i}" for i in range(1, len(config.encoder) + 1)] + ["latent"]
    decoder = [f"decoder_{i}" for i in range(1, len(config.decoder) + 1)] + ["reconstruction"]
    layers = [parts.encoder.get_layer(name) for name in encoder]
    layers += [parts.decoder.get_layer(name) for name in decoder]
    activations = [layer.activation for layer in (*config.encoder, config.latent, *config.decoder)]
    steps = [
        (*layer.get_weights(), activation, config.slope if activation == "leaky_relu" else 0.0)
        for layer, activation in zip(layers, [*activations, config.output], strict=True)
    ]
    return steps, len(encoder)


def write_onnx(model, path):
    """Write the inference model as ONNX and compare it with Keras; return the largest difference.

    Inputs and outputs have the names and shapes of `ml.models.inference_model`.
    Raises `OutputError`, and writes nothing, if scores differ by more than 1e-5.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise M3LError(f"ONNX export needs {error.name}: pip install '.[ml]'") from None
    # Events to compare on: from the middle of the training range to far outside of it.
    random = np.random.default_rng(0)
    scale = model.get_layer("scale")
    typical = np.abs(np.array(scale.shift)) + 1 / np.array(scale.factor)
    typical = np.where(scale.log, np.expm1(np.minimum(typical, 10)), typical)
    inputs = {"features": random.exponential(typical, (1000, len(typical))).astype("f4")}
    if len(model.inputs) == 2:
        inputs["counts"] = random.integers(0, 6, (1000, model.inputs[1].shape[1])).astype("f4")
    arrays = list(inputs.values())
    # Keras exports only models that have been called.
    expected = model(arrays if len(arrays) > 1 else arrays[0])["score"].numpy()
    with atomic_file(path) as temporary:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tf2onnx, about numpy
            model.export(temporary, format="onnx", verbose=False)
        session = onnxruntime.InferenceSession(str(temporary), providers=["CPUExecutionProvider"])
        outputs = session.run(["score"], inputs)[0]
        difference = float(np.abs(outputs - expected).max())
        if not difference <= TOLERANCE:
            raise OutputError(f"the ONNX scores differ from Keras by {difference:.2g}: not written")
    return difference
