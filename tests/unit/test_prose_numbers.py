"""A number with a unit on a page that explains the code is one that the code has."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from bagline.app import READER_SECONDS
from bagline.bagit.hashing import BATCH_FILE_BYTES
from bagline.config import WorkSettings
from bagline.formats import deep_signatures, pronom
from bagline.lines.ingest import format_identifier, received_tar
from bagline.lines.ingest.prefetch import metadata
from bagline.lines.ingest.staging import spans
from bagline.services.objects import base, reading, retrying, verifying, writing
from bagline.services.state.redis import PROGRESS_SECONDS
from bagline.worker.line import BRIEF, PATIENT

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / "design.md", DOCS / "add-a-stage.md", *sorted((DOCS / "workers").glob("*.md"))]
NUMBER = re.compile(r"(?<![\w.,])(\d[\d,.]*) (KiB|MiB|GiB|s|min|minutes|seconds)\b")
UNITS = {
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
    "s": 1,
    "seconds": 1,
    "min": 60,
    "minutes": 60,
}


def values(*modules: object) -> Iterable[float]:
    for module in modules:
        for name, value in vars(module).items():
            if name.isupper() and isinstance(value, int | float):
                yield value


CODE = {
    *values(format_identifier, metadata, spans, base, reading, verifying, writing, pronom),
    *values(retrying, received_tar, deep_signatures),
    *(getattr(WorkSettings(), name) for name in WorkSettings.__struct_fields__),
    *(delay for policy in (BRIEF, PATIENT) for delay in (policy.first_delay, policy.longest_delay)),
    PROGRESS_SECONDS,
    READER_SECONDS,
    BATCH_FILE_BYTES,
}
DERIVED = {
    72 * 1024**3: "writing.PARTS parts of writing.PART_BYTES, rounded up",
    4 * 60: "BRIEF, all its waits",
    66 * 60: "PATIENT, all its waits",
    20: "retries of one request, all their waits",
    10 * 1024**2: "measured: a helper process",
    24 * 1024**2: "reading.WINDOWS_AHEAD windows",
    16 * 1024**2: "hashing: a lane's queue",
}
"""Numbers that are worked out of the code's, or measured."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_numbers_of_a_page_are_the_codes(page: Path) -> None:
    unknown = [
        match[0]
        for match in NUMBER.finditer(page.read_text("utf-8"))
        if float(match[1].replace(",", "")) * UNITS[match[2]] not in CODE | set(DERIVED)
    ]
    assert unknown == []


def test_what_is_worked_out_is_worked_out() -> None:
    assert 70 < writing.PARTS * writing.PART_BYTES / 1024**3 < 72
    assert reading.WINDOWS_AHEAD * reading.WINDOW_BYTES == 24 * 1024**2
    for policy, minutes in ((BRIEF, 4), (PATIENT, 66)):
        waits = sum(policy.delay(attempt) for attempt in range(1, policy.attempts))
        assert round(waits / 60) == minutes
