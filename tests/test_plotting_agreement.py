"""Test statistics against independent formulas, and probabilities against chance."""

import numpy as np
import pandas as pd
import pytest
from ml_tables import simulate
from plot_inputs import SAMPLES, write_run
from scipy.optimize import minimize
from scipy.stats import binom, chi2, ks_2samp

from analysis.results import Histogram, Results
from plotting import agreement, agreement_pictures, bin_tests, chance
from plotting.draw_agreement import draw_agreement
from plotting.settings import Options

DATA, M, V = np.array([14.0, 31, 36]), np.array([10.0, 28, 30]), np.array([1.0, 2, 0.5])
SHIFTS = np.array([[1.0, 2.8, 3.0], [-2.0, 0.5, 1.0]])


def statistics(data, sumw, sumw2, shifts=(), **options):
    """The Statistics of one experiment."""
    one = [np.asarray(values, float)[:, None] for values in (data, sumw, sumw2)]
    return bin_tests.statistics(*one, shifts, **options)


def probabilities(data, samples, shifts=(), shape=False):
    """The Statistics and the Chance of one experiment."""
    total = [sum(values) for values in zip(*samples, strict=True)]
    observed = statistics(data, *total, shifts, shape=shape)
    return observed, chance.probabilities(observed, data, samples, shifts, shape=shape)


def test_merged_bins_hold_enough_and_cover_all():
    sumw = np.array([100.0, 50, 20, 4, 2, 1, 0.5, 0, 0])
    both = np.stack([sumw, sumw / 1000], axis=1)
    labels, number = bin_tests.merge_bins(both, both / 10)
    # From the last: 0.5 + 1 + 2 + 4, then each for itself.
    assert labels[:, 0].tolist() == [3, 2, 1, 0, 0, 0, 0, 0, 0]
    assert number.tolist() == [4, 0]
    # One event with a large weight is not enough.
    assert bin_tests.merge_bins(np.array([[50.0]]), np.array([[2500.0]]))[1] == 0
    # What is left over at the front joins its neighbour.
    sumw = np.array([[1.0], [6.0], [6.0]])
    assert bin_tests.merge_bins(sumw, sumw / 10)[0].ravel().tolist() == [1, 1, 0]


def test_chi2_is_the_formula():
    found = statistics([12, 25, 31], M, V)
    assert found.chi2 == pytest.approx(4 / 11 + 9 / 30 + 1 / 30.5)
    assert found.ndof == 3 and found.pulls.size == 0
    n = np.array([32.0, 25, 31])
    scale = n.sum() / M.sum()
    m, v = M * scale, V * scale**2
    found = statistics(n, M, V, shape=True)
    assert found.chi2 == pytest.approx(np.sum((n - m) ** 2 / (m + v))) and found.ndof == 2


def test_chi2_with_shifts_is_that_of_the_best_pulls():
    def penalised(pulls):
        return np.sum((DATA - M - pulls @ SHIFTS) ** 2 / (M + V)) + np.sum(pulls**2)

    best = minimize(penalised, np.zeros(2))
    found = statistics(DATA, M, V, SHIFTS)
    assert found.chi2 == pytest.approx(best.fun) and found.ndof == 3
    assert found.pulls.ravel() == pytest.approx(best.x, abs=1e-5)
    assert found.chi2 < statistics(DATA, M, V).chi2
    # One bin pair, by hand: C = [[400 + 900, 900], [900, 400 + 900]].
    found = statistics([107, 103], [100, 100], [300, 300], [[30.0, 30.0]])
    inverse = np.linalg.inv(np.array([[1300.0, 900.0], [900.0, 1300.0]]))
    assert found.chi2 == pytest.approx(np.array([7, 3]) @ inverse @ np.array([7, 3]))


def test_many_experiments_are_each_for_itself():
    random = np.random.default_rng(5)
    data, counts = random.poisson(8, (2, 12, 30)) * (np.arange(12) < 9)[:, None]
    shifts = np.stack([0.1 * counts, 0.2 * counts * np.linspace(-1, 1, 12)[:, None]])
    for options in ({}, {"shape": True}, {"bulk": True}, {"shape": True, "bulk": True}):
        together = bin_tests.statistics(data, counts, 0.4 * counts, shifts, **options)
        assert len(set(together.ndof)) > 1
        for place in range(30):
            one = (data[:, place], counts[:, place], 0.4 * counts[:, place])
            alone = statistics(*one, shifts[:, :, place], **options)
            assert alone.chi2 == pytest.approx(together.chi2[place])
            assert alone.distance == pytest.approx(together.distance[place])
            assert alone.ndof == together.ndof[place]


def test_a_shift_of_the_yield_alone_is_none_of_the_shape():
    plain = statistics(DATA, M, V, shape=True)
    shifted = statistics(DATA, M, V, [0.3 * M], shape=True)
    assert shifted.chi2 == pytest.approx(plain.chi2)
    assert shifted.pulls == pytest.approx(0, abs=1e-12)


def test_distance_is_that_of_the_simulation_at_its_pulls():
    m = np.array([0, 100.0, 80, 60, 40, 0])
    shift = np.array([0, 20.0, 10, -10, -20, 0])
    plain = statistics(m + shift, m, m / 100)
    moved = statistics(m + shift, m, m / 100, [shift])
    assert 0.5 < moved.pulls[0] < 1
    assert moved.distance == pytest.approx((1 - moved.pulls[0]) * plain.distance)
    # 30 of 280 events lie lower, before the third bin.
    assert plain.distance == pytest.approx(30 / 280) and plain.place == 2


def test_the_bulk_is_the_fullest_bins():
    m = np.array([10.0, 500, 400, 60, 20, 10])
    data = m + np.array([0.0, 0, 0, 0, 0, 100])
    merged = statistics(data, m, m / 100).merged
    # 500 + 400 + 60 are the first 95 % of 1000; merged bins count from the last.
    assert bin_tests.in_bulk(merged).ravel().tolist() == [False, False, True, True, True, False]
    for shape in (False, True):
        found = statistics(data, m, m / 100, shape=shape, bulk=True)
        assert found.chi2 == pytest.approx(0) and found.distance == pytest.approx(0)
        assert found.ndof == 3 - shape
        assert statistics(data, m, m / 100, shape=shape).chi2 > 100


def test_kolmogorov_smirnov_is_that_of_scipy_for_fine_bins():
    random = np.random.default_rng(2)
    first, second = random.normal(0, 1, 400), random.normal(0.1, 1, 3000)
    edges = np.linspace(-4, 4, 400)
    data = Histogram.of(first, np.ones(400), edges)
    simulated = Histogram.of(second, np.full(3000, 0.25), edges)
    observed, found = probabilities(data.sumw, [(simulated.sumw, simulated.sumw2)], shape=True)
    reference = ks_2samp(first, second)
    assert observed.distance == pytest.approx(reference.statistic, rel=0.05)
    assert found.distance == pytest.approx(reference.pvalue, rel=0.25)


def test_many_events_have_the_probability_of_the_formula():
    truth = 1e4 * np.exp(-np.arange(10) / 4)
    data = truth + 1.2 * np.sqrt(truth) * (-1) ** np.arange(10)
    observed, found = probabilities(data, [(truth, truth / 1e3)])
    expected = chi2.sf(observed.chi2[0], 10)
    assert found.chi2 == pytest.approx(expected, abs=4 * np.sqrt(expected / found.number))


def test_rates_keep_the_shape_of_many_events_and_the_size_of_few():
    large = np.array([4e5, 3e5, 2e5, 1e5]), np.array([4e5, 3e5, 2e5, 1e5]) / 10
    few = np.array([0.0, 0, 8.0, 0]), np.array([0.0, 0, 32.0, 0])  # two events of weight 4
    rates = chance.rates_of([large, few])
    assert rates.truth.sum(axis=1) == pytest.approx([1e6, 8])
    assert rates.variance.sum(axis=1) == pytest.approx([1e5, 32])
    assert rates.truth[0] == pytest.approx(large[0], rel=1e-4)
    # Of four bins: a third is its own shape; of two thirds a quarter is flat, the rest that of all.
    rest = 0.75 * np.array([4, 3, 2, 1]) / 10 + 0.25 / 4
    own = np.array([0, 0, 8, 0]) / 3 + 8 * 2 / 3 * rest
    assert rates.truth[1] == pytest.approx(own, rel=1e-3)
    assert rates.weight[1] == pytest.approx(4) and rates.weight[0] == pytest.approx(0.1)
    assert rates.effective == pytest.approx([1e7, 2])
    # Together with lighter ones, a few heavy events make the weight that they have.
    mixed = np.array([10.0, 10, 14, 10]), np.array([1.0, 1, 17, 1])
    assert 1 < chance.rates_of([mixed]).weight[0, 0] < 4


def test_pseudo_experiments_have_the_moments_of_the_simulation():
    """Mean, variance and skewness of a sum of weighted events, and of data with a shift."""
    random = np.random.default_rng(6)
    light, heavy = np.array([30.0, 20]), np.array([9.0, 6])
    rates = chance.Rates(
        light + heavy,
        np.array([light, heavy]),
        np.array([0.2 * light, 3 * heavy]),
        np.array([[0.2, 0.2], [3.0, 3.0]]),
        np.array([1e12, 1e12]),
    )
    shift = np.array([[5.0, -3.0]])
    data, sumw, sumw2, shifts = chance.draw(rates, shift, 2.0, 200_000, random)
    truth = light + heavy
    third = 0.04 * light + 9 * heavy
    variance = 0.2 * light + 3 * heavy
    assert sumw.mean(axis=1) == pytest.approx(truth, rel=5e-3)
    assert sumw.var(axis=1) == pytest.approx(variance, rel=0.02)
    central = ((sumw - sumw.mean(axis=1, keepdims=True)) ** 3).mean(axis=1)
    assert central == pytest.approx(third, rel=0.1)
    assert sumw2.mean(axis=1) == pytest.approx(variance, rel=0.02)
    assert data.mean(axis=1) == pytest.approx(2 * truth, rel=5e-3)
    assert data.var(axis=1) == pytest.approx(2 * truth + (2 * shift[0]) ** 2, rel=0.02)
    assert shifts[0] == pytest.approx(shift.T * sumw / truth[:, None])


def test_ranks_give_the_probabilities():
    scores = np.array([[1.0, 2, 3, 4], [4.0, 3, 2, 1]])
    found = chance.among(np.array([3.5, 0.0]), scores)
    # As extreme as 3.5 are 4 and itself; the smaller rank of the others is 1, 2, 3 and 1.
    assert (found.chi2, found.distance, found.both) == (2 / 5, 1.0, 4 / 5)


BINS = 32
PLACES = np.arange(BINS)
FALLING = np.exp(-PLACES / 6) / np.exp(-PLACES / 6).sum()
HUMP = np.exp(-0.5 * ((PLACES - 12) / 6) ** 2)
HUMP = HUMP / HUMP.sum()
LEVELS = np.array([0.001, 0.01, 0.05, 0.1, 0.2, 0.5])
TRUTH = 0.1 * 4000 * FALLING + 0.25 * 600 * HUMP + 0.1 * 300 * HUMP + 4 * 5 * HUMP
TILT = np.stack([np.full(BINS, 0.1), 0.15 * np.linspace(-1, 1, BINS)])


def weighted(random, events, shape, weights):
    """Sums of weights and of squared weights of simulated events."""
    places = random.choice(BINS, random.poisson(events), p=shape)
    w = weights(len(places))
    return np.array([np.bincount(places, w, BINS), np.bincount(places, w**2, BINS)])


def pseudo_data(random, shifted, together):
    """Data and samples without disagreement, and shifts.

    Five simulated events with weights of 3 to 5 pass, in a sample of their own or together with
    others of weight 0.1.
    """
    large = weighted(random, 4000, FALLING, lambda n: np.full(n, 0.1))
    other = weighted(random, 600, HUMP, lambda n: np.full(n, 0.25))
    light = weighted(random, 300, HUMP, lambda n: np.full(n, 0.1))
    heavy = weighted(random, 5, HUMP, lambda n: random.uniform(3, 5, n))
    samples = [large, other, light + heavy] if together else [large, other, light, heavy]
    mean, shifts = TRUTH, np.zeros((0, BINS))
    if shifted:
        mean = np.maximum(TRUTH * (1 + random.normal(size=2) @ TILT), 0)
        shifts = TILT * sum(samples)[0]
    return random.poisson(mean).astype(float), samples, shifts


def measured(tests, shape, shifted, seed):
    """(tests, 4) probabilities: chi2, KS, both, and that of the formula for many events."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(tests):
        data, samples, shifts = pseudo_data(random, shifted, number % 2)
        observed, p = probabilities(data, samples, shifts, shape)
        formula = chi2.sf(observed.chi2[0], observed.ndof[0])
        found.append((p.chi2, p.distance, p.both, formula))
    return np.array(found)


def outside(p, level, sigma):
    """Whether more or fewer tests than chance allows are at most at a level."""
    count = np.count_nonzero(p <= level)
    tail = chi2.sf(sigma**2, 1) / 2
    return binom.sf(count - 1, len(p), level) < tail or binom.cdf(count, len(p), level) < tail


def test_probabilities_are_uniform():
    """With heavy weights and shifts; those of the formula are not."""
    found = measured(400, False, True, 1)
    for level in LEVELS:
        assert not any(outside(p, level, 3) for p in found.T[:3]), level
    assert outside(found.T[3], 0.05, 3)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [False, True])
@pytest.mark.parametrize("shifted", [False, True])
def test_probabilities_are_uniform_at_every_level(shape, shifted):
    """200 sets of ten independent features."""
    found = measured(2000, shape, shifted, 2 + shape + 2 * shifted)
    for level in LEVELS:
        for name, p in zip(("chi2", "KS", "both"), found.T, strict=False):
            share = np.mean(p <= level)
            assert not outside(p, level, 3), f"{share:.4f} of {name} are below {level}"
    assert outside(found.T[3], 0.05, 4)


def disagreeing(sets, features):
    """In how many sets without disagreement a feature is said to disagree."""
    random, edges, bad = np.random.default_rng(7), np.arange(BINS - 1.0), 0
    for _ in range(sets):
        found = []
        for number in range(features):
            data, samples, shifts = pseudo_data(random, number % 2, number % 3 == 0)
            samples = [Histogram(edges, *sample) for sample in samples]
            data = Histogram(edges, data, data)
            found.append(agreement.compare("SR", str(number), data, samples, shifts=shifts))
        bad += any(one.verdict != "agrees" for one in agreement.judge(found))
    return bad


@pytest.mark.slow
def test_in_one_of_twenty_good_sets_a_feature_disagrees():
    bad = disagreeing(200, 10)
    assert binom.cdf(bad, 200, 0.05) > 1e-3 and binom.sf(bad - 1, 200, 0.05) > 1e-3, bad


def made(data, background):
    edges = np.linspace(0, 10, 11)
    random = np.random.default_rng(3)
    data = Histogram.of(random.normal(*data, 500), np.ones(500), edges)
    samples = [Histogram.of(random.normal(*background, 5000), np.full(5000, 0.1), edges)]
    return agreement.compare("SR", "x", data, samples, unit="GeV")


def test_worst_comes_first_and_has_its_verdict():
    good, bad = made((5, 2), (5, 2)), made((5, 2), (6, 2))
    nothing = agreement.compare("SR", "y", None, [Histogram.empty(np.arange(3.0))], blind=True)
    found = agreement.judge([nothing, good, bad])
    assert [one.verdict for one in found] == ["disagrees", "agrees", "blind"]
    assert agreement.summary(found) == "disagrees: 1, agrees: 1, blind: 1"
    lines = agreement.table_lines(found)
    assert lines[1].endswith("disagrees") and max(map(len, lines)) <= 80
    # So far off that it is not counted: the smallest probability that is told.
    assert bad.p == 2 * chance.LEAST and agreement.p_texts(bad) == ("< 5e-05", "< 5e-05", "< 1e-04")
    assert bad.pseudo_experiments < chance.MOST and bad.p_bulk < agreement.BULK_LEVEL
    assert good.pseudo_experiments == chance.STEPS[0] and np.isnan(good.p_bulk)


def test_bins_that_make_it_unlikely_are_named():
    edges = np.array([0.0, 10, 20, 30, 40])
    m = np.array([0, 200.0, 100, 50, 20, 10])
    data = m + np.array([0, 0.0, 50, 0, 0, 40])
    found = agreement.compare(
        "SR", "x", Histogram(edges, data, data), [Histogram(edges, m, m / 100)], unit="GeV"
    )
    first, second = found.bins
    assert (first.low, first.high, first.data, first.expected) == (40, np.inf, 50, 10)
    assert first.pull == pytest.approx(40 / np.sqrt(10.1))
    assert (second.low, second.high) == (10, 20)
    texts = agreement.reasons(found)
    assert texts[-2:] == [
        "above 40 GeV: 50 seen, 10.0 expected (+12.6 sigma)",
        "10 to 20 GeV: 150 seen, 100.0 expected (+5.0 sigma)",
    ]
    assert "above 40 GeV: 50 seen, 10.0 expected (+12.6 sigma)" in agreement.numbers_line(found)
    frame = agreement.as_frame([found])
    assert frame.loc[0, "bin1_low"] == 40 and frame.loc[0, "bin2_data"] == 150
    assert np.isnan(frame.loc[0, "bin3_pull"])
    # The first bin holds also what is below the axis.
    m[0] = m[1] = 0.5
    low = agreement.compare("SR", "x", Histogram(edges, data, data), [Histogram(edges, m, m / 100)])
    assert agreement.bin_text(low.bins[0], "").startswith("below 20: 350 seen")


def test_events_in_a_tail_are_no_reason_to_drop_a_feature():
    """A few events where nothing is expected, against a simulation that is wrong."""
    random, edges = np.random.default_rng(8), np.linspace(0, 400, 41)
    values = random.exponential(40, 40_000)
    sample = [Histogram.of(values, np.full(40_000, 0.025), edges)]
    good = random.exponential(40, 1000)
    signal = np.concatenate([good, random.normal(320, 30, 25)])
    verdicts = []
    for name, data in (("x", good), ("x", signal), ("x", random.exponential(46, 1000))):
        data = Histogram.of(data, np.ones(len(data)), edges)
        (found,) = agreement.judge([agreement.compare("SR", name, data, sample)])
        verdicts.append(found.verdict)
    assert verdicts == ["agrees", "tail", "disagrees"]


ENERGIES = ("m_3l", "ht_lep", "e_T_miss", "m_T_ele_0", "m_ele_0_muo_0")


@pytest.mark.parametrize("number", [20, 60])
def test_a_hidden_signal_is_in_the_tails(tmp_path, number):
    """Data like the background, and events of HNL450 among them."""
    random = np.random.default_rng(9)

    def edit(region, sample, table):
        if sample != "data":
            return table
        parts = []
        for seed, (_, _, kind, events, scale, weight) in enumerate(SAMPLES):
            if kind == "data":
                continue
            if kind == "signal":
                events = number
            more = simulate(events, scale, weight, 50 + seed)
            # A tenth of the simulated events has a negative weight.
            kept = random.random(events) < (1 if kind == "signal" else 0.8 * weight)
            parts.append(more[kept])
        table = pd.concat(parts, ignore_index=True).assign(wgt_SG=1.0)
        table["ht_lep"] = (3 * table["m_3l"] / 4).astype("f4")
        table["ht_jet"] = table["e_T_jet_0"]
        return table

    folder = write_run(tmp_path / "out", edit=edit)
    options = Options(str(folder), tmp_path)
    names = list(options.results.features)
    found = agreement_pictures.compare_all(options, "SR3L", names)
    verdicts = [one.verdict for one in found]
    assert verdicts.count("tail") > 3 * verdicts.count("disagrees")
    if number == 60:
        assert verdicts.count("tail") >= 5


def test_what_cannot_be_tested():
    edges = np.arange(11.0)
    empty = Histogram.empty(edges)
    constant = Histogram.of(np.zeros(100), np.ones(100), edges)
    few = Histogram.of(np.array([1.0, 5.0]), np.ones(2), edges)

    def verdict(data, *samples):
        return agreement.compare("SR", "x", data, samples).verdict

    assert verdict(constant, constant) == verdict(empty, empty) == "constant"
    assert verdict(few, few) == "too few events"
    assert verdict(None, few) == "no data"
    assert verdict(few) == verdict(few, empty) == verdict(constant, empty, empty) == "no simulation"
    assert agreement.judge([]) == []


def test_bins_of_negative_weight_and_empty_samples_are_no_obstacle():
    edges = np.arange(5.0)
    m = np.array([0, 60.0, 40, -2, 20, 0])
    data = np.array([0, 65.0, 38, 1, 22, 0])
    samples = [Histogram(edges, m, np.abs(m) / 2), Histogram.empty(edges)]
    found = agreement.compare("SR", "x", Histogram(edges, data, data), samples)
    assert found.tested and 0.05 < found.p <= 1
    # Heavy weights that cancel.
    nothing = Histogram(edges, np.array([0, 3.0, -3, 0, 0, 0]), np.array([0, 9.0, 9, 0, 0, 0]))
    found = agreement.compare("SR", "x", Histogram(edges, data, data), [samples[0], nothing])
    assert found.tested and 0.05 < found.p <= 1


def test_probabilities_do_not_depend_on_order_or_neighbours(tmp_path):
    folder = write_run(tmp_path / "out")
    options = Options(str(folder), tmp_path)
    names = [name for name in options.results.features if name != "flcomp"][:8]
    names += ["m_3l", "n_jet"]
    first = agreement_pictures.compare_all(options, "SR3L", names)
    again = agreement_pictures.compare_all(options, "SR3L", names[::-1])
    assert {repr(one) for one in first} == {repr(one) for one in again}
    results = Results(folder)
    histograms = results.histograms("SR3L", "m_3l")
    alone = agreement_pictures.compare_one(results, "SR3L", "m_3l", histograms)
    (same,) = [one for one in first if one.feature == "m_3l"]
    assert (alone.p_chi2, alone.p_ks, alone.p) == (same.p_chi2, same.p_ks, same.p)


def test_ranking_is_drawn():
    p = np.array([0.5, 1e-4, 0.2, 0.9])
    verdicts = ["agrees", "tail", "agrees", "agrees"]
    figure = draw_agreement(p, ["a", "b", "c", "d"], verdicts, ["9/3"] * 4, least=1e-4, shown=3)
    ranking, against = figure.axes
    assert [label.get_text() for label in ranking.get_yticklabels()] == ["b", "c", "a"]
    assert [bar.get_width() for bar in ranking.patches] == pytest.approx(
        -np.log10([1e-4, 0.2, 0.5])
    )
    assert ranking.patches[0].get_hatch() and not ranking.patches[1].get_hatch()
    texts = [text.get_text() for text in against.get_legend().get_texts()]
    assert texts == ["95 %", "disagrees: 0", "tail: 1", "agrees: 3", "smallest told"]
