"""From declarations to an ordered list of column definitions for one sample."""

import re
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

import helpers
from analysis import good_runs, triggers
from analysis.errors import listed, near_miss
from analysis.output import IDENTITY, WEIGHT
from analysis.schemas import SCHEMAS

MATRIX = "rmm"
NORMALISATION = "normalisation"

# Words of C++, and types of the helpers, that are not columns.
WORDS = frozenset(
    """and auto bool break case char const constexpr continue default do double else false float for
    if int long not nullptr or return short signed static static_cast std switch true unsigned void
    while M_PI ROOT TMath m3l""".split()
) | {name for name in helpers.names() if name[0].isupper()}


# Such as 20 < met_Et < 200: a number, a column, element or function, and a number or column.
CHAINED = re.compile(
    r"(?<![\w.])-?\d[\w.]*\s*[<>]=?\s*[A-Za-z_][\w.]*(?:\[[^][]*\]|\([^()]*\))?\s*[<>]=?\s*-?[\w.]+"
)


@dataclass(frozen=True)
class Definition:
    """A column that is computed, or a cut."""

    name: str
    expression: str
    where: str  # what declares it, for error messages
    inputs: tuple[str, ...] = ()  # columns in the expression
    replaces: bool = False  # hides a branch of the same name
    each: bool = False  # computed for each entry of its input arrays, which have one length
    masks: tuple[str, ...] = ()  # flags of objects, which choose elements

    @property
    def cpp(self):
        """The expression as it is computed: C++ does not look whether x[i] is there."""
        return with_checked_elements(self.expression, self.inputs, self.masks)


@dataclass(frozen=True)
class Shifted:
    """A systematic variation of a sample: columns that become something else."""

    name: str
    systematic: str
    direction: str  # up or down
    columns: tuple[Definition, ...]  # of what they become, from columns as they are without it


@dataclass(frozen=True)
class Plan:
    """What one sample's event loop reads and computes."""

    inputs: dict[str, str]  # branches that are read and their C++ types
    constants: dict[str, float]  # columns with one number for the whole sample
    definitions: tuple[Definition, ...]  # each after those it needs
    cuts: dict[str, tuple[Definition, ...]]  # of each region, in order
    columns: tuple[str, ...]  # columns of a row: identity, weight, matrix, floats, integers
    left_out: tuple[str, ...]  # cuts and weights that need columns the files do not carry
    # Branches whose values are looked at, in the order of the schema, and the objects for each of
    # which they have a number: lep, jet, pho, a collection, or "" for other branches.
    checks: dict[str, str] = field(default_factory=dict)
    drop_bad_events: bool = False  # leave events with bad values out instead of failing
    variations: tuple[Shifted, ...] = ()

    def changed(self, shifted):
        """Names of all columns that a variation changes."""
        names = {column.name for column in shifted.columns}
        for definition in self.definitions:
            if names.intersection(definition.inputs):
                names.add(definition.name)
        return names

    @property
    def cut_inputs(self):
        """Columns in the cuts of all regions, as often as they are asked for."""
        return [name for cuts in self.cuts.values() for cut in cuts for name in cut.inputs]

    def changes_events(self, shifted):
        """Whether a variation changes more than weights: events that are selected or features."""
        used = {*self.cut_inputs, *self.columns} - {WEIGHT}
        return not self.changed(shifted).isdisjoint(used)

    def changes_counts(self, shifted):
        """Whether a variation changes the cutflow: a cut or the weight."""
        return not self.changed(shifted).isdisjoint({*self.cut_inputs, WEIGHT})

    @property
    def weight_variations(self):
        """Those variations that change weights only, in order."""
        return tuple(each for each in self.variations if not self.changes_events(each))

    @property
    def event_variations(self):
        """The others."""
        return tuple(each for each in self.variations if self.changes_events(each))

    @property
    def kinds(self):
        """{variation: weight or object}, which says what it changes."""
        events = self.event_variations
        return {each.name: "object" if each in events else "weight" for each in self.variations}

    @property
    def names(self):
        """Names of all columns that an expression may use."""
        return (*self.inputs, *self.constants, *(d.name for d in self.definitions))

    def needed(self, columns):
        """The definitions that columns need, and the branches."""
        names, definitions = set(columns), []
        for definition in reversed(self.definitions):
            if definition.name in names:
                definitions.append(definition)
                names.update(definition.inputs)
        return tuple(reversed(definitions)), [name for name in self.inputs if name in names]

    def only(self, columns):
        """The plan of what columns need, without cuts and variations: quick to compile."""
        definitions, _ = self.needed(columns)
        used = {name for definition in definitions for name in definition.inputs}
        constants = {name: value for name, value in self.constants.items() if name in used}
        return replace(self, definitions=definitions, constants=constants, cuts={}, variations=())

    def is_sound(self, branches, known=()):
        """C++ for whether branches of an event have no bad values.

        known: branches of which that is known already
        """
        conditions = []
        for branch, of in self.checks.items():
            if branch in branches and branch not in known:
                alike = [b for b, other in self.checks.items() if of and other == of]
                others = [b for names in (known, branches) for b in alike if b in names]
                words = dict.fromkeys((branch, *others[:1]))
                conditions.append(f"m3l::isSound({', '.join(words)})")
        return " && ".join(conditions)

    def where(self, column):
        """What declares a column of a row, for error messages."""
        declared = {definition.name: definition.where for definition in self.definitions}
        return declared.get(column, f"feature '{column}' in analysis/features.py")


def identifiers(expression):
    """Return the names in a C++ expression that can be columns, in order of appearance.

    Left out are members (`a.b`), qualified names (`a::b`), functions and text in quotes.
    """
    text = re.sub(r'"(\\.|[^"\\])*"|/\*.*?\*/', '""', expression)
    found = re.finditer(r"(?<![\w.])(?<!::)(?<!->)[A-Za-z_]\w*(?!\w)(?!\s*(?:::|\())", text)
    return tuple(dict.fromkeys(m.group() for m in found if m.group() not in WORDS))


def is_plain(expression):
    """Whether the expression has no local variables, so that every name in it must be a column."""
    return not re.search(r"[;{}]|\bauto\b", expression)


def is_elementwise(expression):
    """Whether an expression of arrays is the same for each of their entries.

    It has comparisons, arithmetic and absolute values only, no function of a whole array.
    """
    functions = re.findall(r"(\w+)\s*\(", expression)
    return set(functions) <= {"abs"} and not re.search(r"[^\w\s.<>=!&|+*/()-]", expression)


def with_checked_elements(expression, columns, masks):
    """Write element(x, i) for each x[i] of a column x; masks, as in x[x > 20], choose several."""
    made = ""
    while found := re.search(r"(?<![\w.>:])([A-Za-z_]\w*)\[", expression):
        value = name = found[1]
        made += expression[: found.start()]
        if name not in columns or name == MATRIX:  # whose cells are all there
            made, expression = made + found[0], expression[found.end() :]
            continue
        expression = expression[found.end() - 1 :]
        while expression.startswith("["):
            end = closing(expression)
            index = with_checked_elements(expression[1:end], columns, masks)
            chooses = index.strip() in masks or re.search(r"[<>=!&|]", index)
            value = f"{value}[{index}]" if chooses else f"element({value}, {index})"
            expression = expression[end + 1 :]
        made += value
    return made + expression


def closing(text):
    """Position of the bracket that closes the first one; the end where none does."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter == "[") - (letter == "]")
        if depth == 0:
            return place
    return len(text)


def absent_columns(schema, branches):
    """Names of our columns, of any input format, that cannot be made from these branches."""
    ours = {column.name for known in SCHEMAS.values() for column in known.columns}
    made = {
        column.name
        for column in schema.columns
        if set(identifiers(column.expression)) <= set(branches)
    }
    return ours - made - set(branches)


class Planner:
    """Collects the definitions of one sample; problems are gathered, not raised."""

    def __init__(self, sample, schema, branches, objects, variables):
        """Branches: dict from the names of the branches in the sample's files to C++ types."""
        self.sample = sample
        self.schema = schema
        self.branches = branches
        self.problems = []
        self.left_out = []
        self.variations = []
        self.masks = tuple(declared.name for declared in objects)
        self.absent = absent_columns(schema, branches)
        self.reasons = {}  # of columns that are absent
        self.definitions = {}
        self.add_schema()
        self.add_good_runs(sample.good_runs)
        self.add_objects(objects)
        self.add_triggers(triggers.MENUS.get(schema.name, ()))
        for variable in variables:
            where = f"variable '{variable.name}' in analysis/selection.py"
            if not set(identifiers(variable.expression)) & self.absent:
                self.add(variable.name, variable.expression, where)
            else:
                self.absent.add(variable.name)

    def add(self, name, expression, where, each=False):
        """Define a column; the arguments are those of a Definition."""
        self.definitions[name] = Definition(
            name,
            expression,
            where,
            identifiers(expression),
            name in self.branches,
            each,
            self.masks,
        )

    def add_schema(self):
        """Define our columns from the branches."""
        where = f"schema '{self.schema.name}' in analysis/schemas.py"
        for column in self.schema.columns:
            lacking = [name for name in identifiers(column.expression) if name not in self.branches]
            if lacking and not column.optional:
                for name in lacking:
                    self.problems.append(
                        f"sample '{self.sample.name}': no branch '{name}', which schema "
                        f"'{self.schema.name}' needs for {column.name}"
                        + near_miss(name, self.branches)
                    )
            elif not lacking and column.expression != column.name:
                self.add(column.name, column.expression, where)
            if not lacking:
                self.check_types(column)

    def add_good_runs(self, runs):
        """Define whether an event is in a good-run list; runs: the list as text, empty: all are."""
        where = f"good_runs of sample '{self.sample.name}'"
        if runs and good_runs.BLOCK in self.absent:
            self.problems.append(
                f"sample '{self.sample.name}': good_runs needs the luminosity block of each event, "
                f"which its files do not carry (column {good_runs.BLOCK} of schema "
                f"'{self.schema.name}')"
            )
        self.add(good_runs.COLUMN, good_runs.expression(runs) if runs else "true", where)

    def check_types(self, column):
        """A branch must hold a number per event or a list of numbers, as the schema says."""
        for name in identifiers(column.expression):
            cpp = self.branches[name]
            expected = "a list of numbers" if column.vector else "one number"
            if ("RVec" in cpp) != column.vector or not is_number(cpp):
                self.problems.append(
                    f"sample '{self.sample.name}': branch '{name}' is of type {cpp}, but schema "
                    f"'{self.schema.name}' expects {expected} per event for {column.name}"
                )

    def add_objects(self, objects):
        """Define the flags of the objects, without cuts that the format does not carry."""
        for declared in objects:
            where = f"object '{declared.name}' in analysis/selection.py"
            kept = [c for c in declared.cuts if not set(identifiers(c)) & self.absent]
            if f"{declared.of}Pt" in self.absent or not kept:
                self.absent.add(declared.name)
                continue
            for cut in declared.cuts:
                if cut not in kept:
                    self.left_out.append(f"{declared.name}: {cut}")
            expression = " && ".join(f"({cut})" for cut in kept)
            arrays = {column.name for column in self.schema.columns if column.vector}
            arrays |= {other.name for other in objects if other.of == declared.of}
            each = set(identifiers(expression)) <= arrays and is_elementwise(expression)
            self.add(declared.name, expression, where, each)

    def add_triggers(self, menus):
        """Define the column of each trigger, and the number of those that select an event."""
        run = "RunNumber"
        if self.sample.kind != "data":
            run = "" if "RandomRunNumber" in self.absent else "RandomRunNumber"
        made = {
            menu.column(trigger): (
                menu.expression(trigger, run),
                f"trigger '{trigger.name}' of menu '{menu.name}' in analysis/triggers.py",
            )
            for menu in menus
            for trigger in menu.triggers
        }
        names = (name for expression, _ in made.values() for name in identifiers(expression))
        lacking = [name for name in dict.fromkeys(names) if name not in self.known()]
        reason = f"no {listed(lacking)}" if lacking else "" if made else "it has no menu"
        if not (reason or run or any(menu.simulated for menu in menus)):
            reason = "no RandomRunNumber, and no menu says what is simulated for it"
        if reason:
            self.absent.add(triggers.NUMBER)
            self.reasons[triggers.NUMBER] = f"{reason}, see analysis/triggers.py"
            return
        for name, (expression, where) in made.items():
            self.add(name, expression, where)
        where = f"menus of '{self.schema.name}' in analysis/triggers.py"
        self.add(triggers.NUMBER, " + ".join(made), where)

    def add_weight(self, normalisation):
        """Define the event weight from a `samples.Normalisation`."""
        where = f"weights of schema '{self.schema.name}' in analysis/schemas.py"
        if self.sample.kind == "data":
            self.add(WEIGHT, "1.0", where)
            return
        for name in self.schema.weights:
            if name in self.absent:
                self.left_out.append(f"{WEIGHT}: {name}")
        factors = [name for name in self.schema.weights if name not in self.absent]
        terms = [NORMALISATION, f"scaleFactorProduct({', '.join(factors)})"]
        if normalisation.from_ntuple:
            terms.append(f"({self.schema.normalisation})")
        if normalisation.by_campaign:
            terms.append("campaignLuminosity(RandomRunNumber)")
        self.add(WEIGHT, " * ".join(terms), where)

    def add_variations(self, systematics):
        """Plan those Systematics that concern the sample and that its files can have."""
        for systematic in systematics:
            if not systematic.concerns(self.sample.process, self.sample.kind):
                continue
            where = f"systematic '{systematic.name}' in analysis/systematics.py"
            for variation in systematic.variations:
                columns = tuple(
                    Definition(name, expression, where, identifiers(expression), masks=self.masks)
                    for name, expression in variation.columns.items()
                )
                names = {name for column in columns for name in (column.name, *column.inputs)}
                if lacking := sorted(names & self.absent):
                    self.left_out.append(f"{variation.name}: needs {', '.join(lacking)}")
                    continue
                direction = variation.name.removeprefix(f"{systematic.name}_")
                shifted = Shifted(variation.name, systematic.name, direction, columns)
                self.variations.append(shifted)

    def known(self):
        """All names that an expression may use."""
        return {*self.definitions, *self.branches, NORMALISATION}

    def with_columns(self, definition, known):
        """The definition with those inputs that are columns; others are local variables."""
        return replace(definition, inputs=tuple(n for n in definition.inputs if n in known))

    def check_names(self, definition, known):
        """A problem for each name in a definition that is no column."""
        for name in definition.inputs:
            if name in known:
                continue
            if name in self.absent:
                self.problems.append(
                    f"{definition.where} needs '{name}', which the files of sample "
                    f"'{self.sample.name}' do not carry (schema '{self.schema.name}'"
                    + (f": {self.reasons[name]})" if name in self.reasons else ")")
                )
            elif is_plain(definition.expression):
                self.problems.append(
                    f"unknown column '{name}' in {definition.where}" + near_miss(name, known)
                )

    def check_form(self, definition):
        """A problem for an expression that is none, or that C++ takes for another."""
        if not definition.expression.strip():
            self.problems.append(f"{definition.where} has no expression")
        elif found := CHAINED.search(definition.expression):
            self.problems.append(
                f"{definition.where}: C++ compares the truth of the first part of "
                f"`{found[0]}` with the last, write two comparisons and && between them"
            )

    def plan(self, regions, features, matrix, constants):
        """Return the Plan for these regions, features and matrix, None if there are problems."""
        if self.problems:
            return None  # more would follow from those
        cuts = {}
        for region in regions:
            cuts[region.name] = tuple(
                Definition(
                    cut.name,
                    cut.expression,
                    f"cut '{cut.name}' of region '{region.name}' in analysis/selection.py",
                    identifiers(cut.expression),
                    masks=self.masks,
                )
                for cut in region.cuts
            )
        self.add(MATRIX, matrix, "layout in analysis/features.py")
        scalars = [feature for feature in features if feature.expression]
        for feature in scalars:
            lacking = feature.otherwise and set(feature.needs) & self.absent
            expression = feature.otherwise if lacking else feature.expression
            if expression != feature.name:
                where = f"feature '{feature.name}' in analysis/features.py"
                self.add(feature.name, expression, where)
        columns = (
            *IDENTITY,
            WEIGHT,
            MATRIX,
            *(feature.name for feature in scalars if not feature.integer),
            *(feature.name for feature in scalars if feature.integer),
        )
        all_cuts = [cut for region_cuts in cuts.values() for cut in region_cuts]
        known = self.known() | set(constants)
        shifts = [column for shifted in self.variations for column in shifted.columns]
        for definition in (*self.definitions.values(), *all_cuts, *shifts):
            self.check_names(definition, known)
            self.check_form(definition)
        for name, definition in self.definitions.items():
            if name in definition.inputs and not definition.replaces:
                self.problems.append(f"{definition.where} depends on itself")
        for column in shifts:
            if column.name not in known or column.name in constants:
                self.problems.append(
                    f"unknown column '{column.name}' in {column.where}"
                    + near_miss(column.name, known - set(constants))
                )
        cuts = {r: tuple(self.with_columns(cut, known) for cut in cuts[r]) for r in cuts}
        self.definitions = {n: self.with_columns(d, known) for n, d in self.definitions.items()}
        wanted = {*columns, *(name for cut in all_cuts for name in cut.inputs)}
        wanted |= {name for column in shifts for name in column.inputs if name in known}
        ordered = [] if self.problems else self.in_order(wanted)
        if self.problems:
            return None
        used = {*wanted, *(name for definition in ordered for name in definition.inputs)}
        replaced = {d.name for d in ordered if d.replaces and d.name not in d.inputs}
        inputs = {
            n: self.branches[n] for n in sorted(used & set(self.branches)) if n not in replaced
        }
        return Plan(
            inputs,
            constants,
            tuple(ordered),
            cuts,
            columns,
            tuple(self.left_out),
            self.checks(inputs),
            variations=tuple(self.shifted(each, known, used) for each in self.variations),
        )

    def shifted(self, variation, known, used):
        """A variation with those columns that the plan uses."""
        columns = (self.with_columns(c, known) for c in variation.columns if c.name in used)
        return replace(variation, columns=tuple(columns))

    def checks(self, inputs):
        """The `checks` of a Plan that reads these branches."""
        arrays = [column.name for column in self.schema.columns if column.vector]
        objects = [name.removesuffix("Pt") for name in arrays if name.endswith("Pt")]
        checks = {}
        for column in self.schema.columns:
            of = next((each for each in objects if column.name.startswith(each)), "")
            for name in identifiers(column.expression):
                if name in inputs:
                    collection = self.schema.collection(name) or of
                    checks.setdefault(name, collection if column.vector else "")
        return {**checks, **dict.fromkeys((n for n in inputs if n not in checks), "")}

    def in_order(self, wanted):
        """The definitions that the wanted columns need, as declared, but each after its inputs.

        Before a column is used, all variations of it can be computed.
        """
        shifts = {}
        for shifted in self.variations:
            for column in shifted.columns:
                inputs = {name: column for name in column.inputs if name != column.name}
                shifts.setdefault(column.name, {}).update(inputs)
        needed, todo = {}, list(wanted)
        while todo:
            name = todo.pop()
            if name in self.definitions and name not in needed:
                inputs = [n for n in self.definitions[name].inputs if n != name]
                inputs += [n for each in inputs for n in shifts.get(each, ())]
                needed[name] = [n for n in inputs if n in self.definitions]
                todo.extend(inputs)
        try:
            TopologicalSorter(needed).prepare()
        except CycleError as error:
            self.problems.append(self.cycle(error.args[1], shifts))
            return []
        ordered = {}

        def append(name):
            for other in needed[name]:
                append(other)
            ordered.setdefault(name, self.definitions[name])

        for name in self.definitions:
            if name in needed:
                append(name)
        return list(ordered.values())

    def cycle(self, names, shifts):
        """What is wrong where each of these columns needs the one before it, in a circle.

        shifts: {column: {column that a variation of it needs: Definition of that}}
        """
        for needed, name in pairwise(names):
            for column in self.definitions[name].inputs:
                shift = shifts.get(column, {}).get(needed)
                if shift and needed not in self.definitions[name].inputs:
                    return f"{shift.where} varies '{column}' with '{needed}', which is made of it"
        return f"{self.definitions[names[0]].where} depends on itself: {' -> '.join(names)}"


NUMBER = re.compile(
    r"(?:std::)?(?:u?int(?:8|16|32|64)_t|float|double|bool"
    r"|(?:unsigned |signed )?(?:char|short|int|long long|long)|unsigned"
    r"|U?(?:Char|Short|Int|Long|Long64)_t|Float_t|Double_t|Bool_t)"
)


def is_number(cpp, scalar=False):
    """Whether a C++ type is a number or a flag, or, unless `scalar`, a list of them."""
    inner = cpp if scalar else re.sub(r"^(?:ROOT::)?(?:VecOps::)?RVec<(.*)>$", r"\1", cpp)
    return NUMBER.fullmatch(inner.strip()) is not None
