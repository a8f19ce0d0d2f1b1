"""What the files of a sample hold together, from a look at each (looks.py)."""

import math
from collections import defaultdict
from dataclasses import asdict, dataclass, replace

from analysis import checksums
from analysis.errors import FEW, InputError, listed, near_miss
from analysis.looks import Look, metadata, signature


class BadFileError(InputError):
    """A file of a sample is damaged.

    Attributes:
        path: of the file, None where no single one is to blame
        reason: what is wrong
    """

    def __init__(self, sample, path, reason):
        super().__init__(f"sample '{sample}': " + (f"{path}: " * bool(path)) + reason)
        self.sample, self.path, self.reason = sample, path, reason

    def __reduce__(self):
        return type(self), (self.sample, self.path, self.reason)


@dataclass(frozen=True)
class InputFile:
    """A file of a sample."""

    path: str
    size: int | None  # bytes, None for remote files
    entries: int
    sum_of_weights: float | None = None  # from its metadata, as the next
    cross_section: float | None = None  # pb
    checksum: str | None = None  # see checksums.py; None where it was not read whole
    modified: int | None = None  # ns, from the file system

    def is_that_of(self, record):
        """Whether it has the content of a file in a record, as far as both tell."""
        mine, known = asdict(self), {"checksum": None, **record}
        if None in (mine["checksum"], known["checksum"]):
            mine["checksum"] = known["checksum"]
        same = ("path", "size", "entries", "sum_of_weights", "cross_section", "checksum")
        return all(mine[name] == known.get(name) for name in same)

    def is_as_in(self, known):
        """Whether it still has the content of a file in a record, if there is one."""
        if known is None or self.size != known.get("size"):
            return False
        if self.modified is None or self.modified == known.get("modified"):
            return self.is_that_of(known)
        method = checksums.method_of(known.get("checksum"))
        if not method:
            return False
        return replace(self, checksum=checksums.compute(self.path, method)).is_that_of(known)


@dataclass(frozen=True)
class SkippedFile:
    """A bad file that is left out on purpose."""

    path: str
    reason: str
    entries: int | None  # that are lost; None where nobody knows


@dataclass(frozen=True)
class Inputs:
    """What the files of a sample hold together."""

    files: tuple[InputFile, ...]
    branches: dict[str, str]  # names and C++ types, the same in all files with entries
    sum_of_weights: float | None  # from the metadata, None where a file has none
    looks: tuple[Look, ...] = ()  # of each file
    skipped: tuple[SkippedFile, ...] = ()
    share: float | None = 1.0  # of all entries of the sample, in these files; None: not known
    cross_section: float | None = None  # pb, from the metadata, None where a file has none

    @property
    def lacking(self):
        """What a file lacks of the metadata, with its name; "" if nothing."""
        pairs = zip(self.files, self.looks, strict=bool(self.looks))
        return next((f"{f.path} {look.lacking}" for f, look in pairs if look.lacking), "")

    @property
    def paths(self):
        """Those with entries: ROOT cannot open a lone RNTuple without."""
        return [file.path for file in self.files if file.entries]

    @property
    def entries(self):
        """In all files."""
        return sum(file.entries for file in self.files)

    def parts(self, begin, end):
        """Yield (files, begin, end) of neighbouring files whose branches are of the same kinds.

        ROOT reads others wrongly as one chain. begin, end: entries, of all files in what is given
        and of the part's files in what comes back.
        """
        parts, kinds = [], None
        first = 0
        for file, look in zip(self.files, self.looks or [None] * len(self.files), strict=True):
            if not file.entries:
                continue
            found = look and look.kinds
            if not parts or found != kinds:
                parts.append(([], first))
            parts[-1][0].append(file)
            kinds = found
            first += file.entries
        for files, first in parts:
            last = first + sum(file.entries for file in files)
            if begin < last and first < end:
                yield files, max(begin - first, 0), min(end, last) - first

    def changed(self):
        """The first local file that is not as it was looked at, None if all are."""
        for file in self.files:
            if file.modified is not None and (file.size, file.modified) != signature(file.path)[:2]:
                return file.path
        return None

    def with_checksums(self, found):
        """The same with checksums of files, as {path: checksum}."""
        files = tuple(
            replace(file, checksum=found.get(file.path, file.checksum)) for file in self.files
        )
        return replace(self, files=files)

    def only(self, path):
        """One of the files."""
        kept = [i for i, file in enumerate(self.files) if file.path == path]
        files, looks = (tuple(of[i] for i in kept) for of in (self.files, self.looks))
        return replace(self, files=files, looks=looks, skipped=())

    def without(self, path, reason):
        """The others, where a file turned out to be bad."""
        kept = [i for i, file in enumerate(self.files) if file.path != path]
        (bad,) = self.only(path).files
        files, looks = (tuple(of[i] for i in kept) for of in (self.files, self.looks))
        skipped = (*self.skipped, SkippedFile(path, reason, bad.entries))
        return replace(
            self,
            files=files,
            looks=looks,
            skipped=skipped,
            sum_of_weights=total([file.sum_of_weights for file in files]),
            share=share(files, skipped),
        )

    def changed_since(self, record):
        """Paths of the files that are not those of a record, a dict for each file.

        One of another time of modification is read, and has the same content or not.
        """
        before = {known.get("path"): known for known in record}
        mine = [file for file in self.files if not file.is_as_in(before.get(file.path))]
        gone = before.keys() - {file.path for file in self.files}
        return [file.path for file in mine] + sorted(gone)


def inspect(sample, looks, problems, skip=False):
    """What the files of a sample hold, from what was found in them (see `look_at`).

    skip: leave bad files out
    Returns Inputs; what is wrong is added to the list of problems.
    """
    files, kept, skipped, branches, first = [], [], [], None, None
    empty = {}  # branches of a file without entries, which count if there is no other
    sum_place, constant_place = metadata(sample)
    for path in sample.files:
        look = looks[sample.name, path]
        where = f"sample '{sample.name}': {path}"
        wrong = []
        if look.problem:
            hint = ""
            if sample.tree not in look.keys and look.keys:
                hint = near_miss(sample.tree, look.keys) or f" (it has {listed(look.keys, FEW)})"
            wrong = [f"{where} {look.problem}{hint}"]
        elif look.entries and branches is not None and look.branches != branches:
            wrong = differences(where, look.branches, branches, first)
        if wrong and skip:
            known = look.entries if look.entries or not look.problem else None
            reason = wrong[0].removeprefix(f"{where} ").removeprefix(f"{where}: ")
            skipped.append(SkippedFile(path, reason, known))
        problems += [] if skip else wrong
        if wrong:
            continue
        sumw = look.sum_of_weights if sum_place else None
        xsec = look.cross_section if constant_place else None
        other = files[0].cross_section if files else None
        if None not in (xsec, other) and xsec != other:
            problems.append(
                f"{where} has a cross-section of {xsec:g} pb at '{constant_place}', "
                f"{files[0].path} one of {other:g} pb: are they of one sample?"
            )
        checksum = look.checksum if look.size is not None else look.known
        files.append(InputFile(path, look.size, look.entries, sumw, xsec, checksum, look.modified))
        kept.append(look)
        if not look.entries:
            empty = empty or look.branches
        elif branches is None:
            branches, first = look.branches, path
    if skipped and not files:
        problems.append(f"sample '{sample.name}': all its files are bad, {skipped[0].reason}")
    return Inputs(
        tuple(files),
        branches or empty,
        total([file.sum_of_weights for file in files]),
        tuple(kept),
        tuple(skipped),
        share(files, skipped),
        constant([file.cross_section for file in files]),
    )


def constant(values):
    """The number that all files have, None where one of them has none."""
    return values[0] if values and None not in values else None


def share(files, skipped):
    """The part of the entries that is not in skipped files, None if nobody knows."""
    lost = [file.entries for file in skipped]
    if None in lost:
        return None
    entries = sum(file.entries for file in files)
    return entries / (entries + sum(lost)) if any(lost) else 1.0


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


def twice(looks, samples):
    """A problem for each file that is there twice, as a link or as a copy.

    looks: see `look_at`
    """
    trees = {sample.name: sample.tree for sample in samples}
    seen = defaultdict(dict)  # what may be the same: {(sample, path): Look}
    for (name, path), look in looks.items():
        if look.entries and not look.problem:
            seen[look.size, look.entries, look.uuid, trees[name]][name, path] = look
    problems = []
    for alike in seen.values():
        first = {}
        for (name, path), look in alike.items():
            for key in identities(path, look, alone=len(alike) == 1):
                other = first.setdefault(key, (name, path))
                if other != (name, path):
                    problems.append(
                        f"sample '{name}': {path} is the same file as {other[1]} of sample "
                        f"'{other[0]}', its events would count twice"
                    )
                    break
    return problems


def identities(path, look, alone):
    """What two names of one file, and two copies of it, have in common."""
    yield path
    if look.place:
        yield look.place
        if not alone:
            yield look.checksum or checksums.compute(path)


def read_checksums(sample, inputs, begin, end, limited):
    """Checksums of the local files of a range of entries, as {path: checksum}.

    Files of which one is remembered are not read again.

    sample: its name
    limited: entries after the range are not wanted, so that a file that is not read whole needs
        none; else another job has them, and that with a file's first entry looks at all of it
    Raises BadFileError if a file is not what others say of it.
    """
    found, first = {}, 0
    for file, look in zip(inputs.files, inputs.looks, strict=True):
        last = first + file.entries
        here = begin <= first < end and (last <= end or not limited)
        first = last
        remembered = file.checksum and look.known in (None, file.checksum)
        if not here or file.size is None or remembered:
            continue
        found[file.path] = checksums.compute(
            file.path, checksums.method_of(look.known) or checksums.OWN
        )
        if look.known and found[file.path] != look.known:
            read, known = map(checksums.shortened, (found[file.path], look.known))
            reason = f"is damaged or another file: {read}, beside it stands {known}"
            raise BadFileError(sample, file.path, reason)
    return found
