"""The README's commands and examples work, in the order in which they are printed."""

import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import tomllib

import pytest
from conftest import DEMO, REPOSITORY

README = (REPOSITORY / "README.md").read_text()


def commands(*programs):
    """Lines of the README's code blocks that call one of the programs, in order."""
    blocks = re.findall(r"^(?:```\n(.*?)^```|((?:    .*\n)+))", README, re.M | re.S)
    lines = [line.strip() for block in blocks for text in block for line in text.splitlines()]
    parts = [part.split("  #")[0].strip() for line in lines for part in line.split(" && ")]
    return [part for part in parts if part.startswith(programs)]


def run(command, folder):
    words = shlex.split(command)
    if words[0] == "python":
        words[0] = sys.executable
    done = subprocess.run(
        words, cwd=folder, capture_output=True, text=True, timeout=900, stdin=subprocess.DEVNULL
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A folder that looks like the checkout, so that outputs do not land in the real one."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("run_rdf.py", "analysis", "helpers", "ml", "plotting"):
        (folder / name).symlink_to(REPOSITORY / name)
    shutil.copy(DEMO / "samples.toml", folder / "my.toml")
    for path in DEMO.glob("*.root"):
        (folder / path.name).symlink_to(path)
    return folder


def test_main_job(checkout):
    lines = commands("python run_rdf.py")
    assert len(lines) >= 7
    for line in lines:
        if "--dask" in line and importlib.util.find_spec("distributed") is None:
            continue
        if "/eos/" in line:  # the recipe for lxplus
            line = re.sub(r"/eos/\S+", "output_eos", line)
        run(line, checkout)
    for name in ("output", "output_quick", "output_2lep", "output_rerun", "output_eos"):
        assert (checkout / name / "run.json").exists(), name


def test_jobs(checkout):
    lines = commands("python -m analysis.submit local", "python -m analysis.submit status output")
    assert len(lines) == 2
    printed = [run(line, checkout) for line in lines]
    assert "events of 2 samples" in printed[0]
    assert printed[1].splitlines()[-1] == "merged: output_jobs is complete"


@pytest.mark.parametrize("backend", ["slurm", "condor", "grid"])
def test_options_of_jobs_exist(backend):
    from analysis.submit import parser

    for line in commands(f"python -m analysis.submit {backend}"):
        assert parser().parse_args(shlex.split(line)[3:]).command == backend


@pytest.mark.slow
def test_machine_learning_and_pictures(checkout):
    if not (checkout / "output").exists():
        run("python run_rdf.py", checkout)
    lines = commands("python -m ml", "python -m plotting")
    assert lines
    for line in lines:
        run(line, checkout)


def test_root_prompt():
    line, by_hand = commands("root ")
    assert by_hand == "root -l helpers/helpers.cxx+"  # in test_build.py
    command = shutil.which("root")
    if command is None:
        pytest.skip("no root command in PATH")
    words = shlex.split(line)
    done = subprocess.run(
        [command, *words[1:], "-b", "-q", "-e", "flavourComp3L({1, 2, 2})"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "(int) 2" in done.stdout


def test_python_example(ROOT):
    (example,) = re.findall(r"^```python\n(import helpers.*?)^```", README, re.M | re.S)
    df = ROOT.RDataFrame("nominal", str(DEMO / "WZ.root"))
    df = df.Define("ele_SG", "lepFlavor == 1 && lepTight").Define("muo_SG", "lepFlavor == 2")
    names = {"df": df}
    exec(example, names)
    assert -1 <= names["df"].Max("flcomp").GetValue() <= 5


def test_samples_file_has_known_keys():
    from analysis.samples import SAMPLE_KEYS, sample_from

    (example,) = re.findall(r"^```toml\n(.*?)^```", README, re.M | re.S)
    declared = tomllib.loads(example)
    (block,) = declared["sample"]
    assert set(block) == set(SAMPLE_KEYS) - {"normalised"}
    block["files"] = [str(DEMO / "WZ.root")]
    problems = []
    assert sample_from(block, 1, REPOSITORY / "README.md", problems) and not problems


def test_files_that_are_named_exist():
    for name in re.findall(r"`((?:analysis|helpers|ml|plotting|tests)/[\w/.-]+)`", README):
        assert (REPOSITORY / name).exists(), name
