"""What every room measures and spells alike: sizes, and a path's text and bytes."""

from __future__ import annotations

from urllib.parse import quote, unquote_to_bytes

KIB = 1024
MIB = 1024 * KIB


def path_bytes(path: str) -> bytes:
    """The path as its bytes stand in a tar: UTF-8, but for what never was."""
    return path.encode("utf-8", "surrogateescape")


def path_text(raw: bytes | bytearray) -> str:
    """The reverse: a byte that is not UTF-8 becomes a lone surrogate (surrogateescape)."""
    return raw.decode("utf-8", "surrogateescape")


def spelled_path(path: str) -> str:
    """The path as everybody can read and keep it: bytes that are not UTF-8 stand there as `\\xNN`,
    as letters of a name may, too."""
    return path if path.isascii() else path_bytes(path).decode("utf-8", "backslashreplace")


def raw_path(path: str) -> str:
    """The path's bytes, percent-encoded, where its spelling does not say them: it has `\\xNN` in
    it, be it a byte or letters. "" for every other path."""
    return quote(path_bytes(path)) if "\\x" in spelled_path(path) else ""


def path_from_raw(raw: str) -> str:
    """The path that `raw_path` told."""
    return path_text(unquote_to_bytes(raw))
