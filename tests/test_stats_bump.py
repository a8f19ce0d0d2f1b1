"""Counts above thresholds, pseudo-experiments, bumps: analytic values, then the whole command."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from plot_inputs import write_run, write_scores
from scipy import stats
from search_inputs import PROCESSES, Axis, make_pool, make_search, nuisances

from analysis.results import Sample, Varied
from analysis.stats.__main__ import main
from analysis.stats.excess import count, p_value, passing, rank, supported
from analysis.stats.nuisances import OVERALL, Fit, fit, nuisances_of
from analysis.stats.pseudo import Experiment, draw, intensity_of, observe, take_out, thin
from analysis.stats.search import combine, evaluate, pseudo_statistics
from analysis.stats.windows import LARGEST_ERROR, mass_of, merge, scan
from analysis.systematics import Systematic

QUICK = ("--pseudo", "20", "--processes", "1")


# --- counting ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("data", "background"), [(1, 0.5), (7, 2.5), (120, 100.0)])
def test_p_value_without_error_is_that_of_poisson(data, background):
    expected = stats.poisson.sf(data - 1, background)
    assert p_value(data, background, 0.0)[0] == pytest.approx(expected, rel=1e-9)


def test_p_value_with_error_is_the_average_over_the_mean():
    random = np.random.default_rng(1)
    b, error = 4.0, 1.5
    means = random.gamma((b / error) ** 2, error**2 / b, 2_000_000)
    average = stats.poisson.sf(8, means).mean()
    assert p_value(9, b, error)[0] == pytest.approx(average, rel=0.01)


def test_no_data_and_no_background_are_no_excess():
    assert list(p_value([0, 5], [3.0, 0.0], [1.0, 0.0])) == [1.0, 1.0]


def test_zero_background_counts_as_one_simulated_event():
    background, error = supported(0.0, 0.0, 0.3)
    assert (background, error) == (0.3, 0.3)
    assert 0 < p_value(3, background, error)[0] < 0.1
    assert supported(-2.0, 1.0, 0.3) == (0.3, 1.0)
    assert supported(5.0, 0.1, 0.3) == (5.0, 0.1)


def test_thresholds_are_chosen_on_the_expectation_alone():
    pool = make_pool(np.random.default_rng(1))
    ranking, real = rank(pool, 0, pool.scores["score"]), observe(pool)
    score, weight = pool.scores["score"], real.reference
    for share in (0.1, 0.01):
        threshold = ranking.values[passing(ranking, real, share)]
        above = weight[score >= threshold].sum() / weight.sum()
        assert share <= above < share + 1.01 * weight.max() / weight.sum()
    more = observe(pool)
    more.counts[:] *= 100
    assert passing(ranking, real, 0.1) == passing(ranking, more, 0.1)
    assert passing(ranking, real, 1e-4) is None  # less than ten events


def test_events_with_equal_scores_pass_together():
    pool = make_pool(np.random.default_rng(2))
    score = np.floor(pool.scores["score"] / 10)
    ranking, real = rank(pool, 0, score), observe(pool)
    assert passing(rank(pool, 0, np.minimum(pool.scores["score"], 0.0)), real, 0.1) is None
    place = passing(ranking, real, 0.1)
    events = ranking.events[: ranking.ends[place]]
    assert set(events) == set(np.flatnonzero(score >= ranking.values[place]))


def test_count_adds_errors_of_simulation_and_normalisation():
    pool = make_pool(np.random.default_rng(3))
    search, real, everything = (
        make_search(pool, ["excess"]),
        observe(pool),
        np.arange(len(pool.weight)),
    )
    covariance = np.diag([4.0, 1.0, 0.0])
    factor = np.array([1.1, 0.9, 1.0])[pool.process]
    fitted = Fit(np.zeros(3), covariance, factor)
    data, background, error = count(search, real, fitted, everything)
    yields = [pool.weight[pool.process == n].sum() for n in (0, 1)]
    squares = [np.sum(pool.weight[pool.process == n] ** 2) for n in (0, 1)]
    assert data == pool.of("data").sum()
    assert background == pytest.approx(1.1 * yields[0] + 0.9 * yields[1])
    variance = 1.21 * squares[0] + 0.81 * squares[1] + 0.04 * yields[0] ** 2 + 0.01 * yields[1] ** 2
    assert error == pytest.approx(np.sqrt(variance))


# --- systematic uncertainties -----------------------------------------------------------------


def fitted_yields(weight, data_factors):
    """Factors of the two processes that a fit finds in data without fluctuations, and errors."""
    pool = make_pool(np.random.default_rng(4))
    uncertain, real = nuisances(pool), observe(pool)
    true = np.array([*data_factors, 0.0])[pool.process]
    reference = weight * real.reference
    experiment = Experiment(reference * true, reference, np.zeros(len(reference)))
    cells = np.searchsorted([70.0, 90.0, 110.0, 200.0], pool.columns["mass"])
    found = fit(uncertain, experiment, cells)
    changes = uncertain.effects.T @ found.values
    errors = np.sqrt(
        np.einsum("pe,pq,qe->e", uncertain.effects, found.covariance, uncertain.effects)
    )
    return [(1 + changes[pool.process == n][0], errors[pool.process == n][0]) for n in (0, 1)]


def test_a_fit_finds_the_normalisations_that_counts_have():
    (peak, peak_error), (tail, tail_error) = fitted_yields(20.0, (1.2, 0.8))
    assert (peak, tail) == pytest.approx((1.2, 0.8), abs=0.02)
    assert peak_error == pytest.approx(1 / np.sqrt(20 * 700), rel=0.3)
    assert tail_error > peak_error


def test_few_events_leave_the_normalisations_as_they_are():
    (peak, error), (tail, _) = fitted_yields(1e-4, (3.0, 3.0))
    assert (peak, tail) == pytest.approx((1, 1), abs=0.05)
    assert error == pytest.approx(0.1 * np.sqrt(2), rel=0.05)


class Run:
    """Systematics, samples and tables, all that nuisances are made of."""

    def __init__(self, systematics, tables=()):
        self.systematics, self.tables = systematics, dict(tables)

    def sample(self, name):
        names = {v for _, sample, v in self.tables if sample == name and v}
        tables = {"all": "", "half": ""}
        varied = {v: Varied("weight", tables, {}, {}) for v in names}
        return Sample(name, name, "background", {}, {}, varied)

    def table(self, region, name, columns, variation):
        return pd.DataFrame({"wgt_SG": self.tables[region, name, variation]})


def test_sizes_are_those_of_the_systematics():
    pool = make_pool(np.random.default_rng(5))
    declared = (
        Systematic("lumi", "L", size=0.02),
        Systematic("b_tag", "b", {"wgt_SG": "wgt_SG"}),
        Systematic("xsec", "x", size=0.3, processes=("tail",)),
    )
    found, notes = nuisances_of(Run(declared), pool)
    assert found.names == ("lumi", "xsec", "peak")
    each = [found.effects[:, np.flatnonzero(pool.process == n)[0]].tolist() for n in (0, 1, -1)]
    assert each == [[0.02, 0.0, 0.1], [0.02, 0.3, 0.0], [0.0, 0.0, 0.0]]
    assert notes == ["not considered, since there are no tables of varied weights: b_tag"]
    found, notes = nuisances_of(Run(()), pool)
    assert found.names == ("peak", "tail", OVERALL) and notes == []


@pytest.mark.parametrize("both", [True, False])
def test_varied_weights_change_each_event_by_itself(both):
    pool = make_pool(np.random.default_rng(6))
    shift = 0.1 * pool.columns["angle"]
    tables = {}
    for number, name in enumerate(PROCESSES):
        for region in pool.regions:  # rows of their tables are places in the pool here
            nominal = np.where(pool.sample == number, pool.weight, 1.0)
            tables[region, name, None] = nominal
            tables[region, name, "id_up"] = nominal * (1 + shift)
            if both:
                tables[region, name, "id_down"] = nominal * (1 - 3 * shift)
    down = {"down": {"wgt_SG": "-"}} if both else {}
    declared = Systematic("id", "id", up={"wgt_SG": "+"}, **down)
    found, notes = nuisances_of(Run((declared,), tables), pool)
    assert found.names[-1] == "id" and notes == []
    background = pool.of("background")
    expected = shift[background] * (2 if both else 1)
    assert found.effects[-1, background] == pytest.approx(expected)
    assert not found.effects[-1, ~background].any()


# --- pseudo-experiments -----------------------------------------------------------------------


@pytest.mark.parametrize("negative", [0.0, 0.2])
def test_difference_of_pseudo_data_and_simulation_varies_as_that_of_real_ones(negative):
    """As of data and simulation that are both made anew."""
    random = np.random.default_rng(4)
    pool = make_pool(random, negative=negative)
    still = nuisances(pool, size=0.0)
    intensity = intensity_of(pool)
    assert intensity.mean.sum() == pytest.approx(pool.weight[pool.of("background")].sum())
    made = [draw(pool, intensity, still, random) for _ in range(600)]
    new = [observe(make_pool(random, negative=negative)) for _ in range(600)]
    spreads = [np.std([e.counts.sum() - e.reference.sum() for e in each]) for each in (made, new)]
    assert spreads[0] == pytest.approx(spreads[1], rel=0.12)
    errors = [np.sqrt(each[0].variance.sum()) for each in (made, new)]
    assert errors[0] == pytest.approx(errors[1], rel=0.1)


def test_taken_out_events_are_gone_from_the_simulation():
    random = np.random.default_rng(5)
    pool = make_pool(random, weight=0.8)
    intensity, share = thin(intensity_of(pool))
    assert share == pytest.approx(0.5 / 0.8)
    made = [take_out(intensity, nuisances(pool), random) for _ in range(300)]
    for one in made:
        assert not np.any((one.counts > 0) & (one.reference > 0))
    total = intensity.mean.sum()
    assert total == pytest.approx(share * pool.weight[pool.of("background")].sum())
    assert np.mean([one.counts.sum() for one in made]) == pytest.approx(total, rel=0.03)
    assert np.mean([one.reference.sum() for one in made]) == pytest.approx(total, rel=0.02)


def test_signal_is_added_to_pseudo_data_alone():
    random = np.random.default_rng(6)
    pool = make_pool(random)
    made = draw(pool, intensity_of(pool), nuisances(pool), random, {"signal": 60.0})
    inside = pool.of("signal")
    assert 30 < made.counts[inside].sum() < 90
    assert not made.reference[inside].any()


# --- combination ------------------------------------------------------------------------------


def test_global_p_value_is_uniform_whatever_the_statistics_are():
    random = np.random.default_rng(7)
    found = []
    for _ in range(2000):
        normal = random.normal(size=(40, 3))
        everything = np.column_stack([normal[:, 0], np.exp(3 * normal[:, 1]), normal.sum(axis=1)])
        found.append(combine(everything[0], everything[1:]).p_value - random.random() / 40)
    assert stats.kstest(found, "uniform").pvalue > 0.01


def test_equal_statistics_make_global_p_values_larger():
    random = np.random.default_rng(8)
    everything = np.round(random.normal(size=(2000, 40, 2)))
    p = np.array([combine(one[0], one[1:]).p_value for one in everything])
    for level in (0.05, 0.1, 0.2, 0.5):
        assert np.mean(p <= level) < level + 3 * np.sqrt(level / 2000)


def test_most_extreme_experiment_has_the_smallest_p_value():
    random = np.random.default_rng(8)
    pseudo = random.normal(size=(99, 4))
    found = combine(np.array([9.0, 0.0, 0.0, 0.0]), pseudo)
    assert found.is_limit and found.p_value == pytest.approx(0.01)
    assert found.p_values[0] < 0.001 and found.statistic > found.pseudo.max()
    ordinary = combine(np.median(pseudo, axis=0), pseudo)
    assert not ordinary.is_limit and ordinary.p_value > 0.5


# --- windows ----------------------------------------------------------------------------------


def test_bins_are_merged_until_the_simulation_supports_them():
    sums = np.array([0.0, 100.0, 1.0, 1.0, 50.0, 0.0, 1.0])
    starts = merge(sums, np.array([0.0, 9.0, 1.0, 1.0, 9.0, 0.0, 1.0]))
    assert starts.tolist() == [0, 2]
    assert merge(np.array([1.0]), np.array([1.0])).tolist() == []
    assert merge(np.array([-5.0, 100.0]), np.array([1.0, 9.0])).tolist() == [0]
    assert LARGEST_ERROR < 1


def test_scan_finds_the_window_with_the_smallest_p_value():
    random = np.random.default_rng(9)
    background = random.uniform(2, 30, 12)
    data = random.poisson(background).astype(float)
    data[4:6] += 25
    windows = [(a, b) for a in range(12) for b in range(a + 1, min(a + 6, 12) + 1)]
    p = {
        (a, b): stats.poisson.sf(data[a:b].sum() - 1, background[a:b].sum())
        for a, b in windows
        if data[a:b].sum() > background[a:b].sum()
    }
    best = min(p, key=p.get)
    found = scan(data, background, np.zeros(12))
    assert found[1:] == best
    assert found[0] == pytest.approx(p[best], rel=1e-6)


def test_scan_takes_the_error_of_the_expectation_into_account():
    data, background = np.array([10.0, 160.0, 10.0]), np.array([10.0, 100.0, 10.0])
    known, _, _ = scan(data, background, np.zeros(3))
    unknown, _, _ = scan(data, background, background**2 / 100)
    assert known == pytest.approx(stats.poisson.sf(159, 100), rel=1e-6)
    z = stats.norm.isf([unknown, p_value(160, 100, 10)[0]])
    assert z[0] == pytest.approx(z[1], abs=0.2)


def test_nothing_to_scan_is_no_excess():
    assert scan(np.array([3.0, 4.0]), np.zeros(2), np.zeros(2)) == (1.0, 0, 0)
    assert scan(np.zeros(0), np.zeros(0), np.zeros(0)) == (1.0, 0, 0)
    assert scan(np.zeros(2), np.ones(2), np.zeros(2)) == (1.0, 0, 0)


def test_a_mass_of_zero_and_what_is_beyond_the_axis_do_not_count():
    mass = mass_of(Axis("m", np.array([0.0, 10.0, 20.0])), np.array([0.0, 0.1, 10.0, 20.0, -3.0]))
    assert mass.bins.tolist() == [-1, 0, 1, -1, -1]


def test_hidden_bump_is_found_where_it_is():
    pool = make_pool(np.random.default_rng(10), signal=60)
    search = make_search(pool, ["bump"])
    outcome = evaluate(search, observe(pool))
    best = min(outcome.bumps, key=lambda bump: bump.local_p)
    assert best.window[0] < 250 < best.window[1] and best.window[1] - best.window[0] < 100
    assert combine(outcome.statistics, pseudo_statistics(search, 60, 1)).is_limit


# --- the command ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_scores(write_run(tmp_path_factory.mktemp("bump") / "out"))


def bump(folder, *words, capsys=None):
    main(["bump", str(folder), "-r", "SR3L", *QUICK, *words])
    return json.loads((folder / "stats" / "search" / "bump.json").read_text())


def test_bump_says_what_it_finds(run, capsys):
    found = bump(run, "--background-share", "0.3", "0.1")
    printed = capsys.readouterr().out
    assert found["detector"] == "small" and found["shares"] == [0.3, 0.1]
    mass = found["masses"]["m_3l"]
    assert len(mass["edges"]) == len(mass["data"]) + 1 == len(mass["background"]) + 1
    if mass["window"]:
        inside = slice(*np.searchsorted(mass["edges"], mass["window"]))
        assert mass["window_data"] == sum(mass["data"][inside])
    assert sum(found["pseudo_statistic"]["counts"]) == found["pseudo"] == 20
    assert 1 / 21 <= found["global_p"] <= 1
    assert found["best"]["mass"] == "m_3l"
    assert "global p" in printed and all(len(line) <= 80 for line in printed.split("\n\n")[0])


def test_data_in_the_file_are_those_of_the_table(run):
    found = bump(run, "--all-events", "--mass", "ht_lep")
    assert found["detector"] is None
    table = pd.read_hdf(run / "hdf5" / "data_SR3L.hdf5")
    mass = found["masses"]["ht_lep"]
    values = table["ht_lep"][(table["ht_lep"] > 0) & (table["ht_lep"] < 1000)]
    assert mass["data"] == np.histogram(values, mass["edges"])[0].tolist()


def test_any_number_of_processes_gives_the_same(run):
    first = bump(run)
    again = bump(run, "--processes", "2")
    other = bump(run, "--seed", "2")
    for each in (first, again, other):
        each.pop("command")
    assert first == again
    assert first["pseudo_statistic"] != other["pseudo_statistic"]


def test_threshold_is_taken_as_it_is(run):
    found = bump(run, "--threshold", "2.0")
    assert found["threshold"] == found["masses"]["m_3l"]["threshold"] == 2.0
    assert found["shares"] == [] and found["masses"]["m_3l"]["share"] is None
    assert bump(run, "--threshold", "99")["global_p"] == 1.0


def test_injected_signal_is_searched_in_pseudo_data(run):
    found = bump(run, "--inject", "HNL450=150", "--all-events")
    assert found["injected"] == {"HNL450": 150.0}
    assert found["global_p_is_limit"]
    assert found["masses"]["m_3l"]["window"][0] > 150


# --- mistakes ---------------------------------------------------------------------------------


def fails(capsys, *words):
    """What a command that fails says; one line."""
    with pytest.raises(SystemExit) as end:
        main([str(word) for word in words])
    said = capsys.readouterr().err.strip()
    assert end.value.code in (1, 2) and said.count("\n") == 0, said
    return said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("-r", "SR3l"), "did you mean 'SR3L'"),
        (("-r", "SR3L", "--mass", "m_3"), "did you mean 'm_3l'"),
        (("-r", "SR3L", "--detector", "smal"), "did you mean 'small'"),
        (("-r", "SR3L", "--inject", "HNL45=3"), "did you mean 'HNL450'"),
        (("-r", "SR3L", "--inject", "HNL450"), "must be NAME=X with a number"),
        (("-r", "SR3L", "--background-share", "2"), "above 0 and at most 1"),
        (("-r", "SR3L", "--threshold", "nan"), "must be a number"),
        (("-r", "SR3L", "--pseudo", "0"), "from 1"),
        (("-r", "SR3L", "--seed", "-1"), "whole number from 1"),
    ],
)
def test_mistakes_are_one_line(run, capsys, words, said):
    assert said in fails(capsys, "bump", run, *words)


def changed(run, folder, samples=None, **record):
    """A copy of a run with other samples or other fields in its record."""
    shutil.copytree(run, folder)
    content = json.loads((folder / "run.json").read_text()) | record
    if samples is not None:
        content["samples"] = [s for s in content["samples"] if s["name"] in samples]
    (folder / "run.json").write_text(json.dumps(content))
    return folder


def test_without_data_nothing_is_searched(run, tmp_path, capsys):
    folder = changed(run, tmp_path / "out", ("WZ", "HNL450"))
    assert "has no data" in fails(capsys, "bump", folder, "-r", "SR3L")
    bump(folder, "--inject", "HNL450=0")


def test_without_simulation_nothing_is_searched(run, tmp_path, capsys):
    folder = changed(run, tmp_path / "out", ("data", "HNL450"))
    assert "no simulated background" in fails(capsys, "bump", folder, "-r", "SR3L")


def edit_tables(folder, names, edit):
    for name in names:
        path = folder / "hdf5" / f"{name}_SR3L.hdf5"
        edit(pd.read_hdf(path)).to_hdf(path, key="mini", format="fixed", mode="w")


def test_empty_data_are_said(run, tmp_path, capsys):
    folder = changed(run, tmp_path / "out")
    edit_tables(folder, ["data"], lambda table: table[:0])
    assert "no data in 'SR3L'" in fails(capsys, "bump", folder, "-r", "SR3L", "--all-events")


def test_background_without_yield_is_said(run, tmp_path, capsys):
    folder = changed(run, tmp_path / "out")
    edit_tables(folder, ["WZ", "ZZ", "ttbar"], lambda table: table.assign(wgt_SG=-0.1))
    said = fails(capsys, "bump", folder, "-r", "SR3L", "--all-events")
    assert "no positive yield" in said


def test_data_where_there_is_no_background_are_an_excess(run, tmp_path):
    """Far beyond all that is simulated: one event is taken as expected, and ten are seen."""
    folder = changed(run, tmp_path / "out")

    def far(table):
        return table.assign(m_3l=np.where(np.arange(len(table)) < 10, 950.0, table["m_3l"]))

    edit_tables(folder, ["data"], far)
    edit_tables(folder, ["WZ", "ZZ", "ttbar"], lambda t: t[t["m_3l"] < 500])
    mass = bump(folder, "--all-events")["masses"]["m_3l"]
    assert mass["edges"][-1] == 1000 and mass["window"][1] == 1000
    assert all(value > 0 for value in mass["background"])


def test_without_scores_the_command_that_makes_them_is_named(run, tmp_path, capsys):
    folder = changed(run, tmp_path / "out")
    shutil.rmtree(folder / "scores")
    assert "python -m ml score" in fails(capsys, "bump", folder, "-r", "SR3L")
    bump(folder, "--all-events")


def test_blind_data_are_not_looked_at(run, tmp_path, capsys):
    hidden = [json.loads((run / "run.json").read_text())["regions"][0] | {"blind": True}]
    blind = changed(run, tmp_path / "out", regions=hidden)
    assert "run_rdf.py --unblind" in fails(capsys, "bump", blind, "-r", "SR3L", "--unblind")
    seen = changed(run, tmp_path / "seen", regions=hidden, unblind=True)
    assert "with --unblind" in fails(capsys, "bump", seen, "-r", "SR3L")
    bump(seen, "--unblind")
