"""Headers that are written are read back as they were meant, by Bagline and by Python."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bagline.bagit.tar import BLOCK, RECORD, Member, MemberKind, TarReader
from bagline.bagit.writing.tar_headers import (
    directory_header,
    end_length,
    file_header,
    file_header_length,
    padded,
)
from bagline.model.times import Timestamp, from_nanoseconds
from support.restored import paths

WHOLE = Timestamp("2024-01-02T03:04:05Z")
FRACTION = Timestamp("2024-01-02T03:04:05.123456Z")
GIB = 1024**3

microseconds = st.integers(-(10**15), 10**17)


def read(header: bytes) -> Member:
    """What Bagline's reader makes of a header whose data does not follow."""
    member = TarReader([header]).next_member()
    assert member is not None
    assert member.end_offset - padded(member.stored) == len(header)
    return member


def by_python(header: bytes) -> tarfile.TarInfo:
    source = io.BytesIO(header)
    with tarfile.open(fileobj=source, encoding="utf-8", errors="surrogateescape") as found:
        member = found.next()
    assert member is not None
    return member


@settings(max_examples=200, deadline=None)
@given(paths, st.integers(0, 2**62), microseconds)
def test_a_file_is_read_back_as_it_was_written(path: str, size: int, micros: int) -> None:
    header = file_header(f"bag/{path}", size, from_nanoseconds(1000 * micros))
    member = read(header)
    assert (member.name, member.kind, member.size) == (f"bag/{path}", MemberKind.FILE, size)
    assert member.mtime == 1000 * micros
    if size < 2**40:
        theirs = by_python(header)
        assert (theirs.name, theirs.size, theirs.isreg()) == (f"bag/{path}", size, True)
        assert (theirs.mode, theirs.uid, theirs.gid, theirs.uname) == (0o644, 0, 0, "")


@settings(max_examples=200, deadline=None)
@given(paths, st.one_of(st.integers(0, 2**62), st.integers(8**11 - 2, 8**11 + 2)), microseconds)
def test_a_headers_length_is_known_before_it_is_made(path: str, size: int, micros: int) -> None:
    moment = from_nanoseconds(1000 * micros)
    assert file_header_length(path, size, moment) == len(file_header(path, size, moment))


@pytest.mark.parametrize(
    "length", [*range(1, 20), *range(80, 110), *range(940, 1100), 9990, 99_985]
)
def test_that_holds_wherever_a_records_length_has_another_digit(length: int) -> None:
    name = "é" + "n" * length
    assert file_header_length(name, 0, WHOLE) == len(file_header(name, 0, WHOLE))


@pytest.mark.parametrize(
    ("name", "size", "moment", "blocks"),
    [
        ("n" * 100, 8 * GIB - 1, WHOLE, 1),
        ("n" * 101, 0, WHOLE, 3),
        ("é", 0, WHOLE, 3),
        ("n", 8 * GIB, WHOLE, 3),
        ("n", 0, FRACTION, 3),
        ("n", 0, Timestamp("1969-12-31T23:59:59Z"), 3),
    ],
)
def test_an_extended_header_stands_only_where_it_must(
    name: str, size: int, moment: Timestamp, blocks: int
) -> None:
    header = file_header(name, size, moment)
    assert len(header) == blocks * BLOCK
    assert header[257:265] == b"ustar\x0000"
    assert header[156:157] == (b"0" if blocks == 1 else b"x")


def test_a_name_that_is_not_utf8_is_said_to_be_bytes() -> None:
    assert b"21 hdrcharset=BINARY\n" in file_header("bag/\udce9", 0, WHOLE)
    assert b"hdrcharset" not in file_header("bag/é", 0, WHOLE)


def test_a_moment_keeps_its_microseconds_and_no_more() -> None:
    assert read(file_header("n", 0, FRACTION)).mtime == 1_704_164_645_123_456_000
    finer = Timestamp("2024-01-02T03:04:05.123456789Z")
    assert file_header("n", 0, finer) == file_header("n", 0, FRACTION)
    assert read(file_header("n", 0, Timestamp("1969-12-31T23:59:59.25Z"))).mtime == -750_000_000


def test_a_directory_is_one() -> None:
    header = directory_header("bag/data", WHOLE)
    member, theirs = read(header), by_python(header)
    assert (member.name, member.kind) == ("bag/data/", MemberKind.DIRECTORY)
    assert (theirs.isdir(), theirs.mode, len(header)) == (True, 0o755, BLOCK)


@pytest.mark.parametrize("offset", [512, 9216, 9728, 10240, 10752, 40 * RECORD])
def test_a_tar_ends_with_two_blocks_of_zeros_and_a_whole_record(offset: int) -> None:
    end = offset + end_length(offset)
    assert end % RECORD == 0
    assert 2 * BLOCK <= end_length(offset) < 2 * BLOCK + RECORD
