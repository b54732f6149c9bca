"""Every connection of one listener: how many, how long they may say nothing, who goes first.

uvicorn bounds a head's size and an idle keep-alive. What it lacks stands here and in
`attending`: a time for the whole head, and a number of connections that strangers cannot
use up. When there are too many, the stranger that came first is cut off; a connection
whose client has shown a right key never is (docs/decisions/uvicorn-with-our-connections).
Lives in the event loop's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

Address = tuple[Any, ...]
"""Host and port of the other end, as ASGI's `scope["client"]` has them."""


class OpenConnection:
    """One connection. Between requests a timer waits for the next whole head."""

    def __init__(self, transport: asyncio.Transport, head_seconds: float) -> None:
        self._transport = transport
        self._head_seconds = head_seconds
        self._timer: asyncio.TimerHandle | None = None
        self.request_ends()

    def request_begins(self) -> None:
        """A head is whole: the application has the time now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def request_ends(self) -> None:
        """From now on the next head is waited for."""
        self.request_begins()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._head_seconds, self.cut)

    def cut(self) -> None:
        """End it now, whatever is still to be sent."""
        self.request_begins()
        self._transport.abort()


class Connections:
    """At most `most` of them; each has `head_seconds` for a whole head."""

    def __init__(self, most: int, head_seconds: float) -> None:
        self._most = most
        self._head_seconds = head_seconds
        self._open: dict[Address, OpenConnection] = {}
        self._strangers: dict[Address, None] = {}  # in the order they came
        self.cut_off = 0
        """How many were ended for others to have room."""

    def __len__(self) -> int:
        return len(self._open)

    def opened(self, transport: asyncio.Transport) -> None:
        """Take it in. Where there are too many, the first stranger goes."""
        address = _address(transport)
        self._open[address] = OpenConnection(transport, self._head_seconds)
        self._strangers[address] = None
        if len(self._open) > self._most:
            oldest = next(iter(self._strangers))  # at worst the new one itself
            self._open[oldest].cut()
            self._forget(oldest)
            self.cut_off += 1

    def lost(self, transport: asyncio.Transport) -> None:
        """It has ended."""
        connection = self._forget(_address(transport))
        if connection is not None:
            connection.request_begins()

    def of(self, client: Sequence[Any] | None) -> OpenConnection | None:
        """The connection of an ASGI scope's client; None when it has ended meanwhile."""
        return self._open.get(tuple(client or ()))

    def is_known(self, client: Sequence[Any] | None) -> None:
        """Its client has shown a right key: it gives way to nobody."""
        self._strangers.pop(tuple(client or ()), None)

    def _forget(self, address: Address) -> OpenConnection | None:
        self._strangers.pop(address, None)
        return self._open.pop(address, None)


def protocol_of(connections: Connections) -> type[asyncio.Protocol]:
    """uvicorn's protocol, whose connections are counted. Only asyncio's own two calls are
    overridden, so nothing hangs on how uvicorn works inside."""

    class Counted(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            connections.opened(transport)

        def connection_lost(self, exc: Exception | None) -> None:
            connections.lost(self.transport)
            super().connection_lost(exc)

    return Counted


def _address(transport: asyncio.Transport) -> Address:
    """As uvicorn puts it into the scope: IPv6 has more parts, which do not count."""
    return tuple(transport.get_extra_info("peername") or (id(transport), 0))[:2]
