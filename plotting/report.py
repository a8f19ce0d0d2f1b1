"""The page: everything about a run in one HTML file that needs no server and no network."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError
from markupsafe import Markup
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from analysis.errors import InputError
from analysis.files import write_file
from analysis.output import REPORT, RUN
from analysis.records import AGAIN
from analysis.shifts import background_shifts
from analysis.stats_files import read_statistics, statistics_in
from analysis.study_files import p_text, read_explained, read_study
from plotting import (
    agreement,
    agreement_pictures,
    comparison,
    graph_picture,
    matrix_pictures,
    pool,
    score_pictures,
    stack_pictures,
    stat_pictures,
    stat_tables,
    yields,
)
from plotting import scores as score_files
from plotting.draw_stack import StackCanvas
from plotting.style import drawing

HERE = Path(__file__).parent
CHUNK = 20  # pictures that a process draws before it reports
GALLERY_DPI, LARGE_DPI = 96, 120
COLOURS = 40  # in the palette of a picture, which makes it a third as large


@dataclass(frozen=True)
class Picture:
    """A picture of the page."""

    name: str
    title: str  # text, or HTML as Markup
    text: str  # for those who do not see it
    data: str  # as data: URL
    width: int  # pixels
    height: int


@dataclass(frozen=True)
class Card:
    """A feature in the gallery."""

    region: str
    feature: str
    label: str  # HTML
    kind: str
    order: int  # in the declaration
    verdict: str
    numbers: str  # of the tests
    picture: Picture


def make_report(options, regions):
    """Write OUT/report/index.html about some regions; returns the files written."""
    results = options.results
    features = features_of(results)
    # The longest first, so that processes end together.
    single = {"scores": score_section, "study": study_section, "graph": graph_image}
    jobs = {name: [(function, options)] for name, function in single.items()}
    names = statistics_in(results.folder)
    jobs["statistics"] = [(statistics_section, options, name) for name in names]
    jobs["matrices"] = [(matrix_section, options, region) for region in regions]
    for region in regions:
        parts = pool.in_chunks(features, CHUNK)
        jobs[region] = [(gallery_chunk, options, region, part) for part in parts]
    flat = [(name, job) for name, parts in jobs.items() for job in parts]
    done = sorted(pool.each(call, [job for _, job in flat], options.processes, "part"))
    made = {name: [] for name in jobs}
    for (name, _), (_, result) in zip(flat, done, strict=True):
        made[name].append(result)
    cards, agreements, flows, bars = [], [], [], []
    for region in regions:
        found = [pair for part in made[region] for pair in part]
        judged = agreement.judge([one for one, _ in found])
        pictures = {one.feature: image for one, image in found}
        cards += [card(results, one, pictures[one.feature]) for one in judged]
        if any(one.tested for one in judged):
            figure = agreement_pictures.agreement_figure(options, region, judged)
            text = f"The features of {region} with the worst agreement, and all against chance"
            agreements.append(picture(figure, f"check_{region}", f"Agreement in {region}", text))
        flows.append(yields.make_cutflow(results, region))
        figure = stack_pictures.cutflow_figure(options, flows[-1])
        text = f"Events of each process after each cut of {region}"
        bars.append(picture(figure, f"cutflow_{region}", f"Cutflow of {region}", text))
    template = environment().get_template("report.html")
    try:
        page = template.render(
            results=results,
            record=results.record,
            regions=[results.regions[region] for region in regions],
            flows=[(flow, Markup(yields.as_html(flow))) for flow in flows],
            bars=bars,
            yields=yields_table(flows),
            cards=cards,
            kinds=list(dict.fromkeys(feature.kind for feature in results.features.values())),
            verdicts=[v for v in agreement.VERDICTS if any(c.verdict == v for c in cards)],
            verdict_counts={
                region: {
                    v: sum(c.verdict == v and c.region == region for c in cards)
                    for v in agreement.VERDICTS
                }
                for region in regions
            },
            agreements=agreements,
            matrices=[image for part in made["matrices"] for image in part],
            graph=made["graph"][0],
            scored=made["scores"][0],
            study=made["study"][0],
            statistics=made["statistics"],
            style=Markup((HERE / "report.css").read_text()),
            script=Markup((HERE / "report.js").read_text()),
        )
    except UndefinedError as error:
        raise InputError(
            f"{results.folder / RUN} is not complete: {error.message}: {AGAIN}"
        ) from None
    path = results.folder / REPORT / "index.html"
    write_file(path, page)
    return [path]


def features_of(results):
    """Names of the features in the gallery."""
    return list(results.features)


def call(function, *arguments):
    """What a process of the pool does."""
    return function(*arguments)


def card(results, found, image):
    """The Card of a feature from its Agreement and Picture."""
    feature = results.features[found.feature]
    return Card(
        found.region,
        found.feature,
        Markup(yields.plain(feature.label)),
        feature.kind,
        list(results.features).index(found.feature),
        found.verdict,
        agreement.numbers_line(found),
        image,
    )


def graph_image(options):
    """The Picture of the computation graph."""
    figure = graph_picture.graph_figure(options)
    text = "Which column needs which, from the ntuple to features and cuts"
    return picture(figure, "graph", "Computation graph", text)


def environment():
    """What jinja2 needs to fill the page."""
    loader = FileSystemLoader(HERE)
    made = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["plain"] = lambda latex: Markup(yields.plain(latex))
    made.filters["short"] = lambda value: comparison.NOTHING if value is None else f"{value:.4g}"
    made.globals["p_text"] = p_text
    return made


def picture(figure, name, title, text, dpi=LARGE_DPI):
    """A Figure as a Picture, in a palette that makes it small."""
    if not isinstance(figure.canvas, FigureCanvasAgg):
        FigureCanvasAgg(figure)
    with drawing():
        figure.set_dpi(dpi)
        figure.canvas.draw()
    image = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3])
    small = image.quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    small.save(buffer, format="PNG", compress_level=6)
    data = "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
    return Picture(name, title, text, data, *small.size)


def gallery_chunk(options, region, names):
    """[(Agreement, Picture)] of some features."""
    results, canvas, made = options.results, StackCanvas(), []
    for name in names:
        histograms = results.histograms(region, name)
        shifts = background_shifts(results, region, name, histograms)
        found = agreement_pictures.compare_one(results, region, name, histograms, shifts)
        drawn = stack_pictures.draw_feature(options, region, name, histograms, shifts, canvas)
        label = Markup(yields.plain(drawn.title))
        made.append((found, picture(drawn.figure, name, label, drawn.text, GALLERY_DPI)))
    return made


def yields_table(flows):
    """Rows (label, kind, [text per region]) of the events after all cuts."""
    rows = {}
    for flow in flows:
        for row in flow.rows:
            rows.setdefault(row.name, (row.label, row.kind, {}))[2][flow.region] = (
                yields.entries_of(row, "±")[-1]
            )
    order = ("background", "total", "signal", "data")
    return [
        (label, kind, [cells.get(flow.region, "blind" if flow.blind else "") for flow in flows])
        for label, kind, cells in sorted(rows.values(), key=lambda row: order.index(row[1]))
    ]


def matrix_section(options, region):
    """Means of processes in GeV and as the network sees them, differences of the signals."""
    made = []
    drawing = matrix_pictures.Matrices(options, region)
    filled = drawing.filled()
    signals = [p.name for p in options.results.processes if p.kind == "signal"]
    single = [matrix_pictures.BACKGROUND, *signals]
    for unit, words in (("network", "scaled"), ("gev", "in GeV")):
        for name in [n for n in filled if unit == "network" or n in single]:
            label = Markup(yields.plain(drawing.label(name)))
            title = Markup("{}: {}, mean, {}").format(region, label, words)
            text = f"Mean matrix of {name} in {region}, {words}"
            figure = drawing.mean(name, unit)
            made.append(picture(figure, f"{region}_{name}_{unit}", title, text, GALLERY_DPI))
    for name in [n for n in signals if n in filled and matrix_pictures.BACKGROUND in filled]:
        label = Markup(yields.plain(drawing.label(name)))
        title = Markup("{}: {} − background").format(region, label)
        text = f"Mean matrix of {name} minus that of the background in {region}"
        figure = drawing.difference(name, matrix_pictures.BACKGROUND, "network")
        made.append(picture(figure, f"{region}_{name}_difference", title, text, GALLERY_DPI))
    return made


def score_section(options):
    """Pictures and lines about scores, or None where there are none."""
    results = options.results
    detectors = score_files.detectors(results)
    if not detectors:
        return None
    scores = score_files.read_scores(results, detectors[0])
    lines, groups = [], {"training": [], "result": [], "why": [], "events": []}
    for drawn in score_pictures.score_pictures(options, detectors, lines.append):
        made = picture(drawn.figure, drawn.name, drawn.title, drawn.title, GALLERY_DPI)
        groups[drawn.group].append((made, drawn.told) if drawn.group == "events" else made)
    return {
        "region": scores.region,
        "detector": detectors[0],
        "others": detectors[1:],
        "shares": score_files.shares_of(results, detectors[0]),
        "explained": read_explained(results.folder),
        "lines": lines,
        **groups,
    }


def study_section(options):
    """Tables and pictures of a study, or None where there is none."""
    study = read_study(options.results.folder)
    if study is None:
        return None
    return {
        "content": study,
        "tightest": comparison.asked_text(study["working_points"][-1]),
        "heads": comparison.signal_heads(study),
        "tables": [
            (signal, about, comparison.signal_rows(study, signal))
            for signal, about in study["signals"].items()
        ],
        "ratios": comparison.ratio_rows(study),
        "pictures": [
            picture(drawn.figure, drawn.name, drawn.title, drawn.title, GALLERY_DPI)
            for drawn in score_pictures.study_pictures(options)
        ],
    }


def statistics_section(options, name):
    """Tables and pictures of a statistical analysis, by kind of result."""
    results = options.results
    contents, lines = read_statistics(results.folder, name)
    tables = stat_tables.make_tables(results, contents)
    pictures = [
        (drawn.group, picture(drawn.figure, drawn.name, drawn.title, drawn.text, GALLERY_DPI))
        for drawn in stat_pictures.stat_pictures(options, name, contents)
    ]
    return {
        "name": name,
        "lines": lines,
        "parts": [
            {
                "title": stat_tables.TITLES[kind],
                "tables": [table for table in tables if table.kind == kind],
                "pictures": [made for its_kind, made in pictures if its_kind == kind],
            }
            for kind in contents
        ],
    }
