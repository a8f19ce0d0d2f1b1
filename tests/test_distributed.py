"""Distributed event loops make the products of one machine, also when workers die."""

import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import replace

import ntuples
import numpy as np
import pandas as pd
import pytest
from conftest import (
    DEMO,
    REPOSITORY,
    SAFETY_NET,
    Outcome,
    assert_nothing_left,
    read_json,
    read_table,
    run_program,
)
from ntuples import three_leptons
from test_anomaly import write_network
from test_run import histograms

pytest.importorskip("distributed", reason="pip install -e '.[distributed]'")


@pytest.fixture(scope="module")
def inputs(ROOT, tmp_path_factory):
    """Samples file of events in many connect, as a tree in two files and as an RNTuple."""
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
    from analysis.cluster import loop

    monkeypatch.setattr(loop, "TASK", 500)

    def call(*words):
        capfd.readouterr()
        status = 0
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            try:
                run_rdf.main([*map(str, words)])
            except SystemExit as exit:
                status = exit.code
        outcome = Outcome.of(status, *capfd.readouterr())
        assert outcome.out.startswith("\nSR" if status == 0 else "")
        # Those of the cluster come in other words.
        lines = outcome.err.splitlines(True)
        return status, "".join(line for line in lines if not line.startswith("cluster: "))

    return call


def assert_same_rows(one, other):
    """The same tables, and in them the same rows to the last bit.

    The bytes of the files are no measure here: HDF5 notes the name of a filter that PyTables has
    registered in this process, which both reads tables and writes them.
    """
    names = sorted(path.name for path in (one / "hdf5").iterdir())
    assert names == sorted(path.name for path in (other / "hdf5").iterdir())
    for name in names:
        tables = [pd.read_hdf(folder / "hdf5" / name, "mini") for folder in (one, other)]
        pd.testing.assert_frame_equal(*tables, check_exact=True)


def assert_same_products(one, other):
    """Tables and histograms equal to the last bit, equal entries, equal sums to rounding."""
    assert_same_rows(one, other)
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


@pytest.mark.slow
def test_killed_worker_changes_nothing(on_cluster, inputs, expected, tmp_path, monkeypatch):
    """kill -9 as soon as a worker has begun to write rows."""
    from analysis.cluster import connect

    killed = []
    start = connect.local_cluster

    def kill(cluster):
        deadline = time.monotonic() + SAFETY_NET
        while time.monotonic() < deadline and not killed:
            if any(tmp_path.glob(".partial/rows-*/*/task_*.root")):
                killed.append(next(iter(cluster.workers.values())).pid)
                os.kill(killed[0], signal.SIGKILL)
            time.sleep(0.001)

    def start_and_kill(*arguments):
        cluster = start(*arguments)
        threading.Thread(target=kill, args=(cluster,), daemon=True).start()
        return cluster

    monkeypatch.setattr(connect, "local_cluster", start_and_kill)
    status, err = on_cluster("--samples", inputs, "-o", tmp_path, "--dask", "local:2")
    assert (status, err) == (0, "")
    assert killed and not os.path.exists(f"/proc/{killed[0]}")
    assert_same_products(expected, tmp_path)


# --- a scheduler that runs already, as others start it --------------------------------------------


@pytest.fixture(scope="module")
def running():
    """A scheduler on this machine with two workers."""
    import distributed

    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        silence_logs="CRITICAL",
    ) as cluster:
        yield cluster


@pytest.fixture
def scheduler(running):
    """Its address, with both workers there: one may have died of the test before."""
    from distributed import Client

    with Client(running.scheduler_address) as client:
        client.wait_for_workers(2, SAFETY_NET)
    return running.scheduler_address


@pytest.fixture
def refused(on_cluster, scheduler, tmp_path):
    """Run on the scheduler with these words; returns the complaint without `m3l: `."""

    def call(*words):
        out = tmp_path / "out"
        status, err = on_cluster("-o", out, "--dask", scheduler, *words)
        assert status == 1
        if out.is_dir():
            assert_nothing_left(out)
        (line,) = err.splitlines()
        return line.removeprefix("m3l: ")

    return call


def test_trees_and_ntuples_in_many_tasks(on_cluster, scheduler, inputs, expected, tmp_path):
    status, err = on_cluster("--samples", inputs, "-o", tmp_path, "--dask", scheduler)
    assert (status, err) == (0, "")
    assert_same_products(expected, tmp_path)
    assert read_json(tmp_path / "run.json")["cluster"] == scheduler
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "cutflow.json",
        "hdf5",
        "histograms.root",
        "run.json",
    ]


@pytest.mark.slow
def test_interpreted_with_model_and_two_regions(on_cluster, run_here, scheduler, tmp_path):
    write_network(tmp_path / "model", 1)
    words = ("-s", "ZZ", "-r", "SR2L", "SR3L", "--model", tmp_path / "model", "--plain")
    assert run_here(*words, "-o", tmp_path / "one").status == 0
    status, err = on_cluster(*words, "-o", tmp_path / "two", "--dask", scheduler)
    assert (status, err) == (0, "")
    assert_same_products(tmp_path / "one", tmp_path / "two")


def test_sample_without_events(on_cluster, scheduler, inputs, tmp_path):
    ntuples.write(tmp_path / "empty.root", [])
    made = ntuples.samples_file(
        tmp_path / "made.toml",
        {"name": "empty", "files": ["empty.root"]},
        {"name": "tree", "files": [inputs.parent / "two.root"]},
    )
    status, err = on_cluster("--samples", made, "-o", tmp_path / "out", "--dask", scheduler)
    assert (status, err.count("\n")) == (0, 1)
    assert "'empty' has no events" in err
    cutflow = read_json(tmp_path / "out" / "cutflow.json")["SR3L"]
    assert cutflow["empty"][-1]["entries"] == 0 and cutflow["tree"][-1]["entries"] > 1000


def test_weight_that_is_not_finite(refused, tmp_path):
    events = [three_leptons(number=k, weights={"SumWeights": k != 1}) for k in range(3)]
    ntuples.write(tmp_path / "made.root", events, ntuples.opendata(2020), "mini")
    made = ntuples.samples_file(
        tmp_path / "made.toml",
        {"name": "made", "files": ["made.root"], "schema": "opendata2020", "tree": None},
    )
    line = refused("--samples", made)
    assert line.startswith("sample 'made': 1 events have no finite weight, first DatasetNumber ")
    assert line.endswith("EventNumber 1")


def test_bad_values(refused, on_cluster, scheduler, tmp_path):
    events = [three_leptons(number=k) for k in range(3)]
    events[1] = replace(events[1], met_phi=float("nan"))
    ntuples.write(tmp_path / "made.root", events)
    made = ntuples.samples_file(tmp_path / "made.toml", {"name": "made", "files": ["made.root"]})
    assert refused("--samples", made) == (
        f"sample 'made': 1 event has bad values, the first is entry 1 of {tmp_path}/made.root "
        "(DatasetNumber 500001, RunNumber 300000, EventNumber 1), where branch 'met_Phi' is nan; "
        "--drop-bad-events leaves them out"
    )
    words = ("--samples", made, "-o", tmp_path / "kept", "--drop-bad-events")
    status, err = on_cluster(*words, "--dask", scheduler)
    warning = "m3l: warning: sample 'made': 1 of 3 events have bad values and were left out\n"
    assert (status, err) == (0, warning)
    assert list(read_table(tmp_path / "kept", "made").EventNumber) == [0, 2]


def test_damaged_file(refused, scheduler, inputs, tmp_path):
    """Zeros in the middle, which the look at the inputs does not see."""
    from distributed import Client

    content = bytearray((inputs.parent / "one.root").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 100_000] = bytes(100_000)
    (tmp_path / "one.root").write_bytes(content)
    made = ntuples.samples_file(tmp_path / "made.toml", {"name": "made", "files": ["one.root"]})
    line = refused("--samples", made)
    # ROOT may have damaged its memory as well, and crash later.
    with Client(scheduler) as client:
        client.restart()
    assert line.startswith("sample 'made': ")
    # A worker that dies at once has said nothing about the file.
    if "out_of_range" in line:
        assert "RDataFrame: Define could not retrieve " in line
        assert line.endswith("; python -m analysis.submit tells which file it is")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C++ exception thrown:\n\truntime_error: bad. Do this.", "runtime_error: bad; python -m "),
        ("worker on a.b has ROOT 6.38, not 6.40", "worker on a.b has ROOT 6.38, not 6.40"),
        (
            "An error occurred while calling z.\n: org.apache.SparkException: failed:\n"
            "Traceback\n  File\nanalysis.errors.ClusterError: worker on a: no. More.\n\tat java",
            "worker on a: no",
        ),
        ("", "ValueError"),
    ],
)
def test_reason_of_a_failure_is_one_sentence(ROOT, text, expected):
    from analysis.cluster.loop import reason

    assert reason(ValueError(text)).startswith(expected)


@pytest.mark.slow
def test_rows_that_do_not_arrive(refused, inputs, monkeypatch, tmp_path):
    """As where a worker writes into a folder of the same name on its own disk."""
    from analysis.cluster.loop import ClusterLoop

    run = ClusterLoop.run

    def lose(loop):
        next(loop.folder.rglob("*.root")).unlink()
        return run(loop)

    monkeypatch.setattr(ClusterLoop, "run", lose)
    line = refused("--samples", inputs, "-s", "tree")
    found, _, rest = line.removeprefix("sample 'tree': ").partition(" of the 6319 selected events ")
    assert 0 < int(found) < 6319
    assert rest == f"have come from the workers; they must all see {tmp_path}/out"


def test_type_that_snapshot_cannot_write(refused, inputs, monkeypatch):
    from analysis import features

    byte = features.Feature("byte", "std::int8_t(n_jet)", "", "", features.COUNT, True)
    monkeypatch.setattr(features, "FEATURES", (*features.FEATURES, byte))
    line = refused("--samples", inputs, "-s", "tree", "--plain")
    assert line.startswith("'byte' is a signed char, which a distributed Snapshot cannot write")


def test_workers_that_have_other_helpers(refused, scheduler, inputs):
    """As after an edit of helpers/ while a scheduler runs on."""
    import distributed

    def remember(libraries):
        from analysis.cluster import loop

        before = set(loop.loaded)
        loop.load.cache_clear()
        loop.loaded.clear()
        loop.loaded.update(libraries)
        return before

    with distributed.Client(scheduler) as client:
        before, *_ = client.run(remember, {"older"}).values()
        line = refused("--samples", inputs, "-s", "ntuple")
        client.run(remember, before)
    assert line.startswith("sample 'ntuple': worker on ")
    assert line.endswith(" has loaded other helpers before; restart the workers")


def test_output_folder_whose_name_snapshot_would_cut(refused, inputs, tmp_path):
    line = refused("--samples", inputs, "-o", tmp_path / "my.root.d")
    assert "cannot write below a name with '.root' in it" in line
    assert not any((tmp_path / "my.root.d").iterdir())


# --- other places ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_dataframes_at_the_prompt(scheduler, inputs, expected, tmp_path):
    words = ("--samples", str(inputs), "-s", "tree", "-o", str(tmp_path), "--dask", scheduler)
    prompt = (
        'selected = dataframes["tree"]["SR3L"]\n'
        'every = dataframes["tree"]["all"]\n'
        'print("prompt", selected.Count().GetValue(), every.Count().GetValue())\n'
        'h = selected.Define("mT", "rmm[1]").Histo1D(("mT", "", 50, 0, 500), "mT", "wgt_SG")\n'
        'print("prompt", h.GetEntries())\n'
    )
    done = subprocess.run(
        [sys.executable, "-i", "run_rdf.py", *words],
        input=prompt,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=SAFETY_NET,
    )
    rows = read_json(expected / "cutflow.json")["SR3L"]["tree"]
    selected, every = rows[-1]["entries"], rows[0]["entries"]
    assert f"prompt {selected} {every}\n" in done.stdout, done.stderr
    assert f"prompt {float(selected)}\n" in done.stdout


@pytest.fixture
def spark():
    from analysis.cluster import connect
    from analysis.errors import ClusterError

    try:
        connect.Spark.parse("local").check()
    except ClusterError as error:
        pytest.skip(str(error))


@pytest.mark.slow
def test_spark_in_many_tasks(spark, on_cluster, inputs, expected, tmp_path):
    status, err = on_cluster("--samples", inputs, "-o", tmp_path, "--spark", "local[2]")
    assert (status, err) == (0, "")
    assert_same_products(expected, tmp_path)


@pytest.mark.slow
def test_spark_with_executors(spark, inputs, expected, tmp_path):
    master = "local-cluster[2,1,1024]"
    outcome = run_program("--samples", inputs, "-o", tmp_path, "--spark", master)
    assert outcome.status == 0, outcome.err
    assert_same_products(expected, tmp_path)


@pytest.mark.slow
def test_slurm(on_cluster, inputs, expected, tmp_path, monkeypatch):
    slurm = pytest.importorskip("slurm", reason="no tests/slurm.py, which runs a cluster")
    pytest.importorskip("dask_jobqueue", reason="pip install -e '.[distributed]'")
    with slurm.slurm_cluster() as environment:
        monkeypatch.setenv("SLURM_CONF", environment["SLURM_CONF"])
        status, err = on_cluster("--samples", inputs, "-o", tmp_path, "--dask", "slurm:1")
    assert (status, err) == (0, "waiting for the first of 1 slurm jobs\n")
    assert_same_products(expected, tmp_path)
