"""Rapidity-mass matrices of events and processes, in GeV or as the network sees them."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.errors import InputError
from analysis.output import MODEL_RECORD, MODELS, WEIGHT, read_model_record
from plotting.stack import divide

BLOCK = 1000  # events at once, which stay in the cache of a processor


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
        values = np.where(self.log, signed_log(values), values)
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


class Sums:
    """Weighted sums of matrices over the events of a sample; all (size, size)."""

    def __init__(self, size, log=None):
        """log: (size, size) bool, cells whose logarithm is summed, see CellScaling; None: none."""
        self.log = log
        self.events = 0
        self.seen = np.zeros((size, size), bool)  # whether any event has the object
        # Sums over events of w^i x^j, first with the objects (j = 0 counts those), then of all
        self.powers = np.zeros((2, 3, size, size))  # [i - 1, j]
        self.all = np.zeros(2)  # sums of w and w^2 of all events

    def add(self, values, weights):
        """Add events: (events, size, size) values, NaN where missing, and (events,) weights."""
        flat = values.reshape(len(values), -1).astype(float)
        present = ~np.isnan(flat)
        flat = np.where(present, flat, 0.0)
        if self.log is not None:
            logs = self.log.ravel()
            flat[:, logs] = signed_log(flat[:, logs])
        self.seen |= present.any(axis=0).reshape(self.seen.shape)
        self.events += len(flat)
        both = np.stack([weights, weights**2])
        for power, of in enumerate((present.astype(float), flat, flat**2)):
            self.powers[:, power] += (both @ of).reshape(2, *self.seen.shape)
        self.all += both.sum(axis=1)

    def __add__(self, other):
        made = Sums(len(self.seen), other.log)
        made.events = self.events + other.events
        made.seen = self.seen | other.seen
        made.powers, made.all = self.powers + other.powers, self.all + other.all
        return made

    def mean(self, scaling=None):
        """The Mean over the events that have the objects.

        scaling: CellScaling of sums that have its logarithms: the mean is over all events, and
            missing objects count as 0 before scaling, as for the network
        """
        (w, wx, wxx), (ww, wwx, wwxx) = self.powers
        if scaling is None:
            return Mean(self.events, self.seen & (w > 0), w, wx, wxx, ww, wwx, wwxx)
        w, ww = (np.full(self.seen.shape, total) for total in self.all)
        shift, factor = scaling.shift, scaling.factor
        return Mean(
            self.events,
            self.seen & (w > 0),
            w,
            factor * (wx - shift * w),
            factor**2 * (wxx - 2 * shift * wx + shift**2 * w),
            ww,
            factor * (wwx - shift * ww),
            factor**2 * (wwxx - 2 * shift * wwx + shift**2 * ww),
        )


@dataclass(frozen=True)
class Mean:
    """A weighted mean of matrices over many events; all (size, size), NaN where nobody is seen."""

    events: int
    good: np.ndarray  # cells that have a mean
    w: np.ndarray  # sums over events of weights w and values x
    wx: np.ndarray
    wxx: np.ndarray
    ww: np.ndarray
    wwx: np.ndarray
    wwxx: np.ndarray

    @property
    def mean(self):
        """The weighted mean."""
        return self._over(self.wx, self.w)

    @property
    def spread(self):
        """Standard deviation of the events."""
        return np.sqrt(np.maximum(self._over(self.wxx, self.w) - self.mean**2, 0))

    @property
    def error(self):
        """Statistical error of `mean`: root of the sum of w^2 (x - mean)^2, over the sum of w."""
        return np.sqrt(np.maximum(self.covariance(self, self), 0))

    @property
    def effective(self):
        """Events of equal weight that would have the same relative error."""
        return self._over(self.w**2, self.ww)

    def covariance(self, other, shared):
        """The covariance of this mean and another, whose events in common have a third Mean."""
        a, b = self.mean, other.mean
        total = shared.wwxx - (a + b) * shared.wwx + a * b * shared.ww
        return np.divide(
            total, self.w * other.w, out=np.full_like(total, np.nan), where=self.good & other.good
        )

    def _over(self, total, weight):
        return np.divide(total, weight, out=np.full_like(total, np.nan), where=self.good)


@dataclass(frozen=True)
class Difference:
    """The difference of two means; all (size, size)."""

    values: np.ndarray
    error: np.ndarray  # statistical
    subtracted: np.ndarray  # the second mean

    @property
    def relative(self):
        """The difference over the second mean; NaN where that is not positive."""
        return divide(self.values, self.subtracted)

    @property
    def significance(self):
        """The difference over its error; NaN where the error is 0."""
        return divide(self.values, self.error)


def difference_of(first, second, shared=None):
    """The Difference of two Means; shared: Mean of the events in both, which count once."""
    square = first.error**2 + second.error**2
    if shared is not None:
        square = square - 2 * first.covariance(second, shared)
    return Difference(first.mean - second.mean, np.sqrt(np.maximum(square, 0)), second.mean)


def signed_log(values):
    """sign(x) log(1 + |x|)."""
    return np.copysign(np.log1p(np.abs(values)), values)


def sums_of(results, region, sample, log=None):
    """The Sums of a sample, and those with the logarithms of `log`, see Sums, the same if None.

    Its table is read once.
    """
    made = [Sums(len(results.cells))]
    if log is not None and log.any():
        made.append(Sums(len(results.cells), log))
    counts = [f"n_{name}" for name, *_ in results.types]
    with results.open_table(region, sample) as file:
        names = [*results.cells.ravel(), *(n for n in counts if n in file.columns), WEIGHT]
        table = pd.DataFrame(file.read_columns(names))
    for start in range(0, len(table), BLOCK):
        block = table.iloc[start : start + BLOCK]
        values, weights = cell_values(results, block), block[WEIGHT].to_numpy(float)
        for sums in made:
            sums.add(values, weights)
    return made[0], made[-1]


def mean_of(results, region, samples, scaling=None):
    """The Mean of the matrices of samples (names) in a region; `scaling` as in `Sums.mean`."""
    log, total = None if scaling is None else scaling.log, Sums(len(results.cells))
    for name in samples:
        total = total + sums_of(results, region, name, log)[-1]
    return total.mean(scaling)


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


def model_scaling(results, region, model=None, background=None):
    """The CellScaling of a trained model; without one, of the simulated background.

    model: name of a folder below OUT/models; None: the newest that was trained in the region
    background: function that returns the Sums of the simulated background; None: they are read
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
        same = np.ones(results.cells.shape)
        plain = CellScaling(same < 0, 0 * same, same, "")
        if background is None:
            names = [s.name for s in results.visible(region, "background")]
            mean = mean_of(results, region, names, plain)
        else:
            mean = background().mean(plain)
        spread = np.where(mean.spread > 0, mean.spread, np.nan)
        return replace(
            plain, shift=mean.mean, factor=1 / spread, source="mean and std. dev. of background"
        )
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
