"""Times on the wire: RFC 3339 text with up to nine fractional digits.

Kept as text, because other workers write nanoseconds and Python's `datetime` would
cut them to microseconds on the way through (contract B).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NewType

Timestamp = NewType("Timestamp", str)
"""RFC 3339 text, such as `2026-01-02T03:04:05.123456789Z`."""

NEVER = Timestamp("0001-01-01T00:00:00Z")
"""The zero time: something has not happened."""

Clock = Callable[[], Timestamp]
"""Where code gets the time from; passed in, so that tests decide it."""

NANOS_PER_SECOND = 1_000_000_000
KEPT = 4_096
"""Conversions that are remembered: of a batch of records most share a few moments."""


def is_set(moment: Timestamp) -> bool:
    """Whether the moment is a real one, not the zero time."""
    return bool(moment) and not moment.startswith("0001-01-01T00:00:00")


def from_nanoseconds(since_epoch: int) -> Timestamp:
    """The UTC moment so many nanoseconds after 1970; trailing zeros are cut.

    Moments outside the years 1 to 9999 are held to that range.
    """
    seconds, nanos = divmod(since_epoch, NANOS_PER_SECOND)
    seconds = min(max(seconds, -62_135_596_800), 253_402_300_799)
    whole = _whole_seconds(seconds)
    if not nanos:
        return Timestamp(whole + "Z")
    return Timestamp(f"{whole}.{nanos:09d}".rstrip("0") + "Z")


def _whole_seconds(seconds: int) -> str:
    parts = time.gmtime(seconds)
    return (
        f"{parts.tm_year:04d}-{parts.tm_mon:02d}-{parts.tm_mday:02d}"
        f"T{parts.tm_hour:02d}:{parts.tm_min:02d}:{parts.tm_sec:02d}"
    )


def now() -> Timestamp:
    """The present moment in UTC, to the nanosecond the system gives."""
    return from_nanoseconds(time.time_ns())


@lru_cache(KEPT)
def to_datetime(moment: Timestamp) -> datetime:
    """The moment as an aware `datetime`; digits beyond microseconds are dropped.

    Raises ValueError when the text is not RFC 3339.
    """
    text = moment.replace("Z", "+00:00").replace("z", "+00:00")
    head, dot, tail = text.partition(".")
    if dot:
        digits = len(tail) - len(tail.lstrip("0123456789"))
        text = f"{head}.{tail[:digits][:6]:0<6}{tail[digits:]}"
    return datetime.fromisoformat(text)


def later(moment: Timestamp, by: timedelta) -> Timestamp:
    return from_datetime(to_datetime(moment) + by)


def earlier(moment: Timestamp, by: timedelta) -> Timestamp:
    return from_datetime(to_datetime(moment) - by)


@lru_cache(KEPT)
def from_datetime(moment: datetime) -> Timestamp:
    """An aware or naive-UTC `datetime` as wire text in UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    text = aware.astimezone(UTC).isoformat().replace("+00:00", "")
    return Timestamp((text.rstrip("0").rstrip(".") if "." in text else text) + "Z")
