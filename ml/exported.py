"""Models for programs without ours: ONNX, and beside it the selection of the events it is for."""

from analysis.errors import InputError
from analysis.files import checksum, restore_folder, write_json
from analysis.output import RUN, read_run, single_models
from ml.detector_onnx import FOLD, columns_of, write_detector
from ml.detectors.base import load_detector
from ml.model_record import ModelRecord

DETECTOR, AUTOENCODER, SELECTION = "detector.onnx", "autoencoder.onnx", "selection.json"


def export_detector(path, report):
    """Write the ONNX file and the selection of a detector that is no network.

    path: folder of the model; report: called with each line for the user
    Raises M3LError.
    """
    path = restore_folder(path)
    detectors = [load_detector(folder) for folder in single_models(path)]
    file = path / DETECTOR
    difference = write_detector(detectors, file)
    report(f"wrote {file}, differs from our scores by at most {difference:.1g}")
    write_selection(path, [detector.record_ for detector in detectors], file, report)


def export_network(path, report):
    """The same of an autoencoder, which has an ONNX file for each fold."""
    from ml.autoencoder import RunAE
    from ml.network_files import write_onnx

    path = restore_folder(path)
    folders = single_models(path)
    for folder in folders:
        file = folder / AUTOENCODER
        difference = write_onnx(RunAE.load(folder).model_, file)
        report(f"wrote {file}, differs from Keras by at most {difference:.1g}")
    records = [ModelRecord.read(folder)[0] for folder in folders]
    write_selection(path, records, folders[0] / AUTOENCODER, report)


def write_selection(path, records, file, report):
    """Write `selection.json`: which events a model is for, and what its inputs are.

    path: folder of the model, below OUT/models; records: of the model, or those of its folds
    file: one of the ONNX files
    """
    output = path.resolve().parent.parent
    try:
        run = read_run(output)
    except InputError as error:
        report(f"no {SELECTION}, since the model is not in the folder of its run: {error}")
        return
    record = records[0]
    inputs = {name: None for each in records for name in columns_of(each.names)}
    region = next((r for r in run["regions"] if r["name"] == record.region), None)
    declared = {feature["name"]: feature for feature in run["features"]}
    missing = [name for name in inputs if name not in declared]
    if region is None or missing:
        what = f"the features {', '.join(missing[:3])}" if region else f"region {record.region}"
        report(f"no {SELECTION}: {output} was made again without {what}")
        return
    kept = ("name", "expression", "cell", "label", "unit", "integer", "categories")
    write_json(
        path / SELECTION,
        {
            "format": 1,
            "kind": "selection",
            "model": path.name,
            "onnx": str(file.relative_to(path)),
            "folds": len(records),
            FOLD: f"the position, from 0, among {len(records)} models; no model has seen your "
            "events, so that any will do: take one for each event, not a mean"
            if len(records) > 1
            else None,
            "units": "GeV, radians",
            "language": "C++ over the arrays of an event, highest pT first; functions are those of "
            "helpers/*.h and ROOT::VecOps",
            "region": {"name": region["name"], "cuts": region["cuts"]},
            "objects": run["objects"],
            "variables": run["variables"],
            "layout": run["layout"],
            "inputs": [{key: declared[name].get(key) for key in kept} for name in inputs],
            "run": {"sha256": checksum(output / RUN), "luminosity_ifb": run["luminosity_ifb"]},
        },
    )
    report(f"wrote {path / SELECTION}")
