"""What another implementation's pre-fetch leaves in a form of its own (contract E).

It keeps no notes of what it found wrong, a repeat of it tells everything of the bag again, a
manifest line without a path becomes a record without one, and of two entries of one name
the later one's record stays.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from operator import itemgetter
from typing import TypeVar

from bagline.bagit.tar import Member
from bagline.lines.ingest.job import IngestJob
from bagline.lines.ingest.received_tar import is_kept_elsewhere, path_digest, walked_files
from bagline.model.ingest import SOURCE_MANIFEST, IngestFile
from bagline.problems import BAD_MANIFEST_LINE, DUPLICATE_DIFFERS, DUPLICATE_SAME, Problem
from bagline.services.state.base import BATCH_FILES

T = TypeVar("T")
UNKNOWN_LINE = "?"


def told_once(found: Sequence[T]) -> Sequence[T]:
    """The list without its repeat, where it is one list two or more times over."""
    for times in range(len(found), 1, -1):
        length, rest = divmod(len(found), times)
        if not rest and list(found) == list(found[:length]) * times:
            return found[:length]
    return found


def lines_without_path(file: IngestFile) -> Iterator[Problem]:
    """Of the record that such lines of a manifest become."""
    for checksum in file.checksums:
        prefix = "manifest" if checksum.source == SOURCE_MANIFEST else "tagmanifest"
        yield BAD_MANIFEST_LINE.about(
            f"{prefix}-{checksum.algorithm}.txt",
            line=UNKNOWN_LINE,
            reason=f"after {checksum.digest!r} there is no path",
        )


def count_entries(job: IngestJob, recorded: int) -> tuple[int, list[Problem]]:
    """How many files of the tar it must have recorded, and what is wrong with names that stand
    twice. `recorded`: files that it has read, by their records.

    Walks the tar's headers; of each name a digest is kept. Of names that stand twice the bytes
    are read.
    """
    places = sorted((_name_digest(m), m.header_offset) for m in walked_files(job))
    problems: list[Problem] = []
    names, twice = 0, set[int]()
    for _, some in groupby(places, key=itemgetter(0)):
        names += 1
        offsets = [offset for _, offset in some]
        if len(offsets) > 1:
            twice.update(offsets)
    if twice:
        members = [m for m in walked_files(job) if m.header_offset in twice]
        members.sort(key=lambda member: (_name_digest(member), member.header_offset))
        for _, group in groupby(members, key=_name_digest):
            problems += _standing_twice(job, list(group))
    if names > recorded:
        names -= sum(not is_kept_elsewhere(job, member) for member in _without_record(job))
    return names, problems


def _without_record(job: IngestJob) -> Iterator[Member]:
    """The files of the tar that it did not record, each name once."""
    members, seen = walked_files(job), set[bytes]()
    while some := list(islice(members, BATCH_FILES)):
        paths = [member.name.partition("/")[2] for member in some]
        known = job.services.state.load_files(
            job.item.id, job.object.identifier, paths, spans=False
        )
        for member, path in zip(some, paths, strict=True):
            entry, name = known.get(path), path_digest(path)
            if (entry is None or not entry.file.was_read) and name not in seen:
                seen.add(name)
                yield member


def _standing_twice(job: IngestJob, members: Sequence[Member]) -> Iterator[Problem]:
    first, path = members[0], members[0].name.partition("/")[2]
    for other in members[1:]:
        if _body_digest(job, first) == _body_digest(job, other):
            yield DUPLICATE_SAME.about(path)
        else:
            yield DUPLICATE_DIFFERS.about(
                path, first=first.header_offset, second=other.header_offset
            )


def _name_digest(member: Member) -> bytes:
    return path_digest(member.name.partition("/")[2])


def _body_digest(job: IngestJob, member: Member) -> bytes:
    bag, digest = job.object, hashlib.sha256()
    if member.stored:
        for chunk in job.services.objects.stream(
            bag.s3_bucket,
            bag.s3_key,
            start=member.data_offset,
            length=member.stored,
            etag=bag.etag,
        ):
            job.progress.moved()
            digest.update(chunk)
    return digest.digest()
