"""Staging: every file of the bag becomes an object at `{work_item_id}/{uuid}`.

Nothing is unpacked. A file is a range of the tar: a large one is copied by the store
itself and proven by the store's digest; small ones that lie side by side come in one
ranged read, are hashed again, and are put side by side. A file is marked only after
its proof, in batches, so a crash repeats at most one batch.

Reads: the tar by byte range (pinned to its ETag), file records and spans. Writes: staging
objects, `copied_to_staging_at` of each file, and of the object last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from bagline.errors import BrokenState
from bagline.model.ingest import IngestFile, TarSpan
from bagline.model.storage import user_metadata
from bagline.services.objects.base import Body, RangeCopy, Target
from bagline.services.state.base import FileEntry
from bagline.stages.base import Done, Job, Outcome, Stage, expect_count


class StagingUploader(Stage):
    name = "staging"

    def run(self, job: Job) -> Outcome:
        bag = job.object
        job.progress.expect(files=bag.file_count, bytes=bag.size)
        objects, bucket = job.services.objects, job.settings.buckets.staging
        objects.abort_uploads(bucket, job.staging_key(""))
        counted = 0
        for batch in job.iter_files():
            in_tar = [entry for entry in batch if entry.file.was_read]
            counted += len(in_tar)
            done = [entry for entry in in_tar if entry.file.is_staged]
            job.progress.add(files=len(done), bytes=sum(e.file.size for e in done))
            self._stage(job, [entry for entry in in_tar if not entry.file.is_staged])
        expect_count(counted, bag.file_count, "staging")
        bag.copied_to_staging_at = job.clock()
        job.commit(object=bag)
        return Done()

    def _stage(self, job: Job, entries: Sequence[FileEntry]) -> None:
        """Copy, prove, mark; neighbours together."""
        threshold = job.settings.work.copy_from_bytes
        small: list[FileEntry] = []
        large: list[FileEntry] = []
        for entry in entries:
            plain = entry.span is None or not entry.span.stretches
            (large if entry.file.size >= threshold or not plain else small).append(entry)
        for window in _windows(small, job.settings.work.window_bytes):
            self._put_window(job, window)
            self._mark(job, window)
        copies = [entry for entry in large if not _span(entry).stretches]
        some = job.settings.work.copies_in_flight
        for start in range(0, len(copies), some):
            group = copies[start : start + some]
            job.services.objects.copy_many([self._copy(job, e) for e in group], in_flight=some)
            self._mark(job, group)
        for entry in large:
            if _span(entry).stretches:
                self._put_sparse(job, entry)
                self._mark(job, [entry])

    def _put_window(self, job: Job, window: Sequence[FileEntry]) -> None:
        """One ranged read for files that lie side by side, then many puts at once."""
        filled = [entry for entry in window if entry.file.size]
        start = min((_span(e).data_offset for e in filled), default=0)
        end = max((_span(e).data_offset + e.file.size for e in filled), default=0)
        bag = job.object
        read = b""
        if filled:
            read = job.services.objects.read(
                bag.s3_bucket, bag.s3_key, start=start, length=end - start, etag=bag.etag
            )
        view = memoryview(read)
        bodies = []
        for entry in window:
            at = _span(entry).data_offset - start if entry.file.size else 0
            bodies.append(
                Body(
                    target=self._target(job, entry.file),
                    data=view[at : at + entry.file.size],
                    sha256=entry.file.calculated("sha256"),
                )
            )
        job.services.objects.put_many(bodies, in_flight=job.settings.work.puts_in_flight)

    def _copy(self, job: Job, entry: FileEntry) -> RangeCopy:
        bag = job.object
        return RangeCopy(
            source_bucket=bag.s3_bucket,
            source_key=bag.s3_key,
            etag=bag.etag,
            start=_span(entry).data_offset,
            length=entry.file.size,
            target=self._target(job, entry.file),
            sha256=entry.file.calculated("sha256"),
            md5=entry.file.calculated("md5"),
        )

    def _put_sparse(self, job: Job, entry: FileEntry) -> None:
        """A sparse file goes in expanded, as its digests were taken."""
        job.services.objects.put_stream(
            self._target(job, entry.file),
            _expanded(job, entry),
            size=entry.file.size,
            sha256=entry.file.calculated("sha256"),
        )

    def _target(self, job: Job, file: IngestFile) -> Target:
        return Target(
            bucket=job.settings.buckets.staging,
            key=job.staging_key(file.uuid),
            content_type=file.file_format or "application/octet-stream",
            metadata=user_metadata(file, job.institution.identifier),
        )

    def _mark(self, job: Job, entries: Sequence[FileEntry]) -> None:
        moment = job.clock()
        for entry in entries:
            entry.file.copied_to_staging_at = moment
        job.commit(files=[entry.file for entry in entries])
        job.progress.add(files=len(entries), bytes=sum(e.file.size for e in entries))


def _span(entry: FileEntry) -> TarSpan:
    if entry.span is None:
        raise BrokenState(f"the byte range of {entry.file.identifier!r} in the tar is not known")
    return entry.span


def _windows(entries: Iterable[FileEntry], window_bytes: int) -> Iterator[list[FileEntry]]:
    """Groups whose bytes, from the first to the last, lie within one window of the tar."""
    group: list[FileEntry] = []
    first = last = 0
    for entry in sorted(entries, key=lambda e: _span(e).data_offset):
        begin = _span(entry).data_offset
        end = begin + entry.file.size
        if group and max(end, last) - first > window_bytes:
            yield group
            group = []
        if not group:
            first, last = begin, end
        group.append(entry)
        last = max(last, end)
    if group:
        yield group


ZEROS = bytes(1024 * 1024)


def _expanded(job: Job, entry: FileEntry) -> Iterator[bytes]:
    """The bytes of a sparse file: its stretches from the tar, zeros between them."""
    bag, span = job.object, _span(entry)
    source, at = span.data_offset, 0
    for offset, length in span.stretches:
        yield from _zeros(offset - at)
        if length:
            yield from job.services.objects.stream(
                bag.s3_bucket, bag.s3_key, start=source, length=length, etag=bag.etag
            )
        source, at = source + length, offset + length
        job.progress.moved()
    yield from _zeros(entry.file.size - at)


def _zeros(count: int) -> Iterator[bytes]:
    while count > 0:
        yield ZEROS[:count]
        count -= len(ZEROS)
