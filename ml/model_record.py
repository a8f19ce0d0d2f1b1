"""What is known about a trained model: the content of `model.json`."""

import platform
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version

import numpy as np

from analysis.errors import InputError
from analysis.files import read_json
from ml.dataset import Feature
from ml.models import ModelConfig
from ml.scaling import Scaling
from ml.training_set import Part, Split, TrainingConfig

FORMAT = 1
RECORD = "model.json"
FOLDS = "folds.json"  # beside one folder per model
LIBRARIES = ("tensorflow", "keras", "numpy", "scikit-learn")
RETRAIN = "train again with python -m ml train"


@dataclass(frozen=True)
class ModelRecord:
    """Everything that made a model, and what a reader of its scores must know."""

    network: ModelConfig
    training: TrainingConfig
    split: Split
    region: str
    features: tuple[Feature, ...]  # inputs, in the order of the network
    types: tuple[str, ...]  # object types, in the order of the network's counts
    dropped: tuple[str, ...]  # features left out because they never vary
    scaling: Scaling
    train: Part
    validation: Part
    inputs: dict[str, dict]  # sample: process, rows and sha256 of the table it was trained on
    history: dict[str, list[float]]  # training curve: loss, mse, val_loss, val_mse, learning_rate
    best_epoch: int  # from 1; the weights are those at its end
    versions: dict[str, str]
    signature: str  # equal for trainings of the same network, choices and tables
    search: dict | None = None  # of a hyperparameter search: method, space, trials

    @classmethod
    def of(cls, network, prepared, signature, history, search):
        """The record of a network trained on `prepared`."""
        return cls(
            network=network,
            training=prepared.config,
            split=prepared.split,
            region=prepared.dataset.region,
            features=prepared.dataset.features,
            types=prepared.dataset.types,
            dropped=prepared.dropped,
            scaling=prepared.scaling,
            train=prepared.train,
            validation=prepared.validation,
            inputs=prepared.inputs,
            history=history,
            best_epoch=1 + int(np.argmin(history["val_loss"])),
            versions={"python": platform.python_version()}
            | {library: version(library) for library in LIBRARIES},
            signature=signature,
            search=search,
        )

    @property
    def names(self):
        """Names of the features, in the order of the network."""
        return tuple(feature.name for feature in self.features)

    def to_dict(self):
        """As plain values for `model.json`; the scaler becomes part of its features."""
        content = {"format": FORMAT} | asdict(self)
        scaling = content.pop("scaling")
        content["scaler"] = scaling.pop("kind")
        for number, feature in enumerate(content["features"]):
            feature |= {name: values[number].item() for name, values in scaling.items()}
        return content

    @classmethod
    def read(cls, folder):
        """The record in `folder` and the checksums of the files beside it."""
        path = folder / RECORD
        content = read_json(path, f"not a model; {RETRAIN}")
        if content.get("format") != FORMAT:
            raise InputError(
                f"{path} has format {content.get('format')}, this version reads {FORMAT}: {RETRAIN}"
            )
        try:
            files = content["files"]
            values = {f.name: content[f.name] for f in fields(cls) if f.name != "scaling"}
            features = values["features"]
            columns = [[f[name] for f in features] for name in ("log", "shift", "factor")]
            values |= {
                "network": ModelConfig.from_dict(values["network"]),
                "training": TrainingConfig(**values["training"]),
                "split": Split(**values["split"]),
                "train": Part(**values["train"]),
                "validation": Part(**values["validation"]),
                "features": tuple(
                    Feature(f["name"], f["unit"], tuple(map(tuple, f["objects"]))) for f in features
                ),
                "types": tuple(values["types"]),
                "dropped": tuple(values["dropped"]),
                "scaling": Scaling(
                    content["scaler"],
                    np.array(columns[0], bool),
                    np.array(columns[1], np.float32),
                    np.array(columns[2], np.float32),
                ),
            }
            return cls(**values), files
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise InputError(f"{path} is not complete ({error!r}): {RETRAIN}") from None


def folders(path):
    """The folders of the single models of the model or ensemble in `path`."""
    if (path / RECORD).exists() or not (path / FOLDS).exists():
        return [path]
    names = read_json(path / FOLDS, RETRAIN).get("models")
    if not isinstance(names, list) or not names:
        raise InputError(f"{path / FOLDS} lists no models: {RETRAIN}")
    return [path / str(name) for name in names]
