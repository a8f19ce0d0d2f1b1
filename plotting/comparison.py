"""How good the detectors are beside simple cuts: what study.json says, as tables and points."""

from dataclasses import dataclass

from analysis.study_files import scores_in_order

KINDS = {"detector": "detector", "rival": "simple cut", "supervised": "bound"}  # on the page
NOTHING = "–"


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
            f"{judged['auc']:.3f}",
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
