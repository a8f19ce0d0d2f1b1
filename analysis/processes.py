"""Processes: the channels that samples are stacked in, with legend label and colour.

Fills of backgrounds are those of M. Petroff, arXiv:2107.02270, and others that differ from them;
lines of signals differ from all fills and from each other. For normal eyes and for eyes without one
kind of cones (G. Machado et al., IEEE Trans. Vis. Comput. Graph. 15 (2009) 1291), by CIEDE2000:
fills of declared processes are at least 8 apart, spare ones at least 9.5 from all fills, signals at
least 12.5 from each other and 7.5 from all fills.
"""

from dataclasses import dataclass, replace


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
    Process("triboson", r"$VVV$", "#ccee88", "background"),
    Process("higgs", "Higgs", "#717581", "background"),
    Process("HNL150", r"$N$(150 GeV)", "#009977", "signal"),
    Process("HNL450", r"$N$(450 GeV)", "#ff33ee", "signal"),
    Process("WR1500_N600", r"$W_R$(1500), $N$(600)", "#4411ff", "signal"),
)

# Colours of processes that are not declared above, taken in turn; signals take first what no
# declared one of the run has.
SPARE_FILLS = (
    "#ddaaff",
    "#006655",
    "#eeddbb",
    "#771166",
    "#aa99bb",
    "#880000",
    "#aa3355",
    "#444433",
)
SPARE_LINES = ("#550000", "#779944", "#0000aa", "#884477", "#552244")


def process(name, kind):
    """Return the declared process of this name, or one made up for a name that is not declared.

    The colour of an undeclared process is that of the first one; see `coloured` for several.
    """
    for declared in PROCESSES:
        if declared.name == name:
            return declared
    return coloured([Process(name, name.replace("_", " "), "", kind)])[0]


def coloured(processes):
    """Processes with colours that differ, whatever they had: the declared ones, or spare ones.

    Up to eight undeclared backgrounds, and eight signals in all, have colours of their own.
    """
    processes = tuple(processes)
    declared = {process.name: process.colour for process in PROCESSES}
    names = {process.name for process in processes}
    lines = [p.colour for p in PROCESSES if p.kind == "signal" and p.name not in names]
    spare = {"background": SPARE_FILLS, "signal": (*SPARE_LINES, *lines), "data": ("#000000",)}
    made, taken = [], dict.fromkeys(spare, 0)
    for one in processes:
        colour = declared.get(one.name)
        if colour is None:
            colour = spare[one.kind][taken[one.kind] % len(spare[one.kind])]
            taken[one.kind] += 1
        made.append(replace(one, colour=colour))
    return tuple(made)
