"""What handlers are asked and what they answer, and the faults that become status codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

from bagline.model import wire
from bagline.services.registry.listing import LARGEST_ID, Page
from bagline.services.registry.users import ApiUser

R = TypeVar("R", bound=msgspec.Struct)

MOST_OBJECTS = 200_000
"""In one body. A batch of 1,000 files has some 25,000."""
MOST_VALUES = 2_000_000


class Fault(Exception):
    """An answer that is not a success. `sentence` goes to the client."""

    status = 500

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class BadRequest(Fault):
    status = 400


class Denied(Fault):
    status = 403


class Missing(Fault):
    status = 404

    def __init__(self, sentence: str = "Record not found.") -> None:
        super().__init__(sentence)


class Conflict(Fault):
    status = 409


@dataclass(frozen=True)
class Asked:
    """One request. `own`: the institution the asker is held to, None where there is none."""

    user: ApiUser
    path: Mapping[str, str]
    query: Sequence[tuple[str, str]] = ()
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def own(self) -> int | None:
        return self.user.institution_id if self.user.is_member else None

    def number(self, name: str) -> int:
        """An id in the path. Raises Missing when no row can have it."""
        text = self.path[name]
        if not text.isascii() or not text.isdigit() or len(text) > 19 or int(text) > LARGEST_ID:
            raise Missing
        return int(text)

    def record(self, kind: type[R]) -> R:
        """The body as one record. Raises BadRequest."""
        found: R = _decoded(self.body, kind)
        return found

    def records(self, kind: type[R], most: int) -> list[R]:
        """The body as a list of records. Raises BadRequest."""
        rows: list[R] = _decoded(self.body, list[kind])  # type: ignore[valid-type]
        if len(rows) > most:
            raise BadRequest(f"At most {most:,} records at once.")
        return rows

    def document(self) -> dict[str, Any]:
        """The body as a JSON object. Raises BadRequest."""
        return dict(_decoded(self.body, dict[str, Any]))


@dataclass(frozen=True)
class Answer:
    """A success: a record, or any JSON."""

    body: Any
    status: int = 200

    def encoded(self) -> bytes:
        return wire.encode(self.body)


def listed(records: Sequence[Any], total: int, page: Page, asked: Asked, path: str) -> Answer:
    """The page as contract D has it: relative addresses of its neighbours, or ""."""
    before = page.page > 1
    after = page.page * page.per_page < total
    return Answer(
        {
            "count": total,
            "next": _address(asked, path, page.page + 1) if after else "",
            "previous": _address(asked, path, page.page - 1) if before else "",
            "results": list(records),
        }
    )


def _address(asked: Asked, path: str, page: int) -> str:
    kept = [(name, value) for name, value in asked.query if name != "page"]
    return f"{path}?{urlencode([*kept, ('page', str(page))])}"


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
