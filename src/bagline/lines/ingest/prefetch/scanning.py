"""The one pass over the tar, from where an earlier one stopped."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Iterator

from bagline.bagit.digests import from_hex
from bagline.bagit.paths import Role, role_of
from bagline.bagit.scan.one_pass import BagScan, ByteSink, ScannedFile
from bagline.errors import Draining, Unreachable
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.notes import PreFetchNotes
from bagline.lines.ingest.prefetch.bodies import Bodies
from bagline.lines.ingest.prefetch.records import Records
from bagline.lines.ingest.prefetch.saving import Saver
from bagline.model.ingest import DIGEST_ALGORITHMS
from bagline.problems import ProblemLog
from bagline.services.state.base import COMMIT_FILES


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

    def tap(path: str, role: Role, size: int) -> ByteSink | None:
        return None if role is Role.PAYLOAD else bodies.keep(path, size)

    start = notes.scan.next_offset if notes.scan else 0
    chunks = job.services.objects.stream(bag.s3_bucket, bag.s3_key, start=start, etag=bag.etag)
    pass_ = BagScan(
        _watched(job, chunks, start),
        length=bag.size,
        tap=tap,
        resume=notes.scan,
        known=_known(job) if start else None,
        part_bytes=part_bytes,
    )
    job.progress.expect(files=0, bytes=bag.size)
    with Saver(job) as saver:
        records = Records(job, notes, pass_, saver)
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


def content_type(name: str) -> str:
    """Content-Type of a metadata copy, by extension (contract C)."""
    guessed = mimetypes.guess_type(name, strict=False)[0] or "application/octet-stream"
    return f"{guessed}; charset=utf-8" if guessed.startswith("text/") else guessed
