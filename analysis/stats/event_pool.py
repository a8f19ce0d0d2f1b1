"""The events that a search looks at: of all its regions and samples, each event once.

A score is a detector's, or one of the simple cuts of `analysis.rivals`. Events that one of the
detectors was trained on are left out, and the others of their sample scaled up to its yield.
"""

from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError, listed
from analysis.output import IDENTITY, WEIGHT
from analysis.rivals import RIVALS
from analysis.scored import require_detectors, scale_of
from analysis.stats.observable import observable_of, places_of, values_of
from analysis.topology import FEATURES, topology_of

MET = "e_T_miss"  # a cell of the matrix, in its unit

# The masses in which a search looks for a bump where nobody names others: that of all leptons,
# which a particle with three charged leptons has, those of pairs, and one with the neutrino.
MASSES = ("m_3l", "m_sfos", "m_pair_max", "m_T_3l")


@dataclass(frozen=True)
class Pool:
    """Events of several regions and samples, one after the other."""

    regions: tuple[str, ...]
    samples: tuple[str, ...]
    processes: tuple[str, ...]  # of the simulated background
    kind: np.ndarray  # (events,) background, data or signal
    sample: np.ndarray  # (events,) place in samples
    process: np.ndarray  # (events,) place in processes, -1 of what is no background
    weight: np.ndarray  # (events,)
    identity: np.ndarray  # (events, 3)
    inside: np.ndarray  # (regions, events) whether an event is in a region
    row: np.ndarray  # (regions, events) its row in the table of its sample there, or -1
    scores: dict[str, np.ndarray]  # (events,) each, larger for what is more anomalous
    labels: dict[str, str]  # of the scores, LaTeX
    columns: dict[str, np.ndarray]  # (events,) float64 each

    def of(self, kind):
        """(events,) whether an event is of a kind."""
        return self.kind == kind


def choose_masses(results, names, default=MASSES):
    """The features among which a bump is searched, of these names or those of `default`.

    Raises InputError or DeclarationError.
    """
    if names:
        chosen = results.choose_features(names)
        return tuple(chosen)
    chosen = tuple(name for name in default if name in results.features)
    if not chosen:
        known = [name for name in results.features if name.startswith("m_")]
        raise InputError(
            f"the run has none of {listed(default)}: name a mass with --mass, of {listed(known)}"
        )
    return chosen


def choose_searched(results, names, unblind):
    """The regions to be searched: (names, lines about those that are left out).

    names: those asked for; none: the signal regions whose data may be looked at
    Raises InputError where data may not be looked at.
    """
    notes = []
    if names:
        chosen = results.choose_regions(names)
    else:
        chosen = [name for name, region in results.regions.items() if region.role == "signal"]
        hidden = [name for name in chosen if _hidden(results, name, unblind)]
        if hidden and len(hidden) < len(chosen):
            notes.append(f"not looked at, since blind: {listed(hidden)} (--unblind)")
            chosen = [name for name in chosen if name not in hidden]
        if not chosen:
            raise InputError("the run has no signal region: name regions with -r")
    for name in chosen:
        if problem := _hidden(results, name, unblind):
            raise InputError(problem)
    return tuple(chosen), notes


def _hidden(results, name, unblind):
    region = results.regions[name]
    if region.blind:
        return (
            f"region '{name}' is blind and {results.folder} holds no data of it, and there is "
            "nothing to be found in Asimov data: run_rdf.py --unblind, or --inject for a study"
        )
    if region.declared_blind and not unblind:
        return f"region '{name}' is blind: look at its data with --unblind"
    return ""


def read_pool(results, regions, detectors=(), rivals=(), columns=(), signals=(), data=True):
    """Read the Pool of regions. Raises InputError.

    regions, columns: names, of features
    detectors, rivals: names, of detectors and of simple cuts that are scores
    signals: samples that are kept, of those that are signals
    data: whether data is read
    """
    detectors = require_detectors(results.folder, detectors) if detectors else []
    offered = [rival for rival in RIVALS if rival.name in rivals]
    needed = [name for rival in offered for name in rival.needs]
    wanted = list(dict.fromkeys([*columns, *needed]))
    kinds = ("background", "data") if data else ("background",)
    chosen = [
        s
        for s in results.samples
        if (s.kind in kinds or s.name in signals) and any(r in s.tables for r in regions)
    ]
    for kind in kinds:
        if not any(s.kind == kind for s in chosen):
            what = "simulated background" if kind == "background" else "data"
            raise InputError(f"{results.folder} has no {what} in {listed(regions)}")
    background = [s for s in chosen if s.kind == "background"]
    processes = tuple(dict.fromkeys(s.process for s in background))
    observables = [observable_of(results, detector=name) for name in detectors]
    parts = [_read_sample(results, s, regions, observables, wanted) for s in chosen]

    def joined(key):
        return np.concatenate([part[key] for part in parts], axis=-1)

    sizes = [len(part["weight"]) for part in parts]
    process = [processes.index(s.process) if s.kind == "background" else -1 for s in chosen]
    found = {name: joined(name) for name in wanted}
    scores = {name: joined(f"score {name}") for name in detectors}
    cuts = dict(found)
    if MET in cuts:
        cuts[MET] = cuts[MET] * results.energy_scale
    scores |= {rival.name: rival(cuts) for rival in offered}
    labels = {o.name: o.label for o in observables} | {r.name: r.label for r in offered}
    pool = Pool(
        tuple(regions),
        tuple(s.name for s in chosen),
        processes,
        np.repeat([s.kind for s in chosen], sizes),
        np.repeat(np.arange(len(chosen)), sizes),
        np.repeat(process, sizes),
        joined("weight"),
        joined("identity").T,
        joined("row") >= 0,
        joined("row"),
        scores,
        labels,
        found,
    )
    for region, inside in zip(regions, pool.inside, strict=True):
        _require_events(results, pool, region, inside, kinds)
    return pool


def _read_sample(results, sample, regions, observables, wanted):
    """Arrays of the events of a sample in any of the regions, each event once."""
    identity = np.empty((0, 3), np.int64)
    weight, columns = np.empty(0), {name: np.empty(0) for name in wanted}
    scores = {o.name: np.empty(0) for o in observables}
    row = np.empty((len(regions), 0), int)
    for number, region in enumerate(regions):
        if region not in sample.tables:
            continue
        names = list(dict.fromkeys([*IDENTITY, WEIGHT, *wanted]))
        table = results.table(region, sample.name, names)
        keys = np.stack([table[name].to_numpy(np.int64) for name in IDENTITY], axis=1)
        here = {}
        for o in observables:
            values, _, rows = values_of(results, region, sample.name, o)
            here[o.name] = np.full(len(keys), np.nan)  # of events it was trained on
            here[o.name][rows] = values
        places = places_of(keys, identity) if len(identity) else np.full(len(keys), -1)
        new = places < 0
        places[new] = len(identity) + np.arange(new.sum())
        identity = np.concatenate([identity, keys[new]])
        weight = np.concatenate([weight, table[WEIGHT].to_numpy(float)[new]])
        for name in wanted:
            columns[name] = np.concatenate([columns[name], table[name].to_numpy(float)[new]])
        for name, values in here.items():
            scores[name] = np.concatenate([scores[name], values[new]])
        row = np.concatenate([row, np.full((len(regions), new.sum()), -1)], axis=1)
        row[number, places] = np.arange(len(keys))
    for name, values in columns.items():
        if bad := int(np.sum(~np.isfinite(values))):
            raise InputError(f"sample '{sample.name}' has {bad} events whose {name} is no number")
    kept = np.ones(len(weight), bool)
    for values in scores.values():
        kept &= np.isfinite(values)
    if len(kept) and not kept.any():
        raise InputError(
            f"no event of sample '{sample.name}' is left that none of the detectors was trained "
            "on: train with --folds, or take fewer detectors"
        )
    return {
        "identity": identity[kept].T,
        "weight": weight[kept] * scale_of(weight, kept),
        "row": row[:, kept],
        **{name: values[kept] for name, values in columns.items()},
        **{f"score {name}": values[kept] for name, values in scores.items()},
    }


def _require_events(results, pool, region, inside, kinds):
    """Raise InputError where a region has no data or no expectation."""
    if "data" in kinds and not np.any(inside & pool.of("data")):
        raise InputError(f"{results.folder} has no data in '{region}': nothing to be searched")
    if not pool.weight[inside & pool.of("background")].sum() > 0:
        raise InputError(
            f"the simulated background in '{region}' has no positive yield: nothing to compare with"
        )


def fit_cells(pool):
    """(events,) the cell in which normalisations are fitted to each event.

    Cells are topologies times quarters of the background in E_T^miss, as far as the run has the
    features: see `fit_columns`.
    """
    cell = np.zeros(len(pool.weight), int)
    if set(FEATURES) <= set(pool.columns):
        cell = topology_of(np.stack([pool.columns[name] for name in FEATURES], axis=1))
    if MET in pool.columns:
        met = pool.columns[MET]
        quarters = np.quantile(met[pool.of("background")], [0.25, 0.5, 0.75])
        cell = 4 * cell + np.searchsorted(quarters, met)
    return cell


def fit_columns(results):
    """The features that `fit_cells` uses, of those that the run has."""
    return [name for name in (*FEATURES, MET) if name in results.features]
