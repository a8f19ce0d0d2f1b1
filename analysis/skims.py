"""Skims: the events of the chosen regions in new files, one per sample, and a samples file.

An event is kept if a region wants it, also in one systematic variation only. The files hold what
skimmed.py reads: what decided on the events, and the counts of those that are left out.
"""

import json
import shutil
import warnings
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import ROOT

import helpers
from analysis import console, good_runs
from analysis.anomaly import SCORE
from analysis.chain import with_columns
from analysis.errors import DeclarationError, InputError, OutputError, listed
from analysis.files import checksum, put_all_in_place, write_file
from analysis.guard import run_guarded
from analysis.inputs import InputFile, inspect, read_checksums
from analysis.job import fingerprint, git_commit, versions
from analysis.looks import look_at_one
from analysis.loops import CompiledLoop, number_of_threads
from analysis.options import SKIM_COLUMNS, SKIM_FORMATS
from analysis.plan import is_number
from analysis.prepare import coverage, prepare, row_layout
from analysis.products import Output
from analysis.run import tell_missing, tell_skipped
from analysis.samples import samples_text, typed
from analysis.skimmed import FORMAT, both, decided, plain

SAMPLES = "samples.toml"
GOOD_RUNS = "good_runs.json"

OUTPUTS = dict(zip(SKIM_FORMATS, ("kRNTuple", "kTTree"), strict=True))  # as ROOT calls them
# Reading is to cost little, and a skim is small.
COMPRESSION, LEVEL = "kZSTD", 3


@dataclass(frozen=True)
class SkimOptions:
    """What a skim holds, and how."""

    columns: str = SKIM_COLUMNS[0]
    format: str = SKIM_FORMATS[0]

    @classmethod
    def of(cls, options):
        """Those of a command line."""
        return cls(options.columns or cls.columns, options.skim_format or cls.format)


@dataclass(frozen=True)
class SkimFile:
    """A file of a skim."""

    name: str
    entries: int
    size: int  # bytes
    sha256: str


@dataclass(frozen=True)
class SampleSkim:
    """What the event loop of a sample has written."""

    files: tuple[SkimFile, ...]
    read: int  # events of the original
    cutflow: dict  # {region: rows}, see loops.count_json; without what its own input had left out
    variations: dict  # the same in variations, {name: {"cutflow": {region: rows}}}
    dropped_events: int
    inputs: tuple[InputFile, ...]  # what was read, with checksums


def skim(job, options, folder, command):
    """Write skims of all samples of a job and a samples file into a folder, or nothing.

    options: SkimOptions; command: list of the words that started the job
    Returns {sample: SampleSkim}. Raises M3LError.
    """
    refuse_used(folder)
    helpers.load_engine()  # once for the processes of all samples
    ROOT.EnableThreadSafety()
    prepared, row = prepare(job)
    threads, layout = number_of_threads(job.threads), row_layout(job.declarations, row)
    with Output(folder) as output:
        refuse_used(folder)
        work = partial(write_skim, folder=output.partial, options=options, command=command)
        made, failed = {}, []
        for item, result in run_guarded(prepared, layout, output.partial, threads, work):
            if isinstance(result, Exception):
                failed += result.problems
            else:
                made[item.sample.name] = result
        if failed:
            raise InputError(*failed)
        tell_skipped(prepared)
        tell_missing(coverage(prepared))
        blocks = [
            sample_block(
                item.sample,
                item.normalisation,
                item.inputs.sum_of_weights,
                item.inputs.cross_section,
                made[item.sample.name].files,
            )
            for item in prepared
        ]
        publish(output, made, skim_text(job.samples, blocks, command), job.samples)
    return made


def refuse_used(folder):
    """Raise OutputError if a folder holds something that is not hidden."""
    folder = Path(folder)
    if folder.is_dir():
        there = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
        if SAMPLES in there:
            raise OutputError(f"{folder} holds a skim already: remove it or give another folder")
        if there:
            raise OutputError(f"{folder} is in use, it holds {there[0]}: give another folder")


def publish(output, made, text, listed):
    """Give all files their names in the folder of an Output, all of them or none.

    made: {sample: SampleSkim} with files in the folder of what is unfinished; text: samples file
    listed: samples.SampleList of the original
    """
    write_file(output.partial / SAMPLES, text)
    names = [file.name for each in made.values() for file in each.files]
    if listed.good_runs:
        names.append(GOOD_RUNS)
        runs = good_runs.read_text(listed.good_runs)
        write_file(output.partial / GOOD_RUNS, json.dumps(runs))
    new = {name: output.partial / name for name in (*names, SAMPLES)}
    put_all_in_place(new, output.folder, output.partial)
    shutil.rmtree(output.partial)


def write_skim(item, loop, folder, options, command, stem=None, whole=True):
    """Run the event loop of a sample and write its skim; returns the SampleSkim.

    item: prepare.Prepared; loop: its EventLoop; folder: where the files are written
    stem: of the names of the files, that of the sample where none is given
    whole: the files count also what a skim that is read had left out; else others do
    """
    if not isinstance(loop, CompiledLoop):
        raise DeclarationError(
            f"sample '{item.sample.name}': a skim needs the compiled chain, see the warning above"
        )
    helpers.load_engine()  # of which a run needs a part only
    end = item.begin + item.entries
    limited = item.entries < item.inputs.entries
    checked = read_checksums(item.sample.name, item.inputs, item.begin, end, limited)
    inputs = item.inputs.with_checksums(checked).files
    writer = Writer(item, folder, options, stem or item.sample.name)
    loop.columns, loop.book = writer.branches, writer.book
    loop.run()
    if not writer.paths:
        writer.copy_empty()
    loop.release()
    counts = loop.counts_by_variation()
    kept = writer.read_back(loop.layout)
    for variation, cutflow in kept.items():
        for region, rows in cutflow.items():
            if rows[-1] != counts[variation][region][-1]:
                raise OutputError(
                    f"sample '{item.sample.name}': the skim has {rows[-1]['entries']} events in "
                    f"{region}, {counts[variation][region][-1]['entries']} were selected: is the "
                    "disk full?"
                )
    read = counts
    if whole and item.skimmed:  # with what its own input had left out
        read = {n: both(1, rows, loop.rejected(n)) for n, rows in counts.items()}
    rejected = {n: both(-1, read[n], kept[n]) for n in kept}
    record = {
        "format": FORMAT,
        "made": {
            "command": command,
            "versions": versions(),
            "git": git_commit(),
            "helpers": fingerprint(),
            "inputs": [
                {"path": file.path, "entries": file.entries, "checksum": file.checksum}
                for file in inputs
            ],
        },
        "columns": options.columns,
        "branches": original_branches(item),
        "added": writer.added,
        **decided(item),
    }
    nothing = {name: both(-1, cutflow, cutflow) for name, cutflow in kept.items()}
    files = [
        writer.finish(path, {**record, "rejected": in_record(nothing if n else rejected)})
        for n, path in enumerate(writer.paths)
    ]
    return SampleSkim(
        tuple(files),
        loop.filled.call("entries"),
        counts.pop(None),
        {name: {"cutflow": cutflow} for name, cutflow in counts.items()},
        loop.dropped,
        inputs,
    )


def original_branches(item):
    """{name: type} of the branches of what was skimmed first."""
    return item.skimmed.branches(item.inputs) if item.skimmed else item.inputs.branches


def in_record(counts):
    """Counts by variation, that without under None, as a record has them."""
    return {
        "cutflow": counts[None],
        "variations": {name: {"cutflow": c} for name, c in counts.items() if name},
    }


class Writer:
    """The files of a sample's skim while they are made.

    Attributes:
        branches: those of the input that are written
        added: columns that become branches
        paths: of the files, one for each part of the input that ROOT can read as one chain
    """

    def __init__(self, item, folder, options, stem):
        self.item, self.folder, self.stem = item, folder, stem
        self.paths, self.numbers = [], []
        self.options = ROOT.RDF.RSnapshotOptions()
        self.options.fOutputFormat = getattr(
            ROOT.RDF.ESnapshotOutputFormat, OUTPUTS[options.format]
        )
        self.options.fCompressionAlgorithm = getattr(
            ROOT.RCompressionSetting.EAlgorithm, COMPRESSION
        )
        self.options.fCompressionLevel = LEVEL
        self.options.fLazy = True
        plan, there = item.plan, item.inputs.branches
        self.added = [SCORE.name] if SCORE.name in plan.columns else []
        wanted = there if options.columns == "all" else plan.inputs
        names = [name for name in wanted if is_branch(name)]
        left_out = [name for name in names if not is_written(there[name], options.format)]
        self.branches = [name for name in names if name not in (*self.added, *left_out)]
        if left_out:
            where = f"sample '{item.sample.name}'"
            if needed := [name for name in left_out if name in plan.inputs]:
                raise DeclarationError(
                    f"{where}: branch '{needed[0]}' is of type {there[needed[0]]}, which a skim of "
                    f"format {options.format} cannot hold"
                )
            warnings.warn(
                f"{where}: {listed(left_out)} are left out of the skim, which holds numbers",
                stacklevel=2,
            )
        if item.skimmed:  # a score that nothing reads is kept
            earlier = {name for r in item.skimmed.records.values() for name in r["added"]}
            self.branches += sorted(earlier - {*self.branches, *self.added})
            self.added += sorted(earlier - set(self.added))
        self.columns = plan.only([SCORE.name] if SCORE.name in plan.columns else [])
        definitions = self.columns.definitions
        hidden = [d.name for d in definitions if d.replaces and d.name in self.branches]
        if hidden:
            raise DeclarationError(
                f"branch '{hidden[0]}' has the name of a column that the score needs, so that "
                "a skim cannot have both: skim without --model"
            )

    def book(self, node):
        """Write the events of a RDataFrame into the next file, in the event loop to come."""
        number = len(self.paths) + 1
        name = self.stem + f"_part{number}" * (number > 1)
        self.paths.append(self.folder / f"{name}.root")
        df = with_columns(self.columns, node) if self.columns.definitions else node
        types = original_branches(self.item)
        for name in self.branches:
            here, wanted = str(node.GetColumnType(name)), types[name]
            if is_number(here, scalar=True):
                # A Snapshot looks up once where a number is, but readers move it.
                df = df.Redefine(name, f"static_cast<{wanted}>({name})")
            elif plain(here) != plain(wanted):  # an RNTuple knows one type of 64 bits only
                df = df.Redefine(name, f"{wanted}({name}.begin(), {name}.end())")
        names = ROOT.std.vector["std::string"]([*self.branches, *self.written])
        count = node.Count()
        self.numbers.append(count)
        return df.Snapshot(self.item.sample.tree, str(self.paths[-1]), names, self.options), count

    @property
    def written(self):
        """Columns that the event loop computes for the skim."""
        return [name for name in self.added if name not in self.branches]

    def copy_empty(self):
        """Take a file of a sample without events as it is."""
        self.paths.append(self.folder / f"{self.stem}.root")
        if not ROOT.TFile.Cp(self.item.inputs.files[0].path, str(self.paths[0]), False):
            raise OutputError(f"{self.paths[0].name} cannot be written")

    def read_back(self, layout):
        """Run the event loop over the skim; returns its counts by variation and region.

        So all that was written is read once. Raises OutputError if it is not what was written.
        """
        sample = replace(self.item.sample, files=tuple(map(str, self.paths)))
        where = f"the skim of sample '{sample.name}' is not as it was written"
        problems = []
        looks = {(sample.name, path): look_at_one(sample, path) for path in sample.files}
        inputs = inspect(sample, looks, problems)
        wanted = sum(int(count.GetValue()) for count in self.numbers)
        if not problems and inputs.entries != wanted:
            problems = [f"it has {inputs.entries} of {wanted} entries"]
        if problems:
            raise OutputError(*(f"{where}: {problem}" for problem in problems))
        item = replace(
            self.item, sample=sample, inputs=inputs, begin=0, entries=inputs.entries, skimmed=None
        )
        loop = CompiledLoop(item, layout, self.folder)
        if inputs.entries:
            problem = loop.read()
            if problem:
                raise OutputError(f"{where}: {problem}")
        return loop.counts_by_variation()

    def finish(self, path, record):
        """Write what is known of the skim into a file; returns the SkimFile."""
        problem = str(ROOT.m3l.noteSkim(str(path), json.dumps(record)))
        if problem:
            raise OutputError(f"{path.name}: {problem}")
        look = look_at_one(self.item.sample, str(path))
        if look.problem or json.loads(look.skim) != json.loads(json.dumps(record)):
            raise OutputError(f"{path.name} is not as it was written {look.problem}")
        return SkimFile(path.name, look.entries, path.stat().st_size, checksum(path))


def is_branch(name):
    """Whether a column is a branch of its own: no part of one, and no length of an array."""
    return "." not in name and not name.startswith(("#", "R_rdf_sizeof_"))


def is_written(cpp, kind):
    """Whether columns of a C++ type become branches of a skim of a format.

    ROOT crashes for some others, and for arrays of signed char in trees.
    """
    small = "signed char>" in cpp.replace("unsigned ", "un") or "std::int8_t>" in cpp
    return is_number(cpp) and not (small and kind == "ttree")


def sample_block(sample, norm, sum_of_weights, cross_section, files):
    """The Sample of a skim, with the normalisation of the whole original.

    norm: samples.Normalisation; sum_of_weights, cross_section: in the metadata of the original
    files: SkimFiles
    """
    sumw, xsec = sample.sum_of_weights, sample.xsec_pb
    if norm and not (norm.from_ntuple or sample.normalised):
        sumw = sum_of_weights if typed(sumw) is None else sumw
        xsec = cross_section if typed(xsec) is None else xsec
    names = tuple(file.name for file in files)
    return replace(sample, files=names, sum_of_weights=sumw, xsec_pb=xsec)


def skim_text(listed, blocks, command):
    """The samples file of a skim; blocks: a Sample each, with the names of its files."""
    made_by = f"Skim of {listed.source}, made by: {' '.join(command)}"
    return samples_text(blocks, listed.luminosity_ifb, made_by, GOOD_RUNS * bool(listed.good_runs))


def print_skim(made, folder, seconds):
    """Print what was written; made: {sample: SampleSkim}."""
    rows = []
    for name, each in made.items():
        entries, size = (sum(getattr(f, what) for f in each.files) for what in ("entries", "size"))
        share = f"{entries / each.read:.2%}" if each.read else ""
        rows.append((name, str(each.read), str(entries), share, f"{size / 1e6:.2f}"))
    heads = ("", "events", "kept", "", "MB")
    print(*console.table(heads, rows, console.width()), sep="\n")
    read = sum(each.read for each in made.values())
    print(f"\n{read} events of {len(made)} samples in {seconds:.1f} s")
    print(f"written to {folder}: python run_rdf.py --samples {Path(folder) / SAMPLES} reads it")
