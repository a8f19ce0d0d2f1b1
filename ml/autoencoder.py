"""Autoencoders that are trained, score events, and are saved and loaded.

`RunAE` is the parent; `RunVAE` is its variational child; `HyperParameterTuning` looks for the
sizes first. The networks themselves are declared in `ml.models`.
"""

import json
import re
import shutil
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from analysis.errors import InputError, M3LError, listed
from analysis.files import (
    atomic_file,
    atomic_folder,
    checksum,
    digest,
    irregular,
    parse_json,
    restore_folder,
    write_file,
    write_json,
)
from analysis.output import MODEL_RECORD, RETRAIN
from analysis.records import AUTOENCODER
from ml import backend, models, own_network
from ml.backend import keras, tf
from ml.checkpoint import Checkpoint, curve
from ml.model_record import ModelRecord
from ml.network_files import write_network
from ml.progress import Progress
from ml.stopping import EarlyStopping, ReduceLROnPlateau
from ml.training_set import Split, TrainingConfig, learn
from ml.tuning import SearchSpace, search

KERAS_FILE = "autoencoder.keras"
ROWS = 8192  # events in one call of the network, always: so a score cannot depend on the others


class RunAE:
    """An autoencoder of the background in `data_structure`, kept in the folder `path`.

    After `fit` or `load`: `model_` is the Keras model of `ml.models.inference_model`, from raw
    features to scores; `encoder_` and `decoder_` are its sub-models, in scaled features;
    `record_` is the `ml.model_record.ModelRecord`.

    A child that wants another network overrides `AE_model_builder` and returns any functional
    `keras.Model` of `data_shape` numbers in and out. All else, from the weights of the events to
    the files, is as for the declared networks.
    """

    default = "small"  # network

    def __init__(self, data_structure, path, config=None, training=None, fold=None):
        """Nothing is read or trained yet.

        data_structure: Dataset; None for a model that is loaded and given its events
        path: folder of the model, a name or a Path
        config: ModelConfig; None: the network `default`
        training: TrainingConfig; None: all its defaults
        fold: this is model number `fold` of `training.folds`; None: a single model
        """
        self.data = data_structure
        self.path = Path(path)
        self.config = config or models.find_network(self.default)
        self.training = training or TrainingConfig()
        self.fold = fold
        self.search_ = None
        self._learned = None  # choices and the TrainingSet that they gave
        self._drawn = None  # HyperParameters of the network

    # ---- training

    def fit(self, data=None, progress=False):
        """Train until the weighted validation loss stops falling; keep the best epoch's weights.

        data: Dataset to learn from, None: that of the constructor
        progress: whether a bar is shown
        A training of the same choices and tables that was killed goes on where it was.
        Raises `InputError` as `ml.training_set.learn` does, and `DeclarationError` if the loss
        becomes NaN.
        """
        self.data = data or self.data
        self._learned = None  # the tables may have changed since
        prepared = self._prepared()
        backend.seed(self.training.seed + (self.fold or 0))
        strategy = backend.strategy()
        with strategy.scope():
            network = self._network()
        checkpoint = self._train(network, prepared, strategy.num_replicas_in_sync, progress)
        # Built anew: saved in 32 bits, with names that do not depend on what was built before.
        backend.seed(self.training.seed)
        own = type(self).__name__ if self.is_own else None
        self._parts = self._bare_parts(network)
        if own:
            self.config = own_network.describe(self._parts, own, self.config)
        self.record_ = ModelRecord.of(
            self.config, prepared, checkpoint.signature, checkpoint.history, self.search_, own
        )
        self._adopt(self._inference())
        return self

    def AE_model_builder(self, hp=None):  # noqa: N802, the name that the thesis gave it
        """The compiled network to train, (events, data_shape) scaled features in and out.

        hp: a `keras_tuner.HyperParameters` from which sizes may be drawn: those of the best
            network if there was a search, else the first or smallest of each choice
        A child's network need not have sub-models "encoder" and "decoder": its latent vector is
        otherwise the output of its narrowest layer. Its loss is weighted by the event weights.
        """
        parts = models.build(self.config, self.data_shape, self.training.precision)
        return models.training_model(self.config, parts)

    @property
    def data_shape(self):
        """Number of features that vary and so enter the network; also as a shape for Keras."""
        known = self._learned is None and hasattr(self, "record_")
        return own_network.Size(
            len(self.record_.names if known else self._prepared().dataset.names)
        )

    @property
    def is_own(self):
        """Whether the network is of a child's own making."""
        declared = (RunAE.AE_model_builder, HyperParameterTuning.AE_model_builder)
        return type(self).AE_model_builder not in declared

    def _split(self):
        return Split.of_model(self.fold, self.training.folds)

    def _prepared(self):
        """The TrainingSet, made once for the same choices."""
        choices = (self.data, self.training, self._split(), self.config.scaler)
        if self._learned is None or self._learned[0] != choices:
            self._learned = (choices, learn(*choices))
        return self._learned[1]

    def _network(self, drawn=None):
        """The compiled network to train; drawn: HyperParameters, None: those that were found."""
        drawn = drawn or self._drawn
        if not self.is_own:
            return self.AE_model_builder(drawn)
        built = own_network.build(self.AE_model_builder, drawn)
        return own_network.trainable(built, self.data_shape, self.config.learning_rate)

    def _bare_parts(self, trained):
        """The Parts of a trained network, without what only training needs."""
        if self.is_own:
            network = self._network()
            network.set_weights(trained.get_weights())
            return own_network.split(network)
        bare = replace(self.config, kernel_l1=0.0, activity_l2=0.0)
        parts = models.build(bare, self.data_shape)
        parts.encoder.set_weights(trained.get_layer("encoder").get_weights())
        parts.decoder.set_weights(trained.get_layer("decoder").get_weights())
        return parts

    def _inference(self):
        """The model that is saved, see `ml.models.inference_model`."""
        masked = self.training.mask_absent
        return models.inference_model(
            self._parts,
            self.record_.scaling,
            [f.objects for f in self.record_.features] if masked else None,
            len(self.record_.types),
        )

    def _train(self, network, prepared, devices, progress):
        config = self.training
        train, validation = prepared.feeds()
        steps = train.events // config.batch
        # Keras 3.15 cannot make several steps at once on several devices.
        calls = 1 if devices > 1 else config.steps_per_call or _steps_per_call(steps)
        calls = min(calls, steps)
        network.steps_per_execution = calls
        network.jit_compile = False
        # Keras does not compile for several devices, and who knows what layers of others can do.
        default = backend.accelerated() and devices == 1 and not self.is_own
        network.xla = default if config.jit is None else config.jit
        stopping = EarlyStopping(config.least_gain, config.patience)
        plateau = ReduceLROnPlateau(config.least_gain, config.plateau)
        signature = self._signature(prepared, network)
        checkpoint = Checkpoint(self._workshop, signature, [stopping, plateau])
        if not checkpoint.restore(network, config.epochs):
            shutil.rmtree(self._workshop, ignore_errors=True)
        self._workshop.mkdir(parents=True, exist_ok=True)
        if checkpoint.finished or checkpoint.epoch == config.epochs:
            network.set_weights(checkpoint.best_weights)
            return checkpoint
        callbacks = [stopping, plateau, checkpoint]
        if config.tensorboard:
            callbacks.append(keras.callbacks.TensorBoard(self._workshop / "tensorboard"))
        if progress:
            callbacks.append(Progress(self.path.name, config.epochs, checkpoint.epoch))
        steps -= steps % calls
        data = train.shuffled(checkpoint.epoch, config.epochs, steps)
        checks = validation.once()
        if devices == 1:
            network.training_rows, network.validation_rows = train.rows, validation.rows
        else:  # the events must be split among the devices before they get there
            data, checks = data.map(train.rows), checks.map(validation.rows)
        network.fit(
            data,
            epochs=config.epochs,
            initial_epoch=checkpoint.epoch,
            steps_per_epoch=steps,
            validation_data=checks,
            shuffle=False,  # the feed has done it
            callbacks=callbacks,
            verbose=0,
        )
        return checkpoint

    @property
    def _workshop(self):
        """Where checkpoint and logs are while the model is being trained."""
        return self.path.with_name(f".{self.path.name}.training")

    def _signature(self, prepared, network):
        """Equal for trainings that give the same model."""
        choices = self.training.to_dict() | {"epochs": None, "tensorboard": None}
        own = [_numbered(text) for text in network.described] if self.is_own else []
        config = None if self.is_own else self.config.to_dict()
        return digest([config, choices, prepared.inputs, prepared.dataset.names, self.fold, *own])

    def resume(self):
        """The model in `path` if it is what `fit` would give, else None."""
        if not (self.path / MODEL_RECORD).exists():
            return None
        try:
            model = self.load(self.path, self.data)
        except M3LError:
            return None
        backend.seed(self.training.seed + (self.fold or 0))
        same = self._signature(self._prepared(), self._network()) == model.record_.signature
        return model if same and model.record_.training.epochs == self.training.epochs else None

    # ---- use

    def score(self, events=None):
        """log10 of the mean squared error over the scaled features, (events,) float32.

        `events`: those to score, all of the dataset if None; their features are found by name.
        With `mask_absent` the mean is over the cells of objects that the event has. A
        variational model uses the latent mean.
        """
        return self._evaluate("score", events)

    def errors(self, events=None):
        """Squared error of each feature, scaled, (events, features of the model) float32."""
        return self._evaluate("error", events)

    def explain(self, events=None):
        """(names, (events, names) contributions to the score), the squared errors of features."""
        return self.record_.names, self.errors(events)

    def encode(self, events=None):
        """Latent vector, (events, latent) float32; the latent mean of a variational model."""
        return self._evaluate("latent", events)

    def reconstruct(self, events=None):
        """What the model makes of the events, in GeV, (events, features of the model) float32."""
        return self.record_.scaling.inverse(self._evaluate("reconstruction", events))

    def _evaluate(self, output, events):
        self._check_fitted()
        blocks = [events] if events is not None else self.data.blocks(self.data.samples)
        parts = [part for block in blocks for part in self._outputs(output, block)]
        empty = np.empty((0, *self.model_.output[output].shape[1:]), np.float32)
        return np.concatenate([empty, *parts])

    def _outputs(self, output, events):
        if output not in self._functions:
            inputs = self.model_.inputs if self.record_.training.mask_absent else self.model_.input
            self._functions[output] = tf.function(
                keras.Model(inputs, self.model_.output[output]), autograph=False
            )
        inputs = [events.columns(self.record_.names)]
        if self.record_.training.mask_absent:
            inputs.append(events.counts.astype(np.float32))
        for start in range(0, len(events), ROWS):
            rows = min(ROWS, len(events) - start)
            padded = [np.zeros((ROWS, x.shape[1]), np.float32) for x in inputs]
            for x, block in zip(inputs, padded, strict=True):
                block[:rows] = x[start : start + rows]
            began = time.perf_counter()
            tensors = [tf.convert_to_tensor(block) for block in padded]
            values = self._functions[output](tensors if len(tensors) > 1 else tensors[0]).numpy()
            self.network_seconds += time.perf_counter() - began
            yield values[:rows]

    def _adopt(self, model):
        self.model_ = model
        self.encoder_, self.decoder_ = self._parts.encoder, self._parts.decoder
        self._functions = {}
        self.network_seconds = 0.0  # spent in the network since it was trained or loaded

    def _check_fitted(self):
        if not hasattr(self, "model_"):
            raise InputError(
                f"the model {self.path} is not trained yet: call fit() or load() first"
            )

    # ---- files

    def save(self):
        """Write the folder `path`: Keras model, model.json, plain numbers, training curve.

        The same training gives the same bytes. A model that was there is replaced only when the
        new one is complete.
        """
        self._check_fitted()
        with atomic_folder(self.path) as folder:
            _save_keras(self.model_, folder / KERAS_FILE)
            write_network(folder, self.record_, self._parts)
            write_file(folder / "log.csv", curve(self.record_.history))
            files = {file.name: checksum(file) for file in sorted(folder.iterdir())}
            if (self._workshop / "tensorboard").is_dir():
                shutil.copytree(self._workshop / "tensorboard", folder / "tensorboard")
            write_json(folder / MODEL_RECORD, self.record_.to_dict() | {"files": files})
        shutil.rmtree(self._workshop, ignore_errors=True)
        return self

    @classmethod
    def load(cls, path, data_structure=None):
        """The model in the folder `path`, as an object of this class; RunAE knows its variants.

        Raises `InputError` if a file is missing or not as it was written, or if `data_structure`
        lacks features of the model, naming them.
        """
        path = restore_folder(Path(path))
        record, files = ModelRecord.read(path)
        for name, expected in {KERAS_FILE: None, **files}.items():
            file = path / name
            if not file.exists():
                raise InputError(f"{file} is missing: {RETRAIN}")
            if irregular(file) or checksum(file) != expected:
                raise InputError(f"{file} is damaged: {RETRAIN}")
        kind = runner(record.network) if cls in (RunAE, RunVAE) else cls
        model = kind(data_structure, path)  # a child's constructor may take no more than these
        model.config, model.training, model.fold = (
            record.network,
            record.training,
            record.split.test,
        )
        model.record_, model.search_ = record, record.search
        model._check_features()
        # In Keras's safe mode, which is the default, no code of the file is run.
        try:
            loaded = _load_keras(path / KERAS_FILE, record)
        except Exception as error:  # Keras raises a dozen kinds
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise InputError(
                f"{path / KERAS_FILE} cannot be loaded by Keras {keras.__version__}, it was "
                f"written by {record.versions.get('keras')} ({reason}): {RETRAIN}"
            ) from None
        model._parts = _parts(loaded)
        model._adopt(loaded)
        return model

    def _check_features(self):
        if self.data is None:
            return
        wanted, offered = self.record_.features, self.data.features
        known = {feature.name: feature for feature in offered}
        missing = [f.name for f in wanted if f.name not in known]
        new = [n for n in known if n not in {*self.record_.names, *self.record_.dropped}]
        units = [f.name for f in wanted if f.name in known and known[f.name].unit != f.unit]
        objects = [f.name for f in wanted if f.name in known and known[f.name] != f]
        reasons = [
            *([f"{self.data.folder} lacks {listed(missing)}"] if missing else []),
            *([f"the model does not know {listed(new)}"] if new else []),
            *([f"the unit differs for {listed(units)}"] if units else []),
            *([f"the layout differs for {listed(objects)}"] if objects and not units else []),
        ]
        if self.data.types != self.record_.types and not reasons:
            reasons = [f"the object types are {self.data.types}, not {self.record_.types}"]
        if reasons:
            raise InputError(
                f"{self.path} was trained on other features: {'; '.join(reasons)}; "
                "train a new model on this folder"
            )


class RunVAE(RunAE):
    """A variational autoencoder (Kingma, Welling, arXiv:1312.6114).

    Trained on the evidence lower bound of `ml.layers.NegativeElbo`; scores and latent vectors use
    the latent mean and are not random.
    """

    default = "vae_small"


class HyperParameterTuning(RunAE):
    """Looks for sizes, activations, regularisers and learning rate first, then trains the best."""

    default = "deep"

    def __init__(self, data_structure, path, config=None, training=None, fold=None, space=None):
        """As RunAE; `space`: SearchSpace, None: that of the thesis drafts, see `ml.tuning`."""
        super().__init__(data_structure, path, config, training, fold)
        self.space = space or SearchSpace()

    def AE_model_builder(self, hp=None):  # noqa: N802, the name that the thesis gave it
        """A compiled network with sizes and activations drawn from `hp`.

        `hp` is a `keras_tuner.HyperParameters`, None: the network `config`; returns a
        `keras.Model` in scaled features.
        """
        if hp is None:
            return super().AE_model_builder()
        config = self.space.network(hp, self.data_shape, self.config.scaler)
        return models.training_model(config, models.build(config, self.data_shape))

    def runHpSearch(  # noqa: N802, the name that the thesis gave it
        self,
        method="hyperband",
        trials=20,
        epochs=10,
        progress=False,
    ):
        """Search, then train the best network anew; `save` keeps the trained one.

        `method`: hyperband, bayesian or random; `trials`: networks to try (hyperband decides
        by itself); `epochs`: at most, per network. Networks are compared by the weighted mean
        squared error of the validation fold, free of regularisers. A search that was killed goes
        on; one for another space, other features, tables or choices is never picked up.
        """
        self._learned = self._drawn = None
        prepared = self._prepared()
        train, validation = prepared.feeds()
        steps = train.events // self.training.batch

        def build(hp):
            network = self._network(hp)
            network.training_rows, network.validation_rows = train.rows, validation.rows
            network.optimizer.build(network.trainable_variables)  # to be loaded into, by Hyperband
            return network

        found = search(
            build,
            method=method,
            trials=trials,
            epochs=epochs,
            seed=self.training.seed,
            folder=self.path.with_name(f".{self.path.name}.search"),
            name=self._search_signature(prepared, method, trials, epochs)[:16],
            data=train.shuffled(0, 1_000_000, steps),
            steps=steps,
            validation=validation.once(),
            progress=progress,
        )
        if self.is_own:
            self._drawn = found.best
        else:
            best = self.space.network(found.best, self.data_shape, self.config.scaler)
            self.config = replace(best, name=self.path.name)
            # Part of it may come from the files of a search that was killed.
            drawn = json.loads(json.dumps(self.config.to_dict()))
            for problem in AUTOENCODER.problems(drawn, "network"):
                raise InputError(f"{self.path}: {problem}: remove its search and tune again")
        space = None if self.is_own else self.space.to_dict()
        self.search_ = {"method": method, "space": space, "trials": found.trials}
        return self.fit(progress=progress)

    def _search_signature(self, prepared, method, trials, epochs):
        """Equal for searches that try the same networks on the same events."""
        import keras_tuner  # takes a second

        backend.seed(self.training.seed)
        hp = keras_tuner.HyperParameters()
        network = self._network(hp)
        backend.seed(self.training.seed)
        space = hp.get_config() if self.is_own else self.space.to_dict()
        return digest([self._signature(prepared, network), space, method, trials, epochs])

    def save(self):
        """As `RunAE.save`; the search's own files are no longer needed then."""
        super().save()
        shutil.rmtree(self.path.with_name(f".{self.path.name}.search"), ignore_errors=True)
        return self


def runner(config):
    """The class that trains `config`."""
    if config.likelihood:
        from ml.likelihood import LikelihoodAE  # its parent is here

        return LikelihoodAE
    return RunVAE if config.variational else RunAE


def _steps_per_call(steps):
    """As many as pay off, leaving out at most 2 % of the steps because they fill no call."""
    most = min(64 if backend.accelerated() else 8, steps)
    return max(calls for calls in range(1, most + 1) if steps % calls <= steps // 50)


def _parts(loaded):
    """The Parts of a model that Keras has loaded."""
    names = {layer.name for layer in loaded.layers}
    if "network" in names:
        whole = loaded.get_layer("network")
        encoder = keras.Model(whole.inputs[0], whole.outputs[0], name="encoder")
        return models.Parts(encoder, None, whole)
    return models.Parts(loaded.get_layer("encoder"), loaded.get_layer("decoder"))


def _numbered(config):
    """Replace the addresses in memory by which Keras tells shared objects apart by 1, 2, 3..."""
    numbers = {}
    return re.sub(
        r'("shared_object_id": )(\d+)',
        lambda found: found[1] + str(numbers.setdefault(found[2], len(numbers) + 1)),
        config,
    )


def _load_keras(path, record):
    """The model in a file of Keras, which must have the sizes that its ModelRecord says."""
    with zipfile.ZipFile(path) as archive:
        config = parse_json(archive.read(archive.getinfo("config.json")))
    features = len(record.features)
    known = set(map(str, record.network.sizes(features)))
    known |= {str(record.network.categories)} if record.network.likelihood else set()
    if not _units(config) <= known:
        raise ValueError("it has layers of other sizes than model.json says")
    loaded = keras.models.load_model(path, compile=False, safe_mode=True)
    shapes = {name: tuple(output.shape) for name, output in loaded.output.items()}
    latent = record.network.sized(features).latent.units
    wide = (None, features)
    wanted = {"score": (None,), "error": wide, "reconstruction": wide, "latent": (None, latent)}
    inputs = [wide, (None, len(record.types))][: 1 + record.training.mask_absent]
    if shapes != wanted or [tuple(each.shape) for each in loaded.inputs] != inputs:
        raise ValueError("it has other inputs or outputs than model.json says")
    if not all(np.isfinite(weights).all() for weights in loaded.get_weights()):
        raise ValueError("it has weights that are not finite")
    return loaded


def _units(config):
    """The sizes of all layers in a configuration of Keras."""
    if isinstance(config, list):
        return set().union(*map(_units, config))
    if not isinstance(config, dict):
        return set()
    own = {str(config["units"])} if "units" in config else set()
    return own.union(*map(_units, config.values()))


def _save_keras(model, path):
    """Save in Keras's format, without the date, so that equal models are equal files."""
    with atomic_file(path) as temporary:
        dated = temporary.with_name(f"dated{temporary.name}")
        try:
            model.save(dated)
            with zipfile.ZipFile(dated) as old, zipfile.ZipFile(temporary, "w") as new:
                for name in sorted(old.namelist()):
                    content = old.read(name)
                    if name == "metadata.json":
                        content = json.dumps({"keras_version": keras.__version__})
                    elif name == "config.json":
                        content = _numbered(content.decode())
                    new.writestr(zipfile.ZipInfo(name), content)
        except RuntimeError as error:  # h5py's way of reporting a full disk
            raise OSError(f"cannot write {path}: {error}") from None
        finally:
            dated.unlink(missing_ok=True)
