"""The bytes of ROOT's TH1D, as it has written them since 2014, without the classes of uproot.

uproot makes some thirty objects of a histogram, of which we need three arrays; that takes ten times
as long as this. Each object begins with the number of its bytes and its version:

TH1D: TH1 (TNamed, TAttLine, TAttFill, TAttMarker, bins, three axes, statistics, contours, squared
weights, ...), then the array of the bins. TAxis: TNamed, TAttAxis, bins, low, high, edges, ...
"""

from struct import Struct, error

import numpy as np

HEADER = Struct(">IH")
COUNTED = 0x40000000  # of a number of bytes
TH1D, TH1, TAXIS = 3, 8, 10  # versions
AXIS = Struct(">idd")
WHOLE = Struct(">i")
STATISTICS = 2 + 2 + 8 * 8  # bytes: two of the bars, entries, moments and limits


def read_th1d(content):
    """(bins + 1,) edges, (bins + 2,) sums of weights and of squared weights, from bytes of a TH1D.

    Squares that ROOT was not told to keep are as large as the sums. Returns None for bytes that are
    not as expected, which uproot may read.
    """
    try:
        return read(memoryview(content))
    except (error, ValueError):
        return None


def read(content):
    """As `read_th1d`; raises ValueError or struct.error."""
    start, end = header(content, 0, TH1D)
    if end != len(content):
        raise ValueError("another length")
    place, end_of_base = header(content, start, TH1)
    for _ in range(4):  # name and attributes
        place = after(content, place)
    place += WHOLE.size  # bins
    axis, axis_end = header(content, place, TAXIS)
    axis = after(content, after(content, axis))
    bins, low, high = AXIS.unpack_from(content, axis)
    edges, axis = array(content, axis + AXIS.size)
    if axis > axis_end or len(edges) not in (0, bins + 1):
        raise ValueError("no axis")
    for _ in range(3):  # this one, and those across
        place = after(content, place)
    _, place = array(content, place + STATISTICS)  # contours
    squares, place = array(content, place)
    values, place = array(content, end_of_base)
    if place != end or len(values) != bins + 2 or len(squares) not in (0, bins + 2):
        raise ValueError("other bins")
    edges = edges if len(edges) else np.linspace(low, high, bins + 1)
    return edges, values, squares if len(squares) else values


def header(content, place, version):
    """Where the content of an object of a version begins and ends."""
    size, found = HEADER.unpack_from(content, place)
    if not size & COUNTED or found != version:
        raise ValueError("another version")
    return place + HEADER.size, place + 4 + (size ^ COUNTED)


def after(content, place):
    """Where an object ends."""
    (size,) = WHOLE.unpack_from(content, place)
    if not size & COUNTED or size < 0:
        raise ValueError("no object")
    return place + 4 + (size ^ COUNTED)


def array(content, place):
    """An array of floating-point numbers, and where it ends."""
    (number,) = WHOLE.unpack_from(content, place)
    end = place + WHOLE.size + 8 * number
    if number < 0 or end > len(content):
        raise ValueError("no array")
    return np.frombuffer(content, ">f8", number, place + WHOLE.size).astype(float), end
