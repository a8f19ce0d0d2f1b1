"""What a region is counted in: a feature, a detector's score, or nothing but the number of events.

A detector has scored the table of one region. Events of any region that lies in it have the same
score there; they are found by their identity.
"""

from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError
from analysis.hdf5 import Frame
from analysis.output import IDENTITY, SCORES, WEIGHT, varied_name
from analysis.scored import held_out, origin, require_detectors


@dataclass(frozen=True)
class Observable:
    """A number that each event has."""

    name: str  # of a feature or of a detector
    label: str  # LaTeX
    unit: str = ""  # empty where it has none
    kind: str = "feature"  # detector: its score; count: 0.5 for each event
    integer: bool = False


COUNT = Observable("events", "Events", kind="count")


def observable_of(results, feature=None, detector=None):
    """The Observable of a feature or of a detector, both names; COUNT where neither is given.

    Raises InputError or DeclarationError where there is none of this name.
    """
    if detector is not None:
        require_detectors(results.folder, [detector])
        return Observable(detector, f"Score of {detector}".replace("_", " "), kind="detector")
    if feature is None:
        return COUNT
    declared = results.features[results.choose_features([feature])[0]]
    return Observable(declared.name, declared.label, declared.unit, integer=declared.integer)


def values_of(results, region, sample, observable, variation=None):
    """What a sample has in a region: (events,) values, (events,) weights, (events,) table rows.

    Events that a detector was trained on are left out, and the others scaled up to their yield.

    region, sample: names; variation: name of one that the sample has, with a table
    Raises InputError, also for data of a region that is blind.
    """
    if results.regions[region].blind and results.sample(sample).kind == "data":
        raise InputError(f"region '{region}' is blind, its data is not read")
    if observable.kind == "detector":
        return scored_values(results, region, sample, observable.name, variation)
    names = () if observable.kind == "count" else (observable.name,)
    table = results.table(region, sample, [*names, WEIGHT], variation)
    weights = table[WEIGHT].to_numpy(float)
    values = table[observable.name].to_numpy(float) if names else np.full(len(weights), 0.5)
    if bad := int(np.sum(~np.isfinite(values))):
        raise InputError(
            f"sample '{sample}' has {bad} events in '{region}' whose {observable.name} is no number"
        )
    return values, weights, np.arange(len(weights))


def scored_values(results, region, sample, detector, variation=None):
    """As `values_of`, of the scores of a detector; events are found by their identity."""
    folder = results.folder / SCORES / detector
    again = f"python -m ml score {results.folder} --model {detector}"
    other = variation and results.sample(sample).variations[variation].kind == "object"
    scored = varied_name(sample, variation if other else None)
    path = folder / f"{scored}.hdf5"
    if not path.is_file():
        raise InputError(
            f"{folder} lacks sample '{scored}': {again}"
            + ", or leave the variation out with --systematic" * bool(other)
        )
    of = origin(path)["region"]
    with Frame(path, None, again) as frame:
        scores = frame.read_columns([*IDENTITY, "score", "trained_on"])
    table = results.table(region, sample, [*IDENTITY, WEIGHT], variation)
    places = places_of(
        np.stack([table[name].to_numpy() for name in IDENTITY], axis=1),
        np.stack([scores[name] for name in IDENTITY], axis=1),
    )
    if missing := int(np.sum(places < 0)):
        raise InputError(
            f"{missing} events of '{sample}' in '{region}' have no score, {path} is of region "
            f"'{of}': {again}, or train a detector on a region that holds '{region}'"
        )
    weights = table[WEIGHT].to_numpy(float)
    here = {name: scores[name][places] for name in ("score", "trained_on")}
    kept, scale = held_out(path, here, weights, again)
    return here["score"][kept].astype(float), weights[kept] * scale, np.flatnonzero(kept)


def places_of(identities, among):
    """Where events stand among others: (events,) positions, -1 for those that are not there.

    Of equal identities, the first is the first.

    identities, among: (events, 3) integers
    """
    keys = np.concatenate([among, identities])
    order = np.lexsort(keys.T)
    codes = np.empty(len(keys), int)
    codes[order] = np.cumsum(np.any(np.diff(keys[order], axis=0, prepend=-1), axis=1))
    known, asked = np.split(codes, [len(among)])
    both = np.maximum(1, max(len(known), len(asked)))  # more than any number of repetitions
    known, asked = (group * both + repetitions(group) for group in (known, asked))
    order = np.argsort(known, kind="stable")
    if not len(known):
        return np.full(len(asked), -1)
    found = order[np.minimum(np.searchsorted(known, asked, sorter=order), len(known) - 1)]
    return np.where(known[found] == asked, found, -1)


def repetitions(codes):
    """(events,) how many equal codes stand before each one."""
    order = np.argsort(codes, kind="stable")
    first = np.searchsorted(codes[order], codes[order])
    found = np.empty(len(codes), int)
    found[order] = np.arange(len(codes)) - first
    return found
