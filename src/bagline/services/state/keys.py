"""Names and layouts in Redis: contract B's hash, and Bagline's own keys beside it.

The hash `<id>` is shared with other implementations. Ours are, for item 7:

    bagline:{7}:lease       the token of the one who works on it; expires
    bagline:{7}:object      the object's identifier, so that its field need not be sought
    bagline:{7}:members     list; an element holds the (path, span) of a batch, in tar order
    bagline:{7}:spans       hash; 12-byte digest of the path → span, for finding one
    bagline:{7}:checkpoint  string; what the stage left for its next run
    bagline:{7}:tally       hash of counters
    bagline:{7}:proofs      hash; file's UUID → how each of its copies was proven, and when
    bagline:{7}:progress    string; expires

The braces put all of them on the hash's node in a cluster. Of a subject that is no work item
there are a lease, progress and results by topic, under `bagline:{file:7}:lease` and so on.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator

import msgspec

from bagline.errors import BrokenState
from bagline.model.ingest import TarSpan
from bagline.model.subject import ITEM, Subject
from bagline.units import path_bytes

OWN_KINDS = ("object", "members", "spans", "checkpoint", "tally", "proofs")
"""Kinds of keys that hold an item's working state, beside its hash."""

LEASE_PATTERN = "bagline:{*}:lease"

_LENGTHS = struct.Struct(">II")
_span_encoder = msgspec.msgpack.Encoder()
_span_decoder = msgspec.msgpack.Decoder(TarSpan)


def own_key(item_id: int, kind: str) -> str:
    return f"bagline:{{{item_id}}}:{kind}"


def subject_key(subject: Subject, kind: str) -> str:
    """A work item's is that of its other records."""
    if subject.kind == ITEM:
        return own_key(subject.number, kind)
    return f"bagline:{{{subject}}}:{kind}"


def subject_of_key(key: bytes) -> Subject | None:
    """What one of our keys is about; None when the key is not of that form."""
    inside = key.partition(b"{")[2].partition(b"}")[0].decode("ascii", "replace")
    kind, colon, digits = inside.rpartition(":")
    if not digits.isascii() or not digits.isdigit():
        return None
    return Subject(kind if colon else ITEM, int(digits))


def file_prefix(object_identifier: str) -> bytes:
    """What the fields of the object's files begin with; the raw path follows."""
    return b"file:" + path_bytes(object_identifier) + b"/"


def path_digest(raw: bytes) -> bytes:
    """Short, and for practical purposes unique within an item."""
    return hashlib.blake2b(raw, digest_size=12).digest()


def pack_span(span: TarSpan | None) -> bytes:
    return _span_encoder.encode(span) if span is not None else b""


def unpack_span(raw: bytes, key: str) -> TarSpan | None:
    """Raises BrokenState, naming the key, when the bytes are no span."""
    if not raw:
        return None
    try:
        return _span_decoder.decode(raw)
    except msgspec.MsgspecError as error:
        raise BrokenState(f"Redis key {key} holds a broken tar span: {error}") from error


def pack_member(raw_path: bytes, packed_span: bytes) -> bytes:
    return _LENGTHS.pack(len(raw_path), len(packed_span)) + raw_path + packed_span


def unpack_members(element: bytes, key: str) -> Iterator[tuple[bytes, TarSpan | None]]:
    """The (raw path, span) pairs of a batch. Raises BrokenState where it breaks off."""
    at, end = 0, len(element)
    while at < end:
        if at + _LENGTHS.size > end:
            raise BrokenState(f"Redis key {key} holds a batch that breaks off")
        path_length, span_length = _LENGTHS.unpack_from(element, at)
        at += _LENGTHS.size
        middle, after = at + path_length, at + path_length + span_length
        if after > end:
            raise BrokenState(f"Redis key {key} holds a batch that breaks off")
        yield element[at:middle], unpack_span(element[middle:after], key)
        at = after
