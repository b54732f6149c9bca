"""Bodies of manifests and tag files: from this pass's memory, else from the tar by range."""

from __future__ import annotations

from collections.abc import Iterator

from bagline.config import MIB
from bagline.errors import BrokenState
from bagline.lines.ingest.job import IngestJob
from bagline.model.ingest import IngestFile, TarSpan

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
        if file.size:
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
