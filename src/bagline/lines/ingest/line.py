"""THE table: which stages there are, in which order, on which topic, with which patience.

Nobody else knows what comes next. A new stage is one module and one row here
(docs/add-a-stage.md). Topics, WorkItem stages and notes are the wire's (contract A).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bagline.errors import BaglineError, BrokenState
from bagline.lines.ingest import admission, forward
from bagline.lines.ingest.cleanup import Cleanup
from bagline.lines.ingest.format_identifier import FormatIdentifier
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.prefetch import PreFetch
from bagline.lines.ingest.preservation import PreservationUploader
from bagline.lines.ingest.recording import Recorder
from bagline.lines.ingest.reingest import ReingestManager
from bagline.lines.ingest.staging import StagingUploader
from bagline.lines.ingest.validator import Validator
from bagline.lines.ingest.verification import PreservationVerifier
from bagline.model import workitem as w
from bagline.model.ingest import IngestObject, object_identifier
from bagline.model.workitem import WorkItem
from bagline.services.registry.base import Registry
from bagline.worker.item_records import ItemLine
from bagline.worker.line import PATIENT, Step, Words
from bagline.worker.records import StepContext
from bagline.worker.stage import Decision, Halt, Outcome


@dataclass(frozen=True, slots=True)
class IngestStep(Step):
    """A step of this line. `reads_received`: the stage needs the tar in the receiving bucket, so
    it is looked for, and its ETag compared, before each run."""

    executable: str = ""
    """The worker's name in the older line, whose place it can take (`bagline.standin`)."""
    reads_received: bool = False
    cancel_if_newer: bool = False
    waits_for_earlier_bag: bool = False
    waits_for_deletion: bool = False
    """Not while files of its object are being deleted: what they are is read here."""
    tell_when_done: tuple[str, str] = ("", "")
    """Topics that hear of an item done with this step: of a first ingest, of a reingest."""


class IngestLine(ItemLine):
    """Bags from receiving buckets into preservation. Its last step cleans up."""

    action = w.ACTION_INGEST
    job = IngestJob
    words = Words(
        complete="Ingest complete",
        rejected="The bag was rejected",
        cancelled="Ingest cancelled",
        rejected_note="Bag rejected",
    )

    @property
    def cleanup(self) -> Step:
        return self._steps[-1]

    def __init__(self, steps: Sequence[Step]) -> None:
        super().__init__(steps)
        self.rows = [step for step in steps if isinstance(step, IngestStep)]
        """The table."""
        if len(self.rows) != len(steps):
            raise ValueError("every step of this line is an IngestStep")

    def has_rivals(self, step: Step) -> bool:
        assert isinstance(step, IngestStep)
        return step.cancel_if_newer or step.waits_for_earlier_bag

    def admit(
        self, step: Step, record: WorkItem, others: Sequence[WorkItem], context: StepContext
    ) -> Decision:
        assert isinstance(step, IngestStep)
        return admission.admit(
            record,
            others,
            context,
            cancel_if_newer=step.cancel_if_newer,
            waits_for_earlier_bag=step.waits_for_earlier_bag,
            reads_received=step.reads_received,
            waits_for_deletion=step.waits_for_deletion,
            must_go_forward=lambda other: self.must_go_forward(other, context.services.registry),
        )

    def introduce(self, job: IngestJob) -> Outcome | None:
        institution = job.services.institutions.find(job.item.institution_id)
        if institution is None:
            return Halt(f"the Registry has no institution {job.item.institution_id}: add it there")
        job.institution = institution
        return None

    def prepare(self, job: IngestJob) -> Outcome | None:
        """The bag. The first step begins anew where its record cannot be read."""
        item = job.item
        try:
            job.bag = job.load_bag()
        except BrokenState as fault:
            if item.stage != self.first.work_stage:
                raise
            admission.log.error("object_unreadable", item=item.id, reason=str(fault))
        return None

    def mark_begun(self, step: Step, item: WorkItem, bag: IngestObject | None) -> None:
        """Where the working record is gone, what the item says of itself stays."""
        if step.only_forward and bag is not None and bag.is_reingest:
            item.outcome = w.OUTCOME_CHANGING

    def mark_ended(self, item: WorkItem, job: IngestJob) -> None:
        if job.institution.identifier:
            item.object_identifier = object_identifier(job.institution.identifier, item.name)
        if job.object_id:
            item.intellectual_object_id = job.object_id

    def outcome_of(self, step: Step, item: WorkItem, fault: BaglineError) -> Outcome:
        assert isinstance(step, IngestStep)
        return admission.outcome_of(item, fault, reads_received=step.reads_received)

    def topics_to_tell(self, step: Step, record: WorkItem, job: IngestJob | None) -> Sequence[str]:
        """Of bags that arrived."""
        is_in = record.status == w.STATUS_SUCCESS and job is not None and job.bag is not None
        if not is_in or not isinstance(step, IngestStep):
            return ()
        assert job is not None
        assert job.bag is not None
        return (step.tell_when_done[job.bag.is_reingest],)

    def must_go_forward(self, item: WorkItem, registry: Registry) -> bool:
        """It may have changed copies of an object that the Registry knows: ended where it is, it
        would leave bytes under digests of others."""
        step = self.by_work_stage(item.stage)
        has_stored = step is not None and step.only_forward
        return forward.must_go_forward(item, registry, has_stored=has_stored)

    def only_forward(self, item: WorkItem) -> str:  # noqa: ARG002
        return forward.ONLY_FORWARD

    def kept_going(self, item: WorkItem, outcome: Outcome) -> Outcome:
        return forward.kept_going(item, outcome, self.words.rejected_note)

    def may_be_called_off(self, item: WorkItem, registry: Registry) -> bool:
        """Whether a newer bag may end the item: it has stored nothing in preservation yet."""
        step = self.by_work_stage(item.stage)
        has_stored = step is not None and step.only_forward
        return not has_stored and not self.must_go_forward(item, registry)


INGEST_LINE = IngestLine(
    (
        IngestStep(
            PreFetch,
            name="pre-fetch",
            executable="ingest_pre_fetch",
            topic="ingest01_prefetch",
            work_stage=w.STAGE_RECEIVE,
            done_note="Finished pre-fetch metadata gathering",
            retry=PATIENT,
            reads_received=True,
            cancel_if_newer=True,
            waits_for_earlier_bag=True,
        ),
        IngestStep(
            Validator,
            name="validator",
            executable="ingest_validator",
            topic="ingest02_bag_validation",
            work_stage=w.STAGE_VALIDATE,
            done_note="Bag is valid",
            reads_received=True,
            cancel_if_newer=True,
        ),
        IngestStep(
            ReingestManager,
            name="reingest-manager",
            executable="reingest_manager",
            topic="ingest03_reingest_check",
            work_stage=w.STAGE_REINGEST_CHECK,
            done_note="Finished reingest check",
            reads_received=True,
            waits_for_deletion=True,
            cancel_if_newer=True,
        ),
        IngestStep(
            StagingUploader,
            name="staging-uploader",
            executable="ingest_staging_uploader",
            topic="ingest04_staging",
            work_stage=w.STAGE_COPY_TO_STAGING,
            done_note="Finished copying files to staging area",
            retry=PATIENT,
            reads_received=True,
            cancel_if_newer=True,
        ),
        IngestStep(
            FormatIdentifier,
            name="format-identifier",
            executable="ingest_format_identifier",
            topic="ingest05_format_identification",
            work_stage=w.STAGE_FORMAT_IDENTIFICATION,
            done_note="Finished file format identification",
            reads_received=True,
            cancel_if_newer=True,
        ),
        IngestStep(
            PreservationUploader,
            name="preservation-uploader",
            executable="ingest_preservation_uploader",
            topic="ingest06_storage",
            work_stage=w.STAGE_STORE,
            done_note="Finished copying files to preservation storage",
            retry=PATIENT,
            only_forward=True,
        ),
        IngestStep(
            PreservationVerifier,
            name="preservation-verifier",
            executable="ingest_preservation_verifier",
            topic="ingest07_storage_validation",
            work_stage=w.STAGE_STORAGE_VALIDATION,
            done_note="Finished verifying files in preservation storage",
            retry=PATIENT,
            only_forward=True,
        ),
        IngestStep(
            Recorder,
            name="recorder",
            executable="ingest_recorder",
            topic="ingest08_record",
            work_stage=w.STAGE_RECORD,
            done_note="Finished recording ingest data in Registry",
            only_forward=True,
        ),
        IngestStep(
            Cleanup,
            name="cleanup",
            executable="ingest_cleanup",
            topic="ingest09_cleanup",
            work_stage=w.STAGE_CLEANUP,
            done_note="Finished cleanup. Ingest complete.",
            only_forward=True,
        ),
    )
)
