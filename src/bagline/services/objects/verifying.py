"""Proof of what a store holds, from what it tells, or by reading it back."""

from __future__ import annotations

import hashlib
import threading
from contextlib import AbstractContextManager, nullcontext

from bagline.errors import BrokenState, ProofFailed, Refused, SlowDown, Unreachable, Unreadable
from bagline.services.objects.base import Check, ObjectInfo, Proof, ProofMethod
from bagline.services.objects.checksums import is_md5, proves
from bagline.services.objects.classify import fault_of
from bagline.services.objects.connection import Connection
from bagline.services.objects.reading import PIECE_BYTES, Reader

LARGE_READS = 4
"""Objects above PIECE_BYTES that are read back at once: each has a window of its own in memory."""
ARCHIVED = "InvalidObjectState"
"""The code with which stores refuse to read what lies in an archive class."""


class Verifier:
    def __init__(self, connection: Connection, reader: Reader) -> None:
        self._connection = connection
        self._reader = reader
        self._large = threading.BoundedSemaphore(LARGE_READS)

    def verify(self, bucket: str, check: Check, read_back: bool) -> Proof:
        if check.must_read and 0 < check.size <= PIECE_BYTES:
            proof = self._read_small(bucket, check)
            if proof is not None:
                return proof
        info, told = self._connection.heads.head_with_checksum(bucket, check.key)
        if info.size != check.size:
            raise ProofFailed(f"{bucket}/{check.key} has {info.size} bytes, not {check.size}")
        word = _word(info, told, check)
        if check.must_read or (word is None and read_back):
            if not info.is_archived and (proof := self._read_back(info, check)) is not None:
                return proof
            return _proof(info, check, word or ProofMethod.STORE_SIZE)
        if word is None:
            raise ProofFailed(f"the store tells no digest that proves {bucket}/{check.key}")
        return _proof(info, check, word)

    def _read_small(self, bucket: str, check: Check) -> Proof | None:
        """The proof by one request; None where it takes another one to say what is wrong."""
        try:
            data, info = self._reader.small(bucket, check.key, check.size)
        except SlowDown:
            raise
        except Unreachable as fault:
            self._connection.heads.head(bucket, check.key)  # it is there, and the store answers
            raise Unreadable(f"{bucket}/{check.key} cannot be read: {fault}") from fault
        except (Refused, BrokenState):
            return None
        is_right = hashlib.sha256(data).hexdigest() == check.sha256.lower()
        if info.size != check.size or not is_right:
            return None
        return _proof(info, check, ProofMethod.READ_BACK)

    def _read_back(self, info: ObjectInfo, check: Check) -> Proof | None:
        """The proof; None where the store says only now that the object is archived."""
        place: AbstractContextManager[object] = nullcontext()
        if info.size > PIECE_BYTES:
            place = self._large
        try:
            with place:
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
    if check.md5 and is_md5(info.etag) and info.etag == check.md5.lower():
        return ProofMethod.STORE_MD5
    return None


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
