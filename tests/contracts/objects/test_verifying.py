"""Verifying: by what the store tells, or by reading back; an archived copy by the store's word."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from bagline.embedded import EngineAddresses
from bagline.errors import Gone, ProofFailed, Refused, Unreachable, Unreadable
from bagline.model.times import is_set
from bagline.services.objects.base import Body, Check, Objects, Proof, ProofMethod, Target
from support.objects import BLOB, MIB, b64, put, s3, sha256
from support.proxy import Fault, Proxy

pytestmark = pytest.mark.engines


@pytest.mark.parametrize("size", [0, 1, 70_000, len(BLOB)])
def test_what_must_be_read_is_read_whatever_the_store_tells(
    objects: Objects, bucket: str, key: str, size: int
) -> None:
    body = BLOB[:size]
    objects.put_stream(Target(bucket, key), iter([body]), size=size, sha256=sha256(body))
    moves: list[None] = []
    check = Check(key, size, sha256(body), must_read=True, moved=lambda: moves.append(None))
    proof = objects.verify(bucket, check)
    assert proof.how is ProofMethod.READ_BACK
    assert is_set(proof.stored_at)
    assert bool(moves) is (size > MIB)
    with pytest.raises(ProofFailed):
        objects.verify(bucket, replace(check, sha256=sha256(b"other")))
    with pytest.raises(ProofFailed, match="bytes"):
        objects.verify(bucket, replace(check, size=size + 1))
    with pytest.raises(Gone):
        objects.verify(bucket, replace(check, key="absent"))


ARCHIVED = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nContent-Length: 70\r\n"
    b"Connection: close\r\n\r\n"
    + b"<Error><Code>InvalidObjectState</Code><Message>x</Message></Error>".ljust(70)
)


@pytest.mark.parametrize("engines", ["seaweedfs"], indirect=True)
@pytest.mark.parametrize("size", [70_000, 3 * MIB])
@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_a_copy_in_an_archive_class_is_the_stores_word(
    engines: EngineAddresses,
    plain_bucket: str,
    key: str,
    proxy: Proxy,
    size: int,
    storage_class: str,
) -> None:
    """The proxy calls a metadata header by the name of the storage class's."""
    there = s3(engines, endpoint=proxy.url)
    target = Target(plain_bucket, key, metadata={"archived": storage_class})
    there.put_stream(target, iter([BLOB[:size]]), size=size, sha256=sha256(BLOB[:size]))
    own = b"X-Amz-Storage-Class: STANDARD"
    proxy.swaps = [(own, own.replace(b"Storage", b"Ignored"))]
    proxy.swaps += [
        (name + b":", b"X-Amz-Storage-Class:")
        for name in (b"X-Amz-Meta-Archived", b"x-amz-meta-archived", b"X-Amz-Meta-archived")
    ]
    proxy.faults = [Fault(instead=ARCHIVED, on="GET") for _ in range(20)]
    assert there.head(plain_bucket, key).is_archived
    check = Check(key, size, sha256(BLOB[:size]), must_read=True)
    assert there.verify(plain_bucket, check).how in (
        ProofMethod.STORE_SHA256,
        ProofMethod.STORE_MD5,
    )
    before = Counter(proxy.kinds)
    there.verify(plain_bucket, check)
    assert proxy.kinds - before == Counter(HEAD=1)  # that bucket's others are not tried to be read
    untold = replace(check, sha256=sha256(BLOB[:size]), part_sha256=())
    proxy.swaps.append((b"X-Amz-Checksum-Sha256", b"X-Amz-Checksum-Unknow"))
    assert there.verify(plain_bucket, untold).how is ProofMethod.STORE_SIZE
    with pytest.raises(ProofFailed):
        there.verify(plain_bucket, replace(check, size=size + 1))


@pytest.mark.parametrize("size", [70_000, 12 * MIB])
def test_what_is_read_is_asked_for_by_gets_alone(
    engines: EngineAddresses, plain_bucket: str, key: str, proxy: Proxy, size: int
) -> None:
    """Of a large object also where the first of them breaks off: the next goes on from there."""
    there = s3(engines, endpoint=proxy.url)
    there.put_stream(
        Target(plain_bucket, key), iter([BLOB[:size]]), size=size, sha256=sha256(BLOB[:size])
    )
    check = Check(key, size, sha256(BLOB[:size]), must_read=True)
    before = Counter(proxy.kinds)
    assert there.verify(plain_bucket, check).how is ProofMethod.READ_BACK
    assert proxy.kinds - before == Counter(GET=-(-size // (8 * MIB)))
    if size > MIB:
        before = Counter(proxy.kinds)
        proxy.faults = [Fault(after=3 * MIB, on="GET")]
        assert there.verify(plain_bucket, check).how is ProofMethod.READ_BACK
        assert proxy.kinds - before == Counter(GET=1 + -(-(size - 2 * MIB) // (8 * MIB)))


def test_a_copy_whose_archive_only_the_read_tells_of_is_the_stores_word(
    engines: EngineAddresses, plain_bucket: str, key: str, proxy: Proxy
) -> None:
    there = s3(engines, endpoint=proxy.url)
    there.put(Body(Target(plain_bucket, key), BLOB[:70_000]))
    proxy.faults = [Fault(instead=ARCHIVED, on="GET") for _ in range(20)]
    check = Check(key, 70_000, sha256(BLOB[:70_000]), must_read=True)
    assert there.verify(plain_bucket, check).how is ProofMethod.STORE_SHA256


def test_a_copy_that_the_store_tells_of_and_does_not_give_is_unreadable(
    engines: EngineAddresses, plain_bucket: str, proxy: Proxy
) -> None:
    there = s3(engines, endpoint=proxy.url)
    checks = []
    for name, size in (("small", 70_000), ("large", 3 * MIB), ("sound", 5)):
        there.put(Body(Target(plain_bucket, name), BLOB[:size]))
        checks.append(Check(name, size, sha256(BLOB[:size]), must_read=True))
    proxy.faults = [
        Fault(after=20_000, on=f"GET /{plain_bucket}/{name}")
        for name in ("small", "large")
        for _ in range(40)
    ]
    kinds = [type(answer) for answer in there.verify_many(plain_bucket, checks)]
    assert kinds == [Unreadable, Unreadable, Proof]
    proxy.go_down()
    with pytest.raises(Unreachable) as fault:
        there.verify(plain_bucket, checks[2])
    assert type(fault.value) is not Unreadable
    proxy.is_down = False


def test_verify_by_sha256_by_md5_and_by_reading_back(
    objects: Objects, bucket: str, key: str, boto: Any
) -> None:
    data = BLOB[:1000]
    digest, md5 = sha256(data), hashlib.md5(data).hexdigest()
    boto.put_object(Bucket=bucket, Key=key, Body=data, ChecksumSHA256=b64(data))
    check = Check(key, 1000, digest)
    assert objects.verify(bucket, check).how is ProofMethod.STORE_SHA256
    boto.put_object(Bucket=bucket, Key=key, Body=data, ChecksumAlgorithm="CRC32")
    with_md5 = replace(check, md5=md5)
    for read_back in (True, False):
        found = objects.verify(bucket, with_md5, read_back=read_back)
        assert found.how is ProofMethod.STORE_MD5
    assert objects.verify(bucket, check).how is ProofMethod.READ_BACK
    (answer,) = objects.verify_many(bucket, [check], read_back=False)
    assert isinstance(answer, ProofFailed)
    put(objects, bucket, key, data)
    for wrong in (replace(check, size=999), replace(check, sha256=sha256(b"x"))):
        with pytest.raises(ProofFailed):
            objects.verify(bucket, wrong)


def test_verify_many_answers_for_each_what_is_wrong(
    objects: Objects, bucket: str, key: str
) -> None:
    data = BLOB[:1000]
    put(objects, bucket, key, data)
    right, wrong = sha256(data), sha256(b"other")
    checks = [
        Check(key, 1000, right),
        Check(key, 1000, wrong),
        Check(f"{key} elsewhere", 1000, right),
        Check(key, 999, right),
    ]
    kinds = [type(answer) for answer in objects.verify_many(bucket, checks, in_flight=3)]
    assert kinds == [Proof, ProofFailed, Gone, ProofFailed]
    with pytest.raises(Refused):
        objects.verify_many("bagline-no-such-bucket", checks)
    assert objects.verify_many(bucket, []) == []


def test_verify_finds_other_bytes_of_the_same_size(
    objects: Objects, bucket: str, key: str, boto: Any
) -> None:
    data = b"x" * 100
    boto.put_object(Bucket=bucket, Key=key, Body=b"y" * 100, ChecksumAlgorithm="CRC32")
    md5 = hashlib.md5(data).hexdigest()
    with pytest.raises(ProofFailed):
        objects.verify(bucket, Check(key, 100, sha256(data), md5))
