"""The loop: receive, lease, decide, run, settle; drain when asked to stop.

One Worker serves any number of steps, each with threads of its own. The right to work
is the lease; the delivery is only a hint that something is due.
"""

from __future__ import annotations

import os
import socket
import threading
import traceback
from collections.abc import Sequence

import structlog

from bagline.config import Settings
from bagline.errors import (
    BaglineError,
    BagRejected,
    CalledOff,
    Draining,
    Gone,
    LeaseLost,
    ProofFailed,
    Replaced,
    ServiceFault,
    Unreachable,
)
from bagline.model import times
from bagline.model.ingest import object_identifier
from bagline.model.times import is_set
from bagline.model.workitem import (
    STATUS_CANCELLED,
    STATUS_STARTED,
    ProcessingError,
    WorkItem,
    WorkResult,
)
from bagline.pipeline import Line, Step
from bagline.problems import BAG_DELETED
from bagline.services.bundle import Services
from bagline.services.queue.base import Delivery
from bagline.services.state.base import Lease
from bagline.stages.base import Cancel, Done, Halt, Job, Outcome, Reject, Retry, Stage
from bagline.stages.progress import Progress
from bagline.worker.heartbeat import Heartbeat, Held
from bagline.worker.rules import Run, Skip, Wait, decide, is_discard, skip_reason
from bagline.worker.settling import Settlement, hand_back, settle

log = structlog.get_logger(__name__)

RECEIVE_SECONDS = 0.5
FAULT_PAUSE_SECONDS = 1.0


class Worker:
    """Works on items of some steps until told to stop."""

    def __init__(
        self,
        line: Line,
        steps: Sequence[Step],
        services: Services,
        settings: Settings,
        *,
        owner: str,
        threads_each: int = 1,
        clock: times.Clock = times.now,
    ) -> None:
        self._line = line
        self._steps = list(steps)
        self._services = services
        self._settings = settings
        self._owner = owner
        self._threads_each = threads_each
        self._clock = clock
        self._stop = threading.Event()
        self._heartbeat = Heartbeat(
            services.state,
            lease_seconds=settings.work.lease_seconds,
            stall_seconds=settings.work.stall_seconds,
        )

    def stop(self) -> None:
        """Take nothing new; hand back what is in work at its next safe place."""
        self._stop.set()

    def run(self) -> bool:
        """Work until `stop`, then drain. False when a stage did not let go in time (its
        lease then runs out by itself)."""
        self._heartbeat.start()
        stages = [(step, step.stage()) for step in self._steps]
        threads = [
            threading.Thread(
                target=self._serve, args=(step, stage), name=f"{step.name}-{n}", daemon=True
            )
            for step, stage in stages
            for n in range(self._threads_each)
        ]
        for thread in threads:
            thread.start()
        for _, stage in stages:
            stage.warm_up()
        self._stop.wait()
        drained = self._join(threads)
        self._heartbeat.stop()
        for _, stage in stages:
            stage.close()
        return drained

    def _join(self, threads: Sequence[threading.Thread]) -> bool:
        patience = self._settings.work.drain_seconds
        for thread in threads:
            began = threading.TIMEOUT_MAX if patience <= 0 else patience
            thread.join(timeout=began)
            if thread.is_alive():
                log.warning("stage_did_not_drain", thread=thread.name)
                return False
        return True

    def _serve(self, step: Step, stage: Stage) -> None:
        subscription = self._services.queue.subscribe(step.topic, owner=self._owner)
        while not self._stop.is_set():
            try:
                delivery = subscription.receive(RECEIVE_SECONDS)
                if delivery is not None:
                    self.handle(step, stage, delivery)
            except ServiceFault as fault:
                log.warning("queue_fault", topic=step.topic, reason=str(fault))
                self._stop.wait(FAULT_PAUSE_SECONDS)
            except Exception:  # noqa: BLE001 (a fault of ours must not end the loop)
                log.error("worker_fault", topic=step.topic, trace=traceback.format_exc())
                self._stop.wait(FAULT_PAUSE_SECONDS)
        subscription.close()

    def handle(self, step: Step, stage: Stage, delivery: Delivery) -> None:
        """One delivery, from the lease to the settlement."""
        lease: Lease | None = None
        try:
            lease = self._services.state.take_lease(
                delivery.item_id, owner=self._owner, seconds=self._settings.work.lease_seconds
            )
            if lease is None:
                self._held_by_another(step, delivery)
                return
            self._with_lease(step, stage, delivery, lease)
        except LeaseLost:
            log.warning("lease_lost", item=delivery.item_id, topic=step.topic)
            delivery.requeue(self._settings.work.busy_delay_seconds)
        except ServiceFault as fault:
            # What the stage saved stands; the item comes back and goes on from there.
            log.warning("service_fault", item=delivery.item_id, reason=str(fault))
            self._let_go(lease)
            delivery.requeue(step.retry.first_delay)

    def _held_by_another(self, step: Step, delivery: Delivery) -> None:
        """A second delivery: back it goes, unless the item is past this stage or done with."""
        item = self._services.registry.work_item(delivery.item_id)
        if item is None or skip_reason(step, item):
            delivery.ack()
        else:
            delivery.requeue(self._settings.work.busy_delay_seconds)

    def _with_lease(self, step: Step, stage: Stage, delivery: Delivery, lease: Lease) -> None:
        item = self._services.registry.work_item(delivery.item_id)
        if item is None:
            log.warning("no_such_item", item=delivery.item_id, topic=step.topic)
            self._let_go(lease)
            delivery.ack()
            return
        decision = decide(step, item, self._services, self._settings)
        match decision:
            case Skip(reason):
                log.info("item_skipped", item=item.id, topic=step.topic, reason=reason)
                self._let_go(lease)
                delivery.ack()
            case Wait(delay, reason):
                log.info("item_waits", item=item.id, topic=step.topic, reason=reason)
                self._let_go(lease)
                delivery.requeue(delay)
            case Run():
                self._work(step, stage, delivery, lease, item)
            case _:
                result = self._load_result(step, item)
                self._settle(step, delivery, lease, item, result, decision)

    def _work(
        self, step: Step, stage: Stage, delivery: Delivery, lease: Lease, item: WorkItem
    ) -> None:
        services = self._services
        institution = services.registry.institution(item.institution_id)
        if institution is None:
            raise Unreachable(f"the Registry has no institution {item.institution_id}")
        progress = Progress(stage.name, lambda raw: self._show_progress(item.id, raw))
        job = Job(
            item=item,
            bag=services.state.load_object(item.id),
            institution=institution,
            lease=lease,
            services=services,
            settings=self._settings,
            progress=progress,
            clock=self._clock,
            stopping=self._stop.is_set,
        )
        called_off = threading.Event()
        job.called_off = called_off.is_set
        held = Held(
            lease, delivery, progress, lambda: self._look_for_cancel(step, item, called_off)
        )
        self._heartbeat.hold(held)
        try:
            before = self._load_result(step, item)
            job.is_rerun = is_set(before.finished_at) and not before.errors
            result = self._mark_started(step, item, lease, before)
            if result is None:
                self._let_go(lease)
                delivery.requeue(0.0)
                return
            job.item = item
            outcome = self._run_stage(step, stage, job)
            if outcome is None:
                self._hand_back(step, delivery, lease, item, result)
            else:
                item.object_identifier = object_identifier(institution.identifier, item.name)
                self._settle(step, delivery, lease, item, result, outcome, object_id=job.object_id)
        finally:
            self._heartbeat.release(held)

    def _run_stage(self, step: Step, stage: Stage, job: Job) -> Outcome | None:
        """The stage's outcome, whatever it raised; None when it was asked to stop."""
        item = job.item
        log.info("stage_begins", item=item.id, stage=stage.name)
        try:
            return stage.run(job)
        except Draining:
            return None
        except LeaseLost:
            raise
        except BagRejected as fault:
            return Reject(fault.problems)
        except CalledOff as fault:
            return Cancel(str(fault))
        except Replaced:
            return Cancel("the bag was replaced in the receiving bucket")
        except Gone as fault:
            if step.reads_received:
                return Reject([BAG_DELETED.about(item.name)])
            return Halt(str(fault))
        except (Unreachable, ProofFailed) as fault:
            return Retry(str(fault))
        except BaglineError as fault:
            return Halt(str(fault))
        except Exception as fault:  # noqa: BLE001 (the item must not be lost to a fault of ours)
            log.error("stage_fault", item=item.id, stage=stage.name, trace=traceback.format_exc())
            return Retry(f"unexpected fault in Bagline ({type(fault).__name__}: {fault})")

    def _load_result(self, step: Step, item: WorkItem) -> WorkResult:
        stored = self._services.state.load_result(item.id, step.topic)
        return stored or WorkResult(operation=step.topic)

    def _show_progress(self, item_id: int, progress: bytes) -> None:
        try:
            self._services.state.show_progress(item_id, progress)
        except ServiceFault as fault:  # people miss a number; the work goes on
            log.debug("progress_not_shown", item=item_id, reason=str(fault))

    def _look_for_cancel(self, step: Step, item: WorkItem, called_off: threading.Event) -> None:
        current = self._services.registry.work_item(item.id)
        if current is not None and current.status == STATUS_CANCELLED and not step.cleans_up:
            called_off.set()

    def _mark_started(
        self, step: Step, item: WorkItem, lease: Lease, result: WorkResult
    ) -> WorkResult | None:
        """The item and its result say who works on it; None when it was cancelled meanwhile."""
        moment = self._clock()
        result.attempt += 1
        result.host, result.pid = socket.gethostname(), os.getpid()
        result.started_at, result.finished_at = moment, times.NEVER
        result.errors = None
        self._services.state.commit(lease, result=result)
        if is_discard(step, item):
            return result
        item.node, item.pid = result.host, result.pid
        item.status = STATUS_STARTED
        item.note = f"Item has started stage {step.topic}"
        item.stage_started_at = moment
        saved = self._save(lease, item)
        return result if saved else None

    def _settle(
        self,
        step: Step,
        delivery: Delivery,
        lease: Lease,
        item: WorkItem,
        result: WorkResult,
        outcome: Outcome,
        *,
        object_id: int = 0,
    ) -> None:
        """Result, then Registry, then lease, then queue: a crash in between is healed by a
        second delivery or the reconciler."""
        discarded = is_discard(step, item)
        if isinstance(outcome, Reject):
            self._services.state.check_lease(lease)
            kept = list(outcome.problems)[: self._settings.work.problems_kept]
            self._services.registry.save_problems(item.id, kept)
        settlement = Settlement()
        if not (discarded and isinstance(outcome, Done)):
            before = (item.status, item.retry, item.note, item.outcome)
            settlement = settle(
                item, step, self._line, outcome, attempt=result.attempt, object_id=object_id
            )
            if discarded:  # the verdict stands; only the clean-up is tried again
                item.status, item.retry, item.note, item.outcome = before
        cleaned = step.cleans_up and isinstance(outcome, Done)
        if not cleaned:
            self._save_result(step, lease, item, result, outcome)
        if not discarded and not self._save(lease, item):
            # A person cancelled it meanwhile: what follows is the clean-up.
            settlement = Settlement(topic=self._line.cleanup.topic)
        log.info(
            "stage_ends", item=item.id, topic=step.topic, outcome=type(outcome).__name__.lower()
        )
        self._let_go(lease)
        if settlement.topic:
            self._services.queue.publish(settlement.topic, item.id)
        if settlement.again:
            delivery.requeue(settlement.delay)
        else:
            delivery.ack()

    def _save_result(
        self, step: Step, lease: Lease, item: WorkItem, result: WorkResult, outcome: Outcome
    ) -> None:
        result.finished_at = self._clock()
        result.errors = None
        reason = getattr(outcome, "reason", "")
        if reason:
            result.errors = [
                ProcessingError(
                    identifier=item.object_identifier or item.name,
                    is_fatal=not isinstance(outcome, Retry),
                    message=reason,
                    source=step.name,
                    work_item_id=item.id,
                )
            ]
        if isinstance(outcome, Halt):
            result.attempt = 0  # a person mends the cause; then patience begins anew
        self._services.state.commit(lease, result=result)

    def _save(self, lease: Lease, item: WorkItem) -> bool:
        """Save the item unless a person cancelled it meanwhile. Raises LeaseLost."""
        self._services.state.check_lease(lease)
        saved = self._services.registry.save_work_item(item, unless_status=[STATUS_CANCELLED])
        return saved.status == item.status

    def _hand_back(
        self, step: Step, delivery: Delivery, lease: Lease, item: WorkItem, result: WorkResult
    ) -> None:
        result.attempt = max(result.attempt - 1, 0)  # being asked to stop is no failure
        self._services.state.commit(lease, result=result)
        if not is_discard(step, item):
            hand_back(item, socket.gethostname())
            self._save(lease, item)
        self._let_go(lease)
        delivery.requeue(0.0)
        log.info("item_handed_back", item=item.id, topic=step.topic)

    def _let_go(self, lease: Lease | None) -> None:
        if lease is None:
            return
        try:
            self._services.state.drop_lease(lease)
        except ServiceFault as fault:
            log.warning("lease_not_dropped", item=lease.item_id, reason=str(fault))
