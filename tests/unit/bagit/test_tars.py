"""What the scanner survives of tars: every dialect, and every kind of damage."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from dataclasses import replace

import pytest

from bagline import problems
from bagline.bagit.scan import BagScan, ScannedFile
from bagline.bagit.tar import LIMITS, Limits
from bagline.errors import BagRejected, Unreachable
from bagline.problems import Kind, Problem
from support.bags import (
    END,
    chunked,
    extension,
    header,
    padded,
    patched_header,
    pax,
    valid_bag,
)


def scanned(raw: bytes, limits: Limits = LIMITS, chunk: int = 700) -> tuple[BagScan, dict]:
    scan = BagScan(chunked(raw, chunk), length=len(raw), limits=limits, cores=2)
    files: dict[str, ScannedFile] = {file.path: file for file in scan.files()}
    return scan, files


def rejection(raw: bytes, limits: Limits = LIMITS) -> Problem:
    """The Problem that ended the scan."""
    with pytest.raises(BagRejected) as caught:
        scanned(raw, limits)
    return caught.value.problems[-1]


def codes(scan: BagScan) -> list[str]:
    return [problem.code for problem in scan.problems]


@pytest.mark.parametrize("format", ["pax", "gnu", "ustar"])
def test_a_bag_in_every_format_of_tar(format: str) -> None:
    bag = valid_bag()
    scan, files = scanned(bag.tar(format))
    assert {path: file.size for path, file in files.items()} == {
        path: len(data) for path, data in bag.files().items()
    }
    assert scan.problems == []
    assert scan.top_directory == "bag"


def test_a_v7_tar_whose_directories_are_names_that_end_in_a_slash() -> None:
    def as_v7(block: bytes) -> bytes:
        def strip(fields: bytearray) -> None:
            fields[156:157] = b"\0"
            fields[257:] = bytes(255)

        return patched_header(block, 0, strip)

    raw = as_v7(header(b"bag/data/")) + as_v7(header(b"bag/data/a", 3)) + padded(b"abc") + END
    scan, files = scanned(raw)
    assert list(files) == ["data/a"]
    assert scan.problems == []


def test_a_prefix_field_is_part_of_the_name_in_ustar_and_not_in_gnu_tars() -> None:
    def with_prefix(fields: bytearray) -> None:
        fields[345:348] = b"bag"

    def gnu(fields: bytearray) -> None:
        with_prefix(fields)
        fields[257:265] = b"ustar  \0"

    raw = patched_header(header(b"data/a"), 0, with_prefix)
    raw += patched_header(header(b"bag/data/b"), 0, gnu)
    _, files = scanned(raw + END)
    assert list(files) == ["data/a", "data/b"]


def test_sizes_of_one_block_more_or_less_and_none() -> None:
    bag = valid_bag()
    for size in (0, 1, 511, 512, 513, 1024, 300_000):
        bag.payload(f"{size}", b"x" * size)
    _, files = scanned(bag.tar())
    assert {path: f.size for path, f in files.items() if path.startswith("data/")} == {
        path: len(data) for path, data in bag.files().items() if path.startswith("data/")
    }


def test_a_size_in_base_256() -> None:
    def base_256(fields: bytearray) -> None:
        fields[124:136] = b"\x80" + (3).to_bytes(11, "big")

    raw = patched_header(header(b"bag/data/a"), 0, base_256) + padded(b"abc") + END
    assert scanned(raw)[1]["data/a"].size == 3


def test_a_negative_size_is_refused_with_its_offset() -> None:
    def negative(fields: bytearray) -> None:
        fields[124:136] = b"\xff" * 12

    raw = header(b"bag/a") + patched_header(header(b"bag/b"), 0, negative) + END
    assert rejection(raw) == problems.BAD_SIZE.about(offset=512, size=-1)


def test_an_absurd_size_is_refused_and_nothing_is_allocated() -> None:
    def absurd(fields: bytearray) -> None:
        fields[124:136] = b"\x80" + b"\xff" * 11

    raw = patched_header(header(b"bag/b"), 0, absurd) + END
    assert rejection(raw).code == problems.BAD_SIZE.code
    assert rejection(pax(size="9" * 25) + header(b"bag/b") + END).code == problems.BAD_SIZE.code


def test_a_header_whose_checksum_is_off_names_its_offset() -> None:
    raw = bytearray(header(b"bag/a") + header(b"bag/b") + END)
    raw[512] ^= 1
    found = rejection(bytes(raw))
    assert found == problems.BAD_HEADER.about(offset=512, reason="its checksum is wrong")


def test_a_checksum_summed_over_signed_bytes_is_accepted() -> None:
    block = bytearray(header("bag/data/é".encode()))
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % (sum(block) - 256 * sum(byte > 127 for byte in block))
    assert list(scanned(bytes(block) + END)[1]) == ["data/é"]


def test_a_name_of_many_high_bytes_does_not_confuse_the_checksum() -> None:
    name = b"bag/" + b"\xff" * 96
    link = b"\xfe" * 100

    def more(fields: bytearray) -> None:
        fields[265:329] = b"\xff" * 64
        fields[345:500] = b"\xff" * 155

    raw = patched_header(header(name, link=link), 0, more)
    assert len(scanned(raw + END)[1]) == 1


def test_global_pax_headers_hold_until_they_are_replaced() -> None:
    raw = extension(b"g", {"mtime": "1.5"}) + header(b"bag/a") + header(b"bag/b")
    raw += extension(b"g", {"mtime": "2"}) + pax(mtime="3.25") + header(b"bag/c") + header(b"bag/d")
    _, files = scanned(raw + END)
    assert [files[name].modified for name in "abcd"] == [
        "1970-01-01T00:00:01.5Z",
        "1970-01-01T00:00:01.5Z",
        "1970-01-01T00:00:03.25Z",
        "1970-01-01T00:00:02Z",
    ]


def test_times_keep_nine_digits_and_go_below_1970() -> None:
    raw = pax(mtime="1700000000.123456789") + header(b"bag/a")
    raw += pax(mtime="-1.5") + header(b"bag/b") + pax(mtime="nonsense") + header(b"bag/c")
    _, files = scanned(raw + END)
    assert files["a"].modified == "2023-11-14T22:13:20.123456789Z"
    assert files["b"].modified == "1969-12-31T23:59:58.5Z"
    assert files["c"].modified == "2023-11-14T22:13:20Z"


@pytest.mark.parametrize("format", ["pax", "gnu"])
def test_long_names_and_long_link_names(format: str) -> None:
    long = "data/" + "/".join("d" * 90 for _ in range(12)) + "/file"
    bag = valid_bag().payload(long.removeprefix("data/"), b"deep").hard_link("data/link", long)
    scan, files = scanned(bag.tar(format))
    assert files[long].size == 4
    assert files["data/link"].digests == files[long].digests
    assert scan.problems == []


def test_a_pax_header_that_claims_gigabytes() -> None:
    raw = header(b"pax", 3 * 1024**3, b"x") + bytes(1024)
    found = rejection(raw)
    assert found.code == problems.HEADER_TOO_LARGE.code
    assert "3221225472" in found.message


def test_a_gnu_name_longer_than_64_kib() -> None:
    raw = header(b"././@LongLink", 70_000, b"L") + bytes(70_144) + header(b"x") + END
    assert rejection(raw).code == problems.HEADER_TOO_LARGE.code
    raw = pax(path="bag/" + "x" * 70_000) + header(b"x") + END
    assert rejection(raw).code == problems.HEADER_TOO_LARGE.code


def test_extended_headers_cannot_grow_without_end() -> None:
    for kind in (b"g", b"x"):
        raw = b"".join(extension(kind, {f"k{n}": "x" * 30_000}) for n in range(60))
        assert rejection(raw + header(b"bag/a") + END).code == problems.HEADER_TOO_LARGE.code


@pytest.mark.parametrize(
    "body", [b"nonsense", b"99 path=x\n", b"5 p=x\n", b"8 path=x", b"6 pat\n", b"-3 a=b\n"]
)
def test_pax_records_that_do_not_fit(body: bytes) -> None:
    raw = header(b"pax", len(body), b"x") + padded(body) + header(b"bag/a") + END
    assert rejection(raw).code == problems.BAD_PAX.code


def test_more_members_than_the_limit() -> None:
    raw = b"".join(header(b"bag/%d" % n) for n in range(11)) + END
    found = rejection(raw, replace(LIMITS, members=10))
    assert found == problems.TOO_MANY_MEMBERS.about(limit=10)


def test_a_volume_of_a_multi_volume_archive() -> None:
    assert rejection(header(b"bag/a", 0, b"M") + END).code == problems.MULTI_VOLUME.code


def test_a_missing_end_mark_is_a_warning() -> None:
    raw = header(b"bag/a", 3) + padded(b"abc")
    for whole in (raw, raw + bytes(512)):
        scan, files = scanned(whole)
        assert list(files) == ["a"]
        assert scan.problems == [problems.NO_END_MARK.about(offset=1024)]


def test_a_tar_cut_off_in_the_padding_of_a_file_is_truncated() -> None:
    found = rejection(header(b"bag/a", 3) + b"abc")
    assert found == problems.TRUNCATED.about(offset=515, where="the file bag/a", missing=509)


def test_garbage_after_the_end_mark() -> None:
    raw = header(b"bag/a") + END + bytes(700) + b"garbage"
    scan, _ = scanned(raw)
    assert scan.problems == [problems.DATA_AFTER_END.about(end=512, offset=512 + 1024 + 700)]


def test_concatenated_archives_are_no_single_bag() -> None:
    raw = header(b"bag/a") + END
    assert codes(scanned(raw + raw)[0]) == [problems.DATA_AFTER_END.code]


def test_a_lone_block_of_zeros_in_the_middle() -> None:
    raw = header(b"bag/a") + bytes(512) + header(b"bag/b") + END
    scan, files = scanned(raw)
    assert list(files) == ["a"]
    assert codes(scan) == [problems.DATA_AFTER_END.code]


@pytest.mark.parametrize("cut", [100, 512, 700, 1100, 512 * 3 + 17])
def test_a_truncated_tar_says_at_which_byte(cut: int) -> None:
    raw = header(b"bag/a", 2000) + padded(b"y" * 2000)
    raw = header(b"bag/0") + raw + header(b"bag/b")
    found = rejection(raw[: 512 + cut])
    assert found.code == problems.TRUNCATED.code
    assert f"byte {512 + cut}" in found.message


def test_a_truncated_tar_still_yields_the_files_before_the_cut() -> None:
    raw = header(b"bag/a", 3) + padded(b"abc") + header(b"bag/b", 900) + b"half"
    scan = BagScan(chunked(raw), length=len(raw))
    seen = []
    with pytest.raises(BagRejected):
        seen += scan.files()
    assert [file.path for file in seen] == ["a"]


@pytest.mark.parametrize("cut", [0, 200, 512, 600, 1536, 2000])
def test_a_dropped_connection_is_not_the_bags_fault(cut: int) -> None:
    raw = header(b"bag/a", 700) + padded(b"x" * 700) + END
    scan = BagScan(chunked(raw[:cut]), length=len(raw))
    with pytest.raises(Unreachable):
        list(scan.files())


def test_a_source_that_goes_on_beyond_its_length_has_changed() -> None:
    raw = header(b"bag/a") + END
    with pytest.raises(Unreachable):
        list(BagScan(chunked(raw, 512), length=512).files())


def zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("bag/bagit.txt", "x" * 1000)
    return buffer.getvalue()


BAG = valid_bag().tar()
NOT_TARS: dict[str, tuple[bytes, Kind, str]] = {
    "empty": (b"", problems.EMPTY_FILE, "0 bytes"),
    "short": (b"hello", problems.TOO_SHORT, "5 bytes"),
    "text": (b"Dear Ada, please find enclosed\n" * 50, problems.NOT_A_TAR, "text"),
    "binary": (bytes(range(256)) * 8, problems.NOT_A_TAR, "no tar header"),
    "gzip": (gzip.compress(BAG), problems.COMPRESSED, "gzip"),
    "bzip2": (bz2.compress(BAG), problems.COMPRESSED, "bzip2"),
    "xz": (lzma.compress(BAG), problems.COMPRESSED, "xz"),
    "zip": (zipped(), problems.COMPRESSED, "ZIP"),
    "tiny gzip": (gzip.compress(b""), problems.COMPRESSED, "gzip"),
}


@pytest.mark.parametrize("what", NOT_TARS)
def test_what_is_no_tar_is_called_what_it_is(what: str) -> None:
    raw, kind, words = NOT_TARS[what]
    found = rejection(raw)
    assert found.code == kind.code
    assert words in found.message


@pytest.mark.parametrize("raw", [bytes(10240), bytes(512), END, header(b"bag/", 0, b"5") + END])
def test_a_tar_without_files(raw: bytes) -> None:
    scan, files = scanned(raw)
    assert files == {}
    assert codes(scan)[-1] == problems.NO_FILES.code


def test_a_file_named_like_a_compressed_one_is_still_a_tar() -> None:
    _, files = scanned(header(b"BZh9/data/a") + END)
    assert list(files) == ["data/a"]


def test_data_of_unknown_entries_and_dumpdirs_is_skipped() -> None:
    raw = header(b"bag/x", 600, b"Z") + bytes(1024) + header(b"bag/d/", 30, b"D") + bytes(512)
    raw += header(b"label", 0, b"V") + header(b"bag/a", 0, b"7") + END
    scan, files = scanned(raw)
    assert list(files) == ["a"]
    assert codes(scan) == [problems.SPECIAL_SKIPPED.code]


def test_links_and_directories_have_no_data_whatever_their_size_says() -> None:
    raw = header(b"bag/d/", 5000, b"5") + header(b"bag/a", 2) + padded(b"hi")
    raw += header(b"bag/l", 2, b"1", link=b"bag/a") + header(b"bag/s", 9, b"2", link=b"a") + END
    _, files = scanned(raw)
    assert files["l"].digests == files["a"].digests


def test_python_reads_what_the_bag_maker_writes() -> None:
    with tarfile.open(fileobj=io.BytesIO(BAG)) as tar:
        assert tar.getnames()[0] == "bag/bagit.txt"
