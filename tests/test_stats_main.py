"""The whole chain of commands on a run: what they write, and one line for what is wrong."""

import json
import shutil
import subprocess
import sys
from functools import reduce
from operator import getitem

import numpy as np
import plot_inputs
import pyhf
import pytest
import stat_inputs
from conftest import REPOSITORY, SAFETY_NET, read_json

from analysis.results import Results
from analysis.stats import fit, workspaces
from analysis.stats.__main__ import main
from analysis.stats.likelihoods import Likelihood

WORDS = ("-r", *stat_inputs.REGIONS, "-f", "m_3l", "--bins", "5")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    out = stat_inputs.write_stats(tmp_path_factory.mktemp("run") / "out")
    main(["workspace", str(out), *WORDS])
    main(["fit", str(out), "--all"])
    main(["limit", str(out), "--toys", "0"])
    main(["significance", str(out), "--toys", "0"])
    main(["plane", str(out)])
    main(["visible", str(out), "-f", "m_3l", "--threshold", "200", "-r", "SR3L"])
    return out


@pytest.fixture
def results(out):
    """{kind: content of its file}."""
    kinds = ("fit", "limit", "significance", "plane", "visible")
    return {kind: read_json(out / "stats" / "search" / f"{kind}.json") for kind in kinds}


def model_of(out, name, poi=True):
    path = out / "stats" / "search" / f"workspace_{name}.json"
    return workspaces.build(workspaces.read_workspace(path), path, poi)


def test_help_takes_no_library_of_statistics():
    code = (
        "import sys; from analysis.stats.__main__ import parser; parser(); "
        "print(*sorted({'pyhf', 'iminuit', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True,
        timeout=SAFETY_NET,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ""


def test_results_know_their_run(out, results):
    for kind, content in results.items():
        assert (content["format"], content["kind"]) == (1, kind)
        assert content["run"]["luminosity_ifb"] == 10.0
        assert content["run"]["sha256"] == workspaces.checksum(out / "run.json")


# --- the fit ----------------------------------------------------------------------------------


def test_the_fit_is_that_of_pyhf(out, results):
    model, data = model_of(out, "background", poi=False)
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(tolerance=1e-3))
    its, value = pyhf.infer.mle.fit(data, model, return_fitted_val=True)
    found = {p["name"]: p["value"] for p in results["fit"]["parameters"]}
    mine = np.array([found[str(name)] for name in model.config.par_names])
    assert -2 * float(model.logpdf(mine, data)[0]) <= float(value) + 1e-5
    assert mine == pytest.approx(np.asarray(its), abs=0.02)


def test_errors_are_those_of_the_curvature(out, results):
    """Second derivatives of pyhf's likelihood by differences, of parameters without a kink."""
    model, data = model_of(out, "background", poi=False)
    found = {p["name"]: p for p in results["fit"]["parameters"]}
    names = [str(name) for name in model.config.par_names]
    best = np.array([found[name]["value"] for name in names])

    def value(point):
        return -float(model.logpdf(point, data)[0])

    step = 1e-3 * np.eye(len(best))
    matrix = np.array(
        [
            [
                (
                    value(best + a + b)
                    - value(best + a - b)
                    - value(best - a + b)
                    + value(best - a - b)
                )
                for b in step
            ]
            for a in step
        ]
    ) / (4e-6)
    errors = np.sqrt(np.diag(np.linalg.inv(matrix)))
    assert [found[name]["error"] for name in names] == pytest.approx(errors, rel=0.03)


def test_the_saturated_model_has_chi2_0(out):
    model, data = model_of(out, "background", poi=False)
    likelihood = Likelihood(model)
    exact = likelihood.asimov(likelihood.start)
    found = fit.fit(model, exact.tolist(), "it")
    assert found.goodness.chi2 == pytest.approx(0, abs=1e-6) and found.goodness.p > 0.99
    assert found.goodness.ndof == likelihood.bins - 1  # one free factor


def test_chi2_is_distributed_as_it_should_be(out):
    likelihood = Likelihood(model_of(out, "background", poi=False)[0])
    toys = likelihood.sample(likelihood.start, 400, np.random.default_rng(5))
    chi2 = 2 * likelihood.fit(toys).nll
    assert chi2.mean() == pytest.approx(likelihood.bins - 1, rel=0.1)


def test_pulls_of_pseudo_data_are_normal(out):
    """The normalisation factor is 1 within its error in 68 % of pseudo-experiments."""
    likelihood = Likelihood(model_of(out, "background", poi=False)[0])
    free = np.flatnonzero(likelihood.prefit == 0)
    toys = likelihood.sample(likelihood.start, 300, np.random.default_rng(6))
    fits = likelihood.fit(toys)
    errors = [
        np.sqrt(likelihood.covariance(p, toy)[free[0], free[0]])
        for p, toy in zip(fits.parameters, toys, strict=True)
    ]
    pulls = (fits.parameters[:, free[0]] - 1) / errors
    assert abs(pulls.mean()) < 0.2 and pulls.std() == pytest.approx(1, abs=0.12)


def test_regions_before_and_after_the_fit(out, results):
    content = results["fit"]
    assert [c["region"] for c in content["channels"]] == list(stat_inputs.REGIONS)
    model, _ = model_of(out, "background", poi=False)
    found = {p["name"]: p["value"] for p in content["parameters"]}
    best = np.array([found[str(name)] for name in model.config.par_names])
    expected = np.asarray(model.expected_actualdata(best))
    for channel in content["channels"]:
        for when in ("prefit", "postfit"):
            parts = [np.array(s[when]) for s in channel["samples"].values()]
            assert sum(parts) == pytest.approx(channel[when]["total"])
            assert np.all(np.array(channel[when]["error"]) > 0)
        if channel["region"] != "VR_WZ":
            at = model.config.channel_slices[channel["region"]]
            assert channel["postfit"]["total"] == pytest.approx(expected[at])
    control = content["channels"][1]
    data, error = sum(control["data"]), control["postfit"]["sum_error"]
    # The control region is described, with an error like that of its data.
    assert sum(control["postfit"]["total"]) == pytest.approx(data, abs=2 * np.sqrt(data))
    assert error < 1.1 * np.sqrt(data)
    assert content["normalisation"]["diboson3L"]["error"] > 0
    assert content["normalisation"].keys() == {"diboson3L"}


def test_errors_before_the_fit_are_sums_of_squares(out, results):
    """Of the validation region: statistics, and each systematic as a whole."""
    validation = read_json(out / "stats" / "search" / "model.json")["validation"]
    (channel,) = validation["channels"]
    shifts, square = {}, 0.0
    for sample in channel["samples"]:
        nominal = sample["data"][0]
        for modifier in sample["modifiers"]:
            if modifier["type"] == "staterror":
                square += modifier["data"][0] ** 2
            elif modifier["type"] == "normsys":
                half = (modifier["data"]["hi"] - modifier["data"]["lo"]) / 2
                shifts[modifier["name"]] = shifts.get(modifier["name"], 0.0) + nominal * half
    expected = np.sqrt(square + sum(shift**2 for shift in shifts.values()))
    assert results["fit"]["channels"][2]["prefit"]["error"][0] == pytest.approx(expected, rel=0.01)


def test_a_fit_of_control_regions_alone_does_not_see_the_signal_region(out, stats_here):
    status, printed, _ = stats_here("fit", out)
    assert status == 0 and "CR_WZ *" in printed and "SR3L *" not in printed
    content = read_json(out / "stats" / "search" / "fit.json")
    assert content["fitted"] == ["CR_WZ"]
    assert not [p for p in content["parameters"] if "SR3L" in p["name"]]
    signal = content["channels"][0]
    factor = content["normalisation"]["diboson3L"]["value"]
    sample = signal["samples"]["diboson3L"]
    assert sample["postfit"] == pytest.approx(factor * np.array(sample["prefit"]), rel=1e-3)
    assert all(len(line) <= 80 for line in printed.splitlines())
    assert stats_here("fit", out, "--all", "--signal", "HNL150")[0] == 0
    assert read_json(out / "stats" / "search" / "fit.json")["parameters"][0]["kind"] in (
        "mu",
        "norm",
        "systematic",
    )
    assert stats_here("fit", out, "--all")[0] == 0


def test_a_fit_that_does_not_converge_is_one_line(out, stats_here, monkeypatch):
    class Lost(fit.iminuit.Minuit):
        valid = property(lambda self: False)

    path = out / "stats" / "search" / "fit.json"
    before = path.read_text()
    monkeypatch.setattr(fit.iminuit, "Minuit", Lost)
    status, _, err = stats_here("fit", out)
    assert status == 1 and err.count("\n") == 1
    assert "the fit of CR_WZ does not converge" in err and "try fewer" in err
    assert path.read_text() == before


def test_a_parameter_at_its_bound_is_told(out, stats_here, tmp_path):
    content = read_json(out / "stats" / "search" / "workspace_background.json")
    content["measurements"][0]["config"]["parameters"][0]["bounds"] = [[1.5, 10.0]]
    content["measurements"][0]["config"]["parameters"][0]["inits"] = [2.0]
    model, data = workspaces.build(content, tmp_path, poi=False)
    assert fit.fit(model, data, "it").at_bounds == ("norm_WZ",)


# --- limits and the rest ----------------------------------------------------------------------


def test_limits_of_the_chain(out, results):
    for one in results["limit"]["signals"].values():
        assert one["cross_section_pb"] == 0.5 and not one["asimov"]
        assert len(one["scan"]["mu"]) == len(one["scan"]["cls_expected"][4])
    model, data = model_of(out, "HNL450")
    pyhf.set_backend("numpy", pyhf.optimize.scipy_optimizer())
    observed = results["limit"]["signals"]["HNL450"]["observed"]
    assert float(pyhf.infer.hypotest(observed, data, model)) == pytest.approx(0.05, rel=0.01)


def test_significances_of_the_chain(results):
    for one in results["significance"]["signals"].values():
        assert one["observed"]["p0"] <= 0.5 and one["expected"]["z"] > 0
        assert one["cross_section_5_sigma_pb"] == one["strength_5_sigma"] * 0.5
        assert one["strength_5_sigma"] > one["strength_3_sigma"]
        assert one["asimov_z"] == pytest.approx(one["expected"]["z"], rel=0.5)


def test_the_plane_of_the_chain(results):
    plane = results["plane"]
    assert plane["y"] is None and [p["x"] for p in plane["points"]] == [150, 450]
    limits = results["limit"]["signals"]
    assert plane["grid"]["observed"][0][0] == pytest.approx(limits["HNL150"]["observed"])
    assert plane["grid"]["expected"][4][0][-1] == pytest.approx(limits["HNL450"]["expected"][4])


def test_counts_above_a_threshold(out, results):
    one = results["visible"]["regions"]["SR3L.m_3l.200"]
    tables = tables_of(out)
    assert one["observed"] == np.sum(tables["data"]["m_3l"] >= 200)
    parts = [tables[name] for name in ("WZ", "ZZ", "ttbar")]
    sums = [part["wgt_SG"][part["m_3l"] >= 200] for part in parts]
    assert one["background"] == pytest.approx(sum(s.sum() for s in sums))
    assert one["error"] > np.sqrt(sum((s**2).sum() for s in sums))
    assert one["visible_fb_observed"] == pytest.approx(one["s95_observed"] / 10)


def tables_of(out):
    results = Results(out)
    return {s.name: results.table("SR3L", s.name) for s in results.visible("SR3L")}


def test_visible_with_the_fitted_background(out, stats_here):
    status, printed, _ = stats_here("visible", out, "-r", "SR3L", "VR_WZ", "--fit", "--toys", 0)
    assert status == 0
    content = read_json(out / "stats" / "search" / "visible.json")["regions"]
    channel = read_json(out / "stats" / "search" / "fit.json")["channels"][0]
    assert content["SR3L"]["background"] == pytest.approx(sum(channel["postfit"]["total"]))
    assert all(len(line) <= 80 for line in printed.splitlines())


@pytest.mark.parametrize(
    ("name", "path", "command"),
    [
        ("model", ("channels",), "fit"),
        ("model", ("signals", "HNL450", "cross_section_pb"), "limit"),
        ("limit", ("signals", "HNL450", "expected"), "plane"),
    ],
)
def test_file_that_lacks_something_is_a_line(out, stats_here, tmp_path, name, path, command):
    shutil.copytree(out, tmp_path / "out")
    file = tmp_path / "out" / "stats" / "search" / f"{name}.json"
    content = read_json(file)
    inside = reduce(getitem, path[:-1], content)
    del inside[path[-1]]
    file.write_text(json.dumps(content))
    status, _, err = stats_here(command, tmp_path / "out")
    assert status == 1 and err.count("\n") == 1 and "Traceback" not in err
    assert f"{file}: {'.'.join(path)} is missing: make it with python -m analysis.stats" in err


def test_results_of_another_workspace_are_not_used(tmp_path, stats_here):
    out = stat_inputs.write_stats(tmp_path / "out", shifts=())
    stats_here("workspace", out, *WORDS)
    stats_here("limit", out, "--toys", 0)
    assert stats_here("plane", out)[0] == 0
    stats_here("workspace", out, "--count")
    status, _, err = stats_here("plane", out)
    assert status == 1 and "limit.json is of another workspace" in err and err.count("\n") == 1


def test_the_workspace_of_another_program(tmp_path, stats_here):
    quiet = workspaces.quiet
    with quiet():
        made = pyhf.Workspace.build(
            pyhf.simplemodels.uncorrelated_background([5.0], [50.0], [5.0]),
            [52.0, *[100.0]],
        )
    path = tmp_path / "theirs.json"
    path.write_text(json.dumps(made))
    status, printed, _ = stats_here("limit", "--workspace", path, "-o", tmp_path / "results")
    assert status == 0 and "theirs" in printed
    (one,) = read_json(tmp_path / "results" / "limit.json")["signals"].values()
    assert one["observed"] > 0 and one["cross_section_pb"] is None
    status, *_ = stats_here("significance", "--workspace", path, "-o", tmp_path / "results")
    assert status == 0
    status, _, err = stats_here("limit", "--workspace", path)
    assert status == 1 and "-o DIR" in err and err.count("\n") == 1
    path.write_text(path.read_text()[:-40])
    status, _, err = stats_here("limit", "--workspace", path, "-o", tmp_path / "results")
    assert status == 1 and "not valid JSON" in err and err.count("\n") == 1


def test_a_detector_is_an_observable(tmp_path, stats_here):
    out = stat_inputs.write_stats(
        tmp_path / "out", regions=("SR3L",), shifts=stat_inputs.SHIFTS[:1],
        declared=plot_inputs.DECLARED[:1] + plot_inputs.SCALARS,
    )  # fmt: skip
    plot_inputs.write_scores(out)
    words = ("--detector", plot_inputs.MODEL, "--name", "scores")
    status, _, err = stats_here("workspace", out, *words)
    assert status == 0, err
    model = read_json(out / "stats" / "scores" / "model.json")
    channel = model["channels"][0]
    assert channel["kind"] == "detector" and len(channel["edges"]) > 3
    total = Results(out).table("SR3L", "WZ")["wgt_SG"].sum()
    assert sum(channel["samples"]["diboson3L"]["yield"]) == pytest.approx(total)


def test_objects_that_are_shifted_need_scores_of_their_own(tmp_path, stats_here):
    out = stat_inputs.write_stats(
        tmp_path / "out", regions=("SR3L",), declared=plot_inputs.DECLARED[:1] + plot_inputs.SCALARS
    )
    plot_inputs.write_scores(out)
    status, _, err = stats_here("workspace", out, "--detector", plot_inputs.MODEL)
    assert status == 1 and "lacks sample 'WZ__scale_up'" in err and "--systematic" in err
    assert err.count("\n") == 1
    words = ("--detector", plot_inputs.MODEL, "--systematic", "tilt", "lumi")
    assert stats_here("workspace", out, *words)[0] == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("fit", "{out}", "--name", "other"), "no model.json"),
        (("limit", "{out}", "--signal", "HNL15"), "did you mean 'HNL150'"),
        (("limit",), "give the folder of a run"),
        (("plane", "{out}", "--signal", "HNL150"), "2 signals at least"),
        (("visible", "{out}", "--threshold", "3"), "needs an observable"),
        (("visible", "{out}", "-f", "m_3l", "--threshold", "3", "--fit"), "has no threshold"),
        (("visible", "{out}", "-f", "m_3l", "--threshold", "9000"), "no simulated background"),
    ],
)
def test_mistakes_are_one_line(out, stats_here, words, line):
    status, _, err = stats_here(*(word.format(out=out) for word in words))
    assert status == 1 and line in err and err.count("\n") == 1
