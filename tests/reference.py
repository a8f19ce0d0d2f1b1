"""The definitions of the analysis in plain numpy, written a second time, independent of the C++.

Objects of an event are rows of padded arrays: (events, n), NaN where there is no object.
"""

from dataclasses import dataclass

import awkward as ak
import numpy as np
import uproot

C = 0.15
Z_MASS = 91.1876

LAYOUTS = {
    "T3N5": (("jet", 4), ("ele", 5), ("muo", 5)),
    "T4N5": (("ljet", 6), ("bjet", 6), ("ele", 5), ("muo", 5)),
    "T5N10": (("ljet", 10), ("bjet", 10), ("ele", 5), ("muo", 5), ("pho", 5)),
}


@dataclass(frozen=True)
class Objects:
    """Objects of one type, (events, n) each, NaN where there is none."""

    pt: np.ndarray
    eta: np.ndarray
    phi: np.ndarray
    m: np.ndarray

    def take(self, mask):
        """The objects that the mask selects, highest pT first, as many columns as before."""
        order = np.argsort(np.where(mask, -self.pt, np.inf), axis=1, kind="stable")
        kept = np.take_along_axis(mask, order, 1)
        return Objects(
            *(
                np.where(kept, np.take_along_axis(values, order, 1), np.nan)
                for values in (self.pt, self.eta, self.phi, self.m)
            )
        )

    def first(self, n):
        """The first n columns, padded where there are fewer."""
        pad = max(0, n - self.pt.shape[1])
        return Objects(
            *(
                np.pad(values, ((0, 0), (0, pad)), constant_values=np.nan)[:, :n]
                for values in (self.pt, self.eta, self.phi, self.m)
            )
        )

    def momenta(self):
        """px, py, pz, E."""
        pz = self.pt * np.sinh(self.eta)
        energy = np.sqrt(self.m**2 + (self.pt * np.cosh(self.eta)) ** 2)
        return np.stack([self.pt * np.cos(self.phi), self.pt * np.sin(self.phi), pz, energy])


def transverse_energy(pt, m):
    return np.sqrt(m**2 + pt**2)


def rapidity(pt, eta, m):
    pz = pt * np.sinh(eta)
    energy = np.sqrt((pt * np.cosh(eta)) ** 2 + m**2)
    return 0.5 * np.log((energy + pz) / (energy - pz))


def transverse_mass(pt, phi, m, met, met_phi):
    dot = pt * np.cos(phi) * met * np.cos(met_phi) + pt * np.sin(phi) * met * np.sin(met_phi)
    square = m**2 + 2 * (transverse_energy(pt, m) * met - dot)
    return np.sqrt(np.maximum(square, 0))


def mass(momenta):
    """Invariant mass of momenta (4, ...)."""
    px, py, pz, energy = momenta
    return np.sqrt(np.maximum(energy**2 - px**2 - py**2 - pz**2, 0))


def pair_mass(a, b):
    """Invariant mass of two objects, each (pt, eta, phi, m)."""
    et_a, et_b = transverse_energy(a[0], a[3]), transverse_energy(b[0], b[3])
    dy = rapidity(a[0], a[1], a[3]) - rapidity(b[0], b[1], b[3])
    product = et_a * et_b * np.cosh(dy) - a[0] * b[0] * np.cos(a[2] - b[2])
    return np.sqrt(np.maximum(a[3] ** 2 + b[3] ** 2 + 2 * product, 0))


def matrix(met, met_phi, types, multiplicities, scale=1.0, thesis_h=False):
    """The rapidity-mass matrix, (events, size, size)."""
    types = [objects.first(n) for objects, n in zip(types, multiplicities, strict=True)]
    rank = np.concatenate([range(n) for n in multiplicities])
    pt, eta, phi, m = (
        np.concatenate([getattr(objects, name) for objects in types], axis=1)
        for name in ("pt", "eta", "phi", "m")
    )
    et, y = transverse_energy(pt, m), rapidity(pt, eta, m)
    size = 1 + len(rank)
    cells = np.full((len(met), size, size), np.nan)
    cells[:, 0, 0] = met / scale
    for i in range(size - 1):
        row = i + 1
        cells[:, 0, row] = (
            transverse_mass(pt[:, i], phi[:, i], m[:, i], np.asarray(met), np.asarray(met_phi))
            / scale
        )
        cells[:, row, 0] = C * (np.cosh(y[:, i]) - 1)
        if rank[i] == 0:
            cells[:, row, row] = et[:, i] / scale
        else:
            before = et[:, i - 1]
            cells[:, row, row] = (before - et[:, i]) / (before + et[:, i])
        for j in range(i + 1, size - 1):
            column = j + 1
            objects = [(pt[:, k], eta[:, k], phi[:, k], m[:, k]) for k in (i, j)]
            cells[:, row, column] = pair_mass(*objects) / scale
            dy = y[:, i] - y[:, j]
            cells[:, column, row] = C * (np.cosh(dy if thesis_h else dy / 2) - 1)
    return np.nan_to_num(cells, nan=0.0)


def labels(layout):
    """Names of the cells, row by row."""
    objects = [f"{name}_{rank}" for name, n in layout for rank in range(n)]
    names = []
    for i in range(len(objects) + 1):
        for j in range(len(objects) + 1):
            if i == j == 0:
                names.append("e_T_miss")
            elif i == 0:
                names.append(f"m_T_{objects[j - 1]}")
            elif j == 0:
                names.append(f"h_L_{objects[i - 1]}")
            elif i == j:
                leading = objects[i - 1].endswith("_0")
                names.append(("e_T_" if leading else "delta_e_t_") + objects[i - 1])
            else:
                names.append(f"{'m' if i < j else 'h'}_{objects[i - 1]}_{objects[j - 1]}")
    return names


def flavour_code(flavour):
    """Code of three flavours (1 electron, 2 muon), leading first."""
    table = {
        (1, 1, 1): 0,
        (1, 1, 2): 1,
        (1, 2, 1): 1,
        (1, 2, 2): 2,
        (2, 2, 2): 3,
        (2, 2, 1): 4,
        (2, 1, 2): 4,
        (2, 1, 1): 5,
    }
    return table.get(tuple(int(f) for f in flavour), -1)


def padded(array, fill):
    """An awkward array of lists as (events, longest list)."""
    longest = max(1, int(ak.max(ak.num(array), initial=0)))
    full = ak.fill_none(ak.pad_none(array, longest, clip=True), fill)
    return ak.to_numpy(full)


@dataclass(frozen=True)
class Events:
    """Events in GeV, in the order of the file."""

    lep: Objects
    flavour: np.ndarray  # (events, n), 0 where there is no lepton
    charge: np.ndarray
    baseline: np.ndarray  # masks
    signal: np.ndarray
    jet: Objects
    jet_selected: np.ndarray
    jet_b: np.ndarray  # passes the b-tagging threshold
    pho: Objects | None
    met: np.ndarray
    met_phi: np.ndarray
    met_significance: np.ndarray | None
    own_weight: np.ndarray  # product of the weights that the file carries
    identity: np.ndarray  # (events, 3)


def at_most(values, limit):
    """abs(values) <= limit, compared in single precision as an ntuple's reader does."""
    return np.abs(values.astype(np.float32)) <= np.float32(limit)


def read_susy(path, tree="nominal"):
    """Events of the `susy` format."""
    with uproot.open(path) as file:
        a = file[tree].arrays()
    lep = Objects(*(padded(a[f"lep{n}"], np.nan).astype(float) for n in ("Pt", "Eta", "Phi", "M")))
    flavour, charge = padded(a.lepFlavor, 0), padded(a.lepCharge, 0)
    flags = {n: padded(a[n], False) for n in ("lepPassOR", "lepLoose", "lepTight")}
    isolated = padded(a["lepIsoLoose_VarRad"], False)
    d0, z0 = padded(a.lepD0Sig, 99.0), padded(a.lepZ0SinTheta, 99.0)
    common = flags["lepPassOR"] & (np.abs(z0) <= 0.5)
    electron = (flavour == 1) & common & at_most(lep.eta, 2.47)
    muon = (flavour == 2) & common & at_most(lep.eta, 2.7) & flags["lepLoose"]
    signal_electron = electron & isolated & flags["lepTight"] & (np.abs(d0) <= 5)
    signal_muon = muon & isolated & (np.abs(d0) <= 3)
    jet = Objects(*(padded(a[f"jet{n}"], np.nan).astype(float) for n in ("Pt", "Eta", "Phi", "M")))
    vertex = padded(a.jetJVT, -9.0) > np.float32(0.59)
    weights = (
        "genWeight eventWeight jvtWeight bTagWeight leptonWeight globalDiLepTrigSF pileupWeight"
    )
    return Events(
        lep,
        flavour,
        charge,
        electron | muon,
        signal_electron | signal_muon,
        jet,
        select_jets(jet, vertex),
        padded(a.jetdl1r, -9.0) >= np.float32(2.195),
        None,
        ak.to_numpy(a.met_Et).astype(float),
        ak.to_numpy(a.met_Phi).astype(float),
        ak.to_numpy(a.met_Sign) if "met_Sign" in a.fields else None,
        product(a, weights.split()),
        identity(a, "DatasetNumber", "RunNumber", "EventNumber"),
    )


def read_opendata2020(path):
    """Events of the ATLAS Open Data of 2020, in MeV there."""
    with uproot.open(path) as file:
        a = file["mini"].arrays()
    pt, eta, phi, energy = (
        padded(a[f"lep_{n}"], np.nan).astype(float) for n in "pt eta phi E".split()
    )
    lep = Objects(pt / 1000, eta, phi, mass_from_energy(pt, eta, energy) / 1000)
    flavour = 1 + (padded(a.lep_type, 0) == 13) * 1
    flavour[np.isnan(pt)] = 0
    with np.errstate(invalid="ignore", divide="ignore"):
        d0 = np.abs(padded(a.lep_trackd0pvunbiased, 9e9)) / padded(a.lep_tracksigd0pvunbiased, 1.0)
        z0 = np.abs(padded(a.lep_z0, 99.0)) / np.cosh(eta)
        isolated = (padded(a.lep_ptcone30, 9e9) / pt < 0.15) & (
            padded(a.lep_etcone20, 9e9) / pt < 0.15
        )
    electron = (flavour == 1) & (z0 <= 0.5) & at_most(eta, 2.47)
    muon = (flavour == 2) & (z0 <= 0.5) & at_most(eta, 2.7)
    tight = padded(a.lep_isTightID, False)
    signal = (electron & isolated & tight & (d0 <= 5)) | (muon & isolated & (d0 <= 3))
    jpt, jeta, jphi, je = (
        padded(a[f"jet_{n}"], np.nan).astype(float) for n in "pt eta phi E".split()
    )
    jet = Objects(jpt / 1000, jeta, jphi, mass_from_energy(jpt, jeta, je) / 1000)
    weights = "mcWeight scaleFactor_PILEUP scaleFactor_ELE scaleFactor_MUON scaleFactor_LepTRIGGER"
    own = product(a, weights.split())
    with np.errstate(invalid="ignore", divide="ignore"):
        own = own * ak.to_numpy(a.XSection).astype(float) / ak.to_numpy(a.SumWeights)
    return Events(
        lep,
        flavour,
        padded(a.lep_charge, 0),
        electron | muon,
        signal,
        jet,
        select_jets(jet, padded(a.jet_jvt, -9.0) > np.float32(0.59)),
        padded(a.jet_MV2c10, -9.0) > np.float32(0.645925),
        None,
        ak.to_numpy(a.met_et).astype(float) / 1000,
        ak.to_numpy(a.met_phi).astype(float),
        None,
        own,
        identity(a, "channelNumber", "runNumber", "eventNumber"),
    )


def product(arrays, names):
    result = np.ones(len(arrays))
    for name in names:
        result = result * ak.to_numpy(arrays[name]).astype(float)
    return result


def identity(arrays, *names):
    return np.stack([ak.to_numpy(arrays[name]).astype(np.int64) for name in names], axis=1)


def mass_from_energy(pt, eta, energy):
    return np.sqrt(np.maximum(energy**2 - (pt * np.cosh(eta)) ** 2, 0))


def select_jets(jet, vertex):
    pt, eta = jet.pt, np.abs(jet.eta.astype(np.float32))
    with np.errstate(invalid="ignore"):
        hard_or_forward = (pt >= 60) | (eta >= np.float32(2.4))
        return (pt >= 20) & (eta <= np.float32(2.8)) & (hard_or_forward | vertex)


def selected(events, region):
    """[(cut, mask of the events that pass it and all before)] of a region."""
    counts = events.baseline.sum(1), events.signal.sum(1)
    leptons = events.lep.take(events.signal)
    hard = [(leptons.pt > threshold).sum(1) >= 2 for threshold in (20, 25)]
    if region == "SR3L":
        cuts = [("3 baseline", counts[0] == 3), ("3 signal", counts[1] == 3)]
        cuts += [("2 with pT > 20", hard[0])]
    else:
        two = leptons.first(2)
        pair = mass(np.nan_to_num(two.momenta()).sum(axis=2))
        cuts = [("at least 2 baseline", counts[0] >= 2), ("at least 2 signal", counts[1] >= 2)]
        cuts += [("2 with pT > 25", hard[1]), ("m(2 leading) > 70", pair > 70)]
    passed, rows = np.ones(len(events.met), bool), []
    for name, mask in cuts:
        passed = passed & mask
        rows.append((name, passed))
    return rows


def table(events, keep, layout="T3N5", normalisation=None):
    """Columns of the kept events, sorted as the program sorts them.

    normalisation: what the file's own weight is multiplied with; None for data
    """
    lep, signal = events.lep, events.signal
    leptons = lep.take(signal)
    order = np.argsort(np.where(signal, -lep.pt, np.inf), axis=1, kind="stable")
    width = max(3, order.shape[1])
    present = np.take_along_axis(signal, order, 1)
    fill = ((0, 0), (0, width - order.shape[1]))
    flavour = np.pad(np.where(present, np.take_along_axis(events.flavour, order, 1), 0), fill)
    charge = np.pad(np.where(present, np.take_along_axis(events.charge, order, 1), 0), fill)
    leptons = leptons.first(width)
    jets = events.jet.take(events.jet_selected)
    kinds = {
        "jet": events.jet.take(events.jet_selected),
        "bjet": events.jet.take(events.jet_selected & events.jet_b),
        "ljet": events.jet.take(events.jet_selected & ~events.jet_b),
        "ele": lep.take(signal & (events.flavour == 1)),
        "muo": lep.take(signal & (events.flavour == 2)),
        "pho": events.pho or lep.take(np.zeros_like(signal)),
    }
    types = [kinds[name] for name, _ in LAYOUTS[layout]]
    cells = matrix(events.met, events.met_phi, types, [n for _, n in LAYOUTS[layout]])
    columns = dict(
        zip(labels(LAYOUTS[layout]), cells.reshape(len(cells), -1).T, strict=True),
        wgt_SG=np.ones(len(cells)) if normalisation is None else normalisation * events.own_weight,
    )
    number = signal.sum(1)
    columns["flcomp"] = np.array(
        [flavour_code(f[:3]) if n == 3 else -1 for f, n in zip(flavour, number, strict=True)]
    )
    for rank in range(3):
        columns[f"lepPt_{rank}"] = np.nan_to_num(leptons.pt[:, rank])
        columns[f"lepCharge_{rank}"] = charge[:, rank]
    three = leptons.first(3).momenta().sum(axis=2)
    columns["m_3l"] = np.where(number >= 3, mass(np.nan_to_num(three)), 0)
    columns["m_sfos"] = sfos_mass(leptons, flavour, charge)
    columns["ht_lep"] = np.nansum(leptons.pt, axis=1)
    columns["ht_jet"] = np.nansum(jets.pt, axis=1)
    columns |= of_leptons(leptons, flavour, charge, events.met, events.met_phi)
    columns["m_ossf_z"] = np.abs(columns["m_sfos"] - Z_MASS)
    columns["lt_met"] = columns["ht_lep"] + events.met
    columns["m_eff"] = columns["lt_met"] + columns["ht_jet"]
    for name in ("jet", "bjet", "ele", "muo"):
        columns[f"n_{name}"] = (~np.isnan(kinds[name].pt)).sum(1)
    if events.met_significance is not None:
        columns["met_significance"] = events.met_significance
    columns |= travelling(events, leptons, flavour, layout)
    for number, name in enumerate(("DatasetNumber", "RunNumber", "EventNumber")):
        columns[name] = events.identity[:, number]
    rows = np.flatnonzero(keep)
    rows = rows[np.lexsort(events.identity[rows].T[::-1])]
    return {name: values[rows] for name, values in columns.items()}


def travelling(events, leptons, flavour, layout):
    """The objects that travel with an event, 0 where there is none."""
    columns = {"met_Phi": events.met_phi}
    chosen = events.jet_selected
    order = np.argsort(np.where(chosen, -events.jet.pt, np.inf), axis=1, kind="stable")
    tagged = np.take_along_axis(chosen & events.jet_b, order, 1)[:, :10]
    tagged = np.pad(tagged, ((0, 0), (0, 10 - tagged.shape[1])))
    objects = {"lep": leptons.first(3), "jet": events.jet.take(chosen).first(10)}
    if ("pho", 5) in LAYOUTS[layout]:
        photons = events.pho or leptons.take(np.zeros_like(leptons.pt, bool))
        objects["pho"] = photons.first(5)
    for kind, found in objects.items():
        for rank in range(found.pt.shape[1]):
            columns |= {
                f"{kind}Pt_{rank}": np.nan_to_num(found.pt[:, rank]),
                f"{kind}Eta_{rank}": np.nan_to_num(found.eta[:, rank]),
                f"{kind}Phi_{rank}": np.nan_to_num(found.phi[:, rank]),
                f"{kind}M_{rank}": np.nan_to_num(found.m[:, rank]),
            }
    columns |= {f"lepFlavor_{rank}": flavour[:, rank] for rank in range(3)}
    columns |= {f"jetBTag_{rank}": tagged[:, rank] for rank in range(10)}
    return columns


def sfos_mass(leptons, flavour, charge):
    """Mass of the same-flavour opposite-sign pair closest to the Z, 0 where there is none."""
    best = np.zeros(len(flavour))
    distance = np.full(len(flavour), np.inf)
    objects = [
        (leptons.pt[:, i], leptons.eta[:, i], leptons.phi[:, i], leptons.m[:, i])
        for i in range(flavour.shape[1])
    ]
    for i in range(flavour.shape[1]):
        for j in range(i + 1, flavour.shape[1]):
            pair = (flavour[:, i] == flavour[:, j]) & (charge[:, i] * charge[:, j] < 0)
            value = np.nan_to_num(pair_mass(objects[i], objects[j]))
            closer = pair & (np.abs(value - Z_MASS) < distance)
            distance = np.where(closer, np.abs(value - Z_MASS), distance)
            best = np.where(closer, value, best)
    return best


def of_leptons(leptons, flavour, charge, met, met_phi):
    """Pairs, the three leading leptons together and their transverse masses, 0 where missing."""
    objects = [
        (leptons.pt[:, i], leptons.eta[:, i], leptons.phi[:, i], leptons.m[:, i])
        for i in range(flavour.shape[1])
    ]
    transverse = np.stack([transverse_mass(o[0], o[2], o[3], met, met_phi) for o in objects], 1)
    places = [(i, j) for i in range(len(objects)) for j in range(i + 1, len(objects))]
    masses = np.stack([pair_mass(objects[i], objects[j]) for i, j in places], 1)
    signs = np.stack([charge[:, i] * charge[:, j] for i, j in places], 1)
    alike = np.stack([flavour[:, i] == flavour[:, j] for i, j in places], 1)
    opposite = alike & (signs < 0) & ~np.isnan(masses)
    best = np.argmin(np.where(opposite, np.abs(masses - Z_MASS), np.inf), axis=1)
    third = np.zeros(len(flavour))
    for event in np.flatnonzero(opposite.any(1)):
        rest = [k for k in range(len(objects)) if k not in places[best[event]]]
        third[event] = np.nan_to_num(transverse[event, rest[0]])
    momenta = leptons.first(3).momenta().sum(axis=2)
    x, y = met * np.cos(met_phi), met * np.sin(met_phi)
    whole = ~np.isnan(momenta[0])
    px, py = np.where(whole, momenta[:2], 0)
    m = np.where(whole, mass(momenta), 0)
    together = transverse_mass(np.hypot(px, py), np.arctan2(py, px), m, met, met_phi)
    three = np.where(np.isnan(transverse[:, :3]), np.inf, transverse[:, :3])
    lightest = np.min(np.where(np.isnan(masses), np.inf, masses), axis=1)
    return {
        "n_ossf": opposite.sum(1),
        "charge_sum": charge.sum(1),
        "m_same_sign": np.max(np.where(signs > 0, masses, 0), axis=1),
        "m_pair_min": np.where(np.isinf(lightest), 0, lightest),
        "m_pair_max": np.max(np.nan_to_num(masses), axis=1),
        "m_T_unpaired": third,
        "m_T_min": np.where(np.isinf(three.min(1)), 0, three.min(1)),
        "m_T_max": np.max(np.nan_to_num(transverse[:, :3]), axis=1),
        "m_T_3l": np.where(whole, together, 0),
        "pt_3l": np.hypot(px, py),
        "pt_3l_met": np.hypot(px + x, py + y),
    }
