"""Limits between simulated signals: interpolated in a plane of masses, or along one mass."""

import re
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import QhullError

from analysis.errors import InputError, listed

POINTS = 60  # of the grid in each direction
LEAST = {1: 2, 2: 3}  # signals, by the number of masses


@dataclass(frozen=True)
class Point:
    """A simulated signal and its limits on the strength."""

    signal: str
    masses: tuple[float, ...]  # one or two
    observed: float | None
    expected: tuple[float, ...]  # five

    @property
    def limits(self):
        """(6,) observed and expected limits, NaN where not known."""
        return np.array([self.observed, *self.expected], float)


def masses_in(name):
    """The numbers in the name of a signal: (450,) of HNL450, (1500, 600) of WR1500_N600."""
    return tuple(map(float, re.findall(r"\d+(?:\.\d+)?", name)))


def family(name):
    """The name of a signal without its numbers, the same for all points of a plane."""
    return re.sub(r"\d+(?:\.\d+)?", "#", name)


def axis_labels(name):
    """LaTeX labels of the numbers in the name of a signal, from the letters before each."""
    letters = re.findall(r"([A-Za-z]*)_?\d+(?:\.\d+)?", name)
    return [rf"$m_{{{word or 'X'}}}$ [GeV]" for word in letters]


def place_signals(limits, declared, wanted=()):
    """{signal: masses} of the signals in a plane. Raises InputError.

    limits: {signal: ...} of limit.json
    declared: {signal: masses} that were given; else they are read from the names, where they must
        be of one family
    wanted: names of signals, () all
    """
    for name in (*declared, *wanted):
        if name not in limits:
            raise InputError(
                f"limit.json has no signal '{name}' (it has {listed(limits)}): run limit for it"
            )
    names = list(wanted) or list(declared) or list(limits)
    places = {name: declared.get(name) or masses_in(name) for name in names}
    if not declared and not wanted:
        families = {}
        for name in names:
            if len(places[name]) in LEAST:
                families.setdefault(family(name), []).append(name)
        full = [each for each in families.values() if len(each) >= LEAST[len(places[each[0]])]]
        if len(full) != 1:
            found = listed([", ".join(each) for each in families.values()]) or "none"
            raise InputError(
                "a plane needs two signals with one mass in their names, or three with two, of one "
                f"model (here: {found}): choose with --signal, or place them with --point NAME=X,Y"
            )
        places = {name: places[name] for name in full[0]}
    sizes = {len(masses) for masses in places.values()}
    if len(sizes) != 1 or not sizes <= set(LEAST):
        raise InputError(
            f"{listed(places)} have not all one mass, or all two, in their names: "
            "place them with --point NAME=X[,Y]"
        )
    if len(set(places.values())) < LEAST[(size := sizes.pop())]:
        raise InputError(
            f"{LEAST[size]} signals at least are needed to interpolate in {size} "
            f"{'mass' if size == 1 else 'masses'}, and {listed(places)} are {len(places)}: "
            "add others with --point"
        )
    return places


def interpolate(points):
    """x (columns,), y (rows,) and (6, rows, columns) limits between Points, NaN outside of them.

    The logarithm of the strength is linear in the masses, in two of them on triangles. Of one mass
    there is one row. The limits are observed and the five expected ones. Raises InputError.
    """
    masses = np.array([point.masses for point in points])
    logs = np.log([point.limits for point in points])
    x = np.linspace(*np.quantile(masses[:, 0], [0, 1]), POINTS)
    if masses.shape[1] == 1:
        order = np.argsort(masses[:, 0])
        rows = [np.interp(x, masses[order, 0], log[order]) for log in logs.T]
        return x, np.zeros(1), np.exp(rows)[:, None, :]
    y = np.linspace(*np.quantile(masses[:, 1], [0, 1]), POINTS)
    # Both masses count alike for the triangles.
    low, size = masses.min(axis=0), np.ptp(masses, axis=0)
    try:
        surface = LinearNDInterpolator((masses - low) / np.where(size > 0, size, 1), logs)
    except (QhullError, ValueError):
        raise InputError(
            f"{listed([point.signal for point in points])} are on a line and span no plane: give "
            "one mass with --point NAME=X, or add a signal beside the line"
        ) from None
    grid = np.stack(np.meshgrid((x - low[0]) / size[0], (y - low[1]) / size[1]), axis=-1)
    return x, y, np.exp(np.moveaxis(surface(grid), -1, 0))


def crossings(x, limits):
    """Masses at which (points,) limits along (points,) x cross 1: what is excluded ends there."""
    log = np.log(limits)
    places = np.flatnonzero(log[:-1] * log[1:] < 0)
    shares = log[places] / (log[places] - log[places + 1])
    return (x[places] + shares * (x[places + 1] - x[places])).tolist()
