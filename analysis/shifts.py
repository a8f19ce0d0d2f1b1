"""What systematic uncertainties do to a sum of samples, bin by bin."""

from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError
from analysis.records import AGAIN


@dataclass(frozen=True)
class Shift:
    """By how much a systematic uncertainty moves a sum, at one standard deviation."""

    systematic: str
    label: str  # LaTeX
    up: np.ndarray  # (bins,) change of the sum
    down: np.ndarray  # (bins,) likewise, mostly of the other sign

    @property
    def mean(self):
        """(bins,) half of the difference of up and down: what one parameter changes."""
        return (self.up - self.down) / 2


def make_shifts(systematics, samples, nominal, varied):
    """The Shifts of the sum of some samples, without those that move nothing.

    systematics: of the run, see analysis/systematics.py
    samples: of `Results`; data has none
    nominal: {name of a sample: (bins,) sums of weights}
    varied: function of the names of a sample and of one of its variations, the same of it
    A sample without a variation is at its nominal values there; where it has one direction only,
    the other is the mirror image.
    """
    made = []
    for systematic in systematics:
        parts = [_changes(systematic, s, nominal[s.name], varied) for s in samples]
        up, down = sum(parts, np.zeros((2, 1)))
        if np.any(up) or np.any(down):
            made.append(Shift(systematic.name, systematic.label, up, down))
    return tuple(made)


def background_shifts(results, region, feature, histograms):
    """The Shifts of a feature of the whole background in a region of a run, with flow.

    histograms: {sample: Histogram}, as `Results.histograms` gives them
    Raises InputError for a variation in other bins.
    """
    varied = varied_sums(results, region, feature, histograms)
    samples = [s for s in results.visible(region, "background") if s.name in histograms]
    nominal = {sample.name: histograms[sample.name].sumw for sample in samples}
    return make_shifts(results.systematics, samples, nominal, varied)


def varied_sums(results, region, feature, histograms):
    """The function `varied` of `make_shifts` for a feature in a region; see `background_shifts`."""

    def varied(sample, variation):
        found = results.histogram(region, feature, sample, variation)
        if not np.array_equal(found.edges, histograms[sample].edges):
            raise InputError(
                f"{feature} of sample '{sample}' in region '{region}' has other bins in the "
                f"variation '{variation}': {AGAIN}"
            )
        return found.sumw

    return varied


def combine(changes):
    """(2, bins) what independent uncertainties do downwards and upwards, added in quadrature.

    changes: pairs of (bins,) changes by each, as in a Shift; where both move a bin to the same side
    the larger counts
    """
    ends = [(np.minimum(*pair).clip(max=0), np.maximum(*pair).clip(0)) for pair in changes]
    return np.sqrt(np.sum(np.square(ends), axis=0))


def _changes(systematic, sample, nominal, varied):
    """(2, bins) change of a sample by a systematic, up and down."""
    if not systematic.concerns(sample.process, sample.kind):
        return np.zeros((2, len(nominal)))
    if systematic.size:
        return np.stack([systematic.size * nominal, -systematic.size * nominal])
    found = [
        varied(sample.name, name) - nominal if name in sample.variations else None
        for name in (f"{systematic.name}_up", f"{systematic.name}_down")
    ]
    up, down = found
    if up is None and down is None:
        return np.zeros((2, len(nominal)))
    return np.stack([-down if up is None else up, -up if down is None else down])
