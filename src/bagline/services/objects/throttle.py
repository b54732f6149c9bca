"""How many requests a store is asked at once: fewer when it suffers, more again slowly.

One throttle a store, shared by every item of a worker, each of which gets its share of the
places (`places`). It halves when the store says
"slow down", shrinks a little when answers take much longer than they used to, and grows
by one place for each full round of requests that went well (AIMD, as TCP does).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from bagline.errors import SlowDown
from bagline.services.objects.places import FairPlaces

MOST = 128
LEAST = 4
REST_SECONDS = 1.0
"""At most one step down in so long: one bad moment has many messengers."""
SUFFERS_FACTOR = 4.0
SUFFERS_SECONDS = 1.0
"""Answers are slow when they take so many times the usual, and so long at the least."""
SHRINK = 0.9


class Throttle:
    """Thread-safe. `limit` may be looked at (for `doctor` and metrics)."""

    def __init__(
        self, *, most: int = MOST, least: int = LEAST, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._least = least
        self._clock = clock
        self._room = threading.Lock()
        self._places = FairPlaces()
        self._busy = 0
        self._limit = float(most)
        self._usual = 0.0
        self._recent = 0.0
        self._stepped_down_at = -REST_SECONDS
        self._log = structlog.get_logger("bagline.objects")

    @property
    def limit(self) -> int:
        """How many requests may be under way now."""
        return int(self._limit)

    @property
    def waiting(self) -> int:
        """How many requests wait for a place."""
        with self._room:
            return self._places.waiting

    @contextmanager
    def place(self, *, is_brief: bool = True) -> Iterator[None]:
        """One request's place; waits for one. What the request raises passes through.

        Only brief requests (a head, a small put) tell by their time how the store is.
        """
        who = self._enter()
        began = self._clock()
        try:
            yield
        except SlowDown:
            self._leave(who)
            self._step_down(0.5, "the store says slow down")
            raise
        except BaseException:
            self._leave(who)
            raise
        self._leave(who)
        self._went_well(self._clock() - began if is_brief else None)

    def _enter(self) -> object:
        """Waits for a place; returns whose it is."""
        with self._room:
            if self._busy < int(self._limit) and not self._places.is_anybody_waiting:
                self._busy += 1
                return self._places.take()
            who, turn = self._places.queue_up()
        turn.wait()
        return who

    def _leave(self, who: object) -> None:
        with self._room:
            self._busy -= 1
            self._places.leave(who)
            self._give_places()

    def _give_places(self) -> None:
        while self._places.is_anybody_waiting and self._busy < int(self._limit):
            self._busy += 1
            self._places.next()

    def _went_well(self, seconds: float | None) -> None:
        with self._room:
            if seconds is not None:
                self._recent += (seconds - self._recent) * 0.2
                self._usual += (seconds - self._usual) * (0.01 if self._usual else 1.0)
            suffers = self._recent > max(self._usual * SUFFERS_FACTOR, SUFFERS_SECONDS)
            if not suffers and self._limit < self._most:
                self._limit = min(self._limit + 1.0 / self._limit, float(self._most))
                self._give_places()
        if suffers:
            self._step_down(SHRINK, "answers take longer and longer")

    def _step_down(self, factor: float, why: str) -> None:
        with self._room:
            moment = self._clock()
            if moment - self._stepped_down_at < REST_SECONDS:
                return
            self._stepped_down_at = moment
            self._limit = max(self._limit * factor, float(self._least))
            limit = int(self._limit)
        self._log.warning("store_throttled", why=why, requests=limit)
