"""The chain runs as it is, compiled, printed and pasted, and at the prompt: the same numbers."""

import os
import re
import shutil
import subprocess
import sys

import ntuples
import numpy as np
import pytest
from conftest import REPOSITORY, SAFETY_NET, read_json, read_table, root_program, run_program, slow
from ntuples import Event, Jet, Lepton
from test_run import assert_same_results

REGIONS = ("-r", "SR3L", "SR2L")


def events_of_all_kinds():
    """Events with up to five leptons and six jets, around all thresholds."""
    draw = np.random.default_rng(3)
    events = []
    for number in range(400):
        leptons = [
            Lepton(
                pt=float(draw.exponential(30) + 8),
                flavour=int(draw.integers(1, 3)),
                charge=int(draw.choice([-1, 1])),
                eta=float(draw.uniform(-2.8, 2.8)),
                phi=float(draw.uniform(-np.pi, np.pi)),
                m=0.1,
                d0_significance=float(draw.normal(0, 2)),
                z0_sin_theta=float(draw.normal(0, 0.2)),
                tight=bool(draw.random() < 0.9),
                isolated=bool(draw.random() < 0.9),
            )
            for _ in range(draw.integers(2, 6))
        ]
        leptons.sort(key=lambda lepton: -lepton.pt)
        jets = [
            Jet(
                pt=float(draw.exponential(30) + 15),
                eta=float(draw.uniform(-3, 3)),
                phi=float(draw.uniform(-np.pi, np.pi)),
                m=5.0,
                jvt=float(draw.random()),
                dl1r=float(draw.normal(1, 2)),
            )
            for _ in range(draw.integers(0, 7))
        ]
        jets.sort(key=lambda jet: -jet.pt)
        weights = {"genWeight": float(draw.normal(1, 1))}
        met, phi = float(draw.exponential(40)), float(draw.uniform(-np.pi, np.pi))
        made = Event(tuple(leptons), tuple(jets), met, phi, number=number, weights=weights)
        events.append(made)
    return events


@pytest.fixture(scope="module")
def inputs(ROOT, tmp_path_factory):
    """Samples file with the same events in every format and kind of file."""
    folder = tmp_path_factory.mktemp("chain")
    events = events_of_all_kinds()
    ntuples.write(folder / "susy.root", events)
    for year, tree in ((2020, "mini"), (2025, "analysis")):
        ntuples.write(folder / f"open{year}.root", events, ntuples.opendata(year), tree)
    ntuples.write(folder / "data.root", events)
    source = ROOT.RDataFrame("nominal", str(folder / "susy.root"))
    options = ROOT.RDF.RSnapshotOptions()
    source.Snapshot("nominal", str(folder / "rvec.root"))  # branches of ROOT::RVec
    options.fOutputFormat = ROOT.RDF.ESnapshotOutputFormat.kRNTuple
    source.Snapshot("nominal", str(folder / "rntuple.root"), "", options)
    for name in ("susy", "rvec", "rntuple"):
        again = shutil.copy(folder / f"{name}.root", folder / f"{name}_again.root")
        with open(again, "ab") as file:  # another file
            file.write(b" ")
    return ntuples.samples_file(
        folder / "samples.toml",
        {"name": "susy", "files": ["susy*.root"]},
        {"name": "rvec", "files": ["rvec*.root"]},
        {"name": "rntuple", "files": ["rntuple*.root"]},
        {"name": "data", "files": ["data.root"], "kind": "data"},
        {"name": "open2020", "files": ["open2020.root"], "schema": "opendata2020", "tree": None},
        {"name": "open2025", "files": ["open2025.root"], "schema": "opendata2025", "tree": None},
    )


@pytest.fixture(scope="module")
def compiled(inputs, tmp_path_factory):
    """Output folder of the compiled chains."""
    folder = tmp_path_factory.mktemp("compiled")
    outcome = run_program("--samples", inputs, *REGIONS, "-o", folder, "-j", "1")
    assert (outcome.status, outcome.err) == (0, "")
    return folder


@pytest.mark.parametrize("threads", [slow(1), 2])
def test_chain_as_it_is_gives_the_bytes_of_the_compiled_one(inputs, compiled, tmp_path, threads):
    words = ("--samples", inputs, *REGIONS, "--plain", "-j", threads, "-o", tmp_path)
    outcome = run_program(*words)
    assert outcome.status == 0, outcome.err
    assert_same_results(compiled, tmp_path)
    assert read_json(tmp_path / "run.json")["plain"] is True


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["T5N10"])
def test_every_layout(inputs, run_here, tmp_path, layout):
    words = ("--samples", inputs, "-s", "susy", "open2020", "--layout", layout)
    for name, more in (("one", ()), ("two", ("--plain",))):
        assert run_here(*words, *more, "-o", tmp_path / name).status == 0
    assert_same_results(tmp_path / "one", tmp_path / "two")


def test_pieces_of_the_chain_are_the_whole(inputs, compiled, run_here, tmp_path, monkeypatch):
    import analysis.loops

    monkeypatch.setattr(analysis.loops, "RANGE_MEMORY", 10**6)  # some 100 entries
    assert run_here("--samples", inputs, *REGIONS, "--plain", "-o", tmp_path).status == 0
    assert_same_results(compiled, tmp_path)


def test_kinds_of_files_give_the_same_rows(compiled):
    """Those that our reader decodes, and those that are left to ROOT."""
    for tag in ("3lep", "2lep"):
        expected = read_table(compiled, "susy", tag)
        assert len(expected) > 50
        for name in ("rvec", "rntuple"):
            assert read_table(compiled, name, tag).equals(expected), name


@pytest.mark.slow
def test_first_entries_in_pieces(inputs, run_here, tmp_path, monkeypatch):
    import analysis.loops

    monkeypatch.setattr(analysis.loops, "RANGE_MEMORY", 10**6)
    words = ("--samples", inputs, "-s", "susy", "rntuple", "-n", "533")
    for name, more in (("one", ()), ("two", ("--plain",))):
        assert run_here(*words, *more, "-o", tmp_path / name).status == 0
    assert_same_results(tmp_path / "one", tmp_path / "two")


def test_branch_that_compiled_code_cannot_take(ROOT, run_here, tmp_path, monkeypatch):
    """A string, which a user's feature reads."""
    from analysis import features

    ntuples.write(tmp_path / "a.root", events_of_all_kinds()[:20])
    df = ROOT.RDataFrame("nominal", str(tmp_path / "a.root"))
    df.Define("generator", 'std::string("Pythia")').Snapshot("nominal", str(tmp_path / "b.root"))
    samples = ntuples.samples_file(tmp_path / "a.toml", {"name": "b", "files": ["b.root"]})
    feature = features.Feature("letters", "int(generator.size())", "", "", features.COUNT, True)
    monkeypatch.setattr(features, "FEATURES", (*features.FEATURES, feature))
    outcome = run_here("--samples", samples, "-r", "SR2L", "-o", tmp_path / "out")
    assert outcome.status == 0
    (line,) = outcome.lines
    assert line.startswith("m3l: warning: sample 'b': branch 'generator' is of type ")
    assert set(read_table(tmp_path / "out", "b", "2lep").letters) == {6}


@pytest.mark.slow
def test_features_of_every_type_and_of_classes_of_root(inputs, run_here, tmp_path, monkeypatch):
    from analysis import features

    types = "char", "signed char", "unsigned char", "short", "bool", "long", "unsigned", "double"
    made = [
        features.Feature(f"x{k}", f"{kind}(n_lep_SG + 60)", "", "", features.COUNT, k % 2 == 0)
        for k, kind in enumerate(f"static_cast<{kind}>" for kind in types)
    ]
    made += [
        features.Feature(f"y{k}", expression, "", "", features.COUNT)
        for k, expression in enumerate(
            (
                "TVector2::Phi_mpi_pi(met_Phi)",
                "TVector3(1, 2, 2).Mag()",
                "ROOT::Math::normal_cdf(met_Et)",
                "TMath::Pi()",
            )
        )
    ]
    monkeypatch.setattr(features, "FEATURES", (*features.FEATURES, *made))
    for name, more in (("one", ()), ("two", ("--plain",))):
        outcome = run_here("--samples", inputs, "-s", "susy", *more, "-o", tmp_path / name)
        assert outcome.status == 0, outcome.err
    assert_same_results(tmp_path / "one", tmp_path / "two")
    assert set(read_table(tmp_path / "two", "susy").x0) == {63}


# --- printed and pasted -----------------------------------------------------------------------

NUMBERS = ("wgt_SG", "m_3l", "m_sfos", "flcomp", "n_jet", "EventNumber", "cells")


def expected_numbers(folder, sample):
    """Number of rows, and sums of some columns and of all cells."""
    from analysis.features import LAYOUTS, cells

    rows = read_table(folder, sample)
    names = [cell.name for cell in cells(LAYOUTS[0])]
    rows["cells"] = rows[names].to_numpy(float).sum(axis=1)
    return [len(rows), *(rows[name].astype(float).sum() for name in NUMBERS)]


@pytest.mark.parametrize("sample", ["data", slow("open2025")])
def test_printed_chain_pasted_into_an_empty_file(inputs, compiled, tmp_path, sample):
    printed = run_program("--samples", inputs, *REGIONS, "--chain", sample)
    assert (printed.status, printed.err) == (0, "")
    script = tmp_path / "pasted.py"
    numbers = ", ".join(f'SR3L.Sum("{name}").GetValue()' for name in NUMBERS)
    script.write_text(
        f'{printed.out}SR3L = SR3L.Define("cells", "Sum(ROOT::RVecD(rmm))")\n'
        f"print(SR3L.Count().GetValue(), {numbers})\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(script)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=SAFETY_NET,
    )
    assert done.returncode == 0, done.stderr
    *report, last = done.stdout.splitlines()
    assert any(line.startswith("2 with pT > 20") for line in report)
    np.testing.assert_allclose(
        [float(word) for word in last.split()],
        expected_numbers(compiled, sample),
        rtol=1e-7,  # float32 in the table
    )


@pytest.mark.slow
@pytest.mark.parametrize("sample", ["open2020"])
def test_printed_chain_pasted_at_the_prompt_of_root(inputs, compiled, tmp_path, sample):
    printed = run_program("--samples", inputs, *REGIONS, "--chain", sample, "--cpp")
    assert (printed.status, printed.err) == (0, "")
    numbers = " << ' ' << ".join(f'*SR3L.Sum("{name}")' for name in NUMBERS)
    pasted = (
        f'{printed.out}SR3L = SR3L.Define("cells", "Sum(ROOT::RVecD(rmm))");\n'
        f"std::cout << std::setprecision(17) << \"numbers \" << *SR3L.Count() << ' ' << {numbers} "
        "<< std::endl;\n.q\n"
    )
    done = subprocess.run(
        [root_program(), "-l", "-b"],
        input=pasted,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SAFETY_NET,
    )
    found = re.search(r"^numbers (.*)$", done.stdout, re.M)
    assert found, done.stdout + done.stderr
    np.testing.assert_allclose(
        [float(word) for word in found[1].split()],
        expected_numbers(compiled, sample),
        rtol=1e-7,  # float32 in the table
    )


def test_chain_of_a_sample_that_is_not_there(run_here):
    outcome = run_here("--chain", "WW")
    assert (outcome.status, len(outcome.lines)) == (1, 1)
    assert outcome.lines[0].startswith("m3l: no sample is called 'WW'")


def test_strings_in_the_printed_chain_are_quoted():
    from types import SimpleNamespace

    from analysis.plan import Definition, Plan
    from analysis.script import cpp_script, python_script

    cut = Definition('it\'s "odd"', 'name == "a\\n"', "")
    plan = Plan({"name": "std::string"}, {}, (), {"1 R-2": (cut,), "all": ()}, (), ())
    paths = ["/a folder/it's.root"]
    sample = SimpleNamespace(tree="t")
    item = SimpleNamespace(plan=plan, sample=sample, inputs=SimpleNamespace(paths=paths))
    python, cpp = "\n".join(python_script(item)), "\n".join(cpp_script(item))
    assert f"_1_R_2 = df.Filter({cut.expression!r}, {cut.name!r})" in python
    assert "ROOT::RDF::RNode _1_R_2 = df.Filter(" in cpp
    assert r'"name == \"a\\n\"", "it' in cpp
    compile(python, "pasted", "exec")


# --- at the prompt ----------------------------------------------------------------------------

PROMPT = """
selected = dataframes["susy"]["SR3L"]
print("names", *dataframes["susy"])
print("histogram", selected.Define("x", "rmm[1]").Histo1D(("x", "", 50, 0, 500), "x").GetEntries())
print("array", len(selected.AsNumpy(["m_3l"])["m_3l"]))
selected.Display(["m_3l", "flcomp"], 2).Print()
selected.Range(3).Report().Print()
selected.Snapshot("t", "snapshot.root", ["m_3l", "wgt_SG"])
print("all", dataframes["susy"]["all"].Count().GetValue())
"""


@pytest.mark.parametrize(
    "words",
    [
        slow(("--check",), id="check"),
        pytest.param(("-o", "out"), id="run"),
    ],
)
def test_python_prompt_has_the_dataframes(inputs, compiled, tmp_path, words):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-i", REPOSITORY / "run_rdf.py"]
        + ["--samples", inputs, "-s", "susy", "-j", "2", *words],
        input=PROMPT,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SAFETY_NET,
    )
    rows = len(read_table(compiled, "susy"))
    lines = done.stdout.splitlines()
    for line in ("names all SR3L", f"histogram {float(rows)}", f"array {rows}", "all 800"):
        assert line in lines, done.stdout + done.stderr
    assert re.search(r"\| Row \| m_3l +\| flcomp \|", done.stdout)
    assert (tmp_path / "snapshot.root").exists()
    # Prompts only, no wall of text.
    assert re.sub(r">>> |\.\.\. ", "", done.stderr).strip() == ""
    assert (tmp_path / "out").exists() == ("-o" in words)


def test_dataframes_in_a_notebook(ROOT, inputs):
    import run_rdf

    dataframes = run_rdf.dataframes("--samples", inputs, "-s", "susy")
    assert list(dataframes) == ["susy"] and list(dataframes["susy"]) == ["all", "SR3L"]
    assert dataframes["susy"]["all"].Count().GetValue() == 800
