"""How the Explanation of an event (explain.py) is laid out as a page for a terminal."""

import re
import shutil
import textwrap
from pathlib import Path

from analysis.features import FEATURES
from analysis.plan import identifiers

KINDS = {"lep": "leptons", "jet": "jets", "pho": "photons"}

# Columns of the objects that are shown where the files carry them: heading, and what is written.
SHOWN = {
    "Pt": ("  pT/GeV", "{:.1f}".format),
    "Eta": ("     eta", "{:.2f}".format),
    "Phi": ("     phi", "{:.2f}".format),
    "Flavor": ("  flavour", lambda flavour: ("?", "e", "mu")[int(flavour)]),
    "Charge": ("   charge", lambda charge: ("0", "+", "-")[int(charge)]),
    "BTag": ("    b-tag", lambda tag: "b" if tag else "-"),
}

UNITS = {feature.name: feature.unit for feature in FEATURES}
KEEP = "\N{NO-BREAK SPACE}"  # a space at which a line is not broken


def page(told):
    """Yield the lines of an Explanation."""
    width = max(60, shutil.get_terminal_size().columns)
    dataset, run, event = told.identity.values()
    yield f"{told.sample}: run {run}, event {event}, dataset {dataset}"
    yield f"  entry {told.entry} of {told.file.removeprefix(f'{Path.cwd()}/')}"
    for kind, objects in told.objects.items():
        yield from _objects(kind, objects, width)
    if told.left_out:
        yield from _wrapped(f"not in these files: {'; '.join(told.left_out)}", width)
    for region, cuts in told.regions.items():
        yield from _region(region, cuts, width)
    for region in told.blind:
        yield f"{region} is blind: data is not looked at without --unblind"
    yield from _weight(told, width)
    if told.matrix is not None:
        yield "features"
        words = [f"{n} {number(v)} {UNITS.get(n, '')}".rstrip() for n, v in told.features.items()]
        cell = max(map(len, words), default=0) + 1
        cells = (word.replace(" ", KEEP).ljust(cell, KEEP) for word in words)
        yield from _wrapped("  " + " ".join(cells), width)
        yield from _matrix(told, width)


def choice(matches):
    """Yield the lines of Matches."""
    yield f"{matches.sample} has {len(matches.identities)} such events, choose one:"
    for position, (dataset, run, event) in matches.identities.items():
        regions = ", ".join(matches.regions[position]) or "no region"
        names = f"{matches.sample}:{run}:{event}  or {matches.sample}@{position}"
        yield f"  {names}  dataset {dataset}, selected by {regions}"


def _objects(kind, objects, width):
    if objects.empty:
        yield f"no {KINDS[kind]}"
        return
    shown = {name: SHOWN[name.removeprefix(kind)] for name in objects if name != "fate"}
    yield f"{KINDS[kind]:<8}" + "".join(heading for heading, _ in shown.values())
    for index, row in objects.iterrows():
        words = (write(row[name]).rjust(len(head)) for name, (head, write) in shown.items())
        line = f"{index:>5}   {''.join(words)}   "
        yield from _wrapped(line + row.fate, width, len(line))


def _region(region, cuts, width):
    failed = next((cut.name for cut in cuts if not cut.passed), None)
    note = "" if all(cut.reached for cut in cuts) else "; brackets: not reached"
    yield f"{region}: " + (f"fails '{failed}'{note}" if failed else "selected")
    values = [shown_values(cut.expression, cut.values) for cut in cuts]
    widths = [max(map(len, words), default=0) for words in ([cut.name for cut in cuts], values)]
    for cut, shown in zip(cuts, values, strict=True):
        word = {True: "pass", False: "FAIL", None: "-"}[cut.passed]
        word = word if cut.reached else f"({word})"
        line = f"  {word:<6}  {cut.name:<{widths[0]}}  {shown:<{widths[1]}}  "
        yield from _wrapped(line + cut.expression, width, len(line))


def _weight(told, width):
    if not told.factors:
        yield f"weight {number(told.weight)}, data"
        return
    words = [f"{name}{KEEP}{number(value)}" for name, value in told.factors.items()]
    words[0] += f" ({told.normalisation})"
    yield from _wrapped(f"weight {number(told.weight)} = {f' x{KEEP}'.join(words)}", width)


def _matrix(told, width):
    name, size, unit = told.layout.name, told.layout.size, told.layout.energy_scale
    unit = "GeV" if unit == 1.0 else f"{unit:g} GeV"
    yield f"matrix {name}, {size} x {size}, without objects that are not there"
    for line in (
        f"  above the diagonal m_T (first row) and m in {unit}, below it h_L and h",
        f"  on it e_T in {unit} of the first of a type, delta e_T of the others",
    ):
        yield from _wrapped(line, width)
    columns = (width - 8) // 9
    for begin in range(0, len(told.matrix), columns):
        block = told.matrix.iloc[:, begin : begin + columns]
        text = block.to_string(float_format=_cell, col_space=dict.fromkeys(block, 8))
        yield from textwrap.indent(text, "  ").splitlines()


def _cell(value):
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}"


def _wrapped(text, width, hanging=2):
    """A line of text as lines that fit."""
    indent = " " * min(hanging, width // 2)
    lines = textwrap.wrap(text, width, subsequent_indent=indent, break_on_hyphens=False)
    return [line.replace(KEEP, " ").rstrip() for line in lines]


def comparison(expression):
    """Split an expression that is one comparison: (left, operator, right), else None."""
    # What is in quotes and brackets does not count; inner brackets go first.
    nested = r'"[^"]*"|\([^()]*\)|\[[^][]*\]|\{[^{}]*\}|(?<=\w)<[\w:, ]*>(?=x)'
    text, before = expression, None
    while text != before:
        before, text = text, re.sub(nested, lambda found: "x" * len(found.group()), text)
    side = r"(?:[\w\s.+*/%!-]|<<|>>|->|::)+"
    found = re.fullmatch(rf"{side}(?<!-)(==|!=|<=|>=|<|>){side}", text)
    if not found:
        return None
    begin, end = found.span(1)
    return expression[:begin].strip(), found[1], expression[end:].strip()


def shown_values(expression, values):
    """The values in an expression: `2 >= 3`, or `jetPt 41.2, jetJVT 0.3`."""
    sides = comparison(expression)
    if not sides or len(values) < 2:
        return ", ".join(f"{name} {number(value)}" for name, value in values.items())
    left, right = values.values()
    # As many digits as it takes to tell them apart.
    digits = next(d for d in (5, 9, 17) if left == right or number(left, d) != number(right, d))
    return f"{number(left, digits)} {sides[1]} {number(right, digits)}"


def shown_failure(expression, values):
    """As `shown_values`, without what the expression says already."""
    varying = [value for name, value in values.items() if identifiers(name)]
    return number(*varying) if len(varying) == 1 else shown_values(expression, values)


def number(value, digits=5):
    """A number for people: whole ones as they are."""
    whole = float(value).is_integer() and abs(value) < 1e15
    return str(int(value)) if whole else f"{value:.{digits}g}"
