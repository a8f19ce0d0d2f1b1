"""One line that tells how far a training is."""

import sys

from tqdm import tqdm

from ml.backend import keras


class Progress(keras.callbacks.Callback):
    """A bar over the epochs with the latest losses; in a log file, a line every half minute.

    Keras's own bar takes two lines per epoch, and looks at the device after every step.
    """

    def __init__(self, name, epochs, done):
        super().__init__()
        self.name, self.epochs, self.done = name, epochs, done

    def on_train_begin(self, logs=None):
        terminal = sys.stderr.isatty()
        self._bar = tqdm(
            desc=self.name,
            total=self.epochs,
            initial=self.done,
            unit="epoch",
            mininterval=0.1 if terminal else 30,
            delay=0 if terminal else 30,
            leave=terminal,
        )

    def on_epoch_end(self, epoch, logs=None):
        shown = {name: f"{logs[name]:.4g}" for name in ("loss", "val_loss")}
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update()

    def on_train_end(self, logs=None):
        self._bar.close()
