"""Pseudo-data: p-values are uniform where they must be, injected signals are seen as injected."""

import json
import shutil
import subprocess
from types import SimpleNamespace

import ml_tables
import numpy as np
import pytest
import score_inputs
from scipy.stats import kstest, poisson

from analysis.performance import bin_significance, significance
from ml import protocol
from ml.__main__ import main
from ml.frozen import State
from ml.protocol import count_pvalue, examine_one, ks_pvalue, signal_for
from ml.study import Numbers


def numbers(background, weight, signal=None):
    random = np.random.default_rng(1)
    signal = random.normal(3, 1, 2000) if signal is None else signal
    signals = {"x": (signal, np.full(len(signal), 0.01), np.ones(len(signal), bool))}
    return Numbers("a", "detector", "a", (background, weight), signals, State(False, None, ""))


@pytest.fixture(scope="module")
def examined():
    random = np.random.default_rng(4)
    weight = random.uniform(0.1, 0.5, 40_000)
    return examine_one(numbers(random.normal(0, 1, 40_000), weight), ["x"], 200, 1)


def test_p_values_without_a_signal_are_uniform(examined):
    uniform, _ = examined
    assert uniform.experiments == 200
    assert uniform.events == pytest.approx(12_000, rel=0.02)
    assert uniform.ks_median == pytest.approx(0.5, abs=0.12)
    assert uniform.ks_small <= 0.12
    assert uniform.count_median == pytest.approx(0.5, abs=0.12)
    assert uniform.count_small <= 0.12
    assert uniform.count_ks > 0.001
    assert uniform.efficiency == pytest.approx(0.001, rel=0.1)


def test_response_is_what_was_injected(examined):
    _, responses = examined
    assert [one.strength for one in responses["x"]] == [0, 1, 3, 5]
    for one in responses["x"]:
        assert one.mean == pytest.approx(one.strength, abs=0.3)
        assert 0.4 < one.spread < 1.4
    nothing, *_, strong = responses["x"]
    assert nothing.signal == 0 and nothing.found < 0.03
    assert strong.found > 0.97 and strong.signal > responses["x"][1].signal


def test_pseudo_data_of_another_shape_are_noticed():
    """Scores of the second half shifted: the test of uniformity must fail."""
    random = np.random.default_rng(5)
    calibration, data = random.normal(0, 1, 5000), random.normal(0.2, 1, 5000)
    p = protocol.survival(data, calibration, np.ones(5000))
    assert ks_pvalue(p, 2500) < 1e-3
    p = protocol.survival(random.normal(0, 1, 5000), calibration, np.ones(5000))
    assert ks_pvalue(p, 2500) > 1e-3


def test_test_of_uniformity_is_that_of_scipy():
    p = np.random.default_rng(6).uniform(size=2000)
    assert ks_pvalue(p, len(p)) == pytest.approx(kstest(p, "uniform").pvalue, abs=0.005)
    assert ks_pvalue(np.array([]), 1) == 1
    assert ks_pvalue(np.ones(50), 50, [1.0]) == pytest.approx(1)
    assert ks_pvalue(np.repeat([0.25, 1.0], [250, 750]), 1000, [0.25, 1.0]) == pytest.approx(1)
    assert ks_pvalue(np.repeat([0.25, 1.0], [300, 700]), 1000, [0.25, 1.0]) < 0.05


def test_p_value_of_a_count():
    assert count_pvalue(5, 2.0, 0.0, 1.0) == pytest.approx(poisson.sf(4, 2.0))
    assert count_pvalue(5, 2.0, 0.0, 0.0) == pytest.approx(poisson.sf(5, 2.0))
    assert count_pvalue(5, 2.0, 1e-4, 1.0) == pytest.approx(poisson.sf(4, 2.0), rel=1e-3)
    assert count_pvalue(5, 2.0, 1.0, 1.0) > poisson.sf(4, 2.0)
    random = np.random.default_rng(7)
    drawn = random.poisson(random.gamma(25, 10 / 25, 1000))
    p = [count_pvalue(n, 10.0, 2.0, random.random()) for n in drawn]
    assert kstest(p, "uniform").pvalue > 0.001


def test_observed_significance_is_that_which_is_expected():
    for s in (1.0, 10.0):
        assert bin_significance(20 + s, 20.0, 3.0) == pytest.approx(significance(s, 20, 3))
    assert bin_significance(20, 20.0, 3.0) == pytest.approx(0)
    assert bin_significance(12, 20.0, 3.0) < -1
    assert bin_significance(0, 5.0, 0.0) == pytest.approx(-np.sqrt(10), rel=1e-3)
    for strength in (0.0, 1.0, 5.0):
        found = signal_for(strength, 20.0, 3.0)
        assert significance(found, 20.0, 3.0) == pytest.approx(strength)


def test_little_or_strange_background():
    few = examine_one(numbers(np.arange(12.0), np.ones(12)), ["x"], 3, 1)
    assert few == (None, {"x": []})
    equal, found = examine_one(numbers(np.ones(500), np.ones(500), np.zeros(9)), ["x"], 3, 1)
    assert equal.efficiency == pytest.approx(1) and equal.ks_median == 1 and found == {"x": []}
    weight = np.where(np.arange(5000) % 10 == 0, -0.5, 1.0)
    value = np.random.default_rng(1).normal(size=5000)
    negative, _ = examine_one(numbers(value, weight), ["x"], 5, 1)
    assert negative.events == pytest.approx(4500, rel=0.05)


@pytest.fixture
def folder(tmp_path):
    return score_inputs.write_scored(tmp_path / "out")


def test_command(folder, capsys):
    arguments = ["protocol", str(folder), "--experiments", "4", "--seed", "3"]
    main(arguments)
    text = capsys.readouterr().out
    for word in ("seed 3", "good", "z_veto", "neutrino injected", "5 sigma"):
        assert word in text
    left_out, *lines = text.splitlines()
    assert left_out.startswith("isolation is left out") and max(map(len, lines[:-1])) <= 100
    path = folder / "study" / "protocol.json"
    first = path.read_bytes()
    assert json.loads(first)["scores"]["good"]["injections"]["neutrino"][0]["strength"] == 0
    main(arguments)
    assert path.read_bytes() == first


def test_command_without_a_signal(tmp_path, capsys):
    out = score_inputs.write_scored(tmp_path / "out", ml_tables.SAMPLES[:2])
    main(["protocol", str(out), "--experiments", "2"])
    assert "no signal in" in capsys.readouterr().out


def test_seeds_need_a_detector(folder, capsys):
    with pytest.raises(SystemExit):
        main(["protocol", str(folder), "--seeds", "2"])
    assert "say which detectors" in capsys.readouterr().err


def test_other_seeds(folder, capsys, monkeypatch):
    """The commands that are run, with a stand-in for the training."""
    (folder / "models" / "good").mkdir(parents=True)
    ran = []

    def stand_in(command, **_):
        ran.append(command[3:])
        out = protocol.Path(command[4])
        assert (out / "hdf5").is_symlink() and (out / "run.json").exists()
        if command[3] == "score" and not (out / "scores").exists():
            shutil.copytree(folder / "scores", out / "scores")
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(subprocess, "run", stand_in)
    arguments = ["protocol", str(folder), "--experiments", "2", "--detector", "good"]
    main([*arguments, "--seeds", "2", "--seed", "7"])
    assert [command[0] for command in ran] == ["train", "score"] * 2
    assert ["--seed", "8"] == ran[2][4:6]
    found = json.loads((folder / "study" / "protocol.json").read_text())["seeds"]["good"][
        "neutrino"
    ]
    assert found["seeds"] == [7, 8] and found["spread"] == 0 and len(found["improvements"]) == 2
    assert "improvements over seeds" in capsys.readouterr().out
    assert sorted(p.name for p in (folder / "scores").iterdir()) == ["good", "useless"]
    failed = SimpleNamespace(returncode=1, stderr="m3l: no such thing\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(SystemExit):
        main([*arguments, "--seeds", "1"])
    assert "train failed for good, seed 1: no such thing" in capsys.readouterr().err
