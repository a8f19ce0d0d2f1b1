"""Distributed event loops make the products of one machine, also when workers die."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import ntuples
import numpy as np
import pytest
from conftest import DEMO, REPOSITORY, assert_nothing_left, read_json, table_path
from test_anomaly import write_network
from test_run import assert_same_tables, histograms

pytest.importorskip("distributed", reason="pip install -e '.[distributed]'")


@pytest.fixture(scope="module")
def inputs(ROOT, tmp_path_factory):
    """Samples file of events in many clusters, as a tree in two files and as an RNTuple."""
    folder = tmp_path_factory.mktemp("inputs")
    tree = ROOT.RDF.RSnapshotOptions()
    tree.fAutoFlush = 500
    ntuple = ROOT.RDF.RSnapshotOptions()
    ntuple.fOutputFormat = ROOT.RDF.ESnapshotOutputFormat.kRNTuple
    ntuple.fApproxZippedClusterSize = 100_000
    for name, sample, options in (("one", "WZ", tree), ("two", "ZZ", tree), ("nt", "WZ", ntuple)):
        rdf = ROOT.RDataFrame("nominal", str(DEMO / f"{sample}.root"))
        rdf.Snapshot("nominal", str(folder / f"{name}.root"), "", options)
    return ntuples.samples_file(
        folder / "samples.toml",
        {"name": "tree", "files": ["one.root", "two.root"]},
        {"name": "ntuple", "files": ["nt.root"]},
        luminosity=36.1,
    )


@pytest.fixture(scope="module")
def expected(ROOT, inputs, tmp_path_factory):
    """Output of the samples on one machine, one thread."""
    import run_rdf

    folder = tmp_path_factory.mktemp("expected")
    run_rdf.main(["--samples", str(inputs), "-o", str(folder), "-j", "1"])
    return folder


@pytest.fixture
def on_cluster(ROOT, capfd, monkeypatch):
    """Call run_rdf.py's main in this process with small tasks, so that there are many."""
    import run_rdf
    from analysis import distributed

    monkeypatch.setattr(distributed, "TASK", 500)

    def call(*words):
        capfd.readouterr()
        status = 0
        try:
            run_rdf.main([*map(str, words)])
        except SystemExit as exit:
            status = exit.code
        return (status, *capfd.readouterr())

    return call


def assert_same_products(one, other):
    """Byte-identical tables and histograms, equal entries, equal sums to rounding."""
    assert_same_tables(one, other)
    found, wanted = histograms(other), histograms(one)
    assert found.keys() == wanted.keys()
    for key, pair in wanted.items():
        np.testing.assert_array_equal(found[key], pair, err_msg=key)
    found, wanted = (read_json(folder / "cutflow.json") for folder in (other, one))
    assert found.keys() == wanted.keys()
    for region, samples in wanted.items():
        assert found[region].keys() == samples.keys()
        for sample, rows in samples.items():
            for row, expected in zip(found[region][sample], rows, strict=True):
                assert (row["cut"], row["entries"]) == (expected["cut"], expected["entries"])
                for key in ("sumw", "sumw2"):
                    assert row[key] == pytest.approx(expected[key], rel=1e-12)


def test_trees_and_ntuples_in_many_tasks(on_cluster, inputs, expected, tmp_path):
    status, out, err = on_cluster("--samples", inputs, "-o", tmp_path, "--dask", "local:2")
    assert (status, err) == (0, "")
    assert_same_products(expected, tmp_path)
    assert read_json(tmp_path / "run.json")["cluster"] == "local:2"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cutflow.json",
        "hdf5",
        "histograms.root",
        "run.json",
    ]


def test_killed_worker_changes_nothing(on_cluster, inputs, expected, tmp_path, monkeypatch):
    """kill -9 as soon as a worker has begun to write rows."""
    from analysis import clusters

    killed = []
    start = clusters.local_cluster

    def kill(cluster):
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not killed:
            if any(tmp_path.glob(".partial-*/rows-*/*/task_*.root")):
                killed.append(next(iter(cluster.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)
            time.sleep(0.001)

    def start_and_kill(*arguments):
        cluster = start(*arguments)
        threading.Thread(target=kill, args=(cluster,), daemon=True).start()
        return cluster

    monkeypatch.setattr(clusters, "local_cluster", start_and_kill)
    status, out, err = on_cluster("--samples", inputs, "-o", tmp_path, "--dask", "local:2")
    assert (status, err) == (0, "")
    assert killed and not os.path.exists(f"/proc/{killed[0]}")
    assert_same_products(expected, tmp_path)
