"""Verification: each copy in preservation storage is asked for its digest, not only its size.

Reads: preservation objects (by HEAD where the store tells a checksum, else whole). Writes:
etag, size and `verified_at` of each StorageRecord; a tally of how copies were proven.
"""

from __future__ import annotations

from collections import Counter

from bagline.errors import Gone, ProofFailed
from bagline.model.ingest import IngestFile, StorageRecord
from bagline.model.times import is_set
from bagline.stages.base import Done, Halt, Job, Outcome, Stage, expect_count
from bagline.stages.rules import TALLY_PREFIX, must_be_kept


class PreservationVerifier(Stage):
    name = "verification"

    def run(self, job: Job) -> Outcome:
        bag = job.object
        job.progress.expect(files=bag.file_count, bytes=bag.size)
        faults: list[str] = []
        for batch in job.iter_files():
            files = [entry.file for entry in batch if must_be_kept(entry.file)]
            tally: Counter[str] = Counter()
            changed = [file for file in files if self._verify_file(job, file, tally, faults)]
            job.commit(files=changed, tally=tally)
            job.progress.add(files=len(batch), bytes=sum(e.file.size for e in batch))
        if faults:
            shown = "; ".join(faults[:5])
            return Halt(
                f"{len(faults)} copies in preservation storage are not what was stored: {shown}. "
                "Keep the bag; look at the store, then requeue the item at Store"
            )
        return Done()

    def _verify_file(
        self, job: Job, file: IngestFile, tally: Counter[str], faults: list[str]
    ) -> bool:
        """Whether any of the file's records changed."""
        option = job.settings.storage_option(file.storage_option)
        wanted = {(t.provider, t.bucket) for t in option.targets}
        records = [r for r in file.storage_records if (r.provider, r.bucket) in wanted]
        expect_count(len(records), len(wanted), f"copies of {file.identifier!r}")
        waiting = [record for record in records if not is_set(record.verified_at)]
        for record in waiting:
            self._verify(job, file, record, tally, faults)
        return bool(waiting)

    def _verify(
        self,
        job: Job,
        file: IngestFile,
        record: StorageRecord,
        tally: Counter[str],
        faults: list[str],
    ) -> None:
        store = job.services.provider(record.provider)
        try:
            proof = store.verify(
                record.bucket,
                file.uuid,
                size=file.size,
                sha256=file.calculated("sha256"),
                md5=file.calculated("md5"),
            )
        except (Gone, ProofFailed) as fault:
            record.error = str(fault)
            # Stored again when the item is requeued at Store.
            file.storage_records.remove(record)
            faults.append(f"{record.url}: {fault}")
            return
        record.error = ""
        record.etag = proof.etag
        record.size = proof.size
        record.verified_at = job.clock()
        tally[TALLY_PREFIX + proof.how] += 1
        job.progress.moved()
