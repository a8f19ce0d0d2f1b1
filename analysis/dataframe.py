"""From a sample's plan to its dataframes."""

import ROOT


def source(prepared):
    """Return an RDataFrame over a sample's files, with the constants of its plan.

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
        prepared.begin,
        -1 if everything else prepared.begin + prepared.entries,
    )
    for name, value in prepared.plan.constants.items():
        df = ROOT.m3l.defineConstant(df, name, value)
    return df


def dataframes(prepared, df):
    """Return {"all": dataframe with all columns of the plan, region: that of its events}.

    df: what `source` has returned
    """
    for definition in prepared.plan.definitions:
        df = prepared.graph.define(df, definition.name)
    nodes = {"all": df}
    for region, cuts in prepared.plan.cuts.items():
        nodes[region] = df
        for cut in cuts:
            nodes[region] = prepared.graph.filter(nodes[region], cut.name)
    return {name: node.rdf for name, node in nodes.items()}
