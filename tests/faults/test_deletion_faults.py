"""A deleter may die at any instant: never a file that says active and has lost a copy."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import pytest

from bagline.embedded import EngineAddresses
from bagline.errors import Locked, Refused, Unreachable
from bagline.lines.deletion.deleter import Deleter
from bagline.model.deletion import Against, Certificate, DoomedFile
from bagline.model.times import Timestamp
from bagline.model.workitem import STATUS_STARTED, WorkItem
from bagline.services.objects.base import Objects
from bagline.services.objects.forwarding import ForwardingObjects
from bagline.services.registry.deletion_book import AT_ONCE, Deletions
from bagline.worker.stage import Cancel, Done, Halt, Outcome
from support.deleting import Consent, assert_true, deletion_job, files_of, preserve
from support.line import LineUnderTest, line_under_test

R = TypeVar("R")


@pytest.fixture(scope="module")
def line(
    engines: EngineAddresses, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LineUnderTest]:
    with line_under_test(engines, tmp_path_factory.mktemp("line")) as line:
        yield line


@pytest.fixture(scope="module")
def consent(line: LineUnderTest) -> Iterator[Consent]:
    consent = Consent(line)
    yield consent
    consent.close()


class Death(Exception):
    """Nothing after it is done."""


class Doom:
    """After so many calls: before one, in its middle, or after it."""

    def __init__(self, calls: int, chance: random.Random) -> None:
        self.left = calls
        self.chance = chance

    def meets(self, do: Callable[[], R], part: Callable[[], object] = lambda: None) -> R:
        self.left -= 1
        if self.left:
            return do()
        when = self.chance.choice(["before", "in", "after"])
        if when == "in":
            part()
        elif when == "after":
            do()
        raise Death


class MortalObjects(ForwardingObjects):
    def __init__(self, inner: Objects, doom: Doom) -> None:
        super().__init__(inner, "mortal")
        self._doom = doom

    def delete_for_good(
        self, bucket: str, keys: Sequence[str]
    ) -> list[Unreachable | Refused | Locked | None]:
        some = self._doom.chance.sample(list(keys), self._doom.chance.randint(0, len(keys)))
        return self._doom.meets(
            lambda: self._inner.delete_for_good(bucket, keys),
            lambda: self._inner.delete_for_good(bucket, some),
        )

    def remain_many(self, bucket: str, keys: Sequence[str]) -> list[bool | Unreachable | Refused]:
        return self._doom.meets(lambda: self._inner.remain_many(bucket, keys))


class MortalBook(Deletions):
    def __init__(self, inner: Deletions, doom: Doom) -> None:
        self._inner = inner
        self._doom = doom

    def begins_at(self, request_id: int) -> Timestamp:
        return self._inner.begins_at(request_id)

    def against(self, item_id: int) -> Against:
        return self._inner.against(item_id)

    def condemn(self, item_id: int) -> Against:
        return self._doom.meets(lambda: self._inner.condemn(item_id))

    def doomed(self, item_id: int, *, limit: int = AT_ONCE) -> list[DoomedFile]:
        return self._inner.doomed(item_id, limit=7)

    def are_gone(self, item_id: int, file_ids: Sequence[int]) -> None:
        self._doom.meets(lambda: self._inner.are_gone(item_id, file_ids))

    def conclude(self, item_id: int) -> Certificate:
        return self._doom.meets(lambda: self._inner.conclude(item_id))

    def certificate(self, item_id: int) -> Certificate | None:
        return self._inner.certificate(item_id)

    def deleted(self, item_id: int, *, after: int = 0) -> Iterator[list[DoomedFile]]:
        return self._inner.deleted(item_id, after=after)


def begun(line: LineUnderTest, item: WorkItem) -> WorkItem:
    """As its worker reads it, and begins."""
    found = line.item(item.id)
    found.status = STATUS_STARTED
    return line.services.registry.save_work_item(found)


def run(line: LineUnderTest, item: WorkItem, objects: Objects | None = None) -> Outcome:
    with deletion_job(line, begun(line, item), objects) as job:
        return Deleter().run(job)


def die_often(
    line: LineUnderTest, consent: Consent, monkeypatch: pytest.MonkeyPatch, deaths: int, seed: int
) -> None:
    chance, book, life = random.Random(seed), line.services.registry.deletions, 0
    assert book is not None
    while deaths > 0:
        life += 1
        kept = preserve(line, f"life-{seed}-{life}", 20)
        (item,) = consent.approve(consent.ask(objects=[kept.identifier]))
        for _ in range(4):
            doom = Doom(chance.randint(1, 20), chance)
            with monkeypatch.context() as patch:
                patch.setattr(line.services.registry, "_deletions", MortalBook(book, doom))
                try:
                    outcome = run(line, item, MortalObjects(line.services.objects, doom))
                except Death:
                    deaths -= 1
                    outcome = None
            assert_true(line, kept, item)
            if outcome is not None:
                break
        assert isinstance(run(line, item), Done)
        assert {file.state for file in files_of(line, kept)} == {"D"}
        assert all(line.keys(bucket) == [] for bucket in line.preservation_buckets())
        found = book.certificate(item.id)
        assert found is not None
        assert (found.files, found.copies) == (20, 40)
        names = [file.identifier for file in files_of(line, kept)]
        for file in line.services.registry.files(names).values():
            assert [event.event_type for event in file.premis_events] == ["deletion"]
        assert line.redis_keys() == []
        ended = line.item(item.id)
        ended.status = "Success"
        line.services.registry.save_work_item(ended)


@pytest.mark.parametrize("deaths", [30, pytest.param(200, marks=pytest.mark.long)])
def test_it_may_die_at_any_instant(
    line: LineUnderTest, consent: Consent, monkeypatch: pytest.MonkeyPatch, deaths: int
) -> None:
    die_often(line, consent, monkeypatch, deaths, seed=deaths)


class Failing(ForwardingObjects):
    """Answers one key of a call with a fault, for a while."""

    def __init__(self, inner: Objects, fault: Any, times: int) -> None:
        super().__init__(inner, "failing")
        self._fault = fault
        self._times = times

    def delete_for_good(
        self, bucket: str, keys: Sequence[str]
    ) -> list[Unreachable | Refused | Locked | None]:
        if not self._times:
            return self._inner.delete_for_good(bucket, keys)
        self._times -= 1
        return [self._fault, *self._inner.delete_for_good(bucket, keys[1:])]


@pytest.mark.parametrize(
    "fault",
    [Unreachable("silent"), Refused("no right to delete"), Locked("held", until="2030-01-01")],
    ids=["silent", "refused", "locked"],
)
def test_one_copy_that_stays_keeps_its_file_listed_and_no_other(
    line: LineUnderTest, consent: Consent, fault: Exception
) -> None:
    kept = preserve(line, f"stays-{type(fault).__name__}", 5)
    (item,) = consent.approve(consent.ask(objects=[kept.identifier]))
    with pytest.raises(type(fault) if isinstance(fault, Unreachable) else Refused):
        run(line, item, Failing(line.services.objects, fault, 1))
    assert_true(line, kept, item)
    assert len([file for file in files_of(line, kept) if file.state == "A"]) == 1
    assert isinstance(run(line, item), Done)
    assert {file.state for file in files_of(line, kept)} == {"D"}


def test_a_record_that_names_no_bucket_of_ours_stops_it_before_the_first_byte(
    line: LineUnderTest, consent: Consent
) -> None:
    kept = preserve(line, "elsewhere", 3)
    file = files_of(line, kept)[1]
    url = f"https://elsewhere.example/a-bucket/{file.uuid}"
    file.storage_records.append(type(file.storage_records[0])(url=url))
    line.services.registry.update_file(file)
    (item,) = consent.approve(consent.ask(objects=[kept.identifier]))
    outcome = run(line, item)
    assert isinstance(outcome, Halt)
    assert "Nothing was deleted" in outcome.reason
    assert url in outcome.reason
    assert {file.state for file in files_of(line, kept)} == {"A"}
    assert_true_of_ours(line)


def assert_true_of_ours(line: LineUnderTest) -> None:
    for bucket in line.preservation_buckets():
        assert len(line.keys(bucket)) == 3


def test_who_agreed_and_may_no_more_takes_consent_away(
    line: LineUnderTest, consent: Consent
) -> None:
    from bagline.wiring import build_users
    from support.deleting import APPROVER

    kept = preserve(line, "gone-approver", 3)
    (item,) = consent.approve(consent.ask(objects=[kept.identifier]))
    build_users(consent.database).disable(APPROVER)
    outcome = run(line, item)
    assert isinstance(outcome, Cancel)
    assert APPROVER in outcome.reason
    assert {file.state for file in files_of(line, kept)} == {"A"}
