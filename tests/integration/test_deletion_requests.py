"""Who may ask for a deletion, who may agree, and everything that is refused: by the API."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec import structs
from sqlalchemy import select

from bagline.model.workitem import OUTCOME_CHANGING, WorkItem
from bagline.services.registry.act_rows import acts
from support.consenting import ANN, BATCH_KEY, BOB, LONE, OTHER, USER, House, house_of_consent
from support.registry import ADMIN, WORKERS
from support.registry_records import an_item


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with house_of_consent(tmp_path_factory.mktemp("house") / "data") as house:
        yield house


# -- asking


@pytest.mark.parametrize(
    ("who", "status"),
    [(ANN, 201), (USER, 403), (OTHER, 400), (WORKERS, 403), (ADMIN, 403), ("x@y.z", 401)],
)
@pytest.mark.parametrize("what", ["objects", "files", "many"])
def test_only_the_institutions_administrators_ask(
    house: House, who: str, status: int, what: str
) -> None:
    kept = house.object()
    file = house.file(kept)
    if what == "many":
        body = {"reason": "Withdrawn", "objects": [kept.identifier], "files": []}
        found, answer = house.ask(who, "POST", "deletions/request", body)
    else:
        number = kept.id if what == "objects" else file.id
        found, answer = house.ask(who, "POST", f"{what}/init_delete/{number}", reason="Withdrawn")
    assert found == status, answer
    if status == 400:
        assert "there is no" in answer["Error"]  # as if it were not there


@pytest.mark.parametrize("reason", ["", "  ", "x" * 2_001, "two\nlines", "bell\a"])
def test_a_reason_is_one_line(house: House, reason: str) -> None:
    kept = house.object()
    status, answer = house.ask(ANN, "POST", f"objects/init_delete/{kept.id}", reason=reason)
    assert status == 400
    assert "reason" in answer["Error"]


def test_all_that_is_wrong_with_a_request_is_told_at_once(house: House) -> None:
    kept, gone = house.object(), house.object(state="D")
    file = house.file(kept)
    body = {
        "reason": "Withdrawn",
        "objects": [kept.id, gone.id, "test.edu/nothing", "other.edu/bag"],
        "files": [file.identifier, 987654321],
    }
    status, answer = house.ask(ANN, "POST", "deletions/request", body)
    assert status == 400
    for said in (
        f"the object {gone.id} is deleted",
        "there is no object 'test.edu/nothing'",
        "there is no object 'other.edu/bag'",
        "goes with its object",
        "there is no file 987654321",
    ):
        assert said in answer["Error"], said
    assert house.ask(ANN, "POST", "deletions/request", {"reason": "x"})[0] == 400


@pytest.mark.parametrize(
    ("action", "stage"),
    [("Ingest", "Receive"), ("Restore Object", "Requested"), ("Delete", "Requested")],
)
def test_what_is_open_stands_against_it(house: House, action: str, stage: str) -> None:
    kept = house.object()
    number = house.asked(kept)
    open_item = house.registry.save_work_item(
        an_item(
            house.institutions["test.edu"],
            f"{kept.bag_name}.tar",
            action=action,
            stage=stage,
            intellectual_object_id=kept.id,
        )
    )
    status, answer = house.approve(BOB, number)
    assert status == 409
    assert f"Work item {open_item.id}" in answer["Error"]
    assert house.ask(ANN, "GET", f"deletions/show/{number}")[1]["work_items"] == []
    status, answer = house.ask(ANN, "POST", f"objects/init_delete/{kept.id}", reason="Again")
    assert status == 409
    assert f"Work item {open_item.id}" in answer["Error"]
    assert f"Deletion request {number}" in answer["Error"]


@pytest.mark.parametrize("key", ["", "wrong", BATCH_KEY])
def test_on_behalf_of_an_administrator_it_takes_the_key(house: House, key: str) -> None:
    kept = house.object()
    ann = next(user for user in house.users().all() if user.email == ANN)
    body = {
        "institutionId": kept.institution_id,
        "requestorId": ann.id,
        "objectIds": [kept.id],
        "secretKey": key,
    }
    status, answer = house.ask(ADMIN, "POST", "objects/init_batch_delete", body)
    assert status == (201 if key == BATCH_KEY else 403), answer
    assert house.ask(ANN, "POST", "objects/init_batch_delete", body)[0] == 403
    if status == 201:
        assert answer["requested_by"]["email"] == ANN
        assert house.ask(ANN, "POST", f"deletions/review/{answer['id']}")[0] == 403
        assert house.approve(BOB, answer["id"])[0] == 200
        body["requestorId"] = 987_654
        assert house.ask(ADMIN, "POST", "objects/init_batch_delete", body)[0] == 400


# -- agreeing


@pytest.mark.parametrize(
    ("who", "status"),
    [(ANN, 403), (USER, 403), (OTHER, 404), (WORKERS, 403), (ADMIN, 403), ("x@y.z", 401)],
)
def test_somebody_else_of_the_institution_must_agree(house: House, who: str, status: int) -> None:
    number = house.asked(house.object())
    assert house.ask(who, "POST", f"deletions/review/{number}")[0] == status
    token = house.token(BOB, number)
    assert house.ask(who, "POST", f"deletions/approve/{number}", token=token)[0] == status
    assert house.ask(ANN, "GET", f"deletions/show/{number}")[1]["work_items"] == []


def test_a_lone_administrator_needs_one_of_ours(house: House) -> None:
    number = house.asked(house.object("lone.edu"), LONE)
    status, answer = house.ask(LONE, "POST", f"deletions/review/{number}")
    assert status == 403
    assert "system administrator" in answer["error"]
    assert house.approve(ADMIN, number)[0] == 200


def test_a_token_is_one_persons_for_one_request_once(house: House) -> None:
    number, other = house.asked(house.object()), house.asked(house.object())
    first = house.token(BOB, number)
    second = house.token(BOB, number)

    def approve(token: str, number: int = number) -> int:
        status: int = house.ask(BOB, "POST", f"deletions/approve/{number}", token=token)[0]
        return status

    assert approve("") == approve("x") == 403
    assert approve(first) == 403  # the second review took its place
    assert approve(second, other) == 403
    assert approve(second) == 200
    assert approve(second) == 409
    assert house.ask(BOB, "POST", f"deletions/review/{number}")[0] == 409
    third = house.token(BOB, other)
    assert house.ask(ANN, "POST", f"deletions/cancel/{other}", reason="A slip")[0] == 200
    assert approve(third, other) == 409


def test_it_waits_and_can_be_recalled(house: House) -> None:
    number = house.asked(house.object())
    status, approved = house.approve(BOB, number)
    assert status == 200
    assert approved["begins_at"] > approved["confirmed_at"]  # seven days
    item = house.item(number)
    assert (item.action, item.stage, item.status) == ("Delete", "Requested", "Pending")
    assert (item.user, item.inst_approver, item.deletion_request_id) == (ANN, BOB, number)
    for who, wanted in ((USER, 403), (OTHER, 404), (WORKERS, 403)):
        found = house.ask(who, "POST", f"deletions/cancel/{number}", reason="No")[0]
        assert found == wanted, who
    assert house.ask(ANN, "POST", f"deletions/cancel/{number}", reason="")[0] == 400
    status, recalled = house.ask(ANN, "POST", f"deletions/cancel/{number}", reason="A slip")
    assert status == 200
    assert (recalled["cancelled_by"]["email"], recalled["cancel_reason"]) == (ANN, "A slip")
    assert house.item(number).status == "Cancelled"
    assert house.ask(ANN, "POST", f"deletions/cancel/{number}", reason="Again")[0] == 409


def test_what_has_begun_cannot_be_recalled(house: House) -> None:
    kept = house.object()
    house.file(kept)
    number = house.begin(kept).deletion_request_id
    assert house.item(number).outcome == OUTCOME_CHANGING
    status, answer = house.ask(ANN, "POST", f"deletions/cancel/{number}", reason="Stop")
    assert status == 409
    assert "begun" in answer["Error"]


@pytest.mark.parametrize("whose", [ANN, BOB])
@pytest.mark.parametrize("how", ["disabled", "another role"])
@pytest.mark.parametrize("when", ["before the approval", "after it"])
def test_consent_is_only_good_from_who_still_may(
    house: House, whose: str, how: str, when: str
) -> None:
    number, users = house.asked(house.object()), house.users()
    token = house.token(BOB, number)
    institution = house.institutions["test.edu"].id
    if when == "after it":
        assert house.ask(BOB, "POST", f"deletions/approve/{number}", token=token)[0] == 200
    try:
        if how == "disabled":
            users.disable(whose)
        else:
            house.keys[whose] = users.add(whose, "institutional_user", institution)
        if when == "after it":
            item = _item(house, number)
            _, found = house.ask(WORKERS, "POST", f"deletions/condemn/{item.id}")
            assert any(whose in said for said in found["withdrawn"]), found
        else:
            found, _ = house.ask(BOB, "POST", f"deletions/approve/{number}", token=token)
            wanted = 409 if whose == ANN else (401 if how == "disabled" else 403)
            assert found == wanted
    finally:
        house.keys[whose] = users.add(whose, "institutional_admin", institution)


def _item(house: House, number: int) -> WorkItem:
    """Of a request whose people may be gone."""
    _, shown = house.ask(ADMIN, "GET", f"deletions/show/{number}")
    found = house.registry.work_item(shown["work_items"][0])
    assert found is not None
    found.status = "Started"
    return house.registry.save_work_item(found)


# -- beside it


@pytest.mark.parametrize("who", [WORKERS, ADMIN])
@pytest.mark.parametrize("kind", ["files", "objects"])
def test_nothing_goes_without_an_item(house: House, who: str, kind: str) -> None:
    kept = house.object()
    file = house.file(kept)
    number = file.id if kind == "files" else kept.id
    status, answer = house.ask(who, "DELETE", f"{kind}/delete/{number}")
    assert status == 403, answer
    assert "no Delete item" in answer["error"]
    record = structs.replace(file if kind == "files" else kept, state="D")
    status, answer = house.ask(who, "PUT", f"{kind}/update/{number}", record)
    assert status == 400
    assert "have it approved" in answer["Error"]


def test_an_item_made_by_hand_is_not_what_was_agreed_on(house: House) -> None:
    """Not even an administrator's, with the number of a request that two people stand behind."""
    kept, other = house.object(), house.object()
    number = house.asked(kept)
    house.approve(BOB, number)
    item = house.item(number)
    made = structs.replace(
        item,
        id=0,
        status="Started",
        name=f"{other.bag_name}.tar",
        intellectual_object_id=other.id,
        object_identifier=other.identifier,
    )
    made = house.registry.save_work_item(made)
    _, found = house.ask(WORKERS, "POST", f"deletions/condemn/{made.id}")
    assert "is not about this" in found["withdrawn"][0]
    status, answer = house.ask(WORKERS, "DELETE", f"objects/delete/{other.id}")
    assert status == 403
    assert "is not about this" in answer["error"]


def test_everybody_sees_their_own(house: House) -> None:
    number = house.asked(house.object())
    house.asked(house.object("lone.edu"), LONE)
    for who in (ANN, BOB, USER, ADMIN):
        assert house.ask(who, "GET", f"deletions/show/{number}")[0] == 200
    assert house.ask(OTHER, "GET", f"deletions/show/{number}")[0] == 404
    _, listed = house.ask(USER, "GET", "deletions?per_page=1000")
    assert {row["institution_identifier"] for row in listed["results"]} == {"test.edu"}
    assert house.ask(OTHER, "GET", "deletions")[1]["results"] == []
    _, every = house.ask(ADMIN, "GET", "deletions?per_page=1000")
    assert {row["institution_identifier"] for row in every["results"]} >= {"test.edu", "lone.edu"}


def test_every_act_leaves_its_row_and_no_token(house: House) -> None:
    kept = house.object()
    number = house.asked(kept)
    token = house.token(BOB, number)
    house.ask(BOB, "POST", f"deletions/approve/{number}", token=token)
    house.ask(ANN, "POST", f"deletions/cancel/{number}", reason="A slip")
    query = select(acts).where(acts.c.subject == f"deletion request {number}")
    with house.registry._database.reading() as connection:
        rows = connection.execute(query.order_by(acts.c.id)).all()
    told = [(row.act, row.who) for row in rows]
    assert told == [
        ("deletion asked", ANN),
        ("deletion reviewed", BOB),
        ("deletion approved", BOB),
        ("deletion refused", ANN),
    ]
    assert rows[0].after["asked_for"] == [kept.identifier]
    text = repr(rows)
    assert token not in text
    assert "token" not in text
