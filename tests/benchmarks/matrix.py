"""Time per event of the matrix in C++ alone, in nanoseconds: of a full and of a usual event.

    python -m tests.benchmarks.matrix [EVENTS]

Prints JSON: of each layout its rows, the objects present, the time of the program's functor, and
the time of an implementation with TLorentzVector that is compiled with the same options. Their
cells must agree.
"""

import json
import sys
from pathlib import Path

import ROOT

import helpers
from analysis.features import LAYOUTS
from helpers.build import library
from helpers.stamp import source_files

SOURCE = Path(__file__).with_name("matrix.cxx")
USUAL = {"jet": 2, "ljet": 2, "bjet": 1, "ele": 2, "muo": 1, "pho": 0}  # three leptons


def main(events=2000):
    if helpers.load() == "interpreted":
        raise SystemExit("the matrix is timed where the helpers are compiled")
    ROOT.gSystem.Load("libPhysics")
    path = library("matrix_benchmark", SOURCE, [SOURCE, *source_files()])
    if ROOT.gSystem.Load(str(path)) < 0:
        raise SystemExit(f"{path} does not load")
    ROOT.gInterpreter.Declare(
        "namespace matrix_benchmark { std::vector<double>"
        " measure(const std::vector<unsigned> &multiplicities, const std::vector<unsigned> &counts,"
        " unsigned n); }"
    )
    results = []
    numbers = ROOT.std.vector["unsigned"]
    for layout in LAYOUTS:
        full = [kind.multiplicity for kind in layout.types]
        for counts in (full, [USUAL[kind.name] for kind in layout.types]):
            matrix, lorentz, difference = ROOT.matrix_benchmark.measure(
                numbers(full), numbers(counts), events
            )
            if difference > 1e-4:
                raise SystemExit(f"{layout.name}: the two matrices differ by {difference:.2g}")
            results.append(
                {
                    "size": layout.size,
                    "objects": "all" if counts == full else sum(counts),
                    "matrix": matrix,
                    "lorentz": lorentz,
                }
            )
    print(json.dumps(results))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
