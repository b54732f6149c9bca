"""What lies in an archive class (Glacier and the like): how frozen it is, what a thaw is told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from enum import StrEnum

from bagline.model.times import NEVER, Timestamp, from_datetime

ARCHIVE_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes without reading at once; GLACIER_IR is none."""
_ONGOING = re.compile(r'ongoing-request\s*=\s*"?true', re.IGNORECASE)
_DONE = re.compile(r'ongoing-request\s*=\s*"?false', re.IGNORECASE)
_EXPIRY = re.compile(r'expiry-date\s*=\s*"([^"]{1,60})"', re.IGNORECASE)


class Frost(StrEnum):
    """Whether a GET would give the object's bytes."""

    NONE = "in no archive"
    FROZEN = "in an archive, and nobody asked for it"
    COMING_BACK = "being brought back"
    BACK = "in an archive, and readable for a time"


class ThawAnswer(StrEnum):
    """What the store says of an object that was asked for."""

    ACCEPTED = "it will come"
    BACK = "it is back already, and stays so many days from now"
    UNDER_WAY = "somebody asked before"
    NOT_ARCHIVED = "it is in no archive"
    LATER = "the store has no room for it now: ask again"


def frost_of(headers: Mapping[str, str]) -> tuple[Frost, Timestamp]:
    """By the headers of a HEAD, in lower case; and until when what is back stays (NEVER where the
    store does not tell)."""
    told = headers.get("x-amz-restore", "")
    is_in_archive = (
        headers.get("x-amz-storage-class", "") in ARCHIVE_CLASSES
        or "x-amz-archive-status" in headers
    )
    if not is_in_archive:
        return Frost.NONE, NEVER
    if _ONGOING.search(told):
        return Frost.COMING_BACK, NEVER
    if _DONE.search(told):
        return Frost.BACK, _expiry(told)
    return Frost.FROZEN, NEVER


def _expiry(told: str) -> Timestamp:
    found = _EXPIRY.search(told)
    try:
        return from_datetime(parsedate_to_datetime(found[1])) if found else NEVER
    except ValueError:
        return NEVER
