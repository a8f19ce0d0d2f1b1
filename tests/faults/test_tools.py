"""The tools themselves: they see every call, and lose what was not synced."""

import errno
import re
import shutil
import subprocess
import sys

import pytest
from faults.inject import KILL, KILLED, Fault, contents, lose_power, run_once

# Files are written in all ways that are known to be in use: Python's, those of the shell, C's.
WRITER = """
import ctypes, os, pathlib, shutil, sys, tempfile
folder = pathlib.Path(sys.argv[1])
(folder / "deep" / "er").mkdir(parents=True)
os.chdir(folder / "deep")
with open("text", "w") as file:
    file.write("x" * 10)
    file.flush()
    os.fsync(file.fileno())
os.truncate("text", 5)
descriptor = os.open("er/raw", os.O_CREAT | os.O_RDWR)
os.pwrite(descriptor, b"1234", 7)
os.writev(descriptor, [b"a", b"b"])
os.ftruncate(descriptor, 6)
os.fdatasync(descriptor)
os.close(descriptor)
shutil.copyfile("er/raw", "copy")
os.link("copy", "linked")
os.replace("copy", folder / "final")
c = ctypes.CDLL(None)
c.fopen.restype, c.fopen.argtypes = ctypes.c_void_p, [ctypes.c_char_p] * 2
c.fputs.argtypes, c.fclose.argtypes = [ctypes.c_char_p, ctypes.c_void_p], [ctypes.c_void_p]
stream = c.fopen(b"stream", b"w")
c.fputs(b"of C", stream)
c.fclose(stream)
os.system("echo shell >by_shell; mv by_shell moved")
with tempfile.TemporaryFile(dir=folder) as file:
    file.write(b"hidden")
shutil.rmtree("er")
"""
COUNTED = "write pwrite64 writev sendfile copy_file_range ftruncate fsync fdatasync rename renameat"
COUNTED += " truncate renameat2 unlink unlinkat rmdir mkdir mkdirat link linkat"


def counted_by_strace(words, folder, work):
    """Numbers of calls that changed a folder, as failing.c counts them, without open and close."""
    if not shutil.which("strace"):
        pytest.skip("there is no strace")
    log = work / "strace"
    trace = f"trace={COUNTED.replace(' ', ',')}"
    strace = ["strace", "-f", "-yy", "-o", log, "-e", trace, "-z"]
    done = subprocess.run([*strace, *words], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"strace cannot be used here: {done.stderr[-200:]}")
    kinds = {
        "ftruncate": "write",
        "truncate": "write",
        "fsync": "sync",
        "fdatasync": "sync",
        "mkdirat": "mkdir",
    }
    kinds |= dict.fromkeys(("pwrite64", "writev", "sendfile", "copy_file_range"), "write")
    kinds |= {"unlinkat": "unlink", "rmdir": "unlink", "linkat": "link"}
    kinds |= {"renameat": "rename", "renameat2": "rename"}
    found = {}
    for line in log.read_text(errors="replace").splitlines():
        call = re.match(r"\d+ +(\w+)\((.*)", line)
        if not call:
            continue
        name, arguments = call.groups()
        kind = kinds.get(name, name)
        place = arguments
        if kind in ("write", "sync") and name != "copy_file_range":
            place = arguments.split(">")[0]
        # A name that is not absolute is below, where the writer works.
        if str(folder) in place or re.match('"[^/]', arguments):
            found[kind] = found.get(kind, 0) + 1
    return found


def test_every_call_is_counted(tmp_path):
    words = [sys.executable, "-c", WRITER, tmp_path / "traced"]
    (tmp_path / "traced").mkdir()
    expected = counted_by_strace(words, tmp_path / "traced", tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    run = run_once([*words[:-1], out], out, tmp_path)
    assert run.outcome.status == 0, run.outcome
    found = {}
    for event in run.events:
        kind = {"rmdir": "unlink"}.get(event.kind, event.kind)
        found[kind] = found.get(kind, 0) + 1
    del found["create"], found["close"], found["open"]
    assert found == expected


@pytest.mark.slow
def test_every_call_of_a_run_is_counted(tmp_path):
    words = [sys.executable, "-W", "ignore", "run_rdf.py", "-n", "2000", "-o"]
    expected = counted_by_strace([*words, tmp_path / "traced"], tmp_path / "traced", tmp_path)
    run = run_once([*words, tmp_path / "out"], tmp_path / "out", tmp_path)
    found = {}
    for event in run.events:
        found[event.kind] = found.get(event.kind, 0) + 1
    assert {k: found[k] for k in ("write", "sync")} == {k: expected[k] for k in ("write", "sync")}


def test_a_call_fails_or_kills(tmp_path):
    code = "import pathlib, sys; out = pathlib.Path(sys.argv[1])\n"
    code += "for name in 'ab': (out / name).write_text('x')"
    out = tmp_path / "out"
    out.mkdir()
    words = [sys.executable, "-c", code, out]
    run = run_once(words, out, tmp_path, Fault(1, errno.EDQUOT, "write"))
    assert run.struck and "Disk quota exceeded" in run.outcome.err
    (out / "a").unlink()
    run = run_once(words, out, tmp_path, Fault(2, KILL, "open"))
    assert run.outcome.status == KILLED
    assert contents(out) == {"a": b"x"}
    run = run_once(words, out, tmp_path, Fault(2, errno.ENOSPC, goes_on=True))
    assert run.struck and "No space left" in run.outcome.err


LOSES = """
import os, pathlib, sys
folder = pathlib.Path(sys.argv[1])
(folder / "new").write_text("new" * 10)
if "content" in sys.argv:
    with open(folder / "new") as file:
        os.fsync(file.fileno())
os.replace(folder / "new", folder / "file")
if "names" in sys.argv:
    os.fsync(os.open(folder, os.O_RDONLY))
"""


@pytest.mark.parametrize(
    "synced, names, left",
    [
        ("", True, {"file": b""}),
        ("", False, {"file": b"old"}),
        ("content", True, {"file": b"new" * 10}),
        ("content", False, {"file": b"old"}),
        ("names", False, {"file": b""}),
        ("content names", False, {"file": b"new" * 10}),
    ],
)
def test_what_was_not_synced_is_lost(tmp_path, synced, names, left):
    out = tmp_path / "out"
    out.mkdir()
    (out / "file").write_text("old")
    run = run_once([sys.executable, "-c", LOSES, out, *synced.split()], out, tmp_path)
    assert contents(out) == {"file": b"new" * 10}
    lose_power(out, run.events, names)
    assert contents(out) == left


def test_filesystem_is_small(small_filesystem):
    folder = small_filesystem(1 << 16)
    with pytest.raises(OSError, match="No space left"):
        (folder / "a").write_bytes(bytes(1 << 20))
