"""The space of networks to search, and the search itself.

The default space has the shapes of the thesis drafts' (class HyperParameterTuning): three layers to
a small latent space and three back. There the slope `alpha` of the leaky ReLU was drawn but not
used; here it is used. Activations and sizes of the two halves are drawn independently, as there.
Two things differ, because most networks of the drafts' space give up and predict the mean (mean
squared error 1), whatever else is drawn: the strengths of the regularisers multiply means, not sums
(`ml.models.PENALTIES`), and Adam's steps of 9e-2, with which tanh saturates at once, are left out.
`docs/thesis_space.toml` is the space of the drafts.
"""

import tomllib
from dataclasses import asdict, dataclass

from analysis.content import ABOVE_0, FROM_0, NUMBER, Fields, ListOf, OneOf, Value, is_whole
from analysis.errors import DeclarationError, InputError, M3LError, listed
from analysis.files import read_regular
from analysis.records import ACTIVATIONS
from ml.models import ALL, PENALTIES, Layer, ModelConfig


def _is_range(value):
    if not isinstance(value, list) or len(value) != 2 or not all(map(is_whole, value)):
        return False
    low, high = value
    return 1 <= low <= high <= MOST_UNITS or (high == ALL and 1 <= low <= MOST_UNITS)


MOST_UNITS = 100_000
RANGE = Value("[smallest, largest] number of units", _is_range)
SPACE = Fields(
    {
        "encoder": ListOf(RANGE, most=50),
        "latent": RANGE,
        "decoder": ListOf(RANGE, most=50),
        "activations": ListOf(OneOf(ACTIVATIONS), least=1),
        "kernel_l1": ListOf(FROM_0, least=1),
        "activity_l2": ListOf(FROM_0, least=1),
        "slope": ListOf(NUMBER, least=1),
        "learning_rate": ListOf(ABOVE_0, least=1),
        "penalty": OneOf(PENALTIES),
    },
    needed=(),
)
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
    learning_rate: tuple[float, ...] = (5e-4, 1e-3, 1.5e-3, 3e-3)
    penalty: str = "mean"  # of ml.models.PENALTIES, for all networks

    @classmethod
    def read(cls, path):
        """A space from a TOML file with some or all of the fields; the others keep their values."""
        try:
            content = tomllib.loads(read_regular(path).decode())
        except FileNotFoundError:
            raise DeclarationError(f"no search space {path}: give a TOML file") from None
        except OSError as error:
            raise DeclarationError(f"{path} cannot be read: {error.strerror}") from None
        except (ValueError, RecursionError) as error:
            raise DeclarationError(f"{path} is not valid TOML: {error}") from None
        if problems := list(SPACE.problems(content, f"{path}: ")):
            raise DeclarationError(*problems)
        return cls(**{name: _tuples(value) for name, value in content.items()})

    def to_dict(self):
        """As plain values for a JSON file."""
        return asdict(self)

    def network(self, hp, features, scaler):
        """The network that `hp` (a `keras_tuner.HyperParameters`) draws, for `features`."""

        def layer(name, sizes, most=features):
            most = features - 1 if sizes[1] == ALL else min(sizes[1], most)
            units = hp.Int(f"{name}_units", min(sizes[0], most), most)
            return Layer(units, hp.Choice(f"{name}_activation", list(self.activations)))

        return ModelConfig(
            "tuned",
            encoder=tuple(layer(f"encoder_{i}", s) for i, s in enumerate(self.encoder, 1)),
            latent=layer("latent", self.latent, max(1, features - 1)),
            decoder=tuple(layer(f"decoder_{i}", s) for i, s in enumerate(self.decoder, 1)),
            output=hp.Choice("output_activation", list(self.activations)),
            made_for=features,
            scaler=scaler,
            learning_rate=hp.Choice("learning_rate", list(self.learning_rate)),
            slope=hp.Choice("slope", list(self.slope)),
            kernel_l1=hp.Choice("kernel_l1", list(self.kernel_l1)),
            activity_l2=hp.Choice("activity_l2", list(self.activity_l2)),
            penalty=self.penalty,
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
    if method not in METHODS:
        raise DeclarationError(f"unknown search method '{method}': choose from {listed(METHODS)}")
    try:  # a search that was killed is read from its folder
        if method == "hyperband":
            tuner = keras_tuner.Hyperband(build, max_epochs=epochs, **common)
        elif method == "bayesian":
            tuner = keras_tuner.BayesianOptimization(build, max_trials=trials, **common)
        else:
            tuner = keras_tuner.RandomSearch(build, max_trials=trials, **common)
    except M3LError:
        raise
    except Exception as error:  # of the content of its files, of a dozen kinds
        if not (folder / name).exists():
            raise
        reason = f"{type(error).__name__}: {error}"
        raise InputError(f"{folder / name} cannot be read ({reason}): remove it") from None
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
