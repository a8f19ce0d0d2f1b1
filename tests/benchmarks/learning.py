"""Throughput of training and scoring, and the part of it that is not the network's.

    python tests/benchmarks/learning.py OUT         OUT: a folder that run_rdf.py wrote

Three ways to train the same network with the same batch: that of `ml`; plain `model.fit` on arrays
in memory; one batch again and again, which is the network alone. Times are slopes between EPOCHS
and three times as many, so that start-up does not count. Prints a JSON line per result.
"""

import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ml.dataset import Dataset  # noqa: E402
from ml.models import build, find_network  # noqa: E402
from ml.training_set import Split, TrainingConfig, event_weight, learn  # noqa: E402

NETWORK = "small"


def show(what, value):
    print(json.dumps({"what": what, "value": value}), flush=True)


def arrays(prepared):
    """Scaled features and weights of the training and of the validation events."""
    events = prepared.dataset.load(prepared.samples)
    fold = events.fold(prepared.config.folds)
    x = prepared.scaling.transform(events.features)
    weight = event_weight(events.weight, prepared.config.weights).astype("float32")
    training = prepared.split.training(fold)
    return (x[training], weight[training]), (x[~training], weight[~training])


def plain_network(config, features):
    """The same layers in a Keras model without anything of ours."""
    import keras

    parts = build(config, features)
    inputs = keras.Input((features,))
    model = keras.Model(inputs, parts.decoder(parts.encoder(inputs)))
    model.compile(optimizer=keras.optimizers.Adam(config.learning_rate), loss="mse")
    return model


def seconds_per_epoch(fit, epochs):
    """Seconds; fit(number of epochs) trains from the beginning."""
    fit(1)  # TensorFlow starts
    times = []
    for number in (1 + epochs, 1 + 3 * epochs):
        begin = time.perf_counter()
        fit(number)
        times.append(time.perf_counter() - begin)
    return (times[1] - times[0]) / (2 * epochs)


def main(folder, epochs):
    from ml.autoencoder import RunAE
    from ml.backend import accelerated, tf
    from ml.ensemble import Ensemble
    from ml.score_files import write_scores

    network, config = find_network(NETWORK), TrainingConfig(patience=1000)
    dataset = Dataset.open(folder)
    prepared = learn(dataset, config, Split.of_model(None, config.folds), network.scaler)
    features, batch, events = len(prepared.dataset.features), config.batch, prepared.train.events
    (x, w), (check_x, check_w) = arrays(prepared)
    trained = []

    def ours(number):
        path = Path(temporary) / str(number)
        trained.append(RunAE(dataset, path, network, replace(config, epochs=number)).fit())

    def plain(number):
        plain_network(network, features).fit(
            x,
            x,
            sample_weight=w,
            batch_size=batch,
            epochs=number,
            validation_data=(check_x, check_x, check_w),
            verbose=0,
        )

    def network_alone(number):
        model = plain_network(network, features)
        model.steps_per_execution, model.jit_compile = 8, accelerated()  # as ours
        rows = tuple(map(tf.constant, (x[:batch], x[:batch], w[:batch])))
        data = tf.data.Dataset.from_tensors(rows).repeat()
        model.fit(
            data,
            epochs=number,
            steps_per_epoch=events // batch // 8 * 8,
            validation_data=data,
            validation_steps=len(check_x) // batch,
            shuffle=False,
            verbose=0,
        )

    with tempfile.TemporaryDirectory() as temporary:
        times = [seconds_per_epoch(fit, epochs) for fit in (ours, plain, network_alone)]
        show(f"training, batches of {batch}, events/s", f"{events / times[0]:.0f}")
        show("... throughput over that of plain model.fit", f"{times[1] / times[0]:.2f}")
        show("... time outside of the network", f"{1 - times[2] / times[0]:.0%}")

        ensemble = Ensemble(Path(temporary), (trained[-1],))
        (sample,) = prepared.samples
        write_scores(dataset, ensemble, sample)  # TensorFlow compiles
        before, begin = ensemble.network_seconds, time.perf_counter()
        done = write_scores(dataset, ensemble, sample)
        seconds = time.perf_counter() - begin
        inside = ensemble.network_seconds - before
        done.path.unlink()
        show("scoring, files included, events/s", f"{done.events / seconds:.0f}")
        show("... time outside of the network", f"{1 - inside / seconds:.0%}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 2)
