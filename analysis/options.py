"""What the commands that run the analysis have in common: options, and how they fail."""

import argparse
import os
import re
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from analysis import samples, selection
from analysis.declarations import declarations
from analysis.errors import exit_on_mistake, positive_integer
from analysis.features import DEFAULT_LAYOUT
from analysis.records import plain_name
from analysis.schemas import SCHEMAS

# Of tables; all parts of the program read the first.
TABLE_FORMATS = ("hdf5", "parquet")

# Of a skim, the default first.
SKIM_COLUMNS = ("declared", "all")
SKIM_FORMATS = ("rntuple", "ttree")


def add_job(make):
    """Add the options that say what is run; returns the group of --samples and --input."""
    source = make.add_mutually_exclusive_group()
    source.add_argument("--samples", metavar="FILE", help="samples file (default: the demo)")
    source.add_argument(
        "--input", metavar="FOLDER", help="take every *_merged_processed.root in it"
    )
    add = make.add_argument
    add("--schema", choices=SCHEMAS, help="input format of --input")
    add("-o", "--output", metavar="OUT", help="output folder (default: output)")
    add("-s", "--sample", metavar="NAME", nargs="+", default=[], help="only these samples")
    add("-r", "--region", metavar="REGION", nargs="+", default=[], help="these regions")
    add("-n", "--entries", type=positive_integer, help="only the first events of each sample")
    add("--layout", help=f"matrix (default: {DEFAULT_LAYOUT})")
    add("--model", metavar="DIR", help="add the anomaly_score of a trained model")
    add("--unblind", action="store_true", help="look at data in blind regions")
    add("--plain", action="store_true", help="run the chain as it is, not compiled")
    add("--vary", metavar="NAME", nargs="*", help="these systematic variations (default: all)")
    add("--vary-tables", action="store_true", help="with tables of the variations")
    add(
        "--format",
        nargs="+",
        choices=TABLE_FORMATS,
        help="of the tables: hdf5 (default), or hdf5 parquet",
    )
    add("--skip-bad-files", action="store_true", help="leave damaged input files out")
    add("--drop-bad-events", action="store_true", help="leave events with bad values out")
    return source


def add_skim(make):
    """Add the options that say what a skim holds."""
    add = make.add_argument
    add(
        "--columns",
        choices=SKIM_COLUMNS,
        help="branches of a skim: those that the declarations read (default), or all",
    )
    add("--skim-format", choices=SKIM_FORMATS, help="of a skim (default: rntuple)")


def check_skim(make, options, others):
    """Refuse options that do not go with --skim, `others` among them, and those of it alone."""
    if options.skim:
        others = (*others, "skip_bad_files", "plain", "vary_tables", "format")
        if refused := [f"--{n.replace('_', '-')}" for n in others if getattr(options, n)]:
            make.error(f"--skim does not go with {', '.join(refused)}")
    elif options.columns or options.skim_format:
        make.error("--columns and --skim-format are for --skim")


@dataclass(frozen=True)
class EventName:
    """An event as users write it."""

    sample: str
    run: int | None = None
    event: int | None = None
    position: int | None = None  # among the entries of the sample, instead of run and event

    @classmethod
    def parse(cls, text):
        """Make it from SAMPLE:NUMBER, SAMPLE:RUN:NUMBER or SAMPLE@ENTRY; for argparse."""
        # 18 digits are always fewer than what 64 bits hold; open data has negative event numbers.
        name, n = r"(?P<sample>[^:@]+)", r"\d{1,18}"
        found = re.fullmatch(rf"{name}:(?:(?P<run>{n}):)?(?P<event>-?{n})", text, re.A)
        found = found or re.fullmatch(rf"{name}@(?P<position>{n})", text, re.A)
        if not found:
            raise argparse.ArgumentTypeError(
                f"must be SAMPLE:NUMBER, SAMPLE:RUN:NUMBER or SAMPLE@ENTRY, not '{text}'"
            )
        words = found.groupdict()
        sample = words.pop("sample")
        return cls(sample, **{key: int(word) for key, word in words.items() if word})


def check_job(make, options):
    """Refuse options that do not fit each other."""
    if (options.input is None) != (options.schema is None):
        make.error("--input and --schema need each other")
    if options.vary_tables and options.vary is None:
        make.error("--vary-tables needs --vary")
    if options.format and TABLE_FORMATS[0] not in options.format:
        make.error(
            "--format parquet leaves out the tables in HDF5, which ml, stats and plotting read: "
            "give --format hdf5 parquet"
        )


def wants_parquet(options):
    """Whether tables are written as Parquet, too; None where the options do not say so."""
    return options.format and TABLE_FORMATS[1] in options.format


def job_words(options):
    """The words of a command line that say again what is run: options of `add_job`, but for -o."""
    make = argparse.ArgumentParser(add_help=False)
    add_job(make)
    words = []
    for action in make._actions:
        value = getattr(options, action.dest)
        if action.dest == "output" or value == action.default:
            continue
        words.append(action.option_strings[-1])
        if isinstance(value, list):
            words += value
        elif value is not True:
            words.append(str(value))
    # A score is fitted with the tables of its variations.
    if options.vary is not None and not options.vary_tables:
        words.append("--vary-tables")
    return tuple(words)


def check_all(make, options):
    """Refuse options that do not go with --all, and those of it alone."""
    if options.all:
        if refused := [f"--{name}" for name in ("dask", "spark") if getattr(options, name)]:
            make.error(
                f"--all does not go with {refused[0]}: make the tables with it first, "
                "and --all takes them as they are"
            )
        for name in options.detector:
            if not plain_name(name):
                make.error(f"--detector: '{name}' must be a plain folder name")
    elif options.fast or options.detector:
        make.error("--fast and --detector are for --all")


# Options that a run which is done again obeys; the others are in its record.
REPEATED = (
    *("rerun", "trust", "output", "sample", "region", "entries", "threads", "dask", "spark"),
    *("check", "chain", "cpp", "event", "format"),
)


def check_rerun(make, options):
    """Refuse options that --rerun would not obey."""
    if not options.rerun:
        if options.trust:
            make.error("--trust is for --rerun")
        return
    unset = vars(make.parse_args([]))
    given = [name for name, value in vars(options).items() if value != unset[name]]
    if ignored := [f"--{name.replace('_', '-')}" for name in given if name not in REPEATED]:
        make.error(f"{', '.join(ignored)}: not with --rerun, which takes this from the record")


def declared_job(options):
    """Return the SampleList and the Declarations that the options ask for. Raises M3LError.

    ROOT is loaded for --input only, whose samples it finds.
    """
    listed = None
    if not options.input:
        listed = chosen(samples.read_samples(options.samples or samples.DEMO), options)
    regions = options.region or [selection.DEFAULT_REGION]
    runs = listed.good_runs if listed else ""
    declared = declarations(regions, options.layout or DEFAULT_LAYOUT, options.vary, bool(runs))
    if options.input:
        import helpers
        from analysis.looks import trees_of

        helpers.load_for_chains()
        listed = chosen(samples.find_samples(options.input, options.schema, trees_of), options)
    return listed, declared


def chosen(listed, options):
    """The samples that the options ask for."""
    names = samples.choose(options.sample, [s.name for s in listed.samples], "sample", "--list")
    kept = tuple(sample for sample in listed.samples if sample.name in names)
    return samples.SampleList(kept, listed.luminosity_ifb, listed.source)


def obey(act, options, interrupted):
    """Call `act` with the options; a user's mistake is a line and exit status 1.

    interrupted: what is said after Ctrl-C
    """
    warnings.showwarning = show_warning
    try:
        with exit_on_mistake(interrupted):
            return act(options)
    except SystemExit as end:
        if end.code == 130:
            os._exit(130)  # the thread of the event loop would go on
        raise


def show_warning(message, category, filename, *_):
    """One line for our warnings; those of other packages are not for the user."""
    if issubclass(category, UserWarning) and "ROOT" not in Path(filename).parts:
        print(f"m3l: warning: {message}", file=sys.stderr)
