"""Scores and latent vectors on disk, one file per sample, keyed by the identity of the event.

<detector> is the name of the folder of the model: several stand side by side.

`pandas.read_hdf(path)` gives a table with DatasetNumber, RunNumber, EventNumber and

- in `OUT/scores/<detector>/<sample>.hdf5`: `wgt_SG`; `score`, log10 of the mean squared error;
  `fold` of the event; `trained_on`, whether a model that scored it was trained on it; on
  request `error_<feature>`, and every column of the table that was scored.
- in `OUT/latent/<detector>/<sample>.hdf5`: `wgt_SG`, `fold` and `latent_0`, `latent_1`...

Rows are in the order of the table. The attribute `m3l` of the node tells model and sample, as
JSON: `store.get_storer("scores").attrs.m3l`.
"""

from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from analysis.errors import InputError
from analysis.files import atomic_file
from analysis.hdf5_writer import FrameWriter
from analysis.output import IDENTITY, LATENT, SCORES, WEIGHT
from analysis.scored import origin, read_scored
from ml.dataset import Sample

# Of scores, to find quantiles without keeping scores; from -1e5 to 1e5 in steps of 0.0005 at 0 and
# of a thousandth further out.
EDGES = 0.5 * np.sinh(np.linspace(-12.9, 12.9, 25_801))


@dataclass(frozen=True)
class Summary:
    """What was written for one sample."""

    sample: Sample
    events: int
    mean: float  # of the scores, weighted with wgt_SG; NaN without events
    median: float  # of the scores, unweighted, to 0.001 of its size, or absolutely below 1
    last: float  # 1 % of the events score higher than this, as exactly
    worst: tuple[str, ...]  # features with the largest mean error, if errors were asked for
    path: Path


def write_scores(dataset, ensemble, sample, *, errors=False, join=False):
    """Score `sample` and write `OUT/scores/<detector>/<sample>.hdf5`, in bounded memory.

    `errors` adds a column per feature, `join` the columns of the scored table.
    """
    histogram = np.zeros(len(EDGES) - 1)
    weighted, weight = 0.0, 0.0
    total = {}  # of the errors of each feature

    def table(events):
        scored = ensemble.score(events, errors)
        columns = {
            "score": scored.score,
            "fold": scored.fold,
            "trained_on": scored.trained_on,
        }
        if errors:
            columns |= {f"error_{name}": values for name, values in scored.errors.items()}
            for name, values in scored.errors.items():
                total[name] = total.get(name, 0.0) + float(np.nansum(values))
        if join:
            columns |= dict(zip(events.names, events.features.T, strict=True))
            columns |= {
                f"n_{name}": count
                for name, count in zip(dataset.types, events.counts.T, strict=True)
            }
        nonlocal histogram, weighted, weight
        histogram += np.histogram(np.clip(scored.score, EDGES[0], EDGES[-1]), EDGES)[0]
        weighted += float(np.sum(scored.score * events.weight))
        weight += float(np.sum(events.weight))
        return columns

    path = dataset.folder / SCORES / ensemble.path.name / f"{sample.name}.hdf5"
    events = _write(path, "scores", dataset, ensemble, sample, table)
    worst = sorted(total, key=total.get, reverse=True)[:3] if events else ()
    return Summary(
        sample=sample,
        events=events,
        mean=weighted / weight if weight else np.nan,
        median=_quantile(histogram, 0.5),
        last=_quantile(histogram, 0.99),
        worst=tuple(worst),
        path=path,
    )


def _quantile(histogram, fraction):
    """Upper edge of the bin of scores that holds this quantile; NaN without events."""
    if not histogram.sum():
        return np.nan
    below = np.cumsum(histogram)
    return float(EDGES[1:][np.searchsorted(below, fraction * below[-1])])


def read_scores(dataset, detector, sample, columns=()):
    """The ScoredEvents of a Sample in OUT/scores/<detector>, with some columns of its table.

    Raises InputError where the scores are missing or do not fit.
    """
    folder = dataset.folder / SCORES / detector
    again = f"python -m ml score {dataset.folder} --model {detector}"
    path = folder / f"{sample.name}.hdf5"
    if not path.is_file():
        raise InputError(f"{folder} lacks sample '{sample.name}': {again}")
    if (region := origin(path)["region"]) != dataset.region:
        raise InputError(f"{path} is of region '{region}', not '{dataset.region}': {again}")
    with sample.open() as table:
        return read_scored(path, table, columns, again)


def write_latent(dataset, ensemble, sample):
    """Write the latent vectors of `sample` to `OUT/latent/<detector>/<sample>.hdf5`."""
    folds = ensemble.models[0].record_.split.folds

    def table(events):
        values = ensemble.encode(events)
        columns = {"fold": events.fold(folds)}
        return columns | {f"latent_{n}": column for n, column in enumerate(values.T)}

    path = dataset.folder / LATENT / ensemble.path.name / f"{sample.name}.hdf5"
    _write(path, "latent", dataset, ensemble, sample, table)
    return path


def _write(path, key, dataset, ensemble, sample, table):
    """Write `table` of each block, behind the identities and weights; return the rows."""
    about = {
        "sample": sample.name,
        "process": sample.process,
        "kind": sample.kind,
        "region": dataset.region,
        "model": ensemble.path.name,
        "models": [model.record_.signature for model in ensemble.models],
    }
    blocks = (
        dict(zip(IDENTITY, events.identity.T, strict=True))
        | {WEIGHT: events.weight}
        | table(events)
        for events in _at_least_one(dataset, sample)
    )
    first = next(blocks)
    types = {name: values.dtype for name, values in first.items()}
    with atomic_file(path) as temporary, FrameWriter(temporary, key, types, about) as file:
        for block in chain([first], blocks):
            file.append(block)
    return file.rows


def _at_least_one(dataset, sample):
    """The blocks of `sample`; one without rows if it has none."""
    empty = True
    for events in dataset.blocks([sample]):
        empty = False
        yield events
    if empty:
        yield dataset.load([sample])
