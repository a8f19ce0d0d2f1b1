"""The ABCD method: what must come out, how often intervals hold, and what is wrong input."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from conftest import read_json
from plot_inputs import write_run, write_scores
from scipy import optimize, special, stats

from analysis.correlation import rank_correlation
from analysis.errors import InputError
from analysis.stats import abcd
from analysis.stats.__main__ import main

# --- counts -------------------------------------------------------------------------------------


def test_estimate_of_large_counts_is_that_of_propagation():
    found = abcd.estimate([10_000, 20_000, 40_000])
    expected = 5000 * np.sqrt(1 / 10_000 + 1 / 20_000 + 1 / 40_000)
    assert found.value == 5000 and found.propagated == pytest.approx(expected)
    assert (found.down + found.up) / 2 == pytest.approx(expected, rel=1e-3)
    assert found.up > found.down > 0.95 * expected and found.subtraction == 0


def test_what_is_subtracted_brings_its_own_error():
    found = abcd.estimate([110, 50, 210], (10, 0, 10), (4, 0, 9))
    assert found.value == 100 * 50 / 200
    assert found.subtraction == pytest.approx(np.hypot(50 / 200 * 2, 25 / 200 * 3))
    assert found.propagated == pytest.approx(25 * np.sqrt(110 / 100**2 + 1 / 50 + 210 / 200**2))


@pytest.mark.parametrize(
    ("counts", "subtracted"),
    [
        ([4, 7, 30], [0, 0, 0]),
        ([4, 7, 30], [1.5, 3, 10]),
        ([0, 5, 9], [0, 0, 1]),
        ([2, 0, 9], [3, 1, 1]),
    ],
)
@pytest.mark.parametrize("value", [0.01, 0.7, 3.0, 20.0])
def test_deviance_is_that_of_a_numerical_fit(counts, subtracted, value):
    counts, subtracted = np.array(counts, float), np.array(subtracted, float)

    def of(logarithms):
        c, d = np.exp(logarithms)
        return 2 * np.sum(special.kl_div(counts, np.array([value * d / c, c, d]) + subtracted))

    fits = [
        optimize.minimize(
            of, np.log([c, 20]), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-11}
        ).fun
        for c in (0.1, 1, 8)
    ]
    best = 2 * np.sum(special.kl_div(counts, np.maximum(counts, subtracted)))
    assert abcd.deviance(value, counts, subtracted) == pytest.approx(min(fits) - best, abs=2e-5)


def test_intervals_of_small_counts_cover():
    """Of pseudo-experiments with few events, 68 % contain the true value."""
    random = np.random.default_rng(5)
    truth = np.array([6.0, 8.0, 20.0])
    value = truth[0] * truth[1] / truth[2]
    toys = random.poisson(truth, (1500, 3))
    inside = [abcd.deviance(value, toy) < 1 for toy in toys]
    assert np.mean(inside) == pytest.approx(0.683, abs=0.04)
    for toy, flag in zip(toys[:100], inside, strict=False):
        found = abcd.estimate(toy)
        assert (found.value - found.down < value < found.value + found.up) == flag


def test_intervals_with_subtraction_cover():
    random = np.random.default_rng(6)
    truth, others = np.array([10.0, 12.0, 30.0]), np.array([5.0, 4.0, 10.0])
    toys = random.poisson(truth + others, (600, 3))
    inside = [abcd.deviance(4.0, toy, others) < 1 for toy in toys]
    assert np.mean(inside) == pytest.approx(0.683, abs=0.05)


def test_no_events_in_b_leave_an_upper_end():
    found = abcd.estimate([0, 10, 20])
    assert (found.value, found.down) == (0, 0) and found.up > 0
    # b = up d / c takes a half from the log likelihood, with c and d nearly at their best.
    assert found.up == pytest.approx(0.5 * 10 / 20, rel=0.1)


@pytest.mark.parametrize("counts", [[20, 10, 40, 90], [3, 12, 9, 44], [5, 40, 30, 200]])
def test_significance_is_that_of_a_contingency_table(counts):
    table = np.reshape(counts, (2, 2))
    squared = stats.chi2_contingency(table, correction=False, lambda_="log-likelihood").statistic
    z = abcd.significance(counts[0], counts[1:])
    assert z**2 == pytest.approx(squared, abs=1e-6)
    assert np.sign(z) == np.sign(counts[0] - counts[1] * counts[2] / counts[3])


def test_an_uncertain_method_is_less_significant():
    plain, uncertain = (abcd.significance(60, [100, 200, 800], relative=r) for r in (0.0, 0.5))
    # In logarithms, where the large error is Gaussian.
    error = np.sqrt(0.5**2 + 1 / 60 + 1 / 100 + 1 / 200 + 1 / 800)
    assert uncertain == pytest.approx(np.log(60 / 25) / error, rel=0.02) and plain > 4
    assert abcd.significance(25, [100, 200, 800]) == pytest.approx(0, abs=1e-3)


def test_an_empty_corner_d_is_an_error():
    with pytest.raises(InputError, match="corner D holds 0 events"):
        abcd.estimate([5, 5, 0])
    with pytest.raises(InputError, match="corner D holds 3 events, of which 4 are subtracted"):
        abcd.estimate([5, 5, 3], (0, 0, 4))


def test_a_corner_d_that_may_be_empty_is_an_error():
    """The estimate would have no upper end."""
    with pytest.raises(InputError, match="holds 400 events, hardly more than the 390"):
        abcd.estimate([100, 200, 400], (0, 0, 390))
    assert abcd.estimate([100, 200, 400], (0, 0, 370)).up > 1000


# --- correlation and closure --------------------------------------------------------------------


def test_rank_correlation_is_spearmans():
    random = np.random.default_rng(1)
    x = random.normal(size=800)
    y = x + random.normal(size=800)
    value, error = rank_correlation(x, np.round(y, 1), np.ones(800))
    assert value == pytest.approx(stats.spearmanr(x, np.round(y, 1)).statistic, abs=1e-9)
    assert error == pytest.approx((1 - value**2) / np.sqrt(800), rel=0.3)


def test_weights_are_repetitions():
    random = np.random.default_rng(2)
    x, y = random.normal(size=(2, 100))
    weights = random.integers(1, 5, 100)
    repeated = rank_correlation(
        np.repeat(x, weights), np.repeat(y, weights), np.ones(weights.sum())
    )
    assert rank_correlation(x, y, weights.astype(float))[0] == pytest.approx(repeated[0])
    # Pairs of events of opposite weights are not there.
    more = [np.concatenate([v, [9.0, 9.0]]) for v in (x, y)]
    signed = rank_correlation(*more, np.concatenate([weights, [3.0, -3.0]]))[0]
    assert signed == pytest.approx(repeated[0])


def test_no_correlation_without_variation():
    assert np.isnan(rank_correlation(np.ones(5), np.arange(5.0), np.ones(5))).all()
    assert np.isnan(rank_correlation(np.ones(0), np.ones(0), np.ones(0))).all()


def test_ratio_of_closure_has_the_error_that_it_says():
    """200 samples of weighted events, some negative, of independent variables."""
    random = np.random.default_rng(3)
    pulls = []
    for _ in range(200):
        x, y = random.random((2, 2000))
        weight = random.choice([0.5, 2.0, -0.5], 2000, p=[0.6, 0.3, 0.1])
        found = abcd.closure(*abcd.count(abcd.Events(x, y, weight), x > 0.6, y > 0.7))
        pulls.append((found.ratio - 1) / found.ratio_error)
    assert np.mean(pulls) == pytest.approx(0, abs=0.25)
    assert np.std(pulls) == pytest.approx(1, abs=0.15)


def test_sides_and_shares():
    values, weights = np.arange(10.0), np.ones(10)
    assert abcd.cut_at(values, weights, 0.2, "high") == 8
    low = abcd.Axis("x", False, "x", "", 2.0, "low")
    assert low.signal_like(values).sum() == 2
    assert abcd.Axis("x", False, "x", "", 8.0, "high").signal_like(values).sum() == 2


# --- a run --------------------------------------------------------------------------------------

X, Y = "ht_lep", "m_3l"


def planes(correlated=(), signal_data=0):
    """An edit of `write_run`: X and Y are independent but in the samples named."""

    def edit(region, sample, table):
        random = np.random.default_rng(sum(map(ord, sample)))
        x, y = random.exponential(size=(2, len(table)))
        if sample in correlated:
            y = 0.3 * y + 0.7 * x
        if sample == "HNL450":
            x, y = x + 3, y + 3
        if signal_data and sample == "data":
            x[:signal_data] = y[:signal_data] = 5.0
        table[X], table[Y] = (100 * x).astype("f4"), (100 * y).astype("f4")
        return table

    return edit


SAMPLES = (
    ("WZ", "diboson3L", "background", 9000, 40.0, 0.25),
    ("ttbar", "ttbar", "background", 3000, 60.0, 0.1),
    ("HNL450", "HNL450", "signal", 300, 180.0, 0.01),
    ("data", "data", "data", 2500, 42.0, 1.0),
)


def run(folder, *words, x=("-f", X), y=Y):
    main(["abcd", str(folder), *x, "--against", y, *map(str, words)])
    return read_json(folder / "stats" / "search" / "abcd.json")


@pytest.fixture(scope="module")
def independent(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("abcd") / "out", SAMPLES, edit=planes())


def by_hand(folder, sample, cuts):
    """(4,) sums of weights of a sample, by pandas."""
    table = pd.read_hdf(folder / "hdf5" / f"{sample}_SR3L.hdf5", "mini")
    signal_like = table[X] >= cuts[0], table[Y] >= cuts[1]
    return np.array(
        [
            table.wgt_SG[(signal_like[0] == first) & (signal_like[1] == second)].sum()
            for first, second in product((True, False), repeat=2)
        ]
    )


def test_independent_variables_close(independent, capsys):
    found = run(independent, "--cuts", 150, 160)
    data = by_hand(independent, "data", (150, 160))
    simulated = sum(by_hand(independent, name, (150, 160)) for name in ("WZ", "ttbar"))
    assert [found["corners"][c]["data"] for c in "BCD"] == data[1:].tolist()
    assert [found["corners"][c]["background"] for c in "ABCD"] == pytest.approx(simulated)
    assert found["estimate"]["value"] == pytest.approx(data[1] * data[2] / data[3])
    assert found["closure"]["ratio"] == pytest.approx(
        simulated[0] * simulated[3] / (simulated[1] * simulated[2])
    )
    assert abs(found["closure"]["ratio"] - 1) < 3 * found["closure"]["ratio_error"] < 0.5
    assert abs(found["correlation"]["value"]) < 4 * found["correlation"]["error"] < 0.1
    assert set(found["correlation"]["processes"]) == {"diboson3L", "ttbar"}
    assert found["notes"] == []
    assert {test["within"] for test in found["validation"]} == {"BD", "CD", "D"}
    assert all(abs(test["z"]) < 3.5 for test in found["validation"])
    printed = capsys.readouterr().out.splitlines()
    assert max(map(len, printed[:-1])) <= 80
    assert any(line.startswith("A  both") and "hidden" in line for line in printed)


def test_sub_regions_are_counted_without_a(independent):
    found = run(independent, "--cuts", 150, 160)
    table = pd.read_hdf(independent / "hdf5" / "data_SR3L.hdf5", "mini")
    for test in found["validation"]:
        inside = {"BD": table[Y] < 160, "CD": table[X] < 150}
        inside["D"] = inside["BD"] & inside["CD"]
        here = table[inside[test["within"]]]
        first = here[X] >= np.float64(test["x"])
        second = here[Y] >= np.float64(test["y"])
        assert test["data"] == (first & second).sum()
        b, c, d = (first & ~second).sum(), (~first & second).sum(), (~first & ~second).sum()
        assert test["estimate"] == pytest.approx(b * c / d)
        assert test["z"] == pytest.approx(abcd.significance(test["data"], [b, c, d]))


def test_cuts_are_chosen_on_simulated_background_alone(independent, tmp_path):
    found = run(independent)
    expected = [found["corners"][corner]["background"] for corner in "BCD"]
    assert min(expected) >= abcd.LEAST and found["share"] in abcd.SHARES
    others = write_run(
        tmp_path / "out", (*SAMPLES[:2], ("data", "data", "data", 100, 42.0, 1.0)), edit=planes()
    )
    again = run(others)
    assert [again[axis]["cut"] for axis in "xy"] == [found[axis]["cut"] for axis in "xy"]


def test_correlated_variables_do_not_close_and_it_is_said(tmp_path, capsys):
    folder = write_run(tmp_path / "out", SAMPLES, edit=planes(("WZ", "ttbar", "data")))
    found = run(folder, "--cuts", 150, 150)
    assert found["closure"]["ratio"] > 2
    relative = found["estimate"]["non_closure"] / found["estimate"]["value"]
    assert relative == pytest.approx(found["closure"]["ratio"] - 1)
    first, second = found["notes"][:2]
    value = found["correlation"]["value"]
    assert value > 0.5 and f"are correlated in simulated background ({value:.2f}" in first
    assert "the method does not close" in second
    assert max(test["z"] for test in found["validation"]) > 5
    assert "note: ht_lep and m_3l are correlated" in capsys.readouterr().out


def test_a_process_that_does_not_follow_is_subtracted(tmp_path):
    folder = write_run(tmp_path / "out", SAMPLES, edit=planes(("ttbar",)))
    found = run(folder, "--cuts", 150, 160, "--subtract", "ttbar")
    data, others = (by_hand(folder, name, (150, 160)) for name in ("data", "ttbar"))
    b, c, d = (data - others)[1:]
    assert found["estimate"]["value"] == pytest.approx(b * c / d)
    assert (found["subtracted"], found["estimated"]) == (["ttbar"], ["diboson3L"])
    assert found["estimate"]["subtraction"] > 0
    seen = run(folder, "--cuts", 150, 160, "--subtract", "ttbar", "--unblind")["observed"]
    assert seen["expected"] == pytest.approx(b * c / d + others[0])


def test_low_side(independent):
    high, low = (run(independent, "--cuts", 150, 160, "--sides", "high", s) for s in SIDES)
    swapped = dict(zip("ABCD", "BADC", strict=True))
    for corner, other in swapped.items():
        assert high["corners"][corner]["background"] == low["corners"][other]["background"]


SIDES = ("high", "low")


def test_data_in_a_is_hidden_until_asked_for(tmp_path):
    """Whatever is in A, nothing that is written changes."""
    several = [
        write_run(tmp_path / f"{number}", SAMPLES, edit=planes(signal_data=number))
        for number in (0, 40)
    ]
    # The same but for A: 40 events moved there from the first places.
    for folder in several:
        path = folder / "hdf5" / "data_SR3L.hdf5"
        table = pd.read_hdf(path, "mini")
        (table if folder == several[1] else table.iloc[40:]).to_hdf(
            path, key="mini", format="fixed"
        )
    hidden = [run(folder, "--cuts", 150, 160) for folder in several]
    for found in hidden:
        for key in ("run", "command"):
            found.pop(key)
        assert found["observed"] is None and found["corners"]["A"]["data"] is None
    assert hidden[0] == hidden[1]
    shown = [run(folder, "--cuts", 150, 160, "--unblind") for folder in several]
    counts = [found["corners"]["A"]["data"] for found in shown]
    assert counts[1] == counts[0] + 40
    assert shown[1]["observed"]["z"] > shown[0]["observed"]["z"] + 1
    assert np.sum(shown[1]["plane"]["data"]) == 2500


def test_plane_has_the_cuts_among_its_edges(independent):
    found = run(independent, "--cuts", 150, 160)
    plane = found["plane"]
    edges = [np.array(plane[f"{axis}_edges"]) for axis in "xy"]
    assert [np.abs(e - cut).min() < 1e-9 for e, cut in zip(edges, (150, 160), strict=True)]
    data = np.array(plane["data"], float)
    inside = np.outer(edges[0][:-1] > 149, edges[1][:-1] > 159)
    assert np.array_equal(np.isnan(data), inside)
    assert np.nansum(data) == sum(found["corners"][corner]["data"] for corner in "BCD")
    total = sum(found["corners"][corner]["background"] for corner in "ABCD")
    assert np.sum(plane["background"]) == pytest.approx(total)


def test_signals_are_told_corner_by_corner(independent):
    found = run(independent, "--cuts", 150, 160)
    signal = by_hand(independent, "HNL450", (150, 160))
    b = sum(by_hand(independent, name, (150, 160)) for name in ("WZ", "ttbar"))
    told = found["signals"]["HNL450"]
    assert list(told["yields"].values()) == pytest.approx(signal)
    assert list(told["shares"].values()) == pytest.approx(signal[1:] / b[1:])
    s = b + signal
    shift = (s[1] * s[2] / s[3]) / (b[1] * b[2] / b[3]) - 1
    assert told["shift"] == pytest.approx(shift)


def test_a_blind_region_has_simulation_for_data(tmp_path, capsys):
    folder = write_run(tmp_path / "out", SAMPLES, blind=("SR3L",), edit=planes())
    found = run(folder, "--cuts", 150, 160)
    assert found["asimov"] and found["corners"]["A"]["data"] is None
    assert found["corners"]["B"]["data"] == found["corners"]["B"]["background"]
    assert "blind: what stands for data" in capsys.readouterr().out
    assert "run_rdf.py --unblind" in fails(capsys, folder, "--unblind")


def test_scores_are_found(tmp_path):
    folder = write_scores(write_run(tmp_path / "out", SAMPLES, edit=planes()))
    found = run(folder, x=("--detector", "small"))
    assert found["x"]["score"] and found["x"]["name"] == "small"
    total = sum(found["corners"][corner]["background"] for corner in "ABCD")
    simulated = sum(by_hand(folder, name, (0, 0)).sum() for name in ("WZ", "ttbar"))
    assert total == pytest.approx(simulated)


# --- bad input ----------------------------------------------------------------------------------


def fails(capsys, folder, *words, x=("-f", X), y=Y):
    """The one line of a command that fails."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit:
        run(folder, *words, x=x, y=y)
    err = capsys.readouterr().err
    assert exit.value.code == 1 and len(err.splitlines()) == 1, err
    assert not (folder / "stats").exists() or "Traceback" not in err
    return err


@pytest.mark.parametrize(
    ("words", "x", "y", "said"),
    [
        ((), ("-f", X), X, "against itself"),
        ((), ("-f", "ht_le"), Y, "did you mean 'ht_lep'?"),
        ((), ("-f", X), "m_3", "did you mean 'm_3l'?"),
        (("-r", "SR3"), ("-f", X), Y, "did you mean 'SR3L'?"),
        (("--subtract", "ttba"), ("-f", X), Y, "did you mean 'ttbar'?"),
        (("--subtract", "HNL450"), ("-f", X), Y, "is no background"),
        (("--subtract", "ttbar", "diboson3L"), ("-f", X), Y, "no simulated background is left"),
        ((), ("--detector", "nobody"), Y, "no scores"),
        (("--cuts", 0, 0), ("-f", X), Y, "corner B, so that"),
        (("--cuts", 1e9, 160), ("-f", X), Y, "corner B, so that"),
        (("--cuts", -1, 160), ("-f", X), Y, "corner C, so that"),
    ],
)
def test_bad_input_is_one_line(independent, capsys, words, x, y, said):
    assert said in fails(capsys, independent, *words, x=x, y=y)


def test_wrong_usage(tmp_path, capsys):
    for words in ((), ("-f", "a", "--detector", "b"), ("-f", "a", "--cuts", "1", "nan")):
        with pytest.raises(SystemExit) as exit:
            main(["abcd", str(tmp_path), "--against", "c", *words])
        assert exit.value.code == 2 and len(capsys.readouterr().err.splitlines()) == 1


def test_no_data_is_one_line(tmp_path, capsys):
    folder = write_run(tmp_path / "out", SAMPLES[:3], edit=planes())
    assert "holds no data in 'SR3L'" in fails(capsys, folder)


def test_data_without_events_is_one_line(tmp_path, capsys):
    few = (*SAMPLES[:3], ("data", "data", "data", 0, 42.0, 1.0))
    folder = write_run(tmp_path / "out", few, edit=planes())
    assert "corner D holds 0 events" in fails(capsys, folder)


def test_too_little_simulation_is_one_line(tmp_path, capsys):
    few = (("WZ", "diboson3L", "background", 100, 40.0, 0.1), SAMPLES[-1])
    folder = write_run(tmp_path / "out", few, edit=planes())
    assert "no cuts leave 25 events" in fails(capsys, folder)
