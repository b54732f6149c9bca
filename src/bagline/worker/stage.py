"""What a stage is: a name, and `run(job) -> Outcome`. And what it may end with.

A stage may run twice on the same subject: what is done is skipped, what is half done is
done again with the same result. It raises what it meets (errors.py); only the worker
turns outcomes and errors into a WorkItem's status.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from bagline.config import Settings
from bagline.errors import BrokenState, CalledOff, Draining
from bagline.model import times
from bagline.model.subject import Subject
from bagline.model.workitem import WorkItem
from bagline.problems import Problem
from bagline.services.bundle import Services
from bagline.services.state.lease import Lease
from bagline.services.state.taken import Taken
from bagline.worker.progress import Progress
from bagline.worker.reach import Reach


@dataclass(frozen=True, slots=True)
class Done:
    """Finished; the item moves on. `remark` follows the step's note where there is more to say;
    `warnings` replace the problems that are kept of the item (None: those stay)."""

    remark: str = ""
    warnings: Sequence[Problem] | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """A passing fault; what is saved is saved, the item comes back later."""

    reason: str
    uses_patience: bool = True
    """False where only an operator can end the fault, and work goes on by itself then."""


@dataclass(frozen=True, slots=True)
class Reject:
    """The bag's fault. The depositor gets every problem."""

    problems: Sequence[Problem]


@dataclass(frozen=True, slots=True)
class Cancel:
    """Overtaken by a newer bag, or called off by a person."""

    reason: str


@dataclass(frozen=True, slots=True)
class Halt:
    """Ours: keep everything and call an operator. `reason` says what they must do.

    `requeue_at`: the stage at which the item can go on; "" is where it stopped.
    """

    reason: str
    requeue_at: str = ""


@dataclass(frozen=True, slots=True)
class Later:
    """Nothing failed, and what it waits for takes long: it comes back after `delay` seconds, which
    costs no patience. `note` is what people read meanwhile. Until then a delivery may come at any
    time, for queues cut long delays: the line's `due_at` and `admit` know better."""

    delay: float
    note: str


Outcome = Done | Retry | Later | Reject | Cancel | Halt


@dataclass(frozen=True, slots=True)
class Run:
    """Work on it. `found` is what was looked at for that, so that the stage need not ask again."""

    found: Any = None


@dataclass(frozen=True, slots=True)
class Skip:
    """Nothing to do here, now or later; the delivery is done with."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Not yet; the delivery goes back for `delay` seconds."""

    delay: float
    reason: str


@dataclass(frozen=True, slots=True)
class SendForward:
    """Somebody ended it where it must not end: nothing of it is cleaned away, it goes on."""


Decision = Run | Skip | Wait | SendForward | Outcome
"""What to do with a subject whose lease is held."""


@dataclass(kw_only=True)
class Job:
    """One subject in one stage, and what every stage may touch; lines add what is theirs."""

    record: Any
    """What the subject is recorded in: a WorkItem on most lines."""
    lease: Lease
    services: Services
    settings: Settings
    progress: Progress
    clock: times.Clock = times.now
    stopping: Callable[[], bool] = field(default=lambda: False)
    called_off: Callable[[], bool] = field(default=lambda: False)
    found: Any = None
    """What the line looked at before it let the subject in (`Run`)."""
    is_rerun: bool = False
    """Whether the stage finished with this subject before, and is asked to begin anew."""
    begun_anew: Callable[[], None] = field(default=lambda: None)
    """To be called once what an earlier run left is thrown away: until then a repeat is a rerun."""
    began_before: bool = False
    """Whether an attempt before this one began; it may have left more than it had saved."""
    reach: Reach = field(default_factory=Reach)
    """How far the attempts before this one came."""
    taken: Taken | None = None
    """What stood in the subject's records when the lease was taken, where that was read."""
    check_room: Callable[[int], None] | None = None
    """Where bytes go to a disk of this machine: raises Refused unless so many fit."""
    share_of: Callable[[int], int] = field(default=lambda whole: whole)
    """How much of what the whole worker may hold in memory is this job's, now."""
    left: dict[str, Any] = field(default_factory=dict)
    """What is to be saved in one step with the result (arguments of `State.commit`): only who
    comes after this stage reads it, and a repeat makes it again."""

    def bytes_in_flight(self) -> int:
        """Of bodies that it may hold in memory, now."""
        return self.share_of(self.settings.work.bytes_in_flight)

    @property
    def subject(self) -> Subject:
        return self.lease.subject

    def pause_point(self) -> None:
        """Raises CalledOff when a person cancelled the item, Draining when this process
        was asked to stop."""
        if self.called_off():
            raise CalledOff(f"{self.subject} was cancelled by an operator")
        if self.stopping():
            raise Draining(f"{self.subject} is handed back: its worker is stopping")


AnyJob = TypeVar("AnyJob", bound=Job)


class Stage(ABC, Generic[AnyJob]):
    """One stage of a line. Instances hold no state of a subject; one serves many threads."""

    name: ClassVar[str]
    begins_anew: ClassVar[bool] = False
    """Whether the stage looks at `Job.is_rerun`, and calls `begun_anew` when it has begun anew."""

    @abstractmethod
    def run(self, job: AnyJob) -> Outcome:
        """Do this stage's work. May be repeated after any interruption."""

    def warm_up(self) -> None:
        """Start what the first item would wait for. May be repeated."""

    def close(self) -> None:
        """Let go of what `warm_up` or `run` started. May be repeated."""


class Source(ABC):
    """Where new work items come from."""

    @abstractmethod
    def poll(self) -> list[WorkItem]:
        """Look once; returns the items it made."""


def expect_count(found: int, expected: int, what: str) -> None:
    """Raises BrokenState unless the records counted are the records expected."""
    if found != expected:
        raise BrokenState(f"{what}: {found} records were found where {expected} are expected")
