"""Manifests and tag files: their bodies, and their copies in staging by name (contract C).

Bodies come from this pass's memory, else from the tar by range. Other implementations of the
validator read the copies of top-level ones. Nested ones go by UUID alone:
`custom/manifest-md5.txt` must not take the place of the real one.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator

from bagline.errors import BrokenState
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.notes import PreFetchNotes
from bagline.lines.ingest.received_tar import expanded
from bagline.model.ingest import IngestFile, TarSpan
from bagline.services.objects.base import Body, RangeCopy, Target
from bagline.units import MIB

KEPT_BYTES = 2 * MIB
"""Longest body that is kept in memory; a longer one is read again by range."""
KEPT_IN_ALL = 32 * MIB


class KeptBody:
    """A sink of the scan that keeps what it is given; open ones count as not kept."""

    def __init__(self) -> None:
        self._data = bytearray()
        self.is_whole = False

    def write(self, data: memoryview) -> None:
        self._data += data

    def close(self) -> None:
        self.is_whole = True

    def __len__(self) -> int:
        return len(self._data)

    def __bytes__(self) -> bytes:
        return bytes(self._data)


class Bodies:
    """The bodies of one bag's manifests and tag files, by path."""

    def __init__(self, job: IngestJob) -> None:
        self._job = job
        self._kept: dict[str, KeptBody] = {}
        self._held = 0

    def keep(self, path: str, size: int) -> KeptBody | None:
        """Where the pass writes the body; None when it is too large, or memory is for others."""
        if size > KEPT_BYTES or self._held + size > KEPT_IN_ALL:
            return None
        self._held += size
        self._kept[path] = KeptBody()
        return self._kept[path]

    def entry(self, path: str) -> tuple[IngestFile, TarSpan]:
        """The record and byte range of a path the pass recorded."""
        job = self._job
        found = job.services.state.load_files(job.item.id, job.object.identifier, [path])
        entry = found.get(path)
        if entry is None or entry.span is None:
            raise BrokenState(f"the record of {path!r} is gone from Redis")
        return entry.file, entry.span

    def is_sparse(self, path: str) -> bool:
        """Whether the tar holds other bytes than the file's."""
        file, span = self.entry(path)
        return bool(span.stretches) or span.stored_bytes != file.size

    def size(self, path: str) -> int:
        """In bytes."""
        kept = self._kept.get(path)
        if kept is not None and kept.is_whole:
            return len(kept)
        return self.entry(path)[0].size

    def chunks(self, path: str) -> Iterator[bytes]:
        """The body, in chunks. Raises Gone or Replaced when it must be read again."""
        kept = self._kept.get(path)
        if kept is not None and kept.is_whole:
            yield bytes(kept)
            return
        file, span = self.entry(path)
        bag = self._job.object
        if span.stretches or span.stored_bytes != file.size:
            yield from expanded(self._job, span, file.size)
        elif file.size:
            yield from self._job.services.objects.stream(
                bag.s3_bucket, bag.s3_key, start=span.data_offset, length=file.size, etag=bag.etag
            )

    def whole(self, path: str, *, most_bytes: int) -> bytes | None:
        """The body in one piece; None when it is longer than `most_bytes`."""
        kept = self._kept.get(path)
        if kept is not None and kept.is_whole:
            body = bytes(kept)
            return body if len(body) <= most_bytes else None
        file, _ = self.entry(path)
        if file.size > most_bytes:
            return None
        return b"".join(self.chunks(path))


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
        if body is None and bodies.is_sparse(name):
            continue  # it goes by UUID alone, expanded: no store copies that by range
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
        part_md5=span.part_md5,
    )


def content_type(name: str) -> str:
    """Content-Type of a metadata copy, by extension (contract C)."""
    guessed = mimetypes.guess_type(name, strict=False)[0] or "application/octet-stream"
    return f"{guessed}; charset=utf-8" if guessed.startswith("text/") else guessed
