"""Proof of what a store holds, from what it tells, or by reading it back."""

from __future__ import annotations

from bagline.errors import (
    BrokenState,
    ProofFailed,
    Refused,
    Replaced,
    SlowDown,
    Unreachable,
    Unreadable,
)
from bagline.services.objects.base import Check, ObjectInfo, Proof, ProofMethod
from bagline.services.objects.checksums import md5_etags, proves
from bagline.services.objects.classify import fault_of
from bagline.services.objects.connection import Connection
from bagline.services.objects.reading import Reader

ARCHIVED = "InvalidObjectState"
"""The code with which stores refuse to read what lies in an archive class."""


class Verifier:
    def __init__(self, connection: Connection, reader: Reader) -> None:
        self._connection = connection
        self._reader = reader
        self._archives = set[str]()
        """Buckets in which something archived was found: there a HEAD is asked for first."""

    def verify(self, bucket: str, check: Check, read_back: bool) -> Proof:
        if check.must_read and check.size and bucket not in self._archives:
            proof = self._read_at_once(bucket, check)
            if proof is not None:
                return proof
        info, told = self._connection.heads.head_with_checksum(bucket, check.key)
        if info.size != check.size:
            raise ProofFailed(f"{bucket}/{check.key} has {info.size} bytes, not {check.size}")
        word = _word(info, told, check)
        if info.is_archived:
            self._archives.add(bucket)
        if check.must_read or (word is None and read_back):
            if not info.is_archived and (proof := self._read_back(info, check)) is not None:
                return proof
            return _proof(info, check, word or ProofMethod.STORE_SIZE)
        if word is None:
            raise ProofFailed(f"the store tells no digest that proves {bucket}/{check.key}")
        return _proof(info, check, word)

    def _read_at_once(self, bucket: str, check: Check) -> Proof | None:
        """The proof by GETs alone; None where it takes another request to say what is wrong."""
        try:
            info, digest = self._reader.told_and_hashed(
                bucket, check.key, check.size, moved=check.moved
            )
        except SlowDown:
            raise
        except Unreachable as fault:
            self._connection.heads.head(bucket, check.key)  # it is there, and the store answers
            raise Unreadable(f"{bucket}/{check.key} cannot be read: {fault}") from fault
        except (Refused, BrokenState, Replaced):
            return None
        if info.size != check.size or digest != check.sha256.lower():
            return None
        return _proof(info, check, ProofMethod.READ_BACK)

    def _read_back(self, info: ObjectInfo, check: Check) -> Proof | None:
        """The proof; None where the store says only now that the object is archived."""
        try:
            found = self._reader.sha256(
                info.bucket, info.key, info.size, info.etag, moved=check.moved
            )
        except Refused as fault:
            said = fault_of(fault.__cause__) if fault.__cause__ else None
            if said is None or said.code != ARCHIVED:
                raise
            return None
        except SlowDown:
            raise
        except Unreachable as fault:
            raise Unreadable(f"{info.bucket}/{info.key} cannot be read: {fault}") from fault
        if found != check.sha256.lower():
            raise _others(info, ProofMethod.READ_BACK)
        return _proof(info, check, ProofMethod.READ_BACK)


def _word(info: ObjectInfo, told: str, check: Check) -> ProofMethod | None:
    """By which digest the store says that these are the bytes; None where it says nothing of
    them. Raises ProofFailed where it says that they are others."""
    right = proves(told, check.sha256, check.part_sha256)
    if right is False:
        raise _others(info, ProofMethod.STORE_SHA256)
    if right:
        return ProofMethod.STORE_SHA256
    return ProofMethod.STORE_MD5 if info.etag in md5_etags(check.md5, check.part_md5) else None


def _others(info: ObjectInfo, how: ProofMethod) -> ProofFailed:
    return ProofFailed(f"{info.bucket}/{info.key} holds other bytes ({how.value})")


def _proof(info: ObjectInfo, check: Check, how: ProofMethod) -> Proof:
    return Proof(
        info.bucket,
        info.key,
        info.size,
        info.etag,
        check.sha256.lower(),
        how,
        stored_at=info.last_modified,
    )
