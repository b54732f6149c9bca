"""A worker's health over HTTP: `/healthz`, `/readyz`, `/metrics`.

`/healthz` is 503 when a thread of the worker died or its leases are not renewed any more:
restart the process. `/readyz` is 503 while a service does not answer: wait. Both say why,
in JSON, without addresses or secrets.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from bagline.duty import Duty
from bagline.errors import BaglineError, Misconfigured
from bagline.services.bundle import Services
from bagline.worker.metrics import PrometheusMeter

READY_AGE_SECONDS = 3.0

Faults = Callable[[], list[str]]
"""What is wrong now; nothing when all is well."""
StartResponse = Callable[[str, list[tuple[str, str]]], object]


class HealthServer:
    """Serves on threads of its own. Use as a context; Misconfigured when the port is taken."""

    def __init__(
        self, host: str, port: int, meter: PrometheusMeter, *, alive: Faults, ready: Faults
    ) -> None:
        answers: Mapping[str, Faults] = {"/healthz": alive, "/readyz": ready}
        metrics = make_wsgi_app(meter.registry)

        def app(environ: dict[str, Any], start: StartResponse) -> Iterable[bytes]:
            path = environ.get("PATH_INFO", "")
            if path == "/metrics":
                found: Iterable[bytes] = metrics(environ, start)
                return found
            return _answered(answers.get(path), start)

        try:
            self._server: WSGIServer = make_server(
                host, port, app, server_class=ThreadingWSGIServer, handler_class=_Silent
            )
        except OSError as fault:
            raise Misconfigured(
                f"health.port {port} at {host} cannot be listened at: {fault.strerror}"
            ) from None
        self.port = int(self._server.server_port)
        self._stop = threading.Event()
        self._duty = Duty("health", self._server.serve_forever, stop=self._stop)

    def __enter__(self) -> HealthServer:
        self._duty.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()


class Readiness:
    """Whether Redis, the queue and the Registry answer; asked at most every READY_AGE_SECONDS."""

    def __init__(self, services: Services, topics: list[str]) -> None:
        self._asks: Mapping[str, Callable[[], object]] = {
            "state": services.state.ping,
            "queue": lambda: services.queue.depth(topics),
            "registry": services.registry.ping,
        }
        self._lock = threading.Lock()
        self._known: list[str] = []
        self._asked_at = float("-inf")

    def faults(self) -> list[str]:
        """The services that do not answer."""
        with self._lock:
            if time.monotonic() - self._asked_at >= READY_AGE_SECONDS:
                self._known = [name for name, ask in self._asks.items() if not _answers(ask)]
                self._asked_at = time.monotonic()
            return [f"{name} does not answer" for name in self._known]


class _Silent(WSGIRequestHandler):
    """Probes come every few seconds: not one line each."""

    timeout = 10

    def log_message(self, format: str, *args: object) -> None:  # noqa: ARG002
        return


def _answers(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except BaglineError:
        return False
    return True


def _answered(look: Faults | None, start: StartResponse) -> Iterable[bytes]:
    if look is None:
        start("404 Not Found", [("Content-Type", "application/json")])
        return [b'{"error":"not found"}']
    faults = look()
    status = "503 Service Unavailable" if faults else "200 OK"
    start(status, [("Content-Type", "application/json")])
    return [json.dumps({"ok": not faults, "faults": faults}).encode()]
