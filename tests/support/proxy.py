"""A TCP proxy on the loopback that can cut, silence or answer in a server's place."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

CHUNK = 64 * 1024
CONNECTIONS = 10_000
IDLE_SECONDS = 60.0
METHODS = frozenset({"GET", "PUT", "HEAD", "POST", "DELETE"})

SLOW_DOWN = (
    b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nContent-Length: 60\r\n"
    b"Connection: close\r\n\r\n"
    + b"<Error><Code>SlowDown</Code><Message>x</Message></Error>".ljust(60)
)


@dataclass
class Fault:
    """What happens to an answer after `after` of its bytes: it is cut, or hangs, or is
    `instead` of the server's. Only a request whose head has `on` in it meets it;
    `first` is called before that request goes on."""

    after: int = 0
    hang: bool = False
    instead: bytes = b""
    on: str = ""
    first: Callable[[], object] = lambda: None


@dataclass
class Proxy:
    """`faults` are met one by one by the requests that come next. `swaps` are words that
    every answer has replaced by others of the same length. `lines` are the request lines,
    `kinds` counts requests by method, with COPY for a PUT whose bytes are another object's;
    `carried` counts the bytes of both directions."""

    target: tuple[str, int]
    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    swaps: list[tuple[bytes, bytes]] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    carried: int = 0
    is_down: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _open: set[socket.socket] = field(default_factory=set)
    _closing: threading.Event = field(default_factory=threading.Event)

    @property
    def requests(self) -> int:
        return len(self.lines)

    def _next_fault(self, request: bytes) -> Fault | None:
        head = request.partition(b"\r\n\r\n")[0].decode("latin-1")
        line = head.partition("\r\n")[0]
        method = line.partition(" ")[0]
        with self._lock:
            self.lines.append(line)
            if method in METHODS:  # not where a body goes on after a "100 Continue"
                is_copy = method == "PUT" and "\r\nx-amz-copy-source:" in head.lower()
                self.kinds["COPY" if is_copy else method] += 1
            fault = next((fault for fault in self.faults if fault.on in head), None)
            if fault is not None:
                self.faults.remove(fault)
        if fault is not None:
            fault.first()
        return fault

    def _count(self, data: bytes) -> None:
        with self._lock:
            self.carried += len(data)

    def serve(self, listener: socket.socket) -> None:
        for _ in range(CONNECTIONS):
            try:
                client, _ = listener.accept()
            except OSError:
                return
            if self.is_down:
                client.close()
                continue
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            client,
            socket.create_connection(self.target, IDLE_SECONDS) as server,
        ):
            with self._lock:
                self._open |= {client, server}
            _Exchange(self, client, server).run()

    def go_down(self) -> None:
        """Cut every connection, and take no new one, until `is_down` is False again."""
        self.is_down = True
        self._cut()

    def close(self) -> None:
        self._closing.set()
        self._cut()

    def _cut(self) -> None:
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)


class _Exchange:
    """One connection: requests go through; an answer may meet a fault."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self.proxy, self.client, self.server = proxy, client, server
        self.asked = False
        self.fault: Fault | None = None
        self.answered = 0

    def run(self) -> None:
        upward = threading.Thread(target=self._up, daemon=True)
        upward.start()
        with contextlib.suppress(OSError):
            self._down()
        for sock in (self.client, self.server):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        upward.join(5)

    def _up(self) -> None:
        with contextlib.suppress(OSError):
            while data := self.client.recv(CHUNK):
                if not self.asked:
                    self.asked, self.answered = True, 0
                    self.fault = self.proxy._next_fault(data)
                    if self.fault and self.fault.instead:
                        self.client.sendall(self.fault.instead)
                        break
                self.proxy._count(data)
                self.server.sendall(data)
        with contextlib.suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)

    def _down(self) -> None:
        while data := self.server.recv(CHUNK):
            self.asked = False
            for word, other in self.proxy.swaps:
                data = data.replace(word, other)
            if self.fault:
                data = data[: max(0, self.fault.after - self.answered)]
            self.answered += len(data)
            self.proxy._count(data)
            self.client.sendall(data)
            if self.fault and self.answered >= self.fault.after:
                if self.fault.hang:
                    self.proxy._closing.wait(IDLE_SECONDS)
                return


@contextmanager
def proxy_before(endpoint: str) -> Iterator[Proxy]:
    """A proxy before the endpoint; its `url` is the endpoint's through it."""
    parts = urlsplit(endpoint)
    assert parts.hostname
    assert parts.port
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy((parts.hostname, parts.port), f"http://127.0.0.1:{listener.getsockname()[1]}")
        threading.Thread(target=proxy.serve, args=(listener,), daemon=True).start()
        try:
            yield proxy
        finally:
            proxy.close()
