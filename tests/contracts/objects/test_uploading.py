"""Uploads in parts: what one worker sent, the next one finds; nothing stands before the end."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator

import pytest

from bagline.embedded import EngineAddresses
from bagline.errors import Gone, ProofFailed, Refused
from bagline.services.objects.base import Objects, Target
from bagline.services.objects.parts import LEAST_PART_BYTES, PartBody, whole_etag
from support.engines import fresh_name
from support.objects import s3

pytestmark = pytest.mark.engines

PARTS = {
    1: random.Random(1).randbytes(LEAST_PART_BYTES),
    2: random.Random(2).randbytes(LEAST_PART_BYTES + 3),
    3: b"the last may be small",
}
WHOLE = b"".join(PARTS.values())


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def opened(data: bytes, *, chunk: int = 100_000) -> PartBody:
    def chunks() -> Iterator[bytes]:
        for start in range(0, len(data), chunk):
            yield data[start : start + chunk]

    return PartBody(len(data), chunks)


@pytest.mark.parametrize("is_held", [True, False], ids=["held", "as it comes"])
def test_parts_become_an_object(objects: Objects, bucket: str, key: str, is_held: bool) -> None:
    upload = objects.begin_upload(Target(bucket, key, "application/x-tar"))
    sent = [
        objects.put_part(upload, number, data if is_held else opened(data))
        for number, data in reversed(PARTS.items())
    ]
    assert {part.number: part.etag for part in sent} == {n: md5(d) for n, d in PARTS.items()}
    with pytest.raises(Gone):
        objects.head(bucket, key)
    found = objects.complete_upload(upload, sent)
    assert (found.size, found.content_type) == (len(WHOLE), "application/x-tar")
    assert found.etag == whole_etag({part.number: part for part in sent})
    assert objects.read(bucket, key) == WHOLE
    with pytest.raises(Gone):
        objects.uploaded_parts(upload)


def test_another_worker_finds_what_was_sent(
    objects: Objects, engines: EngineAddresses, bucket: str, key: str
) -> None:
    upload = objects.begin_upload(Target(bucket, key))
    assert objects.uploaded_parts(upload) == {}
    first = objects.put_part(upload, 1, PARTS[1])
    third = objects.put_part(upload, 3, PARTS[3])
    other = s3(engines)
    found = other.uploaded_parts(upload)
    assert found == {1: first, 3: third}
    found[2] = other.put_part(upload, 2, opened(PARTS[2]))
    other.complete_upload(upload, list(found.values()))
    other.close()
    assert objects.read(bucket, key) == WHOLE


def test_a_part_sent_again_replaces_the_one_before(objects: Objects, bucket: str, key: str) -> None:
    upload = objects.begin_upload(Target(bucket, key))
    objects.put_part(upload, 1, b"wrong")
    right = objects.put_part(upload, 1, b"right")
    assert objects.uploaded_parts(upload) in ({1: right}, {})  # SeaweedFS tells of both
    objects.complete_upload(upload, [right])
    assert objects.read(bucket, key) == b"right"


def test_completing_may_be_repeated(objects: Objects, bucket: str, key: str) -> None:
    upload = objects.begin_upload(Target(bucket, key))
    parts = [objects.put_part(upload, 1, b"all of it")]
    assert objects.complete_upload(upload, parts) == objects.complete_upload(upload, parts)


def test_what_was_given_up_is_gone(objects: Objects, bucket: str, key: str) -> None:
    upload = objects.begin_upload(Target(bucket, key))
    part = objects.put_part(upload, 1, b"bytes")
    objects.abort_upload(upload)
    objects.abort_upload(upload)
    for ask in (
        lambda: objects.uploaded_parts(upload),
        lambda: objects.put_part(upload, 2, b"more"),
        lambda: objects.put_part(upload, 2, opened(b"more")),
        lambda: objects.complete_upload(upload, [part]),
    ):
        with pytest.raises(Gone):
            ask()
    with pytest.raises(Gone):
        objects.head(bucket, key)


def test_the_object_of_another_is_not_taken_for_the_upload_s(
    objects: Objects, bucket: str, key: str
) -> None:
    upload = objects.begin_upload(Target(bucket, key, metadata={"upload": "one"}))
    part = objects.put_part(upload, 1, b"bytes")
    objects.abort_upload(upload)
    other = objects.begin_upload(Target(bucket, key, metadata={"upload": "other"}))
    objects.complete_upload(other, [objects.put_part(other, 1, b"other")])
    with pytest.raises(Gone):
        objects.complete_upload(upload, [part])
    assert objects.read(bucket, key) == b"other"


@pytest.mark.parametrize("given", [b"a byte too many", b"too few"])
def test_a_body_of_another_size_is_not_sent(
    objects: Objects, bucket: str, key: str, given: bytes
) -> None:
    upload = objects.begin_upload(Target(bucket, key))
    with pytest.raises(ProofFailed):
        objects.put_part(upload, 1, PartBody(10, lambda: iter([given])))
    assert objects.uploaded_parts(upload) == {}
    objects.abort_upload(upload)


def test_what_a_body_raises_is_raised(objects: Objects, bucket: str, key: str) -> None:
    def broken() -> Iterator[bytes]:
        yield b"some"
        raise LookupError("the source's own fault")

    upload = objects.begin_upload(Target(bucket, key))
    with pytest.raises(LookupError, match="own fault"):
        objects.put_part(upload, 1, PartBody(10, broken))
    assert objects.uploaded_parts(upload) == {}
    objects.abort_upload(upload)


def test_more_parts_than_a_page_of_the_listing(objects: Objects, bucket: str, key: str) -> None:
    upload = objects.begin_upload(Target(bucket, key))
    for number in range(1, 1_101):
        objects.put_part(upload, number, b"%d" % number)
    found = objects.uploaded_parts(upload)
    assert {n: part.etag for n, part in found.items()} == {
        n: md5(b"%d" % n) for n in range(1, 1_101)
    }
    objects.abort_upload(upload)


def test_a_bucket_that_there_is_not(objects: Objects, key: str) -> None:
    with pytest.raises(Refused):
        objects.begin_upload(Target(fresh_name("missing"), key))
