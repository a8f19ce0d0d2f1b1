"""The page: everything about a run in one HTML file that needs no server and no network.

Small pictures are inside it; beside it are files that are sharp at any size, see
plotting/page_files.py.
"""

import base64
import json
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError
from markupsafe import Markup

from analysis.errors import InputError
from analysis.files import atomic_folder, digest, lock, restore_folder, write_file
from analysis.output import LATENT, MODELS, REPORT, RUN, SCORES, STATS, STUDY
from analysis.records import AGAIN
from analysis.shifts import background_shifts
from analysis.stats_files import read_statistics, statistics_in
from analysis.study_files import STUDIED, p_text, read_explained, read_study
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
from plotting.matrix import model_records
from plotting.page_files import (
    FILES,
    SMALL,
    Part,
    Picture,
    Shelf,
    bytes_key,
    key_of,
    write_manifest,
)
from plotting.save import Drawn

HERE = Path(__file__).parent
CHUNK = 20  # pictures that a process draws before it reports
GALLERY_DPI, LARGE_DPI = 96, 120


@dataclass(frozen=True)
class Card:
    """A feature in the gallery, or in the list of those that are constant."""

    region: str
    feature: str
    label: str  # HTML
    kind: str
    order: int  # in the declaration
    verdict: str
    numbers: str  # of the tests
    picture: Picture | None  # None: constant


def make_report(options, regions, force=False, cells=True):
    """Write OUT/report about some regions; returns the page.

    force: draw all pictures anew, also those that an earlier page has
    cells: with the features that are cells of the matrix
    """
    results = options.results
    folder = results.folder / REPORT
    with lock(folder / FILES, shown=folder):
        old = None if force else restore_folder(folder / FILES)
        with atomic_folder(folder / FILES) as new:
            page, parts = make_page(options, regions, Shelf(old, new), cells)
            write_manifest(new, parts)
        write_file(folder / "index.html", page)
    drawn, kept = (
        sum(len(part.pictures) for part in parts.values() if part.kept == is_kept)
        for is_kept in (False, True)
    )
    print(f"drew {drawn} pictures" + (f", kept {kept} that have not changed" if kept else ""))
    return [folder / "index.html"]


def make_page(options, regions, shelf, cells=True):
    """The text of the page, and its Parts by name; their files are on the Shelf then."""
    results = options.results
    # The longest first, so that processes end together.
    jobs = {
        "scores": [(score_part, options, shelf)],
        "study": [(study_part, options, shelf)],
        "graph": [(graph_part, options, shelf)],
    }
    analyses = statistics_in(results.folder)
    jobs |= {f"statistics/{name}": [(statistics_part, options, shelf, name)] for name in analyses}
    jobs |= {f"matrices/{region}": [(matrix_part, options, shelf, region)] for region in regions}
    names = [n for n in features_of(results) if cells or results.features[n].cell is None]
    for region in regions:
        chunks = pool.in_chunks(names, CHUNK)
        jobs[region] = [(gallery_chunk, options, shelf, region, chunk) for chunk in chunks]
    flat = [(name, job) for name, several in jobs.items() for job in several]
    done = sorted(pool.each(call, [job for _, job in flat], options.processes, "part"))
    made = {name: [] for name in jobs}
    for (name, _), (_, result) in zip(flat, done, strict=True):
        made[name].append(result)
    parts = {name: made[name][0] for name in jobs if name not in regions}
    cards, constant, counts, flows = [], [], {}, []
    for region in regions:
        found = {one.feature: (one, part) for chunk in made[region] for one, part in chunk}
        judged = agreement.judge([one for one, _ in found.values()])
        for one in judged:
            part = found[one.feature][1]
            parts[feature_part(region, one.feature)] = part
            picture = part.pictures[0] if part.pictures else None
            (cards if picture else constant).append(card(results, one, picture))
        counts[region] = {v: sum(one.verdict == v for one in judged) for v in agreement.VERDICTS}
        parts[f"check/{region}"] = check_part(options, shelf, region, judged)
        flows.append(yields.make_cutflow(results, region))
        parts[f"cutflow/{region}"] = cutflow_part(options, shelf, flows[-1])
    environment = make_environment(shelf.new)
    try:
        page = environment.get_template("report.html").render(
            results=results,
            record=results.record,
            regions=[results.regions[region] for region in regions],
            flows=[(flow, Markup(yields.as_html(flow))) for flow in flows],
            bars=pictures_of(parts, "cutflow", regions),
            yields=yields_table(results, flows),
            omissions=omissions(results.record),
            with_cells=cells,
            cards=cards,
            constant=constant,
            kinds=list(dict.fromkeys(feature.kind for feature in results.features.values())),
            verdicts=[v for v in agreement.VERDICTS if any(counts[r][v] for r in regions)],
            verdict_counts=counts,
            agreements=pictures_of(parts, "check", regions),
            matrices=pictures_of(parts, "matrices", regions),
            graph=parts["graph"].pictures[0],
            scored=score_section(options, parts["scores"]),
            study=study_section(options, parts["study"]),
            statistics=[
                statistics_section(options, name, parts[f"statistics/{name}"]) for name in analyses
            ],
            style=Markup((HERE / "report.css").read_text()),
            script=Markup((HERE / "report.js").read_text()),
        )
    except UndefinedError as error:
        raise InputError(
            f"{results.folder / RUN} is not complete: {error.message}: {AGAIN}"
        ) from None
    return page, parts


def pictures_of(parts, kind, regions):
    """The pictures of the parts of a kind, region after region."""
    return [picture for region in regions for picture in parts[f"{kind}/{region}"].pictures]


def features_of(results):
    """Names of the features in the gallery."""
    return list(results.features)


def call(function, *arguments):
    """What a process of the pool does."""
    return function(*arguments)


def card(results, found, picture):
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
        picture,
    )


def make_environment(files):
    """What jinja2 needs to fill the page; files: folder of those of the pictures."""

    def embedded(picture):
        content = (files / f"{picture.place}.{SMALL}").read_bytes()
        return "data:image/png;base64," + base64.b64encode(content).decode()

    made = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters["embedded"] = embedded
    made.filters["beside"] = lambda picture, ending: quote(f"{FILES}/{picture.place}.{ending}")
    made.filters["plain"] = lambda latex: Markup(yields.plain(latex))
    made.filters["short"] = lambda value: comparison.NOTHING if value is None else f"{value:.4g}"
    made.globals["p_text"] = p_text
    return made


def make_part(shelf, name, key, draw, dpi=GALLERY_DPI):
    """The Part of a name: an earlier one of this key, or what is drawn now.

    draw: function of a function that is told lines; yields Drawn pictures
    """
    if kept := shelf.kept(name, key):
        return kept
    lines = []
    pictures = [shelf.store(drawn, f"{name}/{drawn.name}", dpi) for drawn in draw(lines.append)]
    return Part(key, tuple(pictures), tuple(lines))


def graph_part(options, shelf):
    """The computation graph."""

    def draw(_):
        yield graph_picture.drawn_graph(options)

    return make_part(shelf, "graph", key_of(options), draw, LARGE_DPI)


def check_part(options, shelf, region, judged):
    """The agreement of all features of a region, from Agreements with verdicts."""

    def draw(_):
        if any(one.tested for one in judged):
            figure = agreement_pictures.agreement_figure(options, region, judged)
            text = f"The features of {region} with the worst agreement, and all against chance"
            table = agreement.as_frame(judged)
            yield Drawn("agreement", f"Agreement in {region}", figure, text, numbers=table)

    key = key_of(options, region, [repr(one) for one in judged])
    return make_part(shelf, f"check/{region}", key, draw, LARGE_DPI)


def cutflow_part(options, shelf, flow):
    """The bars of a Cutflow."""

    def draw(_):
        figure = stack_pictures.cutflow_figure(options, flow)
        text = f"Events of each process after each cut of {flow.region}"
        table = yields.numbers(flow)
        yield Drawn("cutflow", f"Cutflow of {flow.region}", figure, text, numbers=table)

    key = key_of(options, flow.region, options.results.cutflow[flow.region])
    return make_part(shelf, f"cutflow/{flow.region}", key, draw, LARGE_DPI)


def feature_part(region, feature):
    """Name of the part of a feature in the gallery."""
    return f"features/{region}/{feature}"


def gallery_chunk(options, shelf, region, names):
    """[(Agreement, Part)] of some features; constant ones have no picture."""
    results, canvas, made = options.results, StackCanvas(), []
    common = key_of(options, region)
    for name in names:
        histograms = results.histograms(region, name)
        shifts = background_shifts(results, region, name, histograms)
        key = digest([common, name, bytes_key(histograms, shifts)])
        part = shelf.kept(feature_part(region, name), key)
        found = read_agreement(part.about) if part else None
        if found is None:
            found = agreement_pictures.compare_one(results, region, name, histograms, shifts)
            pictures = ()
            if not constant(histograms):
                drawn = stack_pictures.draw_feature(
                    options, region, name, histograms, shifts, canvas
                )
                label = Markup(yields.plain(drawn.title))
                drawn = replace(drawn, title=label)
                pictures = (shelf.store(drawn, feature_part(region, name), GALLERY_DPI),)
            part = Part(key, pictures, about=json.dumps(asdict(found)))
        made.append((found, part))
    return made


def constant(histograms):
    """Whether all events of {sample: Histogram} are in one bin."""
    filled = sum(histogram.sumw2 > 0 for histogram in histograms.values())
    return np.count_nonzero(filled) < 2


def read_agreement(text):
    """The Agreement that is written in an earlier page's Part, None where that has none."""
    try:
        content = json.loads(text)
        bins = tuple(agreement.Bin(**one) for one in content["bins"])
        return agreement.Agreement(**content | {"bins": bins})
    except (KeyError, TypeError, ValueError):
        return None


def omissions(record):
    """(samples, what) that a run has left out, as texts."""
    samples, found = {}, []
    for sample in record["samples"]:
        for text in sample.get("left_out", ()):
            samples.setdefault(text, []).append(sample["name"])
    for text, names in samples.items():
        everywhere = 1 < len(names) == len(record["samples"])
        whose = "all samples" if everywhere else ", ".join(names)
        found.append((whose, f"{text}: the files lack a column"))
    for sample in record["samples"]:
        if dropped := sample.get("dropped_events"):
            found.append((sample["name"], f"{dropped} events with bad values"))
        for file in sample.get("skipped", ()):
            found.append((sample["name"], f"{file['path']}: {file['reason']}"))
    return found


def yields_table(results, flows):
    """Rows (label, kind, [text per region]) of the events after all cuts."""
    rows = {}
    for flow in flows:
        for row in flow.rows:
            rows.setdefault(row.name, (row.label, row.kind, {}))[2][flow.region] = (
                yields.entries_of(row, "±")[-1]
            )

    def missing(kind, flow):
        return ("blind" if flow.blind else "no data") if kind == "data" else ""

    order = ("background", "total", "signal", "data")
    return [
        (label, kind, [cells.get(flow.region, missing(kind, flow)) for flow in flows])
        for label, kind, cells in sorted(rows.values(), key=lambda row: order.index(row[1]))
    ]


def matrix_part(options, shelf, region):
    """Means of processes in GeV and as the network sees them, differences of the signals."""
    results = options.results
    models = list(model_records(results).items())
    flow = results.cutflow[region]
    key = key_of(options, region, flow, models, files=table_files(results, [region]))
    draw = partial(matrix_drawings, options, region)
    return make_part(shelf, f"matrices/{region}", key, draw)


def table_files(results, regions):
    """The tables of regions that may be looked at."""
    return [
        results.folder / sample.tables[region]
        for region in regions
        for sample in results.visible(region)
    ]


def matrix_drawings(options, region, _):
    """Yield the Drawn matrices of a region."""
    drawing = matrix_pictures.Matrices(options, region)
    filled = drawing.filled()
    signals = [p.name for p in options.results.processes if p.kind == "signal"]
    single = [matrix_pictures.BACKGROUND, *signals]
    for unit, words in (("network", "scaled"), ("gev", "in GeV")):
        for name in [n for n in filled if unit == "network" or n in single]:
            label = Markup(yields.plain(drawing.label(name)))
            title = Markup("{}: {}, mean, {}").format(region, label, words)
            text = f"Mean matrix of {name} in {region}, {words}"
            table = drawing.mean_numbers(name, unit)
            figure = drawing.mean(name, unit)
            yield Drawn(f"{name}_{unit}", title, figure, text, numbers=table)
    for name in [n for n in signals if n in filled and matrix_pictures.BACKGROUND in filled]:
        label = Markup(yields.plain(drawing.label(name)))
        title = Markup("{}: {} − background").format(region, label)
        text = f"Mean matrix of {name} minus that of the background in {region}"
        pair = name, matrix_pictures.BACKGROUND, "network"
        table, figure = drawing.difference_numbers(*pair), drawing.difference(*pair)
        yield Drawn(f"{name}_difference", title, figure, text, numbers=table)


def score_part(options, shelf):
    """What is drawn of scores; nothing where there are none."""
    results = options.results
    detectors = score_files.detectors(results)
    if not detectors:
        return Part(key_of(options))
    files = [path for name in detectors for path in (results.folder / SCORES / name).glob("*")]
    files += (results.folder / LATENT / detectors[0]).glob("*")
    files += (results.folder / MODELS).glob("**/*.json")
    files += (results.folder / STUDY).glob("*.json")
    files += table_files(results, results.regions)
    key = key_of(options, options.output, detectors, list(model_records(results)), files=files)
    if kept := shelf.kept("scores", key):
        return kept
    explained = (read_explained(results.folder) or {}).get("events", ())
    lines, pictures = [], []
    for drawn in score_pictures.score_pictures(options, detectors, lines.append):
        told = None if drawn.told is None else explained.index(drawn.told)
        pictures.append(shelf.store(drawn, f"scores/{drawn.name}", GALLERY_DPI, told))
    first = next((results.folder / SCORES / detectors[0]).glob("[!.]*.hdf5"))
    return Part(key, tuple(pictures), tuple(lines), score_files.origin(first)["region"])


def score_section(options, part):
    """Pictures and lines about scores, or None where there are none."""
    results = options.results
    detectors = score_files.detectors(results)
    if not detectors:
        return None
    explained = read_explained(results.folder)
    groups = {"training": [], "result": [], "why": [], "events": []}
    for picture in part.pictures:
        told = None if picture.told is None else explained["events"][picture.told]
        groups[picture.group].append((picture, told) if picture.group == "events" else picture)
    return {
        "region": part.about,
        "detector": detectors[0],
        "others": detectors[1:],
        "shares": score_files.shares_of(results, detectors[0]),
        "explained": explained,
        "lines": part.lines,
        **groups,
    }


def study_part(options, shelf):
    """What is drawn of a study; nothing where there is none."""
    key = key_of(options, files=[options.results.folder / STUDY / STUDIED])
    return make_part(shelf, "study", key, lambda _: score_pictures.study_pictures(options))


def study_section(options, part):
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
        "pictures": part.pictures,
    }


def statistics_part(options, shelf, name):
    """What is drawn of a statistical analysis."""
    folder = options.results.folder
    key = key_of(options, name, files=[folder / RUN, *(folder / STATS / name).glob("*")])

    def draw(_):
        contents, _ = read_statistics(folder, name)
        yield from stat_pictures.stat_pictures(options, name, contents)

    return make_part(shelf, f"statistics/{name}", key, draw)


def statistics_section(options, name, part):
    """Tables and pictures of a statistical analysis, by kind of result."""
    results = options.results
    contents, lines = read_statistics(results.folder, name)
    tables = stat_tables.make_tables(results, contents)
    return {
        "name": name,
        "lines": lines,
        "parts": [
            {
                "title": stat_tables.TITLES[kind],
                "tables": [table for table in tables if table.kind == kind],
                "pictures": [picture for picture in part.pictures if picture.group == kind],
            }
            for kind in contents
        ],
    }
