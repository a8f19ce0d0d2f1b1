"""What is published of a run: its histograms, cutflows and statistical results, as tables."""

from dataclasses import replace

import numpy as np

from analysis.errors import InputError
from analysis.output import CUTFLOW, HISTOGRAMS, STATS
from analysis.records import AGAIN
from analysis.shifts import combine, make_shifts, varied_sums
from analysis.stats.expectation import known_systematics
from analysis.stats.hepdata import Collisions, Column, Error, Table, symmetric, write_submission
from analysis.stats.workspaces import MODEL, read_model
from analysis.stats_files import read_statistics, statistics_in

PARTS = ("histograms", "cutflows", "results")
BANDS = ("2 sigma", "1 sigma")


# --- what may be shown ------------------------------------------------------------------------


def hidden(results, region, unblind):
    """Whether data of a region (name) must not be shown."""
    declared = results.regions.get(region)
    return declared is not None and declared.declared_blind and not unblind


def shown_samples(results, region, unblind):
    """The samples of a region whose numbers may be published."""
    without = hidden(results, region, unblind)
    return [s for s in results.visible(region) if not (without and s.kind == "data")]


def require_data(results, regions, unblind):
    """Raise InputError where data is asked for that the run does not hold."""
    if unblind and (missing := [name for name in regions if results.regions[name].blind]):
        raise InputError(
            f"{results.folder} was made without the data of '{missing[0]}', which is blind: make "
            "it again with run_rdf.py --unblind"
        )


# --- histograms -------------------------------------------------------------------------------


def with_flow(sums):
    """(bins,) of (bins + 2,) sums: the outer bins take what is beyond them."""
    if len(sums) == 3:
        return np.array([np.sum(sums)])
    return np.add.reduceat(sums, [0, *range(2, len(sums) - 1)])


def histogram_table(results, region, feature, systematics, unblind):
    """The Table of a feature (name) in a region (name). Raises InputError."""
    declared = results.features[feature]
    samples = shown_samples(results, region, unblind)
    histograms = {s.name: results.histogram(region, feature, s.name) for s in samples}
    varied = varied_sums(results, region, feature, histograms)
    groups = {}
    for process in results.processes:
        if own := [s for s in samples if s.process == process.name]:
            groups[process.name] = (process, own)
    columns, total, moved = [], [], {}
    for process, own in groups.values():
        sums = sum(histograms[s.name].sumw for s in own)
        error = np.sqrt(with_flow(sum(histograms[s.name].sumw2 for s in own)))
        if process.kind == "data":
            columns.append(Column("Data", as_counts(with_flow(sums)), "events"))
            continue
        nominal = {s.name: histograms[s.name].sumw for s in own}
        shifts = make_shifts(systematics, own, nominal, varied)
        folded = {s.systematic: (with_flow(s.up), with_flow(s.down)) for s in shifts}
        errors = [symmetric("stat", error)]
        if folded:
            down, up = combine(folded.values())
            errors.append(Error("sys", -down, up))
        column = Column(process.label, with_flow(sums).tolist(), "events", tuple(errors))
        columns.append(replace(column, qualifiers=(("SAMPLES", ", ".join(s.name for s in own)),)))
        if process.kind == "background":
            total.append((with_flow(sums), error))
            for name, (up, down) in folded.items():
                before = moved.get(name, (0.0, 0.0))
                moved[name] = (before[0] + up, before[1] + down)
    if total:
        value, error = sum(v for v, _ in total), np.sqrt(sum(e**2 for _, e in total))
        errors = [symmetric("stat", error)]
        labels = {systematic.name: systematic.label for systematic in systematics}
        errors += [Error(f"sys,{labels[name]}", down, up) for name, (up, down) in moved.items()]
        first = 1 if columns and columns[0].name == "Data" else 0
        made = Column("Total background", value.tolist(), "events", tuple(errors))
        columns.insert(first, made)
    cuts = ", ".join(name for name, _ in results.regions[region].cuts)
    return Table(
        f"{feature} in {region}",
        f"Events in bins of {declared.label}, before any fit, in the {role(results, region)} "
        f"region {region} ({cuts}). The first and the last bin have the events beyond them too."
        + blind_remark(results, region, unblind),
        f"Histogram {feature}, region {region}",
        (Column(declared.label, bins_of(declared.edges), declared.unit),),
        tuple(columns),
        "N",
    )


def role(results, region):
    """What the statistics use a region (name) for."""
    return results.regions[region].role


def blind_remark(results, region, unblind):
    """A sentence where there is no data."""
    blind = results.regions[region].blind or hidden(results, region, unblind)
    return " The data of this region is blind." if blind else ""


def bins_of(edges):
    """[(low, high)] of (bins + 1,) edges."""
    return [(float(low), float(high)) for low, high in zip(edges[:-1], edges[1:], strict=True)]


def as_counts(values):
    """Numbers, those of events as whole numbers."""
    return [int(v) if float(v).is_integer() else float(v) for v in values]


# --- cutflows ---------------------------------------------------------------------------------


def cutflow_table(results, region, unblind):
    """The Table of the cutflow of a region (name), a column for each sample. Raises InputError."""
    columns, cuts = [], None
    labels = {process.name: process.label for process in results.processes}
    for sample in shown_samples(results, region, unblind):
        rows = results.cutflow[region][sample.name]
        names = [row["cut"] for row in rows]
        if cuts not in (None, names):
            raise InputError(
                f"{results.folder / CUTFLOW}: sample '{sample.name}' has other cuts than the "
                f"others in '{region}': {AGAIN}"
            )
        cuts = names
        values = [row["sumw"] for row in rows]
        about = (("PROCESS", labels[sample.process]),)
        if sample.kind == "data":
            columns.append(Column(sample.name, as_counts(values), "events", (), about))
        else:
            error = symmetric("stat", np.sqrt([row["sumw2"] for row in rows]))
            columns.append(Column(sample.name, values, "events", (error,), about))
    return Table(
        f"Cutflow of {region}",
        f"Weighted events after each cut of the {role(results, region)} region {region}, a column "
        "for each sample." + blind_remark(results, region, unblind),
        f"Cutflow, region {region}",
        (Column("Cut", cuts or []),),
        tuple(columns),
        "N",
    )


# --- statistical results ----------------------------------------------------------------------


def band_errors(expected):
    """The Errors, 2 and 1 sigma, of rows of five numbers; rows without all five have none."""
    five = np.array([[np.nan if v is None else v for v in row] for row in expected], float)
    made = []
    for label, (low, high) in zip(BANDS, ((0, 4), (1, 3)), strict=True):
        ends = [np.nan_to_num(five[:, end] - five[:, 2]) for end in (low, high)]
        made.append(Error(label, *ends))
    return tuple(made)


def expected_column(name, rows, unit="", factors=None):
    """The Column of medians with bands; rows: [[five numbers]], factors: [a number for each]."""
    factors = [1.0] * len(rows) if factors is None else factors
    scaled = [
        [None if v is None or factor is None else v * factor for v in row]
        for row, factor in zip(rows, factors, strict=True)
    ]
    return Column(name, [row[2] for row in scaled], unit, band_errors(scaled))


def scaled(values, factors):
    """Numbers times factors, None where one of them is."""
    pairs = zip(values, factors, strict=True)
    return [None if None in pair else pair[0] * pair[1] for pair in pairs]


def limit_tables(content, where, observed):
    """The Table of limits, and one of the CLs scan of each signal."""
    signals = content["signals"]
    rows = [s["expected"] for s in signals.values()]
    pb = [s["cross_section_pb"] for s in signals.values()]
    seen = [s["observed"] for s in signals.values()]
    columns = [
        expected_column("Expected upper limit on the signal strength", rows),
        expected_column("Expected upper limit on the cross-section", rows, "pb", pb),
        Column("Cross-section of the signal strength 1", pb, "pb"),
    ]
    if observed and any(value is not None for value in seen):
        columns += [
            Column("Observed upper limit on the signal strength", seen),
            Column("Observed upper limit on the cross-section", scaled(seen, pb), "pb"),
        ]
    made = [
        Table(
            "Upper limits",
            "Upper limits at 95% CL by CLs; the errors of the expected ones are the ends of the "
            "bands of one and two standard deviations.",
            where,
            (Column("Signal", list(signals)),),
            tuple(columns),
            "CLS",
        )
    ]
    for name, signal in signals.items():
        if scan := signal.get("scan"):
            curves = [Column("Expected CLs", scan["cls_expected"][2])]
            if observed and scan["cls_observed"]:
                curves.append(Column("Observed CLs", scan["cls_observed"]))
            made.append(
                Table(
                    f"CLs of {name}",
                    f"CLs against the strength of the signal {name}; expected: without signal.",
                    where,
                    (Column("Signal strength", scan["mu"]),),
                    tuple(curves),
                    "CLS",
                )
            )
    return made


def significance_tables(content, where, observed):
    """The Table of discovery significances."""
    signals = content["signals"]
    columns = [
        Column("Expected $p_0$", [s["expected"]["p0"] for s in signals.values()]),
        Column("Expected significance", [s["expected"]["z"] for s in signals.values()]),
        *(
            Column(
                f"Cross-section for {n} standard deviations",
                [s[f"cross_section_{n}_sigma_pb"] for s in signals.values()],
                "pb",
            )
            for n in (3, 5)
        ),
    ]
    seen = [s["observed"] or {"p0": None, "z": None} for s in signals.values()]
    if observed and any(s["observed"] for s in signals.values()):
        columns.append(Column("Observed $p_0$", [s["p0"] for s in seen]))
        columns.append(Column("Observed significance", [s["z"] for s in seen]))
    text = "Significance of each signal over background; expected: at the signal strength 1."
    axes = (Column("Signal", list(signals)),)
    return [Table("Significances", text, where, axes, tuple(columns), "SIG")]


def plane_tables(content, where, observed):
    """The Table of limits at points of a plane of masses."""
    points = content["points"]
    axes = [Column("Signal", [p["signal"] for p in points])]
    axes.append(Column(content["x"], [p["x"] for p in points]))
    if content["y"] is not None:
        axes.append(Column(content["y"], [p["y"] for p in points]))
    columns = [
        expected_column(
            "Expected upper limit on the signal strength", [p["expected"] for p in points]
        )
    ]
    seen = [p["observed"] for p in points]
    if observed and any(value is not None for value in seen):
        columns.append(Column("Observed upper limit on the signal strength", seen))
    text = "Upper limits at 95% CL; a point is excluded where the limit is below 1."
    return [Table("Limits in the plane", text, where, tuple(axes), tuple(columns), "CLS")]


def visible_tables(content, where, results, unblind):
    """The Table of limits that need no signal, a row for each region."""
    regions = content["regions"]
    open_ = [not hidden(results, name, unblind) for name in regions]

    def seen(key):
        pairs = zip(regions.values(), open_, strict=True)
        return [region[key] if shown else None for region, shown in pairs]

    errors = (symmetric("total", [r["error"] for r in regions.values()]),)
    columns = [
        Column("Expected background", [r["background"] for r in regions.values()], "", errors),
        expected_column(
            "Expected upper limit on signal events", [r["s95_expected"] for r in regions.values()]
        ),
        expected_column(
            "Expected upper limit on the visible cross-section",
            [r["visible_fb_expected"] for r in regions.values()],
            "fb",
        ),
    ]
    names = {
        "observed": ("Data", ""),
        "s95_observed": ("Observed upper limit on signal events", ""),
        "visible_fb_observed": ("Observed upper limit on the visible cross-section", "fb"),
        "p0": ("$p_0$", ""),
        "z": ("Significance", ""),
    }
    for key, (name, unit) in names.items():
        values = seen(key)
        if any(value is not None for value in values):
            columns.append(Column(name, values, unit))
    text = "Upper limits at 95% CL on any signal, for each region on its own."
    axes = (Column("Region", list(regions)),)
    return [Table("Visible cross-sections", text, where, axes, tuple(columns), "CLS")]


def fit_tables(content, where, results, unblind):
    """Tables of factors, parameters, correlations, and yields before and after the fit."""
    labels = {process.name: process.label for process in results.processes}
    made = []
    if factors := content["normalisation"]:
        made.append(
            Table(
                "Normalisation factors",
                "Factors of background processes, from a simultaneous fit of all regions.",
                where,
                (Column("Process", list(factors)),),
                (
                    Column(
                        "Factor",
                        [f["value"] for f in factors.values()],
                        "",
                        (symmetric("fit", [f["error"] for f in factors.values()]),),
                    ),
                ),
            )
        )
    parameters = [p for p in content["parameters"] if p["kind"] != "staterror"]
    if parameters:
        errors = symmetric("fit", [p["error"] or 0.0 for p in parameters])
        made.append(
            Table(
                "Fitted parameters",
                "Parameters of the fit, without those of the statistics of the simulation.",
                where,
                (Column("Parameter", [p["name"] for p in parameters]),),
                (
                    Column("Value", [p["value"] for p in parameters], "", (errors,)),
                    Column("Pull", [p["pull"] for p in parameters]),
                ),
            )
        )
    names, matrix = content["correlation"]["names"], content["correlation"]["matrix"]
    if names:
        made.append(
            Table(
                "Correlations of the fit",
                "Linear correlation coefficients of the fitted parameters.",
                where,
                (
                    Column("First parameter", [a for a in names for _ in names]),
                    Column("Second parameter", [b for _ in names for b in names]),
                ),
                (Column("Correlation", [value for row in matrix for value in row]),),
            )
        )
    for channel in content["channels"]:
        columns = []
        blind = channel["asimov"] or hidden(results, channel["region"], unblind)
        if channel["data"] is not None and not blind:
            columns.append(Column("Data", as_counts(channel["data"]), "events"))
        for when, word in (("postfit", "after"), ("prefit", "before")):
            errors = (symmetric("total", channel[when]["error"]),)
            name = f"Total {word} the fit"
            columns.append(Column(name, channel[when]["total"], "events", errors))
            columns += [
                Column(f"{labels.get(process, process)} {word} the fit", sums[when], "events")
                for process, sums in channel["samples"].items()
            ]
        unit = channel["unit"] or ""
        made.append(
            Table(
                f"Yields in {channel['region']}",
                f"Events in the {channel['role']} region {channel['region']} before and after the "
                "fit, with the errors of all uncertainties together."
                + (" The data of this region is blind." if blind else ""),
                where,
                (Column(channel["label"], bins_of(channel["edges"]), unit),),
                tuple(columns),
                "N",
            )
        )
    return made


def abcd_tables(content, where, results, unblind):
    """The Table of the corners of an ABCD estimate."""
    corners = content["corners"]
    blind = content["asimov"] or hidden(results, content["region"], unblind)
    columns = []
    if not blind and any(corner["data"] is not None for corner in corners.values()):
        columns.append(Column("Data", [corner["data"] for corner in corners.values()], "events"))
    for key, name in (("subtracted", "Subtracted"), ("background", "Simulated background")):
        errors = (symmetric("stat", [corner[f"{key}_error"] for corner in corners.values()]),)
        values = [corner[key] for corner in corners.values()]
        columns.append(Column(name, values, "events", errors))
    made = content["estimate"]
    down, up = made["statistical"]
    zeros = [0.0] * (len(corners) - 1)
    errors = (
        Error("stat", [-down, *zeros], [up, *zeros]),
        symmetric("sys,subtraction", [made["subtraction"], *zeros]),
        symmetric("sys,closure", [made["non_closure"], *zeros]),
    )
    values = [made["value"], *[None] * len(zeros)]
    columns.append(Column("Estimate", values, "events", errors))
    cuts = ", ".join(
        f"{axis['label']} {'at least' if axis['side'] == 'high' else 'below'} {axis['cut']:.6g}"
        for axis in (content["x"], content["y"])
    )
    text = (
        f"Background in {content['region']} by A = B C / D. A and B: the first, A and C: the "
        f"second of {cuts}."
    )
    axes = (Column("Corner", list(corners)),)
    return [Table("ABCD estimate", text, where, axes, tuple(columns), "N")]


def result_tables(results, name, unblind, say):
    """Tables of OUT/stats/<name>; `say` is told what is left out. Raises InputError."""
    contents, lines = read_statistics(results.folder, name)
    for line in lines:
        say(line)
    opened = () if unblind else opened_regions(results, name)
    where = f"Statistical analysis {name}, "
    made = []
    if opened:
        region = opened[0]
        say(f"results know data of '{region}': only expected ones are shown without --unblind")
    elif "fit" in contents:
        made += fit_tables(contents["fit"], f"{where}fit", results, unblind)
    for kind, make in (
        ("limit", limit_tables),
        ("significance", significance_tables),
        ("plane", plane_tables),
    ):
        if kind in contents:
            made += make(contents[kind], where + kind, not opened)
    if "abcd" in contents:
        made += abcd_tables(contents["abcd"], f"{where}abcd", results, unblind)
    if "visible" in contents:
        made += visible_tables(contents["visible"], f"{where}visible", results, unblind)
    return made


def opened_regions(results, name):
    """Regions declared blind whose data an analysis has looked at, as far as one can tell."""
    blind = [r for r, declared in results.regions.items() if declared.declared_blind]
    folder = results.folder / STATS / name
    if not (folder / MODEL).exists():
        return blind
    channels = read_model(folder)["channels"]
    return [c["region"] for c in channels if c["region"] in blind and not c["asimov"]]


def workspaces(results, name, unblind):
    """[(description, Path)] of the workspaces of an analysis that show no data that is blind."""
    if not unblind and opened_regions(results, name):
        return []
    folder = results.folder / STATS / name
    expected = []
    if (folder / MODEL).exists():
        expected = [c["region"] for c in read_model(folder)["channels"] if c["asimov"]]
    instead = f", with the expectation for data in {', '.join(expected)}" if expected else ""
    return [
        (f"HistFactory model, {path.stem.removeprefix('workspace_')}, pyhf JSON{instead}", path)
        for path in sorted(folder.glob("workspace_*.json"))
    ]


def published_systematics(results, name):
    """The Systematics of histograms: those of the model of the analysis, else all."""
    folder = results.folder / STATS / name
    if not (folder / MODEL).exists():
        return known_systematics(results)
    return known_systematics(results, tuple(read_model(folder)["systematics"]))


def publish(results, options, say):
    """Write the submission; returns its folder and the number of tables. Raises M3LError."""
    regions = results.choose_regions(options.region)
    named = results.choose_features(options.feature) if options.feature else ()
    features = named or tuple(f.name for f in results.features.values() if f.cell is None)
    require_data(results, regions, options.unblind)
    tables = []
    if "histograms" in options.only:
        systematics = published_systematics(results, options.name)
        tables += [
            histogram_table(results, region, feature, systematics, options.unblind)
            for region in regions
            for feature in features
        ]
    if "cutflows" in options.only:
        tables += [cutflow_table(results, region, options.unblind) for region in regions]
    models = []
    if "results" in options.only and options.name in statistics_in(results.folder):
        tables += result_tables(results, options.name, options.unblind, say)
        models = workspaces(results, options.name, options.unblind)
    if not tables:
        raise InputError(
            f"nothing to publish: {results.folder / STATS / options.name} holds no results, make "
            "them with python -m analysis.stats, or publish other parts with --only"
        )
    into = options.into or results.folder / STATS / options.name / "hepdata"
    about = Collisions(options.reaction, options.energy, results.luminosity_ifb)
    comment = (
        "Events with three leptons: histograms, cutflows and results of a search for anomalies. "
        f"Made from {HISTOGRAMS}, {CUTFLOW} and statistical results of one run."
    )
    write_submission(into, tables, comment, about, models)
    return into, len(tables)
