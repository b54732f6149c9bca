"""What a route is, and how a noun's module says which it has.

Paths stand below `/admin-api/v3` (system administrators and workers) and, where they only
read or ask for one's own, below `/member-api/v3` too (everybody, held to their own institution).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_origin

from msgspec import Struct

from bagline.server.api.asking import Asked
from bagline.services.registry.listing import Listing
from bagline.units import MIB

ADMIN_API = "/admin-api/v3"
MEMBER_API = "/member-api/v3"
ONE_RECORD = MIB
"""Bytes of a body that holds one record, or an item's report."""
MANY_RECORDS = 64 * MIB

Handler = Callable[[Asked], Any]
"""Answers the body of a success."""


@dataclass(frozen=True)
class Route:
    """One method of one path. `takes` and `answers` are records, or a list of one kind for a
    list of them; `listing`: its query parameters, and the answer is a page of `answers`."""

    method: str
    path: str
    handle: Handler
    says: str
    takes: Any = None
    answers: Any = None
    listing: Listing[Any] | None = None
    asks: type[Struct] | None = None
    """The record whose fields are its query parameters, where it is no list of a table."""
    status: int = 200
    if_none: int = 0
    """The status where it answers a list and there is nothing in it; 0: the same."""
    own: bool = False
    """Bagline's own, not of contract D."""
    workers: bool = True
    """Whether a worker may ask it."""
    members: bool = False
    """Whether an institution's people may ask it, though it does not only read."""
    form: tuple[str, ...] = ()
    """The fields of its body, where that is a form."""
    act: str = ""
    """What a person who asks it does, as the record of acts has it; each but a GET has one."""

    @property
    def largest_body(self) -> int:
        """In bytes."""
        return MANY_RECORDS if get_origin(self.takes) is list else ONE_RECORD

    def status_of(self, answer: Any) -> int:
        """The status of that answer, which is a success."""
        return self.if_none if self.if_none and not answer["results"] else self.status

    @property
    def bases(self) -> tuple[str, ...]:
        """The APIs that have it: members read, and ask for what is theirs."""
        is_open = self.method == "GET" or self.members
        return (ADMIN_API, MEMBER_API) if is_open else (ADMIN_API,)


class Routes(list[Route]):
    """A noun's routes. The first sentence of a function's docstring is what the API's
    description says of it; `details` are further fields of its Route."""

    def list(self, listing: Listing[Any]) -> None:
        """A list of the noun."""

        def handle(asked: Asked) -> Any:
            return asked.page(listing)

        says = f"List {listing.name}."
        path = f"/{listing.name}"
        self.append(Route("GET", path, handle, says, answers=listing.record, listing=listing))

    def get(self, path: str, **details: Any) -> Callable[[Handler], Handler]:
        return self._route("GET", path, details)

    def post(self, path: str, **details: Any) -> Callable[[Handler], Handler]:
        return self._route("POST", path, {"status": 201} | details)

    def put(self, path: str, **details: Any) -> Callable[[Handler], Handler]:
        return self._route("PUT", path, details)

    def delete(self, path: str, **details: Any) -> Callable[[Handler], Handler]:
        return self._route("DELETE", path, details)

    def _route(self, method: str, path: str, details: Any) -> Callable[[Handler], Handler]:
        def decorate(handle: Handler) -> Handler:
            says = " ".join((handle.__doc__ or "").split())
            self.append(Route(method, path, handle, says, **details))
            return handle

        return decorate
