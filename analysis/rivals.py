"""The simplest cuts that a search could make instead of a detector: beside every result."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from analysis.topology import Z_WINDOW

Z_MASS = 91.1876  # GeV
VETOED = -1.0  # value of a vetoed event, below that of every other


@dataclass(frozen=True)
class Rival:
    """A number that is larger for signals, from columns of the table in GeV."""

    name: str
    label: str  # LaTeX
    needs: tuple[str, ...]  # columns
    value: Callable  # {column: (events,)} -> (events,)

    def __call__(self, columns):
        """(events,) float64 values, VETOED where the event fails a veto.

        columns: {name: (events,)} with at least those that it needs, in GeV
        """
        return self.value({name: np.asarray(columns[name], float) for name in self.needs})


def _lt_met(c):
    return c["ht_lep"] + c["e_T_miss"]


def _z_veto(c):
    # m_sfos is 0 without a pair of opposite sign and same flavour.
    return np.where(np.abs(c["m_sfos"] - Z_MASS) < Z_WINDOW, VETOED, _lt_met(c))


def _no_ossf(c):
    return np.where((c["m_sfos"] > 0) | (c["n_bjet"] > 0), VETOED, _lt_met(c))


RIVALS = (
    Rival("met", r"$E_T^{\mathrm{miss}}$", ("e_T_miss",), lambda c: c["e_T_miss"]),
    Rival("lt_met", r"$L_T + E_T^{\mathrm{miss}}$", ("ht_lep", "e_T_miss"), _lt_met),
    Rival(
        "m_eff",
        r"$m_{\mathrm{eff}}$",
        ("ht_lep", "ht_jet", "e_T_miss"),
        lambda c: _lt_met(c) + c["ht_jet"],
    ),
    Rival(
        "z_veto",
        r"$Z$ veto, $L_T + E_T^{\mathrm{miss}}$",
        ("m_sfos", "ht_lep", "e_T_miss"),
        _z_veto,
    ),
    Rival(
        "no_ossf",
        r"no OSSF, no $b$, $L_T + E_T^{\mathrm{miss}}$",
        ("m_sfos", "n_bjet", "ht_lep", "e_T_miss"),
        _no_ossf,
    ),
)


def possible_rivals(columns):
    """The RIVALS whose columns are all among these names."""
    return tuple(rival for rival in RIVALS if set(rival.needs) <= set(columns))
