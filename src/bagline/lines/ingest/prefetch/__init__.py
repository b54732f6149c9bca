"""Pre-fetch: the tar is read once; afterwards Redis holds all that later stages need.

Reads: the tar in the receiving bucket, as ranged GETs pinned to the WorkItem's ETag.
Writes: the object, a record and a byte range a file, a checkpoint at file borders, and
copies of top-level manifests and tag files in staging by name. Nothing touches a disk.
A new worker goes on from the last checkpoint.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from bagline.bagit.inventory import TAR
from bagline.bagit.profiles import (
    Profile,
    assumed_tags,
    on_the_wire,
    storage_option,
)
from bagline.bagit.tagfiles import TAG_FILE_BYTES, read_tags
from bagline.errors import BaglineError
from bagline.lines.ingest.job import IngestJob, profile_of
from bagline.lines.ingest.notes import PreFetchNotes, read_notes
from bagline.lines.ingest.prefetch.merging import merge_manifests
from bagline.lines.ingest.prefetch.metadata import Bodies, copy_metadata
from bagline.lines.ingest.prefetch.scanning import scan
from bagline.lines.ingest.recorded import judged
from bagline.lines.ingest.second_read import calculate_further
from bagline.model.ingest import IngestObject
from bagline.problems import ProblemLog, has_errors
from bagline.services.objects.base import PART_COPY_BYTES
from bagline.worker.stage import Done, Outcome, Reject, Stage


class PreFetch(Stage[IngestJob]):
    name = "pre-fetch"
    begins_anew = True

    def __init__(
        self,
        part_bytes: int = PART_COPY_BYTES,
        *,
        profile_of: Callable[[IngestJob], Profile] = profile_of,
    ) -> None:
        """Files above `part_bytes` are hashed by parts too, as staging will copy them.
        `profile_of`: the profile that the bag is held to."""
        self._part_bytes = part_bytes
        self._profile_of = profile_of

    def run(self, job: IngestJob) -> Outcome:
        """Raises Gone or Replaced when the bag is no longer there as it was; the line knows what
        that means for the item."""
        item = job.item
        received = job.found or job.services.objects.head(item.bucket, item.name)
        notes = self._begin(job, received.size)
        if not notes.finished:
            self._read(job, notes)
        return self._verdict(job)

    def _verdict(self, job: IngestJob) -> Outcome:
        """Where another's validator may come next, which sees nothing of the notes: the bag is
        judged here too, so that it fails whoever comes."""
        if job.settings.work.coexist:
            problems = judged(job, self._profile_of)
            if has_errors(problems):
                return Reject(problems)
        return Done()

    def _begin(self, job: IngestJob, size: int) -> PreFetchNotes:
        """What an earlier worker left, when it is of this very version; else a clean slate."""
        notes = read_notes(job.load_checkpoint())
        is_ours = notes is not None and notes.etag == job.item.etag and job.bag is not None
        if notes is not None and is_ours and not job.is_rerun:
            return notes
        if job.taken is None or not job.taken.is_new:
            job.services.state.restart_item(job.lease)
        job.begun_anew()
        job.bag = IngestObject(
            etag=job.item.etag,
            institution=job.institution.identifier,
            institution_id=job.institution.id,
            s3_bucket=job.item.bucket,
            s3_key=job.item.name,
            serialization=TAR,
            size=size,
        )
        return PreFetchNotes(etag=job.item.etag)

    def _read(self, job: IngestJob, notes: PreFetchNotes) -> None:
        with _asking_store(job):
            bodies, log = scan(job, notes, self._part_bytes)
        copy_metadata(job, notes, bodies)
        log.merge(apply_tags(job, notes, bodies, self._profile_of))
        log.merge(merge_manifests(job, notes, bodies))
        calculate_further(job, notes)
        notes.keep(log)
        notes.finished = True
        job.leave(object=job.object, checkpoint=notes.encoded())


@contextmanager
def _asking_store(job: IngestJob) -> Iterator[None]:
    """What the store can prove is asked once a process; here while the tar is being read.
    Whether staging answers is no matter yet: the first put says so."""

    def ask() -> None:
        with suppress(BaglineError):
            job.services.objects.abilities(job.settings.buckets.staging)

    asking = threading.Thread(target=ask, name="prefetch-ask")
    asking.start()
    try:
        yield
    finally:
        asking.join()


def apply_tags(
    job: IngestJob, notes: PreFetchNotes, bodies: Bodies, profile_of: Callable[[IngestJob], Profile]
) -> ProblemLog:
    """Fill the object's tags and storage option; returns what was wrong with tag files.

    May be repeated: the object's tags are replaced. A bag that lacks tags which its profile
    takes it to have gets them (contract E).
    """
    bag = job.object

    def body_of(path: str) -> bytes:
        job.progress.moved()
        return bodies.whole(path, most_bytes=TAG_FILE_BYTES) or b""

    linked = set(notes.linked)
    found = read_tags((p for p in bag.tag_files if p not in linked), bodies.size, body_of)
    notes.version, notes.encoding = found.version, found.encoding
    bag.tags = found.tags
    profile = profile_of(job)
    bag.tags = on_the_wire(found.tags) + assumed_tags(found.tags, profile)
    bag.storage_option = storage_option(found.tags, profile)
    return found.problems
