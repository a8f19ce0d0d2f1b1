"""The numbers in pictures of scores, as DataFrames."""

import numpy as np
import pandas as pd


def curve_numbers(curves):
    """A row for each score and background efficiency; curves: {name: Curve}."""
    parts = []
    for name, curve in curves.items():
        shown = curve.background >= curve.reach
        improvement, low, high = curve.improvement[:, shown]
        columns = {
            "score": name,
            "background_efficiency": curve.background[shown],
            "signal_efficiency": curve.signal[shown],
            "signal_efficiency_low": curve.low[shown],
            "signal_efficiency_high": curve.high[shown],
            "improvement": improvement,
            "improvement_low": low,
            "improvement_high": high,
        }
        parts.append(pd.DataFrame(columns))
    return joined(parts)


def survival_numbers(survivals):
    """A row for each detector and bin of the survival probability."""
    parts = []
    for one in survivals:
        columns = {
            "detector": one.detector,
            "low": [0.0, *one.edges[1:-1]],
            "high": one.edges[1:],
            "background": one.background,
            "background_error": one.background_error,
        }
        if one.data is not None:
            columns["data"] = one.data
            columns["data_low"], columns["data_high"] = one.data_interval
        columns |= {f"{name}_share": shares for name, shares in one.signals.items()}
        parts.append(pd.DataFrame(columns))
    return joined(parts)


def training_numbers(curves):
    """A row for each fold and epoch."""
    parts = []
    for fold, curve in enumerate(curves):
        epochs = np.arange(1, len(curve["loss"]) + 1)
        columns = {"fold": fold, "epoch": epochs, "loss": curve["loss"]}
        columns |= {"val_loss": curve["val_loss"], "kept": epochs == curve["best"]}
        parts.append(pd.DataFrame(columns))
    return joined(parts)


def latent_numbers(vectors, weights, processes):
    """A row for each event; vectors, weights: {sample: ...}; processes: {sample: name}."""
    parts = [
        {"sample": name, "process": processes[name], "x": v[:, 0], "y": v[:, 1]}
        | {"weight": weights[name]}
        for name, v in vectors.items()
    ]
    return joined(map(pd.DataFrame, parts))


def joined(parts):
    """One DataFrame of several, None of none."""
    parts = list(parts)
    return pd.concat(parts, ignore_index=True) if parts else None
