"""`score`: what a detector found, beside others and simple cuts."""

from itertools import chain

import numpy as np

from analysis.errors import InputError
from analysis.performance import LEAST, judge, make_curve
from analysis.study_files import read_explained, read_study
from plotting import comparison, matrix, yields
from plotting import scores as score_files
from plotting.draw_comparison import draw_comparison
from plotting.draw_event import draw_event
from plotting.draw_matrix import draw_matrix
from plotting.draw_scores import draw_curves, draw_latent, draw_ranking, draw_training
from plotting.event import momenta
from plotting.matrix_pictures import BACKGROUND, Matrices
from plotting.save import Drawn, save_drawn
from plotting.stack import stack_of
from plotting.stack_pictures import draw_options, tail_lines
from plotting.style import NO_CAPTION, number

FEW_CELLS = 0.1  # of the matrix: a detector that sees fewer has no picture of them
TOP_SHARE = 0.01  # of events that are looked at as the most anomalous
TOP_EVENTS = 6  # drawn in the transverse plane


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
        written += save_drawn(drawn, options.folder / "score", options.formats)
    return written


def score_pictures(options, detectors, say):
    """Yield the Drawn pictures of the first of some detectors; `say` is given lines of text."""
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
    for _, line in tail_lines(stack, "score"):
        say(line)
    figure = draw_options(options, stack)
    yield Drawn("score", "Anomaly score", figure, group="result", numbers=stack.numbers)
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
        yield Drawn(f"curves_{process.name}", text, figure, group="result")
    if curve := score_files.training_curves(results, shown):
        title = f"detector {shown}"
        figure = draw_training(curve, title=title, caption=options.caption)
        yield Drawn("training", "Training", figure, group="training")
    if latent := score_files.latent_plane(results, scores):
        figure = latent_figure(options, scores, labels, *latent)
        yield Drawn("latent", "Latent space", figure, group="training")
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
    yield Drawn("correlations", "Correlation with features", figure, group="why")
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
        label = "Background" if name == BACKGROUND else labels[name]
        title = f"{scores.region}, top {TOP_SHARE:.0%} of {label}"
        bar = "Mean share of the score [%]"
        if np.isfinite(values).mean() > FEW_CELLS:
            figure = draw_matrix(
                values, sequential=True, title=title, bar_label=bar, **drawing.axes
            )
            text = f"Cells that make the top events of {name} anomalous"
            yield Drawn(f"cells_{name}", text, figure, group="why")
        figure = draw_ranking(
            [feature_labels.get(feature, feature) for feature in shares],
            list(shares.values()),
            axis=bar,
            title=title,
            caption=options.caption,
        )
        text = f"Features that make the top events of {name} anomalous"
        yield Drawn(f"features_{name}", text, figure, group="why")


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
    """Yield Drawn pictures of the most anomalous events."""
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
        yield Drawn(f"event_{rank}", text, figure, group="events", told=told)


def study_pictures(options):
    """Yield Drawn pictures of what study.json says, one for each signal."""
    study = read_study(options.results.folder)
    if study is None:
        return
    asked = study["working_points"][-1]
    for signal, about in study["signals"].items():
        if found := comparison.improvements(study, signal):
            title = f"{study['region']}, {about['label']}"
            figure = draw_comparison(found, asked, title=title, caption=options.caption)
            text = f"Improvement at {100 * asked:g} % background, {signal}"
            yield Drawn(f"study_{signal}", text, figure, group="study")
