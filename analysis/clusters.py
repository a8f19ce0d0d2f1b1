"""Clusters that run distributed RDataFrames: what --dask and --spark name, and connecting to it.

One thread per worker process everywhere: ROOT's distributed RDataFrame crashes with two.
"""

import argparse
import importlib.util
import ipaddress
import os
import re
import shlex
import shutil
import signal
import socket
import sys
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from analysis.errors import ClusterError
from helpers.terminal import captured_stderr

TIMEOUT = 10  # seconds that a scheduler has to answer

# Without these, Python on another machine may not find ROOT.
ENVIRONMENT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")


def need(package, extra):
    """Raise ClusterError if a Python package of an extra of pyproject.toml is missing."""
    if importlib.util.find_spec(package) is None:
        raise ClusterError(
            f"Python finds no {package.replace('_', '-')}: pip install -e '.[{extra}]'"
        )


@dataclass
class Dask:
    """A Dask cluster: one that runs already, or workers that are started for this run."""

    name: str  # as on the command line
    kind: str  # tcp or tls: a running scheduler; local, condor or slurm: own workers
    workers: int = 0  # own workers
    executor: object = None  # the distributed.Client
    opened: list = field(default_factory=list)  # what `close` closes, last first

    @classmethod
    def parse(cls, text):
        """Read the value of --dask."""
        if own := re.fullmatch(r"(local|condor|slurm):([1-9]\d*)", text):
            return cls(text, own[1], int(own[2]))
        if address := re.fullmatch(r"(tcp|tls)://(\[[0-9a-fA-F:.]+\]|[\w.-]+):(\d{1,5})", text):
            return cls(text, address[1])
        raise argparse.ArgumentTypeError(
            "must be tcp://HOST:PORT, tls://HOST:PORT, local:N, condor:N or slurm:N "
            f"with N workers, not '{text}'"
        )

    def check(self):
        """Raise ClusterError for what is missing on this machine, without connecting."""
        need("distributed", "distributed")
        if self.kind in ("condor", "slurm"):
            need("dask_jobqueue", "distributed")
            command = {"condor": "condor_submit", "slurm": "sbatch"}[self.kind]
            if shutil.which(command) is None:
                raise ClusterError(
                    f"--dask {self.name}: no {command} here; run where jobs are submitted"
                )
        if self.kind == "condor" and at_cern():
            need("dask_lxplus", "distributed")

    def connect(self, folder):
        """Start or find the workers and wait for the first.

        folder: one that the workers see and others cannot read, for keys
        Raises ClusterError.
        """
        from distributed import Client

        import_jobqueue()
        with captured_stderr():  # workers of this machine inherit it
            try:
                if self.kind in ("tcp", "tls"):
                    self.warn_of_strangers()
                    self.executor = Client(self.name, timeout=TIMEOUT)
                else:
                    start = {"local": local_cluster, "condor": condor_cluster}
                    cluster = start.get(self.kind, slurm_cluster)(self.workers, folder)
                    self.opened.append(cluster)
                    self.executor = Client(cluster, timeout=TIMEOUT)
            except (OSError, RuntimeError, ValueError) as error:
                self.close()
                raise ClusterError(
                    f"--dask {self.name}: {str(error).splitlines()[0] or type(error).__name__}"
                ) from None
        self.opened.append(self.executor)
        if self.kind in ("tcp", "tls"):
            self.check_workers()
        elif self.kind != "local":
            print(f"waiting for the first of {self.workers} {self.kind} jobs", file=sys.stderr)
            self.executor.wait_for_workers(1)

    def warn_of_strangers(self):
        """A scheduler without TLS takes code from anyone who can connect to it."""
        host = urlsplit(self.name).hostname
        loopback = host == "localhost"
        with suppress(ValueError):
            loopback = ipaddress.ip_address(host).is_loopback
        if self.kind == "tcp" and not loopback:
            warnings.warn(
                f"--dask {self.name}: without TLS, whoever reaches this port runs code as you",
                stacklevel=2,
            )

    def check_workers(self):
        """Workers that others have started must fit. Raises ClusterError."""
        threads = self.executor.nthreads()
        start = f"dask worker {self.name} --nworkers N --nthreads 1"
        if not threads:
            self.fail(f"has no workers: {start}")
        for address, number in threads.items():
            if number > 1:
                self.fail(f"worker {address} has {number} threads, must be one: {start}")
        versions = self.executor.get_versions()
        ours = versions["client"]["host"]["python"]
        for address, worker in versions["workers"].items():
            theirs = worker["host"]["python"]
            if theirs.split(".")[:2] != ours.split(".")[:2]:
                self.fail(f"worker {address} has Python {theirs}, here it is {ours}")

    def fail(self, reason):
        raise ClusterError(f"--dask {self.name}: {reason}")

    def cores(self):
        """Number of tasks that can run at once, when all workers have come."""
        return self.workers or sum(self.executor.nthreads().values())

    def close(self):
        while self.opened:
            with suppress(Exception):  # whatever is left of it
                self.opened.pop().close()


def import_jobqueue():
    """Import dask-jobqueue where it is installed, before ROOT does it in a thread.

    It sets a handler for Ctrl-C, which is possible in the main thread only, and not wanted.
    """
    handler = signal.getsignal(signal.SIGINT)
    with suppress(ModuleNotFoundError):
        import dask_jobqueue  # noqa: F401
    signal.signal(signal.SIGINT, handler)


def local_cluster(workers, _):
    """Processes on this machine; certificates keep its other users out."""
    from distributed import LocalCluster
    from distributed.security import Security

    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
        security=Security.temporary(),
        silence_logs="CRITICAL",
    )


def condor_cluster(workers, folder):
    """Jobs of HTCondor; at CERN as its batch service wants them."""
    import dask_jobqueue

    if not at_cern():
        options = job_options("htcondor", folder, disk="1GB")
        return scaled(dask_jobqueue.HTCondorCluster(**options), workers)
    import dask_lxplus

    # Worker nodes reach this port of lxplus.
    options = job_options("cern", folder, port=8786, host=socket.gethostname())
    cluster = dask_lxplus.CernCluster(container_runtime="none", **options)
    return scaled(cluster, workers)


def slurm_cluster(workers, folder):
    """Jobs of Slurm."""
    import dask_jobqueue

    return scaled(dask_jobqueue.SLURMCluster(**job_options("slurm", folder)), workers)


def scaled(cluster, workers):
    cluster.scale(workers)
    return cluster


def job_options(section, folder, disk=None, **scheduler):
    """What a job is, unless ~/.config/dask/jobqueue.yaml says otherwise: one core, 2 GB.

    section: that of dask-jobqueue's configuration
    folder: for the keys of the workers
    scheduler: options of the scheduler, which runs in this process
    """
    import dask.config

    def configured(name, default):
        return dask.config.get(f"jobqueue.{section}.{name}", None) or default

    exports = [f"export {n}={shlex.quote(os.environ[n])}" for n in ENVIRONMENT if n in os.environ]
    options = {
        "cores": 1,
        "processes": 1,
        "memory": configured("memory", "2GB"),
        "python": configured("python", sys.executable),
        "job_script_prologue": [*configured("job-script-prologue", []), *exports],
        "security": True,
        "shared_temp_directory": configured("shared-temp-directory", str(folder)),
        "scheduler_options": {
            "dashboard": False,
            **scheduler,
            **configured("scheduler-options", {}),
        },
    }
    if disk:
        options["disk"] = configured("disk", disk)
    return options


def at_cern():
    return socket.getfqdn().endswith(".cern.ch")


@dataclass
class Spark:
    """A Spark cluster, or Spark on this machine."""

    name: str  # master URL
    executor: object = None  # the pyspark.SparkContext

    @classmethod
    def parse(cls, text):
        """Read the value of --spark."""
        masters = (
            r"local(\[(\d+|\*)(,\d+)?\])?",
            r"local-cluster\[\d+,\d+,\d+\]",
            r"spark://[\w.-]+:\d+(,[\w.-]+:\d+)*",
            r"k8s://\S+",
            "yarn",
        )
        if not any(re.fullmatch(master, text) for master in masters):
            raise argparse.ArgumentTypeError(
                "must be spark://HOST:PORT, yarn, k8s://..., local[N] or "
                f"local-cluster[N,CORES,MEGABYTES], not '{text}'"
            )
        return cls(text)

    def check(self):
        """Raise ClusterError for what is missing on this machine, without connecting."""
        need("pyspark", "spark")
        home = os.environ.get("JAVA_HOME")
        if shutil.which("java", path=home and os.path.join(home, "bin")) is None:
            raise ClusterError(
                f"--spark {self.name}: no java here (Debian: apt install default-jre-headless)"
            )

    def connect(self, _):
        """Start Spark or find it. Raises ClusterError."""
        import pyspark

        if self.name.startswith("spark://"):
            self.knock()
        # Workers of a local-cluster are started by scripts of this folder.
        os.environ.setdefault("SPARK_HOME", os.path.dirname(pyspark.__file__))
        settings = {
            "spark.pyspark.python": sys.executable,
            "spark.ui.enabled": "false",
            "spark.ui.showConsoleProgress": "false",
            **{f"spark.executorEnv.{n}": os.environ[n] for n in ENVIRONMENT if n in os.environ},
        }
        if self.name.startswith("local"):
            settings |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
        conf = pyspark.SparkConf().setMaster(self.name).setAppName("m3l")
        with captured_stderr() as output:  # Java inherits it
            try:
                self.executor = pyspark.SparkContext(conf=conf.setAll(settings.items()))
                self.executor.setLogLevel("OFF")
            except Exception as error:  # Py4J's have no common class
                problem = str(error).splitlines()
        if self.executor is None:
            blamed = [line for line in output.text.splitlines() if "Exception" in line]
            raise ClusterError(f"--spark {self.name}: {(blamed or problem)[0][:200]}")

    def knock(self):
        """Spark itself would try for minutes to reach a master."""
        for place in self.name.removeprefix("spark://").split(","):
            host, port = place.rsplit(":", 1)
            with suppress(OSError), socket.create_connection((host, int(port)), TIMEOUT):
                return
        raise ClusterError(f"--spark {self.name}: no master answers there")

    def cores(self):
        """Number of tasks that can run at once."""
        return self.executor.defaultParallelism

    def close(self):
        if self.executor is not None:
            with suppress(Exception):
                self.executor.stop()
            self.executor = None
