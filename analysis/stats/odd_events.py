"""The most anomalous events of data: what they are, how rare their scores, and why they are odd."""

from dataclasses import dataclass

import numpy as np

from analysis.output import IDENTITY
from analysis.stats.event_pool import MET
from analysis.stats.excess import typical_weight
from analysis.study_files import read_explained

MOST_CELLS = 6  # that are told of an event
FLAVOURS = {1: "e", 2: "mu"}
JETS, LEPTONS = 10, 3  # that travel with the tables


@dataclass(frozen=True)
class Rarity:
    """How much of the expectation is like an event or odder."""

    score: float
    p: float  # share of the expected background at or above
    background: float  # expected events there
    events: int  # simulated events there


def rarity(experiment, ranking, score, factor):
    """The Rarity of a score among the expectation of a region.

    factor: (events,) of the normalisations
    """
    place = int(np.sum(ranking.values >= score))
    above = ranking.events[: ranking.ends[place - 1] if place else 0]
    weight = experiment.reference * factor
    total = weight[ranking.events].sum()
    background = float(weight[above].sum())
    simulated = int(np.sum(experiment.reference[above] != 0))
    return Rarity(float(score), max(0.0, background / total), background, simulated)


def least_share(experiment, ranking, factor):
    """The share of one simulated event: an event that no simulated one is above has less."""
    total = np.sum((experiment.reference * factor)[ranking.events])
    return float(typical_weight(experiment, ranking.events) / total)


def top_events(search, experiment, fit, region, detector, number, events):
    """Places of the observed events with the highest score in a region (place), highest first.

    events: (events,) which may be told; equal scores are ordered by identity
    """
    pool = search.pool
    told = np.flatnonzero(events & pool.inside[region])
    identity = pool.identity[told]
    order = np.lexsort((*identity.T[::-1], -pool.scores[detector][told]))
    return told[order[:number]]


def tell(results, search, experiment, fit, region, place, detectors, explained):
    """An event as anything.json has it.

    region: place in the Pool; place: of the event; detectors: names of scores
    explained: {(sample, *identity): entry of explained.json} of the first detector
    """
    pool, factor = search.pool, fit.factors[search.pool.process]
    sample = pool.samples[pool.sample[place]]
    key = (sample, *pool.identity[place].tolist())
    scores = {
        name: vars(
            rarity(experiment, search.counted[region, name], pool.scores[name][place], factor)
        )
        for name in detectors
    }
    names = list(results.features)
    table = results.table(pool.regions[region], sample)
    row = table.iloc[int(pool.row[region, place])]
    if key in explained:
        cells = explained_cells(explained[key])
    else:
        cells = extreme_cells(results, search, experiment, region, place, factor)
    return {
        "sample": sample,
        **dict(zip(IDENTITY, key[1:], strict=True)),
        "region": pool.regions[region],
        "objects": objects(row, results.energy_scale),
        "scores": scores,
        "cells": [
            cell | {"label": results.features[cell["name"]].label}
            if cell["name"] in names
            else cell | {"label": cell["name"]}
            for cell in cells
        ],
        "cells_from": "explained" if key in explained else "quantiles",
    }


def read_explanations(results, detector):
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


def extreme_cells(results, search, experiment, region, place, factor):
    """The features of an event that the background of the region has most rarely.

    Each has as p the share of the expected background with a value as far out or further, on the
    side that is rarer, times two.
    """
    pool = search.pool
    inside = search.pool.inside[region] & (experiment.reference != 0)
    weight = (experiment.reference * factor)[inside]
    found = []
    for name in search.classifier.names:
        values, value = pool.columns[name][inside], pool.columns[name][place]
        sides = [weight[values >= value].sum(), weight[values <= value].sum()]
        p = min(1.0, 2 * max(0.0, min(sides)) / weight.sum())
        found.append({"name": name, "value": float(value), "p": float(p), "contribution": None})
    return sorted(found, key=lambda cell: cell["p"])[:MOST_CELLS]


def objects(row, energy_scale):
    """Leptons, jets and missing momentum of a row of a table; None where they do not travel."""
    if not {"lepEta_0", "jetEta_0", MET} <= set(row.index):
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
