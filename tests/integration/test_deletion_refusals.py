"""What the Registry refuses of a deletion whoever calls, with a worker's key too."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from msgspec import structs
from sqlalchemy import select

from bagline.model.deletion import DeletionPolicy, NewDeletion
from bagline.model.registry import IntellectualObject, RegistryStorageRecord
from bagline.model.times import now
from bagline.model.workitem import OUTCOME_CHANGING, WorkItem
from bagline.services.registry.act_rows import acts
from bagline.services.registry.base import Conflict, NotAllowed
from bagline.services.registry.deletion_requests import DeletionRequests
from bagline.services.registry.deletion_rows import SqlDeletions
from bagline.services.registry.sql import SqlRegistry
from support.consenting import ANN, BATCH_KEY, BOB, LONE, House, house_of_consent
from support.registry import ADMIN, WORKERS
from support.registry_records import an_item


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house_of_consent(tmp_path_factory.mktemp("house") / "data") as house:
        yield house


def state_of(house: House, kept: IntellectualObject) -> str:
    found = house.registry.intellectual_object(kept.identifier)
    assert found is not None
    return found.state


def no_certificate(house: House, item: WorkItem) -> bool:
    assert house.registry.deletions is not None
    return house.registry.deletions.certificate(item.id) is None


# -- the end of a deletion is no way around its beginning


@pytest.mark.parametrize("who", [WORKERS, ADMIN])
@pytest.mark.parametrize("with_file", [True, False], ids=["a file", "no file"])
@pytest.mark.parametrize("how", ["by hand", "asked", "approved", "approved and due"])
def test_what_has_not_begun_is_not_concluded(
    house: House, who: str, how: str, with_file: bool
) -> None:
    kept = house.object()
    if with_file:
        house.file(kept)
    number = house.asked(kept)
    if how in ("by hand", "asked"):
        request = number if how == "asked" else 0
        item = house.registry.save_work_item(_delete_item(kept, request))
    else:
        house.approve(BOB, number)
        if how == "approved and due":
            house.wait_over(number)
        item = house.item(number, status="Started")
    status, answer = house.ask(who, "POST", f"deletions/conclude/{item.id}")
    assert status == 409, answer
    assert "no deletion that has begun" in answer["Error"]
    assert state_of(house, kept) == "A"
    assert no_certificate(house, item)


def _delete_item(kept: IntellectualObject, request: int) -> WorkItem:
    """As nobody agreed to it, but as if it had begun."""
    return WorkItem(
        name=f"{kept.bag_name}.tar",
        action="Delete",
        stage="Requested",
        status="Started",
        institution_id=kept.institution_id,
        intellectual_object_id=kept.id,
        object_identifier=kept.identifier,
        etag=kept.etag,
        user=ANN,
        inst_approver=BOB,
        deletion_request_id=request,
        date_processed=now(),
    )


@pytest.mark.parametrize("who", [WORKERS, ADMIN])
def test_an_outcome_that_somebody_wrote_begins_nothing(house: House, who: str) -> None:
    kept = house.object()
    number = house.asked(kept)
    item = _delete_item(kept, number)
    item.outcome = OUTCOME_CHANGING
    item = house.registry.save_work_item(item)
    status, answer = house.ask(who, "POST", f"deletions/conclude/{item.id}")
    assert status == 409, answer
    assert "no deletion that has begun" in answer["Error"]
    assert state_of(house, kept) == "A"


def test_what_has_active_files_is_not_concluded(house: House) -> None:
    kept = house.object()
    file = house.file(kept)
    item = house.begin(kept)
    assert house.ask(WORKERS, "POST", f"deletions/conclude/{item.id}")[0] == 409
    gone = {"generic_file_ids": [file.id]}
    assert house.ask(WORKERS, "POST", f"deletions/gone/{item.id}", gone)[0] == 200
    house.file(kept, "data/b")
    status, answer = house.ask(WORKERS, "POST", f"deletions/conclude/{item.id}")
    assert status == 409, answer
    assert "1 files" in answer["Error"]
    assert state_of(house, kept) == "A"
    assert no_certificate(house, item)


def test_what_had_begun_ends_when_the_rest_is_recalled(house: House) -> None:
    kept, rest = house.object(), house.object()
    status, made = house.ask(
        ANN,
        "POST",
        "deletions/request",
        msgspec.to_builtins(NewDeletion(reason="Withdrawn", objects=[kept.id, rest.id])),
    )
    assert status == 201, made
    assert house.approve(BOB, made["id"])[0] == 200
    house.wait_over(made["id"])
    _, shown = house.ask(ANN, "GET", f"deletions/show/{made['id']}")
    items = [house.registry.work_item(number) for number in shown["work_items"]]
    (item,) = (each for each in items if each and each.intellectual_object_id == kept.id)
    item.status = "Started"
    house.registry.save_work_item(item)
    assert house.ask(WORKERS, "POST", f"deletions/condemn/{item.id}")[1]["busy"] == []
    recall = house.ask(ANN, "POST", f"deletions/cancel/{made['id']}", reason="Only the one")
    assert recall[0] == 200
    assert house.ask(WORKERS, "POST", f"deletions/conclude/{item.id}")[0] == 200
    assert (state_of(house, kept), state_of(house, rest)) == ("D", "A")


# -- the waiting time


def test_nothing_begins_before_the_waiting_time_is_over(house: House) -> None:
    kept = house.object()
    house.file(kept)
    number = house.asked(kept)
    house.approve(BOB, number)
    item = house.item(number, status="Started")
    for method, path in (("GET", "against"), ("POST", "condemn")):
        _, found = house.ask(WORKERS, method, f"deletions/{path}/{item.id}")
        assert "can be recalled until" in found["busy"][0]
    status, answer = house.ask(WORKERS, "DELETE", f"objects/delete/{kept.id}")
    assert status == 403
    assert "can be recalled until" in answer["error"]
    assert state_of(house, kept) == "A"


def test_no_queue_takes_what_waits(house: House) -> None:
    """Another's worker does not know of the time: it hears of the item when it is over."""
    number = house.asked(house.object())
    approved = house.approve(BOB, number)[1]
    item = house.item(number)
    assert item.queued_at == approved["begins_at"] > approved["confirmed_at"]
    assert "can be recalled until" in item.note


def test_what_another_worker_has_begun_cannot_be_recalled(house: House) -> None:
    """It takes the copies away first, and says only that it works. Ours says when it begins."""
    for coexist, node, is_begun in (
        (True, "elsewhere", True),
        (True, "bagline:here", False),
        (False, "here", False),
    ):
        number = house.asked(house.object())
        house.approve(BOB, number)
        house.wait_over(number)
        policy = DeletionPolicy(beside_others=coexist)
        beside = SqlRegistry(house.registry._database, policy=policy)
        beside.save_work_item(structs.replace(house.item(number), status="Started", node=node))
        status, answer = house.ask(ANN, "POST", f"deletions/cancel/{number}", reason="Stop")
        assert status == (409 if is_begun else 200), answer
        assert house.item(number).status == ("Started" if is_begun else "Cancelled")


def test_what_another_worker_had_begun_ends_when_the_rest_is_recalled(house: House) -> None:
    kept, rest = house.object(), house.object()
    file = house.file(kept)
    item = agreed(house, kept, rest)[0]
    beside = SqlRegistry(house.registry._database, policy=DeletionPolicy(beside_others=True))
    beside.save_work_item(structs.replace(item, status="Started", node="elsewhere"))
    recall = f"deletions/cancel/{item.deletion_request_id}"
    assert house.ask(ANN, "POST", recall, reason="Only the one")[0] == 200
    assert house.ask(WORKERS, "DELETE", f"files/delete/{file.id}")[0] == 200
    assert house.ask(WORKERS, "DELETE", f"objects/delete/{kept.id}")[0] == 200
    assert (state_of(house, kept), state_of(house, rest)) == ("D", "A")
    assert house.registry.deletions is not None
    certificate = house.registry.deletions.certificate(item.id)
    assert certificate is not None
    assert not certificate.keys_asked_again


def agreed(house: House, *objects: IntellectualObject) -> list[WorkItem]:
    """Items of one request for them, due now, in their order."""
    wanted = NewDeletion(reason="Withdrawn", objects=[each.id for each in objects])
    status, made = house.ask(ANN, "POST", "deletions/request", msgspec.to_builtins(wanted))
    assert status == 201, made
    assert house.approve(BOB, made["id"])[0] == 200
    house.wait_over(made["id"])
    _, shown = house.ask(ANN, "GET", f"deletions/show/{made['id']}")
    items = {}
    for number in shown["work_items"]:
        item = house.registry.work_item(number)
        assert item is not None
        items[item.intellectual_object_id] = item
    return [items[each.id] for each in objects]


# -- that it has begun is not forgotten


def test_a_row_read_before_it_began_does_not_take_it_back(house: House) -> None:
    """As a worker saves it that never heard the answer, an operator, or who puts it by the API."""
    kept = house.object()
    house.file(kept)
    (item,) = agreed(house, kept)
    item.status = "Started"
    stale = house.registry.save_work_item(item)
    number = item.deletion_request_id
    assert house.ask(WORKERS, "POST", f"deletions/condemn/{item.id}")[1]["busy"] == []
    stale = structs.replace(stale, status="Pending", outcome="Not started")
    assert house.registry.save_work_item(stale).outcome == OUTCOME_CHANGING
    for who in (ADMIN, WORKERS):
        status, saved = house.ask(who, "PUT", f"items/update/{item.id}", stale)
        assert (status, saved.get("outcome")) == (200, OUTCOME_CHANGING), saved
    status, answer = house.ask(ANN, "POST", f"deletions/cancel/{number}", reason="Stop")
    assert status == 409
    assert "has begun" in answer["Error"]
    found = house.registry.changing_item(kept.institution_id, kept.bag_name)
    assert found is not None
    assert found.id == item.id


@pytest.mark.parametrize("who", [WORKERS, ADMIN])
@pytest.mark.parametrize("status", ["Success", "Failed", "Cancelled"])
def test_what_has_begun_is_ended_by_its_certificate_alone(
    house: House, status: str, who: str
) -> None:
    kept = house.object()
    house.file(kept)
    item = house.begin(kept)
    known = house.registry.work_item(item.id)
    assert known is not None
    ended = structs.replace(known, status=status, note="Enough", retry=False)
    answered, answer = house.ask(who, "PUT", f"items/update/{item.id}", ended)
    assert answered == 409, answer


def test_an_outcome_that_was_put_keeps_nobody_from_recalling(house: House) -> None:
    kept = house.object()
    number = house.asked(kept)
    house.approve(BOB, number)
    item = house.item(number)
    claimed = structs.replace(item, status="Started", outcome=OUTCOME_CHANGING)
    status, saved = house.ask(WORKERS, "PUT", f"items/update/{item.id}", claimed)
    assert status == 200, saved
    assert saved["outcome"] != OUTCOME_CHANGING
    recall = f"deletions/cancel/{item.deletion_request_id}"
    assert house.ask(ANN, "POST", recall, reason="A slip")[0] == 200
    assert house.ask(WORKERS, "POST", f"deletions/conclude/{item.id}")[0] == 409
    known = house.registry.work_item(item.id)
    assert known is not None
    again = structs.replace(known, status="Pending", retry=True)
    status, answer = house.ask(ADMIN, "PUT", f"items/update/{item.id}", again)
    assert status == 409
    assert "Ask for the deletion anew" in answer["Error"]
    form = {"stage": "Requested"}
    assert house.ask(ADMIN, "PUT", f"items/requeue/{item.id}", **form)[0] == 409


def test_one_consent_is_for_one_deletion(house: House) -> None:
    kept = house.object()
    file = house.file(kept)
    item = house.begin(kept)
    gone = {"generic_file_ids": [file.id]}
    assert house.ask(WORKERS, "POST", f"deletions/gone/{item.id}", gone)[0] == 200
    assert house.ask(WORKERS, "POST", f"deletions/conclude/{item.id}")[0] == 200
    known = house.registry.work_item(item.id)
    assert known is not None
    house.registry.save_work_item(structs.replace(known, status="Success"))
    house.registry.save_intellectual_object(structs.replace(kept, state="A"))
    came = house.file(kept, "data/b")
    again = structs.replace(known, status="Started", outcome="")
    assert house.ask(WORKERS, "PUT", f"items/update/{item.id}", again)[0] == 409
    for path in (f"files/delete/{came.id}", f"objects/delete/{kept.id}"):
        assert house.ask(WORKERS, "DELETE", path)[0] == 403
    assert state_of(house, kept) == "A"


def test_what_was_stored_anew_is_not_taken_for_what_was_doomed(house: House) -> None:
    kept = house.object()
    file = house.file(kept)
    item = house.begin(kept)
    url = "https://va.example/va/another"
    moved = structs.replace(file, storage_records=[RegistryStorageRecord(url=url)])
    house.registry.update_file(moved)
    gone = {"generic_file_ids": [file.id]}
    status, answer = house.ask(WORKERS, "POST", f"deletions/gone/{item.id}", gone)
    assert status == 409
    assert url in answer["Error"]


def test_what_is_gone_is_not_asked_back(house: House) -> None:
    """Also where somebody looked at it while it stood, and asked when it had gone."""
    kept = house.object()
    item = house.begin(kept)
    assert house.ask(WORKERS, "POST", f"deletions/conclude/{item.id}")[0] == 200
    known = house.registry.work_item(item.id)
    assert known is not None
    house.registry.save_work_item(structs.replace(known, status="Success"))
    wanted = structs.replace(known, id=0, action="Restore Object", status="Pending", outcome="")
    with pytest.raises(Conflict, match="deleted"):
        house.registry.open_change(wanted)


# -- what another's worker asks before it calls something deleted


@pytest.mark.parametrize("against", ["people", "newer", "open", "young"])
def test_delete_looks_at_what_condemning_looks_at(house: House, against: str) -> None:
    kept = house.object()
    file = house.file(kept)
    (item,) = agreed(house, kept)
    house.registry.save_work_item(structs.replace(item, status="Started"))
    users, institution = house.users(), house.institutions["test.edu"].id
    name = f"{kept.bag_name}.tar"
    try:
        if against == "people":
            users.disable(BOB)
        elif against == "newer":
            house.file(kept, "data/newer")
        elif against == "open":
            ingest = an_item(house.institutions["test.edu"], name, stage="Receive")
            house.registry.save_work_item(ingest)
        if against == "young":
            policy = DeletionPolicy(retention_days=((kept.storage_option, 30),))
            with pytest.raises(NotAllowed, match="30 days"):
                SqlDeletions(house.registry._database, policy=policy).delete_file(file)
        else:
            assert house.ask(WORKERS, "DELETE", f"files/delete/{file.id}")[0] == 403
    finally:
        house.keys[BOB] = users.add(BOB, "institutional_admin", institution)
    assert state_of(house, kept) == "A"


def test_a_newer_version_is_seen_however_its_ingest_ended(house: House) -> None:
    kept = house.object()
    house.file(kept)
    number = house.asked(kept)
    house.file(kept, "data/newer")
    status, answer = house.approve(BOB, number)
    assert status == 409
    assert "ask anew" in answer["Error"]


def test_who_writes_a_request_down_for_somebody_does_not_approve_it(house: House) -> None:
    kept = house.object("lone.edu")
    lone = next(user for user in house.users().all() if user.email == LONE)
    asked = {
        "institutionId": lone.institution_id,
        "requestorId": lone.id,
        "objectIds": [kept.id],
        "secretKey": BATCH_KEY,
    }
    status, made = house.ask(ADMIN, "POST", "objects/init_batch_delete", asked)
    assert status == 201, made
    status, answer = house.ask(ADMIN, "POST", f"deletions/review/{made['id']}")
    assert status == 403
    assert "somebody else must approve" in answer["error"]


@pytest.mark.parametrize("number", [0, -1, 2**63, 2**70])
def test_a_number_that_is_no_id_is_refused(house: House, number: int) -> None:
    for body in ({"objects": [number]}, {"files": [number]}):
        wanted = {"reason": "Withdrawn", **body}
        assert house.ask(ANN, "POST", "deletions/request", wanted)[0] == 400
    batch = {"institutionId": number, "requestorId": number, "objectIds": [number]}
    batch |= {"secretKey": BATCH_KEY}
    assert house.ask(ADMIN, "POST", "objects/init_batch_delete", batch)[0] == 400
    item = house.begin(house.object())
    gone = {"generic_file_ids": [number]}
    assert house.ask(WORKERS, "POST", f"deletions/gone/{item.id}", gone)[0] == 400


def test_what_is_done_by_hand_and_by_consent_leaves_its_acts(house: House) -> None:
    kept = house.object()
    file = house.file(kept)
    (item,) = agreed(house, kept)
    house.registry.save_work_item(structs.replace(item, status="Started"))
    assert house.ask(ADMIN, "POST", f"deletions/condemn/{item.id}")[1]["busy"] == []
    gone = {"generic_file_ids": [file.id]}
    assert house.ask(ADMIN, "POST", f"deletions/gone/{item.id}", gone)[0] == 200
    assert house.ask(ADMIN, "POST", f"deletions/conclude/{item.id}")[0] == 200
    with house.registry._database.reading() as connection:
        about = acts.c.subject.in_([f"work item {item.id}", f"object {kept.identifier}"])
        query = select(acts.c.act, acts.c.who).where(about).order_by(acts.c.id)
        rows = [tuple(row) for row in connection.execute(query)]
    assert rows == [
        ("deletion approved", BOB),
        ("deletion begun", ADMIN),
        ("copies gone", ADMIN),
        ("deletion concluded", ADMIN),
    ]


# -- asking


def test_an_object_is_as_young_as_its_newest_file(house: House) -> None:
    kept = house.object(created_at="2020-01-01T00:00:00Z")
    file = house.file(kept)
    policy = DeletionPolicy(retention_days=((kept.storage_option, 30),))
    requests = DeletionRequests(house.registry._database, policy)
    ann = next(user for user in house.users().all() if user.email == ANN)
    for wanted in ({"objects": [kept.id]}, {"files": [file.id]}):
        with pytest.raises(Conflict, match="at least 30 days"):
            requests.ask(ann, NewDeletion(reason="Old enough", **wanted))


def test_what_awaits_approval_is_not_asked_for_again(house: House) -> None:
    """Nor a file of it, nor the object that a file is of."""
    whole, parts = house.object(), house.object()
    of_whole, of_parts = house.file(whole), house.file(parts)
    first = house.asked(whole)
    status, made = house.ask(ANN, "POST", f"files/init_delete/{of_parts.id}", reason="A draft")
    assert status == 201
    for path, number in (
        (f"objects/init_delete/{whole.id}", first),
        (f"files/init_delete/{of_whole.id}", first),
        (f"files/init_delete/{of_parts.id}", made["id"]),
        (f"objects/init_delete/{parts.id}", made["id"]),
    ):
        status, answer = house.ask(ANN, "POST", path, reason="Again")
        assert status == 409, path
        assert f"Deletion request {number} for" in answer["Error"]
        assert "awaits approval already" in answer["Error"]


def test_the_acts_have_the_reasons_that_were_given(house: House) -> None:
    number = house.asked(house.object())
    house.ask(ANN, "POST", f"deletions/cancel/{number}", reason="A slip")
    query = select(acts.c.act, acts.c.reason).where(acts.c.subject == f"deletion request {number}")
    with house.registry._database.reading() as connection:
        rows = connection.execute(query.order_by(acts.c.id)).all()
    assert [tuple(row) for row in rows] == [
        ("deletion asked", "Withdrawn"),
        ("deletion refused", "A slip"),
    ]
