"""The output folder: what its files are called, and how run.json and the tables are read.

OUT/hdf5/<sample>_<tag>_df_forML_bkg_signal_fromRDF.hdf5    a table `mini`
OUT/histograms.root  cutflow.json  run.json
OUT/models  scores  latent  study  plots  report            what the later steps make
"""

import threading
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tables

from analysis.errors import InputError, listed
from analysis.files import read_json

RUN = "run.json"
CUTFLOW = "cutflow.json"
HISTOGRAMS = "histograms.root"
TABLES = "hdf5"
MODELS, SCORES, LATENT, STUDY, PLOTS, REPORT = "models scores latent study plots report".split()

TABLE = "mini"  # name of the table in its file
WEIGHT = "wgt_SG"
IDENTITY = ("DatasetNumber", "RunNumber", "EventNumber")

FORMAT = 2  # of run.json as it is written
FORMATS = (1, 2)  # that are read; 1 has the binning of a feature as "bins": [number, low, high]
AGAIN = "write it again with run_rdf.py"

tables.silence_hdf5_messages()  # HDF5 prints a page of C stack; the exception says enough
_hdf5 = threading.Lock()  # PyTables is not thread-safe, and training reads ahead in a thread


def table_name(sample, region):
    """Name of the file with the table of a sample (name) in a Region."""
    return f"{sample}_{region.tag}_df_forML_bkg_signal_fromRDF.hdf5"


def histogram_name(feature, sample):
    """Name of a histogram in the folder of its region; `feature` and `sample` are names."""
    return f"h_{feature}_{sample}"


def read_run(folder):
    """The content of run.json of an output folder, see `latest_format`. Raises InputError."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"no folder {folder}: write one with run_rdf.py -o {folder}")
    cut = " (a run was interrupted there)" if any(folder.glob(".partial-*")) else ""
    advice = f"it holds no complete run{cut}; write one with run_rdf.py -o {folder}"
    return latest_format(read_json(folder / RUN, advice), folder / RUN)


def latest_format(record, path):
    """A record of a run that was read from `path`, as the latest format has it.

    Raises InputError for a format that this version does not know.
    """
    with record_errors(path):
        found = record["format"]
        if found not in FORMATS:
            known = " and ".join(map(str, FORMATS))
            raise InputError(f"{path} has format {found}, this version reads {known}: {AGAIN}")
        features = [dict(feature) for feature in record["features"]]
        for feature in features:
            if "bins" in feature:
                feature["binning"] = dict(
                    zip(("bins", "low", "high"), feature.pop("bins"), strict=True)
                )
        return {**record, "features": features}


@contextmanager
def record_errors(path):
    """Around code that takes a record apart: what is missing or wrong becomes an InputError."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise InputError(
            f"{path} is not a run.json of this program, or not complete ({error!r}): {AGAIN}"
        ) from None


class Table:
    """A table of an output folder, open for reading in ranges of rows; use it in a `with`.

    pandas, in whose fixed format it is, reads such a table only as a whole. Its layout: a group of
    one matrix per type, `blockN_values` (rows, columns), beside the names of its columns,
    `blockN_items`.

    Attributes:
        path: Path of the file
        rows: their number
        columns: names of the columns
    """

    def __init__(self, path, advice=AGAIN):
        """Raises InputError, which says `advice`, where the file is missing or damaged."""
        self.path, self.advice = Path(path), advice
        try:
            with _hdf5:
                self._file = tables.open_file(str(path), "r")
        except FileNotFoundError:
            raise InputError(f"no table {path}: {advice}") from None
        except OSError as error:
            raise InputError(f"{path} exists but cannot be opened ({error}): {advice}") from None
        except tables.HDF5ExtError:
            raise InputError(f"{path} is not a readable HDF5 file (truncated?): {advice}") from None
        try:
            with _hdf5:
                self._places, self.rows = self._look()
        except (tables.NoSuchNodeError, tables.HDF5ExtError, AttributeError, TypeError) as error:
            self.close()
            raise InputError(
                f"{path} holds no table '{TABLE}' in pandas' fixed format "
                f"({str(error).splitlines()[0]}): {advice}"
            ) from None
        self.columns = tuple(self._places)

    def _look(self):
        """Where each column is, as {name: (matrix, position)}, and the number of rows."""
        group = self._file.get_node(f"/{TABLE}")
        places, rows = {}, 0
        for number in range(int(group._v_attrs.nblocks)):
            matrix = group._f_get_child(f"block{number}_values")
            for position, name in enumerate(group._f_get_child(f"block{number}_items")[:]):
                places[name.decode() if isinstance(name, bytes) else str(name)] = matrix, position
            # pandas stores an array without elements as one dummy value and its shape
            empty = "shape" in matrix._v_attrs and 0 in tuple(matrix._v_attrs.shape)
            rows = 0 if empty else len(matrix)
        return places, rows

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Close the file."""
        with _hdf5:
            self._file.close()

    def require(self, columns):
        """Raise InputError, which names them, if the table lacks some of these columns."""
        if missing := [name for name in columns if name not in self._places]:
            raise InputError(f"{self.path} lacks the column {listed(missing)}: {self.advice}")

    def ranges(self, size):
        """Yield (start, stop) of neighbouring ranges of at most `size` rows."""
        for start in range(0, self.rows, size):
            yield start, min(start + size, self.rows)

    def read(self, columns, start=0, stop=None, dtype=None):
        """Some columns of the rows from `start` to before `stop`, None: to the end.

        Returns a (rows, columns) array of `dtype`, None: of the type of the first column.
        Raises InputError for a column that is not there, and where the file is damaged.
        """
        columns = list(columns)
        self.require(columns)
        places = [self._places[name] for name in columns]
        stop = self.rows if stop is None else min(stop, self.rows)
        dtype = dtype or (places[0][0].dtype if places else float)
        values = np.empty((max(stop - start, 0), len(columns)), dtype)
        if not len(values):
            return values
        try:
            with _hdf5:
                for matrix in {id(matrix): matrix for matrix, _ in places}.values():
                    block = matrix[start:stop]
                    to = [i for i, place in enumerate(places) if place[0] is matrix]
                    of = [places[i][1] for i in to]
                    if to == list(range(len(columns))) and of == list(range(block.shape[1])):
                        values[...] = block
                    else:
                        values[:, to] = block[:, of]
        except tables.HDF5ExtError:
            raise InputError(
                f"{self.path} cannot be read to its end (truncated?): {self.advice}"
            ) from None
        return values

    def read_columns(self, columns=None):
        """{name: (rows,) values of its own type} of all rows; columns: None: all of the table."""
        columns = list(self.columns if columns is None else columns)
        self.require(columns)
        types = {}
        for name in columns:
            types.setdefault(self._places[name][0].dtype, []).append(name)
        found = {}
        for names in types.values():
            found |= zip(names, self.read(names).T, strict=True)
        return {name: found[name] for name in columns}
