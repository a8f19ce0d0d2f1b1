"""One event loop per sample: everything is booked, then the events are read once."""

import os
import sys
import threading
import time
import warnings
from dataclasses import dataclass, replace

import numpy as np
import ROOT
from tqdm import tqdm

from analysis.chain import chain
from analysis.dataframes import SampleFrames, dataframe
from analysis.errors import InputError, interruption
from analysis.output import IDENTITY, WEIGHT
from analysis.plan import MATRIX
from helpers.terminal import captured_stderr

# Rows of a sample in memory, all threads together; more go to temporary files.
ROW_MEMORY = 48 * 1024**2

# That a chain as it is may take for the rows of a range of entries, if all of them are selected.
RANGE_MEMORY = 512 * 1024**2
COPIES = 4  # of a row at once: ROOT's, numpy's, together with the scalars, in the row store

MATRIX_TYPE = "ROOT::VecOps::RVec<float>"

# Seconds between two looks at the number of events.
TICK = 0.1


@dataclass(frozen=True)
class CutflowRow:
    """The events that passed a cut and all before it."""

    cut: str
    entries: int
    sumw: float  # sum of weights
    sumw2: float  # sum of squared weights


class EventLoop:
    """The results of one sample; `run` fills them. See CompiledLoop and PlainLoop.

    Attributes:
        cutflow: m3l::Cutflow
        rows: {region: m3l::RowStore with its events}
    """

    def __init__(self, prepared, layout, folder):
        """Make what will be filled.

        prepared: run.Prepared of the sample
        layout: (cells, floats, integers) of a row
        folder: for temporary files
        """
        self.prepared, self.layout, self.folder = prepared, layout, folder
        slots = max(1, ROOT.GetThreadPoolSize())
        _, floats, integers = layout
        regions = prepared.plan.cuts
        memory = ROW_MEMORY // max(1, len(regions))
        self.cutflow = ROOT.m3l.makeCutflow(slots, [len(cuts) for cuts in regions.values()])
        self.rows = {
            region: ROOT.m3l.makeRows(floats, integers, slots, memory, str(folder))
            for region in regions
        }

    def run(self):
        """Read the events; returns the cutflow of each region. Raises InputError."""
        sample, promised = self.prepared.sample, self.prepared.entries
        where = f"sample '{sample.name}'"
        if promised:
            with captured_stderr() as output, Progress(sample.name, promised, output) as progress:
                problem = self.read(progress)
            if problem:
                raise InputError(f"{where}: {self.damaged_file()}: {problem}")
            sys.stderr.write(output.text)
        else:
            warnings.warn(f"{where} has no events, its products are empty", stacklevel=2)
        if self.cutflow.all.count().nonFinite:
            df, _ = chain(self.prepared.plan, dataframe(self.prepared))
            raise InputError(f"{where}: {first_bad(df)}")
        return {
            region: tuple(
                CutflowRow(cut, int(count.entries), float(count.sumw), float(count.sumw2))
                for cut, count in counts
            )
            for region, counts in self.counts().items()
        }

    def counts(self):
        """Of each region, a (cut, m3l::CutflowCount) for all events and for each cut."""
        regions = zip(self.prepared.plan.cuts.items(), self.cutflow.regions, strict=True)
        return {
            region: [
                ("all", self.cutflow.all.count()),
                *((cut.name, of.count()) for cut, of in zip(cuts, counters, strict=True)),
            ]
            for (region, cuts), counters in regions
        }

    def dataframes(self):
        """The chain of the sample for the prompt."""
        return SampleFrames(self.prepared)

    def read(self, progress=lambda entries: None):
        """Read all events; returns what went wrong, "" for nothing."""
        problem = self.fill(progress)
        entries, promised = self.cutflow.all.entries(), self.prepared.entries
        if not problem and entries != promised:
            problem = f"{entries} of {promised} entries could be read, the file has changed"
        return problem

    def fill(self, progress):
        """Run the event loops; returns what went wrong, "" for nothing."""
        raise NotImplementedError

    def run_graph(self, handle, progress):
        """Run the event loop that a RResultHandle belongs to; returns what went wrong."""
        return in_thread(
            ROOT.m3l.runEventLoop, handle, lambda: progress(self.cutflow.all.entries())
        )

    def release(self):
        """Give back the memory of the rows."""
        self.rows = {}

    def damaged_file(self):
        """The first of the sample's files that cannot be read to its end."""
        inputs = self.prepared.inputs
        for file in inputs.files:
            only = replace(inputs, files=(file,))
            prepared = replace(self.prepared, inputs=only, entries=file.entries, begin=0)
            with captured_stderr():
                if file.entries and type(self)(prepared, self.layout, self.folder).read():
                    return file.path
        return ", ".join(file.path for file in inputs.files)


class CompiledLoop(EventLoop):
    """The compiled chain of a sample."""

    def fill(self, progress):
        item = self.prepared
        dataset = ROOT.m3l.Dataset(item.sample.tree)
        for file in item.inputs.files:
            if file.entries:  # ROOT cannot open a lone RNTuple without entries
                dataset.addFile(file.path, file.entries)
        dataset.begin, dataset.end = item.begin, item.begin + item.entries
        if item.entries == item.inputs.entries:
            dataset.end = -1
        constants = [*item.plan.constants.values()]
        rows = ROOT.std.vector["std::shared_ptr<m3l::RowStore>"]([*self.rows.values()])
        handles = ROOT.m3l.bookChain(dataset, item.compiled, constants, self.cutflow, rows)
        return self.run_graph(handles[0], progress)


class PlainLoop(EventLoop):
    """The chain of a sample as it is, over ROOT's own reading, in pieces of bounded memory."""

    def fill(self, progress):
        begin, end = self.prepared.begin, self.prepared.begin + self.prepared.entries
        bytes_per_entry = COPIES * 4 * sum(self.layout) * max(1, len(self.rows))
        size = max(1, RANGE_MEMORY // bytes_per_entry)
        for first in range(begin, end, size):
            problem = self.fill_from(first, min(end, first + size), progress)
            if problem:
                return problem
        return ""

    def fill_from(self, begin, end, progress):
        """Run the event loop over a range of entries; returns what went wrong."""
        plan = self.prepared.plan
        df, regions = chain(plan, dataframe(self.prepared, begin, end))
        handles = [self.count(df, self.cutflow.all)]
        for (_, *nodes), counters in zip(regions.values(), self.cutflow.regions, strict=True):
            handles += map(self.count, nodes, counters)
        booked = [BookedRows(nodes[-1], plan.columns) for nodes in regions.values()]
        problem = self.run_graph(handles[0], progress)
        if not problem:
            for rows, store in zip(booked, self.rows.values(), strict=True):
                rows.add_to(store)
        return problem

    def count(self, node, counter):
        """Count the events of a node."""
        return ROOT.m3l.bookCounter(ROOT.RDF.AsRNode(node), self.cutflow, counter, WEIGHT)


class BookedRows:
    """The rows of a dataframe, which its event loop will make."""

    def __init__(self, df, columns):
        """columns: those of a row, see plan.Plan"""
        self.columns = columns
        self.matrices = df.Take[MATRIX_TYPE](MATRIX)
        self.names = {name: name for name in columns if name != MATRIX}
        for name in self.names:
            if df.GetColumnType(name) in ("char", "Char_t"):  # a text to AsNumpy
                self.names[name] = f"m3l_{name}"
                df = df.Define(self.names[name], f"int({name})")
        self.scalars = df.AsNumpy([*self.names.values()], lazy=True)

    def add_to(self, store):
        """Add the rows, after the event loop, to a m3l::RowStore."""
        found = self.scalars.GetValue()
        scalars = {name: found[taken] for name, taken in self.names.items()}
        *identity, weight, _ = self.columns[: len(IDENTITY) + 2]
        features = self.columns[len(IDENTITY) + 2 :]
        rows = len(scalars[weight])
        if not rows:
            return
        cells = np.asarray(ROOT.m3l.flattened(self.matrices.GetValue())).reshape(rows, -1)
        floats = features[: store.floats() - cells.shape[1]]
        integers = features[len(floats) :]
        ROOT.m3l.addRows(
            store,
            rows,
            stack(scalars, identity, "int64"),
            scalars[weight],
            np.concatenate((cells, stack(scalars, floats, "float32")), axis=1).ravel(),
            # One more than needed, since an empty array has no address.
            np.append(stack(scalars, integers, "int32"), np.int32(0)),
        )


def stack(arrays, names, kind):
    """(rows, names) numbers of one type from an array per column."""
    rows = len(next(iter(arrays.values())))
    columns = [arrays[name].astype(kind) for name in names]
    return np.stack(columns, axis=1) if columns else np.empty((rows, 0), kind)


def first_bad(rdf):
    """Say how many events of a dataframe have no finite weight, and which is the first of them."""
    arrays = rdf.Filter(f"!std::isfinite({WEIGHT})").AsNumpy([*IDENTITY])
    bad = sorted(zip(*(arrays[name].tolist() for name in IDENTITY), strict=True))
    first = ", ".join(f"{n} {v}" for n, v in zip(IDENTITY, bad[0], strict=True))
    return f"{len(bad)} events have no finite weight, first {first}"


def in_thread(function, argument, tick):
    """Call a C++ function in a thread, so that this one can show progress and be interrupted."""
    function.__release_gil__ = True
    result = []

    def work():
        try:
            result.append(str(function(argument)))
        except Exception as error:
            result.append(str(error))

    # The first call makes ROOT's interpreter compile a wrapper, better not during the loop.
    tick()
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(TICK)
        if interruption.is_set():
            raise KeyboardInterrupt
        tick()
    return result[0]


class Progress:
    """Events, rate and time left: a bar at a terminal, a line now and then elsewhere."""

    def __init__(self, name, total, output):
        """Output: the Captured whose terminal is written to."""
        self.name, self.total, self.file = name, total, output.terminal
        self.begin = self.last = time.monotonic()
        self.bar = None
        if self.file.isatty():
            self.bar = tqdm(
                total=total,
                desc=name,
                unit=" events",
                unit_scale=True,
                leave=False,
                file=self.file,
                dynamic_ncols=True,
            )

    def __call__(self, entries):
        if self.bar is not None:
            self.bar.update(entries - self.bar.n)
        elif time.monotonic() - self.last > 10:
            self.last = time.monotonic()
            rate = entries / (self.last - self.begin)
            left = f"{(self.total - entries) / rate:.0f} s left" if rate else "no event yet"
            print(
                f"{self.name}: {entries} of {self.total} events, {rate / 1000:.0f} k/s, {left}",
                file=self.file,
                flush=True,
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.bar is not None:
            self.bar.close()


def set_threads(threads):
    """Use this number of threads; None for all cores that the process may run on."""
    threads = threads or len(os.sched_getaffinity(0))
    ROOT.EnableThreadSafety()
    if threads > 1:
        ROOT.EnableImplicitMT(threads)
    return threads
