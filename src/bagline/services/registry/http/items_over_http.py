"""Work items of the `Registry` over HTTP. See `base.Registry` for what each method promises."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bagline.model.ingest import bag_name, object_identifier
from bagline.model.registry import Institution
from bagline.model.workitem import (
    ACTION_DELETE,
    OUTCOME_CHANGING,
    STATUS_PENDING,
    STATUS_STARTED,
    STATUS_SUSPENDED,
    WorkItem,
)
from bagline.problems import Problem
from bagline.services.registry.base import (
    OF_ONE_BAG,
    OTHERS,
    Begin,
    Begun,
    Conflict,
    Registry,
    WorkItemFilter,
)
from bagline.services.registry.http.answers import record_in
from bagline.services.registry.http.beginning import begun
from bagline.services.registry.http.rows_over_http import HttpRows
from bagline.services.registry.open_changes import deleting, first_against, of_bag, why

UNLESS_STATUS = "If-Status-Not"
UNLESS_CHANGED = "If-Updated-At"
UNLESS_OPEN = "If-None-Open"
UNLESS_CHANGE_OPEN = "If-No-Open-Change"
NEWEST_FIRST = ("sort", "date_processed__desc")
OPEN = (STATUS_PENDING, STATUS_STARTED, STATUS_SUSPENDED)


class HttpItems(HttpRows, Registry):
    def work_item(self, item_id: int) -> WorkItem | None:
        return self._shown("items", str(item_id), WorkItem)

    def work_items(self, wanted: WorkItemFilter, *, limit: int = 1000) -> list[WorkItem]:
        is_unqueued = None if wanted.is_queued is None else not wanted.is_queued
        same = [
            (name, str(value).lower() if isinstance(value, bool) else str(value))
            for name, value in (
                ("institution_id", wanted.institution_id),
                ("name", wanted.name),
                ("etag", wanted.etag),
                ("action", wanted.action),
                ("stage", wanted.stage),
                ("retry", wanted.retry),
                ("queued_at__is_null", is_unqueued),
            )
            if value is not None
        ]
        if wanted.statuses is None:
            return self._items(same, limit)
        if wanted.name is not None:  # a bag has few items: one question
            statuses = frozenset(wanted.statuses)
            return self._items(same, limit, lambda item: item.status in statuses)
        # One question a status: every Registry knows `status`.
        found = [
            item
            for status in dict.fromkeys(wanted.statuses)
            for item in self._items([*same, ("status", status)], limit)
        ]
        found.sort(key=lambda item: (item.date_processed, item.id), reverse=True)
        return found[:limit]

    def _items(
        self,
        query: list[tuple[str, str]],
        limit: int,
        fits: Callable[[WorkItem], bool] = lambda _: True,
    ) -> list[WorkItem]:
        found: list[WorkItem] = []
        for page in self._client.pages("items", [*query, NEWEST_FIRST]):
            found += filter(fits, (record_in(row, WorkItem) for row in page))
            if len(found) >= limit:
                break
        return found[:limit]

    def begin_work_item(
        self,
        item_id: int,
        begin: Begin,
        *,
        with_others: bool = True,
    ) -> Begun | None:
        is_ours, path = self._is_ours(), f"items/update/{item_id}"

        def others_of(item: WorkItem) -> list[WorkItem]:
            return [o for o in self._open_items_like(item, OTHERS) if o.id != item.id]

        def save(item: WorkItem, at: str) -> WorkItem:
            return self._put(path, item, {UNLESS_CHANGED: at} if is_ours else {})

        ask = others_of if with_others else None
        return begun(lambda: self.work_item(item_id), ask, save, begin, keeps_changes=is_ours)

    def save_work_item(
        self,
        item: WorkItem,
        *,
        unless_status: Sequence[str] = (),
        unless_changed: bool = False,
        problems: Sequence[Problem] | None = None,
    ) -> WorkItem:
        if problems is not None:
            self.save_problems(item.id, problems)
        if item.id and (unless_status or unless_changed) and not self._is_ours():
            stored = self.work_item(item.id)
            if stored is not None and (
                stored.status in unless_status
                or (unless_changed and stored.updated_at != item.updated_at)
            ):
                return stored
        headers = {UNLESS_STATUS: ",".join(unless_status)} if unless_status else {}
        if unless_changed:
            headers[UNLESS_CHANGED] = item.updated_at
        return self._saved(item, "items/create", "items/update", headers)

    def open_work_item(self, item: WorkItem) -> WorkItem:
        if not self._is_ours():
            for known in self._open_items_like(item, OTHERS):
                if known.bucket == item.bucket:
                    return known
        return self._saved(item, "items/create", "items/update", {UNLESS_OPEN: "true"})

    def items_of_bag(self, institution_id: int, name: str, *, action: str = "") -> list[WorkItem]:
        """Asked for by every spelling of the name that there is: an API compares whole names."""
        found = {item.id: item for item in self._spelled(institution_id, name, action)}
        ordered = sorted(found.values(), key=lambda i: (i.date_processed, i.id), reverse=True)
        return of_bag(ordered, name)[:OF_ONE_BAG]

    def begun_deletion(self, institution_id: int, name: str) -> WorkItem | None:
        if not self._is_ours():
            return super().begun_deletion(institution_id, name)
        begun = [
            ("institution_id", str(institution_id)),
            ("action", ACTION_DELETE),
            ("outcome", OUTCOME_CHANGING),  # few at a time, of however many bags
        ]
        return deleting(of_bag(self._items(begun, OF_ONE_BAG), name))

    def _spelled(self, institution_id: int, name: str, action: str) -> Iterator[WorkItem]:
        bag, institution = (
            bag_name(name),
            self._shown("institutions", str(institution_id), Institution),
        )
        spellings = [("name", bag), ("name", f"{bag}.tar")]
        if institution is not None:
            spellings.append(("object_identifier", object_identifier(institution.identifier, name)))
        same = [("institution_id", str(institution_id)), *([("action", action)] if action else [])]
        for spelling in spellings:
            yield from self._items([*same, spelling], OF_ONE_BAG)

    def open_change(self, item: WorkItem, *, follows: int = 0) -> WorkItem:
        if not self._is_ours():
            known = self.items_of_bag(item.institution_id, item.name)
            standing = first_against(item, known, follows)
            if standing is not None:
                raise Conflict(why(standing))
        headers = {UNLESS_CHANGE_OPEN: str(follows)}
        return self._saved(item, "items/create", "items/update", headers)

    def _open_items_like(self, item: WorkItem, limit: int) -> list[WorkItem]:
        wanted = WorkItemFilter(
            institution_id=item.institution_id, name=item.name, action=item.action, statuses=OPEN
        )
        return self.work_items(wanted, limit=limit)
