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


def run_with(model, out, *names, plain=True, threads=1):
    from analysis.job import Job
    from analysis.run import run

    listed = samples.read_samples(DEMO / "samples.toml")
    listed = replace(listed, samples=tuple(s for s in listed.samples if s.name in names))
    declared = declarations([selection.DEFAULT_REGION], "T3N5")
    return run(Job(listed, declared, threads, model=str(model), plain=plain), out, ["test"])


def scores(ROOT, model, x, identity=None):
    """(events,) scores by C++ of (events, inputs) values; identity: (events, 3), by default 0."""
    if not hasattr(ROOT, "test_anomaly"):
        assert ROOT.gInterpreter.Declare(
            "namespace test_anomaly { void all(double key, const float *x, int inputs, "
            "const long *id, int events, double *score) { for (int e = 0; e < events; ++e, id += 3)"
            "{ const std::vector<float> row(x + e * inputs, x + (e + 1) * inputs); "
            "score[e] = m3l::anomalyScore(key, row, id[0], id[1], id[2]); } } }"
        )
    model.keep()
    x = np.ascontiguousarray(x, np.float32)
    identity = np.zeros((len(x), 3), np.int64) if identity is None else identity
    result = np.empty(len(x))
    ROOT.test_anomaly.all(model.key, x, x.shape[1], identity, len(x), result)
    return result


@pytest.mark.parametrize("last", LAST)
def test_network_equals_numpy(ROOT, tmp_path, last):
    from analysis.anomaly import read_model

    content, arrays = write_network(tmp_path, 7, last)
    model = read_model(tmp_path)
    assert model.inputs == (*FEATURES, "n_ele", "n_muo")  # n_jet is a feature, too
    random = np.random.default_rng(1)
    rows = pd.DataFrame(random.exponential(50, (200, 6)).astype("f4"), columns=FEATURES)
    rows[["n_ele", "n_muo"]] = random.integers(0, 4, (200, 2))
    rows["n_jet"] = random.integers(0, 4, 200)
    got = scores(ROOT, model, rows[list(model.inputs)].to_numpy())
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


def test_a_model_is_known_by_its_content(ROOT, tmp_path):
    from analysis.anomaly import read_model

    write_network(tmp_path / "one", 7)
    model = read_model(tmp_path / "one")
    (tmp_path / "one").rename(tmp_path / "moved")
    write_network(tmp_path / "one", 8)
    again, other = read_model(tmp_path / "moved"), read_model(tmp_path / "one")
    assert again.key == model.key != other.key
    assert again.key == int(again.key) < 2**53
    model.keep()
    again.keep()
    assert ROOT.m3l.hasModel(model.key) and not ROOT.m3l.hasModel(other.key)


def test_only_known_models_are_asked_and_with_their_inputs(ROOT, tmp_path):
    from analysis.anomaly import read_model

    write_network(tmp_path, 9)
    model = read_model(tmp_path)
    model.keep()
    for key, inputs in ((model.key, 7), (model.key, 9), (1.0, 8)):
        x = ROOT.std.vector["float"]([0.0] * inputs)
        with pytest.raises(ROOT.std.invalid_argument, match="anomalyScore: "):
            ROOT.m3l.anomalyScore(key, x, 0, 0, 0)
    with pytest.raises(ROOT.std.invalid_argument, match="there is a model with this key"):
        ROOT.m3l.keepModel(model.key, 0, [ROOT.m3l.constantScore(1.0)])


def libraries():
    from helpers.build import cache_folder

    return sorted(path.name for path in cache_folder().glob("m3lchain_*/*.so"))


@pytest.mark.slow
def test_moved_and_trained_again_compiles_nothing(ROOT, tmp_path):
    write_network(tmp_path / "model", 21)
    run_with(tmp_path / "model", tmp_path / "out", "VH", plain=False)
    before, first = libraries(), table(tmp_path / "out", "VH").anomaly_score
    (tmp_path / "model").rename(tmp_path / "moved")
    moved = run_with(tmp_path / "moved", tmp_path / "out", "VH", plain=False)
    assert (moved.kept, libraries()) == (1, before)
    content, arrays = write_network(tmp_path / "moved", 22)
    again = run_with(tmp_path / "moved", tmp_path / "out", "VH", plain=False)
    assert (again.kept, libraries()) == (0, before)
    rows = table(tmp_path / "out", "VH")
    assert (rows.anomaly_score != first).mean() > 0.9
    np.testing.assert_allclose(rows.anomaly_score, score(rows, content, arrays), atol=1e-5)


def test_networks_without_plain_numbers_are_one_line(tmp_path):
    """Those whose score is a likelihood, and networks of other layers."""
    from analysis.anomaly import read_model
    from analysis.errors import InputError

    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(InputError, match="cannot be used in the event loop") as error:
        read_model(tmp_path)
    assert len(error.value.problems) == 1


def test_printed_chain_knows_the_model(run_here, tmp_path):
    write_network(tmp_path / "model", 5)
    words = ("--chain", "VH", "--model", tmp_path / "model")
    outcome = run_here(*words)
    assert outcome.status == 0
    assert f"anomaly.read_model({str(tmp_path / 'model')!r}).keep()" in outcome.out
    compile(outcome.out, "pasted", "exec")
    outcome = run_here(*words, "--cpp")
    assert (outcome.status, len(outcome.lines)) == (1, 1) and "takes Python" in outcome.err
