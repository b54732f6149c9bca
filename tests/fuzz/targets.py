"""What must hold for any bytes whatever: the scanner, the manifest parser, the tag parser.

A target takes the bytes of one input and returns, or raises: AssertionError where a promise
was broken, anything else where an exception came out that nobody may see. The same functions
run under hypothesis, under atheris, and over the corpus. Bytes alone decide what is done, so
that every finding can be played again.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace

from bagline.bagit.digests import LENGTHS
from bagline.bagit.manifests import LINE_BYTES, ManifestEntry, ManifestParser, match_warning
from bagline.bagit.paths import UnsafePath, split_name, unsafe_reason
from bagline.bagit.scan import BagScan, ScannedFile
from bagline.bagit.tagfiles import (
    declared_encoding,
    looks_like_tag_file,
    parse_bagit_txt,
    parse_tags,
)
from bagline.bagit.tar import LIMITS
from bagline.errors import BagRejected, Unreachable
from bagline.model.ingest import Tag
from bagline.model.wire import encode
from bagline.problems import KINDS, LISTED_PER_KIND, Problem, has_errors
from differential.readers import FILE, Entry, by_tarfile, ours
from differential.table import TARFILE, partings
from support.bags import chunked

EXPANDED_BYTES = 4 * 1024 * 1024
SMALL = replace(LIMITS, expanded_bytes=EXPANDED_BYTES, expanded_factor=1, members=20_000)
"""A few bytes may ask for a tebibyte of zeros; a fuzzer would do little else."""

CHUNKS = (1, 7, 511, 512, 513, 4096, 1 << 20)
ENCODINGS = (
    "UTF-8",
    "UTF-16",
    "UTF-16LE",
    "UTF-32",
    "ISO-8859-1",
    "ISO-8859-15",
    "windows-1252",
    "UTF-7",
    "UTF-8-SIG",
    "US-ASCII",
    "shift_jis",
    "iso2022_jp",
    "gb18030",
    "hz",
    "cp037",
    "no-such-encoding",
)
MANIFESTS = (
    ("manifest-md5.txt", "1.0"),
    ("manifest-md5.txt", "0.97"),
    ("manifest-sha512.txt", "0.93"),
    ("tagmanifest-sha1.txt", "1.0"),
)


# -- the scanner
def scanner(data: bytes) -> None:
    """The bytes of a tar: files within it, the same as `tarfile`'s, or Problems."""
    choice = zlib.crc32(data)
    chunk = CHUNKS[choice % len(CHUNKS)]
    if len(data) > 3_000:
        chunk = max(chunk, 511)
    scan = BagScan(chunked(data, chunk), length=len(data), limits=SMALL, cores=1)
    files: list[ScannedFile] = []
    try:
        files.extend(scan.files())
        found, complete = scan.problems, True
    except BagRejected as fault:
        found, complete = fault.problems, False
    assert complete or found
    _are_problems(found)
    for file in files:
        _lies_within(file, data)
    assert len({file.path for file in files}) == len(files)
    assert scan.bytes_read <= len(data)
    if complete:
        _agrees_with_tarfile(data, scan, files)
    _is_cut_off(data, choice, chunk)


def _lies_within(file: ScannedFile, data: bytes) -> None:
    span = file.span
    assert 0 <= span.header_offset < span.data_offset <= len(data)
    assert 0 <= span.stored_bytes <= len(data) - span.data_offset
    assert 0 <= file.size <= len(data) + EXPANDED_BYTES
    stored = data[span.data_offset : span.data_offset + span.stored_bytes]
    if span.stretches:
        assert sum(count for _, count in span.stretches) == span.stored_bytes
        expanded, at = bytearray(file.size), 0
        for offset, count in span.stretches:
            expanded[offset : offset + count] = stored[at : at + count]
            at += count
        stored = bytes(expanded)
    elif file.size != span.stored_bytes:  # nothing but a hole
        assert span.stored_bytes == 0
        stored = bytes(file.size)
    assert len(stored) == file.size
    assert file.digests["sha256"] == hashlib.sha256(stored).hexdigest()
    assert file.path
    assert unsafe_reason(file.path) == ""


def _agrees_with_tarfile(data: bytes, scan: BagScan, files: list[ScannedFile]) -> None:
    """tarfile finds the same files with bytes, or the table tells why it does not."""
    theirs = by_tarfile(data)
    for parting, row in partings(data, TARFILE, ours(data), theirs):
        assert row is not None, f"tarfile reads {parting.theirs}, and we {parting.ours}"
        return
    found = {_path_of(entry, scan): entry.size for entry in theirs.entries if entry.kind == FILE}
    found.pop("", None)
    own = {file.path: file.size for file in files if not file.is_linked}
    assert own.keys() == found.keys(), "the scanner and tarfile find different files"
    twice = {"BAG025", "BAG026"} & {problem.code for problem in scan.problems}
    assert twice or own == found


def _path_of(entry: Entry, scan: BagScan) -> str:
    """Below the bag's directory; "" of what does not lie in it."""
    try:
        top, path = split_name(entry.name)
    except UnsafePath:
        return ""
    return path if top and top == scan.top_directory else ""


def _is_cut_off(data: bytes, choice: int, chunk: int) -> None:
    """A source that ends before its length is the network's fault, never the bag's."""
    if len(data) < 2:
        return
    cut = choice % (len(data) - 1)
    scan = BagScan(chunked(data[:cut], chunk), length=len(data), limits=SMALL, cores=1)
    try:
        for _ in scan.files():
            pass
    except Unreachable:
        return
    except BagRejected as fault:
        codes = {problem.code for problem in fault.problems}
        assert not codes & {"BAG001", "BAG004", "BAG006"}, "blames the bag for the network"
        return
    # After other bytes behind the end mark nothing more is read; that rejects the bag already.
    assert has_errors(scan.problems), "a source that ended early was taken as whole"


# -- the manifest parser
def manifest(data: bytes) -> None:
    """A byte of choices, then a manifest: the same entries however the bytes arrive."""
    choice, raw = data[:1] or b"\0", data[1:]
    path, version = MANIFESTS[choice[0] & 3]
    encoding = ENCODINGS[choice[0] >> 4]
    whole, parser = _entries(raw, path, version, encoding, len(raw) or 1)
    _are_problems(parser.problems)
    length = 2 * LENGTHS[parser.algorithm]
    line = 0
    for entry in whole:
        assert line < entry.line <= len(raw) + 1
        line = entry.line
        assert len(entry.digest) == length
        assert not entry.digest.strip("0123456789abcdef")
        assert entry.candidates
        assert all(entry.candidates)
        assert len(set(entry.candidates)) == len(entry.candidates) <= 24
        assert not any(unsafe_reason(c) for c in entry.candidates), "a way out of the bag"
        for found in entry.candidates:
            _are_problems(match_warning(path, entry, found))
    for size in {1, CHUNKS[zlib.crc32(raw) % len(CHUNKS)]}:
        if len(raw) > 50_000 and size < 511:
            continue
        pieces, again = _entries(raw, path, version, encoding, size)
        assert pieces == whole, "the entries depend on how the bytes arrive"
        assert again.problems == parser.problems


def _entries(
    raw: bytes, path: str, version: str, encoding: str, chunk: int
) -> tuple[list[ManifestEntry], ManifestParser]:
    parser = ManifestParser(path, encoding=encoding, version=version)
    found: list[ManifestEntry] = []
    for start in range(0, len(raw), chunk):
        found += parser.feed(raw[start : start + chunk])
        assert len(parser._rest) <= LINE_BYTES + 4 * chunk, "hoards a line without end"
    return found + parser.finish(), parser


# -- the tag parser
def tags(data: bytes) -> None:
    """A byte of choices, then a tag file: its tags, written plainly, are read again."""
    choice, raw = data[:1] or b"\0", data[1:]
    encoding = ENCODINGS[choice[0] >> 4]
    path = "bag-info.txt" if choice[0] & 1 else "custom/notes.txt"
    found, faults = parse_tags(raw, path, encoding)
    _are_problems(faults)
    for tag in found:
        assert tag.tag_file == path
        assert tag.tag_name == tag.tag_name.strip() != ""
        assert tag.value == tag.value.strip()
        assert not {"\n", "\r"} & {*tag.tag_name, *tag.value}
        encode(tag)  # goes into a record
    again, new_faults = parse_tags(formatted(found), path, "UTF-8")
    assert new_faults == []
    assert again == found, "tags change when they are written and read again"
    declared = parse_bagit_txt(raw)
    _are_problems(declared.problems)
    encode(declared.tags)
    assert isinstance(declared_encoding(raw), str)
    assert looks_like_tag_file("a/notes.txt", raw) == looks_like_tag_file("a/notes.txt", raw[:4096])


def formatted(found: list[Tag]) -> bytes:
    """A tag file of these tags."""
    return "".join(f"{tag.tag_name}: {tag.value}\n" for tag in found).encode("utf-8-sig")


def _are_problems(found: list[Problem]) -> None:
    assert all(problem.code in KINDS for problem in found)
    assert len(found) <= (LISTED_PER_KIND + 1) * len(KINDS)
    for problem in found[:50]:
        assert "\n" not in problem.message
        assert len(problem.message) < 5_000
        encode(problem)


TARGETS: dict[str, Callable[[bytes], None]] = {
    "scanner": scanner,
    "manifest": manifest,
    "tags": tags,
}


# -- what a fuzzer cannot guess
def with_checksums(data: bytes) -> bytes:
    """The tar with the checksum of every header right, as far as its sizes lead."""
    raw = bytearray(data)
    for at in headers(raw):
        raw[at + 148 : at + 156] = b" " * 8
        raw[at + 148 : at + 156] = b"%06o\0 " % sum(raw[at : at + 512])
    return bytes(raw)


def headers(raw: bytes | bytearray) -> Iterator[int]:
    """Offsets of what stands where a header should, until zeros or nonsense."""
    at = 0
    while at + 512 <= len(raw) and any(raw[at : at + 512]):
        yield at
        field = bytes(raw[at + 124 : at + 136]).strip(b"\0 ")
        size = int(field, 8) if field and not field.strip(b"01234567") else 0
        if raw[at + 156] in b"123456":
            size = 0
        at += 512 + size + -size % 512
