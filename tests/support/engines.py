"""Real engines for tests: one set a session, a bucket and an item id of its own a test."""

from __future__ import annotations

import itertools
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bagline.embedded import EngineAddresses, Engines

_ids = itertools.count(os.getpid() * 1_000)


@contextmanager
def temporary_engines() -> Iterator[EngineAddresses]:
    """Embedded engines in a directory of their own; stopped and removed at the end."""
    with tempfile.TemporaryDirectory(prefix="bagline-engines-") as place:
        engines = Engines(Path(place))
        try:
            yield engines.start()
        finally:
            engines.stop()


def fresh_id() -> int:
    """A work item's id that no other test of this session uses."""
    return next(_ids)


def fresh_name(kind: str) -> str:
    """A bucket's or topic's name that no other test of this session uses."""
    return f"{kind}-{next(_ids)}"


def closed_port() -> int:
    """A loopback port on which nothing listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port
