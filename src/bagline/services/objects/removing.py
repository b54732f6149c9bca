"""Deleting for good: every version and marker of a key, and what is left of it afterwards."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple, TypeVar

from bagline.errors import BaglineError, Gone, Locked, Refused, Unreachable
from bagline.model.times import is_set
from bagline.services.objects.classify import Fault, classify, gravest
from bagline.services.objects.connection import Connection
from bagline.services.objects.guards import BucketGuard, Lock
from bagline.services.objects.keeping import KEYS_A_REQUEST
from bagline.services.objects.locking import NO_VERSION, VersionLocks, is_forbidden
from bagline.services.objects.names import check_key

R = TypeVar("R")

ASKED_AT_ONCE = 64
DELETES_AT_ONCE = 8
"""Requests of up to 1,000 deletes each: more do not make a store quicker."""
KEYS_IN_HAND = 8 * KEYS_A_REQUEST
"""So many keys' versions are known at once."""

_STATUS = {
    "AccessDenied": 403,
    **dict.fromkeys(("InvalidArgument", "InvalidRequest", "MethodNotAllowed", "ObjectLocked"), 400),
}
"""Of errors that come in a 200 without one; others are the store's own, and may pass."""
_GONE_CODES = frozenset({"NoSuchKey", "NoSuchVersion"})
_LOCK_WORDS = ("object lock", "worm", "retention", "legal hold")
"""What stores say of a deletion that a lock forbids, whatever the code."""


class _Version(NamedTuple):
    key: str
    id: str


class Remover:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._locks = VersionLocks(connection)

    def guard(self, bucket: str) -> BucketGuard:
        return self._locks.guard(bucket)

    def locks_many(
        self, bucket: str, keys: Sequence[str]
    ) -> list[Lock | Unreachable | Refused | None]:
        _check(keys)
        guard = self.guard(bucket)
        if not guard.has_lock:
            return [None] * len(keys)
        return self._of_each(lambda key: self._locks.lock(bucket, key, guard), keys)

    def remain_many(self, bucket: str, keys: Sequence[str]) -> list[bool | Unreachable | Refused]:
        _check(keys)
        has_versions = self.guard(bucket).has_versions

        def remains(key: str) -> bool:
            if has_versions:
                return any(True for _ in self._locks.versions(bucket, key))
            try:
                self._connection.heads.head(bucket, key)
            except Gone:
                return False
            return True

        return self._of_each(remains, keys)

    def delete_for_good(
        self, bucket: str, keys: Sequence[str]
    ) -> list[Unreachable | Refused | Locked | None]:
        _check(keys)
        guard = self.guard(bucket)
        answers: dict[str, Unreachable | Refused | Locked | None] = {}
        rest = iter(dict.fromkeys(keys))
        while some := list(islice(rest, KEYS_IN_HAND)):
            answers |= self._delete(bucket, some, guard)
        return [answers[key] for key in keys]

    def _delete(
        self, bucket: str, keys: Sequence[str], guard: BucketGuard
    ) -> dict[str, Unreachable | Refused | Locked | None]:
        """By key, each once."""

        def meant(key: str) -> list[_Version] | Locked:
            lock = self._locks.lock(bucket, key, guard) if guard.has_lock else None
            if lock is not None:
                return _locked(bucket, key, lock)
            if not guard.has_versions:
                return [_Version(key, NO_VERSION)]
            return [_Version(key, version) for version, _ in self._locks.versions(bucket, key)]

        found: Sequence[list[_Version] | Unreachable | Refused | Locked]
        if guard.has_lock or guard.has_versions:
            found = self._of_each(meant, keys)
        else:
            found = [[_Version(key, NO_VERSION)] for key in keys]
        answers: dict[str, Unreachable | Refused | Locked | None] = dict.fromkeys(keys)
        versions = list[_Version]()
        for key, known in zip(keys, found, strict=True):
            if isinstance(known, list):
                versions += known
            else:
                answers[key] = known
        return answers | self._faults(bucket, versions, guard)

    def _faults(
        self, bucket: str, versions: Sequence[_Version], guard: BucketGuard
    ) -> dict[str, Unreachable | Refused | Locked]:
        """What went wrong with deleting them, by key: the gravest."""
        requests = [
            versions[start : start + KEYS_A_REQUEST]
            for start in range(0, len(versions), KEYS_A_REQUEST)
        ]
        faults = defaultdict[str, list[Unreachable | Refused | Locked]](list)
        for some in self._connection.fan.many(
            lambda request: self._delete_versions(bucket, request), requests, DELETES_AT_ONCE
        ):
            for key, fault in some:
                faults[key].append(fault)
        if guard.has_lock:
            self._explain(bucket, faults, guard)
        return {key: _gravest(of_key) for key, of_key in faults.items()}

    def _delete_versions(
        self, bucket: str, versions: Sequence[_Version]
    ) -> list[tuple[str, Unreachable | Refused | Locked]]:
        """One request: what could not be deleted, and why."""
        wanted = [
            {"Key": key, **({"VersionId": version} if version else {})} for key, version in versions
        ]
        right = "s3:DeleteObjectVersion" if versions[0].id else "s3:DeleteObject"
        try:
            with self._locks.by_right(right, "delete from", bucket):
                answer = self._connection.boto.delete_objects(
                    Bucket=bucket, Delete={"Objects": wanted, "Quiet": True}
                )
        except (Unreachable, Refused) as fault:
            return [(key, fault) for key in dict.fromkeys(key for key, _ in versions)]
        keys = {key for key, _ in versions}
        return [
            (fault["Key"], _fault(bucket, fault, right))
            for fault in answer.get("Errors", [])
            if fault.get("Code") not in _GONE_CODES and fault.get("Key") in keys
        ]

    def _explain(
        self,
        bucket: str,
        faults: dict[str, list[Unreachable | Refused | Locked]],
        guard: BucketGuard,
    ) -> None:
        """A refusal may be a lock that came since: stores say so in their own ways, or not."""
        refused = [key for key, some in faults.items() if any(isinstance(f, Refused) for f in some)]
        locks = self._of_each(lambda key: self._locks.lock(bucket, key, guard), refused)
        for key, lock in zip(refused, locks, strict=True):
            if isinstance(lock, Lock):
                faults[key].append(_locked(bucket, key, lock))

    def _of_each(
        self, ask: Callable[[str], R], keys: Sequence[str]
    ) -> list[R | Unreachable | Refused]:
        def one(key: str) -> R | Unreachable | Refused:
            try:
                return ask(key)
            except (Unreachable, Refused) as fault:
                return fault

        return self._connection.fan.many(one, keys, ASKED_AT_ONCE)


def _check(keys: Iterable[str]) -> None:
    for key in keys:
        check_key(key)


def _locked(bucket: str, key: str, lock: Lock) -> Locked:
    return Locked(
        f"delete {bucket}/{key}: the store keeps it {lock.words}",
        until=lock.until if is_set(lock.until) else "",
        has_legal_hold=lock.has_legal_hold,
    )


def _fault(bucket: str, fault: Mapping[str, str], right: str) -> Unreachable | Refused | Locked:
    code, key = fault.get("Code", ""), fault.get("Key", "")
    known = Fault(_STATUS.get(code, 500), code)
    said, what = fault.get("Message", "").lower(), f"delete {bucket}/{key}"
    if known.status < 500 and any(word in said for word in _LOCK_WORDS):
        return Locked(f"{what}: the store says that a lock holds it ({code})")
    error: BaglineError = classify(known, what)
    if not isinstance(error, Unreachable | Refused):
        return Refused(str(error))
    if isinstance(error, Refused) and is_forbidden(known):
        return Refused(f"{error}: they need the right {right}")
    return error


def _gravest(faults: Sequence[Unreachable | Refused | Locked]) -> Unreachable | Refused | Locked:
    """A lock explains a refusal; of two locks the one that tells its end."""
    locks = [fault for fault in faults if isinstance(fault, Locked)]
    if locks:
        return max(locks, key=lambda lock: (bool(lock.until or lock.has_legal_hold), lock.until))
    found = gravest(list(faults))
    assert isinstance(found, Unreachable | Refused)
    return found
