"""What a run does not wait for, and the engine's functions of C types."""

import json

import numpy as np
import pytest
from conftest import run_code

SLOW = ("cppyy", "pandas", "blosc2", "tables")  # to import, tenths of a second each


def test_run_of_compiled_chains_imports_nothing_slow(tmp_path):
    code = f"""
import sys, run_rdf
run_rdf.main(["-s", "Ztt", "-o", {str(tmp_path / "out")!r}, "--force"])
print([name for name in {SLOW} if name in sys.modules])
import ROOT
print(ROOT.TH1D("h", "", 2, 0.0, 1.0).GetNbinsX())
"""
    done = run_code(code)
    assert done.stdout.splitlines()[-2:] == ["[]", "2"], done.stderr


@pytest.mark.slow
def test_physics_is_known_at_the_prompt_after_a_run(tmp_path):
    code = f"""
import run_rdf
dataframes = run_rdf.main(["-s", "Ztt", "-o", {str(tmp_path / "out")!r}, "--force"])
selected = dataframes["Ztt"]["SR3L"]
print(selected.Define("twice", "2 * flavourComp3L(lepFlavor)").Count().GetValue())
"""
    done = run_code(code)
    rows = json.loads((tmp_path / "out/run.json").read_text())["samples"][0]["rows"]["SR3L"]
    assert done.stdout.splitlines()[-1] == str(rows), done.stderr


@pytest.fixture
def native(ROOT):
    from helpers import native

    return native


def test_failure_in_c_is_an_oserror_of_its_text(native):
    with pytest.raises(OSError, match="no such library.*cannot be loaded"):
        native.call("foreign_branch", "no such library", "make")


def test_rows_come_back_as_they_were_added(native, tmp_path):
    store = native.RowStore(2, 1, 1, 10**6, tmp_path, 1)
    store.add([[1, 1, 2], [1, 1, 1]], [[0.5], [2.0]], [[1, 2], [3, 4]], [[7], [8]])
    native.HistogramSet().call("start_filling", store, 10)
    widths = {"float32": 2, "int32": 1, "int64": 3}
    taken = store.next(widths)
    assert {kind: values.tolist() for kind, values in taken.items()} == {
        "float32": [[3, 4], [1, 2]],
        "float64": [[2.0], [0.5]],
        "int32": [[8], [7]],
        "int64": [[1, 1, 1], [1, 1, 2]],
    }
    assert store.next(widths) == {}


def test_bad_row_is_told(native, tmp_path):
    store = native.RowStore(1, 0, 1, 10**6, tmp_path, 1)
    store.add([[1, 2, 3]], [[1.0]], [[np.inf]], np.empty((1, 0)))
    bad = store.bad()
    assert (bad.rows, bad.identity, bad.column, bad.value) == (1, [1, 2, 3], 0, np.inf)


@pytest.fixture
def build(ROOT, tmp_path, monkeypatch):
    from helpers import build

    monkeypatch.setenv("M3L_CACHE", str(tmp_path))
    build.root_facts.cache_clear()
    yield build
    build.root_facts.cache_clear()


def test_what_root_says_of_itself_is_remembered(build, tmp_path):
    facts = build.root_facts()
    (remembered,) = tmp_path.glob("root-*.json")
    remembered.write_text(json.dumps({**facts, "version": "remembered"}))
    build.root_facts.cache_clear()
    assert build.root_facts()["version"] == "remembered"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"core": [1, 2], "libraries": "/"}', None])
def test_what_another_root_said_is_asked_for_again(build, tmp_path, content):
    facts = build.root_facts()
    (remembered,) = tmp_path.glob("root-*.json")
    if content is None:
        content = json.dumps({**facts, "version": "old", "core": [0, 0]})
    remembered.write_text(content)
    build.root_facts.cache_clear()
    assert build.root_facts() == facts
    assert json.loads(remembered.read_text()) == facts
