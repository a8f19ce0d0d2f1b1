"""Test statistics against independent formulas, and against chance."""

import numpy as np
import pytest
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
    value, ndof, p = agreement.chi2_test(data, m, v)
    assert value == pytest.approx(4 / 11 + 9 / 30 + 1 / 30.5)
    assert (ndof, p) == (3, pytest.approx(chi2.sf(value, 3)))
    scale = data.sum() / m.sum()
    n, m, v = data, m * scale, v * scale**2
    shape = agreement.chi2_test(data, m / scale, v / scale**2, shape=True)
    assert shape[:2] == (pytest.approx(np.sum((n - m) ** 2 / (m + v))), 2)


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
