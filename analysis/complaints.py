"""What a compiler says about a declared expression, as a line for its author."""

import re

import helpers
from analysis.chain import chain
from analysis.errors import DeclarationError, near_miss
from analysis.output import IDENTITY
from analysis.plan import MATRIX, is_number
from helpers.terminal import captured_stderr

NO_NUMBER = "is not one number per event"


# The type of an argument as compilers name it, see compiled.functions.
ARGUMENT = r"(?:const )?m3lchain_\w+::\{anonymous\}::(?:branch|column)_(\w+) ?&"


def blame_declaration(output, known, inputs):
    """Raise DeclarationError if the output of a C++ compiler blames a declaration.

    known: names that an expression may use; inputs: those that are branches and their types
    """
    blamed = re.search(r"^(\w[^\n]*? in analysis/\w+\.py):\d+:\d+: error: ([^\n]*)", output, re.M)
    if not blamed:
        return
    where, message = blamed.groups()
    types = [
        f"{name} is {inputs[name]}" for name in re.findall(ARGUMENT, message) if name in inputs
    ]
    message = re.sub(ARGUMENT, r"\1", message) + (f", where {', '.join(types)}" if types else "")
    raise DeclarationError(complaint(where, message, known))


def complaint(where, message, known):
    """A compiler's message about what is declared somewhere, in our words."""
    if NO_NUMBER in message:
        return f"{where}: {NO_NUMBER}"
    name = re.search(r"'(\w+)' was not declared|undeclared identifier '(\w+)'", message)
    if not name:
        return f"{where}: {message}"
    name = name[1] or name[2]
    return f"{where}: unknown name '{name}'{near_miss(name, [*known, *FUNCTIONS])}"


# Functions that a misspelt one is compared with.
FUNCTIONS = (
    *helpers.names(),
    *"""Sum Take Any All Max Min Mean ArgMax ArgMin Argsort Sort Reverse Nonzero Where Concatenate
    DeltaPhi DeltaR InvariantMass InvariantMasses Combinations abs sqrt exp log sin cos pow
    """.split(),
)


def check_chain(plan, df):
    """Make the nodes of a plan's chain on an RDataFrame, whose interpreter compiles the strings.

    Raises DeclarationError for an expression that is not valid C++ and for a feature that is not
    one number per event.
    """
    checked, _ = chain(plan, Checked(df, plan))
    for name in plan.columns[len(IDENTITY) :]:
        if name != MATRIX and not is_number(str(checked.df.GetColumnType(name)), scalar=True):
            raise DeclarationError(f"{plan.where(name)}: {NO_NUMBER}")


class Checked:
    """An RDataFrame that blames a declaration when the interpreter refuses its expression."""

    def __init__(self, df, plan):
        self.df, self.plan = df, plan
        definitions = (*plan.definitions, *(cut for cuts in plan.cuts.values() for cut in cuts))
        self.where = {(each.name, each.cpp): each.where for each in reversed(definitions)}
        for shifted in plan.variations:
            self.where |= {(c.name, shifted.systematic): c.where for c in shifted.columns}

    def Define(self, name, expression):  # noqa: N802
        """As that of the RDataFrame."""
        return self.call(self.df.Define, (name, expression), name, expression)

    def Redefine(self, name, expression):  # noqa: N802
        """As that of the RDataFrame."""
        return self.call(self.df.Redefine, (name, expression), name, expression)

    def Vary(self, name, expression, directions, systematic):  # noqa: N802
        """As that of the RDataFrame."""
        words = (name, expression, directions, systematic)
        return self.call(self.df.Vary, (name, systematic), *words)

    def Filter(self, expression, name):  # noqa: N802
        """As that of the RDataFrame."""
        return self.call(self.df.Filter, (name, expression), expression, name)

    def call(self, make, declared, *words):
        """Make the next Checked, or blame what is declared: a name and an expression."""
        problem = None
        with captured_stderr() as output:
            try:
                made = make(*words)
            except Exception as error:  # C++ exceptions, of whatever type the interpreter throws
                problem = str(error)
        if problem is None:
            return Checked(made, self.plan)
        message = re.search(r"error: ([^\n]*)", output.text)
        if not message:
            message = re.search(r"\w+: (?:Filter: the following )?([^\n:]+)", problem)
        message = message[1] if message else problem
        where = self.where.get(declared, "a constant of the sample")
        raise DeclarationError(complaint(where, message, self.plan.names))
