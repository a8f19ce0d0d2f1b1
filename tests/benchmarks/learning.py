"""Throughput of training and scoring, and the part of it that is not the network's.

    python tests/benchmarks/learning.py OUT         OUT: a folder that run_rdf.py wrote

Three ways to train the same network with the same batch, in turns: that of `ml`; plain `model.fit`
on arrays in memory; one batch again and again, which is the network alone. Times are medians of
EPOCHS epochs in each of the rounds, without the first of a training. Where there is a GPU, a large
network is trained on it and on two cores. Prints a JSON line per result.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import median
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ml.autoencoder import RunAE  # noqa: E402
from ml.backend import accelerated, keras, tf  # noqa: E402
from ml.dataset import Dataset  # noqa: E402
from ml.ensemble import Ensemble  # noqa: E402
from ml.models import build, find_network, training_model  # noqa: E402
from ml.score_files import write_scores  # noqa: E402
from ml.training_set import Split, TrainingConfig, event_weight, learn  # noqa: E402

NETWORKS = ("small", "deep")
LARGE = ("big", 8192)  # network and batch that a GPU is for


def show(what, value):
    print(json.dumps({"what": what, "value": value}), flush=True)


def plain_network(config, features):
    """The same layers in a Keras model without anything of ours."""
    parts = build(config, features)
    inputs = keras.Input((features,))
    model = keras.Model(inputs, parts.decoder(parts.encoder(inputs)))
    model.compile(optimizer=keras.optimizers.Adam(config.learning_rate), loss="mse")
    return model


@dataclass
class Trainings:
    """Ways to train one network on the background of a folder."""

    dataset: Dataset
    network: object  # ModelConfig
    config: TrainingConfig
    folder: Path  # of models

    @cached_property
    def prepared(self):
        return learn(self.dataset, self.config, Split(self.config.folds, 0), self.network.scaler)

    @property
    def events(self):
        """Number of training events, those of an epoch."""
        return self.prepared.train.events

    @cached_property
    def arrays(self):
        """(scaled features, weights) of the training and of the validation events."""
        events = self.prepared.dataset.load(self.prepared.samples)
        x = self.prepared.scaling.transform(events.features)
        weight = event_weight(events.weight, self.config.weights).astype("float32")
        training = self.prepared.split.training(events.fold(self.config.folds))
        return (x[training], weight[training]), (x[~training], weight[~training])

    def ours(self, epochs):
        """As `python -m ml train` does; returns the model."""
        path = Path(tempfile.mkdtemp(dir=self.folder)) / "model"  # with nothing to go on from
        return RunAE(self.dataset, path, self.network, replace(self.config, epochs=epochs)).fit()

    def plain(self, epochs):
        """`model.fit` as in Keras's guide."""
        (x, weight), (check_x, check_weight) = self.arrays
        plain_network(self.network, x.shape[1]).fit(
            x,
            x,
            sample_weight=weight,
            batch_size=self.config.batch,
            epochs=epochs,
            validation_data=(check_x, check_x, check_weight),
            verbose=0,
        )

    def alone(self, epochs):
        """The network's arithmetic: one batch again and again."""
        batch, ((x, weight), (check_x, _)) = self.config.batch, self.arrays
        model = training_model(self.network, build(self.network, x.shape[1]))
        model.steps_per_execution, model.jit_compile, model.xla = 8, False, accelerated()
        rows = tuple(map(tf.constant, (x[:batch], x[:batch], weight[:batch])))
        data = tf.data.Dataset.from_tensors(rows).repeat()
        model.fit(
            data,
            epochs=epochs,
            steps_per_epoch=max(8, len(x) // batch // 8 * 8),
            validation_data=data,
            validation_steps=max(8, len(check_x) // batch // 8 * 8),
            shuffle=False,
            verbose=0,
        )


def epoch_seconds(train, epochs):
    """Seconds of each epoch but the first, in which TensorFlow compiles; train(epochs) trains."""
    ends, fit = [], keras.Model.fit

    def timed(model, *args, callbacks=(), **options):
        clock = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: ends.append(time.perf_counter())
        )
        return fit(model, *args, callbacks=[*callbacks, clock], **options)

    with mock.patch.object(keras.Model, "fit", timed):
        train(1 + epochs)
    return list(np.diff(ends))


def training(trainings, epochs, rounds):
    """Show the throughputs of one network."""
    ways = (trainings.ours, trainings.plain, trainings.alone)
    seconds = [[], [], []]
    for _ in range(rounds):
        for way, times in zip(ways, seconds, strict=True):
            times += epoch_seconds(way, epochs)
    ours, plain, alone = map(median, seconds)
    name, events = trainings.network.name, trainings.events
    show(
        f"training '{name}', batches of {trainings.config.batch}, events/s", f"{events / ours:.0f}"
    )
    show("... plain model.fit, events/s", f"{events / plain:.0f}")
    show("... throughput over that of plain model.fit", f"{plain / ours:.2f}")
    show("... time outside of the network", f"{1 - alone / ours:.0%}")


def scoring(trainings):
    """Show the throughput of a trained network with reading and writing."""
    dataset, ensemble = trainings.dataset, Ensemble(trainings.folder, (trainings.ours(1),))
    (sample,) = trainings.prepared.samples
    write_scores(dataset, ensemble, sample)  # TensorFlow compiles
    before, begin = ensemble.network_seconds, time.perf_counter()
    done = write_scores(dataset, ensemble, sample)
    seconds = time.perf_counter() - begin
    inside = ensemble.network_seconds - before
    done.path.unlink()
    show("scoring, files included, events/s", f"{done.events / seconds:.0f}")
    show("... time outside of the network", f"{1 - inside / seconds:.0%}")


def throughput(trainings, epochs):
    """Events/s of our way."""
    return trainings.events / median(epoch_seconds(trainings.ours, epochs))


def on_accelerator(options, trainings):
    """Show the throughput of a large network on the GPU, if there is one, and on two cores."""
    network, batch = LARGE
    what = f"training '{network}', batches of {batch}, on a GPU, events/s"
    if not accelerated():
        show(what, "no GPU")
        return
    rate = throughput(trainings, options.epochs)
    words = (sys.executable, __file__, options.folder, str(options.epochs), "--cores")
    done = subprocess.run(
        words,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        preexec_fn=lambda: os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2]),
        capture_output=True,
        text=True,
        check=True,
    )
    show(what, f"{rate:.0f}")
    show("... over two cores", f"{rate / float(done.stdout.split()[-1]):.1f}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("epochs", type=int, nargs="?", default=3)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", action="store_true", help="only the large network, on cores")
    options = parser.parse_args()
    config = TrainingConfig(patience=1000)
    dataset = Dataset.open(options.folder)
    with tempfile.TemporaryDirectory() as temporary:

        def trainings(network, config):
            return Trainings(dataset, find_network(network), config, Path(temporary))

        large = trainings(LARGE[0], replace(config, batch=LARGE[1]))
        if options.cores:
            print(throughput(large, options.epochs))
            return
        for network in NETWORKS:
            training(trainings(network, config), options.epochs, options.rounds)
        scoring(trainings(NETWORKS[0], config))
        on_accelerator(options, large)


if __name__ == "__main__":
    main()
