"""Output folders with scores of several detectors, as ml writes them, but made with numpy."""

import numpy as np
import pandas as pd
from ml_tables import SAMPLES, TABLE, write_output

from analysis.hdf5_writer import FrameWriter
from analysis.output import IDENTITY

SIGNATURE = "5" * 64


def write_scored(folder, samples=SAMPLES, detectors=("good", "useless"), edit=None):
    """Write an output folder with the columns of the rivals and the scores of detectors."""

    def complete(name, table):
        random = np.random.default_rng(len(name))
        kinds = {sample: kind for sample, _, kind, *_ in samples}
        table["ht_lep"] = (table["m_3l"] / 2).astype("f4")
        table["ht_jet"] = table["e_T_jet_0"]
        mass = 91.2 + 30 * random.normal(size=len(table))
        none = 0.4 if kinds[name] == "signal" else 0.05
        table["m_sfos"] = np.where(random.random(len(table)) < none, 0, np.abs(mass)).astype("f4")
        table["n_bjet"] = random.integers(0, 2, len(table)).astype("i4")
        return table if edit is None else edit(name, table)

    write_output(folder, samples, complete)
    for name, process, kind, *_ in samples:
        table = pd.read_hdf(folder / TABLE.format(name), "mini")
        for detector in detectors:
            score = scores_of(detector, table)
            write_scores(folder, detector, (name, process, kind), table, score)
    return folder


def scores_of(detector, table):
    """Numbers per event: `good` grows with what signals have, `equal` never varies."""
    random = np.random.default_rng(len(table))
    if detector == "good":
        return np.log10(table["ht_lep"] + table["e_T_miss"]) + (table["m_sfos"] == 0)
    return np.ones(len(table)) if detector == "equal" else random.normal(size=len(table))


def write_scores(folder, detector, sample, table, score, trained_on=None, signature=SIGNATURE):
    """Write OUT/scores/<detector>/<sample>.hdf5; sample: (name, process, kind)."""
    name, process, kind = sample
    columns = {key: table[key].to_numpy() for key in (*IDENTITY, "wgt_SG")}
    columns |= {
        "score": np.asarray(score, "f4"),
        "fold": (np.arange(len(table)) % 5).astype("i1"),
        "trained_on": np.zeros(len(table), bool) if trained_on is None else trained_on,
    }
    about = {"sample": name, "process": process, "kind": kind, "region": "SR3L"}
    about |= {"model": detector, "models": [signature]}
    path = folder / "scores" / detector / f"{name}.hdf5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with FrameWriter(path, "scores", {n: c.dtype for n, c in columns.items()}, about) as file:
        file.append(columns)
