"""Proof of what a store holds, from what it tells, or by reading it back."""

from __future__ import annotations

from bagline.errors import ProofFailed
from bagline.services.objects.base import Check, ObjectInfo, Proof, ProofMethod
from bagline.services.objects.checksums import is_md5, proves
from bagline.services.objects.reading import Reader


class Verifier:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def verify(self, bucket: str, check: Check, read_back: bool) -> Proof:
        info, told = self._reader.head_with_checksum(bucket, check.key)
        if info.size != check.size:
            raise ProofFailed(f"{bucket}/{check.key} has {info.size} bytes, not {check.size}")
        right = proves(told, check.sha256, check.part_sha256)
        if right is not None:
            return _proof(info, check, ProofMethod.STORE_SHA256, right)
        if check.md5 and is_md5(info.etag) and info.etag == check.md5.lower():
            return _proof(info, check, ProofMethod.STORE_MD5, True)
        if not read_back:
            raise ProofFailed(f"the store tells no digest that proves {bucket}/{check.key}")
        found = self._reader.sha256(info.bucket, info.key, info.size, info.etag)
        return _proof(info, check, ProofMethod.READ_BACK, found == check.sha256.lower())


def _proof(info: ObjectInfo, check: Check, how: ProofMethod, right: bool) -> Proof:
    if not right:
        raise ProofFailed(f"{info.bucket}/{info.key} holds other bytes ({how.value})")
    return Proof(info.bucket, info.key, info.size, info.etag, check.sha256.lower(), how)
