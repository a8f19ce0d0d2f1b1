"""Scalers agree with their definitions, honour weights, and do not depend on the blocks."""

import numpy as np
import pytest

from analysis.errors import M3LError
from analysis.records import SCALERS
from ml.scaling import ScalingFit, signed_log

UNITS = ("GeV", "", "GeV")


@pytest.fixture
def events():
    random = np.random.default_rng(3)
    x = np.stack(
        [random.exponential(100, 5000), random.normal(1, 2, 5000), random.gamma(2, 30, 5000)], 1
    )
    return x.astype("f4"), random.choice([0.5, 1.0, 4.0], 5000)


def fitted(kind, x, weight, block=10_000):
    fit = ScalingFit(kind, UNITS, len(x))
    for start in range(0, len(x), block):
        fit.partial_fit(x[start : start + block], weight[start : start + block])
    return fit.result()


@pytest.mark.parametrize("kind", SCALERS)
def test_inverse_undoes_transform(kind, events):
    scaling = fitted(kind, *events)
    np.testing.assert_allclose(
        scaling.inverse(scaling.transform(events[0])), events[0], rtol=2e-4, atol=1e-4
    )


@pytest.mark.parametrize("kind", SCALERS)
def test_blocks_do_not_matter(kind, events):
    whole, pieces = fitted(kind, *events), fitted(kind, *events, block=777)
    np.testing.assert_allclose(whole.shift, pieces.shift, rtol=1e-6)
    np.testing.assert_allclose(whole.factor, pieces.factor, rtol=1e-6)


@pytest.mark.parametrize("kind", ["standard", "log"])
def test_weighted_mean_is_0_and_variance_1(kind, events):
    x, weight = events
    scaled = fitted(kind, x, weight).transform(x)
    mean = np.average(scaled, weights=weight, axis=0)
    assert mean == pytest.approx([0] * 3, abs=1e-5)
    variance = np.average((scaled - mean) ** 2, weights=weight, axis=0)
    assert variance == pytest.approx([1] * 3, rel=1e-4)


def test_log_is_for_energies_only(events):
    scaling = fitted("log", *events)
    assert scaling.log.tolist() == [True, False, True]
    assert signed_log(np.array([-np.e + 1, 0, np.e - 1])) == pytest.approx([-1, 0, 1])


def test_minmax_spans_0_to_1_and_ignores_weightless_events(events):
    x, weight = events
    x[7], weight = 1e6, np.where(np.arange(len(x)) == 7, 0.0, weight)
    scaled = fitted("minmax", x, weight).transform(np.delete(x, 7, 0))
    assert scaled.min(0) == pytest.approx([0] * 3, abs=1e-6)
    assert scaled.max(0) == pytest.approx([1] * 3, abs=1e-6)


def test_robust_quartiles_are_weighted(events):
    x, weight = events
    scaled = fitted("robust", x, weight).transform(x)
    for column in scaled.T:
        assert weight[column < 0].sum() / weight.sum() == pytest.approx(0.5, abs=1e-3)
        low, high = (
            np.quantile(column, q, weights=weight, method="inverted_cdf") for q in (0.25, 0.75)
        )
        assert high - low == pytest.approx(1, abs=1e-4)
    doubled = fitted("robust", np.repeat(x, 2, axis=0), np.repeat(weight, 2))
    np.testing.assert_allclose(doubled.shift, fitted("robust", x, weight).shift)


def test_robust_falls_back_where_quartiles_coincide():
    x = np.zeros((100, 3), "f4")
    x[:10] = 5.0
    scaling = fitted("robust", x, np.ones(100))
    assert scaling.factor == pytest.approx([1 / x[:, 0].std()] * 3, rel=1e-5)


@pytest.mark.parametrize("kind", SCALERS)
def test_a_block_without_an_object_changes_nothing(kind, events):
    """scikit-learn turns such a column into NaN for good."""
    x, weight = events
    expected = fitted(kind, x, weight)
    missing = np.full((500, 3), np.nan, "f4")
    missing[:, 1:] = np.nan if kind == "minmax" else x[:500, 1:]
    fit = ScalingFit(kind, UNITS, 1)
    for block, w in ((missing, weight[:500]), (x, weight), (missing, weight[:500])):
        fit.partial_fit(block, w)
    assert fit.result().shift[0] == pytest.approx(expected.shift[0], rel=1e-5)
    assert fit.result().factor[0] == pytest.approx(expected.factor[0], rel=1e-5)


def test_bad_choices_are_named():
    with pytest.raises(M3LError, match="unknown scaler 'max'"):
        ScalingFit("max", UNITS, 1)
    with pytest.raises(M3LError, match="--weights absolute"):
        ScalingFit("robust", UNITS, 1).partial_fit(np.ones((2, 3)), np.array([1.0, -1.0]))
