"""Files behind root:// URLs, served by a real XRootD server on this machine."""

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from batch import submit_program
from conftest import DEMO

# ROOT takes files on localhost and 127.0.0.1 for local ones and would not ask the server.
HOST = "127.0.0.2"


@pytest.fixture(scope="module")
def server():
    """URL of a folder with VH.root in it."""
    if shutil.which("xrootd") is None:
        pytest.skip("no xrootd (Debian: apt install xrootd-server)")
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data").mkdir()
        shutil.copy(DEMO / "VH.root", folder / "data")
        (folder / "server.cfg").write_text(
            f"xrd.port {port}\nall.export /data\noss.localroot {folder}\n"
            f"all.adminpath {folder}/admin\nall.pidpath {folder}/admin\n"
        )
        user = {}
        if os.getuid() == 0:  # the server refuses to run as root
            user = {"user": "nobody", "extra_groups": []}
            for path in (folder, *folder.rglob("*")):
                path.chmod(0o777)
        command = ["xrootd", "-c", str(folder / "server.cfg"), "-l", str(folder / "log")]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=folder, **user)
        try:
            for _ in range(100):
                with socket.socket() as knock:
                    if knock.connect_ex((HOST, port)) == 0:
                        break
                time.sleep(0.1)
            yield f"root://{HOST}:{port}//data"
        finally:
            process.terminate()
            process.wait(10)


def declare(folder, url):
    text = (DEMO / "samples.toml").read_text().split("[[sample]]")
    (block,) = [part for part in text if 'name = "VH"' in part]
    path = folder / "remote.toml"
    path.write_text(f"{text[0]}[[sample]]{block}".replace("VH.root", f"{url}/VH.root"))
    return path


def test_remote_file_gives_the_rows_of_the_local_one(server, run_here, tmp_path):
    remote = run_here("--samples", declare(tmp_path, server), "-o", tmp_path / "remote")
    local = run_here("-s", "VH", "-o", tmp_path / "local")
    assert (remote.status, local.status) == (0, 0), remote.err + local.err
    (one,), (other,) = (list((tmp_path / n / "hdf5").iterdir()) for n in ("remote", "local"))
    assert one.read_bytes() == other.read_bytes()


def test_jobs_read_remote_files(server, run_here, tmp_path):
    words = ("--samples", declare(tmp_path, server), "--events-per-job", "500")
    jobs = submit_program("local", *words, "-o", tmp_path / "jobs")
    local = run_here("-s", "VH", "-o", tmp_path / "local")
    assert (jobs.status, local.status) == (0, 0), jobs.err + local.err
    (one,), (other,) = (list((tmp_path / n / "hdf5").iterdir()) for n in ("jobs", "local"))
    assert one.read_bytes() == other.read_bytes()
    assert len(list((tmp_path / "jobs" / "jobs" / "pieces").iterdir())) > 1


def test_remote_file_that_is_missing(server, run_here, tmp_path):
    outcome = run_here("--samples", declare(tmp_path, server + "/x"), "-o", tmp_path / "out")
    assert outcome.status == 1
    assert [line for line in outcome.lines if line.startswith("m3l: ")] == [
        f"m3l: sample 'VH': {server}/x/VH.root cannot be opened "
        "(missing, not readable or not a ROOT file)"
    ]
