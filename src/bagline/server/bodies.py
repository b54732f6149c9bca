"""Bodies of requests: read after the key was right, within limits of size, time and memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bagline.listening.attending import Application, Message, Receive, Scope, Send, answer
from bagline.model import wire
from bagline.server.visits import VISIT, visit_of
from bagline.units import MIB

SMALL_BODY = MIB
SMALL_BODIES = 64 * SMALL_BODY
"""Small bodies in memory at once, in bytes: they never wait for the large ones."""
WAIT_SECONDS = 30.0


class Full(Exception):
    """There is no memory for one more body now."""


class NotTaken(Exception):
    """A body that is not taken: the status and the sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


class Room:
    """So many bytes of memory, given out in the order they are asked for."""

    def __init__(self, bytes: int) -> None:
        self._free = bytes
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def held(self, bytes: int) -> AsyncIterator[None]:
        """Hold so many; waits for them. Raises Full when that takes too long."""
        await self._take(bytes)
        try:
            yield
        finally:
            self._give(bytes)

    async def _take(self, bytes: int) -> None:
        if not self._waiting and bytes <= self._free:
            self._free -= bytes
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (bytes, turn)
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await turn
        except BaseException as fault:
            if entry in self._waiting:
                self._waiting.remove(entry)
                self._give(0)  # those behind it may have room
            else:
                self._give(bytes)
            if isinstance(fault, TimeoutError):
                raise Full from None
            raise

    def _give(self, bytes: int) -> None:
        self._free += bytes
        while self._waiting and self._waiting[0][0] <= self._free:
            wanted, turn = self._waiting.popleft()
            self._free -= wanted
            turn.set_result(None)


class RequestBodies:
    """Reads the body whole, as large as the route takes, and hands it on in one piece.

    A body whose length is not told counts as the longest its route takes. Its memory is
    held until the request is answered.
    """

    def __init__(self, app: Application, *, large_bytes: int, seconds: float) -> None:
        self._app = app
        self._small = Room(SMALL_BODIES)
        self._large = Room(large_bytes)
        self._most_large = large_bytes
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if VISIT not in scope:
            await self._app(scope, receive, send)
            return
        try:
            size = self._size(scope)
            if not size:
                await self._app(scope, receive, send)
                return
            room = self._small if size <= SMALL_BODY else self._large
            async with room.held(size):
                body = await self._read(receive, size)
                if body is not None:
                    await self._app(scope, _again(body, receive), send)
        except Full:
            await _say(send, 503, "The Registry has no memory for this body now: try again later.")
        except NotTaken as fault:
            await _say(send, fault.status, fault.sentence)

    def _size(self, scope: Scope) -> int:
        """Bytes to hold for the body; 0 when there is none. Raises NotTaken."""
        headers = dict(scope["headers"])
        route = visit_of(scope).route
        most = min(route.largest_body if route else SMALL_BODY, self._most_large)
        if b"transfer-encoding" in headers:
            return most
        length = headers.get(b"content-length", b"0")
        size = int(length) if length.isdigit() and len(length) < 20 else most + 1
        if size > most:
            raise NotTaken(413, f"The body is larger than {most} bytes.")
        return size

    async def _read(self, receive: Receive, most: int) -> bytes | None:
        """The body; None when the client has gone. Raises NotTaken."""
        body = bytearray()  # not a list of parts, which may be a byte each
        more = True
        try:
            async with asyncio.timeout(self._seconds):
                while more:
                    async with asyncio.timeout(self._seconds / 4):
                        message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    if len(body) > most:
                        raise NotTaken(413, f"The body is larger than {most} bytes.")
                    more = message.get("more_body", False)
        except TimeoutError:
            raise NotTaken(408, "The body did not come in time.") from None
        return bytes(body)


def _again(body: bytes, receive: Receive) -> Receive:
    left = [body]

    async def receiving() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return receiving


async def _say(send: Send, status: int, sentence: str) -> None:
    await answer(send, status, wire.encode({"error": sentence}), closing=True)
