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
from bagline.services.objects.checksums import from_hex, proves
from bagline.services.objects.classify import fault_of
from bagline.services.objects.connection import Connection
from bagline.services.objects.names import PROBES

QUESTIONS = 4
"""Asked at once."""
BYTES = b"Bagline asks what this store can prove.\n"

_FROM_WORST = (None, ProofMethod.READ_BACK, ProofMethod.STORE_MD5, ProofMethod.STORE_SHA256)
_REMARKS = {
    None: "the store makes no copies by itself: files are streamed",
    ProofMethod.READ_BACK: "UploadPartCopy answers no digest: each copy is read back once",
    ProofMethod.STORE_MD5: "UploadPartCopy answers an MD5, and no SHA-256",
    ProofMethod.STORE_SHA256: "UploadPartCopy answers the SHA-256 when it is not asked for",
}


class _FalseDigest(Exception):
    """The store tells of a copy what is not so."""


class Probe:
    """One asking of one store, in one bucket; cleans up after itself, and after those that
    died `left_seconds` ago or earlier before they could."""

    def __init__(self, connection: Connection, bucket: str, left_seconds: float = 3600.0) -> None:
        self._connection = connection
        self._bucket = bucket
        self._left_seconds = left_seconds
        self._name = PROBES + secrets.token_hex(8)
        self._remarks: list[str] = []

    def ask(self) -> Abilities:
        put_key, copy_key, bad_key = (f"{self._name}-{what}" for what in ("put", "copy", "bad"))
        with self._connection.small_pool(QUESTIONS) as pool:
            try:
                self._put(put_key, BYTES)
                head_tells = pool.submit(self._head_tells, put_key)
                put_proof = pool.submit(self._put_proof, put_key, bad_key)
                copies = pool.submit(self._copies, put_key, copy_key)
                swept = pool.submit(self._sweep)
                asked: list[Future[Any]] = [head_tells, put_proof, copies, swept]
                wait(asked)
            finally:
                list(pool.map(self._remove, (put_key, copy_key, bad_key)))
        proven, asks_sha256 = copies.result()
        return Abilities(
            put_proof=put_proof.result(),
            range_copy_proof=proven,
            copies_ask_sha256=asks_sha256,
            head_tells_sha256=head_tells.result(),
            remarks=tuple(sorted(self._remarks)),
        )

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

    def _copies(self, source: str, key: str) -> tuple[ProofMethod | None, bool]:
        """The best proof of the store's own copies, and whether it gives it when it is asked for
        their SHA-256, or when it is not."""
        asked = self._copy_proof(source, key, asks_sha256=True)
        found = asked, True
        if asked is not ProofMethod.STORE_SHA256:
            plain = self._copy_proof(source, key, asks_sha256=False)
            if _FROM_WORST.index(plain) > _FROM_WORST.index(asked):
                found = plain, False
            self._remarks.append(_REMARKS[found[0]])
        return found

    def _copy_proof(self, source: str, key: str, *, asks_sha256: bool) -> ProofMethod | None:
        """What proves such a copy; None where the store makes none."""
        where = {"Bucket": self._bucket, "Key": key}
        try:
            with self._connection.asking("probe", self._bucket, key):
                upload = self._connection.boto.create_multipart_upload(
                    **where, **({"ChecksumAlgorithm": "SHA256"} if asks_sha256 else {})
                )["UploadId"]
                try:
                    return self._copy_part(source, {**where, "UploadId": upload}, asks_sha256)
                except BaseException:
                    with contextlib.suppress(Exception):  # what is left is swept by the next probe
                        self._connection.boto.abort_multipart_upload(**where, UploadId=upload)
                    raise
        except (BaglineError, KeyError, _FalseDigest) as error:
            if isinstance(error, Unreachable) and not _is_answer(error):
                raise
            how = "asked for its SHA-256" if asks_sha256 else "not asked for a digest"
            self._remarks.append(f"UploadPartCopy does not work when {how} ({error})")
            return None

    def _copy_part(self, source: str, upload: dict[str, str], asks_sha256: bool) -> ProofMethod:
        """The whole way of a copy: of the probe's bytes but the first and the last."""
        inner = BYTES[1:-1]
        digest = from_hex(hashlib.sha256(inner).hexdigest())
        told: dict[str, str] = self._connection.boto.upload_part_copy(
            **upload,
            PartNumber=1,
            CopySource={"Bucket": self._bucket, "Key": source},
            CopySourceRange=f"bytes=1-{len(inner)}",
        )["CopyPartResult"]
        if told.get("ChecksumSHA256", digest) != digest:
            raise _FalseDigest("it answers a false SHA-256")
        part = {"PartNumber": 1, "ETag": told["ETag"]}
        if asks_sha256:
            part["ChecksumSHA256"] = digest
        self._connection.boto.complete_multipart_upload(**upload, MultipartUpload={"Parts": [part]})
        if told.get("ChecksumSHA256"):
            return ProofMethod.STORE_SHA256
        is_md5 = told["ETag"].strip('"') == hashlib.md5(inner, usedforsecurity=False).hexdigest()
        return ProofMethod.STORE_MD5 if is_md5 else ProofMethod.READ_BACK

    def _sweep(self) -> None:
        """What may not be listed here may also be left."""
        with (
            contextlib.suppress(BaglineError),
            self._connection.asking("probe", self._bucket, PROBES),
        ):
            page = self._connection.boto.list_objects_v2(Bucket=self._bucket, Prefix=PROBES)
            found = {each["Key"]: each["LastModified"] for each in page.get("Contents", [])}
            now = max(found.values(), default=None)  # the store's clock: this probe's own object
            if now is None:
                return
            for key, moment in found.items():
                if self._is_left(key, now - moment):
                    self._remove(key)
            page = self._connection.boto.list_multipart_uploads(Bucket=self._bucket, Prefix=PROBES)
            for each in page.get("Uploads", []):
                if self._is_left(each["Key"], now - each["Initiated"]):
                    self._connection.boto.abort_multipart_upload(
                        Bucket=self._bucket, Key=each["Key"], UploadId=each["UploadId"]
                    )

    def _is_left(self, key: str, age: timedelta) -> bool:
        """By a probe that died: not by this one, nor by one that may still be asking."""
        is_probes = key.startswith(PROBES) and not key.startswith(self._name)
        return is_probes and age.total_seconds() >= self._left_seconds

    def _remove(self, key: str) -> None:
        try:
            with self._connection.asking("probe", self._bucket, key):
                self._connection.boto.delete_object(Bucket=self._bucket, Key=key)
        except Refused:
            self._remarks.append(f"the probe's object {key} could not be removed")
        except BaglineError:
            self._remarks.append(f"the probe's object {key} may be left")


def _is_answer(fault: BaglineError) -> bool:
    """Whether the store answered so, and would again: elsewhere it is worth another try."""
    said = fault_of(fault.__cause__) if fault.__cause__ else None
    return said is not None and 400 <= (said.status or 0) < 500 and said.status not in (408, 429)
