"""One event loop per sample: everything is booked, then the events are read once."""

import os
import sys
import threading
import time
import warnings
from dataclasses import dataclass, replace

import ROOT
from tqdm import tqdm

from analysis.dataframe import dataframes, source
from analysis.errors import InputError
from analysis.output import IDENTITY, WEIGHT
from helpers.terminal import captured_stderr

# Rows of a sample in memory, all threads together; more go to temporary files.
ROW_MEMORY = 48 * 1024**2

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
    """The booked results of one sample; `run` fills them all."""

    def __init__(self, prepared, regions, layout, folder):
        """Book the cutflow and the rows of each region.

        prepared: run.Prepared of the sample
        regions: the regions that this sample may be looked at in
        layout: (cells, floats, integers) of a row
        folder: for temporary files
        """
        self.prepared = prepared
        self.booking = (regions, layout, folder)
        self.slots = max(1, ROOT.GetThreadPoolSize())
        cells, floats, integers = layout
        memory = ROW_MEMORY // max(1, len(regions))
        # ROOT cannot open a dataset without entries in all cases; nothing needs to be read then.
        self.df = source(prepared) if prepared.entries else None
        counters = ROOT.std.vector["std::shared_ptr<m3l::CutflowCounter>"]()
        self.all = self.counter(counters)
        self.counters = {  # of each region, a (cut name, counter) per cut
            region.name: [(cut.name, self.counter(counters)) for cut in region.cuts]
            for region in regions
        }
        self.rows = {
            region.name: ROOT.m3l.makeRows(floats, integers, self.slots, memory, str(folder))
            for region in regions
        }
        self.handles = []
        if self.df is not None:
            selected = prepared.graph.select(self.df, counters)
            self.handles.append(prepared.graph.bookSelection(selected))
            for number, rows in enumerate(self.rows.values()):
                self.handles.append(prepared.graph.bookRows(selected, number, rows))

    def counter(self, counters):
        """Make one more counter."""
        counter = ROOT.m3l.makeCounter(self.slots)
        counters.push_back(counter)
        return counter

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
        total = self.all.count()
        if total.nonFinite:
            raise InputError(f"{where}: {first_bad(self.dataframes()['all'])}")
        return {
            region: tuple(
                CutflowRow(cut, int(count.entries), float(count.sumw), float(count.sumw2))
                for cut, count in [("all", total), *((c, counter.count()) for c, counter in cuts)]
            )
            for region, cuts in self.counters.items()
        }

    def dataframes(self):
        """The RDataFrame of all events, "all", and that of each region."""
        return {} if self.df is None else dataframes(self.prepared, self.df)

    def release(self):
        """Give back the memory of the rows; the dataframes stay."""
        self.rows, self.handles = {}, []

    def read(self, progress=None):
        """Run the event loop; returns what went wrong, "" for nothing."""
        tick = (lambda: progress(self.all.entries())) if progress else self.all.entries
        problem = in_thread(ROOT.m3l.runEventLoop, self.handles[0], tick)
        entries, promised = self.all.entries(), self.prepared.entries
        if not problem and entries != promised:
            problem = f"{entries} of {promised} entries could be read, the file has changed"
        return problem

    def damaged_file(self):
        """The first of the sample's files that cannot be read to its end."""
        inputs = self.prepared.inputs
        for file in inputs.files:
            alone = replace(inputs, files=(file,))
            prepared = replace(self.prepared, inputs=alone, entries=file.entries, begin=0)
            with captured_stderr():
                if file.entries and EventLoop(prepared, *self.booking).read():
                    return file.path
        return ", ".join(file.path for file in inputs.files)


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
