"""A visit: what the layers around the API's application tell each other of one request."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from starlette.convertors import PathConvertor, register_url_convertor
from starlette.routing import compile_path

from bagline.server.api.routing import ADMIN_API, Route
from bagline.server.api.table import ROUTES
from bagline.services.registry.users import ApiUser

VISIT = "bagline.visit"
"""Where an ASGI scope has its Visit."""
PING = "/ping"
_METHODS = {"HEAD": "GET"}


class AnyText(PathConvertor):
    """`{key:path}`: an identifier. Names out of bags may hold line feeds, too."""

    regex = "(?s:.*)"


register_url_convertor("path", AnyText())


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
    for pattern, template, route in _patterns(_METHODS.get(method, method)):
        if pattern.match(path):
            return template, route, template.startswith(ADMIN_API)
    return None


@cache
def _patterns(method: str) -> list[tuple[re.Pattern[str], str, Route]]:
    return [
        (compile_path(base + route.path)[0], base + route.path, route)
        for route in ROUTES
        for base in route.bases
        if route.method == method
    ]
