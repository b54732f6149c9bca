"""Proof of what a store holds, from what it tells, or by reading it back."""

from __future__ import annotations

from bagline.errors import ProofFailed
from bagline.services.objects.base import ObjectInfo, Proof, ProofMethod
from bagline.services.objects.checksums import is_md5, proves
from bagline.services.objects.reading import Reader


class Verifier:
    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def verify(self, bucket: str, key: str, size: int, sha256: str, md5: str) -> Proof:
        info, told = self._reader.head_with_checksum(bucket, key)
        if info.size != size:
            raise ProofFailed(f"{bucket}/{key} has {info.size} bytes, not {size}")
        return self._prove(info, told, sha256.lower(), md5.lower())

    def _prove(self, info: ObjectInfo, told: str, sha256: str, md5: str) -> Proof:
        right = proves(told, sha256)
        if right is not None:
            return self._proof(info, sha256, ProofMethod.STORE_SHA256, right)
        if md5 and is_md5(info.etag) and info.etag == md5:
            return self._proof(info, sha256, ProofMethod.STORE_MD5, True)
        found = self._reader.sha256(info.bucket, info.key, info.size, info.etag)
        return self._proof(info, sha256, ProofMethod.READ_BACK, found == sha256)

    def _proof(self, info: ObjectInfo, sha256: str, how: ProofMethod, right: bool) -> Proof:
        if not right:
            raise ProofFailed(f"{info.bucket}/{info.key} holds other bytes ({how.value})")
        return Proof(info.bucket, info.key, info.size, info.etag, sha256, how)
