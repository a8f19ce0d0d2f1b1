"""Samples from a TOML file and from a folder, and their normalisation."""

import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies

from analysis import records, samples
from analysis.errors import DeclarationError, near_miss
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
        ({"xsec_pb": 0.0}, "sample 'a' has a cross-section of 0 pb"),
    ],
)
def test_missing_normalisation_is_an_error(changes, message):
    with pytest.raises(DeclarationError, match=message):
        normalisation(sample(**changes), 1.0, None)


def test_cross_section_that_files_hold_is_above_0():
    declared = sample(xsec_pb="meta:xsec")
    with pytest.raises(DeclarationError, match="a cross-section of -3 pb at 'meta:xsec'"):
        normalisation(declared, 1.0, None, cross_section=-3.0)


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
        ('"background"', '"mc"', "kind must be one of data, background, signal, not 'mc'"),
        ('"susy"', '"susy2"', "not 'susy2', did you mean 'susy'?"),
        ('name = "WZ"', "", "name is missing"),
        ('name = "WZ"', "name = 3", "name must be a name of at most 100 letters, digits"),
        ('"WZ"', '"W/Z"', "and _ . + -, the first no sign, not 'W/Z'"),
        ('["*.root"]', "[]", "files is empty"),
        ('["*.root"]', "[1]", "files[0] must be a line of 1 to 4096 characters, not 1"),
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
        folder, "susy", lambda paths: {p: trees[p.split("/")[-1].split("_")[0]] for p in paths}
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
        samples.find_samples(folder, "susy", lambda paths: dict.fromkeys(paths, ["ttbar_NoSys"]))


def test_choose_keeps_the_order_of_the_question_and_drops_doubles():
    known = ("SR3L", "SR2L")
    assert samples.choose(["SR2L", "SR3L", "SR2L"], known, "region") == ("SR2L", "SR3L")
    assert samples.choose([], known, "region") == known


def problem_of(name, known, listing=""):
    with pytest.raises(DeclarationError) as caught:
        samples.choose([name], known, "feature", listing)
    return str(caught.value)


MANY = [f"m_T_jet_{number}" for number in range(240)]


def test_a_misspelt_name_among_few_tells_all():
    assert problem_of("SR3", ("SR3L", "CR_WZ"), "--list") == (
        "no feature is called 'SR3', did you mean 'SR3L'? (known: SR3L, CR_WZ)"
    )


def test_a_misspelt_name_among_many_tells_how_to_see_all():
    assert problem_of("e_T_mis", ["e_T_miss", *MANY], "x --list") == (
        "no feature is called 'e_T_mis', did you mean 'e_T_miss'? (x --list prints all 241)"
    )
    assert problem_of("?", MANY, "x --list") == (
        "no feature is called '?' (x --list prints all 240)"
    )
    assert problem_of("?", MANY).endswith(f"(known: {', '.join(MANY[:12])} (and 228 more))")


def test_near_misses_know_capitals_and_name_all_that_are_equally_close():
    assert near_miss("hNl450", ["HNL150", "HNL450"]) == ", did you mean 'HNL450'?"
    known = ["jet_2", "jet_0", "jet_1", "muo_0"]
    assert near_miss("jet_9", known) == ", did you mean 'jet_0' or 'jet_1' or 'jet_2'?"
    assert near_miss("jet_1", known) == ", did you mean 'jet_1'?"
    assert near_miss("xyz", known) == near_miss("xyz", []) == ""


def test_the_demo_is_declared_well():
    listed = samples.read_samples(samples.DEMO)
    kinds = [declared.kind for declared in listed.samples]
    assert (kinds.count("signal"), kinds.count("data")) == (2, 1)
    assert kinds.count("background") >= 6


# --- whatever stands in a samples file --------------------------------------------------------


@pytest.mark.parametrize(
    "old, new, message",
    [
        (
            "[[sample]]",
            "[[sample]]\nxsec_pb = nan",
            "xsec_pb must be a number above 0 or its place in the files",
        ),
        (
            "[[sample]]",
            "[[sample]]\nxsec_pb = inf",
            "xsec_pb must be a number above 0 or its place in the files",
        ),
        (
            "[[sample]]",
            "[[sample]]\nk_factor = -1.0",
            "k_factor must be a number above 0",
        ),
        ("[[sample]]", "[[sample]]\nxsec_pb = -0.15", "xsec_pb must be a number above 0"),
        ("[[sample]]", "[[sample]]\nxsec_pb = 0", "xsec_pb must be a number above 0"),
        (
            "[[sample]]",
            "[[sample]]\nfilter_efficiency = 55",
            "filter_efficiency must be a number above 0, at most 1, not 55",
        ),
        ("[[sample]]", "[[sample]]\nk_factor = 0", "k_factor must be a number above 0, not 0"),
        ("[[sample]]", f"[[sample]]\nxsec_pb = 1{'0' * 400}", "not a number of 1329 bits"),
        ("[[sample]]", f"[[sample]]\nxsec_pb = 0x{'f' * 6000}", "not a number of 24000 bits"),
        ("[[sample]]", "[[sample]]\nsum_of_weights = true", "sum_of_weights must be a finite"),
        ("[[sample]]", "[[sample]]\nxsec_pb = 2020-01-01", "xsec_pb must be a number above 0"),
        ("[[sample]]", '[[sample]]\ntree = "a\\"b"', "tree must be a line of"),
        ('"WZ"', '"../../../escaped"', "name must be a name"),
        ('"WZ"', '".hidden"', "name must be a name"),
        ('"WZ"', '"<script>"', "name must be a name"),
        ('"WZ"', '"a\\nb"', "name must be a name"),
        ('"WZ"', f'"{"a" * 300}"', "name must be a name"),
        ('"diboson3L"', '"../escaped"', "process must be a name"),
        ('"*.root"', '"a\\u0000b"', "files[0] must be a line"),
    ],
)
def test_values_that_cannot_be(tmp_path, old, new, message):
    (line,) = problems(write(tmp_path, "luminosity_ifb = 1.0\n" + BLOCK.replace(old, new)))
    assert message in line


@pytest.mark.parametrize("value", ["nan", "inf", "-1.0", "1" + "0" * 400])
def test_luminosity_is_finite_and_not_negative(tmp_path, value):
    (line,) = problems(write(tmp_path, f"luminosity_ifb = {value}\n{BLOCK}"))
    assert 'luminosity_ifb must be a number or "run2", not ' in line


def test_luminosity_of_zero_would_hide_the_simulation(tmp_path):
    (line,) = problems(write(tmp_path, f"luminosity_ifb = 0\n{BLOCK}"))
    assert line.endswith("luminosity_ifb is 0, so that no simulated event would count")


def test_normalisation_that_overflows():
    with pytest.raises(DeclarationError, match="a normalisation that is too large"):
        normalisation(sample(xsec_pb=1e300, sum_of_weights=1e-300), 1.0, None)


def test_files_that_are_none(tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "device").symlink_to("/dev/zero")
    for name, message in (
        ("folder", "is a directory"),
        ("pipe", "is no regular file"),
        ("loop", "too many levels of symbolic links"),
        ("device", "is no regular file"),
    ):
        text = "luminosity_ifb = 1.0\n" + BLOCK.replace("*.root", name)
        (line,) = problems(write(tmp_path, text))
        assert line.endswith(message), line


def test_folder_with_a_pipe_or_a_name_that_cannot_be(tmp_path):
    os.mkfifo(tmp_path / "a_merged_processed.root")
    (tmp_path / "b c_merged_processed.root").write_bytes(b"")
    with pytest.raises(DeclarationError) as error:
        samples.find_samples(tmp_path, "susy", lambda path: pytest.fail("opened"))
    pipe, name = error.value.problems
    assert pipe.endswith("is no regular file") and "must be a name" in name


def test_samples_file_that_is_none(tmp_path):
    os.mkfifo(tmp_path / "samples.toml")
    assert problems(tmp_path / "samples.toml")[0].endswith("is no regular file")
    (tmp_path / "deep.toml").write_text("a = " + "[" * 100_000)
    assert "too deeply nested" in problems(tmp_path / "deep.toml")[0]


WORDS = strategies.text(max_size=30) | strategies.sampled_from(
    ("WZ", "susy", "background", "data", "../x", ".", "a.root", "*", "a" * 200, "run2")
)
VALUES = strategies.recursive(
    WORDS | strategies.floats() | strategies.integers() | strategies.booleans(),
    lambda inner: (
        strategies.lists(inner, max_size=3)
        | strategies.dictionaries(strategies.sampled_from(("a", "name")), inner, max_size=2)
    ),
    max_leaves=4,
)
GOOD = {
    "name": "WZ",
    "process": "diboson3L",
    "kind": "background",
    "schema": "susy",
    "files": ["*.root"],
    "xsec_pb": 1.0,
    "k_factor": 1.1,
    "sum_of_weights": -2.0,
    "normalised": False,
    "tree": "t",
}


def toml(value):
    """A value as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{toml(key)} = {toml(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower()


@settings(deadline=None, max_examples=300, derandomize=True, database=None)
@given(
    changes=strategies.dictionaries(strategies.sampled_from(tuple(GOOD)), VALUES, max_size=3),
    gone=strategies.sets(strategies.sampled_from(tuple(GOOD)), max_size=1),
    luminosity=VALUES | strategies.floats(0, 300),
)
def test_any_samples_file_is_good_or_refused(tmp_path_factory, changes, gone, luminosity):
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    block = {key: value for key, value in {**GOOD, **changes}.items() if key not in gone}
    lines = [f"luminosity_ifb = {toml(luminosity)}", "[[sample]]"]
    lines += [f"{key} = {toml(value)}" for key, value in block.items()]
    path = write(folder, "\n".join(lines) + "\n")
    try:
        (found,) = samples.read_samples(path).samples
        normalised = normalisation(found, samples.read_samples(path).luminosity_ifb, None)
    except DeclarationError as error:
        assert error.problems
        for line in error.problems:
            assert len(line) < 2000 and line.encode()
        return
    assert math.isfinite(normalised.constant)
    assert {name for name, rule in samples.SAMPLE.known.items() if name in block} == set(block)
    table = folder / "hdf5" / f"{found.name}_3lep.hdf5"
    assert table.resolve() == table and not found.name.startswith((".", "-"))
    assert all(Path(file).is_file() or "://" in file for file in found.files)


ALPHABET = strategies.characters() | strategies.sampled_from("./\\\n\0-_ ~$`\"'é")


@settings(deadline=None, max_examples=1000, derandomize=True, database=None)
@given(strategies.text(ALPHABET, max_size=12) | strategies.text("._-a/", max_size=6))
def test_a_name_is_a_plain_file_name_and_a_column_an_identifier(name):
    if not any(records.NAME.problems(name, "name")):
        path = Path("/folder") / f"{name}.hdf5"
        assert path.parent == Path("/folder") and not path.name.startswith((".", "-"))
        assert path.name.isprintable() and not set(path.name) & set(" /\\\"'$`~*?<>|&;(){}[]!#")
    if not any(records.COLUMN.problems(name, "name")):
        assert name.isidentifier() and name.isascii()
