"""One event, told cut by cut.

    explain(dataframes["WZ"], event=12345)

gives what `python run_rdf.py --event WZ:12345` prints: the objects of the event and the cut that
removed each, both sides of every cut, the weight factor by factor, the features and the matrix. All
numbers are columns of the chain, read in one event loop.
"""

import re
import shutil
import textwrap
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import ROOT

from analysis.chain import with_cuts
from analysis.dataframes import SampleFrames
from analysis.errors import InputError
from analysis.features import Layout, cells
from analysis.plan import IDENTITY, MATRIX, NORMALISATION, WEIGHT, identifiers
from analysis.schemas import SCHEMAS

# Of each kind of object: what it is called, and columns that are shown beside its momentum, with a
# heading and words for their values.
KINDS = {
    "lep": ("leptons", {"lepFlavor": ("flavour", "? e mu"), "lepCharge": ("charge", "0 + -")}),
    "jet": ("jets", {"jetBTag": ("b-tag", "- b")}),
    "pho": ("photons", {}),
}

ENTRY = "rdfentry_"


@dataclass(frozen=True)
class Values:
    """What an expression is made of: both sides of a comparison, else its columns."""

    expression: str
    operator: str  # of the comparison, else empty
    parts: dict[str, float]  # value of each side or column

    def __str__(self):
        """The values alone: `2 >= 3`, or `jetPt 41.2, jetJVT 0.3`."""
        if self.operator:
            return f" {self.operator} ".join(distinct(*self.parts.values()))
        return ", ".join(f"{name} {number(value)}" for name, value in self.parts.items())


@dataclass(frozen=True)
class EventObject:
    """An entry of the event's arrays."""

    index: int
    values: dict[str, float]  # by column
    names: tuple[str, ...]  # in the matrix, or what it would have beyond the last one there
    passes: tuple[str, ...]  # declared objects that it is
    fails: str  # the declared object that it came closest to but is not, where it has no name
    because: Values | None  # the cut of that one which it fails first


@dataclass(frozen=True)
class CutVerdict:
    """A cut of a region."""

    name: str
    reached: bool  # all cuts before it are passed
    passed: bool | None  # None where it is not reached and might not have a value then
    values: Values


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """What happened to one event; it prints itself as a page for a terminal."""

    sample: str
    identity: dict[str, int]  # DatasetNumber, RunNumber, EventNumber
    position: int  # among the entries of the sample
    file: str
    entry: int  # in that file
    objects: dict[str, tuple[EventObject, ...]]  # by kind: lep, jet, pho
    regions: dict[str, tuple[CutVerdict, ...]]
    blind: tuple[str, ...]  # regions that are not looked at
    weight: float
    factors: dict[str, float]  # of the weight; none for data
    normalisation: str  # what the factor of this name is made of
    features: dict[str, float]  # without those that might have a value for selected events only
    units: dict[str, str]  # of features
    layout: Layout
    matrix: pd.DataFrame | None  # rows and columns are met, jet_0, ...; None if all is blind
    left_out: tuple[str, ...]  # cuts and weights that need columns the files do not carry

    def selected(self, region):
        """Whether the event passes all cuts of a region."""
        return all(cut.reached and cut.passed for cut in self.regions[region])

    def __str__(self):
        return "\n".join(page(self, max(60, shutil.get_terminal_size().columns)))

    __repr__ = __str__


@dataclass(frozen=True, repr=False)
class Matches:
    """Several events of one number; they print themselves as a list to choose from."""

    sample: str
    identities: dict[int, dict[str, int]]  # by position
    regions: dict[int, tuple[str, ...]]  # that select them

    def __str__(self):
        lines = []
        for position, (dataset, run, event) in self.identities.items():
            regions = ", ".join(self.regions[position]) or "no region"
            lines.append(f"  {self.sample}:{run}:{event}  or {self.sample}@{position}")
            lines[-1] += f"  dataset {dataset}, selected by {regions}"
        return "\n".join((f"{self.sample} has {len(lines)} such events, choose one:", *lines))

    __repr__ = __str__


def explain(frames, event=None, position=None, run=None):
    """Say what happened to one event.

    frames: dataframes.SampleFrames of a sample, as `dataframes["WZ"]`
    event: its EventNumber; `run` tells which where several runs have that number
    position: instead, its position among the entries of the sample, from 0
    Returns an Explanation, or Matches where there are several; both print themselves. Raises
    InputError if there is no such event.
    """
    if (event is None) == (position is None):
        raise TypeError("explain needs either an event or a position")
    item = getattr(frames, "item", None)
    if item is None:
        raise TypeError(
            'explain needs the dataframes of one sample, as dataframes["WZ"], not on a cluster'
        )
    where = f"sample '{item.sample.name}'"
    if position is not None:
        end = item.begin + item.entries
        if not item.begin <= position < end:
            raise InputError(f"{where} has no entry {position}, only {item.begin} to {end - 1}")
        item = replace(item, begin=position, entries=1)
    with one_thread():
        df = SampleFrames(item)["all"]
        # First of all, so that of other events nothing else is read.
        for column, wanted in (("EventNumber", event), ("RunNumber", run)):
            if wanted is not None:
                df = df.Filter(f"{column} == {int(wanted)}")
        reader = Reader(item, df)
        try:
            found = reader.identities()
        except Exception as error:  # C++ exceptions, of whatever type
            reason = str(error).strip().splitlines()[-1]
            raise InputError(f"{where} cannot be read: {reason}") from None
        if not found:
            of_run = "" if run is None else f" of run {run}"
            raise InputError(
                f"{where}: none of its {item.entries} entries is event {event}{of_run}"
            )
        if len(found) > 1:
            return Matches(item.sample.name, found, {p: reader.selected_by(p) for p in found})
        return reader.explanation(*found)


@contextmanager
def one_thread():
    """Only with one thread are the entries of a sample numbered."""
    threads = ROOT.GetThreadPoolSize()
    if threads:
        ROOT.DisableImplicitMT()
    try:
        yield
    finally:
        if threads:
            ROOT.EnableImplicitMT(threads)


class Columns:
    """Expressions that an event loop reads of the events of a dataframe."""

    def __init__(self, df, *expressions):
        self.df, self.places, self.result = df, {}, None
        self.add(ENTRY, *expressions)

    def add(self, *expressions):
        for expression in expressions:
            self.places.setdefault(expression, len(self.places))

    def book(self):
        """Nothing can be added any more; the first look at a value runs the event loop."""
        df, numbers = self.df, []
        for place, expression in enumerate(self.places):
            if ";" in expression:  # statements
                df = df.Define(f"explained_{place}", expression)
                expression = f"explained_{place}"
            numbers.append(f"m3l::valueOf({expression})")
        # One column of one type: the interpreter takes long over each.
        df = df.Define("explained", f"return m3l::EventValues{{{', '.join(numbers)}}};")
        self.result = ROOT.m3l.takeValues(ROOT.RDF.AsRNode(df), "explained")
        return self

    def whole(self, expression):
        """The value of an expression in each event, a whole number."""
        return [int(event[self.places[expression]].whole) for event in self.result.GetValue()]

    def __getitem__(self, expression):
        """The value of an expression in the first event: a number, an array or None."""
        found = self.result.GetValue()[0][self.places[expression]]
        values = np.array(found.values)
        return values if found.isList else values[0] if len(values) else None


class Reader:
    """Books all that is to be known of some events of a sample, then says it."""

    def __init__(self, item, df):
        """item: run.Prepared of the sample; df: RDataFrame with its columns, of those events"""
        self.item, self.plan = item, item.plan
        self.definitions = {definition.name: definition for definition in self.plan.definitions}
        objects = [o for o in item.declarations.objects if o.name in self.definitions]
        self.kind_of = {o.name: o.of for o in objects}
        self.cuts = {
            o.name: [cut for cut in o.cuts if f"{o.name}: {cut}" not in self.plan.left_out]
            for o in objects
        }
        self.types = [t for t in item.declarations.layout.types if t.mask in self.kind_of]
        self.factors = weight_factors(item)
        # Without a region that may be looked at there is nothing to be seen of its columns.
        self.row = self.plan.columns[len(IDENTITY) + 1 :] if self.plan.cuts else ()
        self.everywhere = self.of_all(df)
        self.nodes = {
            region: self.of_region(self.plan.cuts[region], nodes)
            for region, nodes in with_cuts(self.plan, df).items()
        }

    def of_all(self, df):
        """Book what every event has."""
        columns = Columns(df, WEIGHT, *IDENTITY, *self.factors.values())
        for kind in self.kinds():
            columns.add(*self.shown(kind))
        for name, cuts in self.cuts.items():
            columns.add(name, *cuts, *(part for cut in cuts for part in self.parts(cut)))
        columns.add(*map(ranking, self.types))
        columns.add(*filter(self.has_value, self.row))
        for cut in (cut for cuts in self.plan.cuts.values() for cut in cuts):
            if self.has_value(cut.expression):
                columns.add(cut.expression, *self.parts(cut.expression))
        return columns.book()

    def of_region(self, cuts, nodes):
        """Book who reaches each node of a region, and what only such events have."""
        booked = [Columns(node) for node in nodes]
        for cut, columns in zip(cuts, booked, strict=False):
            if not self.has_value(cut.expression):
                columns.add(*self.parts(cut.expression))
        booked[-1].add(*self.row)
        return [columns.book() for columns in booked]

    def kinds(self):
        """Kinds of objects that the analysis uses."""
        return [kind for kind in KINDS if kind in self.kind_of.values()]

    def shown(self, kind):
        """Columns of the objects of a kind that are shown."""
        names = (f"{kind}Pt", f"{kind}Eta", f"{kind}Phi", *KINDS[kind][1])
        return [name for name in names if name in self.plan.names]

    def parts(self, expression):
        """Both sides of a comparison, else the columns in an expression."""
        sides = comparison(expression)
        if sides:
            return sides[0], sides[2]
        return [name for name in identifiers(expression) if name in self.plan.names]

    def has_value(self, expression):
        """Whether an expression has a value in events that the chain does not compute it for.

        An element of an array by its position may not be there. Masks and the cells of the matrix
        always are.
        """
        masks = "|".join(self.kind_of)
        always = rf"\[[^][()]*\b(?:{masks})\b[^][()]*\]|\b{MATRIX}\[\d+\]"
        text = re.sub(always, "", expression)
        if re.search(r"\[|->|\.\s*(?:at|front|back)\s*\(|\bTake\s*\(.*,\s*-?\d", text):
            return False
        if expression in self.definitions:
            definition = self.definitions[expression]
            needed = {definition.expression, *definition.inputs} - {expression}
        else:
            needed = {n for n in identifiers(expression) if n in self.definitions}
        return all(map(self.has_value, needed))

    def identities(self):
        """{position: identity} of the events; runs the event loop."""
        columns = [self.everywhere.whole(name) for name in (ENTRY, *IDENTITY)]
        return {position: identity for position, *identity in zip(*columns, strict=True)}

    def selected_by(self, position):
        """The regions that select an event."""
        return tuple(r for r, nodes in self.nodes.items() if position in nodes[-1].whole(ENTRY))

    def explanation(self, position):
        """The Explanation of the only event."""
        item, features = self.item, self.features(position)
        file, entry = file_of(item, position)
        layout = item.declarations.layout
        matrix = features.pop(MATRIX, None)
        names = ["met", *(f"{t.name}_{n}" for t in layout.types for n in range(t.multiplicity))]
        if matrix is not None:
            square = np.reshape(matrix, (layout.size, layout.size))
            matrix = pd.DataFrame(square, index=names, columns=names)
        return Explanation(
            sample=item.sample.name,
            identity=dict(zip(IDENTITY, self.identities()[position], strict=True)),
            position=position,
            file=file,
            entry=entry,
            objects={kind: self.objects(kind) for kind in self.kinds()},
            regions={region: self.verdicts(region, position) for region in self.nodes},
            blind=tuple(r.name for r in item.declarations.regions if r.name not in self.nodes),
            weight=float(self.everywhere[WEIGHT]),
            factors={name: float(self.everywhere[text]) for name, text in self.factors.items()},
            normalisation=item.normalisation.factors if item.normalisation else "",
            features={name: value.item() for name, value in features.items()},
            units={feature.name: feature.unit for feature in item.declarations.scalars},
            layout=layout,
            matrix=matrix,
            left_out=tuple(t for t in self.plan.left_out if t.split(":")[0] in self.definitions),
        )

    def features(self, position):
        """The columns of the event's row by name, without those that it need not have."""
        sources = [self.everywhere, *(self.nodes[r][-1] for r in self.selected_by(position))]
        found = {name: each for name in self.row for each in sources if name in each.places}
        return {name: columns[name] for name, columns in found.items()}

    def verdicts(self, region, position):
        """The CutVerdicts of a region."""
        nodes, made = self.nodes[region], []
        for cut, before, after in zip(self.plan.cuts[region], nodes, nodes[1:], strict=False):
            reached = position in before.whole(ENTRY)
            passed, columns = position in after.whole(ENTRY), before
            if self.has_value(cut.expression):
                columns = self.everywhere
                passed = passed if reached else bool(columns[cut.expression])
            elif not reached:
                passed = columns = None
            values = self.values(cut.expression, columns)
            made.append(CutVerdict(cut.name, reached, passed, values))
        return tuple(made)

    def values(self, expression, columns, index=None):
        """The Values of an expression; index: of an object, for arrays."""
        sides = comparison(expression)
        parts = {}
        for part in self.parts(expression) if columns else ():
            value = columns[part]
            if value.ndim and index is not None:
                value = value[index]
            if value.ndim == 0:
                parts[part] = value.item()
        operator = sides[1] if sides and len(parts) == 2 else ""
        return Values(expression, operator, parts)

    def objects(self, kind):
        """The EventObjects of a kind."""
        names = {}
        for of_type in self.types:
            if of_type.of == kind:
                for rank, index in enumerate(self.everywhere[ranking(of_type)]):
                    names.setdefault(int(index), []).append(f"{of_type.name}_{rank}")
        # Where the matrix has no objects of the kind, it is the declared ones that it may be.
        masks = [t.mask for t in self.types if t.of == kind]
        declared = [name for name, of in self.kind_of.items() if of == kind]
        made = []
        for index in range(len(self.everywhere[f"{kind}Pt"])):
            passes = tuple(name for name in declared if self.everywhere[name][index])
            fails, because = "", None
            if index not in names:
                _, (fails, cut) = max(self.progress(mask, index) for mask in masks or declared)
                because = self.values(cut, self.everywhere, index) if cut else None
            values = {name: self.everywhere[name][index].item() for name in self.shown(kind)}
            made.append(
                EventObject(index, values, tuple(names.get(index, ())), passes, fails, because)
            )
        return tuple(made)

    def progress(self, name, index):
        """How many cuts of a declared object an entry passes, and (object, cut) that it fails.

        A cut that is another object stands for the cuts of that one. ("", "") if all are passed.
        """
        passed = 0
        for cut in self.cuts[name]:
            others = [self.progress(o, index) for o in identifiers(cut) if o in self.cuts]
            count, failed = max(others, default=(1, ("", "")))
            passed += count
            if not self.everywhere[cut][index]:
                if failed[1]:
                    return passed, failed
                return passed - count, (name, cut)
        return passed, ("", "")


def ranking(of_type):
    """Positions of the objects of a type (features.ObjectType) as they are in the matrix."""
    return f"indicesByPt({of_type.of}Pt, {of_type.mask})"


def weight_factors(item):
    """{name: expression} of the factors of a sample's event weight."""
    norm, schema = item.normalisation, SCHEMAS[item.sample.schema]
    if norm is None:
        return {}
    names = [NORMALISATION, *(name for name in schema.weights if name in item.plan.names)]
    factors = {name: name for name in names}
    if norm.from_ntuple:
        factors[schema.normalisation] = schema.normalisation
    if norm.by_campaign:
        factors["luminosity of the campaign"] = "campaignLuminosity(RandomRunNumber)"
    return factors


def file_of(item, position):
    """The file of a sample that an entry is in, and its number there."""
    for file in item.inputs.files:
        if position < file.entries:
            return file.path, position
        position -= file.entries
    raise InputError(f"sample '{item.sample.name}': its files have changed")


OPEN, CLOSE = "([{", ")]}"
TEMPLATE = r"(?<=\w)<[\w:,\s]*>(?=\s*[({:])"  # static_cast<int>(
TOKEN = re.compile(r"<=>|<<|>>|->|::|&&|\|\||[=!<>]=|[-+*/%&|^]=|[<>=&|^?:,;(){}\[\]]|\breturn\b")
COMPARISONS = ("==", "!=", "<=", ">=", "<", ">")


def comparison(expression):
    """Split an expression that is one comparison: (left, operator, right), else None."""
    hide = lambda match: "x" * len(match.group())  # noqa: E731
    text = re.sub(TEMPLATE, hide, re.sub(r'"(\\.|[^"\\])*"', hide, expression))
    depth, found = 0, []
    for token in TOKEN.finditer(text):
        depth += (token.group() in OPEN) - (token.group() in CLOSE)
        if not depth and token.group() not in (*CLOSE, "<<", ">>", "->", "::"):
            found.append(token)
    if len(found) != 1 or found[0].group() not in COMPARISONS:
        return None
    begin, end = found[0].span()
    return expression[:begin].strip(), expression[begin:end], expression[end:].strip()


# --- the page ---------------------------------------------------------------------------------

KEEP = "\N{NO-BREAK SPACE}"  # a space at which a line is not broken


def page(told, width):
    """The lines of an Explanation."""
    dataset, run, event = told.identity.values()
    yield f"{told.sample}: run {run}, event {event}, dataset {dataset}"
    path = Path(told.file)
    here = path.is_relative_to(Path.cwd())
    yield f"  entry {told.entry} of {path.relative_to(Path.cwd()) if here else told.file}"
    for kind, objects in told.objects.items():
        yield from object_lines(kind, objects, told.matrix, width)
    if told.left_out:
        yield from wrapped(f"not in these files: {'; '.join(told.left_out)}", width, "  ")
    for region in told.regions:
        yield from region_lines(told, region, width)
    for region in told.blind:
        yield f"{region} is blind: data is not looked at without --unblind"
    yield from weight_lines(told, width)
    if told.matrix is not None:
        yield from feature_lines(told, width)
        yield from matrix_lines(told, width)


def object_lines(kind, objects, matrix, width):
    title, more = KINDS[kind]
    headings = {f"{kind}Pt": "pT/GeV", f"{kind}Eta": "eta", f"{kind}Phi": "phi"}
    if not objects:
        yield f"no {title}"
        return
    columns = objects[0].values
    yield f"{title:<8}" + "".join(
        f"{more[name][0]:>9}" if name in more else f"{headings[name]:>8}" for name in columns
    )
    for each in objects:
        line = f"{each.index:>5}   "
        for name, value in each.values.items():
            if name in more:
                line += f"{more[name][1].split()[int(value)]:>9}"
            else:
                line += f"{value:8.1f}" if name == f"{kind}Pt" else f"{value:8.2f}"
        line += "   "
        yield from wrapped(line + fate(each, matrix), width, " " * len(line))


def fate(each, matrix):
    """What became of an object: its place in the matrix, or the cut that it fails."""
    if each.names:
        beyond = matrix is not None and not set(each.names) & set(matrix.index)
        return ", ".join(each.names) + ", beyond the matrix" * beyond
    passes = ", ".join(each.passes[:1])
    if not each.fails:
        return passes or "-"
    failed = f"not {each.fails}: {each.because.expression} ({of_failed(each.because)})"
    return f"{passes}, {failed}" if passes else failed


def of_failed(values):
    """The values of a cut that is failed, without what its text says already."""
    parts = dict(values.parts)
    if values.operator:
        *_, right = parts
        if is_literal(right):
            del parts[right]
            return number(*parts.values())
        return str(values)
    return number(*parts.values()) if len(parts) == 1 else str(values)


def region_lines(told, region, width):
    cuts = told.regions[region]
    failed = next((cut.name for cut in cuts if not cut.passed), None)
    unreached = "; brackets: not reached" if not all(cut.reached for cut in cuts) else ""
    yield f"{region}: " + (f"fails '{failed}'{unreached}" if failed else "selected")
    names = max((len(cut.name) for cut in cuts), default=0)
    values = max((len(str(cut.values)) for cut in cuts), default=0)
    for cut in cuts:
        word = {True: "pass", False: "FAIL", None: "-"}[cut.passed]
        word = word if cut.reached else f"({word})"
        line = f"  {word:<6}  {cut.name:<{names}}  {cut.values!s:<{values}}  "
        yield from wrapped(line + cut.values.expression, width, " " * len(line))


def weight_lines(told, width):
    if not told.factors:
        yield f"weight {number(told.weight)}, data"
        return
    words = [f"{name}{KEEP}{number(value)}" for name, value in told.factors.items()]
    if told.normalisation:
        words[0] += f" ({told.normalisation})"
    text = f"weight {number(told.weight)} = {f' x{KEEP}'.join(words)}"
    yield from wrapped(text, width, "  ")


def feature_lines(told, width):
    words = []
    for name, value in told.features.items():
        words.append(f"{name} {number(value)} {told.units.get(name, '')}".rstrip())
    cell = max(map(len, words), default=0) + 2
    per_line = max(1, (width - 2) // cell)
    yield "features"
    for begin in range(0, len(words), per_line):
        yield "  " + "".join(f"{w:<{cell}}" for w in words[begin : begin + per_line]).rstrip()


def matrix_lines(told, width):
    layout = told.layout
    there = {"met", *(n for objects in told.objects.values() for o in objects for n in o.names)}
    shown = [k for k, name in enumerate(told.matrix.index) if name in there]
    scale = "GeV" if layout.energy_scale == 1.0 else f"{layout.energy_scale:g} GeV"
    yield f"matrix {layout.name}, {layout.size} x {layout.size}, without objects that are not there"
    for line in (
        f"above the diagonal m_T (first row) and m in {scale}, below it h_L and h",
        f"on it e_T in {scale} of the first of a type, delta e_T of the others",
    ):
        yield from wrapped(f"  {line}", width, "  ")
    declared = cells(layout)
    labels = max(len(told.matrix.index[k]) for k in shown)
    cell = max(9, labels + 1)
    per_block = max(1, (width - labels - 2) // cell)
    for begin in range(0, len(shown), per_block):
        block = shown[begin : begin + per_block]
        yield " " * (labels + 2) + "".join(f"{told.matrix.columns[k]:>{cell}}" for k in block)
        for row in shown:
            line = f"  {told.matrix.index[row]:<{labels}}"
            for column in block:
                value = told.matrix.iat[row, column]
                unit = declared[row * layout.size + column].unit
                line += f"{value:{cell}.1f}" if unit else f"{value:{cell}.3g}"
            yield line


def wrapped(text, width, indent):
    """A line of text as lines that fit."""
    indent = indent[: width // 2]
    lines = textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False)
    return [line.replace(KEEP, " ") for line in lines]


def is_literal(text):
    return re.fullmatch(r"[-+]?[\d.]+(?:[eE][-+]?\d+)?[fFlLuU]*", text) is not None


def number(value, digits=5):
    """A number for people: whole ones as they are."""
    return str(int(value)) if value == round(value) and abs(value) < 1e15 else f"{value:.{digits}g}"


def distinct(left, right):
    """Two numbers for people, with as many digits as it takes to tell them apart."""
    for digits in (5, 9, 17):
        texts = number(left, digits), number(right, digits)
        if left == right or texts[0] != texts[1]:
            break
    return texts
