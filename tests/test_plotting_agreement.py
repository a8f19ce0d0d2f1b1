"""Test statistics against independent formulas, and against chance."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import chi2, ks_2samp, kstest

from analysis.results import Histogram
from plotting import agreement
from plotting.draw_agreement import draw_agreement


def test_merged_bins_hold_enough_and_cover_all():
    sumw = np.array([100.0, 50, 20, 4, 2, 1, 0.5, 0, 0])
    starts = agreement.merge_bins(sumw, sumw / 10)
    assert starts[0] == 0
    merged = np.add.reduceat(sumw, starts)
    assert merged.sum() == sumw.sum() and (merged >= agreement.MIN_EXPECTED).all()
    assert len(agreement.merge_bins(sumw / 1000, sumw / 1e4)) == 0
    # One event with a large weight is not enough.
    assert len(agreement.merge_bins(np.array([50.0]), np.array([2500.0]))) == 0


def test_chi2_is_the_formula():
    data, m, v = np.array([12.0, 25, 31]), np.array([10.0, 28, 30]), np.array([1.0, 2, 0.5])
    value, ndof, p, pulls = agreement.chi2_test(data, m, v)
    assert value == pytest.approx(4 / 11 + 9 / 30 + 1 / 30.5)
    assert (ndof, p, len(pulls)) == (3, pytest.approx(chi2.sf(value, 3)), 0)
    scale = data.sum() / m.sum()
    n, m, v = data, m * scale, v * scale**2
    shape = agreement.chi2_test(data, m / scale, v / scale**2, shape=True)
    assert shape[:2] == (pytest.approx(np.sum((n - m) ** 2 / (m + v))), 2)


def test_chi2_with_shifts_is_that_of_the_best_pulls():
    data, m, v = np.array([14.0, 31, 36]), np.array([10.0, 28, 30]), np.array([1.0, 2, 0.5])
    shifts = np.array([[1.0, 2.8, 3.0], [-2.0, 0.5, 1.0]])

    def penalised(pulls):
        return np.sum((data - m - pulls @ shifts) ** 2 / (m + v)) + np.sum(pulls**2)

    best = minimize(penalised, np.zeros(2))
    value, ndof, p, pulls = agreement.chi2_test(data, m, v, shifts=shifts)
    assert value == pytest.approx(best.fun)
    assert pulls == pytest.approx(best.x, abs=1e-5)
    assert (ndof, p) == (3, pytest.approx(chi2.sf(value, 3)))
    assert value < agreement.chi2_test(data, m, v)[0]
    # One bin pair, by hand: C = [[4 + 9, 9], [9, 4 + 9]].
    value, *_ = agreement.chi2_test(
        [107, 103], [100, 100], [300, 300], shifts=[[30.0, 30.0]], shape=False
    )
    inverse = np.linalg.inv(np.array([[1300.0, 900.0], [900.0, 1300.0]]))
    assert value == pytest.approx(np.array([7, 3]) @ inverse @ np.array([7, 3]))


def test_a_shift_of_the_yield_alone_is_none_of_the_shape():
    data, m, v = np.array([14.0, 31, 36]), np.array([10.0, 28, 30]), np.array([1.0, 2, 0.5])
    plain = agreement.chi2_test(data, m, v, shape=True)
    shifted = agreement.chi2_test(data, m, v, shape=True, shifts=[0.3 * m])
    assert shifted[:3] == pytest.approx(plain[:3])
    assert shifted[3] == pytest.approx([0], abs=1e-12)


def test_probabilities_are_uniform_where_the_simulation_is_shifted():
    """With its uncertainty they are, without it they are not."""
    random = np.random.default_rng(4)
    truth = 200 * np.exp(-np.arange(12) / 4)
    shifts = np.stack([0.1 * truth, 0.15 * truth * np.linspace(-1, 1, 12)])
    with_shifts, without = [], []
    for _ in range(600):
        data = random.poisson(truth + random.normal(size=2) @ shifts)
        with_shifts.append(agreement.chi2_test(data, truth, truth / 1e3, shifts=shifts)[2])
        without.append(agreement.chi2_test(data, truth, truth / 1e3)[2])
    assert kstest(with_shifts, "uniform").pvalue > 1e-3
    assert kstest(without, "uniform").pvalue < 1e-6


def test_distance_is_that_of_the_simulation_at_its_pulls():
    edges = np.arange(5.0)
    m = np.array([0, 100.0, 80, 60, 40, 0])
    shift = np.array([0, 20.0, 10, -10, -20, 0])
    background, data = Histogram(edges, m, m / 100), Histogram(edges, m + shift, m + shift)
    plain = agreement.compare("SR", "x", data, background)
    moved = agreement.compare("SR", "x", data, background, shifts=[shift])
    pull = agreement.chi2_test(data.sumw, m, m / 100, shifts=[shift])[3]
    assert 0.5 < pull[0] < 1
    assert moved.distance == pytest.approx((1 - pull[0]) * plain.distance)
    assert moved.p_ks > plain.p_ks and moved.p_chi2 > plain.p_chi2


def test_chi2_probabilities_are_uniform_for_good_simulation():
    random = np.random.default_rng(1)
    truth = 60 * np.exp(-np.arange(20) / 4)
    probabilities = []
    for _ in range(600):
        counts = random.poisson(truth * 8)  # simulation with weight 1/8
        data = random.poisson(truth)
        probabilities.append(agreement.chi2_test(data, counts / 8, counts / 64)[2])
    assert kstest(probabilities, "uniform").pvalue > 1e-3


def test_kolmogorov_smirnov_is_that_of_scipy_for_fine_bins():
    random = np.random.default_rng(2)
    first, second = random.normal(0, 1, 400), random.normal(0.1, 1, 3000)
    edges = np.linspace(-6, 6, 20001)
    histograms = [Histogram.of(x, np.full(len(x), 0.25), edges) for x in (first, second)]
    data, simulated = Histogram.of(first, np.ones(400), edges), histograms[1]
    distance, p = agreement.ks_test(data.sumw, simulated.sumw, simulated.sumw2)
    reference = ks_2samp(first, second)
    assert distance == pytest.approx(reference.statistic, abs=2e-3)
    assert p == pytest.approx(reference.pvalue, rel=0.1)


def made(data, background):
    edges = np.linspace(0, 10, 11)
    random = np.random.default_rng(3)
    return agreement.compare(
        "SR",
        "x",
        Histogram.of(random.normal(*data, 500), np.ones(500), edges),
        Histogram.of(random.normal(*background, 5000), np.full(5000, 0.1), edges),
    )


def test_worst_comes_first_and_has_its_verdict():
    good, bad = made((5, 2), (5, 2)), made((5, 2), (6, 2))
    nothing = agreement.compare("SR", "y", None, Histogram.empty(np.arange(3.0)), blind=True)
    found = agreement.judge([nothing, good, bad])
    assert [one.verdict for one in found] == ["disagrees", "agrees", "blind"]
    assert agreement.summary(found) == "disagrees: 1, agrees: 1, blind: 1"
    assert agreement.table_lines(found)[1].endswith("disagrees")


def test_what_cannot_be_tested():
    edges = np.arange(11.0)
    constant = Histogram.of(np.zeros(100), np.ones(100), edges)
    assert agreement.compare("SR", "x", constant, constant).verdict == "constant"
    few = Histogram.of(np.array([1.0, 5.0]), np.ones(2), edges)
    assert agreement.compare("SR", "x", few, few).verdict == "too few events"
    assert agreement.compare("SR", "x", None, few).verdict == "no data"
    assert agreement.compare("SR", "x", few, None).verdict == "too few events"
    assert agreement.judge([]) == []


def test_ranking_is_drawn():
    p = np.array([0.5, 1e-8, 0.2, 0.9])
    figure = draw_agreement(p, p, ["a", "b", "c", "d"], p < 1e-3, shown=3)
    ranking = figure.axes[0]
    assert [label.get_text() for label in ranking.get_yticklabels()] == ["b", "c", "a"]
    assert [bar.get_width() for bar in ranking.patches] == pytest.approx(
        -np.log10([1e-8, 0.2, 0.5])
    )
