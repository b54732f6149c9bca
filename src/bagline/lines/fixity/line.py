"""Fixity by messages: each numbers a file of another's Registry, or of ours (contract J1).

Where the Registry's database is at hand, runs of fixity need no messages (`running`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from bagline.errors import BaglineError, ServiceFault
from bagline.lines.fixity.file_checking import FileChecker
from bagline.lines.fixity.kept_copies import KeptCopies, copies_on_record
from bagline.model.registry import STATE_ACTIVE, GenericFile
from bagline.model.storage import is_archive
from bagline.model.times import earlier, is_set, to_datetime
from bagline.worker.claim import Claim
from bagline.worker.line import PATIENT, Line, Step, Words
from bagline.worker.plain_records import PlainRecords
from bagline.worker.records import Records, StepContext
from bagline.worker.settlement import Settlement
from bagline.worker.stage import Decision, Halt, Job, Outcome, Retry, Run, Skip


class FixityLine(Line):
    """One step. `tells`: topics that hear of every file that was looked at, or cannot be.
    `looks_always`: also at a file that was checked within `fixity.days`."""

    action = "Fixity Check"
    kind = "file"
    words = Words("", "", "", "")

    def __init__(
        self, steps: Sequence[Step], *, tells: Sequence[str] = (), looks_always: bool = False
    ) -> None:
        super().__init__(steps)
        self._tells = tells
        self.looks_always = looks_always

    def records(self, step: Step, context: StepContext) -> Records[GenericFile]:
        return _FileRecords(self, step, context)

    def admit(
        self,
        step: Step,  # noqa: ARG002
        record: GenericFile,
        others: Sequence[object],  # noqa: ARG002
        context: StepContext,
    ) -> Decision:
        """What is left alone now is passed over, and not kept waiting: it stays due, and is asked
        for again."""
        if record.state != STATE_ACTIVE:
            return Skip(f"{record.identifier} is deleted")
        if is_archive(record.storage_option):
            return Halt(
                f"{record.identifier} lies in {record.storage_option} alone: nothing reads it"
            )
        kept = KeptCopies(context.services, context.settings, context.clock)
        why = next((kept.why_left_alone(copy) for copy in copies_on_record(record)[:1]), "")
        return Skip(why) if why else Run()

    def outcome_of(self, step: Step, item: object, fault: BaglineError) -> Outcome:  # noqa: ARG002
        """A store that refuses says nothing of the copy."""
        return Retry(str(fault)) if isinstance(fault, ServiceFault) else Halt(str(fault))

    def topics_to_tell(self, step: Step, record: object, job: Job | None) -> Sequence[str]:  # noqa: ARG002
        return self._tells


class _FileRecords(PlainRecords[GenericFile]):
    """Nothing of a file stays in the state: of millions that would be more than it holds."""

    def __init__(self, line: FixityLine, step: Step, context: StepContext) -> None:
        super().__init__(line, step, context, context.services.registry.file)
        self._looks_always = line.looks_always

    def enter(self, claim: Claim) -> Decision | None:
        decision = super().enter(claim)
        if decision is None:
            return Halt(f"the Registry has no file {claim.lease.subject.number}")
        return decision

    def decide(self, claim: Claim) -> Decision:
        """A look that was broken off may have said something of one copy, and nothing of the
        next: then the file's date tells too much."""
        file: GenericFile = claim.record
        was_broken_off = is_set(claim.result.started_at)
        if not (self._looks_always or was_broken_off or self._is_due(file)):
            return Skip(f"it was checked at {file.last_fixity_check}")
        return super().decide(claim)

    def _is_due(self, file: GenericFile) -> bool:
        if not is_set(file.last_fixity_check):
            return True
        due = earlier(self.context.clock(), timedelta(days=self.context.settings.fixity.days))
        return to_datetime(file.last_fixity_check) <= to_datetime(due)

    def end(self, claim: Claim, outcome: Outcome, job: Job | None) -> Settlement:
        settlement = super().end(claim, outcome, job)
        if settlement.again:
            return settlement
        self._forget(claim)
        return Settlement(tell=tuple(self._line.topics_to_tell(self._step, claim.record, job)))


FIXITY_CHECK = FixityLine(
    [
        Step(
            FileChecker,
            name="fixity-checker",
            topic="fixity_check",
            work_stage="Fixity Check",
            done_note="",
            retry=PATIENT,
        )
    ]
)
