"""The probe of a store's abilities cleans up, also after one that was killed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bagline.embedded import EngineAddresses
from bagline.services.objects.base import ProofMethod
from bagline.services.objects.connection import Connection, Endpoint
from bagline.services.objects.names import PROBES
from bagline.services.objects.probing import Probe
from support.engines import fresh_name
from support.proxy import Fault, proxy_before


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
    connection.boto.put_object(Bucket=bucket, Key=f"{PROBES}0123-put", Body=b"left")
    connection.boto.put_object(Bucket=bucket, Key="bagline", Body=b"not a probe's")
    for key in (f"{PROBES}0123-copy", f"{PROBES}4567-copy", "bagline"):
        connection.boto.create_multipart_upload(Bucket=bucket, Key=key)
    Probe(connection, bucket, left_seconds).ask()
    page = connection.boto.list_objects_v2(Bucket=bucket)
    left = [f"{PROBES}0123-put"] if stays else []
    assert [found["Key"] for found in page["Contents"]] == ["bagline", *left]
    uploads = connection.boto.list_multipart_uploads(Bucket=bucket)["Uploads"]
    left = [f"{PROBES}0123-copy", f"{PROBES}4567-copy"] if stays else []
    assert sorted(found["Key"] for found in uploads) == ["bagline", *left]


def refusal(status: str, code: str) -> bytes:
    body = f"<Error><Code>{code}</Code><Message>x</Message></Error>".encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Connection: close\r\n\r\n" + body


@pytest.mark.parametrize("code", ["AccessDenied", "BadDigest", "NoSuchUpload"])
def test_a_store_that_completes_no_copy_and_forgets_the_upload_is_one_that_makes_none(
    engines: EngineAddresses, code: str
) -> None:
    status = {"AccessDenied": "403 Forbidden", "NoSuchUpload": "404 Not Found"}
    of_complete = Fault(instead=refusal(status.get(code, "400 Bad Request"), code), on="?uploadId=")
    of_abort = Fault(instead=refusal("404 Not Found", "NoSuchUpload"), on="?uploadId=")
    keys = (engines.s3_access_key, engines.s3_secret_key)
    with proxy_before(engines.s3_endpoint) as proxy:
        connection = Connection(Endpoint(proxy.url, *keys, allow_http=True))
        bucket = fresh_name("probed")
        connection.boto.create_bucket(Bucket=bucket)
        proxy.faults = [of_complete, of_abort] * 2
        abilities = Probe(connection, bucket).ask()
        connection.close()
    assert proxy.faults == []
    assert abilities.range_copy_proof is None
    assert abilities.put_proof is ProofMethod.STORE_SHA256
