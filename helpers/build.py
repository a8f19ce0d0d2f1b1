"""Compile C++ once and keep the library in a cache that many processes may share."""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shlex
import shutil
import string
import subprocess
import tempfile
import warnings
from functools import cache, partial
from pathlib import Path

import ROOT

HEADERS = Path(__file__).resolve().parent


class CompilerError(Exception):
    """The compiler is missing, refused the code or was killed; the text is what it printed."""


def library(name, source, inputs, dictionary=None):
    """Return the path of a library that does not depend on the place of its source.

    It is compiled where the cache does not have it.

    name: of the library, without prefix and suffix
    source: Path of the C++ file to compile
    inputs: Paths of all files that it depends on
    dictionary: a header in this folder; make ROOT know the classes in it and in those it includes
    Raises CompilerError.
    """
    return cached(
        name, source.name, inputs, lambda folder: run_compiler(source, name, folder, dictionary)
    )


def aclic_library(name, source, inputs):
    """The same made by ACLiC: loading it makes the interpreter read `source` where that is."""
    return cached(name, f"ACLiC {source}", inputs, lambda folder: run_aclic(source, name, folder))


def cached(name, what, inputs, make):
    """Return the path of a library in the cache; `make` writes it into a folder where it is not.

    A library is keyed by what it is, its inputs, the version of ROOT and the compiler. It is built
    in a folder of its own and renamed when complete, so that a half-written one is never found.
    """
    key = hashlib.sha256(what.encode())
    for path in sorted(inputs, key=lambda path: path.name):
        key.update(path.read_bytes())
    key.update(toolchain().encode())
    folder = cache_folder() / f"{name}-{key.hexdigest()[:16]}"
    path = folder / f"lib{name}.so"
    if not path.exists():
        try:
            lock = open(folder.with_suffix(".lock"), "w")
        except OSError as error:
            raise CompilerError(f"cannot write to {folder.parent}: {error.strerror}") from None
        with lock:
            # Where the file system cannot lock, several processes do the same work.
            with contextlib.suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                build = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=folder.parent))
                try:
                    make(build)
                    build.chmod(0o755)
                    with contextlib.suppress(FileExistsError, OSError):
                        build.rename(folder)
                finally:
                    shutil.rmtree(build, ignore_errors=True)
        if not path.exists():
            raise CompilerError(f"the cache folder {folder.parent} lost {path.name}")
    used[name] = path
    return path


used = {}  # libraries of this process by name
PREPARED = "toolchain"  # file of a cache folder that `copy_libraries` made


def copy_libraries(folder):
    """Copy the libraries of this process into a cache folder for other machines.

    A process whose $M3L_CACHE is that folder takes them from it, also without a compiler and where
    it cannot write to it, as long as it has the same ROOT.
    """
    for name, path in used.items():
        copy = folder / path.parent.name
        shutil.copytree(path.parent, copy, ignore=shutil.ignore_patterns("*.o"))
        source = path.parent.parent / f"{name}.cxx"
        if source.exists():
            shutil.copy(source, folder)
    (folder / PREPARED).write_text(f"{machine()}\n{toolchain()}")


def machine():
    """What must be the same where a compiled library is loaded."""
    return f"ROOT {ROOT.gROOT.GetVersion()} on {platform.system()} {platform.machine()}"


@cache
def prepared():
    """The toolchain that made the libraries of $M3L_CACHE, None unless `copy_libraries` did.

    Warns if they were made for another ROOT or processor.
    """
    try:
        folder = Path(os.environ["M3L_CACHE"])
        made_for, _, made_with = (folder / PREPARED).read_text().partition("\n")
    except (KeyError, OSError):
        return None
    if made_for == machine():
        return made_with
    warnings.warn(
        f"the libraries in {folder} were made for {made_for}, this is {machine()}: "
        "compiling into a temporary folder",
        stacklevel=2,
    )
    return None


@cache
def toolchain():
    """One string that changes with the version of ROOT, the compiler and its options."""
    if prepared():
        return prepared()
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
# errno, loops with a square root become vector instructions. What does not fit is found when the
# library is loaded.
OPTIONS = "-O3 -DNDEBUG -ffp-contract=off -fno-math-errno -Wl,-z,now"


def run_aclic(source, name, folder):
    """Let ACLiC compile `source` into `folder`, by a ROOT whose settings are nobody else's."""
    # $RPath would also name `folder`, which does not stay, and without quotes.
    rpath = f"-Wl,-rpath,{shlex.quote(str(ROOT.TROOT.GetSharedLibDir()))}"
    command = str(ROOT.gSystem.GetMakeSharedLib()).replace("$RPath", rpath)
    library = folder / f"lib{name}"
    quote = partial(json.dumps, ensure_ascii=False)
    code = (
        f"gSystem->SetMakeSharedLib({quote(command)}); gSystem->SetFlagsOpt({quote(OPTIONS)}); "
        f"gSystem->Exit(!gSystem->CompileMacro({quote(str(source))}, "
        f'"kOcs-", {quote(str(library))}, {quote(str(folder))}));'
    )
    call([str(ROOT.TROOT.GetBinDir()) + "/root.exe", "-l", "-b", "-n", "-q", "-e", code], folder)


def run_compiler(source, name, folder, dictionary=None):
    """Compile `source` into `folder` with the commands that ACLiC would use."""
    sources = [source]
    if dictionary:
        rootcling = str(ROOT.TROOT.GetBinDir()) + "/rootcling"
        sources.append(folder / f"{name}_dictionary.cxx")
        words = ["-f", sources[1].name, "-s", f"lib{name}", f"-I{HEADERS}", dictionary]
        call([rootcling, *words, str((HEADERS / dictionary).with_name("LinkDef.h"))], folder)
    command = string.Template(str(ROOT.gSystem.GetMakeSharedLib())).safe_substitute(
        BuildDir=shlex.quote(str(folder)),
        Opt=OPTIONS,
        IncludePath=f"-I{shlex.quote(str(HEADERS))} {ROOT.gSystem.GetIncludePath()}",
        SourceFiles=shlex.join(map(str, sources)),
        ObjectFiles=shlex.join(f"{path.stem}.o" for path in sources),
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

    Where it cannot be written, or holds libraries for other machines than this, a temporary one
    that lasts as long as this process.
    """
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "m3l"
    folder = Path(os.environ.get("M3L_CACHE") or default)
    if prepared():
        return folder.resolve()
    if (folder / PREPARED).exists():
        return temporary_folder()
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
        return temporary_folder()


def temporary_folder():
    """A folder that is removed when this process ends."""
    temporary.append(tempfile.TemporaryDirectory(prefix="m3l-"))
    return Path(temporary[-1].name)


temporary = []
