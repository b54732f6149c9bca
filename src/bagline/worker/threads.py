"""The loop: threads that receive deliveries and attempt them, until asked to stop."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import structlog

from bagline.config import Settings
from bagline.duty import Duty
from bagline.errors import ServiceFault
from bagline.model import times
from bagline.services.bundle import Services
from bagline.services.queue.base import Delivery, Queue
from bagline.worker.attempt import Attempt
from bagline.worker.heartbeat import Heartbeat
from bagline.worker.line import Lines, Step
from bagline.worker.memory import give_back, hold_little
from bagline.worker.meter import Meter
from bagline.worker.records import StepContext
from bagline.worker.stage import Stage

log = structlog.get_logger(__name__)

RECEIVE_SECONDS = 0.5
FAULT_PAUSE_SECONDS = 1.0
LONG_SECONDS = 0.5
"""An attempt that took so long may have held much; what it held is given back."""


class _Door:
    """One place in line at a topic for all the threads of a step: of those that are idle one
    waits there, so that an idle worker asks the queue no more often for having many."""

    def __init__(self, queue: Queue, topic: str, owner: str, threads: int) -> None:
        self._subscription = queue.subscribe(topic, owner=owner, in_flight=threads)
        self._waiting = threading.Lock()

    def receive(self, is_over: Callable[[], bool]) -> Delivery | None:
        """The next delivery; None after a while without one. Raises what the queue raises."""
        with self._waiting:
            return None if is_over() else self._subscription.receive(RECEIVE_SECONDS)

    def close(self) -> None:
        self._subscription.close()


class Worker:
    """Works on some steps until told to stop; each step has threads of its own."""

    def __init__(
        self,
        lines: Lines,
        steps: Sequence[Step],
        services: Services,
        settings: Settings,
        *,
        owner: str,
        threads_each: int = 1,
        meter: Meter | None = None,
        clock: times.Clock = times.now,
        shortage: Callable[[], str] = lambda: "",
        check_room: Callable[[int], None] | None = None,
    ) -> None:
        self._steps = list(steps)
        self._queue = services.queue
        self._threads_each = threads_each
        self._drain_seconds = settings.work.drain_seconds
        self._stop = threading.Event()
        self._heartbeat = Heartbeat(
            services.state,
            lease_seconds=settings.work.lease_seconds,
            stall_seconds=settings.work.stall_seconds,
        )
        self._lines = lines
        self._context = StepContext(
            services=services,
            settings=settings,
            owner=owner,
            clock=clock,
            stopping=self._stop.is_set,
            meter=meter or Meter(),
            shortage=shortage,
            check_room=check_room,
        )
        self._lease_seconds = settings.work.lease_seconds

    def stop(self) -> None:
        """Take nothing new; hand back what is in work at its next safe place."""
        self._stop.set()

    def run(self) -> bool:
        """Work until `stop`, then drain. False when a stage did not let go in time (its
        lease then runs out by itself)."""
        hold_little()
        self._heartbeat.start()
        stages = [(step, step.stage()) for step in self._steps]
        doors = [
            _Door(self._queue, step.topic, self._context.owner, self._threads_each)
            for step, _ in stages
        ]
        duties = [
            Duty(
                f"{step.name}-{n}", partial(self._serve, step, stage, door), stop=self._stop
            ).start()
            for (step, stage), door in zip(stages, doors, strict=True)
            for n in range(self._threads_each)
        ]
        for _, stage in stages:
            stage.warm_up()
        self._stop.wait()
        for door in doors:
            door.close()
        drained = self._drain(duties)
        self._heartbeat.stop()
        if drained:
            for _, stage in stages:
                stage.close()
        return drained

    def faults(self) -> list[str]:
        """Why the process should be started anew, beside its idle duties."""
        if time.monotonic() - self._heartbeat.beaten_at > self._lease_seconds:
            return ["leases are not renewed"]
        return []

    def _drain(self, duties: Sequence[Duty]) -> bool:
        deadline = time.monotonic() + self._drain_seconds
        busy = [
            duty.name for duty in duties if not duty.join(max(deadline - time.monotonic(), 0.01))
        ]
        if busy:
            log.warning("stage_did_not_drain", threads=busy)
        return not busy

    def _serve(self, step: Step, stage: Stage[Any], door: _Door) -> None:
        while not self._stop.is_set():
            try:
                delivery = door.receive(self._stop.is_set)
                if delivery is not None:
                    self.handle(step, stage, delivery)
            except ServiceFault as fault:
                log.warning("queue_fault", topic=step.topic, reason=str(fault))
                self._stop.wait(FAULT_PAUSE_SECONDS)
            except BaseException:  # noqa: BLE001 (a fault of ours, or a library's panic, must not end the loop)
                log.error("worker_fault", topic=step.topic, trace=traceback.format_exc())
                self._stop.wait(FAULT_PAUSE_SECONDS)

    def handle(self, step: Step, stage: Stage[Any], delivery: Delivery) -> None:
        """One delivery, from the lease to the settlement."""
        line = self._lines.line_of(step)
        began = time.monotonic()
        Attempt(line, step, stage, delivery, self._context, self._heartbeat).make()
        if time.monotonic() - began > LONG_SECONDS:
            give_back()
