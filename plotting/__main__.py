"""`python -m plotting`: pictures of what run_rdf.py and ml wrote."""

import argparse
import warnings
from dataclasses import replace
from pathlib import Path

import matplotlib

from analysis import console
from analysis.errors import Parser, exit_on_mistake, positive_integer
from analysis.output import DEFAULT_DETECTOR, PLOTS
from analysis.stats_files import DEFAULT_NAME, KINDS

matplotlib.use("Agg")  # no window, whatever the machine

# The commands are imported by main: libraries for plots take a second.

LIMITS = ("limit", "significance", "plane", "visible")  # results that `limit` draws

EPILOG = """\
examples
  python -m plotting hist output -f e_T_miss flcomp
  python -m plotting rmm output -r SR3L --event WZ:1234 --units network
  python -m plotting rmm output --difference HNL450 diboson3L
  python -m plotting check output
  python -m plotting limit output --name search
  python -m plotting report output
"""


def parser():
    """The command line, commands in the order in which they are used."""
    top = Parser(
        prog="python -m plotting",
        description="Pictures of what run_rdf.py and python -m ml wrote.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name, text):
        made = commands.add_parser(name, help=text, description=text)
        made.add_argument("output", metavar="OUT", help="folder that run_rdf.py wrote")
        add = made.add_argument
        if name != "report":
            add("-o", "--into", metavar="FOLDER", help="for the pictures (default: OUT/plots)")
            add(
                "--format",
                nargs="+",
                choices=("pdf", "png", "svg", "csv"),
                default=("pdf", "png"),
                help="of the pictures, csv: their numbers (default: pdf png)",
            )
        add("--experiment", default="", help="bold label above the plot, such as ATLAS")
        add("--status", default="", help="after it, such as Internal")
        add("--energy", type=positive, metavar="TEV", help="centre-of-mass energy for the label")
        add(
            "--luminosity",
            type=positive,
            metavar="IFB",
            help="luminosity for the label (default: that of the run)",
        )
        if name in ("hist", "check", "report"):
            add("-j", "--processes", type=positive_integer, help="processes (default: all cores)")
        if name in ("hist", "rmm", "check", "cutflow", "report"):
            add("-r", "--region", nargs="+", default=[], metavar="REGION", help="only these")
        if name in ("hist", "check"):
            add("-f", "--feature", nargs="+", default=[], metavar="FEATURE", help="only these")
            add("--list", action="store_true", help="print what the run has, draw nothing")
        if name in ("hist", "score", "report"):
            add("--signal-scale", type=positive, metavar="X", help="of signals (default: by yield)")
            add(
                "--uncertainty",
                type=relative_error,
                nargs="+",
                default=[],
                metavar="PROCESS=X",
                help="relative systematic error of a process, or of all, as in ttbar=0.06 all=0.02",
            )
        if name in ("hist", "score", "cutflow", "report"):
            text = "backgrounds below this share of a plot are one layer, such as 0.02"
            add("--other", type=share, default=0.0, metavar="SHARE", help=text)
        if name in ("hist", "score", "cutflow", "stats", "report"):
            add("--linear", action="store_true", help="linear axis of events")
        if name in ("stats", "limit"):
            add("--name", default=DEFAULT_NAME, help="of the statistical analysis (%(default)s)")
        return made

    command("hist", "data against stacked simulation")
    add = command("rmm", "rapidity-mass matrices").add_argument
    add("-p", "--process", nargs="+", default=[], help="means of these; background: all of it")
    add(
        "--event",
        nargs="+",
        default=[],
        type=event,
        metavar="SAMPLE[:EVENT]",
        help="single events, the first of the sample or that with an EventNumber",
    )
    add("--difference", nargs=2, action="append", default=[], metavar="PROCESS")
    add("--units", choices=("both", "gev", "network"), default="both", help="(%(default)s)")
    add("--model", metavar="NAME", help="whose scaling is used (default: the newest)")
    made = command("check", "test the agreement of data and simulation, worst first")
    made.add_argument("--shape", action="store_true", help="chi2 after scaling to the data")
    made = command("score", "what a detector found, beside others and simple cuts")
    made.add_argument(
        "--detector",
        nargs="+",
        default=[],
        metavar="NAME",
        help="the first is shown, the others are compared with it (default: all that have scored, "
        f"{DEFAULT_DETECTOR} shown, else the newest)",
    )
    made = command("stats", "what python -m analysis.stats found: fits, limits, bumps, anything")
    made.add_argument(
        "--only",
        nargs="+",
        default=(),
        choices=KINDS,
        metavar="RESULT",
        help=f"only these of {', '.join(KINDS)}",
    )
    command("limit", "limits, significances, excluded masses, visible cross-sections")
    made = command("cutflow", "table as text, LaTeX, HTML and CSV, and bars")
    made.add_argument("--by-sample", action="store_true", help="tables with a row per sample")
    command("graph", "the computation graph of the run")
    made = command("report", "everything on one page, OUT/report/index.html")
    made.add_argument("--force", action="store_true", help="draw also pictures that are the same")
    made.add_argument("--no-cells", action="store_true", help="leave out features of the matrix")
    return top


def positive(text):
    """A number above 0 from a word of the command line."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, not '{text}'")
    return value


def share(text):
    """A number above 0 and below 1 from a word of the command line."""
    value = positive(text)
    if value >= 1:
        raise argparse.ArgumentTypeError(f"must be a number below 1, not '{text}'")
    return value


def relative_error(text):
    """(process, relative error) from a word."""
    name, sign, value = text.partition("=")
    if not sign or not name:
        raise argparse.ArgumentTypeError(f"must be PROCESS=X, not '{text}'")
    return name, positive(value)


def event(text):
    """(sample, EventNumber or None) from a word."""
    sample, sign, number = text.partition(":")
    digits = number.removeprefix("-")
    if sign and not digits.isdecimal():
        raise argparse.ArgumentTypeError(f"must be SAMPLE or SAMPLE:NUMBER, not '{text}'")
    return sample, int(number) if sign else None


def main(arguments=None):
    """Run a command."""
    chosen = parser().parse_args(arguments)
    warnings.showwarning = lambda *_: None  # of libraries, not for the user
    with exit_on_mistake("pictures written so far are complete"):
        act(chosen)


def act(chosen):
    """Do what the options say."""
    from plotting import (
        agreement_pictures,
        graph_picture,
        matrix_pictures,
        pool,
        report,
        save,
        score_pictures,
        stack_pictures,
        stat_pictures,
    )
    from plotting.settings import Options
    from plotting.style import Caption

    folder = Path(getattr(chosen, "into", None) or Path(chosen.output) / PLOTS)
    options = Options(
        output=chosen.output,
        folder=folder,
        formats=tuple(dict.fromkeys(getattr(chosen, "format", save.FORMATS))),
        caption=Caption(chosen.experiment, chosen.status, chosen.energy, chosen.luminosity),
        processes=getattr(chosen, "processes", None) or pool.cores(),
        log=not getattr(chosen, "linear", False),
        signal_scale=getattr(chosen, "signal_scale", None),
        relative_errors=dict(getattr(chosen, "uncertainty", [])),
        other=getattr(chosen, "other", 0.0),
    )
    results = options.results
    if getattr(chosen, "list", False):
        print("\n".join(names_of(results)))
        return
    if not chosen.luminosity:
        known = replace(options.caption, luminosity_ifb=results.luminosity)
        options = replace(options, caption=known)
    results.choose_processes([name for name in options.relative_errors if name != "all"])
    regions = results.choose_regions(getattr(chosen, "region", []))
    features = results.choose_features(getattr(chosen, "feature", []))
    match chosen.command:
        case "hist":
            written = stack_pictures.hist(options, regions, features)
        case "rmm":
            written = matrix_pictures.rmm(
                options,
                regions,
                chosen.process,
                chosen.event,
                [tuple(pair) for pair in chosen.difference],
                matrix_pictures.UNITS if chosen.units == "both" else (chosen.units,),
                chosen.model,
            )
        case "check":
            written = agreement_pictures.check(options, regions, features, chosen.shape)
        case "score":
            written = score_pictures.score(options, chosen.detector)
        case "stats":
            written = stat_pictures.statistics(options, chosen.name, chosen.only or KINDS)
        case "limit":
            written = stat_pictures.statistics(options, chosen.name, LIMITS)
        case "cutflow":
            written = stack_pictures.make_cutflow(options, regions, chosen.by_sample)
        case "graph":
            written = graph_picture.save_graph(options)
        case "report":
            written = report.make_report(options, regions, chosen.force, not chosen.no_cells)
    name_files(written)


def names_of(results):
    """Lines with the names that options choose from."""
    from plotting.yields import plain_text

    most = console.width()
    kinds = {
        "regions": results.regions,
        "samples": [sample.name for sample in results.samples],
        "processes": [process.name for process in results.processes],
    }
    lines = []
    for kind, names in kinds.items():
        lines += console.hanging(f"{kind:<10} ", ", ".join(names), most)
    rows = [
        (feature.name, plain_text(feature.label), feature.unit, feature.kind)
        for feature in results.features.values()
    ]
    return [*lines, "", *console.table(("feature", "label", "unit", "kind"), rows, most)]


def name_files(written):
    """Say what was written: each file, or for many of a folder their number."""
    folders = {}
    for path in written:
        folders.setdefault(path.parent, []).append(path.name)
    for folder, names in folders.items():
        if len(names) <= 20:
            for name in names:
                print(f"wrote {folder / name}")
        else:
            print(f"wrote {len(names)} files into {folder}: {names[0]} ... {names[-1]}")


if __name__ == "__main__":
    main()
