"""Names and layouts in Redis: contract B's hash, and Bagline's own fields in it.

The hash `<id>` is shared with other implementations, whose clean-up deletes it and nothing
else. So all that lives as long as the item lies in it, under fields that they pass over:

    bagline:object          the object's identifier, so that its field need not be sought
    bagline:members         how many batches of files are listed; they follow, in tar order
    bagline:members:<n>     the (path, span) of each file of batch n, from 0
    bagline:files           how many files are listed
    bagline:span:<path>     span of a file that is sought by its path (`is_found_by_path`)
    bagline:digests:<path>  digests of further algorithms than the wire's, of that file
    bagline:checkpoint      what the stage left for its next run
    bagline:tally:<name>    a counter
    bagline:proofs          how often every proof was forgotten
    bagline:proof:<uuid>    that number when it was made, a space, how each copy was proven

Beside it stands only what is of the moment, and goes when the stage has settled:

    bagline:{7}:lease       the token of the one who works on it; expires
    bagline:{7}:progress    for people; expires

The braces put them on the hash's node in a cluster. Of a subject that is no work item there
are a lease, progress and results by topic, under `bagline:{file:7}:lease` and so on. Items
of an earlier release have keys for these fields: who takes the lease moves them into the hash, and
the reconciler sweeps those of items that have ended.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec

from bagline.errors import BrokenState
from bagline.model.ingest import TarSpan
from bagline.model.subject import ITEM, Subject
from bagline.units import path_bytes

EARLIER_KINDS = ("object", "members", "spans", "checkpoint", "tally", "proofs")
"""Kinds of keys that held an item's working state beside its hash, in this order."""

OBJECT, CHECKPOINT = b"bagline:object", b"bagline:checkpoint"
MEMBERS, FILES = b"bagline:members", b"bagline:files"
PROOFS = b"bagline:proofs"

LEASE_PATTERN = "bagline:{*}:lease"
SUBJECT_PATTERN = "bagline:{*}:*"

_LENGTHS = struct.Struct(">II")
_span_encoder = msgspec.msgpack.Encoder()
_span_decoder = msgspec.msgpack.Decoder(TarSpan)


def subject_key(subject: Subject, kind: str) -> str:
    about = subject.number if subject.kind == ITEM else subject
    return f"bagline:{{{about}}}:{kind}"


def earlier_keys(item_id: int) -> list[str]:
    return [subject_key(Subject(ITEM, item_id), kind) for kind in EARLIER_KINDS]


def item_of_earlier_key(key: bytes) -> int | None:
    """The item that an earlier release had the key for; None of other keys."""
    kind = key.rpartition(b"}:")[2].decode("ascii", "replace")
    subject = subject_of_key(key) if kind in EARLIER_KINDS else None
    return subject.number if subject is not None and subject.kind == ITEM else None


def tally_field(name: str) -> bytes:
    return f"bagline:tally:{name}".encode()


def proof_field(uuid: str) -> bytes:
    return f"bagline:proof:{uuid}".encode()


def is_found_by_path(raw_path: bytes, span: TarSpan) -> bool:
    """Whether the file's span has a field of its own, besides its place in the list: tag files
    and manifests, whose bodies are read by name, and files whose copies are proven by parts."""
    return bool(span.part_sha256) or not raw_path.startswith(b"data/")


def span_field(raw_path: bytes) -> bytes:
    return b"bagline:span:" + raw_path


def batch_field(number: int) -> bytes:
    """Of one batch of listed files."""
    return b"%s:%d" % (MEMBERS, number)


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


def digests_field(path: str) -> bytes:
    """Digests of further algorithms than the wire's, of that file."""
    return b"bagline:digests:" + path_bytes(path)


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
