"""A JSON value with one of its parts replaced or left out, in all ways: what a reader must bear."""

import json
from copy import deepcopy

import pytest

from analysis.errors import M3LError

HUGE = 10**30
INJECTED = '"); system("touch escaped"); ("'
PLACED = ("../../../escaped", "/tmp/escaped", ".hidden", "a/b", "a\nb", "\ud800", INJECTED)
VALUES = (None, True, -1, HUGE, float("inf"), float("nan"), 0.5, "", "x", [], {}, PLACED[0])
GONE = object()


def mutations(content, values=VALUES, most=2):
    """Yield (where, value, mutated copy) for each part of a JSON value.

    most: entries that are looked at of each list, since the others are alike
    """
    for place in places(content, most):
        for value in (*values, GONE):
            copy = deepcopy(content)
            *above, last = place
            inner = copy
            for key in above:
                inner = inner[key]
            if value is GONE:
                del inner[last]
            elif type(inner[last]) is type(value) and inner[last] == value:
                continue
            else:
                inner[last] = value
            yield place, "gone" if value is GONE else value, copy


def places(content, most):
    """Yield the path of keys and positions to each part of a JSON value."""
    if isinstance(content, dict):
        inside = content.items()
    else:
        inside = enumerate(content[:most]) if isinstance(content, list) else ()
    for key, value in inside:
        yield (key,)
        yield from ((key, *rest) for rest in places(value, most))


def write(path, content):
    """Write JSON as Python's writer does, with NaN, and an infinity that looks like a number."""
    path.write_text(json.dumps(content).replace("Infinity", "1e999"))


def record_with(record, *place, value):
    """A copy of a record with one value replaced."""
    copy = json.loads(json.dumps(record))
    inner = copy
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return copy


def one_line(error):
    """The line of an M3LError, as the user sees it."""
    assert error.problems
    for line in error.problems:
        assert line and len(line) < 5000
        " ".join(line.split()).encode()  # can be printed
    return error.problems[0]


def bear(read, variants):
    """Check that `read` of each variant works or raises M3LError; returns what was taken."""
    taken = []
    for place, value, content in variants:
        try:
            read(content)
        except M3LError as error:
            one_line(error)
        except BaseException as error:
            raise AssertionError(f"{place} = {value!r}: {error!r}") from error
        else:
            taken.append((place, value))
    return taken


def refused(read, content):
    """The line with which a content is refused."""
    with pytest.raises(M3LError) as error:
        read(content)
    return one_line(error.value)
