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

from analysis.complaints import NO_NUMBER, blame_declaration
from analysis.errors import OutputError
from analysis.files import write_file
from analysis.output import IDENTITY, WEIGHT
from analysis.plan import MATRIX
from helpers import native
from helpers.build import (
    CompilerError,
    cache_folder,
    library,
    loading,
    side_by_side,
    toolchain,
)
from helpers.stamp import source_files


def compile_chains(plans, layout):
    """Return the CompiledChain of each plan.

    Plans that differ in constants only share one. What the cache does not have is compiled side by
    side.

    layout: of a row: numbers of its cells, of all its floats and of its integers
    Raises DeclarationError for an expression that is not valid C++, CompilerError where there is no
    compiler that works.
    """
    sources = [Source.of(plan, layout) for plan in plans]
    unique = {source.name: source for source in sources}
    toolchain()
    with side_by_side() as pool:
        libraries = dict(zip(unique, pool.map(compile_library, unique.values()), strict=True))
    chains = {name: (str(path), f"make_{name}") for name, path in libraries.items()}
    with loading(*libraries.values()):
        made = {
            name: CompiledChain(*chain, native.call("foreign_branch", *chain))
            for name, chain in chains.items()
        }
    return [made[source.name] for source in sources]


@dataclass(frozen=True)
class CompiledChain:
    """A library with a compiled chain, loaded: a C++ `CompiledChain`."""

    library: str  # its path
    function: str  # in it, which makes the chain
    foreign: str  # first branch whose type cannot be handed to compiled code, "" for none


@dataclass(frozen=True)
class Source:
    """The C++ file of a plan."""

    name: str  # of the namespace and of the library
    text: str  # the whole file
    columns: tuple[str, ...]  # what expressions may use, for error messages
    inputs: dict[str, str]  # those of them that are branches and their types

    @classmethod
    def of(cls, plan, layout):
        """Write the file of a plan."""
        holes = {
            "includes": "\n".join(f"#include <{header}>" for header in headers(plan)),
            "functions": "\n".join(functions(plan)),
            "inputs": "\n".join(
                f'         {{"{name}", &typeid(branch_{name})}},' for name in plan.inputs
            ),
            "branches": declared_branches(plan),
            "ask": "\n".join(f"      {branch_value(plan, name)};" for name in plan.inputs),
            "names": "".join(f", b_{name}" for name in plan.inputs),
            "process": process(plan, layout),
        }
        key = hashlib.sha256(FILE.substitute(holes, name="").encode()).hexdigest()[:12]
        name = f"m3lchain_{key}"
        return cls(name, FILE.substitute(holes, name=name), plan.names, plan.inputs)


def compile_library(source):
    """Path of the compiled library. Raises DeclarationError or CompilerError."""
    path = cache_folder() / f"{source.name}.cxx"
    try:
        if not holds(path, source.text):
            write_file(path, source.text)
        return library(source.name, path, [path, *source_files()])
    except CompilerError as error:
        blame_declaration(str(error), source.columns, source.inputs)
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
$branches
$ask
      checkNumbers(event$names);
   }

   void process(unsigned slot, const Event &event, const vector<double> &constants,
                const Cutflows &cutflows, vector<char> &in, const RowStores &rows) const override
   {
$branches
$process
      checkNumbers(event$names);
   }
};
} // namespace $name

extern "C" m3l::CompiledChain *make_$name() { return new $name::Chain; }
""")

# Counting in a variation, or without one; `passed` are the cuts of each region.
COUNTED = Template("""\
      unsigned passed_$number[$regions]{};
$cuts
      cutflows[$number]->add(slot, passed_$number, $weight);""")

REGION = Template("""\
      [&] {
$cuts
      }();
      in[$store] = passed_$number[$region] == $cuts_in_all;""")

CUT = Template("""\
         if (!$passes)
            return;
         ++passed_$number[$region];""")

# Counting again, with another weight.
WEIGHED = Template("      cutflows[$number]->add(slot, passed_0, $weight);")

# The row of an event, for the stores of all regions.
ROW = Template("""\
      if (find(&in[$first], &in[$first] + $regions, 1) != &in[$first] + $regions) {
         const std::int64_t identity[] = {$identity};
         const double weights[] = {$weights};
         const float scalars[] = {$scalars};
         std::int32_t room[$size];
         Integers integers(room);
$integers
         addRow(&rows[$first], &in[$first], $regions, slot, identity, weights, $matrix, scalars,
                integers);
      }""")

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


def process(plan, layout):
    """The statements of C++ that count an event, find its regions and add it to their rows.

    layout: of a row: numbers of its cells, of all its floats and of its integers
    """
    wanted, events = [WEIGHT, *plan.cut_inputs, *(plan.columns if plan.cuts else ())], {}
    varied = [
        Varied(plan, wanted if plan.changes_events(each) else [WEIGHT], each)
        for each in plan.variations
    ]
    columns = Columns(plan, [*wanted, *(name for each in varied for name in each.unchanged)])
    universes = [each.over(columns) for each in varied]
    # An event may be selected in a variation only, so that each value is made when it is needed.
    lines = [columns.text, *(each.text for each in universes), counted(plan, columns, 0, 0)]
    regions = len(plan.cuts)
    for number, (each, universe) in enumerate(zip(plan.variations, universes, strict=True), 1):
        first = regions * (1 + len(events))
        if plan.changes_events(each):
            events[first] = universe
            lines += (
                [counted(plan, universe, number, first)]
                if plan.changes_counts(each)
                else [f"      in[{first + n}] = in[{n}];" for n in range(regions)]
            )
        elif plan.changes_counts(each):
            lines.append(WEIGHED.substitute(weight=universe.value(WEIGHT), number=number))
    if plan.cuts:
        # What the weight is in other variations matters without a variation only.
        weights = [each for each in universes if each not in events.values()]
        lines.append(added(plan, columns, weights, 0, layout))
        lines += [added(plan, universe, (), first, layout) for first, universe in events.items()]
    return "\n".join(line for line in lines if line)


def counted(plan, columns, number, first):
    """C++ that counts an event and finds its regions.

    number: of the cutflow; first: flag of the first region
    """
    regions = []
    for region, cuts in enumerate(plan.cuts.values()):
        body = "\n".join(
            CUT.substitute(
                number=number,
                region=region,
                passes=columns.call(f"cut_{region}_{place}", cut.inputs),
            )
            for place, cut in enumerate(cuts)
        )
        regions.append(
            REGION.substitute(
                cuts=body,
                number=number,
                region=region,
                store=first + region,
                cuts_in_all=len(cuts),
            )
        )
    return COUNTED.substitute(
        weight=columns.value(WEIGHT),
        number=number,
        cuts="\n".join(regions),
        regions=max(1, len(plan.cuts)),
    )


def added(plan, columns, weights, first, layout):
    """C++ that adds the row of an event.

    weights: Columns of the other weights; first: flag of the first region
    """
    row = [columns.value(name) for name in plan.columns]
    identity, (weight, matrix, *features) = row[: len(IDENTITY)], row[len(IDENTITY) :]
    cells, floats, integers = layout
    scalars, numbers = features[: floats - cells], features[floats - cells :]
    return ROW.substitute(
        first=first,
        regions=len(plan.cuts),
        identity=", ".join(f"std::int64_t({value})" for value in identity),
        weights=", ".join([weight, *(each.value(WEIGHT) for each in weights)]),
        matrix=matrix,
        # One more than there are: arrays cannot be empty.
        scalars=", ".join([*(f"float({value})" for value in scalars), "0"]),
        size=integers + 1,
        integers="\n".join(f"         integers.add({value});" for value in numbers),
    )


def headers(plan):
    """The headers of ROOT's classes in the expressions of a plan; loads their libraries.

    Not included where they are not needed, since they take long to compile.
    """
    definitions = (
        *plan.definitions,
        *(cut for cuts in plan.cuts.values() for cut in cuts),
        *(column for shifted in plan.variations for column in shifted.columns),
    )
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
    for shifted in plan.variations:
        for column in shifted.columns:
            name = f"shift_{shifted.name}_{column.name}"
            yield function(name, column, types, types[column.name])
    for name in plan.columns[len(IDENTITY) :]:
        if name != MATRIX:
            where, number = file_name(plan.where(name)), f"is_arithmetic_v<{types[name]}>"
            yield f'#line 1 "{where}"\nstatic_assert({number}, "{NO_NUMBER}");'


def function(name, definition, types, returns="auto"):
    """A C++ function that computes an expression; a compiler's complaint names its declaration."""
    arguments = ", ".join(f"const {types[n]} &{n}" for n in definition.inputs)
    body = definition.cpp
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
        self.text = "\n".join(lazy)  # C++ that declares them

    def value(self, name):
        """C++ for the value of a column."""
        return self.values.get(name) or branch_value(self.plan, name)

    def call(self, function, names):
        """C++ that calls a function with columns."""
        return f"{function}({', '.join(map(self.value, names))})"


class Varied:
    """The columns that a C++ function of one event asks for, in a variation."""

    def __init__(self, plan, wanted, shifted):
        """wanted: as that of Columns; shifted: plan.Shifted"""
        self.shifted = shifted
        self.columns = {column.name: column for column in shifted.columns}
        changed = plan.changed(shifted)
        self.needed, names, inputs = [], set(wanted), []
        for definition in reversed(plan.definitions):
            if definition.name not in names & changed:
                continue
            self.needed.append(definition.name)
            if definition.name not in self.columns:
                names.update(definition.inputs)
                inputs += definition.inputs
        self.needed += [name for name in self.columns if name in names and name not in self.needed]
        self.needed.reverse()
        self.calls = {d.name: d.inputs for d in plan.definitions if d.name in self.needed}
        # What is asked for of the columns without the variation, as often as it is.
        self.unchanged = [name for name in (*wanted, *inputs) if name not in changed]
        shifts = [self.columns[name] for name in self.needed if name in self.columns]
        self.unchanged += [name for column in shifts for name in column.inputs]

    def over(self, columns):
        """The same with those Columns that the variation does not change."""
        self.base, self.values, lazy = columns, {}, []
        # Shifted columns first: they are made of unchanged ones only.
        for name in sorted(self.needed, key=lambda name: name not in self.columns):
            own = f"{self.shifted.name}_{name}"
            shift = f"shift_{own}"
            if name in self.columns:
                call = columns.call(shift, self.columns[name].inputs)
            else:
                call = self.call(f"f_{name}", self.calls[name])
            lazy.append(f"      const Lazy v_{own}{{[&] {{ return {call}; }}}};")
            self.values[name] = f"v_{own}()"
        self.text = "\n".join(lazy)  # C++ that declares them
        return self

    def value(self, name):
        """C++ for the value of a column."""
        return self.values.get(name) or self.base.value(name)

    def call(self, function, names):
        """C++ that calls a function with columns."""
        return f"{function}({', '.join(map(self.value, names))})"


def declared_branches(plan):
    """C++ that declares the branches of an event."""
    objects = dict.fromkeys(plan.checks[name] for name in plan.inputs if plan.checks.get(name))
    lengths = (f"      Length length_{of};" for of in objects)
    branches = (
        f"      const Branch<branch_{name}, {number}> b_{name}(event);"
        for number, name in enumerate(plan.inputs)
    )
    return "\n".join((*lengths, *branches))


def branch_value(plan, name):
    """C++ for the value of a branch that is declared."""
    of = plan.checks.get(name)
    return f"b_{name}(length_{of})" if of else f"b_{name}()"


def cpp_type(name):
    """The type in which RDataFrame reads a branch."""
    return re.sub(r"^std::vector<(.*)>$", r"ROOT::RVec<\1>", name)
