"""Corrections of correctionlib in expressions: values against numpy, and what may be wrong."""

import gzip
import json
import shutil

import numpy as np
import pytest
from conftest import DEMO, read_json, read_table, run_program

from analysis.corrections import corrected, mentioned, read_correction
from analysis.errors import DeclarationError, InputError
from analysis.systematics import Systematic, weighted

pytest.importorskip("correctionlib")

PT, ETA = [0.0, 30.0, 60.0, 120.0, "inf"], [0.0, 0.8, 1.5, 2.7]
SCALES = {"nominal": 1.0, "up": 1.02, "down": 0.97}


def factors(scale):
    """(pt, eta) factors, as numbers with many digits."""
    return scale * (1 + np.arange(12).reshape(4, 3) / 97)


def declaration(name, inputs, data):
    kinds = [{"name": n, "type": kind, "description": ""} for n, kind in inputs]
    return {"name": name, "version": 1, "inputs": kinds, "data": data} | {
        "output": {"name": "weight", "type": "real"}
    }


def category(name, values, default=None):
    content = [{"key": key, "value": value} for key, value in values.items()]
    made = {"nodetype": "category", "input": name, "content": content}
    return made if default is None else {**made, "default": default}


def corrections(up=SCALES["up"]):
    """The content of a file."""
    binned = {
        direction: {
            "nodetype": "multibinning",
            "inputs": ["pt", "eta"],
            "edges": [PT, ETA],
            "content": factors(scale).ravel().tolist(),
            "flow": "error",
        }
        for direction, scale in {**SCALES, "up": up}.items()
    }
    inputs = [("pt", "real"), ("eta", "real"), ("direction", "string")]
    formula = {
        "nodetype": "formula",
        "expression": "x*(1+0.01*y)",
        "parser": "TFormula",
        "variables": ["pt", "jets"],
    }
    found = [
        declaration("lepton_id", inputs, category("direction", binned)),
        declaration("by_jets", [("pt", "real"), ("jets", "real")], formula),
        declaration("by_flavour", [("flavour", "int")], category("flavour", {1: 1.25, 2: 0.75})),
        declaration("any", inputs[2:], category("direction", {"up": 2.0}, 1.0)),
    ]
    twice = {**declaration("both", inputs, None), "inputs_update": []} | {
        "input_op": "*",
        "output_op": "*",
        "stack": ["lepton_id", "any"],
    }
    del twice["data"], twice["version"]
    return {"schema_version": 2, "corrections": found, "compound_corrections": [twice]}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "sf.json"
    path.write_text(json.dumps(corrections()))
    return path


LEPTON = ("ranked(lepPt, leptons, 0)", "abs(ranked(lepEta, leptons, 0))")


def expected(pt, eta, scale):
    """In numpy; pt and eta in float32 as in the files."""
    edges = np.array(PT[:-1]), np.array(ETA)
    bins = [np.searchsorted(e, x, side="right") - 1 for e, x in zip(edges, (pt, eta), strict=True)]
    return factors(scale)[tuple(bins)]


@pytest.fixture
def declared(path, monkeypatch):
    """The corrections as a feature, of objects, as a cut's column and as a systematic."""
    from analysis import declarations, features

    each = corrected(path, "by_jets", "lepPt", "Sum(jet_SG)")
    made = (
        ("sf", corrected(path, "lepton_id", *LEPTON, "up")),
        ("both", corrected(path, "both", *LEPTON, "up")),
        ("jets", corrected(path, "by_jets", "lepPt_0", "Sum(jet_SG)")),
        ("each", f"Take({each}, leptons)[2]"),
        ("product", f"Product(Take({corrected(path, 'by_flavour', 'lepFlavor')}, leptons))"),
        ("whole", corrected(path, "by_flavour", "1.0f * lepFlavor[leptons[0]]")),
        ("eta", LEPTON[1]),
    )
    known = [features.Feature(f"x_{n}", e, "", "", features.MOMENTUM) for n, e in made]
    monkeypatch.setattr(features, "FEATURES", (*features.FEATURES, *known))
    trigger = Systematic(
        "trigger",
        "Trigger",
        weighted(corrected(path, "lepton_id", *LEPTON, "up")),
        weighted(corrected(path, "lepton_id", *LEPTON, "down")),
    )
    monkeypatch.setattr(declarations, "SYSTEMATICS", (trigger,))


def test_values_are_those_of_numpy_in_the_compiled_and_the_plain_chain(
    declared, run_here, tmp_path
):
    words = ("-s", "WZ", "--vary", "trigger")
    for name, more in (("one", ()), ("two", ("--plain",))):
        outcome = run_here(*words, *more, "-o", tmp_path / name)
        assert (outcome.status, outcome.err) == (0, "")
    table = read_table(tmp_path / "one", "WZ")
    assert len(table) > 100
    sf = expected(table.lepPt_0.to_numpy("f4"), table.x_eta.to_numpy("f4"), SCALES["up"])
    np.testing.assert_array_equal(table.x_sf, sf.astype("f4"))
    assert len(np.unique(sf)) > 5
    np.testing.assert_array_equal(table.x_both, (2 * sf).astype("f4"))
    for name, pt in (("jets", table.lepPt_0), ("each", table.lepPt_2)):
        by_jets = (pt.astype("f8") * (1 + 0.01 * table.n_jet)).astype("f4")
        np.testing.assert_array_equal(table[f"x_{name}"], by_jets)
    muons = table.n_muo.to_numpy()
    np.testing.assert_array_equal(table.x_product, 0.75**muons * 1.25 ** (3 - muons))
    first = np.where(table.flcomp < 3, 1.25, 0.75)
    np.testing.assert_array_equal(table.x_whole, first)
    paths = ["hdf5/WZ_3lep_df_forML_bkg_signal_fromRDF.hdf5"]
    paths += [str(p.relative_to(tmp_path / "one")) for p in (tmp_path / "one").rglob("*.root")]
    for each in paths:
        one, two = ((tmp_path / name / each).read_bytes() for name in ("one", "two"))
        assert one == two, each
    from analysis.results import Results

    results = Results(tmp_path / "one")
    region = next(iter(results.regions))
    pt, eta = (table[n].to_numpy("f4") for n in ("lepPt_0", "x_eta"))
    for direction in ("up", "down"):
        histogram = results.histogram(region, "n_jet", "WZ", f"trigger_{direction}")
        varied = table.wgt_SG * expected(pt, eta, SCALES[direction])
        assert histogram.sumw.sum() == pytest.approx(varied.sum(), rel=1e-12)


@pytest.mark.slow
def test_expression_changes_with_the_content_and_a_kept_product_is_made_again(path, tmp_path):
    """In processes of their own, as a user would."""
    here = tmp_path / "checkout"
    ignored = shutil.ignore_patterns("__pycache__", "demo")
    for part in ("analysis", "helpers"):
        shutil.copytree(DEMO.parents[1] / part, here / part, ignore=ignored)
    (here / "analysis" / "demo").symlink_to(DEMO)
    shutil.copy(DEMO.parents[1] / "run_rdf.py", here)
    with open(here / "analysis" / "features.py", "a") as file:
        file.write(
            "from analysis.corrections import corrected\n"
            f"X = corrected('analysis/sf.json', 'lepton_id', *{LEPTON!r}, 'up')\n"
            'FEATURES = (*FEATURES, Feature("x", X, "", "", MOMENTUM))\n'
        )
    words = ("-s", "WZ", "-j", "1", "-o", tmp_path / "out")
    outcome = run_program(*words, folder=here)
    assert outcome.status == 1
    where = here / "analysis/sf.json"
    assert outcome.err == f"m3l: corrections {where} cannot be read: No such file or directory\n"
    assert run_program("--list", folder=here).status == 0  # what is not used disturbs nobody
    means = []
    for up in (1.02, 1.02, 1.5):
        where.write_text(json.dumps(corrections(up)))
        outcome = run_program(*words, folder=here)
        assert outcome.status == 0, outcome.err
        means.append(read_table(tmp_path / "out", "WZ").x.mean())
        if len(means) == 2:
            assert "is up to date" in outcome.out
    assert means[0] == means[1]
    assert means[2] / means[0] == pytest.approx(1.5 / 1.02)
    printed = run_program("--chain", "WZ", folder=here)
    script = tmp_path / "chain.py"
    script.write_text(printed.out)
    assert "keep_corrections(" in printed.out
    outcome = run_program("--chain", "WZ", "--cpp", folder=here)
    assert (outcome.status, outcome.err) == (
        1,
        "m3l: --cpp prints no chain with corrections, which take Python\n",
    )
    record = read_json(tmp_path / "out" / "run.json")
    assert "analysis/sf.json" in json.dumps(record["features"])


def test_key_is_of_content_and_name(path, tmp_path):
    key = read_correction(str(path), "lepton_id").key
    other = tmp_path / "moved.json"
    shutil.copy(path, other)
    assert read_correction(str(other), "lepton_id").key == key
    other = tmp_path / "packed.json.gz"
    other.write_bytes(gzip.compress(path.read_bytes()))
    assert read_correction(str(other), "lepton_id").key == key
    other = tmp_path / "changed.json"
    other.write_text(json.dumps(corrections(1.03)))
    keys = {read_correction(str(p), n).key for p in (path, other) for n in ("lepton_id", "both")}
    assert len(keys) == 4
    expression = corrected(path, "by_jets", "x", 2)
    key = read_correction(str(path), "by_jets").key
    assert expression == f'correctionFactor("{path}", "by_jets", {key:#018x}, x, 2)'
    assert mentioned(f"1 + {expression}") == [(str(path), "by_jets", key)]


@pytest.mark.parametrize(
    "name, inputs, message",
    [
        ("lepton_idd", (), "no correction 'lepton_idd', did you mean 'lepton_id'.: there are any"),
        ("lepton_id", ("x", "up"), "has the inputs pt, eta, direction: 2 are given"),
        ("lepton_id", ("x", "y", "upp"), "'upp' is no direction, .*did you mean 'up'"),
        ("it's", (), "no quotes"),
    ],
)
def test_wrong_declaration_is_said_where_it_is_used(path, name, inputs, message):
    expression = corrected(path, name, *inputs)
    with pytest.raises(DeclarationError, match=message):
        mentioned(repr(f"1 * {expression}"))
    assert corrected(path, "any", "whatever").endswith('"whatever")')  # there is a default


@pytest.mark.parametrize(
    "content, message",
    [
        (b"{", "is no file of correctionlib"),
        (b'{"corrections": [{"name": 1}]}', "is no file of correctionlib"),
        (b"[]", "is no file of correctionlib"),
        (b"\xff\xfe", "is no file of correctionlib"),
    ],
)
def test_file_of_something_else(tmp_path, content, message):
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        mentioned(corrected(path, "a", "x"))
    path = tmp_path / "bad.json.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read"):
        mentioned(corrected(path, "a", "x"))


def test_what_correctionlib_refuses_is_one_line(ROOT, tmp_path):
    from analysis.scale_factors import keep_corrections

    content = corrections()
    content["corrections"][0]["data"]["content"][0]["value"]["content"].pop()
    path = tmp_path / "short.json"
    path.write_text(json.dumps(content))
    expression = corrected(path, "lepton_id", "x", "y", "up")
    with pytest.raises(InputError, match=r"^correction 'lepton_id' of \S+: .*runtime_error: "):
        keep_corrections(expression)


def test_record_of_another_content_is_refused(ROOT, path):
    from analysis.scale_factors import keep_corrections

    with pytest.raises(InputError, match="'any' of .* has changed since it was declared"):
        keep_corrections(f'correctionFactor("{path}", "any", 0x0123456789abcdef, "up")')


def test_program_without_correctionlib_says_so(ROOT, path, monkeypatch):
    import sys

    from analysis.scale_factors import keep_corrections, load_correctionlib

    load_correctionlib.cache_clear()
    monkeypatch.setitem(sys.modules, "correctionlib", None)
    content = corrections(1.2345)
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"sf.json needs correctionlib: pip install '.\[stats\]'$"):
        keep_corrections(corrected(path, "any", "up"))


@pytest.mark.slow
def test_event_without_a_value_ends_the_run_with_one_line(path, run_here, tmp_path, monkeypatch):
    from analysis import features

    made = corrected(path, "lepton_id", "lepPt_0", "100", "up")
    feature = features.Feature("x_sf", made, "", "", features.MOMENTUM)
    monkeypatch.setattr(features, "FEATURES", (*features.FEATURES, feature))
    for more in ((), ("--plain",)):
        outcome = run_here("-s", "WZ", *more, "-o", tmp_path / "out")
        (line,) = outcome.lines
        assert outcome.status == 1
        assert line.startswith(f"m3l: sample 'WZ': correction 'lepton_id' of {path} has no value ")
        assert ", 100.000000, up): " in line or ", 100, up): " in line


def test_unknown_correction_and_arrays_of_different_lengths_are_refused(ROOT, path):
    from analysis.scale_factors import keep_corrections

    with pytest.raises(Exception, match="'a' of b is not known to this process"):
        ROOT.m3l.correctionFactor("b", "a", 7, 1.0)
    correction = read_correction(str(path), "by_jets")
    keep_corrections(correction.expression(["x", "y"]))
    pt, jets = ROOT.RVecF([50, 40]), ROOT.RVecI([1, 2])
    made = ROOT.m3l.correctionFactor(str(path), "by_jets", correction.key, pt, jets)
    assert list(made) == [50 * (1 + 0.01 * 1), 40 * (1 + 0.01 * 2)]
    with pytest.raises(Exception, match=r"correctionFactor: arrays of different lengths \(2, 3\)"):
        ROOT.m3l.correctionFactor("b", "by_jets", correction.key, pt, ROOT.RVecI([1, 2, 3]))
    assert list(ROOT.m3l.correctionFactor("b", "by_jets", correction.key, ROOT.RVecF(), 2)) == []


def test_threads_get_what_one_does(ROOT, path):
    from analysis.scale_factors import keep_corrections

    correction = read_correction(str(path), "lepton_id")
    keep_corrections(correction.expression(["x", "y", '"up"']))
    assert ROOT.gInterpreter.Declare("""
        #include <thread>
        bool threadsAgree(unsigned long key, int threads) {
           std::vector<std::vector<double>> found(threads);
           std::vector<std::thread> running;
           for (auto &mine : found)
              running.emplace_back([&mine, key] {
                 for (int n = 0; n < 20000; ++n)
                    mine.push_back(m3l::correctionFactor("sf.json", "lepton_id", key, 0.01 * n,
                                                         0.0001 * n, n % 3 ? "up" : "down"));
              });
           for (auto &thread : running)
              thread.join();
           for (const auto &each : found)
              if (each != found[0])
                 return false;
           return found[0].size() == 20000;
        }
    """)
    assert ROOT.threadsAgree(correction.key, 4)
