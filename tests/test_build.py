"""Compiling and loading the helpers: the cache, several processes, CMake, no compiler."""

import doctest
import importlib
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import DEMO, REPOSITORY, run_program

TINY = "int tiny_answer() { return 42; }\n"


@pytest.fixture
def build(ROOT, tmp_path, monkeypatch):
    """helpers.build with an empty cache of its own."""
    from helpers import build

    monkeypatch.setattr(build, "cache_folder", lambda: tmp_path / "cache")
    (tmp_path / "cache").mkdir()
    return build


@pytest.fixture
def tiny(tmp_path):
    path = tmp_path / "tiny.cxx"
    path.write_text(TINY)
    return path


def libraries(tmp_path):
    return sorted(path.name for path in (tmp_path / "cache").rglob("*.so"))


def test_library_is_compiled_once_and_again_when_a_source_changes(
    build, tiny, tmp_path, monkeypatch
):
    compiled = []
    compiler = build.run_compiler
    monkeypatch.setattr(build, "run_compiler", lambda *a: (compiled.append(a), compiler(*a))[1])
    first = build.library("tiny", tiny, [tiny])
    assert build.library("tiny", tiny, [tiny]) == first and len(compiled) == 1
    tiny.write_text(TINY.replace("42", "43"))
    second = build.library("tiny", tiny, [tiny])
    assert second != first and first.exists() and len(compiled) == 2


def test_library_of_another_toolchain_is_another(build, tiny, monkeypatch):
    first = build.library("tiny", tiny, [tiny])
    monkeypatch.setattr(build, "toolchain", lambda: "another ROOT")
    assert build.library("tiny", tiny, [tiny]) != first


def test_many_at_once_compile_once(build, tiny, tmp_path, monkeypatch):
    compiled, paths = [], []
    compiler = build.run_compiler
    monkeypatch.setattr(build, "run_compiler", lambda *a: (compiled.append(a), compiler(*a))[1])
    work = [
        threading.Thread(target=lambda: paths.append(build.library("tiny", tiny, [tiny])))
        for _ in range(8)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert len(paths) == 8 and len(set(paths)) == 1
    assert len(compiled) == 1 and libraries(tmp_path) == ["libtiny.so"]


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


# --- which library ----------------------------------------------------------------------------


def test_library_of_cmake_is_used_if_it_fits_these_sources(ROOT, tmp_path, monkeypatch):
    import helpers

    library = tmp_path / "libm3l.so"
    library.write_bytes(b"\0" + helpers.stamp(ROOT.gROOT.GetVersion()).encode() + b"\0")
    monkeypatch.setattr(helpers, "BUILT_BY_CMAKE", library)
    assert helpers.find_library() == (library, "cmake")


def test_stale_library_of_cmake_is_refused_with_a_warning(ROOT, tmp_path, monkeypatch):
    import helpers

    library = tmp_path / "libm3l.so"
    library.write_bytes(b"\0m3l sources 0123456789abcdef ROOT 6.40.00\0")
    monkeypatch.setattr(helpers, "BUILT_BY_CMAKE", library)
    with pytest.warns(UserWarning, match="was built from other sources .*cmake --build build"):
        path, how = helpers.find_library()
    assert how == "compiled" and Path(path).is_file() and path != library


def test_stamp_changes_with_every_source(tmp_path, monkeypatch):
    stamp = importlib.import_module("helpers.stamp")
    names = [path.name for path in stamp.source_files()]
    assert {"rmm.cxx", "rmm.h", "leptons.cxx", "kinematics.h", "helpers.cxx"} <= set(names)
    before = stamp.fingerprint()
    for path in stamp.source_files():
        shutil.copy(path, tmp_path)
    monkeypatch.setattr(stamp, "SOURCES", tmp_path)
    assert stamp.fingerprint() == before
    (tmp_path / names[0]).write_text("changed")
    assert stamp.fingerprint() != before


def test_examples_of_the_documentation_work(ROOT):
    import helpers

    assert doctest.testmod(helpers).failed == 0


def test_root_prompt_knows_the_helpers():
    root = Path(sys.executable).with_name("root")
    root = root if root.exists() else shutil.which("root")
    words = [root, "-l", "-b", "-q", "helpers/rootlogon.C", "-e", "flavourComp3L({1,2,2})"]
    done = subprocess.run(words, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "(int) 2", done


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
        timeout=300,
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
        timeout=300,
    )


@pytest.mark.slow
def test_cmake_builds_the_library_and_a_change_makes_it_stale(checkout, tmp_path):
    if not shutil.which("cmake"):
        pytest.skip("there is no cmake")
    python = f"-DPython3_EXECUTABLE={sys.executable}"
    for words in (["-S", ".", "-B", "build", python], ["--build", "build"]):
        done = subprocess.run(
            ["cmake", *words], cwd=checkout, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
    done = load_in(checkout)
    assert done.stdout.split() == ["cmake", "2"], done
    with open(checkout / "helpers" / "leptons.cxx", "a") as file:
        file.write("// changed\n")
    done = load_in(checkout, M3L_CACHE=str(tmp_path / "cache"))
    assert done.stdout.split() == ["compiled", "2"], done
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
        _, err = process.communicate(timeout=600)
        assert (process.returncode, err) == (0, "")
    assert len(list((tmp_path / "cache").rglob("libm3l*.so"))) == 2
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
    build.carry(folder)
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


def test_library_for_another_root_is_not_taken_and_said_once(build, carried, tiny, tmp_path):
    toolchain = carried / build.PREPARED
    made_for, _, rest = toolchain.read_text().partition("\n")
    toolchain.write_text(f"ROOT 6.28/04 on Linux x86_64\n{rest}")
    build.prepared.cache_clear()
    with pytest.warns(UserWarning, match="were made for ROOT 6.28/04 .*temporary") as warned:
        path = build.library("tiny", tiny, [tiny])
    assert len(warned) == 1 and carried not in path.parents


def test_library_that_does_not_load_is_replaced_with_one_warning(tmp_path):
    code = """
import warnings, helpers
helpers.find_library = lambda: ("/etc/hostname", "compiled")
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    how = helpers.load()
said = [str(each.message) for each in said if "helpers" in str(each.message)]
import ROOT
print(how, len(said), "do not fit this machine" in said[0], ROOT.flavourComp3L([1, 2, 2]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.split() == ["interpreted", "1", "True", "2"], done
