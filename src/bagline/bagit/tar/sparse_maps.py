"""Maps of sparse files: old GNU, and PAX 0.0, 0.1 and 1.0. What does not fit raises BadField."""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct as Layout
from typing import NamedTuple

from bagline.bagit.tar.header import BLOCK, BadField, Stretch, decimal, number
from bagline.bagit.tar.member import Limits
from bagline.bagit.tar.stream import ByteStream

_OLD_HEADER = Layout("386x" + "12s12s" * 4 + "c12s17x")
_OLD_BLOCK = Layout("12s12s" * 21 + "c7x")

Records = list[tuple[str, bytes]]


class CutOff(Exception):
    """The tar ended inside a map; `missing` bytes of a block did not come."""

    def __init__(self, missing: int) -> None:
        super().__init__(missing)
        self.missing = missing


class SparseMap(NamedTuple):
    """A map as it stands in the tar. `size` is the expanded file's, in bytes.

    `map_bytes` of it lay between header and data, of which `map_bytes_of_data` are
    counted in the header's size.
    """

    stretches: list[Stretch]
    size: int
    map_bytes: int = 0
    map_bytes_of_data: int = 0


def read_old_gnu(stream: ByteStream, header: memoryview, limits: Limits) -> SparseMap:
    """The map in an old-GNU header and in the blocks that follow it. Raises CutOff."""
    *fields, more, real_size = _OLD_HEADER.unpack(header)
    stretches = _stretches(fields)
    map_bytes = 0
    while more != b"\0":
        _bound(len(stretches), limits)
        *fields, more = _OLD_BLOCK.unpack(_block(stream))
        stretches += _stretches(fields)
        map_bytes += BLOCK
    return SparseMap(stretches, number(real_size), map_bytes)


def _stretches(fields: list[bytes]) -> list[Stretch]:
    pairs = zip(fields[::2], fields[1::2], strict=True)
    return [(number(o), number(n)) for o, n in pairs if o[0] or n[0]]


def read_pax(
    stream: ByteStream, stored: int, records: Mapping[str, bytes], own: Records, limits: Limits
) -> SparseMap:
    """The map in PAX records, or (1.0) before the data of `stored` bytes. Raises CutOff.

    `records` are all in force; `own` those of this member, where 0.0 repeats keywords.
    """
    realsize = records.get("GNU.sparse.realsize") or records.get("GNU.sparse.size") or b""
    size = decimal(realsize, "the expanded size")
    if records.get("GNU.sparse.major") != b"1":
        return SparseMap(_in_records(own), size)
    stretches, map_bytes = _before_data(stream, stored, limits)
    return SparseMap(stretches, size, map_bytes, map_bytes)


def _in_records(own: Records) -> list[Stretch]:
    """PAX sparse 0.1 (one list; of several records the last counts) or 0.0 (repeated keywords)."""
    for keyword, value in reversed(own):
        if keyword == "GNU.sparse.map":
            numbers = [decimal(n, "the sparse map") for n in value.split(b",")] if value else []
            return _paired(numbers)
    keywords = ("GNU.sparse.offset", "GNU.sparse.numbytes")
    return _paired([decimal(value, keyword) for keyword, value in own if keyword in keywords])


def _before_data(stream: ByteStream, stored: int, limits: Limits) -> tuple[list[Stretch], int]:
    """PAX sparse 1.0: decimal lines, padded to whole blocks; and how many bytes they took."""
    numbers: list[int] = []
    wanted, rest, taken = 1, b"", 0
    while len(numbers) < wanted:
        if stored - taken < BLOCK:
            raise BadField("it is longer than the file")
        taken += BLOCK
        *lines, rest = (rest + bytes(_block(stream))).split(b"\n")
        for line in lines:
            numbers.append(decimal(line, "an entry"))
            wanted = 1 + 2 * numbers[0]
            _bound(numbers[0], limits)
            if len(numbers) == wanted:
                break
        if len(rest) > BLOCK:
            raise BadField("a line is too long")
    return _paired(numbers[1:]), taken


def checked(found: SparseMap, stored: int, limits: Limits) -> tuple[Stretch, ...]:
    """The stretches that hold bytes, when they fit the file and what is stored of it."""
    _bound(len(found.stretches), limits)
    position = total = 0
    for offset, count in found.stretches:
        if offset < position or count < 0 or offset + count > found.size:
            raise BadField(f"the stretch at {offset} of {count} bytes does not fit")
        position = offset + count
        total += count
    if total != stored:
        raise BadField(f"its stretches hold {total} bytes, and {stored} are stored")
    return tuple(stretch for stretch in found.stretches if stretch[1])


def _bound(stretches: int, limits: Limits) -> None:
    if stretches > limits.sparse_stretches:
        raise BadField(f"more than {limits.sparse_stretches} stretches")


def _paired(numbers: list[int]) -> list[Stretch]:
    if len(numbers) % 2:
        raise BadField("an offset has no length")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _block(stream: ByteStream) -> memoryview:
    block = stream.read(BLOCK)
    if len(block) < BLOCK:
        raise CutOff(BLOCK - len(block))
    return block
