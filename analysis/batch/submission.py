"""The folder of a submission: its record, its pieces, and what has become of each.

    OUT/jobs/submission.json        what was submitted; never changed
    OUT/jobs/job.sh                 runs one piece in the environment of the submission
    OUT/jobs/code, cache, model     the program, its compiled libraries and the model, frozen
    OUT/jobs/logs/                  what the jobs printed
    OUT/jobs/pieces/0012/           a piece that is done: tables and manifest.json
    OUT/jobs/pieces/0012.failed     why its last attempt failed
    OUT/jobs/pieces/0012.started    an attempt began (host and process) and has not ended yet
    OUT/jobs/pieces/*.tar           transferred pieces, unpacked when they are looked at

Names appear by renaming within the folder, so that what has a name is complete, also where several
machines look at it. Nothing depends on clocks.
"""

import contextlib
import os
import shlex
import shutil
import socket
import tarfile
from dataclasses import dataclass
from pathlib import Path

from analysis.batch.pieces import Piece
from analysis.content import (
    FLAG,
    FROM_0,
    Fields,
    ListOf,
    MapOf,
    Maybe,
    OneOf,
    line,
    matching,
    shown,
    whole,
)
from analysis.errors import InputError, OutputError
from analysis.files import aside, digest, irregular, parse_json, put_in_place, read_regular
from analysis.options import SKIM_COLUMNS, SKIM_FORMATS
from analysis.records import (
    COLUMN,
    COUNTED,
    FILE,
    NAME,
    PATH,
    RECORD,
    RUN_SAMPLE,
    SHA256,
    VARIATION_KINDS,
    WORDS,
    latest_format,
)

FORMAT = 1
MANIFEST = "manifest.json"

DONE, FAILED, RUNNING, WAITING, MISSING = "done", "failed", "running", "waiting", "missing"
STATES = (DONE, RUNNING, WAITING, FAILED, MISSING)


# --- what submission.json and manifest.json must be -------------------------------------------

PIECE = Fields(
    {"name": NAME, "sample": NAME, "files": ListOf(PATH), "begin": whole(), "entries": whole()}
)
ID = matching(r"[0-9a-f]{1,64}", "a hexadecimal number")

# Options that the batch systems take from the record, beside those of all.
OPTIONS = {
    "local": ("jobs",),
    "slurm": ("minutes", "memory", "extra"),
    "condor": ("minutes", "memory", "extra", "flavour", "logs", "spool"),
    "grid": ("out_ds", "view", "memory", "extra"),
}
OPTION = {
    "output": PATH,
    "cores": whole(1, 4096),
    "model": Maybe(PATH),
    "files_per_job": Maybe(whole(1)),
    "events_per_job": Maybe(whole(1)),
    "entries": Maybe(whole(1)),
    "jobs": Maybe(whole(1)),
    "minutes": Maybe(whole(1)),
    "memory": Maybe(whole(1)),
    "extra": ListOf(line()),
    "flavour": Maybe(line(100, without='"')),
    "logs": Maybe(PATH),
    "spool": FLAG,
    "out_ds": line(200, least=1),
    "view": Maybe(line(200)),
    "skim": FLAG,
    "columns": Maybe(OneOf(SKIM_COLUMNS)),
    "skim_format": Maybe(OneOf(SKIM_FORMATS)),
}
COMMON = ("output", "cores", "model", "files_per_job", "events_per_job", "entries")

SEEN = ("inputs", "entries_read", "normalisation", "left_out")  # of a sample whose files were seen


def sample_rule(*more):
    """The rule of a sample in a record with some more keys than all have."""
    return Fields(RUN_SAMPLE.known, (*RUN_SAMPLE.needed, "files", "sum_of_weights", *more), True)


def submission_rule(backend):
    """The rule of the submission.json of a batch system (name)."""
    sample = sample_rule("promised") if backend == "grid" else sample_rule(*SEEN)
    run = RECORD.of(samples=ListOf(sample, least=1, by="name"))
    # Of a run that has ended, or not in all formats.
    finished = set("timings_s bytes_read submission failed checksums".split())
    finished |= set("plain interpret skip_bad_files drop_bad_events".split())
    finished |= set("vary_tables systematics parquet".split())
    return Fields(
        {
            "format": whole(FORMAT, FORMAT),
            "id": ID,
            "backend": OneOf(tuple(OPTIONS)),
            "options": Fields(OPTION, (*COMMON, *OPTIONS.get(backend, ())), True),
            "pieces": ListOf(PIECE, by="name"),
            "run": Fields(run.known, tuple(key for key in run.known if key not in finished), True),
        },
        others=True,
    )


RESULTS = {
    "cutflow": COUNTED,
    "tables": MapOf(
        NAME, Fields({"name": FILE, "rows": whole(), "size": whole(), "sha256": SHA256})
    ),
}
MANIFEST_RULE = Fields(
    {
        "submission": ID,
        "piece": PIECE,
        "sample": sample_rule(*SEEN),
        "entries_read": whole(),
        "dropped_events": whole(),
        "bytes_read": whole(),
        **RESULTS,
        "variations": MapOf(COLUMN, Fields({"kind": OneOf(VARIATION_KINDS), **RESULTS})),
        "skim": ListOf(
            Fields({"name": FILE, "entries": whole(), "size": whole(), "sha256": SHA256})
        ),
        "features": ListOf(COLUMN),
        "versions": MapOf(WORDS, WORDS),
        "helpers": WORDS,
        "seconds": FROM_0,
    },
    others=True,
)


@dataclass(frozen=True)
class State:
    """What has become of a piece."""

    piece: Piece
    state: str  # one of STATES
    problem: str = ""  # why it failed or is held


class Submission:
    """A submission that was read from its folder.

    Attributes:
        folder: Path of the output folder
        record: content of submission.json
        run: what will be run.json, without what the jobs find out
        pieces: tuple of Piece
    """

    def __init__(self, folder):
        """Raises InputError where `folder` has no submission."""
        self.folder = Path(folder).resolve()
        self.jobs = self.folder / "jobs"
        path = self.jobs / "submission.json"
        try:
            self.record = parse_json(read_regular(path))
            if self.record["format"] != FORMAT:
                raise InputError(f"{path} has format {shown(self.record['format'])}, not {FORMAT}")
            latest = {**self.record, "run": latest_format(self.record["run"], path)}
            for problem in submission_rule(latest["backend"]).problems(latest, ""):
                raise ValueError(problem)
        except FileNotFoundError:
            raise InputError(f"{folder} has no submission ({path} is missing)") from None
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from None
        except KeyError as error:
            raise InputError(f"{path} is no record of a submission: {error} is missing") from None
        except (ValueError, TypeError) as error:
            raise InputError(f"{path} is no record of a submission: {error}") from None
        self.run = self.record["run"]
        self.sent = tuple(piece_of(piece) for piece in self.record["pieces"])
        known = {sample["name"] for sample in self.run["samples"]}
        for piece in self.sent:
            if piece.sample not in known:
                raise InputError(f"{path}: piece {piece.name} is of no sample of the submission")

    @property
    def id(self):
        """What tells this submission from others."""
        return self.record["id"]

    @property
    def results(self):
        """Folder of the pieces."""
        return self.jobs / "pieces"

    @property
    def shown(self):
        """The output folder as a word for the user to paste."""
        here = Path.cwd()
        inside = self.folder.is_relative_to(here) and self.folder != here
        return shlex.quote(str(self.folder.relative_to(here) if inside else self.folder))

    @property
    def is_skim(self):
        """Whether the pieces are skims; else they are tables."""
        return self.record["options"].get("skim", False)

    @property
    def on_grid(self):
        """Whether PanDA chooses the files of each piece; the submission knows their names only."""
        return self.record["backend"] == "grid"

    @property
    def pieces(self):
        """All pieces; on the grid those that were found, and what is left of each sample."""
        if not self.on_grid:
            return self.sent
        found, left = [], {s["name"]: set(s["promised"]) for s in self.run["samples"]}
        for path in sorted(self.results.glob(f"*/{MANIFEST}")):
            found.append(piece_of(self.manifest(path.parent.name)["piece"]))
            if found[-1].name != path.parent.name or found[-1].sample not in left:
                raise InputError(f"{path} is of another piece: remove {path.parent}, resubmit")
            left[found[-1].sample] -= {Path(file).name for file in found[-1].files}
        for path in sorted(self.results.glob("*.failed")):
            sample = path.stem.rpartition("-")[0]
            if left.get(sample):  # else PanDA has done it again
                found.append(Piece(path.stem, sample, (), 0, 0))
        for sample, files in left.items():
            if files:
                found.append(Piece(f"{sample}-rest", sample, tuple(sorted(files)), 0, 0))
        return tuple(found)

    def piece(self, name, files=None):
        """The piece of this name, on the grid with these files. Raises InputError."""
        if files:
            return Piece(name, name.rpartition("-")[0], files, 0, 0)
        for piece in self.sent:
            if piece.name == name:
                return piece
        raise InputError(f"{self.folder} has no piece {name}")

    def unpack(self):
        """Unpack what was transferred: archives of pieces and of the reasons for failures."""
        for path in sorted(self.results.rglob("*.tar")):
            if irregular(path):
                continue
            unpacked = aside(path)
            try:
                extract(path, unpacked)
                for piece in unpacked.iterdir():
                    final = self.results / piece.name
                    if piece.suffix == ".failed" or (piece / MANIFEST).exists():
                        if not final.is_dir():  # another attempt has made it
                            put_in_place(piece, final)
                path.unlink()
            except (tarfile.TarError, EOFError):
                continue  # not here as a whole
            except OSError as error:
                raise OutputError(f"{path} cannot be unpacked: {error.strerror}") from None
            finally:
                shutil.rmtree(unpacked, ignore_errors=True)

    def states(self, queue=None):
        """Return the State of each piece.

        queue: {name of a piece: (RUNNING or WAITING, remark)} as the batch system says, None where
            it is not asked; then what began and has not ended counts as running, unless it was on
            this machine and is gone.
        """
        self.unpack()
        try:
            found = set(os.listdir(self.results))
        except OSError:
            found = set()
        return [self.state(piece, found, queue) for piece in self.pieces]

    def state(self, piece, found, queue):
        """The State of a piece; `found`: names in the folder of pieces, `queue` as in `states`."""
        if piece.name in found:
            return State(piece, DONE)
        if queue is not None and piece.name in queue:
            return State(piece, *queue[piece.name])
        if f"{piece.name}.failed" in found:
            return State(piece, FAILED, read_line(self.results / f"{piece.name}.failed"))
        if f"{piece.name}.started" in found:
            if queue is None and is_alive(read_line(self.results / f"{piece.name}.started")):
                return State(piece, RUNNING)
            return State(piece, MISSING, "ended without a word (killed, or its machine failed)")
        problem = f"{len(piece.files)} files were not read" if self.on_grid else ""
        return State(piece, MISSING, problem)

    def manifest(self, name):
        """The manifest of a piece that is done. Raises InputError if it is damaged."""
        path = self.results / name / MANIFEST
        try:
            manifest = parse_json(read_regular(path))
            if manifest.pop("sha256") != digest(manifest):
                raise ValueError
            for problem in MANIFEST_RULE.problems(manifest, ""):
                raise ValueError(problem)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise InputError(
                f"piece {name} is damaged: {path} is not as it was written; "
                f"remove {path.parent}, resubmit"
            ) from None
        return manifest

    def forget(self, names):
        """Remove the traces of failed attempts."""
        for name in names:
            for trace in ("failed", "started"):
                with contextlib.suppress(FileNotFoundError):
                    (self.results / f"{name}.{trace}").unlink()


def piece_of(values):
    """Make a Piece from its JSON form."""
    return Piece(**{**values, "files": tuple(values["files"])})


def extract(path, folder):
    """Write the files of an archive of pieces into a folder, and nowhere else."""
    folder.mkdir()
    with tarfile.open(path) as archive:
        for member in archive:
            parts = Path(member.name).parts
            if member.isfile() and len(parts) <= 2 and ".." not in parts and "/" not in parts:
                target = folder.joinpath(*parts)
                target.parent.mkdir(exist_ok=True)
                with open(target, "wb") as file:
                    shutil.copyfileobj(archive.extractfile(member), file)


def read_line(path):
    """The first line of a small file, "" where it vanished."""
    with contextlib.suppress(OSError):
        return (read_regular(path).decode(errors="replace").splitlines() or [""])[0]
    return ""


def is_alive(started):
    """Whether the process of "host pid" may live; that of another machine may."""
    host, _, pid = started.partition(" ")
    if host != socket.gethostname() or not pid.isdecimal():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
