"""Only the training folds of the background teach, with the weights that were asked for."""

from dataclasses import replace

import ml_tables
import numpy as np
import pytest

from analysis.errors import M3LError
from ml.dataset import Dataset
from ml.training_set import Split, TrainingConfig, event_weight, learn

CONFIG = TrainingConfig(batch=100)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return Dataset.open(ml_tables.write_output(tmp_path_factory.mktemp("learn") / "output"))


def rows(feed):
    return [np.concatenate(part) for part in zip(*map(feed.rows, feed.once()), strict=True)]


def test_policies_for_negative_weights():
    weight = np.array([-2.0, 0.0, 3.0])
    assert event_weight(weight, "absolute").tolist() == [2, 0, 3]
    assert event_weight(weight, "zero").tolist() == [0, 0, 3]
    assert event_weight(weight, "keep").tolist() == [-2, 0, 3]
    with pytest.raises(M3LError, match="'clip'"):
        event_weight(weight, "clip")


def test_splits():
    fold = np.arange(5)
    assert Split.of_model(None, 5).training(fold).tolist() == [False] + [True] * 4
    for k in range(5):
        split = Split.of_model(k, 5)
        training = set(fold[split.training(fold)])
        assert split.test == k and training == set(range(5)) - {k, (k + 1) % 5}


def test_events_are_those_of_the_split(dataset):
    events = dataset.load(dataset.of_kind("background"))
    for split in (Split.of_model(None, 5), Split.of_model(4, 5)):
        prepared = learn(dataset, CONFIG, split, "standard")
        wanted = split.training(events.fold(5))
        assert prepared.train.events == wanted.sum()
        assert prepared.train.sum_of_weights == pytest.approx(np.abs(events.weight[wanted]).sum())
        train, validation = prepared.feeds()
        _, x, weight = rows(train)
        chosen = events[wanted]
        expected = prepared.scaling.transform(chosen.columns(prepared.dataset.names))
        np.testing.assert_array_equal(x, expected)
        assert weight.mean() == pytest.approx(1, rel=1e-5)
        share = weight / np.abs(chosen.weight)
        assert share == pytest.approx(np.full(len(share), share[0]), rel=1e-5)
        assert np.average(x, weights=weight, axis=0) == pytest.approx(0, abs=1e-4)
        assert len(rows(validation)[0]) == (events.fold(5) == split.validation).sum()


def test_streamed_events_are_those_in_memory(dataset):
    memory = learn(dataset, CONFIG, Split(5, 0), "log")
    stream = replace(memory, config=replace(CONFIG, memory_gib=0.0))
    for one, other in zip(memory.feeds(), stream.feeds(), strict=True):
        assert type(one) is not type(other)
        for a, b in zip(rows(one), rows(other), strict=True):
            np.testing.assert_array_equal(a, b)


def test_features_that_never_vary_are_dropped_by_name(dataset):
    prepared = learn(dataset, CONFIG, Split(5, 0), "log")
    background = dataset.load(dataset.of_kind("background"))
    training = background[Split(5, 0).training(background.fold(5))]
    varies = np.ptp(training.features, axis=0) > 0
    assert prepared.dataset.names == tuple(np.array(dataset.names)[varies])
    assert set(prepared.dropped) == set(np.array(dataset.names)[~varies])
    assert "m_ele_4_muo_4" in prepared.dropped


def test_absent_cells_teach_nothing(dataset):
    prepared = learn(dataset, replace(CONFIG, mask_absent=True), Split(5, 0), "standard")
    events = dataset.load(dataset.of_kind("background"))
    events = events[Split(5, 0).training(events.fold(5))]
    seen, x, weight = rows(prepared.feeds()[0])
    present = prepared.dataset.present(events.counts)
    np.testing.assert_array_equal(np.isnan(x), ~present)
    np.testing.assert_array_equal(seen[~present], np.broadcast_to(prepared.fill, x.shape)[~present])
    column = prepared.dataset.names.index("e_T_jet_0")
    real = present[:, column]
    assert np.average(x[real, column], weights=weight[real]) == pytest.approx(0, abs=1e-4)


def test_weightless_events_are_left_out(dataset):
    kept = learn(dataset, replace(CONFIG, weights="keep"), Split(5, 0), "standard")
    positive = learn(dataset, replace(CONFIG, weights="zero"), Split(5, 0), "standard")
    assert positive.train.events < kept.train.events
    assert rows(positive.feeds()[0])[2].min() > 0 > rows(kept.feeds()[0])[2].min()


def test_too_few_events_and_no_background(dataset, tmp_path):
    with pytest.raises(M3LError, match="training events.*batch of 99999.*--batch"):
        learn(dataset, replace(CONFIG, batch=99999), Split(5, 0), "log")
    signal = ml_tables.write_output(tmp_path / "signal", [ml_tables.SAMPLES[2]])
    with pytest.raises(M3LError, match="no sample of kind background"):
        learn(Dataset.open(signal), CONFIG, Split(5, 0), "log")
    empty = ml_tables.write_output(tmp_path / "empty", [ml_tables.SAMPLES[4]])
    with pytest.raises(M3LError, match="^0 training events"):
        learn(Dataset.open(empty), CONFIG, Split(5, 0), "log")


def test_weights_that_cancel(tmp_path):
    def negative(name, frame):
        return frame.assign(wgt_SG=-1.0)

    folder = ml_tables.write_output(tmp_path / "output", [ml_tables.SAMPLES[0]], negative)
    with pytest.raises(M3LError, match="add up to -.*--weights absolute"):
        learn(Dataset.open(folder), replace(CONFIG, weights="keep"), Split(5, 0), "minmax")
