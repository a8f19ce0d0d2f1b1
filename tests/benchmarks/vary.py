"""run_rdf.py with many systematic variations: python -m tests.benchmarks.vary weights|objects ...

`weights`: twenty that change weights only; `objects`: ten that change jets and E_T^miss.
"""

import sys

from analysis import declarations
from analysis.systematics import Systematic, rescaled, weighted

WEIGHTS, OBJECTS = 20, 10
SYSTEMATICS = {
    "weights": [
        Systematic(f"weight_{k}", "", weighted(f"1 + 0.0{k} * n_jet"))
        for k in range(1, 1 + WEIGHTS)
    ],
    "objects": [
        Systematic(f"jet_{k}", "", rescaled("jet", f"1.0{k}f")) for k in range(1, 1 + OBJECTS)
    ],
}

if __name__ == "__main__":
    kind, *words = sys.argv[1:]
    declarations.SYSTEMATICS = tuple(SYSTEMATICS[kind])
    import run_rdf

    run_rdf.main([*words, "--vary"])
