"""What a stage is: a name, and `run(job) -> Outcome`. And what it may end with.

A stage may run twice on the same item: what is done is skipped, what is half done is
done again with the same result. It raises what it meets (errors.py); only the worker
turns outcomes and errors into the WorkItem's status.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from bagline.config import Settings
from bagline.errors import BrokenState, CalledOff, Draining
from bagline.model import times
from bagline.model.ingest import IngestFile, IngestObject
from bagline.model.registry import Institution
from bagline.model.workitem import WorkItem
from bagline.problems import Problem
from bagline.services.bundle import Services
from bagline.services.state.base import CopyProofs, FileEntry, Lease
from bagline.worker.progress import Progress
from bagline.worker.reach import Reach


@dataclass(frozen=True, slots=True)
class Done:
    """Finished; the item moves on. `remark` follows the step's note where there is more to say."""

    remark: str = ""


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


Outcome = Done | Retry | Reject | Cancel | Halt


@dataclass
class Job:
    """One item in one stage, and everything the stage may touch."""

    item: WorkItem
    bag: IngestObject | None
    institution: Institution
    lease: Lease
    services: Services
    settings: Settings
    progress: Progress
    clock: times.Clock = times.now
    stopping: Callable[[], bool] = field(default=lambda: False)
    called_off: Callable[[], bool] = field(default=lambda: False)
    is_rerun: bool = False
    """Whether the stage finished with this item before, and is asked to begin anew."""
    began_before: bool = False
    """Whether an attempt before this one began; it may have left more than it had saved."""

    reach: Reach = field(default_factory=Reach)
    """How far the attempts before this one came; `save` and `commit` move it on."""

    check_room: Callable[[int], None] | None = None
    """Where the bag goes to a disk of this machine: raises Refused unless so many bytes fit."""

    object_id: int = 0
    """The Registry's id of the object, once the last stage knows it."""

    @property
    def object(self) -> IngestObject:
        """The bag's working record. Raises BrokenState when there is none."""
        if self.bag is None:
            raise BrokenState(
                f"work item {self.item.id} has no working record in Redis at stage "
                f"{self.item.stage}"
            )
        return self.bag

    def commit(
        self,
        *,
        files: Sequence[IngestFile | FileEntry] = (),
        object: IngestObject | None = None,
        checkpoint: bytes | None = None,
        tally: Mapping[str, int] | None = None,
        proofs: Mapping[str, CopyProofs] | None = None,
    ) -> None:
        """Save in one fenced step; then a place where the stage can be asked to stop.

        Raises LeaseLost (nothing was saved) or Draining (everything was).
        """
        done, _ = self.progress.done
        self.save(
            files=files,
            object=object,
            checkpoint=checkpoint,
            tally=tally,
            proofs=proofs,
            done=done,
        )
        self.pause_point()

    def save(
        self,
        *,
        files: Sequence[IngestFile | FileEntry] = (),
        object: IngestObject | None = None,
        checkpoint: bytes | None = None,
        tally: Mapping[str, int] | None = None,
        proofs: Mapping[str, CopyProofs] | None = None,
        done: int,
    ) -> None:
        """The same where the stage cannot stop. `done`: files that a repeat need not do again."""
        advance = self.reach.advance(done)
        self.services.state.commit(
            self.lease,
            files=files,
            object=object,
            checkpoint=checkpoint,
            tally={**(tally or {}), **advance.tally},
            result=advance.result,
            proofs=proofs,
        )
        self.reach.saved(advance)
        self.progress.moved()

    def pause_point(self) -> None:
        """Raises CalledOff when a person cancelled the item, Draining when this process
        was asked to stop."""
        if self.called_off():
            raise CalledOff(f"work item {self.item.id} was cancelled by an operator")
        if self.stopping():
            raise Draining(f"work item {self.item.id} is handed back: its worker is stopping")

    def iter_files(self) -> Iterator[list[FileEntry]]:
        """Every file record once, in tar order, in batches."""
        return self.services.state.iter_files(self.item.id)

    def staging_key(self, name: str) -> str:
        """Where in the staging bucket this item keeps `name` (a UUID, or a tag file's name)."""
        return f"{self.item.id}/{name}"


class Stage(ABC):
    """One stage of the line. Instances hold no state of an item; one serves many threads."""

    name: ClassVar[str]

    @abstractmethod
    def run(self, job: Job) -> Outcome:
        """Do this stage's work on the item. May be repeated after any interruption."""

    def warm_up(self) -> None:  # noqa: B027 (most stages have nothing to start)
        """Start what the first item would wait for. May be repeated."""

    def close(self) -> None:  # noqa: B027
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
