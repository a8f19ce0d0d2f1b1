"""What is sent to HTCondor and to the grid, as their own programs read it."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import warnings

import pytest
from batch import WORDS, piece_names, stand_in
from conftest import DEMO, SAFETY_NET, read_json

from analysis.batch.slurm import Slurm, ranges


def test_ranges():
    assert ranges([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"
    assert ranges([3]) == "3"


def test_more_pieces_than_an_array_of_slurm_takes():
    names = ["0003", "0999", "1000", "2500"]
    assert Slurm.arrays(None, names) == {0: [3, 999], 1000: [0], 2000: [500]}


@pytest.mark.parametrize("name, command", [("slurm", "sbatch"), ("condor", "condor_submit")])
def test_missing_command_is_found_before_anything_is_written(
    submit_here, tmp_path, monkeypatch, name, command
):
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    outcome = submit_here(name, *WORDS, "-o", tmp_path / "out")
    assert outcome.status == 1 and len(outcome.lines) == 1
    assert outcome.err.startswith(f"m3l: there is no command {command} here, which ")
    assert not (tmp_path / "out").exists()


# --- HTCondor ---------------------------------------------------------------------------------


@pytest.fixture
def condor(tmp_path, monkeypatch):
    """Programs that take what they are given; condor_q prints the file `queue`."""
    log = tmp_path / "sent"
    submit = f'printf "%s\\n" "$(basename $0)" "$@" >>{log}'
    path = stand_in(
        tmp_path / "bin",
        condor_submit=submit,
        condor_submit_dag=submit,
        condor_q=f"cat {tmp_path}/queue 2>/dev/null; true",
    )
    monkeypatch.setenv("PATH", path)
    return log


def parsed(path):
    """Job descriptions that HTCondor makes of a submit file, in which $(...) is replaced."""
    htcondor = pytest.importorskip("htcondor", reason="pip install 'htcondor<25'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # there is no configuration
        return [dict(job) for job in htcondor.Submit(path.read_text()).jobs()]


@pytest.fixture
def htcondor():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("htcondor", reason="no HTCondor (pip install 'htcondor<25')")


def test_condor_jobs_as_htcondor_reads_them(submit_here, condor, htcondor, tmp_path):
    out = tmp_path / "a b" / "out"
    logs = tmp_path / "logs"
    words = ("--memory", "1500", "--cores", "2", "--flavour", "longlunch", "--logs", logs)
    extra = ("--extra", '+AccountingGroup = "group_u_ATLAST3.all"')
    outcome = submit_here("condor", *WORDS, "-o", out, *words, *extra)
    assert (outcome.status, outcome.err) == (0, "")
    record = read_json(out / "jobs/submission.json")
    sent = logs / record["id"] / "1"
    jobs = parsed(sent / "jobs.sub")
    assert [job["M3LPiece"] for job in jobs] == [piece["name"] for piece in record["pieces"]]
    for job, piece in zip(jobs, record["pieces"], strict=True):
        assert job["Cmd"] == "/bin/bash"
        # HTCondor escapes a space by a backslash or quotes; a shell reads it back.
        assert job["Arguments"].replace("'", "") == f"{out}/jobs/job.sh {piece['name']}"
        assert (job["RequestMemory"], job["RequestCpus"]) == (1500, 2)
        assert job["JobFlavour"] == "longlunch" and "MaxRuntime" not in job
        assert job["AccountingGroup"] == "group_u_ATLAST3.all"
        assert job["M3LSubmission"] == record["id"]
        assert job["ShouldTransferFiles"] == "YES" and job["TransferOutput"] == ""
        assert job["Out"] == f"{sent}/{piece['name']}.out"
        assert job["Err"] == f"{sent}/{piece['name']}.err"
    (merge,) = parsed(sent / "merge.sub")
    assert merge["Arguments"].replace("'", "") == f"{out}/jobs/merge.sh"
    assert "M3LPiece" not in merge
    assert condor.read_text().splitlines() == [
        "condor_submit_dag",
        "-append",
        f'+M3LSubmission="{record["id"]}"',
        f"{sent}/jobs.dag",
    ]
    dag = (sent / "jobs.dag").read_text().splitlines()
    assert dag == [
        f"JOB pieces {sent}/jobs.sub",
        f"JOB merge {sent}/merge.sub",
        "PARENT pieces CHILD merge",
    ]


def test_condor_jobs_that_carry_everything(submit_here, condor, htcondor, tmp_path, finished):
    """A job runs in an empty folder, and its archive is found where HTCondor puts it."""
    out, node = tmp_path / "out", tmp_path / "node"
    words = ("-s", "ttZ", "--spool", "--minutes", "30")
    assert submit_here("condor", *words, "-o", out).status == 0
    record = read_json(out / "jobs/submission.json")
    (job,) = parsed(out / "jobs/logs" / record["id"] / "1" / "jobs.sub")
    assert condor.read_text().splitlines()[:2] == ["condor_submit", "-spool"]
    assert job["MaxRuntime"] == 1800 and job["Iwd"] == f"{out}/jobs/pieces"
    assert job["TransferInput"] == f"{out}/jobs/carried.tar.gz"
    assert (job["Arguments"], job["TransferOutput"]) == ("0000", "0000.tar")
    node.mkdir()
    for path in (job["Cmd"], job["TransferInput"]):
        shutil.copy(path, node)
    done = subprocess.run(
        ["bash", f"{node}/carried.sh", job["Arguments"]], cwd=node, timeout=SAFETY_NET
    )
    assert done.returncode == 0
    shutil.copy(node / job["TransferOutput"], job["Iwd"])
    assert submit_here("merge", out).status == 0
    (table,) = (out / "hdf5").iterdir()
    assert table.read_bytes() == (finished / "hdf5" / table.name).read_bytes()


def test_archive_of_a_job_that_failed_says_why(submit_here, condor, tmp_path):
    out, node = tmp_path / "out", tmp_path / "node"
    assert submit_here("condor", "-s", "ttZ", "--spool", "-o", out).status == 0
    node.mkdir()
    (node / "carried.tar.gz").write_text("half")
    words = ["bash", out / "jobs/carried.sh", "0000"]
    assert (
        subprocess.run(words, cwd=node, stderr=subprocess.DEVNULL, timeout=SAFETY_NET).returncode
        == 0
    )
    shutil.copy(node / "0000.tar", out / "jobs/pieces")
    lines = submit_here("status", out).out.splitlines()
    assert any(line.startswith("failed 0000 (ttZ): carried.tar.gz cannot") for line in lines)


def test_condor_queue_is_asked(submit_here, condor, tmp_path):
    out = tmp_path / "out"
    assert submit_here("condor", *WORDS, "-o", out).status == 0
    queue = tmp_path / "queue"

    def table():
        return submit_here("status", out).out.splitlines()

    def row():
        return [line for line in table() if line.startswith("all")][0].split()[1:]

    queue.write_text("undefined 2 undefined\n")  # DAGMan, which has not sent the jobs yet
    assert row() == ["-", "-", "6", "-", "-"]
    queue.write_text("undefined 2 undefined\n0000 2 undefined\n0001 1 undefined\n")
    assert row() == ["-", "1", "1", "-", "4"]
    queue.write_text("0003 5 Error from slot1: no such file\n")
    assert row() == ["-", "-", "1", "-", "5"]
    assert "waiting 0003 (ttZ): held: Error from slot1: no such file" in table()
    stand_in(tmp_path / "bin", condor_q="echo 'Failed to connect' >&2; exit 1")
    assert "condor_q refuses: Failed to connect; what is queued is not known" in table()


def test_condor_sends_missing_pieces_that_are_not_queued(submit_here, condor, tmp_path):
    out = tmp_path / "out"
    assert submit_here("condor", *WORDS, "-o", out).status == 0
    (tmp_path / "queue").write_text("0000 2 undefined\n0005 1 undefined\n")
    (out / "jobs/pieces/0002.failed").write_text("no such file\n")
    outcome = submit_here("resubmit", out)
    assert outcome.status == 0 and outcome.out.startswith("4 of 6 pieces sent as ")
    (listed,) = (out / "jobs/logs").glob("*/2/pieces.txt")
    assert listed.read_text().split() == ["0001", "0002", "0003", "0004"]
    assert piece_names(out) == []


def test_refusal_of_a_site_leaves_nothing(submit_here, condor, tmp_path):
    stand_in(tmp_path / "bin", condor_submit_dag="echo 'ERROR: not on this schedd' >&2; exit 1")
    outcome = submit_here("condor", *WORDS, "-o", tmp_path / "out")
    assert (outcome.status, outcome.lines) == (
        1,
        ["m3l: condor_submit_dag refuses: ERROR: not on this schedd"],
    )
    assert not (tmp_path / "out").exists()


def test_logs_on_eos_are_refused(submit_here, condor, tmp_path):
    outcome = submit_here("condor", *WORDS, "-o", "/eos/user/m/me/out")
    assert outcome.status == 1 and "--logs ~/m3l-logs" in outcome.err and len(outcome.lines) == 1


# --- the grid ---------------------------------------------------------------------------------

GRID = """\
luminosity_ifb = 3.2

[[sample]]
name = "ttZ"
process = "ttV"
kind = "background"
schema = "susy"
tree = "nominal"
files = ["rucio://user.me:user.me.ttZ.ntuple/"]
xsec_pb = {xsec}
{normalisation}

[[sample]]
name = "data"
process = "data"
kind = "data"
schema = "susy"
tree = "nominal"
files = ["rucio://user.me:user.me.data.ntuple/"]
"""

VIEW = ("--view", "LCG_107/x86_64-el9-gcc13-opt")

PRUN = """\
export PANDA_AUTH=x509_no_grid PANDA_NICKNAME=me PANDA_BEHIND_REAL_LB=1
exec {python} -W ignore -c 'from pandaclient.PrunScript import main; main()' "$@" --noSubmit \\
    --dumpTaskParams {folder}/task-$$.json"""

RUCIO = """\
case "$3" in
*ttZ*) echo "user.me:ttZ.root,A1B2,ad:1a2b,177623,1234" ;;
*data*) for n in 1 2; do echo "user.me:data.$n.root,A1B2,ad:1a2b,786972,1234"; done ;;
esac"""


@pytest.fixture
def grid(tmp_path, monkeypatch):
    """The real prun, which sends nothing, and a rucio that knows two datasets."""
    pytest.importorskip("pandaclient", reason="no PanDA client (pip install panda-client)")
    prun = PRUN.format(python=sys.executable, folder=tmp_path)
    monkeypatch.setenv("PATH", stand_in(tmp_path / "bin", prun=prun, rucio=RUCIO))
    return tmp_path


@pytest.fixture
def grid_samples(tmp_path):
    """Samples file of what the demo has on the grid."""
    import tomllib

    (ttz,) = (
        sample
        for sample in tomllib.loads((DEMO / "samples.toml").read_text())["sample"]
        if sample["name"] == "ttZ"
    )
    import uproot

    with uproot.open(DEMO / "ttZ.root") as file:
        total = ttz.get("sum_of_weights") or float(file["meta/sumw"].array(library="np").sum())
    factors = "".join(f"{k} = {ttz[k]}\n" for k in ("k_factor", "filter_efficiency") if k in ttz)
    path = tmp_path / "grid.toml"
    path.write_text(
        GRID.format(xsec=ttz["xsec_pb"], normalisation=f"{factors}sum_of_weights = {total!r}")
    )
    return path


def test_grid_tasks_as_panda_reads_them(submit_here, grid, grid_samples):
    out = grid / "out"
    words = ("--samples", grid_samples, "-o", out, "--files-per-job", "3", *VIEW)
    outcome = submit_here("grid", *words, "--out-ds", "user.me.m3l.v1", "--cores", "8")
    assert (outcome.status, outcome.err) == (0, "")
    tasks = [read_json(path) for path in grid.glob("task-*.json")]
    tasks = {task["taskName"]: task for task in tasks}
    assert set(tasks) == {"user.me.m3l.v1.ttZ/", "user.me.m3l.v1.data/"}
    task = tasks["user.me.m3l.v1.ttZ/"]
    assert (task["nFilesPerJob"], task["coreCount"], task["ramCount"]) == (3, 8, 2000)
    parameters = json.dumps(task["jobParameters"])
    assert "user.me.m3l.v1.ttZ_piece.tar/" in parameters and "user.me.ttZ.ntuple" in parameters
    assert "grid.sh%20ttZ%20" in parameters
    assert "bash%20jobs/build.sh" in json.dumps(task)
    with tarfile.open(out / "jobs/carried.tar.gz") as archive:
        names = set(archive.getnames())
    assert {"jobs/grid.sh", "jobs/build.sh", "jobs/job.sh", "jobs/submission.json"} <= names
    assert {"jobs/code/analysis/batch/worker.py", "jobs/code/helpers/rmm.cxx"} <= names


@pytest.mark.parametrize(
    "name", ["me.m3l", "user.me", "user.me.a b", "user.me.a;b", "user.me.é", "user.me." + 130 * "x"]
)
def test_bad_name_of_an_output_dataset(submit_here, grid, grid_samples, name):
    out = grid / "out"
    outcome = submit_here("grid", "--samples", grid_samples, "-o", out, *VIEW, "--out-ds", name)
    assert outcome.status == 1 and len(outcome.lines) == 1
    assert not out.exists() and not list(grid.glob("task-*.json"))


def test_nickname_of_someone_else_is_refused_by_panda(submit_here, grid, grid_samples):
    words = ("--samples", grid_samples, "-o", grid / "out", *VIEW)
    outcome = submit_here("grid", *words, "--out-ds", "user.you.m3l")
    assert outcome.status == 1 and outcome.err.startswith("m3l: prun refuses: ")
    assert not (grid / "out").exists()


def test_samples_that_cannot_be_normalised_on_the_grid(submit_here, grid, tmp_path):
    (tmp_path / "bad.toml").write_text(GRID.format(xsec=1.0, normalisation=""))
    words = ("--samples", tmp_path / "bad.toml", "-o", grid / "out", *VIEW)
    outcome = submit_here("grid", *words, "--out-ds", "user.me.m3l")
    assert (outcome.status, outcome.lines) == (
        1,
        [
            "m3l: sample 'ttZ': give its xsec_pb and sum_of_weights, or normalised = true; "
            "files on the grid cannot be looked at before"
        ],
    )
    outcome = submit_here("grid", "-s", "data", "-o", grid / "out", *VIEW, "--out-ds", "user.me.x")
    assert outcome.status == 1 and "is not on the grid: give rucio://" in outcome.err
    assert not (grid / "out").exists()


def run_on_grid(out, node, cache, sample, *files):
    """What a grid job does: unpack the tarball and execute its words in a folder with the files.

    cache: what stands for the work of build.sh
    """
    node.mkdir()
    with tarfile.open(out / "jobs/carried.tar.gz") as archive:
        archive.extractall(node)
    environment = node / "jobs/environment.sh"  # there is no /cvmfs here
    lines = [line for line in environment.read_text().splitlines() if "/cvmfs/" not in line]
    environment.write_text("\n".join(lines) + "\n")
    shutil.copytree(cache, node / "jobs/cache", dirs_exist_ok=True)
    tools = stand_in(node / "bin", python3=f'exec {shlex.quote(sys.executable)} "$@"')
    subprocess.run(
        ["bash", "jobs/grid.sh", sample, ",".join(files)],
        cwd=node,
        env={**os.environ, "PATH": tools},
        timeout=SAFETY_NET,
        check=True,
    )
    return node / "piece.tar"


@pytest.mark.filterwarnings("default:.*more than once")  # both files of data hold the same events
def test_downloaded_pieces_are_merged(submit_here, grid, grid_samples, finished):
    out = grid / "out"
    words = ("--samples", grid_samples, "-o", out, *VIEW, "--out-ds", "user.me.m3l")
    assert submit_here("grid", *words).status == 0
    cache = finished / "jobs/cache"
    for number, (sample, files) in enumerate(
        {"ttZ": ["ttZ.root"], "data": ["data.1.root", "data.2.root"]}.items()
    ):
        node = grid / f"node{number}"
        (grid / "files").mkdir(exist_ok=True)
        for name in files:
            shutil.copy(DEMO / f"{sample}.root", grid / "files" / name)
        # The second file of data is missing on the first node.
        taken = [str(grid / "files" / name) for name in files[:1]]
        shutil.copy(
            run_on_grid(out, node, cache, sample, *taken), out / f"jobs/pieces/{number}.tar"
        )
    refused = submit_here("merge", out)
    assert refused.status == 1 and "1 of 3 pieces are not done (1 missing)" in refused.err
    lines = submit_here("status", out).out.splitlines()
    assert "missing data-rest (data): 1 files were not read" in lines
    second = str(grid / "files" / "data.2.root")
    shutil.copy(run_on_grid(out, grid / "node2", cache, "data", second), out / "jobs/pieces/2.tar")
    outcome = submit_here("merge", out)
    assert (
        outcome.status == 0 and "1062 data events of SR3L are there more than once" in outcome.err
    )
    name = "ttZ_3lep_df_forML_bkg_signal_fromRDF.hdf5"
    assert (out / "hdf5" / name).read_bytes() == (finished / "hdf5" / name).read_bytes()
    merged, alone = read_json(out / "cutflow.json")["SR3L"], read_json(finished / "cutflow.json")
    assert merged["ttZ"] == alone["SR3L"]["ttZ"]
    # The file of data was read under two names.
    entries = [row["entries"] for row in alone["SR3L"]["data"]]
    assert [row["entries"] for row in merged["data"]] == [2 * n for n in entries]
