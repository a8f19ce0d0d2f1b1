"""Folders like those of run_rdf.py, simulated with numpy: no ROOT, a second for 20 000 events."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

TYPES = (("jet", 4), ("ele", 5), ("muo", 5))
SAMPLES = (  # name, process, kind, events, scale of the momenta in GeV, weight per event
    ("WZ", "diboson3L", "background", 3000, 40.0, 0.5),
    ("ttbar", "top", "background", 2000, 60.0, 0.2),
    ("N_500", "neutrino", "signal", 600, 180.0, 0.01),
    ("data", "data", "data", 500, 40.0, 1.0),
    ("empty", "diboson3L", "background", 0, 40.0, 1.0),
)
TABLE = "hdf5/{}_3lep_df_forML_bkg_signal_fromRDF.hdf5"


def objects() -> list[tuple[str, int]]:
    """(type, rank) of the objects in the order of the matrix, which starts with met."""
    return [(name, rank) for name, most in TYPES for rank in range(most)]


def cell_name(row: int, column: int) -> str:
    """Name of a matrix cell, as the C++ side reports it."""
    labels = ["met", *(f"{name}_{rank}" for name, rank in objects())]
    if row == column:
        if row == 0:
            return "e_T_miss"
        rank = objects()[row - 1][1]
        return f"e_T_{labels[row]}" if rank == 0 else f"delta_e_t_{labels[row]}"
    if row == 0:
        return f"m_T_{labels[column]}"
    if column == 0:
        return f"h_L_{labels[row]}"
    return f"{'m' if row < column else 'h'}_{labels[row]}_{labels[column]}"


def simulate(events: int, scale: float, weight: float, seed: int) -> pd.DataFrame:
    """A table of ``events`` rows with momenta of about ``scale`` GeV."""
    random = np.random.default_rng(seed)
    electrons = random.integers(0, 4, events)
    counts = np.stack([random.poisson(1.5, events), electrons, 3 - electrons], axis=1)
    kind = np.repeat(range(len(TYPES)), [most for _, most in TYPES])
    rank = np.concatenate([range(most) for _, most in TYPES])
    present = counts[:, kind] > rank
    size = (events, len(kind))
    pt = 20.0 + scale * random.exponential(1.0, size) / (1.0 + rank)
    y, phi = random.normal(0.0, 1.2, size), random.uniform(-np.pi, np.pi, size)
    mass = np.where(kind == 0, 0.15 * pt, 0.05)
    et = np.hypot(mass, pt)
    met, met_phi = scale * random.gamma(1.5, 1.0, events), random.uniform(-np.pi, np.pi, events)

    n = len(kind) + 1
    rmm = np.zeros((events, n, n), np.float32)
    rmm[:, 0, 0] = met
    balance = et * met[:, None] - pt * met[:, None] * np.cos(phi - met_phi[:, None])
    rmm[:, 0, 1:] = np.sqrt(np.maximum(mass**2 + 2 * balance, 0)) * present
    rmm[:, 1:, 0] = 0.15 * (np.cosh(y) - 1) * present
    for i in range(1, n):
        a = i - 1
        if rank[a] == 0:
            rmm[:, i, i] = et[:, a] * present[:, a]
        else:
            before = et[:, a - 1]
            rmm[:, i, i] = (before - et[:, a]) / (before + et[:, a]) * present[:, a]
        for j in range(i + 1, n):
            b = j - 1
            both = present[:, a] & present[:, b]
            dy, dphi = y[:, a] - y[:, b], phi[:, a] - phi[:, b]
            square = mass[:, a] ** 2 + mass[:, b] ** 2
            square += 2 * (et[:, a] * et[:, b] * np.cosh(dy) - pt[:, a] * pt[:, b] * np.cos(dphi))
            rmm[:, i, j] = np.sqrt(np.maximum(square, 0)) * both
            rmm[:, j, i] = 0.15 * (np.cosh(dy / 2) - 1) * both
    columns = {cell_name(i, j): rmm[:, i, j] for i in range(n) for j in range(n)}
    columns["m_3l"] = (3 * scale * random.gamma(4.0, 0.4, events)).astype("f4")
    sign = np.where(random.random(events) < 0.1, -1.0, 1.0)
    columns["wgt_SG"] = np.ones(events) if weight == 1.0 else weight * sign
    columns["flcomp"] = electrons.astype("i4")
    for number, (name, _) in enumerate(TYPES):
        columns[f"n_{name}"] = counts[:, number].astype("i4")
    columns["DatasetNumber"] = np.full(events, 363000 + seed, "i8")
    columns["RunNumber"] = np.full(events, 284500, "i8")
    columns["EventNumber"] = np.sort(random.choice(10 * events + 1, events, replace=False))
    return pd.DataFrame(columns)


def write_output(folder: Path, samples=SAMPLES, edit=None) -> Path:
    """Write an output folder; ``edit(name, table)`` may change the table of a sample first."""
    (folder / "hdf5").mkdir(parents=True)
    for number, (name, _, _, events, scale, weight) in enumerate(samples):
        table = simulate(events, scale, weight, number)
        table = table if edit is None else edit(name, table)
        table.to_hdf(folder / TABLE.format(name), key="mini", format="fixed")
    n = 1 + len(objects())
    features = [feature(cell_name(i, j), (i, j)) for i in range(n) for j in range(n)]
    features.append(feature("m_3l", None))
    features.append(feature("flcomp", None) | {"network": False, "unit": ""})
    run = {
        "format": 1,
        "samples": [
            {
                "name": name,
                "process": process,
                "kind": kind,
                "tables": {"SR3L": TABLE.format(name)},
            }
            for name, process, kind, *_ in samples
        ],
        "features": features,
        "layout": {
            "name": "T3N5",
            "types": [{"name": name, "multiplicity": most} for name, most in TYPES],
            "energy_scale": 1.0,
            "h": "published",
        },
        "regions": [{"name": "SR3L", "cuts": [], "tag": "3lep", "blind": False}],
    }
    (folder / "run.json").write_text(json.dumps(run))
    return folder


def feature(name: str, cell: tuple[int, int] | None) -> dict:
    """A feature as run.json declares it."""
    energy = name.startswith(("e_T", "m_"))
    return {
        "name": name,
        "label": name,
        "unit": "GeV" if energy else "",
        "bins": [50, 0, 500],
        "network": True,
        "cell": cell,
    }
