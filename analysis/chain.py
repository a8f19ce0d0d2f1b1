"""The chain: the definition of the analysis, as nodes of an RDataFrame.

Whoever runs the analysis runs this: `run_rdf.py --plain`, the prompt, Dask and Spark. What
`run_rdf.py` runs by default is the same, made ahead of time (compiled.py), and `run_rdf.py --chain`
prints it (script.py).
"""

from analysis.output import WEIGHT
from analysis.plan import Definition


def chain(plan, df):
    """Return the dataframe with all columns, and for each region the dataframe after each cut.

    plan: plan.Plan of a sample
    df: RDataFrame over the sample's files, or anything else with Define, Redefine and Filter
    """
    if plan.drop_bad_events:
        df = df.Filter(plan.is_sound(plan.checks), "no bad values")
    df = with_columns(plan, df)
    return df, with_cuts(plan, df)


def guarded_chain(plan, df):
    """The same for event loops, which end where an event uses a branch with bad values."""
    if plan.drop_bad_events:
        return chain(plan, df)
    everywhere = plan.needed([WEIGHT])[1]
    places = [(None, 0, everywhere, ())]
    for region, cuts in plan.cuts.items():
        known = everywhere
        for number, columns in enumerate([*(cut.inputs for cut in cuts), plan.columns]):
            branches = plan.needed(columns)[1]
            places.append((region, number, branches, known))
            known = [*known, *branches]
    guards = {}
    for region, number, branches, known in places:
        if condition := plan.is_sound(branches, known):
            name = guards[region, number] = f"m3l_sound_{len(guards)}"
            # Before a column may hide a branch of its name.
            df = df.Define(name, f"m3l::requireSound({condition})")

    def guard(node, region, number=0):
        name = guards.get((region, number))
        return node.Filter(name) if name else node

    df = guard(with_columns(plan, df), None)
    regions = with_cuts(plan, df, guard)
    for region, nodes in regions.items():
        nodes[-1] = guard(nodes[-1], region, len(plan.cuts[region]))
    return df, regions


def with_columns(plan, df):
    """Return the dataframe with all columns of a plan, varied where they are first there."""
    waiting = shifts(plan)
    there = {*plan.inputs, *plan.constants} - {d.name for d in plan.definitions}
    for name, value in plan.constants.items():
        df = df.Define(name, repr(value))
    for definition in plan.definitions:
        df = with_variations(df, waiting, there)
        define = df.Redefine if definition.replaces else df.Define
        df = define(definition.name, definition.cpp)
        there.add(definition.name)
    return with_variations(df, waiting, there)


def shifts(plan):
    """{(column, systematic): {direction: Definition}} of the variations of a plan."""
    found = {}
    for shifted in plan.variations:
        for column in shifted.columns:
            directions = found.setdefault((column.name, shifted.systematic), {})
            directions[shifted.direction] = column
    for (name, systematic), directions in found.items():
        for shifted in plan.variations:  # of which one may leave the column as it is
            if shifted.systematic == systematic and shifted.direction not in directions:
                same = Definition(name, name, "", (name,))
                directions[shifted.direction] = same
    return found


def with_variations(df, waiting, there):
    """Return the dataframe with those variations that can be made of the columns there are.

    waiting: see `shifts`; what is made is taken out
    """
    for (name, systematic), directions in [*waiting.items()]:
        if {name, *(n for each in directions.values() for n in each.inputs)} <= there:
            del waiting[name, systematic]
            values = ", ".join(each.cpp for each in directions.values())
            df = df.Vary(name, f"alternatives({name}, {values})", [*directions], systematic)
    return df


def with_cuts(plan, df, guard=lambda node, region, number: node):
    """Return, for each region of a plan, a dataframe with all columns after each of its cuts.

    guard: gives the dataframe that a cut is applied to, of a region and by its number
    """
    regions = {}
    for region, cuts in plan.cuts.items():
        regions[region] = [df]  # before the first cut
        for number, cut in enumerate(cuts):
            before = guard(regions[region][-1], region, number)
            regions[region].append(before.Filter(cut.cpp, cut.name))
    return regions
