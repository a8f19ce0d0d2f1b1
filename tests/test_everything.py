"""The whole chain: its steps, what is up to date, and what kills and mistakes leave.

Most tests have a chain of small Python programs in place of the real one.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import REPOSITORY, SAFETY_NET, run_program

from analysis import everything
from analysis.errors import InputError, OutputError
from analysis.everything import Record, StepError, record_digest, run_all
from analysis.steps import CHECKOUT, Choices, Step, fitted, sources, steps_of

# A step: adds up the numbers in what it reads and writes the sum, after a while.
ADD = """
import os, sys, time
out, name, *read = sys.argv[1:]
with open(os.path.join(out, "ran"), "a") as log:
    print(name, flush=True, file=log)
total = sum(int(open(os.path.join(out, each)).read()) for each in read)
time.sleep({pause})
with open(os.path.join(out, name + ".new"), "w") as file:
    print(total + 1, file=file)
os.replace(os.path.join(out, name + ".new"), os.path.join(out, name))
print("wrote", name)
"""
CHAIN = {"a": ("start",), "b": ("start",), "ab": ("a", "b"), "report/index.html": ("ab",)}


def fake(out, pause=0, code=ADD):
    """Steps that add numbers, in a folder that has the first one."""
    (out / "report").mkdir(parents=True, exist_ok=True)
    if not (out / "start").exists():
        (out / "start").write_text("1")
    code = code.replace("{pause}", str(pause))
    return [
        Step(name, ("-c", code, str(out), name, *reads), reads, (name,), ("analysis.places",), {})
        for name, reads in CHAIN.items()
    ]


def ran(out):
    """Names of the steps that ran, since the last call."""
    log = out / "ran"
    names = log.read_text().split() if log.exists() else []
    log.unlink(missing_ok=True)
    return names


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


# --- the table --------------------------------------------------------------------------------


@pytest.mark.parametrize("chosen", [{}, {"fast": True}, {"signals": False}, {"threads": 3}])
def test_every_step_reads_what_an_earlier_one_makes(chosen):
    made = set()
    for step in steps_of(Choices("OUT", **chosen)):
        assert set(step.reads) <= made, step.name
        assert not set(step.makes) & made, step.name
        made |= set(step.makes)
    assert "report/index.html" in made


def test_commands_are_those_of_the_program():
    import run_rdf
    from analysis.stats.__main__ import parser as of_stats
    from ml.__main__ import parser as of_ml
    from plotting.__main__ import parser as of_plotting

    parsers = {"ml": of_ml, "analysis.stats": of_stats, "plotting": of_plotting}
    regions = ("SR_search", "CR_WZ")
    for fast in (False, True):
        chosen = Choices("OUT", ("-r", *regions), regions, (), True, 2, True, True, fast)
        for step in steps_of(chosen):
            first, *words = step.words
            make = run_rdf.parser if first == "run_rdf.py" else parsers[words.pop(0)]
            assert getattr(make().parse_args(words), "output", "OUT").__str__() == "OUT"


def test_fast_makes_less_and_without_signals_there_are_no_limits():
    names = [step.name for step in steps_of(Choices("OUT"))]
    assert names[0] == "tables" and names[-1] == "page" and "limits" in names and "study" in names
    fast = [step.name for step in steps_of(Choices("OUT", fast=True))]
    assert "study" not in fast and "limits" in fast
    none = [step.name for step in steps_of(Choices("OUT", signals=False))]
    assert not {"study", "workspace", "limits"} & set(none)
    assert any("no limits" in note for note in Choices("OUT", signals=False).notes())
    assert not [*Choices("OUT").notes()]


def test_detectors_are_trained_and_scored_in_the_order_of_the_options():
    steps = {step.name: step for step in steps_of(Choices("OUT", detectors=("small", "pca")))}
    assert [name for name in steps if name.startswith("train")] == ["train small", "train pca"]
    assert "small" in steps["workspace"].words and "pca" not in steps["workspace"].words
    assert {"scores/small/", "scores/pca/"} <= set(steps["study"].reads)


def test_unknown_detector_is_told_before_the_first_step(out):
    outcome = run_program("--all", "--detector", "pca", "tial", "-o", out)
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.lines == ["m3l: unknown detector 'tial', did you mean 'tail'?"]
    assert not out.exists()


def test_regions_that_are_fitted_share_no_events_with_the_first():
    assert fitted(()) == ("SR3L",)
    assert fitted(("SR3L", "CR_WZ", "SR2L")) == ("SR3L",)
    assert fitted(("SR_search", "CR_WZ", "SR3L", "VR_WZ")) == ("SR_search", "CR_WZ", "VR_WZ")


def test_sources_are_those_that_are_imported():
    of_ml = {str(path.relative_to(CHECKOUT)) for path in sources(("ml.__main__",))}
    assert {"ml/__main__.py", "ml/detectors/twin.py", "analysis/errors.py"} <= of_ml
    assert not [name for name in of_ml if name.startswith(("plotting", "analysis/stats"))]
    assert "analysis/processes.py" not in of_ml  # colours
    pictures = {str(path.relative_to(CHECKOUT)) for path in sources(("plotting.__main__",))}
    assert {"plotting/style.py", "plotting/report.html"} <= pictures
    assert not [name for name in pictures if name.startswith("ml")]


def test_table_needs_no_packages():
    code = "import sys, analysis.steps; sys.exit('numpy' in sys.modules or 'ROOT' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY).returncode == 0


# --- what is up to date -----------------------------------------------------------------------


def test_second_time_nothing_runs(out, capsys):
    assert run_all(fake(out), out) == out / "report/index.html"
    assert ran(out) == [*CHAIN]
    assert (out / "report/index.html").read_text() == "6\n"
    assert capsys.readouterr().out.splitlines()[-1] == str(out / "report/index.html")
    run_all(fake(out), out)
    assert ran(out) == []
    assert capsys.readouterr().out.count("up to date") == 5  # also in the sum
    run_all(fake(out), out, force=True)
    assert ran(out) == [*CHAIN]


def test_times_do_not_matter_but_content_does(out):
    run_all(fake(out), out)
    ran(out)
    for path in (out / "start", out / "a", out / "ab"):
        os.utime(path)
    run_all(fake(out), out)
    assert ran(out) == []
    (out / "start").write_text("2")
    run_all(fake(out), out)
    assert ran(out) == [*CHAIN]


@pytest.mark.parametrize("name", ["b", "ab", "report/index.html"])
def test_product_that_is_gone_or_edited_is_made_again(out, name, capsys):
    run_all(fake(out), out)
    before = (out / name).read_text()
    ran(out)
    for spoil in (lambda: (out / name).unlink(), lambda: (out / name).write_text("7")):
        spoil()
        run_all(fake(out), out)
        assert ran(out) == [name]  # what reads it finds the same as before
        assert (out / name).read_text() == before
        assert f"{name} missing or changed" in capsys.readouterr().out


def test_other_command_runs_its_step_and_what_depends_on_the_result(out):
    run_all(fake(out), out)
    ran(out)
    steps = fake(out)
    steps[1] = replace(steps[1], words=(*steps[1].words, "a"))
    run_all(steps, out)
    assert ran(out) == ["b", "ab", "report/index.html"]


def test_other_program_runs_only_its_steps(out, monkeypatch, tmp_path):
    file = tmp_path / "style.py"
    file.write_text("LINES = 1")
    real = everything.sources
    monkeypatch.setattr(
        everything, "sources", lambda m: (file,) if m == ("plotting.style",) else real(m)
    )
    monkeypatch.setattr(everything, "CHECKOUT", REPOSITORY)
    steps = fake(out)
    steps[-1] = replace(steps[-1], program=("plotting.style",))
    monkeypatch.setattr(everything, "checksum", lambda path: path.read_text())
    monkeypatch.setattr(type(file), "relative_to", lambda path, _: path, raising=False)
    run_all(steps, out)
    ran(out)
    file.write_text("LINES = 2")
    run_all(steps, out)
    assert ran(out) == ["report/index.html"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "steps": {"a": {}}}', "\0"])
def test_damaged_record_counts_as_none(out, text):
    run_all(fake(out), out)
    ran(out)
    (out / everything.STEPS).write_text(text)
    run_all(fake(out), out)
    assert ran(out) == [*CHAIN]


def test_steps_see_of_run_json_what_they_depend_on(tmp_path):
    record = {
        "command": ["run_rdf.py"],
        "threads": 1,
        "luminosity_ifb": 3.2,
        "processes": [{"name": "WZ", "label": "WZ", "colour": "red"}],
        "features": [{"name": "m", "expression": "m_3l", "label": "mass", "binning": {"bins": 4}}],
        "samples": [{"name": "WZ", "key": "1", "checksums": {"SR3L": "2"}}],
    }
    steps = {step.name: step for step in steps_of(Choices("OUT"))}

    def seen(name, change=lambda record: None):
        changed = json.loads(json.dumps(record))
        change(changed)
        (tmp_path / "run.json").write_text(json.dumps(changed))
        return record_digest(tmp_path / "run.json", steps[name])

    def changed_for(change):
        return [n for n in ("train portfolio", "study", "page") if seen(n) != seen(n, change)]

    def set_in(name, key, value):
        return lambda record: record[name][0].update({key: value})

    assert changed_for(lambda record: record.update(threads=7, command=[])) == []
    assert changed_for(set_in("processes", "colour", "blue")) == ["page"]
    assert changed_for(set_in("samples", "key", "3")) == []
    assert changed_for(set_in("features", "label", "m")) == ["study", "page"]
    everyone = ["train portfolio", "study", "page"]
    assert seen("limits") != seen("limits", lambda record: record.update(threads=7))
    assert changed_for(set_in("features", "expression", "2 * m_3l")) == everyone
    assert changed_for(set_in("samples", "checksums", {"SR3L": "4"})) == everyone
    assert changed_for(lambda record: record.update(luminosity_ifb=1)) == everyone


# --- what goes wrong --------------------------------------------------------------------------


def test_step_that_fails_is_named_and_what_is_complete_stays(out, capfd):
    steps = fake(out)
    steps[2] = replace(steps[2], words=("-c", "import sys; sys.exit('m3l: no luck')"))
    with pytest.raises(StepError, match=r"step 'ab' failed \(exit status 1, see above\)") as error:
        run_all(steps, out)
    assert len(error.value.problems) == 1
    assert capfd.readouterr().err == "m3l: no luck\n"
    assert ran(out) == ["a", "b"]
    run_all(fake(out), out)
    assert ran(out) == ["ab", "report/index.html"]


def test_step_that_crashes_is_named(out):
    steps = fake(out)
    steps[0] = replace(steps[0], words=("-c", "import os; os.abort()"))
    with pytest.raises(StepError, match=r"step 'a' failed \(Aborted: crashed"):
        run_all(steps, out)


def test_step_that_makes_nothing_is_not_complete(out):
    steps = fake(out)
    steps[0] = replace(steps[0], words=("-c", ""))
    with pytest.raises(OutputError, match="step 'a' did not make a"):
        run_all(steps, out)
    assert "a" not in Record(out).entries


def test_missing_packages_are_told_before_anything_runs(out):
    steps = fake(out)
    steps[-1] = replace(steps[-1], packages={"pyhf_that_nobody_has": "stats"})
    with pytest.raises(
        InputError, match=r"no pyhf_that_nobody_has, .* pip install -e '\.\[stats\]'"
    ):
        run_all(steps, out)
    assert ran(out) == []


RUN = """
import sys; sys.path[:0] = [{tests!r}, {checkout!r}]
from pathlib import Path
from analysis.everything import run_all
from analysis.options import obey
import test_everything
out = Path({out!r})
obey(lambda _: run_all(test_everything.fake(out, {pause}), out), None, "the same command goes on")
"""


def start(out, pause=0.2):
    """The fake chain in a process of its own, in a group of its own."""
    tests, checkout = str(REPOSITORY / "tests"), str(REPOSITORY)
    code = RUN.format(tests=tests, checkout=checkout, out=str(out), pause=pause)
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(condition):
    """Until a condition holds."""
    deadline = time.monotonic() + SAFETY_NET
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def children(pid):
    """Processes whose parent is this one."""
    path = f"/proc/{pid}/task/{pid}/children"
    return [int(word) for word in Path(path).read_text().split()]


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_step_ends_with_the_chain(out, how):
    with start(out, pause=600) as process:
        wait_for(lambda: (out / "ran").exists())
        (child,) = children(process.pid)
        os.kill(process.pid, how)
        _, err = process.communicate(timeout=SAFETY_NET)
        wait_for(lambda: not is_alive(child))
    if how == signal.SIGKILL:
        assert (process.returncode, err) == (-how, "")
    else:
        assert process.returncode == 130
        assert err == "m3l: interrupted, the same command goes on\n"


def test_kills_at_random_moments_change_nothing(out, tmp_path):
    run_all(fake(tmp_path / "whole"), tmp_path / "whole")
    draw = random.Random(1)
    for how in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        with start(out) as process:
            wait_for(lambda: (out / "ran").exists() or process.poll() is not None)
            time.sleep(draw.uniform(0, 0.3))
            os.killpg(process.pid, how)
            process.communicate(timeout=SAFETY_NET)
        (out / "ran").unlink(missing_ok=True)
    run_all(fake(out), out)
    for name in CHAIN:
        assert (out / name).read_text() == (tmp_path / "whole" / name).read_text()


# --- the command ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("--fast",), "--fast and --detector are for --all"),
        (("--detector", "tail"), "--fast and --detector are for --all"),
        (("--all", "--dask", "local:1"), "--all does not go with --dask: make the tables with it"),
        (("--all", "--detector", "../x"), "--detector: '../x' must be a plain folder name"),
        (("--all", "--list"), "not allowed with argument --all"),
        (("--all", "--rerun", "run.json"), "--all: not with --rerun"),
        (("--all", "--columns", "all"), "--columns and --skim-format are for --skim"),
    ],
)
def test_options_that_do_not_go_together(capsys, words, line):
    import run_rdf

    with pytest.raises(SystemExit) as exit:
        run_rdf.main([*words])
    assert exit.value.code == 2 and line in capsys.readouterr().err


def test_job_is_passed_on_word_for_word():
    import run_rdf

    words = ("-s", "WZ", "data", "-r", "SR3L", "-n", "100", "--plain", "--vary", "-j", "2")
    chosen, files = run_rdf.choices(*words, "-o", "OUT")
    assert chosen.job == (
        *("--sample", "WZ", "data", "--region", "SR3L", "--entries", "100", "--plain"),
        *("--vary", "--vary-tables"),
    )
    assert not chosen.signals and chosen.threads == 2 and len(files) == 2
    (tables, *_) = steps_of(chosen)
    before, found = (
        vars(run_rdf.checked(run_rdf.parser(), [*line]))
        for line in (("-o", "OUT", "--vary-tables", *words), tables.words[1:])
    )
    assert found == before


def test_mistake_in_the_samples_is_told_before_the_first_step(tmp_path):
    (tmp_path / "my.toml").write_text("luminosity_fb = 3\n")
    outcome = run_program("--all", "--samples", tmp_path / "my.toml", "-o", tmp_path / "out")
    assert outcome.status == 1 and outcome.out == "" and not (tmp_path / "out").exists()
    assert all(line.startswith("m3l: ") for line in outcome.lines)


@pytest.mark.slow
def test_demo_goes_on_after_kills_to_the_same_results(tmp_path):
    words = ("--all", "--fast", "-j", "2", "-o")
    whole = run_program(*words, tmp_path / "out")
    assert whole.status == 0, whole.err
    assert whole.out.splitlines()[-1] == str(tmp_path / "out/report/index.html")
    before = results(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    draw = random.Random(2)
    for _ in range(4):
        program = [sys.executable, str(REPOSITORY / "run_rdf.py"), *words, str(tmp_path / "out")]
        with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            time.sleep(draw.uniform(2, 20))
            process.send_signal(draw.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
            process.communicate(timeout=SAFETY_NET)
    again = run_program(*words, tmp_path / "out")
    assert again.status == 0, again.err
    assert results(tmp_path / "out") == before
    last = run_program(*words, tmp_path / "out")
    assert last.out.count(": up to date") == 5


def results(out):
    """{name: bytes} of what a run has made, but for what times and processes are written in."""
    files = (path for path in out.rglob("*") if path.is_file())
    names = {path.relative_to(out).as_posix(): path for path in files}
    timed = ("run.json", "histograms.root", "steps.json", "report/")
    hidden = {name for name in names if name.startswith(".") or "/." in name}
    return {n: p.read_bytes() for n, p in names.items() if not n.startswith(timed)} | {
        n: b"" for n in hidden
    }
