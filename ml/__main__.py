"""`python -m ml`: train on what run_rdf.py wrote, score it, use the model elsewhere."""

import argparse
import time
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path

from analysis import console
from analysis.errors import (
    DeclarationError,
    InputError,
    Parser,
    exit_on_mistake,
    listed,
    positive_integer,
)
from analysis.files import lock, restore_folder, write_file, write_json
from analysis.output import (
    DEFAULT_DETECTOR,
    DETECTOR_RECORD,
    MODELS,
    SCORES,
    STUDY,
    single_models,
)
from analysis.performance import EXPERIMENTS, REPLICAS, UNCERTAINTY
from analysis.records import SCALERS, plain_name
from analysis.study_files import EXPLAINED, STUDIED, share_lines
from ml.dataset import Dataset
from ml.detectors.base import DetectorRecord
from ml.detectors.declared import DETECTORS, find_detector
from ml.model_record import ModelRecord
from ml.models import MODELS as NETWORKS
from ml.models import find_network
from ml.training_set import TrainingConfig
from ml.tuning import METHODS, SearchSpace

# Modules that need TensorFlow are imported by the command that uses them: they take seconds.

FOLDS = TrainingConfig().folds
# The choices of a training that are options, with what `add_argument` wants.
OPTIONS = {
    field.name: {"default": field.default, **field.metadata}
    for field in fields(TrainingConfig)
    if field.metadata
}
NAMES = {"memory_gib": "--memory"}  # of options, where not that of the field


def parser():
    """The command line, commands in the order in which they are used."""
    top = Parser(prog="python -m ml", description=__doc__.split(": ", 1)[1])
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name, run, text):
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        return made

    def add_output(made):
        made.add_argument("output", metavar="OUT", type=Path, help="folder that run_rdf.py wrote")

    def add_training(made, model):
        add = made.add_argument
        add("--name", help=f"folder below OUT/models (default: {model})")
        add("--region", help="region whose tables are used (default: the run's first)")
        add("--scaler", choices=SCALERS, help="of the features (default: the network's)")
        for name, how in OPTIONS.items():
            add(NAMES.get(name, f"--{name.replace('_', '-')}"), dest=name, **how)
        add("--quiet", action="store_true", help="no progress")

    made = command("train", train, "train a detector on the simulated background")
    add_output(made)
    made.add_argument(
        "--detector",
        "--model",
        dest="model",
        default=DEFAULT_DETECTOR,
        metavar="NAME",
        help=f"{', '.join(DETECTORS)}, or an autoencoder: {', '.join(NETWORKS)} (%(default)s)",
    )
    made.add_argument(
        "--folds",
        type=positive_integer,
        metavar="K",
        help="train K models, so that each background event is scored by one that never saw it "
        f"(default: {FOLDS}; for an autoencoder one model, with a fifth for validation)",
    )
    made.add_argument(
        "--latent", type=positive_integer, metavar="N", help="size of the latent layer"
    )
    made.add_argument("--learning-rate", type=float, metavar="X", help="(default: the network's)")
    add_training(made, "the detector's name")

    made = command("tune", tune, "search sizes and activations, then train the best network")
    add_output(made)
    made.add_argument("--method", choices=METHODS, default="hyperband", help="(%(default)s)")
    made.add_argument(
        "--trials",
        type=positive_integer,
        default=20,
        help="networks to try; not for hyperband (20)",
    )
    made.add_argument(
        "--search-epochs",
        type=positive_integer,
        default=10,
        help="per network, at most (%(default)s)",
    )
    made.add_argument("--space", type=Path, metavar="TOML", help="default: that of the thesis")
    add_training(made, "tuned")

    def add_detectors(made, where):
        made.add_argument(
            "--detector",
            action="append",
            metavar="NAME",
            help=f"only this one; repeatable (default: all {where})",
        )
        made.add_argument(
            "--region", help="region whose tables are used (default: the run's first)"
        )

    def add_use(made):
        add_output(made)
        made.add_argument(
            "--model", metavar="NAME", help="below OUT/models, or a folder (default: the newest)"
        )
        made.add_argument(
            "-s", "--sample", action="append", metavar="NAME", help="only this one; repeatable"
        )

    made = command("score", score, "write OUT/scores/<detector>/<sample>.hdf5")
    add_use(made)
    made.add_argument("--errors", action="store_true", help="also the error of each feature")
    made.add_argument("--join", action="store_true", help="also the features")
    made = command("encode", encode, "write latent vectors to OUT/latent/<detector>/<sample>.hdf5")
    add_use(made)

    made = command("freeze", freeze, "write down detectors, features and rivals, with a date")
    add_output(made)
    add_detectors(made, "below OUT/models")
    made = command("study", study, "judge detectors beside simple rivals, for every signal")
    add_output(made)
    add_detectors(made, "whose scores are in OUT/scores")
    made.add_argument(
        "--signal", action="append", metavar="NAME", help="only this process; repeatable"
    )
    made.add_argument("--no-supervised", action="store_true", help="without the supervised bound")
    made.add_argument(
        "--uncertainty",
        type=share,
        default=UNCERTAINTY,
        metavar="X",
        help="of the background, relative, beside that of the simulation (%(default)s)",
    )
    made.add_argument(
        "--replicas", type=positive_integer, default=REPLICAS, help="of the bootstrap (%(default)s)"
    )
    made.add_argument(
        "--seed", type=natural, default=1, help="of bootstrap and bound (%(default)s)"
    )

    made = command("explain", explain, "explain the most anomalous events of data")
    add_output(made)
    made.add_argument(
        "--detector", metavar="NAME", help=f"(default: {DEFAULT_DETECTOR}, else the last to score)"
    )
    made.add_argument(
        "-n", type=positive_integer, default=10, dest="number", help="events (%(default)s)"
    )

    made = command(
        "protocol",
        protocol,
        "test p-values and injected signals on pseudo-data",
    )
    add_output(made)
    add_detectors(made, "whose scores are in OUT/scores")
    made.add_argument(
        "--signal", action="append", metavar="NAME", help="only this process; repeatable"
    )
    made.add_argument(
        "--experiments",
        type=positive_integer,
        default=EXPERIMENTS,
        metavar="N",
        help="sets of pseudo-data (%(default)s)",
    )
    made.add_argument("--seed", type=natural, default=1, help="of all draws (%(default)s)")
    made.add_argument(
        "--seeds",
        type=natural,
        default=0,
        metavar="N",
        help="also train each --detector N times, with other seeds",
    )

    made = command("challenge", challenge, "show a detector events that were changed on purpose")
    add_output(made)
    add_challenges(made)

    for name, run, text in (
        ("info", info, "print what a model is and how it was trained"),
        ("export", export, "write a model as ONNX, checked, and the selection it is for"),
    ):
        made = command(name, run, text)
        made.add_argument("model", metavar="MODEL", type=Path, help="folder of the model")
    return top


def add_challenges(command):
    """Add the studies of the thesis, each with its options."""
    common = argparse.ArgumentParser(add_help=False)
    add = common.add_argument
    add(
        "--detector",
        action="append",
        metavar="NAME",
        help=f"repeatable (default: {DEFAULT_DETECTOR})",
    )
    add("--region", help="region whose tables are used (default: the run's first)")
    add("--seed", type=natural, default=1, help="of all that is random (%(default)s)")
    add("--events", type=positive_integer, default=5000, help="altered, at most (%(default)s)")
    add(
        "--replicas", type=positive_integer, default=REPLICAS, help="of the bootstrap (%(default)s)"
    )
    learning = argparse.ArgumentParser(add_help=False)
    add = learning.add_argument
    add("--folds", type=positive_integer, default=FOLDS, metavar="K", help="(%(default)s)")
    for name in ("epochs", "batch"):
        add(f"--{name}", **OPTIONS[name])
    add("--quiet", action="store_true", help="no progress")
    studies = command.add_subparsers(dest="study", metavar="STUDY", required=True)

    def study(name, text, *parents):
        return studies.add_parser(name, help=text, description=text, parents=[common, *parents])

    made = study("leave-out", "a process that was left out of the training", learning)
    made.add_argument("process", metavar="PROCESS", help="of the background")
    made = study("momenta", "leading leptons' pT times factors")
    made.add_argument(
        "--factor", type=above_0, action="append", help="repeatable (default: 1.5, 3, 5, 7, 10)"
    )
    made.add_argument(
        "--leptons",
        type=int,
        choices=(1, 2, 3),
        action="append",
        help="number of them that are changed; repeatable (default: 1, and all 3)",
    )
    study("shuffle", "columns of different events")
    study("noise", "columns drawn at random")
    study("exchange", "types of objects that changed places")
    made = study("small-sample", "training on few events", learning)
    made.add_argument(
        "--share", type=part, default=0.01, metavar="X", help="of the events (%(default)s)"
    )
    study("data", "training on data instead of simulation", learning)
    made = study("blind", "pseudo-data with a hidden fraction of a signal")
    made.add_argument("--open", action="store_true", help="tell what the last test has hidden")


def train(options):
    """Train one model, or one per fold."""
    if options.model in DETECTORS:
        declared, folds = _detector(options), options.folds or FOLDS
    else:
        declared, folds = _network(options), options.folds
    dataset = Dataset.open(options.output, options.region)
    path = _model_path(options, options.model)
    config = _training(options, folds or FOLDS)
    with lock(path):
        from ml import ensemble

        began = time.perf_counter()
        trained = ensemble.train(dataset, path, declared, config, bool(folds), not options.quiet)
    records = [model.record_ for model in trained.models]
    # The records of a detector that is no network differ in their folds alone.
    for record in records[:1] if isinstance(records[0], DetectorRecord) else records:
        _describe(record)
    several = f", {len(records)} models," if len(records) > 1 else ""
    print(f"wrote {path}{several} in {time.perf_counter() - began:.0f} s")


def _detector(options):
    """The declared detector that was asked for, which has none of a network's options."""
    for name in ("latent", "learning_rate", "scaler"):
        if getattr(options, name) is not None:
            raise DeclarationError(
                f"--{name.replace('_', '-')} is of autoencoders, {options.model} is none"
            )
    return find_detector(options.model)


def _network(options):
    """The declared network that was asked for, with the options of the command line."""
    from ml.ensemble import find_declared

    network = find_declared(options.model)
    if options.latent:
        network = replace(network, latent=replace(network.latent, units=options.latent))
    if options.learning_rate is not None:
        if not options.learning_rate > 0:
            raise DeclarationError(
                f"--learning-rate {options.learning_rate}: must be larger than 0"
            )
        network = replace(network, learning_rate=options.learning_rate)
    if options.scaler:
        network = replace(network, scaler=options.scaler)
    return network


def tune(options):
    """Search, train the best, save it."""
    space = SearchSpace.read(options.space) if options.space else SearchSpace()
    dataset = Dataset.open(options.output, options.region)
    path = _model_path(options, "tuned")
    with lock(path):
        from ml.autoencoder import HyperParameterTuning

        base = find_network("deep")
        if options.scaler:
            base = replace(base, scaler=options.scaler)
        config = _training(options, FOLDS)
        tuning = HyperParameterTuning(dataset, path, base, config, space=space)
        tuning.runHpSearch(
            options.method, options.trials, options.search_epochs, not options.quiet
        ).save()
    print(f"{len(tuning.search_['trials'])} networks tried, the best was trained anew")
    _describe(tuning.record_)
    print(f"wrote {path}")


def score(options):
    """Score samples with the newest model or the one asked for."""
    dataset, ensemble, samples = _load(options, varied=True)
    from ml.score_files import write_scores

    left = max(len("sample"), *(len(sample.name) for sample in samples))
    left = min(left, console.width() - 49)  # a longer name moves its own line only
    print(f"{'sample':<{left}} {'kind':<10} {'events':>9} {'mean':>8} {'median':>8} {'top 1 %':>8}")
    began = time.perf_counter()
    events = 0
    for sample in samples:
        done = write_scores(dataset, ensemble, sample, errors=options.errors, join=options.join)
        events += done.events
        numbers = " ".join(f"{x:8.3f}" for x in (done.mean, done.median, done.last))
        print(f"{sample.name:<{left}} {sample.kind:<10} {done.events:>9} {numbers}")
        if done.worst:
            told = console.hanging("  largest errors: ", ", ".join(done.worst), console.width())
            print(*told, sep="\n")
    seconds = time.perf_counter() - began
    print(
        f"wrote {dataset.folder / SCORES / ensemble.path.name} with {ensemble.path}: {events} "
        f"events in {seconds:.1f} s, {ensemble.network_seconds / seconds:.0%} of it in the network"
    )


def encode(options):
    """Write latent vectors."""
    dataset, ensemble, samples = _load(options)
    from ml.score_files import write_latent

    for sample in samples:
        print(f"wrote {write_latent(dataset, ensemble, sample)}")


def freeze(options):
    """Write OUT/study/frozen.json."""
    from ml import frozen

    dataset = Dataset.open(options.output, options.region)
    path = options.output / STUDY / frozen.FROZEN
    with lock(path):
        content = frozen.freeze(dataset, options.detector)
    for name, entry in content["detectors"].items():
        late = entry["scored_signals"]
        after = f", after signals were scored: {listed(late)}" if late else ""
        print(f"{name:<20} frozen on {entry['date']}{after}")
    print(f"wrote {path}")


def study(options):
    """Judge detectors: OUT/study/study.json and study.tex."""
    from ml.study import Material, judge_all
    from ml.study_tables import as_latex, as_text

    material, folder = Material(options.output, options.region), options.output / STUDY
    with lock(folder / STUDIED):
        content = judge_all(
            material,
            detectors=options.detector,
            signals=options.signal,
            bound=not options.no_supervised,
            relative=options.uncertainty,
            seed=options.seed,
            replicas=options.replicas,
        )
        write_json(folder / STUDIED, content)
        write_file(folder / "study.tex", as_latex(content))
    for line in as_text(content):
        print(line)
    print(f"wrote {folder / STUDIED} and {folder / 'study.tex'}")


def explain(options):
    """Explain the most anomalous events: OUT/study/explained.json."""
    from ml.explained import as_text, explain_events

    path = options.output / STUDY / EXPLAINED
    content = explain_events(options.output, options.detector, options.number)
    write_json(path, content)
    for line in as_text(content):
        print(line)
    print(f"wrote {path}")


def protocol(options):
    """Examine detectors on pseudo-data: OUT/study/protocol.json."""
    from ml.protocol import as_text, examine, over_seeds
    from ml.study import Material, all_numbers

    if options.seeds and not options.detector:
        raise DeclarationError("--seeds: say which detectors to train again with --detector NAME")
    material = Material(options.output, options.region)
    path = options.output / STUDY / "protocol.json"
    with lock(path):
        signals = material.signals(options.signal) if material.of("signal") else []
        if not signals:
            print(f"no signal in {options.output}: nothing is injected")
        everything = all_numbers(material, options.detector, signals, print)
        content = examine(material, everything, signals, options.experiments, options.seed)
        if options.seeds:
            content["seeds"] = {
                name: over_seeds(material, name, signals, options.seeds, options.seed, print)
                for name in options.detector
            }
        write_json(path, content)
    for line in as_text(content):
        print(line)
    print(f"wrote {path}")


def challenge(options):
    """Judge detectors on altered events: OUT/study/<study>.json."""
    from ml import blind, challenges

    if options.study == "blind" and options.open:
        for line in blind.answer_as_text(blind.read_answer(options.output)):
            print(line)
        return
    dataset, folder = Dataset.open(options.output, options.region), options.output / STUDY
    detectors = tuple(dict.fromkeys(options.detector or (DEFAULT_DETECTOR,)))
    for name in detectors:
        if not plain_name(name):
            raise DeclarationError(f"--detector {name}: must be a plain folder name")
    choices = challenges.Choices(detectors, options.seed, options.events, options.replicas)
    name = options.study.replace("-", "_")
    if options.study == "leave-out":
        name += f"_{options.process}"
        if not plain_name(options.process):
            raise DeclarationError(f"PROCESS {options.process}: must be the name of a process")
    path = folder / f"{name}.json"
    with lock(path):
        if options.study == "blind":
            content, answer = blind.blind(dataset, choices)
            write_json(folder / blind.ANSWER, answer)
            text = blind.as_text(content)
        else:
            content = _challenge(options, dataset, choices)
            text = challenges.as_text(content)
        write_json(path, content)
    for line in text:
        print(line)
    print(f"wrote {path}")


def _challenge(options, dataset, choices):
    """The content of a study other than the blind test."""
    from ml import challenges

    if options.study == "momenta":
        more = {"factors": options.factor, "leptons": options.leptons}
        more = {name: tuple(dict.fromkeys(given)) for name, given in more.items() if given}
        return challenges.momenta(dataset, choices, **more)
    if options.study in ("shuffle", "noise", "exchange"):
        return getattr(challenges, options.study)(dataset, choices)
    training = TrainingConfig(
        folds=options.folds, seed=options.seed, epochs=options.epochs, batch=options.batch
    )
    progress = not options.quiet
    if options.study == "leave-out":
        return challenges.leave_out(dataset, choices, options.process, training, progress)
    if options.study == "small-sample":
        return challenges.small_sample(dataset, choices, training, options.share, progress)
    return challenges.data(dataset, choices, training, progress)


def info(options):
    """Print the records of a model; no network is loaded."""
    for folder in _folders(options.model):
        record = read_record(folder)
        _describe(record)
        print(f"  features   {listed(record.names, 1000)}")
        if hasattr(record, "dropped"):
            print(f"  dropped    {listed(record.dropped, 1000) or 'none'}")
        for name, table in record.inputs.items():
            print(f"  {name:<20} {table['process']:<14} {table['rows']:>9} rows {table['sha256']}")
        print(f"  versions   {', '.join(f'{k} {v}' for k, v in record.versions.items())}")


def export(options):
    """Write ONNX and selection.json; network.json and network.bin are there since the training."""
    from ml.exported import export_detector, export_network

    (first, *_) = _folders(options.model)
    network = isinstance(read_record(first), ModelRecord)
    (export_network if network else export_detector)(options.model, print)


def main(arguments=None):
    """Run a command."""
    options = parser().parse_args(arguments)
    with exit_on_mistake(
        "the same command goes on from the last complete epoch",
        memory="a smaller --memory streams the events from disk",
    ):
        with reading(options):
            options.run(options)


def natural(text):
    """Convert a word of the command line to a whole number from 0; raises ArgumentTypeError."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number from 0, not '{text}'")
    return int(text)


def share(text):
    """Convert a word of the command line to a number from 0 to 10; raises ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 10:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 10, not '{text}'")
    return value


def above_0(text):
    """Convert a word of the command line to a number above 0; raises ArgumentTypeError."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1000:
        raise argparse.ArgumentTypeError(f"must be a number above 0, 1000 at most, not '{text}'")
    return value


def part(text):
    """Convert a word of the command line to a share of a whole; raises ArgumentTypeError."""
    value = above_0(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, not '{text}'")
    return value


def reading(options):
    """Keep run_rdf.py from replacing the tables of the output folder that a command reads."""
    folder = getattr(options, "output", None)
    return (
        lock(folder / "output", shared=True, shown=f"output folder {folder}")
        if folder
        else nullcontext()
    )


def _training(options, folds):
    return TrainingConfig(folds=folds, **{name: getattr(options, name) for name in OPTIONS})


def _model_path(options, default):
    name = options.name or default
    if not plain_name(name):
        raise DeclarationError(f"--name {name}: must be a plain folder name")
    return options.output / MODELS / name


def _load(options, varied=False):
    """The folder's dataset, see `Dataset.open`, the model to use and the samples asked for."""
    path = _chosen_model(options)
    dataset = Dataset.open(options.output, read_record(_folders(path)[0]).region, varied)
    samples = dataset.named(options.sample) if options.sample else dataset.samples
    from ml.ensemble import Ensemble

    return dataset, Ensemble.load(path, dataset), samples


def _chosen_model(options):
    models = options.output / MODELS
    if options.model:
        for path in (models / options.model, Path(options.model)):
            if restore_folder(path).is_dir():
                return path
        raise InputError(f"no model {options.model} in {models}, and no such folder")
    if not options.output.is_dir():
        raise InputError(f"no folder {options.output}: write one with run_rdf.py")
    trained = [path for path in models.glob("[!.]*") if path.is_dir()]
    if not trained:
        raise InputError(f"no model in {models}: python -m ml train {options.output} first")
    return max(trained, key=lambda path: path.stat().st_mtime)


def _folders(path):
    return single_models(restore_folder(path))


def read_record(folder):
    """The ModelRecord or DetectorRecord in a folder, a Path. Raises InputError."""
    if (folder / DETECTOR_RECORD).exists():
        return DetectorRecord.read(folder)[0]
    return ModelRecord.read(folder)[0]


def _describe(record):
    """What a model is, in a few lines."""
    split = record.split
    fold = "" if split.test is None else f", leaves fold {split.test} of {split.folds} alone"
    if isinstance(record, DetectorRecord):
        rows = sum(table["rows"] for table in record.inputs.values())
        print(f"{record.config['name']}, a detector of kind {record.kind}{fold}")
        print(
            f"  trained on the other folds of {rows} events, {len(record.names)} features, "
            f"negative weights: {record.weights}, seed {record.seed}"
        )
        if not split.test:  # those of other folds are the same
            for line in share_lines(record.config.get("parts", ())):
                print(f"  {line}")
        return
    network = record.network
    sizes = "-".join(map(str, network.sizes(len(record.features))))
    print(f"{network.name} {sizes}{fold}")
    print(
        f"  trained on {record.train.events} events, validated on {record.validation.events}; "
        f"{len(record.features)} features, {len(record.dropped)} dropped that never vary"
    )
    print(
        f"  scaler {network.scaler}, negative weights: {record.training.weights}, "
        f"absent cells {'left out' if record.training.mask_absent else 'count'}, "
        f"seed {record.training.seed}"
    )
    best = record.best_epoch
    losses = record.history["val_loss"]
    print(f"  best epoch {best} of {len(losses)}: validation loss {losses[best - 1]:.5g}")
    if record.capped:
        print(
            f"  ended at the cap of {len(losses)} epochs, before the validation loss had settled: "
            "train with a larger --epochs"
        )


if __name__ == "__main__":
    main()
