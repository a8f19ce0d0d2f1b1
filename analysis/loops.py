"""One event loop per sample: everything is booked, then the events are read once."""

import os
import re
import sys
import threading
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import ROOT

from analysis.chain import chain, guarded_chain
from analysis.corrections import NO_CORRECTION
from analysis.dataframes import SampleFrames, dataframe_of
from analysis.errors import DeclarationError, InputError, OutputError, interruption
from analysis.headway import Progress
from analysis.memory import affordable
from analysis.output import IDENTITY, WEIGHT
from analysis.plan import MATRIX
from analysis.soundness import BAD_EVENT, bad_events, bad_rows, bad_weights
from helpers import native
from helpers.terminal import captured_stderr

# Rows of a sample in memory, all threads together; more go to temporary files. Less where a job may
# use little, as what is below.
ROW_MEMORY = 48 * 1024**2

# That a chain as it is may take for the rows of a range of entries, if all of them are selected.
RANGE_MEMORY = 512 * 1024**2
COPIES = 4  # of a row at once: ROOT's, numpy's, together with the scalars, in the row store

# Seconds between two looks at the number of events.
TICK = 0.1


UNIT = 1 << 1074  # of exact sums, see ExactSum in helpers/engine/cutflow.h


@dataclass(frozen=True)
class CutflowRow:
    """The events that passed a cut and all before it."""

    cut: str
    entries: int
    sumw: float  # sum of weights
    sumw2: float  # sum of squared weights

    @classmethod
    def of(cls, cut, counts):
        """The sum of counts as of `count_json`, rounded once."""
        sums = (sum(int(count[name], 16) for count in counts) / UNIT for name in ("sumw", "sumw2"))
        return cls(cut, sum(count["entries"] for count in counts), *sums)


def count_json(cut, count):
    """A row of the cutflow; sums are exact, see CutflowCount in helpers/engine/cutflow.h."""
    return {
        "cut": cut,
        "entries": count.entries,
        "sumw": count.exact_sumw,
        "sumw2": count.exact_sumw2,
    }


class Count(NamedTuple):
    """The events that reached a point of the selection."""

    entries: int
    bad: int  # events whose weight is not finite, not in the sums
    sumw: float
    sumw2: float
    exact_sumw: str  # the sums before rounding, hexadecimal
    exact_sumw2: str

    @classmethod
    def parse(cls, line):
        """From a line of m3l::SampleLoop::counts."""
        entries, bad, sumw, sumw2, *exact = line.split()
        return cls(int(entries), int(bad), float.fromhex(sumw), float.fromhex(sumw2), *exact)


class UnreadableError(InputError):
    """A file cannot be read to its end."""


class EventLoop:
    """The results of one sample; `run` fills them. See CompiledLoop and PlainLoop.

    Attributes:
        filled: native.SampleLoop
        rows: {region: native.RowStore with its events}; they have a weight for each variation that
            changes weights only
        varied_rows: {variation: {region: native.RowStore}} of the others
    """

    def __init__(self, prepared, layout, folder):
        """Make what will be filled.

        prepared: run.Prepared of the sample
        layout: (cells, floats, integers) of a row
        folder: for temporary files
        """
        self.prepared, self.layout, self.folder = prepared, layout, folder
        _, floats, integers = layout
        plan = prepared.plan
        events = [shifted.name for shifted in plan.event_variations]
        memory = affordable(ROW_MEMORY) // max(1, len(plan.cuts) * (1 + len(events)))
        self.filled = native.SampleLoop(max(1, native.call("threads")))
        for cuts in plan.cuts.values():
            self.filled.call("add_region", len(cuts))
        self.filled.call("add_cutflow", True)
        for shifted in plan.variations:
            self.filled.call("add_cutflow", plan.changes_counts(shifted))

        def stores(weights):
            return {
                region: self.filled.add_rows(floats, integers, memory, folder, weights)
                for region in plan.cuts
            }

        self.rows = stores(1 + len(plan.weight_variations))
        self.varied_rows = {name: stores(1) for name in events}

    def run(self):
        """Read the events; returns the cutflow of each region.

        Raises UnreadableError if that is not possible, InputError for what they hold,
        DeclarationError for a feature without a value, OutputError, MemoryError.
        """
        sample, promised = self.prepared.sample, self.prepared.entries
        where = f"sample '{sample.name}'"
        if promised:
            with (
                captured_stderr() as output,
                Progress(sample.name, promised, output.terminal) as progress,
            ):
                problem = self.read(progress)
            if BAD_EVENT in problem:
                bad = bad_events(self.prepared)
                raise InputError(f"{where}: {bad}; --drop-bad-events leaves them out")
            if NO_CORRECTION in problem:
                raise InputError(f"{where}: {problem}")
            if "bad_alloc" in problem:
                raise MemoryError
            if str(self.folder) in problem:  # temporary files of the rows
                raise OutputError(problem)
            if problem:
                raise UnreadableError(problem)
            sys.stderr.write(output.text)
        elif not self.prepared.skimmed:
            warnings.warn(f"{where} has no events, its products are empty", stacklevel=2)
        self.check()
        return self.cutflow_rows()

    def cutflow_rows(self, variation=None):
        """The CutflowRows of each region, perhaps in a variation (name).

        Those of a skim count the events that were left out of it as well.
        """
        parts = [self.count_jsons(variation)]
        if rejected := self.rejected(variation):
            parts.append(rejected)
        return {
            region: tuple(
                CutflowRow.of(counts[0]["cut"], counts)
                for counts in zip(*(part[region] for part in parts), strict=True)
            )
            for region in parts[0]
        }

    def rejected(self, variation=None):
        """The counts of the events that skims lack, as `count_jsons`; None without skims."""
        found = self.rejected_by_variation
        if found and variation:
            found = found["variations"][variation]
        return found and found["cutflow"]

    @cached_property
    def rejected_by_variation(self):
        """See Skimmed.rejected."""
        item = self.prepared
        return item.skimmed and item.skimmed.rejected(item.plan)

    def count_jsons(self, variation=None):
        """The counts of the events that were read, {region: rows}; see `count_json`."""
        return {
            region: [count_json(cut, count) for cut, count in counts]
            for region, counts in self.counts(variation).items()
        }

    def counts_by_variation(self):
        """The same of each variation by name, and without one for None."""
        names = [None, *(shifted.name for shifted in self.prepared.plan.variations)]
        return {name: self.count_jsons(name) for name in names}

    def rows_of(self, region, variation=None):
        """The native.RowStore of a Region, in a variation (name) that changes events or without."""
        return (self.varied_rows[variation] if variation else self.rows)[region.name]

    @property
    def dropped(self):
        """Number of events with bad values that were left out."""
        return self.filled.call("dropped")

    def check(self):
        """Raise InputError or DeclarationError if a weight or a feature has no finite value."""
        item = self.prepared
        where = f"sample '{item.sample.name}'"
        if self.found()[0].bad:
            plan = item.plan.only([*IDENTITY, WEIGHT])
            parts = item.inputs.parts(item.begin, item.begin + item.entries)
            dfs = (chain(plan, dataframe_of(item.sample, *part))[0] for part in parts)
            raise InputError(f"{where}: {bad_weights(*dfs)}")
        for shifted in item.plan.variations:
            if bad := self.found(shifted.name)[0].bad:
                raise DeclarationError(
                    f"{where}: {bad} events have a weight in variation '{shifted.name}' that is no "
                    "finite number: mend it in analysis/systematics.py"
                )
        for name, stores in {None: self.rows, **self.varied_rows}.items():
            varied = f", variation '{name}'" if name else ""
            for region, rows in stores.items():
                bad = rows.bad()
                if bad.rows:
                    raise DeclarationError(f"{where}{varied}: {bad_rows(item, region, bad)}")

    def counts(self, variation=None):
        """Of each region, a (cut, Count) for all events and for each cut.

        variation: name; None: without
        """
        total, *others = self.found(variation)
        left = iter(others)
        return {
            region: [("all", total), *((cut.name, next(left)) for cut in cuts)]
            for region, cuts in self.prepared.plan.cuts.items()
        }

    def found(self, variation=None):
        """The Count of all events, then of each cut of each region; as `counts`."""
        names = [None, *(shifted.name for shifted in self.prepared.plan.variations)]
        lines = self.filled.call("counts", names.index(variation)).splitlines()
        return [Count.parse(line) for line in lines]

    def dataframes(self):
        """The chain of the sample for the prompt."""
        return SampleFrames(self.prepared)

    def read(self, progress=lambda entries: None):
        """Read all events; returns what went wrong, "" for nothing."""
        try:
            problem = self.fill(progress)
        except (ROOT.std.exception, TypeError) as error:
            # That of one of several overloads hides in a TypeError.
            said = re.findall(r"(?:invalid_argument|runtime_error|exception): (.+)", str(error))
            if isinstance(error, TypeError) and not said:
                raise
            problem = said[-1] if said else str(error).strip().splitlines()[-1]
        entries, promised = self.filled.call("entries"), self.prepared.entries
        changed = self.prepared.inputs.changed()
        if changed:
            problem = f"{changed} has changed since it was looked at"
        elif not problem and entries != promised:
            problem = f"{entries} of {promised} entries could be read"
        return problem

    def fill(self, progress):
        """Run the event loops; returns what went wrong, "" for nothing."""
        raise NotImplementedError

    def run_graph(self, handle, progress):
        """Run the event loop that a RResultHandle belongs to; returns what went wrong."""
        run = ROOT.m3l.runEventLoop
        run.__release_gil__ = True
        return in_thread(run, (handle,), self.tick(progress))

    def tick(self, progress):
        """What tells the progress of the loop."""
        return lambda: progress(self.filled.call("entries"))

    def release(self):
        """Give back the memory of the rows."""
        self.rows, self.varied_rows = {}, {}
        self.filled.call("release")


class CompiledLoop(EventLoop):
    """The compiled chain of a sample.

    Attributes:
        columns: branches that `book` reads beside those of the chain
        book: called with the RDataFrame of the events that are in a region, also in one variation
            only; what it returns lives until the event loop is over
    """

    columns, book = (), None

    def fill(self, progress):
        item = self.prepared
        for value in item.plan.constants.values():
            self.filled.call("add_constant", value)
        for part in item.inputs.parts(item.begin, item.begin + item.entries):
            problem = self.fill_from(*part, progress)
            if problem:
                return problem
        return ""

    def fill_from(self, files, begin, end, progress):
        """Run the event loop over entries of some of the files; returns what went wrong."""
        plan, chain = self.prepared.plan, self.prepared.compiled
        for file in files:
            size = -1 if file.size is None else file.size
            self.filled.call("add_file", file.path, file.entries, size)
        if (begin, end) == (0, sum(file.entries for file in files)):
            end = -1
        read = chain.library, chain.function, self.prepared.sample.tree, begin, end
        read = *read, plan.drop_bad_events
        if not self.book:
            return in_thread(self.filled.call, ("read", *read), self.tick(progress))
        loop = ROOT.m3l.SampleLoop.at(self.filled.address)
        for column in self.columns:
            loop.addColumn(column)
        selected = loop.book(*read)
        booked = self.book(selected.events)
        problem = self.run_graph(selected.handle, progress)
        del booked
        return problem


class PlainLoop(EventLoop):
    """The chain of a sample as it is, over ROOT's own reading, in pieces of bounded memory."""

    def fill(self, progress):
        item = self.prepared
        stores = max(1, len(self.rows) * (1 + len(self.prepared.plan.variations)))
        bytes_per_entry = COPIES * 4 * sum(self.layout) * stores
        size = max(1, affordable(RANGE_MEMORY) // bytes_per_entry)
        for files, begin, end in item.inputs.parts(item.begin, item.begin + item.entries):
            for first in range(begin, end, size):
                problem = self.fill_from(files, first, min(end, first + size), progress)
                if problem:
                    return problem
        return ""

    def fill_from(self, files, begin, end, progress):
        """Run the event loop over entries of some of the files; returns what went wrong."""
        plan = self.prepared.plan
        everything = dataframe_of(self.prepared.sample, files, begin, end)
        df, regions = guarded_chain(plan, everything)
        handles = [*self.count(df, ROOT.m3l.kAll)]
        if plan.drop_bad_events:
            bad = everything.Filter(f"!({plan.is_sound(plan.checks)})").Define(WEIGHT, "0.0")
            handles.extend(self.count(bad, ROOT.m3l.kDropped))
        for region, (_, *nodes) in enumerate(regions.values()):
            for cut, node in enumerate(nodes):
                handles.extend(self.count(node, region, cut))
        booked = [BookedRows(nodes[-1], plan, self.layout) for nodes in regions.values()]
        problem = self.run_graph(handles[0], progress)
        if not problem:
            for rows, region in zip(booked, self.rows, strict=True):
                rows.add_to(self.rows[region])
                for shifted in plan.event_variations:
                    rows.add_to(self.varied_rows[shifted.name][region], shifted)
        return problem

    def count(self, node, region, cut=0):
        """Count the events of a node, also in those variations that change counts."""
        plan = self.prepared.plan
        varied = [shifted for shifted in plan.variations if plan.changes_counts(shifted)]
        cutflows = ROOT.m3l.SampleLoop.at(self.filled.address).ownCutflows()
        names = ROOT.std.vector["std::string"](map(rdf_name, varied))
        return ROOT.m3l.bookCounter(ROOT.RDF.AsRNode(node), cutflows, names, region, cut, WEIGHT)


def rdf_name(shifted):
    """How RDataFrame calls a variation."""
    return f"{shifted.systematic}:{shifted.direction}"


class BookedRows:
    """The rows of a dataframe, which its event loop will make, also in variations."""

    def __init__(self, df, plan, layout):
        """plan, layout: as those of an EventLoop"""
        self.plan = plan
        cells, floats, _ = layout
        self.floats = floats - cells  # features that are floats, beside the cells
        names = {name: name for name in plan.columns}
        for name in names:
            if df.GetColumnType(name) in ("char", "Char_t"):  # a text to numpy
                names[name] = f"m3l_{name}"
                df = df.Define(names[name], f"int({name})")
        self.taken = {name: df.Take[df.GetColumnType(of)](of) for name, of in names.items()}
        # Asking takes the interpreter a while, also where nothing varies.
        varied = ROOT.RDF.Experimental.VariationsFor if plan.variations else lambda _: {}
        self.varied = {name: varied(taken) for name, taken in self.taken.items()}

    def values(self, name, shifted=None):
        """What was taken of a column, perhaps in a variation (plan.Shifted)."""
        if shifted and rdf_name(shifted) in map(str, self.varied[name].GetKeys()):
            return self.varied[name][rdf_name(shifted)]
        return self.taken[name].GetValue()

    def add_to(self, store, shifted=None):
        """Add the rows, after the event loop, to a m3l::RowStore.

        shifted: plan.Shifted whose rows these are, None: those without variation
        """
        names = [name for name in self.plan.columns if name != MATRIX]
        scalars = {name: as_array(self.values(name, shifted)) for name in names}
        identity, features = names[: len(IDENTITY)], names[len(IDENTITY) + 1 :]
        rows = len(scalars[WEIGHT])
        if not rows:
            return
        others = () if shifted else self.plan.weight_variations
        weights = [as_array(self.values(WEIGHT, each)) for each in others]
        cells = np.asarray(ROOT.m3l.flattened(self.values(MATRIX, shifted))).reshape(rows, -1)
        floats, integers = features[: self.floats], features[self.floats :]
        store.add(
            stack(scalars, identity, "int64"),
            np.stack([scalars[WEIGHT], *weights], axis=1),
            np.concatenate((cells, stack(scalars, floats, "float32")), axis=1),
            stack(scalars, integers, "float64"),
        )


def as_array(values):
    """The array of a C++ vector of numbers."""
    return np.array([*values]) if "bool" in type(values).__name__ else np.asarray(values)


def stack(arrays, names, kind):
    """(rows, names) numbers of one type from an array per column."""
    rows = len(next(iter(arrays.values())))
    columns = [arrays[name].astype(kind) for name in names]
    return np.stack(columns, axis=1) if columns else np.empty((rows, 0), kind)


def in_thread(function, arguments, tick):
    """Call a C++ function in a thread, so that this one can show progress and be interrupted."""
    result = []

    def work():
        try:
            result.append(str(function(*arguments)))
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


def number_of_threads(threads):
    """The number that was asked for; None: all cores that the process may run on."""
    return threads or len(os.sched_getaffinity(0))


def use_threads(threads):
    """Make the event loops of this process use so many threads."""
    if threads > 1:
        native.call("use_threads", threads)
