"""One event: its objects in the transverse plane, found again from its rapidity-mass matrix."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

C = 0.15  # of h_L and h, see the matrix


@dataclass(frozen=True)
class Momenta:
    """Objects of an event, seen along the beam. Missing momentum points along phi = 0."""

    labels: tuple[str, ...]  # LaTeX
    types: np.ndarray  # (objects,) position of the type in the layout
    e_t: np.ndarray  # (objects,) transverse energy in GeV
    phi: np.ndarray  # (objects,) radians; mirror images cannot be told apart
    met: float  # missing transverse momentum in GeV


def momenta(matrix, objects, owners, *, energy_scale=1.0, h="published"):
    """Find transverse energies and azimuths of the objects of an event.

    matrix: (size, size), NaN where an object is missing
    objects: (size,) labels; owners: for each row (type, rank), None for missing momentum
    energy_scale, h: of the layout
    The matrix holds e_T (through the imbalances), the transverse mass with the missing momentum and
    all pair masses and rapidity differences, hence every difference of azimuths up to a common
    rotation and mirror image. Objects are taken as massless, which is exact enough for a picture;
    angles are those that fit all masses best.
    """
    rows = [row for row in range(1, len(matrix)) if np.isfinite(matrix[row, row])]
    met = float(matrix[0, 0]) * energy_scale
    e_t = {}
    for row in rows:
        kind, rank = owners[row]
        if rank == 0:
            e_t[row] = float(matrix[row, row]) * energy_scale
        else:
            d = float(matrix[row, row])
            e_t[row] = e_t[row - 1] * (1 - d) / (1 + d)
    energies = np.array([e_t[row] for row in rows])
    with_met = cosines((matrix[0, rows] * energy_scale) ** 2, 2 * energies * met, 1.0)
    pairs = np.ones((len(rows), len(rows)))
    for i, first in enumerate(rows):
        for j in range(i + 1, len(rows)):
            second = rows[j]
            cosh = 1 + float(matrix[second, first]) / C
            if h == "published":  # the argument is half the rapidity difference
                cosh = 2 * cosh**2 - 1
            mass = float(matrix[first, second]) * energy_scale
            pairs[i, j] = pairs[j, i] = cosines(mass**2, 2 * energies[i] * energies[j], cosh)
    phi = fit_angles(with_met, pairs)
    kinds = np.array([owners[row][0] for row in rows], int)
    return Momenta(tuple(objects[row] for row in rows), kinds, energies, phi, met)


def cosines(square, product, cosh):
    """cos(difference of azimuths) from m^2 = product (cosh dy - cos dphi)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.clip(np.nan_to_num(cosh - square / product), -1, 1)


def fit_angles(with_met, pairs):
    """(objects,) azimuths whose cosines fit best.

    with_met: (objects,) cosine of the angle to the missing momentum; pairs: (objects, objects)
    """
    number = len(with_met)
    if not number:
        return np.empty(0)
    phi = np.arccos(with_met)
    # Of the two mirror images of each object, the one that fits those before it.
    for i in range(1, number):
        misfits = [
            np.sum((np.cos(sign * phi[i] - phi[:i]) - pairs[i, :i]) ** 2) for sign in (1, -1)
        ]
        phi[i] *= 1 if misfits[0] <= misfits[1] else -1
    i, j = np.triu_indices(number, 1)

    def misfit(angles):
        alone = np.cos(angles) - with_met
        return np.concatenate([alone, np.cos(angles[i] - angles[j]) - pairs[i, j]])

    return least_squares(misfit, phi).x
