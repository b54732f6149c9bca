"""What a line is to the machine: steps in their order, and what only the line can say of them.

The machine knows no line: it asks the one it works for. A line's own rules, words and records
stand beside its table (`bagline.lines`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from bagline.errors import BaglineError
from bagline.model.ingest import IngestObject
from bagline.model.subject import ITEM
from bagline.model.times import NEVER, Timestamp
from bagline.model.workitem import WorkItem
from bagline.services.bundle import Services
from bagline.services.registry.base import Registry
from bagline.worker.stage import Decision, Halt, Job, Outcome, Run, Stage

if TYPE_CHECKING:
    from bagline.worker.records import Records, StepContext
    from bagline.worker.settlement import Announcement


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a subject may begin a stage, and how long it waits in between (seconds)."""

    attempts: int
    first_delay: float
    longest_delay: float

    def delay(self, attempt: int) -> float:
        """The wait after the attempt of that number, from 1; it doubles up to the longest."""
        return min(self.first_delay * 2.0 ** min(attempt - 1, 30), self.longest_delay)


PATIENT = RetryPolicy(attempts=12, first_delay=5.0, longest_delay=900.0)
"""For stages that move a bag's worth of bytes."""
BRIEF = RetryPolicy(attempts=8, first_delay=2.0, longest_delay=300.0)
"""For stages that only ask and write records."""


@dataclass(frozen=True, slots=True)
class Step:
    """One row: a stage and its place on the line.

    `name` is what `bagline worker NAME` takes; `work_stage` what the WorkItem says while it is
    there. A line may have steps of a class of its own, with what its rules go by.
    """

    stage: Callable[[], Stage[Any]]
    name: str
    topic: str
    work_stage: str
    done_note: str
    retry: RetryPolicy = BRIEF
    only_forward: bool = False
    """From here on the item may have changed what is preserved: it is not called off then, it is
    brought to its end (`Line.must_go_forward`)."""


@dataclass(frozen=True, slots=True)
class Words:
    """What the line says of a WorkItem in its `outcome`, and before the problems in its note. An
    empty `complete` leaves the outcome as it was."""

    complete: str
    rejected: str
    cancelled: str
    rejected_note: str


class Line(ABC):
    """The steps in order. Immutable; `with_step_after` makes a longer one.

    `action` is the WorkItems' that travel it; `kind` what its messages number (`Subject`);
    `job` the class of what its stages are given.
    """

    action: ClassVar[str]
    kind: ClassVar[str] = ITEM
    job: ClassVar[type[Job]] = Job
    may_be_forced_back: ClassVar[bool] = True
    """Whether an operator may end, with `cancel --force`, what must go forward."""
    words: ClassVar[Words]

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = tuple(steps)
        self._by_topic = {step.topic: step for step in steps}
        self._by_name = {step.name: step for step in steps}
        if len(self._by_topic) != len(steps) or len(self._by_name) != len(steps):
            raise ValueError("two steps share a topic or a name")

    def __iter__(self) -> Iterator[Step]:
        return iter(self._steps)

    # -- its order

    @property
    def first(self) -> Step:
        return self._steps[0]

    @property
    def cleanup(self) -> Step | None:
        """The step that takes away the traces of an item, also of one that was rejected or
        cancelled before it; None where a line leaves none."""
        return None

    def by_name(self, name: str) -> Step | None:
        return self._by_name.get(name)

    def by_work_stage(self, work_stage: str) -> Step | None:
        """The step that works on items whose WorkItem says this stage."""
        return next((s for s in self._steps if s.work_stage == work_stage), None)

    def after(self, step: Step) -> Step | None:
        """What follows success; None after the last."""
        place = self._steps.index(step) + 1
        return self._steps[place] if place < len(self._steps) else None

    def is_past(self, step: Step, work_stage: str) -> bool:
        """Whether an item at `work_stage` has this step behind it."""
        now = self.by_work_stage(work_stage)
        return now is not None and self._steps.index(now) > self._steps.index(step)

    def with_step_after(self, name: str, step: Step) -> Self:
        """The line with one more step, after the one of that name."""
        place = self._steps.index(self._by_name[name]) + 1
        return type(self)((*self._steps[:place], step, *self._steps[place:]))

    # -- its rules

    @abstractmethod
    def records(self, step: Step, context: StepContext) -> Records[Any]:
        """How the subjects of this step are recorded (`ItemLine`: as WorkItems)."""

    def has_rivals(self, step: Step) -> bool:  # noqa: ARG002
        """Whether other open records of the same thing may stand against one at this step: then
        `admit` is given them."""
        return False

    def admit(
        self,
        step: Step,  # noqa: ARG002
        record: Any,  # noqa: ARG002
        others: Sequence[Any],  # noqa: ARG002
        context: StepContext,  # noqa: ARG002
    ) -> Decision:
        """Whether what belongs to the step is to be worked on now, with those `others`. Asked
        while the lease is held; raises what the services raise."""
        return Run()

    def due_at(self, record: Any, services: Services) -> Timestamp:  # noqa: ARG002
        """When what a stage left to be looked at `Later` is due; NEVER where nothing says that it
        must wait. Asked of items that nobody holds, before they are published again."""
        return NEVER

    def introduce(self, job: Any) -> Outcome | None:  # noqa: ARG002
        """What must be known before the step begins; or how that ended. Raises what the services
        raise: that is no attempt."""
        return None

    def prepare(self, job: Any) -> Outcome | None:  # noqa: ARG002
        """Give the job what this line's stages ask of it, within the attempt; or how that ended."""
        return None

    def mark_begun(self, step: Step, item: WorkItem, bag: IngestObject | None) -> None:  # noqa: B027
        """Say in the item what must be known of it once the step has begun. Asks no service."""

    def mark_ended(self, item: WorkItem, job: Any) -> None:  # noqa: B027
        """Say in the item what the job found out."""

    def outcome_of(self, step: Step, item: WorkItem, fault: BaglineError) -> Outcome:  # noqa: ARG002
        """What an error is that the machine has no rule for: ours, if the line says nothing."""
        return Halt(str(fault))

    def topics_to_tell(self, step: Step, record: Any, job: Any) -> Sequence[str | Announcement]:  # noqa: ARG002
        """Topics that hear the number, or a text, of what is done with the step, and with the
        line; of an item also where it ended otherwise, or waits for an operator (`job` is None
        where no stage ran)."""
        return ()

    def must_go_forward(self, item: WorkItem, registry: Registry) -> bool:  # noqa: ARG002
        """Whether the item may not be ended where it is. Asks the Registry."""
        return False

    def only_forward(self, item: WorkItem) -> str:  # noqa: ARG002
        """Why an item that must go forward must: a sentence without its end mark."""
        return "This item has begun what may not be left half done, so it can only go forward"

    def kept_going(self, item: WorkItem, outcome: Outcome) -> Outcome:  # noqa: ARG002
        """What a verdict becomes for an item that must go forward."""
        return outcome


class Lines:
    """The lines of this installation, for who meets items of any."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = {line.action: line for line in lines}

    def __iter__(self) -> Iterator[Line]:
        return iter(self._lines.values())

    def of(self, item: WorkItem) -> Line | None:
        """The line the item travels."""
        return self._lines.get(item.action)

    def steps(self) -> list[Step]:
        """Of all lines, in order."""
        return [step for line in self for step in line]

    def line_of(self, step: Step) -> Line:
        """The line the step stands on. Raises KeyError."""
        for line in self:
            if any(own is step for own in line):
                return line
        raise KeyError(step.name)

    def by_name(self, name: str) -> Step | None:
        return next((s for line in self if (s := line.by_name(name))), None)

    def must_go_forward(self, item: WorkItem, registry: Registry) -> str:
        """Why the item may not be ended where it is; "" where it may. Asks the Registry."""
        line = self.of(item)
        if line is None or not line.must_go_forward(item, registry):
            return ""
        return line.only_forward(item)
