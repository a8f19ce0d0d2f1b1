"""What values from outside must be, before anything is made of them: types, sizes, finiteness.

A rule has `problems(value, where)`, which yields a line for each thing that is wrong; `where` names
the value, or ends with ": " if the names of its parts are to follow it.
"""

import math
import re
import reprlib
import unicodedata
from dataclasses import dataclass

from analysis.errors import InputError, near_miss

MOST = 1_000_000  # entries of a list
LARGEST = 2**63 - 1  # whole number


class Short(reprlib.Repr):
    """Values for people, shortened; Python refuses to print a whole number of very many digits."""

    def repr_int(self, value, level):
        """A whole number."""
        return repr(value) if abs(value) <= LARGEST else f"a number of {value.bit_length()} bits"


SHORT = Short()
SHORT.maxstring = SHORT.maxother = 80
SHORT.maxlevel = 2


def shown(value):
    """A value for people, shortened."""
    return SHORT.repr(value)


def part(where, key):
    """The name of a part of what is called `where`."""
    return f"{where}{'' if not where or where.endswith(': ') else '.'}{key}"


@dataclass(frozen=True)
class Value:
    """A value that a function accepts."""

    what: str  # "a number"
    fits: object  # the function

    def problems(self, value, where):
        """See the module."""
        if not self.fits(value):
            yield f"{where} must be {self.what}, not {shown(value)}"


@dataclass(frozen=True)
class OneOf:
    """One of several words."""

    words: tuple[str, ...]

    def problems(self, value, where):
        """See the module."""
        if not isinstance(value, str) or value not in self.words:
            hint = near_miss(value, self.words) if isinstance(value, str) else ""
            yield f"{where} must be one of {', '.join(self.words)}, not {shown(value)}{hint}"


@dataclass(frozen=True)
class Maybe:
    """What a rule allows, or nothing."""

    rule: object

    def problems(self, value, where):
        """See the module."""
        if value is not None:
            yield from self.rule.problems(value, where)


@dataclass(frozen=True)
class ListOf:
    """A list of which each entry keeps a rule."""

    rule: object
    least: int = 0
    most: int = MOST
    by: str = ""  # key that tells the entries apart
    what: str = "a list"

    def problems(self, value, where):
        """See the module."""
        if not isinstance(value, list):
            yield f"{where} must be {self.what}, not {shown(value)}"
        elif not value and self.least:
            yield f"{where} is empty"
        elif not self.least <= len(value) <= self.most:
            yield f"{where} has {len(value)} entries, not {self.least} to {self.most}"
        else:
            before = set()
            for number, entry in enumerate(value):
                found = list(self.rule.problems(entry, f"{where}[{number}]"))
                yield from found
                if self.by and not found:
                    if entry[self.by] in before:
                        yield f"{where} has {self.by} {shown(entry[self.by])} twice"
                    before.add(entry[self.by])


@dataclass(frozen=True)
class MapOf:
    """An object whose keys and values keep a rule each."""

    keys: object
    values: object

    def problems(self, value, where):
        """See the module."""
        if not isinstance(value, dict) or len(value) > MOST:
            yield f"{where} must be an object, not {shown(value)}"
            return
        for key, entry in value.items():
            yield from self.keys.problems(key, f"a key of {where}")
            yield from self.values.problems(entry, part(where, key if len(key) < 80 else "..."))


@dataclass(frozen=True)
class Fields:
    """An object with a rule for each of its keys."""

    known: dict[str, object]
    needed: tuple[str, ...] | None = None  # None: all
    others: bool = False  # may be there as well, and are left alone

    def problems(self, value, where):
        """See the module."""
        if not isinstance(value, dict):
            yield f"{where or 'it'} must be an object, not {shown(value)}"
            return
        for key in value:
            if key not in self.known and not self.others:
                start = where if not where or where.endswith(": ") else f"{where}: "
                hint = near_miss(key, self.known)
                yield f"{start}unknown key {shown(key)}{hint}"
        for key, rule in self.known.items():
            if key in value:
                yield from rule.problems(value[key], part(where, key))
            elif self.needed is None or key in self.needed:
                yield f"{part(where, key)} is missing"

    def of(self, **changes):
        """The same with other rules for some keys, or more keys."""
        return Fields({**self.known, **changes}, self.needed, self.others)


def is_whole(value):
    """Whether a value is a whole number of at most 64 bits, which True is not."""
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) <= LARGEST


def is_number(value):
    """Whether a value is a finite number, which True is not."""
    return is_whole(value) or (isinstance(value, float) and math.isfinite(value))


def is_text(value, most):
    """Whether a value is text of at most `most` characters that can be shown as it is.

    Characters that move the cursor, hide others or turn the direction of writing are refused.
    """
    if not isinstance(value, str) or len(value) > most:
        return False
    return value.isprintable() or not any(
        unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp") for c in value if c not in "\n\t"
    )


def whole(low=0, high=LARGEST):
    """The rule of a whole number."""
    upto = "" if high == LARGEST else f" to {high}"
    return Value(
        f"a whole number from {low}{upto}", lambda value: is_whole(value) and low <= value <= high
    )


def text(most=1000, least=0):
    """The rule of text."""
    what = f"text of {least} to {most} characters"
    return Value(what, lambda value: is_text(value, most) and len(value) >= least)


def line(most=1000, least=0, without=""):
    """The rule of text without line breaks and without some characters."""
    what = f"a line of {least} to {most} characters" + (f" without {without}" if without else "")

    def fits(value):
        return (
            is_text(value, most) and len(value) >= least and not set(value) & set("\n\t" + without)
        )

    return Value(what, fits)


def matching(pattern, what):
    """The rule of text that matches a regular expression as a whole."""
    compiled = re.compile(pattern)
    return Value(what, lambda value: isinstance(value, str) and bool(compiled.fullmatch(value)))


ANYTHING = Value("anything", lambda value: True)
NUMBER = Value("a finite number", is_number)
ABOVE_0 = Value("a number above 0", lambda value: is_number(value) and value > 0)
FROM_0 = Value("a number from 0", lambda value: is_number(value) and value >= 0)
FLAG = Value("true or false", lambda value: isinstance(value, bool))


def require(content, rule, path, advice):
    """Raise InputError, which says `advice`, unless the content of a file keeps a rule."""
    for problem in rule.problems(content, ""):
        raise InputError(f"{path}: {problem}: {advice}")
