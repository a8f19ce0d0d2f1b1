"""The chain of a plan, made ahead of time.

RDataFrame compiles the strings of a chain with its interpreter, which optimises little and costs
seconds at each start. Here they become functions of one C++ file, which is compiled once, kept in
the cache and loaded by later runs. It includes nothing of RDataFrame, so that an edit is cheap; the
engine books it on the graph (helpers/engine/bookchain.h).
"""

import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from string import Template

import ROOT

import helpers
from analysis.complaints import NO_NUMBER, blame_declaration
from analysis.errors import OutputError
from analysis.files import write_file
from analysis.output import IDENTITY, WEIGHT
from analysis.plan import MATRIX
from helpers.build import (
    CompilerError,
    cache_folder,
    library,
    loading,
    side_by_side,
    toolchain,
)


def compile_chains(plans, cells):
    """Return the compiled chain of each plan, a C++ `CompiledChain`.

    Plans that differ in constants only share one. What the cache does not have is compiled side by
    side.

    cells: number of values of the matrix
    Raises DeclarationError for an expression that is not valid C++, CompilerError where there is no
    compiler that works.
    """
    sources = [Source.of(plan, cells) for plan in plans]
    unique = {source.name: source for source in sources}
    toolchain()
    with side_by_side() as pool:
        libraries = dict(zip(unique, pool.map(compile_library, unique.values()), strict=True))
    with loading(*libraries.values()):
        made = {
            name: ROOT.m3l.loadChain(str(path), f"make_{name}") for name, path in libraries.items()
        }
    return [made[source.name] for source in sources]


@dataclass(frozen=True)
class Source:
    """The C++ file of a plan."""

    name: str  # of the namespace and of the library
    text: str  # the whole file
    columns: tuple[str, ...]  # what expressions may use, for error messages

    @classmethod
    def of(cls, plan, cells):
        """Write the file of a plan."""
        cuts = [cut for region in plan.cuts.values() for cut in region]
        selecting = Columns(plan, [WEIGHT, *(name for cut in cuts for name in cut.inputs)])
        row = Columns(plan, plan.columns)
        all_branches = [*plan.inputs]
        holes = {
            "includes": "\n".join(f"#include <{header}>" for header in headers(plan)),
            "functions": "\n".join(functions(plan)),
            "inputs": "\n".join(
                f'         {{"{name}", &typeid(branch_{name}), '
                f"{cpp_flag(name in selecting.branches)}, {cpp_flag(name in row.branches)}}},"
                for name in plan.inputs
            ),
            "all_branches": declared_branches(plan, all_branches),
            "ask": "\n".join(f"      {branch_value(plan, name)};" for name in all_branches),
            "all_names": listed_branches(all_branches),
            "select_columns": selecting.text,
            "select_names": listed_branches(selecting.branches),
            "weight": selecting.value(WEIGHT),
            "regions": "\n".join(
                REGION.substitute(region=number, cuts=count_cuts(number, region, selecting))
                for number, region in enumerate(plan.cuts.values())
            ),
            "row_columns": row.text,
            "row_names": listed_branches(row.branches),
            "cells": cells,
            "row": ", ".join(map(row.value, plan.columns)),
        }
        key = hashlib.sha256(FILE.substitute(holes, name="").encode()).hexdigest()[:12]
        name = f"m3lchain_{key}"
        return cls(name, FILE.substitute(holes, name=name), plan.names)


def compile_library(source):
    """Path of the compiled library. Raises DeclarationError or CompilerError."""
    path = cache_folder() / f"{source.name}.cxx"
    try:
        if not holds(path, source.text):
            write_file(path, source.text)
        return library(source.name, path, [path, *helpers.source_files()])
    except CompilerError as error:
        blame_declaration(str(error), source.columns)
        raise
    except OutputError as error:
        raise CompilerError(str(error)) from None


def holds(path, text):
    """Whether a file has this content, complete."""
    try:
        return path.read_bytes() == text.encode()
    except OSError:
        return False


FILE = Template("""\
// The chain of analysis/chain.py for one kind of sample; changes here are lost.
#include "engine/compiledchain.h"
#include "m3l.h"
$includes

namespace $name {
using namespace std;
using namespace ROOT::VecOps;
using namespace m3l;
template <typename R, typename... A> decay_t<R> resultOf(R (*)(A...));

namespace {
$functions
}

class Chain final : public CompiledChain {
public:
   const vector<Input> &branches() const override
   {
      static const vector<Input> inputs{
$inputs
      };
      return inputs;
   }

   void check(const Event &event) const override
   {
$all_branches
$ask
      checkNumbers(event$all_names);
   }

   void select(unsigned slot, const Event &event, const vector<double> &constants, Cutflow &cutflow,
               vector<char> &in) const override
   {
$select_columns
      const double weight = $weight;
      cutflow.all.add(slot, weight);
$regions
      checkNumbers(event$select_names);
   }

   void addRow(unsigned slot, const Event &event, const vector<double> &constants,
               RowStore &rows) const override
   {
$row_columns
      m3l::addRow(rows, slot, $cells, $row);
      checkNumbers(event$row_names);
   }
};
} // namespace $name

extern "C" m3l::CompiledChain *make_$name() { return new $name::Chain; }
""")

REGION = Template("""\
      in[$region] = [&] {
$cuts
         return true;
      }();""")

CUT = Template("""\
         if (!$passes)
            return false;
         cutflow.regions[$region][$cut].add(slot, weight);""")

# A loop over the entries of arrays: the same flags as with an array for each operator.
ONE_PASS = Template("""\
   const auto passes = []($entry) -> bool {
$body
   };
   if ($differ)
      throw std::runtime_error("$arrays have different lengths");
   ROOT::RVec<int> flags($first.size());
   for (std::size_t i = 0; i < $first.size(); ++i)
      flags[i] = passes($entries);
   return flags;""")

MATH = ("Math/Vector3D.h", "Math/Vector4D.h", "Math/VectorUtil.h", "Math/DistFunc.h")


def count_cuts(region, cuts, columns):
    """C++ that checks the cuts of a region and counts those that an event passes."""
    return "\n".join(
        CUT.substitute(
            region=region,
            cut=number,
            passes=columns.call(f"cut_{region}_{number}", cut.inputs),
        )
        for number, cut in enumerate(cuts)
    )


def cpp_flag(value):
    """A C++ bool."""
    return "true" if value else "false"


def headers(plan):
    """The headers of ROOT's classes in the expressions of a plan; loads their libraries.

    Not included where they are not needed, since they take long to compile.
    """
    definitions = (*plan.definitions, *(cut for cuts in plan.cuts.values() for cut in cuts))
    text = " ".join(definition.expression for definition in definitions)
    found = list(MATH) if "ROOT::Math" in text else []
    found += ["TMath.h"] if "TMath" in text else []
    for name in sorted(set(re.findall(r"\bT[A-Z]\w+", text))):
        known = ROOT.TClass.GetClass(name, True, True)
        if known:
            found.append(str(known.GetDeclFileName()))
            ROOT.gInterpreter.AutoLoad(name)
    return found


def functions(plan):
    """The C++ functions of all definitions and cuts, with the types of their columns."""
    types = {name: f"branch_{name}" for name in (*plan.inputs, *plan.constants)}
    for name in plan.constants:
        yield f"using branch_{name} = double;"
    for name, kind in plan.inputs.items():
        yield f"using branch_{name} = {cpp_type(kind)};"
    for definition in plan.definitions:
        name = definition.name
        yield function(f"f_{name}", definition, types)
        yield f"using column_{name} = decltype(resultOf(f_{name}));"
        types[name] = f"column_{name}"
    for region, cuts in enumerate(plan.cuts.values()):
        for number, cut in enumerate(cuts):
            yield function(f"cut_{region}_{number}", cut, types, "bool")
    for name in plan.columns[len(IDENTITY) :]:
        if name != MATRIX:
            where, number = file_name(plan.where(name)), f"is_arithmetic_v<{types[name]}>"
            yield f'#line 1 "{where}"\nstatic_assert({number}, "{NO_NUMBER}");'


def function(name, definition, types, returns="auto"):
    """A C++ function that computes an expression; a compiler's complaint names its declaration."""
    arguments = ", ".join(f"const {types[n]} &{n}" for n in definition.inputs)
    body = definition.expression
    if not re.search(r"\breturn\b", body):
        body = f"return {body};"
    body = f'#line 1 "{file_name(definition.where)}"\n{body}\n#line 1 "chain"'
    if definition.each:
        first, *others = arrays = definition.inputs
        body = ONE_PASS.substitute(
            entry=", ".join(f"const auto {array}" for array in arrays),
            body=body,
            differ=" || ".join(f"{array}.size() != {first}.size()" for array in others) or "false",
            arrays=", ".join(arrays),
            first=first,
            entries=", ".join(f"{array}[i]" for array in arrays),
        )
    return f"{returns} {name}({arguments})\n{{\n{body}\n}}"


def file_name(where):
    """What declares a column or cut, as a name in a #line, which it cannot end."""
    return "".join("'" if c in '"\\' or not c.isprintable() else c for c in where)


class Columns:
    """The columns that a C++ function of one event asks for, each computed at most once."""

    def __init__(self, plan, wanted):
        """wanted: names of the columns, as often as they are asked for"""
        self.plan = plan
        self.branches = []  # of the plan's inputs, those that are needed
        self.values = {name: f"constants[{n}]" for n, name in enumerate(plan.constants)}
        lazy, needed = [], plan.needed(wanted)[0]
        uses = Counter([*wanted, *(name for each in needed for name in each.inputs)])
        for definition in needed:
            name = definition.name
            call = self.call(f"f_{name}", definition.inputs)
            if uses[name] == 1:  # quicker to compile
                self.values[name] = call
                continue
            lazy.append(f"      const Lazy v_{name}{{[&] {{ return {call}; }}}};")
            self.values[name] = f"v_{name}()"
        for name in wanted:
            self.value(name)
        self.text = "\n".join((declared_branches(plan, self.branches), *lazy))

    def value(self, name):
        """C++ for the value of a column."""
        if name in self.values:
            return self.values[name]
        if name not in self.branches:
            self.branches.append(name)
        return branch_value(self.plan, name)

    def call(self, function, names):
        """C++ that calls a function with columns."""
        return f"{function}({', '.join(map(self.value, names))})"


def declared_branches(plan, names):
    """C++ that declares branches of an event."""
    numbers = {name: number for number, name in enumerate(plan.inputs)}
    objects = dict.fromkeys(plan.checks[name] for name in names if plan.checks.get(name))
    lengths = (f"      Length length_{of};" for of in objects)
    branches = (f"      const Branch<branch_{n}, {numbers[n]}> b_{n}(event);" for n in names)
    return "\n".join((*lengths, *branches))


def listed_branches(names):
    """C++ for branches as further arguments."""
    return "".join(f", b_{name}" for name in names)


def branch_value(plan, name):
    """C++ for the value of a branch that is declared."""
    of = plan.checks.get(name)
    return f"b_{name}(length_{of})" if of else f"b_{name}()"


def cpp_type(name):
    """The type in which RDataFrame reads a branch."""
    return re.sub(r"^std::vector<(.*)>$", r"ROOT::RVec<\1>", name)
