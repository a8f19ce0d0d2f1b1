"""One event loop per sample: everything is booked, then the events are read once."""

import os
import sys
import threading
import time
from dataclasses import dataclass

import ROOT
from tqdm import tqdm

from analysis.dataframe import dataframe
from analysis.errors import InputError
from analysis.expressions import IDENTITY, WEIGHT

# Rows of a sample in memory, all threads together; more go to temporary files.
ROW_MEMORY = 256 * 1024**2

# Seconds between two looks at the number of events.
TICK = 0.1


@dataclass(frozen=True)
class CutflowRow:
    """The events that passed a cut and all before it."""

    cut: str
    entries: int
    sumw: float  # sum of weights
    sumw2: float  # sum of squared weights


@dataclass(frozen=True)
class Passed:
    """What one region holds of one sample after the event loop."""

    cutflow: tuple[CutflowRow, ...]
    rows: object  # m3l::RowStore of the selected events


class EventLoop:
    """The booked results of one sample; `run` fills them all."""

    def __init__(self, sample, plan, graph, regions, layout, entries, promised, folder):
        """Book the cutflow and the rows of each region.

        graph: the plan's compiled expressions
        regions: the regions that this sample may be looked at in
        layout: (cells, floats, integers) of a row
        entries: read only the first ones, None for all
        promised: number of entries that the loop must see
        folder: for temporary files
        """
        self.sample = sample
        self.promised = promised
        slots = max(1, ROOT.GetThreadPoolSize())
        self.df = dataframe(sample, plan, graph, entries)
        self.all = ROOT.std.make_shared["m3l::CutflowCounter"](slots)
        self.handles = [ROOT.m3l.bookCutflow(self.df, WEIGHT, self.all)]
        self.regions, self.rows = {}, {}
        self.counters = {}  # of each region, a (cut name, counter) per cut
        cells, floats, integers = layout
        for region in regions:
            node, self.counters[region.name] = self.df, []
            for cut, definition in zip(region.cuts, plan.cuts[region.name], strict=True):
                node = graph.filter(node, definition.name)
                counter = ROOT.std.make_shared["m3l::CutflowCounter"](slots)
                self.handles.append(ROOT.m3l.bookCutflow(node, WEIGHT, counter))
                self.counters[region.name].append((cut.name, counter))
            memory = ROW_MEMORY // len(regions)
            rows = ROOT.std.make_shared["m3l::RowStore"](
                floats, integers, slots, memory, str(folder)
            )
            self.handles.append(graph.bookRows(node, rows))
            self.rows[region.name] = rows
            self.regions[region.name] = node

    def run(self, progress):
        """Read the events; returns a dict from region names to Passed. Raises InputError."""
        where = f"sample '{self.sample.name}'"
        if self.promised:
            problem = in_thread(
                ROOT.m3l.runEventLoop, self.handles[0], lambda: progress(self.all.entries())
            )
            if problem:
                raise InputError(f"{where}: {problem}")
        total = self.all.count()
        if total.entries != self.promised:
            raise InputError(
                f"{where}: {total.entries} of {self.promised} entries could be read; "
                "a file is damaged or changed while it was read"
            )
        if total.nonFinite:
            raise InputError(
                f"{where}: {total.nonFinite} events have no finite weight, {self.bad()}"
            )
        progress(total.entries)
        passed = {}
        for name, counters in self.counters.items():
            counts = [("all", total), *((cut, counter.count()) for cut, counter in counters)]
            rows = [
                CutflowRow(cut, int(count.entries), float(count.sumw), float(count.sumw2))
                for cut, count in counts
            ]
            passed[name] = Passed(tuple(rows), self.rows[name])
        return passed

    def bad(self):
        """Say which event is the first without a finite weight."""
        bad = self.df.Filter(f"!std::isfinite({WEIGHT})")
        arrays = bad.AsNumpy([*IDENTITY])
        order = sorted(zip(*(arrays[name].tolist() for name in IDENTITY), strict=True))
        return "first " + ", ".join(f"{n} {v}" for n, v in zip(IDENTITY, order[0], strict=True))


def in_thread(function, argument, tick):
    """Call a C++ function in a thread, so that this one can show progress and be interrupted."""
    function.__release_gil__ = True
    result = []

    def work():
        try:
            result.append(str(function(argument)))
        except Exception as error:
            result.append(str(error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(TICK)
        tick()
    return result[0]


class Progress:
    """Events, rate and time left: a bar at a terminal, a line now and then elsewhere."""

    def __init__(self, name, total):
        self.name, self.total = name, total
        self.begin = self.last = time.monotonic()
        self.bar = None
        if sys.stderr.isatty():
            self.bar = tqdm(total=total, desc=name, unit=" events", unit_scale=True, leave=False)

    def __call__(self, entries):
        if self.bar is not None:
            self.bar.update(entries - self.bar.n)
        elif time.monotonic() - self.last > 10:
            self.last = time.monotonic()
            rate = entries / (self.last - self.begin)
            left = f"{(self.total - entries) / rate:.0f} s left" if rate else "no event yet"
            print(
                f"{self.name}: {entries} of {self.total} events, {rate / 1000:.0f} k/s, {left}",
                file=sys.stderr,
                flush=True,
            )

    def close(self):
        if self.bar is not None:
            self.bar.close()


def set_threads(threads):
    """Use this number of threads; None for all cores that the process may run on."""
    threads = threads or len(os.sched_getaffinity(0))
    if threads > 1:
        ROOT.EnableImplicitMT(threads)
    return threads
