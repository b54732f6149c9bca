"""Python's tarfile, libarchive and we read every tar alike, or a row of the table tells why not."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from conformance.codes import CODES
from conformance.kinds import CASES, bag_of
from differential.mutations import mutated
from differential.readers import by_libarchive, by_tarfile, needs_libarchive, ours
from differential.table import LIBARCHIVE, ROWS, TARFILE, Row, partings
from fuzz.inputs import seeds
from fuzz.targets import SMALL, TARGETS
from support.bags import END, header, padded, pax, valid_bag

MUTATED = 20_000
AT_ONCE = 2_500
ALIKE_AT_LEAST = 0.5
CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus" / "scanner"


@pytest.fixture(scope="module")
def libarchive() -> Any:
    logging.getLogger("libarchive").setLevel(logging.ERROR)  # it warns of what it passes over
    return needs_libarchive()


class Comparison:
    """Tars compared so far: rows that were needed, and how many tars needed none."""

    rows_of_all: ClassVar[set[Row]] = set()

    def __init__(self, libarchive: Any) -> None:
        self.libarchive = libarchive
        self.rows: set[Row] = set()
        self.alike = self.all = 0

    def compare(self, what: str, raw: bytes) -> None:
        us, needed = ours(raw), set[Row]()
        for reader, them in (
            (TARFILE, by_tarfile(raw)),
            (LIBARCHIVE, by_libarchive(self.libarchive, raw)),
        ):
            for parting, row in partings(raw, reader, us, them):
                assert row is not None, (
                    f"{what}: {reader} reads {parting.theirs} ({them.fault}),"
                    f" and we {parting.ours} ({us.fault}) at {parting.offset}"
                )
                needed.add(row)
        self.rows |= needed
        self.rows_of_all |= needed
        self.all += 1
        self.alike += not needed


@pytest.fixture(scope="module")
def seen(libarchive: Any) -> Comparison:
    return Comparison(libarchive)


def good() -> Iterable[tuple[str, bytes]]:
    for format in ("pax", "gnu", "ustar"):
        yield format, valid_bag().hard_link("data/l", "data/empty").tar(format, directories=True)
        for case in CASES:
            yield f"{case.what} {format}", bag_of(case, "1.0").tar(format)


def test_conformance_bags_are_read_alike_by_all(libarchive: Any) -> None:
    compared = Comparison(libarchive)
    for what, raw in good():
        compared.compare(what, raw)
    assert {(row.reader, row.reason.partition(":")[0]) for row in compared.rows} == {
        (TARFILE, "a directory written as a file whose name ends in a slash"),
        (LIBARCHIVE, "libarchive gives names of PAX records in another normal form than they have"),
    }
    assert (compared.all > 300, compared.all - compared.alike < 12) == (True, True)


def test_tars_that_provoke_problems_and_those_of_the_fuzzers(libarchive: Any) -> None:
    compared = Comparison(libarchive)
    for code, make in CODES.items():
        compared.compare(code, make().raw)
    for file in sorted(CORPUS.iterdir()):
        compared.compare(file.name, file.read_bytes())
    for number, raw in enumerate(seeds("scanner")):
        compared.compare(f"seed {number}", raw)
    assert compared.all > 150


def odd_checksum() -> bytes:
    block = bytearray(header(b"bag/a"))
    block[148:156] = b"%06o\0\xe8" % (sum(block[:148]) + sum(block[156:]) + 256)
    return bytes(block)


LINK = header(b"bag/l", 600, b"1", link=b"bag/a")
RARE = {
    "a checksum with a byte behind it": header(b"bag/0") + odd_checksum() + END,
    "a long link and no link": header(b"long", 2, b"K")
    + padded(b"x")
    + header(b"b", 0, b"2")
    + END,
    "two sizes of a sparse file": pax(
        GNU_sparse_realsize=9, GNU_sparse_size=10, GNU_sparse_map="0,3"
    )
    + header(b"bag/a", 3)
    + padded(b"abc")
    + END,
    "a link cut off in its bytes": header(b"bag/a") + LINK + b"x" * 512,
    "an extended label": pax(path="bag/b") + header(b"label", 0, b"V") + header(b"bag/a") + END,
}


@pytest.mark.parametrize("what", RARE)
def test_tars_that_chance_seldom_makes(what: str, libarchive: Any) -> None:
    compared = Comparison(libarchive)
    compared.compare(what, RARE[what])
    assert compared.rows


@pytest.mark.parametrize("start", range(0, MUTATED, AT_ONCE))
def test_mutated_tars_are_read_alike_or_the_table_tells_why(start: int, seen: Comparison) -> None:
    for seed in range(start, start + AT_ONCE):
        seen.compare(f"seed {seed}", mutated(seed))


def test_every_row_of_the_table_is_needed_and_most_tars_need_none(seen: Comparison) -> None:
    assert seen.all == MUTATED, "the tests before this one were not run"
    unused = [row.reason for row in ROWS if row not in seen.rows_of_all]
    assert unused == []
    assert seen.alike / seen.all > ALIKE_AT_LEAST


@pytest.mark.parametrize("start", range(0, MUTATED, 10 * AT_ONCE // 5))
def test_mutated_tars_break_no_promise_of_the_scanner(start: int) -> None:
    """Every tenth of them, for it is looked at more closely, and cut off, too."""
    for seed in range(start, start + AT_ONCE * 2, 10):
        TARGETS["scanner"](mutated(seed))
    assert SMALL.members


def test_an_entry_that_nobody_explains_is_told(libarchive: Any) -> None:
    """The judge is judged: a reading of ours that is wrong finds no row."""
    raw = header(b"bag/a", 3) + padded(b"abc") + header(b"bag/b") + END
    other = raw.replace(b"abc", b"abd")
    assert not list(partings(raw, TARFILE, ours(raw), by_tarfile(raw)))
    [(parting, row)] = partings(raw, TARFILE, ours(other), by_tarfile(raw))
    assert (parting.at, row) == (0, None)
    [(parting, row)] = partings(
        raw, LIBARCHIVE, ours(raw[:1024] + END), by_libarchive(libarchive, raw)
    )
    assert (parting.at, row) == (1, None)
