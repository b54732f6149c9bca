"""Deleters of both makes: theirs beside our Registry, ours beside theirs; neither the item, nor the
events, nor what is left tells whose worker it was (contract J1, J3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from bagline.embedded import EngineAddresses
from bagline.lines.deletion.asked_deletion import AskedDeletion
from bagline.lines.deletion.deleter import Deleter
from bagline.lines.deletion.taking_away import TakingAway
from bagline.model.workitem import OUTCOME_CHANGING, WorkItem
from bagline.services.registry.deletion_rows import SqlDeletions
from bagline.services.registry.sql import SqlRegistry
from bagline.worker.stage import Done
from support.bags import BagBuilder
from support.deleting import APPROVER, ASKER, Consent, deletion_job
from support.older.deleting import handle_deletion
from support.pairing import MixedLine, mixed_line, plain

pytestmark = pytest.mark.engines

STEPS = ("theirs", "ours")


@pytest.fixture(scope="module")
def mixed(
    engines: EngineAddresses, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MixedLine]:
    with mixed_line(engines, tmp_path_factory.mktemp("mixed")) as mixed:
        yield mixed


@pytest.fixture(scope="module")
def consent(mixed: MixedLine) -> Iterator[Consent]:
    """The Registry's people."""
    consent = Consent(mixed.line, database=mixed.server.database())
    yield consent
    consent.close()


def ingest(mixed: MixedLine, name: str) -> None:
    bag = BagBuilder(name).payload("a.txt", b"abc").payload("deep/b c.txt", b"b" * 3000)
    trails = mixed.ingest({name: bag.tar("gnu")}, ())
    assert trails[name].status == "Success", trails[name].note


def delete(mixed: MixedLine, item: WorkItem, make: str) -> WorkItem:
    if make == "theirs":
        assert handle_deletion(mixed.world, item.id) == "done"
        return mixed.line.item(item.id)
    mixed.line.services.queue.publish("delete_item", item.id)
    with mixed.line.working(only=("deleter",)):
        return mixed.line.until_ended(item.id)


def told(item: WorkItem) -> dict[str, Any]:
    names = ("note", "outcome", "stage", "status", "retry", "needs_admin_review", "node", "pid")
    return {name: getattr(item, name) for name in names}


def rows(mixed: MixedLine, identifier: str) -> Any:
    """What the Registry tells of the object and its files, but for what each run has its own of."""
    found = plain(mixed._rows(identifier))
    found["object"].pop("etag")  # of the tar, which has the bag's name in it
    name = identifier.rpartition("/")[2]
    return eval(repr(found).replace(name, "<bag>"))


def standing(mixed: MixedLine) -> list[str]:
    places = [place for option in mixed.world.places.values() for place in option]
    return [key for bucket in {p.bucket for p in places} for key in mixed.line.keys(bucket)]


@pytest.mark.parametrize("of", ["object", "file"])
def test_nothing_tells_whose_deleter_it_was(mixed: MixedLine, consent: Consent, of: str) -> None:
    ended, left = {}, {}
    for number, make in enumerate(STEPS):
        name = f"{of}-{number}"
        ingest(mixed, name)
        before = len(standing(mixed))
        what = {"objects": [f"test.edu/{name}"]}
        if of == "file":
            what = {"files": [f"test.edu/{name}/data/a.txt"]}
        (item,) = consent.approve(consent.ask(**what))
        assert (item.user, item.inst_approver) == (ASKER, APPROVER)
        ended[make] = told(delete(mixed, item, make))
        left[make] = rows(mixed, f"test.edu/{name}")
        assert before - len(standing(mixed)) == (2 if of == "file" else before)
        found = SqlDeletions(consent.database).certificate(item.id)
        assert found is not None
        assert (found.requested_by, found.approved_by) == (ASKER, APPROVER)
        assert found.copies == (2 if of == "file" else 2 * found.files)
        assert mixed.line.redis_keys() == []
        rest = consent.approve(consent.ask(objects=[f"test.edu/{name}"])) if of == "file" else []
        for other in rest:
            delete(mixed, other, make)
    assert ended["ours"] == ended["theirs"]
    assert ended["ours"]["note"] == (
        f"Deletion completed at the request of {ASKER}, approved by {APPROVER}."
    )
    assert left["ours"] == left["theirs"]


@pytest.mark.parametrize("dies_at", ["before the Registry", "after the Registry", "half way"])
def test_a_death_over_their_registry_is_gone_on_from(
    mixed: MixedLine, consent: Consent, monkeypatch: pytest.MonkeyPatch, dies_at: str
) -> None:
    """The Registry has forgotten the copies, and they still stand: the item's hash knows them."""
    name = f"dies-{dies_at.replace(' ', '-')}"
    ingest(mixed, name)
    (item,) = consent.approve(consent.ask(objects=[f"test.edu/{name}"]))
    begun = mixed.line.item(item.id)
    begun.status = "Started"
    begun = mixed.line.services.registry.save_work_item(begun)

    class Death(Exception):
        pass

    def die(*_: object, **__: object) -> Any:
        raise Death

    with monkeypatch.context() as patch:
        if dies_at == "before the Registry":
            patch.setattr(AskedDeletion, "_finish", lambda self, batch: die() if batch else None)
        elif dies_at == "after the Registry":
            patch.setattr(TakingAway, "take", die)
        else:
            patch.setattr(TakingAway, "check", die)
        with deletion_job(mixed.line, begun) as job, pytest.raises(Death):
            Deleter().run(job)
    found = mixed._rows(f"test.edu/{name}")
    active = [file for file in found["files"].values() if file["state"] == "A"]
    if dies_at == "before the Registry":
        assert len(active) == len(found["files"])
        assert len(standing(mixed)) == 2 * len(active)
    else:
        assert active == []
        assert len(standing(mixed)) == (0 if dies_at == "half way" else 2 * len(found["files"]))
    again = mixed.line.item(item.id)
    assert again.outcome == OUTCOME_CHANGING
    with deletion_job(mixed.line, again) as job:
        assert isinstance(Deleter().run(job), Done)
    assert standing(mixed) == []
    assert mixed._rows(f"test.edu/{name}")["object"]["state"] == "D"
    assert mixed.line.redis_keys() == []


def test_where_their_registry_does_not_agree_nothing_has_begun(
    mixed: MixedLine, consent: Consent
) -> None:
    ingest(mixed, "refused")
    before = standing(mixed)
    (item,) = consent.approve(consent.ask(objects=["test.edu/refused"]))
    registry = SqlRegistry(consent.database)
    item.deletion_request_id = 0  # as one that was made by hand
    item = registry.save_work_item(item)
    mixed.line.services.queue.publish("delete_item", item.id)
    with mixed.line.working(only=("deleter",)):
        ended = mixed.line.until_ended(item.id)
    assert ended.status == "Suspended"
    assert "Nothing was deleted" in ended.note
    assert "403" in ended.note
    assert standing(mixed) == before
    assert not mixed.line.app.lines.must_go_forward(ended, mixed.line.services.registry)
    ended.status, ended.retry = "Cancelled", False
    mixed.line.services.registry.save_work_item(ended)
    mixed.line.services.queue.publish("delete_item", item.id)
    with mixed.line.working(only=("deleter",)):
        mixed.line.until_ended(item.id)
    assert mixed.line.redis_keys() == []
