"""JSON as the other workers on the line write and read it (contract B).

Compact; `< > &` and U+2028/2029 escaped; bytes that are not UTF-8 become U+FFFD.
Readers ignore unknown fields and take `null` for an empty list or a zero value.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from bagline.units import path_bytes

R = TypeVar("R", bound=msgspec.Struct)

_encoder = msgspec.json.Encoder()
_decoders: dict[type, msgspec.json.Decoder[Any]] = {}

_ESCAPES = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
)
_ESCAPES_BEYOND_ASCII = (
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)


def kept(value: Any) -> Any:
    """A default that is written even when it is empty (Go: no `omitempty`)."""
    return msgspec.field(default_factory=lambda: value)


def kept_list() -> Any:
    """An empty list that is written as `[]`."""
    return msgspec.field(default_factory=lambda: [])  # noqa: PIE807 (a plain `list` would be omitted)


def encode(record: Any) -> bytes:
    """The record as JSON bytes. Lone surrogates (raw bytes of a name) become U+FFFD."""
    try:
        raw = _encoder.encode(record)
    except UnicodeEncodeError:
        raw = _encoder.encode(_without_surrogates(msgspec.to_builtins(record)))
    escapes = _ESCAPES if raw.isascii() else (*_ESCAPES, *_ESCAPES_BEYOND_ASCII)
    for plain, escaped in escapes:
        if plain in raw:
            raw = raw.replace(plain, escaped)
    return raw


def decode(raw: bytes, kind: type[R]) -> R:
    """The record of that kind in the bytes.

    Raises ValueError (msgspec.DecodeError) when they hold something else.
    """
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        record: R = decoder.decode(raw)
    except msgspec.ValidationError:
        return from_builtins(msgspec.json.decode(raw), kind)
    return record


def from_builtins(document: Any, kind: type[R]) -> R:
    """Like `decode`, from dictionaries: null fields fall back to their defaults."""
    return msgspec.convert(_without_nulls(document), kind)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nulls(v) for k, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_nulls(v) for v in value]
    return value


def _without_surrogates(value: Any) -> Any:
    if isinstance(value, str):
        return path_bytes(value).decode("utf-8", "replace")
    if isinstance(value, dict):
        return {_without_surrogates(k): _without_surrogates(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_surrogates(v) for v in value]
    return value
