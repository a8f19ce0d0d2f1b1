"""A run as a record: what run.json and a submission hold, and the job that it describes."""

import hashlib
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from analysis import features, processes, samples, selection, systematics
from analysis.declarations import Declarations
from analysis.options import wants_parquet
from analysis.records import FORMAT, latest_format, record_errors
from helpers import native
from helpers.build import root_facts
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
    skip_bad_files: bool = False  # leave them out instead of failing
    drop_bad_events: bool = False  # those with bad values: leave them out instead of failing
    vary_tables: bool = False  # write tables of systematic variations
    parquet: bool = False  # write all tables as Parquet as well

    @classmethod
    def of(cls, options, listed, declared, threads):
        """The job that a command line asks for; options: those of `options.add_job`.

        listed: samples.SampleList; declared: Declarations
        """
        return cls(
            listed,
            declared,
            threads,
            options.entries,
            options.unblind,
            options.plain,
            options.model,
            options.skip_bad_files,
            options.drop_bad_events,
            options.vary_tables,
            bool(wants_parquet(options)),
        )

    def only(self, name):
        """The job for one of its samples. Raises DeclarationError."""
        samples.choose([name], [sample.name for sample in self.samples.samples], "sample", "--list")
        kept = tuple(sample for sample in self.samples.samples if sample.name == name)
        return replace(self, samples=replace(self.samples, samples=kept))


def record_of(job, prepared, row, threads, command, cluster=None, covered=None):
    """The record of a job, from which `job_of` makes it again.

    Of run.json, only what a run finds out is missing: tables, rows and timings.

    prepared, row: what `run.prepare` returned
    cluster: connect.Dask or connect.Spark that runs it
    covered: good_runs.Coverage
    """
    return {
        "format": FORMAT,
        "command": command,
        "versions": versions(),
        "git": git_commit(),
        "helpers": fingerprint(),
        "luminosity_ifb": job.samples.luminosity_ifb,
        "good_runs": covered and covered.as_json(),
        "source": job.samples.source,
        "threads": threads,
        "cluster": cluster and cluster.name,
        "entries": job.entries,
        "model": job.model and str(Path(job.model).resolve()),
        "unblind": job.unblind,
        "plain": job.plain,
        "skip_bad_files": job.skip_bad_files,
        "drop_bad_events": job.drop_bad_events,
        "vary_tables": job.vary_tables,
        "samples": [sample_json(item) for item in prepared],
        "processes": [
            asdict(process)
            for process in processes.coloured(
                processes.process(*of)
                for of in dict.fromkeys((s.process, s.kind) for s in job.samples.samples)
            )
        ],
        "objects": [asdict(declared) for declared in job.declarations.objects],
        "variables": [asdict(declared) for declared in job.declarations.variables],
        "regions": [asdict(region) for region in job.declarations.regions],
        "layout": asdict(job.declarations.layout),
        "features": [asdict(feature) for feature in row],
        "scalars": [asdict(feature) for feature in job.declarations.scalars],
        "systematics": [asdict(each) for each in job.declarations.systematics],
        **({"parquet": {}} if job.parquet else {}),
    }


def complete(record, made, failed, timings):
    """The content of run.json, from the record of the job and what the run found out.

    made: {sample: products.Products}
    failed: {sample: exception} of those that have no products
    """
    found = [
        {
            **sample,
            "dropped_events": made[sample["name"]].dropped_events,
            "key": made[sample["name"]].key,
            "inputs": list(made[sample["name"]].inputs),
            "tables": {r: table.name for r, table in made[sample["name"]].tables.items()},
            "rows": {r: table.rows for r, table in made[sample["name"]].tables.items()},
            "checksums": {r: table.sha256 for r, table in made[sample["name"]].tables.items()},
            "bytes_read": made[sample["name"]].bytes_read,
            "variations": {
                name: {
                    "kind": varied.kind,
                    "tables": {r: table.name for r, table in varied.tables.items()},
                    "rows": {r: table.rows for r, table in varied.tables.items()},
                    "checksums": {r: table.sha256 for r, table in varied.tables.items()},
                }
                for name, varied in made[sample["name"]].variations.items()
            },
        }
        for sample in record["samples"]
    ]
    return {
        **record,
        "samples": found,
        "failed": {name: str(error) for name, error in failed.items()},
        "timings_s": timings,
        "bytes_read": sum(products.bytes_read for products in made.values()),
    }


def bytes_read():
    """Bytes that this process has read from ROOT files."""
    return native.call("bytes_read")


@cache
def versions():
    """Versions of what computes and writes the results."""
    return {
        "python": platform.python_version(),
        "ROOT": root_facts()["version"],
        "numpy": np.__version__,
        "pandas": version("pandas"),
        "tables": version("tables"),
        "h5py": version("h5py"),
    }


def made_with():
    """What else than declarations and inputs decides on the results."""
    program = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        program.update(path.read_bytes())
    return {"versions": versions(), "helpers": fingerprint(), "program": program.hexdigest()}


def sample_json(item):
    """What is known of a sample that is ready for its event loop (run.Prepared)."""
    return {
        **asdict(item.sample),
        "inputs": [asdict(file) for file in item.inputs.files],
        "entries_read": item.entries,
        "normalisation": item.normalisation and asdict(item.normalisation),
        "left_out": item.plan.left_out,
        "skipped": [asdict(file) for file in item.inputs.skipped],
        "rejected_events": item.skimmed.rejected_events if item.skimmed else 0,
    }


def feature_of(values):
    """Make a Feature from one of the scalars or features of a record."""
    values = dict(values)
    values["binning"] = values["binning"] and features.Binning(**values["binning"])
    return from_json(features.Feature, values)


@cache
def git_commit():
    """The commit of the checkout, with + where files differ from it; None outside of git.

    Also None where the program is installed below a repository that is not its own.
    """
    own = ["git", "ls-files", Path(__file__).name]
    commit = ["git", "describe", "--always", "--dirty=+", "--abbrev=40", "--exclude=*"]
    try:
        said = [
            subprocess.run(words, cwd=Path(__file__).parent, capture_output=True, text=True)
            for words in (own, commit)
        ]
    except OSError:
        return None
    return (said[0].stdout and said[1].stdout.strip()) or None


def job_of(record, path):
    """Return the Job of a record that was read from `path`. Raises InputError."""
    record = latest_format(record, path)
    with record_errors(path):
        listed = []
        for number, sample in enumerate(record["samples"]):
            new = {"good_runs": ""}  # since this format is there
            known = {k: {**new, **sample}[k] for k in samples.Sample.__dataclass_fields__}
            for problem in samples.RECORDED.problems(known, f"samples[{number}]"):
                raise ValueError(problem)
            listed.append(from_json(samples.Sample, known))
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
            tuple(from_json(systematics.Systematic, d) for d in record.get("systematics", ())),
        )
        for problem in declared.problems():
            raise ValueError(problem)
        return Job(
            samples.SampleList(tuple(listed), record["luminosity_ifb"], record["source"]),
            declared,
            record["threads"],
            record["entries"],
            record["unblind"],
            record.get("plain", record.get("interpret", False)),
            record["model"],
            record.get("skip_bad_files", False),
            record.get("drop_bad_events", False),
            record.get("vary_tables", False),
            "parquet" in record,
        )


def from_json(kind, values):
    """Make a dataclass from its JSON form, in which tuples are lists."""
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def command_line():
    """The words that started this process."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]
