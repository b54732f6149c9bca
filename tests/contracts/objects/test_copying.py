"""Copying: the store copies and proves, else the bytes go through here; no other bytes stay."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from bagline.embedded import EngineAddresses
from bagline.errors import BrokenState, ProofFailed, Refused, Replaced
from bagline.services.objects.base import Check, Objects, ProofMethod, Target
from support.objects import (
    BLOB,
    MIB,
    PART_COPY,
    b64,
    copy_of,
    keys,
    md5,
    put,
    s3,
    sha256,
    unfinished,
)
from support.proxy import Fault, Proxy

pytestmark = pytest.mark.engines


FORBIDDEN = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nContent-Length: 60\r\n"
    b"Connection: close\r\n\r\n"
    + b"<Error><Code>AccessDenied</Code><Message>x</Message></Error>".ljust(60)
)


@pytest.mark.parametrize(
    ("start", "length"), [(0, 1), (513, 7 * MIB // 2 + 1), (0, PART_COPY), (12 * MIB + 16, 1)]
)
def test_the_store_copies_a_range_and_proves_it(
    objects: Objects, bucket: str, key: str, start: int, length: int
) -> None:
    source = put(objects, bucket, key, BLOB)
    target = Target(bucket, key + ".copy", "text/x", {"bag": "test.edu/b"})
    copy = copy_of(source, target, start, length)
    proof = objects.copy_range(copy)
    assert proof.how is objects.abilities(bucket).range_copy_proof
    assert (proof.size, proof.sha256) == (length, sha256(BLOB[start : start + length]))
    found = objects.head(bucket, target.key)
    assert (found.etag, found.content_type) == (proof.etag, "text/x")
    assert found.metadata == {"bag": "test.edu/b"}
    assert objects.read(bucket, target.key) == BLOB[start : start + length]
    check = Check(target.key, length, proof.sha256, copy.md5)
    assert objects.verify(bucket, check, read_back=False).how is proof.how


def test_a_copy_above_the_largest_part_goes_in_parts(
    objects: Objects, bucket: str, key: str
) -> None:
    source = put(objects, bucket, key, BLOB)
    parts = [BLOB[at : at + PART_COPY] for at in range(1, len(BLOB), PART_COPY)]
    known = {"part_sha256": [*map(sha256, parts)], "part_md5": [*map(md5, parts)]}
    copy = copy_of(source, Target(bucket, key + ".copy"), 1, len(BLOB) - 1, **known)
    proof = objects.copy_range(copy)
    assert proof.how is objects.abilities(bucket).range_copy_proof
    assert objects.head(bucket, copy.target.key).etag.endswith("-3")
    check = Check(copy.target.key, proof.size, proof.sha256, copy.md5)
    assert objects.verify(bucket, check).how is ProofMethod.READ_BACK
    with pytest.raises(ProofFailed, match="no digest"):  # nobody told where the parts begin
        objects.verify(bucket, check, read_back=False)
    check = replace(check, **known)
    assert objects.verify(bucket, check, read_back=False).how is proof.how
    others = {"part_sha256": [sha256(b"other")] * 3, "part_md5": [md5(b"other")] * 3}
    with pytest.raises(ProofFailed, match="other bytes"):
        objects.verify(bucket, replace(check, sha256=sha256(b"other"), **others))


PARTS = [BLOB[at : at + PART_COPY] for at in range(0, len(BLOB), PART_COPY)]


@pytest.mark.parametrize(
    "known",
    [
        {},
        {"part_sha256": [*map(sha256, PARTS)]},
        {"part_md5": [*map(md5, PARTS)]},
        {"part_sha256": ["", *map(sha256, PARTS[1:])]},
        {"part_sha256": [sha256(b"of other parts")], "part_md5": [md5(b"of other parts")]},
    ],
    ids=["none", "SHA-256", "MD5", "some", "of other parts"],
)
def test_a_copy_in_parts_is_read_back_where_their_digests_do_not_prove_it(
    engines: EngineAddresses, plain_bucket: str, key: str, proxy: Proxy, known: dict[str, list[str]]
) -> None:
    """So are those of an earlier release, which kept no MD5s, and of older services: no digests."""
    source, objects = put(s3(engines), plain_bucket, key, BLOB), s3(engines, endpoint=proxy.url)
    by_store = objects.abilities(plain_bucket).range_copy_proof
    copy = copy_of(source, Target(plain_bucket, f"{key}.copy"), 0, len(BLOB), **known)
    before = len(proxy.lines)
    proof = objects.copy_range(copy)
    if by_store is ProofMethod.STORE_SHA256 and known == {"part_sha256": [*map(sha256, PARTS)]}:
        expected = ProofMethod.STORE_SHA256
    elif known == {"part_md5": [*map(md5, PARTS)]}:
        expected = ProofMethod.STORE_MD5
    else:
        expected = ProofMethod.READ_BACK
    assert proof.how is expected
    asked = [line.partition(" ")[0] for line in proxy.lines[before:]]
    reads = 2 if expected is ProofMethod.READ_BACK else 0  # of 8 MiB each
    assert Counter(asked) == Counter({"POST": 2, "PUT": len(PARTS), "GET": reads})
    assert objects.head(plain_bucket, copy.target.key).etag.endswith("-3")
    assert objects.read(plain_bucket, copy.target.key) == BLOB


def test_a_copy_of_other_bytes_leaves_nothing(
    objects: Objects, bucket: str, key: str, boto: Any
) -> None:
    source = put(objects, bucket, key, BLOB)
    target = Target(bucket, key + ".copy")
    for wrong in (
        copy_of(source, target, 0, 100, sha256=sha256(b"other")),
        copy_of(source, target, 0, len(BLOB), part_sha256=[sha256(b"a")] * 3, sha256=sha256(b"x")),
        copy_of(source, target, 0, len(BLOB), part_md5=[md5(b"a")] * 3, sha256=sha256(b"x")),
    ):
        with pytest.raises(ProofFailed):
            objects.copy_range(wrong)
        assert keys(objects, bucket, target.key) == []
    assert unfinished(boto, bucket) == []


def test_copies_are_pinned_and_leave_nothing(
    objects: Objects, bucket: str, key: str, boto: Any
) -> None:
    source = put(objects, bucket, key, BLOB)
    put(objects, bucket, key, b"another")
    with pytest.raises(Replaced):
        objects.copy_range(copy_of(source, Target(bucket, key + ".copy"), 0, 100))
    assert keys(objects, bucket, key + ".copy") == []
    assert unfinished(boto, bucket) == []


def test_a_copy_past_the_end_and_one_of_nothing(objects: Objects, bucket: str, key: str) -> None:
    source = put(objects, bucket, key, b"short")
    with pytest.raises(BrokenState):
        objects.copy_range(copy_of(source, Target(bucket, key + ".copy"), 0, 50))
    with pytest.raises(ValueError, match="at least one byte"):
        objects.copy_range(copy_of(source, Target(bucket, key + ".copy"), 0, 0))


def test_many_copies_come_as_they_are_proven(objects: Objects, bucket: str, key: str) -> None:
    source = put(objects, bucket, key, BLOB)
    copies = [copy_of(source, Target(bucket, f"{key}.{n}"), n, 1_000) for n in range(12)]
    proofs = {proof.key: proof for proof in objects.copy_many(iter(copies), in_flight=4)}
    assert {copy.target.key: copy.sha256 for copy in copies} == {
        key: proof.sha256 for key, proof in proofs.items()
    }


def test_of_many_copies_all_are_tried_before_a_fault_is_raised(
    objects: Objects, bucket: str, key: str
) -> None:
    source = put(objects, bucket, key, BLOB)
    copies = [copy_of(source, Target(bucket, f"{key}.{n}"), n, 1_000) for n in range(6)]
    copies[1] = replace(copies[1], sha256=sha256(b"other"), md5="")
    proven = []
    with pytest.raises(ProofFailed):
        proven.extend(objects.copy_many(copies, in_flight=2))
    assert keys(objects, bucket, f"{key}.") == [f"{key}.{n}" for n in (0, 2, 3, 4, 5)]


def test_a_copy_from_another_store_is_carried_and_proven(
    engines: EngineAddresses, plain_bucket: str, key: str, proxy: Proxy
) -> None:
    here, there = s3(engines), s3(engines, endpoint=proxy.url)
    assert here.realm != there.realm
    source = put(here, plain_bucket, key, BLOB)
    moves = []
    copy = copy_of(source, Target(plain_bucket, f"{key}.copy"), 5, len(BLOB) - 5)
    copy = replace(copy, moved=lambda: moves.append(1))
    proof = there.copy_range(copy, source=here)
    assert (proof.size, proof.sha256) == (copy.length, copy.sha256)
    assert moves
    assert here.read(plain_bucket, copy.target.key) == BLOB[5:]
    (again,) = there.copy_many([replace(copy, etag="")], source=here)
    assert again.sha256 == copy.sha256
    with pytest.raises(Replaced):
        there.copy_range(replace(copy, etag="0" * 32), source=here)


def test_the_store_copies_by_itself_from_one_it_reaches(
    engines: EngineAddresses, plain_bucket: str, key: str, proxy: Proxy
) -> None:
    """As between the regions of a provider: the one is not even asked for the bytes."""
    here, there = s3(engines, endpoint=proxy.url), s3(engines, endpoint=proxy.url)
    source = put(here, plain_bucket, key, BLOB[:1000])
    there.abilities(plain_bucket)
    copy = copy_of(source, Target(plain_bucket, f"{key}.copy"), 5, 900)
    before = proxy.requests
    assert there.copy_range(copy, source=here).sha256 == copy.sha256
    assert not any(asked.startswith("GET") for asked in proxy.lines[before:])
    assert here.read(plain_bucket, copy.target.key) == BLOB[5:905]


def test_a_store_that_may_not_copy_from_another_is_sent_the_bytes(
    engines: EngineAddresses, plain_bucket: str, key: str, proxy: Proxy
) -> None:
    here, there = s3(engines, endpoint=proxy.url), s3(engines, endpoint=proxy.url)
    there.abilities(plain_bucket)
    source = put(here, plain_bucket, key, BLOB[:1000])
    copies = [copy_of(source, Target(plain_bucket, f"{key}.{n}"), n, 900) for n in range(3)]
    asked_by_probe = sum("partNumber=1" in asked for asked in proxy.lines)
    proxy.faults = [Fault(instead=FORBIDDEN, on="partNumber")]
    for copy in copies:
        assert there.copy_range(copy, source=here).sha256 == copy.sha256
    assert sum("partNumber=1" in asked for asked in proxy.lines) == asked_by_probe + 1
    proxy.faults = [Fault(instead=FORBIDDEN, on="partNumber")]
    with pytest.raises(Refused):  # inside one store a refusal is one
        there.copy_range(copies[0])


NO_SHA256 = [
    (b"ChecksumSHA256", b"ChecksumSHA25x"),
    (b"X-Amz-Checksum-Sha256", b"X-Amz-Checksum-Sha25x"),
    (b"x-amz-checksum-sha256", b"x-amz-checksum-sha25x"),
]


def test_a_store_that_answers_only_an_md5_copies_and_is_believed(
    engines: EngineAddresses, plain_bucket: str, key: str, proxy: Proxy, boto: Any
) -> None:
    boto.put_object(Bucket=plain_bucket, Key=key, Body=BLOB)  # as depositors do, without SHA-256
    source = s3(engines).head(plain_bucket, key)
    proxy.swaps = NO_SHA256
    objects = s3(engines, endpoint=proxy.url)
    found = objects.abilities(plain_bucket)
    assert found.range_copy_proof is ProofMethod.STORE_MD5
    assert not found.head_tells_sha256
    copy = copy_of(source, Target(plain_bucket, key + ".copy"), 5, 100)
    assert objects.copy_range(copy).how is ProofMethod.STORE_MD5
    assert objects.read(plain_bucket, copy.target.key) == BLOB[5:105]
    check = Check(copy.target.key, 100, copy.sha256)
    assert objects.verify(plain_bucket, check).how is ProofMethod.READ_BACK
    with_md5 = replace(check, md5=copy.md5)
    assert objects.verify(plain_bucket, with_md5).how is ProofMethod.STORE_MD5


def test_a_copy_that_no_answer_proves_is_read_back_once(
    engines: EngineAddresses, plain_bucket: str, key: str, proxy: Proxy, boto: Any
) -> None:
    source = put(s3(engines), plain_bucket, key, BLOB)
    objects = s3(engines, endpoint=proxy.url)
    objects.abilities(plain_bucket)
    proxy.swaps = NO_SHA256
    copy = replace(copy_of(source, Target(plain_bucket, key + ".copy"), 5, 100), md5="")
    before = len(proxy.lines)
    assert objects.copy_range(copy).how is ProofMethod.READ_BACK
    asked = Counter(line.partition(" ")[0] for line in proxy.lines[before:])
    assert asked == Counter({"POST": 2, "PUT": 1, "GET": 1})
    assert objects.read(plain_bucket, copy.target.key) == BLOB[5:105]
    assert unfinished(boto, plain_bucket) == []


def test_a_store_that_makes_no_copies_gets_the_bytes_from_us(
    engines: EngineAddresses, plain_bucket: str, key: str, proxy: Proxy, boto: Any
) -> None:
    source = put(s3(engines), plain_bucket, key, BLOB)
    objects = s3(engines, endpoint=proxy.url)
    proxy.faults = [Fault(instead=FORBIDDEN, on="partNumber") for _ in range(2)]
    found = objects.abilities(plain_bucket)
    assert found.range_copy_proof is None
    assert any("streamed" in remark for remark in found.remarks)
    proof = objects.copy_range(copy_of(source, Target(plain_bucket, key + ".copy"), 5, 100))
    assert (proof.size, proof.sha256) == (100, sha256(BLOB[5:105]))
    assert objects.read(plain_bucket, key + ".copy") == BLOB[5:105]
    assert "-" not in proof.etag  # put by us, not copied in parts
    assert unfinished(boto, plain_bucket) == []


def test_a_store_that_refuses_to_copy_with_a_sha256_is_not_asked_for_one(
    engines: EngineAddresses, plain_bucket: str, key: str, proxy: Proxy, boto: Any
) -> None:
    """SeaweedFS then answers ETags that look like MD5s, and are none."""
    source = put(s3(engines), plain_bucket, key, BLOB)
    objects = s3(engines, endpoint=proxy.url)
    proxy.faults = [Fault(instead=FORBIDDEN, on="x-amz-checksum-algorithm") for _ in range(9)]
    found = objects.abilities(plain_bucket)
    assert found.range_copy_proof in (ProofMethod.STORE_MD5, ProofMethod.READ_BACK)
    assert not found.copies_ask_sha256
    assert any("when asked for its SHA-256" in remark for remark in found.remarks)
    copy = copy_of(source, Target(plain_bucket, key + ".copy"), 5, 100)
    proof = objects.copy_range(copy)
    assert (proof.how, proof.sha256) == (found.range_copy_proof, sha256(BLOB[5:105]))
    assert objects.read(plain_bucket, copy.target.key) == BLOB[5:105]
    with pytest.raises(ProofFailed):  # what was copied is read back, taken back, and streamed
        objects.copy_range(replace(copy, sha256=sha256(b"other"), md5=""))
    assert keys(objects, plain_bucket, copy.target.key) == []
    assert unfinished(boto, plain_bucket) == []


@pytest.mark.parametrize("engines", ["seaweedfs"], indirect=True)
def test_a_copy_with_a_wrong_answer_is_taken_back_and_streamed(
    engines: EngineAddresses, plain_bucket: str, key: str, proxy: Proxy, boto: Any
) -> None:
    boto.put_object(Bucket=plain_bucket, Key=key, Body=BLOB)
    source = s3(engines).head(plain_bucket, key)
    objects = s3(engines, endpoint=proxy.url)
    assert objects.abilities(plain_bucket).copies_ask_sha256
    right = b64(BLOB[5:105]).encode()
    proxy.swaps = [(right, b"A" * len(right))]
    proof = objects.copy_range(copy_of(source, Target(plain_bucket, key + ".copy"), 5, 100))
    assert proof.sha256 == sha256(BLOB[5:105])
    assert objects.read(plain_bucket, key + ".copy") == BLOB[5:105]
    assert "-" not in proof.etag  # put by us, not copied in parts
    assert unfinished(boto, plain_bucket) == []


@pytest.mark.parametrize("engines", ["seaweedfs"], indirect=True)
def test_a_completed_object_that_is_another_is_removed_and_streamed(
    engines: EngineAddresses, plain_bucket: str, key: str, proxy: Proxy
) -> None:
    source = put(s3(engines), plain_bucket, key, BLOB)
    objects = s3(engines, endpoint=proxy.url)
    assert objects.abilities(plain_bucket).copies_ask_sha256
    inner = hashlib.sha256(hashlib.sha256(BLOB[5:105]).digest()).digest()
    right = base64.b64encode(inner)
    proxy.swaps = [(right, b"A" * len(right))]
    proof = objects.copy_range(copy_of(source, Target(plain_bucket, key + ".copy"), 5, 100))
    assert "-" not in proof.etag
    assert objects.read(plain_bucket, key + ".copy") == BLOB[5:105]
