"""The chain: the definition of the analysis, as nodes of an RDataFrame.

Whoever runs the analysis runs this: `run_rdf.py --plain`, the prompt, Dask and Spark. What
`run_rdf.py` runs by default is the same, made ahead of time (compiled.py), and `run_rdf.py --chain`
prints it (script.py).
"""


def chain(plan, df):
    """Return the dataframe with all columns, and for each region the dataframe after each cut.

    plan: plan.Plan of a sample
    df: RDataFrame over the sample's files, or anything else with Define, Redefine and Filter
    """
    df = with_columns(plan, df)
    return df, with_cuts(plan, df)


def with_columns(plan, df):
    """Return the dataframe with all columns of a plan."""
    for name, value in plan.constants.items():
        df = df.Define(name, repr(value))
    for definition in plan.definitions:
        define = df.Redefine if definition.replaces else df.Define
        df = define(definition.name, definition.expression)
    return df


def with_cuts(plan, df):
    """Return, for each region of a plan, a dataframe with all columns after each of its cuts."""
    regions = {}
    for region, cuts in plan.cuts.items():
        regions[region] = [df]  # before the first cut
        for cut in cuts:
            regions[region].append(regions[region][-1].Filter(cut.expression, cut.name))
    return regions
