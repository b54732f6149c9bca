"""What the items in work in one process share: the memory for bodies on their way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

LEAST_BYTES = 16 * 1024 * 1024


class Shares:
    """How many share. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """A stage's run, while the block lasts."""
        with self._lock:
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1

    def of(self, all_bytes: int) -> int:
        """What one of them may hold of so much now; at least LEAST_BYTES: so any goes on."""
        return max(all_bytes // max(self._running, 1), min(all_bytes, LEAST_BYTES))
