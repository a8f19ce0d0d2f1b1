"""The main job: look at the inputs, plan, run one event loop per sample, write the results."""

import math
import time
from dataclasses import dataclass
from functools import partial

import helpers
from analysis import samples
from analysis.anomaly import SCORE, read_model
from analysis.compiled import graphs
from analysis.errors import DeclarationError, InputError
from analysis.export import Output, cutflow_json
from analysis.inputs import Inputs, inspect
from analysis.job import bytes_read, complete, record_of
from analysis.loops import EventLoop, set_threads
from analysis.plan import NORMALISATION, Planner
from analysis.schemas import SCHEMAS
from helpers.build import cache_folder


@dataclass(frozen=True)
class Prepared:
    """A sample that is ready for its event loop."""

    sample: samples.Sample
    inputs: Inputs
    plan: object  # expressions.Plan
    graph: object  # C++ namespace with the plan's compiled expressions
    normalisation: samples.Normalisation | None  # None for data
    entries: int  # to be read
    begin: int = 0  # the first of them


def prepare(job, look=inspect):
    """Look at all inputs and compile all expressions, without reading events.

    look: as inputs.inspect
    Returns a list of Prepared and the features of the run; raises InputError or DeclarationError
    with all problems of all samples.
    """
    helpers.load_engine()
    problems, found = [], []
    for sample in job.samples.samples:
        schema = SCHEMAS[sample.schema]
        before = len(problems)
        inputs = look(sample, schema, problems)
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
    cluster: connect.Dask or connect.Spark that runs the event loops; None: this machine
    Returns the cutflows as {region: {sample: rows}}, the event loops by sample and the names of the
    files written. Raises M3LError; nothing is written then.
    """
    timings = {}
    clock = time.monotonic()
    threads = set_threads(job.threads)
    prepared, row = prepare(job)
    clock = lap(timings, "prepare", clock)
    layout = row_layout(job, row)
    cutflows = {region.name: {} for region in job.declarations.regions}
    loops, written = {}, {}
    if cluster:
        cluster.connect(cache_folder())
    with Output(folder) as output:
        if cluster:
            # Brings optional packages.
            from analysis.cluster.loop import run_distributed

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
        record = record_of(job, prepared, row, threads, command, cluster)
        output.write_json("run.json", complete(record, written, timings, bytes_read()))
        files = output.publish()
    return cutflows, loops, files


def row_layout(job, row):
    """Numbers of a row's cells, of all its floats and of its integers."""
    floats = sum(not feature.integer for feature in row)
    return job.declarations.layout.size**2, floats, len(row) - floats


def lap(timings, name, since):
    """Add the seconds since a time to `timings`; returns the time now."""
    now = time.monotonic()
    timings[name] = round(timings.get(name, 0.0) + now - since, 3)
    return now
