"""Output folders whose events can be explained: objects, topologies, two trained detectors."""

import json

import ml_tables
import numpy as np
import pandas as pd

from analysis import topology
from ml import ensemble
from ml.dataset import Dataset
from ml.detectors.combined import Combined, Part
from ml.detectors.pca import Pca
from ml.detectors.tail import Tail
from ml.score_files import write_scores
from ml.training_set import TrainingConfig

FOLDS = TrainingConfig(folds=3)
TAIL = Tail("tail")
PORTFOLIO = Combined(
    "portfolio",
    (TAIL,),
    (
        Part(("tail",), topology.TOPOLOGIES[:2], 0.25),
        Part(("tail",), topology.TOPOLOGIES[2:], 0.75),
    ),
)
FEATURES = (*topology.FEATURES, "lt_met")


def objects(name, table):
    """Columns by which tables carry objects, and the features of topologies."""
    random = np.random.default_rng(len(name))
    size = len(table)
    more = {"met_Phi": random.uniform(-3, 3, size)}
    for k in range(3):
        more |= {
            f"lepPt_{k}": np.full(size, 90.0 - 20 * k),
            f"lepEta_{k}": random.normal(size=size),
        }
        more |= {f"lepPhi_{k}": random.uniform(-3, 3, size), f"lepCharge_{k}": np.full(size, k - 1)}
        more[f"lepFlavor_{k}"] = np.full(size, 1 + k % 2)
    for k in range(10):
        pt = np.where(k < table["n_jet"], 100.0 / (1 + k), 0.0)
        more |= {f"jetPt_{k}": pt, f"jetEta_{k}": 0.1 * k + 0 * pt, f"jetPhi_{k}": 0.2 + 0 * pt}
        more[f"jetBTag_{k}"] = np.full(size, k == 0)
    more["n_ossf"] = random.integers(0, 2, size)
    more["m_ossf_z"] = np.where(more["n_ossf"] > 0, 40 * random.random(size), 91.1876)
    more["n_bjet"] = random.integers(0, 2, size)
    more["lt_met"] = table["e_T_miss"] + 210
    return pd.concat([table, pd.DataFrame(more).astype("f4")], axis=1)


def declare(folder, *names, blind=False):
    """Declare columns of the tables as features."""
    path = folder / "run.json"
    run = json.loads(path.read_text())
    run["features"] += [ml_tables.feature(name, None) for name in names]
    run["regions"][0]["blind"] = blind
    path.write_text(json.dumps(run))
    return folder


def learn(folder, config):
    """Train a detector and score all samples."""
    dataset = Dataset.open(folder)
    trained = ensemble.train(dataset, folder / "models" / config.name, config, FOLDS, True)
    for sample in dataset.samples:
        write_scores(dataset, trained, sample)


def write_explainable(folder):
    """Write an output folder with models and scores of PORTFOLIO and pca."""
    ml_tables.write_output(folder, edit=objects)
    declare(folder, *FEATURES)
    learn(folder, PORTFOLIO)
    learn(folder, Pca("pca"))
    return folder
