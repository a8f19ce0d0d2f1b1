"""Runs for tests of statistics: few features, regions of every role, and known numbers."""

import numpy as np
from plot_inputs import SCALARS, Shift, write_run

from analysis.systematics import Systematic

REGIONS = ("SR3L", "CR_WZ", "VR_WZ")
SAMPLES = (  # name, process, kind, events, scale of the momenta in GeV, weight per event
    ("WZ", "diboson3L", "background", 900, 40.0, 0.5),
    ("ZZ", "diboson4L", "background", 300, 45.0, 0.2),
    ("ttbar", "ttbar", "background", 300, 60.0, 0.1),
    ("HNL450", "HNL450", "signal", 300, 180.0, 0.05),
    ("HNL150", "HNL150", "signal", 200, 90.0, 0.1),
    ("data", "data", "data", 560, 42.0, 1.0),
)
SIZES = (
    Systematic("lumi", "Luminosity", size=0.02),
    Systematic("ZZ_xsec", "ZZ", size=0.06, processes=("diboson4L",)),
    Systematic("WZ_xsec", "WZ", size=0.05, processes=("diboson3L",)),
    Systematic("ttbar_xsec", "tt", size=0.06, processes=("ttbar",)),
    Systematic("fakes", "Fakes", size=0.25, processes=("Zeejets", "Zmmjets", "Zttjets")),
)


def heavier(table, sign):
    """More weight where mass is large, 10 % at 100 GeV."""
    return table.assign(wgt_SG=table["wgt_SG"] * (1 + sign * table["m_3l"] / 1000))


def larger(table, sign):
    """Masses 5 % larger."""
    return table.assign(m_3l=(table["m_3l"] * (1 + 0.05 * sign)).astype("f4"))


SHIFTS = (Shift("tilt", heavier), Shift("scale", larger, "object"))


def apart(region, sample, table):
    """Regions of different events, of which fewer are in control than in signal regions."""
    parts = {"SR3L": (0, 3), "SR_search": (0, 3), "CR_WZ": (3, 5), "VR_WZ": (5, 6)}
    low, high = parts.get(region, (0, 6))
    place = np.arange(len(table)) % 6
    return table[(place >= low) & (place < high)].reset_index(drop=True)


def write_stats(folder, samples=SAMPLES, regions=REGIONS, edit=apart, shifts=SHIFTS, **more):
    """Write an output folder with variations."""
    more = {"sizes": SIZES, "declared": SCALARS} | more
    return write_run(folder, samples, regions, edit=edit, shifts=shifts, **more)
