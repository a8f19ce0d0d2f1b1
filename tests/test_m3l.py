"""The program as it is installed: the command `m3l`, and `import m3l` in notebooks, anywhere."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile

import plot_inputs
import pytest
from conftest import REPOSITORY, SAFETY_NET

import m3l
from analysis.errors import DeclarationError, InputError

PARTS = ("helpers", "analysis", "ml", "plotting")
HEAVY = {"ROOT", "keras", "tensorflow", "cppyy"}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    """The wheel of the program, built in a copy, since the build leaves files beside the source."""
    pytest.importorskip("setuptools", minversion="77", reason="the build needs it")
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    ignored = shutil.ignore_patterns("__pycache__")
    for part in PARTS:
        shutil.copytree(REPOSITORY / part, source / part, ignore=ignored)
    for name in ("pyproject.toml", "LICENSE", "README.md", "run_rdf.py", "m3l.py"):
        shutil.copy(REPOSITORY / name, source)
    words = ("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, source)
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="session")
def unpacked(wheel):
    """What the wheel installs, which has nothing of the checkout."""
    folder = wheel.parent / "installed"
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder)
    return folder


def run_installed(unpacked, folder, *words, python=sys.executable, **environment):
    """Run a program of what is installed, in another folder."""
    return subprocess.run(
        [python, *map(str, words)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(unpacked), "COLUMNS": "80", **environment},
        capture_output=True,
        text=True,
        timeout=SAFETY_NET,
    )


# --- the command line -------------------------------------------------------------------------


def commands_of(word):
    (program,) = [program for program in m3l.PROGRAMS if program.word == word]
    return list(m3l.commands_of(program, set()))


def test_every_program_has_a_word():
    """Each module of the program that has a command line and can be started."""
    modules = []
    for path in (
        REPOSITORY / "run_rdf.py",
        *(p for d in PARTS for p in (REPOSITORY / d).rglob("*.py")),
    ):
        defined = {node.name for node in ast.parse(path.read_text()).body if hasattr(node, "name")}
        if {"parser", "main"} <= defined:
            modules.append(".".join(path.relative_to(REPOSITORY).with_suffix("").parts))
    assert sorted(modules) == sorted(program.module for program in m3l.PROGRAMS)


def test_every_command_is_reached_by_one_word_or_two():
    owners = {program.word: program.word for program in m3l.PROGRAMS}
    for word in ("ml", "stats", "plot"):
        for command in commands_of(word):
            assert m3l.find([word, command, "x"])[1] == [command, "x"]
            owners.setdefault(command, word)
    for word, owner in owners.items():
        program, rest = m3l.find([word, "x"])
        assert (program.word, rest) == (owner, ["x"] if word == owner else [word, "x"])
    assert owners["train"] == "ml" and owners["bump"] == "stats" and owners["report"] == "plot"
    # Which program has them is documented.
    assert (owners["score"], owners["limit"], owners["stats"]) == ("ml", "stats", "stats")


def test_help_has_every_command_in_lines_that_fit():
    lines = m3l.help_lines(80)
    assert max(map(len, lines)) <= 80
    told = [found[1] for line in lines if (found := re.match(r"(?:  )?(\w[\w ]*?\w)  +\S", line))]
    expected = [program.word for program in m3l.PROGRAMS]
    seen = set(expected)
    for word in ("ml", "stats", "plot"):
        commands = commands_of(word)
        expected += [f"{word} {name}" if name in seen else name for name in commands]
        seen |= set(commands)
    assert sorted(told) == sorted(expected)


@pytest.mark.parametrize(
    "words, line",
    [
        (["trian"], "m3l: no command is called 'trian', did you mean 'train'?; see m3l --help"),
        (["hits", "output"], "did you mean 'hist'?"),
        (["subnit"], "did you mean 'submit'?"),
        ([], "m3l: the following arguments are required: COMMAND; see m3l --help"),
    ],
)
def test_unknown_command_is_a_line(words, line, capsys):
    with pytest.raises(SystemExit) as end:
        m3l.main(words)
    assert end.value.code == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and line in said.err


def test_missing_package_hides_no_command_of_others(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.split(".")[0] == "ml"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ml", None)  # as if it could not be found
    assert m3l.find(["report"])[0].word == "plot"
    with pytest.raises(SystemExit):
        m3l.find(["train"])
    assert "Python finds no ml" in capsys.readouterr().err
    lines = m3l.help_lines(80)
    assert "Cannot be used here" in "\n".join(lines) and any("  report" in line for line in lines)


def test_version_is_that_of_the_project(capsys, monkeypatch):
    from importlib import metadata

    m3l.main(["--version"])
    with_package = capsys.readouterr().out

    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    m3l.main(["--version"])
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    expected = f"m3l {project['version']}\n"
    assert capsys.readouterr().out == expected == with_package


def loaded_by(words):
    """Heavy packages that a command line has imported before its program does anything."""
    code = f"import sys, m3l; m3l.find({words!r}); print(*{HEAVY!r} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("words", [["run"], ["train"], ["report"]])
def test_finding_a_command_loads_neither_root_nor_keras(words):
    assert loaded_by(words) == []


def test_run_is_found_without_numpy():
    code = "import sys, m3l; m3l.main(['run', '--list']); print('numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "False", done.stderr


# --- installed --------------------------------------------------------------------------------


def test_wheel_has_every_file_that_the_program_reads(unpacked):
    ignored = {".pyc", ".so", ".d", ".pcm"}
    for part in PARTS:
        files = [path for path in (REPOSITORY / part).rglob("*") if path.is_file()]
        names = {p.relative_to(REPOSITORY) for p in files if p.suffix not in ignored}
        assert {name for name in names if not (unpacked / name).exists()} == set()
    assert not (unpacked / "tests").exists()


def test_installed_program_runs_the_demo_from_any_folder(ROOT, unpacked, tmp_path):
    """The same result as that of the checkout; the helpers are compiled already."""
    words = ("run", "-n", "500", "-s", "WZ", "data", "-j", "1", "-o")
    done = run_installed(unpacked, tmp_path, "-m", "m3l", *words, "out")
    assert done.returncode == 0, done.stderr
    assert "written to out: cutflow.json, hdf5/ (2 tables)" in done.stdout
    record = json.loads((tmp_path / "out" / "run.json").read_text())
    assert record["source"].startswith(str(unpacked))
    other = run_installed(REPOSITORY, tmp_path, "-m", "m3l", *words, "checkout")
    assert other.returncode == 0, other.stderr
    for name in ("cutflow.json", "histograms.root"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "checkout" / name).read_bytes()


def test_installed_below_a_foreign_repository_it_has_no_commit(unpacked, tmp_path):
    for words in (
        ("init", "-q"),
        ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "a"),
    ):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    shutil.copytree(unpacked, tmp_path / "site")
    code = "from analysis import job; print(job.__file__, job.git_commit())"
    done = run_installed(tmp_path / "site", tmp_path, "-c", code)
    assert done.stdout.split() == [str(tmp_path / "site/analysis/job.py"), "None"], done.stderr


@pytest.fixture(scope="module")
def console(wheel, tmp_path_factory):
    """A virtual environment with the wheel in it; the other packages are those of the tests."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python = folder / "bin" / "python"
    words = ("-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", wheel)
    subprocess.run([sys.executable, *words], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    # After what is installed; addsitedir obeys the .pth files there.
    outside = [sysconfig.get_path("purelib")]
    lines = [f"import site; site.addsitedir({path!r})" for path in outside]
    (site / "packages-of-the-tests.pth").write_text("\n".join(lines) + "\n")
    return folder / "bin" / "m3l"


def test_console_command_works_outside_of_the_checkout(console, tmp_path):
    def call(*words):
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        return subprocess.run(
            [console, *words], cwd=tmp_path, env=environment, capture_output=True, text=True
        )

    (tmp_path / "analysis").mkdir()  # of the user, not ours
    (tmp_path / "analysis" / "__init__.py").write_text("raise SystemExit('not this one')")
    assert call("--version").stdout == f"m3l {m3l.version()}\n"
    done = call("run", "-n", "300", "-s", "WZ")
    assert done.returncode == 0, done.stderr
    record = json.loads((tmp_path / "output" / "run.json").read_text())
    assert record["command"] == ["m3l", "run", "-n", "300", "-s", "WZ"]
    assert str(console.parent.parent) in record["source"]
    done = call("hist", "output", "-f", "m_3l", "--format", "csv")
    assert done.returncode == 0 and "m_3l.csv" in done.stdout, done.stderr
    done = call("run", "-s", "WW")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    done = call("run", "--nonsense")
    assert done.returncode == 2


# --- in a notebook ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return plot_inputs.write_run(
        tmp_path_factory.mktemp("run") / "out",
        samples=(plot_inputs.SAMPLES[0], plot_inputs.SAMPLES[-1]),
        regions=("SR3L", "SR_search"),
        blind=("SR_search",),
        declared=plot_inputs.SCALARS,
    )


def test_import_is_light():
    code = (
        "import sys, m3l; print(*sorted({'ROOT', 'numpy', 'keras', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


def test_run_gives_its_pictures_and_tables(tmp_path, capfd):
    results = m3l.run("-n", 300, "-s", "WZ", "-o", tmp_path / "out", "-j", 1)
    assert "300 events of 1 sample" in capfd.readouterr().out
    table = results.table("WZ", columns=["EventNumber", "m_3l"])
    assert list(table) == ["EventNumber", "m_3l"] and len(table) > 100
    with pytest.raises(DeclarationError, match="did you mean 'WZ'"):
        results.table("Wz")


def test_failed_command_is_the_line_that_it_said(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where no module is, or others of the same names
    with pytest.raises(InputError) as caught:
        m3l.call("run", "-s", "WW", "-o", tmp_path / "out")
    (problem,) = caught.value.problems
    assert problem.startswith("no sample is called 'WW' (known: ")
    assert capfd.readouterr().out == ""
    with pytest.raises(InputError, match="no folder .*missing: write one"):
        m3l.call("report", tmp_path / "missing")


def test_wrong_usage_is_an_error_and_no_exit(tmp_path):
    for call in (m3l.run, m3l.dataframes):
        with pytest.raises(DeclarationError, match="--nonsense; see run_rdf.py --help"):
            call("--nonsense")
        with pytest.raises(DeclarationError, match="--input and --schema need each other"):
            call("--input", tmp_path)


def test_blind_data_have_no_table(output):
    results = m3l.results(output)
    assert len(results.table("data", "SR3L")) and len(results.table("WZ", "SR_search"))
    with pytest.raises(DeclarationError, match="region 'SR_search' is blind: 'data' may not"):
        results.table("data", "SR_search")


CELLS = """
import m3l
results = m3l.results({output!r})
results
---
results.hist("m_3l")
---
results.table("WZ").head(3)
---
frames = m3l.dataframes("-s", "WZ")
frames["WZ"].show(["EventNumber", "lepPt"], rows=2)
---
results.hist("m3l")
"""
NO_ROOT = """
import sys, importlib.abc
class NoRoot(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == "ROOT":
            raise ModuleNotFoundError("No module named 'ROOT'", name="ROOT")
sys.meta_path.insert(0, NoRoot())
---
"""


def kernel(cells, folder):
    """Run cells in a real kernel whose working directory is elsewhere; returns their outputs."""
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    import nbformat

    book = nbformat.v4.new_notebook()
    book.cells = [nbformat.v4.new_code_cell(text.strip()) for text in cells.split("---\n")]
    client = nbclient.NotebookClient(
        book, timeout=SAFETY_NET, allow_errors=True, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    return [cell.outputs for cell in book.cells]


def texts(outputs):
    """What a cell shows: texts of results, and errors as the notebook has them."""
    for output in outputs:
        if output.output_type == "error":
            yield "\n".join(output.traceback)
        elif "data" in output:
            yield output.data.get("text/html", output.data["text/plain"])
        else:
            yield output.text


def test_notebook_in_any_folder(ROOT, output, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    cells = kernel(CELLS.format(output=str(output)), tmp_path)
    shown = ["".join(texts(outputs)) for outputs in cells]
    assert shown[0].endswith(f"run in {output}: regions SR3L, SR_search")
    assert shown[1].startswith("<img") or "image/png" in cells[1][0].data
    assert "<table" in shown[2] and "<table" in shown[3] and "lepPt" in shown[3]
    mistake = "m3l: no feature of this run is called 'm3l', did you mean 'm_3l'? (known: "
    assert shown[4].startswith(mistake) and "\n" not in shown[4]


def test_notebook_without_root_is_told_in_a_line(output, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    cells = kernel(NO_ROOT + CELLS.format(output=str(output)), tmp_path)
    shown = ["".join(texts(outputs)) for outputs in cells[1:]]
    assert shown[0].endswith(f"run in {output}: regions SR3L, SR_search")
    assert "image/png" in cells[2][0].data and "<table" in shown[2]
    assert shown[3].startswith("m3l: Python finds no ROOT: ") and "\n" not in shown[3]
