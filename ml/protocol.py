"""Whether numbers keep what they promise, on pseudo-data drawn from the simulation.

An experiment splits the background in halves at random. The first gives the survival probability
of every score and the cut, the second gives pseudo-data: each event is taken as often as a Poisson
distribution says whose mean is its weight, scaled up from the half to all. So no event is compared
with itself. Events with a negative weight have none in either half.
"""

import subprocess
import sys
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.stats import kstwobign, nbinom, poisson

from analysis import console
from analysis.errors import InputError
from analysis.files import write_json
from analysis.output import MODELS, RUN, STUDY, TABLES, read_run, single_models
from analysis.performance import (
    COMPARED,
    EXPERIMENTS,
    bin_significance,
    choose_cuts,
    effective_events,
    judge,
    significance,
    survival,
)
from analysis.study_files import without_nan
from ml.frozen import State
from ml.study import Material
from ml.study_tables import fitted

STRENGTHS = (0.0, 1.0, 3.0, 5.0)  # expected significances of injected signals
SMALL = 0.05  # p-values below this are counted
FOUND = 3.0  # observed significance of a find


@dataclass(frozen=True)
class Experiment:
    """One split of the background and what is drawn from it."""

    cut: float
    expected: float  # background that passes, from the first half
    error: float  # of the simulation: both halves
    events: np.ndarray  # scores of the pseudo-data
    calibration: tuple[np.ndarray, np.ndarray]  # scores and weights of the first half
    effective: float  # events of which the difference between the two has the error


@dataclass(frozen=True)
class Uniformity:
    """P-values on pseudo-data without a signal."""

    experiments: int
    events: float  # in one experiment, on average
    ks_median: float  # median p-value of the test of all events' p-values for uniformity
    ks_small: float  # share of these p-values below SMALL, which should be SMALL
    count_median: float  # the same of the p-values of counting above the cut
    count_small: float
    count_ks: float  # p-value of the test of these for uniformity
    efficiency: float  # of the background at the cut, on average


@dataclass(frozen=True)
class Response:
    """What is observed where a signal was injected."""

    strength: float  # expected significance
    signal: float  # injected events, of which only a part passes the cut
    mean: float  # of the observed significance
    spread: float  # its standard deviation
    found: float  # share of experiments with at least FOUND


def experiments(value, weight, number, seed):
    """Yield the Experiments of (events,) numbers and weights of the background.

    Ends early where a half has too few events for a cut.
    """
    weight = np.maximum(weight, 0.0)
    total = weight.sum()
    for experiment in range(number):
        random = np.random.default_rng([seed, experiment])
        first, calibration, drawn = halves(weight, random)
        if not (calibration.sum() > 0 and drawn.sum() > 0):
            return
        cuts = choose_cuts(value[first], calibration[first], (COMPARED,))
        if not cuts:
            return
        (cut,) = cuts
        taken = random.poisson(drawn)
        above = value >= cut.threshold
        variance = np.sum(calibration[above] ** 2) + np.sum(drawn[above] ** 2)
        inverse = sum(1 / effective_events(w) for w in (calibration, drawn)) + 1 / total
        yield Experiment(
            cut.threshold,
            cut.background,
            float(np.sqrt(variance)),
            np.repeat(value, taken),
            (value[first], calibration[first]),
            float(1 / inverse),
        )


def halves(weight, random):
    """Split events at random, each half scaled up to the sum of all.

    weight: (events,) not negative. Returns whether each is in the first half, and the weights of
    both halves, 0 for the other one's; a half without weight stays 0.
    """
    first = random.random(len(weight)) < 0.5
    parts = [weight * first, weight * ~first]
    return first, *(p * (weight.sum() / p.sum()) if p.sum() > 0 else p for p in parts)


def examine_one(numbers, signals, count, seed, strengths=STRENGTHS):
    """Uniformity and Responses of Numbers over `count` experiments.

    signals: their names. Returns a Uniformity, None where there are too few events, and
    {signal: [Response]}, empty where none of it passes the cut.
    """
    tests, shares, counts, events = [], [], [], []
    observed = {signal: {strength: [] for strength in strengths} for signal in signals}
    injected = {signal: {strength: [] for strength in strengths} for signal in signals}
    for number, made in enumerate(experiments(*numbers.background, count, seed)):
        p = survival(made.events, *made.calibration)
        events.append(len(p))
        possible = survival(made.calibration[0], *made.calibration)
        tests.append(ks_pvalue(p, made.effective, possible))
        shares.append(made.expected / made.calibration[1].sum())
        background = int(np.sum(made.events >= made.cut))
        random = np.random.default_rng([seed, number, 1])
        counts.append(count_pvalue(background, made.expected, made.error, random.random()))
        for signal in signals:
            value, weight, _ = numbers.signals[signal]
            weight = np.maximum(weight, 0.0)
            above = weight[value >= made.cut]
            if not above.sum() > 0:
                continue
            random = np.random.default_rng([seed, number, 2, zlib.crc32(signal.encode())])
            for strength in strengths:
                factor = signal_for(strength, made.expected, made.error) / above.sum()
                # Signal events that fail the cut change no count.
                found = background + int(random.poisson(factor * above).sum())
                observed[signal][strength].append(
                    bin_significance(found, made.expected, made.error)
                )
                injected[signal][strength].append(factor * weight.sum())
    if not events:
        return None, {signal: [] for signal in signals}
    tests, counts = np.array(tests), np.array(counts)
    uniform = Uniformity(
        experiments=len(events),
        events=float(np.mean(events)),
        ks_median=float(np.median(tests)),
        ks_small=float(np.mean(tests < SMALL)),
        count_median=float(np.median(counts)),
        count_small=float(np.mean(counts < SMALL)),
        count_ks=ks_pvalue(counts, len(counts)),
        efficiency=float(np.mean(shares)),
    )
    responses = {
        signal: [
            Response(
                strength,
                float(np.mean(injected[signal][strength])),
                float(np.mean(found)),
                float(np.std(found)),
                float(np.mean(np.array(found) >= FOUND)),
            )
            for strength, found in observed[signal].items()
            if found
        ]
        for signal in signals
    }
    return uniform, responses


def ks_pvalue(p, effective, possible=None):
    """P-value of Kolmogorov's and Smirnov's test of (events,) p-values for uniformity.

    effective: events that would fluctuate as much as p, if there were no other error
    possible: all values that p can have, None: all from 0 to 1. A p-value that stands for several
        equal scores is the largest that they can have; so the distribution is right at these only.
    """
    if not len(p):
        return 1.0
    ordered = np.sort(p)
    if possible is None:
        below = np.arange(len(p)) / len(p)
        distance = max(np.max(below + 1 / len(p) - ordered), np.max(ordered - below))
    else:
        possible = np.unique(possible)
        share = np.searchsorted(ordered, possible, side="right") / len(p)
        distance = np.max(np.abs(share - possible))
    # M. A. Stephens, J. R. Stat. Soc. B 32 (1970) 115
    root = np.sqrt(effective)
    return float(kstwobign.sf((root + 0.12 + 0.11 / root) * distance))


def count_pvalue(observed, expected, error, uniform):
    """Probability of more events than observed, and of a share `uniform` of exactly so many.

    The expectation has a gamma distribution with its error. The share, drawn from 0 to 1, makes the
    p-values of a discrete count uniform.
    """
    if error > 0:
        shape = (expected / error) ** 2
        chance = nbinom(shape, shape / (shape + expected))
    else:
        chance = poisson(expected)
    return float(chance.sf(observed) + uniform * chance.pmf(observed))


def signal_for(strength, expected, error):
    """Events above a cut that are expected to have this significance."""
    if strength == 0:
        return 0.0
    most = 1.0
    while significance(most, expected, error) < strength:
        most *= 2
        if most > 1e12:
            raise InputError(
                f"no signal has {strength:g} sigma on {expected:.3g} +- {error:.3g} events"
            )
    return float(brentq(lambda s: significance(s, expected, error) - strength, 0.0, most))


def examine(material, everything, signals, count=EXPERIMENTS, seed=1):
    """The content of OUT/study/protocol.json: uniformity and responses of all Numbers."""
    scores = {}
    for numbers in everything:
        uniform, responses = examine_one(numbers, signals, count, seed)
        scores[numbers.name] = {
            "kind": numbers.kind,
            "frozen": asdict(numbers.state),
            "uniformity": asdict(uniform) if uniform else None,
            "injections": {
                signal: [asdict(one) for one in found] for signal, found in responses.items()
            },
        }
    return without_nan(
        {
            "format": 1,
            "region": material.region,
            "seed": seed,
            "experiments": count,
            "background_efficiency": COMPARED,
            "scores": scores,
        }
    )


def over_seeds(material, detector, signals, number, first, say):
    """How much a detector's improvements depend on the seed of its training.

    It is trained and scored anew with the seeds from `first` on, in OUT/study/seeds/<detector>/,
    where a link stands for the tables. Returns {signal: improvements, mean and spread}.
    """
    found = {signal: [] for signal in signals}
    folds = len(single_models(material.folder / MODELS / detector))
    for seed in range(first, first + number):
        folder = material.folder / STUDY / "seeds" / detector / str(seed)
        run_with_seed(material, folder, detector, folds, seed)
        again = Material(folder, material.region)
        state = State(False, None, "another seed")
        numbers = again.of_detector(detector, state, signals)
        values = {name: signal[:2] for name, signal in numbers.signals.items()}
        judged = judge(*numbers.background, values, points=(COMPARED,))
        for signal in signals:
            points = judged[signal].points if signal in judged else ()
            found[signal] += [point.improvement for point in points]
        say(f"{detector} with seed {seed}: {folder}")
    return without_nan(
        {
            signal: {
                "seeds": list(range(first, first + number)),
                "improvements": values,
                "mean": float(np.mean(values)) if values else None,
                "spread": float(np.std(values)) if values else None,
            }
            for signal, values in found.items()
        }
    )


def run_with_seed(material, folder, detector, folds, seed):
    """Train and score a detector in a folder that has the tables of the run as a link."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / RUN, read_run(material.folder))
    link = folder / TABLES
    if not link.is_symlink():
        link.symlink_to((material.folder / TABLES).resolve())
    several = ["--folds", str(folds)] if folds > 1 else []
    what = ["--detector", detector, "--seed", str(seed), "--region", material.region, "--quiet"]
    for command in (["train", *what, *several], ["score", "--model", detector]):
        name, *options = command
        done = subprocess.run(
            [sys.executable, "-m", "ml", name, str(folder.resolve()), *options],
            cwd=Path(__file__).parent.parent,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        if done.returncode:
            words = done.stderr.strip().splitlines() or [f"status {done.returncode}"]
            reason = words[-1].removeprefix("m3l: ")
            raise InputError(f"python -m ml {name} failed for {detector}, seed {seed}: {reason}")


def as_text(content):
    """Yield the lines of the tables."""
    yield f"P-values without a signal, {content['experiments']} experiments, seed {content['seed']}"
    yield (
        f"{'':<22}{'events: median p':>18}{'below 5 %':>11}{'count: median p':>18}{'below 5 %':>11}"
        f"{'uniform':>9}"
    )
    for name, score in content["scores"].items():
        u = score["uniformity"]
        if u is None:
            yield f"{name[:22]:<22}  too few events for a cut in half of the background"
            continue
        yield (
            f"{name[:22]:<22}{u['ks_median']:>18.2f}{u['ks_small']:>11.0%}"
            f"{u['count_median']:>18.2f}{u['count_small']:>11.0%}{u['count_ks']:>9.2g}"
        )
    yield ""
    signals = {signal for score in content["scores"].values() for signal in score["injections"]}
    for signal in sorted(signals):
        rows = []
        for name, score in content["scores"].items():
            found = score["injections"].get(signal)
            if not found:
                rows.append((name, *["nothing passes"] * len(STRENGTHS)))
                continue
            rows.append((name, *(f"{one['mean']:.2f}±{one['spread']:.2f}" for one in found)))
        heads = (f"{signal} injected", *(f"{strength:g} sigma" for strength in STRENGTHS))
        yield from console.table(heads, rows, console.width())
        yield ""
    yield from fitted(
        "Observed significance at the cut, mean and spread; it should be what was injected, ±1."
    )
    for detector, signals in content.get("seeds", {}).items():
        yield ""
        for signal, one in signals.items():
            values = ", ".join(f"{value:.2f}" for value in one["improvements"])
            yield from fitted(f"{detector}, {signal}: improvements over seeds {values}")
            if one["improvements"]:
                yield f"  mean {one['mean']:.2f}, spread {one['spread']:.2f}"
