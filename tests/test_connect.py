"""What --dask and --spark accept, what they say when a cluster is not there, and the jobs of it."""

import argparse
import shutil
import socket
import warnings

import pytest
from conftest import run_code, run_program

from analysis.cluster import connect
from analysis.errors import ClusterError


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.mark.parametrize(
    ("text", "kind", "workers"),
    [
        ("local:2", "local", 2),
        ("condor:100", "condor", 100),
        ("slurm:1", "slurm", 1),
        ("tcp://127.0.0.1:8786", "tcp", 0),
        ("tls://node-7.example.org:8786", "tls", 0),
        ("tcp://[::1]:8786", "tcp", 0),
    ],
)
def test_dask_places(text, kind, workers):
    cluster = connect.Dask.parse(text)
    assert (cluster.kind, cluster.workers) == (kind, workers)


@pytest.mark.parametrize(
    "text", ["local", "local:x", "local:0", "local:-1", "pbs:2", "tcp://host", "http://host:1", ""]
)
def test_other_dask_places_are_wrong(text):
    with pytest.raises(argparse.ArgumentTypeError, match="local:N, condor:N or slurm:N"):
        connect.Dask.parse(text)


@pytest.mark.parametrize(
    "text", ["local[2]", "local[*]", "local-cluster[2,1,1024]", "spark://a:7077,b:7077", "yarn"]
)
def test_spark_masters(text):
    assert connect.Spark.parse(text).name == text


@pytest.mark.parametrize("text", ["local[x]", "local-cluster[2]", "spark://host", "mesos://h:1"])
def test_other_spark_masters_are_wrong(text):
    with pytest.raises(argparse.ArgumentTypeError, match="must be spark://HOST:PORT"):
        connect.Spark.parse(text)


# --- before anything is done ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "status", "line"),
    [
        (["--dask", "local:x"], 2, "not 'local:x'"),
        (["--dask", "local:2", "--spark", "yarn"], 2, "not allowed with"),
        (["--dask", "local:2", "-j", "2"], 2, "-j is for this machine"),
        (["--spark", "yarn", "--check"], 2, "--list, --check, --chain and --event need no --dask"),
        (["--dask", "local:2", "-n", "9"], 1, "-n does not work with --dask and --spark"),
    ],
)
def test_wrong_use_is_one_line(words, status, line, tmp_path):
    outcome = run_program(*words, "-o", tmp_path / "out")
    assert (outcome.status, outcome.out) == (status, "")
    assert line in outcome.lines[-1]
    assert not (tmp_path / "out").exists()
    if status == 1:
        assert len(outcome.lines) == 1 and "python -m analysis.submit" in outcome.err


@pytest.mark.parametrize(
    ("cluster", "package"),
    [
        (connect.Dask.parse("local:1"), "distributed"),
        (connect.Dask.parse("slurm:1"), "dask-jobqueue"),
        (connect.Spark.parse("yarn"), "pyspark"),
    ],
)
def test_missing_package(cluster, package, monkeypatch):
    find_spec = connect.importlib.util.find_spec
    missing = package.replace("-", "_")
    monkeypatch.setattr(
        connect.importlib.util, "find_spec", lambda n: None if n == missing else find_spec
    )
    with pytest.raises(ClusterError, match=f"Python finds no {package}: pip install -e "):
        cluster.check()


@pytest.mark.parametrize(
    ("cluster", "command"),
    [
        (connect.Dask.parse("condor:1"), "condor_submit"),
        (connect.Dask.parse("slurm:1"), "sbatch"),
        (connect.Spark.parse("local[2]"), "java"),
    ],
)
def test_missing_command(cluster, command, monkeypatch, tmp_path):
    monkeypatch.setattr(connect, "need", lambda *_: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(ClusterError, match=f"{cluster.name.replace('[', '.')}?.*: no {command} "):
        cluster.check()


def test_spark_master_that_does_not_answer():
    cluster = connect.Spark(f"spark://127.0.0.1:{free_port()}")
    with pytest.raises(ClusterError, match="no master answers there"):
        cluster.knock()


# --- Dask -------------------------------------------------------------------------------------


@pytest.fixture
def distributed():
    return pytest.importorskip("distributed", reason="pip install -e '.[distributed]'")


def test_scheduler_that_does_not_answer(distributed, monkeypatch, tmp_path):
    monkeypatch.setattr(connect, "TIMEOUT", 1)
    cluster = connect.Dask.parse(f"tcp://127.0.0.1:{free_port()}")
    with pytest.raises(ClusterError, match="Timed out trying to connect to tcp://127.0.0.1"):
        cluster.connect(tmp_path)


@pytest.mark.parametrize(
    ("workers", "threads", "reason"), [(0, 1, "has no workers: "), (1, 2, "has 2 threads, must ")]
)
def test_workers_that_do_not_fit(distributed, workers, threads, reason, tmp_path):
    with distributed.LocalCluster(
        n_workers=workers,
        threads_per_worker=threads,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    ) as running:
        cluster = connect.Dask.parse(running.scheduler_address)
        with pytest.raises(ClusterError, match=reason) as caught:
            cluster.connect(tmp_path)
        cluster.close()
    assert "--nthreads 1" in str(caught.value)


@pytest.mark.parametrize(
    ("place", "warned"),
    [
        ("tcp://10.0.0.1:8786", 1),
        ("tcp://127.0.0.1:8786", 0),
        ("tcp://localhost:8786", 0),
        ("tls://10.0.0.1:8786", 0),
        ("local:2", 0),
    ],
)
def test_open_scheduler_is_warned_of(place, warned):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        connect.Dask.parse(place).warn_of_strangers()
    assert [("without TLS" in str(warning.message)) for warning in caught] == [True] * warned


@pytest.fixture
def job_script(monkeypatch, tmp_path):
    """Script of the jobs that a function of connect.py would submit."""
    pytest.importorskip("dask_jobqueue", reason="pip install -e '.[distributed]'")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/a b/lib")
    scripts = []

    def keep(cluster, workers):
        scripts.append(cluster.job_script())
        assert workers == 3
        cluster.close(timeout=1)

    monkeypatch.setattr(connect, "submitted", keep)

    def make(start):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            start(3, str(tmp_path))
        return scripts[-1]

    return make


def test_job_of_slurm(job_script, monkeypatch):
    import dask.config

    with dask.config.set({"jobqueue.slurm.walltime": "02:00:00", "jobqueue.slurm.queue": "long"}):
        script = job_script(connect.slurm_cluster)
    lines = script.splitlines()
    for line in ("-n 1", "--cpus-per-task=1", "--mem=2G", "-t 02:00:00", "-p long"):
        assert f"#SBATCH {line}" in lines
    assert "export LD_LIBRARY_PATH='/opt/a b/lib'" in lines
    assert " tls://" in lines[-1] and "--nthreads 1" in lines[-1] and "--tls-key" in lines[-1]


def test_job_of_condor(job_script, monkeypatch):
    monkeypatch.setattr(connect, "at_cern", lambda: False)
    script = job_script(connect.condor_cluster)
    htcondor = pytest.importorskip("htcondor", reason="pip install 'htcondor<25'")
    (job,) = htcondor.Submit(script + "\nqueue").jobs()
    assert job.eval("RequestCpus") == 1
    assert 1800 < job.eval("RequestMemory") <= 2048
    command = job["Arguments"].replace("'", "")
    assert "export LD_LIBRARY_PATH=/opt/a b/lib; " in command and "--nthreads 1" in command
    assert " tls://" in command and "--tls-key" in command


def test_job_at_cern(job_script, monkeypatch):
    pytest.importorskip("dask_lxplus", reason="pip install -e '.[distributed]'")
    monkeypatch.setattr(connect, "at_cern", lambda: True)
    monkeypatch.setattr(connect.socket, "gethostname", lambda: "localhost")
    port = free_port()
    monkeypatch.setattr(connect, "LXPLUS_PORT", port)
    script = job_script(connect.condor_cluster)
    assert "MY.IsDaskWorker = true" in script and "SingularityImage" not in script
    assert f"tls://127.0.0.1:{port}" in script and "--worker-port 10000:10100" in script


def test_keys_are_for_this_user_only_and_gone_at_the_end(distributed, tmp_path, monkeypatch):
    pytest.importorskip("dask_jobqueue", reason="pip install -e '.[distributed]'")
    seen = []

    def look(cluster, _):
        seen.extend(path for path in tmp_path.rglob("*") if path.is_file())
        assert seen and all(path.stat().st_mode & 0o77 == 0 for path in seen)
        cluster.close(timeout=1)
        raise RuntimeError("sbatch: error: refused")

    monkeypatch.setattr(connect, "submitted", look)
    cluster = connect.Dask.parse("slurm:1")
    with pytest.raises(ClusterError, match="--dask slurm:1: sbatch: error: refused"):
        cluster.connect(tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_refusal_of_the_batch_system(distributed, tmp_path, monkeypatch):
    """A real submission, with a command that fails."""
    pytest.importorskip("dask_jobqueue", reason="pip install -e '.[distributed]'")
    sbatch = tmp_path / "sbatch"
    sbatch.write_text("#!/bin/sh\necho 'sbatch: error: Invalid account' >&2\nexit 1\n")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert shutil.which("sbatch") == str(sbatch)
    cluster = connect.Dask.parse("slurm:2")
    with pytest.raises(ClusterError, match="--dask slurm:2: sbatch: error: Invalid account"):
        cluster.connect(tmp_path)


def test_importing_dask_jobqueue_leaves_ctrl_c_alone(distributed):
    import signal

    before = signal.getsignal(signal.SIGINT)
    connect.import_jobqueue()
    assert signal.getsignal(signal.SIGINT) is before


def test_option_parsing_needs_neither_dask_nor_root():

    code = (
        "import sys, run_rdf; run_rdf.parser().parse_args(['--dask', 'local:2']); "
        "print(*sorted({'ROOT', 'dask', 'distributed', 'pyspark'} & set(sys.modules)))"
    )
    done = run_code(code)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")
