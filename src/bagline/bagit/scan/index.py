"""What a scan must remember of every file it has read: for duplicates and hard links."""

from __future__ import annotations

import os
from array import array
from hashlib import blake2b

from bagline.bagit.digests import DIGESTS_BYTES, Digests
from bagline.model.ingest import TarSpan
from bagline.units import path_bytes

_KEY_BYTES = 16
_NUMBERS = 4  # size, header offset, data offset, stored bytes


class PathTable:
    """Path → row. Rows count from 0, in order.

    16 bytes (key) and 6 to 12 (hash table) a path, whatever its length: paths are known by a
    keyed 128-bit digest and are not kept.
    """

    def __init__(self) -> None:
        self._secret = os.urandom(16)  # nobody can craft names that collide
        self._keys = bytearray()
        self._slots = array("I", bytes(4 * 1024))  # row + 1, or 0; a power of two long
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def find(self, path: str) -> int | None:
        """The row of the path, or None."""
        return self._lookup(path)[0]

    def insert(self, path: str) -> int | None:
        """Make a new row; or return the path's row when it has one, and change nothing."""
        row, slot, key = self._lookup(path)
        if row is not None:
            return row
        self._keys += key
        self._rows += 1
        self._slots[slot] = self._rows
        if self._rows * 3 > len(self._slots) * 2:
            self._grow()
        return None

    def _lookup(self, path: str) -> tuple[int | None, int, bytes]:
        """The path's row, if any; its slot, or the free slot where it belongs; its key."""
        key = blake2b(path_bytes(path), digest_size=_KEY_BYTES, key=self._secret).digest()
        slots, keys = self._slots, self._keys
        mask = len(slots) - 1
        slot = int.from_bytes(key[:8], "little") & mask
        while row := slots[slot]:
            start = (row - 1) * _KEY_BYTES
            if keys[start : start + _KEY_BYTES] == key:
                return row - 1, slot, key
            slot = (slot + 1) & mask
        return None, slot, key

    def _grow(self) -> None:
        slots = array("I", bytes(4 * 2 * len(self._slots)))
        mask = len(slots) - 1
        keys = self._keys
        for row in range(self._rows):
            start = row * _KEY_BYTES
            slot = int.from_bytes(keys[start : start + 8], "little") & mask
            while slots[slot]:
                slot = (slot + 1) & mask
            slots[slot] = row + 1
        self._slots = slots


class FileIndex(PathTable):
    """For each row digests, size and span.

    Columns of raw bytes, not objects: 132 (digests) + 32 (numbers) bytes a file beside those
    of its path, so 190 MB for a million files.
    """

    def __init__(self) -> None:
        super().__init__()
        self._digests = bytearray()
        self._numbers = array("Q")
        self._stretches: dict[int, bytes] = {}  # their numbers, 8 bytes each
        self._parts: dict[int, tuple[tuple[str, ...], tuple[str, ...]]] = {}

    def add(self, path: str, digests: Digests, size: int, span: TarSpan) -> int | None:
        """Make a new row; or return the path's row when it has one, and change nothing."""
        known = self.insert(path)
        if known is not None:
            return known
        row = self._rows - 1
        self._digests += digests
        self._numbers.extend((size, span.header_offset, span.data_offset, span.stored_bytes))
        if span.stretches:
            numbers = (number for stretch in span.stretches for number in stretch)
            self._stretches[row] = array("Q", numbers).tobytes()
        if span.part_sha256:
            self._parts[row] = span.part_sha256, span.part_md5
        return None

    def digests(self, row: int) -> Digests:
        start = row * DIGESTS_BYTES
        return bytes(self._digests[start : start + DIGESTS_BYTES])

    def size(self, row: int) -> int:
        return self._numbers[row * _NUMBERS]

    def span(self, row: int) -> TarSpan:
        first = row * _NUMBERS
        header, data, stored = self._numbers[first + 1 : first + _NUMBERS]
        packed = self._stretches.get(row)
        numbers = array("Q", packed) if packed else ()
        stretches = tuple(zip(numbers[::2], numbers[1::2], strict=True))
        return TarSpan(header, data, stored, stretches, *self._parts.get(row, ()))
