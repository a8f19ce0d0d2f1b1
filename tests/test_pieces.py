"""Pieces do not overlap and hold all entries."""

import random

import pytest

from analysis.batch.pieces import Piece, cut


def entries_of(pieces, sizes):
    """Every entry that the pieces read, as (sample, file, entry in the file)."""
    for piece in pieces:
        position = [(file, n) for file in piece.files for n in range(sizes[piece.sample][file])]
        for file, entry in position[piece.begin : piece.begin + piece.entries]:
            yield piece.sample, file, entry


def test_whole_files():
    pieces = cut({"a": {"x": 3, "y": 4, "z": 5}}, files_per_job=2)
    assert pieces == [Piece("0000", "a", ("x", "y"), 0, 7), Piece("0001", "a", ("z",), 0, 5)]


def test_ranges_of_events_are_of_nearly_equal_size_and_cross_files():
    pieces = cut({"a": {"x": 3, "y": 4}}, events_per_job=3)
    assert pieces == [
        Piece("0000", "a", ("x",), 0, 2),
        Piece("0001", "a", ("x", "y"), 2, 2),
        Piece("0002", "a", ("y",), 1, 3),
    ]


def test_files_without_entries_belong_to_no_piece_unless_there_are_no_others():
    sizes = {"a": {"empty": 0, "x": 2, "none": 0, "y": 2}, "b": {"empty": 0}}
    for how in ({"files_per_job": 5}, {"events_per_job": 5}):
        assert cut(sizes, **how) == [
            Piece("0000", "a", ("x", "y"), 0, 4),
            Piece("0001", "b", ("empty",), 0, 0),
        ]


@pytest.mark.parametrize("how", ["files_per_job", "events_per_job"])
def test_every_entry_is_in_one_piece(how):
    draw = random.Random(1)
    for _ in range(200):
        sizes = {
            sample: {f"{sample}{n}": draw.choice((0, 1, 5, 17)) for n in range(draw.randint(1, 6))}
            for sample in "ab"
        }
        limit = draw.choice((None, 1, 7, 1000))
        pieces = cut(sizes, **{how: draw.randint(1, 9)}, limit=limit)
        expected = [
            entry
            for sample, files in sizes.items()
            for entry in [(sample, f, n) for f in files for n in range(files[f])][:limit]
        ]
        assert list(entries_of(pieces, sizes)) == expected
        assert [int(piece.name) for piece in pieces] == list(range(len(pieces)))
        if how == "events_per_job":
            numbers = [piece.entries for piece in pieces if piece.sample == "a"]
            assert max(numbers) - min(numbers) <= 1
