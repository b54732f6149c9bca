"""CSV on standard output, row by row: names and texts are anybody's, and drive nothing."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Sequence

import msgspec

from bagline.problems import shown

CELL_CHARACTERS = 20_000
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a cell begins with that a spreadsheet takes for a formula."""


def write_csv(names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """The heading, then each row as it comes."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([cell(value) for value in row])


def cell(value: object) -> str:
    """Inert in a spreadsheet, and on a terminal."""
    if isinstance(value, dict):
        value = msgspec.json.encode(value).decode()
    text = shown("" if value is None else str(value), CELL_CHARACTERS)
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text
