"""Cleanup: removes exactly what this item left behind, and the bag it carried home.

After an ingest: the staging objects under `{id}/`, the tar in the receiving bucket (only
that version of it, and only when the Registry shows every file and every copy), and the
working records, last. After a rejection or a cancellation the depositor's tar stays.
"""

from __future__ import annotations

from bagline.errors import BrokenState, Replaced
from bagline.model.ingest import object_identifier
from bagline.model.times import is_set
from bagline.model.workitem import STATUS_CANCELLED, STATUS_FAILED
from bagline.stages.base import Done, Job, Outcome, Stage, expect_count
from bagline.stages.rules import must_be_kept

KEYS_AT_ONCE = 1000


class Cleanup(Stage):
    name = "cleanup"

    def run(self, job: Job) -> Outcome:
        if job.item.status not in (STATUS_FAILED, STATUS_CANCELLED):
            self._after_ingest(job)
        self._empty_staging(job)
        job.services.state.delete_item(job.lease)
        return Done()

    def _after_ingest(self, job: Job) -> None:
        if job.bag is None:
            job.object_id = self._finished_before(job)
            return
        if not is_set(job.object.deleted_from_receiving_at):
            self._check_registry(job)
            self._delete_received(job)
        job.object_id = job.object.id

    def _finished_before(self, job: Job) -> int:
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

    def _check_registry(self, job: Job) -> None:
        """Raises BrokenState unless every file and every copy of it is on record."""
        wanted = missing = 0
        for batch in job.iter_files():
            files = [entry.file for entry in batch if must_be_kept(entry.file)]
            stored = job.services.registry.files([file.identifier for file in files])
            wanted += len(files)
            for file in files:
                known = stored.get(file.identifier)
                urls = {copy.url for copy in known.storage_records} if known else set()
                copies = {r.url for r in file.storage_records if is_set(r.verified_at)}
                if not copies or not copies <= urls:
                    missing += 1
            job.pause_point()
            job.progress.moved()
        expect_count(wanted - missing, wanted, "files on record before the bag is deleted")

    def _delete_received(self, job: Job) -> None:
        bag = job.object
        if not bag.should_delete_from_receiving:
            return
        try:
            job.services.objects.delete(bag.s3_bucket, bag.s3_key, etag=bag.etag)
        except Replaced:
            return  # a newer bag took the key; it stays
        bag.deleted_from_receiving_at = job.clock()
        job.commit(object=bag)

    def _empty_staging(self, job: Job) -> None:
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
