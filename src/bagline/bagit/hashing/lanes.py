"""Large files: threads that each run some of the digests over a queue of their own.

No lane waits for another at chunk borders; hashlib lets other threads run meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Sequence
from queue import Queue

from bagline.bagit.digests import LENGTHS, new_hash
from bagline.bagit.hashing.pending import Batch, PartDigests, Pending
from bagline.units import MIB

GROUP_BYTES = 1 * MIB
GROUP_PIECES = 256
LANE_GROUPS = 16
"""A lane's queue holds so many groups of at most GROUP_BYTES in GROUP_PIECES views."""


def lanes_for(cores: int) -> list[tuple[str, ...]]:
    """Which algorithms share a thread: balanced by their measured speeds."""
    if cores >= 4:
        return [("sha512",), ("md5",), ("sha256",), ("sha1",)]
    if cores == 3:
        return [("sha512",), ("md5",), ("sha256", "sha1")]
    return [("md5", "sha256"), ("sha512", "sha1")]


class LargeFile:
    """One large file on its way through the lanes."""

    def __init__(self, lanes: int) -> None:
        self._ready = threading.Event()
        self.batch = Batch(lambda _: self._await())
        self._found: dict[str, bytes] = {}
        self._left = lanes
        self._lock = threading.Lock()

    def lane_done(self, digests: dict[str, bytes], fault: BaseException | None) -> None:
        with self._lock:
            self._found.update(digests)
            self.batch.fault = self.batch.fault or fault
            self._left -= 1
            if self._left:
                return
        if self.batch.fault is None:
            self.batch.results = [b"".join(self._found[name] for name in LENGTHS)]
            self.batch.parts = PartDigests(self._parts("sha256"), self._parts("md5"))
        self.batch.finish()
        self._ready.set()

    def _parts(self, algorithm: str) -> tuple[str, ...]:
        joined, length = self._found.get(_of_parts(algorithm), b""), LENGTHS[algorithm]
        return tuple(joined[at : at + length].hex() for at in range(0, len(joined), length))

    def _await(self) -> None:
        self._ready.wait()


_Work = list[memoryview] | LargeFile | None


class _Whole:
    """Some digests of a whole file."""

    def __init__(self, algorithms: Sequence[str]) -> None:
        self._hashes = {name: new_hash(name) for name in algorithms}

    def update(self, view: memoryview) -> None:
        for each in self._hashes.values():
            each.update(view)

    def found(self) -> dict[str, bytes]:
        return {name: each.digest() for name, each in self._hashes.items()}


def _of_parts(algorithm: str) -> str:
    """What the joined digests of a file's parts are found under."""
    return f"{algorithm} of parts"


class _Parts:
    """One digest of each part of `part_bytes`; the last one may be shorter."""

    def __init__(self, algorithm: str, part_bytes: int) -> None:
        self._algorithm = algorithm
        self._part_bytes = part_bytes
        self._digests = b""
        self._hash = new_hash(algorithm)
        self._held = 0

    def update(self, view: memoryview) -> None:
        while view:
            some = view[: self._part_bytes - self._held]
            self._hash.update(some)
            self._held += len(some)
            view = view[len(some) :]
            if self._held == self._part_bytes:
                self._close()

    def _close(self) -> None:
        self._digests += self._hash.digest()
        self._hash, self._held = new_hash(self._algorithm), 0

    def found(self) -> dict[str, bytes]:
        if self._held:
            self._close()
        return {_of_parts(self._algorithm): self._digests}


class _Lane(threading.Thread):
    """Hashes file after file: groups of views, then the file itself."""

    def __init__(self, algorithms: Sequence[str], part_bytes: int = 0) -> None:
        super().__init__(name=f"digest-{'-'.join(algorithms)}", daemon=True)
        self._algorithms = algorithms
        self._part_bytes = part_bytes
        self.queue: Queue[_Work] = Queue(LANE_GROUPS)
        self.start()

    def run(self) -> None:
        hashes, fault = self._fresh(), None
        while (work := self.queue.get()) is not None:
            if isinstance(work, LargeFile):
                work.lane_done(hashes.found(), fault)
                hashes, fault = self._fresh(), None
                continue
            try:
                for view in work:
                    hashes.update(view)
            except BaseException as broken:  # noqa: BLE001 - raised again by whoever waits
                fault = broken
            work = None  # a waiting lane must not keep a chunk alive

    def _fresh(self) -> _Whole | _Parts:
        if self._part_bytes:
            (algorithm,) = self._algorithms
            return _Parts(algorithm, self._part_bytes)
        return _Whole(self._algorithms)


class Lanes:
    """The lanes of one scan; their threads begin with the first file. Not for two threads.

    Holds at most LANE_GROUPS groups of GROUP_BYTES (and the source's chunks that these
    are slices of); giving it more waits.
    """

    def __init__(self, cores: int) -> None:
        self._cores = cores
        self.lanes: list[_Lane] = []
        self._part_lanes: list[_Lane] = []

    def hash(
        self, pieces: Iterable[memoryview], part_bytes: int = 0
    ) -> Generator[None, None, Pending]:
        """Hash a file piece by piece; yields after each group, so that the caller may look
        after others, and returns when the last piece is queued. With `part_bytes` also its
        parts of that size, each digest of them on a lane of its own."""
        lanes = self._lanes(part_bytes)
        group: list[memoryview] = []
        size = 0
        for piece in pieces:
            for start in range(0, len(piece), GROUP_BYTES):
                part = piece[start : start + GROUP_BYTES]
                if size + len(part) > GROUP_BYTES or len(group) >= GROUP_PIECES:
                    _feed(lanes, group)
                    group, size = [], 0
                    yield
                group.append(part)
                size += len(part)
        _feed(lanes, group)
        file = LargeFile(len(lanes))
        _feed(lanes, file)
        return Pending(file.batch, 0)

    def _lanes(self, part_bytes: int) -> list[_Lane]:
        if not self.lanes:
            self.lanes = [_Lane(names) for names in lanes_for(self._cores)]
        if not part_bytes:
            return self.lanes
        if not self._part_lanes:
            self._part_lanes = [_Lane((name,), part_bytes) for name in PartDigests._fields]
        return [*self.lanes, *self._part_lanes]

    def close(self) -> None:
        """Let the threads end. What was not waited for is lost."""
        for lane in (*self.lanes, *self._part_lanes):
            lane.queue.put(None)
        self.lanes, self._part_lanes = [], []


def _feed(lanes: Sequence[_Lane], work: list[memoryview] | LargeFile) -> None:
    for lane in lanes:
        lane.queue.put(work)
