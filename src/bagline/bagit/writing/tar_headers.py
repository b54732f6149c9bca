"""Headers of a tar that is written: ustar, with a PAX header before it only where it must be.

POSIX.1-2001 (pax). Nothing here depends on when or where it runs but on what it is given, and how
long a header is follows from the same few facts: the layout of a tar is known without its data.
"""

from __future__ import annotations

import tarfile
from datetime import UTC
from functools import lru_cache

from bagline.bagit.paths import is_utf8
from bagline.bagit.tar import BLOCK, RECORD
from bagline.model.times import KEPT, Timestamp, to_datetime
from bagline.units import path_bytes, path_text

FILE_MODE = 0o644
DIRECTORY_MODE = 0o755

_NAME_BYTES = 100
_LARGEST_NUMBER = 8**11 - 1
"""What ustar's field for a size in bytes, and that for a time in seconds, can hold."""
_PER_SECOND = 1_000_000
# Says of names that they are bytes, whatever they look like (POSIX, pax: hdrcharset).
_RAW = ("hdrcharset", b"BINARY")


def file_header(name: str, size: int, moment: Timestamp) -> bytes:
    """The header blocks of a file of so many bytes, last changed at that moment.

    `name` as it is to stand in the tar, lone surrogates for bytes that are not UTF-8. Times are
    kept to the microsecond, owners not at all. Raises ValueError when the moment is no RFC 3339.
    """
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, FILE_MODE
    return _blocks(info, size, _microseconds(moment))


def directory_header(name: str, moment: Timestamp) -> bytes:
    """The header blocks of a directory; `name` without a slash at its end. See `file_header`."""
    info = tarfile.TarInfo(name)
    info.type, info.mode = tarfile.DIRTYPE, DIRECTORY_MODE
    return _blocks(info, 0, _microseconds(moment))


def file_header_length(name: str, size: int, moment: Timestamp) -> int:
    """How many bytes `file_header` has, in a fraction of its time."""
    records = _records(name, size, _microseconds(moment))
    if not records:
        return BLOCK
    length = sum(_record_length(len(keyword) + len(value)) for keyword, value in records)
    return 2 * BLOCK + padded(length)


def padded(length: int) -> int:
    """So many bytes of data, and the zeros that fill their last block."""
    return length + -length % BLOCK


def end_length(offset: int) -> int:
    """How many zeros end a tar whose last entry ends there: two blocks, and what fills the
    record."""
    return 2 * BLOCK + -(offset + 2 * BLOCK) % RECORD


def _blocks(info: tarfile.TarInfo, size: int, microseconds: int) -> bytes:
    seconds = microseconds // _PER_SECOND
    info.mtime = seconds if 0 <= seconds <= _LARGEST_NUMBER else 0
    info.pax_headers = {
        keyword: path_text(value)
        for keyword, value in _records(info.name, size, microseconds)
        if keyword != _RAW[0]  # tarfile sees that by itself
    }
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _records(name: str, size: int, microseconds: int) -> list[tuple[str, bytes]]:
    """What ustar cannot say, by PAX keyword."""
    records: list[tuple[str, bytes]] = []
    if not name.isascii() or len(name) > _NAME_BYTES:
        raw = path_bytes(name)
        if not is_utf8(name):
            records.append(_RAW)
        records.append(("path", raw))
    if size > _LARGEST_NUMBER:
        records.append(("size", b"%d" % size))
    seconds, fraction = divmod(microseconds, _PER_SECOND)
    if fraction or not 0 <= seconds <= _LARGEST_NUMBER:
        records.append(("mtime", _decimal(microseconds)))
    return records


def _decimal(microseconds: int) -> bytes:
    """`1704164645.123456`; before 1970 with a sign, for a fraction counts away from zero."""
    sign = "-" if microseconds < 0 else ""
    seconds, fraction = divmod(abs(microseconds), _PER_SECOND)
    return f"{sign}{seconds}.{fraction:06d}".rstrip("0").rstrip(".").encode()


def _record_length(characters: int) -> int:
    """The length of a PAX record, `LENGTH KEYWORD=VALUE\\n`, which counts its own digits."""
    rest = characters + 3
    length = rest + len(str(rest))
    return rest + len(str(length))


@lru_cache(KEPT)
def _microseconds(moment: Timestamp) -> int:
    """Since 1970."""
    found = to_datetime(moment)
    whole = int(found.replace(microsecond=0, tzinfo=found.tzinfo or UTC).timestamp())
    return whole * _PER_SECOND + found.microsecond
