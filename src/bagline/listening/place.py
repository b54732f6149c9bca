"""A place to listen at: an address and a port, taken or refused."""

from __future__ import annotations

import socket

from bagline.errors import Misconfigured


def listen_at(host: str, port: int, what: str) -> socket.socket:
    """The listening socket; Misconfigured, with the setting's name, when it cannot be."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        place = socket.socket(*found[:3])  # asyncio sets TCP_NODELAY only where TCP is named
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(found[4])
        place.listen(1024)
    except (OSError, OverflowError) as fault:
        why = fault.strerror if isinstance(fault, OSError) else "there is no such port"
        raise Misconfigured(f"{what} {port} at {host} cannot be listened at: {why}") from None
    return place


def try_ports(host: str, first: int, count: int, what: str) -> None:
    """Raises Misconfigured, as `listen_at` does, where one of so many ports is taken."""
    for port in range(first, first + count):
        listen_at(host, port, what).close()
