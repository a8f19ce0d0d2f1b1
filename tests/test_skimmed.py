"""Skims that a run refuses, folders and files that cannot be, and skims of batch jobs."""

import json
import os
import re
from dataclasses import replace

import ntuples
import pytest
from batch import submit_program
from conftest import read_json, run_program
from ntuples import Lepton, three_leptons
from test_run import assert_same_results
from test_skim import add_cut, assert_same_bytes, entries

from analysis import selection
from analysis.features import Feature
from analysis.files import lock
from analysis.selection import Cut, Object
from analysis.systematics import Systematic, weighted


@pytest.fixture(scope="module")
def skim(tmp_path_factory):
    """The samples file of a skim of two regions of a sample; not to be changed."""
    folder = tmp_path_factory.mktemp("skim") / "out"
    words = ("-s", "WZ", "-r", "SR3L", "CR_WZ", "--vary", "lepton_id", "jet_scale", "-j", "1")
    outcome = run_program("--skim", folder, *words)
    assert (outcome.status, outcome.err) == (0, "")
    return folder / "samples.toml"


@pytest.fixture
def complaint(complaints, skim):
    """What is different, as a run on the skim says."""

    def call(*words):
        line, *_ = complaints("--samples", skim, *words)
        where = re.escape(f"m3l: sample 'WZ': {skim.parent / 'WZ.root'} is a skim ")
        found = re.fullmatch(f"{where}(.*): make the skim again(.*)", line)
        assert found, line
        return found[1].removeprefix("of other declarations: ")

    return call


# --- declarations that have changed -----------------------------------------------------------


def change_cut(monkeypatch, number, expression):
    first, *others = selection.REGIONS
    cuts = [*first.cuts]
    cuts[number : number + 1] = [replace(cuts[number], expression=expression)] * bool(expression)
    monkeypatch.setattr(selection, "REGIONS", (replace(first, cuts=tuple(cuts)), *others))


def test_cut(complaint, monkeypatch):
    change_cut(monkeypatch, 1, "n_lep_SG >= 2")
    expected = "cut '3 signal' of region 'SR3L' was `n_lep_SG == 3`, is `n_lep_SG >= 2`"
    assert complaint() == expected


def test_cut_that_is_gone(complaint, monkeypatch):
    change_cut(monkeypatch, 2, "")
    assert complaint() == "cut '2 with pT > 20' of region 'SR3L' is gone"


def test_cut_that_comes_before_others(complaint, monkeypatch):
    add_cut(monkeypatch, Cut("ETmiss", "met_Et > 20"), 1)
    assert complaint() == ("cut '3 signal' of region 'SR3L' was `n_lep_SG == 3`, is `met_Et > 20`")


def change_object(monkeypatch, name, *cuts):
    declared = tuple(Object(o.name, o.of, cuts) if o.name == name else o for o in selection.OBJECTS)
    monkeypatch.setattr(selection, "OBJECTS", declared)


def test_object_that_a_cut_needs(complaint, monkeypatch):
    change_object(monkeypatch, "lep_SG", "ele_SG")
    assert complaint() == (
        "object 'lep_SG' in analysis/selection.py was `(ele_SG || muo_SG)`, is `(ele_SG)`"
    )


def test_object_that_no_cut_needs_may_change(skim, runs, monkeypatch):
    change_object(monkeypatch, "pho_SG", "phoPt >= 40")
    assert_same_bytes(runs("--samples", skim), runs("-s", "WZ"))


def test_weight(complaint, monkeypatch):
    from analysis import plan, schemas

    changed = replace(schemas.SUSY, weights=schemas.SUSY.weights[1:])
    for module in (schemas, plan):
        monkeypatch.setitem(module.SCHEMAS, "susy", changed)
    assert complaint().startswith(
        "weights of schema 'susy' in analysis/schemas.py was `normalisation * "
        "scaleFactorProduct(genWeight, eventWeight,"
    )


def test_luminosity_by_campaign(complaint, skim, tmp_path, complaints):
    other = skim.with_name("campaigns.toml")
    other.write_text(skim.read_text().replace("luminosity_ifb = 3.2", 'luminosity_ifb = "run2"'))
    (line,) = complaints("--samples", other)
    assert "campaignLuminosity(RandomRunNumber)`: make the skim again" in line


def test_region(complaint):
    assert complaint("-r", "SR3L", "SR2L") == "region 'SR2L' is not in it (it has SR3L, CR_WZ)"


def test_variation(complaint, skim, runs, monkeypatch):
    assert complaint("--vary", "b_tag").endswith(
        "variations b_tag_up, b_tag_down are not in it, --vary makes them"
    )
    wider = Systematic("lepton_id", "", weighted("1 + 0.02 * n_lep_SG"))
    monkeypatch.setattr("analysis.declarations.SYSTEMATICS", (wider,))
    assert complaint("--vary").startswith(
        "'wgt_SG' in variation 'lepton_id_up' was `wgt_SG * (1 + 0.01 * n_lep_SG)`, is"
    )


def test_bad_events(complaint):
    assert complaint("--drop-bad-events") == "it was made without --drop-bad-events"


def test_schema(skim, complaints, tmp_path):
    other = skim.with_name("schema.toml")
    text = skim.read_text().replace('schema = "susy"', 'schema = "opendata2020"')
    other.write_text(text)
    outcome = run_program("--samples", other, "-o", tmp_path / "out")
    assert outcome.status == 1
    assert "schema 'opendata2020' needs" in outcome.err


@pytest.mark.slow
def test_branch_that_nobody_has_read(ROOT, skims, complaints, runs, tmp_path, monkeypatch):
    ntuples.write(
        tmp_path / "a.root",
        [three_leptons(number=1), three_leptons(number=2, leptons=(Lepton(9),))],
        {**ntuples.SUSY, "tau": ("F", lambda e: e.number + 0.5)},
    )
    original = ntuples.samples_file(tmp_path / "a.toml", {"name": "a", "files": ["a.root"]})
    declared = skims("--samples", original)
    everything = skims("--samples", original, "--columns", "all")
    from analysis import features

    more = (*features.FEATURES, Feature("twice", "2 * tau", "", "", None))
    monkeypatch.setattr(features, "FEATURES", more)
    (line,) = complaints("--samples", declared)
    assert line == (
        f"m3l: sample 'a': {declared.parent}/a.root is a skim without the branch 'tau', which "
        "feature 'twice' in analysis/features.py needs: make the skim again with today's "
        "declarations or with --columns all"
    )
    assert_same_bytes(runs("--samples", everything), runs("--samples", original))


# --- folders, options and files ---------------------------------------------------------------


def test_folder_in_use(ROOT, run_here, skim, tmp_path):
    before = {path: path.read_bytes() for path in skim.parent.iterdir()}
    words = ("-s", "Ztt", "--skim")
    outcome = run_here(*words, skim.parent)
    assert outcome.lines == [
        f"m3l: {skim.parent} holds a skim already: remove it or give another folder"
    ]
    assert {path: path.read_bytes() for path in skim.parent.iterdir()} == before
    (tmp_path / "mine.txt").write_text("")
    outcome = run_here(*words, tmp_path)
    assert outcome.lines == [f"m3l: {tmp_path} is in use, it holds mine.txt: give another folder"]
    with lock(tmp_path / "new" / "output"):
        outcome = run_here(*words, tmp_path / "new")
    assert outcome.lines == [
        f"m3l: output folder {tmp_path}/new is in use by another process: wait for it"
    ]
    assert outcome.status == 1


@pytest.mark.parametrize("words", [("-o", "x"), ("--force",), ("--plain",), ("--skip-bad-files",)])
def test_options_that_a_skim_does_not_take(run_here, tmp_path, words):
    outcome = run_here("--skim", tmp_path / "out", *words)
    assert outcome.status == 2 and "--skim does not go with" in outcome.err
    assert run_here("--columns", "all").status == 2


def test_failed_sample_leaves_nothing(ROOT, run_here, tmp_path):
    bad = three_leptons(weights={"genWeight": float("nan")})
    ntuples.write(tmp_path / "good.root", [three_leptons()])
    ntuples.write(tmp_path / "bad.root", [bad])
    listed = ntuples.samples_file(
        tmp_path / "a.toml", *({"name": n, "files": [f"{n}.root"]} for n in ("good", "bad"))
    )
    outcome = run_here("--skim", tmp_path / "out", "--samples", listed)
    assert outcome.status == 1 and "sample 'bad': 1 event has bad values" in outcome.err
    assert [*(tmp_path / "out").iterdir()] == []
    # Those may be left out, then and when the skim is read.
    words = ("--drop-bad-events", "--samples")
    assert run_here("--skim", tmp_path / "out", *words, listed).status == 0
    for name, samples in (("found", tmp_path / "out" / "samples.toml"), ("expected", listed)):
        assert run_here("-o", tmp_path / name, *words, samples).status == 0
    assert_same_bytes(tmp_path / "found", tmp_path / "expected")


def test_record_that_is_none(ROOT, skim, complaints, tmp_path):
    path = tmp_path / "WZ.root"
    path.write_bytes((skim.parent / "WZ.root").read_bytes())
    (tmp_path / "samples.toml").write_text(skim.read_text())
    record = json.loads(str(ROOT.m3l.inspectDataset(str(path), "nominal").skim))
    spoiled = (
        "{",
        json.dumps({**record, "format": 99}),
        json.dumps({**record, "rejected": {"cutflow": {"SR3L": []}, "variations": {}}}),
        json.dumps({**record, "definitions": {"wgt_SG": 1}}),
    )
    for text in spoiled:
        assert str(ROOT.m3l.noteSkim(str(path), text)) == ""
        os.utime(path, ns=(0, 0))
        (line,) = complaints("--samples", tmp_path / "samples.toml")
        assert line.startswith(f"m3l: {path} is no skim of this version (")


def test_full_disk(ROOT, run_here, tmp_path):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        outcome = run_here("--skim", tmp_path / "out", "-s", "WZ")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert outcome.status == 1, outcome
    assert "Traceback" not in outcome.err
    assert not [*(tmp_path / "out").glob("*")]


@pytest.mark.slow
def test_blind_data(skims, runs, complaints):
    words = ("-s", "data", "WZ", "-r", "SR_search")
    made = skims(*words)
    assert_same_bytes(runs("--samples", made, *words[3:]), runs(*words))
    (line,) = complaints("--samples", made, *words[3:], "--unblind")
    assert "'SR_search' is not in it (it has none), with data --unblind makes it: make " in line


# --- batch jobs -------------------------------------------------------------------------------

JOBS = ("local", "-s", "WZ", "Ztt", "-j", "2")


@pytest.mark.slow
def test_jobs_make_skims_and_read_them(runs, tmp_path):
    words = (*JOBS, "-r", "SR3L", "--vary", "lepton_id", "--events-per-job", "3000")
    outcome = submit_program(*words, "--skim", "-o", tmp_path / "skim")
    assert outcome.status == 0, outcome.err
    made = tmp_path / "skim" / "samples.toml"
    assert len(entries(made)) == 4
    expected = runs("-s", "WZ", "Ztt", "--vary", "lepton_id")
    assert_same_bytes(runs("--samples", made, "--vary", "lepton_id"), expected)
    # Pieces of a skim count what it had left out once.
    words = ("local", "--samples", made, "-j", "2", "--events-per-job", "1000", "-o")
    outcome = submit_program(*words, tmp_path / "merged", "--vary", "lepton_id")
    assert outcome.status == 0, outcome.err
    assert_same_results(tmp_path / "merged", expected)
    outcome = submit_program(*words, tmp_path / "again", "--skim")
    assert outcome.status == 0, outcome.err
    assert_same_bytes(
        runs("--samples", tmp_path / "again" / "samples.toml"), runs("-s", "WZ", "Ztt")
    )
    assert read_json(tmp_path / "again" / "jobs" / "submission.json")["options"]["skim"] is True


def test_jobs_need_an_empty_folder(tmp_path):
    (tmp_path / "mine.txt").write_text("")
    outcome = submit_program(*JOBS, "--skim", "-o", tmp_path)
    assert outcome.lines == [f"m3l: {tmp_path} is in use, it holds mine.txt: give another folder"]
