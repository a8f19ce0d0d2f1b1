"""A Slurm cluster of one node: this machine, with daemons of its own in a temporary folder."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

CONFIGURATION = """\
ClusterName=m3ltest
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
SchedulerType=sched/builtin
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
KillWait=5
MinJobAge=300
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


@contextlib.contextmanager
def slurm_cluster():
    """Run a cluster; yields the environment in which its commands work."""
    for program in ("slurmctld", "slurmd", "sbatch", "munged"):
        if not shutil.which(program):
            pytest.skip(f"no {program} (Debian: apt install slurm-wlm munge)")
    if os.getuid() != 0:
        pytest.skip("the daemons of Slurm need root")
    with tempfile.TemporaryDirectory(prefix="slurm-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        for part in ("state", "spool"):
            (folder / part).mkdir()
        run_munge(folder / "munge", stack)
        host = socket.gethostname().partition(".")[0]
        controller, daemon = free_ports(2)
        configuration = folder / "slurm.conf"
        configuration.write_text(
            CONFIGURATION.format(
                folder=folder,
                host=host,
                controller=controller,
                daemon=daemon,
                cpus=len(os.sched_getaffinity(0)),
                memory=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20,
            )
        )
        environment = {**os.environ, "SLURM_CONF": str(configuration)}
        for words in (["slurmctld", "-D"], ["slurmd", "-D", "-N", host]):
            start(stack, words, folder / f"{words[0]}.out", env=environment)
        for _ in range(150):
            words = ["sinfo", "--noheader", "--format=%T"]
            done = subprocess.run(words, env=environment, capture_output=True, text=True)
            if done.stdout.strip() in ("idle", "mixed", "allocated"):
                break
            time.sleep(0.2)
        else:
            logs = [path.read_text()[-1500:] for path in sorted(folder.glob("slurm*.log"))]
            pytest.fail("the Slurm cluster does not start:\n" + done.stderr + "\n".join(logs))
        yield environment


def run_munge(folder, stack):
    """The daemon that signs Slurm's messages."""
    folder.mkdir()
    key = folder / "key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    user = pwd.getpwnam("munge")
    for path in (folder, key):
        os.chown(path, user.pw_uid, user.pw_gid)
    words = ["munged", "--foreground", f"--key-file={key}", f"--socket={folder}/socket"]
    words += [f"--{what}-file={folder}/{what}" for what in ("pid", "log", "seed")]
    start(stack, words, None, user=user.pw_uid, group=user.pw_gid, extra_groups=[])
    for _ in range(50):
        if (folder / "socket").exists():
            return
        time.sleep(0.1)
    pytest.fail("munged does not start")


def start(stack, words, log, **how):
    """Start a daemon that ends with the stack."""
    with open(log or os.devnull, "w") as file:
        process = subprocess.Popen(words, stdout=file, stderr=file, **how)
    stack.callback(process.wait, 30)
    stack.callback(process.terminate)


def free_ports(number):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
