"""TTrees and RNTuples decoded by EventSource, against what was written and what ROOT reads."""

import json
import subprocess
import sys
from array import array

import ntuples
import numpy as np
import pytest
from conftest import REPOSITORY, read_table, slow
from ntuples import three_leptons

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
    "G": ("long", "i8"),
    "g": ("unsigned long", "u8"),
    "L": ("Long64_t", "i8"),
    "l": ("ULong64_t", "u8"),
    "F": ("float", "f4"),
    "D": ("double", "f8"),
}


LETTERS = {kind: letter for letter, (_, kind) in NUMBERS.items()}


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
#include "engine/eventsource.h"
ROOT::RDataFrame openEventSource(const std::string &tree, const std::vector<std::string> &files,
                                 long long entries, long long begin, long long end,
                                 const std::string &uuid, long long size)
{
   m3l::Dataset dataset{tree, {}, begin, end};
   for (const auto &path : files)
      dataset.addFile(path, entries, uuid, size);
   return ROOT::RDataFrame(std::make_unique<m3l::EventSource>(dataset));
}
bool isDecoded(const std::string &tree, const std::string &path, long long entries,
               const std::string &column)
{
   m3l::Dataset dataset{tree, {}, 0, -1};
   dataset.addFile(path, entries);
   return m3l::EventSource(dataset).HasColumn(column);
}
"""


@pytest.fixture(scope="module")
def open_dataset(ROOT):
    """Function that opens files of equal numbers of entries with an EventSource."""
    assert ROOT.gInterpreter.Declare(SOURCE)

    def open_files(paths, begin=0, end=-1, entries=EVENTS, uuid="", size=-1):
        names = [str(path) for path in paths]
        return ROOT.openEventSource("events", names, entries, begin, end, uuid, size)

    return open_files


def write_kind(ROOT, path, kind, events, first=0, cpp="float", numpy="f4", setting=101):
    """Write arrays x of 0 to 4 numbers; returns what is in them."""
    modulus = 2 if cpp == "bool" else 100
    expected = [[(first + e + i) % modulus for i in range(e % 5)] for e in range(events)]
    file = ROOT.TFile(str(path), "recreate", "", setting)
    tree = ROOT.TTree("events", "")
    tree.SetAutoFlush(300)
    n, values = array("i", [0]), np.zeros(5, numpy)
    if kind == "vector":
        values = ROOT.std.vector[cpp]()
        tree.Branch("x", values)
    elif kind == "RVec":
        values = ROOT.VecOps.RVec[cpp]()
        tree.Branch("x", values)
    tree.Branch("n", n, "n/I")  # not the same place in all kinds
    if kind == "array":
        tree.Branch("x", values, f"x[n]/{LETTERS[numpy]}")
    for numbers in expected:
        n[0] = len(numbers)
        if kind == "array":
            values[: n[0]] = numbers
        else:
            values.clear()
            for number in numbers:
                values.push_back(number)
        tree.Fill()
    tree.Write()
    file.Close()
    return expected


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


def decoded(ROOT, path, column, tree="events"):
    """Whether EventSource can read a branch."""
    entries = ROOT.m3l.inspectDataset(str(path), tree).entries
    return ROOT.isDecoded(tree, str(path), entries, column)


def test_every_kind_of_number_is_read_as_written(ROOT, open_dataset, written):
    columns = list(written[0][1])
    assert all(decoded(ROOT, written[0][0], column) for column in columns)
    found = read(open_dataset([path for path, _ in written]), columns)
    for column in columns:
        assert found[column] == [v for _, expected in written for v in expected[column]], column


KINDS = ("vector", "RVec", "array")
ALGORITHMS = {"zlib": 1, "lzma": 2, "lz4": 4, "zstd": 5}  # ROOT's numbers of compressions


def as_rntuple(ROOT, tree, path, algorithm="zstd", page=400, cluster=40_000):
    """Copy a TTree `events` into an RNTuple with small pages and clusters (bytes)."""
    options = ROOT.RDF.RSnapshotOptions()
    options.fOutputFormat = ROOT.RDF.ESnapshotOutputFormat.kRNTuple
    options.fCompressionAlgorithm, options.fCompressionLevel = ALGORITHMS[algorithm], 5
    options.fInitialUnzippedPageSize, options.fMaxUnzippedPageSize = min(page, 256), page
    options.fApproxZippedClusterSize, options.fMaxUnzippedClusterSize = cluster, 10 * cluster
    ROOT.RDataFrame("events", str(tree)).Snapshot("events", str(path), "", options)
    return path


@pytest.mark.parametrize("page, cluster", [(64, 20_000), slow(400, 40_000), slow(2**20, 2**27)])
def test_every_kind_of_number_in_an_rntuple(ROOT, open_dataset, written, tmp_path, page, cluster):
    paths = [
        as_rntuple(ROOT, tree, tmp_path / tree.name, page=page, cluster=cluster)
        for tree, _ in written
    ]
    columns = list(written[0][1])
    assert all(decoded(ROOT, paths[0], column) for column in columns)
    found = read(open_dataset(paths), columns)
    for column in columns:
        assert found[column] == [v for _, expected in written for v in expected[column]], column
    some = read(open_dataset(paths).Filter("number_I % 97 == 0"), ["vector_D", "array_O"])
    wanted = [i for i, number in enumerate(found["number_I"]) if number % 97 == 0]
    assert some["vector_D"] == [found["vector_D"][i] for i in wanted]
    assert some["array_O"] == [found["array_O"][i] for i in wanted]


def test_collections_of_rvec_in_an_rntuple(ROOT, open_dataset, tmp_path):
    df = ROOT.RDataFrame(EVENTS).Define("x", "ROOT::RVecF(rdfentry_ % 5, rdfentry_)")
    df = df.Define("y", "std::vector<std::vector<float>>{{1.f}}").Define("z", "ROOT::RVecF{1, 2}")
    options = ROOT.RDF.RSnapshotOptions()
    options.fOutputFormat = ROOT.RDF.ESnapshotOutputFormat.kRNTuple
    path = tmp_path / "a.root"
    df.Redefine("z", "std::array<float, 2>{1.f, 2.f}").Snapshot("events", str(path), "", options)
    assert not decoded(ROOT, path, "y") and not decoded(ROOT, path, "z")  # left to ROOT
    assert read(open_dataset([path]), ["x"])["x"] == [[float(e)] * (e % 5) for e in range(EVENTS)]


def test_rntuple_after_a_tree(ROOT, open_dataset, tmp_path):
    write_kind(ROOT, tmp_path / "a.root", "vector", EVENTS)
    as_rntuple(ROOT, tmp_path / "a.root", tmp_path / "b.root")
    for files in ("ab", "ba"):
        paths = [tmp_path / f"{name}.root" for name in files]
        said = f"the files before .*{files[1]}.root hold another kind"
        with pytest.raises(Exception, match=said):
            read(open_dataset(paths), ["x"])


@pytest.mark.parametrize("kind", [*KINDS, "RNTuple"])
def test_files_of_different_compression(ROOT, open_dataset, tmp_path, kind):
    paths, expected = [], []
    for first, (name, number) in enumerate(ALGORITHMS.items()):
        path = tmp_path / f"{name}.root"
        tree = "vector" if kind == "RNTuple" else kind
        expected += write_kind(ROOT, path, tree, EVENTS, first, setting=100 * number + 5)
        if kind == "RNTuple":
            path = as_rntuple(ROOT, path, tmp_path / f"n{name}.root", name)
        paths.append(path)
    assert read(open_dataset(paths), ["x", "n"])["x"] == expected


def test_bytes_with_a_sign(ROOT, open_dataset, tmp_path):
    df = ROOT.RDataFrame(5).Define("x", "ROOT::RVec<signed char>(rdfentry_, -7)")
    options = ROOT.RDF.RSnapshotOptions()  # a TTree of them makes ROOT crash
    options.fOutputFormat = ROOT.RDF.ESnapshotOutputFormat.kRNTuple
    df.Snapshot("events", str(tmp_path / "a.root"), ["x"], options)
    assert decoded(ROOT, tmp_path / "a.root", "x")
    found = read(open_dataset([tmp_path / "a.root"], entries=5), ["x"])
    assert found["x"] == [[-7.0] * n for n in range(5)]


# Reads files with EventSource or by ROOT, and prints a digest of what is in arrays x and numbers n
# of each, or null where it cannot be read.
READ = """
import hashlib, json, sys
import ROOT
import helpers
helpers.load_engine()
how, source, *paths = sys.argv[1:]
ROOT.gInterpreter.Declare(source)
for path in paths:
    digest = None
    try:
        if how == "root":
            df = ROOT.RDataFrame("events", path)
        else:
            df = ROOT.openEventSource("events", [path], 700, 0, -1, "", -1)
        x, n = df.Take["ROOT::VecOps::RVec<float>"]("x"), df.Take["int"]("n")
        if not str(ROOT.m3l.runEventLoop(ROOT.RDF.RResultHandle(x))):
            values = [[*map(float, numbers)] for numbers in x.GetValue()], [*n.GetValue()]
            digest = hashlib.sha256(repr(values).encode()).hexdigest()
    except Exception:
        pass
    print(json.dumps(digest), flush=True)
"""


def digests(how, *paths):
    """What a process of its own, since ROOT may crash over what is damaged, says of files."""
    words = [sys.executable, "-W", "ignore", "-c", READ, how, SOURCE, *map(str, paths)]
    done = subprocess.run(
        words, capture_output=True, text=True, errors="replace", timeout=300, cwd=REPOSITORY
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def bytes_of_baskets(ROOT, path):
    """Where the baskets of a tree are in its file. A damaged tree itself may crash ROOT."""
    with ROOT.TFile.Open(str(path)) as file:
        return [
            place
            for branch in file["events"].GetListOfBranches()
            for i in range(branch.GetWriteBasket())
            for place in range(
                branch.GetBasketSeek(i), branch.GetBasketSeek(i) + branch.GetBasketBytes()[i]
            )
        ]


@pytest.mark.parametrize("kind", [*map(slow, KINDS), "RNTuple"])
def test_what_root_cannot_read_of_damaged_files_is_not_read(ROOT, tmp_path, kind, request):
    files = 10 if request.config.getoption("--slow") else 3  # of each algorithm
    rng = np.random.default_rng(1)
    wholes, damaged = [], []  # paths
    for algorithm, number in ALGORITHMS.items():
        path = tmp_path / f"{algorithm}.root"
        tree = "vector" if kind == "RNTuple" else kind
        write_kind(ROOT, path, tree, 700, setting=100 * number + 5)
        if kind == "RNTuple":
            path = as_rntuple(ROOT, path, tmp_path / f"n_{algorithm}.root", algorithm)
        wholes.append(path)
        content = path.read_bytes()
        places = bytes_of_baskets(ROOT, path) if tree == kind else range(400, len(content) // 2)
        for place in rng.choice(places, files):
            changed = bytearray(content)
            changed[place] ^= 1 << rng.integers(8)
            damaged.append(tmp_path / f"{algorithm}_{place}.root")
            damaged[-1].write_bytes(changed)
            if ROOT.m3l.inspectDataset(str(damaged[-1]), "events").problem:
                damaged.pop()  # is not read at all
    status, known = digests("ours", *wholes)
    assert status == 0 and known[0] and len(set(known)) == 1
    status, found = digests("ours", *damaged)
    assert status == 0 and len(found) == len(damaged)
    assert found.count(None) > files / 2
    for path, digest in zip(damaged, found, strict=True):
        if digest not in (None, known[0]):
            assert digests("root", path)[1] != [None], path
            # The baskets of which have no checksum.
            assert path.name.startswith("zstd") and kind != "RNTuple", path


@pytest.mark.parametrize("cpp, kind", [("float", "f4"), ("bool", "?"), ("char", "i1")])
def test_files_of_different_kinds(ROOT, open_dataset, tmp_path, cpp, kind):
    paths, expected = [], []
    for number, how in enumerate((*KINDS, *reversed(KINDS))):
        paths.append(tmp_path / f"{number}.root")
        expected += write_kind(ROOT, paths[-1], how, EVENTS, number, cpp, kind)
    if cpp == "bool":
        expected = [[bool(x) for x in numbers] for numbers in expected]
    assert read(open_dataset(paths), ["x"])["x"] == expected


def test_what_a_snapshot_writes(ROOT, open_dataset, written, tmp_path):
    path, expected = written[0]
    columns = list(expected)
    ROOT.RDataFrame("events", str(path)).Snapshot("events", str(tmp_path / "b.root"), columns)
    assert all(decoded(ROOT, tmp_path / "b.root", column) for column in columns)
    found = read(open_dataset([tmp_path / "b.root", path]), columns)
    for column in columns:
        assert found[column] == 2 * expected[column], column


@pytest.mark.parametrize("kind", KINDS)
def test_other_type_in_a_later_file(ROOT, open_dataset, tmp_path, kind):
    write_kind(ROOT, tmp_path / "a.root", "vector", EVENTS)
    write_kind(ROOT, tmp_path / "b.root", kind, EVENTS, cpp="double", numpy="f8")
    with pytest.raises(
        Exception,
        match="branch 'x' of .*b.root is of type ROOT::VecOps::RVec<doub"
        "le>, not ROOT::VecOps::RVec<float>",
    ):
        read(open_dataset([tmp_path / "a.root", tmp_path / "b.root"]), ["x"])


def test_number_or_object_in_a_later_file(ROOT, open_dataset, tmp_path):
    write_kind(ROOT, tmp_path / "a.root", "vector", EVENTS)
    df = ROOT.RDataFrame(EVENTS)
    for name, value in (("b.root", "1.f"), ("c.root", "std::vector<std::vector<float>>{{1.f}}")):
        df.Define("x", value).Snapshot("events", str(tmp_path / name))
    for name, kind in (("b.root", "float,"), ("c.root", "TBranchElement vector<vector<float>")):
        with pytest.raises(Exception, match=f"{name} is of type {kind}"):
            read(open_dataset([tmp_path / "a.root", tmp_path / name]), ["x"])


def test_file_without_the_branch(ROOT, open_dataset, tmp_path):
    write_kind(ROOT, tmp_path / "a.root", "vector", EVENTS)
    ROOT.RDataFrame(EVENTS).Define("y", "1.f").Snapshot("events", str(tmp_path / "b.root"))
    with pytest.raises(Exception, match="b.root has no branch 'x'"):
        read(open_dataset([tmp_path / "a.root", tmp_path / "b.root"]), ["x"])


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
    df.Define("text", 'std::string{"x"}').Snapshot("events", str(path))
    assert decoded(ROOT, path, "x")
    assert not decoded(ROOT, path, "nested") and not decoded(ROOT, path, "text")


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
    with pytest.raises(Exception, match="the file has changed while it was in use"):
        open_dataset([path], entries=EVENTS - 1)


def test_file_that_was_replaced_by_one_of_equal_entries_is_not_read(ROOT, open_dataset, written):
    (path, _), (other, _) = written
    uuid = ROOT.m3l.inspectDataset(str(path), "events").uuid
    assert len(read(open_dataset([path], uuid=uuid), ["n"])["n"]) == EVENTS
    with pytest.raises(Exception, match="the file has changed while it was in use"):
        read(open_dataset([other], uuid=uuid), ["n"])


def test_file_that_has_grown_is_not_read(ROOT, open_dataset, written):
    path, _ = written[0]
    size = ROOT.m3l.inspectDataset(str(path), "events").size
    assert size == path.stat().st_size
    assert len(read(open_dataset([path], size=size), ["n"])["n"]) == EVENTS
    with pytest.raises(Exception, match="the file has changed while it was in use"):
        read(open_dataset([path], size=size - 1), ["n"])


def test_tree_that_keeps_its_last_baskets(ROOT, open_dataset, tmp_path):
    """As a writer does that saves its tree now and then."""
    path = tmp_path / "a.root"
    file = ROOT.TFile(str(path), "recreate")
    tree = ROOT.TTree("events", "")
    n, x, values = array("i", [0]), ROOT.std.vector["float"](), np.zeros(9, "f4")
    tree.Branch("n", n, "n/I")
    tree.Branch("x", x)
    tree.Branch("y", values, "y[n]/F")
    for event in range(EVENTS):
        n[0] = event % 7
        x.clear()
        for i in range(n[0]):
            values[i] = event + i
            x.push_back(event + i)
        tree.Fill()
    file.WriteTObject(tree, "events")  # without writing the baskets first
    assert tree.GetBranch("x").GetBasketSeek(0) == 0
    file.Close()
    found = read(open_dataset([path]), ["n", "x", "y"])
    expected = [[e + i for i in range(e % 7)] for e in range(EVENTS)]
    assert found == {"n": [e % 7 for e in range(EVENTS)], "x": expected, "y": expected}


@pytest.mark.parametrize("kind", KINDS)
def test_lengths_in_a_damaged_basket(ROOT, open_dataset, tmp_path, kind):
    """Each byte of the description and of the starts, of which some do not matter."""
    expected = write_kind(ROOT, tmp_path / "a.root", kind, 60, setting=0)
    content = bytearray((tmp_path / "a.root").read_bytes())
    with ROOT.TFile(str(tmp_path / "a.root")) as file:
        branch = file.Get("events").GetBranch("x")
        begin, basket = branch.GetBasketSeek(0), branch.GetBasket(0)
        key, last = basket.GetKeylen(), basket.GetLast()
        places = [*range(key), *range(last, key + basket.GetObjlen())]
    refused = 0
    for place in places:
        for value in (0, 1, 255):
            damaged = content.copy()
            damaged[begin + place] = value
            (tmp_path / "b.root").write_bytes(damaged)
            df = open_dataset([tmp_path / "b.root"], entries=60)
            found = df.Take["ROOT::VecOps::RVec<float>"]("x")
            try:
                values = [list(numbers) for numbers in found.GetValue()]
            except Exception as error:
                assert f"branch 'x' of {tmp_path}/b.root cannot be read" in str(error)
                refused += 1
            else:
                assert values == expected, (place, value)
    assert refused > len(places)


def test_files_of_which_root_has_to_read_a_later_one(ROOT, open_dataset, run_here, tmp_path):
    """A branch of it lies in a file of its own, which is left to ROOT."""
    events = [three_leptons(number=number, met=10.0 * number) for number in range(1, 20)]
    for name in "ab":
        ntuples.write(tmp_path / f"{name}.root", events)
    with ROOT.TFile(str(tmp_path / "b.root")) as file:
        tree = file.Get("nominal")
        copy = ROOT.TFile(str(tmp_path / "c.root"), "recreate")
        made = tree.CloneTree(0)
        made.GetBranch("met_Et").SetFile(str(tmp_path / "met.root"))
        made.CopyEntries(tree)
        copy.Write()
        copy.Close()
    assert decoded(ROOT, tmp_path / "b.root", "met_Et", "nominal")
    assert not decoded(ROOT, tmp_path / "c.root", "met_Et", "nominal")
    for files in ("ab", "ac"):
        names = [f"{name}.root" for name in files]
        ntuples.samples_file(tmp_path / "made.toml", {"name": files, "files": names})
        outcome = run_here("--samples", tmp_path / "made.toml", "-o", tmp_path / files)
        assert outcome.status == 0, outcome.err
    tables = [read_table(tmp_path / name, name) for name in ("ab", "ac")]
    assert len(tables[0]) == 2 * len(events)
    assert tables[0].equals(tables[1])
