"""`python -m analysis.stats`: what the scores and counts of a run say."""

import argparse
import math
import os
import sys
import warnings
from pathlib import Path

from analysis.errors import Parser, exit_on_mistake, positive_integer
from analysis.records import plain_name
from analysis.stats_files import DEFAULT_NAME

# The modules that do the work are imported by their commands: pyhf takes a second.

EPILOG = """\
examples
  python -m analysis.stats workspace output -r SR_search CR_WZ CR_ttbar CR_fake -f lt_met
  python -m analysis.stats fit output
  python -m analysis.stats limit output --signal HNL450
"""

TOYS = "pseudo-experiments; 0: formulas (default: toys where less than 5 events decide)"


def parser():
    """The command line, commands in the order in which they are used."""
    top = Parser(
        prog="python -m analysis.stats",
        description="What the scores and counts of a run say: uncertainties, limits, surprises.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name, text, act):
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(act=act)
        return made

    add_model_commands(command)
    add_background_commands(command)
    add_search_commands(command)
    add_publishing_commands(command)
    return top


def add_folder(command, optional=False):
    """The argument that all commands have."""
    times = "?" if optional else None
    text = "output folder of run_rdf.py"
    command.add_argument("folder", type=Path, metavar="OUT", nargs=times, help=text)


def add_name(command):
    """The option that tells statistical analyses apart."""
    command.add_argument(
        "--name",
        type=name_of_analysis,
        default=DEFAULT_NAME,
        metavar="NAME",
        help=f"of the statistical analysis, a folder in OUT/stats (default: {DEFAULT_NAME})",
    )


def name_of_analysis(word):
    """A word of the command line that can name a folder; raises ArgumentTypeError."""
    if not plain_name(word):
        raise argparse.ArgumentTypeError(f"'{word}' cannot name a folder")
    return word


def add_unblind(command):
    """The option that shows what was hidden."""
    command.add_argument("--unblind", action="store_true", help="look at data that is hidden")


def finite(word):
    """A number of the command line; raises ArgumentTypeError."""
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"must be a number, not '{word}'")
    return value


def add_regions(command, text):
    """The option that chooses regions."""
    command.add_argument("-r", "--region", nargs="+", default=[], metavar="REGION", help=text)


def add_run(made, optional=False):
    """What all commands about an analysis know: the run and the name."""
    add_folder(made, optional)
    add_name(made)


def add_observable(made):
    """A feature or a detector's score, and its bins."""
    which = made.add_mutually_exclusive_group()
    which.add_argument("-f", "--feature", help="observable of signal regions (default: one bin)")
    which.add_argument("--detector", metavar="NAME", help="its score instead, of OUT/scores/NAME")
    bins = made.add_mutually_exclusive_group()
    bins.add_argument("--edges", nargs="+", type=float, metavar="X", help="of the bins")
    bins.add_argument(
        "--bins", type=positive_integer, metavar="N", help="with equal background each"
    )


def add_inference(made):
    """Which signals, and how."""
    add = made.add_argument
    add("--signal", nargs="+", default=[], metavar="NAME", help="(default: all of the analysis)")
    add("--toys", type=whole_number, metavar="N", help=TOYS)
    add("--seed", type=whole_number, default=1, metavar="N", help="of toys (default: %(default)s)")
    add("--workspace", metavar="FILE", help="a workspace of another program instead of OUT")
    add("-o", "--into", metavar="DIR", help="for the results of --workspace")


def add_uncertainties(made):
    """Which systematics, and factors of yields."""
    made.add_argument(
        "--systematic",
        nargs="+",
        metavar="NAME",
        help="uncertainties; none: only those of the simulation's size (default: all of the run)",
    )
    made.add_argument(
        "--normalisation",
        nargs="+",
        type=assignment,
        default=[],
        metavar="PROCESS=X",
        help="multiply the yield of a process",
    )


def whole_number(text):
    """Convert a word of the command line; raises ArgumentTypeError."""
    return 0 if text == "0" else positive_integer(text)


def place(text):
    """Convert NAME=X[,Y] to (name, masses); raises ArgumentTypeError."""
    name, _, numbers = text.partition("=")
    try:
        masses = tuple(float(number) for number in numbers.split(","))
    except ValueError:
        masses = ()
    if not name or len(masses) not in (1, 2) or not all(map(math.isfinite, masses)):
        raise argparse.ArgumentTypeError(f"must be NAME=X or NAME=X,Y, not '{text}'")
    return name, masses


def assignment(text):
    """Convert NAME=X of the command line to (name, number); raises ArgumentTypeError."""
    name, _, number = text.partition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not name or not math.isfinite(value) or value < 0:
        raise argparse.ArgumentTypeError(f"must be NAME=X with a number X from 0, not '{text}'")
    return name, value


# --- models and their fits --------------------------------------------------------------------


def add_model_commands(command):
    """workspace, fit, limit, significance, plane, visible."""

    def acting(name):
        def act(options):
            from analysis.stats import actions

            getattr(actions, name)(options)

        return act

    made = command(
        "workspace", "regions, processes, uncertainties: pyhf workspaces", acting("make_workspaces")
    )
    add_run(made)
    add = made.add_argument
    add("-r", "--region", nargs="+", default=[], metavar="REGION", help="(default: all of the run)")
    add("-s", "--sample", nargs="+", default=[], metavar="NAME", help="(default: all of the run)")
    add_observable(made)
    add("--count", action="store_true", help="one bin, however many events there are")
    add("--control-feature", metavar="FEATURE", help="bins of control regions (default: one bin)")
    add("--signal", nargs="+", default=[], metavar="NAME", help="(default: all of the run)")
    add(
        "--norm",
        nargs="+",
        metavar="PROCESS[,PROCESS]=REGION",
        help="backgrounds with a free factor, and the control region that measures it; none: no "
        "such factors (default: those of analysis/stats/backgrounds.py)",
    )
    add_uncertainties(made)
    add_unblind(made)

    made = command("fit", "normalisations and pulls from control regions", acting("fit_regions"))
    add_run(made)
    add = made.add_argument
    add("--all", action="store_true", help="fit signal regions too")
    add("--signal", metavar="NAME", help="with this signal, of strength mu (default: without)")

    made = command("limit", "upper limits on strengths and cross-sections", acting("set_limits"))
    add_run(made, optional=True)
    add_inference(made)

    text = "significances, and cross-sections that would be seen"
    made = command("significance", text, acting("find_significances"))
    add_run(made, optional=True)
    add_inference(made)

    text = "limits between the simulated masses, from those of limit"
    made = command("plane", text, acting("interpolate_limits"))
    add_run(made)
    add = made.add_argument
    add("--signal", nargs="+", default=[], metavar="NAME", help="these (default: one family)")
    add(
        "--point",
        nargs="+",
        type=place,
        default=[],
        metavar="NAME=X[,Y]",
        help="masses of signals (default: the numbers in their names)",
    )
    add("--x-label", metavar="TEXT", help="LaTeX (default: from the names)")
    add("--y-label", metavar="TEXT")

    text = "limits on the visible cross-section in regions, without a model of a signal"
    made = command("visible", text, acting("limit_visible"))
    add_run(made)
    add = made.add_argument
    add("-r", "--region", nargs="+", default=[], metavar="REGION", help="(default: all of the run)")
    which = made.add_mutually_exclusive_group()
    which.add_argument("-f", "--feature", help="that --threshold is of")
    which.add_argument("--detector", metavar="NAME", help="whose score --threshold is of")
    add("--threshold", nargs="+", type=float, metavar="X", help="count events from X on, each")
    add("--fit", action="store_true", help="background and its error after the fit of fit.json")
    add_uncertainties(made)
    add("--toys", type=whole_number, metavar="N", help=TOYS)
    add_unblind(made)


# --- backgrounds from data --------------------------------------------------------------------


def add_background_commands(command):
    """abcd and overlap."""
    abcd = command(
        "abcd", "background from data: a score against an independent variable", run_abcd
    )
    add_run(abcd)
    abcd.add_argument("-r", "--region", default="SR3L", metavar="REGION", help="default: SR3L")
    score = abcd.add_mutually_exclusive_group(required=True)
    score.add_argument("-f", "--feature", metavar="FEATURE", help="what is high for signal")
    score.add_argument("--detector", metavar="NAME", help="its score instead")
    abcd.add_argument("--against", required=True, metavar="FEATURE", help="independent of it")
    abcd.add_argument(
        "--cuts",
        nargs=2,
        type=finite,
        metavar=("X", "Y"),
        help="of both (default: chosen on simulated background)",
    )
    abcd.add_argument(
        "--sides",
        nargs=2,
        choices=("high", "low"),
        default=("high", "high"),
        metavar=("X", "Y"),
        help="where both are signal-like: high or low (default: high high)",
    )
    abcd.add_argument(
        "--subtract",
        nargs="+",
        default=[],
        metavar="PROCESS",
        help="taken from simulation, not estimated",
    )
    add_unblind(abcd)
    overlap = command("overlap", "which events the regions of a run share", run_overlap)
    add_folder(overlap)
    add_regions(overlap, "regions, such as those of a fit (default: all of the run)")


def run_abcd(options):
    """Estimate, print and write."""
    from analysis.results import Results
    from analysis.stats import abcd

    abcd.run_abcd(Results(options.folder), options)


def run_overlap(options):
    """Print the matrix; exit status 1 where regions share events."""
    from analysis.results import Results
    from analysis.stats.overlap import show_overlap

    show_overlap(Results(options.folder), options.region)


# --- surprises --------------------------------------------------------------------------------


def add_search_commands(command):
    """bump, anything."""
    text = "the largest bump in a mass of anomalous events, with a global p-value"
    bump = command("bump", text, run_bump)
    add_folder(bump)
    bump.add_argument("-r", "--region", required=True, metavar="REGION", help="one region")
    bump.add_argument("--detector", metavar="NAME", help="whose score chooses anomalous events")
    add_search_options(bump, pseudo=1000)
    level = bump.add_mutually_exclusive_group()
    level.add_argument(
        "--background-share",
        type=share,
        nargs="+",
        default=[0.01],
        metavar="SHARE",
        help="thresholds, by the share of the simulated background above (default: 0.01)",
    )
    level.add_argument("--threshold", type=finite, metavar="SCORE", help="threshold on the score")
    level.add_argument("--all-events", action="store_true", help="no threshold")

    text = "one answer for a set of data: is there anything that the simulation does not have?"
    anything = command("anything", text, run_anything)
    add_folder(anything)
    add_regions(anything, "regions (default: signal regions whose data may be looked at)")
    anything.add_argument(
        "--detector",
        nargs="+",
        default=[],
        metavar="NAME",
        help="detectors and simple cuts (default: the detector that is shown, and all cuts)",
    )
    add_search_options(anything, pseudo=200)
    anything.add_argument(
        "--top",
        type=positive_integer,
        default=20,
        metavar="N",
        help="events that are told one by one (default: 20)",
    )
    anything.add_argument(
        "--calibrate",
        type=positive_integer,
        metavar="N",
        help="instead: p-values of N data sets taken out of the simulation",
    )


def add_search_options(command, pseudo):
    """The options that all searches have; pseudo: default number of pseudo-experiments."""
    add = command.add_argument
    add("--mass", action="append", default=[], metavar="MASS", help="a feature; several times")
    add(
        "--pseudo",
        type=positive_integer,
        default=pseudo,
        metavar="N",
        help=f"pseudo-experiments (default: {pseudo})",
    )
    add("--seed", type=whole_number, default=1, metavar="S", help="of random numbers (default: 1)")
    add(
        "--processes",
        type=positive_integer,
        default=len(os.sched_getaffinity(0)),
        metavar="J",
        help="that share the work (default: one per core)",
    )
    add(
        "--inject",
        type=assignment,
        action="append",
        metavar="SIGNAL=N",
        help="search pseudo-data with N events of a signal instead of the data; several times",
    )
    add_unblind(command)
    add_name(command)


def share(text):
    """A share above 0 and up to 1 of the command line; raises ArgumentTypeError."""
    value = finite(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"must be above 0 and at most 1, not '{text}'")
    return value


def run_bump(options):
    """Write bump.json and print what it says."""
    from analysis.stats.bump import find_bumps

    find_bumps(options)


def run_anything(options):
    """Write anything.json and print what it says, or anything_calibration.json."""
    from analysis.stats.anything import calibrate, search_all

    (calibrate if options.calibrate else search_all)(options)


# --- for others -------------------------------------------------------------------------------


def add_publishing_commands(command):
    """publish."""
    made = command("publish", "histograms, cutflows and results as tables for HEPData", run_publish)
    add_run(made)
    add_regions(made, "regions (default: all of the run)")
    made.add_argument(
        "-f",
        "--feature",
        nargs="+",
        default=[],
        metavar="FEATURE",
        help="features (default: all but the cells of the matrix)",
    )
    made.add_argument(
        "--only",
        nargs="+",
        choices=("histograms", "cutflows", "results"),
        default=("histograms", "cutflows", "results"),
        help="publish these parts (default: all)",
    )
    made.add_argument("--into", type=Path, metavar="FOLDER", help="default: OUT/stats/NAME/hepdata")
    made.add_argument(
        "--reaction",
        default="P P --> LEPTON LEPTON LEPTON X",
        metavar="TEXT",
        help="in the words of HEPData (default: P P --> LEPTON LEPTON LEPTON X)",
    )
    made.add_argument(
        "--energy",
        type=finite,
        default=13.0,
        metavar="TEV",
        help="centre-of-mass energy (default: 13)",
    )
    add_unblind(made)


def run_publish(options):
    """Write the submission."""
    from analysis.results import Results
    from analysis.stats.publish import publish

    def say(line):
        print("m3l:", line, file=sys.stderr)

    folder, number = publish(Results(options.folder), options, say)
    print(f"{number} tables, valid for HEPData, written to {folder}: submission.tar.gz")


def main(arguments=None):
    """Run a command."""
    words = sys.argv[1:] if arguments is None else arguments
    options = parser().parse_args(words)
    options.words = words  # results say what made them
    warnings.showwarning = lambda *_: None  # of libraries, not for the user
    with exit_on_mistake("results written so far are complete"):
        options.act(options)


if __name__ == "__main__":
    main()
