"""The command line of plotting: what it writes, and one line for what is wrong."""

import json
import shutil
import signal
import subprocess
import sys
import time

import plot_inputs
import pytest
from conftest import REPOSITORY, SAFETY_NET

from plotting.__main__ import main
from plotting.settings import open_results

PRODUCTS = ("run.json", "cutflow.json", "histograms.root", "hdf5/WZ_SR3L.hdf5")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = plot_inputs.write_run(tmp_path_factory.mktemp("run") / "out")
    return plot_inputs.write_scores(folder)


@pytest.fixture
def folder(made, tmp_path):
    """A copy that a test may spoil."""
    open_results.cache_clear()
    return shutil.copytree(made, tmp_path / "out")


@pytest.fixture
def call(capsys):
    def run(*words):
        capsys.readouterr()
        try:
            main([str(word) for word in words])
            status = 0
        except SystemExit as exit:
            status = exit.code
        out, err = capsys.readouterr()
        return status, out, err

    return run


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_commands_are_listed_in_order(call):
    status, out, _ = call("--help")
    assert status == 0
    names = ("hist", "rmm", "check", "score", "stats", "limit", "cutflow", "graph", "report")
    places = [out.index(f"\n    {name} ") for name in names]
    assert places == sorted(places)


def test_hist_writes_and_names(folder, call):
    status, out, err = call("hist", folder, "-f", "flcomp", "m_3l", "--format", "png", "-j", "1")
    assert (status, err) == (0, "")
    names = ["hist/SR3L/flcomp.png", "hist/SR3L/m_3l.png"]
    assert files(folder / "plots") == names
    assert out.splitlines() == [f"wrote {folder / 'plots' / name}" for name in names]


@pytest.mark.slow
def test_number_of_processes_does_not_change_the_files(folder, call):
    features = [f["name"] for f in json.loads((folder / "run.json").read_text())["features"]][:14]
    for number in ("1", "2"):
        words = (folder, "-f", *features, "-j", number, "-o", folder / number, "--format", "png")
        assert call("hist", *words, "--linear")[0] == 0
        assert call("check", *words)[0] == 0
    assert len(files(folder / "1")) == 17
    for name in files(folder / "1"):
        assert (folder / "1" / name).read_bytes() == (folder / "2" / name).read_bytes(), name


def test_every_other_command(folder, call):
    for command, expected in (
        ("cutflow", {"cutflow/SR3L.tex", "cutflow/SR3L.html", "cutflow/SR3L.png"}),
        ("graph", {"graph.png"}),
        ("score", {"score/score.png", "score/curves_HNL450.png", "score/latent.png"}),
    ):
        status, out, err = call(command, folder, "--format", "png")
        assert (status, err) == (0, ""), command
        assert expected <= set(files(folder / "plots")), command
    tables = {f"cutflow/SR3L{of}.{e}" for of in ("", "_by_sample") for e in ("tex", "csv", "html")}
    assert call("cutflow", folder, "--by-sample")[0] == 0
    assert tables <= set(files(folder / "plots"))
    assert "cutflow/SR3L_efficiency.tex" in files(folder / "plots")
    assert "cutflow/SR3L_by_sample.png" not in files(folder / "plots")
    words = ("-p", "background", "--difference", "HNL450", "ttbar", "--event", "WZ")
    status, out, err = call("rmm", folder, *words, "--units", "network", "--format", "png")
    assert (status, err) == (0, "")
    drawn = [name for name in files(folder / "plots") if name.startswith("rmm")]
    assert [name.split("/")[2].rsplit("_", 1)[0][:10] for name in drawn] == [
        "HNL450_min",
        "background",
        "event_WZ_" + drawn[2].split("_")[2][0],
    ]


def one_line(outcome, *words):
    status, _, err = outcome
    assert status == 1
    assert len(err.splitlines()) == 1 and err.startswith("m3l: "), err
    assert all(word in err for word in words), err


def test_wrong_names_have_near_misses(folder, call):
    one_line(call("hist", folder, "-f", "e_T_mis"), "e_T_mis", "did you mean 'e_T_miss'?")
    one_line(call("hist", folder, "-r", "SR3"), "did you mean 'SR3L'?")
    one_line(call("rmm", folder, "-p", "ttbr"), "did you mean 'ttbar'?")
    one_line(call("rmm", folder, "--event", "HNL45:1"), "did you mean 'HNL450'?")
    one_line(call("rmm", folder, "--event", "WZ:-5"), "no event -5", "SR3L")
    one_line(call("hist", folder, "--uncertainty", "WZ=0.1"), "WZ")


def test_a_misspelt_feature_tells_how_to_see_all_and_that_prints_them(folder, call):
    _, _, err = call("hist", folder, "-f", "e_T_mis")
    command = f"python -m plotting hist {folder} --list"
    number = len(open_results(str(folder)).features)
    assert err.endswith(f"did you mean 'e_T_miss'? ({command} prints all {number})\n")
    status, out, _ = call(*command.split()[3:])
    assert status == 0 and files(folder / "plots") == []
    lines = out.splitlines()
    assert lines[0].split() == ["regions", "SR3L"] and "ttbar" in lines[2]
    assert [line.split()[0] for line in lines[5:]] == list(open_results(str(folder)).features)


def captions(folder, monkeypatch, *words):
    """The captions of the pictures that a command draws."""
    found = []
    monkeypatch.setattr(
        "plotting.stack_pictures.hist",
        lambda options, *_: found.append(options.caption.right) or [],
    )
    main(["hist", str(folder), *words])
    return found[0]


def test_the_luminosity_of_the_run_stands_in_the_caption(folder, monkeypatch):
    assert captions(folder, monkeypatch) == r"10 fb$^{-1}$"
    assert captions(folder, monkeypatch, "--luminosity", "36.2") == r"36.2 fb$^{-1}$"
    assert captions(folder, monkeypatch, "--energy", "13").startswith(r"$\sqrt{s} = 13$ TeV, 10 fb")
    for written, said in (("run2", r"139 fb$^{-1}$"), (0.0, "")):
        content = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps(content | {"luminosity_ifb": written}))
        open_results.cache_clear()
        assert captions(folder, monkeypatch) == said


def test_wrong_usage_has_status_2(folder, call):
    for words in (
        (),
        ("hits", folder),
        ("hist", folder, "-j", "0"),
        ("hist", folder, "--energy", "-13"),
        ("hist", folder, "--uncertainty", "ttbar"),
        ("rmm", folder, "--event", "WZ:x"),
    ):
        status, _, err = call(*words)
        assert status == 2 and len(err.splitlines()) == 1, words


@pytest.mark.parametrize(
    "name", ["run.json", "cutflow.json", "histograms.root", "hdf5/WZ_SR3L.hdf5"]
)
def test_incomplete_folders_say_what_is_missing(folder, call, name):
    (folder / name).unlink()
    one_line(call("hist", folder, "-f", "m_3l"), name, "run_rdf.py")


@pytest.mark.parametrize(
    "name", ["run.json", "cutflow.json", "histograms.root", "hdf5/WZ_SR3L.hdf5"]
)
def test_damaged_files_are_named(folder, call, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 3])
    command = {"cutflow.json": "cutflow", "hdf5/WZ_SR3L.hdf5": "rmm"}.get(name, "hist")
    one_line(call(command, folder, *(["-j", "1"] if command == "hist" else [])), name)


def test_no_run_and_no_scores(tmp_path, folder, call):
    one_line(call("hist", tmp_path / "nothing"), "no folder", "run_rdf.py")
    (tmp_path / "empty").mkdir()
    one_line(call("hist", tmp_path / "empty"), "holds no complete run")
    shutil.rmtree(folder / "scores")
    one_line(call("score", folder), "no scores", "python -m ml score")
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"format": 7}))
    open_results.cache_clear()
    one_line(call("hist", folder), "format 7")
    (folder / "run.json").write_text(json.dumps({"format": 1}))
    open_results.cache_clear()
    one_line(call("hist", folder), "not complete")


def test_folder_that_cannot_be_written(folder, call):
    (folder / "file").write_text("")
    one_line(call("graph", folder, "-o", folder / "file"), "cannot be written")


def test_small_and_one_sided_runs(tmp_path, call):
    one = (("WZ", "diboson3L", "background", 1, 40.0, 1.0),)
    cases = {
        "single": one,
        "signal": (("HNL450", "HNL450", "signal", 50, 100.0, 1.0),),
        "data": (("data", "data", "data", 50, 40.0, 1.0),),
        "empty": (*one, ("ZZ", "diboson4L", "background", 0, 40.0, 1.0)),
    }
    for name, samples in cases.items():
        folder = plot_inputs.write_run(tmp_path / name, samples=samples)
        for command in ("check", "cutflow", "rmm"):
            status, _, err = call(command, folder, "--format", "png")
            assert (status, err) == (0, ""), (name, command)
        status, _, err = call("hist", folder, "-f", "m_3l", "flcomp", "--format", "png")
        assert (status, err) == (0, ""), name
    one_line(call("rmm", tmp_path / "empty", "-p", "diboson4L"), "no events", "SR3L")


def test_blind_run(tmp_path, call):
    folder = plot_inputs.write_run(tmp_path / "out", blind=("SR3L",))
    plot_inputs.write_scores(folder, errors=False)
    status, out, err = call("check", folder)
    assert (status, err) == (0, "") and "blind" in out
    assert files(folder / "plots") == ["check/SR3L.csv", "check/SR3L.txt"]
    status, out, err = call("score", folder, "--format", "png")
    assert (status, err) == (0, "") and "blind: data not drawn" in out
    one_line(call("rmm", folder, "-p", "data"), "blind")
    one_line(call("rmm", folder, "--event", "data"), "blind")


@pytest.mark.slow
def test_interruption_leaves_whole_files_and_no_process(folder):
    words = [sys.executable, "-m", "plotting", "hist", str(folder), "-j", "2"]
    process = subprocess.Popen(words, cwd=REPOSITORY, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + SAFETY_NET
    while time.monotonic() < deadline and len(files(folder / "plots")) < 3:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=SAFETY_NET)
    assert process.returncode == 130
    assert err.splitlines()[-1].startswith("m3l: interrupted") and "Traceback" not in err
    for path in (folder / "plots").rglob("*.png"):
        assert path.read_bytes().endswith(b"IEND\xaeB`\x82")
    assert not [name for name in files(folder / "plots") if name.split("/")[-1].startswith(".")]
