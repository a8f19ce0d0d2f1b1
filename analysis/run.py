"""The main job: one event loop per sample, whose products are kept until all are complete."""

import json
import time
import warnings
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from analysis.dataframes import Dataframes, SampleFrames
from analysis.errors import InputError, M3LError, listed
from analysis.files import digest
from analysis.guard import BadFileError, run_guarded
from analysis.inputs import read_checksums
from analysis.job import bytes_read, complete, git_commit, made_with, record_of, sample_json
from analysis.looks import remember
from analysis.loops import number_of_threads
from analysis.parquet import convert_tables
from analysis.places import CIRCUMSTANCES
from analysis.prepare import coverage, prepare, row_layout, visible, without
from analysis.products import JoinedHistograms, Output, count_repeated, cutflows_of, tell_dropped
from helpers.build import cache_folder


@dataclass(frozen=True)
class Results:
    """What a run has made."""

    cutflows: dict  # {region: {sample: rows}}
    dataframes: Dataframes  # for the prompt
    files: tuple[Path, ...]  # names of what was written; none where nothing has changed
    failed: dict[str, M3LError]  # why samples have no products
    kept: int  # samples whose products were there


def run(job, folder, command, cluster=None, force=False):
    """Run the main job and write all products into `folder`.

    The products of a sample that an earlier run has left there are taken as they are, if they
    were made of the same files, with the same declarations, helpers and versions.

    command: list of the words that started the job, for run.json
    cluster: connect.Dask or connect.Spark that runs the event loops; None: this machine
    force: make everything again
    Returns Results. Raises M3LError where nothing could be made; nothing is written then.
    """
    timings = Timings()
    prepared, row = prepare(replace(job, plain=True) if cluster else job)
    timings.add("prepare")
    covered = coverage(prepared)
    tell_missing(covered)
    if cluster:
        cluster.connect(cache_folder())
    ready = {item.sample.name: item for item in prepared}
    frames = {name: partial(SampleFrames, item) for name, item in ready.items()}
    with Output(folder) as output:
        maker = Maker(job, row, output)
        made, failed = ({} if force else maker.kept(prepared)), {}
        kept = len(made)
        todo = [item for name, item in ready.items() if name not in made]
        if cluster:
            loops = run_on_cluster(todo, maker, cluster)
            frames |= {name: loop.dataframes for name, loop in loops.items()}
            timings.add("cluster")
            results = ((loop.prepared, maker.make(loop.prepared, loop)) for loop in loops.values())
        else:
            results = run_here(todo, maker)
        joined = JoinedHistograms(output, ready, [asdict(feature) for feature in row])
        for item, result in results:
            name = item.sample.name
            ready[name] = item
            if isinstance(result, Exception):
                failed[name] = result
            else:
                made[name] = result
                remember(item.sample, result.inputs)
                timings.take(result.seconds)
            # While the next sample is read.
            joined.take(made, gone=failed)
            git_commit()
        if not made:
            raise InputError(*(p for error in failed.values() for p in error.problems))
        tell_skipped(ready.values())
        made = {name: made[name] for name in ready if name in made}
        cutflows = cutflows_of(made, job)
        threads = number_of_threads(job.threads)
        record = record_of(
            job, [ready[name] for name in made], row, threads, command, cluster, covered
        )
        data = [name for name in made if ready[name].sample.kind == "data"]
        record["repeated_data_events"] = count_repeated(made, data, output)
        before = output.record
        # What is complete is not replaced by what is not.
        spared = failed and before and not before.get("failed")
        converted = 0
        if job.parquet and not spared:
            record["parquet"], converted = convert_tables(output, made, record["features"])
            timings.add("parquet")
        record = complete(record, made, failed, timings.seconds)
        tell_dropped(made, record)
        files = ()
        changed = kept < len(made) or converted or not same_results(record, before)
        if changed and not spared:
            files = output.publish(made, record, cutflows, joined)
    return Results(cutflows, Dataframes(frames), files, failed, kept)


def tell_missing(covered):
    """Warn of luminosity blocks of a list without events; covered: good_runs.Coverage or None."""
    if covered and covered.missing:
        warnings.warn(covered.warning(), stacklevel=2)


def tell_skipped(items):
    """Warn of bad files that are left out."""
    for item in items:
        for file in item.inputs.skipped:
            lost = "an unknown number of" if file.entries is None else file.entries
            warnings.warn(
                f"sample '{item.sample.name}': {file.path} is left out with {lost} entries: "
                f"{file.reason}",
                stacklevel=2,
            )


def same_results(new, old):
    """Whether two records of runs are of the same results."""
    new = json.loads(json.dumps(new))
    return all(new.get(name) == old.get(name) for name in {*new, *old} - CIRCUMSTANCES)


def run_here(items, maker):
    """Run event loops on this machine; yields (item, its Products or the exception it ended with).

    Where bad files may be skipped, the item that comes back leaves out those found in the loop.
    """
    job = maker.job
    folder, threads = maker.output.partial, number_of_threads(job.threads)
    while items:
        again = []
        for item, result in run_guarded(items, maker.layout, folder, threads, maker.make):
            if isinstance(result, BadFileError) and job.skip_bad_files and result.path:
                try:
                    again.append(without(item, job, result.path, result.reason))
                    continue
                except M3LError as error:
                    result = error
            yield item, result
        items = again


def run_on_cluster(items, maker, cluster):
    """Run event loops on a cluster; returns {sample: loop}."""
    from analysis.cluster import loop  # brings optional packages

    return loop.run_on_cluster(items, maker.layout, maker.output.partial, cluster, maker.job.model)


class Maker:
    """Makes the Products of samples."""

    def __init__(self, job, row, output):
        self.job, self.row, self.output = job, row, output
        self.layout = row_layout(job.declarations, row)
        self.made_with = made_with()

    def make(self, item, loop):
        """Run the event loop of a sample and write its Products."""
        timings, before = Timings(), bytes_read()
        limited = item.entries < item.inputs.entries
        end = item.begin + item.entries
        checked = read_checksums(item.sample.name, item.inputs, item.begin, end, limited)
        timings.add("checksums")
        cutflow = loop.run()
        timings.add("event loop")
        with self.output.sample(item.sample.name, self.job.vary_tables) as sample:
            regions = visible(self.job, item.sample)
            variations = sample.write_all(
                regions, self.row, loop.rows_of, item.plan.kinds, loop.cutflow_rows
            )
            loop.release()
            timings.add("write")
            return sample.finish(
                key=self.key(item),
                cutflow=cutflow,
                inputs=tuple(asdict(file) for file in item.inputs.with_checksums(checked).files),
                dropped_events=loop.dropped,
                seconds=timings.seconds,
                bytes_read=bytes_read() - before,
                variations=variations,
            )

    def key(self, item):
        """Digest of all that the products depend on but the content of the input files."""
        sample = {**sample_json(item), "inputs": None, "files": None}
        features = [asdict(feature) for feature in self.row]
        layout = asdict(self.job.declarations.layout)
        parts = [self.made_with, sample, asdict(item.plan), features, layout, item.begin]
        parts += [self.job.vary_tables] * bool(item.plan.variations)
        return digest(json.loads(json.dumps(parts)))

    def kept(self, items):
        """{sample: Products} of those that are there already and would be made again the same."""
        found = {}
        for item in items:
            name = item.sample.name
            products = self.output.kept(name)
            if not products or products.key != self.key(item):
                continue
            changed = item.inputs.changed_since(products.inputs)
            if changed:
                warnings.warn(
                    f"sample '{name}' is made again: {listed(changed)} has another content than "
                    f"when {self.output.folder} was made",
                    stacklevel=2,
                )
            else:
                found[name] = products
        return found


class Timings:
    """Seconds that the parts of a run have taken, by name."""

    def __init__(self):
        self.seconds = {}
        self.last = time.monotonic()

    def add(self, name):
        """Add what has passed since the last call."""
        now = time.monotonic()
        self.take({name: now - self.last})
        self.last = now

    def take(self, seconds):
        """Add what others have taken, by name."""
        for name, more in seconds.items():
            self.seconds[name] = round(self.seconds.get(name, 0.0) + more, 3)
