"""Work that anybody may ask for, done once for all who ask at about one time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """`work` runs in a thread, one at a time; what it found serves for `age_seconds`. Lives
    in the event loop's thread."""

    def __init__(self, work: Callable[[], T], *, age_seconds: float = 0.0) -> None:
        self._work = work
        self._age = age_seconds
        self._doing: asyncio.Task[T] | None = None
        self._began = float("-inf")

    async def answer(self) -> T:
        """What was found last, or is being found now. Raises what the work raises."""
        is_old = time.monotonic() - self._began >= self._age
        if self._doing is None or (self._doing.done() and is_old):
            self._began = time.monotonic()
            self._doing = asyncio.create_task(asyncio.to_thread(self._work))
        return await asyncio.shield(self._doing)
