"""Measure the program beside two other ways to do the same analysis, and print tables.

python -m tests.benchmarks            840 000 and 3 360 000 events, about half an hour
python -m tests.benchmarks --quick    smaller files, under two minutes on two free cores

Input: events of the demo, repeated with new numbers, in a mixture of which a fifth is selected in
SR3L. All ways make the cutflow, the HDF5 table and histograms of all features of the default
layout, the thesis's way of fewer features. Throughput is the slope between N and 4 N events, so
that start-up does not count.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from statistics import median

from tests.benchmarks.contest import FEW, Contestant, ReadSpeed, compete
from tests.benchmarks.farm import farm_details
from tests.benchmarks.inputs import RARE, events_file, samples_file
from tests.benchmarks.inspection import inspection_details
from tests.benchmarks.kinds import kinds_details
from tests.benchmarks.measure import FIRST, REPOSITORY, CommandError, note, python, run, table
from tests.benchmarks.skim import skim_details
from tests.benchmarks.vary import SYSTEMATICS

PROGRAM = REPOSITORY / "run_rdf.py"
MANY = 8  # threads, on fewer cores
CONTEST = ("program", "threads", "many", "awkward", "thesis", "readspeed")
DETAILS = (
    "kinds",
    "start",
    "inspection",
    "edit",
    "vary",
    "table",
    "page",
    "matrix",
    "skim",
    "farm",
    "ml",
)


def parser():
    """The command line."""
    about, _, details = __doc__.partition("\n\n")
    make = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=about,
        epilog=details,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = (*CONTEST, *DETAILS)
    add = make.add_argument
    add("--quick", action="store_true", help="50 000 events, two rounds")
    add("--events", type=int, metavar="N", help="events of the smaller file (840 000)")
    add("--repeat", type=int, metavar="R", help="rounds, of which medians are shown (3)")
    add("--rare", action="store_true", help="a hundredth of the events is selected, not a fifth")
    add("--threads", type=int, default=1, metavar="T", help="of all contestants (1)")
    add("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    add("--work", type=Path, metavar="FOLDER", help="keep inputs and products there")
    add("--ml-python", default=sys.executable, metavar="PATH", help="Python that has TensorFlow")
    return make


def main():
    options = parser().parse_args()
    options.events = options.events or (50_000 if options.quick else 840_000)
    options.repeat = options.repeat or (2 if options.quick else 3)
    with tempfile.TemporaryDirectory(prefix="m3l-benchmarks-") as temporary:
        folder = (options.work or Path(temporary)).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        try:
            measure(options, folder)
        except CommandError as error:
            raise SystemExit(str(error)) from None


def measure(options, folder):
    """Run what is asked for and print it."""
    print(machine(), flush=True)
    contestants = {c.name: c for c in all_contestants(options, folder) if c.name in options.only}
    if contestants:
        one_in = RARE if options.rare else 1
        compete(list(contestants.values()), folder, options.repeat, one_in)
        print(f"\nN = {options.events} events; threads: {options.threads}; ", end="")
        print(f"medians of {options.repeat} rounds\n")
        print_contest(contestants)
    program, threads, many, reading = map(
        contestants.get, ("program", "threads", "many", "readspeed")
    )
    sections = {
        "kinds": partial(kinds_details, folder, options.events, options.repeat),
        "loop": program and reading and partial(loop_details, program, reading),
        "threads": program and threads and partial(thread_details, program, threads),
        "many": program and many and partial(many_details, program, many),
        "start": program and partial(start_details, program, folder, options.repeat),
        "inspection": partial(inspection_details, folder, 200 if options.quick else 5000),
        "edit": partial(edit_details, folder, options.repeat),
        "vary": partial(vary_details, folder, options.events, options.repeat),
        "table": program and partial(table_details, program),
        "page": program and partial(page_details, program),
        "matrix": matrix_details,
        "skim": partial(skim_details, folder, options.events, options.repeat),
        "farm": program and partial(farm_details, program, folder, options.repeat),
        "ml": program
        and partial(learning_details, options.ml_python, program.output, options.repeat),
    }
    details, failed = [], []
    for name, section in sections.items():
        if section and name in (*options.only, "loop"):
            try:
                details += section()
            except CommandError as error:
                note(error)
                failed.append(name)
    if details:
        print("\n" + table(("", "measured"), details))
    if failed:
        raise SystemExit(f"not measured: {', '.join(failed)}")


def machine():
    """Processor, cores and system in one line."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if "model name" in line]
        processor = names[0].split(": ", 1)[1] if names else processor
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    return (
        f"{processor}, {cores} cores (load before: {load:.1f}), "
        f"{platform.system()}, Python {platform.python_version()}"
    )


def all_contestants(options, folder):
    """The program, its peers, and reading alone."""
    threads, events = options.threads, options.events

    def program(threads):
        return lambda path, output: (
            *(PROGRAM, "--samples", samples_file(path)),
            *("-o", output, "-j", threads, "--force"),
        )

    def peer(module):
        return lambda path, output: (
            *("-m", f"tests.benchmarks.{module}", path, output),
            *("--threads", threads),
        )

    yield Contestant("program", "this program", program(threads), folder, events)
    if len(os.sched_getaffinity(0)) >= 2 * threads:
        label = f"this program, {2 * threads} threads"
        yield Contestant("threads", label, program(2 * threads), folder, events)
    else:
        note(f"threads: left out, it takes {2 * threads} cores")
    yield Contestant("many", f"this program, {MANY} threads", program(MANY), folder, events)
    yield Contestant("awkward", "uproot + awkward + vector", peer("awkward_peer"), folder, events)
    if "thesis" in options.only:
        note("the thesis's way: compiling")
        python("-m", "tests.benchmarks.thesis", "--compile", folder)
        yield Contestant(
            "thesis", "the thesis's way", peer("thesis"), folder, events, hurry=options.quick
        )
    if "readspeed" in options.only:
        speed = ReadSpeed("readspeed", "rootreadspeed, only reading", threads, folder, events)
        if speed.binary.exists():
            yield speed
        else:
            note("readspeed: left out, this ROOT has no rootreadspeed")


def print_contest(contestants):
    """The table of the contestants.

    "start" is a run over a few events, "rest" the part of a run over N events that does not grow
    with the events.
    """
    ours = contestants.get("program")
    rows = []
    for c in contestants.values():
        ratio = f"{c.slope() / ours.slope():.3g}" if ours else ""
        memory = [f"{c.cost(size, 'memory'):.0f}" for size in c.inputs]
        times = (f"{1e6 * c.slope('cpu'):.2f}", f"{c.cost('few'):.2f}", f"{c.rest:.2f}")
        rows.append((c.label, f"{c.rate:.0f}", ratio, *times, *(*memory, "")[1:3]))
    head = ("", "events/s", "ours / its", "CPU us/event", "start s", "rest s", "MB, N", "4 N")
    print(table(head, rows))
    for c in contestants.values():
        if c.hurry:
            print(f"\n{c.label}: one round, from {FEW} to N events only")
    busy = max(c.cost("N") / c.cost("N", "cpu") for c in contestants.values())
    if busy > 1.2:
        print(f"\nThe machine was busy: some runs took {busy:.1f} times their CPU time.")
    if ours:
        entries = list(ours.cutflows.values())[-1]
        print(f"\nselected: {entries[-1] / entries[0]:.1%} of the events")


# ---------------------------------------------------------------------------------- the details
def loop_details(program, reading):
    """Cutflow and arrays alone, without histograms and files, against reading alone."""
    loop = program.timing("4N", "event loop") - program.timing("N", "event loop")
    read = reading.cost("4N") - reading.cost("N")
    yield "cutflow and arrays only, events/s", f"{3 * program.inputs['N'] / loop:.0f}"
    yield "... time over that of rootreadspeed", f"{loop / read:.2f}"


def thread_details(program, threads):
    yield "twice the threads, faster by", f"{threads.rate / program.rate:.2f}"


def many_details(program, many):
    """What more threads than cores cost."""
    ratio = many.slope("cpu") / program.slope("cpu")
    memory = (many.cost("4N", "memory") - program.cost("4N", "memory")) / (MANY - 1)
    yield f"{MANY} threads, CPU time per event over that of one", f"{ratio:.2f}"
    yield "... memory of each further thread, MB", f"{memory:.0f}"


def start_details(program, folder, repeat):
    """Seconds before the first event, of --list, of the demo and of each further sample."""
    note("start-up")
    few = events_file(folder, FEW)
    walls = {2: [], 22: []}
    for _ in range(repeat):
        for copies, found in walls.items():
            samples = samples_file(few, copies)
            cost = python(
                PROGRAM, "--samples", samples, "-o", folder / "samples", "-j", 1, "--force"
            )
            found.append(cost.wall)
    words = ("--samples", samples_file(few), "-o", folder / "samples", "-j", 1, "--force")
    first = [first_event("first", *words) for _ in range(repeat)]
    demo = [python(PROGRAM, "-o", folder / "demo", "--force").wall for _ in range(repeat)]
    python(PROGRAM, "--list")
    listing = median(python(PROGRAM, "--list").wall for _ in range(5))
    yield "from the command to the first event, s", f"{median(first):.2f}"
    yield "the whole demo, s", f"{median(demo):.2f}"
    yield "--list, s", f"{listing:.2f}"
    yield "each further sample, ms", f"{1000 * (median(walls[22]) - median(walls[2])) / 20:.1f}"


def first_event(module, *words):
    """Seconds from the command to the first event of a watched run."""
    begin = time.time()
    lines = python("-m", f"tests.benchmarks.{module}", *words).out.splitlines()
    return min(float(line.split()[-1]) for line in lines if line.startswith(FIRST)) - begin


def edit_details(folder, repeat):
    """Runs over 1000 events of the demo, unedited and after an edit of a cut."""
    note("editing a cut")
    words = ("-s", "WZ", "-n", 1000, "-o", folder / "edited", "--force")
    edit = ("-m", "tests.benchmarks.edit")
    python(PROGRAM, *words)
    costs = {
        "unedited": lambda: python(PROGRAM, *words),
        "a cut edited": lambda: python(*edit, *words),
        "a cut edited, --plain": lambda: python(*edit, *words, "--plain"),
    }
    rounds = [{name: measured() for name, measured in costs.items()} for _ in range(repeat)]
    for name in costs:
        wall, cpu = (median(getattr(r[name], of) for r in rounds) for of in ("wall", "cpu"))
        yield f"command to cutflow of 1000 events, {name}, s", f"{wall:.2f}"
        yield "... CPU s", f"{cpu:.2f}"
    first = median(first_event("edit", *words) for _ in range(repeat))
    yield "from the command to the first event, a cut edited, s", f"{first:.2f}"


def vary_details(folder, events, repeat):
    """CPU time that grows with the events, of runs with many systematic variations."""
    note("systematic variations")
    files = [samples_file(events_file(folder, number)) for number in (events, FEW)]
    ways = {
        "nominal": (PROGRAM,),
        **{kind: ("-m", "tests.benchmarks.vary", kind) for kind in SYSTEMATICS},
    }
    found = {name: [] for name in ways}
    for _ in range(repeat):
        for name, way in ways.items():
            words = ("-o", folder / f"varied_{name}", "-j", 1, "--force")
            many, few = (python(*way, "--samples", file, *words).cpu for file in files)
            found[name].append(many - few)
    for kind, systematics in SYSTEMATICS.items():
        ratio = median(found[kind]) / median(found["nominal"])
        yield f"{len(systematics)} variations of {kind} over none, CPU time", f"{ratio:.2f}"


def table_details(program):
    """Size and reading time of the program's table."""
    note("reading the table")
    (path,) = (program.output / "hdf5").iterdir()
    found = json.loads(python("-m", "tests.benchmarks.table", path).out)
    yield "table over raw float32, size", f"{found['size'] / found['raw']:.3f}"
    yield "reading it over reading it uncompressed", f"{found['read'] / found['read_plain']:.2f}"


def page_details(program):
    """The page of a run, and once more when nothing has changed."""
    note("the page")
    words = ("-m", "plotting", "report", program.output, "-j", 1)
    first, second = (python(*words, *more).cpu for more in (("--force",), ()))
    yield "report of a run, CPU s", f"{first:.1f}"
    yield "... again over that", f"{second / first:.2f}"


def matrix_details():
    """Time of the matrix in C++ alone."""
    note("the matrix alone")
    for found in json.loads(python("-m", "tests.benchmarks.matrix").out.splitlines()[-1]):
        size, ratio = found["size"], found["lorentz"] / found["matrix"]
        yield f"matrix {size} x {size}, {found['objects']} objects, ns", f"{found['matrix']:.0f}"
        yield "... TLorentzVector over that", f"{ratio:.1f}"


def learning_details(interpreter, output, rounds):
    """Training on the program's tables and scoring them."""
    note("training and scoring")
    if python_lacks(interpreter, "tensorflow"):
        note(f"ml: left out, {interpreter} has no TensorFlow; see --ml-python")
        return
    script = REPOSITORY / "tests" / "benchmarks" / "learning.py"
    for line in run(interpreter, script, output, "--rounds", rounds).out.splitlines():
        if line.startswith("{"):
            found = json.loads(line)
            yield found["what"], found["value"]


def python_lacks(interpreter, module):
    search = f"import importlib.util; print(importlib.util.find_spec({module!r}) is None)"
    return run(interpreter, "-c", search).out.strip() == "True"


if __name__ == "__main__":
    main()
