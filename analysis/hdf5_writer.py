"""Writing tables into HDF5 files, in the format that hdf5.py reads, and pandas as well."""

import io
import json
import os
import zlib
from collections.abc import Callable
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from h5py import h5d, h5f, h5fd, h5g, h5p, h5s, h5t, h5z

from analysis.errors import InputError
from analysis.files import reason
from analysis.hdf5 import Frame, fletcher32

CHUNK = 1024  # rows that are compressed together


@dataclass(frozen=True)
class Packer:
    """How chunks are compressed."""

    number: int  # of HDF5's filter that unpacks them
    values: tuple[int, ...]  # which the filter is given
    pack: Callable  # from a chunk, a contiguous array, to the bytes that are stored


DEFLATE = Packer(h5z.FILTER_DEFLATE, (1,), lambda chunk: zlib.compress(chunk.view("u1"), 1))


class Disk(io.FileIO):
    """A new file for HDF5 to write to, which takes everything and remembers the first error.

    HDF5 itself may close a file on a full disk as if nothing were wrong, or not at all.
    """

    def __init__(self, path):
        super().__init__(path, "w+")
        self.error = None

    def write(self, data):
        """Write all bytes, or remember why not."""
        rest = memoryview(data).cast("B")
        try:
            while rest and self.error is None:
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = error
        return len(data)

    def truncate(self, size=None):
        """As of any file; an error is remembered."""
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size

    @contextmanager
    def checked(self):
        """Around calls of the HDF5 library: raises OSError of one line for what went wrong."""
        library = None
        try:
            yield
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            library = error
        if self.error is None and library is None:
            return
        lines = str(library).splitlines() or ["HDF5 failed"]
        raise OSError(reason(self.error) if self.error else lines[0]) from None


def create(disk):
    """A new h5py.File in the format that has checksums in everything that is not data."""
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_libver_bounds(h5f.LIBVER_V110, h5f.LIBVER_V110)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    access.set_fileobj_driver(h5fd.fileobj_driver, disk)
    name, properties = os.fsencode(disk.name), timeless(h5p.FILE_CREATE)
    return h5py.File(h5f.create(name, h5f.ACC_TRUNC, fcpl=properties, fapl=access))


def timeless(kind):
    """The properties of a new object that does not note when it was made."""
    properties = h5p.create(kind)
    properties.set_obj_track_times(False)
    return properties


def describe(node, **attributes):
    """Give an HDF5 object attributes as PyTables does, but never a pickle."""
    for name, value in attributes.items():
        if isinstance(value, str):
            value = value.encode()
            kind = h5py.string_dtype("utf-8", len(value))
            node.attrs.create(name, np.array(value, f"S{len(value)}"), dtype=kind)
        else:
            node.attrs.create(name, value)


class FrameWriter:
    """A table that `pandas.read_hdf` reads, written in pieces; equal rows give equal files.

    To be used in a `with`, at the end of which the file is read again and compared. Raises OSError
    for whatever cannot be written.
    """

    def __init__(self, path, key, columns, about=None, packer=DEFLATE):
        """columns: {name: numpy type} in their order
        about: note, a JSON object, which becomes the attribute `m3l` of the group
        """
        self.path, self.key, self.columns, self.packer = Path(path), key, tuple(columns), packer
        self.rows = 0
        blocks = {}
        for name, dtype in columns.items():
            blocks.setdefault(np.dtype(dtype), []).append(name)
        self.file, self.disk = None, Disk(path)
        try:
            self.prepare(blocks, about)
        except BaseException:
            self.abandon()
            raise

    def prepare(self, blocks, about):
        """Make all groups and arrays; blocks: {type: names of its columns}."""
        with self.disk.checked():
            self.file = create(self.disk)
            describe(self.file, CLASS="GROUP", PYTABLES_FORMAT_VERSION="2.1", VERSION="1.0")
            group = h5py.Group(
                h5g.create(self.file.id, self.key.encode(), gcpl=timeless(h5p.GROUP_CREATE))
            )
            describe(
                group,
                CLASS="GROUP",
                VERSION="1.0",
                pandas_type="frame",
                pandas_version="0.15.2",
                encoding="UTF-8",
                errors="strict",
                ndim=2,
                nblocks=len(blocks),
                axis0_variety="regular",
                axis1_variety="regular",
            )
            if about is not None:
                describe(group, m3l=json.dumps(about))
            self.parts = {"axis0": self.names(group, "axis0", self.columns)}
            self.parts["axis1"] = PartWriter(group, "axis1", np.dtype("i8"), (), self.packer)
            describe(self.parts["axis1"].array, kind="integer")
            self.blocks = {}
            for number, (dtype, names_) in enumerate(blocks.items()):
                describe(group, **{f"block{number}_items_variety": "regular"})
                items, values = f"block{number}_items", f"block{number}_values"
                self.parts[items] = self.names(group, items, names_)
                self.parts[values] = PartWriter(group, values, dtype, (len(names_),), self.packer)
                self.blocks[dtype] = names_, self.parts[values]

    def names(self, group, name, names_):
        """Write the names of some columns."""
        words = np.array([word.encode() for word in names_])
        part = PartWriter(group, name, words.dtype, (), self.packer, len(words))
        describe(part.array, kind="string", nan_rep="nan")
        part.append(words)
        return part

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self.close()
        else:
            self.abandon()

    def append(self, columns):
        """Add rows: {name: (rows,) array} for all columns."""
        self.append_blocks(
            {
                dtype: np.stack([np.asarray(columns[name], dtype) for name in names_], axis=1)
                for dtype, (names_, _) in self.blocks.items()
            }
        )

    def append_blocks(self, blocks):
        """Add rows: {type: (rows, columns) array} for the types of all columns."""
        (size,) = {len(values) for values in blocks.values()}
        with self.disk.checked():
            for dtype, values in blocks.items():
                self.blocks[np.dtype(dtype)][1].append(values)
            self.parts["axis1"].append(np.arange(self.rows, self.rows + size))
        self.rows += size

    def close(self):
        """End the table, and compare what is on disk with what was written."""
        try:
            with self.disk.checked():
                for part in self.parts.values():
                    part.finish()
                self.file.close()
            self.disk.close()
            self.compare()
        except BaseException:
            self.abandon()
            raise

    def compare(self):
        """Raise OSError if the file does not hold what was written."""
        try:
            with Frame(self.path, self.key, "run again") as frame:
                same = (
                    frame.rows == self.rows
                    and frame.columns == self.columns
                    and frame.stored() == {name: p.checksums for name, p in self.parts.items()}
                )
        except InputError:
            same = False
        if not same:
            raise OSError("it is not on disk as it was written; free disk space and run again")

    def abandon(self):
        """Close the file, whatever it holds."""
        with suppress(OSError), self.disk.checked():
            if self.file is not None:
                self.file.close()
        self.disk.close()


class PartWriter:
    """An array of a table that rows are added to."""

    def __init__(self, group, name, dtype, width, packer, chunk=None):
        """width: () for an array, (columns,) for a matrix; chunk: None: CHUNK rows"""
        self.dtype, self.pack = dtype, packer.pack
        self.chunk = (chunk or CHUNK, *width)
        self.rows, self.waiting, self.checksums = 0, np.empty((0, *width), dtype), {}
        properties = timeless(h5p.DATASET_CREATE)
        properties.set_chunk(self.chunk)
        properties.set_filter(packer.number, h5z.FLAG_OPTIONAL, packer.values)
        properties.set_fletcher32()
        space = h5s.create_simple((0, *width), (h5s.UNLIMITED, *width))
        kind = h5t.STD_B8LE if dtype.kind == "b" else h5t.py_create(dtype)
        self.array = h5py.Dataset(h5d.create(group.id, name.encode(), kind, space, properties))
        describe(self.array, CLASS="EARRAY", VERSION="1.1", EXTDIM=np.int32(0))
        describe(self.array, transposed=np.uint8(1))

    def append(self, values):
        """Add rows."""
        if len(self.waiting):
            values = np.concatenate([self.waiting, values])
        whole = len(values) - len(values) % self.chunk[0]
        for first in range(0, whole, self.chunk[0]):
            self.write(values[first : first + self.chunk[0]])
        self.waiting = np.array(values[whole:], self.dtype)

    def finish(self):
        """Write the last rows, which may fill a part of a chunk."""
        if len(self.waiting):
            self.write(self.waiting)

    def write(self, values):
        """Write the rows of a chunk."""
        corner = (self.rows, *(0 for _ in self.chunk[1:]))
        self.rows += len(values)
        if len(values) < self.chunk[0]:
            chunk = np.zeros(self.chunk, self.dtype)
            chunk[: len(values)] = values
        else:
            chunk = np.ascontiguousarray(values, self.dtype)
        packed = self.pack(chunk)
        packed += fletcher32(packed)
        self.checksums[corner] = zlib.crc32(packed)
        self.array.id.set_extent((self.rows, *self.chunk[1:]))
        self.array.id.write_direct_chunk(corner, packed)
