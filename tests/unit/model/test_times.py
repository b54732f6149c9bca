"""Times on the wire."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from bagline.model.times import (
    NEVER,
    Timestamp,
    from_datetime,
    from_nanoseconds,
    is_set,
    now,
    to_datetime,
)


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_500_000_000, "1970-01-01T00:00:01.5Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (10**30, "9999-12-31T23:59:59Z"),
        (-(10**30), "0001-01-01T00:00:00Z"),
    ],
)
def test_nanoseconds_become_rfc_3339(nanoseconds: int, text: str) -> None:
    assert from_nanoseconds(nanoseconds).split(".")[0].rstrip("Z") == text.split(".")[0].rstrip("Z")
    if abs(nanoseconds) < 10**20:
        assert from_nanoseconds(nanoseconds) == text


def test_now_is_now() -> None:
    passed = datetime.now(UTC) - to_datetime(now())
    assert abs(passed.total_seconds()) < 5


def test_digits_beyond_microseconds_are_dropped_only_for_reckoning() -> None:
    assert to_datetime(Timestamp("2026-01-02T03:04:05.123456789+02:00")) == datetime(
        2026, 1, 2, 1, 4, 5, 123456, UTC
    )


def test_a_datetime_is_written_in_utc_without_trailing_zeros() -> None:
    assert from_datetime(datetime(2026, 1, 2, 3, 4, 5, 100000, UTC)) == "2026-01-02T03:04:05.1Z"
    assert from_datetime(datetime(2026, 1, 2, 3, 4, 50, 0, UTC)) == "2026-01-02T03:04:50Z"


def test_the_zero_time_is_not_set() -> None:
    assert not is_set(NEVER)
    assert not is_set(Timestamp(""))
    assert is_set(Timestamp("2026-01-01T00:00:00Z"))
