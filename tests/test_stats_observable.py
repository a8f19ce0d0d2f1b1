"""Values of an observable: of a feature, of a detector in a region inside the scored one."""

import numpy as np
import pandas as pd
import plot_inputs
import pytest

from analysis.errors import InputError
from analysis.results import Results
from analysis.stats.observable import COUNT, observable_of, places_of, values_of

SR, INSIDE = "SR3L", "CR_WZ"


def some(region, sample, table):
    """A region inside the other: two of three events."""
    return (
        table[np.arange(len(table)) % 3 > 0].reset_index(drop=True) if region == INSIDE else table
    )


@pytest.fixture
def folder(tmp_path):
    folder = plot_inputs.write_run(tmp_path / "out", regions=(SR, INSIDE), edit=some)
    return plot_inputs.write_scores(folder)


def scores_of(folder, sample):
    return pd.read_hdf(folder / "scores" / plot_inputs.MODEL / f"{sample}.hdf5")


def test_events_of_an_inner_region_have_their_scores(folder):
    results = Results(folder)
    observable = observable_of(results, detector=plot_inputs.MODEL)
    values, weights, rows = values_of(results, INSIDE, "data", observable)
    assert values == pytest.approx(scores_of(folder, "data")["score"][np.arange(400) % 3 > 0])
    assert np.all(weights == 1) and list(rows) == list(range(len(values)))


def test_what_was_trained_on_is_left_out_and_its_yield_kept(folder):
    results = Results(folder)
    observable = observable_of(results, detector=plot_inputs.MODEL)
    for region in (SR, INSIDE):
        values, weights, rows = values_of(results, region, "WZ", observable)
        table = results.table(region, "WZ")
        assert 0 < len(values) < len(table)
        assert weights.sum() == pytest.approx(table["wgt_SG"].sum())
        known = scores_of(folder, "WZ").set_index("EventNumber")["score"]
        assert values == pytest.approx(known[table["EventNumber"][rows]].to_numpy())


def test_a_feature_and_the_count_are_those_of_the_table(folder):
    results = Results(folder)
    table = results.table(SR, "ttbar")
    values, weights, _ = values_of(results, SR, "ttbar", observable_of(results, "m_3l"))
    assert np.array_equal(values, table["m_3l"]) and np.array_equal(weights, table["wgt_SG"])
    values, weights, _ = values_of(results, SR, "ttbar", observable_of(results))
    assert set(values) == {0.5} and weights.sum() == table["wgt_SG"].sum()


def test_repeated_events_keep_their_order():
    known = np.array([[1, 1, 1], [1, 1, 2], [1, 1, 1], [0, 1, 1]])
    asked = np.array([[1, 1, 1], [0, 1, 1], [1, 1, 1], [1, 1, 1], [9, 1, 1]])
    assert list(places_of(asked, known)) == [0, 3, 2, -1, -1]
    assert list(places_of(asked[:0], known)) == []
    assert list(places_of(asked, known[:0])) == [-1] * 5


def test_a_region_that_is_not_inside_the_scored_one_is_one_line(tmp_path):
    def more(region, sample, table):
        if region == SR:
            table = table[table["EventNumber"] % 2 == 0].reset_index(drop=True)
        return table

    folder = plot_inputs.write_run(tmp_path / "out", regions=(SR, INSIDE), edit=more)
    results = Results(plot_inputs.write_scores(folder))
    observable = observable_of(results, detector=plot_inputs.MODEL)
    with pytest.raises(InputError, match="events of 'ttbar' in 'CR_WZ' have no score.*of region"):
        values_of(results, INSIDE, "ttbar", observable)


def test_scores_that_are_missing_or_unknown_are_one_line(folder):
    results = Results(folder)
    with pytest.raises(InputError, match="no scores of other .*there are those of small"):
        observable_of(results, detector="other")
    (folder / "scores" / plot_inputs.MODEL / "ZZ.hdf5").unlink()
    observable = observable_of(results, detector=plot_inputs.MODEL)
    with pytest.raises(InputError, match="lacks sample 'ZZ': python -m ml score"):
        values_of(results, SR, "ZZ", observable)


def test_data_of_a_blind_region_is_not_read(tmp_path):
    results = Results(plot_inputs.write_run(tmp_path / "out", blind=(SR,)))
    with pytest.raises(InputError, match="blind"):
        values_of(results, SR, "data", COUNT)


def test_a_value_that_is_no_number_is_one_line(tmp_path):
    def spoil(region, sample, table):
        table.loc[3, "m_3l"] = np.nan
        return table

    results = Results(plot_inputs.write_run(tmp_path / "out", edit=spoil))
    with pytest.raises(InputError, match="1 events in 'SR3L' whose m_3l is no number"):
        values_of(results, SR, "WZ", observable_of(results, "m_3l"))
