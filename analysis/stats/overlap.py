"""Which events the regions of a run share, by their identity: a fit must count each event once."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis.errors import InputError
from analysis.output import IDENTITY

ROLES = {"signal": "signal region", "control": "control region", "validation": "validation region"}


@dataclass(frozen=True)
class Overlap:
    """Numbers of events that regions share; on the diagonal, those that a region has."""

    regions: tuple[str, ...]
    simulated: np.ndarray  # (regions, regions) events without weights
    data: np.ndarray  # (regions, regions) 0 where one is blind
    hidden: tuple[str, ...]  # regions whose data is blind

    def pairs(self):
        """[(region, region, simulated, data)] of those that share events, most first."""
        found = [
            (one, other, int(self.simulated[i, j]), int(self.data[i, j]))
            for i, one in enumerate(self.regions)
            for j, other in enumerate(self.regions[:i])
            if self.simulated[i, j] or self.data[i, j]
        ]
        return sorted(found, key=lambda pair: -pair[2] - pair[3])


def find_overlap(results, regions):
    """The Overlap of regions (names) of a run; data is not looked at where it is blind.

    Simulated events are the same where sample and identity are, events of data where the identity
    is, since one event may have been recorded in several streams. Raises InputError.
    """
    regions = tuple(dict.fromkeys(regions))
    shared = {"data": np.zeros((len(regions), len(regions)), int)}
    shared["simulated"] = shared["data"].copy()
    for samples in pools(results):
        rows = []
        for place, region in enumerate(regions):
            visible = results.visible(region)
            for sample in samples:
                if sample in visible:
                    table = results.table(region, sample.name, list(IDENTITY))
                    rows.append(table.assign(region=place))
        if rows:
            kind = "data" if samples[0].kind == "data" else "simulated"
            shared[kind] += count_shared(pd.concat(rows), len(regions))
    hidden = tuple(region for region in regions if results.regions[region].blind)
    return Overlap(regions, shared["simulated"], shared["data"], hidden)


def pools(results):
    """The samples of a run in groups; identity tells the events of a group apart."""
    data = [sample for sample in results.samples if sample.kind == "data"]
    return [data] * bool(data) + [[s] for s in results.samples if s.kind != "data"]


def count_shared(rows, number):
    """(number, number) of events that two regions both have.

    rows: DataFrame of the identities of the events of all regions and the number of their region
    """
    event = rows.groupby(list(IDENTITY)).ngroup().to_numpy()
    inside = np.zeros((event.max(initial=-1) + 1, number))
    inside[event, rows["region"].to_numpy()] = 1
    return np.rint(inside.T @ inside).astype(int)


def check_disjoint(results, regions):
    """Raise InputError where two of the regions (names) of a fit share events; else the Overlap."""
    overlap = find_overlap(results, regions)
    refuse_shared(results, overlap)
    return overlap


def refuse_shared(results, overlap):
    """Raise InputError where two regions of an Overlap share events."""
    for *pair, simulated, data in overlap.pairs()[:1]:
        events = dict(zip(overlap.regions, np.diag(overlap.simulated), strict=True))
        wider, other = sorted(pair, key=lambda name: -events[name])
        names = (f"{ROLES[results.regions[name].role]} {name}" for name in (wider, other))
        raise InputError(
            f"{' and '.join(names)} share {simulated} simulated events and {data} of data, which "
            f"a fit would count twice: leave one of them out, such as {wider}, with -r"
        )


def as_text(overlap):
    """Lines of the matrices of shared events, simulated and data; a star for blind data."""
    blind = {overlap.regions.index(region) for region in overlap.hidden}
    lines = []
    for title, shared in (("simulated", overlap.simulated), ("data", overlap.data)):
        width = max(4, len(f"{shared.max(initial=0)}")) + 1
        numbers = [f"({n + 1})" for n in range(len(overlap.regions))]
        names = [f"{n} {region}" for n, region in zip(numbers, overlap.regions, strict=True)]
        left = max(map(len, (title, *names)))
        lines.append(f"{title:<{left}}" + "".join(f"{n:>{width}}" for n in numbers))
        for row, name in enumerate(names):
            cells = [
                "*" if title == "data" and {row, column} & blind else f"{shared[row, column]}"
                for column in range(row + 1)
            ]
            lines.append(f"{name:<{left}}" + "".join(f"{cell:>{width}}" for cell in cells))
    return [*lines, *["* blind"] * bool(overlap.hidden)]


def show_overlap(results, names):
    """Print which events the regions of a run share. Raises InputError where they do."""
    regions = results.choose_regions(names)
    overlap = find_overlap(results, regions)
    print(*as_text(overlap), sep="\n")
    refuse_shared(results, overlap)
    print("no event is in two of these regions")
