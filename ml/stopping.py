"""When a training ends: epochs count as better only by a share of the loss.

Keras knows absolute steps alone, which mean something else for each network, scaler and loss. With
steps of any size, the halving of the learning rate makes trainings crawl on for hundreds of epochs.
"""

from ml.backend import keras
from ml.training_set import is_better


class EarlyStopping(keras.callbacks.EarlyStopping):
    """Keras's, for gains relative to the loss; gives back the weights of the best epoch."""

    def __init__(self, gain, patience):
        super().__init__(patience=patience, restore_best_weights=True)
        self.gain = gain

    def _is_improvement(self, monitor_value, reference_value):
        return is_better(monitor_value, reference_value, self.gain)


class ReduceLROnPlateau(keras.callbacks.ReduceLROnPlateau):
    """Keras's, for gains relative to the loss; halves the learning rate."""

    def __init__(self, gain, patience):
        super().__init__(factor=0.5, patience=patience)
        self.gain = gain

    def _is_improvement(self, monitor_value, reference_value):
        return is_better(monitor_value, reference_value, self.gain)
