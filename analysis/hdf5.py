"""Tables in HDF5 files, in pandas' "fixed" format: nothing that such a file holds is ever run.

PyTables, by which pandas reads them, runs the pickles that it finds in a file. Here the HDF5
library only tells where things are, and whatever is not part of a table is refused; the numbers
are read, checked and unpacked by this module.

A table is a group with `axis0`, the names of all columns, `axis1`, the numbers of the rows, and for
each type of column a matrix `blockN_values` (rows, columns) with its names, `blockN_items`. What is
written here carries a checksum in every part: HDF5's fletcher32 over the stored bytes of a chunk,
and those of HDF5's newer file format over everything that is not data.
"""

import ctypes
import hashlib
import io
import json
import math
import os
import re
import stat
import zlib
from ctypes.util import find_library
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import h5py
import numpy as np
from h5py import h5a, h5d, h5l, h5s, h5t, h5z

from analysis.errors import InputError, listed

BLOSC = 32001  # its number among HDF5's filters
PACKERS = {h5z.FILTER_DEFLATE, BLOSC}
FILTERS = {h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32, *PACKERS}

KINDS = "biuf"  # of numpy's types that a column may have
LARGEST = 2**28  # bytes of a chunk
MOST_PACKED = 1100  # bytes that a stored byte may stand for; zlib reaches 1032
LONGEST = 2**20  # bytes of an attribute

# Attributes of pandas and PyTables, with what their value must be.
WORDS = {
    "CLASS": "GROUP|ARRAY|CARRAY|EARRAY",
    "PYTABLES_FORMAT_VERSION|VERSION|pandas_version": r"[0-9]+(\.[0-9]+)*",
    "TITLE": "",
    "FLAVOR": "numpy",
    "EXTDIM": "0",
    "pandas_type": "frame",
    "encoding": "UTF-8",
    "errors": "strict|surrogatepass",
    "ndim": "2",
    "nblocks": "[0-9]{1,4}",
    r"axis[01]_variety|block[0-9]+_items_variety": "regular",
    "transposed": "[01]",
    "kind": "string|integer",
    "name": r"N\.",  # a pickled None
    "nan_rep": "nan|",
    "value_type": "[a-z]+[0-9]*",
    "shape": r"\((I[0-9]+\n){1,2}tp0\n\.",  # a pickled tuple
    "m3l": r"\{.*\}",
}
WORDS = [(re.compile(name), re.compile(value, re.DOTALL)) for name, value in WORDS.items()]

_verified = {}  # (path, size, time of modification): its SHA-256, which took a whole reading


class DamageError(Exception):
    """A file is not a table as it may be: what is wrong with it."""


class Frame:
    """A table in a file, open for reading in ranges of rows; use it in a `with`.

    Attributes:
        path: Path of the file
        rows: their number
        columns: names of the columns
        about: what the program that wrote it noted, a JSON object as dict
    """

    def __init__(self, path, key, advice, sha256=None):
        """Raises InputError, which says `advice`, where the file is missing or not as it must be.

        key: name of the group, None: the only one there is
        sha256: of the file, as it was written; None: not known
        """
        self.path, self.advice = Path(path), advice
        try:
            # A pipe without a writer would keep the program waiting.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            raise InputError(f"no table {path}: {advice}") from None
        except OSError as error:
            raise InputError(
                f"{path} exists but cannot be opened ({error.strerror}): {advice}"
            ) from None
        try:
            self._look(key, sha256)
        except (DamageError, OSError) as error:
            self.close()
            raise self._problem(error) from None
        except BaseException:
            self.close()
            raise

    def _problem(self, error):
        """The InputError for what was found wrong."""
        reason = getattr(error, "strerror", None) or error
        if isinstance(error, OSError):
            reason = f"cannot be read ({reason})"
        return InputError(f"{self.path} {reason}: {self.advice}")

    def _look(self, key, sha256):
        """Find out where everything is. Raises DamageError, or OSError."""
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise DamageError("is not a regular file")
        if sha256 is not None:
            verify(self.path, self._descriptor, sha256)
        with io.FileIO(self._descriptor, closefd=False) as raw:
            try:
                file = h5py.File(raw, "r")
            except Exception:  # the library has many ways to stumble over a damaged file
                raise DamageError("is not a readable HDF5 file (truncated?)") from None
            try:
                with file:
                    self._parts, self.about = look(file, key, self._descriptor, status.st_size)
            except (DamageError, MemoryError):
                raise
            except Exception as error:
                words = str(error).splitlines() or [type(error).__name__]
                raise DamageError(f"is damaged ({words[0]})") from None
        self._places, self.rows = self._arrange()
        self.columns = tuple(self._places)

    def _arrange(self):
        """Where each column is, as {name: (matrix, position)} in their order, and the rows."""
        order = self._parts["axis0"].words()
        rows, places = len(self._parts["axis1"]), {}
        for number in range((len(self._parts) - 2) // 2):
            matrix = self._parts[f"block{number}_values"]
            names = self._parts[f"block{number}_items"].words()
            if matrix.shape != (rows, len(names)):
                raise DamageError(f"is damaged (block {number} has another shape than its names)")
            places |= {name: (matrix, position) for position, name in enumerate(names)}
        if sorted(places) != sorted(order) or len(places) != len(order):
            raise DamageError("is damaged (its columns have several names)")
        return {name: places[name] for name in order}, rows

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None

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
        dtype = np.dtype(dtype or (places[0][0].dtype if places else float))
        size = max(stop - start, 0)
        values = None
        try:
            for matrix in {id(matrix): matrix for matrix, _ in places}.values():
                to = [i for i, place in enumerate(places) if place[0] is matrix]
                of = [places[i][1] for i in to]
                if of == list(range(len(columns))) and len(of) == matrix.shape[1]:
                    return matrix.read(start, start + size).astype(dtype, copy=False)
                if values is None:
                    values = np.empty((size, len(columns)), dtype)
                values[:, to] = matrix.read(start, start + size)[:, of]
        except (DamageError, OSError) as error:
            raise self._problem(error) from None
        return np.empty((size, 0), dtype) if values is None else values

    @property
    def types(self):
        """{name: numpy type} of all columns, in their order."""
        return {name: matrix.dtype for name, (matrix, _) in self._places.items()}

    def read_columns(self, columns=None, start=0, stop=None):
        """{name: (rows,) values of its own type} of the rows from `start` to before `stop`.

        columns: None: all of the table; stop: None: to the end
        """
        columns = list(self.columns if columns is None else columns)
        self.require(columns)
        types = {}
        for name in columns:
            types.setdefault(self._places[name][0].dtype, []).append(name)
        found = {}
        for names in types.values():
            found |= zip(names, self.read(names, start, stop).T, strict=True)
        return {name: found[name] for name in columns}

    def stored(self):
        """{part: CRC-32 of each of its chunks as they are stored}, for comparing."""
        try:
            return {name: part.checksums() for name, part in self._parts.items()}
        except (DamageError, OSError) as error:
            raise self._problem(error) from None


def verify(path, descriptor, sha256):
    """Raise DamageError if an open file has another SHA-256."""
    if sha256_of(path, descriptor) != sha256:
        raise DamageError("is not as it was written (its checksum differs)")


def sha256_of(path, descriptor):
    """SHA-256 of an open file; each file is read once per process."""
    status = os.fstat(descriptor)
    known = (os.path.abspath(path), status.st_size, status.st_mtime_ns)
    if known not in _verified:
        with io.FileIO(descriptor, closefd=False) as file:
            file.seek(0)
            _verified[known] = hashlib.file_digest(file, "sha256").hexdigest()
    return _verified[known]


def look(file, key, descriptor, size):
    """The parts of the table in an open h5py.File, as {name: Part}, and the note about it.

    Raises DamageError for everything that is not part of a table.
    """
    attributes(file, "/")
    members = names(file)
    if key is None and members:
        key = min(members)
    if key not in members:
        raise DamageError(f"holds no table '{key or ''}' in pandas' fixed format")
    if members != {key}:
        raise DamageError(f"holds more than the table '{key}': {listed(sorted(members - {key}))}")
    group = file[key]
    if not isinstance(group, h5py.Group):
        raise DamageError(f"holds no table '{key}' in pandas' fixed format")
    if h5a.exists(group.id, b"pandas_type"):
        if text_of(h5a.open(group.id, b"pandas_type")) == "frame_table":
            raise DamageError("is in pandas' table format, which keeps pickles")
    found = attributes(group, key)
    if found.get("pandas_type") != "frame":
        raise DamageError(f"holds no table '{key}' in pandas' fixed format")
    if "nblocks" not in found:
        raise DamageError("is damaged (it does not tell its number of blocks)")
    members, blocks = names(group), int(found["nblocks"])
    expected = {"axis0", "axis1"}
    expected |= {f"block{n}_{what}" for n in range(blocks) for what in ("items", "values")}
    if members != expected:
        raise DamageError(f"is damaged (it lacks or adds {listed(sorted(members ^ expected))})")
    parts = {name: part_of(group, name, descriptor, size) for name in sorted(members)}
    return parts, note(found.get("m3l", "{}"))


def note(text):
    """The JSON object in a text. Raises DamageError."""
    try:
        return dict(json.loads(text))
    except (ValueError, TypeError, RecursionError):
        raise DamageError("is damaged (its note is not JSON)") from None


def names(group):
    """The names in a group. Raises DamageError for links to elsewhere."""
    found = set(group)
    for name in found:
        if group.id.links.get_info(name.encode(errors="surrogateescape")).type != h5l.TYPE_HARD:
            raise DamageError(f"holds a link to elsewhere ({name!r}), which is not followed")
    return found


def attributes(node, where):
    """The attributes of a group or array as {name: text}. Raises DamageError for unknown ones."""
    found = {}
    for number in range(h5a.get_num_attrs(node.id)):
        attribute = h5a.open(node.id, index=number)
        name = attribute.name.decode(errors="replace")
        allowed = next((value for known, value in WORDS if known.fullmatch(name)), None)
        if allowed is None:
            raise DamageError(f"has the unknown attribute {name[:40]!r} at {where}")
        value = text_of(attribute)
        if value is None or not allowed.fullmatch(value):
            raise DamageError(
                f"has an attribute {name!r} at {where} with a value that is not allowed"
            )
        found[name] = value
    return found


def text_of(attribute):
    """The value of an attribute as text; None where it is neither a text nor a whole number."""
    kind, space = attribute.get_type(), attribute.get_space()
    if space.get_simple_extent_type() == h5s.NULL:
        return "" if kind.get_class() == h5t.STRING else None
    if space.get_simple_extent_type() != h5s.SCALAR or kind.get_size() > LONGEST:
        return None
    if kind.get_class() == h5t.STRING and not kind.is_variable_str():
        value = np.empty((), f"S{kind.get_size()}")
        attribute.read(value, mtype=kind)
        try:
            return value.tobytes().split(b"\0")[0].decode()
        except UnicodeDecodeError:
            return None
    if kind.get_class() in (h5t.INTEGER, h5t.BITFIELD):  # the latter is PyTables' bool
        value = np.empty((), kind.dtype)
        attribute.read(value, mtype=kind)
        return str(value)
    return None


def part_of(group, name, descriptor, size):
    """The Part of a name in the group of a table. Raises DamageError."""
    array = group[name]
    if not isinstance(array, h5py.Dataset):
        raise DamageError(f"is damaged ({name} is not an array)")
    found, kind = attributes(array, name), array.id.get_type()
    properties, words = array.id.get_create_plist(), name == "axis0" or name.endswith("items")
    dtype = type_of(kind, words)
    if dtype is None:
        raise DamageError(f"has a type that is not allowed in {name}: {kind_name(kind)}")
    if properties.get_external_count() or properties.get_layout() == h5d.VIRTUAL:
        raise DamageError(f"keeps {name} in another file, which is not followed")
    dimensions = 2 if name.endswith("values") else 1
    if len(array.shape) != dimensions:
        raise DamageError(f"is damaged ({name} has {len(array.shape)} dimensions)")
    if "shape" in found:  # pandas stores what has no elements as one dummy value
        shape = [int(number) for number in re.findall("I([0-9]+)", found["shape"])][::-1]
        if words or shape[0] != 0 or len(shape) != dimensions:
            raise DamageError(f"is damaged ({name} is said to be empty and is not)")
        return Part(name, descriptor, number_type(found.get("value_type")), tuple(shape))
    if dimensions == 2 and found.get("transposed") != "1":
        raise DamageError(f"is damaged ({name} is not stored row by row)")
    part = Part(name, descriptor, dtype, array.shape)
    part.place(array, properties, size)
    return part


def type_of(kind, words):
    """The numpy type of an HDF5 type; None if it is not allowed."""
    if kind.get_class() == h5t.STRING:
        allowed = words and not kind.is_variable_str() and kind.get_size() <= LONGEST
        return np.dtype(f"S{kind.get_size()}") if allowed else None
    if words:
        return None
    if kind.get_class() == h5t.BITFIELD and kind.get_size() == 1:  # as PyTables stores bool
        return np.dtype(bool)
    if kind.get_class() not in (h5t.INTEGER, h5t.FLOAT):
        return None
    dtype = np.dtype(kind.dtype)
    usual = dtype.kind in KINDS and dtype.itemsize <= 8 and h5t.py_create(dtype).equal(kind)
    return dtype if usual else None


def kind_name(kind):
    """What people call an HDF5 type."""
    classes = "INTEGER FLOAT STRING BITFIELD OPAQUE COMPOUND REFERENCE ENUM VLEN ARRAY".split()
    named = {getattr(h5t, name): name.lower() for name in classes}
    return named.get(kind.get_class(), "unknown")


def number_type(name):
    """The numpy type of a name. Raises DamageError if it is not one of numbers."""
    known = [np.dtype(bool), *(np.dtype(k + str(n)) for k in "iu" for n in (1, 2, 4, 8))]
    known += [np.dtype("f2"), np.dtype("f4"), np.dtype("f8")]
    for dtype in known:
        if dtype.name == name:
            return dtype
    raise DamageError(f"has a type that is not allowed: {name}")


class Part:
    """An array of a table: where it is in its file, and how it is packed."""

    def __init__(self, name, descriptor, dtype, shape):
        self.name, self.descriptor, self.dtype, self.shape = name, descriptor, dtype, shape
        self.content = None  # bytes of all, where they stand among HDF5's own
        self.filters = ()
        self.chunks = self.shape
        self.places = {}  # corner of a chunk: (position, size) in the file, and filters it passed

    def __len__(self):
        return self.shape[0]

    def words(self):
        """A list of the texts in the array."""
        try:
            return [word.decode() for word in self.read(0, len(self)).tolist()]
        except UnicodeDecodeError:
            raise DamageError(f"is damaged ({self.name} is not text)") from None

    def place(self, array, properties, size):
        """Find the data of an h5py.Dataset in a file of this size. Raises DamageError."""
        layout, itemsize = properties.get_layout(), self.dtype.itemsize
        whole = math.prod(self.shape) * itemsize
        if layout == h5d.COMPACT:
            if whole > size:
                raise self.too_large()
            values = np.empty(self.shape, self.dtype if self.dtype != bool else "u1")
            array.id.read(h5s.ALL, h5s.ALL, values, mtype=array.id.get_type())
            self.content = values.tobytes()
        elif layout == h5d.CONTIGUOUS:
            if whole > size:
                raise self.too_large()
            if whole:
                position = array.id.get_offset()
                if position is None or not 0 <= position <= size - whole:
                    raise DamageError(f"is damaged (it ends within {self.name})")
                self.places[(0,) * len(self.shape)] = position, whole, ()
        else:
            self.place_chunks(array, properties, size)

    def place_chunks(self, array, properties, size):
        """The same for an array in chunks."""
        self.filters = tuple(properties.get_filter(n)[0] for n in range(properties.get_nfilters()))
        if unknown := set(self.filters) - FILTERS:
            raise DamageError(f"has a filter that is not allowed in {self.name}: {listed(unknown)}")
        if len(PACKERS & set(self.filters)) > 1 or len(set(self.filters)) < len(self.filters):
            raise DamageError(f"has too many filters in {self.name}")
        self.chunks = properties.get_chunk()
        raw = math.prod(self.chunks) * self.dtype.itemsize
        grid = [range(0, n, step) for n, step in zip(self.shape, self.chunks, strict=True)]
        number = math.prod(map(len, grid))
        if raw > LARGEST or number > size:
            raise self.too_large()
        left = size

        def add(chunk):
            nonlocal left
            left -= chunk.size
            good = (
                0 <= chunk.byte_offset <= size - chunk.size
                and left >= 0
                and all(at in steps for at, steps in zip(chunk.chunk_offset, grid, strict=True))
                and chunk.chunk_offset not in self.places
            )
            if not good:
                return "stop"
            # A filter that could not pack a chunk has left it alone.
            passed = [f for n, f in enumerate(self.filters) if not chunk.filter_mask >> n & 1]
            self.places[chunk.chunk_offset] = chunk.byte_offset, chunk.size, tuple(passed)
            return None

        if array.id.chunk_iter(add) is not None or len(self.places) != number:
            raise DamageError(f"is damaged (not all rows of {self.name} are there)")
        for _, stored, filters in self.places.values():
            if raw > MOST_PACKED * (stored + 64):
                raise self.too_large()
            plain = raw + 4 * filters.count(h5z.FILTER_FLETCHER32)
            if stored != plain and not PACKERS & set(filters):
                raise self.cannot_unpack()

    def too_large(self):
        """What is wrong where an array cannot be in a file of this size."""
        shape = " x ".join(map(str, self.shape))
        return DamageError(f"is damaged ({self.name} is said to have {shape} values)")

    def read(self, start, stop):
        """The rows from `start` to before `stop`, of its own type. Raises DamageError."""
        stored = np.dtype("u1") if self.dtype == bool else self.dtype
        values = np.empty((max(stop - start, 0), *self.shape[1:]), stored)
        if not values.size:
            pass
        elif self.content is not None:
            values[...] = np.frombuffer(self.content, stored).reshape(self.shape)[start:stop]
        elif self.chunks == self.shape and not any(place[2] for place in self.places.values()):
            ((position, *_),) = self.places.values()
            width = values[0].nbytes
            values[...] = np.frombuffer(
                self.fetch(position + start * width, values.nbytes), stored
            ).reshape(values.shape)
        else:
            chunk = np.empty(self.chunks, stored)
            for first in range(start - start % self.chunks[0], stop, self.chunks[0]):
                low, high = max(first, start), min(first + self.chunks[0], stop)
                for corner in self.corners(first):
                    place = tuple(
                        slice(at, at + n) for at, n in zip(corner[1:], self.chunks[1:], strict=True)
                    )
                    to = values[(slice(low - start, high - start), *place)]
                    # Whole chunks are unpacked where they belong.
                    direct = to.shape == chunk.shape and to.flags.c_contiguous
                    into = to if direct else chunk
                    position, size, filters = self.places[corner]
                    self.unpack(self.fetch(position, size), filters, into)
                    if not direct:
                        widths = tuple(slice(n) for n in to.shape[1:])
                        to[...] = chunk[(slice(low - first, high - first), *widths)]
        return values != 0 if self.dtype == bool else values

    def corners(self, first):
        """The corners of the chunks of the rows from `first` on."""
        if len(self.shape) == 1:
            return [(first,)]
        return [(first, at) for at in range(0, self.shape[1], self.chunks[1])]

    def fetch(self, position, size):
        """Bytes of the file. Raises DamageError."""
        data = os.pread(self.descriptor, size, position)
        while len(data) < size:
            more = os.pread(self.descriptor, size - len(data), position + len(data))
            if not more:
                raise DamageError("cannot be read to its end (truncated?)")
            data += more
        return data

    def unpack(self, data, filters, into):
        """Unpack the bytes of a chunk that passed some filters into an array.

        Raises DamageError.
        """
        sizes, size = [], into.nbytes  # before each filter; None: as it was packed
        for code in filters:
            sizes.append(size)
            if code in PACKERS or size is None:
                size = None
            elif code == h5z.FILTER_FLETCHER32:
                size += 4
        for code, size in zip(filters[::-1], sizes[::-1], strict=True):
            if code == h5z.FILTER_FLETCHER32:
                data, found = data[:-4], data[-4:]
                if fletcher32(data) != found:
                    raise DamageError(f"is damaged (a checksum in {self.name} is wrong)")
            elif code == BLOSC:
                first = code == filters[0]
                data = self.unpack_blosc(data, size, into if first else bytearray(size))
                if first:
                    return
            elif code == h5z.FILTER_DEFLATE:
                data = self.inflate(data, size)
            else:
                data = unshuffle(data, into.itemsize)
            if size is not None and len(data) != size:
                raise self.cannot_unpack()
        into[...] = np.frombuffer(data, into.dtype).reshape(into.shape)

    def inflate(self, data, size):
        """Unpack what the filter "deflate" made."""
        unpacker = zlib.decompressobj()
        try:
            data = unpacker.decompress(data, size + 1)
        except zlib.error:
            raise self.cannot_unpack() from None
        if not unpacker.eof:
            raise self.cannot_unpack()
        return data

    def unpack_blosc(self, data, size, into):
        """Unpack what the filter "blosc" made, into a buffer that it must fill."""
        # What a chunk says of itself: version of the format, then bytes before and after packing.
        said = np.frombuffer(data[:16].ljust(16, b"\0"), "<u4")
        if data[:1] != b"\2" or said[1] != size or said[3] != len(data) or len(data) < 16:
            raise self.cannot_unpack()
        place = (ctypes.c_char * size).from_buffer(into)
        if blosc_decompress()(data, len(data), place, size) != size:
            raise self.cannot_unpack()
        return into

    def cannot_unpack(self):
        """What is wrong where the bytes of a chunk mean nothing."""
        return DamageError(f"is damaged (a part of {self.name} cannot be unpacked)")

    def checksums(self):
        """{corner: CRC-32} of the chunks as they are stored."""
        return {corner: zlib.crc32(self.fetch(*at[:2])) for corner, at in self.places.items()}


@cache
def blosc_decompress():
    """C's blosc2_decompress(data, its size, where to, size there), which returns the latter.

    It is taken from the library that comes with the package blosc2, whose import would take a
    third of a second, or from the system's. Raises ModuleNotFoundError.
    """
    package = find_spec("blosc2")
    folders = (package and package.submodule_search_locations) or ()
    names = "lib/libblosc2.so", "lib/libblosc2.dylib"
    brought = (path for each in folders for name in names if (path := Path(each, name)).exists())
    path = next(map(str, brought), None) or find_library("blosc2")
    if not path:
        raise ModuleNotFoundError("No module named 'blosc2'", name="blosc2")
    # PyTables may have loaded another version, whose functions this one must not call.
    decompress = ctypes.CDLL(
        path, getattr(os, "RTLD_DEEPBIND", ctypes.DEFAULT_MODE)
    ).blosc2_decompress
    size = ctypes.c_int32
    decompress.argtypes = ctypes.c_char_p, size, ctypes.c_void_p, size
    decompress.restype = ctypes.c_int
    return decompress


def unshuffle(data, width):
    """Undo HDF5's filter "shuffle", which puts the first bytes of all values first, and so on."""
    number = len(data) // width
    shuffled = np.frombuffer(data, "u1", number * width).reshape(width, number)
    return shuffled.T.tobytes() + data[number * width :]


WORDS_SUMMED = 512  # together: their sums are whole numbers that a float64 holds
_weights = np.stack([np.ones(WORDS_SUMMED), np.arange(WORDS_SUMMED, 0, -1)], axis=1)


def fletcher32(data):
    """HDF5's checksum of some bytes, as the four bytes that stand behind them.

    Two sums modulo 65535 over big-endian words of 16 bits: of the words, and of the sums of all
    words up to each. Swapping the bytes of a word is a multiplication with 256.
    """
    if len(data) % 2:
        data = bytes(data) + b"\0"
    number = len(data) // 2
    words = np.zeros(-(-number // WORDS_SUMMED) * WORDS_SUMMED)
    words[len(words) - number :] = np.frombuffer(data, "<u2")  # zeros in front change nothing
    blocks = (words.reshape(-1, WORDS_SUMMED) @ _weights).astype("u8")
    behind = np.arange(len(blocks), dtype="u8")[::-1] * np.uint64(WORDS_SUMMED)
    first = int(blocks[:, 0].sum())
    second = int(blocks[:, 1].sum()) + sum((blocks[:, 0] % 65535 * (behind % 65535)).tolist())
    # HDF5 folds the carry, by which 65535 stays what it is unless all words are zero.
    sums = [256 * s % 65535 or (65535 if first else 0) for s in (first, second)]
    return (sums[1] << 16 | sums[0]).to_bytes(4, "little")
