"""What m3l::inspectDataset says of files, good ones and bad ones."""

import math
import subprocess
import sys
import textwrap
from array import array

import ntuples
import numpy as np
import pytest
from conftest import DEMO, REPOSITORY
from ntuples import three_leptons


@pytest.fixture
def look(ROOT):
    """Function that inspects a file."""

    def call(path, *words, tree="nominal"):
        return ROOT.m3l.inspectDataset(str(path), tree, *words)

    return call


def pairs(info, values):
    """{column: value}"""
    return {str(c): str(v) for c, v in zip(info.columns, values, strict=True)}


@pytest.fixture
def write_tree(ROOT, tmp_path):
    """Function that writes a tree with a branch `x` of floats, filled by a function."""

    def call(name, entries=3, setting=101, tree="nominal", mode="recreate", value=float):
        file = ROOT.TFile(str(tmp_path / name), mode, "", setting)
        made, x = ROOT.TTree(tree, ""), array("f", [0])
        made.Branch("x", x, "x/F")
        for entry in range(entries):
            x[0] = value(entry)
            made.Fill()
        file.Write()
        file.Close()
        return tmp_path / name

    return call


RNTUPLE = """
#include <ROOT/RNTupleModel.hxx>
#include <ROOT/RNTupleWriteOptions.hxx>
#include <ROOT/RNTupleWriter.hxx>
void writeRNTuple(const std::string &path, const std::string &name, int entries, bool checksums)
{
   auto model = ROOT::RNTupleModel::Create();
   auto x = model->MakeField<float>("x");
   auto n = model->MakeField<std::int32_t>("n");
   auto big = model->MakeField<std::uint64_t>("big");
   model->MakeField<std::vector<float>>("v");
   ROOT::RNTupleWriteOptions options;
   options.SetEnablePageChecksums(checksums);
   auto writer = ROOT::RNTupleWriter::Recreate(std::move(model), name, path, options);
   for (int entry = 0; entry < entries; ++entry) {
      *x = 0.5f * entry;
      *n = -entry;
      *big = entry;
      writer->Fill();
   }
}
"""


@pytest.fixture(scope="session")
def write_rntuple(ROOT):
    """Function that writes an RNTuple with fields x, n, big and v."""
    assert ROOT.gInterpreter.Declare(RNTUPLE)

    def call(path, entries=3, name="nominal", checksums=True):
        ROOT.writeRNTuple(str(path), name, entries, checksums)
        return path

    return call


# ------------------------------------------------------------------------------- good files
def test_kinds_of_branches(ROOT, look, tmp_path):
    path = tmp_path / "kinds.root"
    df = ROOT.RDataFrame(2).Define("number", "3.f").Define("RVec", "ROOT::RVec<bool>{true}")
    df = df.Define("nested", "std::vector<std::vector<float>>{{1.f}}")
    df.Define("vector", "std::vector<bool>{true}").Snapshot("snapped", str(path))
    file = ROOT.TFile(str(path), "update")
    tree = ROOT.TTree("nominal", "")
    vector, n, array_ = ROOT.std.vector["bool"](), array("i", [1]), np.ones(3, "f4")
    tree.Branch("vector", vector)
    tree.Branch("n", n, "n/I")
    tree.Branch("array", array_, "array[n]/F")
    tree.Branch("fixed", array_, "fixed[3]/F")
    tree.Branch("pair", array_, "a/F:b/F")
    tree.Fill()
    file.Write()
    file.Close()
    kinds = pairs(snapped := look(path, tree="snapped"), snapped.kinds)
    assert kinds["number"] == "number" and kinds["RVec"] == "RVec"
    assert "vector<vector<float> >" in kinds["nested"]
    info = look(path)
    kinds = pairs(info, info.kinds)
    assert (kinds["vector"], kinds["n"], kinds["array"]) == ("vector", "number", "array")
    assert kinds["fixed"] == "TBranch Float_t fixed[3]"
    assert kinds["pair.a"] == "part of TBranch"
    assert not info.problem and not snapped.problem


def test_kinds_of_fields(look, write_rntuple, tmp_path):
    info = look(write_rntuple(tmp_path / "a.root"))
    assert info.problem == "" and info.entries == 3
    assert pairs(info, info.kinds) == dict.fromkeys(("x", "n", "big", "v"), "RNTuple")


def test_uuid_is_that_of_the_file(ROOT, look, write_tree):
    path = write_tree("a.root")
    with ROOT.TFile(str(path)) as file:
        assert look(path).uuid == file.GetUUID().AsString()
    assert look(path).uuid != look(write_tree("b.root")).uuid


@pytest.mark.parametrize("algorithm, name", [(1, "zlib"), (2, "lzma"), (4, "lz4"), (5, "zstd")])
def test_compression_with_and_without_checksums(look, write_tree, algorithm, name):
    info = look(write_tree("a.root", 10_000, 100 * algorithm + 1, value=lambda entry: entry // 9))
    assert (info.problem, info.compression, info.isProtected) == ("", name, name != "zstd")


def test_what_is_not_compressed_has_no_checksum(look, write_tree):
    for name, entries, setting in (("a.root", 10_000, 0), ("b.root", 3, 101)):
        info = look(write_tree(name, entries, setting))
        assert (info.problem, info.compression, info.isProtected) == ("", "none", False)


def test_checksums_of_an_rntuple(look, write_rntuple, tmp_path):
    for checksums in (True, False):
        info = look(write_rntuple(tmp_path / f"{checksums}.root", checksums=checksums))
        assert (info.problem, info.compression) == ("", "RNTuple")
        assert info.isProtected == checksums


def test_sum_of_a_metadata_rntuple(look, write_rntuple, tmp_path):
    path = write_rntuple(tmp_path / "a.root", 4)
    for field, total in (("x", 3.0), ("n", -6.0), ("big", 6.0)):
        assert look(path, f"nominal:{field}").sum.value == total
    for place, lacking in (
        ("nominal:missing", "has no branch 'missing' in 'nominal'"),
        ("missing:x", "has no 'missing'"),
        ("missing/deep*:x", "has no 'missing/deep*'"),
    ):
        found = look(path, place).sum
        assert math.isnan(found.value) and found.lacking == lacking


def test_sum_that_is_no_number_is_a_problem(look, write_tree, write_rntuple, tmp_path):
    path = write_tree("a.root", value=lambda entry: math.inf)
    assert look(path, "nominal:x").problem == (
        "cannot be read: 'x' of 'nominal': its sum is infinite or not a number"
    )
    path = write_tree("b.root", value=lambda entry: math.nan)
    assert (
        "'x' of 'nominal': its sum is infinite or not a number" in look(path, "nominal:x").problem
    )
    path = write_rntuple(tmp_path / "c.root")
    assert look(path, "nominal:v").problem.startswith("cannot be read: 'v' of 'nominal': ")
    path = ntuples.write(tmp_path / "d.root", [three_leptons()])
    assert look(path, "nominal:lepPt").problem == (
        "cannot be read: 'lepPt' of 'nominal': it holds something else than a number per entry"
    )


def test_blocks_of_events(look, write_tree, write_rntuple, tmp_path):
    values = 7, 1, 2, 3, 5, 5
    path = write_tree("a.root", 6, value=values.__getitem__)
    assert look(path, "", "", "x", "x").blocks == "1:1;2:2;3:3;5:5;7:7"
    assert look(path, "", "", "x", "missing").blocks == look(path).blocks == ""
    path = write_rntuple(tmp_path / "b.root")
    assert look(path, "", "", "big", "big").blocks == "0:0;1:1;2:2"
    assert look(path, "", "", "big", "n").blocks == "0:0"  # others are negative
    path = ntuples.write(tmp_path / "c.root", [three_leptons(run=1, number=n) for n in (4, 6, 5)])
    assert look(path, "", "", "RunNumber", "EventNumber").blocks == "1:4-6"
    assert look(path, "", "", "RunNumber", "lepPt").problem == (
        "cannot be read: 'lepPt' is no number per entry of the tree itself"
    )


def test_the_last_version_of_a_tree_counts(ROOT, look, write_tree):
    path = write_tree("a.root", 3)
    write_tree("a.root", 5, mode="update")
    info = look(path)
    assert (info.problem, info.entries, list(info.keys)) == ("", 5, ["nominal"])
    assert ROOT.RDataFrame("nominal", str(path)).Count().GetValue() == 5


def test_what_is_no_dataset(ROOT, look, write_tree):
    other, path = write_tree("b.root"), write_tree("a.root", tree="text")
    chain = ROOT.TChain("chain")
    chain.Add(str(other))
    with ROOT.TFile(str(path), "update") as file:
        file.mkdir("folder")
        file.WriteTObject(chain, "chain")
        file.WriteTObject(ROOT.TNamed("text", ""), "text")  # a later version, no tree any more
    for name in ("folder", "chain", "text"):
        assert look(path, tree=name).problem == f"has no tree '{name}'"
    assert list(look(path).keys) == []


def test_ntuple_of_root(ROOT, look, tmp_path):
    file = ROOT.TFile(str(tmp_path / "a.root"), "recreate")
    floats, doubles = ROOT.TNtuple("nominal", "", "x:y"), ROOT.TNtupleD("double", "", "x:y")
    for made in (floats, doubles):
        made.Fill(1, 2)
        ROOT.SetOwnership(made, False)  # the file's
    file.Write()
    file.Close()
    for name, kind in (("nominal", "Float_t"), ("double", "Double_t")):
        info = look(tmp_path / "a.root", tree=name)
        assert (info.problem, info.entries) == ("", 1)
        assert pairs(info, info.types) == {"x": kind, "y": kind}


@pytest.mark.parametrize("entries, problem", [(3, ""), (2, "cannot be read: the entries of its f")])
def test_friends_are_read_by_root(ROOT, look, write_tree, entries, problem):
    other, path = write_tree("b.root", tree="other"), write_tree("a.root")
    with ROOT.TFile(str(path), "update") as file:
        tree = file.Get("nominal")
        tree.AddFriend("other", str(other))
        tree.Write("", ROOT.TObject.kOverwrite)
    write_tree("b.root", entries, tree="other")
    info = look(path)
    assert str(info.problem).startswith(problem)
    assert pairs(info, info.kinds) == {"x": "number", "other.x": "other"}


@pytest.mark.parametrize("entries", [0, 3])
def test_rntuple_of_any_number_of_entries(look, write_rntuple, tmp_path, entries):
    info = look(write_rntuple(tmp_path / "a.root", entries))
    assert (info.problem, info.entries) == ("", entries)
    assert pairs(info, info.types)["v"] == "ROOT::VecOps::RVec<float>"


# -------------------------------------------------------------------------------- bad files
def test_branch_with_other_entries_than_the_tree(ROOT, look, tmp_path):
    file = ROOT.TFile(str(tmp_path / "a.root"), "recreate")
    tree, x = ROOT.TTree("nominal", ""), array("f", [0])
    tree.Branch("x", x, "x/F")
    tree.Fill()
    tree.Fill()
    tree.Branch("late", x, "late/F").Fill()
    file.Write()
    file.Close()
    info = look(tmp_path / "a.root")
    assert info.problem == "cannot be read: branch 'late' has 1 of 2 entries"


@pytest.mark.parametrize("content", [b"", b"\0" * 5000, b"text " * 1000, b"root" + b"\0" * 500])
def test_file_of_something_else(look, tmp_path, content):
    (tmp_path / "a.root").write_bytes(content)
    assert look(tmp_path / "a.root").problem.startswith("cannot be opened")


def test_file_without_anything(ROOT, look, tmp_path):
    ROOT.TFile(str(tmp_path / "a.root"), "recreate").Close()
    assert look(tmp_path / "a.root").problem == "has no tree 'nominal'"
    assert look(tmp_path).problem.startswith("cannot be opened")


INSPECT_ALL = """
import sys, warnings
warnings.simplefilter("ignore")
import ROOT, helpers
helpers.load_engine()
for path in sys.argv[1:]:
    info = ROOT.m3l.inspectDataset(path, "nominal", "meta:sumw", "meta:sumw")
    assert info.problem and "\\n" not in str(info.problem), path
print(len(sys.argv) - 1)
"""


@pytest.mark.parametrize("kind", ["tree", "rntuple"])
def test_files_that_end_anywhere(write_rntuple, tmp_path, kind):
    if kind == "tree":
        content = ntuples.write(tmp_path / "a.root", [three_leptons()] * 50).read_bytes()
    else:
        content = write_rntuple(tmp_path / "a.root", 100).read_bytes()
    paths = []
    for part in range(40):
        paths.append(tmp_path / f"{part}.root")
        paths[-1].write_bytes(content[: part * len(content) // 40])
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(INSPECT_ALL), *map(str, paths)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "40\n", done.stderr


# ------------------------------------------------------------------------- messages of ROOT
HANDLER = """
std::vector<std::string> handled;
void handleInTest(int, Bool_t, const char *, const char *message) { handled.push_back(message); }
ROOT::RDF::RResultHandle withMessage(const char *level)
{
   return ROOT::RDataFrame(1)
      .Define("x", [=] {
         if (*level == 'w')
            Warning("test", "only a warning");
         else
            Error("test", "an error");
         return 1;
      })
      .Sum<int>("x");
}
"""


def test_messages_below_errors_go_to_the_handler_before(ROOT, look):
    assert ROOT.gInterpreter.Declare(HANDLER)
    ROOT.gInterpreter.ProcessLine("auto handlerBefore = SetErrorHandler(handleInTest);")
    try:
        assert ROOT.m3l.runEventLoop(ROOT.withMessage("w")) == ""
        assert list(ROOT.handled) == ["only a warning"]
        assert ROOT.m3l.runEventLoop(ROOT.withMessage("e")) == "test: an error"
        assert list(ROOT.handled) == ["only a warning"]
        assert look(DEMO / "WZ.root").problem == ""
        ROOT.Error("test", "after it")
        assert list(ROOT.handled) == ["only a warning", "after it"]
    finally:
        ROOT.gInterpreter.ProcessLine("SetErrorHandler(handlerBefore);")
