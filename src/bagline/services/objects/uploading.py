"""Uploads in parts that outlive their worker: begun, listed, sent, completed, given up."""

from __future__ import annotations

import base64
import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from bagline.errors import Gone, ProofFailed
from bagline.services.objects.base import ObjectInfo, Target
from bagline.services.objects.classify import fault_of
from bagline.services.objects.connection import Connection
from bagline.services.objects.names import check_target
from bagline.services.objects.parts import PartBody, Upload, UploadedPart, whole_etag

OVER = "NoSuchUpload"


class Uploader:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def begin(self, target: Target) -> Upload:
        check_target(target)
        with self._connection.asking("begin an upload to", target.bucket, target.key):
            answer = self._connection.boto.create_multipart_upload(
                Bucket=target.bucket,
                Key=target.key,
                ContentType=target.content_type,
                Metadata=dict(target.metadata),
            )
        return Upload(target, answer["UploadId"])

    def parts(self, upload: Upload) -> dict[int, UploadedPart]:
        """In pages. One that does not say where it goes on, goes on after its last part."""
        found: dict[int, set[UploadedPart]] = defaultdict(set)
        after = 0
        while True:
            page = self._ask(upload, "list the parts of", "list_parts", PartNumberMarker=after)
            for told in page.get("Parts", []):
                part = UploadedPart(int(told["PartNumber"]), int(told["Size"]), _bare(told["ETag"]))
                found[part.number].add(part)
            last = max(found, default=0)
            if not page.get("IsTruncated") or last <= after:
                # A part that was sent twice stands there twice in SeaweedFS, and nobody can tell
                # which is the later one.
                return {n: next(iter(parts)) for n, parts in found.items() if len(parts) == 1}
            after = last

    def put(self, upload: Upload, number: int, body: bytes | PartBody) -> UploadedPart:
        if isinstance(body, bytes):
            return self._put_held(upload, number, body)
        etag, md5 = self._put_as_it_comes(upload, number, body)
        if etag != md5:
            # The store's ETags are no MD5s (as with keys of its own), or other bytes arrived. The
            # MD5 is known by now, and goes before the body, for the store to compare.
            etag, again = self._put_as_it_comes(upload, number, body, md5=md5)
            if again != md5:
                raise ProofFailed(
                    f"send part {number} of {upload.target.bucket}/{upload.target.key}: the bytes "
                    "are others each time they are read"
                )
        return UploadedPart(number, body.size, etag)

    def _put_as_it_comes(
        self, upload: Upload, number: int, body: PartBody, *, md5: str = ""
    ) -> tuple[str, str]:
        """The part's ETag, and the MD5 of what was sent."""
        sent, target = _Counted(body), upload.target
        try:
            with self._asking(upload, "send a part of"):
                etag = self._connection.heads.put_part(
                    target.bucket, target.key, upload.id, number, iter(sent), body.size, md5=md5
                )
        except Exception:
            if sent.failure is not None:  # the body's own, not in the client's words
                raise sent.failure from None
            raise
        return etag, sent.md5

    def _put_held(self, upload: Upload, number: int, body: bytes) -> UploadedPart:
        """The store compares the MD5 that goes with it, on arrival."""
        md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        answer = self._ask(
            upload, "send a part of", "upload_part", PartNumber=number, Body=body, ContentMD5=md5
        )
        return UploadedPart(number, len(body), _bare(answer["ETag"]))

    def complete(self, upload: Upload, parts: Sequence[UploadedPart]) -> ObjectInfo:
        bucket, key = upload.target.bucket, upload.target.key
        ordered = sorted(parts)
        named = [{"PartNumber": p.number, "ETag": f'"{p.etag}"'} for p in ordered]
        is_over = False
        try:
            self._ask(
                upload, "complete", "complete_multipart_upload", MultipartUpload={"Parts": named}
            )
        except Gone:
            is_over = True
        found = self._connection.heads.head(bucket, key)
        # Some stores answer "done" for an upload that is over, whatever stands at its key.
        if not _is_of(found, upload, ordered, by_etag=is_over):
            raise Gone(f"complete {bucket}/{key}: the upload is over, and another object is there")
        return found

    def abort(self, upload: Upload) -> None:
        try:
            self._ask(upload, "abort the upload of", "abort_multipart_upload")
        except Gone:
            return

    def _ask(self, upload: Upload, action: str, request: str, **more: Any) -> dict[str, Any]:
        bucket, key = upload.target.bucket, upload.target.key
        with self._asking(upload, action):
            ask = getattr(self._connection.copier, request)
            answer: dict[str, Any] = ask(Bucket=bucket, Key=key, UploadId=upload.id, **more)
        return answer

    @contextmanager
    def _asking(self, upload: Upload, action: str) -> Iterator[None]:
        """Raises Gone where the upload is over; else as for every request."""
        bucket, key = upload.target.bucket, upload.target.key
        with self._connection.asking(action, bucket, key):
            try:
                yield
            except Exception as error:
                fault = fault_of(error)
                if fault is not None and fault.code == OVER:
                    raise Gone(f"{action} {bucket}/{key}: the upload is over") from error
                raise


class _Counted:
    """A body on its way: hashed, and held to its size."""

    def __init__(self, body: PartBody) -> None:
        self._body = body
        self.md5 = ""
        self.failure: Exception | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._counted()
        except Exception as error:
            self.failure = error
            raise

    def _counted(self) -> Iterator[bytes]:
        hasher, count = hashlib.md5(usedforsecurity=False), 0
        for chunk in self._body.open():
            count += len(chunk)
            if count > self._body.size:
                break
            hasher.update(chunk)
            yield chunk
        if count != self._body.size:
            raise ProofFailed(f"a part gave {count} of {self._body.size} bytes, or more")
        self.md5 = hasher.hexdigest()


def _is_of(
    found: ObjectInfo, upload: Upload, parts: Sequence[UploadedPart], *, by_etag: bool
) -> bool:
    etag = whole_etag({part.number: part for part in parts})
    return (
        found.size == sum(part.size for part in parts)
        and dict(found.metadata) == dict(upload.target.metadata)
        and (not by_etag or found.etag == etag)
    )


def _bare(etag: str) -> str:
    return etag.strip('"')
