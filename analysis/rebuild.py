"""Events whose objects somebody has changed, computed again by the chain of the run they are from.

    python -m analysis.rebuild OUT REGION EVENTS ROWS

EVENTS is a table `events` of objects, with the columns by which those of OUT carry them. They
become an ntuple of selected objects, over which the declarations of OUT run; a cut of an object
that needs other columns is left out, since the objects have passed it. ROWS gets a table with the
columns of those of OUT, of the events that pass the cuts of the region, with weight 1; EventNumber
is the position in EVENTS. `ml/recompute.py` calls this program, since ROOT and TensorFlow do not go
into one process.
"""

import tempfile
from pathlib import Path

import numpy as np

from analysis.errors import InputError, Parser, exit_on_mistake, last_words
from analysis.features import LUMI_BLOCK, travelling
from analysis.hdf5 import Frame
from analysis.output import IDENTITY, RUN, read_run
from analysis.samples import Sample, choose
from analysis.schemas import Column, Schema

EVENTS = "events"  # name of the table, and of the tree that is made of it
WHOLE = ("Flavor", "Charge", "BTag")  # properties that are whole numbers
PER_EVENT = {  # our columns, and those of a table
    "met_Et": "e_T_miss",
    "met_Phi": "met_Phi",
    "met_Sign": "met_significance",  # not of all runs
}
TYPES = {"f4": ("float", "F"), "i4": ("int", "I"), "i8": ("Long64_t", "L")}  # C++, leaf of a tree


def main(arguments=None):
    """Run the command line."""
    parser = Parser("python -m analysis.rebuild", description=__doc__.partition("\n\n")[0])
    parser.add_argument("folder", metavar="OUT", help="output folder of run_rdf.py")
    parser.add_argument("region", metavar="REGION")
    parser.add_argument("events", metavar="EVENTS", help="table of objects")
    parser.add_argument("rows", metavar="ROWS", help="table to write")
    options = parser.parse_args(arguments)
    with exit_on_mistake("nothing is written", memory="give fewer events at once"):
        rebuild(options.folder, options.region, options.events, Path(options.rows))


def rebuild(folder, region, events, rows):
    """Compute the features of a table of events again, into the table `rows`, a Path.

    Raises M3LError.
    """
    from analysis.export import book_histograms, forget_filters, write_rows
    from analysis.guard import event_loop
    from analysis.job import feature_of, job_of
    from analysis.prepare import row_layout
    from analysis.repeat import refuse_foreign

    record, path = read_run(folder), Path(folder) / RUN
    job = job_of(record, path)
    refuse_foreign(path, job.declarations, "run run_rdf.py again")
    by_name = {each.name: each for each in job.declarations.regions}
    (name,) = choose([region], by_name, "region of this run")
    # A model's score is a column, too, but not declared.
    # Of an event that was changed nobody needs the luminosity block.
    declared = {feature.name for feature in job.declarations.features({*LUMI_BLOCK.needs})}
    row = tuple(feature_of(f) for f in record["features"] if f["name"] in declared)
    layout = job.declarations.layout
    columns = read_events(folder, events, layout, {feature.name for feature in row})
    with tempfile.TemporaryDirectory(dir=rows.parent) as workshop:
        records = tree_records(columns, travelling(layout))
        file = Path(workshop) / "events.root"
        write_tree(file, records, travelling(layout))
        item = prepared(file, records, job.declarations, by_name[name], row)
        loop = event_loop(item, row_layout(job.declarations, row), workshop)
        loop.run()
        forget_filters()
        write_rows(loop.rows[name], rows, row, book_histograms((), row))


def read_events(folder, path, layout, there):
    """{column: (events,) float32} of a table of objects, energies in GeV.

    there: names of the columns of the tables of the run in the folder
    Raises InputError if these do not carry their objects, or the table lacks some.
    """
    wanted = [
        f"{each.of}{what}_{rank}"
        for each in travelling(layout)
        for what in each.properties
        for rank in range(each.multiplicity)
    ]
    optional = "met_significance"
    wanted += [name for name in PER_EVENT.values() if name in there or name != optional]
    if missing := [name for name in wanted if name not in there]:
        raise InputError(
            f"the tables of {folder} do not carry the objects of their events (no {missing[0]}): "
            "run run_rdf.py again"
        )
    with Frame(path, EVENTS, "give all columns by which the tables carry objects") as frame:
        columns = dict(zip(wanted, frame.read(wanted, dtype="f4").T, strict=True))
    columns["e_T_miss"] = columns["e_T_miss"] * np.float32(layout.energy_scale)
    return columns


def tree_records(columns, kinds):
    """(events,) records with the branches of a tree: arrays of objects, those that exist in front.

    columns: {name: (events,) float32}; kinds: features.Carried
    """
    events = len(columns["e_T_miss"])
    single = {name: column for name, column in PER_EVENT.items() if column in columns}
    fields = [(name, "i8") for name in IDENTITY] + [(name, "f4") for name in single]
    for each in kinds:
        fields.append((f"n_{each.of}", "i4"))
        fields += [
            (f"{each.of}{what}", "i4" if what in WHOLE else "f4", each.multiplicity)
            for what in each.properties
        ]
    records = np.zeros(events, np.dtype(fields, align=True))
    records["EventNumber"] = np.arange(events)
    for name, column in single.items():
        records[name] = columns[column]
    for each in kinds:
        arrays = {
            what: np.stack([columns[f"{each.of}{what}_{k}"] for k in range(each.multiplicity)], 1)
            for what in each.properties
        }
        there = arrays["Pt"] > 0
        order = np.argsort(~there, axis=1, kind="stable")
        records[f"n_{each.of}"] = there.sum(axis=1)
        for what, values in arrays.items():
            taken = np.take_along_axis(values, order, axis=1)
            records[f"{each.of}{what}"] = np.rint(taken) if what in WHOLE else taken
    return records


def leaf(name, dtype):
    """The type of a field of records in C++ and in a tree."""
    return TYPES[dtype.base.str[1:]]


def write_tree(path, records, kinds):
    """Write records as a tree."""
    import ROOT

    file = ROOT.TFile(str(path), "RECREATE", "", 0)
    tree = ROOT.TTree(EVENTS, EVENTS)
    buffer = np.zeros(1, records.dtype)
    of = {f"{each.of}{what}": each.of for each in kinds for what in each.properties}
    for name in records.dtype.names:
        length = f"[n_{of[name]}]" if name in of else ""
        kind = leaf(name, records.dtype[name])[1]
        tree.Branch(name, buffer[name][0] if length else buffer[name], f"{name}{length}/{kind}")
    rows, target = records.view("u1").reshape(len(records), records.itemsize), buffer.view("u1")
    fill = tree.Fill
    for row in rows:
        target[:] = row
        fill()
    tree.Write()
    file.Close()


def prepared(path, records, declared, region, row):
    """The run.Prepared of a tree of records for a region and the features of a row."""
    import helpers
    from analysis.inputs import InputFile, Inputs
    from analysis.plan import Planner
    from analysis.prepare import Prepared, row_layout, with_compiled
    from analysis.scale_factors import keep_corrections

    helpers.load_engine()
    types = {name: records.dtype[name] for name in records.dtype.names}
    branches = {
        name: f"ROOT::VecOps::RVec<{leaf(name, kind)[0]}>" if kind.shape else leaf(name, kind)[0]
        for name, kind in types.items()
    }
    columns = tuple(Column(name, vector=bool(kind.shape)) for name, kind in types.items())
    schema = Schema(EVENTS, columns, (), EVENTS, EVENTS)
    sample = Sample(EVENTS, EVENTS, "data", EVENTS, (str(path),), EVENTS)
    planner = Planner(sample, schema, branches, declared.objects, declared.variables)
    planner.add_weight(None)
    matrix = declared.layout.expression(planner.absent)
    plan = planner.plan((region,), row, matrix, {})
    if planner.problems:
        raise InputError(*dict.fromkeys(planner.problems))
    keep_corrections(plan)
    files = (InputFile(str(path), path.stat().st_size, len(records)),)
    item = Prepared(sample, Inputs(files, branches, None), plan, declared, None, len(records))
    if helpers.load_engine() != "interpreted":
        (item,) = with_compiled([item], row_layout(declared, row))
    return item


if __name__ == "__main__":
    with last_words():
        main()
