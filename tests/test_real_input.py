"""Larger simulation and real collisions against the numbers of an independent implementation."""

import numpy as np
import pytest
import reference
from conftest import REPOSITORY, read_json, read_table, run_program
from test_run import assert_same_results

SHARED = REPOSITORY.parent / "shared" / "data"

pytestmark = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the files of ../shared/data are not here"
)

SETS = ("simulation", "atlas13_2020", "cms7_hep_tutorial")


@pytest.fixture(scope="module", params=SETS)
def outputs(request, tmp_path_factory):
    """(name, output folder, expected numbers) of a set of samples."""
    name = request.param
    folder = tmp_path_factory.mktemp(name) / "out"
    words = ("--samples", SHARED / name / "samples.toml", "-r", "SR3L", "SR2L", "-j", "2")
    outcome = run_program(*words, "-o", folder)
    assert outcome.status == 0, outcome.err
    # Some events of the sets with four leptons are in those with three as well.
    assert all("are there more than once" in line for line in outcome.lines)
    return name, folder, read_json(SHARED / "expected.json")[name]


def test_cutflow_agrees(outputs):
    name, folder, expected = outputs
    found = read_json(folder / "cutflow.json")["SR3L"]
    assert found.keys() == expected.keys()
    for sample, numbers in expected.items():
        for row, other in zip(found[sample], numbers["cutflow"], strict=True):
            assert (row["cut"], row["entries"]) == (other["cut"], other["entries"]), sample
            assert row["sumw"] == pytest.approx(other["sumw"], rel=1e-6, abs=1e-9), sample
            assert row["sumw2"] == pytest.approx(other["sumw2"], rel=1e-6, abs=1e-9), sample


def test_flavours_and_means_of_cells_agree(outputs):
    name, folder, expected = outputs
    for sample, numbers in expected.items():
        rows = read_table(folder, sample)
        counts = {str(code): int((rows.flcomp == code).sum()) for code in range(6)}
        assert counts == numbers["flcomp"], sample
        for cell, mean in numbers["weighted_mean"].items():
            if mean is None:
                assert len(rows) == 0
            else:
                found = np.average(rows[cell].astype(float), weights=rows.wgt_SG)
                assert found == pytest.approx(mean, rel=1e-4, abs=1e-6), (sample, cell)


def test_real_collisions_agree_with_numpy_cell_by_cell(outputs):
    name, folder, expected = outputs
    if name != "atlas13_2020":
        pytest.skip("this set is compared by its means")
    for sample in expected:
        path = SHARED / name / f"{sample[:6]}.{sample[7:]}.root"
        events = reference.read_opendata2020(path)
        table = reference.table(events, reference.selected(events, "SR3L")[-1][1])
        rows = read_table(folder, sample)
        assert set(rows) == set(table)
        for column, values in table.items():
            np.testing.assert_allclose(
                rows[column], values, rtol=1e-4, atol=1e-2, err_msg=f"{sample} {column}"
            )


@pytest.mark.slow
def test_chain_as_it_is_gives_the_same_bytes(outputs, tmp_path):
    name, folder, _ = outputs
    words = ("--samples", SHARED / name / "samples.toml", "-r", "SR3L", "SR2L", "-j", "2")
    outcome = run_program(*words, "--plain", "-o", tmp_path)
    assert outcome.status == 0, outcome.err
    assert_same_results(folder, tmp_path)
