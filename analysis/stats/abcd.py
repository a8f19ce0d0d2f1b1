"""ABCD: how much background is where two independent variables are both signal-like.

        y signal-like   y background-like
         +-------------+-----------------+
         |      A      |        B        |   x signal-like
         +-------------+-----------------+
         |      C      |        D        |   x background-like
         +-------------+-----------------+

Where x and y are independent, A = B C / D. B, C and D are counted in data; simulation tells how
well that holds, and what other processes, which do not follow it, add to each corner.
"""

import math
import textwrap
from dataclasses import asdict, dataclass
from itertools import chain

import numpy as np
from scipy import optimize, special

from analysis.correlation import rank_correlation
from analysis.errors import DeclarationError, InputError
from analysis.stats.observable import observable_of, values_of
from analysis.stats.result import write_result
from analysis.stats.tables import columns, spread

CORNERS = "ABCD"
SIDES = ("high", "low")  # where an axis is signal-like
SHARES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5)  # of the background, beyond a cut
LEAST = 25.0  # expected events in each of B, C and D where the program chooses the cuts
SUB_SHARES = (0.5, 0.25, 0.1)  # of what is background-like, beyond the cuts of sub-regions
LARGE = 0.1  # correlation that is worth a warning
SIGMAS = 3.0  # so sure must it be
MOST_STEPS, PRECISION = 2000, 1e-9  # of a fit
BINS = 20  # about so many for an axis of the plane


@dataclass(frozen=True)
class Axis:
    """A variable, and where it is cut."""

    name: str  # of a feature, or of a detector
    score: bool  # of a detector
    label: str
    unit: str
    cut: float
    side: str  # high: values from the cut on are signal-like; low: those below it

    def signal_like(self, values, cut=None):
        """(events,) flags, perhaps for another cut."""
        above = values >= (self.cut if cut is None else cut)
        return above if self.side == "high" else ~above

    def __str__(self):
        return f"{self.name} {'>=' if self.side == 'high' else '<'} {self.cut:.5g}"


@dataclass(frozen=True)
class Events:
    """Events of samples in the plane."""

    x: np.ndarray  # (events,)
    y: np.ndarray  # (events,)
    weight: np.ndarray  # (events,)

    def take(self, flags):
        """The events that have a flag, an array, set."""
        return Events(self.x[flags], self.y[flags], self.weight[flags])

    @classmethod
    def joined(cls, several):
        """Those of several Events."""
        several = tuple(several)
        columns = ([getattr(one, name) for one in several] for name in ("x", "y", "weight"))
        return cls(*(np.concatenate([*column, np.empty(0)]) for column in columns))


@dataclass(frozen=True)
class Estimate:
    """B C / D of counts from which expected numbers of other processes are taken away."""

    value: float
    down: float  # to the ends of the interval of 68 %, by profile likelihood
    up: float
    propagated: float  # statistical error by propagation, for comparison
    subtraction: float  # error from that of what is subtracted


@dataclass(frozen=True)
class Closure:
    """How simulation fulfils A = B C / D."""

    background: float  # in A
    background_error: float
    estimate: float
    estimate_error: float
    ratio: float  # of the two: 1 where the method closes
    ratio_error: float


# --- the method -------------------------------------------------------------------------------


def count(events, x_flags, y_flags):
    """(4,) sums of weights in A, B, C, D, and (4,) sums of squared weights."""
    corner = 2 * ~x_flags + ~y_flags
    return tuple(
        np.bincount(corner, weights, 4).astype(float)
        for weights in (events.weight, events.weight**2)
    )


def estimate(counts, subtracted=(0, 0, 0), variances=(0, 0, 0)):
    """The Estimate of (3,) counts in B, C, D.

    subtracted, variances: (3,) expected numbers of other processes and their squared errors
    Raises InputError where D is empty.
    """
    counts, subtracted = np.asarray(counts, float), np.asarray(subtracted, float)
    b, c, d = np.maximum(counts - subtracted, 0.0)
    if d <= 0:
        raise InputError(
            f"corner D holds {counts[2]:.4g} events, of which {subtracted[2]:.4g} are subtracted, "
            "so that nothing can be divided by it: move the cuts with --cuts"
        )
    if 2 * special.kl_div(counts[2], subtracted[2]) <= 1:
        raise InputError(
            f"corner D holds {counts[2]:.4g} events, hardly more than the {subtracted[2]:.4g} that "
            "are subtracted: move the cuts with --cuts"
        )
    value = b * c / d
    slopes = np.array([c / d, b / d, value / d]) ** 2
    low, high = interval(counts, subtracted, value)
    return Estimate(
        value,
        value - low,
        high - value,
        float(np.sqrt(slopes @ counts)),
        float(np.sqrt(slopes @ np.asarray(variances, float))),
    )


def deviance(value, counts, subtracted=(0, 0, 0)):
    """Twice the log likelihood ratio of the best fit to that with B C / D = `value`.

    counts, subtracted: (3,) in B, C, D. For a given split of the counts into what is estimated and
    what is subtracted the best fit has a closed form (Lagrange: b = n_B - k, c = n_C - k,
    d = n_D + k); the split follows by expectation and maximisation.
    """
    counts, others = np.asarray(counts, float).tolist(), np.asarray(subtracted, float).tolist()
    b, c, d = (max(n - s, 0.0) for n, s in zip(counts, others, strict=True))
    value = float(value)
    for _ in range(MOST_STEPS):  # in plain numbers, which are quicker than arrays of three
        half = (b + c + value) / 2
        # The smaller root of (b - k) (c - k) = value (d + k), without cancellation.
        product = b * c - value * d
        root = math.sqrt(max(half**2 - product, 0.0))
        k = product / (half + root) if half + root > 0 else 0.0
        fitted = [max(b - k, 0.0), max(c - k, 0.0), max(d + k, 0.0)]
        total = [f + s for f, s in zip(fitted, others, strict=True)]
        split = zip(counts, fitted, total, strict=True)
        new = [n * f / both if both > 0 else 0.0 for n, f, both in split]
        moved = max(abs(new[0] - b), abs(new[1] - c), abs(new[2] - d))
        b, c, d = new
        if moved < PRECISION * (1 + sum(new)):
            break
    best = np.maximum(counts, others)
    return float(2 * np.sum(special.kl_div(counts, total) - special.kl_div(counts, best)))


def interval(counts, subtracted, value):
    """(low, high) between which `deviance` is below 1."""
    counts = np.asarray(counts, float)

    def excess(a):
        return deviance(a, counts, subtracted) - 1.0

    tiny = 1e-9 * (value + 1.0)
    low = 0.0 if value <= tiny or excess(tiny) < 0 else optimize.brentq(excess, tiny, value)
    high = max(value, 1.0)
    while excess(high) < 0:
        high *= 2
    return low, optimize.brentq(excess, value, high)


def significance(observed, counts, subtracted=(0, 0, 0, 0), relative=0.0):
    """How many standard deviations a count in A is above B C / D, negative below.

    counts: (3,) in B, C, D; subtracted: (4,) expected of others in A, B, C, D
    relative: Gaussian error of B C / D itself. The root of a profile likelihood ratio.
    """
    first, *others = map(float, subtracted)
    value = estimate(counts, others).value

    def total(logarithm):
        """-2 log likelihood ratio for a background in A, the best fit of the error included."""
        a = np.exp(logarithm)
        poisson = 2 * special.kl_div(observed, a + first)
        if not relative:
            return poisson + deviance(a, counts, others)

        def pulled(pull):
            return deviance(a / np.exp(relative * pull), counts, others) + pull**2

        return poisson + optimize.minimize_scalar(pulled, bounds=(-9, 9), method="bounded").fun

    high = np.log(10 * (value + observed + 10))
    best = optimize.minimize_scalar(total, bounds=(np.log(1e-6), high), method="bounded").fun
    best -= 2 * special.kl_div(observed, max(observed, first))
    return float(np.copysign(np.sqrt(max(best, 0.0)), observed - first - value))


def closure(sums, variances):
    """The Closure of (4,) sums of weights in A, B, C, D and (4,) sums of squared weights."""
    for corner, total in zip(CORNERS[1:], sums[1:], strict=True):
        if not total > 0:
            raise InputError(
                f"simulation expects {total:.3g} events of background in corner {corner}, so that "
                "nobody can tell whether the method holds: move the cuts with --cuts"
            )
    a, b, c, d = sums
    expected = b * c / d
    relative = np.sqrt(np.sum(variances[1:] / sums[1:] ** 2))
    ratio = a / expected
    error = np.hypot(np.sqrt(variances[0]) / expected, ratio * relative)
    return Closure(a, np.sqrt(variances[0]), expected, expected * relative, ratio, error)


def non_closure(closed):
    """Relative error of an estimate: how simulation misses it, or how well simulation knows."""
    return max(abs(closed.ratio - 1), closed.ratio_error)


# --- cuts -------------------------------------------------------------------------------------


def cut_at(values, weights, share, side):
    """The value beyond which a share of the weights is."""
    order = np.argsort(values if side == "low" else -values, kind="stable")
    reached = np.cumsum(weights[order])
    if not len(reached) or reached[-1] <= 0:
        return np.nan
    place = min(int(np.argmax(reached >= share * reached[-1])), len(order) - 1)
    return float(values[order[place]])


def choose_cuts(background, sides):
    """(x, y, share): the tightest cuts of SHARES with LEAST events in B, C and D.

    background: Events of simulation. Raises InputError where there are none.
    """
    for share in SHARES:
        cuts = [
            cut_at(values, background.weight, share, side)
            for values, side in zip((background.x, background.y), sides, strict=True)
        ]
        axes = [Axis("", False, "", "", c, s) for c, s in zip(cuts, sides, strict=True)]
        flags = axes[0].signal_like(background.x), axes[1].signal_like(background.y)
        if min(count(background, *flags)[0][1:]) >= LEAST:
            return *cuts, share
    raise InputError(
        f"no cuts leave {LEAST:.0f} events of simulated background in B, C and D: choose some with "
        "--cuts, or another region"
    )


# --- everything about a run -------------------------------------------------------------------


def estimate_background(results, options):
    """What `python -m analysis.stats abcd` finds, as abcd.json has it. Raises M3LError."""
    observables = (
        observable_of(results, options.feature, options.detector),
        observable_of(results, options.against),
    )
    if observables[0] == observables[1]:
        raise DeclarationError(
            f"'{options.against}' cannot be estimated against itself: choose another --against"
        )
    (region,) = results.choose_regions([options.region])
    subtract = results.choose_processes(options.subtract)
    samples = choose_samples(results, region, subtract, options)
    events = {
        sample.name: read_events(results, region, sample.name, observables) for sample in samples
    }

    def of(kind, processes=None):
        return Events.joined(
            events[s.name]
            for s in samples
            if s.kind == kind and (processes is None or s.process in processes)
        )

    processes = [
        process.name
        for process in results.processes
        if any(s.process == process.name and s.kind == "background" for s in samples)
    ]
    estimated = [name for name in processes if name not in subtract]
    background, others = of("background", estimated), of("background", subtract)
    everything = Events.joined([background, others])
    asimov = results.regions[region].declared_blind and not options.unblind
    data = everything if asimov else of("data")
    if not asimov and np.any(data.weight != 1):
        raise InputError(
            f"'{observables[0].name}' was trained on events of data, which cannot be counted then: "
            "train it with --folds"
        )
    if options.cuts:
        share = None
        cuts = options.cuts
    else:
        *cuts, share = choose_cuts(background, options.sides)
    axes = tuple(
        Axis(o.name, o.kind == "detector", o.label, o.unit, float(cut), side)
        for o, cut, side in zip(observables, cuts, options.sides, strict=True)
    )
    signals = {
        process.name: (process.label, of("signal", [process.name]))
        for process in results.processes
        if process.kind == "signal" and any(s.process == process.name for s in samples)
    }
    found = judge(axes, data, background, others, hidden=not options.unblind)
    found["correlation"]["processes"] = {
        name: correlate(of("background", [name])) for name in processes
    }
    found["signals"] = contaminate(axes, everything, signals)
    found["plane"] = draw_plane(axes, everything, data, signals, hidden=not options.unblind)
    head = {
        "region": region,
        "asimov": asimov,
        "x": asdict(axes[0]),
        "y": asdict(axes[1]),
        "share": share,
        "subtracted": list(subtract),
        "estimated": estimated,
    }
    return head | found | {"notes": warn(found, axes)}


def choose_samples(results, region, subtract, options):
    """The samples that are read. Raises M3LError where one cannot do without."""
    declared = results.regions[region]
    if declared.blind and options.unblind:
        raise InputError(
            f"{results.folder} was made without the data of '{region}', which is blind: make it "
            "again with run_rdf.py --unblind"
        )
    hidden = declared.declared_blind and not options.unblind
    samples = [s for s in results.visible(region) if not (hidden and s.kind == "data")]
    kinds = {s.kind for s in samples}
    if "data" not in kinds and not hidden:
        raise InputError(f"{results.folder} holds no data in '{region}': nothing to estimate from")
    backgrounds = {s.process for s in samples if s.kind == "background"}
    for name in subtract:
        if name not in backgrounds:
            raise DeclarationError(
                f"process '{name}' is no background in '{region}': not --subtract"
            )
    if not backgrounds - set(subtract):
        raise InputError(
            f"no simulated background is left in '{region}', with which the method is tested"
        )
    return samples


def read_events(results, region, sample, observables):
    """The Events of a sample (name)."""
    x, weights, rows = values_of(results, region, sample, observables[0])
    y, _, _ = values_of(results, region, sample, observables[1])
    return Events(x, y[rows], weights)


def judge(axes, data, background, others, hidden):
    """Estimate, closure, correlation and sub-regions, as abcd.json has them.

    hidden: data in A must not be looked at
    """
    x, y = axes

    def counted(events, inside=None, cuts=(None, None)):
        events = events if inside is None else events.take(inside(events))
        flags = x.signal_like(events.x, cuts[0]), y.signal_like(events.y, cuts[1])
        return count(events, *flags)

    counts, (sums, variances) = counted(data)[0], counted(background)
    expected, errors = counted(others)
    closed = closure(sums, variances)
    made = estimate(counts[1:], expected[1:], errors[1:])
    missed = made.value * non_closure(closed)
    rest = np.hypot(made.subtraction, missed)
    observed = None
    if not hidden:
        z = significance(counts[0], counts[1:], expected, rest / made.value if made.value else 0.0)
        observed = {
            "data": counts[0],
            "expected": made.value + expected[0],
            "z": z,
            "p0": float(special.ndtr(-z)),
        }
    corners = {
        corner: {
            "data": None if corner == "A" and hidden else counts[place],
            "subtracted": expected[place],
            "subtracted_error": np.sqrt(errors[place]),
            "background": sums[place],
            "background_error": np.sqrt(variances[place]),
        }
        for place, corner in enumerate(CORNERS)
    }
    insides = {
        "BD": lambda events: ~y.signal_like(events.y),
        "CD": lambda events: ~x.signal_like(events.x),
        "D": lambda events: ~x.signal_like(events.x) & ~y.signal_like(events.y),
    }
    validation = []
    for within, inside in insides.items():
        for share, cuts in sub_cuts(axes, background, within):
            sub = counted(data, inside, cuts)[0]
            others_here, squares = counted(others, inside, cuts)
            try:
                here = closure(*counted(background, inside, cuts))
                one = estimate(sub[1:], others_here[1:], squares[1:])
            except InputError:
                continue  # too few events for a test
            validation.append(
                {
                    "within": within,
                    "x": x.cut if cuts[0] is None else cuts[0],
                    "y": y.cut if cuts[1] is None else cuts[1],
                    "share": share,
                    "data": sub[0],
                    "estimate": one.value + others_here[0],
                    "error": [np.hypot(side, one.subtraction) for side in (one.down, one.up)],
                    "z": significance(sub[0], sub[1:], others_here),
                    "ratio": here.ratio,
                    "ratio_error": here.ratio_error,
                }
            )
    return {
        "corners": corners,
        "estimate": {
            "value": made.value,
            "statistical": [made.down, made.up],
            "propagated": made.propagated,
            "subtraction": made.subtraction,
            "non_closure": missed,
            "total": [np.hypot(made.down, rest), np.hypot(made.up, rest)],
        },
        "observed": observed,
        "closure": asdict(closed),
        "correlation": correlate(background),
        "validation": validation,
    }


def sub_cuts(axes, background, within):
    """[(share, (x cut or None, y cut or None))] of sub-regions without A, closest to it last.

    None: the cut of the axis itself
    """
    x, y = axes
    found = {}
    for share in SUB_SHARES:
        cuts = [None, None]
        for place, (axis, values) in enumerate(((x, background.x), (y, background.y))):
            if within == ("CD", "BD")[place] or within == "D":
                like = ~axis.signal_like(values)
                cuts[place] = cut_at(values[like], background.weight[like], share, axis.side)
        found.setdefault(tuple(cuts), share)  # a whole number may have the same cut twice
    return [(share, cuts) for cuts, share in found.items()]


def correlate(events):
    """The weighted rank correlation of the axes, as abcd.json has it."""
    value, error = rank_correlation(events.x, events.y, events.weight)
    return {"value": value, "error": error}


def contaminate(axes, background, signals):
    """{signal: what it adds to each corner, and how it would change the estimate}."""
    x, y = axes
    expected = count(background, x.signal_like(background.x), y.signal_like(background.y))[0]
    found = {}
    for name, (label, events) in signals.items():
        sums, variances = count(events, x.signal_like(events.x), y.signal_like(events.y))
        before, after = (b * c / d for _, b, c, d in (expected, expected + sums))
        shares = zip(CORNERS[1:], sums[1:] / expected[1:], strict=True)
        found[name] = {
            "label": label,
            "yields": dict(zip(CORNERS, sums, strict=True)),
            "errors": dict(zip(CORNERS, np.sqrt(variances), strict=True)),
            "shares": dict(shares),
            "shift": after / before - 1,
        }
    return found


def draw_plane(axes, background, data, signals, hidden):
    """Histograms of the plane, with the cuts among the edges; data is null in A where hidden."""
    edges = [
        axis_edges(axis, values)
        for axis, values in zip(axes, (background.x, background.y), strict=True)
    ]

    def histogram(events):
        inside = [np.clip(v, e[0], e[-1]) for v, e in zip((events.x, events.y), edges, strict=True)]
        return np.histogram2d(*inside, edges, weights=events.weight)[0]

    shown = histogram(data)
    if hidden:
        middles = [(e[:-1] + e[1:]) / 2 for e in edges]
        inside = [axis.signal_like(m) for axis, m in zip(axes, middles, strict=True)]
        shown[np.outer(*inside)] = np.nan
    return {
        "x_edges": edges[0],
        "y_edges": edges[1],
        "background": histogram(background),
        "data": shown,
        "signals": {name: histogram(events) for name, (_, events) in signals.items()},
    }


def axis_edges(axis, values):
    """Edges of equal bins over all but a hundredth of the values, at least one beyond the cut."""
    low, high = np.quantile(values, [0.005, 0.995])
    step = max(high - low, abs(axis.cut - low), abs(axis.cut - high)) / BINS or 1.0
    below, above = np.ceil([(axis.cut - low) / step, (high - axis.cut) / step])
    return axis.cut + step * np.arange(-max(below, 1), max(above, 1) + 1)


def warn(found, axes):
    """Sentences on what speaks against the estimate."""
    notes = []
    value, error = found["correlation"]["value"], found["correlation"]["error"]
    if abs(value) > max(LARGE, SIGMAS * error):
        notes.append(
            f"{axes[0].name} and {axes[1].name} are correlated in simulated background "
            f"({value:.2f} +- {error:.2f}): the estimate cannot be relied on"
        )
    ratio, error = found["closure"]["ratio"], found["closure"]["ratio_error"]
    if abs(ratio - 1) > SIGMAS * error:
        notes.append(
            f"the method does not close: simulation has {ratio:.2f} +- {error:.2f} times its own "
            "estimate in A"
        )
    for signal, content in found["signals"].items():
        corner, share = max(content["shares"].items(), key=lambda item: item[1])
        if share > 0.1:
            notes.append(
                f"{signal} would add {share:.0%} to corner {corner}, and {content['shift']:.0%} to "
                "the estimate"
            )
    for corner in CORNERS[1:]:
        inside = found["corners"][corner]
        if inside["data"] <= inside["subtracted"]:
            notes.append(f"corner {corner} holds no more data than what is subtracted there")
    return notes


# --- for people -------------------------------------------------------------------------------


def as_text(found):
    """Lines for a terminal of 80 columns."""
    x, y = (Axis(**found[axis]) for axis in "xy")
    how = "as given" if found["share"] is None else f"chosen: at least {found['share']:.0%} beyond"
    lines = [f"{found['region']}: {x} against {y}", f"cuts {how}", ""]
    rows = []
    for corner, place in zip(CORNERS, ("both", "x only", "y only", "neither"), strict=True):
        inside = found["corners"][corner]
        data = "hidden" if inside["data"] is None else f"{inside['data']:.5g}"
        cells = (
            f"{inside[key]:.5g} +- {spread(inside[key + '_error'])}"
            for key in ("subtracted", "background")
        )
        rows.append((f"{corner}  {place}", data, *cells))
    lines.append(columns(rows, ("signal-like", "data", "subtracted", "simulated background")))
    if found["asimov"]:
        lines.append("blind: what stands for data is simulated background")
    made, closed, related = found["estimate"], found["closure"], found["correlation"]
    down, up = made["statistical"]
    lines += [
        "",
        f"estimate of A  {made['value']:.4g} +{up:.2g} -{down:.2g} statistical "
        f"+- {made['subtraction']:.2g} subtraction +- {made['non_closure']:.2g} closure",
        f"closure        simulation in A is {closed['ratio']:.3f} +- {closed['ratio_error']:.3f} "
        "of its own estimate",
        f"correlation    {related['value']:.3f} +- {related['error']:.3f}, of weighted ranks in "
        "simulation",
    ]
    if seen := found["observed"]:
        lines.append(
            f"observed in A  {seen['data']:.5g}, expected {seen['expected']:.4g}: z = "
            f"{seen['z']:.2f}, p0 = {seen['p0']:.2g}"
        )
    rows = [
        (
            f"{test['within']:<3}x {test['x']:.4g}, y {test['y']:.4g}",
            f"{test['data']:.5g}",
            f"{test['estimate']:.4g} +{spread(test['error'][1])} -{spread(test['error'][0])}",
            f"{test['z']:.2f}",
            f"{test['ratio']:.2f} +- {test['ratio_error']:.2f}",
        )
        for test in found["validation"]
    ]
    if rows:
        lines += ["", columns(rows, ("validation", "data", "estimate", "z", "simulation"))]
    rows = [
        (name, *(f"{content['yields'][c]:.3g}" for c in CORNERS), f"{content['shift']:.1%}")
        for name, content in found["signals"].items()
    ]
    if rows:
        lines += ["", columns(rows, ("signal", *CORNERS, "changes A by"))]
    notes = (textwrap.wrap(f"note: {note}", 80, subsequent_indent="  ") for note in found["notes"])
    return [*lines, *chain.from_iterable(notes)]


def run_abcd(results, options):
    """Estimate, print and write abcd.json. Raises M3LError."""
    found = estimate_background(results, options)
    path = write_result(results, options.name, "abcd", options.words, found)
    print(*as_text(found), "", f"written to {path}", sep="\n")
