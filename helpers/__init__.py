"""The C++ helpers, callable from RDataFrame strings and from Python.

>>> import helpers
>>> how = helpers.load()
>>> import ROOT
>>> ROOT.flavourComp3L([1, 2, 2])
2
"""

import warnings
from functools import cache

from helpers.stamp import SOURCES, source_files, stamp
from helpers.terminal import captured_stderr

BUILT_BY_CMAKE = SOURCES.parent / "build" / "libm3l.so"


@cache
def load():
    """Make the helpers callable and return how: "cmake", "compiled" or "interpreted".

    A library built by CMake is taken where it was built from these sources with this ROOT, else
    one compiled into the cache folder, else the sources are interpreted, with a warning.
    Raises ImportError if this version of ROOT cannot use them at all.
    """
    return load_library(*chosen_library())


@cache
def chosen_library():
    """What `find_library` has found for this process."""
    return find_library()


@cache
def load_library(path, how):
    """Make the helpers callable from a library that `find_library` has found, or from the sources.

    For processes that must not compile. Returns how it was possible; raises ImportError.
    """
    import ROOT

    ROOT.gROOT.SetBatch(True)
    ROOT.gInterpreter.AddIncludePath(str(SOURCES))
    # Load returns -1 for a library that does not load, and raises nothing.
    with captured_stderr() as output:
        loaded = path is not None and ROOT.gSystem.Load(str(path)) >= 0
    if not loaded:
        if path is not None:
            warnings.warn(
                "the compiled C++ helpers do not fit this machine and are interpreted, which is "
                f"slower: {first_error(output.text)}",
                stacklevel=2,
            )
        how = "interpreted"
        # The interpreter does not load by itself what code needs that it compiles.
        for name in ("libROOTNTuple", "libROOTDataFrame", "libTree", "libHist"):
            ROOT.gSystem.Load(name)
        with captured_stderr() as output:
            good = ROOT.gInterpreter.Declare('#define M3L_INTERPRETED\n#include "helpers.cxx"')
        if not good:
            reason = first_error(output.text)
            raise ImportError(f"the C++ helpers can neither be loaded nor interpreted: {reason}")
    if not ROOT.gInterpreter.Declare('#include "prompt.h"'):
        raise ImportError(f"the headers in {SOURCES} do not fit this version of ROOT")
    return how


def find_library():
    """Return (path, "cmake" or "compiled") of the library, compiling it where needed.

    (None, "interpreted"), with a warning, where that is not possible.
    """
    import ROOT

    from helpers.build import CompilerError, library

    if BUILT_BY_CMAKE.exists():
        if stamp(ROOT.gROOT.GetVersion()).encode() in BUILT_BY_CMAKE.read_bytes():
            return BUILT_BY_CMAKE, "cmake"
        warnings.warn(
            f"{BUILT_BY_CMAKE} was built from other sources or with another ROOT and is not used; "
            "run 'cmake --build build'",
            stacklevel=2,
        )
    try:
        return library("m3l", SOURCES / "helpers.cxx", source_files(), dictionary=True), "compiled"
    except CompilerError as error:
        warnings.warn(
            "the C++ helpers cannot be compiled and are interpreted, which is slower: "
            + first_error(str(error)),
            stacklevel=2,
        )
        return None, "interpreted"


def first_error(output):
    """The line of a compiler's output that says what went wrong."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for word in ("error:", "c++: not found", "error", "not found", "cannot", "Error"):
        for line in lines:
            if word in line:
                return line[:200]
    return lines[-1][:200] if lines else "it stopped without a message"
