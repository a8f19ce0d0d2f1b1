"""What the commands about models do: read, compute, write, and print a table."""

import sys

from analysis.errors import InputError
from analysis.files import write_json
from analysis.results import Results
from analysis.samples import choose
from analysis.stats import tables, workspaces
from analysis.stats.backgrounds import choose_normalisations
from analysis.stats.expectation import Channel, Choice, known_systematics
from analysis.stats.model import make_model, signals_of, workspace
from analysis.stats.observable import observable_of


def say(text):
    """A line on stderr about what is not as it should be."""
    print("m3l:", text, file=sys.stderr, flush=True)


def make_channels(results, options):
    """The Channels that the options of the command line ask for. Raises InputError."""
    observable = observable_of(
        results,
        None if options.count else options.feature,
        None if options.count else options.detector,
    )
    control = observable_of(results, options.control_feature)
    has_data = any(sample.kind == "data" for sample in results.samples)
    if not has_data:
        say("the run has no data: the expectation is taken for it, and results are expected ones")
    channels = []
    for name in results.choose_regions(options.region):
        region = results.regions[name]
        signal = region.role == "signal"
        chosen = observable if signal else control
        choice = Choice(options.edges, options.bins) if signal else Choice()
        if options.unblind and region.blind:
            raise InputError(
                f"{results.folder} has no data of the blind region '{name}': run_rdf.py --unblind"
            )
        blind = region.blind or (region.declared_blind and not options.unblind)
        edges = choice.edges_of(results, name, chosen)
        channels.append(Channel(name, region.role, chosen, edges, blind or not has_data))
    if not any(channel.role == "signal" for channel in channels):
        raise InputError("no region of role signal among those of -r: a search needs one")
    return channels


def make_workspaces(options):
    """Write the workspaces and the model of OUT/stats/<name>, and print the yields."""
    results = Results(options.output)
    folder = workspaces.stats_folder(results.folder, options.name)
    channels = make_channels(results, options)
    signals = signals_of(results, options.signal)
    if not signals:
        say("the run has no signal: only the workspace of background is written")
    processes = [p.name for p in results.processes if p.kind == "background"]
    factors = dict(options.normalisation)
    choose(list(factors), [*processes, *(s.name for s in signals)], "simulated process of this run")
    normalisations = choose_normalisations(
        None if options.norm is None else [w for w in options.norm if w != "none"],
        [channel.region for channel in channels if channel.role != "validation"],
        processes,
    )
    names = options.systematic
    systematics = known_systematics(results, () if names == ["none"] else names)
    model = make_model(
        results, channels, signals, normalisations, systematics, factors, options.unblind, say
    )
    for signal in (None, *signals):
        path = workspaces.workspace_path(folder, signal and signal.name)
        made = workspace(model, signal)
        workspaces.build(made, path, poi=signal is not None)
        workspaces.write_workspace(path, made)
    write_json(folder / workspaces.MODEL, workspaces.model_content(results, model))
    print(tables.yields_table(model))
    print(f"{folder}: {len(signals)} signal{'s' * (len(signals) != 1)}")
