"""Samples: which files hold which process, and how they are normalised.

They are declared in a TOML file (see `analysis/demo/samples.toml`) or found in a folder.
"""

import glob
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from analysis.errors import DeclarationError, near_miss
from analysis.processes import PROCESSES
from analysis.schemas import SCHEMAS

DEMO = Path(__file__).parent / "demo" / "samples.toml"

KINDS = ("data", "background", "signal")

# Luminosity by campaign of the event, see campaignLuminosity() in helpers/weights.h.
RUN2 = "run2"


@dataclass(frozen=True)
class Sample:
    """Files of one process."""

    name: str
    process: str  # the channel it is stacked in
    kind: str  # data, background or signal
    schema: str  # name of the input format
    files: tuple[str, ...]  # absolute paths and URLs
    tree: str
    xsec_pb: float | None = None
    k_factor: float = 1.0
    filter_efficiency: float = 1.0
    sum_of_weights: float | None = None
    normalised: bool = False  # genWeight holds cross-section over sum of weights already


@dataclass(frozen=True)
class SampleList:
    """The samples of an analysis and the luminosity of its data."""

    samples: tuple[Sample, ...]
    luminosity_ifb: float | str  # fb^-1, or "run2": that of each simulated event's campaign
    source: str  # where they are declared


@dataclass(frozen=True)
class Normalisation:
    """What simulated events of a sample are multiplied with, beside their own weights."""

    constant: float  # luminosity in pb^-1 times cross-section over sum of weights, as declared
    from_ntuple: bool = False  # cross-section over sum of weights are branches
    by_campaign: bool = False  # the luminosity depends on the campaign of the event
    factors: str = field(default="", compare=False)  # of the constant, for people


def normalisation(sample, luminosity_ifb, sum_of_weights):
    """Return the Normalisation of a simulated sample.

    sum_of_weights: in the ntuple's metadata, None where it has none
    Raises DeclarationError where a number is missing or zero.
    """
    by_campaign = luminosity_ifb == RUN2
    constant = 1.0 if by_campaign else 1000.0 * luminosity_ifb
    constant *= sample.k_factor * sample.filter_efficiency
    factors = [] if by_campaign else [f"1000 x {luminosity_ifb:g} fb^-1"]
    for name in ("k_factor", "filter_efficiency"):
        if getattr(sample, name) != 1.0:
            factors.append(f"{name} {getattr(sample, name):g}")
    if sample.normalised:
        return Normalisation(constant, False, by_campaign, " x ".join(factors))
    if sample.xsec_pb is None and sample.sum_of_weights is None:
        if SCHEMAS[sample.schema].normalisation:
            return Normalisation(constant, True, by_campaign, " x ".join(factors))
    if sample.sum_of_weights is not None:
        sum_of_weights = sample.sum_of_weights
    where = f"sample '{sample.name}'"
    if sample.xsec_pb is None:
        raise DeclarationError(f"{where} has no normalisation: give its xsec_pb")
    if sum_of_weights is None:
        raise DeclarationError(
            f"{where} has no normalisation: give its sum_of_weights, its files do not hold one"
        )
    if sum_of_weights == 0:
        raise DeclarationError(f"{where} has a sum of weights of zero and cannot be normalised")
    factors += [f"{sample.xsec_pb:g} pb / {sum_of_weights:g}"]
    constant = constant * sample.xsec_pb / sum_of_weights
    return Normalisation(constant, False, by_campaign, " x ".join(factors))


STRING, NUMBER, FLAG, STRINGS = "a string", "a number", "true or false", "a list of strings"

SAMPLE_KEYS = {
    "name": STRING,
    "process": STRING,
    "kind": STRING,
    "schema": STRING,
    "files": STRINGS,
    "tree": STRING,
    "xsec_pb": NUMBER,
    "k_factor": NUMBER,
    "filter_efficiency": NUMBER,
    "sum_of_weights": NUMBER,
    "normalised": FLAG,
}

REQUIRED_KEYS = ("name", "process", "kind", "schema", "files")


def read_samples(path):
    """Read a samples file.

    Returns a SampleList. Raises DeclarationError with all problems found.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            declared = tomllib.load(file)
    except OSError as error:
        raise DeclarationError(f"samples file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DeclarationError(f"samples file {path}: not valid TOML, {error}") from None

    problems = unknown_keys(declared, ("luminosity_ifb", "sample"), f"{path}")
    luminosity = declared.get("luminosity_ifb")
    blocks = declared.get("sample", [])
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        problems.append(f"{path}: samples are declared in blocks that begin with [[sample]]")
        blocks = []
    elif not blocks:
        problems.append(f"{path}: no [[sample]] is declared")
    samples = [sample_from(block, number, path, problems) for number, block in enumerate(blocks, 1)]
    samples = [sample for sample in samples if sample]
    names = [sample.name for sample in samples]
    for name in sorted({name for name in names if names.count(name) > 1}):
        problems.append(f"{path}: the name '{name}' is given to {names.count(name)} samples")
    simulated = any(sample.kind != "data" for sample in samples)
    if luminosity is None and simulated:
        problems.append(f"{path}: luminosity_ifb is missing, the luminosity of the data in fb^-1")
    elif luminosity is not None and luminosity != RUN2 and not is_number(luminosity):
        problems.append(f'{path}: luminosity_ifb must be a number or "{RUN2}", not {luminosity!r}')
    if problems:
        raise DeclarationError(*problems)
    return SampleList(tuple(samples), luminosity or 0.0, str(path.resolve()))


def is_number(value):
    """Whether a value is a number, which True is not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def unknown_keys(table, known, where):
    """A problem for each key that is not known."""
    return [
        f"{where}: unknown key '{key}'{near_miss(key, known)}" for key in table if key not in known
    ]


def sample_from(block, number, path, problems):
    """Return the Sample of a [[sample]] block; problems are added to the list."""
    name = block.get("name")
    where = f"{path}: sample '{name}'" if isinstance(name, str) else f"{path}: sample {number}"
    found = unknown_keys(block, SAMPLE_KEYS, where)
    checks = {
        STRING: lambda value: isinstance(value, str) and value,
        NUMBER: is_number,
        FLAG: lambda value: isinstance(value, bool),
        STRINGS: lambda value: isinstance(value, list) and all(isinstance(v, str) for v in value),
    }
    for key, kind in SAMPLE_KEYS.items():
        if key in block and not checks[kind](block[key]):
            found.append(f"{where}: {key} must be {kind}, not {block[key]!r}")
        elif key not in block and key in REQUIRED_KEYS:
            found.append(f"{where}: {key} is missing")
    for key, known in (("kind", KINDS), ("schema", tuple(SCHEMAS))):
        value = block.get(key)
        if isinstance(value, str) and value not in known:
            found.append(
                f"{where}: unknown {key} '{value}'{near_miss(value, known)} "
                f"(known: {', '.join(known)})"
            )
    if isinstance(name, str) and not re.fullmatch(r"[\w.+-]+", name):
        found.append(f"{where}: a name may have letters, digits and _ . + - only")
    files = []
    if not found:
        for pattern in block["files"]:
            matched = expand(pattern, path.parent)
            if not matched:
                found.append(f"{where}: no file matches '{pattern}'")
            files += matched
        for path in sorted({path for path in files if files.count(path) > 1}):
            found.append(f"{where}: {path} is listed {files.count(path)} times")
        if not block["files"]:
            found.append(f"{where}: files is empty")
    problems += found
    if found:
        return None
    tree = block.get("tree") or SCHEMAS[block["schema"]].tree(name, block["kind"])
    return Sample(**{**block, "files": tuple(files), "tree": tree})


def expand(pattern, folder):
    """Absolute paths that a file name or glob stands for, in sorted order; URLs as they are."""
    if "://" in pattern:
        return [pattern]
    return sorted(str(Path(path).resolve()) for path in glob.glob(str(folder / pattern)))


FOLDER_PATTERN = "_merged_processed.root"


def find_samples(folder, schema, trees_of):
    """Find the samples of all *_merged_processed.root below a folder.

    The name comes from the file. A file whose tree is the schema's for simulation is simulation:
    background where a declared process has its name, else signal; its genWeight holds cross-section
    over sum of weights, and its luminosity is that of the event's campaign.

    trees_of: function from a path to the names of the trees in the file
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
        simulation, data = (SCHEMAS[schema].tree(name, kind) for kind in ("background", "data"))
        trees = trees_of(str(path))
        if simulation in trees:
            kind = declared[name].kind if name in declared else "signal"
            process, tree = name, simulation
        elif data in trees:
            kind, process, tree = "data", "data", data
        else:
            has = ", ".join(trees) or "no tree"
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


def choose(names, known, what):
    """Return `names`, checked against the known ones; all known ones if there are none.

    Raises DeclarationError.
    """
    problems = [
        f"no {what} is called '{name}'{near_miss(name, known)} (known: {', '.join(known)})"
        for name in names
        if name not in known
    ]
    if problems:
        raise DeclarationError(*problems)
    return tuple(dict.fromkeys(names)) or tuple(known)
