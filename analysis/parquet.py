"""Tables as Parquet files, converted from the finished ones in HDF5: same columns, types and rows.

Each says of which table it is, and what its columns are. It is made again when that table, or the
file itself, is not what run.json says.
"""

import json
import sys
from importlib.util import find_spec

from analysis.errors import DeclarationError
from analysis.files import checksum
from analysis.hdf5_writer import CHUNK
from analysis.headway import Progress
from analysis.output import Table, parquet_name
from analysis.products import DAMAGED

ROWS = 32 * CHUNK  # of a row group, which are in memory at once
NOTE = "m3l"  # of the metadata


def require_parquet():
    """Raise DeclarationError where the package that writes Parquet is missing."""
    if find_spec("pyarrow") is None:
        raise DeclarationError(
            "Parquet needs the package pyarrow: pip install -e '.[parquet]', or --format hdf5"
        )


def convert_tables(output, made, features):
    """Convert the tables of samples that the output folder does not have as Parquet already.

    output: products.Output, among whose unfinished files the new ones are put
    made: {sample: Products}
    features: of the run, as in its record
    Returns ({name: SHA-256} of all, number of new ones). Raises OSError and M3LError.
    """
    before, found, new = converted_before(output.record), {}, 0
    for sample, products in made.items():
        for table in products.all_tables:
            name = parquet_name(table.name)
            known = before.get((name, table.sha256))
            if known is None or not is_whole(output.folder / name, known):
                path = output.partial / name
                path.parent.mkdir(exist_ok=True)
                with Table(output.table(sample, table)) as rows:
                    write_parquet(
                        rows, path, features, {"table": table.name, "sha256": table.sha256}
                    )
                known = checksum(path)
                new += 1
            found[name] = known
    return found, new


def converted_before(record):
    """{(name, SHA-256 of its table): SHA-256} of the Parquet files in a run.json."""
    found = {}
    try:
        for sample in record["samples"]:
            for made in (sample, *sample["variations"].values()):
                for region, table in made["tables"].items():
                    name = parquet_name(table)
                    if name in record["parquet"]:
                        found[name, made["checksums"][region]] = record["parquet"][name]
    except DAMAGED:
        return {}
    return found


def is_whole(path, sha256):
    """Whether a file is there as it was written."""
    try:
        return checksum(path) == sha256
    except OSError:
        return False


def write_parquet(table, path, features, note):
    """Write an open Table as Parquet, in groups of rows; equal tables give equal files.

    features: of the run, as in its record, whose labels and units become metadata of the columns
    note: what the metadata say of the table, a JSON object
    Raises OSError.
    """
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    about = {f["name"]: {"label": f["label"], "unit": f["unit"]} for f in features}
    fields = [
        pyarrow.field(
            name, pyarrow.from_numpy_dtype(kind), nullable=False, metadata=about.get(name)
        )
        for name, kind in table.types.items()
    ]
    schema = pyarrow.schema(fields, {NOTE: json.dumps(note)})
    # Most values are zero or differ from all others, so that a dictionary costs more than it saves.
    options = {"compression": "zstd", "use_dictionary": False, "write_page_checksum": True}
    with (
        open(path, "wb") as file,
        ParquetWriter(file, schema, **options) as writer,
        Progress(path.stem, table.rows, sys.stderr, "rows", delay=1) as progress,
    ):
        # Not all programs read a file without any group.
        for start, stop in [*table.ranges(ROWS)] or [(0, 0)]:
            columns = table.read_columns(start=start, stop=stop).values()
            arrays = [pyarrow.array(column) for column in columns]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema), ROWS)
            progress(stop)
