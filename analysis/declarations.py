"""What a run selects and computes: the chosen part of selection.py and features.py."""

from dataclasses import dataclass

from analysis import features, selection
from analysis.errors import DeclarationError
from analysis.samples import choose


@dataclass(frozen=True)
class Declarations:
    """Objects, variables, regions and features of a run."""

    objects: tuple[selection.Object, ...]
    variables: tuple[selection.Variable, ...]
    regions: tuple[selection.Region, ...]
    layout: features.Layout
    scalars: tuple[features.Feature, ...]

    def features(self, absent):
        """The features in the order of a row: cells, other floats, integers.

        absent: columns that some sample of the run does not carry
        """
        kept = [f for f in self.scalars if not set(f.needs) & absent]
        floats = [f for f in kept if not f.integer]
        return (*features.cells(self.layout), *floats, *(f for f in kept if f.integer))


def declarations(regions, layout_name):
    """Return the Declarations of this checkout for the named regions and layout.

    Raises DeclarationError for unknown and for doubled names.
    """
    layouts = {layout.name: layout for layout in features.LAYOUTS}
    (layout_name,) = choose([layout_name], layouts, "layout")
    layout = layouts[layout_name]
    by_name = {region.name: region for region in selection.REGIONS}
    chosen = choose(regions, by_name, "region")
    scalars = (*features.FEATURES, *features.counts(layout))
    columns = (
        *selection.OBJECTS,
        *selection.VARIABLES,
        *features.cells(layout),
        *(feature for feature in scalars if feature.expression != feature.name),
    )
    problems = doubled(columns, "a column") + doubled(selection.REGIONS, "a region")
    for region in by_name.values():
        problems += doubled(region.cuts, f"a cut of region '{region.name}'")
    if problems:
        raise DeclarationError(*problems)
    return Declarations(
        selection.OBJECTS,
        selection.VARIABLES,
        tuple(by_name[name] for name in chosen),
        layout,
        scalars,
    )


def doubled(declared, what):
    """Problems for names that are given twice."""
    names = [each.name for each in declared]
    return [
        f"'{name}' is declared twice as {what}, in analysis/selection.py or analysis/features.py"
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
