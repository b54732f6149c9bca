"""A file of a bag at its place in a store: what stores are told of it, and asked about it."""

from __future__ import annotations

from dataclasses import dataclass

from bagline.lines.ingest.job import IngestJob
from bagline.model.ingest import IngestFile, TarSpan
from bagline.model.storage import user_metadata
from bagline.services.objects.base import Check, Objects, RangeCopy, RelayPart, Target


@dataclass(frozen=True, slots=True)
class StoredFile:
    """`span` has the digests of its parts, where it is above 5 GiB: it is copied and checked in the
    same parts."""

    job: IngestJob
    file: IngestFile
    bucket: str
    key: str
    provider: str = ""
    span: TarSpan | None = None
    copies: int = 1
    """How many this stage makes of the file."""

    @property
    def target(self) -> Target:
        """Where it goes, and what travels with it (contract C)."""
        return Target(
            bucket=self.bucket,
            key=self.key,
            content_type=self.file.file_format or "application/octet-stream",
            metadata=user_metadata(self.file, self.job.institution.identifier, self.provider),
        )

    @property
    def _parts(self) -> dict[str, tuple[str, ...]]:
        if self.span is None:
            return {}
        return {"part_sha256": self.span.part_sha256, "part_md5": self.span.part_md5}

    def check(self, *, must_read: bool = False) -> Check:
        """What is to stand there."""
        return Check(
            key=self.key,
            size=self.file.size,
            sha256=self.file.calculated("sha256"),
            md5=self.file.calculated("md5"),
            must_read=must_read,
            moved=self.job.progress.moved,
            **self._parts,
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
            moved=self.job.progress.moved,
            copied=self._copied,
            **self._parts,
        )

    def _copied(self, count: int) -> None:
        """The file's bytes count once, however many copies of it there will be."""
        name, many = part_name(self.bucket, self.file), self.copies
        self.job.progress.partly(name, count // many, self.file.size // many)

    def relayed(self, offset: int = 0, store: Objects | None = None) -> RelayPart:
        """Its bytes, from `offset` of a window that is read, on their way to `store` (None: to the
        one that reads)."""
        sha256 = self.file.calculated("sha256")
        return RelayPart(offset, self.file.size, self.target, sha256, store)


def part_name(bucket: str, file: IngestFile) -> str:
    """Of a copy that is under way, in the stage's progress."""
    return f"{bucket}/{file.uuid}"


def staged(job: IngestJob, file: IngestFile, span: TarSpan | None = None) -> StoredFile:
    """The file in the staging bucket."""
    key = job.staging_key(file.uuid)
    return StoredFile(job, file, job.settings.buckets.staging, key, span=span)
