"""ASGI's side of a connection: when its requests begin and end, and clients that do not read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from bagline.listening.connections import Connections, OpenConnection

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Attending:
    """The outermost application. A client that takes no byte of its answer for
    `answer_seconds` is cut off."""

    def __init__(
        self, app: Application, connections: Connections, *, answer_seconds: float
    ) -> None:
        self._app = app
        self._connections = connections
        self._seconds = answer_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = self._connections.of(scope.get("client"))
        if scope["type"] != "http" or connection is None:
            return  # no lifespan, no websocket; or it was cut off meanwhile
        connection.request_begins()
        try:
            await self._app(scope, receive, self._patiently(send, connection))
        finally:
            if self._connections.of(scope["client"]) is connection:
                connection.request_ends()

    def _patiently(self, send: Send, connection: OpenConnection) -> Send:
        async def sending(message: Message) -> None:
            try:
                async with asyncio.timeout(self._seconds):
                    await send(message)
            except TimeoutError:
                connection.cut()  # what is sent after this goes nowhere

        return sending


async def answer(
    send: Send,
    status: int,
    body: bytes,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    *,
    closing: bool = False,
    kind: bytes = b"application/json",
) -> None:
    """A whole answer. `closing`: the connection ends with it, as it must where a body was
    not read."""
    found = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), *headers]
    if closing:
        found.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": found})
    await send({"type": "http.response.body", "body": body})
