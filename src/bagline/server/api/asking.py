"""What a route is asked, and how it may say no."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar
from urllib.parse import parse_qs, unquote_to_bytes, urlencode

import msgspec

from bagline.model import wire
from bagline.model.registry import Institution
from bagline.model.times import Clock, now
from bagline.problems import shown
from bagline.server.outgoing import Outgoing
from bagline.services.registry import listing as lists
from bagline.services.registry.acts import Person, checked_reason
from bagline.services.registry.base import Missing
from bagline.services.registry.catalogue import Catalogue
from bagline.services.registry.listing import LARGEST_ID, BadQuery, Listing
from bagline.services.registry.users import ApiUser

R = TypeVar("R", bound=msgspec.Struct)

MOST_OBJECTS = 200_000
"""In one body. A batch of 1,000 files has some 25,000."""
MOST_VALUES = 2_000_000
MOST_FIELDS = 20
REASON = "bagline-reason"
"""Header of Bagline's own: why a person does what they ask, as UTF-8, percent-encoded."""
ADDRESS_CHARACTERS = 80


NOWHERE = Outgoing(lambda _: "", lambda: None)


class BadRequest(Exception):
    """What was asked makes no sense; says what."""


class Denied(Exception):
    """This user may not ask that; says why."""


@dataclass(frozen=True)
class Asked:
    """One request. `own`: the institution the asker is held to, None where there is none;
    `options`: the storage options known here."""

    catalogue: Catalogue
    options: tuple[str, ...]
    user: ApiUser
    path: Mapping[str, str]
    query: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    outgoing: Outgoing = NOWHERE
    clock: Clock = now
    batch_key: Callable[[], str] = str
    """Tells `deletion.batch_key` as it is now."""
    address: str = ""
    """Where the asker is, as the door takes it."""

    @property
    def person(self) -> Person | None:
        """Who acts by this; None where a worker does. Raises BadRequest for a reason that cannot be
        kept."""
        if self.user.is_worker:
            return None
        try:
            said = unquote_to_bytes(self.headers.get(REASON, "").encode("ascii")).decode()
            reason = checked_reason(said)
        except UnicodeError:
            raise BadRequest(f"{REASON} must be UTF-8, percent-encoded") from None
        except ValueError as fault:
            raise BadRequest(f"{REASON}: {fault}") from None
        origin = f"API, {shown(self.address, ADDRESS_CHARACTERS)}"
        return Person(self.user.email, self.user.role, origin, reason)

    @property
    def own(self) -> int | None:
        return self.user.institution_id if self.user.is_member else None

    @property
    def reader(self) -> int | None:
        """The user whose alone the asker sees of what is people's; None: everybody's."""
        return None if self.user.is_sys_admin else self.user.id

    @property
    def key(self) -> str:
        """An id or an identifier in the path."""
        return self.path["key"]

    @property
    def id(self) -> int:
        """The id in the path. Raises Missing when no row can have it."""
        return self.number("id")

    @property
    def institution_id(self) -> int:
        """The institution's id in the path. Raises Missing when none can have it."""
        return self.number("institution_id")

    @property
    def user_id(self) -> int:
        """The user's id in the path. Raises Missing when none can have it."""
        return self.number("user_id")

    @cached_property
    def institution(self) -> Institution:
        """The institution whose id is in the path. Raises Missing."""
        return self.catalogue.institution(self.institution_id)

    def record(self, kind: type[R]) -> R:
        """The body as one record. Raises BadRequest."""
        found: R = _decoded(self.body, kind)
        return found

    def new(self, kind: type[R]) -> R:
        """The body as a record that has no id yet. Raises BadRequest."""
        found = self.record(kind)
        must_be_new(found)
        return found

    def changed(self, kind: type[R]) -> R:
        """The body as the record whose id is in the path. Raises BadRequest or Missing."""
        found: Any = self.record(kind)
        if found.id != self.id:
            raise BadRequest("the id of the body is not that of the address")
        return found  # type: ignore[no-any-return]

    def records(self, kind: type[R], most: int) -> list[R]:
        """The body as a list of records. Raises BadRequest."""
        rows: list[R] = _decoded(self.body, list[kind])  # type: ignore[valid-type]
        if len(rows) > most:
            raise BadRequest(f"At most {most:,} records at once.")
        return rows

    def document(self) -> dict[str, Any]:
        """The body as a JSON object. Raises BadRequest."""
        return dict(_decoded(self.body, dict[str, Any]))

    def form(self, name: str) -> str:
        """A field of the body, which is a form; "" where it has none. Raises BadRequest."""
        try:
            found = parse_qs(self.body.decode(), max_num_fields=MOST_FIELDS)
        except ValueError:
            raise BadRequest("The body is no form.") from None
        return found.get(name, [""])[-1].strip()

    def wanted(self, kind: type[R]) -> R:
        """The query as one record, each field at most once. Raises BadRequest."""
        given = dict(self.query)
        unknown = set(given) - set(kind.__struct_fields__)
        if unknown or len(given) < len(self.query):
            said = f"there is no {min(unknown)!r}" if unknown else "a parameter is there twice"
            raise BadRequest(f"Invalid query params: {said}")
        try:
            if since := given.get("since"):
                given["since"] = lists.moment("since", since)
            return msgspec.convert(given, kind, strict=False)
        except (BadQuery, msgspec.ValidationError) as fault:
            raise BadRequest(f"Invalid query params: {fault}") from None

    def page(self, listing: Listing[Any]) -> dict[str, Any]:
        """The page that the query asks for, as contract D has it: with relative addresses of
        its neighbours, or "". Raises BadRequest."""
        try:
            wanted = lists.parse(listing, self.query)
        except BadQuery as fault:
            raise BadRequest(f"Invalid query params: {fault}") from None
        found, total = self.catalogue.page(listing, wanted, self.own, self.reader)
        is_last = wanted.page * wanted.per_page >= total
        return {
            "count": total,
            "next": "" if is_last else self._address(listing, wanted.page + 1),
            "previous": self._address(listing, wanted.page - 1) if wanted.page > 1 else "",
            "results": found,
        }

    def _address(self, listing: Listing[Any], page: int) -> str:
        kept = [(name, value) for name, value in self.query if name != "page"]
        return f"{listing.name}?{urlencode([*kept, ('page', str(page))])}"

    def number(self, name: str) -> int:
        """That part of the path. Raises Missing when no id can be that."""
        text = self.path[name]
        if not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) > LARGEST_ID:
            raise Missing
        return int(text)


def must_be_new(record: Any) -> None:
    """Raises BadRequest for one that has an id."""
    if record.id:
        raise BadRequest("id must be 0: this route creates")


def must_be_of(institution: Institution, record: Any) -> None:
    """Raises BadRequest for another institution's."""
    if record.institution_id != institution.id:
        raise BadRequest("the institution of the body is not that of the address")


def _decoded(body: bytes, kind: Any) -> Any:
    if b"\0" in body or b"\\u0000" in body:
        raise BadRequest("Text may not hold NUL characters.")
    # Some bytes of JSON become hundreds in memory: what could is counted before it is read.
    objects = body.count(b"{")
    if objects > MOST_OBJECTS or objects + body.count(b"[") + body.count(b",") > MOST_VALUES:
        raise BadRequest("The body holds too many values: send fewer records at once.")
    try:
        return wire.decode(body, kind)
    except (ValueError, msgspec.MsgspecError, RecursionError) as fault:
        raise BadRequest(f"The body is not what this route takes: {fault}") from None
