"""The most anomalous events, explained: what is in them, what the detectors say, which features
drive that, and which ordinary events are most like them.

Features are compared by rank, so that none counts more for its unit: each becomes the share of the
background of the event's topology that is below it, and the distance of two events is the root of
the mean squared difference over the detector's features.
"""

from dataclasses import dataclass

import numpy as np

from analysis import console, topology
from analysis.errors import InputError, M3LError
from analysis.output import IDENTITY, MODELS, SCORES, read_run
from analysis.performance import ONE_SIGMA, effective_events, survival
from analysis.records import record_errors
from analysis.scored import detectors_shown, origin, require_detectors
from analysis.study_files import p_text, share_lines
from ml.dataset import Dataset, concatenate
from ml.ensemble import Ensemble
from ml.score_files import read_scores

FEATURES, NEIGHBOURS = 10, 5  # that are told, at most
ORDINARY = 0.01  # p-value that an ordinary event has at least
FLAVOURS = {1: "e", 2: "mu"}
JETS = 10  # that travel with an event


@dataclass(frozen=True)
class Place:
    """Where an event stands."""

    sample: object  # ml.dataset.Sample
    row: int  # of its table


def explain_events(folder, detector=None, number=10, say=print):
    """Explain the most anomalous events of a run: the content of OUT/study/explained.json.

    folder: a Path; detector: a name, None: the one that pictures show; number: of events
    say: is given lines about what is left out
    Events are of data, or of simulated background where there is none or the region is blind.
    Raises InputError.
    """
    notes = []

    def note(line):
        notes.append(line)
        say(line)

    require_detectors(folder, [detector] if detector else None)
    others = detectors_shown(folder)
    detector = detector or others[0]
    dataset, ensemble = open_detector(folder, detector)
    run = read_run(folder)
    with record_errors(folder):
        scale = run["layout"]["energy_scale"]
        kind = kind_of(dataset, run)
    scored = scores_of(dataset, detector, kind)
    places = most_anomalous(dataset, scored, kind, number)
    events = concatenate(read_event(dataset, place) for place in places)
    sizes, standings = standings_of(dataset, detector, others, kind, places, note)
    reasons = reasons_of(dataset, ensemble, scored, events, note)
    config = getattr(ensemble.models[0].record_, "config", {})
    return {
        "format": 1,
        "region": dataset.region,
        "detector": detector,
        "kind": kind,
        "parts": [dict(part) for part in config.get("parts", ())],
        "background": sizes,
        "notes": notes,
        "events": [
            identified(place.sample, events.identity[n])
            | {"weight": float(events.weight[n]), "objects": objects_of(place, scale)}
            | {"scores": standings[n]}
            | reasons[n]
            for n, place in enumerate(places)
        ],
    }


def open_detector(folder, detector):
    """The Dataset that a detector has scored, and the detector's Ensemble. Raises InputError."""
    path = folder / MODELS / detector
    file = min((folder / SCORES / detector).glob("[!.]*.hdf5"))
    about = origin(file)
    dataset = Dataset.open(folder, about["region"])
    if not path.is_dir():
        raise InputError(f"no model {path}, which gave the scores: train and score again")
    ensemble = Ensemble.load(path, dataset)
    if about.get("models") != [model.record_.signature for model in ensemble.models]:
        raise InputError(
            f"the scores in {file.parent} are of another model than {path}: "
            f"python -m ml score {folder} --model {detector}"
        )
    return dataset, ensemble


def kind_of(dataset, run):
    """The kind of events that are explained: data where it is there and may be looked at.

    run: content of run.json
    """
    blind = {r["name"]: r["blind"] for r in run.get("regions", ())}.get(dataset.region, False)
    seen = (not blind or run.get("unblind", False)) and any(
        dataset.rows(sample) for sample in dataset.of_kind("data")
    )
    return "data" if seen else "background"


def scores_of(dataset, detector, kind):
    """{name: ScoredEvents} of the samples of simulated background and of a kind."""
    samples = dataset.of_kind("background", kind)
    return {sample.name: read_scores(dataset, detector, sample) for sample in samples}


def most_anomalous(dataset, scored, kind, number):
    """The Places of the highest scores of a kind, highest first; equal ones by identity."""
    ranked = []
    for sample in dataset.of_kind(kind):
        one = scored[sample.name]
        identity = np.stack([one.columns[name] for name in IDENTITY], axis=1)
        for place in np.lexsort((*identity.T[::-1], -one.score))[:number]:
            row = int(one.rows[place])
            ranked.append((-one.score[place], *identity[place], Place(sample, row)))
    if not ranked:
        raise InputError(f"no events of kind {kind} in {dataset.folder}: nothing to explain")
    return [entry[-1] for entry in sorted(ranked, key=lambda entry: entry[:4])[:number]]


def read_event(dataset, place):
    """The Events with the one at a Place."""
    with place.sample.open() as table:
        return dataset.read(table, place.sample, place.row, place.row + 1)


def identified(sample, identity):
    """Which event it is."""
    return {"sample": sample.name, "process": sample.process} | {
        name: int(value) for name, value in zip(IDENTITY, identity, strict=True)
    }


def objects_of(place, scale):
    """Leptons, jets and missing momentum of an event; None where the table does not have them.

    scale: energies of the matrix to GeV
    """
    leptons = [f"lep{what}_{k}" for what in ("Pt", "Eta", "Phi", "Flavor") for k in range(3)]
    leptons += [f"lepCharge_{k}" for k in range(3)]
    jets = [f"jet{what}_{k}" for what in ("Pt", "Eta", "Phi", "BTag") for k in range(JETS)]
    names = [*leptons, *jets, "e_T_miss", "met_Phi"]
    with place.sample.open() as table:
        if not set(names) <= set(table.columns):
            return None
        values = table.read(names, place.row, place.row + 1, float)[0]
    x = dict(zip(names, map(float, values), strict=True))

    def momentum(kind, k):
        return {"pt": x[f"{kind}Pt_{k}"], "eta": x[f"{kind}Eta_{k}"], "phi": x[f"{kind}Phi_{k}"]}

    return {
        "leptons": [
            {"flavour": FLAVOURS[int(x[f"lepFlavor_{k}"])], "charge": int(x[f"lepCharge_{k}"])}
            | momentum("lep", k)
            for k in range(3)
            if x[f"lepPt_{k}"] > 0 and int(x[f"lepFlavor_{k}"]) in FLAVOURS
        ],
        "jets": [
            momentum("jet", k) | {"b": x[f"jetBTag_{k}"] > 0}
            for k in range(JETS)
            if x[f"jetPt_{k}"] > 0
        ],
        "met": {"pt": x["e_T_miss"] * scale, "phi": x["met_Phi"]},
    }


# ---- what detectors say


def standings_of(dataset, detector, others, kind, places, note):
    """{detector: size of its background}, and for each Place {detector: its standing}.

    detector: must be there; others: names, those whose scores do not fit are told to `note`
    Events that trained a detector have no standing with it.
    """
    sizes, standings = {}, [{} for _ in places]
    for name in (detector, *(other for other in others if other != detector)):
        try:
            scored = scores_of(dataset, name, kind)
        except M3LError as error:
            if name == detector:
                raise
            note(f"{name} is left out: {error}")
            continue
        background, weight = held_out(dataset, scored)
        sizes[name] = {"events": len(weight), "effective": effective_events(weight)}
        for place, said in zip(places, standings, strict=True):
            one = scored[place.sample.name]
            for score in one.score[one.rows == place.row]:
                said[name] = standing(score, background, weight)
    return sizes, standings


def held_out(dataset, scored):
    """(events,) scores and weights of the simulated background that did not train the detector.

    scored: {name: ScoredEvents}. Raises InputError where the weights add up to nothing.
    """
    samples = [scored[sample.name] for sample in dataset.of_kind("background")]
    if not samples or not sum(one.weight.sum() for one in samples) > 0:
        raise InputError(f"no simulated background with weight in {dataset.folder}")
    return tuple(
        np.concatenate([getattr(one, what) for one in samples]) for what in ("score", "weight")
    )


def standing(score, background, weight):
    """A score, and how much of the (events,) background with its weights is as anomalous."""
    share = float(survival(np.array([score]), background, weight)[0])
    return {
        "score": float(score),
        "p_value": min(max(share, 0.0), 1.0),  # negative weights may lead out of the range
        "background_above": int(np.sum(background >= score)),
    }


def reasons_of(dataset, ensemble, scored, events, note):
    """For each of some Events its topology, opinions, driving features and ordinary neighbours."""
    samples = dataset.of_kind("background")
    background = concatenate(dataset.load([s])[scored[s.name].rows] for s in samples)
    values, weight = held_out(dataset, scored)
    p_values = np.clip(survival(values, values, weight), 0.0, 1.0)
    known = set(topology.FEATURES) <= set(dataset.names)
    if not known:
        note("the tables do not tell topologies: events are compared with all background")
    where_b, where = (
        topology.topology_of(part.columns(topology.FEATURES)) if known else np.zeros(len(part), int)
        for part in (background, events)
    )
    adds, opinions = contributions_of(ensemble, events, note), ensemble.opinions(events)
    reasons = [None] * len(events)
    for place in np.unique(where):
        rows, alike = np.flatnonzero(where == place), where_b == place
        near = neighbours_of(events[rows], background[alike], p_values[alike], ensemble.features)
        told = told_values(events[rows], background[alike], ensemble.features)
        for k, row in enumerate(rows):
            reasons[row] = {
                "topology": topology.TOPOLOGIES[place] if known else None,
                "opinions": [{"name": n, "value": number(v[row])} for n, v in opinions.items()],
                "features": driving({name: v[row] for name, v in adds.items()}, told[k]),
                "neighbours": near[k],
            }
    return reasons


def contributions_of(ensemble, events, note):
    """{name: (events,)} what each feature, or another part of the score, adds; {} if unknown."""
    try:
        return ensemble.score(events, errors=True).errors
    except InputError as error:
        note(f"{ensemble.path.name}: no features are named: {error}")
        return {}


def told_values(events, background, names):
    """For each of the Events {feature: its value, and what it is in the background}."""
    weight = np.maximum(background.weight, 0.0)
    middle = central(background.columns(names), weight)
    return [
        {
            name: dict(zip(("value", "median", "low", "high"), map(number, four), strict=True))
            for name, four in zip(names, np.vstack([row, middle]).T, strict=True)
        }
        for row in events.columns(names)
    ]


def central(values, weight):
    """(3, features) median and ends of the central 68 % of (events, features); NaN for none."""
    if not weight.sum() > 0:
        return np.full((3, values.shape[1]), np.nan)
    order = np.argsort(values, axis=0, kind="stable")
    passed = np.cumsum(weight[order], axis=0) / weight.sum()
    ranked = np.take_along_axis(values, order, axis=0)
    places = [(passed < share).sum(axis=0) for share in (0.5, *ONE_SIGMA)]
    last = len(values) - 1
    return np.stack([ranked[np.minimum(p, last), np.arange(values.shape[1])] for p in places])


UNKNOWN = dict.fromkeys(("value", "median", "low", "high"))  # of what is no feature


def driving(adds, told):
    """What makes an event most anomalous, what adds most first.

    adds: {name: contribution}, NaN where there is none; told: {feature: values}
    """
    found = sorted((name for name in adds if adds[name] > 0), key=lambda name: -adds[name])
    return [
        {"name": name, "contribution": float(adds[name])} | told.get(name, UNKNOWN)
        for name in found[:FEATURES]
    ]


def neighbours_of(events, background, p_values, names):
    """For each of the Events of a topology the ordinary background events that are nearest."""
    ordinary = p_values >= ORDINARY
    reference = background.columns(names)
    ranks, others = ranks_in(reference, events.columns(names)), ranks_in(reference, reference)
    found = []
    for identity, rank in zip(events.identity, ranks, strict=True):
        distance = np.sqrt(np.mean((others - rank) ** 2, axis=1))
        allowed = ordinary & (background.identity != identity).any(axis=1)
        order = np.argsort(np.where(allowed, distance, np.inf), kind="stable")[:NEIGHBOURS]
        found.append(
            [
                identified(background.samples[background.source[place]], background.identity[place])
                | {"p_value": float(p_values[place]), "distance": float(distance[place])}
                for place in order
                if allowed[place]
            ]
        )
    return found


def ranks_in(reference, values):
    """(events, features) shares of a (background, features) reference below values, half at."""
    ranks = np.zeros(values.shape, np.float32)
    for place, (column, wanted) in enumerate(zip(reference.T, values.T, strict=True)):
        ordered = np.sort(column)
        sides = [np.searchsorted(ordered, wanted, side) for side in ("left", "right")]
        ranks[:, place] = np.add(*sides) / max(2 * len(ordered), 1)
    return ranks


def number(value):
    """A float; None for what is not finite."""
    return float(value) if np.isfinite(value) else None


# ---- for the terminal


def as_text(content):
    """Yield lines about the explained events, in the width of the terminal."""
    yield (
        f"the most anomalous events of {content['kind']} in {content['region']}, "
        f"for {content['detector']}"
    )
    for place, line in enumerate(share_lines(content["parts"]), 1):
        yield from wrapped(f"part {place}: ", line)
    for rank, event in enumerate(content["events"], 1):
        yield ""
        yield from event_lines(rank, event, content)


def event_lines(rank, event, content):
    """Yield lines about one event."""
    where = f", topology {event['topology']}" if event["topology"] else ""
    yield from wrapped(f"{rank:>2}. ", f"{name_of(event)}{where}")
    if objects := event["objects"]:
        yield from wrapped("    ", "; ".join(object_words(objects)))
    for name, said in event["scores"].items():
        size = content["background"][name]["effective"]
        yield from wrapped(
            f"    {name}: ",
            f"score {said['score']:.4g}, p {p_text(said['p_value'], size)}, "
            f"background events at or above: {said['background_above']}",
        )
    said = [o for o in event["opinions"] if o["value"] is not None]
    if said:
        told = ", ".join(f"{o['name']} {words(o['value'])}" for o in said)
        yield from wrapped("    -ln(survival): ", told)
    rows = []
    for one in event["features"]:
        known = one["low"] is not None
        interval = f"{words(one['low'])} to {words(one['high'])}" if known else words(None)
        numbers = (f"{one['contribution']:.3g}", words(one["value"]), words(one["median"]))
        rows.append((one["name"], *numbers, interval))
    heads = ("feature", "adds", "value", "median", "central 68 %")
    for line in console.table(heads, rows, console.width() - 4):
        yield f"    {line}"
    for one in event["neighbours"]:
        yield from wrapped(
            "    near: ", f"{name_of(one)}, distance {one['distance']:.3f}, p {one['p_value']:.2g}"
        )


def name_of(event):
    """Which event it is, in words."""
    return f"{event['sample']}, " + ", ".join(
        f"{name.removesuffix('Number').lower()} {event[name]}" for name in IDENTITY
    )


def object_words(objects):
    """What is in an event: pT in GeV, eta and phi."""
    for one in objects["leptons"]:
        sign = {1: "+", -1: "-"}.get(one["charge"], "")
        yield f"{one['flavour']}{sign} {one['pt']:.0f} ({one['eta']:.2f}, {one['phi']:.2f})"
    for one in objects["jets"]:
        kind = "b-jet" if one["b"] else "jet"
        yield f"{kind} {one['pt']:.0f} ({one['eta']:.2f}, {one['phi']:.2f})"
    yield f"E_T^miss {objects['met']['pt']:.0f} ({objects['met']['phi']:.2f})"


def words(value):
    """A number with four digits, or - for none."""
    return "-" if value is None else f"{value:.4g}"


def wrapped(start, text):
    """Lines of a text behind `start`, in the width of the terminal."""
    return console.hanging(start, text, console.width())
