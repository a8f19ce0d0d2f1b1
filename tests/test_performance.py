"""Numbers about cuts: areas, improvements, intervals, against closed forms and plain numpy."""

import numpy as np
import pytest
from scipy.stats import norm

from analysis import performance
from analysis.performance import choose_cuts, effective_events, judge, make_curve, survival
from analysis.rivals import RIVALS, VETOED, possible_rivals


def auc_by_pairs(background, signal, bw, sw):
    more = (signal[:, None] > background) + 0.5 * (signal[:, None] == background)
    return float(sw @ more @ bw / (sw.sum() * bw.sum()))


def test_area_is_that_of_all_pairs():
    random = np.random.default_rng(5)
    b, s = random.normal(0, 1, 400).round(1), random.normal(1, 1, 300).round(1)
    bw, sw = random.normal(1, 0.6, 400), random.uniform(0.5, 1, 300)
    curve = make_curve(b, bw, s, sw, 1, replicas=100)
    assert curve.auc == pytest.approx(auc_by_pairs(b, s, bw, sw))
    assert 0 < curve.auc_error < 0.05
    # Hanley and McNeil, Radiology 143 (1982) 29, for equal weights
    ones = make_curve(b, np.ones(400), s, np.ones(300), 1, replicas=400)
    a = ones.auc
    q1, q2 = a / (2 - a), 2 * a**2 / (1 + a)
    variance = (a * (1 - a) + 299 * (q1 - a**2) + 399 * (q2 - a**2)) / (300 * 400)
    assert ones.auc_error == pytest.approx(np.sqrt(variance), rel=0.2)


def test_curve_goes_through_known_points():
    values = np.arange(1000.0)
    curve = make_curve(values, np.ones(1000), values + 500, np.ones(1000), 1, replicas=50)
    at = np.argmin(np.abs(curve.background - 0.1))
    assert curve.signal[at] == pytest.approx(0.6, abs=5e-3)
    assert curve.improvement[0][at] == pytest.approx(0.6 / np.sqrt(curve.background[at]), abs=0.02)
    assert (curve.low <= curve.signal + 1e-9).all() and (curve.high >= curve.signal - 1e-9).all()
    assert curve.reach == pytest.approx(0.01)
    again = make_curve(values, np.ones(1000), values + 500, np.ones(1000), 1, replicas=50)
    assert (again.low == curve.low).all()


def gaussians(shift, events=20_000, seed=3):
    """Numbers of background and a signal, unit Gaussians, with weights that do not depend on it."""
    random = np.random.default_rng(seed)
    b, s = random.normal(0, 1, events), random.normal(shift, 1, events)
    return b, random.uniform(0.5, 1.5, events), s, random.uniform(0.1, 0.3, events)


@pytest.mark.parametrize("shift", [0.0, 1.0, 2.0])
def test_two_gaussians(shift):
    """A = Phi(shift / sqrt 2), and s = Phi(Phi^-1(b) + shift) where b of the background pass."""
    b, bw, s, sw = gaussians(shift)
    found = judge(b, bw, {"x": (s, sw)}, replicas=50)["x"]
    assert found.auc == pytest.approx(norm.cdf(shift / np.sqrt(2)), abs=0.006)
    assert found.auc_low < found.auc < found.auc_high
    assert [p.cut.asked for p in found.points] == [0.1, 0.01, 0.001]
    for point in found.points:
        expected = norm.cdf(norm.ppf(point.cut.efficiency) + shift) / np.sqrt(point.cut.efficiency)
        error = max(point.improvement_high - point.improvement_low, 0.01)
        assert point.improvement == pytest.approx(expected, abs=2 * error)
        assert point.improvement_low <= point.improvement <= point.improvement_high


def test_intervals_hold_what_repetitions_give():
    """The spread over independent samples is that of the bootstrap, threshold included."""
    single = judge(*gaussians(1.0, 2000)[:2], {"x": gaussians(1.0, 2000)[2:]}, replicas=300)["x"]
    others = []
    for seed in range(100, 220):
        b, bw, s, sw = gaussians(1.0, 2000, seed)
        others.append([p.improvement for p in judge(b, bw, {"x": (s, sw)})["x"].points])
    spread = np.std(others, axis=0)
    for number, point in enumerate(single.points[:2]):
        width = (point.improvement_high - point.improvement_low) / 2
        assert width == pytest.approx(spread[number], rel=0.3)


def test_numbers_are_those_of_plain_numpy():
    b, bw, s, sw = gaussians(1.0, 3000)
    bw[::7] *= -1
    b, s = b.round(1), s.round(1)
    found = judge(b, bw, {"x": (s, sw)}, points=(0.1,), relative=0.3)["x"]
    (point,) = found.points
    cuts = np.unique(b)[::-1]
    passed = np.array([bw[b >= cut].sum() for cut in cuts])
    first_above = np.flatnonzero(passed > 0.1 * bw.sum())[0]
    kept = b >= cuts[first_above - 1]
    assert point.cut.threshold == cuts[first_above - 1]
    assert point.cut.events == kept.sum()
    assert point.cut.effective == pytest.approx(effective_events(bw[kept]))
    assert point.cut.background == pytest.approx(bw[kept].sum())
    share = sw[s >= point.cut.threshold].sum() / sw.sum()
    assert point.efficiency == pytest.approx(share)
    assert point.improvement == pytest.approx(share / np.sqrt(bw[kept].sum() / bw.sum()))
    error = np.sqrt(np.sum(bw[kept] ** 2) + (0.3 * bw[kept].sum()) ** 2)
    expected = performance.significance(share * sw.sum(), bw[kept].sum(), error)
    assert point.significance == pytest.approx(expected)
    assert found.auc == pytest.approx(auc_by_pairs(b, s, bw, sw))


def test_scale_of_weights_and_order_of_events_change_nothing():
    b, bw, s, sw = gaussians(1.0, 3000)
    one = judge(b, bw, {"x": (s, sw)}, replicas=10)["x"]
    order = np.random.default_rng(1).permutation(3000)
    for other in (
        judge(b, 7.0 * bw, {"x": (s, 0.2 * sw)}, replicas=10)["x"],
        judge(np.exp(b), bw, {"x": (np.exp(s), sw)}, replicas=10)["x"],
        judge(b[order], bw[order], {"x": (s[order], sw[order])})["x"],
        judge(b, bw, {"y": (b, bw), "x": (s, sw)}, replicas=10)["x"],
    ):
        assert other.auc == pytest.approx(one.auc)
        for x, y in zip(one.points, other.points, strict=True):
            assert y.improvement == pytest.approx(x.improvement)
            assert (y.cut.events, y.cut.supported) == (x.cut.events, x.cut.supported)
            if len(other.replicas):
                assert y.improvement_low == pytest.approx(x.improvement_low)


def test_cuts_with_few_effective_events_are_refused():
    values = np.arange(5000.0)
    cuts = choose_cuts(values, np.full(5000, 0.1))
    assert [c.supported for c in cuts] == [True, True, False]
    assert [c.events for c in cuts] == [500, 50, 10]
    assert cuts[-1].efficiency == pytest.approx(10 / 5000) and cuts[-1].asked == 0.001
    # One event of a large weight among the tightest: raw events are many, effective ones few.
    heavy = np.ones(5000)
    heavy[-1] = 20.0
    (cut,) = choose_cuts(values, heavy, (0.01,))
    assert not cut.supported and cut.events > 30 and cut.effective >= 10
    assert effective_events(heavy[-cut.events + 1 :]) < 10
    assert choose_cuts(values[:9], np.ones(9)) == []
    assert choose_cuts(values[:0], values[:0]) == []
    assert choose_cuts(values, -np.ones(5000)) == []


def test_equal_numbers_cannot_be_cut():
    found = judge(np.ones(100), np.ones(100), {"x": (np.ones(5), np.ones(5))}, replicas=5)["x"]
    assert found.auc == pytest.approx(0.5)
    assert {(p.cut.supported, p.cut.efficiency, p.improvement) for p in found.points} == {
        (False, 1.0, 1.0)
    }
    assert judge(np.ones(9), np.zeros(9), {"x": (np.ones(5), np.ones(5))}) == {}
    assert judge(np.ones(9), np.ones(9), {"x": (np.ones(5), np.zeros(5))}) == {}


def test_significance():
    assert performance.significance(10, 100, 0) == pytest.approx(0.9839, abs=1e-3)
    assert performance.significance(10, 100, 1e-4) == pytest.approx(0.9839, abs=1e-3)
    assert performance.significance(10, 100, 10) < 0.8
    assert np.isnan(performance.significance(1, 0, 0))


def test_survival():
    values = np.array([0.0, 1.0, 2.5, 9.0])
    background, weight = np.array([1.0, 3.0, 2.0, 1.0]), np.array([1.0, 4.0, 2.0, 3.0])
    expected = [weight[background >= v].sum() / 10 for v in values]
    assert survival(values, background, weight) == pytest.approx(expected)


def test_rivals():
    columns = {
        "e_T_miss": [10.0, 10.0, 10.0],
        "ht_lep": [100.0, 100.0, 100.0],
        "ht_jet": [0.0, 30.0, 30.0],
        "m_sfos": [0.0, 91.0, 120.0],
        "n_bjet": [0, 0, 1],
    }
    found = {rival.name: list(rival(columns)) for rival in RIVALS}
    assert found == {
        "met": [10.0] * 3,
        "lt_met": [110.0] * 3,
        "m_eff": [110.0, 140.0, 140.0],
        "z_veto": [110.0, VETOED, 110.0],
        "no_ossf": [110.0, VETOED, VETOED],
    }
    assert [r.name for r in possible_rivals(["e_T_miss", "ht_lep", "m_3l"])] == ["met", "lt_met"]
