"""Reading an item's file records: by path, and all of them in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from bagline.model.ingest import IngestFile, TarSpan
from bagline.services.redis_client import RedisClient
from bagline.services.state.base import COMMIT_FILES, FileEntry
from bagline.services.state.decoding import broken, decode_file
from bagline.services.state.keys import (
    file_prefix,
    own_key,
    path_digest,
    unpack_members,
    unpack_span,
)
from bagline.units import path_bytes, path_text

ELEMENTS_A_TRIP = 4
SCAN_COUNT = 1_000


class FileReader:
    """The files of one item."""

    def __init__(self, client: RedisClient, item_id: int) -> None:
        self._client = client
        self._key = str(item_id)
        self._members = own_key(item_id, "members")
        self._spans = own_key(item_id, "spans")
        self._object = own_key(item_id, "object")

    def load(
        self, object_identifier: str, paths: Sequence[str], *, spans: bool
    ) -> dict[str, FileEntry]:
        prefix, found = file_prefix(object_identifier), {}
        for start in range(0, len(paths), COMMIT_FILES):
            raw_paths = [path_bytes(path) for path in paths[start : start + COMMIT_FILES]]
            fields = [prefix + raw for raw in raw_paths]
            records, packed = self._fetch(fields, raw_paths if spans else [])
            for raw_path, field, record, span in zip(
                raw_paths, fields, records, packed, strict=True
            ):
                if record is not None:
                    file = decode_file(record, self._key, field, raw_path)
                    found[file.path_in_bag] = FileEntry(file, unpack_span(span or b"", self._spans))
        return found

    def _fetch(self, fields: list[bytes], spans_of: list[bytes]) -> tuple[list[Any], list[Any]]:
        """The records, and the packed spans of those paths (or nothing for each)."""
        with self._client.speaking(f"{self._key} and {self._spans}") as redis:
            pipeline = redis.pipeline(transaction=False)
            pipeline.hmget(self._key, fields)
            if spans_of:
                pipeline.hmget(self._spans, [path_digest(raw) for raw in spans_of])
            records, *packed = pipeline.execute()
        return records, packed[0] if packed else [None] * len(fields)

    def iterate(self, batch: int) -> Iterator[list[FileEntry]]:
        """Along the list where there is one; else by scanning, in no order."""
        with self._client.speaking(self._object) as redis:
            identifier, listed = redis.pipeline(transaction=False).get(self._object).exists(
                self._members
            ).execute()  # fmt: skip
        if listed and identifier:
            prefix = file_prefix(path_text(identifier))
            members = self._walk()
            while some := list(islice(members, batch)):
                yield self._records(prefix, some)
            return
        scanned = self._scan()
        while some_found := list(islice(scanned, batch)):
            yield [FileEntry(file, None) for file in some_found]

    def count(self) -> int:
        with self._client.speaking(self._spans) as redis:
            listed = int(redis.hlen(self._spans))
        return listed or sum(1 for _ in self._scan_fields(values=False))

    def _walk(self) -> Iterator[tuple[bytes, TarSpan | None]]:
        at = 0
        while True:
            with self._client.speaking(self._members) as redis:
                elements = redis.lrange(self._members, at, at + ELEMENTS_A_TRIP - 1)
            if not elements:
                return
            for element in elements:
                yield from unpack_members(element, self._members)
            at += len(elements)

    def _records(
        self, prefix: bytes, members: Sequence[tuple[bytes, TarSpan | None]]
    ) -> list[FileEntry]:
        fields = [prefix + raw_path for raw_path, _ in members]
        with self._client.speaking(self._key) as redis:
            records = redis.hmget(self._key, fields)
        entries = []
        for (raw_path, span), field, record in zip(members, fields, records, strict=True):
            if record is None:
                raise broken(self._key, field, "the record of a file that was listed is gone")
            entries.append(FileEntry(decode_file(record, self._key, field, raw_path), span))
        return entries

    def _scan(self) -> Iterator[IngestFile]:
        for field, record in self._scan_fields(values=True):
            yield decode_file(record, self._key, field, _raw_path(field))

    def _scan_fields(self, *, values: bool) -> Iterator[tuple[bytes, bytes]]:
        """Every file field once: HSCAN may tell a field twice, so their digests are kept."""
        seen: set[bytes] = set()
        options = {} if values else {"no_values": True}
        cursor: Any = 0
        while True:
            with self._client.speaking(self._key) as redis:
                cursor, found = redis.hscan(
                    self._key, cursor, match="file:*", count=SCAN_COUNT, **options
                )
            for field in found:
                digest = path_digest(field)
                if digest not in seen:
                    seen.add(digest)
                    yield field, found[field] if values else b""
            if cursor == 0:
                return


def _raw_path(field: bytes) -> bytes:
    """The path in `file:<institution>/<bag>/<path>`."""
    return field.split(b"/", 2)[-1]
