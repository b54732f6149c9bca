"""Putting: what is put is what is read, under its key, with its metadata, or nothing is."""

from __future__ import annotations

import hashlib
import resource
from collections.abc import Iterator
from typing import Any

import pytest

from bagline.embedded import EngineAddresses
from bagline.errors import Gone, ProofFailed, Refused, Replaced
from bagline.model.times import is_set
from bagline.services.objects.base import Body, Objects, Piece, ProofMethod, RangeCopy, Target
from bagline.services.objects.connection import Connection, Endpoint
from bagline.services.objects.reading import Reader
from bagline.services.objects.writing import Writer
from support.engines import fresh_name
from support.objects import BLOB, MIB, keys, put, s3, sha256, unfinished

pytestmark = pytest.mark.engines


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
