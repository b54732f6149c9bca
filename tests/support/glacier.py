"""An archive before a store: it answers as S3 does of objects in Glacier, and passes the rest on.

HEADs of frozen objects get the headers of their state, GETs are refused while they are frozen,
POST ?restore is answered as the test says, else as S3 would by the state.
"""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

FROZEN, COMING, BACK = "frozen", "coming", "back"

ANSWERS = {
    "200": (200, ""),
    "202": (202, ""),
    "not archived": (403, "InvalidObjectState"),
    "forbidden": (403, "AccessDenied"),
    "in progress": (409, "RestoreAlreadyInProgress"),
    "no capacity": (503, "GlacierExpeditedRetrievalNotAvailable"),
    "slow down": (503, "SlowDown"),
    "gone": (404, "NoSuchKey"),
    "bad tier": (400, "InvalidArgument"),
}
"""To POST ?restore: status and code."""


@dataclass
class Ice:
    """One archived object. `answers` are given to POSTs one by one before those of the state;
    what was asked for is back after `looks` HEADs (None: when the test says so)."""

    state: str = FROZEN
    until: datetime | None = None
    answers: list[str] = field(default_factory=list)
    storage_class: str = "GLACIER"
    looks: int | None = None

    def looked_at(self) -> None:
        if self.state == COMING and self.looks is not None:
            self.looks -= 1
            if self.looks < 0:
                self.state, self.looks = BACK, None

    def headers(self) -> dict[str, str]:
        told = {"x-amz-storage-class": self.storage_class}
        if self.state == COMING:
            told["x-amz-restore"] = 'ongoing-request="true"'
        elif self.state == BACK:
            until = format_datetime(self.until or days_from_now(10), usegmt=True)
            told["x-amz-restore"] = f'ongoing-request="false", expiry-date="{until}"'
        return told


def days_from_now(days: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) + timedelta(days=days)


@dataclass
class Glacier:
    """`ice` by bucket and key; `asked`: every POST ?restore, with its days and tier."""

    url: str = ""
    ice: dict[tuple[str, str], Ice] = field(default_factory=dict)
    asked: list[tuple[str, str, int, str]] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def asked_for(self, key: str) -> int:
        return sum(1 for _, asked, _, _ in self.asked if asked == key)

    def freeze(self, bucket: str, *keys: str, **ice: Any) -> None:
        self.ice |= {(bucket, key): Ice(**ice) for key in keys}

    def bring_back(self, *keys: str, days: float = 10) -> None:
        """What was asked for is there; of all, where no keys are named."""
        for (_, key), ice in self.ice.items():
            if key in keys or (not keys and ice.state == COMING):
                ice.state, ice.until = BACK, days_from_now(days)

    def restore(self, bucket: str, key: str, body: bytes) -> tuple[int, str]:
        """Status and code."""
        request = {
            element.tag.rpartition("}")[2]: element.text or ""
            for element in ElementTree.fromstring(body).iter()
        }
        with self.lock:
            self.asked.append((bucket, key, int(request["Days"]), request["Tier"]))
            ice = self.ice.get((bucket, key))
            if ice is None:
                return ANSWERS["not archived"]
            said = ice.answers.pop(0) if ice.answers else self._usual(ice)
            if said == "202":
                ice.state = COMING
            elif said == "200":
                ice.state, ice.until = BACK, days_from_now(int(request["Days"]))
            elif said == "not archived":
                del self.ice[bucket, key]
        return ANSWERS[said]

    @staticmethod
    def _usual(ice: Ice) -> str:
        return {FROZEN: "202", COMING: "in progress", BACK: "200"}[ice.state]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    glacier: Glacier
    store: tuple[str, int]

    def log_message(self, format: str, *args: object) -> None:
        return

    def _serve(self) -> None:
        glacier = self.glacier
        where = urlsplit(self.path)
        bucket, _, key = unquote(where.path).lstrip("/").partition("/")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0) or 0))
        with glacier.lock:
            glacier.requests[self.command] += 1
        if self.command == "POST" and where.query.startswith("restore"):
            self._answer(*glacier.restore(bucket, key, body))
            return
        ice = glacier.ice.get((bucket, key))
        if ice is not None and self.command == "HEAD":
            with glacier.lock:
                ice.looked_at()
        if ice is not None and self.command == "GET" and ice.state != BACK:
            self._answer(*ANSWERS["not archived"])
            return
        self._pass_on(body, ice)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815

    def _answer(self, status: int, code: str) -> None:
        text = f"<Error><Code>{code}</Code><Message>x</Message></Error>" if code else ""
        self.send_response(status)
        self.send_header("Content-Type", "application/xml")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def _pass_on(self, body: bytes, ice: Ice | None) -> None:
        store = http.client.HTTPConnection(*self.store, timeout=30)
        store.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            if name.lower() != "expect":
                store.putheader(name, value)
        store.endheaders(body or None)
        answer = store.getresponse()
        data = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length or "0")
        if ice is not None and self.command == "HEAD":
            for name, value in ice.headers().items():
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        store.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


@contextmanager
def glacier_before(endpoint: str) -> Iterator[Glacier]:
    """An archive on the loopback, over the store at that address."""
    store = urlsplit(endpoint)
    glacier = Glacier()
    made = {"glacier": glacier, "store": (store.hostname, store.port)}
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), made))
    glacier.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield glacier
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
