"""Processes: the channels that samples are stacked in, with legend label and colour.

The colours are those of M. Petroff, arXiv:2107.02270, chosen to be told apart with colour-blind
eyes, and for signals those of Okabe and Ito.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Process:
    """A channel of the stack."""

    name: str
    label: str  # for legends, LaTeX allowed
    colour: str
    kind: str  # data, background or signal


PROCESSES = (
    Process("data", "Data", "#000000", "data"),
    Process("diboson3L", r"$WZ$", "#3f90da", "background"),
    Process("diboson4L", r"$ZZ$", "#92dadd", "background"),
    Process("diboson2L", r"$WW$", "#b9ac70", "background"),
    Process("Zeejets", r"$Z(ee)$+jets", "#ffa90e", "background"),
    Process("Zmmjets", r"$Z(\mu\mu)$+jets", "#e76300", "background"),
    Process("Zttjets", r"$Z(\tau\tau)$+jets", "#a96b59", "background"),
    Process("Wjets", r"$W$+jets", "#94a4a2", "background"),
    Process("ttbar", r"$t\bar{t}$", "#bd1f01", "background"),
    Process("singletop", "Single top", "#832db6", "background"),
    Process("topOther", r"$t\bar{t}X$", "#c849a9", "background"),
    Process("triboson", r"$VVV$", "#578dff", "background"),
    Process("higgs", "Higgs", "#717581", "background"),
    Process("HNL150", r"$N$(150 GeV)", "#009e73", "signal"),
    Process("HNL450", r"$N$(450 GeV)", "#d55e00", "signal"),
    Process("WR1500_N600", r"$W_R$(1500), $N$(600)", "#cc79a7", "signal"),
)

# Colours of processes that are not declared above, taken in turn.
SPARE_COLOURS = ("#86c8dd", "#adad7d", "#656364", "#1845fb", "#ff5e02", "#c91f16")


def process(name, kind, order=0):
    """Return the declared process of this name, or one made up for a name that is not declared.

    order: number that picks the colour of an undeclared process
    """
    for declared in PROCESSES:
        if declared.name == name:
            return declared
    return Process(name, name.replace("_", " "), SPARE_COLOURS[order % len(SPARE_COLOURS)], kind)
