"""Models from someone else: model.json, Keras's file, checkpoints and searches are looked at before
anything is made of them, and run no code.
"""

import io
import json
import pickle
import zipfile
from dataclasses import replace

import mutations
import numpy as np
import pytest
from ml_tables import write_output
from mutations import bear, refused

from analysis.errors import InputError
from analysis.files import checksum

pytest.importorskip("keras")

from ml.checkpoint import Checkpoint  # noqa: E402
from ml.dataset import Dataset, Feature  # noqa: E402
from ml.model_record import ModelRecord  # noqa: E402
from ml.models import find_network  # noqa: E402
from ml.scaling import Scaling  # noqa: E402
from ml.training_set import Part, Split, TrainingConfig  # noqa: E402

# Keras 3.15 with numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def record():
    """The record of a model that was never trained."""
    return ModelRecord(
        network=find_network("deep"),
        training=TrainingConfig(),
        split=Split(5, 0),
        region="SR3L",
        features=(Feature("m_jet_0_jet_1", "GeV", ((0, 0), (0, 1))), Feature("m_3l", "GeV")),
        types=("jet",),
        dropped=("flcomp",),
        scaling=Scaling(
            "standard",
            np.array([False, True]),
            np.array([50, 4], np.float32),
            np.array([0.1, 2], np.float32),
        ),
        train=Part(100, 50.0),
        validation=Part(25, 12.5),
        inputs={"WZ": {"process": "diboson3L", "rows": 125, "sha256": "0" * 64}},
        history={"loss": [2.0, 1.0], "val_loss": [2.1, 1.1]},
        best_epoch=2,
        versions={"keras": "3"},
        signature="1" * 64,
    )


CONTENT = json.loads(json.dumps(record().to_dict() | {"files": {"autoencoder.keras": "2" * 64}}))


def test_the_record_is_read_as_it_was_written(tmp_path):
    (tmp_path / "model.json").write_text(json.dumps(CONTENT))
    found, files = ModelRecord.read(tmp_path)
    assert replace(found, scaling=None) == replace(record(), scaling=None)
    assert files == CONTENT["files"]


def test_any_model_json_is_good_or_refused(tmp_path):
    def read(content):
        mutations.write(tmp_path / "model.json", content)
        found, _ = ModelRecord.read(tmp_path)
        assert np.isfinite([found.scaling.shift, found.scaling.factor]).all()
        found.network.sizes(len(found.features))
        _ = found.history["val_loss"][found.best_epoch - 1]

    bear(read, mutations.mutations(CONTENT))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["features"][0].update(shift=float("nan")), "not valid JSON"),
        (lambda c: c["features"][0].update(factor=1e300), "features[0].factor must be a finite"),
        (lambda c: c["network"]["latent"].update(units=10**9), "network.latent.units must be"),
        (lambda c: c["network"].update(made_for=0), "network.made_for must be"),
        (lambda c: c["history"].update(val_loss=[1.0]), "curves of different lengths"),
        (lambda c: c.update(best_epoch=3), "best_epoch is 3 of 2"),
        (lambda c: c.update(features=[]), "features is empty"),
        (lambda c: c["features"].append(c["features"][0]), "has name 'm_jet_0_jet_1' twice"),
        (lambda c: c.update(region="../x"), "region must be a name"),
        (lambda c: c.update(files={"../../x": "2" * 64}), "must be the name of a file"),
        (lambda c: c["split"].update(validation=9), "split has a fold that is not there"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, change, message):
    content = json.loads(json.dumps(CONTENT))
    change(content)
    mutations.write(tmp_path / "model.json", content)
    line = refused(ModelRecord.read, tmp_path)
    assert message in line and line.endswith("train again with python -m ml train")


# --- Keras's file -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trained model, not to be changed."""
    from ml.autoencoder import RunAE

    samples = [("WZ", "diboson3L", "background", 400, 40.0, 0.5)]
    folder = write_output(tmp_path_factory.mktemp("trained") / "output", samples)
    training = TrainingConfig(epochs=1, batch=100)
    path = folder / "models" / "deep"
    return RunAE(Dataset.open(folder), path, find_network("deep"), training).fit().save()


@pytest.fixture
def copy(trained, tmp_path):
    """A copy of its folder."""
    import shutil

    return shutil.copytree(trained.path, tmp_path / "copy")


def rewritten(folder, edit):
    """Change config.json inside of Keras's file; all checksums are right."""
    path = folder / "autoencoder.keras"
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(content["config.json"])
    edit(config)
    content["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    sign(folder)


def sign(folder):
    """Write the checksum of Keras's file into model.json."""
    content = json.loads((folder / "model.json").read_text())
    content["files"]["autoencoder.keras"] = checksum(folder / "autoencoder.keras")
    (folder / "model.json").write_text(json.dumps(content))


def load(folder):
    from ml.autoencoder import RunAE

    return RunAE.load(folder)


def layers(config):
    """All layers in a configuration, at any depth."""
    if isinstance(config, dict):
        if "class_name" in config and isinstance(config.get("config"), dict):
            yield config
        config = list(config.values())
    for inner in config if isinstance(config, list) else ():
        yield from layers(inner)


def test_keras_runs_no_code_of_a_model(copy, tmp_path):
    """A Lambda layer carries compiled Python; so does a function that is named by its module."""
    import keras

    mark = tmp_path / "escaped"
    inputs = keras.Input((2,))
    code = f"lambda x: (__import__('os').makedirs({str(mark)!r}, exist_ok=True), x)[1]"
    evil = keras.layers.Lambda(eval(code))
    model = keras.Model(inputs, evil(inputs))
    model.save(copy / "autoencoder.keras")
    mark.rmdir()
    sign(copy)
    assert "cannot be loaded" in refused(load, copy)
    assert not mark.exists()


def test_keras_calls_no_function_that_a_model_names(copy, tmp_path):
    mark = tmp_path / "escaped"

    def edit(config):
        dense = next(layer for layer in layers(config) if layer["class_name"] == "Dense")
        dense["config"]["activation"] = {
            "module": "os",
            "class_name": "function",
            "config": "system",
            "registered_name": "function",
            "inner_config": f"touch {mark}",
        }

    rewritten(copy, edit)
    assert "cannot be loaded" in refused(load, copy)
    assert not mark.exists()


@pytest.mark.parametrize("units", [10**9, 7, "7", None, [10**9], True])
def test_layers_of_other_sizes_than_recorded_are_not_made(copy, units):
    def edit(config):
        next(x for x in layers(config) if x["class_name"] == "Dense")["config"]["units"] = units

    rewritten(copy, edit)
    assert "sizes than model.json says" in refused(load, copy)


def test_another_model_in_keras_format_is_refused(copy):
    import keras

    inputs = keras.Input((3,))
    keras.Model(inputs, keras.layers.Dense(6)(inputs)).save(copy / "autoencoder.keras")
    sign(copy)
    assert "cannot be loaded" in refused(load, copy)


@pytest.mark.parametrize("content", [b"", b"PK", pickle.dumps([1]), b"\x89HDF\r\n\x1a\n"])
def test_file_that_is_not_of_keras(copy, content):
    (copy / "autoencoder.keras").write_bytes(content)
    sign(copy)
    assert "cannot be loaded" in refused(load, copy)


def test_keras_file_without_a_checksum_is_not_loaded(copy):
    content = json.loads((copy / "model.json").read_text()) | {"files": {}}
    (copy / "model.json").write_text(json.dumps(content))
    assert "autoencoder.keras is damaged" in refused(load, copy)


def test_weights_that_are_not_finite(trained, copy):
    model = trained.model_
    before = model.get_weights()
    try:
        model.set_weights([np.full_like(w, np.nan) for w in before])
        model.save(copy / "autoencoder.keras")
    finally:
        model.set_weights(before)
    sign(copy)
    assert "weights that are not finite" in refused(load, copy)


def test_models_of_folds_that_do_not_fit_are_refused(trained, tmp_path):
    import shutil

    from ml.ensemble import Ensemble

    for k in range(2):
        shutil.copytree(trained.path, tmp_path / f"fold_{k}")
    (tmp_path / "folds.json").write_text('{"models": ["fold_0", "fold_1"]}')
    assert "not one model for each of its folds" in refused(Ensemble.load, tmp_path)


# --- checkpoints ------------------------------------------------------------------------------


class Trap:
    """An object that opens a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.fixture
def checkpoint(trained, tmp_path):
    """A network, and the content of a good checkpoint of it."""
    import keras

    from ml.training_set import learn

    prepared = learn(trained.data, trained.training, trained._split(), "standard")
    network = trained._network(prepared)
    network.optimizer.build(network.trainable_variables)
    others = [
        keras.callbacks.EarlyStopping(patience=3),
        keras.callbacks.ReduceLROnPlateau(patience=3),
    ]
    made = Checkpoint(tmp_path, "a" * 64, others)
    arrays = {f"variable_{n}": v.numpy() for n, v in enumerate(made._variables(network))}
    arrays |= {f"best_{n}": w for n, w in enumerate(network.get_weights())}
    state = {
        "signature": "a" * 64,
        "history": {"loss": [1.0], "val_loss": [1.0]},
        "callbacks": {
            "EarlyStopping": {"wait": 0, "best": 1.0, "best_epoch": 0},
            "ReduceLROnPlateau": {"wait": 0, "best": 1.0, "cooldown_counter": 0},
        },
    }
    return made, network, state, arrays


def test_good_checkpoint_is_resumed(checkpoint):
    made, network, state, arrays = checkpoint
    np.savez(made.path, state=np.array(json.dumps(state)), **arrays)
    assert made.restore(network, 5) and made.epoch == 1


def test_checkpoint_is_never_unpickled(checkpoint, tmp_path):
    made, network, state, arrays = checkpoint
    mark = tmp_path / "escaped"
    trap = np.array([Trap(mark)], object)
    for name in ("state", "variable_0", "best_0"):
        content = {"state": np.array(json.dumps(state)), **arrays, name: trap}
        np.savez(made.path, **content)
        assert not made.restore(network, 5)
    assert not mark.exists()


def test_any_state_of_a_checkpoint_is_good_or_not_resumed(checkpoint):
    made, network, state, arrays = checkpoint
    before = [w.copy() for w in network.get_weights()]

    def read(content):
        text = json.dumps(content).replace("Infinity", "1e999")
        np.savez(made.path, state=np.array(text), **arrays)
        made.restore(network, 5)

    bear(read, mutations.mutations(state))
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_checkpoint_of_other_arrays_changes_nothing(checkpoint):
    made, network, state, arrays = checkpoint
    before = [w.copy() for w in network.get_weights()]
    last = f"best_{len(before) - 1}"
    for value in (
        np.full_like(arrays[last], np.nan),
        np.zeros(1 + arrays[last].size, np.float32),
        np.array("text"),
    ):
        changed = {**arrays, "variable_0": arrays["variable_0"] + 1, last: value}
        np.savez(made.path, state=np.array(json.dumps(state)), **changed)
        assert not made.restore(network, 5)
    del changed[last]
    np.savez(made.path, state=np.array(json.dumps(state)), **changed)
    assert not made.restore(network, 5)
    np.save(buffer := io.BytesIO(), np.zeros(3))
    for content in (b"", b"PK\3\4", pickle.dumps(1), buffer.getvalue()):
        made.path.write_bytes(content)
        assert not made.restore(network, 5)
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_array_of_a_checkpoint_that_pretends_a_huge_size_is_not_read(checkpoint):
    made, network, state, arrays = checkpoint
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(50_000_000, np.uint8))
    np.savez(made.path, state=np.array(json.dumps(state)), **arrays)
    with zipfile.ZipFile(made.path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    content["best_0.npy"] = buffer.getvalue()
    with zipfile.ZipFile(made.path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    wanted = {"best_0": arrays["best_0"].shape}
    with pytest.raises(ValueError, match="too large"):
        made._read(wanted)


# --- names on the command line ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["../x", "/tmp/x", ".x", "", "a/b", "a\nb", "-x", "a" * 300])
def test_name_of_a_model_is_a_plain_name(trained, name):
    from ml import __main__ as command

    words = ["train", str(trained.data.folder), f"--name={name}", "--quiet"]
    options = command.parser().parse_args(words)
    if not name:  # as if not given
        return
    with pytest.raises(InputError.__mro__[1], match="must be a plain folder name"):
        command._model_path(options, "small")


@pytest.mark.parametrize("region", ["../x", "/tmp", ""])
def test_region_is_one_of_the_run(trained, region):
    assert "no tables of region" in refused(lambda r: Dataset.open(trained.data.folder, r), region)
