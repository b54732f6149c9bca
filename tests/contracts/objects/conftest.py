"""Every implementation of the objects seam, on its real engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from bagline.embedded import EngineAddresses
from bagline.services.objects.base import Objects
from bagline.services.objects.retrying import RetryingObjects
from support.engines import fresh_name
from support.objects import s3
from support.proxy import Proxy, proxy_before
from support.stores import COPIES_PROVEN_BY, engines_with


@pytest.fixture(scope="module", params=COPIES_PROVEN_BY)
def engines(
    request: pytest.FixtureRequest,
    engines: EngineAddresses,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[EngineAddresses]:
    """The session's engines, with the S3 server that is asked in them."""
    with engines_with(request.param, engines, tmp_path_factory.mktemp(request.param)) as found:
        yield found


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
