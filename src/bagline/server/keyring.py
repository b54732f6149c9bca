"""Who a key belongs to, told without asking the database for each wrong one.

A wrong key costs a digest and a look into a table in memory. It is compared with the
database once more before it is called wrong, for it may be new; but all wrong keys of a
quarter of a second share that one question. A right key is found at once, whatever
strangers do; whether it is still right the endpoint asks the database, with the work that
follows. Lives in the event loop's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from bagline.services.registry.users import ApiUser, KeyName, Keys, key_name

RENEWAL_SECONDS = 0.25

Load = Callable[[], Awaitable[Keys]]


class KeyRing:
    """Every key that opens something. `load` asks the database."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._known: Keys = {}
        self._next: asyncio.Task[None] | None = None

    async def find(self, email: str, key: str) -> ApiUser | None:
        """The user, when the key is theirs. Raises Unreachable or Refused."""
        if not email or not key or "\0" in email:
            return None
        name = key_name(email, key)
        return self._known.get(name) or await self._newly(name)

    async def _newly(self, name: KeyName) -> ApiUser | None:
        if self._next is None:
            self._next = asyncio.create_task(self._renew())
        await asyncio.shield(self._next)
        return self._known.get(name)

    async def _renew(self) -> None:
        try:
            await asyncio.sleep(RENEWAL_SECONDS if self._known else 0.0)
        finally:
            self._next = None  # who comes from now on may have a key this question misses
        self._known = await self._load()
