"""`python -m analysis.stats`: what the scores and counts of a run say."""

import argparse
import math
import warnings

from analysis.errors import Parser, exit_on_mistake, positive_integer

# The modules that do the work are imported by their commands: pyhf takes a second.

EPILOG = """\
examples
"""


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


def add_run(made):
    """What all commands about models know: the run, and the name of the analysis."""
    made.add_argument("output", metavar="OUT", help="folder that run_rdf.py wrote")
    made.add_argument("--name", default="search", help="of OUT/stats/NAME (default: %(default)s)")


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
    add(
        "--systematic",
        nargs="+",
        metavar="NAME",
        help="uncertainties; none: only those of the simulation's size (default: all of the run)",
    )
    add(
        "--normalisation",
        nargs="+",
        type=assignment,
        default=[],
        metavar="PROCESS=X",
        help="multiply the yield of a process",
    )
    add("--unblind", action="store_true", help="use the data of blind regions")


# --- backgrounds from data --------------------------------------------------------------------


def add_background_commands(command):
    """abcd."""


# --- surprises --------------------------------------------------------------------------------


def add_search_commands(command):
    """bump, anything."""


# --- for others -------------------------------------------------------------------------------


def add_publishing_commands(command):
    """publish."""


def main(arguments=None):
    """Run a command."""
    options = parser().parse_args(arguments)
    warnings.showwarning = lambda *_: None  # of libraries, not for the user
    with exit_on_mistake("results written so far are complete"):
        options.act(options)


if __name__ == "__main__":
    main()
