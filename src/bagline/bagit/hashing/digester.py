"""md5, sha1, sha256 and sha512 of many files at once, in bounded memory, in order.

Large files go through lanes (threads). Small ones go in batches: to helper processes
as far as these have room, and are hashed here as far as they have not; a bag with few
small files starts no helper.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable

from bagline.bagit.digests import NO_BYTES
from bagline.bagit.hashing.helper import Helper, HelperGone
from bagline.bagit.hashing.lanes import Lanes
from bagline.bagit.hashing.pending import Batch, Pending

BATCH_BYTES = 256 * 1024
BATCH_FILES = 64
BATCH_FILE_BYTES = 256 * 1024
"""Files up to this size are hashed in batches, larger ones in lanes."""

BATCHES_HERE = 24
"""So many batches are hashed here before a helper is worth its start, and each further one."""
HELPERS = 3


class Digester:
    """Digests of files given one after another. Use as a context; not for two threads.

    Holds what `Lanes` hold, and helper.BATCHES batches a helper; giving it more waits,
    or works. `part_bytes`: files above this size are also hashed by parts of it (0: none).
    """

    def __init__(self, cores: int | None = None, *, part_bytes: int = 0) -> None:
        self._cores = cores or _usable_cores()
        self._part_bytes = part_bytes
        self.lanes = Lanes(self._cores)
        self._helpers: list[Helper] = []
        self._most_helpers = min(self._cores - 1, HELPERS)
        self._hashed_here = 0
        self._batch = Batch(self._await)
        nothing = Batch(self._await)
        nothing.results = [NO_BYTES]
        nothing.finish()
        self._empty = Pending(nothing, 0)

    def __enter__(self) -> Digester:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let threads and helpers end. What was not waited for is lost."""
        self.lanes.close()
        for helper in self._helpers:
            helper.close()
        self._helpers = []

    def small(self, data: memoryview) -> Pending:
        """Hash bytes at hand, with others, some time soon."""
        if not data:
            return self._empty
        batch = self._batch
        pending = Pending(batch, len(batch.items))
        batch.items.append(data)
        batch.bytes += len(data)
        if batch.bytes >= BATCH_BYTES or len(batch.items) >= BATCH_FILES:
            self._hand_over()
        return pending

    def large(self, pieces: Iterable[memoryview], size: int = 0) -> Pending:
        """Hash a file of any size piece by piece; returns when its last piece is queued.

        `size`, where it is known, decides about parts.
        """
        steps = self.large_in_steps(pieces, size)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                found: Pending = end.value
                return found

    def large_in_steps(
        self, pieces: Iterable[memoryview], size: int = 0
    ) -> Generator[None, None, Pending]:
        """The same, with a pause every MiB or so for whoever has something else to do."""
        self._hand_over()
        has_parts = 0 < self._part_bytes < size
        return self.lanes.hash(pieces, self._part_bytes if has_parts else 0)

    def _hand_over(self) -> None:
        """Give the batch that is being filled to a helper with room, or hash it here."""
        batch = self._batch
        if not batch.items:
            return
        self._batch = Batch(self._await)
        for helper in list(self._helpers):
            try:
                while helper.has_answer():
                    helper.finish_next()
                if helper.has_room:
                    helper.give(batch)
                    return
            except HelperGone:
                self._do_without(helper)
        self._hashed_here += 1
        batch.run()
        if self._hashed_here >= BATCHES_HERE and len(self._helpers) < self._most_helpers:
            self._start_helper()

    def _start_helper(self) -> None:
        self._hashed_here = 0
        try:
            self._helpers.append(Helper())
        except HelperGone:
            self._most_helpers = 0

    def _do_without(self, helper: Helper) -> None:
        """It died: what it had is hashed here, and no other is started."""
        self._most_helpers = 0
        self._helpers.remove(helper)
        for batch in helper.close():
            batch.run()

    def _await(self, batch: Batch) -> None:
        if batch is self._batch:
            self._hand_over()
        for helper in list(self._helpers):
            if helper.holds(batch):
                try:
                    while not batch.finished:
                        helper.finish_next()
                except HelperGone:
                    self._do_without(helper)


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
