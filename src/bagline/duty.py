"""Duties: threads that live as long as their process, whatever happens to them.

Every thread of ours is a duty, but those that their maker waits for (a test reads the source).
What a duty's act raises is logged, and the act comes again after a pause that grows; which
duties do not run, or fail, is told by health and `bagline doctor`.
"""

from __future__ import annotations

import contextlib
import random
import threading
import time
import traceback
from collections.abc import Callable

import structlog

from bagline.errors import BaglineError

log = structlog.get_logger(__name__)

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 15.0
PEACE_SECONDS = 120.0
"""After so long without a fault the pauses are counted anew."""
OVERDUE_SECONDS = 600.0
"""An act that comes again and again, and takes longer than this, is said to hang."""


class Pauses:
    """How long to wait before what failed is tried again: doubling, with jitter, bounded.

    Never at an end; counted anew after `peace_seconds` without a fault. Not thread-safe.
    """

    def __init__(
        self,
        first: float = FIRST_PAUSE_SECONDS,
        longest: float = LONGEST_PAUSE_SECONDS,
        *,
        peace_seconds: float = PEACE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._first, self._longest = first, longest
        self._peace_seconds = peace_seconds
        self._clock = clock
        self._quiet_from = clock()
        self.in_a_row = 0
        """Faults since the last peace."""

    def next(self) -> float:
        """Seconds to wait after the fault that just happened."""
        now = self._clock()
        if now - self._quiet_from > self._peace_seconds:
            self.in_a_row = 0
        pause = min(self._first * 2.0 ** min(self.in_a_row, 30), self._longest)
        pause *= random.uniform(0.75, 1.25)
        self.in_a_row += 1
        self._quiet_from = now + pause
        return pause

    def forget(self) -> None:
        """All is well: the next pause is the first again."""
        self.in_a_row = 0


class Duty:
    """One thread that does `act` every so many seconds, until `stop`; no fault ends it.

    `every` None: one act that is the duty's whole life, such as listening; when it returns,
    the duty is over, and when it raises, it begins again. `at_once`: the first act comes
    before the first wait.
    """

    def __init__(
        self,
        name: str,
        act: Callable[[], object],
        *,
        stop: threading.Event | None = None,
        every: float | None = None,
        at_once: bool = False,
        longest_pause: float = LONGEST_PAUSE_SECONDS,
    ) -> None:
        self.name = name
        self._act = act
        self._stop = stop or threading.Event()
        self._every = every
        self._at_once = at_once or every is None
        self._pauses = Pauses(min(FIRST_PAUSE_SECONDS, longest_pause), longest_pause)
        self._began_at: float | None = None
        self._is_over = False
        self.fault = ""
        """Why the last act failed; "" when it did not."""
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> Duty:
        with _lock:
            _started.append(self)
        self._thread.start()
        return self

    def join(self, seconds: float | None = None) -> bool:
        """Whether it ends within so long."""
        if self._thread.ident is not None:
            self._thread.join(seconds)
        return not self._thread.is_alive()

    @property
    def runs(self) -> bool:
        """Whether it lives, or ended because its work was over."""
        return self._is_over or self._thread.is_alive()

    @property
    def hangs(self) -> bool:
        began = self._began_at
        return began is not None and time.monotonic() - began > OVERDUE_SECONDS

    def _run(self) -> None:
        wait = 0.0 if self._at_once else self._every or 0.0
        while not self._stop.wait(wait):
            wait = self._once()
            if self._every is None and not self.fault:
                break
        self._is_over = True  # in no `finally`: what ended otherwise is told as dead
        with _lock:
            _started.remove(self)

    def _once(self) -> float:
        """One act; how long to wait until the next. Raises nothing."""
        try:
            self._began_at = time.monotonic() if self._every is not None else None
            self._act()
        except BaseException as fault:  # noqa: BLE001 (libraries panic below Exception, too)
            self.fault = f"{type(fault).__name__}: {fault}"
            _tell(self.name, fault)
            return self._pauses.next()
        finally:
            self._began_at = None
        self.fault = ""
        self._pauses.forget()
        return self._every or 0.0


_lock = threading.Lock()
_started: list[Duty] = []


def idle_duties() -> list[str]:
    """The duties of this process that do not run, or hang: it should be started anew."""
    with _lock:
        duties = list(_started)
    dead = [f"duty {duty.name} does not run" for duty in duties if not duty.runs]
    return dead + [f"duty {duty.name} hangs" for duty in duties if duty.hangs]


def failing_duties() -> list[tuple[str, str]]:
    """Those whose last act failed, and why: they go on by themselves. The reason may hold
    addresses."""
    with _lock:
        return [(duty.name, duty.fault) for duty in _started if duty.fault]


def _tell(name: str, fault: BaseException) -> None:
    with contextlib.suppress(BaseException):  # a log that cannot be written ends no duty
        if isinstance(fault, BaglineError):
            log.warning("duty_fault", duty=name, reason=str(fault))
        else:
            log.error("duty_fault", duty=name, trace="".join(traceback.format_exception(fault)))
