"""What was fixed before any signal was looked at: OUT/study/frozen.json."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from analysis import rivals as rivals_module
from analysis.content import Fields, ListOf, MapOf, Value, line, matching, require, whole
from analysis.errors import InputError, listed
from analysis.files import checksum, read_json, restore_folder, write_json
from analysis.output import MODELS, SCORES, STUDY
from analysis.performance import LEAST, WORKING_POINTS
from analysis.records import ABOVE_0, COLUMN, NAME, SHA256, plain_name
from analysis.rivals import RIVALS
from analysis.scored import origin

FROZEN = "frozen.json"
FREEZE_AGAIN = "remove it, and freeze again with python -m ml freeze"
LOGS = ("log.csv", "logs")  # of a training; they tell times, not what was trained

DATE = matching(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\+00:00", "a date as 2026-01-31T12:00:00"
)
PART_OF_MODEL = Value(
    "the path of a file in the folder of a model",
    lambda value: isinstance(value, str) and all(map(plain_name, value.split("/"))),
)
RULE = Fields(
    {
        "format": whole(1, 1),
        "date": DATE,
        "region": NAME,
        "features": ListOf(line(200, least=1), most=10_000),  # also "flcomp=0"
        "tables": MapOf(NAME, SHA256),
        "choices": Fields(
            {"working_points": ListOf(ABOVE_0, least=1, most=100), "least_events": whole(1)}
        ),
        "rivals": Fields({"names": ListOf(COLUMN, most=1000), "sha256": SHA256}),
        "detectors": MapOf(
            NAME,
            Fields(
                {
                    "date": DATE,
                    "files": MapOf(PART_OF_MODEL, SHA256),
                    "scored_signals": ListOf(NAME),
                }
            ),
        ),
    }
)


@dataclass(frozen=True)
class State:
    """Whether a number is of a choice that was frozen."""

    frozen: bool
    date: str | None  # when, in UTC
    reason: str  # why not, or what must be known


def freeze(dataset, names=None):
    """Write OUT/study/frozen.json with detectors, features, choices and rivals.

    names: detectors, None: all in OUT/models. A detector that has not changed since it was frozen
    keeps its date, those that are not named stay as they were. Returns the content.
    """
    models = dataset.folder / MODELS
    known = sorted(p.name for p in models.glob("[!.]*") if p.is_dir() and plain_name(p.name))
    if not known:
        raise InputError(f"no model in {models}: python -m ml train {dataset.folder} first")
    if missing := [name for name in names or () if name not in known]:
        raise InputError(f"no model {listed(missing)} in {models}: there are {listed(known, 12)}")
    before = read_frozen(dataset.folder)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    common = _common(dataset)
    same = before is not None and all(before[key] == value for key, value in common.items())
    # What was frozen with other features or tables is not frozen any more.
    detectors = dict(before["detectors"]) if same else {}
    for name in names or known:
        files = model_files(models / name)
        if not (name in detectors and detectors[name]["files"] == files):
            detectors[name] = {"date": now, "files": files, "scored_signals": scored(dataset, name)}
    content = {"format": 1, "date": before["date"] if same else now} | common
    content["detectors"] = dict(sorted(detectors.items()))
    write_json(dataset.folder / STUDY / FROZEN, content)
    return content


def read_frozen(folder):
    """The content of OUT/study/frozen.json, None where there is none. Raises InputError."""
    path = Path(folder) / STUDY / FROZEN
    if not path.exists():
        return None
    content = read_json(path, FREEZE_AGAIN)
    require(content, RULE, path, FREEZE_AGAIN)
    return content


def rivals_sha256():
    """SHA-256 of the definition of the rivals."""
    return checksum(Path(rivals_module.__file__))


def model_files(folder):
    """{path in the folder: SHA-256} of the files of a model, which is in a Path, without logs."""
    folder = restore_folder(folder)
    return {
        str(path.relative_to(folder)): checksum(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and not any(part.startswith(".") or part in LOGS for part in path.relative_to(folder).parts)
    }


def scored(dataset, detector):
    """Names of the signal samples whose scores by a detector are there."""
    folder = dataset.folder / SCORES / detector
    names = [sample.name for sample in dataset.of_kind("signal")]
    return [name for name in names if (folder / f"{name}.hdf5").exists()]


def state_of_detector(frozen, dataset, name):
    """The State of a detector whose scores are in OUT/scores/<name>."""
    if frozen is None or name not in frozen["detectors"]:
        return State(False, None, "not frozen")
    if changed := [key for key, value in _common(dataset).items() if frozen[key] != value]:
        return State(False, None, f"other {' and '.join(changed)} than when it was frozen")
    entry = frozen["detectors"][name]
    if model_files(dataset.folder / MODELS / name) != entry["files"]:
        return State(False, None, "the model has changed since it was frozen")
    signatures = _signatures(dataset.folder / MODELS / name)
    for sample in dataset.samples:
        path = dataset.folder / SCORES / name / f"{sample.name}.hdf5"
        if path.exists() and signatures and sorted(origin(path).get("models", ())) != signatures:
            return State(False, None, "the scores are of another model than the frozen one")
    late = entry["scored_signals"]
    return State(True, entry["date"], f"after signals were scored: {listed(late)}" if late else "")


def state_of_rivals(frozen):
    """The State of the rivals."""
    if frozen is None:
        return State(False, None, "not frozen")
    if frozen["rivals"] != {"names": [r.name for r in RIVALS], "sha256": rivals_sha256()}:
        return State(False, None, "the rivals have changed since they were frozen")
    return State(True, frozen["date"], "")


def _signatures(folder):
    """The signatures in the records of a model, sorted, empty where they have none."""
    found = []
    for path in sorted(folder.rglob("model.json")):
        if not any(part.startswith(".") for part in path.relative_to(folder).parts):
            found.append(read_json(path, FREEZE_AGAIN).get("signature"))
    return sorted(found) if all(isinstance(signature, str) for signature in found) else []


def _common(dataset):
    """What all detectors have in common."""
    return {
        "region": dataset.region,
        "features": list(dataset.names),
        "tables": {
            sample.name: sample.sha256 or checksum(sample.path)
            for sample in dataset.of_kind("background")
        },
        "choices": {"working_points": list(WORKING_POINTS), "least_events": LEAST},
        "rivals": {"names": [rival.name for rival in RIVALS], "sha256": rivals_sha256()},
    }
