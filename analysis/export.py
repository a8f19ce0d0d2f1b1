"""Rows as files: a table and histograms."""

import re

from h5py import h5z

from analysis.hdf5 import BLOSC
from analysis.hdf5_writer import CHUNK, FrameWriter, Packer
from analysis.output import HISTOGRAMS, IDENTITY, TABLE, WEIGHT, histogram_name, varied_name
from helpers import native
from helpers.terminal import captured_stderr

BATCH = 4 * CHUNK  # rows that are merged, written and filled at once


class Histograms:
    """histograms.root: a folder per region, a TH1D `h_<feature>_<sample>` per feature.

    It is made in memory, so that the content of the file does not depend on where it is.
    """

    def __init__(self):
        self.file = native.HistogramFile(HISTOGRAMS)

    def write(self, region, histograms):
        """Add the histograms of a region, a native.HistogramSet. Raises OSError."""
        if not self.file.call("write", region, histograms):
            raise OSError(f"histograms of {region} cannot be written")

    def add(self, path, names=()):
        """Add those of these names that are in a file; none: all. Raises OSError."""
        with captured_stderr() as output:
            good = self.file.call("add", path, "\n".join(names))
        if not good or "Error in" in output.text:
            raise OSError(f"histograms of {path} cannot be read")

    def save(self, path):
        """Write all into a file. Raises OSError."""
        path.write_bytes(native.packed("file_content", self.file))


def book_histograms(samples, features):
    """Return a native.HistogramSet: for each sample (name) one for each feature with a binning."""
    made = native.HistogramSet()
    for sample in samples:
        for feature in features:
            binning = feature.binning
            if not binning:
                made.call("add_none")
                continue
            unit = f" [{feature.unit}]" if feature.unit else ""
            name = histogram_name(feature.name, sample)
            title = f"{feature.name};{root_latex(feature.label)}{unit};Events"
            made.call("add", name, title, binning.bins, binning.low, binning.high)
    return made


def root_latex(label):
    """A LaTeX label in the language of ROOT's TLatex.

    That has # for the backslash, no dollar signs, braces around every index, upright letters unless
    told otherwise, and neither names of functions nor a script l.
    """
    text = label.replace("$", "").replace(r"\ ", " ")
    text = re.sub(r"([_^])\\(?:mathrm|text)(\{)", r"\1\2", text)
    text = re.sub(r"\\(?:mathrm|text)\{([^{}]*)\}", r"\1", text)
    text = re.sub(r"([_^])([^{\\]|\\[A-Za-z]+)", r"\1{\2}", text)
    text = re.sub(r"\\(max|min)(?![A-Za-z])", r"\1", text)
    text = re.sub(r"\\ell(?![A-Za-z])", "l", text)
    return text.replace("\\", "#")


def blosc(chunk):
    """Pack an array for HDF5's filter "blosc"; many of the float32 of a table are zero."""
    return native.packed("blosc", chunk, chunk.nbytes, chunk.dtype == "f4")


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
        histograms.call("start_filling", rows, BATCH)
        while rows.next({}):
            pass
    finally:
        rows.call("stop")


def write_rows(rows, path, features, histograms, variations=()):
    """Write the sorted rows of a sample into a table and fill its histograms with them.

    features: Features in the order of the row, floats before integers
    histograms: native.HistogramSet for the features, then for those with the other weights of a row
    variations: names of the variations whose weights become columns: all or none that a row has
    Returns the number of rows.
    """
    floats = [feature.name for feature in features if not feature.integer]
    integers = [feature.name for feature in features if feature.integer]
    widths = {"float32": len(floats), "int32": len(integers), "int64": len(IDENTITY)}
    try:
        with TableWriter(path, floats, integers, variations) as table:
            histograms.call("start_filling", rows, BATCH)
            while taken := rows.next(widths):
                taken["float64"] = taken["float64"][:, : 1 + len(variations)]
                table.append_blocks(taken)
        return table.rows
    finally:
        rows.call("stop")
