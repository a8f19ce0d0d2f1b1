"""Every way to write: the n-th call fails or kills, the machine crashes, for all n."""

import errno
import os
import shutil
from pathlib import Path

import ml_tables
import plot_inputs
import pytest
from conftest import slow
from faults.inject import (
    KILL,
    KILLED,
    Program,
    assert_clear,
    contents,
    kill_at_random,
    lose_power,
    sweep,
)

from analysis.files import restore_folder

ERRORS = pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=["full", "broken"])
CRASHES = [(True, 0.0), (True, 0.5), (False, 0.0)]  # as lose_power takes them


def fresh(out, made=None):
    """A function that makes the folder `out` a copy of `made`, or empty."""

    def prepare():
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(made, out) if made else out.mkdir()

    return prepare


# --- files and folders ------------------------------------------------------------------------

OLD, NEW = (
    {"record/run.json": f'"{word}"\n'.encode()}
    | {f"model/{name}": (word * 1000).encode() for name in ("weights", "record")}
    for word in ("old", "new")
)


@pytest.fixture(scope="module")
def writing(tmp_path_factory):
    """The program, and a folder with what it has written before."""
    work = tmp_path_factory.mktemp("writing")
    with Program("faults.writing", "faults.writing", "analysis.files", work=work) as program:
        made = work / "made"
        made.mkdir()
        assert program.run([made, "old"], made).outcome.status == 0
        assert contents(made) == OLD
        yield program, made


def assert_old_or_new(out):
    """Each product is whole."""
    restore_folder(out / "model")
    found = contents(out)
    for product in ("record/", "model/"):
        part = {name: value for name, value in found.items() if name.startswith(product)}
        assert part in [
            {name: value for name, value in one.items() if name.startswith(product)}
            for one in (OLD, NEW)
        ]


@ERRORS
@pytest.mark.parametrize("goes_on", [False, True])
def test_files_are_old_or_new_whatever_fails(writing, tmp_path, error, goes_on):
    program, made = writing
    out = tmp_path / "out"
    prepare = fresh(out, made)
    for run in sweep(program, [out, "new"], out, error, prepare, goes_on=goes_on):
        assert_old_or_new(out)
        if run.outcome.status == 0:
            assert contents(out) == NEW
        else:
            assert_clear(run)
        assert program.run([out, "new"], out).outcome.status == 0
        assert contents(out) == NEW


def test_failed_renames_leave_a_folder(writing, tmp_path):
    program, made = writing
    out = tmp_path / "out"
    for run in sweep(program, [out, "new"], out, errno.EIO, fresh(out, made), calls="rename"):
        assert_clear(run)
        assert (out / "model" / "weights").exists()


@pytest.mark.parametrize("names, kept", CRASHES)
def test_files_are_old_or_new_whenever_the_machine_crashes(writing, tmp_path, names, kept):
    program, made = writing
    out = tmp_path / "out"
    for run in sweep(program, [out, "new"], out, KILL, fresh(out, made)):
        assert run.outcome.status == KILLED
        lose_power(out, run.events, names, kept)
        assert_old_or_new(out)


@pytest.mark.parametrize("names, kept", CRASHES)
@pytest.mark.parametrize("before", [True, False])
def test_what_is_said_to_be_written_outlives_a_crash(writing, tmp_path, names, kept, before):
    program, made = writing
    out = tmp_path / "out"
    fresh(out, made if before else None)()
    run = program.run([out, "new"], out)
    assert run.outcome.status == 0
    lose_power(out, run.events, names, kept)
    assert contents(out) == NEW


# --- pictures ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def plotting(tmp_path_factory):
    """The program, its words and a function that makes the folder anew; and what it writes."""
    work = tmp_path_factory.mktemp("plotting")
    made, out = plot_inputs.write_run(work / "made"), work / "out"
    modules = ("plotting.__main__", "plotting.save", "plotting.report")
    with Program("plotting", *modules, work=work) as program:
        yield program, out, fresh(out, made)


def assert_same_or_clear(run, out, expected):
    """A run has made all and said nothing, or said why not; what there is is whole."""
    found = contents(out)
    assert found.items() <= expected.items(), run.fault
    if run.outcome.status == 0:
        assert found == expected
    else:
        assert_clear(run)


COMMANDS = pytest.mark.parametrize(
    "command",
    [
        ["hist", "-f", "m_3l"],
        slow(["cutflow"]),
        slow(["report"]),
    ],
    ids=["hist", "cutflow", "report"],
)


@COMMANDS
@ERRORS
def test_pictures_are_whole_whatever_fails(plotting, command, error, at_most):
    program, out, prepare = plotting
    words = [command[0], out, *command[1:]]
    prepare()
    assert program.run(words, out).outcome.status == 0
    expected = contents(out)
    for run in sweep(program, words, out, error, prepare, at_most(4)):
        assert_same_or_clear(run, out, expected)
    assert program.run(words, out).outcome.status == 0
    assert contents(out) == expected


@COMMANDS
def test_pictures_are_whole_when_the_machine_crashes(plotting, command, at_most):
    program, out, prepare = plotting
    words = [command[0], out, *command[1:]]
    prepare()
    run = program.run(words, out)
    expected = contents(out)
    lose_power(out, run.events)
    assert contents(out) == expected
    for run in sweep(program, words, out, KILL, prepare, at_most(3)):
        lose_power(out, run.events)
        assert contents(out).items() <= expected.items()


# --- models -----------------------------------------------------------------------------------

SAMPLES = (("WZ", "diboson3L", "background", 400, 40.0, 0.5),)
TRAIN = ("--epochs", "1", "--batch", "200", "--quiet")


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """The program, its words, its folder, a function that makes that anew, and what it writes."""
    work = tmp_path_factory.mktemp("training")
    made, out = ml_tables.write_output(work / "made", SAMPLES), work / "out"
    prepare, words = fresh(out, made), ["train", out, *TRAIN]
    modules = ("ml.__main__", "ml.ensemble", "ml.autoencoder")
    with Program("ml", *modules, work=work) as program:
        prepare()
        run = program.run(words, out)
        assert run.outcome.status == 0, run.outcome
        yield program, words, out, prepare, contents(out)


@pytest.mark.slow
@ERRORS
def test_model_is_whole_whatever_fails(training, error, at_most):
    program, words, out, prepare, expected = training
    before = {name: expected[name] for name in expected if not name.startswith("models")}
    few = 3 if error == errno.ENOSPC else 2
    for run in sweep(program, words, out, error, prepare, at_most(few)):
        assert contents(out) in (before, expected), run.fault
        assert_same_or_clear(run, out, expected)
    # Goes on from whatever the last has left.
    assert program.run(words, out).outcome.status == 0
    assert contents(out) == expected


@pytest.mark.slow
def test_killed_training_goes_on_to_the_same_model(training, request):
    program, words, out, prepare, expected = training
    times = 20 if request.config.getoption("--slow") else 2
    for run in kill_at_random(program, words, out, prepare, times, seed=os.getpid()):
        assert run.outcome.status == KILLED
        lose_power(out, run.events, names=run.fault.at % 2 == 0)
        assert program.run(words, out).outcome.status == 0, run.fault
        assert contents(out) == expected, run.fault


# --- compiled libraries -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def compiling(tmp_path_factory):
    """The program, the source to compile, its cache and a function that empties that."""
    work = tmp_path_factory.mktemp("compiling")
    source, cache = work / "tiny.cxx", work / "cache"
    source.write_text("int tiny_answer() { return 42; }\n")
    with Program("faults.compiling", "ROOT", "helpers.build", work=work, M3L_CACHE=cache) as it:
        yield it, source, cache, fresh(cache)


def libraries(cache):
    return [path for path in Path(cache).glob("*/*.so") if ".made-" not in path.parent.name]


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(errno.ENOSPC, id="full"),
        slow(errno.EIO, id="broken"),
        slow(KILL, id="killed"),
    ],
)
def test_cache_holds_whole_libraries_whatever_fails(compiling, error, at_most):
    from helpers.seal import intact

    program, source, cache, prepare = compiling
    for run in sweep(program, [source], cache, error, prepare, at_most(4)):
        if run.outcome.status == 0:
            assert run.outcome.out == "42\n"
        elif run.outcome.status != KILLED:
            assert_clear(run)
        if error == KILL:
            lose_power(cache, run.events, names=run.fault.at % 2 == 0)
        assert all(map(intact, libraries(cache)))
        again = program.run([source], cache)
        assert again.outcome.out == "42\n", (run.fault, again.outcome)
        assert not list(cache.glob("*.made-*"))


def test_library_is_there_after_a_crash_of_the_machine(compiling):
    from helpers.seal import intact

    program, source, cache, prepare = compiling
    prepare()
    run = program.run([source], cache)
    lose_power(cache, run.events, names=False)
    (library,) = libraries(cache)
    assert intact(library)


def test_full_disk_while_compiling_is_one_line(compiling, small_filesystem):
    program, source, *_ = compiling
    folder = small_filesystem(1 << 14)
    with Program(
        "faults.compiling", "ROOT", "helpers.build", work=program.work, M3L_CACHE=folder
    ) as full:
        run = full.run([source], folder)
    assert_clear(run)
    assert "No space left" in run.outcome.err
    left = [path for path in folder.iterdir() if not path.match("root-*.json")]
    assert all(path.suffix == ".lock" for path in left)
