"""The most anomalous events of data: what they are, how rare their scores, and why they are odd."""

from dataclasses import dataclass

import numpy as np

from analysis.features import CARRIED as TRAVELLING
from analysis.output import IDENTITY
from analysis.stats.event_pool import MET
from analysis.study_files import read_explained

MOST_CELLS = 6  # that are told of an event
FLAVOURS = {1: "e", 2: "mu"}
MOST = {each.of: each.multiplicity for each in TRAVELLING}  # objects that have columns
JETS, LEPTONS = MOST["jet"], MOST["lep"]
CARRIED = (
    *(f"lep{what}_{n}" for what in ("Pt", "Eta", "Flavor", "Charge") for n in range(LEPTONS)),
    *(f"jet{what}_{n}" for what in ("Pt", "Eta", "BTag") for n in range(JETS)),
    MET,
)


@dataclass(frozen=True)
class Rarity:
    """How much of the expectation is like an event or odder."""

    score: float
    p: float  # share of the expected background at or above
    background: float  # expected events there
    events: int  # simulated events there


def odd_events(results, search, experiment, fit, number):
    """The observed events with the highest score in the first region, highest first, as JSON.

    The score is the first of the search. Events of pseudo-data are none: they repeat simulation.
    """
    pool, detector = search.pool, next(iter(search.pool.scores))
    data = pool.of("data") & pool.inside[0] & (experiment.counts > 0)
    places = np.flatnonzero(data)
    # Equal scores by identity, so that the order is always the same.
    order = np.lexsort((*pool.identity[places].T[::-1], -pool.scores[detector][places]))
    places = places[order[:number]]
    weight = experiment.reference * fit.factor
    explained = _explanations(results, detector)
    rows = _rows(results, pool, places)
    told = []
    for place in places:
        identity = pool.identity[place].tolist()
        sample = pool.samples[pool.sample[place]]
        key = (sample, *identity)
        cells = (
            explained_cells(explained[key])
            if key in explained
            else extreme_cells(search, weight, place)
        )
        told.append(
            {
                "sample": sample,
                **dict(zip(IDENTITY, identity, strict=True)),
                "region": pool.regions[0],
                "objects": objects(rows[place], results.energy_scale),
                "scores": {
                    name: vars(rarity(weight, search.counted[0, name], score[place]))
                    for name, score in pool.scores.items()
                },
                "cells": [cell | {"label": _label(results, cell["name"])} for cell in cells],
                "cells_from": "explained" if key in explained else "quantiles",
            }
        )
    return told


def effective_events(search, experiment, region=0):
    """The number of simulated events of equal weights that have the same relative error."""
    events = search.pool.inside[region]
    squares = experiment.variance[events].sum()
    return float(experiment.reference[events].sum() ** 2 / squares) if squares > 0 else 0.0


def rarity(weight, ranking, score):
    """The Rarity of a score among the events of a Ranking.

    weight: (events of the Pool,) in the expectation
    """
    place = int(np.sum(ranking.values >= score))
    above = weight[ranking.events[: ranking.ends[place - 1] if place else 0]]
    background = float(above.sum())
    p = max(0.0, background / weight[ranking.events].sum())
    return Rarity(float(score), p, background, int(np.sum(above != 0)))


def _label(results, name):
    """The label of a feature; a category of a code, such as flcomp=2, has its name."""
    return results.features[name].label if name in results.features else name


def _rows(results, pool, places):
    """{place: row of the table of the first region} of some events, as far as it is needed."""
    rows = {}
    for number in np.unique(pool.sample[places]):
        here = places[pool.sample[places] == number]
        with results.open_table(pool.regions[0], pool.samples[number]) as table:
            columns = [name for name in CARRIED if name in table.columns]
        table = results.table(pool.regions[0], pool.samples[number], columns)
        for place in here:
            rows[place] = table.iloc[int(pool.row[0, place])]
    return rows


def _explanations(results, detector):
    """{(sample, *identity): entry} of OUT/study/explained.json, empty where it is of another."""
    content = read_explained(results.folder)
    if not content or content["detector"] != detector:
        return {}
    return {
        (event["sample"], *(event[name] for name in IDENTITY)): event for event in content["events"]
    }


def explained_cells(event):
    """The inputs that made the score of an explained event."""
    return [
        {
            "name": feature["name"],
            "value": feature["value"],
            "p": None,
            "contribution": feature["contribution"],
        }
        for feature in event["features"][:MOST_CELLS]
    ]


def extreme_cells(search, weight, place):
    """The features of an event that the background of the first region has most rarely.

    Each has as p the share of the expectation with a value as far out or further, on the side that
    is rarer, times two.

    weight: (events,) in the expectation; place: of the event
    """
    pool = search.pool
    simulated = pool.inside[0] & (weight != 0)
    weight = weight[simulated]
    found = []
    for name in search.classifier.names:
        values, value = pool.columns[name][simulated], pool.columns[name][place]
        sides = [weight[values >= value].sum(), weight[values <= value].sum()]
        p = min(1.0, 2 * max(0.0, min(sides)) / weight.sum())
        found.append({"name": name, "value": float(value), "p": float(p), "contribution": None})
    return sorted(found, key=lambda cell: cell["p"])[:MOST_CELLS]


def objects(row, energy_scale):
    """Leptons, jets and missing momentum of a row of a table; None where they do not travel."""
    if not set(CARRIED) <= set(row.index):
        return None
    leptons = [
        {
            "flavour": FLAVOURS[int(row[f"lepFlavor_{n}"])],
            "charge": int(row[f"lepCharge_{n}"]),
            "pt": float(row[f"lepPt_{n}"]),
            "eta": float(row[f"lepEta_{n}"]),
        }
        for n in range(LEPTONS)
        if row[f"lepPt_{n}"] > 0
    ]
    jets = [
        {
            "pt": float(row[f"jetPt_{n}"]),
            "eta": float(row[f"jetEta_{n}"]),
            "b": bool(row[f"jetBTag_{n}"]),
        }
        for n in range(JETS)
        if row[f"jetPt_{n}"] > 0
    ]
    return {"leptons": leptons, "jets": jets, "met": float(row[MET]) * energy_scale}
