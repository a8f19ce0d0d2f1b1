"""The statistical model of a run: regions, processes and uncertainties as a HistFactory workspace.

HistFactory: K. Cranmer et al., CERN-OPEN-2012-016; its form in JSON: pyhf.
"""

from dataclasses import dataclass

import numpy as np

from analysis.errors import InputError, listed
from analysis.samples import typed
from analysis.stats.backgrounds import Normalisation
from analysis.stats.expectation import Channel, Yields, data_in, yields_in

POI = "mu"  # signal strength, in units of the cross-section of the run
FLOOR = 1e-6  # events of a process in a bin where the weights of its simulation are not positive
LEAST_FACTOR = 0.01  # to which a yield may be varied
NEGLIGIBLE = 1e-4  # relative variations below are left out


@dataclass(frozen=True)
class Signal:
    """A process that may be there or not."""

    name: str
    samples: tuple[str, ...]
    cross_section_pb: float | None  # with k-factor and filter efficiency; None where not declared


@dataclass(frozen=True)
class Model:
    """All that workspaces are made of."""

    channels: tuple[Channel, ...]
    yields: dict[str, dict[str, Yields]]  # {region: {process: Yields}}, none without events
    data: dict[str, np.ndarray]  # {region: (bins,) events}, the expectation where it is blind
    signals: tuple[Signal, ...]
    normalisations: tuple[Normalisation, ...]
    systematics: tuple[str, ...]
    notes: tuple[str, ...]

    def backgrounds(self, region):
        """{process: Yields} of the backgrounds in a region."""
        signals = {signal.name for signal in self.signals}
        return {p: y for p, y in self.yields[region].items() if p not in signals}

    def background(self, region):
        """(bins,) yields of all backgrounds of a region."""
        return sum(y.nominal for y in self.backgrounds(region).values())


def signals_of(results, names=()):
    """The Signals of a run, all or those of these names. Raises InputError, DeclarationError."""
    there = {sample.process for sample in results.samples if sample.kind == "signal"}
    known = [process.name for process in results.processes if process.name in there]
    if names:
        results.choose_processes(names)
        if other := [name for name in names if name not in known]:
            raise InputError(f"'{other[0]}' is no signal of this run: there are {listed(known)}")
    about = {sample["name"]: sample for sample in results.record["samples"]}

    def cross_section(sample):
        factors = [about[sample].get(k) for k in ("xsec_pb", "k_factor", "filter_efficiency")]
        if typed(factors[0]) is None:  # it stands in the files
            inputs = about[sample].get("inputs", ())
            factors[0] = next((file.get("cross_section") for file in inputs), None)
        if about[sample].get("normalised") or not factors[0]:
            return None
        return float(np.prod([1.0 if factor is None else factor for factor in factors]))

    found = []
    for name in names or known:
        samples = tuple(s.name for s in results.samples if s.process == name)
        sizes = [cross_section(sample) for sample in samples]
        found.append(Signal(name, samples, None if None in sizes or not sizes else sum(sizes)))
    return tuple(found)


def make_model(results, channels, signals, normalisations, systematics, factors=None, say=print):
    """The Model of Channels; raises InputError, naming what is wrong and where.

    factors: {process: factor of its yields}
    say: is told notes as they come
    """
    notes = []

    def note(text):
        if text not in notes:
            notes.append(text)
            say(text)

    free = {process for normalisation in normalisations for process in normalisation.processes}
    names = {signal.name for signal in signals}
    processes = [p.name for p in results.processes if p.kind == "background" or p.name in names]
    yields, data = {}, {}
    for channel in channels:
        yields[channel.region] = {
            process: mended(found, channel, process, note, process in names)
            for process in processes
            if np.any(
                (
                    found := yields_in(
                        results,
                        channel,
                        process,
                        [
                            s
                            for s in systematics
                            if not (s.size and s.processes and process in free)
                        ],
                        (factors or {}).get(process, 1.0),
                        note,
                    )
                ).variance
            )
        }
        total = sum(y.nominal for p, y in yields[channel.region].items() if p not in names)
        counts = None if channel.asimov else data_in(results, channel)
        check_background(channel, total, counts)
        data[channel.region] = total if counts is None else counts
    for normalisation in normalisations:
        inside = yields.get(normalisation.region, {})
        if not any(
            np.sum(inside[p].nominal) > FLOOR for p in normalisation.processes if p in inside
        ):
            raise InputError(
                f"{listed(normalisation.processes)} has no events in '{normalisation.region}', "
                "which cannot measure it: leave the region out, or declare others with --norm"
            )
    for signal in signals:
        if not any(signal.name in yields[c.region] for c in channels if c.role == "signal"):
            raise InputError(
                f"signal '{signal.name}' has no events in "
                f"{listed([c.region for c in channels if c.role == 'signal'])}: choose others "
                "with --signal"
            )
    return Model(
        tuple(channels),
        yields,
        data,
        tuple(signals),
        tuple(normalisations),
        tuple(s.name for s in systematics),
        tuple(notes),
    )


def check_background(channel, total, counts):
    """Raise InputError where a bin has no background to expect, with data or without."""
    empty = np.broadcast_to(np.asarray(total) <= FLOOR, channel.bins)
    if not empty.any():
        return
    place = int(np.flatnonzero(empty)[-1 if counts is None else np.argmax(counts[empty])])
    where = f"region '{channel.region}'"
    if channel.bins > 1:
        low, high = channel.edges[place : place + 2]
        where += f", bin {low:g} to {high:g} of {channel.observable.name}"
    seen = (
        "" if counts is None or not counts[place] else f", but {counts[place]:.0f} events of data"
    )
    todo = "leave it out" if channel.bins == 1 else "merge bins with --edges, --bins or --count"
    raise InputError(f"{where} has no simulated background{seen}: {todo}")


def mended(yields, channel, process, note, signal):
    """Yields without negative ones: FLOOR is taken there, or 0 of a signal; the error is kept."""
    low = yields.nominal < 0
    least = 0.0 if signal else FLOOR
    if low.any():
        bins = listed(
            [f"{number + 1} ({yields.nominal[number]:.3g})" for number in np.flatnonzero(low)]
        )
        note(
            f"'{process}' has a negative yield in '{channel.region}', bin {bins}: "
            f"{least:g} is taken"
        )
    nominal = np.where(low, least, yields.nominal)
    varied = {
        name: tuple(np.where(low, least, np.maximum(way, 0.0)) for way in ways)
        for name, ways in yields.varied.items()
    }
    return Yields(nominal, yields.variance, varied)


# --- HistFactory ------------------------------------------------------------------------------


def workspace(model, signal=None, roles=("signal", "control")):
    """The workspace, a dict, of the channels with these roles: of background, and of a Signal."""
    channels = [c for c in model.channels if c.role in roles]
    parameters = [
        {"name": n.parameter, "inits": [1.0], "bounds": [[0.0, 10.0]]}
        for n in model.normalisations
        if n.region in {c.region for c in channels}
    ]
    if signal is not None:
        most = strength_bound(model, signal, channels)
        parameters.append({"name": POI, "inits": [min(1.0, most / 2)], "bounds": [[0.0, most]]})
    return {
        "channels": [channel_spec(model, channel, signal) for channel in channels],
        "observations": [
            {"name": c.region, "data": model.data[c.region].tolist()} for c in channels
        ],
        "measurements": [
            {
                "name": "search",
                "config": {"poi": "" if signal is None else POI, "parameters": parameters},
            }
        ],
        "version": "1.0.0",
    }


def strength_bound(model, signal, channels):
    """A signal strength far above what a limit could be, a power of ten from 10."""
    information, events = 0.0, 0.0
    for channel in channels:
        if signal.name in model.yields[channel.region]:
            s, b = (
                model.yields[channel.region][signal.name].nominal,
                model.background(channel.region),
            )
            events += s.sum()
            information += np.sum(s**2 / (b + 0.01 * b**2))
    rough = max(information**-0.5, 3 / events)
    return float(10.0 ** max(1, np.ceil(np.log10(30 * rough))))


def channel_spec(model, channel, signal=None):
    """The HistFactory channel of a Channel."""
    factors = {p: n.parameter for n in model.normalisations for p in n.processes}
    samples = [
        sample_spec(
            process,
            yields,
            [
                # Of all backgrounds of a bin together: Barlow and Beeston, in the light version.
                modifier(f"staterror_{channel.region}", "staterror", errors(yields)),
                *([modifier(factors[process], "normfactor")] if process in factors else []),
            ],
        )
        for process, yields in model.backgrounds(channel.region).items()
    ]
    if signal is not None and signal.name in model.yields[channel.region]:
        yields = model.yields[channel.region][signal.name]
        # Parameters of its own, else the background would get the signal's error where mu is 0.
        own = modifier(f"simulated_{signal.name}_{channel.region}", "shapesys", errors(yields))
        samples.append(sample_spec(signal.name, yields, [modifier(POI, "normfactor"), own]))
    return {"name": channel.region, "samples": samples}


def modifier(name, kind, data=None):
    """A HistFactory modifier."""
    return {"name": name, "type": kind, "data": data}


def errors(yields):
    """[bins] statistical errors of the simulation."""
    return np.sqrt(yields.variance).tolist()


def sample_spec(name, yields, modifiers):
    """The HistFactory sample of Yields, with its systematics behind other modifiers.

    A variation is a factor of the yield (normsys) and, where there are several bins, a change of
    shape at that yield (histosys), under one name.
    """
    nominal = yields.nominal
    for systematic, ways in yields.varied.items():
        total = nominal.sum()
        if not total > FLOOR * len(nominal):
            continue
        up, down = (max(way.sum() / total, LEAST_FACTOR) for way in ways)
        shapes = [
            # Of what is nearly gone, no shape is known.
            way / factor if factor > LEAST_FACTOR else nominal
            for way, factor in zip(ways, (up, down), strict=True)
        ]
        if max(abs(up - 1), abs(down - 1)) > NEGLIGIBLE:
            modifiers.append(modifier(systematic, "normsys", {"hi": up, "lo": down}))
        if any(np.any(np.abs(shape - nominal) > NEGLIGIBLE * nominal) for shape in shapes):
            high, low = (shape.tolist() for shape in shapes)
            modifiers.append(modifier(systematic, "histosys", {"hi_data": high, "lo_data": low}))
    return {"name": name, "data": nominal.tolist(), "modifiers": modifiers}
