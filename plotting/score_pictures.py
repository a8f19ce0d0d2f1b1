"""`score`: what a detector found, beside others and simple cuts."""

from dataclasses import dataclass, replace
from functools import cache
from textwrap import wrap

import numpy as np
import pandas as pd

from analysis import console
from analysis.errors import InputError
from analysis.files import write_file
from analysis.performance import make_curve
from analysis.study_files import p_text, read_explained, read_study
from plotting import comparison, matrix, score_numbers, yields
from plotting import scores as score_files
from plotting.draw_comparison import draw_comparison
from plotting.draw_event import draw_event
from plotting.draw_matrix import draw_matrix
from plotting.draw_scores import (
    choose_colours,
    draw_curves,
    draw_latent,
    draw_ranking,
    draw_survival,
    draw_training,
)
from plotting.event import momenta
from plotting.matrix_pictures import BACKGROUND, Matrices
from plotting.save import Drawn, save_drawn
from plotting.stack import stack_of
from plotting.stack_pictures import draw_options, tail_lines
from plotting.style import NO_CAPTION

FEW_CELLS = 0.1  # of the matrix: a detector that sees fewer has no picture of them
TOP_SHARE = 0.01  # of events that are looked at as the most anomalous
TOP_EVENTS = 6  # drawn in the transverse plane
DRIVERS = 3  # features named beside an event
MOST_PANELS = 6  # detectors side by side


def score(options, detectors=()):
    """What a detector found: distributions, curves, training, latent space, cells, events.

    detectors: names, the first is shown and the others are compared with it; none: all that are
        there, the default one shown
    """
    written, folder = [], options.folder / "score"
    names = score_files.choose_detectors(options.results, detectors)
    for line in score_files.shares_of(options.results, names[0]):
        print(*wrap(f"{names[0]}: {line}", 80, subsequent_indent="  "), sep="\n")
    for drawn in score_pictures(options, names, print):
        written += save_drawn(drawn, folder, options.formats)
    if study := read_study(options.results.folder):
        for drawn in comparison_pictures(study, "study", "study", options.caption):
            written += save_drawn(drawn, folder, options.formats)
        print("", *comparison.table_lines(study), sep="\n")
        written += save_tables(study, folder / "study")
    return written


def score_pictures(options, detectors, say):
    """Yield the Drawn pictures of the first of some detectors; `say` is given lines of text."""
    results, tables = options.results, score_files.KeptTables(options.results)
    shown, *others = detectors
    scores = score_files.read_scores(results, shown, tables)
    region, labels = scores.region, {p.name: p.label for p in results.processes}
    feature_labels = {name: feature.label for name, feature in results.features.items()}
    if results.regions[region].blind:
        say(f"region {region} is blind: data not drawn")
    say(f"{region}, detector {shown}")
    about = [held_out_text(scores)] if scores.of("background") else []
    for line in about:
        say(line)
    stack = stack_of(
        results,
        region,
        score_files.score_histograms(scores),
        label=f"Anomaly score, {shown}",
        signal_scale=options.signal_scale,
        relative_errors=options.relative_errors,
    )
    stack = replace(stack, notes=(*stack.notes, *about))
    for _, line in tail_lines(stack, "score"):
        say(line)
    figure = draw_options(options, stack)
    yield Drawn("score", "Anomaly score", figure, group="result", numbers=stack.numbers)
    if not scores.of("background"):
        raise InputError("no simulated background is scored: nothing to compare with")
    compared = [scores, *score_files.read_others(results, scores, others, tables, say)]
    yield from compared_pictures(options, compared, say)
    if curve := score_files.training_curves(results, shown):
        figure = draw_training(curve, title=f"detector {shown}", caption=options.caption)
        numbers = score_numbers.training_numbers(curve)
        yield Drawn("training", "Training", figure, group="training", numbers=numbers)
    if latent := score_files.latent_plane(results, scores):
        figure = latent_figure(options, scores, labels, *latent)
        processes = {s.sample: s.process for s in scores.samples}
        numbers = score_numbers.latent_numbers(*latent[:2], processes)
        yield Drawn("latent", "Latent space", figure, group="training", numbers=numbers)
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
    numbers = pd.DataFrame({"feature": names, "background": found})
    numbers = numbers.assign(data=in_data) if events else numbers
    text = "Correlation with features"
    yield Drawn("correlations", text, figure, group="why", numbers=numbers)
    yield from error_pictures(options, scores, feature_labels, say)
    yield from event_pictures(options, scores, say)


def held_out_text(scores):
    """Which events of the background are shown."""
    if scores.held_out < 1:
        return f"Background: the {scores.held_out:.0%} that did not train, scaled to all"
    return "Background: each event by a model that it did not train"


def compared_pictures(options, compared, say):
    """Yield Drawn pictures of several detectors and the simple cuts; the first is shown.

    compared: [Scores]
    """
    results, first = options.results, compared[0]
    region, caption = first.region, options.caption
    study = read_study(results.folder)
    judged = comparison.judge_or_look_up(results, compared, study)
    if study is not None and not comparison.same_scores(study, judged):
        say(f"study.json is not of these scores: python -m ml study {results.folder}")
        study = None
    survivals = [score_files.survival_of(one) for one in compared_order(judged, compared)]
    survivals = [one for one in survivals if one is not None][:MOST_PANELS]
    if survivals:
        figure = draw_survival(
            survivals,
            {p.name: p.label for p in results.processes},
            {p.name: p.colour for p in results.processes},
            title=region,
            caption=caption,
        )
        numbers = score_numbers.survival_numbers(survivals)
        text = "Data and signals over background, detector by detector"
        yield Drawn("detectors", text, figure, group="result", numbers=numbers)
    colours, numbers_of = {}, cache(lambda name: by_name[name][0].numbers(by_name[name][1]))
    by_name = {one.detector: (one, 0) for one in compared}
    by_name |= {rival.name: (first, n) for n, rival in enumerate(first.rivals, 1)}
    for process in [p for p in results.processes if p.kind == "signal"]:
        if process.name not in judged["scores"][first.detector]["signals"]:
            say(f"{process.name} has no events in {region}: no curves")
            continue
        curves = {}
        for name in comparison.shown_curves(judged, process.name, first.detector):
            background, weight, signals = numbers_of(name)
            pair = (background, weight, *signals[process.name])
            if name == first.detector:
                curves[name] = make_curve(*pair, score_files.seed_of(*pair))
            else:
                found = judged["scores"][name]["signals"][process.name]
                error = (found["auc_high"] - found["auc_low"]) / 2
                curves[name] = replace(make_curve(*pair, 1, replicas=0), auc_error=error)
        label = {n: comparison.label_of(n, judged["scores"][n]) for n in curves}
        figure = draw_curves(
            {label[name]: curve for name, curve in curves.items()},
            detectors=sum(judged["scores"][name]["kind"] == "detector" for name in curves),
            colours={label[n]: number for n, number in choose_colours(curves, colours).items()},
            title=f"{region}, {process.label}",
            caption=caption,
        )
        text = f"ROC and improvement, {process.name}"
        numbers = score_numbers.curve_numbers(curves)
        yield Drawn(f"curves_{process.name}", text, figure, group="result", numbers=numbers)
        for line in comparison.cut_lines(judged, process.name, first.detector):
            say(line)
    if judged["signals"]:
        known = judged["background_uncertainty"]
        say(f"Z: expected significance, the background known to {known:.0%}")
    if study is None:
        for line in comparison.table_lines(judged):
            say(line)
        yield from comparison_pictures(judged, "comparison", "result", caption)


def compared_order(judged, compared):
    """The first of some Scores, and the others by their mean improvement of all signals."""

    def mean(one):
        asked = judged["working_points"][-1]
        score = judged["scores"][one.detector]
        found = [comparison.improvement_of(judged, score, s, asked) for s in judged["signals"]]
        found = [max(value, 1e-3) for value in found if value is not None]
        return float(np.mean(np.log(found))) if found else -np.inf

    return [compared[0], *sorted(compared[1:], key=mean, reverse=True)]


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


def error_pictures(options, scores, feature_labels, say):
    """Yield Drawn pictures: which cells make the top events of data, background and signals odd."""
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
        title = f"{scores.region}, top {TOP_SHARE:.0%} of {drawing.label(name)}"
        bar = "Mean share of the score [%]"
        if np.isfinite(values).mean() > FEW_CELLS:
            figure = draw_matrix(
                values, sequential=True, title=title, bar_label=bar, **drawing.axes
            )
            text = f"Cells that make the top events of {name} anomalous"
            numbers = drawing.numbers({"share_percent": values})
            yield Drawn(f"cells_{name}", text, figure, group="why", numbers=numbers)
        figure = draw_ranking(
            [feature_labels.get(feature, feature) for feature in shares],
            list(shares.values()),
            axis=bar,
            title=title,
            caption=options.caption,
        )
        text = f"Features that make the top events of {name} anomalous"
        numbers = pd.DataFrame(shares.items(), columns=["feature", "share_percent"])
        yield Drawn(f"features_{name}", text, figure, group="why", numbers=numbers)


def shown_events(options, scores, content, say):
    """The most anomalous events, of data, or else of background: [(Scored, position, told)].

    content: of explained.json, what `python -m ml explain` has told; None: the first TOP_EVENTS,
        told None
    """
    why = "no events are explained"
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
    """Yield Drawn pictures of the most anomalous events, and say what they are."""
    results = options.results
    objects, owners = results.objects
    content = read_explained(results.folder)
    for rank, (scored, place, told) in enumerate(shown_events(options, scores, content, say), 1):
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
        if told:
            effective = content["background"][scores.detector]["effective"]
            p_value = p_text(told["scores"][scores.detector]["p_value"], effective)
            p_value = f"p < {p_value[1:]}" if p_value[0] == "<" else f"p = {p_value}"
        drivers = [driver(results, one) for one in (told["features"] if told else ())[:DRIVERS]]
        about = f"{scored.sample} {event}, score {score:.2f}"
        if rank <= TOP_EVENTS:
            say(f"{rank}. {scored.sample}, run {run}, event {event}, score {score:.4g}")
            if told:
                say(f"   {p_value}, the share of the background that is as anomalous")
            for one in drivers:
                said = f"{one.value}, usually {one.usual}, adds {one.adds}"
                for line in console.hanging(f"   {one.name:<18} ", said, comparison.LINE):
                    say(line)
        figure = draw_event(
            seen.labels,
            seen.types,
            seen.e_t,
            seen.phi,
            seen.met,
            drivers=[(one.label, one.value, one.usual) for one in drivers],
            title=f"{about}, {p_value}" if told else about,
            caption=NO_CAPTION,
        )
        text = (
            f"{rank}: {scored.sample}, dataset {dataset}, run {run}, event {event}, score "
            f"{score:.2f}"
        )
        columns = {"object": [yields.plain_text(label) for label in seen.labels]}
        numbers = pd.DataFrame(columns | {"e_t": seen.e_t, "phi": seen.phi})
        numbers.loc[len(numbers)] = ["missing momentum", seen.met, 0.0]
        yield Drawn(f"event_{rank}", text, figure, group="events", told=told, numbers=numbers)


@dataclass(frozen=True)
class Driver:
    """What drives the score of an event, as texts."""

    name: str
    label: str  # LaTeX
    value: str  # with its unit
    usual: str  # of the background
    adds: str


def driver(results, told):
    """The Driver of a feature of explained.json."""
    feature = results.features.get(told["name"])
    label, unit = (feature.label, feature.unit) if feature else (told["name"], "")
    median, low, high = (three_digits(told[key]) for key in ("median", "low", "high"))
    value = f"{three_digits(told['value'])} {unit}".strip()
    usual = f"{median} ({low} to {high})"
    return Driver(told["name"], label, value, usual, f"{told['contribution']:.2g}")


def three_digits(value):
    """A number with three digits or more, without exponent where it is large."""
    if value is None:
        return comparison.NOTHING
    return f"{value:.0f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"


def study_pictures(options):
    """Yield Drawn pictures of what study.json says, one for each signal."""
    if study := read_study(options.results.folder):
        yield from comparison_pictures(study, "study", "study", options.caption)


def comparison_pictures(study, name, group, caption):
    """Yield a Drawn of the improvements of each signal; name: of the files; group: of the page."""
    asked, frame = study["working_points"][-1], comparison.table_frame(study)
    for signal, about in study["signals"].items():
        if found := comparison.improvements(study, signal):
            title = f"{study['region']}, {about['label']}"
            figure = draw_comparison(found, asked, title=title, caption=caption)
            text = f"Improvement at {100 * asked:g} % background, {signal}"
            numbers = frame[frame["signal"] == signal]
            yield Drawn(f"{name}_{signal}", text, figure, group=group, numbers=numbers)


def save_tables(study, path):
    """Write the tables of a study as text, CSV and LaTeX; returns the files."""
    texts = {
        "txt": "\n".join([*comparison.table_lines(study), ""]),
        "csv": comparison.table_frame(study).to_csv(index=False),
        "tex": comparison.as_latex(study),
    }
    written = [path.with_suffix(f".{ending}") for ending in texts]
    for file, text in zip(written, texts.values(), strict=True):
        write_file(file, text)
    return written
