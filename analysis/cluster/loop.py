"""The event loops of a run on a cluster, through ROOT's distributed RDataFrame.

Workers get the graph of a plan as strings, each of which only calls the function that graph.py made
of an expression, in the library that a run on one machine loads. They write the selected events of
each region as trees into the output folder; tables and histograms are made of these here, by the
code of a run on one machine, and so are the same to the last byte.

Kept to what ROOT 6.40 does right: Count and Sum after each cut, since Report gives wrong numbers
with three or more tasks, and Snapshot to TTree, since AsNumpy of vectors and Snapshot to RNTuple
fail where a worker has several tasks.
"""

import math
import re
import shutil
import socket
import tempfile
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import astuple, replace
from functools import cache
from pathlib import Path

import ROOT

import helpers
from analysis.compiled import Source, compiled, cpp_type, cut_functions, graphs, interpret
from analysis.dataframe import dataframes, source
from analysis.errors import ClusterError, DeclarationError, InputError, OutputError
from analysis.inputs import inspect
from analysis.loops import TICK, CutflowRow, EventLoop, Progress, first_bad
from analysis.output import WEIGHT
from analysis.plan import NORMALISATION, Plan
from analysis.schemas import SCHEMAS
from helpers.build import CompilerError
from helpers.terminal import captured_stderr

TASK = 500_000  # entries; the start of a task costs as much as reading some of these
TASKS_PER_CORE = 4  # at most; several, since neither files nor machines are equal
SIDE_BY_SIDE = 16  # samples

ROWS = "rows"  # tree of the selected events
SQUARED_WEIGHT = "squared_" + WEIGHT


def run_distributed(prepared, visible, layout, folder, cluster, interpreted):
    """Run the graphs of all samples with entries on a cluster, side by side.

    prepared: list of run.Prepared
    visible: function from a sample to the regions that it may be looked at in
    layout: (cells, floats, integers) of a row
    folder: for the rows; workers must see it
    cluster: connected connect.Dask or connect.Spark
    interpreted: whether workers shall not use compiled expressions
    Returns a DistributedLoop by sample name. Raises M3LError.
    """
    if ".root" in str(folder):
        raise OutputError(
            f"output folder {folder.parent}: a distributed Snapshot cannot write below a name "
            "with '.root' in it; choose another"
        )
    prepared = [item for item in prepared if item.entries]
    sent = {item.sample.name: graph_of(item, layout[0], interpreted) for item in prepared}
    checkout = str(Path(__file__).resolve().parents[2])
    helper, how = helpers.chosen_library()
    helper = helper and str(helper)
    ROOT.RDF.Distributed.initialize(
        worker_setup(
            checkout, ROOT.gROOT.GetVersion(), helper, how, tuple(dict.fromkeys(sent.values()))
        )
    )
    loops = {}
    for item in prepared:
        name = item.sample.name
        (space, *_), regions = sent[name], visible(item.sample)
        loops[name] = DistributedLoop(item, space[0], regions, layout, folder, cluster)
    run_side_by_side(list(loops.values()))
    return loops


def graph_of(item, cells, interpreted):
    """What a worker needs of a sample's graph, as plain tuples that any Python can unpickle.

    Returns (fields of its graph.Source, path of its library or None, C++ declarations of the
    functions in it). Raises DeclarationError.
    """
    made, types = Source.of(item.plan, cells), column_types(item)
    for name in item.plan.columns:
        if types[name] == "signed char":  # the worker would crash
            raise DeclarationError(
                f"'{name}' is a signed char, which a distributed Snapshot cannot write: "
                "make it an int"
            )
    library = None if interpreted or helpers.load() == "interpreted" else compiled(made)
    if library is None or isinstance(library, CompilerError):
        return astuple(made), None, ""
    return astuple(made), str(library), declarations(item.plan, types, made.name)


def column_types(item):
    """C++ types of what a sample's expressions use and make."""
    rdf = dataframes(item, source(item))["all"]
    types = {name: cpp_type(kind) for name, kind in item.plan.inputs.items()}
    types |= {NORMALISATION: "double"}
    return types | {d.name: str(rdf.GetColumnType(d.name)) for d in item.plan.definitions}


def declarations(plan, types, space):
    """C++ declarations of the functions in a plan's library, which itself deduces their types."""
    functions = [(types[d.name], f"f_{d.name}", d.inputs) for d in plan.definitions]
    functions += [("bool", function, cut.inputs) for function, cut in cut_functions(plan)]
    lines = [
        f"{returns} {name}({', '.join(f'const {types[i]} &' for i in inputs)});"
        for returns, name, inputs in functions
    ]
    return "\n".join(('#include "m3l.h"', f"namespace {space} {{", *lines, "}"))


def worker_setup(checkout, version, helper, how, sent):
    """The function that makes a worker ready, called before each task.

    It carries plain values only and finds this module by itself, since a worker cannot import it
    before.
    """

    def setup():
        import socket
        import sys

        if checkout not in sys.path:
            sys.path.insert(0, checkout)
        try:
            from analysis.cluster.loop import load
        except ImportError as error:
            raise RuntimeError(f"worker on {socket.gethostname()}: {error}") from None
        load(version, helper, how, sent)

    return setup


@cache
def load(version, helper, how, sent):
    """Make helpers and expressions callable in this process, once. Raises ClusterError.

    version: of the ROOT that the graphs were compiled for
    helper, how: path and kind of the library of the helpers, see helpers.chosen_library
    sent: from `graph_of`
    """
    where = f"worker on {socket.gethostname()}"
    if ROOT.gROOT.GetVersion() != version:
        raise ClusterError(f"{where} has ROOT {ROOT.gROOT.GetVersion()}, not {version}")
    loaded.add(helper)
    if len(loaded) > 1:  # a scheduler may have workers of yesterday
        raise ClusterError(f"{where} has loaded other helpers before; restart the workers")
    helpers.load_library(helper and Path(helper), how)
    for fields, library, declared in sent:
        # Load returns -1 for a library that does not load, and raises nothing.
        if library is None or ROOT.gSystem.Load(library) < 0:
            interpret(Source(*fields))
        elif not ROOT.gInterpreter.Declare(declared):
            raise ClusterError(f"{where}: the expressions have types that ROOT cannot name")


loaded = set()  # libraries of the helpers in this process; two would be mixed up


class DistributedLoop:
    """The booked results of one sample on a cluster, with the interface of an EventLoop."""

    def __init__(self, prepared, space, regions, layout, folder, cluster):
        """Book the cutflow and the rows of each region.

        space: C++ namespace of the expressions
        The others are those of `run_distributed`.
        """
        self.prepared, self.regions, self.layout = prepared, regions, layout
        self.staging = folder
        self.folder = Path(tempfile.mkdtemp(prefix="rows-", dir=folder))
        plan = prepared.plan
        files = [file.path for file in prepared.inputs.files if file.entries]
        tasks = min(math.ceil(prepared.entries / TASK), TASKS_PER_CORE * cluster.cores())
        df = ROOT.RDataFrame(
            prepared.sample.tree, files, executor=cluster.executor, npartitions=tasks
        )
        for name, value in plan.constants.items():
            df = df.Define(name, f"double({value!r})")
        for d in plan.definitions:
            verb = df.Redefine if d.replaces else df.Define
            df = verb(d.name, call(space, f"f_{d.name}", d))
        df = df.Define(SQUARED_WEIGHT, f"{WEIGHT} * {WEIGHT}")
        self.all = Counter(df)
        self.nodes, self.counters, self.snapshots = {"all": df}, {}, []
        functions = {cut.name: function for function, cut in cut_functions(plan)}
        for region in regions:
            node, counters = df, []
            for cut, definition in zip(region.cuts, plan.cuts[region.name], strict=True):
                node = node.Filter(call(space, functions[definition.name], definition))
                counters.append((cut.name, Counter(node)))
            self.nodes[region.name] = node
            self.counters[region.name] = counters
            path = str(self.rows_folder(region) / "task.root")  # the number of the task is added
            self.snapshots.append(node.Snapshot(ROWS, path, list(plan.columns), lazily()))
        self.cutflows, self.rows = {}, {}

    def rows_folder(self, region):
        """Where the workers write the rows of a region."""
        folder = self.folder / region.name
        folder.mkdir(exist_ok=True)
        return folder

    def execute(self):
        """Run the graph; returns the number of entries. Raises ClusterError or InputError."""
        try:
            # ROOT tells a failure to who asks for a result.
            total = self.all.row("all")
            self.cutflows = {
                region: (total, *(counter.row(cut) for cut, counter in counters))
                for region, counters in self.counters.items()
            }
            bad = None if math.isfinite(total.sumw) else first_bad(self.nodes["all"])
        except Exception as error:  # whatever workers, scheduler and ROOT raise
            raise ClusterError(f"{self.where()}: {reason(error)}") from None
        if bad:
            raise InputError(f"{self.where()}: {bad}")
        if total.entries != self.prepared.entries:
            raise ClusterError(
                f"{self.where()}: workers have read {total.entries} of {self.prepared.entries} "
                "entries"
            )
        return total.entries

    def run(self):
        """Read the rows that the workers have written; returns the cutflow of each region.

        Raises M3LError.
        """
        for region in self.regions:
            self.rows[region.name] = self.read_rows(region, self.cutflows[region.name][-1])
        return self.cutflows

    def read_rows(self, region, expected):
        """Return the m3l::RowStore of a region.

        expected: CutflowRow of its last cut
        """
        item, problems = self.prepared, []
        files = tuple(sorted(str(path) for path in self.rows_folder(region).iterdir()))
        sample = replace(item.sample, files=files, tree=ROWS, kind="data")
        inputs = inspect(sample, SCHEMAS[sample.schema], problems)
        # An event loop without definitions and cuts over the trees of rows.
        plan = Plan(inputs.branches, {}, (), {region.name: ()}, item.plan.columns, ())
        entries = 0 if problems else inputs.entries
        (graph,) = graphs([plan], self.layout[0]) if entries else (None,)
        rows = replace(item, sample=sample, inputs=inputs, plan=plan, graph=graph, entries=entries)
        loop = EventLoop(rows, (replace(region, cuts=()),), self.layout, self.staging)
        found = CutflowRow("all", 0, 0.0, 0.0)
        if entries:
            (found,) = loop.run()[region.name]
        if (
            problems
            or found.entries != expected.entries
            or not math.isclose(found.sumw2, expected.sumw2, rel_tol=1e-9)
        ):
            raise ClusterError(
                f"{self.where()}: {found.entries} of the {expected.entries} selected events have "
                f"come from the workers; they must all see {self.staging.parent}",
                *problems,
            )
        return loop.rows[region.name]

    def dataframes(self):
        """The distributed RDataFrame of all events, "all", and that of each region."""
        return self.nodes

    def release(self):
        """Give back memory and disk of the rows; the dataframes stay."""
        # ROOT computes again what is still referred to, whenever a dataframe is used.
        self.rows, self.snapshots, self.counters, self.all = {}, [], {}, None
        shutil.rmtree(self.folder)

    def where(self):
        """The sample, for messages."""
        return f"sample '{self.prepared.sample.name}'"


class Counter:
    """Counts the events that reach a node of a distributed dataframe, and their weights."""

    def __init__(self, node):
        self.results = (node.Count(), node.Sum(WEIGHT), node.Sum(SQUARED_WEIGHT))

    def row(self, cut):
        """The CutflowRow of a cut."""
        entries, sumw, sumw2 = (result.GetValue() for result in self.results)
        return CutflowRow(cut, int(entries), float(sumw), float(sumw2))


def call(space, function, definition):
    """RDataFrame string that calls the function of a definition."""
    return f"{space}::{function}({', '.join(definition.inputs)})"


def lazily():
    """Options of a Snapshot that is booked, not run."""
    options = ROOT.RDF.RSnapshotOptions()
    options.fLazy = True
    options.fOutputFormat = ROOT.RDF.ESnapshotOutputFormat.kTTree
    return options


def run_side_by_side(loops):
    """Run the graphs of all loops and show how many events are done."""
    total = sum(loop.prepared.entries for loop in loops)
    pool = ThreadPoolExecutor(SIDE_BY_SIDE)
    pending = {pool.submit(loop.execute) for loop in loops}
    done = 0
    try:
        with captured_stderr() as output, Progress("cluster", total, output) as progress:
            while pending:
                finished, pending = wait(pending, TICK, FIRST_EXCEPTION)
                for future in finished:
                    done += future.result()
                progress(done)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def reason(error):
    """The sentence of an exception, or of the traceback in it, that says what went wrong."""
    text, hint = str(error), ""
    blamed = re.findall(r"C\+\+ exception thrown:\s*(.+)", text)
    if blamed:
        hint = "; python -m analysis.submit tells which file it is"
    else:  # Spark gives the traceback of a worker as text
        blamed = re.findall(r"^:? ?[\w.]*(?:Error|Exception): (.+)", text, re.M)
    lines = text.strip().splitlines()
    line = (blamed[-1:] or lines[:1] or [type(error).__name__])[0]
    return line.split(". ")[0].rstrip(".") + hint
