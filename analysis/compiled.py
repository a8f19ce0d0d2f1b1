"""Expressions as compiled code.

RDataFrame compiles the strings given to Define and Filter with its interpreter, which optimises
little and costs seconds at each start. Here the expressions of a plan become one C++ file, in which
each is a function and each node of the graph is made with its types. It is compiled once, kept in
the cache and loaded by later runs. Without a compiler the same file is interpreted.
"""

import hashlib
import json
import os
import re
import tempfile
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice

import ROOT

import helpers
from analysis.errors import DeclarationError, near_miss
from analysis.plan import IDENTITY, MATRIX, NORMALISATION, WEIGHT
from helpers.build import CompilerError, cache_folder, library, toolchain
from helpers.terminal import captured_stderr


def graphs(plans, cells, interpret=False):
    """Return for each plan the C++ namespace with its nodes, see HEAD.

    Plans that differ in constants only share one. What the cache does not have is compiled side by
    side.

    cells: number of values of the matrix
    interpret: never call the compiler
    Raises DeclarationError for an expression that is not valid C++.
    """
    sources = [Source.of(plan, cells) for plan in plans]
    unique = {source.name: source for source in sources}
    outcomes = {}
    # Interpreted helpers have said already that there is no compiler.
    if not interpret and helpers.load_engine() != "interpreted":
        toolchain()
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            outcomes = dict(zip(unique, pool.map(compiled, unique.values()), strict=True))
    spaces = {name: load(source, outcomes.get(name)) for name, source in unique.items()}
    return [spaces[source.name] for source in sources]


@dataclass(frozen=True)
class Source:
    """The C++ file of a plan."""

    name: str  # of the namespace and of the library
    head: str  # declarations of its functions
    text: str  # the whole file
    columns: tuple[str, ...]  # what expressions may use, for error messages

    @classmethod
    def of(cls, plan, cells):
        text = cpp_source(plan, cells)
        name = "m3lgraph_" + hashlib.sha256(text.encode()).hexdigest()[:12]
        columns = (*plan.inputs, *(definition.name for definition in plan.definitions))
        return cls(PLACEHOLDER, HEAD, text, columns).renamed(name)

    def renamed(self, name):
        head, text = (part.replace(self.name, name) for part in (self.head, self.text))
        return replace(self, name=name, head=head, text=text)


def compiled(source):
    """Path of the compiled library, or the CompilerError."""
    path = cache_folder() / f"{source.name}.cxx"
    try:
        if not path.exists():
            with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
                file.write(source.text)
            os.replace(file.name, path)
        return library(source.name, path, [path, *helpers.source_files()])
    except CompilerError as error:
        return error
    except OSError as error:
        return CompilerError(f"{path} cannot be written: {error.strerror}")


def load(source, outcome):
    """Load the library of a source, or interpret the source where there is none.

    outcome: path, CompilerError, or None if the compiler was not called
    """
    if isinstance(outcome, CompilerError):
        raise_for_expression(str(outcome), source.columns)
        warnings.warn(
            "the expressions cannot be compiled and are interpreted, which is slower: "
            + helpers.first_error(str(outcome)),
            stacklevel=2,
        )
    # Load returns -1 for a library that does not load, and raises nothing.
    elif outcome and ROOT.gSystem.Load(str(outcome)) >= 0:
        ROOT.gInterpreter.Declare(source.head)
        return getattr(ROOT, source.name)
    # A library of the same name may have its functions declared already.
    source = source.renamed(f"{source.name}_interpreted")
    interpret(source)
    return getattr(ROOT, source.name)


@cache
def interpret(source):
    """Let ROOT's interpreter compile a source; once, since it cannot be undone."""
    with captured_stderr() as output:
        good = ROOT.gInterpreter.Declare(source.text)
        if not good:
            # Whatever comes next makes the interpreter complain about the functions it lost.
            ROOT.gInterpreter.Declare(f"namespace {source.name}_failed {{}}")
    if not good:
        raise_for_expression(output.text, source.columns)
        reason = helpers.first_error(output.text)
        raise DeclarationError(f"the expressions do not compile: {reason}")


def raise_for_expression(output, known):
    """Raise DeclarationError if a compiler's output blames a declaration."""
    blamed = re.search(r"^(\w[^\n]*? in analysis/\w+\.py):\d+:\d+: error: ([^\n]*)", output, re.M)
    if blamed:
        where, message = blamed.groups()
        name = re.search(r"'(\w+)' was not declared|undeclared identifier '(\w+)'", message)
        hint = ""
        if NO_NUMBER in message:
            message = NO_NUMBER
        if name:
            name = name[1] or name[2]
            message = f"unknown name '{name}'"
            hint = near_miss(name, [*known, *ROOT_FUNCTIONS])
        raise DeclarationError(f"{where}: {message}{hint}")


# Functions that a misspelt one is compared with.
ROOT_FUNCTIONS = (
    *helpers.names(),
    *"""Sum Take Any All Max Min Mean ArgMax ArgMin Argsort Sort Reverse Nonzero Where Concatenate
    DeltaPhi DeltaR InvariantMass InvariantMasses Combinations abs sqrt exp log sin cos pow
    """.split(),
)


PLACEHOLDER = "M3LGRAPH"
SELECTED = "m3l_selected"  # the column of `select`
NO_NUMBER = "is not one number per event"

HEAD = f"""\
// Made from the declarations in analysis/; changes here are lost.
#include "m3l.h"
#include "engine/engine.h"

namespace {PLACEHOLDER} {{
/// A column and a cut of the plan, for work at the prompt.
m3l::Node define(const m3l::Node &node, const std::string &name);
m3l::Node filter(const m3l::Node &node, const std::string &name);

/// Everything that has to be known of each event, as one node: a column with a flag for each region
/// that the event is in. Counts all events and those that pass each cut.
using Counters = std::vector<std::shared_ptr<m3l::CutflowCounter>>;
m3l::Node select(const m3l::Node &node, const Counters &counters);

/// Has all events selected, also where no region wants their rows.
ROOT::RDF::RResultHandle bookSelection(const m3l::Node &selected);

/// The rows of the events in a region.
ROOT::RDF::RResultHandle bookRows(const m3l::Node &selected, unsigned region,
                                  std::shared_ptr<m3l::RowStore> rows);
}}
"""

BODY = f"""\
#include <ROOT/RDataFrame.hxx>
#include <Math/Vector4D.h>
#include <Math/VectorUtil.h>
#include <TMath.h>
#include <bitset>

namespace {PLACEHOLDER} {{
using namespace std;
using namespace ROOT::VecOps;
using namespace m3l;
template <typename F>
using result = std::decay_t<typename ROOT::TypeTraits::CallableTraits<F>::ret_type>;
"""


def cpp_source(plan, cells):
    """Write the C++ file of a plan."""
    types = {name: f"branch_{name}" for name in plan.inputs}
    types[NORMALISATION] = f"branch_{NORMALISATION}"
    parts = [HEAD + BODY, f"using branch_{NORMALISATION} = double;"]
    parts += [f"using branch_{name} = {cpp_type(kind)};" for name, kind in plan.inputs.items()]
    define, filters = [], []
    declared = {definition.name: definition.where for definition in plan.definitions}
    for definition in plan.definitions:
        name = definition.name
        parts += [function(f"f_{name}", definition, types)]
        parts += [f"using column_{name} = result<decltype(f_{name})>;"]
        types[name] = f"column_{name}"
        verb = "Redefine" if definition.replaces else "Define"
        define.append(
            f'   if (name == "{name}") '
            f'return {{rdf.{verb}("{name}", f_{name}, {quoted(definition.inputs)})}};'
        )
    parts.append(f"using Regions = std::bitset<{max(1, len(plan.cuts))}>;")
    for name, cut in cut_functions(plan):
        parts += [function(name, cut, types, "bool")]
        filters.append(
            f"   if (name == {json.dumps(cut.name)}) "
            f"return {{rdf.Filter({name}, {quoted(cut.inputs)}, {json.dumps(cut.name)})}};"
        )
    for name in plan.columns[len(IDENTITY) :]:
        if name != MATRIX:
            where = declared.get(name, f"feature '{name}' in analysis/features.py")
            number = f"std::is_arithmetic_v<{types[name]}>"
            parts.append(f'#line 1 "{where}"\nstatic_assert({number}, "{NO_NUMBER}");')
    begin, end = "{\n   auto rdf = node.rdf;", "   throw std::invalid_argument(name);\n}"
    node = "const Node &node"
    parts += [f"Node define({node}, const std::string &name)", begin, *define, end]
    parts += [f"Node filter({node}, const std::string &name)", begin, *filters, end]
    parts += [select(plan), BOOK_SELECTION, book_rows(plan, cells)]
    parts += [f"}} // namespace {PLACEHOLDER}\n"]
    return "\n".join(parts)


def cut_functions(plan):
    """(name of its C++ function, Definition) of each cut of a plan, region by region."""
    cuts = [cut for region in plan.cuts.values() for cut in region]
    return [(f"cut_{number}", cut) for number, cut in enumerate(cuts)]


BOOK_SELECTION = f"""\
ROOT::RDF::RResultHandle bookSelection(const Node &selected)
{{
   auto rdf = selected.rdf;
   return rdf.Filter([](const Regions &) {{ return true; }}, {{"{SELECTED}"}}).Count();
}}"""


class Event:
    """The C++ of a function of one event, in which each column is computed when first asked for."""

    def __init__(self, plan, wanted):
        """wanted: names of the columns that the function may ask for"""
        needed = set(wanted)
        for definition in reversed(plan.definitions):
            if definition.name in needed:
                needed.update(definition.inputs)
        self.branches = []  # what it reads
        self.lines = []
        self.made = set()
        for definition in plan.definitions:
            if definition.name in needed:
                call = self.call(f"f_{definition.name}", definition.inputs)
                self.lines.append(
                    f"      const Lazy v_{definition.name}{{[&] {{ return {call}; }}}};"
                )
                self.made.add(definition.name)

    def value(self, name):
        if name in self.made:
            return f"v_{name}()"
        if name not in self.branches:
            self.branches.append(name)
        return f"b_{name}"

    def call(self, function, names):
        return f"{function}({', '.join(map(self.value, names))})"

    def arguments(self):
        return ", ".join(["unsigned slot", *(f"const branch_{n} &b_{n}" for n in self.branches)])


def select(plan):
    """The C++ function that counts an event and says in which regions it is."""
    event = Event(plan, {WEIGHT, *(name for _, cut in cut_functions(plan) for name in cut.inputs)})
    weight = event.value(WEIGHT)
    functions = enumerate(cut_functions(plan), 1)
    body = [f"      Regions regions;\n      counters[0]->add(slot, {weight});"]
    for region, cuts in enumerate(plan.cuts.values()):
        body.append(f"      regions[{region}] = [&] {{")
        for counter, (name, cut) in islice(functions, len(cuts)):
            body.append(f"         if (!{event.call(name, cut.inputs)})\n            return false;")
            body.append(f"         counters[{counter}]->add(slot, {weight});")
        body.append("         return true;\n      }();")
    return "\n".join(
        (
            "Node select(const Node &node, const Counters &counters)\n{\n   auto rdf = node.rdf;",
            f"   const auto function = [counters]({event.arguments()}) {{",
            *event.lines,
            *body,
            "      return regions;\n   };",
            f'   return {{rdf.DefineSlot("{SELECTED}", function, {quoted(event.branches)})}};\n}}',
        )
    )


def book_rows(plan, cells):
    """The C++ function that books the rows of a region."""
    event = Event(plan, plan.columns)
    row = ", ".join(map(event.value, plan.columns))
    types = ", ".join(f"branch_{name}" for name in event.branches)
    return "\n".join(
        (
            "ROOT::RDF::RResultHandle bookRows(const Node &selected, unsigned region,",
            "                                  std::shared_ptr<RowStore> rows)\n{",
            "   auto rdf = selected.rdf;",
            "   const auto isIn = [region](const Regions &all) { return all.test(region); };",
            f"   const auto fill = [](RowStore &rows, {event.arguments()}) {{",
            *event.lines,
            f"      addRow(rows, slot, {cells}, {row});\n   }};",
            f'   return rdf.Filter(isIn, {{"{SELECTED}"}})',
            f"      .Book<{types}>(RowAction(rows, fill), {quoted(event.branches)});\n}}",
        )
    )


def function(name, definition, types, returns="auto"):
    """A C++ function that computes an expression; a compiler's complaint names its declaration."""
    arguments = ", ".join(f"const {types[n]} &{n}" for n in definition.inputs)
    body = definition.expression
    if not re.search(r"\breturn\b", body):
        body = f"return {body};"
    where = definition.where.replace('"', "'")
    body = f'#line 1 "{where}"\n{body}\n#line 1 "graph"'
    if definition.each:
        body = one_pass(definition.inputs, body)
    return f"{returns} {name}({arguments})\n{{\n{body}\n}}"


def one_pass(arrays, body):
    """A loop over the entries of arrays: the same flags as with an array for each operator."""
    first = arrays[0]
    entry = ", ".join(f"const auto {name}" for name in arrays)
    lengths = [f"{name}.size() != {first}.size()" for name in arrays[1:]] or ["false"]
    entries = ", ".join(f"{name}[i]" for name in arrays)
    return "\n".join(
        (
            f"   const auto passes = []({entry}) -> bool {{\n{body}\n   }};",
            f"   if ({' || '.join(lengths)})",
            f'      throw std::runtime_error("{", ".join(arrays)} have different lengths");',
            f"   ROOT::RVec<int> flags({first}.size());",
            f"   for (std::size_t i = 0; i < {first}.size(); ++i)",
            f"      flags[i] = passes({entries});",
            "   return flags;",
        )
    )


def quoted(names):
    return "{" + ", ".join(json.dumps(name) for name in names) + "}"


def cpp_type(name):
    """The type in which RDataFrame reads a branch."""
    return re.sub(r"^std::vector<(.*)>$", r"ROOT::RVec<\1>", name)
