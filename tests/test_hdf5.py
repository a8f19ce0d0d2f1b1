"""Tables in HDF5 files: what pandas reads, what is refused, and what happens to damaged ones."""

import hashlib
import json
import os
import pickle
import re
import subprocess
import sys
from contextlib import suppress

import h5py
import ml_tables
import numpy as np
import pandas as pd
import plot_inputs
import pytest
from conftest import REPOSITORY, slow
from h5py import h5p

from analysis.errors import InputError
from analysis.hdf5 import Frame, fletcher32
from analysis.hdf5_writer import FrameWriter
from analysis.output import Table
from analysis.results import Results, read_frame
from ml.dataset import Dataset
from plotting.scores import origin

ABOUT = {"sample": "WZ", "region": "SR3L", "model": "small"}


def columns(rows=1500, seed=0):
    random = np.random.default_rng(seed)
    return {
        "EventNumber": random.integers(-(2**62), 2**62, rows),
        "wgt_SG": random.random(rows),
        "score": random.normal(size=rows).astype("f4"),
        "fold": random.integers(0, 5, rows).astype("i1"),
        "trained_on": random.random(rows) < 0.5,
        "error": np.where(random.random(rows) < 0.9, 0, random.random(rows)).astype("f4"),
    }


def write(path, content, key="scores", step=700):
    types = {name: values.dtype for name, values in content.items()}
    rows = len(content["wgt_SG"])
    with FrameWriter(path, key, types, ABOUT) as file:
        for start in range(0, rows or 1, step):
            file.append({name: values[start : start + step] for name, values in content.items()})
    return path


def read(path, **how):
    with Frame(path, None, "write it again", **how) as frame:
        return frame.read_columns()


def refusal(path, action=read):
    """The one line that a file is refused with."""
    with pytest.raises(InputError) as caught:
        action(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("rows", [0, 3, 1024, 3000])
def test_pandas_reads_what_is_written(tmp_path, rows):
    content = columns(rows)
    path = write(tmp_path / "t.hdf5", content)
    pd.testing.assert_frame_equal(pd.read_hdf(path), pd.DataFrame(content))
    pd.testing.assert_frame_equal(pd.DataFrame(read(path)), pd.DataFrame(content))
    with pd.HDFStore(path, "r") as store:
        assert json.loads(store.get_storer("scores").attrs.m3l) == ABOUT
    with Frame(path, "scores", "") as frame:
        assert frame.about == ABOUT and frame.rows == rows
    assert write(tmp_path / "u.hdf5", content, step=99).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("rows", [0, 3, 9000])
@pytest.mark.parametrize("fletcher32", [False, True])
@pytest.mark.parametrize("library", [None, "zlib", "blosc:lz4", "blosc:zstd"])
def test_what_pandas_writes_is_read(tmp_path, rows, fletcher32, library):
    content = columns(rows)
    level = {"complevel": 5, "complib": library} if library else {}
    with pd.HDFStore(tmp_path / "t.hdf5", "w", fletcher32=fletcher32, **level) as store:
        store.put("mini", pd.DataFrame(content), format="fixed", track_times=False)
    with Frame(tmp_path / "t.hdf5", "mini", "") as frame:
        for name, values in frame.read_columns().items():
            np.testing.assert_array_equal(values, content[name])
        part = frame.read(["error", "wgt_SG"], 1, 8500, "f8")
    np.testing.assert_array_equal(part, pd.DataFrame(content)[["error", "wgt_SG"]][1:8500])


@pytest.mark.parametrize("size", [0, 1, 2, 7, 719, 720, 1024, 1025, 300_001])
@pytest.mark.parametrize("fill", [0, 255, None])
def test_checksum_is_that_of_hdf5(tmp_path, size, fill):
    random = np.random.default_rng(size)
    data = random.bytes(size) if fill is None else bytes([fill]) * size
    assert len(fletcher32(data)) == 4
    if size:
        with h5py.File(tmp_path / "t.hdf5", "w") as file:
            array = file.create_dataset("a", data=np.frombuffer(data, "u1"), fletcher32=True)
            array = file.create_dataset("b", (size,), "u1", chunks=(size,), fletcher32=True)
            array[:] = np.frombuffer(data, "u1")
            _, stored = array.id.read_direct_chunk((0,))
        assert stored[:-4] == data and stored[-4:] == fletcher32(data)


def test_every_flipped_byte_of_the_data_is_noticed(tmp_path):
    path = write(tmp_path / "t.hdf5", columns(40))
    with Frame(path, None, "") as frame:
        parts = {name: part for name, part in frame._parts.items() if name != "axis1"}
    places = [place for part in parts.values() for place in part.places.values()]
    good = path.read_bytes()
    assert len(places) == 1 + 2 * 5  # but the row numbers, which are not needed
    for position, size, _ in places:
        for at in range(position, position + size):
            path.write_bytes(good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :])
            assert "damaged" in refusal(path)


def test_every_length_of_a_truncated_file_is_noticed(tmp_path):
    path = write(tmp_path / "t.hdf5", columns(40))
    good = path.read_bytes()
    for size in range(0, len(good), 37):
        path.write_bytes(good[:size])
        refusal(path)


def test_checksum_of_the_whole_file(tmp_path):
    path = write(tmp_path / "t.hdf5", columns())
    good = path.read_bytes()
    sha256 = hashlib.sha256(good).hexdigest()
    read(path, sha256=sha256)
    assert "checksum differs" in refusal(path, lambda p: read(p, sha256="0" * 64))
    write(path, columns(seed=1))
    assert "checksum differs" in refusal(path, lambda p: read(p, sha256=sha256))
    path.write_bytes(good)
    read(path, sha256=sha256)


def test_checksums_of_run_json_are_compared(tmp_path):
    folder = plot_inputs.write_run(tmp_path / "out")
    run = json.loads((folder / "run.json").read_text())
    for sample in run["samples"]:
        path = folder / sample["tables"]["SR3L"]
        sample["checksums"] = {"SR3L": hashlib.sha256(path.read_bytes()).hexdigest()}
    (folder / "run.json").write_text(json.dumps(run))
    Dataset.open(folder).load()
    Results(folder).table("SR3L", "WZ")
    path = folder / run["samples"][0]["tables"]["SR3L"]
    frame = pd.read_hdf(path)
    frame.loc[3, "m_3l"] += 1
    frame.to_hdf(path, key="mini", mode="w")
    assert "checksum differs" in refusal(path, lambda _: Dataset.open(folder))
    assert "checksum differs" in refusal(path, lambda _: Results(folder).table("SR3L", "WZ"))


# --- what other people may have put into a file ------------------------------------------------


class Bomb:
    """Unpickled, it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def bomb(marker):
    return pickle.dumps(Bomb(marker), 0)


def edit_group(change):
    def edit(path, marker):
        with h5py.File(path, "a") as file:
            (key,) = file
            change(file[key], marker)

    return edit


def attribute(where, name):
    def change(group, marker):
        node = {"group": group, "file": group.file}.get(where) or group[where]
        node.attrs[name] = np.bytes_(bomb(marker))

    return edit_group(change)


def replace(name, make):
    """Another array of the same attributes."""

    def change(group, _):
        kept = dict(group[name].attrs)
        values = group[name][:]
        del group[name]
        node = make(group, name, values)
        for key, value in kept.items():
            node.attrs[key] = value

    return edit_group(change)


def object_column(path, marker):
    frame = pd.read_hdf(path).assign(evil=[Bomb(marker)] + [None] * 39)
    with pytest.warns(pd.errors.PerformanceWarning):
        frame.to_hdf(path, key="mini", mode="w")


def linked(link):
    def change(group, _):
        del group["axis1"]
        group["axis1"] = link

    return edit_group(change)


def outside(group, name, values):
    return group.create_dataset(
        name, values.shape, values.dtype, external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)]
    )


def virtual(group, name, values):
    layout = h5py.VirtualLayout(values.shape, values.dtype)
    layout[:] = h5py.VirtualSource("/etc/passwd", "a", values.shape)
    return group.create_virtual_dataset(name, layout)


def huge(group, name, values):
    shape = (10**15, values.shape[1])
    return group.create_dataset(name, shape, values.dtype, chunks=(1024, values.shape[1]))


def huge_contiguous(group, name, values):
    return group.create_dataset(name, (10**15, values.shape[1]), values.dtype)


def as_type(kind):
    return lambda group, name, values: group.create_dataset(name, values.shape, kind)


def strange_numbers(group, name, values):
    kind = h5py.h5t.IEEE_F32LE.copy()
    kind.set_fields(31, 22, 9, 0, 22)
    space = h5py.h5s.create_simple(values.shape)
    return h5py.Dataset(h5py.h5d.create(group.id, name.encode(), kind, space))


def many_blocks(group, _):
    group.attrs["nblocks"] = 10**9


def more(group, _):
    group["more"] = [1]


def beside(group, _):
    group.file["another"] = [1]


EVIL = {
    "unknown attribute of the group": (attribute("group", "evil"), "unknown attribute 'evil'"),
    "unknown attribute of the file": (attribute("file", "evil"), "unknown attribute 'evil'"),
    "unknown attribute of an array": (attribute("axis0", "evil"), "unknown attribute 'evil'"),
    "title": (attribute("file", "TITLE"), "'TITLE'"),
    "name": (attribute("axis1", "name"), "'name'"),
    "shape": (attribute("block0_values", "shape"), "'shape'"),
    "encoding": (attribute("group", "encoding"), "'encoding'"),
    "note": (attribute("group", "m3l"), "'m3l'"),
    "object column": (object_column, "not allowed"),
    "soft link": (linked(h5py.SoftLink("/mini/block0_values")), "link"),
    "external link": (linked(h5py.ExternalLink("other.hdf5", "/mini/axis1")), "link"),
    "external storage": (replace("block0_values", outside), "another file"),
    "virtual": (replace("block0_values", virtual), "another file"),
    "compound": (replace("block0_values", as_type([("a", "f4")])), "compound"),
    "variable length": (replace("block0_values", as_type(h5py.vlen_dtype("f4"))), "vlen"),
    "variable words": (replace("axis0", as_type(h5py.string_dtype())), "string"),
    "reference": (replace("block0_values", as_type(h5py.ref_dtype)), "reference"),
    "strange numbers": (replace("block0_values", strange_numbers), "not allowed"),
    "opaque": (replace("block0_values", as_type("V4")), "opaque"),
    "enumeration": (replace("block0_values", as_type(h5py.enum_dtype({"a": 1}))), "enum"),
    "filter": (
        replace(
            "block0_values",
            lambda group, name, values: group.create_dataset(name, data=values, compression="lzf"),
        ),
        "filter",
    ),
    "10^15 rows": (replace("block0_values", huge), "1000000000000000 x"),
    "10^15 rows in one": (replace("block0_values", huge_contiguous), "1000000000000000 x"),
    "10^9 blocks": (edit_group(many_blocks), "nblocks"),
    "more arrays": (edit_group(more), "more"),
    "more groups": (edit_group(beside), "another"),
}


@pytest.fixture
def folder(tmp_path):
    """An output folder with one sample."""
    sample = ("WZ", "diboson3L", "background", 40, 40.0, 0.5)
    return plot_inputs.write_run(tmp_path / "out", [sample])


@pytest.mark.parametrize("kind", EVIL)
def test_what_is_no_part_of_a_table_is_refused(folder, tmp_path, kind):
    """By all readers, with one line, and no pickle runs."""
    path, marker = folder / "hdf5" / "WZ_SR3L.hdf5", tmp_path / "marker"
    spoil, word = EVIL[kind]
    spoil(path, marker)
    for reader in (
        lambda p: Table(p, "remove it and resubmit").close(),  # merge
        lambda p: Dataset.open(folder),
        lambda p: Results(folder).table("SR3L", "WZ"),
        read_frame,  # as a file of scores
        origin,
    ):
        assert word in refusal(path, reader)
    assert not marker.exists()


def test_bombs_of_the_tests_work(folder, tmp_path):
    """pandas runs them."""
    marker = tmp_path / "marker"
    attribute("axis1", "name")(folder / "hdf5" / "WZ_SR3L.hdf5", marker)
    with suppress(Exception):
        pd.read_hdf(folder / "hdf5" / "WZ_SR3L.hdf5")
    assert marker.exists()


def test_scores_of_the_table_format_are_to_be_made_again(tmp_path):
    """Earlier versions wrote them so; the names of its columns are pickles."""
    path = tmp_path / "t.hdf5"
    pd.DataFrame(columns()).to_hdf(path, key="scores", format="table")
    for reader in (read_frame, origin):
        line = refusal(path, reader)
        assert "table format" in line and "score again" in line


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refusal(tmp_path / "pipe")
    assert "not a regular file" in refusal(tmp_path)
    assert "no table" in refusal(tmp_path / "nothing")


def test_few_bytes_do_not_become_many(tmp_path):
    """Chunks that stand for more than any packing can hold, or that share their bytes."""
    path = write(tmp_path / "t.hdf5", columns(40))
    with h5py.File(path, "a") as file:
        array = file["scores/block0_values"]
        properties = h5p.create(h5p.DATASET_CREATE)
        properties.set_chunk((2**24, 1))
        properties.set_deflate(1)
        kept = dict(array.attrs)
        del file["scores/block0_values"]
        space = h5py.h5s.create_simple((40, 1), (h5py.h5s.UNLIMITED, 1))
        made = h5py.h5d.create(
            file["scores"].id, b"block0_values", h5py.h5t.NATIVE_INT64, space, properties
        )
        made.write_direct_chunk((0, 0), b"x" * 100)
        for key, value in kept.items():
            h5py.Dataset(made).attrs[key] = value
    assert "is said to have" in refusal(path)


def test_nothing_reads_hdf5_by_pytables_or_pandas():
    """Both run pickles."""
    for part in ("analysis", "ml", "plotting"):
        for path in (REPOSITORY / part).rglob("*.py"):
            text = path.read_text()
            assert not re.search(r"tables\.open_file|HDFStore\(|pd\.read_hdf\(", text), path


# --- disks that fill, bytes that change ---------------------------------------------------------

LIMITS = """
import os, resource, sys
from pathlib import Path
sys.path.insert(0, "tests")
from test_hdf5 import columns, write
from analysis.errors import OutputError
from analysis.files import atomic_file

path, content = Path(sys.argv[1]), columns(300)
for limit in range(0, int(sys.argv[2]), 97):
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        try:
            with atomic_file(path) as new:
                write(new, content)
        except OutputError as error:
            os._exit(0 if "File too large; free disk space" in str(error) else 2)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0, limit
    assert not list(path.parent.iterdir()), limit
"""


def python(code, *arguments):
    words = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def test_disk_that_is_full_at_any_size(tmp_path):
    size = write(tmp_path / "t.hdf5", columns(300)).stat().st_size
    (tmp_path / "small").mkdir()
    python(LIMITS, tmp_path / "small" / "t.hdf5", size)


@pytest.mark.parametrize("lost", [0, 1, 3, 20])
def test_write_that_is_lost_without_an_error(tmp_path, monkeypatch, lost):
    """The file is read again when it is complete."""
    from analysis.hdf5_writer import Disk

    written, whole = [], Disk.write

    def forgetful(self, data):
        written.append(len(data))
        return len(data) if len(written) == lost + 1 else whole(self, data)

    monkeypatch.setattr(Disk, "write", forgetful)
    with pytest.raises(OSError, match="not on disk as it was written"):
        write(tmp_path / "t.hdf5", columns())
    assert len(written) > 20


def test_failed_write_leaves_no_open_file(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ValueError, match="same shape"):
        write(tmp_path / "t.hdf5", {"wgt_SG": np.ones(3), "x": np.ones(2)})
    with pytest.raises(ZeroDivisionError), FrameWriter(tmp_path / "t.hdf5", "x", {"a": "f4"}):
        raise ZeroDivisionError
    assert len(os.listdir("/proc/self/fd")) == before


FLIPS = """
import random, sys
from pathlib import Path
sys.path.insert(0, "tests")
import numpy as np
from test_hdf5 import read
from analysis.errors import InputError

path, protected = Path(sys.argv[1]), sys.argv[2] == "True"
sha256 = sys.argv[3] if len(sys.argv) > 3 else None
good, expected = path.read_bytes(), read(path)
found = {"equal": 0, "other": 0, "refused": 0}
for seed in range(600):
    random.seed(seed)
    data = bytearray(good)
    for _ in range(random.choice((1, 1, 1, 4))):
        data[random.randrange(len(data))] ^= random.randrange(1, 256)
    path.write_bytes(data)
    print(seed, flush=True)
    try:
        values = read(path, sha256=sha256)
    except InputError as error:
        assert str(path) in str(error) and len(error.problems) == 1 and "\\n" not in str(error)
        found["refused"] += 1
    else:
        same = list(values) == list(expected) and all(
            np.array_equal(values[name], expected[name]) for name in values
        )
        found["equal" if same else "other"] += 1
assert found["refused"] > 99, found
assert not (protected and found["other"]), found
assert not (sha256 and found["refused"] < 600), found
"""


@pytest.mark.parametrize("rows", [3, slow(1500)])
@pytest.mark.parametrize("known", [False, True])
def test_flipped_bytes_give_the_right_values_or_one_line(tmp_path, rows, known):
    path = write(tmp_path / "t.hdf5", columns(rows))
    sha256 = [hashlib.sha256(path.read_bytes()).hexdigest()] if known else []
    python(FLIPS, path, True, *sha256)


@pytest.mark.parametrize("library", [None, *map(slow, ("zlib", "blosc:lz4"))])
def test_flipped_bytes_of_a_file_without_checksums_do_not_crash(tmp_path, library):
    level = {"complevel": 5, "complib": library} if library else {}
    pd.DataFrame(columns(3)).to_hdf(tmp_path / "t.hdf5", key="mini", **level)
    python(FLIPS, tmp_path / "t.hdf5", False)


def test_flipped_bytes_of_a_table(demo_output, tmp_path):
    """As run_rdf.py writes it."""
    path = tmp_path / "t.hdf5"
    path.write_bytes(ml_path(demo_output).read_bytes())
    python(FLIPS, path, True)


def ml_path(folder):
    return folder / ml_tables.TABLE.format("ttbar")
