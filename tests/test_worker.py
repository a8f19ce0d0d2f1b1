"""The script that runs a piece: what it leaves when it succeeds, fails or is killed."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import DEMO, SAFETY_NET, read_json


def start(folder, name="0003", **environment):
    return subprocess.Popen(
        ["bash", folder / "jobs/job.sh", name],
        cwd="/",
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(folder, name="0003", **environment):
    """Run a piece in the environment that its script sets up; (status, what it printed)."""
    job = start(folder, name, **environment)
    text, _ = job.communicate(timeout=SAFETY_NET)
    return job.returncode, text


def left(folder, name="0003"):
    found = os.listdir(folder / "jobs/pieces")
    return sorted(entry for entry in found if name in entry)


@pytest.fixture
def open_piece(pieces):
    """A submission whose piece 0003, ttZ, is not done."""
    shutil.rmtree(pieces / "jobs/pieces/0003")
    return pieces


def without_compiler(folder):
    """Leave the jobs only the programs that their script uses."""
    tools = folder / "tools"
    tools.mkdir()
    for name in ("mkdir", "rm", "mv", "dirname", "sh"):
        (tools / name).symlink_to(shutil.which(name))
    with open(folder / "jobs/environment.sh", "a") as file:
        file.write(f"export PATH={tools}\n")


def test_piece_is_the_same_again_and_replaces_a_failure(open_piece, finished):
    (open_piece / "jobs/pieces/0003.failed").write_text("the disk was full\n")
    without_compiler(open_piece)
    status, text = run(open_piece)
    assert status == 0 and "m3l: " not in text, text
    assert left(open_piece) == ["0003"]
    one, other = (folder / "jobs/pieces/0003" for folder in (open_piece, finished))
    (table,) = (path.name for path in other.glob("*.hdf5"))
    assert (one / table).read_bytes() == (other / table).read_bytes()
    same = ("piece", "cutflow", "tables", "sample", "versions", "helpers")
    manifests = [read_json(folder / "manifest.json") for folder in (one, other)]
    assert all(manifests[0][key] == manifests[1][key] for key in same)


@pytest.mark.slow
def test_libraries_for_another_root_are_noticed(open_piece):
    toolchain = open_piece / "jobs/cache/toolchain"
    made_for, _, rest = toolchain.read_text().partition("\n")
    toolchain.write_text(f"ROOT 6.28/04 on Linux x86_64\n{rest}")
    without_compiler(open_piece)
    status, text = run(open_piece)
    warnings = [line for line in text.splitlines() if line.startswith("m3l: warning: ")]
    assert status == 0 and left(open_piece) == ["0003"]
    assert len(warnings) == 2 and "cannot be compiled" in warnings[1]
    assert warnings[0] == (
        f"m3l: warning: the libraries in {open_piece}/jobs/cache were made for ROOT 6.28/04 on "
        f"Linux x86_64, this is {made_for}: compiling into a temporary folder"
    )


def test_failure_is_a_line(open_piece):
    (table,) = (open_piece / "jobs/code/helpers").glob("weights.h")
    table.write_text(table.read_text() + "// changed\n")
    status, text = run(open_piece)
    reason = f"the helpers in {open_piece}/jobs/code are not those submitted"
    assert status == 1 and f"m3l: {reason}" in text
    assert left(open_piece) == ["0003.failed"]
    assert (open_piece / "jobs/pieces/0003.failed").read_text().startswith(f"{reason} (on ")


def test_scratch_that_cannot_be_written_is_a_line(open_piece):
    job = open_piece / "jobs/job.sh"
    job.write_text(job.read_text().replace("#!/bin/bash", "#!/bin/bash\nulimit -f 1", 1))
    status, text = run(open_piece)
    assert status == 1 and "Traceback" not in text
    assert "File too large" in (open_piece / "jobs/pieces/0003.failed").read_text()


def test_what_a_killed_attempt_has_left_goes(tmp_path):
    from analysis.batch.worker import deliver

    scratch, results = tmp_path / "scratch", tmp_path / "pieces"
    for folder in (scratch, results / ".node1-99-0003", results / ".node1-99-0004"):
        folder.mkdir(parents=True)
        (folder / "table").write_text("rows")
    deliver(scratch, results / "0003")
    assert sorted(path.name for path in results.iterdir()) == [".node1-99-0004", "0003"]


def test_input_that_changed_after_the_submission(open_piece, tmp_path):
    record = open_piece / "jobs/submission.json"
    copy = tmp_path / "ttZ.root"
    record.write_text(record.read_text().replace(str(DEMO / "ttZ.root"), str(copy)))
    shutil.copy(DEMO / "VH.root", copy)
    assert run(open_piece)[0] == 1
    failure = (open_piece / "jobs/pieces/0003.failed").read_text()
    assert failure.startswith(f"sample 'ttZ': {copy} has changed since the submission (")


def wait_for(condition):
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it does not happen")


def children(pid):
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def python_of(job):
    """The process of Python that a script has started, once it runs."""

    def found():
        return [p for p in children(job.pid) if "analysis.batch.worker" in words(p)]

    wait_for(found)
    return int(found()[0])


def words(pid):
    return Path(f"/proc/{pid}/cmdline").read_text()


def test_time_limit_is_a_line(open_piece):
    job = start(open_piece)
    python = python_of(job)
    wait_for(lambda: "libCore" in Path(f"/proc/{python}/maps").read_text())
    job.send_signal(signal.SIGTERM)
    job.communicate(timeout=SAFETY_NET)
    assert job.returncode != 0 and left(open_piece) == ["0003.failed"]
    assert "ended" in (open_piece / "jobs/pieces/0003.failed").read_text()


def test_killed_python_is_a_line(open_piece):
    job = start(open_piece)
    os.kill(python_of(job), signal.SIGKILL)
    job.communicate(timeout=SAFETY_NET)
    assert job.returncode == 137 and left(open_piece) == ["0003.failed"]
    failure = (open_piece / "jobs/pieces/0003.failed").read_text()
    assert failure.startswith("ended with status 137, killed? out of memory? (on ")


def test_killed_script_leaves_no_final_name(open_piece):
    from analysis.batch.submission import MISSING, RUNNING, Submission

    job = start(open_piece)
    python = python_of(job)
    assert [s.state for s in Submission(open_piece).states() if s.piece.name == "0003"] == [RUNNING]
    job.kill()
    os.kill(python, signal.SIGKILL)
    job.communicate(timeout=SAFETY_NET)
    assert left(open_piece) == ["0003.started"]
    assert [s.state for s in Submission(open_piece).states() if s.piece.name == "0003"] == [MISSING]
