"""What a command finds, written as OUT/stats/<name>/<kind>.json."""

import math

import numpy as np

from analysis.files import checksum, write_json
from analysis.output import RUN, STATS
from analysis.records import RUN2

FORMAT = 1
# Of the campaigns mc16a, mc16d and mc16e, in pb^-1 as helpers/weights.h has them.
CAMPAIGNS = (36207.65, 44307.4, 58450.1)


def stats_folder(folder, name):
    """Where the results of a statistical analysis (name) are; folder: output folder, a Path."""
    return folder / STATS / name


def result_path(folder, name, kind):
    """Where a result is; folder: output folder, a Path."""
    return stats_folder(folder, name) / f"{kind}.json"


def luminosity_of(results):
    """The luminosity of a run in fb^-1."""
    if results.luminosity_ifb == RUN2:
        return sum(CAMPAIGNS) / 1000
    return float(results.luminosity_ifb)


def heading(kind, words, results=None):
    """The first fields of every result.

    words: of the command line; results: None for a result that is of no run
    """
    about = results and {
        "luminosity_ifb": luminosity_of(results),
        "sha256": checksum(results.folder / RUN),
    }
    command = ["python", "-m", "analysis.stats", *map(str, words)]
    return {"format": FORMAT, "kind": kind, "command": command, "run": about}


def write_result(results, name, kind, words, content):
    """Write a result of a run; returns its path. Raises OutputError.

    words: of the command line; content: numbers that are not finite become null
    """
    path = result_path(results.folder, name, kind)
    write_json(path, plain(heading(kind, words, results) | content))
    return path


def plain(value):
    """A value as JSON has it: lists, dicts, words, and numbers, null where they are not finite."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
