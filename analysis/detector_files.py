"""The files of a detector: `detector.json`, and what it has learned as plain arrays, `numbers.npz`.

Both may come from someone else. So nothing is unpickled, sizes are looked at before anything is
made of them, and arrays hold finite numbers only. docs/formats.md has their names.
"""

import io
import math
import warnings
import zipfile
from hashlib import sha256

import numpy as np

from analysis.content import require
from analysis.errors import InputError, listed
from analysis.files import read_json, read_regular
from analysis.output import DETECTOR_RECORD, RETRAIN
from analysis.records import DETECTOR

NUMBERS = "numbers.npz"
MOST_BYTES = 1 << 30  # of numbers.npz
MOST_ARRAYS = 100_000
MOST_OUTPUTS = 10_000  # of trees

SVDD_SLOPE = 0.1  # of the activation of the kind svdd below 0


def read_detector(folder):
    """The content of detector.json in a folder, a Path, and {name: array}. Raises InputError."""
    content = read_detector_record(folder)
    return content, read_numbers(folder / NUMBERS, content["numbers"])


def read_detector_record(folder):
    """The content of detector.json in a folder, a Path. Raises InputError."""
    path = folder / DETECTOR_RECORD
    content = read_json(path, f"not a detector; {RETRAIN}")
    require(content, DETECTOR, path, RETRAIN)
    split = content["split"]
    if max(split["validation"], split["test"] or 0) >= split["folds"]:
        raise InputError(f"{path}: split has a fold that is not there: {RETRAIN}")
    return content


def read_numbers(path, expected):
    """{name: array} of an archive as numpy.savez writes it, with this checksum; InputError."""
    try:
        plain = read_regular(path, MOST_BYTES)
    except FileNotFoundError:
        raise InputError(f"{path} is missing: {RETRAIN}") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}: {RETRAIN}") from None
    if sha256(plain).hexdigest() != expected:
        raise InputError(f"{path} is damaged: {RETRAIN}")
    try:
        with zipfile.ZipFile(io.BytesIO(plain)) as archive:
            numbers = dict(_arrays(archive))
    except (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} holds no plain arrays ({error}): {RETRAIN}") from None
    if bad := [name for name, values in numbers.items() if not np.isfinite(values).all()]:
        raise InputError(f"{path} has numbers that are not finite ({listed(bad)}): {RETRAIN}")
    return numbers


def _arrays(archive):
    """Yield (name, array) of each entry. Raises ValueError for what is no array of numbers."""
    entries = archive.infolist()
    if len(entries) > MOST_ARRAYS or len({entry.filename for entry in entries}) < len(entries):
        raise ValueError("too many entries, or two with one name")
    for entry in entries:
        # What is not packed is as large as it says.
        if entry.compress_type != zipfile.ZIP_STORED or not entry.filename.endswith(".npy"):
            raise ValueError("an entry is packed, or is no array")
        yield entry.filename.removesuffix(".npy"), _array(archive.read(entry))


def _array(plain):
    """The array in the bytes of a `.npy` file of version 1."""
    file = io.BytesIO(plain)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError("an array has an unknown format")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of old headers
        try:
            shape, by_columns, kind = np.lib.format.read_array_header_1_0(file)
        except UserWarning as error:
            raise ValueError(str(error)) from None
    if kind.fields or kind.subdtype or kind.kind not in "fiu" or kind.itemsize > 8:
        raise ValueError(f"an array is of type {kind}")
    rest = plain[file.tell() :]
    if min(shape, default=0) < 0 or math.prod(shape) * kind.itemsize != len(rest):
        raise ValueError("an array has another size than it says")
    return np.frombuffer(rest, kind).reshape(shape, order="F" if by_columns else "C")


def trees_end(feature, threshold, left, right, value, roots, output, features):
    """Whether arrays are trees of so many features, in which every path ends.

    A leaf is its own child, all other children stand behind their parents.
    """
    columns, trees = (feature, threshold, left, right, value), (roots, output)
    if any(a.ndim != 1 for a in (*columns, *trees)):
        return False
    if any(a.dtype.kind not in "iu" for a in (feature, left, right, roots, output)):
        return False
    nodes, places = len(feature), np.arange(len(feature))
    if any(len(a) != nodes for a in columns) or len(roots) != len(output):
        return False
    leaf = (left == places) & (right == places)
    return bool(
        ((feature >= 0) & (feature < features)).all()
        and (leaf | ((left > places) & (right > places))).all()
        and all(((0 <= a) & (a < nodes)).all() for a in (left, right, roots))
        and ((0 <= output) & (output < MOST_OUTPUTS)).all()
    )
