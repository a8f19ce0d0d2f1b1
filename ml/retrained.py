"""Detectors that are trained on something else than all of the simulated background.

Each training has a folder of its own below OUT/study, which looks like an output folder: a run.json
with the samples that are learned from, their tables, and the models. Nothing else is written.
"""

import zlib
from pathlib import Path

import numpy as np

from analysis.errors import InputError, listed
from analysis.files import atomic_file, checksum, make_folder, reported, write_json
from analysis.hdf5_writer import FrameWriter
from analysis.output import MODELS, RUN, STUDY, TABLE, TABLES, WEIGHT, read_run
from analysis.performance import LEAST
from ml.dataset import Dataset


def without_process(dataset, name):
    """The samples of a process (or one sample) of the background, and the Dataset without them.

    Raises InputError where there is no such process, nothing else, or fewer than LEAST events.
    """
    background = dataset.of_kind("background")
    left_out = [sample for sample in background if name in (sample.process, sample.name)]
    if not left_out:
        known = dict.fromkeys(sample.process for sample in background)
        there = f"choose from {listed(known, 12)}" if known else "there is no background"
        raise InputError(f"no background process '{name}' in {dataset.folder}: {there}")
    if len(left_out) == len(background):
        raise InputError(f"{name} is all background of {dataset.folder}: nothing to train on")
    events = sum(dataset.rows(sample) for sample in left_out)
    if events < LEAST:
        raise InputError(
            f"{name} has {events} events in {dataset.folder}: at least {LEAST} are needed to judge "
            "how they are told apart"
        )
    names = {sample.name for sample in left_out}
    kept = {s.name: s.kind for s in dataset.samples if s.kind != "signal" and s.name not in names}
    return left_out, _linked(dataset, f"leave_out_{name}", kept)


def on_data(dataset):
    """The Dataset in which collision data is the background. Raises InputError without data."""
    data = dataset.of_kind("data")
    if not sum(dataset.rows(sample) for sample in data):
        raise InputError(
            f"no data in {dataset.folder}, region {dataset.region}: declare a sample of kind data "
            "in the samples file"
        )
    return _linked(dataset, "data", {sample.name: "background" for sample in data})


def on_share(dataset, share, seed):
    """The Dataset with a share of the events of each sample, background and data.

    The seed decides which; at least one of each. Weights of the background grow by what was left.
    """
    folder = dataset.folder / STUDY / "small_sample"
    kept = {s.name: s.kind for s in dataset.samples if s.kind != "signal"}
    record, tables = _record(dataset, kept), folder / TABLES
    _make_tables_folder(tables)
    for entry, sample in zip(record["samples"], dataset.named(kept), strict=True):
        with sample.open() as table:
            columns = table.read_columns()
        rows = len(columns[WEIGHT])
        taken = min(rows, max(1, round(share * rows)))
        random = np.random.default_rng([seed, zlib.crc32(sample.name.encode())])
        chosen = np.sort(random.choice(rows, taken, replace=False)) if rows else slice(0)
        columns = {name: values[chosen] for name, values in columns.items()}
        if sample.kind == "background" and taken:
            columns[WEIGHT] = columns[WEIGHT] * (rows / taken)
        path = tables / Path(entry["tables"][dataset.region]).name
        types = {name: values.dtype for name, values in columns.items()}
        with atomic_file(path) as temporary, FrameWriter(temporary, TABLE, types) as file:
            file.append(columns)
        entry["tables"] = {dataset.region: f"{TABLES}/{path.name}"}
        entry["rows"] = {dataset.region: taken}
        entry["checksums"] = {dataset.region: checksum(path)}
    write_json(folder / RUN, record)
    return Dataset.open(folder, dataset.region)


def train(dataset, name, training, progress=False):
    """Train a declared detector on a Dataset, one model per fold, below its own folder."""
    from ml import ensemble

    config = ensemble.find_declared(name)
    return ensemble.train(dataset, dataset.folder / MODELS / name, config, training, True, progress)


def _record(dataset, kinds):
    """The run.json with some samples, {name: kind}."""
    record = read_run(dataset.folder)
    samples = [
        dict(sample) | {"kind": kinds[sample["name"]]}
        for sample in record["samples"]
        if sample["name"] in kinds and dataset.region in sample["tables"]
    ]
    return record | {"samples": samples}


def _linked(dataset, name, kinds):
    """A Dataset of some samples in OUT/study/<name>, where a link stands for the tables."""
    folder = dataset.folder / STUDY / name
    make_folder(folder)
    write_json(folder / RUN, _record(dataset, kinds))
    link = folder / TABLES
    with reported(link):
        if not link.is_symlink():
            link.symlink_to(Path("..", "..", TABLES))
    return Dataset.open(folder, dataset.region)


def _make_tables_folder(path):
    """A folder for tables, never one that a link leads to."""
    with reported(path):
        if path.is_symlink():
            path.unlink()
        make_folder(path)
