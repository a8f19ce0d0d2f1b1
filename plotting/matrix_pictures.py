"""`rmm`: rapidity-mass matrices of processes and events."""

import numpy as np

from analysis.errors import InputError
from plotting import matrix
from plotting.draw_matrix import draw_matrix
from plotting.save import save

# Largest value that has a colour of its own in scaled matrices, in standard deviations.
EVENT_SPAN, MEAN_SPAN = 3.0, 1.0
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
                figure = pictures.mean(name, unit)
                written += save(figure, folder / f"{name}_{unit}", options.formats)
            for first, second in pairs:
                figure = pictures.difference(first, second, unit)
                name = f"{first}_minus_{second}_{unit}"
                written += save(figure, folder / name, options.formats)
            for sample, wanted in events:
                figure, found = pictures.event(sample, wanted, unit)
                name = f"event_{sample}_{found}_{unit}"
                written += save(figure, folder / name, options.formats)
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
        self.scalings, self.means = {}, {}

    def scaling(self):
        """The CellScaling of the network."""
        if "network" not in self.scalings:
            self.scalings["network"] = matrix.model_scaling(self.results, self.region, self.model)
        return self.scalings["network"]

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

    def mean_values(self, name, unit):
        """(size, size) mean over a process. Raises InputError without events."""
        if (name, unit) not in self.means:
            scaling = self.scaling() if unit == "network" else None
            found = matrix.mean_of(self.results, self.region, self.samples(name), scaling)
            if not found.events:
                raise InputError(f"process '{name}' has no events in region '{self.region}'")
            self.means[name, unit] = found.mean
        return self.means[name, unit]

    def label(self, name):
        """LaTeX for the name of a process."""
        return "Background" if name == BACKGROUND else self.results.process(name).label

    def draw(self, values, unit, title, span):
        """The Figure of a (size, size) matrix; span: largest value with a colour of its own."""
        title = f"{self.region}, {title}"
        if unit == "network":
            label = self.scaling().source
            return draw_matrix(values, span=span, title=title, bar_label=label, **self.axes)
        return draw_matrix(values, energies=self.energies, title=title, **self.axes)

    def mean(self, name, unit):
        """The Figure of the mean over a process."""
        title = f"mean of {self.label(name)}"
        return self.draw(self.mean_values(name, unit), unit, title, MEAN_SPAN)

    def difference(self, first, second, unit):
        """The Figure of the difference of the means of two processes."""
        values = self.mean_values(first, unit) - self.mean_values(second, unit)
        title = f"{self.region}, mean of {self.label(first)} $-$ {self.label(second)}"
        if unit == "network":
            label = f"Difference, {self.scaling().source}"
            return draw_matrix(values, span=MEAN_SPAN, title=title, bar_label=label, **self.axes)
        # In GeV and numbers of order one: only relative to the second they share a scale.
        second_values = self.mean_values(second, unit)
        relative = np.divide(
            values, second_values, out=np.full_like(values, np.nan), where=second_values > 0
        )
        label = f"Difference / {self.label(second)}"
        return draw_matrix(relative, span=1.0, title=title, bar_label=label, **self.axes)

    def event(self, sample, wanted, unit):
        """The Figure of an event and its number."""
        name = self.results.choose_sample(sample)
        if name not in [s.name for s in self.results.visible(self.region)]:
            raise InputError(
                f"sample '{name}' may not be looked at in the blind region '{self.region}'"
                if self.results.regions[self.region].blind
                else f"sample '{name}' has no events in region '{self.region}'"
            )
        values, found = matrix.event_matrix(self.results, self.region, name, wanted)
        process = next(s.process for s in self.results.samples if s.name == name)
        values = self.scaling()(values) if unit == "network" else values
        title = f"event {found} of {self.label(process)}"
        return self.draw(values, unit, title, EVENT_SPAN), found
