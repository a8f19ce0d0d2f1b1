"""Systematic uncertainties, one line each: what may be wrong with the simulation, and by how much.

None is computed unless asked for (`run_rdf.py --vary`). Those declared here are an illustration for
the demo: their sizes are typical, but nobody has measured them for it.
"""

from dataclasses import dataclass, field

from analysis.records import WEIGHT


@dataclass(frozen=True)
class Variation:
    """One direction of a systematic uncertainty: columns, and what they become."""

    name: str  # part of the names of its histograms and tables
    systematic: str
    columns: dict[str, str]  # expressions of columns as they are without it


@dataclass(frozen=True)
class Systematic:
    """An uncertainty: columns that are shifted up and down, or the yield of processes alone."""

    name: str
    label: str  # LaTeX
    up: dict[str, str] = field(default_factory=dict)  # column: expression
    down: dict[str, str] = field(default_factory=dict)  # none: the mirror image of `up`
    size: float = 0.0  # instead of columns: relative uncertainty of the yield
    processes: tuple[str, ...] = ()  # only of these; none: of all that are simulated

    @property
    def variations(self):
        """The Variations that an event loop makes."""
        directions = (("up", self.up), ("down", self.down))
        return tuple(Variation(f"{self.name}_{d}", self.name, c) for d, c in directions if c)

    def concerns(self, process, kind):
        """Whether samples of a process, of a kind, have it."""
        return kind != "data" and (not self.processes or process in self.processes)


def weighted(factor):
    """The columns of an event whose weight is multiplied by a factor, an expression."""
    return {WEIGHT: f"{WEIGHT} * ({factor})"}


def rescaled(of, factor):
    """The columns of an event in which energies are multiplied, and E_T^miss balances it.

    of: the arrays: lep, jet or pho
    factor: an expression, one number or one for each object
    """
    met = f"balancedMet(met_Et, met_Phi, {of}Pt, {of}Phi, {factor})"
    return {
        f"{of}Pt": f"{of}Pt * ({factor})",
        f"{of}M": f"{of}M * ({factor})",
        "met_Et": f"{met}.et",
        "met_Phi": f"{met}.phi",
    }


def smeared(of, width):
    """As `rescaled`, by factors that are Gaussian around 1 and always the same for an event.

    width: relative, an expression
    """
    return rescaled(of, f"smearing({of}Pt, {width}, RunNumber, EventNumber)")


FAKES = ("Zeejets", "Zmmjets", "Zttjets")

SYSTEMATICS = (
    Systematic("lumi", "Luminosity", size=0.0083),
    Systematic("WZ_xsec", r"$WZ$ cross-section", size=0.05, processes=("diboson3L",)),
    Systematic("ZZ_xsec", r"$ZZ$ cross-section", size=0.06, processes=("diboson4L",)),
    Systematic("ttbar_xsec", r"$t\bar{t}$ cross-section", size=0.06, processes=("ttbar",)),
    Systematic("fakes", "Fake leptons", size=0.25, processes=FAKES),
    Systematic(
        "lepton_id",
        "Lepton identification",
        weighted("1 + 0.01 * n_lep_SG"),
        weighted("1 - 0.01 * n_lep_SG"),
    ),
    Systematic(
        "b_tag",
        "$b$-tagging",
        weighted("1 + 0.03 * n_bjet"),
        weighted("1 - 0.03 * n_bjet"),
    ),
    Systematic(
        "electron_scale",
        "Electron energy scale",
        rescaled("lep", "1 + 0.005f * (lepFlavor == 1)"),
        rescaled("lep", "1 - 0.005f * (lepFlavor == 1)"),
    ),
    Systematic(
        "muon_scale",
        "Muon momentum scale",
        rescaled("lep", "1 + 0.003f * (lepFlavor == 2)"),
        rescaled("lep", "1 - 0.003f * (lepFlavor == 2)"),
    ),
    Systematic("jet_scale", "Jet energy scale", rescaled("jet", "1.03f"), rescaled("jet", "0.97f")),
    Systematic("jet_resolution", "Jet energy resolution", smeared("jet", "0.1f")),
)
