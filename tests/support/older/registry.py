"""A Registry that knows contract D and nothing of Bagline's own: before a server of ours, it
answers 404 to our routes, drops our headers, and takes no event twice, as the older one does."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import urllib3

OWN_ROUTES = re.compile(
    r"/(deletions/(request|[a-z_]+/.*)|objects/repaired_until/.*|info|holdings/.*|files/find|files/after|files/copies/.*|items/problems/.*|items/report/.*)$"
)
FORWARDED = ("X-Pharos-API-User", "X-Pharos-API-Key", "Content-Type", "Accept")
TAKEN = b'{"StatusCode":500,"Error":"duplicate key value violates unique constraint"}'


class OlderRegistry:
    """`url` for a client, `behind` our server's. `asked` counts requests by method and kind of
    route."""

    def __init__(self, behind: str) -> None:
        self.behind = behind
        self._pool = urllib3.PoolManager(maxsize=16, retries=False)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.asked: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        older = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_: object) -> None:
                """Nothing: tests read `asked`."""

            def _pass_on(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length) if length else None
                headers = {n: v for n in FORWARDED if (v := self.headers.get(n)) is not None}
                status, answer = older.answer(self.command, self.path, body, headers)
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = do_DELETE = _pass_on  # noqa: N815

        return Handler

    def answer(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        route = path.partition("?")[0].partition("/admin-api/v3/")[2]
        self.asked[f"{method} {'/'.join(route.split('/')[:2])}"] += 1
        if OWN_ROUTES.search("/" + route):
            return 404, b'{"error":"404 page not found"}'
        if method == "PUT" and route.startswith("files/update/") and self._has_event(body, headers):
            return 500, TAKEN
        answer = self._pool.request(method, self.behind + path, body=body, headers=headers)
        return answer.status, answer.data

    def _has_event(self, body: bytes | None, headers: dict[str, str]) -> bool:
        sent: dict[str, Any] = json.loads(body or b"{}")
        new = {event["identifier"] for event in sent.get("premis_events") or []}
        shown = self._pool.request(
            "GET", f"{self.behind}/admin-api/v3/files/show/{sent['id']}", headers=headers
        )
        known = {event["identifier"] for event in json.loads(shown.data)["premis_events"] or []}
        return bool(new & known)


@contextmanager
def older_registry(behind: str) -> Iterator[OlderRegistry]:
    """Before the server of ours at the URL `behind`."""
    registry = OlderRegistry(behind)
    try:
        yield registry
    finally:
        registry.close()
