"""Rows of work items: the questions about them."""

from __future__ import annotations

from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, select

from bagline.model.ingest import bag_name
from bagline.model.workitem import COMPLETED, WorkItem
from bagline.services.registry import tables as t
from bagline.services.registry.base import OF_ONE_BAG, OTHERS
from bagline.services.registry.rows import record_of

ROW_ID = "row_id"
"""The parameter of a statement that is about one row."""

# Made once: to make a statement of many columns anew costs more than to run it.


@cache
def item_query(*, locked: bool) -> Any:
    """The work item ROW_ID."""
    query = select(t.work_items).where(t.work_items.c.id == bindparam(ROW_ID))
    return query.with_for_update() if locked else query


@cache
def others_query() -> Any:
    """Open work items of that name, institution_id and action but ROW_ID, newest first."""
    columns = t.work_items.c
    return (
        select(t.work_items)
        .where(
            columns.name == bindparam("name"),
            columns.institution_id == bindparam("institution_id"),
            columns.action == bindparam("action"),
            columns.status.not_in(sorted(COMPLETED)),
            columns.id != bindparam(ROW_ID),
        )
        .order_by(columns.date_processed.desc(), columns.id.desc())
        .limit(OTHERS)
    )


def bags_items(institution_id: int, name: str) -> Select[Any]:
    """Work items of the bag, and maybe of some whose name begins like it; newest first."""
    columns, bag = t.work_items.c, bag_name(name)
    is_part = columns.name.startswith(f"{bag}.b", autoescape=True)  # as in x.b01.of02.tar
    return (
        select(t.work_items)
        .where(
            columns.institution_id == institution_id,
            columns.name.in_([bag, f"{bag}.tar"]) | is_part,
        )
        .order_by(columns.date_processed.desc(), columns.id.desc())
        .limit(OF_ONE_BAG)
    )


def items_in(connection: Connection, query: Select[Any]) -> list[WorkItem]:
    return [record_of(row, WorkItem) for row in connection.execute(query)]
