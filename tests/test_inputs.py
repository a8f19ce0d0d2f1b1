"""Looking at files before the event loop."""

import ntuples
import pytest
from conftest import DEMO
from ntuples import three_leptons

from analysis.samples import Sample


@pytest.fixture
def look(ROOT, tmp_path):
    """Inspect files of a sample; returns (Inputs, problems)."""
    import helpers
    from analysis.inputs import inspect
    from analysis.looks import look_at

    helpers.load_engine()

    def call(*names, tree="nominal", **more):
        files = tuple(str(tmp_path / name) for name in names)
        sample = Sample("a", "p", "background", "susy", files, tree, **more)
        problems = []
        return inspect(sample, look_at([sample]), problems), problems

    return call


def test_entries_sizes_and_types(look, tmp_path):
    for name, events in (("a.root", 3), ("b.root", 2)):
        ntuples.write(tmp_path / name, [three_leptons()] * events)
    inputs, problems = look("a.root", "b.root")
    assert problems == []
    assert [file.entries for file in inputs.files] == [3, 2] and inputs.entries == 5
    assert inputs.files[0].size == (tmp_path / "a.root").stat().st_size
    assert inputs.branches["met_Et"] == "Float_t"
    assert "RVec<float>" in inputs.branches["lepPt"]


def test_sum_of_weights_is_added_over_files(look, tmp_path):
    for name, total in (("a.root", 100.0), ("b.root", -1.5)):
        ntuples.write(tmp_path / name, [three_leptons()], sum_of_weights=total)
    assert look("a.root", "b.root")[0].sum_of_weights == 98.5


def test_sum_of_weights_is_unknown_if_one_file_lacks_it(look, tmp_path):
    ntuples.write(tmp_path / "a.root", [three_leptons()], sum_of_weights=100.0)
    ntuples.write(tmp_path / "b.root", [three_leptons()])
    assert look("a.root", "b.root")[0].sum_of_weights is None


def test_all_bad_files_are_told(look, tmp_path):
    ntuples.write(tmp_path / "a.root", [three_leptons()], tree="other")
    (tmp_path / "b.root").write_text("no")
    _, problems = look("a.root", "b.root", "c.root")
    assert len(problems) == 3
    assert problems[0] == f"sample 'a': {tmp_path}/a.root has no tree 'nominal' (it has other)"
    for problem, name in zip(problems[1:], "bc", strict=True):
        assert problem.startswith(f"sample 'a': {tmp_path}/{name}.root cannot be opened"), problem


def test_file_without_entries_decides_no_types(look, tmp_path):
    """An empty file may have other branches."""
    ntuples.write(tmp_path / "a.root", [], without=("jetM",))
    ntuples.write(tmp_path / "b.root", [three_leptons()])
    ntuples.write(tmp_path / "c.root", [], without=("lepPt",))
    inputs, problems = look("a.root", "b.root", "c.root")
    assert problems == []
    assert "jetM" in inputs.branches


def test_trees_of_a_file(ROOT):
    import helpers
    from analysis.looks import trees_of

    helpers.load_engine()
    paths = [str(DEMO / name) for name in ("WZ.root", "missing.root")]
    assert trees_of(paths) == {paths[0]: ("nominal", "meta"), paths[1]: ()}
