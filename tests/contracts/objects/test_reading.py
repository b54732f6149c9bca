"""Reading: the version that was meant, all of its bytes, or a fault."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from bagline.embedded import EngineAddresses
from bagline.errors import BrokenState, Gone, Refused, Replaced, Unreachable
from bagline.services.objects.base import Body, Check, Objects, Piece, RangeCopy, Target
from support.engines import fresh_name
from support.objects import BLOB, MIB, put, s3, sha256
from support.proxy import SLOW_DOWN, Fault, Proxy

pytestmark = pytest.mark.engines


def test_a_missing_key_is_gone_and_a_missing_bucket_refused(objects: Objects, bucket: str) -> None:
    nowhere = fresh_name("nowhere")
    asks: list[Callable[[str], object]] = [
        lambda b: objects.head(b, "absent"),
        lambda b: objects.read(b, "absent"),
        lambda b: objects.read(b, "absent", length=1),
        lambda b: list(objects.stream(b, "absent")),
        lambda b: objects.read_many(b, [Piece("absent")]),
        lambda b: objects.verify(b, Check("absent", 1, sha256(b"x"))),
        lambda b: objects.copy_range(
            RangeCopy(b, "absent", "", 0, 1, Target(b, "copy"), sha256(b"x"))
        ),
    ]
    for ask in asks:
        with pytest.raises(Gone):
            ask(bucket)
        with pytest.raises(Refused, match="bucket"):
            ask(nowhere)
    for ask in (
        lambda b: objects.put(Body(Target(b, "k"), b"x")),
        lambda b: list(objects.list(b)),
        lambda b: objects.delete(b, "k"),
        lambda b: objects.delete_many(b, ["k"]),
        lambda b: objects.abort_uploads(b, ""),
    ):
        with pytest.raises(Refused, match="bucket"):
            ask(nowhere)


def test_reads_are_pinned(objects: Objects, bucket: str, key: str) -> None:
    old = put(objects, bucket, key, BLOB)
    put(objects, bucket, key, BLOB[:-1] + b"!")
    for ask in (
        lambda: objects.read(bucket, key, etag=old.etag),
        lambda: objects.read(bucket, key, start=3, length=5, etag=old.etag),
        lambda: list(objects.stream(bucket, key, etag=old.etag)),
        lambda: list(objects.stream(bucket, key, start=len(BLOB), etag=old.etag)),
    ):
        with pytest.raises(Replaced):
            ask()


def test_an_object_replaced_in_the_middle_of_a_stream(
    objects: Objects, bucket: str, key: str
) -> None:
    put(objects, bucket, key, BLOB * 4)
    chunks = objects.stream(bucket, key)
    next(chunks)
    put(objects, bucket, key, b"another")
    with pytest.raises(Replaced):
        list(chunks)


def test_a_range_past_the_end_is_not_taken_for_a_short_one(
    objects: Objects, bucket: str, key: str
) -> None:
    found = put(objects, bucket, key, b"0123456789")
    for start, length in ((0, 11), (9, 2), (10, 1), (50, 1)):
        with pytest.raises(BrokenState):
            objects.read(bucket, key, start=start, length=length, etag=found.etag)
        with pytest.raises(BrokenState):
            list(objects.stream(bucket, key, start=start, length=length))


def test_a_body_that_breaks_off_is_unreachable_and_a_stream_goes_on(
    engines: EngineAddresses, plain_bucket: str, key: str, proxy: Proxy
) -> None:
    direct = s3(engines)
    found = put(direct, plain_bucket, key, BLOB)
    objects = s3(engines, endpoint=proxy.url)
    objects.read(plain_bucket, key, length=1)
    proxy.faults = [Fault(after=600_000)]
    with pytest.raises(Unreachable):
        objects.read(plain_bucket, key, length=3 * MIB, etag=found.etag)
    proxy.faults = [Fault(after=600_000), Fault(after=2 * MIB), Fault(instead=SLOW_DOWN)]
    assert b"".join(objects.stream(plain_bucket, key, length=len(BLOB), etag=found.etag)) == BLOB
    assert proxy.faults == []


def test_a_silent_body_is_unreachable(
    engines: EngineAddresses, plain_bucket: str, key: str, proxy: Proxy
) -> None:
    put(s3(engines), plain_bucket, key, BLOB)
    objects = s3(engines, endpoint=proxy.url, silence_seconds=0.5)
    for ask in (
        lambda: objects.read(plain_bucket, key, length=3 * MIB),
        lambda: objects.head(plain_bucket, key),
        lambda: objects.has_bucket(plain_bucket),
    ):
        proxy.faults = [Fault(after=20, hang=True)]
        began = time.monotonic()
        with pytest.raises(Unreachable):
            ask()
        assert time.monotonic() - began < 15.0  # the usual silence is 30 s
