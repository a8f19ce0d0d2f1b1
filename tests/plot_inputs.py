"""Output folders for tests of plotting: as run_rdf.py and ml write them, but made with numpy."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import uproot
from ml_tables import simulate
from uproot.writing.identify import to_TAxis, to_TH1x

from analysis import features, processes, selection
from analysis.files import write_json
from analysis.hdf5_writer import FrameWriter
from analysis.output import IDENTITY
from analysis.records import FORMAT
from analysis.results import Histogram
from analysis.systematics import Systematic

LAYOUT = features.LAYOUTS[0]
SCALARS = tuple(
    f for f in features.FEATURES if f.name in ("flcomp", "m_3l", "ht_lep", "ht_jet", "n_jet")
) + tuple(f for f in features.FEATURES if f.name in ("n_ele", "n_muo"))
DECLARED = (*features.cells(LAYOUT), *SCALARS)
SAMPLES = (  # name, process, kind, events, scale of the momenta in GeV, weight per event
    ("WZ", "diboson3L", "background", 1500, 40.0, 0.25),
    ("ZZ", "diboson4L", "background", 400, 45.0, 0.2),
    ("ttbar", "ttbar", "background", 600, 60.0, 0.1),
    ("HNL450", "HNL450", "signal", 300, 180.0, 0.01),
    ("data", "data", "data", 400, 42.0, 1.0),
)
MODEL = "small"


@dataclass(frozen=True)
class Shift:
    """A systematic variation of a run: what becomes of a table that is shifted by 1 or -1."""

    name: str
    change: Callable  # (table, 1 or -1) -> table
    kind: str = "weight"
    tables: bool = True  # else histograms alone
    one_sided: bool = False
    without: tuple[str, ...] = ()  # samples that lack it

    @property
    def systematic(self):
        """As run.json has it."""
        columns = {"wgt_SG" if self.kind == "weight" else "jetPt": "shifted"}
        return Systematic(self.name, self.name, columns, {} if self.one_sided else columns)


def write_run(
    folder,
    samples=SAMPLES,
    regions=("SR3L",),
    blind=(),
    edit=None,
    shifts=(),
    sizes=(),
    declared=DECLARED,
):
    """Write an output folder; `edit(region, sample, table)` may change a table first.

    shifts: Shifts of all simulated samples; sizes: Systematics that are sizes alone
    declared: features that have histograms
    """
    (folder / "hdf5").mkdir(parents=True)
    cutflow = {region: {} for region in regions}
    entries = []
    with uproot.recreate(folder / "histograms.root") as file:
        for number, (name, process, kind, events, scale, weight) in enumerate(samples):
            tables, variations = {}, {}
            for region in regions:
                if region in blind and kind == "data":
                    continue
                table = simulate(events, scale, weight, number)
                table["ht_lep"] = (3 * table["m_3l"] / 4).astype("f4")
                table["ht_jet"] = table["e_T_jet_0"]
                if edit is not None:
                    table = edit(region, name, table)
                tables[region] = f"hdf5/{name}_{region}.hdf5"
                for shift, direction, varied in shifted(kind, name, table, shifts):
                    of = f"{shift.name}_{direction}"
                    about = {"kind": shift.kind, "tables": {}, "rows": {}, "checksums": {}}
                    about = variations.setdefault(of, about)
                    about["rows"][region] = len(varied)
                    cutflow[region][f"{name}__{of}"] = flow(varied)
                    for feature in declared:
                        file[f"{region}/h_{feature.name}_{name}__{of}"] = th1(feature, varied)
                    if shift.tables and shift.kind == "weight":
                        about["tables"][region] = tables[region]
                        table = table.assign(**{f"wgt_SG__{of}": varied["wgt_SG"]})
                    elif shift.tables:
                        about["tables"][region] = f"hdf5/{name}__{of}_{region}.hdf5"
                        path = folder / about["tables"][region]
                        varied.to_hdf(path, key="mini", format="fixed")
                table.to_hdf(folder / tables[region], key="mini", format="fixed")
                for feature in declared:
                    file[f"{region}/h_{feature.name}_{name}"] = th1(feature, table)
                cutflow[region][name] = flow(table)
            entries.append(
                {
                    "name": name,
                    "process": process,
                    "kind": kind,
                    "schema": "susy",
                    "tables": tables,
                    "variations": variations,
                    "rows": {region: events for region in tables},
                    "entries_read": 2 * events,
                    "left_out": [],
                    "xsec_pb": 0.5 if kind == "signal" else None,
                    "inputs": [{"path": f"{name}.root", "size": 1000, "entries": 2 * events}],
                }
            )
    (folder / "cutflow.json").write_text(json.dumps(cutflow))
    content = record(entries, regions, blind, declared)
    content["systematics"] = [asdict(s) for s in (*sizes, *(shift.systematic for shift in shifts))]
    (folder / "run.json").write_text(json.dumps(content))
    return folder


def flow(table):
    """A cutflow of two cuts that ends with a table."""
    w = table["wgt_SG"]
    rows = {"entries": len(w), "sumw": float(w.sum()), "sumw2": float((w**2).sum())}
    twice = {key: 2 * value for key, value in rows.items()}
    return [{"cut": "all"} | twice, {"cut": "3 signal"} | rows]


def shifted(kind, sample, table, shifts):
    """Yield (Shift, direction, table) of the variations that a sample has."""
    for shift in shifts:
        for direction, sign in (("up", 1), ("down", -1)):
            lacks = kind == "data" or sample in shift.without
            if not lacks and not (shift.one_sided and sign < 0):
                yield shift, direction, shift.change(table.copy(), sign)


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
    declared_roles = {region.name: region.role for region in selection.REGIONS}
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
        "regions": [
            {"name": r, "cuts": cuts, "tag": r, "blind": r in blind}
            | {"role": declared_roles.get(r, "signal")}
            for r in regions
        ],
        "layout": asdict(LAYOUT),
        "features": [asdict(feature) for feature in declared],
        "timings_s": {"event loop": 1.0},
    }


def write_scores(folder, region="SR3L", errors=True, detector=MODEL, network=True):
    """Scores, latent vectors and a model as ml writes them; the score grows with E_T^miss.

    network: False: a portfolio, without latent vectors and epochs
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
    model = folder / "models" / detector
    model.mkdir(parents=True)
    if not network:
        content = portfolio(detector, region, names)
        (model / "detector.json").write_text(json.dumps(content))
        return folder
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


PARTS = [
    {"members": ["twin", "tail"], "topologies": ["no_ossf"], "share": 0.4},
    {"members": ["tail"], "topologies": ["off_z", "on_z"], "share": 0.6},
]


def portfolio(name, region, features):
    """The content of detector.json of a portfolio."""
    return {
        "format": 1,
        "kind": "combined",
        "config": {"name": name, "members": [], "parts": PARTS},
        "seed": 1,
        "weights": "absolute",
        "split": {"folds": 5, "validation": 0, "test": None},
        "region": region,
        "names": features,
        "inputs": {},
        "versions": {"python": "3"},
        "signature": "5" * 64,
        "numbers": "5" * 64,
    }


def write_explained(folder, detector=MODEL, region="SR3L", number=2):
    """The most anomalous events of data as `python -m ml explain` tells them."""
    scores = pd.read_hdf(folder / "scores" / detector / "data.hdf5").nlargest(number, "score")
    neighbour = {"sample": "WZ", "process": "diboson3L", "DatasetNumber": 1, "RunNumber": 2}
    momentum = {"pt": 60.0, "eta": -0.5, "phi": 1.0}
    events = [
        {"sample": "data", "process": "data", "weight": 1.0, "topology": "on_z"}
        | {name: int(row[name]) for name in IDENTITY}
        | {
            "objects": {
                "leptons": [{"flavour": "mu", "charge": -1} | momentum],
                "jets": [{"b": True} | momentum],
                "met": {"pt": 99.0, "phi": 0.0},
            },
            "scores": {
                detector: {"score": float(row["score"]), "p_value": 0.0, "background_above": 0}
            },
            "opinions": [{"name": "tail", "value": 7.5}, {"name": "part 1", "value": None}],
            "features": [
                {"name": name, "contribution": 2.5, "value": 300.0}
                | {"median": 40.0, "low": 20.0, "high": None}
                for name in ("e_T_miss", "flcomp=2")
            ],
            "neighbours": [neighbour | {"EventNumber": 3, "p_value": 0.2, "distance": 0.1}],
        }
        for _, row in scores.iterrows()
    ]
    write_json(
        folder / "study" / "explained.json",
        {
            "format": 1,
            "region": region,
            "detector": detector,
            "kind": "data",
            "parts": PARTS,
            "background": {detector: {"events": 1000, "effective": 500.0}},
            "notes": [],
            "events": events,
        },
    )
    return folder


IMPROVEMENTS = {"small": 3.0, "deep": 0.5, "met": 2.0, "supervised": 5.0}


def write_study(folder, signals=("HNL450",)):
    """A study of IMPROVEMENTS at 0.1 % background; at 1 % they are a half."""
    kinds = {"met": "rival", "supervised": "supervised"}

    def point(value, asked):
        names = "threshold background background_error background_effective signal"
        names += " signal_efficiency signal_efficiency_error significance"
        return dict.fromkeys(names.split(), 1.5) | {
            "asked": asked,
            "supported": value > 1,
            "background_efficiency": asked if value > 1 else 0.02,
            "background_events": 12,
            "signal_events": 5,
            "improvement": value,
            "improvement_low": 0.9 * value,
            "improvement_high": 1.1 * value,
            "share_without_pair": None,
            "improvement_with_pair": None,
        }

    def score(name, value):
        points = [point(value / 2, 0.01), point(value, 0.001)]
        judged = {"auc": 0.9, "auc_low": 0.8, "auc_high": 0.95, "points": points}
        frozen = name == "small"
        return {
            "kind": kinds.get(name, "detector"),
            "label": r"$E_T^{\mathrm{miss}}$" if name == "met" else name,
            "frozen": {
                "frozen": frozen,
                "date": "2026-01-31T12:00:00+00:00" if frozen else None,
                "reason": "" if frozen else "not frozen",
            },
            "background_events": 100,
            "background_effective": 50.0,
            "signals": dict.fromkeys(signals, judged),
        }

    about = {"samples": ["x"], "events": 300, "yield": 3.0, "share_without_pair": 0.25}
    ratios = {name: value / 2 for name, value in IMPROVEMENTS.items()}
    write_json(
        folder / "study" / "study.json",
        {
            "format": 1,
            "region": "SR3L",
            "luminosity_ifb": 10.0,
            "background_uncertainty": 0.1,
            "seed": 1,
            "replicas": 7,
            "least_events": 10,
            "working_points": [0.01, 0.001],
            "frozen": None,
            "notes": ["big is left out"],
            "signals": {name: {"label": f"${name}$"} | about for name in signals},
            "best_rival": {
                name: {"name": "met", "improvement": 2.0, "background_efficiency": 0.001}
                for name in signals
            },
            "against_best_rival": {
                name: {
                    "geometric_mean": ratio,
                    "minimum": ratio,
                    "worst_signal": signals[0],
                    "signals": {s: {"ratio": ratio, "low": None, "high": None} for s in signals},
                }
                for name, ratio in ratios.items()
            },
            "scores": {name: score(name, value) for name, value in IMPROVEMENTS.items()},
        },
    )
    return folder


def store(path, key, columns, about):
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {name: np.asarray(values) for name, values in columns.items()}
    types = {name: values.dtype for name, values in columns.items()}
    with FrameWriter(path, key, types, about) as file:
        file.append(columns)
