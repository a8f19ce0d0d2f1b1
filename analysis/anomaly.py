"""The anomaly score of a trained model as a column of the event loop.

`python -m ml train` leaves the network beside the Keras model as plain numbers (`network.json` and
`network.bin`); here they become an expression around the C++ functor `m3l::Network`.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from analysis.errors import InputError, near_miss
from analysis.features import Binning, Feature
from analysis.features import cells as layout_cells
from analysis.files import checksum
from analysis.output import IDENTITY
from analysis.plan import MATRIX

SCORE = Feature(
    "anomaly_score", "anomaly_score", "Anomaly score", "", Binning(60, -5.0, 4.0), network=False
)


@dataclass(frozen=True)
class Network:
    """One network as plain numbers."""

    path: Path  # of network.bin
    content: dict  # of network.json


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
        unknown = [n for n in network.content["features"] if n not in cells and n not in known]
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
    scalars = [f"float({name})" for name in network.content["features"] if name not in cells]
    counts = [f"int({name})" for name in count_names(network)]
    return f"{MATRIX}, {{{', '.join(scalars)}}}, {{{', '.join(counts)}}}"


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
    path = json.dumps(str(network.path))
    # The checksum makes the expression another one when the model is trained again.
    return (
        f"{path}, {{{log}}}, {{{layers}}}, {{{least}}}, {content['smallest_error']!r}, "
        f"{{{taken}}} /* {content['sha256']} */"
    )


def read_model(folder):
    """Read the networks of a model folder. Raises InputError."""
    folder = Path(folder).resolve()
    try:
        folds = folder / "folds.json"
        single = (folder / "network.json").exists() or not folds.exists()
        names = ["."] if single else json.loads(folds.read_text())["models"]
        return Model(folder, tuple(read_network(folder / name) for name in names))
    except OSError as error:
        raise InputError(
            f"model {folder}: {Path(error.filename).name}: {error.strerror}; "
            "give a folder that python -m ml train has written"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"model {folder} cannot be read ({error!r}); train it again") from None


def read_network(folder):
    """Read one Network. Raises InputError, OSError and what a wrong content raises."""
    content = json.loads((folder / "network.json").read_text())
    if content["format"] != 1:
        raise InputError(f"model {folder} has format {content['format']}, not 1; train it again")
    path = folder / "network.bin"
    if checksum(path) != content["sha256"]:
        raise InputError(f"model {folder}: network.bin is damaged; train it again")
    return Network(path, content)
