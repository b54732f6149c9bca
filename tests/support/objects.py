"""What tests of the objects seam share: stores, bytes, and copies of them."""

from __future__ import annotations

import base64
import hashlib
import random
from typing import Any

from bagline.embedded import EngineAddresses
from bagline.services.objects.base import Body, ObjectInfo, Objects, RangeCopy, Target
from bagline.services.objects.s3 import S3Objects

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


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def put(objects: Objects, bucket: str, key: str, data: bytes) -> ObjectInfo:
    objects.put(Body(Target(bucket, key), data))
    return objects.head(bucket, key)


def keys(objects: Objects, bucket: str, prefix: str = "") -> list[str]:
    return [found.key for found in objects.list(bucket, prefix)]


def unfinished(boto: Any, bucket: str) -> list[str]:
    uploads = boto.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    return [upload["Key"] for upload in uploads]


def copy_of(source: ObjectInfo, target: Target, start: int, length: int, **more: Any) -> RangeCopy:
    """With both digests of its bytes; with none but those given where one is."""
    data = BLOB[start : start + length]
    facts: dict[str, Any] = {"etag": source.etag}
    if "sha256" not in more:
        facts |= {"sha256": sha256(data), "md5": md5(data)}
    return RangeCopy(source.bucket, source.key, start=start, length=length, target=target,
                     **(facts | more))  # fmt: skip


def b64(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()
