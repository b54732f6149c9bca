"""A file of a bag at its place in a store: what stores are told of it, and asked about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bagline.lines.ingest.job import IngestJob
from bagline.model.ingest import IngestFile
from bagline.model.storage import user_metadata
from bagline.services.objects.base import Check, RangeCopy, RelayPart, Target


@dataclass(frozen=True, slots=True)
class StoredFile:
    """`part_sha256`: see TarSpan; a file above 5 GiB is copied and checked in the same parts."""

    job: IngestJob
    file: IngestFile
    bucket: str
    key: str
    provider: str = ""
    part_sha256: Sequence[str] = ()

    @property
    def target(self) -> Target:
        """Where it goes, and what travels with it (contract C)."""
        return Target(
            bucket=self.bucket,
            key=self.key,
            content_type=self.file.file_format or "application/octet-stream",
            metadata=user_metadata(self.file, self.job.institution.identifier, self.provider),
        )

    def check(self, *, must_read: bool = False) -> Check:
        """What is to stand there."""
        return Check(
            key=self.key,
            size=self.file.size,
            sha256=self.file.calculated("sha256"),
            md5=self.file.calculated("md5"),
            part_sha256=self.part_sha256,
            must_read=must_read,
            moved=self.job.progress.moved,
        )

    def copied_from(self, bucket: str, key: str, *, etag: str = "", start: int = 0) -> RangeCopy:
        """Its bytes, from `start` of another object."""
        return RangeCopy(
            source_bucket=bucket,
            source_key=key,
            etag=etag,
            start=start,
            length=self.file.size,
            target=self.target,
            sha256=self.file.calculated("sha256"),
            md5=self.file.calculated("md5"),
            part_sha256=self.part_sha256,
            moved=self.job.progress.moved,
        )

    def relayed(self, offset: int = 0) -> RelayPart:
        """Its bytes, from `offset` of a window that is read."""
        return RelayPart(offset, self.file.size, self.target, self.file.calculated("sha256"))


def staged(job: IngestJob, file: IngestFile, part_sha256: Sequence[str] = ()) -> StoredFile:
    """The file in the staging bucket."""
    key = job.staging_key(file.uuid)
    return StoredFile(job, file, job.settings.buckets.staging, key, part_sha256=part_sha256)
