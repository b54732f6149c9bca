"""A visit: what the layers around the API's application tell each other of one request."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from bagline.server.routes import ADMIN_API, MEMBER_API, ROUTES, Route
from bagline.services.registry.users import ApiUser

VISIT = "bagline.visit"
"""Where an ASGI scope has its Visit."""
PING = "/ping"
_PARAMETER = re.compile(r"\{(\w+)(:path)?\}")
_METHODS = {"HEAD": "GET"}


@dataclass
class Visit:
    """One request. `template` is the route's, never what the client wrote."""

    address: str
    method: str
    template: str = ""
    route: Route | None = None
    is_admin_api: bool = False
    user: ApiUser | None = None
    row: str = ""
    """Ids of the rows that were written."""

    def wrote(self, path: Mapping[str, str], body: Any) -> None:
        """Note which rows a successful write was about."""
        if self.route is None or self.route.method == "GET":
            return
        rows = body.get("results") if isinstance(body, dict) else None
        ids = [getattr(row, "id", 0) for row in rows or [body]]
        found = [str(row_id) for row_id in ids if row_id] or [path.get("id", "")]
        self.row = found[0] if len(found) == 1 else f"{found[0]}..{found[-1]} ({len(found)})"


def visit_of(scope: Mapping[str, Any]) -> Visit:
    """The visit of a request that came through `Visiting`."""
    visit = scope[VISIT]
    assert isinstance(visit, Visit)
    return visit


def find(method: str, path: str) -> tuple[str, Route, bool] | None:
    """The template, the route, and whether it is below the admin API. What the framework
    routes is checked again by the endpoint: this only decides earlier."""
    for pattern, template, route, is_admin in _patterns(_METHODS.get(method, method)):
        if pattern.fullmatch(path):
            return template, route, is_admin
    return None


def is_served(route: Route, base: str) -> bool:
    """Whether that API has the route: members only read."""
    return base == ADMIN_API or (route.members and route.method == "GET")


@cache
def _patterns(method: str) -> list[tuple[re.Pattern[str], str, Route, bool]]:
    return [
        (re.compile(_pattern(base + route.path), re.DOTALL), base + route.path, route, is_admin)
        for base, is_admin in ((ADMIN_API, True), (MEMBER_API, False))
        for route in ROUTES
        if route.method == method and is_served(route, base)
    ]


def _pattern(path: str) -> str:
    def parts() -> Iterable[str]:
        end = 0
        for match in _PARAMETER.finditer(path):
            yield re.escape(path[end : match.start()])
            yield ".*" if match[2] else "[^/]+"
            end = match.end()
        yield re.escape(path[end:])

    return "".join(parts())
