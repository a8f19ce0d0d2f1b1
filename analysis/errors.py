"""What the program says when something is wrong, the same in all its parts.

M3LError
├── DeclarationError  a sample, a selection, a feature, a network or an option is wrong
├── InputError        a file, tree, branch or event is
├── OutputError       results cannot be written
├── BatchError        a batch system is missing or refuses
└── ClusterError      a cluster cannot be reached, or its workers fail
"""

import argparse
import difflib
import os
import signal
import sys
import threading
from contextlib import contextmanager
from pathlib import Path


class M3LError(Exception):
    """One or several problems, a line each; each says what, where and what to do."""

    def __init__(self, *problems):
        super().__init__("\n".join(problems))
        self.problems = problems

    def __reduce__(self):
        return type(self), self.problems

    def _render_traceback_(self):
        """What a notebook shows: the problems alone."""
        return [f"m3l: {problem}" for problem in self.problems]


class DeclarationError(M3LError):
    """A sample, a selection, a feature, a network or an option is wrong."""


class InputError(M3LError):
    """A file, a tree, a branch or an event is wrong."""


class ClusterError(M3LError):
    """A cluster cannot be reached, or its workers fail."""


class OutputError(M3LError):
    """Results cannot be written."""


class BatchError(M3LError):
    """A batch system is missing or refuses."""


FEW = 12  # names that a message lists


def near_miss(name, known):
    """Return ", did you mean 'x'?" for the known name closest to `name`, "" where none is close.

    Capitals do not matter; names that are equally close, up to three, are all named.
    """
    word = name.casefold()
    folded = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(word, folded, n=len(folded) or 1, cutoff=0.6)
    likeness = {each: difflib.SequenceMatcher(None, each, word).ratio() for each in close}
    nearest = [folded[each] for each in close if likeness[each] == likeness[close[0]]]
    quoted = [f"'{each}'" for each in sorted(nearest)[:3]]
    return f", did you mean {' or '.join(quoted)}?" if quoted else ""


def unknown(what, name, known, listing=""):
    """The problem that no `what` is called `name`: the nearest known ones, and all where few are.

    listing: the words that print all, where they may be many
    """
    if len(known) <= FEW or not listing:
        rest = f"known: {listed(known, FEW)}"
    else:
        rest = f"{listing} prints all {len(known)}"
    return f"no {what} is called '{name}'{near_miss(name, known)} ({rest})"


def listed(names, most=4):
    """Name the first few of `names` and count the rest: "a, b (and 3 more)"."""
    names = [str(name) for name in names]
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" (and {rest} more)" if rest > 0 else "")


class Parser(argparse.ArgumentParser):
    """A command line whose wrong usage is one line and exit status 2."""

    def error(self, message):
        """Print the line and exit."""
        self.exit(2, f"m3l: {message}; see {self.prog} --help\n")


def where_packages_are():
    """What to do where a package is missing: in a checkout, and where m3l is installed."""
    if (Path(__file__).resolve().parents[1] / "setup.sh").exists():
        return "source setup.sh first"
    return "install m3l with the extra that has it, pip install '.[root,ml,stats]' in its checkout"


def raising(parser):
    """Let wrong usage of a parser raise DeclarationError instead of ending the process."""

    def refuse(message):
        raise DeclarationError(f"{message}; see {parser.prog} --help")

    parser.error = refuse
    return parser


def positive_integer(text):
    """Convert a word of the command line; raises ArgumentTypeError."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, not '{text}'")
    return int(text)


# A KeyboardInterrupt gets lost where C++ calls Python: event loops look here as well.
interruption = threading.Event()


def interrupt(*_):
    """Signal handler: raise KeyboardInterrupt, and remember it."""
    interruption.set()
    raise KeyboardInterrupt


@contextmanager
def exit_on_mistake(interrupted, memory="choose fewer regions or samples"):
    """Around a command: a user's mistake is a line on stderr and exit status 1, no traceback.

    interrupted: what is said after Ctrl-C, which exits with 130; SIGTERM counts as Ctrl-C
    memory: advice where there is too little
    """
    interruption.clear()
    signal.signal(signal.SIGTERM, interrupt)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)
    status, problems = 1, ()
    try:
        yield
        sys.stdout.flush()
        return
    except M3LError as error:
        problems = error.problems
    except ModuleNotFoundError as error:
        problems = [f"Python finds no {error.name}: {where_packages_are()}"]
    except BrokenPipeError:  # `| head` has read enough; nothing is left to be flushed at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        problems = [f"{where}{error.strerror or error}"]
    except MemoryError:
        problems = [f"not enough memory: {memory}"]
    except KeyboardInterrupt:
        status, problems = 130, [f"interrupted, {interrupted}"]
    for problem in problems:
        print("m3l:", " ".join(problem.split()), file=sys.stderr, flush=True)
    raise SystemExit(status)


@contextmanager
def last_words():
    """Around a program: once it is done, a signal does not disturb the end of its process."""
    try:
        yield
    finally:
        if not sys.flags.interactive:
            for ending in (signal.SIGINT, signal.SIGTERM):
                signal.signal(ending, signal.SIG_IGN)
