"""Limits and significances: closed formulas, pyhf itself, invariances, coverage."""

import numpy as np
import pyhf
import pytest
from scipy.optimize import brentq
from scipy.stats import norm, poisson

from analysis.errors import InputError
from analysis.stats import likelihoods
from analysis.stats.discovery import discover, significance_formula
from analysis.stats.hypotheses import Hypotheses
from analysis.stats.likelihoods import Likelihood
from analysis.stats.limits import upper_limit
from analysis.stats.plane import Point, crossings, interpolate, masses_in, place_signals
from analysis.stats.visible import Background, visible
from analysis.stats.workspaces import INTERPOLATION

# jsonschema has a newer class than the one that pyhf takes.
pytestmark = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")


def modifier(name, kind, data=None):
    return {"name": name, "type": kind, "data": data}


def spec_of(signal, background, *more, control=None):
    """One channel of a signal and a background with modifiers, perhaps a control region."""
    strength = modifier("mu", "normfactor")
    free = [modifier("norm", "normfactor")] if control else []
    channels = [
        {
            "name": "SR",
            "samples": [
                {"name": "signal", "data": list(signal), "modifiers": [strength]},
                {"name": "background", "data": list(background), "modifiers": [*more, *free]},
            ],
        }
    ]
    if control:
        only = {"name": "background", "data": [control], "modifiers": free}
        channels.append({"name": "control", "samples": [only]})  # behind SR in pyhf's order
    return {"channels": channels}


def model_of(spec):
    return pyhf.Model(spec, poi_name="mu", modifier_settings=INTERPOLATION)


def hypotheses_of(spec, events, **more):
    model = model_of(spec)
    return Hypotheses(model, [*events, *model.config.auxdata], "it", **more)


def everything():
    """A model with modifiers of all kinds."""
    shape = {"hi_data": [11.0, 5.5, 2.4], "lo_data": [9.5, 4.0, 1.0]}
    spec = spec_of(
        [1.0, 2.0, 3.0],
        [10.0, 5.0, 2.0],
        modifier("stat", "staterror", [1.0, 0.8, 0.6]),
        modifier("size", "normsys", {"hi": 1.1, "lo": 0.8}),
        modifier("tilt", "histosys", shape),
        modifier("size", "histosys", shape),
        control=20.0,
    )
    own = modifier("own", "shapesys", [0.2, 0.3, 0.0])
    spec["channels"][0]["samples"][0]["modifiers"] += [
        own,
        modifier("size", "normsys", {"hi": 1.3, "lo": 0.9}),
        modifier("lumi", "lumi"),
    ]
    spec["channels"][1]["samples"].append(
        {"name": "other", "data": [3.0], "modifiers": [modifier("form", "shapefactor")]}
    )
    lumi = {"name": "lumi", "auxdata": [1.0], "sigmas": [0.02], "inits": [1.0]}
    spec["parameters"] = [lumi | {"bounds": [[0.5, 1.5]]}]
    return spec


# --- the likelihood ---------------------------------------------------------------------------


def test_the_likelihood_is_that_of_pyhf():
    model = model_of(everything())
    likelihood, random = Likelihood(model), np.random.default_rng(1)
    data = np.array([12.0, 4.0, 3.0, 25.0, *model.config.auxdata])
    spread = np.where(likelihood.prefit > 0, likelihood.prefit, 0.3)
    points = likelihood.start + spread * random.normal(0, 1.2, (40, len(spread)))
    points = np.clip(points, likelihood.low + 0.01, np.minimum(likelihood.high, 5))
    mine = likelihood.nll(points, np.tile(data, (40, 1)))
    its = np.array([-float(model.logpdf(point, data)[0]) for point in points])
    good = np.isfinite(mine)  # else yields are negative
    assert good.sum() > 20 and np.array_equal(good, np.isfinite(its))
    assert np.ptp((mine - its)[good]) < 1e-9
    for point in points[:5]:
        expected = likelihood.expected(point[None])[0]
        assert expected == pytest.approx(np.asarray(model.expected_actualdata(point)))
        assert likelihood.asimov(point) == pytest.approx(np.asarray(model.expected_data(point)))


def test_fit_that_ends_early_ends_in_another_way(monkeypatch):
    """Far data, too, for which the steps are too few; the minimum is the same."""
    model = model_of(everything())
    likelihood = Likelihood(model)
    for events in ([12.0, 4.0, 3.0, 25.0], [40.0, 30.0, 20.0, 25.0]):
        data = np.array([*events, *model.config.auxdata])
        expected = likelihood.fit([data], 0.0)
        assert expected.converged.all()
        monkeypatch.setattr(likelihoods, "MOST_STEPS", 2)
        found = likelihood.fit([data], 0.0)
        assert found.converged.all() and found.nll == pytest.approx(expected.nll, rel=1e-4)
        monkeypatch.setattr(likelihoods, "RESCUED", 0)
        assert not likelihood.fit([data], 0.0).converged.any()
        monkeypatch.undo()


def test_derivatives_are_those_of_differences():
    likelihood = Likelihood(model_of(everything()))
    random = np.random.default_rng(2)
    point = likelihood.start + 0.5 * random.normal(size=len(likelihood.start)) * likelihood.prefit
    step = 1e-6 * np.eye(len(point))
    numeric = (likelihood.expected(point + step) - likelihood.expected(point - step)).T / 2e-6
    assert likelihood.expected(point[None], True)[1][0] == pytest.approx(numeric, abs=1e-6)
    data = likelihood.asimov(likelihood.start)
    both = np.array(
        [likelihood.nll(point + s * step, np.tile(data, (len(point), 1))) for s in (1, -1)]
    )
    assert likelihood.slope(point, data) == pytest.approx((both[0] - both[1]) / 2e-6, abs=1e-5)


def test_pseudo_data_are_distributed_as_the_model_says():
    likelihood = Likelihood(model_of(everything()))
    toys = likelihood.sample(likelihood.start, 20_000, np.random.default_rng(3))
    mean = likelihood.asimov(likelihood.start)
    assert toys.mean(axis=0) == pytest.approx(mean, rel=0.05, abs=0.05)
    assert toys[:, : likelihood.bins].var(axis=0) == pytest.approx(
        mean[: likelihood.bins], rel=0.05
    )
    assert np.all(toys[:, : likelihood.bins] == np.round(toys[:, : likelihood.bins]))


@pytest.mark.parametrize("seed", range(3))
def test_fits_find_the_minimum_that_minuit_finds(seed):
    model = model_of(everything())
    likelihood = Likelihood(model)
    toys = likelihood.sample(likelihood.start, 5, np.random.default_rng(seed))
    fits = likelihood.fit(toys)
    assert fits.converged.all()
    pyhf.set_backend("numpy", pyhf.optimize.minuit_optimizer(tolerance=1e-3))
    for toy, nll in zip(toys, fits.nll, strict=True):
        its = np.asarray(pyhf.infer.mle.fit(toy.tolist(), model))
        assert nll <= likelihood.nll(its[None], toy[None])[0] + 1e-5


# --- closed formulas --------------------------------------------------------------------------


def counting(signal, background):
    return spec_of([signal], [background])


@pytest.mark.parametrize(("observed", "background"), [(110, 100.0), (95, 100.0), (30, 25.0)])
def test_one_bin_without_uncertainty(observed, background):
    """Against the likelihood ratio of a Poisson distribution, written down."""
    hypotheses = hypotheses_of(counting(1.0, background), [observed])
    excess = max(observed - background, 0.0)

    def nll(n, s):
        return s + background - n * np.log(s + background)

    z0 = np.sqrt(2 * (nll(observed, 0) - nll(observed, excess)))
    assert hypotheses.significance() == pytest.approx(z0, abs=1e-5)

    def cls(s):
        q = 2 * (nll(observed, s) - nll(observed, excess)) if s > excess else 0.0
        asimov = 2 * (nll(background, s) - nll(background, 0))
        root, sigma = np.sqrt(q), np.sqrt(asimov)
        shift = root - sigma if q <= asimov else (q - asimov) / (2 * sigma)
        return norm.sf(shift + sigma) / norm.sf(shift)

    limit = upper_limit(hypotheses, toys=0)
    assert limit.observed == pytest.approx(brentq(lambda s: cls(s) - 0.05, 1, 500), rel=1e-4)

    def median(s):
        return 2 * norm.sf(np.sqrt(2 * (nll(background, s) - nll(background, 0)))) - 0.05

    assert limit.expected[2] == pytest.approx(brentq(median, 1, 500), rel=1e-4)
    assert np.all(np.diff(limit.expected) > 0)


def test_no_event_and_no_background_excludes_three():
    """CLs of no event is exp(-s), whatever the background: 2.996 events."""
    hypotheses = hypotheses_of(counting(1.0, 0.5), [0])
    limit = upper_limit(hypotheses, toys=20_000)
    assert limit.method == "toys" and limit.observed == pytest.approx(-np.log(0.05), rel=0.03)


def test_toys_of_few_events_are_poisson_probabilities():
    signal, background, observed = 6.0, 2.0, 3
    hypotheses = hypotheses_of(counting(1.0, background), [observed])
    cls, _, _ = hypotheses.toy_cls([signal], 40_000, np.random.default_rng(1))
    exact = poisson.cdf(observed, signal + background) / poisson.cdf(observed, background)
    assert cls[0] == pytest.approx(exact, rel=0.05)
    found = discover(hypotheses_of(counting(3.0, background), [5]), toys=40_000)
    assert found.method == "toys"
    assert found.p0_observed == pytest.approx(poisson.sf(4, background), rel=0.05)


def test_toys_agree_with_the_formulas_where_there_are_many_events():
    spec = spec_of([10.0], [100.0], modifier("size", "normsys", {"hi": 1.05, "lo": 0.95}))
    hypotheses = hypotheses_of(spec, [105])
    formulas, toys = upper_limit(hypotheses, 0), upper_limit(hypotheses, 3000)
    assert (formulas.method, toys.method) == ("asymptotic", "toys")
    assert toys.observed == pytest.approx(formulas.observed, rel=0.1)
    assert toys.expected[1:4] == pytest.approx(formulas.expected[1:4], rel=0.12)


def test_toys_are_taken_where_few_events_decide():
    """Half of the background that decides: five events, whatever lies elsewhere."""
    few = spec_of([1.0, 4.0], [1000.0, 2.0])
    many = spec_of([400.0, 0.1], [1000.0, 2.0])
    assert upper_limit(hypotheses_of(few, [1000, 2]), 0).sensitive == pytest.approx(2, rel=0.1)
    assert upper_limit(hypotheses_of(many, [1000, 2]), 0).sensitive == pytest.approx(1000, rel=0.1)
    assert upper_limit(hypotheses_of(few, [1000, 2])).method == "toys"
    assert upper_limit(hypotheses_of(many, [1000, 2])).method == "asymptotic"


def test_the_formula_of_significance():
    known = np.sqrt(2 * (60 * np.log(60 / 50) - 10))
    assert significance_formula([10.0], [50.0], [0.0])[0] == pytest.approx(known)
    s, b, v = 10.0, 50.0, 25.0
    first = (s + b) * np.log((s + b) * (b + v) / (b**2 + (s + b) * v))
    second = b**2 / v * np.log(1 + v * s / (b * (b + v)))
    expected = np.sqrt(2 * (first - second))
    assert significance_formula([s], [b], [5.0])[0] == pytest.approx(expected)
    assert significance_formula([s], [b], [1e-3])[0] == pytest.approx(known, rel=1e-4)
    assert list(significance_formula([1.0, 0.0], [0.0, 1.0], [1.0, 1.0])) == [0, 0]


def test_the_formula_is_the_significance_of_a_counted_background():
    """A background of `on / off` measurements has the likelihood of the formula."""
    tau = 2.0
    spec = spec_of([10.0], [50.0], modifier("own", "shapesys", [50 / np.sqrt(50 * tau)]))
    found = discover(hypotheses_of(spec, [50]), toys=0)
    formula = significance_formula([10.0], [50.0], [np.sqrt(50 / tau)])
    assert found.asimov == pytest.approx(formula[0], rel=1e-6)
    assert hypotheses_of(spec, [60]).significance() == pytest.approx(formula[0], rel=1e-4)


# --- pyhf's own inference ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def compared():
    model = model_of(everything())
    events = [12.0, 4.0, 3.0]
    data = [*events, 25.0, *model.config.auxdata]
    pyhf.set_backend("numpy", pyhf.optimize.scipy_optimizer(tolerance=1e-9))
    bounds = model.config.suggested_bounds()
    bounds[model.config.poi_index] = (0, 1000)
    return model, data, bounds, Hypotheses(model, data, "it")


def test_cls_are_those_of_pyhf(compared):
    model, data, bounds, hypotheses = compared
    pyhf.set_backend("numpy", pyhf.optimize.scipy_optimizer(tolerance=1e-9))
    for strength in (0.7, 2.0):
        its = pyhf.infer.hypotest(
            strength, data, model, par_bounds=bounds, return_expected_set=True, test_stat="qtilde"
        )
        cls, expected = hypotheses.cls([strength])
        assert cls[0] == pytest.approx(float(its[0]), rel=1e-3)
        assert expected[0] == pytest.approx([float(value) for value in its[1]], rel=1e-3)


def test_p0_is_that_of_pyhf(compared):
    model, data, bounds, hypotheses = compared
    pyhf.set_backend("numpy", pyhf.optimize.scipy_optimizer(tolerance=1e-9))
    its = pyhf.infer.hypotest(
        0.0, data, model, par_bounds=bounds, return_expected=True, test_stat="q0"
    )
    found = discover(hypotheses, toys=0)
    assert found.p0_observed == pytest.approx(float(its[0]), rel=1e-3)
    assert found.p0_expected == pytest.approx(float(its[1]), rel=1e-3)


def test_limits_are_where_pyhf_has_them(compared):
    model, data, bounds, hypotheses = compared
    pyhf.set_backend("numpy", pyhf.optimize.scipy_optimizer(tolerance=1e-9))
    limit = upper_limit(hypotheses, toys=0)
    its = pyhf.infer.hypotest(
        limit.observed, data, model, par_bounds=bounds, return_expected_set=True
    )
    assert float(its[0]) == pytest.approx(0.05, rel=2e-3)
    its = pyhf.infer.hypotest(
        limit.expected[2], data, model, par_bounds=bounds, return_expected_set=True
    )
    assert float(its[1][2]) == pytest.approx(0.05, rel=2e-3)


# --- invariances ------------------------------------------------------------------------------

STAT = modifier("stat", "staterror", [4.0, 2.0])


def test_a_signal_that_is_larger_has_smaller_limits():
    one = upper_limit(hypotheses_of(spec_of([3.0, 6.0], [50.0, 20.0], STAT), [52, 23]), 0)
    for factor in (1e-4, 7.0, 1e5):
        signal = [3 * factor, 6 * factor]
        other = upper_limit(hypotheses_of(spec_of(signal, [50.0, 20.0], STAT), [52, 23]), 0)
        assert other.observed * factor == pytest.approx(one.observed, rel=1e-4)
        assert other.expected * factor == pytest.approx(one.expected, rel=1e-4)


def test_a_bin_may_be_divided_where_nothing_is_learned():
    size = modifier("size", "normsys", {"hi": 1.1, "lo": 0.9})
    one = hypotheses_of(spec_of([6.0], [60.0], size), [66])
    two = hypotheses_of(spec_of([2.0, 4.0], [20.0, 40.0], size), [22, 44])
    limits = [upper_limit(each, 0) for each in (one, two)]
    assert limits[0].observed == pytest.approx(limits[1].observed, rel=1e-4)
    assert limits[0].expected == pytest.approx(limits[1].expected, rel=1e-4)
    assert one.significance() == pytest.approx(two.significance(), rel=1e-4)


def test_an_uncertainty_never_improves_the_expected_limit():
    spec = [spec_of([6.0, 6.0], [60.0, 30.0])]
    shape = {"hi_data": [63.0, 36.0], "lo_data": [57.0, 24.0]}
    for more in (
        modifier("size", "normsys", {"hi": 1.1, "lo": 0.9}),
        modifier("tilt", "histosys", shape),
        modifier("stat", "staterror", [5.0, 5.0]),
    ):
        spec.append({"channels": [dict(c) for c in spec[-1]["channels"]]})
        samples = spec[-1]["channels"][0]["samples"]
        background = samples[1] | {"modifiers": [*samples[1]["modifiers"], more]}
        spec[-1]["channels"][0]["samples"] = [samples[0], background]
    medians = [upper_limit(hypotheses_of(each, [60, 30]), 0).expected[2] for each in spec]
    assert len(medians) == 4 and np.all(np.diff(medians) > 0)


def test_a_strength_that_is_needed_has_its_significance():
    spec = spec_of([3.0, 6.0], [50.0, 20.0], STAT)
    found = discover(hypotheses_of(spec, [50, 20]), toys=0)
    factor = found.strength_5_sigma
    larger = discover(
        hypotheses_of(spec_of([3 * factor, 6 * factor], [50.0, 20.0], STAT), [50, 20]), toys=0
    )
    assert larger.expected == pytest.approx(5, rel=1e-4)
    assert found.strength_3_sigma < found.strength_5_sigma


def test_a_blind_region_has_what_the_control_region_predicts():
    spec = spec_of([5.0], [40.0], control=100.0)
    hypotheses = hypotheses_of(spec, [40, 130], blind=("SR",), free=("SR",))
    background, error = hypotheses.predicted
    place = hypotheses.sought
    assert background[place] == pytest.approx([52.0], rel=1e-6)
    assert error[place] == pytest.approx([52 / np.sqrt(130)], rel=1e-3)
    assert hypotheses.data == pytest.approx([52.0, 130.0], rel=1e-6)
    assert hypotheses.strength == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("truth", [0.5, 2.0])
def test_limits_cover_the_true_strength(truth):
    """200 pseudo-experiments: at least 95 % of the limits are above, but for chance."""
    spec = spec_of(
        [8.0, 12.0],
        [60.0, 25.0],
        modifier("stat", "staterror", [4.0, 3.0]),
        modifier("size", "normsys", {"hi": 1.1, "lo": 0.9}),
    )
    model = model_of(spec)
    likelihood = Likelihood(model)
    parameters = likelihood.start.copy()
    parameters[likelihood.poi] = truth
    toys = likelihood.sample(parameters, 200, np.random.default_rng(11))
    # CLs at the truth is all that decides whether the limit is above it.
    covered = sum(Hypotheses(model, toy, "it").cls([truth])[0][0] > 0.05 for toy in toys)
    assert covered >= 190 - 3 * np.sqrt(200 * 0.95 * 0.05)


@pytest.mark.slow
def test_whole_limits_cover_the_true_strength():
    """As above, with the limits themselves, and toys where few events are expected."""
    spec = spec_of([2.0], [3.0], modifier("size", "normsys", {"hi": 1.2, "lo": 0.8}))
    model = model_of(spec)
    likelihood = Likelihood(model)
    parameters = likelihood.start.copy()
    parameters[likelihood.poi] = 2.0
    toys = likelihood.sample(parameters, 200, np.random.default_rng(12))
    limits = [upper_limit(Hypotheses(model, toy, "it"), 600).observed for toy in toys]
    assert np.sum(np.array(limits) > 2.0) >= 190 - 3 * np.sqrt(200 * 0.95 * 0.05)


# --- what cannot be ---------------------------------------------------------------------------


def test_a_signal_that_is_nowhere_has_no_limit():
    with pytest.raises(InputError, match="excludes no strength of the signal"):
        upper_limit(hypotheses_of(spec_of([0.0], [10.0]), [10]), 0)


def test_a_fit_that_does_not_converge_is_no_number(monkeypatch):
    monkeypatch.setattr("analysis.stats.likelihoods.MOST_STEPS", 1)
    with pytest.raises(InputError, match="does not converge: try fewer bins"):
        upper_limit(hypotheses_of(spec_of([3.0, 6.0], [50.0, 20.0], STAT), [60, 10]), 0)


# --- the visible cross-section ----------------------------------------------------------------


def test_a_count_has_its_limit():
    found = visible(Background(100.0, 10.0), 100.0, "it", toys=0)
    rough = 1.96 * np.sqrt(100 + 10**2)  # median of CLs for many events
    assert found.s95_expected[2] == pytest.approx(rough, rel=0.08)
    assert found.z == 0 and found.p0 == pytest.approx(0.5)
    assert visible(Background(100.0, 10.0), 150.0, "it", 0).z == pytest.approx(3.2, abs=0.2)
    blind = visible(Background(100.0, 10.0), None, "it", toys=0)
    assert blind.observed is blind.s95_observed is blind.z is None
    assert blind.s95_expected == pytest.approx(found.s95_expected, rel=1e-3)


def test_few_events_are_counted_by_toys():
    found = visible(Background(0.5, 0.1), 0.0, "it")
    assert found.method == "toys" and found.s95_observed == pytest.approx(3.0, rel=0.1)


def test_a_count_without_background_is_one_line():
    with pytest.raises(InputError, match="SR has no simulated background, but 3 events of data"):
        visible(Background(0.0, 0.0), 3.0, "SR")


# --- between masses ---------------------------------------------------------------------------


def point(name, limit, *masses):
    return Point(name, masses or masses_in(name), limit, (limit,) * 5)


def test_limits_between_two_masses_are_geometric_means():
    x, y, limits = interpolate([point("HNL400", 4.0), point("HNL200", 1.0)])
    assert (x[0], x[-1], len(y)) == (200, 400, 1)
    assert np.interp(300, x, limits[3, 0]) == pytest.approx(2.0, rel=1e-3)
    assert crossings(np.array([200.0, 400.0]), np.array([0.5, 2.0])) == pytest.approx([300])


def test_limits_in_a_plane_are_those_of_its_points_and_none_beyond():
    points = [
        point("W1000_N200", 0.1),
        point("W2000_N200", 10.0),
        point("W2000_N1200", 10.0),
        point("W1500_N700", 1.0),
    ]
    x, y, limits = interpolate(points)
    grid = limits[0]
    assert grid[0, 0] == pytest.approx(0.1) and grid[-1, -1] == pytest.approx(10)
    assert np.isnan(grid[-1, 0]) and not np.isnan(grid[0]).any()
    assert grid[0] == pytest.approx(10 ** (2 * (x - 1000) / 1000 - 1))


def test_points_on_a_line_are_one_line():
    points = [point(f"W{m}_N{m // 2}", 1.0) for m in (1000, 2000, 3000)]
    with pytest.raises(InputError, match="are on a line and span no plane"):
        interpolate(points)


@pytest.mark.parametrize(
    ("names", "declared", "wanted", "line"),
    [
        (["HNL150"], {}, (), "two signals with one mass"),
        (["HNL150", "HNL450", "W100", "W200"], {}, (), "choose with --signal"),
        (["W1000_N200", "W2000_N200"], {}, (), "three with two"),
        (["HNL150", "W1000_N200"], {}, ("HNL150", "W1000_N200"), "not all one mass"),
        (["HNL150", "HNL450"], {"HNL1": (3.0,)}, (), "no signal 'HNL1'"),
        (["a", "b"], {"a": (1.0,), "b": (1.0,)}, (), "2 signals at least"),
    ],
)
def test_signals_that_make_no_plane_are_one_line(names, declared, wanted, line):
    with pytest.raises(InputError, match=line):
        place_signals(dict.fromkeys(names), declared, wanted)


def test_signals_of_one_family_make_the_plane():
    limits = dict.fromkeys(["HNL150", "WR1500_N600", "HNL450"])
    assert place_signals(limits, {}) == {"HNL150": (150.0,), "HNL450": (450.0,)}
    assert place_signals(limits, {"HNL150": (1.0,), "HNL450": (2.0,)})["HNL450"] == (2.0,)
