"""The output folder: how run.json and the tables are read; `places` names its files."""

from pathlib import Path

from analysis import records
from analysis.content import require, shown
from analysis.errors import InputError, listed
from analysis.files import read_json
from analysis.hdf5 import Frame
from analysis.places import (  # noqa: F401, for those who import them from here
    CUTFLOW,
    DEFAULT_DETECTOR,
    HISTOGRAMS,
    LATENT,
    MODELS,
    PARQUET,
    PARTIAL,
    PLOTS,
    REPORT,
    RUN,
    SCORES,
    STATS,
    STUDY,
    TABLES,
)
from analysis.records import AGAIN, FOLDS, MODEL, latest_format, model_contradictions
from analysis.records import CUTFLOW as CUTFLOW_RULE

MODEL_RECORD = "model.json"  # in the folder of a model
DETECTOR_RECORD = "detector.json"  # in the folder of a detector that is no network
MODEL_FOLDS = "folds.json"  # beside one folder per model

TABLE = "mini"  # name of the table in its file
WEIGHT = records.WEIGHT
IDENTITY = records.IDENTITY

RETRAIN = "train again with python -m ml train"


def table_name(sample, region):
    """Name of the file with the table of a sample (name) in a Region."""
    return f"{sample}_{region.tag}_df_forML_bkg_signal_fromRDF.hdf5"


def parquet_name(table):
    """Name of the Parquet file of a table (name), both below the output folder."""
    return f"{PARQUET}/{Path(table).stem}.parquet"


def histogram_name(feature, sample):
    """Name of a histogram in the folder of its region; `feature` and `sample` are names."""
    return f"h_{feature}_{sample}"


def varied_name(name, variation):
    """Name of what belongs to a sample or is a column, in a systematic variation (name) or None."""
    return f"{name}__{variation}" if variation else name


def read_run(folder):
    """The content of run.json of an output folder, see `latest_format`. Raises InputError."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"no folder {folder}: write one with run_rdf.py -o {folder}")
    cut = " (a run was interrupted there)" if any(folder.glob(f"{PARTIAL}*")) else ""
    advice = f"it holds no complete run{cut}; write one with run_rdf.py -o {folder}"
    record = latest_format(read_json(folder / RUN, advice), folder / RUN)
    if record.get("failed"):
        raise InputError(
            f"{folder} is not complete, {listed(record['failed'])} failed: "
            "mend what was told then, and run the same command again"
        )
    return record


def read_cutflow(folder):
    """The content of cutflow.json of an output folder. Raises InputError."""
    path = Path(folder) / CUTFLOW
    content = read_json(path, AGAIN)
    require(content, CUTFLOW_RULE, path, AGAIN)
    return content


def read_model_record(folder):
    """The content of model.json in the folder of a model, a Path. Raises InputError."""
    path = folder / MODEL_RECORD
    content = read_json(path, f"not a model; {RETRAIN}")
    if content.get("format") != 1:
        raise InputError(
            f"{path} has format {shown(content.get('format'))}, this version reads 1: {RETRAIN}"
        )
    require(content, MODEL, path, RETRAIN)
    for problem in model_contradictions(content):
        raise InputError(f"{path}: {problem}: {RETRAIN}")
    return content


def single_models(folder):
    """The folders of the single models of the model, or of one per fold, in a folder, a Path."""
    path = folder / MODEL_FOLDS
    single = (MODEL_RECORD, "network.json", DETECTOR_RECORD)
    if any((folder / name).exists() for name in single) or not path.exists():
        return [folder]
    content = read_json(path, RETRAIN)
    require(content, FOLDS, path, RETRAIN)
    return [folder / name for name in content["models"]]


class Table(Frame):
    """The table of a sample in an output folder, open for reading; see `Frame`."""

    def __init__(self, path, advice=AGAIN, sha256=None):
        """As `Frame`; sha256: of the file, as run.json has it."""
        super().__init__(path, TABLE, advice, sha256)
