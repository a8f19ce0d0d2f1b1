"""Runs too large for one machine: pieces as batch jobs, merged into the output of one run.

python -m analysis.submit BACKEND --samples my.toml -o OUT     BACKEND: local, slurm, condor, grid
python -m analysis.submit status OUT                           what has become of the pieces
python -m analysis.submit resubmit OUT                         failed and missing pieces once more
python -m analysis.submit merge OUT                            the output of `python run_rdf.py`
"""

import argparse
import contextlib
import os
import secrets
import shutil
import sys
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

from analysis.batch import BACKENDS
from analysis.batch.grid import files_of
from analysis.batch.pieces import cut
from analysis.batch.submission import (
    DONE,
    FAILED,
    FORMAT,
    MISSING,
    RUNNING,
    STATES,
    WAITING,
    Submission,
)
from analysis.batch.system import ask, write_scripts
from analysis.errors import (
    BatchError,
    DeclarationError,
    OutputError,
    last_words,
    positive_integer,
)
from analysis.files import parse_json, read_regular, write_json
from analysis.options import (
    add_job,
    add_skim,
    check_job,
    check_skim,
    declared_job,
    obey,
)
from analysis.samples import normalisation

EVENTS_PER_JOB = 50_000_000

LINES = 20  # problems that are shown


def parser():
    """The command line."""
    description, _, examples = __doc__.partition("\n\n")
    make = argparse.ArgumentParser(
        "python -m analysis.submit",
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = make.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, backend in BACKENDS.items():
        summary = backend.__doc__.splitlines()[0].rstrip(".")
        one = commands.add_parser(name, help=summary, description=f"Submit: {summary}.")
        add_job(one)
        size = one.add_mutually_exclusive_group()
        size.add_argument("--files-per-job", type=positive_integer, metavar="N", help="whole files")
        size.add_argument(
            "--events-per-job",
            type=positive_integer,
            metavar="N",
            help=f"at most so many (default: {EVENTS_PER_JOB:,})",
        )
        one.add_argument(
            "--cores", type=positive_integer, default=1, help="threads of a job (default: 1)"
        )
        if name != "grid":
            one.add_argument("--skim", action="store_true", help="write skims instead of tables")
            add_skim(one)
        backend.add_options(one)
    for name, summary in (
        ("status", "what has become of the pieces"),
        ("resubmit", "send failed and missing pieces once more"),
        ("merge", "make the output of one run from the pieces"),
    ):
        one = commands.add_parser(name, help=summary, description=f"{summary.capitalize()}.")
        one.add_argument("output", metavar="OUT", help="output folder of the submission")
        if name == "status":
            one.add_argument("--watch", action="store_true", help="until all jobs have ended")
    return make


def main(arguments=None):
    """Run a command."""
    make = parser()
    options = make.parse_args(arguments)
    acts = {"status": status, "resubmit": resubmit, "merge": merge}
    if options.command not in acts:
        check_job(make, options)
        if options.command != "grid":
            check_skim(make, options, ())
        obey(submit, options, "nothing was sent")
    else:
        obey(acts[options.command], options, "what was complete stays")


# --- submit -----------------------------------------------------------------------------------


def submit(options):
    """Write a submission and send its pieces."""
    kind = BACKENDS[options.command]
    options.output = options.output or "output"
    kind.check(vars(options))
    if getattr(options, "skim", False):
        from analysis.skims import refuse_used

        refuse_used(options.output)
    listed, declared = declared_job(options)
    folder = Path(options.output).resolve()
    with new_jobs_folder(folder) as jobs:
        write_submission(options, listed, declared, jobs)
        submission = Submission(folder)
        backend = kind(submission)
        write_scripts(backend)
        names = [piece.name for piece in submission.sent]
        sent = backend.send(names)
    finish(backend, names, sent)


@contextlib.contextmanager
def new_jobs_folder(folder):
    """Make OUT/jobs, which must not be there yet; it goes away again if anything fails."""
    jobs = folder / "jobs"
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        jobs.mkdir()
        for name in ("code", "cache", "logs", "pieces"):
            (jobs / name).mkdir()
    except FileExistsError:
        if (jobs / "submission.json").exists():
            advice = "has a submission already: resubmit or merge it, or give another -o"
        else:
            advice = f"has what an interrupted submission left: remove {jobs}"
        raise OutputError(f"{folder} {advice}") from None
    except OSError as error:
        raise OutputError(f"output folder {folder} cannot be written: {error.strerror}") from None
    try:
        yield jobs
    except BaseException as error:
        shutil.rmtree(jobs, ignore_errors=True)
        with contextlib.suppress(OSError):
            for path in made:
                path.rmdir()
        if isinstance(error, OSError):
            # Copying a folder gathers what went wrong with each file.
            reason = error.args[0][0][2] if isinstance(error, shutil.Error) else error.strerror
            raise OutputError(f"{jobs} cannot be written: {reason}") from None
        raise


def write_submission(options, listed, declared, jobs):
    """Look at all inputs and write everything that the jobs need."""
    from analysis.job import Job, command_line, record_of
    from analysis.parquet import require_parquet
    from analysis.prepare import coverage, prepare
    from analysis.run import tell_missing
    from helpers import BUILT_BY_CMAKE, SOURCES, copy_libraries, load

    model = options.model
    if model:
        options.model = str(Path(model).resolve())
        model = freeze_model(Path(model), jobs / "model")
    job = replace(Job.of(options, listed, declared, options.cores), model=model)
    if job.parquet:
        require_parquet()
    if options.command == "grid":
        pieces, run = [], grid_record(job)
    else:
        prepared, row = prepare(job)
        sizes = {
            item.sample.name: {file.path: file.entries for file in item.inputs.files}
            for item in prepared
        }
        events = options.events_per_job or EVENTS_PER_JOB
        pieces = cut(sizes, options.files_per_job, events, options.entries)
        covered = coverage(prepared)
        tell_missing(covered)
        run = record_of(job, prepared, row, options.cores, command_line(), covered=covered)
        for sample, item in zip(run["samples"], prepared, strict=True):
            if item.skimmed:
                sample["rejected"] = item.skimmed.rejected(item.plan)
        copy_libraries(jobs / "cache")
    record = {
        "format": FORMAT,
        "id": secrets.token_hex(4),
        "backend": options.command,
        "options": vars(options),
        "pieces": [asdict(piece) for piece in pieces],
        "run": run,
    }
    ignored = shutil.ignore_patterns("__pycache__", "demo")
    for part in (SOURCES, SOURCES.parent / "analysis"):
        shutil.copytree(part, jobs / "code" / part.name, ignore=ignored)
    if options.command != "grid" and load() == "cmake":
        (jobs / "code" / "build").mkdir()
        for path in BUILT_BY_CMAKE.parent.glob("libm3l*"):
            shutil.copy(path, jobs / "code" / "build")
    write_json(jobs / "submission.json", record)


def grid_record(job):
    """The record of a job whose input files are on the grid, known by their names only.

    Raises DeclarationError for samples that cannot be normalised before their files are seen.
    """
    from analysis.job import command_line, record_of

    problems, known = [], []
    for sample in job.samples.samples:
        where = f"sample '{sample.name}'"
        for url in sample.files:
            if not url.startswith("rucio://"):
                problems.append(f"{where}: {url} is not on the grid: give rucio://SCOPE:DATASET")
        try:
            if sample.kind != "data":
                normalisation(sample, job.samples.luminosity_ifb, None)
        except DeclarationError:
            problems.append(
                f"{where}: give its xsec_pb and sum_of_weights, or normalised = true; "
                "files on the grid cannot be looked at before"
            )
    if problems:
        raise DeclarationError(*problems)
    for sample in job.samples.samples:
        promised = [name for url in sample.files for name in files_of(url)]
        known.append({**asdict(sample), "promised": promised})
    row = job.declarations.features(set())
    return {**record_of(job, [], row, job.threads, command_line()), "samples": known}


def freeze_model(model, copy):
    """Copy what is needed of a model, so that training it again changes no job."""
    from analysis.anomaly import FILES

    for path in model.rglob("*"):
        if path.name in FILES:
            target = copy / path.relative_to(model)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    return str(copy if copy.exists() else model)


def finish(backend, names, sent):
    """Run the jobs of a backend that has no queue, or say how to go on."""
    submission = backend.submission
    here = submission.shown
    if not backend.foreground:
        pieces = f"{len(names)} of {len(submission.sent)} pieces " * bool(names)
        print(f"{pieces}{sent}\npython -m analysis.submit status {here} shows the pieces")
        return
    screen = Screen(sys.stdout)

    def draw():
        screen.draw(table(backend, advise=False))

    try:
        backend.run(names, draw if screen.live else lambda: None)
    except KeyboardInterrupt:
        print(
            f"m3l: interrupted; python -m analysis.submit resubmit {here} goes on",
            file=sys.stderr,
            flush=True,
        )
        os._exit(130)
    draw()
    merge_now(backend)


# --- status -----------------------------------------------------------------------------------


def open_backend(options):
    """The Backend of the submission in an output folder."""
    submission = Submission(options.output)
    return BACKENDS[submission.record["backend"]](submission)


def status(options):
    """Show the pieces, with --watch until all have ended."""
    backend = open_backend(options)
    screen = Screen(sys.stdout)
    screen.draw(table(backend))
    while options.watch and any(
        state.state in (RUNNING, WAITING) for state in ask_states(backend)[0]
    ):
        time.sleep(2)
        screen.draw(table(backend))


class Screen:
    """Draws text over what it drew before at a terminal, below it elsewhere."""

    def __init__(self, file):
        self.file, self.live, self.lines = file, file.isatty(), 0
        self.last = None

    def draw(self, text):
        """Draw the text unless it is there already."""
        if text == self.last:
            return
        self.last = text
        if self.live:
            width = shutil.get_terminal_size().columns
            if self.lines:
                self.file.write(f"\x1b[{self.lines}F\x1b[J")
            self.lines = sum(max(1, -(-len(line) // width)) for line in text.splitlines())
        self.file.write(text + "\n")
        self.file.flush()


def ask_states(backend):
    """The states of all pieces, and a line if the batch system does not answer."""
    queue, problem = ask(backend)
    return backend.submission.states(queue), problem


def table(backend, advise=True):
    """The pieces of each sample by state, a line for each problem, and what to do next."""
    states, problem = ask_states(backend)
    samples = {}
    for state in states:
        samples.setdefault(state.piece.sample, Counter())[state.state] += 1
    if len(samples) > 1:
        samples["all"] = sum(samples.values(), Counter())
    width = max(map(len, samples))
    lines = [f"{'pieces':<{width}}" + "".join(f"{state:>9}" for state in STATES)]
    for name, numbers in samples.items():
        cells = "".join(f"{numbers[state] or '-':>9}" for state in STATES)
        lines.append(f"{name:<{width}}{cells}")
    wrong = {}  # pieces with the same problem share a line
    for state in states:
        if state.problem:
            wrong.setdefault((state.state, state.problem), []).append(state.piece)
    for (state, why), (first, *others) in list(wrong.items())[:LINES]:
        more = f" and {len(others)} more" * bool(others)
        lines.append(f"{state} {first.name} ({first.sample}){more}: {why}")
    if len(wrong) > LINES:
        lines.append(f"... and {len(wrong) - LINES} other problems")
    if problem:
        lines.append(problem)
    if advise:
        lines.append(advice(backend, Counter(state.state for state in states)))
    return "\n".join(lines)


def advice(backend, numbers):
    """What to do next."""
    submission = backend.submission
    here = submission.shown
    if not backend.resubmits and numbers[DONE] < sum(numbers.values()):
        return backend.advice()
    if numbers[FAILED] or numbers[MISSING]:
        return f"python -m analysis.submit resubmit {here} sends failed and missing pieces again"
    if numbers[RUNNING] or numbers[WAITING]:
        return "jobs are on their way"
    if is_merged(submission):
        return f"merged: {here} is complete"
    return f"python -m analysis.submit merge {here} makes the output"


def is_merged(submission):
    """Whether the output folder holds the results of this submission."""
    if submission.is_skim:
        return (submission.folder / "samples.toml").exists()
    try:
        record = parse_json(read_regular(submission.folder / "run.json"))
        return record["submission"]["id"] == submission.id
    except (OSError, ValueError, KeyError, TypeError):
        return False


# --- resubmit and merge -----------------------------------------------------------------------


def resubmit(options):
    """Send what failed or is missing again."""
    backend = open_backend(options)
    if not backend.resubmits:
        raise BatchError(backend.advice())
    backend.check(backend.options)
    queue = backend.queue()
    states = backend.submission.states(queue)
    names = [state.piece.name for state in states if state.state in (FAILED, MISSING)]
    if not names:
        print(table(backend))
        return
    backend.submission.forget(names)
    finish(backend, names, backend.send(names))


def merge(options):
    """Merge the pieces that are done, if all are."""
    merge_now(open_backend(options))


def merge_now(backend):
    """Merge, and print the summary."""
    from analysis import summary
    from analysis.batch import merge

    begin, submission = time.monotonic(), backend.submission
    if submission.is_skim:
        from analysis import skims
        from analysis.batch.collect import collect

        made = collect(submission, ask_states(backend)[0])
        skims.print_skim(made, submission.folder, time.monotonic() - begin)
        return
    job, results = merge.merge(submission, ask_states(backend)[0])
    summary.print_summary(job, results, submission.folder, time.monotonic() - begin)


if __name__ == "__main__":
    with last_words():
        main()
