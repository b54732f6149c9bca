"""Whose word for a client's address is taken."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bagline.errors import Misconfigured
from bagline.server.guarding import trusted_by
from bagline.server.signing_in import Visiting
from bagline.server.visits import visit_of


def address(trusted: str, client: str, *forwarded: str) -> str:
    """The address that counts."""
    found: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.append(visit_of(scope).address)

    scope = {
        "type": "http", "method": "GET", "path": "/", "client": (client, 1),
        "headers": [(b"x-forwarded-for", value.encode()) for value in forwarded],
    }  # fmt: skip
    asyncio.run(Visiting(app, trusted_by(trusted))(scope, None, None))  # type: ignore[arg-type]
    return found[0]


def test_nobody_is_believed_by_default() -> None:
    assert address("", "192.0.2.1", "10.1.1.1") == "192.0.2.1"
    assert address("", "127.0.0.1", "10.1.1.1") == "127.0.0.1"


def test_a_proxy_is_believed_about_the_last_address_only() -> None:
    assert address("192.0.2.0/24", "192.0.2.1", "6.6.6.6, 198.51.100.7") == "198.51.100.7"
    assert address("192.0.2.0/24", "192.0.2.1", "6.6.6.6", "198.51.100.7") == "198.51.100.7"
    assert address("192.0.2.1,10.0.0.0/8", "192.0.2.1", "6.6.6.6,5.5.5.5, 10.1.2.3") == "5.5.5.5"
    assert address("192.0.2.1", "192.0.2.1") == "192.0.2.1"
    assert address("192.0.2.1", "198.51.100.7", "6.6.6.6") == "198.51.100.7"


def test_what_is_no_network_is_refused_in_words() -> None:
    with pytest.raises(Misconfigured, match="trusted_proxies"):
        trusted_by("proxy.example")
