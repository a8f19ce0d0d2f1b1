"""Pseudo-events: what twins of the background are made of.

A recipe changes the objects of background events, and every feature is computed again by the C++ of
the analysis. Whatever a pseudo-event is made of comes from events of one fold, which is its own, so
that a model which leaves a fold alone has seen nothing of it. A recipe says what is believed about
the unknown, and nothing else does; whoever changes one shall not look at signals while doing so.
"""

from functools import lru_cache

import numpy as np

from analysis.errors import InputError
from ml.detectors.base import load_kind
from ml.recompute import read_objects, recompute
from ml.training_set import event_weight

LEPTON = ("Pt", "Eta", "Phi", "M", "Flavor", "Charge")
MASSES = (40.0, 3000.0)  # GeV of the decaying system: from soft leptons to a quarter of 13 TeV
SCALES = (1.0, 5.0)  # factors on momenta
SPREAD = 0.3  # of a single momentum's logarithm
RAPIDITY = 0.9  # spread of the decaying system's
LEADING = 20.0  # GeV, two leptons are above; others are not computed again, the cuts would fail


class Material:
    """The objects of background events, from which pseudo-events are drawn."""

    def __init__(self, objects, weight, fold, recoil):
        """objects: {column: (events,)}; weight: (events,) >= 0; fold: (events,);
        recoil: (events,) GeV, pT of the leptons and the missing momentum together
        """
        self.objects, self.fold, self.recoil = objects, fold, recoil
        self.weight = weight
        leptons = self.leptons(np.arange(len(weight)))
        there = leptons["Pt"] > 0
        self.acceptance = {}  # {flavour: (smallest pT in GeV, largest |eta|)}
        for flavour in (1, 2):
            chosen = there & (leptons["Flavor"] == flavour)
            if chosen.any():
                most = np.abs(leptons["Eta"][chosen]).max()
                self.acceptance[flavour] = leptons["Pt"][chosen].min(), most

    def leptons(self, rows):
        """{property: (events, 3)} of the leptons of some events."""
        return {
            name: np.stack([self.objects[f"lep{name}_{k}"][rows] for k in range(3)], axis=1)
            for name in LEPTON
        }

    def draw(self, random, number, fold=None):
        """(events,) positions, drawn by weight; `fold`: (events,) that each must be of."""
        if fold is None:
            return random.choice(len(self.weight), number, p=self.weight / self.weight.sum())
        drawn = np.empty(number, int)
        for each in np.unique(fold):
            here = np.flatnonzero((self.fold == each) & (self.weight > 0))
            p = self.weight[here] / self.weight[here].sum()
            rows = fold == each
            drawn[rows] = random.choice(here, rows.sum(), p=p)
        return drawn


def unchanged(material, random, number):
    """The background itself, which must not be told apart."""
    rows = material.draw(random, number)
    met = {
        "e_T_miss": material.objects["e_T_miss"][rows],
        "met_Phi": material.objects["met_Phi"][rows],
    }
    return rows, material.leptons(rows), met


def flavour(material, random, number):
    """Charges and flavours redrawn."""
    rows, leptons, met = unchanged(material, random, number)
    return rows, _redrawn(leptons, random), met


def mixed(material, random, number):
    """Leptons and missing momentum of different events, at random angles, scaled up.

    All momenta by one factor, uniform in its logarithm, and each by another; charges and flavours
    redrawn.
    """
    rows = material.draw(random, number)
    fold = material.fold[rows]
    leptons = material.leptons(rows)
    for k in range(3):
        other = material.leptons(material.draw(random, number, fold))
        for name in LEPTON:
            leptons[name][:, k] = other[name][:, k]
    source = material.draw(random, number, fold)
    scale = np.exp(random.uniform(*np.log(SCALES), number))
    leptons["Phi"] = random.uniform(-np.pi, np.pi, (number, 3))
    leptons["Pt"] = leptons["Pt"] * scale[:, None] * np.exp(random.normal(0, SPREAD, (number, 3)))
    met = {
        "e_T_miss": material.objects["e_T_miss"][source]
        * scale
        * np.exp(random.normal(0, SPREAD, number)),
        "met_Phi": random.uniform(-np.pi, np.pi, number),
    }
    return rows, _redrawn(leptons, random), met


def phase_space(material, random, number):
    """Three leptons and an invisible particle, flat in four-body phase space.

    A system whose mass is uniform in its logarithm, with the transverse momentum that leptons and
    missing momentum of a background event have together, decays at once (RAMBO; R. Kleiss,
    W. Stirling, S. Ellis, Comput. Phys. Commun. 40 (1986) 359).
    """
    rows, mass, system = _systems(material, random, number)
    cosine = random.uniform(-1, 1, (number, 4))
    sine, azimuth = np.sqrt(1 - cosine**2), random.uniform(-np.pi, np.pi, (number, 4))
    energy = -np.log(random.uniform(size=(number, 4)) * random.uniform(size=(number, 4)))
    q = np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine, np.ones_like(cosine)], 2)
    q = q * energy[..., None]
    total = q.sum(1)
    rest = _boosted(q, -total[:, None, :3] / total[:, None, 3:])
    p = rest * (mass / rest[..., 3].sum(1))[:, None, None]
    return rows, *_decayed(material, random, rows, _boosted(p, _velocity(system)))


def cascade(material, random, number):
    """Three leptons and an invisible particle from three decays in a row.

    Of the same systems as in `phase_space`; each mass in between is uniform below the one before.
    """
    rows, mass, system = _systems(material, random, number)
    first = mass * random.uniform(size=number)
    second = first * random.uniform(size=number)
    a, rest = _decay(random, system, mass, first)
    b, rest = _decay(random, rest, first, second)
    c, d = _decay(random, rest, second, np.zeros(number))
    order = random.permuted(np.tile(np.arange(4), (number, 1)), axis=1)
    p = np.take_along_axis(np.stack([a, b, c, d], axis=1), order[..., None], axis=1)
    return rows, *_decayed(material, random, rows, p)


# Each returns positions of the events that lend the rest, {property: (events, 3)} of the leptons,
# and the missing momentum.
RECIPES = {recipe.__name__: recipe for recipe in (unchanged, flavour, mixed, phase_space, cascade)}


@lru_cache(maxsize=4)
def pseudo_events(dataset, recipe, number, seed, weights, folds):
    """Events made by a recipe, and the fold of each; returns (Events, (events,) folds).

    dataset: Dataset; recipe: a name of RECIPES; number: events to try, of which those that the
    selection rejects are left out; weights: policy for negative ones, see `event_weight`.
    Raises InputError for tables without objects, and where ROOT is not there.
    """
    background, _ = load_kind(dataset, "background")
    objects = read_objects(dataset, dataset.of_kind("background"))
    weight = event_weight(background.weight, weights)
    # Only events with just three leptons: others would lose one.
    weight = np.where(objects["lepPt_2"] > 0, np.maximum(weight, 0.0), 0.0)
    if not weight.sum() > 0:
        raise InputError(f"no background event of {dataset.folder} has three leptons")
    fold = background.fold(folds)
    recoil = background.columns(["pt_3l_met"])[:, 0].astype(float)
    material = Material(objects, weight, fold, recoil)
    random = np.random.default_rng([seed % 2**32, list(RECIPES).index(recipe)])
    rows, leptons, met = RECIPES[recipe](material, random, number)
    columns = {name: values[rows] for name, values in objects.items()}
    columns |= met
    order = np.argsort(-leptons["Pt"], axis=1, kind="stable")
    for name, values in leptons.items():
        for k, column in enumerate(np.take_along_axis(values, order, axis=1).T):
            columns[f"lep{name}_{k}"] = column
    kept = (columns["lepPt_1"] > LEADING) & _accepted(material, leptons)
    made = recompute(dataset, {name: values[kept] for name, values in columns.items()})
    return made.events, fold[rows][kept][made.positions]


def _accepted(material, leptons):
    """(events,) whether all leptons are where those of the background are."""
    good = np.ones(len(leptons["Pt"]), bool)
    for flavour, (least, most) in material.acceptance.items():
        inside = (leptons["Pt"] >= least) & (np.abs(leptons["Eta"]) <= most)
        good &= (inside | (leptons["Flavor"] != flavour)).all(axis=1)
    return good


def _redrawn(leptons, random):
    """The leptons with flavours redrawn, and charges that do not add up to 3 or -3."""
    shape = leptons["Pt"].shape
    signs = np.array([[1, 1, -1], [1, -1, 1], [-1, 1, 1]])
    chosen = signs[random.integers(0, 3, shape[0])] * random.choice([-1, 1], (shape[0], 1))
    return leptons | {"Charge": chosen, "Flavor": random.choice([1, 2], shape)}


def _systems(material, random, number):
    """Events that lend jets and recoil, masses, and (events, 4) momenta of decaying systems."""
    rows = material.draw(random, number)
    mass = np.exp(random.uniform(*np.log(MASSES), number))
    pt, phi = material.recoil[rows], random.uniform(-np.pi, np.pi, number)
    rapidity, transverse = random.normal(0, RAPIDITY, number), np.hypot(mass, pt)
    momentum = [
        pt * np.cos(phi),
        pt * np.sin(phi),
        transverse * np.sinh(rapidity),
        transverse * np.cosh(rapidity),
    ]
    return rows, mass, np.stack(momentum, axis=1)


def _velocity(p):
    """(events, 1, 3) velocity of (events, 4) momenta."""
    return (p[:, :3] / p[:, 3:])[:, None, :]


def _boosted(p, velocity):
    """(events, n, 4) momenta p in a frame in which theirs has this (events, 1, 3) velocity."""
    square = np.minimum((velocity**2).sum(-1, keepdims=True), 1 - 1e-14)
    gamma = 1 / np.sqrt(1 - square)
    along = (velocity * p[..., :3]).sum(-1, keepdims=True)
    # (gamma - 1) / v^2, without its cancellation at rest
    factor = gamma**2 / (gamma + 1)
    space = p[..., :3] + (factor * along + gamma * p[..., 3:]) * velocity
    return np.concatenate([space, gamma * (p[..., 3:] + along)], axis=-1)


def _decay(random, p, mass, left):
    """Isotropic decay of (events, 4) momenta into a massless particle and one of mass `left`."""
    size = (mass**2 - left**2) / (2 * mass)
    cosine, azimuth = random.uniform(-1, 1, len(p)), random.uniform(-np.pi, np.pi, len(p))
    sine = np.sqrt(1 - cosine**2)
    direction = np.stack([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine], axis=1)
    momentum = direction * size[:, None]
    pair = np.stack(
        [
            np.concatenate([momentum, size[:, None]], axis=1),
            np.concatenate([-momentum, np.hypot(size, left)[:, None]], axis=1),
        ],
        axis=1,
    )
    pair = _boosted(pair, _velocity(p))
    return pair[:, 0], pair[:, 1]


def _decayed(material, random, rows, p):
    """Leptons, with charges and flavours redrawn, and missing momentum from (events, 4, 4)."""
    pt = np.hypot(p[..., 0], p[..., 1])
    phi, eta = np.arctan2(p[..., 1], p[..., 0]), np.arcsinh(p[..., 2] / np.maximum(pt, 1e-6))
    leptons = _redrawn(material.leptons(rows), random)
    leptons |= {"Pt": pt[:, :3], "Eta": eta[:, :3], "Phi": phi[:, :3]}
    leptons["M"] = np.where(leptons["Flavor"] == 1, 0.000511, 0.10566)
    return leptons, {"e_T_miss": pt[:, 3], "met_Phi": phi[:, 3]}
