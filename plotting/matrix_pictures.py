"""`rmm`: rapidity-mass matrices of processes and events."""

from functools import cached_property

import numpy as np
import pandas as pd

from analysis.errors import InputError
from plotting import matrix
from plotting.draw_matrix import draw_matrix
from plotting.save import save

# Largest value that has a colour of its own in scaled matrices, in standard deviations.
EVENT_SPAN, MEAN_SPAN = 3.0, 1.0
SIGNIFICANT = 2.0  # standard errors from which a difference is not marked
UNITS = ("gev", "network")
BACKGROUND = "background"  # name of all simulated backgrounds together


def rmm(options, regions, processes=(), events=(), differences=(), units=UNITS, model=None):
    """Matrices: means of processes, single events, differences of two processes.

    processes: names, "background" for all backgrounds; without processes, events and differences:
        means of all processes with events, and the differences of signals and background
    events: (sample, EventNumber or None for the first)
    differences: (process, process to subtract)
    """
    results = options.results
    everything = not (processes or events or differences)
    written = []
    for region in regions:
        pictures = Matrices(options, region, model)
        if everything:
            chosen = pictures.filled()
            signals = [p.name for p in results.processes if p.kind == "signal"]
            pairs = [(n, BACKGROUND) for n in signals if n in chosen and BACKGROUND in chosen]
        else:
            chosen, pairs = processes, differences
        folder = options.folder / "rmm" / region
        for unit in units:
            for name in chosen:
                figure, numbers = pictures.mean(name, unit), pictures.mean_numbers(name, unit)
                written += save(figure, folder / f"{name}_{unit}", options.formats, numbers)
            for first, second in pairs:
                figure = pictures.difference(first, second, unit)
                name = f"{first}_minus_{second}_{unit}"
                numbers = pictures.difference_numbers(first, second, unit)
                written += save(figure, folder / name, options.formats, numbers)
            for sample, wanted in events:
                figure, found, numbers = pictures.event(sample, wanted, unit)
                name = f"event_{sample}_{found}_{unit}"
                written += save(figure, folder / name, options.formats, numbers)
    return written


class Matrices:
    """Draws the matrices of a region, in GeV or as the network sees them."""

    def __init__(self, options, region, model=None):
        self.options, self.region, self.results = options, region, options.results
        objects, _ = self.results.objects
        blocks = (1, *(multiplicity for _, multiplicity, _ in self.results.types))
        self.axes = {"objects": objects, "blocks": blocks, "caption": options.caption}
        self.energies = np.array(
            [
                [self.results.features[cell].unit == "GeV" for cell in row]
                for row in self.results.cells
            ]
        )
        self.model = model
        self.read, self.means = {}, {}

    @cached_property
    def scaling(self):
        """The CellScaling of the network."""
        return matrix.model_scaling(self.results, self.region, self.model, self.background)

    def background(self):
        """The Sums of the simulated background without logarithms; asked for without a model."""
        sums = [self.sums_of_sample(s, None)[0] for s in self.samples(BACKGROUND)]
        return sum(sums, matrix.Sums(len(self.results.cells)))

    def sums_of_sample(self, sample, log):
        """The Sums of a sample without and with the logarithms of `log`, read once."""
        if sample not in self.read:
            self.read[sample] = matrix.sums_of(self.results, self.region, sample, log)
        return self.read[sample]

    def mean_of(self, samples, unit):
        """The Mean over samples, names; None where there are none."""
        log = self.scaling.log  # before anything is read, so that each table is read once
        network = unit == "network"
        sums = [self.sums_of_sample(sample, log)[network] for sample in samples]
        if not sums:
            return None
        return sum(sums[1:], sums[0]).mean(self.scaling if network else None)

    def samples(self, name):
        """The samples of a process, or of all backgrounds."""
        visible = self.results.visible(self.region)
        if name == BACKGROUND:
            return [s.name for s in visible if s.kind == BACKGROUND]
        process = self.results.process(name)
        if process.kind == "data" and self.results.regions[self.region].blind:
            raise InputError(f"region '{self.region}' is blind: its data is not drawn")
        return [s.name for s in visible if s.process == name]

    def filled(self):
        """Names of the processes with events, all backgrounds together first."""
        names = [BACKGROUND, *(process.name for process in self.results.processes)]
        flow = self.results.cutflow[self.region]
        visible = {s.process for s in self.results.visible(self.region)} | {BACKGROUND}
        return [
            name
            for name in names
            if name in visible and any(flow[s][-1]["entries"] for s in self.samples(name))
        ]

    def mean_of_process(self, name, unit):
        """The Mean over a process. Raises InputError without events."""
        if (name, unit) not in self.means:
            found = self.mean_of(self.samples(name), unit)
            if found is None or not found.events:
                raise InputError(f"process '{name}' has no events in region '{self.region}'")
            self.means[name, unit] = found
        return self.means[name, unit]

    def difference_of(self, first, second, unit):
        """The Difference of the means of two processes."""
        both = set(self.samples(first)) & set(self.samples(second))
        one, other = (self.mean_of_process(name, unit) for name in (first, second))
        return matrix.difference_of(one, other, self.mean_of(sorted(both), unit))

    def label(self, name):
        """LaTeX for the name of a process."""
        return "Background" if name == BACKGROUND else self.results.process(name).label

    def draw(self, values, unit, title, span):
        """The Figure of a (size, size) matrix; span: largest value with a colour of its own."""
        title = f"{self.region}, {title}"
        if unit == "network":
            label = self.scaling.source
            return draw_matrix(values, span=span, title=title, bar_label=label, **self.axes)
        return draw_matrix(values, energies=self.energies, title=title, **self.axes)

    def mean(self, name, unit):
        """The Figure of the mean over a process."""
        title = f"mean of {self.label(name)}"
        return self.draw(self.mean_of_process(name, unit).mean, unit, title, MEAN_SPAN)

    def mean_numbers(self, name, unit):
        """What `mean` draws, with statistical errors, as a DataFrame with a row per cell."""
        found = self.mean_of_process(name, unit)
        columns = {"mean": found.mean, "error": found.error, "effective_events": found.effective}
        return self.numbers(columns)

    def difference(self, first, second, unit):
        """The Figure of the difference of the means of two processes."""
        found = self.difference_of(first, second, unit)
        title = f"{self.region}, mean of {self.label(first)} $-$ {self.label(second)}"
        # In GeV and numbers of order one: only relative to the second they share a scale.
        values, label = found.relative, f"Difference / {self.label(second)}"
        if unit == "network":
            values, label = found.values, f"Difference, {self.scaling.source}"
        return draw_matrix(
            values,
            span=span_of(values),
            chance=~(np.abs(found.significance) >= SIGNIFICANT),
            title=title,
            bar_label=label,
            **self.axes,
        )

    def difference_numbers(self, first, second, unit):
        """What `difference` draws, with statistical errors, as a DataFrame with a row per cell."""
        found = self.difference_of(first, second, unit)
        columns = {"difference": found.values, "error": found.error}
        columns |= {"significance": found.significance}
        return self.numbers(columns | ({"relative": found.relative} if unit == "gev" else {}))

    def numbers(self, columns):
        """A DataFrame with a row per cell; columns: {name: (size, size)}."""
        rows, places = np.indices(self.results.cells.shape)
        about = {"row": rows, "column": places, "feature": self.results.cells}
        return pd.DataFrame({name: values.ravel() for name, values in (about | columns).items()})

    def event(self, sample, wanted, unit):
        """The Figure of an event, its number, and its cells as a DataFrame."""
        name = self.results.choose_sample(sample)
        if name not in [s.name for s in self.results.visible(self.region)]:
            raise InputError(
                f"sample '{name}' may not be looked at in the blind region '{self.region}'"
                if self.results.regions[self.region].blind
                else f"sample '{name}' has no events in region '{self.region}'"
            )
        values, found = matrix.event_matrix(self.results, self.region, name, wanted)
        process = next(s.process for s in self.results.samples if s.name == name)
        values = self.scaling(values) if unit == "network" else values
        title = f"event {found} of {self.label(process)}"
        return self.draw(values, unit, title, EVENT_SPAN), found, self.numbers({"value": values})


def span_of(values):
    """A range that holds most cells: the 95 % quantile of their sizes, with two digits."""
    sizes = np.abs(values[np.isfinite(values)])
    limit = float(np.quantile(sizes, 0.95)) if len(sizes) else 1.0
    return float(f"{limit:.2g}") or float(sizes.max(initial=0)) or 1.0
