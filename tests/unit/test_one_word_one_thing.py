"""A name means one thing: no public class twice, and a module's name again only as a role."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "bagline"
ROLES = {
    "__init__.py": "a room's door",
    "base.py": "a seam",
    "redis.py": "a seam's implementation there",
    "scripts.py": "its Lua",
    "line.py": "what a line is, and each line's table",
    "check.py": "the command, and what it calls",
    "ingest.py": "the command, and the records",
    "registry.py": "the command, and the records",
    "metrics.py": "a worker's numbers, and the server's",
}
"""Names of modules that may stand in several rooms, and for what."""


def modules() -> Iterator[Path]:
    return (path for path in SOURCE.rglob("*.py") if "migrations" not in path.parts)


def several(found: dict[str, list[str]]) -> dict[str, list[str]]:
    return {name: places for name, places in found.items() if len(places) > 1}


def test_a_public_class_is_defined_once() -> None:
    found: dict[str, list[str]] = defaultdict(list)
    for path in modules():
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(str(path.relative_to(SOURCE)))
    assert several(found) == {}


def test_a_modules_name_is_there_again_only_as_a_role() -> None:
    found: dict[str, list[str]] = defaultdict(list)
    for path in modules():
        found[path.name].append(str(path.relative_to(SOURCE)))
    assert set(several(found)) <= set(ROLES), several(found)
    assert set(ROLES) <= set(several(found)), "a role that stands once is none"
