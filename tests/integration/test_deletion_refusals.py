"""What the Registry refuses of a deletion whoever calls, with a worker's key too."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from msgspec import structs
from sqlalchemy import select

from bagline.model.deletion import DeletionPolicy, NewDeletion
from bagline.model.registry import IntellectualObject
from bagline.model.times import now
from bagline.model.workitem import OUTCOME_CHANGING, WorkItem
from bagline.services.registry.act_rows import acts
from bagline.services.registry.base import Conflict
from bagline.services.registry.deletion_requests import DeletionRequests
from support.consenting import ANN, BOB, House, house_of_consent
from support.registry import ADMIN, WORKERS


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
    assert "nobody has approved" in answer["Error"]
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
    ann = next(user for user in house.users().all() if user.email == ANN)
    for coexist, node, is_begun in (
        (True, "elsewhere", True),
        (True, "bagline:here", False),
        (False, "here", False),
    ):
        number = house.asked(house.object())
        house.approve(BOB, number)
        house.wait_over(number)
        item = house.item(number)
        house.registry.save_work_item(structs.replace(item, status="Started", node=node))
        policy = DeletionPolicy(beside_others=coexist)
        requests = DeletionRequests(house.registry._database, policy)
        if is_begun:
            with pytest.raises(Conflict, match="has begun"):
                requests.cancel(ann, number, "Stop")
        else:
            requests.cancel(ann, number, "Stop")
            assert house.item(number).status == "Cancelled"


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
