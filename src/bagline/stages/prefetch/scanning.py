"""The one pass over the tar: records, byte ranges and checkpoints, in batches."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator

from bagline.bagit.paths import Role, manifest_algorithm, role_of
from bagline.bagit.scan import BagScan, ByteSink, ScannedFile
from bagline.formats.extensions import format_for
from bagline.model.ingest import (
    DIGEST_ALGORITHMS,
    FORMAT_BY_EXTENSION,
    SOURCE_INGEST,
    IngestChecksum,
    IngestFile,
    IngestObject,
)
from bagline.services.state.base import BATCH_FILES, FileEntry
from bagline.stages.base import Job
from bagline.stages.notes import PreFetchNotes
from bagline.stages.prefetch.bodies import Bodies
from bagline.stages.rules import named_uuid

PARSABLE = ("bagit.txt", "bag-info.txt", "aptrust-info.txt")


def scan(job: Job, notes: PreFetchNotes) -> Bodies:
    """Read the tar from where the notes say, and record every file.

    Returns the bodies of manifests and tag files this pass saw. Raises BagRejected with
    every problem when the tar cannot be read on; Gone, Replaced and Unreachable as met.
    """
    bag, work = job.object, job.settings.work
    bodies = Bodies(job)

    def tap(path: str, role: Role, size: int) -> ByteSink | None:
        return None if role is Role.PAYLOAD else bodies.keep(path, size)

    start = notes.scan.next_offset if notes.scan else 0
    chunks = job.services.objects.stream(bag.s3_bucket, bag.s3_key, start=start, etag=bag.etag)
    pass_ = BagScan(
        chunks, length=bag.size, tap=tap, resume=notes.scan, known=_known(job) if start else None
    )
    job.progress.expect(files=0, bytes=bag.size)
    batch: list[FileEntry] = []
    for found in pass_.files():
        batch.append(FileEntry(_record(job, found), found.span))
        _count(bag, notes, found)
        if len(batch) >= BATCH_FILES or found.size > work.checkpoint_bytes:
            _save(job, notes, pass_, batch)
            batch = []
        job.progress.at(files=bag.file_count, bytes=pass_.bytes_read)
    _save(job, notes, pass_, batch)
    notes.problems = list(pass_.problems)
    notes.special = dict(pass_.special_entries)
    notes.top_directory = pass_.top_directory or ""
    return bodies


def _known(job: Job) -> Iterator[ScannedFile]:
    """The files an earlier worker recorded, for duplicates and hard links."""
    for batch in job.iter_files():
        for file, span in batch:
            if file.was_read and span is not None:
                yield ScannedFile(
                    path=file.path_in_bag,
                    role=role_of(file.path_in_bag),
                    size=file.size,
                    modified=file.file_modified,
                    digests={name: file.calculated(name) for name in DIGEST_ALGORITHMS},
                    span=span,
                )


def _save(job: Job, notes: PreFetchNotes, pass_: BagScan, batch: list[FileEntry]) -> None:
    notes.scan = pass_.checkpoint()
    job.commit(files=batch, object=job.object, checkpoint=notes.encoded())


def _record(job: Job, found: ScannedFile) -> IngestFile:
    bag, moment = job.object, job.clock()
    return IngestFile(
        checksums=[
            IngestChecksum(
                algorithm=name, datetime=moment, digest=found.digests[name], source=SOURCE_INGEST
            )
            for name in DIGEST_ALGORITHMS
        ],
        file_format=format_for(found.path),
        file_modified=found.modified,
        format_identified_at=moment,
        format_identified_by=FORMAT_BY_EXTENSION,
        format_match_type="extension",
        institution_id=bag.institution_id,
        mtime=found.modified,
        object_identifier=bag.identifier,
        path_in_bag=found.path,
        size=found.size,
        uuid=named_uuid("file", bag.identifier, job.item.id, bag.etag, found.path),
    )


def _count(bag: IngestObject, notes: PreFetchNotes, found: ScannedFile) -> None:
    bag.file_count += 1
    name = found.path
    if found.role in (Role.MANIFEST, Role.TAG_MANIFEST):
        notes.listings.append(name)
        is_payload = found.role is Role.MANIFEST
        (bag.manifests if is_payload else bag.tag_manifests).append(manifest_algorithm(name))
    elif name == "fetch.txt":
        bag.has_fetch_txt = True
    elif found.role is Role.TAG:
        bag.tag_files.append(name)
        if name in PARSABLE:
            bag.parsable_tag_files.append(name)


def content_type(name: str) -> str:
    """Content-Type of a metadata copy, by extension (contract C)."""
    guessed = mimetypes.guess_type(name, strict=False)[0] or "application/octet-stream"
    return f"{guessed}; charset=utf-8" if guessed.startswith("text/") else guessed
