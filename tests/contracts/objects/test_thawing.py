"""Thawing: what HEAD tells of an archived object, and what the store says when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bagline.embedded import EngineAddresses
from bagline.errors import Gone, Refused, Unreachable
from bagline.model.times import NEVER, from_datetime
from bagline.services.objects.base import Objects
from bagline.services.objects.frost import Frost, ThawAnswer, frost_of
from bagline.services.objects.retrying import RetryingObjects
from support.glacier import BACK, COMING, FROZEN, Glacier, days_from_now, glacier_before
from support.objects import put, s3

pytestmark = [
    pytest.mark.engines,
    pytest.mark.parametrize("engines", ["seaweedfs"], indirect=True),
]


@pytest.fixture
def glacier(engines: EngineAddresses) -> Iterator[Glacier]:
    with glacier_before(engines.s3_endpoint) as glacier:
        yield glacier


@pytest.fixture(params=["s3", "retrying s3"])
def archive(
    request: pytest.FixtureRequest, engines: EngineAddresses, glacier: Glacier
) -> Iterator[Objects]:
    there: Objects = s3(engines, endpoint=glacier.url)
    if request.param != "s3":
        there = RetryingObjects(there, sleep=lambda _: None)
    yield there
    there.close()


def test_a_head_tells_how_frozen_it_is(
    engines: EngineAddresses, plain_bucket: str, key: str, glacier: Glacier, archive: Objects
) -> None:
    put(s3(engines), plain_bucket, key, b"kept")
    until = days_from_now(3)
    for state, frost, back in (
        (FROZEN, Frost.FROZEN, NEVER),
        (COMING, Frost.COMING_BACK, NEVER),
        (BACK, Frost.BACK, from_datetime(until)),
    ):
        glacier.freeze(plain_bucket, key, state=state, until=until)
        found = archive.head(plain_bucket, key)
        assert (found.frost, found.back_until, found.size) == (frost, back, 4)
        assert found.is_archived is (state != BACK)
    glacier.ice.clear()
    assert archive.head(plain_bucket, key).frost is Frost.NONE
    found, lost = archive.head_many(plain_bucket, [key, f"{key}-absent"])
    assert not isinstance(found, Gone)
    assert isinstance(lost, Gone)


@pytest.mark.parametrize(
    ("answer", "meant"),
    [
        ("202", ThawAnswer.ACCEPTED),
        ("200", ThawAnswer.BACK),
        ("in progress", ThawAnswer.UNDER_WAY),
        ("not archived", ThawAnswer.NOT_ARCHIVED),
        ("no capacity", ThawAnswer.LATER),
        ("slow down", Unreachable),
        ("gone", Gone),
        ("forbidden", Refused),
        ("bad tier", Refused),
    ],
)
def test_what_a_store_says_to_a_thaw(
    plain_bucket: str,
    key: str,
    glacier: Glacier,
    archive: Objects,
    answer: str,
    meant: ThawAnswer | type[Exception],
) -> None:
    glacier.freeze(plain_bucket, key, answers=[answer] * 10)
    (said,) = archive.thaw_many(plain_bucket, [key], days=7, tier="Bulk")
    if isinstance(meant, ThawAnswer):
        assert said is meant
        assert glacier.asked == [(plain_bucket, key, 7, "Bulk")]
    else:
        assert isinstance(said, meant)
        with pytest.raises(meant):
            archive.thaw(plain_bucket, key, days=7, tier="Bulk")


def test_a_date_that_is_none_is_no_end(engines: EngineAddresses) -> None:
    told = 'ongoing-request="false", expiry-date="soon"'
    headers = {"x-amz-storage-class": "DEEP_ARCHIVE", "x-amz-restore": told}
    assert frost_of(headers) == (Frost.BACK, NEVER)
