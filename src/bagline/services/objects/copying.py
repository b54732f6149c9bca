"""Copies that the store makes by itself, proven by the digests it answers, else read back once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from bagline.errors import BaglineError, BrokenState, Refused, Replaced
from bagline.services.objects.base import Abilities, Objects, Proof, ProofMethod, RangeCopy
from bagline.services.objects.checksums import composite, from_hex
from bagline.services.objects.connection import Connection
from bagline.services.objects.names import check_key, check_target
from bagline.services.objects.reading import Reader
from bagline.services.objects.writing import Writer

PARTS_IN_FLIGHT = 4


class Unproven(Exception):
    """What the store copied is something else, by its own word or by its bytes; the streaming way
    is left."""


@dataclass(frozen=True)
class _Part:
    """`sha256` and `md5` are "" where they are not known."""

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
        reader: Reader,
        writer: Writer,
        part_bytes: int,
    ) -> None:
        self._connection = connection
        self._here = here
        self._reader = reader
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
        found = self._here.abilities(copy.target.bucket)
        is_in_reach = source is None or self._reaches(source)
        if not is_in_reach or found.range_copy_proof is None:
            return self._stream(copy, source or self._here)
        try:
            return self._copy_by_store(copy, source or self._here, found)
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

    def _parts(self, copy: RangeCopy) -> list[_Part]:
        """The parts, with such digests of them as are known."""
        if copy.length <= self._part_bytes:
            return [_Part(1, copy.start, copy.length, copy.sha256.lower(), copy.md5.lower())]
        starts = range(0, copy.length, self._part_bytes)
        known = zip(
            _of_each(copy.part_sha256, starts), _of_each(copy.part_md5, starts), strict=True
        )
        return [
            _Part(n, copy.start + at, min(self._part_bytes, copy.length - at), *digests)
            for n, (at, digests) in enumerate(zip(starts, known, strict=True), 1)
        ]

    def _copy_by_store(self, copy: RangeCopy, source: Objects, found: Abilities) -> Proof:
        """Raises Unproven, or one of ours; then nothing of it is left, but where a copy could not
        be read back."""
        target, client, parts = copy.target, self._connection.copier, self._parts(copy)
        where = {"Bucket": target.bucket, "Key": target.key}
        asks_sha256 = found.copies_ask_sha256
        algorithm = {"ChecksumAlgorithm": "SHA256"} if asks_sha256 else {}
        with self._connection.asking("copy to", target.bucket, target.key):
            upload = client.create_multipart_upload(
                **where,
                ContentType=target.content_type,
                Metadata=dict(target.metadata),
                **algorithm,
            )["UploadId"]
        try:
            answers = self._copy_parts(copy, upload, parts, source)
            how = _proof_of(parts, answers, found.range_copy_proof)
            for part, answer in zip(parts, answers, strict=True):
                if not asks_sha256:  # then none is to be told at the end
                    answer.pop("ChecksumSHA256", None)
                elif part.sha256:  # the store compares once more
                    answer["ChecksumSHA256"] = from_hex(part.sha256)
            with self._connection.asking("complete", target.bucket, target.key):
                done = client.complete_multipart_upload(
                    **where, UploadId=upload, MultipartUpload={"Parts": answers}
                )
        except BaseException:
            self._abort(where, upload)
            raise
        etag, sha256 = done.get("ETag", "").strip('"'), copy.sha256.lower()
        if _is_another(done.get("ChecksumSHA256", ""), copy, parts) or (
            how is ProofMethod.READ_BACK and self._read_back(copy, etag) != sha256
        ):
            with self._connection.asking("delete", target.bucket, target.key):
                client.delete_object(**where)
            raise Unproven("the completed object is another")
        return Proof(target.bucket, target.key, copy.length, etag, sha256, how)

    def _read_back(self, copy: RangeCopy, etag: str) -> str:
        """The SHA-256 of the bytes that the store copied."""
        bucket, key = copy.target.bucket, copy.target.key
        return self._reader.sha256(bucket, key, copy.length, etag, moved=copy.moved)

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
            copy.copied(part.length)
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
            copy.target, _watched(chunks, copy), copy.length, copy.sha256, moved=copy.moved
        )


def _check_version(copy: RangeCopy, source: Objects) -> None:
    found = source.head(copy.source_bucket, copy.source_key)
    if copy.etag and found.etag != copy.etag:
        raise Replaced(
            f"copy {copy.source_bucket}/{copy.source_key}: "
            "another version of the object stands there"
        )


def _watched(chunks: Iterator[bytes], copy: RangeCopy) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk
        copy.moved()
        copy.copied(len(chunk))


def _of_each(digests: Sequence[str], parts: Sequence[int]) -> Sequence[str]:
    """One for each part; "" where those that are known are of other parts, or none."""
    return digests if len(digests) == len(parts) else [""] * len(parts)


def _proof_of(
    parts: Sequence[_Part], answers: Sequence[dict[str, Any]], most: ProofMethod | None
) -> ProofMethod:
    """How every part is proven: reading back is left where the store tells no digest that is known.

    An ETag proves where it is the MD5, and says nothing where it is not: it need not be one. Nor
    does it where the probe found that this store's ETags of copies prove nothing (`most`).
    Raises Unproven where the SHA-256 is another.
    """
    methods = set()
    for part, answer in zip(parts, answers, strict=True):
        told, etag = answer.get("ChecksumSHA256", ""), answer.get("ETag", "").strip('"')
        if told and part.sha256:
            if told != from_hex(part.sha256):
                raise Unproven(f"the store's SHA-256 of part {part.number} is another")
            methods.add(ProofMethod.STORE_SHA256)
        elif part.md5 and etag == part.md5 and most is not ProofMethod.READ_BACK:
            methods.add(ProofMethod.STORE_MD5)
        else:
            return ProofMethod.READ_BACK
    return ProofMethod.STORE_MD5 if ProofMethod.STORE_MD5 in methods else methods.pop()


def _is_another(told: str, copy: RangeCopy, parts: Sequence[_Part]) -> bool:
    """Whether the SHA-256 that the store tells of the completed object is not that of the copy."""
    digests = [part.sha256 for part in parts]
    if not told or not all(digests):
        return False
    return told not in (composite(digests), from_hex(copy.sha256))
