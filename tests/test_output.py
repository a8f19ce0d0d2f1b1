"""The output folder as it is read, without ROOT."""

import json

import ml_tables
import numpy as np
import pandas as pd
import pytest

from analysis import output
from analysis.errors import InputError

WZ = ("WZ", "diboson3L", "background", 40, 40.0, 0.5)


@pytest.fixture
def folder(tmp_path):
    return ml_tables.write_output(tmp_path / "output", [WZ])


def test_format_1_is_read_as_the_latest(folder):
    written = json.loads((folder / "run.json").read_text())
    assert written["format"] == 1 and written["features"][0]["bins"] == [50, 0, 500]
    first = output.read_run(folder)["features"][0]
    assert first["binning"] == {"bins": 50, "low": 0, "high": 500} and "bins" not in first


def test_interrupted_run_is_told(folder):
    (folder / "run.json").unlink()
    (folder / ".partial-x").mkdir()
    with pytest.raises(InputError, match=r"no run.json in .* interrupted there"):
        output.read_run(folder)


def test_columns_come_in_the_order_asked_for_and_with_their_types(folder):
    path = folder / ml_tables.TABLE.format("WZ")
    expected = pd.read_hdf(path, output.TABLE)
    with output.Table(path) as table:
        assert set(table.columns) == set(expected)
        pd.testing.assert_frame_equal(
            pd.DataFrame(table.read_columns()), expected[[*table.columns]], check_column_type=False
        )
        names = ["EventNumber", "e_T_miss", "wgt_SG", "flcomp"]
        found = table.read_columns(names)
        assert list(found) == names
        assert [values.dtype for values in found.values()] == list(expected[names].dtypes)
        assert list(table.ranges(30)) == [(0, 30), (30, 40)]
        np.testing.assert_array_equal(table.read(["m_3l"], 30, 99)[:, 0], expected["m_3l"][30:])
        with pytest.raises(InputError, match=f"{path} lacks the column m_4l"):
            table.read(["m_3l", "m_4l"])
