"""One line a request of those who were let in: who, what, with what end, how long.

No body, no query, no path as it was written: the route's template, and the ids of the rows
that were written. So the log tells who wrote what, and holds no name out of a bag.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from bagline.listening.attending import Application, Message, Receive, Scope, Send
from bagline.problems import shown
from bagline.server.visits import VISIT, Visit

OTHER = "other"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE"})

Counted = Callable[[str, str, int, float], None]
"""Told of each request: route, method, status, seconds."""

log = structlog.get_logger(__name__)


class AccessLog:
    """Inside `Visiting`, around the door. What strangers ask is counted, not logged: the door
    logs failed sign-ins, a bounded number of them."""

    def __init__(self, app: Application, *, counted: Counted = lambda *_: None) -> None:
        self._app = app
        self._counted = counted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = 0
        began = time.monotonic()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            seconds = time.monotonic() - began
            visit: Visit = scope[VISIT]
            method = visit.method if visit.method in METHODS else OTHER
            self._counted(visit.template or OTHER, method, status, seconds)
            if visit.user is not None:
                _write(visit, method, status, seconds)


def _write(visit: Visit, method: str, status: int, seconds: float) -> None:
    assert visit.user is not None
    written = {"row": visit.row} if visit.row else {}
    log.info(
        "request",
        user=shown(visit.user.email, 255),
        role=visit.user.role,
        key=visit.user.key_id,
        address=shown(visit.address, 80),
        method=method,
        route=visit.template or OTHER,
        status=status,  # 0: the client went before its answer began
        seconds=round(seconds, 4),
        **written,
    )
