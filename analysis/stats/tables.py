"""Tables of statistical results for a terminal."""

import numpy as np

from analysis import console


def number(value, digits=3):
    """A number in few characters; "-" for one that is not known."""
    return "-" if value is None else f"{value:.{digits}g}"


def count(value):
    """A yield: digits that matter, in at most nine characters."""
    if value is None:
        return "-"
    return f"{value:.1f}" if 10 <= abs(value) < 1e6 else f"{value:.3g}"


def spread(value):
    """An error with two digits, or all before its dot; "-" for one that is not known."""
    if value is None:
        return "-"
    return f"{float(f'{value:.2g}'):g}" if abs(value) < 1e6 else f"{value:.2g}"


def columns(rows, header):
    """Rows of words as lines of the terminal."""
    return "\n".join(console.table(header, rows, console.width()))


def yields_table(model):
    """The yields of a Model before any fit, a column per region."""
    channels = model.channels
    names = dict.fromkeys(name for c in channels for name in model.yields[c.region])
    signals = {signal.name for signal in model.signals}
    rows = [
        (name, *(yield_text([model.yields[c.region].get(name)]) for c in channels))
        for name in sorted(names, key=lambda name: name in signals)
    ]
    sums = (yield_text(model.backgrounds(c.region).values()) for c in channels)
    seen = ("blind" if c.asimov else f"{model.data[c.region].sum():.0f}" for c in channels)
    rows.insert(len(names) - len(signals & set(names)), ("background", *sums))
    rows.append(("data", *seen))
    return columns(rows, ("", *(c.region for c in channels)))


def yield_text(several):
    """The sum of several Yields and its statistical error; "-" for None."""
    several = [one for one in several if one is not None]
    if not several:
        return "-"
    error = np.sqrt(sum(one.variance.sum() for one in several))
    return f"{count(sum(one.nominal.sum() for one in several))} +- {spread(error)}"


def fit_table(content):
    """What fit.json holds: factors and pulls, then regions."""
    rows = []
    for parameter in content["parameters"]:
        if parameter["kind"] != "staterror":
            error = parameter["error"]
            pull = "free" if parameter["pull"] is None else f"{parameter['pull']:+.2f}"
            constraint = number(parameter["constraint"], 2)
            value = f"{parameter['value']:.3f}"
            rows.append((parameter["name"], value, number(error), pull, constraint))
    header = ("parameter", "value", "error", "pull", "error / before")
    blocks = [columns(rows, header)] if rows else []
    rows = []
    for channel in content["channels"]:
        before, after = channel["prefit"], channel["postfit"]
        seen = "-" if channel["data"] is None else f"{sum(channel['data']):.0f}"
        rows.append(
            (
                channel["region"] + (" *" if channel["region"] in content["fitted"] else ""),
                f"{count(sum(before['total']))} +- {spread(before['sum_error'])}",
                f"{count(sum(after['total']))} +- {spread(after['sum_error'])}",
                seen,
            )
        )
    blocks.append(columns(rows, ("region (* fitted)", "before", "after", "data")))
    good = content["goodness"]
    p = "" if good["p"] is None else f", p = {good['p']:.3g}"
    blocks.append(f"chi2 / ndof = {good['chi2']:.1f} / {good['ndof']}{p}")
    return "\n\n".join(blocks)


def limit_table(signals):
    """Limits of limit.json; the strength, and the cross-section where it is known."""
    rows = []
    for name, one in signals.items():
        size = one["cross_section_pb"]
        band = " ".join(number(value, 3) for value in one["expected"])
        pb = "-" if size is None else number(size * one["expected"][2])
        seen = "blind" if one["asimov"] else number(one["observed"])
        rows.append((name, seen, band, pb, "toys" if one["method"] == "toys" else "formulas"))
    header = ("signal", "mu <", "expected -2 -1 0 1 2 sigma", "sigma < [pb]", "by")
    return columns(rows, header)


def significance_table(signals):
    """Significances of significance.json."""
    rows = []
    for name, one in signals.items():
        seen = one["observed"]
        unit = "pb" if one["cross_section_3_sigma_pb"] is not None else "mu"
        key = "cross_section_{}_sigma_pb" if unit == "pb" else "strength_{}_sigma"
        rows.append(
            (
                name,
                "blind" if seen is None else f"{seen['z']:.2f} ({seen['p0']:.2g})",
                f"{one['expected']['z']:.2f}",
                f"{one['asimov_z']:.2f}",
                f"{number(one[key.format(3)])} {unit}",
                f"{number(one[key.format(5)])} {unit}",
            )
        )
    return columns(rows, ("signal", "Z (p0)", "expected", "formula", "3 sigma at", "5 sigma at"))


def plane_table(content):
    """The signals of plane.json, and where exclusion ends along one mass."""
    rows = [
        (
            point["signal"],
            " ".join(number(point[axis], 6) for axis in "xy" if point[axis] is not None),
            number(point["observed"]),
            number(point["expected"][2]),
        )
        for point in content["points"]
    ]
    lines = [columns(rows, ("signal", "masses", "mu <", "expected"))]
    for kind, masses in (content["crossings"] or {}).items():
        if masses:
            lines.append(f"{kind} limit crosses mu = 1 at {', '.join(f'{m:.4g}' for m in masses)}")
    return "\n".join(lines)


def visible_table(regions):
    """Counts of visible.json."""
    rows = [
        (
            name,
            "blind" if one["observed"] is None else f"{one['observed']:.0f}",
            f"{count(one['background'])} +- {spread(one['error'])}",
            number(one["s95_observed"]),
            number(one["s95_expected"][2]),
            number(one["visible_fb_observed"]),
            "-" if one["z"] is None else f"{one['z']:.2f}",
        )
        for name, one in regions.items()
    ]
    header = ("region", "data", "background", "S95", "expected", "visible [fb]", "Z")
    return columns(rows, header)
