"""A work item is begun over an API that has no step for it."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from bagline.model.times import Timestamp
from bagline.model.workitem import STATUS_CANCELLED, STATUS_PENDING, STATUS_STARTED, WorkItem
from bagline.services.registry.http.beginning import BEGINNINGS, begun

FIRST, LATER = Timestamp("2026-01-01T00:00:00Z"), Timestamp("2026-01-02T00:00:00Z")
ITEM = WorkItem(id=7, name="bag.tar", status=STATUS_PENDING, updated_at=FIRST)


def begin(item: WorkItem, others: Sequence[WorkItem]) -> bool:
    if item.status == STATUS_CANCELLED or others:
        return False
    item.status, item.node = STATUS_STARTED, "here"
    return True


class Server:
    """`changes` is saved by others whenever one more request has come."""

    def __init__(self, *changes: WorkItem, keeps: bool) -> None:
        self.row = structs.replace(ITEM)
        self.changes = list(changes)
        self.keeps = keeps
        self.asked: list[str] = []

    def read(self) -> WorkItem:
        self._next("read")
        return structs.replace(self.row)

    def others(self, _: WorkItem) -> list[WorkItem]:
        self._next("others")
        return []

    def save(self, item: WorkItem, read_at: str) -> WorkItem:
        self._next("save")
        if not self.keeps or read_at == self.row.updated_at:
            self.row = structs.replace(item, updated_at=LATER)
        return structs.replace(self.row)

    def _next(self, what: str) -> None:
        if self.asked and self.changes:
            self.row = self.changes.pop(0)
        self.asked.append(what)


CANCELLED = structs.replace(ITEM, status=STATUS_CANCELLED, updated_at=LATER)


def test_where_the_server_looks_at_nothing_the_item_is_read_last() -> None:
    server = Server(CANCELLED, keeps=False)
    found = begun(server.read, server.others, server.save, begin, keeps_changes=False)
    assert server.asked == ["read", "others", "read"]
    assert found is not None
    assert (found.item.status, found.is_saved) == (STATUS_CANCELLED, False)
    assert server.row == CANCELLED


def test_where_it_does_what_another_saved_meanwhile_stands_and_is_looked_at() -> None:
    server = Server(CANCELLED, keeps=True)
    found = begun(server.read, None, server.save, begin, keeps_changes=True)
    assert server.asked == ["read", "save"]
    assert found is not None
    assert (found.item.status, found.is_saved) == (STATUS_CANCELLED, False)
    assert server.row == CANCELLED


def test_it_is_begun_with_what_another_saved_but_not_for_ever() -> None:
    moved = structs.replace(ITEM, note="moved", updated_at=LATER)
    server = Server(moved, keeps=True)
    found = begun(server.read, None, server.save, begin, keeps_changes=True)
    assert found is not None
    assert found.is_saved
    assert (server.row.note, server.row.status) == ("moved", STATUS_STARTED)
    times = [
        structs.replace(ITEM, note=str(n), updated_at=Timestamp(f"2026-02-0{n}T00:00:00Z"))
        for n in range(1, 9)
    ]
    server = Server(*times, keeps=True)
    found = begun(server.read, None, server.save, begin, keeps_changes=True)
    assert server.asked == ["read", *["save"] * BEGINNINGS]
    assert found is not None
    assert not found.is_saved
