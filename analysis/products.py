"""The products of a run on their way into the output folder.

OUT/.partial/samples/<sample>/   what a sample's event loop has made: tables, histograms, a record
OUT/.partial/                    what is made of them, and what they replace until all are in place

Only one process at a time writes into OUT. What has a name in .partial/samples is complete, so that
a run that was killed goes on with the samples that are missing. Products get their final names,
run.json last, all of them or none.
"""

import json
import shutil
import warnings
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from analysis.errors import OutputError
from analysis.export import Histograms, book_histograms, fill_rows, write_rows
from analysis.files import (
    JOURNAL,
    checksum,
    lock,
    parse_json,
    put_all_in_place,
    put_in_place,
    read_regular,
    reason,
    take_back,
    write_json,
)
from analysis.loops import CutflowRow
from analysis.output import (
    CUTFLOW,
    HISTOGRAMS,
    PARQUET,
    PARTIAL,
    RUN,
    TABLES,
    Table,
    histogram_name,
    parquet_name,
    table_name,
    varied_name,
)
from analysis.records import PARQUET_TABLE

RECORD = "products.json"

# What reading a record can raise that is damaged, or of another version.
DAMAGED = (OSError, ValueError, TypeError, KeyError, AttributeError)


@dataclass(frozen=True)
class WrittenTable:
    """The table of a sample in a region."""

    name: str  # of its file, below the output folder
    rows: int
    sha256: str


@dataclass(frozen=True)
class VariedProducts:
    """What the event loop of a sample has made in a systematic variation."""

    kind: str  # weight: other weights of the same events; object: other events
    cutflow: dict[str, tuple[CutflowRow, ...]]  # by region
    tables: dict[str, WrittenTable]  # by region, if they were asked for


@dataclass(frozen=True)
class Products:
    """What the event loop of a sample has made."""

    key: str  # of all that it depends on but the content of the input files
    cutflow: dict[str, tuple[CutflowRow, ...]]  # by region
    tables: dict[str, WrittenTable]  # by region
    histograms: str  # sha256 of the file that has them
    inputs: tuple[dict, ...]  # the InputFile of each file, with its checksum
    dropped_events: int  # bad ones that were left out
    seconds: dict[str, float]  # that its parts took
    bytes_read: int  # from ROOT files
    variations: dict[str, VariedProducts]  # by name

    @property
    def all_tables(self):
        """All tables, those of weight variations once."""
        events = (varied for varied in self.variations.values() if varied.kind == "object")
        return [table for made in (self, *events) for table in made.tables.values()]


def products_of(content):
    """Make Products from their JSON form. Raises what wrong content does, see DAMAGED."""
    variations = {name: VariedProducts(**parts(v)) for name, v in content["variations"].items()}
    made = {**parts(content), "inputs": tuple(content["inputs"]), "variations": variations}
    return Products(**made)


def parts(content):
    """The fields of products in JSON, with their cutflow and tables."""
    cutflow, tables = content["cutflow"], content["tables"]
    return {
        **content,
        "cutflow": {r: tuple(CutflowRow(**row) for row in rows) for r, rows in cutflow.items()},
        "tables": {region: WrittenTable(**table) for region, table in tables.items()},
    }


class SampleOutput:
    """The folder of a sample's products while they are made."""

    def __init__(self, sample, folder, with_tables=False):
        """sample: its name; with_tables: write those of variations, too"""
        self.sample, self.folder, self.with_tables = sample, folder, with_tables
        self.tables, self.varied_tables = {}, {}
        self.histograms = Histograms()

    def write_rows(self, region, rows, features, variations=()):
        """Write the table of a Region, and its histograms of the same rows.

        rows: m3l::RowStore
        features: in the order of a row, floats before integers
        variations: names of those whose weights the rows have
        """
        names = [varied_name(self.sample, variation) for variation in (None, *variations)]
        histograms = book_histograms(names, features)
        columns = variations if self.with_tables else ()
        self.tables[region.name] = self.table(
            self.sample, region, partial(write_rows, rows, variations=columns), features, histograms
        )
        self.histograms.write(region.name, histograms)
        for variation in columns:
            tables = self.varied_tables.setdefault(variation, {})
            tables[region.name] = self.tables[region.name]

    def write_varied_rows(self, region, variation, rows, features):
        """Write the histograms of a variation that selects other events, and perhaps the table."""
        name = varied_name(self.sample, variation)
        histograms = book_histograms([name], features)
        if self.with_tables:
            write = partial(write_rows, rows)
            tables = self.varied_tables.setdefault(variation, {})
            tables[region.name] = self.table(name, region, write, features, histograms)
        else:
            fill_rows(rows, histograms)
        self.histograms.write(region.name, histograms)

    def table(self, name, region, write, features, histograms):
        """The WrittenTable of a sample or of a variation of it, by name."""
        path = self.folder / table_name(name, region)
        number = write(path, features, histograms)
        return WrittenTable(f"{TABLES}/{path.name}", number, checksum(path))

    def write_all(self, regions, features, rows_of, kinds, cutflow_of):
        """Write tables and histograms of all regions; returns {variation: VariedProducts}.

        regions: Regions; features: in the order of a row
        rows_of: gives the m3l::RowStore of a Region, in a variation that changes events or None
        kinds: {variation: kind}, see VariedProducts
        cutflow_of: gives the cutflow of a variation, by region
        """
        weights = [name for name, kind in kinds.items() if kind == "weight"]
        for region in regions:
            self.write_rows(region, rows_of(region, None), features, weights)
            for name in kinds:
                if name not in weights:
                    self.write_varied_rows(region, name, rows_of(region, name), features)
        return {
            name: VariedProducts(kind, cutflow_of(name), self.varied_tables.get(name, {}))
            for name, kind in kinds.items()
        }

    def finish(self, **more):
        """Write the record of the Products and return them; `more`: their other fields."""
        path = self.folder / HISTOGRAMS
        self.histograms.save(path)
        products = Products(tables=self.tables, histograms=checksum(path), **more)
        # Not on disk by itself: the folder is as a whole.
        (self.folder / RECORD).write_text(json.dumps(asdict(products), allow_nan=False))
        return products


class Output:
    """The output folder of a run, to be used in a `with` statement by one process at a time.

    Raises OutputError for whatever cannot be written, and if another process is writing.

    Attributes:
        record: content of the run.json that is there, {} if there is none
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.partial = self.folder / PARTIAL
        self.samples = self.partial / "samples"
        self.record = {}

    def __enter__(self):
        self.lock = lock(self.folder / "output", shown=f"output folder {self.folder}")
        self.lock.__enter__()
        try:
            take_back(self.partial, self.folder)
            self.clean()
            self.samples.mkdir(parents=True, exist_ok=True)
            self.record = self.read_record()
        except BaseException as error:
            self.lock.__exit__(None, None, None)
            if isinstance(error, OSError):
                raise self.problem(error) from None
            raise
        return self

    def __exit__(self, kind, error, _):
        try:
            self.clean()
        finally:
            self.lock.__exit__(None, None, None)
        if isinstance(error, OSError):
            raise self.problem(error) from None

    def read_record(self):
        """The content of the run.json that is there, {} if there is none that can be read."""
        try:
            record = parse_json(read_regular(self.folder / RUN))
        except (FileNotFoundError, ValueError):
            return {}
        except OSError as error:
            raise OutputError(f"{self.folder / RUN} cannot be read: {reason(error)}") from None
        return record if isinstance(record, dict) else {}

    def clean(self):
        """Remove what is not complete, of this run or of one that was killed."""
        if (self.partial / JOURNAL).exists():
            return  # the next run takes it back
        unfinished = [path for path in self.partial.glob("*") if path != self.samples]
        for path in (*self.folder.glob(".partial-*"), *unfinished, *self.samples.glob(".*")):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        if not any(self.samples.glob("*")):
            shutil.rmtree(self.partial, ignore_errors=True)

    def problem(self, error):
        """The OutputError for an OSError."""
        return OutputError(f"output folder {self.folder} cannot be written: {reason(error)}")

    @contextmanager
    def sample(self, name, with_tables=False):
        """Yield the SampleOutput of a sample; its products are kept if all goes well.

        with_tables: see SampleOutput
        """
        new = self.samples / f".{name}"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        try:
            yield SampleOutput(name, new, with_tables)
            shutil.rmtree(self.samples / name, ignore_errors=True)
            put_in_place(new, self.samples / name)
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def table(self, sample, written):
        """Where a WrittenTable of a sample (name) is: still apart, or in its final place."""
        apart = self.samples / sample
        return (apart if apart.exists() else self.folder / TABLES) / Path(written.name).name

    def histograms(self, sample):
        """Where the histograms of a sample (name) are; in their final place beside others."""
        apart = self.samples / sample
        return (apart if apart.exists() else self.folder) / HISTOGRAMS

    def kept(self, name):
        """The Products of a sample that an earlier run has left whole, None if there are none."""
        apart = self.samples / name
        try:
            if apart.exists():
                products = products_of(json.loads((apart / RECORD).read_text()))
                whole = checksum(apart / HISTOGRAMS) == products.histograms
            else:
                products, whole = products_of(self.published(name)), self.is_whole
            whole = whole and all(
                checksum(self.table(name, table)) == table.sha256 for table in products.all_tables
            )
        except DAMAGED:
            return None
        return products if whole else None

    @cached_property
    def is_whole(self):
        """Whether the products of all samples that are there are as the run.json there says."""
        return all(
            checksum(self.folder / name) == self.record["checksums"][name]
            for name in (HISTOGRAMS, CUTFLOW)
        )

    @cached_property
    def cutflows(self):
        """The content of the cutflow.json that is there."""
        return json.loads((self.folder / CUTFLOW).read_text())

    def published(self, name):
        """The fields of Products from run.json and cutflow.json. Raises what wrong content does."""
        (sample,) = (sample for sample in self.record["samples"] if sample["name"] == name)

        def made(name, of, rows):
            return {
                "cutflow": {r: rows[name] for r, rows in self.cutflows.items() if name in rows},
                "tables": {
                    region: {"name": table, "rows": rows[region], "sha256": of["checksums"][region]}
                    for region, table in of["tables"].items()
                },
            }

        return {
            **made(name, sample, sample["rows"]),
            "variations": {
                variation: {
                    "kind": of["kind"],
                    **made(varied_name(name, variation), of, of["rows"]),
                }
                for variation, of in sample["variations"].items()
            },
            "histograms": self.record["checksums"][HISTOGRAMS],
            "seconds": {},
            **{field: sample[field] for field in ("key", "inputs", "dropped_events", "bytes_read")},
        }

    def publish(self, made, record, cutflows, joined=None):
        """Give all products their final names; returns the names.

        made: {sample: Products} in the order of the run
        record: content of run.json without checksums; its Parquet files that are new are among what
            is unfinished, and those of earlier runs that it lacks are removed
        cutflows: {region: {sample: rows}}
        joined: JoinedHistograms of the samples, which may have some of them already
        """
        files = {}
        for name, products in made.items():
            for table in products.all_tables:
                files[table.name] = self.table(name, table)
        for name in record.get("parquet", ()):
            new = self.partial / name
            files[name] = new if new.exists() else self.folder / name
        files[HISTOGRAMS] = self.partial / HISTOGRAMS
        joined = joined or JoinedHistograms(self, made, record["features"])
        joined.save(files[HISTOGRAMS], made)
        files[CUTFLOW] = self.partial / CUTFLOW
        write_json(files[CUTFLOW], cutflow_json(with_variations(cutflows, made)))
        sums = {name: checksum(files[name]) for name in (HISTOGRAMS, CUTFLOW)}
        files[RUN] = self.partial / RUN
        write_json(files[RUN], {**record, "checksums": sums})
        new = {name: path for name, path in files.items() if path.is_relative_to(self.partial)}
        stale = self.stale(files)
        put_all_in_place(new, self.folder, self.partial, stale)
        if stale and "parquet" not in record:
            warnings.warn(
                f"{len(stale)} Parquet file{'s' * (len(stale) > 1)} of an earlier run removed: "
                "--format hdf5 parquet writes such files again",
                stacklevel=2,
            )
        shutil.rmtree(self.samples)
        with suppress(OSError):  # others are still in it
            (self.folder / PARQUET).rmdir()
        return tuple(sorted(map(Path, files), key=lambda path: (path.name == RUN, path)))

    def stale(self, files):
        """Names of Parquet files of earlier runs that are not among these files.

        Those of tables that are no part of the run, or that the run does not write as Parquet.
        """
        known = self.record.get("parquet")
        named = [*known] if isinstance(known, dict) else []
        named = [name for name in named if not [*PARQUET_TABLE.problems(name, "")]]
        named += [parquet_name(name) for name in files if Path(name).parent.name == TABLES]
        return [n for n in dict.fromkeys(named) if n not in files and (self.folder / n).exists()]


class JoinedHistograms:
    """The histograms of all samples in one file, in the order of the run.

    They are copied as soon as they may be, while the event loops of other samples run.
    """

    def __init__(self, output, order, features):
        """output: Output; order: names of the samples; features: of the run, as in its record"""
        self.output, self.waiting = output, list(order)
        self.drawn = [feature["name"] for feature in features if feature["binning"]]
        self.file = Histograms()

    def take(self, made, gone=()):
        """Copy those of samples that are made, up to one that is not, nor gone. Raises OSError.

        made: {sample: Products}; gone: names of samples that will have none
        """
        while self.waiting and (self.waiting[0] in made or self.waiting[0] in gone):
            name = self.waiting.pop(0)
            if name in made:
                variations = (None, *made[name].variations)
                names = [
                    histogram_name(f, varied_name(name, v)) for v in variations for f in self.drawn
                ]
                self.file.add(self.output.histograms(name), names)

    def save(self, path, made):
        """Write the file with the histograms of all samples that are made. Raises OSError."""
        self.take(made, gone=tuple(self.waiting))
        self.file.save(path)


def cutflows_of(made, job):
    """{region: {sample: rows}} of the Products of samples, which may be hidden in a region."""
    return {
        region.name: {
            name: products.cutflow[region.name]
            for name, products in made.items()
            if region.name in products.cutflow
        }
        for region in job.declarations.regions
    }


def with_variations(cutflows, made):
    """Cutflows as of `cutflows_of`, and those of the variations as samples after their own."""
    found = {}
    for region, samples in cutflows.items():
        found[region] = {}
        for name, rows in samples.items():
            found[region][name] = rows
            for variation, varied in made[name].variations.items():
                found[region][varied_name(name, variation)] = varied.cutflow[region]
    return found


def cutflow_json(cutflows):
    """The cutflow of each region and sample, from {region: {sample: rows}}."""
    return {
        region: {sample: [asdict(row) for row in rows] for sample, rows in samples.items()}
        for region, samples in cutflows.items()
    }


def tell_dropped(made, record):
    """Warn of events that were left out.

    made: {sample: Products}
    record: content of run.json
    """
    for sample in record["samples"]:
        name, dropped = sample["name"], made[sample["name"]].dropped_events
        if dropped:
            warnings.warn(
                f"sample '{name}': {dropped} of {sample['entries_read']} events have bad values "
                "and were left out",
                stacklevel=2,
            )


def repeated_events(paths):
    """Number of events that are there again in the tables of data, and the first of them.

    Returns (number, RunNumber, EventNumber), None if there is none.
    """
    parts = []
    for path in paths:
        with Table(path) as table:
            parts.append(table.read(("RunNumber", "EventNumber")))
    events = np.concatenate(parts)
    events = events[np.lexsort(events.T[::-1])]
    again = (events[1:] == events[:-1]).all(axis=1)
    return (int(again.sum()), *map(int, events[1:][again][0])) if again.any() else None


def count_repeated(made, data, output):
    """{region: number of data events that are there more than once}; warns of them.

    made: {sample: Products}
    data: names of the samples of data
    """
    numbers = {}
    for region in dict.fromkeys(region for name in data for region in made[name].tables):
        names = [name for name in data if region in made[name].tables]
        paths = [output.table(name, made[name].tables[region]) for name in names]
        found = repeated_events(paths)
        if found:
            numbers[region], run, event = found
            warnings.warn(
                f"{numbers[region]} data events of {region} are there more than once (samples "
                f"{', '.join(names)}), the first is event {event} of run {run}",
                stacklevel=2,
            )
    return numbers
