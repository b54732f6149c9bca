"""The thread on which everything lives that speaks to nsqd over TCP."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

STOP_SECONDS = 5.0


class Loop:
    """An event loop on a thread of its own, begun at the first use. A fork needs its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def call(self, act: Callable[..., object], *args: object) -> None:
        """Soon, on the loop's thread; calls keep their order. Nothing happens once it stopped."""
        loop = self._running()
        if loop is not None:
            try:
                loop.call_soon_threadsafe(act, *args)
            except RuntimeError:  # it stopped in between
                return

    def finish(self, work: Coroutine[Any, Any, None], *, seconds: float) -> None:
        """Run it on the loop's thread to its end, for at most so long."""
        loop = self._running()
        if loop is None:
            work.close()
            return
        try:
            asyncio.run_coroutine_threadsafe(work, loop).result(seconds)
        except TimeoutError:
            return

    def start(self) -> None:
        with self._lock:
            if self._thread is not None:
                return
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self._run, args=(self._loop,), name="nsq", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """End the thread. May be repeated."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(STOP_SECONDS)

    def _running(self) -> asyncio.AbstractEventLoop | None:
        with self._lock:
            return self._loop

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()
