"""Looking at input files before the event loop: they open, and hold what the sample promises."""

import math
from dataclasses import dataclass
from pathlib import Path

import ROOT

from analysis.errors import near_miss


@dataclass(frozen=True)
class InputFile:
    """A file of a sample."""

    path: str
    size: int | None  # bytes, None for remote files
    entries: int
    sum_of_weights: float | None = None  # from its metadata


@dataclass(frozen=True)
class Inputs:
    """What the files of a sample hold together."""

    files: tuple[InputFile, ...]
    branches: dict[str, str]  # names and C++ types, the same in all files with entries
    sum_of_weights: float | None  # from the metadata, None where a file has none

    @property
    def paths(self):
        """Those with entries: ROOT cannot open a lone RNTuple without."""
        return [file.path for file in self.files if file.entries]

    @property
    def entries(self):
        """In all files."""
        return sum(file.entries for file in self.files)


def trees_of(path):
    """Return the names of the trees and RNTuples in a file."""
    return [str(key) for key in ROOT.m3l.inspectDataset(path, "").keys]


def inspect(sample, schema, problems):
    """Look at all files of a sample.

    Returns Inputs; what is wrong is added to the list of problems.
    """
    files, branches, first = [], None, None
    empty = {}  # branches of a file without entries, which count if there is no other
    summed = schema.sum_of_weights and sample.kind != "data" and sample.sum_of_weights is None
    for path in sample.files:
        info = ROOT.m3l.inspectDataset(path, sample.tree, *(schema.sum_of_weights or ()))
        where = f"sample '{sample.name}': {path}"
        if info.problem:
            hint = ""
            if sample.tree not in list(info.keys) and len(info.keys):
                keys = [str(key) for key in info.keys]
                hint = near_miss(sample.tree, keys) or f" (it has {', '.join(keys)})"
            problems.append(f"{where} {info.problem}{hint}")
            continue
        size = None if "://" in path else Path(path).stat().st_size
        sumw = None if math.isnan(info.sum) or not summed else float(info.sum)
        files.append(InputFile(path, size, int(info.entries), sumw))
        found = {str(n): str(t) for n, t in zip(info.columns, info.types, strict=True)}
        if not info.entries:
            empty = empty or found
        elif branches is None:
            branches, first = found, path
        elif found != branches:
            problems += differences(where, found, branches, first)
    return Inputs(tuple(files), branches or empty, total([f.sum_of_weights for f in files]))


def total(sums):
    """Sum of weights of files, None where one of them has none."""
    return math.fsum(sums) if sums and None not in sums else None


def differences(where, found, expected, first):
    """Problems of a file whose branches are not those of the sample's first file."""
    problems = []
    for name in sorted(found.keys() | expected.keys()):
        if name not in found:
            problems.append(f"{where} has no branch '{name}', which {first} has")
        elif name in expected and found[name] != expected[name]:
            problems.append(
                f"{where}: branch '{name}' is of type {found[name]}, in {first} {expected[name]}"
            )
    return problems
