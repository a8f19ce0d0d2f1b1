"""Means of matrices: statistical errors, differences, and that each table is read once."""

import numpy as np
import plot_inputs
import pytest

from analysis.results import Results
from plotting import matrix
from plotting.draw_matrix import draw_matrix
from plotting.matrix_pictures import BACKGROUND, Matrices, span_of
from plotting.settings import Options


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    folder = plot_inputs.write_run(tmp_path_factory.mktemp("run") / "out")
    return Options(str(folder), folder / "plots", processes=1)


def sums(values, weights, log=None):
    """Sums of one cell."""
    made = matrix.Sums(1, log)
    made.add(np.asarray(values, float).reshape(-1, 1, 1), np.asarray(weights, float))
    return made


def test_error_of_a_weighted_mean():
    random = np.random.default_rng(3)
    x = random.normal(5, 2, 400)
    plain = sums(x, np.ones(400)).mean()
    assert plain.error[0, 0] == pytest.approx(x.std() / 20)
    assert plain.effective[0, 0] == pytest.approx(400)
    w = random.uniform(0.5, 3, 400)
    found = sums(x, w).mean()
    mean = np.average(x, weights=w)
    assert found.mean[0, 0] == pytest.approx(mean)
    assert found.spread[0, 0] == pytest.approx(np.sqrt(np.average((x - mean) ** 2, weights=w)))
    error = np.sqrt(np.sum(w**2 * (x - mean) ** 2)) / w.sum()
    assert found.error[0, 0] == pytest.approx(error)
    again = [np.average(random.choice(x, 400), weights=np.ones(400)) for _ in range(2000)]
    assert plain.error[0, 0] == pytest.approx(np.std(again), rel=0.06)


def test_missing_objects_do_not_count_in_gev_and_are_0_for_the_network():
    x, w = np.array([2.0, np.nan, 4.0, np.nan]), np.array([1.0, 5.0, 3.0, 1.0])
    made = sums(x, w)
    assert made.mean().mean[0, 0] == pytest.approx(14 / 4)
    one = np.ones((1, 1))
    scaled = made.mean(matrix.CellScaling(one < 0, 0.5 * one, 2 * one, ""))
    expected = 2 * (np.array([2.0, 0, 4, 0]) - 0.5)
    mean = np.average(expected, weights=w)
    assert scaled.mean[0, 0] == pytest.approx(mean)
    error = np.sqrt(np.sum(w**2 * (expected - mean) ** 2)) / w.sum()
    assert scaled.error[0, 0] == pytest.approx(error)
    log = one > 0
    logged = sums(x, w, log).mean(matrix.CellScaling(log, 0 * one, one, ""))
    assert logged.mean[0, 0] == pytest.approx((np.log(3) + 3 * np.log(5)) / 10)
    nobody = sums([np.nan], [1.0]).mean()
    assert np.isnan([nobody.mean, nobody.error]).all()


def test_events_in_both_means_count_once():
    random = np.random.default_rng(4)
    x, y = random.normal(1, 1, 300), random.normal(2, 1, 500)
    first, second = sums(x, np.full(300, 2.0)), sums(y, np.ones(500))
    a, b = first.mean(), second.mean()
    apart = matrix.difference_of(a, b)
    assert apart.error[0, 0] == pytest.approx(np.hypot(a.error, b.error)[0, 0])
    assert apart.significance[0, 0] == pytest.approx((apart.values / apart.error)[0, 0])
    both = (first + second).mean()
    inside = matrix.difference_of(a, both, a)
    share = 500 / 1100  # of the weight that is not in the first
    assert inside.values[0, 0] == pytest.approx(share * apart.values[0, 0])
    # What each event adds to a, and takes from the mean of all
    added = np.concatenate([2 * (x - a.mean[0, 0]) / 600, np.zeros(500)])
    taken = np.concatenate([2 * (x - both.mean[0, 0]), y - both.mean[0, 0]]) / 1100
    assert inside.error[0, 0] == pytest.approx(np.sqrt(np.sum((added - taken) ** 2)))
    itself = matrix.difference_of(a, a, a)
    assert itself.values[0, 0] == 0 and itself.error[0, 0] == pytest.approx(0, abs=1e-7)


def test_differences_have_errors_and_a_scale_that_holds_them(options):
    pictures = Matrices(options, "SR3L")
    for unit in ("gev", "network"):
        figure = pictures.difference("HNL450", BACKGROUND, unit)
        numbers = pictures.difference_numbers("HNL450", BACKGROUND, unit)
        seen = numbers.dropna(subset="difference")
        values = seen["relative" if unit == "gev" else "difference"]
        top = figure.axes[0].collections[0].norm.vmax
        assert 1.5 < top < np.abs(values).max()
        label = figure.axes[1].get_ylabel()
        assert f"to {values.max():.2g})" in label
        chance = (seen["significance"].abs() >= 2).eq(False)
        dots = figure.axes[0].collections[1].get_offsets()
        assert 0 < chance.sum() < len(seen) and len(dots) == chance.sum()
        places = {(int(y), int(x)) for x, y in dots}
        assert places == set(zip(seen["row"][chance], seen["column"][chance], strict=True))
    mean = pictures.mean_numbers("HNL450", "gev").set_index("feature")
    table = Results(options.output).table("SR3L", "HNL450")
    x, w = table["e_T_miss"].to_numpy(float), table["wgt_SG"].to_numpy()
    error = np.sqrt(np.sum(w**2 * (x - np.average(x, weights=w)) ** 2)) / w.sum()
    assert mean["error"]["e_T_miss"] == pytest.approx(error)


def test_a_process_minus_the_background_that_holds_it(options):
    pictures = Matrices(options, "SR3L")
    one, other = pictures.mean_of(["WZ"], "gev"), pictures.mean_of(["ZZ", "ttbar"], "gev")
    found = pictures.difference_of("diboson3L", BACKGROUND, "gev")
    share = other.w[0, 0] / (one.w + other.w)[0, 0]
    assert found.values[0, 0] == pytest.approx(share * (one.mean - other.mean)[0, 0])
    alone = np.hypot(one.error, pictures.mean_of_process(BACKGROUND, "gev").error)
    assert found.error[0, 0] < 0.8 * alone[0, 0]  # most of it is in both


def test_each_table_is_read_once(options, monkeypatch):
    read = []
    sums_of = matrix.sums_of
    monkeypatch.setattr(matrix, "sums_of", lambda *a: read.append(a[2]) or sums_of(*a))
    pictures = Matrices(options, "SR3L")
    names = pictures.filled()
    for unit in ("network", "gev"):
        for name in names:
            pictures.mean_of_process(name, unit)
        pictures.difference_of("HNL450", BACKGROUND, unit)
    assert sorted(read) == sorted(s.name for s in options.results.samples)


def test_range_of_a_scale():
    assert span_of(np.array([[1.0, -2.0], [np.nan, 3.0]])) == pytest.approx(2.9)
    assert span_of(np.full((2, 2), np.nan)) == 1 and span_of(np.zeros((2, 2))) == 1
    values = np.zeros((10, 10))
    values[0, 0] = 5.0
    assert span_of(values) == 5
    figure = draw_matrix(values, objects=list("abcdefghij"), blocks=(1, 9), span=1.0)
    assert "(from 0 to 5)" in figure.axes[1].get_ylabel()
