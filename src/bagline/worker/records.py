"""How the subjects of a line are recorded: what the machine asks of it, whatever they are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import structlog

from bagline.config import Settings
from bagline.errors import BrokenState
from bagline.model import times
from bagline.model.times import NEVER
from bagline.model.workitem import WorkResult
from bagline.services.bundle import Services
from bagline.services.state.taken import Taken
from bagline.worker.claim import Claim
from bagline.worker.meter import Meter
from bagline.worker.reach import Reach
from bagline.worker.settlement import Settlement
from bagline.worker.shares import Shares
from bagline.worker.stage import Decision, Job, Outcome

log = structlog.get_logger(__name__)

Record = TypeVar("Record")


@dataclass(frozen=True, kw_only=True)
class StepContext:
    """What every attempt of one worker shares."""

    services: Services
    settings: Settings
    owner: str = ""
    clock: times.Clock = times.now
    stopping: Callable[[], bool] = lambda: False
    meter: Meter = field(default_factory=Meter)
    shortage: Callable[[], str] = lambda: ""
    """What to say while this machine's disk is full."""
    check_room: Callable[[int], None] | None = None
    """See Job."""
    shares: Shares = field(default_factory=Shares)
    """Who shares what the worker may hold in memory."""


class Records(ABC, Generic[Record]):
    """Of one step. Methods raise what the services raise; those that write ask the claim's lease
    first, or write with it."""

    def __init__(self, topic: str, context: StepContext) -> None:
        self.topic = topic
        self.context = context

    @abstractmethod
    def find(self, number: int) -> Record | None:
        """What a message's number stands for, as it is now; None when there is no such thing."""

    @abstractmethod
    def is_over(self, record: Record) -> bool:
        """Whether the step has nothing to do with it any more: a second delivery is dropped."""

    def enter(self, claim: Claim) -> Decision | None:
        """Find the record, and decide whether to work on it now; None when there is no such thing.
        Where nothing stands against it, it may say at once that the step begins
        (`Claim.has_begun`)."""
        claim.record = self.find(claim.lease.subject.number)
        return None if claim.record is None else self.decide(claim)

    @abstractmethod
    def decide(self, claim: Claim) -> Decision:
        """Whether to work on it now: its record and its last result stand in the claim."""

    @abstractmethod
    def begin(self, claim: Claim, reach: Reach | None, *, keeps_rerun: bool = False) -> bool:
        """Say who works on it; False when it was called off meanwhile. `reach`: given where the
        stage is done all over again, and what earlier attempts reached is to be forgotten.
        `keeps_rerun`: that it is stays known until the stage says so (`begun_anew`)."""

    @abstractmethod
    def is_called_off(self, number: int) -> bool:
        """Whether a person called it off while it is in work."""

    @abstractmethod
    def end(self, claim: Claim, outcome: Outcome, job: Job | None) -> Settlement:
        """Write the outcome; the claim still holds. `job`: None where no stage ran."""

    @abstractmethod
    def hand_back(self, claim: Claim) -> None:
        """Write that it waits for another worker: ours was asked to stop. That is no attempt."""

    def begun_anew(self, claim: Claim) -> None:
        """A stage that is done all over again has thrown away what was there."""
        if claim.is_rerun_owed:
            claim.result.finished_at = NEVER
            self.context.services.state.save_result(claim.lease, self.topic, claim.result)

    def send_forward(self, claim: Claim) -> Settlement:
        """Write that it goes on though somebody ended it."""
        raise NotImplementedError(f"{type(self).__name__} sends nothing forward")

    def last_result(self, taken: Taken) -> WorkResult:
        """The step's last result; a new one where there is none, or none that can be read."""
        try:
            stored = taken.result()
        except BrokenState as fault:
            log.error("result_unreadable", item=taken.lease.subject.logged, reason=str(fault))
            stored = None
        return stored or WorkResult(operation=self.topic)

    def load_reach(self, claim: Claim) -> Reach:
        """How far earlier attempts came, where the line counts it."""
        return Reach(claim.result)

    def job_fields(self) -> dict[str, Any]:
        """The fields of a Job that are the worker's."""
        context = self.context
        return {
            "services": context.services,
            "settings": context.settings,
            "clock": context.clock,
            "stopping": context.stopping,
            "check_room": context.check_room,
            "share_of": context.shares.of,
        }
