"""`python -m analysis.stats bump`: a bump in a mass of the anomalous events, and how surprising."""

import textwrap

import numpy as np

from analysis.results import Results
from analysis.stats.excess import z_value
from analysis.stats.nuisances import gradient
from analysis.stats.prepared import bump_search, default_detector
from analysis.stats.result import write_result
from analysis.stats.search import combine, evaluate, global_error, observed, pseudo_statistics
from analysis.stats.search import histogram as histogram_of


def find_bumps(options):
    """Obey the command line, see `add_search_commands`: write bump.json and print what it says."""
    results = Results(options.folder)
    detector = None if options.all_events else options.detector or default_detector(results)
    search, signals, notes = bump_search(
        results,
        options.region,
        detector,
        options.mass,
        tuple(options.background_share),
        options.threshold,
        options,
    )
    experiment = observed(search, signals, options.seed)
    outcome = evaluate(search, experiment)
    pseudo = pseudo_statistics(search, options.pseudo, options.seed, options.processes)
    combined = combine(outcome.statistics, pseudo)
    if not outcome.bumps:
        notes.append("too few simulated events are above any threshold: nothing is searched")
    best = best_of(outcome.bumps)
    masses = {mass: bump_content(results, b) for mass, b in best.items()}
    first = min(best.values(), key=lambda b: b.local_p, default=None)
    content = {
        "region": options.region,
        "detector": detector,
        "label": search.pool.labels.get(detector),
        "shares": [] if options.threshold is not None or not detector else list(search.shares),
        "threshold": options.threshold,
        "injected": signals,
        "pseudo": options.pseudo,
        "seed": options.seed,
        "normalisation": normalisation_content(search, experiment, outcome.fit),
        "nuisances": nuisance_content(search, outcome.fit),
        "masses": masses,
        "best": first
        and {
            "mass": first.mass,
            **{
                key: masses[first.mass][key]
                for key in ("share", "threshold", "window", "local_p", "z")
            },
        },
        "statistic": float(outcome.statistics[0]),
        "pseudo_statistic": histogram_of(pseudo[:, 0]),
        **global_content(combined, options.pseudo),
        "notes": notes,
    }
    path = write_result(results, options.name, "bump", options.words, content)
    print("\n".join([*bump_lines(content), "", f"written to {path}"]))


def best_of(bumps):
    """{mass: the Bump with the smallest p-value}."""
    best = {}
    for bump in bumps:
        if bump.mass not in best or bump.local_p < best[bump.mass].local_p:
            best[bump.mass] = bump
    return best


def bump_content(results, bump):
    """A Bump as JSON."""
    feature, window = results.features[bump.mass], bump.window
    inside = slice(bump.first, bump.last)
    return {
        "label": feature.label,
        "unit": feature.unit,
        "share": bump.share,
        "threshold": bump.threshold,
        "edges": bump.edges,
        "data": bump.data,
        "background": bump.background,
        "error": bump.error,
        "window": window,
        "window_data": float(bump.data[inside].sum()),
        "window_background": float(bump.background[inside].sum()),
        "window_error": float(np.sqrt(np.sum(bump.error[inside] ** 2))),
        "local_p": bump.local_p,
        "z": shown_z(bump.local_p),
    }


def shown_z(p):
    """Standard deviations of a p-value, at least 0."""
    return max(0.0, float(z_value(p)))


def normalisation_content(search, experiment, fit):
    """What the fit made of the yields of the processes, relative to the simulation, as JSON."""
    result = {}
    for number, name in enumerate(search.pool.processes):
        events = np.flatnonzero(search.pool.process == number)
        total = experiment.reference[events].sum()
        if not total > 0:
            continue
        change = gradient(search.nuisances, experiment.reference, events) / total
        result[name] = {
            "value": float(experiment.reference[events] @ fit.factor[events] / total),
            "error": float(np.sqrt(change @ fit.covariance @ change)),
            "size": float(np.sqrt(change @ change)),
        }
    return result


def nuisance_content(search, fit):
    """Fitted parameters in units of their constraints, as JSON."""
    errors = np.sqrt(np.diag(fit.covariance))
    return {
        name: {"value": float(value), "error": float(error)}
        for name, value, error in zip(search.nuisances.names, fit.values, errors, strict=True)
    }


def global_content(combined, number):
    """A global p-value as JSON."""
    return {
        "global_p": combined.p_value,
        "global_p_error": global_error(combined.p_value, number),
        "global_p_is_limit": combined.is_limit,
        "global_z": shown_z(combined.p_value),
    }


def global_words(content):
    """A global p-value in words."""
    sign = "<" if content["global_p_is_limit"] else "="
    p, z = content["global_p"], content["global_z"]
    return f"global p {sign} {p:.2g} ({'>' if sign == '<' else ''}{z:.1f} sigma)"


def place_words(bump):
    """Region, threshold and window of a bump in words."""
    share = bump["share"]
    if bump["threshold"] is None:
        return "all events"
    return f"score >= {bump['threshold']:.4g}" + (f" ({share:.2g} of background)" if share else "")


def window_words(bump):
    """What is in the window of a bump, in words."""
    if not bump["window"]:
        return "no excess"
    low, high = bump["window"]
    unit = f" {bump['unit']}" if bump["unit"] else ""
    return (
        f"{low:g} to {high:g}{unit}: {bump['window_data']:.0f} events, expected "
        f"{bump['window_background']:.1f} +- {bump['window_error']:.1f}"
    )


def note_lines(notes):
    """Notes in lines."""
    return [line for note in notes for line in textwrap.wrap(f"note: {note}", 80)]


def bump_lines(content):
    """What bump.json says, in lines of 80 columns."""
    what = "Pseudo-data with " if content["injected"] else ""
    what += ", ".join(f"{n:g} of {s}" for s, n in content["injected"].items())
    lines = [f"{what or 'Data'} in {content['region']}, ordered by {content['detector']}"]
    if content["detector"] is None:
        lines = [f"{what or 'Data'} in {content['region']}"]
    for name, bump in content["masses"].items():
        lines += ["", f"{name}, {place_words(bump)}", f"  {window_words(bump)}"]
        lines.append(f"  local p = {bump['local_p']:.2g} ({bump['z']:.1f} sigma)")
    lines += ["", *note_lines(content["notes"])]
    trials = f"{content['pseudo']} pseudo-experiments"
    lines.append(f"All masses and thresholds together, by {trials}: {global_words(content)}")
    return lines
