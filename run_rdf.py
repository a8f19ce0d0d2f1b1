"""From ntuples to histograms, cutflow and machine-learning tables.

python run_rdf.py                                   the embedded demo, into ./output
python run_rdf.py --samples my.toml -o OUT          the samples of a file
python run_rdf.py --all -o OUT                      the whole chain, up to the report page
python run_rdf.py --input FOLDER --schema susy      every *_merged_processed.root below FOLDER
python run_rdf.py --list | --check                  what is declared | inputs checked, no event loop
python run_rdf.py --chain WZ                        the selection of a sample, to read and to paste
python run_rdf.py --event WZ:12345                  what happened to an event, cut by cut
python run_rdf.py --skim OUT                        the selected events in files of their own
python run_rdf.py --dask local:4 | --spark MASTER   on a cluster, by distributed RDataFrame
python -i run_rdf.py ...                            then a prompt: `dataframes`, `show`, `explain`
"""

import argparse
import atexit
import contextlib
import io
import os
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

from analysis import console, good_runs, selection, steps, triggers
from analysis.cluster import connect
from analysis.declarations import with_good_runs
from analysis.errors import (
    DeclarationError,
    InputError,
    Parser,
    last_words,
    positive_integer,
    raising,
)
from analysis.features import CARRIED, DEFAULT_LAYOUT, FEATURES, LAYOUTS
from analysis.options import (
    EventName,
    add_job,
    add_skim,
    check_all,
    check_job,
    check_rerun,
    check_skim,
    declared_job,
    job_words,
    obey,
    wants_parquet,
)
from analysis.systematics import SYSTEMATICS


def parser():
    """The command line."""
    description, _, examples = __doc__.partition("\n\n")
    make = Parser(
        "run_rdf.py",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = add_job(make)
    source.add_argument("--rerun", metavar="RUN.JSON", help="do a run again from its record")
    make.add_argument(
        "--force", action="store_true", help="make again what is there and has not changed"
    )
    make.add_argument(
        "--trust",
        action="store_true",
        help="run expressions of a record that are not declared here",
    )
    make.add_argument("-j", "--threads", type=positive_integer, help="threads (default: all cores)")
    where = make.add_mutually_exclusive_group()
    where.add_argument(
        "--dask",
        metavar="WHERE",
        type=connect.Dask.parse,
        help="run on a Dask cluster: tcp://HOST:PORT, local:N, condor:N or slurm:N (N workers)",
    )
    where.add_argument(
        "--spark", metavar="MASTER", type=connect.Spark.parse, help="run on a Spark cluster"
    )
    what = make.add_mutually_exclusive_group()
    what.add_argument(
        "--all", action="store_true", help="the whole chain: tables, training, limits, page"
    )
    what.add_argument("--list", action="store_true", help="print what is declared")
    what.add_argument("--check", action="store_true", help="check inputs and expressions")
    what.add_argument("--chain", metavar="SAMPLE", help="print the chain of a sample as Python")
    what.add_argument(
        "--event",
        metavar="EVENT",
        type=EventName.parse,
        help="explain an event: SAMPLE:NUMBER, SAMPLE:RUN:NUMBER or SAMPLE@ENTRY (from 0)",
    )
    what.add_argument(
        "--skim",
        metavar="OUT",
        help="write the events of the regions and a samples file into a new folder",
    )
    add_skim(make)
    make.add_argument("--fast", action="store_true", help="of --all: a first look")
    make.add_argument(
        "--detector",
        metavar="NAME",
        nargs="+",
        default=[],
        help=f"of --all: train these, the first is shown (default: {' '.join(steps.DETECTORS)})",
    )
    make.add_argument("--cpp", action="store_true", help="print it as C++ for the prompt of root")
    return make


def main(arguments=None):
    """Run the command line; returns the dataframes by sample and region."""
    options = checked(parser(), arguments)
    return obey(act, options, "what is complete is kept: the same command goes on")


def checked(make, arguments):
    """The options of a command line that a parser understands; those that do not fit it refuses."""
    options = make.parse_args(arguments)
    check_job(make, options)
    check_rerun(make, options)
    check_skim(make, options, ("output", "force", "dask", "spark"))
    cluster = options.dask or options.spark
    if cluster and (options.list or options.check or options.chain or options.event):
        make.error("--list, --check, --chain and --event need no --dask and --spark")
    if options.chain and options.entries:
        make.error("-n is not for --chain, which has all entries: add .Range() to what it prints")
    if options.format and (options.list or options.chain or options.event):
        make.error("--format is for runs: --list, --chain and --event write no tables")
    if options.cpp and not options.chain:
        make.error("--cpp says how --chain prints")
    check_all(make, options)
    if cluster and options.threads:
        make.error("-j is for this machine; --dask and --spark have their number of workers")
    return options


def dataframes(*words):
    """The dataframes of all samples without a run, for notebooks: dataframes["WZ"]["SR3L"].

    words: of the command line, such as "--samples", "my.toml"
    Raises M3LError, also for wrong usage: a notebook does not exit.
    """
    return act(checked(raising(parser()), [*map(str, words), "--check"]))


def act(options):
    begin = time.monotonic()
    cluster = options.dask or options.spark
    if cluster:
        if options.entries:
            raise DeclarationError(
                "-n does not work with --dask and --spark, since distributed RDataFrame has no "
                "Range; python -m analysis.submit does it"
            )
        if options.vary is not None:
            raise DeclarationError(
                "--vary does not work with --dask and --spark, since distributed RDataFrame writes "
                "no trees of variations; python -m analysis.submit does it"
            )
        cluster.check()
    if not options.rerun:
        listed, declared = declared_job(options)
        if options.list:
            print_declarations(listed)
            return {}
        if options.all:
            run_chain(options, listed)
            return {}

    from analysis import summary
    from analysis.dataframes import Dataframes, SampleFrames
    from analysis.job import Job, command_line
    from analysis.parquet import require_parquet
    from analysis.prepare import prepare
    from analysis.repeat import Comparison, read_record, rerun
    from analysis.run import run

    folder = options.output or "output"
    if options.rerun:
        record = read_record(options.rerun)
        job = rerun(
            options.rerun,
            record,
            options.sample,
            options.region,
            options.threads,
            options.entries,
            options.trust,
        )
        if options.format:
            job = replace(job, parquet=wants_parquet(options))
        folder = options.output or str(Path(options.rerun).resolve().parent) + "_rerun"
    else:
        job = Job.of(options, listed, declared, options.threads)
    if job.parquet and not (options.chain or options.event):
        require_parquet()
    if options.check:
        prepared, row = prepare(job)
        summary.print_check(job, prepared, row)
        return Dataframes({item.sample.name: partial(SampleFrames, item) for item in prepared})
    if options.chain:
        print_chain(job, options.chain, options.cpp)
        return {}
    if options.event:
        return print_event(job, options.event)
    if options.skim:
        from analysis import skims

        chosen = skims.SkimOptions.of(options)
        made = skims.skim(job, chosen, options.skim, command_line())
        skims.print_skim(made, options.skim, time.monotonic() - begin)
        return {}
    comparison = Comparison(options.rerun, record, job) if options.rerun else None
    # Dask would draw a bar for each sample, all on one line.
    bars = io.StringIO() if cluster else sys.stdout
    with contextlib.redirect_stdout(bars), contextlib.ExitStack() as stack:
        if cluster:
            stack.callback(cluster.close)
        again = options.force or bool(options.rerun)
        results = run(job, folder, command_line(), cluster, again)
        if sys.flags.interactive:
            stack.pop_all()  # the dataframes at the prompt need the cluster
    summary.print_summary(job, results, folder, time.monotonic() - begin)
    if results.failed:
        raise InputError(*(p for error in results.failed.values() for p in error.problems))
    if comparison:
        comparison.finish(folder)
    return results.dataframes


def run_chain(options, listed):
    """Run all steps from the ntuples of a SampleList to the page."""
    from analysis.everything import require_detectors, run_all

    chosen = choices_of(options, listed)
    require_detectors(chosen.detectors)
    run_all(steps.steps_of(chosen), chosen.output, chosen.notes(), options.force)


def choices(*words):
    """The Choices that --all with these words makes, and the files that it reads; for workflows."""
    options = checked(parser(), ["--all", *map(str, words)])
    listed, _ = declared_job(options)
    here = (file for sample in listed.samples for file in sample.files if "://" not in file)
    files = ([options.samples] if options.samples else []) + sorted(here)
    return choices_of(options, listed), files


def choices_of(options, listed):
    """The Choices that the options of --all make; listed: SampleList."""
    return steps.Choices(
        output=options.output or "output",
        job=job_words(options),
        regions=tuple(options.region),
        detectors=tuple(dict.fromkeys(options.detector)),
        signals=any(sample.kind == "signal" for sample in listed.samples),
        threads=options.threads,
        unblind=options.unblind,
        force=options.force,
        fast=options.fast,
    )


def print_chain(job, sample, cpp):
    """Print the chain of a sample as text that runs where it is pasted."""
    from analysis.prepare import plan_samples
    from analysis.script import cpp_script, python_script

    if cpp and job.model:
        raise DeclarationError(
            "--cpp prints no chain with a --model, which takes Python: leave one of them out"
        )
    (item,), _ = plan_samples(job.only(sample))
    print(*(cpp_script(item) if cpp else python_script(item, job.model)), sep="\n")


def print_event(job, name):
    """Print what happened to an event; returns the dataframes of its sample."""
    from analysis.dataframes import Dataframes, SampleFrames
    from analysis.explain import explain
    from analysis.prepare import prepare

    # One event is no reason to compile.
    (item,), _ = prepare(replace(job.only(name.sample), plain=True))
    dataframes = Dataframes({name.sample: partial(SampleFrames, item)})
    print(explain(dataframes[name.sample], name.event, name.position, name.run))
    return dataframes


def print_declarations(listed):
    print(f"samples ({listed.source}, {listed.luminosity_ifb} fb^-1)")
    rows = []
    for sample in listed.samples:
        files = f"{len(sample.files)} file{'s' * (len(sample.files) > 1)}"
        rows.append((sample.name, sample.kind, sample.process, sample.schema, files))
    heads = ("name", "kind", "process", "schema", "files")
    for line in console.table(heads, rows, console.width() - 2):
        print(f"  {line}")
    regions = selection.REGIONS
    if listed.good_runs:
        found = good_runs.read_text(listed.good_runs)
        print(f"good runs: {len(found)}, with {good_runs.size(found)} luminosity blocks")
        regions = with_good_runs(regions)
    for region in regions:
        default = ", default" * (region.name == selection.DEFAULT_REGION)
        print(f"region {region.name}{default}{', blind' * region.blind}")
        for cut in region.cuts:
            print_entry(cut.name, 20, cut.expression)
    print("objects")
    for declared in selection.OBJECTS:
        print_entry(declared.name, 10, " && ".join(f"({cut})" for cut in declared.cuts))
    for schema, menus in triggers.MENUS.items():
        print(f"triggers of {schema}, for cuts on {triggers.NUMBER}")
        for menu in menus:
            print_entry(menu.name, 10, str(menu))
    print("layouts of the matrix")
    for layout in LAYOUTS:
        types = ", ".join(f"{kind.multiplicity} {kind.name}" for kind in layout.types)
        default = ", default" * (layout.name == DEFAULT_LAYOUT)
        print_entry(layout.name, 6, f"{layout.size} x {layout.size}: {types}{default}")
    print("features beside the cells of the matrix")
    for feature in FEATURES:
        print_entry(feature.name, 17, feature.expression)
    print("systematic variations, for --vary")
    for declared in SYSTEMATICS:
        of = f" of {', '.join(declared.processes)}" * bool(declared.processes)
        size = f"{declared.size:.3g} of the yield{of}"
        print_entry(declared.name, 17, size if declared.size else ", ".join(declared.up) + of)
    travel = ", ".join(f"{each.multiplicity} {each.of}" for each in CARRIED)
    said = f"up to {travel} (photons with their layout)"
    print(*console.hanging("objects that travel with an event: ", said, console.width()), sep="\n")


def print_entry(name, column, text):
    """Print a name and, from a column on, what it stands for."""
    print(*console.hanging(f"  {name:<{column}} ", text, console.width()), sep="\n")


def leave():
    """End the process, all is written: to take ROOT down piece by piece takes a fifth of a second.

    For commands, whose work is done.
    """
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    with last_words():
        dataframes = main()
    if not sys.flags.inspect:
        leave()
    if dataframes:
        from analysis.dataframes import show  # noqa: F401
        from analysis.explain import explain  # noqa: F401
