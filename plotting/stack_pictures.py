"""`hist` and `cutflow`: data against simulation, feature by feature and cut by cut."""

from analysis import console
from analysis.files import write_file
from analysis.shifts import background_shifts
from plotting import pool, yields
from plotting.draw_stack import StackCanvas, draw_stack
from plotting.save import Drawn, save, save_drawn
from plotting.stack import make_stack

CHUNK = 12  # pictures that a process draws before it reports


def hist(options, regions, features):
    """Data against simulation for features in regions."""
    jobs = [(region, name) for region in regions for name in features]
    chunks = [(options, part) for part in pool.in_chunks(jobs, CHUNK)]
    return pool.flat(pool.each(hist_chunk, chunks, options.processes, "dozen"))


def hist_chunk(options, jobs):
    """Draw and save some (region, feature) pairs; returns the files."""
    canvas = StackCanvas()
    written = []
    for region, name in jobs:
        histograms = options.results.histograms(region, name)
        shifts = background_shifts(options.results, region, name, histograms)
        drawn = draw_feature(options, region, name, histograms, shifts, canvas)
        written += save_drawn(drawn, options.folder / "hist" / region, options.formats)
    return written


def draw_feature(options, region, name, histograms, shifts=(), canvas=None):
    """The Drawn of a feature in a region, from {sample: Histogram} and Shifts."""
    stack = make_stack(
        options.results,
        region,
        name,
        histograms,
        signal_scale=options.signal_scale,
        relative_errors=options.relative_errors,
        shifts=shifts,
    )
    figure = draw_stack(stack, log=options.log, caption=options.caption, canvas=canvas)
    if stack.blind:
        text = f"Stacked simulation against {name} in {region}, data is blind"
    else:
        text = f"Data and stacked simulation against {name} in {region}"
    return Drawn(name, options.results.features[name].label, figure, text)


def make_cutflow(options, regions):
    """Cutflow as text, LaTeX, HTML and bars."""
    written = []
    for region in regions:
        made = yields.make_cutflow(options.results, region)
        lines = yields.as_text(made)
        print("\n".join(yields.as_text(made, console.width())), end="\n\n")
        base = options.folder / "cutflow" / region
        for ending, text in (
            ("txt", "\n".join(lines) + "\n"),
            ("tex", yields.as_latex(made)),
            ("html", yields.as_html(made) + "\n"),
        ):
            written.append(base.with_name(f"{region}.{ending}"))
            write_file(written[-1], text)
        written += save(cutflow_figure(options, made), base, options.formats)
    return written


def cutflow_figure(options, made):
    """The Figure of a Cutflow."""
    stack = yields.as_stack(made, options.results)
    return draw_stack(stack, log=options.log, caption=options.caption)
