"""Expressions as compiled code.

RDataFrame compiles the strings given to Define and Filter with its interpreter, which optimises
little and costs seconds at each start. Here the expressions of a plan become one C++ file, in which
each is a function and each node of the graph is made with its types. It is compiled once, kept in
the cache and loaded by later runs. Without a compiler the same file is interpreted.
"""

import contextlib
import hashlib
import json
import os
import re
import sys
import tempfile
import warnings
from functools import cache

import ROOT

import helpers
from analysis.errors import DeclarationError, near_miss
from analysis.expressions import NORMALISATION
from helpers.build import CompilerError, cache_folder, library


def graph(plan, cells, interpret=False):
    """Return the C++ namespace with `define`, `filter` and `bookRows` for a plan.

    cells: number of values of the matrix
    interpret: never call the compiler
    Raises DeclarationError for an expression that is not valid C++.
    """
    source = cpp_source(plan, cells)
    name = "m3lgraph_" + hashlib.sha256(source.encode()).hexdigest()[:12]
    return load(name, source.replace(PLACEHOLDER, name), tuple(plan_names(plan)), interpret)


@cache
def load(name, source, known, interpret):
    if not interpret:
        path = cache_folder() / f"{name}.cxx"
        if not path.exists():
            with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
                file.write(source)
            os.replace(file.name, path)
        try:
            built = library(name, path, [path, *helpers.source_files()])
            if ROOT.gSystem.Load(str(built)) >= 0:
                return getattr(ROOT, name)
            reason = "the library does not load"
        except CompilerError as error:
            raise_for_expression(str(error), known)
            reason = helpers.first_error(str(error))
        warnings.warn(
            f"the expressions cannot be compiled and are interpreted, which is slower: {reason}",
            stacklevel=2,
        )
    with captured_stderr() as output:
        good = ROOT.gInterpreter.Declare("#define M3L_INTERPRETED\n" + source)
    if not good:
        raise_for_expression(output(), known)
        raise DeclarationError("the expressions do not compile: " + helpers.first_error(output()))
    return getattr(ROOT, name)


def raise_for_expression(output, known):
    """Raise DeclarationError if a compiler's output blames a declaration."""
    blamed = re.search(r"^(\w[^\n]*? in analysis/\w+\.py):\d+:\d+: error: ([^\n]*)", output, re.M)
    if blamed:
        where, message = blamed.groups()
        name = re.search(r"'(\w+)' was not declared|undeclared identifier '(\w+)'", message)
        hint = ""
        if name:
            name = name[1] or name[2]
            message = f"unknown name '{name}'"
            hint = near_miss(name, [*known, *ROOT_FUNCTIONS])
        raise DeclarationError(f"{where}: {message}{hint}")


# Functions that a misspelt one is compared with.
ROOT_FUNCTIONS = (
    "flavourComp3L getM transverseMass transverseEnergy deltaTransverseEnergy rapidity hL h "
    "chargeSum sfosClosestToZ trileptonMass leptonMass triggerMatched scaleFactorProduct "
    "campaignLuminosity indicesByPt objects ranked massFromEnergy RMM "
    "Sum Take Any All Max Min Mean ArgMax ArgMin Argsort Sort Reverse Nonzero Where Concatenate "
    "DeltaPhi DeltaR InvariantMass InvariantMasses Combinations abs sqrt exp log sin cos pow"
).split()


def plan_names(plan):
    return [*plan.inputs, *(definition.name for definition in plan.definitions)]


@contextlib.contextmanager
def captured_stderr():
    """Keep what C++ writes to the terminal; yields a function that returns it."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as file:

        def text():
            file.seek(0)
            return file.read().decode(errors="replace")

        os.dup2(file.fileno(), 2)
        try:
            yield text
        finally:
            os.dup2(saved, 2)
            os.close(saved)


PLACEHOLDER = "M3LGRAPH"

HEAD = f"""\
// Made from the declarations in analysis/; changes here are lost.
#include "m3l.h"

namespace {PLACEHOLDER} {{
ROOT::RDF::RNode define(ROOT::RDF::RNode node, const std::string &name);
ROOT::RDF::RNode filter(ROOT::RDF::RNode node, const std::string &name);
ROOT::RDF::RResultHandle bookRows(ROOT::RDF::RNode node, std::shared_ptr<m3l::RowStore> rows);
}}

#if !defined(__CLING__) || defined(M3L_INTERPRETED)
#include <ROOT/RDataFrame.hxx>
#include <Math/Vector4D.h>
#include <Math/VectorUtil.h>
#include <TMath.h>

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
    types[NORMALISATION] = "double"
    parts = [HEAD]
    parts += [f"using branch_{name} = {cpp_type(kind)};" for name, kind in plan.inputs.items()]
    define, filters = [], []
    for definition in plan.definitions:
        name = definition.name
        parts += [function(f"f_{name}", definition, types)]
        parts += [f"using column_{name} = result<decltype(f_{name})>;"]
        types[name] = f"column_{name}"
        verb = "Redefine" if definition.replaces else "Define"
        define.append(
            f'   if (name == "{name}") '
            f'return node.{verb}("{name}", f_{name}, {quoted(definition.inputs)});'
        )
    cuts = [cut for region in plan.cuts.values() for cut in region]
    for number, cut in enumerate(cuts):
        parts += [function(f"cut_{number}", cut, types, "bool")]
        filters.append(
            f"   if (name == {json.dumps(cut.name)}) "
            f"return node.Filter(cut_{number}, {quoted(cut.inputs)}, {json.dumps(cut.name)});"
        )
    unknown = "   throw std::invalid_argument(name);\n}"
    node = "ROOT::RDF::RNode"
    parts += [f"{node} define({node} node, const std::string &name)\n{{", *define, unknown]
    parts += [f"{node} filter({node} node, const std::string &name)\n{{", *filters, unknown]
    row = ", ".join(types[name] for name in plan.columns)
    parts += [
        f"ROOT::RDF::RResultHandle bookRows({node} node, std::shared_ptr<RowStore> rows)\n{{",
        f"   return node.Book<{row}>(RowAction(rows, {cells}), {quoted(plan.columns)});\n}}",
        f"}} // namespace {PLACEHOLDER}\n#endif\n",
    ]
    return "\n".join(parts)


def function(name, definition, types, returns="auto"):
    """A C++ function that computes an expression; a compiler's complaint names its declaration."""
    arguments = ", ".join(f"const {types[n]} &{n}" for n in definition.inputs if n in types)
    body = definition.expression
    if not re.search(r"\breturn\b", body):
        body = f"return {body};"
    where = definition.where.replace('"', "'")
    return f'{returns} {name}({arguments})\n{{\n#line 1 "{where}"\n{body}\n#line 1 "graph"\n}}'


def quoted(names):
    return "{" + ", ".join(json.dumps(name) for name in names) + "}"


def cpp_type(name):
    """The type in which RDataFrame reads a branch."""
    return re.sub(r"^std::vector<(.*)>$", r"ROOT::RVec<\1>", name)
