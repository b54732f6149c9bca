"""One delivery of one item to one step: from the lease to the settlement."""

from __future__ import annotations

import os
import socket
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from bagline.config import Settings
from bagline.errors import LeaseLost, Refused, ServiceFault, Unreachable
from bagline.model import times
from bagline.model.ingest import object_identifier
from bagline.model.registry import Institution
from bagline.model.times import is_set
from bagline.model.workitem import (
    OUTCOME_CHANGING,
    STATUS_CANCELLED,
    STATUS_STARTED,
    STATUS_SUCCESS,
    WorkItem,
    WorkResult,
)
from bagline.lines.ingest.line import Line, Step
from bagline.services.bundle import Services
from bagline.services.queue.base import Delivery
from bagline.services.state.base import Lease
from bagline.worker.stage import Cancel, Done, Halt, Job, Outcome, Reject, Retry, Stage
from bagline.worker.progress import Progress
from bagline.worker.heartbeat import Heartbeat, Held
from bagline.worker.item_records import ItemRecords
from bagline.worker.meter import Meter
from bagline.worker.outcomes import outcome_of
from bagline.lines.ingest.admission import (
    OWN_NODE,
    Decision,
    Run,
    SendForward,
    Skip,
    Wait,
    decide,
    is_discard,
    skip_reason,
)
from bagline.worker.settlement import (
    Settlement,
    forward_only,
    hand_back,
    send_forward,
    settle,
    spared,
)

log = structlog.get_logger(__name__)

HANDED_BACK, LEASE_LOST = "handed-back", "lease-lost"
"""How a stage may end besides with an outcome."""


@dataclass(frozen=True)
class Desk:
    """What every attempt of one worker shares."""

    line: Line
    services: Services
    settings: Settings
    owner: str
    heartbeat: Heartbeat
    stopping: Callable[[], bool]
    meter: Meter = field(default_factory=Meter)
    clock: times.Clock = times.now
    shortage: Callable[[], str] = lambda: ""
    """What to say while this machine's disk is full."""
    check_room: Callable[[int], None] | None = None
    """See Job."""


class Attempt:
    """Takes the lease, decides, runs the stage, settles. Used once."""

    def __init__(self, desk: Desk, step: Step, stage: Stage, delivery: Delivery) -> None:
        self._desk = desk
        self._services = desk.services
        self._step = step
        self._stage = stage
        self._delivery = delivery
        self._item_id = delivery.item_id
        self._records = ItemRecords(desk.line, step, desk.services, desk.clock)

    def make(self) -> None:
        """All of it. Raises only what the queue itself raises: the delivery then comes back
        by itself."""
        work = self._desk.settings.work
        lease: Lease | None = None
        try:
            lease = self._services.state.take_lease(
                self._item_id, owner=self._desk.owner, seconds=work.lease_seconds
            )
            if lease is None:
                self._held_by_another()
            else:
                self._with_lease(lease)
        except LeaseLost:
            log.warning("lease_lost", item=self._item_id, topic=self._step.topic)
            self._delivery.requeue(work.busy_delay_seconds)
        except ServiceFault as fault:
            # What the stage saved stands; the item comes back and goes on from there.
            log.warning("service_fault", item=self._item_id, reason=str(fault))
            self._let_go(lease)
            self._delivery.requeue(self._step.retry.first_delay)
        except Exception:  # noqa: BLE001 (a fault of ours; the item must come back)
            log.error("worker_fault", item=self._item_id, trace=traceback.format_exc())
            self._let_go(lease)
            self._delivery.requeue(self._step.retry.longest_delay)

    def _held_by_another(self) -> None:
        """A second delivery: back it goes, unless the item is past this stage or done with."""
        item = self._services.registry.work_item(self._item_id)
        if item is None or skip_reason(self._step, item):
            self._delivery.ack()
        else:
            self._delivery.requeue(self._desk.settings.work.busy_delay_seconds)

    def _with_lease(self, lease: Lease) -> None:
        item = self._services.registry.work_item(self._item_id)
        if item is None:
            log.warning("no_such_item", item=self._item_id, topic=self._step.topic)
            self._let_go(lease)
            self._delivery.ack()
            return
        result = self._records.load_result(item)
        match self._decide(item, result):
            case Skip(reason):
                log.info("item_skipped", item=item.id, topic=self._step.topic, reason=reason)
                self._let_go(lease)
                self._delivery.ack()
            case Wait(delay, reason):
                log.info("item_waits", item=item.id, topic=self._step.topic, reason=reason)
                self._let_go(lease)
                self._delivery.requeue(delay)
            case SendForward():
                self._send_forward(lease, item)
            case Run():
                self._run(lease, item, result)
            case outcome:
                self._settle(lease, item, result, outcome)

    def _decide(self, item: WorkItem, result: WorkResult) -> Decision:
        """Whether to run; a store that does not answer here is as good as one in the stage."""
        try:
            decision = decide(
                self._desk.line,
                self._step,
                item,
                self._services,
                self._desk.settings,
                self._desk.clock(),
            )
        except Refused as fault:
            return Halt(str(fault))
        except Unreachable as fault:
            result.attempt += 1
            return Retry(str(fault))
        if isinstance(decision, Run) and result.attempt >= self._step.retry.attempts:
            return Halt(
                f"the stage began {result.attempt} times without getting any further, and each "
                "time its worker died or failed; look at the workers' logs and at this machine's "
                "memory"
            )
        return decision

    def _send_forward(self, lease: Lease, item: WorkItem) -> None:
        log.error("item_sent_forward", item=item.id, status=item.status, stage=item.stage)
        settlement = send_forward(item, self._desk.line)
        self._services.registry.save_work_item(item)
        self._let_go(lease)
        if settlement.topic:
            self._services.queue.publish(settlement.topic, item.id)
        self._delivery.ack()

    def _run(self, lease: Lease, item: WorkItem, result: WorkResult) -> None:
        services = self._services
        institution = services.registry.institution(item.institution_id)
        if institution is None:
            outcome = Halt(f"the Registry has no institution {item.institution_id}: add it there")
            self._settle(lease, item, result, outcome)
            return
        called_off = threading.Event()
        progress = Progress(self._stage.name, self._show_progress)
        held = Held(lease, self._delivery, progress, lambda: self._look_for_cancel(called_off))
        self._desk.heartbeat.hold(held)
        began, ended_as = time.monotonic(), LEASE_LOST
        self._desk.meter.stage_began(self._step.name)
        try:
            job = self._job(lease, item, result, institution, progress, called_off)
            job.reach = self._records.load_reach(item, result)
            forgotten = job.reach.forget() if job.is_rerun else None

            def act() -> Outcome:
                job.bag = self._records.load_bag(item)
                return self._stage.run(job)

            if not self._mark_started(lease, item, result, forgotten):
                ended_as = HANDED_BACK
                self._let_go(lease)
                self._delivery.requeue(0.0)
                return
            log.info("stage_begins", item=item.id, stage=self._stage.name)
            outcome_or_none = outcome_of(self._step, item, act)
            ended_as = type(outcome_or_none).__name__.lower() if outcome_or_none else HANDED_BACK
            if outcome_or_none is None:
                self._hand_back(lease, item, result)
                return
            item.object_identifier = object_identifier(institution.identifier, item.name)
            self._settle(lease, item, result, outcome_or_none, object_id=job.object_id)
            if isinstance(outcome_or_none, Done) and job.bag is not None:
                self._tell(item, is_reingest=job.bag.is_reingest)
        finally:
            self._desk.heartbeat.release(held)
            files, done = progress.done
            self._desk.meter.stage_ended(
                self._step.name,
                ended_as,
                seconds=time.monotonic() - began,
                files=files,
                bytes=done,
            )

    def _job(
        self,
        lease: Lease,
        item: WorkItem,
        result: WorkResult,
        institution: Institution,
        progress: Progress,
        called_off: threading.Event,
    ) -> Job:
        return Job(
            item=item,
            bag=None,
            institution=institution,
            lease=lease,
            services=self._services,
            settings=self._desk.settings,
            progress=progress,
            clock=self._desk.clock,
            stopping=self._desk.stopping,
            called_off=called_off.is_set,
            check_room=self._desk.check_room,
            is_rerun=is_set(result.finished_at) and not result.errors,
            began_before=is_set(result.started_at),
        )

    def _show_progress(self, progress: bytes) -> None:
        try:
            self._services.state.show_progress(self._item_id, progress)
        except ServiceFault as fault:  # people miss a number; the work goes on
            log.debug("progress_not_shown", item=self._item_id, reason=str(fault))

    def _look_for_cancel(self, called_off: threading.Event) -> None:
        current = self._services.registry.work_item(self._item_id)
        if current is None or current.status != STATUS_CANCELLED or self._step.cleans_up:
            return
        if not self._records.must_go_forward(current):
            called_off.set()

    def _mark_started(
        self,
        lease: Lease,
        item: WorkItem,
        result: WorkResult,
        forgotten: Mapping[str, int] | None,
    ) -> bool:
        """The item and its result say who works on it; False when it was cancelled meanwhile."""
        moment = self._desk.clock()
        result.attempt += 1
        result.host, result.pid = socket.gethostname(), os.getpid()
        result.started_at, result.finished_at = moment, times.NEVER
        result.errors = None
        self._services.state.commit(lease, result=result, tally=forgotten)
        if is_discard(self._step, item):
            return True
        item.node = f"{OWN_NODE}{result.host}" if self._desk.settings.work.coexist else result.host
        item.pid = result.pid
        item.status = STATUS_STARTED
        item.note = f"Item has started stage {self._step.topic}"
        item.stage_started_at = moment
        if self._step.only_forward and self._records.changes_known_object(item):
            item.outcome = OUTCOME_CHANGING
        try:
            return self._records.save(item)
        except ServiceFault:  # it has not begun: that is no attempt
            result.attempt -= 1
            self._services.state.commit(lease, result=result)
            raise

    def _settle(
        self,
        lease: Lease,
        item: WorkItem,
        result: WorkResult,
        outcome: Outcome,
        *,
        object_id: int = 0,
    ) -> None:
        """Result, then Registry, then lease, then queue: a crash in between is healed by a
        second delivery or the reconciler."""
        if isinstance(outcome, Reject | Cancel) and self._records.must_go_forward(item):
            outcome = forward_only(item, outcome)
        if isinstance(outcome, Retry):
            outcome = spared(outcome, self._desk.shortage())
            if isinstance(outcome, Retry) and not outcome.uses_patience:
                result.attempt = max(result.attempt - 1, 0)
        if isinstance(outcome, Reject):
            self._services.state.check_lease(lease)
            kept = list(outcome.problems)[: self._desk.settings.work.problems_kept]
            self._services.registry.save_problems(item.id, kept)
        if is_discard(self._step, item):
            settlement = self._settle_discard(item, outcome, result)
        else:
            settlement = settle(
                item,
                self._step,
                self._desk.line,
                outcome,
                attempt=result.attempt,
                object_id=object_id,
            )
        if self._step.cleans_up and isinstance(outcome, Done):
            self._services.state.check_lease(lease)  # there is nothing left to write to
        else:
            self._records.save_result(lease, item, result, outcome)
        if not is_discard(self._step, item) and not self._records.save(item):
            # A person cancelled it meanwhile: what follows is the clean-up.
            settlement = Settlement(topic=self._desk.line.cleanup.topic)
        name = type(outcome).__name__.lower()
        log.info("stage_ends", item=item.id, topic=self._step.topic, outcome=name)
        self._let_go(lease)
        if settlement.topic and settlement.topic != self._step.topic:
            self._services.queue.publish(settlement.topic, item.id)
        if settlement.again:
            self._delivery.requeue(settlement.delay)
        else:
            self._delivery.ack()

    def _tell(self, item: WorkItem, *, is_reingest: bool) -> None:
        topic = self._step.tell_when_done[is_reingest]
        if topic and item.status == STATUS_SUCCESS:
            self._services.queue.publish(topic, item.id)

    def _settle_discard(self, item: WorkItem, outcome: Outcome, result: WorkResult) -> Settlement:
        """The clean-up after a verdict: the verdict stands, only the clean-up is tried again."""
        if isinstance(outcome, Done):
            return Settlement()
        reason = getattr(outcome, "reason", "")
        log.warning("clean_up_not_done", item=item.id, reason=reason)
        return Settlement(again=True, delay=self._step.retry.delay(result.attempt))

    def _hand_back(self, lease: Lease, item: WorkItem, result: WorkResult) -> None:
        result.attempt = max(result.attempt - 1, 0)  # being asked to stop is no failure
        self._services.state.commit(lease, result=result)
        if not is_discard(self._step, item):
            hand_back(item, socket.gethostname())
            self._records.save(item)
        self._let_go(lease)
        self._delivery.requeue(0.0)
        log.info("item_handed_back", item=item.id, topic=self._step.topic)

    def _let_go(self, lease: Lease | None) -> None:
        if lease is None:
            return
        try:
            self._services.state.drop_lease(lease)
        except ServiceFault as fault:
            log.warning("lease_not_dropped", item=lease.item_id, reason=str(fault))
