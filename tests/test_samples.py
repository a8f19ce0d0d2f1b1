"""Samples from a TOML file and from a folder, and their normalisation."""

import pytest

from analysis import samples
from analysis.errors import DeclarationError
from analysis.samples import Normalisation, Sample, normalisation


def sample(**changes):
    keys = {"xsec_pb": 2.0, "sum_of_weights": 500.0}
    return Sample("a", "p", "background", "susy", ("/a.root",), "t", **{**keys, **changes})


def test_constant_is_luminosity_times_cross_section_over_sum_of_weights():
    # 36.2 fb^-1 = 36200 pb^-1; 2 pb; factors 1.5 and 0.5; 500
    declared = sample(k_factor=1.5, filter_efficiency=0.5)
    assert normalisation(declared, 36.2, None) == Normalisation(
        pytest.approx(36200 * 2 * 1.5 * 0.5 / 500)
    )
    assert normalisation(declared, 36.2, None).factors == (
        "1000 x 36.2 fb^-1 x k_factor 1.5 x filter_efficiency 0.5 x 2 pb / 500"
    )


def test_declared_sum_of_weights_wins_over_the_one_in_the_ntuple():
    assert normalisation(sample(), 1.0, 7.0).constant == pytest.approx(4.0)
    assert normalisation(sample(sum_of_weights=None), 1.0, 1000.0).constant == pytest.approx(2.0)


def test_negative_sum_of_weights_is_no_error():
    assert normalisation(sample(sum_of_weights=-500.0), 1.0, None).constant == pytest.approx(-4.0)


def test_sample_that_is_normalised_already_is_multiplied_by_the_luminosity_alone():
    declared = sample(normalised=True, xsec_pb=None, sum_of_weights=None)
    assert normalisation(declared, 36.2, None).constant == pytest.approx(36200.0)


def test_luminosity_of_run_2_is_left_to_the_event():
    found = normalisation(sample(), "run2", None)
    assert (found.constant, found.by_campaign) == (pytest.approx(2 / 500), True)


def test_open_data_carry_cross_section_and_sum_of_weights():
    declared = Sample("a", "p", "background", "opendata2020", ("/a.root",), "mini")
    assert normalisation(declared, 10.0, None) == Normalisation(10000.0, from_ntuple=True)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"xsec_pb": None}, "sample 'a' has no normalisation: give its xsec_pb"),
        ({"sum_of_weights": None}, "give its sum_of_weights"),
        ({"sum_of_weights": 0}, "sum of weights of zero"),
    ],
)
def test_missing_normalisation_is_an_error(changes, message):
    with pytest.raises(DeclarationError, match=message):
        normalisation(sample(**changes), 1.0, None)


BLOCK = """
[[sample]]
name = "WZ"
process = "diboson3L"
kind = "background"
schema = "susy"
files = ["*.root"]
"""


def write(folder, text, files=("b.root", "a.root")):
    for name in files:
        (folder / name).write_bytes(b"")
    path = folder / "samples.toml"
    path.write_text(text)
    return path


def problems(path):
    with pytest.raises(DeclarationError) as error:
        samples.read_samples(path)
    return error.value.problems


def test_files_are_relative_to_the_samples_file_and_sorted(tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    listed = samples.read_samples(write(tmp_path, "luminosity_ifb = 36.2\n" + BLOCK))
    assert listed.luminosity_ifb == 36.2
    (declared,) = listed.samples
    assert declared.files == (str(tmp_path / "a.root"), str(tmp_path / "b.root"))
    assert (declared.tree, declared.k_factor, declared.filter_efficiency) == ("WZ_NoSys", 1.0, 1.0)


def test_urls_stay_as_they_are(tmp_path):
    text = "luminosity_ifb = 1.0\n" + BLOCK.replace("*.root", "root://host//path/*.root")
    (declared,) = samples.read_samples(write(tmp_path, text)).samples
    assert declared.files == ("root://host//path/*.root",)


def test_tree_is_that_of_the_schema_unless_declared(tmp_path):
    data = BLOCK.replace('"background"', '"data"').replace("WZ", "data15")
    text = "luminosity_ifb = 1.0\n" + BLOCK + 'tree = "mine"\n' + data
    wz, data15 = samples.read_samples(write(tmp_path, text)).samples
    assert (wz.tree, data15.tree) == ("mine", "data15")


def test_data_alone_need_no_luminosity(tmp_path):
    data = BLOCK.replace('"background"', '"data"')
    assert samples.read_samples(write(tmp_path, data)).samples[0].kind == "data"
    assert problems(write(tmp_path, BLOCK)) == (
        f"{tmp_path}/samples.toml: luminosity_ifb is missing, the luminosity of the data in fb^-1",
    )


@pytest.mark.parametrize("value", ['"36"', "true", "[36.2]"])
def test_luminosity_is_a_number_or_run2(tmp_path, value):
    (line,) = problems(write(tmp_path, f"luminosity_ifb = {value}\n{BLOCK}"))
    assert 'luminosity_ifb must be a number or "run2", not ' in line


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("process", "proces", "unknown key 'proces', did you mean 'process'?"),
        ('"background"', '"mc"', "unknown kind 'mc' (known: data, background, signal)"),
        ('"susy"', '"susy2"', "unknown schema 'susy2', did you mean 'susy'?"),
        ('name = "WZ"', "", "name is missing"),
        ('name = "WZ"', "name = 3", "name must be a string, not 3"),
        ('"WZ"', '"W/Z"', "a name may have letters, digits and _ . + - only"),
        ('["*.root"]', "[]", "files is empty"),
        ('["*.root"]', "[1]", "files must be a list of strings, not [1]"),
    ],
)
def test_each_mistake_has_its_message(tmp_path, old, new, message):
    text = "luminosity_ifb = 1.0\n" + BLOCK.replace(old, new)
    assert any(message in line for line in problems(write(tmp_path, text)))


def test_samples_must_be_blocks(tmp_path):
    text = 'luminosity_ifb = 1.0\nsample = "WZ"\n'
    assert "begin with [[sample]]" in problems(write(tmp_path, text))[0]
    assert "no [[sample]] is declared" in problems(write(tmp_path, "luminosity_ifb = 1.0\n"))[0]


def folder_of(tmp_path, *names):
    for name in names:
        path = tmp_path / f"{name}_merged_processed.root"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return tmp_path


def test_samples_of_a_folder_are_told_apart_by_their_trees(tmp_path):
    trees = {"ttbar": ["ttbar_NoSys", "MetaTree"], "data15": ["data15"], "LRSM": ["LRSM_NoSys"]}
    folder = folder_of(tmp_path, "deep/ttbar", "data15", "LRSM")
    listed = samples.find_samples(
        folder, "susy", lambda path: trees[path.split("/")[-1].split("_")[0]]
    )
    found = {s.name: (s.kind, s.process, s.tree, s.normalised) for s in listed.samples}
    assert found == {
        "ttbar": ("background", "ttbar", "ttbar_NoSys", True),
        "data15": ("data", "data", "data15", True),
        "LRSM": ("signal", "LRSM", "LRSM_NoSys", True),
    }
    assert listed.luminosity_ifb == "run2"


def test_two_files_of_one_name_are_an_error(tmp_path):
    folder = folder_of(tmp_path, "a/ttbar", "b/ttbar")
    with pytest.raises(DeclarationError, match="two files would be the sample 'ttbar'"):
        samples.find_samples(folder, "susy", lambda path: ["ttbar_NoSys"])


def test_choose_keeps_the_order_of_the_question_and_drops_doubles():
    known = ("SR3L", "SR2L")
    assert samples.choose(["SR2L", "SR3L", "SR2L"], known, "region") == ("SR2L", "SR3L")
    assert samples.choose([], known, "region") == known


def test_the_demo_is_declared_well():
    listed = samples.read_samples(samples.DEMO)
    kinds = [declared.kind for declared in listed.samples]
    assert (kinds.count("signal"), kinds.count("data")) == (2, 1)
    assert kinds.count("background") >= 6
