"""The same events in every kind of file give the same tables and cutflow, to the last byte."""

import subprocess
import sys

import ntuples
import pytest
from conftest import REPOSITORY

from tests.benchmarks.copies import ALGORITHMS
from tests.benchmarks.inputs import KINDS

DEMO = REPOSITORY / "analysis" / "demo"
COPIES = [("vector", "zstd"), *((kind, "zstd") for kind in KINDS[1:])]
COPIES += [(kind, name) for kind in ("RVec", "RNTuple") for name in ALGORITHMS if name != "zstd"]


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """{(kind, compression): path} of the demo's WZ."""
    folder = tmp_path_factory.mktemp("kinds")
    found = {}
    for kind, compression in COPIES:
        path = found[kind, compression] = folder / f"{kind}-{compression}.root"
        words = ("-m", "tests.benchmarks.copies", DEMO / "WZ.root", kind, compression, path)
        words = [sys.executable, "-W", "ignore", *map(str, words)]
        subprocess.run(words, cwd=REPOSITORY, check=True, timeout=300, capture_output=True)
    return found


def products(run_here, folder, files):
    """Bytes of the table and of the cutflow of a run over files of one sample."""
    sample = {"name": "WZ", "files": [str(file) for file in files], "xsec_pb": 1.0}
    ntuples.samples_file(folder / "made.toml", sample)
    outcome = run_here("--samples", folder / "made.toml", "-o", folder / "out", "--force")
    assert outcome.status == 0, outcome.err
    (table,) = (folder / "out" / "hdf5").iterdir()
    return table.read_bytes(), (folder / "out" / "cutflow.json").read_bytes()


def test_every_kind_gives_the_same_bytes(copies, run_here, tmp_path):
    expected = products(run_here, tmp_path, [DEMO / "WZ.root"])
    for key, path in copies.items():
        assert products(run_here, tmp_path, [path]) == expected, key


def test_vectors_and_rvec_in_one_sample(copies, run_here, tmp_path):
    twice = products(run_here, tmp_path, [DEMO / "WZ.root", copies["vector", "zstd"]])
    assert products(run_here, tmp_path, [DEMO / "WZ.root", copies["RVec", "zstd"]]) == twice


@pytest.mark.parametrize("kind", ["array", "RNTuple"])
def test_others_in_one_sample_are_refused(copies, run_here, tmp_path, kind):
    files = [str(DEMO / "WZ.root"), str(copies[kind, "zstd"])]
    ntuples.samples_file(tmp_path / "made.toml", {"name": "WZ", "files": files})
    outcome = run_here("--samples", tmp_path / "made.toml", "-o", tmp_path / "out")
    assert outcome.status == 1
    assert f"{files[1]}: branch '" in outcome.err and "is of type" in outcome.err
