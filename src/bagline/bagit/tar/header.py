"""The 512-byte tar header, its numbers, and PAX records.

V7, ustar, GNU and star headers. Nothing here reads a stream; what cannot be read
raises BadField, which the tar reader turns into a Problem with an offset.
"""

from __future__ import annotations

import re
from struct import Struct as Layout
from zlib import adler32

from msgspec import Struct

from bagline import problems
from bagline.problems import Problem

BLOCK = 512
RECORD = 20 * BLOCK
"""Bytes that tar programs write at once; the last record is filled up (POSIX: pax, ustar)."""
ZERO_BLOCK = bytes(BLOCK)
MAX_SIZE = 2**63 - 1

# name; size, mtime and checksum, each with its end; type, link name, magic and version, prefix,
# star's trailer
_FIELDS = Layout("100s24x11sc11sc6s2sc100s8s80x155s12s")
_USUAL_ENDS = frozenset((b"\0", b" ", b"\0 ", b" \0", b"\0\0"))
_CHECKSUM = slice(148, 156)

# Digits with blanks around them; what follows a NUL is no part of the field. Python's int also
# takes signs, underscores, `0o` and other blanks.
_OCTAL = re.compile(rb" *([0-7]*) *(\0.*)?", re.DOTALL)
# For GNU tar such a field begins behind the NUL, for others it is empty.
_BEHIND_NUL = re.compile(rb"\0 *[0-7]")
_POSIX_MAGIC, _GNU_MAGIC = b"ustar", b"ustar  "
_PAX_TIME = re.compile(rb"(-?)([0-9]{1,30})(?:\.([0-9]*))?")

Stretch = tuple[int, int]
"""(offset in the expanded file, length) of bytes that are stored."""


class BadField(Exception):
    """A header field holds something that it cannot hold; the text says what."""


class RawHeader(Struct, gc=False):
    """One header block. Names are bytes as they stand; `size` in bytes."""

    name: bytes
    size: int
    mtime: int
    type: bytes
    link: bytes
    magic: bytes

    @property
    def is_posix(self) -> bool:
        """Of a ustar or pax tar, not of V7 or GNU."""
        return _is_posix(self.magic)


def number(field: bytes) -> int:
    """A numeric field: octal digits, or base-256 when the first byte says so. Raises BadField."""
    first = field[0]
    if first & 0x80:
        value = int.from_bytes(field, "big")
        bits = 8 * len(field)
        # 0xff…: negative, two's complement; otherwise drop the marker bit.
        return value - (1 << bits) if first == 0xFF else value & ((1 << (bits - 1)) - 1)
    match = _OCTAL.fullmatch(field)
    if match is None or _BEHIND_NUL.match(field):
        text = field.rstrip(b"\0 ").decode("latin-1")
        raise BadField(f"'{text}' is no octal number")
    return int(match[1] or b"0", 8)


def is_header(block: memoryview) -> bool:
    """Whether a block of BLOCK bytes is a header, as far as its checksum tells."""
    field = bytes(block[_CHECKSUM])
    try:
        return _checksum_fits(block, field, number(field))
    except BadField:
        return False


def _checksum_fits(block: memoryview, field: bytes, stored: int) -> bool:
    """Whether the field holds the block's sum (unsigned, or signed as old tars wrote it)."""
    # The field itself counts as eight blanks. adler32's low half is 1 + the sum of all
    # bytes modulo 65521: one call in C instead of a loop, exact for all usual headers.
    blanks = 8 * 32 - sum(field)
    if (adler32(block) & 0xFFFF) - 1 + blanks == stored:
        return True
    raw = bytes(block)
    total = sum(raw) + blanks
    high = sum(byte >> 7 for byte in raw[:148] + raw[156:])
    return stored in (total, total - 256 * high)


def parse_header(block: memoryview) -> RawHeader | None:
    """The header in the block; None when the checksum is wrong.

    Raises BadField when the checksum is right and the size cannot be read.
    """
    (name, size_digits, size_end, mtime_digits, mtime_end, checksum, checksum_end,
     kind, link, magic, prefix, trailer) = _FIELDS.unpack(block)  # fmt: skip
    ends = _USUAL_ENDS
    try:
        if not (
            size_digits.isdigit()
            and mtime_digits.isdigit()
            and checksum.isdigit()
            and size_end in ends
            and mtime_end in ends
            and checksum_end in ends
        ):
            raise ValueError("one of them is not as nearly every program writes it")
        if not _checksum_fits(block, checksum + checksum_end, int(checksum, 8)):
            return None
        size, mtime = int(size_digits, 8), int(mtime_digits, 8)
    except ValueError:
        if not is_header(block):
            return None
        size, mtime = number(size_digits + size_end), _lenient(mtime_digits + mtime_end)
    name = name.partition(b"\0")[0]
    if prefix[0] and _is_posix(magic):
        if trailer[8:] == b"tar\0":  # star keeps times after the first 131 bytes
            prefix = prefix[:131]
        name = prefix.partition(b"\0")[0] + b"/" + name
    return RawHeader(name, size, mtime, kind, link, magic)


def _is_posix(magic: bytes) -> bool:
    return magic.startswith(_POSIX_MAGIC) and not magic.startswith(_GNU_MAGIC)


def _lenient(mtime: bytes) -> int:
    try:
        return number(mtime)
    except BadField:
        return 0


def pax_records(data: bytes) -> list[tuple[str, bytes]]:
    """The records of a PAX header in order; keywords may repeat (sparse 0.0).

    Raises BadField when a record's length does not fit.
    """
    records: list[tuple[str, bytes]] = []
    pos, end = 0, len(data.rstrip(b"\0"))
    while pos < end:
        space = data.find(b" ", pos, pos + 12)
        digits = data[pos:space] if space >= 0 else b""
        if not digits.isdigit():
            raise BadField(f"record {len(records) + 1} does not begin with its length")
        stop = pos + int(digits)
        keyword, equals, value = data[space + 1 : stop - 1].partition(b"=")
        if stop > len(data) or data[stop - 1 : stop] != b"\n" or not equals or not keyword:
            raise BadField(f"the length of record {len(records) + 1} does not fit")
        records.append((keyword.decode("utf-8", "replace"), value))
        pos = stop
    return records


def pax_time(value: bytes) -> int | None:
    """Nanoseconds since 1970 of a PAX time; None when it is no decimal number."""
    match = _PAX_TIME.fullmatch(value)
    if match is None:
        return None
    sign, seconds, fraction = match.groups()
    nanos = int(seconds) * 10**9 + int((fraction or b"").ljust(9, b"0")[:9])
    return -nanos if sign else nanos


def decimal(value: bytes, what: str) -> int:
    """A PAX number that may not be negative. Raises BadField."""
    if not value.isdigit() or len(value) > 30:
        raise BadField(f"{what} is '{value[:40].decode('latin-1')}', not a number")
    return int(value)


_FORMATS = (
    (b"\x1f\x8b", "gzip"),
    (b"\x1f\x9d", "compress (.Z)"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (b"\x04\x22\x4d\x18", "LZ4"),
    (b"LZIP", "lzip"),
    (b"PK\x03\x04", "ZIP"),
    (b"PK\x05\x06", "ZIP"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"Rar!", "RAR"),
)


def not_a_tar(first: bytes) -> Problem:
    """The Problem of a file that begins with these bytes (512, or all that it has)."""
    if not first:
        return problems.EMPTY_FILE.about()
    for magic, name in _FORMATS:
        if first.startswith(magic):
            return problems.COMPRESSED.about(format=name)
    if len(first) < 512:
        return problems.TOO_SHORT.about(size=len(first))
    printable = sum(byte in b"\t\n\r\f" or 32 <= byte < 127 or byte > 159 for byte in first)
    if printable > 0.97 * len(first):
        return problems.NOT_A_TAR.about(reason="it begins like a text")
    return problems.NOT_A_TAR.about(reason="its first 512 bytes are no tar header")
