"""Cleanup: removes exactly what this item left behind, and the bag it carried home.

After an ingest: the staging objects under `{id}/`, the tar in the receiving bucket (only
that version of it, and only when every copy of every file of this bag was proven in this run
and is on record), and the working records, last. After a rejection or a cancellation the
depositor's tar stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from bagline.errors import BrokenState, Gone, ProofFailed, Refused, Replaced
from bagline.lines.ingest.copies import (
    Ledger,
    copies_of,
    is_proven,
    prove,
    raise_unreadable,
    targets_of,
)
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.preserved import is_preserved
from bagline.lines.ingest.registered import with_rows
from bagline.model.ingest import IngestFile, object_identifier
from bagline.model.registry import GenericFile
from bagline.model.times import is_set
from bagline.model.workitem import STAGE_REINGEST_CHECK, STATUS_CANCELLED, STATUS_FAILED
from bagline.services.objects.base import Proof
from bagline.services.state.base import FileEntry
from bagline.worker.stage import Done, Outcome, Stage, expect_count

KEYS_AT_ONCE = 1000
UNCHANGED = (
    "Nothing in the bag had changed: every file was preserved already, every copy was proven."
)


class Cleanup(Stage[IngestJob]):
    name = "cleanup"

    def run(self, job: IngestJob) -> Outcome:
        remark = ""
        if job.item.status not in (STATUS_FAILED, STATUS_CANCELLED):
            remark = self._after_ingest(job)
        self._empty_staging(job)
        self._end_uploads(job)
        job.services.state.delete_item(job.lease)
        return Done(remark)

    def _after_ingest(self, job: IngestJob) -> str:
        """Deletes the tar; returns what to say of the ingest besides that it is complete."""
        if job.bag is None:
            job.object_id = self._finished_before(job)
            return ""
        remark = ""
        if not is_set(job.object.deleted_from_receiving_at):
            stored = self._check_copies(job)
            remark = UNCHANGED if job.object.is_reingest and not stored else ""
            self._delete_received(job)
        job.object_id = job.object.id
        return remark

    def _finished_before(self, job: IngestJob) -> int:
        """The working records are gone: fine if the Registry has the object of this bag.

        Returns the object's id.
        """
        identifier = object_identifier(job.institution.identifier, job.item.name)
        known = job.services.registry.intellectual_object(identifier)
        if known is None or known.etag != job.item.etag:
            raise BrokenState(
                f"work item {job.item.id} has no working record in Redis, and the Registry has no "
                "object of this bag"
            )
        return known.id

    def _check_copies(self, job: IngestJob) -> int:
        """Raises BrokenState unless every copy of every file is proven and on record. Returns
        how many files the bag brought new or changed."""
        wanted = missing = stored = 0
        for batch, known in with_rows(job, job.object.id):
            entries = [entry for entry in batch if is_preserved(entry.file)]
            self._prove_rest(job, entries)
            wanted += len(entries)
            stored += sum(entry.file.needs_save for entry in entries)
            missing += sum(
                not _is_on_record(job, entry, known.get(entry.file.identifier)) for entry in entries
            )
            job.pause_point()
            job.progress.moved()
        expect_count(wanted - missing, wanted, "files on record before the bag is deleted")
        return stored

    def _prove_rest(self, job: IngestJob, entries: Sequence[FileEntry]) -> None:
        """Copies that no stage before proved by itself, as where another's worker stood in, are
        asked here, before the one original goes. Raises BrokenState for one that is not sound."""
        ledger = Ledger(job, [entry.file for entry in entries])
        copies = [c for entry in entries for c in copies_of(job.settings, entry)]
        waiting = [copy for copy in copies if not is_proven(copy, ledger.of(copy.file))]
        answered = prove(job, waiting)
        moment, faults = job.clock(), []
        changed: dict[str, IngestFile] = {}
        for copy, answer in answered:
            if isinstance(answer, Proof):
                ledger.enter(copy, answer, moment)
                changed[copy.file.uuid] = copy.file
            elif isinstance(answer, (Gone, ProofFailed)):
                faults.append(str(answer))
        if answered:
            job.commit(files=list(changed.values()), proofs=ledger.changed)
        raise_unreadable(answered)
        if faults:
            raise BrokenState(
                f"{len(faults)} preserved copies are not what this bag holds, so its tar stays: "
                + "; ".join(faults[:5]),
                requeue_at=STAGE_REINGEST_CHECK,
            )

    def _delete_received(self, job: IngestJob) -> None:
        bag = job.object
        if not bag.should_delete_from_receiving:
            return
        try:
            job.services.objects.delete(bag.s3_bucket, bag.s3_key, etag=bag.etag)
        except Replaced:
            return  # a newer bag took the key; it stays
        bag.deleted_from_receiving_at = job.clock()
        job.commit(object=bag)

    def _end_uploads(self, job: IngestJob) -> None:
        """What killed workers left unfinished in preservation buckets, of files that the store
        copies part by part. A store that does not let us look keeps what it has."""
        if job.bag is None:
            return
        for batch in job.iter_files():
            for entry in batch:
                file = entry.file
                if file.is_staged and file.size >= job.settings.work.copy_from_bytes:
                    self._end_uploads_of(job, file)

    def _end_uploads_of(self, job: IngestJob, file: IngestFile) -> None:
        for target in targets_of(job.settings, file):
            with suppress(Refused):
                job.services.store_of(target).abort_uploads(target.bucket, file.uuid)
        job.progress.moved()

    def _empty_staging(self, job: IngestJob) -> None:
        objects, bucket = job.services.objects, job.settings.buckets.staging
        prefix = job.staging_key("")
        objects.abort_uploads(bucket, prefix)
        keys: list[str] = []
        for found in objects.list(bucket, prefix):
            keys.append(found.key)
            if len(keys) == KEYS_AT_ONCE:
                objects.delete_many(bucket, keys)
                job.progress.moved()
                keys = []
        objects.delete_many(bucket, keys)


def _is_on_record(job: IngestJob, entry: FileEntry, known: GenericFile | None) -> bool:
    """Whether the Registry has the file with this bag's bytes, and each of its copies."""
    if known is None:
        return False
    file = entry.file
    digest = known.newest_digest("sha256")
    urls = [copy.url for copy in known.storage_records]
    return (not digest or digest == file.calculated("sha256")) and all(
        any(copy.target.is_at(url, file.uuid) for url in urls)
        for copy in copies_of(job.settings, entry)
    )
