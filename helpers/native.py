"""The engine's functions of C types, by ctypes: see helpers/engine/calls.cxx.

They need no PyROOT, unless the engine is interpreted. Failures are OSError of one line, or
MemoryError.
"""

import ctypes
import math
import os
from ctypes import c_bool, c_char_p, c_double, c_int, c_longlong, c_size_t, c_uint, c_void_p
from functools import cache
from typing import NamedTuple

import numpy as np

# Of each function: what it returns, and its arguments.
FUNCTIONS = {
    "begin": (c_bool, c_char_p),
    "use_threads": (c_bool, c_uint),
    "threads": (c_uint,),
    "bytes_read": (c_longlong,),
    "foreign_branch": (c_char_p, c_char_p, c_char_p),
    "inspect": (c_void_p, *[c_char_p] * 6, c_void_p),
    "blosc": (c_void_p, c_void_p, c_size_t, c_bool, c_void_p),
    "loop_make": (c_void_p, c_uint),
    "loop_free": (None, c_void_p),
    "loop_add_region": (c_bool, c_void_p, c_uint),
    "loop_add_cutflow": (c_bool, c_void_p, c_bool),
    "loop_add_rows": (c_void_p, c_void_p, c_uint, c_uint, c_size_t, c_char_p, c_uint),
    "loop_add_constant": (c_bool, c_void_p, c_double),
    "loop_add_file": (c_bool, c_void_p, c_char_p, c_longlong, c_longlong),
    "loop_read": (c_char_p, c_void_p, *[c_char_p] * 3, c_longlong, c_longlong, c_bool),
    "loop_entries": (c_size_t, c_void_p),
    "loop_dropped": (c_size_t, c_void_p),
    "loop_counts": (c_char_p, c_void_p, c_uint),
    "loop_release": (None, c_void_p),
    "rows_make": (c_void_p, c_uint, c_uint, c_uint, c_size_t, c_char_p, c_uint),
    "rows_free": (None, c_void_p),
    "rows_add": (c_bool, c_void_p, c_size_t, *[c_void_p] * 4),
    "rows_next": (c_size_t, c_void_p),
    "rows_stop": (c_bool, c_void_p),
    "rows_weights": (c_uint, c_void_p),
    "rows_values": (None, c_void_p, c_void_p),
    "rows_bad": (c_size_t, c_void_p, c_void_p, c_void_p),
    "set_make": (c_void_p,),
    "set_free": (None, c_void_p),
    "set_add": (c_bool, c_void_p, c_char_p, c_char_p, c_int, c_double, c_double),
    "set_add_none": (c_bool, c_void_p),
    "set_start_filling": (c_bool, c_void_p, c_void_p, c_size_t),
    "file_make": (c_void_p, c_char_p),
    "file_free": (None, c_void_p),
    "file_write": (c_bool, c_void_p, c_char_p, c_void_p),
    "file_add": (c_bool, c_void_p, c_char_p, c_char_p),
    "file_content": (c_void_p, c_void_p, c_void_p),
    "problem": (c_char_p,),
}
libraries = []  # Path of the engine's, None where it is interpreted; helpers adds it


@cache
def function(name):
    """A function of the engine, by its name without m3l_."""
    returns, *arguments = FUNCTIONS[name]
    prototype = ctypes.CFUNCTYPE(returns, *arguments)
    if libraries[0]:
        return prototype((f"m3l_{name}", ctypes.CDLL(str(libraries[0]), ctypes.RTLD_GLOBAL)))
    import ROOT

    return prototype(int(ROOT.gInterpreter.Calc(f"(Longptr_t)&m3l_{name}")))


def call(name, *arguments):
    """Call a function with numbers, texts, arrays and Natives; texts come back as str."""
    result = function(name)(*map(plain, arguments))
    problem = name.endswith(("_free", "_release", "_values")) or function("problem")()
    if isinstance(problem, bytes) and problem:
        raise MemoryError if b"bad_alloc" in problem else OSError(readable(problem))
    return readable(result) if isinstance(result, bytes) else result


def plain(argument):
    """An argument as ctypes takes it."""
    if isinstance(argument, Native):
        return argument.address
    if isinstance(argument, np.ndarray):
        return argument.ctypes.data
    return os.fsencode(argument) if isinstance(argument, str | os.PathLike) else argument


def readable(text):
    """Bytes of the engine as str."""
    return text.decode(errors="replace")


def packed(name, *arguments):
    """The bytes that a function gives with their number, copied."""
    size = np.zeros(1, "u8")
    return ctypes.string_at(call(name, *arguments, size), int(size[0]))


def inspect(path, tree, sum_place="", constant_place="", run="", block=""):
    """What m3l::inspectDataset finds, a dict: `columns` are {name: (type, kind)}."""
    words = path, tree, sum_place, constant_place, run, block
    data, fields, at = packed("inspect", *words), [], 0
    while at < len(data):
        begin = data.index(b"\n", at) + 1
        at = begin + int(data[at:begin])
        fields.append(readable(data[begin:at]))
    problem, uuid, entries, *metadata, protected, compression, skim, blocks, keys, columns = fields[
        :13
    ]
    total, no_sum, constant, no_constant = metadata
    keys, rest = fields[13 : 13 + int(keys)], fields[13 + int(keys) :]
    return {
        "problem": problem,
        "uuid": uuid,
        "entries": int(entries),
        "sum": number(total),
        "constant": number(constant),
        "lacking": " and ".join(dict.fromkeys(filter(None, (no_sum, no_constant)))),
        "protected": bool(protected),
        "compression": compression,
        "skim": skim,
        "blocks": blocks,
        "keys": tuple(keys),
        "columns": {rest[3 * n]: (rest[3 * n + 1], rest[3 * n + 2]) for n in range(int(columns))},
    }


def number(text):
    """A hexadecimal number of the engine, None where it has none."""
    value = float.fromhex(text)
    return None if math.isnan(value) else value


class Native:
    """An object of the engine; `kind` begins the names of its functions."""

    kind = ""

    def __init__(self, *arguments, address=None, owner=None):
        """address, owner: of one that is a part of another object, which lives as long"""
        self.owner = owner
        self.address = address or call(f"{self.kind}_make", *arguments)

    def __del__(self):
        if not self.owner and getattr(self, "address", None):
            call(f"{self.kind}_free", self)

    def call(self, name, *arguments):
        """Call one of its functions."""
        return call(f"{self.kind}_{name}", self, *arguments)


class SampleLoop(Native):
    """See m3l::SampleLoop."""

    kind = "loop"

    def add_rows(self, *arguments):
        """The RowStore that is added."""
        return RowStore(address=self.call("add_rows", *arguments), owner=self)


class BadRows(NamedTuple):
    """See m3l::BadRows."""

    rows: int
    identity: list[int]
    column: int
    value: float


class RowStore(Native):
    """See m3l::RowStore."""

    kind = "rows"

    def add(self, identities, weights, features, integers):
        """Add rows, from (rows, columns) arrays."""
        arrays = zip(
            (identities, weights, features, integers), ("i8", "f8", "f4", "f8"), strict=True
        )
        kept = [np.ascontiguousarray(array, kind) for array, kind in arrays]
        self.call("add", len(kept[0]), *kept)

    def next(self, widths):
        """Take the next rows; returns {type: (rows, columns) array}, valid until the next call.

        widths: {type: number of columns} of int64, float32, int32; {} after the last row
        """
        rows, places = self.call("next"), np.zeros(4, "u8")
        if not rows:
            return {}
        widths = {**widths, "float64": self.call("weights")}
        self.call("values", places)
        shaped = {}
        for kind, place in (("float32", 2), ("float64", 1), ("int32", 3), ("int64", 0)):
            if width := widths.get(kind):
                size = rows * width * np.dtype(kind).itemsize
                held = (ctypes.c_char * size).from_address(int(places[place]))
                shaped[kind] = np.frombuffer(held, kind).reshape(rows, width)
        return shaped

    def bad(self):
        """The BadRows that were not added."""
        first, value = np.zeros(4, "i8"), np.zeros(1)
        rows = self.call("bad", first, value)
        return BadRows(rows, first[:3].tolist(), int(first[3]), float(value[0]))


class HistogramSet(Native):
    """See m3l::HistogramSet."""

    kind = "set"


class HistogramFile(Native):
    """See m3l::HistogramFile."""

    kind = "file"
