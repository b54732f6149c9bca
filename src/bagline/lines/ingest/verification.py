"""Verification: each copy in preservation storage is proven, by its bytes or the store's word.

Reads: preservation objects (whole where `verify.read_back` says so, else by HEAD). Writes:
etag, size and `verified_at` of each StorageRecord; how each copy was proven.
"""

from __future__ import annotations

from bagline.errors import BrokenState, Unreadable
from bagline.lines.ingest.copies import (
    Copy,
    Ledger,
    copies_of,
    is_proven,
    prove,
    raise_unreadable,
    record_of,
)
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.preserved import must_be_kept
from bagline.model.workitem import STAGE_STORE
from bagline.services.objects.base import Proof
from bagline.services.state.base import FileEntry
from bagline.worker.stage import Done, Halt, Outcome, Stage


class PreservationVerifier(Stage[IngestJob]):
    name = "verification"

    def run(self, job: IngestJob) -> Outcome:
        bag = job.object
        job.progress.expect(files=bag.file_count, bytes=bag.size)
        faults: list[str] = []
        for batch in job.iter_files():
            kept = [entry for entry in batch if must_be_kept(entry.file)]
            self._verify(job, [c for e in kept for c in self._copies(job, e)], faults)
            job.progress.add(files=len(batch), bytes=sum(e.file.size for e in batch))
        if faults:
            shown = "; ".join(faults[:5])
            return Halt(
                f"{len(faults)} copies in preservation storage are not what was stored: {shown}. "
                "Keep the bag and look at the store",
                requeue_at=STAGE_STORE,
            )
        return Done()

    def _copies(self, job: IngestJob, entry: FileEntry) -> list[Copy]:
        """Every copy of the file. Raises BrokenState unless all are on its record."""
        copies = copies_of(job.settings, entry)
        lacking = [copy.target.bucket for copy in copies if record_of(copy) is None]
        if lacking:
            raise BrokenState(
                f"{entry.file.identifier!r} has no copy on record in {', '.join(lacking)}",
                requeue_at=STAGE_STORE,
            )
        return copies

    def _verify(self, job: IngestJob, copies: list[Copy], faults: list[str]) -> None:
        """Prove those that are not yet, and save what is proven; a copy that is not right loses
        its record, so that it is stored again when the item is requeued at Store."""
        ledger = Ledger(job, list({c.file.uuid: c.file for c in copies}.values()))
        answered = prove(job, [c for c in copies if not is_proven(c, ledger.of(c.file))])
        moment = job.clock()
        for copy, answer in answered:
            record = record_of(copy)
            if isinstance(answer, Proof):
                ledger.enter(copy, answer, moment)
            elif record is not None and not isinstance(answer, Unreadable):
                copy.file.storage_records.remove(record)
                faults.append(f"{record.url}: {answer}")
        changed = {copy.file.uuid: copy.file for copy, _ in answered}
        job.commit(files=list(changed.values()), proofs=ledger.changed)
        raise_unreadable(answered)
