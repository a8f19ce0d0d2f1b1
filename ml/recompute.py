"""Events whose objects were changed, with every feature computed again by the C++ of the analysis.

The tables carry the objects of their events (`Dataset.carried`). A study changes some of these
columns and gives all of them back; `python -m analysis.rebuild`, in a process of its own, runs the
chain of the run over them.
"""

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

import analysis
from analysis.errors import InputError, listed
from analysis.hdf5_writer import FrameWriter
from ml.dataset import Events, Sample

PROGRAM = "analysis.rebuild"


@dataclass(frozen=True)
class Recomputed:
    """The events that pass the cuts of the region, in the order in which they were given."""

    events: Events  # with weight 1, and their positions as EventNumber
    positions: np.ndarray  # (events,) int64, of each in what was given

    def of(self, origin):
        """The events with weight, identity and sample of those that they were made from.

        origin: Events, of as many as were given
        """
        from_ = origin[self.positions]
        return replace(
            self.events,
            weight=from_.weight,
            identity=from_.identity,
            source=from_.source,
            samples=from_.samples,
        )


def read_objects(dataset, samples=None):
    """{column: (events,) float32} by which tables carry objects, as `Dataset.load` has the events.

    samples: Samples of the Dataset, None: all
    Raises InputError for tables without them.
    """
    require_objects(dataset)
    parts = [np.empty((0, len(dataset.carried)), np.float32)]
    for sample in dataset.samples if samples is None else samples:
        with sample.open() as table:
            parts.append(table.read(dataset.carried, dtype=np.float32))
    return dict(zip(dataset.carried, np.concatenate(parts).T, strict=True))


def recompute(dataset, columns, region=None):
    """Compute the features of a Dataset from objects; returns the Recomputed.

    columns: {name: (events,) array} for each of `dataset.carried`: momenta in GeV, ordered as one
        likes, pT 0 where there is no object
    region: whose cuts count, None: that of the dataset
    Raises InputError for columns that are missing or not finite, for tables that carry no objects,
    and where ROOT is not there.
    """
    require_objects(dataset)
    if missing := [name for name in dataset.carried if name not in columns]:
        raise InputError(f"events cannot be computed again without {listed(missing)}")
    if foreign := [name for name in columns if name not in dataset.carried]:
        raise InputError(
            f"{listed(foreign)} cannot be given, choose from {listed(dataset.carried)}"
        )
    arrays = {name: np.asarray(columns[name], np.float32) for name in dataset.carried}
    if len({array.shape for array in arrays.values()}) > 1:
        raise InputError("the columns of events to be computed again differ in length")
    if bad := [name for name, array in arrays.items() if not np.isfinite(array).all()]:
        raise InputError(f"NaN or infinite values in events to be computed again: {listed(bad)}")
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder) / "events.hdf5", Path(folder) / "rows.hdf5"
        with FrameWriter(given, "events", dict.fromkeys(arrays, "float32")) as file:
            file.append(arrays)
        run([dataset.folder, region or dataset.region, given, made])
        sample = Sample("recomputed", "recomputed", "recomputed", made)
        events = replace(dataset, samples=(sample,)).load()
    return Recomputed(events, events.identity[:, 2])


def require_objects(dataset):
    """Raise InputError if the tables of a Dataset do not carry the objects of their events."""
    if not dataset.carried:
        raise InputError(
            f"the tables of {dataset.folder} do not carry the objects of their events: "
            "run run_rdf.py again"
        )


def run(words):
    """Run the program with these arguments. Raises InputError, with what it said, if it fails."""
    checkout = str(Path(analysis.__file__).resolve().parents[1])
    paths = os.pathsep.join(filter(None, (checkout, os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-m", PROGRAM, *map(str, words)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        said = re.findall(r"^m3l: (.*)", done.stderr, re.M) or done.stderr.splitlines()[-1:]
        raise InputError(*(said or [f"{PROGRAM} ended with status {done.returncode}"]))
