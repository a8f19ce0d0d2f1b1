"""A blind test: pseudo-data with a fraction of a signal, or of none, that nobody is told.

The seed decides which signal it is and how much of it. Pseudo-data are made as in `ml.protocol`:
one half of the background gives the cuts and what is expected, the other one is drawn from. What is
hidden stands in a file of its own, which only `--open` looks into.
"""

import zlib

import numpy as np

from analysis import console
from analysis.content import ABOVE_0, FROM_0, Fields, ListOf, MapOf, Maybe, line, require, whole
from analysis.errors import InputError
from analysis.files import atomic_file, checksum, read_json
from analysis.hdf5_writer import FrameWriter
from analysis.output import IDENTITY, STUDY, TABLE, WEIGHT
from analysis.performance import LEAST, WORKING_POINTS, bin_significance, choose_cuts
from analysis.records import NAME, SHA256
from analysis.study_files import without_nan
from ml import challenges
from ml.protocol import count_pvalue, halves
from ml.study_tables import fitted

RESULT, ANSWER, PSEUDO_DATA = "blind.json", "blind_answer.json", "blind.hdf5"
FRACTIONS = (1e-3, 3e-2)  # of the pseudo-data, uniform in its logarithm
AGAIN = "make a new blind test"
RULE = Fields(
    {
        "format": whole(1, 1),
        "seed": whole(),
        "pseudo_data": SHA256,
        "signal": Maybe(NAME),
        "fraction": FROM_0,
        "events": whole(),
        "passed": MapOf(
            NAME, ListOf(Fields({"asked": ABOVE_0, "events": whole()}), most=len(WORKING_POINTS))
        ),
    }
)
TOLD = Fields(
    {"format": whole(1, 1), "seed": whole(), "pseudo_data": SHA256, "region": line(200)},
    needed=("format", "seed", "pseudo_data", "region"),
    others=True,
)


def blind(dataset, choices):
    """The contents of OUT/study/blind.json and of the answer; writes the table of pseudo-data.

    Raises InputError without a signal, a background or a detector.
    """
    hidden = challenges.signals(dataset)
    if not hidden:
        raise InputError(
            f"no signal in {dataset.folder} has an event with weight in region {dataset.region}: "
            "nothing can be hidden; declare a sample of kind signal in the samples file"
        )
    judges = [*challenges.detectors(dataset, choices.detectors), *challenges.rivals(dataset)]
    background = challenges.load_background(dataset)
    looked = [judge.look(background) for judge in judges]
    # Pseudo-data are the same for all: of events that none of them has learned.
    unknown = ~np.any([learned for _, learned in looked], axis=0)
    weight = np.where(unknown, np.maximum(background.weight, 0.0), 0.0)
    if not weight.sum() > 0:
        raise InputError("the detectors have learned all background: train them with folds")
    weight *= background.weight.sum() / weight.sum()
    random = np.random.default_rng([choices.seed, zlib.crc32(b"blind")])
    first, calibration, drawn = halves(weight, random)
    if not (calibration.sum() > 0 and drawn.sum() > 0):
        raise InputError(f"too few background events in {dataset.folder} for two halves")
    taken = np.repeat(np.arange(len(weight)), random.poisson(drawn))
    chosen, fraction, positions = _hide(hidden, weight.sum(), random)
    table = dataset.folder / STUDY / PSEUDO_DATA
    _write(table, dataset, taken, chosen, positions, random)
    found, passed = [], {}
    for judge, (value, _) in zip(judges, looked, strict=True):
        more = judge.look(chosen.events[positions])[0] if chosen else np.empty(0)
        points = _points(value, first, calibration, drawn, taken, more)
        passed[judge.name] = [
            {"asked": p["asked"], "events": int((more >= p["threshold"]).sum())} for p in points
        ]
        found.append(
            {
                "name": judge.name,
                "kind": judge.kind,
                "models": list(judge.models),
                "points": points,
            }
        )
    result = {
        "format": 1,
        "region": dataset.region,
        "seed": choices.seed,
        "pseudo_data": checksum(table),
        "events": len(taken) + len(positions),
        "expected": float(weight.sum()),
        "least_events": LEAST,
        "working_points": list(WORKING_POINTS),
        "scores": found,
    }
    answer = {
        "format": 1,
        "seed": choices.seed,
        "pseudo_data": result["pseudo_data"],
        "signal": chosen.name if chosen else None,
        "fraction": fraction,
        "events": len(positions),
        "passed": passed,
    }
    return without_nan(result), answer


def read_answer(folder):
    """The answer to the blind test in an output folder, a Path. Raises InputError."""
    told, path = folder / STUDY / RESULT, folder / STUDY / ANSWER
    result = read_json(told, AGAIN)
    require(result, TOLD, told, AGAIN)
    answer = read_json(path, AGAIN)
    require(answer, RULE, path, AGAIN)
    if answer["pseudo_data"] != result["pseudo_data"]:
        raise InputError(f"{path} is the answer to another test than {told}: {AGAIN}")
    return answer


def _hide(hidden, expected, random):
    """Which of the Altered, or None, what fraction, and the positions of its events."""
    choice = random.integers(0, len(hidden) + 1)
    low, high = np.log(FRACTIONS)
    fraction = float(np.exp(random.uniform(low, high)))
    if choice == len(hidden):
        return None, 0.0, np.empty(0, int)
    chosen = hidden[choice]
    weight = np.maximum(chosen.events.weight, 0.0)
    number = random.poisson(expected * fraction / (1 - fraction))
    return chosen, fraction, random.choice(len(weight), number, p=weight / weight.sum())


def _points(value, first, calibration, drawn, taken, more):
    """What is expected and observed above the cuts of a number."""
    points = []
    for cut in choose_cuts(value[first], calibration[first], WORKING_POINTS):
        above = value >= cut.threshold
        error = np.sqrt(np.sum(calibration[above] ** 2) + np.sum(drawn[above] ** 2))
        observed = int((value[taken] >= cut.threshold).sum() + (more >= cut.threshold).sum())
        points.append(
            {
                "asked": cut.asked,
                "supported": cut.supported,
                "threshold": cut.threshold,
                "background_efficiency": cut.efficiency,
                "expected": cut.background,
                "expected_error": float(error),
                "observed": observed,
                "p_value": count_pvalue(observed - 1, cut.background, float(error), 0.0),
                "significance": bin_significance(observed, cut.background, float(error)),
            }
        )
    return points


def _write(path, dataset, taken, chosen, positions, random):
    """Write the table of pseudo-data, in random order; nothing tells where an event is from."""
    parts, names = [], None
    for samples, rows in (
        (dataset.of_kind("background"), taken),
        ([s for s in dataset.samples if chosen and s.process == chosen.name], positions),
    ):
        tables = []
        for sample in samples:
            with sample.open() as table:
                tables.append(table.read_columns())
        if not tables:
            continue
        names = names or tuple(n for n in tables[0] if all(n in t for t in tables))
        parts.append({n: np.concatenate([t[n] for t in tables])[rows] for n in names})
    order = random.permutation(sum(len(part[WEIGHT]) for part in parts))
    columns = {n: np.concatenate([part[n] for part in parts])[order] for n in names}
    columns[WEIGHT] = np.ones(len(order))
    columns |= {name: np.zeros(len(order), np.int64) for name in IDENTITY}
    columns[IDENTITY[-1]] = np.arange(len(order))
    types = {name: values.dtype for name, values in columns.items()}
    with atomic_file(path) as temporary, FrameWriter(temporary, TABLE, types) as file:
        file.append(columns)


def as_text(content):
    """Yield the lines of the table, in the width of the terminal."""
    yield from fitted(
        f"blind test, region {content['region']}, seed {content['seed']}: {content['events']} "
        f"events, {content['expected']:.1f} expected without a signal"
    )
    heads, rows = [""], []
    for point in content["working_points"]:
        heads += [f"at {100 * point:g} % observed (expected)", "Z"]
    for score in content["scores"]:
        by_asked = {point["asked"]: point for point in score["points"]}
        cells = []
        for asked in content["working_points"]:
            point = by_asked.get(asked)
            if point is None:
                cells += ["-", "-"]
                continue
            mark = "" if point["supported"] else "*"
            cells += [
                f"{point['observed']}{mark} ({point['expected']:.4g})",
                f"{point['significance']:.1f}",
            ]
        rows.append((score["name"], *cells))
    yield from console.table(heads, rows, console.width())
    yield from fitted(
        f"Z: observed significance. *: the tightest cut that {content['least_events']} effective "
        "events pass."
    )
    yield "What is hidden is told by the same command with --open."


def answer_as_text(answer):
    """Yield the lines that tell what was hidden."""
    if answer["signal"] is None:
        yield f"hidden with seed {answer['seed']}: no signal"
        return
    yield (
        f"hidden with seed {answer['seed']}: {answer['events']} events of {answer['signal']}, a "
        f"fraction of {answer['fraction']:.2%}"
    )
    for name, points in answer["passed"].items():
        cells = ", ".join(f"{p['events']} at {100 * p['asked']:g} %" for p in points)
        yield f"  of these pass {name[:20]:<20} {cells}"
