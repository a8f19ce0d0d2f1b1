"""From a sample's plan to a dataframe with all columns defined."""

import ROOT


def dataframe(prepared):
    """Return an RDataFrame over a sample's files, in which each column of its plan is defined.

    prepared: run.Prepared of the sample
    """
    # Files without entries are left out: ROOT cannot open a lone RNTuple of this kind.
    files = [file.path for file in prepared.inputs.files if file.entries]
    files = ROOT.std.vector["std::string"](files)
    everything = prepared.entries == prepared.inputs.entries
    end = -1 if everything else prepared.begin + prepared.entries
    df = ROOT.m3l.openDataset(prepared.sample.tree, files, prepared.begin, end)
    for name, value in prepared.plan.constants.items():
        df = ROOT.m3l.defineConstant(df, name, value)
    for definition in prepared.plan.definitions:
        df = prepared.graph.define(df, definition.name)
    return df
