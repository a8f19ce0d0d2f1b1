"""The Snakefile and reana.yaml: the steps of analysis/steps.py for other programs."""

import importlib.util
import os
import shutil
import subprocess
import sys

import pytest
from conftest import REPOSITORY, SAFETY_NET

from analysis.steps import Choices, steps_of

BIN = os.path.dirname(sys.executable)


def snakemake(tmp_path, *words):
    """Run snakemake in the checkout; returns what it says."""
    pytest.importorskip("snakemake")
    # What it notes of its runs goes there instead of the checkout.
    for name in ("Snakefile", "run_rdf.py", "analysis", "helpers", "ml", "plotting"):
        if not (tmp_path / name).exists():
            (tmp_path / name).symlink_to(REPOSITORY / name)
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-c2", *words],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=SAFETY_NET,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout + done.stderr


def test_dry_run_has_all_steps_and_their_commands(tmp_path):
    said = snakemake(tmp_path, "-n", "--printshellcmds", "--config", "output=OUT", "fast=true")
    chosen = Choices("OUT", fast=True, threads=2)
    for step in steps_of(chosen):
        assert f"rule {step.name.replace(' ', '_')}:" in said
        assert " ".join(step.command) in said


@pytest.mark.slow
def test_demo(tmp_path):
    config = ("--config", "output=OUT", "fast=true")
    snakemake(tmp_path, *config)
    assert (tmp_path / "OUT/report/index.html").stat().st_size > 100_000
    assert (tmp_path / "OUT/stats/tail/limit.json").exists()
    assert "Nothing to be done" in snakemake(tmp_path, "-n", *config)
    (tmp_path / "OUT/stats/tail/limit.json").unlink()
    assert "rule limits" in snakemake(tmp_path, "-n", *config)


def test_files_of_reana_exist():
    yaml = pytest.importorskip("yaml")
    content = yaml.safe_load((REPOSITORY / "reana.yaml").read_text())
    inputs = content["inputs"]
    for name in (*inputs["files"], *inputs["directories"], inputs["parameters"]["input"]):
        assert (REPOSITORY / name).exists(), name
    choices = yaml.safe_load((REPOSITORY / "reana_choices.yaml").read_text())
    made = {path for step in steps_of(Choices(choices["output"])) for path in step.makes}
    for name in content["outputs"]["files"]:
        assert name.removeprefix("output/") in made


def test_reana_accepts_the_workflow(tmp_path):
    if importlib.util.find_spec("reana_client") is None or not shutil.which("reana-client"):
        pytest.skip("there is no reana-client")
    done = subprocess.run(
        ["reana-client", "validate", "-f", str(REPOSITORY / "reana.yaml")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SAFETY_NET,
    )
    assert done.returncode == 0, done.stdout + done.stderr
