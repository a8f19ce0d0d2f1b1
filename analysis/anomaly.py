"""The anomaly score of a trained model as a column of the event loop.

`python -m ml train` leaves what a model has learned as plain numbers: a network in `network.json`
and `network.bin`, any other detector in `detector.json` and `numbers.npz`. Here they are put
together from parts that C++ has. The expression of the column has the names of the model's inputs
only; the model itself is a constant column, a number made of the checksums of its files. So a model
that moves or is trained again is no reason to compile, and never gives the scores of another one.
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import ROOT

from analysis.content import require
from analysis.detector_files import NUMBERS, read_detector
from analysis.detector_scores import KINDS, Inputs, Part, network_score, score_of
from analysis.errors import InputError, near_miss
from analysis.features import Binning, Feature
from analysis.features import cells as layout_cells
from analysis.files import digest, read_json, read_regular
from analysis.output import (
    DETECTOR_RECORD,
    IDENTITY,
    MODEL_FOLDS,
    MODEL_RECORD,
    RETRAIN,
    single_models,
)
from analysis.plan import MATRIX
from analysis.records import NETWORK, column_of, network_contradictions, network_numbers

SCORE = Feature(
    "anomaly_score", "anomaly_score", "Anomaly score", "", Binning(140, -10.0, 25.0), network=False
)
KEY = "anomaly_model"  # the constant column

NETWORK_RECORD, NETWORK_NUMBERS = "network.json", "network.bin"
# All that is needed of a model.
FILES = (NETWORK_RECORD, NETWORK_NUMBERS, DETECTOR_RECORD, NUMBERS, MODEL_FOLDS)


@dataclass(frozen=True)
class Model:
    """A trained model: a score, or one for each fold."""

    folder: Path
    scores: tuple[Part, ...]
    inputs: tuple[str, ...]  # see records.column_of
    signature: str  # digest of all that decides on the scores

    @property
    def key(self):
        """The signature as a whole number that a double holds exactly."""
        return float(int(self.signature[:13], 16))

    def expression(self, layout, known):
        """The score as an RDataFrame string.

        known: names of the scalar features and counts of the run
        Raises InputError if the model needs other features.
        """
        known = dict.fromkeys(known)
        cells = {cell.name: number for number, cell in enumerate(layout_cells(layout))}
        self.check(cells, known)
        values = ", ".join(value_of(name, cells) for name in self.inputs)
        return f"anomalyScore({KEY}, {{{values}}}, {', '.join(IDENTITY)})"

    def check(self, cells, known):
        """Raise InputError if the model needs what this run does not have."""
        unknown = []
        for column, category in map(column_of, self.inputs):
            there = column in known or (category is None and column in cells)
            if not there and column not in unknown:
                unknown.append(column)
        if unknown:
            more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
            raise InputError(
                f"model {self.folder} was trained on features that this run does not have: "
                f"{', '.join(unknown[:3])}{more}{near_miss(unknown[0], [*cells, *known])}"
            )

    def keep(self):
        """Make the model known to the C++ of this process and of its later children."""
        if ROOT.m3l.hasModel(self.key):
            return
        made = {}
        scores = pointers([make(part, made) for part in self.scores])
        ROOT.m3l.keepModel(self.key, len(self.inputs), scores)


def value_of(name, cells):
    """C++ for the value of an input; `cells` are numbers by name."""
    column, category = column_of(name)
    if category is not None:
        return f"float({column} == {category})"
    return f"{MATRIX}[{cells[column]}]" if column in cells else f"float({column})"


def make(part, made):
    """The m3l::ScorePtr of a Part; `made` are those that there are already, by Part."""
    if part not in made:
        arguments = [argument_of(value, made) for value in part.arguments]
        made[part] = getattr(ROOT.m3l, part.function)(*arguments)
    return made[part]


def argument_of(value, made):
    """What C++ takes for an argument of a Part."""
    if isinstance(value, Part):
        return make(value, made)
    if isinstance(value, tuple):
        if value and isinstance(value[0], str):
            return ROOT.std.vector["std::string"](value)
        return pointers([make(part, made) for part in value])
    if isinstance(value, np.ndarray):
        take = ROOT.m3l.numbersAt if value.dtype == np.float64 else ROOT.m3l.placesAt
        # With a value too many, since an empty array has no address.
        return take(np.append(value.ravel(), value.dtype.type(0)), value.size)
    return value


def pointers(scores):
    """A vector of m3l::ScorePtr."""
    found = ROOT.std.vector["std::shared_ptr<const m3l::Score>"]()
    for score in scores:
        found.push_back(score)
    return found


def read_model(folder):
    """Read the Model in a folder. Raises InputError."""
    folder = Path(os.path.realpath(folder))
    if not folder.is_dir():
        raise InputError(
            f"model {folder}: no such folder; give one that python -m ml train has written"
        )
    inputs, scores, contents = Inputs(), [], []
    singles = single_models(folder)
    for number, single in enumerate(singles):
        read = read_other if (single / DETECTOR_RECORD).exists() else read_network
        score, content = read(single, inputs)
        split = content.get("split")
        if split and len(singles) > 1 and (split["folds"], split["test"]) != (len(singles), number):
            raise InputError(f"{folder} has not one model for each of its folds: {RETRAIN}")
        scores.append(score)
        contents.append(content)
    return Model(folder, tuple(scores), tuple(inputs.places), digest(contents))


def read_other(folder, inputs):
    """The score, a Part, of a detector that is no network, and its record. Raises InputError."""
    content, numbers = read_detector(folder)
    kind = content["kind"]
    if kind not in KINDS:
        raise InputError(
            f"{folder} is a detector of kind '{kind}', which the event loop does not know: "
            "python -m ml score writes its scores"
        )
    try:
        return score_of(content, numbers, inputs), content
    except ValueError as error:
        raise InputError(
            f"{folder} holds no detector of this version ({error}): {RETRAIN}"
        ) from None


def read_network(folder, inputs):
    """The score, a Part, of a network, and its record. Raises InputError."""
    path = folder / NETWORK_RECORD
    if (folder / MODEL_RECORD).exists() and not path.exists():
        raise InputError(
            f"{folder} cannot be used in the event loop, since its score is no squared error of a "
            "chain of dense layers: python -m ml score writes its scores"
        )
    content = read_json(path, f"not a model; {RETRAIN}")
    require(content, NETWORK, path, RETRAIN)
    for problem in network_contradictions(content):
        raise InputError(f"{path}: {problem}: {RETRAIN}")
    path, size = folder / NETWORK_NUMBERS, 4 * network_numbers(content)
    try:
        plain = read_regular(path, size)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}: {RETRAIN}") from None
    if len(plain) != size or hashlib.sha256(plain).hexdigest() != content["sha256"]:
        raise InputError(f"{path} is damaged: {RETRAIN}")
    numbers = np.frombuffer(plain, "<f4")
    if not np.isfinite(numbers).all():
        raise InputError(f"{path} has numbers that are not finite: {RETRAIN}")
    return network_score(content, numbers, inputs), content
