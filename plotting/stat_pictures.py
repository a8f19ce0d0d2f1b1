"""What statistical analyses found, as pictures."""

from functools import partial

import numpy as np
import pandas as pd

from analysis.errors import InputError
from analysis.output import STATS
from analysis.performance import bin_significance
from analysis.processes import coloured
from analysis.processes import process as process_of
from analysis.stats_files import read_statistics
from analysis.systematics import SYSTEMATICS
from plotting import stat_tables
from plotting.draw_abcd import draw_closure, draw_corners
from plotting.draw_fit import draw_correlations, draw_factors, draw_pulls
from plotting.draw_limits import (
    draw_limits,
    draw_mass_limits,
    draw_plane,
    draw_scan,
    draw_significance,
)
from plotting.draw_scores import draw_ranking
from plotting.draw_stack import draw_stack
from plotting.draw_surprises import FILL, draw_bump, draw_calibration, draw_p_values, draw_statistic
from plotting.intervals import poisson_interval
from plotting.save import Drawn, save_drawn
from plotting.stack import FLAVOURS, Layer, Stack
from plotting.yields import plain_text

ROWS = 40  # of a picture of parameters
MOST_CORRELATED = 30  # parameters in the picture of correlations
EXCESSES = 12  # shown of the many that were looked at
WHEN = {"prefit": "before the fit", "postfit": "after the fit"}


def statistics(options, name, kinds):
    """Draw and tell what an analysis found, of some kinds; returns the files."""
    contents, lines = read_statistics(options.results.folder, name)
    for line in lines:
        print(line)
    chosen = {kind: content for kind, content in contents.items() if kind in kinds}
    if not chosen:
        raise InputError(
            f"{options.results.folder / STATS / name} holds no {listed_kinds(kinds)} of this run: "
            f"python -m analysis.stats --help"
        )
    for table in stat_tables.make_tables(options.results, chosen):
        print("\n".join(stat_tables.as_text(table)), end="\n\n")
    written = []
    for drawn in stat_pictures(options, name, chosen):
        written += save_drawn(drawn, options.folder / STATS / name, options.formats)
    return written


def listed_kinds(kinds):
    """Kinds of results for a sentence."""
    return kinds[0] if len(kinds) == 1 else f"{', '.join(kinds[:-1])} or {kinds[-1]}"


def stat_pictures(options, name, contents):
    """Yield the pictures of an analysis, from {kind: content}."""
    for kind, draw in DRAWN.items():
        if kind in contents:
            made = partial(Drawn, group=kind)
            yield from draw(options, name, contents[kind], contents, made)


def seen_name(asimov):
    """What data are called in a legend."""
    return "Asimov data" if asimov else "Observed"


def label_of(results, name):
    """LaTeX of a signal or of another process, its name where it has none."""
    found = [process.label for process in results.processes if process.name == name]
    return found[0] if found else name.replace("_", " ")


# --- fit --------------------------------------------------------------------------------------


def fit_pictures(options, name, content, contents, made):
    """Yield the pictures of fit.json."""
    results = options.results
    channels = content["channels"]
    single = [channel for channel in channels if len(channel["edges"]) == 2]
    drawn = {} if len(single) < 2 else {"yields": single}
    drawn |= {c["region"]: [c] for c in channels if len(single) < 2 or len(c["edges"]) > 2}
    for region, parts in drawn.items():
        for when, words in WHEN.items():
            stack = fit_stack(results, parts, when)
            figure = draw_stack(stack, log=options.log, caption=options.caption)
            title = f"{'All regions' if region == 'yields' else region}, {words}"
            text = f"Data and the model in {', '.join(p['region'] for p in parts)}, {words}"
            numbers = stack_numbers(stack, results.processes)
            if stack.data is not None and len(parts) > 1:
                hidden = [part["data"] is None for part in parts]
                numbers.loc[hidden, ["data", "data_low", "data_high"]] = np.nan
            yield made(f"fit_{region}_{when}", title, figure, text, numbers=numbers)
    labels = parameter_labels(results)
    labels |= {p["name"]: parameter_label(p) for p in content["parameters"] if p["kind"] in FREE}
    yield from parameter_pictures(options, name, content, labels, made)


def fit_stack(results, channels, when):
    """The Stack of a channel, or of several with a bin each, before or after the fit."""
    several = len(channels) > 1
    first = channels[0]
    edges = np.arange(len(channels) + 1.0) if several else np.array(first["edges"], float)
    one_bin = len(edges) == 2 and not several

    def joined(values):
        return np.concatenate([np.asarray(values(channel), float) for channel in channels])

    total, error = (joined(lambda c, k=key: c[when][k]) for key in ("total", "error"))
    layers, signals = [], []
    names = list(dict.fromkeys(n for channel in channels for n in channel["samples"]))
    declared = [process.name for process in results.processes]
    others = [name for name in names if name not in declared]
    known = coloured([*results.processes, *(process_of(n, "background") for n in others)])
    known = [process for process in known if process.name in names]
    for process in known:
        zeros = [0.0] * (1 if several else len(edges) - 1)
        sums = joined(lambda c, n=process.name, z=zeros: c["samples"].get(n, {when: z})[when])
        layer = Layer(process.label, process.colour, sums, 0 * sums, float(sums.sum()))
        (signals if process.kind == "signal" else layers).append(layer)
    # A model with a signal is their sum.
    if signals and np.allclose(sum(x.sumw for x in [*layers, *signals]), total, rtol=1e-3):
        layers, signals = [*signals, *layers], []
    hidden = [channel["region"] for channel in channels if channel["data"] is None]
    data = None
    if len(hidden) < len(channels):
        data = joined(lambda c: [0.0] if c["data"] is None else c["data"])
    ticks = [channel["region"] for channel in channels] if several or one_bin else ()
    if not ticks and len(FLAVOURS.get(first["feature"], ())) == len(edges) - 1:
        ticks = FLAVOURS[first["feature"]]
    return Stack(
        region=WHEN[when].capitalize() if several else f"{first['region']}, {WHEN[when]}",
        feature=first["feature"],
        label="" if ticks and (several or one_bin) else first["label"],
        unit="" if several else first["unit"],
        edges=edges,
        layers=tuple(layers),
        signals=tuple(signals),
        data=data,
        events=0.0 if data is None else float(data.sum()),
        blind=data is None,
        ticks=tuple(ticks),
        notes=(f"{', '.join(hidden)}: data not drawn",) if hidden and data is not None else (),
        systematic=np.stack([error, error]),
        data_label="Asimov data" if any(channel["asimov"] for channel in channels) else "Data",
    )


def stack_numbers(stack, processes=()):
    """The numbers of a Stack whose errors are those of a model, not of single processes."""
    names = {process.label: process.name for process in processes}
    layers = (*stack.layers, *stack.signals)
    named = [(names.get(layer.label, layer.label), layer.sumw) for layer in layers]
    bins = {"low": stack.edges[:-1], "high": stack.edges[1:]}
    made = {"bin": stack.ticks} if stack.ticks else bins
    made = made | dict(named) | {"total": stack.total, "error": stack.systematic[0]}
    return pd.DataFrame(made | counted(stack.data))


def counted(data):
    """Columns of events of data and their Garwood interval; none for None."""
    if data is None:
        return {}
    low, high = poisson_interval(data)
    return {"data": data, "data_low": low, "data_high": high}


FREE = ("mu", "norm")  # kinds of parameters without a name that people know


def parameter_label(parameter):
    """LaTeX of a signal strength or of a normalisation factor."""
    if parameter["kind"] == "mu":
        return r"$\mu$"
    return f"Norm. of {parameter['name'].removeprefix('norm_').replace('_', ' ')}"


def parameter_pictures(options, name, content, labels, made):
    """Yield pictures of pulls, normalisation factors and correlations."""
    style = {"title": name, "caption": options.caption}
    pulls = {
        p["name"]: (p["pull"], p["constraint"])
        for p in content["parameters"]
        if p["kind"] == "systematic" and None not in (p["pull"], p["constraint"])
    }
    yield from fitted_pictures("fit", pulls, content["normalisation"], labels, style, made)
    names, matrix = content["correlation"]["names"], np.array(content["correlation"]["matrix"])
    if len(names) > 1:
        largest = np.abs(matrix - np.diag(np.diag(matrix))).max(axis=1)
        kept = np.sort(np.argsort(-largest, kind="stable")[:MOST_CORRELATED])
        named = [labels.get(names[k], names[k].replace("_", " ")) for k in kept]
        figure = draw_correlations(named, matrix[np.ix_(kept, kept)], **style)
        more = (
            f", the {len(kept)} most correlated of {len(names)}" if len(kept) < len(names) else ""
        )
        text = f"Correlations of the parameters of the fit{more}"
        title = f"Correlations{more}"
        kept_names = [names[k] for k in kept]
        numbers = pd.DataFrame(matrix[np.ix_(kept, kept)], columns=kept_names)
        numbers.insert(0, "parameter", kept_names)
        yield made("fit_correlations", title, figure, text, numbers=numbers)


def fitted_pictures(start, pulls, factors, labels, style, made):
    """Yield pictures of {parameter: (pull, error)} and {process: value and error}."""
    for first in range(0, len(pulls), ROWS):
        part = dict(list(pulls.items())[first : first + ROWS])
        named = [labels.get(n, n.replace("_", " ")) for n in part]
        figure = draw_pulls(named, *zip(*part.values(), strict=True), **style)
        number = f"_{first // ROWS + 1}" if first else ""
        text = f"Pulls and errors after the fit of {len(part)} systematic uncertainties"
        numbers = pd.DataFrame(part.values(), columns=["pull", "error"])
        numbers.insert(0, "parameter", list(part))
        yield made(f"{start}_pulls{number}", "Pulls", figure, text, numbers=numbers)
    if factors:
        columns = zip(*((f["value"], f["error"]) for f in factors.values()), strict=True)
        figure = draw_factors([labels.get(n, n) for n in factors], *columns, **style)
        text = f"Normalisation factors of {', '.join(factors)}"
        title = "Normalisation factors"
        rows = [(n, f["value"], f["error"]) for n, f in factors.items()]
        numbers = pd.DataFrame(rows, columns=["process", "factor", "error"])
        yield made(f"{start}_normalisation", title, figure, text, numbers=numbers)


def parameter_labels(results):
    """{process or systematic uncertainty: LaTeX}."""
    labels = {p.name: p.label for p in results.processes}
    return labels | {s.name: s.label for s in (*SYSTEMATICS, *results.systematics)}


def nuisance_pictures(options, start, content, title, made):
    """Yield pictures of what a search fitted before it looked."""
    pulls = {n: (p["value"], p["error"]) for n, p in content.get("nuisances", {}).items()}
    labels = parameter_labels(options.results)
    style = {"title": title, "caption": options.caption}
    yield from fitted_pictures(start, pulls, content["normalisation"], labels, style, made)


# --- limits -----------------------------------------------------------------------------------


def limit_pictures(options, name, content, contents, made):
    """Yield the pictures of limit.json."""
    signals = content["signals"]
    seen = seen_name(any(s["asimov"] for s in signals.values()))
    if signals:
        labels = [label_of(options.results, signal) for signal in signals]
        rows = [(s["expected"], s["observed"]) for s in signals.values()]
        panels = [(r"Upper limit on $\mu$", rows, [1.0] * len(rows), "Prediction")]
        sizes = [s["cross_section_pb"] for s in signals.values()]
        if None not in sizes:
            scaled = [scale_row(row, size) for row, size in zip(rows, sizes, strict=True)]
            panels.append((r"Upper limit on $\sigma$ [pb]", scaled, sizes, "Prediction"))
        style = {"title": name, "caption": options.caption, "seen": seen}
        figure = draw_limits(labels, panels, **style)
        text = f"Upper limits at 95 % on {', '.join(signals)}"
        columns = {"signal": list(signals), **limit_numbers("mu", rows)}
        if len(panels) > 1:
            columns |= {**limit_numbers("pb", scaled), "pb_prediction": sizes}
        yield made("limits", "Upper limits", figure, text, numbers=pd.DataFrame(columns))
    for signal, found in signals.items():
        scan = found["scan"]
        if scan is None or len(scan["mu"]) < 2:
            continue
        observed = scan["cls_observed"]
        figure = draw_scan(
            np.array(scan["mu"]),
            np.array(scan["cls_expected"], float),
            None if observed is None else np.array(observed, float),
            (found["expected"][2], found["observed"]),
            seen=seen_name(found["asimov"]),
            title=f"{name}, {label_of(options.results, signal)}",
            caption=options.caption,
        )
        text = f"CLs against the signal strength of {signal}"
        seen = observed or [None] * len(scan["mu"])
        rows = list(zip(np.transpose(scan["cls_expected"]), seen, strict=True))
        numbers = pd.DataFrame({"mu": scan["mu"], **limit_numbers("cls", rows)})
        yield made(f"limit_{signal}", f"CLs, {signal}", figure, text, numbers=numbers)


BAND_NAMES = ("minus_2_sigma", "minus_1_sigma", "median", "plus_1_sigma", "plus_2_sigma")


def limit_numbers(start, rows):
    """{column: (rows,)} of pairs of five expected values and the observed one, None: unknown."""
    expected = np.array([row[0] for row in rows], float).reshape(-1, 5)
    made = {
        f"{start}_expected_{name}": column
        for name, column in zip(BAND_NAMES, expected.T, strict=True)
    }
    return made | {f"{start}_observed": np.array([row[1] for row in rows], float)}


def scale_row(row, factor):
    """Five expected limits and the observed one, times a factor; None stays."""
    expected, observed = row
    times = [None if value is None else value * factor for value in (*expected, observed)]
    return times[:5], times[5]


SEEN = ("expected", "observed")


def significance_pictures(options, name, content, contents, made):
    """Yield the picture of significance.json."""
    signals = content["signals"]
    if signals:
        figure = draw_significance(
            [label_of(options.results, signal) for signal in signals],
            [s["expected"]["z"] for s in signals.values()],
            [s["observed"] and s["observed"]["z"] for s in signals.values()],
            title=name,
            caption=options.caption,
        )
        text = f"Discovery significances of {', '.join(signals)}"
        numbers = pd.DataFrame(
            [
                (name, *(s[which] and s[which][key] for which in SEEN for key in ("z", "p0")))
                for name, s in signals.items()
            ],
            columns=["signal", *(f"{which}_{key}" for which in SEEN for key in ("z", "p0"))],
        )
        yield made("significance", "Significances", figure, text, numbers=numbers)


def plane_pictures(options, name, content, contents, made):
    """Yield the picture of plane.json: the plane, or limits against one mass."""
    limits = contents.get("limit", {"signals": {}})["signals"]
    points = content["points"]
    seen = seen_name(any(limits[p["signal"]]["asimov"] for p in points if p["signal"] in limits))
    style = {"title": name, "caption": options.caption, "seen": seen}
    ys = {point["y"] for point in points}
    if content["y"] is None or len(ys) == 1:
        ordered = sorted(points, key=lambda point: point["x"])
        rows = [(point["expected"], point["observed"]) for point in ordered]
        sizes = [limits.get(p["signal"], {}).get("cross_section_pb") for p in ordered]
        axis = r"Upper limit on $\sigma$ [pb]"
        if None in sizes:
            sizes, axis = [1.0] * len(rows), r"Upper limit on $\mu$"
        else:
            rows = [scale_row(row, size) for row, size in zip(rows, sizes, strict=True)]
        x = [point["x"] for point in ordered]
        figure = draw_mass_limits(x, rows, sizes, (content["x"], axis), **style)
        text = f"Upper limits against the mass for {len(points)} signals"
        start = "mu" if axis.endswith(r"$\mu$") else "pb"
        numbers = pd.DataFrame(
            {
                "signal": [point["signal"] for point in ordered],
                "x": x,
                **limit_numbers(start, rows),
                f"{start}_prediction": sizes,
            }
        )
        yield made("plane", "Limits against the mass", figure, text, numbers=numbers)
        return
    grid = content["grid"]
    if grid is not None and min(len(grid["x"]), len(grid["y"])) < 2:
        grid = None
    if grid is not None:
        observed = None if grid["observed"] is None else np.array(grid["observed"], float)
        expected = np.array(grid["expected"], float)
        grid = np.array(grid["x"]), np.array(grid["y"]), observed, expected
    marked = [(p["x"], p["y"], is_excluded(p)) for p in points]
    figure = draw_plane(marked, grid, (content["x"], content["y"]), **style)
    text = (
        f"Excluded part of the plane of masses; {sum(bool(m[2]) for m in marked)} of {len(marked)} "
        "simulated signals are excluded"
    )
    numbers = pd.DataFrame(
        {
            "signal": [point["signal"] for point in points],
            "x": [point["x"] for point in points],
            "y": [point["y"] for point in points],
            **limit_numbers("mu", [(point["expected"], point["observed"]) for point in points]),
            "excluded": [bool(excluded) for *_, excluded in marked],
        }
    )
    yield made("plane", "Excluded masses", figure, text, numbers=numbers)


def is_excluded(point):
    """Whether a point of plane.json is, by the data or else expected to be."""
    limit = point["expected"][2] if point["observed"] is None else point["observed"]
    return limit is not None and limit < 1


def visible_pictures(options, name, content, contents, made):
    """Yield the picture of visible.json."""
    regions = content["regions"]
    if not regions:
        return
    none = [None] * len(regions)
    panels = [
        (axis, [(r[f"{key}_expected"], r[f"{key}_observed"]) for r in regions.values()], none, "")
        for key, axis in (
            ("s95", "Upper limit on signal events"),
            ("visible_fb", r"Upper limit on $\sigma_{\mathrm{vis}}$ [fb]"),
        )
    ]
    figure = draw_limits(list(regions), panels, title=name, caption=options.caption)
    text = f"Upper limits at 95 % on the visible cross-section in {', '.join(regions)}"
    columns = {"region": list(regions)}
    for key, (_, rows, *_) in zip(("s95", "visible_fb"), panels, strict=True):
        columns |= limit_numbers(key, rows)
    numbers = pd.DataFrame(columns)
    yield made("visible", "Visible cross-sections", figure, text, numbers=numbers)


# --- surprises --------------------------------------------------------------------------------


def abcd_pictures(options, name, content, contents, made):
    """Yield the pictures of abcd.json."""
    region, caption = content["region"], options.caption
    figure = draw_corners(content, title=region, caption=caption)
    text = f"Plane of {content['x']['name']} and {content['y']['name']} in {region}, four corners"
    plane = content["plane"]
    x, y = (np.asarray(plane[key], float) for key in ("x_edges", "y_edges"))
    cells = np.array(plane["background"], float)
    numbers = pd.DataFrame(
        {
            "x_low": np.repeat(x[:-1], len(y) - 1),
            "x_high": np.repeat(x[1:], len(y) - 1),
            "y_low": np.tile(y[:-1], len(x) - 1),
            "y_high": np.tile(y[1:], len(x) - 1),
            "background": cells.ravel(),
        }
    )
    yield made("abcd_plane", "Four corners", figure, text, numbers=numbers)
    labels, ratios, simulated = [], [], []
    if seen := content["observed"]:
        labels.append("A")
        down, up = content["estimate"]["total"]
        ratios.append(ratio_of(seen["data"], seen["expected"], (down, up)))
        simulated.append(None)
    closure = content["closure"]
    labels.append("A, simulation")
    ratios.append(None)
    simulated.append(pair_of(closure["ratio"], closure["ratio_error"]))
    for point in content["validation"]:
        share = "" if point["share"] is None else f", {100 * point['share']:.3g} %"
        labels.append(f"within {' + '.join(point['within'])}{share}")
        ratios.append(ratio_of(point["data"], point["estimate"], point["error"]))
        simulated.append(pair_of(point["ratio"], point["ratio_error"]))
    title = f"{region}, tests of the estimate"
    figure = draw_closure(labels, ratios, simulated, title=title, caption=caption)
    text = f"Observed over estimated events where the estimate can be tested, {region}"
    rows = [
        (label, *(ratio or (np.nan,) * 3), *(pair or (np.nan,) * 2))
        for label, ratio, pair in zip(labels, ratios, simulated, strict=True)
    ]
    heads = ["test", "ratio", "ratio_down", "ratio_up", "simulation", "simulation_error"]
    numbers = pd.DataFrame(rows, columns=heads)
    yield made("abcd_closure", "Tests of the estimate", figure, text, numbers=numbers)


def ratio_of(data, estimate, error):
    """(data over estimate, its error downwards, upwards), None where there is none."""
    if data is None or estimate <= 0:
        return None
    down, up = error
    ratio = data / estimate
    counted = np.sqrt(data) / estimate
    # A larger estimate makes the ratio smaller.
    return (
        ratio,
        np.hypot(counted, ratio * up / estimate),
        np.hypot(counted, ratio * down / estimate),
    )


def pair_of(value, error):
    """A number and its error, None where there is none."""
    return None if value is None else (value, error or 0.0)


def bump_pictures(options, name, content, contents, made):
    """Yield the pictures of bump.json."""
    region = content["region"] + stat_tables.injected(content)
    for mass, found in content["masses"].items():
        yield mass_picture(options, mass, found, region, content["label"], "bump", made)
    words = global_words(content)
    figure = draw_statistic(
        content["pseudo_statistic"],
        content["statistic"],
        words,
        axis=r"$-\ln$ of the smallest local $p$",
        title=region,
        caption=options.caption,
    )
    text = f"Smallest local p-value in pseudo-experiments and observed: {words}"
    numbers = pseudo_numbers(content)
    yield made("bump_statistic", "Chance of such a bump", figure, text, numbers=numbers)
    yield from nuisance_pictures(options, "bump", content, region, made)


def pseudo_numbers(found):
    """The statistic of pseudo-experiments: bins and their counts, and what was observed."""
    edges = np.array(found["pseudo_statistic"]["edges"], float)
    columns = {"low": edges[:-1], "high": edges[1:]}
    columns["pseudo_experiments"] = found["pseudo_statistic"]["counts"]
    return pd.DataFrame(columns | {"observed_statistic": found["statistic"]})


def p_numbers(names, p_values):
    """Names of tests and their p-values."""
    return pd.DataFrame({"test": list(map(plain_text, names)), "p": p_values})


def mass_picture(options, mass, found, region, label, start, made):
    """The Drawn of the spectrum of a mass."""
    data, background, error = (np.array(found[k], float) for k in ("data", "background", "error"))
    said = []
    if found["share"] is not None:
        said.append(f"Top {100 * found['share']:.3g} % of {label or 'the score'}")
    if found["window"]:
        seen, expected, width = (found[f"window_{key}"] for key in ("data", "background", "error"))
        if None not in (seen, expected, width):
            said.append(f"{seen:g} in the window, {expected:.3g} ± {width:.2g} expected")
        said.append(rf"Local $p$ = {found['local_p']:.2g} ({found['z']:.2g}$\,\sigma$)")
    local = [bin_significance(*each) for each in zip(data, background, error, strict=True)]
    figure = draw_bump(
        found,
        local,
        log=options.log,
        title=region,
        note="\n".join(said),
        caption=options.caption,
    )
    text = f"Spectrum of {mass} in {region}, local p-value {found['local_p']:.2g}"
    edges = np.array(found["edges"], float)
    columns = {"low": edges[:-1], "high": edges[1:], "background": background, "error": error}
    numbers = pd.DataFrame(columns | counted(data) | {"local_significance": local})
    return made(f"{start}_{mass}", f"Bump hunt: {mass}", figure, text, numbers=numbers)


def global_words(content):
    """What a global p-value says, in one or two lines."""
    sign = "<" if content["global_p_is_limit"] else "="
    error = content["global_p_error"]
    spread = "" if content["global_p_is_limit"] or not error else f" ± {error:.1g}"
    z = content["global_z"]
    sigma = "" if z is None else f" ({'> ' if sign == '<' else ''}{z:.1f} σ)"
    return f"global p {sign} {content['global_p']:.2g}{spread}{sigma}"


def anything_pictures(options, name, content, contents, made):
    """Yield the pictures of anything.json."""
    caption = options.caption
    tests = content["tests"]
    labels = [*(test["label"] for test in tests.values()), "All together"]
    p_values = [*(test["p"] for test in tests.values()), content["global_p"]]
    marks = [False] * len(tests) + [True]
    added = stat_tables.injected(content)
    title = content["answer"] + added
    figure = draw_p_values(labels, p_values, marks, title=title, caption=caption)
    numbers = p_numbers(labels, p_values)
    yield made("anything", "Is there anything?", figure, content["answer"], numbers=numbers)
    figure = draw_statistic(
        content["pseudo_statistic"],
        content["statistic"],
        global_words(content),
        axis=r"$-\ln$ of the smallest $p$ of the tests",
        title=name + added,
        caption=caption,
    )
    text = f"Statistic of all tests in pseudo-experiments and observed: {global_words(content)}"
    numbers = pseudo_numbers(content)
    yield made("anything_global", "All tests together", figure, text, numbers=numbers)
    for test, found in tests.items():
        figure = draw_statistic(
            found["pseudo_statistic"],
            found["statistic"],
            f"p = {found['p']:.2g}",
            axis=f"Statistic: {found['label']}",
            title=name + added,
            caption=caption,
        )
        text = f"Statistic in pseudo-experiments and observed, p = {found['p']:.2g}"
        title = plain_text(found["label"])
        numbers = pseudo_numbers(found)
        yield made(f"anything_test_{test}", title, figure, f"{title}: {text}", numbers=numbers)
    if found := content["two_sample"]:
        yield from two_sample_pictures(options, name, found, made)
    ranked = content["excess"][:EXCESSES]
    if ranked:
        named = [excess_label(content, one) for one in ranked]
        figure = draw_p_values(
            named,
            [one["local_p"] for one in ranked],
            [False] * len(ranked),
            title=f"{name}, local p before trials",
            caption=caption,
        )
        text = f"The {len(ranked)} smallest of {len(content['excess'])} local p-values of regions"
        kept = ["region", "detector", "share", "data", "background", "error", "local_p"]
        numbers = pd.DataFrame(ranked)[kept]
        yield made("anything_regions", "Regions", figure, text, numbers=numbers)
    for mass, found in content["bump"].items():
        label = content["labels"].get(found["detector"], found["detector"])
        region = found["region"] + added
        yield mass_picture(options, mass, found, region, label, "anything_bump", made)
    yield from nuisance_pictures(options, "anything", content, name + added, made)


def excess_label(content, one):
    """Names a place where an excess was looked for."""
    if one["detector"] is None:
        return one["region"]
    label = content["labels"].get(one["detector"], one["detector"])
    share = "" if one["share"] in (None, 1) else f", {100 * one['share']:.3g} %"
    return f"{one['region']}: {label}{share}"


def two_sample_pictures(options, name, found, made):
    """Yield pictures of the classifier that was to tell data from simulation."""
    scores = found["scores"]
    sums = np.array(scores["background"], float)
    error = np.array(scores["error"], float)
    data = np.array(scores["data"], float)
    layer = Layer("Background", FILL, sums, 0 * sums, float(sums.sum()))
    stack = Stack(
        region=f"{name}, AUC {found['auc']:.3f}",
        feature="two_sample",
        label="Output of the classifier",
        unit="",
        edges=np.array(scores["edges"], float),
        layers=(layer,),
        signals=(),
        data=data,
        events=float(data.sum()),
        systematic=np.stack([error, error]),
        band_label="Uncertainty",
    )
    figure = draw_stack(stack, log=options.log, caption=options.caption)
    text = f"Classifier of data against simulation, area {found['auc']:.3f}"
    numbers = stack_numbers(stack)
    yield made("anything_classifier", "Data against simulation", figure, text, numbers=numbers)
    if found["features"]:
        figure = draw_ranking(
            [feature["label"] for feature in found["features"]],
            [feature["share"] for feature in found["features"]],
            axis="Share in the classifier",
            title=name,
            caption=options.caption,
        )
        text = "Features by which the classifier tells data from simulation"
        shares = [(plain_text(f["label"]), f["share"]) for f in found["features"]]
        numbers = pd.DataFrame(shares, columns=["feature", "share"])
        yield made("anything_features", "Features it uses", figure, text, numbers=numbers)


def calibration_pictures(options, name, content, contents, made):
    """Yield the picture of anything_calibration.json."""
    if not content["p_values"]:
        return
    labels = dict.fromkeys(content["p_values"], "")
    if told := contents.get("anything"):
        labels |= {n: plain_text(t["label"]) for n, t in told["tests"].items() if n in labels}
    named = {n: label or n.replace("_", " ") for n, label in labels.items()}
    figure = draw_calibration(
        content["p_values"],
        named,
        content["uniform_p"],
        title=f"{content['data_sets']} sets of pseudo-data without signal",
        caption=options.caption,
    )
    text = f"p-values of {content['data_sets']} sets of data without signal, against uniform ones"
    title = "p-values where there is nothing"
    numbers = pd.DataFrame(
        [(test, p) for test, values in content["p_values"].items() for p in values],
        columns=["test", "p"],
    )
    yield made("anything_calibration", title, figure, text, numbers=numbers)


DRAWN = {
    "fit": fit_pictures,
    "limit": limit_pictures,
    "significance": significance_pictures,
    "plane": plane_pictures,
    "visible": visible_pictures,
    "abcd": abcd_pictures,
    "bump": bump_pictures,
    "anything": anything_pictures,
    "anything_calibration": calibration_pictures,
}
