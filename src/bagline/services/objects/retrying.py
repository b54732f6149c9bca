"""Retries and throttle, as a wrapper: the only place in the objects seam that tries again."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from typing import TypeVar

import structlog

from bagline.errors import Unreachable, Unreadable
from bagline.services.objects.base import Objects
from bagline.services.objects.forwarding import ForwardingObjects
from bagline.services.objects.throttle import Throttle

R = TypeVar("R")

BRIEF_BYTES = 256 * 1024
"""Puts up to this size tell by their time how the store is."""

LONG_SECONDS = 5.0
"""A store that took so long not to give an object has tried again by itself."""


BRIEF_REQUESTS = frozenset({"head"})
LONG_REQUESTS = frozenset({"copy_range", "put_part", "complete_upload"})
"""Long by their nature: these have their number of tries, whatever they take."""


class RetryingObjects(ForwardingObjects):
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
        super().__init__(inner, "objects-retrying")
        self._tries = tries
        self._first_seconds = first_seconds
        self._total_seconds = total_seconds
        self._sleep = sleep
        self._clock = clock
        self._log = structlog.get_logger("bagline.objects")
        self._throttle = Throttle(clock=clock)

    def _ask(self, what: str, ask: Callable[[], R], *, size: int = 0) -> R:
        is_brief = what in BRIEF_REQUESTS or (what == "put" and size <= BRIEF_BYTES)
        deadline = math.inf if what in LONG_REQUESTS else self._clock() + self._total_seconds
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
