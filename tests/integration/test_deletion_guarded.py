"""Deletion where buckets keep versions and locks: all of it goes, or nothing before a lock ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from msgspec import structs

from bagline.app import App
from bagline.cli.bucket_words import preservation_buckets
from bagline.cli.exits import NOT_ALLOWED
from bagline.embedded import EngineAddresses
from bagline.model.registry import IntellectualObject
from bagline.model.storage import StorageOption
from bagline.model.times import from_datetime
from bagline.model.workitem import OUTCOME_CHANGING, WorkItem
from bagline.services.objects.retrying import RetryingObjects
from bagline.wiring import LINES
from support.bags import BagBuilder
from support.commands import Bagline
from support.deleting import Consent, assert_true, files_of, preserve
from support.engines import fresh_name
from support.line import LineUnderTest, line_over
from support.objects import s3
from support.proxy import Fault, proxy_before
from support.stores import engines_with

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def minio(
    engines: EngineAddresses, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EngineAddresses]:
    with engines_with("minio", engines, tmp_path_factory.mktemp("minio")) as found:
        yield found


@pytest.fixture(scope="module")
def boto(minio: EngineAddresses) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=minio.s3_endpoint,
        region_name="us-east-1",
        aws_access_key_id=minio.s3_access_key,
        aws_secret_access_key=minio.s3_secret_key,
    )


@pytest.fixture(scope="module")
def line(
    minio: EngineAddresses, boto: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LineUnderTest]:
    """Its first preservation bucket keeps versions, its second one locks, too."""
    name = fresh_name("guarded")
    versioned, locked = f"{name}-preservation-va", f"{name}-preservation-or"
    boto.create_bucket(Bucket=versioned)
    boto.put_bucket_versioning(Bucket=versioned, VersioningConfiguration={"Status": "Enabled"})
    boto.create_bucket(Bucket=locked, ObjectLockEnabledForBucket=True)
    with line_over(minio, tmp_path_factory.mktemp("line"), name) as line:
        assert line.preservation_buckets() == [versioned, locked]
        yield line


@pytest.fixture(scope="module")
def consent(line: LineUnderTest) -> Iterator[Consent]:
    consent = Consent(line)
    yield consent
    consent.close()


@pytest.fixture
def bagline(line: LineUnderTest, monkeypatch: pytest.MonkeyPatch) -> Bagline:
    """The command, on that line."""
    monkeypatch.setenv("BAGLINE_REDIS_URL", line.settings.redis_url.reveal())
    monkeypatch.setenv("BAGLINE_S3_ENDPOINT", line.settings.s3.endpoint)
    monkeypatch.setenv("BAGLINE_S3_ALLOW_HTTP", "true")
    return Bagline(line.settings.data_dir)


def go_on(line: LineUnderTest, bagline: Bagline, item: WorkItem) -> WorkItem:
    ended = bagline.run("requeue", item.id)
    assert ended.returncode == 0, ended.stderr
    (item,) = line.run(item)
    return item


def keys_of(line: LineUnderTest, kept: IntellectualObject) -> list[str]:
    return [file.uuid for file in files_of(line, kept)]


def versions(line: LineUnderTest, boto: Any, keys: list[str]) -> list[tuple[str, str, str]]:
    """(bucket, key, version) of all that stands under these keys, markers too."""
    return sorted(
        (bucket, each["Key"], each["VersionId"])
        for bucket in line.preservation_buckets()
        for key in keys
        for page in [boto.list_object_versions(Bucket=bucket, Prefix=key)]
        for each in [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
    )


def test_every_version_and_marker_goes(line: LineUnderTest, consent: Consent, boto: Any) -> None:
    for text in (b"one", b"another one"):
        bag = BagBuilder("often").payload("a.txt", text).payload("b.txt", b"two")
        (ended,) = line.run(line.deposit("often.tar", bag.tar()))
        assert ended.status == "Success", ended.note
    kept = line.services.registry.intellectual_object("test.edu/often")
    assert kept is not None
    keys = keys_of(line, kept)
    boto.delete_object(Bucket=line.preservation_buckets()[0], Key=keys[0])
    before = versions(line, boto, keys)
    assert len(before) > 2 * len(keys) + 1
    store = line.services.objects
    for bucket in line.preservation_buckets():
        assert store.remain_many(bucket, keys) == [True] * len(keys)
    (ended,) = line.run(*consent.agreed(objects=[kept.identifier]))
    assert ended.status == "Success", ended.note
    for bucket in line.preservation_buckets():
        assert store.remain_many(bucket, keys) == [False] * len(keys)
    assert versions(line, boto, keys) == []


@pytest.mark.parametrize("kind", ["GOVERNANCE", "COMPLIANCE", "a hold"])
def test_a_lock_suspends_before_the_first_byte(
    line: LineUnderTest, consent: Consent, boto: Any, bagline: Bagline, kind: str
) -> None:
    kept = preserve(line, f"locked by {kind}", 3)
    keys = keys_of(line, kept)
    locked = line.preservation_buckets()[1]
    until = datetime.now(UTC).replace(microsecond=0) + DAY
    where = {"Bucket": locked, "Key": keys[1]}
    if kind == "a hold":
        boto.put_object_legal_hold(**where, LegalHold={"Status": "ON"})
        words = "under a legal hold"
    else:
        boto.put_object_retention(**where, Retention={"Mode": kind, "RetainUntilDate": until})
        words = f"until {from_datetime(until)} ({kind})"
    before = versions(line, boto, keys)
    (item,) = line.run(*consent.agreed(objects=[kept.identifier]))
    assert item.status == "Suspended"
    assert f"Nothing was deleted: {locked}/{keys[1]} is locked {words}" in item.note
    assert item.outcome != OUTCOME_CHANGING
    assert versions(line, boto, keys) == before
    assert_all_kept(line, kept, item)
    if kind == "COMPLIANCE":  # nobody ends that one before its time
        again = go_on(line, bagline, item)
        assert again.status == "Suspended"
        assert versions(line, boto, keys) == before
        return
    if kind == "a hold":
        boto.put_object_legal_hold(**where, LegalHold={"Status": "OFF"})
    else:
        soon = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
        retention = {"Mode": kind, "RetainUntilDate": soon}
        boto.put_object_retention(**where, Retention=retention, BypassGovernanceRetention=True)
        line.until(lambda: line.services.objects.locks_many(locked, [keys[1]]) == [None], "its end")
    ended = go_on(line, bagline, item)
    assert ended.status == "Success", ended.note
    assert versions(line, boto, keys) == []


def assert_all_kept(line: LineUnderTest, kept: IntellectualObject, item: WorkItem) -> None:
    assert_true(line, kept, item)
    for file in files_of(line, kept):
        assert (file.state, len(file.storage_records)) == ("A", 2)


def test_a_lock_that_comes_after_it_has_begun_keeps_its_file_alone(
    line: LineUnderTest, consent: Consent, boto: Any, bagline: Bagline
) -> None:
    kept = preserve(line, "locked late", 4)
    keys = keys_of(line, kept)
    book = line.services.registry.deletions
    assert book is not None
    (item,) = consent.approve(consent.ask(objects=[kept.identifier]))
    item.status = "Started"
    line.services.registry.save_work_item(item)
    assert not book.condemn(item.id)
    where = {"Bucket": line.preservation_buckets()[1], "Key": keys[2]}
    boto.put_object_legal_hold(**where, LegalHold={"Status": "ON"})
    line.services.queue.publish("delete_item", item.id)
    (item,) = line.run(item)
    assert item.status == "Suspended"
    assert "under a legal hold" in item.note
    assert "Nothing was deleted" not in item.note
    assert item.outcome == OUTCOME_CHANGING
    assert LINES.must_go_forward(item, line.services.registry)
    refused = bagline.run("cancel", item.id)
    assert (refused.returncode, "go forward" in refused.stderr) == (NOT_ALLOWED, True), (
        refused.stderr
    )
    assert [file.uuid for file in book.doomed(item.id)] == [keys[2]]
    assert_true(line, kept, item)
    states = {file.uuid: file.state for file in files_of(line, kept)}
    assert states == {key: "A" if key == keys[2] else "D" for key in keys}
    assert {(bucket, key) for bucket, key, _ in versions(line, boto, keys)} == {
        (where["Bucket"], keys[2])
    }
    boto.put_object_legal_hold(**where, LegalHold={"Status": "OFF"})
    ended = go_on(line, bagline, item)
    assert ended.status == "Success", ended.note
    assert versions(line, boto, keys) == []
    certificate = book.certificate(item.id)
    assert certificate is not None
    assert certificate.files == 4


def test_doctor_says_what_a_deletion_will_meet(line: LineUnderTest, boto: Any) -> None:
    for _ in range(2):
        facts, remedies = preservation_buckets(line.app)
        assert remedies == []
    versioned, locked = line.preservation_buckets()
    every = "versions are kept: a deletion removes every one"
    assert facts[f"Local, bucket {versioned}"] == every
    assert facts[f"Local, bucket {locked}"].startswith(f"{every}; objects may be locked")
    assert versions(line, boto, ["bagline-probe/"]) == []


def test_doctor_leaves_nothing_that_a_bucket_would_lock(line: LineUnderTest, boto: Any) -> None:
    bucket = fresh_name("retained")
    boto.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 30}}
    told = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    boto.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=told)
    target = structs.replace(line.settings.storage_option("Standard").targets[0], bucket=bucket)
    option = StorageOption(name="Standard", targets=(target,))
    app = App(structs.replace(line.settings, storage_options=(option,)), line.services)
    facts, remedies = preservation_buckets(app)
    assert remedies == []
    assert "whatever is written is locked (GOVERNANCE, 30 days)" in facts[f"Local, bucket {bucket}"]
    assert facts["tried to write"] == "0"
    assert "Versions" not in boto.list_object_versions(Bucket=bucket)


@pytest.mark.parametrize(
    ("on", "right"),
    [
        ("?versioning", "s3:GetBucketVersioning"),
        ("?object-lock", "s3:GetBucketObjectLockConfiguration"),
        ("?retention", "s3:GetObjectRetention"),
        ("?versions", "s3:ListBucketVersions"),
        ("?delete", "s3:DeleteObjectVersion"),
    ],
)
def test_doctor_names_the_right_that_is_missing(
    line: LineUnderTest, minio: EngineAddresses, on: str, right: str
) -> None:
    body = b"<Error><Code>AccessDenied</Code></Error>"
    head = b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    with proxy_before(minio.s3_endpoint) as proxy:
        through = s3(minio, endpoint=proxy.url)
        through.abilities(line.settings.buckets.staging)
        # A connection that closes as it is used again tells nothing: then it is asked once more.
        proxy.faults += [Fault(instead=head + body, on=on) for _ in range(3)]
        app = App(line.settings, replace(line.services, objects=RetryingObjects(through)))
        _, remedies = preservation_buckets(app)
        through.close()
    assert remedies
    assert all(right in remedy for remedy in remedies), remedies
