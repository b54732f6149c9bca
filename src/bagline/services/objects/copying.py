"""Copies that the store makes by itself, each proven by the digest it answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from bagline.errors import BaglineError, BrokenState, Refused, Replaced
from bagline.services.objects.base import Objects, Proof, ProofMethod, RangeCopy
from bagline.services.objects.checksums import composite, from_hex, is_md5
from bagline.services.objects.connection import Connection
from bagline.services.objects.names import check_key, check_target
from bagline.services.objects.writing import Writer

PARTS_IN_FLIGHT = 4


class Unproven(Exception):
    """The store copied, and did not prove it; the streaming way is left."""


@dataclass(frozen=True)
class _Part:
    number: int
    start: int
    length: int
    sha256: str
    md5: str


class Copier:
    def __init__(
        self,
        connection: Connection,
        here: Objects,
        writer: Writer,
        part_bytes: int,
    ) -> None:
        self._connection = connection
        self._here = here
        self._writer = writer
        self._part_bytes = part_bytes
        self._refused_from = set[str]()
        """Realms from whose other stores a copy was refused once: not asked again."""
        self._log = structlog.get_logger("bagline.objects")

    def copy_range(self, copy: RangeCopy, source: Objects | None) -> Proof:
        check_target(copy.target)
        check_key(copy.source_key)
        if copy.length < 1:
            raise ValueError("a range copy has at least one byte; put an empty body instead")
        parts = self._parts(copy) if source is None or self._reaches(source) else None
        if parts is None or self._here.abilities(copy.target.bucket).range_copy_proof is None:
            return self._stream(copy, source or self._here)
        try:
            return self._copy_by_store(copy, parts, source or self._here)
        except Unproven as doubt:
            self._doubt("copy_unproven", copy, doubt)
        except (Refused, BrokenState) as refusal:
            if source is None:
                raise
            # Perhaps only between these two: the stream tells what it is.
            self._refused_from.add(source.realm)
            self._doubt("copy_refused", copy, refusal)
        return self._stream(copy, source or self._here)

    def _reaches(self, source: Objects) -> bool:
        realm = source.realm
        return realm == self._connection.endpoint.realm and realm not in self._refused_from

    def _doubt(self, event: str, copy: RangeCopy, why: Exception) -> None:
        target = copy.target
        self._log.warning(event, bucket=target.bucket, key=target.key, why=str(why))

    def _parts(self, copy: RangeCopy) -> list[_Part] | None:
        """The parts with their digests; None when a part's digest is not known."""
        if copy.length <= self._part_bytes:
            return [_Part(1, copy.start, copy.length, copy.sha256.lower(), copy.md5.lower())]
        count = -(-copy.length // self._part_bytes)
        if len(copy.part_sha256) != count:
            return None
        starts = range(0, copy.length, self._part_bytes)
        return [
            _Part(n + 1, copy.start + at, min(self._part_bytes, copy.length - at), digest, "")
            for n, (at, digest) in enumerate(zip(starts, copy.part_sha256, strict=True))
        ]

    def _copy_by_store(self, copy: RangeCopy, parts: Sequence[_Part], source: Objects) -> Proof:
        """Raises Unproven, or one of ours; then nothing of it is left."""
        target, client = copy.target, self._connection.copier
        where = {"Bucket": target.bucket, "Key": target.key}
        with self._connection.asking("copy to", target.bucket, target.key):
            upload = client.create_multipart_upload(
                **where,
                ContentType=target.content_type,
                Metadata=dict(target.metadata),
                ChecksumAlgorithm="SHA256",
            )["UploadId"]
        try:
            answers = self._copy_parts(copy, upload, parts, source)
            how = _proof_of(parts, answers)
            for part, answer in zip(parts, answers, strict=True):
                answer["ChecksumSHA256"] = from_hex(part.sha256)  # the store compares once more
            with self._connection.asking("complete", target.bucket, target.key):
                done = client.complete_multipart_upload(
                    **where, UploadId=upload, MultipartUpload={"Parts": answers}
                )
        except BaseException:
            self._abort(where, upload)
            raise
        told = done.get("ChecksumSHA256", "")
        if told and told not in (composite([p.sha256 for p in parts]), from_hex(copy.sha256)):
            with self._connection.asking("delete", target.bucket, target.key):
                client.delete_object(**where)
            raise Unproven("the completed object's SHA-256 is another")
        etag = done.get("ETag", "").strip('"')
        return Proof(target.bucket, target.key, copy.length, etag, copy.sha256.lower(), how)

    def _copy_parts(
        self, copy: RangeCopy, upload: str, parts: Sequence[_Part], source: Objects
    ) -> list[dict[str, Any]]:
        copied = {"Bucket": copy.source_bucket, "Key": copy.source_key}
        pinned = {"CopySourceIfMatch": f'"{copy.etag}"'} if copy.etag else {}

        def one(part: _Part) -> dict[str, Any]:
            try:
                with self._connection.asking("copy", copy.source_bucket, copy.source_key):
                    answer = self._connection.copier.upload_part_copy(
                        Bucket=copy.target.bucket,
                        Key=copy.target.key,
                        UploadId=upload,
                        PartNumber=part.number,
                        CopySource=copied,
                        CopySourceRange=f"bytes={part.start}-{part.start + part.length - 1}",
                        **pinned,
                    )["CopyPartResult"]
            except BrokenState:
                _check_version(copy, source)  # some stores look at the range before the ETag
                raise
            copy.moved()
            told = {k: answer[k] for k in ("ETag", "ChecksumSHA256") if answer.get(k)}
            return {"PartNumber": part.number, **told}

        if len(parts) == 1:
            return [one(parts[0])]
        # A pool of its own: the copies' pool may be full of copies that wait here.
        with self._connection.small_pool(PARTS_IN_FLIGHT) as pool:
            return list(pool.map(one, parts))

    def _abort(self, where: dict[str, str], upload: str) -> None:
        """What fails here is swept by `abort_uploads` later; the first fault counts."""
        try:
            with self._connection.asking("abort", where["Bucket"], where["Key"]):
                self._connection.boto.abort_multipart_upload(**where, UploadId=upload)
        except BaglineError as error:
            self._log.warning("abort_failed", **where, why=str(error))

    def _stream(self, copy: RangeCopy, source: Objects) -> Proof:
        """Every byte through this process, hashed on the way."""
        etag = copy.etag or source.head(copy.source_bucket, copy.source_key).etag
        chunks = source.stream(
            copy.source_bucket, copy.source_key, start=copy.start, length=copy.length, etag=etag
        )
        return self._writer.put_stream(
            copy.target, _watched(chunks, copy.moved), copy.length, copy.sha256
        )


def _check_version(copy: RangeCopy, source: Objects) -> None:
    found = source.head(copy.source_bucket, copy.source_key)
    if copy.etag and found.etag != copy.etag:
        raise Replaced(
            f"copy {copy.source_bucket}/{copy.source_key}: "
            "another version of the object stands there"
        )


def _watched(chunks: Iterator[bytes], moved: Callable[[], object]) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk
        moved()


def _proof_of(parts: Sequence[_Part], answers: Sequence[dict[str, Any]]) -> ProofMethod:
    """How the store proved every part. Raises Unproven where it did not."""
    methods = set()
    for part, answer in zip(parts, answers, strict=True):
        told, etag = answer.get("ChecksumSHA256", ""), answer.get("ETag", "").strip('"')
        if told:
            if told != from_hex(part.sha256):
                raise Unproven(f"the store's SHA-256 of part {part.number} is another")
            methods.add(ProofMethod.STORE_SHA256)
        elif part.md5 and is_md5(etag):
            if etag != part.md5:
                raise Unproven(f"the store's MD5 of part {part.number} is another")
            methods.add(ProofMethod.STORE_MD5)
        else:
            raise Unproven(f"the store answers no digest of part {part.number}")
    return ProofMethod.STORE_MD5 if ProofMethod.STORE_MD5 in methods else methods.pop()
