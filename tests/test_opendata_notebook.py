"""docs/opendata.ipynb: all of it on real collisions where they are, its first steps on the demo."""

import base64
import json
import os
import re
import subprocess
import sys

import pytest
from conftest import DEMO, REPOSITORY, SAFETY_NET
from test_real_input import SHARED

NOTEBOOK = REPOSITORY / "docs" / "opendata.ipynb"
REAL = SHARED / "atlas13_2020" / "samples.toml"

# Executes a notebook in the folder where it is; writes it with what its cells print and show.
EXECUTE = """
import sys
import nbformat
from nbclient import NotebookClient

path, folder, cells, out = sys.argv[1:]
notebook = nbformat.read(path, as_version=4)
notebook.cells = notebook.cells[: int(cells)]
resources = {"metadata": {"path": folder}}
NotebookClient(notebook, timeout=None, kernel_name="python3", resources=resources).execute()
nbformat.write(notebook, out)
"""


def execute(tmp_path, samples, cells):
    """The first cells of the notebook, executed: (what they print, their pictures)."""
    pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    out = tmp_path / "executed.ipynb"
    folder = REPOSITORY / "docs"
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, *map(str, (NOTEBOOK, folder, cells, out))],
        env={
            **os.environ,
            "M3L_SAMPLES": str(samples),
            "M3L_OUT": str(tmp_path / "out"),
            "IPYTHONDIR": str(tmp_path / "ipython"),
            "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        },
        capture_output=True,
        text=True,
        timeout=SAFETY_NET,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    texts, pictures = [], []
    for cell in json.loads(out.read_text())["cells"]:
        for output in cell.get("outputs", ()):
            texts += output.get("text", ())
            data = output.get("data", {})
            texts += data.get("text/plain", ())
            if "image/png" in data:
                pictures.append(base64.b64decode("".join(data["image/png"])))
    assert all(picture.startswith(b"\x89PNG") for picture in pictures)
    return "".join(texts), pictures


def cells():
    """The cells of the notebook as it is in the checkout."""
    return json.loads(NOTEBOOK.read_text())["cells"]


def number(pattern, text):
    """The number that a regular expression finds."""
    return float(re.search(pattern, text)[1])


def test_it_is_kept_without_outputs():
    code = [cell for cell in cells() if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)


@pytest.mark.slow
def test_first_steps_on_the_demo(tmp_path):
    first = next(n for n, cell in enumerate(cells()) if 'program("run' in "".join(cell["source"]))
    text, pictures = execute(tmp_path, DEMO / "samples.toml", first)
    assert len(pictures) == 2
    assert number(r"median of these ([\d.]+) GeV", text) == pytest.approx(91.0, abs=0.7)
    assert number(r"\ndata +(\d+)\n", text) > 30


@pytest.mark.skipif(not REAL.exists(), reason="the files of ../shared/data are not here")
def test_all_of_it_on_real_collisions(tmp_path):
    text, pictures = execute(tmp_path, REAL, len(cells()))
    assert "236 events, 195 different ones" in text
    assert "193 events with a pair, 137 within 10 GeV of the Z" in text
    assert number(r"median of these ([\d.]+) GeV", text) == pytest.approx(90.58, abs=0.01)
    assert re.search(r"data_A_4lep +27\ndata_B_4lep +86\b", text)
    assert "36 events with three signal leptons" in text
    assert number(r"median score ([\d.]+)", text) == pytest.approx(0.42, abs=0.03)
    assert len(pictures) == 4
    assert (tmp_path / "out" / "real" / "run.json").exists()
