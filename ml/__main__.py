"""``python -m ml``: train on what run_rdf.py wrote, score it, use the model elsewhere."""

import argparse
import time
from dataclasses import replace
from pathlib import Path

from analysis.errors import (
    DeclarationError,
    InputError,
    Parser,
    exit_on_mistake,
    listed,
    positive_integer,
)
from analysis.files import lock, restore_folder
from analysis.output import MODELS, SCORES
from ml.dataset import Dataset
from ml.models import MODELS as NETWORKS
from ml.models import named
from ml.scaling import KINDS as SCALERS
from ml.training_set import WEIGHTS, TrainingConfig
from ml.tuning import METHODS, SearchSpace

# Modules that need TensorFlow are imported by the command that uses them: they take seconds.

DEFAULTS = TrainingConfig()


def parser() -> argparse.ArgumentParser:
    """The command line, commands in the order in which they are used."""
    top = Parser(prog="python -m ml", description=__doc__.split(": ", 1)[1])
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, run, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        return made

    def add_output(made):
        made.add_argument("output", metavar="OUT", type=Path, help="folder that run_rdf.py wrote")

    def add_training(made, model: str):
        add = made.add_argument
        add("--name", help=f"folder below OUT/models (default: {model})")
        add("--region", help="region whose tables are used (default: the run's first)")
        add(
            "--epochs", type=positive_integer, default=DEFAULTS.epochs, help="at most (%(default)s)"
        )
        add(
            "--batch",
            type=positive_integer,
            default=DEFAULTS.batch,
            help="events a step (%(default)s)",
        )
        add(
            "--patience",
            type=positive_integer,
            default=DEFAULTS.patience,
            help="stop after so many epochs without a better validation loss (%(default)s)",
        )
        add(
            "--weights",
            choices=WEIGHTS,
            default=DEFAULTS.weights,
            help="what negative event weights become in training (%(default)s); "
            "in yields they always count as they are",
        )
        add("--scaler", choices=SCALERS, help="of the features (default: the network's)")
        add(
            "--mask-absent",
            action="store_true",
            help="leave the cells of missing objects out of scaler, loss and score",
        )
        add("--seed", type=int, default=DEFAULTS.seed, help="(%(default)s)")
        add(
            "--memory",
            type=float,
            default=DEFAULTS.memory_gib,
            metavar="GIB",
            help="stream larger training sets from the tables (%(default)s)",
        )
        add(
            "--precision",
            choices=("float32", "mixed_bfloat16"),
            default=DEFAULTS.precision,
            help="of the arithmetic in training (%(default)s)",
        )
        add(
            "--jit",
            action=argparse.BooleanOptionalAction,
            default=None,
            help="compile with XLA (default: on a GPU)",
        )
        add(
            "--steps-per-call",
            type=positive_integer,
            metavar="N",
            help="training steps without return to Python (default: up to 8, on a GPU up to 64)",
        )
        add("--tensorboard", action="store_true", help="also write logs for TensorBoard")
        add("--quiet", action="store_true", help="no progress")

    made = command("train", train, "train an autoencoder on the simulated background")
    add_output(made)
    made.add_argument(
        "--model", default="small", metavar="NAME", help=f"{', '.join(NETWORKS)} (%(default)s)"
    )
    made.add_argument(
        "--folds",
        type=positive_integer,
        metavar="K",
        help="train K models, so that each background event is scored by one that never saw it "
        "(default: one model; a fifth of the events is for validation)",
    )
    made.add_argument(
        "--latent", type=positive_integer, metavar="N", help="size of the latent layer"
    )
    made.add_argument("--learning-rate", type=float, metavar="X", help="(default: the network's)")
    add_training(made, "the network's name")

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

    def add_use(made):
        add_output(made)
        made.add_argument(
            "--model", metavar="NAME", help="below OUT/models, or a folder (default: the newest)"
        )
        made.add_argument(
            "-s", "--sample", action="append", metavar="NAME", help="only this one; repeatable"
        )

    made = command("score", score, "write OUT/scores/<sample>.hdf5")
    add_use(made)
    made.add_argument("--errors", action="store_true", help="also the error of each feature")
    made.add_argument("--join", action="store_true", help="also the features")
    made = command("encode", encode, "write latent vectors to OUT/latent/<sample>.hdf5")
    add_use(made)

    for name, run, text in (
        ("info", info, "print what a model is and how it was trained"),
        ("export", export, "write a model as ONNX, checked against Keras"),
    ):
        made = command(name, run, text)
        made.add_argument("model", metavar="MODEL", type=Path, help="folder of the model")
    return top


def train(options) -> None:
    """Train one model, or one per fold."""
    network = named(options.model)
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
    dataset = Dataset.open(options.output, options.region)
    path = _model_path(options, options.model)
    config = _training(options, options.folds or DEFAULTS.folds)
    with lock(path):
        from ml import ensemble

        began = time.perf_counter()
        trained = ensemble.train(
            dataset, path, network, config, bool(options.folds), not options.quiet
        )
    for model in trained.models:
        _describe(model.record_)
    print(f"wrote {path} in {time.perf_counter() - began:.0f} s")


def tune(options) -> None:
    """Search, train the best, save it."""
    space = SearchSpace.read(options.space) if options.space else SearchSpace()
    dataset = Dataset.open(options.output, options.region)
    path = _model_path(options, "tuned")
    with lock(path):
        from ml.autoencoder import HyperParameterTuning

        base = named("deep")
        if options.scaler:
            base = replace(base, scaler=options.scaler)
        config = _training(options, DEFAULTS.folds)
        tuning = HyperParameterTuning(dataset, path, base, config, space=space)
        tuning.runHpSearch(
            options.method, options.trials, options.search_epochs, not options.quiet
        ).save()
    print(f"{len(tuning.search_['trials'])} networks tried, the best was trained anew")
    _describe(tuning.record_)
    print(f"wrote {path}")


def score(options) -> None:
    """Score samples with the newest model or the one asked for."""
    dataset, ensemble, samples = _load(options)
    from ml.scores import write_scores

    print(f"{'sample':<20} {'kind':<10} {'events':>9} {'mean':>8} {'median':>8} {'top 1 %':>8}")
    began = time.perf_counter()
    events = 0
    for sample in samples:
        done = write_scores(dataset, ensemble, sample, errors=options.errors, join=options.join)
        events += done.events
        numbers = " ".join(f"{x:8.3f}" for x in (done.mean, done.median, done.last))
        worst = f"  largest errors: {', '.join(done.worst)}" if done.worst else ""
        print(f"{sample.name:<20} {sample.kind:<10} {done.events:>9} {numbers}{worst}")
    seconds = time.perf_counter() - began
    print(
        f"wrote {dataset.folder / SCORES} with {ensemble.path}: {events} events in "
        f"{seconds:.1f} s, {ensemble.network_seconds / seconds:.0%} of it in the network"
    )


def encode(options) -> None:
    """Write latent vectors."""
    dataset, ensemble, samples = _load(options)
    from ml.scores import write_latent

    for sample in samples:
        print(f"wrote {write_latent(dataset, ensemble, sample)}")


def info(options) -> None:
    """Print the records of a model; no network is loaded."""
    from ml.record import ModelRecord

    for folder in _folders(options.model):
        record, _ = ModelRecord.read(folder)
        _describe(record)
        print(f"  features   {listed(record.names, 1000)}")
        print(f"  dropped    {listed(record.dropped, 1000) or 'none'}")
        for name, table in record.inputs.items():
            print(f"  {name:<20} {table['process']:<14} {table['rows']:>9} rows {table['sha256']}")
        print(f"  versions   {', '.join(f'{k} {v}' for k, v in record.versions.items())}")


def export(options) -> None:
    """Write ONNX files; network.json and network.bin have been there since the training."""
    folders = _folders(options.model)
    from ml.autoencoder import RunAE
    from ml.export import write_onnx

    for folder in folders:
        path = folder / "autoencoder.onnx"
        difference = write_onnx(RunAE.load(folder).model_, path)
        print(f"wrote {path}, differs from Keras by at most {difference:.1g}")


def main(arguments: list[str] | None = None) -> None:
    """Run a command."""
    options = parser().parse_args(arguments)
    with exit_on_mistake(
        "the same command goes on from the last complete epoch",
        memory="a smaller --memory streams the events from disk",
    ):
        options.run(options)


def _training(options, folds: int) -> TrainingConfig:
    return TrainingConfig(
        epochs=options.epochs,
        batch=options.batch,
        patience=options.patience,
        weights=options.weights,
        mask_absent=options.mask_absent,
        folds=folds,
        seed=options.seed,
        precision=options.precision,
        jit=options.jit,
        steps_per_call=options.steps_per_call,
        memory_gib=options.memory,
        tensorboard=options.tensorboard,
    )


def _model_path(options, default: str) -> Path:
    name = options.name or default
    if Path(name).name != name or name.startswith("."):
        raise DeclarationError(f"--name {name}: must be a plain folder name")
    return options.output / MODELS / name


def _load(options):
    """The folder's dataset, the model to use and the samples asked for."""
    path = _chosen_model(options)
    folders = _folders(path)
    from ml.record import ModelRecord

    region = ModelRecord.read(folders[0])[0].region
    dataset = Dataset.open(options.output, region)
    samples = dataset.named(options.sample) if options.sample else dataset.samples
    from ml.ensemble import Ensemble

    return dataset, Ensemble.load(path, dataset), samples


def _chosen_model(options) -> Path:
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


def _folders(path: Path) -> list[Path]:
    from ml.record import folders

    return folders(restore_folder(path))


def _describe(record) -> None:
    """What a model is, in a few lines."""
    network, split = record.network, record.split
    sizes = "-".join(map(str, network.sizes(len(record.features))))
    fold = "" if split.test is None else f", leaves fold {split.test} of {split.folds} alone"
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


if __name__ == "__main__":
    main()
