"""What may be sent as a key or as metadata; looked at before anything is sent.

The client library panics on some of it, trims or loses other, and stores normalise the
rest: what is stored must be what was meant.
"""

from __future__ import annotations

import re

from bagline.services.objects.base import Target

KEY_BYTES = 1_024
METADATA_BYTES = 2_048
"""S3's limit on user metadata, names and values together."""
PROBES = "bagline-probe/"
"""Under it lies what is written to try a bucket, for a moment."""

_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, and halves of characters."""
_NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_.")


def check_key(key: str) -> None:
    """Raises ValueError for keys that do not name one object on every store."""
    if not key:
        raise ValueError("an empty key")
    segments = key.split("/")
    if "" in segments or "." in segments or ".." in segments:
        raise ValueError(f"the key {key!r} has an empty, '.' or '..' segment")
    if _UNFIT.search(key):
        raise ValueError(f"the key {key!r} has a control character, or is not Unicode")
    if len(key.encode()) > KEY_BYTES:
        raise ValueError(f"the key {key[:40]!r}… has more than {KEY_BYTES} bytes")


def check_target(target: Target) -> None:
    """Raises ValueError where key, content type or metadata would not arrive as they are."""
    check_key(target.key)
    if not target.content_type or not _arrives(target.content_type):
        raise ValueError(f"{target.key}: content type {target.content_type!r}")
    for name, value in target.metadata.items():
        if not name or not _NAME_CHARACTERS.issuperset(name):
            raise ValueError(f"{target.key}: metadata name {name!r}")
        if not value or not _arrives(value):
            raise ValueError(
                f"{target.key}: the metadata value {name}={value!r} is not printable ASCII "
                "without leading, trailing or double spaces"
            )
    if sum(len(n) + len(v) for n, v in target.metadata.items()) > METADATA_BYTES:
        raise ValueError(f"{target.key}: more than {METADATA_BYTES} bytes of metadata")


def _arrives(value: str) -> bool:
    """Whether a header brings it through unchanged, on every store."""
    return (
        value.isascii() and value.isprintable() and value == value.strip(" ") and "  " not in value
    )
