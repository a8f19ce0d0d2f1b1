"""Looking at files before anything runs: in child processes, since a damaged one can crash ROOT.

What was found is remembered in the cache for files that have not changed since.
"""

import json
import os
import sys
import time
from dataclasses import dataclass, replace
from functools import cache

from analysis import checksums, good_runs
from analysis.children import DiedError, KilledError, each
from analysis.errors import InputError, M3LError
from analysis.files import digest, irregular, write_file
from analysis.headway import Progress
from analysis.schemas import SCHEMAS
from helpers import native
from helpers.build import cache_folder, root_facts
from helpers.stamp import fingerprint

# XRootD as it comes waits half an hour for a server that is gone. Here it is a minute, and two for
# one that does not answer.
PATIENCE = {
    "XRD_CONNECTIONWINDOW": "15",
    "XRD_CONNECTIONRETRY": "2",
    "XRD_STREAMERRORWINDOW": "30",
    "XRD_REQUESTTIMEOUT": "120",
    "XRD_TIMEOUTRESOLUTION": "5",
}
for name, seconds in PATIENCE.items():
    os.environ.setdefault(name, seconds)

SETTLED = 2_000_000_000  # ns after which another change of a file shows in its time


@dataclass(frozen=True)
class Look:
    """What was found in a file under the name of a tree."""

    problem: str = ""  # why it cannot be read
    keys: tuple[str, ...] = ()  # trees and RNTuples in it
    entries: int = 0
    branches: dict | None = None  # names and C++ types
    kinds: dict | None = None  # names and how their values lie in the file
    sum_of_weights: float | None = None  # from its metadata, as the next
    cross_section: float | None = None  # pb
    lacking: str = ""  # which of these is not there, after the name of the file
    uuid: str = ""  # of the file; the same in a copy
    compression: str = ""
    protected: bool = False  # the values carry checksums of ROOT's own
    size: int | None = None  # bytes; None for remote files
    modified: int | None = None  # ns, from the file system
    place: tuple[int, int] | None = None  # device and inode
    checksum: str | None = None  # of its content, as last read
    known: str | None = None  # as others say
    blocks: str = ""  # runs and luminosity blocks of its events, where a good-run list is given
    skim: str = ""  # what the file says of the events that were left out of it, see skimmed.py


def signature(path):
    """(size, time of modification in ns, (device, inode)) of a local file; None if it is gone."""
    try:
        found = os.stat(path)
    except OSError:
        return None, None, None
    return found.st_size, found.st_mtime_ns, (found.st_dev, found.st_ino)


def trees_of(paths):
    """{path: names of the trees and RNTuples in the file}, empty for one that cannot be read."""
    found = {}
    cores = len(os.sched_getaffinity(0))
    for number, result in each(keys_of, paths, min(cores, len(paths))):
        found[paths[number]] = () if isinstance(result, Exception) else result
    return found


def keys_of(path):
    """Names of the trees and RNTuples in a file."""
    return native.inspect(path, "")["keys"]


def look_at(samples):
    """Look at all files of samples; returns {(sample's name, path): Look}."""
    found, todo = {}, []
    memories = {sample.name: Memory(sample) for sample in samples}
    for sample in samples:
        memory = memories[sample.name]
        for path in sample.files:
            known = memory.recall(path)
            if known:
                found[sample.name, path] = known
            else:
                todo.append((sample, path))

    def look(number):  # a child has all samples already: to send one anew for each file takes long
        return look_at_one(*todo[number])

    cores = len(os.sched_getaffinity(0))
    with Progress("inputs", len(todo), sys.stderr, "files", delay=1) as progress:
        looked = each(look, range(len(todo)), min(cores, len(todo)))
        for done, (number, result) in enumerate(looked, 1):
            sample, path = todo[number]
            if isinstance(result, KilledError):
                raise result
            if isinstance(result, DiedError):
                result = Look(f"cannot be read: {result} while looking at it")
            elif isinstance(result, Exception):
                result = Look(str(result))
            found[sample.name, path] = memories[sample.name].note(path, result)
            progress(done)
    for memory in memories.values():
        memory.keep()
    return {key: found[key] for key in ((s.name, path) for s in samples for path in s.files)}


def look_at_one(sample, path):
    """Look at one file of a sample; returns a Look."""
    size = modified = place = None
    if "://" not in path:
        wrong = irregular(path)
        if wrong:
            return Look(wrong if wrong.startswith("is ") else f"cannot be opened: {wrong}")
        size, modified, place = signature(path)
    info = native.inspect(path, sample.tree, *metadata(sample), *run_and_block(sample))
    try:
        known = checksums.known(path)
    except InputError as error:
        return Look(str(error))
    return Look(
        info["problem"],
        info["keys"],
        info["entries"],
        {name: kind for name, (kind, _) in info["columns"].items()},
        {name: stored for name, (_, stored) in info["columns"].items()},
        info["sum"],
        info["constant"],
        info["lacking"],
        info["uuid"],
        info["compression"],
        info["protected"],
        size,
        modified,
        place,
        None,
        known,
        info["blocks"],
        info["skim"],
    )


def metadata(sample):
    """Places of the sum of weights and the cross-section in a file; "" for what is not needed."""
    if sample.kind == "data":
        return "", ""
    schema = SCHEMAS[sample.schema]
    return (
        place(sample.sum_of_weights, schema.sum_of_weights),
        place(sample.xsec_pb, schema.cross_section),
    )


def run_and_block(sample):
    """Branches of run and luminosity block whose values are looked at; "" where they are not."""
    if not sample.good_runs:
        return "", ""
    branches = {c.name: c.branch or c.name for c in SCHEMAS[sample.schema].columns}
    return branches[good_runs.RUN], branches.get(good_runs.BLOCK, "")


def place(declared, usual):
    """Where a number stands that a sample declares, or its place; `usual`: where it declares none.

    "" where the number itself is declared.
    """
    if isinstance(declared, str):
        return declared
    return usual if declared is None else ""


@cache
def reader():
    """What reads the files: the C++ and the version of ROOT."""
    return fingerprint(), root_facts()["version"]


class Memory:
    """What is remembered of the files of a sample, in the cache."""

    def __init__(self, sample):
        what = [reader(), sample.files, sample.tree, metadata(sample), run_and_block(sample)]
        self.path = cache_folder() / f"inputs-{digest(what)[:16]}.json"
        self.looks, self.news = {}, False
        try:
            for path, values in json.loads(self.path.read_text()).items():
                tuples = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
                self.looks[path] = Look(**tuples)
        except (OSError, ValueError, TypeError, AttributeError):
            self.looks = {}

    def recall(self, path):
        """The Look at a file that has not changed since, else None."""
        look = self.looks.get(path)
        if not look or (look.size, look.modified, look.place) != signature(path):
            return None
        try:
            return look if checksums.known(path) == look.known else None
        except InputError:
            return None

    def note(self, path, look):
        """Remember a Look; returns it with the number of entries that a damaged file had before."""
        before = self.looks.get(path)
        if look.problem and before:
            look = replace(look, entries=look.entries or before.entries)
        elif not look.problem and look.modified and time.time_ns() - look.modified > SETTLED:
            self.looks[path] = look
            self.news = True
        return look

    def note_checksums(self, found):
        """Remember checksums, as {path: checksum}."""
        for path, checksum in found.items():
            look = self.looks.get(path)
            if look and look.checksum != checksum:
                self.looks[path] = replace(look, checksum=checksum)
                self.news = True

    def keep(self):
        """Write what is new; where that is not possible, files will be looked at again."""
        if self.news:
            try:
                looks = {path: vars(look) for path, look in self.looks.items()}
                write_file(self.path, json.dumps(looks, allow_nan=False))
            except M3LError:
                pass


def remember(sample, files):
    """Remember the checksums of files of a sample that were read; each is an InputFile's dict."""
    memory = Memory(sample)
    memory.note_checksums({file["path"]: file["checksum"] for file in files if file["checksum"]})
    memory.keep()
