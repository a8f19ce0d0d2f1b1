"""`python -m analysis.opendata 2025`: a samples file for a release of ATLAS Open Data.

atlasopenmagic asks a server of ATLAS what there is; the files stay where they are, or are copied.
"""

import argparse
import contextlib
import glob
import io
import logging
import os
import re
import sys
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from analysis import console, copies, records
from analysis.content import FROM_0, Fields, ListOf, Maybe, line
from analysis.errors import (
    FEW,
    DeclarationError,
    InputError,
    OutputError,
    Parser,
    exit_on_mistake,
    last_words,
    listed,
    unknown,
)
from analysis.files import atomic_file
from analysis.releases import METADATA, NTUPLE, OTHER, RELEASES
from analysis.samples import Sample, read_samples, samples_text
from analysis.schemas import SCHEMAS

DATA = "data"  # the key of the collisions, and the sample they become
ALL = "noskim"
ROOT_URLS, COPIES = "root", "https"  # protocols: of files that are read where they are, or copied

URLS = Maybe(ListOf(line(4096, least=1)))
NUMBER_OR_NOTHING = Maybe(FROM_0)
# What is used of the description of a dataset.
DATASET = Fields(
    {
        "physics_short": Maybe(line(500)),
        "cross_section_pb": NUMBER_OR_NOTHING,
        "genFiltEff": NUMBER_OR_NOTHING,
        "kFactor": NUMBER_OR_NOTHING,
        "sumOfWeights": Maybe(records.NUMBER),
        "keywords": Maybe(ListOf(line(500))),
        "file_list": URLS,
        "skims": Maybe(
            ListOf(Fields({"skim_type": line(100, least=1), "file_list": URLS}, others=True))
        ),
    },
    needed=(),
    others=True,
)
NORMALISATION = {  # keys of the metadata and of a samples file
    "cross_section_pb": "xsec_pb",
    "kFactor": "k_factor",
    "genFiltEff": "filter_efficiency",
    "sumOfWeights": "sum_of_weights",
}

EPILOG = """\
examples
  python -m analysis.opendata 2025 --skim exactly3lep -o my.toml
  python -m analysis.opendata 2020 --periods A B --cache opendata -o my.toml
  python run_rdf.py --samples my.toml -o output_opendata
"""


@dataclass(frozen=True)
class Chosen:
    """A dataset of a release, and what becomes of it."""

    key: str  # its number, or "data"
    sample: Sample  # without files
    urls: tuple[str, ...]
    comment: str = ""


def parser():
    """The command line."""
    made = Parser(
        prog="python -m analysis.opendata",
        description="Write a samples file for a release of ATLAS Open Data.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = made.add_argument
    add("release", metavar="RELEASE", help=" or ".join(RELEASES))
    add("--skim", metavar="NAME", help="part of the events (default: those with three leptons)")
    add("--periods", metavar="P", nargs="+", help="of data taking (default: all), as A or 2016")
    add("--luminosity", metavar="FB", type=float, help="of these periods in fb^-1, where needed")
    add("--process", metavar="P", nargs="+", help=f"only these processes; {DATA}: collisions")
    add("--also", metavar="DSID", nargs="+", default=[], help="further datasets, by number")
    add("--normalisation", choices=(METADATA, NTUPLE), help="where cross-sections come from")
    add("--cache", metavar="FOLDER", type=Path, help="copy the files into a folder")
    add("-o", dest="output", metavar="FILE", type=Path, default=Path("opendata.toml"))
    return made


def main(words=None):
    """The command."""
    options = parser().parse_args(words)
    with exit_on_mistake("what is copied stays; the same command goes on"):
        write_samples(options)


def write_samples(options):
    """Write the samples file that a command line asks for. Raises M3LError."""
    if options.output.is_dir():  # said before hours of copying
        raise OutputError(f"{options.output} is a folder: name a file with -o")
    release = find_release(options.release)
    check_processes(options.process or [], release)
    luminosity, periods = luminosity_of(options, release)
    metadata = ask(release)
    skim = choose_skim(options.skim or release.skim, release, metadata)
    chosen, remarks = choose(options, release, metadata, skim, periods)
    samples = {one.sample.name: with_files(one, options, release, skim) for one in chosen}
    comments = {one.sample.name: one.comment for one in chosen if one.comment}
    first = f"ATLAS Open Data {release.full_name}, skim {skim}: python -m analysis.opendata"
    with atomic_file(options.output) as new:
        new.write_bytes(
            samples_text(samples.values(), luminosity, first, comments=comments).encode()
        )
        read_samples(new)  # what the program would refuse is not written
    print_samples(samples.values(), luminosity, options.output)
    for remark in remarks:
        print(f"note: {remark}", file=sys.stderr)


def find_release(name):
    """The Release of a name, short or full. Raises DeclarationError."""
    known = {full: each for each in RELEASES.values() for full in (each.name, each.full_name)}
    if name not in known:
        raise DeclarationError(unknown("release of ATLAS Open Data", name, known))
    return known[name]


def check_processes(names, release):
    """Raise DeclarationError unless all are processes of a release."""
    known = (DATA, *release.datasets)
    problems = [unknown("process", name, known) for name in names if name not in known]
    if problems:
        raise DeclarationError(*problems)


def luminosity_of(options, release):
    """(luminosity in fb^-1, names of periods) of a command line. Raises DeclarationError."""
    known = {period.name: period for period in release.periods}
    names = tuple(dict.fromkeys(options.periods or ()))
    problems = [unknown("period", name, known) for name in names if name not in known]
    problems += [
        f"period {name} is a part of {known[name].year}, which is chosen as well"
        for name in names
        if name in known and known[name].year in names
    ]
    if problems:
        raise DeclarationError(*problems)
    if options.luminosity is not None:
        if not 0 < options.luminosity < float("inf"):
            raise DeclarationError(f"--luminosity must be above 0, not {options.luminosity}")
        return options.luminosity, names
    silent = [name for name in names if known[name].luminosity_ifb is None]
    if silent:
        raise DeclarationError(
            f"nobody has published the luminosity of {listed(silent)} alone: "
            "give that of all chosen periods with --luminosity"
        )
    whole = {period.name for period in release.periods if not period.year}
    if not names or whole <= set(names):
        return release.luminosity_ifb, names
    return round(sum(known[name].luminosity_ifb for name in names), 6), names


# --- what the server says -------------------------------------------------------------------


def ask(release):
    """{number of a dataset or "data": what the server says of it}. Raises InputError."""
    try:
        import atlasopenmagic
        import requests
        from atlasopenmagic import metadata
    except ModuleNotFoundError as error:
        raise InputError(
            f"Python finds no {error.name}: "
            "pip install atlasopenmagic, or '.[opendata]' in the checkout"
        ) from None
    server = metadata.API_BASE_URL
    logging.getLogger("atlasopenmagic").disabled = True  # what fails is said here, in one line
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # a bar
            atlasopenmagic.set_release(release.full_name)
            found = atlasopenmagic.get_all_metadata()
    except requests.exceptions.JSONDecodeError:
        raise InputError(f"{server} answers nonsense, no JSON: try again later") from None
    except requests.exceptions.HTTPError as error:
        raise InputError(f"{server} refuses: {error}: try again later") from None
    except requests.exceptions.RequestException as error:
        raise InputError(
            f"{server} does not answer ({type(error).__name__}): the metadata of "
            f"{release.full_name} need a network"
        ) from None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}"
        raise InputError(f"{server} answers nonsense, no datasets ({what})") from None
    return checked(found, release, server)


def checked(found, release, server):
    """Those of the datasets that have a number, and the data. Raises InputError."""
    kept = {key: one for key, one in found.items() if key.isdecimal() or key == DATA}
    if not kept:
        raise InputError(f"{server} knows no dataset of release {release.full_name}")
    for key, dataset in kept.items():
        for problem in DATASET.problems(dataset, f"dataset {key}: "):
            raise InputError(f"{server} answers nonsense, {problem}")
    return kept


def is_in(skim, dataset):
    """Whether a dataset has files in a skim."""
    found = {one["skim_type"]: one["file_list"] for one in dataset.get("skims") or []}
    return bool({ALL: dataset.get("file_list"), **found}.get(skim))


def urls_of(key, skim, options):
    """URLs of the files of a dataset in a skim. Raises InputError."""
    import atlasopenmagic

    protocol = COPIES if options.cache else ROOT_URLS
    urls = atlasopenmagic.get_urls(key, skim, protocol, cache=False)
    wanted = ("https://", "http://") if options.cache else ("root://",)
    for url in urls:
        if not url.startswith(wanted):
            what = "copied" if options.cache else "read where it is: copy it with --cache"
            raise InputError(f"dataset {key}: {url} cannot be {what}")
    return tuple(urls)


def choose_skim(name, release, metadata):
    """The name of a skim that the release has. Raises DeclarationError."""
    known = {one["skim_type"] for each in metadata.values() for one in each.get("skims") or []}
    known = sorted({*known, ALL})
    if name not in known:
        raise DeclarationError(unknown(f"skim of {release.full_name}", name, known))
    return name


# --- datasets become samples ----------------------------------------------------------------


def choose(options, release, metadata, skim, periods):
    """(Chosen of all datasets that are wanted, remarks). Raises InputError."""
    processes = options.process or (DATA, *release.datasets)
    table = {
        number: process for process in release.datasets for number in release.datasets[process]
    }
    wanted = {number: process for number, process in table.items() if process in processes}
    chosen, absent, without = [], [], []
    if DATA in processes:
        has = is_in(skim, metadata.get(DATA, {}))
        urls = urls_of(DATA, skim, options) if has else ()
        chosen.append(collisions(release, urls, skim, periods))
    remarks = []
    for text in dict.fromkeys(options.also):
        if text not in metadata or text == DATA:
            known = [key for key in metadata if key != DATA]
            listing = "atlasopenmagic.available_datasets()"
            raise DeclarationError(unknown("dataset", text, known, listing))
        wanted.setdefault(int(text), table.get(int(text)))
    by = options.normalisation or release.normalisation
    problems = []
    for number, process in wanted.items():
        dataset = metadata.get(str(number))
        if dataset is None:
            absent.append(number)
        elif not is_in(skim, dataset):
            without.append(number)
        else:
            urls = urls_of(str(number), skim, options)
            one = simulation(number, dataset, process, urls, release, by, problems)
            chosen.append(one)
            if process is None:
                what = f"{one.sample.kind} of the process '{one.sample.process}'"
                remarks.append(f"dataset {number}, {one.sample.name}, is in no table: {what}")
    if problems:
        raise InputError(*problems)
    if not chosen:
        raise InputError(f"{release.full_name} has no file of what is asked for in skim {skim}")
    if absent:
        remarks.append(f"the server does not know {listed(absent, FEW)}, expected events lack them")
    if without:
        remarks.append(f"not in skim {skim}: {listed(without, FEW)}")
    return named_apart(chosen), remarks


def collisions(release, urls, skim, periods):
    """The Chosen of the data of some periods, all for none. Raises InputError."""
    kept, found = [], set()
    for url in urls:
        match = re.search(release.data_file, PurePosixPath(url).name, re.IGNORECASE)
        if not match:
            raise InputError(f"{url}: nobody knows which period of {release.full_name} this is")
        parts = match.groupdict()
        year = f"20{parts['year']}" if "year" in parts else ""
        names = {year, year + parts["period"].upper()} - {""}
        if not periods or names & set(periods):
            kept.append(url)
            found |= names
    whole = [period.name for period in release.periods if not period.year]
    missing = [name for name in periods or whole if name not in found]
    if missing:
        raise InputError(
            f"{release.full_name} has no data of {listed(missing)} in skim {skim}, so that the "
            "luminosity would be wrong: choose others, or only processes of simulation"
        )
    return Chosen(DATA, blank(DATA, DATA, "data", release), tuple(kept))


def simulation(number, dataset, process, urls, release, by, problems):
    """The Chosen of a simulated dataset; problems are added to the list.

    process: None for that of a dataset which is in no table
    by: METADATA or NTUPLE, which normalises it
    """
    name = dataset.get("physics_short") or ""
    if any(records.NAME.problems(name, "")):
        name = f"mc_{number}"
    kind = "background"
    if process is None:
        signal = "bsm" in {word.lower() for word in dataset.get("keywords") or []}
        kind, process = ("signal", name) if signal else ("background", OTHER)
    sample = blank(name, process, kind, release)
    values = {ours: dataset.get(theirs) for theirs, ours in NORMALISATION.items()}
    comment = f"dataset {number}"
    if by == NTUPLE:
        told = ", ".join(f"{key} {value!r}" for key, value in values.items() if value is not None)
        comment += f", normalised by its files; the metadata say {told or 'nothing'}"
        return Chosen(str(number), sample, urls, comment)
    for factor in ("k_factor", "filter_efficiency"):
        values[factor] = 1.0 if values[factor] is None else values[factor]
    for theirs, ours in NORMALISATION.items():
        if not values[ours]:
            problems.append(
                f"dataset {number}, {name}, has no {theirs} in the metadata: "
                f"--normalisation {NTUPLE} takes what its files say"
            )
    return Chosen(str(number), replace(sample, **values), urls, comment)


def blank(name, process, kind, release):
    """A Sample without files and normalisation."""
    tree = SCHEMAS[release.schema].tree(name, kind)
    return Sample(name, process, kind, release.schema, (), tree)


def named_apart(chosen):
    """The same, those that share a name with their numbers."""
    names = [one.sample.name for one in chosen]
    return [
        replace(one, sample=replace(one.sample, name=f"{one.sample.name}_{one.key}"))
        if names.count(one.sample.name) > 1
        else one
        for one in chosen
    ]


# --- files ------------------------------------------------------------------------------------


def with_files(one, options, release, skim):
    """The Sample of a Chosen with its files, copied if the command line asks for it."""
    if not options.cache:
        return replace(one.sample, files=one.urls)
    folder = options.cache / release.full_name / skim
    files = []
    for url in one.urls:
        name = PurePosixPath(url).name
        for problem in records.FILE.problems(name, f"{url}: its name"):
            raise InputError(problem)
        copies.copy(url, folder / name)
        files.append(as_pattern(folder / name, options.output))
    return replace(one.sample, files=tuple(files))


def as_pattern(path, output):
    """How a samples file names a file: relative if that is below it, for both to be moved."""
    path, folder = path.resolve(), output.resolve().parent
    below = path.is_relative_to(folder)
    return glob.escape(os.path.relpath(path, folder) if below else str(path))


def print_samples(samples, luminosity, path):
    """Print what was written."""
    rows = {}
    for sample in samples:
        row = rows.setdefault((sample.process, sample.kind), [0, 0])
        row[0] += 1
        row[1] += len(sample.files)
    table = [(process, kind, *map(str, counts)) for (process, kind), counts in rows.items()]
    heads = ("process", "kind", "samples", "files")
    print(*console.table(heads, table, console.width()), sep="\n")
    print(f"\n{luminosity:g} fb^-1, written to {path}")
    print(f"python run_rdf.py --samples {path} --check looks at all of them")


if __name__ == "__main__":
    with last_words():
        main()
