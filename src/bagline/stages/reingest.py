"""Reingest check: what the Registry already knows of this bag (contract G).

Reads: file records; the Registry's object and files. Writes: UUIDs, ids, what must be saved.
"""

from __future__ import annotations

from bagline.model.ingest import IngestFile, IngestObject
from bagline.model.registry import STATE_ACTIVE, STATE_DELETED, GenericFile, IntellectualObject
from bagline.stages.base import Done, Job, Outcome, Stage

COMPARED = ("sha512", "sha256", "md5")
"""The first of these that the Registry has decides whether a file changed."""


class ReingestManager(Stage):
    name = "reingest check"

    def run(self, job: Job) -> Outcome:
        known = job.services.registry.intellectual_object(job.object.identifier)
        if known is None:
            return Done()
        self._mark_object(job.object, known)
        job.progress.expect(files=job.object.file_count)
        for batch in job.iter_files():
            identifiers = [entry.file.identifier for entry in batch]
            stored = job.services.registry.files(identifiers)
            changed = []
            for entry in batch:
                before = stored.get(entry.file.identifier)
                if before is not None:
                    self._mark_file(entry.file, before, known)
                    changed.append(entry.file)
                elif known.state == STATE_ACTIVE:
                    entry.file.storage_option = known.storage_option
                    changed.append(entry.file)
            job.commit(files=changed)
            job.progress.add(files=len(batch))
        job.commit(object=job.object)
        return Done()

    def _mark_object(self, bag: IngestObject, known: IntellectualObject) -> None:
        bag.id = known.id
        bag.is_reingest = True
        if known.state == STATE_ACTIVE:
            bag.storage_option = known.storage_option

    def _mark_file(self, file: IngestFile, before: GenericFile, known: IntellectualObject) -> None:
        file.id = before.id
        file.intellectual_object_id = known.id
        file.uuid = before.uuid
        file.is_reingest = True
        file.registry_urls = [copy.url for copy in before.storage_records]
        if before.state == STATE_ACTIVE:
            file.storage_option = before.storage_option
        file.needs_save = before.state == STATE_DELETED or _is_changed(file, before)


def _is_changed(file: IngestFile, before: GenericFile) -> bool:
    for algorithm in COMPARED:
        digest = before.newest_digest(algorithm)
        if digest:
            return digest != file.calculated(algorithm)
    return True
