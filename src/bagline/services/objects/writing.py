"""Writing: small bodies, many at once; and streams, in parts, in bounded memory."""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import obstore

from bagline.errors import BaglineError, ProofFailed
from bagline.services.objects.base import Body, Proof, ProofMethod, Target
from bagline.services.objects.connection import Connection
from bagline.services.objects.names import check_target
from bagline.services.objects.places import waited_for
from bagline.services.objects.reading import Reader
from bagline.units import MIB

PART_BYTES = 8 * MIB
PARTS = 9_000
"""S3 allows 10,000 parts an object; larger objects get larger parts."""
SINGLE_PUT_BYTES = 16 * MIB
"""Streams up to so many bytes go in one request: then the store tells their whole SHA-256."""
PARTS_IN_FLIGHT = 3
STREAMS_IN_FLIGHT = 2
"""Streams in parts that one store takes at once: each holds some 64 MiB of its source and parts."""

PutProof = Callable[[str], ProofMethod]
"""How the store proves a put; asked with a bucket in which it may be tried."""


class Abort(Protocol):
    """Ends unfinished uploads of a bucket: `Objects.abort_uploads`."""

    def __call__(self, bucket: str, prefix: str, *, is_key: bool) -> int: ...


class Writer:
    def __init__(
        self, connection: Connection, reader: Reader, put_proof: PutProof, abort_uploads: Abort
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._put_proof = put_proof
        self._abort_uploads = abort_uploads
        self._streams = threading.Semaphore(STREAMS_IN_FLIGHT)

    def put(self, body: Body) -> Proof:
        """The store verifies the SHA-256 that goes with the request, on arrival."""
        target = body.target
        check_target(target)
        digest = hashlib.sha256(body.data).hexdigest()
        if body.sha256 and digest != body.sha256.lower():
            raise ProofFailed(f"put {target.bucket}/{target.key}: {_other(digest, body.sha256)}")
        how = self._put_proof(target.bucket)
        size = memoryview(body.data).nbytes
        with self._connection.asking("put", target.bucket, target.key):
            answer = obstore.put(
                self._connection.store(target.bucket),
                target.key,
                body.data,
                attributes=attributes(target),
                use_multipart=False,
            )
        proof = Proof(
            target.bucket, target.key, size, (answer["e_tag"] or "").strip('"'), digest, how
        )
        if how is ProofMethod.STORE_MD5:
            md5 = hashlib.md5(body.data, usedforsecurity=False).hexdigest()
            self._insist(proof, proof.etag == md5)
        elif how is ProofMethod.READ_BACK:
            self._read_back(proof)
        return proof

    def _read_back(self, proof: Proof) -> None:
        found = self._reader.sha256(proof.bucket, proof.key, proof.size, proof.etag)
        self._insist(proof, found == proof.sha256)

    def _insist(self, proof: Proof, right: bool) -> None:
        if not right:
            with self._connection.asking("delete", proof.bucket, proof.key):
                self._connection.boto.delete_object(Bucket=proof.bucket, Key=proof.key)
            raise ProofFailed(
                f"put {proof.bucket}/{proof.key}: the store holds other bytes ({proof.how.value}); "
                "they were removed"
            )

    def put_stream(
        self,
        target: Target,
        chunks: Iterable[bytes],
        size: int,
        sha256: str,
        *,
        moved: Callable[[], object] = lambda: None,
    ) -> Proof:
        check_target(target)
        checked = _Checked(target, chunks, size, sha256)
        if size <= SINGLE_PUT_BYTES:
            return self.put(Body(target, b"".join(checked), sha256))
        how = self._put_proof(target.bucket)
        try:
            with (
                waited_for(self._streams, moved),
                self._connection.asking("put", target.bucket, target.key),
            ):
                answer = obstore.put(
                    self._connection.store(target.bucket),
                    target.key,
                    iter(checked),
                    attributes=attributes(target),
                    use_multipart=True,
                    chunk_size=part_bytes(size),
                    max_concurrency=parts_in_flight(size),
                )
        except BaseException:
            self._clear(target)
            if checked.failure is not None:  # the source's own, not in the client's words
                raise checked.failure from None
            raise
        etag = (answer["e_tag"] or "").strip('"')
        if how is not ProofMethod.STORE_SHA256:  # the ETag of parts is no MD5
            how = ProofMethod.READ_BACK
        proof = Proof(target.bucket, target.key, size, etag, checked.digest, how)
        if how is ProofMethod.READ_BACK:
            self._read_back(proof)
        return proof

    def _clear(self, target: Target) -> None:
        """The client aborts the upload by itself, but not after its last part has ended: a
        store may then have the upload again. Whoever begins anew sweeps what this leaves."""
        with contextlib.suppress(BaglineError):
            self._abort_uploads(target.bucket, target.key, is_key=True)


class _Checked:
    """Chunks on their way to the store: counted and hashed, and stopped when they are wrong.

    A source that raises makes the client abort the upload: nothing is left at the key.
    """

    def __init__(self, target: Target, chunks: Iterable[bytes], size: int, sha256: str) -> None:
        self._what = f"put {target.bucket}/{target.key}"
        self._chunks, self._size, self._sha256 = chunks, size, sha256.lower()
        self.digest = ""
        self.failure: BaseException | None = None

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._checked()
        except GeneratorExit:
            raise
        except BaseException as error:
            self.failure = error
            raise

    def _checked(self) -> Iterator[bytes]:
        hasher, count = hashlib.sha256(), 0
        for chunk in self._chunks:
            count += len(chunk)
            if count > self._size:
                raise ProofFailed(f"{self._what}: more than the {self._size} bytes announced")
            hasher.update(chunk)
            yield chunk
        self.digest = hasher.hexdigest()
        if count != self._size:
            raise ProofFailed(f"{self._what}: {count} of the {self._size} bytes announced")
        if self._sha256 and self.digest != self._sha256:
            raise ProofFailed(f"{self._what}: {_other(self.digest, self._sha256)}")


def attributes(target: Target) -> dict[str, Any]:
    return {"Content-Type": target.content_type, **target.metadata}


def part_bytes(size: int) -> int:
    """Whole MiB, so that the object has at most PARTS parts."""
    least = -(-size // PARTS)
    return max(PART_BYTES, -(-least // MIB) * MIB)


def parts_in_flight(size: int) -> int:
    """Fewer where an object of that size must have large parts."""
    return max(1, PARTS_IN_FLIGHT * PART_BYTES // part_bytes(size))


def _other(found: str, meant: str) -> str:
    return f"the bytes hash to SHA-256 {found}, not {meant}"
