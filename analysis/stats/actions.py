"""What the commands about models do: read, compute, write, and print a table."""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from analysis.errors import InputError, listed
from analysis.files import checksum, write_json
from analysis.output import RUN
from analysis.results import Results
from analysis.samples import choose
from analysis.stats import discovery, fit, limits, plane, tables, visible, workspaces
from analysis.stats.backgrounds import choose_normalisations
from analysis.stats.expectation import Channel, Choice, data_in, known_systematics
from analysis.stats.hypotheses import Hypotheses
from analysis.stats.model import make_model, signals_of, workspace
from analysis.stats.observable import observable_of
from analysis.stats.overlap import check_disjoint
from analysis.stats.result import heading, plain, stats_folder, write_result

AGAIN = "make it again with python -m analysis.stats workspace"


def say(text):
    """A line on stderr about what is not as it should be."""
    print("m3l:", text, file=sys.stderr, flush=True)


def make_channels(results, options):
    """The Channels that the options of the command line ask for. Raises InputError."""
    observable = observable_of(
        results,
        None if options.count else options.feature,
        None if options.count else options.detector,
    )
    control = observable_of(results, options.control_feature)
    has_data = any(sample.kind == "data" for sample in results.samples)
    if not has_data:
        say("the run has no data: the expectation is taken for it, and results are expected ones")
    channels = []
    for name in results.choose_regions(options.region):
        region = results.regions[name]
        signal = region.role == "signal"
        chosen = observable if signal else control
        choice = Choice(options.edges, options.bins) if signal else Choice()
        blind = is_blind(results, name, options.unblind)
        edges = choice.edges_of(results, name, chosen)
        channels.append(Channel(name, region.role, chosen, edges, blind or not has_data))
    if not any(channel.role == "signal" for channel in channels):
        raise InputError("no region of role signal among those of -r: a search needs one")
    return channels


def is_blind(results, name, unblind):
    """Whether the data of a region, a name, may not be used.

    unblind: whether it was asked for. Raises InputError where the run has none.
    """
    region = results.regions[name]
    if unblind and region.blind:
        raise InputError(
            f"{results.folder} has no data of the blind region '{name}': run_rdf.py --unblind"
        )
    return region.blind or (region.declared_blind and not unblind)


def make_workspaces(options):
    """Write the workspaces and the model of OUT/stats/<name>, and print the yields."""
    results = Results(options.folder)
    results.keep(options.sample)
    folder = stats_folder(results.folder, options.name)
    channels = make_channels(results, options)
    check_disjoint(results, [channel.region for channel in channels])
    signals = signals_of(results, options.signal)
    if not signals:
        say("the run has no signal: only the workspace of background is written")
    processes = [p.name for p in results.processes if p.kind == "background"]
    factors = dict(options.normalisation)
    choose(list(factors), [*processes, *(s.name for s in signals)], "simulated process of this run")
    normalisations = choose_normalisations(
        None if options.norm is None else [w for w in options.norm if w != "none"],
        [channel.region for channel in channels if channel.role != "validation"],
        processes,
    )
    names = options.systematic
    systematics = known_systematics(results, () if names == ["none"] else names)
    model = make_model(results, channels, signals, normalisations, systematics, factors, say)
    for signal in (None, *signals):
        path = workspaces.workspace_path(folder, signal and signal.name)
        made = workspace(model, signal)
        workspaces.build(made, path, poi=signal is not None)
        workspaces.write_workspace(path, made)
    content = workspaces.model_content(model)
    write_result(results, options.name, "model", options.words, content)
    print(tables.yields_table(model))
    print(f"{folder}: {len(signals)} signal{'s' * (len(signals) != 1)}")


# --- what is there already --------------------------------------------------------------------


@dataclass(frozen=True)
class Analysis:
    """A statistical analysis of a run, OUT/stats/<name>, as `workspace` left it."""

    results: Results
    folder: Path
    content: dict  # of model.json

    @property
    def channels(self):
        """{region: what model.json says about it}."""
        return {channel["region"]: channel for channel in self.content["channels"]}

    def of_role(self, *roles):
        """Names of the regions with these roles."""
        return [name for name, channel in self.channels.items() if channel["role"] in roles]

    @property
    def blind(self):
        """Names of the fitted regions whose data is expectation."""
        fitted = self.of_role("signal", "control")
        return [name for name in fitted if self.channels[name]["asimov"]]

    def read(self, signal=None):
        """The workspace of a signal, a name, or of background alone; and its path."""
        path = workspaces.workspace_path(self.folder, signal)
        return workspaces.read_workspace(path, AGAIN), path

    def choose_signals(self, names):
        """Names of signals, all if none are given. Raises InputError, DeclarationError."""
        signals = self.content["signals"]
        if not signals:
            raise InputError(
                f"{self.folder} has no signal: run with samples of kind signal, then {AGAIN}"
            )
        return choose(names, signals, "signal of this analysis")


def open_analysis(options):
    """The Analysis that the options name. Raises InputError where there is none of this run."""
    results = Results(options.folder)
    folder = stats_folder(results.folder, options.name)
    content = workspaces.read_model(folder)
    if content["run"]["sha256"] != checksum(results.folder / RUN):
        raise InputError(f"{folder} is of another run than {results.folder / RUN}: {AGAIN}")
    return Analysis(results, folder, content)


def hypotheses_of(analysis, signal):
    """The Hypotheses about a signal, a name, of an Analysis."""
    content, path = analysis.read(signal)
    model, data = workspaces.build(content, path)
    return Hypotheses(model, data, str(path), analysis.blind, analysis.of_role("signal"))


def foreign(options):
    """The Hypotheses about the workspace of another program, and its name. Raises InputError."""
    path = Path(options.workspace)
    if not options.into:
        raise InputError("--workspace needs a folder for the results: -o DIR")
    content = workspaces.read_workspace(path, "give the file of a HistFactory workspace")
    model, data = workspaces.build(content, path)
    return Hypotheses(model, data, str(path)), path.stem


def subjects(options):
    """Yield (name, Hypotheses, cross-section in pb or None, asimov) of what was asked for.

    Raises InputError.
    """
    if options.workspace:
        hypotheses, name = foreign(options)
        yield name, hypotheses, None, False
        return
    if not options.folder:
        raise InputError("give the folder of a run, OUT, or --workspace FILE and -o DIR")
    analysis = open_analysis(options)
    asimov = bool(set(analysis.blind) & set(analysis.of_role("signal")))
    for name in analysis.choose_signals(options.signal):
        size = analysis.content["signals"][name]["cross_section_pb"]
        yield name, hypotheses_of(analysis, name), size, asimov


def write(options, kind, content):
    """Write <kind>.json, beside the workspaces or where -o says."""
    if getattr(options, "workspace", None):
        path = Path(options.into) / f"{kind}.json"
        write_json(path, heading(kind, options.words) | content)
        return
    results = Results(options.folder)
    of = workspaces.workspace_path(stats_folder(results.folder, options.name))
    of = {"workspace": checksum(of)} if of.is_file() else {}
    write_result(results, options.name, kind, options.words, of | content)


# --- fit --------------------------------------------------------------------------------------


def fit_regions(options):
    """Fit control regions, or all, and write what is expected in every region after it."""
    analysis = open_analysis(options)
    signal = analysis.choose_signals([options.signal])[0] if options.signal else None
    content, path = analysis.read(signal)
    fitted = analysis.of_role(*(("control", "signal") if options.all else ("control",)))
    if not fitted:
        raise InputError(f"{path} has no control regions to fit: fit all regions with --all")
    if blind := [name for name in fitted if name in analysis.blind]:
        say(f"{listed(blind)} is blind: fitted is the expectation in its place")
    part = content | {
        key: [entry for entry in content[key] if entry["name"] in fitted]
        for key in ("channels", "observations")
    }
    model, data = workspaces.build(part, path, poi=False)
    found = fit.fit(model, data, listed(fitted))
    if found.at_bounds:
        say(f"{listed(found.at_bounds)} is at the end of its range: its error means little")
    # All regions, fitted or not.
    more = analysis.content["validation"]
    every = content | {key: content[key] + more[key] for key in ("channels", "observations")}
    full, _ = workspaces.build(every, path, poi=False)
    before, after = fit.predict(full), fit.predict(full, found)
    factors = {p.name: p for p in found.parameters if p.kind == "norm"}
    labels, matrix = found.correlation
    result = {
        "signal": signal,
        "fitted": fitted,
        "parameters": [vars(parameter) for parameter in found.parameters],
        "correlation": {"names": labels, "matrix": matrix.tolist()},
        "normalisation": {
            process: {
                "value": factors[f"norm_{normalisation['name']}"].value,
                "error": factors[f"norm_{normalisation['name']}"].error,
            }
            for normalisation in analysis.content["normalisations"]
            for process in normalisation["processes"]
            if f"norm_{normalisation['name']}" in factors
        },
        "channels": [
            predicted_channel(channel, before[name], after[name])
            for name, channel in analysis.channels.items()
        ],
        "goodness": vars(found.goodness),
        "converged": True,
    }
    write(options, "fit", result)
    print(tables.fit_table(result))


def predicted_channel(about, before, after):
    """An entry of "channels" of fit.json; about: that of model.json; two Predictions."""
    keys = ("region", "role", "feature", "label", "unit", "edges", "data", "asimov")
    return {key: about[key] for key in keys} | {
        "samples": {
            name: {"prefit": values.tolist(), "postfit": after.samples[name].tolist()}
            for name, values in before.samples.items()
        },
        **{
            when: {
                "total": prediction.total.tolist(),
                "error": prediction.error.tolist(),
                "sum_error": prediction.sum_error,
            }
            for when, prediction in (("prefit", before), ("postfit", after))
        },
    }


# --- limits and significances -----------------------------------------------------------------


def set_limits(options):
    """Write the upper limits on the strengths of signals, and print them."""
    found = {}
    for name, hypotheses, size, asimov in subjects(options):
        limit = limits.upper_limit(hypotheses, options.toys, options.seed)
        found[name] = {
            "cross_section_pb": size,
            "expected": plain(limit.expected),
            "observed": None if asimov else limit.observed,
            "asimov": asimov,
            "method": limit.method,
            "background_that_decides": limit.sensitive,
            "scan": {
                "mu": plain(limit.strengths),
                "cls_observed": None if asimov else plain(limit.cls_observed),
                "cls_expected": plain(limit.cls_expected.T),
            },
        }
    write(options, "limit", {"confidence": 1 - limits.ALPHA, "signals": found})
    print(tables.limit_table(found))


def find_significances(options):
    """Write the significances of signals, and the cross-sections that would be seen."""
    found = {}
    for name, hypotheses, size, asimov in subjects(options):
        one = discovery.discover(hypotheses, options.toys, options.seed)
        strengths = {"3": one.strength_3_sigma, "5": one.strength_5_sigma}
        found[name] = {
            "expected": {"p0": one.p0_expected, "z": one.expected},
            "observed": None if asimov else {"p0": one.p0_observed, "z": one.observed},
            "asimov": asimov,
            "asimov_z": one.asimov,
            "method": one.method,
            "background_that_decides": one.sensitive,
            **{f"strength_{n}_sigma": strength for n, strength in strengths.items()},
            **{
                f"cross_section_{n}_sigma_pb": None if size is None else strength * size
                for n, strength in strengths.items()
            },
        }
    write(options, "significance", {"signals": found})
    print(tables.significance_table(found))


def interpolate_limits(options):
    """Write limits between the signals of limit.json."""
    analysis = open_analysis(options)
    content = workspaces.read_result(analysis.folder, "limit")["signals"]
    places = plane.place_signals(content, dict(options.point), options.signal)
    points = [
        plane.Point(name, masses, content[name]["observed"], tuple(content[name]["expected"]))
        for name, masses in places.items()
    ]
    x, y, values = plane.interpolate(points)
    labels = plane.axis_labels(points[0].signal)
    two = len(points[0].masses) == 2
    labels = [*labels[: 1 + two], "x", "y"]
    result = {
        "x": options.x_label or labels[0],
        "y": (options.y_label or labels[1]) if two else None,
        "points": [
            {
                "signal": point.signal,
                "x": point.masses[0],
                "y": point.masses[1] if two else None,
                "observed": point.observed,
                "expected": list(point.expected),
            }
            for point in points
        ],
        "grid": {
            "x": x.tolist(),
            "y": y.tolist(),
            "observed": None if np.all(np.isnan(values[0])) else plain(values[0]),
            "expected": plain(values[1:]),
        },
        "crossings": None
        if two
        else {
            "observed": plane.crossings(x, values[0, 0]),
            "expected": plane.crossings(x, values[3, 0]),
        },
    }
    write(options, "plane", result)
    print(tables.plane_table(result))


def limit_visible(options):
    """Write limits on the visible cross-section in regions, each counted alone."""
    results = Results(options.folder)
    observable = observable_of(results, options.feature, options.detector)
    if options.threshold and observable.kind == "count":
        raise InputError("--threshold needs an observable: -f FEATURE or --detector NAME")
    fitted = None
    if options.fit:
        if options.threshold:
            raise InputError("--fit has no threshold: leave out --fit or --threshold")
        content = workspaces.read_result(open_analysis(options).folder, "fit")
        fitted = {channel["region"]: channel["postfit"] for channel in content["channels"]}
    names = options.systematic
    systematics = known_systematics(results, () if names == ["none"] else names)
    luminosity = results.luminosity
    found = {}
    for name in results.choose_regions(options.region):
        asimov = is_blind(results, name, options.unblind)
        if fitted is not None and name not in fitted:
            raise InputError(f"fit.json has no region '{name}': make workspace and fit with it")
        for threshold in options.threshold or [None]:
            role = results.regions[name].role
            channel = visible.threshold_channel(name, role, observable, threshold, asimov)
            title = name if threshold is None else f"{name}.{observable.name}.{threshold:g}"
            if fitted is not None:
                total = sum(fitted[name]["total"])
                background = visible.Background(total, fitted[name]["sum_error"])
            else:
                factors = dict(options.normalisation)
                background = visible.counted(results, channel, -1, systematics, factors, say)
            data = None if asimov else data_in(results, channel)
            one = visible.visible(
                background, None if data is None else float(data[-1]), title, options.toys
            )
            per_luminosity = one.s95_expected / luminosity if luminosity else np.full(5, np.nan)
            found[title] = {
                "threshold": threshold,
                "observed": one.observed,
                "background": background.events,
                "error": background.error,
                "s95_observed": one.s95_observed,
                "s95_expected": plain(one.s95_expected),
                "visible_fb_observed": plain(one.s95_observed / luminosity)
                if one.s95_observed and luminosity
                else None,
                "visible_fb_expected": plain(per_luminosity),
                "p0": one.p0,
                "z": one.z,
                "method": one.method,
            }
    write(options, "visible", {"regions": found})
    print(tables.visible_table(found))
