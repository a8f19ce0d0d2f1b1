"""Samples whose files are skims: what was left out of them, and whether a run may be done on them.

A skim holds those events of a sample that some region wants, see skims.py. Beside them its files
hold, as JSON, what decided on the events, and the counts of those that were left out, at each cut.
So the cutflow of a run on a skim is that of a run on the original.
"""

from dataclasses import dataclass
from fractions import Fraction

from analysis import good_runs
from analysis.content import FLAG, NUMBER, Fields, ListOf, MapOf, Maybe, OneOf, whole
from analysis.errors import InputError, listed
from analysis.files import parse_json
from analysis.options import SKIM_COLUMNS
from analysis.output import WEIGHT
from analysis.plan import NORMALISATION
from analysis.records import COLUMN, CUT, DEFINITION, EXPRESSION, LABEL, NAME, REJECTED, WORDS

FORMAT = 1
KEY = "m3l_skim"  # of the JSON in a file, see inspectDataset in helpers/engine/inspection.cxx

AGAIN = "make the skim again"

RULE = Fields(
    {
        "format": whole(FORMAT, FORMAT),
        "made": Fields({"command": ListOf(WORDS), "git": Maybe(WORDS)}, others=True),
        "columns": OneOf(SKIM_COLUMNS),
        "branches": MapOf(LABEL, LABEL),  # of the original: names and types
        "added": ListOf(COLUMN),  # columns that became branches
        "schema": NAME,
        "drop_bad_events": FLAG,
        "checks": ListOf(COLUMN),  # branches whose values were looked at
        "constants": MapOf(COLUMN, NUMBER),
        "definitions": MapOf(COLUMN, DEFINITION),
        "cuts": MapOf(NAME, ListOf(CUT)),
        "variations": MapOf(COLUMN, MapOf(COLUMN, EXPRESSION)),
        "rejected": REJECTED,
    },
    others=True,
)

# Names of types in TTrees and in RNTuples, which a skim may have for those of C++.
TYPES = {
    "Bool_t": "bool",
    "Char_t": "char",
    "UChar_t": "unsigned char",
    "Short_t": "short",
    "UShort_t": "unsigned short",
    "Int_t": "int",
    "UInt_t": "unsigned int",
    "Long_t": "long",
    "ULong_t": "unsigned long",
    "Float_t": "float",
    "Double_t": "double",
    "std::uint8_t": "unsigned char",
    "std::int16_t": "short",
    "std::uint16_t": "unsigned short",
    "std::int32_t": "int",
    "std::uint32_t": "unsigned int",
    "std::int64_t": "long",
    "std::uint64_t": "unsigned long",
}


@dataclass(frozen=True)
class Skimmed:
    """What the files of a sample say that are skims.

    Attributes:
        records: the JSON of each of these files, {path: content}
    """

    records: dict[str, dict]

    @classmethod
    def of(cls, inputs, problems):
        """That of the Inputs of a sample, None if they are no skims.

        What is wrong is added to the list of problems.
        """
        found = {}
        for file, look in zip(inputs.files, inputs.looks, strict=True):
            if look.skim:
                try:
                    found[file.path] = read_record(look.skim, file.path)
                except InputError as error:
                    problems += error.problems
        if found and inputs.skipped:
            problems.append(
                f"{inputs.skipped[0].path} is a bad file of a skim, which nothing replaces: {AGAIN}"
            )
        return cls(found) if found else None

    @property
    def rejected_events(self):
        """How many events are not in the skim, as far as a region has counted them."""
        flows = (record["rejected"]["cutflow"] for record in self.records.values())
        return sum(next((rows[0]["entries"] for rows in flow.values()), 0) for flow in flows)

    def branches(self, inputs):
        """{name: type} of the branches of the original, and of columns that became branches.

        Types are those of the files where these have others, which only names may be.
        """
        kinds = next((look.kinds for look in inputs.looks if look.entries), {})
        found = {}
        for record in self.records.values():
            found |= record["branches"]
            found |= {name: inputs.branches[name] for name in record["added"]}
        for name, here in inputs.branches.items():
            if name in found and kinds.get(name) != "RNTuple" and plain(here) != plain(found[name]):
                found[name] = here
        return found

    def problems(self, item, where):
        """Yield a line for each reason why a run must not be done on the skim.

        item: prepare.Prepared as it would be run; where: what the line begins with
        """
        told = set()
        for path, record in self.records.items():
            for change in changes(record, item):
                if change not in told:
                    told.add(change)
                    yield f"{where}: {path} is a skim of other declarations: {change}: {AGAIN}"
        (path, *_), there = self.records, set(item.inputs.branches)
        for name in item.plan.inputs:
            if name not in there and not told:
                yield (
                    f"{where}: {path} is a skim without the branch '{name}', which "
                    f"{user_of(name, item.plan)} needs: {AGAIN} with today's declarations or "
                    "with --columns all"
                )

    def rejected(self, plan):
        """The counts of the events that are not in the skim, for the regions of a plan.

        They are as those of a piece in analysis/batch: {"cutflow": {region: rows}, "variations":
        {name: {"cutflow": {region: rows}}}}.
        """
        parts = [scaled(record, plan) for record in self.records.values()]
        return {
            "cutflow": added([part["cutflow"] for part in parts], plan),
            "variations": {
                shifted.name: {
                    "cutflow": added(
                        [part["variations"].get(shifted.name, part)["cutflow"] for part in parts],
                        plan,
                    )
                }
                for shifted in plan.variations
            },
        }


def read_record(text, path):
    """The JSON that a file holds. Raises InputError."""
    try:
        record = parse_json(text)
        for problem in RULE.problems(record, ""):
            raise ValueError(problem)
        for region, rows in record["rejected"]["cutflow"].items():
            if len(rows) != 1 + len(record["cuts"].get(region, ())):
                raise ValueError(f"rejected has {len(rows)} rows of region '{region}'")
    except ValueError as error:
        raise InputError(f"{path} is no skim of this version ({error}): {AGAIN}") from None
    return record


def plain(cpp):
    """The name of a type in C++."""
    before, bracket, inner = cpp.removesuffix(">").rpartition("<")
    return before + bracket + TYPES.get(inner, inner)


def user_of(name, plan):
    """What declares the column or cut that asks for a branch."""
    cuts = (cut for cuts in plan.cuts.values() for cut in cuts)
    shifts = (column for shifted in plan.variations for column in shifted.columns)
    users = (d.where for d in (*plan.definitions, *cuts, *shifts) if name in d.inputs)
    return next(users, plan.where(name))


def decisive(plan, cuts):
    """What decides on events and on their weights in a plan.

    cuts: {region: Definitions}
    Returns the Definitions and the names of the branches.
    """
    columns = [WEIGHT, *(name for some in cuts.values() for cut in some for name in cut.inputs)]
    while True:
        definitions, branches = plan.needed(columns)
        names = {*columns, *branches, *(d.name for d in definitions)}
        shifts = [c for each in plan.variations for c in each.columns if c.name in names]
        more = {name for column in shifts for name in column.inputs} - names
        if not more:
            return definitions, branches
        columns += sorted(more)


def decided(item):
    """The part of the JSON of a skim that says what decides on its events (prepare.Prepared)."""
    plan = item.plan
    definitions, _ = decisive(plan, plan.cuts)
    return {
        "schema": item.sample.schema,
        "drop_bad_events": plan.drop_bad_events,
        "checks": list(plan.checks),
        "constants": plan.constants,
        "definitions": {d.name: d.expression for d in definitions},
        "cuts": {
            region: [{"name": cut.name, "expression": cut.expression} for cut in cuts]
            for region, cuts in plan.cuts.items()
        },
        "variations": {
            shifted.name: {column.name: column.expression for column in shifted.columns}
            for shifted in plan.variations
        },
    }


def changes(record, item):
    """Yield what a run (prepare.Prepared) declares otherwise than a skim, so far as it matters."""
    plan = item.plan
    if record["schema"] != item.sample.schema:
        yield was("the schema", record["schema"], item.sample.schema)
        return
    if record["drop_bad_events"] != plan.drop_bad_events:
        yield f"it was made with{'out' * plan.drop_bad_events} --drop-bad-events"
    elif plan.drop_bad_events and record["checks"] != list(plan.checks):
        yield "other branches are read, whose bad values would leave other events out"
    for region, cuts in plan.cuts.items():
        if region not in record["cuts"]:
            hidden = item.sample.kind == "data" and any(
                each.blind for each in item.declarations.regions if each.name == region
            )
            yield (
                f"region '{region}' is not in it (it has {listed(record['cuts']) or 'none'})"
                + ", with data --unblind makes it" * hidden
            )
            continue
        for number, old in enumerate(record["cuts"][region]):
            what = f"cut '{old['name']}' of region '{region}'"
            if number >= len(cuts):
                yield f"{what} is gone"
            elif old["expression"] != cuts[number].expression:
                yield was(what, old["expression"], cuts[number].expression)
                break
    yield from changed_columns(record, plan)


def changed_columns(record, plan):
    """Yield what is computed otherwise of what the cuts of a skim and the weight need."""
    before = {r: cuts[: len(record["cuts"].get(r, ()))] for r, cuts in plan.cuts.items()}
    definitions, branches = decisive(plan, before)
    names = {*branches, *plan.constants, *(d.name for d in definitions)}
    old = record["definitions"]
    for definition in definitions:
        if old.get(definition.name) != definition.expression:
            if definition.name == good_runs.COLUMN:
                yield "it has another good-run list, or one where there is none"
                continue
            expression = old.get(definition.name, "a branch")
            yield was(definition.where, expression, definition.expression)
    defined = {definition.name for definition in plan.definitions}
    for name in branches:
        if name in old and name not in defined and name not in record["added"]:
            yield was(f"column '{name}'", old[name], "a branch")
    used = {name for definition in definitions for name in definition.inputs}
    for name, value in plan.constants.items():
        if name != NORMALISATION and name in used and record["constants"].get(name) != value:
            yield f"constant '{name}' was {record['constants'].get(name)}, is {value}"
    if NORMALISATION in used and not record["constants"].get(NORMALISATION):
        yield "its normalisation was zero"
    unknown = []
    for shifted in plan.variations:
        new = {c.name: c.expression for c in shifted.columns if c.name in names}
        known = record["variations"].get(shifted.name)
        if known is None:
            if new:
                unknown.append(shifted.name)
            continue
        for name in sorted(names & {*new, *known}):
            if new.get(name) != known.get(name):
                what = f"'{name}' in variation '{shifted.name}'"
                yield was(what, known.get(name, "as without"), new.get(name, "as without"))
    if len(unknown) == 1:
        yield f"variation '{unknown[0]}' is not in it, --vary makes it"
    elif unknown:
        yield f"variations {listed(unknown)} are not in it, --vary makes them"


def was(what, old, new):
    """The words for what is declared otherwise."""
    return f"{what} was `{old}`, is `{new}`"


def scaled(record, plan):
    """The rejected counts of a skim, with the normalisation of a plan.

    Sums are exact where that has not changed; else each is rounded once.
    """
    old, new = (of.get(NORMALISATION) for of in (record["constants"], plan.constants))
    if old == new or not old or new is None:
        return record["rejected"]
    factor = Fraction(new) / Fraction(old)

    def cutflow(rows):
        return {
            region: [
                {**count, **times(count, "sumw", factor), **times(count, "sumw2", factor**2)}
                for count in counts
            ]
            for region, counts in rows.items()
        }

    rejected = record["rejected"]
    return {
        "cutflow": cutflow(rejected["cutflow"]),
        "variations": {
            name: {"cutflow": cutflow(varied["cutflow"])}
            for name, varied in rejected["variations"].items()
        },
    }


def times(count, name, factor):
    """A sum of a count, times a factor."""
    return {name: f"{round(int(count[name], 16) * factor):x}"}


def added(flows, plan):
    """The counts of several files in the regions of a plan, none after the last cut of a skim."""
    return {
        region: [
            combined(1, cut, *(flow[region][n] for flow in flows if n < len(flow[region])))
            for n, cut in enumerate(["all", *(cut.name for cut in cuts)])
        ]
        for region, cuts in plan.cuts.items()
    }


def combined(sign, cut, *counts):
    """The sum of counts of a cut as of `loops.count_json`, or the first less the others."""
    signs = [1, *[sign] * len(counts)][: len(counts)]
    signed = [*zip(signs, counts, strict=True)]
    sums = {n: f"{sum(s * int(c[n], 16) for s, c in signed):x}" for n in ("sumw", "sumw2")}
    return {"cut": cut, "entries": sum(s * c["entries"] for s, c in signed), **sums}


def both(sign, cutflow, other):
    """The sum of two cutflows, {region: rows}, or with a sign of -1 their difference."""
    return {
        region: [
            combined(sign, one["cut"], one, another)
            for one, another in zip(rows, other[region], strict=True)
        ]
        for region, rows in cutflow.items()
    }
