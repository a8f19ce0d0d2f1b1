"""Size of a table and the time to read it, compressed and not.

    python -m tests.benchmarks.table TABLE.hdf5

Prints JSON: rows, bytes of the file, bytes of its float32 columns alone, seconds of
`pandas.read_hdf` for the file and for an uncompressed copy of it, both the best of five.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd


def read_time(path):
    """Seconds of pandas, from a file that the system has in its cache."""
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        pd.read_hdf(path, "mini")
        times.append(time.perf_counter() - begin)
    return min(times)


def main(path):
    frame = pd.read_hdf(path, "mini")
    with tempfile.TemporaryDirectory(dir=Path(path).parent) as folder:
        plain = Path(folder) / "plain.hdf5"
        frame.to_hdf(plain, key="mini")
        times = {"read": read_time(path), "read_plain": read_time(plain)}
    floats = int((frame.dtypes == np.float32).sum())
    sizes = {"rows": len(frame), "size": Path(path).stat().st_size, "raw": 4 * floats * len(frame)}
    print(json.dumps(sizes | times))


if __name__ == "__main__":
    main(sys.argv[1])
