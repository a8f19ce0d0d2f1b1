"""From pieces to the output of one run, the same as if one machine had made it.

Rows of all pieces go through the store that sorts them in an event loop, so that tables are equal
to the last byte and histograms are filled in the same order; sums of weights are added without
rounding.
"""

import math
import time
from collections import Counter, defaultdict

import helpers
from analysis.batch.submission import DONE, FAILED, MISSING, RUNNING, WAITING
from analysis.children import each
from analysis.errors import InputError
from analysis.export import BATCH, forget_filters
from analysis.files import checksum
from analysis.inputs import InputFile, total
from analysis.job import complete, feature_of, job_of
from analysis.loops import ROW_MEMORY, CutflowRow
from analysis.output import IDENTITY, WEIGHT, Table, varied_name
from analysis.parquet import convert_tables, require_parquet
from analysis.prepare import row_layout, visible
from analysis.products import Output, count_repeated, cutflows_of, tell_dropped
from analysis.records import latest_format
from analysis.run import Results
from helpers import native


def merge(submission, states):
    """Merge the pieces of a submission into its output folder.

    states: of all pieces
    Returns the Job and the run.Results.
    Raises InputError if pieces are missing, damaged or do not belong together, and OutputError;
    nothing is written then.
    """
    helpers.load_engine()
    refuse_gaps(submission, states)
    with Output(submission.folder) as output:
        begin = time.monotonic()
        manifests = {piece.name: submission.manifest(piece.name) for piece in submission.pieces}
        run = grid_run(submission, manifests) if submission.on_grid else submission.run
        run = latest_format(run, submission.jobs / "submission.json")
        job = job_of(run, submission.jobs / "submission.json")
        if job.parquet:
            require_parquet()
        check(submission, run, job, manifests)
        row = tuple(feature_of(feature) for feature in run["features"])
        samples = list(zip(job.samples.samples, run["samples"], strict=True))

        def write(number):
            sample, record = samples[number]
            parts = [m for m in manifests.values() if m["piece"]["sample"] == sample.name]
            return write_sample(submission, output, job, row, sample, record, parts)

        made = {}
        for number, result in each(write, range(len(samples)), begin=forget_filters):
            if isinstance(result, Exception):
                raise result
            made[samples[number][0].name] = result
        if job.parquet:
            run["parquet"], _ = convert_tables(output, made, run["features"])
        timings = {
            "event loop": round(sum(m["seconds"] for m in manifests.values()), 1),
            "merge": round(time.monotonic() - begin, 1),
        }
        record = complete(run, made, {}, timings)
        tell_dropped(made, record)
        data = [sample.name for sample in job.samples.samples if sample.kind == "data"]
        record["repeated_data_events"] = count_repeated(made, data, output)
        record["model"] = submission.record["options"]["model"]  # not the copy of the jobs
        record["submission"] = {"id": submission.id, "pieces": len(manifests)}
        cutflows = cutflows_of(made, job)
        files = output.publish(made, record, cutflows)
    return job, Results(cutflows, None, files, {}, 0)


def write_sample(submission, output, job, row, sample, record, parts):
    """Write the products of a sample from its pieces; returns the Products.

    record: the sample in the record of the submission
    parts: manifests of its pieces
    """
    rejected = record.get("rejected")  # where its files are skims
    regions, kinds = visible(job, sample), kinds_of(parts[0])

    counted = [*parts, rejected] if rejected else parts

    def cutflow(variation=None):
        found = [part["variations"][variation] if variation else part for part in counted]
        return {region.name: sum_cutflow(found, region) for region in regions}

    def rows_of(region, variation):
        return sorted_rows(submission, parts, region, variation, job, row, output.partial)

    with output.sample(sample.name, job.vary_tables) as new:
        variations = new.write_all(regions, row, rows_of, kinds, cutflow)
        return new.finish(
            key=submission.id,
            cutflow=cutflow(),
            variations=variations,
            inputs=tuple(with_checksums(record["inputs"], parts)),
            dropped_events=sum(part["dropped_events"] for part in parts),
            seconds={"event loop": sum(part["seconds"] for part in parts)},
            bytes_read=sum(part["bytes_read"] for part in parts),
        )


def kinds_of(manifest):
    """{variation: kind} of a piece."""
    return {name: varied["kind"] for name, varied in manifest["variations"].items()}


def with_checksums(inputs, manifests):
    """The files of a sample in the record, with the checksums that its pieces have read."""
    read = {
        file["path"]: file["checksum"]
        for manifest in manifests
        for file in manifest["sample"]["inputs"]
        if file.get("checksum")
    }
    return [{**file, "checksum": read.get(file["path"], file.get("checksum"))} for file in inputs]


def refuse_gaps(submission, states):
    """Raise InputError if a piece is not done."""
    numbers = Counter(state.state for state in states)
    open_ = [f"{numbers[s]} {s}" for s in (FAILED, MISSING, RUNNING, WAITING) if numbers[s]]
    if not open_:
        return
    here = submission.shown
    advice = f"python -m analysis.submit status {here} shows them"
    if numbers[FAILED] or numbers[MISSING]:
        advice += f", resubmit {here} sends failed and missing ones again"
    raise InputError(
        f"{len(states) - numbers[DONE]} of {len(states)} pieces are not done "
        f"({', '.join(open_)}): {advice}"
    )


def grid_run(submission, manifests):
    """The record of a run on the grid, with what its pieces found out about the files.

    Raises InputError if a file was read twice, or if the sums of weights in the files are not
    those declared.
    """
    problems, found = [], []
    for sample in submission.run["samples"]:
        name, declared = sample["name"], sample["sum_of_weights"]
        parts = [m for m in manifests.values() if m["piece"]["sample"] == name]
        inputs = [file for manifest in parts for file in manifest["sample"]["inputs"]]
        for path, times in Counter(file["path"] for file in inputs).items():
            if times > 1:
                problems.append(f"sample '{name}': {path} was read by {times} pieces")
        sumw = total([file["sum_of_weights"] for file in inputs])
        if None not in (sumw, declared) and not math.isclose(sumw, declared, rel_tol=1e-6):
            problems.append(
                f"sample '{name}': its files hold a sum of weights of {sumw}, "
                f"declared is {declared}"
            )
        entries = sum(manifest["entries_read"] for manifest in parts)
        found.append({**parts[0]["sample"], **sample, "inputs": inputs, "entries_read": entries})
    if problems:
        raise InputError(*problems)
    common = set.intersection(*(set(manifest["features"]) for manifest in manifests.values()))
    kept = [feature for feature in submission.run["features"] if feature["name"] in common]
    versions = next(iter(manifests.values()))["versions"]
    return {**submission.run, "samples": found, "features": kept, "versions": versions}


def check(submission, run, job, manifests):
    """Raise InputError, with a line for each problem, unless the pieces make up the submission.

    run: the record of the submission, which says how many entries each sample has
    job: what it describes
    """
    promised = {sample["name"]: sample for sample in run["samples"]}
    regions = {sample.name: visible(job, sample) for sample in job.samples.samples}
    problems = []
    for piece in submission.pieces:
        manifest = manifests[piece.name]
        found = manifest["piece"]
        where = f"piece {piece.name}"
        counted = [manifest, *manifest["variations"].values()]
        cuts = [
            {r: [row["cut"] for row in rows] for r, rows in each["cutflow"].items()}
            for each in counted
        ]
        first = next(m for m in manifests.values() if m["piece"]["sample"] == piece.sample)
        wanted = {r.name: ["all", *(cut.name for cut in r.cuts)] for r in regions[piece.sample]}
        written = set() if submission.is_skim else set(wanted)
        if manifest["submission"] != submission.id:
            problems.append(f"{where} belongs to another submission")
        elif found["name"] != piece.name:
            problems.append(f"{where} is a copy of piece {found['name']}")
        elif manifest["helpers"] != run["helpers"]:
            problems.append(f"{where} was made with other helpers than were submitted")
        elif any(each != wanted for each in cuts) or any(
            set(each["tables"]) != written for each in with_tables(manifest)
        ):
            problems.append(f"{where} holds other regions or cuts than were submitted")
        elif kinds_of(manifest) != kinds_of(first):
            problems.append(f"{where} holds other variations than {first['piece']['name']}")
        elif (*found["files"], found["begin"], found["entries"]) != (
            *piece.files,
            piece.begin,
            piece.entries,
        ):
            problems.append(f"{where} holds other entries than were submitted")
        else:
            if not {feature["name"] for feature in run["features"]} <= set(manifest["features"]):
                problems.append(f"{where} has other columns than were submitted")
            problems += check_numbers(where, manifest, promised[piece.sample])
            problems += check_files(where, submission.results / piece.name, manifest)
    problems += check_versions(manifests)
    for name, sample in promised.items():
        parts = [m for m in manifests.values() if m["piece"]["sample"] == name]
        entries = sum(manifest["entries_read"] for manifest in parts)
        if entries != sample["entries_read"]:
            problems.append(
                f"sample '{name}': the pieces have {entries} entries, not {sample['entries_read']}"
            )
    if problems:
        raise InputError(*problems)


def check_numbers(where, manifest, promised):
    """Problems if entries or sums of weights of a piece are not those that were submitted."""
    problems = []
    entries = manifest["piece"]["entries"]
    dropped = manifest["dropped_events"]
    counts = {rows[0]["entries"] + dropped for rows in manifest["cutflow"].values()}
    counts.add(manifest["entries_read"])
    if counts != {entries}:
        problems.append(f"{where} has {min(counts - {entries})} of {entries} entries")
    before = {file["path"]: file for file in promised["inputs"]}
    for file in manifest["sample"]["inputs"]:
        if not InputFile(**file).is_that_of(before.get(file["path"], {})):
            problems.append(f"{where} has read another {file['path']} than was submitted")
    if manifest["sample"]["normalisation"] != promised["normalisation"]:
        problems.append(f"{where} is normalised with another sum of weights than was submitted")
    for part in with_tables(manifest):
        for region, table in part["tables"].items():
            last = part["cutflow"][region][-1]["entries"]
            if table["rows"] != last:
                problems.append(f"{where} has {table['rows']} rows in {region}, its cutflow {last}")
    return problems


def with_tables(manifest):
    """Those parts of a piece that have tables of their own: without variation, and in some."""
    varied = (each for each in manifest["variations"].values() if each["kind"] == "object")
    return [manifest, *varied]


def check_files(where, folder, manifest):
    """Problems if a table or a skim is not as it was written."""
    tables = [table for each in with_tables(manifest) for table in each["tables"].values()]
    for file in (*tables, *manifest["skim"]):
        path = folder / file["name"]
        try:
            good = path.stat().st_size == file["size"] and checksum(path) == file["sha256"]
        except OSError:
            good = False
        if not good:
            yield f"{where} is damaged: {path} is not as it was written; remove {folder}, resubmit"


def check_versions(manifests):
    """Problems if not all pieces were made with the same versions."""
    made_with = defaultdict(lambda: defaultdict(list))
    for name, manifest in manifests.items():
        for program, version in manifest["versions"].items():
            made_with[program][version].append(name)
    for program, names in made_with.items():
        if len(names) > 1:
            found = ", ".join(
                f"{version} ({len(which)} pieces, {which[0]})" for version, which in names.items()
            )
            yield f"the pieces were made with different versions of {program}: {found}"


def sum_cutflow(manifests, region):
    """The cutflow of a region, summed over pieces and rounded once."""
    parts = [manifest["cutflow"][region.name] for manifest in manifests]
    cuts = ["all", *(cut.name for cut in region.cuts)]
    return tuple(CutflowRow.of(*each) for each in zip(cuts, zip(*parts, strict=True), strict=True))


def sorted_rows(submission, manifests, region, variation, job, row, folder):
    """Return a m3l::RowStore with the rows of all pieces of a sample.

    variation: one that changes events, or None: rows without, which have the other weights
    """
    _, floats, integers = row_layout(job.declarations, row)
    names = [feature.name for feature in row]
    # Rows are added to the first slot; with a second, they are given back by a thread of their own.
    kinds = {} if variation else kinds_of(manifests[0])
    others = [name for name, kind in kinds.items() if kind == "weight"]
    weights = [varied_name(WEIGHT, name) for name in (None, *others)]
    store = native.RowStore(floats, integers, 2, 2 * ROW_MEMORY, folder, len(weights))
    for manifest in manifests:
        piece = submission.results / manifest["piece"]["name"]
        of = manifest["variations"][variation] if variation else manifest
        path = piece / of["tables"][region.name]["name"]
        with Table(path, f"remove {piece} and resubmit") as table:
            for start, stop in table.ranges(BATCH):
                store.add(
                    table.read(IDENTITY, start, stop, "int64"),
                    table.read(weights, start, stop, "float64"),
                    table.read(names[:floats], start, stop, "float32"),
                    table.read(names[floats:], start, stop, "float64"),
                )
    return store
