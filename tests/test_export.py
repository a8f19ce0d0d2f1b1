"""Tables as pandas reads them, histograms as uproot reads them."""

import os
import re
import subprocess
import sys

import blosc2
import numpy as np
import pandas as pd
import pytest
import reference
import uproot
from conftest import REPOSITORY, add_row, read_json, read_table, table_path

from analysis import features
from analysis.export import root_latex

LAYOUT = features.LAYOUTS[0]


@pytest.fixture(scope="module")
def rows(demo_output):
    return read_table(demo_output, "WZ")


def test_columns_have_the_types_that_are_promised(rows):
    cells = reference.labels(reference.LAYOUTS["T3N5"])
    scalars = [feature.name for feature in features.scalars(LAYOUT)]
    identity = ["DatasetNumber", "RunNumber", "EventNumber"]
    assert {*rows.columns, "LumiBlock"} == {
        *cells,
        *scalars,
        *identity,
        "wgt_SG",
    }  # not in the demo
    integers = {feature.name for feature in features.FEATURES if feature.integer}
    for name in rows.columns:
        kind = {"wgt_SG": "float64"}.get(name, "float32")
        kind = "int64" if name in identity else "int32" if name in integers else kind
        assert rows[name].dtype == kind, name


def test_rows_are_sorted_by_their_identity(demo_output):
    for sample in ("WZ", "data"):
        table = read_table(demo_output, sample)
        keys = table[["DatasetNumber", "RunNumber", "EventNumber"]]
        assert keys.equals(keys.sort_values(list(keys), ignore_index=True))
        assert not keys.duplicated().any()
        assert list(table.index) == list(range(len(table)))


def test_table_does_not_depend_on_what_the_process_has_read(demo_output, run_here, tmp_path):
    """PyTables registers a filter, whose name HDF5 notes."""
    read_table(demo_output, "ttZ")
    assert run_here("-s", "ttZ", "-o", tmp_path).status == 0
    one, other = (table_path(folder, "ttZ") for folder in (demo_output, tmp_path))
    assert one.read_bytes() == other.read_bytes()


def test_part_of_a_table_is_read_without_the_rest(demo_output, rows):
    path = table_path(demo_output, "WZ")
    part = pd.read_hdf(path, "mini", start=100, stop=350)
    pd.testing.assert_frame_equal(part, rows.iloc[100:350])
    assert len(pd.read_hdf(path, "mini", start=len(rows))) == 0


def test_table_is_small_and_holds_one_key(demo_output, rows):
    path = table_path(demo_output, "WZ")
    with pd.HDFStore(path, "r") as store:
        assert store.keys() == ["/mini"]
    raw = 4 * rows.shape[0] * rows.shape[1]
    assert path.stat().st_size < 0.35 * raw


@pytest.mark.parametrize("rows", [1000, 901, 50])
@pytest.mark.parametrize("zeros", [0.0, 0.9, 1.0])
def test_table_written_in_pieces_is_what_pandas_reads(ROOT, tmp_path, monkeypatch, rows, zeros):
    """Whole chunks until the last, of numbers that can be compressed and that cannot."""
    import helpers
    from analysis import hdf5_writer
    from analysis.export import TableWriter

    helpers.load_engine()
    rng = np.random.default_rng(11)
    blocks = {
        "float32": rng.normal(size=(rows, 3)).astype("f4"),
        "float64": rng.normal(size=(rows, 1)),
        "int32": rng.integers(-5, 5, (rows, 2)).astype("i4"),
        "int64": rng.integers(-(2**62), 2**62, (rows, 3)),
    }
    blocks["float32"][rng.random((rows, 3)) < zeros] = 0
    monkeypatch.setattr(hdf5_writer, "CHUNK", 100)
    table = TableWriter(tmp_path / "t.hdf5", ["a", "b", "c"], ["i", "j"])
    for begin, end in ((0, 300), (300, 400), (400, 1000)):
        table.append_blocks({kind: values[begin:end] for kind, values in blocks.items()})
    table.close()
    read = pd.read_hdf(tmp_path / "t.hdf5", "mini")
    names = {"float32": ["a", "b", "c"], "float64": ["wgt_SG"], "int32": ["i", "j"]}
    names["int64"] = ["DatasetNumber", "RunNumber", "EventNumber"]
    for kind, columns in names.items():
        np.testing.assert_array_equal(read[columns].to_numpy(), blocks[kind])
        assert {str(t) for t in read[columns].dtypes} == {kind}


# LZ4 makes 43 bytes of these 39.
LONGER = "DatasetNumberRunNumber\0\0\0\0EventNumber\0\0"


@pytest.mark.parametrize("size", [1, 2, 39, 200, 5000])
@pytest.mark.parametrize(
    "letters", ["a", "DatasetNumberRunNumber\0\0\0\0EventNumber\0\0", "random"]
)
def test_chunks_of_any_bytes_come_back(ROOT, size, letters):
    """Also those that packing makes a little longer."""
    import helpers
    from analysis.export import blosc

    helpers.load_engine()
    data = np.random.default_rng(size).integers(0, 256, size, "u1")
    if letters != "random":
        data = np.resize(np.frombuffer(letters.encode(), "u1"), size)
    packed, found = blosc(data), bytearray(size)
    blosc2.decompress2(packed, dst=found)
    assert found == data.tobytes()


def unpacked_lz4(data):
    """What a block of LZ4 stands for, by its format, which has rules for the end of a block."""
    made, at, match = bytearray(), 0, None  # match: where the last repetition begins

    def length(bits):
        nonlocal at
        if bits == 15:
            while True:
                bits, at = bits + data[at], at + 1
                if data[at - 1] < 255:
                    break
        return bits

    while True:
        token, at = data[at], at + 1
        literals = length(token >> 4)
        made += data[at : at + literals]
        at += literals
        if at == len(data):
            break
        distance, at = int.from_bytes(data[at : at + 2], "little"), at + 2
        assert 0 < distance <= len(made)
        match = len(made)
        for _ in range(length(token & 15) + 4):
            made.append(made[-distance])
    if match is not None:
        assert literals >= 5 and match <= len(made) - 12
    return bytes(made)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 63, 64, 65, 308, 20_000])
@pytest.mark.parametrize("zeros", [0.0, 0.3, 0.8, 0.999, 1.0])
def test_rows_with_zeros_come_back(ROOT, width, zeros):
    """Runs of zeros of any length, near and farther than LZ4 can look back."""
    import helpers
    from analysis.export import blosc

    helpers.load_engine()
    random = np.random.default_rng(width)
    chunk = random.normal(size=(64, width)).astype("f4")
    few = random.random((64, -(-width // 7)))  # in runs
    chunk[np.repeat(few, 7, axis=1)[:, :width] < zeros] = 0
    chunk[random.random(chunk.shape) < zeros / 9] = 0
    for values in (chunk, -np.abs(chunk), chunk[:1]):  # the second has -0, which is kept
        packed, found = blosc(values), bytearray(values.nbytes)
        blosc2.decompress2(packed, dst=found)
        assert found == values.tobytes()
        if not packed[2] & 2:  # else stored
            assert unpacked_lz4(packed[24:]) == values.tobytes()
    if width >= 308:
        assert len(blosc(chunk)) < np.count_nonzero(chunk) * 4 + 0.1 * chunk.nbytes


# --- histograms -------------------------------------------------------------------------------


def declared(demo_output):
    """{name: (bins, low, high)} from the record."""
    return {
        f["name"]: f["binning"].values()
        for f in read_json(demo_output / "run.json")["features"]
        if f["binning"]
    }


def expected_histogram(values, weights, bins, low, high):
    """Contents with underflow and overflow."""
    edges = np.concatenate([[-np.inf], np.linspace(low, high, bins + 1), [np.inf]])
    return np.histogram(values, edges, weights=weights)[0]


@pytest.mark.parametrize("sample", ["WZ", "HNL450", "data"])
def test_histograms_are_those_of_the_table(demo_output, sample):
    """With underflow, overflow and the sum of squared weights."""
    table = read_table(demo_output, sample)
    weights = table.wgt_SG.to_numpy()
    overflows = 0
    with uproot.open(demo_output / "histograms.root") as file:
        names = set(file["SR3L"].keys(cycle=False, recursive=False))
        for name, (bins, low, high) in declared(demo_output).items():
            histogram = file[f"SR3L/h_{name}_{sample}"]
            assert f"h_{name}_{sample}" in names
            axis = histogram.axis()
            assert (axis.member("fNbins"), axis.low, axis.high) == (bins, low, high)
            values = table[name].to_numpy().astype(float)
            for found, w in (
                (histogram.values(flow=True), weights),
                (histogram.variances(flow=True), weights**2),
            ):
                expected = expected_histogram(values, w, bins, low, high)
                np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12, err_msg=name)
            assert histogram.member("fEntries") == len(table)
            overflows += histogram.values(flow=True)[-1]
    assert overflows > 0


def test_histograms_know_their_moments(demo_output, ROOT):
    table = read_table(demo_output, "WZ")
    file = ROOT.TFile(str(demo_output / "histograms.root"))
    histogram = file.Get("SR3L/h_m_3l_WZ")
    inside = table[(table.m_3l >= 0) & (table.m_3l < 1000)]
    mean = np.average(inside.m_3l.astype(float), weights=inside.wgt_SG)
    assert histogram.GetMean() == pytest.approx(mean, rel=1e-6)
    assert histogram.GetSumw2N() == histogram.GetNcells()
    assert histogram.GetXaxis().GetTitle() == "m(3l) [GeV]"
    file.Close()


def test_histograms_fill_like_root(ROOT, tmp_path):
    """Edges, outside, negative weights: the same bins and moments as TH1::Fill."""
    values = [-1.0, 0.0, 0.1, 0.3, 0.7, 0.9999999, 1.0, 2.0, -0.0, 0.5]
    weights = [1.0, 2.0, -1.5, 0.25, 3.0, 1.0, 1.0, 0.5, 1.0, 4.0]
    store = ROOT.m3l.RowStore(1, 0, 1, 10**6, str(tmp_path))
    plain, filled = (ROOT.TH1D(name, "", 10, 0.0, 1.0) for name in ("plain", "filled"))
    for histogram in (plain, filled):
        histogram.SetDirectory(ROOT.nullptr)
        histogram.Sumw2()
    for number, (value, weight) in enumerate(zip(values, weights, strict=True)):
        add_row(store, 0, (1, 1, number), weight, [value], [], [])
        # The store has single precision.
        plain.Fill(float(np.float32(value)), weight)
    ROOT.m3l.startFilling(store, 3, ROOT.std.vector["TH1D*"]([filled]))
    while store.next():
        pass
    for b in range(12):
        assert filled.GetBinContent(b) == plain.GetBinContent(b), b
        assert filled.GetBinError(b) == pytest.approx(plain.GetBinError(b)), b
    assert filled.GetEntries() == plain.GetEntries() == 10
    assert filled.GetMean() == pytest.approx(plain.GetMean())
    assert filled.GetStdDev() == pytest.approx(plain.GetStdDev())


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("Flavours", "Flavours"),
        (r"$N(\mu)$", "N(#mu)"),
        (r"$E_T^{\mathrm{miss}}$ significance", "E_{T}^{miss} significance"),
        (r"$m_T^{\max}(\ell)$", "m_{T}^{max}(l)"),
        (r"$p_\mathrm{T}(\ell_1,\ \ell_\mu)$", "p_{T}(l_{1}, l_{#mu})"),
        (r"$\delta e_T(j_{3})$", "#delta e_{T}(j_{3})"),
    ],
)
def test_titles_are_in_the_language_of_root(label, expected):
    assert root_latex(label) == expected


def test_titles_have_nothing_that_root_would_print_as_it_is():
    """Its TLatex knows Greek letters and sums, and wants braces around indices."""
    labels = {f.label for layout in features.LAYOUTS for f in features.scalars(layout)}
    for label in labels:
        title = root_latex(label)
        assert not re.search(r"[\\$]|[_^](?!\{)", title)
        assert set(re.findall(r"#[a-z]+", title)) <= {"#mu", "#gamma", "#sum"}
        assert title.count("{") == title.count("}")


@pytest.mark.parametrize("sample", ["WZ", "data"])
def test_hist_has_axes_and_sums(demo_output, sample):
    """What uproot makes of them for other packages."""
    hist = pytest.importorskip("hist")
    weights = read_table(demo_output, sample).wgt_SG
    declared = {f["name"]: f for f in read_json(demo_output / "run.json")["features"]}
    drawn = [feature for feature in declared.values() if feature["binning"]]
    with uproot.open(demo_output / "histograms.root") as file:
        for feature in drawn[::9]:
            found, binning = (
                file[f"SR3L/h_{feature['name']}_{sample}"].to_hist(),
                feature["binning"],
            )
            (axis,) = found.axes
            edges = np.linspace(binning["low"], binning["high"], binning["bins"] + 1)
            np.testing.assert_allclose(axis.edges, edges, atol=1e-12)
            assert found.storage_type is hist.storage.Weight
            assert found.name == f"h_{feature['name']}_{sample}" and found.label == feature["name"]
            unit = f" [{feature['unit']}]" if feature["unit"] else ""
            assert axis.label == root_latex(feature["label"]) + unit
            assert axis.traits.underflow and axis.traits.overflow
            total = found.sum(flow=True)
            assert total.value == pytest.approx(weights.sum(), rel=1e-9)
            assert total.variance == pytest.approx((weights**2).sum(), rel=1e-9)


# --- the folder -------------------------------------------------------------------------------


def test_products_of_a_failed_run_disappear(ROOT, tmp_path):
    from analysis.products import Output

    with pytest.raises(RuntimeError), Output(tmp_path / "out") as output:
        with output.sample("WZ") as sample:
            (sample.folder / "table").write_text("half")
            raise RuntimeError
    assert list((tmp_path / "out").iterdir()) == []


def test_published_products_are_readable_by_others(demo_output):
    for path in (*demo_output.rglob("*"),):
        assert path.stat().st_mode & 0o044 == 0o044, path


def test_tables_of_two_regions_have_two_names(ROOT):
    from analysis import selection
    from analysis.output import table_name

    names = [table_name("WZ", region) for region in selection.REGIONS]
    assert names[:2] == [
        "WZ_3lep_df_forML_bkg_signal_fromRDF.hdf5",
        "WZ_2lep_df_forML_bkg_signal_fromRDF.hdf5",
    ]
    assert len(set(names)) == len(names)


WRITES = """
import sys
import helpers
getattr(helpers, sys.argv[1])()
from analysis.export import Histograms, book_histograms
from analysis.features import Binning, Feature
if len(sys.argv) > 3:
    import ROOT
    ROOT.TClass.GetClass("TTree").GetStreamerInfo()
    Histograms().add(sys.argv[3])
histograms = Histograms()
feature = Feature("x", "x", "x", "", Binning(2, 0.0, 1.0))
histograms.write("SR3L", book_histograms(["s"], [feature]))
histograms.save(__import__("pathlib").Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_histograms_are_the_same_file_whatever_the_process_did_before(tmp_path):
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    dirty = {"MALLOC_PERTURB_": "165"}  # memory is not fresh
    for words, memory in (
        (["load_engine", first], {}),
        (["load_engine", second, first], dirty),  # reads a file before
        (["load_for_chains", third], dirty),
    ):
        words = [sys.executable, "-W", "ignore", "-c", WRITES, *words]
        subprocess.run(words, cwd=REPOSITORY, check=True, env={**os.environ, **memory})
    assert first.read_bytes() == second.read_bytes() == third.read_bytes()
    assert not any(first.read_bytes()[63:100])
