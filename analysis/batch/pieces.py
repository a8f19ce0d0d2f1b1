"""Cutting samples into pieces, each for one job, that do not overlap and together hold all events.

A piece is a range of entries of some of a sample's files.
"""

from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Piece:
    """What one job reads."""

    name: str  # of its folder and of its log: a number with leading zeros
    sample: str
    files: tuple[str, ...]
    begin: int  # first entry, counted from the beginning of the first file
    entries: int


def cut(sizes, files_per_job=None, events_per_job=None, limit=None):
    """Return the Pieces of all samples.

    sizes: {sample: {file: number of entries}}
    limit: only so many first entries of each sample
    """
    pieces = []
    for sample, files in sizes.items():
        total = min(sum(files.values()), limit or sum(files.values()))
        if files_per_job:
            bounds = bounds_of_files(files, files_per_job, total)
        else:
            jobs = max(1, -(-total // events_per_job))
            bounds = [total * job // jobs for job in range(jobs + 1)]
        pieces += [(sample, *part(files, *range_)) for range_ in pairwise(bounds)]
    width = max(4, len(str(len(pieces) - 1)))
    return [Piece(f"{number:0{width}}", *piece) for number, piece in enumerate(pieces)]


def bounds_of_files(files, per_job, total):
    """Entries at which jobs of `per_job` files with entries begin and end."""
    bounds, end = [0], 0
    filled = [entries for entries in files.values() if entries]
    for number, entries in enumerate(filled, 1):
        end += entries
        if number % per_job == 0 or number == len(filled) or end >= total:
            bounds.append(min(end, total))
        if end >= total:
            break
    return bounds if len(bounds) > 1 else [0, 0]


def part(files, begin, end):
    """The files that hold the entries from `begin` to `end`, where they begin and their number.

    Files without entries belong to no piece, unless there are no others: they may lack branches.
    """
    if begin == end:
        return tuple(files), 0, 0
    kept, first, offset = [], 0, 0
    for file, entries in files.items():
        if entries and first < end and begin < first + entries:
            if not kept:
                offset = begin - first
            kept.append(file)
        first += entries
    return tuple(kept), offset, end - begin
