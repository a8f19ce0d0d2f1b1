"""`hist` and `cutflow`: data against simulation, feature by feature and cut by cut."""

from pathlib import Path

from analysis import console
from analysis.files import write_file
from analysis.shifts import background_shifts
from plotting import pool, yields
from plotting.draw_stack import StackCanvas, draw_stack
from plotting.save import NUMBERS, Drawn, as_csv, save, save_drawn
from plotting.stack import make_stack

CHUNK = 12  # pictures that a process draws before it reports
UNUSUAL = 3  # standard deviations from which a tail is told on the terminal
MOST_TOLD = 10  # lines about tails


def hist(options, regions, features):
    """Data against simulation for features in regions."""
    jobs = [(region, name) for region in regions for name in features]
    chunks = [(options, part) for part in pool.in_chunks(jobs, CHUNK)]
    made = pool.flat(pool.each(hist_chunk, chunks, options.processes, "dozen"))
    for line in told([tail for _, tails in made for tail in tails]):
        print(line)
    return [path for paths, _ in made for path in paths]


def told(tails):
    """Lines about the tails that are unusual, the most unusual ones first, and not too many.

    tails: pairs of significance and sentence
    """
    unusual = sorted((t for t in tails if abs(t[0]) >= UNUSUAL), key=lambda t: -abs(t[0]))
    lines = [sentence for _, sentence in unusual[:MOST_TOLD]]
    if len(unusual) > len(lines):
        lines.append(f"and {len(unusual) - len(lines)} more tails beyond {UNUSUAL} sigma")
    return lines


def tail_lines(stack, name):
    """[(significance, sentence for a terminal)] of the tails of a Stack, whose axis has a name."""
    return [
        (t.significance, f"{stack.region}: {t.sentence(name, stack.unit, '+-', ' sigma')}")
        for t in stack.tails
    ]


def hist_chunk(options, jobs):
    """Draw and save some (region, feature) pairs; returns [(files, see `tail_lines`)]."""
    canvas = StackCanvas()
    made = []
    for region, name in jobs:
        histograms = options.results.histograms(region, name)
        shifts = background_shifts(options.results, region, name, histograms)
        stack = feature_stack(options, region, name, histograms, shifts)
        drawn = draw_feature_stack(options, stack, canvas)
        files = save_drawn(drawn, options.folder / "hist" / region, options.formats)
        made.append((files, tail_lines(stack, name)))
    return made


def draw_feature(options, region, name, histograms, shifts=(), canvas=None):
    """The Drawn of a feature in a region, from {sample: Histogram} and Shifts."""
    stack = feature_stack(options, region, name, histograms, shifts)
    return draw_feature_stack(options, stack, canvas)


def feature_stack(options, region, name, histograms, shifts=()):
    """The Stack of a feature in a region, from {sample: Histogram} and Shifts."""
    return make_stack(
        options.results,
        region,
        name,
        histograms,
        signal_scale=options.signal_scale,
        relative_errors=options.relative_errors,
        shifts=shifts,
    )


def draw_feature_stack(options, stack, canvas=None):
    """The Drawn of the Stack of a feature."""
    figure = draw_options(options, stack, canvas)
    if stack.blind:
        text = f"Stacked simulation against {stack.feature} in {stack.region}, data is blind"
    else:
        text = f"Data and stacked simulation against {stack.feature} in {stack.region}"
    return Drawn(stack.feature, stack.label, figure, text, numbers=stack.numbers)


def draw_options(options, stack, canvas=None):
    """The Figure of a Stack as the options ask for it."""
    folded = stack.folded(options.other)
    return draw_stack(folded, log=options.log, caption=options.caption, canvas=canvas)


def make_cutflow(options, regions, by_sample=False):
    """Cutflow as text, LaTeX, HTML, CSV and bars; by_sample: tables alone, with a row for each."""
    written = []
    for region in regions:
        made = yields.make_cutflow(options.results, region, by_sample)
        print("\n".join(yields.as_text(made, console.width())), end="\n\n")
        base = options.folder / "cutflow" / (f"{region}_by_sample" if by_sample else region)
        for ending, content in (
            (".txt", "\n".join(yields.as_text(made)) + "\n"),
            (".tex", yields.as_latex(made)),
            ("_efficiency.tex", yields.as_latex(made, yields.efficiencies_of)),
            (".html", yields.as_html(made) + "\n"),
            (".csv", as_csv(yields.numbers(made))),
        ):
            written.append(Path(f"{base}{ending}"))
            write_file(written[-1], content)
        if not by_sample:
            drawn = [ending for ending in options.formats if ending != NUMBERS]
            written += save(cutflow_figure(options, made), base, drawn)
    return written


def cutflow_figure(options, made):
    """The Figure of a Cutflow."""
    return draw_options(options, yields.as_stack(made, options.results))
