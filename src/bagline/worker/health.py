"""A worker's health over HTTP: `/healthz`, `/readyz`, `/metrics`.

`/healthz` is 503 when a thread of the worker died or its leases are not renewed any more:
restart the process. `/readyz` is 503 while a service does not answer: wait. Both say why,
in JSON, without addresses or secrets. Nobody shows a key here, so nothing is done for one
request that is not done for all of the same second, and no body is read.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from bagline.errors import BaglineError
from bagline.listening.attending import Receive, Scope, Send, answer
from bagline.listening.connections import Connections
from bagline.listening.listener import Listener, ListenerLimits, listen_at
from bagline.listening.sharing import Shared
from bagline.services.bundle import Services

READY_AGE_SECONDS = 3.0
NUMBERS_SECONDS = 0.1
LIMITS = ListenerLimits(connections=100, head_seconds=5.0, answer_seconds=10.0)

Faults = Callable[[], list[str]]
"""What is wrong now; nothing when all is well."""
Answered = tuple[int, bytes]


class HealthServer:
    """Serves on a thread of its own. Use as a context; Misconfigured when the port is taken."""

    def __init__(
        self, host: str, port: int, numbers: CollectorRegistry, *, alive: Faults, ready: Faults
    ) -> None:
        self._answers: Mapping[str, Shared[Answered]] = {
            "/healthz": Shared(lambda: _judged(alive)),
            "/readyz": Shared(lambda: _judged(ready)),
            "/metrics": Shared(
                lambda: (200, generate_latest(numbers)), age_seconds=NUMBERS_SECONDS
            ),
        }
        connections = Connections(LIMITS.connections, LIMITS.head_seconds)
        place = listen_at(host, port, "health.port")
        self._listener = Listener(self._app, place, connections, LIMITS, graceful_seconds=1)
        self.port = self._listener.port

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        path = scope["path"]
        shared = self._answers.get(path)
        if shared is None:
            await answer(send, 404, b'{"error":"not found"}', closing=True)
            return
        status, body = await shared.answer()
        kind = CONTENT_TYPE_LATEST.encode() if path == "/metrics" else b"application/json"
        await answer(send, status, body, closing=True, kind=kind)

    def __enter__(self) -> HealthServer:
        self._listener.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.__exit__(kind, fault, trace)


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


def _answers(ask: Callable[[], object]) -> bool:
    try:
        ask()
    except BaglineError:
        return False
    return True


def _judged(look: Faults) -> Answered:
    faults = look()
    return 503 if faults else 200, json.dumps({"ok": not faults, "faults": faults}).encode()
