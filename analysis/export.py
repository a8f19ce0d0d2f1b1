"""Rows as files: a table and histograms."""

import numpy as np
import ROOT
from h5py import h5z

from analysis.hdf5 import BLOSC
from analysis.hdf5_writer import CHUNK, FrameWriter, Packer
from analysis.output import HISTOGRAMS, IDENTITY, TABLE, WEIGHT, histogram_name, varied_name
from helpers.terminal import captured_stderr

BATCH = 4 * CHUNK  # rows that are merged, written and filled at once


class Histograms:
    """histograms.root: a folder per region, a TH1D `h_<feature>_<sample>` per feature.

    It is made in memory, so that the content of the file does not depend on where it is.
    """

    def __init__(self):
        self.file = ROOT.m3l.HistogramFile(HISTOGRAMS)

    def write(self, region, histograms):
        """Add the histograms of a region, a m3l::HistogramSet. Raises OSError."""
        if not self.file.write(region, histograms):
            raise OSError(f"histograms of {region} cannot be written")

    def add(self, path, names=()):
        """Add those of these names that are in a file; none: all. Raises OSError."""
        with captured_stderr() as output:
            good = self.file.add(str(path), "\n".join(names))
        if not good or "Error in" in output.text:
            raise OSError(f"histograms of {path} cannot be read")

    def save(self, path):
        """Write all into a file. Raises OSError."""
        content = self.file.content()
        path.write_bytes(np.frombuffer(content.data(), "u1", content.size()))


def book_histograms(samples, features):
    """Return a m3l::HistogramSet: for each sample (name) one for each feature with a binning."""
    made = ROOT.m3l.HistogramSet()
    for sample in samples:
        for feature in features:
            binning = feature.binning
            if not binning:
                made.addNone()
                continue
            unit = f" [{feature.unit}]" if feature.unit else ""
            # ROOT's LaTeX has # for the backslash and no dollar signs.
            label = feature.label.replace("$", "").replace("\\", "#")
            name, title = (
                histogram_name(feature.name, sample),
                f"{feature.name};{label}{unit};Events",
            )
            made.add(name, title, binning.bins, binning.low, binning.high)
    return made


def blosc(data):
    """Pack the bytes of a chunk, an array of uint8, for HDF5's filter "blosc"."""
    data = data.ravel()
    packed = ROOT.m3l.bloscChunk(data, data.size)
    return np.frombuffer(packed.data(), "u1", packed.size()).tobytes()


# Versions of the filter, type, size and level, which it does not need; no shuffling, since most
# cells of most events are zero and that would break up their runs; LZ4.
BLOSC_LZ4 = Packer(BLOSC, (2, 2, 1, 0, 1, 0, 1), blosc)


def forget_filters():
    """Take from this process the filter "blosc" that others have registered, such as PyTables.

    HDF5 would note its name in each array, and equal rows would not give equal files.
    """
    if h5z.filter_avail(BLOSC):
        h5z.unregister_filter(BLOSC)


class TableWriter(FrameWriter):
    """A table that `pandas.read_hdf(path, "mini")` reads, written in pieces."""

    def __init__(self, path, floats, integers, variations=()):
        """floats, integers: names of the columns of the two blocks; variations: of the weight."""
        weights = [varied_name(WEIGHT, variation) for variation in (None, *variations)]
        columns = dict.fromkeys(floats, "float32") | dict.fromkeys(weights, "float64")
        columns |= dict.fromkeys(integers, "int32") | dict.fromkeys(IDENTITY, "int64")
        super().__init__(path, TABLE, columns, packer=BLOSC_LZ4)


def fill_rows(rows, histograms):
    """Fill the histograms of a sample with its sorted rows; as `write_rows`, without a table."""
    try:
        histograms.startFilling(rows, BATCH)
        while rows.next():
            pass
    finally:
        rows.stopReading()


def write_rows(rows, path, features, histograms, variations=()):
    """Write the sorted rows of a sample into a table and fill its histograms with them.

    features: Features in the order of the row, floats before integers
    histograms: m3l::HistogramSet for the features, then for those with the other weights of a row
    variations: names of the variations whose weights become columns: all or none that a row has
    Returns the number of rows.
    """
    floats = [feature.name for feature in features if not feature.integer]
    integers = [feature.name for feature in features if feature.integer]
    try:
        with TableWriter(path, floats, integers, variations) as table:
            histograms.startFilling(rows, BATCH)
            while taken := rows.next():
                shaped = {}
                for kind, pointer, width in (
                    ("float32", rows.features, len(floats)),
                    ("float64", rows.weights, rows.nWeights()),
                    ("int32", rows.integers, len(integers)),
                    ("int64", rows.identities, len(IDENTITY)),
                ):
                    if width:
                        view = np.frombuffer(pointer(), dtype=kind, count=taken * width)
                        shaped[kind] = view.reshape(taken, width)
                shaped["float64"] = shaped["float64"][:, : 1 + len(variations)]
                table.append_blocks(shaped)
        return table.rows
    finally:
        rows.stopReading()
