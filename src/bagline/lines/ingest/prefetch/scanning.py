"""The one pass over the tar, from where an earlier one stopped: files with their byte ranges are
recorded, and a checkpoint with them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from msgspec import structs

from bagline.bagit.digests import from_hex
from bagline.bagit.further import FurtherDigests, Named, OnTheWay
from bagline.bagit.paths import FETCH_TXT, MAIN_TAG_FILES, Role, manifest_algorithm, role_of
from bagline.bagit.scan import BagScan, ByteSink, FileIndex, ScannedFile
from bagline.bagit.tagfiles import TagChoice
from bagline.errors import Draining, Unreachable
from bagline.formats.extensions import format_for
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.notes import PreFetchNotes
from bagline.lines.ingest.prefetch.metadata import Bodies
from bagline.lines.ingest.prefetch.saving import Saver
from bagline.model.ingest import (
    DIGEST_ALGORITHMS,
    FORMAT_BY_EXTENSION,
    SOURCE_INGEST,
    IngestChecksum,
    IngestFile,
    IngestObject,
)
from bagline.model.named_uuids import NamedUuids
from bagline.problems import ProblemLog
from bagline.services.state.base import COMMIT_FILES, FileEntry


def scan(job: IngestJob, notes: PreFetchNotes, part_bytes: int) -> tuple[Bodies, ProblemLog]:
    """Read the tar from where the notes say, and record every file.

    Returns the bodies of manifests and tag files this pass saw, and what reading found wrong.
    Raises BagRejected with
    every problem when the tar cannot be read on; Gone, Replaced and Unreachable as met,
    and Draining when the worker stops, also in the middle of a file. When the store or the
    worker goes away, the files that were read whole are saved with their checkpoint.
    """
    bag = job.object
    bodies = Bodies(job)

    index = FileIndex()
    further = OnTheWay(Named(notes.listings), index)

    def tap(path: str, role: Role, size: int) -> ByteSink | None:
        kept = None if role is Role.PAYLOAD else bodies.keep(path, size)
        return further.tap(path, role, kept)

    start = notes.scan.next_offset if notes.scan else 0
    chunks = job.services.objects.stream(
        bag.s3_bucket, bag.s3_key, start=start, length=bag.size - start, etag=bag.etag
    )
    pass_ = BagScan(
        _watched(job, chunks, start),
        length=bag.size,
        tap=tap,
        resume=notes.scan,
        known=_known(job) if start else None,
        index=index,
        part_bytes=part_bytes,
    )
    job.progress.expect(files=0, bytes=bag.size)
    with Saver(job) as saver:
        records = ScanRecords(job, notes, pass_, saver, further)
        try:
            for found in pass_.files():
                records.add(found)
        except (Unreachable, Draining):
            records.save()
            raise
        records.save()
    notes.special = dict(pass_.special_entries)
    notes.top_directory = pass_.top_directory or ""
    return bodies, pass_.log


def _watched(job: IngestJob, chunks: Iterable[bytes], start: int) -> Iterator[bytes]:
    """The chunks; after each, people see how far it is, and the stage may be stopped."""
    done = start
    for chunk in chunks:
        yield chunk
        done += len(chunk)
        job.progress.at(files=job.object.file_count, bytes=done)
        job.pause_point()


def _known(job: IngestJob) -> Iterator[ScannedFile]:
    """The files an earlier worker recorded, for duplicates and hard links."""
    for batch in job.services.state.iter_files(job.item.id, batch=COMMIT_FILES):
        job.progress.moved()
        for file, span in batch:
            if file.was_read and span is not None:
                yield ScannedFile(
                    path=file.path_in_bag,
                    role=role_of(file.path_in_bag),
                    size=file.size,
                    modified=file.file_modified,
                    raw_digests=from_hex({n: file.calculated(n) for n in DIGEST_ALGORITHMS}),
                    span=span,
                )


class ScanRecords:
    """The files of one pass, saved in batches: as many as one commit may carry, as many
    bytes as `checkpoint_bytes`, or what `checkpoint_seconds` brought, whichever is first.
    """

    def __init__(
        self,
        job: IngestJob,
        notes: PreFetchNotes,
        pass_: BagScan,
        saver: Saver,
        further: OnTheWay,
    ) -> None:
        self._job = job
        self._notes = notes
        self._pass = pass_
        self._saver = saver
        self._further = further
        self._digests: dict[str, FurtherDigests] = {}
        self._batch: list[IngestFile | FileEntry] = []
        self._bytes = 0
        self._moment = job.clock()
        self._saved_at = time.monotonic()
        self._object_changed = True
        bag = job.object
        self._identifier = bag.identifier
        self._uuids = NamedUuids("file", bag.identifier, job.item.id, bag.etag)
        bag.file_count = notes.scan.files if notes.scan else 0

    def add(self, found: ScannedFile) -> None:
        """One file more; saves when it is time."""
        work, batch = self._job.settings.work, self._batch
        if not batch:
            self._moment = self._job.clock()
        batch.append(FileEntry(self._record(found), found.span))
        if digests := self._further.take(found.path):
            self._digests[found.path] = digests
        self._count(found)
        self._bytes += found.span.stored_bytes
        if (
            len(batch) >= COMMIT_FILES
            or self._bytes >= work.checkpoint_bytes
            or time.monotonic() - self._saved_at >= work.checkpoint_seconds
        ):
            self.save()

    def save(self) -> None:
        """The files so far, and the checkpoint that covers exactly them."""
        notes, bag = self._notes, self._job.object
        notes.scan = self._pass.checkpoint()
        changed = _snapshot(bag) if self._object_changed else None
        if self._digests:
            self._saver.save_digests(self._digests)
        self._saver.commit(self._batch, object=changed, checkpoint=notes.encoded())
        self._batch, self._bytes, self._object_changed = [], 0, False
        self._digests = {}
        self._saved_at = time.monotonic()

    def _record(self, found: ScannedFile) -> IngestFile:
        moment = self._moment
        return IngestFile(
            checksums=[
                IngestChecksum(algorithm=name, datetime=moment, digest=digest, source=SOURCE_INGEST)
                for name, digest in found.digests.items()
            ],
            file_format=format_for(found.path),
            file_modified=found.modified,
            format_identified_at=moment,
            format_identified_by=FORMAT_BY_EXTENSION,
            format_match_type="extension",
            institution_id=self._job.object.institution_id,
            mtime=found.modified,
            object_identifier=self._identifier,
            path_in_bag=found.path,
            size=found.size,
            uuid=self._uuids.of(found.path),
        )

    def _count(self, found: ScannedFile) -> None:
        """What the object and the notes say of the bag. The object is saved only when more
        than its count of files changed; a resumed pass has that from the checkpoint."""
        bag, notes, name = self._job.object, self._notes, found.path
        bag.file_count += 1
        if found.role is Role.PAYLOAD:
            return
        self._object_changed = True
        is_read = found.role is not Role.TAG or name == FETCH_TXT or TagChoice().may_want(name)
        if found.is_linked and is_read:
            notes.linked.append(name)
        if found.role in (Role.MANIFEST, Role.TAG_MANIFEST):
            notes.listings.append(name)
            is_payload = found.role is Role.MANIFEST
            (bag.manifests if is_payload else bag.tag_manifests).append(manifest_algorithm(name))
        elif name == FETCH_TXT:
            bag.has_fetch_txt = True
        else:
            bag.tag_files.append(name)
            if name in MAIN_TAG_FILES:
                bag.parsable_tag_files.append(name)


def _snapshot(bag: IngestObject) -> IngestObject:
    """The object as it is now, while the pass goes on."""
    return structs.replace(
        bag,
        manifests=list(bag.manifests),
        tag_manifests=list(bag.tag_manifests),
        tag_files=list(bag.tag_files),
        parsable_tag_files=list(bag.parsable_tag_files),
    )
