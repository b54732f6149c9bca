"""One delivery of one subject to one step: may it run, and run it."""

from __future__ import annotations

import threading
import time
import traceback
from functools import partial

import structlog

from bagline.errors import LeaseLost, Refused, ServiceFault, Unreachable
from bagline.model.subject import Subject
from bagline.model.times import is_set
from bagline.services.objects.places import asking_for
from bagline.services.queue.base import Delivery
from bagline.worker.claim import Claim
from bagline.worker.heartbeat import Heartbeat, Held
from bagline.worker.line import Line, Step
from bagline.worker.outcomes import outcome_of
from bagline.worker.progress import Progress
from bagline.worker.reach import reach_name
from bagline.worker.records import StepContext
from bagline.worker.settlement import Announcement, Settlement
from bagline.worker.stage import (
    Decision,
    Halt,
    Job,
    Outcome,
    Retry,
    Run,
    SendForward,
    Skip,
    Stage,
    Wait,
)

log = structlog.get_logger(__name__)

HANDED_BACK, LEASE_LOST = "handed-back", "lease-lost"
"""How a stage may end besides with an outcome."""


class Attempt:
    """Takes the lease, decides, runs the stage, has the outcome written. Used once."""

    def __init__(
        self,
        line: Line,
        step: Step,
        stage: Stage[Job],
        delivery: Delivery,
        context: StepContext,
        heartbeat: Heartbeat,
    ) -> None:
        self._line = line
        self._step = step
        self._stage = stage
        self._delivery = delivery
        self._context = context
        self._heartbeat = heartbeat
        self._subject = Subject(line.kind, delivery.number)
        self._records = line.records(step, context)
        self._called_off = threading.Event()
        self._progress = Progress(stage.name, self._show_progress)

    def make(self) -> None:
        """All of it. Raises only what the queue itself raises: the delivery then comes back
        by itself."""
        state, work = self._context.services.state, self._context.settings.work
        claim: Claim | None = None
        try:
            taken = state.take(
                self._subject,
                owner=self._context.owner,
                seconds=work.lease_seconds,
                topic=self._step.topic,
                tally=reach_name(self._step.topic),
            )
            if taken is None:
                self._held_by_another()
                return
            claim = Claim(state, taken, self._delivery)
            claim.result = self._records.last_result(taken)
            held = self._held(claim)
            self._heartbeat.hold(held)
            try:
                self._work_on(claim)
            finally:
                self._heartbeat.release(held)
        except LeaseLost:
            log.warning("lease_lost", item=self._subject.logged, topic=self._step.topic)
            self._delivery.requeue(work.busy_delay_seconds)
        except ServiceFault as fault:
            # What the stage saved stands; the subject comes back and goes on from there.
            log.warning("service_fault", item=self._subject.logged, reason=str(fault))
            self._give_back(claim, self._step.retry.first_delay)
        except Exception:  # noqa: BLE001 (a fault of ours; the subject must come back)
            log.error("worker_fault", item=self._subject.logged, trace=traceback.format_exc())
            self._give_back(claim, self._step.retry.longest_delay)

    def _held(self, claim: Claim) -> Held:
        look = partial(self._look_for_cancel, self._called_off)
        return Held(claim.lease, claim.delivery, self._progress, look)

    def _give_back(self, claim: Claim | None, delay: float) -> None:
        if claim is not None:
            claim.release()
        self._delivery.requeue(delay)

    def _held_by_another(self) -> None:
        """A second delivery: back it goes, unless the subject is past this stage or done with."""
        record = self._records.find(self._subject.number)
        if record is None or self._records.is_over(record):
            self._delivery.ack()
        else:
            self._delivery.requeue(self._context.settings.work.busy_delay_seconds)

    # -- may it run

    def _work_on(self, claim: Claim) -> None:
        shown, topic = self._subject.logged, self._step.topic
        match self._decide(claim):
            case None:
                log.warning("no_such_item", item=shown, topic=topic)
                claim.done()
            case Skip(reason):
                log.info("item_skipped", item=shown, topic=topic, reason=reason)
                claim.done()
            case Wait(delay, reason):
                log.info("item_waits", item=shown, topic=topic, reason=reason)
                claim.requeue(delay)
            case SendForward():
                log.error("item_sent_forward", item=shown, topic=topic)
                self._let_go(claim, self._records.send_forward(claim))
            case Run(found):
                self._run(claim, found)
            case outcome:
                self._end(claim, outcome, None)

    def _decide(self, claim: Claim) -> Decision | None:
        """Whether to run; a store that does not answer here is as good as one in the stage."""
        try:
            decision = self._records.enter(claim)
        except (Refused, Unreachable) as fault:
            if claim.record is None:  # it is not known yet what of
                raise
            if isinstance(fault, Refused):
                return Halt(str(fault))
            claim.result.attempt += 1
            return Retry(str(fault))
        began = claim.result.attempt
        if isinstance(decision, Run) and began >= self._step.retry.attempts:
            return Halt(
                f"the stage began {began} times without getting any further, and each "
                "time its worker died or failed; look at the workers' logs and at this machine's "
                "memory"
            )
        return decision

    # -- run it

    def _run(self, claim: Claim, found: object) -> None:
        progress = self._progress
        began, ended_as = time.monotonic(), LEASE_LOST
        self._context.meter.stage_began(self._step.name)
        try:
            job = self._line.job(
                record=claim.record,
                lease=claim.lease,
                progress=progress,
                called_off=self._called_off.is_set,
                found=found,
                reach=self._records.load_reach(claim),
                taken=claim.taken,
                is_rerun=is_set(claim.result.finished_at) and not claim.result.errors,
                began_before=is_set(claim.result.started_at),
                begun_anew=partial(self._records.begun_anew, claim),
                **self._records.job_fields(),
            )
            ended_as = self._run_held(claim, job)
        finally:
            files, done = progress.done
            self._context.meter.stage_ended(
                self._step.name,
                ended_as,
                seconds=time.monotonic() - began,
                files=files,
                bytes=done,
            )

    def _run_held(self, claim: Claim, job: Job) -> str:
        """Returns how it ended, for the meter."""
        if outcome := self._introduced(job):
            self._end(claim, outcome, job)
            return type(outcome).__name__.lower()
        reach = job.reach if job.is_rerun else None
        if not self._records.begin(claim, reach, keeps_rerun=self._stage.begins_anew):
            claim.requeue(0.0)
            return HANDED_BACK
        log.info("stage_begins", item=self._subject.logged, stage=self._stage.name)

        def act() -> Outcome:
            with asking_for(self._subject), self._context.shares.one():
                return self._line.prepare(job) or self._stage.run(job)

        outcome = outcome_of(self._line, self._step, claim, act)
        if outcome is None:
            self._records.hand_back(claim)
            claim.requeue(0.0)
            log.info("item_handed_back", item=self._subject.logged, topic=self._step.topic)
            return HANDED_BACK
        self._end(claim, outcome, job)
        return type(outcome).__name__.lower()

    def _introduced(self, job: Job) -> Outcome | None:
        """How it ended before it began. Unreachable passes: that is no attempt."""
        try:
            return self._line.introduce(job)
        except Refused as fault:
            return Halt(str(fault))

    def _show_progress(self, progress: bytes) -> None:
        try:
            self._context.services.state.show_progress(self._subject, progress)
        except ServiceFault as fault:  # people miss a number; the work goes on
            log.debug("progress_not_shown", item=self._subject.logged, reason=str(fault))

    def _look_for_cancel(self, called_off: threading.Event) -> None:
        if self._records.is_called_off(self._subject.number):
            called_off.set()

    # -- and what follows

    def _end(self, claim: Claim, outcome: Outcome, job: Job | None) -> None:
        """Result, then record, then lease, then queue: a crash in between is healed by a second
        delivery or the reconciler."""
        settlement = self._records.end(claim, outcome, job)
        log.info(
            "stage_ends",
            item=self._subject.logged,
            topic=self._step.topic,
            outcome=type(outcome).__name__.lower(),
        )
        self._let_go(claim, settlement)

    def _let_go(self, claim: Claim, settlement: Settlement) -> None:
        claim.release()
        queue = self._context.services.queue
        for topic in (settlement.topic, *settlement.tell):
            if isinstance(topic, Announcement):
                queue.announce(*topic)
            elif topic and topic != self._step.topic:
                queue.publish(topic, self._subject.number)
        if settlement.again:
            claim.delivery.requeue(settlement.delay)
        else:
            claim.delivery.ack()
