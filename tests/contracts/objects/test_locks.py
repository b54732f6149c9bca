"""Object Lock: what holds a key is told, and nothing of it is deleted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bagline.embedded import EngineAddresses
from bagline.errors import Locked, Refused
from bagline.model.times import NEVER, from_datetime
from bagline.services.objects.base import Objects
from bagline.services.objects.guards import BucketGuard, Lock
from support.commands import until as wait_until
from support.engines import fresh_name
from support.objects import put, s3
from support.proxy import Fault, Proxy

pytestmark = pytest.mark.engines

DAY = timedelta(days=1)


def from_now(span: timedelta) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + span


@pytest.fixture
def locked(boto: Any) -> str:
    name = fresh_name("locked")
    boto.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    return name


def put_until(boto: Any, bucket: str, key: str, mode: str, until: datetime) -> str:
    answer = boto.put_object(
        Bucket=bucket,
        Key=key,
        Body=b"kept",
        ObjectLockMode=mode,
        ObjectLockRetainUntilDate=until,
    )
    return str(answer["VersionId"])


def versions_of(boto: Any, bucket: str, key: str) -> int:
    page = boto.list_object_versions(Bucket=bucket, Prefix=key)
    return len(page.get("Versions", [])) + len(page.get("DeleteMarkers", []))


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({}, ""),
        ({"Mode": "GOVERNANCE", "Days": 30}, "GOVERNANCE, 30 days"),
        ({"Mode": "COMPLIANCE", "Days": 1}, "COMPLIANCE, 1 day"),
        ({"Mode": "COMPLIANCE", "Years": 7}, "COMPLIANCE, 7 years"),
    ],
)
def test_a_guard_tells_of_the_lock(
    objects: Objects, boto: Any, locked: str, rule: dict[str, Any], words: str
) -> None:
    if rule:
        told = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": rule}}
        boto.put_object_lock_configuration(Bucket=locked, ObjectLockConfiguration=told)
    assert objects.guard(locked) == BucketGuard("Enabled", has_lock=True, retention=words)


@pytest.mark.parametrize("mode", ["GOVERNANCE", "COMPLIANCE"])
def test_a_retention_is_told_and_keeps_every_version(
    objects: Objects, boto: Any, locked: str, mode: str
) -> None:
    """One version is held, beneath a newer one that is not, and a marker."""
    until = from_now(DAY)
    put_until(boto, locked, "k", mode, until)
    put(objects, locked, "k", b"newer")
    objects.delete(locked, "k")
    put(objects, locked, "k-x", b"free")
    assert objects.locks_many(locked, ["k", "k-x", "absent"]) == [
        Lock(from_datetime(until), mode),
        None,
        None,
    ]
    held, free, absent = objects.delete_for_good(locked, ["k", "k-x", "absent"])
    assert isinstance(held, Locked)
    assert (held.until, held.has_legal_hold) == (from_datetime(until), False)
    assert f"until {from_datetime(until)} ({mode})" in str(held)
    assert (free, absent) == (None, None)
    assert versions_of(boto, locked, "k") == 3
    assert objects.remain_many(locked, ["k", "k-x"]) == [True, False]


def test_the_latest_of_many_retentions_counts(objects: Objects, boto: Any, locked: str) -> None:
    latest = from_now(3 * DAY)
    put_until(boto, locked, "k", "GOVERNANCE", from_now(DAY))
    put_until(boto, locked, "k", "COMPLIANCE", latest)
    put_until(boto, locked, "k", "GOVERNANCE", from_now(2 * DAY))
    put_until(boto, locked, "k-x", "GOVERNANCE", from_now(9 * DAY))
    assert objects.locks_many(locked, ["k"]) == [Lock(from_datetime(latest), "COMPLIANCE")]


def test_a_legal_hold_is_told_and_deletes_go_when_it_is_lifted(
    objects: Objects, boto: Any, locked: str
) -> None:
    put(objects, locked, "k", b"1")
    where = {"Bucket": locked, "Key": "k"}
    boto.put_object_legal_hold(**where, LegalHold={"Status": "ON"})
    assert objects.locks_many(locked, ["k"]) == [Lock(NEVER, "", has_legal_hold=True)]
    (held,) = objects.delete_for_good(locked, ["k"])
    assert isinstance(held, Locked)
    assert (held.until, held.has_legal_hold) == ("", True)
    assert "under a legal hold" in str(held)
    assert objects.read(locked, "k") == b"1"
    boto.put_object_legal_hold(**where, LegalHold={"Status": "OFF"})
    assert objects.locks_many(locked, ["k"]) == [None]
    assert objects.delete_for_good(locked, ["k"]) == [None]
    assert versions_of(boto, locked, "k") == 0


def test_one_locked_key_among_many_hinders_no_other(
    objects: Objects, boto: Any, locked: str
) -> None:
    names = [f"{n:03}" for n in range(40)]
    for name in names:
        put(objects, locked, name, b"")
    boto.put_object_legal_hold(Bucket=locked, Key="017", LegalHold={"Status": "ON"})
    said = objects.delete_for_good(locked, names)
    assert [name for name, each in zip(names, said, strict=True) if each is not None] == ["017"]
    assert objects.remain_many(locked, names) == [name == "017" for name in names]


def test_what_the_bucket_puts_on_everything_keeps_it(
    objects: Objects, boto: Any, locked: str
) -> None:
    """Not every store tells of it beforehand."""
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 2}}
    told = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    boto.put_object_lock_configuration(Bucket=locked, ObjectLockConfiguration=told)
    boto.put_object(Bucket=locked, Key="k", Body=b"kept", ChecksumAlgorithm="SHA256")
    (held,) = objects.delete_for_good(locked, ["k"])
    assert isinstance(held, Locked)
    assert objects.read(locked, "k") == b"kept"
    assert objects.remain_many(locked, ["k"]) == [True]


@pytest.mark.parametrize("engines", ["minio"], indirect=True)
def test_a_retention_that_is_over_holds_nothing(objects: Objects, boto: Any, locked: str) -> None:
    version = put_until(boto, locked, "k", "GOVERNANCE", from_now(DAY))
    boto.put_object_retention(
        Bucket=locked,
        Key="k",
        VersionId=version,
        Retention={"Mode": "GOVERNANCE", "RetainUntilDate": from_now(timedelta(seconds=2))},
        BypassGovernanceRetention=True,
    )
    wait_until(
        lambda: objects.locks_many(locked, ["k"]) == [None], "the retention ends", seconds=30
    )
    assert objects.delete_for_good(locked, ["k"]) == [None]
    assert objects.remain_many(locked, ["k"]) == [False]


@pytest.mark.parametrize("engines", ["minio"], indirect=True)
@pytest.mark.parametrize(
    ("on", "right"),
    [("retention", "s3:GetObjectRetention"), ("legal-hold", "s3:GetObjectLegalHold")],
)
def test_locks_that_may_not_be_looked_at_keep_the_key(
    engines: EngineAddresses, boto: Any, locked: str, proxy: Proxy, on: str, right: str
) -> None:
    boto.put_object(Bucket=locked, Key="k", Body=b"kept")
    body = b"<Error><Code>AccessDenied</Code></Error>"
    head = b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    through = s3(engines, endpoint=proxy.url)
    for ask in (through.locks_many, through.delete_for_good):
        proxy.faults.append(Fault(instead=head + body, on=f"?{on}"))
        (said,) = ask(locked, ["k"])
        assert isinstance(said, Refused)
        assert str(said).endswith(f"they need the right {right}")
    assert through.remain_many(locked, ["k"]) == [True]
    assert through.delete_for_good(locked, ["k"]) == [None]
