"""A link with a round trip, in a process of its own: `python -m bench.slow_link HOST PORT SECONDS`.

What comes in leaves half a round trip later, in each direction; as much at once as comes in, so
that only the time is lost and not the bandwidth. A new connection waits one round trip, as a
handshake does. Prints its port; for each line on its standard input, what it has carried: bytes,
and HTTP requests by kind (the method; COPY for a PUT whose bytes are another object's).
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

HELD_BYTES = 16 * 1024 * 1024
"""Of one direction of one connection; then nothing more is taken in."""
METHODS = frozenset({"GET", "HEAD", "PUT", "POST", "DELETE"})
CLOCK_SECONDS = 0.0005
"""What is due so soon goes out at once."""


@dataclass(frozen=True)
class Link:
    """A running link. `url` is the endpoint's through it."""

    url: str
    process: subprocess.Popen[str]

    def carried(self) -> int:
        """Bytes in both directions since it began."""
        return int(self._told()["bytes"])

    def requests(self) -> Counter[str]:
        """By kind, since it began."""
        return Counter(self._told()["requests"])

    def _told(self) -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        told: dict[str, Any] = json.loads(self.process.stdout.readline())
        return told


@contextmanager
def link_to(endpoint: str, round_trip_seconds: float) -> Iterator[Link]:
    """A link before the endpoint; gone at the end."""
    parts = urlsplit(endpoint)
    argv = [sys.executable, "-m", "bench.slow_link", str(parts.hostname), str(parts.port)]
    process = subprocess.Popen(
        [*argv, str(round_trip_seconds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    try:
        yield Link(f"http://127.0.0.1:{int(process.stdout.readline())}", process)
    finally:
        process.kill()
        process.wait()


class _End(asyncio.Protocol):
    """One end of a connection: what it receives leaves at the other, half a round trip later."""

    def __init__(self, link: _Link) -> None:
        self._link = link
        self._held: deque[tuple[float, bytes]] = deque()
        self._held_bytes = 0
        self._transport: asyncio.Transport | None = None
        self.other: _End | None = None
        self._is_clients = False
        self._was_answered = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self.other is None:
            self._is_clients = True
            transport.pause_reading()
            self._link.loop.create_task(self._reach())

    async def _reach(self) -> None:
        """Connect to the far side; the handshake takes one round trip."""
        await asyncio.sleep(self._link.round_trip)
        assert self._transport
        other = _End(self._link)
        other.other = self
        try:
            await self._link.loop.create_connection(lambda: other, *self._link.target)
        except OSError:
            self._transport.close()
            return
        self.other = other
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if not self._is_clients:
            if self.other:
                self.other._was_answered = True
        elif self._was_answered:  # what comes after an answer is the next request
            self._was_answered = False
            if kind := _kind(data):
                self._link.requests[kind] += 1
        self._hold(data)
        if self._held_bytes > HELD_BYTES and self._transport:
            self._transport.pause_reading()

    def connection_lost(self, _: Exception | None) -> None:
        self._hold(b"")

    def pause_writing(self) -> None:
        if self.other and self.other._transport:
            self.other._transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other and self.other._transport:
            self.other._transport.resume_reading()

    def _hold(self, data: bytes) -> None:
        """An empty chunk is the end."""
        self._link.bytes += len(data)
        self._held_bytes += len(data)
        due = self._link.loop.time() + self._link.round_trip / 2
        self._held.append((due, data))
        if len(self._held) == 1:
            self._link.loop.call_at(due, self._leave)

    def _leave(self) -> None:
        """All that is due goes out."""
        now = self._link.loop.time() + CLOCK_SECONDS
        out = self.other._transport if self.other else None
        due = []
        while self._held and self._held[0][0] <= now:
            due.append(self._held.popleft()[1])
        together = b"".join(due) if len(due) > 1 else due[0]
        self._held_bytes -= len(together)
        if out and together:
            out.write(together)
        if not due[-1]:
            if out:
                out.close()
            return
        if self._transport and self._held_bytes <= HELD_BYTES:
            self._transport.resume_reading()
        if self._held:
            self._link.loop.call_at(self._held[0][0], self._leave)


def _kind(request: bytes) -> str:
    """ "" for a body that was waited with (Expect: 100-continue)."""
    head = request.partition(b"\r\n\r\n")[0].lower()
    method = head.partition(b" ")[0].decode("ascii", "replace").upper()
    if method == "PUT" and b"\r\nx-amz-copy-source:" in head:
        return "COPY"
    return method if method in METHODS else ""


class _Link:
    def __init__(self, host: str, port: int, round_trip: float) -> None:
        self.target = (host, port)
        self.round_trip = round_trip
        self.loop = asyncio.get_running_loop()
        self.bytes = 0
        self.requests: Counter[str] = Counter()

    async def run(self) -> None:
        server = await self.loop.create_server(lambda: _End(self), "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps({"bytes": self.bytes, "requests": self.requests}), flush=True)


async def _main(host: str, port: int, round_trip: float) -> None:
    await _Link(host, port, round_trip).run()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
