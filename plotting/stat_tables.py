"""What statistical analyses found, as tables for a terminal and for the page."""

from dataclasses import dataclass

from analysis import console
from plotting.comparison import NOTHING
from plotting.yields import plain_text, with_error


@dataclass(frozen=True)
class StatTable:
    """A table of a statistical analysis."""

    kind: str  # of the result, see analysis/stats_files.py
    title: str
    heads: tuple[str, ...]  # of the columns, the first names the rows
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()  # below it
    latex: bool = True  # the first of each row is LaTeX, the others are text


class Labels(dict):
    """{name: LaTeX}, also for names that nobody has given one."""

    def __missing__(self, name):
        return name.replace("_", " ")


def make_tables(results, contents):
    """The StatTables of an analysis, from {kind: content}, without empty ones."""
    labels = Labels({process.name: process.label for process in results.processes})
    made = []
    for kind, content in contents.items():
        made += TABLES[kind](content, labels)
    return [table for table in made if table.rows or table.notes]


def as_text(table):
    """A table as lines for the terminal."""
    rows = table.rows
    if table.latex:
        rows = [(plain_text(first), *rest) for first, *rest in rows]
    most = console.width()
    lines = [table.title] if table.rows else []
    lines += console.table(table.heads, rows, most)
    return [*lines, *(line for note in table.notes for line in console.hanging("", note, most))]


def short(value, digits=3):
    """A number with some digits, or the sign for none."""
    return NOTHING if value is None else f"{value:.{digits}g}"


def interval(five):
    """The ends of the central 68 % of five values."""
    return f"{short(five[1])} to {short(five[3])}"


def sigmas(found):
    """A significance and its p-value."""
    return NOTHING if found is None else f"{short(found['z'])} ({short(found['p0'], 2)})"


def p_limit(p_value, is_limit):
    """A p-value that may be an upper limit."""
    return f"{'< ' if is_limit else ''}{p_value:.2g}"


def chosen(share, detector, labels):
    """Which events: all, or those with the highest scores of a detector, None: there is none."""
    if share in (None, 1):
        return "all events"
    of = "" if detector is None else f" of {plain_text(labels[detector])}"
    return f"top {100 * share:.3g} %{of}"


def injected(content):
    """What was added to the data, for the end of a title."""
    added = (f"{number:g} of {name}" for name, number in content["injected"].items())
    return f", with {' and '.join(added)} injected" if content["injected"] else ""


# --- kinds ------------------------------------------------------------------------------------


def fit_tables(content, labels):
    """Normalisation factors and yields before and after the fit."""
    found = content["goodness"]
    signal = content["signal"]
    notes = [
        f"Signal strength of {plain_text(labels[signal])}: "
        f"{with_error(p['value'], p['error'], '±')}"
        for p in content["parameters"]
        if signal and p["kind"] == "mu" and p["error"] is not None
    ]
    if found and found["p"] is not None:
        notes.append(f"χ²/ndof {found['chi2']:.1f}/{found['ndof']}, p = {found['p']:.2g}")
    if not content["converged"]:
        notes.append("The fit did not converge.")
    factors = tuple(
        (labels[name], with_error(one["value"], one["error"], "±"))
        for name, one in content["normalisation"].items()
    )
    rows = []
    for channel in content["channels"]:
        fitted = (total_text(channel[when]) for when in ("prefit", "postfit"))
        data = channel["data"]
        seen = "blind" if data is None else short(sum(data), 4)
        asimov = " (Asimov)" if channel["asimov"] and data is not None else ""
        rows.append((channel["region"], channel["role"], *fitted, seen + asimov))
    heads = ("Region", "Role", "Before the fit", "After the fit", "Data")
    return (
        StatTable("fit", "Normalisation factors", ("Process", "Factor"), factors, tuple(notes)),
        StatTable("fit", "Yields in the fit", heads, tuple(rows), latex=False),
    )


def total_text(sums):
    """The sum over the bins of a channel, with its error where that is known."""
    total = sum(sums["total"])
    error = sums["error"][0] if len(sums["error"]) == 1 else sums.get("sum_error")
    return short(total, 4) if error is None else with_error(total, error, "±")


def limit_tables(content, labels):
    """Upper limits of all signals."""
    rows = []
    for name, one in content["signals"].items():
        size = one["cross_section_pb"]
        on_pb = [
            None if None in (size, value) else size * value
            for value in (one["expected"][2], one["observed"])
        ]
        asimov = " (Asimov)" if one["asimov"] and one["observed"] is not None else ""
        rows.append(
            (
                labels[name],
                short(size),
                short(one["expected"][2]),
                interval(one["expected"]),
                short(one["observed"]) + asimov,
                *map(short, on_pb),
                one["method"],
            )
        )
    heads = (
        *("Signal", "σ predicted [pb]", "μ expected", "68 %", "μ observed"),
        *("σ expected [pb]", "σ observed [pb]", "Method"),
    )
    return (StatTable("limit", "Upper limits at 95 %", heads, tuple(rows)),)


def significance_tables(content, labels):
    """Discovery significances, and cross-sections that would be seen."""
    rows = tuple(
        (
            labels[name],
            sigmas(one["expected"]),
            sigmas(one["observed"]),
            short(one["asimov_z"]),
            short(one["cross_section_3_sigma_pb"]),
            short(one["cross_section_5_sigma_pb"]),
            one["method"],
        )
        for name, one in content["signals"].items()
    )
    heads = (
        *("Signal", "Z expected (p)", "Z observed (p)", "Z of the formula"),
        *("σ for 3σ [pb]", "σ for 5σ [pb]", "Method"),
    )
    return (StatTable("significance", "Discovery significances", heads, rows),)


def plane_tables(content, labels):
    """Limits of the points of the plane, or along one mass."""
    axes = [axis for axis in ("x", "y") if content[axis] is not None]
    rows = tuple(
        (
            labels[point["signal"]],
            *(short(point[axis], 6) for axis in axes),
            short(point["expected"][2]),
            short(point["observed"]),
        )
        for point in content["points"]
    )
    named = (plain_text(content[axis]) for axis in axes)
    heads = ("Signal", *named, "μ expected", "μ observed")
    notes = tuple(
        f"The {which} limit is the prediction at {', '.join(f'{place:.4g}' for place in places)}."
        for which, places in (content.get("crossings") or {}).items()
        if places
    )
    return (StatTable("plane", "Points of the mass plane", heads, rows, notes),)


def visible_tables(content, labels):
    """Limits on what is not in the simulation."""
    rows = tuple(
        (
            region,
            short(one["observed"], 5),
            with_error(one["background"], one["error"], "±"),
            short(one["s95_expected"][2]),
            short(one["s95_observed"]),
            short(one["visible_fb_expected"][2]),
            short(one["visible_fb_observed"]),
            NOTHING if one["p0"] is None else f"{short(one['z'])} ({short(one['p0'], 2)})",
        )
        for region, one in content["regions"].items()
    )
    heads = (
        *("Region", "Observed", "Background", "S95 expected", "S95 observed"),
        *("σ visible expected [fb]", "σ visible observed [fb]", "Z (p)"),
    )
    return (StatTable("visible", "Limits in each region at 95 %", heads, rows, latex=False),)


def abcd_tables(content, labels):
    """The four corners, the estimate with its errors, and the tests."""
    corners = tuple(
        (
            corner,
            "hidden" if one["data"] is None else short(one["data"], 5),
            with_error(one["subtracted"], one["subtracted_error"], "±"),
            with_error(one["background"], one["background_error"], "±"),
        )
        for corner, one in content["corners"].items()
    )
    one = content["estimate"]
    down, up = one["total"]
    estimate = [
        ("Estimate in A", f"{one['value']:.4g} +{up:.2g} −{down:.2g}"),
        ("Statistical", f"+{one['statistical'][1]:.2g} −{one['statistical'][0]:.2g}"),
        ("Subtraction", short(one["subtraction"], 2)),
        ("Non-closure", short(one["non_closure"], 2)),
    ]
    if seen := content["observed"]:
        said = f"{seen['data']:g}, {seen['expected']:.4g} expected, Z = {short(seen['z'])}"
        estimate.append(("Observed in A", said))
    tests = tuple(
        (
            " + ".join(point["within"]),
            NOTHING if point["share"] is None else f"{100 * point['share']:.3g} %",
            short(point["data"], 5),
            f"{point['estimate']:.4g} +{point['error'][1]:.2g} −{point['error'][0]:.2g}",
            short(point["z"]),
        )
        for point in content["validation"]
    )
    heads = ("Corner", "Data", "Subtracted", "Simulation of what is estimated")
    tested = ("Within", "Share", "Data", "Estimate", "Z")
    about = ", ".join(f"{axis}: {plain_text(content[axis]['label'])}" for axis in "xy")
    return (
        StatTable("abcd", f"Four corners ({about})", heads, corners),
        StatTable("abcd", "Estimate from the corners", ("", "Events"), tuple(estimate)),
        StatTable("abcd", "Tests of the estimate", tested, tests, tuple(content["notes"])),
    )


def mass_rows(masses, detectors, labels):
    """A row for each mass of a bump hunt, with the detectors that chose their events."""
    for one, detector in zip(masses.values(), detectors, strict=True):
        window, unit = one["window"], one["unit"]
        place = NOTHING if window is None else f"{window[0]:.4g} to {window[1]:.4g} {unit}".rstrip()
        expected = NOTHING
        if None not in (one["window_background"], one["window_error"]):
            expected = with_error(one["window_background"], one["window_error"], "±")
        yield (
            one["label"],
            chosen(one["share"], detector, labels),
            place,
            short(one["window_data"], 5),
            expected,
            short(one["local_p"], 2),
            short(one["z"]),
        )


MASS_HEADS = ("Mass", "Events", "Window", "Data", "Background", "Local p", "Local Z")


def bump_tables(content, labels):
    """The most significant window of each mass."""
    named = Labels({content["detector"]: content["label"] or content["detector"]})
    rows = tuple(
        mass_rows(content["masses"], [content["detector"]] * len(content["masses"]), named)
    )
    p = p_limit(content["global_p"], content["global_p_is_limit"])
    notes = (
        f"{content['region']}: global p {p}, Z {short(content['global_z'])}, from "
        f"{content['pseudo']} pseudo-experiments{injected(content)}",
        *content["notes"],
    )
    return (StatTable("bump", "Most significant windows", MASS_HEADS, rows, notes),)


def anything_tables(content, labels):
    """The tests, the regions and masses that stand out, the events."""
    tests = tuple(
        (one["label"], short(one["p"], 2), short(one["z"])) for one in content["tests"].values()
    )
    p = p_limit(content["global_p"], content["global_p_is_limit"])
    whole = ("All together", p, short(content["global_z"]))
    named = Labels(content["labels"])
    excess = tuple(
        (
            one["region"],
            chosen(one["share"], one["detector"], named),
            short(one["data"], 5),
            with_error(one["background"], one["error"], "±"),
            short(one["local_p"], 2),
            short(one["z"]),
        )
        for one in content["excess"][:10]
    )
    heads = ("Region", "Events", "Data", "Background", "Local p", "Local Z")
    notes = tuple(content["notes"])
    made = [
        StatTable("anything", "Answer", (), (), (content["answer"] + injected(content),)),
        StatTable("anything", "Tests", ("Test", "p", "Z"), (*tests, whole), notes),
        StatTable("anything", "Regions with the smallest p", heads, excess, latex=False),
    ]
    masses = tuple(
        mass_rows(content["bump"], [m["detector"] for m in content["bump"].values()], named)
    )
    made.append(StatTable("anything", "Masses", MASS_HEADS, masses))
    made.append(event_table(content["events"], named))
    return made


SCORES, CELLS = 3, 4  # of an event that are told


def event_table(events, labels):
    """The most anomalous events of data."""
    rows = []
    for event in events:
        smallest = sorted(event["scores"].items(), key=lambda item: item[1]["p"])[:SCORES]
        scores = (f"{plain_text(labels[name])} {short(one['p'], 2)}" for name, one in smallest)
        cells = (
            f"{plain_text(cell['label'])} = {short(cell['value'])}"
            for cell in event["cells"][:CELLS]
        )
        rows.append(
            (
                str(event["EventNumber"]),
                str(event["RunNumber"]),
                event["sample"],
                event["region"],
                objects_text(event["objects"]),
                "; ".join(scores),
                "; ".join(cells),
            )
        )
    heads = (
        "Event",
        "Run",
        "Sample",
        "Region",
        "Objects, pT [GeV]",
        "Smallest p of scores",
        "Cells",
    )
    return StatTable("anything", "Most anomalous events", heads, tuple(rows))


FLAVOURS, SIGNS = {"e": "e", "mu": "μ"}, {1: "⁺", -1: "⁻", 0: ""}


def objects_text(objects):
    """The objects of an event in a line."""
    if objects is None:
        return NOTHING
    said = [
        f"{FLAVOURS[one['flavour']]}{SIGNS[one['charge']]} {one['pt']:.0f}"
        for one in objects["leptons"]
    ]
    said += [f"{'b-jet' if one['b'] else 'jet'} {one['pt']:.0f}" for one in objects["jets"]]
    return ", ".join([*said, f"ETmiss {objects['met']:.0f}"])


def calibration_tables(content, labels):
    """How uniform p-values are where there is nothing."""
    rows = tuple(
        (name.replace("_", " "), short(content["uniform_p"].get(name), 2))
        for name in content["p_values"]
    )
    about = (
        f"{content['data_sets']} sets of pseudo-data without signal, each judged by "
        f"{content['pseudo']} pseudo-experiments."
    )
    heads = ("Test", "p of Kolmogorov-Smirnov")
    title = "Are p-values uniform where there is nothing?"
    return (StatTable("anything_calibration", title, heads, rows, (about, *content["notes"])),)


TITLES = {
    "fit": "Fit of the backgrounds",
    "limit": "Upper limits",
    "significance": "Discovery",
    "plane": "Excluded masses",
    "visible": "Visible cross-sections",
    "abcd": "Background from four corners",
    "bump": "Bump hunt",
    "anything": "Is there anything?",
    "anything_calibration": "Where there is nothing",
}
TABLES = {
    "fit": fit_tables,
    "limit": limit_tables,
    "significance": significance_tables,
    "plane": plane_tables,
    "visible": visible_tables,
    "abcd": abcd_tables,
    "bump": bump_tables,
    "anything": anything_tables,
    "anything_calibration": calibration_tables,
}
