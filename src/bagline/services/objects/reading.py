"""Reading: heads, ranges, many small pieces, and streams with a window read ahead."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import obstore

from bagline.errors import BrokenState, Replaced, Unreachable
from bagline.model.times import from_datetime
from bagline.services.objects.base import ObjectInfo
from bagline.services.objects.connection import Connection
from bagline.services.objects.names import check_key
from bagline.services.objects.places import waited_for
from bagline.units import MIB

WINDOW_BYTES = 8 * MIB
"""Bytes of one ranged GET of a stream."""
WINDOWS_AHEAD = 3
PIECE_BYTES = MIB
LARGE_HASHED = 4
"""Objects above PIECE_BYTES that are hashed at once: each has a window of its own in memory."""
RESUMES = 5
"""How often a stream that broke off is taken up again at its next byte, without progress."""
RESUME_SECONDS = 0.2
"""Before the first resume; twice as long before each that follows."""


class Reader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._large = threading.BoundedSemaphore(LARGE_HASHED)

    def read(self, bucket: str, key: str, start: int, length: int | None, etag: str) -> bytes:
        check_key(key)
        if length is not None and length <= WINDOW_BYTES:
            return self._range(bucket, key, start, length, etag)
        return b"".join(self.stream(bucket, key, start, length, etag))

    def stream(
        self, bucket: str, key: str, start: int, length: int | None, etag: str
    ) -> Iterator[bytes]:
        check_key(key)
        if length is None or not etag:
            found = self._connection.heads.head(bucket, key)
            etag = etag or found.etag
            if found.etag != etag:
                raise Replaced(f"read {bucket}/{key}: another version of the object stands there")
            length = found.size - start if length is None else length
            _check_end(found, start + length)
        ahead: deque[Future[list[bytes]]] = deque()
        at, end = start, start + length
        try:
            while at < end or ahead:
                while at < end and len(ahead) < WINDOWS_AHEAD:
                    some = min(WINDOW_BYTES, end - at)
                    ahead.append(
                        self._connection.ahead.submit(self._resuming, bucket, key, at, some, etag)
                    )
                    at += some
                yield from ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()

    def told_and_hashed(
        self, bucket: str, key: str, size: int, *, moved: Callable[[], object] = lambda: None
    ) -> tuple[ObjectInfo, str]:
        """What the store tells with the bytes of an object (its size, ETag and date), and the
        SHA-256 of as many as are to be there, at least one. Of an object of another size only the
        first ones are hashed. A request for each WINDOW_BYTES, and no HEAD."""
        check_key(key)
        with self._place(size, moved):
            hasher = hashlib.sha256()
            info, at = self._first(bucket, key, min(size, WINDOW_BYTES), hasher.update)
            if info.size == size and size > PIECE_BYTES:
                moved()
                for chunk in self.stream(bucket, key, at, size - at, info.etag):
                    hasher.update(chunk)
                    moved()
        return info, hasher.hexdigest()

    def _first(
        self, bucket: str, key: str, length: int, take: Callable[[Any], object]
    ) -> tuple[ObjectInfo, int]:
        """How many of the first `length` bytes came: a large object's may break off, and then
        be gone on with, once the store has told which object it is."""
        came = 0
        with self._connection.asking("read", bucket, key):
            options: Any = {"range": (0, length)}
            answer = obstore.get(self._connection.store(bucket), key, options=options)
            info = _told_with(answer.meta, bucket, key)
            if length <= PIECE_BYTES:
                body = answer.bytes()
                take(body)
                return info, len(body)
        try:
            with self._connection.asking("read", bucket, key):
                for chunk in answer.stream(min_chunk_size=PIECE_BYTES):
                    take(chunk)
                    came += len(chunk)
        except Unreachable:
            pass
        return info, came

    def _place(self, size: int, moved: Callable[[], object]) -> AbstractContextManager[object]:
        return waited_for(self._large, moved) if size > PIECE_BYTES else nullcontext()

    def sha256(
        self,
        bucket: str,
        key: str,
        size: int,
        etag: str,
        *,
        moved: Callable[[], object] = lambda: None,
    ) -> str:
        """In hex, of an object read back whole; `moved` is called as its bytes come."""
        if size <= PIECE_BYTES:
            return hashlib.sha256(self._range(bucket, key, 0, size, etag)).hexdigest()
        hasher = hashlib.sha256()
        with self._place(size, moved):
            for chunk in self.stream(bucket, key, 0, size, etag):
                hasher.update(chunk)
                moved()
        return hasher.hexdigest()

    def _range(self, bucket: str, key: str, start: int, length: int, etag: str) -> bytes:
        """So many bytes by one GET; fewer are Unreachable."""
        if length == 0:
            return b""
        got: list[bytes] = []
        self._append(got, bucket, key, start, length, etag)
        return got[0] if len(got) == 1 else b"".join(got)

    def _resuming(self, bucket: str, key: str, start: int, length: int, etag: str) -> list[bytes]:
        """The same, in pieces; where a GET breaks off, another one goes on at the next byte."""
        got: list[bytes] = []
        failures = before = 0
        while True:
            held = sum(map(len, got))
            try:
                self._append(got, bucket, key, start + held, length - held, etag)
            except Unreachable:
                held = sum(map(len, got))
                failures = failures + 1 if held == before else 1
                before = held
                if failures > RESUMES:
                    raise
                time.sleep(RESUME_SECONDS * 2 ** (failures - 1))
            else:
                return got

    def _append(
        self, got: list[bytes], bucket: str, key: str, start: int, length: int, etag: str
    ) -> None:
        """Append what comes, also when it breaks off."""
        came = 0
        with self._connection.asking("read", bucket, key):
            for chunk in self._body(bucket, key, start, length, etag):
                got.append(chunk)
                came += len(chunk)
        if came != length:
            raise Unreachable(
                f"read {bucket}/{key}: {came} of {length} bytes came, then the body ended"
            )

    def _body(self, bucket: str, key: str, start: int, length: int, etag: str) -> Iterator[bytes]:
        options: Any = {"range": (start, start + length)}
        if etag:
            options["if_match"] = f'"{etag}"'
        answer = obstore.get(self._connection.store(bucket), key, options=options)
        if answer.range != (start, start + length):
            raise BrokenState(
                f"read {bucket}/{key}: bytes {start} to {start + length} were asked for; the "
                f"object has {answer.meta['size']}"
            )
        for chunk in answer.stream(min_chunk_size=PIECE_BYTES):
            yield bytes(chunk)


def _told_with(meta: Any, bucket: str, key: str) -> ObjectInfo:
    return ObjectInfo(
        bucket=bucket,
        key=key,
        size=meta["size"],
        etag=(meta["e_tag"] or "").strip('"'),
        last_modified=from_datetime(meta["last_modified"]),
    )


def _check_end(found: ObjectInfo, end: int) -> None:
    if end > found.size or end < 0:
        raise BrokenState(
            f"read {found.bucket}/{found.key}: bytes up to {end} were asked for; the object "
            f"has {found.size}"
        )
