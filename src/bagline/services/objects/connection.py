"""One S3 endpoint: the clients, their settings, their threads, and their errors."""

from __future__ import annotations

import ipaddress
import re
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import boto3
import botocore.session
import structlog
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.utils import parse_timestamp
from obstore.store import S3Store

from bagline.errors import BaglineError, Misconfigured, Refused, Unreachable
from bagline.services.objects.classify import (
    MISSING_KEY,
    NO_ENTRY_CODES,
    Fault,
    classify,
    fault_of,
    is_about_keys,
)
from bagline.services.objects.fan import WIDTH, Fan
from bagline.services.objects.heads import PlainRequests

A = TypeVar("A")
B = TypeVar("B")

log = structlog.get_logger(__name__)

CONNECTIONS = WIDTH
SEEN_SECONDS = 5.0
_INSTANT = timedelta(milliseconds=1)
_NO_RETRIES: Any = {
    "max_retries": 0,
    "retry_timeout": timedelta(seconds=1),
    "backoff": {"init_backoff": _INSTANT, "max_backoff": _INSTANT, "base": 2},
}


_AWS_HOST = re.compile(r"s3(?:[.-][a-z]{2}(?:-[a-z]+)+-\d)?\.amazonaws\.com")


def is_aws(url: str) -> bool:
    """Whether it is an endpoint of Amazon's S3 of which each region has one.

    Not those for private networks, FIPS or both IP versions: they are named on purpose.
    """
    return _AWS_HOST.fullmatch(urlsplit(url).hostname or "") is not None


def aws_endpoint(region: str) -> str:
    return f"https://s3.{region}.amazonaws.com"


@dataclass(frozen=True)
class Endpoint:
    """Where a store is and how to speak with it; the repr holds no secret.

    `silence_seconds`: a body or an answer that gives no byte for so long is Unreachable.
    `copy_seconds`: how long a store may take to copy a part by itself without a word.
    """

    url: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    region: str = "us-east-1"
    allow_http: bool = False
    connect_seconds: float = 5.0
    silence_seconds: float = 30.0
    copy_seconds: float = 900.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if "@" in parts.netloc:
            raise Misconfigured("the S3 endpoint must not hold keys: they have their own settings")
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Misconfigured(f"the S3 endpoint {self.url!r} must look like https://host[:port]")
        if parts.scheme == "http" and not self.allow_http:
            raise Misconfigured(
                f"the S3 endpoint {self.url} is without TLS; set allow_http if that is meant"
            )

    @property
    def realm(self) -> str:
        """See `Objects.realm`."""
        return f"{'AWS' if is_aws(self.url) else self.url.rstrip('/')} {self.access_key}"

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine, where no proxy has any business."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


def _moment(text: str) -> datetime:
    """What stores write is ISO 8601, with few exceptions."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        moment = datetime.min
    if moment.tzinfo is None:
        moment = parse_timestamp(text)
    return moment


Keys = Callable[[], tuple[str, str]]
"""Asks for the access key and the secret key as they are now."""


class Connection:
    """Both clients of an endpoint. Thread-safe; retries nothing.

    When the store refuses the keys, they are asked for anew (`keys`): where they have
    changed, the clients are made anew, and what was refused is Unreachable: try again.
    """

    def __init__(self, endpoint: Endpoint, keys: Keys | None = None) -> None:
        self.endpoint = endpoint
        self._keys = keys
        self._renewing = threading.Lock()
        self._stores: dict[str, S3Store] = {}
        self._seen: dict[str, float] = {}
        """When a bucket was last found to be there."""
        self._lock = threading.Lock()
        self.fan = Fan("objects")
        self.ahead = ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="objects-read")
        """For reads ahead. What runs in it waits for nothing else here."""
        self._make_clients(endpoint)

    def _make_clients(self, endpoint: Endpoint) -> None:
        """With the endpoint's keys; those there were go on with what they are doing."""
        inner = botocore.session.Session()
        # Every key of a listing has a time, and botocore's own reader of them is for any form.
        parsers = inner.get_component("response_parser_factory")
        parsers.set_parser_defaults(timestamp_parser=_moment)
        self._session: Any = boto3.session.Session(
            botocore_session=inner,
            aws_access_key_id=endpoint.access_key,
            aws_secret_access_key=endpoint.secret_key,
            region_name=endpoint.region,
        )
        self._clients: dict[float, Any] = {}
        self._stores = {}
        self.heads = PlainRequests(
            endpoint.url,
            endpoint.access_key,
            endpoint.secret_key,
            endpoint.region,
            asking=partial(self.asking, used=endpoint),
            seconds=(endpoint.connect_seconds, endpoint.silence_seconds),
            connections=CONNECTIONS,
            is_loopback=endpoint.is_loopback,
        )

    def _has_new_keys(self, refused: Endpoint) -> bool:
        """Whether there are other keys than those that were refused; asks for them once."""
        if self._keys is None:
            return False
        with self._renewing:
            if self.endpoint is not refused:
                return True  # another thread found them
            access_key, secret_key = self._keys()
            if (access_key, secret_key) == (refused.access_key, refused.secret_key):
                return False
            changed = replace(refused, access_key=access_key, secret_key=secret_key)
            with self._lock:
                self._make_clients(changed)
                self.endpoint = changed  # last: who sees it has clients of it
        log.info("s3_keys_changed", endpoint=refused.url)
        return True

    def _ours(self, fault: Fault, what: str, used: Endpoint, *, exists: bool) -> BaglineError:
        error = classify(fault, what, bucket_exists=exists)
        if isinstance(error, Refused) and is_about_keys(fault) and self._has_new_keys(used):
            return Unreachable(f"{what}: the store's keys have changed; with the new ones again")
        return error

    @property
    def boto(self) -> Any:
        """boto3's client."""
        return self._boto(self.endpoint.silence_seconds)

    @property
    def copier(self) -> Any:
        """boto3's client for requests that a store works on for long without a word."""
        return self._boto(self.endpoint.copy_seconds)

    def _boto(self, read_seconds: float) -> Any:
        client = self._clients.get(read_seconds)
        if client is None:
            with self._lock:  # making one is not thread-safe
                client = self._clients.get(read_seconds) or self._make_boto(read_seconds)
                self._clients[read_seconds] = client
        return client

    def _make_boto(self, read_seconds: float) -> Any:
        return self._session.client(
            "s3",
            endpoint_url=self.endpoint.url,
            config=Config(
                connect_timeout=self.endpoint.connect_seconds,
                read_timeout=read_seconds,
                retries={"total_max_attempts": 1, "mode": "standard"},
                max_pool_connections=CONNECTIONS,
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                proxies={} if self.endpoint.is_loopback else None,
            ),
        )

    def store(self, bucket: str) -> S3Store:
        """obstore's handle of a bucket."""
        with self._lock:
            if bucket not in self._stores:
                self._stores[bucket] = self._make_store(bucket)
            return self._stores[bucket]

    def _make_store(self, bucket: str) -> S3Store:
        endpoint = self.endpoint
        options: Any = {
            "allow_http": endpoint.allow_http,
            "connect_timeout": timedelta(seconds=endpoint.connect_seconds),
            "read_timeout": timedelta(seconds=endpoint.silence_seconds),
            "timeout": timedelta(hours=6),
        }
        if endpoint.is_loopback:  # the only way to keep it off the environment's proxy
            host = urlsplit(endpoint.url).hostname
            options |= {"proxy_url": "http://127.0.0.1:9", "proxy_excludes": host}
        return S3Store(
            bucket,
            endpoint=endpoint.url,
            region=endpoint.region,
            virtual_hosted_style_request=False,
            checksum_algorithm="SHA256",
            client_options=options,
            retry_config=_NO_RETRIES,
            credential_provider=self._credentials,
        )

    def _credentials(self) -> Any:
        """Given so, no session token of the environment is mixed in."""
        return {
            "access_key_id": self.endpoint.access_key,
            "secret_access_key": self.endpoint.secret_key,
            "token": None,
            "expires_at": None,
        }

    # -- errors
    @contextmanager
    def asking(
        self, action: str, bucket: str, key: str = "", *, used: Endpoint | None = None
    ) -> Iterator[None]:
        """What a client raises inside becomes ours; what is not a client's passes. `used`: whose
        keys the client has, where it was not asked for inside."""
        used = used or self.endpoint
        try:
            yield
        except BaseException as error:
            fault = fault_of(error)
            if fault is None:
                raise
            exists = True
            if fault.status == 404 and fault.code != MISSING_KEY:
                exists = self._exists(bucket)
            what = f"{action} {bucket}/{key}".rstrip("/")
            raise self._ours(fault, what, used, exists=exists) from error

    def _exists(self, bucket: str) -> bool:
        """Whether the bucket is there, or was a moment ago: many missing keys ask once.

        Where keys may change it is asked each time: versitygw answers 404 to a HEAD with a
        key that it does not know any more."""
        if (
            self._keys is None
            and time.monotonic() - self._seen.get(bucket, -SEEN_SECONDS) < SEEN_SECONDS
        ):
            return True
        exists = self.has_bucket(bucket)
        if exists:
            self._seen[bucket] = time.monotonic()
        return exists

    def has_bucket(self, bucket: str) -> bool:
        used = self.endpoint
        try:
            self.boto.head_bucket(Bucket=bucket)
        except Exception as error:
            fault = fault_of(error)
            if fault is None:
                raise
            if fault.status == 404 and isinstance(error, ClientError):
                return self._can_list(bucket)
            raise self._ours(fault, f"look for bucket {bucket}", used, exists=True) from error
        return True

    def _can_list(self, bucket: str) -> bool:
        """A HEAD has no body; a GET says whether it is the bucket that is not there."""
        used = self.endpoint
        try:
            self.boto.list_objects_v2(Bucket=bucket, MaxKeys=1)
        except Exception as error:
            fault = fault_of(error)
            if fault is None:
                raise
            if fault.status == 404 and fault.code not in NO_ENTRY_CODES:
                return False
            raise self._ours(fault, f"look for bucket {bucket}", used, exists=True) from error
        return True

    def small_pool(self, threads: int) -> ThreadPoolExecutor:
        """For work inside work; to be closed by the one who asked."""
        return ThreadPoolExecutor(threads, thread_name_prefix="objects-parts")

    def close(self) -> None:
        self.fan.close()
        self.ahead.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            for client in self._clients.values():
                client.close()
            self._clients.clear()
            self._stores.clear()
        self.heads.close()
