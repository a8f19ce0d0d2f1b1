"""The likelihoods are those of their formulas, and the network is used like the others."""

import json
import os
from dataclasses import replace

import keras
import ml_tables
import numpy as np
import pytest
from scipy import stats

from analysis.files import checksum
from ml import likelihood
from ml.autoencoder import Checkpoint, RunAE, runner
from ml.dataset import Dataset, Feature
from ml.likelihood import LatentDensity, LikelihoodAE, learn_columns, negative_logs
from ml.models import find_network
from ml.training_set import TrainingConfig

# Keras 3.15 with numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
TRAINING = TrainingConfig(epochs=3, batch=200)
FEATURES = (
    Feature("e_T_miss", "GeV"),
    Feature("e_T_jet_0", "GeV", ((0, 0),)),
    Feature("m_jet_0_ele_0", "GeV", ((0, 0), (1, 0))),
    Feature("e_T_ele_0", "GeV", ((1, 0),)),
    Feature("delta_e_t_jet_1", "", ((0, 1),)),
    Feature("lepCharge_0", ""),
    Feature("flcomp=0", ""),
    Feature("flcomp=2", ""),
    Feature("asymmetry", ""),
)
KINDS = "POSITIVE POSITIVE POSITIVE POSITIVE SHARE WHOLE CATEGORY CATEGORY REAL".split()


def events(number=4000):
    """(events, 9) values of FEATURES and (events,) weights."""
    random = np.random.default_rng(3)
    there = random.random((number, 3)) < 0.6
    code = random.integers(0, 4, number)
    return np.stack(
        [
            random.exponential(40, number),
            there[:, 0] * (20 + random.exponential(30, number)),
            there[:, 0] * there[:, 1] * random.exponential(90, number),
            there[:, 1] * (20 + random.exponential(30, number)),
            there[:, 2] * random.beta(2, 3, number),
            random.choice([-1, 1], number, p=[0.3, 0.7]),
            code == 0,
            code == 2,
            random.normal(0, 3, number),
        ],
        axis=1,
    ).astype("f4"), random.uniform(0.5, 2, number)


def learned(x, weight, blocks=3):
    parts = list(zip(np.array_split(x, blocks), np.array_split(weight, blocks), strict=True))
    return learn_columns(FEATURES, lambda: iter(parts))


def test_columns_are_learned_from_values_and_names():
    x, weight = events()
    columns = learned(x, weight)
    assert columns.kinds == [getattr(likelihood, kind) for kind in KINDS]
    # The mass of two objects is there where both are; charge and code have other probabilities.
    assert columns.counted == [1, 1, 0, 1, 1, 0, 0, 0, 0]
    assert columns.logits == 3 + 3 and columns.groups == [[0, 3], [3, 6]]
    assert (columns.low[5], columns.size[5]) == (-1, 3)
    has = x[:, 1] > 0
    mean = np.average(x[has, 1], weights=weight[has])
    assert columns.start[1] == pytest.approx(0.1 * mean, rel=1e-5)
    u = np.log(x[has, 1] + 0.1 * mean)
    assert columns.mean[1] == pytest.approx(np.average(u, weights=weight[has]), rel=1e-5)
    spread = np.sqrt(np.cov(u, aweights=weight[has], ddof=0))
    assert columns.spread[1] == pytest.approx(float(spread), rel=1e-4)
    whole = learned(x, weight, 1)
    np.testing.assert_allclose(whole.mean, columns.mean, rtol=1e-5)


def test_likelihoods_are_those_of_scipy():
    x, weight = events(50)
    columns = learned(*events())
    random = np.random.default_rng(0)
    n = len(FEATURES)
    outputs = random.normal(0, 1, (50, 3 * n + columns.logits)).astype("f4")
    found = np.array(negative_logs(keras.ops.convert_to_tensor(x), outputs, columns))
    mean, width, odds, logits = np.split(outputs.astype(float), [n, 2 * n, 3 * n], axis=1)
    width = np.exp(np.clip(width, -3, 2))
    probability = 1 / (1 + np.exp(-odds))
    expected = np.zeros((50, n))
    for k, kind in enumerate(KINDS):
        value = x[:, k].astype(float)
        there = (value != 0) | (kind == "REAL")
        if kind == "POSITIVE":
            u = np.log(value + columns.start[k])
        elif kind == "SHARE":
            share = 0.01 + 0.98 * value
            u = np.log(share / (1 - share))
        else:
            u = np.sign(value) * np.log1p(np.abs(value))
        if kind in ("POSITIVE", "SHARE", "REAL"):
            scaled = (u - columns.mean[k]) / columns.spread[k]
            expected[:, k] = there * -stats.norm.logpdf(scaled, mean[:, k], width[:, k])
            if columns.counted[k]:
                expected[:, k] -= stats.bernoulli.logpmf(there.astype(int), probability[:, k])
    charge = logits[:, :3] - np.log(np.exp(logits[:, :3]).sum(1, keepdims=True))
    expected[:, 5] = -np.choose((x[:, 5] + 1).astype(int), charge.T)
    code = logits[:, 3:] - np.log(np.exp(logits[:, 3:]).sum(1, keepdims=True))
    expected[:, 6] = np.where(x[:, 7] == 1, 0, -np.where(x[:, 6] == 1, code[:, 0], code[:, 2]))
    expected[:, 7] = np.where(x[:, 7] == 1, -code[:, 1], 0)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_densities_are_those_of_the_columns():
    """Against scipy's log-normal, and by changes of variables done numerically."""
    x, _ = events(200)
    columns = learned(*events())
    n = len(FEATURES)
    outputs = np.zeros((200, 3 * n + columns.logits), "f4")
    cells = likelihood.CellLikelihood(columns)
    found = np.array(cells([x, outputs]))
    start, spread = columns.start[0], columns.spread[0]
    density = stats.lognorm(spread, loc=-start, scale=np.exp(columns.mean[0])).logpdf(x[:, 0])
    rest = found[:, 0] + density - np.log(2)  # log 2: there or not
    assert np.ptp(rest) < 1e-3 * np.ptp(density)  # a constant, the unit of the column
    for k in (4, 8):
        there = (x[:, k] != 0) if k == 4 else np.ones(200, bool)
        steps = []
        for h in (-1e-3, 1e-3):
            near = x.astype(float) + 0.0
            near[:, k] += h
            steps.append(likelihood.coordinate(near, columns.kinds, columns.start)[:, k])
        slope = (steps[1] - steps[0]) / 2e-3 / columns.spread[k]
        plain = np.array(negative_logs(keras.ops.convert_to_tensor(x), outputs, columns))[:, k]
        rest = (found[:, k] - plain + np.log(slope))[there]
        assert np.ptp(rest) < 0.02


def test_mixture_is_that_of_scipy():
    random = np.random.default_rng(1)
    weights, means = [0.3, 0.7], random.normal(size=(2, 3))
    halves = random.normal(size=(2, 3, 3))
    covariances = halves @ halves.transpose(0, 2, 1) + np.eye(3)
    factors = np.array([np.linalg.cholesky(np.linalg.inv(c)) for c in covariances])
    layer = LatentDensity(weights, means.tolist(), factors.tolist())
    z = random.normal(size=(20, 3)).astype("f4")
    density = sum(
        w * stats.multivariate_normal(m, c).pdf(z)
        for w, m, c in zip(weights, means, covariances, strict=True)
    )
    np.testing.assert_allclose(np.array(layer(z)), -np.log(density), rtol=1e-4)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = ml_tables.write_output(tmp_path_factory.mktemp("likelihood") / "output")
    record = json.loads((folder / "run.json").read_text())
    for feature in record["features"]:
        feature["network"] = True  # flcomp, too
    (folder / "run.json").write_text(json.dumps(record))
    return Dataset.open(folder)


@pytest.fixture(scope="module")
def trained(dataset):
    path = dataset.folder / "models" / "likelihood"
    return LikelihoodAE(dataset, path, training=TRAINING).fit().save()


def test_it_is_an_autoencoder_like_the_others(dataset, trained, tmp_path):
    assert runner(find_network("likelihood")) is LikelihoodAE
    loaded = RunAE.load(trained.path, dataset)
    assert type(loaded) is LikelihoodAE
    rows = dataset.load()[::7]
    for use in ("score", "errors", "encode", "reconstruct"):
        found = getattr(loaded, use)(rows)
        np.testing.assert_array_equal(found, getattr(trained, use)(rows))
        assert np.isfinite(found).all()
    names, parts = loaded.explain(rows)
    assert names[-1] == "latent" and parts.shape == (len(rows), len(names))
    np.testing.assert_allclose(parts.sum(1), loaded.score(rows), rtol=1e-3, atol=1e-2)
    history = trained.record_.history
    assert history["val_loss"][-1] < history["val_loss"][0]
    assert not (trained.path / "network.json").exists()
    # Signals have larger momenta: improbable, and told so by the columns of momenta.
    score, kind = loaded.score(), dataset.load().kind
    assert np.median(score[kind == "signal"]) > np.median(score[kind == "background"]) + 5
    assert "m_ele_4_muo_4" in trained.record_.dropped
    assert loaded.record_.to_dict() == trained.record_.to_dict()


@pytest.mark.slow
def test_the_same_training_gives_the_same_bytes_also_after_a_kill(
    dataset, trained, tmp_path, monkeypatch
):
    def killed(self, epoch, logs=None):
        on_epoch_end(self, epoch, logs)
        if epoch == 1:
            raise KeyboardInterrupt

    on_epoch_end = Checkpoint.on_epoch_end
    model = LikelihoodAE(dataset, tmp_path / "likelihood", training=TRAINING)
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "on_epoch_end", killed)
        with pytest.raises(KeyboardInterrupt):
            model.fit()
    model.fit().save()
    for name in os.listdir(trained.path):
        assert checksum(model.path / name) == checksum(trained.path / name), name
    assert model.resume() is not None
    model.training = replace(TRAINING, seed=2)
    assert model.resume() is None


@pytest.mark.slow
def test_masking_changes_nothing_for_it(dataset, trained, tmp_path):
    training = replace(TRAINING, mask_absent=True)
    masked = LikelihoodAE(dataset, tmp_path / "masked", training=training).fit().save()
    rows = dataset.load()[::50]
    loaded = RunAE.load(masked.path, dataset)
    np.testing.assert_array_equal(loaded.score(rows), masked.score(rows))
    assert np.isfinite(masked.score(rows)).all()
