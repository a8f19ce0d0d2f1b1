"""What systematic uncertainties do to sums of samples: by hand, and from the files of a run."""

import json
import shutil

import numpy as np
import plot_inputs
import pytest
import uproot

from analysis.errors import InputError
from analysis.results import Histogram, Results, Sample, Varied
from analysis.shifts import background_shifts, combine, make_shifts
from analysis.systematics import Systematic
from plotting import agreement_pictures, save, stack_pictures
from plotting.draw_stack import draw_stack
from plotting.settings import Options
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


def tilt(table, sign):
    """Weights that grow with the mass, less downwards than upwards."""
    size = 0.2 if sign > 0 else -0.1
    return table.assign(wgt_SG=table["wgt_SG"] * (1 + size * table["m_3l"] / 300))


def lean(table, sign):
    return table.assign(wgt_SG=1.1 * table["wgt_SG"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run with a tilt, which ZZ lacks, a lean to one side, and a luminosity."""
    return plot_inputs.write_run(
        tmp_path_factory.mktemp("run") / "out",
        shifts=(
            plot_inputs.Shift("tilt", tilt, tables=False, without=("ZZ",)),
            plot_inputs.Shift("lean", lean, tables=False, one_sided=True, without=("WZ", "ZZ")),
        ),
        sizes=(Systematic("lumi", "Luminosity", size=0.02),),
        declared=[f for f in plot_inputs.DECLARED if f.name in ("m_3l", "n_jet")],
    )


def test_band_is_recomputed_from_the_files(folder):
    results = Results(folder)
    histograms = results.histograms("SR3L", "m_3l")
    shifts = background_shifts(results, "SR3L", "m_3l", histograms)
    stack = make_stack(
        results, "SR3L", "m_3l", histograms, shifts=shifts, relative_errors={"diboson4L": 0.3}
    )
    names = ("WZ", "ZZ", "ttbar", "WZ__tilt_up", "WZ__tilt_down", "ttbar__tilt_up")
    names += ("ttbar__tilt_down", "ttbar__lean_up")
    with uproot.open(folder / "histograms.root") as file:
        found = {
            name: fold_flow(file[f"SR3L/h_m_3l_{name}"].values(flow=True), False) for name in names
        }
    total = found["WZ"] + found["ZZ"] + found["ttbar"]
    up, down = (
        found[f"WZ__tilt_{d}"] + found[f"ttbar__tilt_{d}"] - found["WZ"] - found["ttbar"]
        for d in ("up", "down")
    )
    assert up.sum() == pytest.approx(-2 * down.sum()) and up.sum() > 1
    rest = (0.02 * total) ** 2 + (found["ttbar__lean_up"] - found["ttbar"]) ** 2
    rest += (0.3 * found["ZZ"]) ** 2 + stack.statistical**2
    # Where weights are negative, up is down.
    low, high = np.minimum(up, down), np.maximum(up, down)
    assert stack.error == pytest.approx(np.sqrt([rest + low**2, rest + high**2]))
    figure = draw_stack(stack, log=False)
    assert any(text.get_text() == "Stat. + syst. unc." for text in figure.axes[1].texts)
    band = next(p for p in figure.axes[1].patches if p.get_hatch())
    assert band.get_data().baseline == pytest.approx(stack.total - stack.error[0])
    ratio = next(p for p in figure.axes[0].patches if p.get_hatch()).get_data()
    # The ratio has wider bins in the tails: what each uncertainty does in them is added up.
    starts = [start for start, _ in stack.groups]
    names = ("WZ", "ZZ", "ttbar", "ttbar__lean_up")
    wz, zz, ttbar, lean = (np.add.reduceat(found[name], starts) for name in names)
    rest = (0.02 * (wz + zz + ttbar)) ** 2 + (lean - ttbar) ** 2 + (0.3 * zz) ** 2
    rest += np.add.reduceat(stack.statistical**2, starts)
    up = np.add.reduceat(up, starts).clip(0) ** 2 + np.add.reduceat(down, starts).clip(0) ** 2
    wide = wz + zz + ttbar
    filled = wide > 0
    assert len(wide) < len(total)
    assert ratio.values[filled] == pytest.approx(1 + np.sqrt(rest + up)[filled] / wide[filled])


def test_check_and_hist_use_the_variations(folder, tmp_path):
    options = Options(str(folder), tmp_path, formats=("png",))
    (found,) = agreement_pictures.compare_all(options, "SR3L", ["m_3l"])
    results = options.results
    histograms = results.histograms("SR3L", "m_3l")
    plain = agreement_pictures.compare_one(results, "SR3L", "m_3l", histograms)
    assert found.chi2 < plain.chi2 and found.ndof == plain.ndof
    stack_pictures.hist(options, ["SR3L"], ["m_3l"])
    varied = (tmp_path / "hist" / "SR3L" / "m_3l.png").read_bytes()
    record = json.loads((folder / "run.json").read_text())
    figure = stack_pictures.draw_feature(options, "SR3L", "m_3l", histograms).figure
    save.save(figure, tmp_path / "plain", ("png",))
    assert record["systematics"] and varied != (tmp_path / "plain.png").read_bytes()


def test_cutflow_has_the_systematic_error_of_the_total(folder):
    results = Results(folder)
    total = make_cutflow(results, "SR3L").rows_of("total")[0]
    sums = {
        name: np.array([r["sumw"] for r in rows]) for name, rows in results.cutflow["SR3L"].items()
    }
    up, down = (
        sums[f"WZ__tilt_{d}"] + sums[f"ttbar__tilt_{d}"] - sums["WZ"] - sums["ttbar"]
        for d in ("up", "down")
    )
    rest = (0.02 * total.sumw) ** 2 + (0.1 * sums["ttbar"]) ** 2
    assert total.systematic == pytest.approx(np.sqrt([rest + down**2, rest + up**2]))
    lines = as_text(make_cutflow(results, "SR3L"))
    (line,) = [line for line in lines if line.startswith("total background")]
    assert f"{total.sumw[1]:.0f} +- {total.error[1]:.0f} +- {total.systematic[1, 1]:.0f}" in line
    # Two columns, with two errors for the total and one for the others.
    assert line.count("+-") == 4
    assert all(line.count("+-") == 2 for line in lines if line.startswith("diboson"))


def test_variations_in_other_bins_are_a_line(folder):
    class Other(Results):
        def histogram(self, region, feature, sample, variation=None):
            found = super().histogram(region, feature, sample, variation)
            return Histogram.empty(np.arange(4.0)) if variation else found

    results = Other(folder)
    histograms = results.histograms("SR3L", "m_3l")
    with pytest.raises(InputError, match="m_3l of sample 'WZ'.* other bins .*'tilt_up'"):
        background_shifts(results, "SR3L", "m_3l", histograms)


def test_variations_that_are_missing_are_a_line(folder, tmp_path):
    broken = shutil.copytree(folder, tmp_path / "out")
    record = json.loads((broken / "run.json").read_text())
    kind = {"kind": "weight", "tables": {}, "rows": {}, "checksums": {}}
    record["samples"][1]["variations"]["tilt_up"] = kind
    (broken / "run.json").write_text(json.dumps(record))
    results = Results(broken)
    with pytest.raises(InputError, match="lacks SR3L/h_m_3l_ZZ__tilt_up"):
        background_shifts(results, "SR3L", "m_3l", results.histograms("SR3L", "m_3l"))
    with pytest.raises(InputError, match="cutflow.json lacks 'ZZ__tilt_up'"):
        make_cutflow(results, "SR3L")
