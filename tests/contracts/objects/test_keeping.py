"""Keeping house: lists, deletes, unfinished uploads, buckets, and what a store can prove."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from bagline.errors import Replaced
from bagline.model.times import is_set
from bagline.services.objects.base import Body, Objects, ProofMethod, Target
from support.engines import fresh_name
from support.objects import keys, put, unfinished
from support.stores import COPIES_PROVEN_BY

pytestmark = pytest.mark.engines


def test_what_the_store_can_prove_is_found_once_and_leaves_nothing(
    objects: Objects, bucket: str, request: pytest.FixtureRequest
) -> None:
    found = objects.abilities(bucket)
    assert found.put_proof is ProofMethod.STORE_SHA256
    proof = COPIES_PROVEN_BY[request.node.callspec.params["engines"]]
    assert found.range_copy_proof is proof
    assert found.copies_ask_sha256 is (proof is ProofMethod.STORE_SHA256)
    assert found.head_tells_sha256
    assert objects.abilities(bucket) is found
    assert keys(objects, bucket, "bagline-probe/") == []


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


@pytest.mark.parametrize("engines", ["seaweedfs", "versitygw"], indirect=True)
def test_unfinished_uploads_are_swept_by_prefix(objects: Objects, bucket: str, boto: Any) -> None:
    prefix = fresh_name("sweep")
    for name in (f"{prefix}/12/a", f"{prefix}/12/b", f"{prefix}/12/a", f"{prefix}/120/c"):
        boto.create_multipart_upload(Bucket=bucket, Key=name)
    assert objects.abort_uploads(bucket, f"{prefix}/12/") == 3
    assert objects.abort_uploads(bucket, f"{prefix}/12/") == 0
    assert unfinished(boto, bucket) == [f"{prefix}/120/c"]
    assert objects.abort_uploads(bucket, prefix) == 1


def test_unfinished_uploads_are_swept_by_key(objects: Objects, bucket: str, boto: Any) -> None:
    """MinIO finds them so alone; those of others it ends by itself when they are a day old."""
    key = fresh_name("sweep/by key")
    for name in (key, key, f"{key}.other"):
        boto.create_multipart_upload(Bucket=bucket, Key=name)
    objects.abort_uploads(bucket, key, is_key=True)
    assert key not in unfinished(boto, bucket)
    assert objects.abort_uploads(bucket, f"{key}.oth", is_key=True) == 0
    objects.abort_uploads(bucket, f"{key}.other")
    assert unfinished(boto, bucket) == []


def test_buckets_are_made_once(objects: Objects) -> None:
    name = fresh_name("made")
    assert not objects.has_bucket(name)
    objects.ensure_bucket(name)
    objects.ensure_bucket(name)
    assert objects.has_bucket(name)
