"""How good the detectors are beside simple cuts, as tables and points.

What study.json says, or where there is none what `judge_detectors` finds, in the same form.
"""

from dataclasses import dataclass
from math import floor, isfinite, sqrt

import pandas as pd

from analysis import console
from analysis.performance import (
    LEAST,
    REPLICAS,
    UNCERTAINTY,
    WORKING_POINTS,
    effective_events,
    judge_all,
)
from analysis.study_files import plain_point, scores_in_order, without_nan
from plotting.style import number
from plotting.yields import decimals_of, latex_text, with_error

KINDS = {"detector": "detector", "rival": "simple cut", "supervised": "bound"}  # on the page
NOTHING = "–"
LINE = 80  # letters, also on the page
SHOWN_DETECTORS, SHOWN = 3, 6  # curves of a plot: of detectors, of all


@dataclass(frozen=True)
class Improvement:
    """The significance improvement of a score for a signal, at a cut."""

    name: str
    label: str  # LaTeX
    kind: str  # detector, rival or supervised
    value: float
    low: float | None  # ends of an interval of 68 %
    high: float | None
    efficiency: float | None  # of the background, where the cut that was asked for is not supported


@dataclass(frozen=True)
class Row:
    """A row of a table."""

    name: str
    label: str  # LaTeX
    kind: str  # one of KINDS
    cells: tuple[str, ...]


def judge_detectors(results, compared, replicas=REPLICAS):
    """How good several detectors and the simple cuts are, in the form of study.json.

    compared: [Scores], see plotting/scores.py; the simple cuts judge the events of the first
    Intervals are of the bootstrap of `python -m ml study`; signals without events are left out.
    """
    names, numbers = [], []
    for scores in compared:
        names.append((scores.detector, "detector", scores.detector))
        numbers.append(scores.numbers(0))
    for column, rival in enumerate(compared[0].rivals, 1):
        names.append((rival.name, "rival", rival.label))
        numbers.append(compared[0].numbers(column))
    judged = judge_all(numbers, relative=UNCERTAINTY, replicas=replicas)
    scores = {}
    for (name, kind, label), (_, weight, _), found in zip(names, numbers, judged, strict=True):
        scores[name] = {
            "kind": kind,
            "label": label,
            "background_effective": effective_events(weight),
            "signals": {
                signal: {
                    "auc": one.auc,
                    "auc_low": one.auc_low,
                    "auc_high": one.auc_high,
                    "points": [plain_point(point) for point in one.points],
                }
                for signal, one in found.items()
            },
        }
    shown = [p for p in results.processes if any(p.name in signals for *_, signals in numbers)]
    return without_nan(
        {
            "region": compared[0].region,
            "replicas": replicas,
            "least_events": LEAST,
            "background_uncertainty": UNCERTAINTY,
            "working_points": list(WORKING_POINTS),
            "signals": {
                p.name: {
                    "label": p.label,
                    "events": sum(len(s[p.name][0]) for *_, s in numbers[:1] if p.name in s),
                }
                for p in shown
            },
            "against_best_rival": {},
            "scores": scores,
        }
    )


def same_scores(study, judged, kinds=("detector",)):
    """Whether a study is of the scores of some kinds that `judge_detectors` has judged."""
    if study["region"] != judged["region"]:
        return False
    for name, score in judged["scores"].items():
        there = study["scores"].get(name, {"signals": {}})["signals"]
        if score["kind"] in kinds and not all(
            signal in there and abs(there[signal]["auc"] - one["auc"]) < 1e-9
            for signal, one in score["signals"].items()
        ):
            return False
    return True


def judge_or_look_up(results, compared, study):
    """As `judge_detectors`; intervals are those of a study of the same scores, if it has them."""
    if study is None or study["replicas"] < REPLICAS:
        return judge_detectors(results, compared)
    judged = judge_detectors(results, compared, replicas=0)
    if not same_scores(study, judged, ("detector", "rival")):
        return judge_detectors(results, compared)
    judged["scores"] = {name: study["scores"][name] for name in judged["scores"]}
    taken = ("replicas", "background_uncertainty", "working_points", "least_events")
    return judged | {key: study[key] for key in taken}


def best_rival(study, signal, asked=None):
    """The name of the simple cut that improves a signal most, in hindsight; None without any.

    asked: background efficiency; None: the tightest
    """
    asked = study["working_points"][-1] if asked is None else asked
    found = {
        name: value
        for name, score in study["scores"].items()
        if score["kind"] == "rival"
        and (value := improvement_of(study, score, signal, asked)) is not None
    }
    return max(found, key=found.get, default=None)


def improvement_of(study, score, signal, asked):
    """The improvement of a score for a signal at a background efficiency, or None."""
    point = point_of(study, score, signal, asked)
    return None if point is None else point["improvement"]


def ranked(study, signal):
    """[(name, score)] that say something about a signal, the largest improvement first."""
    asked = study["working_points"][-1]

    def key(item):
        value = improvement_of(study, item[1], signal, asked)
        return -1.0 if value is None else value

    return sorted(
        (item for item in study["scores"].items() if signal in item[1]["signals"]),
        key=key,
        reverse=True,
    )


def shown_curves(study, signal, first):
    """Names of the few scores whose curves a plot of a signal shows.

    The detector `first` and the best others, and the simple cuts that are best at a working point.
    """
    order = [name for name, _ in ranked(study, signal)]
    kinds = {name: score["kind"] for name, score in study["scores"].items()}
    detectors = [first, *(n for n in order if kinds[n] == "detector" and n != first)]
    best = [best_rival(study, signal, asked) for asked in reversed(study["working_points"])]
    rivals = dict.fromkeys([n for n in best if n] + [n for n in order if kinds[n] == "rival"])
    detectors = [n for n in detectors if n in order][:SHOWN_DETECTORS]
    return [*detectors, *list(rivals)[: SHOWN - len(detectors)]]


def improvements(study, signal):
    """The Improvements of all scores for a signal, at the tightest cut, in the order of a table."""
    found = []
    for name, score in scores_in_order(study):
        point = point_of(study, score, signal, study["working_points"][-1])
        if point is not None:
            looser = None if point["supported"] else point["background_efficiency"]
            interval = point["improvement_low"], point["improvement_high"]
            label = label_of(name, score)
            found.append(
                Improvement(name, label, score["kind"], point["improvement"], *interval, looser)
            )
    return found


def point_of(study, score, signal, asked):
    """The point of a score for a signal at a background efficiency; None where there is none."""
    points = score["signals"].get(signal, {}).get("points", ())
    return next((point for point in points if point["asked"] == asked), None)


def label_of(name, score):
    """LaTeX that names a score."""
    return {"detector": name, "supervised": "supervised bound"}.get(score["kind"], score["label"])


def signal_heads(study):
    """The heads of the columns of `signal_rows`."""
    return ("AUC", *map(asked_text, study["working_points"]), "Background events", "Z", "Frozen")


def signal_rows(study, signal):
    """The Rows of the table of a signal."""
    rows = []
    for name, score in scores_in_order(study):
        judged = score["signals"].get(signal)
        if judged is None:
            continue
        points = [point_of(study, score, signal, asked) for asked in study["working_points"]]
        tightest = points[-1]
        cells = (
            auc_text(study, score, signal, "±"),
            *map(improvement_text, points),
            passed_text(tightest),
            short(tightest and tightest["significance"]),
            frozen_text(score),
        )
        rows.append(Row(name, label_of(name, score), KINDS[score["kind"]], cells))
    return rows


def ratio_rows(study):
    """The Rows of the ratios to the best rivals: mean, smallest, for which signal, each signal."""
    rows = []
    for name, score in scores_in_order(study):
        if found := study["against_best_rival"].get(name):
            each = [ratio_text(found["signals"].get(signal)) for signal in study["signals"]]
            cells = (short(found["geometric_mean"]), short(found["minimum"]), *each)
            rows.append(
                Row(name, label_of(name, score), KINDS[score["kind"]], (*cells, frozen_text(score)))
            )
    return rows


def signal_lines(study, signal):
    """Lines of at most 80 letters: areas, and improvements at the two tightest cuts."""
    points = study["working_points"][-2:]
    best, rows = best_rival(study, signal), []
    for name, score in ranked(study, signal):
        mark = "*" if name == best else " "
        shown = "supervised bound" if score["kind"] == "supervised" else name
        found = [point_of(study, score, signal, asked) for asked in points]
        texts = [asymmetric_text(point, study["signals"][signal]["events"]) for point in found]
        if None not in found and found[0]["threshold"] == found[-1]["threshold"]:
            texts[-1] = "same cut"
        rows.append((f"{mark} {shown}", *texts, auc_text(study, score, signal)))
    heads = ("  improvement at", *map(asked_text, points), "AUC")
    columns = zip(heads, *rows, strict=True)
    first, *others = zip(*map(left, columns), strict=True)
    yield signal
    yield from console.table(first, others, LINE)
    if any(row[0].startswith("*") for row in rows):
        yield "* the best simple cut, in hindsight"


def left(texts):
    """Texts of a column with blanks behind them, so that they begin below each other."""
    width = max(map(len, texts))
    return [text.ljust(width) for text in texts]


def cut_lines(study, signal, name):
    """Lines of at most 80 letters: the cuts on a score, and what passes them."""
    events = study["signals"][signal]["events"]
    points = {p["threshold"]: p for p in study["scores"][name]["signals"][signal]["points"]}
    if not points:
        yield f"{signal}: too few background events for a cut on {name}"
        return
    yield f"{signal}, cuts on {name}:"
    for point in points.values():
        share = share_text(point["signal_efficiency"], point["signal_efficiency_error"], events)
        background = with_error(point["background"], point["background_error"])
        at = asked_text(float(f"{point['background_efficiency']:.2g}"))
        yield (
            f"  {at}: >= {point['threshold']:.4g}, s = {number(point['signal'])} ({share}), "
            f"b = {background}, Z = {point['significance'] or 0:.2g}"
        )
    if not point["supported"]:
        yield f"  fewer than {study['least_events']} effective background events pass a tighter cut"


def table_lines(study):
    """The lines of the tables of all signals, with what they mean."""
    for signal in study["signals"]:
        yield from signal_lines(study, signal)
        yield ""
    if not study["signals"]:
        return
    yield "Improvements are signal efficiency / sqrt(background efficiency), with intervals"
    yield f"of 68 % from {study['replicas']} replicas. @: the tightest cut that is supported, where"
    yield f"fewer than {study['least_events']} effective background events pass the one asked for."


def table_frame(study):
    """The tables as a DataFrame: a row for each signal, score and cut."""
    rows = []
    for signal in study["signals"]:
        best = best_rival(study, signal)
        for name, score in ranked(study, signal):
            judged = score["signals"][signal]
            about = {"signal": signal, "score": name, "kind": KINDS[score["kind"]]}
            about |= {"best_simple_cut": name == best}
            about |= {key: judged[key] for key in ("auc", "auc_low", "auc_high")}
            rows += [about | point for point in judged["points"]]
    return pd.DataFrame(rows)


def as_latex(study):
    """The tables as LaTeX tabulars, which need the package booktabs."""
    points = study["working_points"][-2:]
    lines = []
    for signal, about in study["signals"].items():
        best = best_rival(study, signal)
        heads = [about["label"], *(rf"{100 * asked:g}\,\%" for asked in points), "AUC"]
        lines += [rf"\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}", r"\toprule"]
        lines += [" & ".join(heads) + r" \\", r"\midrule"]
        for name, score in ranked(study, signal):
            label = label_of(name, score)
            cells = [latex_text(label) if score["kind"] == "detector" else label]
            cells[0] += r"$\,^{*}$" if name == best else ""
            for asked in points:
                cells.append(latex_improvement(point_of(study, score, signal, asked)))
            area = auc_text(study, score, signal, r"\pm")
            lines.append(" & ".join([*cells, f"${area}$"]) + r" \\")
        lines += [r"\bottomrule", r"\end{tabular}", ""]
    lines.append("% Improvements with intervals of 68 %. *: the best simple cut, in hindsight.")
    return "\n".join([*lines, ""])


def latex_improvement(point):
    """An improvement with its interval as LaTeX."""
    if point is None:
        return "--"
    value, low, high = (point[f"improvement{end}"] for end in ("", "_low", "_high"))
    text = short(value)
    if None not in (low, high):
        text = "{}_{{-{}}}^{{+{}}}".format(*with_sides(value, low, high))
    where = "" if point["supported"] else rf"\ (\mathrm{{at}}\ {looser_text(point)}\,\%)"
    return f"${text}{where}$"


def asymmetric_text(point, events):
    """An improvement and the lengths of its interval to both sides, and where it is.

    events: of the signal; where none passes, what one of them would mean is an upper bound
    """
    if point is None:
        return NOTHING
    value, low, high = (point[f"improvement{end}"] for end in ("", "_low", "_high"))
    if not point["signal_events"]:
        text = f"< {1 / max(events, 1) / sqrt(point['background_efficiency']):.2g}"
    elif None in (low, high):
        text = short(value)
    elif not point["supported"]:
        text = with_error(value, (high - low) / 2)
    else:
        text = "{} -{} +{}".format(*with_sides(value, low, high))
    return text if point["supported"] else f"{text} @{looser_text(point)}%"


def with_sides(value, low, high):
    """A number and how far its interval reaches down and up, with two digits of the larger."""
    down, up = max(value - low, 0.0), max(high - value, 0.0)
    decimals = min(decimals_of(max(down, up)), 3)
    return tuple(f"{number:.{decimals}f}" for number in (value, down, up))


def looser_text(point):
    """The background efficiency of a cut, in percent."""
    percent = float(f"{100 * point['background_efficiency']:.2g}")
    return f"{percent:g}"


def auc_text(study, score, signal, sign="+-"):
    """The area under the curve of a score for a signal."""
    judged = score["signals"][signal]
    effective = min(score["background_effective"], study["signals"][signal]["events"])
    low, high = judged["auc_low"], judged["auc_high"]
    error = None if None in (low, high) else (high - low) / 2
    return share_text(judged["auc"], error, effective, sign)


def share_text(value, error, effective, sign="+-"):
    """A share with two significant digits of its error.

    effective: events of the sample, or the smaller of two. At 0 and 1, where no replica differs,
        the bound that one event of them would mean stands for the error.
    """
    if error is None or not isfinite(error):
        return f"{value:.4f}"
    if error > 1e-9:
        return with_error(value, error, sign)
    one = 1 / max(effective, 1.0)
    decimals = decimals_of(one)
    if value >= 1 - 1e-9:
        return f"> {floor((1 - one) * 10**decimals) / 10**decimals:.{decimals}f}"
    if value <= 1e-9:
        return f"< {one:.{decimals}f}"
    return f"{value:.4f}"


def asked_text(efficiency):
    """A background efficiency in percent."""
    return f"{100 * efficiency:g} %"


def improvement_text(point):
    """An improvement with its interval, and where it is, if not where it was asked for."""
    if point is None:
        return NOTHING
    text = with_interval(point["improvement"], point["improvement_low"], point["improvement_high"])
    where = f" at {100 * point['background_efficiency']:.2g} %"
    return text if point["supported"] else text + where


def passed_text(point):
    """Raw and effective numbers of the background events that pass."""
    if point is None:
        return NOTHING
    return f"{point['background_events']} / {point['background_effective']:.0f}"


def ratio_text(ratio):
    """A ratio with its interval."""
    return (
        NOTHING if ratio is None else with_interval(*(ratio[k] for k in ("ratio", "low", "high")))
    )


def with_interval(value, low, high):
    """A number and the ends of its interval, where they are known."""
    return (
        short(value) if None in (low, high) else f"{short(value)} ({short(low)} to {short(high)})"
    )


def short(value):
    """A number with two decimals, from 10 with one."""
    if value is None:
        return NOTHING
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def frozen_text(score):
    """Whether a score was frozen, with the day, or why not."""
    if score["kind"] == "supervised":
        return NOTHING
    state = score["frozen"]
    if not state["frozen"]:
        return "no" if state["reason"] in (None, "", "not frozen") else f"no: {state['reason']}"
    day = f"on {(state['date'] or '')[:10]}"
    return f"{day}, {state['reason']}" if state["reason"] else day
