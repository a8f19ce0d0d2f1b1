"""The anomaly score inside the event loop is the one that numpy computes from the same numbers."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from conftest import DEMO

from analysis import samples, selection
from analysis.declarations import declarations

FEATURES = ("e_T_miss", "m_T_jet_0", "h_ele_1_ele_0", "lepPt_0", "n_jet", "delta_e_t_jet_1")
LAST = ("linear", "sigmoid", "tanh", "relu", "leaky_relu")


def write_network(folder, seed, last="linear", mask=True, features=FEATURES):
    """A random network in the format that ml/network_files.py documents; returns its numbers."""
    random = np.random.default_rng(seed)
    n = len(features)
    sizes = [(n, 4, "tanh", 0.0), (4, 3, "leaky_relu", 0.3), (3, n, last, 0.2)]
    shift, factor = random.normal(20, 5, n), random.uniform(0.01, 0.1, n)
    arrays = [shift, factor]
    for inputs, units, *_ in sizes:
        arrays += [random.normal(0, 0.7, (inputs, units)), random.normal(0, 0.5, units)]
    arrays = [np.float32(a) for a in arrays]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "network.bin").write_bytes(b"".join(a.astype("<f4").tobytes() for a in arrays))
    least = [[0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 0, 0], [0, 0, 0], [2, 0, 0]][:n]
    content = {
        "format": 1,
        "features": list(features),
        "log": [1, 0, 0, 1, 0, 0][:n],
        "types": ["jet", "ele", "muo"],
        "mask_absent": mask,
        "least": least,
        "layers": [{"inputs": i, "units": u, "activation": a, "slope": s} for i, u, a, s in sizes],
        "latent_layer": 1,
        "smallest_error": 1e-30,
        "sha256": hashlib.sha256((folder / "network.bin").read_bytes()).hexdigest(),
    }
    (folder / "network.json").write_text(json.dumps(content))
    return content, arrays


def score(rows, content, arrays):
    """log10 of the mean squared error, in numpy."""
    columns = []
    for name in content["features"]:
        column, _, code = name.partition("=")
        columns.append(rows[column] == int(code) if code else rows[column])
    x = np.stack(columns, axis=1).astype(float)
    x = np.where(content["log"], np.sign(x) * np.log1p(abs(x)), x)
    scaled = (x - arrays[0]) * arrays[1]
    y = scaled
    for k, layer in enumerate(content["layers"]):
        y = y @ arrays[2 + 2 * k].astype(float) + arrays[3 + 2 * k]
        y = {
            "linear": lambda y, s: y,
            "relu": lambda y, s: np.maximum(y, 0),
            "tanh": lambda y, s: np.tanh(y),
            "sigmoid": lambda y, s: 1 / (1 + np.exp(-y)),
            "leaky_relu": lambda y, s: np.where(y < 0, s * y, y),
        }[layer["activation"]](y, layer["slope"])
    counts = rows[["n_jet", "n_ele", "n_muo"]].to_numpy()
    used = (counts[:, None, :] >= np.array(content["least"])).all(2)
    if not content["mask_absent"]:
        used[:] = True
    return np.log10((used * (scaled - y) ** 2).sum(1) / used.sum(1))


def table(folder, sample):
    return pd.read_hdf(folder / "hdf5" / f"{sample}_3lep_df_forML_bkg_signal_fromRDF.hdf5", "mini")


def run_with(model, out, *names, plain=True):
    from analysis.job import Job
    from analysis.run import run

    listed = samples.read_samples(DEMO / "samples.toml")
    listed = replace(listed, samples=tuple(s for s in listed.samples if s.name in names))
    declared = declarations([selection.DEFAULT_REGION], "T3N5")
    return run(Job(listed, declared, 1, model=str(model), plain=plain), out, ["test"])


@pytest.mark.parametrize("last", LAST)
def test_functor_equals_numpy(ROOT, tmp_path, last):
    from analysis.anomaly import functor_arguments, read_model

    content, arrays = write_network(tmp_path, 7, last)
    (network,) = read_model(tmp_path).networks
    name = f"network_{last}"
    assert ROOT.gInterpreter.Declare(
        f"namespace test_anomaly {{ using namespace m3l; "
        f"const Network {name}({functor_arguments(network, {})}); "
        f"double score_{name}(const std::vector<float> &x, int j, int e, int m) "
        f"{{ return {name}({{x[0], x[1], x[2], x[3], x[4], x[5]}}, {{j, e, m}}); }} }}"
    )
    function = getattr(ROOT.test_anomaly, f"score_{name}")
    random = np.random.default_rng(1)
    rows = pd.DataFrame(random.exponential(50, (200, 6)).astype("f4"), columns=FEATURES)
    rows[["n_ele", "n_muo"]] = random.integers(0, 4, (200, 2))
    rows["n_jet"] = random.integers(0, 4, 200)
    got = [
        function(row[list(FEATURES)].tolist(), int(row.n_jet), int(row.n_ele), int(row.n_muo))
        for _, row in rows.iterrows()
    ]
    np.testing.assert_allclose(got, score(rows, content, arrays), atol=1e-5)


def test_column_of_the_event_loop(ROOT, tmp_path):
    content, arrays = write_network(tmp_path / "model", 3)
    run_with(tmp_path / "model", tmp_path / "out", "VH", "data")
    for sample in ("VH", "data"):
        rows = table(tmp_path / "out", sample)
        assert len(rows) > 100
        np.testing.assert_allclose(rows.anomaly_score, score(rows, content, arrays), atol=1e-5)


def test_a_category_is_an_input(ROOT, tmp_path):
    inputs = ("e_T_miss", "flcomp=2", "h_ele_1_ele_0", "flcomp", "flcomp=5", "delta_e_t_jet_1")
    content, arrays = write_network(tmp_path / "model", 4, mask=False, features=inputs)
    run_with(tmp_path / "model", tmp_path / "out", "VH")
    rows = table(tmp_path / "out", "VH")
    assert {2, 5} <= set(rows.flcomp)
    np.testing.assert_allclose(rows.anomaly_score, score(rows, content, arrays), atol=1e-5)


@pytest.mark.parametrize(
    "name", ["flcomp=", "flcomp=02", "flcomp=1.5", "flcomp==1", "flcomp=-0", "flcomp=1;", "=1"]
)
def test_other_names_are_no_inputs(tmp_path, name):
    from analysis import anomaly
    from analysis.errors import InputError

    write_network(tmp_path, 1, features=(*FEATURES[:5], name))
    with pytest.raises(InputError, match="the name of a column, alone or with = and a whole"):
        anomaly.read_model(tmp_path)


def test_each_event_is_scored_by_the_network_of_its_fold(ROOT, tmp_path):
    parts = [write_network(tmp_path / "model" / f"fold_{k}", k) for k in range(3)]
    (tmp_path / "model" / "folds.json").write_text('{"models": ["fold_0", "fold_1", "fold_2"]}')
    run_with(tmp_path / "model", tmp_path / "out", "VH")
    rows = table(tmp_path / "out", "VH")
    identity = rows[["DatasetNumber", "RunNumber", "EventNumber"]].itertuples(index=False)
    fold = np.array([ROOT.m3l.foldOf(*map(int, numbers), 3) for numbers in identity])
    assert set(fold) == {0, 1, 2}
    for k, (content, arrays) in enumerate(parts):
        expected = score(rows[fold == k], content, arrays)
        np.testing.assert_allclose(rows.anomaly_score[fold == k], expected, atol=1e-5)


def test_fold_is_the_one_of_the_training(ROOT):
    dataset = pytest.importorskip("ml.dataset")
    random = np.random.default_rng(5)
    identity = random.integers(-(2**40), 2**62, (500, 3))
    expected = dataset.fold_of(identity, 5)
    assert [ROOT.m3l.foldOf(*map(int, row), 5) for row in identity] == expected.tolist()


def test_bad_models_give_one_line(ROOT, tmp_path):
    from analysis.errors import InputError

    def problem(folder):
        with pytest.raises(InputError) as error:
            run_with(folder, tmp_path / "out", "VH")
        (line,) = error.value.problems
        return line

    assert "python -m ml train" in problem(tmp_path / "nothing")
    write_network(tmp_path / "damaged", 1)
    (tmp_path / "damaged" / "network.bin").write_bytes(b"short")
    assert "damaged" in problem(tmp_path / "damaged")
    write_network(tmp_path / "other", 1, features=(*FEATURES[:5], "m_T_jet_00"))
    line = problem(tmp_path / "other")
    assert "m_T_jet_00" in line and "did you mean 'm_T_jet_0'" in line
    assert not (tmp_path / "out" / "run.json").exists()


def test_functor_takes_its_cells_and_refuses_other_columns(ROOT, tmp_path):
    from analysis.anomaly import functor_arguments, read_model

    write_network(tmp_path, 7)
    (network,) = read_model(tmp_path).networks
    cells = {"e_T_miss": 0, "m_T_jet_0": 2, "h_ele_1_ele_0": 1, "delta_e_t_jet_1": 3}
    assert ROOT.gInterpreter.Declare(
        f"namespace test_cells {{ const Network all({functor_arguments(network, {})}); "
        f"const Network some({functor_arguments(network, cells)}); "
        "const ROOT::RVecF m{40.f, 1.f, 2.f, 0.5f}; "
        "double plain() { return all({40.f, 2.f, 1.f, 9.f, 3.f, 0.5f}, {3, 2, 1}); } "
        "double columns() { return some(m, {9.f, 3.f}, {3, 2, 1}); } "
        "double narrow() { return some(ROOT::RVecF{40.f}, {9.f, 3.f}, {3, 2, 1}); } "
        "double few() { return some(m, {9.f}, {3, 2, 1}); } "
        "double many() { return some(m, {9.f, 3.f, 4.f}, {3, 2, 1}); } }"
    )
    assert ROOT.test_cells.columns() == ROOT.test_cells.plain()
    for wrong in ("narrow", "few", "many"):
        with pytest.raises(ROOT.std.invalid_argument, match="Network: .*scalars"):
            getattr(ROOT.test_cells, wrong)()
