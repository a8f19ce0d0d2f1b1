"""Output folders for tests of plotting: as run_rdf.py and ml write them, but made with numpy."""

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import uproot
from ml_tables import simulate
from uproot.writing.identify import to_TAxis, to_TH1x

from analysis import features, processes, selection
from analysis.hdf5_writer import FrameWriter
from analysis.output import IDENTITY
from analysis.records import FORMAT
from plotting.results import Histogram

LAYOUT = features.LAYOUTS[0]
SCALARS = tuple(
    f for f in features.FEATURES if f.name in ("flcomp", "m_3l", "ht_lep", "ht_jet", "n_jet")
) + tuple(f for f in features.FEATURES if f.name in ("n_ele", "n_muo"))
SAMPLES = (  # name, process, kind, events, scale of the momenta in GeV, weight per event
    ("WZ", "diboson3L", "background", 1500, 40.0, 0.25),
    ("ZZ", "diboson4L", "background", 400, 45.0, 0.2),
    ("ttbar", "ttbar", "background", 600, 60.0, 0.1),
    ("HNL450", "HNL450", "signal", 300, 180.0, 0.01),
    ("data", "data", "data", 400, 42.0, 1.0),
)
MODEL = "small"


def write_run(folder, samples=SAMPLES, regions=("SR3L",), blind=(), edit=None):
    """Write an output folder; `edit(region, sample, table)` may change a table first."""
    (folder / "hdf5").mkdir(parents=True)
    declared = (*features.cells(LAYOUT), *SCALARS)
    cutflow = {region: {} for region in regions}
    entries = []
    with uproot.recreate(folder / "histograms.root") as file:
        for number, (name, process, kind, events, scale, weight) in enumerate(samples):
            tables = {}
            for region in regions:
                if region in blind and kind == "data":
                    continue
                table = simulate(events, scale, weight, number)
                table["ht_lep"] = (3 * table["m_3l"] / 4).astype("f4")
                table["ht_jet"] = table["e_T_jet_0"]
                if edit is not None:
                    table = edit(region, name, table)
                tables[region] = f"hdf5/{name}_{region}.hdf5"
                table.to_hdf(folder / tables[region], key="mini", format="fixed")
                for feature in declared:
                    file[f"{region}/h_{feature.name}_{name}"] = th1(feature, table)
                w = table["wgt_SG"]
                rows = {"entries": len(w), "sumw": float(w.sum()), "sumw2": float((w**2).sum())}
                twice = {key: 2 * value for key, value in rows.items()}
                cutflow[region][name] = [{"cut": "all"} | twice, {"cut": "3 signal"} | rows]
            entries.append(
                {
                    "name": name,
                    "process": process,
                    "kind": kind,
                    "schema": "susy",
                    "tables": tables,
                    "rows": {region: events for region in tables},
                    "entries_read": 2 * events,
                    "left_out": [],
                    "inputs": [{"path": f"{name}.root", "size": 1000, "entries": 2 * events}],
                }
            )
    (folder / "cutflow.json").write_text(json.dumps(cutflow))
    (folder / "run.json").write_text(json.dumps(record(entries, regions, blind, declared)))
    return folder


def th1(feature, table):
    histogram = Histogram.of(
        table[feature.name].to_numpy(float), table["wgt_SG"].to_numpy(), edges(feature)
    )
    number, low, high = asdict(feature.binning).values()
    return to_TH1x(
        None,
        "",
        histogram.sumw,
        float(len(table)),
        0.0,
        0.0,
        0.0,
        0.0,
        histogram.sumw2,
        to_TAxis("xaxis", "", number, low, high),
    )


def edges(feature):
    binning = feature.binning
    return np.linspace(binning.low, binning.high, binning.bins + 1)


def record(entries, regions, blind, declared):
    used = [d for d in selection.REGIONS if d.name in regions] or [selection.REGIONS[0]]
    cuts = [asdict(cut) for cut in used[0].cuts]
    kinds = dict.fromkeys((entry["process"], entry["kind"]) for entry in entries)
    return {
        "format": FORMAT,
        "command": ["run_rdf.py"],
        "versions": {"python": "3"},
        "git": "0123456789abcdef",
        "luminosity_ifb": 10.0,
        "source": "samples.toml",
        "unblind": False,
        "samples": entries,
        "processes": [asdict(processes.process(*kind)) for kind in kinds],
        "objects": [asdict(d) for d in selection.OBJECTS],
        "variables": [asdict(d) for d in selection.VARIABLES],
        "regions": [{"name": r, "cuts": cuts, "tag": r, "blind": r in blind} for r in regions],
        "layout": asdict(LAYOUT),
        "features": [asdict(feature) for feature in declared],
        "timings_s": {"event loop": 1.0},
    }


def write_scores(folder, region="SR3L", errors=True, detector=MODEL, network=True):
    """Scores, latent vectors and a model as ml writes them; the score grows with E_T^miss.

    network: False: a detector without latent vectors and epochs
    """
    run = json.loads((folder / "run.json").read_text())
    names = [f["name"] for f in run["features"] if f["network"]]
    for number, sample in enumerate(run["samples"]):
        if region not in sample["tables"]:
            continue
        table = pd.read_hdf(folder / sample["tables"][region], "mini")
        random = np.random.default_rng(number)
        keys = {name: table[name] for name in [*IDENTITY, "wgt_SG"]}
        fold = np.arange(len(table)) % 5
        score = np.log10(1 + table["e_T_miss"].to_numpy(float)) + random.normal(0, 0.2, len(table))
        columns = {
            "score": score.astype("f4"),
            "fold": fold,
            "trained_on": (fold > 1) & (sample["kind"] == "background"),
        }
        if errors:
            columns |= {f"error_{name}": random.random(len(table)) for name in names}
        latent = {f"latent_{n}": random.normal(n, 1 + n, len(table)) for n in range(3)}
        about = {"sample": sample["name"], "kind": sample["kind"], "region": region}
        about["model"] = detector
        file = f"{detector}/{sample['name']}.hdf5"
        store(folder / "scores" / file, "scores", keys | columns, about)
        if network:
            content = keys | {"fold": fold} | latent
            store(folder / "latent" / file, "latent", content, about)
    if not network:
        return folder
    model = folder / "models" / detector
    model.mkdir(parents=True)
    scaler = {"log": False, "shift": 1.0, "factor": 0.5}
    history = {"loss": [3.0, 2.0, 1.5], "val_loss": [3.1, 2.2, 2.3]}
    content = {
        "format": 1,
        "region": region,
        "features": [{"name": name} | scaler for name in names],
        "history": history,
        "best_epoch": 2,
    }
    (model / "model.json").write_text(json.dumps(content))
    return folder


def store(path, key, columns, about):
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {name: np.asarray(values) for name, values in columns.items()}
    types = {name: values.dtype for name, values in columns.items()}
    with FrameWriter(path, key, types, about) as file:
        file.append(columns)
