"""Good-run lists: in which runs and luminosity blocks data are good, and the luminosity of these.

Lists are read in ATLAS' XML and CMS' JSON, luminosities as brilcalc writes them. A list as text,
`284500:1-20,25;284501:7-9`, is in the records of runs and, by `expression`, in the chain.
"""

import json
import math
import re
from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

from analysis.errors import FEW, DeclarationError, listed
from analysis.files import parse_json, read_regular

COLUMN = "isGoodRun"  # whether an event is in the list
RUN, BLOCK = "RunNumber", "LumiBlock"  # our columns that it is made of

MOST_BYTES = 1 << 27  # of a list or a table
LARGEST = 2**31 - 1  # run or block

BLOCKS = r"[0-9]{1,10}(-[0-9]{1,10})?"
RUNS = rf"[0-9]{{1,10}}:{BLOCKS}(,{BLOCKS})*"
TEXT = re.compile(rf"{RUNS}(;{RUNS})*")
LONGEST = 10_000_000  # characters of a list as text

UNITS = {"/b": 1e15, "/mb": 1e12, "/ub": 1e9, "/nb": 1e6, "/pb": 1e3, "/fb": 1.0}  # of fb^-1
AGREEMENT = 0.01  # of a luminosity that is typed and that of the table


def expression(text):
    """C++ for whether the run and block of an event are in a list."""
    return f'static const GoodRuns goodRuns("{text}"); return goodRuns.contains({RUN}, {BLOCK});'


# --- lists as text ----------------------------------------------------------------------------


def is_list(text):
    """Whether a value is a list as text, or empty for none."""
    return isinstance(text, str) and len(text) <= LONGEST and bool(TEXT.fullmatch(text) or not text)


def written(ranges):
    """{run: ranges} as text; ranges: (first, last) block, which do not overlap."""
    return ";".join(
        f"{run}:" + ",".join(f"{a}-{b}" if a < b else str(a) for a, b in joined(found))
        for run, found in sorted(ranges.items())
        if found
    )


def joined(ranges):
    """Sorted (first, last) with those that overlap or touch as one."""
    found = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(last, found[-1][1])
        else:
            found.append((first, last))
    return found


def read_text(text):
    """{run: ranges} of a list as text."""
    found = {}
    for part in filter(None, text.split(";")):
        run, _, blocks = part.partition(":")
        ends = (block.partition("-") for block in blocks.split(","))
        found[int(run)] = [(int(first), int(last or first)) for first, _, last in ends]
    return found


def union(texts):
    """{run: ranges} of several lists as text."""
    found = defaultdict(list)
    for text in set(texts):
        for run, ranges in read_text(text).items():
            found[run] += ranges
    return {run: joined(ranges) for run, ranges in found.items()}


def common(one, other):
    """{run: ranges} of what is in both."""
    found = {}
    for run in one.keys() & other.keys():
        both = [
            (max(a, c), min(b, d)) for a, b in one[run] for c, d in other[run] if a <= d and c <= b
        ]
        if both:
            found[run] = both
    return found


def without(one, other):
    """{run: ranges} of what is in one and not in the other."""
    found = {}
    for run, ranges in one.items():
        rest = []
        for first, last in ranges:
            for a, b in other.get(run, ()):
                if a <= last and first <= b:
                    rest += [(first, a - 1)] * (first < a)
                    first = b + 1
            rest += [(first, last)] * (first <= last)
        if rest:
            found[run] = rest
    return found


def size(ranges):
    """Number of blocks in {run: ranges}."""
    return sum(b - a + 1 for found in ranges.values() for a, b in found)


# --- files ------------------------------------------------------------------------------------


def read_lists(paths):
    """The list that several files make up, as text. Raises DeclarationError."""
    found, problems = defaultdict(list), []
    for path in paths:
        try:
            for run, ranges in read_list(path).items():
                found[run] += [(first, last, path) for first, last in ranges]
        except DeclarationError as error:
            problems += error.problems
    for run, ranges in found.items():
        for (a, b, path), (c, d, other) in pairwise(sorted(ranges, key=lambda each: each[:2])):
            if c <= b:
                where = path if path == other else f"{path} and {other}"
                problems.append(
                    f"good-run list {where}: blocks {a}-{b} and {c}-{d} of run {run} overlap"
                )
    text = written({run: [each[:2] for each in ranges] for run, ranges in found.items()})
    if not problems and len(text) > LONGEST:
        problems.append(f"good-run list {listed(map(str, paths))} has too many ranges")
    if problems:
        raise DeclarationError(*problems[:FEW])
    return text


def read_list(path):
    """{run: [(first, last block), ...]} of a file, XML or JSON. Raises DeclarationError."""
    where = f"good-run list {path}"
    content = content_of(path, where)
    try:
        text = content.decode()
        found = read_xml(text) if text.lstrip().startswith("<") else read_json_list(text)
        for run, first, last in found:
            if not 0 <= first <= LARGEST or not 0 < run <= LARGEST or last > LARGEST:
                raise ValueError(f"run {run}, blocks {first} to {last}: there are no such numbers")
            if last < first:
                raise ValueError(f"blocks {first} to {last} of run {run} end before they begin")
        if not found:
            raise ValueError("it has no blocks")
    except RecursionError:
        raise DeclarationError(f"{where} cannot be read: too deeply nested") from None
    except ValueError as error:
        raise DeclarationError(f"{where} cannot be read: {error}") from None
    ranges = defaultdict(list)
    for run, first, last in found:
        ranges[run].append((first, last))
    return ranges


def content_of(path, where):
    """The bytes of a file. Raises DeclarationError."""
    try:
        return read_regular(path, MOST_BYTES)
    except OSError as error:
        raise DeclarationError(f"{where} cannot be read: {error.strerror}") from None


def read_xml(text):
    """[(run, first, last block), ...] of ATLAS' XML. Raises ValueError."""
    from xml.etree import ElementTree  # which most runs do without

    if "<!ENTITY" in text:
        raise ValueError("it declares entities, which no good-run list does")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"no valid XML, {error}") from None
    if root.tag != "LumiRangeCollection":
        raise ValueError(f"it is XML of a <{root.tag}>, not of a <LumiRangeCollection>")
    found = []
    for collection in root.iter("LumiBlockCollection"):
        run = whole(collection.findtext("Run"), "a <Run>")
        ranges = collection.findall("LBRange")
        if not ranges:
            raise ValueError(f"run {run} has no <LBRange>")
        for each in ranges:
            ends = (whole(each.get(name), f"{name} of run {run}") for name in ("Start", "End"))
            found.append((run, *ends))
    return found


def read_json_list(text):
    """[(run, first, last block), ...] of CMS' JSON. Raises ValueError."""
    try:
        content = parse_json(text)
    except ValueError as error:
        raise ValueError(f"it is neither XML nor JSON, {error}") from None
    if not isinstance(content, dict):
        raise ValueError('it is no object such as {"284500": [[1, 20]]}')
    found = []
    for run, ranges in content.items():
        if not isinstance(ranges, list):
            raise ValueError(f"run {run} has no list of blocks")
        for each in ranges:
            if not isinstance(each, list) or len(each) != 2:
                raise ValueError(f"run {run} has {json.dumps(each)[:50]}, not [first, last]")
            found.append(
                (whole(run, "a run"), *(whole(end, f"a block of run {run}") for end in each))
            )
    return found


def whole(value, what):
    """A whole number from text or JSON. Raises ValueError."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,10}\s*", value, re.ASCII):
        return int(value)
    raise ValueError(f"{what} is {json.dumps(value)[:50]}, not a whole number")


def read_luminosities(path):
    """{(run, block): recorded luminosity in fb^-1} of a table of brilcalc, by lumi section.

    Raises DeclarationError.
    """
    where = f"luminosities {path}"
    found, place = {}, None
    try:
        lines = content_of(path, where).decode().splitlines()
        for number, line in enumerate(lines, 1):
            words = [word.strip().lower() for word in line.lstrip("#").split(",")]
            if words[0] == "run:fill" and place is None:
                place, unit = columns(words)
                continue
            if line.startswith("#") or not line.strip():
                continue
            if place is None:
                raise ValueError("no line that begins with #run:fill says what its columns are")
            key, value = section(words, *place, number)
            if key in found:
                raise ValueError(f"line {number}: section {key[1]} of run {key[0]} stands twice")
            found[key] = value / unit
    except ValueError as error:
        raise DeclarationError(f"{where} cannot be read: {error}") from None
    if not found:
        raise DeclarationError(f"{where} has no sections: write it with brilcalc lumi --byls")
    return found


def columns(words):
    """Numbers of the columns of sections and of luminosities, and the unit of these."""
    recorded = [n for n, word in enumerate(words) if word.startswith("recorded(")]
    if "ls" not in words or not recorded:
        raise ValueError("its header has no ls or no recorded(...): is it of --byls?")
    unit = words[recorded[0]].removeprefix("recorded(").rstrip(")")
    if unit not in UNITS:
        raise ValueError(f"its unit is '{unit}', none of {', '.join(UNITS)}")
    return (words.index("ls"), recorded[0]), UNITS[unit]


def section(words, ls, recorded, number):
    """(run, block) and luminosity of a line."""
    try:
        run, block = (int(words[n].partition(":")[0]) for n in (0, ls))
        value = float(words[recorded])
    except (ValueError, IndexError):
        raise ValueError(f"line {number} is no section with its luminosity") from None
    if not 0 <= value < 1e30:
        raise ValueError(f"line {number} has a luminosity of {value}")
    return (run, block), value


# --- what data have of a list -----------------------------------------------------------------


def luminosity(ranges, luminosities):
    """Luminosity of the blocks of {run: ranges} in fb^-1, and the number of those without one.

    luminosities: see `read_luminosities`
    """
    values = [
        value
        for (run, block), value in luminosities.items()
        if any(first <= block <= last for first, last in ranges.get(run, ()))
    ]
    return math.fsum(values), size(ranges) - len(values)


@dataclass(frozen=True)
class Coverage:
    """Which blocks of good-run lists have events in data."""

    good: dict[int, list[tuple[int, int]]]  # of the lists, {run: ranges}
    seen: dict[int, list[tuple[int, int]]]  # of these, those with events

    @classmethod
    def of(cls, samples):
        """That of samples; each is its list and the blocks of its events, both as text."""
        pairs = [*samples]
        good, seen = (union(texts) for texts in zip(*pairs, strict=True))
        return cls(good, common(good, seen))

    @property
    def missing(self):
        """Blocks of the lists without events, {run: ranges}."""
        return without(self.good, self.seen)

    def as_json(self):
        """What run.json says of it."""
        return {
            "runs": len(self.good),
            "blocks": size(self.good),
            "runs_seen": len(self.seen),
            "blocks_seen": size(self.seen),
            "missing": written(self.missing),
        }

    def line(self):
        """It in words."""
        return (
            f"good runs: {len(self.seen)} of {len(self.good)} runs and {size(self.seen)} of "
            f"{size(self.good)} luminosity blocks of the list have events"
        )

    def warning(self):
        """What is missing, in words, "" if nothing."""
        if not self.missing:
            return ""
        whole = [str(run) for run in sorted(self.good.keys() - self.seen.keys())]
        first = min(self.missing)
        some = f"{first}:{written({first: self.missing[first]}).partition(':')[2][:40]}"
        what = f"runs {listed(whole)}" if whole else f"{some} for example"
        return (
            f"{size(self.missing)} of {size(self.good)} luminosity blocks of the good-run list "
            f"have no event in the data ({what}): is luminosity lost?"
        )
