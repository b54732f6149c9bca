"""Digests: the four of every file, and those that are calculated where a manifest names them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Any, Protocol

LENGTHS = {"md5": 16, "sha1": 20, "sha256": 32, "sha512": 64}
"""Bytes of each digest, in the order of model.ingest.DIGEST_ALGORITHMS."""

FURTHER_LENGTHS = {
    "sha224": 28,
    "sha384": 48,
    "sha3224": 28,
    "sha3256": 32,
    "sha3384": 48,
    "sha3512": 64,
    "blake2b": 64,
    "blake2b160": 20,
    "blake2b256": 32,
    "blake2b384": 48,
    "blake2b512": 64,
    "blake2s": 32,
    "blake2s128": 16,
    "blake2s160": 20,
    "blake2s224": 28,
    "blake2s256": 32,
}
"""Bytes of digests that Python always has, by the names that RFC 8493 (section 2.4) gives them."""

KNOWN_LENGTHS = LENGTHS | FURTHER_LENGTHS

PREFERRED = ("sha256", "sha512", "sha1", "md5")
"""Of a preserved file's digests the first that the Registry has is what its copies are compared
with."""

DIGESTS_BYTES = sum(LENGTHS.values())

SLICES: dict[str, slice] = {}
"""Where each digest stands in the joined bytes (`Digests`)."""

_start = 0
for _name, _length in LENGTHS.items():
    SLICES[_name] = slice(_start, _start + _length)
    _start += _length

UNKNOWN_JUDGED = 4


def judged(algorithms: Iterable[str]) -> list[str]:
    """Of algorithms that manifests of one kind name, in any case, those whose lines are looked at,
    in lower case: all that are known, and the first few others. (A bag is rejected for any other.)
    """
    names = list(dict.fromkeys(name.lower() for name in algorithms))
    others = set(sorted(name for name in names if name not in KNOWN_LENGTHS)[:UNKNOWN_JUDGED])
    return [name for name in names if name in KNOWN_LENGTHS or name in others]


Digests = bytes
"""The digests of one file joined in that order: DIGESTS_BYTES bytes."""


_SHA3 = re.compile(r"sha3(\d{3})")


class Hash(Protocol):
    def update(self, data: memoryview, /) -> None: ...
    def digest(self) -> bytes: ...


def new_hash(algorithm: str) -> Hash:
    """A hash of KNOWN_LENGTHS for fixity, not for security (so that FIPS builds allow md5)."""
    made: Hash
    if algorithm.startswith("blake2"):
        make = hashlib.blake2b if algorithm.startswith("blake2b") else hashlib.blake2s
        made = make(digest_size=FURTHER_LENGTHS[algorithm], usedforsecurity=False)
    else:
        name = _SHA3.sub(r"sha3_\1", algorithm)
        made = hashlib.new(name, usedforsecurity=False)
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
