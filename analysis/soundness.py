"""Events that must not be used, told in a line: bad values, no finite weight, rows without a place.

Event loops look for them themselves, as far as they read (helpers/engine/compiledchain.h,
chain.guarded_chain). What is wrong with which event is found out here, where a loop has failed.
"""

import numpy as np
import ROOT

from analysis.chain import with_columns
from analysis.dataframes import ENTRY, dataframe_of, file_of, one_thread
from analysis.features import cells
from analysis.output import IDENTITY, WEIGHT

BAD_EVENT = "an event has bad values"  # see requireSound in helpers/arrays.h

SOUND, FOUND = "m3l_sound", "m3l_found"


def bad_events(item):
    """Say how many events of a sample (run.Prepared) have bad values in a branch that is read.

    Those are numbers that are not finite and arrays of one object that differ in length. The first
    of the events is described. "" if there is none.
    """
    number, first = 0, ""
    with one_thread():
        for files, begin, end in item.inputs.parts(item.begin, item.begin + item.entries):
            df = dataframe_of(item.sample, files, begin, end)
            bad = branches_and_identity(item.plan, df).Filter(f"!{SOUND}")
            total = bad.Count()
            events = ROOT.m3l.takeValues(ROOT.RDF.AsRNode(bad.Range(1)), FOUND)
            number += int(total.GetValue())
            for event in () if first else events.GetValue():
                first = described(item.plan, files, event)
    have = "event has" if number == 1 else "events have"
    return f"{number} {have} bad values, {first}" if number else ""


def branches_and_identity(plan, df):
    """An RDataFrame with SOUND and with FOUND: position, identity, then all branches to check."""
    df = df.Define(SOUND, plan.is_sound(plan.checks))
    branches = ", ".join(f"m3l::valueOf({name})" for name in plan.checks)
    # Before a column may hide a branch of its name.
    df = df.Define("m3l_branches", f"return m3l::EventValues{{{branches}}};")
    df = with_columns(plan.only(IDENTITY), df)
    identity = ", ".join(f"m3l::valueOf({name})" for name in (ENTRY, *IDENTITY))
    return df.Define(
        FOUND,
        f"m3l::EventValues found{{{identity}}}; "
        "found.insert(found.end(), m3l_branches.begin(), m3l_branches.end()); return found;",
    )


def described(plan, files, event):
    """An event with bad values in words, from what `branches_and_identity` has found."""
    position, *identity = (int(event[n].whole) for n in range(1 + len(IDENTITY)))
    path, entry = file_of(files, position)
    values = {branch: event[1 + len(IDENTITY) + n] for n, branch in enumerate(plan.checks)}
    return f"the first is entry {entry} of {path} ({named(identity)}), where {wrong(plan, values)}"


def wrong(plan, values):
    """The first bad branch of an event in words; values: {branch: m3l::Value}."""
    first = {}  # branch of each kind of object
    for branch, of in plan.checks.items():
        numbers = np.array(values[branch].values)
        bad = numbers[~np.isfinite(numbers)]
        if len(bad):
            verb = "holds" if values[branch].isList else "is"
            return f"branch '{branch}' {verb} {bad[0]}"
        other, length = first.setdefault(of, (branch, len(numbers)))
        if of and len(numbers) != length:
            return f"branch '{branch}' has {len(numbers)} values, '{other}' has {length}"
    return "a branch has bad values"


def bad_weights(*dataframes):
    """Say how many events of dataframes have no finite weight, and which is the first of them."""
    bad = []
    for df in dataframes:
        arrays = df.Filter(f"!std::isfinite({WEIGHT})").AsNumpy([*IDENTITY])
        bad += zip(*(arrays[name].tolist() for name in IDENTITY), strict=True)
    return f"{len(bad)} events have no finite weight, first {named(min(bad))}"


def bad_rows(item, region, bad):
    """Say what a table cannot hold: m3l::BadRows of a sample (run.Prepared) in a region."""
    names = [cell.name for cell in cells(item.declarations.layout)]
    names += item.plan.columns[len(IDENTITY) + 2 :]
    return (
        f"feature '{names[bad.column]}' is {bad.value:g} in an event of {region} "
        f"({named(bad.identity)}), which a table cannot hold; {bad.rows} events have such features"
    )


def named(identity):
    """The three numbers of an event with their names."""
    return ", ".join(f"{name} {number}" for name, number in zip(IDENTITY, identity, strict=True))
