"""Sparse files, old GNU and PAX: expanded, bounded, and refused when their map lies."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from bagline import problems
from bagline.bagit.scan import BagScan, ScannedFile
from bagline.bagit.tar import LIMITS, Limits
from bagline.errors import BagRejected
from bagline.problems import Problem
from support.bags import END, chunked, extension, header, padded, patched_header

STRETCHES = [(0, 3), (1000, 700), (5000, 0)]
STORED = b"abc" + b"z" * 700
EXPANDED = b"abc" + bytes(997) + b"z" * 700 + bytes(3300)


def scanned(raw: bytes, limits: Limits = LIMITS) -> dict[str, ScannedFile]:
    scan = BagScan(chunked(raw, 999), length=len(raw), limits=limits)
    return {file.path: file for file in scan.files()}


def rejection(raw: bytes, limits: Limits = LIMITS) -> Problem:
    with pytest.raises(BagRejected) as caught:
        scanned(raw, limits)
    return caught.value.problems[-1]


def old_gnu(stretches: list[tuple[int, int]], stored: bytes, size: int) -> bytes:
    """An old-GNU sparse member: four stretches in its header, the others in blocks after it."""

    def fields(stretch: tuple[int, int]) -> bytes:
        return b"%011o\0%011o\0" % stretch

    def change(block: bytearray) -> None:
        block[257:265] = b"ustar  \0"
        for at, stretch in enumerate(stretches[:4]):
            block[386 + 24 * at : 410 + 24 * at] = fields(stretch)
        block[482] = len(stretches) > 4
        block[483:495] = b"%011o\0" % size

    raw = patched_header(header(b"bag/data/s", len(stored), b"S"), 0, change)
    rest = stretches[4:]
    while rest:
        block = b"".join(fields(s) for s in rest[:21]).ljust(504, b"\0")
        rest = rest[21:]
        raw += block + (b"\1" if rest else b"\0") + bytes(7)
    return raw + padded(stored)


def pax_1_0(stretches: list[tuple[int, int]], stored: bytes, size: int) -> bytes:
    numbers = [len(stretches), *(n for stretch in stretches for n in stretch)]
    data = padded("".join(f"{n}\n" for n in numbers).encode()) + stored
    records = {
        "GNU.sparse.major": 1,
        "GNU.sparse.minor": 0,
        "GNU.sparse.name": "bag/data/s",
        "GNU.sparse.realsize": size,
    }
    member = header(b"bag/GNUSparseFile.0/s", len(data)) + padded(data)
    return extension(b"x", records) + member


def pax_0_1(stretches: list[tuple[int, int]], stored: bytes, size: int) -> bytes:
    numbers = ",".join(f"{offset},{count}" for offset, count in stretches)
    records = {"GNU.sparse.size": size, "GNU.sparse.map": numbers}
    return extension(b"x", records) + header(b"bag/data/s", len(stored)) + padded(stored)


def pax_0_0(stretches: list[tuple[int, int]], stored: bytes, size: int) -> bytes:
    raw = extension(b"x", {"GNU.sparse.size": size})
    for offset, count in stretches:
        raw += extension(b"x", {"GNU.sparse.offset": offset})
        raw += extension(b"x", {"GNU.sparse.numbytes": count})
    return raw + header(b"bag/data/s", len(stored)) + padded(stored)


MAKERS = [old_gnu, pax_1_0, pax_0_1, pax_0_0]


@pytest.mark.parametrize("maker", MAKERS)
def test_a_sparse_file_has_the_digests_of_its_expanded_bytes(maker) -> None:
    raw = maker(STRETCHES, STORED, len(EXPANDED)) + header(b"bag/data/next") + END
    files = scanned(raw)
    file = files["data/s"]
    assert file.size == len(EXPANDED)
    assert file.digests["sha256"] == hashlib.sha256(EXPANDED).hexdigest()
    span = file.span
    assert span.stretches == ((0, 3), (1000, 700))
    assert raw[span.data_offset : span.data_offset + span.stored_bytes] == STORED
    assert "data/next" in files


@pytest.mark.parametrize("maker", MAKERS)
def test_a_sparse_file_of_many_stretches(maker) -> None:
    stretches = [(10 * n, 1) for n in range(60)]
    expanded = b"".join(b"x" + bytes(9) for _ in range(60))
    files = scanned(maker(stretches, b"x" * 60, 600) + END)
    assert files["data/s"].digests["md5"] == hashlib.md5(expanded).hexdigest()


@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize(
    "stretches",
    [[(10, 3), (5, 700)], [(0, 703), (600, 0)], [(0, 3)], [(4900, 703)], [(0, 900)]],
)
def test_a_map_that_does_not_fit_the_file(maker, stretches: list[tuple[int, int]]) -> None:
    found = rejection(maker(stretches, STORED, len(EXPANDED)) + END)
    assert found.code == problems.BAD_SPARSE_MAP.code


@pytest.mark.parametrize("maker", MAKERS)
def test_more_stretches_than_the_limit(maker) -> None:
    stretches = [(10 * n, 1) for n in range(60)]
    limits = replace(LIMITS, sparse_stretches=20)
    found = rejection(maker(stretches, b"x" * 60, 600) + END, limits)
    assert found.code == problems.BAD_SPARSE_MAP.code


def test_a_map_that_is_no_list_of_numbers() -> None:
    for records in (
        {"GNU.sparse.size": 10, "GNU.sparse.map": "1,2,3"},
        {"GNU.sparse.size": 10, "GNU.sparse.map": "a,b"},
        {"GNU.sparse.size": "ten", "GNU.sparse.map": "0,3"},
    ):
        raw = extension(b"x", records) + header(b"bag/s", 3) + padded(b"abc") + END
        assert rejection(raw).code == problems.BAD_SPARSE_MAP.code


@pytest.mark.parametrize("data", [b"9\n" * 20, b"x\n", b"1" * 2000, b"", b"99999999999\n"])
def test_a_map_inside_the_data_that_never_ends(data: bytes) -> None:
    records = {"GNU.sparse.major": 1, "GNU.sparse.realsize": 10}
    raw = extension(b"x", records) + header(b"bag/s", len(data)) + padded(data) + END
    assert rejection(raw).code in (problems.BAD_SPARSE_MAP.code, problems.TRUNCATED.code)


def test_a_sparse_file_that_would_expand_to_petabytes_is_refused_at_once() -> None:
    raw = pax_0_1([(0, 3)], b"abc", 1024**5) + END
    found = rejection(raw)
    assert found.code == problems.EXPANDS_TOO_FAR.code
    assert found.subject == "data/s"


def test_hard_links_count_towards_what_a_tar_may_expand_to() -> None:
    raw = header(b"bag/a", 600) + padded(b"x" * 600)
    raw += b"".join(header(b"bag/l%d" % n, 0, b"1", link=b"bag/a") for n in range(5)) + END
    limits = replace(LIMITS, expanded_bytes=2000, expanded_factor=0)
    scan = BagScan(chunked(raw), length=len(raw), limits=limits)
    assert [file.path for file in scan.files()] == ["a", "l0", "l1", "l2"]
    assert {p.code for p in scan.problems} == {problems.EXPANDS_TOO_FAR.code}


def test_a_negative_expanded_size() -> None:
    raw = old_gnu([], b"", 0)

    def negative(block: bytearray) -> None:
        block[483:495] = b"\xff" * 12

    assert rejection(patched_header(raw, 0, negative) + END).code == problems.BAD_SIZE.code


def test_a_tar_that_ends_inside_a_map() -> None:
    raw = old_gnu([(10 * n, 1) for n in range(60)], b"x" * 60, 600)
    assert rejection(raw[:700]).code == problems.TRUNCATED.code
    raw = pax_1_0([(10 * n, 1) for n in range(60)], b"x" * 60, 600)
    assert rejection(raw[:-700]).code == problems.TRUNCATED.code
