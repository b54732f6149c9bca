"""The thread on which everything lives that speaks to nsqd over TCP."""

from __future__ import annotations

import asyncio
import threading
import traceback
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from bagline.duty import Duty

log = structlog.get_logger(__name__)

STOP_SECONDS = 5.0


class Loop:
    """An event loop on a thread of its own, begun at the first use. A fork needs its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._duty: Duty | None = None

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
            if self._duty is not None:
                return
            loop = self._loop = asyncio.new_event_loop()
            loop.set_exception_handler(_tell)
            self._duty = Duty("nsq", lambda: self._run(loop)).start()

    def stop(self) -> None:
        """End the thread. May be repeated."""
        with self._lock:
            loop, duty = self._loop, self._duty
            self._loop = None
        if loop is not None and duty is not None:
            loop.call_soon_threadsafe(loop.stop)
            duty.join(STOP_SECONDS)

    def _running(self) -> asyncio.AbstractEventLoop | None:
        with self._lock:
            return self._loop

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        """Until it is stopped. What ends it otherwise is raised, and it may be run again."""
        if loop.is_closed():
            return
        asyncio.set_event_loop(loop)
        loop.run_forever()
        try:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            loop.close()


def _tell(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """A fault of ours in a callback, as an event."""
    fault = context.get("exception")
    trace = "".join(traceback.format_exception(fault)) if fault is not None else ""
    log.error("nsq_fault", what=context["message"], trace=trace)
