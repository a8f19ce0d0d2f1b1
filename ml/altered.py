"""Background events that were changed on purpose, to see whether a detector tells them apart.

An altered event keeps the identity, sample and weight of the event that it was made from, and
whatever it is made of comes from the fold of that event. So the model that left this fold alone,
and scores it, has seen nothing of it.
"""

from dataclasses import dataclass, replace

import numpy as np

from analysis.errors import InputError
from analysis.output import read_run
from analysis.records import record_errors
from ml.dataset import Events
from ml.recompute import read_objects, recompute

MASSES = {1: 0.000511, 2: 0.10566}  # GeV, of electrons and muons
MOMENTUM = ("Pt", "Eta", "Phi")
LEPTONS = 3  # that travel with an event


@dataclass(frozen=True)
class Altered:
    """Events that a detector should tell from ordinary background."""

    name: str
    events: Events
    tried: int  # before the cuts of the region


def scaled(dataset, events, numbers, factors, number, seed):
    """The Altered whose leading leptons have pT times a factor, computed again by the C++.

    dataset: Dataset; events: Events of its background; numbers: of leptons that are changed, from
    the leading one on; number: events each, at most. E_T^miss stays as it is. The first one, with
    factor 1, is a control.
    """
    rows, objects = _with_objects(dataset, events, number, seed)
    changes = {"unchanged": (rows, {})}
    for leptons in numbers:
        who = "lepton 1" if leptons == 1 else f"leptons 1-{leptons}"
        for factor in factors:
            new = {f"lepPt_{k}": factor * objects[f"lepPt_{k}"][rows] for k in range(leptons)}
            changes[f"{who} x {factor:g}"] = rows, new
    return _recomputed(dataset, events, objects, changes)


def exchanged(dataset, events, number, seed):
    """The Altered in which types of objects changed places, computed again by the C++.

    Electrons become muons and muons electrons: flavour and mass change, momentum and charge stay.
    The k-th leading lepton and the k-th leading jet exchange momenta, for as many as there are of
    both: pT, eta and phi, while mass, flavour, charge and b tag stay with the type. Events without
    a jet are not among the latter.
    """
    rows, objects = _with_objects(dataset, events, number, seed)
    flavours = {}
    for k in range(LEPTONS):
        old = objects[f"lepFlavor_{k}"][rows]
        flavours[f"lepFlavor_{k}"] = np.select([old == 1, old == 2], [2, 1], old)
        mass = objects[f"lepM_{k}"][rows]
        flavours[f"lepM_{k}"] = np.select([old == 1, old == 2], [MASSES[2], MASSES[1]], mass)
    jets = rows[(objects["jetPt_0"][rows] > 0) & (objects["lepPt_0"][rows] > 0)]
    momenta = {}
    for k in range(min(LEPTONS, sum(name.startswith("jetPt_") for name in objects))):
        both = (objects[f"lepPt_{k}"][jets] > 0) & (objects[f"jetPt_{k}"][jets] > 0)
        for what in MOMENTUM:
            one, two = f"lep{what}_{k}", f"jet{what}_{k}"
            a, b = objects[one][jets], objects[two][jets]
            momenta[one], momenta[two] = np.where(both, b, a), np.where(both, a, b)
    changes = {
        "unchanged": (rows, {}),
        "electrons <-> muons": (rows, flavours),
        "leptons <-> jets": (jets, momenta),
    }
    return _recomputed(dataset, events, objects, changes)


def shuffled(dataset, events, folds, number, seed):
    """The Altered whose columns come from different events of a fold each.

    Events are drawn by weight, those with a negative one not at all, and each column is permuted
    among those of a fold. So every column keeps its distribution, and nothing else is kept.
    """
    random = np.random.default_rng([seed, 1])
    drawn = _drawn(dataset, events, number, random)
    fold = drawn.fold(folds)
    parts = [np.flatnonzero(fold == k) for k in range(folds)]
    features, counts = drawn.features.copy(), drawn.counts.copy()
    for column in _columns(dataset):
        source = np.arange(len(drawn))
        for part in parts:
            source[part] = random.permutation(part)
        features[:, column.inputs] = drawn.features[source][:, column.inputs]
        counts[:, column.counts] = drawn.counts[source][:, column.counts]
    return [Altered("shuffled", replace(drawn, features=features, counts=counts), len(drawn))]


def noise(dataset, events, number, seed):
    """The Altered whose columns are drawn at random, each for itself.

    `uniform`: from the smallest to the largest value that the background has. `normal`: with the
    background's mean and spread, within these ends. Whole numbers stay whole, and each category
    is as probable as the others.
    """
    random = np.random.default_rng([seed, 2])
    made = []
    for name in ("uniform", "normal"):
        drawn = _drawn(dataset, events, number, random)
        features, counts = drawn.features.copy(), drawn.counts.copy()
        for column in _columns(dataset):
            if column.categories:
                chosen = random.integers(0, len(column.inputs), len(drawn))
                features[:, column.inputs] = np.eye(len(column.inputs))[chosen]
                continue
            known = column.values(events)
            values = _random(name, known, np.maximum(events.weight, 0), len(drawn), random)
            features[:, column.inputs] = values[:, None]
            counts[:, column.counts] = values[:, None]
        made.append(Altered(name, replace(drawn, features=features, counts=counts), len(drawn)))
    return made


@dataclass(frozen=True)
class _Column:
    """A column of the tables, and where it is in Events."""

    inputs: list[int]  # of features; several for categories
    counts: list[int]  # of numbers of objects: one or none
    categories: bool

    def values(self, events):
        """(events,) its values."""
        if self.inputs:
            return events.features[:, self.inputs[0]]
        return events.counts[:, self.counts[0]]


def _columns(dataset):
    """The _Columns of a Dataset."""
    places = {}
    for number, feature in enumerate(dataset.features):
        places.setdefault(feature.column, ([], []))[0].append(number)
    for number, name in enumerate(dataset.types):
        places.setdefault(f"n_{name}", ([], []))[1].append(number)
    coded = {feature.column for feature in dataset.features if feature.category is not None}
    return [_Column(*found, name in coded) for name, found in places.items()]


def _random(name, known, weight, number, random):
    """(number,) random values like the (events,) known ones."""
    low, high = float(known.min()), float(known.max())
    whole = bool((known == np.rint(known)).all())
    if name == "uniform":
        if whole:
            return random.integers(int(low), int(high) + 1, number)
        return random.uniform(low, high, number)
    mean = np.average(known, weights=weight)
    spread = np.sqrt(np.average((known - mean) ** 2, weights=weight))
    values = np.clip(random.normal(mean, spread, number), low, high)
    return np.rint(values) if whole else values


def _drawn(dataset, events, number, random):
    """Events with weight 1, drawn by their weight."""
    weight = np.maximum(events.weight, 0.0)
    if not weight.sum() > 0:
        raise InputError(f"no background event of {dataset.folder} has a weight above 0")
    size = min(number, len(events))
    rows = np.sort(random.choice(len(events), size, p=weight / weight.sum()))
    return replace(events[rows], weight=np.ones(size))


def _with_objects(dataset, events, number, seed):
    """Positions of some events all of whose objects travel with them, and the objects of all."""
    objects = read_objects(dataset, dataset.of_kind("background"))
    possible = np.flatnonzero(_all_travel(dataset, events, objects))
    if not len(possible):
        raise InputError(f"no background event of {dataset.folder} carries all of its objects")
    random = np.random.default_rng([seed, 3])
    size = min(number, len(possible))
    return np.sort(random.choice(possible, size, replace=False)), objects


def _all_travel(dataset, events, objects):
    """(events,) whether an event has no more objects than travel with it."""
    layout = read_run(dataset.folder)["layout"]
    travel = np.ones(len(events), bool)
    with record_errors(dataset.folder):
        kinds = [kind["of"] for kind in layout["types"]]
    for of in sorted(set(kinds)):
        total = events.counts[:, [kind == of for kind in kinds]].sum(axis=1)
        travel &= total <= sum(name.startswith(f"{of}Pt_") for name in objects)
    return travel


def _recomputed(dataset, events, objects, changes):
    """The Altered of {name: (rows, {column: (rows,) new values})}, by one call of the C++."""
    columns = {
        name: np.concatenate([new.get(name, old[rows]) for rows, new in changes.values()])
        for name, old in objects.items()
    }
    made = recompute(dataset, columns)
    origin = events[np.concatenate([rows for rows, _ in changes.values()])]
    every, altered, start = made.of(origin), [], 0
    for name, (rows, _) in changes.items():
        here = (made.positions >= start) & (made.positions < start + len(rows))
        altered.append(Altered(name, every[here], len(rows)))
        start += len(rows)
    return altered
