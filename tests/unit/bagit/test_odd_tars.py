"""Tars that programs write in their own way: what a name, a size and the end mean in them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bagline import problems
from bagline.bagit.scan import BagScan, ScannedFile
from bagline.bagit.tar import header as tarheader
from bagline.bagit.tar.stream import ByteStream
from bagline.errors import BagRejected
from bagline.problems import Problem
from support.bags import END, chunked, extension, header, padded, patched_header, pax

RECORD = 10_240
BODY = b"words " * 99


def scanned(raw: bytes, chunk: int = 700) -> tuple[list[Problem], dict[str, ScannedFile]]:
    scan = BagScan(chunked(raw, chunk), length=len(raw), cores=1)
    files = {file.path: file for file in scan.files()}
    return scan.problems, files


def sizes(files: dict[str, ScannedFile]) -> dict[str, int]:
    return {path: file.size for path, file in files.items()}


def rejection(raw: bytes) -> list[Problem]:
    with pytest.raises(BagRejected) as caught:
        scanned(raw)
    return caught.value.problems


def long_name(name: bytes) -> bytes:
    return header(b"././@LongLink", len(name) + 1, b"L") + padded(name + b"\0")


def as_magic(block: bytes, magic: bytes) -> bytes:
    def change(fields: bytearray) -> None:
        fields[257:265] = magic

    return patched_header(block, 0, change)


def with_field(block: bytes, start: int, value: bytes) -> bytes:
    def change(fields: bytearray) -> None:
        fields[start : start + len(value)] = value

    return patched_header(block, 0, change)


# -- what a header's own name says, before the name that stands before it
CUT = b"bag/data/" + b"d" * 90 + b"/"
LONG = CUT + b"file.txt"


@pytest.mark.parametrize("kind", [b"0", b"\0", b"7"])
@pytest.mark.parametrize("before", [long_name(LONG), pax(path=LONG)], ids=["gnu", "pax"])
def test_a_header_whose_cut_name_ends_in_a_slash_is_still_a_file(
    before: bytes, kind: bytes
) -> None:
    assert len(CUT) == 100
    raw = before + header(CUT, len(BODY), kind) + padded(BODY) + END
    found, files = scanned(raw)
    assert (found, sizes(files)) == ([], {LONG[4:].decode(): len(BODY)})


def test_an_overriding_size_counts_for_a_header_whose_own_name_ends_in_a_slash() -> None:
    raw = pax(path="bag/data/a", size=3) + header(b"bag/data/", 0, b"\0") + padded(b"abc") + END
    found, files = scanned(raw)
    assert (found, sizes(files)) == ([], {"data/a": 3})


# -- directories written as files
@pytest.mark.parametrize("kind", [b"0", b"\0", b"7"])
@pytest.mark.parametrize(
    "before",
    [
        header(b"bag/data/"),
        long_name(b"bag/data/") + header(b"bag/data"),
        pax(path="bag/data/") + header(b"bag/data"),
        long_name(CUT + b"sub/") + header(CUT),
        pax(path=CUT + b"sub//") + header(CUT),
    ],
    ids=["plain", "gnu", "pax", "gnu cut", "pax two slashes"],
)
def test_a_regular_entry_whose_name_ends_in_a_slash_is_a_directory(
    before: bytes, kind: bytes
) -> None:
    raw = with_field(before[-512:], 156, kind) + header(b"bag/data/a", 3) + padded(b"abc") + END
    found, files = scanned(before[:-512] + raw)
    assert (found, sizes(files)) == ([], {"data/a": 3})


@pytest.mark.parametrize("kind", [b"0", b"\0", b"7"])
def test_bytes_under_the_name_of_a_directory_are_a_problem_and_not_lost(kind: bytes) -> None:
    raw = header(b"bag/data/x/", 5, kind) + padded(b"bytes") + header(b"bag/data/a") + END
    found, files = scanned(raw)
    assert found == [problems.NAMED_AS_DIRECTORY.about("bag/data/x/", size=5)]
    assert sizes(files) == {"data/x": 5, "data/a": 0}


# -- hard links with bytes of their own
LINKED = header(b"bag/data/a", len(BODY)) + padded(BODY)


def link(size: int = len(BODY), name: bytes = b"bag/data/l", to: bytes = b"bag/data/a") -> bytes:
    return header(name, size, b"1", link=to)


@pytest.mark.parametrize("chunk", [1, 512, 700, 1 << 20])
@pytest.mark.parametrize(
    "first", [b"", pax(mtime=1), extension(b"g", {"comment": "x"})], ids=["ustar", "x", "g"]
)
def test_a_hard_link_may_carry_its_bytes(first: bytes, chunk: int) -> None:
    raw = LINKED + first + link() + padded(BODY) + header(b"bag/z") + END
    found, files = scanned(raw, chunk)
    assert (found, sizes(files)) == ([], {"data/a": len(BODY), "data/l": len(BODY), "z": 0})
    assert files["data/l"].digests == files["data/a"].digests
    assert files["data/l"].span.data_offset > files["data/a"].span.data_offset
    assert not files["data/l"].is_linked


def test_a_hard_link_takes_the_size_of_its_pax_header() -> None:
    raw = LINKED + pax(size=len(BODY)) + link(0) + padded(BODY) + header(b"bag/z") + END
    assert sizes(scanned(raw)[1])["data/l"] == len(BODY)


@pytest.mark.parametrize("magic", [b"ustar\x0000", b"ustar  \0", bytes(8)], ids=ascii)
@pytest.mark.parametrize("behind", [header(b"bag/z") + END, END, b""], ids=["entry", "end", "cut"])
def test_a_hard_link_with_its_targets_size_and_no_bytes(magic: bytes, behind: bytes) -> None:
    found, files = scanned(LINKED + as_magic(link(), magic) + behind)
    assert files["data/l"].span == files["data/a"].span
    assert [p.code for p in found] == [] if behind else [problems.NO_END_MARK.code]


def test_a_hard_link_of_gnu_or_v7_never_carries_bytes() -> None:
    for magic in (b"ustar  \0", bytes(8)):
        found = rejection(LINKED + as_magic(link(), magic) + padded(BODY) + END)
        offset = len(LINKED) + 512
        assert found[-1] == problems.BAD_HEADER.about(offset=offset, reason="its checksum is wrong")


def test_a_hard_link_with_other_bytes_than_its_target_is_a_problem() -> None:
    raw = LINKED + link(5) + padded(b"other") + END
    found, files = scanned(raw)
    assert found == [problems.LINK_DIFFERS.about("data/l", target="bag/data/a")]
    assert sizes(files)["data/l"] == 5


def test_a_hard_link_with_bytes_needs_no_target() -> None:
    found, files = scanned(link(to=b"bag/data/none") + padded(BODY) + END)
    assert (found, sizes(files)) == ([], {"data/l": len(BODY)})


def test_a_tag_file_that_is_a_hard_link_with_bytes_is_read() -> None:
    taken: list[str] = []

    def tap(path: str, role: object, size: int) -> None:
        taken.append(path)

    raw = LINKED + link(name=b"bag/bagit.txt") + padded(BODY) + END
    scan = BagScan(chunked(raw), length=len(raw), tap=tap, cores=1)
    assert [file.path for file in scan.files()] == ["data/a", "bagit.txt"]
    assert scan.problems == []
    assert taken == ["data/a", "bagit.txt"]


def test_peeked_bytes_are_read_again_at_their_place() -> None:
    raw = bytes(range(200))
    for chunk in (1, 7, 64, 200):
        stream = ByteStream(chunked(raw, chunk), len(raw))
        stream.skip(5)
        assert stream.peek(90) == raw[5:95]
        assert stream.offset == 5
        assert b"".join(stream.pieces(100)) == raw[5:105]
        assert stream.offset == 105
        assert stream.peek(500) == raw[105:]
        assert stream.read(500) == raw[105:]
        assert stream.peek(1) == b""


# -- numbers
NO_SIZES = [
    b"0000000_005",
    b"+0000000005",
    b"-0000000005",
    b"0o000000005",
    b"0b000000001",
    b"0000000005x",
    b"000000 0005",
    b"\t0000000005",
    b"0000000005\n",
    b"00000000008",
    b"0000000005.",
    b"00000000" + "\u0665".encode(),
    b"\0" + b"0000000005",
    b"\0  000000005",
]


@pytest.mark.parametrize("value", NO_SIZES, ids=ascii)
def test_a_size_that_is_not_octal_is_refused(value: bytes) -> None:
    block = with_field(header(b"bag/a"), 124, value.ljust(12, b"\0"))
    found = rejection(block + padded(b"hello") + END)
    assert [p.code for p in found] == [problems.BAD_HEADER.code]
    assert "is no octal number" in found[0].message


@pytest.mark.parametrize(
    "value",
    [
        b"00000000005\x00",
        b"00000000005 ",
        b"          5 ",
        b"5".ljust(12, b"\x00"),
        b"5           ",
        b"000000000005",
        b"5 \x00 old text",
        b"  5\x00junk 7_",
    ],
    ids=ascii,
)
def test_sizes_of_other_programs_are_read(value: bytes) -> None:
    block = with_field(header(b"bag/a"), 124, value.ljust(12, b"\0"))
    assert sizes(scanned(block + padded(b"hello") + END)[1]) == {"a": 5}


def test_a_size_of_blanks_or_nothing_is_zero() -> None:
    for value in (bytes(12), b" " * 12, b" \0 000000005", bytes(2) + b"0000000005"):
        assert sizes(scanned(with_field(header(b"bag/a"), 124, value) + END)[1]) == {"a": 0}


@pytest.mark.parametrize("value", [b"0000_01", b"+001234", b"\t01234"], ids=ascii)
def test_a_time_that_is_not_octal_is_no_time(value: bytes) -> None:
    block = with_field(header(b"bag/a"), 136, value.ljust(12, b"\0"))
    assert scanned(block + END)[1]["a"].modified == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize("sign", [b"+", b"_", b"\t"], ids=ascii)
def test_a_checksum_that_is_not_octal_is_wrong(sign: bytes) -> None:
    """Python's int reads each of these as the right sum."""
    block = bytearray(header(b"bag/a"))
    digits = bytes(block[148:154]).lstrip(b"0")
    block[148:156] = ((sign + digits) if sign != b"_" else digits[:2] + sign + digits[2:]).ljust(
        8, b"\0"
    )
    found = rejection(header(b"bag/0") + bytes(block) + END)
    assert found == [problems.BAD_HEADER.about(offset=512, reason="its checksum is wrong")]


PAX_NUMBERS = ["1_0", "+5", " 5", "5 ", "\u0665", "0x5", "5.0", "5e0", "-5", "\u00b2", "5\n"]


@pytest.mark.parametrize("value", PAX_NUMBERS, ids=ascii)
def test_a_pax_size_that_is_not_decimal_is_refused(value: str) -> None:
    found = rejection(pax(size=value) + header(b"bag/a") + padded(b"hello") + END)
    assert [p.code for p in found] == [problems.BAD_PAX.code]


@pytest.mark.parametrize("value", ["1_0", "+5", " 5", "\u0665", "1e3", "inf", "nan", ".5", "0x5"])
def test_a_pax_time_that_is_not_decimal_leaves_the_headers(value: str) -> None:
    _, files = scanned(pax(mtime=value) + header(b"bag/a") + END)
    assert files["a"].modified == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize("value", [b"1_0", b"+9", b" 9", "\u0669".encode(), b"-9"], ids=ascii)
def test_numbers_of_sparse_maps_are_decimal(value: bytes) -> None:
    maps = [
        pax(GNU_sparse_size=value, GNU_sparse_map="0,2"),
        pax(GNU_sparse_size=9, GNU_sparse_map=b"0," + value),
        pax(GNU_sparse_size=9, GNU_sparse_numblocks=1, GNU_sparse_offset=value),
    ]
    for first in maps:
        found = rejection(first + header(b"bag/a", 2) + padded(b"hi") + END)
        assert [p.code for p in found] == [problems.BAD_SPARSE_MAP.code]
    one = pax(GNU_sparse_major=1, GNU_sparse_minor=0, GNU_sparse_realsize=9)
    body = padded(b"1\n" + value + b"\n2\n") + b"hi"
    found = rejection(one + header(b"bag/a", len(body)) + padded(body) + END)
    assert [p.code for p in found] == [problems.BAD_SPARSE_MAP.code]


def test_numbers_of_old_gnu_maps_are_octal() -> None:
    block = with_field(header(b"bag/a", 2, b"S"), 386, b"0_0".ljust(12, b"\0") + b"%011o\0" % 2)
    found = rejection(with_field(block, 483, b"%011o\0" % 9) + padded(b"hi") + END)
    assert [p.code for p in found] == [problems.BAD_SPARSE_MAP.code]


@pytest.mark.parametrize("length", [b"1_1", b"+11", b" 11", b"0x0b", "\u0661\u0661".encode()])
def test_the_length_of_a_pax_record_is_decimal(length: bytes) -> None:
    body = length + b" path=x/y\n"
    raw = header(b"pax", len(body), b"x") + padded(body) + header(b"bag/a") + END
    assert [p.code for p in rejection(raw)] == [problems.BAD_PAX.code]


def test_a_negative_number_in_base_256_is_one() -> None:
    assert tarheader.number(b"\xff" * 11 + b"\xfb") == -5
    assert tarheader.number(b"\x80" + (5).to_bytes(11, "big")) == 5


# -- backslashes
def test_backslashes_as_separators_are_called_that() -> None:
    raw = b"".join(header(name) for name in (b"bag\\bagit.txt", b"bag\\data\\a", b"bag\\"))
    found, files = scanned(raw + END)
    assert files == {}
    assert [p.code for p in found[:3]] == [problems.BACKSLASHES.code] * 3
    assert "backslashes" in found[0].message
    assert "Mac" not in found[0].message


def test_a_payload_below_the_top_in_backslashes_is_called_that() -> None:
    found, _ = scanned(header(b"bag/data\\a") + header(b"bag/b\\c") + END)
    assert found == [problems.BACKSLASHES.about("data\\a")]


def test_a_top_directory_with_a_backslash_in_its_name_is_one() -> None:
    found, files = scanned(header(b"ba\\g/", 0, b"5") + header(b"ba\\g/data/a") + END)
    assert (found, list(files)) == ([], ["data/a"])


# -- behind the end mark
def filled(raw: bytes, junk: bytes) -> bytes:
    missing = -len(raw) % RECORD
    return raw + (junk * missing)[:missing]


ONE = header(b"bag/a", 3) + padded(b"abc") + END


@pytest.mark.parametrize("gap", [0, 1, 512, 5_000])
@pytest.mark.parametrize("zeros", [0, RECORD, 512])
def test_junk_that_fills_the_last_record_is_a_warning(gap: int, zeros: int) -> None:
    raw = filled(ONE + bytes(gap), b"old tape ") + bytes(zeros)
    found, files = scanned(raw)
    assert found == [problems.JUNK_IN_LAST_RECORD.about(end=1024, offset=2048 + gap)]
    assert found[0].severity == problems.WARNING
    assert list(files) == ["a"]


@pytest.mark.parametrize(
    "raw",
    [
        filled(ONE, b"old tape ") + b"x",
        filled(ONE, b"old tape ") + bytes(9 * RECORD) + b"x",
        filled(ONE, b"\0") + b"old tape",
        ONE + b"old tape",
        (ONE + b"old tape " * 10_000)[: RECORD - 1],
        filled(ONE + bytes(1024) + header(b"bag/b"), b"old tape "),
        filled(ONE[:-512] + b"old tape", b"x"),
        filled(ONE[:-512] + header(b"bag/b"), b"\0"),
    ],
    ids=[
        "beyond",
        "far beyond",
        "all beyond",
        "no record",
        "a byte short",
        "a header",
        "one block of zeros",
        "an entry behind one",
    ],
)
def test_other_bytes_behind_the_end_mark_are_a_problem(raw: bytes) -> None:
    found, _ = scanned(raw)
    assert [p.code for p in found] == [problems.DATA_AFTER_END.code]
    assert found[0].severity == problems.ERROR


def test_an_end_mark_at_the_end_of_a_record_has_nothing_to_fill() -> None:
    raw = header(b"bag/a", RECORD - 1536) + bytes(RECORD - 1536) + END
    assert len(raw) == RECORD
    assert scanned(raw)[0] == []
    assert [p.code for p in scanned(raw + b"x" * RECORD)[0]] == [problems.DATA_AFTER_END.code]


def test_a_global_header_needs_no_entry_behind_it() -> None:
    raw = header(b"bag/a", 3) + padded(b"abc") + extension(b"g", {"comment": "x"})
    for ended, codes in ((raw + END, []), (raw, [problems.NO_END_MARK.code])):
        found, files = scanned(ended)
        assert ([p.code for p in found], list(files)) == (codes, ["a"])


@pytest.mark.parametrize("before", [pax(mtime=1), long_name(b"bag/b")], ids=["pax", "gnu"])
def test_an_end_mark_where_an_entry_must_follow_is_called_that(before: bytes) -> None:
    [problem] = rejection(header(b"bag/a") + before + END)
    assert problem.code == problems.BAD_HEADER.code
    assert "where one must follow" in problem.message


# -- volumes
@pytest.fixture(params=["gnu", "oldgnu", "posix"])
def volumes(request: pytest.FixtureRequest, tmp_path: Path) -> list[bytes]:
    """The volumes of a bag that GNU tar writes 20 KiB each."""
    data = tmp_path / "bag" / "data"
    data.mkdir(parents=True)
    (data / "a").write_bytes(b"hi")
    (data / "large").write_bytes(bytes(range(256)) * 200)
    names = [str(tmp_path / f"{number}.tar") for number in range(1, 6)]
    options = [f"--format={request.param}", "--sort=name", "-M", "-L", "20"]
    made = subprocess.run(
        ["tar", *options, "-C", str(tmp_path), "-cf", names[0], "bag"],
        input="".join(f"n {name}\n" for name in names[1:]).encode(),
        capture_output=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return [path.read_bytes() for path in sorted(tmp_path.glob("*.tar"))]


def test_the_first_volume_of_several_is_called_one(volumes: list[bytes]) -> None:
    found = rejection(volumes[0])
    assert [p.code for p in found] == [problems.FIRST_VOLUME.code, problems.TRUNCATED.code]
    assert "tar -M" in found[0].message


def test_any_other_volume_of_several_is_called_one(volumes: list[bytes]) -> None:
    assert len(volumes) > 2
    for volume in volumes[1:]:
        assert rejection(volume)[-1].code == problems.MULTI_VOLUME.code


def test_a_volume_that_ends_between_two_files_is_called_one() -> None:
    found, _ = scanned(header(b"bag/a", RECORD - 512) + bytes(RECORD - 512))
    assert [p.code for p in found] == [problems.NO_END_MARK.code, problems.FIRST_VOLUME.code]


def test_a_tar_cut_off_elsewhere_looks_like_no_volume() -> None:
    raw = header(b"bag/a", 3 * RECORD) + bytes(2 * RECORD)
    assert [p.code for p in rejection(raw)] == [problems.TRUNCATED.code]
