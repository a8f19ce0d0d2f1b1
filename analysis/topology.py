"""The topologies of three-lepton events, by what is discrete: an analyst splits by them first.

Most background has an opposite-sign same-flavour (OSSF) pair at the Z mass, and little of it has no
such pair at all. Events with b-jets are apart, since another background, top quarks, rules there.
"""

import numpy as np

FEATURES = ("n_ossf", "m_ossf_z", "n_bjet")
Z_WINDOW = 15.0  # GeV, to both sides
GROUPS = ("no_ossf", "off_z", "on_z")  # without regard to b-jets
TOPOLOGIES = tuple(f"{group}{b}" for group in GROUPS for b in ("", "_b"))


def group_of(x):
    """(events,) place in GROUPS, of (events, FEATURES)."""
    return np.where(x[:, 0] == 0, 0, np.where(x[:, 1] < Z_WINDOW, 2, 1))


def topology_of(x):
    """(events,) place in TOPOLOGIES, of (events, FEATURES)."""
    return 2 * group_of(x) + (x[:, 2] > 0)
