"""The search draws from its space, keeps to itself, and its best network is trained anew."""

from dataclasses import replace
from pathlib import Path

import keras_tuner
import ml_tables
import numpy as np
import pytest
from conftest import slow

from analysis.errors import M3LError
from ml import autoencoder
from ml.autoencoder import HyperParameterTuning, RunAE
from ml.dataset import Dataset
from ml.models import ALL, find_network
from ml.training_set import TrainingConfig
from ml.tuning import SearchSpace

# Keras 3.15 with numpy 2, and keras-tuner 1.4.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning",
    "ignore:currentThread:DeprecationWarning",
    "ignore:getName:DeprecationWarning",
)

SPACE = SearchSpace(
    encoder=((8, 20),),
    latent=(2, 4),
    decoder=((8, ALL),),
    kernel_l1=(0.0,),
    activity_l2=(0.0,),
    learning_rate=(1e-3, 5e-3),
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return Dataset.open(ml_tables.write_output(tmp_path_factory.mktemp("tune") / "output"))


def tuning(dataset, path, space=SPACE):
    return HyperParameterTuning(
        dataset, path, training=TrainingConfig(epochs=2, batch=500), space=space
    )


THESIS = Path(__file__).parent.parent / "docs" / "thesis_space.toml"


def test_space_of_the_drafts():
    hp = keras_tuner.HyperParameters()
    network = SearchSpace.read(THESIS).network(hp, 225, "log")
    ours = SearchSpace().network(keras_tuner.HyperParameters(), 225, "log")
    assert network.sizes(225) == ours.sizes(225)
    assert (network.penalty, ours.penalty) == ("sum", "mean")
    ranges = {p.name: (p.min_value, p.max_value) for p in hp.space if hasattr(p, "min_value")}
    assert ranges["encoder_1_units"] == ranges["decoder_3_units"] == (60, 224)
    assert ranges["encoder_2_units"] == ranges["decoder_2_units"] == (30, 59)
    assert ranges["encoder_3_units"] == ranges["decoder_1_units"] == (10, 29)
    assert ranges["latent_units"] == (1, 9)
    choices = {p.name: p.values for p in hp.space if hasattr(p, "values")}
    assert choices["learning_rate"] == [9e-2, 9.5e-2, 1e-3, 1.5e-3]
    assert choices["slope"] == [1.0, 0.5, 0.1, 0.05, 0.01]
    assert set(choices["kernel_l1"]) == set(choices["activity_l2"]) == {0.5, 0.1, 0.05, 0.01}
    assert len([name for name in choices if name.endswith("_activation")]) == 8
    assert len(network.encoder) == len(network.decoder) == 3


@pytest.mark.slow
def test_regularisers_leave_something_to_learn(dataset, tmp_path):
    """With the strongest of each, the network still does better than to predict the mean."""
    losses = {}
    for penalty in ("mean", "sum"):
        config = replace(find_network("deep"), penalty=penalty, kernel_l1=0.5, activity_l2=0.5)
        training = TrainingConfig(epochs=12, batch=100)
        model = RunAE(dataset, tmp_path / penalty, config, training).fit()
        losses[penalty] = min(model.record_.history["val_mse"])
    assert losses["mean"] < 0.93 * losses["sum"], losses


def test_sizes_fit_the_features():
    network = SearchSpace().network(keras_tuner.HyperParameters(), 20, "log")
    assert max(network.sizes(20)) == 20


@pytest.mark.parametrize("method", ["hyperband", slow("random"), slow("bayesian")])
def test_best_network_is_trained_and_saved(dataset, tmp_path, method):
    model = tuning(dataset, tmp_path / "tuned").runHpSearch(method, trials=2, epochs=2).save()
    trials = model.search_["trials"]
    assert trials[0]["val_mse"] == min(trial["val_mse"] for trial in trials)
    config = model.config
    assert [config.encoder[0].units, config.latent.units, config.decoder[0].units] == [
        trials[0][f"{name}_units"] for name in ("encoder_1", "latent", "decoder_1")
    ]
    assert config.slope == trials[0]["slope"]
    assert type(HyperParameterTuning.load(tmp_path / "tuned", dataset)) is HyperParameterTuning
    loaded = RunAE.load(tmp_path / "tuned", dataset)
    assert loaded.record_.search["method"] == method and loaded.config == config
    fresh = RunAE(dataset, tmp_path / "fresh", config, model.training).fit()
    events = dataset.load()[:50]
    np.testing.assert_array_equal(loaded.score(events), fresh.score(events))
    assert sorted(p.name for p in tmp_path.iterdir()) == [".fresh.training", "tuned"]


def test_search_is_reused_only_for_the_same_question(dataset, tmp_path, monkeypatch):
    names = []

    def noted(build, *, name, **_):
        names.append(name)
        raise KeyboardInterrupt

    monkeypatch.setattr(autoencoder, "search", noted)
    fewer = dataset.with_features(dataset.names[1:])
    other = replace(SPACE, latent=(2, 5))
    questions = [(dataset, SPACE), (dataset, SPACE), (fewer, SPACE), (dataset, other)]
    for data, space in questions:
        with pytest.raises(KeyboardInterrupt):
            tuning(data, tmp_path / "tuned", space).runHpSearch("random", 2, 2)
    with pytest.raises(KeyboardInterrupt):
        tuning(dataset, tmp_path / "tuned").runHpSearch("random", 2, 3)
    assert names[0] == names[1] and len(set(names)) == 4


def test_space_from_a_file(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text("encoder = [[8, 20]]\nlatent = [2, 3]\nslope = [0.3]\n")
    space = SearchSpace.read(path)
    assert space == replace(SearchSpace(), encoder=((8, 20),), latent=(2, 3), slope=(0.3,))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latent = [9, 1]", r"latent must be \[smallest, largest\]"),
        ("latent = 3", "latent must be"),
        ("latent = [1, 1000000000]", "latent must be"),
        ("encoder = 5", "encoder must be a list"),
        ("encoder = [5]", r"encoder\[0\] must be"),
        ("encoder = [[1.5, 3]]", r"encoder\[0\] must be"),
        ("slope = []", "slope is empty"),
        ("slope = ['a']", r"slope\[0\] must be a finite number, not 'a'"),
        ("slope = [nan]", r"slope\[0\] must be a finite number"),
        ("learning_rate = [inf]", r"learning_rate\[0\] must be"),
        ("learning_rate = [0.0]", "must be a number above 0"),
        ("activations = ['tahn']", "not 'tahn', did you mean 'tanh'"),
        ("decoders = 3", "unknown key 'decoders', did you mean 'decoder'"),
        ("depth =", "not valid TOML"),
    ],
)
def test_bad_spaces(tmp_path, text, message):
    path = tmp_path / "space.toml"
    path.write_text(text)
    with pytest.raises(M3LError, match=message):
        SearchSpace.read(path)


def test_unknown_method(dataset, tmp_path):
    with pytest.raises(M3LError, match="unknown search method 'grid'"):
        tuning(dataset, tmp_path / "tuned").runHpSearch("grid")
