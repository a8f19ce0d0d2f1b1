"""One event, told cut by cut.

    explain(dataframes["WZ"], event=12345)

gives what `python run_rdf.py --event WZ:12345` prints: the objects of the event and the cut that
removed each, both sides of every cut, the weight factor by factor, the features and the matrix. All
numbers are columns of the chain, read in one event loop.
"""

import re
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import ROOT

from analysis.chain import with_columns, with_cuts
from analysis.dataframes import ENTRY, dataframe, file_of, one_thread
from analysis.errors import InputError
from analysis.event_page import KINDS, SHOWN, choice, comparison, page, shown_failure
from analysis.features import Layout
from analysis.output import IDENTITY, WEIGHT
from analysis.plan import MATRIX, NORMALISATION, identifiers
from analysis.schemas import SCHEMAS
from analysis.soundness import bad_events
from helpers.terminal import captured_stderr


@dataclass(frozen=True)
class CutVerdict:
    """A cut of a region."""

    name: str
    expression: str
    reached: bool  # all cuts before it are passed
    passed: bool | None  # None where it is not reached and might not have a value then
    values: dict[str, float]  # of both sides of a comparison, else of the columns in it


@dataclass(frozen=True, eq=False)
class Explanation:
    """What happened to one event; it prints itself as a page for a terminal."""

    sample: str
    identity: dict[str, int]  # DatasetNumber, RunNumber, EventNumber
    position: int  # among the entries of the sample
    file: str
    entry: int  # in that file
    objects: dict[str, pd.DataFrame]  # by kind: lep, jet, pho
    regions: dict[str, tuple[CutVerdict, ...]]
    blind: tuple[str, ...]  # regions that are not looked at
    weight: float
    factors: dict[str, float]  # of the weight; none for data
    normalisation: str  # what the first factor is made of
    features: dict[str, float]  # without those that might have a value for selected events only
    layout: Layout
    matrix: pd.DataFrame | None  # of met and the objects that are there; None if all is blind
    left_out: tuple[str, ...]  # cuts and weights that need columns the files do not carry

    def selected(self, region):
        """Whether the event passes all cuts of a region."""
        return all(cut.passed for cut in self.regions[region])

    def __repr__(self):
        return "\n".join(page(self))


@dataclass(frozen=True)
class Matches:
    """Several events of one number; they print themselves as a list to choose from."""

    sample: str
    identities: dict[int, list[int]]  # dataset, run and event number by position
    regions: dict[int, tuple[str, ...]]  # that select them

    def __repr__(self):
        return "\n".join(choice(self))


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
    if not hasattr(frames, "item"):
        raise TypeError(
            'explain needs the dataframes of one sample, as dataframes["WZ"], not on a cluster'
        )
    item, end = frames.item, frames.item.begin + frames.item.entries
    where = f"sample '{item.sample.name}'"
    if position is not None:
        if not item.begin <= position < end:
            raise InputError(f"{where} has no entry {position}, only {item.begin} to {end - 1}")
        item, end = replace(item, begin=position, entries=1), position + 1
    with one_thread():
        df = with_columns(item.plan, dataframe(item))
        # First of all, so that of other events nothing else is read.
        for column, wanted in (("EventNumber", event), ("RunNumber", run)):
            if wanted is not None:
                df = df.Filter(f"{column} == {int(wanted)}")
        reader = Reader(item, df)
        try:
            with captured_stderr():
                found = reader.identities()
        except Exception as error:  # C++ exceptions, of whatever type
            reason = bad_events(item) or str(error).strip().splitlines()[-1]
            raise InputError(f"{where} cannot be read: {reason}") from None
        if not found:
            name = f"event {event}" + ("" if run is None else f" of run {run}")
            raise InputError(f"{where}: none of its {item.entries} entries is {name}")
        if len(found) > 1:
            regions = {each: reader.selected_by(each) for each in found}
            return Matches(item.sample.name, found, regions)
        return reader.explanation(*found)


class Columns:
    """Expressions that an event loop reads at a node; the first look at one runs the loop."""

    def __init__(self, df, expressions):
        self.places = {each: n for n, each in enumerate(dict.fromkeys((ENTRY, *expressions)))}
        # Statements are the body of a function.
        texts = (f"[&] {{ {each} }}()" if ";" in each else each for each in self.places)
        values = ", ".join(f"m3l::valueOf({text})" for text in texts)
        # One column of one type: the interpreter takes long over each.
        df = df.Define("explained", f"return m3l::EventValues{{{values}}};")
        self.events = ROOT.m3l.takeValues(ROOT.RDF.AsRNode(df), "explained")

    def whole(self, expression):
        """The value of an expression in each event, a whole number."""
        return [int(event[self.places[expression]].whole) for event in self.events.GetValue()]

    def __getitem__(self, expression):
        """The value of an expression in the first event, an array or a number."""
        found = self.events.GetValue()[0][self.places[expression]]
        return np.array(found.values) if found.isList else np.float64(found.values[0])


class Reader:
    """Books all that is to be known of some events of a sample, then says it."""

    def __init__(self, item, df):
        """item: run.Prepared of the sample; df: RDataFrame with its columns, of those events"""
        self.item, self.plan, self.layout = item, item.plan, item.declarations.layout
        objects = [o for o in item.declarations.objects if o.name in self.plan.names]
        self.kind_of = {o.name: o.of for o in objects}
        self.cuts = {
            o.name: [cut for cut in o.cuts if f"{o.name}: {cut}" not in self.plan.left_out]
            for o in objects
        }
        self.shown = {
            kind: [kind + name for name in SHOWN if kind + name in self.plan.names]
            for kind in KINDS
            if kind in self.kind_of.values()
        }
        # {type: positions of its objects in the event's arrays, as they are in the matrix}
        self.ranked = {
            t: f"indicesByPt({t.of}Pt, {t.mask})" for t in self.layout.types if t.mask in self.cuts
        }
        self.factors = weight_factors(item)
        self.unsure = set()  # columns that need not have a value
        format_has = {column.name for column in SCHEMAS[item.sample.schema].columns}
        for definition in self.plan.definitions:
            # What a format stands in for our columns with is there in every event.
            if definition.name not in format_has and not self.has_value(definition.expression):
                self.unsure.add(definition.name)
        regions = {name: [c.expression for c in cuts] for name, cuts in self.plan.cuts.items()}
        # Without a region that may be looked at there is nothing to be seen of its columns.
        # The objects are shown as they are.
        carried = {f.name for f in item.declarations.scalars if not f.binning}
        row = self.plan.columns[len(IDENTITY) + 1 :] if regions else ()
        self.row = tuple(name for name in row if name not in carried)
        wanted = [WEIGHT, *IDENTITY, *self.factors, *self.cuts, *self.ranked.values()]
        wanted += [name for names in self.shown.values() for name in names]
        wanted += filter(self.has_value, self.row)
        cuts = [cut for cuts in self.cuts.values() for cut in cuts]
        for first, *others in filter(None, regions.values()):  # all events reach the first
            cuts += [first, *filter(self.has_value, others)]
        wanted += [part for cut in cuts for part in self.parts(cut)]
        self.everywhere = Columns(df, wanted)
        self.nodes = {}
        for region, nodes in with_cuts(self.plan, df).items():
            # What only those events have that reach a cut, and in the end the selected ones.
            later = [*map(self.parts, regions[region][1:]), self.row]
            self.nodes[region] = [self.everywhere, *map(Columns, nodes[1:], later)]

    def has_value(self, expression):
        """Whether an expression has a value in events that the chain does not compute it for.

        An element of an array by its position may not be there. Masks and the cells of the matrix
        always are.
        """
        masks = "|".join(self.kind_of) or "(?!)"
        always = rf"\[[^][()]*\b(?:{masks})\b[^][()]*\]|\b{MATRIX}\[\d+\]"
        element = r"\[|->|\.\s*(?:at|front|back)\s*\(|\bTake\s*\(.*,\s*-?\d"
        element += r"|\b(?:Max|Min|Mean|ArgMax|ArgMin)\s*\("  # of an array that may be empty
        if re.search(element, re.sub(always, "", expression)):
            return False
        return not self.unsure & set(identifiers(expression))

    def parts(self, expression):
        """An expression, then both sides of a comparison, else the columns in it."""
        if sides := comparison(expression):
            return expression, sides[0], sides[2]
        return expression, *(name for name in identifiers(expression) if name in self.plan.names)

    def identities(self):
        """{position: identity} of the events; runs the event loop."""
        columns = [self.everywhere.whole(name) for name in (ENTRY, *IDENTITY)]
        return {position: identity for position, *identity in zip(*columns, strict=True)}

    def selected_by(self, position):
        """The regions that select an event."""
        return tuple(r for r, nodes in self.nodes.items() if position in nodes[-1].whole(ENTRY))

    def explanation(self, position):
        """The Explanation of the only event."""
        item, read = self.item, self.everywhere
        selected = [self.nodes[region][-1] for region in self.selected_by(position)]
        row = {n: s[n] for n in self.row for s in (read, *selected) if n in s.places}
        matrix = self.matrix(row.pop(MATRIX)) if row else None
        file, entry = file_of(item.inputs.files, position)
        left_out = (text for text in self.plan.left_out if text.split(":")[0] in self.plan.names)
        return Explanation(
            sample=item.sample.name,
            identity=dict(zip(IDENTITY, self.identities()[position], strict=True)),
            position=position,
            file=file,
            entry=entry,
            objects={kind: self.objects(kind) for kind in self.shown},
            regions={region: tuple(self.verdicts(region)) for region in self.nodes},
            blind=tuple(r.name for r in item.declarations.regions if r.name not in self.nodes),
            weight=read[WEIGHT].item(),
            factors={factor: read[factor].item() for factor in self.factors},
            normalisation=item.normalisation.factors if item.normalisation else "",
            features={name: value.item() for name, value in row.items()},
            layout=self.layout,
            matrix=matrix,
            left_out=tuple(left_out),
        )

    def matrix(self, values):
        """The matrix of the objects that are there, from all its values."""
        names, there = ["met"], [True]
        for t in self.layout.types:
            found = len(self.everywhere[self.ranked[t]]) if t in self.ranked else 0
            names += [f"{t.name}_{rank}" for rank in range(t.multiplicity)]
            there += [rank < found for rank in range(t.multiplicity)]
        matrix = pd.DataFrame(values.reshape(self.layout.size, -1), index=names, columns=names)
        return matrix.loc[there, there]

    def verdicts(self, region):
        """Yield the CutVerdicts of a region."""
        for cut, node in zip(self.plan.cuts[region], self.nodes[region], strict=False):
            reached = bool(node.whole(ENTRY))
            columns = node if reached else self.everywhere
            passed, values = None, {}
            if cut.expression in columns.places:
                passed = bool(columns[cut.expression])
                values = self.values(cut.expression, columns)
            yield CutVerdict(cut.name, cut.expression, reached, passed, values)

    def values(self, expression, columns, index=None):
        """{part: number} of the parts of an expression; index: of an object, for arrays."""
        values = {part: columns[part] for part in self.parts(expression)[1:]}
        if index is not None:
            values = {part: value[index] if value.ndim else value for part, value in values.items()}
        return {part: value.item() for part, value in values.items() if not value.ndim}

    def objects(self, kind):
        """The objects of a kind, a row each: what is shown of them, and their fate in words."""
        objects = pd.DataFrame({name: self.everywhere[name] for name in self.shown[kind]})
        objects["fate"] = [self.fate(kind, index) for index in objects.index]
        return objects

    def fate(self, kind, index):
        """The place of an object in the matrix, or what it is and the cut that it fails."""
        places, read = [], self.everywhere
        types = [t for t in self.ranked if t.of == kind]
        for t in types:
            for rank in np.flatnonzero(read[self.ranked[t]] == index):
                beyond = ", beyond the matrix" if rank >= t.multiplicity else ""
                places.append(f"{t.name}_{rank}{beyond}")
        if places:
            return ", ".join(places)
        # Where the matrix has no objects of the kind, it is the declared ones that it may be.
        declared = [name for name, of in self.kind_of.items() if of == kind]
        words = [name for name in declared if read[name][index]][:1]
        masks = [t.mask for t in types] or declared
        _, name, cut = max(self.failure(mask, index) for mask in masks)  # it came closest to that
        if cut:
            failure = shown_failure(cut, self.values(cut, read, index))
            words.append(f"not {name}: {cut} ({failure})")
        return ", ".join(words)

    def failure(self, name, index):
        """How many cuts of a declared object are passed, then (object, cut) that an entry fails."""
        for passed, (owner, cut) in enumerate(self.steps(name)):
            if not self.everywhere[cut][index]:
                return passed, owner, cut
        return 0, "", ""

    def steps(self, name):
        """Yield (object, cut) of a declared object; a cut that is an object stands for its cuts."""
        for cut in self.cuts[name]:
            yield from self.steps(cut) if cut in self.cuts else [(name, cut)]


def weight_factors(item):
    """Expressions of the factors of a sample's event weight."""
    norm, schema = item.normalisation, SCHEMAS[item.sample.schema]
    if norm is None:
        return []
    factors = [NORMALISATION, *(name for name in schema.weights if name in item.plan.names)]
    factors += [schema.normalisation] * norm.from_ntuple
    return factors + ["campaignLuminosity(RandomRunNumber)"] * norm.by_campaign
