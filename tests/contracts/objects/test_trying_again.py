"""What is tried again, by the wrapper alone, and what no repeat cures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bagline.embedded import EngineAddresses
from bagline.errors import Gone, Misconfigured, ProofFailed, Refused, Replaced, Unreachable
from bagline.services.objects.base import Body, Check, ObjectInfo, Objects, RangeCopy, Target
from bagline.services.objects.retrying import RetryingObjects
from bagline.services.objects.s3 import S3Objects
from support.engines import closed_port, fresh_name
from support.objects import BLOB, copy_of, put, s3, sha256, unfinished
from support.proxy import SLOW_DOWN, Fault, Proxy

pytestmark = pytest.mark.engines


def test_an_upload_that_ran_out_is_begun_again_by_the_wrapper(
    engines: EngineAddresses, plain_bucket: str, key: str, proxy: Proxy, boto: Any
) -> None:
    source = put(s3(engines), plain_bucket, key, BLOB)
    plain = s3(engines, endpoint=proxy.url)
    plain.abilities(plain_bucket)
    copy = copy_of(source, Target(plain_bucket, key + ".copy"), 5, 100)
    body = b"<Error><Code>NoSuchUpload</Code><Message>x</Message></Error>"
    gone = b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    create, copy_part = Fault(after=1 << 30), Fault(instead=gone)
    proxy.faults = [create, copy_part]
    with pytest.raises(Unreachable):
        plain.copy_range(copy)
    proxy.faults = [create, copy_part]
    assert RetryingObjects(plain, sleep=lambda _: None).copy_range(copy).size == 100
    assert unfinished(boto, plain_bucket) == []


def test_a_dead_port_is_unreachable_and_no_secret_is_said(engines: EngineAddresses) -> None:
    objects = s3(engines, endpoint=f"http://127.0.0.1:{closed_port()}", secret_key="hidden-word")
    for ask in all_asks(objects):
        with pytest.raises(Unreachable) as caught:
            ask()
        assert "hidden-word" not in f"{caught.value} {objects!r} {objects.__dict__}"


def test_wrong_credentials_are_refused(engines: EngineAddresses, plain_bucket: str) -> None:
    for wrong in ({"secret_key": "wrong-word"}, {"access_key": "nobody"}):
        objects = s3(engines, **wrong)
        for ask in all_asks(objects, plain_bucket):
            with pytest.raises(Refused) as caught:
                ask()
            assert "wrong-word" not in str(caught.value)


def all_asks(objects: Objects, bucket: str = "bucket") -> list[Callable[[], object]]:
    return [
        lambda: objects.head(bucket, "k"),
        lambda: objects.read(bucket, "k", length=1),
        lambda: objects.put(Body(Target(bucket, "k"), b"x")),
        lambda: objects.put_many([Body(Target(bucket, "k"), b"x")]),
        lambda: objects.copy_range(
            RangeCopy(bucket, "k", "e", 0, 1, Target(bucket, "c"), sha256(b"x"))
        ),
        lambda: list(objects.list(bucket)),
        lambda: objects.delete(bucket, "k"),
        lambda: objects.delete_many(bucket, ["k"]),
        lambda: objects.abort_uploads(bucket, ""),
        lambda: objects.has_bucket(bucket),
        lambda: objects.ensure_bucket(bucket),
        lambda: objects.abilities(bucket),
    ]


@pytest.mark.parametrize("endpoint", ["", "localhost:9000", "ftp://host", "http://host"])
def test_an_endpoint_that_is_none_is_misconfigured(engines: EngineAddresses, endpoint: str) -> None:
    with pytest.raises(Misconfigured):
        s3(engines, endpoint=endpoint, allow_http=False)


def test_slow_down_is_tried_again_only_by_the_wrapper(
    engines: EngineAddresses, plain_bucket: str, key: str, proxy: Proxy
) -> None:
    plain = s3(engines, endpoint=proxy.url)
    plain.abilities(plain_bucket)
    slept: list[float] = []
    objects = RetryingObjects(plain, tries=4, first_seconds=0.2, sleep=slept.append)
    body = Body(Target(plain_bucket, key), b"bytes")
    for ask in (
        lambda o: o.put(body),
        lambda o: o.put_many([body]),
        lambda o: o.head(plain_bucket, key),
        lambda o: o.read(plain_bucket, key, length=2),
        lambda o: o.verify(plain_bucket, Check(key, 5, sha256(b"bytes"))),
    ):
        proxy.faults = [Fault(instead=SLOW_DOWN)] * 3
        ask(objects)
        assert proxy.faults == []
        proxy.faults = [Fault(instead=SLOW_DOWN)]
        with pytest.raises(Unreachable, match="503"):
            ask(plain)
        proxy.faults = [Fault(instead=SLOW_DOWN)] * 9
        with pytest.raises(Unreachable):
            ask(objects)
        assert len(proxy.faults) == 5  # four tries, no more
    assert slept
    assert all(0 <= pause <= 0.2 * 2**2 for pause in slept)


def test_what_a_repeat_does_not_cure_is_not_repeated(
    plain_bucket: str, engines: EngineAddresses
) -> None:
    def no_sleep(_: float) -> None:
        raise AssertionError("it was tried again")

    objects = RetryingObjects(s3(engines), sleep=no_sleep)
    found = put(objects, plain_bucket, fresh_name("key"), b"x")
    with pytest.raises(Gone):
        objects.head(plain_bucket, "absent")
    with pytest.raises(Refused):
        objects.head(fresh_name("nowhere"), "k")
    with pytest.raises(Replaced):
        objects.read(plain_bucket, found.key, etag="other")
    with pytest.raises(ProofFailed):
        objects.verify(plain_bucket, Check(found.key, 1, sha256(b"y")))


def test_no_try_begins_after_the_total_time() -> None:
    now = [0.0]

    def sleep(pause: float) -> None:
        now[0] += pause

    class Down(S3Objects):
        tried = 0

        def head(self, bucket: str, key: str) -> ObjectInfo:
            Down.tried += 1
            now[0] += 4.0
            raise Unreachable("down")

    inner = Down("http://127.0.0.1:1", "a", "b", allow_http=True)
    objects = RetryingObjects(inner, tries=100, sleep=sleep, clock=lambda: now[0])
    with pytest.raises(Unreachable):
        objects.head("b", "k")
    assert Down.tried <= 6
    assert now[0] < 25.0
