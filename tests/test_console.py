"""Text that fits the terminal: nothing wraps, nothing is lost."""

from types import SimpleNamespace

import numpy as np
import pytest

from analysis import console, summary
from analysis.selection import Cut, Region

NAMES = ("WZ", "WR1500_N600", "a_sample_whose_name_has_forty_letters_in", "data")
CUTS = (
    *("3 baseline", "3 signal", "2 with pT > 20", "on the Z peak", "no b-jet"),
    *("LT + ETmiss < 300", "ETmiss > 40", "a_cut_without_blanks_in_its_name"),
)


def joined(lines):
    """All that is printed, without blanks."""
    return "".join("".join(lines).split())


def a_table(cuts, names=NAMES):
    """Heads and rows of a cutflow."""
    numbers = np.random.default_rng(5).lognormal(5, 3, (len(names), len(cuts) + 1))
    rows = [
        (name, *map(summary.figures, row), str(int(row[0])))
        for name, row in zip(names, numbers, strict=True)
    ]
    return ("", "all", *cuts, "events"), rows


def test_width_is_that_of_the_terminal_and_80_without_one(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert console.width() == 80
    monkeypatch.setenv("COLUMNS", "132")
    assert console.width() == 132


def test_a_table_that_fits_is_side_by_side():
    lines = console.table(("", "n", "what"), [("a", "1.25", "x"), ("bb", "10", "yyy")], 80)
    assert lines == ["        n  what", "a    1.25  x", "bb  10     yyy"]


def test_no_rows_are_no_lines():
    assert console.table(("", "n"), [], 80) == []


@pytest.mark.parametrize("most", [40, 60, 80, 120])
@pytest.mark.parametrize("cuts", [0, 1, 4, 8])
def test_no_table_is_too_wide_and_nothing_is_lost(most, cuts):
    heads, rows = a_table(CUTS[:cuts])
    lines = console.table(heads, rows, most)
    assert max(map(len, lines)) <= most
    shown = joined(lines)
    for row in rows:
        assert all(text.replace(" ", "") in shown for text in row), row
    words = " ".join(lines).split()
    for cut in CUTS[: min(cuts, 7)]:
        assert all(word in words for word in cut.split()), cut


def test_a_long_head_takes_several_lines_over_its_own_column():
    rows = [("WZ", "1.5", "2.5"), ("ZZ", "3.5", "4.5")]
    lines = console.table(("", "2 with pT > 20", "LT + ETmiss < 300"), rows, 30)
    assert lines == [
        "                   LT +",
        "    2 with pT  ETmiss <",
        "         > 20       300",
        "WZ        1.5       2.5",
        "ZZ        3.5       4.5",
    ]


def test_columns_without_room_go_on_below_with_the_names():
    heads = ("", *(f"cut{n}" for n in range(6)))
    rows = [(name, *(f"{n}{name}" for n in range(6))) for name in ("one", "two")]
    lines = console.table(heads, rows, 20)
    assert lines[:3] == ["     cut0  cut1", "one  0one  1one", "two  0two  1two"]
    assert lines[3] == "" and lines[4] == "     cut2  cut3" and len(lines) == 11


def test_a_long_name_stands_on_a_line_of_its_own():
    rows = [("x" * 30, "1" * 8, "2" * 8), ("WZ", "3", "4")]
    lines = console.table(("", "a", "b"), rows, 40)
    place = lines.index("x" * 30)
    assert lines[place + 1].split() == ["1" * 8, "2" * 8]
    assert lines[place + 2].split() == ["WZ", "3", "4"]


def test_a_long_text_is_told_with_the_name_of_its_column():
    text = " ".join(["word"] * 20)
    lines = console.table(("Event", "Run", "Cells"), [("17", "3", text)], 50)
    assert lines[0] == "Event 17, Run 3" and lines[1].startswith("  Cells: word")
    assert max(map(len, lines)) <= 50 and joined(lines).count("word") == 20


def test_without_a_width_a_table_is_never_broken():
    heads, rows = a_table(CUTS)
    lines = console.table(heads, rows)
    assert len(lines) == 1 + len(rows)
    assert all(cut in lines[0] for cut in CUTS)


def test_dots_stand_below_each_other():
    assert console.aligned(["1.25", "100", "-3.5", "blind"]) == [
        "1.25",
        "100   ",
        "-3.5 ",
        "blind",
    ]
    assert console.aligned(["1 +- 2", "3.5 +- 1"]) == ["1 +- 2", "3.5 +- 1"]


@pytest.mark.parametrize(
    "value, text",
    [
        (0.0, "0"),
        (60130.16, "60130"),
        (1234.567, "1234.6"),
        (123.4567, "123.46"),
        (12.34567, "12.346"),
        (1.234567, "1.235"),
        (0.1234567, "0.1235"),
        (0.001234567, "0.001235"),
        (-12.34567, "-12.346"),
        (1.234567e-7, "1.235e-07"),
        (1.234567e12, "1.235e+12"),
    ],
)
def test_sums_of_weights_have_four_or_more_digits(value, text):
    assert summary.figures(value) == text


def test_data_are_counted():
    assert summary.figures(9760.0, "data") == "9760"
    assert summary.figures(9760.5, "data") == "9760.5"


def test_summary_of_a_run_fits_80_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    cuts = tuple(Cut(name, "x > 0") for name in CUTS)
    rows = [SimpleNamespace(sumw=12345.678 / (n + 1), sumw2=4.0, entries=999 - n) for n in range(9)]
    kinds = ("background", "background", "background", "data")
    samples = [
        SimpleNamespace(name=name, kind=kind) for name, kind in zip(NAMES, kinds, strict=True)
    ]
    job = SimpleNamespace(
        samples=SimpleNamespace(samples=samples),
        declarations=SimpleNamespace(regions=[Region("SR_search", cuts, "SR_search")]),
    )
    results = SimpleNamespace(
        cutflows={"SR_search": dict.fromkeys(NAMES, rows)}, failed={}, kept=0, files=[]
    )
    summary.print_summary(job, results, "out", 1.0)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert all(name in out for name in (*NAMES, "background 4115.23 +- 3.46"))
    assert out.count("991") == 4 and "2973" in out  # the last cut's events, and their sum
