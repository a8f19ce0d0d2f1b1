"""A run that is done again from its record: what it may do here, and whether its result differs.

A record may come from someone else, and its expressions are C++ that is compiled and run. Those
that this checkout declares itself are known; all others run only if the user trusts them.
"""

import os
import warnings
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from analysis import checksums, features, selection, systematics
from analysis.declarations import Declarations
from analysis.errors import DeclarationError, InputError, OutputError
from analysis.files import checksum, parse_json, read_regular
from analysis.job import job_of
from analysis.output import RUN, Table, read_cutflow, varied_name
from analysis.records import latest_format
from analysis.samples import choose, unusable

ROWS = 2**16  # of a table, that are compared at once


def read_record(path):
    """The record of a run in a run.json. Raises InputError."""
    try:
        record = parse_json(read_regular(path))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path} is not a run.json of this program: {error}") from None
    return latest_format(record, path)


def rerun(path, record, samples=(), regions=(), threads=None, entries=None, trust=False):
    """Return the Job that a record describes, or a part of it.

    path: of the record, for messages
    samples, regions: names, none: all; threads, entries: instead of those of the record
    trust: whether expressions may run that this checkout does not declare
    Raises InputError or DeclarationError.
    """
    job = job_of(record, path)
    listed, declared = job.samples, job.declarations
    if samples:
        names = choose(samples, [sample.name for sample in listed.samples], "sample of this record")
        listed = replace(listed, samples=tuple(s for s in listed.samples if s.name in names))
        # Others may have lacked a column, and all tables of a run have the same columns.
        row = {feature["name"] for feature in record["features"]}
        declared = replace(declared, scalars=tuple(f for f in declared.scalars if f.name in row))
    if regions:
        by_name = {region.name: region for region in declared.regions}
        names = choose(regions, by_name, "region of this record")
        declared = replace(declared, regions=tuple(by_name[name] for name in names))
    if not trust:
        refuse_foreign(path, declared)
    check_inputs(record, listed)
    return replace(
        job,
        samples=listed,
        declarations=declared,
        threads=threads or job.threads,
        entries=entries or job.entries,
    )


# --- expressions ------------------------------------------------------------------------------


def expressions(declared):
    """Yield (what it is, expression) of all that is compiled of Declarations."""
    for each in declared.objects:
        cuts = " && ".join(f"({cut})" for cut in each.cuts)
        yield f"object '{each.name}'", f"{each.of}: {cuts}"
    for each in declared.variables:
        yield f"variable '{each.name}'", each.expression
    for region in declared.regions:
        for cut in region.cuts:
            yield f"cut '{cut.name}' of region '{region.name}'", cut.expression
    for each in declared.scalars:
        yield f"feature '{each.name}'", each.expression
        yield f"feature '{each.name}' where it is missing", each.otherwise
    for systematic in declared.systematics:
        for variation in systematic.variations:
            for column, expression in variation.columns.items():
                yield f"'{column}' of variation '{variation.name}'", expression
    if declared.layout:
        yield f"layout '{declared.layout.name}'", declared.layout.expression(frozenset())


def expressions_here(layout_name):
    """{what it is: expression} of this checkout, with its layout of this name if it has one."""
    layouts = {layout.name: layout for layout in features.LAYOUTS}
    layout = layouts.get(layout_name)
    declared = Declarations(
        selection.OBJECTS,
        selection.VARIABLES,
        selection.REGIONS,
        layout,
        features.scalars(layout) if layout else features.FEATURES,
        systematics.SYSTEMATICS,
    )
    known = dict(expressions(declared))
    cut = selection.GOOD_RUNS  # with a good-run list, which is checked as data
    for region in selection.REGIONS:
        known[f"cut '{cut.name}' of region '{region.name}'"] = cut.expression
    return known


def refuse_foreign(path, declared, advice="read them, they are programs; --trust runs them"):
    """Raise DeclarationError, with a line for each, if expressions are not those of this checkout.

    declared: Declarations of the record at `path`
    advice: what to do then
    """
    here = expressions_here(declared.layout.name)
    foreign = [
        f"{what}: {expression} in {path}, "
        + (f"here {here[what]}" if what in here else "not declared here")
        for what, expression in expressions(declared)
        if here.get(what) != expression
    ]
    if foreign:
        raise DeclarationError(
            *foreign,
            f"{path} has {len(foreign)} expression{'s' * (len(foreign) > 1)} that this checkout "
            f"does not declare: {advice}",
        )


# --- inputs -----------------------------------------------------------------------------------


def check_inputs(record, listed):
    """Raise InputError if files of a SampleList are no files, or not those of the record."""
    problems = [
        f"sample '{name}' is missing in this record, it failed: {why}"
        for name, why in record.get("failed", {}).items()
    ]
    inputs = {sample["name"]: sample.get("inputs", ()) for sample in record["samples"]}
    for sample in listed.samples:
        problems += unusable(sample.files, f"sample '{sample.name}': ")
        problems += filter(None, map(change, inputs[sample.name]))
    if problems:
        raise InputError(*dict.fromkeys(problems))


def change(file):
    """What has changed in a local file since the run that has it in its record, "" if nothing."""
    path, size, known = file["path"], file["size"], file.get("checksum")
    if size is None or not os.path.isfile(path):
        return ""
    if os.path.getsize(path) != size:
        return f"{path} has changed since the run (it had {size} bytes)"
    if known and checksums.compute(path, checksums.method_of(known)) != known:
        return f"{path} has changed since the run (it had {checksums.shortened(known)})"
    return ""


# --- results ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Product:
    """What a run made of a sample in a region; None where that is not known any more."""

    rows: int | None
    checksum: str | None  # SHA-256 of the table
    cutflow: list | None
    table: Path | None = None  # where it was written


def products(folder, record):
    """{(sample, region): Product} of a run, those of a variation with the name of its histograms.

    folder: where its tables are, if they still are
    """
    cutflow = {}
    with suppress(InputError):
        cutflow = read_cutflow(folder)
    found = {}
    for sample in record["samples"]:
        made = {sample["name"]: sample}
        made |= {varied_name(sample["name"], v): of for v, of in variations_of(sample)}
        for name, of in made.items():
            for region in sample.get("tables", {}):
                table, known = (of.get(n, {}).get(region) for n in ("tables", "checksums"))
                path = Path(folder) / table if table else None
                with suppress(OSError):
                    known = known or (path and checksum(path))
                rows = of.get("rows", {}).get(region)
                flow = cutflow.get(region, {}).get(name)
                found[name, region] = Product(rows, known, flow, path)
    return found


def variations_of(sample):
    """(name, what was made of it) of the variations of a sample in a record."""
    return sample.get("variations", {}).items()


def differences(before, after):
    """Yield what differs between the Products of two runs."""
    for sample, region in dict.fromkeys([*before, *after]):
        where = f"{sample} in {region}"
        if (sample, region) not in before or (sample, region) not in after:
            yield f"only one of them has a table of {where}"
            continue
        old, new = before[sample, region], after[sample, region]
        if None not in (old.checksum, new.checksum):
            if old.checksum != new.checksum and not hold_the_same(old, new):
                yield f"table of {where}"
        elif None not in (old.rows, new.rows) and old.rows != new.rows:
            yield f"{new.rows} instead of {old.rows} rows of {where}"
        if None not in (old.cutflow, new.cutflow) and old.cutflow != new.cutflow:
            yield f"cutflow of {where}"


def hold_the_same(old, new):
    """Whether tables of other bytes, which another version may have packed, have the same rows."""
    if None in (old.table, new.table):
        return False
    try:
        with (
            Table(old.table, sha256=old.checksum) as before,
            Table(new.table, sha256=new.checksum) as after,
        ):
            if (before.rows, *before.types.items()) != (after.rows, *after.types.items()):
                return False
            return all(
                bits(before.read_columns(None, *rows)) == bits(after.read_columns(None, *rows))
                for rows in before.ranges(ROWS)
            )
    except InputError:
        return False


def bits(columns):
    """The bytes of {name: array}."""
    return [values.tobytes() for values in columns.values()]


def causes(before, after):
    """Yield what may be the reason why the results of two records differ."""
    old, new = (
        {
            **record.get("versions", {}),
            "commit": record.get("git"),
            "helpers": record.get("helpers"),
        }
        for record in (before, after)
    )
    for name in dict.fromkeys([*old, *new]):
        if old.get(name) != new.get(name):
            yield f"{name} {new.get(name)} instead of {old.get(name)}"
    inputs = {sample["name"]: contents(sample) for sample in before["samples"]}
    for sample in after["samples"]:
        if inputs.get(sample["name"]) != contents(sample):
            yield f"other input files of {sample['name']}"


def contents(sample):
    """What the input files of a sample in a record hold."""
    names = ("path", "size", "entries", "sum_of_weights")
    return [[file.get(name) for name in names] for file in sample.get("inputs", ())]


def compare(path, before, after, old, new):
    """Say whether a run that was done again gave the same result.

    path: of the record, for messages
    before, after: the records; old, new: their Products, as far as they were to be the same
    Raises OutputError if results differ though versions and inputs are the same.
    """
    found = [f"result differs from {path}: {difference}" for difference in differences(old, new)]
    reasons = list(causes(before, after))
    if not found:
        print(f"same result as {path}")
    elif not reasons:
        raise OutputError(*found)
    else:
        for line in (*found, f"the reason may be: {', '.join(reasons)}"):
            warnings.warn(line, stacklevel=2)


class Comparison:
    """The comparison of a run that is done again with its record, which it may replace."""

    def __init__(self, path, record, job):
        """Look at what is there now; job: what will be run."""
        self.path, self.record = path, record
        self.same_entries = job.entries == record["entries"]
        samples = {sample.name for sample in job.samples.samples}
        for sample in record["samples"]:
            if sample["name"] in samples:
                samples |= {varied_name(sample["name"], v) for v, _ in variations_of(sample)}
        regions = {region.name for region in job.declarations.regions}
        self.old = {}
        if self.same_entries:
            there = products(Path(path).parent, record)
            self.old = {k: v for k, v in there.items() if k[0] in samples and k[1] in regions}

    def finish(self, folder):
        """Compare with what is in the output folder now, as `compare`."""
        if not self.same_entries:
            print(f"not compared with {self.path}: other numbers of entries")
            return
        path = Path(folder) / RUN
        after = read_record(path)
        compare(self.path, self.record, after, self.old, products(folder, after))
