"""Working state in Redis or Valkey: the hash of contract B, and keys of our own beside it.

Of Redis memory a file costs its record (some 1,340 bytes with four checksums), and 130
bytes for its place in tar order and its span (measured; see `bagline.services.state.keys`).

After Unreachable from `commit` it is not known whether the write happened. Go on from
the checkpoint; a repeated `commit` lists no file twice, but adds its tally again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from bagline.errors import LeaseLost
from bagline.model import wire
from bagline.model.ingest import IngestChecksum, IngestFile, IngestObject
from bagline.model.subject import ITEM, Subject
from bagline.model.workitem import WorkResult
from bagline.services.redis_client import CONNECT_SECONDS, READ_SECONDS, RedisClient
from bagline.services.state import keys, scripts
from bagline.services.state.base import (
    BATCH_FILES,
    COMMIT_FILES,
    RESULT_SECONDS,
    CopyProofs,
    FileEntry,
    Lease,
    State,
)
from bagline.services.state.decoding import broken, decode_object, decode_result
from bagline.services.state.files import FileReader
from bagline.units import path_bytes

PROGRESS_SECONDS = 60
SCAN_COUNT = 1_000
PROBE_MILLISECONDS = 60_000


class RedisState(State):
    def __init__(
        self,
        url: str,
        *,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        """Connects at the first call. Raises Misconfigured when the URL is none."""
        self._client = RedisClient(url, connect_seconds=connect_seconds, read_seconds=read_seconds)
        with self._client.speaking("scripts") as redis:
            self._renew = redis.register_script(scripts.RENEW)
            self._drop = redis.register_script(scripts.DROP)
            self._commit = redis.register_script(scripts.COMMIT)
            self._add = redis.register_script(scripts.ADD_CHECKSUMS)
            self._restart = redis.register_script(scripts.RESTART)
            self._delete = redis.register_script(scripts.DELETE)
            self._save_result = redis.register_script(scripts.SAVE_RESULT)

    def __repr__(self) -> str:
        return f"RedisState({self._client.where})"

    # -- the right to work on a subject
    def take_lease(self, subject: Subject, *, owner: str, seconds: float) -> Lease | None:
        token = f"{owner}|{secrets.token_hex(16)}"
        key = keys.subject_key(subject, "lease")
        with self._client.speaking(key) as redis:
            taken = redis.set(key, token, nx=True, px=_milliseconds(seconds))
        return Lease(subject, token) if taken else None

    def renew_lease(self, lease: Lease, *, seconds: float) -> None:
        self._fenced(self._renew, lease, [], [_milliseconds(seconds)])

    def check_lease(self, lease: Lease) -> None:
        if self._lease_token(lease.subject) != lease.token:
            raise _lost(lease)

    def drop_lease(self, lease: Lease) -> None:
        key = keys.subject_key(lease.subject, "lease")
        with self._client.speaking(key):
            self._drop(keys=[key], args=[lease.token])

    def lease_owner(self, subject: Subject) -> str:
        return _owner(self._lease_token(subject))

    def break_leases(self, is_dead: Callable[[str], bool]) -> list[Subject]:
        broken = []
        for subject in self._leased():
            token = self._lease_token(subject)
            if token and is_dead(_owner(token)):
                key = keys.subject_key(subject, "lease")
                with self._client.speaking(key):
                    if self._drop(keys=[key], args=[token]):
                        broken.append(subject)
        return sorted(broken)

    def _leased(self) -> set[Subject]:
        found: set[Subject] = set()
        cursor: Any = 0
        while True:
            with self._client.speaking(keys.LEASE_PATTERN) as redis:
                cursor, names = redis.scan(cursor, match=keys.LEASE_PATTERN, count=SCAN_COUNT)
            found |= {about for name in names if (about := keys.subject_of_key(name)) is not None}
            if cursor == 0:
                return found

    def _lease_token(self, subject: Subject) -> str:
        key = keys.subject_key(subject, "lease")
        with self._client.speaking(key) as redis:
            token = redis.get(key)
        return token.decode("utf-8", "replace") if token else ""

    def _fenced(self, script: Any, lease: Lease, own: Sequence[str], args: Sequence[Any]) -> None:
        """Run the script; raises LeaseLost when its fence held the write off."""
        lease_key = keys.subject_key(lease.subject, "lease")
        with self._client.speaking(f"{lease.subject} and its lease"):
            written = script(keys=[lease_key, *own], args=[lease.token, *args])
        if written != 1:
            raise _lost(lease)

    # -- one result a topic
    def load_result(self, subject: Subject, topic: str) -> WorkResult | None:
        key, field = _result_place(subject, topic)
        with self._client.speaking(key) as redis:
            raw = redis.hget(key, field)
        return None if raw is None else decode_result(raw, subject.number, field)

    def save_result(self, lease: Lease, topic: str, result: WorkResult | None) -> None:
        key, field = _result_place(lease.subject, topic)
        raw = wire.encode(result) if result is not None else b""
        seconds = 0 if lease.subject.kind == ITEM else RESULT_SECONDS
        self._fenced(self._save_result, lease, [key], [field, raw, seconds])

    # -- one object
    def load_object(self, item_id: int) -> IngestObject | None:
        hint = keys.own_key(item_id, "object")
        with self._client.speaking(f"{item_id} and {hint}") as redis:
            identifier = redis.get(hint)
            field = b"object:" + (identifier or b"")
            raw = redis.hget(str(item_id), field) if identifier else None
        if raw is not None:
            return decode_object(raw, item_id, field)
        return self._seek_object(item_id)

    def _seek_object(self, item_id: int) -> IngestObject | None:
        """The item's one object where another service wrote it, perhaps under its whole name."""
        found: IngestObject | None = None
        for field, raw in self._scan_hash(item_id, "object:*"):
            record = decode_object(raw, item_id, field)
            if field == b"object:" + path_bytes(record.identifier):
                return record
            found = record
        return found

    def _scan_hash(self, item_id: int, pattern: str) -> Iterator[tuple[bytes, bytes]]:
        cursor: Any = 0
        while True:
            with self._client.speaking(str(item_id)) as redis:
                cursor, found = redis.hscan(str(item_id), cursor, match=pattern, count=SCAN_COUNT)
            yield from found.items()
            if cursor == 0:
                return

    # -- files
    def load_files(
        self, item_id: int, object_identifier: str, paths: Sequence[str], *, spans: bool = True
    ) -> dict[str, FileEntry]:
        return FileReader(self._client, item_id).load(object_identifier, paths, spans=spans)

    def iter_files(self, item_id: int, *, batch: int = BATCH_FILES) -> Iterator[list[FileEntry]]:
        return FileReader(self._client, item_id).iterate(batch)

    def count_files(self, item_id: int) -> int:
        return FileReader(self._client, item_id).count()

    # -- one fenced write
    def commit(
        self,
        lease: Lease,
        *,
        files: Sequence[IngestFile | FileEntry] = (),
        object: IngestObject | None = None,
        result: WorkResult | None = None,
        checkpoint: bytes | None = None,
        tally: Mapping[str, int] | None = None,
        proofs: Mapping[str, CopyProofs] | None = None,
    ) -> None:
        if len(files) > COMMIT_FILES:
            raise ValueError(f"{len(files)} files in one commit; at most {COMMIT_FILES}")
        identifier = _identifier(files, object)
        digests, spans, members = [], [], []
        fields: list[Any] = []
        entries = bytearray()
        for given in files:
            is_entry = isinstance(given, FileEntry)
            file, span = given if isinstance(given, FileEntry) else (given, None)
            raw_path, packed = path_bytes(file.path_in_bag), keys.pack_span(span)
            field = keys.file_prefix(file.object_identifier) + raw_path
            member = keys.pack_member(raw_path, packed)
            entries += b"1" if is_entry else b"0"
            digests.append(keys.path_digest(raw_path))
            spans.append(packed)
            members.append(member)
            fields += [field, wire.encode(file)]
        if object is not None:
            fields += [b"object:" + path_bytes(object.identifier), wire.encode(object)]
        if result is not None:
            if not result.operation:
                raise ValueError("a work result without the topic it belongs to (operation)")
            fields += [f"workresult:{result.operation}", wire.encode(result)]
        change = (
            ["keep"] if checkpoint is None else ["set", checkpoint] if checkpoint else ["remove"]
        )
        counts = [part for pair in (tally or {}).items() for part in pair]
        proven = [part for uuid, found in (proofs or {}).items()
                  for part in (uuid, msgspec.json.encode(found))]  # fmt: skip
        self._fenced(
            self._commit,
            lease,
            self._keys(lease.item_id),
            [path_bytes(identifier), bytes(entries), len(files), *digests, *spans, *members,
             len(fields), *fields, *change, len(counts) // 2, *counts, len(proven), *proven],
        )  # fmt: skip

    def add_checksums(
        self,
        lease: Lease,
        object_identifier: str,
        checksums: Mapping[str, Sequence[IngestChecksum]],
    ) -> list[str]:
        if len(checksums) > COMMIT_FILES:
            raise ValueError(f"{len(checksums)} files at once; at most {COMMIT_FILES}")
        prefix = keys.file_prefix(object_identifier)
        arguments: list[bytes] = []
        for path, added in checksums.items():
            arguments += [prefix + path_bytes(path), wire.encode(added)[1:-1]]
        lease_key = keys.own_key(lease.item_id, "lease")
        with self._client.speaking(f"{lease.item_id} and its lease"):
            left = self._add(keys=[lease_key, str(lease.item_id)], args=[lease.token, *arguments])
        if left == 0:
            raise _lost(lease)
        paths = list(checksums)
        return [paths[place] for place in left]

    def _keys(self, item_id: int) -> list[str]:
        """In the order in which the scripts take them."""
        return [str(item_id), *(keys.own_key(item_id, kind) for kind in keys.OWN_KINDS)]

    def load_checkpoint(self, item_id: int) -> bytes | None:
        key = keys.own_key(item_id, "checkpoint")
        with self._client.speaking(key) as redis:
            found: bytes | None = redis.get(key)
        return found

    def load_tally(self, item_id: int) -> dict[str, int]:
        key = keys.own_key(item_id, "tally")
        with self._client.speaking(key) as redis:
            found = redis.hgetall(key)
        try:
            return {name.decode(): int(count) for name, count in found.items()}
        except ValueError as error:
            raise broken(key, b"", str(error)) from error

    def load_proofs(self, item_id: int, uuids: Sequence[str]) -> dict[str, CopyProofs]:
        if not uuids:
            return {}
        key = keys.own_key(item_id, "proofs")
        with self._client.speaking(key) as redis:
            found = redis.hmget(key, list(uuids))
        try:
            return {
                uuid: msgspec.json.decode(raw, type=CopyProofs)
                for uuid, raw in zip(uuids, found, strict=True)
                if raw is not None
            }
        except msgspec.MsgspecError as error:
            raise broken(key, b"", str(error)) from error

    def forget_proofs(self, lease: Lease) -> None:
        self._fenced(self._delete, lease, [keys.own_key(lease.item_id, "proofs")], [])

    def restart_item(self, lease: Lease) -> None:
        results = [field for field, _ in self._scan_hash(lease.item_id, "workresult:*")]
        self._fenced(self._restart, lease, self._keys(lease.item_id), results)

    def delete_item(self, lease: Lease) -> None:
        own = [*self._keys(lease.item_id), keys.own_key(lease.item_id, "progress")]
        self._fenced(self._delete, lease, own, [])

    def has_item(self, item_id: int) -> bool:
        with self._client.speaking(str(item_id)) as redis:
            return bool(redis.exists(*self._keys(item_id)))

    # -- progress
    def show_progress(self, subject: Subject, progress: bytes) -> None:
        key = keys.subject_key(subject, "progress")
        with self._client.speaking(key) as redis:
            redis.set(key, progress, ex=PROGRESS_SECONDS)

    def load_progress(self, subjects: Sequence[Subject]) -> dict[Subject, bytes]:
        with self._client.speaking("progress") as redis:
            pipeline = redis.pipeline(transaction=False)
            for subject in subjects:
                pipeline.get(keys.subject_key(subject, "progress"))
            found = pipeline.execute()
        shown = zip(subjects, found, strict=True)
        return {subject: progress for subject, progress in shown if progress is not None}

    def ping(self) -> Mapping[str, str]:
        return self._client.describe()

    def try_write(self) -> None:
        key = f"bagline:probe:{secrets.token_hex(8)}"
        with self._client.speaking(key) as redis:
            redis.set(key, b"1", px=PROBE_MILLISECONDS)
            redis.delete(key)

    def close(self) -> None:
        self._client.close()


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1_000))


def _result_place(subject: Subject, topic: str) -> tuple[str, bytes]:
    """Key and field: in the item's hash (contract B), or in a hash of the subject's own."""
    if subject.kind == ITEM:
        return str(subject.number), f"workresult:{topic}".encode()
    return keys.subject_key(subject, "results"), topic.encode()


def _owner(token: str) -> str:
    return token.rpartition("|")[0]


def _lost(lease: Lease) -> LeaseLost:
    return LeaseLost(f"the lease on {lease.subject} is no longer ours; nothing was written")


def _identifier(files: Sequence[IngestFile | FileEntry], object: IngestObject | None) -> str:
    """The one identifier of all of them; "" when there is none. Raises ValueError for two."""
    found = {(f.file if isinstance(f, FileEntry) else f).object_identifier for f in files}
    if object is not None:
        found.add(object.identifier)
    if len(found) > 1:
        raise ValueError(f"one commit, one object; these were given: {sorted(found)}")
    return found.pop() if found else ""
