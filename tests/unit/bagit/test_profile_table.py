"""docs/profiles.md against the code: its keys are those that are read, its tests are there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from bagline.bagit import profiles
from bagline.problems import KINDS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "profiles.md").read_text("utf-8")
ROWS = [line.strip("|").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")][1:]


class Noting(dict[str, Any]):
    """A document that tells which of its keys were asked for."""

    def __init__(self, *items: Any) -> None:
        super().__init__(*items)
        self.asked: set[str] = set()

    def get(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().get(key, default)


def test_every_key_that_is_read_has_its_row_and_no_other() -> None:
    document = Noting({"BagIt-Profile-Info": {"BagIt-Profile-Identifier": "x"}})
    profiles._profile("x", document, is_built_in=False)
    read = {key for key in document.asked if not key.startswith("Bagline-")} - {"Other-Info"}
    told = {
        key
        for row in ROWS
        for key in re.findall(r"`([A-Z][A-Za-z.-]+)`", row[0])
        if "identifier" not in row[0].lower()
    }
    assert told == read


def test_the_tests_and_codes_of_the_table_are_there() -> None:
    files = {path.name: path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py")}
    for row in ROWS:
        named = re.findall(r"`(test_\w+\.py)(?:::(test_\w+))?`", row[-1])
        assert named, row
        for file, test in named:
            assert f"def {test}(" in files[file] if test else file in files
        for code in re.findall(r"BAG\d{3}", "".join(row)):
            assert code in KINDS
