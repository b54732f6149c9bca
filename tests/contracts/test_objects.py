"""What every Objects promises, asked of each implementation on its real engine."""

from __future__ import annotations

import base64
import hashlib
import random
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest

from bagline.embedded import EngineAddresses
from bagline.errors import (
    BrokenState,
    Gone,
    Misconfigured,
    ProofFailed,
    Refused,
    Replaced,
    Unreachable,
    Unreadable,
)
from bagline.model.times import is_set
from bagline.services.objects.base import (
    Body,
    Check,
    ObjectInfo,
    Objects,
    Piece,
    Proof,
    ProofMethod,
    RangeCopy,
    Relay,
    RelayPart,
    Target,
)
from bagline.services.objects.connection import Connection, Endpoint
from bagline.services.objects.reading import Reader
from bagline.services.objects.retrying import RetryingObjects
from bagline.services.objects.s3 import S3Objects
from bagline.services.objects.writing import Writer
from support.engines import closed_port, fresh_name
from support.proxy import SLOW_DOWN, Fault, Proxy, proxy_before
from support.versitygw import ACCESS_KEY, SECRET_KEY, versitygw_running

pytestmark = pytest.mark.engines

MIB = 1024 * 1024
PART_COPY = 5 * MIB
BLOB = random.Random(7).randbytes(12 * MIB + 17)


def s3(engines: EngineAddresses, **changed: Any) -> S3Objects:
    settings: dict[str, Any] = {
        "endpoint": engines.s3_endpoint,
        "access_key": engines.s3_access_key,
        "secret_key": engines.s3_secret_key,
        "allow_http": True,
        "connect_seconds": 2.0,
        "part_copy_bytes": PART_COPY,
    }
    return S3Objects(**(settings | changed))


FORBIDDEN = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: application/xml\r\nContent-Length: 60\r\n"
    b"Connection: close\r\n\r\n"
    + b"<Error><Code>AccessDenied</Code><Message>x</Message></Error>".ljust(60)
)
SERVERS = ("seaweedfs", "versitygw")


@pytest.fixture(scope="module", params=SERVERS)
def engines(
    request: pytest.FixtureRequest,
    engines: EngineAddresses,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[EngineAddresses]:
    """The session's engines, with the S3 server that is asked in them."""
    if request.param == "seaweedfs":
        yield engines
        return
    with versitygw_running(tmp_path_factory.mktemp("versitygw")) as server:
        yield replace(
            engines,
            s3_endpoint=server.endpoint,
            s3_access_key=ACCESS_KEY,
            s3_secret_key=SECRET_KEY,
        )


IMPLEMENTATIONS: dict[str, Callable[[EngineAddresses], Objects]] = {
    "s3": s3,
    "retrying s3": lambda engines: RetryingObjects(s3(engines)),
}


@pytest.fixture(scope="module", params=IMPLEMENTATIONS)
def objects(request: pytest.FixtureRequest, engines: EngineAddresses) -> Iterator[Objects]:
    made = IMPLEMENTATIONS[request.param](engines)
    yield made
    made.close()


@pytest.fixture(scope="module")
def bucket(objects: Objects) -> str:
    """One bucket a module and implementation: the tests use keys of their own."""
    name = fresh_name("bucket")
    objects.ensure_bucket(name)
    return name


@pytest.fixture(scope="module")
def plain_bucket(engines: EngineAddresses) -> str:
    """For tests that build what they ask by themselves, and run once."""
    name = fresh_name("bucket")
    s3(engines).ensure_bucket(name)
    return name


@pytest.fixture
def key() -> str:
    return fresh_name("some/key é")


@pytest.fixture(scope="module")
def boto(engines: EngineAddresses) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=engines.s3_endpoint,
        region_name="us-east-1",
        aws_access_key_id=engines.s3_access_key,
        aws_secret_access_key=engines.s3_secret_key,
    )


@pytest.fixture
def proxy(engines: EngineAddresses) -> Iterator[Proxy]:
    with proxy_before(engines.s3_endpoint) as made:
        yield made


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def put(objects: Objects, bucket: str, key: str, data: bytes) -> ObjectInfo:
    objects.put(Body(Target(bucket, key), data))
    return objects.head(bucket, key)


def keys(objects: Objects, bucket: str, prefix: str = "") -> list[str]:
    return [found.key for found in objects.list(bucket, prefix)]


def unfinished(boto: Any, bucket: str) -> list[str]:
    uploads = boto.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    return [upload["Key"] for upload in uploads]


def copy_of(source: ObjectInfo, target: Target, start: int, length: int, **more: Any) -> RangeCopy:
    data = BLOB[start : start + length]
    facts: dict[str, Any] = {"sha256": sha256(data), "etag": source.etag}
    return RangeCopy(source.bucket, source.key, start=start, length=length, target=target,
                     **(facts | more))  # fmt: skip


# -- one object
def test_what_is_put_is_what_is_read(objects: Objects, bucket: str, key: str) -> None:
    metadata = {"institution": "test.edu", "bag": "test.edu/b", "bagpath": "data/%41+b.txt ~"}
    proof = objects.put(Body(Target(bucket, key, "text/x", metadata), b"bytes", sha256(b"bytes")))
    assert (proof.size, proof.sha256) == (5, sha256(b"bytes"))
    assert proof.how is ProofMethod.STORE_SHA256
    found = objects.head(bucket, key)
    assert (found.size, found.etag, found.content_type) == (5, proof.etag, "text/x")
    assert found.metadata == metadata
    assert found.sha256 == sha256(b"bytes")
    assert is_set(found.last_modified)
    assert objects.read(bucket, key) == b"bytes"
    assert objects.read(bucket, key, start=1, length=3, etag=proof.etag) == b"yte"
    assert objects.read(bucket, key, start=2) == b"tes"


def test_an_empty_object(objects: Objects, bucket: str, key: str) -> None:
    objects.put(Body(Target(bucket, key), b""))
    assert objects.head(bucket, key).size == 0
    assert objects.read(bucket, key) == b""
    assert list(objects.stream(bucket, key)) == []
    assert objects.put_stream(Target(bucket, key), [], size=0, sha256=sha256(b"")).size == 0


def test_a_put_replaces_and_may_be_repeated(objects: Objects, bucket: str, key: str) -> None:
    put(objects, bucket, key, b"old")
    put(objects, bucket, key, b"new")
    put(objects, bucket, key, b"new")
    assert objects.read(bucket, key) == b"new"


def test_bytes_with_another_digest_are_not_sent(objects: Objects, bucket: str, key: str) -> None:
    with pytest.raises(ProofFailed):
        objects.put(Body(Target(bucket, key), b"bytes", sha256(b"other")))
    with pytest.raises(Gone):
        objects.head(bucket, key)


@pytest.mark.parametrize(
    "value",
    [
        "",
        " a",
        "a ",
        "a  b",
        "a\tb",
        "a\nb",
        "a\r\nx-amz-acl: public",
        "é",
        "\u202f",
        "\x7f",
        "x" * 2_050,
    ],
)
def test_metadata_that_would_not_arrive_is_not_sent(
    objects: Objects, bucket: str, key: str, value: str
) -> None:
    target = Target(bucket, key, metadata={"bagpath": value})
    for send in (
        lambda: objects.put(Body(target, b"x")),
        lambda: objects.put_stream(target, [b"x"], size=1, sha256=sha256(b"x")),
        lambda: objects.copy_range(RangeCopy(bucket, "any", "", 0, 1, target, sha256(b"x"))),
    ):
        with pytest.raises(ValueError, match="metadata"):
            send()


@pytest.mark.parametrize("name", ["a  b", "", "é", "a:b", "a\nb"])
def test_metadata_names_too(objects: Objects, bucket: str, key: str, name: str) -> None:
    with pytest.raises(ValueError, match="metadata name"):
        objects.put(Body(Target(bucket, key, metadata={name: "x"}), b"x"))


@pytest.mark.parametrize(
    "odd", ["", "a//b", "/a", "a/", "..", "a/../b", "a/./b", "a\nb", "a\x00", "\udcff", "é" * 513]
)
def test_keys_that_name_no_object_are_not_sent(objects: Objects, bucket: str, odd: str) -> None:
    for ask in (
        lambda: objects.put(Body(Target(bucket, odd), b"x")),
        lambda: objects.read(bucket, odd),
        lambda: objects.head(bucket, odd),
        lambda: objects.delete(bucket, odd),
        lambda: objects.delete_many(bucket, [odd]),
        lambda: list(objects.stream(bucket, odd)),
    ):
        with pytest.raises(ValueError, match="key"):
            ask()


def test_keys_of_every_printable_kind(objects: Objects, bucket: str) -> None:
    prefix = fresh_name("odd")
    names = [
        f"{prefix}/{name}"
        for name in ("a%2Fb", "sp ace", "plus+", "q?&=#", "é", "…", "~!@$^*()'\"<>")
    ]
    for name in names:
        put(objects, bucket, name, name.encode())
    assert sorted(keys(objects, bucket, prefix)) == sorted(names)
    assert [objects.read(bucket, name) for name in names] == [name.encode() for name in names]
    assert objects.delete_many(bucket, names) == len(names)
    assert keys(objects, bucket, prefix) == []


# -- what is not there, or is another
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


# -- many and large
def test_many_puts_and_reads_keep_their_order(objects: Objects, bucket: str) -> None:
    prefix = fresh_name("many")
    view = memoryview(BLOB)
    bodies = [
        Body(Target(bucket, f"{prefix}/{n}"), view[n : n + n], sha256(BLOB[n : n + n]))
        for n in range(150)
    ]
    proofs = objects.put_many(iter(bodies), in_flight=16)
    assert [proof.key for proof in proofs] == [body.target.key for body in bodies]
    pieces = [Piece(f"{prefix}/{n}", 0, n) for n in range(150)]
    assert objects.read_many(bucket, pieces) == [bytes(body.data) for body in bodies]
    assert objects.read_many(bucket, []) == []


def test_all_are_tried_before_the_gravest_fault_is_raised(objects: Objects, bucket: str) -> None:
    prefix = fresh_name("tried")
    good = [Body(Target(bucket, f"{prefix}/{n}"), b"x") for n in range(5)]
    wrong = Body(Target(bucket, f"{prefix}/wrong"), b"x", sha256(b"y"))
    nowhere = Body(Target(fresh_name("nowhere"), "k"), b"x")
    with pytest.raises(Refused):
        objects.put_many([wrong, nowhere, *good], in_flight=2)
    assert len(keys(objects, bucket, prefix)) == 5


@pytest.mark.parametrize("size", [1, 8 * MIB, 16 * MIB, 16 * MIB + 1, 40 * MIB + 3])
def test_streams_in_and_out(objects: Objects, bucket: str, key: str, size: int) -> None:
    data = (BLOB * 4)[:size]
    chunks = [data[at : at + 777_777] for at in range(0, size, 777_777)]
    metadata = {"bag": "test.edu/b"}
    target = Target(bucket, key, "image/tiff", metadata)
    proof = objects.put_stream(target, iter(chunks), size=size, sha256=sha256(data))
    assert (proof.size, proof.sha256) == (size, sha256(data))
    found = objects.head(bucket, key)
    assert (found.size, found.etag, found.metadata) == (size, proof.etag, metadata)
    assert found.content_type == "image/tiff"
    assert b"".join(objects.stream(bucket, key)) == data
    middle = objects.stream(bucket, key, start=size // 3, length=size // 2, etag=found.etag)
    assert b"".join(middle) == data[size // 3 : size // 3 + size // 2]
    assert objects.read(bucket, key) == data


@pytest.mark.parametrize("size", [MIB, 20 * MIB])
def test_a_stream_of_other_bytes_leaves_nothing(
    objects: Objects, bucket: str, key: str, boto: Any, size: int
) -> None:
    data = (BLOB * 2)[:size]
    halves = [data[: size // 2], data[size // 2 :]]

    def breaks() -> Iterator[bytes]:
        yield halves[0]
        raise Replaced("the source was replaced")

    target = Target(bucket, key)
    for chunks, announced, digest, error in (
        (iter(halves), size, sha256(b"other"), ProofFailed),
        (iter([*halves, b"!"]), size, sha256(data), ProofFailed),
        (iter(halves[:1]), size, sha256(data), ProofFailed),
        (breaks(), size, sha256(data), Replaced),
    ):
        with pytest.raises(error):
            objects.put_stream(target, chunks, size=announced, sha256=digest)
        assert keys(objects, bucket, key) == []
    assert unfinished(boto, bucket) == []


def test_streams_pass_in_bounded_memory(
    engines: EngineAddresses, plain_bucket: str, key: str
) -> None:
    objects = s3(engines)
    size, chunk = 160 * MIB, BLOB[:MIB]
    digest = hashlib.sha256(chunk * 160).hexdigest()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    objects.put_stream(
        Target(plain_bucket, key), (chunk for _ in range(160)), size=size, sha256=digest
    )
    read = hashlib.sha256()
    for some in objects.stream(plain_bucket, key):
        read.update(some)
    assert read.hexdigest() == digest
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 96 * MIB
    objects.delete(plain_bucket, key)


# -- copies
@pytest.mark.parametrize(
    ("start", "length"), [(0, 1), (513, 7 * MIB // 2 + 1), (0, PART_COPY), (12 * MIB + 16, 1)]
)
def test_the_store_copies_a_range_and_proves_it(
    objects: Objects, bucket: str, key: str, start: int, length: int
) -> None:
    source = put(objects, bucket, key, BLOB)
    target = Target(bucket, key + ".copy", "text/x", {"bag": "test.edu/b"})
    proof = objects.copy_range(copy_of(source, target, start, length))
    assert proof.how is ProofMethod.STORE_SHA256
    assert (proof.size, proof.sha256) == (length, sha256(BLOB[start : start + length]))
    found = objects.head(bucket, target.key)
    assert (found.etag, found.content_type) == (proof.etag, "text/x")
    assert found.metadata == {"bag": "test.edu/b"}
    assert objects.read(bucket, target.key) == BLOB[start : start + length]
    verified = objects.verify(bucket, Check(target.key, length, proof.sha256))
    assert verified.how is ProofMethod.STORE_SHA256


def test_a_copy_above_the_largest_part_goes_in_parts(
    objects: Objects, bucket: str, key: str, boto: Any
) -> None:
    source = put(objects, bucket, key, BLOB)
    parts = [BLOB[at : at + PART_COPY] for at in range(1, len(BLOB), PART_COPY)]
    copy = copy_of(
        source,
        Target(bucket, key + ".copy"),
        1,
        len(BLOB) - 1,
        part_sha256=[sha256(p) for p in parts],
    )
    proof = objects.copy_range(copy)
    assert proof.how is ProofMethod.STORE_SHA256
    told = boto.head_object(Bucket=bucket, Key=key + ".copy", ChecksumMode="ENABLED")
    by_store = objects.abilities(bucket).range_copy_proof is not None  # else it was streamed
    assert told["ChecksumSHA256"].endswith("-3") is by_store
    check = Check(key + ".copy", proof.size, proof.sha256)
    if by_store:  # a composite says nothing to those who do not know the parts
        assert objects.verify(bucket, check).how is ProofMethod.READ_BACK
        with pytest.raises(ProofFailed, match="no digest"):
            objects.verify(bucket, check, read_back=False)
    check = replace(check, part_sha256=copy.part_sha256)
    assert objects.verify(bucket, check, read_back=False).how is ProofMethod.STORE_SHA256
    others = replace(check, sha256=sha256(b"other"), part_sha256=[sha256(b"other")] * 3)
    with pytest.raises(ProofFailed, match="other bytes"):
        objects.verify(bucket, others)


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
    untold = replace(check, sha256=sha256(BLOB[:size]), part_sha256=())
    proxy.swaps.append((b"X-Amz-Checksum-Sha256", b"X-Amz-Checksum-Unknow"))
    assert there.verify(plain_bucket, untold).how is ProofMethod.STORE_SIZE
    with pytest.raises(ProofFailed):
        there.verify(plain_bucket, replace(check, size=size + 1))


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


def test_without_the_parts_digests_a_large_copy_is_streamed(
    objects: Objects, bucket: str, key: str
) -> None:
    source = put(objects, bucket, key, BLOB)
    copy = copy_of(source, Target(bucket, key + ".copy"), 1, len(BLOB) - 1)
    assert objects.copy_range(copy).sha256 == copy.sha256
    assert objects.read(bucket, key + ".copy") == BLOB[1:]


def test_a_copy_of_other_bytes_leaves_nothing(
    objects: Objects, bucket: str, key: str, boto: Any
) -> None:
    source = put(objects, bucket, key, BLOB)
    target = Target(bucket, key + ".copy")
    for wrong in (
        copy_of(source, target, 0, 100, sha256=sha256(b"other")),
        copy_of(source, target, 0, len(BLOB), part_sha256=[sha256(b"a")] * 3, sha256=sha256(b"x")),
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
    copies[1] = replace(copies[1], sha256=sha256(b"other"))
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
    by_store = there.abilities(plain_bucket).range_copy_proof is not None
    copy = copy_of(source, Target(plain_bucket, f"{key}.copy"), 5, 900)
    before = proxy.requests
    assert there.copy_range(copy, source=here).sha256 == copy.sha256
    assert any(asked.startswith("GET") for asked in proxy.lines[before:]) is not by_store
    assert here.read(plain_bucket, copy.target.key) == BLOB[5:905]


def test_a_store_that_may_not_copy_from_another_is_sent_the_bytes(
    engines: EngineAddresses, plain_bucket: str, key: str, proxy: Proxy
) -> None:
    here, there = s3(engines, endpoint=proxy.url), s3(engines, endpoint=proxy.url)
    by_store = there.abilities(plain_bucket).range_copy_proof is not None
    source = put(here, plain_bucket, key, BLOB[:1000])
    copies = [copy_of(source, Target(plain_bucket, f"{key}.{n}"), n, 900) for n in range(3)]
    asked_by_probe = sum("partNumber=1" in asked for asked in proxy.lines)
    proxy.faults = [Fault(instead=FORBIDDEN, on="partNumber")]
    for copy in copies:
        assert there.copy_range(copy, source=here).sha256 == copy.sha256
    assert sum("partNumber=1" in asked for asked in proxy.lines) == asked_by_probe + by_store
    if by_store:  # inside one store a refusal is one
        proxy.faults = [Fault(instead=FORBIDDEN, on="partNumber")]
        with pytest.raises(Refused):
            there.copy_range(copies[0])


# -- windows relayed
def windows_of(bucket: str, key: str, etag: str, target: str, count: int = 9) -> list[Relay]:
    """Three objects of each window: two with bytes, one empty."""
    return [
        Relay(
            bucket,
            key,
            etag,
            start=n * 1000,
            length=600,
            parts=[
                RelayPart(at, size, Target(bucket, f"{target}-{n}-{at}"), sha256(part))
                for at, size in ((0, 100), (100, 0), (300, 300))
                for part in [BLOB[n * 1000 + at : n * 1000 + at + size]]
            ],
        )
        for n in range(count)
    ]


def test_relayed_windows_come_out_in_order_each_when_it_is_proven(
    objects: Objects, bucket: str, key: str
) -> None:
    etag = put(objects, bucket, key, BLOB[:20_000]).etag
    relays = windows_of(bucket, key, etag, f"{key}-out")
    answers = objects.relay_many(iter(relays), windows=3, puts_in_flight=4)
    for relay, proofs in zip(relays, answers, strict=True):
        assert [p.key for p in proofs] == [part.target.key for part in relay.parts]
        for part, proof in zip(relay.parts, proofs, strict=True):
            begin = relay.start + part.offset
            data = BLOB[begin : begin + part.length]
            assert proof.sha256 == sha256(data)
            assert objects.read(bucket, part.target.key) == data
    empty = Relay(bucket, key, etag, 0, 0, [RelayPart(0, 0, Target(bucket, f"{key}-e"), "")])
    assert [[p.size for p in proofs] for proofs in objects.relay_many([empty])] == [[0]]
    assert list(objects.relay_many([])) == []


def test_a_relay_stops_at_a_fault_and_nothing_runs_on(
    objects: Objects, bucket: str, key: str
) -> None:
    etag = put(objects, bucket, key, BLOB[:20_000]).etag
    relays = windows_of(bucket, key, etag, f"{key}-out")
    wrong = RelayPart(0, 100, Target(bucket, f"{key}-wrong"), sha256(b"other"))
    relays[4] = replace(relays[4], parts=[wrong])
    yielded = []
    with pytest.raises(ProofFailed):
        yielded.extend(objects.relay_many(iter(relays), windows=2))
    assert len(yielded) == 4
    with pytest.raises(Gone):
        objects.head(bucket, f"{key}-wrong")
    stale = windows_of(bucket, key, "0" * 32, f"{key}-stale")
    with pytest.raises(Replaced):
        list(objects.relay_many(stale))
    assert list(objects.list(bucket, f"{key}-stale")) == []


def test_a_relay_takes_no_more_than_its_budget(objects: Objects, bucket: str, key: str) -> None:
    etag = put(objects, bucket, key, BLOB[:20_000]).etag
    taken = 0

    def counted() -> Iterator[Relay]:
        nonlocal taken
        for relay in windows_of(bucket, key, etag, f"{key}-out"):
            taken += 1
            yield relay

    answers = objects.relay_many(counted(), windows=8, budget_bytes=1300)
    next(answers)
    assert taken == 3  # two of 600 bytes fit; the third was looked at
    answers.close()


# -- proof of what is there
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


def b64(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def test_verify_finds_other_bytes_of_the_same_size(
    objects: Objects, bucket: str, key: str, boto: Any
) -> None:
    data = b"x" * 100
    boto.put_object(Bucket=bucket, Key=key, Body=b"y" * 100, ChecksumAlgorithm="CRC32")
    md5 = hashlib.md5(data).hexdigest()
    with pytest.raises(ProofFailed):
        objects.verify(bucket, Check(key, 100, sha256(data), md5))


COPIES_PROVEN_BY = {"seaweedfs": ProofMethod.STORE_SHA256, "versitygw": None}
"""docs/operating/stores.md says why."""


def test_what_the_store_can_prove_is_found_once_and_leaves_nothing(
    objects: Objects, bucket: str, request: pytest.FixtureRequest
) -> None:
    found = objects.abilities(bucket)
    assert found.put_proof is ProofMethod.STORE_SHA256
    assert found.range_copy_proof is COPIES_PROVEN_BY[request.node.callspec.params["engines"]]
    assert found.head_tells_sha256
    assert objects.abilities(bucket) is found
    assert keys(objects, bucket, "bagline-probe/") == []


# -- keeping house
def test_lists_by_prefix_and_top_level(objects: Objects, bucket: str) -> None:
    prefix = fresh_name("list")
    names = [f"{prefix}/12/a", f"{prefix}/12/deep/b", f"{prefix}/120/c", f"{prefix}/top"]
    for name in names:
        put(objects, bucket, name, b"x")
    assert keys(objects, bucket, f"{prefix}/12/") == names[:2]
    top = list(objects.list(bucket, f"{prefix}/", top_level=True))
    assert [found.key for found in top] == [f"{prefix}/top"]
    assert (top[0].size, top[0].etag) == (1, hashlib.md5(b"x").hexdigest())
    assert is_set(top[0].last_modified)


def test_lists_and_deletes_of_more_than_a_page(objects: Objects, bucket: str) -> None:
    prefix = fresh_name("page")
    names = [f"{prefix}/{n:04}" for n in range(1_003)]
    objects.put_many((Body(Target(bucket, name), b"") for name in names), in_flight=16)
    assert keys(objects, bucket, prefix) == names
    assert objects.delete_many(bucket, (name for name in names)) == len(names)
    assert objects.delete_many(bucket, names[:3]) == 3
    assert keys(objects, bucket, prefix) == []


def test_delete_only_the_version_that_was_meant(objects: Objects, bucket: str, key: str) -> None:
    old = put(objects, bucket, key, b"old")
    new = put(objects, bucket, key, b"new")
    with pytest.raises(Replaced):
        objects.delete(bucket, key, etag=old.etag)
    assert objects.read(bucket, key) == b"new"
    objects.delete(bucket, key, etag=new.etag)
    objects.delete(bucket, key, etag=new.etag)
    objects.delete(bucket, key)
    assert keys(objects, bucket, key) == []


def test_unfinished_uploads_are_swept_by_prefix(objects: Objects, bucket: str, boto: Any) -> None:
    prefix = fresh_name("sweep")
    for name in (f"{prefix}/12/a", f"{prefix}/12/b", f"{prefix}/12/a", f"{prefix}/120/c"):
        boto.create_multipart_upload(Bucket=bucket, Key=name)
    assert objects.abort_uploads(bucket, f"{prefix}/12/") == 3
    assert objects.abort_uploads(bucket, f"{prefix}/12/") == 0
    assert unfinished(boto, bucket) == [f"{prefix}/120/c"]
    assert objects.abort_uploads(bucket, prefix) == 1


def test_buckets_are_made_once(objects: Objects) -> None:
    name = fresh_name("made")
    assert not objects.has_bucket(name)
    objects.ensure_bucket(name)
    objects.ensure_bucket(name)
    assert objects.has_bucket(name)


# -- stores that prove less, or lie
NO_SHA256 = [
    (b"ChecksumSHA256", b"ChecksumSHA25x"),
    (b"X-Amz-Checksum-Sha256", b"X-Amz-Checksum-Sha25x"),
    (b"x-amz-checksum-sha256", b"x-amz-checksum-sha25x"),
]
NO_ETAG_OF_PARTS = [(b"<ETag>", b"<Etag>"), (b"</ETag>", b"</Etag>")]


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
    target = Target(plain_bucket, key + ".copy")
    md5 = hashlib.md5(BLOB[5:105]).hexdigest()
    proof = objects.copy_range(copy_of(source, target, 5, 100, md5=md5))
    assert proof.how is ProofMethod.STORE_MD5
    assert objects.read(plain_bucket, target.key) == BLOB[5:105]
    verified = objects.verify(plain_bucket, Check(target.key, 100, proof.sha256))
    assert verified.how is ProofMethod.READ_BACK


def test_a_store_that_proves_no_copy_gets_the_bytes_from_us(
    engines: EngineAddresses, plain_bucket: str, key: str, proxy: Proxy, boto: Any
) -> None:
    source = put(s3(engines), plain_bucket, key, BLOB)
    proxy.swaps = NO_SHA256 + NO_ETAG_OF_PARTS
    objects = s3(engines, endpoint=proxy.url)
    found = objects.abilities(plain_bucket)
    assert found.range_copy_proof is None
    assert any("streamed" in remark for remark in found.remarks)
    proof = objects.copy_range(copy_of(source, Target(plain_bucket, key + ".copy"), 5, 100))
    assert (proof.size, proof.sha256) == (100, sha256(BLOB[5:105]))
    assert objects.read(plain_bucket, key + ".copy") == BLOB[5:105]
    assert unfinished(boto, plain_bucket) == []


def test_a_copy_with_a_wrong_answer_is_taken_back_and_streamed(
    engines: EngineAddresses, plain_bucket: str, key: str, proxy: Proxy, boto: Any
) -> None:
    source = put(s3(engines), plain_bucket, key, BLOB)
    objects = s3(engines, endpoint=proxy.url)
    objects.abilities(plain_bucket)
    right = b64(BLOB[5:105]).encode()
    proxy.swaps = [(right, b"A" * len(right))]
    proof = objects.copy_range(copy_of(source, Target(plain_bucket, key + ".copy"), 5, 100))
    assert proof.sha256 == sha256(BLOB[5:105])
    assert objects.read(plain_bucket, key + ".copy") == BLOB[5:105]
    assert "-" not in proof.etag  # put by us, not copied in parts
    assert unfinished(boto, plain_bucket) == []


def test_a_completed_object_that_is_another_is_removed_and_streamed(
    engines: EngineAddresses, plain_bucket: str, key: str, proxy: Proxy
) -> None:
    source = put(s3(engines), plain_bucket, key, BLOB)
    objects = s3(engines, endpoint=proxy.url)
    objects.abilities(plain_bucket)
    inner = hashlib.sha256(hashlib.sha256(BLOB[5:105]).digest()).digest()
    right = base64.b64encode(inner)
    proxy.swaps = [(right, b"A" * len(right))]
    proof = objects.copy_range(copy_of(source, Target(plain_bucket, key + ".copy"), 5, 100))
    assert "-" not in proof.etag
    assert objects.read(plain_bucket, key + ".copy") == BLOB[5:105]


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


@pytest.mark.parametrize("size", [1_000, 17 * MIB])
def test_a_put_the_store_does_not_prove_is_read_back(
    engines: EngineAddresses, plain_bucket: str, key: str, size: int
) -> None:
    connection = Connection(
        Endpoint(engines.s3_endpoint, engines.s3_access_key, engines.s3_secret_key, allow_http=True)
    )
    data = (BLOB * 2)[:size]
    for how in (ProofMethod.STORE_MD5, ProofMethod.READ_BACK):
        writer = Writer(connection, Reader(connection), lambda _, how=how: how, lambda *_: 0)  # type: ignore[misc]
        proof = writer.put(Body(Target(plain_bucket, key), data))
        assert (proof.how, proof.sha256) == (how, sha256(data))
        proof = writer.put_stream(Target(plain_bucket, key), [data], size, sha256(data))
        assert proof.how is (how if size <= 16 * MIB else ProofMethod.READ_BACK)
    connection.close()


# -- faults
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
        assert time.monotonic() - began < 3.0


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
