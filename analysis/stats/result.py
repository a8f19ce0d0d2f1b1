"""What a command finds, written as OUT/stats/<name>/<kind>.json."""

import math

import numpy as np

from analysis.files import checksum, write_json
from analysis.output import RUN, STATS

FORMAT = 1


def stats_folder(folder, name):
    """Where the results of a statistical analysis (name) are; folder: output folder, a Path."""
    return folder / STATS / name


def result_path(folder, name, kind):
    """Where a result is; folder: output folder, a Path."""
    return stats_folder(folder, name) / f"{kind}.json"


def heading(kind, words, results=None):
    """The first fields of every result.

    words: of the command line; results: None for a result that is of no run
    """
    about = results and {
        "luminosity_ifb": results.luminosity,
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
