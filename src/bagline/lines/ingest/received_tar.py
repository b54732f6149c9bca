"""A bag's tar in the receiving bucket: its headers, by small ranged reads past the payloads, and
a file's bytes out of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

from bagline.bagit.tar import BLOCK, Member, MemberKind, TarReader
from bagline.lines.ingest.job import IngestJob
from bagline.model.ingest import TarSpan
from bagline.units import MIB, path_bytes

LEAST_BYTES = 64 * 1024
"""Of the first read after a payload that was skipped."""
MOST_BYTES = 4 * MIB
"""Reads double until here while headers stand so close that nothing is skipped."""

_ZEROS = bytes(MIB)

Read = Callable[[int, int], bytes]
"""(start, length) → that many bytes of the tar."""


def walked_files(job: IngestJob) -> Iterator[Member]:
    """The regular files of the bag's tar in the receiving bucket, by its headers alone. Raises
    what reading the tar raises, BagRejected where its framing is broken."""
    bag = job.object

    def read(start: int, length: int) -> bytes:
        job.progress.moved()
        job.pause_point()
        return job.services.objects.read(
            bag.s3_bucket, bag.s3_key, start=start, length=length, etag=bag.etag
        )

    return (m for m in walk_headers(read, bag.size) if m.kind is MemberKind.FILE)


TYPE_AT = 156
"""Of an entry's type in its header."""
OLDER_FILES = (b"0", b"\0")


def is_kept_elsewhere(job: IngestJob, member: Member) -> bool:
    """Whether another's pre-fetch keeps the file, too (contract E): it knows plain entries of
    types 0 and NUL alone. Reads that byte of its header."""
    bag = job.object
    kind = job.services.objects.read(
        bag.s3_bucket,
        bag.s3_key,
        start=member.data_offset - BLOCK + TYPE_AT,
        length=1,
        etag=bag.etag,
    )
    return kind in OLDER_FILES and not member.is_sparse


def walk_headers(read: Read, length: int) -> Iterator[Member]:
    """The members of a tar of `length` bytes, payloads skipped.

    Where a payload reaches far beyond what was read, a new TarReader begins behind it.
    Raises BagRejected where the framing is broken.
    """
    reads = _Reads(read, 0, length)
    reader = TarReader(reads, length=length)
    while (member := reader.next_member()) is not None:
        yield member
        behind = member.end_offset
        if reads.at + LEAST_BYTES < behind <= length:
            reads = _Reads(read, behind, length)
            reader = TarReader(
                reads,
                length=length,
                offset=behind,
                pax_globals=reader.pax_globals,
                count=reader.count,
            )


def path_digest(path: str) -> bytes:
    """Short, and for practical purposes unique within a bag."""
    return hashlib.blake2b(path_bytes(path), digest_size=12).digest()


class _Reads:
    """The tar's bytes from `at` on, in reads that grow. `at` moves along."""

    def __init__(self, read: Read, at: int, end: int) -> None:
        self._read = read
        self.at = at
        self._end = end

    def __iter__(self) -> Iterator[bytes]:
        length = LEAST_BYTES
        while self.at < self._end:
            some = min(length, self._end - self.at)
            chunk = self._read(self.at, some)
            self.at += some
            yield chunk
            length = min(2 * length, MOST_BYTES)


def expanded(job: IngestJob, span: TarSpan, size: int) -> Iterator[bytes]:
    """All of them, in order. The stage may be stopped between two chunks."""
    bag = job.object
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
    yield from _zeros(job, size - at)


def _zeros(job: IngestJob, count: int) -> Iterator[bytes]:
    while count > 0:
        job.progress.moved()
        job.pause_point()
        yield _ZEROS[:count]
        count -= len(_ZEROS)
