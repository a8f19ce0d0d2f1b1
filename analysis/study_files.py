"""What `python -m ml` leaves in OUT/study for others to show: study.json and explained.json."""

import math
from dataclasses import asdict

from analysis.content import (
    ABOVE_0,
    FLAG,
    FROM_0,
    LARGEST,
    NUMBER,
    Fields,
    ListOf,
    MapOf,
    Maybe,
    OneOf,
    Value,
    line,
    require,
    whole,
)
from analysis.errors import InputError
from analysis.files import read_json
from analysis.output import STUDY
from analysis.records import COLUMN, KINDS, LABEL, LUMINOSITY, NAME, NETWORK_INPUT, PART_OF_BUDGET

STUDIED, EXPLAINED = "study.json", "explained.json"  # names of the files
STUDY_AGAIN = "make it again with python -m ml study"
EXPLAIN_AGAIN = "make it again with python -m ml explain"

# That can be drawn
RATIO = Value(
    "a number between -1e9 and 1e9",
    lambda value: not any(NUMBER.problems(value, "")) and abs(value) < 1e9,
)

# Numbers are null where they cannot be computed.
POINT = Fields(
    {
        "asked": ABOVE_0,
        "supported": FLAG,
        "threshold": Maybe(NUMBER),
        "background_efficiency": FROM_0,
        "background": NUMBER,
        "background_error": FROM_0,
        "background_events": whole(),
        "background_effective": FROM_0,
        "signal": NUMBER,
        "signal_events": whole(),
        "signal_efficiency": NUMBER,
        "signal_efficiency_error": Maybe(NUMBER),
        "improvement": RATIO,
        "improvement_low": Maybe(RATIO),
        "improvement_high": Maybe(RATIO),
        "significance": Maybe(NUMBER),
        "share_without_pair": Maybe(NUMBER),
        "improvement_with_pair": Maybe(NUMBER),
    }
)
SCORE = Fields(
    {
        "kind": OneOf(("detector", "rival", "supervised")),
        "label": LABEL,
        "frozen": Fields({"frozen": FLAG, "date": Maybe(line(50)), "reason": Maybe(line(10_000))}),
        "background_events": whole(),
        "background_effective": FROM_0,
        "signals": MapOf(
            NAME,
            Fields(
                {
                    "auc": NUMBER,
                    "auc_low": Maybe(NUMBER),
                    "auc_high": Maybe(NUMBER),
                    "points": ListOf(POINT, most=100),
                }
            ),
        ),
    }
)
AGAINST = Fields(
    {
        "geometric_mean": Maybe(FROM_0),
        "minimum": Maybe(NUMBER),
        "worst_signal": NAME,
        "signals": MapOf(
            NAME, Fields({"ratio": NUMBER, "low": Maybe(NUMBER), "high": Maybe(NUMBER)})
        ),
    }
)
STUDY_RULE = Fields(
    {
        "format": whole(1, 1),
        "region": NAME,
        "luminosity_ifb": Maybe(LUMINOSITY),
        "background_uncertainty": FROM_0,
        "seed": whole(),
        "replicas": whole(),
        "least_events": whole(),
        "working_points": ListOf(ABOVE_0, least=1, most=100),
        "frozen": Maybe(line(50)),
        "notes": ListOf(line(10_000), most=1000),
        "signals": MapOf(
            NAME,
            Fields(
                {
                    "label": LABEL,
                    "samples": ListOf(NAME),
                    "events": whole(),
                    "yield": NUMBER,
                    "share_without_pair": Maybe(NUMBER),
                }
            ),
        ),
        "best_rival": MapOf(
            NAME, Fields({"name": NAME, "improvement": NUMBER, "background_efficiency": FROM_0})
        ),
        "against_best_rival": MapOf(NAME, AGAINST),
        "scores": MapOf(NAME, SCORE),
    }
)

# Fields of points as they are called in study.json.
POINT_NAMES = {
    "background_asked": "asked",
    "background_supported": "supported",
    "background_threshold": "threshold",
    "background_background": "background",
    "background_background_error": "background_error",
    "events": "signal_events",
    "efficiency": "signal_efficiency",
    "efficiency_error": "signal_efficiency_error",
}

IDENTIFIED = {
    "sample": NAME,
    "process": NAME,
    "DatasetNumber": whole(-LARGEST),
    "RunNumber": whole(-LARGEST),
    "EventNumber": whole(-LARGEST),
}
MOMENTUM = {"pt": NUMBER, "eta": NUMBER, "phi": NUMBER}
OBJECTS = Fields(
    {
        "leptons": ListOf(
            Fields({"flavour": OneOf(("e", "mu")), "charge": whole(-1, 1), **MOMENTUM}), most=3
        ),
        "jets": ListOf(Fields({**MOMENTUM, "b": FLAG}), most=100),
        "met": Fields({"pt": NUMBER, "phi": NUMBER}),
    }
)
EVENT = Fields(
    {
        **IDENTIFIED,
        "weight": NUMBER,
        "topology": Maybe(COLUMN),
        "objects": Maybe(OBJECTS),
        "scores": MapOf(
            NAME, Fields({"score": NUMBER, "p_value": FROM_0, "background_above": whole()})
        ),
        "opinions": ListOf(Fields({"name": line(100, least=1), "value": Maybe(NUMBER)}), most=1000),
        "features": ListOf(
            Fields(
                {
                    "name": NETWORK_INPUT,
                    "contribution": NUMBER,
                    "value": Maybe(NUMBER),
                    "median": Maybe(NUMBER),
                    "low": Maybe(NUMBER),
                    "high": Maybe(NUMBER),
                }
            ),
            most=100,
        ),
        "neighbours": ListOf(
            Fields({**IDENTIFIED, "p_value": FROM_0, "distance": FROM_0}), most=100
        ),
    }
)
EXPLAINED_RULE = Fields(
    {
        "format": whole(1, 1),
        "region": NAME,
        "detector": NAME,
        "kind": OneOf(KINDS),
        "parts": ListOf(PART_OF_BUDGET, most=100),
        "background": MapOf(NAME, Fields({"events": whole(), "effective": FROM_0})),
        "notes": ListOf(line(10_000), most=1000),
        "events": ListOf(EVENT),
    }
)


def read_study(folder):
    """The content of study.json in an output folder, a Path; None without it. Raises InputError."""
    return _read(folder, STUDIED, STUDY_RULE, STUDY_AGAIN)


def read_explained(folder):
    """As `read_study`, of explained.json."""
    content = _read(folder, EXPLAINED, EXPLAINED_RULE, EXPLAIN_AGAIN)
    for event in content["events"] if content else ():
        if not {content["detector"]} <= set(event["scores"]) <= set(content["background"]):
            path = folder / STUDY / EXPLAINED
            raise InputError(f"{path} has events without scores or background: {EXPLAIN_AGAIN}")
    return content


def plain_point(point, names=POINT_NAMES):
    """A Passed as plain values; names: fields that are called otherwise."""
    entry = asdict(point)
    entry |= {f"background_{key}": value for key, value in entry.pop("cut").items()}
    return {names.get(key, key): value for key, value in entry.items()}


def without_nan(value):
    """The same JSON value with null for what is not finite."""
    if isinstance(value, dict):
        return {key: without_nan(inside) for key, inside in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(inside) for inside in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def share_lines(parts):
    """Lines that tell the parts of a portfolio: dicts of members, topologies and share."""
    return [
        f"{part['share']:.0%} of the background for {' + '.join(part['members'])} in "
        f"{', '.join(part['topologies'])}"
        for part in parts
    ]


def scores_in_order(study):
    """[(name, score)] of a study: detectors by mean ratio to the best rival, rivals, the bound."""
    kinds = ("detector", "rival", "supervised")

    def key(item):
        name, score = item
        mean = study["against_best_rival"].get(name, {}).get("geometric_mean") or 0.0
        return kinds.index(score["kind"]), -mean if score["kind"] == "detector" else 0.0

    return sorted(study["scores"].items(), key=key)


def p_text(p_value, effective):
    """A p-value; where no background is above, what one effective event of them would be."""
    return f"{p_value:.2g}" if p_value > 0 else f"<{1 / max(effective, 1.0):.1g}"


def _read(folder, name, rule, advice):
    path = folder / STUDY / name
    if not path.exists():
        return None
    content = read_json(path, advice)
    require(content, rule, path, advice)
    return content
