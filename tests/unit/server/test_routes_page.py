"""The page about the API has every route there is."""

from __future__ import annotations

import re
from pathlib import Path

from bagline.server.api.table import ROUTES

PAGE = Path(__file__).parents[3] / "docs/operating/registry-api.md"


def rows() -> dict[str, str]:
    """By method and path, whose it is."""
    found = {}
    for line in PAGE.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for route in re.findall(r"`((?:GET|POST|PUT|DELETE) /[^`]*)`", cells[0]):
            found[route] = cells[1]
    return found


def test_every_route_stands_there_and_whose_it_is() -> None:
    ours = {
        f"{route.method} {route.path.replace(':path', '')}": "ours" if route.own else "same"
        for route in ROUTES
    }
    assert {route: whose for route, whose in rows().items() if whose != "theirs"} == ours
    assert any(whose == "theirs" for whose in rows().values())
