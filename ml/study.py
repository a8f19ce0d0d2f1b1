"""How good the detectors are: beside simple rivals and the supervised bound, for every signal.

Thresholds come from simulated background alone, data is not looked at, and events that a detector
was trained on are left out, with the others scaled up to the yield of all.
"""

from dataclasses import asdict, dataclass

import numpy as np

from analysis.errors import InputError, M3LError, listed
from analysis.output import SCORES, WEIGHT, read_run
from analysis.performance import (
    COMPARED,
    LEAST,
    ONE_SIGMA,
    REPLICAS,
    UNCERTAINTY,
    WORKING_POINTS,
    effective_events,
    judge,
)
from analysis.records import record_errors
from analysis.rivals import possible_rivals
from analysis.scored import require_detectors
from analysis.study_files import plain_point, without_nan
from ml import supervised
from ml.dataset import Dataset
from ml.detectors.declared import find_detector
from ml.ensemble import learn_in_folds
from ml.frozen import State, read_frozen, state_of_detector, state_of_rivals
from ml.score_files import read_scores
from ml.training_set import TrainingConfig

LEARNED = ("isolation", "pca")  # detectors that need no thought stand beside all others
BOUND = "supervised"  # name of the bound among the scores
WITH_PAIR = " with pair"  # behind the name of a signal, which has no space


@dataclass(frozen=True)
class Numbers:
    """A number per event, larger for what is more signal-like."""

    name: str
    kind: str  # detector, rival or supervised
    label: str  # LaTeX
    background: tuple[np.ndarray, np.ndarray]  # (events,) values and weights
    signals: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]  # and whether it has a pair
    state: State

    @property
    def held_out(self):
        """Raw number of background events."""
        return len(self.background[0])


class Material:
    """The tables of background and signals of a run, as far as a study needs them."""

    def __init__(self, folder, region=None):
        """Raises InputError where there is no run, no background or no event of it."""
        self.dataset = Dataset.open(folder, region)
        self.folder, self.region = self.dataset.folder, self.dataset.region
        run = read_run(folder)
        with record_errors(self.folder):
            self.scale = run["layout"]["energy_scale"]
            self.luminosity = run.get("luminosity_ifb")
            self.labels = {p["name"]: p["label"] for p in run.get("processes", ())}
        self.samples = self.dataset.of_kind("background", "signal")
        if not self.dataset.of_kind("background"):
            raise InputError(f"no sample of kind background in {self.folder}: nothing to judge on")
        names = set()
        for sample in self.samples:
            with sample.open() as table:
                here = set(table.columns)
            names = names & here if names else here
        self.rivals = possible_rivals(names)
        self.has_pairs = "m_sfos" in names
        needed = {name for rival in self.rivals for name in rival.needs}
        self.needed = sorted(needed | ({"m_sfos"} if self.has_pairs else set()))
        self.tables = {}
        for sample in self.samples:
            with sample.open() as table:
                self.tables[sample.name] = table.read_columns([WEIGHT, *self.needed])
        if not sum(self.tables[s.name][WEIGHT].sum() for s in self.of("background")) > 0:
            raise InputError(
                f"the weights of the background in {self.folder} add up to nothing above 0"
            )

    def of(self, kind):
        """The samples of a kind."""
        return [sample for sample in self.samples if sample.kind == kind]

    def signals(self, names=None):
        """Processes of kind signal that have events; `names`: only these. Raises InputError."""
        events = {}
        for sample in self.of("signal"):
            number = len(self.tables[sample.name][WEIGHT])
            events[sample.process] = events.get(sample.process, 0) + number
        if unknown := [name for name in names or () if name not in events]:
            there = f"choose from {listed(events, 12)}" if events else "there is none"
            raise InputError(f"no signal {listed(unknown)} in {self.folder}: {there}")
        if not events:
            raise InputError(
                f"no sample of kind signal in {self.folder}: there is nothing to find; declare one "
                "in the samples file"
            )
        chosen = [name for name in events if name in (names or events) and events[name]]
        if not chosen:
            raise InputError(f"no signal in {self.folder} has an event in region {self.region}")
        return chosen

    def numbers(self, name, kind, label, values, state, signals):
        """The Numbers of {sample: (values, weights, has a pair)} of all samples."""

        def joined(samples):
            return tuple(map(np.concatenate, zip(*(values[s.name] for s in samples), strict=True)))

        return Numbers(
            name,
            kind,
            label,
            joined(self.of("background"))[:2],
            {
                signal: joined([s for s in self.of("signal") if s.process == signal])
                for signal in signals
            },
            state,
        )

    def of_rivals(self, state, signals):
        """The Numbers of the rivals."""
        for rival in self.rivals:
            values = {}
            for name, table in self.tables.items():
                columns = self.in_gev(table)
                values[name] = rival(columns), table[WEIGHT].astype(float), self.pairs(table)
            yield self.numbers(rival.name, "rival", rival.label, values, state, signals)

    def of_detector(self, name, state, signals):
        """The Numbers of a detector whose scores are there. Raises InputError."""
        values = {}
        for sample in self.samples:
            if sample.kind == "signal" and sample.process not in signals:
                continue
            columns = ["m_sfos"] if self.has_pairs else []
            found = read_scores(self.dataset, name, sample, columns)
            values[sample.name] = found.score, found.weight, self.pairs(found.columns, found.score)
        return self.numbers(name, "detector", latex(name), values, state, signals)

    def of_learned(self, name, signals):
        """The Numbers of a detector that is trained here, in folds. Raises M3LError."""
        ensemble = learn_in_folds(self.dataset, find_detector(name), TrainingConfig())
        values = {}
        for sample in self.samples:
            if sample.kind == "signal" and sample.process not in signals:
                continue
            events = self.dataset.load([sample])
            score = ensemble.score(events).score.astype(float)
            values[sample.name] = score, events.weight, self.pairs(self.tables[sample.name])
        state = State(False, None, "trained by the study")
        return self.numbers(name, "detector", latex(name), values, state, signals)

    def of_bound(self, seed, signals):
        """{signal: Numbers} of trees that are shown this signal; needs LightGBM."""
        background = self.dataset.load(self.of("background"))
        for signal in signals:
            samples = [s for s in self.of("signal") if s.process == signal]
            events = self.dataset.load(samples)
            b, s = supervised.supervised_scores(background, events, seed, rounds=supervised.ROUNDS)
            pairs = np.concatenate([self.pairs(self.tables[x.name]) for x in samples])
            signals_ = {signal: (s, events.weight, pairs)}
            state = State(False, None, "it has seen the signal")
            yield Numbers(BOUND, BOUND, BOUND, (b, background.weight), signals_, state)

    def in_gev(self, table):
        """The columns of a table, with the cells of the matrix in GeV."""
        return table | {n: table[n] * self.scale for n in ("e_T_miss",) if n in table}

    def pairs(self, columns, like=None):
        """(events,) whether events have a pair of opposite sign and same flavour."""
        if not self.has_pairs:
            return np.ones(len(columns[WEIGHT] if like is None else like), bool)
        return columns["m_sfos"] > 0


def judge_all(
    material,
    *,
    detectors=None,
    signals=None,
    bound=True,
    relative=UNCERTAINTY,
    seed=1,
    replicas=REPLICAS,
    say=print,
):
    """Judge detectors, rivals and the bound: the content of OUT/study/study.json.

    material: Material; detectors, signals: names, None: all; bound: whether the supervised bound
    relative: uncertainty of the background; seed, replicas: of the bootstrap, the seed also of the
    bound; say: is given lines about what is left out. Raises InputError.
    """
    notes = []

    def note(line):
        notes.append(line)
        say(line)

    chosen = material.signals(signals)
    everything = all_numbers(material, detectors, chosen, note)
    if not material.has_pairs:
        note("the tables have no column m_sfos: no rival with a veto, and no shares without a pair")
    judged = {
        numbers.name: _judged(numbers, material, relative, seed, replicas) for numbers in everything
    }
    if bound and not supervised.is_possible():
        note("no supervised bound: LightGBM is not installed (pip install lightgbm)")
    elif bound:
        for signal in chosen:
            say(f"supervised bound for {signal}")
            try:
                (numbers,) = material.of_bound(seed, [signal])
            except InputError as error:
                note(f"{signal}: {error}")
                continue
            one = _judged(numbers, material, relative, seed, replicas)
            kept = judged.setdefault(BOUND, one)
            kept["signals"] |= one["signals"]
            kept["replicas"] |= one["replicas"]
    frozen = read_frozen(material.folder)
    content = {
        "format": 1,
        "region": material.region,
        "luminosity_ifb": material.luminosity,
        "background_uncertainty": relative,
        "seed": seed,
        "replicas": replicas,
        "least_events": LEAST,
        "working_points": list(WORKING_POINTS),
        "frozen": frozen["date"] if frozen else None,
        "notes": notes,
        "signals": {name: _about(material, name) for name in chosen},
        "best_rival": _best_rivals(judged, chosen),
    }
    content["against_best_rival"] = _against_best(judged, content["best_rival"])
    for one in judged.values():
        del one["replicas"]
    content["scores"] = judged
    return without_nan(content)


def all_numbers(material, detectors, signals, note):
    """The Numbers of detectors and rivals.

    detectors: names; None: all whose scores fit, and `note` is given a line about each other one
    Raises InputError where there is none.
    """
    frozen, everything, reason = read_frozen(material.folder), [], ""
    for name in require_detectors(material.folder, detectors):
        try:
            state = state_of_detector(frozen, material.dataset, name)
            everything.append(material.of_detector(name, state, signals))
        except M3LError as error:
            if detectors:
                raise
            reason = str(error)
            note(f"{name} is left out: {reason}")
    if not everything:
        raise InputError(f"no scores in {material.folder / SCORES} can be judged: {reason}")
    for name in LEARNED:
        if name in (numbers.name for numbers in everything):
            continue
        try:
            everything.append(material.of_learned(name, signals))
        except M3LError as error:
            note(f"{name} is left out: {error}")
    return [*everything, *material.of_rivals(state_of_rivals(frozen), signals)]


def _about(material, name):
    """What a signal is."""
    samples = [s for s in material.of("signal") if s.process == name]
    weight = np.concatenate([material.tables[s.name][WEIGHT] for s in samples])
    pairs = np.concatenate([material.pairs(material.tables[s.name]) for s in samples])
    return {
        "label": material.labels.get(name, latex(name)),
        "samples": [s.name for s in samples],
        "events": len(weight),
        "yield": float(weight.sum()),
        "share_without_pair": _share(weight, ~pairs) if material.has_pairs else None,
    }


def _judged(numbers, material, relative, seed, replicas):
    """How well Numbers tell each signal from the background."""
    value, weight = numbers.background
    signals = {}
    for name, (v, w, pair) in numbers.signals.items():
        signals[name] = v, w
        if material.has_pairs:
            signals[name + WITH_PAIR] = v[pair], w[pair]
    found = judge(value, weight, signals, relative=relative, seed=seed, replicas=replicas)
    made = {
        "kind": numbers.kind,
        "label": numbers.label,
        "frozen": asdict(numbers.state),
        "background_events": len(value),
        "background_effective": effective_events(weight),
        "signals": {},
        "replicas": {},
    }
    for name, (v, w, pair) in numbers.signals.items():
        if name not in found:  # its weights add up to nothing
            continue
        one, paired = found[name], found.get(name + WITH_PAIR)
        points = []
        for number, point in enumerate(one.points):
            entry = plain_point(point)
            passing = v >= point.cut.threshold
            entry["share_without_pair"] = (
                _share(w[passing], ~pair[passing]) if material.has_pairs else None
            )
            entry["improvement_with_pair"] = paired.points[number].improvement if paired else None
            points.append(entry)
        made["signals"][name] = {
            "auc": one.auc,
            "auc_low": one.auc_low,
            "auc_high": one.auc_high,
            "points": points,
        }
        made["replicas"][name] = one.replicas
    return made


def _share(weight, chosen):
    """Share of a sum of weights; NaN where it is not above 0."""
    total = float(weight.sum())
    return float(weight[chosen].sum()) / total if total > 0 else np.nan


def _place(score, signal):
    """Position of the compared point of a signal, None where there is none."""
    points = score["signals"].get(signal, {}).get("points", ())
    found = [n for n, point in enumerate(points) if point["asked"] == COMPARED]
    return found[0] if found else None


def _best_rivals(judged, signals):
    """{signal: the rival with the largest improvement at the compared point, in hindsight}."""
    best = {}
    for signal in signals:
        for name, score in judged.items():
            place = _place(score, signal)
            if score["kind"] != "rival" or place is None:
                continue
            point = score["signals"][signal]["points"][place]
            if signal not in best or point["improvement"] > best[signal]["improvement"]:
                best[signal] = {
                    "name": name,
                    "improvement": point["improvement"],
                    "background_efficiency": point["background_efficiency"],
                }
    return best


def _against_best(judged, best):
    """{score: its ratio to the best rival of each signal, their geometric mean, the smallest}."""
    found = {}
    for name, score in judged.items():
        ratios = {}
        for signal, rival in best.items():
            place = _place(score, signal)
            if place is None or not rival["improvement"] > 0:
                continue
            improvement = score["signals"][signal]["points"][place]["improvement"]
            other = judged[rival["name"]]
            with np.errstate(all="ignore"):
                drawn = score["replicas"][signal][:, place]
                drawn = drawn / other["replicas"][signal][:, _place(other, signal)]
            drawn = drawn[np.isfinite(drawn)]
            low, high = np.quantile(drawn, ONE_SIGMA) if len(drawn) else (np.nan, np.nan)
            ratios[signal] = {
                "ratio": improvement / rival["improvement"],
                "low": float(low),
                "high": float(high),
            }
        values = np.array([max(entry["ratio"], 0.0) for entry in ratios.values()])
        if not len(values):
            continue
        with np.errstate(divide="ignore"):
            mean = float(np.exp(np.mean(np.log(values))))
        found[name] = {
            "geometric_mean": mean,
            "minimum": float(values.min()),
            "worst_signal": list(ratios)[int(np.argmin(values))],
            "signals": ratios,
        }
    return found


def latex(name):
    """A name with LaTeX's own characters protected."""
    return name.replace("_", r"\_")
