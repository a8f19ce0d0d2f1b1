"""`python -m analysis.stats anything`: is there anything in the data that the simulation lacks?"""

from dataclasses import replace

import numpy as np
from scipy.stats import kstest

from analysis import console
from analysis.results import Results
from analysis.stats.bump import (
    best_of,
    bump_content,
    global_content,
    global_words,
    normalisation_content,
    note_lines,
    nuisance_content,
    place_words,
    shown_z,
    window_words,
)
from analysis.stats.excess import SHARES
from analysis.stats.odd_events import effective_events, odd_events
from analysis.stats.prepared import whole_search
from analysis.stats.pseudo import thin
from analysis.stats.result import write_result
from analysis.stats.search import (
    TESTS,
    combine,
    evaluate,
    histogram,
    observed,
    pseudo_statistics,
    taken_statistics,
)
from analysis.stats.two_sample import FOLDS
from analysis.study_files import p_text

# A global p-value below which the answer says that there is something: three sigma.
EVIDENCE = 0.00135
HINT = 0.0228  # two sigma

SHOWN_COUNTS, SHOWN_EVENTS = 5, 5  # printed, all are in the file


def search_all(options):
    """Obey the command line, see `add_search_commands`: write anything.json, print what it says."""
    results = Results(options.folder)
    search, signals, notes = whole_search(
        results, options.region, options.detector, options.mass, SHARES, options
    )
    experiment = observed(search, signals, options.seed)
    # First, since trees must not grow in a process that is forked later.
    pseudo = pseudo_statistics(search, options.pseudo, options.seed, options.processes)
    outcome = evaluate(search, experiment)
    combined = combine(outcome.statistics, pseudo)
    content = {
        "regions": search.pool.regions,
        "detectors": list(search.pool.scores),
        "labels": search.pool.labels,
        "masses": [mass.name for mass in search.masses],
        "shares": search.shares,
        "pseudo": options.pseudo,
        "seed": options.seed,
        "injected": signals,
        "trials": {
            "two_sample": 2,
            "excess": len(search.counted) * len(SHARES) + len(search.pool.regions),
            "bump": _hunts(search) * len(search.masses),
        },
        "normalisation": normalisation_content(search, experiment, outcome.fit),
        "nuisances": nuisance_content(search, outcome.fit),
        "tests": {
            name: {
                "label": label,
                "statistic": float(statistic),
                "p": float(p),
                "z": shown_z(p),
                "pseudo_statistic": histogram(column),
            }
            for (name, label), statistic, p, column in zip(
                TESTS.items(), outcome.statistics, combined.p_values, pseudo.T, strict=True
            )
        },
        "two_sample": two_sample_content(results, search, experiment, outcome),
        "excess": excess_content(outcome),
        "bump": {
            mass: {"region": bump.region, "detector": bump.detector} | bump_content(results, bump)
            for mass, bump in best_of(outcome.bumps).items()
        },
        "statistic": combined.statistic,
        "pseudo_statistic": histogram(combined.pseudo),
        **global_content(combined, options.pseudo),
        "effective_events": effective_events(search, experiment),
        "events": odd_events(results, search, experiment, outcome.fit, options.top),
        "notes": notes,
    }
    content["answer"] = answer(content)
    path = write_result(results, options.name, "anything", options.words, content)
    print("\n".join([*told(content), "", f"written to {path}", "", content["answer"]]))


def _hunts(search):
    """Number of thresholds above which bumps are searched."""
    return sum(1 if name is None else len(search.shares) for _, name in search.hunted)


def two_sample_content(results, search, experiment, outcome):
    """What the classifier did, as JSON: area under the curve, what it looked at, its scores."""
    ratio, counts = outcome.verdict.ratio, experiment.counts
    factor = outcome.fit.factor
    weight, variance = experiment.reference * factor, experiment.variance * factor**2
    used = (counts > 0) | (weight != 0)
    low, high = np.quantile(ratio[used], [0.0005, 0.9995])
    edges = np.linspace(low, high if high > low else low + 1.0, 41)
    inside = np.clip(ratio, edges[0], edges[-1])
    sums = [np.histogram(inside, edges, weights=w)[0] for w in (counts, weight, variance)]
    order = np.argsort(-outcome.verdict.gains, kind="stable")
    return {
        "auc": area(ratio, counts, weight),
        "folds": FOLDS,
        "features": [
            {
                "name": search.classifier.names[n],
                "label": results.features[search.classifier.names[n]].label,
                "share": float(outcome.verdict.gains[n]),
            }
            for n in order
        ],
        "scores": {
            "edges": edges,
            "data": sums[0],
            "background": sums[1],
            "error": np.sqrt(sums[2]),
        },
    }


def area(values, positive, negative):
    """Area under the ROC curve; (events,) values and weights of the two kinds, ties half."""
    _, place = np.unique(values, return_inverse=True)
    above, below = (np.bincount(place, weight) for weight in (positive, negative))
    smaller = np.cumsum(below) - below / 2
    total = above.sum() * below.sum()
    return float(above @ smaller / total) if total > 0 else 0.5


def excess_content(outcome):
    """Counts above thresholds as JSON, the most surprising first."""
    counts = sorted(outcome.counts, key=lambda count: count.local_p)
    return [vars(count) | {"z": shown_z(count.local_p)} for count in counts]


def answer(content):
    """One sentence."""
    of = global_words(content).split(" (")[0]
    p, tests = content["global_p"], content["tests"]
    if p > HINT:
        few = "too few pseudo-experiments to tell (--pseudo)"
        return f"{few if content['global_p_is_limit'] else 'nothing'}: {of}"
    name = min(tests, key=lambda test: tests[test]["p"])
    what = {
        "shape": "data differ from the simulation",
        "tail": "data differ from the simulation in a corner",
        "excess": excess_words(content["excess"][0]) if content["excess"] else "",
        "bump": "a bump in " + min(content["bump"], key=lambda m: content["bump"][m]["local_p"])
        if content["bump"]
        else "",
    }[name]
    size = "" if p <= EVIDENCE or content["global_p_is_limit"] else "a hint, "
    return f"{size}{what}: {of}"


def excess_words(count):
    """A count in a few words."""
    where = f"an excess in {count['region']}"
    return where + (f" by {count['detector']}" if count["detector"] else "")


def told(content):
    """What anything.json says, in lines of 80 columns."""
    injected = ", ".join(f"{n:g} of {s}" for s, n in content["injected"].items())
    lines = [
        f"{f'Pseudo-data with {injected}' if injected else 'Data'} against simulation in "
        f"{', '.join(content['regions'])}",
        f"scores: {', '.join(content['detectors'])}",
        f"{content['pseudo']} pseudo-experiments; systematic uncertainties are fitted in each",
        "",
    ]
    trials = content["trials"]
    rows = [
        (test["label"], f"{trials.get(name, 1)}", f"{test['p']:.2g}", f"{test['z']:.1f}")
        for name, test in content["tests"].items()
    ]
    lines += console.table(("test", "trials", "p", "sigma"), rows, console.width())
    lines.append(f"together: {global_words(content)}")
    lines += ["", "Counts above thresholds, most surprising first, p of this one alone"]
    rows = [
        (
            count["region"],
            count["detector"] or "all events",
            f"{count['share']:.2g}",
            f"{count['data']:.0f}",
            f"{count['background']:.1f} +- {count['error']:.1f}",
            f"{count['local_p']:.2g}",
        )
        for count in content["excess"][:SHOWN_COUNTS]
    ]
    heads = ("region", "score", "share", "data", "expected", "p")
    lines += console.table(heads, rows, console.width())
    lines += ["", "Bumps, p of this one alone"]
    for mass, bump in content["bump"].items():
        where = bump["region"] + (f", {bump['detector']}" if bump["detector"] else "")
        lines.append(f"{mass}: {where}, {place_words(bump)}")
        lines.append(f"  {window_words(bump)}, p = {bump['local_p']:.2g}")
    lines += event_lines(content["events"][:SHOWN_EVENTS], content["effective_events"])
    return [*lines, "", *note_lines(content["notes"])] if content["notes"] else lines


def event_lines(events, effective):
    """The most anomalous events in lines; effective: number of simulated events in the region."""
    if not events:
        return []
    detector = next(iter(events[0]["scores"]))
    lines = ["", f"Most anomalous events by {detector}, p: share of the background as odd"]
    for event in events:
        score, found = event["scores"][detector], event["objects"]
        lines.append(
            f"run {event['RunNumber']} event {event['EventNumber']}: score {score['score']:.3g}, "
            f"p {p_text(score['p'], effective)} ({score['events']} simulated)"
        )
        if found:
            lines.append(f"  {object_words(found)}"[:80])
        cells = ", ".join(f"{cell['name']} {cell['value']:.4g}" for cell in event["cells"][:3])
        lines.append(f"  by {event['cells_from']}: {cells}"[:80])
    return lines


def object_words(found):
    """The objects of an event in words, momenta in GeV."""
    words = [
        f"{one['flavour']}{'+' if one['charge'] > 0 else '-'}({one['pt']:.0f})"
        for one in found["leptons"]
    ]
    bottoms = sum(jet["b"] for jet in found["jets"])
    words.append(f"{len(found['jets'])} jets" + (f" ({bottoms} b)" if bottoms else ""))
    return f"{', '.join(words)}, ETmiss {found['met']:.0f} GeV"


def calibrate(options):
    """Write anything_calibration.json: p-values of data sets taken out of the simulation.

    They hold no signal, and are of a share of the luminosity, see `thin`. Each is judged by the
    pseudo-experiments of a simulation that has lost as many events.
    """
    results = Results(options.folder)
    search, _, notes = whole_search(
        results, options.region, options.detector, options.mass, SHARES, options
    )
    seed, processes = options.seed, options.processes
    thinned, luminosity = thin(search.intensity)
    search = replace(search, intensity=thinned)
    pseudo = pseudo_statistics(search, options.pseudo, seed, processes, taken=True)
    found = taken_statistics(search, options.calibrate, seed, processes)
    combined = [combine(one, pseudo) for one in found]
    p_values = {
        name: [float(one.p_values[place]) for one in combined] for place, name in enumerate(TESTS)
    }
    p_values["global"] = [one.p_value for one in combined]
    uniform = {name: float(kstest(values, "uniform").pvalue) for name, values in p_values.items()}
    content = {
        "regions": search.pool.regions,
        "detectors": list(search.pool.scores),
        "data_sets": options.calibrate,
        "luminosity_share": luminosity,
        "pseudo": options.pseudo,
        "seed": seed,
        "p_values": p_values,
        "uniform_p": uniform,
        "notes": notes,
    }
    path = write_result(results, options.name, "anything_calibration", options.words, content)
    print(f"p-values of {options.calibrate} data sets without signal, taken out of the simulation,")
    print(f"at {luminosity:.2g} of the luminosity")
    print(f"{'test':8} {'below 0.05':>10} {'below 0.5':>10} {'uniform: p':>11}")
    for name, values in p_values.items():
        shares = [np.mean(np.array(values) <= level) for level in (0.05, 0.5)]
        print(f"{name:8} {shares[0]:10.3f} {shares[1]:10.3f} {uniform[name]:11.2g}")
    print(f"\nwritten to {path}")
