"""The main job: look at the inputs, plan, run one event loop per sample, write the results."""

import math
import time
import warnings
from dataclasses import dataclass, replace

import ROOT

import helpers
from analysis import samples
from analysis.anomaly import SCORE, read_model
from analysis.compiled import compile_chains
from analysis.complaints import check_chain
from analysis.dataframes import Dataframes, dataframe
from analysis.declarations import Declarations
from analysis.errors import DeclarationError, InputError
from analysis.export import Output, cutflow_json
from analysis.inputs import Inputs, inspect
from analysis.job import bytes_read, complete, record_of
from analysis.loops import CompiledLoop, PlainLoop, set_threads
from analysis.output import CUTFLOW, RUN
from analysis.plan import NORMALISATION, Plan, Planner
from analysis.schemas import SCHEMAS
from helpers.build import CompilerError, cache_folder


@dataclass(frozen=True)
class Prepared:
    """A sample that is ready for its event loop."""

    sample: samples.Sample
    inputs: Inputs
    plan: Plan
    declarations: Declarations  # what it was planned from
    normalisation: samples.Normalisation | None  # None for data
    entries: int  # to be read
    begin: int = 0  # the first of them
    compiled: object = None  # C++ CompiledChain of the plan; None: its chain runs as it is


def prepare(job, inspect_files=inspect):
    """Look at all inputs and check or compile all expressions, without reading events.

    inspect_files: as inputs.inspect
    Returns a list of Prepared and the features of the run; raises InputError or DeclarationError
    with all problems of all samples.
    """
    planned, row = plan_samples(job, inspect_files)
    if not job.plain and helpers.load_engine() != "interpreted":
        planned = with_compiled(planned, job.declarations.layout.size**2)
    for item in planned:
        if item.entries and not item.compiled:
            check_chain(item.plan, dataframe(item))
    return planned, row


def with_compiled(planned, cells):
    """The samples with their compiled chains, where that is possible.

    cells: number of values of the matrix
    """
    try:
        chains = compile_chains([item.plan for item in planned], cells)
    except CompilerError as error:
        reason = helpers.first_error(str(error))
        warnings.warn(
            f"the chain cannot be compiled and runs as it is, which is slower: {reason}",
            stacklevel=2,
        )
        return planned
    made = []
    for item, compiled in zip(planned, chains, strict=True):
        foreign = str(ROOT.m3l.foreignBranch(compiled))
        if foreign:
            warnings.warn(
                f"sample '{item.sample.name}': branch '{foreign}' is of type "
                f"{item.plan.inputs[foreign]}, which the compiled chain cannot take; its chain "
                "runs as it is, which is slower",
                stacklevel=2,
            )
        made.append(item if foreign else replace(item, compiled=compiled))
    return made


def plan_samples(job, inspect_files=inspect):
    """Look at all inputs and plan all samples, as `prepare`; nothing is compiled."""
    helpers.load_engine()
    declared = job.declarations
    problems, found = [], []
    for sample in job.samples.samples:
        schema = SCHEMAS[sample.schema]
        before = len(problems)
        inputs = inspect_files(sample, schema, problems)
        norm = None
        if len(problems) == before and sample.kind != "data":
            try:
                total = inputs.sum_of_weights
                norm = samples.normalisation(sample, job.samples.luminosity_ifb, total)
            except DeclarationError as error:
                problems += error.problems
        if len(problems) == before:
            planner = Planner(sample, schema, inputs.branches, declared.objects, declared.variables)
            found.append((sample, inputs, norm, planner))
    absent = set().union(*(planner.absent for *_, planner in found))
    row = declared.features(absent)
    score = None
    if job.model:
        scalars = [feature.name for feature in row if feature.expression]
        score = read_model(job.model).expression(declared.layout, scalars)
        floats = [feature for feature in row if not feature.integer]
        row = (*floats, SCORE, *(feature for feature in row if feature.integer))
    planned = []
    for sample, inputs, norm, planner in found:
        planner.add_weight(norm)
        if score:
            planner.add(SCORE.name, score, f"model {job.model}")
        regions = visible(job, sample)
        matrix = declared.layout.expression(planner.absent)
        constants = {} if norm is None else {NORMALISATION: norm.constant}
        plan = planner.plan(regions, row, matrix, constants)
        entries = min(inputs.entries, job.entries or math.inf)
        planned.append(Prepared(sample, inputs, plan, declared, norm, entries))
        problems += planner.problems
    if problems:
        raise InputError(*dict.fromkeys(problems))
    return planned, row


def visible(job, sample):
    """The regions in which a sample may be looked at: data not in blind ones."""
    hidden = sample.kind == "data" and not job.unblind
    return tuple(r for r in job.declarations.regions if not (hidden and r.blind))


def run(job, folder, command, cluster=None):
    """Run the main job and write all products into `folder`.

    command: list of the words that started the job, for run.json
    cluster: connect.Dask or connect.Spark that runs the event loops; None: this machine
    Returns the cutflows as {region: {sample: rows}}, the Dataframes for the prompt and the names of
    the files written. Raises M3LError; nothing is written then.
    """
    timings = Timings()
    threads = set_threads(job.threads)
    prepared, row = prepare(replace(job, plain=True) if cluster else job)
    timings.add("prepare")
    declared = {region.name: region for region in job.declarations.regions}
    cutflows = {region: {} for region in declared}
    if cluster:
        cluster.connect(cache_folder())
    with Output(folder) as output:
        loops = event_loops(prepared, row_layout(job, row), output.staging, cluster)
        timings.add("cluster" if cluster else "prepare")
        written = {}
        for name, loop in loops.items():
            passed = loop.run()
            timings.add("event loop")
            written[name] = {}
            for region, rows in loop.rows.items():
                cutflows[region][name] = passed[region]
                written[name][region] = output.write_rows(name, declared[region], rows, row)
            loop.release()
            timings.add("write")
        output.write_json(CUTFLOW, cutflow_json(cutflows))
        record = record_of(job, prepared, row, threads, command, cluster)
        output.write_json(RUN, complete(record, written, timings.seconds, bytes_read()))
        files = output.publish()
    frames = {name: loop.dataframes for name, loop in loops.items()}
    return cutflows, Dataframes(frames), files


def event_loops(prepared, layout, folder, cluster=None):
    """{sample: EventLoop} in the order of the samples; those of a cluster have run already.

    layout: (cells, floats, integers) of a row
    folder: for temporary files
    """
    if cluster:
        from analysis.cluster.loop import run_on_cluster  # brings optional packages

        return run_on_cluster(prepared, layout, folder, cluster)
    return {
        item.sample.name: (CompiledLoop if item.compiled else PlainLoop)(item, layout, folder)
        for item in prepared
    }


def row_layout(job, row):
    """Numbers of a row's cells, of all its floats and of its integers."""
    floats = sum(not feature.integer for feature in row)
    return job.declarations.layout.size**2, floats, len(row) - floats


class Timings:
    """Seconds that the parts of a run have taken, by name."""

    def __init__(self):
        self.seconds = {}
        self.last = time.monotonic()

    def add(self, name):
        """Add what has passed since the last call."""
        now = time.monotonic()
        self.seconds[name] = round(self.seconds.get(name, 0.0) + now - self.last, 3)
        self.last = now
