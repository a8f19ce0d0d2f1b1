"""The program as one command, and as a module for notebooks.

m3l COMMAND ...             `m3l --help` lists the commands
import m3l                  `m3l.run`, `m3l.results`, `m3l.dataframes`: docs/install.md

A command is that of a program below, which alone is imported: ROOT and TensorFlow do not go into
one process.
"""

import contextlib
import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from analysis import console
from analysis.errors import InputError, M3LError, Parser, last_words, near_miss, raising

__all__ = ["M3LError", "call", "dataframes", "explain", "results", "run", "show"]


class Program(NamedTuple):
    """A program that users also start as `python -m`."""

    word: str  # m3l WORD ... is the program
    module: str  # has `parser` and `main`
    short: bool = True  # whether its commands are also commands of m3l


# In this order a command is looked for that several have: `m3l score` is `python -m ml score`, the
# pictures of scores are `m3l plot score`.
PROGRAMS = (
    Program("run", "run_rdf", short=False),
    Program("submit", "analysis.submit", short=False),
    Program("opendata", "analysis.opendata", short=False),
    Program("ml", "ml.__main__"),
    Program("stats", "analysis.stats.__main__"),
    Program("plot", "plotting.__main__"),
)


def program():
    """Be the console command."""
    with last_words():
        module = main()
    if hasattr(module, "leave") and not sys.flags.inspect:
        module.leave()


def main(arguments=None):
    """Run a command line, without the word `m3l`; returns the module that did it, None for help."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] in (["-h"], ["--help"]):
        print("\n".join(help_lines(console.width())))
    elif words == ["--version"]:
        print("m3l", version())
    else:
        found, rest = find(words)
        module = importlib.import_module(found.module)
        module.main(rest)
        return module


def find(words):
    """The Program of a command line, and the words that are for it; exits where there is none."""
    usage = Parser("m3l")
    if not words:
        usage.error("the following arguments are required: COMMAND")
    word = words[0]
    for program in PROGRAMS:
        if word == program.word:
            return program, words[1:]
    known, missing = {program.word for program in PROGRAMS}, set()
    for program in PROGRAMS:
        commands = commands_of(program, missing)
        if word in commands:
            return program, words
        known |= commands.keys()
    lacks = f"; Python finds no {', '.join(sorted(missing))}, others need it" if missing else ""
    usage.error(f"no command is called '{word}'{near_miss(word, known)}{lacks}")


def commands_of(program, missing):
    """{command: what it does} of the short commands of a Program.

    missing: set to which the name of a package is added that the program lacks
    """
    parser = program.short and parser_of(program, missing)
    if not parser:
        return {}
    (commands,) = [action for action in parser._actions if isinstance(action.choices, dict)]
    return {name: command.description for name, command in commands.choices.items()}


def parser_of(program, missing):
    """The command line of a Program, None where a package is missing, which is added to a set."""
    try:
        return importlib.import_module(program.module).parser()
    except ModuleNotFoundError as error:
        missing.add(error.name)


def help_lines(most):
    """The lines of `m3l --help`, `most` letters wide."""
    lines = ["usage: m3l COMMAND ...", ""]
    seen, missing = {program.word for program in PROGRAMS}, set()
    for program in PROGRAMS:
        parser = parser_of(program, missing)
        text = parser.description if parser else "cannot be used here"
        text = text[0].upper() + text[1:].rstrip(".")
        lines += console.hanging(f"{program.word:<16}", text, most)
        commands = commands_of(program, missing)
        for name, text in commands.items():
            full = f"{program.word} {name}" if name in seen else name
            lines += console.hanging(f"  {full:<14}", text, most)
        seen |= commands.keys()
    if missing:
        lines += ["", *console.hanging("", f"Python finds no {', '.join(sorted(missing))}.", most)]
    end = "m3l COMMAND --help tells more; m3l --version prints the version."
    return [*lines, "", *console.hanging("", end, most)]


def version():
    """The version of the program: of what is installed, else of the checkout."""
    from importlib import metadata

    try:
        return metadata.version("m3l")
    except metadata.PackageNotFoundError:
        import tomllib

        project = Path(__file__).with_name("pyproject.toml")
        return tomllib.loads(project.read_text())["project"]["version"]


# --- for notebooks ----------------------------------------------------------------------------


def run(*words):
    """Do `m3l run` in a process of its own; returns what `results` does.

    words: of the command line, such as "--samples", "my.toml"
    Raises M3LError.
    """
    import run_rdf

    options = run_rdf.checked(raising(run_rdf.parser()), [*map(str, words)])
    call("run", *words)
    return results(options.output or "output")


def call(*words):
    """Do a command in a process of its own, whose lines are printed: call("train", "output").

    Raises InputError with what it said, if it fails.
    """
    # Not `-m`, for which a folder `analysis` of the user would come first.
    process = subprocess.Popen(
        [sys.executable, Path(__file__).resolve(), *map(str, words)],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    problems, last = [], ""
    with process:
        try:
            for line in process.stdout:
                if line.startswith("m3l: ") and not line.startswith("m3l: warning: "):
                    problems.append(line.removeprefix("m3l: ").rstrip())
                else:
                    print(line, end="", flush=True)
                last = line.strip() or last
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        raise InputError(*(problems or [last or f"m3l ended with status {process.returncode}"]))
    for line in problems:
        print("m3l:", line, flush=True)


def results(folder="output", **options):
    """The pictures and tables of an output folder, see plotting.notebook.Run; needs no ROOT.

    Raises M3LError where the folder holds no complete run.
    """
    from plotting.notebook import Run

    return Run(folder, **options)


def dataframes(*words):
    """The RDataFrames of all samples without a run: dataframes("-s", "WZ")["WZ"]["SR3L"].

    words: of the command line of `m3l run`
    Raises M3LError, also where Python finds no ROOT.
    """
    with needs_root():
        import run_rdf

        return run_rdf.dataframes(*words)


def show(df, columns, rows=10):
    """The first rows of an RDataFrame as a pandas DataFrame. Raises M3LError."""
    with needs_root():
        from analysis.dataframes import show as rows_of

        return rows_of(df, columns, rows)


def explain(frames, event=None, **where):
    """What happened to an event, cut by cut, see analysis.explain. Raises M3LError."""
    with needs_root():
        from analysis.explain import explain as told

        return told(frames, event, **where)


@contextlib.contextmanager
def needs_root():
    """Around what needs ROOT: where it is missing, a line says so instead of a traceback."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(
            f"Python finds no {error.name}: install m3l with its extra 'root', or choose a kernel "
            "of an environment that has it; m3l.results and its pictures and tables need none"
        ) from None


if __name__ == "__main__":
    program()
