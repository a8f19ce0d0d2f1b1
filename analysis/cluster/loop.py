"""The event loops of a run on a cluster: its chains, through ROOT's distributed RDataFrame.

Workers write the selected events of each region as trees into the output folder; tables and
histograms are made of these here, by the code of a run on one machine, and so are the same to the
last byte.

Kept to what ROOT 6.40 does right: Count and Sum after each cut, since Report gives wrong numbers
with three or more tasks, and Snapshot to TTree, since AsNumpy of vectors and Snapshot to RNTuple
fail where a worker has several tasks.
"""

import math
import os
import re
import shutil
import socket
import tempfile
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import cache
from pathlib import Path

import ROOT

import helpers
from analysis.anomaly import KEY, read_model
from analysis.chain import chain, guarded_chain
from analysis.corrections import call_of, mentioned
from analysis.dataframes import dataframe
from analysis.errors import ClusterError, DeclarationError, InputError, OutputError
from analysis.inputs import inspect
from analysis.looks import look_at_one
from analysis.loops import TICK, CutflowRow, PlainLoop, Progress
from analysis.output import WEIGHT
from analysis.plan import Plan
from analysis.soundness import BAD_EVENT, bad_events, bad_weights
from helpers.terminal import captured_stderr

TASK = 500_000  # entries; the start of a task costs as much as reading some of these
TASKS_PER_CORE = 4  # at most; several, since neither files nor machines are equal
SIDE_BY_SIDE = 16  # samples

ROWS = "rows"  # tree of the selected events


def run_on_cluster(prepared, layout, folder, cluster, model=None):
    """Run the chains of all samples on a cluster, side by side.

    prepared: list of run.Prepared
    layout: (cells, floats, integers) of a row
    folder: for the rows; workers must see it
    cluster: connected connect.Dask or connect.Spark
    model: folder of the model whose score is a column; workers must see it
    Returns {sample: ClusterLoop}; that of a sample without entries is a PlainLoop. Raises M3LError.
    """
    if ".root" in str(folder):
        raise OutputError(
            f"output folder {folder.parent}: a distributed Snapshot cannot write below a name "
            "with '.root' in it; choose another"
        )
    for item in prepared:
        check_types(item)
    checkout = str(Path(__file__).resolve().parents[2])
    path, how = helpers.chosen_library()
    ROOT.RDF.Distributed.initialize(
        worker_setup(
            checkout,
            ROOT.gROOT.GetVersion(),
            path and str(path),
            how,
            model and os.path.realpath(model),
            next((item.plan.constants[KEY] for item in prepared if model), None),
            [call_of(*each, ()) for each in mentioned(repr([item.plan for item in prepared]))],
        )
    )
    loops = {
        item.sample.name: ClusterLoop(item, layout, folder, cluster)
        if item.entries
        else PlainLoop(item, layout, folder)
        for item in prepared
    }
    run_side_by_side([loop for loop in loops.values() if isinstance(loop, ClusterLoop)])
    return loops


def check_types(item):
    """Raise DeclarationError for a column of rows that would crash a worker, and for a skim."""
    if item.skimmed:
        raise DeclarationError(
            f"sample '{item.sample.name}' is a skim, which --dask and --spark do not read: leave "
            "them out, or give the original"
        )
    if not item.entries:
        return
    df, _ = chain(item.plan, dataframe(item))
    for name in item.plan.columns:
        if str(df.GetColumnType(name)) == "signed char":
            raise DeclarationError(
                f"'{name}' is a signed char, which a distributed Snapshot cannot write: "
                "make it an int"
            )


def worker_setup(checkout, version, path, how, model, key, corrections):
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
            from analysis.cluster.loop import keep_model, load
            from analysis.scale_factors import keep_corrections
        except ImportError as error:
            raise RuntimeError(f"worker on {socket.gethostname()}: {error}") from None
        load(version, path, how)
        if model:
            keep_model(model, key)
        if corrections:
            keep_corrections(*corrections)

    return setup


def keep_model(folder, key):
    """Make the model with this key known to this process. Raises ClusterError."""
    if ROOT.m3l.hasModel(key):
        return
    model = read_model(folder)
    if model.key != key:
        raise ClusterError(f"worker on {socket.gethostname()} sees another model in {folder}")
    model.keep()


CRASHES = ("kSigBus", "kSigSegmentationViolation", "kSigIllegalInstruction", "kSigAbort")


@cache
def load(version, path, how):
    """Make the helpers callable in this process, once. Raises ClusterError.

    version: of the ROOT that the helpers were compiled for
    path, how: the library of the helpers and its kind, see helpers.chosen_library
    """
    where = f"worker on {socket.gethostname()}"
    if ROOT.gROOT.GetVersion() != version:
        raise ClusterError(f"{where} has ROOT {ROOT.gROOT.GetVersion()}, not {version}")
    # A crash shall end the worker, whose tasks others then do; ROOT's handler may wait for ever.
    for crash in CRASHES:
        ROOT.gSystem.ResetSignal(getattr(ROOT, crash))
    loaded.add(path)
    if len(loaded) > 1:  # a scheduler may have workers of yesterday
        raise ClusterError(f"{where} has loaded other helpers before; restart the workers")
    helpers.load_library(path and Path(path), how)


loaded = set()  # libraries of the helpers in this process; two would be mixed up


class ClusterLoop:
    """The chain of one sample on a cluster, with the interface of an EventLoop."""

    def __init__(self, prepared, layout, folder, cluster):
        """Book the cutflow and the rows of each region; the arguments of `run_on_cluster`."""
        self.prepared, self.layout = prepared, layout
        self.staging = folder
        self.folder = Path(tempfile.mkdtemp(prefix="rows-", dir=folder))
        files = prepared.inputs.paths
        tasks = min(math.ceil(prepared.entries / TASK), TASKS_PER_CORE * cluster.cores())
        df = ROOT.RDataFrame(
            prepared.sample.tree, files, executor=cluster.executor, npartitions=tasks
        )
        self.entries, self.dropped = df.Count(), 0
        df, regions = guarded_chain(prepared.plan, df)
        self.nodes = {"all": df, **{region: nodes[-1] for region, nodes in regions.items()}}
        self.all = Counter("all", df)
        self.counters, self.snapshots = {}, []
        for region, (_, *nodes) in regions.items():
            cuts = prepared.plan.cuts[region]
            self.counters[region] = [
                Counter(cut.name, node) for cut, node in zip(cuts, nodes, strict=True)
            ]
            path = str(self.rows_folder(region) / "task.root")  # the number of the task is added
            columns = [*prepared.plan.columns]
            self.snapshots.append(self.nodes[region].Snapshot(ROWS, path, columns, lazily()))
        self.cutflows, self.rows = {}, {}

    def rows_folder(self, region):
        """Where the workers write the rows of a region."""
        folder = self.folder / region
        folder.mkdir(exist_ok=True)
        return folder

    def execute(self):
        """Run the graph; returns the number of entries. Raises ClusterError or InputError."""
        try:
            # ROOT tells a failure to who asks for a result.
            total, entries = self.all.row(), int(self.entries.GetValue())
            self.cutflows = {
                region: (total, *(counter.row() for counter in counters))
                for region, counters in self.counters.items()
            }
            bad = None if math.isfinite(total.sumw) else bad_weights(self.nodes["all"])
        except Exception as error:  # whatever workers, scheduler and ROOT raise
            if BAD_EVENT in str(error):
                bad = bad_events(self.prepared)
                raise InputError(
                    f"{self.where()}: {bad}; --drop-bad-events leaves them out"
                ) from None
            raise ClusterError(f"{self.where()}: {reason(error)}") from None
        if bad:
            raise InputError(f"{self.where()}: {bad}")
        if entries != self.prepared.entries:
            raise ClusterError(
                f"{self.where()}: workers have read {entries} of {self.prepared.entries} entries"
            )
        self.dropped = entries - total.entries
        return entries

    def run(self):
        """Read the rows that the workers have written; returns the cutflow of each region.

        Raises M3LError.
        """
        for region, cutflow in self.cutflows.items():
            self.rows[region] = self.read_rows(region, cutflow[-1])
        return self.cutflows

    def rows_of(self, region, variation=None):
        """As that of an EventLoop; there are no variations on clusters."""
        return self.rows[region.name]

    def cutflow_rows(self, variation=None):
        """As that of an EventLoop."""
        return self.cutflows

    def read_rows(self, region, expected):
        """Return the m3l::RowStore of a region.

        expected: CutflowRow of its last cut
        """
        item, problems = self.prepared, []
        files = tuple(sorted(str(path) for path in self.rows_folder(region).iterdir()))
        sample = replace(item.sample, files=files, tree=ROWS, kind="data")
        looks = {(sample.name, path): look_at_one(sample, path) for path in files}
        inputs = inspect(sample, looks, problems)
        written = Plan(inputs.branches, {}, (), {region: ()}, item.plan.columns, ())
        entries = 0 if problems else inputs.entries
        item = replace(item, sample=sample, inputs=inputs, plan=written, entries=entries)
        loop = PlainLoop(item, self.layout, self.staging)
        found = CutflowRow("all", 0, 0.0, 0.0)
        if entries:
            (found,) = loop.run()[region]
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
        return loop.rows[region]

    def dataframes(self):
        """The distributed RDataFrame of all events, "all", and that of each region."""
        return self.nodes

    def release(self):
        """Give back memory and disk of the rows; the dataframes stay."""
        # ROOT computes again what is still referred to, whenever a dataframe is used.
        self.rows, self.snapshots, self.counters, self.all, self.entries = {}, [], {}, None, None
        shutil.rmtree(self.folder)

    def where(self):
        """The sample, for messages."""
        return f"sample '{self.prepared.sample.name}'"


class Counter:
    """Counts the events that reach a node of a distributed dataframe, and their weights.

    Sums are rounded as they are added: ROOT cannot send the exact ones of m3l::CutflowCounter.
    """

    def __init__(self, cut, node):
        self.cut = cut
        squared = f"squared_{WEIGHT}"
        squares = node.Define(squared, f"{WEIGHT} * {WEIGHT}").Sum(squared)
        self.results = (node.Count(), node.Sum(WEIGHT), squares)

    def row(self):
        """The CutflowRow, after the event loop."""
        entries, sumw, sumw2 = (result.GetValue() for result in self.results)
        return CutflowRow(self.cut, int(entries), float(sumw), float(sumw2))


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
        with captured_stderr() as output, Progress("cluster", total, output.terminal) as progress:
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
