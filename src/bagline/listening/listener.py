"""One listener: an ASGI application on a port, until SIGTERM or until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from bagline.duty import Duty
from bagline.listening.attending import Application, Attending
from bagline.listening.connections import Connections, protocol_of
from bagline.listening.place import listen_at as listen_at

LARGEST_HEAD = 32 * 1024
"""Bytes of a request's line and headers together."""
IDLE_SECONDS = 5
"""How long a connection may stay open between requests."""
HANDSHAKE_SECONDS = 10.0
START_SECONDS = 10.0
SPARE_FILES = 256
"""Open files that are not connections."""


@dataclass(frozen=True)
class ListenerLimits:
    """Connections at once; seconds for a head, and for each part of an answer to be taken."""

    connections: int = 1_000
    head_seconds: float = 10.0
    answer_seconds: float = 60.0


class Listener:
    """An application behind its connections. `run` blocks; as a context it has a thread."""

    def __init__(
        self,
        app: Application,
        place: socket.socket,
        connections: Connections,
        limits: ListenerLimits,
        *,
        tls_cert: Path | None = None,
        tls_key: Path | None = None,
        graceful_seconds: int = 8,
    ) -> None:
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # no line a bad request
        allow_open_files(limits.connections)
        self.port = int(place.getsockname()[1])
        self._place = place
        self._server = uvicorn.Server(
            uvicorn.Config(
                Attending(app, connections, answer_seconds=limits.answer_seconds),
                http=protocol_of(connections),
                ws="none",
                lifespan="off",
                interface="asgi3",
                ssl_certfile=tls_cert,
                ssl_keyfile=tls_key,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                h11_max_incomplete_event_size=LARGEST_HEAD,
                timeout_keep_alive=IDLE_SECONDS,
                timeout_graceful_shutdown=graceful_seconds,
            )
        )
        self._stop = threading.Event()
        self._duty = Duty("listener", self.run, stop=self._stop)

    def run(self) -> None:
        """Serve until SIGTERM, SIGINT or `stop`."""
        with asyncio.Runner(loop_factory=_Loop) as runner:
            runner.run(self._server.serve([self._place]))

    def stop(self) -> None:
        """Let `run` end; requests in work have some seconds."""
        self._server.should_exit = True

    def __enter__(self) -> Listener:
        self._duty.start()
        deadline = time.monotonic() + START_SECONDS
        while not self._server.started and time.monotonic() < deadline:
            time.sleep(0.005)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self.stop()
        self._duty.join(START_SECONDS)


def allow_open_files(connections: int) -> None:
    """Let this process have so many; what the system forbids stays as it is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


class _Loop(asyncio.SelectorEventLoop):
    """asyncio waits a minute for a TLS handshake, and nothing is counted before it."""

    async def create_server(self, *args: Any, **options: Any) -> asyncio.Server:
        if options.get("ssl"):
            options["ssl_handshake_timeout"] = HANDSHAKE_SECONDS
        return await super().create_server(*args, **options)
