"""The chain of a sample as text that runs where it is pasted."""

import json
import os
import re
from pathlib import Path

from analysis.chain import chain
from analysis.corrections import call_of, mentioned
from analysis.errors import DeclarationError

ROOTLOGON = Path(__file__).resolve().parents[1] / "helpers" / "rootlogon.C"


def python_script(item, model=None):
    """The chain of a sample (run.Prepared) as Python; model: its folder, if it has a score."""
    tree, files = item.sample.tree, item.inputs.paths
    corrections = [call_of(*each, ()) for each in mentioned(repr(item.plan))]
    yield from ("import ROOT", "import helpers", *["from analysis import anomaly"] * bool(model))
    if corrections:
        yield "from analysis.scale_factors import keep_corrections"
    yield from ("", "helpers.load()")
    if corrections:
        yield f"keep_corrections(*{corrections})"
    if model:
        yield f"anomaly.read_model({os.path.realpath(model)!r}).keep()"
    yield f"df = ROOT.RDataFrame({tree!r}, {files!r})"
    for variable, source, call, words in steps(item.plan):
        yield f"{variable} = {source}.{call}({', '.join(map(repr, words))})"
    for region in item.plan.cuts:
        yield f"{identifier(region)}.Report().Print()"


def cpp_script(item):
    """The chain of a sample (run.Prepared) as C++ for the prompt of root.

    Raises DeclarationError where it needs Python.
    """
    if mentioned(repr(item.plan)):
        raise DeclarationError("--cpp prints no chain with corrections, which take Python")
    tree, files = quoted(item.sample.tree), ", ".join(map(quoted, item.inputs.paths))
    yield f"gROOT->Macro({quoted(str(ROOTLOGON))});"
    yield f"ROOT::RDF::RNode df = ROOT::RDataFrame({tree}, std::vector<std::string>{{{files}}});"
    declared = {"df"}
    for variable, source, call, words in steps(item.plan):
        kind = "" if variable in declared else "ROOT::RDF::RNode "
        declared.add(variable)
        yield f"{kind}{variable} = {source}.{call}({', '.join(map(quoted, words))});"
    for region in item.plan.cuts:
        yield f"{identifier(region)}.Report()->Print();"


class Step:
    """Stands for a dataframe in `chain` and remembers the calls that make it."""

    def __init__(self, source=None, call="", words=()):
        self.source, self.call, self.words = source, call, words

    def Define(self, *words):  # noqa: N802
        """The dataframe with one more column."""
        return Step(self, "Define", words)

    def Redefine(self, *words):  # noqa: N802
        """The dataframe with another column in place of a branch."""
        return Step(self, "Redefine", words)

    def Vary(self, *words):  # noqa: N802
        """The dataframe with what a column becomes in systematic variations."""
        return Step(self, "Vary", words)

    def Filter(self, *words):  # noqa: N802
        """The dataframe of the events that pass."""
        return Step(self, "Filter", words)


def steps(plan):
    """Yield (variable, variable that it is made from, call, its arguments) of a chain, in order."""
    df, regions = chain(plan, Step())
    defined = []
    while df.source:
        defined.append(("df", "df", df.call, df.words))
        df = df.source
    yield from reversed(defined)
    for region, (_, *cuts) in regions.items():
        source, variable = "df", identifier(region)
        for cut in cuts or [Step(None, "Filter", ("true", region))]:
            yield variable, source, cut.call, cut.words
            source = variable


def identifier(region):
    """The name of a region as that of a variable."""
    return re.sub(r"\W|^(?=\d)", "_", region)


def quoted(text):
    """A C++ string, or a list of them in braces."""
    if isinstance(text, list):
        return f"{{{', '.join(map(quoted, text))}}}"
    return json.dumps(text, ensure_ascii=False)
