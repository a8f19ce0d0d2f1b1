"""The thesis's way: a string `Define` and a `Histo1D` per cell, `AsNumpy`, pandas, `to_hdf`.

    python -m tests.benchmarks.thesis INPUT.root OUT [--threads N]

The selection, the helper functions with TLorentzVector and the way to HDF5 are those that the
thesis prints; where it is wrong, the physics is that of the program. Beside the cells it makes the
features in SCALARS only and carries no objects: less than the others, so that it looks faster
beside them than it is. Writes `table.hdf5` (key `mini`), `histograms.root` and `cutflow.json`.
"""

import argparse
import json
from pathlib import Path

import ROOT

from analysis.declarations import declarations
from tests.benchmarks.inputs import IDENTITY, WEIGHTS

HERE = Path(__file__).parent


def load_helpers(folder):
    """Compile the helper functions with ACLiC, once, into a folder."""
    ROOT.gSystem.SetBuildDir(str(folder), True)
    ROOT.gSystem.SetLinkedLibs("")  # within Python ACLiC would link to Python itself
    ROOT.gSystem.Load("libPhysics")
    if not ROOT.gROOT.LoadMacro(f"{HERE / 'helperFunctions.cxx'}+O") == 0:
        raise SystemExit("the helper functions do not compile")
    ROOT.gInterpreter.Declare(f'#include "{HERE / "helperFunctions.h"}"')


def select(df, constant):
    """Baseline and signal leptons, the cuts of SR3L, the weight; returns it after each cut."""
    df = df.Define("wgt_SG", " * ".join([repr(constant), *WEIGHTS]))
    df = df.Define(
        "ele_BL",
        "lepFlavor == 1 && lepPassOR && (lepEta <= 2.47 && lepEta >= -2.47)"
        " && (lepZ0SinTheta <= 0.5 && lepZ0SinTheta >= -0.5)",
    )
    df = df.Define(
        "muo_BL",
        "lepFlavor == 2 && lepPassOR && lepLoose && (lepEta <= 2.7 && lepEta >= -2.7)"
        " && (lepZ0SinTheta <= 0.5 && lepZ0SinTheta >= -0.5)",
    )
    df = df.Define(
        "ele_SG", "ele_BL && lepIsoLoose_VarRad && lepTight && (lepD0Sig <= 5 && lepD0Sig >= -5)"
    )
    df = df.Define("muo_SG", "muo_BL && lepIsoLoose_VarRad && (lepD0Sig <= 3 && lepD0Sig >= -3)")
    df = df.Define("isGoodLep", "ele_SG || muo_SG")
    df = df.Define("nlep_BL", "ROOT::VecOps::Sum(ele_BL)+ROOT::VecOps::Sum(muo_BL)")
    df = df.Define("nlep_SG", "ROOT::VecOps::Sum(ele_SG)+ROOT::VecOps::Sum(muo_SG)")
    everything = df
    baseline = everything.Filter("nlep_BL == 3", "3 baseline")
    signal = baseline.Filter("nlep_SG == 3", "3 signal")
    hard = signal.Filter("ROOT::VecOps::Sum(lepPt[isGoodLep] > 20) >= 2", "2 with pT > 20")
    return {"all": everything, "3 baseline": baseline, "3 signal": signal, "2 with pT > 20": hard}


def define_jets(df):
    """Flags of the selected jets."""
    df = df.Define(
        "jet_SG",
        "jetPt >= 20 && (jetEta <= 2.8 && jetEta >= -2.8)"
        " && (jetPt >= 60 || jetEta >= 2.4 || jetEta <= -2.4 || jetJVT > 0.59)",
    )
    return df.Define("bjet_SG", "jet_SG && jetdl1r >= 2.195")


MASKS = {"jet": "jet_SG", "ele": "ele_SG", "muo": "muo_SG", "lep": "isGoodLep"}


def chosen(kind, *quantities):
    """Columns of the selected objects, for example lepPt[ele_SG]; ntuples are ordered by pT."""
    arrays = "jet" if kind == "jet" else "lep"
    return ", ".join(f"{arrays}{quantity}[{MASKS[kind]}]" for quantity in quantities)


def momentum(kind):
    return chosen(kind, "Pt", "Eta", "Phi", "M")


SCALARS = {
    "flcomp": "flavourComp3L(lepFlavor[isGoodLep])",
    "lepPt_0": "lepPt[isGoodLep][0]",
    "lepPt_1": "lepPt[isGoodLep][1]",
    "lepPt_2": "lepPt[isGoodLep][2]",
    "lepCharge_0": "lepCharge[isGoodLep][0]",
    "lepCharge_1": "lepCharge[isGoodLep][1]",
    "lepCharge_2": "lepCharge[isGoodLep][2]",
    "m_3l": f"getM3L({momentum('lep')})",
    "m_sfos": f"getMSFOS({momentum('lep')}, {chosen('lep', 'Flavor', 'Charge')})",
    "met_significance": "met_Sign",
    "ht_lep": "ROOT::VecOps::Sum(lepPt[isGoodLep])",
    "ht_jet": "ROOT::VecOps::Sum(jetPt[jet_SG])",
    "n_jet": "ROOT::VecOps::Sum(jet_SG)",
    "n_bjet": "ROOT::VecOps::Sum(bjet_SG)",
    "n_ele": "ROOT::VecOps::Sum(ele_SG)",
    "n_muo": "ROOT::VecOps::Sum(muo_SG)",
}


def cell_expressions():
    """The 15 x 15 matrix: name and expression of each cell."""
    objects = [("jet", n) for n in range(4)]
    objects += [("ele", n) for n in range(5)] + [("muo", n) for n in range(5)]

    cells = {"e_T_miss": "met_Et"}
    for row, (a, i) in enumerate(objects):
        cells[f"m_T_{a}_{i}"] = f"getMT({chosen(a, 'Pt', 'Phi', 'M')}, met_Et, met_Phi, {i})"
        cells[f"h_L_{a}_{i}"] = f"getHL({momentum(a)}, {i})"
        if i == 0:
            cells[f"e_T_{a}_{i}"] = f"getET({chosen(a, 'Pt', 'M')}, {i})"
        else:
            cells[f"delta_e_t_{a}_{i}"] = f"getDeltaET({chosen(a, 'Pt', 'M')}, {i})"
        for b, j in objects[row + 1 :]:
            cells[f"m_{a}_{i}_{b}_{j}"] = f"getM({momentum(a)}, {momentum(b)}, {i}, {j})"
            cells[f"h_{b}_{j}_{a}_{i}"] = f"getH({momentum(b)}, {momentum(a)}, {j}, {i})"
    return cells


def sum_of_weights(path):
    """Sum of the generated weights, from the tree of metadata."""
    return ROOT.RDataFrame("meta", path).Sum("sumw").GetValue()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("input", nargs="?")
    parser.add_argument("output", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="the helper functions, no more")
    options = parser.parse_args()
    if options.compile:
        return load_helpers(options.output)
    options.output.mkdir(parents=True, exist_ok=True)
    if options.threads > 1:
        ROOT.EnableImplicitMT(options.threads)
    load_helpers(options.output.parent)

    nodes = select(
        ROOT.RDataFrame("nominal", options.input), 1000.0 / sum_of_weights(options.input)
    )
    cutflow = []
    for cut, node in nodes.items():
        node = node.Define("wgt2_SG", "wgt_SG * wgt_SG")
        cutflow.append((cut, node.Count(), node.Sum("wgt_SG"), node.Sum("wgt2_SG")))
    df = define_jets(nodes["2 with pT > 20"])
    binning = {f.name: f.binning for f in declarations(["SR3L"], "T3N5").features(set())}
    histo = {}
    for name, expression in {**cell_expressions(), **SCALARS}.items():
        if name != expression:
            df = df.Define(name, expression)
        bins = binning[name]
        model = (f"h_{name}", f"h_{name}", bins.bins, bins.low, bins.high)
        histo[name] = df.Histo1D(model, name, "wgt_SG")

    import pandas as pd

    frame = pd.DataFrame(data=df.AsNumpy([*histo, "wgt_SG", *IDENTITY]))
    frame.to_hdf(options.output / "table.hdf5", key="mini")
    with ROOT.TFile(str(options.output / "histograms.root"), "RECREATE") as file:
        for histogram in histo.values():
            file.WriteTObject(histogram.GetPtr())
    rows = [
        {"cut": cut, "entries": n.GetValue(), "sumw": w.GetValue(), "sumw2": w2.GetValue()}
        for cut, n, w, w2 in cutflow
    ]
    (options.output / "cutflow.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    main()
