"""The C++ helpers, callable from RDataFrame strings and from Python.

>>> import helpers
>>> how = helpers.load()
>>> import ROOT
>>> ROOT.flavourComp3L([1, 2, 2])
2
"""

import re
import warnings
from functools import cache
from typing import NamedTuple

from helpers.seal import intact
from helpers.stamp import SOURCES, source_files, stamp
from helpers.terminal import captured_stderr

BUILT_BY_CMAKE = SOURCES.parent / "build" / "libm3l.so"


class Part(NamedTuple):
    """Sources that become one library; paths are relative to this folder."""

    name: str  # of the library
    files: str  # pattern of all its files
    source: str  # all bodies as one unit
    dictionary: str  # the header that the dictionary is made of
    header: str  # what the interpreter shall know


PHYSICS = Part("m3l", "*", "m3l.cxx", "m3l.h", "prompt.h")
ENGINE = Part("m3lengine", "engine/*", "engine/engine.cxx", "engine/engine.h", "engine/engine.h")
# The same where all chains are compiled, so that the interpreter needs to know little of them.
BARE = PHYSICS._replace(header="")
RUNNING = ENGINE._replace(header="engine/running.h")


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
    load()
    return load_library(*chosen_engine(), ENGINE)


@cache
def load_for_chains():
    """Make the physics callable by compiled chains, and the part of the engine that they need.

    Quicker than `load_engine`, which may follow: the interpreter knows no physics. Returns how the
    engine is; if interpreted, all is loaded. Raises ImportError.
    """
    import ROOT

    physics = bare_library()[0]
    if load.cache_info().currsize or not physics:
        return load_engine()
    make_ready()
    if load_compiled(physics):
        return load_engine()  # which says why
    engine, how = find_library(RUNNING)
    if not engine or load_compiled(engine):
        return load_engine()
    ROOT.gInterpreter.Declare(f'#include "{RUNNING.header}"')
    return how


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
    # Files describe the classes in them in the order in which their process first met these, and
    # with a mark if that was in a file: it shall be the same in all, so that equal histograms are
    # equal files.
    for name in ("THashList", "TString", "TAxis", "TH1D"):
        ROOT.TClass.GetClass(name).GetStreamerInfo()
    ROOT.gInterpreter.AddIncludePath(str(SOURCES))


def load_compiled(path):
    """Load a library; returns why that is not possible, "" if it is loaded."""
    import ROOT

    from helpers.build import loading

    if not intact(path):
        return f"in {path} are damaged"
    with captured_stderr() as output, loading(path):
        # Load returns -1 for a library that does not load, and raises nothing.
        if ROOT.gSystem.Load(str(path)) >= 0:
            return ""
    return f"do not fit this machine ({first_error(output.text)})"


def find_library(part=PHYSICS):
    """Return (path, how) of a part's library, compiling it where needed; how is as in `load`.

    (None, "interpreted"), with a warning, where that is not possible.
    """
    import ROOT

    from helpers.build import CompilerError, aclic_library, prepared, usable

    built = BUILT_BY_CMAKE.with_name(f"lib{part.name}.so")
    if built.exists():
        if stamp(ROOT.gROOT.GetVersion()).encode() in content(built) and usable(built):
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
                part.name, SOURCES / part.source, source_files(part.files)
            ), "aclic"
        return portable_library(part), "compiled"
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

    files = source_files(part.files)
    return library(part.name, SOURCES / part.source, files, dictionary=part.dictionary)


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
