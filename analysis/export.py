"""Results as files: the tables, histograms.root, cutflow.json and run.json.

Everything is written into a hidden folder inside the output folder and renamed into place at the
end, run.json last: what has a final name is complete.
"""

import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import ROOT
import tables

from analysis.errors import OutputError
from analysis.files import put_in_place, write_json
from analysis.output import (
    HISTOGRAMS,
    IDENTITY,
    RUN,
    TABLE,
    TABLES,
    WEIGHT,
    histogram_name,
    table_name,
)
from helpers.terminal import captured_stderr

BATCH = 4096  # rows that are merged, written and filled at once
CHUNK = BATCH // 4  # rows that are compressed together

# A fifth of the size, and fast: most cells of most events are zero, and shuffling their bytes among
# those of the others would only break up the runs of zeros.
COMPRESSION = tables.Filters(complevel=1, complib="blosc:lz4", shuffle=False)

# Compression setting of histograms.root: thousands of small objects want a fast algorithm.
LZ4 = 404


class Output:
    """The output folder of a run, to be used in a `with` statement.

    Raises OutputError for whatever cannot be written.
    """

    def __init__(self, folder):
        self.folder = Path(folder)

    def __enter__(self):
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.staging = Path(tempfile.mkdtemp(prefix=".partial-", dir=self.folder))
            self.staging.chmod(0o755)
            (self.staging / TABLES).mkdir()
        except OSError as error:
            raise self.problem(error.strerror) from None
        self.histograms = Histograms(self.staging / HISTOGRAMS)
        return self

    def __exit__(self, kind, error, _):
        with captured_stderr():
            self.histograms.file.Close()
        shutil.rmtree(self.staging, ignore_errors=True)
        if isinstance(error, OSError | tables.HDF5ExtError):
            lines = str(error).strip().splitlines()
            raise self.problem(lines[-1] if lines else kind.__name__) from None

    def problem(self, reason):
        """The OutputError for a reason."""
        return OutputError(f"output folder {self.folder} cannot be written: {reason}")

    def write_rows(self, sample, region, rows, features):
        """Write the table of a sample (name) in a Region, and its histograms of the same rows.

        rows: m3l::RowStore
        features: in the order of a row, floats before integers
        Returns the name of the table and its number of rows.
        """
        name = f"{TABLES}/{table_name(sample, region)}"
        histograms = book_histograms(sample, features)
        number = write_rows(rows, self.staging / name, features, histograms)
        self.histograms.write(region.name, histograms)
        return name, number

    def write_json(self, name, content):
        """Write a JSON value into the file of this name."""
        write_json(self.staging / name, content)

    def publish(self):
        """Give all files their final names, run.json last; returns the names."""
        self.histograms.close()
        files = [path for path in self.staging.rglob("*") if path.is_file()]
        files.sort(key=lambda path: (path.name == RUN, path))
        # An older run.json must not describe a half-replaced folder.
        (self.folder / RUN).unlink(missing_ok=True)
        for path in files:
            final = self.folder / path.relative_to(self.staging)
            final.parent.mkdir(exist_ok=True)
            put_in_place(path, final)
        return [path.relative_to(self.staging) for path in files]


class Histograms:
    """histograms.root: a folder per region, a TH1D `h_<feature>_<sample>` per feature."""

    def __init__(self, path):
        # "reproducible" leaves out the time and the UUID, so that equal runs give equal files.
        self.file = ROOT.TFile.Open(f"{path}?reproducible=histograms", "RECREATE", "", LZ4)

    def write(self, region, histograms):
        """Write the histograms of a region."""
        with captured_stderr() as output:
            folder = self.file.mkdir(region, region, True)
            written = [folder.WriteTObject(histogram) for histogram in histograms]
        if not all(written) or "Error in" in output.text:
            raise OSError(f"histograms of {region} cannot be written")

    def close(self):
        """Write what is left. Raises OSError."""
        with captured_stderr() as output:
            self.file.Write()
            failed = self.file.TestBit(ROOT.TFile.kWriteError)
            self.file.Close()
        if failed or "Error in" in output.text:
            raise OSError("histograms.root could not be written whole")


def book_histograms(sample, features):
    """Return an empty TH1D per feature."""
    histograms = []
    for feature in features:
        binning = feature.binning
        unit = f" [{feature.unit}]" if feature.unit else ""
        # ROOT's LaTeX has # for the backslash and no dollar signs.
        label = feature.label.replace("$", "").replace("\\", "#")
        histogram = ROOT.TH1D(
            histogram_name(feature.name, sample),
            f"{feature.name};{label}{unit};Events",
            binning.bins,
            binning.low,
            binning.high,
        )
        histogram.SetDirectory(ROOT.nullptr)
        histogram.Sumw2()
        histograms.append(histogram)
    return histograms


class TableWriter:
    """A table that `pandas.read_hdf(path, "mini")` reads, written in pieces.

    It has the layout of pandas' "fixed" format: a block of columns for each type. The arrays are
    chunked, compressed and without time stamps, so that equal rows give equal files.
    """

    def __init__(self, path, floats, integers):
        """floats, integers: names of the columns of the two blocks."""
        self.file = tables.open_file(path, "w")
        blocks = {
            "float32": floats,
            "float64": [WEIGHT],
            "int32": integers,
            "int64": [*IDENTITY],
        }
        blocks = {kind: names for kind, names in blocks.items() if names}
        group = self.file.create_group("/", TABLE)
        attributes = group._v_attrs
        attributes.pandas_type = "frame"
        attributes.pandas_version = "0.15.2"
        attributes.encoding = "UTF-8"
        attributes.errors = "strict"
        attributes.ndim = 2
        attributes.nblocks = len(blocks)
        attributes.axis0_variety = attributes.axis1_variety = "regular"
        self.names(group, "axis0", [name for names in blocks.values() for name in names])
        self.rows = self.values(group, "axis1", "int64", (0,), (BATCH,))
        self.rows._v_attrs.kind = "integer"
        self.rows._v_attrs.name = None
        self.blocks = {}
        for number, (kind, names) in enumerate(blocks.items()):
            attributes[f"block{number}_items_variety"] = "regular"
            self.names(group, f"block{number}_items", names)
            shape, chunk = (0, len(names)), (CHUNK, len(names))
            self.blocks[kind] = self.values(group, f"block{number}_values", kind, shape, chunk)

    def names(self, group, name, names):
        """Write the names of some columns."""
        node = self.file.create_array(
            group, name, np.array([name.encode() for name in names]), track_times=False
        )
        node._v_attrs.kind = "string"
        node._v_attrs.name = None
        node._v_attrs.nan_rep = "nan"
        node._v_attrs.transposed = True

    def values(self, group, name, kind, shape, chunk):
        """Make an array that rows are added to."""
        node = self.file.create_earray(
            group,
            name,
            tables.Atom.from_dtype(np.dtype(kind)),
            shape,
            filters=COMPRESSION,
            chunkshape=chunk,
            track_times=False,
        )
        node._v_attrs.transposed = True
        return node

    def append(self, **blocks):
        """Add rows: an array for each type of column. All calls but the last give whole chunks."""
        for kind, values in blocks.items():
            if kind == "float32":
                self.append_chunks(self.blocks[kind], values)
            elif kind in self.blocks:
                self.blocks[kind].append(values)
        rows = len(blocks["int64"])
        self.rows.append(np.arange(self.rows.nrows, self.rows.nrows + rows))

    def append_chunks(self, node, values):
        """Add rows to an array that holds whole chunks; the last rows of all may fill less."""
        begin = node.nrows
        node.truncate(begin + len(values))
        for first in range(0, len(values), CHUNK):
            chunk = values[first : first + CHUNK]
            if len(chunk) < CHUNK:
                chunk = np.concatenate(
                    (chunk, np.zeros((CHUNK - len(chunk), chunk.shape[1]), "f4"))
                )
            packed = ROOT.m3l.bloscChunk(chunk.ravel(), chunk.size)
            node.write_chunk((begin + first, 0), np.frombuffer(packed.data(), "u1", packed.size()))

    def close(self):
        """End the table."""
        self.file.close()


def write_rows(rows, path, features, histograms):
    """Write the sorted rows of a sample into a table and fill its histograms with them.

    features: Features in the order of the row, floats before integers
    histograms: TH1D of each feature
    Returns the number of rows.
    """
    floats = [feature.name for feature in features if not feature.integer]
    integers = [feature.name for feature in features if feature.integer]
    table = TableWriter(path, floats, integers)
    try:
        ROOT.m3l.startFilling(rows, BATCH, ROOT.std.vector["TH1D*"](histograms))
        while taken := rows.next():
            shaped = {}
            for kind, pointer, width in (
                ("float32", rows.features, len(floats)),
                ("float64", rows.weights, 1),
                ("int32", rows.integers, len(integers)),
                ("int64", rows.identities, len(IDENTITY)),
            ):
                view = np.frombuffer(pointer(), dtype=kind, count=taken * width)
                shaped[kind] = view.reshape(taken, width)
            table.append(**shaped)
        return int(table.rows.nrows)
    finally:
        rows.stopReading()
        table.close()


def cutflow_json(cutflows):
    """The cutflow of each region and sample, from {region: {sample: rows}}."""
    return {
        region: {sample: [asdict(row) for row in rows] for sample, rows in samples.items()}
        for region, samples in cutflows.items()
    }
