"""Marks are few, and each tells the entry that lies across its place."""

from __future__ import annotations

from bagline.bagit.writing.marks import Mark, Marks


def test_each_multiple_of_the_step_has_the_entry_across_it() -> None:
    marks = Marks(step=10, most=100)
    for begin, end, after in ((0, 9, ""), (9, 10, "a"), (10, 35, "b"), (35, 41, "c")):
        marks.entry(begin, end, after)
    assert [marks.at(at) for at in (0, 9, 10, 29, 30, 40)] == [
        *(Mark(0, ""), Mark(0, ""), Mark(10, "b"), Mark(10, "b"), Mark(10, "b"), Mark(35, "c"))
    ]


def test_where_there_are_too_many_each_second_one_goes() -> None:
    marks = Marks(step=1, most=4)
    for at in range(37):
        marks.entry(at, at + 1, str(at))
    assert marks.step == 16
    assert [marks.at(at).begin for at in range(0, 37, 4)] == [0, 0, 0, 0, 16, 16, 16, 16, 32, 32]


def test_a_path_counts_once_however_many_marks_its_entry_has() -> None:
    marks = Marks(step=1, most=100, cursor_bytes=10)
    marks.entry(0, 50, "8 of 10.")
    assert marks.step == 1
    marks.entry(50, 52, "too many")
    assert marks.step > 1
    assert marks.at(49).begin == 0
