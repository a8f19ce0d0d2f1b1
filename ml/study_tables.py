"""The content of a study as tables: for the terminal and for LaTeX."""

from analysis.errors import listed
from analysis.study_files import scores_in_order

WIDTH = 100  # of the terminal
NOTHING = "-"


def as_text(content):
    """Yield the lines of the tables, at most WIDTH wide."""
    for signal in content["signals"]:
        yield from _signal_lines(content, signal)
        yield ""
    yield from _ratio_lines(content)
    yield from _frozen_lines(content)


def _signal_lines(content, signal):
    about = content["signals"][signal]
    share = about["share_without_pair"]
    without = f", {share:.0%} without an OSSF pair" if share is not None else ""
    yield f"{signal}: {about['events']} simulated events, {about['yield']:.4g} expected{without}"
    points = content["working_points"]
    heads = "".join(f" {f'at {100 * point:g} %':>15}" for point in points)
    yield f"{'improvement':<17}{'AUC':>6}{heads}{'raw/eff':>9}{'Z':>5}{'no pair':>8}{'pair':>6}"
    for name, score in scores_in_order(content):
        judged = score["signals"].get(signal)
        if judged is None:
            continue
        by_asked = {point["asked"]: point for point in judged["points"]}
        cells = "".join(f" {improvement(by_asked.get(point)):>15}" for point in points)
        last = by_asked.get(points[-1])
        number = f"{last['background_events']}/{last['background_effective']:.0f}" if last else ""
        z = _number(last and last["significance"])
        share = last["share_without_pair"] if last else None
        without = NOTHING if share is None else f"{share:.0%}"
        area = f"{judged['auc']:.3f}"
        paired = _number(last and last["improvement_with_pair"], 1)
        yield f"{name[:17]:<17}{area:>6}{cells}{number:>9}{z:>5}{without:>8}{paired:>6}"


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
    yield f"Best simple rival in hindsight, background {100 * point:g} % or as tight as supported"
    for signal, rival in best.items():
        yield f"  {signal:<30}{rival['name']:<12}{rival['improvement']:>8.2f}"
    head = f"{'geometric mean':>16}{'minimum':>9}"
    yield f"{'ratio to it':<22}{head}  worst signal"
    for name, _ in scores_in_order(content):
        if found := content["against_best_rival"].get(name):
            mean, least = found["geometric_mean"], found["minimum"]
            yield f"  {name[:20]:<20}{mean:>16.2f}{least:>9.2f}  {found['worst_signal'][:50]}"
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
        yield f"frozen on {date}: {listed(names, 6)}"[:WIDTH]
    for reason, names in others.items():
        yield f"NOT FROZEN ({reason}): {listed(names, 4)}"[:WIDTH]
    least = content["least_events"]
    yield (
        f"Intervals: 68 %, {content['replicas']} replicas. @: fewer than {least} effective events "
        "pass the tighter cut."
    )
    yield (
        f"Z: expected, at the tightest cut, background uncertainty "
        f"{content['background_uncertainty']:.0%} and that of the simulation."
    )
    yield (
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
