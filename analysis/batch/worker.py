"""One job of a submission: `python -m analysis.batch.worker OUT PIECE`, called by OUT/jobs/job.sh.

The piece is computed in a scratch folder of the machine ($TMPDIR), copied beside its final name and
renamed. A failure is written down as well, so that it can be told from a job that never ran.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
import warnings
from argparse import Namespace
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from analysis.batch.submission import MANIFEST, Submission
from analysis.errors import InputError, M3LError, OutputError, interrupt
from analysis.files import aside, checksum, digest, put_in_place, reason, write_file
from analysis.options import show_warning


def main(words):
    """Compute and deliver a piece; ends the process."""
    folder, name, *files = words  # on the grid also the files, with commas
    warnings.showwarning = show_warning
    signal.signal(signal.SIGTERM, interrupt)
    submission = scratch = None
    problem = ""
    try:
        submission = Submission(folder)
        scratch = Path(tempfile.mkdtemp(prefix=f"m3l-{name}-"))
        files = tuple(files[0].split(",")) if files else None
        compute(submission, submission.piece(name, files), scratch)
        deliver(scratch, submission.results / name)
    except M3LError as error:
        problem = "; ".join(error.problems)
    except KeyboardInterrupt:
        problem = "ended by a signal: cancelled, or out of time"
    except OSError as error:
        problem = f"{error.filename or scratch or 'the temporary folder'}: {reason(error)}"
    except MemoryError:
        problem = "not enough memory: ask for more, or for smaller pieces"
    except Exception as error:
        traceback.print_exc()
        problem = f"{type(error).__name__}: {error}"
    if scratch:
        shutil.rmtree(scratch, ignore_errors=True)
    if problem:
        print(f"m3l: {' '.join(problem.split())}", file=sys.stderr)
    if problem and submission:
        failure = f"{' '.join(problem.split())} (on {socket.gethostname()})\n"
        with contextlib.suppress(OutputError):  # on a full disk the piece will be missing
            write_file(submission.results / f"{name}.failed", failure)
    sys.stderr.flush()
    # The thread of an interrupted event loop would go on.
    os._exit(1 if problem else 0)


def compute(submission, piece, folder):
    """Run the event loop of a piece; writes its tables and its manifest into a folder."""
    from analysis.guard import run_guarded
    from analysis.job import fingerprint, job_of, sample_json, versions
    from analysis.loops import number_of_threads
    from analysis.prepare import prepare, row_layout

    begin = time.time()
    run = submission.run
    if fingerprint() != run["helpers"]:
        raise InputError(f"the helpers in {Path(__file__).parents[2]} are not those submitted")
    job = job_of(run, submission.jobs / "submission.json")
    (promised,) = (sample for sample in run["samples"] if sample["name"] == piece.sample)
    job = of_piece(job, piece, None if submission.on_grid else run["features"])
    threads = number_of_threads(job.threads)
    if submission.on_grid:
        (item,), row = prepare(job, inspect_first)
        if item.skimmed:
            raise InputError("jobs on the grid read no skims: give the original")
        piece = replace(piece, entries=item.entries)
    else:
        (item,), row = prepare(job, lambda *words: inspect_again(promised, *words))
        item = replace(item, begin=piece.begin, entries=piece.entries)
        if json.loads(json.dumps([asdict(feature) for feature in row])) != run["features"]:
            raise InputError(f"piece {piece.name} would have other columns than were submitted")
    write = partial(write_piece, row=row, folder=folder)
    if submission.is_skim:
        write = partial(
            write_skim_piece,
            folder=folder,
            submission=submission,
            stem=f"{piece.sample}-{piece.name}",
        )
    ((_, found),) = run_guarded([item], row_layout(job.declarations, row), folder, threads, write)
    if isinstance(found, Exception):
        raise found
    sample = sample_json(item)
    sample["inputs"] = found.pop("inputs")
    if submission.on_grid:  # where files are on the node is of no interest
        piece = replace(piece, files=tuple(Path(file).name for file in piece.files))
        sample["inputs"] = [{**f, "path": Path(f["path"]).name} for f in sample["inputs"]]
    manifest = {
        "submission": submission.id,
        "piece": asdict(piece),
        "sample": sample,
        **found,
        "features": [feature.name for feature in row],
        "versions": versions(),
        "helpers": fingerprint(),
        "git": run["git"],
        "host": socket.gethostname(),
        "threads": threads,
        "began": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(begin)),
        "seconds": round(time.time() - begin, 1),
    }
    write_manifest(folder, manifest)


def write_piece(item, loop, row, folder):
    """Run the event loop of a piece and write its tables; returns that part of the manifest."""
    from analysis.export import book_histograms, write_rows
    from analysis.inputs import read_checksums
    from analysis.job import bytes_read
    from analysis.output import table_name, varied_name

    sample, end = item.sample.name, item.begin + item.entries
    checked = read_checksums(sample, item.inputs, item.begin, end, limited=False)
    loop.run()
    kinds = item.plan.kinds
    weights = [name for name, kind in kinds.items() if kind == "weight"]
    regions = [each for each in item.declarations.regions if each.name in item.plan.cuts]

    def write(region, variation=None):
        path = folder / table_name(varied_name(sample, variation), region)
        columns = () if variation else weights
        rows = write_rows(
            loop.rows_of(region, variation), path, row, book_histograms((), row), columns
        )
        size = path.stat().st_size
        return {"name": path.name, "rows": rows, "size": size, "sha256": checksum(path)}

    return {
        "inputs": [asdict(file) for file in item.inputs.with_checksums(checked).files],
        "entries_read": loop.filled.call("entries"),
        "dropped_events": loop.dropped,
        "bytes_read": bytes_read(),
        "cutflow": loop.count_jsons(),
        "tables": {region.name: write(region) for region in regions},
        "variations": {
            name: {
                "kind": kind,
                "cutflow": loop.count_jsons(name),
                "tables": {r.name: write(r, name) for r in regions if kind == "object"},
            }
            for name, kind in kinds.items()
        },
        "skim": [],
    }


def write_skim_piece(item, loop, folder, submission, stem):
    """Run the event loop of a piece and write its skim; returns that part of the manifest.

    stem: of the names of its files
    """
    from analysis.job import bytes_read
    from analysis.skims import SkimOptions, write_skim

    options = SkimOptions.of(Namespace(**submission.record["options"]))
    command = submission.run["command"]
    made = write_skim(item, loop, folder, options, command, stem, whole=False)
    kinds = item.plan.kinds
    return {
        "inputs": [asdict(file) for file in made.inputs],
        "entries_read": made.read,
        "dropped_events": made.dropped_events,
        "bytes_read": bytes_read(),
        "cutflow": made.cutflow,
        "tables": {},
        "variations": {
            name: {"kind": kind, **made.variations[name], "tables": {}}
            for name, kind in kinds.items()
        },
        "skim": [asdict(file) for file in made.files],
    }


def write_manifest(folder, manifest):
    """Write a manifest with its own checksum."""
    text = json.dumps({**manifest, "sha256": digest(json.loads(json.dumps(manifest)))}, indent=1)
    (folder / MANIFEST).write_text(text + "\n")


def of_piece(job, piece, features):
    """The part of a job that is one piece, with the columns of the whole.

    features: of the whole, None where they are not known
    """
    (sample,) = (sample for sample in job.samples.samples if sample.name == piece.sample)
    names = features and {feature["name"] for feature in features}
    scalars = tuple(f for f in job.declarations.scalars if names is None or f.name in names)
    return replace(
        job,
        samples=replace(job.samples, samples=(replace(sample, files=piece.files),)),
        declarations=replace(job.declarations, scalars=scalars),
        entries=None,
    )


def inspect_again(promised, sample, looks, problems, skip):
    """As inputs.inspect, but for files that were looked at when they were submitted.

    promised: the sample in the record of the submission
    Returns Inputs with the sum of weights and the cross-section of all files of the sample.
    """
    from analysis.inputs import InputFile, SkippedFile, constant, inspect, share, total

    inputs = inspect(sample, looks, problems)
    before = {file["path"]: file for file in promised["inputs"]}
    for file in inputs.files:
        if not file.is_that_of(before[file.path]):
            problems.append(
                f"sample '{sample.name}': {file.path} has changed since the submission "
                f"({file.entries} entries, it had {before[file.path]['entries']})"
            )
    sums = [file["sum_of_weights"] for file in promised["inputs"]]
    whole = [InputFile(**file) for file in promised["inputs"]]
    skipped = tuple(SkippedFile(**file) for file in promised.get("skipped", ()))
    return replace(
        inputs,
        sum_of_weights=total(sums),
        skipped=skipped,
        share=share(whole, skipped),
        cross_section=constant([file.cross_section for file in whole]),
    )


def inspect_first(sample, looks, problems, skip):
    """As inputs.inspect, for files that nobody has looked at before.

    The sum of weights of the whole sample is declared; those of these files are read for the merge.
    """
    from analysis.inputs import inspect
    from analysis.looks import look_at

    sample = replace(sample, sum_of_weights=None)
    return inspect(sample, look_at([sample]), problems)


def deliver(scratch, final):
    """Copy a complete piece beside its final name and rename it."""
    copy = aside(final)
    try:
        copy.mkdir(parents=True)
        for path in scratch.iterdir():
            shutil.copyfile(path, copy / path.name)
            if (copy / path.name).stat().st_size != path.stat().st_size:
                raise OSError(f"{path.name} was not written whole")
        if not final.exists():  # else another attempt was first, with the same result
            put_in_place(copy, final)
    except OSError as error:
        if not final.exists():
            reason = error.strerror or str(error)
            raise OutputError(f"{final} cannot be written: {reason}") from None
    finally:
        shutil.rmtree(copy, ignore_errors=True)
        if final.exists():  # what attempts have left that were killed, nobody needs any more
            for left in final.parent.glob(f".*-{final.name}"):
                shutil.rmtree(left, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
