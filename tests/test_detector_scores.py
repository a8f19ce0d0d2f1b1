"""Scores of detectors in the event loop are those of ml, whose own evaluation is numpy's."""

import hashlib
import io
import json
import re
import shutil
import zipfile

import mutations
import numpy as np
import pytest
from mutations import bear, refused
from test_anomaly import run_with, scores, table

from analysis.anomaly import read_model
from analysis.detector_files import NUMBERS
from analysis.detector_scores import KINDS
from analysis.errors import InputError
from analysis.features import LAYOUTS
from analysis.output import IDENTITY

KIND_NAMES = sorted(KINDS)


@pytest.fixture(scope="module")
def trained(demo_output, tmp_path_factory):
    """Small detectors of the demo, one folder per kind; not to be changed."""
    declared = pytest.importorskip("ml.detectors.declared")
    pytest.importorskip("lightgbm")
    from ml.dataset import Dataset
    from ml.ensemble import train
    from ml.training_set import TrainingConfig

    members = (
        declared.Tail("tail"),
        declared.Processes("processes", rounds=3),
        declared.Isolation("isolation", trees=5),
        declared.Density("density", components=2, events=300),
        declared.Weak("weak", bags=2, rounds=3),
    )
    parts = (
        declared.Part(("tail", "processes"), ("no_ossf", "on_z"), 0.5),
        declared.Part(("isolation", "density", "weak"), ("on_z", "off_z", "on_z_b"), 0.5),
    )
    detectors = (
        *members,
        declared.Svdd("svdd", latent=(2, 3), hidden=(4,), epochs=1),
        declared.Twin("twin", "flavour", pseudo_events=2000, rounds=5),
        declared.Pca("pca"),
        declared.Combined("combined", members, parts),
    )
    data, folder = Dataset.open(demo_output), tmp_path_factory.mktemp("models")
    training = TrainingConfig(folds=3, seed=1)
    for detector in detectors:
        folds = detector.name in ("combined", "tail")
        train(data, folder / detector.name, detector, training, folds)
    return folder


@pytest.fixture(scope="module")
def events(demo_output):
    """All events of the demo."""
    from ml.dataset import Dataset

    return Dataset.open(demo_output).load()


def of_ml(folder, events):
    from ml.ensemble import Ensemble

    return Ensemble.load(folder).score(events).score


# --- the parts, by hand -----------------------------------------------------------------------


def made(ROOT, score, x):
    """The value of a m3l::ScorePtr for the inputs of an event."""
    return score(np.array(x, np.float32))


def test_trees(ROOT):
    m3l = ROOT.m3l
    tree = [0, 0, 0], [2.5, 0, 0], [1, 1, 2], [2, 1, 2], [9, 1.5, -4], [0], [0]
    forest = m3l.forestScore(*tree, 2.0)
    assert [made(ROOT, forest, [x]) for x in (2.4, 2.5, 2.6)] == [3, 3, -8]
    two = [*tree[:5], [0, 1], [1, 0]]  # an output for the whole tree and one for its left leaf
    assert [made(ROOT, m3l.forestScore(*two, -1.0), [x]) for x in (0, 3)] == [-1.5, -1.5]
    for place, value in ((2, [0, 1, 2]), (2, [3, 1, 2]), (3, [-1, 1, 2]), (5, [3]), (6, [-1])):
        bad = [*tree[:place], value, *tree[place + 1 :]]
        with pytest.raises(ROOT.std.invalid_argument, match="forestScore"):
            m3l.forestScore(*bad, 1.0)


def test_survival_is_a_line_between_knots_and_an_exponential_beyond(ROOT):
    m3l = ROOT.m3l
    score = m3l.survivalScore([1.0, 3.0], [0.0, 4.0], [3.0, 4.0, 0.5], m3l.inputScore(0))
    values = [made(ROOT, score, [x]) for x in (0, 1, 1.5, 2, 3, 7)]
    assert values == [0, 0, 1, 2, 4, 6]


def test_topologies(ROOT):
    m3l = ROOT.m3l
    score = m3l.topologyScore([2, 1, 0], 15.0, [m3l.constantScore(float(k)) for k in range(6)])
    found = [
        made(ROOT, score, x)
        for x in ([0, 91, 0], [1, 91, 0], [0, 15, 1], [2, 20, 1], [0, 14.9, 1], [1, 0, 2])
    ]
    assert found == [0, 1, 2, 3, 4, 5]


def test_density_of_one_gaussian(ROOT):
    knots = np.linspace(-2, 2, 20)  # the identity, beyond them as well
    score = ROOT.m3l.mixtureScore([0], knots, knots, [1.0], [0.5], [1.0])
    for x in (-5.0, 0.0, 1.0, 1.3, 9.0):
        expected = 0.5 * ((x - 1) / 2) ** 2 + np.log(2 * np.sqrt(2 * np.pi))
        assert made(ROOT, score, [x]) == pytest.approx(expected, rel=1e-6)


def test_components_rebuild_what_lies_along_them(ROOT):
    axis = np.array([0.6, 0.8])
    score = ROOT.m3l.principalScore([0, 1], [1.0, 1.0], [2.0, 2.0], axis)
    assert made(ROOT, score, [1, 1]) == -30
    away = 1 + 5 * np.array([-0.8, 0.6])
    assert made(ROOT, score, away) == pytest.approx(np.log10((2 * 5) ** 2 / 2), rel=1e-6)


# --- all kinds --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_scores_are_those_of_ml(ROOT, trained, events, kind):
    model = read_model(trained / kind)
    x = events.columns(model.inputs)
    got = scores(ROOT, model, x, np.ascontiguousarray(events.identity, np.int64))
    expected = of_ml(trained / kind, events)
    assert len(np.unique(expected)) > 5
    np.testing.assert_allclose(got.astype(np.float32), expected, rtol=1e-6)


def test_event_loop_gives_them_by_fold_and_with_any_threads(ROOT, trained, events, tmp_path):
    expected = of_ml(trained / "combined", events)
    run_with(trained / "combined", tmp_path / "one", "VH", "data", plain=False)
    run_with(trained / "combined", tmp_path / "two", "VH", "data", plain=False, threads=2)
    run_with(trained / "combined", tmp_path / "plain", "data")
    for sample in ("VH", "data"):
        rows = table(tmp_path / "one", sample)
        ours = events.sample == sample
        assert (rows[list(IDENTITY)].to_numpy() == events.identity[ours]).all()
        np.testing.assert_allclose(rows.anomaly_score, expected[ours], rtol=1e-6)
        assert rows.equals(table(tmp_path / "two", sample))
    assert rows.equals(table(tmp_path / "plain", "data"))


def test_kind_and_training_are_no_reason_to_compile(trained):
    known = [cell for model in ("tail", "twin") for cell in read_model(trained / model).inputs]
    tail = read_model(trained / "tail")
    single = read_model(trained / "tail" / "fold_1")
    assert tail.expression(LAYOUTS[0], known) == single.expression(LAYOUTS[0], known)
    assert tail.key != single.key


def test_copy_for_jobs_is_the_same_model(trained, tmp_path):
    from analysis.submit import freeze_model

    (trained / "combined" / "notes.txt").write_text("")
    copy = freeze_model(trained / "combined", tmp_path / "model")
    assert read_model(copy).key == read_model(trained / "combined").key
    assert not (tmp_path / "model" / "notes.txt").exists()


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_arrays_are_documented(trained, kind):
    from test_docs import section

    ((_, (cell,)),) = [row for row in section("`numbers.npz`") if kind in row[0]]
    words = re.findall("`([^`]+)`", cell)
    if "trees" in cell and "<group>." not in words:
        words += "feature threshold left right value roots output".split()
    patterns = [re.sub("<.*?>", r"\\w+", word.replace(".", r"\.")) for word in words]
    patterns = [each + ".+" * each.endswith((".", "/")) for each in patterns]
    path = next((trained / kind).rglob(NUMBERS))
    with np.load(path) as content:
        assert not [n for n in content.files if not re.fullmatch("|".join(patterns), n)]


# --- bad input --------------------------------------------------------------------------------


@pytest.fixture
def copy(trained, tmp_path):
    """A folder with a copy of a detector, by name."""

    def call(name):
        return shutil.copytree(trained / name, tmp_path / name)

    return call


def test_features_that_are_not_there(trained):
    with pytest.raises(InputError, match="features that this run does not have: .*jet_0"):
        read_model(trained / "pca").expression(LAYOUTS[1], ["flcomp"])
    with pytest.raises(InputError, match="not have: lt_met, n_bjet, did you mean 'lt_mett'"):
        read_model(trained / "tail").expression(LAYOUTS[0], ["n_ossf", "m_ossf_z", "lt_mett"])


def test_folds_that_are_missing_or_another(copy):
    folder = copy("tail")
    shutil.rmtree(folder / "fold_2")
    assert "fold_2" in refused(read_model, folder)
    shutil.copytree(folder / "fold_1", folder / "fold_2")
    assert "not one model for each of its folds" in refused(read_model, folder)
    (folder / "folds.json").write_text(json.dumps({"models": ["fold_0", "fold_1"]}))
    assert "not one model for each of its folds" in refused(read_model, folder)


def test_kind_that_is_not_known(copy):
    folder = copy("isolation")
    edit(folder, kind="flow")
    line = refused(read_model, folder)
    assert "of kind 'flow'" in line and "python -m ml score" in line


def edit(folder, **changes):
    content = json.loads((folder / "detector.json").read_text())
    mutations.write(folder / "detector.json", {**content, **changes})


def test_missing_and_damaged_numbers(copy):
    folder = copy("isolation")
    plain = (folder / NUMBERS).read_bytes()
    (folder / NUMBERS).write_bytes(plain[:-1])
    assert "is damaged" in refused(read_model, folder)
    (folder / NUMBERS).unlink()
    assert "is missing" in refused(read_model, folder)


def signed(folder, plain):
    """Write numbers.npz with its checksum."""
    (folder / NUMBERS).write_bytes(plain)
    edit(folder, numbers=hashlib.sha256(plain).hexdigest())


def packed(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


class Escape:
    """A pickle that leaves a mark."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def archived(name, plain, method=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, plain)
    return file.getvalue()


def huge():
    """An array that says it has 2^40 numbers."""
    file = io.BytesIO()
    header = {"descr": "<f8", "fortran_order": False, "shape": (2**40,)}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue()


def test_hostile_archives_are_one_line(copy, tmp_path):
    folder, mark = copy("isolation"), tmp_path / "escaped"
    array = io.BytesIO()
    np.save(array, np.zeros(1000))
    for plain in (
        b"",
        b"PK\x03\x04",
        packed(a=np.array([Escape(mark)], object)),
        packed(a=np.array(["text"])),
        packed(a=np.zeros(2, "f8,i4")),
        packed(a=np.zeros(2, complex)),
        archived("a.npy", huge()),
        archived("a.npy", b"\x93NUMPY\x01\x00\xff\xff{"),
        archived("a.npy", array.getvalue(), zipfile.ZIP_DEFLATED),
        archived("a.txt", array.getvalue()),
        archived("../escaped.npy", b"no array"),
    ):
        signed(folder, plain)
        assert NUMBERS in refused(read_model, folder)
    assert not mark.exists()


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_arrays_that_do_not_fit_are_one_line(copy, kind):
    folder = copy(kind)
    single = folder / "fold_0" if (folder / "fold_0").exists() else folder
    with np.load(single / NUMBERS) as content:
        numbers = dict(content)
    needed = [name for name in numbers if not name.endswith(("roots", "means"))]
    for name in needed[:: max(1, len(needed) // 12)]:
        values = numbers[name]
        for change in (
            None,
            values.ravel()[:-1] if values.size > 1 else np.zeros((2, 2)),
            values[None],
            np.full(values.shape, np.nan),
        ):
            others = {n: v for n, v in numbers.items() if n != name}
            signed(single, packed(**others, **({} if change is None else {name: change})))
            refused(read_model, folder)
    signed(single, packed(**numbers))
    read_model(folder)


def test_trees_without_end_are_one_line(copy):
    folder = copy("isolation")
    with np.load(folder / NUMBERS) as content:
        numbers = dict(content)
    for name, place, value in (
        ("left", 0, 0),
        ("left", 0, 10**6),
        ("right", 0, -1),
        ("roots", 0, len(numbers["left"])),
        ("output", 0, 2**31 - 1),
        ("feature", 0, 10**6),
    ):
        changed = {**numbers, name: numbers[name].copy()}
        changed[name][place] = value
        signed(folder, packed(**changed))
        assert "leads nowhere" in refused(read_model, folder)


@pytest.mark.parametrize("kind", ["combined", "svdd", "pca"])
def test_any_detector_json_is_good_or_one_line(copy, kind):
    folder = copy(kind)
    single = folder / "fold_0" if (folder / "fold_0").exists() else folder
    content = json.loads((single / "detector.json").read_text())
    content = {**content, "inputs": {}, "versions": {}}
    known = {name.partition("=")[0] for name in read_model(folder).inputs}

    def read(changed):
        mutations.write(single / "detector.json", changed)
        model = read_model(folder)
        assert '"' not in model.expression(LAYOUTS[0], known)

    read(content)
    taken = bear(read, mutations.mutations(content, most=1))
    assert not [place for place, value in taken if place[0] in ("kind", "numbers")]
