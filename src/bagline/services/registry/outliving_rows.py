"""Rows of what outlives an item's working state: its problems, its report, the keys of its copies
(`base.Registry`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import select

from bagline.problems import Problem
from bagline.services.registry import tables as t
from bagline.services.registry.database import Database
from bagline.services.registry.item_rows import replace_problems, replace_report
from bagline.services.registry.named_key_rows import SqlNamedKeys
from bagline.services.registry.rows import record_of


class SqlOutliving:
    _database: Database

    def save_problems(self, item_id: int, problems: Sequence[Problem]) -> None:
        with self._database.writing() as connection:
            replace_problems(connection, item_id, problems)

    def problems(self, item_id: int) -> list[Problem]:
        table = t.work_item_problems
        query = select(table).where(table.c.work_item_id == item_id).order_by(table.c.position)
        with self._database.reading() as connection:
            return [record_of(row, Problem) for row in connection.execute(query)]

    def save_report(self, item_id: int, report: Mapping[str, object]) -> None:
        with self._database.writing() as connection:
            replace_report(connection, item_id, report)

    def report(self, item_id: int) -> dict[str, object] | None:
        table = t.ingest_reports
        with self._database.reading() as connection:
            found = connection.scalar(select(table.c.report).where(table.c.work_item_id == item_id))
        return found if isinstance(found, dict) else None

    @property
    def named_keys(self) -> SqlNamedKeys:
        return SqlNamedKeys(self._database)
