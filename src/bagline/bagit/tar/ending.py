"""How a tar ends: its end mark, what follows it, and where only a volume ends."""

from __future__ import annotations

from collections.abc import Iterator

from bagline import problems
from bagline.bagit.tar.header import BLOCK, MAX_SIZE, RECORD, ZERO_BLOCK, is_header
from bagline.bagit.tar.stream import ByteStream
from bagline.problems import Problem


def ending(stream: ByteStream, end: int) -> Iterator[Problem]:
    """After a block of zeros at byte `end`: what is wrong with the end mark, and behind it.

    A second block of zeros closes a tar. What fills the record they stand in is undefined
    (POSIX, pax, ustar interchange format); a header there, and bytes beyond, are another tar's
    or a file's. Nothing is read on after bytes that reject the bag.
    """
    second = stream.read(BLOCK)
    if second != ZERO_BLOCK:
        if (found := _first_byte(second)) is not None:
            yield problems.DATA_AFTER_END.about(end=end, offset=end + BLOCK + found)
        elif len(second) < BLOCK:
            yield problems.NO_END_MARK.about(offset=end)
        return
    start = stream.offset
    missing = -start % RECORD
    filling = stream.read(missing)
    junk = _first_byte(filling)
    if junk is not None and (len(filling) < missing or _has_header(filling)):
        yield problems.DATA_AFTER_END.about(end=end, offset=start + junk)
        return
    for piece in stream.pieces(MAX_SIZE):
        if (found := _first_byte(piece)) is not None:
            first = stream.offset - len(piece) + found if junk is None else start + junk
            yield problems.DATA_AFTER_END.about(end=end, offset=first)
            return
    if junk is not None:
        yield problems.JUNK_IN_LAST_RECORD.about(end=end, offset=start + junk)


def volume_ending(offset: int) -> Iterator[Problem]:
    """Of a tar that breaks off at that byte: whether it may be the first volume of several.
    Volumes end where a record does."""
    if offset and offset % RECORD == 0:
        yield problems.FIRST_VOLUME.about(offset=offset)


def _first_byte(piece: memoryview) -> int | None:
    """Where the first byte other than zero stands."""
    rest = bytes(piece).lstrip(b"\0")
    return len(piece) - len(rest) if rest else None


def _has_header(filling: memoryview) -> bool:
    return any(is_header(filling[start : start + BLOCK]) for start in range(0, len(filling), BLOCK))
