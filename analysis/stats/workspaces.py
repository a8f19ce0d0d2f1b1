"""Files of a statistical analysis, OUT/stats/<name>/: workspaces, the model, results.

A workspace may be of another program: it is read, checked, and never written.
"""

import warnings
from contextlib import contextmanager
from dataclasses import asdict

import numpy as np

from analysis import stats_files
from analysis.errors import InputError
from analysis.files import checksum, read_json, write_json
from analysis.stats.model import workspace
from analysis.stats_files import RESULTS, read_content

MODEL = "model.json"
MAKE = "make it with python -m analysis.stats workspace"
# Interpolation between nominal and varied yields, smooth: those that HistFactory recommends.
INTERPOLATION = {"normsys": {"interpcode": "code4"}, "histosys": {"interpcode": "code4p"}}


def workspace_path(folder, signal=None):
    """The file of the workspace of a signal, a name, or of background alone."""
    return folder / f"workspace_{signal or 'background'}.json"


def read_model(folder):
    """The content of model.json. Raises InputError."""
    return read_content(folder / MODEL, stats_files.MODEL, MAKE)


def read_result(folder, kind):
    """The content of <kind>.json, which is of the workspaces that are there. Raises InputError."""
    path, again = folder / f"{kind}.json", f"make it with python -m analysis.stats {kind}"
    content = read_content(path, RESULTS[kind], again)
    if content.get("workspace") != checksum(workspace_path(folder)):
        raise InputError(f"{path} is of another workspace than is there: {again}")
    return content


def model_content(model):
    """The content of model.json."""
    return {
        "channels": [
            {
                "region": channel.region,
                "role": channel.role,
                "feature": channel.observable.name,
                "kind": channel.observable.kind,
                "label": channel.observable.label,
                "unit": channel.observable.unit,
                "edges": channel.edges.tolist(),
                "asimov": channel.asimov,
                "data": None if channel.asimov else model.data[channel.region].tolist(),
                "samples": {
                    process: {
                        "yield": yields.nominal.tolist(),
                        "error": np.sqrt(yields.variance).tolist(),
                    }
                    for process, yields in model.yields[channel.region].items()
                },
            }
            for channel in model.channels
        ],
        "signals": {
            signal.name: {
                "samples": list(signal.samples),
                "cross_section_pb": signal.cross_section_pb,
            }
            for signal in model.signals
        },
        "normalisations": [asdict(normalisation) for normalisation in model.normalisations],
        "systematics": list(model.systematics),
        "notes": list(model.notes),
        "validation": workspace(model, roles=("validation",)),
    }


def write_workspace(path, content):
    """Check a workspace and write it."""
    check_schema(path, content)
    write_json(path, content)


def read_workspace(path, advice=MAKE):
    """A workspace, of this program or another. Raises InputError, which says `advice`."""
    content = read_json(path, advice)
    check_schema(path, content)
    return content


@contextmanager
def quiet():
    """Around what pyhf validates: jsonschema has a newer class than the one that pyhf takes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "jsonschema.RefResolver", DeprecationWarning)
        yield


def check_schema(path, content):
    """Raise InputError unless a JSON object is a HistFactory workspace."""
    import pyhf

    try:
        with quiet():
            pyhf.schema.validate(content, "workspace.json")
    except pyhf.exceptions.InvalidSpecification as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{path} is not a HistFactory workspace ({reason[:200]})") from None


def build(content, path, poi=True):
    """The pyhf.Model and the data, a list, of a workspace.

    path: for messages
    poi: whether it must have a parameter of interest. Raises InputError.
    """
    import pyhf

    pyhf.set_backend("numpy")
    try:
        with quiet():
            parsed = pyhf.Workspace(content)
            model = parsed.model(modifier_settings=INTERPOLATION)
        data = parsed.data(model)
    except (
        pyhf.exceptions.InvalidModel,
        pyhf.exceptions.InvalidSpecification,
        pyhf.exceptions.InvalidNameReuse,
        pyhf.exceptions.InvalidModifier,
        pyhf.exceptions.InvalidMeasurement,
        pyhf.exceptions.InvalidWorkspaceOperation,
        KeyError,
        ValueError,
        IndexError,
        TypeError,
    ) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"{path} does not describe a model ({lines[-1][:200]})") from None
    if poi and model.config.poi_index is None:
        raise InputError(
            f"{path} has no parameter of interest, it is of background alone: name a signal"
        )
    expected = np.asarray(model.expected_actualdata(model.config.suggested_init()))
    seen = np.asarray(data[: len(expected)])
    if np.any(~np.isfinite(expected)) or np.any((expected <= 0) & (seen > 0)):
        place = int(np.flatnonzero(~np.isfinite(expected) | (expected <= 0) & (seen > 0))[0])
        names = [name for name, bins in model.config.channel_nbins.items() for _ in range(bins)]
        raise InputError(
            f"{path}: channel '{names[place]}' expects {expected[place]:g} events in a bin with "
            f"{seen[place]:g} of data: merge bins"
        )
    return model, data
