"""Reading an item's file records: by path, and all of them in bounded memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from bagline.model.ingest import IngestFile
from bagline.services.redis_client import RedisClient
from bagline.services.state.base import COMMIT_FILES, FileEntry
from bagline.services.state.decoding import broken, decode_file
from bagline.services.state.keys import (
    FILES,
    MEMBERS,
    batch_field,
    file_prefix,
    span_field,
    unpack_members,
    unpack_span,
)
from bagline.units import path_bytes, path_text

SCAN_COUNT = 1_000


class FileReader:
    """The files of one item."""

    def __init__(self, client: RedisClient, item_id: int, read: Any) -> None:
        """`read`: the script READ_FILES."""
        self._client = client
        self._key = str(item_id)
        self._read = read

    def load(
        self, object_identifier: str, paths: Sequence[str], *, spans: bool
    ) -> dict[str, FileEntry]:
        prefix, found = file_prefix(object_identifier), {}
        for start in range(0, len(paths), COMMIT_FILES):
            raw_paths = [path_bytes(path) for path in paths[start : start + COMMIT_FILES]]
            fields = [prefix + raw for raw in raw_paths]
            span_fields = [span_field(raw) for raw in raw_paths] if spans else []
            values = self._get(fields + span_fields) if fields else []
            records, packed = values[: len(fields)], values[len(fields) :] or [None] * len(fields)
            for raw_path, field, record, span in zip(
                raw_paths, fields, records, packed, strict=True
            ):
                if record is not None:
                    file = decode_file(record, self._key, field, raw_path)
                    found[file.path_in_bag] = FileEntry(file, unpack_span(span or b"", self._key))
        return found

    def _get(self, fields: Sequence[bytes]) -> list[Any]:
        with self._client.speaking(self._key) as redis:
            values: list[Any] = redis.hmget(self._key, fields)
        return values

    def iterate(self, batch: int) -> Iterator[list[FileEntry]]:
        """Along the list where there is one; else by scanning, in no order."""
        identifier, listed, *found = self._batches(0, batch)
        if listed and identifier:
            entries = self._walk(file_prefix(path_text(identifier)), batch, listed, found)
            while some := list(islice(entries, batch)):
                yield some
            return
        scanned = self._scan()
        while some_found := list(islice(scanned, batch)):
            yield [FileEntry(file, None) for file in some_found]

    def count(self) -> int:
        (listed,) = self._get([FILES])
        return int(listed or 0) or sum(1 for _ in self._scan_fields(values=False))

    def _batches(self, first: int, files: int) -> list[Any]:
        """The bag's name, how many batches are listed; from the first of these on batches and
        their files' records, until there are as many files. One round trip."""
        with self._client.speaking(self._key):
            found: list[Any] = self._read(keys=[self._key], args=[first, files])
        return found + [None] * (2 - len(found))

    def _walk(
        self, prefix: bytes, files: int, listed: bytes | None, found: list[Any]
    ) -> Iterator[FileEntry]:
        """`found`: batches from the first on."""
        at = 0
        while True:
            if listed is None:
                raise broken(self._key, MEMBERS, "the list of files is gone")
            for packed, records in zip(found[::2], [*found[1::2], ()], strict=False):
                if packed is None:
                    raise broken(self._key, batch_field(at), "a batch of listed files is gone")
                yield from self._entries(prefix, packed, records)
                at += 1
            if at >= int(listed):
                return
            _, listed, *found = self._batches(at, files)

    def _entries(self, prefix: bytes, packed: bytes, records: list[Any]) -> Iterator[FileEntry]:
        members = unpack_members(packed, self._key)
        for (raw_path, span), record in zip(members, records, strict=True):
            field = prefix + raw_path
            if record is None:
                raise broken(self._key, field, "the record of a file that was listed is gone")
            yield FileEntry(decode_file(record, self._key, field, raw_path), span)

    def _scan(self) -> Iterator[IngestFile]:
        for field, record in self._scan_fields(values=True):
            yield decode_file(record, self._key, field, _raw_path(field))

    def _scan_fields(self, *, values: bool) -> Iterator[tuple[bytes, bytes]]:
        """Every file field once: HSCAN may tell a field twice, so digests of them are kept."""
        seen: set[bytes] = set()
        options = {} if values else {"no_values": True}
        cursor: Any = 0
        while True:
            with self._client.speaking(self._key) as redis:
                cursor, found = redis.hscan(
                    self._key, cursor, match="file:*", count=SCAN_COUNT, **options
                )
            for field in found:
                digest = hashlib.blake2b(field, digest_size=12).digest()
                if digest not in seen:
                    seen.add(digest)
                    yield field, found[field] if values else b""
            if cursor == 0:
                return


def _raw_path(field: bytes) -> bytes:
    """The path in `file:<institution>/<bag>/<path>`."""
    return field.split(b"/", 2)[-1]
