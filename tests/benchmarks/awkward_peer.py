"""The same analysis with uproot, awkward and vector, in chunks and without ROOT.

    python -m tests.benchmarks.awkward_peer INPUT.root OUT [--threads N]

Jagged arrays choose the events and order the objects; everything after is numpy on padded arrays of
the selected events, (objects, events), a pair of objects at a time and only where both exist.
Writes `table.hdf5` (key `mini`), `histograms.npz` and `cutflow.json`.
"""

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import awkward as ak
import numpy as np
import pandas as pd
import uproot
import vector

from analysis.declarations import declarations
from tests.benchmarks.inputs import BRANCHES, IDENTITY, WEIGHTS

vector.register_awkward()

STEP = 100_000  # events in a chunk
C = 0.15
Z_MASS = 91.1876
TYPES = (("jet", 4), ("ele", 5), ("muo", 5))
MOMENTUM = ("pt", "eta", "phi", "mass")
JETS = 10  # that travel with their event
CODES = {"flcomp", *(f"lepCharge_{i}" for i in range(3))}
CODES |= {"charge_sum", *(f"n_{name}" for name in ("ossf", "jet", "bjet", "ele", "muo"))}


# ---------------------------------------------------------------------------------- selection
def collection(events, prefix, names, **renamed):
    """Objects with the fields of a four-momentum, from branches that start with a prefix."""
    fields = {"pt": "Pt", "eta": "Eta", "phi": "Phi", "mass": "M"} | {n: n for n in names} | renamed
    return ak.zip({f: events[prefix + b] for f, b in fields.items()}, with_name="Momentum4D")


def leptons(events):
    """All leptons with the flags `baseline` and `signal`."""
    names = ("Charge", "D0Sig", "Z0SinTheta", "PassOR", "Loose", "Tight", "IsoLoose_VarRad")
    lep = collection(events, "lep", names, flavour="Flavor")
    electron, muon = lep.flavour == 1, lep.flavour == 2
    common = lep.PassOR & (abs(lep.Z0SinTheta) <= 0.5)
    electron = electron & common & (abs(lep.eta) <= 2.47)
    muon = muon & common & lep.Loose & (abs(lep.eta) <= 2.7)
    d0 = abs(lep.D0Sig)
    lep["baseline"] = electron | muon
    lep["signal"] = lep.IsoLoose_VarRad & ((electron & lep.Tight & (d0 <= 5)) | (muon & (d0 <= 3)))
    return lep


def jets(events):
    """The selected jets."""
    jet = collection(events, "jet", ("JVT", "dl1r"))
    jet["btag"] = jet.dl1r >= 2.195
    eta = abs(jet.eta)
    keep = (jet.pt >= 20) & (eta <= 2.8) & ((jet.pt >= 60) | (eta >= 2.4) | (jet.JVT > 0.59))
    return by_pt(jet[keep])


def by_pt(objects):
    return objects[ak.argsort(objects.pt, axis=1, ascending=False, stable=True)]


def cuts(lep):
    """The cuts of SR3L in order, each a flag per event."""
    yield "3 baseline", ak.sum(lep.baseline, axis=1) == 3
    yield "3 signal", ak.sum(lep.signal, axis=1) == 3
    yield "2 with pT > 20", ak.sum(lep.pt[lep.signal] > 20, axis=1) >= 2


# ------------------------------------------------------------------------------------- matrix
def padded(objects, n, names):
    """Fields of the first n objects as (n, events) each, 0 where there are fewer.

    In double precision, which masses of close leptons need.
    """
    first = objects[:, :n]
    present = np.arange(n) < ak.to_numpy(ak.num(first))[:, None]
    result = {name: np.zeros(present.shape) for name in names}
    for name, values in result.items():
        values[present] = ak.to_numpy(ak.flatten(first[name]))
    return {name: np.ascontiguousarray(values.T) for name, values in result.items()}


def labels():
    """Names of the objects in the order of the matrix, from its second row on."""
    return [f"{name}_{rank}" for name, number in TYPES for rank in range(number)]


def cell_names():
    """Names of the cells, row by row."""
    objects = labels()
    for i, row in enumerate(objects, -1):
        if i == -1:
            yield from ("e_T_miss", *(f"m_T_{name}" for name in objects))
        yield f"h_L_{row}"
        for j, column in enumerate(objects, -1):
            if i == j:
                yield ("e_T_" if row.endswith("_0") else "delta_e_t_") + row
            else:
                yield f"{'m' if i < j else 'h'}_{row}_{column}"


def transverse_mass(et, px, py, m, met):
    """Transverse mass of objects and the missing momentum (length, x, y)."""
    product = et * met[0] - px * met[1] - py * met[2]
    return np.sqrt(np.maximum(m**2 + 2 * product, 0))


def matrix(met, objects, out):
    """Fill the 15 x 15 cells of each event.

    met: length, x and y of the missing momentum
    objects: padded fields of each of TYPES
    out: (225, events) of zeros
    """
    cells = out.reshape(15, 15, -1)
    cells[0, 0] = met[0]
    pt, eta, phi, m = (np.concatenate([o[f] for o in objects]) for f in MOMENTUM)
    present = pt > 0
    et, pz = np.hypot(m, pt), pt * np.sinh(eta)
    px, py, energy = pt * np.cos(phi), pt * np.sin(phi), np.hypot(et, pz)
    y = np.arcsinh(np.divide(pz, et, where=present, out=np.zeros_like(pt)))
    leading = np.cumsum([0, *(n for _, n in TYPES)])
    for i, here in enumerate(present):
        events = np.flatnonzero(here)
        if not events.size:
            continue
        row = i + 1
        cells[0, row] = here * transverse_mass(et[i], px[i], py[i], m[i], met)
        cells[row, 0] = C * (np.cosh(y[i]) - 1)
        if i in leading:
            cells[row, row] = et[i]
        else:
            before = et[i - 1, events]
            cells[row, row, events] = (before - et[i, events]) / (before + et[i, events])
        for j in range(i + 1, len(pt)):
            both = np.flatnonzero(here & present[j])
            a, b = ([x[k, both] for x in (px, py, pz, energy, m)] for k in (i, j))
            product = a[3] * b[3] - a[0] * b[0] - a[1] * b[1] - a[2] * b[2]
            cells[row, j + 1, both] = np.sqrt(np.maximum(a[4] ** 2 + b[4] ** 2 + 2 * product, 0))
            cells[j + 1, row, both] = C * (np.cosh((y[i, both] - y[j, both]) / 2) - 1)


# ------------------------------------------------------------------------------------ features
def flavour_code(flavour):
    """Code of three flavours (3, events): by the first one and the number of muons."""
    muons = (flavour == 2).sum(axis=0)
    return np.where(flavour[0] == 1, muons, 6 - muons)


def pairs(lep, momenta, transverse):
    """What the three pairs of three leptons give."""
    first, second = [0, 0, 1], [1, 2, 2]
    mass = np.maximum((momenta[first] + momenta[second]).mass, 0)
    signs = lep["Charge"][first] * lep["Charge"][second]
    sfos = (lep["flavour"][first] == lep["flavour"][second]) & (signs < 0)
    best = np.where(sfos, abs(mass - Z_MASS), np.inf).argmin(axis=0)
    number, event = sfos.sum(axis=0), np.arange(len(best))
    m_sfos = np.where(number, mass[best, event], 0)
    return {
        "m_sfos": m_sfos,
        "m_ossf_z": abs(m_sfos - Z_MASS),
        "m_same_sign": np.where(signs > 0, mass, 0).max(axis=0),
        "m_pair_min": mass.min(axis=0),
        "m_pair_max": mass.max(axis=0),
        "m_T_unpaired": np.where(number, transverse[2 - best, event], 0),  # not in the pair
        "n_ossf": number,
    }


def together(momenta, met):
    """What the three leptons give as one object."""
    three = momenta[0] + momenta[1] + momenta[2]
    pt, mass = three.pt, np.maximum(three.mass, 0)
    return {
        "m_3l": mass,
        "m_T_3l": transverse_mass(np.hypot(mass, pt), three.px, three.py, mass, met),
        "pt_3l": pt,
        "pt_3l_met": np.hypot(three.px + met[1], three.py + met[2]),
    }


def scalars(events, lep, jet, met):
    """The features beside the matrix and the objects that travel with their event.

    lep: padded fields of the three leptons
    jet: the same of JETS jets
    met: length, x and y of the missing momentum
    """
    momenta = vector.array({name: lep[name] for name in MOMENTUM}).to_pxpypzenergy()
    et = np.hypot(lep["mass"], lep["pt"])
    transverse = transverse_mass(et, momenta.px, momenta.py, lep["mass"], met)
    ht_lep, ht_jet = lep["pt"].sum(axis=0), ak.to_numpy(ak.sum(jet.pt, axis=1)).astype(float)
    return {
        "flcomp": flavour_code(lep["flavour"]),
        **pairs(lep, momenta, transverse),
        **together(momenta, met),
        "m_T_min": transverse.min(axis=0),
        "m_T_max": transverse.max(axis=0),
        "met_significance": ak.to_numpy(events.met_Sign),
        "ht_lep": ht_lep,
        "ht_jet": ht_jet,
        "lt_met": ht_lep + met[0],
        "m_eff": ht_lep + ht_jet + met[0],
        "charge_sum": lep["Charge"].sum(axis=0),
        "n_jet": ak.to_numpy(ak.num(jet)),
        "n_bjet": ak.to_numpy(ak.sum(jet.btag, axis=1)),
        "n_ele": (lep["flavour"] == 1).sum(axis=0),
        "n_muo": (lep["flavour"] == 2).sum(axis=0),
    }


def travelling(of, objects):
    """Columns of the objects of an event, by the names of the branches."""
    names = dict(zip(MOMENTUM, ("Pt", "Eta", "Phi", "M"), strict=True))
    names |= {"flavour": "Flavor", "Charge": "Charge", "btag": "BTag"}
    return {
        f"{of}{names[field]}_{rank}": column
        for field, values in objects.items()
        for rank, column in enumerate(values)
    }


class Histograms:
    """Sums of weights and of their squares in bins of equal width, all features at once."""

    def __init__(self, binnings):
        bins, low, high = (
            np.array([getattr(b, name) for b in binnings]) for name in ("bins", "low", "high")
        )
        self.last = (bins + 1)[:, None]  # the overflow; 0 is the underflow
        self.low, self.scale = low[:, None], (bins / (high - low))[:, None]
        self.number = len(bins)
        self.start = np.concatenate([[0], np.cumsum(bins + 2)])
        self.sums = np.zeros((2, self.start[-1]))

    def fill(self, columns, weight):
        """columns: (features, events)."""
        position = (columns - self.low) * self.scale
        bins = np.clip(np.floor(position) + 1, 0, self.last).astype(np.int32)
        bins += self.start[:-1, None].astype(np.int32)
        for sums, weights in zip(self.sums, (weight, weight**2), strict=True):
            spread = np.broadcast_to(weights, bins.shape).ravel()
            sums += np.bincount(bins.ravel(), spread, len(sums))

    def save(self, path, names):
        parts = (np.split(sums, self.start[1:-1]) for sums in self.sums)
        np.savez(path, **{n: np.stack(both) for n, *both in zip(names, *parts, strict=True)})


# ----------------------------------------------------------------------------------------- main
def process(events, constant, names, cutflow, histograms, store):
    """One chunk: count, select, compute, fill and write."""
    weight = np.full(len(events), constant)
    for name in WEIGHTS:
        weight *= ak.to_numpy(events[name])
    lep = leptons(events)
    passed = np.ones(len(events), bool)
    for cut, mask in (("all", passed), *cuts(lep)):
        passed = passed & ak.to_numpy(mask)
        kept = weight[passed]
        cutflow[cut] = cutflow.get(cut, 0) + np.array([kept.size, kept.sum(), (kept**2).sum()])
    events, weight, lep = events[passed], weight[passed], lep[passed]
    lep, jet = by_pt(lep[lep.signal]), jets(events)
    electrons, muons = lep[lep.flavour == 1], lep[lep.flavour == 2]

    columns = np.zeros((len(names), len(events)), np.float32)
    met, met_phi = (ak.to_numpy(events[name]).astype(float) for name in ("met_Et", "met_Phi"))
    missing = met, met * np.cos(met_phi), met * np.sin(met_phi)
    first_jets = padded(jet, JETS, (*MOMENTUM, "btag"))
    types = [{name: first_jets[name][: TYPES[0][1]] for name in MOMENTUM}]
    types += [padded(electrons, 5, MOMENTUM), padded(muons, 5, MOMENTUM)]
    matrix(missing, types, columns[:225])
    three = padded(lep, 3, (*MOMENTUM, "flavour", "Charge"))
    values = scalars(events, three, jet, missing)
    values |= travelling("lep", three) | travelling("jet", first_jets) | {"met_Phi": met_phi}
    for column, name in zip(columns[225:], names[225:], strict=True):
        column[:] = values[name]
    histograms.fill(columns[: histograms.number], weight)

    floats = [i for i, name in enumerate(names) if name not in CODES]
    frame = pd.DataFrame(columns[floats].T, columns=[names[i] for i in floats])
    integers = {name: values[name].astype(np.int32) for name in names if name in CODES}
    identity = {name: ak.to_numpy(events[name]).astype(np.int64) for name in IDENTITY}
    rest = pd.DataFrame(integers | {"wgt_SG": weight} | identity)
    store.append("mini", pd.concat([frame, rest], axis=1), index=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("input")
    parser.add_argument("output", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)

    declared = declarations(["SR3L"], "T3N5").features({"LumiBlock"})  # which the demo lacks
    drawn = [f for f in declared if f.binning]
    features = [*cell_names(), *(f.name for f in drawn[225:])]
    histograms = Histograms([f.binning for f in drawn])
    columns = [*features, *(f.name for f in declared if not f.binning)]
    cutflow = {}
    executor = ThreadPoolExecutor(options.threads) if options.threads > 1 else None
    table = options.output / "table.hdf5"
    with (
        uproot.open(options.input, decompression_executor=executor) as file,
        pd.HDFStore(table, "w", complevel=5, complib="blosc:lz4") as store,
    ):
        constant = 1000.0 / file["meta"]["sumw"].array(library="np").sum()
        for events in file["nominal"].iterate(BRANCHES, step_size=STEP):
            process(events, constant, columns, cutflow, histograms, store)
    histograms.save(options.output / "histograms.npz", features)
    rows = [
        {"cut": cut, "entries": int(n), "sumw": w, "sumw2": w2}
        for cut, (n, w, w2) in cutflow.items()
    ]
    (options.output / "cutflow.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
