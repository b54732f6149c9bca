"""The bytes of a sparse file: its stretches from the tar, zeros between them."""

from __future__ import annotations

from collections.abc import Iterator

from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.staging.spans import span_of
from bagline.services.state.base import FileEntry
from bagline.units import MIB

_ZEROS = bytes(MIB)


def expanded(job: IngestJob, entry: FileEntry) -> Iterator[bytes]:
    """All of them, in order. The stage may be stopped between two chunks."""
    bag, span = job.object, span_of(entry)
    source, at = span.data_offset, 0
    for offset, length in span.stretches:
        yield from _zeros(job, offset - at)
        if length:
            for chunk in job.services.objects.stream(
                bag.s3_bucket, bag.s3_key, start=source, length=length, etag=bag.etag
            ):
                job.progress.moved()
                yield chunk
        source, at = source + length, offset + length
    yield from _zeros(job, entry.file.size - at)


def _zeros(job: IngestJob, count: int) -> Iterator[bytes]:
    while count > 0:
        job.progress.moved()
        job.pause_point()
        yield _ZEROS[:count]
        count -= len(_ZEROS)
