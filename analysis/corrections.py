"""Corrections of correctionlib, such as scale factors, in the expressions of an analysis.

The function of C++ is in helpers/correcting.h; scale_factors.py makes the corrections known to it.
"""

import gzip
import hashlib
import json
import re
import zlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from analysis.errors import DeclarationError, InputError, M3LError, listed, near_miss
from analysis.files import parse_json, read_regular

CHECKOUT = Path(__file__).resolve().parents[1]
MOST_BYTES = 1 << 30  # of a file, also when it is unpacked

NO_CORRECTION = "correction '"  # with this C++ begins what it says of an event without a value
UNKNOWN = 0  # key of an expression with a problem
problems = {}  # of expressions, which are said where one is used


def corrected(path, name, *inputs):
    """The value of a correction as an expression: one number, or one for each object.

    path: of a JSON file of correctionlib, which may end in .gz; a relative one begins at the
        checkout, so that a file in the folder analysis travels with batch jobs
    name: of a correction in it
    inputs: in the order of the file, an expression for each number, a text such as "up" as it is
    The expression has a checksum of the correction: another content is another expression. What
    is wrong is said by the run that uses it, as InputError or DeclarationError.
    """
    try:
        correction = read_correction(str(path), name)
        return correction.expression(correction.arguments([str(each) for each in inputs]))
    except M3LError as error:
        expression = call_of("", "", UNKNOWN, [str(len(problems))])
        problems[expression] = error
        return expression


def call_of(path, name, key, arguments):
    """C++ for the value of a correction."""
    return f'correctionFactor("{path}", "{name}", {", ".join([f"{key:#018x}", *arguments])})'


MENTION = re.compile(r'correctionFactor\("([^"]*)", "([^"]*)", (0x[0-9a-f]{16})')


def mentioned(text):
    """The (path, name, key) of all corrections in a text; raises M3LError for one that is wrong."""
    for expression, problem in problems.items():
        if expression in text:
            raise problem
    return sorted({(path, name, int(key, 16)) for path, name, key in MENTION.findall(text)})


@dataclass(frozen=True)
class Correction:
    """A correction in a file."""

    path: str  # as it was given
    name: str
    text: str  # of the whole file
    declared: dict  # what the file says of it

    @property
    def key(self):
        """A number that only equal corrections share."""
        made_of = f"{self.name}\n{self.text}".encode()
        return int(hashlib.sha256(made_of).hexdigest()[:16], 16)

    def expression(self, arguments):
        """Its value as C++."""
        return call_of(self.path, self.name, self.key, arguments)

    def arguments(self, given):
        """The inputs as C++. Raises DeclarationError if they are not those of the correction."""
        where, inputs = f"correction '{self.name}' of {self.path}", self.declared["inputs"]
        names = [each["name"] for each in inputs]
        if len(given) != len(inputs):
            raise DeclarationError(
                f"{where} has the inputs {listed(names, 20)}: {len(given)} are given"
            )
        for declared, text in zip(inputs, given, strict=True):
            if declared["type"] != "string":
                yield text
                continue
            choices = {*_choices(self.declared.get("data"), declared["name"])}
            if choices and None not in choices and text not in choices:
                raise DeclarationError(
                    f"{where}: '{text}' is no {declared['name']}, which is one of "
                    f"{listed(sorted(choices), 20)}{near_miss(text, choices)}"
                )
            yield json.dumps(text)


def _choices(node, name):
    """What categories of an input there are in a part of a correction; None: any."""
    if isinstance(node, list):
        for each in node:
            yield from _choices(each, name)
    elif isinstance(node, dict):
        if (node.get("nodetype"), node.get("input")) == ("category", name):
            yield from (str(each.get("key")) for each in node.get("content", ()))
            if node.get("default") is not None:
                yield None
        for each in node.values():
            yield from _choices(each, name)


def read_correction(path, name):
    """The Correction of a file. Raises InputError and DeclarationError."""
    for what in (path, name):
        if re.search(r"""["'\\]""", what):
            raise DeclarationError(
                f"correction {name} of {path}: no quotes and backslashes, please"
            )
    text, found = _read(path)
    if name not in found:
        raise DeclarationError(
            f"{path} has no correction '{name}'{near_miss(name, found)}: there are "
            f"{listed(sorted(found), 20)}"
        )
    return Correction(path, name, text, found[name])


@cache
def _read(path):
    """The text of a file and {name: what it says of a correction}."""
    where = CHECKOUT / Path(path).expanduser()
    try:
        content = read_regular(where, MOST_BYTES)
        if where.suffix == ".gz":
            with gzip.open(where) as file:
                content = file.read(MOST_BYTES)
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"corrections {where} cannot be read: {reason}") from None
    try:
        text = content.decode()
        whole = parse_json(text)
        found = {
            each["name"]: each
            for kind in ("corrections", "compound_corrections")
            for each in whole.get(kind) or ()
        }
        for each in found.values():
            if not all(isinstance(i["name"], str) and i["type"] for i in each["inputs"]):
                raise ValueError("an input has no name")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{where} is no file of correctionlib ({error})") from None
    return text, found
