"""The main job: look at the inputs, plan, run one event loop per sample, write the results."""

import json
import math
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
import ROOT
import tables

import helpers
from analysis import features, processes, samples, selection
from analysis.anomaly import SCORE, read_model
from analysis.declarations import Declarations
from analysis.errors import DeclarationError, InputError
from analysis.eventloop import EventLoop, set_threads
from analysis.export import Output, cutflow_json
from analysis.expressions import NORMALISATION, Planner
from analysis.graph import graphs
from analysis.inputs import Inputs, inspect
from analysis.schemas import SCHEMAS
from helpers.build import cache_folder
from helpers.stamp import fingerprint

FORMAT = 1  # of run.json


@dataclass(frozen=True)
class Job:
    """A run as it was asked for."""

    samples: samples.SampleList
    declarations: Declarations
    threads: int | None = None
    entries: int | None = None  # of each sample; None: all
    unblind: bool = False
    interpret: bool = False  # expressions are not compiled
    model: str | None = None  # folder of a trained model, whose score becomes a column


@dataclass(frozen=True)
class Prepared:
    """A sample that is ready for its event loop."""

    sample: samples.Sample
    inputs: Inputs
    plan: object  # expressions.Plan
    graph: object  # C++ namespace with the plan's compiled expressions
    normalisation: samples.Normalisation | None  # None for data
    entries: int  # to be read


def prepare(job):
    """Look at all inputs and compile all expressions, without reading events.

    Returns a list of Prepared and the features of the run; raises InputError or DeclarationError
    with all problems of all samples.
    """
    helpers.load()
    problems, found = [], []
    for sample in job.samples.samples:
        schema = SCHEMAS[sample.schema]
        before = len(problems)
        inputs = inspect(sample, schema, problems)
        norm = None
        if len(problems) == before and sample.kind != "data":
            try:
                total = inputs.sum_of_weights
                norm = samples.normalisation(sample, job.samples.luminosity_ifb, total)
            except DeclarationError as error:
                problems += error.problems
        if len(problems) == before:
            declared = job.declarations
            planner = Planner(sample, schema, inputs.branches, declared.objects, declared.variables)
            found.append((sample, inputs, norm, planner))
    absent = set().union(*(planner.absent for *_, planner in found))
    row = job.declarations.features(absent)
    score = None
    if job.model:
        scalars = [feature.name for feature in row if feature.expression]
        score = read_model(job.model).expression(job.declarations.layout, scalars)
        floats = [feature for feature in row if not feature.integer]
        row = (*floats, SCORE, *(feature for feature in row if feature.integer))
    cells = job.declarations.layout.size**2
    plans = []
    for sample, _, norm, planner in found:
        planner.add_weight(norm)
        if score:
            planner.add(SCORE.name, score, f"model {job.model}")
        regions = visible(job, sample)
        matrix = job.declarations.layout.expression(planner.absent)
        constants = {} if norm is None else {NORMALISATION: norm.constant}
        plans.append(planner.plan(regions, row, matrix, constants))
        problems += planner.problems
    if problems:
        raise InputError(*dict.fromkeys(problems))
    compiled = graphs(plans, cells, job.interpret)
    prepared = [
        Prepared(sample, inputs, plan, graph, norm, min(inputs.entries, job.entries or math.inf))
        for (sample, inputs, norm, _), plan, graph in zip(found, plans, compiled, strict=True)
    ]
    return prepared, row


def visible(job, sample):
    """The regions in which a sample may be looked at: data not in blind ones."""
    hidden = sample.kind == "data" and not job.unblind
    return tuple(r for r in job.declarations.regions if not (hidden and r.blind))


def run(job, folder, command, cluster=None):
    """Run the main job and write all products into `folder`.

    command: list of the words that started the job, for run.json
    cluster: clusters.Dask or clusters.Spark that runs the event loops; None: this machine
    Returns the cutflows as {region: {sample: rows}}, the event loops by sample and the names of the
    files written. Raises M3LError; nothing is written then.
    """
    timings = {}
    clock = time.monotonic()
    threads = set_threads(job.threads)
    prepared, row = prepare(job)
    clock = lap(timings, "prepare", clock)
    floats = sum(not feature.integer for feature in row)
    layout = (job.declarations.layout.size**2, floats, len(row) - floats)
    cutflows = {region.name: {} for region in job.declarations.regions}
    loops, written = {}, {}
    if cluster:
        cluster.connect(cache_folder())
    with Output(folder) as output:
        if cluster:
            # Brings optional packages.
            from analysis.distributed import run_distributed

            see = partial(visible, job)
            loops = run_distributed(prepared, see, layout, output.staging, cluster, job.interpret)
            clock = lap(timings, "cluster", clock)
        for item in prepared:
            name = item.sample.name
            regions = visible(job, item.sample)
            if name not in loops:
                loops[name] = EventLoop(item, regions, layout, output.staging)
            loop = loops[name]
            passed = loop.run()
            clock = lap(timings, "event loop", clock)
            written[name] = {}
            for region in regions:
                cutflows[region.name][name] = passed[region.name]
                written[name][region.name] = output.write_rows(
                    name, region, loop.rows[region.name], row
                )
            loop.release()
            clock = lap(timings, "write", clock)
        output.write_json("cutflow.json", cutflow_json(cutflows))
        output.write_json(
            "run.json",
            record_of(job, prepared, row, written, threads, command, timings, cluster),
        )
        files = output.publish()
    return cutflows, loops, files


def lap(timings, name, since):
    """Add the seconds since a time to `timings`; returns the time now."""
    now = time.monotonic()
    timings[name] = round(timings.get(name, 0.0) + now - since, 3)
    return now


def record_of(job, prepared, row, written, threads, command, timings, cluster):
    """The content of run.json, from which `rerun` makes the job again."""
    return {
        "format": FORMAT,
        "command": command,
        "versions": {
            "python": platform.python_version(),
            "ROOT": ROOT.gROOT.GetVersion(),
            "numpy": np.__version__,
            "pandas": version("pandas"),
            "tables": tables.__version__,
        },
        "git": git_commit(),
        "helpers": fingerprint(),
        "luminosity_ifb": job.samples.luminosity_ifb,
        "source": job.samples.source,
        "threads": threads,
        "cluster": cluster and cluster.name,
        "entries": job.entries,
        "model": job.model and str(Path(job.model).resolve()),
        "unblind": job.unblind,
        "samples": [
            {
                **asdict(item.sample),
                "inputs": [asdict(file) for file in item.inputs.files],
                "entries_read": item.entries,
                "normalisation": item.normalisation and asdict(item.normalisation),
                "left_out": item.plan.left_out,
                "tables": {r: table for r, (table, _) in written[item.sample.name].items()},
                "rows": {r: rows for r, (_, rows) in written[item.sample.name].items()},
            }
            for item in prepared
        ],
        "processes": [
            asdict(processes.process(name, kind, order))
            for order, (name, kind) in enumerate(
                dict.fromkeys((p.sample.process, p.sample.kind) for p in prepared)
            )
        ],
        "objects": [asdict(declared) for declared in job.declarations.objects],
        "variables": [asdict(declared) for declared in job.declarations.variables],
        "regions": [asdict(region) for region in job.declarations.regions],
        "layout": asdict(job.declarations.layout),
        "features": [feature_json(feature) for feature in row],
        "scalars": [asdict(feature) for feature in job.declarations.scalars],
        "timings_s": timings,
    }


def feature_json(feature):
    binning = feature.binning
    return {
        **asdict(feature),
        "binning": None,
        "bins": [binning.bins, binning.low, binning.high],
    }


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
        if record["format"] != FORMAT:
            raise DeclarationError(f"{path} has format {record['format']}, not {FORMAT}")
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
            tuple(
                replace(
                    from_json(features.Feature, d),
                    binning=features.Binning(**d["binning"]),
                )
                for d in record["scalars"]
            ),
        )
        sizes = {f["path"]: f["size"] for s in record["samples"] for f in s["inputs"]}
        job = Job(
            samples.SampleList(listed, record["luminosity_ifb"], record["source"]),
            declared,
            record["threads"],
            record["entries"],
            record["unblind"],
            model=record["model"],
        )
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a run.json of this program: {error!r}") from None
    changed = [
        f"{name} has changed since the run (it had {size} bytes)"
        for name, size in sizes.items()
        if size is not None and os.path.exists(name) and os.path.getsize(name) != size
    ]
    if changed:
        raise InputError(*changed)
    return job


def from_json(kind, values):
    """Make a dataclass from its JSON form, in which tuples are lists."""
    return kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})


def command_line():
    """The words that started this process."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]
