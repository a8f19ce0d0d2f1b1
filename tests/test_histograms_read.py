"""Histograms are read as uproot reads them, whoever wrote them."""

import struct

import numpy as np
import plot_inputs
import uproot
from conftest import at_prompt

from analysis.results import Results
from analysis.th1d import read_th1d

ROOT_WRITES = """
void write() {{
  TFile file("{path}", "RECREATE");
  TH1D plain("plain", "plain;x;y", 3, -1, 2);
  TH1D weighted("weighted", "", 2, 0, 1);
  weighted.Sumw2();
  double edges[] = {{0, 1, 10, 100}};
  TH1D uneven("uneven", "", 3, edges);
  TH1F single("single", "", 3, 0, 1);
  for (double x : {{-5., 0., 0.3, 1.5, 7., 1e9}}) {{
    plain.Fill(x); weighted.Fill(x, -0.5); uneven.Fill(x, 2.5); single.Fill(x, 0.1);
  }}
  uneven.GetXaxis()->SetBinLabel(1, "first");
  uneven.GetListOfFunctions()->Add(new TF1("f", "gaus", 0, 1));
  file.Write();
}}
"""


def content_of(folder, name):
    return bytes(folder.key(name).get_uncompressed_chunk_cursor()[0].raw_data)


def same_as_uproot(folder, name):
    stored = folder[name]
    expected = stored.axis().edges(), stored.values(flow=True), stored.variances(flow=True)
    found = read_th1d(content_of(folder, name))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == float


def test_all_histograms_of_a_run(demo_output):
    with uproot.open(demo_output / "histograms.root") as file:
        names = file["SR3L"].keys(cycle=False)
        assert len(names) > 1000
        for name in names[::7]:
            same_as_uproot(file["SR3L"], name)


def test_histograms_of_root(tmp_path):
    path = tmp_path / "by_root.root"
    (tmp_path / "write.C").write_text(ROOT_WRITES.format(path=path))
    at_prompt(tmp_path / "write.C", folder=tmp_path)
    with uproot.open(path) as file:
        for name in ("plain", "weighted", "uneven"):
            same_as_uproot(file, name)
        assert read_th1d(content_of(file, "single")) is None


def test_other_bytes_are_left_to_uproot(tmp_path):
    samples = [("WZ", "diboson3L", "background", 9, 40.0, 1.0)]
    folder = plot_inputs.write_run(tmp_path / "out", samples)
    with uproot.open(folder / "histograms.root") as file:
        content = content_of(file["SR3L"], "h_m_3l_WZ")
    whole = read_th1d(content)
    assert whole is not None
    for end in range(0, len(content), 3):
        assert read_th1d(content[:end]) is None
    random = np.random.default_rng(1)
    for place in random.integers(0, len(content), 2000):
        damaged = bytearray(content)
        damaged[place] ^= 1 << random.integers(8)
        found = read_th1d(bytes(damaged))
        assert found is None or [len(a) for a in found] == [len(a) for a in whole]
    version = bytearray(content)
    struct.pack_into(">H", version, 4, 4)
    assert read_th1d(bytes(version)) is None


def test_another_kind_of_histogram_is_read_too(tmp_path):
    samples = [("WZ", "diboson3L", "background", 9, 40.0, 1.0)]
    folder = plot_inputs.write_run(tmp_path / "out", samples)
    before = Results(folder).histogram("SR3L", "m_3l", "WZ")
    values = np.arange(len(before.sumw) - 2, dtype="f4")
    with uproot.recreate(folder / "histograms.root") as file:
        file["SR3L/h_m_3l_WZ"] = values, before.edges
    found = Results(folder).histogram("SR3L", "m_3l", "WZ")
    np.testing.assert_array_equal(found.sumw[1:-1], values)
    np.testing.assert_array_equal(found.edges, before.edges)
