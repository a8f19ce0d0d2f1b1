"""What each command does: read, draw, save. Each returns the files it wrote."""

from dataclasses import asdict, dataclass, field
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.colors import is_color_like
from matplotlib.figure import Figure

from analysis.errors import InputError
from analysis.files import write_file
from analysis.output import RUN
from analysis.performance import LEAST, judge, make_curve
from analysis.records import record_errors
from analysis.results import Results
from analysis.shifts import background_shifts
from analysis.study_files import read_explained, read_study
from plotting import agreement, comparison, graph, matrix, pool, yields
from plotting import scores as score_files
from plotting.draw_agreement import draw_agreement
from plotting.draw_comparison import draw_comparison
from plotting.draw_event import draw_event
from plotting.draw_graph import draw_graph
from plotting.draw_matrix import draw_matrix
from plotting.draw_scores import draw_curves, draw_latent, draw_ranking, draw_training
from plotting.draw_stack import StackCanvas, draw_stack
from plotting.event import momenta
from plotting.save import FORMATS, save
from plotting.stack import make_stack, stack_of
from plotting.style import NO_CAPTION, Caption, number

CHUNK = 12  # pictures that a process draws before it reports
# Largest value that has a colour of its own in scaled matrices, in standard deviations.
EVENT_SPAN, MEAN_SPAN = 3.0, 1.0
UNITS = ("gev", "network")
BACKGROUND = "background"  # name of all simulated backgrounds together
FEW_CELLS = 0.1  # of the matrix: a detector that sees fewer has no picture of them
TOP_SHARE = 0.01  # of events that are looked at as the most anomalous
TOP_EVENTS = 6  # drawn in the transverse plane


@cache
def open_results(folder):
    """The Results of a folder, read once per process; InputError also for unknown colours."""
    results = Results(folder)
    with record_errors(results.folder / RUN):
        for process in results.processes:
            if not is_color_like(process.colour):
                raise ValueError(f"process '{process.name}' has no colour '{process.colour}'")
    return results


@dataclass(frozen=True)
class Options:
    """What all commands know."""

    output: str  # folder of the run
    folder: Path  # for the pictures
    formats: tuple[str, ...] = FORMATS
    caption: Caption = NO_CAPTION
    processes: int = 1
    log: bool = True
    signal_scale: float | None = None
    relative_errors: dict[str, float] = field(default_factory=dict)

    @property
    def results(self):
        """The Results of the run, read once per process."""
        return open_results(self.output)


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
        figure = stack_figure(options, region, name, histograms, shifts, canvas)
        written += save(figure, options.folder / "hist" / region / name, options.formats)
    return written


def stack_figure(options, region, name, histograms, shifts=(), canvas=None):
    """The Figure of a feature in a region, from {sample: Histogram} and Shifts."""
    stack = make_stack(
        options.results,
        region,
        name,
        histograms,
        signal_scale=options.signal_scale,
        relative_errors=options.relative_errors,
        shifts=shifts,
    )
    return draw_stack(stack, log=options.log, caption=options.caption, canvas=canvas)


def check(options, regions, features, shape=False):
    """Data against simulation in numbers: a table and a picture per region."""
    written = []
    for region in regions:
        found = compare_all(options, region, features, shape)
        base = options.folder / "check" / region
        print(f"{region}{', blind: no data' if options.results.regions[region].blind else ''}")
        lines = agreement.table_lines(found)
        print("\n".join(lines[:21]))
        if len(lines) > 21:
            print(f"... {len(lines) - 21} more in {base}.txt")
        print(agreement.summary(found))
        write_file(base.with_name(f"{region}.txt"), "\n".join(lines) + "\n")
        write_file(
            base.with_name(f"{region}.csv"), pd.DataFrame(map(asdict, found)).to_csv(index=False)
        )
        written += [base.with_name(f"{region}.txt"), base.with_name(f"{region}.csv")]
        if any(one.tested for one in found):
            written += save(agreement_figure(options, region, found), base, options.formats)
    return written


def compare_all(options, region, features, shape=False):
    """The Agreements of features in a region, the worst first."""
    chunks = [(options, region, part, shape) for part in pool.in_chunks(features, 4 * CHUNK)]
    return agreement.judge(pool.flat(pool.each(compare_chunk, chunks, options.processes, "tests")))


def compare_chunk(options, region, features, shape):
    """The Agreements of some (region, feature) pairs."""
    found = []
    for name in features:
        histograms = options.results.histograms(region, name)
        shifts = background_shifts(options.results, region, name, histograms)
        found.append(compare_one(options.results, region, name, histograms, shifts, shape))
    return found


def compare_one(results, region, name, histograms, shifts=(), shape=False):
    """The Agreement of one feature, from {sample: Histogram} and Shifts."""
    data, background = agreement.totals(results, region, histograms)
    return agreement.compare(
        region,
        name,
        data,
        background,
        shifts=[shift.mean for shift in shifts],
        blind=results.regions[region].blind,
        shape=shape,
    )


def agreement_figure(options, region, found):
    """The Figure of the Agreements of a region."""
    tested = [one for one in found if one.tested]
    return draw_agreement(
        [one.p for one in tested],
        [one.p_chi2 for one in tested],
        [options.results.features[one.feature].label for one in tested],
        [one.verdict == agreement.VERDICTS[0] for one in tested],
        title=region,
        caption=options.caption,
    )


def make_cutflow(options, regions):
    """Cutflow as text, LaTeX, HTML and bars."""
    written = []
    for region in regions:
        made = yields.make_cutflow(options.results, region)
        lines = yields.as_text(made)
        print("\n".join(lines), end="\n\n")
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


def make_graph(options):
    """The computation graph of the run."""
    return save(graph_figure(options), options.folder / "graph", options.formats)


def graph_figure(options):
    """The Figure of the computation graph."""
    nodes = graph.make_graph(options.results)
    return draw_graph(nodes, graph.places(nodes), caption=options.caption)


def rmm(options, regions, processes=(), events=(), differences=(), units=UNITS, model=None):
    """Matrices: means of processes, single events, differences of two processes.

    processes: names, "background" for all backgrounds; without processes, events and differences:
        means of all processes with events, and the differences of signals and background
    events: (sample, EventNumber or None for the first)
    differences: (process, process to subtract)
    """
    results = options.results
    everything = not (processes or events or differences)
    written = []
    for region in regions:
        pictures = Matrices(options, region, model)
        if everything:
            chosen = pictures.filled()
            signals = [p.name for p in results.processes if p.kind == "signal"]
            pairs = [(n, BACKGROUND) for n in signals if n in chosen and BACKGROUND in chosen]
        else:
            chosen, pairs = processes, differences
        folder = options.folder / "rmm" / region
        for unit in units:
            for name in chosen:
                figure = pictures.mean(name, unit)
                written += save(figure, folder / f"{name}_{unit}", options.formats)
            for first, second in pairs:
                figure = pictures.difference(first, second, unit)
                name = f"{first}_minus_{second}_{unit}"
                written += save(figure, folder / name, options.formats)
            for sample, wanted in events:
                figure, found = pictures.event(sample, wanted, unit)
                name = f"event_{sample}_{found}_{unit}"
                written += save(figure, folder / name, options.formats)
    return written


class Matrices:
    """Draws the matrices of a region, in GeV or as the network sees them."""

    def __init__(self, options, region, model=None):
        self.options, self.region, self.results = options, region, options.results
        objects, _ = self.results.objects
        blocks = (1, *(multiplicity for _, multiplicity, _ in self.results.types))
        self.axes = {"objects": objects, "blocks": blocks, "caption": options.caption}
        self.energies = np.array(
            [
                [self.results.features[cell].unit == "GeV" for cell in row]
                for row in self.results.cells
            ]
        )
        self.model = model
        self.scalings, self.means = {}, {}

    def scaling(self):
        """The CellScaling of the network."""
        if "network" not in self.scalings:
            self.scalings["network"] = matrix.model_scaling(self.results, self.region, self.model)
        return self.scalings["network"]

    def samples(self, name):
        """The samples of a process, or of all backgrounds."""
        visible = self.results.visible(self.region)
        if name == BACKGROUND:
            return [s.name for s in visible if s.kind == BACKGROUND]
        process = self.results.process(name)
        if process.kind == "data" and self.results.regions[self.region].blind:
            raise InputError(f"region '{self.region}' is blind: its data is not drawn")
        return [s.name for s in visible if s.process == name]

    def filled(self):
        """Names of the processes with events, all backgrounds together first."""
        names = [BACKGROUND, *(process.name for process in self.results.processes)]
        flow = self.results.cutflow[self.region]
        visible = {s.process for s in self.results.visible(self.region)} | {BACKGROUND}
        return [
            name
            for name in names
            if name in visible and any(flow[s][-1]["entries"] for s in self.samples(name))
        ]

    def mean_values(self, name, unit):
        """(size, size) mean over a process. Raises InputError without events."""
        if (name, unit) not in self.means:
            scaling = self.scaling() if unit == "network" else None
            found = matrix.mean_of(self.results, self.region, self.samples(name), scaling)
            if not found.events:
                raise InputError(f"process '{name}' has no events in region '{self.region}'")
            self.means[name, unit] = found.mean
        return self.means[name, unit]

    def label(self, name):
        """LaTeX for the name of a process."""
        return "Background" if name == BACKGROUND else self.results.process(name).label

    def draw(self, values, unit, title, span):
        """The Figure of a (size, size) matrix; span: largest value with a colour of its own."""
        title = f"{self.region}, {title}"
        if unit == "network":
            label = self.scaling().source
            return draw_matrix(values, span=span, title=title, bar_label=label, **self.axes)
        return draw_matrix(values, energies=self.energies, title=title, **self.axes)

    def mean(self, name, unit):
        """The Figure of the mean over a process."""
        title = f"mean of {self.label(name)}"
        return self.draw(self.mean_values(name, unit), unit, title, MEAN_SPAN)

    def difference(self, first, second, unit):
        """The Figure of the difference of the means of two processes."""
        values = self.mean_values(first, unit) - self.mean_values(second, unit)
        title = f"{self.region}, mean of {self.label(first)} $-$ {self.label(second)}"
        if unit == "network":
            label = f"Difference, {self.scaling().source}"
            return draw_matrix(values, span=MEAN_SPAN, title=title, bar_label=label, **self.axes)
        # In GeV and numbers of order one: only relative to the second they share a scale.
        second_values = self.mean_values(second, unit)
        relative = np.divide(
            values, second_values, out=np.full_like(values, np.nan), where=second_values > 0
        )
        label = f"Difference / {self.label(second)}"
        return draw_matrix(relative, span=1.0, title=title, bar_label=label, **self.axes)

    def event(self, sample, wanted, unit):
        """The Figure of an event and its number."""
        name = self.results.choose_sample(sample)
        if name not in [s.name for s in self.results.visible(self.region)]:
            raise InputError(
                f"sample '{name}' may not be looked at in the blind region '{self.region}'"
                if self.results.regions[self.region].blind
                else f"sample '{name}' has no events in region '{self.region}'"
            )
        values, found = matrix.event_matrix(self.results, self.region, name, wanted)
        process = next(s.process for s in self.results.samples if s.name == name)
        values = self.scaling()(values) if unit == "network" else values
        title = f"event {found} of {self.label(process)}"
        return self.draw(values, unit, title, EVENT_SPAN), found


def score(options, detectors=()):
    """What a detector found: distributions, curves, training, latent space, cells, events.

    detectors: names, the first is shown and the others are compared with it; none: all that are
        there, the default one shown
    """
    written = []
    names = score_files.choose_detectors(options.results, detectors)
    for line in score_files.shares_of(options.results, names[0]):
        print(f"{names[0]}: {line}")
    pictures = chain(score_pictures(options, names, print), study_pictures(options))
    for drawn in pictures:
        written += save(drawn.figure, options.folder / "score" / drawn.name, options.formats)
    return written


@dataclass(frozen=True)
class ScorePicture:
    """A picture about scores."""

    name: str  # of its file
    group: str  # part of the page: result, why, training, events or study
    title: str  # on the page
    figure: Figure
    told: dict | None = None  # of an event, what explained.json says


def score_pictures(options, detectors, say):
    """Yield the ScorePictures of the first of some detectors; `say` is given lines of text."""
    results = options.results
    shown, *others = detectors
    scores = score_files.read_scores(results, shown)
    region, labels = scores.region, {p.name: p.label for p in results.processes}
    feature_labels = {name: feature.label for name, feature in results.features.items()}
    if results.regions[region].blind:
        say(f"region {region} is blind: data not drawn")
    say(
        f"{region}, detector {shown}: drawn are the {scores.held_out:.0%} of the background's "
        "events that did not train it, scaled up to the yield of all"
    )
    if others:
        say(f"beside it: {', '.join(others)}")
    stack = stack_of(
        results,
        region,
        score_files.score_histograms(scores),
        label=f"Anomaly score, {shown}",
        signal_scale=options.signal_scale,
        relative_errors=options.relative_errors,
    )
    figure = draw_stack(stack, log=options.log, caption=options.caption)
    yield ScorePicture("score", "result", "Anomaly score", figure)
    if not scores.of("background"):
        raise InputError("no simulated background is scored: nothing to compare with")
    compared = [scores, *score_files.read_others(results, scores, others, say)]
    for process in [p for p in results.processes if p.kind == "signal"]:
        drawn = {}
        for label, pair in compared_numbers(compared, process.name):
            drawn[label] = make_curve(*pair, score_files.seed_of(*pair))
            name = yields.plain_text(label) if "$" in label else label
            for line in curve_lines(process.name, name, drawn[label], pair):
                say(line)
        if not drawn:
            say(f"{process.name} has no events in {region}: no curves")
            continue
        figure = draw_curves(
            drawn,
            detectors=len(compared),
            title=f"{region}, {process.label}",
            caption=options.caption,
        )
        text = f"ROC and improvement, {process.name}"
        yield ScorePicture(f"curves_{process.name}", "result", text, figure)
    if curve := score_files.training_curves(results, shown):
        title = f"detector {shown}"
        figure = draw_training(curve, title=title, caption=options.caption)
        yield ScorePicture("training", "training", "Training", figure)
    if latent := score_files.latent_plane(results, scores):
        figure = latent_figure(options, scores, labels, *latent)
        yield ScorePicture("latent", "training", "Latent space", figure)
    elif shown in matrix.model_records(results):
        say(f"no latent space of {shown}: python -m ml encode {results.folder} --model {shown}")
    names, found, _ = score_files.correlations(results, scores, "background")
    _, in_data, events = score_files.correlations(results, scores, "data")
    figure = draw_ranking(
        [feature_labels[name] for name in names],
        found,
        points=in_data if events else None,
        axis="Spearman's correlation with the score",
        names=("Background", "Data" if events else ""),
        title=region,
        caption=options.caption,
    )
    yield ScorePicture("correlations", "why", "Correlation with features", figure)
    yield from error_pictures(options, scores, labels, feature_labels, say)
    yield from event_pictures(options, scores, say)


def compared_numbers(compared, process):
    """Yield labels, and values and weights of background and a signal process.

    compared: [Scores], one per detector; behind them come the rivals of the first, whose events
        are those of its samples
    Detectors without events of the process are left out.
    """
    for scores in compared:
        samples = [s for s in scores.of("signal") if s.process == process]
        if sum(len(s.score) for s in samples):
            background, weights = scores.joined(scores.of("background"))
            signal, signal_weights = scores.joined(samples)
            yield scores.detector, (background[:, 0], weights, signal[:, 0], signal_weights)
    first = compared[0]
    samples = [s for s in first.of("signal") if s.process == process]
    if not sum(len(s.score) for s in samples):
        return
    background, weights = first.joined(first.of("background"))
    signal, signal_weights = first.joined(samples)
    for column, label in enumerate(first.rivals, 1):
        yield label, (background[:, column], weights, signal[:, column], signal_weights)


def curve_lines(process, name, curve, pair):
    """Lines of text: the area under a curve, and cuts that were chosen on the background."""
    yield f"{process:<14} {name:<20} AUC {curve.auc:.3f} +- {curve.auc_error:.3f}"
    background, weights, *signal = pair
    for judged in judge(background, weights, {process: signal}).values():
        for point in judged.points:
            cut = point.cut
            less = "" if cut.supported else f", with {LEAST} effective events {cut.efficiency:.2g}"
            yield (
                f"  background {cut.asked:g}{less}: cut at {cut.threshold:.4g}, signal "
                f"{point.efficiency:.3f} +- {point.efficiency_error:.3f}, "
                f"s = {number(point.signal)}, b = {number(cut.background)} +- "
                f"{number(cut.background_error)}, expected significance {point.significance:.2g}"
            )


def latent_figure(options, scores, labels, vectors, weights, axes):
    """The Figure of what `scores.latent_plane` returns; labels: {process: LaTeX}."""
    colours = {p.name: p.colour for p in options.results.processes}
    names = [s.sample for s in scores.of("background")]
    overlays = {}
    for scored in [*scores.of("signal"), *scores.of("data")]:
        overlays.setdefault(scored.process, []).append(vectors[scored.sample])
    return draw_latent(
        np.concatenate([vectors[name] for name in names]),
        np.concatenate([weights[name] for name in names]),
        [(labels[p], colours[p], np.concatenate(parts)) for p, parts in overlays.items()],
        axes,
        title=scores.region,
        caption=options.caption,
    )


def error_pictures(options, scores, labels, feature_labels, say):
    """Yield ScorePictures: which cells make the top events of data, background and signals odd."""
    results = options.results
    groups = {}
    for scored in scores.samples:
        name = BACKGROUND if scored.kind == BACKGROUND else scored.process
        groups.setdefault(name, []).append(scored)
    drawing = Matrices(options, scores.region)
    for name, samples in groups.items():
        if not sum(len(s.score) for s in samples):
            continue
        found = score_files.mean_errors(results, scores, samples, TOP_SHARE, at_least=10)
        if found is None:
            say(
                f"no errors of single cells: python -m ml score {results.folder} --model "
                f"{scores.detector} --errors"
            )
            return
        shares = dict(zip(*found, strict=True))
        values = np.array(
            [[shares.get(cell, np.nan) for cell in row] for row in results.cells], float
        )
        label = "Background" if name == BACKGROUND else labels[name]
        title = f"{scores.region}, top {TOP_SHARE:.0%} of {label}"
        bar = "Mean share of the score [%]"
        if np.isfinite(values).mean() > FEW_CELLS:
            figure = draw_matrix(
                values, sequential=True, title=title, bar_label=bar, **drawing.axes
            )
            text = f"Cells that make the top events of {name} anomalous"
            yield ScorePicture(f"cells_{name}", "why", text, figure)
        figure = draw_ranking(
            [feature_labels.get(feature, feature) for feature in shares],
            list(shares.values()),
            axis=bar,
            title=title,
            caption=options.caption,
        )
        text = f"Features that make the top events of {name} anomalous"
        yield ScorePicture(f"features_{name}", "why", text, figure)


def shown_events(options, scores, say):
    """The most anomalous events, of data, or else of background: [(Scored, position, told)].

    Those that `python -m ml explain` has told; without it the first TOP_EVENTS, told None.
    """
    content, why = read_explained(options.results.folder), "no events are explained"
    try:
        if content is not None:
            return score_files.explained_events(scores, content)
    except InputError as error:
        why = str(error)
    say(f"{why}: python -m ml explain {options.output} --detector {scores.detector}")
    kind = "data" if any(len(s.score) for s in scores.of("data")) else BACKGROUND
    ranked = [
        (-scored.score[place], *scored.identity[place], scored, place)
        for scored in scores.of(kind)
        for place in score_files.top_events(scored, TOP_EVENTS)
    ]
    ranked.sort(key=lambda entry: entry[:4])
    return [(*entry[-2:], None) for entry in ranked[:TOP_EVENTS]]


def event_pictures(options, scores, say):
    """Yield ScorePictures of the most anomalous events."""
    results = options.results
    objects, owners = results.objects
    for rank, (scored, place, told) in enumerate(shown_events(options, scores, say), 1):
        dataset, run, event = scored.identity[place]
        score = scored.score[place]
        table = results.table(scores.region, scored.sample)
        row = table.iloc[scored.rows[place] : scored.rows[place] + 1]
        seen = momenta(
            matrix.cell_values(results, row)[0],
            objects,
            owners,
            energy_scale=results.energy_scale,
            h=results.h,
        )
        title = f"{scored.sample} {event}, score {score:.2f}"
        figure = draw_event(
            seen.labels, seen.types, seen.e_t, seen.phi, seen.met, title=title, caption=NO_CAPTION
        )
        text = (
            f"{rank}: {scored.sample}, dataset {dataset}, run {run}, event {event}, score "
            f"{score:.2f}"
        )
        yield ScorePicture(f"event_{rank}", "events", text, figure, told)


def study_pictures(options):
    """Yield ScorePictures of what study.json says, one for each signal."""
    study = read_study(options.results.folder)
    if study is None:
        return
    asked = study["working_points"][-1]
    for signal, about in study["signals"].items():
        if found := comparison.improvements(study, signal):
            title = f"{study['region']}, {about['label']}"
            figure = draw_comparison(found, asked, title=title, caption=options.caption)
            text = f"Improvement at {100 * asked:g} % background, {signal}"
            yield ScorePicture(f"study_{signal}", "study", text, figure)
