"""What 10 TB of ntuples take on one core and on many, from what an event, a file, a row take."""

import json
import shutil
from dataclasses import dataclass
from statistics import median

from tests.benchmarks.contest import FEW
from tests.benchmarks.inputs import SAMPLE, another, events_file
from tests.benchmarks.measure import REPOSITORY, note, python, table

PROGRAM = REPOSITORY / "run_rdf.py"

# The plan: ntuples as large as real ones, of which the program reads its branches only.
INPUT = 10e12  # bytes
EVENT = 1000.0  # bytes
FILE = 2e9  # bytes
PIECE = 50_000_000  # events, the default of analysis.submit
SELECTED = 0.01  # of the events
CORES = (1, 100, 1000)


@dataclass(frozen=True)
class Costs:
    """What was measured."""

    event: float  # seconds
    start: float  # seconds of a job apart from its events
    file: float  # seconds for each further file
    read: float  # bytes from the files, per event
    row: float  # bytes in the table, per selected event
    merge: float  # seconds, per selected event


def measure_costs(program, folder, repeat):
    """Return the Costs. program: the Contestant, which has run."""
    note("files and merging")
    record = json.loads((program.output / "run.json").read_text())
    (sample,) = record["samples"]
    (rows,) = sample["rows"].values()
    (size,) = (path.stat().st_size for path in (program.output / "hdf5").iterdir())
    walls = {2: [], 402: []}
    for _ in range(repeat):
        for copies, found in walls.items():
            output = folder / "files"
            words = ("--samples", many_files(folder, copies), "-o", output, "-j", 1, "--force")
            found.append(python(PROGRAM, *words).wall)
    return Costs(
        program.slope(),
        program.cost("few"),
        (median(walls[402]) - median(walls[2])) / 400,
        record["bytes_read"] / sample["entries_read"],
        size / rows,
        merge_time(folder, program.inputs["4N"]) / rows,
    )


def many_files(folder, copies):
    """A samples file with one sample of so many files of a few events."""
    few = events_file(folder, FEW)
    names = [another(few, number).name for number in range(copies)]
    path = folder / f"files-{copies}.toml"
    files = '", "'.join(names)
    path.write_text("luminosity_ifb = 1.0\n" + SAMPLE.format(number=0, file=files))
    return path


def merge_time(folder, events):
    """Seconds in which four pieces with all events of a file become one output."""
    output = folder / "farm"
    shutil.rmtree(output, ignore_errors=True)
    path = events_file(folder, events)
    samples = path.with_name(f"{path.stem}-1.toml")
    words = ("--samples", samples, "-o", output, "--events-per-job", events // 4)
    python("-m", "analysis.submit", "local", *words)
    return json.loads((output / "run.json").read_text())["timings_s"]["merge"]


def plan(costs):
    """The table for 10 TB."""
    events, files = INPUT / EVENT, INPUT / FILE
    pieces = events / PIECE
    work = events * costs.event + files * costs.file + pieces * costs.start
    rows = []
    for cores in CORES:
        # Pieces are done in turns, and the last turn is as long as the others.
        used = min(cores, pieces)
        turns = -(-pieces // cores)
        wall = turns * work / pieces
        speed = costs.read * events / wall
        rows.append((str(cores), f"{used:.0f}", duration(wall), f"{speed / 1e6:.0f}"))
    head = ("cores", "used", "jobs take", "MB/s read")
    selected = SELECTED * events
    return "\n".join(
        (
            f"{INPUT / 1e12:.0f} TB in {files:.0f} files, {events:.2g} events "
            f"of {EVENT:.0f} bytes, {100 * SELECTED:.0f} % of them selected",
            table(head, rows),
            f"{pieces:.0f} pieces of {duration(work / pieces)}; of the time of all jobs, "
            f"{share(events * costs.event, work)} is events, {share(files * costs.file, work)} "
            f"opening files, {share(pieces * costs.start, work)} starting",
            f"read: {costs.read * events / 1e12:.2f} TB; written: {2 * pieces:.0f} files, "
            f"{costs.row * selected / 1e9:.1f} GB; merge: {duration(costs.merge * selected)}",
        )
    )


def share(part, whole):
    return f"{100 * part / whole:.1f} %"


def duration(seconds):
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def farm_details(program, folder, repeat):
    """The costs; prints the plan."""
    costs = measure_costs(program, folder, repeat)
    print("\n" + plan(costs))
    yield "each further file, ms", f"{1000 * costs.file:.1f}"
    yield "read per event, bytes", f"{costs.read:.0f}"
    yield "table per selected event, bytes", f"{costs.row:.0f}"
    yield "merge per selected event, us", f"{1e6 * costs.merge:.1f}"
