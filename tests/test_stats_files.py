"""Results of statistical analyses as others read them: whole, of this run, or a line on why not."""

import json
from copy import deepcopy

import mutations
import pytest
import result_inputs
from conftest import read_json
from mutations import bear, refused

from analysis import stats_files
from analysis.errors import InputError
from analysis.stats_files import KINDS, read_statistics, statistics_in


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    return result_inputs.write_statistics(tmp_path)


def test_all_kinds_are_read_as_they_were_written(folder):
    contents, lines = read_statistics(folder, "search")
    assert tuple(contents) == KINDS and lines == []
    for kind, content in contents.items():
        assert content == read_json(folder / "stats" / "search" / f"{kind}.json")


def test_what_is_not_there_is_left_out(folder):
    (folder / "stats" / "search" / "fit.json").unlink()
    contents, lines = read_statistics(folder, "search")
    assert set(contents) == set(KINDS) - {"fit"} and lines == []


def test_names_of_analyses(folder, tmp_path):
    result_inputs.write_result(folder, "alone", "fit", result_inputs.fit())
    (folder / "stats" / ".hidden").mkdir()
    (folder / "stats" / "note.txt").write_text("")
    assert statistics_in(folder) == ["alone", "search"]
    assert statistics_in(tmp_path / "elsewhere") == []
    with pytest.raises(InputError, match="no statistical analysis 'serch' in .*alone, search"):
        read_statistics(folder, "serch")
    with pytest.raises(InputError, match="make one with python -m analysis.stats"):
        read_statistics(tmp_path / "elsewhere", "search")


def test_results_of_another_run_are_named_and_left_out(folder):
    (folder / "run.json").write_text('{"other": 1}')
    result_inputs.write_result(folder, "search", "bump", result_inputs.bump())
    contents, lines = read_statistics(folder, "search")
    assert list(contents) == ["bump"]
    assert len(lines) == len(KINDS) - 1
    assert "fit.json is of another run than" in lines[0]
    assert lines[-1].endswith("make it again with python -m analysis.stats anything")


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_results_are_a_line(folder, kind):
    path = folder / "stats" / "search" / f"{kind}.json"
    text = path.read_text()
    for damaged in (text[: len(text) // 2], "[]", "", '{"format": 1}', text.replace(kind, "fits")):
        path.write_text(damaged)
        line = refused(lambda _: read_statistics(folder, "search"), None)
        assert f"{kind}.json" in line and "python -m analysis.stats" in line
    path.write_text(text.replace('"format": 1', '"format": 2'))
    assert "format" in refused(lambda _: read_statistics(folder, "search"), None)


@pytest.mark.parametrize("kind", KINDS)
def test_any_content_is_borne(folder, kind):
    path = folder / "stats" / "search" / f"{kind}.json"
    content = read_json(path)
    for other in KINDS:
        if other != kind:
            (path.parent / f"{other}.json").unlink()

    def read(content):
        mutations.write(path, content)
        read_statistics(folder, "search")

    bear(read, mutations.mutations(content, (None, "x", float("nan"), [], 1e300), most=1))


def spoilt(content, *place, value):
    made = deepcopy(content)
    inner = made
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return made


@pytest.mark.parametrize(
    "kind, place, value, words",
    [
        ("fit", ("channels", 0, "data"), [1.0, 2.0], "2 entries for 1 bins"),
        ("fit", ("channels", 3, "samples", "ttbar", "postfit"), [1.0], "1 entries for 4 bins"),
        ("fit", ("channels", 3, "prefit", "error"), [], "0 entries for 4 bins"),
        ("fit", ("channels", 3, "edges", 1), 300.0, "do not rise"),
        ("fit", ("correlation", "matrix", 0), [1.0], "not of the size of its names"),
        ("fit", ("parameters", 0, "kind"), "nuisance", "must be one of mu, norm"),
        ("limit", ("signals", "HNL450", "scan", "mu"), [0.0], "different lengths"),
        ("limit", ("signals", "HNL450", "expected"), [1.0], "has 1 entries, not 5 to 5"),
        ("limit", ("signals", "HNL450", "observed"), -1.0, "from 1e-12"),
        ("plane", ("grid", "x"), [1.0], "not of the size of its axes"),
        ("plane", ("points", 0, "y"), None, "points lack y"),
        ("significance", ("signals", "HNL450", "expected", "p0"), 1.5, "from 0 to 1"),
        ("bump", ("best", "mass"), "m_0", "none of masses"),
        ("bump", ("masses", "m_3l", "data"), [1], "1 entries for 9 bins"),
        ("bump", ("pseudo_statistic", "counts"), [1], "1 entries for 40 bins"),
        ("abcd", ("plane", "background"), [[1.0]], "not of the size of its axes"),
        ("abcd", ("plane", "x_edges", 1), 0.0, "do not rise"),
        ("anything", ("tests", "tail", "pseudo_statistic", "counts"), [], "0 entries for 40"),
        ("anything", ("two_sample", "scores", "data"), [], "0 entries for 10"),
        ("anything", ("bump", "m_3l", "error"), [], "0 entries for 9"),
        ("anything_calibration", ("p_values", "tail"), [], "is empty"),
    ],
)
def test_contradictions_are_named(folder, kind, place, value, words):
    content = spoilt(result_inputs.contents()[kind], *place, value=value)
    result_inputs.write_result(folder, "search", kind, content)
    assert words in refused(lambda _: read_statistics(folder, "search"), None)


def test_more_than_is_known_may_be_there(folder):
    """Commands may say more than is shown."""
    path = folder / "stats" / "search" / "fit.json"
    content = read_json(path)
    content["more"] = content["channels"][0]["more"] = {"a": [1]}
    path.write_text(json.dumps(content))
    assert read_statistics(folder, "search")[0]["fit"]["more"] == {"a": [1]}


def test_every_kind_has_a_writer_in_the_tests():
    assert tuple(result_inputs.contents()) == tuple(stats_files.RESULTS)
