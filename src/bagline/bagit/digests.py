"""md5, sha1, sha256 and sha512 of many files at once, on threads, in bounded memory.

A large file's chunks go to lanes: threads that each run some of the algorithms, each
with a queue of its own, so no lane waits for another at chunk borders. Small files
go in batches to a pool of threads. hashlib lets other threads run meanwhile.

Everything here keeps the order in which it was given: see Pending.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable
from queue import Queue, SimpleQueue
from typing import Any, Protocol

MIB = 1024 * 1024

LENGTHS = {"md5": 16, "sha1": 20, "sha256": 32, "sha512": 64}
"""Bytes of each digest, in the order of model.ingest.DIGEST_ALGORITHMS."""

DIGESTS_BYTES = sum(LENGTHS.values())

SLICES: dict[str, slice] = {}
"""Where each digest stands in the joined bytes (`Digests`)."""

_start = 0
for _name, _length in LENGTHS.items():
    SLICES[_name] = slice(_start, _start + _length)
    _start += _length

Digests = bytes
"""The digests of one file joined in that order: DIGESTS_BYTES bytes."""

GROUP_BYTES = 1 * MIB
GROUP_PIECES = 256
LANE_GROUPS = 16
"""A lane's queue holds so many groups of at most GROUP_BYTES in GROUP_PIECES views."""

BATCH_BYTES = 256 * 1024
BATCH_FILES = 64
BATCH_FILE_BYTES = 256 * 1024
"""Files up to this size are hashed in batches, larger ones in lanes."""


class _Hash(Protocol):
    def update(self, data: memoryview, /) -> None: ...
    def digest(self) -> bytes: ...


def new_hash(algorithm: str) -> _Hash:
    """A hash for fixity, not for security (so that FIPS builds allow md5)."""
    made: _Hash = hashlib.new(algorithm, usedforsecurity=False)
    return made


_md5: Callable[..., Any] = hashlib.md5
_sha1: Callable[..., Any] = hashlib.sha1
_sha256: Callable[..., Any] = hashlib.sha256
_sha512: Callable[..., Any] = hashlib.sha512


def digests_of(data: bytes | memoryview) -> Digests:
    """The digests of bytes at hand."""
    return bytes(
        _md5(data, usedforsecurity=False).digest()
        + _sha1(data, usedforsecurity=False).digest()
        + _sha256(data).digest()
        + _sha512(data).digest()
    )


NO_BYTES = digests_of(b"")


def as_hex(digests: Digests) -> dict[str, str]:
    """Algorithm → lower-case hex, in the order of DIGEST_ALGORITHMS."""
    return {
        "md5": digests[:16].hex(),
        "sha1": digests[16:36].hex(),
        "sha256": digests[36:68].hex(),
        "sha512": digests[68:].hex(),
    }


def from_hex(digests: dict[str, str]) -> Digests:
    """The reverse of `as_hex`. Raises KeyError or ValueError when one is missing or no hex."""
    return b"".join(bytes.fromhex(digests[name]) for name in LENGTHS)


def lanes_for(cores: int) -> list[tuple[str, ...]]:
    """Which algorithms share a thread: balanced by their measured speeds."""
    if cores >= 4:
        return [("sha512",), ("md5",), ("sha256",), ("sha1",)]
    if cores == 3:
        return [("sha512",), ("md5",), ("sha256", "sha1")]
    return [("md5", "sha256"), ("sha512", "sha1")]


class Pending:
    """Digests that will be there: `done` says whether, `result()` waits for them."""

    __slots__ = ("_batch", "_place")

    def __init__(self, batch: _Batch, place: int) -> None:
        self._batch = batch
        self._place = place

    @property
    def done(self) -> bool:
        return self._batch.finished

    def result(self) -> Digests:
        batch = self._batch
        if not batch.finished:
            batch.wait()
        if batch.fault is not None:
            raise batch.fault
        return batch.results[self._place]


class _Batch:
    """Files that are hashed together; or one large file, when `items` is empty."""

    __slots__ = ("_latch", "_owner", "bytes", "fault", "finished", "items", "results")

    def __init__(self, owner: Digester) -> None:
        self._owner = owner
        self._latch = threading.Lock()
        self._latch.acquire()
        self.items: list[memoryview] = []
        self.results: list[Digests] = []
        self.bytes = 0
        self.finished = False
        self.fault: BaseException | None = None

    def run(self) -> None:
        try:
            self.results = [digests_of(item) for item in self.items]
        except BaseException as fault:  # noqa: BLE001 - raised again by whoever waits
            self.fault = fault
        self.items = []
        self.finish()

    def finish(self) -> None:
        self.finished = True
        self._latch.release()

    def wait(self) -> None:
        self._owner.hand_over(self)
        with self._latch:  # held until `finish`
            pass


class _LargeFile:
    """One large file on its way through the lanes."""

    __slots__ = ("_left", "_lock", "batch", "parts")

    def __init__(self, owner: Digester, lanes: int) -> None:
        self.batch = _Batch(owner)
        self.parts: dict[str, bytes] = {}
        self._left = lanes
        self._lock = threading.Lock()

    def lane_done(self, digests: dict[str, bytes], fault: BaseException | None) -> None:
        with self._lock:
            self.parts.update(digests)
            self.batch.fault = self.batch.fault or fault
            self._left -= 1
            if self._left:
                return
        if self.batch.fault is None:
            self.batch.results = [b"".join(self.parts[name] for name in LENGTHS)]
        self.batch.finish()


_Work = list[memoryview] | _LargeFile | None


class _Lane(threading.Thread):
    """Runs its algorithms over file after file: groups of views, then the file itself."""

    def __init__(self, algorithms: tuple[str, ...]) -> None:
        super().__init__(name=f"digest-{'-'.join(algorithms)}", daemon=True)
        self._algorithms = algorithms
        self.queue: Queue[_Work] = Queue(LANE_GROUPS)
        self.start()

    def run(self) -> None:
        hashes = [new_hash(name) for name in self._algorithms]
        fault: BaseException | None = None
        while (work := self.queue.get()) is not None:
            if isinstance(work, _LargeFile):
                found = {n: h.digest() for n, h in zip(self._algorithms, hashes, strict=True)}
                work.lane_done(found, fault)
                hashes, fault = [new_hash(name) for name in self._algorithms], None
                continue
            try:
                for view in work:
                    for each in hashes:
                        each.update(view)
            except BaseException as broken:  # noqa: BLE001 - raised again by whoever waits
                fault = broken
            work = None  # a waiting lane must not keep a chunk alive


class Digester:
    """Digests of files given one after another. Use as a context; not for two threads.

    Holds at most LANE_GROUPS groups of GROUP_BYTES a lane and two batches a pool
    thread (and the source's chunks that these are slices of); giving it more waits.
    """

    def __init__(self, cores: int | None = None) -> None:
        self._cores = cores or _usable_cores()
        self._lanes: list[_Lane] = []
        self._pool: list[threading.Thread] = []
        self._jobs: SimpleQueue[_Batch | None] = SimpleQueue()
        self._running: deque[_Batch] = deque()
        self._batch = _Batch(self)
        self._empty = Pending(self._batch_of_nothing(), 0)

    def __enter__(self) -> Digester:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the threads end. What was not waited for is lost."""
        for _ in self._pool:
            self._jobs.put(None)
        for lane in self._lanes:
            lane.queue.put(None)
        self._pool, self._lanes = [], []

    def small(self, data: memoryview) -> Pending:
        """Hash bytes at hand, with others, some time soon."""
        if not data:
            return self._empty
        batch = self._batch
        pending = Pending(batch, len(batch.items))
        batch.items.append(data)
        batch.bytes += len(data)
        if batch.bytes >= BATCH_BYTES or len(batch.items) >= BATCH_FILES:
            self.hand_over(batch)
        return pending

    def large(self, pieces: Iterable[memoryview]) -> Pending:
        """Hash a file of any size piece by piece; returns when its last piece is queued."""
        self.hand_over(self._batch)
        if not self._lanes:
            self._lanes = [_Lane(names) for names in lanes_for(self._cores)]
        group: list[memoryview] = []
        size = 0
        for piece in pieces:
            for start in range(0, len(piece), GROUP_BYTES):
                part = piece[start : start + GROUP_BYTES]
                if size + len(part) > GROUP_BYTES or len(group) >= GROUP_PIECES:
                    self._feed(group)
                    group, size = [], 0
                group.append(part)
                size += len(part)
        self._feed(group)
        file = _LargeFile(self, len(self._lanes))
        self._feed(file)
        return Pending(file.batch, 0)

    def _feed(self, work: list[memoryview] | _LargeFile) -> None:
        for lane in self._lanes:
            lane.queue.put(work)

    def hand_over(self, batch: _Batch) -> None:
        """Give the batch to the pool, if it is the one still being filled."""
        if batch is not self._batch or not batch.items:
            return
        self._batch = _Batch(self)
        if not self._pool:
            self._pool = [self._pool_thread(n) for n in range(self._cores)]
        while len(self._running) >= 2 * self._cores:
            self._running.popleft().wait()
        self._running.append(batch)
        self._jobs.put(batch)

    def _pool_thread(self, number: int) -> threading.Thread:
        thread = threading.Thread(target=self._work, name=f"digest-pool-{number}", daemon=True)
        thread.start()
        return thread

    def _work(self) -> None:
        while (batch := self._jobs.get()) is not None:
            batch.run()

    def _batch_of_nothing(self) -> _Batch:
        batch = _Batch(self)
        batch.results = [NO_BYTES]
        batch.finish()
        return batch


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
