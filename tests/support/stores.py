"""The S3 servers on which stores are tried, each in place of the session's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bagline.embedded import EngineAddresses
from bagline.services.objects.base import ProofMethod
from support import minio, versitygw

COPIES_PROVEN_BY = {
    "seaweedfs": ProofMethod.STORE_SHA256,
    "versitygw": ProofMethod.STORE_MD5,
    "minio": ProofMethod.STORE_MD5,
}
"""Each server by name, and what it answers of a copy that it makes (docs/operating/stores.md)."""


@contextmanager
def engines_with(name: str, engines: EngineAddresses, folder: Path) -> Iterator[EngineAddresses]:
    """The engines, with that S3 server in them; its data lie in the folder."""
    if name == "versitygw":
        with versitygw.versitygw_running(folder) as server:
            keys = (versitygw.ACCESS_KEY, versitygw.SECRET_KEY)
            yield _at(engines, server.endpoint, *keys)
    elif name == "minio":
        with minio.minio_running(folder) as store:
            yield _at(engines, store.endpoint, minio.ACCESS_KEY, minio.SECRET_KEY)
    else:
        yield engines


def _at(
    engines: EngineAddresses, endpoint: str, access_key: str, secret_key: str
) -> EngineAddresses:
    return replace(
        engines, s3_endpoint=endpoint, s3_access_key=access_key, s3_secret_key=secret_key
    )
