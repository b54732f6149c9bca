"""Digests of further algorithms that a bag's manifests name: of files that were read before it was
known, by a second read of their places in the tar."""

from __future__ import annotations

import time
from collections.abc import Iterator

from bagline.bagit.further import FurtherDigests, Named, Wanted, read_again
from bagline.bagit.paths import role_of
from bagline.errors import Draining, Unreachable
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.notes import PreFetchNotes
from bagline.services.state.base import COMMIT_FILES


def calculate_further(job: IngestJob, notes: PreFetchNotes) -> None:
    """Nothing for a bag whose manifests are all of the four, or were seen to before. Else the
    digests are saved beside the records, file by file, and noted: who goes on after a worker that
    died reads only what is missing. Raises Gone or Replaced when the bag has changed, Draining
    when the worker stops."""
    linked = set(notes.linked)
    named = Named(path for path in notes.listings if path not in linked)
    if named.all() == notes.further:
        return
    saving = _Saving(job)
    try:
        for file, digests in read_again(_lacking(job, named), lambda *at: _bytes(job, *at)):
            saving.add(file, digests)
    except (Unreachable, Draining):
        saving.save()
        raise
    saving.save()
    notes.further = named.all()
    job.commit(checkpoint=notes.encoded())


def _bytes(job: IngestJob, offset: int, length: int) -> Iterator[bytes]:
    bag = job.object
    for chunk in job.services.objects.stream(
        bag.s3_bucket, bag.s3_key, start=offset, length=length, etag=bag.etag
    ):
        yield chunk
        job.progress.moved()
        job.pause_point()


def _lacking(job: IngestJob, named: Named) -> Iterator[Wanted[tuple[str, FurtherDigests]]]:
    """The files that want digests yet, each with those that it has."""
    for batch in job.iter_files():
        job.progress.moved()
        paths = [file.path_in_bag for file, _ in batch]
        known = job.services.state.load_digests(job.item.id, paths)
        for file, span in batch:
            path = file.path_in_bag
            has = known.get(path, {})
            lacking = tuple(a for a in named.of(role_of(path)) if a not in has)
            if lacking and file.was_read and span is not None:
                yield Wanted((path, has), file.size, span, lacking)


class _Saving:
    """Digests on their way into Redis: as many files, bytes and seconds at once as a checkpoint
    of the pass covers."""

    def __init__(self, job: IngestJob) -> None:
        self._job = job
        self._begin()

    def _begin(self) -> None:
        self._digests: dict[str, FurtherDigests] = {}
        self._bytes = 0
        self._since = time.monotonic()

    def add(self, file: Wanted[tuple[str, FurtherDigests]], digests: FurtherDigests) -> None:
        work, (path, has) = self._job.settings.work, file.what
        self._digests[path] = {**has, **digests}
        self._bytes += file.span.stored_bytes
        if (
            len(self._digests) >= COMMIT_FILES
            or self._bytes >= work.checkpoint_bytes
            or time.monotonic() - self._since >= work.checkpoint_seconds
        ):
            self.save()

    def save(self) -> None:
        if self._digests:
            self._job.services.state.save_digests(self._job.lease, self._digests)
            self._job.progress.moved()
        self._begin()
