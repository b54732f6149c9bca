"""What every room measures and spells alike: sizes, and a path's text and bytes."""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB


def path_bytes(path: str) -> bytes:
    """The path as its bytes stand in a tar: UTF-8, but for what never was."""
    return path.encode("utf-8", "surrogateescape")


def path_text(raw: bytes | bytearray) -> str:
    """The reverse: a byte that is not UTF-8 becomes a lone surrogate (surrogateescape)."""
    return raw.decode("utf-8", "surrogateescape")
