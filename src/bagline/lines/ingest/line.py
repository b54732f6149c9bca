"""THE table: which stages there are, in which order, on which topic, with which patience.

Nobody else knows what comes next. A new stage is one module and one row here
(docs/add-a-stage.md). Topics, WorkItem stages and notes are the wire's (contract A).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bagline.model import workitem as w
from bagline.model.ingest import object_identifier
from bagline.model.workitem import WorkItem
from bagline.services.registry.base import Registry
from bagline.worker.stage import Stage
from bagline.lines.ingest.cleanup import Cleanup
from bagline.lines.ingest.format_identifier import FormatIdentifier
from bagline.lines.ingest.prefetch import PreFetch
from bagline.lines.ingest.preservation import PreservationUploader
from bagline.lines.ingest.recording import Recorder
from bagline.lines.ingest.reingest import ReingestManager
from bagline.lines.ingest.staging import StagingUploader
from bagline.lines.ingest.validator import Validator
from bagline.lines.ingest.verification import PreservationVerifier


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often an item may begin a stage, and how long it waits in between (seconds)."""

    attempts: int
    first_delay: float
    longest_delay: float

    def delay(self, attempt: int) -> float:
        """The wait after the attempt of that number, from 1; it doubles up to the longest."""
        return min(self.first_delay * 2.0 ** min(attempt - 1, 30), self.longest_delay)


ONLY_FORWARD = (
    "This ingest has begun to change preserved copies of an object that the Registry knows. Called "
    "off here it would leave new bytes under the digests of the old ones, so it can only go forward"
)

PATIENT = RetryPolicy(attempts=12, first_delay=5.0, longest_delay=900.0)
"""For stages that move a bag's worth of bytes."""
BRIEF = RetryPolicy(attempts=8, first_delay=2.0, longest_delay=300.0)
"""For stages that only ask and write records."""


@dataclass(frozen=True, slots=True)
class Step:
    """One row: a stage and its place on the line.

    `name` is what `bagline worker NAME` takes. `reads_received`: the stage needs the tar
    in the receiving bucket, so it is looked for, and its ETag compared, before each run.
    """

    stage: Callable[[], Stage]
    name: str
    topic: str
    work_stage: str
    done_note: str
    retry: RetryPolicy = BRIEF
    reads_received: bool = False
    cancel_if_newer: bool = False
    waits_for_earlier_bag: bool = False
    only_forward: bool = False
    """From here on preserved copies of a known object hold bytes whose digests the Registry
    learns later: such an item is not cancelled, it is brought to its end."""
    cleans_up: bool = False
    tell_when_done: tuple[str, str] = ("", "")
    """Topics that hear of an item done with this step: of a first ingest, of a reingest."""


class Line:
    """The steps in order. Immutable; `with_step_after` makes a longer one."""

    def __init__(self, steps: tuple[Step, ...]) -> None:
        self._steps = steps
        self._by_topic = {step.topic: step for step in steps}
        self._by_name = {step.name: step for step in steps}
        if len(self._by_topic) != len(steps) or len(self._by_name) != len(steps):
            raise ValueError("two steps share a topic or a name")
        if [step.cleans_up for step in steps] != [False] * (len(steps) - 1) + [True]:
            raise ValueError("the last step, and only the last, cleans up")

    def __iter__(self) -> Iterator[Step]:
        return iter(self._steps)

    @property
    def first(self) -> Step:
        return self._steps[0]

    @property
    def cleanup(self) -> Step:
        return self._steps[-1]

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

    def must_go_forward(self, item: WorkItem, registry: Registry) -> bool:
        """Whether ending the item where it is would leave bytes under digests of others: it may
        have changed copies of an object that the Registry knows. Asks the Registry."""
        if item.status == w.STATUS_SUCCESS:
            return False
        if item.outcome == w.OUTCOME_CHANGING:
            return True
        step = self.by_work_stage(item.stage)
        if item.action != w.ACTION_INGEST or step is None or not step.only_forward:
            return False
        institution = registry.institution(item.institution_id)
        return institution is not None and (
            registry.intellectual_object(object_identifier(institution.identifier, item.name))
            is not None
        )

    def may_be_called_off(self, item: WorkItem, registry: Registry) -> bool:
        """Whether a newer bag may end the item: it has stored nothing in preservation yet."""
        step = self.by_work_stage(item.stage)
        has_stored = step is not None and step.only_forward
        return not has_stored and not self.must_go_forward(item, registry)

    def with_step_after(self, name: str, step: Step) -> Line:
        """The line with one more step, after the one of that name."""
        place = self._steps.index(self._by_name[name]) + 1
        return Line((*self._steps[:place], step, *self._steps[place:]))


INGEST_LINE = Line(
    (
        Step(
            PreFetch,
            name="pre-fetch",
            topic="ingest01_prefetch",
            work_stage=w.STAGE_RECEIVE,
            done_note="Finished pre-fetch metadata gathering",
            retry=PATIENT,
            reads_received=True,
            cancel_if_newer=True,
            waits_for_earlier_bag=True,
        ),
        Step(
            Validator,
            name="validator",
            topic="ingest02_bag_validation",
            work_stage=w.STAGE_VALIDATE,
            done_note="Bag is valid",
            reads_received=True,
            cancel_if_newer=True,
        ),
        Step(
            ReingestManager,
            name="reingest-manager",
            topic="ingest03_reingest_check",
            work_stage=w.STAGE_REINGEST_CHECK,
            done_note="Finished reingest check",
            reads_received=True,
            cancel_if_newer=True,
        ),
        Step(
            StagingUploader,
            name="staging-uploader",
            topic="ingest04_staging",
            work_stage=w.STAGE_COPY_TO_STAGING,
            done_note="Finished copying files to staging area",
            retry=PATIENT,
            reads_received=True,
            cancel_if_newer=True,
        ),
        Step(
            FormatIdentifier,
            name="format-identifier",
            topic="ingest05_format_identification",
            work_stage=w.STAGE_FORMAT_IDENTIFICATION,
            done_note="Finished file format identification",
            reads_received=True,
            cancel_if_newer=True,
        ),
        Step(
            PreservationUploader,
            name="preservation-uploader",
            topic="ingest06_storage",
            work_stage=w.STAGE_STORE,
            done_note="Finished copying files to preservation storage",
            retry=PATIENT,
            only_forward=True,
        ),
        Step(
            PreservationVerifier,
            name="preservation-verifier",
            topic="ingest07_storage_validation",
            work_stage=w.STAGE_STORAGE_VALIDATION,
            done_note="Finished verifying files in preservation storage",
            retry=PATIENT,
            only_forward=True,
        ),
        Step(
            Recorder,
            name="recorder",
            topic="ingest08_record",
            work_stage=w.STAGE_RECORD,
            done_note="Finished recording ingest data in Registry",
            only_forward=True,
        ),
        Step(
            Cleanup,
            name="cleanup",
            topic="ingest09_cleanup",
            work_stage=w.STAGE_CLEANUP,
            done_note="Finished cleanup. Ingest complete.",
            only_forward=True,
            cleans_up=True,
        ),
    )
)
