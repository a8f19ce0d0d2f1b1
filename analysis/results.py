"""What a run left in its output folder: record, histograms, cutflow, tables and scores."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import uproot

from analysis.errors import InputError
from analysis.features import Binning
from analysis.hdf5 import Frame
from analysis.output import (
    CUTFLOW,
    HISTOGRAMS,
    RUN,
    WEIGHT,
    Table,
    histogram_name,
    read_cutflow,
    read_run,
    varied_name,
)
from analysis.processes import PROCESSES, Process, coloured
from analysis.records import AGAIN, CAMPAIGNS, RUN2, record_errors
from analysis.samples import choose
from analysis.scored import SCORE_AGAIN
from analysis.systematics import Systematic

# Names of the matrix cells by their place in it.
CELL_KINDS = ("missing momentum", "transverse mass", "rapidity", "energy", "mass", "rapidity gap")


@dataclass(frozen=True)
class Sample:
    """A sample of the run."""

    name: str
    process: str  # the channel it is stacked in
    kind: str  # data, background or signal
    tables: dict[str, str]  # region: file, relative to the folder
    checksums: dict[str, str]  # region: SHA-256 of the file, as far as they are known
    variations: dict[str, "Varied"]  # what was computed beside it


@dataclass(frozen=True)
class Varied:
    """A systematic variation of a sample: histograms, cutflow and, where asked for, tables."""

    kind: str  # weight: other weights of the same events; object: other events
    tables: dict[str, str]  # as those of a Sample; none where they were not asked for
    rows: dict[str, int]  # of the tables
    checksums: dict[str, str]


@dataclass(frozen=True)
class Feature:
    """A feature as the run declared it."""

    name: str
    label: str  # LaTeX
    unit: str  # empty where it has none
    binning: Binning
    integer: bool
    network: bool
    cell: tuple[int, int] | None  # row and column in the matrix

    @property
    def edges(self):
        """(bins + 1,) edges of the bins."""
        return np.linspace(self.binning.low, self.binning.high, self.binning.bins + 1)

    @property
    def kind(self):
        """The kind of quantity, by which pictures are filtered."""
        if self.cell is None:
            return "count or code" if self.integer else "event"
        row, column = self.cell
        if row == column:
            return CELL_KINDS[0] if row == 0 else CELL_KINDS[3]
        if row == 0:
            return CELL_KINDS[1]
        if column == 0:
            return CELL_KINDS[2]
        return CELL_KINDS[4 if row < column else 5]


@dataclass(frozen=True)
class Region:
    """A region of the run."""

    name: str
    cuts: tuple[tuple[str, str], ...]  # name and expression
    blind: bool  # data must not be drawn
    declared_blind: bool = False  # also where the run was made with --unblind
    role: str = "signal"  # or control, validation


@dataclass(frozen=True)
class Histogram:
    """Sums of weights in bins, with flow: first and last entry are under- and overflow."""

    edges: np.ndarray  # (bins + 1,)
    sumw: np.ndarray  # (bins + 2,)
    sumw2: np.ndarray  # (bins + 2,)

    @classmethod
    def empty(cls, edges):
        """The histogram of no events."""
        return cls(edges, np.zeros(len(edges) + 1), np.zeros(len(edges) + 1))

    @classmethod
    def of(cls, values, weights, edges):
        """The histogram of (events,) values and weights; NaN is left out."""
        bins = np.concatenate([[-np.inf], edges[:-1], [edges[-1]], [np.inf]])
        sums = [np.histogram(values, bins, weights=w)[0] for w in (weights, weights**2)]
        return cls(edges, *(s.astype(float) for s in sums))

    def __add__(self, other):
        return Histogram(self.edges, self.sumw + other.sumw, self.sumw2 + other.sumw2)

    def __mul__(self, factor):
        return Histogram(self.edges, self.sumw * factor, self.sumw2 * factor**2)


class Results:
    """The output folder of a run of run_rdf.py; whatever is missing raises InputError.

    What is read once is kept. Data is never read where it is blind.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.record = read_run(folder)
        with record_errors(self.folder / RUN):
            self.luminosity_ifb = self.record["luminosity_ifb"]
            self.samples = tuple(
                Sample(
                    s["name"],
                    s["process"],
                    s["kind"],
                    s["tables"],
                    dict(s.get("checksums", {})),
                    {name: Varied(**v) for name, v in s.get("variations", {}).items()},
                )
                for s in self.record["samples"]
            )
            self.systematics = tuple(map(systematic_of, self.record.get("systematics", ())))
            self.processes = in_order(Process(**p) for p in self.record["processes"])
            unblind = self.record["unblind"]
            self.regions = {
                r["name"]: Region(
                    r["name"],
                    tuple((cut["name"], cut["expression"]) for cut in r["cuts"]),
                    r["blind"] and not unblind,
                    r["blind"],
                    r.get("role", "signal"),
                )
                for r in self.record["regions"]
            }
            self.features = {
                f["name"]: Feature(
                    f["name"],
                    f["label"],
                    f["unit"],
                    Binning(**f["binning"]),
                    f["integer"],
                    f["network"],
                    tuple(f["cell"]) if f["cell"] else None,
                )
                for f in self.record["features"]
                if f["binning"]
            }
            self.types = tuple(
                (t["name"], t["multiplicity"], t["label"]) for t in self.record["layout"]["types"]
            )
            self.energy_scale = self.record["layout"]["energy_scale"]
            self.h = self.record["layout"]["h"]
        needed = [CUTFLOW, HISTOGRAMS]
        for sample in self.samples:
            for each in (sample, *sample.variations.values()):
                needed += each.tables.values()
        if missing := [name for name in needed if not (self.folder / name).is_file()]:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise InputError(f"{self.folder} is not complete, it lacks {missing[0]}{more}: {AGAIN}")

    def keep(self, names):
        """Forget all samples but those of these names; raises DeclarationError for others."""
        kept = choose(names, [s.name for s in self.samples], "sample of this run")
        self.samples = tuple(sample for sample in self.samples if sample.name in kept)

    @property
    def luminosity(self):
        """In fb^-1; where each event has that of its campaign, that of all campaigns."""
        if self.luminosity_ifb == RUN2:
            return sum(CAMPAIGNS) / 1000
        return float(self.luminosity_ifb)

    @property
    def listing(self):
        """The command that prints all names of the run."""
        return f"python -m plotting hist {self.folder} --list"

    def choose_regions(self, names):
        """Names of regions, none: all; raises DeclarationError with the nearest name."""
        return choose(names, self.regions, "region of this run", self.listing)

    def choose_features(self, names):
        """As `choose_regions`, for features."""
        return choose(names, self.features, "feature of this run", self.listing)

    def choose_processes(self, names):
        """As `choose_regions`, for processes, but none: none."""
        known = [process.name for process in self.processes]
        return choose(names, known, "process of this run", self.listing) if names else ()

    def choose_sample(self, name):
        """As `choose_regions`, for one sample."""
        return choose([name], [s.name for s in self.samples], "sample of this run", self.listing)[0]

    def visible(self, region, kind=None):
        """The samples that may be looked at in a region, of one kind or of all."""
        hidden = self.regions[region].blind
        return tuple(
            s
            for s in self.samples
            if not (hidden and s.kind == "data") and kind in (None, s.kind) and region in s.tables
        )

    def process(self, name):
        """The declared Process of this name."""
        (chosen,) = self.choose_processes([name])
        return next(process for process in self.processes if process.name == chosen)

    @cached_property
    def cutflow(self):
        """{region: {sample: [{cut, entries, sumw, sumw2}, ...]}} without blind data.

        Variations of a sample have the names of `varied_name`.
        """
        content = read_cutflow(self.folder)
        try:
            return {
                region: {
                    name: content[region][name]
                    for sample in self.visible(region)
                    for name in (
                        sample.name,
                        *(varied_name(sample.name, variation) for variation in sample.variations),
                    )
                }
                for region in self.regions
            }
        except KeyError as error:
            raise InputError(
                f"{self.folder / CUTFLOW} lacks {error}, which run.json lists: {AGAIN}"
            ) from None

    @cached_property
    def _histograms(self):
        path = self.folder / HISTOGRAMS
        try:
            return uproot.open(path)
        except Exception as error:  # uproot raises a dozen kinds for a damaged file
            raise InputError(f"{path} cannot be read ({reason(error)}): {AGAIN}") from None

    def histogram(self, region, feature, sample, variation=None):
        """The Histogram of a feature of a sample, perhaps in a variation; all are names."""
        name = f"{region}/{histogram_name(feature, varied_name(sample, variation))}"
        path = self.folder / HISTOGRAMS
        try:
            stored = self._histograms[name]
            values, variances = stored.values(flow=True), stored.variances(flow=True)
            edges = stored.axis().edges()
        except InputError:
            raise
        except uproot.KeyInFileError:
            raise InputError(f"{path} lacks {name}, which run.json lists: {AGAIN}") from None
        except Exception as error:
            raise InputError(f"{path}: {name} cannot be read ({reason(error)}): {AGAIN}") from None
        return Histogram(edges, values, variances)

    def histograms(self, region, feature):
        """{sample: Histogram} of a feature for all samples that may be looked at."""
        samples = self.visible(region)
        return {sample.name: self.histogram(region, feature, sample.name) for sample in samples}

    def table(self, region, sample, columns=None, variation=None):
        """The selected events of a sample as a DataFrame, all columns or those named.

        variation: name of one that has tables, the weights are those of it then
        """
        with self.open_table(region, sample, variation) as table:
            varied = variation and self.sample(sample).variations[variation].kind == "weight"
            if not varied or (columns is not None and WEIGHT not in columns):
                return pd.DataFrame(table.read_columns(columns))
            own = varied_name(WEIGHT, variation)
            names = columns or [n for n in table.columns if not n.startswith(f"{WEIGHT}__")]
            found = table.read_columns([own if name == WEIGHT else name for name in names])
            return pd.DataFrame(found).rename(columns={own: WEIGHT})

    def sample(self, name):
        """The Sample of this name, which there is."""
        return next(sample for sample in self.samples if sample.name == name)

    def open_table(self, region, sample, variation=None):
        """The Table of a sample, to be used in a `with`."""
        found = self.sample(sample)
        if variation:
            found = found.variations[variation]
        sha256 = found.checksums.get(region)
        return Table(self.folder / found.tables[region], sha256=sha256)

    def counts(self, table):
        """(events, types) numbers of objects of each type of the matrix, from a table.

        A type that the input format does not carry has no column, and no objects.
        """
        none = np.zeros(len(table), int)
        counts = [table.get(f"n_{name}", none) for name, *_ in self.types]
        return np.stack(counts, axis=1)

    @cached_property
    def cells(self):
        """Names of the matrix cells as (size, size) array."""
        size = 1 + sum(multiplicity for _, multiplicity, _ in self.types)
        names = np.full((size, size), "", dtype=object)
        for feature in self.features.values():
            if feature.cell is not None:
                names[feature.cell] = feature.name
        if "" in names:
            raise InputError(f"{self.folder / RUN} lacks features of the matrix: {AGAIN}")
        return names

    @cached_property
    def objects(self):
        """LaTeX labels of the rows of the matrix, and for each row (type, rank); met has None."""
        labels, owners = [r"$E_T^{\mathrm{miss}}$"], [None]
        for number, (_, multiplicity, label) in enumerate(self.types):
            for rank in range(multiplicity):
                labels.append(f"${label}_{{{rank + 1}}}$")
                owners.append((number, rank))
        return labels, owners


def systematic_of(content):
    """The Systematic of a record."""
    return Systematic(**{**content, "processes": tuple(content["processes"])})


def in_order(processes):
    """Processes in the order of their declaration, the others behind, in colours that differ."""
    declared = [process.name for process in PROCESSES]
    known = dict(zip(declared, range(len(declared)), strict=True))
    return coloured(sorted(processes, key=lambda process: known.get(process.name, len(known))))


def read_frame(path, columns=None):
    """Read scores or latent vectors; raises InputError where unreadable or without `columns`."""
    with Frame(path, None, SCORE_AGAIN) as frame:
        return pd.DataFrame(frame.read_columns(columns))


def reason(error):
    """The last line of what an error says, else its name."""
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
