"""Tables are read by name, aligned, in blocks, and bad ones are refused in one line."""

import json

import ml_tables
import numpy as np
import pandas as pd
import pytest
import tables

from analysis.errors import M3LError
from analysis.output import IDENTITY
from ml.dataset import Dataset, Events, Feature, concatenate, fold_of


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    return ml_tables.write_output(tmp_path_factory.mktemp("dataset") / "output")


@pytest.fixture
def broken(tmp_path):
    """A folder to damage."""
    samples = [("WZ", "diboson3L", "background", 50, 40.0, 0.5)]
    return ml_tables.write_output(tmp_path / "output", samples)


def table(folder, sample="WZ"):
    return folder / ml_tables.TABLE.format(sample)


def test_everything_about_an_event_stays_together(output):
    dataset = Dataset.open(output)
    events = dataset.load()
    frame = pd.read_hdf(table(output, "ttbar"), "mini")
    rows = events.sample == "ttbar"
    ttbar = events[rows][::-1]
    np.testing.assert_array_equal(ttbar.features[::-1], frame[list(dataset.names)])
    np.testing.assert_array_equal(ttbar.weight[::-1], frame["wgt_SG"])
    np.testing.assert_array_equal(ttbar.identity[::-1], frame[list(IDENTITY)])
    np.testing.assert_array_equal(ttbar.counts[::-1], frame[["n_jet", "n_ele", "n_muo"]])
    assert set(ttbar.process) == {"top"} and set(ttbar.kind) == {"background"}
    assert len(dataset.names) == 226 and "flcomp" not in dataset.names
    assert events.features.dtype == np.float32 and len(events) == 6100


def test_columns_are_found_by_name_whatever_their_order(output, tmp_path):
    folder = ml_tables.write_output(
        tmp_path / "shuffled",
        [("WZ", "diboson3L", "background", 3000, 40.0, 0.5)],
        lambda name, frame: frame[frame.columns[::-1]],
    )
    events, other = Dataset.open(output).load(), Dataset.open(folder).load()
    np.testing.assert_array_equal(events[events.sample == "WZ"].features, other.features)
    names = ("m_3l", "e_T_miss")
    np.testing.assert_array_equal(
        Dataset.open(folder).with_features(names).load().features, other.columns(names)
    )
    with pytest.raises(M3LError, match="lack the features m_4l"):
        other.columns(["m_4l"])


def test_chunked_arrays_are_read_like_arrays(broken):
    """run_rdf.py writes extendable, compressed arrays in pandas' layout."""
    expected = Dataset.open(broken).load()
    with tables.open_file(table(broken), "a") as file:
        group = file.root.mini
        for node in [n for n in group if n.name.endswith("_values")]:
            values, name, attributes = node[:], node.name, node._v_attrs
            kept = {key: attributes[key] for key in attributes._f_list("user")}
            node.remove()
            new = file.create_earray(
                group,
                name,
                tables.Atom.from_dtype(values.dtype),
                (0, values.shape[1]),
                filters=tables.Filters(5, "blosc:lz4"),
                chunkshape=(16, values.shape[1]),
            )
            new.append(values)
            for key, value in kept.items():
                new._v_attrs[key] = value
    np.testing.assert_array_equal(Dataset.open(broken).load().features, expected.features)
    assert len(pd.read_hdf(table(broken), "mini")) == 50


def test_blocks_are_the_table_in_pieces(output):
    dataset = Dataset.open(output)
    samples = dataset.of_kind("background")
    blocks = list(dataset.blocks(samples, rows=700))
    assert max(map(len, blocks)) == 700
    whole = dataset.load(samples)
    for name in ("features", "weight", "counts", "identity", "source"):
        np.testing.assert_array_equal(getattr(concatenate(blocks), name), getattr(whole, name))
    assert dataset.rows(dataset.named(["empty"])[0]) == 0


def test_a_code_becomes_an_input_for_each_category(tmp_path):
    samples = [("WZ", "diboson3L", "background", 300, 40.0, 0.5)]
    folder = ml_tables.write_output(tmp_path / "output", samples)
    record = json.loads((folder / "run.json").read_text())
    for feature in record["features"]:
        if feature["name"] == "flcomp":
            feature.update(network=True, categories=[0, 1, 2, 7])
    (folder / "run.json").write_text(json.dumps(record))
    dataset, codes = Dataset.open(folder), pd.read_hdf(table(folder), "mini")["flcomp"].to_numpy()
    inputs = [f"flcomp={code}" for code in (0, 1, 2, 7)]
    assert [name for name in dataset.names if name.startswith("flcomp")] == inputs
    assert dataset.columns.count("flcomp") == 1
    events = dataset.load()
    expected = codes[:, None] == np.array([0, 1, 2, 7])
    np.testing.assert_array_equal(events.columns(inputs), expected.astype("f4"))
    assert events.features.dtype == np.float32
    others = [name for name in dataset.names if name not in inputs]
    frame = pd.read_hdf(table(folder), "mini")
    np.testing.assert_array_equal(events.columns(others), frame[others].astype("f4"))
    alone = dataset.with_features(["flcomp=1", "m_3l"]).load()
    np.testing.assert_array_equal(alone.features[:, 0], codes == 1)
    # Without the declaration, as in records of before, the number itself is the input.
    for feature in record["features"]:
        feature.pop("categories", None)
    (folder / "run.json").write_text(json.dumps(record))
    np.testing.assert_array_equal(Dataset.open(folder).load().columns(["flcomp"])[:, 0], codes)


def test_fold_depends_on_the_identity_alone(output):
    events = Dataset.open(output).load()
    order = np.random.default_rng(0).permutation(len(events))
    np.testing.assert_array_equal(events[order].fold(5), events.fold(5)[order])
    share = np.bincount(events.fold(5)) / len(events)
    assert share == pytest.approx([0.2] * 5, abs=0.02)


def test_fold_hash_as_documented():
    """The documented arithmetic with Python's whole numbers; C++ must give the same."""
    most = 2**64

    def mix(z):
        z = (z + 0x9E3779B97F4A7C15) % most
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % most
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % most
        return z ^ (z >> 31)

    identity = [(363356, 284500, 17), (0, 0, 0), (-1, 5, 2**62), (1, 348885, 4_000_000_000)]
    expected = [mix(mix(mix(d % most) ^ r) ^ e) % 5 for d, r, e in identity]
    assert fold_of(np.array(identity), 5).tolist() == expected


def test_cells_are_present_if_their_objects_are():
    features = (
        Feature("e_T_miss", "GeV"),
        Feature("e_T_jet_0", "GeV", ((0, 0),)),
        Feature("m_jet_1_ele_0", "GeV", ((0, 1), (1, 0))),
    )
    dataset = Dataset(None, "", features, ("jet", "ele"), ())
    present = dataset.present(np.array([[0, 3], [1, 1], [2, 0], [7, 1]]))
    assert present.T.tolist() == [[True] * 4, [False, True, True, True], [False] * 3 + [True]]


def test_cells_know_their_objects(output):
    features = {feature.name: feature.objects for feature in Dataset.open(output).features}
    assert features["e_T_miss"] == features["m_3l"] == ()
    assert (
        features["m_T_jet_3"] == features["h_L_jet_3"] == features["delta_e_t_jet_3"] == ((0, 3),)
    )
    assert features["m_jet_0_ele_1"] == features["h_ele_1_jet_0"] == ((0, 0), (1, 1))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_counted(tmp_path, value):
    def spoil(name, frame):
        frame.loc[3:7, "m_jet_0_ele_1"] = value
        return frame

    samples = [("WZ", "diboson3L", "background", 50, 40.0, 0.5)]
    folder = ml_tables.write_output(tmp_path / "output", samples, spoil)
    with pytest.raises(M3LError, match="sample WZ: 5 of m_jet_0_ele_1"):
        Dataset.open(folder).load()


def refused(folder, *words):
    with pytest.raises(M3LError) as caught:
        Dataset.open(folder).load()
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_folder_that_run_rdf_did_not_write(tmp_path):
    refused(tmp_path / "nowhere", "no folder", "run_rdf.py")
    refused(tmp_path, "no run.json", "run_rdf.py")


def test_missing_table(broken):
    table(broken).unlink()
    refused(broken, "no table", str(table(broken)))


def test_truncated_table(broken):
    content = table(broken).read_bytes()
    table(broken).write_bytes(content[: len(content) // 2])
    refused(broken, str(table(broken)), "run_rdf.py")


def test_table_of_something_else(broken):
    with tables.open_file(table(broken), "w") as file:
        file.create_array("/", "other", [1])
    refused(broken, "no table 'mini'")


def test_tables_with_other_features(broken):
    frame = pd.read_hdf(table(broken), "mini").drop(columns=["e_T_miss", "m_3l"])
    frame.to_hdf(table(broken), key="mini", format="fixed")
    refused(broken, str(table(broken)), "lacks", "e_T_miss", "m_3l")


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("format", 99, "format 99"),
        ("features", None, "not complete"),
        ("features", [], "no feature"),
        ("layout", {}, "layout.name is missing"),
        ("samples", [{"name": "WZ"}], "samples[0].process is missing"),
    ],
)
def test_incomplete_run_json(broken, key, value, word):
    run = json.loads((broken / "run.json").read_text()) | {key: value}
    (broken / "run.json").write_text(json.dumps(run))
    refused(broken, word)


def test_unknown_region_sample_and_feature(broken):
    dataset = Dataset.open(broken)
    with pytest.raises(M3LError, match="no tables of region 'SR9'.*SR3L"):
        Dataset.open(broken, "SR9")
    with pytest.raises(M3LError, match="no sample ZZ.*WZ"):
        dataset.named(["ZZ"])
    with pytest.raises(M3LError, match="lacks the features m_4l"):
        dataset.with_features(["m_4l"])


def test_events_are_frozen(broken):
    events = Dataset.open(broken).load()
    assert isinstance(events[:3], Events) and len(events[:3]) == 3
    with pytest.raises(AttributeError):
        events.weight = None
