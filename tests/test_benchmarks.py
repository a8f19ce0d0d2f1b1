"""The program and both peers of the benchmarks find the same numbers in the same events."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from conftest import DEMO, REPOSITORY, SAFETY_NET, read_json, read_table, run_program, slow

from analysis.features import DEFAULT_LAYOUT, LAYOUTS, cells
from tests.benchmarks import farm
from tests.benchmarks.inputs import SAMPLE

EVENTS = DEMO / "ttZ.root"  # jets, b-jets, both flavours and negative weights


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    """Folder with the program's products."""
    folder = tmp_path_factory.mktemp("program")
    (folder / "samples.toml").write_text(
        "luminosity_ifb = 1.0\n" + SAMPLE.format(number=0, file=EVENTS)
    )
    words = ("--samples", folder / "samples.toml", "-o", folder / "out", "-j", "1")
    outcome = run_program(*words)
    assert outcome.status == 0, outcome.err
    return folder / "out"


@pytest.fixture(
    scope="module",
    # ROOT's interpreter takes half a minute for the expressions of the thesis.
    params=["awkward_peer", slow("thesis")],
)
def peer(request, tmp_path_factory):
    """Folder with a peer's products."""
    if request.param == "awkward_peer":
        for module in ("uproot", "awkward", "vector"):
            pytest.importorskip(module)
    folder = tmp_path_factory.mktemp("peer") / request.param
    words = (sys.executable, "-m", f"tests.benchmarks.{request.param}", EVENTS, folder)
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=SAFETY_NET)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


def by_event(table):
    return table.set_index("EventNumber").sort_index()


def check_names(peer, found, expected):
    """A peer makes what the program makes; the thesis's way the cells and some of the others."""
    (layout,) = (layout for layout in LAYOUTS if layout.name == DEFAULT_LAYOUT)
    made = {cell.name for cell in cells(layout)} if peer.name == "thesis" else set(expected)
    assert not made - set(found)
    assert not set(found) - set(expected)


def test_cutflow(ours, peer):
    """Entries are equal, sums of weights and of their squares up to rounding."""
    (expected,) = read_json(ours / "cutflow.json")["SR3L"].values()
    found = read_json(peer / "cutflow.json")
    assert [row["cut"] for row in found] == [row["cut"] for row in expected]
    assert [row["entries"] for row in found] == [row["entries"] for row in expected]
    for name in ("sumw", "sumw2"):
        values = [row[name] for row in found]
        assert values == pytest.approx([row[name] for row in expected], rel=1e-9)


def test_every_feature_of_every_event(ours, peer):
    """225 cells, other features, carried objects, weight and identity agree to 1e-4."""
    expected = by_event(read_table(ours, "benchmark0"))
    found = by_event(pd.read_hdf(peer / "table.hdf5", "mini"))
    check_names(peer, found.columns, expected.columns)
    assert found.index.equals(expected.index)
    for name in found.columns:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-6, err_msg=name)


def test_flavours(ours, peer):
    """Number of events of each flavour composition."""
    counts = (
        table["flcomp"].value_counts().sort_index()
        for table in (read_table(ours, "benchmark0"), pd.read_hdf(peer / "table.hdf5", "mini"))
    )
    expected, found = counts
    assert sorted(expected.index) == [0, 1, 2, 3, 4, 5]
    assert found.to_dict() == expected.to_dict()


def test_histograms(ours, peer):
    """Contents and squared errors of a peer's histograms, under- and overflow included."""
    uproot = pytest.importorskip("uproot")
    with uproot.open(ours / "histograms.root") as file:
        expected = {
            name.removeprefix("h_").removesuffix("_benchmark0"): histogram
            for name, histogram in file["SR3L"].items(cycle=False)
        }
    if (peer / "histograms.npz").exists():
        found = dict(np.load(peer / "histograms.npz"))
    else:
        with uproot.open(peer / "histograms.root") as file:
            found = {
                name.removeprefix("h_"): (h.values(flow=True), h.variances(flow=True))
                for name, h in file.items(cycle=False)
            }
    check_names(peer, found, expected)
    for name, (contents, squares) in found.items():
        wanted = expected[name]
        for values, exact in ((contents, wanted.values(True)), (squares, wanted.variances(True))):
            np.testing.assert_allclose(values, exact, rtol=1e-6, atol=1e-6, err_msg=name)


def test_plan_of_ten_terabytes():
    text = farm.plan(farm.Costs(event=1e-6, start=0, file=0, read=100, row=300, merge=1e-5))
    rows = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|")]
    assert [[cell.strip() for cell in row] for row in rows[2:]] == [
        ["1", "1", "2.8 h", "100"],
        ["100", "100", "100 s", "10000"],
        ["1000", "200", "50 s", "20000"],
    ]
    assert "200 pieces of 50 s" in text
    assert "read: 1.00 TB; written: 400 files, 30.0 GB; merge: 17 min" in text
