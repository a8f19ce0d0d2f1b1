"""Principal components: what a linear autoencoder can rebuild."""

from dataclasses import dataclass

import numpy as np

from ml.detectors.base import Detector


@dataclass(frozen=True)
class Pca:
    """Declaration; features: None for all of the tables."""

    name: str
    share: float = 0.95  # of the variance that the components explain


class PcaDetector(Detector):
    """log10 of the mean squared error of the standardised features."""

    kind = "pca"

    def names(self):
        """All features of the tables."""
        return self.record_.names if hasattr(self, "record_") else self.data.names

    def learn(self, background):
        """See `Detector.learn`."""
        x = self.columns(background.events)
        mean = np.average(x, axis=0, weights=background.weight)
        spread = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=background.weight))
        factor = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-9)
        z = (x - mean) * factor
        covariance = (z * background.weight[:, None]).T @ z / background.weight.sum()
        size, axes = np.linalg.eigh(covariance)
        explained = np.cumsum(size[::-1]) / size.sum() if size.sum() > 0 else np.ones(len(size))
        kept = int(np.searchsorted(explained, self.config.share)) + 1
        axes = axes[:, ::-1][:, :kept]
        # The sign of an axis is arbitrary.
        axes = axes * np.where(axes[np.abs(axes).argmax(0), np.arange(kept)] < 0, -1.0, 1.0)
        return {"mean": mean, "factor": factor, "axes": axes}

    def contributions(self, x):
        """Squared errors."""
        z = (x - self.numbers_["mean"]) * self.numbers_["factor"]
        axes = self.numbers_["axes"]
        return (z - z @ axes @ axes.T) ** 2

    def evaluate(self, x):
        """See `Detector.evaluate`."""
        return np.log10(np.maximum(self.contributions(x).mean(axis=1), 1e-30))
