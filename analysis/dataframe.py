"""From a sample's plan to a dataframe with all columns defined."""

import ROOT


def dataframe(sample, plan, graph, entries=None):
    """Return an RDataFrame over the files of a sample, in which each column of the plan is defined.

    graph: the plan's compiled expressions
    entries: read only the first ones
    """
    files = ROOT.std.vector["std::string"](sample.files)
    df = ROOT.m3l.openDataset(sample.tree, files, 0, -1 if entries is None else entries)
    for name, value in plan.constants.items():
        df = ROOT.m3l.defineConstant(df, name, value)
    for definition in plan.definitions:
        df = graph.define(df, definition.name)
    return df
