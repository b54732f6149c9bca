"""Lists of the Registry as contract D asks for them: filters, sorting, pages.

A query parameter is a column (`name=b1.tar`), or a column and a comparison
(`size__gteq=1024`, `action__in=Ingest`, `node__is_null=true`); `sort=name` or
`sort=date_processed__desc`, several times; `page` from 1; `per_page` at most 1,000.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

from msgspec import Struct
from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Connection,
    FromClause,
    Integer,
    Select,
    func,
    select,
)

from bagline.model.act import Act
from bagline.model.alert import Alert
from bagline.model.deletion import DeletionRow
from bagline.model.premis import PremisEvent
from bagline.model.registry import (
    Checksum,
    GenericFile,
    Institution,
    IntellectualObject,
    RegistryStorageRecord,
)
from bagline.model.times import Timestamp, to_datetime
from bagline.model.workitem import WorkItem
from bagline.services.registry import deletion_tables as d
from bagline.services.registry import tables as t
from bagline.services.registry.act_rows import acts

PER_PAGE = 20
MOST_PER_PAGE = 1_000
MOST_PARAMETERS = 100
LARGEST_ID = 2**63 - 1
COMPARISONS: dict[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "": lambda column, value: column == value,
    "eq": lambda column, value: column == value,
    "ne": lambda column, value: column != value,
    "gt": lambda column, value: column > value,
    "gteq": lambda column, value: column >= value,
    "lt": lambda column, value: column < value,
    "lteq": lambda column, value: column <= value,
    "starts_with": lambda column, value: column.startswith(value, autoescape=True),
}
EMPTINESS = ("is_null", "not_null")
"""Comparisons with nothing; their value is true or false."""
TIME, BOOLEAN, INTEGER, TEXT = "time", "boolean", "integer", "text"
_ORDERED = ("gt", "gteq", "lt", "lteq")
R = TypeVar("R", bound=Struct)


class BadQuery(Exception):
    """A query parameter that is not known, or a value that makes no sense; says which."""


@dataclass(frozen=True)
class Listing(Generic[R]):
    """What can be listed: its name in addresses, the record in a row of its table, whose
    rows they are, and filters beside its columns.

    `extra`: parameter → (its column, how rows of the table are found by it). `person`: whose rows
    they are, where they are people's. `key`: columns of which no two rows have the same.
    """

    name: str
    record: type[R]
    table: FromClause
    institution: Callable[[int], ColumnElement[bool]]
    extra: dict[str, tuple[Column[Any], Callable[[ColumnElement[bool]], ColumnElement[bool]]]] = (
        field(default_factory=dict)
    )
    person: Callable[[int], ColumnElement[bool]] | None = None
    key: tuple[str, ...] = ("id",)

    def held(self, own: int | None, reader: int | None) -> list[ColumnElement[bool]]:
        """Conditions of rows that are that institution's and, where they are people's, that
        user's; None: anybody's."""
        found = [] if own is None else [self.institution(own)]
        if self.person is not None and reader is not None:
            found.append(self.person(reader))
        return found

    def column(self, name: str) -> Column[Any] | None:
        if name in self.columns:
            return cast("Column[Any]", self.table.c[name])
        return self.extra[name][0] if name in self.extra else None

    def where(self, name: str, condition: ColumnElement[bool]) -> ColumnElement[bool]:
        return self.extra[name][1](condition) if name in self.extra else condition

    @property
    def columns(self) -> list[str]:
        """Names of what can be sorted by: all but documents."""
        return [str(name) for name, c in self.table.c.items() if not isinstance(c.type, JSON)]

    @property
    def names(self) -> list[str]:
        return [*self.columns, *self.extra]


def _of_files(condition: ColumnElement[bool], column: Column[Any]) -> ColumnElement[bool]:
    return column.in_(select(t.generic_files.c.id).where(condition))


def _of_objects(condition: ColumnElement[bool], column: Column[Any]) -> ColumnElement[bool]:
    return column.in_(select(t.intellectual_objects.c.id).where(condition))


_files, _events = t.generic_files.c, t.premis_events.c
_checksums, _copies = t.checksums.c, t.storage_records.c

INSTITUTIONS = Listing(
    "institutions", Institution, t.institutions, lambda own: t.institutions.c.id == own
)
OBJECTS = Listing(
    "objects",
    IntellectualObject,
    t.intellectual_objects,
    lambda own: t.intellectual_objects.c.institution_id == own,
)
ITEMS = Listing(
    "items",
    WorkItem,
    t.work_items,
    lambda own: t.work_items.c.institution_id == own,
    {
        name: (
            t.intellectual_objects.c[name],
            lambda condition: _of_objects(condition, t.work_items.c.intellectual_object_id),
        )
        for name in ("alt_identifier", "bag_group_identifier", "bagit_profile_identifier")
    },
)
FILES = Listing("files", GenericFile, t.generic_files, lambda own: _files.institution_id == own)
EVENTS = Listing(
    "events",
    PremisEvent,
    t.premis_events,
    lambda own: _events.institution_id == own,
    {
        "generic_file_identifier": (
            _files.identifier,
            lambda condition: _of_files(condition, _events.generic_file_id),
        ),
        "intellectual_object_identifier": (
            t.intellectual_objects.c.identifier,
            lambda condition: _of_objects(condition, _events.intellectual_object_id),
        ),
    },
)
CHECKSUMS = Listing(
    "checksums",
    Checksum,
    t.checksums,
    lambda own: _of_files(_files.institution_id == own, _checksums.generic_file_id),
    {
        name: (column, lambda condition: _of_files(condition, _checksums.generic_file_id))
        for name, column in (
            ("generic_file_identifier", _files.identifier),
            ("institution_id", _files.institution_id),
            ("intellectual_object_id", _files.intellectual_object_id),
            ("state", _files.state),
        )
    },
)
STORAGE_RECORDS = Listing(
    "storage_records",
    RegistryStorageRecord,
    t.storage_records,
    lambda own: _of_files(_files.institution_id == own, _copies.generic_file_id),
)
_alerts = (
    select(
        t.alerts,
        t.institutions.c.name.label("institution_name"),
        t.alerts_users.c.user_id,
        t.api_users.c.email.label("user_name"),
        t.api_users.c.email.label("user_email"),
        t.alerts_users.c.sent_at,
        t.alerts_users.c.read_at,
    )
    .select_from(
        t.alerts.outerjoin(t.institutions).outerjoin(t.alerts_users).outerjoin(t.api_users)
    )
    .subquery("alert_views")
)
ALERTS = Listing(
    "alerts",
    Alert,
    _alerts,
    lambda own: _alerts.c.institution_id == own,
    person=lambda user_id: _alerts.c.user_id == user_id,
    key=("id", "user_id"),
)
ACTS = Listing("acts", Act, acts, lambda own: acts.c.institution_id == own)


def _emails() -> tuple[Any, Any, Any]:
    return tuple(  # type: ignore[return-value]
        t.api_users.alias(name) for name in ("askers", "approvers", "cancellers")
    )


def _counted(table: Any) -> Any:
    of_request = table.c.deletion_request_id == _requests.id
    return select(func.count()).select_from(table).where(of_request).scalar_subquery()


_requests = d.deletion_requests.c
_askers, _approvers, _cancellers = _emails()
_deletions = (
    select(
        _requests.id,
        _requests.institution_id,
        t.institutions.c.identifier.label("institution_identifier"),
        _requests.requested_by_id,
        _askers.c.email.label("requested_by_email"),
        _requests.requested_at,
        _requests.confirmed_by_id,
        _approvers.c.email.label("confirmed_by_email"),
        _requests.confirmed_at,
        _requests.cancelled_by_id,
        _cancellers.c.email.label("cancelled_by_email"),
        _requests.cancelled_at,
        _requests.reason,
        _requests.begins_at,
        _counted(d.deletion_requests_generic_files).label("file_count"),
        _counted(d.deletion_requests_intellectual_objects).label("object_count"),
    )
    .select_from(
        d.deletion_requests.join(t.institutions)
        .outerjoin(_askers, _askers.c.id == _requests.requested_by_id)
        .outerjoin(_approvers, _approvers.c.id == _requests.confirmed_by_id)
        .outerjoin(_cancellers, _cancellers.c.id == _requests.cancelled_by_id)
    )
    .subquery("deletion_views")
)
DELETIONS = Listing(
    "deletions", DeletionRow, _deletions, lambda own: _deletions.c.institution_id == own
)


@dataclass(frozen=True)
class Page:
    """What is wanted: conditions, order, and which page."""

    conditions: tuple[ColumnElement[bool], ...]
    order: tuple[ColumnElement[Any], ...]
    page: int
    per_page: int


def parse(listing: Listing[Any], parameters: Sequence[tuple[str, str]]) -> Page:
    """The page that the query parameters ask for. Raises BadQuery."""
    if len(parameters) > MOST_PARAMETERS:
        raise BadQuery(f"more than {MOST_PARAMETERS} query parameters")
    conditions, order = [], []
    page, per_page = 1, PER_PAGE
    several: dict[str, list[Any]] = {}
    for name, value in parameters:
        if "\0" in value:
            raise BadQuery(f"{name} holds a NUL character")
        if name == "page":
            page = _positive(name, value, LARGEST_ID // MOST_PER_PAGE)
        elif name == "per_page":
            per_page = min(_positive(name, value, LARGEST_ID), MOST_PER_PAGE)
        elif name == "sort":
            order.append(_order(listing, value))
        else:
            conditions += _condition(listing, name, value, several)
    for name, values in several.items():
        column = listing.column(name)
        assert column is not None
        conditions.append(listing.where(name, column.in_(values)))
    order += [listing.table.c[name] for name in listing.key]
    return Page(tuple(conditions), tuple(order), page, per_page)


def count(
    connection: Connection, conditions: Sequence[ColumnElement[bool]], table: FromClause
) -> int:
    """How many rows there are on all pages."""
    query = select(func.count()).select_from(table).where(*conditions)
    return int(connection.scalar(query) or 0)


def paged(query: Select[Any], wanted: Page) -> Select[Any]:
    """The query, for the rows of the page."""
    return (
        query.order_by(*wanted.order)
        .limit(wanted.per_page)
        .offset((wanted.page - 1) * wanted.per_page)
    )


def _condition(
    listing: Listing[Any], parameter: str, value: str, several: dict[str, list[Any]]
) -> list[ColumnElement[bool]]:
    name, _, comparison = parameter.partition("__")
    column = listing.column(name)
    if column is None:
        raise BadQuery(f"there is no {parameter!r} to filter by")
    if comparison == "in":
        several.setdefault(name, []).append(_value(parameter, column, value))
        return []
    if comparison in EMPTINESS:
        wants_empty = _truth(parameter, value) == (comparison == "is_null")
        empty = _is_empty(column)
        return [listing.where(name, empty if wants_empty else ~empty)]
    if comparison not in comparisons(column):
        raise BadQuery(f"{name} cannot be compared by {comparison!r}")
    compare = COMPARISONS[comparison]
    return [listing.where(name, compare(column, _value(parameter, column, value)))]


def _is_empty(column: Column[Any]) -> ColumnElement[bool]:
    """NULL, or what stands for it: no text, and the id 0."""
    empty: ColumnElement[bool] = column.is_(None)
    if kind_of(column) == TEXT:
        return empty | (column == "")
    return empty | (column == 0) if column.name.endswith("_id") else empty


def comparisons(column: Column[Any]) -> list[str]:
    """Those of COMPARISONS that make sense for the column."""
    own = {BOOLEAN: (), TEXT: ("starts_with",)}.get(kind_of(column), _ORDERED)
    return ["", "eq", "ne", *own]


def kind_of(column: Column[Any]) -> str:
    """What values of the column are: TIME, BOOLEAN, INTEGER or TEXT."""
    if isinstance(column.type, t.WireTime):
        return TIME
    if isinstance(column.type, Boolean):
        return BOOLEAN
    return INTEGER if isinstance(column.type, (Integer, BigInteger)) else TEXT


def _order(listing: Listing[Any], value: str) -> ColumnElement[Any]:
    name, _, direction = value.partition("__")
    if name not in listing.columns or direction not in ("", "asc", "desc"):
        raise BadQuery(f"cannot sort by {value!r}")
    column = listing.table.c[name]
    return column.desc() if direction == "desc" else column.asc()


def _value(parameter: str, column: Column[Any], value: str) -> Any:
    kind = kind_of(column)
    if kind == TIME:
        return moment(parameter, value)
    if kind == BOOLEAN:
        return _truth(parameter, value)
    if kind == INTEGER:
        try:
            number = int(value)
        except ValueError:
            raise BadQuery(f"{parameter} must be a whole number") from None
        if abs(number) > LARGEST_ID:
            raise BadQuery(f"{parameter} is too large")
        return number
    return value


def moment(parameter: str, value: str) -> Timestamp:
    """A time that people wrote, with its zone (UTC where they named none). Raises BadQuery."""
    try:
        if to_datetime(Timestamp(value)).tzinfo is None:
            value += "T00:00:00Z" if len(value) == len("2026-01-02") else "Z"
        to_datetime(Timestamp(value)).timestamp()
    except (ValueError, OverflowError):
        raise BadQuery(f"{parameter} must be a time, such as 2026-01-02T03:04:05Z") from None
    return Timestamp(value)


def _truth(parameter: str, value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise BadQuery(f"{parameter} must be true or false")
    return value.lower() == "true"


def _positive(parameter: str, value: str, most: int) -> int:
    if not value.isascii() or not value.isdigit() or not 1 <= int(value[:30]) <= most:
        raise BadQuery(f"{parameter} must be a whole number from 1 on")
    return int(value)
