"""Before the event loops: look at the inputs, plan all samples, compile their chains."""

import math
import warnings
from dataclasses import dataclass, replace

import helpers
from analysis import good_runs, samples
from analysis.anomaly import KEY, SCORE, read_model
from analysis.compiled import CompiledChain, compile_chains
from analysis.complaints import check_chain
from analysis.dataframes import dataframe_of
from analysis.declarations import Declarations
from analysis.errors import DeclarationError, InputError, listed
from analysis.inputs import Inputs, inspect, twice
from analysis.looks import look_at
from analysis.output import WEIGHT, varied_name
from analysis.plan import NORMALISATION, Plan, Planner
from analysis.scale_factors import keep_corrections
from analysis.schemas import SCHEMAS
from analysis.skimmed import Skimmed
from helpers.build import CompilerError


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
    compiled: CompiledChain | None = None  # of the plan; None: its chain runs as it is
    skimmed: Skimmed | None = None  # where its files are skims


def prepare(job, inspect_files=inspect):
    """Look at all inputs and check or compile all expressions, without reading events.

    inspect_files: as inputs.inspect
    Returns a list of Prepared and the features of the run; raises InputError or DeclarationError
    with all problems of all samples.
    """
    planned, row = plan_samples(job, inspect_files)
    if inspect_files is inspect:  # not a piece, whose files may be of other runs
        refuse_other_runs(planned)
        warn_of_left_out(planned)
    if not job.plain and helpers.load_for_chains() != "interpreted":
        planned = with_compiled(planned, row_layout(job.declarations, row))
    for item in planned:
        if item.entries and not item.compiled:
            files, *_ = next(item.inputs.parts(item.begin, item.begin + item.entries))
            check_chain(item.plan, dataframe_of(item.sample, files, 0, files[0].entries))
    return planned, row


def refuse_other_runs(items):
    """Raise InputError for data of which no event is in its good-run list."""
    problems = []
    for item in items:
        covered = coverage([item])
        if covered and item.inputs.entries and not covered.seen:
            lists, files = (
                listed([str(run) for run in sorted(runs)])
                for runs in (covered.good, good_runs.union(blocks_of(item)))
            )
            problems.append(
                f"sample '{item.sample.name}': its good-run list has none of its events, is it "
                f"that of another year? The list has the runs {lists}, the files {files}"
            )
    if problems:
        raise InputError(*problems)


def coverage(items):
    """The good_runs.Coverage of samples that are Prepared; None where it is not known.

    Skims lack events, and so perhaps blocks.
    """
    found = [i for i in items if i.sample.good_runs and i.inputs.looks and not i.skimmed]
    pairs = [(i.sample.good_runs, blocks) for i in found for blocks in (*blocks_of(i), "")]
    return good_runs.Coverage.of(pairs) if pairs else None


def blocks_of(item):
    """Runs and blocks of the events in each file of a Prepared sample, as text."""
    return [look.blocks for look in item.inputs.looks]


def with_compiled(planned, layout):
    """The samples with their compiled chains, where that is possible.

    layout: as of compile_chains
    """
    try:
        chains = compile_chains([item.plan for item in planned], layout)
    except CompilerError as error:
        reason = helpers.first_error(str(error))
        warnings.warn(
            f"the chain cannot be compiled and runs as it is, which is slower: {reason}",
            stacklevel=2,
        )
        return planned
    made = []
    for item, compiled in zip(planned, chains, strict=True):
        foreign = compiled.foreign
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
    load = helpers.load_engine if job.plain or job.model else helpers.load_for_chains
    load()
    declared = job.declarations
    looks = look_at(job.samples.samples)
    problems = twice(looks, job.samples.samples) + names_of_variations(job)
    found = []
    for sample in job.samples.samples:
        schema = SCHEMAS[sample.schema]
        before = len(problems)
        inputs = inspect_files(sample, looks, problems, job.skip_bad_files)
        skimmed = Skimmed.of(inputs, problems)
        norm = None
        if len(problems) == before:
            try:
                norm = normalisation(sample, job, inputs)
            except DeclarationError as error:
                problems += error.problems
        if len(problems) == before:
            branches = skimmed.branches(inputs) if skimmed else inputs.branches
            planner = Planner(sample, schema, branches, declared.objects, declared.variables)
            found.append((sample, inputs, norm, planner, skimmed))
    absent = set().union(*(planner.absent for *_, planner, _ in found))
    row = declared.features(absent)
    model = job.model and read_model(job.model)
    if model:
        scalars = [feature.name for feature in row if feature.expression]
        score = model.expression(declared.layout, scalars)
        model.keep()
        floats = [feature for feature in row if not feature.integer]
        row = (*floats, SCORE, *(feature for feature in row if feature.integer))
    planned = []
    for sample, inputs, norm, planner, skimmed in found:
        planner.add_weight(norm)
        if model:
            planner.add(SCORE.name, score, "the score in analysis/anomaly.py")
        planner.add_variations(declared.systematics)
        regions = visible(job, sample)
        matrix = declared.layout.expression(planner.absent)
        plan = planner.plan(regions, row, matrix, constants(norm, model))
        if plan:
            plan = replace(plan, drop_bad_events=job.drop_bad_events)
        entries = min(inputs.entries, job.entries or math.inf)
        item = Prepared(sample, inputs, plan, declared, norm, entries, skimmed=skimmed)
        planned.append(item)
        problems += planner.problems
        if plan and skimmed:
            problems += skimmed.problems(item, f"sample '{sample.name}'")
    if problems:
        raise InputError(*dict.fromkeys(problems))
    keep_corrections(*(item.plan for item in planned))
    return planned, row


def names_of_variations(job):
    """Problems for samples that are called as another sample in a systematic variation."""
    samples = {sample.name for sample in job.samples.samples}
    variations = [v for each in job.declarations.systematics for v in each.variations]
    return [
        f"sample '{varied_name(name, variation.name)}' has the name of sample '{name}' in the "
        f"systematic variation '{variation.name}'"
        for name in sorted(samples)
        for variation in variations
        if varied_name(name, variation.name) in samples
    ]


def warn_of_left_out(planned):
    """Warn of cuts and weights that are left out of some samples of a format only."""
    for item in planned:
        alike = [other for other in planned if other.sample.schema == item.sample.schema]
        simulated = [other for other in alike if other.sample.kind != "data"]
        odd = [
            text
            for text in item.plan.left_out
            if ": needs " not in text  # of a variation, which need not concern the others
            and any(
                text not in other.plan.left_out
                for other in (simulated if text.startswith(f"{WEIGHT}: ") else alike)
            )
        ]
        if odd:
            warnings.warn(
                f"sample '{item.sample.name}' is without {'; '.join(odd)}: its files lack what "
                "others of their format have",
                stacklevel=2,
            )


def normalisation(sample, job, inputs):
    """The Normalisation of what is read of a sample, None for data. Raises DeclarationError."""
    if sample.kind == "data":
        return None
    return samples.normalisation(
        sample,
        job.samples.luminosity_ifb,
        inputs.sum_of_weights,
        inputs.share,
        inputs.cross_section,
        inputs.lacking,
    )


def constants(norm, model=None):
    """The constant columns of a sample's plan."""
    found = {} if norm is None else {NORMALISATION: norm.constant}
    return {**found, KEY: model.key} if model else found


def visible(job, sample):
    """The regions in which a sample may be looked at: data not in blind ones."""
    hidden = sample.kind == "data" and not job.unblind
    return tuple(r for r in job.declarations.regions if not (hidden and r.blind))


def without(item, job, path, reason):
    """A Prepared that leaves a bad file out. Raises InputError where that is a skim."""
    if item.skimmed:
        raise InputError(
            f"sample '{item.sample.name}': {path} is a bad file of a skim, which nothing replaces "
            f"({reason})"
        )
    inputs = item.inputs.without(path, reason)
    norm = normalisation(item.sample, job, inputs)
    plan = replace(item.plan, constants={**item.plan.constants, **constants(norm)})
    entries = min(inputs.entries, job.entries or math.inf)
    return replace(item, inputs=inputs, plan=plan, normalisation=norm, entries=entries)


def row_layout(declared, row):
    """Numbers of a row's cells, of all its floats and of its integers."""
    floats = sum(not feature.integer for feature in row)
    return declared.layout.size**2, floats, len(row) - floats
