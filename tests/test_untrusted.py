"""Records, models and samples files from someone else: nothing of them runs, leaves its folder, or
is taken as it is where it makes no sense. Each ends with a line.
"""

import hashlib
import json
import os
import re
import shutil

import mutations
import numpy as np
import pytest
from conftest import read_json, read_table, slow
from ml_tables import write_output
from mutations import INJECTED, PLACED, bear, record_with, refused
from test_anomaly import FEATURES, run_with, write_network

from analysis.errors import InputError, M3LError
from analysis.files import digest
from analysis.files import read_json as read_object

# --- files that are no files ------------------------------------------------------------------


def odd_file(path, kind):
    """Put something at `path` that is no readable JSON."""
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "deep":
        path.write_text("[" * 100_000)
    elif kind == "bytes":
        path.write_bytes(b"\xff\xfe\0")
    elif kind == "digits":
        path.write_text("9" * 10_000)
    elif kind == "dangling":
        path.symlink_to("nowhere")


ODD = ("pipe", "loop", "folder", "device", "deep", "bytes", "digits", "dangling")


@pytest.mark.parametrize("kind", ODD)
def test_odd_files_are_one_line(tmp_path, kind):
    from analysis.anomaly import read_model
    from analysis.batch.submission import Submission
    from analysis.output import read_cutflow, read_model_record, read_run, single_models
    from analysis.samples import read_samples

    jobs = tmp_path / "jobs"
    jobs.mkdir()
    for name in ("run.json", "cutflow.json", "model.json", "samples.toml", "folds.json"):
        odd_file(tmp_path / name, kind)
    odd_file(jobs / "submission.json", kind)
    for read in (read_run, read_cutflow, read_model_record, Submission):
        refused(read, tmp_path)
    refused(read_samples, tmp_path / "samples.toml")
    (tmp_path / "model.json").unlink() if kind != "folder" else (tmp_path / "model.json").rmdir()
    if kind not in ("loop", "dangling"):  # as if there were none
        refused(single_models, tmp_path)
    (tmp_path / "folds.json").unlink() if kind != "folder" else (tmp_path / "folds.json").rmdir()
    odd_file(tmp_path / "network.json", kind)
    refused(read_model, tmp_path)


@pytest.mark.parametrize("kind", ODD)
def test_odd_network_bin_is_one_line(tmp_path, kind):
    from analysis.anomaly import read_model

    write_network(tmp_path, 1)
    (tmp_path / "network.bin").unlink()
    odd_file(tmp_path / "network.bin", kind)
    assert "network.bin" in refused(read_model, tmp_path)


def test_model_folder_that_is_a_loop_is_one_line(tmp_path):
    from analysis.anomaly import read_model

    (tmp_path / "model").symlink_to("model")
    assert "no such folder" in refused(read_model, tmp_path / "model")


def test_json_has_neither_nan_nor_infinity(tmp_path):
    for word in ("NaN", "Infinity", "-Infinity", "1e999"):
        (tmp_path / "a.json").write_text(f'{{"a": {word}}}')
        assert "not valid JSON" in refused(lambda path: read_object(path, ""), tmp_path / "a.json")


# --- networks in the event loop ---------------------------------------------------------------


def names_in(expression):
    """All words of an expression but its own."""
    own = "anomalyScore anomaly_model rmm float DatasetNumber RunNumber EventNumber"
    return set(re.findall(r"[A-Za-z_]\w*", expression)) - set(own.split())


def test_networks_get_into_the_expression_as_numbers_and_known_names(tmp_path):
    from analysis.anomaly import read_model
    from analysis.features import FEATURES as DECLARED
    from analysis.features import LAYOUTS

    content, _ = write_network(tmp_path, 7)
    known = [feature.name for feature in DECLARED]
    allowed = names_in(read_model(tmp_path).expression(LAYOUTS[0], known))
    assert allowed == {"lepPt_0", "n_jet", "n_ele", "n_muo"}

    def read(changed):
        mutations.write(tmp_path / "network.json", changed)
        expression = read_model(tmp_path).expression(LAYOUTS[0], known)
        assert names_in(expression) <= {*known} and '"' not in expression

    taken = bear(read, mutations.mutations(content))
    # Nothing but numbers that could have been trained.
    assert {place[0] for place, _ in taken} <= {
        *("mask_absent", "smallest_error", "log", "least", "layers", "latent_layer")
    }
    assert not [value for _, value in taken if isinstance(value, str)]


def test_network_json_cannot_run_code(ROOT, tmp_path):
    content, _ = write_network(tmp_path / "model", 3)
    mark = tmp_path / "escaped"
    attack = f'0}}, {{}}, {{}}, 0, {{}}); system("touch {mark}"); Network x("'
    for key, value in (
        ("log", [attack, 0, 0, 0, 0, 0]),
        ("least", [[attack, 0, 0]] * 6),
        ("types", ["jet", "ele", f'muo)}}); system("touch {mark}"); ({{(']),
        ("sha256", f'*/ ; system("touch {mark}"); /*'),
        ("smallest_error", attack),
        ("layers", [{**content["layers"][0], "activation": attack}, *content["layers"][1:]]),
        ("layers", [{**content["layers"][0], "inputs": attack}, *content["layers"][1:]]),
        ("features", [attack, *FEATURES[1:]]),
    ):
        (tmp_path / "model/network.json").write_text(json.dumps({**content, key: value}))
        with pytest.raises(InputError):
            run_with(tmp_path / "model", tmp_path / "out", "VH")
    assert not mark.exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize(
    "name", ['a" + b\\', *map(slow, ("é\u2028 ü", "a\nb", "lepPt", "*/ x /*"))]
)
def test_path_of_a_model_is_not_in_the_expression(ROOT, tmp_path, name, plain):
    from analysis.anomaly import read_model
    from analysis.features import FEATURES as DECLARED
    from analysis.features import LAYOUTS

    folder = tmp_path / name
    write_network(folder, 3)
    expression = read_model(folder).expression(LAYOUTS[0], [f.name for f in DECLARED])
    assert names_in(expression) == {"lepPt_0", "n_jet", "n_ele", "n_muo"}
    run_with(folder, tmp_path / "out", "VH", plain=plain)
    assert np.isfinite(read_table(tmp_path / "out", "VH").anomaly_score).all()


def test_network_with_numbers_that_are_not_finite(tmp_path):
    from analysis.anomaly import read_model

    content, arrays = write_network(tmp_path, 3)
    arrays[3][0] = np.nan
    plain = b"".join(a.astype("<f4").tobytes() for a in arrays)
    (tmp_path / "network.bin").write_bytes(plain)
    content["sha256"] = hashlib.sha256(plain).hexdigest()
    (tmp_path / "network.json").write_text(json.dumps(content))
    assert "not finite" in refused(read_model, tmp_path)


def test_huge_layers_are_refused_before_anything_is_made_of_them(tmp_path):
    from analysis.anomaly import read_model

    content, _ = write_network(tmp_path, 3)
    for units in (10**9, 100_000):
        first, second, last = (dict(layer) for layer in content["layers"])
        first["units"] = second["inputs"] = units
        second["units"] = last["inputs"] = units
        changed = {**content, "layers": [first, second, last]}
        (tmp_path / "network.json").write_text(json.dumps(changed))
        line = refused(read_model, tmp_path)
        assert "layers[0].units" in line or "numbers, more than" in line


def test_folds_cannot_leave_the_folder_of_the_model(tmp_path):
    from analysis.anomaly import read_model
    from analysis.output import single_models

    write_network(tmp_path / "outside", 1)
    write_network(tmp_path / "model/fold_0", 1)
    folds = tmp_path / "model/folds.json"
    for names in (["../outside"], [str(tmp_path / "outside")], [".."], [""], "fold_0", [], [3]):
        folds.write_text(json.dumps({"models": names}))
        for read in (read_model, single_models):
            assert "folds.json" in refused(read, tmp_path / "model")
    folds.write_text(json.dumps({"models": ["fold_0"]}))
    assert len(read_model(tmp_path / "model").scores) == 1


# --- run.json ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def record(demo_output):
    """A record of the demo with two samples."""
    content = read_json(demo_output / "run.json")
    content["samples"] = [s for s in content["samples"] if s["name"] in ("ttZ", "data")]
    return content


def test_rerun_bears_any_record(ROOT, record, tmp_path):
    from analysis.prepare import plan_samples
    from analysis.repeat import Comparison, read_record, rerun

    path = tmp_path / "run.json"

    def read(content):
        mutations.write(path, content)
        read = read_record(path)
        job = rerun(path, read, trust=True)
        Comparison(path, read, job)
        plan_samples(job)

    read(record)
    bear(read, mutations.mutations(record, most=1))


def test_ml_bears_any_record(tmp_path):
    from ml.dataset import Dataset

    samples = [("WZ", "diboson3L", "background", 9, 40.0, 1.0)]
    folder = write_output(tmp_path / "out", samples)

    def read(content):
        mutations.write(folder / "run.json", content)
        Dataset.open(folder).load()

    bear(read, mutations.mutations(read_json(folder / "run.json"), most=1))


NAMES = (
    ("samples", 0, "name"),
    ("samples", 0, "process"),
    ("samples", 0, "tables", "SR3L"),
    ("regions", 0, "name"),
    ("regions", 0, "tag"),
    ("features", 0, "name"),
    ("scalars", 0, "name"),
    ("objects", 0, "name"),
    ("objects", 0, "of"),
    ("variables", 0, "name"),
    ("layout", "name"),
    ("layout", "types", 0, "name"),
    ("layout", "types", 0, "mask"),
    ("processes", 0, "name"),
)


@pytest.mark.parametrize("place", NAMES, ids=lambda place: ".".join(map(str, place)))
def test_names_and_paths_of_a_record_stay_in_the_folder(ROOT, record, tmp_path, place):
    from analysis.repeat import read_record

    path = tmp_path / "run.json"
    for value in PLACED:
        mutations.write(path, record_with(record, *place, value=value))
        line = refused(read_record, path)
        assert line.startswith(f"{path} is not a run.json") and "must be" in line


def test_sample_that_would_escape_writes_nothing(run_here, record, tmp_path):
    path = tmp_path / "in" / "run.json"
    path.parent.mkdir()
    for name in ("../../../escaped", str(tmp_path / "escaped")):
        mutations.write(path, record_with(record, "samples", 0, "name", value=name))
        outcome = run_here("--rerun", path, "-o", tmp_path / "in" / "out")
        assert (outcome.status, len(outcome.lines)) == (1, 1)
        assert "samples[0].name must be a name" in outcome.err
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["in", "run.json"]


def test_input_that_is_a_pipe_does_not_block_a_rerun(run_here, record, tmp_path):
    os.mkfifo(tmp_path / "pipe.root")
    path, pipe = tmp_path / "run.json", str(tmp_path / "pipe.root")
    mutations.write(path, record_with(record, "samples", 0, "files", 0, value=pipe))
    outcome = run_here("--rerun", path, "-o", tmp_path / "out")
    assert outcome.status == 1 and "pipe.root: is no regular file" in outcome.err


# --- expressions of a record ------------------------------------------------------------------

EXPRESSIONS = (
    ("cut '3 baseline' of region 'SR3L'", ("regions", 0, "cuts", 0, "expression")),
    ("feature 'flcomp'", ("scalars", 0, "expression")),
    ("variable 'n_lep_BL'", ("variables", 0, "expression")),
    ("layout 'T3N5'", ("layout", "types", 0, "multiplicity")),
    ("object 'ele_BL'", ("objects", 0, "cuts", 0)),
)


@pytest.mark.parametrize(("what", "place"), EXPRESSIONS, ids=lambda v: str(v[0]))
def test_expressions_that_are_not_of_this_checkout_are_shown_and_not_run(
    run_here, record, tmp_path, what, place
):
    mark = tmp_path / "escaped"
    attack = f'(gSystem->Exec("touch {mark}"), true)'
    value = 5 if place[-1] == "multiplicity" else attack
    changed = record_with(record, *place, value=value)
    path = tmp_path / "run.json"
    mutations.write(path, changed)
    for words in ((), ("--check",), ("--chain", "ttZ"), ("--event", "ttZ@0")):
        outcome = run_here("--rerun", path, *words, *() if words else ("-o", tmp_path / "out"))
        assert outcome.status == 1 and not outcome.out
        shown, *others, advice = outcome.lines
        assert shown.startswith(f"m3l: {what}: ") and f" in {path}, here " in shown
        assert value == 5 or attack in shown
        assert "--trust runs them" in advice and others == [] or place[0] == "layout"
    assert not mark.exists() and not (tmp_path / "out").exists()


def test_what_is_not_declared_here_is_said(run_here, record, tmp_path):
    changed = record_with(record, "regions", 0, "name", value="SRX")
    for sample in changed["samples"]:
        for key in ("tables", "rows", "checksums"):
            if key in sample:
                sample[key] = dict(zip(["SRX"], sample[key].values(), strict=True))
    path = tmp_path / "run.json"
    mutations.write(path, changed)
    outcome = run_here("--rerun", path, "-o", tmp_path / "out")
    assert outcome.status == 1
    assert all(line.endswith("not declared here") for line in outcome.lines[:-1])
    assert "3 expressions" in outcome.lines[-1]


def test_two_cuts_of_one_name_do_not_hide_each_other(ROOT, record, tmp_path):
    from analysis.repeat import read_record, rerun

    cuts = record["regions"][0]["cuts"]
    path = tmp_path / "run.json"
    hidden = [{**cuts[0], "expression": "evil()"}, *cuts]
    mutations.write(path, record_with(record, "regions", 0, "cuts", value=hidden))
    with pytest.raises(M3LError):
        rerun(path, read_record(path))


@pytest.mark.slow
def test_trusted_expressions_run(run_here, record, tmp_path):
    path = tmp_path / "run.json"
    place = ("regions", 0, "cuts", 2, "expression")
    words = ("--rerun", path, "--trust", "-o", tmp_path / "out", "-s", "ttZ")
    same = "Sum(lepPt[lep_SG] > 20.0) >= 2"
    mutations.write(path, record_with(record, *place, value=same))
    outcome = run_here(*words)
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.splitlines()[-1] == f"same result as {path}"
    again = read_json(tmp_path / "out/run.json")
    assert again["regions"][0]["cuts"][2]["expression"] == same
    mutations.write(path, record_with(record, *place, value="Sum(lepPt[lep_SG] > 40) >= 2"))
    outcome = run_here(*words)
    assert (outcome.status, len(outcome.lines)) == (1, 1)
    assert f"result differs from {path}: " in outcome.err and "table of ttZ in SR3L" in outcome.err


# --- submissions ------------------------------------------------------------------------------


@pytest.mark.slow
def test_submission_bears_any_record(pieces):
    from analysis.batch.submission import Submission

    path = pieces / "jobs/submission.json"
    content = read_json(path)

    def read(content):
        mutations.write(path, content)
        Submission(pieces).states()

    bear(read, mutations.mutations(content, most=1))


def test_merge_bears_any_manifest(ROOT, pieces):
    from analysis.batch import merge
    from analysis.batch.submission import Submission

    path = pieces / "jobs/pieces/0001/manifest.json"
    content = read_json(path)
    submission = Submission(pieces)
    names = [piece.name for piece in submission.pieces if piece.name != "0001"]
    others = {name: submission.manifest(name) for name in names}
    job = merge.job_of(submission.run, "run.json")

    def read(content):
        content = {key: value for key, value in content.items() if key != "sha256"}
        mutations.write(path, {**content, "sha256": digest(content)})
        manifests = {**others, "0001": submission.manifest("0001")}
        merge.check(submission, submission.run, job, manifests)
        merge.sum_cutflow([manifests["0001"]], job.declarations.regions[0])

    read(content)
    bear(read, mutations.mutations(content))


@pytest.mark.parametrize("name", ["../0000", "/tmp/0000", ".."])
def test_pieces_stay_in_their_folder(pieces, name):
    from analysis.batch.submission import Submission

    path = pieces / "jobs/submission.json"
    content = read_json(path)
    content["pieces"][0]["name"] = name
    path.write_text(json.dumps(content))
    assert "pieces[0].name must be a name" in refused(Submission, pieces)


def test_frozen_jobs_need_no_trust(submit_here, pieces, tmp_path):
    """Pieces were made with the selection that was submitted, whatever the checkout has now."""
    path = pieces / "jobs/submission.json"
    content = read_json(path)
    content["run"]["regions"][0]["cuts"][0]["expression"] = "n_lep_BL == 3 && true"
    path.write_text(json.dumps(content))
    assert submit_here("merge", pieces).status == 0
    shutil.rmtree(pieces / "hdf5")


def test_injected_text_is_no_name():
    from analysis import records

    for rule in (records.NAME, records.COLUMN, records.FILE, records.TABLE, records.CUT_NAME):
        assert any(rule.problems(INJECTED, "name"))
