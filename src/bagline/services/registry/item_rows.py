"""Rows of work items: the questions about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, bindparam, delete, insert, select

from bagline.model.ingest import bag_name
from bagline.model.workitem import COMPLETED, WorkItem
from bagline.problems import Problem
from bagline.services.registry import tables as t
from bagline.services.registry.act_rows import noting_row
from bagline.services.registry.base import OF_ONE_BAG, OTHERS
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
