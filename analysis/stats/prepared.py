"""Searches of a run, as the command line asks for them."""

from analysis.errors import DeclarationError, InputError, listed, near_miss
from analysis.output import DEFAULT_DETECTOR
from analysis.rivals import possible_rivals
from analysis.samples import choose
from analysis.scored import detectors_in, detectors_shown
from analysis.stats.event_pool import (
    MET,
    choose_masses,
    choose_searched,
    fit_cells,
    fit_columns,
    read_pool,
)
from analysis.stats.excess import rank
from analysis.stats.nuisances import nuisances_of
from analysis.stats.pseudo import intensity_of
from analysis.stats.search import Search
from analysis.stats.two_sample import classifier_of
from analysis.stats.windows import mass_of


def looks_at_data(options):
    """Whether the data of the run are searched, not pseudo-data, which blind regions allow."""
    return not options.inject and not getattr(options, "calibrate", None)


def regions_and_signals(results, options, regions):
    """(regions, {signal: events}, notes) that the options ask for.

    Raises InputError or DeclarationError.
    """
    signals = dict(options.inject or ())
    if signals:
        known = [s.name for s in results.samples if s.kind == "signal"]
        choose(list(signals), known, "signal of this run")
    if looks_at_data(options):
        chosen, notes = choose_searched(results, regions, options.unblind)
        return chosen, signals, notes
    named = regions or [name for name, r in results.regions.items() if r.role == "signal"]
    return results.choose_regions(named), signals, []


def bump_search(results, region, detector, masses, shares, threshold, options):
    """The (Search, {signal: events}, notes) of `bump`: one region, one detector or None.

    Raises InputError or DeclarationError.
    """
    (region,), signals, _ = regions_and_signals(results, options, [region])
    masses = choose_masses(results, masses)
    known = detectors_in(results.folder)
    if detector is not None and detector not in known:
        raise _no_detector(results, detector, known)
    columns = list(dict.fromkeys([*masses, *fit_columns(results)]))
    detectors = [detector] if detector else []
    data = looks_at_data(options)
    pool = read_pool(results, [region], detectors, (), columns, tuple(signals), data)
    score = pool.scores[detector] if detector else pool.weight
    search, notes = _search(
        results,
        pool,
        counted={},
        hunted={(0, detector): rank(pool, 0, score)},
        masses=masses,
        shares=shares,
        threshold=threshold,
        classifier=None,
        tests=("bump",),
    )
    return search, signals, notes


def whole_search(results, regions, detectors, masses, shares, options):
    """The (Search, {signal: events}, notes) of `anything`: all regions, scores and masses.

    Without names of detectors, the one that is shown and the simple cuts.
    Raises InputError or DeclarationError.
    """
    regions, signals, notes = regions_and_signals(results, options, regions)
    masses = choose_masses(results, masses)
    scored, rivals = _scores(results, detectors)
    if not scored and not rivals:
        raise InputError(
            f"no scores in {results.folder}, and no columns for simple cuts: python -m ml score "
            f"{results.folder}"
        )
    features = [
        f.name for f in results.features.values() if f.network and (f.cell is None or f.name == MET)
    ]
    columns = list(dict.fromkeys([*features, *masses, *fit_columns(results)]))
    data = looks_at_data(options)
    pool = read_pool(results, regions, scored, rivals, columns, tuple(signals), data)
    if not scored:
        notes.append("no detector has scored the run: only the simple cuts are looked at")
    places = range(len(pool.regions))
    counted = {
        (n, name): rank(pool, n, score) for n in places for name, score in pool.scores.items()
    }
    hunted = {(n, None): rank(pool, n, pool.weight) for n in places}
    # Not above the simple cuts: most are so much like a mass that they make bumps of their own.
    hunted |= {(n, name): counted[n, name] for n in places for name in scored}
    tests = ("shape", "tail", "excess", "bump")
    classifier = classifier_of(pool, features)
    search, more = _search(results, pool, counted, hunted, masses, shares, None, classifier, tests)
    return search, signals, [*notes, *more]


def _search(results, pool, counted, hunted, masses, shares, threshold, classifier, tests):
    """(Search, notes)."""
    nuisances, notes = nuisances_of(results, pool)
    search = Search(
        pool,
        intensity_of(pool),
        nuisances,
        fit_cells(pool),
        counted,
        hunted,
        tuple(mass_of(results.features[name], pool.columns[name]) for name in masses),
        shares,
        threshold,
        classifier,
        tests,
    )
    return search, notes


def default_detector(results):
    """The detector that is shown where nobody names another. Raises InputError without any."""
    shown = detectors_shown(results.folder)
    if not shown:
        raise InputError(f"no scores in {results.folder}: python -m ml score {results.folder}")
    return shown[0]


def _scores(results, names):
    """(detectors, simple cuts) of these names."""
    known = detectors_in(results.folder)
    cuts = [rival.name for rival in possible_rivals(results.features)]
    if not names:
        return ([default_detector(results)] if known else []), cuts
    for name in names:
        if name not in (*known, *cuts):
            raise _no_detector(results, name, [*known, *cuts])
    return [n for n in names if n in known], [n for n in names if n not in known]


def _no_detector(results, name, known):
    if not known:
        return InputError(f"no scores in {results.folder}: python -m ml score {results.folder}")
    return DeclarationError(
        f"no detector that has scored {results.folder} is called '{name}'"
        f"{near_miss(name, known)} (known: {listed(known, 12)}, default {DEFAULT_DETECTOR})"
    )
