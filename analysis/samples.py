"""Samples: which files hold which process, and how they are normalised.

They are declared in a TOML file (see `analysis/demo/samples.toml`) or found in a folder.
"""

import glob
import json
import math
import os
import tomllib
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path

from analysis import good_runs, records
from analysis.content import OneOf, shown
from analysis.errors import FEW, DeclarationError, listed, near_miss, unknown
from analysis.files import irregular, read_regular
from analysis.processes import PROCESSES
from analysis.records import RUN2
from analysis.schemas import SCHEMAS

DEMO = Path(__file__).parent / "demo" / "samples.toml"

# What a sample must be in a samples file, and in a record.
SAMPLE = records.SAMPLE.of(schema=OneOf(tuple(SCHEMAS)))
RECORDED = SAMPLE.of(good_runs=records.GOOD_RUNS)


@dataclass(frozen=True)
class Sample:
    """Files of one process."""

    name: str
    process: str  # the channel it is stacked in
    kind: str  # data, background or signal
    schema: str  # name of the input format
    files: tuple[str, ...]  # absolute paths and URLs
    tree: str
    # Each a number, its place in the files (see `Schema`), or None: the place of the schema.
    xsec_pb: float | str | None = None
    k_factor: float = 1.0
    filter_efficiency: float = 1.0
    sum_of_weights: float | str | None = None
    normalised: bool = False  # genWeight holds cross-section over sum of weights already
    good_runs: str = ""  # of data: a good-run list as text, see good_runs.py


@dataclass(frozen=True)
class SampleList:
    """The samples of an analysis and the luminosity of its data."""

    samples: tuple[Sample, ...]
    luminosity_ifb: float | str  # fb^-1, or "run2": that of each simulated event's campaign
    source: str  # where they are declared

    @property
    def good_runs(self):
        """The good-run list of the data as text, empty where there is none."""
        return next((sample.good_runs for sample in self.samples if sample.good_runs), "")


@dataclass(frozen=True)
class Normalisation:
    """What simulated events of a sample are multiplied with, beside their own weights."""

    constant: float  # luminosity in pb^-1 times cross-section over sum of weights, as declared
    from_ntuple: bool = False  # cross-section over sum of weights are branches
    by_campaign: bool = False  # the luminosity depends on the campaign of the event
    factors: str = field(default="", compare=False)  # of the constant, for people


def normalisation(
    sample, luminosity_ifb, sum_of_weights, share=1.0, cross_section=None, lacking=""
):
    """Return the Normalisation of a simulated sample.

    sum_of_weights, cross_section: in the ntuple's metadata, None where it has none
    share: of the entries of the sample, the part that is read, where bad files are left out; None
        if it is not known
    lacking: what a file lacks of its metadata, with its name
    Raises DeclarationError where a number is missing or zero.
    """
    by_campaign = luminosity_ifb == RUN2
    constant = 1.0 if by_campaign else 1000.0 * luminosity_ifb
    constant *= sample.k_factor * sample.filter_efficiency
    factors = [] if by_campaign else [f"1000 x {luminosity_ifb:g} fb^-1"]
    for name in ("k_factor", "filter_efficiency"):
        if getattr(sample, name) != 1.0:
            factors.append(f"{name} {getattr(sample, name):g}")
    undeclared = sample.xsec_pb is None and sample.sum_of_weights is None
    from_ntuple = (
        undeclared and not sample.normalised and bool(SCHEMAS[sample.schema].normalisation)
    )
    declared_sum, declared_xsec = typed(sample.sum_of_weights), typed(sample.xsec_pb)
    whole = sample.normalised or from_ntuple or declared_sum is not None
    if whole and share is None:
        raise DeclarationError(
            f"sample '{sample.name}': nobody knows how many entries its bad files hold, so that "
            "its normalisation cannot be corrected: declare it without them"
        )
    if whole and share != 1.0:
        constant /= share
        factors.append(f"1 / {share:.6g} of the entries")
    if sample.normalised or from_ntuple:
        return Normalisation(constant, from_ntuple, by_campaign, " x ".join(factors))
    sum_of_weights = sum_of_weights if declared_sum is None else declared_sum
    cross_section = cross_section if declared_xsec is None else declared_xsec
    schema = SCHEMAS[sample.schema]
    where = f"sample '{sample.name}'"
    if cross_section is None:
        promised = sample.xsec_pb or schema.cross_section
        reason = f", {lacking}" if promised and lacking else ""
        raise DeclarationError(f"{where} has no normalisation: give its xsec_pb{reason}")
    if sum_of_weights is None:
        raise DeclarationError(
            f"{where} has no normalisation: give its sum_of_weights, "
            + (lacking or "its files do not hold one")
        )
    if sum_of_weights == 0:
        place = sample.sum_of_weights or schema.sum_of_weights
        read = f" at '{place}'" if declared_sum is None else ""
        raise DeclarationError(
            f"{where} has a sum of weights of zero{read} and cannot be normalised"
        )
    if cross_section <= 0:
        read = f" at '{sample.xsec_pb or schema.cross_section}'" if declared_xsec is None else ""
        raise DeclarationError(f"{where} has a cross-section of {cross_section:g} pb{read}")
    factors += [f"{cross_section:g} pb / {sum_of_weights:g}"]
    constant = constant * cross_section / sum_of_weights
    if not math.isfinite(constant):
        raise DeclarationError(f"{where} has a normalisation that is too large: {factors[-1]}")
    return Normalisation(constant, False, by_campaign, " x ".join(factors))


def typed(declared):
    """A number as it is declared, None where its place in the files is, or nothing."""
    return None if isinstance(declared, str) else declared


def read_samples(path):
    """Read a samples file.

    Returns a SampleList. Raises DeclarationError with all problems found.
    """
    path = Path(path)
    try:
        declared = tomllib.loads(read_regular(path).decode("utf-8-sig"))
    except OSError as error:
        raise DeclarationError(f"samples file {path}: {error.strerror}") from None
    except RecursionError:
        raise DeclarationError(f"samples file {path}: too deeply nested") from None
    except ValueError as error:
        raise DeclarationError(f"samples file {path}: not valid TOML, {error}") from None

    known = ("luminosity_ifb", "good_runs", "luminosity_of_sections", "sample")
    problems = [
        f"{path}: unknown key {shown(key)}{near_miss(key, known)}"
        for key in declared
        if key not in known
    ]
    luminosity = declared.get("luminosity_ifb")
    blocks = declared.get("sample", [])
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        problems.append(f"{path}: samples are declared in blocks that begin with [[sample]]")
        blocks = []
    elif not blocks:
        problems.append(f"{path}: no [[sample]] is declared")
    samples = [sample_from(block, number, path, problems) for number, block in enumerate(blocks, 1)]
    samples = [sample for sample in samples if sample]
    problems += doubled_names(samples, path)
    runs, luminosity = good_runs_of(declared, path, samples, luminosity, problems)
    samples = [replace(s, good_runs=runs) if s.kind == "data" else s for s in samples]
    simulated = any(sample.kind != "data" for sample in samples)
    if luminosity is None and simulated:
        problems.append(f"{path}: luminosity_ifb is missing, the luminosity of the data in fb^-1")
    elif luminosity is not None:
        problems += records.LUMINOSITY.problems(luminosity, f"{path}: luminosity_ifb")
        if luminosity == 0 and simulated:
            problems.append(f"{path}: luminosity_ifb is 0, so that no simulated event would count")
    if problems:
        raise DeclarationError(*problems)
    return SampleList(tuple(samples), luminosity or 0.0, str(path.resolve()))


def samples_text(samples, luminosity_ifb, first, good_runs="", comments=None):
    """The text of a samples file.

    samples: a Sample each; first: its first line, a comment; good_runs: name of a list's file
    comments: {sample's name: a line}
    """
    lines = [commented(first)]
    if luminosity_ifb:
        lines.append(f"luminosity_ifb = {toml(luminosity_ifb)}")
    if good_runs:
        lines.append(f"good_runs = {toml(good_runs)}")
    usual = {name: field.default for name, field in Sample.__dataclass_fields__.items()}
    for sample in samples:
        lines += ["", "[[sample]]"]
        if comments and sample.name in comments:
            lines.append(commented(comments[sample.name]))
        for name in SAMPLE.known:
            value = getattr(sample, name)
            if value != usual[name]:
                lines.append(f"{name} = {toml(value)}")
    return "\n".join(lines) + "\n"


def commented(line):
    """A line as a comment."""
    return f"# {line}".replace("\n", " ")


def toml(value):
    """A value of a samples file."""
    return json.dumps(value, ensure_ascii=False)  # which is TOML for text, numbers and lists


def good_runs_of(declared, path, samples, typed_luminosity, problems):
    """The good-run list of a samples file as text, and the luminosity in fb^-1 or None.

    declared: content of the file; typed_luminosity: that in it, None where there is none
    Problems are added to the list.
    """
    names, table = declared.get("good_runs"), declared.get("luminosity_of_sections")
    if table is not None and names is None:
        problems.append(f"{path}: luminosity_of_sections needs good_runs, whose luminosity it has")
    if names is None:
        return "", typed_luminosity
    rule = records.PATH if isinstance(names, str) else records.GOOD_RUN_FILES
    found = [*rule.problems(names, f"{path}: good_runs")]
    if table is not None:
        found += records.PATH.problems(table, f"{path}: luminosity_of_sections")
    if not problems and all(sample.kind != "data" for sample in samples):
        found.append(f"{path}: good_runs is for data, and no sample is data")
    if found:
        problems += found
        return "", typed_luminosity
    try:
        names = [names] if isinstance(names, str) else names
        runs = good_runs.read_lists([path.parent / name for name in names])
        if table is not None:
            return runs, luminosity_of(runs, path.parent / table, typed_luminosity)
        return runs, typed_luminosity
    except DeclarationError as error:
        problems += error.problems
    return "", typed_luminosity


def luminosity_of(runs, table, typed_luminosity):
    """Luminosity in fb^-1 of a good-run list as text, from a table of sections (a path).

    Raises DeclarationError where one that is typed is another.
    """
    ranges = good_runs.read_text(runs)
    found, without = good_runs.luminosity(ranges, good_runs.read_luminosities(table))
    if without:
        warnings.warn(
            f"luminosities {table}: {without} of {good_runs.size(ranges)} luminosity blocks of the "
            "good-run list are not in it and count as 0",
            stacklevel=2,
        )
    if typed_luminosity is None:
        return found
    if typed_luminosity == RUN2 or any(records.LUMINOSITY.problems(typed_luminosity, "")):
        return typed_luminosity
    if not math.isclose(found, typed_luminosity, rel_tol=good_runs.AGREEMENT):
        raise DeclarationError(
            f"luminosities {table}: the good-run list has {found:.6g} fb^-1 there, luminosity_ifb "
            f"is {typed_luminosity:g}: leave it out, or mend the one that is wrong"
        )
    return typed_luminosity


def doubled_names(samples, where):
    """A problem for each name that several samples have."""
    names = [sample.name for sample in samples]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{where}: the name '{name}' is given to {names.count(name)} samples"


def sample_from(block, number, path, problems):
    """Return the Sample of a [[sample]] block; problems are added to the list."""
    name = block.get("name")
    where = f"{path}: sample {shown(name) if isinstance(name, str) else number}: "
    found = list(SAMPLE.problems(block, where))
    files = []
    if not found:
        for pattern in block["files"]:
            matched = expand(pattern, path.parent)
            if not matched:
                found.append(f"{where}no file matches '{pattern}'")
            files += matched
        for file in sorted({file for file in files if files.count(file) > 1}):
            found.append(f"{where}{file} is listed {files.count(file)} times")
        found += unusable(files, where)
    problems += found
    if found:
        return None
    tree = block.get("tree") or SCHEMAS[block["schema"]].tree(name, block["kind"])
    return Sample(**{**block, "files": tuple(files), "tree": tree})


def unusable(files, where):
    """A problem for each file, by name, that is there and is no regular file; URLs are let pass."""
    for file in files:
        if any(records.PATH.problems(file, "")):
            yield f"{where}{shown(file)} has a name that cannot be written into a record"
        elif "://" not in file and os.path.lexists(file) and (reason := irregular(file)):
            yield f"{where}{file}: {reason}"


def expand(pattern, folder):
    """Absolute paths that a file name or glob stands for, in sorted order; URLs as they are."""
    if "://" in pattern:
        return [pattern]
    return sorted(os.path.realpath(path) for path in glob.glob(str(folder / pattern)))


FOLDER_PATTERN = "_merged_processed.root"


def find_samples(folder, schema, trees_of):
    """Find the samples of all *_merged_processed.root below a folder.

    The name comes from the file. A file whose tree is the schema's for simulation is simulation:
    background where a declared process has its name, else signal; its genWeight holds cross-section
    over sum of weights, and its luminosity is that of the event's campaign.

    trees_of: function from a list of paths to {path: names of the trees in the file}
    Raises DeclarationError.
    """
    files = sorted(Path(folder).resolve().rglob(f"*{FOLDER_PATTERN}"))
    if not Path(folder).is_dir():
        raise DeclarationError(f"--input {folder}: no such folder")
    if not files:
        raise DeclarationError(f"--input {folder}: no file named *{FOLDER_PATTERN} in it")
    declared = {process.name: process for process in PROCESSES}
    found, problems = {}, []
    for path in files:
        name = path.name.removesuffix(FOLDER_PATTERN)
        problems += records.NAME.problems(name, f"{path}: what stands before {FOLDER_PATTERN}")
        problems += unusable([str(path)], "")
    if problems:
        raise DeclarationError(*problems)
    all_trees = trees_of([str(path) for path in files])
    for path in files:
        name = path.name.removesuffix(FOLDER_PATTERN)
        simulation, data = (SCHEMAS[schema].tree(name, kind) for kind in ("background", "data"))
        trees = all_trees[str(path)]
        if simulation in trees:
            kind = declared[name].kind if name in declared else "signal"
            process, tree = name, simulation
        elif data in trees:
            kind, process, tree = "data", "data", data
        else:
            has = listed(trees, FEW) or "no tree"
            problems.append(f"{path} has neither tree '{simulation}' nor '{data}' (it has {has})")
            continue
        if name in found:
            problems.append(
                f"two files would be the sample '{name}': {found[name].files[0]}, {path}"
            )
        found[name] = Sample(name, process, kind, schema, (str(path),), tree, normalised=True)
    if problems:
        raise DeclarationError(*problems)
    return SampleList(tuple(found.values()), RUN2, str(Path(folder).resolve()))


def choose(names, known, what, listing=""):
    """Return `names`, checked against the known ones; all known ones if there are none.

    what, listing: for the DeclarationError that is raised, see `errors.unknown`
    """
    problems = [unknown(what, name, known, listing) for name in names if name not in known]
    if problems:
        raise DeclarationError(*problems)
    return tuple(dict.fromkeys(names)) or tuple(known)
