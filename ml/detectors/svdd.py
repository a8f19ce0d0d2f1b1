"""Deep SVDD with fixed targets: networks that map the background to one point.

An ensemble of networks without biases, each with a latent space and a target of its own; the score
is the mean squared distance (arXiv:2106.10164; among the best of arXiv:2105.14027).
"""

from dataclasses import dataclass

import numpy as np

from analysis.detector_files import SVDD_SLOPE
from ml.detectors.base import Detector
from ml.detectors.twin import LEPTONS


@dataclass(frozen=True)
class Svdd:
    """Declaration."""

    name: str
    features: tuple[str, ...] = (*LEPTONS, "ht_jet", "n_jet", "n_bjet", "m_ossf_z")
    latent: tuple[int, ...] = (5, 8, 13, 21)  # of each network
    hidden: tuple[int, ...] = (64, 32)
    target: float = 1.0  # in every direction of the latent space
    epochs: int = 8
    batch: int = 512


class SvddDetector(Detector):
    """log10 of the mean squared distance from the targets."""

    kind = "svdd"

    def learn(self, background):
        """See `Detector.learn`."""
        from ml import backend
        from ml.backend import keras

        x = np.log1p(np.abs(self.columns(background.events)))
        mean = np.average(x, axis=0, weights=background.weight)
        spread = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=background.weight))
        numbers = {"mean": mean, "factor": 1.0 / np.maximum(spread, 1e-6)}
        z = self._standardised(x, numbers).astype(np.float32)
        for number, latent in enumerate(self.config.latent):
            backend.seed(self.training.seed + 1000 * number + (self.fold or 0))
            layers = [keras.Input((z.shape[1],))]
            for units in self.config.hidden:
                layers.append(keras.layers.Dense(units, use_bias=False))
                layers.append(keras.layers.LeakyReLU(negative_slope=SVDD_SLOPE))
            layers.append(keras.layers.Dense(latent, use_bias=False))
            network = keras.Sequential(layers)
            network.compile(optimizer=keras.optimizers.Adam(1e-3), loss="mse")
            target = np.full((len(z), latent), self.config.target, np.float32)
            network.fit(
                z,
                target,
                sample_weight=background.weight.astype(np.float32),
                epochs=self.config.epochs,
                batch_size=self.config.batch,
                verbose=0,
            )
            for depth, kernel in enumerate(network.get_weights()):
                numbers[f"kernel_{number}_{depth}"] = kernel
        return numbers

    def evaluate(self, x):
        """See `Detector.evaluate`."""
        z = self._standardised(np.log1p(np.abs(x)), self.numbers_)
        distances = []
        for number in range(len(self.config.latent)):
            y = z
            for depth in range(len(self.config.hidden)):
                y = y @ self.numbers_[f"kernel_{number}_{depth}"]
                y = np.where(y > 0, y, SVDD_SLOPE * y)
            y = y @ self.numbers_[f"kernel_{number}_{len(self.config.hidden)}"]
            distances.append(((y - self.config.target) ** 2).mean(axis=1))
        return np.log10(np.maximum(np.mean(distances, axis=0), 1e-30))

    def _standardised(self, x, numbers):
        """(events, features); log(1 + abs(x)) has tamed the tails of energies."""
        return (x - numbers["mean"]) * numbers["factor"]
