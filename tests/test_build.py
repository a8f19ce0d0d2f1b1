"""Compiling and loading the helpers: the cache, several processes, CMake, no compiler."""

import doctest
import fcntl
import importlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import DEMO, REPOSITORY, SAFETY_NET, at_prompt, run_program, slow

TINY = "int tiny_answer() { return 42; }\n"


@pytest.fixture
def build(ROOT, tmp_path, monkeypatch):
    """helpers.build with an empty cache of its own."""
    from helpers import build

    monkeypatch.setattr(build, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(build, "used", dict(build.used))  # what a test builds ends with it
    (tmp_path / "cache").mkdir()
    return build


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.cxx"
    path.write_text(TINY)
    return path


@pytest.fixture
def compiled(build, monkeypatch):
    """Names of the libraries that have been compiled."""
    names, compiler = [], build.run_compiler
    monkeypatch.setattr(build, "run_compiler", lambda *a: (names.append(a[1]), compiler(*a))[1])
    return names


def libraries(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache").rglob("*.so"))


def test_library_is_compiled_once_and_again_when_a_source_changes(build, tiny, compiled):
    first = build.library("tiny", tiny, [tiny])
    assert build.library("tiny", tiny, [tiny]) == first and len(compiled) == 1
    tiny.write_text(TINY.replace("42", "43"))
    second = build.library("tiny", tiny, [tiny])
    assert second != first and first.exists() and len(compiled) == 2


def test_library_of_another_toolchain_is_another(build, tiny, monkeypatch):
    first = build.library("tiny", tiny, [tiny])
    monkeypatch.setattr(build, "toolchain", lambda: "another ROOT")
    assert build.library("tiny", tiny, [tiny]) != first


def test_many_at_once_compile_once(build, tiny, tmp_path, compiled):
    with ThreadPoolExecutor(8) as pool:
        paths = set(pool.map(lambda _: build.library("tiny", tiny, [tiny]), range(8)))
    assert len(paths) == len(compiled) == 1 and libraries(tmp_path) == ["libtiny.so"]


def test_compiler_that_refuses_leaves_nothing(build, tiny, tmp_path):
    tiny.write_text("int tiny_answer() { return forty_two; }\n")
    with pytest.raises(build.CompilerError, match="forty_two"):
        build.library("tiny", tiny, [tiny])
    assert [path for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


def test_compiler_that_is_killed_halfway_leaves_nothing(build, tiny, tmp_path, monkeypatch):
    def killed(source, name, folder, dictionary):
        (folder / f"lib{name}.so").write_bytes(b"half")
        raise build.CompilerError("Killed")

    monkeypatch.setattr(build, "run_compiler", killed)
    with pytest.raises(build.CompilerError, match="Killed"):
        build.library("tiny", tiny, [tiny])
    assert libraries(tmp_path) == []
    monkeypatch.undo()
    monkeypatch.setattr(build, "cache_folder", lambda: tmp_path / "cache")
    assert build.library("tiny", tiny, [tiny]).stat().st_size > 1000


def test_cache_folder_is_where_the_environment_says(ROOT, tmp_path, monkeypatch):
    from helpers.build import cache_folder

    monkeypatch.setenv("M3L_CACHE", str(tmp_path / "mine"))
    assert cache_folder.__wrapped__() == tmp_path / "mine"
    monkeypatch.delenv("M3L_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder.__wrapped__() == tmp_path / "xdg" / "m3l"


def test_cache_folder_that_cannot_be_written_is_replaced_with_a_warning(
    ROOT, tmp_path, monkeypatch
):
    from helpers.build import cache_folder

    (tmp_path / "file").write_text("")
    monkeypatch.setenv("M3L_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="file/cache cannot be written .*temporary") as warned:
        folder = cache_folder.__wrapped__()
    assert len(warned) == 1 and folder.is_dir()


# --- damage -----------------------------------------------------------------------------------


def truncate(library):
    os.truncate(library, library.stat().st_size // 2)


def empty(library):
    os.truncate(library, 0)


def flip(library):
    content = bytearray(library.read_bytes())
    content[len(content) // 2] ^= 1
    library.write_bytes(content)


def replace_by_text(library):
    library.write_text("no library\n")


def replace_by_one_for_another_processor(library):
    from helpers.seal import seal

    content = bytearray(library.read_bytes())
    content[18] ^= 0xFF
    library.write_bytes(content)
    seal(library, [])


def remove(library):
    library.unlink()


def remove_checksums(library):
    library.with_suffix(".sha256").unlink()


def empty_checksums(library):
    os.truncate(library.with_suffix(".sha256"), 0)


def replace_by_folder(library):
    library.unlink()
    library.mkdir()


def replace_all_by_a_file(library):
    shutil.rmtree(library.parent)
    library.parent.write_text("")


def replace_all_by_a_loop(library):
    shutil.rmtree(library.parent)
    library.parent.symlink_to(library.parent.name)


DAMAGE = (truncate, empty, flip, replace_by_text, replace_by_one_for_another_processor, remove)
DAMAGE += (remove_checksums, empty_checksums, replace_by_folder, replace_all_by_a_file)
DAMAGE += (replace_all_by_a_loop,)


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_damaged_library_is_made_anew(build, tiny, tmp_path, compiled, damage):
    path = build.library("tiny", tiny, [tiny])
    good = path.read_bytes()
    damage(path)
    assert build.library("tiny", tiny, [tiny]) == path
    assert len(compiled) == 2 and path.read_bytes() == good
    assert sorted(os.listdir(tmp_path / "cache")) == [path.parent.name, f"{path.parent.name}.lock"]


def test_file_beside_a_library_counts(build, tiny, monkeypatch):
    def with_dictionary(source, name, folder, dictionary, compiler=build.run_compiler):
        compiler(source, name, folder, dictionary)
        (folder / "tiny_rdict.pcm").write_text("names of classes")

    monkeypatch.setattr(build, "run_compiler", with_dictionary)
    path = build.library("tiny", tiny, [tiny])
    beside = path.with_name("tiny_rdict.pcm")
    beside.unlink()
    assert build.library("tiny", tiny, [tiny]) == path and beside.exists()


def test_damaged_library_in_a_cache_of_others_is_made_elsewhere(build, tiny, monkeypatch):
    path = build.library("tiny", tiny, [tiny])
    truncate(path)
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    other = build.library("tiny", tiny, [tiny])
    assert other != path and build.intact(other) and not build.intact(path)


def test_library_is_on_disk_before_it_has_its_name(build, tiny, monkeypatch):
    done, rename = [], os.rename

    def fsync(descriptor):
        done.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")))

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", lambda old, new: (done.append("rename"), rename(old, new)))
    path = build.library("tiny", tiny, [tiny])
    before = [path for path in done[: done.index("rename")]]
    (new,) = {path for path in before if path.suffix.startswith(".made")}
    assert set(before) == {new, new / path.name, new / "libtiny.sha256"} and before[-1] == new
    assert done[-1] == path.parent.parent and done[-2] == "rename"


def test_leftovers_of_the_dead_are_removed(build, tiny, tmp_path):
    cache = tmp_path / "cache"
    for name in ("chain-0123.made-dead", "chain-0123.made-dead-old", "engine-4567.made-alive"):
        (cache / name).mkdir()
        (cache / name / "chain.so").write_text("half")
    with open(cache / "engine-4567.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        build.library("tiny", tiny, [tiny])
        assert [path.name for path in cache.glob("*.made-*")] == ["engine-4567.made-alive"]


# --- libraries that kill ----------------------------------------------------------------------

DEADLY = """
#include <cstdlib>
static const int dies = [] { if (std::getenv("TINY_KILLS")) std::abort(); return 0; }();
int tiny_answer() { return 42 + dies; }
"""
LOAD_TINY = """
import sys, ROOT
from helpers import build
with build.loading(build.Path(sys.argv[1])):
    print(ROOT.gSystem.Load(sys.argv[1]))
"""


def load_tiny(path, **environment):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD_TINY, str(path)],
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_library_that_kills_is_made_anew_by_the_next(build, tiny, tmp_path, compiled, monkeypatch):
    from helpers.seal import seal

    path = build.library("tiny", tiny, [tiny])
    deadly = tmp_path / "deadly.cxx"
    deadly.write_text(DEADLY)
    other = build.library("tiny", deadly, [deadly])
    shutil.copy(other, path)
    seal(path, [])
    monkeypatch.setenv("TINY_KILLS", "1")
    assert load_tiny(path).returncode != 0
    assert build.died_loading(path) and build.intact(path)
    assert build.library("tiny", tiny, [tiny]) == path and len(compiled) == 3
    assert not build.died_loading(path)
    done = load_tiny(path)
    assert (done.returncode, done.stdout) == (0, "0\n")


def test_library_that_kills_always_is_refused(build, tiny, tmp_path, compiled, monkeypatch):
    tiny.write_text(DEADLY)
    path = build.library("tiny", tiny, [tiny])
    monkeypatch.setenv("TINY_KILLS", "1")
    assert load_tiny(path).returncode != 0
    with pytest.raises(build.CompilerError, match="libtiny.so kills the process that loads it"):
        build.library("tiny", tiny, [tiny])
    assert build.died_loading(path)


@pytest.mark.slow
def test_library_of_a_process_that_was_killed_for_other_reasons_is_kept(
    build, tiny, tmp_path, compiled
):
    tiny.write_text(DEADLY)
    path = build.library("tiny", tiny, [tiny])
    assert load_tiny(path, TINY_KILLS="1").returncode != 0
    assert build.died_loading(path)
    assert build.library("tiny", tiny, [tiny]) == path and len(compiled) == 1
    assert not build.died_loading(path)


def test_library_that_others_are_loading_is_taken(build, tiny, compiled):
    path = build.library("tiny", tiny, [tiny])
    with build.loading(path):
        assert list(path.parent.glob("loading-*"))
        assert build.library("tiny", tiny, [tiny]) == path and len(compiled) == 1
    assert not list(path.parent.glob("*loading-*"))


# --- interruptions ----------------------------------------------------------------------------


@pytest.fixture
def hanging(tmp_path):
    """A command that never ends, and a function that waits until it runs and returns its child."""
    started = tmp_path / "started"
    os.mkfifo(started)
    words = ["sh", "-c", f'sleep 1000 & echo $! >"{started}"; wait']
    return words, lambda: int(started.read_text())


def is_running(process):
    """Whether there is a process of this number that does not end, which takes it a moment."""
    for _ in range(100):
        try:
            if Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return False
        except FileNotFoundError:
            return False
        time.sleep(0.05)
    return True


def test_compilers_of_threads_end_with_an_interruption(build, tmp_path, hanging):
    words, child = hanging
    with pytest.raises(KeyboardInterrupt), build.side_by_side() as pool:
        pool.submit(build.call, words, tmp_path)
        process = child()
        raise KeyboardInterrupt
    assert not is_running(process)
    build.call(["true"], tmp_path)


def test_compiler_ends_that_was_just_started_when_the_interruption_came(
    build, tmp_path, hanging, monkeypatch
):
    words, child = hanging
    begin, begun = subprocess.Popen, []

    def begin_and_interrupt(*arguments, **options):
        process = begin(*arguments, **options)
        begun.append(child())
        signal.raise_signal(signal.SIGINT)
        return process

    monkeypatch.setattr(build.subprocess, "Popen", begin_and_interrupt)
    # Not the program's handler, which would remember the interruption for later tests.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            build.call(words, tmp_path)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert not is_running(begun[0])


def test_waiting_for_another_compilation_ends_with_an_interruption(build, tmp_path):
    with open(tmp_path / "lock", "w") as ours, open(tmp_path / "lock", "w") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        with pytest.raises(KeyboardInterrupt), build.side_by_side() as pool:
            waiting = pool.submit(build.wait_for, ours)
            raise KeyboardInterrupt
        assert waiting.cancelled() or isinstance(waiting.exception(), build.CompilerError)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_compilation_is_one_line_and_leaves_nothing(tmp_path, hanging, number):
    words, child = hanging
    tools = tmp_path / "tools"
    tools.mkdir()
    # The interpreter asks the compiler for its headers.
    ask = f'case "$*" in *" -E "*) exec {shutil.which("c++")} "$@" ;; esac'
    (tools / "c++").write_text(f"#!/bin/sh\n{ask}\n{words[-1]}\n")
    (tools / "c++").chmod(0o755)
    process = subprocess.Popen(
        [sys.executable, "run_rdf.py", "-s", "Ztt", "-o", str(tmp_path / "out")],
        cwd=REPOSITORY,
        env={
            **os.environ,
            "PATH": f"{tools}:{os.environ['PATH']}",
            "M3L_CACHE": str(tmp_path / "cache"),
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    compiler = child()
    process.send_signal(number)
    _, err = process.communicate()
    assert process.returncode == 130
    assert len(err.splitlines()) == 1 and err.startswith("m3l: interrupted")
    assert not is_running(compiler)
    assert all(path.suffix == ".lock" for path in (tmp_path / "cache").iterdir())


# --- which library ----------------------------------------------------------------------------


@pytest.fixture
def by_cmake(ROOT, tmp_path, monkeypatch):
    """A library as CMake makes it, as far as it is looked at before it is loaded."""
    import helpers
    from helpers.seal import seal

    library = tmp_path / "libm3l.so"
    stamp = helpers.stamp(ROOT.gROOT.GetVersion()).encode()
    library.write_bytes(Path(sys.executable).read_bytes()[:64] + stamp + b"\0")
    seal(library, [])
    monkeypatch.setattr(helpers, "BUILT_BY_CMAKE", library)
    return library


def test_library_of_cmake_is_used_if_it_fits_these_sources(by_cmake):
    import helpers

    assert helpers.find_library() == (by_cmake, "cmake")


@pytest.mark.parametrize("damage", DAMAGE[:-2], ids=lambda damage: damage.__name__)
def test_damaged_library_of_cmake_is_refused_with_a_warning(by_cmake, damage):
    import helpers

    damage(by_cmake)
    if damage == remove:
        assert helpers.find_library()[1] == "aclic"
        return
    with pytest.warns(UserWarning, match="or is damaged, .*cmake --build build --clean-first"):
        path, how = helpers.find_library()
    assert how == "aclic" and path != by_cmake


def test_stale_library_of_cmake_is_refused_with_a_warning(ROOT, tmp_path, monkeypatch):
    import helpers

    library = tmp_path / "libm3l.so"
    library.write_bytes(b"\0m3l sources 0123456789abcdef ROOT 6.40.00\0")
    monkeypatch.setattr(helpers, "BUILT_BY_CMAKE", library)
    with pytest.warns(UserWarning, match="was built from other sources .*cmake --build build"):
        path, how = helpers.find_library()
    assert how == "aclic" and Path(path).is_file() and path != library


def test_stamp_changes_with_every_source(tmp_path, monkeypatch):
    stamp = importlib.import_module("helpers.stamp")
    before = stamp.fingerprint()
    copy = shutil.copytree(stamp.SOURCES, tmp_path / "copy")
    monkeypatch.setattr(stamp, "SOURCES", copy)
    (copy / "helpers_cxx_ACLiC_dict.cxx").write_text("what ACLiC makes and removes")
    assert stamp.fingerprint() == before
    seen = {before}
    for name in ("rmm.cxx", "rmm.h", "helpers.cxx", "engine/rowstore.cxx", "engine/engine.h"):
        (copy / name).write_text("changed")
        seen.add(stamp.fingerprint())
    assert len(seen) == 6


def test_headers_that_a_part_includes_are_its_own():
    from helpers.stamp import SOURCES, files_with_headers, source_files

    others = {*files_with_headers("engine/*")} - {*source_files("engine/*")}
    assert others == {SOURCES / "arrays.h", SOURCES / "wide.h"}


def test_examples_of_the_documentation_work(ROOT):
    import helpers

    assert doctest.testmod(helpers).failed == 0


# --- the ways to load them --------------------------------------------------------------------

TYPED = (
    "flavourComp3L({1, 2, 2})",
    "Objects{}.size() + m3l::Objects{}.size() + Sum(RVec<int>{1, 2})",
)
ANSWERS = ["(int) 2", "(unsigned long) 3"]

IN_A_DATAFRAME = '''
df = ROOT.RDataFrame(2).Define("f", "ROOT::RVecI{1, 2, 2, 1}")
df = df.Define("good", "flavourComp3L(Take(f, 3))")
df = df.Define("rmm", """
    static const RMM rmm({{"jet", 1}, {"ele", 1}});
    return rmm(4., 0., Objects{}, m3l::Objects{{6., 0., 0., 0.}});
""")
df = df.Define("mass", "getM({50}, {0}, {0}, {0}, {50}, {0}, {M_PI}, {0}, 0, 0) > 99.9")
print(df.Sum("good").GetValue(), df.Sum("mass").GetValue(), df.Max("rmm").GetValue())
'''


@pytest.fixture(scope="module")
def by_hand(ROOT, tmp_path_factory):
    """A git checkout in which files may be left."""
    folder = tmp_path_factory.mktemp("by_hand")
    left = shutil.ignore_patterns("__pycache__", "*_cxx*")
    shutil.copytree(REPOSITORY / "helpers", folder / "helpers", ignore=left)
    shutil.copy(REPOSITORY / ".gitignore", folder)
    for words in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


def untracked(folder):
    words = ["git", "ls-files", "--others", "--exclude-standard"]
    return subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True).stdout


def python_in(folder, code):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SAFETY_NET,
    )


@pytest.mark.slow
def test_root_compiles_the_helpers_by_hand(by_hand):
    first = at_prompt("helpers/helpers.cxx+", *TYPED, folder=by_hand)
    assert first.stdout.splitlines()[-2:] == ANSWERS, first
    assert re.fullmatch(r"Info in <TUnixSystem::ACLiC>: creating .*\n", first.stderr)
    second = at_prompt("helpers/helpers.cxx+", *TYPED, folder=by_hand)
    assert (second.stdout.splitlines()[-2:], second.stderr) == (ANSWERS, "")
    assert untracked(by_hand) == ""


@pytest.mark.parametrize("header", ["m3l.h", slow("leptons.h")])
def test_the_two_steps_of_the_thesis(by_hand, header):
    at_prompt("helpers/helpers.cxx+", folder=by_hand)
    steps = f"""
import ROOT
ROOT.gROOT.ProcessLine(".L helpers/helpers.cxx+")
ROOT.gSystem.AddDynamicPath("helpers")
ROOT.gInterpreter.Declare('#include "helpers/{header}"')
ROOT.gSystem.Load("helpers_cxx.so")
"""
    done = python_in(by_hand, steps + IN_A_DATAFRAME)
    assert (done.stdout, done.stderr) == ("4.0 2.0 6.0\n", "")
    assert untracked(by_hand) == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    "first, then",
    [("rootlogon.C", ".L helpers/helpers.cxx+"), ("helpers.cxx+", ".x helpers/rootlogon.C")],
)
def test_both_ways_in_one_session(by_hand, first, then):
    at_prompt("helpers/helpers.cxx+", folder=by_hand)
    done = at_prompt(f"helpers/{first}", then, *TYPED, folder=by_hand)
    assert (done.stdout.splitlines()[-2:], done.stderr) == (ANSWERS, "")


@pytest.mark.parametrize("first", [slow("import helpers; helpers.load()"), ""])
def test_by_hand_beside_the_program(by_hand, first):
    at_prompt("helpers/helpers.cxx+", folder=by_hand)
    code = f"""
import ROOT
{first}
ROOT.gROOT.ProcessLine(".L helpers/helpers.cxx+")
import helpers
helpers.load_engine()
"""
    done = python_in(by_hand, code + IN_A_DATAFRAME)
    assert (done.stdout, done.stderr) == ("4.0 2.0 6.0\n", "")


@pytest.mark.parametrize("folder", ["/", REPOSITORY])
def test_rootlogon_works_in_any_folder(folder):
    done = at_prompt(REPOSITORY / "helpers/rootlogon.C", *TYPED, folder=folder)
    assert (done.stdout.splitlines()[-2:], done.stderr) == (ANSWERS, "")


@pytest.mark.slow
def test_rootlogon_works_without_python(tmp_path):
    for tool in ("c++", "sed", "ldd"):  # cling looks for its headers and libraries with these
        (tmp_path / tool).symlink_to(shutil.which(tool))
    done = at_prompt("helpers/rootlogon.C", *TYPED, PATH=str(tmp_path))
    assert done.stdout.splitlines()[-2:] == ANSWERS
    assert done.stderr == "Warning in <rootlogon>: no compiled helpers, interpreting them\n"


@pytest.mark.slow
def test_python_loads_what_aclic_made(by_hand, tmp_path, monkeypatch):
    monkeypatch.setenv("M3L_CACHE", str(tmp_path / "a cache"))
    code = "import helpers; print(helpers.load()); import ROOT" + IN_A_DATAFRAME
    for _ in ("empty", "warm"):
        done = python_in(by_hand, code)
        assert (done.stdout, done.stderr) == ("aclic\n4.0 2.0 6.0\n", "")
    (library,) = (tmp_path / "a cache").rglob("*.so")
    assert library.with_name("libm3l_ACLiC_dict_rdict.pcm").exists()
    assert untracked(by_hand) == ""


def test_engine_comes_with_the_physics():
    code = "import helpers; print(helpers.load_engine(), helpers.load()); import ROOT"
    done = python_in(REPOSITORY, code + "; print(ROOT.m3l.ExactSum().value(), ROOT.hL(0.0))")
    assert (done.stdout, done.stderr) == ("compiled aclic\n0.0 0.0\n", "")


# --- what they leave --------------------------------------------------------------------------


def test_run_writes_nothing_into_the_checkout_or_the_working_directory(tmp_path):
    def traces():
        found = (p for p in (REPOSITORY / "helpers").iterdir() if p.name != "__pycache__")
        return {p.name for p in found} | {p.name for p in REPOSITORY.glob("*_cxx*")}

    before = traces()
    here = tmp_path / "here"
    here.mkdir()
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "run_rdf.py"), "-s", "Ztt", "-o", str(tmp_path / "out")],
        cwd=here,
        capture_output=True,
        text=True,
        timeout=SAFETY_NET,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert list(here.iterdir()) == [] and traces() == before


@pytest.fixture
def checkout(tmp_path):
    """A copy of the program."""
    copy = tmp_path / "checkout"
    copy.mkdir()
    for name in ("helpers", "analysis"):
        shutil.copytree(
            REPOSITORY / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "*.root")
        )
    for name in ("run_rdf.py", "CMakeLists.txt"):
        shutil.copy(REPOSITORY / name, copy)
    (copy / "tests").mkdir()
    shutil.copy(DEMO / "Ztt.root", copy / "analysis" / "demo")
    return copy


LOAD = "import helpers; print(helpers.load()); import ROOT; print(ROOT.flavourComp3L([1, 2, 2]))"


def load_in(folder, **environment):
    return subprocess.run(
        [sys.executable, "-c", LOAD],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=SAFETY_NET,
    )


@pytest.mark.slow
def test_cmake_builds_the_library_and_a_change_makes_it_stale(checkout, tmp_path):
    if not shutil.which("cmake"):
        pytest.skip("there is no cmake")
    python = f"-DPython3_EXECUTABLE={sys.executable}"
    for words in (["-S", ".", "-B", "build", python], ["--build", "build"]):
        done = subprocess.run(
            ["cmake", *words], cwd=checkout, capture_output=True, text=True, timeout=SAFETY_NET
        )
        assert done.returncode == 0, done.stdout + done.stderr
    done = load_in(checkout)
    assert done.stdout.split() == ["cmake", "2"], done
    library = checkout / "build" / "libm3l.so"
    truncate(library)
    done = load_in(checkout, M3L_CACHE=str(tmp_path / "cache"))
    assert done.stdout.split() == ["aclic", "2"] and "or is damaged" in done.stderr, done
    subprocess.run(
        ["cmake", "--build", "build", "--clean-first"],
        cwd=checkout,
        capture_output=True,
        check=True,
    )
    done = load_in(checkout)
    assert done.stdout.split() == ["cmake", "2"], done
    with open(checkout / "helpers" / "leptons.cxx", "a") as file:
        file.write("// changed\n")
    done = load_in(checkout, M3L_CACHE=str(tmp_path / "cache"))
    assert done.stdout.split() == ["aclic", "2"], done
    assert "was built from other sources" in done.stderr


@pytest.mark.slow
def test_ten_processes_on_an_empty_cache(tmp_path):
    words = [sys.executable, "run_rdf.py", "-s", "Ztt", "-j", "1", "-o"]
    environment = {**os.environ, "M3L_CACHE": str(tmp_path / "cache")}
    processes = [
        subprocess.Popen(
            [*words, str(tmp_path / f"out{k}")],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for k in range(10)
    ]
    for process in processes:
        _, err = process.communicate(timeout=SAFETY_NET)
        assert (process.returncode, err) == (0, "")
    assert len(list((tmp_path / "cache").rglob("libm3l*.so"))) == 3
    tables = {next((tmp_path / f"out{k}" / "hdf5").iterdir()).read_bytes() for k in range(10)}
    assert len(tables) == 1


@pytest.mark.slow
def test_read_only_checkout(checkout, tmp_path):
    bind = [["mount", "--bind", checkout, checkout], ["mount", "-o", "remount,ro,bind", checkout]]
    if any(subprocess.run(words, capture_output=True).returncode for words in bind):
        pytest.skip("folders cannot be mounted read-only here")
    try:
        out = tmp_path / "out"
        # The demo's other files are not in this copy.
        path = tmp_path / "samples.toml"
        text = (checkout / "analysis/demo/samples.toml").read_text()
        blocks = [b for b in text.split("[[sample]]")[1:] if '"Ztt.root"' in b]
        blocks = [b.replace("Ztt.root", f"{checkout}/analysis/demo/Ztt.root") for b in blocks]
        path.write_text("luminosity_ifb = 1.0\n[[sample]]" + "".join(blocks))
        outcome = run_program(
            "--samples", path, "-o", out, "-j", "1", folder=checkout, M3L_CACHE=str(tmp_path / "c")
        )
        assert (outcome.status, outcome.err) == (0, "")
    finally:
        subprocess.run(["umount", checkout], capture_output=True)


# --- libraries for other machines -------------------------------------------------------------


@pytest.fixture
def carried(build, tiny, tmp_path, monkeypatch):
    """A folder with a library that `carry` put there, which is $M3L_CACHE."""
    monkeypatch.setattr(build, "used", {})
    build.library("tiny", tiny, [tiny])
    folder = tmp_path / "carried"
    folder.mkdir()
    build.copy_libraries(folder)
    monkeypatch.undo()
    monkeypatch.setenv("M3L_CACHE", str(folder))
    for function in (build.prepared, build.cache_folder, build.toolchain):
        function.cache_clear()
    yield folder
    for function in (build.prepared, build.cache_folder, build.toolchain):
        function.cache_clear()


def test_carried_library_is_found_without_a_compiler_from_another_place(
    build, carried, tiny, tmp_path, monkeypatch
):
    monkeypatch.setenv("PATH", "")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    copy = Path(shutil.copy(tiny, elsewhere))
    path = build.library("tiny", copy, [copy])
    assert path.parent.parent == carried and path.exists()


def test_jobs_carry_helpers_that_do_not_name_their_place(build, tmp_path, monkeypatch):
    import helpers

    monkeypatch.setattr(build, "used", {})
    made = []
    monkeypatch.setattr(
        build, "run_compiler", lambda s, name, folder, header: made.append((name, header))
    )
    monkeypatch.setattr(helpers, "load", lambda: "aclic")
    monkeypatch.setattr(helpers, "load_engine", lambda: None)
    with pytest.raises(build.CompilerError, match="lost libm3l.so"):
        helpers.copy_libraries(tmp_path)
    assert made == [("m3l", "m3l.h")]


def test_library_for_another_root_is_not_taken_and_said_once(build, carried, tiny, tmp_path):
    toolchain = carried / build.PREPARED
    made_for, _, rest = toolchain.read_text().partition("\n")
    toolchain.write_text(f"ROOT 6.28/04 on Linux x86_64\n{rest}")
    build.prepared.cache_clear()
    with pytest.warns(UserWarning, match="were made for ROOT 6.28/04 .*temporary") as warned:
        path = build.library("tiny", tiny, [tiny])
    assert len(warned) == 1 and carried not in path.parents


UNRESOLVED = "int nowhere(); int tiny_answer() { return nowhere(); }\n"


@pytest.mark.parametrize(
    "damage, says", [(None, "do not fit this machine"), (truncate, "libtiny.so are damaged")]
)
def test_library_that_does_not_load_is_replaced_with_one_warning(
    build, tiny, damage, says, monkeypatch
):
    tiny.write_text(UNRESOLVED)
    path = build.library("tiny", tiny, [tiny])
    if damage:
        damage(path)
    code = f"""
import warnings, helpers, pathlib
helpers.find_library = lambda: (pathlib.Path("{path}"), "compiled")
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    how = helpers.load()
said = [str(each.message) for each in said if "helpers" in str(each.message)]
import ROOT
print(how, len(said), "{says}" in said[0], ROOT.flavourComp3L([1, 2, 2]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.stdout.split() == ["interpreted", "1", "True", "2"], done


def test_user_without_a_home_has_a_cache_all_the_same(ROOT, monkeypatch):
    """As in a container, where nobody may know the user."""
    from helpers import build

    def nowhere():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(build.Path, "home", nowhere)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("M3L_CACHE", raising=False)
    assert build.wanted_folder() == Path("/.cache/m3l")
    monkeypatch.setenv("M3L_CACHE", "/somewhere")
    assert build.wanted_folder() == Path("/somewhere")
