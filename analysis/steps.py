"""The whole chain from ntuples to the page: its steps, an entry each.

`python run_rdf.py --all` runs them in this order (analysis/everything.py), the Snakefile in that of
their files. Each step is a command that users can give as well, in a process of its own, so that
ROOT and Keras never meet. Nothing but the standard library is needed to read this table.
"""

import ast
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from analysis import selection
from analysis.places import (
    CUTFLOW,
    DEFAULT_DETECTOR,
    HISTOGRAMS,
    MODELS,
    REPORT,
    RUN,
    SCORES,
    STATS,
    STUDY,
    TABLES,
)

CHECKOUT = Path(__file__).resolve().parents[1]
PARTS = ("analysis", "helpers", "ml", "plotting")
BESIDE = (".html", ".css", ".js")  # sources that are no Python

# The detectors that are trained: the first one is fitted and explained, the others stand beside it.
DETECTORS = (DEFAULT_DETECTOR, "isolation")
FAST_DETECTORS = ("tail",)
FOLDS = 5

# What a command needs: {name to import: extra of pyproject.toml}
LEARNING = dict.fromkeys(("sklearn", "lightgbm", "keras", "tensorflow"), "ml")
FITTING = dict.fromkeys(("pyhf", "iminuit"), "stats")
READING_ROOT = {"ROOT": "root"}


@dataclass(frozen=True)
class Step:
    """A command of the chain, with the files that it reads and makes below the output folder."""

    name: str
    words: tuple[str, ...]  # of the command, after `python`
    reads: tuple[str, ...]  # what earlier steps have made; a folder ends with /
    makes: tuple[str, ...]  # all complete when the command has succeeded
    program: tuple[str, ...]  # modules that it starts with
    packages: dict[str, str]  # that it imports: {name: extra}
    many_cores: bool = False

    @property
    def command(self):
        """The command as a user types it in the checkout: ("python", ...)."""
        return ("python", *self.words)


@dataclass(frozen=True)
class Choices:
    """What of the chain is asked for."""

    output: str
    job: tuple[str, ...] = ()  # words of run_rdf.py that say what is run
    regions: tuple[str, ...] = ()  # names; none: the default
    detectors: tuple[str, ...] = ()  # names; none: those declared here
    signals: bool = True  # whether samples of signals are declared
    threads: int | None = None  # None: all cores
    unblind: bool = False
    force: bool = False
    fast: bool = False  # a first look

    def notes(self):
        """Lines that say what is left out."""
        if self.fast:
            yield (
                "a first look: a simple detector, no study, no explained events, limits by "
                "formulas, no pictures of the matrix's cells; without --fast comes the rest"
            )
        if not self.signals:
            yield "no signals are declared: no study of how well they are found, no limits"


def steps_of(chosen):
    """The Steps of Choices, in an order in which each comes after those whose files it reads."""
    out, more = chosen.output, ("--force",) * chosen.force
    cores = ("-j", str(chosen.threads)) if chosen.threads else ()
    detectors = chosen.detectors or (FAST_DETECTORS if chosen.fast else DETECTORS)
    shown, tables = detectors[0], (RUN, f"{TABLES}/")
    steps = [
        Step(
            "tables",
            ("run_rdf.py", *chosen.job, "-o", out, *cores, *more),
            (),
            (RUN, CUTFLOW, HISTOGRAMS, f"{TABLES}/"),
            ("run_rdf",),
            READING_ROOT,
            many_cores=True,
        )
    ]

    def learn(name, words, reads, makes):
        words = ("-m", "ml", words[0], out, *words[1:])
        steps.append(Step(name, words, (*tables, *reads), makes, ("ml.__main__",), LEARNING))

    for name in detectors:
        model, scores = f"{MODELS}/{name}/", f"{SCORES}/{name}/"
        words = ("train", "--detector", name, "--folds", str(FOLDS), "--quiet")
        learn(f"train {name}", words, (), (model,))
        learn(f"score {name}", ("score", "--model", name), (model,), (scores,))
    scored = tuple(f"{SCORES}/{name}/" for name in detectors)
    models = tuple(f"{MODELS}/{name}/" for name in detectors)
    if chosen.signals and not chosen.fast:
        named = [word for name in detectors for word in ("--detector", name)]
        made = (f"{STUDY}/study.json", f"{STUDY}/study.tex")
        learn("study", ("study", *named), (*models, *scored), made)
    if not chosen.fast:
        words = ("explain", "--detector", shown)
        learn("explain", words, (*models, *scored), (f"{STUDY}/explained.json",))
    if chosen.signals:
        folder = f"{STATS}/{shown}"
        made = (f"{folder}/model.json", f"{folder}/workspace_background.json")

        def infer(name, words, reads, makes):
            words = ("-m", "analysis.stats", words[0], out, "--name", shown, *words[1:])
            program = ("analysis.stats.__main__",)
            steps.append(Step(name, words, (*tables, *reads), makes, program, FITTING))

        words = ("workspace", "--detector", shown, "-r", *fitted(chosen.regions))
        words += ("--unblind",) * chosen.unblind
        infer("workspace", words, (HISTOGRAMS, f"{SCORES}/{shown}/"), made)
        # Pseudo-experiments take most of the time where few events are expected.
        infer("limits", ("limit", *("--toys", "0") * chosen.fast), made, (f"{folder}/limit.json",))
    results = [path for step in steps for path in step.makes]
    steps.append(
        Step(
            "page",
            ("-m", "plotting", "report", out, *cores, *more, *("--no-cells",) * chosen.fast),
            tuple(dict.fromkeys(results)),
            (f"{REPORT}/index.html", f"{REPORT}/files/"),
            ("plotting.__main__",),
            {},
            many_cores=True,
        )
    )
    return tuple(steps)


def fitted(names):
    """Names of the regions that are fitted together: the first, and those that measure backgrounds.

    A region that the first one contains, by its cuts, shares its events and is left out.
    """
    known = {region.name: region for region in selection.REGIONS}
    first, *others = names or (selection.DEFAULT_REGION,)
    cuts = set(known[first].cuts) if first in known else set()
    return (
        first,
        *(
            name
            for name in others
            if name in known and known[name].role != "signal" and not cuts <= {*known[name].cuts}
        ),
    )


def sources(modules):
    """Files of the program that modules (names) import, directly or not, and themselves."""
    found, todo = set(), [path for name in modules for path in files_of(name)]
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            todo += [file for name in imported(path) for file in files_of(name)]
    beside = {each for path in found for each in path.parent.iterdir() if each.suffix in BESIDE}
    return tuple(sorted(found | beside))


def files_of(name):
    """The files that the import of a dotted name of this program runs."""
    words = name.split(".")
    if words[0] not in (*PARTS, "run_rdf"):
        return
    for number in range(1, len(words) + 1):
        path = CHECKOUT.joinpath(*words[:number])
        for each in (path / "__init__.py", path.with_suffix(".py")):
            if each.is_file():
                yield each


@cache
def imported(path):
    """Dotted names that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names
