"""Compile C++ once and keep the library in a cache that many processes may share.

A cache folder holds, for each library, named after it and a hash of all that it is made of:

    NAME-KEY/           the library with its checksums, complete
    NAME-KEY/loading-*  locked by a process that loads it; left behind by one that died of it
    NAME-KEY.lock       locked by the process that compiles it
    NAME-KEY.made-*     half made; removed by the next compilation if its maker is dead
"""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shlex
import shutil
import signal
import string
import subprocess
import sys
import tempfile
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

import ROOT

from helpers.seal import intact, seal

HEADERS = Path(__file__).resolve().parent


class CompilerError(Exception):
    """The compiler is missing, refused the code or was killed; the text is what it printed."""


def library(name, source, inputs, dictionary=None, check=None):
    """Return the path of a library that does not depend on the place of its source.

    It is compiled where the cache does not have it.

    name: of the library, without prefix and suffix
    source: Path of the C++ file to compile
    inputs: Paths of all files that it depends on
    dictionary: a header in this folder; make ROOT know the classes in it and in those it includes
    check: Path of a script that ends with an error for a library that is not good, given its path
    Raises CompilerError.
    """

    def make(folder):
        run_compiler(source, name, folder, dictionary)
        if check:
            call(
                [sys.executable, "-W", "ignore", str(check), str(folder / f"lib{name}.so")], folder
            )

    return cached(name, source.name, inputs, make)


def is_cached(name, source, inputs):
    """Whether the cache has a library, so that it is not compiled."""
    return usable(place(name, source.name, inputs))


def aclic_library(name, source, inputs):
    """The same made by ACLiC: loading it makes the interpreter read `source` where that is."""
    return cached(name, f"ACLiC {source}", inputs, lambda folder: run_aclic(source, name, folder))


def cached(name, what, inputs, make):
    """Return the path of a library in the cache; `make` writes it into a folder where it is not.

    A library is keyed by what it is, its inputs, the version of ROOT and the compiler. It is made
    anew where it is not as it was made, or where a process died while it loaded it.
    Raises CompilerError.
    """
    path = place(name, what, inputs)
    folder = path.parent
    if not usable(path):
        if not os.access(folder.parent, os.W_OK):  # a damaged one of a cache that only others write
            path = temporary_folder() / folder.name / path.name
        try:
            make_library(path, name, make)
        except OSError as error:
            raise CompilerError(f"cannot write to {folder.parent}: {error.strerror}") from None
        if not intact(path):
            raise CompilerError(f"the cache folder {folder.parent} lost {path.name}")
    used[name] = path
    return path


def place(name, what, inputs):
    """Where the cache has a library, or would have it; see `cached`."""
    key = hashlib.sha256(what.encode())
    for path in sorted(inputs, key=lambda path: path.name):
        key.update(path.read_bytes())
    key.update(toolchain().encode())
    return cache_folder() / f"{name}-{key.hexdigest()[:16]}" / f"lib{name}.so"


def usable(library):
    """Whether a library of the cache can be loaded."""
    return intact(library) and (not died_loading(library) or survives_loading(library))


def make_library(library, name, make):
    """Make a library of the cache, one process at a time; others wait and find it.

    It is made in a folder of its own and renamed when complete and on disk, so that a half-written
    one is never found. Raises CompilerError and OSError.
    """
    folder = library.parent
    folder.parent.mkdir(exist_ok=True)
    remove_leftovers(folder.parent)
    with open(f"{folder}.lock", "w") as lock:
        wait_for(lock)
        if intact(library) and not died_loading(library):
            return
        new = Path(tempfile.mkdtemp(prefix=f"{folder.name}.made-", dir=folder.parent))
        old = new.with_name(f"{new.name}-old")
        try:
            make(new)
            for left in new.glob("*.o"):
                left.unlink()
            made = new / library.name
            if not made.exists():
                return
            seal(made, [path for path in new.iterdir() if path != made])
            if died_loading(library) and not survives_loading(made):
                raise CompilerError(f"error: {library.name} kills the process that loads it")
            new.chmod(0o755)
            for path in (*new.iterdir(), new):
                sync(path)
            with contextlib.suppress(FileNotFoundError):
                folder.rename(old)
            # Where the file system cannot lock, another process may have been first.
            with contextlib.suppress(OSError):
                new.rename(folder)
            sync(folder.parent)
        finally:
            discard(new)
            discard(old)


def wait_for(lock):
    """Lock an open file, also while others have it. Raises CompilerError if `ending` is set."""
    while True:
        try:
            return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if ending.wait(0.05):
                raise CompilerError("interrupted") from None
        except OSError:  # the file system cannot lock: several processes do the same work
            return


def remove_leftovers(folder):
    """Remove from a cache folder what processes had half made that are dead."""
    for path in folder.glob("*.made-*"):
        with contextlib.suppress(OSError), open(path.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            discard(path)


def discard(path):
    """Remove a folder, or a file that is in its place."""
    shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(OSError):
        path.unlink()


def sync(path):
    """Wait until the content of a file, or the names in a folder, are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def loading(*libraries):
    """Around the loading of libraries: if this process dies of it, the next does not load them."""
    with contextlib.ExitStack() as stack:
        for library in libraries:
            with contextlib.suppress(OSError):  # nobody can mend a cache that cannot be written
                stack.enter_context(marked(library.parent))
        yield
    loaded.extend(libraries)


loaded = []  # paths of libraries that this process has loaded
MARK = "loading-"


@contextlib.contextmanager
def marked(folder):
    """Keep a file in a folder that is locked as long as this process lives."""
    # It gets its name when it is locked, since one that is not is that of a dead process.
    descriptor, new = tempfile.mkstemp(prefix=f".{MARK}", dir=folder)
    mark = folder / Path(new).name[1:]
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.rename(new, mark)
        yield
    finally:
        for path in (new, mark):
            with contextlib.suppress(OSError):
                os.unlink(path)
        with contextlib.suppress(OSError):
            os.close(descriptor)


def left_marks(folder):
    """Marks in a folder whose processes are dead."""
    for mark in folder.glob(f"{MARK}*"):
        with contextlib.suppress(OSError), open(mark) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if os.fstat(file.fileno()).st_nlink:  # not removed meanwhile
                yield mark


def died_loading(library):
    """Whether a process has died while it loaded a library."""
    return any(left_marks(library.parent))


def survives_loading(library):
    """Try whether a library can be loaded: what has died may have been killed for other reasons."""
    try:
        call([sys.executable, "-W", "ignore", "-c", LOAD, *map(str, [*loaded, library])], "/tmp")
    except CompilerError:
        return False
    for mark in left_marks(library.parent):
        mark.unlink(missing_ok=True)
    return True


LOAD = """
import sys, ROOT
ROOT.gSystem.ResetSignals()
for path in sys.argv[1:]:
    ROOT.gSystem.Load(path)
"""


used = {}  # libraries of this process by name
PREPARED = "toolchain"  # file of a cache folder that `copy_libraries` made


def copy_libraries(folder):
    """Copy the libraries of this process into a cache folder for other machines.

    A process whose $M3L_CACHE is that folder takes them from it, also without a compiler and where
    it cannot write to it, as long as it has the same ROOT. Raises CompilerError and OSError.
    """
    for name, path in used.items():
        copy = folder / path.parent.name
        shutil.copytree(path.parent, copy, ignore=shutil.ignore_patterns(f"*{MARK}*"))
        if not intact(copy / path.name):
            raise CompilerError(f"{path} has changed")
        source = path.parent.parent / f"{name}.cxx"
        if source.exists():
            shutil.copy(source, folder)
    (folder / PREPARED).write_text(f"{machine()}\n{toolchain()}")


def machine():
    """What must be the same where a compiled library is loaded."""
    return f"ROOT {root_facts()['version']} on {platform.system()} {platform.machine()}"


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


FACTS = {
    "version": lambda: ROOT.gROOT.GetVersion(),
    "include": lambda: ROOT.gROOT.GetIncludeDir(),
    "include path": lambda: ROOT.gSystem.GetIncludePath(),
    "libraries": lambda: ROOT.TROOT.GetSharedLibDir(),
    "command": lambda: ROOT.gSystem.GetMakeSharedLib(),  # to compile
}


@cache
def root_facts():
    """What ROOT says of itself, see FACTS.

    Remembered in the cache folder while its core library is the same: PyROOT takes most of a second
    to import.
    """
    package = find_spec("ROOT")
    name = hashlib.sha256(str(package and package.origin).encode()).hexdigest()[:16]
    path = wanted_folder() / f"root-{name}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        facts = json.loads(path.read_text())
        if facts["core"] == core_of(facts["libraries"]) and facts.keys() > FACTS.keys():
            return facts
    facts = {name: str(ask()) for name, ask in FACTS.items()}
    with contextlib.suppress(OSError):
        facts["core"] = core_of(facts["libraries"])
        if not (path.parent / PREPARED).exists():
            new = path.with_suffix(f".{os.getpid()}")
            try:
                new.write_text(json.dumps(facts))
                new.replace(path)
            finally:
                discard(new)
    return facts


def core_of(folder):
    """What changes with the ROOT whose libraries are in a folder. Raises OSError."""
    status = os.stat(Path(folder) / "libCore.so")
    return [status.st_size, status.st_mtime_ns]


def root_libraries():
    """Paths of the libraries of ROOT that the engine needs; they bring all others."""
    folder = Path(root_facts()["libraries"])
    return [folder / f"lib{name}.so" for name in ("ROOTDataFrame", "ROOTNTuple")]


@cache
def toolchain():
    """One string that changes with the version of ROOT, the compiler and its options."""
    if prepared():
        return prepared()
    command = root_facts()["command"]
    words = [word for word in command.replace(";", " ").split() if "++" in word or "clang" in word]
    compiler = shutil.which(words[0]) if words else None
    stamp = ""
    if compiler:
        status = os.stat(compiler)
        stamp = f"{os.path.realpath(compiler)} {status.st_size} {status.st_mtime_ns}"
    parts = (root_facts()["version"], root_facts()["include"], command, OPTIONS, stamp)
    parts += (platform.machine(),)
    return "\n".join(str(part) for part in parts)


# Without contraction the compiled and the interpreted way round alike on every processor; without
# errno and traps, loops with square roots and choices become vector instructions. What does not fit
# is found when the library is loaded.
OPTIONS = "-O3 -DNDEBUG -ffp-contract=off -fno-math-errno -fno-trapping-math -Wl,-z,now"


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
    command = string.Template(root_facts()["command"]).safe_substitute(
        BuildDir=shlex.quote(str(folder)),
        Opt=OPTIONS,
        IncludePath=f"-I{shlex.quote(str(HEADERS))} {root_facts()['include path']}",
        SourceFiles=shlex.join(map(str, sources)),
        ObjectFiles=shlex.join(f"{path.stem}.o" for path in sources),
        SharedLib=f"lib{name}.so",
        LinkedLibs="",
        RPath="",
    )
    call(["sh", "-c", f"set -e; {command}"], folder)


def call(words, folder):
    """Run a compiler in a process of its own, whose output stays off the terminal.

    It ends with all that it has started when this function does. Raises CompilerError.
    """
    environment = {**os.environ, "LC_ALL": "C", "TMPDIR": str(folder)}
    # Interruptions wait until the process is in our hands.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM))
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=environment,
            cwd=folder,
            process_group=0,
        )
    except OSError as error:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
        raise CompilerError(f"{words[0]}: {error.strerror}") from None
    with process:
        running.add(process)
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, held)
            if ending.is_set():
                raise CompilerError("interrupted")
            output, _ = process.communicate()
        finally:
            running.discard(process)
            kill(process)
    if process.returncode != 0:
        raise CompilerError(output)


running = set()  # processes of `call`
ending = threading.Event()  # set while they shall end


def kill(process):
    """End a process of `call`, if it runs, with all that it has started."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


@contextlib.contextmanager
def side_by_side():
    """Yield a pool of threads to compile in; if the block is left by an error, they end at once."""
    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    try:
        yield pool
    except BaseException:
        ending.set()
        for process in list(running):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        raise
    finally:
        pool.shutdown(cancel_futures=True)
        ending.clear()


def wanted_folder():
    """The cache folder as the user wants it."""
    if chosen := os.environ.get("M3L_CACHE"):
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "m3l"
    except RuntimeError:  # a user without a name and a home, as in containers
        return Path("/.cache/m3l")


@cache
def cache_folder():
    """Folder of the compiled libraries: $M3L_CACHE, else m3l in the user's cache folder.

    Where it cannot be written, or holds libraries for other machines than this, a temporary one
    that lasts as long as this process.
    """
    folder = wanted_folder()
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
