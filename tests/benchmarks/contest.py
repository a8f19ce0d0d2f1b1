"""The contestants, and the rounds in which they run side by side."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from statistics import median

from tests.benchmarks.inputs import BRANCHES, events_file
from tests.benchmarks.measure import note, python, run

FEW = 200  # events of the input that shows the start-up


class Contestant:
    """A way to do the analysis, and what its runs cost.

    ``inputs`` has the events of each size of the input: "few", N and 4 N, ``costs`` a list of
    `Cost` for each, ``timings`` the parts of a run that the program notes in its run.json.
    """

    def __init__(self, name, label, command, folder, events, hurry=False):
        """Store; command(input, output) gives the words after the interpreter.

        hurry: one round, without 4 N
        """
        self.name, self.label, self.command, self.hurry = name, label, command, hurry
        self.output = folder / name
        self.inputs = {"few": FEW, "N": events} | ({} if hurry else {"4N": 4 * events})
        self.costs = {size: [] for size in self.inputs}
        self.timings = {size: [] for size in self.inputs}
        self.cutflows = {}

    def run(self, path):
        """Run once and remember the cutflow; returns the Cost."""
        cost = python(*self.command(path, self.output))
        rows = json.loads((self.output / "cutflow.json").read_text())
        if isinstance(rows, dict):
            (rows,) = rows["SR3L"].values()
        self.cutflows[path] = [row["entries"] for row in rows]
        return cost

    def measure(self, size, path):
        self.costs[size].append(self.run(path))
        record = self.output / "run.json"
        if record.exists():
            self.timings[size].append(json.loads(record.read_text())["timings_s"])

    def cost(self, size, what="wall"):
        """Median of what the runs of a size took."""
        return median(getattr(cost, what) for cost in self.costs[size])

    def timing(self, size, part):
        """Median of a part of the runs of a size."""
        return median(timings[part] for timings in self.timings[size])

    def slope(self, what="wall"):
        """Seconds per event, between the two larger inputs; NaN where other work hides it."""
        small, large = list(self.inputs)[-2:]
        more = self.cost(large, what) - self.cost(small, what)
        return more / (self.inputs[large] - self.inputs[small]) if more > 0 else math.nan

    @property
    def rate(self):
        """Events per second."""
        return 1 / self.slope()

    @property
    def rest(self):
        """Seconds of a run over N events that do not grow with the events."""
        return self.cost("N") - self.inputs["N"] * self.slope()


class ReadSpeed(Contestant):
    """ROOT's own program that reads the same branches and does nothing with them."""

    def __init__(self, name, label, threads, folder, events):
        super().__init__(name, label, None, folder, events)
        self.threads = threads
        print_folder = "import ROOT; print(ROOT.TROOT.GetBinDir())"
        self.binary = Path(python("-c", print_folder).out.split()[-1]) / "rootreadspeed"

    def run(self, path):
        threads = ("--threads", self.threads) if self.threads > 1 else ()
        cost = run(
            self.binary, "--files", path, "--trees", "nominal", "--branches", *BRANCHES, *threads
        )
        # Its own clock leaves out its start.
        wall, cpu = (re.search(rf"{name} time:\s+(\S+) s", cost.out)[1] for name in ("Real", "CPU"))
        return replace(cost, wall=float(wall), cpu=float(cpu))


def compete(contestants, folder, rounds, trilepton=1):
    """Run all contestants over all their inputs, in turn, so many rounds.

    trilepton: see events_file

    Ends the program if their cutflows differ.
    """
    note("making the input")
    files = {n: events_file(folder, n, trilepton) for c in contestants for n in c.inputs.values()}
    for contestant in contestants:
        if not contestant.hurry:
            note(f"{contestant.label}: warming up")
            contestant.run(files[FEW])
    for number in range(rounds):
        for contestant in contestants:
            if contestant.hurry and number > 0:
                continue
            note(f"round {number + 1} of {rounds}: {contestant.label}")
            for size, events in contestant.inputs.items():
                contestant.measure(size, files[events])
    check_agreement(contestants)


def check_agreement(contestants):
    """End the program if two contestants counted different events in the same input."""
    found = {}
    for contestant in contestants:
        for path, cutflow in contestant.cutflows.items():
            first = found.setdefault(path, (contestant, cutflow))
            if first[1] != cutflow:
                raise SystemExit(
                    f"{path.name}: {first[0].label} counts {first[1]} after its cuts, "
                    f"{contestant.label} {cutflow}"
                )
