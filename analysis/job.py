"""A run as a record: what run.json and a submission hold, and the job that it describes."""

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import ROOT
import tables

from analysis import features, processes, samples, selection
from analysis.declarations import Declarations
from analysis.errors import InputError
from analysis.output import FORMAT, latest_format, record_errors
from helpers.stamp import fingerprint


@dataclass(frozen=True)
class Job:
    """A run as it was asked for."""

    samples: samples.SampleList
    declarations: Declarations
    threads: int | None = None
    entries: int | None = None  # of each sample; None: all
    unblind: bool = False
    plain: bool = False  # the chain as it is, not compiled
    model: str | None = None  # folder of a trained model, whose score becomes a column

    def only(self, name):
        """The job for one of its samples. Raises DeclarationError."""
        samples.choose([name], [sample.name for sample in self.samples.samples], "sample")
        kept = tuple(sample for sample in self.samples.samples if sample.name == name)
        return replace(self, samples=replace(self.samples, samples=kept))


def record_of(job, prepared, row, threads, command, cluster=None):
    """The record of a job, from which `job_of` makes it again.

    Of run.json, only what a run finds out is missing: tables, rows and timings.

    prepared, row: what `run.prepare` returned
    cluster: connect.Dask or connect.Spark that runs it
    """
    return {
        "format": FORMAT,
        "command": command,
        "versions": versions(),
        "git": git_commit(),
        "helpers": fingerprint(),
        "luminosity_ifb": job.samples.luminosity_ifb,
        "source": job.samples.source,
        "threads": threads,
        "cluster": cluster and cluster.name,
        "entries": job.entries,
        "model": job.model and str(Path(job.model).resolve()),
        "unblind": job.unblind,
        "plain": job.plain,
        "samples": [sample_json(item) for item in prepared],
        "processes": [
            asdict(processes.process(name, kind, order))
            for order, (name, kind) in enumerate(
                dict.fromkeys((s.process, s.kind) for s in job.samples.samples)
            )
        ],
        "objects": [asdict(declared) for declared in job.declarations.objects],
        "variables": [asdict(declared) for declared in job.declarations.variables],
        "regions": [asdict(region) for region in job.declarations.regions],
        "layout": asdict(job.declarations.layout),
        "features": [asdict(feature) for feature in row],
        "scalars": [asdict(feature) for feature in job.declarations.scalars],
    }


def complete(record, written, timings, read):
    """The content of run.json, from the record of the job and what the run found out.

    written: {sample: {region: (name of the table, number of rows)}}
    read: bytes from ROOT files
    """
    found = [
        {
            **sample,
            "tables": {r: table for r, (table, _) in written[sample["name"]].items()},
            "rows": {r: rows for r, (_, rows) in written[sample["name"]].items()},
        }
        for sample in record["samples"]
    ]
    return {**record, "samples": found, "timings_s": timings, "bytes_read": read}


def bytes_read():
    """Bytes that this process has read from ROOT files."""
    return int(ROOT.TFile.GetFileBytesRead())


def versions():
    """Versions of what computes and writes the results."""
    return {
        "python": platform.python_version(),
        "ROOT": ROOT.gROOT.GetVersion(),
        "numpy": np.__version__,
        "pandas": version("pandas"),
        "tables": tables.__version__,
    }


def sample_json(item):
    """What is known of a sample that is ready for its event loop (run.Prepared)."""
    return {
        **asdict(item.sample),
        "inputs": [asdict(file) for file in item.inputs.files],
        "entries_read": item.entries,
        "normalisation": item.normalisation and asdict(item.normalisation),
        "left_out": item.plan.left_out,
    }


def feature_of(values):
    """Make a Feature from one of the scalars or features of a record."""
    values = dict(values)
    values["binning"] = features.Binning(**values["binning"])
    return from_json(features.Feature, values)


def git_commit():
    """The commit of the checkout, with + where files differ from it; None outside of git."""
    folder = Path(__file__).parent
    words = ["git", "describe", "--always", "--dirty=+", "--abbrev=40", "--exclude=*"]
    try:
        done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.strip() or None


def rerun(path):
    """Return the Job that a run.json describes. Raises InputError or DeclarationError."""
    try:
        record = json.loads(Path(path).read_text())
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path} is not a run.json of this program: {error!r}") from None
    job = job_of(record, path)
    sizes = {f["path"]: f["size"] for s in record["samples"] for f in s.get("inputs", ())}
    changed = [
        f"{name} has changed since the run (it had {size} bytes)"
        for name, size in sizes.items()
        if size is not None and os.path.exists(name) and os.path.getsize(name) != size
    ]
    if changed:
        raise InputError(*changed)
    return job


def job_of(record, path):
    """Return the Job of a record that was read from `path`.

    Raises InputError or DeclarationError.
    """
    record = latest_format(record, path)
    with record_errors(path):
        listed = tuple(
            from_json(samples.Sample, {k: s[k] for k in samples.Sample.__dataclass_fields__})
            for s in record["samples"]
        )
        declared = Declarations(
            tuple(from_json(selection.Object, d) for d in record["objects"]),
            tuple(from_json(selection.Variable, d) for d in record["variables"]),
            tuple(
                replace(
                    from_json(selection.Region, d),
                    cuts=tuple(from_json(selection.Cut, cut) for cut in d["cuts"]),
                )
                for d in record["regions"]
            ),
            replace(
                from_json(features.Layout, record["layout"]),
                types=tuple(from_json(features.ObjectType, d) for d in record["layout"]["types"]),
            ),
            tuple(feature_of(d) for d in record["scalars"]),
        )
        return Job(
            samples.SampleList(listed, record["luminosity_ifb"], record["source"]),
            declared,
            record["threads"],
            record["entries"],
            record["unblind"],
            record.get("plain", record.get("interpret", False)),
            record["model"],
        )


def from_json(kind, values):
    """Make a dataclass from its JSON form, in which tuples are lists."""
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def command_line():
    """The words that started this process."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]
