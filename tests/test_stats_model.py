"""Yields, bins and workspaces: against numbers that are computed here from the tables."""

import subprocess
import sys

import numpy as np
import pyhf
import pytest
import stat_inputs
from conftest import REPOSITORY, SAFETY_NET, read_json
from plot_inputs import Shift

from analysis.errors import DeclarationError, InputError
from analysis.records import CAMPAIGNS
from analysis.results import Results
from analysis.stats import workspaces
from analysis.stats.__main__ import main
from analysis.stats.backgrounds import choose_normalisations
from analysis.stats.binning import bin_sums, default_edges, quantile_edges

# jsonschema has a newer class than the one that pyhf takes.
LIBRARIES = pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")
EDGES = (0.0, 100.0, 200.0, 400.0, 1000.0)  # on those of the histogram
HIDDEN = ("SR_search", "CR_WZ")
WORDS = ("-r", *stat_inputs.REGIONS, "-f", "m_3l", "--edges", *map(str, EDGES))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return stat_inputs.write_stats(tmp_path_factory.mktemp("run") / "out")


@pytest.fixture(scope="module")
def folder(made):
    main(["workspace", str(made), *WORDS])
    return made / "stats" / "search"


def counts(table, edges=EDGES):
    """Sums of weights and of their squares, the flow in the outer bins."""
    bins = [-np.inf, *edges[1:-1], np.inf]
    weights = table["wgt_SG"].to_numpy()
    values = table["m_3l"].to_numpy(float)
    return [np.histogram(values, bins, weights=w)[0] for w in (weights, weights**2)]


def sample_of(workspace, channel, name):
    (channel,) = [c for c in workspace["channels"] if c["name"] == channel]
    (sample,) = [s for s in channel["samples"] if s["name"] == name]
    return sample


def modifiers(sample, name):
    return {m["type"]: m["data"] for m in sample["modifiers"] if m["name"] == name}


# --- yields -----------------------------------------------------------------------------------


def test_yields_are_those_of_the_tables(made, folder):
    results, workspace = Results(made), read_json(folder / "workspace_HNL450.json")
    for name, process in (("WZ", "diboson3L"), ("ttbar", "ttbar"), ("HNL450", "HNL450")):
        sums, squares = counts(results.table("SR3L", name))
        sample = sample_of(workspace, "SR3L", process)
        assert sample["data"] == pytest.approx(sums)
        kind = "shapesys" if process == "HNL450" else "staterror"
        (errors,) = [m["data"] for m in sample["modifiers"] if m["type"] == kind]
        assert errors == pytest.approx(np.sqrt(squares))
        control = sample_of(workspace, "CR_WZ", process)["data"]
        assert control == pytest.approx([results.table("CR_WZ", name)["wgt_SG"].sum()])
    (data,) = [o["data"] for o in workspace["observations"] if o["name"] == "SR3L"]
    assert data == pytest.approx(counts(results.table("SR3L", "data"))[0])


def test_samples_can_be_chosen(made, stats_here):
    words = ("-s", "WZ", "HNL450", "data", "--norm", "none", "--name", "some")
    assert stats_here("workspace", made, *WORDS, *words)[0] == 0
    content = read_json(made / "stats" / "some" / "workspace_HNL450.json")
    assert {s["name"] for s in content["channels"][0]["samples"]} == {"diboson3L", "HNL450"}
    status, _, err = stats_here("workspace", made, *WORDS, "-s", "ttba")
    assert status == 1 and "did you mean 'ttbar'?" in err


def test_variations_are_split_in_yield_and_shape(made, folder):
    results, workspace = Results(made), read_json(folder / "workspace_HNL450.json")
    for name in ("tilt", "scale"):
        sample = sample_of(workspace, "SR3L", "diboson4L")
        nominal = np.array(sample["data"])
        found = modifiers(sample, name)
        for way, key in (("up", "hi"), ("down", "lo")):
            varied = counts(results.table("SR3L", "ZZ", None, f"{name}_{way}"))[0]
            factor = found["normsys"][key] if "normsys" in found else 1.0
            assert factor == pytest.approx(varied.sum() / nominal.sum())
            assert factor * np.array(found["histosys"][f"{key}_data"]) == pytest.approx(varied)


def test_sizes_concern_their_processes_and_not_those_with_a_free_factor(folder):
    workspace = read_json(folder / "workspace_HNL450.json")
    zz, wz = (sample_of(workspace, "SR3L", n) for n in ("diboson4L", "diboson3L"))
    assert modifiers(zz, "ZZ_xsec") == {"normsys": pytest.approx({"hi": 1.06, "lo": 0.94})}
    assert modifiers(wz, "WZ_xsec") == {}
    assert modifiers(wz, "norm_WZ") == {"normfactor": None}
    for name in ("diboson3L", "diboson4L", "HNL450"):
        lumi = modifiers(sample_of(workspace, "SR3L", name), "lumi")["normsys"]
        assert lumi == pytest.approx({"hi": 1.02, "lo": 0.98})


def test_histograms_give_the_yields_that_tables_give(tmp_path, folder):
    """The masses are floats, like those in the histograms."""
    shifts = [Shift(s.name, s.change, s.kind, tables=False) for s in stat_inputs.SHIFTS]
    out = stat_inputs.write_stats(tmp_path / "out", shifts=shifts)
    main(["workspace", str(out), *WORDS])
    name = "workspace_HNL150.json"
    one, other = read_json(folder / name), read_json(out / "stats" / "search" / name)
    for mine, its in zip(one["channels"], other["channels"], strict=True):
        for sample, same in zip(mine["samples"], its["samples"], strict=True):
            for a, b in zip(sample["modifiers"], same["modifiers"], strict=True):
                assert (a["name"], a["type"]) == (b["name"], b["type"])
                for x, y in zip(numbers(a["data"]), numbers(b["data"]), strict=True):
                    assert x == pytest.approx(y, rel=1e-9)


def numbers(data):
    if isinstance(data, dict):
        return [number for value in data.values() for number in numbers(value)]
    return list(np.atleast_1d(data)) if data is not None else []


def test_histograms_in_other_bins_are_one_line(tmp_path, stats_here):
    shifts = [Shift("tilt", stat_inputs.heavier, tables=False)]
    out = stat_inputs.write_stats(tmp_path / "out", shifts=shifts)
    status, _, err = stats_here("workspace", out, "-f", "m_3l", "--edges", 0, 105, 400)
    assert status == 1 and "tilt_up" in err and "without an edge at 105" in err
    assert "--edges" in err and "--vary-tables" in err and err.count("\n") == 1
    assert not (out / "stats").exists()
    status, *_ = stats_here(
        "workspace", out, "-f", "m_3l", "--edges", 0, 105, 400, "--systematic", "none"
    )
    assert status == 0


def test_one_sided_variations_are_mirrored(tmp_path):
    shifts = [Shift("tilt", stat_inputs.heavier, one_sided=True)]
    out = stat_inputs.write_stats(tmp_path / "out", shifts=shifts)
    main(["workspace", str(out), *WORDS])
    workspace = read_json(out / "stats" / "search" / "workspace_background.json")
    found = modifiers(sample_of(workspace, "CR_WZ", "ttbar"), "tilt")["normsys"]
    assert found["hi"] > 1 and found["hi"] - 1 == pytest.approx(1 - found["lo"])


def test_a_variation_that_a_sample_lacks_is_told_and_nominal(tmp_path, stats_here):
    shifts = [Shift("tilt", stat_inputs.heavier, without=("ZZ",))]
    out = stat_inputs.write_stats(tmp_path / "out", shifts=shifts)
    status, _, err = stats_here("workspace", out, *WORDS)
    assert status == 0 and "sample 'ZZ' lacks the variation 'tilt_up': nominal is taken" in err
    folder = out / "stats" / "search"
    notes = read_json(folder / "model.json")["notes"]
    assert "sample 'ZZ' lacks the variation 'tilt_down': nominal is taken" in notes
    workspace = read_json(folder / "workspace_background.json")
    assert modifiers(sample_of(workspace, "SR3L", "diboson4L"), "tilt") == {}
    assert modifiers(sample_of(workspace, "SR3L", "diboson3L"), "tilt") != {}


def test_negative_yields_become_small_and_keep_their_error(tmp_path, stats_here):
    def negative(region, sample, table):
        table = stat_inputs.apart(region, sample, table)
        if sample == "ttbar":
            table.loc[table["m_3l"] > 200, "wgt_SG"] *= -1
        return table

    out = stat_inputs.write_stats(tmp_path / "out", edit=negative)
    status, _, err = stats_here("workspace", out, *WORDS)
    assert status == 0 and "'ttbar' has a negative yield in 'SR3L', bin 3" in err
    folder = out / "stats" / "search"
    sample = sample_of(read_json(folder / "workspace_background.json"), "SR3L", "ttbar")
    squares = counts(Results(out).table("SR3L", "ttbar"))[1]
    assert sample["data"][2] == 1e-6 and sample["modifiers"][0]["data"] == pytest.approx(
        np.sqrt(squares)
    )
    assert stats_here("fit", out, "--all")[0] == 0
    assert stats_here("limit", out, "--toys", 0)[0] == 0


def test_a_factor_multiplies_the_yield_of_a_process(made, folder):
    main(["workspace", str(made), *WORDS, "--normalisation", "ttbar=2", "--name", "twice"])
    twice = read_json(made / "stats" / "twice" / "workspace_background.json")
    once = read_json(folder / "workspace_background.json")
    ratio = np.divide(*(sample_of(w, "SR3L", "ttbar")["data"] for w in (twice, once)))
    assert ratio == pytest.approx(2)


# --- bins -------------------------------------------------------------------------------------


def test_bins_of_equal_background():
    random = np.random.default_rng(1)
    values, weights = random.exponential(size=5000), random.uniform(0.5, 1.5, 5000)
    edges = quantile_edges(values, weights, 8)
    sums, _ = bin_sums(values, weights, edges)
    assert len(sums) == 8 and sums == pytest.approx(weights.sum() / 8, rel=0.01)
    among = np.linspace(0, 8, 33)
    assert set(quantile_edges(values, weights, 8, among)) <= set(among)


def test_default_bins_have_enough_background_and_all_of_it():
    random = np.random.default_rng(2)
    values = random.exponential(size=3000)
    weights = np.where(random.random(3000) < 0.1, -1.0, 1.0)
    edges = default_edges(values, weights, np.linspace(0, 12, 61))
    sums, squares = bin_sums(values, weights, edges)
    assert np.all(sums**2 >= 5 * squares) and np.all(sums > 0) and len(sums) > 5
    assert sums.sum() == pytest.approx(weights.sum())
    need = 5 * 2.0 ** np.arange(len(sums))[::-1]
    assert np.all((sums**2 / squares)[1:] >= need[1:])


def test_bins_do_not_depend_on_data_or_signal(made, tmp_path):
    samples = [s for s in stat_inputs.SAMPLES if s[2] == "background"]
    other = stat_inputs.write_stats(tmp_path / "out", samples=samples)
    words = ("-r", "SR3L", "CR_WZ", "-f", "m_3l", "--name", "bins")
    for out in (made, other):
        main(["workspace", str(out), *words])
    edges = [
        read_json(out / "stats" / "bins" / "model.json")["channels"][0]["edges"]
        for out in (made, other)
    ]
    assert edges[0] == edges[1] and len(edges[0]) > 3


# --- workspaces -------------------------------------------------------------------------------


@LIBRARIES
def test_pyhf_gives_the_yields_and_data(folder):
    workspace = pyhf.Workspace(read_json(folder / "workspace_HNL450.json"))
    model = workspace.model()
    expected = model.expected_actualdata(model.config.suggested_init())
    channels = {c["name"]: c for c in workspace["channels"]}
    sums = [sum(np.array(s["data"]) for s in channels[n]["samples"]) for n in model.config.channels]
    assert expected == pytest.approx(np.concatenate(sums))
    assert model.config.poi_name == "mu"


@LIBRARIES
def test_cabinetry_opens_workspaces(folder):
    utilities = pytest.importorskip("cabinetry").model_utils
    for name in ("HNL450", "background"):
        model, data = utilities.model_and_data(read_json(folder / f"workspace_{name}.json"))
        predicted = utilities.prediction(model)
        assert len(data) == len(model.expected_data(model.config.suggested_init()))
        assert len(predicted.model_yields) == 2


def test_pyhf_writes_workspaces_for_root(folder, tmp_path):
    made = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "from pyhf.cli import cli; cli()", "json2xml"]
        + [str(folder / "workspace_HNL450.json"), "--output-dir", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=SAFETY_NET,
    )
    assert made.returncode == 0, made.stderr[-2000:]
    assert (tmp_path / "FitConfig.xml").exists()


def test_the_error_of_a_signal_does_not_count_for_the_background(made, folder):
    """Without signal, workspaces with one and without have equal expectations and constraints."""
    widths = {}
    for name in ("HNL450", "background"):
        path = folder / f"workspace_{name}.json"
        model, _ = workspaces.build(workspaces.read_workspace(path), path, poi=name != "background")
        widths[name] = model.config.param_set("staterror_SR3L").width()
    assert widths["HNL450"] == pytest.approx(widths["background"])


# --- regions and blindness --------------------------------------------------------------------


def test_validation_regions_are_not_in_the_workspace(folder):
    names = [c["name"] for c in read_json(folder / "workspace_background.json")["channels"]]
    assert names == ["SR3L", "CR_WZ"]
    validation = read_json(folder / "model.json")["validation"]
    assert [c["name"] for c in validation["channels"]] == ["VR_WZ"]


@pytest.mark.parametrize("unblinded", [False, True])
def test_blind_regions_have_the_expectation_for_data(tmp_path, stats_here, unblinded):
    out = stat_inputs.write_stats(tmp_path / "out", regions=HIDDEN, blind=HIDDEN[:1])
    if unblinded:  # the run has the data then, and still it is not taken
        out = stat_inputs.write_stats(tmp_path / "open", regions=HIDDEN)
        content = read_json(out / "run.json")
        content["unblind"] = True
        for region in content["regions"]:
            region["blind"] = region["name"] == "SR_search"
        workspaces.write_json(out / "run.json", content)
    assert stats_here("workspace", out, "-f", "m_3l", "--bins", 4)[0] == 0
    folder = out / "stats" / "search"
    workspace, model = (read_json(folder / f"{n}.json") for n in ("workspace_background", "model"))
    data = {o["name"]: o["data"] for o in workspace["observations"]}
    samples = [c["samples"] for c in workspace["channels"] if c["name"] == "SR_search"][0]
    assert data["SR_search"] == pytest.approx(sum(np.array(s["data"]) for s in samples))
    assert model["channels"][0]["asimov"] and model["channels"][0]["data"] is None
    assert data["CR_WZ"] == [np.sum(np.isin(np.arange(560) % 6, (3, 4)))]
    assert stats_here("limit", out, "--toys", 0)[0] == 0
    limit = read_json(folder / "limit.json")["signals"]["HNL450"]
    assert limit["asimov"] and limit["observed"] is None and limit["expected"][2] > 0
    status, _, err = stats_here("workspace", out, "-f", "m_3l", "--bins", 4, "--unblind")
    if unblinded:
        assert status == 0
        assert not read_json(folder / "model.json")["channels"][0]["asimov"]
    else:
        assert status == 1 and "run_rdf.py --unblind" in err and err.count("\n") == 1


def test_declared_normalisations_are_those_whose_region_is_there():
    processes = ("diboson3L", "ttbar", "Zmmjets", "Zeejets")
    found = choose_normalisations(None, ("SR3L", "CR_WZ", "CR_fake"), processes)
    assert [(n.parameter, n.processes) for n in found] == [
        ("norm_WZ", ("diboson3L",)),
        ("norm_fakes", ("Zeejets", "Zmmjets")),
    ]
    (own,) = choose_normalisations(["ttbar=CR_WZ"], ("CR_WZ",), processes)
    assert (own.parameter, own.region) == ("norm_ttbar", "CR_WZ")


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["ttbar"], "is not PROCESS"),
        (["tbar=CR_WZ"], "did you mean 'ttbar'"),
        (["ttbar=CR_W"], "did you mean 'CR_WZ'"),
        (["ttbar=CR_WZ", "ttbar=SR3L"], "more than one factor"),
    ],
)
def test_normalisations_that_make_no_sense_are_one_line(words, line):
    with pytest.raises(DeclarationError, match=line):
        choose_normalisations(words, ("SR3L", "CR_WZ"), ("ttbar", "diboson3L"))


def test_the_luminosity_of_run_2_is_that_of_its_campaigns(tmp_path):
    out = stat_inputs.write_stats(tmp_path / "out", regions=("SR3L",), shifts=())
    content = read_json(out / "run.json")
    workspaces.write_json(out / "run.json", content | {"luminosity_ifb": "run2"})
    assert Results(out).luminosity == pytest.approx(138.96515)
    for number in CAMPAIGNS:
        assert str(number) in (REPOSITORY / "helpers" / "weights.h").read_text()


# --- bad input --------------------------------------------------------------------------------


def without(kind):
    return [sample for sample in stat_inputs.SAMPLES if sample[2] != kind]


def test_a_run_without_signal(tmp_path, stats_here):
    out = stat_inputs.write_stats(tmp_path / "out", samples=without("signal"), shifts=())
    status, _, err = stats_here("workspace", out, *WORDS)
    assert status == 0 and "no signal" in err and err.count("\n") == 1
    status, _, err = stats_here("limit", out)
    assert status == 1 and "has no signal" in err and err.count("\n") == 1
    assert stats_here("fit", out)[0] == 0


def test_a_run_without_data(tmp_path, stats_here):
    out = stat_inputs.write_stats(tmp_path / "out", samples=without("data"), shifts=())
    status, _, err = stats_here("workspace", out, *WORDS)
    assert status == 0 and "no data" in err and err.count("\n") == 1
    assert stats_here("limit", out, "--toys", 0)[0] == 0
    limit = read_json(out / "stats" / "search" / "limit.json")["signals"]["HNL450"]
    assert limit["observed"] is None and limit["expected"][2] > 0


def test_a_region_without_background(tmp_path, stats_here):
    def empty(region, sample, table):
        none = region == "CR_WZ" and sample not in ("data", "HNL450", "HNL150")
        return table[:0] if none else stat_inputs.apart(region, sample, table)

    out = stat_inputs.write_stats(tmp_path / "out", edit=empty, shifts=())
    status, _, err = stats_here("workspace", out, *WORDS)
    assert status == 1 and "'CR_WZ' has no simulated background" in err
    assert "events of data: leave it out" in err and err.count("\n") == 1


def test_regions_that_share_events_are_not_fitted_together(tmp_path, stats_here):
    out = stat_inputs.write_stats(tmp_path / "out", regions=("SR3L", "CR_WZ"), edit=None, shifts=())
    status, _, err = stats_here("workspace", out, "--count")
    assert status == 1 and err.count("\n") == 1
    assert "CR_WZ" in err and "SR3L" in err and "events" in err and "count twice" in err


def test_a_bin_with_data_but_no_background(tmp_path, stats_here):
    def none_above(region, sample, table):
        table = stat_inputs.apart(region, sample, table)
        keep = (table["m_3l"] < 400) | (sample in ("data", "HNL450", "HNL150"))
        return table[keep].reset_index(drop=True)

    out = stat_inputs.write_stats(tmp_path / "out", edit=none_above, shifts=())
    status, _, err = stats_here("workspace", out, *WORDS)
    assert status == 1 and "bin 400 to 1000 of m_3l has no simulated background, but" in err
    assert "merge bins" in err and err.count("\n") == 1
    assert stats_here("workspace", out, "-f", "m_3l")[0] == 0  # bins that are chosen have some
    assert stats_here("workspace", out, "--count")[0] == 0


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("-f", "m_3"), "did you mean 'm_3l'"),
        (("-r", "CR_WZ"), "no region of role signal"),
        (("-r", "SR3"), "did you mean 'SR3L'"),
        (("-f", "m_3l", "--edges", "3", "2"), "each larger than the last"),
        (("--signal", "ttbar"), "no signal of this run"),
        (("--systematic", "tlt"), "did you mean 'tilt'"),
        (("--detector", "small"), "no scores"),
        (("--normalisation", "tt=2"), "simulated process"),
    ],
)
def test_wrong_options_are_one_line(made, stats_here, words, line):
    status, _, err = stats_here("workspace", made, *words)
    assert status == 1 and line in err and err.count("\n") == 1


def test_a_workspace_of_another_run_is_not_used(tmp_path, stats_here):
    out = stat_inputs.write_stats(tmp_path / "out", shifts=())
    stats_here("workspace", out, *WORDS)
    content = read_json(out / "run.json")
    workspaces.write_json(out / "run.json", content | {"git": "other"})
    status, _, err = stats_here("fit", out)
    assert status == 1 and "of another run" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (lambda w: w.pop("channels"), "not a HistFactory workspace"),
        (lambda w: w["observations"].pop(), "does not describe a model"),
        (lambda w: w["channels"][0]["samples"][0]["data"].append(1.0), "does not describe"),
        (lambda w: w["measurements"][0]["config"].update(poi="other"), "does not describe|no para"),
        (
            lambda w: [s["data"].__setitem__(0, -9.0) for s in w["channels"][0]["samples"]],
            "expects",
        ),
    ],
)
def test_damaged_workspaces_are_one_line(folder, tmp_path, spoil, line):
    content = read_json(folder / "workspace_HNL450.json")
    spoil(content)
    path = tmp_path / "damaged.json"
    workspaces.write_json(path, content)
    with pytest.raises(InputError, match=line) as raised:
        workspaces.build(workspaces.read_workspace(path), path)
    assert "\n" not in str(raised.value)
