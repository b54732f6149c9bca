"""The compact index of files: exact, and as small as it says."""

from __future__ import annotations

import tracemalloc

from bagline.bagit.digests import digests_of
from bagline.bagit.scan import FileIndex
from bagline.model.ingest import TarSpan


def test_files_are_found_with_all_that_was_put_in() -> None:
    index = FileIndex()
    for number in range(5000):
        span = TarSpan(number * 1024, number * 1024 + 512, 9, ((0, 9),) if number == 7 else ())
        assert index.add(f"data/{number}", digests_of(b"%d" % number), number, span) is None
    assert len(index) == 5000
    assert index.add("data/7", digests_of(b""), 1, TarSpan(0, 0, 0)) == 7
    assert index.find("data/x") is None
    row = index.find("data/4321")
    assert row == 4321
    assert index.digests(row) == digests_of(b"4321")
    assert index.size(row) == 4321
    assert index.span(row) == TarSpan(4321 * 1024, 4321 * 1024 + 512, 9)
    assert index.span(7).stretches == ((0, 9),)


def test_names_that_are_not_utf8_are_told_apart() -> None:
    index = FileIndex()
    for name in ("data/\udce9", "data/é", "data/\udcc3\udca8"):
        assert index.add(name, bytes(132), 0, TarSpan(0, 0, 0)) is None


def test_a_file_costs_less_than_250_bytes() -> None:
    digests = digests_of(b"")
    tracemalloc.start()
    try:
        index = FileIndex()
        for number in range(50_000):
            index.add(f"data/some/long/path/{number}", digests, 0, TarSpan(number, number, 0))
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size / 50_000 < 250
