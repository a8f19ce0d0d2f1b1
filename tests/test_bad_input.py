"""What a user's mistake gets: the right line, exit status 1, and no product."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from array import array
from dataclasses import replace

import ntuples
import pytest
import uproot
from conftest import (
    DEMO,
    REPOSITORY,
    SAFETY_NET,
    assert_nothing_left,
    read_json,
    read_table,
    run_code,
    run_program,
    slow,
)
from ntuples import three_leptons

from analysis import systematics
from analysis.output import PARTIAL


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def made(ROOT, tmp_path):
    """A good ntuple of three events, and a samples file `made.toml` that uses it."""
    ntuples.write(tmp_path / "made.root", [three_leptons(number=k) for k in range(3)])
    ntuples.samples_file(tmp_path / "made.toml", {"name": "made", "files": ["made.root"]})
    return tmp_path / "made.toml"


@pytest.fixture
def refused(run_here, out):
    """Run with these words; returns the lines of the complaint, without the leading `m3l: `."""

    def call(*words):
        outcome = run_here("-o", out, *words)
        assert outcome.status == 1, outcome
        assert "Traceback" not in outcome.err
        if out.is_dir():
            assert_nothing_left(out)
        assert all(line.startswith("m3l: ") for line in outcome.lines), outcome.err
        return [line.removeprefix("m3l: ") for line in outcome.lines]

    return call


# --- the samples file -------------------------------------------------------------------------


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def test_typo_in_a_key(refused, made):
    change(made, "xsec_pb", "xsec_bp")
    assert refused("--samples", made) == [
        f"{made}: sample 'made': unknown key 'xsec_bp', did you mean 'xsec_pb'?"
    ]


def test_typo_in_the_luminosity(refused, made):
    change(made, "luminosity_ifb", "luminosity_fb")
    lines = refused("--samples", made)
    assert lines[0] == f"{made}: unknown key 'luminosity_fb', did you mean 'luminosity_ifb'?"
    assert len(lines) == 2 and "luminosity_ifb is missing" in lines[1]


def test_unknown_schema(refused, made):
    change(made, '"susy"', '"susi"')
    assert refused("--samples", made) == [
        f"{made}: sample 'made': schema must be one of susy, opendata2020, opendata2025, nanoaod, "
        "not 'susi', did you mean 'susy'?"
    ]


def test_glob_without_match(refused, made):
    change(made, "made.root", "none*.root")
    assert refused("--samples", made) == [f"{made}: sample 'made': no file matches 'none*.root'"]


def test_samples_file_that_is_missing(refused, tmp_path):
    path = tmp_path / "missing.toml"
    assert refused("--samples", path) == [f"samples file {path}: No such file or directory"]


def test_samples_file_that_is_not_toml(refused, tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text("[[sample]\n")
    (line,) = refused("--samples", path)
    assert line.startswith(f"samples file {path}: not valid TOML, ") and "line 1" in line


def test_all_problems_are_told_at_once(refused, made, tmp_path):
    ntuples.samples_file(
        made,
        {"name": "made", "files": ["made.root"], "kind": "backgruond"},
        {"name": "two words", "files": ["made.root"]},
        {"name": "twice", "files": ["made.root"]},
        {"name": "twice", "files": ["made.root"]},
        {"name": "typed", "files": "made.root", "k_factor": "1"},
    )
    text = "\n".join(refused("--samples", made))
    for part in (
        "kind must be one of data, background, signal, not 'backgruond', did you mean 'b",
        "'two words': name must be a name of at most 100 letters, digits and _ . + -, the first",
        "the name 'twice' is given to 2 samples",
        "'typed': files must be a list of strings, not 'made.root'",
        "'typed': k_factor must be a number above 0, not '1'",
    ):
        assert part in text
    assert len(text.splitlines()) == 5


# --- names on the command line ----------------------------------------------------------------


def test_unknown_sample(refused):
    (line,) = refused("-s", "ttbarr")
    assert line.startswith("no sample is called 'ttbarr', did you mean 'ttbar'? (known: WZ, ZZ,")


def test_unknown_region(refused):
    (line,) = refused("-r", "SR3")
    assert line.startswith("no region is called 'SR3', did you mean 'SR3L'? (known: SR3L, SR2L, ")


def test_unknown_layout(refused):
    assert refused("--layout", "T3N6") == [
        "no layout is called 'T3N6', did you mean 'T3N5'? (known: T3N5, T4N5, T5N10)"
    ]


@pytest.mark.parametrize(
    "words",
    [
        ("--nonsense",),
        ("--input", "."),
        ("--schema", "susy"),
        ("--input", ".", "--schema", "susi"),
        ("-j", "0"),
        ("-j", "two"),
        ("-n", "0"),
        ("-n", "-5"),
        ("--list", "--check"),
        ("--samples", "a", "--rerun", "b"),
    ],
)
def test_wrong_usage_is_status_two(capsys, words):
    import run_rdf

    with pytest.raises(SystemExit) as exit:
        run_rdf.main(list(words))
    assert exit.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("m3l: ") and line.endswith("; see run_rdf.py --help")


def test_folder_without_ntuples(refused, tmp_path):
    (tmp_path / "in").mkdir()
    assert refused("--input", tmp_path / "in", "--schema", "susy") == [
        f"--input {tmp_path}/in: no file named *_merged_processed.root in it"
    ]
    assert refused("--input", tmp_path / "none", "--schema", "susy") == [
        f"--input {tmp_path}/none: no such folder"
    ]


def test_folder_with_a_file_of_another_tree(refused, made, tmp_path):
    path = tmp_path / "WZ_merged_processed.root"
    shutil.copy(tmp_path / "made.root", path)
    assert refused("--input", tmp_path, "--schema", "susy") == [
        f"{path} has neither tree 'WZ_NoSys' nor 'WZ' (it has nominal)"
    ]


# --- files ------------------------------------------------------------------------------------


def test_file_without_the_tree(refused, made, tmp_path):
    change(made, '"nominal"', '"nominale"')
    assert refused("--samples", made) == [
        f"sample 'made': {tmp_path}/made.root has no tree 'nominale', did you mean 'nominal'?"
    ]


def test_file_that_is_no_root_file(refused, made, tmp_path):
    (tmp_path / "made.root").write_text("not a ROOT file, but long enough to look at" * 10)
    (line,) = refused("--samples", made)
    assert line.startswith(f"sample 'made': {tmp_path}/made.root cannot be opened")


def test_empty_file(refused, made, tmp_path):
    (tmp_path / "made.root").write_bytes(b"")
    (line,) = refused("--samples", made)
    assert line.startswith(f"sample 'made': {tmp_path}/made.root cannot be opened")


@pytest.mark.parametrize("part", [0.3, 0.9])
def test_truncated_file(refused, made, tmp_path, part):
    content = (DEMO / "ttZ.root").read_bytes()
    (tmp_path / "made.root").write_bytes(content[: int(part * len(content))])
    (line,) = refused("--samples", made)
    assert line.startswith(f"sample 'made': {tmp_path}/made.root ")


def test_file_that_was_not_closed(ROOT, refused, made, tmp_path):
    writing = tmp_path / "writing.root"
    file = ROOT.TFile(str(writing), "RECREATE")
    tree = ROOT.TTree("nominal", "")
    number = array("f", [0])
    tree.Branch("met_Et", number, "met_Et/F")
    for _ in range(100):
        tree.Fill()
    tree.FlushBaskets()
    tree.AutoSave()
    shutil.copy(writing, tmp_path / "made.root")
    file.Close()
    assert refused("--samples", made) == [
        f"sample 'made': {tmp_path}/made.root was not closed by its writer and may hold a part of "
        "its events only"
    ]


def corrupt(path, branch, which):
    """Overwrite the middle of a basket."""
    with uproot.open(path) as file:
        seek = file["nominal"][branch].member("fBasketSeek")
        size = file["nominal"][branch].member("fBasketBytes")
        place, length = int(seek[which]), int(size[which])
    assert place > 0
    with open(path, "r+b") as file:
        file.seek(place + length // 2)
        file.write(b"\x5a" * (length // 3))


@pytest.mark.parametrize("branch", ["lepPt", slow("genWeight"), slow("jetM")])
def test_corrupt_basket_in_the_middle_of_a_file(refused, made, tmp_path, branch):
    shutil.copy(DEMO / "WZ.root", tmp_path / "made.root")
    corrupt(tmp_path / "made.root", branch, 0)
    (line,) = refused("--samples", made)
    assert line.startswith("sample 'made': ")


def test_corrupt_second_file_of_a_sample(refused, made, tmp_path):
    for name in ("a", "b"):
        shutil.copy(DEMO / "WZ.root", tmp_path / f"{name}.root")
    corrupt(tmp_path / "b.root", "lepEta", 0)
    change(made, '"made.root"', '"a.root", "b.root"')
    (line,) = refused("--samples", made)
    assert line.startswith("sample 'made': ")


def test_file_that_is_listed_twice_would_count_twice(refused, made, tmp_path):
    change(made, '"made.root"', '"made.root", "*.root"')
    (line,) = refused("--samples", made)
    assert "made.root" in line and "twice" in line


# --- branches ---------------------------------------------------------------------------------


def with_type(branch, kind, value):
    return ntuples.SUSY | {branch: (kind, value)}


def test_number_where_a_list_is_expected(refused, made, tmp_path):
    branches = with_type("lepPt", "F", lambda e: 1.0)
    ntuples.write(tmp_path / "made.root", [three_leptons()], branches)
    assert refused("--samples", made) == [
        "sample 'made': branch 'lepPt' is of type Float_t, but schema 'susy' expects "
        "a list of numbers per event for lepPt"
    ]


def test_list_where_a_number_is_expected(refused, made, tmp_path):
    branches = with_type("met_Et", "float", lambda e: [1.0])
    ntuples.write(tmp_path / "made.root", [three_leptons()], branches)
    (line,) = refused("--samples", made)
    assert line.startswith("sample 'made': branch 'met_Et' is of type ")
    assert line.endswith("but schema 'susy' expects one number per event for met_Et")


def test_missing_branch(refused, made, tmp_path):
    ntuples.write(tmp_path / "made.root", [three_leptons()], without=("lepCharge",))
    (line,) = refused("--samples", made)
    assert line.startswith(
        "sample 'made': no branch 'lepCharge', which schema 'susy' needs for lepCharge"
    )


def test_second_file_with_a_branch_of_another_type(refused, made, tmp_path):
    branches = with_type("met_Et", "D", lambda e: 1.0)
    ntuples.write(tmp_path / "more.root", [three_leptons()], branches)
    change(made, '"made.root"', '"made.root", "more.root"')
    assert refused("--samples", made) == [
        f"sample 'made': {tmp_path}/more.root: branch 'met_Et' is of type Double_t, "
        f"in {tmp_path}/made.root Float_t"
    ]


def test_second_file_without_a_branch(refused, made, tmp_path):
    ntuples.write(tmp_path / "more.root", [three_leptons()], without=("jetM",))
    change(made, '"made.root"', '"made.root", "more.root"')
    lines = refused("--samples", made)
    assert lines == [
        f"sample 'made': {tmp_path}/more.root has no branch 'jetM', which {tmp_path}/made.root has"
    ]


# --- normalisation and weights ----------------------------------------------------------------


def test_zero_sum_of_weights(refused, made):
    change(made, "sum_of_weights = 1000.0", "sum_of_weights = 0")
    assert refused("--samples", made) == [
        "sample 'made' has a sum of weights of zero and cannot be normalised"
    ]


def test_zero_sum_of_weights_in_the_ntuple(refused, made, tmp_path):
    change(made, "sum_of_weights = 1000.0", "")
    ntuples.write(tmp_path / "made.root", [three_leptons()], sum_of_weights=0.0)
    assert refused("--samples", made) == [
        "sample 'made' has a sum of weights of zero at 'meta:sumw' and cannot be normalised"
    ]


def test_missing_normalisation(refused, made, tmp_path):
    change(made, "xsec_pb = 1.0", "")
    assert refused("--samples", made) == ["sample 'made' has no normalisation: give its xsec_pb"]
    ntuples.samples_file(made, {"name": "made", "files": ["made.root"], "sum_of_weights": None})
    assert refused("--samples", made) == [
        f"sample 'made' has no normalisation: give its sum_of_weights, {tmp_path}/made.root has no "
        "'meta'"
    ]


@pytest.mark.parametrize("words", [(), slow(("--plain",)), ("--drop-bad-events",)])
def test_weight_that_is_not_finite_names_the_sample_and_the_event(refused, made, tmp_path, words):
    cross_sections = {17: 0.0, 23: 1.0, 25: -1.0}  # over 0: NaN and both infinities
    bad = {k: {"XSection": over, "SumWeights": 0.0} for k, over in cross_sections.items()}
    events = [three_leptons(number=k, weights=bad.get(k, {})) for k in range(30)]
    ntuples.write(tmp_path / "made.root", events[::-1], ntuples.opendata(2020), "mini")
    ntuples.samples_file(
        made, {"name": "made", "files": ["made.root"], "schema": "opendata2020", "tree": None}
    )
    assert refused("--samples", made, *words) == [
        "sample 'made': 3 events have no finite weight, first DatasetNumber 500001, "
        "RunNumber 300000, EventNumber 17"
    ]


# --- samples without events -------------------------------------------------------------------


def test_sample_without_entries_is_no_error(run_here, made, tmp_path, out):
    ntuples.write(tmp_path / "none.root", [])
    ntuples.samples_file(
        made,
        {"name": "made", "files": ["made.root"]},
        {"name": "none", "files": ["none.root"]},
    )
    outcome = run_here("--samples", made, "-o", out)
    assert outcome.status == 0
    (line,) = outcome.lines
    assert line.startswith("m3l: warning: sample 'none'")
    empty, full = read_table(out, "none"), read_table(out, "made")
    assert len(empty) == 0 and len(full) == 3
    assert list(empty.columns) == list(full.columns)
    assert [*empty.dtypes] == [*full.dtypes]
    cutflow = read_json(out / "cutflow.json")["SR3L"]["none"]
    assert {(row["entries"], row["sumw"]) for row in cutflow} == {(0, 0.0)}
    with uproot.open(out / "histograms.root") as file:
        histogram = file["SR3L/h_e_T_miss_none"]
        assert histogram.values(flow=True).sum() == 0


def test_sample_of_which_nothing_is_selected_is_no_error(run_here, made, tmp_path, out):
    ntuples.write(tmp_path / "made.root", [three_leptons(leptons=())])
    outcome = run_here("--samples", made, "-o", out)
    assert (outcome.status, outcome.err) == (0, "")
    assert len(read_table(out, "made")) == 0


# --- declarations -----------------------------------------------------------------------------


@pytest.fixture
def declare(monkeypatch):
    """Replace a feature's, an object's or a cut's expression by another."""
    from analysis import features, selection

    def feature(name, expression):
        changed = tuple(
            replace(f, expression=expression) if f.name == name else f for f in features.FEATURES
        )
        monkeypatch.setattr(features, "FEATURES", changed)

    def cut(number, expression):
        region = selection.REGIONS[0]
        cuts = list(region.cuts)
        cuts[number] = replace(cuts[number], expression=expression)
        regions = (replace(region, cuts=tuple(cuts)), *selection.REGIONS[1:])
        monkeypatch.setattr(selection, "REGIONS", regions)

    def object(name, *cuts):
        changed = tuple(replace(o, cuts=cuts) if o.name == name else o for o in selection.OBJECTS)
        monkeypatch.setattr(selection, "OBJECTS", changed)

    return {"feature": feature, "cut": cut, "object": object}


def test_unknown_column_in_a_feature(refused, made, declare):
    declare["feature"]("ht_lep", "Sum(lepPtt[lep_SG])")
    assert refused("--samples", made) == [
        "unknown column 'lepPtt' in feature 'ht_lep' in analysis/features.py, did you mean 'lepPt'?"
    ]


def test_unknown_column_in_a_cut(refused, made, declare):
    declare["cut"](1, "n_lep_GS == 3")
    (line,) = refused("--samples", made)
    assert line.startswith("unknown column 'n_lep_GS' in cut '3 signal' of region 'SR3L' in ")
    assert "did you mean 'n_lep_" in line


def test_unknown_column_in_an_object(refused, made, declare):
    declare["object"]("jet_SG", "jetPT >= 20")
    (line,) = refused("--samples", made)
    assert line == (
        "unknown column 'jetPT' in object 'jet_SG' in analysis/selection.py, did you mean 'jetPt'?"
    )


@pytest.mark.parametrize(
    "kind, name, expression, where",
    [
        ("feature", "ht_lep", "ht_lep + Sum(lepPt)", "feature 'ht_lep' in analysis/features.py"),
        ("object", "jet_SG", "jet_SG", "object 'jet_SG' in analysis/selection.py"),
    ],
)
def test_definition_by_itself(refused, made, declare, kind, name, expression, where):
    declare[kind](name, expression)
    for words in ((), ("--plain",)):
        assert refused("--samples", made, *words) == [f"{where} depends on itself"]


def test_cut_without_an_expression(refused, made, declare):
    declare["cut"](1, " ")
    (line,) = refused("--samples", made)
    assert line.startswith("cut '3 signal' of region 'SR3L' in ")
    assert line.endswith(" has no expression")


@pytest.mark.parametrize("cut", ["20 < met_Et < 200", "-2.5<lepEta[0]<=2.5", "1e2 > abs(m_3l) > m"])
def test_chained_comparison_is_told(refused, made, declare, cut):
    """C++ takes the first one for 0 or 1."""
    declare["cut"](1, f"n_lep_SG == 3 && {cut}")
    lines = refused("--samples", made)
    assert any(f"`{cut}`" in line for line in lines), lines


@pytest.mark.parametrize(
    "cut", ["Sum(lepPt > 20) > 1", "20 < met_Et && met_Et < 200", "static_cast<int>(met_Et) > 2"]
)
def test_other_comparisons_are_none(cut):
    from analysis.plan import CHAINED

    assert not CHAINED.search(cut)


def test_arguments_of_a_type_that_a_function_does_not_take(refused, made, declare):
    declare["feature"]("m_3l", "fourMomenta(lepPt, lepEta)[0].e")
    (line,) = refused("--samples", made)
    assert "'fourMomenta(lepPt, lepEta)', where lepPt is ROOT::VecOps::RVec<float>, lep" in line


def add_region(monkeypatch, **changes):
    from analysis import selection

    region = replace(selection.REGIONS[0], name="mine", **changes)
    monkeypatch.setattr(selection, "REGIONS", (*selection.REGIONS, region))


def add_feature(monkeypatch, **changes):
    from analysis import features

    feature = replace(features.FEATURES[1], **changes)
    monkeypatch.setattr(features, "FEATURES", (*features.FEATURES, feature))


def test_regions_with_the_same_tables(refused, made, monkeypatch):
    add_region(monkeypatch)
    (line,) = refused("--samples", made, "-r", "SR3L", "mine")
    assert line.startswith("regions SR3L, mine have the same tag '3lep', and so the same tables, ")


def test_cuts_without_the_comma_of_a_tuple(refused, made, monkeypatch):
    from analysis import selection

    add_region(monkeypatch, cuts=selection.Cut("MET", "met_Et > 10"), tag="mine")
    (line,) = refused("--samples", made)
    assert line.startswith("the cuts of region 'mine' in analysis/selection.py must be a tuple")


def test_cut_with_the_name_of_the_first_row(refused, made, monkeypatch):
    from analysis import selection

    add_region(monkeypatch, cuts=(selection.Cut("all", "met_Et > 10"),), tag="mine")
    (line,) = refused("--samples", made, "-r", "mine")
    assert line.startswith("'all' is declared twice as a cut of region 'mine'")


def test_feature_that_each_table_has_already(refused, made, monkeypatch):
    add_feature(monkeypatch, name="RunNumber")
    (line,) = refused("--samples", made)
    assert line.startswith("feature 'RunNumber' is a column of all tables without it, ")


def test_feature_with_the_name_of_a_carried_object(refused, made, declare):
    declare["feature"]("lepPt_0", "met_Et * 2")
    (line,) = refused("--samples", made)
    assert line.startswith("feature 'lepPt_0' must be ranked(lepPt, leptons, 0), by which name ")


def test_binning_that_ends_before_it_begins(refused, made, monkeypatch):
    from analysis.features import Binning

    add_feature(monkeypatch, name="mine", binning=Binning(10, 5.0, 5.0))
    (line,) = refused("--samples", made)
    assert line.startswith("the binning of feature 'mine' ends before it begins, ")


def test_sample_with_the_name_of_a_variation(refused, made):
    (name, *_) = (v.name for each in systematics.SYSTEMATICS for v in each.variations)
    blocks = [{"name": n, "files": ["made.root"]} for n in ("made", f"made__{name}")]
    samples = ntuples.samples_file(made, *blocks)
    lines = refused("--samples", samples, "--vary")
    assert (
        f"sample 'made__{name}' has the name of sample 'made' in the systematic variation '{name}'"
    ) in lines


def test_branch_that_one_sample_lacks_is_told(run_here, tmp_path, out):
    events = [three_leptons(number=k) for k in range(3)]
    ntuples.write(tmp_path / "a.root", events)
    others = [replace(event, dataset=2) for event in events]
    ntuples.write(tmp_path / "b.root", others, without=("genWeight",))
    samples = ntuples.samples_file(
        tmp_path / "made.toml",
        {"name": "a", "files": ["a.root"]},
        {"name": "b", "files": ["b.root"]},
    )
    outcome = run_here("--samples", samples, "-o", out)
    assert (outcome.status, outcome.lines) == (
        0,
        [
            "m3l: warning: sample 'b' is without wgt_SG: genWeight: its files lack what others of "
            "their format have"
        ],
    )


@pytest.mark.parametrize("words", [(), slow(("--plain",))], ids=["compiled", "plain"])
def test_element_that_is_not_there(refused, made, declare, run_here, out, words):
    """An array has values behind its end for C++, in each way to run others."""
    declare["feature"]("m_3l", "lepPt[leptons[3]]")
    (line,) = refused("--samples", made, *words)
    assert "an expression asks for [3] of an array that has 3 entries in an event" in line
    declare["feature"]("m_3l", "n_lep_SG > 3 ? lepPt[leptons[3]] : lepPt[lep_SG][2]")
    outcome = run_here("--samples", made, "-o", out, *words)
    assert (outcome.status, outcome.err) == (0, "")
    assert set(read_table(out, "made")["m_3l"]) == {30}


@pytest.mark.parametrize(
    "expression, cpp",
    [
        ("jetPt[jets[0]] + 1", "element(jetPt, element(jets, 0)) + 1"),
        ("Sum(lepPt[lep_SG]) + lepPt[lep_SG][0]", None),
        ("Sum(lepPt[lepPt > 20])", None),
        ("rmm[3] + other.lepPt[0] + local[1]", None),
        ("for (int i : leptons) x += lepPt[i];", "for (int i : leptons) x += element(lepPt, i);"),
        ("lepPt[0", "element(lepPt, 0)"),
    ],
)
def test_elements_are_looked_for(expression, cpp):
    from analysis.plan import with_checked_elements

    columns = ("jetPt", "jets", "lepPt", "lep_SG", "leptons", "rmm")
    expected = cpp or expression.replace("lepPt[lep_SG][0]", "element(lepPt[lep_SG], 0)")
    assert with_checked_elements(expression, columns, ("lep_SG",)) == expected


# These are compiled: the interpreter is not the same after code that it refused.


def test_unknown_function_names_the_declaration(refused, made, declare):
    declare["feature"]("flcomp", "flavorComp3L(Take(lepFlavor, leptons))")
    assert refused("--samples", made) == [
        "feature 'flcomp' in analysis/features.py: unknown name 'flavorComp3L', "
        "did you mean 'flavourComp3L'?"
    ]


@pytest.mark.parametrize("expression", ["Sum(lepPt[lep_SG]", "Sum(lepPt[lep_SG]) +"])
def test_expression_that_is_not_cpp_names_the_declaration(refused, made, declare, expression):
    declare["feature"]("ht_lep", expression)
    (line,) = refused("--samples", made)
    assert line.startswith("feature 'ht_lep' in analysis/features.py: ")


def test_expression_with_wrong_arguments_names_the_declaration(refused, made, declare):
    declare["feature"]("m_3l", "trileptonMass(lepPt, lepEta)")
    (line,) = refused("--samples", made)
    assert line.startswith("feature 'm_3l' in analysis/features.py: ")


def test_feature_that_is_no_number_names_the_declaration(refused, made, declare):
    declare["feature"]("ht_lep", "lepPt[lep_SG]")
    (line,) = refused("--samples", made)
    assert line.startswith("feature 'ht_lep' in analysis/features.py: ")


@pytest.mark.parametrize(
    "expression, message",
    [
        (
            "flavorComp3L(Take(lepFlavor, leptons))",
            "unknown name 'flavorComp3L', did you mean 'flavourComp3L'?",
        ),
        ("Take(lepFlavor, leptons)", ""),
    ],
)
def test_interpreter_names_the_declaration_as_well(made, out, expression, message):
    code = f"""
from dataclasses import replace
import run_rdf
from analysis import features
first, *others = features.FEATURES
features.FEATURES = (replace(first, expression={expression!r}), *others)
run_rdf.main(["--samples", {str(made)!r}, "-o", {str(out)!r}, "-j", "1", "--plain"])
"""
    done = run_code(code)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"m3l: feature 'flcomp' in analysis/features.py: {message}")


def test_expressions_in_a_circle(refused, made, declare):
    declare["object"]("ele_BL", "lepFlavor == 1", "ele_SG")
    (line,) = refused("--samples", made)
    assert "depends on itself: " in line and "ele_SG -> ele_BL" in line


def test_name_that_is_declared_twice(refused, made, monkeypatch):
    from analysis import features

    monkeypatch.setattr(features, "FEATURES", (*features.FEATURES, features.FEATURES[0]))
    (line,) = refused("--samples", made)
    assert line.startswith("'flcomp' is declared twice as a column")


def test_feature_with_the_name_of_an_object_is_declared_twice(refused, made, monkeypatch):
    from analysis import features

    feature = replace(features.FEATURES[1], name="jet_SG")
    monkeypatch.setattr(features, "FEATURES", (*features.FEATURES, feature))
    (line,) = refused("--samples", made, "--plain")
    assert line.startswith("'jet_SG' is declared twice")


def test_check_finds_the_same_mistakes(refused, made, declare):
    declare["cut"](0, "n_lep_BLL == 3")
    (line,) = refused("--samples", made, "--check")
    assert line.endswith("did you mean 'n_lep_BL'?")


# --- the output folder ------------------------------------------------------------------------


def test_output_folder_that_is_a_file(run_here, made, tmp_path):
    (tmp_path / "file").write_text("mine")
    outcome = run_here("--samples", made, "-o", tmp_path / "file")
    assert outcome.status == 1
    assert outcome.lines == [f"m3l: output folder {tmp_path}/file cannot be written: File exists"]
    assert (tmp_path / "file").read_text() == "mine"


def test_output_folder_inside_of_a_file(run_here, made, tmp_path):
    (tmp_path / "file").write_text("mine")
    outcome = run_here("--samples", made, "-o", tmp_path / "file" / "out")
    assert outcome.status == 1
    assert outcome.lines == [
        f"m3l: output folder {tmp_path}/file/out cannot be written: Not a directory"
    ]


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system of one size or another; needs the right to do so."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        try:
            done = subprocess.run(command, capture_output=True)
        except OSError:
            pytest.skip("there is no mount command")
        if done.returncode:
            pytest.skip("file systems cannot be mounted here")
        return folder

    yield mount
    subprocess.run(["umount", str(folder)], capture_output=True)


def test_read_only_disk(run_here, made, small_disk):
    folder = small_disk("ro,size=1m")
    outcome = run_here("--samples", made, "-o", folder / "out")
    assert outcome.status == 1
    assert outcome.lines == [
        f"m3l: output folder {folder}/out cannot be written: Read-only file system"
    ]


@pytest.mark.parametrize("kilobytes", [64, 400, 1200])
def test_full_disk(run_here, small_disk, kilobytes):
    folder = small_disk(f"size={kilobytes}k")
    outcome = run_here("-s", "WZ", "ZZ", "-o", folder / "out")
    assert outcome.status == 1, outcome
    (line,) = outcome.lines
    assert line.startswith(f"m3l: output folder {folder}/out cannot be written: ")
    kept = [path.name for path in (folder / "out").glob("*")]
    assert kept in ([], [PARTIAL])  # with samples that are complete
    assert [path.name for path in (folder / "out").glob(f"{PARTIAL}/*")] == ["samples"] * len(kept)


def test_failed_run_leaves_the_products_of_the_one_before(run_here, made, tmp_path, out):
    assert run_here("--samples", made, "-o", out).status == 0
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    ntuples.write(tmp_path / "made.root", [three_leptons(weights={"genWeight": float("nan")})])
    assert run_here("--samples", made, "-o", out).status == 1
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


# --- interruptions ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def long_sample(tmp_path_factory):
    """A sample whose event loop takes seconds."""
    folder = tmp_path_factory.mktemp("long")
    content = (DEMO / "WZ.root").read_bytes()
    for k in range(100):  # a byte behind the end makes each another file
        (folder / f"{k}.root").write_bytes(content + bytes([k]))
    return ntuples.samples_file(folder / "long.toml", {"name": "long", "files": ["*.root"]})


@pytest.mark.parametrize("name", ["SIGINT", slow("SIGTERM")])
def test_interruption_leaves_nothing_behind(long_sample, out, name):
    words = ["--samples", long_sample, "-o", out, "-j", "1", "--plain"]
    process = subprocess.Popen(
        [sys.executable, "run_rdf.py", *map(str, words)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # pytest may have been started where interrupts are ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    end = time.monotonic() + SAFETY_NET
    while not (out / PARTIAL).exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.2)
    assert process.poll() is None, process.communicate()
    process.send_signal(getattr(signal, name))
    printed = process.communicate(timeout=SAFETY_NET)
    assert process.returncode in (130, 143), printed
    assert "Traceback" not in printed[1]
    assert len(printed[1].splitlines()) == 1 and printed[1].startswith("m3l: ")
    assert_nothing_left(out)


# --- the cache and the compiler ---------------------------------------------------------------


def words_for(made, out):
    return ("--samples", made, "-o", out, "-j", "1")


@pytest.mark.slow
def test_cache_that_cannot_be_written_gives_one_warning(made, tmp_path, out):
    (tmp_path / "file").write_text("")
    outcome = run_program(
        *words_for(made, out), "--plain", M3L_CACHE=str(tmp_path / "file" / "cache")
    )
    assert outcome.status == 0
    (line,) = outcome.lines
    assert re.match(rf"m3l: warning: cache folder {tmp_path}/file/cache cannot be written", line)
    assert len(read_table(out, "made")) == 3


def tools_without_compiler(folder):
    """A folder with all programs of PATH but compilers."""
    folder.mkdir()
    for place in os.environ["PATH"].split(os.pathsep):
        for program in os.listdir(place) if os.path.isdir(place) else ():
            if not re.search(r"\+\+|gcc|clang|^cc$|^c99|^c89", program):
                with contextlib.suppress(FileExistsError):
                    (folder / program).symlink_to(os.path.join(place, program))
    return folder


def our_lines(outcome):
    """ROOT itself complains as well where there is no compiler."""
    return [line for line in outcome.lines if line.startswith("m3l: ")]


@pytest.mark.slow
def test_machine_without_a_compiler_interprets_with_one_warning(made, tmp_path, out):
    tools = tools_without_compiler(tmp_path / "bin")
    outcome = run_program(*words_for(made, out), PATH=str(tools), M3L_CACHE=str(tmp_path / "cache"))
    assert outcome.status == 0, outcome
    (line,) = our_lines(outcome)
    assert line.startswith("m3l: warning: ") and "interpreted, which is slower" in line
    assert len(read_table(out, "made")) == 3
    assert list((tmp_path / "cache").rglob("*.so")) == []


@pytest.mark.slow
def test_compiler_that_is_killed_gives_one_warning_and_no_library(made, tmp_path, out):
    tools = tools_without_compiler(tmp_path / "bin")
    # ROOT asks the compiler where its headers are; that works.
    script = f'case " $* " in *" -E "*) exec {shutil.which("c++")} "$@";; esac\nkill -9 $$\n'
    for compiler in ("c++", "g++"):
        (tools / compiler).write_text(f"#!/bin/sh\n{script}")
        (tools / compiler).chmod(0o755)
    outcome = run_program(*words_for(made, out), PATH=str(tools), M3L_CACHE=str(tmp_path / "cache"))
    assert outcome.status == 0, outcome
    (line,) = our_lines(outcome)
    assert line.startswith("m3l: warning: ") and "interpreted, which is slower" in line
    assert len(read_table(out, "made")) == 3
    assert list((tmp_path / "cache").rglob("*.so")) == []
