"""What is published is what the run holds, valid for HEPData, without what is blind."""

import json
import tarfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import result_inputs
import uproot
import yaml
from conftest import read_json, run_code
from plot_inputs import to_TAxis, to_TH1x, write_run

from analysis.errors import OutputError
from analysis.results import Results
from analysis.stats import hepdata
from analysis.stats.__main__ import main
from analysis.stats.result import write_result
from analysis.systematics import Systematic

NONE_MISSING = [0.5, 0.7, 1.0, 1.4, 2.0]
FACTORS = {"WZ": {"tilt_up": 1.2, "tilt_down": 0.9}, "ttbar": {"tilt_up": 1.5}}


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
                axis = to_TAxis("xaxis", "", len(values) - 2, low, high)
                made = to_TH1x(None, "", values, *[0.0] * 5, values, axis)
                file[f"SR3L/h_{feature}_{sample['name']}__{name}"] = made
                rows = flow["SR3L"][sample["name"]]
                scaled = [rows[0]] + [row | {"sumw": factor * row["sumw"]} for row in rows[1:]]
                flow["SR3L"][f"{sample['name']}__{name}"] = scaled
    (folder / "cutflow.json").write_text(json.dumps(flow))
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def publish(folder, *words):
    """{name: content} of the tables that are written."""
    main(["publish", str(folder), *map(str, words)])
    return hepdata.read_tables(folder / "stats" / "search" / "hepdata")


def columns(table):
    """{name of a dependent variable: its values}."""
    return {c["header"]["name"]: c["values"] for c in table["dependent_variables"]}


def numbers(values):
    return [value["value"] for value in values]


def errors(values, label):
    """[(minus, plus)] of the errors with a label."""
    found = []
    for value in values:
        (error,) = [e for e in value.get("errors", ()) if e["label"] == label] or [{"symerror": 0}]
        if "symerror" in error:
            found.append((-error["symerror"], error["symerror"]))
        else:
            found.append((error["asymerror"]["minus"], error["asymerror"]["plus"]))
    return np.array(found)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run with variations of m_3l."""
    return vary(write_run(tmp_path_factory.mktemp("publish") / "out"), "m_3l", FACTORS)


@pytest.fixture(scope="module")
def published(run):
    return publish(run, "-f", "m_3l")


def inside(values):
    """The sums of bins with the flow in the outer ones."""
    return np.array([values[0] + values[1], *values[2:-2], values[-2] + values[-1]])


# --- round trips --------------------------------------------------------------------------------


def test_histograms_come_back(run, published):
    table = published["m_3l in SR3L"]
    with uproot.open(run / "histograms.root") as file:
        found = {
            name: file[f"SR3L/h_m_3l_{name}"] for name in ("WZ", "ZZ", "ttbar", "HNL450", "data")
        }
        edges = found["WZ"].axis().edges()
        sums = {name: inside(h.values(flow=True)) for name, h in found.items()}
        squares = {name: inside(h.variances(flow=True)) for name, h in found.items()}
    (axis,) = table["independent_variables"]
    assert axis["header"] == {"name": "$m(3\\ell)$", "units": "GeV"}
    assert [v["low"] for v in axis["values"]] == pytest.approx(edges[:-1])
    assert [v["high"] for v in axis["values"]] == pytest.approx(edges[1:])
    made = columns(table)
    assert list(made)[:2] == ["Data", "Total background"]
    assert numbers(made["Data"]) == sums["data"].tolist()
    backgrounds = ("WZ", "ZZ", "ttbar")
    total = sum(sums[name] for name in backgrounds)
    assert numbers(made["Total background"]) == pytest.approx(total, rel=1e-6)
    stat = np.sqrt(sum(squares[name] for name in backgrounds))
    assert errors(made["Total background"], "stat")[:, 1] == pytest.approx(stat, rel=1e-6)
    for label, name in (("$WZ$", "WZ"), (r"$t\bar{t}$", "ttbar"), ("$N$(450 GeV)", "HNL450")):
        assert numbers(made[label]) == pytest.approx(sums[name], rel=1e-6)
        stat = np.sqrt(squares[name])
        assert errors(made[label], "stat")[:, 1] == pytest.approx(stat, rel=1e-6)


def test_systematics_are_errors_of_their_own(run, published):
    made = columns(published["m_3l in SR3L"])
    with uproot.open(run / "histograms.root") as file:
        found = {
            name: inside(file[f"SR3L/h_m_3l_{name}"].values(flow=True))
            for name in ("WZ", "ZZ", "ttbar", "WZ__tilt_up", "WZ__tilt_down", "ttbar__tilt_up")
        }
    total = found["WZ"] + found["ZZ"] + found["ttbar"]
    up = found["WZ__tilt_up"] + found["ttbar__tilt_up"] - found["WZ"] - found["ttbar"]
    down = found["WZ__tilt_down"] - found["WZ"] + found["ttbar"] - found["ttbar__tilt_up"]
    tilt = errors(made["Total background"], "sys,Tilt")
    assert tilt[:, 1] == pytest.approx(up, rel=1e-5, abs=1e-12)
    assert tilt[:, 0] == pytest.approx(down, rel=1e-5, abs=1e-12)
    # Those of the run, and of those declared the sizes, which need nothing of a run.
    lumi = errors(made["Total background"], "sys,Luminosity")
    assert lumi[:, 1] == pytest.approx(0.02 * total, rel=1e-5)
    wz = errors(made["$WZ$"], "sys")
    moved = [found[f"WZ__tilt_{way}"] - found["WZ"] for way in ("up", "down")]
    parts = [0.02 * found["WZ"], 0.05 * found["WZ"], np.max([*moved, 0 * total], axis=0)]
    assert wz[:, 1] == pytest.approx(np.sqrt(sum(p**2 for p in parts)), rel=1e-5)


def test_cutflows_come_back(run, published):
    table = published["Cutflow of SR3L"]
    cutflow = read_json(run / "cutflow.json")["SR3L"]
    cutflow = {name: rows for name, rows in cutflow.items() if "__" not in name}
    assert numbers(table["independent_variables"][0]["values"]) == [
        row["cut"] for row in cutflow["WZ"]
    ]
    made = columns(table)
    assert set(made) == set(cutflow)
    for sample, rows in cutflow.items():
        assert numbers(made[sample]) == pytest.approx([row["sumw"] for row in rows], rel=1e-6)
        if sample != "data":
            expected = np.sqrt([row["sumw2"] for row in rows])
            assert errors(made[sample], "stat")[:, 1] == pytest.approx(expected, rel=1e-6)


def test_every_column_says_what_was_collided(run, published):
    publish(run, "-f", "m_3l", "--energy", "13.6", "--reaction", "P P --> W N")
    folder = run / "stats" / "search" / "hepdata"
    for table in hepdata.read_tables(folder).values():
        for column in table["dependent_variables"]:
            about = {q["name"]: q["value"] for q in column["qualifiers"]}
            assert (about["RE"], about["SQRT(S)"]) == ("P P --> W N", "13600")
            assert about["LUMINOSITY"] == "10"
    entries = list(yaml.safe_load_all((folder / "submission.yaml").read_text()))
    assert all(entry["location"] and entry["description"] for entry in entries[1:])
    keywords = {k["name"]: k["values"] for k in entries[1]["keywords"]}
    assert keywords["reactions"] == ["P P --> W N"] and keywords["cmenergies"] == [13600.0]


# --- statistical results ------------------------------------------------------------------------


def band(factor):
    return [factor * value for value in NONE_MISSING]


LIMIT = {
    "signals": {
        "HNL450": {
            "cross_section_pb": 0.2,
            "expected": band(2),
            "observed": 2.5,
            "asimov": False,
            "method": "asymptotic",
            "scan": {
                "mu": [1.0, 2.0],
                "cls_observed": [0.3, 0.1],
                "cls_expected": [[0.4, 0.2]] * 5,
            },
        },
        "HNL150": {
            "cross_section_pb": None,
            "expected": band(3),
            "observed": None,
            "asimov": True,
            "method": "toys",
            "scan": None,
        },
    }
}
SIGNIFICANCE = {
    "signals": {
        "HNL450": {
            "expected": {"p0": 0.01, "z": 2.3},
            "observed": {"p0": 0.5, "z": 0.0},
            "asimov_z": 2.4,
            "method": "asymptotic",
            "cross_section_3_sigma_pb": 0.3,
            "cross_section_5_sigma_pb": None,
        }
    }
}
PLANE = {
    "x": "$m_N$ [GeV]",
    "y": "$m_W$ [GeV]",
    "points": [
        {"signal": "a", "x": 150.0, "y": 500.0, "observed": 0.8, "expected": band(1)},
        {"signal": "b", "x": 450.0, "y": 500.0, "observed": 2.0, "expected": band(2)},
    ],
    "grid": None,
}
VISIBLE = {
    "regions": {
        "SR3L": {
            "observed": 400,
            "background": 390.0,
            "error": 12.0,
            "s95_observed": 45.0,
            "s95_expected": band(40),
            "visible_fb_observed": 4.5,
            "visible_fb_expected": band(4),
            "p0": 0.4,
            "z": 0.2,
        }
    }
}
FIT = {
    "signal": None,
    "parameters": [
        {"name": "norm_WZ", "kind": "norm", "value": 1.1, "error": 0.05, "pull": None}
        | {"constraint": None},
        {"name": "lumi", "kind": "systematic", "value": 0.3, "error": 0.9, "pull": 0.3}
        | {"constraint": 0.9},
        {"name": "staterror_SR3L[0]", "kind": "staterror", "value": 1.0, "error": 0.1, "pull": 0.0}
        | {"constraint": 1.0},
    ],
    "correlation": {"names": ["norm_WZ", "lumi"], "matrix": [[1.0, -0.4], [-0.4, 1.0]]},
    "normalisation": {"diboson3L": {"value": 1.1, "error": 0.05}},
    "channels": [
        {
            "region": "SR3L",
            "role": "signal",
            "feature": "m_3l",
            "label": "$m_{3\\ell}$",
            "unit": "GeV",
            "edges": [0.0, 100.0, 300.0],
            "samples": {"diboson3L": {"prefit": [100.0, 50.0], "postfit": [110.0, 55.0]}},
            "prefit": {"total": [100.0, 50.0], "error": [10.0, 5.0]},
            "postfit": {"total": [110.0, 55.0], "error": [4.0, 3.0]},
            "data": [112, 54],
            "asimov": False,
        }
    ],
    "goodness": None,
    "converged": True,
}
RESULTS = {
    "limit": LIMIT,
    "significance": SIGNIFICANCE,
    "plane": PLANE,
    "visible": VISIBLE,
    "fit": FIT,
}


def with_results(folder, **changed):
    """A run with statistical results."""
    for kind, content in (RESULTS | changed).items():
        write_result(Results(folder), "search", kind, [kind], content)
    return folder


def test_limits_come_back(tmp_path):
    folder = with_results(write_run(tmp_path / "out"))
    tables = publish(folder, "--only", "results")
    made = columns(tables["Upper limits"])
    limit = made["Expected upper limit on the signal strength"]
    assert numbers(limit) == [2.0, 3.0]
    assert errors(limit, "1 sigma") == pytest.approx(np.array([[-0.6, 0.8], [-0.9, 1.2]]))
    assert errors(limit, "2 sigma") == pytest.approx(np.array([[-1.0, 2.0], [-1.5, 3.0]]))
    pb = made["Expected upper limit on the cross-section"]
    assert numbers(pb) == [0.4, "-"]
    assert errors(pb, "2 sigma")[0] == pytest.approx([-0.2, 0.4])
    assert numbers(made["Observed upper limit on the signal strength"]) == [2.5, "-"]
    assert numbers(made["Observed upper limit on the cross-section"]) == [0.5, "-"]
    assert numbers(columns(tables["CLs of HNL450"])["Observed CLs"]) == [0.3, 0.1]
    assert "CLs of HNL150" not in tables


def test_other_results_come_back(tmp_path):
    tables = publish(with_results(write_run(tmp_path / "out")), "--only", "results")
    made = columns(tables["Significances"])
    assert numbers(made["Observed $p_0$"]) == [0.5]
    assert numbers(made["Cross-section for 3 standard deviations"]) == [0.3]
    assert numbers(made["Cross-section for 5 standard deviations"]) == ["-"]
    plane = tables["Limits in the plane"]
    assert [axis["header"]["name"] for axis in plane["independent_variables"]] == [
        "Signal",
        "$m_N$ [GeV]",
        "$m_W$ [GeV]",
    ]
    made = columns(plane)
    assert numbers(made["Observed upper limit on the signal strength"]) == [0.8, 2.0]
    made = columns(tables["Visible cross-sections"])
    assert numbers(made["Expected background"]) == [390.0]
    assert numbers(made["Observed upper limit on the visible cross-section"]) == [4.5]


def test_fits_come_back(tmp_path):
    tables = publish(with_results(write_run(tmp_path / "out")), "--only", "results")
    made = columns(tables["Normalisation factors"])["Factor"]
    assert numbers(made) == [1.1] and errors(made, "fit")[0] == pytest.approx([-0.05, 0.05])
    parameters = tables["Fitted parameters"]
    names = numbers(parameters["independent_variables"][0]["values"])
    assert names == ["norm_WZ", "lumi"]
    pairs = tables["Correlations of the fit"]
    assert numbers(columns(pairs)["Correlation"]) == [1.0, -0.4, -0.4, 1.0]
    yields = columns(tables["Yields in SR3L"])
    assert numbers(yields["Data"]) == [112, 54]
    assert numbers(yields["Total after the fit"]) == [110.0, 55.0]
    assert errors(yields["Total after the fit"], "total")[:, 1].tolist() == [4.0, 3.0]
    assert numbers(yields["$WZ$ before the fit"]) == [100.0, 50.0]


def test_abcd_comes_back(tmp_path, capsys):
    folder = write_run(tmp_path / "out")
    words = ["abcd", str(folder), "-f", "ht_lep", "--against", "n_jet", "--cuts", "100", "2"]
    main(words)
    content = read_json(folder / "stats" / "search" / "abcd.json")
    made = columns(publish(folder, "--only", "results")["ABCD estimate"])
    assert numbers(made["Data"]) == ["-", *(content["corners"][c]["data"] for c in "BCD")]
    estimate = content["estimate"]
    assert numbers(made["Estimate"])[0] == pytest.approx(estimate["value"], rel=1e-6)
    down, up = estimate["statistical"]
    assert errors(made["Estimate"], "stat")[0] == pytest.approx([-down, up], rel=1e-6)
    main([*words, "--unblind"])
    made = columns(publish(folder, "--only", "results")["ABCD estimate"])
    assert numbers(made["Data"])[0] > 0
    content.pop("run")
    write_result(Results(opened(folder)), "search", "abcd", words, content)
    assert "Data" not in columns(publish(folder, "--only", "results")["ABCD estimate"])


# --- blind --------------------------------------------------------------------------------------


def opened(folder):
    """A run that was made with --unblind, of a region that is declared blind."""
    record = read_json(folder / "run.json")
    record["unblind"] = True
    for region in record["regions"]:
        region["blind"] = True
    (folder / "run.json").write_text(json.dumps(record))
    return folder


def shows_data(tables):
    """Names of columns that tell something about data."""
    return {
        (name, column)
        for name, table in tables.items()
        for column in columns(table)
        if column.lower().startswith(("data", "observed", "$p_0", "significance"))
    }


def test_blind_data_is_not_published_without_unblind(tmp_path):
    folder = with_results(opened(write_run(tmp_path / "out")))
    (folder / "stats" / "search" / "workspace_background.json").write_text("{}")
    tables = publish(folder, "-f", "m_3l")
    assert shows_data(tables) == set()
    assert not any("fit" in name for name in tables) and "Yields in SR3L" not in tables
    written = folder / "stats" / "search" / "hepdata"
    assert not (written / "workspace_background.json").exists()
    text = "".join(path.read_text() for path in written.glob("*.yaml"))
    assert "The data of this region is blind" in text
    shown = shows_data(publish(folder, "-f", "m_3l", "--unblind"))
    assert {table for table, _ in shown} >= {"m_3l in SR3L", "Cutflow of SR3L", "Upper limits"}
    assert ("Yields in SR3L", "Data") in shown
    assert (written / "workspace_background.json").exists()


def test_what_an_analysis_has_not_looked_at_hides_nothing(tmp_path, capsys):
    """Of a blind region it has the expectation, and its workspaces say so."""
    folder = with_results(opened(write_run(tmp_path / "out")))
    stats = folder / "stats" / "search"
    (stats / "workspace_background.json").write_text("{}")
    content = result_inputs.model("SR3L", asimov=True)
    result_inputs.write_result(folder, "search", "model", content)
    tables = publish(folder, "--only", "results")
    assert "Normalisation factors" in tables and "Data" not in columns(tables["Yields in SR3L"])
    assert capsys.readouterr().err == ""
    text = " ".join((stats / "hepdata" / "submission.yaml").read_text().split())
    assert "with the expectation for data in SR3L" in text
    content = result_inputs.model("SR3L", asimov=False)
    result_inputs.write_result(folder, "search", "model", content)
    assert "Normalisation factors" not in publish(folder, "--only", "results")
    assert "only expected ones are shown without --unblind" in capsys.readouterr().err
    assert not (stats / "hepdata" / "workspace_background.json").exists()


def test_blind_run_has_nothing_to_unblind(tmp_path, capsys):
    folder = write_run(tmp_path / "out", blind=("SR3L",))
    assert shows_data(publish(folder, "-f", "m_3l")) == set()
    assert "run_rdf.py --unblind" in fails(capsys, folder, "--unblind")


# --- files --------------------------------------------------------------------------------------


def test_same_tables_are_the_same_bytes(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    both = []
    for name in ("one", "other"):
        publish(run, "-f", "m_3l", "--into", tmp_path / name)
        both.append({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()})
    assert both[0] == both[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "other"]
    with tarfile.open(tmp_path / "one" / "submission.tar.gz") as tar:
        inside = {entry.name: tar.extractfile(entry).read() for entry in tar}
        assert {(e.mtime, e.uid, e.gid, e.uname) for e in tar.getmembers()} == {(0, 0, 0, "")}
    files = {name: b for name, b in both[0].items() if name != "submission.tar.gz"}
    assert inside == files and set(files) == {
        "submission.yaml",
        "m_3l_in_sr3l.yaml",
        "cutflow_of_sr3l.yaml",
    }


def test_name_of_the_folder_may_be_relative(tmp_path, monkeypatch):
    """hepdata_lib writes in another folder."""
    with_results(write_run(tmp_path / "out"))
    (tmp_path / "out" / "stats" / "search" / "workspace_background.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    publish(Path("out"), "--only", "results", "--unblind")
    made = tmp_path / "out" / "stats" / "search" / "hepdata"
    assert (made / "workspace_background.json").read_text() == "{}"
    assert str(tmp_path) not in (made / "submission.yaml").read_text()


def test_neither_root_nor_keras_is_loaded(run):
    """hepdata_lib would take ROOT along."""
    code = (
        "import sys; from analysis.stats.__main__ import main;"
        f"main(['publish', {str(run)!r}, '-f', 'm_3l']);"
        "print(*sorted({'ROOT', 'keras', 'tensorflow', 'matplotlib'} & set(sys.modules)))"
    )
    done = run_code(code)
    assert (done.returncode, done.stderr) == (0, "")
    assert "2 tables, valid for HEPData" in done.stdout and done.stdout.splitlines()[-1] == ""


def test_names_that_differ_in_case_only_have_their_own_files(tmp_path):
    axis, column = hepdata.Column("x", [1.0]), hepdata.Column("y", [2.0])
    tables = [hepdata.Table(n, "d", "l", (axis,), (column,)) for n in ("m_T", "m_t", "m" * 80)]
    about = hepdata.Collisions("P P --> X", 13.0, "run2")
    hepdata.write_submission(tmp_path / "new", tables, "c", about)
    assert list(hepdata.read_tables(tmp_path / "new")) == ["m_T", "m_t 2", "m" * 64]


# --- bad input ----------------------------------------------------------------------------------


def fails(capsys, folder, *words):
    """The one line of a command that fails."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as exit:
        publish(folder, *words)
    err = capsys.readouterr().err
    assert exit.value.code == 1 and len(err.splitlines()) == 1, err
    return err


def test_nothing_to_publish_is_one_line(tmp_path, capsys):
    folder = write_run(tmp_path / "out")
    assert "nothing to publish: " in fails(capsys, folder, "--only", "results")
    assert not (folder / "stats").exists()


def test_unknown_names_are_one_line(run, capsys):
    assert "did you mean 'm_3l'?" in fails(capsys, run, "-f", "m_3")
    assert "did you mean 'SR3L'?" in fails(capsys, run, "-r", "SR3")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not valid JSON"),
        ('{"format": 1}', "limit.json"),
        (None, "signals"),
    ],
)
def test_damaged_limit_is_one_line(tmp_path, capsys, content, said):
    folder = with_results(write_run(tmp_path / "out"))
    path = folder / "stats" / "search" / "limit.json"
    path.write_text(content or path.read_text().replace('"signals"', '"signal"'))
    err = fails(capsys, folder)
    assert said in err and "python -m analysis.stats limit" in err
    assert not (folder / "stats" / "search" / "hepdata").exists()


def test_results_of_another_run_are_left_out(tmp_path, capsys):
    folder = with_results(write_run(tmp_path / "out"))
    record = read_json(folder / "run.json")
    (folder / "run.json").write_text(json.dumps(record | {"git": "f" * 16}))
    tables = publish(folder, "-f", "m_3l")
    assert set(tables) == {"m_3l in SR3L", "Cutflow of SR3L"}
    assert capsys.readouterr().err.count("is of another run") == len(RESULTS)


def test_a_folder_of_other_files_is_kept(run, tmp_path, capsys):
    (tmp_path / "thesis.tex").write_text("x")
    assert "holds other files" in fails(capsys, run, "-f", "m_3l", "--into", tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "x"


def test_variations_in_other_bins_are_one_line(tmp_path, capsys):
    folder = vary(write_run(tmp_path / "out"), "m_3l", FACTORS, bins=3)
    assert "has other bins in the variation" in fails(capsys, folder, "-f", "m_3l")


def test_what_hepdata_refuses_is_not_written(tmp_path):
    (tmp_path / "submission.yaml").write_text("---\nname: x\ndata_file: y.yaml\n")
    with pytest.raises(OutputError, match="HEPData would not take"):
        hepdata.validate(str(tmp_path))
    table = hepdata.Table("x", "", "l", (hepdata.Column("x", [1.0]),), ())
    about = hepdata.Collisions("P P --> X", 13.0, 1.0)
    with pytest.raises(OutputError, match="HEPData would not take"):
        hepdata.write_submission(tmp_path / "new", [table], "c", about)
    assert not (tmp_path / "new").exists()
