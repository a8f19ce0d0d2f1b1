"""The event loop over the same events in each kind of file."""

import json
from statistics import median

from tests.benchmarks.inputs import KINDS, copy_of, events_file, samples_file
from tests.benchmarks.measure import REPOSITORY, note, python

PROGRAM = REPOSITORY / "run_rdf.py"


def kinds_details(folder, events, repeat):
    """Seconds of the event loop that grow with the events, over those of the fastest TTree.

    Ends the program if tables differ.
    """
    note("kinds of files")
    sizes = (events, 4 * events)
    files = {
        (kind, size): samples_file(copy_of(events_file(folder, size), kind))
        for kind in KINDS
        for size in sizes
    }
    found, tables = {key: [] for key in files}, {}
    for _ in range(repeat):
        for (kind, size), file in files.items():
            output = folder / "kinds"
            python(PROGRAM, "--samples", file, "-o", output, "-j", 1, "--force")
            record = json.loads((output / "run.json").read_text())
            found[kind, size].append(record["timings_s"]["event loop"])
            (sample,) = record["samples"]
            if tables.setdefault(size, sample["checksums"]) != sample["checksums"]:
                raise SystemExit(f"the table made of {file.stem} differs from that of {KINDS[0]}")
    loops = {kind: median(found[kind, sizes[1]]) - median(found[kind, events]) for kind in KINDS}
    fastest = min(loops[kind] for kind in KINDS if kind != "RNTuple")
    for kind, seconds in loops.items():
        yield f"event loop, {kind}, events/s", f"{3 * events / seconds:.0f}"
        yield "... time over that of the fastest TTree", f"{seconds / fastest:.2f}"
