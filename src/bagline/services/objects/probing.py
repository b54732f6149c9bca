"""What a store can prove, found by asking it to; never assumed from its name."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from concurrent.futures import Future, wait
from datetime import timedelta
from typing import Any

from bagline.errors import BaglineError, Refused, Unreachable
from bagline.services.objects.base import Abilities, ProofMethod
from bagline.services.objects.checksums import from_hex, is_md5, proves
from bagline.services.objects.classify import fault_of
from bagline.services.objects.connection import Connection

PREFIX = "bagline-probe/"
QUESTIONS = 4
"""Asked at once."""
BYTES = b"Bagline asks what this store can prove.\n"


class Probe:
    """One asking of one store, in one bucket; cleans up after itself, and after those that
    died `left_seconds` ago or earlier before they could."""

    def __init__(self, connection: Connection, bucket: str, left_seconds: float = 3600.0) -> None:
        self._connection = connection
        self._bucket = bucket
        self._left_seconds = left_seconds
        self._name = PREFIX + secrets.token_hex(8)
        self._remarks: list[str] = []

    def ask(self) -> Abilities:
        put_key, copy_key, bad_key = (f"{self._name}-{what}" for what in ("put", "copy", "bad"))
        with self._connection.small_pool(QUESTIONS) as pool:
            try:
                self._put(put_key, BYTES)
                head_tells = pool.submit(self._head_tells, put_key)
                put_proof = pool.submit(self._put_proof, put_key, bad_key)
                copy_proof = pool.submit(self._copy_proof, put_key, copy_key)
                swept = pool.submit(self._sweep)
                asked: list[Future[Any]] = [head_tells, put_proof, copy_proof, swept]
                wait(asked)
            finally:
                list(pool.map(self._remove, (put_key, copy_key, bad_key)))
        found = put_proof.result(), copy_proof.result(), head_tells.result()
        return Abilities(*found, remarks=tuple(sorted(self._remarks)))

    def _put(self, key: str, data: bytes, digest: str = "") -> None:
        with self._connection.asking("probe", self._bucket, key):
            self._connection.boto.put_object(
                Bucket=self._bucket,
                Key=key,
                Body=data,
                ContentType="text/plain",
                ChecksumSHA256=digest or from_hex(hashlib.sha256(data).hexdigest()),
            )

    def _head_tells(self, key: str) -> bool:
        _, told = self._connection.heads.head_with_checksum(self._bucket, key)
        tells = bool(proves(told, hashlib.sha256(BYTES).hexdigest()))
        if not tells:
            self._remarks.append("HEAD tells no SHA-256: copies are verified by reading them back")
        return tells

    def _refuses_wrong_digest(self, key: str) -> bool:
        try:
            self._put(key, BYTES, from_hex(hashlib.sha256(b"other").hexdigest()))
        except BaglineError as error:
            fault = fault_of(error.__cause__) if error.__cause__ else None
            if fault is None or fault.status != 400:
                raise
            return True
        self._remarks.append("PUT takes a body whose SHA-256 is not the one sent with it")
        return False

    def _put_proof(self, key: str, bad_key: str) -> ProofMethod:
        if self._refuses_wrong_digest(bad_key):
            return ProofMethod.STORE_SHA256
        etag = self._connection.heads.head(self._bucket, key).etag
        md5 = hashlib.md5(BYTES, usedforsecurity=False).hexdigest()
        return ProofMethod.STORE_MD5 if etag == md5 else ProofMethod.READ_BACK

    def _copy_proof(self, source: str, key: str) -> ProofMethod | None:
        """The store is asked to copy the probe's bytes but the first and the last."""
        try:
            told = self._copy_part(source, key)
        except Unreachable:
            raise
        except (BaglineError, KeyError) as error:
            self._remarks.append(f"UploadPartCopy does not work here ({error}): files are streamed")
            return None
        inner = BYTES[1:-1]
        if told.get("ChecksumSHA256") == from_hex(hashlib.sha256(inner).hexdigest()):
            return ProofMethod.STORE_SHA256
        if told.get("ChecksumSHA256"):
            self._remarks.append("UploadPartCopy answers a false SHA-256: files are streamed")
            return None
        etag = told.get("ETag", "").strip('"')
        if is_md5(etag) and etag == hashlib.md5(inner, usedforsecurity=False).hexdigest():
            self._remarks.append("UploadPartCopy answers an MD5, and no SHA-256")
            return ProofMethod.STORE_MD5
        self._remarks.append("UploadPartCopy answers no digest: files are streamed")
        return None

    def _copy_part(self, source: str, key: str) -> dict[str, str]:
        where = {"Bucket": self._bucket, "Key": key}
        with self._connection.asking("probe", self._bucket, key):
            upload = self._connection.boto.create_multipart_upload(
                **where, ChecksumAlgorithm="SHA256"
            )
            try:
                answer: dict[str, str] = self._connection.boto.upload_part_copy(
                    **where,
                    UploadId=upload["UploadId"],
                    PartNumber=1,
                    CopySource={"Bucket": self._bucket, "Key": source},
                    CopySourceRange=f"bytes=1-{len(BYTES) - 2}",
                )["CopyPartResult"]
            finally:
                self._connection.boto.abort_multipart_upload(**where, UploadId=upload["UploadId"])
        return answer

    def _sweep(self) -> None:
        """What may not be listed here may also be left."""
        with (
            contextlib.suppress(BaglineError),
            self._connection.asking("probe", self._bucket, PREFIX),
        ):
            page = self._connection.boto.list_objects_v2(Bucket=self._bucket, Prefix=PREFIX)
            found = {each["Key"]: each["LastModified"] for each in page.get("Contents", [])}
            now = max(found.values(), default=None)  # the store's clock: this probe's own object
            if now is None:
                return
            for key, moment in found.items():
                if self._is_left(key, now - moment):
                    self._remove(key)
            page = self._connection.boto.list_multipart_uploads(Bucket=self._bucket, Prefix=PREFIX)
            for each in page.get("Uploads", []):
                if self._is_left(each["Key"], now - each["Initiated"]):
                    self._connection.boto.abort_multipart_upload(
                        Bucket=self._bucket, Key=each["Key"], UploadId=each["UploadId"]
                    )

    def _is_left(self, key: str, age: timedelta) -> bool:
        """By a probe that died: not by this one, nor by one that may still be asking."""
        is_probes = key.startswith(PREFIX) and not key.startswith(self._name)
        return is_probes and age.total_seconds() >= self._left_seconds

    def _remove(self, key: str) -> None:
        try:
            with self._connection.asking("probe", self._bucket, key):
                self._connection.boto.delete_object(Bucket=self._bucket, Key=key)
        except Refused:
            self._remarks.append(f"the probe's object {key} could not be removed")
        except BaglineError:
            self._remarks.append(f"the probe's object {key} may be left")
