"""`python -m analysis.stats`: what the scores and counts of a run say."""

import argparse
import warnings

from analysis.errors import Parser, exit_on_mistake

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


# --- models and their fits --------------------------------------------------------------------


def add_model_commands(command):
    """workspace, fit, limit, significance, plane, visible."""


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
