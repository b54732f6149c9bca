"""The process around workers: what runs in it, its health, and the line of a whole machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING

import structlog

from bagline.config import Settings
from bagline.duty import Duty, failing_duties, idle_duties
from bagline.errors import Unreachable
from bagline.logs import listen
from bagline.services.bundle import Services
from bagline.worker.owner import is_dead
from bagline.worker.processes import WorkerProcesses
from bagline.worker.reconciler import Reconciler
from bagline.worker.roll_call import CALL_SECONDS, RollBook
from bagline.worker.threads import Worker

if TYPE_CHECKING:
    from bagline.worker.metrics import PrometheusMeter

log = structlog.get_logger(__name__)

BUCKET_READER = "bucket-reader"
RECONCILER = "reconciler"
SPOT_TESTER = "spot-tester"
FIXITY = "fixity"
ROLES = (BUCKET_READER, RECONCILER, SPOT_TESTER, FIXITY)
"""What a process may do beside the steps of a line."""

ROLE_SECONDS = 1.0
"""How long a look at buckets or queue may still take when the stages have drained."""
ENDING_SECONDS = 4.0
"""How long a look under way may keep the end waiting; then it is left behind."""
REAP_SECONDS = 0.2


def reconciling(reconciler: Reconciler, settings: Settings, stop: threading.Event) -> Duty:
    """Compares Registry, queue and leases every few seconds until `stop`."""
    return Duty(RECONCILER, reconciler.look, stop=stop, every=settings.work.reconcile_seconds)


def serve(
    worker: Worker | None,
    roles: Sequence[Duty],
    health: Health,
    stop: threading.Event,
) -> bool:
    """Run the worker and the roles until `stop`; whether everything drained in time."""
    started = [role.start() for role in roles]
    with ExitStack() as stack:
        if worker is None:
            stack.enter_context(health.told(idle_duties))
            stop.wait()
            return have_ended(started, health.settings.work.drain_seconds)
        stack.enter_context(health.told(lambda: worker.faults() + idle_duties()))

        def pass_on() -> None:
            stop.wait()
            worker.stop()

        Duty("stopper", pass_on).start()
        drained = worker.run()
        return have_ended(started, ROLE_SECONDS) and drained


def have_ended(duties: Sequence[Duty], seconds: float) -> bool:
    """Whether they all end within so long."""
    deadline = time.monotonic() + seconds
    late = [duty for duty in duties if not duty.join(max(deadline - time.monotonic(), 0.0))]
    return not late


class Health:
    """Health and metrics of this process, where the settings name a port.

    `topics`: those it works at. `shortage`: what to say while this machine's disk is full.
    """

    def __init__(
        self,
        settings: Settings,
        services: Services,
        topics: Sequence[str],
        all_topics: Sequence[str],
        shortage: Callable[[], str],
    ) -> None:
        self.settings = settings
        self._services = services
        self._topics = list(topics)
        self._watched = list(topics or all_topics)
        self._shortage = shortage
        self.meter = _new_meter() if settings.health.port else None

    @contextmanager
    def told(self, alive: Callable[[], list[str]]) -> Iterator[None]:
        """Serve meanwhile. `alive`: why the process should be started anew."""
        place = self.settings.health
        if self.meter is None:
            yield
            return
        from bagline.worker.health import HealthServer, Readiness

        self.meter.watch_queue(self._services.queue, self._watched)
        listen(self.meter.event_logged)
        ready = Readiness(self._services, self._topics)

        def not_ready() -> list[str]:
            failing = [f"duty {name} fails" for name, _ in failing_duties()]
            full = ["the disk of the data directory is full"] if self._shortage() else []
            return ready.faults() + failing + full

        with HealthServer(
            place.host, place.port, self.meter.registry, alive=alive, ready=not_ready
        ) as server:
            log.info("health_served", host=place.host, port=server.port)
            yield


def _new_meter() -> PrometheusMeter:
    """Its library is imported only where somebody asks for numbers."""
    from bagline.worker.metrics import PrometheusMeter

    return PrometheusMeter()


@contextmanager
def running_line(
    settings: Settings,
    reconciler: Reconciler,
    shortage: Callable[[], str],
    workers: WorkerProcesses,
) -> Iterator[WorkerProcesses]:
    """The worker processes, started unless they run, and a reconciler; what dead workers held is
    freed first. Raises WorkersRunElsewhere.
    """
    upkeep = Upkeep(reconciler, is_embedded=settings.is_embedded)
    workers.on_death = upkeep.somebody_died
    stop = threading.Event()
    disk = DiskWatch(settings, shortage)
    with workers, closing(RollBook(settings.data_dir)) as book:
        duties = [
            Duty("reaper", upkeep.reap, stop=stop, every=REAP_SECONDS, at_once=True),
            Duty(RECONCILER, upkeep.look, stop=stop, every=settings.work.reconcile_seconds),
            Duty("disk-watch", disk.look, stop=stop, every=CALL_SECONDS, at_once=True),
            # Last: it tells which of them run.
            Duty(
                "roll-call", lambda: book.call(workers), stop=stop, every=CALL_SECONDS, at_once=True
            ),
        ]
        upkeep.begin()
        for duty in duties:
            duty.start()
        try:
            yield workers
        finally:
            stop.set()
            workers.ask_to_stop()
            have_ended(duties, ENDING_SECONDS)


class Upkeep:
    """What is done for the workers: what dead ones held is freed, what is due is published."""

    def __init__(self, reconciler: Reconciler, *, is_embedded: bool) -> None:
        self._reconciler = reconciler
        self._is_embedded = is_embedded
        self._unreaped = threading.Event()
        self._is_behind = True

    def somebody_died(self) -> None:
        self._unreaped.set()

    def begin(self) -> None:
        """What earlier processes left. On this machine's engines, which may still be starting
        again, it waits; elsewhere raises Unreachable."""
        self._unreaped.set()
        try:
            self.reap()
            self.look()
        except Unreachable as fault:
            if not self._is_embedded:
                raise
            log.warning("line_begins_later", reason=str(fault))

    def reap(self) -> None:
        """Free what dead workers held. Repeated until it is done."""
        if self._unreaped.is_set():
            self._unreaped.clear()
            try:
                self._reconciler.reap(is_dead)
            except BaseException:
                self._unreaped.set()
                raise

    def look(self) -> None:
        """The first time everything that is due, whatever its age."""
        self._reconciler.look(min_age_seconds=0.0 if self._is_behind else None)
        self._is_behind = False


class DiskWatch:
    """Says when the disk is full, and when it is not any more."""

    def __init__(self, settings: Settings, shortage: Callable[[], str]) -> None:
        self._settings = settings
        self._shortage = shortage
        self._is_full = False

    def look(self) -> None:
        why = self._shortage()
        if bool(why) == self._is_full:
            return
        self._is_full = bool(why)
        if why:
            log.error("disk_full", reason=why)
        else:
            log.warning("disk_has_room_again", data_dir=str(self._settings.data_dir))
