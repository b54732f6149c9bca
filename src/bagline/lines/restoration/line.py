"""The lines of restoration: what a person asks for, one step each (contract J1).

A request is a WorkItem at `Requested`; done, it is at `Resolve`. One that was rejected or
cancelled comes by its own topic once more, for its traces to be taken away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from msgspec import structs

from bagline.lines.restoration.bag_restorer import BagRestorer
from bagline.lines.restoration.file_restorer import FileRestorer
from bagline.lines.restoration.glacier_restorer import GlacierRestorer, ThawTimer
from bagline.lines.restoration.restore_job import RestoreJob
from bagline.model import workitem as w
from bagline.model.ingest import object_identifier
from bagline.model.registry import STATE_ACTIVE
from bagline.model.times import NEVER, Timestamp, is_set, to_datetime
from bagline.model.workitem import WorkItem
from bagline.services.bundle import Services
from bagline.services.registry.open_changes import does
from bagline.worker.claim import Claim
from bagline.worker.item_records import ItemLine, ItemRecords
from bagline.worker.line import PATIENT, Line, Step, Words
from bagline.worker.records import StepContext
from bagline.worker.stage import Decision, Halt, Outcome, Run, Stage, Wait

BUSY_SECONDS = 60.0
"""Between looks at an object that is being changed."""


class _Records(ItemRecords):
    def _begins(self, claim: Claim, item: WorkItem, others: Sequence[WorkItem]) -> bool:  # noqa: ARG002
        """Never without having looked for an ingest that changes the object."""
        return False


class RestorationLine(ItemLine):
    """One step, which also takes away what an ended request left."""

    job = RestoreJob

    def __init__(self, steps: Sequence[Step], *, tells: Sequence[str] = ()) -> None:
        """`tells`: topics that hear of an item that is restored, or cannot be."""
        super().__init__(steps)
        self._tells = tells

    @property
    def cleanup(self) -> Step:
        return self._steps[-1]

    def records(self, step: Step, context: StepContext) -> ItemRecords:
        return _Records(self, step, context)

    def admit(
        self,
        step: Step,  # noqa: ARG002
        record: WorkItem,
        others: Sequence[WorkItem],  # noqa: ARG002
        context: StepContext,
    ) -> Decision:
        """A re-ingest from Store to Record has bytes in place whose digests come later; a deletion
        that has begun takes them away."""
        registry = context.services.registry
        changing = registry.changing_item(record.institution_id, record.name)
        if changing is None:
            return Run()
        reason = does(changing, record.object_identifier)
        note = f"Waiting: {reason}."
        if record.note != note:
            registry.save_work_item(structs.replace(record, note=note), unless_changed=True)
        return Wait(BUSY_SECONDS, reason)

    def introduce(self, job: RestoreJob) -> Outcome | None:
        registry, item = job.services.registry, job.item
        institution = job.services.institutions.find(item.institution_id)
        if institution is None:
            return Halt(f"the Registry has no institution {item.institution_id}: add it there")
        job.institution = institution
        identifier = item.object_identifier or object_identifier(institution.identifier, item.name)
        found = registry.intellectual_object(identifier)
        if job.is_discard:
            job.object = found or job.object
            return None
        if item.action == w.ACTION_RESTORE_OBJECT and item.is_of_file:
            return Halt(f"it asks for an object and names the file {item.generic_file_identifier}")
        if found is None or found.state != STATE_ACTIVE:
            return Halt(f"the Registry has no active object {identifier}: nothing can be restored")
        if not institution.restore_bucket:
            return Halt(
                f"{institution.identifier} has no restoration bucket: name one in the Registry"
            )
        job.object = found
        return None

    def topics_to_tell(
        self,
        step: Step,  # noqa: ARG002
        record: WorkItem,  # noqa: ARG002
        job: RestoreJob | None,  # noqa: ARG002
    ) -> Sequence[str]:
        return self._tells

    def mark_ended(self, item: WorkItem, job: RestoreJob) -> None:
        if job.is_restored:
            item.stage = w.STAGE_RESOLVE


class ObjectRestoration(RestorationLine):
    action = w.ACTION_RESTORE_OBJECT
    words = Words(
        complete="Bag restoration complete",
        rejected="The object could not be restored",
        cancelled="Restoration cancelled",
        rejected_note="Not restored",
    )


class FileRestoration(RestorationLine):
    action = w.ACTION_RESTORE_FILE
    words = Words(
        complete="File restoration complete",
        rejected="The file could not be restored",
        cancelled="Restoration cancelled",
        rejected_note="Not restored",
    )


class Thawing(RestorationLine):
    """Ends with another item, on one of the two lines above."""

    action = w.ACTION_THAW
    words = Words(
        complete="",
        rejected="The object could not be brought back",
        cancelled="Thawing cancelled",
        rejected_note="Not brought back",
    )

    def admit(
        self,
        step: Step,
        record: WorkItem,
        others: Sequence[WorkItem],
        context: StepContext,
    ) -> Decision:
        """Not before its time, however often it is delivered."""
        due = self.due_at(record, context.services)
        if is_set(due):
            left = (to_datetime(due) - to_datetime(context.clock())).total_seconds()
            if left > 0:
                return Wait(left, "it is not due yet")
        return super().admit(step, record, others, context)

    def due_at(self, record: WorkItem, services: Services) -> Timestamp:
        raw = services.state.load_checkpoint(record.id)
        if raw is None:
            return NEVER
        try:
            timer = msgspec.json.decode(raw, type=ThawTimer)
        except msgspec.DecodeError:
            return NEVER
        return timer.due if timer.note == record.note else NEVER


def _only_step(stage: Callable[[], Stage[RestoreJob]], name: str, line: type[Line]) -> list[Step]:
    """It has no note of its own: what is to be said stands in the stage's remark."""
    return [
        Step(
            stage,
            name=name,
            topic=w.TOPICS_AFTER_INGEST[line.action],
            work_stage=w.STAGE_REQUESTED,
            done_note="",
            retry=PATIENT,
        )
    ]


OBJECT_RESTORATION = ObjectRestoration(_only_step(BagRestorer, "bag-restorer", ObjectRestoration))
FILE_RESTORATION = FileRestoration(_only_step(FileRestorer, "file-restorer", FileRestoration))
THAWING = Thawing(_only_step(GlacierRestorer, "glacier-restorer", Thawing))
