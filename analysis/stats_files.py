"""What `python -m analysis.stats` leaves in OUT/stats/<name> for others to show."""

from itertools import pairwise

from analysis.content import (
    FLAG,
    LARGEST,
    Fields,
    ListOf,
    MapOf,
    Maybe,
    OneOf,
    Value,
    is_number,
    line,
    require,
    whole,
)
from analysis.errors import InputError
from analysis.files import checksum, read_json
from analysis.output import RUN, STATS
from analysis.records import LABEL, LUMINOSITY, NAME, NETWORK_INPUT, ROLES, SHA256, WORDS
from analysis.study_files import IDENTIFIED

DEFAULT_NAME = "search"  # of a statistical analysis
LIMIT = 0.05  # CLs below which a signal strength is excluded

# --- rules ------------------------------------------------------------------------------------

# That can be drawn
NUMBER = Value(
    "a number between -1e12 and 1e12", lambda value: is_number(value) and abs(value) < 1e12
)
ERROR = Value("a number from 0 to 1e12", lambda value: is_number(value) and 0 <= value < 1e12)
ABOVE_0 = Value(
    "a number from 1e-12 to 1e12", lambda value: is_number(value) and 1e-12 < value < 1e12
)
P_VALUE = Value("a number from 0 to 1", lambda value: is_number(value) and 0 <= value <= 1)
NUMBERS = ListOf(NUMBER)
ERRORS = ListOf(ERROR)
EDGES = ListOf(NUMBER, least=2)
UNIT = line(50)
NOTES = ListOf(line(10_000), most=1000)
OBJECT = Fields({}, others=True)  # of pyhf, which looks at it itself
KEY = line(200, least=1)  # of a parameter, that pyhf may have named


def known(fields, *optional):
    """An object that has these fields at least; `optional` may be missing."""
    return Fields(fields, tuple(key for key in fields if key not in optional), others=True)


def five(rule):
    """The rule of what is at -2, -1, 0, 1 and 2 standard deviations; null where there is none."""
    return ListOf(Maybe(rule), least=5, most=5)


MEASURED = known({"value": NUMBER, "error": ERROR})
TOTALS = known({"total": NUMBERS, "error": ERRORS, "sum_error": ERROR}, "sum_error")
CHANNEL = known(
    {
        "region": NAME,
        "role": OneOf(ROLES),
        "feature": NAME,
        "label": LABEL,
        "unit": UNIT,
        "edges": EDGES,
        "samples": MapOf(NAME, known({"prefit": NUMBERS, "postfit": NUMBERS})),
        "prefit": TOTALS,
        "postfit": TOTALS,
        "data": Maybe(ERRORS),
        "asimov": FLAG,
    }
)
PARAMETER = known(
    {
        "name": KEY,
        "kind": OneOf(("mu", "norm", "systematic", "staterror")),
        "value": NUMBER,
        "error": Maybe(ERROR),
        "pull": Maybe(NUMBER),
        "constraint": Maybe(ERROR),
    }
)
FIT = {
    "signal": Maybe(NAME),
    "parameters": ListOf(PARAMETER),
    "correlation": known({"names": ListOf(KEY), "matrix": ListOf(NUMBERS)}),
    "normalisation": MapOf(NAME, MEASURED),
    "channels": ListOf(CHANNEL, least=1),
    "goodness": Maybe(known({"chi2": NUMBER, "ndof": whole(-LARGEST), "p": Maybe(P_VALUE)})),
    "converged": FLAG,
}
SCAN = known(
    {
        "mu": ListOf(ERROR, least=1),
        "cls_observed": Maybe(ListOf(Maybe(ERROR))),
        "cls_expected": ListOf(ListOf(Maybe(ERROR)), least=5, most=5),
    }
)
LIMITS = {
    "signals": MapOf(
        NAME,
        known(
            {
                "cross_section_pb": Maybe(ABOVE_0),
                "expected": five(ABOVE_0),
                "observed": Maybe(ABOVE_0),
                "asimov": FLAG,
                "method": line(50),
                "scan": Maybe(SCAN),
            }
        ),
    )
}
DISCOVERED = known({"p0": P_VALUE, "z": Maybe(NUMBER)})
SIGNIFICANCE = {
    "signals": MapOf(
        NAME,
        known(
            {
                "expected": DISCOVERED,
                "observed": Maybe(DISCOVERED),
                "asimov_z": Maybe(NUMBER),
                "method": line(50),
                "cross_section_3_sigma_pb": Maybe(ABOVE_0),
                "cross_section_5_sigma_pb": Maybe(ABOVE_0),
            }
        ),
    )
}
GRID = ListOf(ListOf(Maybe(ABOVE_0)))
PLANE = {
    "x": LABEL,
    "y": Maybe(LABEL),
    "points": ListOf(
        known(
            {
                "signal": NAME,
                "x": NUMBER,
                "y": Maybe(NUMBER),
                "observed": Maybe(ABOVE_0),
                "expected": five(ABOVE_0),
            }
        ),
        least=1,
    ),
    "grid": Maybe(
        known(
            {
                "x": NUMBERS,
                "y": NUMBERS,
                "observed": Maybe(GRID),
                "expected": ListOf(GRID, least=5, most=5),
            }
        )
    ),
    "crossings": Maybe(known({"observed": NUMBERS, "expected": NUMBERS})),
}
VISIBLE = {
    "regions": MapOf(
        NAME,
        known(
            {
                "observed": Maybe(ERROR),
                "background": NUMBER,
                "error": ERROR,
                "s95_observed": Maybe(ABOVE_0),
                "s95_expected": five(ABOVE_0),
                "visible_fb_observed": Maybe(ABOVE_0),
                "visible_fb_expected": five(ABOVE_0),
                "p0": Maybe(P_VALUE),
                "z": Maybe(NUMBER),
            }
        ),
    )
}
DISTRIBUTION = known({"edges": EDGES, "counts": ERRORS})
WINDOW = Maybe(ListOf(NUMBER, least=2, most=2))
MASS = known(
    {
        "label": LABEL,
        "unit": UNIT,
        "share": Maybe(P_VALUE),
        "threshold": Maybe(NUMBER),
        "edges": EDGES,
        "data": ERRORS,
        "background": NUMBERS,
        "error": ERRORS,
        "window": WINDOW,
        "window_data": Maybe(ERROR),
        "window_background": Maybe(NUMBER),
        "window_error": Maybe(ERROR),
        "local_p": P_VALUE,
        "z": NUMBER,
    }
)
PLACED_MASS = known({**MASS.known, "region": NAME, "detector": Maybe(NAME)})
GLOBAL = {
    "statistic": NUMBER,
    "pseudo_statistic": DISTRIBUTION,
    "global_p": P_VALUE,
    "global_p_error": Maybe(ERROR),
    "global_p_is_limit": FLAG,
    "global_z": Maybe(NUMBER),
    "pseudo": whole(),
    "injected": MapOf(NAME, NUMBER),
    "normalisation": MapOf(NAME, MEASURED),
    "nuisances": MapOf(NAME, MEASURED),
    "notes": NOTES,
}
BUMP = {
    "region": NAME,
    "detector": Maybe(NAME),
    "label": Maybe(LABEL),
    "shares": ListOf(P_VALUE),
    "masses": MapOf(NAME, MASS),
    "best": Maybe(
        known(
            {
                "mass": NAME,
                "share": Maybe(P_VALUE),
                "threshold": Maybe(NUMBER),
                "window": WINDOW,
                "local_p": P_VALUE,
                "z": NUMBER,
            }
        )
    ),
    **GLOBAL,
}
TESTS = ("shape", "tail", "excess", "bump")
TEST = known(
    {
        "label": LABEL,
        "statistic": NUMBER,
        "p": P_VALUE,
        "z": Maybe(NUMBER),
        "pseudo_statistic": DISTRIBUTION,
    }
)
MOMENTUM = {"pt": NUMBER, "eta": NUMBER}
ODD_EVENT = known(
    {
        **{key: rule for key, rule in IDENTIFIED.items() if key != "process"},
        "region": NAME,
        "objects": Maybe(
            known(
                {
                    "leptons": ListOf(
                        known({"flavour": OneOf(("e", "mu")), "charge": whole(-1, 1), **MOMENTUM})
                    ),
                    "jets": ListOf(known({**MOMENTUM, "b": FLAG})),
                    "met": NUMBER,
                }
            )
        ),
        "scores": MapOf(
            NAME,
            known({"score": NUMBER, "p": P_VALUE, "background": NUMBER, "events": whole()}),
        ),
        "cells": ListOf(
            known(
                {
                    "name": NETWORK_INPUT,
                    "label": LABEL,
                    "value": Maybe(NUMBER),
                    "p": Maybe(P_VALUE),
                    "contribution": Maybe(NUMBER),
                }
            ),
            most=100,
        ),
    }
)
ANYTHING = {
    "regions": ListOf(NAME),
    "detectors": ListOf(NAME),
    "labels": MapOf(NAME, LABEL),
    "masses": ListOf(NAME),
    "tests": known({name: TEST for name in TESTS}),
    "two_sample": Maybe(
        known(
            {
                "auc": NUMBER,
                "folds": whole(1),
                "features": ListOf(known({"name": NETWORK_INPUT, "label": LABEL, "share": NUMBER})),
                "scores": known(
                    {"edges": EDGES, "data": ERRORS, "background": NUMBERS, "error": ERRORS}
                ),
            }
        )
    ),
    "excess": ListOf(
        known(
            {
                "region": NAME,
                "detector": Maybe(NAME),
                "share": Maybe(P_VALUE),
                "threshold": Maybe(NUMBER),
                "data": ERROR,
                "background": NUMBER,
                "error": ERROR,
                "local_p": P_VALUE,
                "z": NUMBER,
            }
        )
    ),
    "bump": MapOf(NAME, PLACED_MASS),
    "events": ListOf(ODD_EVENT, most=1000),
    "answer": line(1000),
    **GLOBAL,
}
CALIBRATION = {
    "data_sets": whole(1),
    "pseudo": whole(),
    "p_values": MapOf(NAME, ListOf(P_VALUE, least=1)),
    "uniform_p": MapOf(NAME, Maybe(P_VALUE)),
    "notes": NOTES,
}
MAP = ListOf(ListOf(Maybe(NUMBER)))
DOWN_UP = ListOf(ERROR, least=2, most=2)
RATIO = {"ratio": Maybe(NUMBER), "ratio_error": Maybe(ERROR)}
AXIS = known(
    {
        "name": NAME,
        "score": FLAG,
        "label": LABEL,
        "unit": UNIT,
        "cut": NUMBER,
        "side": OneOf(("high", "low")),
    }
)
CORNERS = ("A", "B", "C", "D")
ABCD = {
    "region": NAME,
    "asimov": FLAG,
    "x": AXIS,
    "y": AXIS,
    "share": Maybe(P_VALUE),
    "subtracted": ListOf(NAME),
    "estimated": ListOf(NAME),
    "corners": known(
        {
            corner: known(
                {
                    "data": Maybe(NUMBER),
                    "subtracted": NUMBER,
                    "subtracted_error": ERROR,
                    "background": NUMBER,
                    "background_error": ERROR,
                }
            )
            for corner in CORNERS
        }
    ),
    "estimate": known(
        {
            "value": NUMBER,
            "statistical": DOWN_UP,
            "propagated": Maybe(ERROR),
            "subtraction": Maybe(ERROR),
            "non_closure": Maybe(ERROR),
            "total": DOWN_UP,
        }
    ),
    "observed": Maybe(
        known({"data": ERROR, "expected": NUMBER, "z": Maybe(NUMBER), "p0": Maybe(P_VALUE)})
    ),
    "closure": known(
        {
            "background": NUMBER,
            "background_error": ERROR,
            "estimate": NUMBER,
            "estimate_error": ERROR,
            **RATIO,
        }
    ),
    "correlation": known({"value": Maybe(NUMBER), "error": Maybe(ERROR)}),
    "validation": ListOf(
        known(
            {
                "within": OneOf(("BD", "CD", "D")),
                "x": NUMBER,
                "y": NUMBER,
                "share": Maybe(P_VALUE),
                "data": Maybe(ERROR),
                "estimate": NUMBER,
                "error": DOWN_UP,
                "z": Maybe(NUMBER),
                **RATIO,
            }
        )
    ),
    "signals": MapOf(
        NAME,
        known(
            {
                "label": LABEL,
                "yields": known(dict.fromkeys(CORNERS, NUMBER)),
                "shift": Maybe(NUMBER),
            }
        ),
    ),
    "plane": known(
        {
            "x_edges": EDGES,
            "y_edges": EDGES,
            "background": MAP,
            "data": Maybe(MAP),
            "signals": MapOf(NAME, MAP),
        }
    ),
    "notes": NOTES,
}

# Kind of a result, which is the name of its file, and what it holds beside HEADER.
RESULTS = {
    "fit": FIT,
    "limit": LIMITS,
    "significance": SIGNIFICANCE,
    "plane": PLANE,
    "visible": VISIBLE,
    "abcd": ABCD,
    "bump": BUMP,
    "anything": ANYTHING,
    "anything_calibration": CALIBRATION,
}
KINDS = tuple(RESULTS)
MODEL = {  # that results are of, not one itself
    "channels": ListOf(
        known(
            {
                "region": NAME,
                "role": OneOf(ROLES),
                "feature": NAME,
                "kind": OneOf(("feature", "detector", "count")),
                "label": LABEL,
                "unit": UNIT,
                "edges": EDGES,
                "asimov": FLAG,
                "data": Maybe(ERRORS),
                "samples": MapOf(NAME, known({"yield": NUMBERS, "error": ERRORS})),
            }
        ),
        least=1,
    ),
    "signals": MapOf(NAME, known({"samples": ListOf(NAME), "cross_section_pb": Maybe(ABOVE_0)})),
    "normalisations": ListOf(
        known({"name": NAME, "processes": ListOf(NAME), "region": NAME}), by="name"
    ),
    "systematics": ListOf(NAME),
    "notes": NOTES,
    "validation": known({"channels": ListOf(OBJECT), "observations": ListOf(OBJECT)}),
}
OPTIONAL = ("crossings", "nuisances")
HEADER = {
    "format": whole(1, 1),
    "command": ListOf(WORDS),
    "run": known({"luminosity_ifb": Maybe(LUMINOSITY), "sha256": SHA256}),
}

# --- reading ----------------------------------------------------------------------------------


def statistics_in(folder):
    """Names of the statistical analyses in an output folder, a Path, in their order."""
    found = (folder / STATS).iterdir() if (folder / STATS).is_dir() else ()
    return sorted(
        path.name for path in found if path.is_dir() and not list(NAME.problems(path.name, ""))
    )


def read_statistics(folder, name):
    """What an analysis found: {kind: content}, of those of RESULTS that there are, and lines.

    folder: of the run, a Path; name: of the analysis
    A line says what was made of another run than is there, and is left out. Raises InputError for
    what is damaged, and where there is no such analysis.
    """
    if name not in statistics_in(folder):
        others = ", ".join(statistics_in(folder))
        advice = f"there are {others}" if others else "make one with python -m analysis.stats"
        raise InputError(f"no statistical analysis '{name}' in {folder / STATS}: {advice}")
    contents, lines = {}, []
    for kind, fields in RESULTS.items():
        path = folder / STATS / name / f"{kind}.json"
        again = f"make it again with python -m analysis.stats {kind.partition('_')[0]}"
        if not path.exists():
            continue
        content = read_content(path, fields, again)
        if content["run"]["sha256"] != checksum(folder / RUN):
            lines.append(f"{path} is of another run than {folder / RUN}, it is left out: {again}")
        else:
            contents[kind] = content
    return contents, lines


def read_content(path, fields, again):
    """The content of a file of OUT/stats/<name>, which has these fields.

    fields: MODEL, or one of RESULTS; again: what to do otherwise. Raises InputError.
    """
    content, kind = read_json(path, again), path.stem
    rule = known({**HEADER, "kind": OneOf((kind,)), **fields}, *OPTIONAL)
    require(content, rule, path, again)
    for problem in CONTRADICTIONS.get(kind, lambda content: ())(content):
        raise InputError(f"{path}: {problem}: {again}")
    return content


def binned(content, where, *keys):
    """Yield what is wrong with the bins of an object and the number of its values, if anything."""
    edges = content["edges"]
    if any(low >= high for low, high in pairwise(edges)):
        yield f"{where}.edges do not rise"
    for key in keys:
        values = content[key]
        if values is not None and len(values) != len(edges) - 1:
            yield f"{where}.{key} has {len(values)} entries for {len(edges) - 1} bins"


def _fit_contradictions(content):
    for number, channel in enumerate(content["channels"]):
        where = f"channels[{number}]"
        yield from binned(channel, where, "data")
        for name, sums in {**channel["samples"], "total": channel}.items():
            for when in ("prefit", "postfit"):
                pair = sums[when] if name == "total" else {"": sums[when]}
                for key in ("total", "error") if name == "total" else ("",):
                    inside = {"edges": channel["edges"], when: pair[key]}
                    yield from binned(inside, f"{where}.{name}", when)
    size = len(content["correlation"]["names"])
    if [len(row) for row in content["correlation"]["matrix"]] != [size] * size:
        yield "correlation.matrix is not of the size of its names"


def _model_contradictions(content):
    for number, channel in enumerate(content["channels"]):
        where = f"channels[{number}]"
        yield from binned(channel, where, "data")
        for name, sums in channel["samples"].items():
            inside = {**sums, "edges": channel["edges"]}
            yield from binned(inside, f"{where}.samples.{name}", "yield", "error")


def _limit_contradictions(content):
    for name, signal in content["signals"].items():
        if scan := signal["scan"]:
            for values in (scan["cls_observed"], *scan["cls_expected"]):
                if values is not None and len(values) != len(scan["mu"]):
                    yield f"signals.{name}.scan has lists of different lengths"


def _plane_contradictions(content):
    if grid := content["grid"]:
        shape = [len(grid["x"])] * len(grid["y"])
        for values in (grid["observed"], *grid["expected"]):
            if values is not None and [len(row) for row in values] != shape:
                yield "grid has values that are not of the size of its axes"
    if content["y"] is not None and any(point["y"] is None for point in content["points"]):
        yield "points lack y"


def _distribution_contradictions(content):
    yield from binned(content["pseudo_statistic"], "pseudo_statistic", "counts")


def _bump_contradictions(content):
    yield from _distribution_contradictions(content)
    if content["best"] and content["best"]["mass"] not in content["masses"]:
        yield "best.mass is none of masses"
    for name, mass in content["masses"].items():
        yield from binned(mass, f"masses.{name}", "data", "background", "error")


def _anything_contradictions(content):
    yield from _distribution_contradictions(content)
    for name in TESTS:
        where = f"tests.{name}.pseudo_statistic"
        yield from binned(content["tests"][name]["pseudo_statistic"], where, "counts")
    if content["two_sample"]:
        scores = content["two_sample"]["scores"]
        yield from binned(scores, "two_sample.scores", "data", "background", "error")
    for name, mass in content["bump"].items():
        yield from binned(mass, f"bump.{name}", "data", "background", "error")


def _abcd_contradictions(content):
    plane = content["plane"]
    for axis in ("x_edges", "y_edges"):
        yield from binned({"edges": plane[axis]}, f"plane.{axis}")
    shape = [len(plane["y_edges"]) - 1] * (len(plane["x_edges"]) - 1)
    for values in (plane["background"], plane["data"], *plane["signals"].values()):
        if values is not None and [len(column) for column in values] != shape:
            yield "plane has values that are not of the size of its axes"


CONTRADICTIONS = {
    "model": _model_contradictions,
    "fit": _fit_contradictions,
    "limit": _limit_contradictions,
    "plane": _plane_contradictions,
    "abcd": _abcd_contradictions,
    "bump": _bump_contradictions,
    "anything": _anything_contradictions,
}
