"""The anomaly score of a trained model as a column of the event loop.

`python -m ml train` leaves the network beside the Keras model as plain numbers (`network.json` and
`network.bin`); here they become an expression around the C++ functor `m3l::Network`. What a model
says gets into the expression as numbers, and as names that this run has itself.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.content import require
from analysis.errors import InputError, near_miss
from analysis.features import Binning, Feature
from analysis.features import cells as layout_cells
from analysis.files import read_json, read_regular
from analysis.output import IDENTITY, RETRAIN, single_models
from analysis.plan import MATRIX
from analysis.records import NETWORK, column_of, network_contradictions, network_numbers

SCORE = Feature(
    "anomaly_score", "anomaly_score", "Anomaly score", "", Binning(60, -5.0, 4.0), network=False
)


@dataclass(frozen=True)
class Network:
    """One network as plain numbers."""

    path: Path  # of network.bin
    content: dict  # of network.json, which keeps the rule records.NETWORK


@dataclass(frozen=True)
class Model:
    """A trained model: one network, or one per fold."""

    folder: Path
    networks: tuple[Network, ...]

    def expression(self, layout, known):
        """The score as an RDataFrame string: each event by the network that left its fold alone.

        known: names of the scalar features and counts of the run
        Raises InputError if the model needs other features.
        """
        known = dict.fromkeys(known)
        cells = {cell.name: number for number, cell in enumerate(layout_cells(layout))}
        lines, calls = [], []
        for k, network in enumerate(self.networks):
            self.check(network, cells, known)
            lines.append(f"static const Network network_{k}({functor_arguments(network, cells)});")
            calls.append(f"network_{k}({call_arguments(network, cells)})")
        if len(calls) == 1:
            return f"{lines[0]} return {calls[0]};"
        cases = [f"case {k}: return {call};" for k, call in enumerate(calls[:-1])]
        fold = f"foldOf({', '.join(IDENTITY)}, {len(calls)})"
        switch = f"switch ({fold}) {{ {' '.join(cases)} default: return {calls[-1]}; }}"
        return f"{' '.join(lines)} {switch}"

    def check(self, network, cells, known):
        """Raise InputError if the network needs what this run does not have."""
        needed = [column_of(name)[0] for name in network.content["features"]]
        unknown = [name for name in needed if name not in cells and name not in known]
        unknown += [n for n in count_names(network) if n not in known]
        if unknown:
            more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
            raise InputError(
                f"model {self.folder} was trained on features that this run does not have: "
                f"{', '.join(unknown[:3])}{more}{near_miss(unknown[0], [*cells, *known])}"
            )


def count_names(network):
    """Columns with the numbers of objects of each type."""
    return [f"n_{kind}" for kind in network.content["types"]]


def call_arguments(network, cells):
    """What the functor is applied to: the matrix, the features that are not in it, the counts."""
    names = [name for name in network.content["features"] if name not in cells]
    scalars = [f"float({value_of(name)})" for name in names]
    counts = [f"int({name})" for name in count_names(network)]
    return f"{MATRIX}, {{{', '.join(scalars)}}}, {{{', '.join(counts)}}}"


def value_of(name):
    """C++ for the value of an input of a network."""
    column, category = column_of(name)
    return column if category is None else f"{column} == {category}"


def functor_arguments(network, cells):
    """Arguments of the C++ constructor, see helpers/network.h; `cells` are numbers by name."""
    content = network.content
    layers = ", ".join(
        f"{{{layer['inputs']}, {layer['units']}, Network::Activation::k"
        f"{layer['activation'].title().replace('_', '')}, {float(layer['slope'])!r}f}}"
        for layer in content["layers"]
    )
    log = ", ".join(map(str, content["log"]))
    least = ""
    if content["mask_absent"]:
        least = ", ".join("{" + ", ".join(map(str, row)) + "}" for row in content["least"])
    taken = ", ".join(str(cells.get(name, -1)) for name in content["features"])
    path = quoted(network.path)
    # The checksum makes the expression another one when the model is trained again.
    return (
        f"{path}, {{{log}}}, {{{layers}}}, {{{least}}}, {float(content['smallest_error'])!r}, "
        f"{{{taken}}} /* {content['sha256']} */"
    )


def quoted(path):
    """A path as a C++ string, in which nothing but letters, digits and / . _ - stands as it is."""
    letters = (
        chr(byte)
        if byte < 128 and (chr(byte).isalnum() or chr(byte) in "/._-")
        else f"\\{byte:03o}"
        for byte in os.fsencode(path)
    )
    return f'"{"".join(letters)}"'


def read_model(folder):
    """Read the networks of a model folder. Raises InputError."""
    folder = Path(os.path.realpath(folder))
    if not folder.is_dir():
        raise InputError(
            f"model {folder}: no such folder; give one that python -m ml train has written"
        )
    return Model(folder, tuple(map(read_network, single_models(folder))))


def read_network(folder):
    """Read one Network from a folder, a Path. Raises InputError."""
    path = folder / "network.json"
    content = read_json(path, f"not a model; {RETRAIN}")
    require(content, NETWORK, path, RETRAIN)
    for problem in network_contradictions(content):
        raise InputError(f"{path}: {problem}: {RETRAIN}")
    path, size = folder / "network.bin", 4 * network_numbers(content)
    try:
        plain = read_regular(path, size)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}: {RETRAIN}") from None
    if len(plain) != size or hashlib.sha256(plain).hexdigest() != content["sha256"]:
        raise InputError(f"{path} is damaged: {RETRAIN}")
    if not np.isfinite(np.frombuffer(plain, "<f4")).all():
        raise InputError(f"{path} has numbers that are not finite: {RETRAIN}")
    return Network(path, content)
