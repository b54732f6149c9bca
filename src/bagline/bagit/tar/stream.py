"""A cursor over a source's chunks: slices of them, never copies, and honest offsets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from bagline.errors import Unreachable

Chunk = bytes | bytearray | memoryview


class ByteStream:
    """The bytes of `chunks`, which begin at byte `start` of a whole of `length` bytes.

    Views handed out are slices of the source's chunks: a source must not reuse a
    chunk's memory. `length` None: the end of the source is the end of the whole.

    Every method raises Unreachable when the source ends before `length` (a dropped
    connection looks like that) or goes on beyond it; so bytes that are missing after
    that are missing from the whole itself, and are the bag's fault.
    """

    __slots__ = ("_base", "_chunks", "_end", "_pos", "_view", "length")

    def __init__(self, chunks: Iterable[Chunk], length: int | None, start: int = 0) -> None:
        self._chunks = iter(chunks)
        self.length = length
        self._base = start  # offset in the whole of the current chunk's first byte
        self._view = memoryview(b"")
        self._pos = 0
        self._end = 0

    @property
    def offset(self) -> int:
        """Offset in the whole of the next byte."""
        return self._base + self._pos

    def _advance(self) -> bool:
        """Make the next chunk with bytes in it the current one; False at the end."""
        self._base += self._end
        self._pos = self._end = 0
        self._view = memoryview(b"")
        for chunk in self._chunks:
            if chunk:
                self._view = memoryview(chunk).cast("B")
                self._end = len(self._view)
                self._refuse_overlong()
                return True
        if self.length is not None and self._base < self.length:
            raise Unreachable(
                f"the stream ended at byte {self._base} of {self.length}: the rest did not arrive"
            )
        return False

    def _refuse_overlong(self) -> None:
        if self.length is not None and self._base + self._end > self.length:
            raise Unreachable(
                f"the stream went on beyond its {self.length} bytes:"
                " the source changed while it was read"
            )

    def read(self, count: int) -> memoryview:
        """The next `count` bytes; fewer only at the end. Copies only across chunks.

        For headers: `count` is bounded by the caller.
        """
        pos = self._pos
        if pos + count <= self._end:
            self._pos = pos + count
            return self._view[pos : pos + count]
        return memoryview(b"".join(self.pieces(count)))

    def peek(self, count: int) -> memoryview:
        """The same, and they stay the next ones. Copies a chunk where it does not hold them."""
        if self._pos + count > self._end:
            start, held = self.offset, [self._view[self._pos : self._end]]
            while sum(map(len, held)) < count and self._advance():
                held.append(self._view)
            self._view = memoryview(b"".join(held))
            self._base, self._pos, self._end = start, 0, len(self._view)
        return self._view[self._pos : self._pos + count]

    def take(self, count: int) -> memoryview | None:
        """The next `count` bytes if the current chunk holds all of them, else None."""
        pos = self._pos
        if pos + count > self._end:
            return None
        self._pos = pos + count
        return self._view[pos : pos + count]

    def pieces(self, count: int) -> Iterator[memoryview]:
        """The next `count` bytes, chunk by chunk; fewer only at the end."""
        while count > 0:
            pos = self._pos
            here = min(self._end - pos, count)
            if here:
                self._pos = pos + here
                count -= here
                yield self._view[pos : pos + here]
            elif not self._advance():
                return

    def skip(self, count: int) -> int:
        """Pass over `count` bytes. Returns how many the end of the whole cut off."""
        pos = self._pos
        if pos + count <= self._end:
            self._pos = pos + count
            return 0
        for piece in self.pieces(count):
            count -= len(piece)
        return count
