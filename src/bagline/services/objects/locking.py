"""Versions and Object Lock as S3 tells of them: of a bucket, of every version of a key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from botocore.exceptions import ClientError

from bagline.errors import Refused
from bagline.model.times import NEVER, from_datetime, is_set, now, to_datetime
from bagline.services.objects.classify import NO_ENTRY_CODES, Fault, fault_of
from bagline.services.objects.connection import Connection
from bagline.services.objects.guards import BucketGuard, Lock

_UNKNOWN_CODES = frozenset({"NotImplemented", "MethodNotAllowed", "VersioningNotConfigured"})
_UNKNOWN_STATUS = frozenset({405, 501})
_NONE_CODES = frozenset(
    {
        "ObjectLockConfigurationNotFoundError",
        "NoSuchObjectLockConfiguration",
        "NoSuchObjectLegalHold",
        "NoSuchKey",
        "NoSuchVersion",
    }
)
"""What there is none of, by S3's code and that of others."""
NO_VERSION = ""
"""Names the only version there is, in a bucket that never had any."""


class VersionLocks:
    """Asks; several threads may."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def guard(self, bucket: str) -> BucketGuard:
        boto = self._connection.boto
        with self.by_right("s3:GetBucketVersioning", "ask about versions of", bucket):
            versions = _told(partial(boto.get_bucket_versioning, Bucket=bucket))
        with self.by_right("s3:GetBucketObjectLockConfiguration", "ask about locks of", bucket):
            told = _told(partial(boto.get_object_lock_configuration, Bucket=bucket))
        lock = told.get("ObjectLockConfiguration", {})
        retention = lock.get("Rule", {}).get("DefaultRetention", {})
        return BucketGuard(
            versioning=str(versions.get("Status", "")),
            has_lock=bool(lock.get("ObjectLockEnabled")),
            retention=_words_of(retention),
            needs_mfa=versions.get("MFADelete") == "Enabled",
        )

    def versions(self, bucket: str, key: str) -> Iterator[tuple[str, bool]]:
        """The id of every version of exactly that key, and whether it is but a delete marker.

        All pages are read to their end: stores list keys with the same beginning in orders of
        their own.
        """
        found, more = set[str](), dict[str, str]()
        while True:
            with self.by_right("s3:ListBucketVersions", "list versions of", bucket, key):
                page = self._connection.boto.list_object_versions(Bucket=bucket, Prefix=key, **more)
            for name, is_marker in (("Versions", False), ("DeleteMarkers", True)):
                for each in page.get(name, []):
                    if each["Key"] == key and each["VersionId"] not in found:
                        found.add(each["VersionId"])
                        yield each["VersionId"], is_marker
            if not page.get("IsTruncated") or not page.get("NextKeyMarker"):
                return
            names = {"KeyMarker": "NextKeyMarker", "VersionIdMarker": "NextVersionIdMarker"}
            more = {name: page[told] for name, told in names.items() if page.get(told)}

    def lock(self, bucket: str, key: str, guard: BucketGuard) -> Lock | None:
        """Of all versions together; None where nothing holds them now."""
        if guard.has_versions:
            versions = [
                version for version, is_marker in self.versions(bucket, key) if not is_marker
            ]
        else:
            versions = [NO_VERSION]
        locks = [self._lock_of(bucket, key, version) for version in versions]
        at = to_datetime(now())
        held = [lock for lock in locks if is_set(lock.until) and to_datetime(lock.until) > at]
        last = max(held, key=lambda lock: to_datetime(lock.until), default=Lock())
        has_hold = any(lock.has_legal_hold for lock in locks)
        return Lock(last.until, last.mode, has_hold) if held or has_hold else None

    def _lock_of(self, bucket: str, key: str, version: str) -> Lock:
        where = {"Bucket": bucket, "Key": key, **({"VersionId": version} if version else {})}
        boto = self._connection.boto
        with self.by_right("s3:GetObjectRetention", "ask about the retention of", bucket, key):
            retention = _told(partial(boto.get_object_retention, **where)).get("Retention", {})
        with self.by_right("s3:GetObjectLegalHold", "ask about a legal hold on", bucket, key):
            hold = _told(partial(boto.get_object_legal_hold, **where)).get("LegalHold", {})
        until = retention.get("RetainUntilDate")
        return Lock(
            until=from_datetime(until) if until else NEVER,
            mode=str(retention.get("Mode", "")),
            has_legal_hold=hold.get("Status") == "ON",
        )

    @contextmanager
    def by_right(self, right: str, action: str, bucket: str, key: str = "") -> Iterator[None]:
        """As `Connection.asking`; what is forbidden names the right that it takes."""
        try:
            with self._connection.asking(action, bucket, key):
                yield
        except Refused as refusal:
            fault = fault_of(refusal.__cause__) if refusal.__cause__ else None
            if fault is not None and is_forbidden(fault):
                raise Refused(f"{refusal}: they need the right {right}") from refusal.__cause__
            raise


def is_forbidden(fault: Fault) -> bool:
    """Whether the keys are good, and may not do this."""
    return fault.code not in NO_ENTRY_CODES and (
        fault.status == 403 or fault.code == "AccessDenied"
    )


def _told(ask: partial[Any]) -> Mapping[str, Any]:
    """The answer; empty where the store does not know the question, or has no such thing."""
    try:
        answer: Mapping[str, Any] = ask()
    except ClientError as error:
        fault = fault_of(error)
        if fault is None or not (
            fault.code in _NONE_CODES | _UNKNOWN_CODES or fault.status in _UNKNOWN_STATUS
        ):
            raise
        return {}
    return answer


def _words_of(retention: Mapping[str, Any]) -> str:
    if not retention.get("Mode"):
        return ""
    spans = ((int(retention.get(unit, 0)), unit.lower()) for unit in ("Days", "Years"))
    told = [f"{count} {unit if count != 1 else unit[:-1]}" for count, unit in spans if count]
    return ", ".join([str(retention["Mode"]), *told])
