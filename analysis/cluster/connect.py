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
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from analysis.errors import ClusterError
from helpers.terminal import captured_stderr

TIMEOUT = 10  # seconds that a scheduler has to answer

LXPLUS_PORT = 8786  # which worker nodes at CERN reach

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
    opened: ExitStack = field(default_factory=ExitStack)

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

        folder: one that the workers see, for keys and logs
        Raises ClusterError.
        """
        from distributed import Client

        import_jobqueue()
        self.warn_of_strangers()
        with captured_stderr():  # workers of this machine inherit it
            try:
                if self.kind in ("tcp", "tls"):
                    self.executor = Client(self.name, timeout=TIMEOUT)
                else:
                    start = {
                        "local": local_cluster,
                        "condor": condor_cluster,
                        "slurm": slurm_cluster,
                    }
                    keys = TemporaryDirectory(prefix="keys-", dir=folder)
                    cluster = start[self.kind](self.workers, self.opened.enter_context(keys))
                    self.opened.callback(cluster.close)
                    self.executor = Client(cluster, timeout=TIMEOUT)
            except (OSError, RuntimeError, ValueError) as error:
                self.close()
                first, *_ = str(error).splitlines() or [type(error).__name__]
                raise ClusterError(f"--dask {self.name}: {first}") from None
        self.opened.callback(self.executor.close)
        if self.kind in ("tcp", "tls"):
            self.check_workers()
        elif self.kind != "local":
            print(f"waiting for the first of {self.workers} {self.kind} jobs", file=sys.stderr)
            self.executor.wait_for_workers(1)

    def warn_of_strangers(self):
        """A scheduler without TLS takes code from anyone who can connect to it."""
        if self.kind != "tcp":
            return
        host = urlsplit(self.name).hostname
        loopback = host == "localhost"
        with suppress(ValueError):
            loopback = ipaddress.ip_address(host).is_loopback
        if not loopback:
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
        """Raise ClusterError, which names the cluster."""
        raise ClusterError(f"--dask {self.name}: {reason}")

    def cores(self):
        """Number of tasks that can run at once, when all workers have come."""
        return self.workers or sum(self.executor.nthreads().values())

    def close(self):
        """Stop what was started."""
        with suppress(Exception):  # whatever is left of it
            self.opened.close()


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
        dashboard_address="127.0.0.1:0",
        security=Security.temporary(),
        silence_logs="CRITICAL",
    )


def condor_cluster(workers, keys):
    """Jobs of HTCondor; at CERN as its batch service wants them."""
    import dask_jobqueue

    if not at_cern():
        options = job_options("htcondor", keys, disk="1GB")
        return submitted(dask_jobqueue.HTCondorCluster(**options), workers)
    import dask_lxplus

    options = job_options("cern", keys)
    options["scheduler_options"] = {
        "port": LXPLUS_PORT,
        "host": socket.gethostname(),
        **options["scheduler_options"],
    }
    return submitted(dask_lxplus.CernCluster(container_runtime="none", **options), workers)


def slurm_cluster(workers, keys):
    """Jobs of Slurm."""
    import dask_jobqueue

    # Without a folder, logs would lie wherever the program was started.
    options = job_options("slurm", keys, log_directory=os.path.join(os.path.dirname(keys), "logs"))
    return submitted(dask_jobqueue.SLURMCluster(**options), workers)


def submitted(cluster, workers):
    """Submit the jobs of a cluster. Raises RuntimeError if the batch system refuses them."""
    from distributed import Status

    async def submit():
        await cluster

    # As cluster.scale does, which however leaves a refusal to a log.
    for _ in range(workers):
        cluster.worker_spec.update(cluster.new_worker_spec())
    try:
        cluster.sync(submit)
    except RuntimeError as error:
        for job in cluster.workers.values():
            job.status = Status.failed  # it would be waited for
        with suppress(Exception):
            cluster.close(timeout=1)
        raise RuntimeError(str(error).strip().splitlines()[-1]) from None
    return cluster


def job_options(section, keys, **defaults):
    """What a job is: one core, 2 GB and what ~/.config/dask/jobqueue.yaml says.

    section: that of the configuration
    keys: folder for the keys of the workers
    defaults: more options, for what the configuration does not say
    """
    import dask.config

    def configured(name, default):
        return dask.config.get(f"jobqueue.{section}.{name.replace('_', '-')}", None) or default

    defaults |= {
        "memory": "2GB",
        "python": sys.executable,
        "scheduler_options": {},
        "job_script_prologue": [],
    }
    options = {name: configured(name, default) for name, default in defaults.items()}
    quiet = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
    options["scheduler_options"] = {**quiet, **options["scheduler_options"]}
    options["job_script_prologue"] = [
        *(f"export {n}={shlex.quote(os.environ[n])}" for n in ENVIRONMENT if n in os.environ),
        *options["job_script_prologue"],
    ]
    return {"cores": 1, "processes": 1, "security": security(keys), **options}


def security(keys):
    """New certificates for scheduler, workers and client, in a folder."""
    from distributed.security import Security

    made = Security.temporary().get_tls_config_for_role("worker")
    files = {}
    for part in ("key", "cert"):
        files[part] = os.path.join(keys, f"{part}.pem")
        with open(files[part], "w", opener=partial(os.open, mode=0o600)) as file:
            file.write(made[part])
    return Security(
        require_encryption=True,
        tls_ca_file=files["cert"],
        **{
            f"tls_{role}_{part}": path
            for role in ("scheduler", "worker", "client")
            for part, path in files.items()
        },
    )


def at_cern():
    """Whether this machine is one of CERN's."""
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
        """Stop what was started."""
        if self.executor is not None:
            with suppress(Exception):
                self.executor.stop()
            self.executor = None
