"""File restorer (contract J1): one file, as it was preserved, into its institution's bucket.

Reads: the Registry, preservation. Writes: `<file identifier>` in the restoration bucket, when its
bytes are proven, and not before.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from bagline.lines.restoration.held_copies import HeldCopies, WrongCopy
from bagline.lines.restoration.kept_object import LARGE_BYTES, KeptFile, kept_file
from bagline.lines.restoration.restore_job import RESTORED_AT, RestoreJob
from bagline.model.registry import STATE_ACTIVE
from bagline.services.objects.base import Body, Target
from bagline.worker.stage import Done, Halt, Outcome, Stage


class FileRestorer(Stage[RestoreJob]):
    name: ClassVar[str] = "file restoration"

    def run(self, job: RestoreJob) -> Outcome:
        identifier = job.item.generic_file_identifier
        if job.is_discard:
            job.end_uploads(identifier)
            job.services.state.delete_item(job.lease)
            return Done()
        known = job.services.registry.files([identifier], with_events=False).get(identifier)
        if known is None or known.state != STATE_ACTIVE:
            return Halt(f"the Registry has no active file {identifier}: nothing can be restored")
        file = kept_file(job.object, known)
        bucket = job.institution.restore_bucket
        if job.settings.is_embedded:
            job.services.objects.ensure_bucket(bucket)
        target = Target(bucket, identifier)
        copies = HeldCopies(job.kept, ())
        job.progress.expect(files=1, bytes=file.size)
        try:
            _put(job, file, copies, target)
        except ValueError as unfit:  # a key that no store takes as it is
            return Halt(f"{unfit}: restore its object instead")
        job.progress.add(files=1, bytes=file.size)
        job.services.registry.save_report(
            job.item.id,
            {
                "restored_to": f"s3://{bucket}/{identifier}",
                "object": job.object.identifier,
                "files": 1,
                "bytes": file.size,
            },
        )
        job.end_uploads(identifier)
        job.services.state.delete_item(job.lease)
        job.is_restored = True
        return Done(
            f"File {identifier} restored to {RESTORED_AT}/{bucket}/{identifier}.",
            warnings=copies.problems(),
        )


def _put(job: RestoreJob, file: KeptFile, copies: HeldCopies, target: Target) -> None:
    """Stream by stream until one copy proves right: a stream that breaks off leaves nothing."""
    objects = job.services.objects
    if file.size <= LARGE_BYTES:
        (body,) = copies.whole([file])
        objects.put(Body(target, body))
        return
    while True:
        chunks = _watched(job, copies.streamed(file))
        try:
            objects.put_stream(
                target, chunks, size=file.size, sha256=file.digests.get("sha256", "")
            )
            return
        except WrongCopy:
            continue  # `streamed` takes the next one, and raises where none is left


def _watched(job: RestoreJob, chunks: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        job.pause_point()
        yield chunk
