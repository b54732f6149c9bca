"""Requests that are signed and sent without the rest of boto3: HEADs, for a third of its time
each, and parts whose body is made while it goes.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
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
from bagline.services.objects.frost import frost_of
from bagline.services.objects.names import check_key

_EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_META = "x-amz-meta-"
_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,80})</Code>")


class RequestFailed(Exception):
    """The store answered with another status than 200. A HEAD has no body to say why: no `code`."""

    def __init__(self, status: int, code: str = "") -> None:
        super().__init__(f"{status} {code}".rstrip())
        self.status = status
        self.code = code


class _UnsignedBody(S3SigV4Auth):  # type: ignore[misc]
    """What goes with the body's bytes is not known before the last of them."""

    def payload(self, request: AWSRequest) -> str:  # noqa: ARG002
        return "UNSIGNED-PAYLOAD"


class PlainRequests:
    """Thread-safe. `asking(action, bucket, key)` makes the seam's errors of RequestFailed, and of
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
        credentials = Credentials(access_key, secret_key)
        self._signer = S3SigV4Auth(credentials, "s3", region)
        self._unsigned_body = _UnsignedBody(credentials, "s3", region)
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
        frost, back_until = frost_of(headers)
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
            frost=frost,
            back_until=back_until,
        )
        return info, checksum

    def _headers(self, bucket: str, key: str) -> dict[str, str]:
        request = AWSRequest(
            method="HEAD",
            url=self._place(bucket, key),
            headers={"x-amz-checksum-mode": "ENABLED", "X-Amz-Content-SHA256": _EMPTY_SHA256},
        )
        self._signer.add_auth(request)
        answer = self._session.send(request.prepare())
        if answer.status_code != 200:
            raise RequestFailed(answer.status_code)
        return {name.lower(): value for name, value in answer.headers.items()}

    def put_part(
        self,
        bucket: str,
        key: str,
        upload: str,
        number: int,
        chunks: Iterable[bytes],
        size: int,
        *,
        md5: str = "",
    ) -> str:
        """Send a part of `size` bytes as they come; returns its ETag. `md5` (hex) goes before them,
        where it is known. Raises what `chunks` raises, RequestFailed, and botocore's."""
        headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
        if md5:
            headers["Content-MD5"] = base64.b64encode(bytes.fromhex(md5)).decode()
        url = f"{self._place(bucket, key)}?partNumber={number}&uploadId={quote(upload, safe='')}"
        request = AWSRequest(method="PUT", url=url, headers=headers, data=_Chunks(chunks))
        self._unsigned_body.add_auth(request)
        answer = self._session.send(request.prepare())
        if answer.status_code != 200:
            code = _CODE.search(answer.content)
            raise RequestFailed(answer.status_code, code[1].decode() if code else "")
        return str(answer.headers.get("ETag", "")).strip('"')

    def _place(self, bucket: str, key: str) -> str:
        return f"{self._url}/{quote(bucket, safe='')}/{quote(key, safe='/-_.~')}"

    def close(self) -> None:
        self._session.close()


class _Chunks:
    """Once to be read, in order."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._chunks)


def _moment(headers: Mapping[str, str]) -> Timestamp:
    told = headers.get("last-modified")
    return from_datetime(parsedate_to_datetime(told)) if told else NEVER
