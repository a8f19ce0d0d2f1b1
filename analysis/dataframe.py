"""From a sample's plan to a dataframe with all columns defined."""

import ROOT


def dataframe(prepared):
    """Return an RDataFrame over a sample's files, in which each column of its plan is defined.

    prepared: run.Prepared of the sample
    """
    # Files without entries are left out: ROOT cannot open a lone RNTuple of this kind.
    files = [file for file in prepared.inputs.files if file.entries]
    strings = ROOT.std.vector["std::string"]
    everything = prepared.entries == prepared.inputs.entries
    df = ROOT.m3l.openDataset(
        prepared.sample.tree,
        strings([file.path for file in files]),
        ROOT.std.vector["long long"]([file.entries for file in files]),
        strings([*prepared.plan.inputs]),
        0,
        -1 if everything else prepared.entries,
    )
    for name, value in prepared.plan.constants.items():
        df = ROOT.m3l.defineConstant(df, name, value)
    for definition in prepared.plan.definitions:
        df = prepared.graph.define(df, definition.name)
    return df
