"""Score files: one row per event, by identity, for pandas."""

import errno
import json
import os

import ml_tables
import numpy as np
import pandas as pd
import pytest

from analysis import hdf5_writer
from analysis.errors import M3LError
from analysis.output import IDENTITY
from ml import score_files
from ml.autoencoder import RunAE
from ml.dataset import Dataset
from ml.ensemble import Ensemble
from ml.training_set import TrainingConfig

# Keras 3.15 with numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    dataset = Dataset.open(ml_tables.write_output(tmp_path_factory.mktemp("scores") / "output"))
    training = TrainingConfig(epochs=1, batch=500)
    return RunAE(dataset, dataset.folder / "models" / "small", training=training).fit()


@pytest.fixture
def written(model, monkeypatch):
    """Write the scores of a sample, read in small blocks."""
    blocks = Dataset.blocks
    monkeypatch.setattr(Dataset, "blocks", lambda self, samples: blocks(self, samples, 777))

    def write(name, **options):
        sample = model.data.named([name])[0]
        return score_files.write_scores(
            model.data, Ensemble(model.path, (model,)), sample, **options
        )

    return write


def test_one_row_per_event_in_the_order_of_the_table(model, written):
    summary = written("WZ")
    frame = pd.read_hdf(summary.path)
    events = model.data.load(model.data.named(["WZ"]))
    assert list(frame) == [*IDENTITY, "wgt_SG", "score", "fold", "trained_on"]
    np.testing.assert_array_equal(frame[list(IDENTITY)], events.identity)
    np.testing.assert_array_equal(frame["score"], model.score(events))
    np.testing.assert_array_equal(frame["wgt_SG"], events.weight)
    np.testing.assert_array_equal(frame["trained_on"], events.fold(5) != 0)
    assert frame.index.tolist() == list(range(3000)) and summary.events == 3000
    assert summary.mean == pytest.approx(np.average(frame["score"], weights=frame["wgt_SG"]))
    assert summary.median == pytest.approx(np.median(frame["score"]), abs=0.002)
    assert summary.last == pytest.approx(np.quantile(frame["score"], 0.99), abs=0.01)
    with pd.HDFStore(summary.path, "r") as store:
        about = json.loads(store.get_storer("scores").attrs.m3l)
    assert about["model"] == "small" and about["kind"] == "background"


def test_features_and_their_errors_on_request(model, written):
    summary = written("N_500", errors=True, join=True)
    frame = pd.read_hdf(summary.path)
    events = model.data.load(model.data.named(["N_500"]))
    np.testing.assert_array_equal(frame[list(model.data.names)], events.features)
    np.testing.assert_array_equal(frame[["n_jet", "n_ele", "n_muo"]], events.counts)
    errors = frame[[f"error_{name}" for name in model.record_.names]]
    np.testing.assert_allclose(np.log10(errors.mean(axis=1)), frame["score"], atol=1e-5, rtol=1e-4)
    assert summary.worst[0] == errors.sum().idxmax().removeprefix("error_")
    assert not frame["trained_on"].any()


def test_sample_without_events(written):
    summary = written("empty")
    frame = pd.read_hdf(summary.path)
    assert len(frame) == 0 and "score" in frame and np.isnan(summary.mean)


def test_latent_vectors(model, written):
    path = score_files.write_latent(
        model.data, Ensemble(model.path, (model,)), model.data.named(["data"])[0]
    )
    frame = pd.read_hdf(path)
    events = model.data.load(model.data.named(["data"]))
    np.testing.assert_array_equal(frame.filter(like="latent_"), model.encode(events))


def test_full_disk_leaves_the_previous_scores(written, monkeypatch):
    path = written("data").path
    before = path.read_bytes()

    def full(self, data):
        self.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return len(data)

    monkeypatch.setattr(hdf5_writer.Disk, "write", full)
    with pytest.raises(M3LError, match="data.hdf5 cannot be written: No space left.*free disk"):
        written("data")
    assert path.read_bytes() == before
    assert not list(path.parent.glob(".*"))


def test_rows_that_are_lost_without_an_error(written, monkeypatch):
    path = written("data").path
    before = path.read_bytes()
    monkeypatch.setattr(hdf5_writer.Disk, "write", lambda self, data: len(data))
    with pytest.raises(M3LError, match="data.hdf5 cannot be written: it is not on disk as"):
        written("data")
    assert path.read_bytes() == before
    assert not list(path.parent.glob(".*"))
