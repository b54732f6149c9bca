"""Subjects that keep no status of their own: only how often a step began with them is recorded.

For lines whose messages number files, institutions and the like. What such a line finds out, its
stages write themselves; what it cannot do is told in the log.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import TypeVar

import structlog

from bagline.model.times import NEVER, is_set
from bagline.worker.claim import Claim
from bagline.worker.line import Line, Step
from bagline.worker.reach import Reach
from bagline.worker.records import Records, StepContext
from bagline.worker.settlement import FULL_DELAY_SECONDS, Settlement, spared
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
    Skip,
)

log = structlog.get_logger(__name__)

Record = TypeVar("Record")


class PlainRecords(Records[Record]):
    """`find`: what a number stands for; None where there is no such thing."""

    def __init__(
        self, line: Line, step: Step, context: StepContext, find: Callable[[int], Record | None]
    ) -> None:
        super().__init__(step.topic, context)
        self._line = line
        self._step = step
        self._find = find

    def find(self, number: int) -> Record | None:
        return self._find(number)

    def is_over(self, record: Record) -> bool:  # noqa: ARG002
        return False

    def decide(self, claim: Claim) -> Decision:
        if claim.delivery.attempts > 1 and is_set(claim.result.finished_at):
            return Skip("it was done when this message was handed out before")
        return self._line.admit(self._step, claim.record, (), self.context)

    def is_called_off(self, number: int) -> bool:  # noqa: ARG002
        return False

    def begin(
        self,
        claim: Claim,
        reach: Reach | None,  # noqa: ARG002
        *,
        keeps_rerun: bool = False,  # noqa: ARG002
    ) -> bool:
        result = claim.result
        result.attempt += 1
        result.host, result.pid = socket.gethostname(), os.getpid()
        result.started_at, result.finished_at = self.context.clock(), NEVER
        claim.state.save_result(claim.lease, self.topic, result)
        return True

    def end(self, claim: Claim, outcome: Outcome, job: Job | None) -> Settlement:
        """Done goes on to the next step; what passes is tried again as often as the step's patience
        allows; everything else ends here, and the log says so."""
        outcome = spared(outcome, self.context.shortage())
        match outcome:
            case Done():
                claim.result.finished_at = self.context.clock()
                claim.result.attempt = 0  # the next message is another request
                claim.state.save_result(claim.lease, self.topic, claim.result)
                after = self._line.after(self._step)
                if after is not None:
                    return Settlement(topic=after.topic)
                return Settlement(
                    tell=tuple(self._line.topics_to_tell(self._step, claim.record, job))
                )
            case Later(delay, _):
                claim.result.attempt = 0
                claim.state.save_result(claim.lease, self.topic, claim.result)
                return Settlement(again=True, delay=delay)
            case Retry(_, uses_patience) if not uses_patience:
                self.hand_back(claim)
                return Settlement(again=True, delay=FULL_DELAY_SECONDS)
            case Retry() if claim.result.attempt < self._step.retry.attempts:
                delay = self._step.retry.delay(claim.result.attempt)
                return Settlement(again=True, delay=delay)
            case Reject(problems):
                self._tell(claim, outcome, "; ".join(p.message for p in problems))
            case Retry(reason) | Cancel(reason) | Halt(reason):
                self._tell(claim, outcome, reason)
        self._forget(claim)
        return Settlement()

    def hand_back(self, claim: Claim) -> None:
        claim.result.attempt = max(claim.result.attempt - 1, 0)
        claim.state.save_result(claim.lease, self.topic, claim.result)

    def _forget(self, claim: Claim) -> None:
        claim.state.save_result(claim.lease, self.topic, None)

    def _tell(self, claim: Claim, outcome: Outcome, reason: str) -> None:
        name = type(outcome).__name__.lower()
        log.error(
            "subject_given_up",
            item=claim.lease.subject.logged,
            topic=self.topic,
            outcome=name,
            reason=reason,
        )
