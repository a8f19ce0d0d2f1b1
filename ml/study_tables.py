"""The content of a study as tables: for the terminal and for LaTeX."""

from analysis import console
from analysis.errors import listed
from analysis.study_files import scores_in_order

NOTHING = "-"


def as_text(content):
    """Yield the lines of the tables, in the width of the terminal."""
    for signal in content["signals"]:
        yield from _signal_lines(content, signal)
        yield ""
    yield from _ratio_lines(content)
    yield from _frozen_lines(content)


def _signal_lines(content, signal):
    about = content["signals"][signal]
    share = about["share_without_pair"]
    without = f", {share:.0%} without an OSSF pair" if share is not None else ""
    told = f"{signal}: {about['events']} simulated events, {about['yield']:.4g} expected{without}"
    yield from fitted(told)
    points = content["working_points"]
    rows = []
    for name, score in scores_in_order(content):
        judged = score["signals"].get(signal)
        if judged is None:
            continue
        by_asked = {point["asked"]: point for point in judged["points"]}
        last = by_asked.get(points[-1])
        number = f"{last['background_events']}/{last['background_effective']:.0f}" if last else ""
        share = last["share_without_pair"] if last else None
        rows.append(
            (
                name,
                f"{judged['auc']:.3f}",
                *(improvement(by_asked.get(point)) for point in points),
                number,
                _number(last and last["significance"]),
                NOTHING if share is None else f"{share:.0%}",
                _number(last and last["improvement_with_pair"], 1),
            )
        )
    asked = (f"at {100 * point:g} %" for point in points)
    heads = ("improvement", "AUC", *asked, "raw/eff", "Z", "no pair", "pair")
    yield from console.table(heads, rows, console.width())


def fitted(text):
    """A text as lines of the terminal."""
    return console.hanging("", text, console.width())


def improvement(point):
    """Improvement with its error, and where it is, if not where it was asked for."""
    if point is None:
        return NOTHING
    value = point["improvement"]
    text = f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
    if point["improvement_low"] is not None:
        text += f"±{(point['improvement_high'] - point['improvement_low']) / 2:.2g}"
    if point["supported"]:
        return text
    share = float(f"{100 * point['background_efficiency']:.2g}")
    return f"{text}@{share:g}%"


def _number(value, digits=0):
    """A number below 10 with two decimals, others with `digits`."""
    if value is None:
        return NOTHING
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.{digits}f}"


def _ratio_lines(content):
    best = content["best_rival"]
    if not best:
        return
    point = content["working_points"][-1]
    share = f"{100 * point:g} %"
    yield from fitted(
        f"Best simple rival in hindsight, background {share} or as tight as supported"
    )
    rows = [(s, rival["name"], f"{rival['improvement']:.2f}") for s, rival in best.items()]
    yield from console.table(("signal", "rival", "improvement"), rows, console.width())
    ratios = content["against_best_rival"]
    found = [(name, ratios[name]) for name, _ in scores_in_order(content) if ratios.get(name)]
    rows = [
        (name, f"{one['geometric_mean']:.2f}", f"{one['minimum']:.2f}", one["worst_signal"])
        for name, one in found
    ]
    heads = ("ratio to it", "geometric mean", "minimum", "worst signal")
    yield from console.table(heads, rows, console.width())
    yield ""


def _frozen_lines(content):
    frozen, others = {}, {}
    for name, score in content["scores"].items():
        if score["kind"] == "supervised":
            continue
        state = score["frozen"]
        after = f", {state['reason']}" if state["frozen"] and state["reason"] else ""
        into, key = (
            (frozen, state["date"] + after) if state["frozen"] else (others, state["reason"])
        )
        into.setdefault(key, []).append(name)
    for date, names in frozen.items():
        yield from fitted(f"frozen on {date}: {listed(names, 6)}")
    for reason, names in others.items():
        yield from fitted(f"NOT FROZEN ({reason}): {listed(names, 4)}")
    least = content["least_events"]
    yield from fitted(
        f"Intervals: 68 %, {content['replicas']} replicas. @: fewer than {least} effective events "
        "pass the tighter cut."
    )
    yield from fitted(
        f"Z: expected, at the tightest cut, background uncertainty "
        f"{content['background_uncertainty']:.0%} and that of the simulation."
    )
    yield from fitted(
        "no pair: share without an OSSF pair of the signal that passes; pair: improvement for the "
        "rest."
    )


def as_latex(content):
    """Improvements at the tightest working point as a LaTeX tabular, which needs booktabs."""
    signals = content["signals"]
    point = content["working_points"][-1]
    lines = [
        rf"\begin{{tabular}}{{l{'r' * len(signals)}rr}}",
        r"\toprule",
        " & ".join(
            [
                rf"$\varepsilon_B = {100 * point:g}\,\%$",
                *(about["label"] for about in signals.values()),
                "mean",
                "minimum",
            ]
        )
        + r" \\",
    ]
    before = None
    for name, score in scores_in_order(content):
        if score["kind"] != before:
            lines.append(r"\midrule")
        before = score["kind"]
        cells = [score["label"]]
        for signal in signals:
            points = score["signals"].get(signal, {}).get("points", ())
            (found,) = [p for p in points if p["asked"] == point] or [None]
            cells.append(_latex_cell(found))
        ratios = content["against_best_rival"].get(name)
        cells += (
            [f"${ratios[k]:.2f}$" for k in ("geometric_mean", "minimum")] if ratios else ["--"] * 2
        )
        lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    unsupported = any("*" in line for line in lines)
    least = content["least_events"]
    lines.append(
        "% Improvement and its 68 % interval; ratios are to the best rival of each signal, in "
        "hindsight."
        + (f"\n% *: the tightest cut that {least} effective events pass." if unsupported else "")
    )
    return "\n".join([*lines, ""])


def _latex_cell(point):
    if point is None:
        return "--"
    digits = 2 if abs(point["improvement"]) < 10 else 1
    text = f"{point['improvement']:.{digits}f}"
    if point["improvement_low"] is not None:
        up = point["improvement_high"] - point["improvement"]
        down = point["improvement"] - point["improvement_low"]
        text += f"^{{{up:+.{digits}f}}}_{{{-down:+.{digits}f}}}"
    return f"${text}$" + ("" if point["supported"] else "$^*$")
