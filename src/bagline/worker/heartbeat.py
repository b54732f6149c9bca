"""Keeps leases and deliveries ours while work on them moves, and no longer."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from bagline.duty import Duty
from bagline.errors import BaglineError, LeaseLost
from bagline.model.subject import Subject
from bagline.services.queue.base import Delivery
from bagline.services.state.base import State
from bagline.services.state.lease import Lease
from bagline.worker.progress import Progress

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Held:
    """One subject in work. `look`, called as often, sees what else changed; it may hang."""

    lease: Lease
    delivery: Delivery
    progress: Progress
    look: Callable[[], object] = lambda: None

    @property
    def logged(self) -> int | str:
        return self.lease.subject.logged


class Heartbeat:
    """One duty for all items in work in this process, and one that looks at the Registry:
    while that does not answer, leases are renewed all the same."""

    def __init__(
        self,
        state: State,
        *,
        lease_seconds: float,
        stall_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._lease_seconds = lease_seconds
        self._stall_seconds = stall_seconds
        self._monotonic = monotonic
        self._held: dict[Subject, Held] = {}
        self.beaten_at = monotonic()
        """When it last renewed what is held, on the monotonic clock."""
        self._lock = threading.Lock()
        self._stop = threading.Event()
        pause = lease_seconds / 4
        self._duties = [
            Duty(name, act, stop=self._stop, every=pause, longest_pause=pause)
            for name, act in (("heartbeat", self.beat), ("lookout", self._look))
        ]

    def start(self) -> None:
        for duty in self._duties:
            duty.start()

    def stop(self) -> None:
        self._stop.set()
        self._duties[0].join(1.0)

    def hold(self, held: Held) -> None:
        """Renew it from now on."""
        with self._lock:
            self._held[held.lease.subject] = held

    def release(self, held: Held) -> None:
        """Renew it no more."""
        with self._lock:
            if self._held.get(held.lease.subject) is held:
                del self._held[held.lease.subject]

    def beat(self) -> None:
        """Renew everything that moved lately; a hung stage loses its lease by itself."""
        for held in self._everything():
            if self._monotonic() - held.progress.moved_at > self._stall_seconds:
                log.error("stage_stalled", item=held.logged)
                self.release(held)
                continue
            try:
                self._state.renew_lease(held.lease, seconds=self._lease_seconds)
                held.delivery.extend()
            except LeaseLost:
                log.warning("lease_lost", item=held.logged)
                self.release(held)
            except BaglineError as fault:
                log.warning("lease_not_renewed", item=held.logged, reason=str(fault))
            except Exception:  # noqa: BLE001 (one item's fault must not cost the others' leases)
                log.error("heartbeat_fault", item=held.logged, trace=traceback.format_exc())
        self.beaten_at = self._monotonic()

    def _look(self) -> None:
        for held in self._everything():
            try:
                held.look()
            except BaglineError as fault:
                log.warning("not_looked_for_cancel", item=held.logged, reason=str(fault))
            except Exception:  # noqa: BLE001 (nor the look at the others)
                log.error("heartbeat_fault", item=held.logged, trace=traceback.format_exc())

    def _everything(self) -> list[Held]:
        with self._lock:
            return list(self._held.values())
