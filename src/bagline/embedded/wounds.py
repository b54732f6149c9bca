"""An engine that met a full disk and does not get over it by itself: seen, and started anew.

SeaweedFS keeps its names in eight LevelDBs. One whose journal could not be written once answers
every later write with that old fault, until it is opened again: with room again, and alive, it
refuses a part of all keys for ever. Valkey ends by itself instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from bagline.units import MIB

LOOK_SECONDS = 0.5
REST_SECONDS = 1.0
"""How long there must be room before it is started anew: space may come and go."""
BELIEF_SECONDS = 60.0
TAIL_BYTES = MIB
COMPLAINTS = (b"no space left on device", b"disk quota exceeded")


class Wounds:
    """Of one engine's process. Not thread-safe.

    `shortage` says what is full now ("" for nothing); `log` is what the engine prints.
    """

    def __init__(
        self,
        log: Path,
        shortage: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._shortage = shortage
        self._clock = clock
        self._read_to = self._size()
        self._look_at = 0.0
        self._pid = 0
        self._is_hurt = False
        self._full_until = 0.0
        self._believed_at = float("-inf")

    def need_a_new_start(self, pid: int) -> bool:
        """Whether that process met a full disk, and there is room again."""
        now = self._clock()
        if now < self._look_at:
            return False
        self._look_at = now + LOOK_SECONDS
        if pid != self._pid:
            self._pid, self._is_hurt = pid, False
        if self._shortage():
            self._is_hurt, self._full_until = True, now
        # It is looked into also while nothing is full: the disk may have been for a moment only.
        # Names of objects are printed, too, and hostile: not too often on the log's word alone.
        if self._complains() and now - self._believed_at > BELIEF_SECONDS:
            self._is_hurt, self._believed_at = True, now
        return self._is_hurt and now - self._full_until >= REST_SECONDS

    def _complains(self) -> bool:
        """Whether what was printed since the last look is about a full disk."""
        size = self._size()
        start = max(self._read_to if size >= self._read_to else 0, size - TAIL_BYTES)
        self._read_to = size
        if start == size:
            return False
        try:
            with self._log.open("rb") as log:
                log.seek(start)
                printed = log.read(TAIL_BYTES)
        except OSError:
            return False
        return any(words in printed for words in COMPLAINTS)

    def _size(self) -> int:
        try:
            return self._log.stat().st_size
        except OSError:
            return 0
