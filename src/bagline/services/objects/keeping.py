"""Listing, deleting, sweeping, buckets: what goes by boto3, keys as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from bagline.errors import Gone, Refused, Replaced, Unreachable
from bagline.model.times import from_datetime
from bagline.services.objects.base import ObjectInfo
from bagline.services.objects.classify import Fault, classify, fault_of
from bagline.services.objects.connection import Connection
from bagline.services.objects.names import check_key

KEYS_A_REQUEST = 1_000
SWEEPS = 1_000
"""Listings of unfinished uploads, of up to 1,000 each, before it is given up."""


class Keeper:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self, bucket: str, prefix: str, top_level: bool) -> Iterator[ObjectInfo]:
        more: dict[str, str] = {"Delimiter": "/"} if top_level else {}
        while True:
            with self._connection.asking("list", bucket, prefix):
                page = self._connection.boto.list_objects_v2(Bucket=bucket, Prefix=prefix, **more)
            for found in page.get("Contents", []):
                yield _info(bucket, found)
            if not page.get("IsTruncated") or not page.get("NextContinuationToken"):
                return
            more["ContinuationToken"] = page["NextContinuationToken"]

    def delete(self, bucket: str, key: str, etag: str) -> None:
        """Stores may ignore If-Match: with an ETag the key is looked at first as well."""
        check_key(key)
        condition = {}
        if etag:
            if not self._stands(bucket, key, etag):
                return
            condition = {"IfMatch": f'"{etag}"'}
        try:
            with self._connection.asking("delete", bucket, key):
                self._connection.boto.delete_object(Bucket=bucket, Key=key, **condition)
        except Gone:
            return
        except Replaced:
            self._stands(bucket, key, etag)

    def _stands(self, bucket: str, key: str, etag: str) -> bool:
        """False when nothing is there. Raises Replaced when it is another version."""
        try:
            found = self._connection.heads.head(bucket, key)
        except Gone:
            return False
        if found.etag != etag:
            raise Replaced(f"delete {bucket}/{key}: another version stands there, and stays")
        return True

    def delete_many(self, bucket: str, keys: Iterable[str]) -> int:
        rest, count = iter(keys), 0
        while some := list(islice(rest, KEYS_A_REQUEST)):
            for key in some:
                check_key(key)
            with self._connection.asking("delete from", bucket):
                answer = self._connection.boto.delete_objects(
                    Bucket=bucket,
                    Delete={"Objects": [{"Key": key} for key in some], "Quiet": True},
                )
            for fault in answer.get("Errors", []):
                if fault.get("Code") != "NoSuchKey":
                    raise _fault_of_one(bucket, fault)
            count += len(some)
        return count

    def abort_uploads(self, bucket: str, prefix: str, *, is_key: bool = False) -> int:
        """List, abort, list again: truncated pages need not say where they go on."""
        aborted: set[tuple[str, str]] = set()
        for _ in range(SWEEPS):
            with self._connection.asking("list uploads of", bucket, prefix):
                page = self._connection.boto.list_multipart_uploads(Bucket=bucket, Prefix=prefix)
            found = [
                (upload["Key"], upload["UploadId"])
                for upload in page.get("Uploads", [])
                if upload["Key"] == prefix or (not is_key and upload["Key"].startswith(prefix))
            ]
            fresh = [upload for upload in found if upload not in aborted]
            if not fresh:
                return len(aborted)
            for key, upload_id in fresh:
                self._abort(bucket, key, upload_id)
                aborted.add((key, upload_id))
        raise Unreachable(f"unfinished uploads under {bucket}/{prefix} come faster than they go")

    def _abort(self, bucket: str, key: str, upload_id: str) -> None:
        try:
            self._connection.boto.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)
        except Exception as error:
            fault = fault_of(error)
            if fault is None:
                raise
            if fault.status != 404:  # finished or aborted meanwhile
                raise classify(fault, f"abort an upload of {bucket}/{key}") from error

    def ensure_bucket(self, bucket: str) -> None:
        if self._connection.has_bucket(bucket):
            return
        region = self._connection.endpoint.region
        place: dict[str, Any] = (
            {}
            if region == "us-east-1"
            else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        )
        try:
            self._connection.boto.create_bucket(Bucket=bucket, **place)
        except Exception as error:
            fault = fault_of(error)
            if fault is None:
                raise
            if fault.code == "BucketAlreadyOwnedByYou":
                return
            if fault.code == "BucketAlreadyExists":
                raise Refused(
                    f"make bucket {bucket}: somebody else has one of that name"
                ) from error
            raise classify(fault, f"make bucket {bucket}") from error


def _info(bucket: str, found: Mapping[str, Any]) -> ObjectInfo:
    return ObjectInfo(
        bucket=bucket,
        key=found["Key"],
        size=found["Size"],
        etag=found.get("ETag", "").strip('"'),
        last_modified=from_datetime(found["LastModified"]),
    )


def _fault_of_one(bucket: str, fault: Mapping[str, str]) -> Exception:
    code = fault.get("Code", "")
    status = 403 if code == "AccessDenied" else 500
    return classify(Fault(status, code), f"delete {bucket}/{fault.get('Key', '')}")
