"""What is known about a trained model: the content of `model.json`."""

import platform
from dataclasses import asdict, dataclass, fields
from importlib.metadata import version

import numpy as np

from analysis.errors import InputError, M3LError
from analysis.output import MODEL_RECORD, RETRAIN, read_model_record
from ml.dataset import Feature
from ml.models import ModelConfig
from ml.scaling import Scaling
from ml.training_set import Part, Split, TrainingConfig, kept_epoch

FORMAT = 1
LIBRARIES = ("tensorflow", "keras", "numpy", "scikit-learn")


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
    own: str | None = None  # class that made the network itself, which `network` then describes

    @classmethod
    def of(cls, network, prepared, signature, history, search, own=None):
        """The record of a network trained on `prepared`."""
        return cls(
            network=network.sized(len(prepared.dataset.features)),
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
            best_epoch=kept_epoch(history["val_loss"], prepared.config.least_gain),
            versions={"python": platform.python_version()}
            | {library: version(library) for library in LIBRARIES},
            signature=signature,
            search=search,
            own=own,
        )

    @property
    def names(self):
        """Names of the features, in the order of the network."""
        return tuple(feature.name for feature in self.features)

    @property
    def capped(self):
        """Whether the training ended at the cap of epochs, before its validation loss had settled.

        Early stopping would have waited for `patience` epochs after the best one.
        """
        return len(self.history["loss"]) - self.best_epoch < self.training.patience

    def to_dict(self):
        """As plain values for `model.json`; the scaler becomes part of its features."""
        content = {"format": FORMAT} | asdict(self) | {"capped": self.capped}
        scaling = content.pop("scaling")
        content["scaler"] = scaling.pop("kind")
        for number, feature in enumerate(content["features"]):
            feature |= {name: values[number].item() for name, values in scaling.items()}
        return content

    @classmethod
    def read(cls, folder):
        """The record in `folder` and the checksums of the files beside it."""
        path = folder / MODEL_RECORD
        content = read_model_record(folder)
        try:
            files = content["files"]
            content = {"own": None} | content  # older records do not have it
            values = {f.name: content[f.name] for f in fields(cls) if f.name != "scaling"}
            features = values["features"]
            columns = [[f[name] for f in features] for name in ("log", "shift", "factor")]
            values |= {
                "network": ModelConfig.from_dict(values["network"]),
                "training": TrainingConfig(**{"least_gain": 0.0} | values["training"]),
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
        except KeyError as error:
            raise InputError(f"{path} is not complete ({error} is missing): {RETRAIN}") from None
        except (TypeError, M3LError) as error:
            raise InputError(f"{path} is not complete ({error}): {RETRAIN}") from None
