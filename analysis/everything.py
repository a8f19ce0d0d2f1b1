"""`python run_rdf.py --all`: the steps of analysis/steps.py one after the other, each where needed.

OUT/steps.json has an entry for each step that came to its end: digests of its command, of the
program, of what it read and of what it made. A step whose digests are still the same is up to date,
whatever the times of the files; so a kill, an edit or a deleted file costs the steps that depend on
it, and no others.
"""

import importlib.util
import os
import selectors
import shlex
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from analysis import console
from analysis.children import die_with_parent
from analysis.errors import InputError, M3LError, OutputError, listed
from analysis.files import checksum, digest, lock, parse_json, read_regular, write_json
from analysis.places import CIRCUMSTANCES, REPORT, RUN, TABLES
from analysis.steps import CHECKOUT, sources

STEPS = "steps.json"
FORMAT = 1
# Of run.json, beside CIRCUMSTANCES: what says how tables were made and not what is in them, and
# what is only drawn.
TOLD_BY_NOBODY = {"key", "modified"}
MAKING = TOLD_BY_NOBODY | {"versions", "source", "inputs", "files", "size", "parquet"}
DRAWN = {"label", "colour", "unit", "binning"}
LIBRARIES = ("numpy", "scipy", "scikit-learn", "lightgbm", "keras", "tensorflow", "pyhf")
PICTURES = ("numpy", "matplotlib", "mplhep")

SHORT = 6  # lines of output that are shown whole
INDENT = "    "
PATIENCE = 10  # s until a step that shall end is killed

FIND_DETECTORS = """
import sys
from analysis.errors import M3LError
from ml.ensemble import find_declared
try:
    for name in sys.argv[1:]:
        find_declared(name)
except M3LError as error:
    print(error)
    sys.exit(1)
"""


class StepError(M3LError):
    """A step has failed; it has said why."""


def run_all(steps, output, notes=(), force=False):
    """Run Steps into the output folder, those that are up to date excepted; returns the page.

    notes: lines that are said before
    force: run all of them
    Raises M3LError where a program is missing or a step fails; what is complete stays.
    """
    require_packages(steps)
    for note in notes:
        print(*console.hanging("", note, console.width()), sep="\n")
    begin, kept = time.monotonic(), 0
    with lock(Path(output) / STEPS, shown=f"output folder {output}"):
        record = Record(Path(output))
        for number, step in enumerate(steps, 1):
            head = f"{number}/{len(steps)} {step.name}"
            why = "" if force else record.changed(step)
            if why is None:
                kept += 1
                print(f"{head}: up to date", flush=True)
                continue
            print(f"{head}{f': {why}' if why else ''}", flush=True)
            run_step(step)
            record.complete(step)
    page = Path(output) / REPORT / "index.html"
    done = f"{len(steps)} steps in {duration(time.monotonic() - begin)}"
    print(f"{done}, {kept} of them up to date" if kept else done)
    print(page, flush=True)
    return page


def require_packages(steps):
    """Raise InputError if a package is missing that one of the Steps imports."""
    needed = {name: extra for step in steps for name, extra in step.packages.items()}
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        extras = ",".join(dict.fromkeys(needed[name] for name in missing))
        raise InputError(
            f"Python finds no {listed(missing)}, which --all needs: pip install -e '.[{extras}]', "
            "or source setup.sh"
        )


def require_detectors(names):
    """Raise InputError for a name that no detector has, as a process of `ml` says."""
    if not names:
        return
    said, status = watch([sys.executable, "-P", "-c", FIND_DETECTORS, *names])
    if status:
        raise InputError(said[-1] if said else "python -m ml does not run")


def duration(seconds):
    """A time for people."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds:02} s"


# --- what is up to date -----------------------------------------------------------------------


@dataclass(frozen=True)
class Entry:
    """What is known of a step that came to its end; digests."""

    command: str
    program: str
    reads: dict[str, str | None]  # file or folder: its digest
    makes: dict[str, str | None]


class Record:
    """The entries of OUT/steps.json."""

    def __init__(self, folder):
        """folder: the output folder; a file that cannot be understood counts as none."""
        self.folder, self.path = folder, folder / STEPS
        self.entries = {}
        with suppress(OSError, ValueError, TypeError, KeyError, AttributeError):
            content = parse_json(read_regular(self.path))
            if content["format"] == FORMAT:
                found = {name: Entry(**entry) for name, entry in content["steps"].items()}
                if all(
                    isinstance(part, dict) for e in found.values() for part in (e.reads, e.makes)
                ):
                    self.entries = found

    def changed(self, step):
        """Why a Step must run, "" where it never has; None where it is up to date.

        The first step decides by itself, for each sample.
        """
        entry = self.entries.get(step.name)
        if entry is None or not step.reads:
            return ""
        if entry.command != digest(step.words):
            return "other options"
        if entry.program != program_digest(step):
            return "the program has changed"
        for kind, now in (
            ("changed", self.read_by(step)),
            ("missing or changed", self.made_by(step)),
        ):
            before = entry.reads if kind == "changed" else entry.makes
            if other := [path for path in {*before, *now} if before.get(path) != now.get(path)]:
                return f"{listed(sorted(other), 2)} {kind}"
        return None

    def complete(self, step):
        """Note that a Step came to its end. Raises OutputError if it lacks what it should make."""
        made = self.made_by(step)
        if lacking := [path for path, found in made.items() if found is None]:
            raise OutputError(f"step '{step.name}' did not make {listed(lacking)}")
        entry = Entry(digest(step.words), program_digest(step), self.read_by(step), made)
        self.entries[step.name] = entry
        steps = {name: vars(one) for name, one in self.entries.items()}
        write_json(self.path, {"format": FORMAT, "steps": steps})

    def read_by(self, step):
        """{path: digest} of what a Step reads; of run.json what the step can see of it."""
        return {
            path: record_digest(self.folder / RUN, step)
            if path == RUN
            else content(self.folder / path)
            # run.json has the checksums of the tables.
            for path in step.reads
            if not (RUN in step.reads and path.startswith(f"{TABLES}/"))
        }

    def made_by(self, step):
        """{path: digest} of what a Step makes."""
        return {path: content(self.folder / path) for path in step.makes}


def content(path):
    """Digest of a file, or of a folder without what is hidden in it; None where there is none."""
    try:
        if path.is_dir():
            files = (p for p in path.rglob("*") if p.is_file())
            names = {p.relative_to(path).as_posix(): p for p in files}
            shown = {n: p for n, p in names.items() if not n.startswith(".") and "/." not in n}
            return digest({name: checksum(p) for name, p in shown.items()}) if shown else None
        return checksum(path)
    except OSError:
        return None


def record_digest(path, step):
    """Digest of what a Step depends on in run.json; None where there is none."""
    if step.program == ("analysis.stats.__main__",):
        return content(path)  # its results are of one run.json, and refused with another
    try:
        record = parse_json(read_regular(path))
    except (OSError, ValueError):
        return None
    hidden = TOLD_BY_NOBODY if draws(step) else MAKING | (DRAWN if learns(step) else {"colour"})
    top = {name: value for name, value in record.items() if name not in CIRCUMSTANCES}
    return digest(without(top, hidden))


def without(value, names):
    """A JSON value without the keys of these names, at any depth."""
    if isinstance(value, dict):
        return {name: without(inside, names) for name, inside in value.items() if name not in names}
    return [without(inside, names) for inside in value] if isinstance(value, list) else value


def draws(step):
    """Whether a Step shows what others have made."""
    return step.program == ("plotting.__main__",)


def learns(step):
    """Whether a Step makes models and scores, which have no words in them."""
    return step.name.startswith(("train", "score"))


def program_digest(step):
    """Digest of the sources and the libraries that a Step runs."""
    files = {str(p.relative_to(CHECKOUT)): checksum(p) for p in sources(step.program)}
    libraries = PICTURES if draws(step) else LIBRARIES
    return digest([files, [sys.version, *map(installed, libraries)]])


def installed(name):
    """The version of a package, None where it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


# --- running ----------------------------------------------------------------------------------


def run_step(step):
    """Run the command of a Step in a process of its own; raises StepError if it fails."""
    for line in console.hanging(f"{INDENT}", shlex.join(step.command), console.width()):
        print(line, flush=True)
    words = [str(CHECKOUT / word) if word == "run_rdf.py" else word for word in step.words]
    begin = time.monotonic()
    said, status = watch([sys.executable, "-P", *words])
    lines = [line for line in said if line.strip()]
    if status:
        # On stderr it has told its reasons, if it had the time.
        crash = status < 0 and f"{signal.strsignal(-status)}: crashed, or killed for lack of memory"
        raise StepError(
            f"step '{step.name}' failed ({crash or f'exit status {status}, see above'}); "
            "mend it, and the same command goes on"
        )
    for line in lines if len(lines) <= SHORT else lines[-1:]:
        # Lines of tables fit, and keep their blanks.
        most = console.width() if len(INDENT + line) > console.width() else None
        print(*console.hanging(INDENT, line, most), sep="\n")
    print(f"{INDENT}{duration(time.monotonic() - begin)}", flush=True)


def watch(words):
    """Run a command; returns the lines it wrote to stdout, and its status.

    What it writes to stderr is shown at once, and at a terminal how long it takes so far. It ends
    with this process, also when that is killed.
    """
    paths = os.pathsep.join(filter(None, (str(CHECKOUT), os.environ.get("PYTHONPATH"))))
    process = subprocess.Popen(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths, "COLUMNS": str(console.width() - len(INDENT))},
        start_new_session=True,  # Ctrl-C is for this process, which ends the step in order
        preexec_fn=die_with_parent,
    )
    try:
        return follow(process), process.wait()
    finally:
        end(process)


def follow(process):
    """Read what a process writes until it ends; returns the lines of stdout."""
    out, begin = bytearray(), time.monotonic()
    clock = Clock(sys.stdout)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        selector.register(process.stderr, selectors.EVENT_READ)
        while selector.get_map():
            for key, _ in selector.select(timeout=1):
                if not (block := os.read(key.fd, 1 << 16)):
                    selector.unregister(key.fileobj)
                elif key.fileobj is process.stdout:
                    out += block
                else:
                    clock.clear()
                    sys.stderr.write(block.decode(errors="replace"))
                    sys.stderr.flush()
            clock.show(time.monotonic() - begin)
    clock.clear()
    return out.decode(errors="replace").splitlines()


def end(process):
    """End a step, if it runs, and all that it has started, in order where it can."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, how)
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
    for pipe in (process.stdout, process.stderr):
        pipe.close()


class Clock:
    """At a terminal, a line that says how long a step takes so far."""

    def __init__(self, file):
        self.file, self.shown = file, False

    def show(self, seconds):
        """Show so many seconds."""
        if self.file.isatty():
            self.file.write(f"\r{INDENT}{duration(round(seconds))} ...")
            self.file.flush()
            self.shown = True

    def clear(self):
        """Make room for another line."""
        if self.shown:
            self.file.write("\r\x1b[K")
            self.file.flush()
            self.shown = False
