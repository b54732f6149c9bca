"""S3 and compatibles: obstore carries bytes, boto3 does what it alone speaks.

What each room does: `reading`, `writing`, `copying`, `verifying`, `keeping` (lists,
deletes, buckets), `locking` and `removing` (versions, locks, and deleting for good), `thawing`,
`probing`; `connection` holds the clients, `classify` their errors.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence

from bagline.errors import Locked, Refused, Unreachable
from bagline.services.objects.base import (
    PART_COPY_BYTES,
    Abilities,
    Body,
    Check,
    ObjectInfo,
    Objects,
    Proof,
    ProofMethod,
    RangeCopy,
    Target,
)
from bagline.services.objects.bulk import BulkObjects
from bagline.services.objects.connection import Connection, Endpoint, Keys
from bagline.services.objects.copying import Copier
from bagline.services.objects.frost import ThawAnswer
from bagline.services.objects.guards import BucketGuard, Lock
from bagline.services.objects.keeping import Keeper
from bagline.services.objects.parts import PartBody, Upload, UploadedPart
from bagline.services.objects.probing import Probe
from bagline.services.objects.reading import Reader
from bagline.services.objects.removing import Remover
from bagline.services.objects.thawing import Thawer
from bagline.services.objects.uploading import Uploader
from bagline.services.objects.verifying import Verifier
from bagline.services.objects.writing import Writer


class S3Objects(BulkObjects):
    """The first put or copy asks the store what it can prove (see `abilities`)."""

    def __init__(
        self,
        endpoint: str,
        access_key: str,
        secret_key: str,
        *,
        region: str = "us-east-1",
        allow_http: bool = False,
        connect_seconds: float = 5.0,
        silence_seconds: float = 30.0,
        part_copy_bytes: int = PART_COPY_BYTES,
        keys: Keys | None = None,
    ) -> None:
        """Connects at the first call; `keys`: see Connection. Raises Misconfigured when the
        endpoint is none."""
        endpoint_given = Endpoint(
            url=endpoint,
            access_key=access_key,
            secret_key=secret_key,
            region=region,
            allow_http=allow_http,
            connect_seconds=connect_seconds,
            silence_seconds=silence_seconds,
        )
        self._connection = Connection(endpoint_given, keys)
        super().__init__(self._connection.fan)
        self._reader = Reader(self._connection)
        self._keeper = Keeper(self._connection)
        self._remover = Remover(self._connection)
        self._thawer = Thawer(self._connection)
        self._writer = Writer(
            self._connection, self._reader, self._put_proof, self._keeper.abort_uploads
        )
        self._uploader = Uploader(self._connection)
        self._verifier = Verifier(self._connection, self._reader)
        self._copier = Copier(self._connection, self, self._reader, self._writer, part_copy_bytes)
        self._abilities: Abilities | None = None
        self._probing = threading.Lock()

    def __repr__(self) -> str:
        return f"S3Objects({self._connection.endpoint.url})"

    @property
    def realm(self) -> str:
        return self._connection.endpoint.realm

    def head(self, bucket: str, key: str) -> ObjectInfo:
        return self._connection.heads.head(bucket, key)

    def thaw(self, bucket: str, key: str, *, days: int, tier: str) -> ThawAnswer:
        return self._thawer.thaw(bucket, key, days, tier)

    def read(
        self, bucket: str, key: str, *, start: int = 0, length: int | None = None, etag: str = ""
    ) -> bytes:
        return self._reader.read(bucket, key, start, length, etag)

    def stream(
        self, bucket: str, key: str, *, start: int = 0, length: int | None = None, etag: str = ""
    ) -> Iterator[bytes]:
        return self._reader.stream(bucket, key, start, length, etag)

    def put(self, body: Body) -> Proof:
        return self._writer.put(body)

    def put_stream(
        self, target: Target, chunks: Iterable[bytes], *, size: int, sha256: str
    ) -> Proof:
        return self._writer.put_stream(target, chunks, size, sha256)

    def copy_range(self, copy: RangeCopy, *, source: Objects | None = None) -> Proof:
        return self._copier.copy_range(copy, source)

    def verify(self, bucket: str, check: Check, *, read_back: bool = True) -> Proof:
        return self._verifier.verify(bucket, check, read_back)

    def guard(self, bucket: str) -> BucketGuard:
        return self._remover.guard(bucket)

    def locks_many(
        self, bucket: str, keys: Sequence[str]
    ) -> list[Lock | Unreachable | Refused | None]:
        return self._remover.locks_many(bucket, keys)

    def delete_for_good(
        self, bucket: str, keys: Sequence[str]
    ) -> list[Unreachable | Refused | Locked | None]:
        return self._remover.delete_for_good(bucket, keys)

    def remain_many(self, bucket: str, keys: Sequence[str]) -> list[bool | Unreachable | Refused]:
        return self._remover.remain_many(bucket, keys)

    def list(
        self, bucket: str, prefix: str = "", *, top_level: bool = False
    ) -> Iterator[ObjectInfo]:
        return self._keeper.list(bucket, prefix, top_level)

    def delete(self, bucket: str, key: str, *, etag: str = "") -> None:
        self._keeper.delete(bucket, key, etag)

    def delete_many(self, bucket: str, keys: Iterable[str]) -> int:
        return self._keeper.delete_many(bucket, keys)

    def abort_uploads(self, bucket: str, prefix: str, *, is_key: bool = False) -> int:
        return self._keeper.abort_uploads(bucket, prefix, is_key=is_key)

    def begin_upload(self, target: Target) -> Upload:
        return self._uploader.begin(target)

    def uploaded_parts(self, upload: Upload) -> dict[int, UploadedPart]:
        return self._uploader.parts(upload)

    def put_part(self, upload: Upload, number: int, body: bytes | PartBody) -> UploadedPart:
        return self._uploader.put(upload, number, body)

    def complete_upload(self, upload: Upload, parts: Sequence[UploadedPart]) -> ObjectInfo:
        return self._uploader.complete(upload, parts)

    def abort_upload(self, upload: Upload) -> None:
        self._uploader.abort(upload)

    def ensure_bucket(self, bucket: str) -> None:
        self._keeper.ensure_bucket(bucket)

    def has_bucket(self, bucket: str) -> bool:
        return self._connection.has_bucket(bucket)

    def abilities(self, bucket: str) -> Abilities:
        with self._probing:
            if self._abilities is None:
                self._abilities = Probe(self._connection, bucket).ask()
            return self._abilities

    def _put_proof(self, bucket: str) -> ProofMethod:
        return self.abilities(bucket).put_proof

    def close(self) -> None:
        self._connection.close()
