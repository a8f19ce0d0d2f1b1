"""Whether the engine reads files as ROOT does: python -W ignore helpers/reading.py LIBRARY

The engine decodes TTrees and RNTuples by itself (engine/eventsource.h), as a data source of
RDataFrame, whose interface ROOT may change, and with what it knows of how ROOT stores numbers. So
each engine that is built reads a small file of each kind in both ways; where it does not compile or
finds anything else than ROOT does, the one that lets ROOT read takes its place.
"""

import sys
import tempfile
from pathlib import Path

HEADERS = Path(__file__).resolve().parent
EVENTS = 1000
NUMBERS = (
    "bool",
    "char",
    "short",
    "int",
    "unsigned int",
    "Long64_t",
    "ULong64_t",
    "float",
    "double",
)

OPEN = """
#include "engine/eventsource.h"
ROOT::RDataFrame openForCheck(const std::string &path, long long entries)
{
   m3l::Dataset dataset{"events", {}, 0, -1};
   dataset.addFile(path, entries);
   return ROOT::RDataFrame(std::make_unique<m3l::EventSource>(dataset));
}
"""


def write_files(ROOT, folder):
    """Write the same numbers and arrays as TTree of vectors, of RVec, and as RNTuple.

    Yields the names of the columns and the path of each.
    """
    df, columns = ROOT.RDataFrame(EVENTS), []
    for place, kind in enumerate(NUMBERS):
        value = f"({kind})((rdfentry_ * 37 + {place}) % 101)"
        length = f"(rdfentry_ + {place}) % 5"
        for name, expression in (
            (f"number_{place}", value),
            (f"array_{place}", f"std::vector<{kind}>({length}, {value})"),
        ):
            df = df.Define(name, expression)
            columns.append(name)
    options = ROOT.RDF.RSnapshotOptions()
    options.fAutoFlush = 300
    for name in ("vector", "RVec", "RNTuple"):
        options.fVector2RVec = name == "RVec"
        if name == "RNTuple":
            options.fOutputFormat = ROOT.RDF.ESnapshotOutputFormat.kRNTuple
        df.Snapshot("events", str(folder / f"{name}.root"), columns, options)
        yield columns, folder / f"{name}.root"


def values(df, columns):
    """What a dataframe has in columns, as nested lists by name."""
    for name in columns:
        kind = "ROOT::RVecD" if name.startswith("array") else "double"
        df = df.Redefine(name, f"{kind}({name})")
    arrays = df.AsNumpy(columns)
    return {
        name: [list(v) for v in array] if name.startswith("array") else list(array)
        for name, array in arrays.items()
    }


def main(library):
    """End with an error if an engine reads otherwise than ROOT.

    library: its path
    """
    import ROOT

    if ROOT.gSystem.Load(library) < 0:
        sys.exit(f"error: {library} cannot be loaded")
    ROOT.gInterpreter.AddIncludePath(str(HEADERS))
    if not ROOT.gInterpreter.Declare(OPEN):
        sys.exit("error: its reading does not fit RDataFrame")
    with tempfile.TemporaryDirectory() as folder:
        for columns, path in write_files(ROOT, Path(folder)):
            ours = values(ROOT.openForCheck(str(path), EVENTS), columns)
            theirs = values(ROOT.RDataFrame("events", str(path)), columns)
            wrong = [name for name in columns if ours[name] != theirs[name]]
            if wrong:
                sys.exit(f"error: it reads '{wrong[0]}' of {path.name} otherwise than ROOT")


if __name__ == "__main__":
    main(sys.argv[1])
