"""Results of statistical analyses for tests, as `python -m analysis.stats` writes them."""

import numpy as np
from scipy.stats import norm

from analysis.files import checksum, write_json

MU = [round(0.1 * n, 3) for n in range(41)]
EXPECTED = [0.5, 0.7, 1.0, 1.4, 2.0]


def write_statistics(folder, name="search", **changes):
    """Write every kind of result of an analysis of a run; changes: {kind: content or None}."""
    for kind, content in {**contents(), **changes}.items():
        if content is not None:
            write_result(folder, name, kind, content)
    return folder


def model(region, asimov):
    """The content of model.json of a region, without samples."""
    channel = {
        "region": region,
        "role": "signal",
        "feature": "m_3l",
        "kind": "feature",
        "label": "m",
        "unit": "GeV",
        "edges": [0.0, 1.0],
        "asimov": asimov,
        "data": None if asimov else [3.0],
        "samples": {},
    }
    return {
        "channels": [channel],
        "signals": {},
        "normalisations": [],
        "systematics": [],
        "notes": [],
        "validation": {"channels": [], "observations": []},
    }


def write_result(folder, name, kind, content):
    """Write one result of a run, with its header."""
    head = {
        "format": 1,
        "kind": kind,
        "command": ["python", "-m", "analysis.stats", kind],
        "run": {"luminosity_ifb": 36.1, "sha256": checksum(folder / "run.json")},
    }
    write_json(folder / "stats" / name / f"{kind}.json", head | content)


def contents():
    """{kind: content}, without headers."""
    return {
        "fit": fit(),
        "limit": {"signals": {"HNL450": limit(0.002, 1.2), "HNL150": limit(0.03, 0.4)}},
        "significance": {"signals": {"HNL450": significance(1.7), "HNL150": significance(4.2)}},
        "plane": plane(),
        "visible": {"regions": {"SR_search": visible()}},
        "abcd": abcd(),
        "bump": bump(),
        "anything": anything(),
        "anything_calibration": calibration(),
    }


# --- fits and limits --------------------------------------------------------------------------


def fit(regions=("CR_WZ", "CR_ttbar", "VR_WZ"), systematics=("lumi", "b_tag", "jet_scale")):
    """A fit of regions with one bin each, and of SR_search with four."""

    def channel(region, edges, background, data):
        background = np.array(background, float)
        samples = {"diboson3L": 0.7 * background, "ttbar": 0.3 * background}
        return {
            "region": region,
            "role": "signal" if region == "SR_search" else "control",
            "feature": "m_3l" if len(edges) > 2 else "events",
            "label": r"$m_{3\ell}$" if len(edges) > 2 else "Events",
            "unit": "GeV" if len(edges) > 2 else "",
            "edges": edges,
            "samples": {
                name: {"prefit": list(sums), "postfit": list(1.1 * sums)}
                for name, sums in samples.items()
            },
            "prefit": {"total": list(background), "error": list(0.15 * background)},
            "postfit": {"total": list(1.1 * background), "error": list(0.05 * background)},
            "data": data,
            "asimov": False,
        }

    channels = [
        channel(r, [0.0, 1.0], [60.0 * (n + 1)], [66 * (n + 1)]) for n, r in enumerate(regions)
    ]
    channels.append(
        channel("SR_search", [0.0, 100.0, 200.0, 400.0, 800.0], [20, 30, 8, 1.5], [23, 30, 11, 0])
    )
    names = ["mu", "mu_diboson3L", "mu_ttbar", *systematics]
    kinds = ["mu", "norm", "norm", *["systematic"] * len(systematics)]
    random = np.random.default_rng(1)
    parameters = [
        {
            "name": name,
            "kind": kind,
            "value": 1.0,
            "error": 0.1,
            "pull": round(random.normal(0, 0.7), 3) if kind == "systematic" else None,
            "constraint": round(random.uniform(0.6, 1), 3) if kind == "systematic" else None,
        }
        for name, kind in zip(names, kinds, strict=True)
    ]
    mixed = random.normal(size=(len(names), 2 * len(names)))
    return {
        "signal": "HNL450",
        "parameters": parameters,
        "correlation": {"names": names, "matrix": np.corrcoef(mixed).round(4).tolist()},
        "normalisation": {
            "diboson3L": {"value": 1.12, "error": 0.08},
            "ttbar": {"value": 0.93, "error": 0.21},
        },
        "channels": channels,
        "goodness": {"chi2": 3.1, "ndof": 4, "p": 0.54},
        "converged": True,
    }


def limit(cross_section, factor, observed=1.15):
    """Limits that are `factor` times EXPECTED, with a scan."""
    expected = [round(factor * e, 6) for e in EXPECTED]
    shapes = [
        [float(norm.cdf(1.64 - 1.64 * 1.64 * mu / e) / norm.cdf(1.64)) for mu in MU]
        for e in expected
    ]
    return {
        "cross_section_pb": cross_section,
        "expected": expected,
        "observed": factor * observed,
        "asimov": False,
        "method": "asymptotic",
        "scan": {
            "mu": MU,
            "cls_observed": [
                0.95 * value + 0.05 * (mu == 0) for mu, value in zip(MU, shapes[2], strict=True)
            ],
            "cls_expected": shapes,
        },
    }


def significance(z):
    """A significance, expected and observed."""
    return {
        "expected": {"p0": float(norm.sf(z)), "z": z},
        "observed": {"p0": float(norm.sf(z / 2)), "z": z / 2},
        "asimov_z": 1.02 * z,
        "method": "asymptotic",
        "cross_section_3_sigma_pb": 0.003,
        "cross_section_5_sigma_pb": 0.006,
    }


def plane(one_dimension=False):
    """Limits that rise with the masses, in a plane or along a line."""
    x, y = np.linspace(600, 3000, 25), np.linspace(100, 1500, 15)

    def strength(x, y):
        return np.exp((x - 1600) / 350 + (y - 600) / 900)

    points = [
        {
            "signal": f"WR{a}_N{b}",
            "x": float(a),
            "y": None if one_dimension else float(b),
            "observed": float(1.2 * strength(a, b)),
            "expected": [float(e * strength(a, b)) for e in EXPECTED],
        }
        for a in (800, 1500, 2200, 2900)
        for b in ((600,) if one_dimension else (200, 600, 1200))
    ]
    grid = strength(x[None, :], y[:, None])
    return {
        "x": r"$m_{W_R}$ [GeV]",
        "y": None if one_dimension else r"$m_N$ [GeV]",
        "points": points,
        "crossings": {"observed": [1536.2], "expected": [1600.0]} if one_dimension else None,
        "grid": None
        if one_dimension
        else {
            "x": x.tolist(),
            "y": y.tolist(),
            "observed": (1.2 * grid).tolist(),
            "expected": [(e * grid).tolist() for e in EXPECTED],
        },
    }


def visible():
    """Limits on the visible cross-section."""
    return {
        "observed": 12,
        "background": 9.5,
        "error": 1.2,
        "s95_observed": 10.1,
        "s95_expected": [4.5, 5.9, 8.0, 11.2, 15.1],
        "visible_fb_observed": 0.28,
        "visible_fb_expected": [0.125, 0.163, 0.222, 0.31, 0.418],
        "p0": 0.24,
        "z": 0.7,
    }


# --- corners and surprises --------------------------------------------------------------------


def abcd():
    """An estimate in four corners whose validation agrees."""

    def axis(name, score, label, unit, cut):
        about = {"name": name, "score": score, "label": label, "unit": unit}
        return about | {"cut": cut, "side": "high"}

    def corner(data, background):
        return {
            "data": data,
            "subtracted": 2.0,
            "subtracted_error": 0.4,
            "background": background,
            "background_error": 0.05 * background,
        }

    x, y = np.linspace(0, 4, 17), np.linspace(0, 400, 21)
    cells = 500 * np.exp(-x[:-1, None] - y[None, :-1] / 80)
    validation = [
        {
            "within": within,
            "x": 1.0,
            "y": 80.0,
            "share": share,
            "data": data,
            "estimate": 50.0,
            "error": [6.0, 7.0],
            "z": 0.3,
            "ratio": 1.05,
            "ratio_error": 0.07,
        }
        for within, share, data in (("BD", 0.2, 52), ("CD", 0.2, 45), ("D", 0.4, 61))
    ]
    return {
        "region": "SR3L",
        "asimov": False,
        "x": axis("small", True, "Score of small", "", 2.0),
        "y": axis("e_T_miss", False, r"$E_T^{\mathrm{miss}}$", "GeV", 120.0),
        "share": 0.1,
        "subtracted": ["diboson4L"],
        "estimated": ["diboson3L", "ttbar"],
        "corners": {
            "A": corner(None, 11.0),
            "B": corner(80, 75.0),
            "C": corner(95, 90.0),
            "D": corner(640, 620.0),
        },
        "estimate": {
            "value": 11.7,
            "statistical": [1.6, 1.8],
            "propagated": 1.7,
            "subtraction": 0.2,
            "non_closure": 0.6,
            "total": [1.7, 1.9],
        },
        "observed": None,
        "closure": {
            "background": 11.0,
            "background_error": 0.5,
            "estimate": 10.4,
            "estimate_error": 0.6,
            "ratio": 1.06,
            "ratio_error": 0.08,
        },
        "correlation": {"value": 0.02, "error": 0.01, "processes": {}},
        "validation": validation,
        "signals": {
            "HNL450": {
                "label": r"$N$(450 GeV)",
                "yields": dict(zip("ABCD", (3.0, 1.0, 0.5, 0.1), strict=True)),
                "errors": dict(zip("ABCD", (0.1, 0.1, 0.1, 0.1), strict=True)),
                "shares": {"B": 0.01, "C": 0.005, "D": 0.0},
                "shift": 0.02,
            }
        },
        "plane": {
            "x_edges": x.tolist(),
            "y_edges": y.tolist(),
            "background": cells.tolist(),
            "data": None,
            "signals": {},
        },
        "notes": ["Signal in B moves the estimate by 2 %."],
    }


def distribution(seed, scale=1.0, number=1000):
    """The histogram of a statistic in pseudo-experiments."""
    counts, edges = np.histogram(np.random.default_rng(seed).exponential(scale, number) + 1.5, 40)
    return {"edges": edges.tolist(), "counts": counts.tolist()}


def mass(label, unit="GeV"):
    """A spectrum with a bump."""
    edges = np.array([60.0, 80, 100, 120, 150, 190, 240, 300, 400, 600])
    background = 80 * np.exp(-(edges[:-1] - 60) / 120)
    data = np.random.default_rng(5).poisson(background)
    data[4] = round(background[4] + 3 * np.sqrt(background[4]))
    return {
        "label": label,
        "unit": unit,
        "share": 0.01,
        "threshold": 3.2,
        "edges": edges.tolist(),
        "data": data.tolist(),
        "background": background.tolist(),
        "error": (0.1 * background).tolist(),
        "window": [150.0, 190.0],
        "window_data": int(data[4]),
        "window_background": float(background[4]),
        "window_error": float(0.1 * background[4]),
        "local_p": 0.0021,
        "z": 2.86,
    }


def found(statistic):
    """What the pseudo-experiments say."""
    return {
        "statistic": statistic,
        "pseudo_statistic": distribution(1),
        "global_p": 0.031,
        "global_p_error": 0.006,
        "global_p_is_limit": False,
        "global_z": 1.87,
        "pseudo": 1000,
        "seed": 1,
        "injected": {},
        "normalisation": {"diboson3L": {"value": 1.05, "error": 0.06, "size": 0.2}},
        "nuisances": {"lepton_id": {"value": 0.3, "error": 0.8}},
        "notes": ["CR_fake has too few events, it is left out"],
    }


def bump():
    """A bump hunt over two masses."""
    masses = {"m_3l": mass(r"$m_{3\ell}$"), "m_jj": mass("$m_{jj}$")}
    return {
        "region": "SR_search",
        "detector": "small",
        "label": "Score of small",
        "shares": [0.1, 0.01],
        "threshold": None,
        "masses": masses,
        "best": {
            "mass": "m_3l",
            "share": 0.01,
            "threshold": 3.2,
            "window": [150.0, 190.0],
            "local_p": 0.0021,
            "z": 2.86,
        },
        **found(6.17),
    }


TESTS = {
    "shape": "Shape of all features",
    "tail": "Most data-like events",
    "excess": "Counts in regions",
    "bump": "Bumps in masses",
}


def anything():
    """An answer: nothing."""
    edges = np.linspace(0, 1, 11)
    background = np.linspace(150, 20, 10)
    event = {
        "sample": "data",
        "DatasetNumber": 0,
        "RunNumber": 284500,
        "EventNumber": 123456789,
        "region": "SR_search",
        "objects": {
            "leptons": [{"flavour": "mu", "charge": -1, "pt": 210.4, "eta": 0.3}] * 3,
            "jets": [{"pt": 99.0, "eta": -1.2, "b": True}],
            "met": 321.0,
        },
        "scores": {"small": {"score": 3.4, "p": 0.0004, "background": 0.2, "events": 12}},
        "cells": [
            {
                "name": "flcomp=2",
                "label": r"$E_T^{\mathrm{miss}}$",
                "value": 321.0,
                "p": 0.001,
                "contribution": None,
            }
        ],
        "cells_from": "quantiles",
    }
    return {
        "regions": ["SR_search", "VR_WZ"],
        "detectors": ["small"],
        "labels": {"small": "Score of small"},
        "masses": ["m_3l"],
        "shares": [0.1, 0.01, 0.001],
        "trials": {"two_sample": 2, "excess": 6, "bump": 6},
        "tests": {
            name: {
                "label": label,
                "statistic": 2.0 + number,
                "p": round(0.4 / (number + 1), 3),
                "z": 0.25,
                "pseudo_statistic": distribution(number, number + 1.0),
            }
            for number, (name, label) in enumerate(TESTS.items())
        },
        "two_sample": {
            "auc": 0.513,
            "folds": 5,
            "features": [
                {"name": "flcomp=2", "label": r"$m_{3\ell}$", "share": 0.3},
                {"name": "e_T_miss", "label": r"$E_T^{\mathrm{miss}}$", "share": 0.2},
            ],
            "scores": {
                "edges": edges.tolist(),
                "data": np.random.default_rng(2).poisson(background).tolist(),
                "background": background.tolist(),
                "error": (0.05 * background).tolist(),
            },
        },
        "excess": [
            {
                "region": region,
                "detector": detector,
                "share": share,
                "threshold": threshold,
                "data": 14,
                "background": 8.2,
                "error": 1.1,
                "local_p": p,
                "z": float(norm.isf(p)),
            }
            for region, detector, share, threshold, p in (
                ("SR_search", "small", 0.01, 3.3, 0.04),
                ("VR_WZ", "small", 0.1, 2.2, 0.2),
                ("SR_search", None, None, None, 0.4),
            )
        ],
        "bump": {"m_3l": {"region": "SR_search", "detector": "small", **mass(r"$m_{3\ell}$")}},
        "events": [event],
        "answer": "nothing: global p = 0.43",
        **found(2.3),
    }


def calibration(number=60):
    """Uniform p-values."""
    random = np.random.default_rng(3)
    names = (*TESTS, "global")
    return {
        "data_sets": number,
        "pseudo": 200,
        "seed": 1,
        "p_values": {name: random.random(number).round(4).tolist() for name in names},
        "uniform_p": dict.fromkeys(names, 0.6),
        "notes": [],
    }
