"""Results of statistics are written with what made them, in numbers that JSON has."""

import numpy as np
import pytest
from conftest import read_json
from plot_inputs import write_run

from analysis.files import checksum
from analysis.results import Results
from analysis.stats.__main__ import main
from analysis.stats.result import plain, write_result


def test_numbers_are_plain_and_finite():
    value = {"a": np.array([1.0, np.nan]), 2: (np.float64(np.inf), np.int64(3)), "b": True}
    assert plain(value) == {"a": [1.0, None], "2": [None, 3], "b": True}
    assert type(plain(value)["2"][1]) is int


def test_result_says_what_made_it(tmp_path):
    results = Results(write_run(tmp_path / "out"))
    path = write_result(results, "mine", "limit", ["limit", "OUT"], {"x": np.nan})
    assert path == tmp_path / "out" / "stats" / "mine" / "limit.json"
    assert read_json(path) == {
        "format": 1,
        "kind": "limit",
        "command": ["python", "-m", "analysis.stats", "limit", "OUT"],
        "run": {"luminosity_ifb": 10.0, "sha256": checksum(tmp_path / "out" / "run.json")},
        "x": None,
    }


@pytest.mark.parametrize("name", ["../up", ".hidden", "a/b", ""])
def test_name_that_is_no_folder_is_wrong_usage(name, tmp_path, capsys):
    with pytest.raises(SystemExit) as exit:
        main(["abcd", str(tmp_path), "--name", name])
    assert exit.value.code == 2 and "cannot name a folder" in capsys.readouterr().err
