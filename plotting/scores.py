"""What a detector found: scores, their rivals, training curves, latent space, top events.

Detectors stand side by side in OUT/scores, each in a folder of its own. One of them is shown in
all pictures; the others, and the simple cuts, are curves beside its own.
"""

import hashlib
from dataclasses import dataclass

import numpy as np

from analysis.correlation import correlation_of_ranks, weighted_ranks
from analysis.detector_files import read_detector_record
from analysis.errors import InputError
from analysis.output import (
    DETECTOR_RECORD,
    IDENTITY,
    LATENT,
    MODELS,
    SCORES,
    WEIGHT,
    read_model_record,
    single_models,
)
from analysis.performance import LEAST, effective_events, survival
from analysis.results import Histogram, read_frame
from analysis.rivals import Rival, possible_rivals
from analysis.samples import choose
from analysis.scored import checked_origin, detectors_shown, origin, read_scored
from analysis.study_files import share_lines
from plotting.intervals import poisson_interval
from plotting.matrix import members_of, model_records

MOST_RANKED = 100_000  # events at most from which correlations are taken


@dataclass(frozen=True)
class Scored:
    """Scored events of one sample which its detector has not been trained on."""

    sample: str
    process: str
    kind: str  # background, signal or data
    score: np.ndarray  # (events,)
    weight: np.ndarray  # (events,) scaled up to the yield of all events, trained on or not
    rivals: np.ndarray  # (events, rivals) in GeV, see analysis/rivals.py
    identity: np.ndarray  # (events, 3) DatasetNumber, RunNumber, EventNumber
    rows: np.ndarray  # (events,) positions in the tables of scores and features


@dataclass(frozen=True)
class Scores:
    """The scores that a detector gave in a region."""

    region: str
    detector: str
    samples: tuple[Scored, ...]
    rivals: tuple[Rival, ...]
    held_out: float  # share of the background's events that are not trained on

    def of(self, kind):
        """The samples of a kind."""
        return [scored for scored in self.samples if scored.kind == kind]

    def joined(self, samples):
        """(events, 1 + rivals) score and rivals, and (events,) weights, of several samples."""
        values = [np.column_stack([s.score, s.rivals]) for s in samples]
        return np.concatenate(values), np.concatenate([s.weight for s in samples])

    def numbers(self, column):
        """Values and weights of the background, and {signal: (values, weights)}.

        column: 0 for the score, others for the rivals
        Signals whose sum of weights is not above 0 are left out.
        """
        value, weight = self.joined(self.of("background"))
        signals = {}
        for process in dict.fromkeys(s.process for s in self.of("signal")):
            v, w = self.joined([s for s in self.of("signal") if s.process == process])
            if w.sum() > 0:
                signals[process] = v[:, column], w
        return value[:, column], weight, signals


def detectors(results):
    """Names of the detectors that have scored a sample, the one to be shown first."""
    return tuple(detectors_shown(results.folder))


def choose_detectors(results, names=()):
    """These detectors, the first to be shown; without names as `detectors`. Raises InputError."""
    found = detectors(results)
    if not found:
        folder = results.folder
        raise InputError(f"no scores in {folder / SCORES}: python -m ml score {folder}")
    return tuple(choose(list(names), dict.fromkeys(found), "detector that has scored this run"))


class KeptTables:
    """The tables of a run, of which each column is read once for several detectors."""

    def __init__(self, results):
        self.results, self.tables = results, {}

    def of(self, region, sample, names):
        """The table of a sample, names, with at least these columns."""
        if (region, sample) not in self.tables:
            with self.results.open_table(region, sample) as table:
                wanted = dict.fromkeys([*IDENTITY, WEIGHT, *names])
                self.tables[region, sample] = KeptColumns(table.read_columns(wanted))
        return self.tables[region, sample]


@dataclass(frozen=True)
class KeptColumns:
    """Columns of a table in memory, which reads as an open one."""

    columns: dict[str, np.ndarray]

    def read_columns(self, names):
        """{name: (events,)} of these names."""
        return {name: self.columns[name] for name in names}


def read_scores(results, detector, tables=None):
    """Read OUT/scores/<detector> of all samples that may be looked at.

    tables: KeptTables, where several detectors are read

    Events that the detector was trained on are left out, and the others of the sample scaled up to
    the sum of weights of all. Raises InputError where scores are missing or of other tables.
    """
    folder = results.folder / SCORES / detector
    again = f"python -m ml score {results.folder} --model {detector}"
    files = sorted(folder.glob("[!.]*.hdf5"))
    if not files:
        raise InputError(f"no scores in {folder}: {again}")
    first = origin(files[0])
    region, model = first["region"], first["model"]
    if region not in results.regions:
        raise InputError(f"the scores in {folder} are of region '{region}': {again}")
    tables = tables or KeptTables(results)
    rivals = possible_rivals(results.features)
    needed = list(dict.fromkeys(name for rival in rivals for name in rival.needs))
    samples, events = [], np.zeros(2)
    for sample in results.visible(region):
        path = folder / f"{sample.name}.hdf5"
        if not path.is_file():
            raise InputError(f"{folder} lacks sample '{sample.name}': {again}")
        one = read_scored(path, tables.of(region, sample.name, needed), needed, again)
        of = checked_origin(path, one.about)
        if (of["region"], of["model"]) != (region, model):
            raise InputError(f"the scores in {folder} are of several models: {again}")
        if sample.kind == "background":
            events += [len(one.rows), one.total]
        if "e_T_miss" in one.columns:
            one.columns["e_T_miss"] = one.columns["e_T_miss"] * results.energy_scale
        values = [rival(one.columns) for rival in rivals]
        samples.append(
            Scored(
                sample.name,
                sample.process,
                sample.kind,
                one.score,
                one.weight,
                np.stack(values, axis=1) if values else np.empty((len(one.rows), 0)),
                np.stack([one.columns[name] for name in IDENTITY], axis=1),
                one.rows,
            )
        )
    held_out = float(events[0] / max(events[1], 1))
    return Scores(region, detector, tuple(samples), rivals, held_out)


def score_histograms(scores, bins=40):
    """{sample: Histogram} of the scores, on an axis that holds all but a thousandth of them."""
    values = np.concatenate([scored.score for scored in scores.samples if scored.kind != "data"])
    low, high = np.quantile(values, [0.0005, 0.9995]) if len(values) else (0.0, 1.0)
    step = 0.05 * np.ceil(max(high - low, 1e-3) / bins / 0.05)
    low = np.floor(low / step) * step
    edges = low + step * np.arange(np.ceil((high - low) / step) + 1)
    return {s.sample: Histogram.of(s.score, s.weight, edges) for s in scores.samples}


@dataclass(frozen=True)
class Survival:
    """Data and signals where the background would be flat: shares of it that are as anomalous.

    The survival probability p of an event is the share of the background with at least its score.
    The first bin has no lower edge of its own: it holds all events below its upper edge.
    """

    detector: str
    edges: np.ndarray  # (bins + 1,) of p, rising
    background: np.ndarray  # (bins,) expected events
    background_error: np.ndarray  # (bins,) statistical
    data: np.ndarray | None  # (bins,) events; None: no data, or blind
    signals: dict[str, np.ndarray]  # process: (bins,) share of its events

    @property
    def data_interval(self):
        """(2, bins) ends of the exact central 68.3 % Poisson interval."""
        return poisson_interval(self.data)


def survival_of(scores, per_decade=3):
    """The Survival of a detector; bins as far as LEAST effective background events are in each."""
    value, weight, found = scores.numbers(0)
    if not weight.sum() > 0:
        return None

    def p_of(values):
        return np.clip(survival(values, value, weight), 0, 1)

    p, supported = p_of(value), [1.0]
    while effective_events(weight[p <= 10 ** (-len(supported) / per_decade)]) >= LEAST:
        supported.append(10 ** (-len(supported) / per_decade))
    edges = np.array([10 ** (-len(supported) / per_decade), *reversed(supported)])

    def count(p, w):
        place = np.maximum(np.searchsorted(edges, p, side="left") - 1, 0)
        return np.bincount(place, w, len(edges) - 1)

    data = [(p_of(scored.score), scored.weight) for scored in scores.of("data")]
    return Survival(
        scores.detector,
        edges,
        count(p, weight),
        np.sqrt(count(p, weight**2)),
        sum(count(*one) for one in data) if data else None,
        {process: count(p_of(v), w) / w.sum() for process, (v, w) in found.items()},
    )


def read_others(results, scores, names, tables, say):
    """[Scores] of other detectors, for the region of `scores`; `say` is told what is left out."""
    others = []
    for name in names:
        try:
            other = read_scores(results, name, tables)
        except InputError as error:
            say(f"{name} is left out: {error}")
            continue
        if other.region != scores.region:
            say(f"{name} is left out: its scores are of region {other.region}")
        elif not other.of("background"):
            say(f"{name} is left out: it has scored no simulated background")
        else:
            others.append(other)
    return others


def seed_of(*arrays):
    """A seed for random numbers that depends on the content of the arrays alone."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return int.from_bytes(digest.digest()[:8], "little")


def top_events(scored, number):
    """Positions of the highest scores, highest first; equal ones by identity."""
    order = np.lexsort((*scored.identity.T[::-1], -scored.score))
    return order[:number]


def mean_errors(results, scores, scored, share=0.01, at_least=1):
    """The mean share of each feature in the score of a sample's top events.

    What a feature adds to the score counts, what it takes away from it does not.

    scored: a sample, or several of them as a list
    share: part of the events that counts as top; at_least: but so many
    Returns (features,) names and (features,) shares in percent, or None where `ml score` was not
    asked for the errors of the features.
    """
    several = scored if isinstance(scored, list) else [scored]
    names, rows, values = None, [], []
    for one in several:
        frame = read_frame(results.folder / SCORES / scores.detector / f"{one.sample}.hdf5")
        columns = [name for name in frame if name.startswith("error_")]
        if not columns:
            return None
        names = names or columns
        errors = np.maximum(np.nan_to_num(frame[names].to_numpy(float)[one.rows]), 0.0)
        rows.append(errors)
        values.append(one.score)
    errors, values = np.concatenate(rows), np.concatenate(values)
    number = min(len(values), max(at_least, int(np.ceil(share * len(values)))))
    top = errors[np.argsort(-values, kind="stable")[:number]]
    total = top.sum(axis=1, keepdims=True)
    shares = np.divide(top, total, out=np.zeros_like(top), where=total > 0)
    return [name.removeprefix("error_") for name in names], 100 * shares.mean(axis=0)


def correlations(results, scores, kind):
    """Spearman's rank correlation of the score with each feature, over the events of a kind.

    Events count with the size of their weight; of very many, evenly spaced ones are taken.
    Returns (names, correlations, number of events); a feature that never varies has NaN.
    """
    names = list(results.features)
    blocks, values, weights = [], [], []
    samples = scores.of(kind)
    step = -(-sum(len(s.score) for s in samples) // MOST_RANKED) or 1
    for scored in samples:
        table = results.table(scores.region, scored.sample, names)
        blocks.append(table.to_numpy(np.float32)[scored.rows[::step]])
        values.append(scored.score[::step])
        weights.append(np.abs(scored.weight[::step]))
    found = np.full(len(names), np.nan)
    if not values or sum(map(len, values)) < 3:
        return names, found, 0
    features, weight = np.concatenate(blocks), np.concatenate(weights)
    score = weighted_ranks(np.concatenate(values), weight)
    for place, column in enumerate(features.T):
        found[place] = correlation_of_ranks(weighted_ranks(column, weight), score, weight)
    return names, found, len(score)


def training_curves(results, detector):
    """The training of a network: a list of {loss: (epochs,), val_loss: (epochs,), best: epoch}.

    One entry per fold. Returns () for a detector without epochs or whose folder is gone.
    """
    curves = []
    for folder in members_of(results.folder / MODELS / detector):
        record = read_model_record(folder)
        history = record["history"]
        curves.append(
            {
                "loss": np.array(history["loss"], float),
                "val_loss": np.array(history["val_loss"], float),
                "best": record["best_epoch"],
            }
        )
    return tuple(curves)


def shares_of(results, detector):
    """Lines that tell how a portfolio shares the background that may pass; none of others."""
    folder = results.folder / MODELS / detector
    if not folder.is_dir():
        return []
    first = single_models(folder)[0]
    if not (first / DETECTOR_RECORD).exists():
        return []
    return share_lines(read_detector_record(first)["config"].get("parts", ()))


def explained_events(scores, content):
    """The explained events among some Scores: [(Scored, position, entry of explained.json)].

    content: of explained.json. Raises InputError where it is of other scores.
    """
    if (content["detector"], content["region"]) != (scores.detector, scores.region):
        raise InputError(f"explained are events of {content['detector']} in {content['region']}")
    by_name, found = {scored.sample: scored for scored in scores.samples}, []
    for event in content["events"]:
        scored = by_name.get(event["sample"])
        identity = [event[name] for name in IDENTITY]
        places = [] if scored is None else np.flatnonzero((scored.identity == identity).all(axis=1))
        if len(places) != 1 or scored.score[places[0]] != event["scores"][scores.detector]["score"]:
            raise InputError("explained are events with other scores")
        found.append((scored, int(places[0]), event))
    return found


def latent_plane(results, scores):
    """The latent vectors of the scored samples in two dimensions.

    More than two dimensions are projected on the two main axes of the background. Of a model per
    fold, only the events of the first fold are used, since each has a latent space of its own.
    Returns ({sample: (events, 2)}, {sample: (events,) weights}, labels of the axes) or None where
    `python -m ml encode` has not been run for this detector, or where it has no latent space.
    """
    several = model_records(results).get(scores.detector, {}).get("members", 1) > 1
    vectors, weights = {}, {}
    for scored in scores.samples:
        path = results.folder / LATENT / scores.detector / f"{scored.sample}.hdf5"
        if not path.is_file() or origin(path)["region"] != scores.region:
            return None
        frame = read_frame(path)
        frame = frame[frame["fold"] == 0] if several else frame
        names = [name for name in frame if name.startswith("latent_")]
        vectors[scored.sample] = frame[names].to_numpy(float)
        weights[scored.sample] = frame[WEIGHT].to_numpy(float)
    background = np.concatenate([vectors[s.sample] for s in scores.of("background")])
    if len(background) < 3 or background.shape[1] < 2:
        return None
    if background.shape[1] == 2:
        return vectors, weights, ("Latent 1", "Latent 2")
    centre = background.mean(axis=0)
    size, axes = np.linalg.eigh(np.cov((background - centre).T))
    size, axes = size[::-1], axes[:, ::-1][:, :2]
    axes = axes * np.where(np.abs(axes).max(axis=0) == axes.max(axis=0), 1, -1)  # the same sign
    labels = tuple(
        f"Main axis {number + 1} of {len(size)} ({100 * size[number] / size.sum():.0f} %)"
        for number in range(2)
    )
    return {name: (v - centre) @ axes for name, v in vectors.items()}, weights, labels
