"""Triggers: the menu of each data-taking period, a line for each trigger.

A trigger selects an event if it has fired and each of its legs is matched by a signal lepton of its
own above the threshold of that leg. MENUS says which menus an input format has; the number of
triggers that select an event is the column `n_trigger`, see docs/definitions.md.
"""

from dataclasses import dataclass

LEPTONS = "lep_SG"  # that may match a leg
NUMBER = "n_trigger"  # column: how many triggers select an event
ELECTRON, MUON = 1, 2
FLAVOURS = {ELECTRON: "e", MUON: "mu"}


@dataclass(frozen=True)
class Leg:
    """A lepton that a trigger asks for."""

    flavour: int
    pt: float  # the least pT in GeV of the lepton that matches it, above what is asked online
    match: str  # a branch, or an expression of columns: for each lepton whether it is matched

    def __str__(self):
        return f"{FLAVOURS[self.flavour]} {self.pt:g}"

    @property
    def candidates(self):
        """C++ for whether each lepton may match it, but for its pT."""
        return f"{LEPTONS} && lepFlavor == {self.flavour} && ({self.match})"


@dataclass(frozen=True)
class Trigger:
    """A trigger of a menu."""

    name: str  # part of the name of a column
    fired: str  # the branch with its decision
    legs: tuple[Leg, ...]

    def __str__(self):
        return f"{self.name} ({', '.join(map(str, self.legs))})"

    @property
    def expression(self):
        """C++ for whether it selects an event, in whatever period."""
        legs = ", ".join(f"ROOT::RVecI({leg.candidates})" for leg in self.legs)
        thresholds = ", ".join(repr(float(leg.pt)) for leg in self.legs)
        return f"{self.fired} && triggerMatched(lepPt, {{{legs}}}, {{{thresholds}}})"


@dataclass(frozen=True)
class Menu:
    """The triggers of a data-taking period."""

    name: str  # of the period; part of the names of columns
    first: int  # run of the period
    last: int
    triggers: tuple[Trigger, ...]
    simulated: tuple[int, ...] = ()  # RunNumber of simulation for it without RandomRunNumber

    def __str__(self):
        simulated = ", ".join(map(str, self.simulated))
        runs = f"runs {self.first} to {self.last}" + f", simulation {simulated}" * bool(simulated)
        return f"{runs}: {' or '.join(map(str, self.triggers))}"

    def column(self, trigger):
        """Name of the column with whether a trigger of this menu selects an event."""
        return f"trigger_{self.name}_{trigger.name}"

    def condition(self, run):
        """C++ for whether an event belongs to the period.

        run: the column with its run in data; empty for simulation that only has campaigns
        """
        if run:
            return f"{run} >= {self.first} && {run} <= {self.last}"
        return " || ".join(f"RunNumber == {number}" for number in self.simulated) or "false"

    def expression(self, trigger, run):
        """C++ for whether a trigger selects an event; run: as in `condition`."""
        return f"({self.condition(run)}) && {trigger.expression}"


def atlas(chain, *legs):
    """A trigger of the ntuples of the thesis; legs: (flavour, pT in GeV)."""
    match = f"lepHLT_{chain}"
    return Trigger(chain, f"trigMatch_HLT_{chain}", tuple(Leg(*leg, match) for leg in legs))


def dielectron(chain, pt):
    """Two electrons above one threshold."""
    return atlas(chain, (ELECTRON, pt), (ELECTRON, pt))


E17_MU14 = atlas("e17_lhloose_nod0_mu14", (ELECTRON, 18), (MUON, 15))
MU22_MU8 = atlas("mu22_mu8noL1", (MUON, 23), (MUON, 9))
LATER = (
    dielectron("2e17_lhvloose_nod0_L12EM15VHI", 18),
    dielectron("2e24_lhvloose_nod0", 25),
    MU22_MU8,
    E17_MU14,
)

MC16A = (284500,)  # simulation of both years, 2015 and 2016

# Two leptons, in the ntuples of the thesis: 1 GeV above the thresholds online.
RUN2 = (
    Menu(
        "2015",
        276262,
        284484,
        (
            dielectron("2e12_lhloose_L12EM10VH", 13),
            atlas("mu18_mu8noL1", (MUON, 19), (MUON, 9)),
            atlas("e17_lhloose_mu14", (ELECTRON, 18), (MUON, 15)),
        ),
        MC16A,
    ),
    Menu(
        "2016",
        297730,
        311481,
        (dielectron("2e17_lhvloose_nod0", 18), MU22_MU8, E17_MU14),
        MC16A,
    ),
    Menu("2017", 325713, 340453, LATER, simulated=(300000,)),
    Menu("2018", 348885, 364292, LATER, simulated=(310000,)),
)


def open_data(match):
    """One lepton, as ATLAS Open Data has it; match: the branch that says which."""
    return (
        Trigger("electron", "trigE", (Leg(ELECTRON, 27, match),)),
        Trigger("muon", "trigM", (Leg(MUON, 27, match),)),
    )


def near(kind, bit):
    """For each lepton whether a trigger object of NanoAOD is at most 0.1 away from it.

    kind: 11 or 13; bit: of its filters
    """
    objects = f"abs(TrigObj_id) == {kind} && (TrigObj_filterBits & {bit}) != 0"
    return f"matchedTo(lepEta, lepPhi, TrigObj_eta, TrigObj_phi, {objects}, 0.1)"


def cms(chain, *legs):
    """A trigger of NanoAOD; legs: (flavour, pT in GeV, bit of the filters)."""
    kinds = {ELECTRON: 11, MUON: 13}
    made = tuple(Leg(flavour, pt, near(kinds[flavour], bit)) for flavour, pt, bit in legs)
    return Trigger(chain, f"HLT_{chain}", made)


TRACK_ID, ISOLATED = 1, 1  # bits of the legs of triggers with two leptons
TIGHT, ISOLATED_ALONE = 2, 2  # of triggers with one

MENUS = {
    "susy": RUN2,
    "opendata2020": (Menu("2016", 297730, 311481, open_data("lep_trigMatched"), MC16A),),
    "opendata2025": (Menu("2015and2016", 276262, 311481, open_data("lep_isTrigMatched"), MC16A),),
    "nanoaod": (
        Menu(
            "2016",
            272007,
            284044,
            (
                cms("Ele27_WPTight_Gsf", (ELECTRON, 29, TIGHT)),
                cms("IsoMu24", (MUON, 26, ISOLATED_ALONE)),
                cms(
                    "Ele23_Ele12_CaloIdL_TrackIdL_IsoVL_DZ",
                    (ELECTRON, 25, TRACK_ID),
                    (ELECTRON, 15, TRACK_ID),
                ),
                cms("Mu17_TrkIsoVVL_Mu8_TrkIsoVVL_DZ", (MUON, 20, ISOLATED), (MUON, 10, ISOLATED)),
            ),
            simulated=(1,),
        ),
    ),
}
