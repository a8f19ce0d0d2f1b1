"""The studies of the thesis: does a detector tell events apart that were changed on purpose?

Each study alters background events, or trains a detector on something else, and judges how well
what is unusual is told from ordinary background, by `analysis.performance`: cuts come from the
background alone, and no event counts that a model has learned which scores it. Inputs stay as they
are; what a study writes is below OUT/study.
"""

from dataclasses import dataclass

import numpy as np

from analysis import console
from analysis.errors import InputError, listed
from analysis.files import restore_folder
from analysis.output import DEFAULT_DETECTOR, MODELS, read_run
from analysis.performance import LEAST, REPLICAS, WORKING_POINTS, effective_events, judge
from analysis.rivals import possible_rivals
from analysis.study_files import POINT_NAMES, plain_point, without_nan
from ml import altered, retrained
from ml.altered import Altered
from ml.study_tables import fitted, improvement

FACTORS = (1.5, 3.0, 5.0, 7.0, 10.0)  # on pT of leptons
LEPTONS = (1, 3)  # the leading one, and all three
EVENTS = 5000  # altered events, at most
SHARE = 0.01  # of the events, of a training on few


@dataclass(frozen=True)
class Judge:
    """Something that gives events a number, larger for what is more unusual."""

    name: str
    kind: str  # detector or rival
    trained: str  # on what; empty for a rival
    models: tuple[str, ...]  # their signatures
    folds: int  # into which the events are split; of a rival 1
    look: object  # Events -> (events,) numbers, and whether a model has learned the event


@dataclass(frozen=True)
class Choices:
    """What is the same for all studies."""

    detectors: tuple[str, ...] = (DEFAULT_DETECTOR,)
    seed: int = 1
    events: int = EVENTS
    replicas: int = REPLICAS


# ---- the studies: each returns what study.json of it holds


def momenta(dataset, choices, factors=FACTORS, leptons=LEPTONS):
    """PT of the leading leptons times factors; the content of OUT/study/momenta.json."""
    judges, background = _loaded(dataset, choices)
    made = altered.scaled(dataset, background, leptons, factors, choices.events, choices.seed)
    settings = {"factors": list(factors), "leptons": list(leptons)}
    return judged(dataset, choices, "momenta", judges, background, made, settings)


def exchange(dataset, choices):
    """Types of objects change places; the content of OUT/study/exchange.json."""
    judges, background = _loaded(dataset, choices)
    made = altered.exchanged(dataset, background, choices.events, choices.seed)
    return judged(dataset, choices, "exchange", judges, background, made)


def shuffle(dataset, choices):
    """Columns of different events; the content of OUT/study/shuffle.json."""
    judges, background = _loaded(dataset, choices)
    return judged(
        dataset, choices, "shuffle", judges, background, _shuffled(dataset, judges, choices)
    )


def noise(dataset, choices):
    """Columns drawn at random; the content of OUT/study/noise.json."""
    judges, background = _loaded(dataset, choices)
    made = altered.noise(dataset, background, choices.events, choices.seed)
    return judged(dataset, choices, "noise", judges, background, made)


def leave_out(dataset, choices, process, training, progress=False):
    """A process that no training saw is the signal; the content of OUT/study/leave_out_<process>.

    training: TrainingConfig. Detectors in OUT/models, which know the process, stand beside.
    """
    left_out, others = retrained.without_process(dataset, process)
    judges = _retrained(dataset, choices, others, training, f"without {process}", progress)
    rest = [s for s in dataset.of_kind("background") if s not in left_out]
    events = dataset.load(left_out)
    made = [Altered(process, events, len(events))]
    return judged(dataset, choices, f"leave_out_{process}", judges, _load(dataset, rest), made)


def small_sample(dataset, choices, training, share=SHARE, progress=False):
    """Training on a share of the events; the content of OUT/study/small_sample.json."""
    few = retrained.on_share(dataset, share, choices.seed)
    judges = _retrained(
        dataset, choices, few, training, f"on {100 * share:.3g} % of the events", progress
    )
    return _as_usual(dataset, choices, "small_sample", judges, {"share": share})


def data(dataset, choices, training, progress=False):
    """Training on collision data; the content of OUT/study/data.json."""
    collisions = retrained.on_data(dataset)
    judges = _retrained(dataset, choices, collisions, training, "on data", progress)
    return _as_usual(dataset, choices, "data", judges)


def _as_usual(dataset, choices, name, judges, settings=None):
    """The content of a study of another training: it is asked for signals and shuffled events."""
    background = load_background(dataset)
    made = signals(dataset) + _shuffled(dataset, judges, choices)
    return judged(dataset, choices, name, judges, background, made, settings)


# ---- what they are made of


def load_background(dataset):
    """All Events of the background. Raises InputError without any, or without weight."""
    samples = dataset.of_kind("background")
    if not samples:
        raise InputError(f"no sample of kind background in {dataset.folder}: nothing to judge on")
    return _load(dataset, samples)


def _load(dataset, samples):
    events = dataset.load(samples)
    if not events.weight.sum() > 0:
        raise InputError(
            f"the weights of the background in {dataset.folder} add up to nothing above 0"
        )
    return events


def signals(dataset):
    """The processes of kind signal that have events with weight, as Altered."""
    made = []
    for process in dict.fromkeys(sample.process for sample in dataset.of_kind("signal")):
        events = dataset.load([s for s in dataset.of_kind("signal") if s.process == process])
        if events.weight.sum() > 0:
            made.append(Altered(process, events, len(events)))
    return made


def detectors(dataset, names, optional=False):
    """Judges that are detectors in OUT/models; optional: those that are not there are left out.

    Raises InputError for one that is not there or of another region.
    """
    from ml.ensemble import Ensemble

    found = []
    for name in names:
        path = dataset.folder / MODELS / name
        if not restore_folder(path).is_dir():
            if optional:
                continue
            raise InputError(
                f"no model {name} in {dataset.folder / MODELS}: train it with python -m ml train, "
                "or name another one with --detector"
            )
        ensemble = Ensemble.load(path, dataset)
        region = ensemble.models[0].record_.region
        if region != dataset.region:
            raise InputError(f"{path} is of region '{region}', not '{dataset.region}': --region")
        found.append(_detector(name, ensemble, "on all background"))
    return found


def rivals(dataset):
    """Judges that are the rivals whose columns are among the features."""
    scale = read_run(dataset.folder)["layout"]["energy_scale"]
    return [_rival(rival, scale) for rival in possible_rivals(dataset.names)]


def _detector(name, ensemble, trained):
    def look(events):
        scored = ensemble.score(events)
        return scored.score.astype(float), scored.trained_on

    records = [model.record_ for model in ensemble.models]
    signatures = tuple(record.signature for record in records)
    return Judge(name, "detector", trained, signatures, records[0].split.folds, look)


def _rival(rival, scale):
    def look(events):
        columns = dict(zip(rival.needs, events.columns(rival.needs).T, strict=True))
        if "e_T_miss" in columns:  # a cell of the matrix
            columns["e_T_miss"] = columns["e_T_miss"] * scale
        return rival(columns), np.zeros(len(events), bool)

    return Judge(rival.name, "rival", "", (), 1, look)


def _loaded(dataset, choices):
    """Judges of a study without a training, and the background."""
    background = load_background(dataset)
    return [*detectors(dataset, choices.detectors), *rivals(dataset)], background


def _retrained(dataset, choices, learned_from, training, words, progress):
    """Judges of a study with a training, beside those in OUT/models."""
    judges = []
    for name in choices.detectors:
        ensemble = retrained.train(learned_from, name, training, progress)
        judges.append(_detector(name, ensemble, words))
    return [*judges, *detectors(dataset, choices.detectors, optional=True), *rivals(dataset)]


def _shuffled(dataset, judges, choices):
    """Shuffled events: within folds that are those of all detectors. Raises InputError."""
    folds = {judge.folds for judge in judges if judge.kind == "detector"}
    if len(folds) > 1:
        raise InputError(
            f"the detectors {listed(choices.detectors)} split the events differently, into "
            f"{listed(map(str, sorted(folds)))} folds: study them one by one"
        )
    events = load_background(dataset)
    return altered.shuffled(dataset, events, max(folds, default=1), choices.events, choices.seed)


# ---- judging


def judged(dataset, choices, study, judges, background, made, settings=None):
    """The content of a study: how well each of the Altered is told from the background."""
    found = [judge_one(judge, background, made, choices) for judge in judges]
    return without_nan(
        {
            "format": 1,
            "study": study,
            "region": dataset.region,
            "seed": choices.seed,
            "replicas": choices.replicas,
            "least_events": LEAST,
            "working_points": list(WORKING_POINTS),
            "settings": {"events": choices.events} | (settings or {}),
            "altered": [
                {"name": one.name, "tried": one.tried, "events": len(one.events)} for one in made
            ],
            "scores": found,
        }
    )


def judge_one(judge_, background, made, choices):
    """How well a Judge tells each of the Altered from the background, as plain values."""
    value, learned = judge_.look(background)
    if not np.isfinite(value).all():
        raise InputError(f"{judge_.name} gives ordinary background no finite score: train it again")
    value, weight = value[~learned], background.weight[~learned]
    if not weight.sum() > 0:
        raise InputError(
            f"{judge_.name} has learned all background: train it with folds, so that events are "
            "left to judge on"
        )
    values = {}
    for one in made:
        looked, known = judge_.look(one.events)
        # What has no score cannot be found.
        looked = np.where(np.isfinite(looked), looked, -np.inf)
        values[one.name] = looked[~known], one.events.weight[~known]
    found = judge(value, weight, values, seed=choices.seed, replicas=choices.replicas)
    return {
        "name": judge_.name,
        "kind": judge_.kind,
        "trained": judge_.trained,
        "models": list(judge_.models),
        "background_events": len(value),
        "background_effective": effective_events(weight),
        "altered": {name: _plain(found[name], len(values[name][0])) for name in found},
    }


LEFT_OUT = ("signal", "significance")  # of a Passed: there is no yield of altered events


def _plain(performance, events):
    """A Performance as plain values."""
    points = [plain_point(point, RENAMED) for point in performance.points]
    return {
        "events": events,
        "auc": performance.auc,
        "auc_low": performance.auc_low,
        "auc_high": performance.auc_high,
        "points": [{k: v for k, v in p.items() if k not in LEFT_OUT} for p in points],
    }


RENAMED = POINT_NAMES | {
    "events": "altered_events",
    "efficiency": "altered_efficiency",
    "efficiency_error": "altered_efficiency_error",
}


def as_text(content):
    """Yield the lines of the table, in the width of the terminal."""
    points = content["working_points"]
    tried = {one["name"]: one for one in content["altered"]}
    yield f"{content['study']}, region {content['region']}, seed {content['seed']}"
    for score in content["scores"]:
        yield ""
        trained = f", trained {score['trained']}" if score["trained"] else ""
        yield from fitted(
            f"{score['name']}{trained}: {score['background_events']} background events, "
            f"{score['background_effective']:.0f} effective"
        )
        rows = []
        for name in tried:
            one = score["altered"].get(name)
            if one is None:
                rows.append((name, "0", *[""] * (1 + len(points))))
                continue
            area = f"{one['auc']:.3f}"
            if one["auc_low"] is not None:
                area += f"±{(one['auc_high'] - one['auc_low']) / 2:.3f}"
            by_asked = {point["asked"]: point for point in one["points"]}
            cells = (improvement(by_asked.get(point)) for point in points)
            rows.append((name, str(one["events"]), area, *cells))
        heads = ("improvement", "events", "AUC", *(f"at {100 * point:g} %" for point in points))
        for line in console.table(heads, rows, console.width() - 2):
            yield f"  {line}"
    yield ""
    if lost := [f"{o['name']} {o['events']}/{o['tried']}" for o in tried.values() if _lost(o)]:
        yield from fitted(f"pass the cuts of the region: {listed(lost, 3)}")
    yield from fitted(
        f"Intervals: 68 %, {content['replicas']} replicas. @: fewer than {content['least_events']} "
        "effective events pass the tighter cut."
    )


def _lost(one):
    return one["events"] < one["tried"]
