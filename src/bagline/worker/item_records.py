"""Work items as one step reads and writes them: the row in the Registry, the result in Redis."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace

import structlog
from msgspec import structs

from bagline.errors import BrokenState, Refused, ServiceFault
from bagline.model.ingest import IngestObject
from bagline.model.times import NEVER, Timestamp, is_set, to_datetime
from bagline.model.workitem import (
    OWN_NODE,
    STATUS_CANCELLED,
    STATUS_FAILED,
    STATUS_PENDING,
    STATUS_STARTED,
    STATUS_SUCCESS,
    STATUS_SUSPENDED,
    WorkItem,
)
from bagline.problems import Problem
from bagline.services.state.taken import Taken
from bagline.worker.claim import Claim
from bagline.worker.line import Line, Step
from bagline.worker.reach import Reach
from bagline.worker.records import Records, StepContext
from bagline.worker.settlement import (
    Settlement,
    after_verdict,
    errors_of,
    hand_back,
    send_forward,
    settle,
    spared,
)
from bagline.worker.stage import (
    Cancel,
    Decision,
    Done,
    Halt,
    Job,
    Later,
    Outcome,
    Reject,
    Retry,
    Run,
    SendForward,
    Skip,
    Wait,
)

log = structlog.get_logger(__name__)

ALIVE = (STATUS_PENDING, STATUS_STARTED)


class ItemRecords(Records[WorkItem]):
    def __init__(self, line: Line, step: Step, context: StepContext) -> None:
        super().__init__(step.topic, context)
        self._line = line
        self._step = step
        self._registry = context.services.registry
        self._state = context.services.state
        self._is_discarding = False

    def find(self, number: int) -> WorkItem | None:
        return self._registry.work_item(number)

    # -- may it run

    def enter(self, claim: Claim) -> Decision | None:
        """One question to the Registry: the item is read, and begun where nothing may stand
        against it."""
        begun = self._registry.begin_work_item(
            claim.lease.item_id,
            lambda item, others: self._begins(claim, item, others),
            with_others=self._line.has_rivals(self._step),
        )
        if begun is None:
            return None
        claim.record, claim.others, claim.has_begun = begun
        return self.decide(claim)

    def _begins(self, claim: Claim, item: WorkItem, others: Sequence[WorkItem]) -> bool:
        """Whether it can begin without another look; then it says so."""
        is_held = self.context.settings.work.coexist and is_held_elsewhere(
            item, self.context.settings.work.foreign_owner_seconds, self.context.clock()
        )
        if (
            self.is_discard(item)
            or self.skip_reason(item)
            or is_held
            or others
            or not claim.is_fresh(self.context.settings.work.lease_seconds)
            or claim.result.attempt >= self._step.retry.attempts
            or (self._step.only_forward and claim.taken.raw_object is None)
        ):
            return False
        self._mark_begun(item, _bag_of(claim.taken))
        return True

    def _mark_begun(self, item: WorkItem, bag: IngestObject | None) -> None:
        own = OWN_NODE if self.context.settings.work.coexist else ""
        item.node = f"{own}{socket.gethostname()}"
        item.pid = os.getpid()
        item.status = STATUS_STARTED
        item.note = f"Item has started stage {self._step.topic}"
        item.stage_started_at = self.context.clock()
        self._line.mark_begun(self._step, item, bag)

    def is_over(self, record: WorkItem) -> bool:
        return bool(self.skip_reason(record))

    def is_discard(self, item: WorkItem) -> bool:
        """Whether this is the clean-up after a rejection or a cancellation."""
        is_ended = item.status in (STATUS_FAILED, STATUS_CANCELLED)
        return self._step is self._line.cleanup and is_ended and self._is_ours(item)

    def _is_ours(self, item: WorkItem) -> bool:
        """Whether it travels this line: a topic may be given the id of any item."""
        return item.action == self._line.action

    def skip_reason(self, item: WorkItem) -> str:
        """Why the item does not belong to this step; "" when it does (contract A, mended)."""
        if not self._is_ours(item):
            return f"the item's action is {item.action}"
        if self.is_discard(item):
            return ""
        if item.status not in ALIVE or not item.retry:
            return f"the item is {item.status}"
        if item.stage != self._step.work_stage:
            return f"the item is at {item.stage}"
        return ""

    def decide(self, claim: Claim) -> Decision:
        record: WorkItem = claim.record
        work = self.context.settings.work
        reason = self.skip_reason(record)
        if reason:
            return Skip(reason)
        now = self.context.clock()
        if work.coexist and is_held_elsewhere(record, work.foreign_owner_seconds, now):
            return Wait(work.busy_delay_seconds, f"{record.node} says it works on it")
        if self.is_discard(record):
            self._is_discarding = True
            must = self._line.must_go_forward(record, self._registry)
            return SendForward() if must else Run()
        return self._line.admit(self._step, record, claim.others, self.context)

    def is_called_off(self, number: int) -> bool:
        current = self.find(number)
        if current is None or current.status != STATUS_CANCELLED:
            return False
        is_only_cleanup = self._step is self._line.cleanup and self._step is not self._line.first
        if is_only_cleanup or self._is_discarding:
            return False
        return not self._must_go_forward(current)

    def _must_go_forward(self, item: WorkItem) -> bool:
        """`item` as the Registry has it; a row that somebody read earlier and saved now may name
        a stage that lies behind it."""
        if self._step.only_forward:
            item = structs.replace(item, stage=self._step.work_stage)
        return self._line.must_go_forward(item, self._registry)

    # -- run it

    def load_reach(self, claim: Claim) -> Reach:
        reach = Reach(claim.result)
        try:
            reach.files = claim.taken.tally()
        except BrokenState as fault:
            log.error("tally_unreadable", item=claim.lease.item_id, reason=str(fault))
        return reach

    def begin(self, claim: Claim, reach: Reach | None, *, keeps_rerun: bool = False) -> bool:
        item, result = claim.record, claim.result
        result.attempt += 1
        result.host, result.pid = socket.gethostname(), os.getpid()
        result.started_at = self.context.clock()
        claim.is_rerun_owed = keeps_rerun and reach is not None
        if not claim.is_rerun_owed:
            result.finished_at = NEVER
        result.errors = None
        forgotten: Mapping[str, int] | None = reach.forget() if reach is not None else None
        self._state.commit(claim.lease, result=result, tally=forgotten)
        self._is_discarding = self.is_discard(item)
        if self._is_discarding or claim.has_begun:
            return True
        self._mark_begun(item, self._bag(claim) if self._step.only_forward else None)
        try:
            return self._save(item)
        except ServiceFault:  # it has not begun: that is no attempt
            result.attempt -= 1
            self._state.commit(claim.lease, result=result)
            raise

    def _bag(self, claim: Claim) -> IngestObject | None:
        """By the working record; None where that is gone, or cannot be read."""
        if claim.taken.raw_object is not None:
            return _bag_of(claim.taken)
        try:
            return self._state.load_object(claim.lease.item_id)
        except BrokenState:
            return None

    # -- how it ended

    def end(self, claim: Claim, outcome: Outcome, job: Job | None) -> Settlement:
        item = claim.record
        if job is not None:
            self._line.mark_ended(item, job)
        outcome = self._in_force(claim, outcome)
        if self.is_discard(item):
            settlement = self._settle_discard(claim, outcome)
            self._save_result(claim, outcome, job)
            return settlement
        settlement = settle(item, self._step, self._line, outcome, claim.result.attempt)
        self._save_result(claim, outcome, job)
        try:
            saved = self._save(item, self._problems_of(outcome))
        except Refused as fault:
            if isinstance(outcome, Halt):
                raise
            # Whoever comes next would be refused as well: an operator must know why.
            if self._line.after(self._step) is None:
                item.stage = self._step.work_stage  # it is done there again
            return self.end(claim, Halt(str(fault)), None)
        if not saved:
            # A person cancelled it meanwhile: what follows is the clean-up.
            return self._here(after_verdict(self._line))
        if item.status in (STATUS_SUCCESS, STATUS_FAILED, STATUS_SUSPENDED):
            told = tuple(self._line.topics_to_tell(self._step, item, job))
            settlement = replace(settlement, tell=told)
        return self._here(settlement)

    def _here(self, settlement: Settlement) -> Settlement:
        """Where it goes on at this very step, this very delivery brings it: an id waits once."""
        is_here = settlement.topic == self._step.topic
        return Settlement(again=True, tell=settlement.tell) if is_here else settlement

    def _problems_of(self, outcome: Outcome) -> list[Problem] | None:
        """Those that the Registry keeps of the item from now on; None: as they are."""
        match outcome:
            case Reject(problems) | Done(warnings=Sequence() as problems):
                return list(problems)[: self.context.settings.work.problems_kept]
        return None

    def _in_force(self, claim: Claim, outcome: Outcome) -> Outcome:
        """What becomes of the outcome where the item may not be ended, or the disk is full."""
        if isinstance(outcome, Reject | Cancel) and self._must_go_forward(claim.record):
            return self._line.kept_going(claim.record, outcome)
        if isinstance(outcome, Retry):
            outcome = spared(outcome, self.context.shortage())
            if isinstance(outcome, Retry) and not outcome.uses_patience:
                claim.result.attempt = max(claim.result.attempt - 1, 0)
        return outcome

    def _settle_discard(self, claim: Claim, outcome: Outcome) -> Settlement:
        """The clean-up after a verdict: the verdict stands, only the clean-up is tried again."""
        if isinstance(outcome, Done):
            return Settlement()
        reason = getattr(outcome, "reason", "")
        log.warning("clean_up_not_done", item=claim.record.id, reason=reason)
        return Settlement(again=True, delay=self._step.retry.delay(claim.result.attempt))

    def _save_result(self, claim: Claim, outcome: Outcome, job: Job | None) -> None:
        if self._step is self._line.cleanup and isinstance(outcome, Done):
            claim.check()  # there is nothing left to write to
            return
        result = claim.result
        if claim.is_rerun_owed and isinstance(outcome, Retry) and is_set(result.finished_at):
            self._state.commit(claim.lease, result=result)  # it is still to be done anew
            return
        result.finished_at = self.context.clock()
        result.errors = errors_of(claim.record, self._step, outcome)
        if isinstance(outcome, Halt):
            result.attempt = 0  # a person mends the cause; then patience begins anew
        if isinstance(outcome, Later):
            result.attempt, result.finished_at = 0, NEVER  # it has not ended, and did not fail
        self._state.commit(claim.lease, result=result, **(job.left if job is not None else {}))

    def _save(self, item: WorkItem, problems: Sequence[Problem] | None = None) -> bool:
        """Save the item; False when a person cancelled it meanwhile.

        The lease was looked at just before: the result's write holds it.
        """
        saved = self._registry.save_work_item(
            item, unless_status=[STATUS_CANCELLED], problems=problems
        )
        if saved.status == STATUS_CANCELLED and self._must_go_forward(saved):
            log.error("cancel_not_followed", item=item.id, stage=item.stage)
            saved = self._registry.save_work_item(item)
        return saved.status == item.status

    def send_forward(self, claim: Claim) -> Settlement:
        settlement = send_forward(claim.record, self._line)
        self._registry.save_work_item(claim.record)
        if settlement.topic == self._step.topic:  # this very delivery brings it
            return Settlement(again=True)
        return settlement

    def hand_back(self, claim: Claim) -> None:
        claim.result.attempt = max(claim.result.attempt - 1, 0)
        self._state.commit(claim.lease, result=claim.result)
        if not self.is_discard(claim.record):
            hand_back(claim.record, socket.gethostname())
            self._save(claim.record)


def _bag_of(taken: Taken) -> IngestObject | None:
    """The working record of the bag; None where there is none, or none that can be read."""
    try:
        return taken.object()
    except BrokenState:
        return None


def is_held_elsewhere(item: WorkItem, seconds: float, now: Timestamp) -> bool:
    """Whether a worker that is not Bagline's, and so has no lease, holds the item: its name
    stands in the item, and the stage began less than `seconds` ago."""
    if not item.node or item.node.startswith(OWN_NODE) or item.status != STATUS_STARTED:
        return False
    if not is_set(item.stage_started_at):
        return False
    age = to_datetime(now) - to_datetime(item.stage_started_at)
    return age.total_seconds() < seconds


class ItemLine(Line):
    """A line that work items travel."""

    def records(self, step: Step, context: StepContext) -> ItemRecords:
        return ItemRecords(self, step, context)
