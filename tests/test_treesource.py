"""Baskets of a TTree decoded by TreeSource, against what was written into them."""

from array import array

import numpy as np
import pytest

EVENTS = 1000

# Letter of ROOT's leaf list: C++ type of a vector's element, numpy type.
NUMBERS = {
    "O": ("bool", "?"),
    "B": ("char", "i1"),
    "b": ("unsigned char", "u1"),
    "S": ("short", "i2"),
    "s": ("unsigned short", "u2"),
    "I": ("int", "i4"),
    "i": ("unsigned int", "u4"),
    "L": ("Long64_t", "i8"),
    "l": ("ULong64_t", "u8"),
    "F": ("float", "f4"),
    "D": ("double", "f8"),
}


def random_numbers(rng, kind, size):
    if kind[0] == "f":
        return rng.normal(size=size).astype(kind)
    # The event loop returns doubles, which hold integers of 53 bits.
    low, high = (0, 1) if kind == "?" else (np.iinfo(kind).min, np.iinfo(kind).max)
    return rng.integers(max(low, -(2**53)), min(high, 2**53), size, endpoint=True).astype(kind)


def write(ROOT, path, seed, flush=300, basket=1500):
    """Write a tree with every kind of branch; returns {column: a value or list per event}."""
    rng = np.random.default_rng(seed)
    lengths = rng.poisson(1.5, EVENTS)
    lengths[rng.random(EVENTS) < 0.05] = 40
    expected = {"n": lengths.tolist()}
    file = ROOT.TFile(str(path), "recreate")
    tree = ROOT.TTree("events", "")
    tree.SetAutoFlush(flush)
    n = array("i", [0])
    tree.Branch("n", n, "n/I", basket)
    numbers, arrays, vectors = {}, {}, {}
    for letter, (cpp, kind) in NUMBERS.items():
        numbers[letter], arrays[letter] = np.zeros(1, kind), np.zeros(50, kind)
        vectors[letter] = ROOT.std.vector[cpp]()
        tree.Branch(f"number_{letter}", numbers[letter], f"number_{letter}/{letter}", basket)
        tree.Branch(f"array_{letter}", arrays[letter], f"array_{letter}[n]/{letter}", basket)
        tree.Branch(f"vector_{letter}", vectors[letter], basket)
        expected[f"number_{letter}"] = random_numbers(rng, kind, EVENTS).tolist()
        for shape in ("array", "vector"):
            expected[f"{shape}_{letter}"] = [
                random_numbers(rng, kind, length).tolist() for length in lengths
            ]
    for event in range(EVENTS):
        n[0] = lengths[event]
        for letter in NUMBERS:
            numbers[letter][0] = expected[f"number_{letter}"][event]
            arrays[letter][: n[0]] = expected[f"array_{letter}"][event]
            vectors[letter].clear()
            for value in expected[f"vector_{letter}"][event]:
                vectors[letter].push_back(value)
        tree.Fill()
    tree.Write()
    file.Close()
    return expected


@pytest.fixture(scope="module")
def written(ROOT, tmp_path_factory):
    """Two files and their content."""
    folder = tmp_path_factory.mktemp("trees")
    paths = [folder / f"{seed}.root" for seed in (1, 2)]
    return [(path, write(ROOT, path, seed)) for seed, path in enumerate(paths)]


SOURCE = """
#include "engine/treesource.h"
ROOT::RDataFrame openTreeSource(const std::string &tree, const std::vector<std::string> &files,
                                long long entries, long long begin, long long end)
{
   std::unique_ptr<TFile> file(TFile::Open(files[0].c_str()));
   std::vector<m3l::TreeFile> parts;
   for (const auto &path : files)
      parts.push_back({path, entries});
   return ROOT::RDataFrame(
      std::make_unique<m3l::TreeSource>(*file->Get<TTree>(tree.c_str()), parts, begin, end));
}
"""


@pytest.fixture(scope="module")
def open_dataset(ROOT):
    """Function that opens files of equal numbers of entries with a TreeSource."""
    assert ROOT.gInterpreter.Declare(SOURCE)

    def open_files(paths, begin=0, end=-1, entries=EVENTS):
        return ROOT.openTreeSource("events", [str(path) for path in paths], entries, begin, end)

    return open_files


def read(df, columns):
    """Values of the columns, all as double."""
    for column in columns:
        scalar = "RVec" not in df.GetColumnType(column)
        df = df.Define(f"read_{column}", f"{'double' if scalar else 'ROOT::RVecD'}({column})")
    arrays = df.AsNumpy(["rdfentry_", *(f"read_{column}" for column in columns)])
    order = np.argsort(arrays["rdfentry_"])  # there may be several threads
    return {
        column: [v if np.isscalar(v) else list(v) for v in arrays[f"read_{column}"][order]]
        for column in columns
    }


def decoded(ROOT, path, column):
    """Whether TreeSource can read a branch."""
    with ROOT.TFile(str(path)) as file:
        return bool(str(ROOT.m3l.TreeSource.typeOf(file.Get("events").GetBranch(column))))


def test_every_kind_of_number_is_read_as_written(ROOT, open_dataset, written):
    columns = list(written[0][1])
    assert all(decoded(ROOT, written[0][0], column) for column in columns)
    found = read(open_dataset([path for path, _ in written]), columns)
    for column in columns:
        assert found[column] == [v for _, expected in written for v in expected[column]], column


@pytest.mark.parametrize("begin, end", [(0, 1), (299, 301), (500, 1500), (1000, 2000), (7, 9999)])
def test_range_of_entries_counts_over_all_files(open_dataset, written, begin, end):
    columns = ["number_l", "vector_F", "array_S"]
    found = read(open_dataset([p for p, _ in written], begin, end), columns)
    for column in columns:
        everything = [v for _, expected in written for v in expected[column]]
        assert found[column] == everything[begin:end]


def test_basket_that_is_asked_for_now_and_then(open_dataset, written):
    (path, expected), *_ = written
    df = open_dataset([path]).Filter("number_I % 97 == 0")
    wanted = [e for e, number in enumerate(expected["number_I"]) if number % 97 == 0]
    for _ in range(2):  # two event loops
        assert read(df, ["vector_D"])["vector_D"] == [expected["vector_D"][e] for e in wanted]


@pytest.mark.parametrize("flush, basket", [(0, 32000), (-1000, 300), (10, 100), (10**6, 10**6)])
def test_baskets_of_any_size(ROOT, open_dataset, tmp_path, flush, basket):
    path = tmp_path / "tree.root"
    expected = write(ROOT, path, 5, flush, basket)
    columns = ["vector_F", "vector_O", "array_D", "number_F"]
    found = read(open_dataset([path]), columns)
    assert found == {column: expected[column] for column in columns}


def test_branches_that_cannot_be_decoded_are_left_to_root(ROOT, tmp_path):
    path = tmp_path / "other.root"
    df = ROOT.RDataFrame(3).Define("x", "float(rdfentry_)")
    df = df.Define("nested", "std::vector<std::vector<float>>{{x}, {x, x}}")
    df.Define("snapped", "ROOT::RVecF{x}").Snapshot("events", str(path))
    assert decoded(ROOT, path, "x")
    assert not decoded(ROOT, path, "nested") and not decoded(ROOT, path, "snapped")


def test_fixed_arrays_and_pairs_of_leaves_are_left_to_root(ROOT, tmp_path):
    path = tmp_path / "arrays.root"
    file = ROOT.TFile(str(path), "recreate")
    tree = ROOT.TTree("events", "")
    tree.Branch("fixed", np.arange(3, dtype="f4"), "fixed[3]/F")
    tree.Branch("pair", np.arange(2, dtype="f4"), "a/F:b/F")
    tree.Branch("packed", np.ones(1, "f4"), "packed/f")
    tree.Fill()
    file.Write()
    file.Close()
    for column in ("fixed", "pair", "packed"):
        assert not decoded(ROOT, path, column)


def test_file_that_has_changed_is_not_read(open_dataset, written):
    path, _ = written[0]
    df = open_dataset([path], entries=EVENTS - 1)
    with pytest.raises(Exception, match="the file has changed while it was in use"):
        df.Sum("number_F").GetValue()
