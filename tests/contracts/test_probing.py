"""The probe of a store's abilities cleans up, also after one that was killed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bagline.embedded import EngineAddresses
from bagline.services.objects.connection import Connection, Endpoint
from bagline.services.objects.probing import PREFIX, Probe
from support.engines import fresh_name


@pytest.fixture
def connection(engines: EngineAddresses) -> Iterator[Connection]:
    keys = (engines.s3_access_key, engines.s3_secret_key)
    connection = Connection(Endpoint(engines.s3_endpoint, *keys, allow_http=True))
    yield connection
    connection.close()


@pytest.mark.parametrize(("left_seconds", "stays"), [(0.0, False), (3600.0, True)])
def test_what_a_killed_probe_left_is_removed_when_it_is_old(
    connection: Connection, left_seconds: float, stays: bool
) -> None:
    bucket = fresh_name("probed")
    connection.boto.create_bucket(Bucket=bucket)
    connection.boto.put_object(Bucket=bucket, Key=f"{PREFIX}0123-put", Body=b"left")
    connection.boto.put_object(Bucket=bucket, Key="bagline", Body=b"not a probe's")
    for key in (f"{PREFIX}0123-copy", f"{PREFIX}4567-copy", "bagline"):
        connection.boto.create_multipart_upload(Bucket=bucket, Key=key)
    Probe(connection, bucket, left_seconds).ask()
    page = connection.boto.list_objects_v2(Bucket=bucket)
    left = [f"{PREFIX}0123-put"] if stays else []
    assert [found["Key"] for found in page["Contents"]] == ["bagline", *left]
    uploads = connection.boto.list_multipart_uploads(Bucket=bucket)["Uploads"]
    left = [f"{PREFIX}0123-copy", f"{PREFIX}4567-copy"] if stays else []
    assert sorted(found["Key"] for found in uploads) == ["bagline", *left]
