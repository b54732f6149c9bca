"""Digests as stores write them: base64, composite over parts, MD5 ETags."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence

_MD5 = re.compile(r"[0-9a-f]{32}")


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


def is_md5(etag: str) -> bool:
    """Whether the ETag can be an MD5 (it need not: encrypted objects have others)."""
    return bool(_MD5.fullmatch(etag))
