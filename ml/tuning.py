"""The space of networks to search, and the search itself.

The default space is that of the thesis drafts (class HyperParameterTuning): three layers to a small
latent space and three back. There the slope `alpha` of the leaky ReLU was drawn but not used;
here it is used. Activations and sizes of the two halves are drawn independently, as there.
A regulariser of strength 0 is new: with those of the drafts alone, a network of scaled features
gives up and predicts the mean (mean squared error 1), whatever else is drawn.
"""

import tomllib
from dataclasses import asdict, dataclass, fields

from analysis.errors import DeclarationError, listed
from ml.models import ACTIVATIONS, ALL, Layer, ModelConfig

METHODS = ("hyperband", "bayesian", "random")
OBJECTIVE = "val_mse"


@dataclass(frozen=True)
class SearchSpace:
    """Sizes are (smallest, largest) pairs; the others list the values to choose from."""

    encoder: tuple[tuple[int, int], ...] = ((60, ALL), (30, 59), (10, 29))  # ALL: features - 1
    latent: tuple[int, int] = (1, 9)
    decoder: tuple[tuple[int, int], ...] = ((10, 29), (30, 59), (60, ALL))
    activations: tuple[str, ...] = ("relu", "tanh", "leaky_relu", "linear")
    kernel_l1: tuple[float, ...] = (0.0, 0.5, 0.1, 0.05, 0.01)
    activity_l2: tuple[float, ...] = (0.0, 0.5, 0.1, 0.05, 0.01)
    slope: tuple[float, ...] = (1.0, 0.5, 0.1, 0.05, 0.01)
    learning_rate: tuple[float, ...] = (9e-2, 9.5e-2, 1e-3, 1.5e-3)

    @classmethod
    def read(cls, path):
        """A space from a TOML file with some or all of the fields; the others keep their values."""
        try:
            content = tomllib.loads(path.read_text())
        except FileNotFoundError:
            raise DeclarationError(f"no search space {path}: give a TOML file") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise DeclarationError(f"{path} is not valid TOML: {error}") from None
        known = [field.name for field in fields(cls)]
        if unknown := [name for name in content if name not in known]:
            raise DeclarationError(
                f"unknown key {listed(unknown)} in {path}: choose from {listed(known, 9)}"
            )
        space = cls(**{name: _tuples(value) for name, value in content.items()})
        space.check(str(path))
        return space

    def check(self, where):
        """Raise `DeclarationError` for a field that nothing can be drawn from."""
        for name in ("encoder", "decoder"):
            for pair in getattr(self, name):
                _check_range(pair, f"{name} in {where}")
        _check_range(self.latent, f"latent in {where}")
        for name in ("activations", "kernel_l1", "activity_l2", "slope", "learning_rate"):
            values = getattr(self, name)
            kind = str if name == "activations" else (int, float)
            if not isinstance(values, tuple) or not values:
                raise DeclarationError(
                    f"{name} in {where} must be a list of values: got {values!r}"
                )
            if wrong := [v for v in values if not isinstance(v, kind) or isinstance(v, bool)]:
                raise DeclarationError(
                    f"{name} in {where} has values of a wrong type: {listed(wrong)}"
                )
        if unknown := [name for name in self.activations if name not in ACTIVATIONS]:
            raise DeclarationError(
                f"unknown activation {listed(unknown)} in {where}: "
                f"choose from {listed(ACTIVATIONS, 5)}"
            )

    def to_dict(self):
        """As plain values for a JSON file."""
        return asdict(self)

    def network(self, hp, features, scaler):
        """The network that `hp` (a `keras_tuner.HyperParameters`) draws, for `features`."""

        def layer(name, sizes):
            most = features - 1 if sizes[1] == ALL else min(sizes[1], features)
            units = hp.Int(f"{name}_units", min(sizes[0], most), most)
            return Layer(units, hp.Choice(f"{name}_activation", list(self.activations)))

        return ModelConfig(
            "tuned",
            encoder=tuple(layer(f"encoder_{i}", s) for i, s in enumerate(self.encoder, 1)),
            latent=layer("latent", self.latent),
            decoder=tuple(layer(f"decoder_{i}", s) for i, s in enumerate(self.decoder, 1)),
            output=hp.Choice("output_activation", list(self.activations)),
            made_for=features,
            scaler=scaler,
            learning_rate=hp.Choice("learning_rate", list(self.learning_rate)),
            slope=hp.Choice("slope", list(self.slope)),
            kernel_l1=hp.Choice("kernel_l1", list(self.kernel_l1)),
            activity_l2=hp.Choice("activity_l2", list(self.activity_l2)),
        )


@dataclass(frozen=True)
class Found:
    """Outcome of a search."""

    best: object  # keras_tuner.HyperParameters
    trials: list[dict]  # of each network: what was drawn, and its val_mse; best first


def search(
    build, *, method, trials, epochs, seed, folder, name, data, steps, validation, progress=False
):
    """Try networks made by `build(hp)` and return the one with the smallest `OBJECTIVE`.

    `name` must change with everything that the outcome depends on: the search in
    `folder/name` goes on if it exists. `data` are `steps` batches per epoch, endlessly.
    """
    import keras_tuner

    from ml.backend import keras

    objective = keras_tuner.Objective(OBJECTIVE, "min")
    common = {"objective": objective, "seed": seed, "directory": folder, "project_name": name}
    common |= {"max_consecutive_failed_trials": 1, "overwrite": False}
    if method == "hyperband":
        tuner = keras_tuner.Hyperband(build, max_epochs=epochs, **common)
    elif method == "bayesian":
        tuner = keras_tuner.BayesianOptimization(build, max_trials=trials, **common)
    elif method == "random":
        tuner = keras_tuner.RandomSearch(build, max_trials=trials, **common)
    else:
        raise DeclarationError(f"unknown search method '{method}': choose from {listed(METHODS)}")
    tuner.search(
        data,
        steps_per_epoch=steps,
        epochs=epochs,
        validation_data=validation,
        callbacks=[keras.callbacks.EarlyStopping(OBJECTIVE, patience=3, mode="min")],
        shuffle=False,
        verbose=int(progress),
    )
    done = tuner.oracle.get_best_trials(len(tuner.oracle.trials))
    done = [trial for trial in done if trial.score is not None]
    if not done:
        raise DeclarationError("every network of the search diverged: use another --space")
    return Found(
        done[0].hyperparameters,
        [trial.hyperparameters.values | {OBJECTIVE: trial.score} for trial in done],
    )


def _tuples(value):
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def _check_range(pair, where):
    whole = isinstance(pair, tuple) and len(pair) == 2 and all(type(n) is int for n in pair)
    if not whole or pair[0] < 1 or (pair[1] != ALL and pair[1] < pair[0]):
        raise DeclarationError(f"{where} must be [smallest, largest] number of units: got {pair!r}")
