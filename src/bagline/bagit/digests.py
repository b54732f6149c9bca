"""The four digests of every file: their names, lengths and forms."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Protocol

LENGTHS = {"md5": 16, "sha1": 20, "sha256": 32, "sha512": 64}
"""Bytes of each digest, in the order of model.ingest.DIGEST_ALGORITHMS."""

DIGESTS_BYTES = sum(LENGTHS.values())

SLICES: dict[str, slice] = {}
"""Where each digest stands in the joined bytes (`Digests`)."""

_start = 0
for _name, _length in LENGTHS.items():
    SLICES[_name] = slice(_start, _start + _length)
    _start += _length

Digests = bytes
"""The digests of one file joined in that order: DIGESTS_BYTES bytes."""


class Hash(Protocol):
    def update(self, data: memoryview, /) -> None: ...
    def digest(self) -> bytes: ...


def new_hash(algorithm: str) -> Hash:
    """A hash for fixity, not for security (so that FIPS builds allow md5)."""
    made: Hash = hashlib.new(algorithm, usedforsecurity=False)
    return made


_md5: Callable[..., Any] = hashlib.md5
_sha1: Callable[..., Any] = hashlib.sha1
_sha256: Callable[..., Any] = hashlib.sha256
_sha512: Callable[..., Any] = hashlib.sha512


def digests_of(data: bytes | memoryview) -> Digests:
    """The digests of bytes at hand."""
    return bytes(
        _md5(data, usedforsecurity=False).digest()
        + _sha1(data, usedforsecurity=False).digest()
        + _sha256(data).digest()
        + _sha512(data).digest()
    )


NO_BYTES = digests_of(b"")


def as_hex(digests: Digests) -> dict[str, str]:
    """Algorithm → lower-case hex, in the order of DIGEST_ALGORITHMS."""
    return {
        "md5": digests[:16].hex(),
        "sha1": digests[16:36].hex(),
        "sha256": digests[36:68].hex(),
        "sha512": digests[68:].hex(),
    }


def from_hex(digests: dict[str, str]) -> Digests:
    """The reverse of `as_hex`. Raises KeyError or ValueError when one is missing or no hex."""
    return b"".join(bytes.fromhex(digests[name]) for name in LENGTHS)
