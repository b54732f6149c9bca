"""Working state in Redis or Valkey: the hash of contract B, and fields of our own in it.

Of Redis memory a file costs its record (some 1,340 bytes with four checksums), and its path
and 20 bytes more for its place in tar order and its span (see `bagline.services.state.keys`).

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
    State,
)
from bagline.services.state.commits import commit_arguments
from bagline.services.state.decoding import broken, decode_object, decode_result
from bagline.services.state.files import FileReader
from bagline.services.state.lease import Lease
from bagline.services.state.taken import Taken
from bagline.units import path_bytes

PROGRESS_SECONDS = 60
SCAN_COUNT = 1_000
SWEEP_COUNT = 200
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
            self._take = redis.register_script(scripts.TAKE)
            self._forget_proofs = redis.register_script(scripts.FORGET_PROOFS)
            self._read_files = redis.register_script(scripts.READ_FILES)
            self._restart = redis.register_script(scripts.RESTART)
            self._delete = redis.register_script(scripts.DELETE)
            self._sweep = redis.register_script(scripts.SWEEP)
            self._save_digests = redis.register_script(scripts.SAVE_DIGESTS)
            self._save_result = redis.register_script(scripts.SAVE_RESULT)

    def __repr__(self) -> str:
        return f"RedisState({self._client.where})"

    # -- the right to work on a subject
    def take(
        self, subject: Subject, *, owner: str, seconds: float, topic: str = "", tally: str = ""
    ) -> Taken | None:
        token = f"{owner}|{secrets.token_hex(16)}"
        key = keys.subject_key(subject, "lease")
        place, field = _result_place(subject, topic)
        earlier = keys.earlier_keys(subject.number) if subject.kind == ITEM else []
        arguments = [token, _milliseconds(seconds), field, keys.tally_field(tally)]
        with self._client.speaking(key):
            found = self._take(keys=[key, place, *earlier], args=arguments)
        if not found:
            return None
        fields, result, counted, checkpoint, identifier, bag = found
        return Taken(
            lease=Lease(subject, token),
            key=place,
            is_new=not fields,
            result_field=field,
            raw_result=result,
            raw_tally=counted,
            checkpoint=checkpoint,
            identifier=identifier,
            raw_object=bag,
        )

    def renew_lease(self, lease: Lease, *, seconds: float) -> None:
        self._fenced(self._renew, lease, [], [_milliseconds(seconds)])

    def check_lease(self, lease: Lease) -> None:
        if self._lease_token(lease.subject) != lease.token:
            raise _lost(lease)

    def drop_lease(self, lease: Lease) -> None:
        self._drop_lease(lease.subject, lease.token)

    def _drop_lease(self, subject: Subject, token: str) -> bool:
        """With what it showed; False when it is not that one any more."""
        momentary = [keys.subject_key(subject, kind) for kind in ("lease", "progress")]
        with self._client.speaking(momentary[0]):
            return bool(self._drop(keys=momentary, args=[token]))

    def lease_owner(self, subject: Subject) -> str:
        return _owner(self._lease_token(subject))

    def break_leases(self, is_dead: Callable[[str], bool]) -> list[Subject]:
        broken = []
        for subject in self._leased():
            token = self._lease_token(subject)
            if token and is_dead(_owner(token)) and self._drop_lease(subject, token):
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
        with self._client.speaking(str(item_id)) as redis:
            identifier = redis.hget(str(item_id), keys.OBJECT)
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
    def _files(self, item_id: int) -> FileReader:
        return FileReader(self._client, item_id, self._read_files)

    def load_files(
        self, item_id: int, object_identifier: str, paths: Sequence[str], *, spans: bool = True
    ) -> dict[str, FileEntry]:
        return self._files(item_id).load(object_identifier, paths, spans=spans)

    def iter_files(self, item_id: int, *, batch: int = BATCH_FILES) -> Iterator[list[FileEntry]]:
        return self._files(item_id).iterate(batch)

    def count_files(self, item_id: int) -> int:
        return self._files(item_id).count()

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
        self._fenced(
            self._commit,
            lease,
            [str(lease.item_id)],
            commit_arguments(files, object, result, checkpoint, tally, proofs),
        )

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
        lease_key = keys.subject_key(lease.subject, "lease")
        with self._client.speaking(f"{lease.item_id} and its lease"):
            left = self._add(keys=[lease_key, str(lease.item_id)], args=[lease.token, *arguments])
        if left == 0:
            raise _lost(lease)
        paths = list(checksums)
        return [paths[place] for place in left]

    def save_digests(self, lease: Lease, digests: Mapping[str, Mapping[str, bytes]]) -> None:
        if len(digests) > COMMIT_FILES:
            raise ValueError(f"{len(digests)} files at once; at most {COMMIT_FILES}")
        fields = [
            part
            for path, found in digests.items()
            for part in (keys.digests_field(path), msgspec.msgpack.encode(found))
        ]
        self._fenced(self._save_digests, lease, [str(lease.item_id)], fields)

    def load_digests(self, item_id: int, paths: Sequence[str]) -> dict[str, dict[str, bytes]]:
        if not paths:
            return {}
        key = str(item_id)
        with self._client.speaking(key) as redis:
            found = redis.hmget(key, [keys.digests_field(path) for path in paths])
        try:
            return {
                path: msgspec.msgpack.decode(raw, type=dict[str, bytes])
                for path, raw in zip(paths, found, strict=True)
                if raw is not None
            }
        except msgspec.MsgspecError as error:
            raise broken(key, b"bagline:digests:", str(error)) from error

    def load_checkpoint(self, item_id: int) -> bytes | None:
        with self._client.speaking(str(item_id)) as redis:
            found: bytes | None = redis.hget(str(item_id), keys.CHECKPOINT)
        return found

    def load_tally(self, item_id: int, name: str) -> int:
        field = keys.tally_field(name)
        with self._client.speaking(str(item_id)) as redis:
            found = redis.hget(str(item_id), field)
        try:
            return int(found or 0)
        except ValueError as error:
            raise broken(item_id, field, str(error)) from error

    def load_proofs(self, item_id: int, uuids: Sequence[str]) -> dict[str, CopyProofs]:
        if not uuids:
            return {}
        fields = [keys.PROOFS, *(keys.proof_field(uuid) for uuid in uuids)]
        with self._client.speaking(str(item_id)) as redis:
            found = redis.hmget(str(item_id), fields)
        standing = found[0] or b"0"
        proofs: dict[str, CopyProofs] = {}
        for uuid, field, raw in zip(uuids, fields[1:], found[1:], strict=True):
            number, _, proof = (raw or b"").partition(b" ")
            if number != standing:
                continue
            try:
                proofs[uuid] = msgspec.json.decode(proof, type=CopyProofs)
            except msgspec.MsgspecError as error:
                raise broken(item_id, field, str(error)) from error
        return proofs

    def forget_proofs(self, lease: Lease) -> None:
        self._fenced(self._forget_proofs, lease, [str(lease.item_id)], [])

    def restart_item(self, lease: Lease) -> None:
        results = [field for field, _ in self._scan_hash(lease.item_id, "workresult:*")]
        self._fenced(self._restart, lease, [str(lease.item_id)], results)

    def delete_item(self, lease: Lease) -> None:
        progress = keys.subject_key(lease.subject, "progress")
        self._fenced(self._delete, lease, [str(lease.item_id), progress], [])

    def has_item(self, item_id: int) -> bool:
        with self._client.speaking(str(item_id)) as redis:
            return bool(redis.exists(str(item_id), *keys.earlier_keys(item_id)))

    def sweep_earlier(self, place: int) -> tuple[int, list[int]]:
        with self._client.speaking(keys.SUBJECT_PATTERN) as redis:
            place, names = redis.scan(place, match=keys.SUBJECT_PATTERN, count=SWEEP_COUNT)
        items = {item for name in names if (item := keys.item_of_earlier_key(name)) is not None}
        return place, [item for item in sorted(items) if self._sweep_item(item)]

    def _sweep_item(self, item_id: int) -> bool:
        lease_key = keys.subject_key(Subject(ITEM, item_id), "lease")
        with self._client.speaking(lease_key):
            return bool(
                self._sweep(keys=[lease_key, str(item_id), *keys.earlier_keys(item_id)], args=[])
            )

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
