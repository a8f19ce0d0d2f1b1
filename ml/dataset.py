"""The tables of one output folder of `run_rdf.py` as aligned events.

`Dataset` knows the samples, the features and the object counts; `Events` holds rows of all of them
side by side and is only ever indexed as a whole, so that a row of features cannot meet another
row's weight. Tables are read in ranges of rows, so a sample may be larger than the memory.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from analysis.errors import InputError, listed
from analysis.output import IDENTITY, RUN, WEIGHT, Table, read_run, varied_name
from analysis.records import AGAIN, column_of, input_name, record_errors

BLOCK = 16384  # rows read at once; 15 MB of 225 float32 features
ROWS = ("features", "weight", "counts", "identity", "source")  # the arrays of Events
KINDS = ("background", "signal", "data")


@dataclass(frozen=True)
class Feature:
    """One network input."""

    name: str  # a column of the table, or column=category: 1 where the code there is that, else 0
    unit: str  # "GeV" or ""
    objects: tuple[tuple[int, int], ...] = ()  # (type, rank from 0) of each object it is made of

    @property
    def column(self):
        """The column that is read."""
        return column_of(self.name)[0]

    @property
    def category(self):
        """The code that is looked for, None where the number itself is the input."""
        return column_of(self.name)[1]


@dataclass(frozen=True)
class Sample:
    """One sample and the file of its table."""

    name: str
    process: str  # the channel it is stacked in
    kind: str  # background, signal or data
    path: Path
    sha256: str | None = None  # of the file; None: not known

    def open(self):
        """The Table, to be used in a `with`. Raises InputError."""
        return Table(self.path, sha256=self.sha256)


@dataclass(frozen=True)
class Events:
    """Some rows of the samples, everything about an event at the same position of each array."""

    features: np.ndarray  # (events, features) float32, GeV, 0 where an object is missing
    weight: np.ndarray  # (events,) float64, wgt_SG as it is, negative ones included
    counts: np.ndarray  # (events, types) int32, objects of each type before truncation
    identity: np.ndarray  # (events, 3) int64: DatasetNumber, RunNumber, EventNumber
    source: np.ndarray  # (events,) int16, position in `samples`
    samples: tuple[Sample, ...]
    names: tuple[str, ...]  # of the features

    def __len__(self):
        return len(self.weight)

    def __getitem__(self, rows):
        """The same selection (mask, slice or positions) of every array."""
        arrays = {name: getattr(self, name)[rows] for name in ROWS}
        return replace(self, **arrays)

    def columns(self, names):
        """(events, names) the features of these names; raises `InputError` for those not there."""
        names = tuple(names)
        if names == self.names:
            return self.features
        place = {name: column for column, name in enumerate(self.names)}
        if missing := [name for name in names if name not in place]:
            raise InputError(f"the events lack the features {listed(missing)}")
        return self.features[:, [place[name] for name in names]]

    @property
    def sample(self):
        """(events,) name of each event's sample."""
        return self._of_sample("name")

    @property
    def process(self):
        """(events,) process of each event."""
        return self._of_sample("process")

    @property
    def kind(self):
        """(events,) kind of each event: background, signal or data."""
        return self._of_sample("kind")

    def fold(self, folds):
        """(events,) fold of each event, see `fold_of`."""
        return fold_of(self.identity, folds)

    def _of_sample(self, what):
        return np.array([getattr(sample, what) for sample in self.samples])[self.source]


def concatenate(parts):
    """One `Events` from several (at least one) of the same dataset, in the order given."""
    parts = list(parts)
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ROWS}
    return replace(parts[0], **arrays)


def fold_of(identity, folds):
    """Fold of each event, from its identity alone: no seed, no order, the same in every run.

    With the finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014, doi:10.1145/2660193.2660195)
    as `mix`, all in unsigned 64-bit arithmetic that wraps::

        mix(z): z += 0x9E3779B97F4A7C15
                z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9
                z = (z ^ (z >> 27)) * 0x94D049BB133111EB
                return z ^ (z >> 31)
        fold = mix(mix(mix(DatasetNumber) ^ RunNumber) ^ EventNumber) % folds

    `identity` is (events, 3) int64; returns (events,) int8 in [0, folds).
    """

    def mix(z):
        z = z + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))

    dataset, run, event = np.ascontiguousarray(identity, np.int64).view(np.uint64).T
    return (mix(mix(mix(dataset) ^ run) ^ event) % np.uint64(folds)).astype(np.int8)


@dataclass(frozen=True)
class Dataset:
    """What one output folder offers to a network; nothing but names until rows are asked for."""

    folder: Path
    region: str
    features: tuple[Feature, ...]
    types: tuple[str, ...]  # object types whose counts n_<type> travel with the events
    samples: tuple[Sample, ...]
    carried: tuple[str, ...] = ()  # columns of an event's objects; none in older tables

    @classmethod
    def open(cls, folder, region=None, varied=False):
        """Read `folder/run.json` and check that every table it names holds what it declares.

        folder: a name or a Path; region: a name, None: the first one of the run
        varied: also take the tables of systematic variations, as samples after the others
        Raises `InputError` for a folder that
        run_rdf.py did not write, an unknown region, a table that is missing, unreadable or has
        other columns than run.json declares.
        """
        folder = Path(folder)
        record = folder / RUN
        run = read_run(folder)
        with record_errors(record):
            types = [(str(t["name"]), int(t["multiplicity"])) for t in run["layout"]["types"]]
            features = tuple(_features(run["features"], types))
            carried = tuple(_carried(run["features"]))
            regions = list(dict.fromkeys(r for s in run["samples"] for r in s["tables"]))
            chosen = region if region is not None else (regions[0] if regions else "")
            if chosen not in regions:
                raise InputError(
                    f"no tables of region '{chosen}' in {folder}: "
                    + (f"choose from {listed(regions)}" if regions else AGAIN)
                )
            samples = tuple(
                Sample(
                    s["name"],
                    s["process"],
                    s["kind"],
                    folder / s["tables"][chosen],
                    s.get("checksums", {}).get(chosen),
                )
                for s in run["samples"]
                if chosen in s["tables"]
            )
            if varied:
                samples += tuple(_varied(folder, run["samples"], chosen))
        if not features:
            raise InputError(f"{record} declares no feature with network = true: {AGAIN}")
        for sample in samples:
            if sample.kind not in KINDS:
                raise InputError(
                    f"sample {sample.name} in {record} has unknown kind '{sample.kind}'"
                )
        dataset = cls(folder, chosen, features, tuple(name for name, _ in types), samples, carried)
        for sample in samples:
            with sample.open() as table:
                table.require(dataset.columns)
        return dataset

    @property
    def names(self):
        """Names of the features, in the order of the columns of `Events.features`."""
        return tuple(feature.name for feature in self.features)

    @property
    def columns(self):
        """Every column that is read from a table."""
        counts = [f"n_{name}" for name in self.types]
        return [*dict.fromkeys((*self._read, WEIGHT, *counts, *IDENTITY))]

    @property
    def _read(self):
        """The columns of the features, each once."""
        return tuple(dict.fromkeys(feature.column for feature in self.features))

    def of_kind(self, *kinds):
        """The samples of these kinds."""
        return tuple(sample for sample in self.samples if sample.kind in kinds)

    def named(self, names):
        """The samples of these names, in the order of the run; raises `InputError` for others."""
        names = list(names)
        known = [sample.name for sample in self.samples]
        if unknown := [name for name in names if name not in known]:
            raise InputError(
                f"no sample {listed(unknown)} in {self.folder}: choose from {listed(known, 12)}"
            )
        return tuple(sample for sample in self.samples if sample.name in names)

    def with_features(self, names):
        """The same dataset, restricted to the features `names`, in that order.

        Raises `InputError` naming the features that this folder lacks.
        """
        known = {feature.name: feature for feature in self.features}
        names = list(names)
        if missing := [name for name in names if name not in known]:
            raise InputError(
                f"{self.folder} lacks the features {listed(missing)}: "
                "write it again with the features of the model, or train a new model"
            )
        return replace(self, features=tuple(known[name] for name in names))

    def rows(self, sample):
        """Number of events in the table of `sample`."""
        with sample.open() as table:
            return table.rows

    def blocks(self, samples, rows=BLOCK):
        """Yield the Events of Samples in order, at most `rows` at once.

        Raises `InputError` when a feature or weight is NaN or infinite: sample, feature and number.
        """
        for sample in samples:
            with sample.open() as table:
                for start, stop in table.ranges(rows):
                    yield self.read(table, sample, start, stop)

    def load(self, samples=None):
        """The Events of Samples (of all if None), in memory as a whole."""
        samples = self.samples if samples is None else tuple(samples)
        nothing = Events(
            np.empty((0, len(self.features)), np.float32),
            np.empty(0),
            np.empty((0, len(self.types)), np.int32),
            np.empty((0, 3), np.int64),
            np.empty(0, np.int16),
            self.samples,
            self.names,
        )
        return concatenate([nothing, *self.blocks(samples)])

    def read(self, table, sample, start, stop):
        """Rows `start` to `stop` of the open `table` of `sample`."""
        columns = table.read(self._read, start, stop, np.float32)
        events = Events(
            features=self._inputs(columns),
            weight=table.read([WEIGHT], start, stop, np.float64)[:, 0],
            counts=table.read([f"n_{name}" for name in self.types], start, stop, np.int32),
            identity=table.read(IDENTITY, start, stop, np.int64),
            source=np.full(stop - start, self.samples.index(sample), np.int16),
            samples=self.samples,
            names=self.names,
        )
        # A sum is NaN or infinite if any term is, and much faster than looking at each value.
        with np.errstate(all="ignore"):
            clean = np.isfinite(events.features.sum(dtype=np.float64) + events.weight.sum())
        if not clean:
            self._refuse_not_finite(table, sample)
        return events

    def _inputs(self, columns):
        """(events, features) from the (events, columns) that were read."""
        names = self._read
        if names == self.names:
            return columns
        place = {name: number for number, name in enumerate(names)}
        inputs = columns[:, [place[feature.column] for feature in self.features]]
        for number, feature in enumerate(self.features):
            if feature.category is not None:
                found = inputs[:, number]
                # What is no number stays so, and is told.
                inputs[:, number] = np.where(np.isfinite(found), found == feature.category, found)
        return inputs

    def present(self, counts):
        """Which cells describe objects that the event has.

        `counts` (events, types) objects of each type; returns (events, features) bool. A cell is
        present if each of its objects is: rank r of type t exists if `counts[:, t] > r`.
        """
        present = np.ones((len(counts), len(self.features)), bool)
        for column, feature in enumerate(self.features):
            for kind, rank in feature.objects:
                present[:, column] &= counts[:, kind] > rank
        return present

    def _refuse_not_finite(self, table, sample):
        names = np.array([*self._read, WEIGHT])
        bad = np.zeros(len(names), int)
        for start, stop in table.ranges(BLOCK):
            bad += (~np.isfinite(table.read(names, start, stop, np.float64))).sum(axis=0)
        found = listed(f"{n} of {name}" for name, n in zip(names, bad, strict=True) if n)
        if found:
            raise InputError(
                f"NaN or infinite values in sample {sample.name}: {found}, in {sample.path}; "
                "correct the definition of the feature and run run_rdf.py again"
            )


def _varied(folder, samples, region):
    """Yield the Samples of variations that have other events than their sample in run.json."""
    for sample in samples:
        for variation, of in sample.get("variations", {}).items():
            if of["kind"] == "object" and region in of["tables"]:
                name = varied_name(sample["name"], variation)
                path, sha256 = folder / of["tables"][region], of["checksums"].get(region)
                yield Sample(name, sample["process"], sample["kind"], path, sha256)


def _features(declared, types):
    """The network inputs; the matrix index of a cell becomes the type and rank of its objects."""
    objects = [(kind, rank) for kind, (_, most) in enumerate(types) for rank in range(most)]
    for entry in declared:
        if not entry["network"]:
            continue
        cell = entry["cell"] or ()
        needed = sorted({objects[index - 1] for index in cell if index > 0})
        for category in entry.get("categories") or [None]:
            name = input_name(entry["name"], category)
            yield Feature(name, entry["unit"] or "", tuple(needed))


def _carried(declared):
    """The columns that an event can be computed again from, see docs/definitions.md."""
    names = [entry["name"] for entry in declared]
    travelling = [e["name"] for e in declared if not e["network"] and e.get("binning", 0) is None]
    if travelling:
        kept = [f"lep{what}_{rank}" for what in ("Pt", "Charge") for rank in range(3)]
        kept += ["e_T_miss", "met_significance"]
        yield from (name for name in names if name in kept or name in travelling)
