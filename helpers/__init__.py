"""The C++ helpers, callable from RDataFrame strings and from Python.

>>> import helpers
>>> how = helpers.load()
>>> import ROOT
>>> ROOT.flavourComp3L([1, 2, 2])
2
"""

import ctypes
import re
import sys
import warnings
from functools import cache
from typing import NamedTuple

from helpers.seal import intact
from helpers.stamp import SOURCES, files_with_headers, stamp
from helpers.terminal import captured_stderr

BUILT_BY_CMAKE = SOURCES.parent / "build" / "libm3l.so"


class Part(NamedTuple):
    """Sources that become one library; paths are relative to this folder."""

    name: str  # of the library
    files: str  # pattern of all its files
    source: str  # all bodies as one unit
    dictionary: str  # the header that the dictionary is made of
    header: str  # what the interpreter shall know
    check: str = ""  # script that looks whether a library is good


PHYSICS = Part("m3l", "*", "m3l.cxx", "m3l.h", "prompt.h")
ENGINE = Part(
    "m3lengine", "engine/*", "engine/engine.cxx", "engine/engine.h", "engine/engine.h", "reading.py"
)
# What takes its place where it does not read as ROOT does.
ENGINE_BY_ROOT = ENGINE._replace(
    name="m3lengine_by_root", source="engine/engine_by_root.cxx", check=""
)
BARE = PHYSICS._replace(header="")  # the same for compiled code only

# Files describe the classes in them in the order in which their process first met these, and with a
# mark if that was in a file: it shall be the same in all, so that equal histograms are equal files.
CLASSES = ("TNamed", "TObject", "THashList", "TString", "TAxis", "TH1D")


@cache
def load():
    """Make the physics callable and return how: "cmake", "aclic", "compiled" or "interpreted".

    A library built by CMake is taken where it was built from these sources with this ROOT, else
    one that ACLiC compiles into the cache folder, in a batch job the one that came with it
    ("compiled"), else the sources are interpreted, with a warning.
    Raises ImportError if this version of ROOT cannot use them at all.
    """
    return load_library(*chosen_library())


@cache
def load_engine():
    """Make the physics and the event-loop engine callable; returns how the engine is.

    Raises ImportError.
    """
    from helpers import native  # brings numpy

    load()
    path, how = chosen_engine()
    how = load_library(path, how, ENGINE)
    native.libraries[:] = [None if how == "interpreted" else path]
    return how


@cache
def load_for_chains():
    """Make the physics callable by compiled chains, and the engine by `native`, without PyROOT.

    `load_engine` may follow. Returns how the engine is, as that does; if interpreted, PyROOT has
    it. Raises ImportError.
    """
    from helpers import native  # brings numpy

    physics = bare_library()[0]
    if load.cache_info().currsize or not physics:
        return load_engine()
    engine, how = find_library(ENGINE)
    if not engine or any(load_compiled(path, load_bare) for path in (physics, engine)):
        return load_engine()  # which says why
    native.libraries[:] = [engine]
    native.call("begin", "\n".join(CLASSES))
    return how


def has_pyroot():
    """Whether PyROOT is in use; whoever asks anything of it waits for most of a second."""
    return "cppyy" in sys.modules


def load_bare(path):
    """Load a library, and ROOT before it, without PyROOT; returns whether that worked."""
    from helpers.build import root_libraries

    try:
        for library in (*root_libraries(), path):
            ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
    except OSError as error:
        print(error, file=sys.stderr)
        return False
    return True


def load_by_root(path):
    """Load a library so that PyROOT knows its dictionary; returns whether that worked."""
    import ROOT

    # Load returns -1 for a library that does not load, and raises nothing.
    return ROOT.gSystem.Load(str(path)) >= 0


@cache
def chosen_library():
    """What `find_library` has found for this process: the library of the physics."""
    return bare_library() if bare_library.cache_info().currsize else find_library()


@cache
def bare_library():
    """The same where it is for compiled code only: ACLiC's would have its headers parsed."""
    return chosen_library() if chosen_library.cache_info().currsize else find_library(BARE)


@cache
def chosen_engine():
    """The same of the engine, interpreted where the physics is: that has warned already."""
    return (None, "interpreted") if load() == "interpreted" else find_library(ENGINE)


@cache
def load_library(path, how, part=PHYSICS):
    """Make a part callable from a library that `find_library` has found, or from the sources.

    For processes that must not compile. Returns how it was possible; raises ImportError.
    """
    import ROOT

    make_ready()
    problem = load_compiled(path) if path else ""
    if problem or not path:
        if problem:
            warnings.warn(
                f"the compiled C++ helpers {problem} and are interpreted, which is slower",
                stacklevel=2,
            )
        how = "interpreted"
        # The interpreter does not load by itself what code needs that it compiles.
        for name in ("libROOTNTuple", "libROOTDataFrame", "libTree", "libHist"):
            ROOT.gSystem.Load(name)
        with captured_stderr() as output:
            good = ROOT.gInterpreter.Declare(f'#define M3L_INTERPRETED\n#include "{part.source}"')
        if not good:
            reason = first_error(output.text)
            raise ImportError(f"the C++ helpers can neither be loaded nor interpreted: {reason}")
    if not ROOT.gInterpreter.Declare(f'#include "{part.header}"'):
        raise ImportError(f"the headers in {SOURCES} do not fit this version of ROOT")
    return how


@cache
def make_ready():
    """What this process of ROOT needs before the first library."""
    import ROOT

    ROOT.gROOT.SetBatch(True)
    for name in CLASSES:
        ROOT.TClass.GetClass(name).GetStreamerInfo()
    ROOT.gInterpreter.AddIncludePath(str(SOURCES))


def load_compiled(path, load_it=load_by_root):
    """Load a library; returns why that is not possible, "" if it is loaded."""
    from helpers.build import loading

    if not intact(path):
        return f"in {path} are damaged"
    with captured_stderr() as output, loading(path):
        if load_it(path):
            return ""
    return f"do not fit this machine ({first_error(output.text)})"


def find_library(part=PHYSICS):
    """Return (path, how) of a part's library, compiling it where needed; how is as in `load`.

    (None, "interpreted"), with a warning, where that is not possible.
    """
    from helpers.build import CompilerError, aclic_library, prepared, root_facts, usable

    built = BUILT_BY_CMAKE.with_name(f"lib{part.name}.so")
    if built.exists():
        if stamp(root_facts()["version"]).encode() in content(built) and usable(built):
            return built, "cmake"
        warnings.warn(
            f"{built.parent} was built from other sources or with another ROOT, or is damaged, and "
            "is not used; run 'cmake --build build --clean-first'",
            stacklevel=2,
        )
    try:
        # Not the engine: loading what ACLiC made parses its headers, and jobs carry it as it is.
        if part is PHYSICS and not prepared():
            return aclic_library(
                part.name, SOURCES / part.source, files_with_headers(part.files)
            ), "aclic"
        return (engine_library() if part is ENGINE else portable_library(part)), "compiled"
    except CompilerError as error:
        warnings.warn(
            "the C++ helpers cannot be compiled and are interpreted, which is slower: "
            + first_error(str(error)),
            stacklevel=2,
        )
        return None, "interpreted"


def content(path):
    """Bytes of a file, none if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def portable_library(part):
    """Path of a part's library that does not name the place of its sources, compiled if needed.

    Raises build.CompilerError.
    """
    from helpers.build import library

    check = part.check and SOURCES / part.check
    return library(*files_of(part), dictionary=part.dictionary, check=check)


def engine_library():
    """The same of the engine, or of that which lets ROOT read, with a warning.

    Raises build.CompilerError.
    """
    from helpers.build import CompilerError, is_cached

    if not is_cached(*files_of(ENGINE_BY_ROOT)):
        try:
            return portable_library(ENGINE)
        except CompilerError as error:
            try:
                portable_library(ENGINE_BY_ROOT)
            except CompilerError:
                raise error from None
    warnings.warn(
        "ROOT reads the files, which is slower: the engine's own reading does not work with this "
        "version of ROOT, see helpers/reading.py",
        stacklevel=2,
    )
    return portable_library(ENGINE_BY_ROOT)


def files_of(part):
    """The name of a part, its source and all its files."""
    return part.name, SOURCES / part.source, files_with_headers(part.files)


def copy_libraries(folder):
    """Make a cache folder, for other machines, of the libraries that this process has loaded.

    Raises build.CompilerError.
    """
    from helpers import build

    if load() == "aclic":
        portable_library(PHYSICS)  # in place of ACLiC's
    load_engine()
    build.copy_libraries(folder)


def names():
    """Names of the helpers that an expression uses without `m3l::`."""
    return tuple(re.findall(r"^using m3l::(\w+);", (SOURCES / "prompt.h").read_text(), re.M))


def first_error(output):
    """The line of a compiler's output that says what went wrong."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for word in ("error:", "c++: not found", "error", "not found", "cannot", "Error"):
        for line in lines:
            if word in line:
                return line[:200]
    return lines[-1][:200] if lines else "it stopped without a message"
