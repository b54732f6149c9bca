"""Retries and throttle, as a wrapper: the only place in the objects seam that tries again."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import structlog

from bagline.errors import Unreachable, Unreadable
from bagline.services.objects.base import (
    Abilities,
    Body,
    Check,
    ObjectInfo,
    Objects,
    Proof,
    RangeCopy,
    Target,
)
from bagline.services.objects.bulk import BulkObjects
from bagline.services.objects.fan import Fan
from bagline.services.objects.throttle import Throttle

R = TypeVar("R")

BRIEF_BYTES = 256 * 1024
"""Puts up to this size tell by their time how the store is."""

LONG_SECONDS = 5.0
"""A store that took so long not to give an object has tried again by itself."""


class RetryingObjects(BulkObjects):
    """Tries again what was Unreachable: exponential back-off, full jitter, bounded.

    Refused, Gone, Replaced and ProofFailed pass at once. Of many at once, each is tried
    again by itself. `stream` and `list` are not repeated: a stream resumes by itself, and both may
    have given some away. Nor is `put_stream`: its chunks can be had only once.
    """

    def __init__(
        self,
        inner: Objects,
        *,
        tries: int = 5,
        first_seconds: float = 0.6,
        total_seconds: float = 20.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """At most `tries` tries; none begins later than `total_seconds` after the first
        (copies apart, which may take longer than that each).

        The first pause is up to `first_seconds`, each that follows up to twice as long.
        """
        super().__init__(Fan("objects-retrying"))
        self._inner = inner
        self._tries = tries
        self._first_seconds = first_seconds
        self._total_seconds = total_seconds
        self._sleep = sleep
        self._clock = clock
        self._log = structlog.get_logger("bagline.objects")
        self._throttle = Throttle(clock=clock)

    def __repr__(self) -> str:
        return f"RetryingObjects({self._inner!r})"

    def _again(
        self, what: str, ask: Callable[[], R], *, is_brief: bool = False, is_long: bool = False
    ) -> R:
        """A request that is long by its nature has its number of tries, whatever they take."""
        deadline = math.inf if is_long else self._clock() + self._total_seconds
        for attempt in range(1, self._tries + 1):
            began = self._clock()
            try:
                with self._throttle.place(is_brief=is_brief):
                    return ask()
            except Unreachable as fault:
                if isinstance(fault, Unreadable) and self._clock() - began > LONG_SECONDS:
                    raise
                pause = random.uniform(0, self._first_seconds * 2 ** (attempt - 1))
                if attempt == self._tries or self._clock() + pause > deadline:
                    raise
                self._log.info("objects_retry", what=what, attempt=attempt, why=str(fault))
                self._sleep(pause)
        raise AssertionError("unreachable: the last try returns or raises")

    @property
    def realm(self) -> str:
        return self._inner.realm

    def head(self, bucket: str, key: str) -> ObjectInfo:
        return self._again("head", lambda: self._inner.head(bucket, key), is_brief=True)

    def read(
        self, bucket: str, key: str, *, start: int = 0, length: int | None = None, etag: str = ""
    ) -> bytes:
        return self._again(
            "read", lambda: self._inner.read(bucket, key, start=start, length=length, etag=etag)
        )

    def stream(
        self, bucket: str, key: str, *, start: int = 0, length: int | None = None, etag: str = ""
    ) -> Iterator[bytes]:
        return self._inner.stream(bucket, key, start=start, length=length, etag=etag)

    def put(self, body: Body) -> Proof:
        is_brief = len(body.data) <= BRIEF_BYTES
        return self._again("put", lambda: self._inner.put(body), is_brief=is_brief)

    def put_stream(
        self, target: Target, chunks: Iterable[bytes], *, size: int, sha256: str
    ) -> Proof:
        return self._inner.put_stream(target, chunks, size=size, sha256=sha256)

    def copy_range(self, copy: RangeCopy, *, source: Objects | None = None) -> Proof:
        return self._again(
            "copy_range", lambda: self._inner.copy_range(copy, source=source), is_long=True
        )

    def verify(self, bucket: str, check: Check, *, read_back: bool = True) -> Proof:
        return self._again("verify", lambda: self._inner.verify(bucket, check, read_back=read_back))

    def list(
        self, bucket: str, prefix: str = "", *, top_level: bool = False
    ) -> Iterator[ObjectInfo]:
        return self._inner.list(bucket, prefix, top_level=top_level)

    def delete(self, bucket: str, key: str, *, etag: str = "") -> None:
        self._again("delete", lambda: self._inner.delete(bucket, key, etag=etag))

    def delete_many(self, bucket: str, keys: Iterable[str]) -> int:
        held = list(keys)
        return self._again("delete_many", lambda: self._inner.delete_many(bucket, held))

    def abort_uploads(self, bucket: str, prefix: str) -> int:
        return self._again("abort_uploads", lambda: self._inner.abort_uploads(bucket, prefix))

    def ensure_bucket(self, bucket: str) -> None:
        self._again("ensure_bucket", lambda: self._inner.ensure_bucket(bucket))

    def has_bucket(self, bucket: str) -> bool:
        return self._again("has_bucket", lambda: self._inner.has_bucket(bucket))

    def abilities(self, bucket: str) -> Abilities:
        return self._again("abilities", lambda: self._inner.abilities(bucket))

    def close(self) -> None:
        self._fan.close()
        self._inner.close()
