"""Copies of top-level manifests and tag files in staging, by name (contract C).

Other implementations of the validator read them there. Nested ones go by UUID alone:
`custom/manifest-md5.txt` must not take the place of the real one.
"""

from __future__ import annotations

from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.notes import PreFetchNotes
from bagline.lines.ingest.prefetch.bodies import KEPT_BYTES, Bodies
from bagline.lines.ingest.prefetch.scanning import content_type
from bagline.services.objects.base import Body, RangeCopy, Target


def copy_metadata(job: IngestJob, notes: PreFetchNotes, bodies: Bodies) -> None:
    """Put the copies; may be repeated. A large one is copied by the store itself."""
    names = [*notes.listings, *job.object.parsable_tag_files]
    small: list[Body] = []
    for name in names:
        target = Target(
            bucket=job.settings.buckets.staging,
            key=job.staging_key(name),
            content_type=content_type(name),
        )
        body = bodies.whole(name, most_bytes=KEPT_BYTES)
        if body is not None:
            small.append(Body(target, body))
        else:
            job.services.objects.copy_range(_large(job, bodies, name, target))
            job.progress.moved()
    job.services.objects.put_many(small)


def _large(job: IngestJob, bodies: Bodies, name: str, target: Target) -> RangeCopy:
    file, span = bodies.entry(name)
    return RangeCopy(
        source_bucket=job.object.s3_bucket,
        source_key=job.object.s3_key,
        etag=job.object.etag,
        start=span.data_offset,
        length=file.size,
        target=target,
        sha256=file.calculated("sha256"),
        md5=file.calculated("md5"),
        part_sha256=span.part_sha256,
    )
