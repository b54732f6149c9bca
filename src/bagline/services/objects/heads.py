"""HEAD requests, signed and sent without the rest of boto3: a third of its time each.

The verifier asks one for every copy of every file, so their cost is the stage's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from email.utils import parsedate_to_datetime
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

from bagline.model.times import NEVER, Timestamp, from_datetime
from bagline.services.objects.base import ObjectInfo
from bagline.services.objects.checksums import to_hex
from bagline.services.objects.names import check_key

_EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_META = "x-amz-meta-"
ARCHIVE_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes without reading at once; GLACIER_IR is none."""


class HeadFailed(Exception):
    """The store answered with another status than 200. A HEAD has no body to say why."""

    def __init__(self, status: int) -> None:
        super().__init__(str(status))
        self.status = status


class HeadRequests:
    """Thread-safe. `asking(action, bucket, key)` makes the seam's errors of HeadFailed, and of
    what botocore raises when no answer comes."""

    def __init__(
        self,
        url: str,
        access_key: str,
        secret_key: str,
        region: str,
        *,
        asking: Callable[[str, str, str], AbstractContextManager[None]],
        seconds: tuple[float, float],
        connections: int,
        is_loopback: bool,
    ) -> None:
        self._asking = asking
        self._url = url.rstrip("/")
        self._signer = S3SigV4Auth(Credentials(access_key, secret_key), "s3", region)
        self._session = URLLib3Session(
            timeout=seconds,
            max_pool_connections=connections,
            proxies=None if is_loopback else get_environ_proxies(url),
        )

    def head(self, bucket: str, key: str) -> ObjectInfo:
        """What stands at the key."""
        return self.head_with_checksum(bucket, key)[0]

    def head_with_checksum(self, bucket: str, key: str) -> tuple[ObjectInfo, str]:
        """Also the SHA-256 as the store tells it: of the whole, a composite, or ""."""
        check_key(key)
        with self._asking("look at", bucket, key):
            headers = self._headers(bucket, key)
        checksum = headers.get("x-amz-checksum-sha256", "")
        info = ObjectInfo(
            bucket=bucket,
            key=key,
            size=int(headers.get("content-length", 0)),
            etag=headers.get("etag", "").strip('"'),
            last_modified=_moment(headers),
            content_type=headers.get("content-type", ""),
            metadata={
                name.removeprefix(_META): value
                for name, value in headers.items()
                if name.startswith(_META)
            },
            sha256=to_hex(checksum),
            is_archived=_is_archived(headers),
        )
        return info, checksum

    def _headers(self, bucket: str, key: str) -> dict[str, str]:
        request = AWSRequest(
            method="HEAD",
            url=f"{self._url}/{quote(bucket, safe='')}/{quote(key, safe='/-_.~')}",
            headers={"x-amz-checksum-mode": "ENABLED", "X-Amz-Content-SHA256": _EMPTY_SHA256},
        )
        self._signer.add_auth(request)
        answer = self._session.send(request.prepare())
        if answer.status_code != 200:
            raise HeadFailed(answer.status_code)
        return {name.lower(): value for name, value in answer.headers.items()}

    def close(self) -> None:
        self._session.close()


def _is_archived(headers: Mapping[str, str]) -> bool:
    """Whether a GET would be refused until somebody has the object restored (S3's headers)."""
    is_in_archive = (
        headers.get("x-amz-storage-class", "") in ARCHIVE_CLASSES
        or "x-amz-archive-status" in headers
    )
    return is_in_archive and 'ongoing-request="false"' not in headers.get("x-amz-restore", "")


def _moment(headers: Mapping[str, str]) -> Timestamp:
    told = headers.get("last-modified")
    return from_datetime(parsedate_to_datetime(told)) if told else NEVER
