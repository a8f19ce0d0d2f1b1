"""Detectors: numbers that can be known, folds that are not looked at, files, and bad input."""

import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
from conftest import read_json

from analysis import topology
from analysis.errors import InputError, M3LError
from analysis.files import checksum
from analysis.performance import survival
from ml.dataset import Dataset, concatenate
from ml.detectors import base, recipes
from ml.detectors.base import load_kind
from ml.detectors.combined import CombinedDetector
from ml.detectors.declared import DETECTORS, KINDS, find_detector, from_plain, json_form
from ml.detectors.forest import Forest, grow
from ml.detectors.isolation import average_path
from ml.detectors.survival import learn_survival, minus_log_survival
from ml.detectors.twin import Twin, TwinDetector
from ml.ensemble import Ensemble, class_of, train
from ml.training_set import TrainingConfig

# Keras 3.15 with numpy 2.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TRAINING = TrainingConfig(folds=3)
QUICK = {
    "twin": {"pseudo_events": 6000, "rounds": 10},
    "tail": {},
    "density": {"components": 2, "events": 1000},
    "svdd": {"latent": (3,), "hidden": (8,), "epochs": 1},
    "processes": {"rounds": 5},
    "weak": {"bags": 2, "rounds": 5},
    "isolation": {"trees": 10, "sample": 64},
    "pca": {},
    "combined": {},
}


def quick(config):
    """The same detector, trained in a second."""
    changes = QUICK[KINDS[type(config)].kind]
    if members := getattr(config, "members", None):
        changes = {"members": tuple(map(quick, members))}
    return replace(config, **changes)


SOME = [quick(DETECTORS[name]) for name in DETECTORS if name not in ("twin_mixed", "twin_flavour")]
BY_NAME = {config.name: config for config in SOME}


@pytest.fixture(scope="module")
def dataset(demo_output):
    return Dataset.open(demo_output)


@pytest.fixture(scope="module")
def fitted(dataset, tmp_path_factory):
    """{name: detector of fold 1}, saved."""
    folder = tmp_path_factory.mktemp("detectors") / "models"
    return {
        config.name: class_of(config)(dataset, folder / config.name / "fold_1", config, TRAINING, 1)
        .fit()
        .save()
        for config in SOME
    }


@pytest.fixture(scope="module")
def portfolio(dataset, tmp_path_factory):
    path = tmp_path_factory.mktemp("portfolio") / "portfolio"
    return train(dataset, path, BY_NAME["portfolio"], TRAINING, folds=True)


# ---- trees


def separable(events=2000, features=4):
    random = np.random.default_rng(1)
    x = random.normal(size=(events, features)).astype(np.float32)
    return x, (x[:, 0] * x[:, 1] > 0).astype(float), random.uniform(0.5, 2, events)


@pytest.mark.parametrize("objective", ["binary", "multiclass"])
def test_trees_are_those_of_lightgbm(objective):
    lightgbm = pytest.importorskip("lightgbm")
    x, y, weight = separable()
    parameters = {"objective": objective, "num_leaves": 7}
    if objective == "multiclass":
        y, parameters["num_class"] = y + (x[:, 2] > 1), 3
    forest = grow(x, y, weight, parameters, 20, 3)
    fixed = {"verbosity": -1, "seed": 3, "num_threads": 1, "deterministic": True}
    data = lightgbm.Dataset(x, y, weight=weight)
    booster = lightgbm.train(parameters | fixed | {"force_row_wise": True}, data, 20)
    expected = booster.predict(x, raw_score=True).reshape(len(x), -1)
    np.testing.assert_allclose(forest.predict(x.astype(float)), expected, rtol=1e-9, atol=1e-12)
    assert forest.outputs == expected.shape[1]


def test_contributions_add_up_to_the_output():
    x, y, weight = separable()
    forest = grow(x, y, weight, {"objective": "binary"}, 10, 1)
    found = forest.contributions(x.astype(float))
    start = forest.value[forest.roots].sum()
    np.testing.assert_allclose(start + found.sum(axis=1), forest.predict(x)[:, 0], rtol=1e-9)
    drives = np.abs(found).mean(axis=0)
    assert drives[:2].min() > 5 * drives[2:].max()


def tree(**changes):
    """A tree of one cut at 0.5: -1 below, 1 above."""
    numbers = {
        "feature": [0, 0, 0],
        "threshold": [0.5, 0, 0],
        "left": [1, 1, 2],
        "right": [2, 1, 2],
        "value": [0, -1, 1],
        "roots": [0],
        "output": [0],
    } | changes
    return Forest(**{name: np.array(values) for name, values in numbers.items()})


def test_a_cut_lets_equal_values_to_the_left():
    np.testing.assert_array_equal(tree().predict(np.array([[0.5], [0.6]]))[:, 0], [-1, 1])


@pytest.mark.parametrize(
    "changes",
    [
        {"left": [0, 1, 2]},  # comes back to itself
        {"left": [1, 0, 2], "right": [2, 0, 2]},
        {"right": [3, 1, 2]},  # is not there
        {"feature": [1, 0, 0]},
        {"roots": [3]},
        {"roots": [-1]},
        {"output": [-1]},
        {"value": [0, 1]},
        {"output": [0, 0]},
    ],
)
def test_trees_that_lead_nowhere_are_refused(changes):
    tree().check(1)
    with pytest.raises(M3LError):
        tree(**changes).check(1)


def test_isolation_is_that_of_scikit_learn(dataset):
    ensemble = pytest.importorskip("sklearn.ensemble")
    config = BY_NAME["isolation"]
    detector = class_of(config)(dataset, None, config, TRAINING, 1).fit()
    learned = detector.chosen(load_kind(dataset, "background")[0])
    drawn = base.resampled(learned, 640, np.random.default_rng(detector.seed))
    x = detector.columns(learned.events)
    grown = ensemble.IsolationForest(n_estimators=10, max_samples=64, random_state=1).fit(x[drawn])
    np.testing.assert_allclose(detector.evaluate(x), -grown.score_samples(x), rtol=1e-6)


def test_average_path_of_few_events():
    # 2 H(n - 1) - 2 (n - 1) / n, with the harmonic number of the paper's approximation
    np.testing.assert_allclose(average_path([0, 1, 2]), [0, 0, 1])
    assert average_path(3) == pytest.approx(2 * (np.log(2) + np.euler_gamma) - 4 / 3)


# ---- survival


def test_survival_counts_equal_values_once():
    values, weight = np.array([1.0, 2, 2, 3]), np.array([1.0, 1, 2, 4])
    numbers = learn_survival(values, weight)
    inside = minus_log_survival(np.array([1.0, 2.0]), numbers)
    np.testing.assert_allclose(np.exp(-inside), [1, 7 / 8])


def test_tail_of_an_exponential_has_its_slope():
    random = np.random.default_rng(2)
    numbers = learn_survival(random.exponential(10.0, 200_000), np.ones(200_000))
    values = np.array([5.0, 50.0, 90.0, 300.0])
    np.testing.assert_allclose(minus_log_survival(values, numbers)[:3], values[:3] / 10, rtol=0.05)
    assert minus_log_survival(values, numbers)[3] == pytest.approx(30, rel=0.4)


def test_survival_falls_everywhere():
    random = np.random.default_rng(3)
    values, weight = random.normal(size=5000), random.uniform(0, 1, 5000)
    numbers = learn_survival(values, weight)
    said = minus_log_survival(np.linspace(-6, 20, 5000), numbers)
    assert (np.diff(said) >= -1e-12).all() and np.isfinite(said).all()
    inner = np.sort(values)[[500, 2500, 4500, 4950]]
    expected = survival(inner, values, weight)
    np.testing.assert_allclose(np.exp(-minus_log_survival(inner, numbers)), expected, rtol=0.01)


@pytest.mark.parametrize("values", [[], [1.0], [2.0, 2.0, 2.0, 2.0, 2.0, 2.0]])
def test_survival_of_few_or_equal_events(values):
    numbers = learn_survival(np.array(values), np.ones(len(values)))
    assert np.isfinite(minus_log_survival(np.array([-1.0, 2.0, 1e9]), numbers)).all()


# ---- topologies and pseudo-events


def test_topologies():
    x = np.array([[0, 91.2, 0], [0, 91.2, 2], [1, 30, 0], [2, 15, 1], [1, 14.9, 0], [2, 0, 1]])
    assert [topology.TOPOLOGIES[n] for n in topology.topology_of(x)] == list(topology.TOPOLOGIES)


@pytest.fixture(scope="module")
def material():
    """Leptons of random events: enough for momenta, which need no ROOT."""
    random = np.random.default_rng(5)
    events = 3000
    objects = {
        f"lepPt_{k}": np.sort(random.exponential(40, (events, 3)) + 8)[:, 2 - k] for k in range(3)
    }
    for k in range(3):
        objects |= {
            f"lepEta_{k}": random.uniform(-2.4, 2.4, events),
            f"lepPhi_{k}": random.uniform(-3, 3, events),
            f"lepM_{k}": np.full(events, 0.1),
            f"lepFlavor_{k}": random.choice([1, 2], events),
            f"lepCharge_{k}": random.choice([-1, 1], events),
        }
    objects |= {
        "e_T_miss": random.exponential(40, events),
        "met_Phi": random.uniform(-3, 3, events),
    }
    weight = random.uniform(0, 2, events)
    return recipes.Material(objects, weight, np.arange(events) % 3, random.exponential(20, events))


def momenta(leptons):
    """(events, 3, 4) px, py, pz, E."""
    pt, eta, phi, m = (leptons[name] for name in ("Pt", "Eta", "Phi", "M"))
    pz = pt * np.sinh(eta)
    return np.stack([pt * np.cos(phi), pt * np.sin(phi), pz, np.sqrt(pt**2 + pz**2 + m**2)], axis=2)


@pytest.mark.parametrize("recipe", ["phase_space", "cascade"])
def test_decays_keep_momentum(material, recipe):
    """Transverse momenta of leptons and the invisible particle add up to the recoil."""
    rows, leptons, met = recipes.RECIPES[recipe](material, np.random.default_rng(1), 2000)
    total = momenta(leptons)[..., :2].sum(axis=1)
    total += (
        np.stack([np.cos(met["met_Phi"]), np.sin(met["met_Phi"])], 1) * met["e_T_miss"][:, None]
    )
    np.testing.assert_allclose(np.hypot(*total.T), material.recoil[rows], rtol=1e-5, atol=1e-5)


def test_phase_space_is_flat():
    """<m_ij^2> is M^2 / 6 for each of the six pairs, and the energies are alike in the rest frame;
    of a pair, m^2 / M^2 has the density 6 (1 - x)^2 x ... whose mean square is 1 / 15.
    """
    random = np.random.default_rng(7)
    none = np.zeros(100_000)
    still = recipes.Material(
        {f"lep{n}_{k}": none + (n == "Flavor") for n in recipes.LEPTON for k in range(3)}
        | {"e_T_miss": none, "met_Phi": none},
        none + 1,
        none,
        none,
    )
    _, leptons, met = recipes.phase_space(still, random, 100_000)
    p = momenta(leptons | {"M": np.zeros((100_000, 3))})
    square = []
    for i, j in ((0, 1), (0, 2), (1, 2)):
        q = p[:, i] + p[:, j]
        square.append(q[:, 3] ** 2 - (q[:, :3] ** 2).sum(axis=1))
    three = p.sum(axis=1)
    unseen = np.stack(
        [met["e_T_miss"] * np.cos(met["met_Phi"]), met["e_T_miss"] * np.sin(met["met_Phi"])], 1
    )
    np.testing.assert_allclose(three[:, :2], -unseen, atol=1e-3 * np.abs(unseen).max())
    mass_3l = np.sum(square, axis=0)
    # Given m_3l, each pair of the three has a third of its square on average.
    for each in square:
        assert np.mean(each / mass_3l) == pytest.approx(1 / 3, abs=0.005)
        # The square of a pair's mass in flat three-body phase space is 2 (1 - x): <x^2> = 1/6.
        assert np.mean((each / mass_3l) ** 2) == pytest.approx(1 / 6, abs=0.005)


def test_charges_and_flavours_are_redrawn_evenly(material):
    _, leptons, _ = recipes.flavour(material, np.random.default_rng(1), 6000)
    assert set(leptons["Charge"].sum(axis=1)) == {-1, 1}
    assert leptons["Flavor"].mean() == pytest.approx(1.5, abs=0.02)
    assert abs(leptons["Charge"].mean(axis=0)).max() < 0.05


def test_what_is_mixed_is_of_one_fold(material):
    drawn = material.draw(np.random.default_rng(1), 3000)
    other = material.draw(np.random.default_rng(2), 3000, material.fold[drawn])
    np.testing.assert_array_equal(material.fold[drawn], material.fold[other])
    assert (drawn != other).mean() > 0.99


def test_pseudo_events_are_like_events_of_the_region(dataset):
    made, fold = recipes.pseudo_events(dataset, "phase_space", 6000, 1, "absolute", 3)
    assert len(made) == len(fold) > 1000 and set(fold) == {0, 1, 2}
    pt = made.columns([f"lepPt_{k}" for k in range(3)])
    assert (np.diff(pt, axis=1) <= 0).all() and (pt[:, 1] > 20).all()
    assert set(made.columns(["charge_sum"])[:, 0]) == {-1, 1}
    assert np.isfinite(made.features).all()


def test_background_cannot_be_told_from_itself(dataset):
    """A twin in which nothing was changed: no separation on events that were not learned."""
    config = Twin("same", recipe="unchanged", pseudo_events=20_000, rounds=40, leaves=7)
    detector = TwinDetector(dataset, None, config, TRAINING, 0).fit()
    events, _ = load_kind(dataset, "background")
    made, fold = recipes.pseudo_events(dataset, "unchanged", 20_000, 1, "absolute", 3)
    held_out, others = events[events.fold(3) == 0], made[fold == 0]
    scores = detector.score(held_out), detector.score(others)
    weight = np.abs(held_out.weight)
    order = np.argsort(scores[0])
    below = np.concatenate([[0], np.cumsum(weight[order])]) / weight.sum()
    area = below[np.searchsorted(scores[0][order], scores[1])].mean()
    effective = weight.sum() ** 2 / (weight**2).sum()
    assert area == pytest.approx(0.5, abs=4 / np.sqrt(12 * effective))


# ---- every kind


@pytest.mark.parametrize("config", SOME, ids=lambda config: config.name)
def test_loaded_is_what_was_saved(dataset, fitted, config):
    detector = fitted[config.name]
    found = base.load_detector(detector.path, dataset)
    assert type(found) is type(detector) and found.config == config
    assert found.record_ == detector.record_
    events = dataset.load(dataset.samples[:3])
    np.testing.assert_array_equal(found.score(events), detector.score(events))
    assert np.isfinite(found.score(events)).all()


@pytest.mark.parametrize("config", SOME, ids=lambda config: config.name)
def test_same_training_same_bytes(dataset, fitted, config, tmp_path):
    path = tmp_path / config.name / "fold_1"
    class_of(config)(dataset, path, config, TRAINING, 1).fit().save()
    for file in ("numbers.npz", "detector.json"):
        assert checksum(path / file) == checksum(fitted[config.name].path / file)


@pytest.mark.parametrize(
    "config", [c for c in SOME if c.name != "portfolio"], ids=lambda config: config.name
)
def test_the_fold_that_is_left_out_is_not_looked_at(dataset, config, monkeypatch):
    """Background of fold 1 with other values gives the same detector."""
    expected = class_of(config)(dataset, None, config, TRAINING, 1).fit().numbers_

    def changed(dataset, kind):
        events, inputs = load_kind(dataset, kind)
        features = events.features.copy()
        left_out = events.fold(3) == 1
        assert left_out.any()
        features[left_out] = features[left_out][::-1]
        return replace(events, features=features), inputs

    from ml.detectors import weak

    monkeypatch.setattr(base, "load_kind", changed)
    monkeypatch.setattr(weak, "load_kind", changed)
    found = class_of(config)(dataset, None, config, TRAINING, 1).fit().numbers_
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize("config", SOME, ids=lambda config: config.name)
def test_explained_by_features(dataset, fitted, config):
    detector = fitted[config.name]
    events = dataset.load(dataset.samples[:1])[:50]
    if config.name in ("density", "svdd"):
        with pytest.raises(M3LError, match="cannot tell"):
            detector.explain(events)
        return
    names, values = detector.explain(events)
    assert values.shape == (50, len(names)) and np.isfinite(values).all()
    assert np.abs(values).sum(axis=1).min() > 0


def test_score_does_not_depend_on_company(dataset, fitted):
    events = dataset.load(dataset.samples[:2])
    for detector in fitted.values():
        alone = detector.score(events[5:6])
        np.testing.assert_allclose(detector.score(events)[5], alone[0], rtol=1e-6)


# ---- the portfolio


def test_members_are_part_of_the_portfolio(portfolio):
    assert sorted(p.name for p in portfolio.path.iterdir()) == [
        "fold_0",
        "fold_1",
        "fold_2",
        "folds.json",
    ]
    assert not list(portfolio.path.parent.glob(".*folds*"))


def test_portfolio_moves(dataset, portfolio, tmp_path):
    moved = shutil.copytree(portfolio.path, tmp_path / "elsewhere")
    events = dataset.load(dataset.samples[:2])
    expected = portfolio.score(events).score
    np.testing.assert_array_equal(Ensemble.load(moved, dataset).score(events).score, expected)


def test_parts_pass_their_shares_of_the_background(dataset, portfolio):
    """A cut of budget b lets share x b of each part pass, on the background that calibrated it."""
    model = portfolio.models[0]
    events, _ = load_kind(dataset, "background")
    rows = events.fold(3) != 0
    # Each event by the model of its fold, as it was calibrated; the members are in all models.
    names = model.names()
    said = np.full((len(model.config.parts), len(events)), -np.inf)
    for k, other in enumerate(portfolio.models):
        here = events.fold(3) == k
        x = events[here].columns(names).astype(float)
        merged = CombinedDetector(dataset, None, model.config, TRAINING, k)
        own = {n: v for n, v in other.numbers_.items() if "/" in n}
        common = {n: v for n, v in model.numbers_.items() if "/" not in n}
        said[:, here] = merged.adopt(own | common)._parts(x)[2]
    weight = np.abs(events.weight)
    for budget in (0.1, 0.03):
        for part, values in zip(model.config.parts, said, strict=True):
            seen = np.isfinite(values) & rows
            passed = weight[rows & (values >= -np.log(budget))].sum() / weight[rows].sum()
            most = min(budget * part.share, weight[seen].sum() / weight[rows].sum())
            single = weight[seen].max(initial=0) / weight[rows].sum()
            assert passed == pytest.approx(most, abs=max(0.25 * most, 3 * single))


def test_survival_probabilities_of_held_out_background_are_uniform(dataset, portfolio):
    """With a budget b, at most b of the background that a model never saw passes."""
    events, _ = load_kind(dataset, "background")
    score, weight = portfolio.score(events).score, np.abs(events.weight)
    for budget in (0.3, 0.1, 0.03):
        passed = weight[score >= -np.log(budget)].sum() / weight.sum()
        effective = weight.sum() ** 2 / (weight**2).sum()
        # Where a part's topologies hold less than its share, less passes.
        assert passed < budget + 4 * np.sqrt(budget / effective)
        assert passed > 0.15 * budget


def test_killed_training_goes_on(dataset, portfolio, tmp_path, monkeypatch):
    path = tmp_path / "portfolio"
    save, saved = CombinedDetector.save, []

    def dies(self):
        if len(saved) == 2:
            raise KeyboardInterrupt
        saved.append(self)
        return save(self)

    monkeypatch.setattr(CombinedDetector, "save", dies)
    with pytest.raises(KeyboardInterrupt):
        train(dataset, path, portfolio.models[0].config, TRAINING, folds=True)
    monkeypatch.setattr(CombinedDetector, "save", save)
    learned = []
    learn = CombinedDetector.learn
    monkeypatch.setattr(
        CombinedDetector, "learn", lambda *given: learned.append(1) or learn(*given)
    )
    train(dataset, path, portfolio.models[0].config, TRAINING, folds=True)
    assert len(learned) == 1
    for file in sorted(portfolio.path.rglob("numbers.npz")):
        assert checksum(path / file.relative_to(portfolio.path)) == checksum(file)


def test_opinions(dataset, portfolio):
    events = dataset.load(dataset.samples[:1])
    found = portfolio.models[0].opinions(events)
    parts = np.stack([v for name, v in found.items() if name.startswith("part")])
    np.testing.assert_allclose(
        np.nanmax(parts, axis=0), portfolio.models[0].score(events), rtol=1e-6
    )


# ---- bad input


def test_unknown_detector_names_the_nearest():
    with pytest.raises(M3LError, match="did you mean 'portfolio'"):
        find_detector("portfolo")


def test_declarations_come_back():
    for config in DETECTORS.values():
        plain = json_form(config)
        assert from_plain(type(config), plain) == config


def test_tables_without_the_features(dataset, tmp_path):
    old = dataset.with_features([name for name in dataset.names if name != "m_ossf_z"])
    with pytest.raises(InputError, match="lacks the features m_ossf_z.*run run_rdf.py again"):
        class_of(BY_NAME["tail"])(old, tmp_path, BY_NAME["tail"], TRAINING, 0).fit()


def test_tables_without_objects(dataset, tmp_path):
    old = replace(dataset, carried=())
    config = replace(BY_NAME["twin_cascade"], name="old")
    with pytest.raises(InputError, match="do not carry the objects"):
        TwinDetector(old, tmp_path, config, TRAINING, 0).fit()


@pytest.mark.parametrize(
    "name, module", [("processes", "lightgbm"), ("density", "sklearn"), ("isolation", "sklearn")]
)
def test_without_a_library_the_others_work(dataset, tmp_path, monkeypatch, name, module):
    monkeypatch.setitem(sys.modules, module, None)
    for each in [each for each in sys.modules if each.startswith(f"{module}.")]:
        monkeypatch.setitem(sys.modules, each, None)
    config = BY_NAME[name]
    with pytest.raises(M3LError, match="is needed for this detector: pip install"):
        class_of(config)(dataset, tmp_path, config, TRAINING, 0).fit()
    class_of(BY_NAME["tail"])(dataset, tmp_path, BY_NAME["tail"], TRAINING, 0).fit()


def test_negative_weights_cannot_be_kept(dataset, tmp_path):
    training = replace(TRAINING, weights="keep")
    for name in ("tail", "twin_cascade", "portfolio"):
        with pytest.raises(InputError, match="cannot keep negative weights: train with --weights"):
            class_of(BY_NAME[name])(dataset, tmp_path, BY_NAME[name], training, 0).fit()
    zero = replace(TRAINING, weights="zero")
    found = class_of(BY_NAME["tail"])(dataset, tmp_path, BY_NAME["tail"], zero, 0).fit()
    assert (
        found.record_.signature
        != class_of(BY_NAME["tail"])(dataset, tmp_path, BY_NAME["tail"], TRAINING, 0)
        .fit()
        .record_.signature
    )


def test_data_may_be_given_to_fit(dataset, fitted):
    config = BY_NAME["tail"]
    found = class_of(config)(None, None, config, TRAINING, 1).fit(dataset)
    for name, values in fitted["tail"].numbers_.items():
        np.testing.assert_array_equal(found.numbers_[name], values)


def test_no_data_for_weak(dataset, tmp_path):
    simulated = replace(dataset, samples=tuple(s for s in dataset.samples if s.kind != "data"))
    with pytest.raises(InputError, match="no data events"):
        class_of(BY_NAME["weak"])(simulated, tmp_path, BY_NAME["weak"], TRAINING, 0).fit()


def test_processes_with_few_events_are_left_out(dataset, monkeypatch):
    def few(dataset, kind):
        events, inputs = load_kind(dataset, kind)
        names = np.unique(events.process)
        parts = [events[events.process == names[0]], events[events.process == names[1]][:3]]
        return concatenate(parts), inputs

    monkeypatch.setattr(base, "load_kind", few)
    config = BY_NAME["processes"]
    with pytest.raises(InputError, match="tells processes apart, but 1 in"):
        class_of(config)(dataset, None, config, TRAINING, 0).fit()


@pytest.mark.parametrize("name", ["tail", "density", "twin_cascade", "isolation"])
def test_a_topology_without_events(dataset, name, monkeypatch):
    """Nothing is known of events there, and nothing fails."""

    def without(dataset, kind):
        events, inputs = load_kind(dataset, kind)
        return events[events.columns(["n_ossf"])[:, 0] > 0], inputs

    monkeypatch.setattr(base, "load_kind", without)
    config = BY_NAME[name]
    detector = class_of(config)(dataset, None, config, TRAINING, 0).fit()
    events = dataset.load(dataset.samples[:2])
    assert (events.columns(["n_ossf"])[:, 0] == 0).any()
    assert np.isfinite(detector.score(events)).all()


def test_a_portfolio_needs_folds(dataset, tmp_path):
    with pytest.raises(InputError, match="train with --folds"):
        train(dataset, tmp_path / "portfolio", BY_NAME["portfolio"], TRAINING, folds=False)


def test_damaged_numbers(dataset, fitted, tmp_path):
    path = shutil.copytree(fitted["tail"].path, tmp_path / "tail")
    content = bytearray((path / "numbers.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (path / "numbers.npz").write_bytes(content)
    with pytest.raises(InputError, match="is damaged: train again"):
        base.load_detector(path, dataset)
    (path / "numbers.npz").unlink()
    with pytest.raises(InputError, match="is missing: train again"):
        base.load_detector(path, dataset)


def test_record_tells_what_it_was_trained_on(fitted):
    record = read_json(fitted["weak"].path / "detector.json")
    assert {"data", "WZ"} <= set(record["inputs"])
    assert record["split"] == {"folds": 3, "validation": 2, "test": 1}
