"""What systematic uncertainties do to sums of samples: by hand, and from the files of a run."""

import json
from dataclasses import asdict

import numpy as np
import plot_inputs
import pytest
import uproot

from analysis.errors import InputError
from analysis.results import Results, Sample, Varied
from analysis.shifts import background_shifts, combine, make_shifts
from analysis.systematics import Systematic
from plotting import commands
from plotting.draw_stack import draw_stack
from plotting.stack import fold_flow, make_stack
from plotting.yields import as_text, make_cutflow

SYSTEMATICS = (
    Systematic("lumi", "Luminosity", size=0.1),
    Systematic("both", "Both", up={"x": "x"}, down={"x": "x"}),
    Systematic("one", "One-sided", up={"x": "x"}),
    Systematic("rate", "Rate", size=0.5, processes=("second",)),
    Systematic("nothing", "Of another process", size=0.5, processes=("third",)),
)
NOMINAL = {"a": np.array([10.0, 20.0]), "b": np.array([4.0, 2.0])}
VARIED = {
    ("a", "both_up"): np.array([11.0, 23.0]),
    ("a", "both_down"): np.array([8.0, 21.0]),
    ("b", "both_up"): np.array([4.5, 2.0]),
    ("b", "both_down"): np.array([3.0, 1.0]),
    ("a", "one_up"): np.array([10.0, 24.0]),  # b lacks it
}


def samples():
    def sample(name, process):
        varied = {v: Varied("weight", {}, {}, {}) for s, v in VARIED if s == name}
        return Sample(name, process, "background", {}, {}, varied)

    return sample("a", "first"), sample("b", "second")


def test_two_bins_by_hand():
    made = make_shifts(SYSTEMATICS, samples(), NOMINAL, lambda *names: VARIED[names])
    assert [shift.systematic for shift in made] == ["lumi", "both", "one", "rate"]
    expected = {
        "lumi": ([1.4, 2.2], [-1.4, -2.2]),
        "both": ([1.5, 3.0], [-3.0, 0.0]),
        "one": ([0.0, 4.0], [0.0, -4.0]),
        "rate": ([2.0, 1.0], [-2.0, -1.0]),
    }
    for shift in made:
        assert (*shift.up, *shift.down) == pytest.approx(np.ravel(expected[shift.systematic]))
    low, high = combine([(shift.up, shift.down) for shift in made])
    assert low == pytest.approx(np.sqrt([1.4**2 + 9 + 4, 2.2**2 + 16 + 1]))
    assert high == pytest.approx(np.sqrt([1.4**2 + 1.5**2 + 4, 2.2**2 + 9 + 16 + 1]))
    assert made[1].mean == pytest.approx([2.25, 1.5])


def test_both_directions_on_one_side_count_once():
    low, high = combine([(np.array([2.0]), np.array([1.0]))])
    assert (low[0], high[0]) == (0, 2)


def test_data_does_not_move():
    (sample, _) = samples()
    data = Sample("d", "data", "data", {}, {}, sample.variations)
    assert make_shifts(SYSTEMATICS, [data], {"d": np.ones(2)}, lambda *_: 1 / 0) == ()
    assert make_shifts(SYSTEMATICS, [], {}, lambda *_: 1 / 0) == ()


# --- a run ------------------------------------------------------------------------------------

FACTORS = {"WZ": {"tilt_up": 1.2, "tilt_down": 0.9}, "ttbar": {"tilt_up": 1.5}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run whose m_3l has variations: that of ttbar has one direction, ZZ has none."""
    folder = plot_inputs.write_run(tmp_path_factory.mktemp("run") / "out")
    return vary(folder, "m_3l", FACTORS)


def vary(folder, feature, factors, bins=None):
    """Add the systematics lumi and tilt to a run, the latter grows with the bin."""
    record = json.loads((folder / "run.json").read_text())
    flow = json.loads((folder / "cutflow.json").read_text())
    record["systematics"] = [
        asdict(Systematic("lumi", "Luminosity", size=0.02)),
        asdict(Systematic("tilt", "Tilt", up={"wgt_SG": "1"}, down={"wgt_SG": "1"})),
    ]
    results = Results(folder)
    with uproot.update(folder / "histograms.root") as file:
        for sample in record["samples"]:
            named = factors.get(sample["name"], {})
            kind = {"kind": "weight", "tables": {}, "rows": {}, "checksums": {}}
            sample["variations"] = {name: kind for name in named}
            for name, factor in named.items():
                nominal = results.histogram("SR3L", feature, sample["name"])
                low, high = nominal.edges[0], nominal.edges[-1]
                values = nominal.sumw * np.linspace(1, factor, len(nominal.sumw))
                if bins:
                    values = values[: bins + 2]
                axis = plot_inputs.to_TAxis("xaxis", "", len(values) - 2, low, high)
                made = plot_inputs.to_TH1x(None, "", values, *[0.0] * 5, values, axis)
                file[f"SR3L/h_{feature}_{sample['name']}__{name}"] = made
                rows = flow["SR3L"][sample["name"]]
                scaled = [rows[0]] + [row | {"sumw": factor * row["sumw"]} for row in rows[1:]]
                flow["SR3L"][f"{sample['name']}__{name}"] = scaled
    (folder / "cutflow.json").write_text(json.dumps(flow))
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def test_band_is_recomputed_from_the_files(folder):
    results = Results(folder)
    histograms = results.histograms("SR3L", "m_3l")
    shifts = background_shifts(results, "SR3L", "m_3l", histograms)
    stack = make_stack(
        results, "SR3L", "m_3l", histograms, shifts=shifts, relative_errors={"diboson4L": 0.3}
    )
    with uproot.open(folder / "histograms.root") as file:
        found = {
            name: fold_flow(file[f"SR3L/h_m_3l_{name}"].values(flow=True), False)
            for name in ("WZ", "ZZ", "ttbar", "WZ__tilt_up", "WZ__tilt_down", "ttbar__tilt_up")
        }
    total = found["WZ"] + found["ZZ"] + found["ttbar"]
    up = found["WZ__tilt_up"] + found["ttbar__tilt_up"] - found["WZ"] - found["ttbar"]
    down = found["WZ__tilt_down"] - found["WZ"] + found["ttbar"] - found["ttbar__tilt_up"]
    rest = (0.02 * total) ** 2 + (0.3 * found["ZZ"]) ** 2 + stack.statistical**2
    assert stack.error == pytest.approx(np.sqrt([rest + down**2, rest + up**2]))
    assert (up >= 0).all() and (down <= 0).all() and up.sum() > 1
    figure = draw_stack(stack, log=False)
    (legend,) = [axes.get_legend() for axes in figure.axes if axes.get_legend()]
    assert legend.get_texts()[-1].get_text() == "Stat. + syst. unc."
    band = next(p for p in figure.axes[1].patches if p.get_hatch())
    assert band.get_data().baseline == pytest.approx(stack.total - stack.error[0])
    ratio = next(p for p in figure.axes[0].patches if p.get_hatch()).get_data()
    filled = total > 0
    assert ratio.values[filled] == pytest.approx(1 + stack.error[1][filled] / total[filled])


def test_check_and_hist_use_the_variations(folder, tmp_path):
    options = commands.Options(str(folder), tmp_path, formats=("png",))
    (found,) = commands.compare_all(options, "SR3L", ["m_3l"])
    results = options.results
    histograms = results.histograms("SR3L", "m_3l")
    plain = commands.compare_one(results, "SR3L", "m_3l", histograms)
    assert found.chi2 < plain.chi2 and found.ndof == plain.ndof
    commands.hist(options, ["SR3L"], ["m_3l"])
    varied = (tmp_path / "hist" / "SR3L" / "m_3l.png").read_bytes()
    record = json.loads((folder / "run.json").read_text())
    figure = commands.stack_figure(options, "SR3L", "m_3l", histograms)
    commands.save(figure, tmp_path / "plain", ("png",))
    assert record["systematics"] and varied != (tmp_path / "plain.png").read_bytes()


def test_cutflow_has_the_systematic_error_of_the_total(folder, tmp_path):
    results = Results(folder)
    total = make_cutflow(results, "SR3L").rows_of("total")[0]
    w, t = (results.cutflow["SR3L"][name][1]["sumw"] for name in ("WZ", "ttbar"))
    lumi = 0.02 * total.sumw
    expected = np.hypot(lumi[1], 0.2 * w + 0.5 * t), np.hypot(lumi[1], -0.1 * w - 0.5 * t)
    assert total.systematic[:, 0] == pytest.approx([lumi[0]] * 2)
    assert total.systematic[::-1, 1] == pytest.approx(expected)
    lines = as_text(make_cutflow(results, "SR3L"))
    (line,) = [line for line in lines if line.startswith("total background")]
    assert f"{total.sumw[1]:.0f} +- {total.error[1]:.0f} +- {expected[0]:.0f}" in line
    assert all(line.count("+-") == 4 for line in lines if line.startswith("total"))
    # Two columns, each with one error.
    assert all(line.count("+-") == 2 for line in lines if line.startswith("diboson"))


def test_variations_in_other_bins_are_a_line(tmp_path):
    folder = plot_inputs.write_run(tmp_path / "out", plot_inputs.SAMPLES[:2])
    results = Results(vary(folder, "m_3l", FACTORS, bins=3))
    histograms = results.histograms("SR3L", "m_3l")
    with pytest.raises(InputError, match="m_3l of sample 'WZ'.* other bins .*'tilt_up'"):
        background_shifts(results, "SR3L", "m_3l", histograms)
    with pytest.raises(InputError, match="lacks SR3L/h_n_jet_WZ__tilt_up"):
        background_shifts(results, "SR3L", "n_jet", results.histograms("SR3L", "n_jet"))
