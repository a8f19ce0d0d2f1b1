"""Input formats: which branch, times which factor, is which of our columns.

Behind these tables everything is in GeV and has the names of the `susy` ntuples. A new format is
one more `Schema`.
"""

from dataclasses import dataclass

MEV = 0.001  # GeV


@dataclass(frozen=True)
class Column:
    """One of our columns, made from branches of an input format."""

    name: str
    branch: str = ""  # a branch or an expression of branches; empty: the branch of the same name
    scale: float = 1.0  # factor to GeV
    vector: bool = False  # one number per object instead of one per event
    optional: bool = False  # cuts and weights that need it are left out where it is missing

    @property
    def expression(self):
        """The column as an RDataFrame expression of branches."""
        source = self.branch or self.name
        return source if self.scale == 1.0 else f"{source} * {self.scale!r}f"


@dataclass(frozen=True)
class Schema:
    """An input format."""

    name: str
    columns: tuple[Column, ...]
    weights: tuple[str, ...]  # factors of the event weight of simulation
    simulation_tree: str  # name of the tree; {sample} stands for the sample's name
    data_tree: str
    normalisation: str = ""  # cross-section over sum of weights in pb, where ntuples carry it
    # Where the metadata of the files hold them, as OBJECT:PART: a branch of a tree, whose entries
    # are added, or a bin of a histogram, by number or label; "" if they do not. An OBJECT with a *
    # in its name stands for several. The cross-section is in pb, in a tree, and the same in all.
    sum_of_weights: str = ""
    cross_section: str = ""
    # What names of branches begin with that have a number for each object of one collection; none
    # where all branches of a column lepPt, lepEta, ... have the same length.
    collections: tuple[str, ...] = ()

    def collection(self, branch):
        """The collection whose objects a branch has numbers for; empty if none is declared."""
        return next((c for c in self.collections if branch.startswith(f"{c}_")), "")

    def tree(self, sample, kind):
        """Name of the tree that holds a sample of this kind."""
        return (self.data_tree if kind == "data" else self.simulation_tree).format(sample=sample)


def vectors(*names, optional=False):
    """Columns with one number per object that have the names of their branches."""
    return tuple(Column(name, vector=True, optional=optional) for name in names)


SUSY_WEIGHTS = (
    "genWeight",
    "eventWeight",
    "jvtWeight",
    "bTagWeight",
    "leptonWeight",
    "globalDiLepTrigSF",
    "pileupWeight",
)

SUSY = Schema(
    name="susy",
    columns=(
        *vectors("lepPt", "lepEta", "lepPhi", "lepM"),
        *vectors("lepFlavor", "lepCharge"),
        *vectors("lepD0Sig", "lepZ0SinTheta", optional=True),
        *vectors("lepPassOR", "lepLoose", "lepTight", "lepIsoLoose_VarRad", optional=True),
        *vectors("jetPt", "jetEta", "jetPhi", "jetM"),
        *vectors("jetJVT", optional=True),
        Column("jetBTag", "jetdl1r >= 2.195", vector=True),  # DL1r, 77 % working point
        *vectors("phoPt", "phoEta", "phoPhi", optional=True),
        Column("phoM", "0 * phoPt", vector=True, optional=True),
        Column("met_Et"),
        Column("met_Phi"),
        Column("met_Sign", optional=True),
        *(Column(name, optional=True) for name in SUSY_WEIGHTS),
        Column("DatasetNumber"),
        Column("RunNumber"),
        Column("RandomRunNumber", optional=True),
        Column("EventNumber"),
        Column("LumiBlock", optional=True),
    ),
    weights=SUSY_WEIGHTS,
    simulation_tree="{sample}_NoSys",
    data_tree="{sample}",
    sum_of_weights="meta:sumw",
)

OPENDATA2020_WEIGHTS = (
    "mcWeight",
    "scaleFactor_PILEUP",
    "scaleFactor_ELE",
    "scaleFactor_MUON",
    "scaleFactor_LepTRIGGER",
)

OPENDATA2020 = Schema(
    name="opendata2020",
    columns=(
        Column("lepPt", "lep_pt", MEV, vector=True),
        Column("lepEta", "lep_eta", vector=True),
        Column("lepPhi", "lep_phi", vector=True),
        Column("lepM", "massFromEnergy(lep_pt, lep_eta, lep_E)", MEV, vector=True),
        Column("lepFlavor", "ROOT::RVecI(1 + (lep_type == 13))", vector=True),
        Column("lepCharge", "lep_charge", vector=True),
        Column(
            "lepD0Sig",
            "lep_trackd0pvunbiased / lep_tracksigd0pvunbiased",
            vector=True,
            optional=True,
        ),
        Column("lepZ0SinTheta", "lep_z0 / cosh(lep_eta)", vector=True, optional=True),
        Column("lepTight", "lep_isTightID", vector=True, optional=True),
        Column(
            "lepIsoLoose_VarRad",
            "lep_ptcone30 / lep_pt < 0.15 && lep_etcone20 / lep_pt < 0.15",
            vector=True,
            optional=True,
        ),
        Column("jetPt", "jet_pt", MEV, vector=True),
        Column("jetEta", "jet_eta", vector=True),
        Column("jetPhi", "jet_phi", vector=True),
        Column("jetM", "massFromEnergy(jet_pt, jet_eta, jet_E)", MEV, vector=True),
        Column("jetJVT", "jet_jvt", vector=True, optional=True),
        Column("jetBTag", "jet_MV2c10 > 0.645925", vector=True),  # 77 % working point
        Column("phoPt", "photon_pt", MEV, vector=True, optional=True),
        Column("phoEta", "photon_eta", vector=True, optional=True),
        Column("phoPhi", "photon_phi", vector=True, optional=True),
        Column("phoM", "0 * photon_pt", vector=True, optional=True),
        Column("met_Et", "met_et", MEV),
        Column("met_Phi", "met_phi"),
        *(Column(name, optional=True) for name in OPENDATA2020_WEIGHTS),
        Column("DatasetNumber", "channelNumber"),
        Column("RunNumber", "runNumber"),
        Column("EventNumber", "eventNumber"),
    ),
    weights=OPENDATA2020_WEIGHTS,
    simulation_tree="mini",
    data_tree="mini",
    normalisation="double(XSection) / SumWeights",
)

OPENDATA2025_WEIGHTS = (
    "mcWeight",
    "ScaleFactor_PILEUP",
    "ScaleFactor_ELE",
    "ScaleFactor_MUON",
    "ScaleFactor_MLTRIGGER",
)

OPENDATA2025 = Schema(
    name="opendata2025",
    columns=(
        Column("lepPt", "lep_pt", vector=True),
        Column("lepEta", "lep_eta", vector=True),
        Column("lepPhi", "lep_phi", vector=True),
        Column("lepM", "massFromEnergy(lep_pt, lep_eta, lep_e)", vector=True),
        Column("lepFlavor", "ROOT::RVecI(1 + (lep_type == 13))", vector=True),
        Column("lepCharge", "lep_charge", vector=True),
        Column("lepD0Sig", "lep_d0sig", vector=True, optional=True),
        Column("lepZ0SinTheta", "lep_z0 / cosh(lep_eta)", vector=True, optional=True),
        Column("lepTight", "lep_isTightID", vector=True, optional=True),
        Column(
            "lepIsoLoose_VarRad",
            "lep_ptvarcone30 / lep_pt < 0.15 && lep_topoetcone20 / lep_pt < 0.15",
            vector=True,
            optional=True,
        ),
        Column("jetPt", "jet_pt", vector=True),
        Column("jetEta", "jet_eta", vector=True),
        Column("jetPhi", "jet_phi", vector=True),
        Column("jetM", "massFromEnergy(jet_pt, jet_eta, jet_e)", vector=True),
        Column("jetJVT", "jet_jvt", vector=True, optional=True),
        # Quantiles 1 to 5 are 100 to 85, 85 to 77, 77 to 70, 70 to 60 and below 60 %.
        Column("jetBTag", "jet_btag_quantile >= 3", vector=True),  # 77 % working point
        Column("phoPt", "photon_pt", vector=True, optional=True),
        Column("phoEta", "photon_eta", vector=True, optional=True),
        Column("phoPhi", "photon_phi", vector=True, optional=True),
        Column("phoM", "0 * photon_pt", vector=True, optional=True),
        Column("met_Et", "met"),
        Column("met_Phi", "met_phi"),
        *(Column(name, optional=True) for name in OPENDATA2025_WEIGHTS),
        Column("DatasetNumber", "channelNumber"),
        Column("RunNumber", "runNumber"),
        Column("EventNumber", "eventNumber"),
    ),
    weights=OPENDATA2025_WEIGHTS,
    simulation_tree="analysis",
    data_tree="analysis",
    normalisation="double(xsec) * kfac * filteff / sum_of_weights",
)

# Electrons and muons become one list, in which the order does not matter. What stands in for what
# is explained in docs/ntuples.md.
NANOAOD_WEIGHTS = ("genWeight", "L1PreFiringWeight_Nom")


def both(electrons, muons=None):
    """Numbers of the electrons, then those of the muons: two expressions, or two branches."""
    if muons is None:
        electrons, muons = f"Electron_{electrons}", f"Muon_{electrons}"
    return f"Concatenate({electrons}, {muons})"


# A lepton is a jet, too, unless it is left out here.
NANOAOD_JETS = (
    "Jet_jetId >= 2"
    " && !Take(Electron_cutBased >= 2, m3l::Indices(Jet_electronIdx1), 0)"
    " && !Take(Muon_looseId && Muon_pfRelIso04_all < 0.25f, m3l::Indices(Jet_muonIdx1), 0)"
)
NANOAOD_PHOTONS = "Photon_cutBased >= 1 && Photon_electronVeto"

NANOAOD = Schema(
    name="nanoaod",
    columns=(
        Column("lepPt", both("pt"), vector=True),
        Column("lepEta", both("eta"), vector=True),
        Column("lepPhi", both("phi"), vector=True),
        Column("lepM", both("mass"), vector=True),
        Column("lepFlavor", both("1 + 0 * Electron_charge", "2 + 0 * Muon_charge"), vector=True),
        Column("lepCharge", both("charge"), vector=True),
        Column(
            "lepD0Sig",
            both("Electron_dxy / Electron_dxyErr", "Muon_dxy / Muon_dxyErr"),
            vector=True,
            optional=True,
        ),
        Column(  # mm, of cm
            "lepZ0SinTheta",
            both("10.f * Electron_dz / cosh(Electron_eta)", "10.f * Muon_dz / cosh(Muon_eta)"),
            vector=True,
            optional=True,
        ),
        Column(
            "lepLoose", both("Electron_cutBased >= 2", "Muon_looseId"), vector=True, optional=True
        ),
        Column(
            "lepTight", both("Electron_cutBased >= 4", "Muon_tightId"), vector=True, optional=True
        ),
        Column(
            "lepIsoLoose_VarRad",
            both("Electron_pfRelIso03_all < 0.25f", "Muon_pfRelIso04_all < 0.25f"),
            vector=True,
            optional=True,
        ),
        Column("jetPt", f"Jet_pt[{NANOAOD_JETS}]", vector=True),
        Column("jetEta", f"Jet_eta[{NANOAOD_JETS}]", vector=True),
        Column("jetPhi", f"Jet_phi[{NANOAOD_JETS}]", vector=True),
        Column("jetM", f"Jet_mass[{NANOAOD_JETS}]", vector=True),
        # The bits of 2016 are in another order than those of other years, but any is "loose".
        Column(
            "jetJVT", f"(Jet_puId > 0 || Jet_pt > 50)[{NANOAOD_JETS}]", vector=True, optional=True
        ),
        # The medium working point of DeepJet, 2016 after the change of the tracker's settings.
        Column("jetBTag", f"Jet_btagDeepFlavB[{NANOAOD_JETS}] > 0.2489f", vector=True),
        Column("phoPt", f"Photon_pt[{NANOAOD_PHOTONS}]", vector=True, optional=True),
        Column("phoEta", f"Photon_eta[{NANOAOD_PHOTONS}]", vector=True, optional=True),
        Column("phoPhi", f"Photon_phi[{NANOAOD_PHOTONS}]", vector=True, optional=True),
        Column("phoM", f"0 * Photon_pt[{NANOAOD_PHOTONS}]", vector=True, optional=True),
        Column("met_Et", "MET_pt"),
        Column("met_Phi", "MET_phi"),
        Column("met_Sign", "sqrt(MET_significance)", optional=True),
        *(Column(name, optional=True) for name in NANOAOD_WEIGHTS),
        Column("DatasetNumber", "0"),  # it has none
        Column("RunNumber", "run"),
        Column("EventNumber", "event"),
        Column("LumiBlock", "luminosityBlock", optional=True),
    ),
    weights=NANOAOD_WEIGHTS,
    simulation_tree="Events",
    data_tree="Events",
    sum_of_weights="Runs:genEventSumw",
    collections=("Electron", "Muon", "Jet", "Photon"),
)

SCHEMAS = {schema.name: schema for schema in (SUSY, OPENDATA2020, OPENDATA2025, NANOAOD)}
