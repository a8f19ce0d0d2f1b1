"""A hundredth of the events as a skim: what making it and reading it take.

python -m tests.benchmarks.skim ...     a run that prints the CPU time of its event loop
"""

import json
import re
import sys
import time
from statistics import median

from analysis.options import SKIM_FORMATS
from tests.benchmarks.contest import ReadSpeed
from tests.benchmarks.inputs import RARE, events_file, samples_file
from tests.benchmarks.measure import REPOSITORY, note, python

PROGRAM = REPOSITORY / "run_rdf.py"


def skim_details(folder, events, repeat):
    """Event loops over events and over skims of them, per event of the original, and the making.

    Times are slopes of CPU time between N and 4 N events, so that start-up does not count.
    """
    note("skims")
    sizes = (events, 4 * events)
    originals = {size: samples_file(events_file(folder, size, RARE)) for size in sizes}
    loops, made = {}, {name: [] for name in SKIM_FORMATS}
    for number in range(repeat):
        for size, original in originals.items():
            loops.setdefault(("original", size), []).append(loop_of(folder, original))
            for name in SKIM_FORMATS:
                out = folder / f"skim-{name}-{size}-{number}"
                words = ("--skim", out, "--samples", original, "--skim-format", name, "-j", 1)
                made[name].append(python(PROGRAM, *words).wall)
                loops.setdefault((name, size), []).append(loop_of(folder, out / "samples.toml"))

    speed = ReadSpeed("readspeed", "", 1, folder, events)
    if speed.binary.exists():
        for size in sizes:
            skim = folder / f"skim-ttree-{size}-0" / "benchmark0.root"
            files = {"read": events_file(folder, size, RARE), "read skim": skim}
            for name, path in files.items():
                loops[name, size] = [speed.run(path).cpu for _ in range(repeat)]

    def slope(name):
        small, large = (median(loops[name, size]) for size in sizes)
        return (large - small) / (sizes[1] - sizes[0])

    first = slope("original")
    yield f"first pass, {selected_share(folder):.2%} selected, ns per event", f"{1e9 * first:.0f}"
    for name in SKIM_FORMATS:
        yield f"making a skim of {sizes[1]} events, {name}, s", f"{made[name][-1]:.1f}"
        yield "... second pass, ns per event of the original", f"{1e9 * slope(name):.1f}"
        yield "... first pass over that", f"{first / slope(name):.0f}"
    if speed.binary.exists():
        ratio = slope("read") / slope("read skim")
        yield "rootreadspeed of the events over that of a skim, ttree", f"{ratio:.0f}"


def loop_of(folder, samples):
    """Seconds of CPU time that the event loop of a run takes, one thread."""
    words = ("--samples", samples, "-o", folder / "skim_run", "-j", 1, "--force")
    found = python("-m", "tests.benchmarks.skim", *words)
    return float(re.search(r"^CPU (\S+)$", found.out, re.M)[1])


def run_timed(words):
    """Run run_rdf.py and print the CPU time of the event loop."""
    import run_rdf
    from analysis.loops import CompiledLoop

    read = CompiledLoop.read

    def timed(*arguments):
        begin = time.process_time()
        problem = read(*arguments)
        print(f"CPU {time.process_time() - begin}", flush=True)
        return problem

    CompiledLoop.read = timed
    run_rdf.main(words)


def selected_share(folder):
    """The part of the events that the last run has selected."""
    (rows,) = json.loads((folder / "skim_run" / "cutflow.json").read_text())["SR3L"].values()
    return rows[-1]["entries"] / rows[0]["entries"]


if __name__ == "__main__":
    run_timed(sys.argv[1:])
