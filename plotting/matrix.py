"""Rapidity-mass matrices of events and processes, in GeV or as the network sees them."""

from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError
from analysis.output import MODEL_RECORD, MODELS, WEIGHT, read_model_record


@dataclass(frozen=True)
class Matrix:
    """A matrix to draw; NaN where an object is missing."""

    values: np.ndarray  # (size, size)
    title: str
    scaled: bool  # as the network sees it, without unit


@dataclass(frozen=True)
class CellScaling:
    """How the values of the cells become inputs of the network, see ml/scaling.py.

    scaled = (L(x) - shift) * factor, L(x) = sign(x) log(1 + |x|) where `log`, else x
    """

    log: np.ndarray  # (size, size) bool
    shift: np.ndarray  # (size, size)
    factor: np.ndarray  # (size, size); NaN for a cell that the network does not use
    source: str  # where the numbers are from

    def __call__(self, values):
        """(..., size, size) in GeV to scaled."""
        values = np.where(self.log, np.copysign(np.log1p(np.abs(values)), values), values)
        return (values - self.shift) * self.factor


def cell_values(results, table):
    """(events, size, size) float32 matrices of a table, NaN where an object is missing."""
    cells = results.cells
    values = table[list(cells.ravel())].to_numpy(np.float32, copy=True)
    values = values.reshape(-1, *cells.shape)
    counts = results.counts(table)
    _, owners = results.objects
    absent = np.zeros((len(table), len(owners)), bool)
    for place, owner in enumerate(owners):
        if owner is not None:
            kind, rank = owner
            absent[:, place] = counts[:, kind] <= rank
    values[absent[:, :, None] | absent[:, None, :]] = np.nan
    return values


class Mean:
    """Weighted means of matrices over many events, bit by bit; all (size, size)."""

    def __init__(self, size):
        self.weight, self.sum, self.squares = np.zeros((3, size, size))
        self.seen = np.zeros((size, size), bool)  # whether any event has the object
        self.events = 0

    def add(self, values, weights, scaling=None):
        """Add events.

        values: (events, size, size), NaN where missing; weights: (events,)
        scaling: None: the mean is over the events that have the objects; a function of matrices: it
            is over all events, and missing objects count as 0 before scaling, as for the network
        """
        present = ~np.isnan(values)
        self.seen |= present.any(axis=0)
        self.events += len(values)
        values = np.where(present, values, 0.0)
        if scaling is not None:
            values, present = scaling(values), np.ones_like(present)
        weighted = values * weights[:, None, None]
        self.weight += (present * weights[:, None, None]).sum(axis=0)
        self.sum += weighted.sum(axis=0)
        self.squares += (weighted * values).sum(axis=0)

    @property
    def mean(self):
        """NaN where no event has the object."""
        return self._over_weight(self.sum)

    @property
    def spread(self):
        """Standard deviation; NaN as in `mean`."""
        return np.sqrt(np.maximum(self._over_weight(self.squares) - self.mean**2, 0))

    def _over_weight(self, total):
        good = self.seen & (self.weight > 0)
        return np.divide(total, self.weight, out=np.full_like(total, np.nan), where=good)


def mean_of(results, region, samples, scaling=None):
    """The Mean of the matrices of samples (names) in a region; `scaling` as in `Mean.add`."""
    total = Mean(len(results.cells))
    for name in samples:
        table = results.table(region, name)
        for start in range(0, len(table), 20_000):
            block = table.iloc[start : start + 20_000]
            total.add(cell_values(results, block), block[WEIGHT].to_numpy(), scaling)
    return total


def event_matrix(results, region, sample, number=None):
    """The matrix in GeV of one event: that with an EventNumber, or the first of the sample.

    Returns (size, size) values, NaN where missing, and the EventNumber; raises InputError where
    there is none.
    """
    table = results.table(region, sample)
    if number is None:
        chosen = table.iloc[:1]
    else:
        chosen = table[table["EventNumber"] == number].iloc[:1]
    if not len(chosen):
        which = "events" if number is None else f"event {number}"
        raise InputError(f"sample '{sample}' has no {which} in region '{region}'")
    return cell_values(results, chosen)[0], int(chosen["EventNumber"].iloc[0])


def model_scaling(results, region, model=None):
    """The CellScaling of a trained model; without one, of the simulated background.

    model: name of a folder below OUT/models; None: the newest that was trained in the region
    The scaling of the background is (x - mean) / standard deviation over its events in the region,
    where missing objects count as 0.
    """
    found = model_records(results)
    if model is not None:
        if model not in found:
            raise InputError(
                f"no autoencoder '{model}' in {results.folder / MODELS}: only "
                "those have a scaling, train one with python -m ml"
            )
        record = found[model]
    else:
        record, model = None, None
        for name, candidate in found.items():
            if candidate.get("region") == region:
                record, model = candidate, name
    if record is None:
        background = [s.name for s in results.visible(region, "background")]
        mean = mean_of(results, region, background, scaling=lambda values: values)
        spread = np.where(mean.spread > 0, mean.spread, np.nan)
        log = np.zeros(spread.shape, bool)
        return CellScaling(log, mean.mean, 1 / spread, "mean and std. dev. of background")
    by_name = {feature["name"]: feature for feature in record["features"]}
    arrays = []
    for key, default in (("log", False), ("shift", np.nan), ("factor", np.nan)):
        values = [by_name.get(name, {}).get(key, default) for name in results.cells.ravel()]
        arrays.append(np.array(values).reshape(results.cells.shape))
    return CellScaling(*arrays, f"scaled for model '{model}'")


def model_records(results):
    """{name: content of model.json} of the trained models, the oldest first.

    Of a model per fold, that of the first fold.
    """
    found = []
    for folder in sorted((results.folder / MODELS).glob("[!.]*")):
        if members := members_of(folder):
            changed = (members[0] / MODEL_RECORD).stat().st_mtime
            found.append((changed, folder.name, members))
    return {
        name: {**read_model_record(members[0]), "members": len(members)}
        for _, name, members in sorted(found)
    }


def members_of(folder):
    """The folders of the single models below the folder of a model, a Path."""
    records = sorted([*folder.glob(MODEL_RECORD), *folder.glob(f"*/{MODEL_RECORD}")])
    return [record.parent for record in records]
