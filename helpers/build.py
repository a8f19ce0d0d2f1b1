"""Compile C++ once and keep the library in a cache that many processes may share."""

import contextlib
import fcntl
import hashlib
import os
import shlex
import shutil
import string
import subprocess
import tempfile
import warnings
from functools import cache
from pathlib import Path

import ROOT

HEADERS = Path(__file__).resolve().parent


class CompilerError(Exception):
    """The compiler is missing, refused the code or was killed; the text is what it printed."""


def library(name, source, inputs, dictionary=False):
    """Return the path of the compiled library, compiling it where the cache does not have it.

    A library is keyed by its inputs, the version of ROOT and the compiler. It is built in a folder
    of its own and renamed when complete, so that a half-written one is never found.

    name: of the library, without prefix and suffix
    source: Path of the C++ file to compile
    inputs: Paths of all files that it depends on
    dictionary: compile with ACLiC, which makes ROOT know the library's classes and takes three
        times as long
    Raises CompilerError.
    """
    key = hashlib.sha256(str(source).encode())
    for path in sorted(inputs):
        key.update(path.read_bytes())
    key.update(toolchain().encode())
    folder = cache_folder() / f"{name}-{key.hexdigest()[:16]}"
    path = folder / f"lib{name}.so"
    if path.exists():
        return path
    with one_at_a_time(folder.with_suffix(".lock")):
        if not path.exists():
            build = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder.parent))
            try:
                (run_aclic if dictionary else run_compiler)(source, name, build)
                build.chmod(0o755)
                with contextlib.suppress(FileExistsError, OSError):
                    build.rename(folder)
            finally:
                shutil.rmtree(build, ignore_errors=True)
    if not path.exists():
        raise CompilerError(f"the cache folder {folder.parent} lost {path.name}")
    return path


@cache
def toolchain():
    """One string that changes with the version of ROOT, the compiler and its options."""
    command = ROOT.gSystem.GetMakeSharedLib()
    words = [word for word in command.replace(";", " ").split() if "++" in word or "clang" in word]
    compiler = shutil.which(words[0]) if words else None
    stamp = ""
    if compiler:
        status = os.stat(compiler)
        stamp = f"{os.path.realpath(compiler)} {status.st_size} {status.st_mtime_ns}"
    parts = (ROOT.gROOT.GetVersion(), ROOT.gROOT.GetIncludeDir(), command, OPTIONS, stamp)
    return "\n".join(str(part) for part in parts)


# Without contraction the compiled and the interpreted way round alike on every processor; without
# errno, loops with a square root become vector instructions.
OPTIONS = "-O3 -DNDEBUG -ffp-contract=off -fno-math-errno"


def run_aclic(source, name, folder):
    """Compile `source` into `folder` with ACLiC.

    The plain `root.exe` is used, since from within Python ACLiC links the library to Python.
    """
    macro = (
        f'gSystem->SetBuildDir("{folder}", true); gSystem->SetLinkedLibs("");'
        f'gSystem->SetFlagsOpt("{OPTIONS}"); gSystem->AddIncludePath("-I{HEADERS}");'
        f'gSystem->Exit(gSystem->CompileMacro("{source}", "kfOc", "lib{name}", "{folder}") ? 0 : 1)'
    )
    root = str(ROOT.TROOT.GetBinDir()) + "/root.exe"
    call([root, "-l", "-b", "-q", "-n", "-e", macro], folder)


def run_compiler(source, name, folder):
    """Compile `source` into `folder` with the commands that ACLiC would use."""
    command = string.Template(str(ROOT.gSystem.GetMakeSharedLib())).safe_substitute(
        BuildDir=shlex.quote(str(folder)),
        Opt=OPTIONS + " -Wl,-z,now",  # what does not fit is found when the library is loaded
        IncludePath=f"-I{shlex.quote(str(HEADERS))} {ROOT.gSystem.GetIncludePath()}",
        SourceFiles=shlex.quote(str(source)),
        ObjectFiles=shlex.quote(f"{source.stem}.o"),
        SharedLib=f"lib{name}.so",
        LinkedLibs="",
        RPath="",
    )
    call(["sh", "-c", f"set -e; {command}"], folder)


def call(words, folder):
    """Run a compiler in a process of its own, whose output stays off the terminal."""
    environment = {**os.environ, "LC_ALL": "C", "TMPDIR": str(folder)}
    try:
        done = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment,
            cwd=folder,
        )
    except OSError as error:
        raise CompilerError(f"{words[0]}: {error.strerror}") from None
    if done.returncode != 0:
        raise CompilerError(done.stdout)


@cache
def cache_folder():
    """Folder of the compiled libraries: $M3L_CACHE, else m3l in the user's cache folder.

    Where it cannot be written, a temporary one that lasts as long as this process.
    """
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "m3l"
    folder = Path(os.environ.get("M3L_CACHE") or default)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder.resolve()
    except OSError as error:
        warnings.warn(
            f"cache folder {folder} cannot be written ({error.strerror}), "
            "compiling into a temporary one; set M3L_CACHE to a folder that can",
            stacklevel=2,
        )
        # The object lives in the cache of this function and removes its folder at exit.
        temporary.append(tempfile.TemporaryDirectory(prefix="m3l-"))
        return Path(temporary[-1].name)


temporary = []


@contextlib.contextmanager
def one_at_a_time(path):
    """Let other processes wait here; where the file system cannot lock, they do the same work."""
    with open(path, "w") as lock:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
