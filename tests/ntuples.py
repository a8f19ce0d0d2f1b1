"""Ntuples made for a test: a few events given object by object, in any of the input formats."""

import math
from array import array
from dataclasses import dataclass, field

import ROOT


@dataclass(frozen=True)
class Lepton:
    """A signal lepton unless told otherwise."""

    pt: float
    flavour: int = 1  # 1 electron, 2 muon
    charge: int = 1
    eta: float = 0.0
    phi: float = 0.0
    m: float = 0.0
    d0_significance: float = 0.0
    z0_sin_theta: float = 0.0
    overlap_free: bool = True
    loose: bool = True
    tight: bool = True
    isolated: bool = True


@dataclass(frozen=True)
class Jet:
    """A light jet from the collision unless told otherwise."""

    pt: float
    eta: float = 0.0
    phi: float = 0.0
    m: float = 0.0
    jvt: float = 1.0
    dl1r: float = -3.0


@dataclass(frozen=True)
class Event:
    leptons: tuple[Lepton, ...] = ()
    jets: tuple[Jet, ...] = ()
    met: float = 50.0
    met_phi: float = 0.0
    met_significance: float = 3.0
    number: int = 1
    run: int = 300000
    dataset: int = 500001
    random_run: int = 300000
    weights: dict = field(default_factory=dict)  # those that are not 1


def three_leptons(**changes):
    """An event of region SR3L: a muon pair and an electron."""
    leptons = (
        Lepton(60, 2, +1, 0.1, 0.2, 0.105),
        Lepton(40, 2, -1, -0.4, 2.5, 0.105),
        Lepton(30, 1, -1, 1.2, -1.0),
    )
    return Event(**{"leptons": leptons, "jets": (Jet(50, 0.5, 1.0, 6.0),), **changes})


WEIGHTS = "genWeight eventWeight jvtWeight bTagWeight leptonWeight globalDiLepTrigSF pileupWeight"

# Branch: type of the leaf or of the elements, value of an event.
SUSY = {
    "EventNumber": ("l", lambda e: e.number),
    "RunNumber": ("I", lambda e: e.run),
    "DatasetNumber": ("I", lambda e: e.dataset),
    "RandomRunNumber": ("I", lambda e: e.random_run),
    "lepPt": ("float", lambda e: [x.pt for x in e.leptons]),
    "lepEta": ("float", lambda e: [x.eta for x in e.leptons]),
    "lepPhi": ("float", lambda e: [x.phi for x in e.leptons]),
    "lepM": ("float", lambda e: [x.m for x in e.leptons]),
    "lepFlavor": ("int", lambda e: [x.flavour for x in e.leptons]),
    "lepCharge": ("int", lambda e: [x.charge for x in e.leptons]),
    "lepD0Sig": ("float", lambda e: [x.d0_significance for x in e.leptons]),
    "lepZ0SinTheta": ("float", lambda e: [x.z0_sin_theta for x in e.leptons]),
    "lepPassOR": ("bool", lambda e: [x.overlap_free for x in e.leptons]),
    "lepLoose": ("bool", lambda e: [x.loose for x in e.leptons]),
    "lepTight": ("bool", lambda e: [x.tight for x in e.leptons]),
    "lepIsoLoose_VarRad": ("bool", lambda e: [x.isolated for x in e.leptons]),
    "jetPt": ("float", lambda e: [x.pt for x in e.jets]),
    "jetEta": ("float", lambda e: [x.eta for x in e.jets]),
    "jetPhi": ("float", lambda e: [x.phi for x in e.jets]),
    "jetM": ("float", lambda e: [x.m for x in e.jets]),
    "jetJVT": ("float", lambda e: [x.jvt for x in e.jets]),
    "jetdl1r": ("float", lambda e: [x.dl1r for x in e.jets]),
    "met_Et": ("F", lambda e: e.met),
    "met_Phi": ("F", lambda e: e.met_phi),
    "met_Sign": ("F", lambda e: e.met_significance),
    **{name: ("F", lambda e, n=name: e.weights.get(n, 1.0)) for name in WEIGHTS.split()},
}


def energy(x):
    return math.hypot(x.pt * math.cosh(x.eta), x.m)


OPENDATA_WEIGHTS = {
    2020: "mcWeight scaleFactor_PILEUP scaleFactor_ELE scaleFactor_MUON scaleFactor_LepTRIGGER",
    2025: "mcWeight ScaleFactor_PILEUP ScaleFactor_ELE ScaleFactor_MUON ScaleFactor_MLTRIGGER",
}


def opendata(year):
    """Branches of the ATLAS Open Data release of a year; b-tagged are jets of dl1r >= 2.195."""
    unit = 1000.0 if year == 2020 else 1.0
    lower = {2020: "E", 2025: "e"}[year]
    branches = {
        "runNumber": ("I", lambda e: e.run),
        "eventNumber": ("I" if year == 2020 else "L", lambda e: e.number),
        "channelNumber": ("I", lambda e: e.dataset),
        "lep_pt": ("float", lambda e: [unit * x.pt for x in e.leptons]),
        "lep_eta": ("float", lambda e: [x.eta for x in e.leptons]),
        "lep_phi": ("float", lambda e: [x.phi for x in e.leptons]),
        f"lep_{lower}": ("float", lambda e: [unit * energy(x) for x in e.leptons]),
        "lep_charge": ("int", lambda e: [x.charge for x in e.leptons]),
        "lep_type": ("unsigned int", lambda e: [9 + 2 * x.flavour for x in e.leptons]),
        "lep_isTightID": ("bool", lambda e: [x.tight for x in e.leptons]),
        "lep_z0": ("float", lambda e: [x.z0_sin_theta * math.cosh(x.eta) for x in e.leptons]),
        "jet_pt": ("float", lambda e: [unit * x.pt for x in e.jets]),
        "jet_eta": ("float", lambda e: [x.eta for x in e.jets]),
        "jet_phi": ("float", lambda e: [x.phi for x in e.jets]),
        f"jet_{lower}": ("float", lambda e: [unit * energy(x) for x in e.jets]),
        "jet_jvt": ("float", lambda e: [x.jvt for x in e.jets]),
        **{
            name: ("F", lambda e, n=name: e.weights.get(n, 1.0))
            for name in OPENDATA_WEIGHTS[year].split()
        },
    }
    cone = [lambda e: [(0.0 if x.isolated else 0.5) * unit * x.pt for x in e.leptons]]
    if year == 2020:
        return branches | {
            "lep_ptcone30": ("float", cone[0]),
            "lep_etcone20": ("float", cone[0]),
            "lep_trackd0pvunbiased": ("float", lambda e: [x.d0_significance for x in e.leptons]),
            "lep_tracksigd0pvunbiased": ("float", lambda e: [1.0 for _ in e.leptons]),
            "jet_MV2c10": ("float", lambda e: [0.9 if x.dl1r >= 2.195 else 0.1 for x in e.jets]),
            "met_et": ("F", lambda e: unit * e.met),
            "met_phi": ("F", lambda e: e.met_phi),
            "XSection": ("F", lambda e: e.weights.get("XSection", 1.0)),
            "SumWeights": ("F", lambda e: e.weights.get("SumWeights", 1.0)),
        }
    return branches | {
        "lep_ptvarcone30": ("float", cone[0]),
        "lep_topoetcone20": ("float", cone[0]),
        "lep_d0": ("float", lambda e: [x.d0_significance for x in e.leptons]),
        "lep_d0sig": ("float", lambda e: [x.d0_significance for x in e.leptons]),
        "lep_isTightIso": ("bool", lambda e: [x.isolated for x in e.leptons]),
        "jet_btag_quantile": ("int", lambda e: [4 if x.dl1r >= 2.195 else 1 for x in e.jets]),
        "met": ("F", lambda e: e.met),
        "met_phi": ("F", lambda e: e.met_phi),
        "xsec": ("F", lambda e: e.weights.get("xsec", 1.0)),
        "kfac": ("F", lambda e: e.weights.get("kfac", 1.0)),
        "filteff": ("F", lambda e: e.weights.get("filteff", 1.0)),
        "sum_of_weights": ("F", lambda e: e.weights.get("sum_of_weights", 1.0)),
    }


# Flavour of the leptons of a collection of NanoAOD.
COLLECTIONS = {"Electron": 1, "Muon": 2}


def nanoaod(version=9):
    """Branches of CMS NanoAOD, whose arrays have their lengths in other branches.

    Each good lepton is a jet, too, as in the real files, and one jet is none; b-tagged are jets of
    dl1r >= 2.195.
    """
    small, index = {9: ("I[]", "I[]"), 12: ("b[]", "S[]")}[version]
    branches = {
        "run": ("i", lambda e: e.run),
        "luminosityBlock": ("i", lambda e: abs(e.number) % 1000 + 1),
        "event": ("l", lambda e: e.number),
        "MET_pt": ("F", lambda e: e.met),
        "MET_phi": ("F", lambda e: e.met_phi),
        "MET_significance": ("F", lambda e: e.met_significance**2),
        "genWeight": ("F", lambda e: e.weights.get("genWeight", 1.0)),
        "L1PreFiringWeight_Nom": ("F", lambda e: e.weights.get("eventWeight", 1.0)),
    }
    for name, flavour in COLLECTIONS.items():

        def of_leptons(value, flavour=flavour):
            return lambda e: [value(x) for x in e.leptons if x.flavour == flavour]

        branches |= {
            f"n{name}": ("i", lambda e, f=flavour: sum(x.flavour == f for x in e.leptons)),
            f"{name}_pt": ("F[]", of_leptons(lambda x: x.pt)),
            f"{name}_eta": ("F[]", of_leptons(lambda x: x.eta)),
            f"{name}_phi": ("F[]", of_leptons(lambda x: x.phi)),
            f"{name}_mass": ("F[]", of_leptons(lambda x: x.m)),
            f"{name}_charge": ("I[]", of_leptons(lambda x: x.charge)),
            f"{name}_dxy": ("F[]", of_leptons(lambda x: 0.01 * x.d0_significance)),
            f"{name}_dxyErr": ("F[]", of_leptons(lambda x: 0.01)),
            f"{name}_dz": ("F[]", of_leptons(lambda x: x.z0_sin_theta * math.cosh(x.eta) / 10)),
        }
        isolation = "pfRelIso03_all" if name == "Electron" else "pfRelIso04_all"
        branches[f"{name}_{isolation}"] = "F[]", of_leptons(lambda x: 0.01 if x.isolated else 0.5)
    branches |= {
        "Electron_cutBased": (
            small,
            lambda e: [(4 if x.tight else 2) * x.loose for x in e.leptons if x.flavour == 1],
        ),
        "Muon_looseId": ("O[]", lambda e: [x.loose for x in e.leptons if x.flavour == 2]),
        "Muon_tightId": ("O[]", lambda e: [x.tight for x in e.leptons if x.flavour == 2]),
    }

    def jets(e):
        """The jets as (jet, jetId, index of its electron, of its muon), highest pT first."""
        found = [(jet, 6, -1, -1) for jet in e.jets]
        found.append((Jet(200.0, 1.0, 1.0, 10.0), 0, -1, -1))
        for name, flavour in COLLECTIONS.items():
            for n, x in enumerate(x for x in e.leptons if x.flavour == flavour):
                indices = (n, -1) if name == "Electron" else (-1, n)
                if x.loose and x.isolated:
                    found.append((Jet(x.pt, x.eta, x.phi), 6, *indices))
        return sorted(found, key=lambda each: -each[0].pt)

    def of_jets(value):
        return lambda e: [value(*each) for each in jets(e)]

    branches |= {
        "nJet": ("i", lambda e: len(jets(e))),
        "Jet_pt": ("F[]", of_jets(lambda jet, *_: jet.pt)),
        "Jet_eta": ("F[]", of_jets(lambda jet, *_: jet.eta)),
        "Jet_phi": ("F[]", of_jets(lambda jet, *_: jet.phi)),
        "Jet_mass": ("F[]", of_jets(lambda jet, *_: jet.m)),
        "Jet_jetId": (small, of_jets(lambda jet, good, *_: good)),
        "Jet_btagDeepFlavB": ("F[]", of_jets(lambda jet, *_: 0.9 if jet.dl1r >= 2.195 else 0.1)),
        "Jet_electronIdx1": (index, of_jets(lambda jet, good, electron, muon: electron)),
        "Jet_muonIdx1": (index, of_jets(lambda jet, good, electron, muon: muon)),
    }
    if version == 9:
        branches["Jet_puId"] = "I[]", of_jets(lambda jet, *_: 4 if jet.jvt > 0.59 else 0)
    return branches


# Letters of leaves and of arrays in Python.
CODES = {"F": "f", "D": "d", "I": "i", "i": "I", "l": "Q", "L": "q", "S": "h", "b": "B", "O": "b"}
LONGEST = 64  # array of a leaf


def write(
    path,
    events,
    branches=SUSY,
    tree="nominal",
    sum_of_weights=None,
    without=(),
    metadata=("meta", "sumw"),
):
    """Write a TTree of these events and, where a sum of weights is given, a tree with its halves.

    branches: {name: (type, value of an event)}; a type is a letter of a leaf, one with [] for an
        array `Jet_pt` whose length is the branch `nJet` before it, or that of a vector's elements
    metadata: names of the tree and branch of the sum of weights
    """
    file = ROOT.TFile(str(path), "RECREATE")
    written = ROOT.TTree(tree, tree)
    buffers = {}
    for name, (kind, _) in branches.items():
        if name in without:
            continue
        letter = kind.removesuffix("[]")
        if letter in CODES:
            length = f"[n{name.partition('_')[0]}]" if kind.endswith("[]") else ""
            buffers[name] = array(CODES[letter], [0] * (LONGEST if length else 1))
            written.Branch(name, buffers[name], f"{name}{length}/{letter}")
        else:
            buffers[name] = ROOT.std.vector[kind]()
            written.Branch(name, buffers[name])
    for event in events:
        for name, buffer in buffers.items():
            kind, value = branches[name]
            if kind in CODES:
                buffer[0] = value(event)
            elif kind.endswith("[]"):
                for place, x in enumerate(value(event)):
                    buffer[place] = x
            else:
                buffer.clear()
                for x in value(event):
                    buffer.push_back(x)
        written.Fill()
    written.Write()
    if sum_of_weights is not None:
        (tree, branch), half = metadata, array("d", [sum_of_weights / 2])
        meta = ROOT.TTree(tree, tree)
        meta.Branch(branch, half, f"{branch}/D")
        meta.Fill()
        meta.Fill()
        meta.Write()
    file.Close()
    return path


def samples_file(path, *samples, luminosity=1.0):
    """Write a samples file; each sample is a dict of keys, completed with the usual ones."""
    lines = [] if luminosity is None else [f"luminosity_ifb = {toml(luminosity)}"]
    usual = {"process": "diboson3L", "kind": "background", "schema": "susy", "tree": "nominal"}
    for sample in samples:
        lines += ["", "[[sample]]"]
        values = usual | sample
        if values["kind"] != "data" and "schema" not in sample:
            values = {"xsec_pb": 1.0, "sum_of_weights": 1000.0} | values
        lines += [f"{key} = {toml(value)}" for key, value in values.items() if value is not None]
    path.write_text("\n".join(lines) + "\n")
    return path


def toml(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return f'"{value}"' if isinstance(value, str) or hasattr(value, "parts") else repr(value)
