"""Rows of spot tests (`spot_tests.SpotTests`)."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import and_, delete, func, insert, or_, select, update
from sqlalchemy.engine import Row

from bagline.model.registry import STATE_ACTIVE, IntellectualObject
from bagline.model.times import Timestamp
from bagline.problems import Problem
from bagline.services.registry import tables as t
from bagline.services.registry.act_rows import note
from bagline.services.registry.database import Database
from bagline.services.registry.object_rows import count_files
from bagline.services.registry.rows import record_of, row_of
from bagline.services.registry.spot_tests import VERDICTS, SpotTest, SpotTests

_s = t.spot_tests.c


class SqlSpotTests(SpotTests):
    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(
        self, institution_id: int, *, now: Timestamp, unless_since: Timestamp, until: Timestamp
    ) -> SpotTest | None:
        of_institution = _s.institution_id == institution_id
        says_something = _s.outcome.in_(VERDICTS)
        is_against = or_(
            and_(says_something, _s.began_at > unless_since),
            and_(_s.ended_at.is_(None), _s.held_until > now),
        )
        against = select(_s.id).where(of_institution, is_against).limit(1)
        test = SpotTest(institution_id=institution_id, began_at=now, held_until=until)
        with self._database.writing() as connection:
            self._database.one_at_a_time(connection, f"spot test {institution_id}")
            if connection.scalar(against) is not None:
                return None
            connection.execute(delete(t.spot_tests).where(of_institution, ~says_something))
            made = insert(t.spot_tests).values(_row(test)).returning(_s.id)
            test.id = connection.execute(made).scalar_one()
            note(connection, f"spot test {test.id}", institution_id=institution_id)
        return test

    def save(self, test: SpotTest) -> None:
        with self._database.writing() as connection:
            where = _s.id == test.id
            connection.execute(update(t.spot_tests).where(where).values(_row(test)))

    def newest(self, *, institution_id: int | None = None, limit: int = 100) -> list[SpotTest]:
        query = select(t.spot_tests).order_by(_s.began_at.desc(), _s.id.desc()).limit(limit)
        if institution_id is not None:
            query = query.where(_s.institution_id == institution_id)
        with self._database.reading() as connection:
            return [_test(row) for row in connection.execute(query)]

    def candidates(
        self, institution_id: int, *, not_of: str, limit: int
    ) -> list[IntellectualObject]:
        columns = t.intellectual_objects.c
        query = (
            select(t.intellectual_objects, t.institutions.c.identifier.label("inst"))
            .join(t.institutions)
            .where(
                columns.institution_id == institution_id,
                columns.state == STATE_ACTIVE,
                func.substr(columns.storage_option, 1, len(not_of)) != not_of,
            )
            .order_by(func.random())
            .limit(limit)
        )
        with self._database.reading() as connection:
            found = []
            for row in connection.execute(query):
                object = record_of(row, IntellectualObject)
                object.institution_identifier = row.inst
                found.append(object)
            count_files(connection, found)
        return found


def _row(test: SpotTest) -> dict[str, Any]:
    row = row_of(test, t.spot_tests) | {"problems": msgspec.to_builtins(test.problems)}
    row.pop("id")
    return row


def _test(row: Row[Any]) -> SpotTest:
    found = record_of(row, SpotTest)
    found.problems = msgspec.convert(row.problems, list[Problem])
    return found
