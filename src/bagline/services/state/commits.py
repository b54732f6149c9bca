"""What one fenced write is made of: the arguments of its script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bagline.model import wire
from bagline.model.ingest import IngestFile, IngestObject
from bagline.model.workitem import WorkResult
from bagline.services.state import keys
from bagline.services.state.base import CopyProofs, FileEntry
from bagline.units import path_bytes


def commit_arguments(
    files: Sequence[IngestFile | FileEntry],
    object: IngestObject | None,
    result: WorkResult | None,
    checkpoint: bytes | None,
    tally: Mapping[str, int] | None,
    proofs: Mapping[str, CopyProofs] | None,
) -> list[Any]:
    """For `scripts.COMMIT`, after the token. See `State.commit`."""
    identifier = _identifier(files, object)
    members: list[bytes] = []
    fields: list[Any] = []
    spans: list[bytes] = []
    entries = bytearray()
    prefix = keys.file_prefix(identifier)
    for given in files:
        is_entry = isinstance(given, FileEntry)
        file, span = given if isinstance(given, FileEntry) else (given, None)
        raw_path, packed = path_bytes(file.path_in_bag), keys.pack_span(span)
        entries += b"1" if is_entry else b"0"
        members.append(keys.pack_member(raw_path, packed))
        fields += [prefix + raw_path, wire.encode(file)]
        if span is not None and keys.is_found_by_path(raw_path, span):
            spans += [keys.span_field(raw_path), packed]
    fields += spans
    if object is not None:
        fields += [b"object:" + path_bytes(object.identifier), wire.encode(object)]
    if result is not None:
        if not result.operation:
            raise ValueError("a work result without the topic it belongs to (operation)")
        fields += [f"workresult:{result.operation}", wire.encode(result)]
    change = ["keep"] if checkpoint is None else ["set", checkpoint] if checkpoint else ["remove"]
    counts: list[Any] = []
    for name, count in (tally or {}).items():
        counts += [keys.tally_field(name), count]
    proven: list[bytes] = []
    for uuid, found in (proofs or {}).items():
        proven += [keys.proof_field(uuid), msgspec.json.encode(found)]
    return [
        len(counts) // 2, *counts, path_bytes(identifier), bytes(entries), len(files),
        *members, len(fields), *fields, *change, len(proven) // 2, *proven,
    ]  # fmt: skip


def _identifier(files: Sequence[IngestFile | FileEntry], object: IngestObject | None) -> str:
    """The one identifier of all of them; "" when there is none. Raises ValueError for two."""
    found = {(f.file if isinstance(f, FileEntry) else f).object_identifier for f in files}
    if object is not None:
        found.add(object.identifier)
    if len(found) > 1:
        raise ValueError(f"one commit, one object; these were given: {sorted(found)}")
    return found.pop() if found else ""
