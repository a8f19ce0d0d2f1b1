"""What a run selects and computes: the chosen part of selection.py and features.py."""

import json
from dataclasses import asdict, dataclass, replace

from analysis import features, records, selection
from analysis.errors import DeclarationError, listed
from analysis.samples import choose
from analysis.systematics import SYSTEMATICS, Systematic

ALL = selection.Cut("all", "true")  # what the first row of a cutflow counts


@dataclass(frozen=True)
class Declarations:
    """Objects, variables, regions, features and systematic uncertainties of a run."""

    objects: tuple[selection.Object, ...]
    variables: tuple[selection.Variable, ...]
    regions: tuple[selection.Region, ...]
    layout: features.Layout
    scalars: tuple[features.Feature, ...]
    systematics: tuple[Systematic, ...] = ()

    def features(self, absent):
        """The features in the order of a row: cells, other floats, integers.

        absent: columns that some sample of the run does not carry
        """
        kept = [f for f in self.scalars if f.otherwise or not set(f.needs) & absent]
        floats = [f for f in kept if not f.integer]
        return (*features.cells(self.layout), *floats, *(f for f in kept if f.integer))

    def problems(self):
        """Yield what is wrong: names that cannot be or are given twice, numbers that make no sense.

        What is good here can be written into a record and read again.
        """
        for what, rule, several in (
            ("object", records.OBJECT, self.objects),
            ("variable", records.VARIABLE, self.variables),
            ("region", records.REGION, self.regions),
            ("layout", records.LAYOUT, (self.layout,)),
            ("feature", records.FEATURE, self.scalars),
            ("systematic", records.SYSTEMATIC, self.systematics),
        ):
            for each in several:
                plain = json.loads(json.dumps(asdict(each)))
                wrong = [*rule.problems(plain, f"{what} '{each.name}': ")]
                if what == "feature" and not wrong:
                    wrong = records.feature_contradictions(plain)
                yield from wrong
        columns = (
            *self.objects,
            *self.variables,
            *features.cells(self.layout),
            *(feature for feature in self.scalars if feature.expression != feature.name),
        )
        yield from doubled(columns, "a column")
        for feature in self.scalars:
            if feature.name in (*records.IDENTITY, records.WEIGHT):
                yield f"feature '{feature.name}' is a column of all tables without it"
        objects = {each.name: each.expression for each in features.object_columns(self.layout)}
        for feature in self.scalars:
            expression = objects.get(feature.name, feature.expression)
            if feature.expression != expression:
                yield (
                    f"feature '{feature.name}' must be {expression}, by which name tables carry "
                    "the objects of their events"
                )
        for region in self.regions:
            yield from doubled((ALL, *region.cuts), f"a cut of region '{region.name}'")
        tags = [region.tag for region in self.regions]
        for tag in sorted({tag for tag in tags if tags.count(tag) > 1}):
            names = listed([region.name for region in self.regions if region.tag == tag])
            yield f"regions {names} have the same tag '{tag}', and so the same tables"
        yield from doubled(self.systematics, "a systematic")
        variations = [v for systematic in self.systematics for v in systematic.variations]
        yield from doubled(variations, "a variation")
        for systematic in self.systematics:
            if bool(systematic.up) == bool(systematic.size) or (
                systematic.down and systematic.size
            ):
                yield f"systematic '{systematic.name}' needs `up` or else `size`"


def declarations(regions, layout_name, vary=None, good_runs=False):
    """Return the Declarations of this checkout for the named regions and layout.

    vary: names of systematics, none: all; None: no systematics
    good_runs: whether there is a good-run list, on which the regions cut first

    Raises DeclarationError for unknown and for doubled names.
    """
    layouts = {layout.name: layout for layout in features.LAYOUTS}
    (layout_name,) = choose([layout_name], layouts, "layout")
    layout = layouts[layout_name]
    by_name = {region.name: region for region in selection.REGIONS}
    for region in selection.REGIONS:
        if not isinstance(region.cuts, tuple):  # a comma is missing
            raise DeclarationError(
                f"the cuts of region '{region.name}' in analysis/selection.py must be a tuple, of "
                "a single one `(Cut(...),)`"
            )
    chosen = choose(regions, by_name, "region", "--list")
    wanted = tuple(by_name[name] for name in chosen)
    declared = Declarations(
        selection.OBJECTS,
        selection.VARIABLES,
        with_good_runs(wanted) if good_runs else wanted,
        layout,
        features.scalars(layout),
        chosen_systematics(vary),
    )
    problems = [
        *doubled(selection.REGIONS, "a region"),
        *doubled(SYSTEMATICS, "a systematic"),
        *declared.problems(),
    ]
    where = "analysis/selection.py, features.py or systematics.py"
    if problems:
        raise DeclarationError(*(f"{problem}, in {where}" for problem in problems))
    return declared


def with_good_runs(regions):
    """The Regions with the cut on the good-run list before all others."""
    return tuple(replace(region, cuts=(selection.GOOD_RUNS, *region.cuts)) for region in regions)


def chosen_systematics(names):
    """The systematics of this checkout with these names; none: all; None: none."""
    by_name = {each.name: each for each in SYSTEMATICS}
    chosen = () if names is None else choose(names, by_name, "systematic", "--list")
    return tuple(by_name[name] for name in chosen)


def doubled(declared, what):
    """Problems for names that are given twice."""
    names = [each.name for each in declared]
    return [
        f"'{name}' is declared twice as {what}"
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
