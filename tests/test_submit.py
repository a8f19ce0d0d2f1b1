"""Submissions from end to end: on this machine and in a real Slurm cluster."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from batch import WORDS, submit_program
from conftest import DEMO, REPOSITORY, SAFETY_NET, assert_nothing_left, read_json, run_program
from slurm import slurm_cluster
from test_run import assert_same_results


def test_second_submission_into_a_folder_is_refused(submit_here, pieces):
    before = sorted(pieces.rglob("*"))
    outcome = submit_here("local", "-s", "ttZ", "-o", pieces)
    assert (outcome.status, outcome.lines) == (
        1,
        [
            f"m3l: {pieces} has a submission already: resubmit or merge it, or give another -o",
        ],
    )
    assert sorted(pieces.rglob("*")) == before


def test_rest_of_an_interrupted_submission_is_named(submit_here, tmp_path):
    (tmp_path / "jobs").mkdir()
    assert submit_here("local", "-s", "ttZ", "-o", tmp_path).lines == [
        f"m3l: {tmp_path} has what an interrupted submission left: remove {tmp_path}/jobs"
    ]


@pytest.mark.parametrize(
    "words, message",
    [
        (("-s", "WY"), "no sample is called 'WY'"),
        (("-r", "SR9"), "no region is called 'SR9'"),
        (("--samples", "none.toml"), "samples file none.toml: No such file or directory"),
        (("-s", "WZ", "--model", "none"), "model "),
    ],
)
def test_bad_input_is_found_before_anything_is_sent(submit_here, tmp_path, words, message):
    outcome = submit_here("local", *words, "-o", tmp_path / "out")
    assert outcome.status == 1 and outcome.lines[0].startswith(f"m3l: {message}"), outcome.err
    assert not (tmp_path / "out").exists()


def test_damaged_file_is_found_before_anything_is_sent(submit_here, tmp_path):
    text = (DEMO / "samples.toml").read_text().split("[[sample]]")
    (block,) = [part for part in text if 'name = "ttZ"' in part]
    (tmp_path / "a.toml").write_text(f"{text[0]}[[sample]]{block}")
    (tmp_path / "ttZ.root").write_bytes((DEMO / "ttZ.root").read_bytes()[:1000])
    (tmp_path / "out").mkdir()
    outcome = submit_here("local", "--samples", tmp_path / "a.toml", "-o", tmp_path / "out")
    assert outcome.status == 1 and "ttZ.root cannot be opened" in outcome.err
    assert_nothing_left(tmp_path / "out")


@pytest.mark.parametrize(
    "words", [(), ("nonsense",), ("local", "--files-per-job", "0"), ("merge",), ("status", "-x")]
)
def test_wrong_usage_is_status_two(submit_here, words):
    assert submit_here(*words).status == 2


def test_status_of_a_finished_submission(submit_here, finished):
    lines = submit_here("status", finished).out.splitlines()
    assert [line.split()[:2] for line in lines[1:-1]] == [
        ["WZ", "3"],
        ["ttZ", "1"],
        ["data", "2"],
        ["all", "6"],
    ]
    assert lines[-1] == f"merged: {finished} is complete"
    assert max(map(len, lines[:-1])) < 80


def test_interrupt_ends_the_jobs_and_resubmit_goes_on(finished, tmp_path):
    out = tmp_path / "out"
    words = ("-s", "ttZ", "--events-per-job", "300")
    process = subprocess.Popen(
        [sys.executable, "-m", "analysis.submit", "local", *words, "-o", out, "-j", "2"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    results = out / "jobs" / "pieces"
    for _ in range(1200):
        if list(results.glob("*/manifest.json")):
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=SAFETY_NET)
    assert process.returncode == 130
    assert err == f"m3l: interrupted; python -m analysis.submit resubmit {out} goes on\n"
    assert not list(results.glob("*.started"))
    outcome = submit_program("resubmit", out)
    assert (outcome.status, outcome.err) == (0, "")
    (table,) = (out / "hdf5").iterdir()
    assert table.read_bytes() == (finished / "hdf5" / table.name).read_bytes()


# --- Slurm ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def slurm():
    with slurm_cluster() as environment:
        yield environment


def queued(environment, *words):
    words = ["squeue", "--noheader", "--array", *words]
    return subprocess.run(words, env=environment, capture_output=True, text=True).stdout.split("\n")


def wait_until_empty(environment):
    for _ in range(600):
        if queued(environment) == [""]:
            return
        time.sleep(0.2)
    pytest.fail("the queue does not get empty:\n" + "\n".join(queued(environment)))


@pytest.mark.slow
def test_jobs_killed_at_random_are_finished_by_resubmit(slurm, tmp_path):
    """Some by Slurm, some with all their processes from outside, as a failing machine would."""
    words = ("-s", "WZ", "data", "--events-per-job", "1500", "--memory", "800")
    one, out = tmp_path / "one", tmp_path / "out"
    assert run_program("-s", "WZ", "data", "-o", one).status == 0
    outcome = submit_program("slurm", *words, "-o", out, **slurm)
    assert (outcome.status, outcome.err) == (0, "")
    record = read_json(out / "jobs/submission.json")
    number = len(record["pieces"])
    assert number >= 8
    assert outcome.out.startswith(f"{number} of {number} pieces sent as array job ")

    draw, killed = random.Random(5), []
    while len(killed) < 4 and queued(slurm, "--format=%j") != [""]:
        started = sorted((out / "jobs/pieces").glob("*.started"))
        if started:
            victim = draw.choice(started)
            killed.append(kill(victim, slurm, by_slurm=len(killed) % 2))
        time.sleep(draw.uniform(0.2, 1))
    assert any(killed)
    wait_until_empty(slurm)
    assert not (out / "run.json").exists()  # the merge job was not started
    refused = submit_program("merge", out, **slurm)
    assert refused.status == 1 and "pieces are not done" in refused.err

    outcome = submit_program("resubmit", out, **slurm)
    assert (outcome.status, outcome.err) == (0, "")
    watched = submit_program("status", out, "--watch", **slurm).out
    assert watched.splitlines()[-2].split() == ["all", str(number), "-", "-", "-", "-"]
    wait_until_empty(slurm)
    table = submit_program("status", out, **slurm).out.splitlines()
    assert table[-1] == f"merged: {out} is complete", "\n".join(table)
    assert_same_results(one, out)
    assert read_json(out / "run.json")["submission"]["pieces"] == number


def kill(started, environment, by_slurm):
    """Kill the job that has left this mark; returns whether it was still there."""
    try:
        pid = int(started.read_text().split()[1])
        variables = Path(f"/proc/{pid}/environ").read_text().split("\0")
        job = dict(line.partition("=")[::2] for line in variables)["SLURM_JOB_ID"]
        if by_slurm:
            return subprocess.run(["scancel", job], env=environment).returncode == 0
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for process in (pid, *map(int, children)):
            os.kill(process, signal.SIGKILL)
        return True
    except (OSError, IndexError, KeyError, ValueError):
        return False


def test_refusal_of_slurm_leaves_nothing(slurm, tmp_path):
    words = (*WORDS, "-o", tmp_path / "out", "--extra=--partition=none")
    outcome = submit_program("slurm", *words, **slurm)
    assert outcome.status == 1 and len(outcome.lines) == 1
    assert outcome.err.startswith("m3l: sbatch refuses: ") and "partition" in outcome.err
    assert not (tmp_path / "out").exists() and queued(slurm) == [""]


def test_reason_to_wait_and_pieces_in_the_queue_are_not_sent_again(slurm, tmp_path):
    out = tmp_path / "out"
    words = ("-s", "ttZ", "-o", out, "--extra=--hold")
    assert submit_program("slurm", *words, **slurm).status == 0
    lines = submit_program("status", out, **slurm).out.splitlines()
    assert lines[1].split() == ["ttZ", "-", "-", "1", "-", "-"]
    assert "waiting 0000 (ttZ): JobHeldUser" in lines
    assert submit_program("resubmit", out, **slurm).out.splitlines() == lines
    subprocess.run(["scancel", "--user=root"], env=slurm, check=True)
    wait_until_empty(slurm)
    assert json.loads((out / "jobs/submission.json").read_text())["backend"] == "slurm"
