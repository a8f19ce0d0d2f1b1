"""Tables as Parquet: what other programs read in them, and when they are made and removed."""

import errno
import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import read_json, read_table, run_program

from analysis import parquet
from analysis.hdf5_writer import FrameWriter
from analysis.output import TABLE, Table

pyarrow = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

BOTH = ("--format", "hdf5", "parquet")
WORDS = ("-s", "Ztt", "VH", *BOTH)
TYPES = {"float32": "x y", "float64": "wgt_SG", "int32": "flcomp", "int64": "EventNumber"}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """Output folder of a run of two samples in two regions; not to be changed."""
    folder = tmp_path_factory.mktemp("first") / "out"
    outcome = run_program(*WORDS, "-r", "SR3L", "SR2L", "-j", "1", "-o", folder)
    assert (outcome.status, outcome.err) == (0, ""), outcome
    return folder


@pytest.fixture
def done(run_here, tmp_path):
    """Run two samples into tmp_path/out, with Parquet beside HDF5; gives what was printed."""

    def call(*words):
        outcome = run_here("-s", "Ztt", "VH", *words, "-o", tmp_path / "out")
        assert outcome.status == 0, outcome.err
        return outcome.out

    call(*BOTH)
    return call


def parquet_path(folder, sample, tag="3lep"):
    return folder / "parquet" / f"{sample}_{tag}_df_forML_bkg_signal_fromRDF.parquet"


def made_at(folder):
    """{name of a Parquet file: when it was made}."""
    return {path.name: path.stat().st_mtime_ns for path in (folder / "parquet").iterdir()}


def table(path, rows):
    """An HDF5 file with a table of random numbers; returns {column: values}."""
    random, columns = np.random.default_rng(rows), {}
    for kind, names in TYPES.items():
        for name in names.split():
            wide = random.integers(-(2**62), 2**62, rows) if kind == "int64" else None
            values = random.normal(scale=100, size=rows) if wide is None else wide
            columns[name] = values.astype(kind)
    with FrameWriter(path, TABLE, {name: v.dtype for name, v in columns.items()}) as writer:
        writer.append(columns)
    return columns


def convert(source, path, features=(), note=None):
    with Table(source) as rows:
        parquet.write_parquet(rows, path, features, note or {})
    return path


# --- what is in them --------------------------------------------------------------------------


@pytest.mark.parametrize("tag", ["3lep", "2lep"])
@pytest.mark.parametrize("sample", ["Ztt", "VH"])
def test_pandas_reads_the_same_from_both(first, sample, tag):
    expected = read_table(first, sample, tag)
    found = pd.read_parquet(parquet_path(first, sample, tag))
    assert len(found) > 0 and list(found.dtypes) == list(expected.dtypes)
    options = {"check_index_type": False, "check_column_type": False, "check_exact": True}
    pd.testing.assert_frame_equal(found, expected, **options)


@pytest.mark.parametrize("rows", [0, 1, 99, 100, 1001])
def test_values_of_all_types_come_back_to_the_last_bit(tmp_path, monkeypatch, rows):
    monkeypatch.setattr(parquet, "ROWS", 100)
    columns = table(tmp_path / "t.hdf5", rows)
    path = convert(tmp_path / "t.hdf5", tmp_path / "t.parquet")
    found = pq.read_table(path)
    assert found.column_names == list(columns)
    for name, values in columns.items():
        read = found[name].to_numpy()
        assert read.dtype == values.dtype and read.tobytes() == values.tobytes()
    about = pq.read_metadata(path)
    sizes = [about.row_group(n).num_rows for n in range(about.num_row_groups)]
    assert sizes == ([100] * (rows // 100) + [rows % 100] * (rows % 100 > 0) or [0])


@pytest.mark.parametrize("rows", [0, 250])
def test_other_programs_read_them(tmp_path, rows):
    columns = table(tmp_path / "t.hdf5", rows)
    path = convert(tmp_path / "t.hdf5", tmp_path / "t.parquet")
    readers = {
        "polars": lambda polars: polars.read_parquet(path).to_dict(as_series=True),
        "duckdb": lambda duckdb: duckdb.sql(f"SELECT * FROM '{path}'").fetchnumpy(),
        "awkward": lambda ak: dict(zip(*fields_of(ak.from_parquet(path)), strict=True)),
    }
    missing = []
    for name, read in readers.items():
        try:
            package = __import__(name)
        except ModuleNotFoundError:
            missing.append(name)
            continue
        found = read(package)
        assert list(found) == list(columns), name
        for column, values in columns.items():
            of = np.asarray(found[column])
            assert of.dtype == values.dtype and of.tobytes() == values.tobytes(), (name, column)
    if missing:
        pytest.skip(f"without {', '.join(missing)}")


def fields_of(array):
    return array.fields, [array[name] for name in array.fields]


def test_equal_tables_give_equal_files(first, tmp_path):
    source = first / "hdf5" / parquet_path(first, "VH").with_suffix(".hdf5").name
    note = {"table": "t", "sha256": "0"}
    features = read_json(first / "run.json")["features"]
    one, other = (convert(source, tmp_path / name, features, note) for name in ("a", "b"))
    assert one.read_bytes() == other.read_bytes()


def test_metadata_say_what_the_columns_are_and_of_which_table(first):
    record = read_json(first / "run.json")
    schema = pq.read_schema(parquet_path(first, "VH"))
    (vh,) = (sample for sample in record["samples"] if sample["name"] == "VH")
    note = {"table": vh["tables"]["SR3L"], "sha256": vh["checksums"]["SR3L"]}
    assert json.loads(schema.metadata[b"m3l"]) == note
    for feature in record["features"]:
        about = {key.encode(): feature[key].encode() for key in ("label", "unit")}
        assert schema.field(feature["name"]).metadata == about
    assert not any(field.nullable for field in schema)


def test_flipped_bit_shows(tmp_path):
    table(tmp_path / "t.hdf5", 500)
    path = convert(tmp_path / "t.hdf5", tmp_path / "t.parquet")
    content = bytearray(path.read_bytes())
    place = pq.read_metadata(path).row_group(0).column(1).data_page_offset
    content[place + 200] ^= 1
    path.write_bytes(content)
    with pytest.raises(OSError, match="(?i)crc"):
        pq.read_table(path, page_checksum_verification=True)


@pytest.mark.slow
def test_tables_of_variations_are_converted(runs):
    folder = runs("-s", "VH", "--vary", "--vary-tables", *BOTH)
    names = {path.stem for path in (folder / "hdf5").iterdir()}
    assert len(names) > 1 and names == {path.stem for path in (folder / "parquet").iterdir()}
    found = pd.read_parquet(parquet_path(folder, "VH"))
    assert list(found) == list(read_table(folder, "VH"))


# --- when they are made -----------------------------------------------------------------------


def test_they_are_added_to_a_run_that_is_there(first, run_here, tmp_path):
    assert run_here("-s", "Ztt", "VH", "-r", "SR3L", "SR2L", "-o", tmp_path).status == 0
    assert not (tmp_path / "parquet").exists() and "parquet" not in read_json(tmp_path / "run.json")
    outcome = run_here(*WORDS, "-r", "SR3L", "SR2L", "-o", tmp_path)
    assert "2 of 2 samples have not changed" in outcome.out
    assert "parquet/ (4 tables)" in outcome.out
    for path in (first / "parquet").iterdir():
        assert (tmp_path / "parquet" / path.name).read_bytes() == path.read_bytes()


def test_only_what_has_changed_is_converted_again(done, tmp_path):
    before = made_at(tmp_path / "out")
    assert "is up to date" in done(*BOTH)
    assert made_at(tmp_path / "out") == before
    path = parquet_path(tmp_path / "out", "VH")
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    assert "written to" in done(*BOTH)
    assert path.read_bytes() == content
    after = made_at(tmp_path / "out")
    assert {name for name in before if before[name] != after[name]} == {path.name}


def test_other_tables_are_converted_again(done, tmp_path):
    before = made_at(tmp_path / "out")
    assert "written to" in done(*BOTH, "-n", "20")
    after = made_at(tmp_path / "out")
    assert not set(before.items()) & set(after.items())
    for sample in ("VH", "Ztt"):
        found = pd.read_parquet(parquet_path(tmp_path / "out", sample))
        assert len(found) == len(read_table(tmp_path / "out", sample))


def test_those_that_would_be_stale_are_removed(done, run_here, tmp_path):
    out = tmp_path / "out"
    (out / "parquet" / "mine.parquet").write_text("of somebody else")
    assert run_here("-s", "VH", *BOTH, "-o", out).status == 0
    assert set(made_at(out)) == {parquet_path(out, "VH").name, "mine.parquet"}
    (out / "parquet" / "mine.parquet").unlink()
    outcome = run_here("-s", "VH", "-o", out)
    assert not (out / "parquet").exists()
    again = "--format hdf5 parquet writes such files again"
    assert outcome.lines == [f"m3l: warning: 1 Parquet file of an earlier run removed: {again}"]


def test_those_of_a_run_without_record_are_removed_as_well(done, tmp_path):
    (tmp_path / "out" / "run.json").unlink()
    done("-n", "300")
    assert not (tmp_path / "out" / "parquet").exists()


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left")])
def test_what_is_not_complete_has_no_name(run_here, tmp_path, monkeypatch, stop, does_not_exit):
    """The second table is stopped within."""

    class Full(io.FileIO):
        def write(self, data):
            if "VH" in str(self.name):
                super().write(data[:2])
                raise stop
            return super().write(data)

    monkeypatch.setattr(parquet, "open", lambda path, mode: Full(path, mode), raising=False)
    out = tmp_path / "out"
    outcome = run_here(*WORDS, "-o", out)
    assert not (out / "parquet").exists() and not (out / "run.json").exists()
    if stop is KeyboardInterrupt:
        assert outcome.status == 130
    else:
        advice = "No space left; free disk space and run again"
        assert outcome.lines == [f"m3l: output folder {out} cannot be written: {advice}"]
    monkeypatch.undo()
    again = run_here(*WORDS, "-o", out)
    assert "2 of 2 samples have not changed" in again.out and len(made_at(out)) == 2


def test_names_in_a_record_from_elsewhere_remove_nothing(done, tmp_path):
    secret = tmp_path / "secret.parquet"
    secret.write_text("mine")
    record = read_json(tmp_path / "out" / "run.json")
    record["parquet"]["parquet/../../secret.parquet"] = "0" * 64
    (tmp_path / "out" / "run.json").write_text(json.dumps(record))
    done()
    assert secret.exists()


# --- options ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--format", "parquet"), "give --format hdf5 parquet"),
        (("--format", "csv"), "invalid choice: 'csv'"),
        ((*BOTH, "--list"), "--format is for runs"),
        ((*BOTH, "--chain", "WZ"), "--format is for runs"),
        ((*BOTH, "--event", "WZ:12"), "--format is for runs"),
        ((*BOTH, "--skim", "skim"), "--skim does not go with --format"),
    ],
)
def test_wrong_use(capsys, words, line):
    import run_rdf

    with pytest.raises(SystemExit) as exit:
        run_rdf.main([*words])
    assert exit.value.code == 2 and line in capsys.readouterr().err.splitlines()[-1]


def test_hdf5_alone_is_the_default(runs):
    assert not (runs("-s", "Ztt", "--format", "hdf5") / "parquet").exists()


@pytest.mark.parametrize("words", [("-o", "out"), ("--check",)])
def test_missing_package_is_told_before_anything_runs(run_here, tmp_path, monkeypatch, words):
    monkeypatch.setattr(parquet, "find_spec", lambda name: None)
    words = [str(tmp_path / word) if word == "out" else word for word in words]
    outcome = run_here(*WORDS, *words)
    advice = "pip install -e '.[parquet]', or --format hdf5"
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.lines == [f"m3l: Parquet needs the package pyarrow: {advice}"]
    assert not (tmp_path / "out").exists()


def test_run_that_is_done_again_writes_the_same(first, run_here, tmp_path):
    outcome = run_here("--rerun", first / "run.json", "-o", tmp_path / "again")
    assert outcome.status == 0 and "same result" in outcome.out
    again = read_json(tmp_path / "again" / "run.json")
    assert again["parquet"] == read_json(first / "run.json")["parquet"]
    words = ("--format", "hdf5", "-o", tmp_path / "alone")
    assert run_here("--rerun", first / "run.json", *words).status == 0
    assert not (tmp_path / "alone" / "parquet").exists()


def test_merged_jobs_write_the_same(first, submit_here, tmp_path, monkeypatch):
    folder = tmp_path / "out"
    words = ("-r", "SR3L", "SR2L", "--events-per-job", "500")
    assert submit_here("local", *WORDS, *words, "-o", folder).status == 0
    assert read_json(folder / "run.json")["parquet"] == read_json(first / "run.json")["parquet"]
    for path in (first / "parquet").iterdir():
        assert (folder / "parquet" / path.name).read_bytes() == path.read_bytes()
    monkeypatch.setattr(parquet, "find_spec", lambda name: None)
    for again in (("merge", folder), ("local", *WORDS, "-o", tmp_path / "other")):
        outcome = submit_here(*again)
        assert outcome.status == 1 and "Parquet needs the package pyarrow" in outcome.lines[0]
    assert not (tmp_path / "other").exists()
    shutil.rmtree(folder)
