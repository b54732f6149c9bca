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
ZERO_BLOCK = bytes(BLOCK)
MAX_SIZE = 2**63 - 1

# name, size, mtime, checksum, type, link name, magic and version, prefix, star's trailer
_FIELDS = Layout("100s24x12s12s8sc100s8s80x155s12s")

_GNU_MAGIC = b"ustar  "
_PAX_TIME = re.compile(r"(-?)(\d{1,30})(?:\.(\d*))?")

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
    is_gnu: bool


def number(field: bytes) -> int:
    """A numeric field: octal text, or base-256 when the first byte says so."""
    try:  # what nearly every field holds: digits, then blanks or NULs
        return int(field.rstrip(b"\0 ") or b"0", 8)
    except ValueError:
        return _odd_number(field)


def _odd_number(field: bytes) -> int:
    first = field[0]
    if first & 0x80:
        value = int.from_bytes(field, "big")
        bits = 8 * len(field)
        # 0xff…: negative, two's complement; otherwise drop the marker bit.
        return value - (1 << bits) if first == 0xFF else value & ((1 << (bits - 1)) - 1)
    text = field.partition(b"\0")[0].strip()
    try:
        return int(text or b"0", 8)
    except ValueError:
        raise BadField(f"'{text.decode('latin-1')}' is no octal number") from None


def checksum_fits(block: memoryview, field: bytes) -> bool:
    """Whether the header's checksum is right (unsigned, or signed as old tars wrote it)."""
    try:
        stored = number(field)
    except BadField:
        return False
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
    name, size, mtime, checksum, kind, link, magic, prefix, trailer = _FIELDS.unpack(block)
    if not checksum_fits(block, checksum):
        return None
    name = name.partition(b"\0")[0]
    is_gnu = magic.startswith(_GNU_MAGIC)
    if prefix[0] and not is_gnu and magic.startswith(b"ustar"):
        if trailer[8:] == b"tar\0":  # star keeps times after the first 131 bytes
            prefix = prefix[:131]
        name = prefix.partition(b"\0")[0] + b"/" + name
    return RawHeader(name, number(size), _lenient(mtime), kind, link, is_gnu)


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
    match = _PAX_TIME.fullmatch(value.decode("latin-1"))
    if match is None:
        return None
    sign, seconds, fraction = match.groups()
    nanos = int(seconds) * 10**9 + int(f"{fraction or '':0<9}"[:9])
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
