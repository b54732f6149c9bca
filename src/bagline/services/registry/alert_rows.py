"""Rows of alerts (`alert_book.Alerts`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, time, timedelta

from msgspec import Struct, structs
from sqlalchemy import (
    ColumnElement,
    Connection,
    func,
    insert,
    literal_column,
    select,
    update,
)

from bagline.model.alert import FAILED_FIXITY, Alert, FixityFailures
from bagline.model.times import Timestamp, from_datetime, to_datetime
from bagline.services.registry import tables as t
from bagline.services.registry.act_rows import note
from bagline.services.registry.alert_book import Alerts
from bagline.services.registry.alert_wording import NAMED, Told, failed_fixity
from bagline.services.registry.base import Conflict, Missing
from bagline.services.registry.database import Database
from bagline.services.registry.internal_metadata import ALERTS_LAST_RUN, remember, remembered
from bagline.services.registry.listing import ALERTS
from bagline.services.registry.rows import add_rows, record_of
from bagline.services.registry.users import INST_ADMIN, SYS_ADMIN

NOBODY = "The institution has no active administrator: only system administrators are told."

_e, _l, _u = t.premis_events.c, t.alerts_premis_events.c, t.alerts_users.c


class _Check(Struct, frozen=True):
    """A failed one."""

    premis_event_id: int
    institution_id: int
    at: Timestamp


class SqlAlerts(Alerts):
    def __init__(self, database: Database) -> None:
        self._database = database

    def tell_of_failed_fixity(self, now: Timestamp) -> list[FixityFailures]:
        with self._database.writing() as connection:
            self._database.one_at_a_time(connection, ALERTS_LAST_RUN)
            last = remembered(connection, ALERTS_LAST_RUN)
            if last is not None and _is_same_day(last.value, now):
                raise Conflict(f"Alerts of failed fixity checks were made today, at {last.value}.")
            remember(connection, ALERTS_LAST_RUN, now, now)
            since = _day_before(now if last is None else min(last.created_at, now, key=to_datetime))
            checks = _untold(connection, since, now)
            found = [_tell(connection, some, now) for some in _by_institution(connection, checks)]
            if found:
                alert = _add(connection, checks, found, now)
                _address(connection, alert, t.api_users.c.role == SYS_ADMIN)
            note(connection, "alerts of failed fixity checks", after={"checks": len(checks)})
            return found

    def find(
        self, alert_id: int, user_id: int, *, own: int | None = None, reader: int | None = None
    ) -> Alert:
        columns = ALERTS.table.c
        query = select(ALERTS.table).where(
            columns.id == alert_id,
            func.coalesce(columns.user_id, 0) == user_id,
            *ALERTS.held(own, reader),
        )
        with self._database.reading() as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            raise Missing
        return record_of(row, Alert)

    def was_read(self, alert_id: int, user_id: int, now: Timestamp) -> Timestamp:
        of_person = (_u.alert_id == alert_id) & (_u.user_id == user_id)
        unread = of_person & _u.read_at.is_(None)
        with self._database.writing() as connection:
            connection.execute(update(t.alerts_users).where(unread).values(read_at=now))
            since: Timestamp | None = connection.scalar(select(_u.read_at).where(of_person))
        if since is None:
            raise Missing
        return since


def _is_same_day(value: str, now: Timestamp) -> bool:
    """By UTC. What is no time, or one that has not come yet, is not today."""
    try:
        return _day(Timestamp(value)).date() == _day(now).date()
    except ValueError:
        return False


def _day_before(moment: Timestamp) -> Timestamp:
    """When the day before began (UTC)."""
    return from_datetime(datetime.combine(_day(moment), time(), UTC) - timedelta(days=1))


def _day(moment: Timestamp) -> datetime:
    return to_datetime(moment).astimezone(UTC)


def _untold(connection: Connection, since: Timestamp, until: Timestamp) -> list[_Check]:
    """Failed checks that no alert has told of, in their order. The words stand in the statement
    itself, for databases use an index of a part of the rows only where they can see that it has
    these."""
    told = select(_l.premis_event_id).where(_l.premis_event_id == _e.id).exists()
    query = (
        select(_e.id, _e.institution_id, _e.date_time)
        .where(
            _e.event_type == literal_column("'fixity check'"),
            _e.outcome == literal_column("'Failed'"),
            _e.date_time > since,
            _e.date_time < until,
            ~told,
        )
        .order_by(_e.date_time, _e.id)
    )
    return [_Check(*row) for row in connection.execute(query)]


def _by_institution(
    connection: Connection, checks: Sequence[_Check]
) -> list[tuple[FixityFailures, list[_Check]]]:
    """By name."""
    found: dict[int, list[_Check]] = defaultdict(list)
    for check in checks:
        found[check.institution_id].append(check)
    known = t.institutions.c
    query = select(known.id, known.name).where(known.id.in_(found)).order_by(known.name, known.id)
    return [
        (
            FixityFailures(
                failures=len(found[row.id]), institution_id=row.id, institution_name=row.name
            ),
            found[row.id],
        )
        for row in connection.execute(query)
    ]


def _tell(
    connection: Connection, of: tuple[FixityFailures, list[_Check]], now: Timestamp
) -> FixityFailures:
    """Of one institution's."""
    failures, checks = of
    number, users = failures.institution_id, t.api_users.c
    alert = _add(connection, checks, [failures], now, institution_id=number)
    admins = (users.role == INST_ADMIN) & (users.institution_id == number)
    if _address(connection, alert, admins):
        return failures
    return structs.replace(failures, error=NOBODY)


def _add(
    connection: Connection,
    checks: Sequence[_Check],
    failures: Sequence[FixityFailures],
    now: Timestamp,
    *,
    institution_id: int = 0,
) -> int:
    """An alert of the checks, for nobody yet: its id."""
    first = [check.premis_event_id for check in checks[:NAMED]]
    told = Told(failures, checks[0].at, checks[-1].at, _examples(connection, first))
    row = {
        "institution_id": institution_id or None,
        "type": FAILED_FIXITY,
        "subject": FAILED_FIXITY,
        "content": failed_fixity(told, institution_id=institution_id),
        "created_at": now,
    }
    made = insert(t.alerts).values(row).returning(t.alerts.c.id)
    alert_id: int = connection.execute(made).scalar_one()
    add_rows(connection, t.alerts_premis_events, checks, same={"alert_id": alert_id})
    return alert_id


def _examples(connection: Connection, ids: Sequence[int]) -> list[tuple[str, str]]:
    """Of events: the file, and what was found."""
    query = (
        select(t.generic_files.c.identifier, _e.outcome_information)
        .select_from(t.premis_events.outerjoin(t.generic_files))
        .where(_e.id.in_(ids))
        .order_by(_e.date_time, _e.id)
    )
    return [(row[0] or "", row[1]) for row in connection.execute(query)]


def _address(connection: Connection, alert_id: int, to: ColumnElement[bool]) -> int:
    """To those who are let in: how many."""
    users = t.api_users.c
    ids = list(connection.scalars(select(users.id).where(to, users.enabled).order_by(users.id)))
    if ids:
        rows = [{"alert_id": alert_id, "user_id": user_id} for user_id in ids]
        connection.execute(insert(t.alerts_users), rows)
    return len(ids)
