"""Rows of work items: the questions about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, insert, select

from bagline.model.ingest import bag_name
from bagline.model.registry import STATE_DELETED
from bagline.model.workitem import COMPLETED, RESTORATIONS, WorkItem
from bagline.problems import Problem
from bagline.services.registry import tables as t
from bagline.services.registry.act_rows import noting_row
from bagline.services.registry.base import OF_ONE_BAG, OTHERS, Conflict
from bagline.services.registry.open_changes import first_against, of_bag, why
from bagline.services.registry.rows import ROW_ID, record_of, row_of

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


def check_change(connection: Connection, item: WorkItem, bag: str, follows: int) -> None:
    """Raises Conflict where an open item of the bag stands against this one (not the one with the
    id `follows`), or what it would bring out again is deleted."""
    query = bags_items(item.institution_id, bag)
    query = query.where(t.work_items.c.status.not_in(COMPLETED)).limit(None)
    standing = first_against(item, of_bag(items_in(connection, query), bag), follows)
    if standing is not None:
        raise Conflict(why(standing))
    if item.action not in RESTORATIONS:
        return
    for table, row_id, what in (
        (t.intellectual_objects, item.intellectual_object_id, "object"),
        (t.generic_files, item.generic_file_id, "file"),
    ):
        state = connection.scalar(select(table.c.state).where(table.c.id == row_id))
        if state == STATE_DELETED:
            raise Conflict(f"The {what} is deleted.")


def replace_problems(connection: Connection, item_id: int, problems: Sequence[Problem]) -> None:
    """Those of the item are these, and no others."""
    table = t.work_item_problems
    with noting_row(connection, t.work_items, item_id, problems=len(problems)):
        connection.execute(delete(table).where(table.c.work_item_id == item_id))
        if problems:
            rows = [
                {"work_item_id": item_id, "position": position} | row_of(problem, table)
                for position, problem in enumerate(problems)
            ]
            connection.execute(insert(table), rows)


def replace_report(connection: Connection, item_id: int, report: Mapping[str, object]) -> None:
    """That of the item is this one."""
    table = t.ingest_reports
    with noting_row(connection, t.work_items, item_id, report=dict(report)):
        connection.execute(delete(table).where(table.c.work_item_id == item_id))
        connection.execute(insert(table), [{"work_item_id": item_id, "report": dict(report)}])
