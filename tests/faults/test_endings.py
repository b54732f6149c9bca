"""How items end when the world changes under them: each ending made to happen for real."""

from __future__ import annotations

import itertools

import pytest
import valkey

from bagline.errors import LeaseLost
from bagline.lines.ingest.line import INGEST_LINE
from bagline.model.subject import item_subject
from bagline.model.workitem import WorkItem
from bagline.services.objects.base import Body, Target
from support.bags import BagBuilder
from support.line import LineUnderTest

AFTER = {
    "Validate": ("pre-fetch",),
    "Copy To Staging": ("pre-fetch", "validator", "reingest-manager"),
    "Format Identification": ("pre-fetch", "validator", "reingest-manager", "staging-uploader"),
    "Store": (
        "pre-fetch",
        "validator",
        "reingest-manager",
        "staging-uploader",
        "format-identifier",
    ),
    "Record": tuple(step.name for step in INGEST_LINE)[:-2],
    "Cleanup": tuple(step.name for step in INGEST_LINE)[:-1],
}


def a_bag(text: bytes = b"Dear reader,\n") -> BagBuilder:
    return BagBuilder().payload("one.txt", text).payload("two.txt", b"too")


def advance(line: LineUnderTest, item: WorkItem, stage: str) -> None:
    """Work until the item waits at `stage`, and no further."""
    with line.working(only=AFTER[stage]):
        line.until(lambda: line.item(item.id).stage == stage, f"stage {stage}", item=item.id)


def put_received(line: LineUnderTest, body: bytes) -> None:
    target = Target(line.institution.receiving_bucket, "bag.tar")
    line.services.objects.put(Body(target, body))


def assert_clean(line: LineUnderTest, item: WorkItem) -> None:
    assert line.staged(item.id) == []
    assert line.redis_keys() == []


@pytest.mark.parametrize(
    "stage", ["Receive", "Validate", "Copy To Staging", "Format Identification"]
)
def test_a_bag_deleted_before_it_was_stored_fails_in_words(line: LineUnderTest, stage: str) -> None:
    item = line.deposit("bag.tar", a_bag().tar())
    if stage != "Receive":
        advance(line, item, stage)
    line.services.objects.delete(line.institution.receiving_bucket, "bag.tar")
    (ended,) = line.run(item)
    assert ended.status == "Failed"
    assert "deleted from the receiving bucket" in ended.note
    assert_clean(line, item)


@pytest.mark.parametrize(
    "stage", ["Receive", "Validate", "Copy To Staging", "Format Identification"]
)
def test_a_bag_replaced_before_it_was_stored_is_cancelled(line: LineUnderTest, stage: str) -> None:
    item = line.deposit("bag.tar", a_bag().tar())
    if stage != "Receive":
        advance(line, item, stage)
    put_received(line, a_bag(b"Another letter\n").tar())
    (ended,) = line.run(item)
    assert ended.status == "Cancelled"
    assert_clean(line, item)
    assert line.keys(line.institution.receiving_bucket) == ["bag.tar"]


def test_a_newer_bag_under_the_same_key_is_not_deleted_with_the_older_one(
    line: LineUnderTest,
) -> None:
    older = line.deposit("bag.tar", a_bag().tar())
    advance(line, older, "Store")
    assert line.deposit("bag.tar", a_bag(b"Another letter\n").tar()).id == older.id
    with line.working():
        assert line.until_ended(older.id).status == "Success"
        (newer,) = line.app.bucket_reader().poll()
        assert line.until_ended(newer.id).status == "Success"
    known = line.services.registry.files(["test.edu/bag/data/one.txt"])
    file = known["test.edu/bag/data/one.txt"]
    bucket = line.preservation_buckets()[0]
    assert line.services.objects.read(bucket, file.uuid) == b"Another letter\n"


def test_the_same_name_twice_in_a_minute_the_older_one_gives_way(line: LineUnderTest) -> None:
    older = line.deposit("bag.tar", a_bag().tar())
    newer = line.deposit("bag.tar", a_bag(b"Another letter\n").tar())
    with line.working():
        assert line.until_ended(older.id).status == "Cancelled"
        assert line.until_ended(newer.id).status == "Success"


def test_a_missing_bucket_calls_an_operator_and_keeps_everything(line: LineUnderTest) -> None:
    from msgspec import structs

    item = line.deposit("bag.tar", a_bag().tar())
    right = line.settings.buckets
    line.settings.buckets = structs.replace(right, staging="bagline-no-such-staging")
    with line.working():
        suspended = line.until_ended(item.id)
    assert (suspended.status, suspended.needs_admin_review) == ("Suspended", True)
    assert "bagline-no-such-staging" in suspended.note
    assert f"bagline requeue {item.id}" in suspended.note
    assert line.services.state.has_item(item.id)
    line.settings.buckets = right
    suspended.status, suspended.retry = "Pending", True
    line.services.registry.save_work_item(suspended)
    assert line.app.reconciler().look(min_age_seconds=0) == [item.id]
    (ended,) = line.run(item)
    assert ended.status == "Success"


def test_an_item_saved_but_never_published_is_found(line: LineUnderTest) -> None:
    item = line.deposit("bag.tar", a_bag().tar())
    line.services.queue.discard("ingest01_prefetch", item.id)
    reconciler = line.app.reconciler()
    assert reconciler.look(min_age_seconds=3600) == []
    assert reconciler.look(min_age_seconds=0) == [item.id]
    assert reconciler.look(min_age_seconds=0) == []
    (ended,) = line.run(item)
    assert ended.status == "Success"


def test_what_an_earlier_release_left_of_an_ended_item_is_swept(line: LineUnderTest) -> None:
    client = valkey.Valkey.from_url(line.settings.redis_url.reveal())
    for number in range(1_000):
        client.set(f"bagline:{{{9_000_000 + number}}}:object", b"test.edu/bag")
    reconciler = line.app.reconciler()
    left = [1_000]
    while left[-1] and len(left) < 100:
        reconciler.look()
        left.append(len(client.keys("bagline:{9*}:object")))
    client.close()
    assert left[-1] == 0
    assert max(before - after for before, after in itertools.pairwise(left)) < 500


def test_a_clean_up_that_got_lost_is_found(line: LineUnderTest) -> None:
    item = line.deposit("bag.tar", a_bag().tar())
    advance(line, item, "Copy To Staging")
    line.services.queue.discard("ingest04_staging", item.id)
    cancelled = line.item(item.id)
    cancelled.status, cancelled.retry = "Cancelled", False
    line.services.registry.save_work_item(cancelled)
    assert line.app.reconciler().look(min_age_seconds=0) == [item.id]
    line.run(item)
    assert_clean(line, item)


def test_a_crash_after_the_last_record_was_removed_ends_in_success(line: LineUnderTest) -> None:
    item = line.deposit("bag.tar", a_bag().tar())
    advance(line, item, "Cleanup")
    lease = line.services.state.take_lease(item_subject(item.id), owner="crashed", seconds=30)
    assert lease is not None
    line.services.state.delete_item(lease)
    line.services.state.drop_lease(lease)
    (ended,) = line.run(item)
    assert ended.status == "Success"
    assert ended.intellectual_object_id > 0
    assert_clean(line, item)


def test_records_lost_in_the_middle_call_an_operator(line: LineUnderTest) -> None:
    item = line.deposit("bag.tar", a_bag().tar())
    advance(line, item, "Store")
    lease = line.services.state.take_lease(item_subject(item.id), owner="mischief", seconds=30)
    assert lease is not None
    line.services.state.delete_item(lease)
    line.services.state.drop_lease(lease)
    with line.working():
        ended = line.until_ended(item.id)
    assert ended.status == "Suspended"
    assert "requeue" in ended.note
    assert line.keys(line.institution.receiving_bucket) == ["bag.tar"]


def test_a_second_delivery_of_an_item_in_work_changes_nothing(line: LineUnderTest) -> None:
    item = line.deposit("bag.tar", a_bag().tar())
    lease = line.services.state.take_lease(
        item_subject(item.id), owner="another worker", seconds=30
    )
    assert lease is not None
    with line.working():
        line.until(
            lambda: line.services.queue.depth(["ingest01_prefetch"])[0].delayed, "it to go back"
        )
        assert line.item(item.id).status == "Pending"
        line.services.state.drop_lease(lease)
        assert line.until_ended(item.id).status == "Success"


@pytest.mark.parametrize("topic", ["ingest01_prefetch", "ingest04_staging", "ingest09_cleanup"])
def test_a_message_for_a_finished_item_is_dropped(line: LineUnderTest, topic: str) -> None:
    item = line.deposit("bag.tar", a_bag().tar())
    (before,) = line.run(item)
    line.services.queue.publish(topic, item.id)
    with line.working():
        line.until(lambda: not line.services.queue.is_queued(topic, item.id), "it to be dropped")
    assert line.item(item.id) == before
    assert line.redis_keys() == []


def test_cleaning_one_item_leaves_the_next_ones_files(line: LineUnderTest) -> None:
    item = line.deposit("bag.tar", a_bag().tar())
    neighbour = f"{item.id}0/{'0' * 8}"
    staging = line.settings.buckets.staging
    line.services.objects.put(Body(Target(staging, neighbour), b"not yours"))
    line.run(item)
    assert line.keys(staging) == [neighbour]


def test_a_worker_without_its_lease_writes_nothing(line: LineUnderTest) -> None:
    item = line.deposit("bag.tar", a_bag().tar())
    state = line.services.state
    lease = state.take_lease(item_subject(item.id), owner="slow", seconds=30)
    assert lease is not None
    state.drop_lease(lease)
    taken = state.take_lease(item_subject(item.id), owner="quick", seconds=30)
    assert taken is not None
    with pytest.raises(LeaseLost):
        state.commit(lease, checkpoint=b"late")
    assert state.load_checkpoint(item.id) is None
    state.drop_lease(taken)


def test_requeued_at_receive_the_bag_is_read_again(line: LineUnderTest) -> None:
    item = line.deposit("bag.tar", a_bag().tar())
    advance(line, item, "Copy To Staging")
    uuids = {path: file.uuid for path, file in line.files(item.id).items()}
    line.services.queue.discard("ingest04_staging", item.id)
    back = line.item(item.id)
    back.stage = "Receive"
    line.services.registry.save_work_item(back)
    line.services.queue.publish("ingest01_prefetch", item.id)
    advance(line, item, "Validate")
    bag = line.services.state.load_object(item.id)
    assert bag is not None
    assert bag.file_count == len(uuids)
    assert len(bag.tag_files) == len(set(bag.tag_files))
    assert {path: file.uuid for path, file in line.files(item.id).items()} == uuids
    (ended,) = line.run(item)
    assert ended.status == "Success"


def test_a_stale_manifest_in_staging_does_not_spoil_a_good_bag(line: LineUnderTest) -> None:
    item = line.deposit("bag.tar", a_bag().tar())
    stale = Target(line.settings.buckets.staging, f"{item.id}/manifest-md5.txt")
    line.services.objects.put(Body(stale, b"00000000000000000000000000000000  data/one.txt\n"))
    (ended,) = line.run(item)
    assert ended.status == "Success"


def test_credentials_that_fail_before_the_stage_call_an_operator(
    line: LineUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bagline.app import App
    from bagline.config import S3Settings, Secret
    from bagline.wiring import build_objects

    item = line.deposit("bag.tar", a_bag().tar())
    from dataclasses import replace

    wrong = S3Settings(
        endpoint=line.settings.s3.endpoint,
        access_key=Secret("nobody"),
        secret_key=Secret("nothing"),
        allow_http=True,
    )
    right = line.app
    line.app = App(line.settings, replace(line.services, objects=build_objects(wrong)))
    with line.working():
        suspended = line.until_ended(item.id)
    line.app.services.objects.close()
    assert (suspended.status, suspended.needs_admin_review) == ("Suspended", True)
    assert "credentials" in suspended.note
    line.app = right


def test_a_name_that_no_client_can_ask_for_is_rejected_in_words(line: LineUnderTest) -> None:
    item = line.deposit("bag.tar", a_bag().tar())
    odd = line.item(item.id)
    odd.name = "two//slashes/../bag.tar"
    line.services.registry.save_work_item(odd)
    (ended,) = line.run(odd)
    assert ended.status == "Failed"
    (problem,) = line.services.registry.problems(item.id)
    assert problem.code == "BAG094"
    assert "Upload it under a name" in problem.message


def test_a_bag_that_kills_its_workers_is_not_tried_for_ever(line: LineUnderTest) -> None:
    from bagline.model.workitem import WorkResult

    item = line.deposit("bag.tar", a_bag().tar())
    step = INGEST_LINE.first
    lease = line.services.state.take_lease(item_subject(item.id), owner="killed", seconds=30)
    assert lease is not None
    result = WorkResult(operation=step.topic, attempt=step.retry.attempts)
    line.services.state.commit(lease, result=result)
    line.services.state.drop_lease(lease)
    with line.working():
        suspended = line.until_ended(item.id)
    assert suspended.status == "Suspended"
    assert "its worker died" in suspended.note


@pytest.mark.parametrize("stage", ["Receive", "Store"])
def test_a_record_that_cannot_be_read_calls_an_operator_or_is_made_anew(
    line: LineUnderTest, stage: str
) -> None:
    import valkey

    item = line.deposit("bag.tar", a_bag().tar())
    advance(line, item, "Store")
    client = valkey.Valkey.from_url(line.settings.redis_url.reveal())
    client.hset(str(item.id), "object:test.edu/bag", b"[not an object]")
    if stage == "Receive":
        line.services.queue.discard("ingest06_storage", item.id)
        back = line.item(item.id)
        back.stage = "Receive"
        line.services.registry.save_work_item(back)
        line.services.queue.publish("ingest01_prefetch", item.id)
        client.hset(str(item.id), "workresult:ingest01_prefetch", b"{")
    client.close()
    with line.working():
        ended = line.until_ended(item.id)
    if stage == "Receive":
        assert ended.status == "Success"
    else:
        assert ended.status == "Suspended"
        assert f"bagline requeue {item.id} --stage Receive" in ended.note


def test_an_ingest_cut_off_while_recording_and_begun_anew_has_every_event_once(
    line: LineUnderTest,
) -> None:
    item = line.deposit("bag.tar", a_bag().tar())
    advance(line, item, "Record")
    institution = line.services.registry.institution("test.edu")
    assert institution is not None
    from bagline.model.registry import IntellectualObject

    half = IntellectualObject(
        identifier="test.edu/bag", institution_id=institution.id, etag=item.etag, title="A bag"
    )
    line.services.registry.save_intellectual_object(half)
    line.services.queue.discard("ingest08_record", item.id)
    back = line.item(item.id)
    back.stage = "Receive"
    line.services.registry.save_work_item(back)
    line.services.queue.publish("ingest01_prefetch", item.id)
    (ended,) = line.run(item)
    assert ended.status == "Success"
    events = line.services.registry.events(object_id=ended.intellectual_object_id)
    assert sorted(event.event_type for event in events) == [
        "access assignment",
        "creation",
        "identifier assignment",
        "ingestion",
    ]
