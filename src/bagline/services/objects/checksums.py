"""Digests as stores write them: base64, composite over parts, MD5 ETags."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence


def from_hex(digest: str) -> str:
    """A hex digest as it stands in a store's headers."""
    return base64.b64encode(bytes.fromhex(digest)).decode()


def to_hex(told: str) -> str:
    """A digest out of a header, in hex; "" where it is a composite, or none."""
    if not told or "-" in told:
        return ""
    try:
        return base64.b64decode(told, validate=True).hex()
    except ValueError:
        return ""


def composite(part_digests: Sequence[str]) -> str:
    """What a store tells of an object made of parts with these SHA-256 (hex)."""
    joined = b"".join(bytes.fromhex(digest) for digest in part_digests)
    return f"{base64.b64encode(hashlib.sha256(joined).digest()).decode()}-{len(part_digests)}"


def md5_etags(md5: str, part_md5: Sequence[str] = ()) -> set[str]:
    """The ETags that only an object of these MD5s (hex) has: put at once, or copied in parts."""
    whole = {md5.lower(), composite_md5([md5])} if md5 else set()
    return whole | ({composite_md5(part_md5)} if part_md5 else set())


def composite_md5(part_digests: Sequence[str]) -> str:
    """The ETag of an object made of parts with these MD5s (hex), where the store makes it so."""
    joined = b"".join(bytes.fromhex(digest) for digest in part_digests)
    return f"{hashlib.md5(joined, usedforsecurity=False).hexdigest()}-{len(part_digests)}"


def proves(told: str, sha256: str, part_sha256: Sequence[str] = ()) -> bool | None:
    """Whether the SHA-256 a store tells is that of the bytes meant.

    `told` is of the whole object, or the composite of its parts. None where it says nothing
    of the whole: nothing told, or parts that are not known to lie as those of `part_sha256`.
    """
    if not told or not sha256:
        return None
    if "-" not in told:
        return to_hex(told) == sha256.lower()
    if told.endswith("-1"):
        return told == composite([sha256])
    return True if part_sha256 and told == composite(part_sha256) else None
