"""Go on after a kill as if nothing had happened."""

import json
import zipfile

import numpy as np

from analysis.content import NUMBER, Fields, ListOf, MapOf, Maybe, whole
from analysis.errors import DeclarationError
from analysis.files import atomic_file, irregular, parse_json, write_file
from analysis.records import COLUMN, SHA256
from ml.backend import keras

STATE = {  # what Keras's callbacks remember from epoch to epoch, beside the best weights
    "EarlyStopping": ("wait", "best", "best_epoch"),
    "ReduceLROnPlateau": ("wait", "best", "cooldown_counter"),
}

# What a checkpoint must hold beside its arrays.
STATE_RULE = Fields(
    {
        "signature": SHA256,
        "history": MapOf(COLUMN, ListOf(NUMBER, least=1)),
        "callbacks": Fields(
            {
                "EarlyStopping": Fields(
                    {"wait": whole(), "best": Maybe(NUMBER), "best_epoch": whole()}
                ),
                "ReduceLROnPlateau": Fields(
                    {"wait": whole(), "best": Maybe(NUMBER), "cooldown_counter": whole()}
                ),
            }
        ),
    }
)


class Checkpoint(keras.callbacks.Callback):
    """Writes all that training depends on after each epoch, in one file, and the curve as CSV.

    keras.callbacks.BackupAndRestore keeps weights and optimiser but not the memory of the other
    callbacks, so that a training it resumed would stop elsewhere. Put this one behind them.
    The order of events is a function of the epoch (`ml.feed`) and needs no state.
    """

    def __init__(self, folder, signature, others):
        """`signature` names data and choices: a checkpoint of others is not resumed."""
        super().__init__()
        self.folder, self.signature = folder, signature
        self.others = {type(other).__name__: other for other in others}
        self.history = {}
        self._restored = {}

    @property
    def path(self):
        """The checkpoint file."""
        return self.folder / "checkpoint.npz"

    @property
    def epoch(self):
        """Number of epochs done."""
        return len(self.history.get("loss", ()))

    def restore(self, model, epochs):
        """Bring `model` to where a killed training was, if that is not beyond `epochs`.

        Returns False if there is nothing to resume.
        """
        model.optimizer.build(model.trainable_variables)
        variables = self._variables(model)
        wanted = {f"variable_{n}": v.shape for n, v in enumerate(variables)}
        wanted |= {f"best_{n}": w.shape for n, w in enumerate(model.get_weights())}
        try:
            state, arrays = self._read(wanted)
        except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile):
            return False
        if state["signature"] != self.signature or len(state["history"]["loss"]) > epochs:
            return False
        for number, variable in enumerate(variables):
            variable.assign(arrays[f"variable_{number}"])
        self.history, self._restored = state["history"], state["callbacks"]
        self.best_weights = [arrays[f"best_{n}"] for n in range(len(model.get_weights()))]
        return True

    def _read(self, wanted):
        """The state and the arrays in the file; raises KeyError, ValueError... where it is wrong.

        wanted: {name of an array: its shape}
        """
        if irregular(self.path):
            raise ValueError("no regular file")
        with self.path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            # Looked at before they are read: an archive may pretend any size.
            sizes = {m.filename: m.file_size for m in file.zip.infolist()}
            if sizes["state.npy"] > 1 << 26:
                raise ValueError("too large")
            state = parse_json(str(file["state"]))
            for problem in STATE_RULE.problems(state, "state"):
                raise ValueError(problem)
            history = state["history"]
            if "loss" not in history or len(set(map(len, history.values()))) != 1:
                raise ValueError("curves of different lengths")
            arrays = {}
            for name, shape in wanted.items():
                if sizes[f"{name}.npy"] > 8 * np.prod(shape, dtype=float) + 1024:
                    raise ValueError("too large")
                arrays[name] = file[name]
                if arrays[name].shape != tuple(shape) or not np.isfinite(arrays[name]).all():
                    raise ValueError("not the shape of the model")
        return state, arrays

    @property
    def finished(self):
        """Whether the restored training had already stopped early."""
        stopping = self._restored.get("EarlyStopping")
        return bool(stopping) and stopping["wait"] >= self.others["EarlyStopping"].patience

    def on_train_begin(self, logs=None):
        for name, values in self._restored.items():
            for attribute, value in values.items():
                setattr(self.others[name], attribute, value)
        if self._restored:
            self.others["EarlyStopping"].best_weights = self.best_weights

    def on_epoch_end(self, epoch, logs=None):
        logs = {name: float(value) for name, value in (logs or {}).items()}
        if not np.isfinite([logs["loss"], logs["val_loss"]]).all():
            raise DeclarationError(
                f"training diverged in epoch {epoch + 1} (loss {logs['loss']}, validation loss "
                f"{logs['val_loss']}): lower --learning-rate, or use --weights absolute"
            )
        for name, value in logs.items():
            self.history.setdefault(name, []).append(value)
        state = {
            "signature": self.signature,
            "history": self.history,
            "callbacks": {
                name: {a: _plain(getattr(self.others[name], a)) for a in attributes}
                for name, attributes in STATE.items()
            },
        }
        arrays = {f"variable_{n}": v.numpy() for n, v in enumerate(self._variables(self.model))}
        best = self.others["EarlyStopping"].best_weights
        arrays |= {f"best_{n}": value for n, value in enumerate(best)}
        with atomic_file(self.path) as temporary:
            np.savez(temporary, state=np.array(json.dumps(state)), **arrays)
        write_file(self.folder / "log.csv", curve(self.history))

    @staticmethod
    def _variables(model):
        # .variables holds the states of random generators, too; metrics start anew each epoch
        return [*model.variables, *model.optimizer.variables]


def curve(history):
    """The training curve as CSV text, one line per epoch."""
    lines = [",".join(["epoch", *history])]
    for epoch, values in enumerate(zip(*history.values(), strict=True), 1):
        lines.append(",".join([str(epoch), *(f"{value:.8g}" for value in values)]))
    return "\n".join(lines) + "\n"


def _plain(value):
    return value.item() if isinstance(value, np.generic) else value
