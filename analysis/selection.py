"""Objects, cuts and regions: the selection, a line each.

Expressions are RDataFrame strings over the columns of `schemas.py` and over each other; the order
of the lines does not matter. Flavour 1 is an electron, 2 a muon. Energies are in GeV.
"""

from dataclasses import dataclass

from analysis import good_runs, triggers


@dataclass(frozen=True)
class Object:
    """A kind of object: which entries of the event's arrays pass all cuts.

    It becomes a column with a flag per entry. A cut that needs a column which an input format does
    not carry is left out for that format.
    """

    name: str
    of: str  # the arrays it selects from: lep, jet or pho
    cuts: tuple[str, ...]


@dataclass(frozen=True)
class Variable:
    """A column that several cuts or features use."""

    name: str
    expression: str


@dataclass(frozen=True)
class Cut:
    """A row of the cutflow: a sentence and the condition that events must fulfil."""

    name: str
    expression: str


@dataclass(frozen=True)
class Region:
    """A set of events: those that pass all cuts in order."""

    name: str
    cuts: tuple[Cut, ...]
    tag: str  # part of the names of its tables
    blind: bool = False  # data is not looked at without --unblind
    role: str = "signal"  # or control, validation: what the statistics use it for


OBJECTS = (
    Object(
        "ele_BL",
        "lep",
        ("lepFlavor == 1", "lepPassOR", "abs(lepEta) <= 2.47", "abs(lepZ0SinTheta) <= 0.5"),
    ),
    Object(
        "muo_BL",
        "lep",
        (
            "lepFlavor == 2",
            "lepPassOR",
            "lepLoose",
            "abs(lepEta) <= 2.7",
            "abs(lepZ0SinTheta) <= 0.5",
        ),
    ),
    Object("ele_SG", "lep", ("ele_BL", "lepIsoLoose_VarRad", "lepTight", "abs(lepD0Sig) <= 5")),
    Object("muo_SG", "lep", ("muo_BL", "lepIsoLoose_VarRad", "abs(lepD0Sig) <= 3")),
    Object("lep_BL", "lep", ("ele_BL || muo_BL",)),
    Object("lep_SG", "lep", ("ele_SG || muo_SG",)),
    Object(
        "jet_SG",
        "jet",
        (
            "jetPt >= 20",
            "abs(jetEta) <= 2.8",
            "jetPt >= 60 || abs(jetEta) >= 2.4 || jetJVT > 0.59",
        ),
    ),
    Object("bjet_SG", "jet", ("jet_SG", "jetBTag")),
    Object("ljet_SG", "jet", ("jet_SG", "!jetBTag")),
    Object("pho_SG", "pho", ("phoPt >= 25", "abs(phoEta) <= 2.37")),
)

VARIABLES = (
    Variable("n_lep_BL", "Sum(lep_BL)"),
    Variable("n_lep_SG", "Sum(lep_SG)"),
    # Positions of the selected objects in the event's arrays, highest pT first.
    Variable("leptons", "indicesByPt(lepPt, lep_SG)"),
    Variable("jets", "indicesByPt(jetPt, jet_SG)"),
    Variable("photons", "indicesByPt(phoPt, pho_SG)"),
    Variable("momenta", "fourMomenta(lepPt, lepEta, lepPhi, lepM, leptons)"),
    Variable("sfos", "sfosClosestToZ(momenta, lepFlavor, lepCharge, leptons)"),
    Variable("pairs", "leptonPairs(momenta, lepFlavor, lepCharge, leptons)"),
    # The three leading signal leptons: as one object, and one by one with the missing momentum.
    Variable("three", "leptonSystem(momenta, 3)"),
    Variable(
        "transverse",
        "leptonTransverseMasses(lepPt, lepPhi, lepM, leptons, sfos, met_Et, met_Phi, 3)",
    ),
)

THREE_LEPTONS = (
    Cut("3 baseline", "n_lep_BL == 3"),
    Cut("3 signal", "n_lep_SG == 3"),
    Cut("2 with pT > 20", "Sum(lepPt[lep_SG] > 20) >= 2"),
)

# The first cut of every region where the samples file has a good-run list.
GOOD_RUNS = Cut("good runs", good_runs.COLUMN)

# At least one trigger of the menu of the event's data-taking period (triggers.py).
TRIGGER = Cut("trigger", f"{triggers.NUMBER} > 0")

ON_Z = Cut("on the Z peak", "n_ossf > 0 && m_ossf_z < 15")
OFF_Z = Cut("off the Z peak", "n_ossf == 0 || m_ossf_z >= 15")
NO_B = Cut("no b-jet", "n_bjet == 0")
WITH_B = Cut("b-jet", "n_bjet > 0")
BETWEEN = Cut("25 <= ETmiss <= 40", "met_Et >= 25 && met_Et <= 40")
# What a signal of high mass would leave is not in these regions.
LOW_LT = Cut("LT + ETmiss < 300", "lt_met < 300")

ON_Z_NO_B = (*THREE_LEPTONS, ON_Z, NO_B, LOW_LT)
LOW_MT = Cut("mT(other) < 30", "m_T_unpaired < 30")
HIGH_MT = Cut("mT(other) >= 30", "m_T_unpaired >= 30")

# In each one background rules: its normalisation is taken from the data.
CONTROL = (
    Region("CR_WZ", (*ON_Z_NO_B, Cut("ETmiss > 40", "met_Et > 40")), "CR_WZ", role="control"),
    Region("CR_ttbar", (*THREE_LEPTONS, OFF_Z, WITH_B, LOW_LT), "CR_ttbar", role="control"),
    Region(
        "CR_fake",
        (*ON_Z_NO_B, Cut("ETmiss < 25", "met_Et < 25"), LOW_MT),
        "CR_fake",
        role="control",
    ),
)

# Beside them: do the normalised backgrounds describe the data?
VALIDATION = (
    Region("VR_WZ", (*ON_Z_NO_B, BETWEEN, HIGH_MT), "VR_WZ", role="validation"),
    Region("VR_ttbar", (*THREE_LEPTONS, ON_Z, WITH_B, LOW_LT), "VR_ttbar", role="validation"),
    Region("VR_fake", (*ON_Z_NO_B, BETWEEN, LOW_MT), "VR_fake", role="validation"),
)


def outside(regions):
    """The Cut that leaves the events of other regions out, all of which have THREE_LEPTONS."""
    inside = (
        " && ".join(f"({cut.expression})" for cut in region.cuts if cut not in THREE_LEPTONS)
        for region in regions
    )
    return Cut("in no CR or VR", " && ".join(f"!({condition})" for condition in inside))


REGIONS = (
    Region("SR3L", THREE_LEPTONS, tag="3lep"),
    Region(
        "SR2L",
        (
            Cut("at least 2 baseline", "n_lep_BL >= 2"),
            Cut("at least 2 signal", "n_lep_SG >= 2"),
            Cut("2 with pT > 25", "Sum(lepPt[lep_SG] > 25) >= 2"),
            Cut("m(2 leading) > 70", "leptonMass(momenta, 2) > 70"),
        ),
        tag="2lep",
    ),
    Region("SR3L_trigger", (*THREE_LEPTONS, TRIGGER), tag="3lep_trigger"),
    *CONTROL,
    *VALIDATION,
    Region(
        "SR_search",
        (*THREE_LEPTONS, outside((*CONTROL, *VALIDATION))),
        tag="SR_search",
        blind=True,
    ),
)

DEFAULT_REGION = "SR3L"
