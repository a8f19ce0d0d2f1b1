"""Detectors as ONNX: the scores are ours, on thresholds too, and the selection as declared."""

import shutil

import numpy as np
import pytest
from conftest import read_json
from test_docs import BLOCKS
from test_ml_detectors import BY_NAME, SOME, TRAINING

import ml.__main__
from analysis.detector_scores import Inputs, Part
from analysis.errors import InputError, OutputError
from analysis.records import column_of
from ml.dataset import Dataset
from ml.detector_onnx import Graph, columns_of, search, write_detector
from ml.ensemble import Ensemble, class_of, train
from ml.exported import export_detector

onnxruntime = pytest.importorskip("onnxruntime")
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:onnx"),
]


def session_of(model):
    """An onnxruntime session of a file or of the bytes of a model."""
    model = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


def score(session, given):
    return session.run(["score"], given)[0]


def inputs_of(events, session):
    """What an ONNX file takes of events, by name; codes stand in one column for each category."""
    given = {}
    for each in session.get_inputs():
        found = [name for name in events.names if column_of(name)[0] == each.name]
        values = events.columns(found).astype("f4").T
        codes = [column_of(name)[1] for name in found]
        if each.name != "fold":
            given[each.name] = values[0] if codes == [None] else np.float32(codes) @ values
    return given


@pytest.fixture(scope="module")
def output(demo_output, tmp_path_factory):
    """A folder with the tables of the demo, and a portfolio of three folds."""
    folder = shutil.copytree(demo_output, tmp_path_factory.mktemp("export") / "output")
    train(
        Dataset.open(folder),
        folder / "models" / "portfolio",
        BY_NAME["portfolio"],
        TRAINING,
        folds=True,
    )
    return folder


@pytest.mark.parametrize("name", [config.name for config in SOME if config.name != "portfolio"])
def test_scores_of_every_kind_are_ours(output, tmp_path, name):
    dataset = Dataset.open(output)
    config = BY_NAME[name]
    detector = class_of(config)(dataset, tmp_path / name, config, TRAINING, 1).fit()
    path = tmp_path / "detector.onnx"
    assert write_detector([detector], path) < 1e-5
    events, session = dataset.load(), session_of(path)
    expected = detector.score(events)
    found = score(session, inputs_of(events, session))
    assert found.shape == (len(events),) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)
    assert len(np.unique(expected)) > 20


def test_portfolio_gives_each_event_the_score_of_its_fold(output, capsys):
    path = output / "models" / "portfolio"
    ml.__main__.main(["export", str(path)])
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"wrote {path / 'detector.onnx'}, differs from our scores by at most")
    assert said[1:] == [f"wrote {path / 'selection.json'}"]
    dataset = Dataset.open(output)
    events, session = dataset.load(), session_of(path / "detector.onnx")
    expected = Ensemble.load(path, dataset).score(events)
    given = inputs_of(events, session)
    found = score(session, given | {"fold": expected.fold.astype(np.int64)})
    np.testing.assert_allclose(found, expected.score, rtol=2e-6, atol=2e-6)
    other = score(session, given | {"fold": (expected.fold.astype(np.int64) + 1) % 3})
    assert not np.allclose(other, expected.score)


def test_example_of_the_documentation(output, monkeypatch):
    export_detector(output / "models" / "portfolio", lambda line: None)
    monkeypatch.chdir(output.parent)
    (block,) = (block for block in BLOCKS if "import onnxruntime" in block.text)
    names = {}
    exec(block.text.replace("% 5", "% 3"), names)
    assert names["score"].shape == (2,) and np.isfinite(names["score"]).all()
    assert set(names["events"]) == set(names["names"])


def test_selection_is_that_of_the_run(output):
    path = output / "models" / "portfolio"
    export_detector(path, lambda line: None)
    content, run = read_json(path / "selection.json"), read_json(output / "run.json")
    (region,) = (region for region in run["regions"] if region["name"] == "SR3L")
    assert content["region"] == {"name": "SR3L", "cuts": region["cuts"]}
    for name in ("objects", "variables", "layout"):
        assert content[name] == run[name]
    features = {feature["name"]: feature for feature in run["features"]}
    names = [each.name for each in session_of(path / "detector.onnx").get_inputs()]
    assert [each["name"] for each in content["inputs"]] + ["fold"] == names
    for each in content["inputs"]:
        assert (each["expression"], each["unit"]) == (
            features[each["name"]]["expression"],
            features[each["name"]]["unit"],
        )
    assert (content["folds"], content["onnx"]) == (3, "detector.onnx")


def test_model_that_was_moved_has_no_selection(output, tmp_path):
    path = shutil.copytree(output / "models" / "portfolio", tmp_path / "a" / "b" / "portfolio")
    (path / "selection.json").unlink(missing_ok=True)
    said = []
    export_detector(path, said.append)
    assert said[1].startswith("no selection.json, since the model is not in the folder of its run")
    assert (path / "detector.onnx").exists() and not (path / "selection.json").exists()


def test_nothing_is_written_where_scores_differ(output, tmp_path):
    detectors = Ensemble.load(output / "models" / "portfolio").models
    honest = detectors[1].evaluate
    detectors[1].evaluate = lambda x: honest(x) + 0.01
    with pytest.raises(OutputError, match="the ONNX scores differ from ours by 0.0.*: not written"):
        write_detector(detectors, tmp_path / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_detector_with_damaged_numbers_is_refused(output, tmp_path):
    detectors = Ensemble.load(output / "models" / "portfolio").models
    name = next(name for name in detectors[0].numbers_ if name.endswith(".x"))
    detectors[0].numbers_[name] = detectors[0].numbers_[name][::-1]
    with pytest.raises(InputError, match="holds no detector of this version .*does not rise"):
        write_detector(detectors, tmp_path / "x.onnx")


# ---- trees


def graph_of(part, names):
    """The session of a Part whose inputs have names."""
    inputs = Inputs()
    inputs.all(names)
    return session_of(Graph((part, inputs)).model().SerializeToString())


def random_trees(random, trees, depth, features, outputs):
    """Arrays of complete trees with thresholds of double precision."""
    rows = []
    roots = []
    for _ in range(trees):
        first = len(rows)
        roots.append(first)
        for n in range(2 ** (depth + 1) - 1):
            leaf = n >= 2**depth - 1
            here = first + n
            left, right = (here, here) if leaf else (first + 2 * n + 1, first + 2 * n + 2)
            cut = random.choice([0.1, 0.2, 1 / 3, 0.7, random.random()])
            rows.append((random.integers(features), cut, left, right, random.normal()))
    feature, threshold, left, right, value = map(np.array, zip(*rows, strict=True))
    return (
        feature,
        threshold,
        left,
        right,
        value,
        np.array(roots),
        random.integers(outputs, size=trees),
    )


def walk(x, feature, threshold, left, right, value, roots, output):
    """(events, outputs) sums of trees, one event after the other, in doubles."""
    sums = np.zeros((len(x), output.max() + 1))
    for event, row in enumerate(x.astype(float)):
        for root, place in zip(roots, output, strict=True):
            at = root
            while left[at] != at:
                at = left[at] if row[feature[at]] <= threshold[at] else right[at]
            sums[event, place] += value[at]
    return sums


@pytest.mark.parametrize("seed", range(3))
def test_trees_send_values_on_thresholds_to_the_side_that_ours_do(seed):
    random = np.random.default_rng(seed)
    names = ["a", "b", "c"]
    arrays = random_trees(random, 20, 3, 3, 2)
    # Thresholds rounded up and down to 32 bits, and random numbers.
    on = np.float32(random.choice(arrays[1], (2000, 3)))
    beside = np.nextafter(on, np.float32(random.choice([-1, 2], on.shape)))
    x = np.choose(
        random.integers(3, size=on.shape), (on, beside, np.float32(random.random(on.shape)))
    )
    part = Part("forestScore", (*arrays, -0.5))
    found = score(graph_of(part, names), dict(zip(names, x.T, strict=True)))
    expected = -0.5 * walk(x, *arrays).max(axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_threshold_between_two_32_bit_numbers():
    tree = ([0, 0, 0], [0.1, 0, 0], [1, 1, 2], [2, 1, 2], [0, 1, 2], [0], [0])
    part = Part("forestScore", (*map(np.array, tree), 1.0))
    x = np.float32(0.1)  # above 0.1
    given = np.array([x, np.nextafter(x, np.float32(0)), np.inf, -np.inf, 0], "f4")
    assert score(graph_of(part, ["a"]), {"a": given}).tolist() == [2, 1, 2, 1, 1]


@pytest.mark.parametrize("number", [0, 1, 2, 3, 10, 1000])
def test_search_counts_the_steps_that_a_number_has_reached(number):
    steps = np.sort(np.random.default_rng(number).normal(size=number))
    arrays = [np.array(each) for each in search(steps)]
    x = np.sort(np.concatenate([steps, steps - 1e-9, [-9, 9]]))
    feature, threshold, left, right, value, roots, output = arrays
    at = np.zeros(len(x), int)
    for _ in range(20):
        down = np.where(x < threshold[at], left[at], right[at])
        at = np.where(left[at] == at, at, down)
    np.testing.assert_array_equal(value[at], np.searchsorted(steps, x, side="right"))


@pytest.mark.parametrize("knots", [1, 2, 3, 500])
def test_survival_is_interpolated_and_goes_on(knots):
    random = np.random.default_rng(knots)
    x, y = np.cumsum(random.exponential(size=knots)), np.cumsum(random.exponential(size=knots))
    tail = np.array([x[-1], y[-1], 0.3])
    values = np.float32(np.concatenate([random.uniform(-5, x[-1] + 9, 3000), x]))
    part = Part("survivalScore", (x, y, tail, Part("inputScore", (0,))))
    found = score(graph_of(part, ["a"]), {"a": values})
    inside = np.interp(values, x, y)
    beyond = tail[1] + tail[2] * (values.astype(float) - tail[0])
    np.testing.assert_allclose(found, np.where(values > tail[0], beyond, inside), rtol=1e-6)


def test_code_is_one_input_whatever_the_number_of_its_categories():
    names = ["flcomp=2", "x", "flcomp=0"]
    assert columns_of(names) == ("flcomp", "x")
    parts = tuple(Part("inputScore", (place,)) for place in range(3))
    session = graph_of(Part("sumScore", (2.0, parts)), names)
    given = {"flcomp": np.array([0, 1, 2], "f4"), "x": np.array([10, 20, 30], "f4")}
    assert score(session, given).tolist() == [22, 40, 62]
    assert column_of(names[0]) == ("flcomp", 2)


def test_part_that_onnx_lacks_is_one_line():
    with pytest.raises(InputError, match="ONNX export knows no networkScore"):
        graph_of(Part("networkScore", ()), ["a"])
