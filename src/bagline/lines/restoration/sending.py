"""A restored tar on its way into its bucket: part by part, none twice, whole or not at all."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass

from bagline.bagit.writing import Layout
from bagline.lines.restoration.held_copies import WrongCopy
from bagline.lines.restoration.restore_job import RestoreJob
from bagline.lines.restoration.tar_bytes import TarBytes
from bagline.services.objects.base import Objects
from bagline.services.objects.parts import PartBody, Upload, UploadedPart
from bagline.units import MIB

HELD_BYTES = 32 * MIB
"""Parts up to this size are held whole while they are sent; larger ones are made while they go."""
IN_FLIGHT_BYTES = 48 * MIB
MOST_IN_FLIGHT = 4


class _Cursor:
    """The tar's bytes from some place on, taken in stretches."""

    def __init__(self, chunks: Generator[tuple[int, bytes]]) -> None:
        self._chunks = chunks
        self._held: memoryview = memoryview(b"")
        self.at: int | None = None
        """Where the next byte stands; None before the first one was made."""

    def begin(self) -> int:
        """Where it begins."""
        if self.at is None:
            self.at, data = next(self._chunks)
            self._held = memoryview(data)
        return self.at

    def take(self, end: int) -> Iterator[memoryview]:
        """The bytes up to that place."""
        at = self.begin()
        while at < end:
            while not self._held:
                self._held = memoryview(next(self._chunks)[1])
            some = self._held[: end - at]
            self._held = self._held[len(some) :]
            at += len(some)
            self.at = at
            yield some

    def close(self) -> None:
        self._chunks.close()


@dataclass
class Sending:
    """One upload. `parts`: those that stand at the store already, by number from 1; at the end all
    of them."""

    job: RestoreJob
    layout: Layout
    tar: TarBytes
    store: Objects
    upload: Upload
    parts: dict[int, UploadedPart]
    sent: int = 0
    """Parts that were sent, this time."""

    def run(self) -> None:
        """Send what is not there. Where a copy proves wrong at its end, its parts are made again
        from the next one. Raises what the job's pause point, copies and store raise."""
        begin = self._first_missing()
        while begin is not None:
            try:
                self._from(begin)
                begin = self._first_missing()
            except WrongCopy as wrong:
                begin = wrong.offset // self.layout.part_bytes

    def _first_missing(self) -> int | None:
        """The number, from 0, of the part to begin at: that which is missing, or, where a file
        lies across its beginning, the one in which the file begins. What stands there of the file
        may be of another copy than is read now, and then be wrong."""
        layout = self.layout
        missing = next((n for n in range(layout.parts) if not self._has_size(n)), None)
        if missing is None:
            return None
        return min(missing, layout.mark(layout.part(missing)[0]).begin // layout.part_bytes)

    def _has_size(self, number: int) -> bool:
        """Whether a part of the right size stands there, by its number from 0."""
        start, end = self.layout.part(number)
        part = self.parts.get(number + 1)
        return part is not None and part.size == end - start

    def _from(self, number: int) -> None:
        """Everything from that part on. What is made before it, so that a file can be digested
        from its first byte, is compared with what stands there; what is another is sent too."""
        cursor = _Cursor(self._watched(self.layout.part(number)[0]))
        try:
            first = -(-cursor.begin() // self.layout.part_bytes)
            list(cursor.take(min(self.layout.part(first)[0], self.layout.size)))
            if self.layout.part_bytes <= HELD_BYTES:
                self._send_held(cursor, first)
            else:
                self._send_as_made(cursor, first)
        finally:
            cursor.close()

    def _watched(self, offset: int) -> Generator[tuple[int, bytes]]:
        with closing(self.tar.chunks(offset)) as chunks:
            for at, data in chunks:
                self.job.pause_point()
                yield at, data

    # -- parts that are held

    def _send_held(self, cursor: _Cursor, first: int) -> None:
        part_bytes = self.layout.part_bytes
        most = max(1, min(MOST_IN_FLIGHT, IN_FLIGHT_BYTES // part_bytes))
        with ThreadPoolExecutor(most, thread_name_prefix="restore-parts") as pool:
            flying: deque[Future[None]] = deque()
            for number in range(first, self.layout.parts):
                data = b"".join(cursor.take(self.layout.part(number)[1]))
                if self._stands_there(number + 1, len(data), _md5(data)):
                    self._count(len(data))
                    continue
                while len(flying) >= most:
                    flying.popleft().result()
                    self.job.got_to(len(self.parts))
                flying.append(pool.submit(self._send, number + 1, data))
            for each in flying:
                each.result()

    def _send(self, number: int, data: bytes) -> None:
        self.parts[number] = self.store.put_part(self.upload, number, data)
        self.sent += 1
        self._count(len(data))

    # -- parts that are made while they go

    def _send_as_made(self, cursor: _Cursor, first: int) -> None:
        """One that stands there and is another is missing from then on: its bytes have gone by."""
        for number in range(first, self.layout.parts):
            start, end = self.layout.part(number)
            if number + 1 in self.parts:
                hasher = hashlib.md5(usedforsecurity=False)
                for view in cursor.take(end):
                    hasher.update(view)
                if self._stands_there(number + 1, end - start, hasher.hexdigest()):
                    self._count(end - start)
                else:
                    del self.parts[number + 1]
                continue
            body = _Once(self, cursor, start, end)
            self.parts[number + 1] = self.store.put_part(
                self.upload, number + 1, PartBody(end - start, body.open)
            )
            self.sent += 1
            self._count(end - start)
            self.job.got_to(len(self.parts))

    def made_from(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes between, made anew."""
        again = _Cursor(self._watched(start))
        try:
            for _ in again.take(start):
                pass
            for view in again.take(end):
                yield bytes(view)
        finally:
            again.close()

    # -- what stands there

    def _stands_there(self, number: int, size: int, md5: str) -> bool:
        part = self.parts.get(number)
        return part is not None and (part.size, part.etag) == (size, md5)

    def _count(self, size: int) -> None:
        self.job.progress.add(bytes=size)


class _Once:
    """A part's bytes from the cursor the first time, made anew each time after."""

    def __init__(self, sending: Sending, cursor: _Cursor, start: int, end: int) -> None:
        self._sending, self._cursor = sending, cursor
        self._start, self._end = start, end
        self._is_taken = False

    def open(self) -> Iterator[bytes]:
        if self._is_taken:
            yield from self._sending.made_from(self._start, self._end)
            return
        self._is_taken = True
        for _ in self._cursor.take(self._start):  # what is left of a part that was made anew
            pass
        for view in self._cursor.take(self._end):
            yield bytes(view)


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()
