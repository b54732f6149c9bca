"""The line of deletion: one step, by consent, after its waiting time (contract J1, J3)."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from bagline.lines.deletion.deleter import Deleter
from bagline.lines.deletion.deletion_job import DeletionJob
from bagline.model import workitem as w
from bagline.model.deletion_wording import recallable
from bagline.model.times import NEVER, Timestamp, is_set, to_datetime
from bagline.model.workitem import WorkItem
from bagline.services.bundle import Services
from bagline.services.registry.base import Registry
from bagline.worker.claim import Claim
from bagline.worker.item_records import ItemLine, ItemRecords
from bagline.worker.line import PATIENT, Step, Words
from bagline.worker.records import StepContext
from bagline.worker.settlement import Announcement
from bagline.worker.stage import Cancel, Decision, Halt, Outcome, Reject, Run, Wait

ONLY_FORWARD = (
    "This deletion has begun: copies are gone that nothing brings back, so it can only go forward"
)


class _Records(ItemRecords):
    def _begins(self, claim: Claim, item: WorkItem, others: Sequence[WorkItem]) -> bool:  # noqa: ARG002
        """Never without having looked at the waiting time."""
        return False


class DeletionLine(ItemLine):
    """`tells`: topics that hear of an item that is deleted, or cannot be."""

    action = w.ACTION_DELETE
    job = DeletionJob
    may_be_forced_back = False
    words = Words(
        complete="",
        rejected="Could not be deleted",
        cancelled="Deletion cancelled",
        rejected_note="Not deleted",
    )

    def __init__(self, steps: Sequence[Step], *, tells: Sequence[str] = ()) -> None:
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
        """Not before its waiting time is over, however often it is delivered."""
        due = self.due_at(record, context.services)
        if not is_set(due):
            return Run()
        left = (to_datetime(due) - to_datetime(context.clock())).total_seconds()
        if left <= 0:
            return Run()
        note = recallable(record.inst_approver, due, record.deletion_request_id)
        if record.note != note:
            registry = context.services.registry
            registry.save_work_item(structs.replace(record, note=note), unless_changed=True)
        return Wait(left, "it can still be recalled")

    def due_at(self, record: WorkItem, services: Services) -> Timestamp:
        book = services.registry.deletions
        if book is None or record.outcome == w.OUTCOME_CHANGING:
            return NEVER
        return book.begins_at(record.deletion_request_id)

    def topics_to_tell(
        self,
        step: Step,  # noqa: ARG002
        record: WorkItem,
        job: DeletionJob | None,  # noqa: ARG002
    ) -> Sequence[Announcement]:
        """They hear the identifier of the file, else of the object (contract J1)."""
        identifier = record.generic_file_identifier or record.object_identifier
        return [Announcement(topic, identifier) for topic in self._tells]

    def mark_ended(self, item: WorkItem, job: DeletionJob) -> None:
        if job.is_deleted:
            item.stage = w.STAGE_RESOLVE
            what = "File" if item.is_of_file else "Object"
            item.outcome = f"{what} deletion complete"

    def must_go_forward(self, item: WorkItem, registry: Registry) -> bool:
        if item.status == w.STATUS_SUCCESS:
            return False
        book = registry.deletions
        return item.outcome == w.OUTCOME_CHANGING or (
            book is not None and bool(book.doomed(item.id, limit=1))
        )

    def only_forward(self, item: WorkItem) -> str:  # noqa: ARG002
        return ONLY_FORWARD

    def kept_going(self, item: WorkItem, outcome: Outcome) -> Outcome:  # noqa: ARG002
        if isinstance(outcome, Reject | Cancel):
            said = outcome.reason if isinstance(outcome, Cancel) else "it was rejected"
            return Halt(f"{said.rstrip('.')}. {ONLY_FORWARD}")
        return outcome


DELETION = DeletionLine(
    [
        Step(
            Deleter,
            name="deleter",
            topic=w.TOPICS_AFTER_INGEST[w.ACTION_DELETE],
            work_stage=w.STAGE_REQUESTED,
            done_note="",
            retry=PATIENT,
        )
    ]
)
